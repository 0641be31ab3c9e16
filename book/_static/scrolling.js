// What scrolls inside itself can be reached, and scrolled, by keyboard. The theme sees to this for code; here it is
// done for the tables.
(() => {
  const WIDE = ".pst-scrollable-table-container, .ledger, .cell_output > .output";

  function update() {
    for (const one of document.querySelectorAll(WIDE)) {
      if (one.scrollWidth > one.clientWidth) one.tabIndex = 0;
      else one.removeAttribute("tabindex");
    }
  }

  function start() {
    update();
    addEventListener("resize", update);
    document.fonts?.ready.then(update);
    // A fold that opens shows a table whose width was not known before.
    document.addEventListener("toggle", update, true);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
// What a link led to stays in its place while explorers and formulas above it are still drawn, until the reader moves.
(() => {
  const SETTLED = 8000; // milliseconds after which nothing is drawn any more
  const MOVES = ["wheel", "touchstart", "pointerdown", "keydown"];

  function named() {
    try { return document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return null; } // a damaged address
  }

  function keep() {
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
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", keep);
  else keep();
})();
