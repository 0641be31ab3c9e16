"""Blocks that compute in float32 whatever they are given: rounding hides no wrong one and fails no right one."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.compare import difference_of
from casestudies.checking.engine import check
from casestudies.checking.functions import _map_tensors
from casestudies.checking.parts import parts
from casestudies.checks.alexnet import AlexNetTrunk
from casestudies.sandboxed.messages import Value


def block(eps: float = 1e-5, added: float = 0.0) -> type[nn.Module]:
    """ResNet's block behind a conversion, with another constant somewhere."""

    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()

            def conv(inputs: int, kernel: int, stride: int) -> nn.Sequential:
                layer = nn.Conv2d(inputs, out_channels, kernel, stride, kernel // 2, bias=False)
                return nn.Sequential(layer, nn.BatchNorm2d(out_channels, eps=eps))

            self.one, self.two = conv(in_channels, 3, stride), conv(out_channels, 3, 1)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_channels != out_channels:
                self.shortcut = conv(in_channels, 1, stride)

        def forward(self, x: Tensor) -> Tensor:
            x = x.float()
            return torch.relu(self.two(torch.relu(self.one(x))) + self.shortcut(x) + added)

    return BasicBlock


@pytest.mark.parametrize("seed", range(3))
def test_a_right_block_in_float32_is_right(seed):
    assert check("resnet/basic_block", block(), seed=seed).passed


@pytest.mark.parametrize("constants", [{"eps": 2e-5}, {"eps": 1e-4}, {"eps": 1e-3}, {"added": 1e-3}], ids=str)
def test_a_conversion_to_float32_hides_no_wrong_constant(constants):
    assert not check("resnet/basic_block", block(**constants), seed=0).passed


def test_what_float32_cannot_hold_makes_no_difference():
    assert check("resnet/basic_block", block(added=1e-8), seed=0).passed


@pytest.mark.parametrize("seed", range(3))
def test_a_right_block_is_right_though_rounding_moves_a_gradient_to_another_number(seed):
    class Trunk(AlexNetTrunk):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.float())

    assert check("alexnet/alexnet_trunk", Trunk, seed=seed).passed


def subsampling(off: float = 0.0) -> type[nn.Module]:
    """LeNet's repaired subsampling, which computes in float32 and gives what its parameters are."""

    class RepairedSubsampling(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.coefficient = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            sums = nn.functional.avg_pool2d(x.float(), 2, divisor_override=1)
            return self.coefficient[:, None, None] * sums * (1 + off) + self.bias[:, None, None]

    return RepairedSubsampling


@pytest.mark.parametrize("seed", range(12))
def test_a_right_block_that_rounds_to_float32_inside_is_right(seed):
    assert check("lenet/repaired_subsampling", subsampling(), seed=seed).passed


@pytest.mark.parametrize("off", [1e-4, -1e-3])
def test_rounding_inside_hides_no_wrong_factor(off):
    assert not check("lenet/repaired_subsampling", subsampling(off=off), seed=0).passed


def test_without_rounding_inside_a_small_difference_counts():
    class RepairedSubsampling(subsampling()):
        def forward(self, x: Tensor) -> Tensor:
            sums = nn.functional.avg_pool2d(x, 2, divisor_override=1)
            return self.coefficient[:, None, None] * sums * (1 + 1e-6) + self.bias[:, None, None]

    assert not check("lenet/repaired_subsampling", RepairedSubsampling, seed=0).passed


def scaling_in_float32(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return tuple((torch.tensor([alpha, beta, gamma]) ** phi).tolist())


def growth_in_float32(phi, alpha=1.2, beta=1.1, gamma=1.15):
    alpha, beta, gamma = torch.tensor([alpha, beta, gamma])
    return ((alpha * beta**2 * gamma**2) ** phi).item()


def growth_of_float32(phi, alpha=1.2, beta=1.1, gamma=1.15):
    """What comes out is no number of float32 any more."""
    depth, width, resolution = scaling_in_float32(phi, alpha, beta, gamma)
    return depth * width**2 * resolution**2


def ratio_in_float32(out_channels, kernel):
    return (1 / torch.tensor(float(out_channels)) + 1 / torch.tensor(float(kernel)) ** 2).item()


REALS = {
    "efficientnet/compound_scaling": scaling_in_float32,
    "efficientnet/flops_growth": growth_in_float32,
    "efficientnet/flops_growth ": growth_of_float32,
    "mobilenet/separable_ratio": ratio_in_float32,
}


@pytest.mark.parametrize("id", REALS)
def test_a_number_that_was_computed_in_float32_is_right(id):
    assert all(check(id.strip(), REALS[id], seed=seed).passed for seed in range(16))


@pytest.mark.parametrize("off", [1e-4, 3e-5])
def test_a_number_that_is_farther_off_is_wrong_and_shown_with_the_digits_that_differ(off):
    def flops_growth(phi, alpha=1.2, beta=1.1, gamma=1.15):
        return (alpha * beta**2 * gamma**2) ** phi * (1 + off)

    report = check("efficientnet/flops_growth", flops_growth, seed=1)
    assert report.points == 0
    for criterion in report.criteria:
        given, wanted = criterion.message.split("gives ")[1].rstrip(".").split("; expected ")
        assert given != wanted


def test_as_many_digits_are_shown_as_tell_numbers_apart():
    near = (
        Value("tuple", [Value("float", 2.985984, "float")], "tuple"),
        Value("tuple", [Value("float", 2.9859841, "float")], "tuple"),
    )
    assert difference_of(near[0], Value("tuple", [Value("float", 2.98604, "float")], "tuple"), 1e-7) == (
        "gives (2.98598,); expected (2.98604,)."
    )
    assert difference_of(*near, 1e-7) == ""
    assert difference_of(2.985984, 2.9859841, 1e-9) == "is 2.985984, not 2.9859841"


def _in_float32(value):
    return _map_tensors(value, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)


TENSORS = [
    "alexnet/repaired_lrn",
    "identity/residual_step",
    "identity/pad_shortcut",
    "mobilenet/depthwise_conv",
]
TENSORS += ["nin/conv1x1", "efficientnet/drop_connect"]


@pytest.mark.parametrize("part", TENSORS)
def test_a_function_that_computes_in_float32_is_compared_as_closely_as_that_carries(part):
    """What float32 does to the right function is known: an answer that is a hundred times as far off is wrong."""
    right = parts(part.partition("/")[0])[part].reference.function

    @functools.wraps(right)
    def rounded(*args, **kwargs):
        return right(*_in_float32(args), **_in_float32(kwargs))

    @functools.wraps(right)
    def scaled(*args, **kwargs):
        return (right(*args, **kwargs) * (1 + 1e-4)).float()

    @functools.wraps(right)
    def shifted(*args, **kwargs):
        return (right(*args, **kwargs) + 2e-4).float()

    for seed in range(6):
        assert check(part, rounded, seed=seed).passed
        assert not check(part, scaled, seed=seed).passed
        assert not check(part, shifted, seed=seed).passed


def test_channels_that_are_to_be_zero_are_zero():
    def pad_shortcut(a, out_channels, stride=2):
        kept = a[:, :, ::stride, ::stride]
        padded = torch.full((a.shape[0], out_channels, *kept.shape[2:]), 5e-4)
        padded[:, : a.shape[1]] = kept
        return padded

    assert not any(check("identity/pad_shortcut", pad_shortcut, seed=seed).points for seed in range(10))
