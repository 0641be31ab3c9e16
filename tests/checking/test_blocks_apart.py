"""Blocks that share parameters with other blocks: what trains one would change the other."""

from __future__ import annotations

from functools import lru_cache

import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.networks.resnet import BasicBlock as Right
from casestudies.networks.resnet import conv_bn


@lru_cache
def projection(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return conv_bn(in_channels, out_channels, 1, stride)


class BasicBlock(Right):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        if stride != 1 or in_channels != out_channels:
            self.shortcut = projection(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


def test_a_projection_that_blocks_share_loses_points_with_any_seed() -> None:
    for seed in range(8):
        report = check("resnet/basic_block", BasicBlock, seed=seed)
        assert 0 < report.points < report.possible, report.text()
        assert any("a parameter in common" in each.message for each in report.criteria)


def test_blocks_with_layers_of_their_own_are_right() -> None:
    assert all(check("resnet/basic_block", Right, seed=seed).passed for seed in range(4))
