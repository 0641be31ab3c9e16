"""axe-core finds nothing in any explorer, on a telephone and on a wide page, light and dark."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from explorer_page import static_page
from test_explorer_browser import GRIDS

from casestudies.explorers import Progress

pytestmark = pytest.mark.browser

AXE = find_spec("axe_playwright_python")
# The colours that the book's theme gives its pages.
THEMES = """<style>
html { --pst-color-text-base: #222832; --pst-color-text-muted: #48566b; --pst-color-background: #ffffff;
  --pst-color-surface: #f3f4f5; --pst-color-border: #d1d5da; --pst-color-primary: #0a7d91; background: #ffffff; }
html[data-theme="dark"] { --pst-color-text-base: #ced6dd; --pst-color-text-muted: #9ca4af;
  --pst-color-background: #14181e; --pst-color-surface: #29313d; --pst-color-border: #48566b;
  --pst-color-primary: #3fb1c5; background: #14181e; }
</style></head>"""
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AUDIT = """async (values) => {
  const { violations } = await axe.run({ include: ['.explorer'] }, { resultTypes: ["violations"], preload: false,
    runOnly: { type: "tag", values } });
  return violations.flatMap((found) => found.nodes.map((node) =>
    `${found.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize("name", [*GRIDS, "Progress"])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, name: str) -> None:
    make, settings = GRIDS.get(name, (Progress, [{}]))
    file = tmp_path / "page.html"
    file.write_text(static_page(make(**settings[-1])).replace("</head>", THEMES), "utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto(file.as_uri())
    page.locator(".explorer").wait_for()
    page.wait_for_function("document.querySelector('.explorer').getAttribute('aria-busy') === 'false'")
    page.evaluate((Path(AXE.origin).parent / "axe.min.js").read_text("utf-8"))
    found = []
    for width, theme in ((390, "light"), (1280, "dark")):
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("(theme) => { document.documentElement.dataset.theme = theme }", theme)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found += [f"{width} {theme}: {finding}" for finding in page.evaluate(AUDIT, RULES)]
    page.close()
    assert found == []
