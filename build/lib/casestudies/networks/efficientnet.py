"""EfficientNet: Tan & Le (2019), https://arxiv.org/abs/1905.11946.

The idea: a larger budget is best spent on depth, width and resolution together. With alpha beta^2 gamma^2
close to 2, depth alpha^phi, width beta^phi and resolution gamma^phi cost about 2^phi times as much, eq. (3).
B0 was found by a search; B1 to B7 are B0 scaled. So there is one table here, and the rules that scale it.
Shapes are (batch, channels, height, width).

Departures from the paper: where it is silent we follow the authors' released code: the coefficients of B1 to
B7 (which are not alpha^phi for whole phi), channels in multiples of 8, squeeze-and-excitation to a quarter of
the block's *input* channels, batch norm with eps 1e-3 and momentum 0.01, and drop connect that rises from
0 to 0.2 with depth. The padding is symmetric, not TensorFlow's "SAME"; no count changes by it.
The paper's "FLOPS" are MACs. Ours are 4.6% above its figure for B4, 3.7% above for B5, and agree elsewhere.

EfficientNet-Lite0 is B0 made plain for phones: no gates, ReLU6 for SiLU. It has no paper; the source is the authors'
https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (4.7M parameters, 407M MACs).
Its weights were trained with TensorFlow's padding, so that Lite0 alone pads as TensorFlow does.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution and batch norm, whose statistics move slowly (momentum 0.01).

    The convolution has no bias: batch norm subtracts the mean, and any constant with it.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01),
    )


class SamePadding(nn.Module):
    """Zeros around x (B, C, H, W), as TensorFlow's "SAME" adds them before a convolution without padding.

    The output has ceil(H / stride) rows. With stride 2 and an even H one side needs a zero more than the other:
    TensorFlow puts it below and on the right.
    """

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (
            max((-(-n // self.stride) - 1) * self.stride + self.kernel - n, 0) for n in x.shape[2:]
        )
        return F.pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2))


class SqueezeExcite(nn.Module):
    """Each channel is scaled by a gate in (0, 1): Hu et al. (2017), arXiv 1709.01507.

    The gates are computed from the averages of all channels, through a narrow layer of
    `squeezed` channels.
    """

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),  # squeeze: (B, C, 1, 1)
            nn.Conv2d(channels, squeezed, 1),
            nn.SiLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),  # excite: (B, C, 1, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


def drop_connect(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    """Leave out whole samples of x (B, ...) with probability `drop_rate`.

    The others are scaled by 1 / (1 - drop_rate): the expected value stays the same. Outside
    of training, and at rate 0, x comes back as it is.
    """
    if not 0 <= drop_rate < 1:
        raise ValueError(f"drop_rate is {drop_rate!r}; expected a probability below 1")
    if not training or drop_rate == 0:
        return x
    keep = 1 - drop_rate
    one_per_sample = (x.shape[0], *[1] * (x.dim() - 1))
    kept = torch.rand(one_per_sample, device=x.device) < keep
    return x * kept.to(x.dtype) / keep


class MBConv(nn.Module):
    """MobileNetV2's block with SiLU and a gate: expand, filter, squeeze and excite, project.

    The input is added where the stride is 1 and channels are equal; in training, a share
    `drop_rate` of the samples then skips the block.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expansion: int = 6,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        if expansion < 1:
            raise ValueError(f"expansion is {expansion!r}; expected at least 1, such as 6")
        hidden = expansion * in_channels
        # A quarter of the input, not of the hidden width.
        squeezed = max(1, in_channels // 4)
        expand = [conv_bn(in_channels, hidden, 1), nn.SiLU()] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,  # (B, hidden, H, W)
            # (B, hidden, H/stride, W/stride)
            conv_bn(hidden, hidden, kernel_size, stride, groups=hidden),
            nn.SiLU(),
            SqueezeExcite(hidden, squeezed),
            conv_bn(hidden, out_channels, 1),  # (B, out, H/stride, W/stride), linear
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.residual:
            return self.block(x)
        return x + drop_connect(self.block(x), self.drop_rate, self.training)


def round_channels(channels: int, width: float, divisor: int = 8) -> int:
    """channels x width to the nearest multiple of `divisor`.

    But never below 90% of channels x width, nor below `divisor`.

    >>> round_channels(40, 1.1), round_channels(32, 1.2)  # 44 -> 48; 38.4 -> 40
    (48, 40)
    """
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def round_repeats(repeats: int, depth: float) -> int:
    """repeats x depth, rounded up: a stage never becomes shallower than asked for.

    >>> round_repeats(3, 1.1)
    4
    """
    return math.ceil(repeats * depth)


def compound_scaling(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> tuple[float, float, float]:
    """Eq. (3): the multipliers of (depth, width, resolution): each base to the power phi."""
    return alpha**phi, beta**phi, gamma**phi


def flops_growth(
    phi: float,
    alpha: float = 1.2,
    beta: float = 1.1,
    gamma: float = 1.15,
) -> float:
    """How much the cost grows: depth counts once, width and resolution twice.

    >>> round(flops_growth(1), 5)  # close to 2, as eq. (3) asks
    1.92027
    """
    return (alpha * beta**2 * gamma**2) ** phi


# Table 1, stages 2 to 8 of B0: expansion, kernel, channels, layers, stride of the first layer.
B0 = [
    (1, 3, 16, 1, 1),
    (6, 3, 24, 2, 2),
    (6, 5, 40, 2, 2),
    (6, 3, 80, 3, 2),
    (6, 5, 112, 3, 1),
    (6, 5, 192, 4, 2),
    (6, 3, 320, 1, 1),
]
STEM, LAST = 32, 1280  # stages 1 and 9

# The released coefficients: width, depth, resolution, dropout before the classifier.
SCALING = {
    "b0": (1.0, 1.0, 224, 0.2),
    "b1": (1.0, 1.1, 240, 0.2),
    "b2": (1.1, 1.2, 260, 0.3),
    "b3": (1.2, 1.4, 300, 0.3),
    "b4": (1.4, 1.8, 380, 0.4),
    "b5": (1.6, 2.2, 456, 0.4),
    "b6": (1.8, 2.6, 528, 0.5),
    "b7": (2.0, 3.1, 600, 0.5),
}


class EfficientNet(nn.Module):
    """B0, wider and deeper: (B, 3, H, W) -> logits (B, num_classes). H = W is the resolution in SCALING.

    `drop_rate` is the drop connect that the last block would have; earlier blocks have less, in proportion.
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        num_classes: int = 1000,
        dropout: float = 0.2,
        drop_rate: float = 0.2,
    ) -> None:
        super().__init__()
        check(width, depth, num_classes)
        stages = [
            (expansion, kernel, round_channels(channels, width), round_repeats(layers, depth), stride)
            for expansion, kernel, channels, layers, stride in B0
        ]
        stem, last = round_channels(STEM, width), round_channels(LAST, width)
        total = sum(layers for *_, layers, _ in stages)
        in_channels, blocks = stem, list[nn.Module]()
        for expansion, kernel, channels, layers, first_stride in stages:
            for index in range(layers):
                stride = first_stride if index == 0 else 1
                rate = drop_rate * len(blocks) / total
                blocks.append(MBConv(in_channels, channels, kernel, stride, expansion, rate))
                in_channels = channels
        self.stem = nn.Sequential(conv_bn(3, stem, 3, stride=2), nn.SiLU())  # B0: (B, 32, 112, 112)
        self.features = nn.Sequential(*blocks)  # (B, 320, 7, 7)
        self.last = nn.Sequential(conv_bn(in_channels, last, 1), nn.SiLU())  # (B, 1280, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(last, num_classes)
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.features(self.stem(x))))


def initialise(network: nn.Module) -> None:
    """Weights with variance 2 / fan-in. A depthwise filter has a fan-in of only k x k."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:  # the gates start at sigmoid(0)
                nn.init.zeros_(module.bias)


class LiteBlock(nn.Module):
    """MBConv without a gate and with ReLU6: what is left is MobileNetV2's inverted residual."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        expansion: int = 6,
        drop_rate: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        expand = [conv_bn(in_channels, hidden, 1), nn.ReLU6()] if expansion > 1 else []
        self.block = nn.Sequential(
            *expand,  # (B, hidden, H, W)
            # (B, hidden, H/stride, W/stride)
            same_conv_bn(hidden, hidden, kernel_size, stride, groups=hidden),
            nn.ReLU6(),
            conv_bn(hidden, out_channels, 1),  # (B, out, H/stride, W/stride), linear
        )
        self.residual = stride == 1 and in_channels == out_channels
        self.drop_rate = drop_rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.residual:
            return self.block(x)
        return x + drop_connect(self.block(x), self.drop_rate, self.training)


def same_conv_bn(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """`conv_bn` with TensorFlow's padding. At stride 1 the two are equal; nothing is added there."""
    layers = conv_bn(in_channels, out_channels, kernel, stride, groups)
    if stride == 1:
        return layers
    convolution = layers[0]
    assert isinstance(convolution, nn.Conv2d)
    convolution.padding = (0, 0)
    return nn.Sequential(SamePadding(kernel, stride), *layers)


class EfficientNetLite0(nn.Module):
    """B0's table with `LiteBlock`s: (B, 3, H, W) -> logits (B, num_classes), at 224 x 224.

    The larger Lite networks scale the middle only; stem, first and last stage stay as they are here.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.2, drop_rate: float = 0.2) -> None:
        super().__init__()
        check(1.0, 1.0, num_classes)
        in_channels, blocks = STEM, list[nn.Module]()
        total = sum(layers for *_, layers, _ in B0)
        for expansion, kernel, channels, layers, first_stride in B0:
            for index in range(layers):
                stride = first_stride if index == 0 else 1
                rate = drop_rate * len(blocks) / total
                blocks.append(LiteBlock(in_channels, channels, kernel, stride, expansion, rate))
                in_channels = channels
        self.stem = nn.Sequential(same_conv_bn(3, STEM, 3, stride=2), nn.ReLU6())  # (B, 32, 112, 112)
        self.features = nn.Sequential(*blocks)  # (B, 320, 7, 7)
        self.last = nn.Sequential(conv_bn(in_channels, LAST, 1), nn.ReLU6())  # (B, 1280, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(LAST, num_classes)
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.features(self.stem(x))))


def efficientnet_lite0(num_classes: int = 1000) -> EfficientNetLite0:
    """B0 without gates and with ReLU6.

    >>> sum(p.numel() for p in efficientnet_lite0().parameters())
    4652008
    """
    return EfficientNetLite0(num_classes)


def efficientnet(name: str = "b0", num_classes: int = 1000) -> EfficientNet:
    """One of "b0" to "b7".

    >>> sum(p.numel() for p in efficientnet("b0").parameters())
    5288548
    """
    if name not in SCALING:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(SCALING)}")
    width, depth, _, dropout = SCALING[name]
    return EfficientNet(width, depth, num_classes, dropout)


def check(width: float, depth: float, num_classes: int) -> None:
    if not 0 < width <= 10:
        raise ValueError(f"width is {width!r}; the multiplier is above 0 and at most 10, such as 1.1")
    if not 0 < depth <= 10:
        raise ValueError(f"depth is {depth!r}; the multiplier is above 0 and at most 10, such as 1.2")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes!r}; expected at least 1")
