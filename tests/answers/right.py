"""Right answers in odd styles: each computes what is asked for, and none of them as the book does."""

from __future__ import annotations

import functools
import itertools
import math
from collections import OrderedDict
from fractions import Fraction  # noqa: F401 (in formulas)
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Answer, Table, function
from .kit import (
    BN,
    Apply,
    basic,
    bn,
    bottleneck,
    cifar,
    conv,
    deep,
    features,
    gate,
    head,
    inception,
    inverted,
    layer,
    lenet,
    mbconv,
    nin,
    reduction,
    separable,
    shortcut,
    stage_of,
    vgg,
)

TABLE = Table()
ANSWERS: list[Answer] = TABLE.answers


def formula(arguments: str) -> Any:
    return lambda body: function(arguments, body, globals())


def to(part: str) -> Any:
    """What adds right answers to a part."""
    return lambda label, answer=None: TABLE(part, label, answer)


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(shape) * 0.2)


# Layers in other forms


class HandNorm(nn.Module):
    """Batch norm from means and variances; `square` computes the variance as E[x^2] - E[x]^2."""

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1, shape: str = "flat") -> None:
        super().__init__()
        size = (channels,) if shape == "flat" else (1, channels, 1, 1)
        self.gamma, self.beta = nn.Parameter(torch.ones(size)), nn.Parameter(torch.zeros(size))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("var", torch.ones(size))
        self.eps, self.momentum = eps, momentum

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.mean, self.var
        if self.training:
            mean = x.mean((0, 2, 3)).view_as(mean)
            var = x.var((0, 2, 3), unbiased=False).view_as(var)
            n = x.numel() / x.shape[1]
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.var.lerp_(var * n / (n - 1), self.momentum)
        column = (1, -1, 1, 1)
        scale = self.gamma / torch.sqrt(var + self.eps)
        return x * scale.view(column) + (self.beta - mean * scale).view(column)


class UnfoldConv(nn.Module):
    """A convolution as one product of matrices."""

    def __init__(self, i: int, o: int, k: int, s: int = 1, p: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.w = weight(o, i * k * k)
        self.b = weight(o) if bias else None
        self.k, self.s, self.p = k, s, p

    def forward(self, x: Tensor) -> Tensor:
        rows = ((n + 2 * self.p - self.k) // self.s + 1 for n in x.shape[2:])
        y = self.w @ F.unfold(x, self.k, padding=self.p, stride=self.s)
        y = y if self.b is None else y + self.b[:, None]
        return y.unflatten(2, tuple(rows))


class ShiftConv(nn.Module):
    """A convolution as a sum of shifted 1x1s. The kernel's axes come first."""

    def __init__(self, i: int, o: int, k: int, s: int = 1, p: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.w = weight(k, k, i, o)
        self.b = weight(o, 1, 1) if bias else 0
        self.k, self.s, self.p = k, s, p

    def forward(self, x: Tensor) -> Tensor:
        height, width = ((n + 2 * self.p - self.k) // self.s for n in x.shape[2:])
        x, s, total = F.pad(x, [self.p] * 4), self.s, self.b
        for u, v in itertools.product(range(self.k), repeat=2):
            met = x[:, :, u : u + height * s + 1 : s, v : v + width * s + 1 : s]
            total = total + torch.tensordot(met, self.w[u, v], dims=([1], [0])).movedim(-1, 1)
        return total


class Mix(nn.Module):
    """A 1x1 convolution by einsum, with a weight (in, out)."""

    def __init__(self, i: int, o: int, s: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.mixing, self.s = weight(i, o), s
        self.shift = weight(o) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("bihw,io->bohw", x[:, :, :: self.s, :: self.s], self.mixing)
        return y if self.shift is None else y + self.shift[None, :, None, None]


class PerChannel(nn.Module):
    """A depthwise convolution by windows."""

    def __init__(self, channels: int, k: int = 3, s: int = 1) -> None:
        super().__init__()
        self.filters, self.s = weight(channels, k, k), s

    def forward(self, x: Tensor) -> Tensor:
        k = self.filters.shape[-1]
        windows = F.pad(x, [k // 2] * 4).unfold(2, k, self.s).unfold(3, k, self.s)
        return (windows * self.filters[:, None, None]).sum((-1, -2))


class Transposed(nn.Module):
    """A linear layer whose weight is (in, out)."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.matrix, self.offset = weight(i, o), weight(o)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.offset, x, self.matrix)


def where(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, torch.zeros_like(x))


def half(x: Tensor) -> Tensor:
    return (x + x.abs()) / 2


def unfolded(k: int) -> Any:
    return lambda i, o, s=1: UnfoldConv(i, o, k, s, k // 2, bias=False)


def shifted(k: int) -> Any:
    return lambda i, o, s=1: ShiftConv(i, o, k, s, k // 2, bias=False)


def mixed(i: int, o: int, s: int) -> nn.Module:
    return nn.Sequential(Mix(i, o, s), BN(o))


# ---------------------------------------------------------------------------------------------- lenet

right = to("lenet/conv_output_size")
f = formula("size, kernel, stride=1, padding=0")
right("places counted", f("len(range(0, size + 2 * padding - kernel + 1, stride))"))
right("divmod", f("divmod(size + 2 * padding - kernel, stride)[0] + 1"))
right("the one inside", f("(size + padding + padding - kernel + stride) // stride"))
right("floor", f("1 + math.floor((size + 2 * padding - kernel) / stride)"))
right("cut off by int", f("int((size - kernel + 2 * padding) / stride) + 1"))
right("rounded up from the end", f("-(-(size + 2 * padding - (kernel - 1)) // stride)"))
right(
    "asked of PyTorch",
    f(
        "F.conv2d(torch.empty(1, 1, size, size, device='meta'), "
        "torch.empty(1, 1, kernel, kernel, device='meta'), None, stride, padding).shape[-1]"
    ),
)
right("as a fraction", f("Fraction(size + 2 * padding - kernel, stride).__floor__() + 1"))
right("remembered", functools.cache(f("(size + 2 * padding - kernel) // stride + 1")))


@right("a loop")
def conv_output_size(size, kernel, stride=1, padding=0):
    places, left = 0, -padding
    while left + kernel <= size + padding:
        places, left = places + 1, left + stride
    return places


right = to("lenet/conv_parameters")
f = formula("in_channels, out_channels, kernel, bias=True")
right("bool as a number", f("out_channels * (kernel * kernel * in_channels + bool(bias))"))
right("a product", f("math.prod((out_channels, in_channels, kernel, kernel)) + bias * out_channels"))
right(
    "asked of PyTorch",
    f(
        "sum(p.numel() for p in nn.Conv2d(in_channels, out_channels, kernel, bias=bias, "
        "device='meta').parameters())"
    ),
)
right(
    "a sum over filters", f("sum(in_channels * kernel**2 + (1 if bias else 0) for _ in range(out_channels))")
)

right = to("lenet/lenet5")
right("tanh from the sigmoid", lenet(act=layer(lambda x: 2 * torch.sigmoid(2 * x) - 1)))
right(
    "pooling by reshape",
    lenet(pool=layer(lambda x: x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).mean((3, 5)))),
)
right(
    "pooling by slices",
    lenet(
        pool=layer(
            lambda x: (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
        )
    ),
)
right(
    "linear layers with transposed weights",
    lenet(f6=lambda: Transposed(120, 84), output=lambda n: Transposed(84, n)),
)
right("convolutions by unfolding", lenet(c1=lambda: UnfoldConv(1, 6, 5), c3=lambda: UnfoldConv(6, 16, 5)))
right("the kernel's axes first", lenet(c3=lambda: ShiftConv(6, 16, 5)))
right(
    "lazy layers",
    lenet(c3=lambda: nn.LazyConv2d(16, 5), c5=lambda: nn.LazyConv2d(120, 5), f6=lambda: nn.LazyLinear(84)),
)
right(
    "adaptive pooling", lenet(pool=layer(lambda x: F.adaptive_avg_pool2d(x, [n // 2 for n in x.shape[2:]])))
)
right(
    "F6 as a 1x1 convolution",
    lenet(f6=lambda: nn.Sequential(nn.Unflatten(1, (120, 1, 1)), nn.Conv2d(120, 84, 1), nn.Flatten())),
)
right("tanh by exponentials", lenet(act=layer(lambda x: (1 - torch.exp(-2 * x)) / (1 + torch.exp(-2 * x)))))


class BoxPool(nn.Module):
    """Average pooling as a depthwise convolution whose kernel is a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.full((1, 1, 2, 2), 0.25))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel.expand(x.shape[1], -1, -1, -1), stride=2, groups=x.shape[1])


right("pooling with a constant kernel", lenet(pool=BoxPool))


@right("one Sequential, C5 a linear layer")
class Row(nn.Sequential):
    def __init__(self, num_classes=10):
        layers, before = [], 1
        for maps in (6, 16):
            layers += [nn.Conv2d(before, maps, 5), nn.Tanh(), nn.AvgPool2d(2)]
            before = maps
        layers.append(nn.Flatten())
        for i, o in itertools.pairwise((400, 120, 84)):
            layers += [nn.Linear(i, o), nn.Tanh()]
        super().__init__(*layers, nn.Linear(84, num_classes))


@right("bare parameters in a ParameterDict")
class Bare(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        shapes = {
            "c1": (6, 1, 5, 5),
            "c3": (16, 6, 5, 5),
            "c5": (120, 16, 5, 5),
            "f6": (84, 120),
            "out": (num_classes, 84),
        }
        self.w = nn.ParameterDict({name: weight(*shape) for name, shape in shapes.items()})
        self.b = nn.ParameterDict({name: weight(shape[0]) for name, shape in shapes.items()})

    def forward(self, x):
        for name in ("c1", "c3"):
            x = F.avg_pool2d(F.conv2d(x, self.w[name], self.b[name]).tanh(), 2)
        x = F.conv2d(x, self.w["c5"], self.b["c5"]).tanh().squeeze((2, 3))
        return F.linear(F.linear(x, self.w["f6"], self.b["f6"]).tanh(), self.w["out"], self.b["out"])


@right("layers in a ModuleDict, walked through by name")
class Named(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layers = nn.ModuleDict({
            "c1": nn.Conv2d(1, 6, (5, 5)), "c3": nn.Conv2d(6, 16, (5, 5)), "c5": nn.Conv2d(16, 120, (5, 5)),
            "f6": nn.Conv2d(120, 84, 1), "output": nn.Conv2d(84, num_classes, 1),
        })  # fmt: skip

    def forward(self, x):
        for name, step in self.layers.items():
            x = step(x)
            if name != "output":
                x = x.tanh()
            if name in ("c1", "c3"):
                x = F.avg_pool2d(x, 2, 2)
        return x[:, :, 0, 0]


right = to("lenet/repaired_subsampling")


def subsampling(
    total: Any, shape: Any = lambda c: (c, 1, 1), apply: Any = lambda t, w, b: w * t + b
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.w, self.b = (
                nn.Parameter(torch.ones(shape(channels))),
                nn.Parameter(torch.zeros(shape(channels))),
            )

        def forward(self, x: Tensor) -> Tensor:
            return apply(total(x), self.w, self.b)

    return Block


right("slices", subsampling(lambda x: sum(x[..., i::2, j::2] for i in (0, 1) for j in (0, 1))))
right("divisor 1", subsampling(lambda x: F.avg_pool2d(x, 2, divisor_override=1)))
right("windows", subsampling(lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).sum((-1, -2))))
right(
    "addcmul, flat parameters",
    subsampling(
        lambda x: 4 * F.avg_pool2d(x, 2),
        lambda c: (c,),
        lambda t, w, b: torch.addcmul(b[:, None, None], w[:, None, None], t),
    ),
)
right(
    "with a batch axis",
    subsampling(
        lambda x: x.unflatten(3, (-1, 2)).sum(4).unflatten(2, (-1, 2)).sum(3), lambda c: (1, c, 1, 1)
    ),
)
right(
    "a depthwise convolution",
    subsampling(
        lambda x: x,
        lambda c: (c,),
        lambda x, w, b: F.conv2d(x, w.view(-1, 1, 1, 1).expand(-1, 1, 2, 2), b, 2, groups=len(w)),
    ),
)

# -------------------------------------------------------------------------------------------- alexnet

right = to("alexnet/grouped_conv_macs")
f = formula("in_channels, out_channels, kernel, height, width, groups=1")
right("divided at the end", f("kernel * kernel * in_channels * out_channels * height * width // groups"))
right(
    "group by group",
    f(
        "sum(kernel**2 * (in_channels // groups) * (out_channels // groups) * height * width for "
        "_ in range(groups))"
    ),
)
right(
    "from a layer's weight",
    f(
        "nn.Conv2d(in_channels, out_channels, kernel, groups=groups, "
        "device='meta').weight.numel() * height * width"
    ),
)

right = to("alexnet/alexnet_trunk")


def lrn_pool3d(x: Tensor) -> Tensor:
    sums = 5 * F.avg_pool3d(F.pad(x.pow(2)[:, None], (0, 0, 0, 0, 2, 2)), (5, 1, 1), 1)[:, 0]
    return x * (2 + 1e-4 * sums) ** -0.75


def lrn_band(a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Tensor:
    place = torch.arange(a.shape[1])
    band = ((place[:, None] - place).abs() <= size // 2).to(a)
    return a / (k + alpha * torch.einsum("ij,bjhw->bihw", band, a * a)).pow(beta)


class Trunk(nn.Module):
    norm = staticmethod(lambda x: F.local_response_norm(x, 5, 5e-4, 0.75, 2.0))

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, k, s, p, groups=g)
            for i, o, k, s, p, g in (
                (3, 96, 11, 4, 0, 1), (96, 256, 5, 1, 2, 2), (256, 384, 3, 1, 1, 1),
                (384, 384, 3, 1, 1, 2), (384, 256, 3, 1, 1, 2),
            )
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        for index, convolution in enumerate(self.convs):
            x = convolution(x).clamp(min=0)
            if index < 2:
                x = self.norm(x)
            if index in (0, 1, 4):
                x = F.max_pool2d(x, 3, 2)
        return x


right("a loop over a list", Trunk)


@right("the norm by three-dimensional pooling")
class PooledNorm(Trunk):
    norm = staticmethod(lrn_pool3d)


@right("the norm by a band matrix")
class BandNorm(Trunk):
    norm = staticmethod(lrn_band)


@right("two towers")
class Towers(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.third = nn.Conv2d(3, 96, 11, 4), nn.Conv2d(256, 384, 3, padding=1)
        self.second = nn.ModuleList(nn.Conv2d(48, 128, 5, padding=2) for _ in range(2))
        self.fourth = nn.ModuleList(nn.Conv2d(192, 192, 3, padding=1) for _ in range(2))
        self.fifth = nn.ModuleList(nn.Conv2d(192, 128, 3, padding=1) for _ in range(2))

    @staticmethod
    def towers(layers, x):
        return torch.cat([tower(part) for tower, part in zip(layers, x.chunk(2, 1), strict=True)], 1).relu()

    def forward(self, x):
        norm, pool = nn.LocalResponseNorm(5, 5e-4, 0.75, 2), nn.MaxPool2d(3, 2)
        x = pool(norm(self.first(x).relu()))
        x = pool(norm(self.towers(self.second, x)))
        return pool(self.towers(self.fifth, self.towers(self.fourth, self.third(x).relu())))


right = to("alexnet/fully_connected_share")
f = formula("model")
right(
    "by the owners' names",
    f(
        "sum(p.numel() for n, p in model.named_parameters() if "
        "isinstance(model.get_submodule(n.rpartition('.')[0]), nn.Linear)) / sum(p.numel() for p "
        "in model.parameters())"
    ),
)
right(
    "flattened",
    f(
        "float(sum(torch.cat([p.detach().flatten() for p in m.parameters()]).numel() for m in "
        "model.modules() if isinstance(m, nn.Linear)) / "
        "nn.utils.parameters_to_vector(model.parameters()).numel())"
    ),
)
right(
    "shapes multiplied",
    f(
        "sum(math.prod(p.shape) for m in model.modules() if isinstance(m, nn.Linear) for p in "
        "m.parameters(recurse=False)) / sum(math.prod(p.shape) for p in model.parameters())"
    ),
)


@right("recursion")
def fully_connected_share(model):
    def count(module):
        if isinstance(module, nn.Linear):
            return sum(p.numel() for p in module.parameters())
        return sum(map(count, module.children()))

    return count(model) / sum(p.numel() for p in model.parameters())


right = to("alexnet/repaired_lrn")
f = formula("a, size=5, alpha=1e-4, beta=0.75, k=2.0")
right("PyTorch's layer with alpha times size", f("F.local_response_norm(a, size, alpha * size, beta, k)"))
right("a band matrix", lrn_band)
right(
    "padded and unfolded",
    f("a / (k + alpha * F.pad(a**2, (0, 0, 0, 0, size // 2, size // 2)).unfold(1, size, 1).sum(-1)) ** beta"),
)
right(
    "a logarithm",
    f(
        "a * torch.exp(-beta * torch.log(k + alpha * F.pad(a**2, (0, 0, 0, 0, size // 2, size // "
        "2)).unfold(1, size, 1).sum(-1)))"
    ),
)


@right("running sums")
def repaired_lrn(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    c, reach = a.shape[1], size // 2
    sums = F.pad(a.square().cumsum(1), (0, 0, 0, 0, 1, 0))
    place = torch.arange(c)
    upper, lower = (place + reach + 1).clamp(max=c), (place - reach).clamp(min=0)
    return a / (k + alpha * (sums[:, upper] - sums[:, lower])) ** beta


# ------------------------------------------------------------------------------------------------ vgg

for right in (to("vgg/vgg_block"), to("vgg/repaired_block")):
    right("ReLU by where", vgg(act=layer(where)))
    right("same padding by name", vgg(lambda i, o: nn.Conv2d(i, o, 3, padding="same")))
    right(
        "zeros by a layer of their own", vgg(lambda i, o: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(i, o, 3)))
    )
    right(
        "the maximum over windows",
        vgg(pool=layer(lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).amax((-1, -2)))),
    )

right = to("vgg/vgg_block")
right("convolutions by unfolding", vgg(lambda i, o: UnfoldConv(i, o, 3, 1, 1)))
right(
    "pool before the last ReLU: the two commute",
    lambda num_convs, in_channels, out_channels: nn.Sequential(
        *list(vgg()(num_convs, in_channels, out_channels))[:-2], nn.MaxPool2d(2), nn.ReLU()
    ),
)
right(
    "nested",
    lambda num_convs, in_channels, out_channels: nn.Sequential(
        OrderedDict(
            body=nn.Sequential(
                *[
                    nn.Sequential(
                        nn.Conv2d(in_channels if n == 0 else out_channels, out_channels, 3, 1, 1),
                        nn.Threshold(0, 0),
                    )
                    for n in range(num_convs)
                ]
            ),
            pool=nn.MaxPool2d((2, 2), (2, 2)),
        )
    ),
)
right(
    "lazy",
    lambda num_convs, in_channels, out_channels: nn.Sequential(
        *[m for _ in range(num_convs) for m in (nn.LazyConv2d(out_channels, 3, padding=1), nn.ReLU())],
        nn.MaxPool2d(2),
    ),
)

right = to("vgg/vgg_features")
right("ReLU as half a sum", features(act=layer(half)))
right("kernels first", features(lambda i, o: ShiftConv(i, o, 3, 1, 1)))
right(
    "pool 2x2 by slices",
    features(
        pool=layer(
            lambda x: functools.reduce(
                torch.maximum,
                [
                    x[..., i : x.shape[2] // 2 * 2 : 2, j : x.shape[3] // 2 * 2 : 2]
                    for i in (0, 1)
                    for j in (0, 1)
                ],
            )
        )
    ),
)


@right("widths by accumulation")
def vgg_features(config, in_channels=3):
    widths = itertools.accumulate(
        config, lambda before, item: before if item == "M" else item, initial=in_channels
    )
    pairs = zip(widths, config, strict=False)
    return nn.Sequential(
        *(
            nn.MaxPool2d(2) if o == "M" else nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU())
            for i, o in pairs
        )
    )


@right("recursion over the list")
def _recursive(config, in_channels=3):
    if not config:
        return nn.Sequential()
    item, *rest = config
    if item == "M":
        return nn.Sequential(nn.MaxPool2d(2), *_recursive(rest, in_channels))
    return nn.Sequential(nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU(), *_recursive(rest, item))


right = to("vgg/receptive_field")


@right("backwards")
def receptive_field(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


f = formula("layers")
right(
    "products of slices",
    f("1 + sum((k - 1) * math.prod(s for _, s in layers[:n]) for n, (k, _) in enumerate(layers))"),
)
right("a fold", f("functools.reduce(lambda r, l: (r - 1) * l[1] + l[0], layers[::-1], 1)"))
right(
    "accumulated strides",
    f(
        "1 + sum((k - 1) * j for (k, _), j in zip(layers, itertools.accumulate((s for _, s in "
        "layers), int.__mul__, initial=1)))"
    ),
)

right = to("vgg/stack_versus_single")
f = formula("channels, num_convs")
right(
    "squares written out",
    f("(9 * num_convs * channels * channels, (1 + 2 * num_convs) ** 2 * channels * channels)"),
)
right(
    "by the binomial", f("(9 * channels**2 * num_convs, channels**2 * (4 * num_convs * (num_convs + 1) + 1))")
)
right(
    "by the fold of the fields",
    f("(sum([9 * channels**2] * num_convs), (channels * receptive_field([(3, 1)] * num_convs)) ** 2)"),
)

# --------------------------------------------------------------------------------------------- resnet

ODD_NORM = functools.partial(HandNorm, shape="column")
right = to("resnet/basic_block")
right("ReLU by where", basic(act=layer(where), last=layer(where)))
right("ReLU as half a sum", basic(act=layer(half)))
right("ReLU as a maximum", basic(act=layer(lambda x: torch.maximum(x, x.new_zeros(())))))
right(
    "ReLU as a product with a mask",
    basic(act=layer(lambda x: x * (x > 0)), last=layer(lambda x: x.clamp_min(0))),
)
right("convolutions by unfolding", basic(unfolded(3), conv2=unfolded(3)))
right("kernels with their axes first", basic(shifted(3), conv2=shifted(3)))
right("projection by einsum, weight (in, out)", basic(short=shortcut(mixed)))
right("batch norm by hand", basic(bn1=HandNorm, bn2=HandNorm))
right(
    "batch norm by hand, parameters with four axes",
    basic(
        bn1=ODD_NORM,
        bn2=ODD_NORM,
        short=shortcut(lambda i, o, s: nn.Sequential(conv(1)(i, o, s), ODD_NORM(o))),
    ),
)
right("lazy batch norm", basic(bn1=lambda c: nn.LazyBatchNorm2d(), bn2=lambda c: nn.LazyBatchNorm2d()))
right(
    "zeros by a layer of their own",
    basic(lambda i, o, s: nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(i, o, 3, s, bias=False))),
)
right(
    "stride by slicing the shortcut",
    basic(
        short=shortcut(
            lambda i, o, s: nn.Sequential(
                Apply(lambda x: x[..., ::s, ::s]), nn.Conv2d(i, o, 1, bias=False), BN(o)
            )
        )
    ),
)
right(
    "the projection's stride by a pool of one pixel",
    basic(
        short=shortcut(
            lambda i, o, s: nn.Sequential(nn.MaxPool2d(1, s), nn.Conv2d(i, o, 1, bias=False), BN(o))
        )
    ),
)


@right("functional: parameters and buffers of its own")
class Functional(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        i, o, self.stride = in_channels, out_channels, stride
        self.w = nn.ParameterList([weight(o, i, 3, 3), weight(o, o, 3, 3)])
        self.project = stride != 1 or i != o
        if self.project:
            self.w.append(weight(o, i, 1, 1))
        self.gamma = nn.ParameterList(nn.Parameter(torch.ones(o)) for _ in self.w)
        self.beta = nn.ParameterList(nn.Parameter(torch.zeros(o)) for _ in self.w)
        for n in range(len(self.w)):
            self.register_buffer(f"mean{n}", torch.zeros(o))
            self.register_buffer(f"var{n}", torch.ones(o))

    def layer(self, n, x, stride, padding):
        mean, var = getattr(self, f"mean{n}"), getattr(self, f"var{n}")
        z = F.conv2d(x, self.w[n], None, stride, padding)
        return F.batch_norm(z, mean, var, self.gamma[n], self.beta[n], self.training)

    def forward(self, x):
        skip = self.layer(2, x, self.stride, 0) if self.project else x
        return F.relu(skip + self.layer(1, F.relu(self.layer(0, x, self.stride, 1)), 1, 1))


@right("`__call__` instead of forward")
class Called(basic()):
    def __call__(self, x):
        out = self.bn2(self.conv2(self.act(self.bn1(self.conv1(x)))))
        return self.last(torch.add(self.shortcut(x), out))


@right("forward chosen when it is built")
class Chosen(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        c, o = conv(3), out_channels
        self.f = nn.Sequential(c(in_channels, o, stride), BN(o), nn.ReLU(), c(o, o), BN(o))
        if stride == 1 and in_channels == o:
            self.forward = lambda x: F.relu(self.f(x) + x)
        else:
            self.p = nn.Sequential(conv(1)(in_channels, o, stride), BN(o))
            self.forward = lambda x: F.relu(self.f(x) + self.p(x))


@right("branches in a ModuleDict, added up by sum")
class Branches(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        i, o = in_channels, out_channels
        three, one = conv(3), conv(1)
        body = nn.Sequential(three(i, o, stride), BN(o), nn.ReLU(inplace=True), three(o, o), BN(o))
        skip = nn.Sequential(one(i, o, stride), BN(o)) if (i, 1) != (o, stride) else nn.Sequential()
        self.branches = nn.ModuleDict({"skip": skip, "body": body})

    def forward(self, x):
        return torch.stack([branch(x) for branch in self.branches.values()]).sum(0).relu_()


@right("as a model library has it, with the projection called downsample")
class Library(nn.Module):
    expansion = 1

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv(3)(in_channels, out_channels, stride), BN(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv(3)(out_channels, out_channels), BN(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels * self.expansion:
            self.downsample = nn.Sequential(conv(1)(in_channels, out_channels, stride), BN(out_channels))

    def forward(self, x):
        identity = x
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


right = to("resnet/bottleneck")
right("ReLU by where", bottleneck(act1=layer(where), act2=layer(where), last=layer(where)))
right(
    "1x1 by einsum, weights (in, out)",
    bottleneck(lambda i, o, s: Mix(i, o), conv3=lambda i, o, s: Mix(i, o), short=shortcut(mixed)),
)
right("3x3 by unfolding", bottleneck(conv2=unfolded(3)))
right("batch norm by hand", bottleneck(bn1=HandNorm, bn2=HandNorm, bn3=HandNorm))
right(
    "everything by hand",
    bottleneck(
        lambda i, o, s: Mix(i, o),
        HandNorm,
        layer(half),
        shifted(3),
        ODD_NORM,
        layer(where),
        lambda i, o, s: Mix(i, o),
        HandNorm,
        last=layer(half),
    ),
)


@right("a list of layers, walked through")
class Walked(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        widths = [in_channels, channels, channels, channels * 4]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, k, s, k // 2, bias=False)
            for (i, o), k, s in zip(itertools.pairwise(widths), (1, 3, 1), (1, stride, 1), strict=True)
        )
        self.norms = nn.ModuleList(map(BN, widths[1:]))
        self.skip = nn.Identity()
        if (in_channels, stride) != (4 * channels, 1):
            self.skip = nn.Sequential(
                nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False), BN(4 * channels)
            )

    def forward(self, x):
        a = x
        for index in range(3):
            a = self.norms[index](self.convs[index](F.relu(a) if index else a))
        return F.relu(a.add_(self.skip(x)))


right = to("resnet/residual_stage")
right(
    "blocks of another style",
    lambda in_channels, out_channels, num_blocks, stride: stage_of(
        basic(unfolded(3), act=layer(where)),
        num_blocks,
        in_channels,
        out_channels,
        [stride] + [1] * num_blocks,
    ),
)
right(
    "a loop that changes its arguments",
    lambda in_channels, out_channels, num_blocks, stride: _grown(
        in_channels, out_channels, num_blocks, stride
    ),
)
right(
    "blocks of a model library",
    lambda in_channels, out_channels, num_blocks, stride: nn.Sequential(
        *(
            Library(*arguments)
            for arguments in [(in_channels, out_channels, stride)]
            + [(out_channels, out_channels)] * (num_blocks - 1)
        )
    ),
)
right(
    "named blocks",
    lambda in_channels, out_channels, num_blocks, stride: nn.Sequential(
        OrderedDict(
            (f"block{n}", Branches(out_channels if n else in_channels, out_channels, 1 if n else stride))
            for n in range(num_blocks)
        )
    ),
)
right(
    "functional blocks",
    lambda in_channels, out_channels, num_blocks, stride: stage_of(
        Functional, num_blocks, in_channels, out_channels, [stride] + [1] * num_blocks
    ),
)


def _grown(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    row = nn.Sequential()
    while len(row) < num_blocks:
        row.append(Chosen(in_channels, out_channels, stride))
        in_channels, stride = out_channels, 1
    return row


right = to("resnet/cifar_resnet")
right(
    "blocks of another style, adaptive pool",
    cifar(
        block=basic(act=layer(where)),
        forward=lambda m, x: m.linear(
            F.adaptive_avg_pool2d(m.stages(m.act(m.norm(m.stem(x)))), 1).flatten(1)
        ),
    ),
)
right("stem by unfolding, head transposed", cifar(stem=unfolded(3), linear=Transposed))
right(
    "head as a 1x1 convolution, before the average",
    cifar(
        linear=lambda i, n: nn.Conv2d(i, n, 1),
        forward=lambda m, x: m.linear(m.stages(m.act(m.norm(m.stem(x))))).mean((2, 3)),
    ),
)


@right("one flat Sequential")
class Flat(nn.Sequential):
    def __init__(self, num_blocks=3, num_classes=10):
        layers, before = [conv(3)(3, 16), BN(16), nn.ReLU()], 16
        for width in (16, 32, 64):
            for n in range(num_blocks):
                layers.append(Library(before, width, 2 if n == 0 and width > 16 else 1))
                before = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))


right = to("resnet/repaired_block")
right("ReLU by where", basic(act=layer(where), last=layer(where)))
right("in-place ReLU where it does no harm", Branches)
right("functional", Functional)
right(
    "the projection's norm by hand",
    basic(short=shortcut(lambda i, o, s: nn.Sequential(conv(1)(i, o, s), HandNorm(o)))),
)

# ------------------------------------------------------------------------------------------- identity

right = to("identity/residual_step")
f = formula("a, w1, b1, w2, b2")
right("addmm", f("torch.addmm(b2 + a, torch.addmm(b1, a, w1.t()).clamp(min=0), w2.t()).clamp(min=0)"))
right(
    "einsum", f("where(torch.einsum('bh,dh->bd', where(torch.einsum('bd,hd->bh', a, w1) + b1), w2) + b2 + a)")
)
right("columns", f("(a.T + b2[:, None] + w2 @ (w1 @ a.T + b1[:, None]).relu()).relu().T"))
right("broadcast sums", f("half((half((a[:, None] * w1).sum(-1) + b1)[:, None] * w2).sum(-1) + b2 + a)"))
right(
    "homogeneous coordinates",
    f(
        "(F.pad(F.relu(F.pad(a, (0, 1), value=1.0) @ torch.cat([w1, b1[:, None]], 1).T), (0, 1), "
        "value=1.0) @ torch.cat([w2, b2[:, None]], 1).T + a).relu()"
    ),
)
right("one image at a time", f("torch.stack([F.relu(w2.mv(F.relu(w1.mv(v) + b1)) + b2 + v) for v in a])"))

right = to("identity/make_identity_")


@right("fill_")
def make_identity_(block):
    with torch.no_grad():
        for parameter in block.bn2.parameters():
            parameter.fill_(0.0)


@right("through data")
def _data(block):
    block.bn2.weight.data *= 0
    block.bn2.bias.data.zero_()


@right("new parameters")
def _new(block):
    for name in ("weight", "bias"):
        setattr(block.bn2, name, nn.Parameter(torch.zeros_like(getattr(block.bn2, name))))


@right("a loaded state")
def _loaded(block):
    state = block.state_dict()
    block.load_state_dict(
        state | {f"bn2.{n}": torch.zeros_like(state[f"bn2.{n}"]) for n in ("weight", "bias")}
    )


@right("the convolution, beta and the running mean: gamma stays")
@torch.no_grad()
def _convolution(block):
    for tensor in (block.conv2.weight, block.bn2.bias, block.bn2.running_mean):
        tensor.zero_()


@right("everything in the branch")
def _everything(block):
    for name, parameter in block.named_parameters():
        if name.startswith(("conv", "bn")):
            nn.init.constant_(parameter, 0.0)


right = to("identity/pad_shortcut")
f = formula("a, out_channels, stride=2")
right(
    "zeros concatenated",
    f(
        "torch.cat([(y := a[:, :, ::stride, ::stride]), y.new_zeros(len(y), out_channels - "
        "y.shape[1], *y.shape[2:])], 1)"
    ),
)
right(
    "a pool of one pixel", f("F.pad(F.max_pool2d(a, 1, stride), (0, 0, 0, 0, 0, out_channels - a.shape[1]))")
)
right(
    "a convolution with an identity",
    f("F.conv2d(a, torch.eye(out_channels, a.shape[1], dtype=a.dtype)[:, :, None, None], stride=stride)"),
)
right(
    "einsum with an identity",
    f(
        "torch.einsum('bchw,oc->bohw', a[..., ::stride, ::stride], torch.eye(out_channels, "
        "a.shape[1], dtype=a.dtype))"
    ),
)
right(
    "rows and columns by index",
    f(
        "F.pad(a.index_select(2, torch.arange(0, a.shape[2], stride)).index_select(3, "
        "torch.arange(0, a.shape[3], stride)), (0, 0) * 2 + (0, out_channels - a.shape[1]))"
    ),
)


@right("written into zeros")
def pad_shortcut(a, out_channels, stride=2):
    b, c, h, w = a.shape
    out = a.new_zeros(b, out_channels, -(-h // stride), -(-w // stride))
    out[:, :c] = a[:, :, ::stride, ::stride]
    return out


right = to("identity/inert_blocks")


@right("the largest element by norm")
@torch.no_grad()
def inert_blocks(blocks, a, tolerance=1e-6):
    outputs = list(itertools.accumulate(blocks, lambda x, block: block(x), initial=a))
    return [
        n
        for n, (before, after) in enumerate(itertools.pairwise(outputs))
        if before.shape == after.shape
        and torch.linalg.vector_norm(after - before, ord=torch.inf) <= tolerance
    ]


@right("all within the tolerance")
def _within(blocks, a, tolerance=1e-6):
    found = []
    for n, block in enumerate(blocks):
        before, a = a, block(a).detach()
        if a.size() == before.size() and bool(((a - before).abs() <= tolerance).all()):
            found += [n]
    return found


@right("allclose without the relative part")
def _close(blocks, a, tolerance=1e-6):
    flags = []
    for block in blocks:
        out = block(a)
        flags.append(
            out.shape == a.shape and torch.allclose(out.double(), a.double(), rtol=0.0, atol=tolerance)
        )
        a = out
    return [index for index, flag in enumerate(flags) if flag]


right = to("identity/repaired_block")


def rezero(run: Any, shape: tuple[int, ...] = (1,), hidden_layer: Any = nn.Linear) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, features: int, hidden: int) -> None:
            super().__init__()
            self.f, self.g = hidden_layer(features, hidden), hidden_layer(hidden, features)
            self.s = nn.Parameter(torch.zeros(shape))

        def forward(self, a: Tensor) -> Tensor:
            return run(a, self.f, self.g, self.s)

    return Block


right("a number without axes", rezero(lambda a, f, g, s: where(a + s * g(where(f(a)))), ()))
right("addcmul", rezero(lambda a, f, g, s: torch.addcmul(a, s, g(f(a).relu())).relu()))
right("transposed weights", rezero(lambda a, f, g, s: half(a + g(half(f(a))) * s), hidden_layer=Transposed))
right("lerp towards the sum", rezero(lambda a, f, g, s: F.relu(torch.lerp(a, a + g(F.relu(f(a))), s))))

# ------------------------------------------------------------------------------------------------ nin

right = to("nin/conv1x1")
f = formula("x, weight, bias")
right(
    "linear on the last axis",
    f("F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)"),
)
right(
    "matmul over pixels",
    f("(weight[:, :, 0, 0] @ x.flatten(2) + bias[:, None]).view(len(x), -1, *x.shape[2:])"),
)
right(
    "tensordot",
    f("torch.tensordot(x, weight.squeeze((2, 3)), ([1], [1])).movedim(-1, 1) + bias.view(1, -1, 1, 1)"),
)
right("a broadcast sum", f("(x.unsqueeze(1) * weight[None]).sum(2) + bias.reshape(-1, 1, 1)"))
right(
    "addmm",
    f(
        "torch.addmm(bias, x.movedim(1, 3).reshape(-1, x.shape[1]), weight[..., 0, "
        "0].t()).view(len(x), *x.shape[2:], -1).movedim(3, 1)"
    ),
)
right(
    "baddbmm",
    f(
        "torch.baddbmm(bias[None, :, None], weight[:, :, 0, 0].expand(len(x), -1, -1), "
        "x.flatten(2)).unflatten(2, x.shape[2:])"
    ),
)
right(
    "a channel of ones for the bias",
    f(
        "torch.einsum('bchw,oc->bohw', F.pad(x, (0, 0, 0, 0, 0, 1), value=1.0), "
        "torch.cat([weight[:, :, 0, 0], bias[:, None]], 1))"
    ),
)


@right("a loop over the channels")
def conv1x1(x, weight, bias):
    total = bias.view(1, -1, 1, 1)
    for c in range(x.shape[1]):
        total = total + x[:, c : c + 1] * weight[:, c].view(1, -1, 1, 1)
    return total


right = to("nin/conv1x1_parameters")
f = formula("in_channels, out_channels, bias=True")
right("one input more for the bias", f("(in_channels + bool(bias)) * out_channels"))
right("counted", f("sum(p.numel() for p in nn.Linear(in_channels, out_channels, bias).parameters())"))
right("a sum over filters", f("sum(in_channels + (1 if bias else 0) for _ in range(out_channels))"))

right = to("nin/nin_block")
right("1x1 by einsum", nin(second=lambda o: Mix(o, o, bias=True)))
right("the first by unfolding", nin(lambda i, o, k, s, p: UnfoldConv(i, o, k, s, p)))
right("kernels first", nin(lambda i, o, k, s, p: ShiftConv(i, o, k, s, p)))
right(
    "ReLU by where, half a sum and a threshold",
    nin(acts=(layer(where), layer(half), lambda: nn.Threshold(0.0, 0.0))),
)
right(
    "ReLU as ReLU6 plus what is above",
    nin(acts=(layer(lambda x: F.relu6(x) + F.relu(x - 6)), nn.ReLU, nn.ReLU)),
)


@right("an MLP on the last axis")
class OnLastAxis(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.see = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.think = nn.Sequential(
            *[m for _ in range(2) for m in (nn.Linear(out_channels, out_channels), nn.ReLU())]
        )

    def forward(self, x):
        return self.think(self.see(x).relu().movedim(1, -1)).movedim(-1, 1)


@right("the two 1x1 weights in one parameter")
class Stacked(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.w, self.b = weight(2, out_channels, out_channels), weight(2, out_channels, 1, 1)

    def forward(self, x):
        x = self.first(x).relu()
        for w, b in zip(self.w, self.b, strict=True):
            x = torch.relu(torch.einsum("oc,nchw->nohw", w, x) + b)
        return x


right = to("nin/global_average_head")
right(
    "averaged first: the two commute",
    head(forward=lambda m, x: m.maps(x.mean((2, 3), keepdim=True)).flatten(1)),
)
right("averaged first, a linear layer", head(nn.Linear, forward=lambda m, x: m.maps(x.mean((2, 3)))))
right("transposed weight", head(Transposed, forward=lambda m, x: m.maps(x.flatten(2).mean(2))))
right("a pool as large as the grid", head(pool=lambda y: F.avg_pool2d(y, y.shape[2:]).view(y.shape[0], -1)))
right("sum over pixels, divided", head(pool=lambda y: y.sum(dim=(-2, -1)) / (y.shape[-1] * y.shape[-2])))
right("lazy", head(lambda i, n: nn.LazyConv2d(n, 1)))
right(
    "average as a product with ones",
    head(pool=lambda y: (y.flatten(2) @ y.new_full((y[0, 0].numel(), 1), 1 / y[0, 0].numel())).squeeze(2)),
)

right = to("nin/repaired_pixel_mlp")


def pixels(first: Any, act: Any, run: Any) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
            super().__init__()
            self.f, self.g = first(in_channels, hidden), first(hidden, out_channels)

        def forward(self, x: Tensor) -> Tensor:
            return run(x, lambda t: self.g(act(self.f(t))))

    return Block


right("1x1 convolutions", pixels(lambda i, o: nn.Conv2d(i, o, 1), where, lambda x, mlp: mlp(x)))
right(
    "flattened and transposed",
    pixels(nn.Linear, F.relu, lambda x, mlp: mlp(x.flatten(2).mT).mT.unflatten(2, x.shape[2:])),
)
right(
    "rows of a matrix, transposed weights",
    pixels(
        Transposed,
        half,
        lambda x, mlp: (
            mlp(x.movedim(1, 3).flatten(0, 2)).unflatten(0, (x.shape[0], *x.shape[2:])).movedim(3, 1)
        ),
    ),
)
right(
    "convolutions along a line",
    pixels(
        lambda i, o: nn.Conv1d(i, o, 1), F.relu, lambda x, mlp: mlp(x.flatten(2)).unflatten(2, x.shape[2:])
    ),
)

# ------------------------------------------------------------------------------------------ inception

right = to("inception/conv_macs")
f = formula("in_channels, out_channels, kernel, height, width")
right("a product", f("math.prod([in_channels, out_channels, kernel, kernel, height, width])"))
right("per value, times values", f("(kernel**2 * in_channels) * (out_channels * height * width)"))
right(
    "from a layer's weight",
    f("nn.Conv2d(in_channels, out_channels, kernel, device='meta').weight.numel() * (height * width)"),
)

right = to("inception/bottleneck_macs")
f = formula("in_channels, reduced, out_channels, kernel, height, width")
right("factored", f("height * width * reduced * (in_channels + kernel * kernel * out_channels)"))
right(
    "a sum of products",
    f(
        "sum(map(math.prod, ((in_channels, reduced, height, width), (reduced, out_channels, "
        "kernel, kernel, height, width))))"
    ),
)
right(
    "at each pixel",
    f("sum(reduced * in_channels + out_channels * reduced * kernel**2 for _ in range(height)) * width"),
)

right = to("inception/inception_module")
right(
    "ReLU once, behind the concatenation of the last ones",
    inception(
        lambda i, o, k: nn.Conv2d(i, o, k, padding=k // 2),
        reduce3=lambda i, o, k: nn.Sequential(nn.Conv2d(i, o, 1), nn.ReLU()),
        reduce5=lambda i, o, k: nn.Sequential(nn.Conv2d(i, o, 1), nn.ReLU()),
        join=lambda b: F.relu(torch.cat(b, 1)),
    ),
)
right(
    "1x1 by einsum",
    inception(
        reduce3=lambda i, o, k: nn.Sequential(Mix(i, o, bias=True), nn.ReLU()),
        proj=lambda i, o, k: nn.Sequential(Mix(i, o, bias=True), nn.ReLU()),
    ),
)
right(
    "convolutions by unfolding",
    inception(
        conv3=lambda i, o, k: nn.Sequential(UnfoldConv(i, o, 3, 1, 1), nn.ReLU()),
        conv5=lambda i, o, k: nn.Sequential(UnfoldConv(i, o, 5, 1, 2), nn.ReLU()),
    ),
)
right(
    "pool as two one-dimensional ones",
    inception(pool=lambda: nn.Sequential(nn.MaxPool2d((3, 1), 1, (1, 0)), nn.MaxPool2d((1, 3), 1, (0, 1)))),
)
right(
    "written into place",
    inception(join=lambda b: torch.cat([t.movedim(1, -1) for t in b], -1).movedim(-1, 1)),
)


@right("the three 1x1 convolutions on the input as one")
class Joined(nn.Module):
    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()
        self.sizes = [c1, c3_reduce, c5_reduce]
        self.ones = nn.Conv2d(in_channels, sum(self.sizes), 1)
        self.three = nn.Conv2d(c3_reduce, c3, 3, padding="same")
        self.five = nn.Conv2d(c5_reduce, c5, 5, padding="same")
        self.last = nn.Conv2d(in_channels, pool_proj, 1)

    def forward(self, x):
        one, three, five = self.ones(x).relu().split(self.sizes, 1)
        return torch.cat(
            [
                one,
                *(
                    t.relu()
                    for t in (self.three(three), self.five(five), self.last(F.max_pool2d(x, 3, 1, 1)))
                ),
            ],
            1,
        )


@right("a textbook's, with lazy layers")
class TextbookInception(nn.Module):
    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()
        self.b1_1 = nn.LazyConv2d(c1, kernel_size=1)
        self.b2_1, self.b2_2 = (
            nn.LazyConv2d(c3_reduce, kernel_size=1),
            nn.LazyConv2d(c3, kernel_size=3, padding=1),
        )
        self.b3_1, self.b3_2 = (
            nn.LazyConv2d(c5_reduce, kernel_size=1),
            nn.LazyConv2d(c5, kernel_size=5, padding=2),
        )
        self.b4_1 = nn.MaxPool2d(kernel_size=3, stride=1, padding=1)
        self.b4_2 = nn.LazyConv2d(pool_proj, kernel_size=1)

    def forward(self, x):
        b1 = F.relu(self.b1_1(x))
        b2 = F.relu(self.b2_2(F.relu(self.b2_1(x))))
        b3 = F.relu(self.b3_2(F.relu(self.b3_1(x))))
        b4 = F.relu(self.b4_2(self.b4_1(x)))
        return torch.cat((b1, b2, b3, b4), dim=1)


right = to("inception/repaired_reduction")
right("ReLU by where", reduction(act=(layer(where),) * 4))
right("5x5 by unfolding", reduction(conv5=lambda i, o: UnfoldConv(i, o, 5, 2, 2)))
right(
    "reducers by einsum",
    reduction(lambda i, o: Mix(i, o, bias=True), reduce5=lambda i, o: Mix(i, o, bias=True)),
)
right(
    "pool by dense windows, then every second",
    reduction(pool=layer(lambda x: F.max_pool2d(x, 3, 1, 1)[:, :, ::2, ::2])),
)

# ------------------------------------------------------------------------------------------ mobilenet

right = to("mobilenet/separable_macs")
f = formula("in_channels, out_channels, kernel, height, width")
right("factored", f("in_channels * (kernel**2 + out_channels) * height * width"))
right(
    "channel by channel",
    f("sum(height * width * (kernel * kernel + out_channels) for _ in range(in_channels))"),
)
right(
    "the full cost times the ratio, exactly",
    f(
        "int(kernel**2 * in_channels * out_channels * height * width * (Fraction(1, out_channels)"
        " + Fraction(1, kernel**2)))"
    ),
)

right = to("mobilenet/separable_ratio")
f = formula("out_channels, kernel")
right("one fraction", f("(kernel**2 + out_channels) / (out_channels * kernel**2)"))
right("negative powers", f("out_channels**-1 + kernel**-2"))
right("exact", f("float(Fraction(1, out_channels) + Fraction(1, kernel * kernel))"))
right("cost over cost", f("(kernel**2 * 7 + 7 * out_channels) / (kernel**2 * 7 * out_channels)"))

right = to("mobilenet/depthwise_conv")
f = formula("x, weight")
right(
    "windows",
    f(
        "torch.einsum('bchwuv,cuv->bchw', F.pad(x, [weight.shape[-1] // 2] * 4).unfold(2, "
        "weight.shape[-1], 1).unfold(3, weight.shape[-1], 1), weight[:, 0])"
    ),
)
right(
    "unfolded columns",
    f(
        "(F.unfold(x, weight.shape[-1], padding=weight.shape[-1] // 2).view(*x.shape[:2], -1, "
        "x[0, 0].numel()) * weight.flatten(1)[None, :, :, None]).sum(2).view_as(x)"
    ),
)
right(
    "channel by channel",
    f(
        "torch.cat([F.conv2d(x[:, c : c + 1], weight[c : c + 1], padding=weight.shape[-1] // 2) "
        "for c in range(x.shape[1])], 1)"
    ),
)
right(
    "a dense convolution with a diagonal",
    f("F.conv2d(x, torch.eye(x.shape[1])[:, :, None, None] * weight, padding=weight.shape[-1] // 2)"),
)
right(
    "channels as images",
    f(
        "torch.stack([F.conv2d(x[:, c, None], w[None], padding='same')[:, 0] for c, w in "
        "enumerate(weight)], 1)"
    ),
)


@right("rolled images")
def depthwise_conv(x, weight):
    k = weight.shape[-1]
    p = k // 2
    wide = F.pad(x, [p] * 4)
    total = 0
    for u, v in itertools.product(range(k), range(k)):
        met = torch.roll(wide, (p - u, p - v), (2, 3))
        total = total + met * weight[:, 0, u, v].view(-1, 1, 1)
    return total[:, :, p : p + x.shape[2], p : p + x.shape[3]]


right = to("mobilenet/separable_conv")
right("depthwise by windows", separable(lambda i, o, s: PerChannel(i, 3, s)))
right("pointwise by einsum", separable(pointwise=lambda i, o, s: Mix(i, o)))
right(
    "both, norms by hand, ReLU by where",
    separable(
        lambda i, o, s: PerChannel(i, 3, s),
        HandNorm,
        layer(where),
        lambda i, o, s: Mix(i, o),
        ODD_NORM,
        layer(half),
    ),
)
right(
    "a stride by slicing",
    separable(lambda i, o, s: nn.Sequential(deep(3)(i, i), Apply(lambda x: x[:, :, ::s, ::s]))),
)


@right("one row, as in a public repository")
class ConvDw(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1):
        i, o = in_channels, out_channels
        super().__init__(
            nn.Conv2d(i, i, 3, stride, 1, groups=i, bias=False), BN(i), nn.ReLU(inplace=True),
            nn.Conv2d(i, o, 1, 1, 0, bias=False), BN(o), nn.ReLU(inplace=True),
        )  # fmt: skip


@right("functional, in a loop over two layers")
class TwoLayers(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        i, o = in_channels, out_channels
        self.w = nn.ParameterList([weight(i, 1, 3, 3), weight(o, i, 1, 1)])
        self.norms = nn.ModuleList([BN(i), BN(o)])
        self.how = [{"stride": stride, "padding": 1, "groups": i}, {}]

    def forward(self, x):
        for w, norm, how in zip(self.w, self.norms, self.how, strict=True):
            x = norm(F.conv2d(x, w, **how)).clamp(min=0)
        return x


right = to("mobilenet/repaired_block")
right("depthwise by windows", separable(lambda i, o, s: PerChannel(i, 3, s)))
right("pointwise by einsum", separable(pointwise=lambda i, o, s: Mix(i, o)))
right("functional", TwoLayers)

# --------------------------------------------------------------------------------------- mobilenet_v2

right = to("mobilenet_v2/inverted_residual")
right("ReLU6 as a clamp", inverted(act=layer(lambda x: x.clamp(0, 6))))
right("ReLU6 as a hard tanh", inverted(act=lambda: nn.Hardtanh(0.0, 6.0)))
right("ReLU6 as a difference", inverted(act=layer(lambda x: F.relu(x) - F.relu(x - 6))))
right(
    "ReLU6 by minimum and maximum",
    inverted(act=layer(lambda x: torch.minimum(torch.maximum(x, torch.tensor(0.0)), torch.tensor(6.0)))),
)
right(
    "1x1 by einsum, norms by hand",
    inverted(expand=lambda i, o, s: Mix(i, o), project=lambda i, o, s: Mix(i, o), norm=HandNorm),
)
right("depthwise by windows", inverted(depthwise=lambda k: lambda i, o, s: PerChannel(i, k, s)))


@right("as in a public repository: two rows, chosen by the expansion")
class TwoRows(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        inp, oup, hidden = in_channels, out_channels, round(in_channels * expansion)
        self.use_res_connect = stride == 1 and inp == oup
        tail = [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False), BN(hidden), nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, oup, 1, 1, 0, bias=False), BN(oup),
        ]  # fmt: skip
        if expansion == 1:
            self.conv = nn.Sequential(*tail)
        else:
            self.conv = nn.Sequential(
                nn.Conv2d(inp, hidden, 1, bias=False), BN(hidden), nn.ReLU6(inplace=True), *tail
            )

    def forward(self, x):
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


@right("the residual as a product with a flag")
class Flagged(inverted()):
    def forward(self, x):
        out = self.project(self.filter(self.expand(x)))
        return out.add(x, alpha=1) if self.stride * self.i == self.o and self.stride == 1 else out


right = to("mobilenet_v2/inverted_residual_macs")
f = formula("in_channels, out_channels, height, width, stride=1, expansion=6")
right(
    "factored",
    f(
        "expansion * in_channels * ((expansion != 1) * in_channels * height * width + (9 + "
        "out_channels) * -(-height // stride) * -(-width // stride))"
    ),
)
right(
    "by counting places",
    f(
        "(in_channels**2 * expansion * height * width if expansion > 1 else 0) + in_channels * "
        "expansion * (9 + out_channels) * len(range(0, height, stride)) * len(range(0, width, "
        "stride))"
    ),
)
right(
    "by rounding up",
    f(
        "sum([0 if expansion == 1 else expansion * in_channels**2 * height * width, expansion * "
        "in_channels * (9 + out_channels) * math.ceil(height / stride) * math.ceil(width / "
        "stride)])"
    ),
)

right = to("mobilenet_v2/repaired_block")
right("ReLU6 as a clamp", inverted(act=layer(lambda x: x.clamp(0, 6))))
right("two rows", TwoRows)
right("1x1 by einsum", inverted(expand=lambda i, o, s: Mix(i, o), project=lambda i, o, s: Mix(i, o)))

# --------------------------------------------------------------------------------------- efficientnet

right = to("efficientnet/compound_scaling")
f = formula("phi, alpha=1.2, beta=1.1, gamma=1.15")
right("a generator", f("tuple(base**phi for base in (alpha, beta, gamma))"))
right("logarithms", f("tuple(math.exp(phi * math.log(base)) for base in (alpha, beta, gamma))"))
right("math.pow", f("(math.pow(alpha, phi), math.pow(beta, phi), math.pow(gamma, phi))"))

right = to("efficientnet/flops_growth")
f = formula("phi, alpha=1.2, beta=1.1, gamma=1.15")
right("power by power", f("alpha**phi * beta ** (2 * phi) * gamma ** (2 * phi)"))
right("squared together", f("alpha**phi * ((beta * gamma) ** phi) ** 2"))
right("logarithms", f("math.exp(phi * (math.log(alpha) + 2 * math.log(beta) + 2 * math.log(gamma)))"))

right = to("efficientnet/round_channels")


@right("as in a model library")
def round_channels(channels, width, divisor=8):
    value = channels * width
    new_value = max(divisor, int(value + divisor / 2) // divisor * divisor)
    if new_value < 0.9 * value:
        new_value += divisor
    return new_value


@right("as in a public repository: nothing to scale at width 1 but the rounding")
def round_filters(channels, width, divisor=8):
    min_depth = divisor
    filters = channels * width
    new_filters = max(min_depth, int(filters + divisor / 2) // divisor * divisor)
    return int(new_filters + divisor) if new_filters < 0.9 * filters else int(new_filters)


@right("floor of quotients")
def _quotients(channels, width, divisor=8):
    wanted = channels * width
    times = max(1, math.floor((wanted + divisor / 2) / divisor))
    return divisor * (times + (divisor * times < 0.9 * wanted))


right = to("efficientnet/round_repeats")
f = formula("repeats, depth")
right("floor of the negative", f("-math.floor(-(repeats * depth))"))
right("integer division of the negative", f("int(-(-(depth * repeats) // 1))"))
right(
    "one more where something is left", f("int(repeats * depth) + (repeats * depth > int(repeats * depth))")
)

right = to("efficientnet/squeeze_excite")
right(
    "1x1 convolutions and an adaptive pool",
    gate(
        lambda x: F.adaptive_avg_pool2d(x, 1),
        lambda i, o: nn.Conv2d(i, o, 1),
        up=lambda i, o: nn.Conv2d(i, o, 1),
        apply=lambda x, s: x * s,
    ),
)
right(
    "SiLU and sigmoid by hand",
    gate(act=layer(lambda z: z * torch.sigmoid(z)), last=layer(lambda z: 1 / (1 + torch.exp(-z)))),
)
right("sigmoid from tanh", gate(last=layer(lambda z: 0.5 * (1 + torch.tanh(z / 2)))))
right("transposed weights", gate(down=Transposed, up=Transposed))
right(
    "einsum for the product",
    gate(lambda x: x.flatten(2).mean(-1), apply=lambda x, s: torch.einsum("bchw,bc->bchw", x, s)),
)
right(
    "a gated linear unit",
    gate(
        last=nn.Identity,
        apply=lambda x, z: F.glu(torch.cat([x, z[:, :, None, None].expand_as(x)], 1), 1),
    ),
)
right("SiLU divided by one plus an exponential", gate(act=layer(lambda z: z / (1 + (-z).exp()))))


@right("one parameter for each step")
class Flatland(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.w1, self.b1 = weight(squeezed, channels), weight(squeezed)
        self.w2, self.b2 = weight(channels, squeezed), weight(channels)

    def forward(self, x):
        m = x.mean((2, 3)).T
        s = torch.sigmoid(self.w2 @ F.silu(self.w1 @ m + self.b1[:, None]) + self.b2[:, None])
        return (x.movedim((0, 1), (2, 3)) * s.T).movedim((2, 3), (0, 1))


right = to("efficientnet/mbconv")
NORM = functools.partial(HandNorm, eps=1e-3, momentum=0.01)
right("norms by hand", mbconv(norm=NORM))
right("SiLU by hand", mbconv(act=layer(lambda z: z * torch.sigmoid(z))))
right("depthwise by windows", mbconv(depthwise=lambda k: lambda i, o, s: PerChannel(i, k, s)))
right(
    "1x1 by einsum, a gate of convolutions",
    mbconv(
        expand=lambda i, o, s: Mix(i, o),
        project=lambda i, o, s: Mix(i, o),
        gate=gate(
            lambda x: x.mean((2, 3), keepdim=True),
            lambda i, o: nn.Conv2d(i, o, 1),
            up=lambda i, o: nn.Conv2d(i, o, 1),
            apply=lambda x, s: x * s,
        ),
    ),
)
right("a gate with transposed weights", mbconv(gate=gate(down=Transposed, up=Transposed)))


@right("as in a model library: one row, the gate in it")
class RowConv(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, expansion=6):
        super().__init__()
        norm, wide = bn(eps=1e-3, momentum=0.01), in_channels * expansion

        def unit(i, o, k=1, s=1, g=1, act=True):
            row = [nn.Conv2d(i, o, k, s, (k - 1) // 2, groups=g, bias=False), norm(o)]
            return nn.Sequential(*row, *[nn.SiLU(inplace=True)] * act)

        row = [unit(in_channels, wide)] if wide != in_channels else []
        row += [unit(wide, wide, kernel_size, stride, wide), Flatland(wide, max(1, in_channels // 4))]
        self.block = nn.Sequential(*row, unit(wide, out_channels, act=False))
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, x):
        result = self.block(x)
        if self.use_res_connect:
            result += x
        return result


right = to("efficientnet/drop_connect")


@right("as in a model library: Bernoulli numbers")
def drop_connect(x, drop_rate, training):
    if not training or drop_rate == 0.0:
        return x
    survival = 1.0 - drop_rate
    noise = torch.empty([x.shape[0]] + [1] * (x.ndim - 1), dtype=x.dtype).bernoulli_(survival)
    return x * noise.div_(survival)


@right("as in a public repository: rounded down")
def _floor(x, drop_rate, training):
    if not training:
        return x
    keep = 1 - drop_rate
    binary = torch.floor(keep + torch.rand([x.shape[0], 1, 1, 1], dtype=x.dtype))
    return x / keep * binary


@right("dropout of a column of ones")
def _ones(x, drop_rate, training):
    return x * F.dropout(x.new_ones(len(x), 1, 1, 1), drop_rate, training)


@right("where")
def _where(x, drop_rate, training):
    if not training or not drop_rate:
        return x
    dropped = (torch.rand(len(x)) < drop_rate).view(-1, 1, 1, 1)
    return torch.where(dropped, torch.zeros_like(x), x / (1 - drop_rate))


@right("image by image")
def _images(x, drop_rate, training):
    if not (training and drop_rate > 0):
        return x
    return torch.stack([image * 0 if torch.rand(()) < drop_rate else image / (1 - drop_rate) for image in x])


right(
    "channels and pixels as one, dropped by PyTorch",
    formula("x, drop_rate, training")("F.dropout1d(x.flatten(1)[None], drop_rate, training)[0].view_as(x)"),
)

right = to("efficientnet/repaired_gate")


def conv_gate(
    average: Any, act: Any = nn.SiLU, unit: Any = lambda i, o: nn.Conv2d(i, o, 1)
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.row = nn.Sequential(unit(channels, squeezed), act(), unit(squeezed, channels))

        def forward(self, x: Tensor) -> Tensor:
            return self.row(average(x)).sigmoid().view(*x.shape[:2], 1, 1).mul(x)

    return Block


right("an adaptive pool", conv_gate(lambda x: F.adaptive_avg_pool2d(x, 1)))
right("linear layers", conv_gate(lambda x: x.mean((-1, -2)), unit=nn.Linear))
right(
    "transposed weights, SiLU by hand",
    conv_gate(lambda x: x.flatten(2).mean(2), layer(lambda z: z * z.sigmoid()), Transposed),
)
right("image by image", conv_gate(lambda x: torch.stack([image.mean((1, 2), keepdim=True) for image in x])))
