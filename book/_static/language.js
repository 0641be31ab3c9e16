// The switch to the other language leads to the same place, not only to the same page, and stays in this window.
(() => {
  const start = () => {
    for (const link of document.querySelectorAll("a.language-switch")) {
      const there = document.documentElement.lang === "ko" ? "en" : "ko";
      link.lang = link.hreflang = there;
      link.removeAttribute("target");
      const follow = () => { link.hash = location.hash; };
      link.addEventListener("click", follow);
      link.addEventListener("auxclick", follow);
      window.addEventListener("hashchange", follow);
      follow();
      if (location.pathname.endsWith("/search.html")) link.search = location.search;
    }
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
