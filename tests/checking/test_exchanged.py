"""Two neighbours in the other order are one difference, not one layer too many and one missing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from casestudies.checking.differences import compare_layers
from casestudies.checking.engine import check
from casestudies.checking.layers import layers_of
from casestudies.graph import record

IMAGE = torch.zeros(2, 3, 12, 12)
CONV, NORM, TANH, POOL = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.AvgPool2d(2)


def told(asked: list[nn.Module], yours: list[nn.Module]) -> list[str]:
    both = [layers_of(record(nn.Sequential(*each).eval(), IMAGE, training=False)) for each in (asked, yours)]
    found = compare_layers(*both)
    assert found is not None and found.certain
    return [each.sentence for each in found.differences]


def test_two_in_the_other_order_are_told_in_one_sentence() -> None:
    assert told([CONV, TANH, POOL], [CONV, POOL, TANH]) == [
        "The tanh comes after the 2×2 average pooling instead of before it."
    ]
    assert told([TANH, POOL, CONV], [POOL, TANH, CONV]) == [
        "The tanh comes after the 2×2 average pooling instead of before it."
    ]


def test_each_of_two_places_is_told_and_three_in_one_sentence() -> None:
    def repeated(times: int, right: bool) -> list[nn.Module]:
        """Anew each time: layers that are shared are called so."""
        steps = [nn.BatchNorm2d, lambda _: nn.Tanh()][:: 1 if right else -1]
        return [layer for _ in range(times) for layer in (nn.Conv2d(3, 3, 1), *(step(3) for step in steps))]

    assert told(repeated(2, True), repeated(2, False)) == [
        "Batch norm 1 of 2 comes after tanh 1 of 2 instead of before it.",
        "Batch norm 2 of 2 comes after tanh 2 of 2 instead of before it.",
    ]
    assert told(repeated(3, True), repeated(3, False)) == [
        "Batch norm comes after tanh instead of before it 3 times, first after 1×1 convolution 1 of 3."
    ]


def test_what_moved_further_is_told_as_before() -> None:
    assert told([CONV, NORM, TANH, POOL], [CONV, TANH, POOL, NORM]) == [
        "Batch norm stands after the 2×2 average pooling; it is asked for after the 3×3 convolution."
    ]


def test_another_slip_beside_it_is_told_too() -> None:
    assert told([CONV, TANH, POOL, NORM], [CONV, POOL, TANH, nn.ReLU(), NORM]) == [
        "The tanh comes after the 2×2 average pooling instead of before it.",
        "There is a ReLU after the tanh; none is asked for there.",
    ]


class LeNet5(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.net = nn.Sequential(
            *(nn.Conv2d(1, 6, 5), nn.AvgPool2d(2), nn.Tanh()),
            *(nn.Conv2d(6, 16, 5), nn.AvgPool2d(2), nn.Tanh(), nn.Flatten()),
            *(nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)


@pytest.mark.parametrize("seed", range(3))
def test_a_network_in_which_two_are_exchanged_is_told_so(seed: int) -> None:
    report = check("lenet/lenet5", LeNet5, hidden=seed == 1, seed=seed)
    assert [each["sentence"] for each in report.differences] == [
        "Tanh 1 of 4 comes after 2×2 average pooling 1 of 2 instead of before it.",
        "Tanh 2 of 4 comes after 2×2 average pooling 2 of 2 instead of before it.",
    ]
