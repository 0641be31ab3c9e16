"""Products over channels that are written by hand: seen as the 1x1 convolutions that they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking.layers import layers_of
from casestudies.checking.products import with_products
from casestudies.graph import record

SEEDS = (0, 1, 3, 6)


def by_einsum(x, weight):
    return torch.einsum("oc,bchw->bohw", weight, x)


def by_matmul(x, weight):
    return (weight @ x.flatten(2)).unflatten(2, x.shape[2:])


def by_sum(x, weight):
    return (weight[:, :, None, None] * x[:, None]).sum(2)


def by_tensordot(x, weight):
    return torch.tensordot(x, weight, dims=([1], [1])).permute(0, 3, 1, 2)


PRODUCTS = [by_einsum, by_matmul, by_tensordot, by_sum]


def block(product, activation):
    class Inverted(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1, expansion=6):
            super().__init__()
            wide = in_channels * expansion
            self.widen = nn.Identity()
            if expansion > 1:
                self.widen = nn.Sequential(
                    nn.Conv2d(in_channels, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU6()
                )
            self.each = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
            self.norms = nn.ModuleList([nn.BatchNorm2d(wide), nn.BatchNorm2d(out_channels)])
            self.points = nn.Parameter(torch.randn(out_channels, wide))
            self.adds = stride == 1 and in_channels == out_channels

        def forward(self, x):
            y = activation(self.norms[0](self.each(self.widen(x))))
            y = self.norms[1](product(y, self.points))
            return x + y if self.adds else y

    return Inverted


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("with_bias", [False, True])
def test_it_is_a_convolution(product, with_bias):
    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.randn(5, 3)), nn.Parameter(torch.randn(5))

        def forward(self, x):
            y = product(x.relu(), self.weight)
            return (y + self.bias[:, None, None] if with_bias else y).relu()

    graph = record(Product(), torch.randn(2, 3, 4, 6))
    layers = with_products(graph, layers_of(graph))
    assert [layer.kind for layer in layers] == ["input", "ReLU", "convolution", "ReLU"]
    expected = {"kernel": (1, 1), "in": 3, "out": 5, "bias": with_bias}
    assert {name: layers[2].setting(name) for name in expected} == expected


def test_what_mixes_pixels_is_none():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            return torch.einsum("oc,bchw->bowh", self.weight, x)

    graph = record(Mixed(), torch.randn(2, 3, 4, 4))
    layers = layers_of(graph)
    assert with_products(graph, layers) == layers


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_it_is_right(product, seed):
    report = check("mobilenet_v2/inverted_residual", block(product, F.relu6), hidden=True, seed=seed)
    assert report.passed, report.text()


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("product", PRODUCTS)
def test_a_slip_before_it_is_told_where_it_is(product, seed):
    report = check("mobilenet_v2/inverted_residual", block(product, lambda y: y.clamp(0, 3)), seed=seed)
    assert not report.passed and "Up to the 1×1" not in report.text(), report.text()
    assert [each["yours"] for each in report.differences] == ["clamp, low 0, high 3"], report.text()
    assert report.differences[0]["where"].startswith("after batch norm"), report.text()
