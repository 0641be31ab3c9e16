"""ResNet: He, Zhang, Ren & Sun (2015), https://arxiv.org/abs/1512.03385.

The idea: a block learns a correction F(x) to its input, not a whole new mapping, and adds the input back.
Shapes are (batch, channels, height, width).

Departures from the paper: the stride of a bottleneck sits on its 3x3 convolution ("v1.5", as in Facebook's
fb.resnet.torch and in torchvision); the authors' own placement, in the first 1x1, is the `_v1` variant of
each deep network. Both have the same parameters; v1.5 costs 231,211,008 MACs more.
ResNet-18 and -34 use option B throughout; the paper's Table 2 has them with option A (`_a`).
The bias that the authors' released ResNet-50 has on its first convolution is left out (their 101 and 152
have none).
"""

from __future__ import annotations

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

Option = Literal["A", "B", "C"]


def conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the grid (up to its stride), and its batch norm.

    The convolution has no bias: batch norm subtracts the mean, and any constant with it.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class PadShortcut(nn.Module):
    """Option A: take every `stride`-th pixel, fill the new channels with zeros. No parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels, self.stride = out_channels - in_channels, stride

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.new_channels))  # old channels first, then zeros


def shortcut(in_channels: int, out_channels: int, stride: int, option: Option) -> nn.Module:
    """What carries x to the sum, sec. 3.3: the identity, or option A, B or C.

    Where the shapes differ, A pads with zeros, and B projects, eq. (2). C projects in every
    block.
    """
    same_shape = stride == 1 and in_channels == out_channels
    if option == "C" or (option == "B" and not same_shape):
        return conv_bn(in_channels, out_channels, 1, stride)
    return nn.Identity() if same_shape else PadShortcut(in_channels, out_channels, stride)


class BasicBlock(nn.Module):
    """relu(F(x) + x), eq. (1): the block of ResNet-18 and -34 (fig. 5, left)."""

    expansion = 1

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        option: Option = "B",
    ) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(in_channels, out_channels, 3, stride),  # (B, out, H/stride, W/stride)
            nn.ReLU(),
            conv_bn(out_channels, out_channels, 3),
        )
        # The sum needs equal shapes. Where they differ, the shortcut changes x to fit.
        self.shortcut = shortcut(in_channels, out_channels, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class Bottleneck(nn.Module):
    """relu(F(x) + x) with a narrow 3x3 between two 1x1: ResNet-50 and deeper (fig. 5).

    The output has 4 x `channels` channels. `stride_in` says which convolution carries the
    stride.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        channels: int,
        stride: int = 1,
        option: Option = "B",
        stride_in: Literal["1x1", "3x3"] = "3x3",
    ) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        first, second = (stride, 1) if stride_in == "1x1" else (1, stride)
        self.residual = nn.Sequential(
            conv_bn(in_channels, channels, 1, first),  # reduce
            nn.ReLU(),
            conv_bn(channels, channels, 3, second),
            nn.ReLU(),
            conv_bn(channels, out_channels, 1),  # restore
        )
        self.shortcut = shortcut(in_channels, out_channels, stride, option)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x) + self.shortcut(x))


class PlainBlock(nn.Module):
    """relu(F(x)): a basic block without its shortcut, the paper's control (fig. 3, middle)."""

    expansion = 1

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(in_channels, out_channels, 3, stride),
            nn.ReLU(),
            conv_bn(out_channels, out_channels, 3),
        )

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(x))


Block = BasicBlock | Bottleneck | PlainBlock


def residual_stage(
    block: type[Block],
    in_channels: int,
    channels: int,
    blocks: int,
    stride: int,
    **options: Any,
) -> nn.Sequential:
    """`blocks` blocks in a row; only the first changes the grid and the channels."""
    out_channels = channels * block.expansion
    first = block(in_channels, channels, stride, **options)
    rest = [block(out_channels, channels, 1, **options) for _ in range(blocks - 1)]
    return nn.Sequential(first, *rest)


class ResNet(nn.Module):
    """The ImageNet networks of Table 1: (B, 3, H, W) -> logits (B, num_classes). The paper's H = W = 224."""

    def __init__(
        self, block: type[Block], stages: list[int], num_classes: int = 1000, **options: Any
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False),  # (B, 64, 112, 112)
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (B, 64, 56, 56)
        )
        widths = [64, 128, 256, 512]  # halve the grid, double the channels
        stage_list, in_channels = [], 64
        for index, (channels, blocks) in enumerate(zip(widths, stages, strict=True)):
            stage_list.append(
                residual_stage(block, in_channels, channels, blocks, stride=1 if index == 0 else 2, **options)
            )
            in_channels = channels * block.expansion
        self.stages = nn.Sequential(*stage_list)  # (B, 512 or 2048, 7, 7)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(in_channels, num_classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


class CifarResNet(nn.Module):
    """The CIFAR-10 networks of sec. 4.2, depth 6n + 2: (B, 3, 32, 32) -> logits (B, num_classes).

    One convolution, 2n convolutions at each of the widths 16, 32, 64, and a linear layer. With bottlenecks, 3n
    at each width, of which every third restores four times as many channels: depth 9n + 2.
    """

    def __init__(
        self,
        num_blocks: int = 3,
        num_classes: int = 10,
        block: type[Block] = BasicBlock,
        in_channels: int = 3,
        **options: Any,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(in_channels, 16, 3), nn.ReLU())  # (B, 16, 32, 32)
        e = block.expansion
        self.stages = nn.Sequential(
            residual_stage(block, 16, 16, num_blocks, stride=1, **options),  # (B, 16 e, 32, 32)
            residual_stage(block, 16 * e, 32, num_blocks, stride=2, **options),  # (B, 32 e, 16, 16)
            residual_stage(block, 32 * e, 64, num_blocks, stride=2, **options),  # (B, 64 e, 8, 8)
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64 * e, num_classes))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


def initialise(network: nn.Module) -> None:
    """Convolution weights as in He et al. (2015), https://arxiv.org/abs/1502.01852: variance 2 / fan-out."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


# Table 1: the number of blocks in conv2_x ... conv5_x.
RESNET = {
    18: (BasicBlock, [2, 2, 2, 2]),
    34: (BasicBlock, [3, 4, 6, 3]),
    50: (Bottleneck, [3, 4, 6, 3]),
    101: (Bottleneck, [3, 4, 23, 3]),
    152: (Bottleneck, [3, 8, 36, 3]),
}


def resnet(depth: int, num_classes: int = 1000, **options: Any) -> ResNet:
    """A column of Table 1. `options` go to the blocks: `option` "A", "B" or "C"; `stride_in` of a bottleneck.

    >>> sum(p.numel() for p in resnet(18).parameters())
    11689512
    """
    if depth not in RESNET:
        raise ValueError(
            f"depth is {depth!r}; the ResNets of Table 1 have depth {', '.join(map(str, RESNET))}"
        )
    block, stages = RESNET[depth]
    return ResNet(block, stages, num_classes, **options)


def plain(depth: int, num_classes: int = 1000) -> ResNet:
    """The plain twins of fig. 3 and Table 2: depth 18 or 34, no shortcuts."""
    if depth not in (18, 34):
        raise ValueError(f"depth is {depth!r}; the paper has plain networks of depth 18 and 34")
    return ResNet(PlainBlock, RESNET[depth][1], num_classes)


def blocks_of_depth(depth: int, layers: int = 6) -> int:
    """n, where depth = 6n + 2: `layers` in one block of each of the three stages, 9 with bottlenecks.

    >>> blocks_of_depth(56), blocks_of_depth(164, layers=9)
    (9, 18)
    """
    n, remainder = divmod(depth - 2, layers)
    if remainder or n < 1:
        nearest = layers * max(1, round((depth - 2) / layers)) + 2
        raise ValueError(
            f"depth is {depth!r}; CIFAR networks have depth {layers}n + 2 with n >= 1, such as {nearest}"
        )
    return n


def cifar_resnet(depth: int, num_classes: int = 10, option: Option = "A", **options: Any) -> CifarResNet:
    """Sec. 4.2 with depth 6n + 2 (20, 32, 44, 56, 110). The paper uses option A on CIFAR-10."""
    return CifarResNet(blocks_of_depth(depth), num_classes, BasicBlock, option=option, **options)


def cifar_resnet_bottleneck(
    depth: int, num_classes: int = 10, option: Option = "B", **options: Any
) -> CifarResNet:
    """Bottlenecks on CIFAR-10, depth 9n + 2: not in the paper, but in its sequel (arXiv:1603.05027, Table 2).

    There ResNet-164 is what the pre-activation of networks/preresnet.py has to beat.

    >>> sum(p.numel() for p in cifar_resnet_bottleneck(164).parameters())
    1704154
    """
    return CifarResNet(blocks_of_depth(depth, layers=9), num_classes, Bottleneck, option=option, **options)


def cifar_plain(depth: int, num_classes: int = 10, **options: Any) -> CifarResNet:
    """The plain twin of `cifar_resnet`: the same convolutions, no shortcuts."""
    return CifarResNet(blocks_of_depth(depth), num_classes, PlainBlock, **options)
