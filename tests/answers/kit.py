"""Blocks in which every decision is an argument, so that a slip is one line.

With its defaults each of these is the right block. `nn.Identity` stands for a layer that was forgotten: it takes
any arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BN, ReLU, Nothing = nn.BatchNorm2d, nn.ReLU, nn.Identity
Make = Callable[..., nn.Module]


def bn(**options: Any) -> Make:
    """A batch norm with other options than PyTorch's defaults."""
    return lambda channels: nn.BatchNorm2d(channels, **options)


def conv(kernel: int, **options: Any) -> Make:
    """(in, out, stride) -> a convolution that keeps the grid, without bias unless told otherwise."""
    options = {"padding": kernel // 2, "bias": False} | options
    return lambda i, o, s=1: nn.Conv2d(i, o, kernel, **({"stride": s} | options))


def deep(kernel: int = 3, **options: Any) -> Make:
    """The same, depthwise; i and o are equal."""
    return lambda i, o, s=1: conv(kernel, **({"groups": i} | options))(i, o, s)


CONV3, CONV1, DEEP3 = conv(3), conv(1), deep()
POINT = conv(1, stride=1)  # whatever the stride of the block


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


def layer(function: Callable[..., Tensor]) -> Make:
    """What makes a function usable where a class of modules is expected."""
    return lambda *_: Apply(function)


# Residual blocks


def projection(i: int, o: int, s: int, make: Make = CONV1, norm: Make = BN) -> nn.Module:
    return nn.Sequential(make(i, o, s), norm(o))


def shortcut(make: Make = projection, when: Callable[..., bool] = lambda i, o, s: s != 1 or i != o) -> Make:
    """The input itself, or what `make(in, out, stride)` gives where it is needed."""
    return lambda i, o, s: make(i, o, s) if when(i, o, s) else nn.Identity()


PROJECTED = shortcut()


def basic_forward(m: Any, x: Tensor) -> Tensor:
    out = m.act(m.bn1(m.conv1(x)))
    return m.last(m.bn2(m.conv2(out)) + m.shortcut(x))


def basic(
    conv1: Make = CONV3,
    bn1: Make = BN,
    act: Make = ReLU,
    conv2: Make = CONV3,
    bn2: Make = BN,
    short: Make = PROJECTED,
    last: Make = ReLU,
    forward: Callable[[Any, Tensor], Tensor] = basic_forward,
) -> type[nn.Module]:
    run = forward

    class Block(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.stride = stride
            self.conv1 = conv1(in_channels, out_channels, stride)
            self.bn1 = bn1(out_channels)
            self.act = act()
            self.conv2 = conv2(out_channels, out_channels, 1)
            self.bn2 = bn2(out_channels)
            self.shortcut = short(in_channels, out_channels, stride)
            self.last = last()

        def forward(self, x: Tensor) -> Tensor:
            return run(self, x)

    return Block


def bottleneck_forward(m: Any, x: Tensor) -> Tensor:
    out = m.act1(m.bn1(m.conv1(x)))
    out = m.act2(m.bn2(m.conv2(out)))
    return m.last(m.bn3(m.conv3(out)) + m.shortcut(x))


def bottleneck(
    conv1: Make = POINT,
    bn1: Make = BN,
    act1: Make = ReLU,
    conv2: Make = CONV3,
    bn2: Make = BN,
    act2: Make = ReLU,
    conv3: Make = POINT,
    bn3: Make = BN,
    short: Make = PROJECTED,
    last: Make = ReLU,
    forward: Callable[[Any, Tensor], Tensor] = bottleneck_forward,
    expansion: int = 4,
    width: Callable[[int, int], int] = lambda i, c: c,
) -> type[nn.Module]:
    """conv1 and conv3 are given the block's stride, and ignore it unless they say otherwise."""
    run = forward

    class Block(nn.Module):
        def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
            super().__init__()
            inner, out_channels = width(in_channels, channels), expansion * channels
            self.conv1, self.bn1, self.act1 = conv1(in_channels, inner, stride), bn1(inner), act1()
            self.conv2, self.bn2, self.act2 = conv2(inner, inner, stride), bn2(inner), act2()
            self.conv3, self.bn3 = conv3(inner, out_channels, stride), bn3(out_channels)
            self.shortcut = short(in_channels, out_channels, stride)
            self.last = last()

        def forward(self, x: Tensor) -> Tensor:
            return run(self, x)

    return Block


def stage_of(
    block: Make, count: int, in_channels: int, out_channels: int, strides: list[int]
) -> nn.Sequential:
    blocks = []
    for index in range(count):
        blocks.append(block(in_channels if index == 0 else out_channels, out_channels, strides[index]))
    return nn.Sequential(*blocks)


def stage(block: Make | None = None, in_channels: int = 16, out: int = 16, n: int = 1, stride: int = 1):
    """A right stage of `block`s, the first of which takes the stride."""
    return stage_of(block or basic(), n, in_channels, out, [stride] + [1] * (n - 1))


def cifar_forward(m: Any, x: Tensor) -> Tensor:
    x = m.stages(m.act(m.norm(m.stem(x))))
    return m.linear(x.mean(dim=(2, 3)))


def cifar(
    stem: Make = CONV3,
    norm: Make = BN,
    act: Make = ReLU,
    widths: tuple[int, int, int] = (16, 32, 64),
    strides: tuple[int, int, int] = (1, 2, 2),
    block: Make | None = None,
    linear: Make = nn.Linear,
    count: Callable[[int], int] = lambda n: n,
    forward: Callable[[Any, Tensor], Tensor] = cifar_forward,
) -> type[nn.Module]:
    run, inside = forward, block or basic()

    class Block(nn.Module):
        def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
            super().__init__()
            self.stem, self.norm, self.act = stem(3, widths[0]), norm(widths[0]), act()
            before = (widths[0], *widths[:2])
            self.stages = nn.Sequential(
                *(
                    stage(inside, i, o, count(num_blocks), s)
                    for i, o, s in zip(before, widths, strides, strict=True)
                )
            )
            self.linear = linear(widths[2], num_classes)

        def forward(self, x: Tensor) -> Tensor:
            return run(self, x)

    return Block


# Depthwise blocks


def separable(
    depthwise: Make = DEEP3,
    norm1: Make = BN,
    act1: Make = ReLU,
    pointwise: Make = POINT,
    norm2: Make = BN,
    act2: Make = ReLU,
    forward: Callable[[Any, Tensor], Tensor] = lambda m, x: m.second(m.first(x)),
    default_stride: int = 1,
) -> type[nn.Module]:
    run = forward

    class Block(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = default_stride) -> None:
            super().__init__()
            i, o, s = in_channels, out_channels, stride
            self.first = nn.Sequential(depthwise(i, i, s), norm1(i), act1())
            self.second = nn.Sequential(pointwise(i, o, s), norm2(o), act2())

        def forward(self, x: Tensor) -> Tensor:
            return run(self, x)

    return Block


def residual_forward(m: Any, x: Tensor) -> Tensor:
    out = m.after(m.project(m.gate(m.filter(m.expand(x)))))
    return x + out if m.residual else out


def linear_bottleneck(m: nn.Module, i: int, o: int, k: int, s: int, t: int, **d: Any) -> None:
    """Fills `m` with the layers of an inverted residual; `d` are decisions, all of them optional."""
    norm = d.get("norm", BN)
    hidden = d.get("width", lambda i, o, t: t * i)(i, o, t)
    act = d.get("act", nn.ReLU6)
    m.i, m.o, m.stride, m.t = i, o, s, t
    m.expand = nn.Identity()
    if d.get("when", lambda t: t != 1)(t):
        m.expand = nn.Sequential(
            d.get("expand", conv(1, stride=1))(i, hidden, s),
            d.get("norm1", norm)(hidden),
            d.get("act1", act)(),
        )
    depthwise = d.get("depthwise", deep)(k)
    m.filter = nn.Sequential(depthwise(hidden, hidden, s), d.get("norm2", norm)(hidden), d.get("act2", act)())
    m.gate = d.get("gate", Nothing)(hidden, d.get("squeezed", lambda i, h: max(1, i // 4))(i, hidden))
    m.project = nn.Sequential(
        d.get("project", conv(1, stride=1))(hidden, o, s), d.get("norm3", norm)(o), d.get("act3", Nothing)()
    )
    m.after = d.get("after", Nothing)()
    m.residual = d.get("residual", lambda i, o, s: s == 1 and i == o)(i, o, s)
    m.run = d.get("forward", residual_forward)
    if "short" in d:
        m.shortcut = d["short"](i, o, s)


def inverted(default: tuple[int, int] = (1, 6), **decisions: Any) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            stride: int = default[0],
            expansion: int = default[1],
        ) -> None:
            super().__init__()
            linear_bottleneck(self, in_channels, out_channels, 3, stride, expansion, **decisions)

        def forward(self, x: Tensor) -> Tensor:
            return self.run(self, x)

    return Block


def gate(
    squeeze: Callable[[Tensor], Tensor] = lambda x: x.mean(dim=(2, 3)),
    down: Make = nn.Linear,
    act: Make = nn.SiLU,
    up: Make = nn.Linear,
    last: Make = nn.Sigmoid,
    apply: Callable[[Tensor, Tensor], Tensor] = lambda x, s: x * s[:, :, None, None],
    width: Callable[[int], int] = lambda squeezed: squeezed,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.down, self.act = down(channels, width(squeezed)), act()
            self.up, self.last = up(width(squeezed), channels), last()

        def forward(self, x: Tensor) -> Tensor:
            return apply(x, self.last(self.up(self.act(self.down(squeeze(x))))))

    return Block


def mbconv(default: tuple[int, int, int] = (3, 1, 6), **decisions: Any) -> type[nn.Module]:
    decisions = {"norm": bn(eps=1e-3, momentum=0.01), "act": nn.SiLU, "gate": gate()} | decisions

    class Block(nn.Module):
        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int = default[0],
            stride: int = default[1],
            expansion: int = default[2],
        ) -> None:
            super().__init__()
            linear_bottleneck(self, in_channels, out_channels, kernel_size, stride, expansion, **decisions)

        def forward(self, x: Tensor) -> Tensor:
            return self.run(self, x)

    return Block


def same_padding(kernel: int) -> Make:
    """A depthwise convolution with TensorFlow's padding: more zeros below and on the right at stride 2."""

    class Same(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            sides = []
            for n, s in zip(reversed(x.shape[2:]), reversed(self.stride), strict=True):
                total = max((-(-n // s) - 1) * s + kernel - n, 0)
                sides += [total // 2, total - total // 2]
            return super().forward(F.pad(x, sides))

    return lambda i, o, s=1: Same(i, o, kernel, s, groups=i, bias=False)


# Networks without norms


def lenet_forward(m: Any, x: Tensor) -> Tensor:
    x = m.pool(m.act(m.c1(x)))
    x = m.pool(m.act(m.c3(x)))
    x = m.act(m.c5(x)).flatten(1)
    return m.tail(m.output(m.act6(m.f6(x))))


def lenet(
    c1: Make = lambda: nn.Conv2d(1, 6, 5),
    c3: Make = lambda: nn.Conv2d(6, 16, 5),
    c5: Make = lambda: nn.Conv2d(16, 120, 5),
    f6: Make = lambda: nn.Linear(120, 84),
    output: Make = lambda n: nn.Linear(84, n),
    act: Make = nn.Tanh,
    act6: Make | None = None,
    pool: Make = lambda: nn.AvgPool2d(2),
    tail: Make = Nothing,
    forward: Callable[[Any, Tensor], Tensor] = lenet_forward,
    classes: int = 10,
) -> type[nn.Module]:
    run = forward

    class Block(nn.Module):
        def __init__(self, num_classes: int = classes) -> None:
            super().__init__()
            self.c1, self.c3, self.c5, self.f6 = c1(), c3(), c5(), f6()
            self.output = output(num_classes)
            self.act, self.act6, self.pool, self.tail = act(), (act6 or act)(), pool(), tail()

        def forward(self, x: Tensor) -> Tensor:
            return run(self, x)

    return Block


def alexnet(
    widths: tuple[int, ...] = (96, 256, 384, 384, 256),
    groups: tuple[int, ...] = (1, 2, 1, 2, 2),
    padding: tuple[int, ...] = (0, 2, 1, 1, 1),
    kernels: tuple[int, ...] = (11, 5, 3, 3, 3),
    stride: int = 4,
    act: Make = ReLU,
    norm: Make = lambda: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2),
    pool: Make = lambda: nn.MaxPool2d(3, 2),
    order: tuple[str, ...] = ("act norm pool", "act norm pool", "act", "act", "act pool"),
    bias: bool = True,
    tail: Make = Nothing,
) -> type[nn.Module]:
    makers = {"act": act, "norm": norm, "pool": pool}

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            before = (3, *widths)
            for n in range(5):
                s = stride if n == 0 else 1
                layers.append(
                    nn.Conv2d(before[n], widths[n], kernels[n], s, padding[n], groups=groups[n], bias=bias)
                )
                layers += [makers[name]() for name in order[n].split()]
            self.layers = nn.Sequential(*layers, tail())

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    return Block


def vgg3(i: int, o: int) -> nn.Conv2d:
    return nn.Conv2d(i, o, 3, padding=1)


def vgg(
    convolution: Make = vgg3,
    act: Make = ReLU,
    pool: Make = lambda: nn.MaxPool2d(2),
    norm: Make | None = None,
    order: str = "conv act",
) -> Callable[..., nn.Sequential]:
    def _(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
        layers: list[nn.Module] = []
        for _ in range(num_convs):
            for name in order.split():
                if name == "conv":
                    layers.append(convolution(in_channels, out_channels))
                elif name == "norm" and norm:
                    layers.append(norm(out_channels))
                else:
                    layers.append(act())
            in_channels = out_channels
        return nn.Sequential(*layers, pool())

    return _


def features(
    convolution: Make = vgg3,
    act: Make = ReLU,
    pool: Make = lambda: nn.MaxPool2d(2),
    default: int = 3,
) -> Callable[..., nn.Sequential]:
    def _(config: list[int | str], in_channels: int = default) -> nn.Sequential:
        layers: list[nn.Module] = []
        for item in config:
            if item == "M":
                layers.append(pool())
            else:
                layers += [convolution(in_channels, item), act()]
                in_channels = item
        return nn.Sequential(*layers)

    return _


def biased(i: int, o: int, k: int, s: int = 1) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, s, padding=k // 2)


def nin(
    first: Make = lambda i, o, k, s, p: nn.Conv2d(i, o, k, s, p),
    second: Make = lambda o: nn.Conv2d(o, o, 1),
    third: Make | None = None,
    acts: tuple[Make, Make, Make] = (ReLU, ReLU, ReLU),
    defaults: tuple[int, int] = (1, 0),
    tail: Make = Nothing,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int,
            stride: int = defaults[0],
            padding: int = defaults[1],
        ) -> None:
            super().__init__()
            self.layers = nn.Sequential(
                first(in_channels, out_channels, kernel_size, stride, padding),
                acts[0](),
                second(out_channels),
                acts[1](),
                (third or second)(out_channels),
                acts[2](),
                tail(),
            )

        def forward(self, x: Tensor) -> Tensor:
            return self.layers(x)

    return Block


def head(
    maps: Make = lambda i, n: nn.Conv2d(i, n, 1),
    act: Make = Nothing,
    pool: Callable[[Tensor], Tensor] = lambda y: y.mean(dim=(2, 3)),
    tail: Make = Nothing,
    forward: Callable[[Any, Tensor], Tensor] | None = None,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, in_channels: int, num_classes: int) -> None:
            super().__init__()
            self.maps, self.act, self.tail = maps(in_channels, num_classes), act(), tail()

        def forward(self, x: Tensor) -> Tensor:
            return forward(self, x) if forward else self.tail(pool(self.act(self.maps(x))))

    return Block


def inception(
    unit: Make = lambda i, o, k: nn.Sequential(biased(i, o, k), nn.ReLU()),
    reduce3: Make | None = None,
    reduce5: Make | None = None,
    conv3: Make | None = None,
    conv5: Make | None = None,
    pool: Make = lambda: nn.MaxPool2d(3, 1, 1),
    proj: Make | None = None,
    join: Callable[[list[Tensor]], Tensor] = lambda b: torch.cat(b, 1),
    forward: Callable[[Any, Tensor], Tensor] | None = None,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(
            self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
        ) -> None:
            super().__init__()
            self.b1 = unit(in_channels, c1, 1)
            self.r3 = (reduce3 or unit)(in_channels, c3_reduce, 1)
            self.b3 = (conv3 or unit)(c3_reduce, c3, 3)
            self.r5 = (reduce5 or unit)(in_channels, c5_reduce, 1)
            self.b5 = (conv5 or unit)(c5_reduce, c5, 5)
            self.pool = pool()
            self.bp = (proj or unit)(in_channels, pool_proj, 1)

        def forward(self, x: Tensor) -> Tensor:
            if forward:
                return forward(self, x)
            return join([self.b1(x), self.b3(self.r3(x)), self.b5(self.r5(x)), self.bp(self.pool(x))])

    return Block


def reduction(
    reduce3: Make = lambda i, o: nn.Conv2d(i, o, 1),
    conv3: Make = lambda i, o: nn.Conv2d(i, o, 3, 2, 1),
    reduce5: Make = lambda i, o: nn.Conv2d(i, o, 1),
    conv5: Make = lambda i, o: nn.Conv2d(i, o, 5, 2, 2),
    pool: Make = lambda: nn.MaxPool2d(3, 2, 1),
    act: tuple[Make, Make, Make, Make] = (ReLU, ReLU, ReLU, ReLU),
    join: Callable[[list[Tensor]], Tensor] = lambda b: torch.cat(b, 1),
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
            super().__init__()
            self.branch3 = nn.Sequential(
                reduce3(in_channels, c3_reduce), act[0](), conv3(c3_reduce, c3), act[1]()
            )
            self.branch5 = nn.Sequential(
                reduce5(in_channels, c5_reduce), act[2](), conv5(c5_reduce, c5), act[3]()
            )
            self.pool = pool()

        def forward(self, x: Tensor) -> Tensor:
            return join([self.branch3(x), self.branch5(x), self.pool(x)])

    return Block
