"""Pre-activation ResNet: He, Zhang, Ren & Sun (2016), "Identity Mappings in Deep Residual Networks",
https://arxiv.org/abs/1603.05027.

The idea: put batch norm and ReLU *before* each convolution, so that nothing stands on the path of the sums.
Then x_L = x_l + sum of F(x_i), eq. (4): every layer's output, and its gradient, reaches every other directly.
Shapes are (batch, channels, height, width).

Departures from the paper: none, but the stride of a bottleneck has two places, and each family keeps its own:
the first 1x1 on CIFAR-10 (as in the authors' `resnet-pre-act.lua`), the 3x3 on ImageNet (as in the code of
`fb.resnet.torch`). Both have the same parameters. A shortcut that has to change the shape is a 1x1
convolution without batch norm on the pre-activated input (bottlenecks, and all of ImageNet), or zero padding
(two-layer units on CIFAR-10). The first activation comes right after the first convolution, before the paths
split: here it belongs to the stem, and the first unit has none of its own. After the last addition there is
one more. ResNet-1001's "10.2 M" counts convolutions and the linear layer (10,178,490); with batch norm it has
10,327,706 parameters.
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn


def conv(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    """A convolution that keeps the grid (up to its stride). No bias: a batch norm follows later."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False)


def bn_relu(channels: int) -> nn.Sequential:
    """The activation: batch norm, then ReLU."""
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


class PadShortcut(nn.Module):
    """Option A: take every `stride`-th pixel, fill the new channels with zeros. No parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = out_channels - in_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))  # old channels first, then zeros


class PreActUnit(nn.Module):
    """x + F(g(x)), where g is batch norm and ReLU (fig. 4e). The sum is left as it is.

    Where the shape changes, the shortcut too starts from g(x). `preactivate=False` leaves g out: the first
    unit, whose input the stem has activated already.
    """

    def __init__(
        self,
        residual: nn.Module,
        in_channels: int,
        out_channels: int,
        stride: int,
        preactivate: bool,
        pad: bool,
    ) -> None:
        super().__init__()
        self.activate = bn_relu(in_channels) if preactivate else nn.Identity()
        self.residual = residual
        self.same_shape = stride == 1 and in_channels == out_channels
        if self.same_shape:
            self.shortcut: nn.Module = nn.Identity()
        elif pad:
            self.shortcut = PadShortcut(in_channels, out_channels, stride)
        else:
            self.shortcut = conv(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        activated = self.activate(x)
        return self.residual(activated) + self.shortcut(x if self.same_shape else activated)


class PreActBasic(PreActUnit):
    """Two 3x3 convolutions (ResNet-18, -34, -110)."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        preactivate: bool = True,
        pad: bool = False,
    ) -> None:
        residual = nn.Sequential(
            conv(in_channels, out_channels, 3, stride),  # (B, out, H/stride, W/stride)
            bn_relu(out_channels),
            conv(out_channels, out_channels, 3),
        )
        super().__init__(residual, in_channels, out_channels, stride, preactivate, pad)


class PreActBottleneck(PreActUnit):
    """1x1, 3x3, 1x1 (ResNet-50 and deeper, ResNet-164, -1001): 4 x `channels` channels come out."""

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        preactivate: bool = True,
        stride_in: Literal["1x1", "3x3"] = "3x3",
    ) -> None:
        out_channels = self.expansion * channels
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        residual = nn.Sequential(
            conv(in_channels, channels, 1, first),  # reduce
            bn_relu(channels),
            conv(channels, channels, 3, second),
            bn_relu(channels),
            conv(channels, out_channels, 1),  # restore
        )
        super().__init__(residual, in_channels, out_channels, stride, preactivate, pad=False)


Unit = PreActBasic | PreActBottleneck


def stages(
    block: type[Unit], in_channels: int, rows: list[tuple[int, int, int]], **options: Any
) -> nn.Sequential:
    """Rows (channels, blocks, stride of the first block). The very first unit is not pre-activated."""
    all_stages: list[nn.Module] = []
    for channels, blocks, first_stride in rows:
        units = []
        for index in range(blocks):
            very_first = not all_stages and index == 0
            stride = first_stride if index == 0 else 1
            units.append(block(in_channels, channels, stride, preactivate=not very_first, **options))
            in_channels = channels * block.expansion
        all_stages.append(nn.Sequential(*units))
    return nn.Sequential(*all_stages)


def head(channels: int, num_classes: int) -> nn.Sequential:
    """The extra activation after the last addition, the average, and the classifier."""
    return nn.Sequential(
        bn_relu(channels), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, num_classes)
    )


class PreResNet(nn.Module):
    """The ImageNet networks: (B, 3, H, W) -> logits (B, num_classes). The paper's H = W = 224."""

    def __init__(self, block: type[Unit], blocks: list[int], num_classes: int = 1000, **options: Any) -> None:
        super().__init__()
        check(num_classes)
        rows = list(zip([64, 128, 256, 512], blocks, [1, 2, 2, 2], strict=True))
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),  # (B, 64, 112, 112)
            bn_relu(64),
            nn.MaxPool2d(3, stride=2, padding=1),  # (B, 64, 56, 56)
        )
        self.stages = stages(block, 64, rows, **options)  # (B, 512 or 2048, 7, 7)
        self.head = head(512 * block.expansion, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class CifarPreResNet(nn.Module):
    """The CIFAR networks: (B, 3, 32, 32) -> logits (B, num_classes), `num_blocks` units at each width."""

    def __init__(
        self,
        block: type[Unit],
        num_blocks: int,
        num_classes: int = 10,
        in_channels: int = 3,
        **options: Any,
    ) -> None:
        super().__init__()
        check(num_classes)
        rows = [(16, num_blocks, 1), (32, num_blocks, 2), (64, num_blocks, 2)]
        self.stem = nn.Sequential(conv(in_channels, 16, 3), bn_relu(16))  # (B, 16, 32, 32)
        self.stages = stages(block, 16, rows, **options)  # (B, 64 or 256, 8, 8)
        self.head = head(64 * block.expansion, num_classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


def initialise(network: nn.Module) -> None:
    """Convolution weights as in He et al. (2015), https://arxiv.org/abs/1502.01852: variance 2 / fan-out."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


# The number of units in conv2_x ... conv5_x. ResNet-200 is new in this paper; the others are those of 2015.
PRERESNET = {
    18: (PreActBasic, [2, 2, 2, 2]),
    34: (PreActBasic, [3, 4, 6, 3]),
    50: (PreActBottleneck, [3, 4, 6, 3]),
    101: (PreActBottleneck, [3, 4, 23, 3]),
    152: (PreActBottleneck, [3, 8, 36, 3]),
    200: (PreActBottleneck, [3, 24, 36, 3]),
}


def preresnet(depth: int, num_classes: int = 1000) -> PreResNet:
    """An ImageNet network; the stride of a bottleneck sits on its 3x3.

    >>> sum(p.numel() for p in preresnet(18).parameters())
    11687720
    """
    if depth not in PRERESNET:
        expected = ", ".join(map(str, PRERESNET))
        raise ValueError(f"depth is {depth!r}; the pre-activation ResNets of ImageNet have depth {expected}")
    block, blocks = PRERESNET[depth]
    return PreResNet(block, blocks, num_classes)


def cifar_preresnet(
    depth: int, num_classes: int = 10, bottleneck: bool | None = None, in_channels: int = 3
) -> CifarPreResNet:
    """A CIFAR network of depth 6n + 2 (two-layer units) or 9n + 2 (bottlenecks).

    Many depths fit both. As in the paper, networks up to 110 layers have two-layer units and deeper ones
    (164, 1001) bottlenecks, unless `bottleneck` says otherwise.

    >>> sum(p.numel() for p in cifar_preresnet(164).parameters())
    1703258
    """
    if bottleneck is None:
        bottleneck = depth > 110
    layers = 9 if bottleneck else 6  # of the three stages, one unit each
    num_blocks, remainder = divmod(depth - 2, layers)
    if remainder or num_blocks < 1:
        nearest = layers * max(1, round((depth - 2) / layers)) + 2
        kind = "bottlenecks" if bottleneck else "two-layer units"
        raise ValueError(
            f"depth is {depth!r}; CIFAR networks of {kind} have depth {layers}n + 2, such as {nearest}"
        )
    if bottleneck:
        return CifarPreResNet(PreActBottleneck, num_blocks, num_classes, in_channels, stride_in="1x1")
    return CifarPreResNet(PreActBasic, num_blocks, num_classes, in_channels, pad=True)


def check(num_classes: int) -> None:
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes!r}; expected at least 1")
