// Places on a page: the one that its address names stays where it is while the page is still drawn, and the switch to the
// other language leads to the one that is being read.
(() => {
  // What the address names, if it is on the page; an address that was damaged on its way names nothing.
  const named = () => {
    try { return document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return null; }
  };

  // What a link led to stays in its place while explorers and formulas above it are still drawn, until the reader moves.
  const SETTLED = 8000; // milliseconds after which nothing is drawn any more
  const MOVES = ["wheel", "touchstart", "pointerdown", "keydown"];
  const keep = () => {
    const target = location.hash && named();
    const article = document.querySelector("article");
    if (!target || !article) return;
    const watcher = new ResizeObserver(() => target.scrollIntoView({ behavior: "instant" }));
    const leave = () => {
      watcher.disconnect();
      for (const move of MOVES) removeEventListener(move, leave);
    };
    for (const move of MOVES) addEventListener(move, leave, { passive: true });
    watcher.observe(article);
    setTimeout(leave, SETTLED);
  };

  // A reader's own network that the address holds goes along where it is in view.
  const network = () => /^#network(=|%3D)/i.test(location.hash) && [...document.querySelectorAll(".explorer .x-editor")].some((one) => {
    const { top, bottom } = one.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });

  // Both editions have the same of these, outside of drawings.
  const PLACES = ["section", "dt", "div", "span", "h1", "h2", "h3", "h4"].map((tag) => `article ${tag}[id]`).join();

  // The place that stands nearest to where reading begins, below the bar at the top; none at the head of the page.
  const place = () => {
    if (network()) return location.hash;
    const line = parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0;
    const away = (one) => Math.abs(one.getBoundingClientRect().top - line);
    const target = location.hash && named();
    const ended = innerHeight + scrollY > document.documentElement.scrollHeight - 2;  // no place can come up to it
    if (target && away(target) < (ended ? innerHeight : 2)) return location.hash;
    let nearest = null, least = Math.min(innerHeight, window.scrollY);
    for (const one of document.querySelectorAll(PLACES)) {
      if (!one.getClientRects().length || one.closest("svg, .cell_output") || away(one) >= least) continue;
      [nearest, least] = [one, away(one)];
    }
    if (!nearest && scrollY > innerHeight) nearest = above(line);
    return nearest && !nearest.matches("article > section") ? `#${nearest.id}` : "";
  };

  // Where nothing is near: the section that is being read.
  const above = (line) =>
    [...document.querySelectorAll("article section[id]")].filter((one) => one.getBoundingClientRect().top <= line).pop();

  // The switch stays in this window, and follows when it is used.
  const follow = () => {
    for (const link of document.querySelectorAll("a.language-switch")) {
      const there = document.documentElement.lang === "ko" ? "en" : "ko";
      link.lang = link.hreflang = there;
      link.removeAttribute("target");
      const aim = () => { link.hash = place(); };
      for (const event of ["click", "auxclick", "contextmenu", "focus"]) link.addEventListener(event, aim);
      if (location.pathname.endsWith("/search.html")) link.search = location.search;
    }
  };

  const start = () => { keep(); follow(); };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
