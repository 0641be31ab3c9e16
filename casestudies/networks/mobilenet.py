"""MobileNet: Howard, Zhu, Chen, Kalenichenko, Wang, Weyand, Andreetto & Adam (2017), https://arxiv.org/abs/1704.04861.

The idea: split a convolution into one that filters each channel by itself (depthwise) and one that mixes
channels at each pixel (pointwise, 1x1). The cost falls to 1/N + 1/k^2 of the full convolution, eq. (5).
Two multipliers then trade accuracy for cost: the width alpha thins every layer; the resolution rho shrinks
the image, and with it every grid.
Shapes are (batch, channels, height, width).

Departures from the paper: none that can be seen in a figure. Where Table 1 contradicts itself we follow its
shapes: the last depthwise layer is printed with stride 2 but keeps the grid at 7x7, so its stride is 1.
The paper's own counts leave batch norm out; ours include it (4,231,976 parameters, 4,210,088 without).
We take the paper's ReLU; the authors' released code has ReLU6, which changes no count. A very thin network
keeps at least 8 channels a layer, as in that code.
"""

from __future__ import annotations

from torch import Tensor, nn


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution, batch norm and ReLU, as every layer but the classifier has them (sec. 3.2).

    The convolution has no bias: batch norm subtracts the mean, and any constant with it.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class SeparableConv(nn.Module):
    """A depthwise separable convolution (fig. 3, right).

    3x3 depthwise, BN, ReLU, 1x1 pointwise, BN, ReLU.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        # One group a channel: each has its own 3x3 filter and sees no other channel.
        self.depthwise = conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)
        self.pointwise = conv_bn_relu(in_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(x)  # (B, in, H/stride, W/stride)
        return self.pointwise(x)  # (B, out, H/stride, W/stride)


def full_conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    """What SeparableConv replaces (fig. 3, left): one full 3x3 convolution, BN, ReLU."""
    return conv_bn_relu(in_channels, out_channels, 3, stride)


# Table 1, after the first convolution: (channels, stride) of each separable layer.
MOBILENET = [
    (64, 1),
    (128, 2), (128, 1),
    (256, 2), (256, 1),
    (512, 2), (512, 1), (512, 1), (512, 1), (512, 1), (512, 1),
    (1024, 2), (1024, 1),
]  # fmt: skip

# Sec. 4.1 and Table 5, "Shallow MobileNet": the five layers of 14x14x512 with stride 1 are left out.
SHALLOW = [
    (64, 1),
    (128, 2), (128, 1),
    (256, 2), (256, 1),
    (512, 2),
    (1024, 2), (1024, 1),
]  # fmt: skip


class MobileNetV1(nn.Module):
    """Table 1: (B, 3, H, W) -> logits (B, num_classes). The paper's H = W = 224, 192, 160 or 128.

    `width` is alpha; `layers` are rows (channels, stride); `full` puts a full 3x3 convolution in place of
    each separable one, the paper's control in Table 4 ("Conv MobileNet").
    """

    def __init__(
        self,
        width: float = 1.0,
        num_classes: int = 1000,
        layers: list[tuple[int, int]] = MOBILENET,
        full: bool = False,
    ) -> None:
        super().__init__()
        block = full_conv if full else SeparableConv
        in_channels = thin(32, width)
        blocks = []
        for channels, stride in layers:
            out_channels = thin(channels, width)
            blocks.append(block(in_channels, out_channels, stride))
            in_channels = out_channels
        self.stem = conv_bn_relu(3, thin(32, width), 3, stride=2)  # (B, 32, 112, 112)
        self.features = nn.Sequential(*blocks)  # (B, 1024, 7, 7)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(self.stem(x)))


def thin(channels: int, width: float) -> int:
    """alpha M, rounded down, at least 8.

    >>> thin(32, 0.75)
    24
    """
    return max(8, int(channels * width))


def initialise(network: nn.Module) -> None:
    """Weights with variance 2 / fan-in. A depthwise filter has a fan-in of only k x k."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")


def mobilenet_v1(width: float = 1.0, num_classes: int = 1000) -> MobileNetV1:
    """Table 1 with the width multiplier alpha (the paper: 1, 0.75, 0.5, 0.25).

    >>> sum(p.numel() for p in mobilenet_v1(0.25).parameters())
    470072
    """
    check(width, num_classes)
    return MobileNetV1(width, num_classes)


def mobilenet_v1_full(num_classes: int = 1000) -> MobileNetV1:
    """Table 4, "Conv MobileNet": the same network with full 3x3 convolutions."""
    check(1.0, num_classes)
    return MobileNetV1(1.0, num_classes, full=True)


def mobilenet_v1_shallow(num_classes: int = 1000) -> MobileNetV1:
    """Table 5, "Shallow MobileNet": what removing layers, instead of thinning them, costs in accuracy."""
    check(1.0, num_classes)
    return MobileNetV1(1.0, num_classes, layers=SHALLOW)


def image_side(resolution: float) -> int:
    """The side of the image for a resolution multiplier rho, to the nearest multiple of 32, as 224 is one.

    >>> [image_side(rho / 7) for rho in (7, 6, 5, 4)]
    [224, 192, 160, 128]
    """
    if not 0 < resolution <= 1:
        raise ValueError(f"resolution is {resolution!r}; the multiplier rho is above 0 and at most 1")
    return max(32, 32 * round(resolution * 7))


def check(width: float, num_classes: int) -> None:
    if not 0 < width <= 2:
        raise ValueError(f"width is {width!r}; the multiplier alpha is above 0 and at most 2, such as 0.75")
    if num_classes < 1:
        raise ValueError(f"num_classes is {num_classes!r}; expected at least 1")
