"""`make screenshots`: every page of the built book at three widths, light and dark, as PNG in _build/screenshots/."""

from __future__ import annotations

import sys
from pathlib import Path

import chromium

ROOT = Path(__file__).parents[2]
SITE, OUT = ROOT / "_build" / "html", ROOT / "_build" / "screenshots"
WIDTHS = (390, 820, 1280)
HEIGHT_LIMIT = 16_000  # Chromium draws no larger pictures


def main() -> int:
    browser = chromium.find()
    if browser is None:
        print("Chromium is missing; screenshots need it (apt-get install chromium).", file=sys.stderr)
        return 1
    pages = sorted(page for page in SITE.glob("*.html") if page.stem not in ("genindex", "search"))
    if not pages:
        print(f"There is no page in {SITE}; run `make book` first.", file=sys.stderr)
        return 1
    from playwright.sync_api import sync_playwright
    from tqdm import tqdm

    OUT.mkdir(parents=True, exist_ok=True)
    jobs = [(page, width, scheme) for page in pages for width in WIDTHS for scheme in ("light", "dark")]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=chromium.FLAGS)
        for page, width, scheme in tqdm(jobs, unit="page"):
            context = started.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab = context.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_load_state("networkidle")
            tall = min(HEIGHT_LIMIT, tab.evaluate("document.documentElement.scrollHeight"))
            tab.set_viewport_size({"width": width, "height": tall})
            tab.screenshot(path=OUT / f"{page.stem}-{width}-{scheme}.png")
            context.close()
        started.close()
    print(f"{len(jobs)} pictures in {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
