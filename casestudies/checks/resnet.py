"""Checks of the assignment `resnet`: the residual block, the bottleneck, a stage, the CIFAR-10 network.

`Block` and `Neck` do what `networks.resnet` does, cut into small methods, one decision each; a mistake overrides
one of them. Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import SIDES, Reference, Space, any_of, mistake, part, written
from casestudies.networks import resnet

written("resnet", points=3)


def basic_blocks(*without: str) -> Space:
    """Equal shapes, where the input itself is added; other channels; another grid; both."""
    return Space(
        {
            "in_channels, out_channels": (
                any_of((6, 6), (4, 4)),
                any_of((4, 6), (5, 7)),
                any_of((7, 4), (8, 5)),
            ),
            "stride": (1, 2, 3),
        },
        shape=("in_channels", SIDES, SIDES),
        without=without,
    )


@part("resnet/basic_block", points=4, title="The basic block", see="resnet.html#eq-residual")
def basic_block() -> Reference:
    return Reference(
        resnet.BasicBlock,
        basic_blocks("option"),
    )


@part("resnet/bottleneck", points=4, title="The bottleneck block", see="resnet.html#bottleneck")
def bottleneck() -> Reference:
    return Reference(
        resnet.Bottleneck,
        Space(
            {
                # as many channels as leave the block, fewer, more
                "in_channels, channels": (
                    any_of((12, 3), (8, 2)),
                    any_of((6, 3), (5, 2)),
                    any_of((9, 2), (7, 1)),
                ),
                "stride": (1, 2, 3),
            },
            shape=("in_channels", SIDES, SIDES),
            without=("option", "stride_in"),
        ),
    )


def reference_stage(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    return resnet.residual_stage(resnet.BasicBlock, in_channels, out_channels, num_blocks, stride)


reference_stage.__name__ = "residual_stage"


@part("resnet/residual_stage", points=2, title="A stage of blocks", see="resnet.html#stages")
def residual_stage() -> Reference:
    return Reference(
        reference_stage,
        Space(
            {
                "in_channels, out_channels": (
                    any_of((4, 4), (3, 3)),
                    any_of((3, 5), (4, 6)),
                    any_of((6, 4), (5, 3)),
                ),
                "num_blocks": (1, 2, 3),
                "stride": (1, 2, 3),
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part("resnet/cifar_resnet", points=4, title="The network for CIFAR-10", see="resnet.html#cifar")
def cifar_resnet() -> Reference:
    class CifarResNet(resnet.CifarResNet):
        def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
            super().__init__(num_blocks, num_classes, option="B")

    return Reference(
        CifarResNet,
        Space(
            {"num_blocks": (any_of(1, 2), 3), "num_classes": (10, any_of(7, 13))},
            shape=(3, (any_of(8, 12), any_of(9, 11)), (any_of(8, 12), any_of(9, 11))),
            scale=1.5,
        ),
        weights={"structure": 2.0},
    )


@part(
    "resnet/repaired_block",
    points=3,
    title="Find the bug",
    see="resnet.html#what-goes-wrong",
    given=("relu_before_addition", "shortcut_without_batch_norm", "in_place_relu_on_input"),
)
def repaired_block() -> Reference:
    class RepairedBlock(resnet.BasicBlock):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__(in_channels, out_channels, stride)

    return Reference(
        RepairedBlock,
        basic_blocks(),
    )


# --------------------------------------------------------------------------- the block, in small decisions


Sizes = tuple[int, int, int, int]  # input channels, output channels, kernel, stride of a convolution


class Block(nn.Module):
    """relu(F(x) + x), one decision a method."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.build(in_channels, out_channels, stride, self.plan(in_channels, out_channels, stride))

    def build(self, in_channels: int, out_channels: int, stride: int, plan: list[Sizes]) -> None:
        self.convs = nn.ModuleList(self.conv(*sizes) for sizes in plan)
        self.norms = nn.ModuleList(self.norm(sizes[1]) for sizes in plan)
        self.carry = self.shortcut(in_channels, plan[-1][1], stride)

    def plan(self, in_channels: int, out_channels: int, stride: int) -> list[Sizes]:
        """(input channels, output channels, kernel, stride) of each convolution."""
        first, second = self.strides(stride)
        return [(in_channels, out_channels, 3, first), (out_channels, out_channels, 3, second)]

    def strides(self, stride: int) -> tuple[int, int]:
        return stride, 1

    def conv(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, self.padding(kernel), bias=self.bias())

    def padding(self, kernel: int) -> int:
        return kernel // 2

    def bias(self) -> bool:
        return False

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def projects(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride != 1 or in_channels != out_channels

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        if not self.projects(in_channels, out_channels, stride):
            return nn.Identity()
        return self.projection(in_channels, out_channels, stride)

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=self.bias())
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels))

    def enter(self, x: Tensor) -> Tensor:
        return x

    def between(self, x: Tensor, index: int) -> Tensor:
        return F.relu(x)

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual + carried)

    def residual(self, x: Tensor) -> Tensor:
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            if index + 1 < len(self.convs):
                x = self.between(x, index)
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.merge(self.residual(x), self.carry(x))


class Neck(Block):
    """The bottleneck: 1x1, 3x3 with the stride, 1x1 to 4 x channels."""

    expansion = 4

    def plan(self, in_channels: int, channels: int, stride: int) -> list[Sizes]:
        first, second = self.strides(stride)
        return [
            (in_channels, channels, 1, first),
            (channels, channels, 3, second),
            (channels, self.expansion * channels, 1, 1),
        ]

    def strides(self, stride: int) -> tuple[int, int]:
        return 1, stride


def in_every_block(see: str, id: str | None = None) -> Callable[[type], type]:
    """Declares a mistake for the basic block, the bottleneck and the block to repair alike."""

    def declare(wrong: type) -> type:
        for name, base in (
            ("basic_block", Block),
            ("bottleneck", Neck),
            ("repaired_block", Block),
        ):
            made = type(wrong.__name__, (wrong, base), dict(vars(wrong)))
            mistake(f"resnet/{name}", see=see, id=id)(made)
        return wrong

    return declare


# --------------------------------------------------------------------------- mistakes of every block


@in_every_block(see="resnet.html#eq-residual")
class ReluBeforeAddition:
    """ReLU is applied to F(x) before the input is added; equation (1) adds first and applies g to the sum."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual) + carried


@in_every_block(see="resnet.html#eq-residual")
class ReluTwice:
    """ReLU is applied to F(x) and again to the sum, so the block can only ever add to its input, never subtract;
    equation (1) has one ReLU, after the sum."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(F.relu(residual) + carried)


@in_every_block(see="resnet.html#eq-residual")
class NoFinalRelu:
    """The ReLU after the addition is missing: the block returns F(x) + x itself."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return residual + carried


@in_every_block(see="resnet.html#eq-residual")
class SkipForgotten:
    """The input is never added: this is a plain block, relu(F(x)), the very network that degrades with depth."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Identity()

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual)


@in_every_block(see="resnet.html#eq-residual")
class ShortcutUnused:
    """The shortcut is built but its result is never added to F(x)."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual)


@in_every_block(see="resnet.html#eq-residual", id="shortcut_unused")
class ShortcutNeverRun(Block):
    """The shortcut is built in the constructor, but forward never uses it: the input is not added."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.residual(self.enter(x)))


@in_every_block(see="resnet.html#shortcuts")
class ShortcutWithoutBatchNorm(Block):
    """The projection on the shortcut has no batch norm; every convolution of the block is followed by one."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1, stride, bias=self.bias())


@in_every_block(see="resnet.html#shortcuts")
class ProjectionEverywhere:
    """The shortcut is a projection even where the shapes agree (option C); there the input itself is added."""

    def projects(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return True


@in_every_block(see="resnet.html#shortcuts")
class ReluOnShortcut(Block):
    """ReLU is applied to the projected input before the sum; the shortcut is linear, eq. (2)."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=self.bias())
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


@in_every_block(see="resnet.html#shortcuts")
class WideProjection(Block):
    """The projection on the shortcut is a 3x3 convolution; the paper's is 1x1, which only mixes channels."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=self.bias())
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


@in_every_block(see="resnet.html#shortcuts")
class PooledShortcut(Block):
    """The shortcut shrinks the grid with average pooling before its 1x1 convolution; the paper's projection
    takes every second pixel, by its stride."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        conv = nn.Conv2d(in_channels, out_channels, 1, bias=self.bias())
        pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else nn.Identity()
        return nn.Sequential(pool, conv, nn.BatchNorm2d(out_channels))


@in_every_block(see="resnet.html#shortcuts")
class PaddedShortcut:
    """The shortcut takes every second pixel and fills the new channels with zeros (option A); this assignment asks
    for a projection where the shapes differ (option B)."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return resnet.PadShortcut(in_channels, out_channels, stride)


@in_every_block(see="resnet.html#batch-norm")
class BiasBeforeBatchNorm:
    """The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False."""

    def bias(self) -> bool:
        return True


@in_every_block(see="resnet.html#batch-norm")
class BatchNormMissing:
    """There is no batch norm after the convolutions of F."""

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@in_every_block(see="resnet.html#batch-norm")
class LastBatchNormMissing(Block):
    """The last convolution of F has no batch norm; every convolution is followed by one, also before the sum."""

    def build(self, in_channels: int, out_channels: int, stride: int, plan: list[Sizes]) -> None:
        super().build(in_channels, out_channels, stride, plan)
        self.norms[-1] = nn.Identity()


@in_every_block(see="resnet.html#batch-norm")
class BatchNormWithoutScale:
    """The batch norms have no scale and shift (affine=False); the paper's learn both."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, affine=False)


@in_every_block(see="resnet.html#eq-residual")
class ReluMissingBetween:
    """There is no ReLU between the convolutions of F: without it they are one linear map in two pieces."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return x


@in_every_block(see="resnet.html#eq-residual")
class InPlaceReluOnInput:
    """An in-place ReLU overwrites the input of the block, and with it the x that is added later."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu_(x)


@in_every_block(see="resnet.html#eq-residual")
class InPlaceAddition:
    """The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        carried += residual
        return F.relu(carried)


@in_every_block(see="resnet.html#eq-residual")
class ReluOnInput:
    """ReLU is applied to x before anything else; the block's input is used as it is."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu(x)


@in_every_block(see="resnet.html#eq-residual")
class Concatenated:
    """F(x) and x are concatenated along the channels; a residual block adds them."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(torch.cat([residual, carried], dim=1))


@in_every_block(see="resnet.html#eq-residual")
class Multiplied:
    """F(x) is multiplied with x; a residual block adds them."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual * carried)


@in_every_block(see="resnet.html#eq-residual")
class Subtracted:
    """x is subtracted from F(x); a residual block adds it."""

    def merge(self, residual: Tensor, carried: Tensor) -> Tensor:
        return F.relu(residual - carried)


@in_every_block(see="resnet.html#eq-residual")
class PaddingForgotten:
    """The 3x3 convolutions have no padding, so the grid of F(x) shrinks and x no longer fits the sum."""

    def padding(self, kernel: int) -> int:
        return 0


@in_every_block(see="resnet.html#shortcuts")
class ProjectionWithoutStride(Block):
    """The projection on the shortcut does not take the stride, so the grids of F(x) and of x differ."""

    def projection(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return super().projection(in_channels, out_channels, 1)


@in_every_block(see="resnet.html#shortcuts")
class ProjectionForStrideOnly:
    """The shortcut projects only where the stride is not 1; a change of channels needs a projection too."""

    def projects(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride != 1


@in_every_block(see="resnet.html#shortcuts")
class ProjectionForChannelsOnly:
    """The shortcut projects only where the channels change; a stride of 2 needs a projection too."""

    def projects(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return in_channels != out_channels


# --------------------------------------------------------------------------- where the stride goes


for _name in ("basic_block", "repaired_block"):

    @mistake(f"resnet/{_name}", see="resnet.html#stride")
    class StrideOnSecond(Block):
        """The stride sits on the second 3x3 convolution; a basic block strides in its first."""

        def strides(self, stride: int) -> tuple[int, int]:
            return 1, stride

    @mistake(f"resnet/{_name}", see="resnet.html#stride")
    class StrideOnBoth(Block):
        """Both convolutions carry the stride, so the grid shrinks twice; only the first does."""

        def strides(self, stride: int) -> tuple[int, int]:
            return stride, stride

    @mistake(f"resnet/{_name}", see="resnet.html#stride")
    class StrideForgotten(Block):
        """No convolution of F carries the stride."""

        def strides(self, stride: int) -> tuple[int, int]:
            return 1, 1


@mistake("resnet/bottleneck", see="resnet.html#stride")
class StrideOnFirst(Neck):
    """The stride sits on the first 1x1 convolution, as in the paper's first version (v1); this assignment asks for
    v1.5, with the stride on the 3x3, which sees every pixel."""

    def strides(self, stride: int) -> tuple[int, int]:
        return stride, 1


@mistake("resnet/bottleneck", see="resnet.html#stride", id="stride_on_both")
class NeckStrideOnBoth(Neck):
    """Two convolutions carry the stride, so the grid shrinks twice; only the 3x3 does."""

    def strides(self, stride: int) -> tuple[int, int]:
        return stride, stride


@mistake("resnet/bottleneck", see="resnet.html#stride")
class StrideOnLast(Neck):
    """The stride sits on the last 1x1 convolution; it belongs on the 3x3."""

    def plan(self, in_channels: int, channels: int, stride: int) -> list[Sizes]:
        return [
            (in_channels, channels, 1, 1),
            (channels, channels, 3, 1),
            (channels, self.expansion * channels, 1, stride),
        ]


@mistake("resnet/bottleneck", see="resnet.html#bottleneck")
class NoExpansion(Neck):
    """The last 1x1 convolution gives `channels` channels; a bottleneck restores 4 x channels."""

    expansion = 1


@mistake("resnet/bottleneck", see="resnet.html#bottleneck")
class WideMiddle(Neck):
    """The 3x3 convolution works on 4 x channels; the point of the bottleneck is that it works on few."""

    def plan(self, in_channels: int, channels: int, stride: int) -> list[Sizes]:
        wide = self.expansion * channels
        return [(in_channels, wide, 1, 1), (wide, wide, 3, stride), (wide, wide, 1, 1)]


@mistake("resnet/bottleneck", see="resnet.html#bottleneck")
class SecondReluMissing(Neck):
    """The ReLU after the 3x3 convolution is missing."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return F.relu(x) if index == 0 else x


@mistake("resnet/bottleneck", see="resnet.html#bottleneck")
class FirstReluMissing(Neck):
    """The ReLU after the first 1x1 convolution is missing."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return F.relu(x) if index == 1 else x


# --------------------------------------------------------------------------- stages


@mistake("resnet/residual_stage", see="resnet.html#stages")
def stride_in_every_block(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """Every block of the stage carries the stride; only the first may change the grid."""
    blocks = [resnet.BasicBlock(in_channels, out_channels, stride)]
    blocks += [resnet.BasicBlock(out_channels, out_channels, stride) for _ in range(num_blocks - 1)]
    return nn.Sequential(*blocks)


@mistake("resnet/residual_stage", see="resnet.html#stages")
def stride_in_last_block(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """The last block carries the stride; the first does, so that the rest works on the smaller grid."""
    sizes = [in_channels] + [out_channels] * num_blocks
    strides = [1] * (num_blocks - 1) + [stride]
    return nn.Sequential(*(resnet.BasicBlock(sizes[i], sizes[i + 1], strides[i]) for i in range(num_blocks)))


@mistake("resnet/residual_stage", see="resnet.html#stages")
def channels_not_carried_on(
    in_channels: int, out_channels: int, num_blocks: int, stride: int
) -> nn.Sequential:
    """Every block is built for the stage's input channels; from the second block on they are out_channels."""
    first = resnet.BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(
        first, *(resnet.BasicBlock(in_channels, out_channels) for _ in range(num_blocks - 1))
    )


@mistake("resnet/residual_stage", see="resnet.html#stages")
def one_block_too_many(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """The stage has num_blocks blocks after the first one; it has num_blocks in all."""
    return reference_stage(in_channels, out_channels, num_blocks + 1, stride)


@mistake("resnet/residual_stage", see="resnet.html#stages")
def one_block_too_few(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """The stage has one block less than num_blocks."""
    return nn.Sequential(
        *list(reference_stage(in_channels, out_channels, num_blocks, stride))[: num_blocks - 1]
    )


@mistake("resnet/residual_stage", see="resnet.html#stages")
def block_repeated(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """One and the same block object is used again and again ([block] * n), so all share one set of weights."""
    first = resnet.BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *([resnet.BasicBlock(out_channels, out_channels)] * (num_blocks - 1)))


@mistake("resnet/residual_stage", see="resnet.html#stages")
def stride_ignored(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """No block carries the stride: the grid stays as it is."""
    return reference_stage(in_channels, out_channels, num_blocks, 1)


# --------------------------------------------------------------------------- the CIFAR-10 network


class Network(nn.Module):
    """The CIFAR-10 network, one decision a method."""

    block: type[nn.Module] = resnet.BasicBlock

    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = self.make_stem(self.widths()[0])
        stages, in_channels = [], self.widths()[0]
        for width, stride in zip(self.widths(), self.strides(), strict=True):
            stages.append(self.stage(in_channels, width, self.count(num_blocks), stride))
            in_channels = width
        self.stages = nn.Sequential(*stages)
        self.linear = self.classifier(in_channels, num_classes)

    def make_stem(self, width: int) -> nn.Module:
        return nn.Sequential(resnet.conv_bn(3, width, 3), nn.ReLU())

    def widths(self) -> tuple[int, int, int]:
        return 16, 32, 64

    def strides(self) -> tuple[int, int, int]:
        return 1, 2, 2

    def count(self, num_blocks: int) -> int:
        return num_blocks

    def stage(self, in_channels: int, width: int, num_blocks: int, stride: int) -> nn.Module:
        blocks = [self.block(in_channels, width, stride)]
        return nn.Sequential(*blocks, *(self.block(width, width) for _ in range(num_blocks - 1)))

    def classifier(self, in_channels: int, num_classes: int) -> nn.Module:
        return nn.Linear(in_channels, num_classes)

    def pool(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))

    def finish(self, logits: Tensor) -> Tensor:
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.linear(self.pool(self.stages(self.stem(x)))))


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class ImageNetStem(Network):
    """The stem is the one for ImageNet (7x7, stride 2, max pooling); 32x32 images start with a single 3x3."""

    def make_stem(self, width: int) -> nn.Module:
        conv = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1))


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class StemWithoutRelu(Network):
    """There is no ReLU after the first convolution and its batch norm."""

    def make_stem(self, width: int) -> nn.Module:
        return resnet.conv_bn(3, width, 3)


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class StemWithoutBatchNorm(Network):
    """There is no batch norm after the first convolution."""

    def make_stem(self, width: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.ReLU())


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class StemWithBias(Network):
    """The first convolution has a bias although a batch norm follows; use bias=False."""

    def make_stem(self, width: int) -> nn.Module:
        conv = nn.Conv2d(3, width, 3, padding=1)
        return nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU())


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class ImageNetWidths(Network):
    """The widths start at 64; the CIFAR-10 networks of the paper have 16, 32 and 64 channels."""

    def widths(self) -> tuple[int, int, int]:
        return 64, 128, 256


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class FirstStageStrides(Network):
    """The first stage already halves the grid; it works at full resolution, only stages 2 and 3 stride."""

    def strides(self) -> tuple[int, int, int]:
        return 2, 2, 2


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class NoStrides(Network):
    """No stage strides: the grid stays 32x32 to the end."""

    def strides(self) -> tuple[int, int, int]:
        return 1, 1, 1


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class MaxPooled(Network):
    """The head takes the maximum over the grid; the paper ends with global average pooling."""

    def pool(self, x: Tensor) -> Tensor:
        return x.amax(dim=(2, 3))


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class SumPooled(Network):
    """The head adds up the grid instead of averaging it, so the logits depend on the size of the image."""

    def pool(self, x: Tensor) -> Tensor:
        return x.sum(dim=(2, 3))


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class SoftmaxInside(Network):
    """The network ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class ReluOnLogits(Network):
    """A ReLU is applied to the logits, which cuts off everything negative."""

    def finish(self, logits: Tensor) -> Tensor:
        return F.relu(logits)


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class DepthIgnored(Network):
    """The number of blocks is fixed at 3 whatever num_blocks says."""

    def count(self, num_blocks: int) -> int:
        return 3


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class OneBlockMore(Network):
    """Each stage has one block more than num_blocks; the depth is then 6n + 8, not 6n + 2."""

    def count(self, num_blocks: int) -> int:
        return num_blocks + 1


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class ClassesIgnored(Network):
    """The last layer has 10 outputs whatever num_classes says."""

    def classifier(self, in_channels: int, num_classes: int) -> nn.Module:
        return nn.Linear(in_channels, 10)


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class LinearWithoutBias(Network):
    """The last linear layer has no bias; no batch norm follows it, so it keeps one."""

    def classifier(self, in_channels: int, num_classes: int) -> nn.Module:
        return nn.Linear(in_channels, num_classes, bias=False)


@mistake("resnet/cifar_resnet", see="resnet.html#cifar")
class StrideEverywhere(Network):
    """Every block of stages 2 and 3 strides; only the first of a stage does."""

    def stage(self, in_channels: int, width: int, num_blocks: int, stride: int) -> nn.Module:
        blocks = [self.block(in_channels, width, stride)]
        return nn.Sequential(*blocks, *(self.block(width, width, stride) for _ in range(num_blocks - 1)))


# A stage or a network may be right and its block wrong: then the block's mistake is named, where it is used.


def _follows_from_the_block() -> None:
    from casestudies.checking.parts import _PARTS

    # In the CIFAR-10 network grid and channels change together, every block's input has been through a ReLU, and
    # products of activations overflow: there these do no harm, or none that has a name.
    unseen_in_a_network = {
        "projection_for_stride_only",
        "projection_for_channels_only",
        "relu_on_input",
        "multiplied",
    }
    for known in list(_PARTS["resnet/basic_block"].mistakes):
        text = f"The {{}} itself may be right; the block that it is made of is not: {known.text}"

        def stage(
            in_channels: int, out_channels: int, num_blocks: int, stride: int, block: Any = known.wrong
        ) -> nn.Module:
            rest = [block(out_channels, out_channels) for _ in range(num_blocks - 1)]
            return nn.Sequential(block(in_channels, out_channels, stride), *rest)

        stage.__doc__ = text.format("stage")
        mistake("resnet/residual_stage", see=known.see, id=known.id)(stage)
        if known.id in unseen_in_a_network:
            continue
        network = type(
            known.wrong.__name__, (Network,), {"block": known.wrong, "__doc__": text.format("network")}
        )
        mistake("resnet/cifar_resnet", see=known.see, id=known.id)(network)


_follows_from_the_block()
