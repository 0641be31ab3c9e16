"""What an explorer leaves on paper: all of it, nothing wider than the sheet, and figures that are whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from explorer_page import static_page
from test_explorer_browser import GRIDS
from test_explorer_figures import made_up_mistakes

from casestudies.explorers import MakeTheMistake, Progress, YourOwnNetwork
from casestudies.explorers.architecture import costs_of
from casestudies.explorers.your_own_network import COURSE
from casestudies.mistakes import bench, chapters

pytestmark = pytest.mark.browser

A4 = 660  # pixels that the book's column has on a sheet of A4

# A sheet is laid out without a frame: what observes sizes hears nothing of it.
DEAF = """() => {
  const Real = ResizeObserver;
  window.ResizeObserver = class extends Real {
    constructor(told) { super((...all) => window.onPaper || told(...all)); }
  };
}"""
PRINTED = "() => { dispatchEvent(new Event('beforeprint')); window.onPaper = true; }"
# What is beyond the sheet, what a box cuts off, and figures that are broken in two.
LOST = """() => {
  const found = [], paper = document.documentElement.clientWidth;
  const said = (node) => `${node.tagName}.${node.getAttribute("class")}: ${node.textContent.slice(0, 40)}`;
  for (const node of document.querySelectorAll(".explorer *")) {
    const box = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (!box.width || !node.checkVisibility() || style.opacity === "0" || node.closest(".x-hidden, defs")) continue;
    if (box.right > paper + 1 || box.left < -1) found.push(`beyond the sheet: ${said(node)}`);
    if (!(node instanceof HTMLElement) || style.display === "inline") continue;
    if (/CANVAS|IMG|INPUT/.test(node.tagName)) continue;
    const [wide, high] = [node.scrollWidth > node.clientWidth + 1, node.scrollHeight > node.clientHeight + 1];
    const cut = wide && style.overflowX !== "visible" || high && !/visible|clip/.test(style.overflowY);
    if (cut) found.push(`cut: ${said(node)}`);
    for (let frame = node.parentElement; frame && !frame.matches(".explorer"); frame = frame.parentElement) {
      const around = frame.getBoundingClientRect();
      if (getComputedStyle(frame).overflowX !== "visible" && box.right > around.right + 16)
        found.push(`cut by ${said(frame)}: ${said(node)}`);
    }
  }
  for (const drawing of document.querySelectorAll(".explorer .x-stage svg")) {
    const box = drawing.getBoundingClientRect(), frame = drawing.closest(".x-stage").getBoundingClientRect();
    if (box.right > frame.right + 1) found.push(`wider than its place: ${drawing.ariaLabel}`);
  }
  for (const cell of document.querySelectorAll(".explorer .x-table :is(th, td)")) {
    const words = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (words.nextNode()) for (const figure of words.currentNode.data.matchAll(/\\d[\\d.,]*/g)) {
      const range = document.createRange();
      range.setStart(words.currentNode, figure.index);
      range.setEnd(words.currentNode, figure.index + figure[0].length);
      if (range.getClientRects().length > 1) found.push(`broken: ${figure[0]}`);
    }
  }
  return [...new Set(found)];
}"""  # fmt: skip


def printed(browser: Any, tmp_path: Path, width: int, *explorers: Any) -> Any:
    """The page as it lies on a sheet of A4 after it was shown on a screen of `width` pixels."""
    file = tmp_path / "page.html"
    font = "<style>body { font-family: system-ui, sans-serif; margin: 0 }</style></head>"
    file.write_text(static_page(*explorers).replace("</head>", font), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(f"({DEAF})()")
    page.goto(file.as_uri())
    for number in range(len(explorers)):  # some read their data when they come into view only
        page.locator(".explorer").nth(number).scroll_into_view_if_needed()
        page.wait_for_function(f"document.querySelectorAll('.explorer')[{number}].ariaBusy !== 'true'")
    page.wait_for_function("!document.querySelector('.x-table[aria-busy=true]')")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.evaluate(PRINTED)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4, "height": 900})
    return page


def mistaken(chapter: str) -> list[MakeTheMistake]:
    wrong = bench(chapter).mistakes
    return [MakeTheMistake(chapter, made_up_mistakes(chapter), mistake=one) for one in (wrong[0], wrong[-1])]


ALL: dict[str, Any] = {
    **{name: lambda make=make, of=of: [make(**of[0]), make(**of[-1])] for name, (make, of) in GRIDS.items()},
    "Progress": lambda: [Progress()],
    "YourOwnNetwork": lambda: [YourOwnNetwork(), YourOwnNetwork(COURSE["resnet18"])],
    **{f"MakeTheMistake, {one}": lambda one=one: mistaken(one) for one in chapters()},
}


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("name", ALL)
def test_paper_has_all_of_each_explorer_within_its_sheet(
    browser: Any, tmp_path: Path, name: str, width: int
) -> None:
    page = printed(browser, tmp_path, width, *ALL[name]())
    found = page.evaluate(LOST)
    page.close()
    assert found == []


def test_paper_has_every_line_of_the_readers_network_beside_its_number(browser: Any, tmp_path: Path) -> None:
    lines = [*COURSE["resnet18"].split("\n"), "relu  # " + "a comment that goes on " * 12, "relux"]
    page = printed(browser, tmp_path, 390, YourOwnNetwork("\n".join(lines)))
    rows = page.locator(".x-printed > div")
    assert rows.locator(":scope > span:first-child").all_inner_texts() == [
        str(n + 1) for n in range(len(lines))
    ]
    assert rows.locator(":scope > span:nth-child(2)").all_inner_texts() == [line or "" for line in lines]
    assert "relux" in rows.last.locator("em").inner_text()
    assert page.locator("textarea").is_hidden()
    tops = rows.evaluate_all(
        "all => all.map((row) => [...row.children].slice(0, 2).map((one) => one.getBoundingClientRect().top))"
    )
    assert all(abs(number - line) < 1 for number, line in tops)
    assert page.evaluate("document.querySelector('.explorer').scrollWidth") <= A4
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("textarea").is_visible() and rows.count() == 0
    page.close()


def test_sum_of_a_ledger_stands_at_its_end_only(browser: Any, tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    page = printed(browser, tmp_path, 1280, YourOwnNetwork(COURSE["resnet18"]))
    page.pdf(path=tmp_path / "page.pdf", format="A4")
    page.close()
    sheets = [sheet.extract_text() for sheet in pypdf.PdfReader(tmp_path / "page.pdf").pages]
    total = f"{costs_of(COURSE['resnet18']).parameters:,}"
    assert len(sheets) > 2
    assert sum(sheet.count(f"total {total}") for sheet in sheets) == 1
