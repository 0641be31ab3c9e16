"""Layers that read an image whose numbers stand in another order, with their weights in that order."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking.moves import as_unmoved
from casestudies.checking.transplant import slots_of
from casestudies.graph import record

SEEDS = (0, 1, 2)


def lenet(flatten, act=torch.tanh, whole=None):
    """LeNet-5 with C5 as a linear layer, or `whole` in its place, behind maps in another order."""

    class Net(nn.Module):
        def __init__(self, num_classes=10):
            super().__init__()
            self.c1, self.c3 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
            self.c5 = nn.Linear(400, 120) if whole is None else whole()
            self.f6, self.output = nn.Linear(120, 84), nn.Linear(84, num_classes)

        def forward(self, x):
            x = F.avg_pool2d(torch.tanh(self.c1(x)), 2)
            x = F.avg_pool2d(torch.tanh(self.c3(x)), 2)
            x = act(self.c5(flatten(x)).flatten(1))
            return self.output(torch.tanh(self.f6(x)))

    return Net


class Turned(nn.Module):
    """LeNet-5 on the transposed image from beginning to end."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 120)
        self.f6, self.output = nn.Linear(120, 84), nn.Linear(84, num_classes)

    def forward(self, x):
        x = F.avg_pool2d(torch.tanh(self.c1(x.transpose(2, 3))), 2)
        x = F.avg_pool2d(torch.tanh(self.c3(x)), 2)
        return self.output(torch.tanh(self.f6(torch.tanh(self.c5(x.flatten(1))))))


class ByMatrix(nn.Module):
    """A matrix of (in, out) that reads pixel after pixel."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.w = nn.Parameter(torch.randn(inputs, outputs) / 20)
        self.b = nn.Parameter(torch.randn(outputs) / 20)

    def forward(self, x):
        return x @ self.w + self.b


def by_pixels(x):
    return x.permute(0, 2, 3, 1).flatten(1)


FLATTENED = {
    "by pixels": lenet(by_pixels),
    "columns first": lenet(lambda x: x.transpose(2, 3).flatten(1)),
    "reshaped": lenet(lambda x: x.flatten(2).transpose(1, 2).reshape(x.shape[0], -1)),
    "the last map first": lenet(lambda x: x.flip(1).flatten(1)),
    "maps in a loop": lenet(lambda x: torch.cat([x[:, i].flatten(1) for i in reversed(range(16))], 1)),
    "pixels in a loop": lenet(lambda x: torch.cat([x[:, :, i, j] for i in range(5) for j in range(5)], 1)),
    "stacked": lenet(lambda x: torch.stack([x[:, i] for i in range(16)], -1).flatten(1)),
    "picked": lenet(lambda x: x.flatten(1)[:, torch.arange(400).reshape(16, 25).T.flatten()]),
    "rolled": lenet(lambda x: x.roll(3, 1).flatten(1)),
    "by a matrix": lenet(by_pixels, whole=lambda: ByMatrix(400, 120)),
    "a convolution of the last map first": lenet(lambda x: x.flip(1), whole=lambda: nn.Conv2d(16, 120, 5)),
    "a convolution of columns first": lenet(lambda x: x.transpose(2, 3), whole=lambda: nn.Conv2d(16, 120, 5)),
    "transposed from the beginning": Turned,
}


def basic(conv):
    """The basic block with its 3x3 convolutions made by `conv`."""

    class Block(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.c1, self.b1 = conv(in_channels, out_channels, stride), nn.BatchNorm2d(out_channels)
            self.c2, self.b2 = conv(out_channels, out_channels, 1), nn.BatchNorm2d(out_channels)
            self.shortcut = nn.Sequential()
            if stride != 1 or in_channels != out_channels:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
                )

        def forward(self, x):
            return F.relu(self.b2(self.c2(F.relu(self.b1(self.c1(x))))) + self.shortcut(x))

    return Block


class Transposing(nn.Module):
    """A convolution of the transposed image."""

    def __init__(self, in_channels, out_channels, stride, back=True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.back = back

    def forward(self, x):
        x = self.conv(x.transpose(2, 3))
        return x.transpose(2, 3) if self.back else x.reshape(*x.shape[:2], x.shape[3], x.shape[2])


class Single(nn.Module):
    """A convolution of its own for each channel that comes out."""

    def __init__(self, in_channels, out_channels, stride):
        super().__init__()
        self.single = nn.ModuleList(
            [nn.Conv2d(in_channels, 1, 3, stride, 1, bias=False) for _ in range(out_channels)]
        )

    def forward(self, x):
        return torch.cat([conv(x) for conv in self.single], 1)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", FLATTENED)
def test_maps_may_be_flattened_in_any_order(name, seed):
    report = check("lenet/lenet5", FLATTENED[name], hidden=True, seed=seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_convolutions_may_read_the_transposed_image(seed):
    report = check("resnet/basic_block", basic(Transposing), hidden=True, seed=seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("seed", range(8))
def test_each_channel_may_have_a_convolution_of_its_own(seed):
    report = check("resnet/basic_block", basic(Single), hidden=True, seed=seed)
    assert report.passed, report.text()


def folded(x):
    return torch.cat([x[:, :8], x[:, :8]], 1).flatten(1)


def across_images(x):
    return x.permute(1, 2, 3, 0).reshape(x.shape[0], -1)


WRONG = {
    "another activation": lenet(by_pixels, act=torch.sigmoid),
    "half of the maps twice": lenet(folded),
    "the images mixed": lenet(across_images),
    "negated": lenet(lambda x: by_pixels(-x)),
    "in a random order each time": lenet(lambda x: x.flatten(1)[:, torch.randperm(400)]),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_besides_stays_wrong(name, seed):
    report = check("lenet/lenet5", WRONG[name], hidden=True, seed=seed)
    assert report.state in ("wrong", "partial"), report.text()


@pytest.mark.parametrize("seed", SEEDS)
def test_an_image_that_is_not_turned_back_is_wrong(seed):
    report = check(
        "resnet/basic_block", basic(lambda *a: Transposing(*a, back=False)), hidden=True, seed=seed
    )
    assert report.state in ("wrong", "partial"), report.text()


def unmoved(module, x):
    return as_unmoved(record(module, x), slots_of(module, [x]))


class Behind(nn.Module):
    """A layer behind something that is done to an image."""

    def __init__(self, do, layer):
        super().__init__()
        self.do, self.layer = do, layer

    def forward(self, x):
        return self.layer(self.do(torch.relu(x)))


def test_nothing_is_said_where_nothing_is_moved():
    x = torch.randn(2, 3, 4, 5)
    assert unmoved(Behind(lambda y: y.flatten(1), nn.Linear(60, 2)), x) is None
    assert unmoved(nn.Conv2d(3, 2, 3), x) is None
    assert unmoved(Behind(lambda y: y.permute(0, 2, 3, 1), nn.Linear(3, 2)), x) is None
    assert (
        unmoved(Behind(lambda y: y.flip(2), nn.Conv2d(3, 2, 3)), x) is None
    )  # as a kernel that is turned around


def test_a_weight_is_taken_as_if_nothing_were_moved():
    x = torch.randn(2, 3, 4, 5)
    module = Behind(by_pixels, nn.Linear(60, 2))
    view = unmoved(module, x)
    assert view is not None
    weight = view(module.state_dict())["layer.weight"]
    assert torch.allclose(F.linear(torch.relu(x).flatten(1), weight, module.layer.bias), module(x), atol=1e-6)


def test_a_kernel_is_taken_as_if_its_image_were_not_transposed():
    x = torch.randn(2, 3, 4, 5)
    module = Behind(lambda y: y.transpose(2, 3).flip(1), nn.Conv2d(3, 2, (3, 1)))
    view = unmoved(module, x)
    assert view is not None
    weight = view(module.state_dict())["layer.weight"]
    assert weight.shape == (2, 3, 1, 3) and {slot.shape for slot in view.slots} >= {(2, 3, 1, 3)}
    expected = F.conv2d(torch.relu(x), weight, module.layer.bias).transpose(2, 3)
    assert torch.allclose(expected, module(x), atol=1e-6)
