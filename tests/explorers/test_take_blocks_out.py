"""Take blocks out: the page computes the damaged networks that torch computes, for every subset that is drawn."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
import traitlets
from playwright.sync_api import expect
from test_explorer_browser import drive, result
from test_explorer_figures import small_pair
from torch import nn

from casestudies.data import digits
from casestudies.explorers import TakeBlocksOut
from casestudies.explorers.take_blocks_out import REMOVABLE, images, rounded

SUBSETS = 12

# One forward pass of the page's evaluator, here without a worker.
EVALUATE = """([source, weights, shapes, digits, settings]) => {
  const code = source.replace("export default", "const widget =") + "; return { T, evaluator, decode };";
  const { T, evaluator, decode } = new Function(code)();
  const networks = Object.fromEntries(Object.entries(weights).map(([name, text]) =>
    [name, T.cut(T.halves(text), shapes)]));
  const { test, train, labels, scale } = digits;
  const data = { networks, test: decode(test, scale), train: decode(train, scale), labels };
  const work = evaluator(T);
  return settings.map((one, i) => {
    const { wrong, shares, maps } = work(i ? one : { ...one, ...data });
    return { wrong, shares: [...shares], maps: maps.map(({ channels, side, data }) => [channels, side, [...data]]) };
  });
}"""


@pytest.fixture
def explorer() -> TakeBlocksOut:
    return TakeBlocksOut(*small_pair())


def drawn() -> list[dict[str, Any]]:
    """Random subsets of each size, for both networks, with and without new statistics."""
    rng = random.Random(0)
    return [
        {
            "network": ["residual", "plain"][i % 2],
            "out": sorted(rng.sample(range(len(REMOVABLE)), rng.randint(0, len(REMOVABLE)))),
            "strength": rng.choice([1.0, 1.0, 0.85, 0.5, 0.0]),
            "statistics": ["stored", "recomputed"][i // 2 % 2],
            "digit": rng.randrange(355),
        }
        for i in range(SUBSETS)
    ]


@pytest.mark.browser
def test_page_reads_as_many_digits_wrongly_as_torch_for_every_subset_drawn(browser, explorer):
    page, settings = browser.new_page(), drawn()
    arguments = [explorer._esm, explorer.weights, explorer.shapes, explorer.pixels, settings]
    for setting, found in zip(settings, page.evaluate(EVALUATE, arguments), strict=True):
        right = explorer.compute(**{**setting, "out": tuple(setting["out"])})
        assert found["wrong"] == right.wrong, setting
        torch.testing.assert_close(torch.tensor(found["shares"], dtype=torch.float64), right.shares)
        for (channels, side, data), theirs in zip(found["maps"], right.maps, strict=True):
            shown = torch.tensor(data, dtype=torch.float64).view(channels, side, side)
            torch.testing.assert_close(shown, theirs, atol=1e-9, rtol=1e-9)
    page.close()


def test_digits_of_the_page_are_those_of_the_data():
    data, (test, labels, train) = digits(8), images()
    torch.testing.assert_close(test.float(), data.test_x, atol=1e-5, rtol=0)
    torch.testing.assert_close(train.float(), data.train_x[: len(train)], atol=1e-5, rtol=0)
    assert torch.equal(labels, data.test_y)


def test_whole_network_is_the_trained_one(explorer):
    x, y, _ = images()
    for name, network in zip(("residual", "plain"), small_pair(), strict=True):
        with torch.no_grad():
            wrong = int((rounded(network)(x).argmax(1) != y).sum())
            apart = (rounded(network)(x) - network(x.float())).abs().max()
        explorer.network = name
        assert explorer.figures().wrong == wrong and apart < 0.1


def test_block_taken_out_hands_on_what_it_received(explorer):
    explorer.out = [0]
    maps = explorer.figures().maps  # stem, 1.1, 1.2, ...
    assert torch.equal(maps[2], maps[1])


def test_shortcuts_of_strength_one_change_nothing_and_of_zero_leave_plain_blocks(explorer):
    whole = explorer.compute("residual", (), 1.0, "stored", 0)
    none = explorer.damaged("residual", (), 0.0, "stored")
    block, x = none.stages[0][1], images()[0][:3].expand(-1, 6, -1, -1)
    with torch.no_grad():
        assert torch.equal(block(x), block.residual(x).relu())
    assert whole.wrong == explorer.figures().wrong


def test_recomputed_statistics_are_those_of_the_training_batch(explorer):
    made = explorer.damaged("residual", (2,), 1.0, "recomputed")
    norm = made.stem[0][1]
    with torch.no_grad():
        z = made.stem[0][0](images()[2])
    torch.testing.assert_close(norm.running_mean, z.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, z.var((0, 2, 3)))


@pytest.mark.browser
def test_block_is_clicked_off_and_on_in_the_drawing(open_page, explorer):
    page = open_page(explorer)
    idle = "document.querySelector('.explorer').getAttribute('aria-busy') === 'false'"
    page.wait_for_function(idle)
    button = page.locator('[data-point="block-2"]')
    button.focus()
    for out in ([2], []):
        page.keyboard.press("Enter")
        page.wait_for_function(idle)
        explorer.out = out
        assert result(page) == explorer.sentence()
        page.wait_for_function("document.activeElement.dataset.point === 'block-2'")
        expect(button).to_have_attribute("aria-pressed", str(bool(out)).lower())


@pytest.mark.browser
def test_maps_have_the_colours_of_the_page_from_the_first_picture_on(open_page, explorer):
    page = open_page(explorer)
    expect(page.locator(".explorer")).to_have_attribute("aria-busy", "false")
    colours = page.evaluate("""() => [...document.querySelectorAll("canvas.x-maps")].map((canvas) => {
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set([...data.keys()].filter((k) => k % 4 === 0).map((k) => data.slice(k, k + 3).join())).size;
    })""")
    assert len(colours) > 5 and min(colours) > 1


@pytest.mark.browser
def test_digits_are_read_in_a_worker_and_not_by_the_page(open_page, explorer):
    """Nothing comes until the worker is given its task; meanwhile the page is free, and says that it is busy."""
    page = open_page(explorer)
    idle = "document.querySelector('.explorer').getAttribute('aria-busy') === 'false'"
    page.wait_for_function(idle)
    page.evaluate(
        """async () => {
          const real = Worker.prototype.postMessage, root = document.querySelector(".explorer");
          window.held = [];
          Worker.prototype.postMessage = function (...task) { held.push(() => real.apply(this, task)); };
          root.querySelector('[data-key="out"]').click();
          for (let i = 0; i < 30; i++) await new Promise(requestAnimationFrame);
          Worker.prototype.postMessage = real;
        }"""
    )
    assert not page.evaluate(idle) and page.evaluate("held.length") == 1
    page.evaluate("held[0]()")
    page.wait_for_function(idle)
    explorer.out = [0]
    assert result(page) == explorer.sentence()


@pytest.mark.browser
def test_only_the_last_of_many_changes_is_shown(open_page, explorer):
    page = open_page(explorer)
    settings = [{"out": [0]}, {"out": [0, 1]}, {"out": [1]}]
    page.evaluate(
        """() => {
          const boxes = document.querySelectorAll('[data-key="out"]');
          for (const index of [0, 1, 0, 1, 3]) boxes[index].click();
        }"""
    )
    page.wait_for_function("document.querySelector('.explorer').getAttribute('aria-busy') === 'false'")
    explorer.out = [3]
    assert result(page) == explorer.sentence()
    assert [sentence for sentence, _ in drive(page, settings)] == [
        TakeBlocksOut(*small_pair(), **one).sentence() for one in settings
    ]


# (what is asked, the error, its text)
REFUSED = [
    (
        lambda: TakeBlocksOut(*reversed(small_pair())),
        TypeError,
        r"residual is SmallNetwork\(residual=False\)",
    ),
    (
        lambda: TakeBlocksOut(nn.Identity(), small_pair()[1]),
        TypeError,
        "residual is Identity; expected Small",
    ),
    (lambda: TakeBlocksOut(*small_pair(), digit=355), traitlets.TraitError, "there are 355, from 0 to 354"),
    (lambda: TakeBlocksOut(*small_pair(), out=[6]), traitlets.TraitError, "6"),
]


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_what_cannot_be_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()
