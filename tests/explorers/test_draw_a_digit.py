"""Draw a digit: what computes in the page is the network that torch computes; hand, keys and pointer work."""

from __future__ import annotations

import base64
import gzip
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from playwright.sync_api import expect
from test_explorer_browser import drive, result
from test_explorer_figures import small_lenet
from torch import nn

from casestudies.data import digits
from casestudies.explorers import DrawADigit
from casestudies.explorers.draw_a_digit import LAYERS, MOST, examples, letters, levels_of, normalisation
from casestudies.networks.lenet import LeNet5
from casestudies.training import train

SHOWN = "() => document.querySelector('[data-key=\"pixels\"]').value"

# The page's own network on pixels and weights that are given to it, without its view.
LOGITS = """([source, weights, shapes, scale, images]) => {
  const code = source.replace("export default", "const widget =") + "; return { T, prepare, compute };";
  const { T, prepare, compute } = new Function(code)();
  const parts = T.cut(T.halves(weights), shapes);
  return images.map((pixels) => [...compute(prepare(pixels, scale), parts).output.data]);
}"""


def all_examples() -> list[str]:
    return [image for images in examples() for image in images]


@pytest.fixture
def explorer() -> DrawADigit:
    return DrawADigit(small_lenet())


def logits_of(page: Any, explorer: DrawADigit, images: list[str]) -> torch.Tensor:
    arguments = [explorer._esm, explorer.weights, explorer.shapes, explorer.scale, images]
    return torch.tensor(page.evaluate(LOGITS, arguments))


@pytest.mark.browser
def test_logits_are_those_of_torch_in_single_precision_with_the_same_weights(browser, explorer):
    page = browser.new_page()
    generator = torch.Generator().manual_seed(0)
    scribbles = [letters(torch.randint(17, (8, 8), generator=generator)) for _ in range(100)]
    images = all_examples() + scribbles
    found = logits_of(page, explorer, images)
    network = LeNet5().eval()
    network.load_state_dict(
        {name: value.half().float() for name, value in small_lenet().state_dict().items()}
    )
    for pixels, logits in zip(images, found, strict=True):
        with torch.no_grad():
            right = network(DrawADigit(small_lenet(), pixels=pixels).image().float())[0]
        assert (logits - right).abs().max() < 1e-4
    page.close()


def test_image_is_the_one_of_the_data(explorer):
    data = digits()
    for digit, images in enumerate(examples()):
        theirs = data.test_x[data.test_y == digit]
        for pixels, image in zip(images, theirs, strict=False):
            explorer.pixels = pixels
            torch.testing.assert_close(explorer.image()[0].float(), image, atol=1e-5, rtol=0)


def test_half_precision_costs_no_answer(explorer):
    data = digits()
    with torch.no_grad():
        whole, rounded = small_lenet()(data.test_x), explorer.network()(data.test_x.double())
    assert (whole - rounded).abs().max() < 0.02
    assert (whole.argmax(1) != rounded.argmax(1)).sum() <= 1


def test_page_stays_below_200_kilobytes(explorer):
    state = json.dumps({key: value for key, value in explorer.get_state().items() if key != "layout"})
    assert len(gzip.compress(state.encode())) < 200_000


def test_normalisation_is_that_of_the_training_images():
    mean, std = normalisation()
    train = digits().train_x * std + mean
    assert train.min().item() == pytest.approx(0, abs=1e-4) and train.max().item() == pytest.approx(
        16, abs=1e-4
    )


@pytest.mark.parametrize("layer", LAYERS)
def test_products_sum_to_the_number_that_torch_computes(explorer, layer):
    explorer.set_trait("layer", layer)
    explorer.map, explorer.row, explorer.column = 4, 3, 2
    found = explorer.figures()
    one, place = explorer.number(), explorer.place()
    before = found[{"C1": "z1", "C3": "z3", "C5": "z5", "F6": "z6"}.get(layer, layer)]
    right = before[place] if before.dim() == 3 else before[place[0]]
    assert one.sum == pytest.approx(right.item(), abs=1e-12)
    assert one.products.sum().item() + (one.bias or 0) == pytest.approx(right.item(), abs=1e-12)


@pytest.mark.browser
@pytest.mark.parametrize("layer", LAYERS)
def test_table_has_every_product(open_page, explorer, layer):
    setting = {"layer": layer, "map": 3, "row": 1, "column": 2}
    explorer.set_trait("layer", layer)
    explorer.map, explorer.row, explorer.column = 3, 1, 2
    [(_, table)] = drive(open_page(explorer), [setting])
    shown = torch.tensor([float(cell) for row in table for cell in row[1:]], dtype=torch.float64)
    torch.testing.assert_close(shown, explorer.number().products.flatten(), atol=5.1e-5, rtol=0)


@pytest.mark.browser
def test_pointer_on_a_map_takes_that_number(open_page, explorer):
    page = open_page(explorer)
    canvas = page.locator(".x-layer", has_text="C3").locator("canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # 8 x 2 maps of 10 x 10, a pixel between them; map 11 is the fourth of the second row
    x, y = 3 * 11 + 4 + 0.5, 11 + 7 + 0.5
    page.mouse.move(box["x"] + x / 87 * box["width"], box["y"] + y / 21 * box["height"])
    page.wait_for_function(
        "document.querySelector('.x-result').textContent.includes('C3, map 11, row 7, column 4')"
    )
    explorer.set_trait("layer", "C3")
    explorer.map, explorer.row, explorer.column = 11, 7, 4
    assert result(page) == explorer.sentence()


@pytest.mark.browser
def test_finger_draws_a_digit_and_python_says_the_same(open_page, explorer):
    page = open_page(explorer, width=390)
    pad = page.locator(".x-pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for step in range(1, 21):
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + (0.2 + 0.03 * step) * box["height"])
    page.mouse.up()
    page.wait_for_function(f"({SHOWN})() !== '{explorer.pixels}'")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    explorer.pixels = page.evaluate(SHOWN)
    levels = torch.tensor(["abcdefghijklmnopq".index(one) for one in explorer.pixels]).view(8, 8)
    ink = levels.sum(0)
    assert (
        ink[3] + ink[4] > 0.9 * ink.sum() and levels[:, 3].min() > 0
    )  # an upright stroke, as high as the grid
    assert result(page) == explorer.sentence()


@pytest.mark.browser
def test_keys_draw(open_page, explorer):
    page = open_page(explorer)
    page.locator(".x-pad").focus()
    for key in ["Delete", "ArrowDown", "ArrowRight", "ArrowRight", "Space", "ArrowUp", "Space", "Space"]:
        page.keyboard.press(key)
    wanted = ["a"] * 64
    wanted[8 + 2], wanted[2] = "i", "q"
    assert page.evaluate(SHOWN) == "".join(wanted)
    expect(page.locator(".x-board [role=status]")).to_have_text("row 0, column 2: ink 16 of 16")
    explorer.pixels = "".join(wanted)
    assert result(page) == explorer.sentence()


@pytest.mark.browser
def test_digit_of_the_data_is_taken_and_then_another(open_page, explorer):
    page = open_page(explorer)
    button = page.get_by_role("button", name="A 5 of the data")
    for image in (*examples()[5], examples()[5][0]):
        button.click()
        assert page.evaluate(SHOWN) == image


@pytest.mark.browser
def test_input_map_that_is_chosen_is_shown(open_page, explorer):
    page = open_page(explorer)
    page.locator('[data-key="layer"][value="C3"]').click()
    choice = page.locator('[data-point="input-2"]')
    choice.focus()
    page.keyboard.press("Enter")
    expect(choice).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.activeElement.dataset.point") == "input-2"
    page.locator(".x-grids").get_by_text("S2, map 2").wait_for()


@pytest.mark.browser
def test_every_map_is_shown_and_turns_dark_with_the_page(open_page, explorer):
    page = open_page(explorer)
    paints = """async () => {
      for (let i = 0; i < 2; i++) await new Promise(requestAnimationFrame);
      return [...document.querySelectorAll('.x-layer .x-frame canvas')]
        .map((one) => [one.width, one.height, one.toDataURL()]);
    }"""
    light = page.evaluate(paints)
    assert [one[:2] for one in light] == [
        [32, 32], [173, 28], [89, 14], [87, 21], [47, 11], [40, 3], [42, 2], [10, 1],
    ]  # fmt: skip
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark' }")
    dark = page.evaluate(paints)
    assert all(one[2] != other[2] for one, other in zip(light[1:], dark[1:], strict=True))


AT = """() => ["row", "column"].map((key) =>
  Number(document.querySelector(`input[type=number][data-key=${key}]`).value))"""
COVERED = """() => [...document.querySelectorAll(".x-cover")]
  .reduce((area, one) => area + one.width.baseVal.value * one.height.baseVal.value, 0)"""


@pytest.mark.browser
def test_window_slides_by_itself_until_it_is_paused(open_page, explorer):
    page = open_page(explorer)
    page.locator('[data-key="layer"][value="C3"]').click()
    play = page.locator("[data-walk=play]")
    play.focus()
    page.keyboard.press("Enter")
    assert play.inner_text() == "pause" and page.locator("[data-walk=step]").is_disabled()
    assert page.locator(".x-result").get_attribute("aria-live") == "off"  # not every step is read aloud
    page.wait_for_function(f"({AT})()[1] >= 2")
    page.keyboard.press("Enter")
    row, column = page.evaluate(AT)
    page.wait_for_timeout(700)
    assert page.evaluate(AT) == [row, column]
    assert play.inner_text() == "slide the window"
    assert page.locator(".x-result").get_attribute("aria-live") == "polite"
    assert page.evaluate(COVERED) == 100 - (10 * row + column + 1)
    explorer.set_trait("layer", "C3")
    explorer.map, explorer.row, explorer.column = 0, row, column
    assert result(page) == explorer.sentence()


@pytest.mark.browser
def test_window_slides_a_step_at_a_time_to_the_end_of_its_map(open_page, explorer):
    page = open_page(explorer, reduced_motion="reduce")
    page.locator('[data-key="layer"][value="S4"]').click()
    assert page.locator("[data-walk=play]").is_hidden()  # who wants no motion gets none
    seen = []
    page.locator("[data-walk=step]").focus()
    for _ in range(25):
        page.keyboard.press("Space")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        seen.append([*page.evaluate(AT), page.evaluate(COVERED)])
    assert seen == [[k // 5, k % 5, 24 - k] for k in range(25)]
    page.keyboard.press("Space")
    page.evaluate("() => new Promise(requestAnimationFrame)")
    assert page.evaluate(AT) == [4, 4] and page.evaluate(COVERED) == 0


@pytest.mark.browser
@pytest.mark.parametrize("go", ['[data-key="layer"][value="S2"]', '[data-key="layer"][value="F6"]'])
def test_window_stops_where_the_reader_goes_elsewhere(open_page, explorer, go):
    page = open_page(explorer)
    page.locator("[data-walk=play]").click()
    page.wait_for_function(f"({COVERED})() > 0")
    page.locator(go).click()
    page.wait_for_function(f"({COVERED})() === 0")
    before = result(page)
    page.wait_for_timeout(700)
    assert result(page) == before


@pytest.mark.browser
def test_softmax_is_shown_step_by_step_with_the_numbers_of_torch(open_page, explorer):
    page = open_page(explorer)
    page.get_by_text("softmax, step by step").click()
    logits = explorer.figures()["logits"]
    powers, shares = logits.exp(), 100 * logits.softmax(0)
    wanted = [[logits], [logits, powers], [logits, powers], [logits, powers, shares]]
    rows = """() => [...document.querySelectorAll(".x-softmax tbody tr")]
      .map((row) => [...row.children].map((one) => one.textContent))"""
    for step, columns in enumerate(wanted):
        page.locator(f'[data-step="{step}"]').click()
        page.locator(f'[data-step="{step}"][aria-pressed=true]').wait_for()
        found = torch.tensor(
            [[float(cell.rstrip(" %")) for cell in row[1:-1]] for row in page.evaluate(rows)]
        )
        torch.testing.assert_close(found.double(), torch.stack(columns, 1), atol=5.1e-3, rtol=1e-4)
    foot = page.locator(".x-softmax tfoot").inner_text().split()
    assert float(foot[1]) == pytest.approx(powers.sum().item(), abs=5.1e-5) and foot[2] == "100.00"
    page.get_by_role("button", name="clear").click()
    explorer.pixels = "a" * 64
    best = explorer.figures()["logits"].max().exp().item()
    expect(page.locator(".x-lenet details [role=status]")).to_contain_text(f"{best:.4f}")


# (what is asked, the error, its text)
REFUSED = [
    (lambda: DrawADigit(nn.Linear(1, 1)), TypeError, "network is a Linear; expected .*LeNet5"),
    (lambda: DrawADigit(LeNet5(in_channels=3)), ValueError, r"\(6, 3, 5, 5\).*expected LeNet5\(\)"),
    (lambda: DrawADigit(small_lenet()).draw(torch.zeros(3, 3)), ValueError, r"shape \(3, 3\); expected 8 x 8"),
    (lambda: DrawADigit(small_lenet()).draw(torch.full((8, 8), 17)), ValueError, "numbers from 0 to 16"),
    (lambda: DrawADigit(small_lenet(), pixels="abc"), Exception, "pixels is 'abc'; expected 64 letters"),
]  # fmt: skip


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_what_is_no_digit_and_no_lenet_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_weights_that_half_precision_cannot_hold_are_refused():
    network = LeNet5()
    network.features[0].weight.data[0] = 1e6
    with pytest.raises(ValueError, match="not finite in half precision"):
        DrawADigit(network)


# A reader's own picture

# What the page makes of pictures, as RGBA, that are given to it.
READ = """([source, pictures]) => {
  const code = source.replace("export default", "const widget =") + "; return levelsOfPicture;";
  const read = new Function(code)();
  return pictures.map(([bytes, width, height]) => read(Uint8ClampedArray.from(bytes), width, height));
}"""


def pen(points: list[tuple[float, float]], thick: float, size: tuple[int, int]) -> torch.Tensor:
    """(H, W) true where a pen of that thickness went from point to point; points are (row, column)."""
    place = torch.stack(torch.meshgrid(*map(torch.arange, size), indexing="ij"), -1).double()
    found = torch.zeros(size, dtype=torch.bool)
    for start, end in pairwise(torch.tensor(points, dtype=torch.float64)):
        along = ((place - start) @ (end - start) / (end - start).square().sum()).clamp(0, 1)
        found |= (place - start - along[..., None] * (end - start)).norm(dim=-1) < thick / 2
    return found


def photograph(seed: int) -> torch.Tensor:
    """(4, H, W) an imagined one: uneven light, grain, dark ink or chalk, at times the edge of a table."""
    generator = torch.Generator().manual_seed(seed)

    def chance(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    size = int(chance(20, 97)), int(chance(20, 97))
    points = [(chance(0.15, 0.85) * size[0], chance(0.15, 0.85) * size[1]) for _ in range(4)]
    light = torch.linspace(chance(120, 255), chance(120, 255), size[0])[:, None].expand(size).clone()
    light -= torch.linspace(0, chance(0, 40), size[1])
    grey = torch.where(pen(points, chance(1.5, 9), size), light * chance(0.1, 0.6), light)
    grey += chance(0, 6) * torch.randn(size, generator=generator)
    if seed % 3 == 0:
        grey[:, : size[1] // 12 + 1] = 20  # beyond the paper
    if seed % 4 == 1:
        grey = 255 - grey
    colours = grey[None] * torch.tensor([1.0, chance(0.7, 1), chance(0.7, 1)])[:, None, None]
    opaque = torch.full((1, *size), 255.0 if seed % 5 else chance(100, 255))
    return torch.cat([colours, opaque]).clamp(0, 255).round().to(torch.uint8)


def rgba(picture: torch.Tensor) -> list[Any]:
    _, height, width = picture.shape
    return [picture.permute(1, 2, 0).flatten().tolist(), width, height]


@pytest.mark.browser
def test_picture_is_read_as_python_reads_it(browser, explorer):
    pictures = [photograph(seed) for seed in range(200)]
    page = browser.new_page()
    found = page.evaluate(READ, [explorer._esm, [rgba(picture) for picture in pictures]])
    page.close()
    right = []
    for picture in pictures:
        try:
            right.append(letters(levels_of(picture)))
        except ValueError:
            right.append(None)
    assert found == right
    assert len(set(found)) > 180 and found.count(None) < 20


def on_paper(pixels: str) -> torch.Tensor:
    """(4, H, W) a digit of the data as a photograph: its levels enlarged, black where they are half of the ink."""
    levels = torch.tensor(["abcdefghijklmnopq".index(one) for one in pixels]).double().view(1, 1, 8, 8)
    ink = F.interpolate(levels, scale_factor=8, mode="bilinear", align_corners=False)[0, 0] >= MOST / 2
    grey = F.pad(torch.where(ink, 25, 200), (14,) * 4, value=200)
    return torch.cat([grey.expand(3, -1, -1), torch.full_like(grey, 255)[None]]).to(torch.uint8)


def test_trained_network_reads_photographs_of_the_digits_of_the_data():
    network = LeNet5()
    train(network, digits(), epochs=6, lr=0.05, seed=0)
    explorer, right, off, images = DrawADigit(network), 0, 0.0, 0
    for digit, drawn in enumerate(examples(20)):
        for pixels in drawn:
            levels = levels_of(on_paper(pixels))
            off += sum(abs(ord(a) - ord(b)) for a, b in zip(pixels, letters(levels), strict=True)) / 64
            explorer.draw(levels)
            right += int(explorer.figures()["logits"].argmax() == digit)
            images += 1
    assert (
        images == 200 and right >= 170 and off / images < 2
    )  # of 16 levels; binary ink is not the scanner's


@pytest.mark.parametrize("dark", [True, False])
def test_shadow_specks_and_the_table_are_no_ink(dark):
    stroke = pen([(20, 30), (70, 30)], 6, (96, 64))
    light = torch.linspace(230, 90, 64).expand(96, 64)  # more than twice as bright on the left
    grey = torch.where(stroke, 0.3 * light, light)
    grey[5, 50] = grey[80, 10] = 10  # dust
    grey[:, :4] = 15  # the table
    if not dark:
        grey = 255 - grey
    picture = torch.cat([grey.expand(3, -1, -1), torch.full((1, 96, 64), 255.0)]).to(torch.uint8)
    levels = levels_of(picture)
    assert levels[:, 3:5].min() > 0 and levels.sum() == levels[:, 3:5].sum()


def test_ink_fills_the_grid_and_lies_in_its_middle():
    for height, width in ((40, 10), (10, 40)):
        grey = torch.full((96, 96), 240)
        grey[7 : 7 + height, 50 : 50 + width] = 20
        picture = torch.cat([grey.expand(3, -1, -1), torch.full((1, 96, 96), 255)]).to(torch.uint8)
        levels = levels_of(picture)
        if width > height:
            levels = levels.T
        assert (levels[:, 3:5] == MOST).all() and levels[:, :3].sum() == levels[:, 5:].sum() == 0


@pytest.fixture
def seven(tmp_path: Path) -> Path:
    """A photograph of a 7, as a file."""
    stroke = pen([(60, 80), (60, 220), (330, 120)], 26, (400, 300))
    light = torch.linspace(235, 150, 300).expand(400, 300)
    grey = torch.where(stroke, 0.25 * light, light).round().to(torch.uint8)
    Image.fromarray(grey.numpy()).save(tmp_path / "seven.png")
    return tmp_path / "seven.png"


def agrees(page: Any, explorer: DrawADigit, file: Path) -> None:
    """The page has read the file; Python reads the same but for how each shrinks it, and says what the page says."""
    page.wait_for_function(f"({SHOWN})() !== '{explorer.pixels}'")
    explorer.photograph(file)
    mine, found = explorer.pixels, page.evaluate(SHOWN)
    assert sum(abs(ord(a) - ord(b)) for a, b in zip(mine, found, strict=True)) <= 0.05 * 64 * MOST
    explorer.pixels = found
    assert result(page) == explorer.sentence()
    levels = torch.tensor(["abcdefghijklmnopq".index(one) for one in found]).view(8, 8)
    assert levels[0, 1:7].min() > 0 and levels[2:, 0].sum() == 0  # the bar of the 7, and no shadow


@pytest.mark.browser
def test_picture_is_chosen_with_the_keyboard(open_page, explorer, seven):
    page = open_page(explorer)
    page.bring_to_front()  # or the key goes to another page, where several are open
    with page.expect_file_chooser() as chosen:
        page.get_by_role("button", name="a picture of your own").press("Enter")
    chosen.value.set_files(seven)
    agrees(page, explorer, seven)


BRING = """async ([kind, base64, type, name]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const all = { bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data };
  const event = kind === "paste" ? new ClipboardEvent(kind, all) : new DragEvent(kind, all);
  return !document.querySelector(".x-pad").dispatchEvent(event);
}"""


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["paste", "drop"])
def test_picture_is_pasted_or_dropped(open_page, explorer, seven, kind):
    page = open_page(explorer, width=390)
    content = base64.b64encode(seven.read_bytes()).decode()
    assert page.evaluate(
        BRING, ["dragover", content, "image/png", "seven.png"]
    )  # or a drop would leave the page
    assert page.evaluate(BRING, [kind, content, "image/png", "seven.png"])
    agrees(page, explorer, seven)


@pytest.mark.browser
def test_file_that_is_no_picture_or_has_no_ink_says_so_and_changes_nothing(
    open_page, explorer, seven, tmp_path
):
    page = open_page(explorer)
    (tmp_path / "notes.png").write_text("no picture")
    Image.new("L", (50, 50), 200).save(tmp_path / "empty.png")
    for name, words in [("notes.png", "cannot read this file"), ("empty.png", "no ink in this picture")]:
        page.locator("[data-picture]").set_input_files(tmp_path / name)
        expect(page.locator("[data-note]")).to_contain_text(words)
        assert page.evaluate(SHOWN) == explorer.pixels
        with pytest.raises(ValueError, match="expected (a whole picture|one digit)"):
            explorer.photograph(tmp_path / name)
    page.locator("[data-picture]").set_input_files(seven)
    expect(page.locator("[data-note]")).to_have_text("")
    agrees(page, explorer, seven)


# A worker's answers are counted, and the page itself can decode no picture.
ELSEWHERE = """() => {
  globalThis.createImageBitmap = () => { throw Error("not in the page"); };
  globalThis.answered = 0;
  globalThis.Worker = class extends Worker {
    constructor(...all) {
      super(...all);
      this.addEventListener("message", () => { answered += 1; });
    }
  };
}"""


@pytest.mark.browser
def test_photograph_is_decoded_in_a_worker(open_page, explorer, seven, tmp_path):
    page = open_page(explorer)
    page.evaluate(ELSEWHERE)
    with Image.open(seven) as small:
        small.resize((3000, 4000)).save(tmp_path / "large.jpg")
    page.locator("[data-picture]").set_input_files(tmp_path / "large.jpg")
    agrees(page, explorer, tmp_path / "large.jpg")
    assert page.evaluate("answered") == 1


@pytest.mark.browser
def test_where_no_worker_has_a_canvas_the_page_reads_the_picture(open_page, explorer, seven):
    page = open_page(explorer)
    page.evaluate("""() => {
      globalThis.Worker = class { constructor() { setTimeout(() => this.onerror(new Event("error")), 10); }
        postMessage() {} terminate() {} };
    }""")  # fmt: skip
    page.locator("[data-picture]").set_input_files(seven)
    agrees(page, explorer, seven)


@pytest.mark.browser
def test_of_two_pictures_the_last_counts_and_none_that_the_reader_has_drawn_over(
    open_page, explorer, seven, tmp_path
):
    page = open_page(explorer)
    page.evaluate(ELSEWHERE)
    with Image.open(seven) as picture:
        picture.resize((1500, 2000)).rotate(90, expand=True).save(tmp_path / "turned.png")
    first, second = (
        base64.b64encode(file.read_bytes()).decode() for file in (tmp_path / "turned.png", seven)
    )
    both = f"(both) => Promise.all(both.map((one) => ({BRING})(['drop', one, 'image/png', 'seven.png'])))"
    page.evaluate(both, [first, second])
    agrees(page, explorer, seven)
    assert page.evaluate("answered") == 2
    page.evaluate(f"""async (one) => {{
      await ({BRING})(["drop", one, "image/png", "seven.png"]);
      [...document.querySelectorAll("button")].find((button) => button.textContent === "clear").click();
    }}""", first)  # fmt: skip
    page.wait_for_function("answered === 3")
    assert page.evaluate(SHOWN) == "a" * 64


@pytest.mark.parametrize("turned", range(1, 9))
def test_photograph_is_upright_as_the_camera_held_it(explorer, seven, tmp_path, turned):
    back = [None, Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180, Image.Transpose.FLIP_TOP_BOTTOM,
        Image.Transpose.TRANSPOSE, Image.Transpose.ROTATE_90, Image.Transpose.TRANSVERSE,
        Image.Transpose.ROTATE_270][turned - 1]  # fmt: skip
    said = Image.Exif()
    said[0x112] = turned
    explorer.photograph(seven)
    upright = explorer.pixels
    with Image.open(seven) as picture:
        lying = picture if back is None else picture.transpose(back)
        lying.save(tmp_path / "lying.png", exif=said)
    explorer.pixels = "a" * 64
    explorer.photograph(tmp_path / "lying.png")
    assert explorer.pixels == upright


@pytest.mark.browser
def test_grey_of_16_bits_is_read_as_grey_of_8(open_page, explorer, seven, tmp_path):
    with Image.open(seven) as picture:
        grey = 257 * torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).int()
    deep = Image.fromarray(grey.view(400, 300).numpy().astype("uint16"))
    assert deep.mode == "I;16"
    deep.save(tmp_path / "deep.png")
    page = open_page(explorer)
    page.locator("[data-picture]").set_input_files(tmp_path / "deep.png")
    agrees(page, explorer, tmp_path / "deep.png")


@pytest.mark.parametrize("how", ["cut", "spoiled", "vast"])
def test_broken_picture_is_named(explorer, seven, monkeypatch, how):
    content = seven.read_bytes()
    if how == "cut":
        seven.write_bytes(content[: len(content) // 2])
    if how == "spoiled":
        seven.write_bytes(content[:60] + bytes([content[60] ^ 255]) + content[61:])
    if how == "vast":
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(
        ValueError, match=r"file is .*seven.png.*; expected a whole picture, as PNG or JPEG \("
    ):
        explorer.photograph(seven)
    with pytest.raises(FileNotFoundError):
        explorer.photograph(seven.with_name("eight.png"))


# A finger draws a stroke; where `other` says so, another one comes to the pad meanwhile, or the mouse opens a menu.
FINGERS = """async (other) => {
  const pad = document.querySelector(".x-pad"), box = pad.getBoundingClientRect();
  pad.setPointerCapture = () => {};
  const send = (kind, id, x, y, more) => pad.dispatchEvent(new PointerEvent(kind, { bubbles: true, pointerId: id,
    clientX: box.left + x * box.width, clientY: box.top + y * box.height, ...more }));
  pad.hasPointerCapture = () => true; // as of every finger that came down on the pad
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  if (other === "menu") send("pointerdown", 9, 0.9, 0.9, { button: 2 });
  await frame();
  send("pointerdown", 1, 0.2, 0.2);
  await frame();
  for (let i = 0; i < 10; i++) {
    send("pointermove", 1, 0.2 + i / 20, 0.2 + i / 20);
    if (other === "finger") send(i ? "pointermove" : "pointerdown", 2, 0.9, 0.1);
  }
  if (other === "finger") send("pointerup", 2, 0.9, 0.1);
  send("pointermove", 1, 0.7, 0.9);
  send("pointerup", 1, 0.7, 0.9);
  await frame();
}"""


@pytest.mark.browser
@pytest.mark.parametrize("other", ["finger", "menu"])
def test_second_finger_and_the_button_of_a_menu_do_not_draw(open_page, explorer, other):
    drawn = []
    for meanwhile in ("nothing", other):
        page = open_page(explorer)
        page.evaluate(FINGERS, meanwhile)
        drawn.append(page.evaluate(SHOWN))
    assert drawn[0] == drawn[1] != explorer.pixels


@pytest.mark.browser
@pytest.mark.parametrize("comes", ["clear", "picture"])
def test_stroke_ends_where_something_takes_the_place_of_what_is_drawn(open_page, explorer, seven, comes):
    """A picture that is read while the pen rests, a second hand at the button."""
    page = open_page(explorer)
    box = page.locator(".x-pad").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 120)
    other = "pixels => document.querySelector('[data-key=pixels]').value !== pixels"
    page.wait_for_function(other, arg=explorer.pixels)
    drawn = page.evaluate(SHOWN)
    if comes == "clear":
        page.get_by_role("button", name="clear", exact=True).dispatch_event("click")
    else:
        page.locator("[data-picture]").set_input_files(seven)
    page.wait_for_function(other, arg=drawn)
    there = page.evaluate(SHOWN)
    page.mouse.move(box["x"] + 120, box["y"] + 60, steps=4)  # `open_page` hears errors
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    page.mouse.up()
    assert page.evaluate(SHOWN) == there


@pytest.mark.browser
def test_drawing_that_gets_higher_is_painted_once(open_page, explorer):
    """A stage of another height is no reason to paint it once more: only its width is drawn for."""
    page = open_page(explorer)
    count = """() => {
      const { prototype } = CanvasRenderingContext2D, paint = prototype.putImageData;
      window.painted = 0;
      prototype.putImageData = function (...all) {
        window.painted += this.canvas === document.querySelector(".x-frame canvas");
        return paint.apply(this, all);
      };
    }"""
    page.evaluate(count)
    height = "document.querySelector('.x-stage').clientHeight"
    before = page.evaluate(height)
    page.locator("[data-key=layer][value=C5]").check(force=True)
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done, 100)))")
    assert page.evaluate(height) != before
    assert page.evaluate("window.painted") == 1
    page.set_viewport_size({"width": 700, "height": 900})
    page.wait_for_function("window.painted > 1")
