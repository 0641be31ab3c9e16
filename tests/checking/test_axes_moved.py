"""Axes that are moved and moved back, in whichever way, and what differs between the two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.blocks import _same_stage
from casestudies.checking.engine import check
from casestudies.checking.layers import layers_of
from casestudies.graph import record

PART = "nin/repaired_pixel_mlp"
Inside = Callable[[nn.Module, Tensor], Tensor]

# How the channels come to the end, and how they come back.
WAYS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]] = {
    "permute": (lambda x: x.permute(0, 2, 3, 1), lambda y, x: y.permute(0, 3, 1, 2)),
    "transpose": (lambda x: x.transpose(1, 3), lambda y, x: y.transpose(1, 3)),
    "movedim": (lambda x: x.movedim(1, -1), lambda y, x: y.movedim(-1, 1)),
    "twice": (lambda x: x.transpose(1, 2).transpose(2, 3), lambda y, x: y.transpose(2, 3).transpose(1, 2)),
    "flat": (
        lambda x: x.flatten(2).transpose(1, 2),
        lambda y, x: y.transpose(1, 2).unflatten(2, x.shape[2:]),
    ),
}


def pixel_mlp(way: str, inside: Inside) -> type[nn.Module]:
    there, back = WAYS[way]

    class RepairedPixelMLP(nn.Module):
        def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
            super().__init__()
            self.one = nn.Linear(in_channels, hidden)
            self.other = nn.Linear(hidden, out_channels)

        def forward(self, x: Tensor) -> Tensor:
            return back(inside(self, there(x)), x)

    return RepairedPixelMLP


# One slip beside axes that are moved rightly, and the one sentence that is true of it.
SLIPS: dict[str, tuple[Inside, str]] = {
    "no ReLU": (lambda b, x: b.other(b.one(x)), "ReLU is missing after linear layer 1 of 2."),
    "another activation": (
        lambda b, x: b.other(nn.functional.silu(b.one(x))),
        "SiLU stands in the place of ReLU, after linear layer 1 of 2.",
    ),
    "one too many": (
        lambda b, x: torch.relu(b.other(torch.relu(b.one(x)))),
        "There is a ReLU after linear layer 2 of 2; none is asked for there.",
    ),
    "a sum": (
        lambda b, x: b.other(torch.relu(b.one(x)) + b.one(x)),
        "There is a sum after the ReLU and linear layer 1 of 2; none is asked for there.",
    ),
}


@pytest.mark.parametrize("way", WAYS)
def test_what_is_right_stays_right(way: str) -> None:
    assert check(PART, pixel_mlp(way, lambda b, x: b.other(torch.relu(b.one(x)))), seed=2).passed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slip", [each for each in SLIPS if each != "a sum"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_slip_beside_moved_axes_is_told_alone(way: str, slip: str, seed: int) -> None:
    inside, sentence = SLIPS[slip]
    report = check(PART, pixel_mlp(way, inside), hidden=seed == 2, seed=seed)
    assert [each["sentence"] for each in report.differences] == [sentence]


def recorded(way: str, inside: Inside) -> list[tuple[str, Any]]:
    network = pixel_mlp(way, inside)(6, 3, 6)
    return [layer.label for layer in layers_of(record(network, torch.zeros(2, 6, 4, 5), training=False))]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("slip", SLIPS)
def test_layers_are_those_of_the_usual_way(way: str, slip: str) -> None:
    assert recorded(way, SLIPS[slip][0]) == recorded("permute", SLIPS[slip][0])


UNLIKE: dict[str, Inside] = {
    "softmax over columns": lambda b, x: b.other(b.one(x).softmax(2)),
    "means over columns": lambda b, x: b.other(b.one(x) - b.one(x).mean(2, keepdim=True)),
}


@pytest.mark.parametrize("slip", UNLIKE)
def test_where_the_order_of_pixels_matters_it_stays(slip: str) -> None:
    assert recorded("transpose", UNLIKE[slip]) != recorded("permute", UNLIKE[slip])


def test_an_order_that_is_not_undone_is_told() -> None:
    class Turned(pixel_mlp("permute", SLIPS["no ReLU"][0])):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return self.other(torch.relu(self.one(x.transpose(1, 3)))).permute(0, 3, 1, 2)

    report = check(PART, Turned, seed=1)
    assert report.differences[0]["sentence"] == (
        "Permute 1 of 2 has dims (0, 3, 2, 1) instead of dims (0, 2, 3, 1)."
    )


def test_nothing_is_said_of_an_order_that_might_have_been_undone() -> None:
    class Stops(pixel_mlp("transpose", SLIPS["no ReLU"][0])):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return self.other(torch.relu(self.one(x.transpose(1, 3)))).reshape(7, 11)

    report = check(PART, Stops, seed=1)
    assert "invalid for input" in report.summary
    assert not any("permute" in each["sentence"].lower() for each in report.differences)


def test_a_stage_is_the_same_with_its_axes_in_another_order() -> None:
    x = torch.randn(2, 3, 4, 5)
    assert _same_stage(x.transpose(1, 3), x) and _same_stage(x.permute(0, 2, 3, 1), x)
    assert _same_stage(x.flip(1), x) is False and _same_stage(x.flatten(2), x) is None
