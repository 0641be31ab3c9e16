"""Checks of the assignment `mobilenet_v2`: the inverted residual with its linear bottleneck, and its cost.

`Inverted` does what `networks.mobilenet_v2.InvertedResidual` does, cut into small methods, one decision each; a
mistake overrides one of them, and mistakes that override different methods are also made together. `Count` does
the same for the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import (
    SIDES,
    Call,
    Dice,
    Formula,
    Group,
    Reference,
    Space,
    Values,
    any_of,
    as_function,
    call,
    mistake,
    part,
    written,
)
from casestudies.networks import mobilenet_v2

written("mobilenet_v2", points=3)


def blocks() -> Space:
    """With as many channels and stride 1 the input is added; with expansion 1 there is nothing to expand."""
    return Space(
        {
            "in_channels, out_channels": (
                any_of((4, 4), (7, 7), (3, 3)),
                any_of((3, 5), (4, 6)),
                any_of((6, 4), (7, 3)),
            ),
            "stride": (1, 2),
            "expansion": (6, 1, any_of(2, 3, 4)),
        },
        shape=("in_channels", SIDES, SIDES),
    )


@part(
    "mobilenet_v2/inverted_residual", points=8, title="The inverted residual", see="mobilenet_v2.html#block"
)
def _() -> Reference:
    return Reference(
        mobilenet_v2.InvertedResidual,
        blocks(),
        weights={"structure": 2.0, "evaluation": 2.0},
    )


# --------------------------------------------------------------------------- the cost


class Count(Formula):
    """M t M at the input's positions, then (3 3 + N) t M at the output's."""

    def value(
        self,
        in_channels: int,
        out_channels: int,
        height: int,
        width: int,
        stride: int = 1,
        expansion: int = 6,
    ) -> int:
        wide = self.hidden(in_channels, out_channels, expansion)
        before, after = height * width, self.side(height, stride) * self.side(width, stride)
        expand = self.expand(in_channels, wide, expansion) * self.grid_of_expansion(before, after)
        return self.total(
            expand,
            self.depthwise(wide, self.window()) * self.grid_of_depthwise(before, after),
            self.project(wide, out_channels) * self.grid_of_projection(before, after),
        )

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * in_channels

    def side(self, side: int, stride: int) -> int:
        return (side - 1) // stride + 1

    def window(self) -> int:
        return 9

    def expand(self, in_channels: int, wide: int, expansion: int) -> int:
        return in_channels * wide if expansion > 1 else 0

    def depthwise(self, wide: int, window: int) -> int:
        return wide * window

    def project(self, wide: int, out_channels: int) -> int:
        return wide * out_channels

    def grid_of_expansion(self, before: int, after: int) -> int:
        return before

    def grid_of_depthwise(self, before: int, after: int) -> int:
        return after

    def grid_of_projection(self, before: int, after: int) -> int:
        return after

    def total(self, expand: int, depthwise: int, project: int) -> int:
        return expand + depthwise + project


def inverted_residual_macs(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    hidden = expansion * in_channels
    out_height, out_width = (height - 1) // stride + 1, (width - 1) // stride + 1
    expand = in_channels * hidden * height * width if expansion > 1 else 0
    depthwise = 9 * hidden * out_height * out_width
    project = hidden * out_channels * out_height * out_width
    return expand + depthwise + project


def channels(dice: Dice) -> tuple[int, int]:
    return dice.integer(9, 48), dice.integer(49, 96)


def grid(dice: Dice, odd: bool = False) -> tuple[int, int]:
    """A grid that is not square; sides that are even, or odd."""
    return 2 * dice.integer(5, 9) + odd, 2 * dice.integer(10, 14) + odd


def plain_blocks(dice: Dice) -> Iterator[Call]:
    for _ in range(2):
        yield call(*channels(dice), *grid(dice))
    yield call(*channels(dice), *grid(dice), expansion=dice.choice([2, 3, 4]))


def strided_blocks(dice: Dice) -> Iterator[Call]:
    for expansion in (6, dice.choice([2, 3, 4])):
        yield call(*channels(dice), *grid(dice), stride=2, expansion=expansion)


def odd_grids(dice: Dice) -> Iterator[Call]:
    for expansion in (6, dice.choice([2, 3, 4])):
        yield call(*channels(dice), *grid(dice, odd=True), 2, expansion)


def unexpanded_blocks(dice: Dice) -> Iterator[Call]:
    for stride in (1, 2):
        yield call(*channels(dice), *grid(dice), stride=stride, expansion=1)


def equal_channels(dice: Dice) -> Iterator[Call]:
    """Blocks with a residual: its addition is no multiply-add."""
    for _ in range(3):
        width = dice.integer(9, 96)
        yield call(width, width, *grid(dice), 1, dice.choice([1, 3, 6]))


def mixed_blocks(dice: Dice) -> Iterator[Call]:
    for _ in range(4):
        yield call(
            *channels(dice), *grid(dice, dice.choice([False, True])), dice.choice([1, 2]), dice.integer(1, 6)
        )


@part(
    "mobilenet_v2/inverted_residual_macs",
    points=5,
    title="The cost of an inverted residual",
    see="mobilenet_v2.html#cost",
)
def _() -> Values:
    return Values(
        inverted_residual_macs,
        Group("blocks with stride 1", plain_blocks, weight=2.0),
        Group("blocks with stride 2", strided_blocks, weight=1.5),
        Group("blocks with expansion 1", unexpanded_blocks),
        Group("stride 2 on grids with odd sides", odd_grids, weight=0.5),
        Group("blocks with a residual", equal_channels, weight=0.5),
        Group("other blocks", mixed_blocks),
    )


def count_mistake(wrong: type) -> Callable[..., object]:
    return mistake("mobilenet_v2/inverted_residual_macs", see="mobilenet_v2.html#cost")(as_function(wrong))


@count_mistake
class HiddenFromOutput(Count):
    """The hidden width is taken from the output channels; it is expansion · in_channels."""

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * out_channels


@count_mistake
class NotExpanded(Count):
    """The block is counted without its expansion: the hidden width is expansion · in_channels."""

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return in_channels


@count_mistake
class ExpansionCountedAtOne(Count):
    """With expansion 1 there is no expansion layer, so there is nothing to count for it."""

    def expand(self, in_channels: int, wide: int, expansion: int) -> int:
        return in_channels * wide


@count_mistake
class ExpansionLayerForgotten(Count):
    """The expansion layer, a 1x1 convolution from in_channels to the hidden width, is not counted."""

    def expand(self, in_channels: int, wide: int, expansion: int) -> int:
        return 0


@count_mistake
class ProjectionForgotten(Count):
    """The projection, a 1x1 convolution from the hidden width to out_channels, is not counted."""

    def project(self, wide: int, out_channels: int) -> int:
        return 0


@count_mistake
class DepthwiseForgotten(Count):
    """The 3x3 depthwise convolution is not counted; it costs 9 for every hidden channel and position."""

    def depthwise(self, wide: int, window: int) -> int:
        return 0


@count_mistake
class DepthwiseDense(Count):
    """The 3x3 convolution is counted as a full one; it is depthwise: each hidden channel has one filter of 9."""

    def depthwise(self, wide: int, window: int) -> int:
        return wide * wide * window


@count_mistake
class WindowNotSquared(Count):
    """The 3x3 window is counted as 3; it has 3·3 weights."""

    def window(self) -> int:
        return 3


@count_mistake
class ExpansionOnOutputGrid(Count):
    """The expansion layer is counted on the output's grid; it comes before the stride and works on the whole
    input."""

    def grid_of_expansion(self, before: int, after: int) -> int:
        return after


@count_mistake
class DepthwiseOnInputGrid(Count):
    """The depthwise convolution is counted on the input's grid; it carries the stride, so it gives only the output's
    positions."""

    def grid_of_depthwise(self, before: int, after: int) -> int:
        return before


@count_mistake
class ProjectionOnInputGrid(Count):
    """The projection is counted on the input's grid; it comes after the stride and works on the output's."""

    def grid_of_projection(self, before: int, after: int) -> int:
        return before


@count_mistake
class StrideIgnored(Count):
    """The stride is ignored: with stride 2 the depthwise convolution and the projection work on a quarter of the
    positions."""

    def side(self, side: int, stride: int) -> int:
        return side


@count_mistake
class SidesRoundedDown(Count):
    """The output's sides are rounded down; a 3x3 convolution with padding 1 and stride 2 turns 7 into 4."""

    def side(self, side: int, stride: int) -> int:
        return side // stride


@count_mistake
class FlopsNotMacs(Count):
    """The count is twice what is asked for: a MAC is one multiplication together with its addition."""

    def total(self, expand: int, depthwise: int, project: int) -> int:
        return 2 * (expand + depthwise + project)


@count_mistake
class GridForgotten(Count):
    """These are the parameters: the cost repeats them at each position of the grid that a layer works on."""

    def side(self, side: int, stride: int) -> int:
        return 1

    def grid_of_expansion(self, before: int, after: int) -> int:
        return 1


@mistake("mobilenet_v2/inverted_residual_macs", see="mobilenet_v2.html#cost")
def residual_counted(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    """The addition of the residual is counted; only multiply-adds of convolutions count here."""
    right = inverted_residual_macs(in_channels, out_channels, height, width, stride, expansion)
    added = in_channels * height * width if stride == 1 and in_channels == out_channels else 0
    return right + added


@mistake("mobilenet_v2/inverted_residual_macs", see="mobilenet_v2.html#cost")
def grid_of_the_output_given(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    """height and width are taken as the output's; they are the input's, and the output has a stride-th of them."""
    expanding = expansion * in_channels**2 * height * width if expansion > 1 else 0
    return Count(in_channels, out_channels, height, width, 1, expansion) + (stride**2 - 1) * expanding


# --------------------------------------------------------------------------- the block, in small decisions


@part(
    "mobilenet_v2/repaired_block",
    points=4,
    title="Find the bug",
    see="mobilenet_v2.html#what-goes-wrong",
    given=("activation_after_projection", "residual_between_wide_ends"),
)
def _() -> Reference:
    class RepairedBlock(mobilenet_v2.InvertedResidual):
        pass

    return Reference(
        RepairedBlock,
        blocks(),
        weights={"structure": 0.0},  # the broken block has it right
    )


class Inverted(nn.Module):
    """Expand, filter, project, and add the input where it fits: one decision a method."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__()
        self.stride, self.channels = stride, (in_channels, out_channels)
        wide = self.hidden(in_channels, out_channels, expansion)
        on_expand, on_filter, on_project = self.strides(stride)
        self.expand: nn.Module | None = None
        self.norm1: nn.Module | None = None
        if self.expands(expansion):
            self.expand = self.conv(in_channels, wide, 1, on_expand)
            self.norm1 = self.norm(wide)
        self.filter = self.conv(wide, wide, 3, on_filter, self.groups(wide))
        self.norm2 = self.norm(wide)
        self.project = self.conv(wide, out_channels, self.last_kernel(), on_project)
        self.norm3 = self.last_norm(out_channels)
        self.carry = self.shortcut(in_channels, out_channels, stride)

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * in_channels

    def expands(self, expansion: int) -> bool:
        return expansion != 1

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, stride, 1

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1
    ) -> nn.Module:
        padding = self.padding(kernel)
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=self.bias())

    def groups(self, wide: int) -> int:
        return wide

    def last_kernel(self) -> int:
        return 1

    def padding(self, kernel: int) -> int:
        return kernel // 2

    def bias(self) -> bool:
        return False

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def last_norm(self, channels: int) -> nn.Module:
        return self.norm(channels)

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        return nn.Identity() if self.adds(in_channels, out_channels, stride) else None

    def adds(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride == 1 and in_channels == out_channels

    def activation(self, x: Tensor) -> Tensor:
        return F.relu6(x)

    def after_expansion(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def after_filter(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def after_projection(self, x: Tensor) -> Tensor:
        return x

    def enter(self, x: Tensor) -> Tensor:
        return x

    def merge(self, projected: Tensor, carried: Tensor) -> Tensor:
        return carried + projected

    def filtered(self, x: Tensor) -> Tensor:
        return self.after_filter(self.norm2(self.filter(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        wide = x
        if self.expand is not None and self.norm1 is not None:
            wide = self.after_expansion(self.norm1(self.expand(x)))
        projected = self.after_projection(self.norm3(self.project(self.filtered(wide))))
        return projected if self.carry is None else self.merge(projected, self.carry(x))


def block_mistake(see: str = "mobilenet_v2.html#block") -> Callable[[type], type]:
    """Declares a mistake for the block that is written and for the block that is repaired."""

    def declare(wrong: type) -> type:
        for name in ("inverted_residual", "repaired_block"):
            mistake(f"mobilenet_v2/{name}", see=see)(wrong)
        return wrong

    return declare


@block_mistake(see="mobilenet_v2.html#linear")
class ActivationAfterProjection(Inverted):
    """ReLU6 is applied after the projection; the bottleneck is linear, since a ReLU in few channels throws away what
    they carry."""

    def after_projection(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@block_mistake(see="mobilenet_v2.html#linear")
class ReluAfterProjection(Inverted):
    """ReLU is applied after the projection; the bottleneck is linear, since a ReLU in few channels throws away what
    they carry."""

    def after_projection(self, x: Tensor) -> Tensor:
        return F.relu(x)


@block_mistake(see="mobilenet_v2.html#linear")
class ActivationAfterSum(Inverted):
    """ReLU6 is applied to the sum, as in ResNet's block; here nothing follows the addition: the narrow ends stay
    linear."""

    def merge(self, projected: Tensor, carried: Tensor) -> Tensor:
        return F.relu6(projected + carried)


@block_mistake(see="mobilenet_v2.html#residual")
class ResidualMissing(Inverted):
    """The input is never added; with stride 1 and equal channels it is."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        return None


@block_mistake(see="mobilenet_v2.html#residual")
class ResidualForEqualChannels(Inverted):
    """The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then."""

    def adds(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return in_channels == out_channels


@block_mistake(see="mobilenet_v2.html#residual")
class ResidualForStrideOne(Inverted):
    """The input is added wherever the stride is 1; with other channels it does not fit, and there is no residual."""

    def adds(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride == 1


# PyTorch's message says which operand came first: where the shapes do not fit, both orders of the sum are known.
def _other_order(self: Inverted, projected: Tensor, carried: Tensor) -> Tensor:
    return projected + carried


for _known in (ResidualForEqualChannels, ResidualForStrideOne):
    _other = type(_known.__name__, (_known,), {"merge": _other_order, "__doc__": _known.__doc__})
    block_mistake(see="mobilenet_v2.html#residual")(_other)


@block_mistake(see="mobilenet_v2.html#residual")
class SubsampledResidual(Inverted):
    """With stride 2 and equal channels every second pixel of the input is added; there is no residual then."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        return nn.AvgPool2d(1, stride) if in_channels == out_channels else None


@block_mistake(see="mobilenet_v2.html#residual")
class ProjectedShortcut(Inverted):
    """Where shapes differ, a 1x1 convolution carries the input to the sum, as in ResNet; here the input is added as
    it is or not at all."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        if stride == 1 and in_channels == out_channels:
            return nn.Identity()
        conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


@block_mistake(see="mobilenet_v2.html#residual")
class ProjectedShortcutAtStrideOne(Inverted):
    """With stride 1 and other channels a 1x1 convolution carries the input to the sum (as in a well-known
    implementation for CIFAR-10); the paper's block has no residual then."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        if stride == 1 and in_channels != out_channels:
            conv = nn.Conv2d(in_channels, out_channels, 1, bias=False)
            return nn.Sequential(conv, nn.BatchNorm2d(out_channels))
        return nn.Identity() if stride == 1 else None


@block_mistake(see="mobilenet_v2.html#residual")
class ResidualBetweenWideEnds(Inverted):
    """The residual joins the wide ends, around the depthwise convolution; it is called inverted because it joins the
    narrow ones: the input and the output of the block."""

    def shortcut(self, in_channels: int, out_channels: int, stride: int) -> nn.Module | None:
        return None

    def filtered(self, x: Tensor) -> Tensor:
        found = self.after_filter(self.norm2(self.filter(x)))
        return x + found if self.stride == 1 and self.channels[0] == self.channels[1] else found


@block_mistake(see="mobilenet_v2.html#residual")
class InPlaceResidual(Inverted):
    """The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change."""

    def merge(self, projected: Tensor, carried: Tensor) -> Tensor:
        carried += projected
        return carried


@block_mistake(see="mobilenet_v2.html#expansion")
class WidthFromOutput(Inverted):
    """The hidden width is taken from the output channels; it is expansion · in_channels."""

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * out_channels


@block_mistake(see="mobilenet_v2.html#expansion")
class ExpansionKeptAtOne(Inverted):
    """With expansion 1 there is still a 1x1 convolution in front; there is nothing to expand, so no layer for it."""

    def expands(self, expansion: int) -> bool:
        return True


@block_mistake(see="mobilenet_v2.html#expansion")
class ExpansionIgnored(Inverted):
    """The expansion is always 6, whatever the argument says."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__(in_channels, out_channels, stride, 6)


@block_mistake(see="mobilenet_v2.html#expansion")
class Bottlenecked(Inverted):
    """The hidden width is smaller than the input, as in ResNet's bottleneck; here the block expands: it is narrow
    outside and wide inside."""

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return max(1, in_channels // expansion)


@block_mistake(see="mobilenet_v2.html#relu6")
class ReluForRelu6(Inverted):
    """The activation is ReLU; it is ReLU6, which cuts off at 6 and so keeps its precision in few bits."""

    def activation(self, x: Tensor) -> Tensor:
        return F.relu(x)


@block_mistake(see="mobilenet_v2.html#relu6")
class CutAtOne(Inverted):
    """The activation is cut off at 1 (hardtanh with its defaults, or a clamp to 1); ReLU6 cuts off at 6."""

    def activation(self, x: Tensor) -> Tensor:
        return x.clamp(0, 1)


@block_mistake(see="mobilenet_v2.html#relu6")
class HardSwish(Inverted):
    """The activation is hard swish, that of MobileNetV3; here it is ReLU6."""

    def activation(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


@block_mistake(see="mobilenet_v2.html#block")
class ActivationMissingAfterExpansion(Inverted):
    """There is no ReLU6 after the expansion; only the projection is linear."""

    def after_expansion(self, x: Tensor) -> Tensor:
        return x


@block_mistake(see="mobilenet_v2.html#block")
class ActivationMissingAfterDepthwise(Inverted):
    """There is no ReLU6 after the depthwise convolution; only the projection is linear."""

    def after_filter(self, x: Tensor) -> Tensor:
        return x


@block_mistake(see="mobilenet_v2.html#block")
class DenseFilter(Inverted):
    """The 3x3 convolution is a full one (groups forgotten); it is depthwise, one filter for each hidden channel."""

    def groups(self, wide: int) -> int:
        return 1


@block_mistake(see="mobilenet_v2.html#block")
class WideProjection(Inverted):
    """The projection is a 3x3 convolution; it is 1x1."""

    def last_kernel(self) -> int:
        return 3


@block_mistake(see="mobilenet_v2.html#block")
class PaddingForgotten(Inverted):
    """The depthwise convolution has no padding, so the grid shrinks; with padding 1 it keeps its size."""

    def padding(self, kernel: int) -> int:
        return 0


@block_mistake(see="mobilenet_v2.html#stride")
class StrideOnExpansion(Inverted):
    """The stride sits on the first 1x1 convolution, which then skips three of four pixels; it belongs on the
    depthwise convolution."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return stride, 1, 1


@block_mistake(see="mobilenet_v2.html#stride")
class StrideOnProjection(Inverted):
    """The stride sits on the projection; the depthwise convolution then computes four times as many pixels as are
    used. It belongs on the depthwise convolution."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, 1, stride


@block_mistake(see="mobilenet_v2.html#stride")
class StrideForgotten(Inverted):
    """No convolution carries the stride: the grid stays as it is."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, 1, 1


@block_mistake(see="mobilenet_v2.html#stride")
class StrideTwice(Inverted):
    """Two convolutions carry the stride, so the grid shrinks twice; only the depthwise one does."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return stride, stride, 1


@block_mistake(see="mobilenet_v2.html#batch-norm")
class BiasBeforeBatchNorm(Inverted):
    """The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False."""

    def bias(self) -> bool:
        return True


@block_mistake(see="mobilenet_v2.html#batch-norm")
class NoBatchNorm(Inverted):
    """There is no batch norm; each of the convolutions is followed by one, the projection too."""

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@block_mistake(see="mobilenet_v2.html#batch-norm")
class LastBatchNormMissing(Inverted):
    """The projection has no batch norm; linear means without an activation, the batch norm stays."""

    def last_norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@block_mistake(see="mobilenet_v2.html#block")
class ActivationOnInput(Inverted):
    """ReLU6 is applied to the input before anything else; the block's input is used as it is."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@block_mistake(see="mobilenet_v2.html#residual")
class Concatenated(Inverted):
    """The input is concatenated with the result; a residual is added."""

    def merge(self, projected: Tensor, carried: Tensor) -> Tensor:
        return torch.cat([projected, carried], dim=1)
