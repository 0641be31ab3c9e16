"""What reports say of wrong functions holds: of all calls, and of what was written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from casestudies import check

SEEDS = (1, 3, 8)


def said(part: str, answer: Callable[..., Any], seed: int) -> str:
    report = check(part, answer, seed=seed)
    assert not report.passed
    return " ".join(
        [*(each["text"] for each in report.recognised), *(d["sentence"] for d in report.differences)]
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_float_that_is_wrong_too_is_not_called_right(seed: int) -> None:
    def squares(
        in_channels: int, out_channels: int, kernel: int, height: int, width: int, groups: int = 1
    ) -> float:
        return height * height * out_channels * in_channels * kernel**2 / groups

    told = said("alexnet/grouped_conv_macs", squares, seed)
    assert "float" in told and "The height is counted twice" in told and "is right" not in told


@pytest.mark.parametrize("seed", SEEDS)
def test_two_mistakes_are_not_named_where_one_edit_does_the_same(seed: int) -> None:
    def walked(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        return len(range(0, size + 2 * padding - kernel, stride))

    report = check("lenet/conv_output_size", walked, seed=seed)
    assert report.mistakes == [] and [each["yours"] for each in report.differences] == [
        "(size + 2 * padding - kernel - 1) // stride + 1"
    ]


DEFAULTS = {"alpha": 1.2, "beta": 1.1, "gamma": 1.15}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("one", "other"), [("alpha", "beta"), ("beta", "gamma"), ("alpha", "gamma")])
def test_defaults_that_have_changed_places_are_seen(one: str, other: str, seed: int) -> None:
    changed = {**DEFAULTS, one: DEFAULTS[other], other: DEFAULTS[one]}

    def growth(
        phi: float,
        alpha: float = changed["alpha"],
        beta: float = changed["beta"],
        gamma: float = changed["gamma"],
    ) -> float:
        return (alpha * beta**2 * gamma**2) ** phi

    assert f"the defaults of `{one}` and `{other}` have changed places" in said(
        "efficientnet/flops_growth", growth, seed
    )


OTHER_LAYERS = "puts other layers in the place of those of a module"


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("seed", SEEDS)
def test_layers_of_a_module_that_are_others_are_seen(seed: int, trained: bool) -> None:
    def fresh(block: nn.Module) -> None:
        block.bn2 = nn.BatchNorm2d(block.bn2.num_features).train(block.training or trained)
        nn.init.zeros_(block.bn2.weight)

    def kept(block: nn.Module) -> None:
        block.bn2.weight = nn.Parameter(block.bn2.weight.detach() * 0)
        nn.init.zeros_(block.bn2.bias)

    report = check("identity/make_identity_", fresh, seed=seed)
    assert report.state == "partial" and OTHER_LAYERS in report.summary and "mode" not in report.summary
    assert check("identity/make_identity_", kept, seed=seed).passed
