// The switch to the other language leads to the same place, not only to the same page, and stays in this window.
(() => {
  // Both editions have the same of these, outside of drawings.
  const PLACES = ["section", "dt", "div", "span", "h1", "h2", "h3", "h4"].map((tag) => `article ${tag}[id]`).join();

  // The place that stands nearest to where reading begins, below the bar at the top; none at the head of the page.
  const place = () => {
    const line = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    const away = (one) => Math.abs(one.getBoundingClientRect().top - line);
    const named = location.hash && target();
    const ended = innerHeight + scrollY > document.documentElement.scrollHeight - 2;  // no place can come up to it
    if (named && away(named) < (ended ? innerHeight : 2)) return location.hash;
    let nearest = null, least = Math.min(innerHeight, window.scrollY);
    for (const one of document.querySelectorAll(PLACES)) {
      if (!one.getClientRects().length || one.closest("svg, .cell_output") || away(one) >= least) continue;
      [nearest, least] = [one, away(one)];
    }
    if (!nearest && scrollY > innerHeight) nearest = above(line);
    return nearest && !nearest.matches("article > section") ? `#${nearest.id}` : "";
  };

  const target = () => {
    try { return document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return null; } // a damaged address
  };

  // Where nothing is near: the section that is being read.
  const above = (line) =>
    [...document.querySelectorAll("article section[id]")].filter((one) => one.getBoundingClientRect().top <= line).pop();

  const start = () => {
    for (const link of document.querySelectorAll("a.language-switch")) {
      const there = document.documentElement.lang === "ko" ? "en" : "ko";
      link.lang = link.hreflang = there;
      link.removeAttribute("target");
      const follow = () => { link.hash = place(); };
      for (const event of ["click", "auxclick", "contextmenu", "focus"]) link.addEventListener(event, follow);
      if (location.pathname.endsWith("/search.html")) link.search = location.search;
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
