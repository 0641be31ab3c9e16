// The search page, where Sphinx's own search falls short: words that were misspelt get the nearest words that the book
// has, and the lines around a hit are prose, without the source of formulas, drawings, explorers or code.
(() => {
  const LEFT_OUT = ".math, .MathJax, svg, pre, button, .toggle-hint, .headerlink, script, style";

  // How many letters must be put in, taken out or exchanged; two neighbours that changed places count once.
  function distance(one, other) {
    const rows = [[...Array(other.length + 1).keys()]];
    for (let i = 1; i <= one.length; i++) {
      rows.push([i]);
      for (let j = 1; j <= other.length; j++) {
        const same = one[i - 1] === other[j - 1] ? 0 : 1;
        let least = Math.min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + same);
        if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
          least = Math.min(least, rows[i - 2][j - 2] + 1);
        rows[i].push(least);
      }
    }
    return rows[one.length][other.length];
  }

  // Words of titles and of the index, which are spelt out; the other words of Sphinx's index are only stems.
  function words() {
    const found = [...Object.keys(Search._index.alltitles), ...Object.keys(Search._index.indexentries)];
    return new Set(found.flatMap((entry) => splitQuery(entry.toLowerCase())).filter((word) => word.length > 3));
  }

  function nearest(word) {
    const most = word.length > 7 ? 2 : 1;
    return [...words()]
      .map((candidate) => [distance(word, candidate), candidate])
      .filter(([far]) => far > 0 && far <= most)
      .sort(([a, x], [b, y]) => a - b || x.localeCompare(y))
      .slice(0, 3)
      .map(([, candidate]) => candidate);
  }

  function suggest(query) {
    const typed = splitQuery(query.toLowerCase());
    const links = typed.flatMap((word) =>
      nearest(word).map((near) => {
        const link = document.createElement("a");
        const address = new URL(location.href);
        address.searchParams.set("q", typed.map((one) => (one === word ? near : one)).join(" "));
        link.href = address.href;
        link.textContent = near;
        return link;
      }),
    );
    if (!links.length) return;
    const line = document.createElement("p");
    line.className = "nearest-words";
    line.append(document.documentElement.lang === "ko" ? "가까운 말: " : "Nearest words: ", ...links.flatMap((link, i) => (i ? [", ", link] : [link])));
    Search.output.before(line);
  }

  function improve() {
    const query = Search.query;
    const perform = Search._performSearch;
    let found = 0;
    Search._performSearch = (typed, ...words) => {
      // Entries of the index spell sizes with an x, however they are typed.
      const results = perform(typed.replace(/(\d)\s*×\s*(?=\d)/g, "$1x"), ...words);
      found = results.length;
      return results;
    };
    Search.query = (typed) => {
      query(typed);
      if (found === 0) suggest(typed);
    };
    const text = Search.htmlToText;
    Search.htmlToText = (html, anchor) => {
      const page = new DOMParser().parseFromString(html, "text/html");
      for (const one of page.querySelectorAll(LEFT_OUT)) one.remove();
      const article = anchor ? null : page.querySelector("article"); // without the buttons above it
      return (article?.textContent ?? text(page.documentElement.outerHTML, anchor)).replace(/\s+/g, " ");
    };
    // The index spells sizes with an x, and the pages with a ×.
    const summary = Search.makeSearchSummary;
    Search.makeSearchSummary = (html, keywords, anchor) =>
      summary(html, new Set([...keywords].flatMap((word) => [word, word.replace(/(\d)x(?=\d)/g, "$1×")])), anchor);
  }

  const present = () => typeof Search !== "undefined" && typeof Search.htmlToText === "function";
  if (present()) improve();
  else document.addEventListener("DOMContentLoaded", () => present() && improve());
})();
