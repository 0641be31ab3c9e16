"""What the explorers do where they are narrow, enlarged, printed, or in the system's colours of high contrast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from chromium import SPACED
from explorer_page import static_page
from test_explorer_browser import GRIDS

from casestudies.explorers import NetworkComparison, Progress, Questions, YourOwnNetwork

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]

# What is wider than its place, or than the explorer, and words that lie over each other; figures and code may
# scroll in their own frames.
CUT = """() => {
  const FRAMES = ".x-table, .x-scroll, .x-editor, .x-hidden, .x-softmax";
  const found = [];
  for (const root of document.querySelectorAll(".explorer")) {
  const edge = root.getBoundingClientRect();
  for (const node of root.querySelectorAll("*")) {
    const { width, right, left } = node.getBoundingClientRect(), style = getComputedStyle(node);
    if (!width || style.opacity === "0" || node.closest(FRAMES)) continue;
    const name = `${node.tagName}.${node.getAttribute("class")}: ${node.textContent.slice(0, 40)}`;
    if (right > edge.right + 1 || left < edge.left - 1) found.push(`outside: ${name}`);
    const block = node instanceof HTMLElement && style.display !== "inline" && node.clientWidth;
    if (block && node.scrollWidth > node.clientWidth + 2) found.push(`wider than its place: ${name}`);
  }
  for (const node of root.querySelectorAll("svg text")) {
    const own = node.getBoundingClientRect(), frame = node.ownerSVGElement.getBoundingClientRect();
    if (own.right > frame.right + 2 || own.left < frame.left - 2) found.push(`cut: ${node.textContent}`);
  }
  for (const drawing of root.querySelectorAll("svg")) {
    const words = [...drawing.querySelectorAll("text:not([transform])")]
      .filter((one) => one.checkVisibility() && one.textContent.trim());
    const boxes = words.map((one) => one.getBoundingClientRect());
    boxes.forEach((a, i) => boxes.slice(i + 1).forEach((b, j) => {
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (across > 2 && down > 0.4 * Math.min(a.height, b.height))
        found.push(`over each other: ${words[i].textContent} and ${words[i + 1 + j].textContent}`);
    }));
  }
  }
  return found;
}"""  # fmt: skip


@pytest.mark.parametrize("name", [*GRIDS, "Progress"])
def test_nothing_is_cut_at_320_pixels_nor_on_wider_pages(browser: Any, tmp_path: Path, name: str) -> None:
    make, settings = GRIDS.get(name, (Progress, [{}]))
    file = tmp_path / "page.html"
    longest = max(settings, key=lambda one: len(str(one)))  # and so, probably, are the words in the drawing
    chosen = [settings[0], longest, settings[-1]]
    font = "<style>body { font-family: system-ui, sans-serif }</style></head>"  # the book's, which is wide
    html = static_page(*(make(**setting) for setting in chosen)).replace("</head>", font)
    file.write_text(html, "utf-8")
    page = browser.new_page(viewport={"width": 320, "height": 900})
    page.goto(file.as_uri())
    page.locator(".explorer").nth(2).wait_for()
    for number in range(3):  # some read their data when they come into view only
        page.locator(".explorer").nth(number).scroll_into_view_if_needed()
        page.wait_for_function(f"document.querySelectorAll('.explorer')[{number}].ariaBusy !== 'true'")
    found = []
    for width in (304, 320, 390, 640, 1280):  # the first has as much room as a page of the book at 320
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found += [f"{width}: {finding}" for finding in page.evaluate(CUT)]
    page.close()
    assert found == []


# Goes through all that can be pressed, chosen and slid in the only explorer of a page, and says what is cut then.
EVERYTHING = """async (cut) => {
  const root = document.querySelector(".explorer"), acts = [], found = new Set();
  const change = (input, value) => {
    input.value = value;
    for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }));
  };
  for (const one of root.querySelectorAll("details")) acts.push(["details", () => { one.open = true; }]);
  const buttons = ".x-presets:not(.x-walk, .x-digits) button, .x-radio input, .x-answer input";
  for (const one of root.querySelectorAll(buttons))
    acts.push([one.textContent || `${one.dataset.key} ${one.value}`, () => one.checkVisibility() && one.click()]);
  for (const one of root.querySelectorAll("select"))
    for (const { value } of one.options) acts.push([`${one.dataset.key} ${value}`, () => change(one, value)]);
  for (const one of root.querySelectorAll("input[type=range]"))
    for (const end of ["max", "min"]) acts.push([`${one.dataset.slider} ${end}`, () => change(one, one[end])]);
  const busy = () => [root, ...root.querySelectorAll("[aria-busy]")].some((one) => one.ariaBusy === "true");
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  for (const [name, act] of acts) {
    act();
    do await frame(); while (busy());
    for (const finding of cut()) found.add(`${name}: ${finding}`);
  }
  return [acts.length, [...found]];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("name", GRIDS)
def test_nothing_is_cut_on_a_telephone_whatever_is_chosen(browser: Any, tmp_path: Path, name: str) -> None:
    file = tmp_path / "page.html"
    font = "<style>body { font-family: system-ui, sans-serif }</style></head>"  # the book's, which is wide
    file.write_text(static_page(GRIDS[name][0]()).replace("</head>", font), "utf-8")
    page = browser.new_page(viewport={"width": 304, "height": 900})  # as much room as in the book at 320
    page.goto(file.as_uri())
    page.locator(".explorer").wait_for()
    acts, found = page.evaluate(f"() => ({EVERYTHING})({CUT})")
    page.close()
    assert acts > 0
    assert found == []


# What readers set for themselves: spaced letters, and letters of twice the size (WCAG 1.4.4).
TWICE = "html { font-size: 200% }"
# Spaced words may go on beyond their drawing, but not beyond the explorer.
BEYOND = CUT.replace("frame = node.ownerSVGElement.getBoundingClientRect()", "frame = edge")


@pytest.mark.slow
@pytest.mark.parametrize(
    "css, widths", [(SPACED, (390, 1280)), (TWICE, (500, 1280))], ids=["spaced", "twice"]
)
@pytest.mark.parametrize("name", GRIDS)
def test_nothing_is_cut_where_readers_space_or_enlarge_their_letters(
    browser: Any, tmp_path: Path, name: str, css: str, widths: tuple[int, ...]
) -> None:
    assert BEYOND != CUT
    file = tmp_path / "page.html"
    font = f"<style>body {{ font-family: system-ui, sans-serif }} {css}</style></head>"
    file.write_text(static_page(GRIDS[name][0]()).replace("</head>", font), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.locator(".explorer").wait_for()
    page.wait_for_function("document.querySelector('.explorer[aria-busy=true]') === null")
    found = []
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        found += [f"{width}: {finding}" for finding in page.evaluate(BEYOND)]
        edges = "() => [...document.querySelectorAll('.x-stage > svg')].map((one) => getComputedStyle(one).overflow)"
        assert set(page.evaluate(edges)) <= {"visible"}
    page.close()
    assert found == []


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    def open_(explorer: Any) -> Any:
        file = tmp_path / "page.html"
        file.write_text(static_page(explorer), "utf-8")
        page = browser.new_page()
        page.goto(file.as_uri())
        page.locator(".explorer").wait_for()
        return page

    return open_


def test_what_is_chosen_is_seen_in_high_contrast(opened: Any) -> None:
    page = opened(GRIDS["ZeroWeights"][0]())
    page.emulate_media(forced_colors="active")
    outlines = """(selector) => [...document.querySelectorAll(selector)].map(getComputedStyle)
      .map((style) => parseFloat(style.outlineWidth) * (style.outlineStyle !== "none"))"""
    assert set(page.evaluate(outlines, ".x-radio input:checked + span")) == {3}
    assert set(page.evaluate(outlines, ".x-radio input:not(:checked) + span")) == {0}
    page.close()


@pytest.mark.parametrize(
    "make, stays",
    [
        (lambda: Questions("lenet"), ".x-question legend"),
        (lambda: YourOwnNetwork(), "textarea"),
        (GRIDS["DrawADigit"][0], ".x-pad"),
    ],
)
def test_paper_has_what_the_reader_answered_wrote_or_drew_and_the_whole_table(
    opened: Any, make: Any, stays: str
) -> None:
    page = opened(make())
    page.emulate_media(media="print")
    assert page.locator(stays).first.is_visible()
    assert page.locator(".x-presets").first.is_hidden() or page.locator(".x-presets").count() == 0
    hidden = """() => [...document.querySelectorAll(".x-table")]
      .filter((one) => one.scrollHeight > one.clientHeight + 2).length"""
    assert page.evaluate(hidden) == 0
    page.close()


def test_figures_keep_their_names_whole_in_a_narrow_table(open_page: Any) -> None:
    page = open_page(GRIDS["MakeTheMistake"][0](), width=320)
    page.locator("[data-key=mistake]").nth(1).check(force=True)
    names = page.locator(".x-table tbody tr > :first-child")
    lines = "all => all.map((one) => (one.clientHeight - 9) / parseFloat(getComputedStyle(one).lineHeight))"
    assert names.count() > 5
    assert max(names.evaluate_all(lines)) < 1.5  # one word each


def test_dark_page_is_light_on_paper_also_what_is_painted(browser: Any, tmp_path: Path) -> None:
    """Printing waits for no frame: the canvases are painted while the event of the printing lasts."""
    theme = (ROOT / "book" / "_static" / "theme.js").read_text("utf-8")
    file = tmp_path / "page.html"
    whole = static_page(GRIDS["DrawADigit"][0]())
    file.write_text(whole.replace("<head>", f"<head><script>{theme}</script>"), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.locator(".explorer").wait_for()
    painted = "document.querySelectorAll('.x-frame canvas')[1].toDataURL()"
    page.wait_for_function("document.querySelectorAll('.x-frame canvas')[1].width === 173")
    light = page.evaluate(painted)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    page.wait_for_function(f"light => {painted} !== light", arg=light)
    printed, shown = page.evaluate(
        f"""() => ["beforeprint", "afterprint"].map((name) => {{
            dispatchEvent(new Event(name));
            return [document.documentElement.dataset.theme, {painted}];
        }})"""
    )
    assert printed == ["light", light] and shown[0] == "dark"
    page.wait_for_function(f"light => {painted} !== light", arg=light)
    page.close()


@pytest.mark.parametrize("width", [304, 320, 390])
@pytest.mark.parametrize("measure", ["error", "published", "intensity", "depth"])
def test_titles_of_axes_stay_within_their_drawing_where_letters_are_spaced(
    browser: Any, tmp_path: Path, width: int, measure: str
) -> None:
    file = tmp_path / "page.html"
    font = f"<style>body {{ font-family: system-ui, sans-serif }} {SPACED}</style></head>"
    html = static_page(NetworkComparison(x="macs", y=measure), NetworkComparison(x=measure, y="memory"))
    file.write_text(html.replace("</head>", font), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(file.as_uri())
    page.locator(".explorer").nth(1).wait_for()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found = page.evaluate(
        """() => [...document.querySelectorAll(".x-stage > svg")].flatMap((drawing) => {
          const frame = drawing.getBoundingClientRect(), all = [...drawing.querySelectorAll("text")];
          return all.filter((one) => !one.matches(".x-label, .soft, .x-sample + text")).filter((one) => {
            const own = one.getBoundingClientRect();
            const over = all.some((two) => {
              const other = two.getBoundingClientRect();
              return two !== one && Math.min(own.right, other.right) - Math.max(own.left, other.left) > 2 &&
                Math.min(own.bottom, other.bottom) - Math.max(own.top, other.top) > 0.4 * own.height;
            });
            return over || own.right > frame.right + 1 || own.left < frame.left - 1;
          }).map((one) => one.textContent);
        })"""
    )
    page.close()
    assert found == []
