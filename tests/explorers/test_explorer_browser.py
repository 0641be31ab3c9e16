"""The explorers in a static page, in real Chromium: what they show is what Python computes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from explorer_page import LOADER, static_page
from random_networks import random_network, spoiled
from test_explorer_figures import made_up_mistakes, made_up_runs, small_lenet, small_pair

from casestudies.explorers import (
    CompoundScaling,
    ConvolutionCost,
    DegradationCurves,
    DrawADigit,
    LookInside,
    MakeTheMistake,
    NetworkComparison,
    Progress,
    Questions,
    ReceptiveField,
    ShapeTracer,
    TakeBlocksOut,
    YourOwnNetwork,
    ZeroWeights,
)
from casestudies.explorers.draw_a_digit import LAYERS, examples
from casestudies.explorers.look_inside import FILTERS, STAGES
from casestudies.explorers.network_comparison import measure
from casestudies.explorers.shape_tracer import NETWORKS

pytestmark = pytest.mark.browser

# Sets each combination through the page's own inputs and reads back what a reader would see.
DRIVE = """async ([settings, which]) => {
  const root = document.querySelectorAll(".explorer")[which], seen = [];
  const change = (input, value) => {
    input.value = value;
    for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }));
  };
  const stack = (layers) => {
    const button = (name) => [...root.querySelectorAll("button")].find((one) => one.textContent === name);
    button("clear").click();
    for (const layer of layers) {
      button("+ 1 × 1").click();
      root.querySelectorAll("li:last-child select").forEach((select, i) => change(select, layer[i]));
    }
  };
  const enter = (key, value) => {
    if (key === "layers") return stack(value);
    if (key === "chosen") {
      [...root.querySelectorAll("button")].find((one) => one.textContent === "start again").click();
      for (const [name, choice] of Object.entries(value))
        root.querySelector(`[data-key="${name}"][value="${choice}"]`).click();
      return;
    }
    const inputs = [...root.querySelectorAll(`[data-key="${key}"]`)], [input] = inputs;
    if (!input) throw Error(`no input for ${key}`);
    if (Array.isArray(value)) {
      for (const box of inputs) if (box.checked !== value.includes(Number(box.value))) box.click();
    } else if (input.type === "radio") inputs.find((radio) => radio.value === value).click();
    else if (input.type === "checkbox") { if (input.checked !== value) input.click(); }
    else if (input.value !== String(value)) change(input, value);
  };
  for (const setting of settings) {
    for (const [key, value] of Object.entries(setting)) enter(key, value);
    const busy = () => [root, ...root.querySelectorAll("[aria-busy]")].some((one) => one.ariaBusy === "true");
    while (busy()) await new Promise((done) => setTimeout(done, 10));
    const rows = [...root.querySelectorAll("tbody tr")];
    const cells = rows.map((row) => [...row.children].map((cell) => cell.textContent));
    seen.push([root.querySelector(".x-result").textContent, cells]);
  }
  return seen;
}"""


def drive(page: Any, settings: list[dict[str, Any]], which: int = 0) -> list[tuple[str, list[list[str]]]]:
    """What the page's explorer no. `which` says after each setting, and its table."""
    return page.evaluate(DRIVE, [settings, which])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CompoundScaling", "DegradationCurves", "LookInside", "MakeTheMistake",
    "NetworkComparison", "Progress", "ReceptiveField", "ShapeTracer", "YourOwnNetwork"])  # fmt: skip
def test_a_stored_notebook_keeps_the_order_of_what_is_offered(browser, tmp_path, name):
    explorer, seen = GRIDS[name][0]() if name in GRIDS else Progress(), []
    for stored in (False, True):
        file = tmp_path / "page.html"
        file.write_text(static_page(explorer, stored=stored), "utf-8")
        page = browser.new_page()
        page.goto(file.as_uri())
        page.locator(".explorer").wait_for()
        page.wait_for_function("document.querySelector('.explorer').getAttribute('aria-busy') === 'false'")
        seen.append(page.locator(".explorer").inner_text())
        page.close()
    assert seen[0] == seen[1]


def grid(**values: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


def number(text: str) -> int:
    return int(text.replace(",", ""))


# Each explorer, and the settings it is driven through. The ranges include what is impossible.
GRIDS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "ConvolutionCost": (
        ConvolutionCost,
        grid(
            kind=["standard", "bottleneck", "separable"],
            padding=["same", "none"],
            stride=[1, 3],
            kernel=[1, 3, 11],
            grid=[1, 7, 28, 224],
            in_channels=[1, 192],
            out_channels=[5, 1024],
            groups=[1, 3],
            bias=[False, True],
        )[::7],
    ),
    "ZeroWeights": (
        ZeroWeights,
        grid(
            norm=["none", "train", "eval"],
            activation=["relu", "tanh"],
            shortcut=["identity", "projection"],
            input=["activated", "raw"],
            scale=[0, 0.01, 0.5],
            last_norm=[0, 1],
        ),
    ),
    "ReceptiveField": (
        ReceptiveField,
        [{"layers": list(stack)} for n in range(4) for stack in product([[3, 1], [2, 2], [7, 4]], repeat=n)],
    ),
    "CompoundScaling": (
        CompoundScaling,
        grid(coefficients=["formula"], phi=[0, 0.7, 2], alpha=[1.2, 1.3], beta=[1.1, 1.07], gamma=[1.15])
        + grid(coefficients=["b1", "b4"]),
    ),
    "ShapeTracer": (
        ShapeTracer,
        grid(network=NETWORKS, size=[7, 32, 97]) + grid(network=["alexnet_2012", "lenet5"], size=[227, 33]),
    ),
    "NetworkComparison": (
        NetworkComparison,
        grid(
            x=["year", "macs", "intensity", "error"],
            y=["parameters", "memory", "depth", "published", "macs"],
            selected=["vgg16", "googlenet", "efficientnet_b4"],
        ),
    ),
    "DegradationCurves": (
        lambda **settings: DegradationCurves(made_up_runs(), **settings),
        grid(
            data=["digits", "cifar10"],
            family=["both", "plain", "residual"],
            depths=[[8, 20, 56], [8], [20, 56], []],
            measure=["train_error", "gradient_norm", "train_loss"],
            epoch=[1, 8],
        ),
    ),
    "DrawADigit": (
        lambda **settings: DrawADigit(small_lenet(), **settings),
        [
            setting
            for setting in grid(
                pixels=["a" * 64, "q" * 64, examples()[7][0]],
                layer=list(LAYERS),
                map=[0, 5],
                row=[0, 9],
                column=[0, 7],
            )
            if max(setting["row"], setting["column"]) < LAYERS[setting["layer"]][1]
        ],
    ),
    "LookInside, classes": (
        lambda **settings: LookInside("classes", **settings),
        grid(photo=["coffee", "cat"], rank=[0, 4], channel=[0, 7], row=[0, 6], column=[3]),
    ),
    "LookInside, filters": (
        lambda **settings: LookInside("filters", **settings),
        grid(photo=["cat", "rocket"], layer=list(FILTERS), channel=[0, 5], row=[0, 13], column=[7])
        + grid(photo=["palace"], layer=["block 4"], channel=[7], row=[27], column=[27, 0]),
    ),
    "LookInside, stages": (
        lambda **settings: LookInside("stages", **settings),
        grid(photo=["flower", "cat"], layer=list(STAGES), channel=[0, 2], row=[5], column=[0, 6]),
    ),
    "MakeTheMistake": (
        lambda **settings: MakeTheMistake("resnet", made_up_mistakes("resnet"), **settings),
        grid(
            measure=["train_error", "test_error"],
            mistake=["none", "relu_before_addition", "bias_before_batch_norm", "projection_without_stride"],
        ),
    ),
    "Questions": (
        lambda **settings: Questions("resnet", **settings),
        grid(
            chosen=[
                {"depth": first, "block_output": second}
                for first in ("right", "one_stage", "ends_forgotten")
                for second in ("skip_forgotten", "right")
            ]
            + [{}, {"depth": "right"}]
        ),
    ),
    "TakeBlocksOut": (
        lambda **settings: TakeBlocksOut(*small_pair(), **settings),
        grid(network=["residual"], statistics=["stored", "recomputed"], out=[[], [0, 3]], strength=[0.8], digit=[4])
        + grid(network=["plain"], statistics=["recomputed", "stored"], out=[[5], []], digit=[354, 10]),
    ),
    "YourOwnNetwork": (
        YourOwnNetwork,
        [{"text": text} for seed in range(20) for text in (spoiled(seed), random_network(seed))],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRIDS)
def test_page_says_what_python_says_over_the_grid(open_page, name):
    make, settings = GRIDS[name]
    seen = drive(open_page(make()), settings)
    assert [sentence for sentence, _ in seen] == [make(**setting).sentence() for setting in settings]


def test_table_of_convolution_cost_has_pythons_figures(open_page):
    settings = [s for s in GRIDS["ConvolutionCost"][1] if "MACs" in ConvolutionCost(**s).sentence()]
    shown = [
        [(row[0], number(row[1]), number(row[2])) for row in table]
        for _, table in drive(open_page(ConvolutionCost()), settings)
    ]
    assert shown == [
        [(x.name, x.parameters, x.macs) for x in ConvolutionCost.compute(**s).layers] for s in settings
    ]


ROW = """() => [...document.querySelectorAll("svg")].filter((one) => one.ariaLabel.startsWith("One row"))
  .map((row) => [row.ariaLabel, row.querySelectorAll("rect:not([height='14'])").length,
    row.querySelectorAll("rect[fill-opacity='0']").length])"""


@pytest.mark.parametrize("grid, kernel, padding, stride", [(6, 3, "none", 1), (7, 3, "same", 2), (8, 3, "none", 2),
    (10, 1, "none", 3), (14, 5, "same", 4), (24, 5, "none", 3), (5, 5, "none", 1)])  # fmt: skip
def test_row_of_windows_is_what_torch_reads(open_page, grid, kernel, padding, stride):
    pad = (kernel - 1) // 2 if padding == "same" else 0
    x = torch.zeros(1, 1, grid, requires_grad=True)
    out = torch.nn.functional.conv1d(x, torch.ones(1, 1, kernel), stride=stride, padding=pad)
    out.sum().backward()
    unread = int((x.grad == 0).sum())
    page = open_page(ConvolutionCost(grid=grid, kernel=kernel, padding=padding, stride=stride))
    page.wait_for_function("document.querySelectorAll('svg').length > 1")
    [[label, windows, empty]] = page.evaluate(ROW)
    assert (windows, empty) == (out.shape[-1], unread)
    assert (f"never read ({unread})" in label) == (unread > 0)


def test_row_of_windows_is_left_out_where_it_would_be_too_small(open_page):
    page = open_page(ConvolutionCost(grid=25, kernel=3, padding="none"))
    page.wait_for_function("document.querySelectorAll('svg').length > 1")
    assert page.evaluate(ROW) == []


def test_table_of_compound_scaling_has_pythons_figures(open_page):
    settings = GRIDS["CompoundScaling"][1]
    shown = [
        [(row[0], number(row[1]), number(row[2]), int(row[5].split()[0])) for row in table]
        for _, table in drive(open_page(CompoundScaling()), settings)
    ]
    computed = [CompoundScaling.compute(**setting).stages for setting in settings]
    assert shown == [[(x.name, x.parameters, x.macs, x.side) for x in stages] for stages in computed]


def test_table_of_shape_tracer_is_the_ledger(open_page):
    settings = [
        {"network": name, "size": size} for name, size in (("googlenet", 97), ("efficientnet_b0", 224))
    ]
    for setting, (_, table) in zip(settings, drive(open_page(ShapeTracer()), settings), strict=True):
        rows = {row.layer: row for row in ShapeTracer.compute(**setting).rows if row.macs}
        shown = {row[0].rsplit(" ", 1)[-1]: row for row in table}
        for layer, row in rows.items():
            cells = next(cells for name, cells in shown.items() if name.endswith(layer))
            assert [number(cell) for cell in cells[2:5]] == [row.parameters, row.macs, row.activations]


def test_table_of_receptive_field_grows_as_in_python(open_page):
    layers = [[7, 2], [3, 2], [3, 1], [3, 1]]
    [(_, table)] = drive(open_page(ReceptiveField()), [{"layers": layers}])
    assert [int(row[4].split()[0]) for row in table] == [row.field for row in ReceptiveField.compute(layers)]


def test_receptive_field_is_exact_where_numbers_of_the_browser_are_not(open_page):
    layers = [[15, 8]] * 20
    page = open_page(explorer := ReceptiveField(layers=layers))
    [(_, table)] = drive(page, [{"layers": layers}])
    found = [[int(row[place].split()[0].replace(",", "")) for place in (3, 4)] for row in table]
    assert found == [[row.jump, row.field] for row in ReceptiveField.compute(layers)]
    assert found[-1][1] > 2**53
    assert result(page) == explorer.sentence()


# Keys, fingers, narrow pages


def result(page: Any) -> str:
    return page.locator(".x-result").inner_text()


def test_button_that_ends_its_own_use_hands_the_focus_on(open_page):
    page = open_page(ReceptiveField(layers=[[3, 1]]))
    focused = "() => document.activeElement.textContent"
    page.get_by_role("button", name="clear").focus()
    page.keyboard.press("Space")
    assert page.get_by_role("button", name="clear").is_disabled() and page.evaluate(focused) == "+ 3 × 3"
    while page.get_by_role("button", name="+ 3 × 3", exact=True).is_enabled():
        page.keyboard.press("Space")
    assert page.evaluate(focused) == "clear"


def test_arrow_key_on_a_slider_takes_the_next_value(open_page):
    page = open_page(ConvolutionCost(kernel=3))
    page.locator('[data-slider="kernel"]').focus()
    page.keyboard.press("ArrowRight")
    assert result(page) == ConvolutionCost(kernel=5).sentence()


def test_arrow_key_on_a_choice_takes_the_next_one(open_page):
    page = open_page(ConvolutionCost(kind="bottleneck"))
    page.locator('[data-key="kind"]:checked').focus()
    page.keyboard.press("ArrowRight")
    assert result(page) == ConvolutionCost(kind="separable").sentence()


def test_tab_reaches_every_input_of_an_explorer(open_page):
    page = open_page(ConvolutionCost())
    wanted = page.locator(".x-controls [data-key]:visible").evaluate_all(
        "all => [...new Set(all.map(one => one.dataset.key))]"
    )
    reached = set()
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.key"))
    assert set(wanted) <= reached


def test_arrow_key_goes_from_dot_to_dot_and_keeps_the_focus(open_page):
    names = ["resnet18", "resnet50", "vgg16"]
    page = open_page(NetworkComparison(names, x="macs", y="parameters", selected="resnet18"))
    page.locator('[data-point="resnet18"]').focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.dataset.point === 'resnet50'")
    assert result(page) == NetworkComparison(names, x="macs", y="parameters", selected="resnet50").sentence()


def test_table_of_the_networks_has_pythons_figures_and_breaks_names_behind_underscores(open_page):
    names = ["googlenet_torchvision", "resnet18", "nin_imagenet"]
    page = open_page(NetworkComparison(names, x="parameters", y="error", selected="resnet18"))
    rows = page.evaluate("""() => [...document.querySelectorAll(".x-table tbody tr")].map((row) =>
        [...row.children].map((cell) => cell.innerText.split("\\n")))""")
    assert [row[0][0] for row in rows] == names
    for name, row in zip(names, rows, strict=True):
        known = measure(name)
        assert row[0][1] == f"{known['image']} × {known['image']}"
        assert row[1] == [f"{known['parameters']:,}"]
        assert row[-1] == [f"{known['published']:.1f} %", known["protocol"]]
    assert page.locator("tbody th wbr").count() == sum(name.count("_") for name in names)


def test_removing_a_layer_leaves_the_focus_among_the_layers(open_page):
    page = open_page(ReceptiveField(layers=[(3, 1), (5, 1)]))
    page.get_by_label("Remove layer 1").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Remove layer 1"
    assert result(page) == ReceptiveField(layers=[(5, 1)]).sentence()


def test_value_out_of_range_gives_a_sentence_and_no_figures(open_page):
    page = open_page(ConvolutionCost())
    page.locator('input[data-key="grid"]').fill("9999")
    assert result(page) == "Grid: a whole number from 1 to 512."
    assert page.locator(".x-table").is_hidden()


def test_box_of_a_number_that_is_zero_is_not_empty(open_page):
    page = open_page(DrawADigit(small_lenet(), map=0))
    assert page.locator('input[data-key="map"]').input_value() == "0"


def test_leaving_a_box_with_an_impossible_value_puts_the_last_one_back(open_page):
    page = open_page(ConvolutionCost(grid=28))
    page.locator('input[data-key="grid"]').fill("")
    page.locator('input[data-key="grid"]').blur()
    assert page.locator('input[data-key="grid"]').input_value() == "28"
    assert result(page) == ConvolutionCost(grid=28).sentence()


def test_impossible_setting_draws_nothing(open_page):
    page = open_page(ConvolutionCost(in_channels=64, groups=3))
    page.wait_for_function("document.querySelectorAll('.x-stage svg').length === 0")
    assert page.locator(".x-table").is_hidden()


def test_finger_selects_a_network(open_page):
    names = ["resnet18", "vgg16"]
    page = open_page(NetworkComparison(names, selected="vgg16"), width=390, has_touch=True)
    page.locator('[data-point="resnet18"]').tap()
    assert result(page) == NetworkComparison(names, selected="resnet18").sentence()


def test_finger_takes_an_example(open_page):
    page = open_page(ZeroWeights(), width=390, has_touch=True)
    page.get_by_role("button", name="The argument").tap()
    assert result(page) == ZeroWeights(scale=0).sentence()


def drawn_page(browser, folder, name, width):
    """A page with one explorer, when all of it is drawn."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    file = folder / "page.html"
    file.write_text(static_page(GRIDS[name][0]()), "utf-8")
    page.goto(file.as_uri())
    page.locator(".x-stage svg, .x-question").first.wait_for(state="attached")
    page.wait_for_function("document.querySelector('.explorer').getAttribute('aria-busy') === 'false'")
    yield page
    page.close()


@pytest.fixture(scope="module", params=GRIDS)
def narrow(request, browser, tmp_path_factory) -> Iterator[Any]:
    """Each explorer on a page 390 pixels wide, only to be looked at."""
    yield from drawn_page(browser, tmp_path_factory.mktemp("narrow"), request.param, 390)


def test_narrow_page_does_not_scroll_sideways(narrow):
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 390


def test_drawing_fits_a_narrow_page(narrow):
    beyond = """() => {
      const edges = (node) => node.getBoundingClientRect();
      return [...document.querySelectorAll(".x-stage svg")].flatMap((svg) => {
        const { left, right } = edges(svg);
        const cut = (one) => edges(one).left < left - 2 || edges(one).right > right + 2;
        return [...svg.querySelectorAll("text")].filter(cut);
      }).map((one) => one.textContent);
    }"""
    assert narrow.evaluate(beyond) == []


def test_every_input_has_a_label(narrow):
    unnamed = """() => [...document.querySelectorAll(".explorer :is(input:not([type=hidden]), select, button)")]
      .filter((one) => !(one.labels?.length || one.ariaLabel || one.textContent.trim()))
      .map((one) => one.outerHTML)"""
    assert narrow.evaluate(unnamed) == []


def test_drawing_has_a_text_alternative(narrow):
    labels = narrow.locator(".x-stage svg:not([aria-hidden])").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    painted = narrow.locator(".x-stage canvas").count()  # see the next test
    assert labels or painted or narrow.locator(".x-question").count()  # words alone need none
    assert all(len(label.split()) > 4 for label in labels)


def test_canvas_and_photograph_have_a_text_alternative(narrow):
    unnamed = """() => [...document.querySelectorAll(".x-stage :is(canvas, img)")]
      .filter((one) => !one.closest("[aria-hidden=true], button") && !(one.ariaLabel || one.alt))
      .map((one) => one.outerHTML)"""
    assert narrow.evaluate(unnamed) == []


def test_result_is_announced(narrow):
    assert narrow.locator(".x-result").get_attribute("aria-live") == "polite"


def test_keys_of_an_explorer_do_not_reach_the_page_around_it(open_page):
    page = open_page(ConvolutionCost())
    page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => heard.push(event.key))")
    page.locator('[data-slider="kernel"]').focus()
    for key in ("ArrowRight", "Control+s"):
        page.keyboard.press(key)
    assert page.evaluate("heard.filter((key) => key !== 'Control')") == ["s"]


def test_dark_page_gets_the_lighter_colours(open_page):
    page = open_page(ConvolutionCost())
    colour = "getComputedStyle(document.querySelector('.explorer')).getPropertyValue('--x-conv')"
    light = page.evaluate(colour)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")
    assert page.evaluate(colour) != light


def test_two_explorers_on_a_page_do_not_disturb_each_other(open_page):
    page = open_page(ConvolutionCost(grid=28), ConvolutionCost(grid=56))
    page.locator('input[data-key="grid"]').first.fill("14")
    assert page.locator(".x-result").all_inner_texts() == [
        ConvolutionCost(grid=n).sentence() for n in (14, 56)
    ]


def test_explorer_that_cannot_start_says_so(browser, tmp_path):
    broken = "throw Error('broken'); export default"
    file = tmp_path / "page.html"
    file.write_text(static_page(ConvolutionCost()).replace("export default", broken), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.get_by_text("This explorer could not start (broken).").wait_for()
    page.close()


# A page as the book makes it: executed, cached, and built by myst-nb

CONF = """
extensions = ["myst_nb"]
nb_execution_mode = "cache"
nb_execution_timeout = 300
exclude_patterns = ["out", ".jupyter_cache", "jupyter_execute"]
nb_ipywidgets_js = {}
html_js_files = ["explorers.js"]
"""
PAGE = """---
file_format: mystnb
kernelspec:
  name: python3
---
# A page

```{code-cell} ipython3
from casestudies.explorers import ZeroWeights
ZeroWeights(scale=0.5)
```
"""


@pytest.fixture(scope="module")
def built_page(tmp_path_factory) -> Path:
    pytest.importorskip("myst_nb", reason="myst-nb is not installed")
    folder = tmp_path_factory.mktemp("book")
    (folder / "conf.py").write_text(CONF + f"html_static_path = [{str(LOADER.parent)!r}]\n", "utf-8")
    (folder / "index.md").write_text(PAGE, "utf-8")
    build = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", str(folder), str(folder / "out")]
    for _ in range(2):  # the second time, what the page shows comes from the cache
        subprocess.run(build, check=True, capture_output=True, timeout=300)
    return folder / "out" / "index.html"


@pytest.mark.slow
def test_page_built_from_the_cache_is_alive(browser, built_page):
    page = browser.new_page()
    page.goto(built_page.as_uri())
    page.locator(".explorer").wait_for()
    page.locator('[data-slider="scale"]').focus()
    page.keyboard.press("Home")
    assert result(page) == ZeroWeights(scale=0).sentence()
    assert page.locator(".explorer-fallback").is_hidden()
    page.close()


@pytest.mark.slow
def test_page_without_javascript_tells_the_result(browser, built_page):
    page = browser.new_page(java_script_enabled=False)
    page.goto(built_page.as_uri())
    assert ZeroWeights(scale=0.5).sentence() in page.locator(".explorer-fallback").inner_text()
    assert page.locator(".explorer-fallback").is_visible()
    page.close()


@pytest.mark.parametrize("width", [390, 1000])
def test_names_in_the_chart_stand_beside_their_dots_where_there_is_room(open_page, width):
    page = open_page(NetworkComparison(), width=width)
    page.wait_for_function("document.querySelectorAll('svg text[pointer-events=none]').length > 3")
    names = page.locator("svg text[pointer-events=none]")
    sides = names.evaluate_all("all => all.map((one) => one.getAttribute('text-anchor'))")
    assert sides.count("start") > sides.count("middle") > 0
