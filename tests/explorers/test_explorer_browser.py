"""The explorers in a static page, in real Chromium: what they show is what Python computes."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from casestudies.explorers import ConvolutionCost, ZeroWeights

pytestmark = pytest.mark.browser

# Sets each combination through the page's own inputs and reads back what a reader would see.
DRIVE = """async (settings) => {
  const root = document.querySelector(".explorer"), seen = [];
  const enter = (key, value) => {
    const inputs = [...root.querySelectorAll(`[data-key="${key}"]`)];
    if (inputs[0].type === "radio") return inputs.find((radio) => radio.value === value).click();
    const [input] = inputs;
    if (input.type === "checkbox") { if (input.checked !== value) input.click(); return; }
    if (input.value === String(value)) return;
    input.value = value;
    for (const name of ["input", "change"]) input.dispatchEvent(new Event(name, { bubbles: true }));
  };
  for (const setting of settings) {
    for (const [key, value] of Object.entries(setting)) enter(key, value);
    const rows = [...root.querySelectorAll("tbody tr")];
    const cells = rows.map((row) => [...row.children].map((cell) => cell.textContent));
    seen.push([root.querySelector(".x-result").textContent, cells]);
  }
  return seen;
}"""


def drive(page: Any, settings: list[dict[str, Any]]) -> list[tuple[str, list[list[str]]]]:
    return page.evaluate(DRIVE, settings)


def grid(**values: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(values, combination, strict=True)) for combination in product(*values.values())]


GRIDS: dict[type, list[dict[str, Any]]] = {
    ConvolutionCost: grid(
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
    ZeroWeights: grid(
        norm=["none", "train", "eval"],
        activation=["relu", "tanh"],
        shortcut=["identity", "projection"],
        input=["activated", "raw"],
        scale=[0, 0.01, 0.5],
        last_norm=[0, 1],
    ),
}


@pytest.mark.parametrize("explorer", GRIDS, ids=lambda explorer: explorer.__name__)
def test_page_says_what_python_says_over_the_grid(open_page, explorer):
    seen = drive(open_page(explorer()), GRIDS[explorer])
    assert [sentence for sentence, _ in seen] == [
        explorer(**settings).sentence() for settings in GRIDS[explorer]
    ]


def test_table_of_convolution_cost_has_pythons_figures(open_page):
    settings = [s for s in GRIDS[ConvolutionCost] if "MACs" in ConvolutionCost(**s).sentence()]
    shown = [
        [(row[0], int(row[1].replace(",", "")), int(row[2].replace(",", ""))) for row in table]
        for _, table in drive(open_page(ConvolutionCost()), settings)
    ]
    computed = [
        [(x.name, x.parameters, x.macs) for x in ConvolutionCost.compute(**s).layers] for s in settings
    ]
    assert shown == computed
