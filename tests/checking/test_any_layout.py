"""Weights that are stacked or fused: a wrong answer is judged and explained, a right one never called wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check

SEEDS = (0, 1, 2, 5)


class OneTable(nn.Module):
    """Coefficient and bias of each channel in one table, a row for each of the two."""

    factor = 1.0

    def __init__(self, channels):
        super().__init__()
        self.table = nn.Parameter(torch.stack([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, x):
        sums = self.factor * 4 * F.avg_pool2d(x, 2)
        return sums * self.table[0, :, None, None] + self.table[1, :, None, None]


class Mean(OneTable):
    factor = 0.25


class Rows(nn.Module):
    """The matrix and, as its last row, the biases of a head that multiplies pixels by it."""

    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.rows = nn.Parameter(torch.randn(in_channels + 1, num_classes))

    def taken_together(self, values):
        return values.mean(1)

    def forward(self, x):
        pixels = x.flatten(2).mT
        pixels = torch.cat([pixels, torch.ones_like(pixels[..., :1])], -1)
        return self.taken_together(pixels @ self.rows)


class Summed(Rows):
    def taken_together(self, values):
        return values.sum(1)


class Entry(nn.Module):
    """An Inception module whose first three 1x1 convolutions are one."""

    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()
        self.sizes = [c1, c3_reduce, c5_reduce]
        self.entry = nn.Conv2d(in_channels, sum(self.sizes), 1)
        self.three = nn.Conv2d(c3_reduce, c3, 3, padding=1)
        self.five = nn.Conv2d(c5_reduce, c5, 5, padding=2)
        self.points = nn.Conv2d(in_channels, pool_proj, 1)

    def parts(self, entry):
        return entry.split(self.sizes, 1)

    def reduced(self, x):
        return x

    def pooled(self, x):
        return self.points(F.max_pool2d(x, 3, 1, 1))

    def forward(self, x):
        one, three, five = self.parts(F.relu(self.entry(x)))
        branches = [one, self.three(self.reduced(three)), self.five(five), self.pooled(x)]
        return torch.cat([F.relu(each) for each in branches], 1)


class PoolAfterwards(Entry):
    def pooled(self, x):
        return F.max_pool2d(self.points(x), 3, 1, 1)


class InAnotherOrder(Entry):
    """With one ReLU at the end, which is right, and the pool's branch first, which is not."""

    def forward(self, x):
        one, three, five = self.parts(F.relu(self.entry(x)))
        return F.relu(torch.cat([self.pooled(x), one, self.three(three), self.five(five)], 1))


class Doubled(Entry):
    def reduced(self, x):
        return x * 2


class Interleaved(Entry):
    """Of the entry's channels each third one belongs to one part, as far as these reach."""

    @property
    def order(self):
        places = sorted((k, part) for part, size in enumerate(self.sizes) for k in range(size))
        return [[n for n, (_, of) in enumerate(places) if of == part] for part in range(3)]

    def parts(self, entry):
        return [entry[:, some] for some in self.order]


class InterleavedDoubled(Interleaved):
    def reduced(self, x):
        return x * 2


class Gate(nn.Module):
    """Both matrices of the gate in one tensor."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.both = nn.Parameter(torch.randn(2, channels, squeezed))
        self.down, self.up = nn.Parameter(torch.zeros(squeezed)), nn.Parameter(torch.zeros(channels))

    def squeeze(self, x):
        return x.mean((2, 3))

    def forward(self, x):
        z = F.silu(self.squeeze(x) @ self.both[0] + self.down)
        return x * torch.sigmoid(z @ self.both[1].T + self.up)[:, :, None, None]


class GateOfSums(Gate):
    def squeeze(self, x):
        return x.sum((2, 3))


RIGHT = {
    "lenet/repaired_subsampling": OneTable,
    "nin/global_average_head": Rows,
    "inception/inception_module": Entry,
    "efficientnet/squeeze_excite": Gate,
}
WRONG = {
    "a mean for a sum": ("lenet/repaired_subsampling", Mean, "averaged"),
    "a sum for a mean": ("nin/global_average_head", Summed, "sum_pooled"),
    "the pool after its points": ("inception/inception_module", PoolAfterwards, "projection_before_the_pool"),
    "a factor in a branch": ("inception/inception_module", Doubled, None),
    "a factor, interleaved": ("inception/inception_module", InterleavedDoubled, None),
    "a gate of sums": ("efficientnet/squeeze_excite", GateOfSums, "sum_taken"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("part", RIGHT)
def test_stacked_weights_are_right(part, seed):
    report = check(part, RIGHT[part], hidden=True, seed=seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_block_with_stacked_weights_is_wrong(name, seed):
    part, block, known = WRONG[name]
    report = check(part, block, hidden=True, seed=seed)
    assert report.state in ("wrong", "partial") and report.points < report.possible, report.text()
    assert report.mistakes == ([known] if known else []), report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_block_in_a_layout_that_nobody_knows_is_not_wrong(seed):
    report = check("inception/inception_module", Interleaved, hidden=True, seed=seed)
    assert report.passed or report.state == "ungradable", report.text()


def test_what_differs_is_shown_with_the_stacked_weights_cut():
    report = check("inception/inception_module", PoolAfterwards, seed=3)
    assert "max pooling" in report.differences[0]["sentence"], report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_but_the_order_is_told_where_that_is_wrong(seed):
    report = check("inception/inception_module", InAnotherOrder, seed=seed)
    assert {each["sentence"] for each in report.differences} == {
        "The concatenation joins the same tensors in a different order."
    }, report.text()
