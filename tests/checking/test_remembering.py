"""Modules that candidates are called with give again what they gave, and never what they would not give now."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.functions import INPUTS_KEPT, built

SPEC = {
    "layer": "Sequential",
    "args": [
        {"layer": "Conv2d", "args": [2, 2, 3], "kwargs": {"padding": 1}},
        {"layer": "BatchNorm2d", "args": [2]},
    ],
}


class Counted(nn.Module):
    """An input as it is, and how often it was asked for."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * 1.0


def module(*more: nn.Module) -> nn.Module:
    made: nn.Module = built({"$module": SPEC})
    for index, each in enumerate(more):
        made.add_module(f"more{index}", each)
    return made


def test_the_same_numbers_are_not_computed_twice() -> None:
    counted = Counted()
    made, x = module(counted), torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        first = made(x)
        first_numbers = first.clone()
        first.zero_()  # whoever gets it may write to it
        again = made(x.clone())
        made(x + 1)
    assert counted.calls == 2
    assert torch.equal(again, first_numbers)
    assert type(made).__name__ == "Sequential" and isinstance(made, nn.Sequential)


def in_training(made: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    return made.train(), x


def with_other_weights(made: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    with torch.no_grad():
        next(made.parameters()).mul_(2.0)
    return made, x


def copied(made: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    other = deepcopy(made)
    next(other.parameters()).data.mul_(2.0)
    return other, x


def in_other_strides(made: nn.Module, x: Tensor) -> tuple[nn.Module, Tensor]:
    return made, x.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("change", [in_training, with_other_weights, copied, in_other_strides])
def test_what_has_changed_is_computed(
    change: Callable[[nn.Module, Tensor], tuple[nn.Module, Tensor]],
) -> None:
    made, x = module(), torch.randn(2, 2, 4, 4)
    with torch.no_grad():
        made(x)
        other, given = change(made, x)
        plain = deepcopy(nn.Sequential(*other.children()))  # of the same layers, and remembers nothing
        plain.train(other.training)
        assert torch.equal(other(given), plain(given))
        assert other(given).stride() == plain(given).stride()


def test_with_gradients_it_is_computed() -> None:
    counted = Counted()
    made, x = module(counted), torch.randn(1, 2, 4, 4)
    with torch.no_grad():
        made(x)
    assert made(x).requires_grad
    assert counted.calls == 2


@pytest.mark.parametrize("last", [nn.Flatten(0, 0), nn.ReLU(inplace=True)])
def test_what_lies_in_the_input_or_is_written_there_is_not_kept(last: nn.Module) -> None:
    made: nn.Module = built({"$module": {"layer": "Sequential", "args": []}})
    made.add_module("last", last)
    x = -torch.ones(1, 2)
    with torch.no_grad():
        for _ in range(2):
            given = x.clone()
            assert made(given).data_ptr() == given.data_ptr()
            assert torch.equal(given, last(x.clone()))


def test_few_inputs_are_kept() -> None:
    made = module()
    with torch.no_grad():
        for number in range(2 * INPUTS_KEPT + 1):
            made(torch.full((1, 2, 4, 4), float(number)))
    kept: Any = made.remembered
    assert 0 < len(kept.given) <= INPUTS_KEPT
