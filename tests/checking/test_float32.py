"""Blocks that compute in float32 whatever they are given: rounding hides no wrong one and fails no right one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.engine import check
from casestudies.checks.alexnet import AlexNetTrunk


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
