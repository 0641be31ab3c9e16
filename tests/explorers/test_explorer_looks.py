"""How the explorers look, measured in the browser: what is hidden, what stands where, what can be told apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from test_explorer_browser import GRIDS, drawn_page
from test_explorer_figures import made_up_mistakes, made_up_runs

from casestudies import language
from casestudies.explorers import (
    ConvolutionCost,
    DegradationCurves,
    MakeTheMistake,
    NetworkComparison,
    ReceptiveField,
    ShapeTracer,
    YourOwnNetwork,
    ZeroWeights,
)
from casestudies.explorers.your_own_network import COURSE

pytestmark = pytest.mark.browser
WIDTHS = (390, 820, 1280)


@pytest.fixture(scope="module", params=GRIDS)
def shown(request, browser, tmp_path_factory) -> Iterator[Any]:
    """Each explorer on a page, to be looked at in several widths."""
    yield from drawn_page(browser, tmp_path_factory.mktemp("shown"), request.param, 820)


def settled(page: Any, width: int) -> None:
    """The page in a width, painted, and its boxes told what they hide."""
    page.set_viewport_size({"width": width, "height": 900})
    page.evaluate(
        "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


# Rows that lie outside what their box shows, the box's classes, and the place of the foot where it has one.
HIDDEN = """() => [...document.querySelectorAll(".x-table, .x-stack")].filter((one) => one.offsetHeight).map(
(box) => {
  const { top, bottom } = box.getBoundingClientRect(), rows = [...box.querySelectorAll("tbody tr, li")];
  const [foot, head] = ["tfoot", "thead"].map((part) => box.querySelector(`${part} tr > *`)?.getBoundingClientRect());
  const edge = foot?.height ? Math.min(bottom, foot.top) : bottom, start = head?.height ? head.bottom : top;
  return {
    below: rows.some((row) => row.getBoundingClientRect().bottom > edge + 1.5),
    above: rows.some((row) => row.getBoundingClientRect().top < start - 1.5),
    says: [box.classList.contains("x-above"), box.classList.contains("x-below")],
    sum: !foot?.height || foot.bottom <= bottom + 1,
    shadow: getComputedStyle(box.querySelector("tfoot tr :is(th, td)") ?? box, "::after").backgroundImage,
  };
})"""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_box_hides_a_row_without_a_sign_and_none_its_sum(shown, width):
    settled(shown, width)
    for part in (0, 0.5, 1):
        shown.evaluate(
            """(part) => document.querySelectorAll(".x-table, .x-stack").forEach((box) => {
              box.scrollTop = part * box.scrollHeight;
            })""",
            part,
        )
        settled(shown, width)
        for box in shown.evaluate(HIDDEN):
            assert box["says"] == [box["above"], box["below"]]
            assert box["sum"]
            assert not box["below"] or "gradient" in box["shadow"]


def test_long_tables_and_lists_are_among_them(open_page):
    tall = open_page(ReceptiveField(layers=[(3, 1)] * 30), ShapeTracer(network="mobilenet_v1"))
    settled(tall, 820)
    boxes = tall.evaluate(HIDDEN)
    assert sum(box["below"] for box in boxes) == 3  # the list, and both tables


FIGURES = """() => [...document.querySelectorAll(".x-table tbody tr")].flatMap((row) =>
  [...row.children].slice(1).filter((cell) => /^-?[\\d.,]+( %)?$/.test(cell.textContent))
    .map((cell) => [cell.cellIndex, cell.textContent, getComputedStyle(cell).textAlign]))"""


def test_figures_of_a_column_end_below_each_other(shown):
    assert {side for _, _, side in shown.evaluate(FIGURES)} <= {"right"}


def test_column_of_words_stays_on_the_left(open_page):
    page = open_page(YourOwnNetwork(), NetworkComparison(["vgg16", "alexnet"]))
    sides = "all => all.map((one) => getComputedStyle(one).textAlign)"
    assert set(page.locator(".x-table tr > :first-child").evaluate_all(sides)) == {"left"}
    published = page.locator(".explorer").nth(1).locator("tbody td:last-child")
    assert set(published.evaluate_all(sides)) == {"left"}


def test_name_of_a_drawing_stands_over_its_layers(open_page):
    page = open_page(MakeTheMistake("resnet", made_up_mistakes("resnet"), mistake="skip_forgotten"))
    page.locator(".x-side svg").first.wait_for()
    for width in WIDTHS:
        settled(page, width)
        off = page.evaluate("""() => [...document.querySelectorAll(".x-side")].map((side) => {
          const range = document.createRange();
          range.selectNodeContents(side.querySelector(".x-name"));
          const [name, layer] = [range, side.querySelector("svg rect")].map((one) => one.getBoundingClientRect());
          return Math.abs(name.left + name.width / 2 - layer.left - layer.width / 2);
        })""")
        assert off and max(off) < 2


def test_pools_of_a_function_differ_in_the_drawing(open_page):
    one = MakeTheMistake("alexnet", made_up_mistakes("alexnet"), mistake="pooling_two_by_two")
    page = open_page(one)
    page.locator(".x-side svg").nth(1).wait_for()
    right, wrong = page.locator(".x-side").all_inner_texts()
    assert "max pool 3×3, stride 2" in right and "max pool 2×2, stride 2" in wrong
    assert "_" not in right + wrong


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "x, y", [("macs", "intensity"), ("macs", "error"), ("parameters", "macs"), ("depth", "parameters")]
)
def test_chosen_network_has_its_name_beside_its_dot_or_on_a_line(open_page, width, x, y):
    page = open_page(NetworkComparison(x=x, y=y, selected="vgg16"), width=width)
    page.locator("svg [data-point]").first.wait_for()
    names = page.locator("[data-point]").evaluate_all("all => all.map((one) => one.dataset.point)")
    for name in names:
        page.locator('select[data-key="selected"]').select_option(name)
        settled(page, width)
        far, lead, over = page.evaluate(
            """(name) => {
          const box = (node) => node.getBoundingClientRect(), dots = [...document.querySelectorAll("[data-point]")];
          const dot = box(dots.find((one) => one.dataset.point === name).querySelector(".x-mark"));
          const labels = [...document.querySelectorAll("svg text.x-label")].filter((one) => one.textContent === name);
          const label = box(labels.find((one) => one.style.fontWeight === "700"));
          const gap = (low, high, other, end) => Math.max(0, low - end, other - high);
          const aside = gap(label.left, label.right, dot.left, dot.right);
          const far = Math.hypot(aside, gap(label.top, label.bottom, dot.top, dot.bottom));
          const over = dots.filter((one) => {
            const at = box(one.querySelector(".x-mark"));
            const beside = at.left >= label.right - 2 || at.right <= label.left + 2;
            return !beside && at.top < label.bottom - 4 && at.bottom > label.top + 4;
          });
          return [far, document.querySelectorAll(".x-lead").length, over.map((one) => one.dataset.point)];
        }""",
            name,
        )
        assert over == [] and (far < 14 or lead == 1), (name, far, lead)


def test_curves_are_told_apart_by_more_than_colour(open_page):
    page = open_page(DegradationCurves(made_up_runs()), ZeroWeights(norm="train"))
    page.wait_for_function("document.querySelectorAll('.x-sample').length > 6")
    for chart in page.locator("svg:has(path.x-sample)").all():
        samples = chart.evaluate("""(svg) => [...svg.querySelectorAll("path.x-sample")].map((one) =>
          [one.getAttribute("stroke-dasharray"), one.getAttribute("stroke"), one.nextElementSibling.textContent])""")
        curves = chart.evaluate("""(svg) => [...svg.querySelectorAll("path[fill=none]:not(.axis, .x-sample)")].map(
          (one) => [one.getAttribute("stroke-dasharray"), one.getAttribute("stroke")])""")
        assert sorted(map(str, curves)) == sorted(str(sample[:2]) for sample in samples)
        looks = chart.evaluate("""(svg) => [...svg.querySelectorAll("path.x-sample")].map((one) =>
          [one.getAttribute("stroke-dasharray"), one.getAttribute("stroke-width")].join())""")
        assert len(set(looks)) == len(looks)  # also without any colour


@pytest.mark.parametrize("lang", ["en", "ko"])
@pytest.mark.parametrize("width", WIDTHS)
def test_entries_of_a_legend_stand_apart_and_inside(open_page, lang, width):
    with language.speaking(lang):
        page = open_page(ShapeTracer(network="mobilenet_v1"), YourOwnNetwork(), ZeroWeights(), width=width)
    page.wait_for_function("document.querySelectorAll('.x-sample').length > 12")
    for svg in page.locator("svg:has(.x-sample)").all():
        boxes, right = svg.evaluate("""(svg) => [[...svg.querySelectorAll(".x-sample")].map((one) => {
          const [sample, name] = [one, one.nextElementSibling].map((node) => node.getBoundingClientRect());
          return [sample.left, name.right, name.top, sample.right <= name.left];
        }), svg.getBoundingClientRect().right]""")
        assert all(end <= right + 1 and apart for _, end, _, apart in boxes)
        for (begin, end, top, _), (start, _, below, _) in zip(boxes, boxes[1:], strict=False):
            assert below > top + 5 or 4 <= start - end <= 20 + 0.6 * (end - begin)


CONTRAST = """([selector]) => {
  const linear = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
  const light = (rgb) => rgb.reduce((sum, v, i) => sum + [0.2126, 0.7152, 0.0722][i] * linear(v), 0);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour) => {
    probe.fillStyle = colour;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  const root = document.querySelector(".explorer"), paper = read(getComputedStyle(root).backgroundColor);
  return [...root.querySelectorAll(selector)].map((one) => {
    const opacity = Number(one.getAttribute("opacity") ?? 1);
    const ink = read(getComputedStyle(one).fill).map((v, i) => opacity * v + (1 - opacity) * paper[i]);
    const [a, b] = [light(ink), light(paper)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  });
}"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("make", [ZeroWeights, lambda: ConvolutionCost(groups=2),
    lambda: ConvolutionCost(kind="separable")], ids=["zero weights", "groups", "separable"])  # fmt: skip
def test_bars_stand_out_from_the_page(open_page, theme, make):
    page = open_page(make())
    page.locator(".x-stage svg rect").first.wait_for()
    # As the book's theme has it.
    paper, muted = {"light": ("#ffffff", "#48566b"), "dark": ("#14181e", "#9ca4af")}[theme]
    page.evaluate(
        """([theme, ...values]) => {
          document.documentElement.dataset.theme = theme;
          const { style } = document.documentElement;
          ["background", "text-muted"].forEach((name, i) => style.setProperty(`--pst-color-${name}`, values[i]));
        }""",
        [theme, paper, muted],
    )
    settled(page, 820)
    found = page.evaluate(CONTRAST, ["svg rect:not([fill-opacity], [fill=none])"])
    assert len(found) > 3 and min(found) >= 3


def test_example_in_use_is_marked_until_a_setting_leaves_it(open_page):
    page = open_page(ConvolutionCost())
    current = page.locator(".x-presets button[aria-current]")
    page.get_by_role("button", name="A MobileNet layer").click()
    assert current.all_inner_texts() == ["A MobileNet layer"]
    assert current.evaluate("one => getComputedStyle(one).fontWeight") == "600"
    page.locator('input[data-key="grid"]').fill("15")
    assert current.count() == 0


def test_small_network_is_offered_and_marked_where_another_one_stands(open_page):
    page = open_page(YourOwnNetwork(COURSE["vgg16"]))
    current, text = page.locator(".x-presets button[aria-current]"), page.locator("textarea")
    assert current.all_inner_texts() == ["vgg16"]
    page.get_by_role("button", name="a small residual one").click()
    assert current.all_inner_texts() == ["a small residual one"]
    assert text.input_value().strip() == YourOwnNetwork().text.strip()


def test_paper_has_all_of_a_long_network(open_page):
    page = open_page(YourOwnNetwork("\n".join(["image 3x224x224", *["conv 8"] * 60])))
    page.emulate_media(media="print")
    cut = page.locator("textarea").evaluate("one => one.scrollHeight - one.clientHeight")
    wide = page.locator(".x-table").evaluate("one => one.scrollWidth - one.clientWidth")
    assert max(cut, wide) <= 1


def test_nothing_of_a_hidden_row_shows_below_the_sum(open_page):
    page = open_page(YourOwnNetwork(COURSE["vgg16"]))
    settled(page, 1280)
    below = """(box) => box.querySelector("tfoot th, tfoot td").getBoundingClientRect().bottom
      - box.getBoundingClientRect().bottom"""
    assert page.locator(".x-table").evaluate(below) >= 0.5


def test_convolution_in_groups_is_drawn_beside_the_standard_one(open_page):
    page = open_page(
        ConvolutionCost(kind="standard", in_channels=96, out_channels=256, kernel=5, grid=27, groups=2)
    )
    bars = page.locator('svg[aria-label^="MACs of the"]')
    names = bars.locator("text").all_text_contents()
    assert {"grouped", "standard"} <= set(names)
    said = page.locator(".x-result").inner_text()
    macs = {
        name: count
        for name, count in re.findall(r"(grouped|standard) ([\d,]*\d)", bars.get_attribute("aria-label"))
    }
    assert f"takes {macs['grouped']} MACs" in said and f"convolution's {macs['standard']}" in said


def test_names_with_numbers_and_sizes_are_not_broken(open_page):
    page = open_page(DegradationCurves(made_up_runs()), ConvolutionCost(kind="bottleneck"), width=390)
    lines = "(all) => all.map((one) => [one.textContent, one.getClientRects().length])"
    found = page.locator(".x-result .x-whole, tbody .x-whole").evaluate_all(lines)
    assert {"plain-20", "residual-56", "1 × 1,"} <= {name for name, _ in found}
    assert {count for _, count in found} == {1}


def test_powers_are_raised_and_read_as_python_has_them(open_page):
    page = open_page(GRIDS["CompoundScaling"][0](phi=1))
    assert page.locator(".x-result sup").inner_text() == "φ"
    assert "(αβ²γ²)^φ" in page.locator(".x-result").text_content()


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_bar_of_the_error_begins_behind_its_name_and_names_its_mark(open_page, lang):
    with language.speaking(lang):
        page = open_page(GRIDS["TakeBlocksOut"][0]())
    page.locator(".x-damage > div > svg").wait_for()
    name, bar, texts = page.locator(".x-damage > div > svg").evaluate("""(svg) => [
      svg.querySelector("text").getBoundingClientRect().right, svg.querySelector("rect").getBoundingClientRect().left,
      [...svg.querySelectorAll("text")].map((one) => one.textContent)]""")
    assert 6 <= bar - name <= 40
    assert {"en": "guessing: 90 %", "ko": "찍으면 90 %"}[lang] in texts


def test_stem_and_blocks_begin_at_the_words_of_the_buttons(open_page):
    page = open_page(GRIDS["TakeBlocksOut"][0]())
    page.locator(".x-line").first.wait_for()
    starts = page.evaluate("""() => [...document.querySelectorAll(".x-line")].map((line) => {
      const range = document.createRange(), label = line.firstChild;
      range.selectNodeContents(label);
      return range.getBoundingClientRect().left;
    })""")
    assert len(starts) == 10 and max(starts) - min(starts) < 2


def test_grids_of_numbers_keep_their_distance_from_what_follows(open_page):
    page = open_page(GRIDS["DrawADigit"][0](), width=390)
    page.locator(".x-grids").first.wait_for()
    gaps = page.evaluate("""() => {
      const grid = document.querySelector(".x-grids").getBoundingClientRect();
      const caption = document.querySelector(".x-table").previousElementSibling;
      return caption.getBoundingClientRect().top - grid.bottom;
    }""")
    assert gaps >= 8
