"""Answers that are wrong only where two numbers happen to agree, or beyond the usual sizes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.engine import check
from casestudies.checking.parts import parts
from casestudies.checks.identity import inert_blocks as right_inert_blocks
from casestudies.networks.googlenet import InceptionModule
from casestudies.networks.resnet import BasicBlock

SEEDS = range(6)


class WithSkip(InceptionModule):
    """Adds its input where the shapes happen to be equal."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        return out + x if out.shape == x.shape else out


def middle_shared(in_channels, out_channels, num_blocks, stride):
    middle = [BasicBlock(out_channels, out_channels)] * (num_blocks - 2)
    last = [BasicBlock(out_channels, out_channels)] if num_blocks > 1 else []
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), *middle, *last)


def three_at_most(in_channels, out_channels, num_blocks, stride):
    more = [BasicBlock(out_channels, out_channels) for _ in range(min(num_blocks, 3) - 1)]
    return nn.Sequential(BasicBlock(in_channels, out_channels, stride), *more)


def zero_is_none(blocks, a, tolerance=1e-6):
    return right_inert_blocks(blocks, a, tolerance or 1e-6)


def other_default(blocks, a, tolerance=1.1e-6):
    return right_inert_blocks(blocks, a, tolerance)


WRONG = {
    "a skip where it fits": ("inception/inception_module", WithSkip),
    "one block in the middle": ("resnet/residual_stage", middle_shared),
    "three blocks at most": ("resnet/residual_stage", three_at_most),
    "0 is no tolerance": ("identity/inert_blocks", zero_is_none),
    "a default that is a little larger": ("identity/inert_blocks", other_default),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_seed_lets_it_pass(name: str) -> None:
    part, answer = WRONG[name]
    assert not any(check(part, answer, seed=seed).passed for seed in SEEDS)


def test_a_scale_that_begins_near_zero_is_seen_with_every_seed() -> None:
    """ReLU hides it in a row of negative numbers."""

    right = parts("identity")["identity/repaired_block"].reference.factory

    class RepairedBlock(right):
        def __init__(self, *args: int) -> None:
            super().__init__(*args)
            with torch.no_grad():
                self.scale += 1e-3

    assert not any(check("identity/repaired_block", RepairedBlock, seed=seed).passed for seed in range(60))
