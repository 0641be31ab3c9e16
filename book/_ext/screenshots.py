"""`make screenshots`: every page of the built book at three widths, light and dark, as PNG in _build/screenshots/.

A long page is several pictures, PAGE-WIDTH-SCHEME-1.png and so on; each begins a little above the end of the one
before, since the page's header covers its top. Each explorer is a picture of its own, too:
PAGE-WIDTH-SCHEME-explorer1.png and so on.
"""

from __future__ import annotations

import sys
from pathlib import Path

import chromium

ROOT = Path(__file__).parents[2]
SITE, OUT = ROOT / "_build" / "html", ROOT / "_build" / "screenshots"
WIDTHS = (390, 820, 1280)
NO_PAGES = ("index", "genindex", "search")  # the first leads on to the welcome page
HEIGHT, OVERLAP = 6_000, 120  # of one picture; Chromium draws none above 16,000


def main() -> int:
    browser = chromium.find()
    if browser is None:
        print("Chromium is missing; screenshots need it (apt-get install chromium).", file=sys.stderr)
        return 1
    pages = sorted(page for page in SITE.glob("*.html") if page.stem not in NO_PAGES)
    if not pages:
        print(f"There is no page in {SITE}; run `make book` first.", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright
    from tqdm import tqdm

    OUT.mkdir(parents=True, exist_ok=True)
    jobs = [(page, width, scheme) for page in pages for width in WIDTHS for scheme in ("light", "dark")]
    for old in OUT.glob("*.png"):  # the page may be shorter now
        old.unlink()
    count = 0
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=chromium.FLAGS)
        for page, width, scheme in tqdm(jobs, unit="page"):
            context = started.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab = context.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_load_state("networkidle")
            for event in ("beforeprint", "afterprint"):  # those that wait for the view start
                tab.evaluate("name => dispatchEvent(new Event(name))", event)
            tab.wait_for_function("!document.querySelector('.explorer-waits')")
            for explorer in tab.locator(".explorer").all():  # those that begin when they are seen, do
                explorer.scroll_into_view_if_needed()
            tab.wait_for_function("!document.querySelector('.explorer[aria-busy=true]')")
            tall = tab.evaluate("document.documentElement.scrollHeight")
            window = min(HEIGHT, tall)
            tab.set_viewport_size({"width": width, "height": window})
            for number, top in enumerate(range(0, max(1, tall - OVERLAP), HEIGHT - OVERLAP), start=1):
                tab.evaluate("top => window.scrollTo({top, behavior: 'instant'})", top)
                # The last scrolls less far: the window cannot go beyond the page.
                seen = max(0, top + window - tall)
                rest = {"x": 0, "y": seen, "width": width, "height": window - seen}
                tab.screenshot(path=OUT / f"{page.stem}-{width}-{scheme}-{number}.png", clip=rest)
                count += 1
            tab.add_style_tag(content="#pst-skip-link, .bd-header-article { display: none !important }")
            for number, explorer in enumerate(tab.locator(".explorer").all(), start=1):
                explorer.screenshot(path=OUT / f"{page.stem}-{width}-{scheme}-explorer{number}.png")
                count += 1
            context.close()
        started.close()
    print(f"{count} pictures in {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
