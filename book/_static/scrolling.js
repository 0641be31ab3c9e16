// What scrolls inside itself can be reached, and scrolled, by keyboard. The theme sees to this for code; here it is
// done for tables and formulas.
(() => {
  const WIDE = ".pst-scrollable-table-container, .ledger, .cell_output > .output, mjx-container[display=true]";

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
    window.MathJax?.startup?.promise?.then(update);
    // A fold that opens shows a table whose width was not known before.
    document.addEventListener("toggle", update, true);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
// The way back to the top stands in the bar above the page, which lies over nothing that is read. The theme has it float
// over the text, and shows it to those who scroll upwards, who read on where it lies.
(() => {
  function move() {
    const button = document.getElementById("pst-back-to-top");
    const bar = document.querySelector(".bd-header-article .header-article-items__start");
    if (button && bar) bar.append(button);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", move);
  else move();
})();
