// What the theme leaves to be desired.

// The book's name stands at the head of the column of chapters, in no landmark: who goes from landmark to landmark by ear
// would not come by it. The landmark that is meant for it is a bar in which this book has nothing.
(() => {
  const start = () => {
    const bar = document.querySelector("header.bd-header"), name = document.querySelector(".bd-sidebar-primary .navbar-brand");
    if (!name || bar?.childElementCount) return;
    bar?.setAttribute("role", "none");
    name.parentElement.setAttribute("role", "banner");
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
// Paper is white: a dark page is light while it is printed, or its pale words and lines would stand on white. Explorers,
// which start later, paint for the paper after this.
(() => {
  const page = document.documentElement;
  let dark = false;
  addEventListener("beforeprint", () => {
    dark = page.dataset.theme === "dark";
    if (dark) page.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    if (dark) page.dataset.theme = "dark";
    dark = false;
  });
})();
