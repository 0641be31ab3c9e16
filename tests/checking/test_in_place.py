"""What is written over is said to be: an argument, or a tensor that gradients are computed from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.compare import OVERWRITES
from casestudies.checking.engine import check
from casestudies.checking.parts import parts

PART = "alexnet/repaired_lrn"
Constants = dict[str, float]


def sums(a: Tensor, size: int) -> Tensor:
    windows = [(a[:, max(0, c - size // 2) : c + size // 2 + 1] ** 2).sum(1) for c in range(a.shape[1])]
    return torch.stack(windows, 1)


def channel_by_channel(a: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    for c in range(a.shape[1]):
        a[:, c] = (
            a[:, c] / (k + alpha * (a[:, max(0, c - size // 2) : c + size // 2 + 1] ** 2).sum(1)) ** beta
        )
    return a


def divided(a: Tensor, size: int, alpha: float, beta: float, k: float) -> Tensor:
    return a.div_((k + alpha * sums(a, size)) ** beta)


def lrn(inside: Callable[..., Tensor], copied: bool) -> Callable[..., Tensor]:
    def repaired_lrn(
        a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> Tensor:
        return inside(a.clone() if copied else a, size, alpha, beta, k)

    return repaired_lrn


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("inside", [channel_by_channel, divided])
def test_an_argument_that_is_changed_is_named_though_its_gradients_raise(inside: Any, seed: int) -> None:
    report = check(PART, lrn(inside, copied=False), hidden=bool(seed), seed=seed)
    assert (report.state, report.points) == ("raised", 0)
    assert OVERWRITES in report.summary and "changes its argument in place." in report.summary


@pytest.mark.parametrize("seed", range(2))
def test_a_copy_that_is_changed_is_no_argument(seed: int) -> None:
    report = check(PART, lrn(channel_by_channel, copied=True), hidden=bool(seed), seed=seed)
    assert report.state == "raised" and OVERWRITES in report.summary
    assert "Without gradients: repaired_lrn(" in report.summary and "gives other values" in report.summary
    assert "argument" not in report.summary


def test_a_block_that_overwrites_what_its_gradients_need_is_told_so() -> None:
    right: type[nn.Module] = parts("efficientnet")["efficientnet/squeeze_excite"].reference.factory  # type: ignore

    class SqueezeExcite(right):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor) -> Tensor:
            gate = self.gate(x)
            y = x * gate
            gate += 0
            return y

    report = check("efficientnet/squeeze_excite", SqueezeExcite, seed=1)
    assert "raised RuntimeError" in report.summary and report.summary.endswith(OVERWRITES)


def overwritten(reach: int, sums_of: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    """The sums of windows that end `reach` channels behind the middle of the window, overwritten when the values are
    there and the gradients still need them."""

    def repaired_lrn(
        a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> Tensor:
        windows = [
            a[:, max(0, c - size // 2) : max(0, c + size // 2 + reach)] ** 2 for c in range(a.shape[1])
        ]
        found = k + alpha * torch.stack([sums_of(window) for window in windows], 1)
        powers = found**beta
        found.zero_()
        return a / powers

    return repaired_lrn


@pytest.mark.parametrize("seed", range(4))
def test_right_values_whose_gradients_raise_are_given_no_formula_of_the_same_exception(seed: int) -> None:
    report = check(PART, overwritten(1, lambda window: window.sum(1)), seed=seed)
    assert report.state == "raised" and OVERWRITES in report.summary
    assert (report.mistakes, report.differences) == ([], [])


@pytest.mark.parametrize("seed", range(4))
def test_wrong_values_are_named_though_their_gradients_raise(seed: int) -> None:
    report = check(PART, overwritten(0, lambda window: window.sum(1)), seed=seed)
    assert report.mistakes == ["window_one_short"]
    assert report.state == "raised" and OVERWRITES in report.summary
    assert any("the term `1` is missing" in each["sentence"] for each in report.differences)


@pytest.mark.parametrize("seed", range(2))
def test_wrong_values_without_a_name_are_told_though_their_gradients_raise(seed: int) -> None:
    report = check(PART, overwritten(1, lambda window: 2 * window.sum(1)), seed=seed)
    assert report.mistakes == [] and report.differences
    assert "2 * " in report.differences[0]["sentence"]
