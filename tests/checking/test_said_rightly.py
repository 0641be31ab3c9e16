"""Sentences of block reports that were true of something else, or of nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.layers import layers_of
from casestudies.checking.transplant import Slot, flattened
from casestudies.graph import record

SEEDS = (0, 1, 3, 6)


class Basic(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.body = nn.Sequential(
            *(nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels)),
            *(nn.ReLU(), nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)),
            nn.BatchNorm2d(out_channels),
        )
        self.short = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.short = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x):
        return F.relu(self.body(x) + self.short(self.taken(x)))


class RaisesWithThreeAlone(Basic):
    """With stride 2 the first rows and columns are taken, and not each second one; with 3 nothing is moved."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        if stride != 1 or in_channels != out_channels:
            self.norm, self.short = nn.BatchNorm2d(out_channels), nn.Identity()
            self.mix = nn.Linear(in_channels, out_channels, bias=False)

    def taken(self, x):
        if not hasattr(self, "mix"):
            return x
        if self.stride == 3:
            short = x[:, :, ::3, 1::3]
        else:
            height, width = (-(-size // self.stride) for size in x.shape[2:])
            short = x[:, :, :height, :width].permute(0, 2, 3, 1)
        return self.norm(self.mix(short).permute(0, 3, 1, 2))


class EverySecondColumn(Basic):
    def taken(self, x):
        if self.stride == 1:
            return x
        return x[:, :, :: self.stride, ::2]


class Inverted(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = in_channels * expansion
        layers = []
        if expansion > 1:
            layers = [nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()]
        layers += [nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False), nn.BatchNorm2d(wide)]
        layers += [nn.ReLU6(), nn.Conv2d(wide, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)]
        self.layers = nn.Sequential(*layers)
        self.adds = stride == 1 and in_channels == out_channels


class AddsToNobody(Inverted):
    def forward(self, x):
        y = self.layers(x)
        if self.adds:
            x += y
        return y


class Subtracts(Inverted):
    def forward(self, x):
        return self.layers(x) - x if self.adds else self.layers(x)


class Pixels(nn.Module):
    def __init__(self, in_channels, hidden, out_channels):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(in_channels, hidden), nn.Linear(hidden, out_channels)

    def forward(self, x):
        n, _, h, w = x.shape
        y = self.linear2(F.relu(self.linear1(x.flatten(2).mT)))
        return y.mT.unflatten(2, (w, h))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_was_raised_is_said_of_the_cases_that_raise(seed):
    report = check("resnet/basic_block", RaisesWithThreeAlone, seed=seed)
    assert "raised RuntimeError" in report.summary
    assert "is not 1" not in report.summary.partition("raised")[0], report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stride_of_slices_is_not_said_of_the_convolution(seed):
    report = check("resnet/basic_block", EverySecondColumn, seed=seed)
    told = " ".join(each["sentence"] for each in report.differences)
    assert "has stride" not in told, report.text()


def test_a_convolution_of_slices_says_so():
    class Sliced(nn.Module):
        def __init__(self):
            super().__init__()
            self.points = nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return self.points(x[:, :, :, ::2])

    *_, layer = layers_of(record(Sliced(), torch.randn(2, 3, 6, 6)))
    assert layer.sliced and layer.setting("stride") == (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sum_that_is_lost_is_not_missing(seed):
    report = check("mobilenet_v2/repaired_block", AddsToNobody, seed=seed)
    told = [each["sentence"] for each in report.differences]
    assert told == ["The sum is computed, but what is returned does not depend on it."], report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_difference_is_called_one(seed):
    report = check("mobilenet_v2/inverted_residual", Subtracts, seed=seed)
    assert [each["yours"] for each in report.differences] == ["difference"], report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_no_permute_is_spoken_of_where_there_is_none(seed):
    report = check("nin/repaired_pixel_mlp", Pixels, seed=seed)
    assert not report.passed and "the permute" not in report.text(), report.text()


def test_one_parameter_is_one():
    class One(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return 4 * F.avg_pool2d(x, 2) * self.factor

    assert "It has 1 parameter;" in check("lenet/repaired_subsampling", One, seed=3).text()
    number = Slot("factor", (), "parameter", 0, 0)
    assert blocks._list_slots([number]) == "a parameter that is a single number"


def test_which_shapes_are_others_flattened():
    assert flattened((120, 400), (120, 16, 5, 5)) and not flattened((400, 120), (120, 16, 5, 5))
