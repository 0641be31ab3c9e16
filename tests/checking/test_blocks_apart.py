"""Blocks that share parameters with other blocks: what trains one would change the other."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.networks.resnet import BasicBlock as Right
from casestudies.networks.resnet import conv_bn

SHARED = "Two blocks have a parameter in common: what trains one changes the other."


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


@lru_cache
def vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for index in range(num_convs):
        layers += [
            nn.Conv2d(in_channels if index == 0 else out_channels, out_channels, 3, padding=1),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


MADE: list[nn.Module] = []


def growing(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    MADE.extend(vgg_block.__wrapped__(num_convs, in_channels, out_channels))
    return nn.Sequential(*MADE)


@lru_cache
def layer(features: int, out: int, place: int) -> nn.Module:
    return nn.Linear(features, out)


class RepairedBlock(nn.Module):
    """What it gives when it is just built counts; the second check must find it as the first one did."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = layer(features, hidden, 1), layer(hidden, features, 2)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor) -> Tensor:
        return F.relu(a + self.scale * self.linear2(F.relu(self.linear1(a))))


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("vgg/vgg_block", vgg_block),
        ("vgg/vgg_block", growing),
        ("resnet/basic_block", BasicBlock),
        ("identity/repaired_block", RepairedBlock),
    ],
    ids=["cached", "growing", "a layer", "just built"],
)
def test_layers_that_outlive_a_check_are_found_by_the_next_one_as_they_were(part: str, answer: Any) -> None:
    for seed in (2, 3):
        first, *others = (check(part, answer, seed=seed) for _ in range(3))
        assert SHARED in first.summary and not first.layers and not first.recognised
        for other in others:
            assert (other.points, other.state, other.summary) == (first.points, first.state, first.summary)


def test_blocks_that_grow_earn_nothing() -> None:
    assert check("vgg/vgg_block", growing, seed=1).points == 0
