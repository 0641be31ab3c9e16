"""What is said of batch norms that are written by hand is so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check


def block(share: float = 0.1, unbiased: bool = True, inside: float = 1e-5, outside: float = 0.0) -> type:
    class Norm(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
            self.register_buffer("mean", torch.zeros(channels))
            self.register_buffer("variance", torch.ones(channels))

        def forward(self, x: Tensor) -> Tensor:
            mean, variance = self.mean, self.variance
            if self.training:
                mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
                with torch.no_grad():
                    self.mean.lerp_(mean, share)
                    self.variance.lerp_(x.var((0, 2, 3), unbiased=unbiased), share)
            below = (variance + inside).sqrt() + outside
            scaled = (x - mean[:, None, None]) / below[:, None, None]
            return scaled * self.weight[:, None, None] + self.bias[:, None, None]

    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
            self.bn1, self.bn2 = Norm(out_channels), Norm(out_channels)
            self.shortcut: nn.Module = nn.Identity()
            if stride != 1 or in_channels != out_channels:
                projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(projection, Norm(out_channels))

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + self.shortcut(x))

    return BasicBlock


SHARE = "Each step takes up {} of the statistics of the batch; asked for: 0.1."
DIVISOR = "The variance that is taken up is divided by n; asked for: by n - 1."


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"unbiased": False}, [DIVISOR]),
        (
            {"share": 0.9},
            ["has momentum 0.9 instead of momentum 0.1."],
        ),  # the share alone is a norm's setting
        ({"share": 0.01, "unbiased": False}, [SHARE.format(0.01), DIVISOR]),
    ],
    ids=["over n", "turned", "both"],
)
def test_how_running_statistics_change_is_read_from_them(
    seed: int, wrong: dict[str, float], said: list[str]
) -> None:
    report = check("resnet/basic_block", block(**wrong), seed=seed)  # type: ignore[arg-type]
    assert all(each in report.summary for each in said), report.text()
    assert (DIVISOR in report.summary) is (DIVISOR in said)


def test_what_is_right_is_right() -> None:
    assert check("resnet/basic_block", block(), seed=1).passed


def test_statistics_that_are_never_kept_follow_no_rule() -> None:
    text = check("resnet/basic_block", block(share=0.0), seed=1).text()
    assert "batch norm differ." in text and "Each step takes up" not in text


def test_a_formula_that_is_wrong_is_not_looked_for_before_the_norm() -> None:
    summary = check("resnet/basic_block", block(outside=1e-2, inside=0.0), seed=1).summary
    assert "already differs" not in summary, summary
    assert "which you write by hand, gives other values: look at its formula" in summary
