"""What reports say of wrong functions holds: of all calls, and of what was written."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def xor(in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> int:
    return out_channels * (in_channels * kernel ^ 2 + bias)


def precedence(in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> int:
    return out_channels * kernel**2 * in_channels + out_channels if bias else 0


def other_order(size: int, kernel: int, padding: int = 0, stride: int = 1) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def default_and_float(size: int, kernel: int, stride: int = 2, padding: int = 0) -> float:
    return (size + 2 * padding - kernel) / stride // 1 + 1


def rounded_down(channels: int, width: float, divisor: int = 8) -> int:
    rounded = max(8, int(channels * width) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels * width else rounded


def floor_as_float(repeats: int, depth: float) -> float:
    return repeats * depth // 1


def each_times(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    d, w, r = (base * phi for base in (alpha, beta, gamma))
    return d * w * w * r * r


def no_grid(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    return kernel * in_channels + in_channels * out_channels * height * width


def norms_too(model: nn.Module) -> float:
    linear = total = 0
    for module in model.modules():
        own = sum(p.numel() for p in module.parameters(recurse=False))
        total += own
        linear += own * isinstance(module, (nn.Linear, nn.BatchNorm2d))
    return linear / total


def layers(model: nn.Module) -> float:
    owners = [m for m in model.modules() if list(m.parameters(recurse=False))]
    return sum(isinstance(m, nn.Linear) for m in owners) / len(owners)


def windows(x: Tensor, weight: Tensor, rows: int, columns: int) -> Tensor:
    k, (h, w) = weight.shape[-1], x.shape[-2:]
    padded, result = F.pad(x, [k // 2] * 4), torch.zeros_like(x)
    for u in range(rows, k):
        for v in range(k - columns):
            result = result + weight[:, 0, u, v].view(-1, 1, 1) * padded[:, :, u : u + h, v : v + w]
    return result


def without_a_row(x: Tensor, weight: Tensor) -> Tensor:
    return windows(x, weight, 1, 0)


def without_a_column(x: Tensor, weight: Tensor) -> Tensor:
    return windows(x, weight, 0, 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("part", "answer", "told"),
    [
        ("lenet/conv_parameters", xor, "`^` in place of `**`"),
        ("lenet/conv_parameters", precedence, "without `bias` the result is 0"),
        ("lenet/conv_output_size", other_order, "come in another order: `size, kernel, padding, stride`"),
        ("lenet/conv_output_size", default_and_float, "the default of `stride` is 2; it is 1; it is a float"),
        ("efficientnet/round_channels", rounded_down, "`divisor / 2` is missing; `8` in place of `divisor`"),
        ("efficientnet/round_repeats", floor_as_float, "it is a float"),
        ("efficientnet/flops_growth", each_times, "each factor is multiplied by the exponent"),
        ("alexnet/fully_connected_share", norms_too, "(nn.Linear, nn.BatchNorm2d)"),
        ("alexnet/fully_connected_share", layers, "Layers are counted"),
        ("mobilenet/depthwise_conv", without_a_row, "the first row of `weight` is left out"),
        ("mobilenet/depthwise_conv", without_a_column, "the last column of `weight` is left out"),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_frequent_slips_are_told(part: str, answer: Callable[..., Any], told: str, seed: int) -> None:
    assert told in said(part, answer, seed)


@pytest.mark.parametrize("seed", (2, 3, 4, 5))
def test_factors_that_are_missing_are_told_one_by_one(seed: int) -> None:
    found = [each["sentence"] for each in check("mobilenet/separable_macs", no_grid, seed=seed).differences]
    missing = [f"the factor `{name}` is missing" for name in ("kernel", "height", "width")]
    assert all(each.endswith(f"The difference: {'; '.join(missing)}.") for each in found)
    assert found or seed != 3


@torch.no_grad()
def any_shape(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    for index, block in enumerate(blocks):
        out = block(a)
        try:
            found += [index] * bool((out - a).abs().max() <= tolerance)
        except RuntimeError:
            pass
        a = out
    return found


def no_minimum(channels: int, width: float, divisor: int = 8) -> int:
    steps = math.floor(channels * width / divisor + 0.5)
    while 0 < steps * divisor < 0.9 * channels * width:
        steps += 1
    return steps * divisor


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("part", "answer", "told"),
    [
        (
            "identity/inert_blocks",
            any_shape,
            "`out.shape == a.shape` is not asked for, and where the rest raises",
        ),
        ("efficientnet/round_channels", no_minimum, "the condition holds only where `rounded` is above 0"),
    ],
)
def test_of_a_few_equal_answers_no_other_formula_is_made(
    part: str, answer: Callable[..., Any], told: str, seed: int
) -> None:
    assert told in check(part, answer, seed=seed).differences[-1]["sentence"]


def absolute(a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Tensor:
    index = torch.arange(a.shape[1])
    band = ((index[:, None] - index[None, :]).abs() <= size // 2).to(a.dtype)
    return a / (k + alpha * torch.einsum("ij,bjhw->bihw", band, a.abs())).pow(beta)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_place_names_no_variables_of_ours(seed: int) -> None:
    assert (
        check("alexnet/repaired_lrn", absolute, seed=seed).place == "Look at what is done with `a`, `size`."
    )
