"""Look inside a trained network: what the page shows is what the network computes on the photographs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import traitlets
from playwright.sync_api import expect
from test_explorer_browser import drive, result

from casestudies.explorers import LookInside
from casestudies.explorers.base import fixed
from casestudies.explorers.look_inside import (
    FILTERS,
    KEPT,
    STAGES,
    TOP,
    contents,
    levels_of,
    packed,
    unpacked,
)
from casestudies.networks.efficientnet import EfficientNetLite0
from casestudies.photographs import PHOTOGRAPHS, photograph
from casestudies.zoo import build
from casestudies.zoo.classify import classify
from casestudies.zoo.pretrained import preprocess

PHOTOS = list(PHOTOGRAPHS)
# The page's own functions on the page's own data, without its view.
MAPS = """async ([source, photo, layers, sprites]) => {
  const { mapsOf } = new Function(source.replace("export default", "const widget =") + "; return { mapsOf };")();
  const maps = await mapsOf(photo, layers, sprites);
  return Object.fromEntries(Object.entries(maps).map(([name, all]) => [name, all.map((one) => [...one])]));
}"""


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    made = build("efficientnet_lite0", pretrained=True).eval()
    assert isinstance(made, EfficientNetLite0)
    return made


@pytest.fixture(scope="module")
def true_maps(network: EfficientNetLite0) -> dict[str, dict[str, torch.Tensor]]:
    """photograph -> output of each stage, computed here by hooks, one photograph at a time."""
    found: dict[str, dict[str, torch.Tensor]] = {}
    parts = {"stage 1": network.stem, "stage 9": network.last}
    parts |= {name: network.features[block] for name, block in STAGES.items() if 0 <= block < 16}
    for photo in PHOTOS:
        here: dict[str, torch.Tensor] = {}
        hooks = [
            part.register_forward_hook(lambda _m, _i, y, name=name, here=here: here.update({name: y[0]}))
            for name, part in parts.items()
        ]
        with torch.no_grad():
            here["logits"] = network(preprocess(photograph(photo), "efficientnet_lite0"))[0]
        for hook in hooks:
            hook.remove()
        found[photo] = here
    return found


def test_stages_are_the_rows_of_the_papers_table(true_maps):
    shapes = [(one.channels, one.side) for one in contents("stages").layers.values()]
    assert shapes == [(16 * c, s) for c, s in zip((2, 1), (112, 112), strict=True)] + [
        (24, 56), (40, 28), (80, 14), (112, 14), (192, 7), (320, 7), (1280, 7),
    ]  # fmt: skip
    for name, layer in contents("stages").layers.items():
        assert true_maps["cat"][name].shape == (layer.channels, layer.side, layer.side)


@pytest.mark.parametrize("name", STAGES)
def test_map_is_the_networks_to_half_a_level(true_maps, name):
    explorer = LookInside("stages", layer=name)
    layer = contents("stages").layers[name]
    half = np.array(layer.step)[:, None, None] / 2
    for photo in PHOTOS:
        explorer.photo = photo
        true = true_maps[photo][name][list(layer.kept)].double().numpy()
        assert (np.abs(explorer.maps() - true) <= half + 1e-4).all()


@pytest.mark.parametrize("name", STAGES)
def test_share_of_zeros_is_that_of_all_channels(true_maps, name):
    share = np.mean([(true_maps[photo][name] == 0).double().mean().item() for photo in PHOTOS])
    assert contents("stages").layers[name].zeros == pytest.approx(share, abs=1e-4)


@pytest.mark.parametrize("name", STAGES)
def test_channels_that_are_shown_vary_most_on_the_photograph_where_they_vary_least(true_maps, name):
    least = torch.stack([true_maps[photo][name].flatten(1).var(1) for photo in PHOTOS]).amin(0)
    layer = contents("stages").layers[name]
    count = KEPT[layer.side][1]
    assert len(set(layer.kept)) == count
    torch.testing.assert_close(
        least[list(layer.kept)], least.sort(descending=True).values[:count], rtol=1e-3, atol=1e-6
    )


@pytest.mark.parametrize("photo", PHOTOS)
def test_five_classes_are_those_that_classify_gives(photo):
    explorer = LookInside("classes", photo=photo)
    for rank, (name, share) in enumerate(classify(photograph(photo), "efficientnet_lite0", TOP)):
        explorer.rank = rank
        assert (explorer.answer().name, explorer.answer().share) == (name, pytest.approx(share, abs=1e-5))


@pytest.mark.parametrize("rank", range(TOP))
@pytest.mark.parametrize("photo", PHOTOS)
def test_contributions_and_bias_sum_to_the_logit_of_the_network(true_maps, photo, rank):
    explorer = LookInside("classes", photo=photo, rank=rank)
    found, index = explorer.class_figures(), explorer.answer().index
    logit = true_maps[photo]["logits"][index].item()
    assert found.contributions.sum() + found.bias == pytest.approx(logit, abs=1e-4)
    assert found.logit == pytest.approx(logit, abs=1e-4)


@pytest.mark.parametrize("photo", PHOTOS)
def test_class_map_is_the_last_layer_applied_at_every_place(network, true_maps, photo):
    explorer = LookInside("classes", photo=photo, rank=1, row=2, column=5)
    found, head = explorer.class_figures(), network.head[-1]
    with torch.no_grad():
        true = torch.einsum("c,chw->hw", head.weight[explorer.answer().index], true_maps[photo]["stage 9"])
    np.testing.assert_allclose(found.map, true.numpy(), atol=2e-3)
    assert found.cell.sum() == pytest.approx(found.map[2, 5], abs=1e-9)


@pytest.mark.parametrize("name", FILTERS)
def test_filter_makes_of_the_map_that_is_shown_what_torch_makes_of_it(network, name):
    """The block's own layers, with padding, norm and ReLU6, on the very numbers that the page has."""
    block = network.features[FILTERS[name]].block.double()
    at = next(i for i, part in enumerate(block) if any(getattr(m, "groups", 1) > 1 for m in part.modules()))
    explorer = LookInside("filters", layer=name)
    layer = contents("filters").layers[name]
    for index, channel in enumerate(layer.kept):
        explorer.channel = index
        x = torch.zeros(1, layer.channels, layer.side, layer.side, dtype=torch.float64)
        x[0, channel] = torch.from_numpy(explorer.maps()[index])
        with torch.no_grad():
            true = block[at + 1](block[at](x))[0, channel].numpy()
        np.testing.assert_allclose(explorer.filter_figures().output, true, atol=1e-9)
    network.float()


def test_filters_of_stride_two_and_of_five_by_five_are_shown():
    shown = {(one.kernel, one.stride) for one in contents("filters").depthwise.values()}
    assert {(3, 1), (5, 1), (5, 2)} <= shown


@pytest.mark.parametrize("name", FILTERS)
def test_filters_go_from_most_to_least_weight_in_the_middle(name):
    explorer = LookInside("filters", layer=name)
    shares = []
    for channel in range(len(contents("filters").layers[name].kept)):
        explorer.channel = channel
        shares.append(explorer.filter_figures().middle)
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]


def test_products_sum_to_the_number_in_front_of_the_norm():
    for row, column in ((0, 0), (13, 27), (27, 5)):
        explorer = LookInside("filters", layer="block 4", channel=3, row=row, column=column)
        found = explorer.filter_figures()
        assert found.products.sum() == pytest.approx(found.sums[row, column], abs=1e-12)


@pytest.mark.parametrize("count", [2, 16, 256, 2**16])
def test_levels_are_unpacked_as_they_were_packed(count):
    maps = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    maps[:, 1] = 4.0  # a channel that is the same everywhere
    levels, low, step = levels_of(maps, count)
    size = 1 if count <= 256 else 2
    assert levels.min() == 0 and levels.max() == count - 1
    again = low[:, None, None].numpy() + step[:, None, None].numpy() * unpacked(
        packed(levels[1], size), 7, size
    )
    assert (np.abs(again - maps[1].numpy()) <= step[:, None, None].numpy() / 2 + 1e-9).all()
    assert (again[1] == 4.0).all()


@pytest.mark.browser
@pytest.mark.parametrize("part", ["classes", "filters", "stages"])
def test_page_unpacks_the_numbers_that_python_unpacks(browser, part):
    explorer = LookInside(part, photo="motorcycle")
    page = browser.new_page()
    arguments = [explorer._esm, "motorcycle", explorer.layers, explorer.sprites]
    for name, maps in page.evaluate(MAPS, arguments).items():
        explorer.layer = name
        assert (np.array(maps).reshape(explorer.maps().shape) == explorer.maps()).all()
    page.close()


@pytest.mark.browser
def test_table_of_classes_adds_up_to_the_logit(open_page):
    page = open_page(LookInside("classes"))
    [(_, table)] = drive(page, [{"photo": "palace", "rank": 2}])
    found = LookInside("classes", photo="palace", rank=2).class_figures()
    top = [[str(c), fixed(float(found.contributions[c]), 3)] for c in found.order[:8]]
    assert [row[:2] for row in table[:8]] == top
    assert [row[0] for row in table[8:]] == ["the next 92", "the other 1,180", "bias"]
    assert table[-1][2] == fixed(found.logit, 3)
    assert sum(float(row[1]) for row in table) == pytest.approx(found.logit, abs=0.006)


@pytest.mark.browser
def test_table_of_filters_has_numpys_figures(open_page):
    [(_, table)] = drive(open_page(LookInside("filters")), [{"photo": "coffee", "layer": "block 5"}])
    explorer = LookInside("filters", photo="coffee", layer="block 5")
    for channel, row in enumerate(table):
        explorer.channel = channel
        found, kept = explorer.filter_figures(), contents("filters").layers["block 5"].kept
        own = np.corrcoef(found.input.ravel(), found.sums.ravel())[0, 1]
        assert row == [
            str(kept[channel]),
            f"{fixed(100 * found.middle, 0)} %",
            fixed(float(own), 2),
            fixed(float(found.output.max()), 3),
        ]


@pytest.mark.browser
def test_table_of_stages_counts_what_the_network_makes(open_page, true_maps):
    [(_, table)] = drive(open_page(LookInside("stages")), [{"layer": "stage 4"}])
    for row, name in zip(table, STAGES, strict=True):
        channels, side, _ = true_maps["cat"][name].shape
        assert row[:4] == [
            name, f"{side} × {side}", f"{channels:,}", f"{true_maps['cat'][name].numel():,}"
        ]  # fmt: skip


@pytest.mark.browser
def test_maps_are_unpacked_when_they_come_into_view_and_not_before(browser, tmp_path):
    from explorer_page import static_page

    file = tmp_path / "page.html"
    file.write_text(
        static_page(LookInside("classes")).replace("<main>", '<main><div style="height: 4000px"></div>'),
        "utf-8",
    )
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto(file.as_uri())
    page.locator(".explorer").wait_for(state="attached")
    page.wait_for_timeout(300)
    assert result(page) == "The maps are unpacked when they come into view."
    assert page.locator(".x-stage canvas").count() == 0
    page.locator(".explorer").scroll_into_view_if_needed()
    page.locator(".x-stage canvas").first.wait_for()
    assert result(page) == LookInside("classes").sentence()
    page.close()


@pytest.mark.browser
def test_pointer_on_the_photograph_takes_that_place(open_page):
    page = open_page(LookInside("classes"))
    page.locator(".x-pane canvas").first.wait_for()
    for pane in ("over", "map", "channel"):
        frame = page.locator(f'[data-pane="{pane}"]')
        frame.scroll_into_view_if_needed()
        box = frame.bounding_box()
        for row, column in ((1, 5), (4, 0)):
            page.mouse.move(
                box["x"] + (column + 0.5) / 7 * box["width"], box["y"] + (row + 0.5) / 7 * box["height"]
            )
            assert result(page) == LookInside("classes", row=row, column=column).sentence()


@pytest.mark.browser
def test_pointer_on_the_input_takes_the_output_that_its_stride_makes_there(open_page):
    page = open_page(LookInside("filters", layer="block 4"))
    frame = page.locator('[data-pane="input"]')
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    page.mouse.move(box["x"] + 40.5 / 56 * box["width"], box["y"] + 11.5 / 56 * box["height"])
    assert result(page) == LookInside("filters", layer="block 4", row=5, column=20).sentence()


@pytest.mark.browser
def test_keys_choose_class_and_channel(open_page):
    page = open_page(LookInside("classes"))
    for point, setting in (("rank-3", {"rank": 3}), ("channel-6", {"rank": 3, "channel": 6})):
        button = page.locator(f'[data-point="{point}"]')
        button.focus()
        page.keyboard.press("Enter")
        expect(button).to_have_attribute("aria-pressed", "true")  # painted with the next frame
        assert page.evaluate("document.activeElement.dataset.point") == point
        assert result(page) == LookInside("classes", **setting).sentence()


@pytest.mark.browser
def test_finger_chooses_a_stage_by_its_map(open_page):
    page = open_page(LookInside("stages"), width=390, has_touch=True)
    page.locator('[data-point="stage-7"]').tap()
    assert result(page) == LookInside("stages", layer="stage 7").sentence()
    assert page.locator('[data-key="layer"]:checked').get_attribute("value") == "stage 7"


@pytest.mark.browser
@pytest.mark.parametrize("part", ["classes", "filters", "stages"])
def test_same_channel_is_shown_on_all_photographs(open_page, part):
    page = open_page(LookInside(part, channel=2))
    page.locator('.x-thumb[data-point="photo-flower"]').wait_for()  # the last to be unpacked
    shown = {
        one.inner_text().splitlines()[0]: one.locator("small").inner_text()
        for one in page.locator('[data-point^="photo-"]').all()
    }
    explorer = LookInside(part, channel=2)
    chosen = explorer.class_figures().order[2] if part == "classes" else 2
    means = {}
    for photo in PHOTOS:
        explorer.photo = photo
        maps = explorer.maps()[chosen]
        maps = explorer.filter_figures().output if part == "filters" else maps
        means[photo] = fixed(float(maps.mean()), 2)
    assert shown == means
    page.locator('[data-point="photo-coffee"]').click()
    assert result(page) == LookInside(part, photo="coffee", channel=2).sentence()


PAINTED = """async () => {
  for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
  return [...document.querySelectorAll(".x-pane canvas")].map((one) => [one.width, one.height, one.toDataURL()]);
}"""


@pytest.mark.browser
def test_map_is_painted_in_its_own_resolution_and_turns_dark_with_the_page(open_page):
    page = open_page(LookInside("stages", layer="stage 5"))
    page.locator(".x-pane canvas").first.wait_for()
    light = page.evaluate(PAINTED)
    assert [one[:2] for one in light] == [[14, 14], [14, 14]]
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    dark = page.evaluate(PAINTED)
    assert all(one[2] != other[2] for one, other in zip(light, dark, strict=True))


@pytest.mark.browser
def test_overlay_covers_as_much_as_is_asked(open_page):
    page = open_page(LookInside("classes", photo="coffee"))
    page.locator(".x-pane canvas").first.wait_for()
    alpha = """async () => {
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
      const canvas = document.querySelector('[data-pane="over"] canvas');
      return Math.max(...canvas.getContext("2d").getImageData(0, 0, 7, 7).data.filter((_, k) => k % 4 === 3));
    }"""
    for cover in (0, 40, 100):
        page.locator('input[type="number"][data-key="cover"]').fill(str(cover))
        assert page.evaluate(alpha) == int(2.55 * cover + 1e-9)


@pytest.mark.browser
def test_browser_that_cannot_unpack_says_so(browser, tmp_path):
    from explorer_page import static_page

    file = tmp_path / "page.html"
    file.write_text(
        static_page(LookInside("classes")).replace(
            "<head>", "<head><script>delete window.DecompressionStream</script>"
        ),
        "utf-8",
    )
    page = browser.new_page()
    page.goto(file.as_uri())
    page.get_by_text("The maps cannot be unpacked here").wait_for()
    page.close()


# (what is asked, the error, its text)
REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: LookInside("layers"), ValueError, "part is 'layers'; expected one of classes, filters, stages"),
    (lambda: LookInside("stages", layer="block 1"), traitlets.TraitError, "layer is 'block 1'; expected"),
    (lambda: LookInside(photo="dog"), traitlets.TraitError, "dog"),
    (lambda: LookInside("classes", rank=5), traitlets.TraitError, "rank"),
]  # fmt: skip


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_what_is_not_there_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
