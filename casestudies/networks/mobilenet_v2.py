"""MobileNetV2: Sandler, Howard, Zhu, Zhmoginov & Chen (2018), https://arxiv.org/abs/1801.04381.

The idea: carry the signal in few channels and work in many. A block expands, filters depthwise, and projects
back; the residual connection joins the narrow ends ("inverted"), and the projection has no ReLU ("linear
bottleneck"), since a ReLU in few dimensions throws information away.
Shapes are (batch, channels, height, width).

Departures from the paper: the text speaks of 19 bottleneck layers, Table 2 has 17; we follow the table.
Channels of a width multiplier are rounded to multiples of 8 as in the authors' released code, and the last
convolution keeps 1280 channels where the multiplier is below 1 (sec. 4). With width 1.4 that makes
6,108,776 parameters and 582,195,824 MACs; with these MACs no reading of the paper gives its 6.9 M. The dropout
of 0.2 before the classifier is also from that code. We count batch norm: 3,504,872 parameters, 3,470,760
without ("3.4 M").
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn_relu6(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm, ReLU6: min(max(x, 0), 6), which keeps its precision in few bits (sec. 4).

    The convolution has no bias: batch norm subtracts the mean, and any constant with it.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU6(),
    )


class InvertedResidual(nn.Module):
    """Expand (1x1), filter (3x3 depthwise), project (1x1, linear): Table 1, fig. 4 (d).

    The hidden width is `expansion` x `in_channels`; with expansion 1 there is nothing to
    expand, and no layer for it. The input is added only where shapes allow it as it is:
    stride 1 and equal channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        expansion: int = 6,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride is {stride!r}; an inverted residual has 1 or 2")
        if expansion < 1:
            raise ValueError(f"expansion is {expansion!r}; expected at least 1, such as 6")
        hidden = expansion * in_channels
        # (B, k, H, W) -> (B, t k, H, W) -> (B, t k, H/stride, W/stride) -> (B, k', same)
        layers = [] if expansion == 1 else [conv_bn_relu6(in_channels, hidden, 1)]
        self.block = nn.Sequential(
            *layers,
            conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden),
            nn.Conv2d(hidden, out_channels, 1, bias=False),  # (B, k', H/stride, W/stride)
            nn.BatchNorm2d(out_channels),  # and no activation: the bottleneck is linear
        )
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


# Table 2: expansion t, channels c, repeats n, stride s of the first repeat.
MOBILENET_V2 = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


class MobileNetV2(nn.Module):
    """Table 2: (B, 3, H, W) -> logits (B, num_classes). The paper's H = W = 224 to 96."""

    def __init__(self, width: float = 1.0, num_classes: int = 1000) -> None:
        super().__init__()
        stem, last = round_channels(32, width), round_channels(1280, max(1.0, width))
        in_channels, blocks = stem, []
        for expansion, channels, repeats, stride in MOBILENET_V2:
            out_channels = round_channels(channels, width)
            for index in range(repeats):
                blocks.append(
                    InvertedResidual(
                        in_channels,
                        out_channels,
                        stride if index == 0 else 1,
                        expansion,
                    )
                )
                in_channels = out_channels
        self.stem = conv_bn_relu6(3, stem, 3, stride=2)  # (B, 32, 112, 112)
        self.features = nn.Sequential(*blocks)  # (B, 320, 7, 7)
        self.last = conv_bn_relu6(in_channels, last, 1)  # (B, 1280, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(last, num_classes),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.features(self.stem(x))))


def round_channels(channels: int, width: float, divisor: int = 8) -> int:
    """channels x width to the nearest multiple of `divisor`, but never below 90% of it, nor below `divisor`.

    >>> round_channels(24, 0.75), round_channels(32, 0.35)  # 18 -> 16 loses 11%, so 24; 11.2 -> 8 loses 29%
    (24, 16)
    """
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def initialise(network: nn.Module) -> None:
    """Weights with variance 2 / fan-in. A depthwise filter has a fan-in of only k x k."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def mobilenet_v2(width: float = 1.0, num_classes: int = 1000) -> MobileNetV2:
    """Table 2 with a width multiplier (published: 1.4, 1.3, 1, 0.75, 0.5, 0.35).

    >>> sum(p.numel() for p in mobilenet_v2().parameters())
    3504872
    """
    if not 0 < width <= 2:
        raise ValueError(f"width is {width!r}; the width multiplier is above 0 and at most 2, such as 0.75")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes!r}; expected at least 1")
    return MobileNetV2(width, num_classes)
