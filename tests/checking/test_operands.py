"""Weights kept in any form: taken as the operations read them, by value."""

from __future__ import annotations

import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrize

from casestudies import check
from casestudies.checking.operands import as_read, reads_plainly
from casestudies.checking.transplant import slots_of
from casestudies.graph import record

SEEDS = (0, 1)


class Through(nn.Module):
    """Gives a weight as a function of what is kept."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, weight):
        return self.function(weight)


def shuffled(weight):
    order = torch.tensor(random.Random(3).sample(range(weight.numel()), weight.numel()))
    return weight.flatten()[order].reshape(weight.shape)


def block_with(function, only_points=False, slope=0.0):
    """The block, its weights given by a function of what it keeps."""

    class Kept(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
            super().__init__()
            self.layers = nn.ModuleList(
                [
                    nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
                    nn.Conv2d(out_channels, out_channels, 1),
                    nn.Conv2d(out_channels, out_channels, 1),
                ]
            )
            for layer in self.layers[1 if only_points else 0 :]:
                parametrize.register_parametrization(layer, "weight", Through(function), unsafe=True)

        def forward(self, x):
            for layer in self.layers:
                x = F.leaky_relu(layer(x), slope)
            return x

    return Kept


class OneVector(nn.Module):
    """All that is learned in one vector, the last layer's first."""

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.stride, self.padding = stride, padding
        inner = (out_channels, out_channels, 1, 1)
        self.shapes = [inner, (out_channels,), inner, (out_channels,)]
        self.shapes += [(out_channels, in_channels, kernel_size, kernel_size), (out_channels,)]
        self.all = nn.Parameter(torch.randn(sum(torch.Size(shape).numel() for shape in self.shapes)) / 9)

    def forward(self, x):
        cut = self.all.split([torch.Size(shape).numel() for shape in self.shapes])
        w3, b3, w2, b2, w1, b1 = (part.view(shape) for part, shape in zip(cut, self.shapes, strict=True))
        x = F.relu(F.conv2d(x, w1, b1, self.stride, self.padding))
        x = F.relu(F.conv2d(x, w2, b2))
        return F.relu(F.conv2d(x, w3, b3))


RIGHT = {
    "transposed by a parametrization": block_with(lambda weight: weight.transpose(0, 1), only_points=True),
    "channels from the last to the first": block_with(lambda weight: weight.flip(0, 1)),
    "rolled": block_with(lambda weight: weight.roll(1, 0)),
    "in one order or other": block_with(shuffled),
    "one vector": OneVector,
}
WRONG = {
    "rectified": block_with(F.relu),
    "absolute": block_with(torch.abs),
    "doubled": block_with(lambda weight: 2 * weight),
    "a row twice": block_with(lambda weight: torch.cat([weight[:1], weight[:-1]])),
    "a row twice, in another order": block_with(lambda weight: torch.cat([weight[:1], weight[:-1]]).flip(0)),
    "normalised": block_with(lambda weight: weight / weight.norm()),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", RIGHT)
def test_weights_in_another_order_are_right(name, seed):
    report = check("nin/nin_block", RIGHT[name], hidden=True, seed=seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("name", WRONG)
def test_weights_with_other_values_are_wrong(name):
    report = check("nin/nin_block", WRONG[name], hidden=True, seed=4)
    assert not report.passed and report.state == "wrong", report.text()


@pytest.mark.parametrize("axes", [(-1, -2), (0, -1), (2,)])
def test_a_kernel_that_runs_backwards_is_no_other_form(axes):
    report = check("nin/nin_block", block_with(lambda weight: weight.flip(*axes)), hidden=True, seed=4)
    assert not report.passed and report.state in ("wrong", "partial"), report.text()


def test_a_wrong_block_that_shuffles_its_weights_is_told_what_is_wrong_and_nothing_else():
    report = check("nin/nin_block", block_with(shuffled, slope=0.1), hidden=True, seed=5)
    assert report.state == "wrong"
    assert [each["yours"].partition(" ")[0] for each in report.differences] == ["LeakyReLU,"], report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_one_small_convolution_for_each_channel_is_a_depthwise_one(seed):
    class Separable(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.each = nn.ModuleList(nn.Conv2d(1, 1, 3, stride, 1, bias=False) for _ in range(in_channels))
            self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
            self.points = nn.Conv2d(in_channels, out_channels, 1, bias=False)

        def forward(self, x):
            parts = [conv(x[:, k : k + 1]) for k, conv in enumerate(self.each)]
            return F.relu(self.bn2(self.points(F.relu(self.bn1(torch.cat(parts, 1))))))

    report = check("mobilenet/separable_conv", Separable, hidden=True, seed=seed)
    assert report.passed, report.text()


def view_of(module, x):
    module = module.eval()
    return as_read(record(module, x, grad=True), slots_of(module, [x]))


def test_what_is_read_as_it_is_kept_has_no_other_form():
    assert (
        view_of(
            nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), torch.rand(2, 3, 5, 5)
        )
        is None
    )
    assert view_of(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 4)), torch.rand(2, 3)) is None


def test_operands_carry_the_numbers_and_the_gradients_of_the_parameters():
    class Stacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.both = nn.Parameter(torch.randn(2, 3, 3))

        def forward(self, x):
            return x @ self.both[1] @ self.both[0].t()

    module = Stacked()
    view = view_of(module, torch.rand(4, 3))
    value = module.both.detach()
    found = view({"both": value})
    first, second = [found[slot.name] for slot in view.slots]
    torch.testing.assert_close(first, value[1].t())  # as a layer keeps it, (out, in)
    torch.testing.assert_close(second, value[0])
    assert view({"both": None}) == {"both": None, view.slots[0].name: None, view.slots[1].name: None}
    assert view({"both": value[0]})[view.slots[0].name] is None  # it does not fit


class Reading(nn.Module):
    """One weight and a batch norm's state, and a function that reads them."""

    def __init__(self, function, shape=(3, 3, 1, 1)):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape))
        self.bias = nn.Parameter(torch.randn(3))
        self.register_buffer("mean", torch.zeros(3))
        self.function = function

    def forward(self, x):
        return self.function(self, x)


def layers(padding="zeros"):
    return nn.Sequential(
        nn.Conv2d(3, 3, 1, padding_mode=padding),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(3, 3),
        nn.Linear(3, 3, bias=False),
    )


@pytest.mark.parametrize(
    ("plain", "module"),
    [
        (True, layers()),
        (True, layers("reflect")),
        (True, Reading(lambda m, x: F.conv2d(x, m.weight, m.bias))),
        (True, Reading(lambda m, x: F.linear(x.mean((2, 3)), m.weight, m.bias), (3, 3))),
        (False, Reading(lambda m, x: F.conv2d(x, m.weight.transpose(0, 1)))),
        (False, Reading(lambda m, x: F.conv_transpose2d(x, m.weight))),
        (False, Reading(lambda m, x: x.mean((2, 3)) @ m.weight, (3, 3))),
        (False, Reading(lambda m, x: F.linear(x.mean((2, 3)), m.weight.t(), m.bias), (3, 3))),
        (False, Reading(lambda m, x: torch.einsum("nihw,io->nohw", x, m.weight), (3, 3))),
        (False, Reading(lambda m, x: F.conv2d(x, m.weight.flatten(1).view(3, 3, 1, 1)))),
        (False, Reading(lambda m, x: F.conv2d(x - m.mean.view(3, 1, 1), m.weight))),
        (False, Reading(lambda m, x: F.conv2d(x, 2 * m.weight))),
    ],
)
def test_only_what_layers_do_is_a_plain_reading(plain, module):
    graph = record(module.double(), torch.randn(2, 3, 4, 4, dtype=torch.float64), training=False, grad=True)
    assert reads_plainly(graph) == plain
