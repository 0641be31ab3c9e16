"""What stands around an image is told however it is written."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking.borders import border
from casestudies.graph import record


def by_hand(x):
    """A border of one pixel that wraps around, made of slices."""
    x = torch.cat([x[..., -1:], x, x[..., :1]], -1)
    return torch.cat([x[..., -1:, :], x, x[..., :1, :]], -2)


def by_index(x):
    def around(size):
        return torch.tensor([size - 1, *range(size), 0])

    return x[:, :, around(x.shape[2])][:, :, :, around(x.shape[3])]


def zeros_by_hand(x):
    made = x.new_zeros(*x.shape[:2], x.shape[2] + 1, x.shape[3] + 2)
    made[:, :, 1:, :-2] = x
    return made


class Around(nn.Module):
    def __init__(self, pad):
        super().__init__()
        self.pad, self.conv = pad, nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.conv(self.pad(F.relu(x)))


KINDS = {
    "circular": (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), (1, 1, 1, 1), "wrapping around"),
    "circular, wide on one side": (
        lambda x: F.pad(x, (2, 0, 1, 0), mode="circular"),
        (1, 0, 2, 0),
        "wrapping around",
    ),
    "circular by hand": (by_hand, (1, 1, 1, 1), "wrapping around"),
    "circular by an index": (by_index, (1, 1, 1, 1), "wrapping around"),
    "zeros by hand": (zeros_by_hand, (1, 0, 0, 2), None),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_border_is_told_by_where_its_pixels_come_from(name):
    pad, sides, kind = KINDS[name]
    graph = record(Around(pad).eval(), torch.rand(2, 2, 4, 5), grad=True)
    convolution = next(op for op in graph.ops if op.name == "convolution")
    source, found, of = border(graph, convolution.setting("input").value)
    assert graph.maker[source].name == "relu" and (found, of) == (sides, kind)


@pytest.mark.parametrize(
    "moved", [lambda x: x.flip(-1), lambda x: x.roll(1, 2), lambda x: torch.cat([x, x.flip(-1)], -1)]
)
def test_an_image_that_is_moved_otherwise_has_no_border(moved):
    graph = record(Around(moved).eval(), torch.rand(1, 2, 4, 5), grad=True)
    convolution = next(op for op in graph.ops if op.name == "convolution")
    assert border(graph, convolution.setting("input").value) is None


def block(pad, padding=0):
    class BasicBlock(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding, bias=False)
            self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
            self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_channels != out_channels:
                conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
                self.shortcut = nn.Sequential(conv, nn.BatchNorm2d(out_channels))

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(pad(x))))
            return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))

    return BasicBlock


def test_a_block_that_wraps_around_is_told_so():
    report = check("resnet/basic_block", block(by_hand), seed=1)
    assert report.differences[0]["sentence"].endswith("pads by wrapping around instead of with zeros.")


def test_the_sides_of_a_border_are_called_what_they_are():
    report = check("resnet/basic_block", block(lambda x: F.pad(x, (2, 0, 1, 1))), seed=1)
    assert "padding 2 left, 0 right, 1 above, 1 below" in report.differences[0]["yours"]
