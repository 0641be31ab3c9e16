"""A pooling that adds its windows up is one of its own kind, however it is written, and no average."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.differences import compare_layers
from casestudies.checking.layers import layers_of
from casestudies.graph import record

IMAGE = torch.randn(3, 4, 6, 8, generator=torch.Generator().manual_seed(1))
Pooling = Callable[[Tensor], Tensor]


class Pooled(nn.Module):
    def __init__(self, reduced: Pooling) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(4, 1, 1))
        self.reduced = reduced

    def forward(self, x: Tensor) -> Tensor:
        return self.reduced(x)


def told(asked: Pooling, yours: Pooling) -> list[str]:
    graphs = [layers_of(record(Pooled(each), IMAGE, training=False)) for each in (asked, yours)]
    found = compare_layers(*graphs)
    assert found is not None
    return [each.sentence for each in found.differences]


def total(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2, divisor_override=1)


SAME = {
    "scaled after": (total, lambda x: 4 * F.avg_pool2d(x, 2)),
    "scaled before": (total, lambda x: F.avg_pool2d(4 * x, 2)),
    "divided": (lambda x: F.avg_pool2d(x, 2), lambda x: total(x) / 4),
    "the size as divisor": (
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2, divisor_override=4),
    ),
    "halves": (total, lambda x: 2 * F.avg_pool2d(x, 2, divisor_override=2)),
    "the grid": (lambda x: F.avg_pool2d(x, (6, 8), divisor_override=1), lambda x: 48 * x.mean((2, 3), True)),
    "the mean of the grid": (
        lambda x: x.mean((2, 3), True),
        lambda x: F.avg_pool2d(x, (6, 8), divisor_override=1) / 48,
    ),
    "with padding": (
        lambda x: F.avg_pool2d(x, 3, 1, 1, divisor_override=1),
        lambda x: 9 * F.avg_pool2d(x, 3, 1, 1),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_sums_are_means_times_the_size_of_the_window(name: str) -> None:
    asked, yours = SAME[name]
    assert torch.allclose(asked(IMAGE), yours(IMAGE), atol=1e-5)
    assert told(asked, yours) == told(yours, asked) == []


OTHER = {
    "mean": (
        total,
        lambda x: F.avg_pool2d(x, 2),
        "2×2 average pooling, stride 2 stands in the place of 2×2 sum pooling, stride 2, on the block's input.",
    ),
    "sum": (
        lambda x: F.avg_pool2d(x, 2),
        total,
        "2×2 sum pooling, stride 2 stands in the place of 2×2 average pooling, stride 2, on the block's input.",
    ),
    "half the sum": (
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2, divisor_override=2),
        "The 2×2 average pooling divides by 2 instead of the size of the window.",
    ),
    "the sum of a grid": (
        lambda x: x.mean((2, 3), True),
        lambda x: F.avg_pool2d(x, (6, 8), divisor_override=1),
        "6×8 sum pooling, stride 6×8 stands in the place of global average pooling, on the block's input.",
    ),
}


@pytest.mark.parametrize("name", OTHER)
def test_another_divisor_is_told(name: str) -> None:
    asked, yours, sentence = OTHER[name]
    assert told(asked, yours) == [sentence]


def test_a_mean_that_leaves_the_padding_out_is_no_sum() -> None:
    """It divides by another number at the border."""
    yours = lambda x: 9 * F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)  # noqa: E731
    assert told(lambda x: F.avg_pool2d(x, 3, 1, 1, divisor_override=1), yours) != []


def subsampling(pooled: Callable[[Tensor, Tensor], Tensor], act: Pooling = F.relu) -> type[nn.Module]:
    class RepairedSubsampling(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.coefficient = nn.Parameter(torch.ones(channels))
            self.bias = nn.Parameter(torch.zeros(channels))

        def forward(self, x: Tensor) -> Tensor:
            return act(pooled(self.coefficient[:, None, None], x) + self.bias[:, None, None])

    return RepairedSubsampling


@pytest.mark.parametrize(
    "pooled",
    [
        lambda weight, x: weight * (4 * F.avg_pool2d(x, 2)),
        lambda weight, x: weight * F.avg_pool2d(x, 2) * 4,
        lambda weight, x: weight * F.avg_pool2d(4 * x, 2),
        lambda weight, x: 4 * weight * F.avg_pool2d(x, 2),
    ],
)
def test_a_right_sum_beside_another_slip_is_no_slip(pooled: Callable[[Tensor, Tensor], Tensor]) -> None:
    report = check("lenet/repaired_subsampling", subsampling(pooled), seed=1)
    assert not report.passed
    found = [each["sentence"] for each in report.differences]
    assert found and all("ReLU" in sentence for sentence in found), found


def test_an_average_for_a_sum_is_told_beside_another_slip() -> None:
    yours = subsampling(lambda weight, x: weight * F.relu(F.avg_pool2d(x, 2)), lambda x: x)
    report = check("lenet/repaired_subsampling", yours, seed=1)
    found = [each["sentence"] for each in report.differences]
    assert any("average pooling" in each and "sum pooling" in each for each in found), found
    assert any("ReLU" in each for each in found), found
