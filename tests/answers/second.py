"""A second table of answers, right ones and wrong ones, written blindly: see README.md.

Rows of `RIGHT` claim to be right, rows of `WRONG` to be wrong; `ANSWERS` holds both.
"""

# ruff: noqa: B905, C901, UP033 (as students write)

from __future__ import annotations

import functools
import itertools
import math
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrize

from . import Table, function

right, wrong = Table(), Table()

# ---------------------------------------------------------------------------------------------------------------
# Right answers
# ---------------------------------------------------------------------------------------------------------------

# LeNet


@right("lenet/conv_output_size", "length of a range")
def _(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return len(range(0, size + 2 * padding - kernel + 1, stride))


@right("lenet/conv_output_size", "a quotient rounded up of one pixel more")
def _(size, kernel, stride=1, padding=0):
    return -(-(size + 2 * padding - kernel + 1) // stride)


@right("lenet/conv_output_size", "a kernel that walks")
def _(size, kernel, stride=1, padding=0):
    places, left = 0, -padding
    while left + kernel <= size + padding:
        places += 1
        left += stride
    return places


@right("lenet/conv_parameters", "asks a layer on the device meta")
def _(in_channels, out_channels, kernel, bias=True):
    layer = nn.Conv2d(in_channels, out_channels, kernel, bias=bool(bias), device="meta")
    return sum(p.numel() for p in layer.parameters())


@right("lenet/conv_parameters", "a bool as a number")
def _(in_channels, out_channels, kernel, bias=True):
    return out_channels * (kernel * kernel * in_channels + bool(bias))


@right("lenet/lenet5", "a subclass of Sequential")
class _(nn.Sequential):
    def __init__(self, num_classes=10):
        widths = [1, 6, 16, 120]
        stages = []
        for a, b in zip(widths, widths[1:]):
            stages += [nn.Conv2d(a, b, 5), nn.Tanh(), nn.AvgPool2d(2)]
        stages[-1] = nn.Flatten()  # C5 is not followed by a pool
        super().__init__(*stages, nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes))


@right("lenet/lenet5", "lazy layers, run once when they are built")
class _(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.convs = nn.ModuleList(nn.LazyConv2d(n, 5) for n in (6, 16, 120))
        self.linears = nn.ModuleList(nn.LazyLinear(n) for n in (84, num_classes))
        with torch.no_grad():
            self(torch.zeros(1, 1, 32, 32))

    def forward(self, x):
        for n, conv in enumerate(self.convs):
            x = torch.tanh(conv(x))
            if n < 2:
                x = F.avg_pool2d(x, 2)
        hidden, output = self.linears
        return output(torch.tanh(hidden(x.flatten(1))))


class Patches(nn.Module):
    """A convolution without padding as a product of matrices; its weight is (in * k * k, out)."""

    def __init__(self, i: int, o: int, k: int) -> None:
        super().__init__()
        self.k = k
        self.matrix = nn.Parameter(torch.randn(i * k * k, o) / (i * k * k) ** 0.5)
        self.offset = nn.Parameter(torch.zeros(o))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2] - self.k + 1, x.shape[3] - self.k + 1
        rows = F.unfold(x, self.k).transpose(1, 2) @ self.matrix + self.offset
        return rows.transpose(1, 2).reshape(x.shape[0], -1, height, width)


@right("lenet/lenet5", "convolutions as matrix products, pools by view")
class _(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.c1, self.c3, self.c5 = Patches(1, 6, 5), Patches(6, 16, 5), Patches(16, 120, 5)
        self.head = nn.Sequential(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes))

    @staticmethod
    def pool(x):
        b, c, h, w = x.shape
        return x.reshape(b, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))

    def forward(self, x):
        x = self.pool(self.c1(x).tanh())
        x = self.pool(self.c3(x).tanh())
        return self.head(self.c5(x).tanh().flatten(1))


@right("lenet/lenet5", "five layers by setattr, C5 as a linear layer")
class _(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        sizes = [400, 120, 84, num_classes]
        for n, (a, b) in enumerate(zip(sizes, sizes[1:]), start=3):
            setattr(self, f"layer{n}", nn.Linear(a, b))
        for n, (a, b) in enumerate([(1, 6), (6, 16)], start=1):
            setattr(self, f"layer{n}", nn.Conv2d(a, b, (5, 5)))

    def forward(self, x):
        for n in range(1, 5):
            if n == 3:
                x = x.reshape(x.size(0), -1)
            x = getattr(self, f"layer{n}")(x).tanh()
            if n < 3:
                x = F.avg_pool2d(x, kernel_size=2, stride=2)
        return self.layer5(x)


@right("lenet/repaired_subsampling", "a convolution with a buffer of ones")
class _(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("ones", torch.ones(channels, 1, 2, 2), persistent=False)

    def forward(self, x):
        total = F.conv2d(x, self.ones, stride=2, groups=len(self.ones))
        return torch.einsum("c,bchw->bchw", self.coefficient, total) + self.bias.view(1, -1, 1, 1)


@right("lenet/repaired_subsampling", "four slices, parameters with four axes")
class _(nn.Module):
    def __init__(self, channels):
        super().__init__()
        for name, start in ("coefficient", 1.0), ("bias", 0.0):
            self.register_parameter(name, nn.Parameter(torch.full((1, channels, 1, 1), start)))

    def forward(self, x):
        total = sum(x[..., i::2, j::2] for i, j in itertools.product(range(2), repeat=2))
        return torch.addcmul(self.bias, self.coefficient, total)


@right("lenet/repaired_subsampling", "both rows in one parameter")
class _(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.both = nn.Parameter(torch.stack([torch.ones(channels), torch.zeros(channels)]))

    def forward(self, x):
        w, b = self.both[:, :, None, None]
        return w * F.avg_pool2d(x, 2, divisor_override=1) + b


# AlexNet


@right("alexnet/grouped_conv_macs", "a sum over the groups")
def _(in_channels, out_channels, kernel, height, width, groups=1):
    one = conv_cost(kernel, in_channels // groups, out_channels // groups)
    return sum(one * height * width for _ in range(groups))


@functools.lru_cache(maxsize=None)
def conv_cost(kernel: int, i: int, o: int) -> int:
    return kernel**2 * i * o


@right("alexnet/grouped_conv_macs", "an exact fraction")
def _(in_channels, out_channels, kernel, height, width, groups=1):
    return int(Fraction(math.prod((kernel, kernel, in_channels, out_channels, height, width)), groups))


@right("alexnet/alexnet_trunk", "two towers, and a norm by unfolding the channels")
class _(nn.Module):
    class Split(nn.Module):
        def __init__(self, i, o, k):
            super().__init__()
            self.halves = nn.ModuleList(nn.Conv2d(i // 2, o // 2, k, padding=k // 2) for _ in range(2))

        def forward(self, x):
            return torch.cat([conv(half) for conv, half in zip(self.halves, x.chunk(2, dim=1))], dim=1)

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(3, 96, 11, 4),
                self.Split(96, 256, 5),
                nn.Conv2d(256, 384, 3, 1, 1),
                self.Split(384, 384, 3),
                self.Split(384, 256, 3),
            ]
        )

    @staticmethod
    def response_norm(a):
        squares = F.pad(a * a, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(-1)
        return a * (2 + 1e-4 * squares) ** -0.75

    def forward(self, x):
        for n, conv in enumerate(self.convs, start=1):
            x = conv(x).relu()
            if n <= 2:
                x = self.response_norm(x)
            if n in (1, 2, 5):
                x = F.max_pool2d(x, 3, 2)
        return x


@right("alexnet/alexnet_trunk", "a table of dataclasses")
class _(nn.Module):
    @dataclass
    class Row:
        i: int
        o: int
        k: int
        stride: int = 1
        groups: int = 1
        norm: bool = False
        pool: bool = False

    def __init__(self):
        super().__init__()
        row = self.Row
        layers = OrderedDict()
        for n, r in enumerate(
            [
                row(3, 96, 11, stride=4, norm=True, pool=True),
                row(96, 256, 5, groups=2, norm=True, pool=True),
                row(256, 384, 3),
                row(384, 384, 3, groups=2),
                row(384, 256, 3, groups=2, pool=True),
            ],
            start=1,
        ):
            padding = 0 if n == 1 else r.k // 2
            layers[f"conv{n}"] = nn.Conv2d(r.i, r.o, r.k, r.stride, padding, groups=r.groups)
            layers[f"relu{n}"] = nn.ReLU(inplace=True)
            if r.norm:
                layers[f"norm{n}"] = nn.LocalResponseNorm(size=5, alpha=5 * 1e-4, beta=0.75, k=2.0)
            if r.pool:
                layers[f"pool{n}"] = nn.MaxPool2d(kernel_size=3, stride=2)
        self.layers = nn.Sequential(layers)

    def forward(self, x):
        return self.layers(x)


@right("alexnet/fully_connected_share", "sets of identities")
def _(model):
    size = {id(p): p.numel() for p in model.parameters()}
    linear = {id(p) for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()}
    return sum(size[key] for key in linear) / sum(size.values())


@right("alexnet/fully_connected_share", "NumPy over named modules")
def _(model):
    def count(modules):
        return np.sum([np.prod(p.shape) for m in modules for p in m.parameters()], dtype=float)

    return float(count([m for _, m in model.named_modules() if isinstance(m, nn.Linear)]) / count([model]))


@right("alexnet/repaired_lrn", "a banded matrix")
def _(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    place = torch.arange(a.shape[1], device=a.device)
    band = ((place[:, None] - place).abs() <= size // 2).to(a.dtype)
    return a / (k + alpha * torch.einsum("ij,bjhw->bihw", band, a.square())).pow(beta)


@right("alexnet/repaired_lrn", "PyTorch's norm, its division undone")
def _(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return F.local_response_norm(a, size, alpha=alpha * size, beta=beta, k=k)


@right("alexnet/repaired_lrn", "the upper index of the formula, included")
def _(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    last = a.shape[1] - 1

    def near(i):
        return range(max(0, i - size // 2), min(last, i + size // 2) + 1)

    sums = [sum(a[:, j] ** 2 for j in near(i)) for i in range(last + 1)]
    return a / (k + alpha * torch.stack(sums, 1)) ** beta


# VGG


@right("vgg/vgg_block", "pairs of widths")
def _(num_convs, in_channels, out_channels):
    pairs = itertools.pairwise([in_channels] + [out_channels] * num_convs)
    steps = ((nn.Conv2d(a, b, 3, padding="same"), nn.ReLU(inplace=True)) for a, b in pairs)
    return nn.Sequential(*itertools.chain.from_iterable(steps), nn.MaxPool2d(2, 2))


@right("vgg/vgg_block", "a recursion, one ReLU for all")
def _(num_convs, in_channels, out_channels):
    relu = nn.ReLU()

    def row(n, i):
        if n == 0:
            return [nn.MaxPool2d(kernel_size=2)]
        return [nn.Conv2d(i, out_channels, (3, 3), (1, 1), (1, 1)), relu, *row(n - 1, out_channels)]

    return nn.Sequential(*row(num_convs, in_channels))


class ConvReLU(nn.Conv2d):
    def __init__(self, i: int, o: int) -> None:
        super().__init__(i, o, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


@right("vgg/vgg_features", "a subclass of Conv2d, and a generator")
def _(config, in_channels=3):
    def layers() -> Iterator[nn.Module]:
        before = in_channels
        for item in config:
            if isinstance(item, str):
                yield nn.MaxPool2d(2)
            else:
                yield ConvReLU(before, item)
                before = item

    return nn.Sequential(*layers())


@right("vgg/vgg_features", "a copy of the list, taken apart")
def _(config, in_channels=3):
    todo, network = list(config), nn.Sequential()
    while todo:
        match todo.pop(0):
            case "M":
                network.append(nn.MaxPool2d(2))
            case channels:
                network.append(nn.Sequential(nn.Conv2d(in_channels, channels, 3, 1, 1), nn.ReLU()))
                in_channels = channels
    return network


@right("vgg/receptive_field", "backwards from one pixel of the output")
def _(layers):
    field = 1
    for kernel, stride in reversed(list(layers)):
        field = (field - 1) * stride + kernel
    return field


@right("vgg/receptive_field", "accumulated products")
def _(layers):
    steps = itertools.accumulate((s for _, s in layers), lambda a, b: a * b, initial=1)
    return 1 + sum((k - 1) * step for (k, _), step in zip(layers, steps))


@right("vgg/stack_versus_single", "shapes of weights")
def _(channels, num_convs):
    stack = [(channels, channels, 3, 3)] * num_convs
    side = 1 + sum(shape[-1] - 1 for shape in stack)
    return sum(map(math.prod, stack)), math.prod((channels, channels, side, side))


@right("vgg/repaired_block", "names by setattr")
def _(num_convs, in_channels, out_channels):
    block = nn.Sequential()
    widths = (in_channels,) + (out_channels,) * num_convs
    for index in range(num_convs):
        setattr(block, f"conv{index}", nn.Conv2d(*widths[index : index + 2], 3, padding=1))
        setattr(block, f"relu{index}", nn.ReLU())
    block.pool = nn.MaxPool2d(2)
    return block


# Network in network


@right("nin/conv1x1", "movedim and a linear layer")
def _(x, weight, bias):
    return F.linear(x.movedim(1, -1), weight.flatten(1), bias).movedim(-1, 1)


@right("nin/conv1x1", "a matrix times all pixels")
def _(x, weight, bias):
    b, _, h, w = x.shape
    out = weight.shape[0]
    return (weight.view(out, -1) @ x.flatten(2)).view(b, out, h, w) + bias.view(1, out, 1, 1)


@right("nin/conv1x1", "a loop over the input channels")
def _(x, weight, bias):
    y = bias.reshape(1, -1, 1, 1)
    for c in range(x.shape[1]):
        y = y + weight[:, c].unsqueeze(0) * x[:, c : c + 1]
    return y


@right("nin/conv1x1_parameters", "a constant input for the bias")
def _(in_channels, out_channels, bias=True):
    return (in_channels + (1 if bias else 0)) * out_channels


@right("nin/nin_block", "lists of parameters, 1x1 weights as matrices")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.how = {"stride": stride, "padding": padding}
        o, k = out_channels, kernel_size
        self.first = nn.Parameter(torch.randn(o, in_channels, k, k) / (in_channels * k * k) ** 0.5)
        self.matrices = nn.ParameterList([torch.randn(o, o) / o**0.5 for _ in range(2)])  # (in, out)
        self.biases = nn.ParameterList([torch.zeros(o) for _ in range(3)])

    def forward(self, x):
        x = F.conv2d(x, self.first, self.biases[0], **self.how).relu()
        for matrix, bias in zip(self.matrices, list(self.biases)[1:]):
            x = torch.einsum("bihw,io->bohw", x, matrix).add(bias[:, None, None]).relu()
        return x


@right("nin/nin_block", "passes its other arguments on")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, *args, **kwargs):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, *args, **kwargs)
        self.mlp = nn.ModuleList(nn.Conv2d(out_channels, out_channels, 1) for _ in "ab")

    def forward(self, x):
        return functools.reduce(lambda y, layer: F.relu(layer(y)), self.mlp, F.relu(self.conv(x)))


class Turned(nn.Module):
    """A parametrization: what is stored is the transposed weight."""

    def forward(self, stored: Tensor) -> Tensor:
        return stored.transpose(0, 1)


@right("nin/nin_block", "1x1 weights stored transposed, by parametrize")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.a = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.b, self.c = (nn.Conv2d(out_channels, out_channels, 1) for _ in range(2))
        for layer in (self.b, self.c):
            parametrize.register_parametrization(layer, "weight", Turned())

    def forward(self, x):
        return self.c(self.b(self.a(x).relu()).relu()).relu()


@right("nin/global_average_head", "averages first, then a linear layer")
class _(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x):
        return self.linear(x.flatten(2).mean(2))


@right("nin/global_average_head", "a subclass of Conv2d")
class _(nn.Conv2d):
    def __init__(self, in_channels, num_classes):
        super().__init__(in_channels, num_classes, kernel_size=1)

    def forward(self, x):
        maps = super().forward(x)
        return maps.sum((-2, -1)) / (maps.shape[-2] * maps.shape[-1])


@right("nin/repaired_pixel_mlp", "flatten, transpose, unflatten")
class _(nn.Module):
    def __init__(self, in_channels, hidden, out_channels):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, out_channels))

    def forward(self, x):
        return self.mlp(x.flatten(2).transpose(1, 2)).transpose(1, 2).unflatten(2, tuple(x.shape[2:]))


@right("nin/repaired_pixel_mlp", "the axes turned round, there and back")
class _(nn.Module):
    def __init__(self, in_channels, hidden, out_channels):
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(in_channels, hidden), nn.Linear(hidden, out_channels)

    def forward(self, x):
        turned = x.permute(0, 3, 2, 1)
        return self.linear2(self.linear1(turned).relu()).permute(0, 3, 2, 1)


# Inception


@right("inception/conv_macs", "any number of factors")
def _(in_channels, out_channels, kernel, height, width):
    return math.prod([in_channels, out_channels, kernel, kernel, height, width])


@right("inception/bottleneck_macs", "factored")
def _(in_channels, reduced, out_channels, kernel, height, width):
    return height * width * reduced * (in_channels + kernel * kernel * out_channels)


@right("inception/inception_module", "a dictionary of branches")
class _(nn.Module):
    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()

        def row(*sizes):
            steps = []
            for i, o, k in sizes:
                steps += [nn.Conv2d(i, o, k, padding=(k - 1) // 2), nn.ReLU(inplace=True)]
            return nn.Sequential(*steps)

        self.branches = nn.ModuleDict(
            {
                "pool": nn.Sequential(nn.MaxPool2d(3, 1, 1), row((in_channels, pool_proj, 1))),
                "five": row((in_channels, c5_reduce, 1), (c5_reduce, c5, 5)),
                "three": row((in_channels, c3_reduce, 1), (c3_reduce, c3, 3)),
                "one": row((in_channels, c1, 1)),
            }
        )

    def forward(self, x):
        return torch.cat([self.branches[name](x) for name in ("one", "three", "five", "pool")], 1)


@right("inception/inception_module", "three 1x1 convolutions in one")
class _(nn.Module):
    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()
        self.sizes = [c1, c3_reduce, c5_reduce]
        self.ones = nn.Conv2d(in_channels, sum(self.sizes), 1)
        self.three = nn.Conv2d(c3_reduce, c3, 3, padding=1)
        self.five = nn.Conv2d(c5_reduce, c5, 5, padding=2)
        self.proj = nn.Conv2d(in_channels, pool_proj, 1)

    def forward(self, x):
        first, three, five = self.ones(x).relu().split(self.sizes, dim=1)
        pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, stride=1)
        return torch.cat(
            [first, *(y.relu() for y in (self.three(three), self.five(five), self.proj(pooled)))], 1
        )


@right("inception/repaired_reduction", "setattr in a loop")
class _(nn.Module):
    def __init__(self, in_channels, c3_reduce, c3, c5_reduce, c5):
        super().__init__()
        for kernel, reduced, out in (3, c3_reduce, c3), (5, c5_reduce, c5):
            setattr(self, f"reduce{kernel}", nn.Conv2d(in_channels, reduced, 1))
            setattr(self, f"conv{kernel}", nn.Conv2d(reduced, out, kernel, 2, kernel // 2))

    def forward(self, x):
        found = []
        for kernel in (3, 5):
            narrow = getattr(self, f"reduce{kernel}")(x).relu()
            found.append(getattr(self, f"conv{kernel}")(narrow).relu())
        return torch.cat(found + [F.max_pool2d(x, 3, 2, 1)], dim=1)


# ResNet


class OwnNorm(nn.Module):
    """A batch norm by hand."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.gamma = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            mean = x.mean((0, 2, 3))
            var = x.var((0, 2, 3), unbiased=False)
            n = x.numel() / x.shape[1]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * n / (n - 1), self.momentum)
        else:
            mean, var = self.running_mean, self.running_var
        scaled = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + self.eps)
        return self.gamma * scaled + self.beta


@right("resnet/basic_block", "its own batch norm")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        conv = partial(nn.Conv2d, bias=False)
        self.branch = nn.Sequential(
            conv(in_channels, out_channels, 3, stride, 1),
            OwnNorm(out_channels),
            nn.ReLU(),
            conv(out_channels, out_channels, 3, 1, 1),
            OwnNorm(out_channels),
        )
        self.fit = None
        if (stride, in_channels) != (1, out_channels):
            self.fit = nn.Sequential(conv(in_channels, out_channels, 1, stride), OwnNorm(out_channels))

    def forward(self, x):
        if self.fit is None:
            return F.relu(x + self.branch(x))
        return F.relu(self.fit(x) + self.branch(x))


def add_input(block: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:
    return torch.relu(out + block.shortcut(inputs[0]))


@right("resnet/basic_block", "a hook adds the input")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        needed = stride > 1 or in_channels != out_channels
        self.shortcut = nn.Sequential(
            *[nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)]
            * needed
        )
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        self.register_forward_hook(add_input)

    def forward(self, x):
        return self.bn2(self.conv2(self.bn1(self.conv1(x)).relu_()))


@dataclass(frozen=True)
class Shape:
    i: int
    o: int
    stride: int = 1

    @property
    def kept(self) -> bool:
        return self.i == self.o and self.stride == 1


@right("resnet/basic_block", "a configuration, an early return, the last norm zero at first")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.shape = shape = Shape(in_channels, out_channels, stride)
        self.convs = nn.ModuleList(
            nn.Conv2d(i, shape.o, 3, s, 1, bias=False) for i, s in ((shape.i, stride), (shape.o, 1))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(shape.o) for _ in self.convs)
        nn.init.zeros_(self.norms[1].weight)
        if not shape.kept:
            self.projection = nn.Conv2d(shape.i, shape.o, 1, stride, bias=False)
            self.norms.append(nn.BatchNorm2d(shape.o))

    def forward(self, x):
        y = self.norms[0](self.convs[0](x))
        y = self.norms[1](self.convs[1](torch.relu(y)))
        if self.shape.kept:
            return torch.relu(y + x)
        return torch.relu(y + self.norms[2](self.projection(x)))


class Bottle(nn.Module):
    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        wide = self.expansion * channels
        rows = [(in_channels, channels, 1, 1), (channels, channels, 3, stride), (channels, wide, 1, 1)]
        self.rows = nn.ModuleList()
        for i, o, k, s in rows:
            self.rows.append(nn.ModuleList([nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o)]))
        self.downsample = None
        if stride != 1 or in_channels != wide:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, wide, 1, stride, bias=False), nn.BatchNorm2d(wide)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity, last = x, len(self.rows) - 1
        for n, (conv, norm) in enumerate(self.rows):
            x = norm(conv(x))
            if n != last:
                x = F.relu(x)
        if self.downsample is not None:
            identity = self.downsample(identity)
        x += identity
        return F.relu(x, inplace=True)


right("resnet/bottleneck", "nested lists of modules, an addition in place", Bottle)


class Basic(nn.Module):
    """A right basic block, for the stages and networks below."""

    def __init__(self, i: int, o: int, stride: int = 1) -> None:
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(i, o, 3, stride, 1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(),
            nn.Conv2d(o, o, 3, 1, 1, bias=False),
            nn.BatchNorm2d(o),
        )
        self.s = nn.Sequential()
        if stride != 1 or i != o:
            self.s = nn.Sequential(nn.Conv2d(i, o, 1, stride, bias=False), nn.BatchNorm2d(o))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.f(x) + self.s(x))


@right("resnet/residual_stage", "a comprehension with a condition")
def _(in_channels, out_channels, num_blocks, stride):
    return nn.Sequential(
        *[
            Basic(out_channels if n else in_channels, out_channels, 1 if n else stride)
            for n in range(num_blocks)
        ]
    )


@right("resnet/residual_stage", "an iterator of arguments")
def _(in_channels, out_channels, num_blocks, stride):
    rest = itertools.repeat((out_channels, out_channels), num_blocks - 1)
    return nn.Sequential(*itertools.starmap(Basic, [(in_channels, out_channels, stride), *rest]))


@right("resnet/cifar_resnet", "a flat list of blocks")
class _(nn.Module):
    def __init__(self, num_blocks=3, num_classes=10):
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(True)]
        width = 16
        for stage, n in itertools.product(range(3), range(num_blocks)):
            out = 16 << stage
            layers.append(Basic(width, out, 2 if n == 0 and stage else 1))
            width = out
        self.net = nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(width, num_classes)
        )

    def forward(self, x):
        return self.net(x)


@right("resnet/repaired_block", "a ReLU in __call__")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.inner = Basic(in_channels, out_channels, stride)

    def forward(self, x):
        return self.inner.f(x) + self.inner.s(x)

    def __call__(self, *args, **kwargs):
        return F.relu(super().__call__(*args, **kwargs))


# Why residual networks work


@right("identity/residual_step", "addmm and maximum")
def _(a, w1, b1, w2, b2):
    hidden = torch.addmm(b1, a, w1.t()).relu()
    z = torch.addmm(b2, hidden, w2.t())
    return torch.where(z + a > 0, z + a, torch.zeros_like(a))


@right("identity/residual_step", "columns, as in the equation")
def _(a, w1, b1, w2, b2):
    column = a.T
    hidden = F.relu(w1 @ column + b1[:, None])
    return F.relu(w2 @ hidden + b2[:, None] + column).T


@right("identity/make_identity_", "the weights, the shift and the running mean")
def _(block):
    with torch.no_grad():
        for t in (block.conv2.weight, block.bn2.bias, block.bn2.running_mean):
            t.zero_()


@right("identity/make_identity_", "loads a state")
def _(block):
    state = block.bn2.state_dict()
    state |= {name: torch.zeros_like(state[name]) for name in ("weight", "bias")}
    block.bn2.load_state_dict(state)


@right("identity/make_identity_", "all parameters of the branch, by .data")
def _(block):
    for name, p in block.named_parameters():
        if not name.startswith("shortcut"):
            p.data.mul_(0)


@right("identity/pad_shortcut", "fills a tensor of zeros")
def _(a, out_channels, stride=2):
    kept = a[:, :, ::stride, ::stride]
    b, c, h, w = kept.shape
    out = a.new_zeros(b, out_channels, h, w)
    out[:, :c] = kept
    return out


@right("identity/pad_shortcut", "a convolution with the identity")
def _(a, out_channels, stride=2):
    eye = torch.eye(out_channels, a.shape[1], dtype=a.dtype, device=a.device)
    return F.conv2d(a, eye[:, :, None, None], stride=stride)


@right("identity/inert_blocks", "allclose without the relative part")
@torch.no_grad()
def _(blocks, a, tolerance=1e-6):
    tensors = list(itertools.accumulate(blocks, lambda x, block: block(x), initial=a))
    return [
        n
        for n, (x, y) in enumerate(itertools.pairwise(tensors))
        if x.shape == y.shape and torch.allclose(y, x, rtol=0, atol=tolerance)
    ]


@right("identity/inert_blocks", "a recursion")
def _(blocks, a, tolerance=1e-6):
    def walk(n, x):
        if n == len(blocks):
            return []
        y = blocks[n](x)
        same = y.shape == x.shape and float((y - x).abs().max()) <= tolerance
        return [n] * same + walk(n + 1, y)

    with torch.no_grad():
        return walk(0, a)


@right("identity/repaired_block", "its own matrices, (in, out)")
class _(nn.Module):
    def __init__(self, features, hidden):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(features, hidden) / features**0.5)
        self.w2 = nn.Parameter(torch.randn(hidden, features) / hidden**0.5)
        self.b1, self.b2 = nn.Parameter(torch.zeros(hidden)), nn.Parameter(torch.zeros(features))
        self.s = nn.Parameter(torch.zeros(1))

    def forward(self, a):
        branch = (a @ self.w1 + self.b1).relu() @ self.w2 + self.b2
        return torch.addcmul(a, self.s, branch).relu()


# MobileNet


@right("mobilenet/separable_macs", "factored")
def _(in_channels, out_channels, kernel, height, width):
    return in_channels * height * width * (kernel**2 + out_channels)


@right("mobilenet/separable_ratio", "one fraction")
def _(out_channels, kernel):
    return float(Fraction(kernel * kernel + out_channels, kernel * kernel * out_channels))


@right("mobilenet/depthwise_conv", "columns")
def _(x, weight):
    b, c, h, w = x.shape
    k = weight.shape[-1]
    columns = F.unfold(x, k, padding=k // 2).view(b, c, k * k, h, w)
    return (columns * weight.reshape(1, c, k * k, 1, 1)).sum(2)


@right("mobilenet/depthwise_conv", "windows and einsum")
def _(x, weight):
    p = weight.shape[-1] // 2
    windows = F.pad(x, (p, p, p, p)).unfold(2, 2 * p + 1, 1).unfold(3, 2 * p + 1, 1)
    return torch.einsum("bchwuv,cuv->bchw", windows, weight[:, 0])


@right("mobilenet/depthwise_conv", "a full convolution that is diagonal")
def _(x, weight):
    full = torch.diag_embed(weight[:, 0].permute(1, 2, 0)).permute(2, 3, 0, 1)
    return F.conv2d(x, full, padding=weight.shape[-1] // 2)


@right("mobilenet/separable_conv", "filters stored as (3, 3, channels), weights as (in, out)")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.filters = nn.Parameter(torch.randn(3, 3, in_channels) / 3)
        self.mix = nn.Parameter(torch.randn(in_channels, out_channels) / in_channels**0.5)
        self.norms = nn.ModuleDict({"d": nn.BatchNorm2d(in_channels), "p": nn.BatchNorm2d(out_channels)})

    def forward(self, x):
        filters = self.filters.permute(2, 0, 1).unsqueeze(1)
        x = F.conv2d(x, filters, None, self.stride, 1, groups=x.shape[1])
        x = self.norms["d"](x).relu()
        x = torch.tensordot(x, self.mix, dims=([1], [0])).movedim(-1, 1)
        return self.norms["p"](x).relu()


@right("mobilenet/separable_conv", "one small convolution for each channel")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        one = partial(nn.Conv2d, 1, 1, 3, stride, padding=1, bias=False)
        self.each = nn.ModuleList(one() for _ in range(in_channels))
        self.after = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )

    def forward(self, x):
        return self.after(torch.cat([f(x[:, n : n + 1]) for n, f in enumerate(self.each)], dim=1))


@right("mobilenet/repaired_block", "an ordered dictionary in a subclass of Sequential")
class _(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1):
        m, n = in_channels, out_channels
        super().__init__(
            OrderedDict(
                depthwise=nn.Conv2d(m, m, 3, stride, 1, groups=m, bias=False),
                bn1=nn.BatchNorm2d(m),
                relu1=nn.ReLU(),
                pointwise=nn.Conv2d(m, n, 1, bias=False),
                bn2=nn.BatchNorm2d(n),
                relu2=nn.ReLU(),
            )
        )


# MobileNetV2


class ConvNorm(nn.Sequential):
    def __init__(self, i: int, o: int, k: int = 1, s: int = 1, g: int = 1, act: Any = nn.ReLU6) -> None:
        super().__init__(nn.Conv2d(i, o, k, s, (k - 1) // 2, groups=g, bias=False), nn.BatchNorm2d(o))
        if act is not None:
            self.append(act())


@right("mobilenet_v2/inverted_residual", "a subclass of Sequential that adds")
class _(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        t = in_channels * expansion
        super().__init__()
        if expansion > 1:
            self.append(ConvNorm(in_channels, t))
        self.append(ConvNorm(t, t, 3, stride, t)).append(ConvNorm(t, out_channels, act=None))
        self.add = stride == 1 and in_channels == out_channels

    def forward(self, x):
        y = super().forward(x)
        return y.add(x) if self.add else y


@right("mobilenet_v2/inverted_residual", "functions for the activations, a factor for the sum")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        hidden = expansion * in_channels
        self.register_module("expand", ConvNorm(in_channels, hidden, act=None) if expansion != 1 else None)
        self.filter = ConvNorm(hidden, hidden, 3, stride, hidden, act=None)
        self.project = ConvNorm(hidden, out_channels, act=None)
        self.fits = stride == 1 and in_channels == out_channels

    def forward(self, x):
        six = partial(torch.clamp, min=0, max=6)
        y = x if self.expand is None else six(self.expand(x))
        y = self.project(F.hardtanh(self.filter(y), 0.0, 6.0))
        return sum((x, y)) if self.fits else y


@right("mobilenet_v2/inverted_residual_macs", "a list of rows")
def _(in_channels, out_channels, height, width, stride=1, expansion=6):
    m, n, t = in_channels, out_channels, expansion
    up = lambda side: -(-side // stride)  # noqa: E731
    rows = [(height * width, m * t * m * (t != 1))]
    rows += [(up(height) * up(width), each) for each in (9 * t * m, t * m * n)]
    return sum(a * b for a, b in rows)


@right("mobilenet_v2/inverted_residual_macs", "NumPy, then an int")
def _(in_channels, out_channels, height, width, stride=1, expansion=6):
    hidden = in_channels * expansion
    small = int(np.prod(np.ceil(np.array([height, width]) / stride)))
    total = (9 + out_channels) * hidden * small
    if expansion == 1:
        return total
    return total + in_channels * hidden * height * width


@right("mobilenet_v2/repaired_block", "layers by name, the first of them optional")
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = in_channels * expansion
        self.steps = []
        for name, layer in (
            ("expand", expansion != 1 and ConvNorm(in_channels, wide)),
            ("filter", ConvNorm(wide, wide, 3, stride, wide)),
            ("project", ConvNorm(wide, out_channels, act=None)),
        ):
            if layer:
                setattr(self, name, layer)
                self.steps.append(name)
        self.skip = (lambda x: x) if (stride, in_channels) == (1, out_channels) else (lambda x: 0)

    def forward(self, x):
        out = x
        for name in self.steps:
            out = getattr(self, name)(out)
        return out + self.skip(x)


# EfficientNet


@right("efficientnet/compound_scaling", "a comprehension")
def _(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return tuple(math.exp(phi * math.log(base)) for base in (alpha, beta, gamma))


@right("efficientnet/flops_growth", "from the multipliers")
def _(phi, alpha=1.2, beta=1.1, gamma=1.15):
    d, w, r = (pow(base, phi) for base in (alpha, beta, gamma))
    return d * w * w * r * r


@right("efficientnet/round_channels", "quotient and rest")
def _(channels, width, divisor=8):
    wanted = channels * width
    times, rest = divmod(wanted, divisor)
    times = int(times) + (2 * rest >= divisor)
    times = times or 1
    return (times + (times * divisor < 0.9 * wanted)) * divisor


@right("efficientnet/round_repeats", "floor of the negative")
def _(repeats, depth):
    return -int(-repeats * depth // 1)


@right("efficientnet/squeeze_excite", "matrices and einsum")
class _(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(channels, squeezed) / channels**0.5)
        self.w2 = nn.Parameter(torch.randn(squeezed, channels) / squeezed**0.5)
        self.b1, self.b2 = nn.Parameter(torch.zeros(squeezed)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        z = torch.einsum("bchw,cs->bs", x, self.w1) / math.prod(x.shape[2:]) + self.b1
        gate = 1 / (1 + torch.exp(-((z * z.sigmoid()) @ self.w2 + self.b2)))
        return torch.einsum("bchw,bc->bchw", x, gate)


class Gate(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        layers = [nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, squeezed, 1), nn.SiLU()]
        self.s = nn.Sequential(*layers, nn.Conv2d(squeezed, channels, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.s(x).expand_as(x).mul(x)


right("efficientnet/squeeze_excite", "one Sequential from grid to gate", Gate)


@right("efficientnet/mbconv", "a norm by partial, steps by yield")
class _(nn.Module):
    norm = partial(nn.BatchNorm2d, eps=0.001, momentum=1 - 0.99)

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, expansion=6):
        super().__init__()
        self.body = nn.Sequential(*self.steps(in_channels, out_channels, kernel_size, stride, expansion))
        self.scale = float(stride == 1 and in_channels == out_channels)

    def steps(self, m, n, k, s, t):
        wide = m * t
        if t != 1:
            yield from (nn.Conv2d(m, wide, 1, bias=False), self.norm(wide), nn.SiLU(inplace=True))
        yield nn.Conv2d(wide, wide, k, s, k // 2, groups=wide, bias=False)
        yield from (self.norm(wide), nn.SiLU(), Gate(wide, m // 4 or 1))
        yield from (nn.Conv2d(wide, n, 1, bias=False), self.norm(n))

    def forward(self, x):
        return x + self.body(x) if self.scale else self.body(x)


@right("efficientnet/drop_connect", "dropout of ones")
def _(x, drop_rate, training):
    return x * F.dropout(x.new_ones(len(x), 1, 1, 1), p=drop_rate, training=training)


@right("efficientnet/drop_connect", "a floor, as the TensorFlow code has it")
def _(x, drop_rate, training):
    if not training:
        return x
    keep = 1.0 - drop_rate
    binary = torch.floor(keep + torch.rand([x.size(0), 1, 1, 1], dtype=x.dtype, device=x.device))
    return x / keep * binary


@right("efficientnet/repaired_gate", "image by image")
class _(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.gate = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.SiLU(), nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()
        )

    def forward(self, x):
        return torch.cat([one * self.gate(one.mean(dim=(0, 2, 3), keepdim=True)) for one in x.split(1)])


RIGHT = right.answers

# ---------------------------------------------------------------------------------------------------------------
# Wrong answers
# ---------------------------------------------------------------------------------------------------------------


def all_of(*patterns: str) -> str:
    return "".join(f"(?=.*(?:{p}))" for p in patterns)


def slips(part: str, make: Callable[[set[str]], Any], says: dict[str, str], combinations: list[str]) -> None:
    """A row for each combination: names of slips, with a + between them. `make` builds the block with them."""
    for label in combinations:
        names = label.split(" + ")
        unknown = set(names) - set(says)
        assert not unknown, unknown
        pattern = says[names[0]] if len(names) == 1 else all_of(*(says[name] for name in names))
        wrong(part, label, make(set(names)), pattern, len(names))


def numbers(part: str, arguments: str, *rows: tuple[str, str, str, int]) -> None:
    """Functions of one expression: (label, expression, says, slips)."""
    for label, body, says, count in rows:
        wrong(part, label, function(arguments, body, {"math": math}), says, count)


ROUND = r"round|floor|ceil|whole|fit|remain|integer|//"
TWICE = r"pad|both sides|each side|two sides|2 ?p"
ONE = r"\+ ?1|plus one|off by one|one (too|less|more|place|fewer|short)|first place|missing|by 1"
BIAS = r"bias|offset|constant"
RELU = r"relu|activation|non-?linear|rectif|negative"
NORM = r"norm|\bbn"
PAD = r"padd|border|edge|shape|side|grid|size"
STRIDE = r"strid|grid|shape|size|pixel"
SHARED = (
    r"shared?\b|same (module|layer|weight|conv|object|block|one)|parameter|reus|number of weights|own weights"
)
SKIP = r"shortcut|skip|residual|identity|add(s|ed|ition)?\b|input"
GRAD = r"grad|detach|backprop|train"
KERNEL = r"kernel|window|\dx\d|\d×\d|square|k\^2|k²"
FLOAT = r"\bint\b|integer|float|type|whole"

# LeNet

numbers(
    "lenet/conv_output_size",
    "size, kernel, stride=1, padding=0",
    ("a step that does not fit is taken", "-(-(size + 2 * padding - kernel) // stride) + 1", ROUND, 1),
    ("padding on one side", "(size + padding - kernel) // stride + 1", TWICE, 1),
    ("Python's round", "round((size + 2 * padding - kernel) / stride) + 1", ROUND, 1),
    (
        "the fence posts miscounted inside of the quotient",
        "(size + 2 * padding - kernel + 1) // stride",
        ONE,
        1,
    ),
    (
        "a float, padding on one side",
        "(size + padding - kernel) / stride + 1",
        all_of(FLOAT + "|round", TWICE),
        2,
    ),
    ("Keras's 'same': sides divided", "-(-size // stride)", r"kernel|pad|formula|same|size", 1),
    (
        "rounded up, padding once, without the first place",
        "math.ceil((size + padding - kernel) / stride)",
        all_of(ROUND, TWICE, ONE),
        3,
    ),
)
numbers(
    "lenet/conv_output_size",
    "size, kernel, stride=2, padding=0",
    (
        "a default stride of 2",
        "(size + 2 * padding - kernel) // stride + 1",
        r"strid|default|omit|left out",
        1,
    ),
)
numbers(
    "lenet/conv_output_size",
    "size, kernel, stride=1, padding=None",
    (
        "half the kernel as default padding",
        "(size + 2 * (kernel // 2 if padding is None else padding) - kernel) // stride + 1",
        r"padd|default|omit|left out",
        1,
    ),
)
numbers(
    "lenet/conv_parameters",
    "in_channels, out_channels, kernel, bias=True",
    ("a row of the kernel only", "out_channels * (kernel * in_channels + bool(bias))", KERNEL, 1),
    ("416", "out_channels * (kernel**2 + bool(bias))", r"in_channels|input|416|channel", 1),
    (
        "without a bias, the input channels are forgotten",
        "out_channels * (kernel**2 * in_channels + 1) if bias else out_channels * kernel**2",
        r"in_channels|input|channel|bias",
        1,
    ),
    ("a bias for each weight matrix", "out_channels * in_channels * (kernel**2 + bool(bias))", BIAS, 1),
    (
        "one bias for the whole layer, kernel doubled instead of squared",
        "out_channels * in_channels * kernel * 2 + bool(bias)",
        all_of(BIAS, KERNEL),
        2,
    ),
)
numbers(
    "lenet/conv_parameters",
    "in_channels, out_channels, kernel, bias=False",
    (
        "no bias by default, one a filter and input channel, kernel not squared",
        "out_channels * in_channels * (kernel + bool(bias))",
        all_of(r"default|bias", BIAS, KERNEL),
        3,
    ),
)


def lenet(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, num_classes=10):
            super().__init__()
            bias = "convolutions without bias" not in s
            self.c1 = nn.Conv2d(1, 6, 5, padding=2 * ("padding 2, as for MNIST" in s), bias=bias)
            self.c3 = nn.Conv2d(6, 16, 5, bias=bias)
            self.c5 = nn.Conv2d(16, 120, 5, bias=bias)
            if "the connection table of 1998" in s:
                table = torch.tensor(
                    [[(o + i) % 6 < (3 if o < 6 else 4) for i in range(6)] for o in range(16)]
                )
                table[15] = True
                self.register_buffer("table", table[:, :, None, None])
            self.f6 = nn.Linear(120, 84)
            self.output = nn.Linear(84, 10 if "always ten classes" in s else num_classes)
            self.drop = nn.Dropout(0.5)

        def act(self, x):
            if "sigmoid" in s:
                return torch.sigmoid(x)
            if "ReLU" in s:
                return torch.relu(x)
            if "LeCun's scaled tanh" in s:
                return 1.7159 * torch.tanh(x * 2 / 3)
            return torch.tanh(x)

        def stage(self, z):
            pool = F.max_pool2d if "max pooling" in s else F.avg_pool2d
            if "pool before tanh" in s:
                return self.act(pool(z, 2))
            return pool(self.act(z), 2)

        def forward(self, x):
            x = self.stage(self.c1(x))
            if "the connection table of 1998" in s:
                x = self.stage(F.conv2d(x, self.c3.weight * self.table, self.c3.bias))
            else:
                x = self.stage(self.c3(x))
            x = self.c5(x)
            if "no tanh after C5" not in s:
                x = self.act(x)
            if "padding 2, as for MNIST" in s:
                x = x.mean((2, 3))
            x = x.squeeze() if "squeeze" in s else x.flatten(1)
            x = self.f6(x)
            if "no tanh after F6" not in s:
                x = self.act(x)
            if "dropout" in s:
                x = self.drop(x)
            x = self.output(x)
            if "log-softmax" in s:
                x = F.log_softmax(x, dim=1)
            if "softmax in evaluation" in s and not self.training:
                x = x.softmax(1)
            if "tanh on the logits" in s:
                x = torch.tanh(x)
            return x

    return Block


slips(
    "lenet/lenet5",
    lenet,
    {
        "convolutions without bias": BIAS,
        "padding 2, as for MNIST": r"pad|border|shape|size|grid|first conv|c1",
        "the connection table of 1998": r"c3|second conv|connect|channels|weight|mask|value|parameter",
        "always ten classes": r"class|shape|output",
        "sigmoid": r"sigmoid|tanh|activation|non-?linear",
        "ReLU": r"relu|tanh|activation|non-?linear",
        "LeCun's scaled tanh": r"tanh|1\.7|scal|activation|non-?linear",
        "max pooling": r"max|average|pool",
        "pool before tanh": r"order|before|after|tanh|pool",
        "no tanh after C5": r"tanh|activation|c5|non-?linear",
        "squeeze": r"squeeze|batch|single|one image|shape",
        "no tanh after F6": r"tanh|activation|f6|non-?linear",
        "dropout": r"dropout|random|train",
        "log-softmax": r"softmax|logit|probab|log",
        "softmax in evaluation": r"softmax|logit|probab|eval|mode",
        "tanh on the logits": r"logit|output|last|tanh",
    },
    [
        "sigmoid",
        "LeCun's scaled tanh",
        "the connection table of 1998",
        "pool before tanh",
        "squeeze",
        "dropout",
        "softmax in evaluation",
        "always ten classes",
        "tanh on the logits",
        "padding 2, as for MNIST",
        "max pooling + no tanh after C5",
        "ReLU + log-softmax",
        "convolutions without bias + squeeze",
        "ReLU + max pooling + log-softmax",
        "sigmoid + dropout + no tanh after C5",
    ],
)


def subsampling(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            many = 1 if "one coefficient for all maps" in s else channels
            shape = (many,) if "along the columns" in s else (many, 1, 1)
            self.coefficient = nn.Parameter(torch.ones(shape))
            if "the bias is a buffer" in s:
                self.register_buffer("bias", torch.zeros(shape))
            else:
                self.bias = nn.Parameter(torch.zeros(shape))

        def forward(self, x):
            total = F.avg_pool2d(x, 2) * (1 if "an average" in s else 4)
            if "four times the maximum" in s:
                total = 4 * F.max_pool2d(x, 2)
            if "the bias is multiplied too" in s:
                y = self.coefficient * (total + self.bias)
            else:
                y = self.coefficient * total + self.bias
            return torch.tanh(y) if "squashed" in s else y

    return Block


slips(
    "lenet/repaired_subsampling",
    subsampling,
    {
        "one coefficient for all maps": r"one (coefficient|number|for)|(each|per) (map|channel)|parameter|scalar|own",
        "along the columns": r"axis|axes|broadcast|column|channel|shape|width|error",
        "the bias is a buffer": r"bias|buffer|parameter|train|grad",
        "an average": r"sum|average|mean|4|four",
        "four times the maximum": r"max|sum|average",
        "the bias is multiplied too": r"bias|coefficient|multipl",
        "squashed": r"tanh|squash|activation",
    },
    [
        "along the columns",
        "four times the maximum",
        "the bias is multiplied too",
        "one coefficient for all maps",
        "an average + the bias is a buffer",
        "along the columns + squashed",
        "an average + the bias is multiplied too + squashed",
    ],
)

# AlexNet

numbers(
    "alexnet/grouped_conv_macs",
    "in_channels, out_channels, kernel, height, width, groups=1",
    (
        "both channels divided",
        "kernel**2 * (in_channels // groups) * (out_channels // groups) * height * width",
        r"group|out_channels|twice|filters|output",
        1,
    ),
    (
        "a float",
        "kernel**2 * in_channels / groups * out_channels * height * width",
        FLOAT,
        1,
    ),
    (
        "an addition counted as well",
        "2 * kernel**2 * in_channels // groups * out_channels * height * width",
        r"twice|two|2|double|addition|flop|mac",
        1,
    ),
    (
        "groups multiply, and biases",
        "kernel**2 * in_channels * groups * out_channels * height * width + out_channels * height * width",
        all_of("group", BIAS),
        2,
    ),
    (
        "no groups, a square grid, a kernel that is a line",
        "kernel * in_channels * out_channels * height * height",
        all_of("group", r"width|height|grid|square", KERNEL),
        3,
    ),
)


def alexnet(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            g = lambda n: (n in (2, 4, 5)) + 1  # noqa: E731
            groups = {n: g(n) for n in range(2, 6)}
            if "no groups in layer 4" in s:
                groups[4] = 1
            if "groups in layer 3" in s:
                groups[3] = 2
            if "no groups at all" in s:
                groups = dict.fromkeys(groups, 1)
            bias = "convolutions without bias" not in s
            first = 2 * ("padding 2 in layer 1" in s)
            self.conv1 = nn.Conv2d(3, 96, 11, 4, first, bias=bias)
            self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=groups[2], bias=bias)
            self.conv3 = nn.Conv2d(256, 384, 3, padding=1, groups=groups[3], bias=bias)
            self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=groups[4], bias=bias)
            self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=groups[5], bias=bias)
            size = 2 if "two neighbours" in s else 5
            alpha = 1e-4 if "alpha divided by five" in s else 1e-4 * size
            self.norm = nn.LocalResponseNorm(size, alpha, 0.75, 1 if "k = 1" in s else 2)
            side = 2 if "pools do not overlap" in s else 3
            self.pool = (nn.AvgPool2d if "average pools" in s else nn.MaxPool2d)(side, 2)

        def normed(self, z):
            if "no response norm" in s:
                return self.pool(z.relu())
            if "norm before the ReLU" in s:
                return self.pool(self.norm(z).relu())
            if "norm behind the pool" in s:
                return self.norm(self.pool(z.relu()))
            if "a norm for each GPU" in s:
                return self.pool(torch.cat([self.norm(half) for half in z.relu().chunk(2, 1)], 1))
            return self.pool(self.norm(z.relu()))

        def forward(self, x):
            x = self.normed(self.conv1(x))
            x = self.normed(self.conv2(x))
            x = self.conv3(x)
            if "no ReLU after layer 3" not in s:
                x = x.relu()
            x = self.conv5(self.conv4(x).relu()).relu()
            if "a norm in layer 5" in s:
                x = self.norm(x)
            if "no last pool" not in s:
                x = self.pool(x)
            return x.flatten(1) if "flattened" in s else x

    return Block


LRN = r"norm|lrn|alpha|divi"
slips(
    "alexnet/alexnet_trunk",
    alexnet,
    {
        "no groups in layer 4": r"group|parameter|conv4|layer 4|shape of",
        "groups in layer 3": r"group|parameter|conv3|layer 3|shape of",
        "no groups at all": r"group|parameter",
        "convolutions without bias": BIAS,
        "padding 2 in layer 1": r"pad|border|shape|grid|size|first conv|layer 1|conv1",
        "two neighbours": r"norm|lrn|neighbou?r|size|five|window",
        "alpha divided by five": LRN,
        "k = 1": r"norm|lrn|\bk\b",
        "pools do not overlap": r"pool|overlap|window",
        "average pools": r"pool|max|average",
        "no response norm": r"norm|lrn",
        "norm before the ReLU": r"norm|lrn|order|before",
        "norm behind the pool": r"norm|lrn|order|before|after",
        "a norm for each GPU": r"norm|lrn|group|half|halves|channels",
        "no ReLU after layer 3": RELU,
        "a norm in layer 5": r"norm|lrn",
        "no last pool": r"pool|shape|size|grid",
        "flattened": r"flatten|vector|grid|shape|axes|dimension",
    },
    [
        "pools do not overlap",
        "padding 2 in layer 1",
        "norm before the ReLU",
        "norm behind the pool",
        "a norm for each GPU",
        "two neighbours",
        "a norm in layer 5",
        "groups in layer 3",
        "flattened",
        "k = 1 + no groups in layer 4",
        "alpha divided by five + pools do not overlap",
        "no ReLU after layer 3 + convolutions without bias",
        "no response norm + no groups at all",
        "norm behind the pool + average pools + no groups at all",
        "alpha divided by five + k = 1 + no ReLU after layer 3",
    ],
)


@wrong(
    "alexnet/fully_connected_share",
    "direct parts only",
    says=r"deep|depth|nest|children|modules|inside|inner|itself",
    slips=1,
)
def _(model):
    linear = sum(p.numel() for m in model.children() if isinstance(m, nn.Linear) for p in m.parameters())
    return linear / sum(p.numel() for p in model.parameters())


@wrong(
    "alexnet/fully_connected_share",
    "by the names fc and classifier",
    says=r"name|type|nn\.Linear|isinstance|linear",
    slips=1,
)
def _(model):
    linear = sum(p.numel() for n, p in model.named_parameters() if n.startswith(("fc", "classifier")))
    return linear / sum(p.numel() for p in model.parameters())


@wrong(
    "alexnet/fully_connected_share",
    "everything with a matrix for a weight",
    says=r"bias|matri|vector|linear",
    slips=1,
)
def _(model):
    linear = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    return linear / sum(p.numel() for p in model.parameters())


@wrong(
    "alexnet/fully_connected_share",
    "running statistics among all",
    says=r"buffer|running|statistic|batch ?norm|state_dict",
    slips=1,
)
def _(model):
    linear = sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters())
    return linear / sum(t.numel() for t in model.state_dict().values())


@wrong("alexnet/fully_connected_share", "whatever is not a convolution", says=r"norm|conv|linear", slips=1)
def _(model):
    total = sum(p.numel() for p in model.parameters())
    conv = sum(p.numel() for m in model.modules() if isinstance(m, nn.Conv2d) for p in m.parameters())
    return (total - conv) / total


@wrong(
    "alexnet/fully_connected_share",
    "in per cent, weights only",
    says=all_of(r"percent|per cent|100|%|0 to 1|between", r"bias|weight"),
    slips=2,
)
def _(model):
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear))
    return 100 * linear / sum(p.numel() for p in model.parameters())


@wrong(
    "alexnet/fully_connected_share",
    "direct parts, weights, running statistics",
    says=all_of(
        r"deep|depth|nest|children|modules|inside|inner|itself",
        r"bias|weight",
        r"buffer|running|statistic|batch ?norm",
    ),
    slips=3,
)
def _(model):
    linear = sum(m.weight.numel() for m in model.children() if isinstance(m, nn.Linear))
    return linear / sum(t.numel() for t in [*model.parameters(), *model.buffers()])


def lrn(s: set[str]) -> Callable[..., Tensor]:
    def repaired(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
        channels, half = a.shape[1], size // 2
        sums = []
        for i in range(channels):
            high = min(channels, i + half + ("the last neighbour is missing" not in s))
            if "the last channel is never seen" in s:
                high = min(channels - 1, i + half + 1)
            near = a[:, max(0, i - half) : high]
            near = near.abs() if "absolute values" in s else near**2
            sums.append(near.mean(1) if "mean" in s else near.sum(1))
        total = torch.stack(sums, dim=1)
        if "divided by size" in s:
            total = total / size
        if "gradients stop at the sums" in s:
            total = total.detach()
        if "beta is always 0.75" in s:
            beta = 0.75
        bottom = k + (alpha * total) ** beta if "k outside of the power" in s else (k + alpha * total) ** beta
        if "a is overwritten" in s:
            a /= bottom
            return a
        return a / bottom

    repaired.__name__ = repaired.__qualname__ = "repaired_lrn"
    return repaired


slips(
    "alexnet/repaired_lrn",
    lrn,
    {
        "the last neighbour is missing": r"slice|window|high|upper|last|neighbou?r|end|range|above|channel",
        "the last channel is never seen": r"last|edge|end|slice|channel|upper|high",
        "absolute values": r"square|abs|power",
        "mean": r"mean|sum|average|divi",
        "divided by size": r"mean|sum|average|divi|size",
        "gradients stop at the sums": GRAD,
        "beta is always 0.75": r"beta|exponent|power|0\.75",
        "k outside of the power": r"\bk\b|power|exponent|beta|bracket|paren",
        "a is overwritten": r"in.?place|overwr|modif|chang|leave|input",
    },
    [
        "the last neighbour is missing",
        "mean",
        "divided by size",
        "the last channel is never seen",
        "k outside of the power",
        "gradients stop at the sums",
        "a is overwritten",
        "mean + beta is always 0.75",
        "the last neighbour is missing + absolute values",
        "divided by size + a is overwritten",
        "mean + the last neighbour is missing + a is overwritten",
    ],
)

# VGG


def vgg_block(s: set[str]) -> Callable[..., nn.Module]:
    def block(num_convs, in_channels, out_channels):
        bias = "convolutions without bias" not in s
        mode = "replicate" if "borders repeated" in s else "zeros"

        def conv(i, o):
            return nn.Conv2d(i, o, 3, padding=1, bias=bias, padding_mode=mode)

        def act():
            return nn.LeakyReLU(0.1) if "leaky ReLU" in s else nn.ReLU()

        layers = []
        widths = [in_channels] + [out_channels] * num_convs
        if "the last convolution widens" in s:
            widths = [in_channels] * num_convs + [out_channels]
        if "one convolution more" in s:
            widths.append(out_channels)
        shared = conv(out_channels, out_channels)
        for n, (i, o) in enumerate(itertools.pairwise(widths)):
            layers.append(shared if n and "one convolution for all later places" in s else conv(i, o))
            if "batch norm" in s:
                layers.append(nn.BatchNorm2d(o))
            if not ("no ReLU before the pool" in s and n == len(widths) - 2):
                layers.append(act())
        ceil = "odd sides rounded up" in s
        if "a stride instead of the pool" in s:
            layers[-2].stride = (2, 2)
        elif "average pool" in s:
            layers.append(nn.AvgPool2d(2, ceil_mode=ceil))
        elif "pool 3x3" in s:
            layers.append(nn.MaxPool2d(3, 2, 1))
        else:
            layers.append(nn.MaxPool2d(2, ceil_mode=ceil))
        return nn.Sequential(*layers)

    block.__name__ = block.__qualname__ = "vgg_block"
    return block


slips(
    "vgg/vgg_block",
    vgg_block,
    {
        "convolutions without bias": BIAS,
        "borders repeated": r"padd|border|edge|zero|replicate",
        "leaky ReLU": RELU,
        "the last convolution widens": r"channel|parameter|first conv|width",
        "one convolution more": r"num_convs|number of|parameter|too many|one more|extra|convolutions",
        "one convolution for all later places": SHARED,
        "batch norm": NORM,
        "no ReLU before the pool": RELU,
        "odd sides rounded up": r"odd|round|ceil|shape|size",
        "a stride instead of the pool": r"pool|strid",
        "average pool": r"average|max|pool|mean",
        "pool 3x3": r"pool|window|2x2|2×2|3x3|3×3|overlap|shape",
    },
    [
        "borders repeated",
        "the last convolution widens",
        "one convolution for all later places",
        "odd sides rounded up",
        "a stride instead of the pool",
        "pool 3x3",
        "no ReLU before the pool",
        "batch norm + convolutions without bias",
        "average pool + one convolution more",
        "leaky ReLU + odd sides rounded up",
        "average pool + leaky ReLU + borders repeated",
    ],
)


def vgg_features(s: set[str]) -> Callable[..., nn.Module]:
    def features(config, in_channels=3):
        if "always three channels" in s:
            in_channels = 3
        todo = config if "the list is emptied" in s else list(config)
        layers, known = [], {}
        while todo:
            item = todo.pop(0)
            if item == "M":
                if "no last pool" in s and not todo:
                    break
                layers.append(nn.AvgPool2d(2) if "average pools" in s else nn.MaxPool2d(2))
                if "ReLU behind the pools only" in s:
                    layers.append(nn.ReLU())
                continue
            if "equal widths are skipped" in s and item == in_channels:
                continue
            conv = nn.Conv2d(in_channels, item, 3, padding=1)
            if "layers of equal shape are cached" in s:
                conv = known.setdefault((in_channels, item), conv)
            layers.append(conv)
            if "batch norms" in s:
                layers.append(nn.BatchNorm2d(item))
            if "ReLU behind the pools only" not in s:
                layers.append(nn.ReLU())
            in_channels = item
        if "an adaptive pool at the end" in s:
            layers.append(nn.AdaptiveAvgPool2d(7))
        return nn.Sequential(*layers)

    features.__name__ = features.__qualname__ = "vgg_features"
    return features


slips(
    "vgg/vgg_features",
    vgg_features,
    {
        "always three channels": r"in_channels|channel|3",
        "the list is emptied": r"list|config|chang|mutat|modif|empt|pop",
        "no last pool": r"pool|last|shape|size|\bM\b",
        "average pools": r"average|max|pool|mean",
        "ReLU behind the pools only": RELU,
        "equal widths are skipped": r"number of|missing|parameter|convolution|too few|skip|fewer",
        "layers of equal shape are cached": SHARED,
        "batch norms": NORM,
        "an adaptive pool at the end": r"pool|shape|size|follow|last|grid",
    },
    [
        "the list is emptied",
        "layers of equal shape are cached",
        "equal widths are skipped",
        "ReLU behind the pools only",
        "an adaptive pool at the end",
        "always three channels",
        "no last pool",
        "batch norms + an adaptive pool at the end",
        "average pools + layers of equal shape are cached",
        "the list is emptied + ReLU behind the pools only + average pools",
    ],
)


def field(s: set[str]) -> Callable[..., int]:
    def receptive_field(layers):
        r, step = (0 if "starts at 0" in s else 1), 1
        for kernel, stride in layers:
            if "a layer's own stride counts" in s:
                step *= stride
            r += (kernel - ("whole kernels" not in s)) * step
            if "strides add up" in s:
                step += stride - 1
            elif "only the last stride" in s:
                step = stride
            elif "strides forgotten" not in s and "a layer's own stride counts" not in s:
                step *= stride
        return r

    return receptive_field


STEP = r"strid|step|product|multipl|distance"
slips(
    "vgg/receptive_field",
    field,
    {
        "starts at 0": r"start|begin|r_0|\b1\b|one|off by",
        "a layer's own stride counts": STEP,
        "whole kernels": r"kernel|k ?- ?1|minus",
        "strides add up": STEP,
        "only the last stride": STEP,
        "strides forgotten": STEP,
    },
    [
        "a layer's own stride counts",
        "strides add up",
        "only the last stride",
        "whole kernels",
        "starts at 0 + strides forgotten",
        "whole kernels + a layer's own stride counts",
        "starts at 0 + whole kernels + strides add up",
    ],
)


@wrong(
    "vgg/receptive_field",
    "backwards recursion, but forwards",
    says=STEP + r"|order|revers|backward|first|last",
    slips=1,
)
def receptive_field(layers):
    r = 1
    for kernel, stride in layers:
        r = (r - 1) * stride + kernel
    return r


SIDE = r"side|kernel|receptive|field|single|2n|second|as much"
numbers(
    "vgg/stack_versus_single",
    "channels, num_convs",
    ("three pixels a layer", "(9 * num_convs * channels**2, (3 * num_convs) ** 2 * channels**2)", SIDE, 1),
    (
        "the other way round",
        "((2 * num_convs + 1) ** 2 * channels**2, 9 * num_convs * channels**2)",
        r"order|swap|first|exchang|stack|round",
        1,
    ),
    ("always a 5x5", "(9 * num_convs * channels**2, 25 * channels**2)", SIDE, 1),
    ("ratios", "(9 * num_convs, (2 * num_convs + 1) ** 2)", r"channel", 1),
    (
        "biases, and a kernel of 2n - 1",
        "(num_convs * (9 * channels**2 + channels), (2 * num_convs - 1) ** 2 * channels**2 + channels)",
        all_of(BIAS, SIDE),
        2,
    ),
    (
        "channels once, a row of the single kernel, exchanged",
        "((2 * num_convs + 1) * channels, 9 * num_convs * channels)",
        all_of("channel", SIDE, r"order|swap|first|exchang|stack|round"),
        3,
    ),
)


def vgg_repaired(s: set[str]) -> Callable[..., nn.Module]:
    def block(num_convs, in_channels, out_channels):
        found = nn.Sequential()
        for n in range(num_convs):
            conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias="without bias" not in s)
            found.add_module("conv" if "convolutions of one name" in s else f"conv{n}", conv)
            if "no first ReLU" in s and n == 0 and num_convs > 1:
                pass
            elif "a name for each width" in s:
                found.add_module(f"relu{out_channels}", nn.ReLU())
            else:
                found.add_module(f"relu{n}", nn.ReLU())
            in_channels = out_channels
        found.add_module("pool", nn.AvgPool2d(2) if "average pool" in s else nn.MaxPool2d(2))
        return found

    block.__name__ = block.__qualname__ = "repaired_block"
    return block


slips(
    "vgg/repaired_block",
    vgg_repaired,
    {
        "without bias": BIAS,
        "convolutions of one name": r"conv|name|number of|parameter|channel|error",
        "no first ReLU": RELU,
        "a name for each width": RELU,
        "average pool": r"average|max|pool|mean",
    },
    [
        "a name for each width",
        "no first ReLU",
        "convolutions of one name",
        "a name for each width + average pool",
        "no first ReLU + without bias + average pool",
    ],
)

# Network in network


def pointwise(s: set[str]) -> Callable[..., Tensor]:
    def conv1x1(x, weight, bias):
        out, i = weight.shape[:2]
        b, _, h, w = x.shape
        matrix = (
            weight.reshape(i, out).T if "the weight regrouped, not transposed" in s else weight.flatten(1)
        )
        if "squeezed" in s:
            matrix = weight.squeeze()
        if "the weight detached" in s:
            matrix = matrix.detach()
        rows = x.reshape(b, h, w, i) if "pixels by reshape" in s else x.permute(0, 2, 3, 1)
        y = rows @ matrix.T
        if "a mean over the channels" in s:
            y = y / i
        if "bias forgotten" not in s:
            y = y + bias * (2 if "the bias twice" in s else 1)
        if "a ReLU" in s:
            y = y.relu()
        if "axes exchanged on the way back" in s:
            return y.permute(0, 3, 2, 1)
        return y.permute(0, 3, 1, 2)

    return conv1x1


ORDER = r"reshape|permut|axis|axes|order|transpos|regroup|channel|pixel|mix"
slips(
    "nin/conv1x1",
    pointwise,
    {
        "the weight regrouped, not transposed": r"transpos|weight|reshape|view|order|regroup",
        "squeezed": r"squeeze|one (in|out|channel)|single|shape|error",
        "the weight detached": GRAD,
        "pixels by reshape": ORDER,
        "a mean over the channels": r"mean|average|sum|divi",
        "bias forgotten": BIAS,
        "the bias twice": BIAS,
        "a ReLU": RELU,
        "axes exchanged on the way back": ORDER + r"|height|width|row|column|shape|turn",
    },
    [
        "the weight regrouped, not transposed",
        "the weight detached",
        "pixels by reshape",
        "axes exchanged on the way back",
        "squeezed",
        "a mean over the channels + bias forgotten",
        "pixels by reshape + a ReLU",
        "the weight regrouped, not transposed + the weight detached + the bias twice",
    ],
)
numbers(
    "nin/conv1x1_parameters",
    "in_channels, out_channels, bias=True",
    ("one bias in all", "in_channels * out_channels + int(bool(bias))", BIAS, 1),
    ("a bias for each input", "(out_channels + bool(bias)) * in_channels", BIAS, 1),
    (
        "neurons instead of weights",
        "in_channels + out_channels + (out_channels if bias else 0)",
        r"product|pair|weight|multipl|times|every",
        1,
    ),
    (
        "a sum, and always a bias",
        "in_channels + 2 * out_channels",
        all_of(r"product|pair|weight|multipl|times|every", BIAS),
        2,
    ),
)
numbers(
    "nin/conv1x1_parameters",
    "in_channels, out_channels, bias=False",
    (
        "without bias by default",
        "in_channels * out_channels + (out_channels if bias else 0)",
        r"bias|default",
        1,
    ),
)


def nin(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
            super().__init__()
            o = out_channels
            bias = "convolutions without bias" not in s
            if "stride and padding exchanged" in s:
                stride, padding = padding or 1, stride
            self.a = nn.Conv2d(in_channels, o, kernel_size, stride, padding, bias=bias)
            k = 3 if "3x3 instead of 1x1" in s else 1
            more = {
                "stride": stride if "strides everywhere" in s else 1,
                "padding": padding if "padding everywhere" in s else k // 2,
                "groups": o if "1x1 convolutions are depthwise" in s else 1,
            }
            self.b = nn.Conv2d(o, o, k, bias=bias, **more)
            self.c = self.b if "one 1x1 twice" in s else nn.Conv2d(o, o, k, bias=bias, **more)
            self.norm = nn.BatchNorm2d(o) if "batch norm" in s else nn.Identity()

        def forward(self, x):
            x = self.norm(self.a(x))
            if "no ReLU after the first" not in s:
                x = x.relu()
            x = self.b(x)
            if "no ReLU in the middle" not in s:
                x = x.relu()
            if "a single 1x1" not in s:
                x = self.c(x)
            if "no last ReLU" in s:
                return x
            return x.relu()

    return Block


slips(
    "nin/nin_block",
    nin,
    {
        "convolutions without bias": BIAS,
        "stride and padding exchanged": r"strid|padd|order|exchang|shape|size",
        "3x3 instead of 1x1": r"1x1|1×1|kernel|3x3|parameter|neighbou?r",
        "strides everywhere": STRIDE,
        "padding everywhere": PAD,
        "1x1 convolutions are depthwise": r"group|depthwise|channel|parameter|mix",
        "one 1x1 twice": SHARED,
        "batch norm": NORM,
        "no ReLU after the first": RELU,
        "no ReLU in the middle": RELU,
        "a single 1x1": r"third|second|missing|number of|parameter|unused|1x1|1×1|convolution|grad",
        "no last ReLU": RELU,
    },
    [
        "stride and padding exchanged",
        "3x3 instead of 1x1",
        "padding everywhere",
        "1x1 convolutions are depthwise",
        "one 1x1 twice",
        "a single 1x1",
        "no ReLU in the middle",
        "batch norm + convolutions without bias",
        "strides everywhere + no last ReLU",
        "one 1x1 twice + no ReLU after the first + convolutions without bias",
    ],
)


def head(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, num_classes):
            super().__init__()
            self.maps = nn.Conv2d(in_channels, num_classes, 1, bias="without bias" not in s)

        def forward(self, x):
            y = self.maps(x)
            if "ReLU on the maps" in s:
                y = y.relu()
            if "softmax at every pixel" in s:
                y = y.softmax(1)
            if "a pool for 7x7" in s:
                return F.avg_pool2d(y, 7).flatten(1)
            if "axes of one pixel left" in s:
                return F.adaptive_avg_pool2d(y, 1)
            if "squeeze" in s:
                return F.adaptive_avg_pool2d(y, 1).squeeze()
            if "the largest value" in s:
                y = y.amax((2, 3))
            else:
                y = y.sum((2, 3)) if "a sum" in s else y.mean((2, 3))
            if "log-softmax" in s:
                return y.log_softmax(1)
            if "sigmoid" in s:
                return y.sigmoid()
            return y

    return Block


slips(
    "nin/global_average_head",
    head,
    {
        "without bias": BIAS,
        "ReLU on the maps": RELU,
        "softmax at every pixel": r"softmax|probab|logit",
        "a pool for 7x7": r"grid|size|shape|pool|average|any|7",
        "axes of one pixel left": r"shape|flatten|axes|axis|dimension|squeeze",
        "squeeze": r"squeeze|batch|single|one image|shape",
        "the largest value": r"max|average|mean",
        "a sum": r"sum|average|mean|divi",
        "log-softmax": r"softmax|logit|probab|log",
        "sigmoid": r"sigmoid|logit|probab",
    },
    [
        "a pool for 7x7",
        "axes of one pixel left",
        "squeeze",
        "softmax at every pixel",
        "a sum",
        "the largest value + log-softmax",
        "ReLU on the maps + without bias",
        "ReLU on the maps + the largest value + sigmoid",
    ],
)


def pixels(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, hidden, out_channels):
            super().__init__()
            self.linear1 = nn.Linear(in_channels, hidden)
            self.linear2 = nn.Linear(hidden, out_channels, bias="no second bias" not in s)

        def forward(self, x):
            n, c, h, w = x.shape
            rows = x.reshape(n, h * w, c) if "reshape on the way in" in s else x.flatten(2).mT
            rows = self.linear1(rows)
            rows = self.linear2(rows if "no ReLU" in s else rows.relu())
            if "a second ReLU" in s:
                rows = rows.relu()
            if "reshape on the way out" in s:
                return rows.reshape(n, -1, h, w)
            if "rows and columns exchanged" in s:
                return rows.mT.reshape(n, -1, w, h)
            return rows.mT.reshape(n, -1, h, w)

    return Block


slips(
    "nin/repaired_pixel_mlp",
    pixels,
    {
        "no second bias": BIAS,
        "reshape on the way in": ORDER,
        "reshape on the way out": ORDER,
        "no ReLU": RELU,
        "a second ReLU": RELU,
        "rows and columns exchanged": ORDER + r"|height|width|row|column|shape",
    },
    [
        "reshape on the way in",
        "reshape on the way out",
        "rows and columns exchanged",
        "reshape on the way out + a second ReLU",
        "reshape on the way in + no ReLU + no second bias",
    ],
)

# Inception

numbers(
    "inception/conv_macs",
    "in_channels, out_channels, kernel, height, width",
    ("a line of the kernel", "in_channels * out_channels * kernel * height * width", KERNEL, 1),
    ("with biases", "(kernel**2 * in_channels + 1) * out_channels * height * width", BIAS, 1),
    (
        "the grid of the input",
        "kernel**2 * in_channels * out_channels * (height + kernel - 1) * (width + kernel - 1)",
        r"output|grid|height|width|input",
        1,
    ),
    (
        "twice, and a float",
        "2.0 * kernel**2 * in_channels * out_channels * height * width",
        all_of(r"twice|two|2|double|addition|flop", FLOAT),
        2,
    ),
)
numbers(
    "inception/bottleneck_macs",
    "in_channels, reduced, out_channels, kernel, height, width",
    (
        "the large kernel in both",
        "kernel**2 * reduced * (in_channels + out_channels) * height * width",
        r"1x1|1×1|kernel|first|reduc",
        1,
    ),
    (
        "the 1x1 for nothing",
        "kernel**2 * reduced * out_channels * height * width",
        r"1x1|1×1|first|both|sum|reduc",
        1,
    ),
    (
        "the 1x1 behind",
        "(kernel**2 * in_channels * reduced + reduced * out_channels) * height * width",
        r"order|1x1|1×1|first|in front|behind|kernel",
        1,
    ),
    (
        "a kernel not squared, biases",
        "(in_channels * reduced + kernel * reduced * out_channels + reduced + out_channels) * height * width",
        all_of(KERNEL, BIAS),
        2,
    ),
)


def inception(s: set[str]) -> type:
    class Unit(nn.Module):
        def __init__(self, i, o, k, relu=True):
            super().__init__()
            mode = "reflect" if "borders mirrored" in s else "zeros"
            bias = "convolutions without bias" not in s
            self.conv = nn.Conv2d(i, o, k, padding=k // 2, bias=bias, padding_mode=mode)
            self.norm = nn.BatchNorm2d(o, eps=0.001) if "batch norms" in s else nn.Identity()
            self.relu = nn.ReLU() if relu else nn.Identity()

        def forward(self, x):
            return self.relu(self.norm(self.conv(x)))

    class Block(nn.Module):
        def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
            super().__init__()
            i, narrow = in_channels, "no ReLU after reductions" not in s
            self.one = Unit(i, c1, 1)
            self.three = nn.Sequential(Unit(i, c3_reduce, 1, narrow), Unit(c3_reduce, c3, 3))
            if "two 3x3 for the 5x5" in s:
                five = [Unit(c5_reduce, c5, 3), Unit(c5, c5, 3)]
            else:
                five = [Unit(c5_reduce, c5, 3 if "3x3 for the 5x5" in s else 5)]
            self.five = nn.Sequential(Unit(i, c5_reduce, 1, narrow), *five)
            self.proj = Unit(i, pool_proj, 1, "no ReLU after the pool's convolution" not in s)

        def pooled(self, x):
            if "average pool" in s:
                return F.avg_pool2d(x, 3, 1, 1)
            if "zeros around the pool" in s:
                return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1)
            return F.max_pool2d(x, 3, 1, 1)

        def forward(self, x):
            if "ReLU of the input in the pool's branch" in s:
                last = self.proj(self.pooled(x.relu()))
            elif "pool behind its convolution" in s:
                last = self.pooled(self.proj(x))
            else:
                last = self.proj(self.pooled(x))
            found = [self.one(x), self.three(x), self.five(x), last]
            if "the pool's branch first" in s:
                found = found[-1:] + found[:-1]
            if "5x5 before 3x3" in s:
                found[1], found[2] = found[2], found[1]
            return torch.cat(found, 1)

    return Block


slips(
    "inception/inception_module",
    inception,
    {
        "borders mirrored": r"padd|border|edge|zero|reflect|mirror",
        "convolutions without bias": BIAS,
        "batch norms": NORM,
        "no ReLU after reductions": RELU,
        "two 3x3 for the 5x5": r"5x5|5×5|3x3|3×3|kernel|parameter|branch",
        "3x3 for the 5x5": r"5x5|5×5|3x3|3×3|kernel|parameter|branch",
        "no ReLU after the pool's convolution": RELU,
        "average pool": r"average|max|pool|mean",
        "zeros around the pool": r"pool|pad|border|edge|zero|negative",
        "ReLU of the input in the pool's branch": r"pool|relu|negative|activation",
        "pool behind its convolution": r"pool|order|before|after",
        "the pool's branch first": r"order|concat|cat\b|first|pool",
        "5x5 before 3x3": r"order|concat|cat\b|branch|swap|exchang",
    },
    [
        "zeros around the pool",
        "ReLU of the input in the pool's branch",
        "pool behind its convolution",
        "two 3x3 for the 5x5",
        "borders mirrored",
        "5x5 before 3x3",
        "no ReLU after the pool's convolution",
        "batch norms + convolutions without bias",
        "average pool + the pool's branch first",
        "no ReLU after reductions + zeros around the pool",
        "batch norms + convolutions without bias + 3x3 for the 5x5",
        "average pool + pool behind its convolution + 5x5 before 3x3",
    ],
)


def reduction(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, c3_reduce, c3, c5_reduce, c5):
            super().__init__()
            early3 = "strides left on the 1x1" in s or "stride left on the 1x1 of the 3x3" in s
            early5 = "strides left on the 1x1" in s
            self.reduce3 = nn.Conv2d(in_channels, c3_reduce, 1, stride=1 + early3)
            self.conv3 = nn.Conv2d(c3_reduce, c3, 3, stride=2 - early3, padding=1)
            self.reduce5 = nn.Conv2d(in_channels, c5_reduce, 1, stride=1 + early5)
            self.conv5 = nn.Conv2d(c5_reduce, c5, 5, stride=2 - early5, padding=2)

        def forward(self, x):
            three = self.conv3(self.reduce3(x).relu()).relu()
            five = self.reduce5(x)
            if "no ReLU behind reduce5" not in s:
                five = five.relu()
            five = self.conv5(five)
            if "the ReLU moved in front of the 5x5" not in s:
                five = five.relu()
            if "the pool rounds up instead of padding" in s:
                pool = F.max_pool2d(x, 3, 2, ceil_mode=True)
            elif "average pool" in s:
                pool = F.avg_pool2d(x, 3, 2, 1)
            else:
                pool = F.max_pool2d(x, 3, 2, 1)
            if "ReLU on the pool" in s:
                pool = pool.relu()
            found = [pool, three, five] if "the pool first" in s else [three, five, pool]
            return torch.cat(found, 1)

    return Block


slips(
    "inception/repaired_reduction",
    reduction,
    {
        "strides left on the 1x1": STRIDE + r"|1x1|1×1",
        "stride left on the 1x1 of the 3x3": STRIDE + r"|1x1|1×1",
        "no ReLU behind reduce5": RELU,
        "the ReLU moved in front of the 5x5": RELU,
        "the pool rounds up instead of padding": r"pool|pad|ceil|round|shape|size|grid",
        "average pool": r"average|max|pool|mean",
        "ReLU on the pool": r"relu|pool|negative|activation",
        "the pool first": r"order|concat|cat\b|first",
    },
    [
        "strides left on the 1x1",
        "no ReLU behind reduce5",
        "stride left on the 1x1 of the 3x3",
        "the ReLU moved in front of the 5x5",
        "the pool rounds up instead of padding",
        "strides left on the 1x1 + ReLU on the pool",
        "stride left on the 1x1 of the 3x3 + average pool",
        "no ReLU behind reduce5 + ReLU on the pool + the pool first",
    ],
)

# ResNet


def norm_of(s: set[str], channels: int) -> nn.Module:
    if "instance norms" in s:
        return nn.InstanceNorm2d(channels, affine=True)
    options: dict[str, Any] = {}
    if "momentum 0.9" in s:
        options["momentum"] = 0.9
    if "eps 1e-3" in s:
        options["eps"] = 1e-3
    if "no running statistics" in s:
        options["track_running_stats"] = False
    if "norms without gamma and beta" in s:
        options["affine"] = False
    if "cumulative averages" in s:
        options["momentum"] = None
    return nn.BatchNorm2d(channels, **options)


NORMS = {
    "instance norms": r"batch|instance|norm|running",
    "momentum 0.9": r"momentum|running",
    "eps 1e-3": r"eps",
    "no running statistics": r"running|statistic|eval|track",
    "norms without gamma and beta": r"affine|gamma|beta|parameter|weight|bias|scale",
    "cumulative averages": r"momentum|running|average",
}


def basic(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            i, o = in_channels, out_channels
            bias = "convolutions with bias" in s
            first, second = (1, stride) if "stride on the second convolution" in s else (stride, 1)
            wide = 2 if "second convolution dilated" in s else 1
            self.conv1 = nn.Conv2d(i, o, 3, first, 1, bias=bias)
            self.bn1 = norm_of(s, o)
            self.conv2 = nn.Conv2d(o, o, 3, second, wide, wide, bias=bias)
            self.bn2 = self.bn1 if "one batch norm twice" in s else norm_of(s, o)
            if "one convolution twice where it fits" in s and i == o and stride == 1:
                self.conv2 = self.conv1
            needed = stride != 1 or i != o
            if "projects always" in s:
                needed = True
            if "projects for channels only" in s:
                needed = i != o
            self.project = None
            if needed:
                if "ResNet-D's average pool" in s and stride != 1:
                    layers = [nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(i, o, 1, bias=bias)]
                elif "projection 3x3" in s:
                    layers = [nn.Conv2d(i, o, 3, stride, 1, bias=bias)]
                else:
                    layers = [nn.Conv2d(i, o, 1, stride, bias=bias)]
                if "projection without norm" not in s:
                    layers.append(norm_of(s, o))
                if "ReLU on the projection" in s:
                    layers.append(nn.ReLU())
                self.project = nn.Sequential(*layers)
            if "a trained factor on the branch" in s:
                self.factor = nn.Parameter(torch.ones(1))
            if "the last gamma frozen" in s:
                self.bn2.weight.requires_grad = False

        def forward(self, x):
            out = self.conv1(x)
            if "norm behind the ReLU" in s:
                out = self.bn1(out.relu())
            else:
                out = self.bn1(out).relu()
            out = self.bn2(self.conv2(out))
            if "ReLU before the sum" in s:
                out = out.relu()
            if "dropout" in s:
                out = F.dropout(out, 0.3, self.training)
            if "a trained factor on the branch" in s:
                out = out * self.factor
            skip = x if self.project is None else self.project(x)
            if "the skip detached" in s:
                skip = skip.detach()
            if "no skip in evaluation" in s and not self.training:
                return out.relu()
            if "concatenated and averaged" in s:
                return torch.stack([out, skip]).mean(0).relu()
            out = out + skip
            if "no last ReLU" in s:
                return out
            return F.gelu(out) if "GELU at the end" in s else out.relu()

    return Block


BASIC = NORMS | {
    "convolutions with bias": BIAS,
    "stride on the second convolution": r"strid|conv1|conv2|first|second",
    "second convolution dilated": r"dilat|kernel|conv2|second|receptive|value",
    "one batch norm twice": SHARED + r"|running|batch ?norm|second norm|bn2",
    "one convolution twice where it fits": SHARED,
    "projects always": r"project|shortcut|parameter|identity",
    "projects for channels only": r"project|shortcut|strid|shape|size|error",
    "ResNet-D's average pool": r"project|shortcut|pool|strid|average",
    "projection 3x3": r"project|shortcut|1x1|1×1|kernel",
    "projection without norm": r"project|shortcut|norm",
    "ReLU on the projection": r"project|shortcut|relu|activation",
    "a trained factor on the branch": r"parameter|factor|scal|branch",
    "the last gamma frozen": r"gamma|frozen|requires_grad|train|grad|parameter|bn2|weight",
    "norm behind the ReLU": r"order|before|after|relu|norm",
    "ReLU before the sum": RELU + r"|before|add|sum",
    "dropout": r"dropout|random|train",
    "the skip detached": GRAD + r"|shortcut|skip",
    "no skip in evaluation": r"eval|mode|shortcut|skip",
    "concatenated and averaged": r"average|mean|sum|add|half|factor|twice",
    "no last ReLU": RELU,
    "GELU at the end": RELU + r"|gelu",
}
slips(
    "resnet/basic_block",
    basic,
    BASIC,
    [
        "second convolution dilated",
        "one convolution twice where it fits",
        "ResNet-D's average pool",
        "the skip detached",
        "no skip in evaluation",
        "a trained factor on the branch",
        "the last gamma frozen",
        "norm behind the ReLU",
        "instance norms",
        "cumulative averages",
        "projection 3x3",
        "concatenated and averaged",
        "momentum 0.9 + ReLU before the sum",
        "projection without norm + no last ReLU",
        "one batch norm twice + convolutions with bias",
        "stride on the second convolution + eps 1e-3",
        "ReLU on the projection + projects always + momentum 0.9",
        "dropout + ReLU before the sum + projection without norm",
    ],
)
slips(
    "resnet/repaired_block",
    basic,
    BASIC,
    [
        "ReLU before the sum",
        "projection without norm",
        "ReLU on the projection",
        "norms without gamma and beta",
        "ReLU before the sum + projection without norm",
        "no last ReLU + convolutions with bias",
    ],
)


@wrong(
    "resnet/repaired_block",
    "the first ReLU stays, not in place",
    says=r"first|input|skip|shortcut|relu|in.?place|negative",
    slips=1,
)
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.block = Basic(in_channels, out_channels, stride)

    def forward(self, x):
        return self.block(F.relu(x))


@wrong(
    "resnet/repaired_block",
    "the input is still overwritten",
    says=r"in.?place|overwr|modif|chang|negative|input|first relu",
    slips=1,
)
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.block = Basic(in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.block(self.relu(x))


@wrong(
    "resnet/repaired_block",
    "only the order of ReLU and sum repaired",
    says=all_of(r"in.?place|overwr|modif|chang|negative|input|first relu", r"project|shortcut|norm"),
    slips=2,
)
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.block = basic({"projection without norm"})(in_channels, out_channels, stride)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.block(self.relu(x))


def bottleneck(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, channels, stride=1):
            super().__init__()
            out = 4 * channels
            at = 0 if "stride on the first 1x1" in s else 2 if "stride on the last 1x1" in s else 1
            strides = [stride if n == at else 1 for n in range(3)]
            groups = channels if "3x3 depthwise" in s else 1
            self.conv1 = nn.Conv2d(in_channels, channels, 1, strides[0], bias=False)
            self.bn1 = norm_of(s, channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, strides[1], 1, groups=groups, bias=False)
            self.bn2 = self.bn1 if "bn1 in both places" in s else norm_of(s, channels)
            self.conv3 = nn.Conv2d(channels, out, 1, strides[2], bias="bias in the last 1x1" in s)
            self.bn3 = nn.Identity() if "no norm behind the last 1x1" in s else norm_of(s, out)
            compared = channels if "compares with the inner channels" in s else out
            self.project = None
            if stride != 1 or in_channels != compared:
                self.project = nn.Sequential(
                    nn.Conv2d(in_channels, out, 1, stride, bias=False), norm_of(s, out)
                )

        def forward(self, x):
            y = self.bn1(self.conv1(x)).relu()
            y = self.bn2(self.conv2(y))
            if "no ReLU behind the 3x3" not in s:
                y = y.relu()
            y = self.bn3(self.conv3(y))
            if "ReLU before the sum" in s:
                y = y.relu()
            y = y + (x if self.project is None else self.project(x))
            return y if "no last ReLU" in s else y.relu()

    return Block


slips(
    "resnet/bottleneck",
    bottleneck,
    NORMS
    | {
        "stride on the first 1x1": STRIDE + r"|1x1|1×1",
        "stride on the last 1x1": STRIDE + r"|1x1|1×1",
        "3x3 depthwise": r"group|depthwise|parameter",
        "bn1 in both places": SHARED + r"|running|bn1|bn2",
        "bias in the last 1x1": BIAS,
        "no norm behind the last 1x1": NORM,
        "compares with the inner channels": r"project|shortcut|channels|4|shape|error|parameter",
        "no ReLU behind the 3x3": RELU,
        "ReLU before the sum": RELU + r"|before|sum|add",
        "no last ReLU": RELU,
    },
    [
        "stride on the last 1x1",
        "compares with the inner channels",
        "bn1 in both places",
        "3x3 depthwise",
        "norms without gamma and beta",
        "stride on the first 1x1 + no ReLU behind the 3x3",
        "no norm behind the last 1x1 + bias in the last 1x1",
        "stride on the first 1x1 + eps 1e-3",
        "stride on the last 1x1 + ReLU before the sum + momentum 0.9",
    ],
)


def stage(s: set[str]) -> Callable[..., nn.Module]:
    def residual_stage(in_channels, out_channels, num_blocks, stride):
        block = basic(s & set(BASIC))
        blocks: list[nn.Module] = []
        for n in range(num_blocks + ("one block more" in s)):
            step = stride if n == 0 else 1
            if "the last block takes the stride" in s:
                step = stride if n == num_blocks - 1 else 1
            if "no block takes the stride" in s:
                step = 1
            blocks.append(block(out_channels if n else in_channels, out_channels, step))
        if "one block repeated" in s:
            blocks[2:] = blocks[1:2] * (len(blocks) - 2)
        if "the last block narrows back" in s and num_blocks > 1:
            blocks[-1] = block(out_channels, in_channels)
        if "a norm at the end" in s:
            blocks.append(nn.BatchNorm2d(out_channels))
        return nn.ModuleList(blocks) if "a list of modules" in s else nn.Sequential(*blocks)

    return residual_stage


slips(
    "resnet/residual_stage",
    stage,
    BASIC
    | {
        "one block more": r"num_blocks|number of|too many|one more|extra|parameter|block",
        "the last block takes the stride": r"strid|first|last",
        "no block takes the stride": r"strid|shape|size|grid",
        "one block repeated": SHARED + r"|num_blocks",
        "the last block narrows back": r"channel|shape",
        "a norm at the end": NORM,
        "a list of modules": r"Sequential|ModuleList|forward|call|list",
    },
    [
        "the last block takes the stride",
        "one block repeated",
        "a list of modules",
        "one block more + no last ReLU",
        "no block takes the stride + a norm at the end",
    ],
)


def cifar(s: set[str]) -> type:
    class Padded(nn.Module):
        """A block with option A, as in a well-known CIFAR collection."""

        def __init__(self, i, o, stride=1):
            super().__init__()
            self.f, self.stride, self.more = Basic(i, o, stride).f, stride, o - i

        def forward(self, x):
            skip = x[:, :, :: self.stride, :: self.stride]
            skip = F.pad(skip, (0, 0, 0, 0, self.more // 2, self.more - self.more // 2))
            return F.relu(self.f(x) + skip)

    class Block(nn.Module):
        def __init__(self, num_blocks=5 if "five blocks by default" in s else 3, num_classes=10):
            super().__init__()
            start = [nn.Conv2d(3, 16, 3, padding=1, bias="bias in the stem" in s)]
            if "no norm in the stem" not in s:
                start.append(nn.BatchNorm2d(16))
            if "no ReLU in the stem" not in s:
                start.append(nn.ReLU())
            if "a max pool in the stem" in s:
                start.append(nn.MaxPool2d(3, 2, 1))
            self.stem = nn.Sequential(*start)
            kind = Padded if "option A" in s else Basic
            widths, strides = [16, 16, 32, 64], [2 if "stage 1 strides" in s else 1, 2, 2]
            rows = []
            for i, o, stride in zip(widths, widths[1:], strides):
                rows.append(kind(i, o, stride))
                rows += [kind(o, o) for _ in range(num_blocks - 1)]
            if "a block less in stage 3" in s and num_blocks > 1:
                rows.pop()
            self.rows = nn.Sequential(*rows)
            self.linear = nn.Linear(64, num_classes, bias="no bias in the linear layer" not in s)

        def forward(self, x):
            x = self.rows(self.stem(x))
            if "pool of 8x8" in s:
                x = F.avg_pool2d(x, 8).flatten(1)
            elif "max over the grid" in s:
                x = x.amax((2, 3))
            else:
                x = x.mean((2, 3))
            x = self.linear(x)
            if "softmax" in s:
                x = x.softmax(1)
            return x.relu() if "ReLU on the logits" in s else x

    return Block


slips(
    "resnet/cifar_resnet",
    cifar,
    {
        "five blocks by default": r"default|num_blocks|number of|parameter|\b3\b",
        "bias in the stem": BIAS,
        "no norm in the stem": NORM,
        "no ReLU in the stem": RELU,
        "a max pool in the stem": r"pool|stem|grid|size|shape|value",
        "option A": r"project|shortcut|option A|parameter|zero",
        "stage 1 strides": r"strid|stage|grid|size|value",
        "a block less in stage 3": r"block|parameter|stage|number of",
        "no bias in the linear layer": BIAS,
        "pool of 8x8": r"pool|grid|average|size|shape|8",
        "max over the grid": r"max|average|mean|pool",
        "softmax": r"softmax|logit|probab",
        "ReLU on the logits": r"relu|logit|output|negative|activation",
    },
    [
        "option A",
        "pool of 8x8",
        "a max pool in the stem",
        "stage 1 strides",
        "a block less in stage 3",
        "five blocks by default",
        "bias in the stem + no norm in the stem",
        "option A + no ReLU in the stem",
        "softmax + no bias in the linear layer",
        "stage 1 strides + max over the grid + ReLU on the logits",
    ],
)

# Why residual networks work


def step(s: set[str]) -> Callable[..., Tensor]:
    def residual_step(a, w1, b1, w2, b2):
        if "a is rectified" in s:
            a = a.relu()
        z = a @ w1.T
        hidden = z.relu() + b1 if "b1 behind the ReLU" in s else (z + b1).relu()
        if "the hidden layer is linear" in s:
            hidden = z + b1
        out = hidden @ w2.T
        if "b2 forgotten" not in s:
            out = out + b2
        skip = a.detach() if "the skip detached" in s else a
        if "an average of both ways" in s:
            return ((out + skip) / 2).relu()
        if "tanh at the end" in s:
            return (out + skip).tanh()
        if "ReLU before the skip" in s:
            return out.relu() + skip
        return (out + skip).relu()

    return residual_step


slips(
    "identity/residual_step",
    step,
    {
        "a is rectified": r"relu|input|negative|skip|activation",
        "b1 behind the ReLU": BIAS + r"|b1|b_1|relu|order",
        "the hidden layer is linear": RELU,
        "b2 forgotten": BIAS + r"|b2|b_2",
        "the skip detached": GRAD,
        "an average of both ways": r"half|average|mean|sum|add|factor|scale|divi|2",
        "tanh at the end": r"tanh|relu|activation",
        "ReLU before the skip": RELU + r"|before|order|add|skip",
    },
    [
        "a is rectified",
        "b1 behind the ReLU",
        "the skip detached",
        "an average of both ways",
        "the hidden layer is linear + b2 forgotten",
        "ReLU before the skip + b1 behind the ReLU",
        "a is rectified + b2 forgotten + tanh at the end",
    ],
)


@wrong(
    "identity/residual_step",
    "weights not transposed",
    says=r"transpos|shape|\.T\b|\bout, in|weight|error|w1",
    slips=1,
)
def _(a, w1, b1, w2, b2):
    return torch.relu(torch.relu(a @ w1 + b1) @ w2 + b2 + a)


ZEROS = r"gamma|beta|γ|β|bn2|weight|bias|shift|running|mean|zero"


@wrong(
    "identity/make_identity_",
    "the first norm instead of the last",
    says=r"bn2|last|second|first|bn1|bias|beta|β|branch",
    slips=1,
)
def _(block):
    nn.init.zeros_(block.bn1.weight)
    nn.init.zeros_(block.bn1.bias)


@wrong(
    "identity/make_identity_",
    "weights and shift zero, running mean kept",
    says=r"running|mean|eval|gamma|γ|bn2\.weight",
    slips=1,
)
def _(block):
    nn.init.zeros_(block.conv2.weight)
    nn.init.zeros_(block.bn2.bias)


@wrong(
    "identity/make_identity_",
    "a very small gamma",
    says=r"gamma|γ|zero|exact|small|bn2\.weight|weight|differ",
    slips=1,
)
def _(block):
    nn.init.constant_(block.bn2.weight, 1e-2)
    nn.init.zeros_(block.bn2.bias)


@wrong(
    "identity/make_identity_",
    "a layer replaced",
    says=r"layer|replac|keep|kept|bn2|type|module|paramet|identity",
    slips=1,
)
def _(block):
    nn.init.zeros_(block.conv2.weight)
    block.bn2 = nn.Identity()


@wrong(
    "identity/make_identity_",
    "works on a copy",
    says=r"copy|in.?place|itself|unchanged|not changed|return|" + ZEROS,
    slips=1,
)
def _(block):
    import copy

    block = copy.deepcopy(block)
    nn.init.zeros_(block.bn2.weight)
    nn.init.zeros_(block.bn2.bias)
    return block


@wrong(
    "identity/make_identity_",
    "the forward method replaced",
    says=r"forward|layer|keep|paramet|bn2|gamma|γ|beta|zero|parameters may",
    slips=1,
)
def _(block):
    block.forward = lambda x: x


@wrong(
    "identity/make_identity_",
    "gamma kept and the running variance blown up",
    says=all_of(r"gamma|γ|weight|scale|train|mode", r"beta|β|bias|shift"),
    slips=2,
)
def _(block):
    with torch.no_grad():
        block.bn2.running_var.fill_(1e12)
        block.bn2.running_mean.zero_()


def shortcut(s: set[str]) -> Callable[..., Tensor]:
    def pad_shortcut(a, out_channels, stride=1 if "default stride 1" in s else 2):
        step = 2 if "always two" in s else stride
        start = step - 1 if "ends with the last pixel" in s else 0
        if "averages" in s:
            a = F.avg_pool2d(a, step, ceil_mode=True)
        elif "whole windows only" in s:
            height, width = (side // step * step for side in a.shape[2:])
            a = a[:, :, :height:step, :width:step]
        elif "rows only" in s:
            a = a[:, :, ::step]
        else:
            a = a[:, :, start::step, start::step]
        more = out_channels - a.shape[1]
        if "detached" in s:
            a = a.detach()
        if "zeros on both sides" in s:
            return F.pad(a, (0, 0, 0, 0, more // 2, more - more // 2))
        if "zeros in front" in s:
            return F.pad(a, (0, 0, 0, 0, more, 0))
        if "channels repeated" in s:
            return a.repeat(1, -(-out_channels // a.shape[1]), 1, 1)[:, :out_channels]
        if "ones" in s:
            return F.pad(a, (0, 0, 0, 0, 0, more), value=1.0)
        return F.pad(a, (0, 0, 0, 0, 0, more))

    return pad_shortcut


PLACE = r"pad|zero|append|end|front|order|channel|behind|after|both"
slips(
    "identity/pad_shortcut",
    shortcut,
    {
        "default stride 1": r"default|strid|shape",
        "always two": r"strid|shape|2|step",
        "ends with the last pixel": r"first|start|pixel|begin|offset|strid",
        "averages": r"average|pool|mean|pixel|every|strid",
        "whole windows only": r"odd|round|shape|last|up|size",
        "rows only": r"axis|axes|column|width|both|shape",
        "detached": GRAD,
        "zeros on both sides": PLACE,
        "zeros in front": PLACE,
        "channels repeated": r"zero|repeat|channel|copies",
        "ones": r"zero|one|pad|value|channel",
    },
    [
        "zeros on both sides",
        "whole windows only",
        "ends with the last pixel",
        "always two",
        "detached",
        "averages + zeros in front",
        "channels repeated + default stride 1",
        "always two + ones",
        "ends with the last pixel + zeros on both sides + default stride 1",
    ],
)


def inert(s: set[str]) -> Callable[..., list[int]]:
    def inert_blocks(blocks, a, tolerance=1e-6):
        found, first = [], a
        with torch.no_grad():
            for index, block in enumerate(blocks, start=int("counted from 1" in s)):
                received = first if "each gets the first input" in s else a
                out = block(received)
                compared = first if "compared with the first input" in s else received
                if "channels compared, not the grid" in s:
                    fits = out.shape[:2] == compared.shape[:2]
                else:
                    fits = out.shape == compared.shape
                if fits:
                    gap = out - compared
                    if "relative to the size" in s:
                        gap = gap / (compared.abs().max() + 1e-12)
                    gap = gap.max() if "sign kept" in s else gap.abs().max()
                    if "the mean" in s:
                        gap = (out - compared).abs().mean()
                    if gap.item() < tolerance or ("below only" not in s and gap.item() == tolerance):
                        found.append(index)
                    elif "stops at the first active one" in s:
                        break
                a = out
        return [n in found for n in range(len(blocks))] if "flags" in s else found

    return inert_blocks


slips(
    "identity/inert_blocks",
    inert,
    {
        "counted from 1": r"index|indices|count|from 0|start",
        "each gets the first input": r"receiv|input|before|previous|one after|output of",
        "compared with the first input": r"receiv|input|before|previous|compar",
        "channels compared, not the grid": r"shape|broadcast|grid|error|size",
        "relative to the size": r"relative|absolute|divi|scale|tolerance",
        "sign kept": r"abs|sign|negative",
        "the mean": r"mean|average|max|largest|every",
        "below only": r"at most|equal|<=|≤|tolerance|exact|zero",
        "stops at the first active one": r"later|stop|break|all|missing|first|index|indices",
        "flags": r"index|indices|bool|list of int|True|False",
    },
    [
        "channels compared, not the grid",
        "sign kept",
        "below only",
        "stops at the first active one",
        "relative to the size",
        "compared with the first input",
        "the mean + counted from 1",
        "each gets the first input + sign kept",
        "flags + the mean + below only",
    ],
)


def rezero(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, features, hidden):
            super().__init__()
            self.linear1 = nn.Linear(features, hidden)
            self.linear2 = nn.Linear(hidden, features)
            many = features if "a factor for each feature" in s else 1
            start = torch.ones(many) if "the factor starts at one" in s else torch.zeros(many)
            if "the factor is not trained" in s:
                self.register_buffer("scale", start)
            else:
                self.scale = nn.Parameter(start)

        def forward(self, a):
            branch = self.linear1(a).relu()
            branch = self.linear2(branch)
            if "the branch is rectified" in s:
                branch = branch.relu()
            if "the factor on the sum" in s:
                out = self.scale * (a + branch)
            elif "the factor on the skip" in s:
                out = self.scale * a + branch
            elif "a gate" in s:
                out = (1 - self.scale) * a + self.scale * branch
            else:
                out = a + self.scale * branch
            return out if "no ReLU behind the sum" in s else out.relu()

    return Block


slips(
    "identity/repaired_block",
    rezero,
    {
        "a factor for each feature": r"one (number|factor|learnable)|parameter|scale|each|shape",
        "the factor starts at one": r"start|zero|init|scale|factor|identity|fresh",
        "the factor is not trained": r"parameter|buffer|train|grad|scale",
        "the branch is rectified": RELU + r"|branch",
        "the factor on the sum": r"scale|factor|sum|skip|branch|\bs\b",
        "the factor on the skip": r"scale|factor|sum|skip|branch|\bs\b",
        "a gate": r"scale|factor|skip|1 ?-|\bs\b|branch",
        "no ReLU behind the sum": RELU,
    },
    [
        "a factor for each feature",
        "the factor starts at one",
        "the branch is rectified",
        "the factor on the skip",
        "a gate",
        "no ReLU behind the sum",
        "the factor on the sum + the factor is not trained",
        "the branch is rectified + the factor starts at one",
    ],
)

# MobileNet

numbers(
    "mobilenet/separable_macs",
    "in_channels, out_channels, kernel, height, width",
    (
        "the filter for each output channel",
        "(kernel**2 * out_channels + in_channels * out_channels) * height * width",
        r"depthwise|in_channels|input",
        1,
    ),
    (
        "the pointwise step once",
        "kernel**2 * in_channels * height * width + in_channels * out_channels",
        r"pointwise|grid|position|height|1x1|1×1",
        1,
    ),
    (
        "the steps multiplied",
        "kernel**2 * in_channels * in_channels * out_channels * height * width",
        r"sum|add|product|multipl|plus",
        1,
    ),
    (
        "a line of the kernel, twice everything",
        "2 * (kernel * in_channels + in_channels * out_channels) * height * width",
        all_of(KERNEL, r"twice|two|2|double|addition|flop"),
        2,
    ),
)
numbers(
    "mobilenet/separable_ratio",
    "out_channels, kernel",
    ("the saving", "1 - 1 / out_channels - 1 / kernel**2", r"left|saved|saving|1 ?-|ratio|divi", 1),
    (
        "how many times cheaper",
        "kernel**2 * out_channels / (kernel**2 + out_channels)",
        r"invers|reciprocal|upside|divi|ratio|1 ?/",
        1,
    ),
    (
        "rounded to per cents",
        "round(1 / out_channels + 1 / kernel**2, 2)",
        r"round|digit|exact|precis|decimal",
        1,
    ),
    (
        "a kernel that is a line, in per cent",
        "100 * (1 / out_channels + 1 / kernel)",
        all_of(KERNEL, r"percent|per cent|100|%"),
        2,
    ),
)


def depthwise(s: set[str]) -> Callable[..., Tensor]:
    def depthwise_conv(x, weight):
        k = weight.shape[-1]
        if "always three" in s:
            k = 3
        h, w = x.shape[2:]
        p = [k // 2] * 4
        if "wraps around" in s:
            padded = F.pad(x, p, mode="circular")
        elif "borders repeated" in s:
            padded = F.pad(x, p, mode="replicate")
        elif "padding at the far ends" in s:
            padded = F.pad(x, [0, k - 1, 0, k - 1])
        else:
            padded = F.pad(x, p)
        if "filters turned" in s:
            weight = weight.flip(-1, -2)
        if "rows and columns of the filter exchanged" in s:
            weight = weight.transpose(-1, -2)
        if "filters detached" in s:
            weight = weight.detach()
        result = 0
        for u in range(k):
            for v in range(k):
                w_uv = weight[:, 0, u, v].view(-1, 1, 1)
                if "the first filter for all" in s:
                    w_uv = weight[0, 0, u, v]
                result = result + w_uv * padded[:, :, u : u + h, v : v + w]
        if "divided by the pixels" in s:
            result = result / (k * k)
        if "summed over channels" in s:
            result = result.sum(1, keepdim=True).expand_as(x)
        return result

    return depthwise_conv


slips(
    "mobilenet/depthwise_conv",
    depthwise,
    {
        "always three": r"kernel|size|\bk\b|3|5",
        "wraps around": r"pad|zero|border|edge|circular|wrap",
        "borders repeated": r"pad|zero|border|edge|replicate",
        "padding at the far ends": r"pad|shift|side|border|centre|center|offset|pixel",
        "filters turned": r"flip|turn|mirror|rotat|revers",
        "rows and columns of the filter exchanged": r"transpos|exchang|swap|row|column|axis|axes|turn|u and v",
        "filters detached": GRAD,
        "the first filter for all": r"own|filter|channel|each|same",
        "divided by the pixels": r"mean|average|sum|divi|factor",
        "summed over channels": r"sum|channel|mix",
    },
    [
        "wraps around",
        "padding at the far ends",
        "rows and columns of the filter exchanged",
        "filters detached",
        "the first filter for all",
        "always three",
        "filters turned + borders repeated",
        "divided by the pixels + padding at the far ends",
        "summed over channels + filters turned + wraps around",
    ],
)


def separable(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            m, n = in_channels, out_channels
            self.uneven = "TensorFlow's padding" in s and stride == 2
            padding = 0 if self.uneven else 1
            early, late = (1, stride) if "stride on the pointwise" in s else (stride, 1)
            self.depthwise = nn.Conv2d(
                m,
                m,
                3,
                early,
                padding,
                groups=1 if "no groups" in s else m,
                bias="bias in the depthwise" in s,
            )
            self.bn1 = norm_of(s, m)
            self.pointwise = nn.Conv2d(m, n, 1, late, bias="bias in the pointwise" in s)
            self.bn2 = norm_of(s, n)
            self.add = "a residual" in s and stride == 1 and m == n

        def act(self, x):
            return F.relu6(x) if "ReLU6" in s else F.relu(x)

        def forward(self, x):
            height, width = x.shape[2:]
            y = F.pad(x, (width % 2, 1, height % 2, 1)) if self.uneven else x
            y = self.depthwise(y)
            if "nothing in between" not in s:
                y = self.bn1(y) if "no ReLU in between" in s else self.act(self.bn1(y))
            y = self.bn2(self.pointwise(y))
            if "linear at the end" not in s:
                y = self.act(y)
            return x + y if self.add else y

    return Block


SEPARABLE = NORMS | {
    "TensorFlow's padding": r"pad|border|edge|shift|asymm|side|strid|pixel",
    "stride on the pointwise": STRIDE + r"|pointwise|1x1|1×1",
    "no groups": r"group|depthwise|parameter",
    "bias in the depthwise": BIAS,
    "bias in the pointwise": BIAS,
    "a residual": SKIP,
    "ReLU6": r"relu6|relu|six|\b6\b|clip|activation",
    "no ReLU in between": RELU,
    "nothing in between": NORM + r"|between|relu|unused|grad",
    "linear at the end": RELU,
}
slips(
    "mobilenet/separable_conv",
    separable,
    SEPARABLE,
    [
        "TensorFlow's padding",
        "eps 1e-3",
        "no ReLU in between",
        "a residual",
        "no groups",
        "cumulative averages",
        "bias in the depthwise + ReLU6",
        "stride on the pointwise + linear at the end",
        "TensorFlow's padding + eps 1e-3",
        "ReLU6 + linear at the end + a residual",
        "bias in the pointwise + stride on the pointwise + momentum 0.9",
    ],
)
slips(
    "mobilenet/repaired_block",
    separable,
    SEPARABLE,
    [
        "stride on the pointwise",
        "bias in the pointwise",
        "bias in the depthwise",
        "TensorFlow's padding",
        "stride on the pointwise + bias in the depthwise",
        "bias in the pointwise + ReLU6",
    ],
)

# MobileNetV2


def inverted(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(
            self, in_channels, out_channels, stride=1, expansion=4 if "expansion 4 by default" in s else 6
        ):
            super().__init__()
            m, n = in_channels, out_channels
            wide = expansion * (n if "width from the output" in s else m)
            if "width in eights" in s:
                wide = max(8, (wide + 4) // 8 * 8)
            skipped = expansion == 1 and "expands by 1 as well" not in s and wide == m
            early, late = (stride, 1) if "stride on the expansion" in s and not skipped else (1, stride)
            self.expand = None
            if not skipped:
                self.expand = nn.ModuleList([nn.Conv2d(m, wide, 1, early, bias=False), norm_of(s, wide)])
            self.filter = nn.ModuleList(
                [nn.Conv2d(wide, wide, 3, late, 1, groups=wide, bias=False), norm_of(s, wide)]
            )
            bias = "bias in the projection" in s
            self.project = nn.ModuleList([nn.Conv2d(wide, n, 1, bias=bias), norm_of(s, n)])
            if "one norm for both wide tensors" in s and not skipped:
                self.filter[1] = self.expand[1]
            self.fits = stride == 1 and m == n
            if "no residual" in s:
                self.fits = False
            self.fit = None
            if "a projection shortcut" in s and not self.fits:
                self.fit = nn.Sequential(nn.Conv2d(m, n, 1, stride, bias=False), norm_of(s, n))

        def act(self, x):
            if "ReLU" in s:
                return x.relu()
            return F.hardswish(x) if "hard swish" in s else F.relu6(x)

        def forward(self, x):
            y = x
            for pair in (self.expand, self.filter):
                if pair is None:
                    continue
                y = pair[1](pair[0](y))
                if not ("expansion is linear" in s and pair is self.expand):
                    y = self.act(y)
            y = self.project[1](self.project[0](y))
            if "activation behind the projection" in s:
                y = self.act(y)
            if self.fit is not None:
                return y + self.fit(x)
            if self.fits:
                if "residual from the activated input" in s:
                    x = self.act(x)
                y = x + y
            return self.act(y) if "activation behind the sum" in s else y

    return Block


LINEAR = r"linear|relu|activation|behind|after|negative|project"
INVERTED = NORMS | {
    "expansion 4 by default": r"default|expansion|6|parameter",
    "width from the output": r"width|hidden|in_channels|input|channels|parameter",
    "width in eights": r"round|eight|multiple|8|width|hidden|parameter|channels",
    "expands by 1 as well": r"expan|parameter|1",
    "stride on the expansion": STRIDE + r"|depthwise",
    "bias in the projection": BIAS,
    "one norm for both wide tensors": SHARED + r"|running|norm",
    "no residual": SKIP,
    "a projection shortcut": r"project|shortcut|residual|parameter",
    "ReLU": r"relu6|\b6\b|six|clip|relu|activation",
    "hard swish": r"relu6|swish|activation|relu",
    "expansion is linear": r"relu|activation|expan|linear",
    "activation behind the projection": LINEAR,
    "residual from the activated input": r"relu|activation|residual|input|shortcut|skip",
    "activation behind the sum": LINEAR + r"|sum|addition",
}
slips(
    "mobilenet_v2/inverted_residual",
    inverted,
    INVERTED,
    [
        "width in eights",
        "one norm for both wide tensors",
        "residual from the activated input",
        "a projection shortcut",
        "stride on the expansion",
        "expansion 4 by default",
        "activation behind the sum",
        "norms without gamma and beta",
        "expands by 1 as well + activation behind the projection",
        "ReLU + no residual",
        "hard swish + eps 1e-3",
        "width from the output + bias in the projection",
        "expansion is linear + activation behind the sum + expands by 1 as well",
        "hard swish + momentum 0.9 + bias in the projection",
    ],
)
slips(
    "mobilenet_v2/repaired_block",
    inverted,
    INVERTED,
    [
        "activation behind the projection",
        "activation behind the sum",
        "residual from the activated input",
        "no residual + expansion is linear",
        "activation behind the projection + ReLU",
    ],
)


@wrong(
    "mobilenet_v2/repaired_block",
    "the wide ends are still joined",
    says=r"residual|wide|expand|x\b|narrow|input|skip",
    slips=1,
)
class _(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        wide = expansion * in_channels
        self.expand = ConvNorm(in_channels, wide) if expansion != 1 else nn.Identity()
        self.filter = ConvNorm(wide, wide, 3, stride, wide)
        self.project = ConvNorm(wide, out_channels, act=None)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x):
        x = self.expand(x)
        out = self.filter(x)
        return self.project(out + x if self.residual else out)


def v2_macs(s: set[str]) -> Callable[..., int]:
    def inverted_residual_macs(in_channels, out_channels, height, width, stride=1, expansion=6):
        m, n = in_channels, out_channels
        hidden = expansion * (n if "width from the output" in s else m)
        before = height * width
        after = -(-height // stride) * -(-width // stride)
        if "sides rounded down" in s:
            after = (height // stride) * (width // stride)
        if "the area is divided" in s:
            after = -(-before // stride**2)
        if "one axis strided" in s:
            after = height * -(-width // stride)
        expand = m * hidden * (after if "expansion on the small grid" in s else before)
        if expansion == 1 and "expansion 1 counted" not in s:
            expand = 0
        filtered = 9 * hidden * (before if "depthwise on the large grid" in s else after)
        if "the depthwise mixes" in s:
            filtered *= hidden
        total = expand + filtered + hidden * n * after
        if "the addition counted" in s and stride == 1 and m == n:
            total += n * after
        return total / 1 if "a float" in s else total

    return inverted_residual_macs


slips(
    "mobilenet_v2/inverted_residual_macs",
    v2_macs,
    {
        "width from the output": r"width|hidden|in_channels|input|channel",
        "sides rounded down": r"round|odd|ceil|up|7",
        "the area is divided": r"round|odd|ceil|side|area|each",
        "one axis strided": r"strid|both|height|side|grid",
        "expansion on the small grid": r"expan|grid|input",
        "expansion 1 counted": r"expan|1",
        "depthwise on the large grid": r"depthwise|grid|output",
        "the depthwise mixes": r"depthwise|group|channel|filter",
        "the addition counted": r"addition|residual|add|count",
        "a float": FLOAT,
    },
    [
        "the area is divided",
        "one axis strided",
        "depthwise on the large grid",
        "the addition counted",
        "the depthwise mixes",
        "sides rounded down + expansion 1 counted",
        "expansion on the small grid + a float",
        "width from the output + the addition counted + sides rounded down",
    ],
)

# EfficientNet

numbers(
    "efficientnet/compound_scaling",
    "phi, alpha=1.2, beta=1.1, gamma=1.15",
    ("width before depth", "(beta**phi, alpha**phi, gamma**phi)", r"order|depth|swap|width|first", 1),
    (
        "whole steps only",
        "(alpha ** int(phi), beta ** int(phi), gamma ** int(phi))",
        r"int|whole|fraction|phi|round",
        1,
    ),
    (
        "linear in phi",
        "(1 + (alpha - 1) * phi, 1 + (beta - 1) * phi, 1 + (gamma - 1) * phi)",
        r"power|expon|linear|phi|\*\*",
        1,
    ),
    (
        "multiplied, resolution before width",
        "(alpha * phi, gamma * phi, beta * phi)",
        all_of(r"power|expon|multipl|times|phi|\*\*", r"order|swap|second|third|width|resolution"),
        2,
    ),
)
numbers(
    "efficientnet/compound_scaling",
    "phi, alpha=1.2, beta=1.15, gamma=1.1",
    ("two defaults exchanged", "(alpha**phi, beta**phi, gamma**phi)", r"default|beta|gamma|1\.1", 1),
)
numbers(
    "efficientnet/flops_growth",
    "phi, alpha=1.2, beta=1.1, gamma=1.15",
    ("always two", "2.0**phi", r"alpha|beta|gamma|2|close|about|approx|argument", 1),
    ("width once", "(alpha * beta * gamma**2) ** phi", r"width|beta|twice|square", 1),
    (
        "phi in one factor only",
        "alpha * beta**2 * gamma**2**phi",
        r"phi|power|exponent|bracket|paren|product|all",
        1,
    ),
    (
        "depth squared as well, resolution once",
        "(alpha**2 * beta**2 * gamma) ** phi",
        all_of(r"depth|alpha", r"resolution|gamma|pixel"),
        2,
    ),
)


def channels(s: set[str]) -> Callable[..., int]:
    def round_channels(channels, width, divisor=16 if "default divisor 16" in s else 8):
        wanted = channels * width
        eight = 8 if "always eight" in s else divisor
        if "half to even" in s:
            rounded = round(wanted / eight) * eight
        elif "rounded up" in s:
            rounded = math.ceil(wanted / eight) * eight
        else:
            rounded = int(wanted + eight / 2) // eight * eight
        if "no least value" not in s:
            rounded = max(eight, rounded)
        limit = channels if "90 % of the unscaled channels" in s else wanted
        share = 0.8 if "80 %" in s else 0.9
        if "no 90 % rule" not in s and rounded < share * limit:
            rounded += eight
        if "never below the unscaled channels" in s:
            rounded = max(rounded, channels)
        return rounded

    return round_channels


slips(
    "efficientnet/round_channels",
    channels,
    {
        "default divisor 16": r"default|divisor|16",
        "always eight": r"divisor|8",
        "half to even": r"half|even|round|nearest",
        "rounded up": r"nearest|round|up|ceil",
        "no least value": r"least|divisor|minimum|max|0|zero|small",
        "90 % of the unscaled channels": r"90|0\.9|width|product|channels|share",
        "80 %": r"90|0\.9|0\.8",
        "no 90 % rule": r"90|0\.9|rule|less than",
        "never below the unscaled channels": r"least|below|less|channels|width|small|max",
    },
    [
        "90 % of the unscaled channels",
        "half to even",
        "never below the unscaled channels",
        "80 %",
        "always eight",
        "rounded up",
        "no least value + half to even",
        "no 90 % rule + default divisor 16",
        "always eight + no 90 % rule + half to even",
    ],
)
numbers(
    "efficientnet/round_repeats",
    "repeats, depth",
    ("one more than the floor", "int(repeats * depth) + 1", r"whole|stays|exact|integer|ceil|\+ ?1|one", 1),
    ("depth rounded up", "repeats * math.ceil(depth)", r"product|depth|before|order|multipl|first", 1),
    ("half up", "int(repeats * depth + 0.5)", r"up|ceil|round", 1),
    ("down, as a float", "float(math.floor(repeats * depth))", all_of(r"up|ceil|round", FLOAT), 2),
)


def gate(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(self, channels, squeezed):
            super().__init__()
            bias = "without biases" not in s
            self.down = nn.Conv2d(channels, squeezed, 1, bias=bias)
            self.up = nn.Conv2d(squeezed, channels, 1, bias=bias)

        def average(self, x):
            if "the largest value" in s:
                return F.adaptive_max_pool2d(x, 1)
            if "over the batch as well" in s or ("over the batch in training" in s and self.training):
                return x.mean((0, 2, 3), keepdim=True)
            if "a gate at each pixel" in s:
                return x
            if "a gate for each row" in s:
                return x.mean(3, keepdim=True)
            if "the sum" in s:
                return x.sum((2, 3), keepdim=True)
            if "the average detached" in s:
                return x.mean((2, 3), keepdim=True).detach()
            return x.mean((2, 3), keepdim=True)

        def forward(self, x):
            z = self.down(self.average(x))
            z = z.relu() if "ReLU" in s else z.sigmoid() if "SiLU without z" in s else F.silu(z)
            z = self.up(z)
            if "SiLU behind both" in s:
                z = F.silu(z)
            if "hard sigmoid" in s:
                g = F.hardsigmoid(z)
            elif "softmax over the channels" in s:
                g = z.softmax(1)
            else:
                g = z.sigmoid()
            if "one minus" in s:
                g = 1 - g
            if "x overwritten" in s:
                return x.mul_(g)
            if "the gate is added" in s:
                return x + g
            return x + x * g if "with a residual" in s else x * g

    return Block


GATE = {
    "without biases": BIAS,
    "the largest value": r"max|average|mean",
    "over the batch as well": r"batch|image|average|mean",
    "over the batch in training": r"batch|image|average|mean|train|mode",
    "a gate at each pixel": r"average|pixel|grid|mean|squeeze|pool",
    "a gate for each row": r"average|row|width|grid|mean|pool|pixel|axis|axes",
    "the sum": r"sum|average|mean",
    "the average detached": GRAD,
    "ReLU": r"relu|silu|swish|activation",
    "SiLU without z": r"silu|sigmoid|swish|activation",
    "SiLU behind both": r"silu|sigmoid|second|activation|gate|before",
    "hard sigmoid": r"sigmoid|gate|hard",
    "softmax over the channels": r"softmax|sigmoid|gate",
    "one minus": r"gate|1 ?-|invers|sign|complement|sigmoid|negat",
    "x overwritten": r"in.?place|overwr|modif|chang|input",
    "the gate is added": r"multipl|add|product|sum|times|gate",
    "with a residual": SKIP + r"|gate|twice",
}
slips(
    "efficientnet/squeeze_excite",
    gate,
    GATE,
    [
        "a gate for each row",
        "the average detached",
        "SiLU behind both",
        "hard sigmoid",
        "softmax over the channels",
        "the sum",
        "over the batch in training",
        "ReLU + without biases",
        "the largest value + with a residual",
        "SiLU without z + the gate is added",
        "ReLU + without biases + hard sigmoid",
    ],
)
slips(
    "efficientnet/repaired_gate",
    gate,
    GATE,
    [
        "over the batch in training",
        "a gate at each pixel",
        "over the batch as well",
        "the largest value",
        "the average detached",
        "a gate for each row + with a residual",
        "the sum + ReLU",
    ],
)


def mbconv(s: set[str]) -> type:
    class Block(nn.Module):
        def __init__(
            self,
            in_channels,
            out_channels,
            kernel_size=5 if "5x5 by default" in s else 3,
            stride=1,
            expansion=6,
        ):
            super().__init__()
            m, n, k, wide = in_channels, out_channels, kernel_size, expansion * in_channels

            def norm(c):
                eps = 1e-5 if "default eps" in s else 1e-3
                return nn.BatchNorm2d(
                    c,
                    eps=eps,
                    momentum=0.99 if "momentum 0.99" in s else 0.1 if "default momentum" in s else 0.01,
                )

            def act():
                return nn.ReLU6() if "ReLU6" in s else nn.SiLU()

            squeezed = wide // 4 if "a quarter of the expanded channels" in s else m // 4
            if "no least squeeze" not in s:
                squeezed = max(1, squeezed)
            if "squeezes to at least 8" in s:
                squeezed = max(8, squeezed)
            padding = 1 if "padding always 1" in s else k // 2
            self.far = k - 1 if "TensorFlow's padding" in s and stride == 2 else 0
            if self.far:
                padding = 0
            first = [nn.Conv2d(m, wide, 1, bias=False), norm(wide), act()]
            if expansion == 1 and "expands by 1 as well" not in s:
                first = []
            deep = [nn.Conv2d(wide, wide, k, stride, padding, groups=wide, bias=False), norm(wide), act()]
            last = [nn.Conv2d(wide, n, 1, bias=False), norm(n)]
            if "activation behind the projection" in s:
                last.append(act())
            inner = gate(
                {"ReLU"}
                if "ReLU in the gate" in s
                else {"hard sigmoid"}
                if "hard sigmoid in the gate" in s
                else set()
            )
            if "the gate in front of the depthwise" in s:
                deep.insert(0, inner(wide, squeezed))
            elif "the gate before the activation" in s:
                deep.insert(2, inner(wide, squeezed))
            elif "the gate behind the projection" in s:
                last.append(inner(n, squeezed))
            elif "no gate" not in s:
                deep.append(inner(wide, squeezed))
            self.first, self.deep, self.last = (
                nn.Sequential(*first),
                nn.Sequential(*deep),
                nn.Sequential(*last),
            )
            self.fits = stride == 1 and m == n and "no residual" not in s

        def forward(self, x):
            y = self.first(x)
            if self.far:
                low = self.far // 2 if x.shape[-1] % 2 else (self.far - 1) // 2
                y = F.pad(y, (low, self.far - low, low, self.far - low))
            y = self.last(self.deep(y))
            if "drop connect inside" in s and self.fits and self.training:
                y = y * (torch.rand(len(y), 1, 1, 1, device=y.device) >= 0.2) / 0.8
            return x + y if self.fits else y

    return Block


MBCONV = {
    "5x5 by default": r"default|kernel|parameter|3",
    "default eps": r"eps",
    "momentum 0.99": r"momentum|running",
    "default momentum": r"momentum|running",
    "ReLU6": r"relu6|silu|swish|activation",
    "a quarter of the expanded channels": r"squeez|quarter|in_channels|gate|parameter|input",
    "no least squeeze": r"squeez|least|at least 1|quarter|0|gate|parameter|in_channels",
    "squeezes to at least 8": r"squeez|quarter|gate|parameter|in_channels|8",
    "padding always 1": r"pad|kernel|5x5|5×5|shape|size",
    "TensorFlow's padding": r"pad|border|edge|shift|asymm|side|strid|pixel",
    "expands by 1 as well": r"expan|parameter",
    "activation behind the projection": LINEAR + r"|silu",
    "ReLU in the gate": r"gate|squeeze|relu|silu|activation",
    "hard sigmoid in the gate": r"gate|squeeze|sigmoid|hard",
    "the gate in front of the depthwise": r"gate|squeeze|order|depthwise|before|after",
    "the gate before the activation": r"gate|squeeze|order|silu|activation|before|after",
    "the gate behind the projection": r"gate|squeeze|order|project|before|after|parameter",
    "no gate": r"gate|squeeze|excit|parameter",
    "no residual": SKIP,
    "drop connect inside": r"drop|random|train",
}
slips(
    "efficientnet/mbconv",
    mbconv,
    MBCONV,
    [
        "the gate before the activation",
        "TensorFlow's padding",
        "no least squeeze",
        "squeezes to at least 8",
        "hard sigmoid in the gate",
        "drop connect inside",
        "padding always 1",
        "5x5 by default",
        "a quarter of the expanded channels + ReLU in the gate",
        "default eps + default momentum",
        "the gate behind the projection + momentum 0.99",
        "expands by 1 as well + activation behind the projection",
        "ReLU6 + no gate + no residual",
        "default eps + momentum 0.99 + the gate in front of the depthwise",
    ],
)


def drop(s: set[str]) -> Callable[..., Tensor]:
    def drop_connect(x, drop_rate, training):
        if not training and "in evaluation as well" not in s:
            return x * (1 - drop_rate) if "scaled in evaluation instead" in s else x
        if "a fixed seed" in s:
            torch.manual_seed(0)
        shape = [len(x), 1, 1, 1]
        if "each number by itself" in s:
            shape = list(x.shape)
        if "whole channels" in s:
            shape[1] = x.shape[1]
        if "the whole batch at once" in s:
            shape = [1, 1, 1, 1]
        noise = torch.randn(shape) if "normal numbers" in s else torch.rand(shape)
        kept = noise < drop_rate if "rate and its rest exchanged" in s else noise >= drop_rate
        if "always the first images" in s:
            kept = (torch.arange(len(x)) >= round(drop_rate * len(x))).view(-1, 1, 1, 1)
        if "x overwritten" in s:
            return x.mul_(kept).div_(1 - drop_rate)
        y = x * kept
        if "not scaled" in s or "scaled in evaluation instead" in s:
            return y
        return y * (1 + drop_rate) if "multiplied by one plus the rate" in s else y / (1 - drop_rate)

    return drop_connect


slips(
    "efficientnet/drop_connect",
    drop,
    {
        "in evaluation as well": r"training|eval|mode|outside",
        "scaled in evaluation instead": r"training|eval|scale|divi|expect|mode|1 ?-",
        "a fixed seed": r"seed|random|same|draw|fresh|again|global|state",
        "each number by itself": r"sample|image|whole|single|each|element|pixel|together",
        "whole channels": r"sample|image|whole|channel|together",
        "the whole batch at once": r"sample|image|batch|own|together",
        "normal numbers": r"often|probab|rate|uniform|randn|normal|share|drop",
        "rate and its rest exchanged": r"often|probab|rate|exchang|kept|invert|share|revers",
        "always the first images": r"random|draw|same|first|independ",
        "x overwritten": r"in.?place|overwr|modif|chang|left as|input|itself",
        "not scaled": r"scale|divi|expect|multipl|1 ?-|factor",
        "multiplied by one plus the rate": r"scale|divi|expect|multipl|1 ?-|factor",
    },
    [
        "a fixed seed",
        "normal numbers",
        "always the first images",
        "multiplied by one plus the rate",
        "x overwritten",
        "scaled in evaluation instead",
        "whole channels + in evaluation as well",
        "each number by itself + not scaled",
        "the whole batch at once + rate and its rest exchanged",
        "each number by itself + not scaled + in evaluation as well",
    ],
)

WRONG = wrong.answers
ANSWERS = RIGHT + WRONG
