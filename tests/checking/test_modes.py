"""What differs in one mode only is told of that mode."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from casestudies import check
from casestudies.networks import efficientnet

Act = Callable[[Tensor, bool], Tensor]


def block(act: Act, inner: Callable[[Tensor], Tensor] = F.relu) -> type[nn.Module]:
    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(out_channels)
            self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(out_channels)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_channels != out_channels:
                conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

        def forward(self, x: Tensor) -> Tensor:
            out = self.norm2(self.conv2(inner(self.norm1(self.conv1(x)))))
            return act(out + self.shortcut(x), self.training)

    return BasicBlock


def told(yours: type[nn.Module]) -> set[str]:
    report = check("resnet/basic_block", yours, seed=1)
    assert not report.passed
    return {each["sentence"] for each in report.differences}


MISSING = "ReLU is missing after the sum."


def test_what_only_evaluation_lacks_is_told_of_evaluation() -> None:
    assert told(block(lambda x, training: F.relu(x) if training else x)) == {f"In evaluation mode: {MISSING}"}


def test_beside_another_slip_the_mode_is_told_of_the_one_that_has_it() -> None:
    found = told(block(lambda x, training: F.relu(x) if training else x, F.silu))
    assert f"In evaluation mode: {MISSING}" in found, found
    assert any(each.startswith("SiLU stands in the place of ReLU") for each in found), found


def test_what_both_modes_lack_is_told_of_none() -> None:
    for found in (told(block(lambda x, training: x, F.silu)), told(block(lambda x, training: x, nn.GELU()))):
        assert found and not any("mode" in each for each in found), found


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_block_is_right(seed: int, reentrant: bool) -> None:
    """Torch's own checkpoints allow gradients in one way alone, that of training."""

    class SqueezeExcite(efficientnet.SqueezeExcite):
        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(super().forward, x, use_reentrant=reentrant)

    assert check("efficientnet/squeeze_excite", SqueezeExcite, seed=seed).passed
    report = check("efficientnet/squeeze_excite", WithoutRatio, seed=seed)
    assert not report.passed


class WithoutRatio(efficientnet.SqueezeExcite):
    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(super().forward, x, use_reentrant=True) + x
