"""Network in Network: Lin, Chen & Yan (2013), https://arxiv.org/abs/1312.4400.

The idea: between convolutions, put a small network that runs at every pixel: 1x1 convolutions with ReLUs. And
let the last one make a map for each class, whose average is the logit: no fully connected layer is left.
Shapes are (batch, channels, height, width).

Departures from the paper: the paper prints no widths. Those of CIFAR-10 are the authors' released
configuration. The ImageNet network is not in the paper; the authors put it into the Caffe Model Zoo. Its 59.36%
are an accuracy. Caffe pools in ceil mode, rounding grids up, and so do we (16 and 8 on CIFAR-10, not 15 and 7).
No ReLU follows the class maps, where both released configurations have one: logits may be negative.
`nin_d2l` is the variant of the textbook "Dive into Deep Learning": the last block is as wide as there are
classes from its 3x3 on, and pooling rounds down.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn


def mlpconv(
    in_channels: int,
    widths: tuple[int, ...],
    kernel: int,
    stride: int = 1,
    padding: int = 0,
) -> nn.Sequential:
    """Sec. 3.1: a k x k convolution, then 1x1 convolutions, a ReLU after each.

    (B, in_channels, H, W) -> (B, widths[-1], H', W'). `widths` are the channels after each.
    A 1x1 convolution is a linear layer at every pixel.
    """
    layers = [nn.Conv2d(in_channels, widths[0], kernel, stride, padding), nn.ReLU()]
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 1), nn.ReLU()]
    return nn.Sequential(*layers)


class NiNBlock(nn.Module):
    """An mlpconv layer of one width and three convolutions."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.block = mlpconv(in_channels, (out_channels,) * 3, kernel_size, stride, padding)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class GlobalAverageHead(nn.Module):
    """Sec. 3.2: a 1x1 convolution makes a map for each class; its average is the logit.

    (B, in_channels, H, W) -> (B, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.class_maps = nn.Conv2d(in_channels, num_classes, 1)  # (B, num_classes, H, W)

    def forward(self, x: Tensor) -> Tensor:
        return self.class_maps(x).mean(dim=(2, 3))


class NiN(nn.Module):
    """mlpconv layers and pools, and a head that averages: (B, 3, H, W) -> logits (B, num_classes).

    The last mlpconv layer is split: its last 1x1, which makes the class maps, is the head's.
    """

    def __init__(self, features: nn.Sequential, head: GlobalAverageHead) -> None:
        super().__init__()
        self.features, self.head = features, head
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))


def initialise(network: nn.Module) -> None:
    """Weights with variance 2 / fan-in, for ReLU (He et al., 2015, https://arxiv.org/abs/1502.01852)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def nin_cifar10(num_classes: int = 10) -> NiN:
    """The network of the CIFAR-10 experiments: (B, 3, 32, 32) -> logits (B, num_classes).

    >>> sum(p.numel() for p in nin_cifar10().parameters())
    966986
    """
    features = nn.Sequential(
        mlpconv(3, (192, 160, 96), 5, padding=2),  # (B, 96, 32, 32)
        nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (B, 96, 16, 16)
        nn.Dropout(0.5),
        mlpconv(96, (192, 192, 192), 5, padding=2),
        nn.AvgPool2d(3, stride=2, ceil_mode=True),  # (B, 192, 8, 8)
        nn.Dropout(0.5),
        mlpconv(192, (192, 192), 3, padding=1),
    )
    return NiN(features, GlobalAverageHead(192, num_classes))


def nin_imagenet(num_classes: int = 1000) -> NiN:
    """The network of the Model Zoo: (B, 3, 224, 224) -> logits (B, num_classes).

    >>> sum(p.numel() for p in nin_imagenet().parameters())
    7595176
    """
    return four_blocks(last=1024, num_classes=num_classes, ceil_mode=True)


def nin_d2l(num_classes: int = 1000) -> NiN:
    """The textbook's variant: (B, 3, 224, 224) -> logits (B, num_classes).

    >>> sum(p.numel() for p in nin_d2l().parameters())
    7439608
    """
    return four_blocks(last=num_classes, num_classes=num_classes, ceil_mode=False)


def four_blocks(last: int, num_classes: int, ceil_mode: bool) -> NiN:
    """AlexNet's first four kernels, each with its 1x1 convolutions; `last` is the width of the fourth."""
    features = nn.Sequential(
        NiNBlock(3, 96, 11, stride=4),  # (B, 96, 54, 54)
        nn.MaxPool2d(3, stride=2, ceil_mode=ceil_mode),  # (B, 96, 27, 27), or 26
        NiNBlock(96, 256, 5, padding=2),
        nn.MaxPool2d(3, stride=2, ceil_mode=ceil_mode),  # (B, 256, 13, 13), or 12
        NiNBlock(256, 384, 3, padding=1),
        nn.MaxPool2d(3, stride=2, ceil_mode=ceil_mode),  # (B, 384, 6, 6), or 5
        nn.Dropout(0.5),
        mlpconv(384, (last, last), 3, padding=1),
    )
    return NiN(features, GlobalAverageHead(last, num_classes))
