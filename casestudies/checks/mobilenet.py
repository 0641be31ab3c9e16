"""Checks of the assignment `mobilenet`: the cost of a depthwise separable convolution, and the block itself.

`Separable` does what `networks.mobilenet.SeparableConv` does, cut into small methods, one decision each; a mistake
overrides one of them, and mistakes that override different methods are also made together. `Count` and `Ratio` do
the same for the two formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

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
)
from casestudies.networks import mobilenet

# --------------------------------------------------------------------------- the formulas, in small decisions


class Count(Formula):
    """The multiply-adds of the two steps: (k k M + M N) H W."""

    def value(self, in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> Any:
        return self.total(
            self.depthwise(in_channels, out_channels, kernel),
            self.pointwise(in_channels, out_channels, kernel),
            self.positions(height, width),
        )

    def window(self, kernel: int) -> int:
        return kernel * kernel

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel) * in_channels

    def pointwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return in_channels * out_channels

    def positions(self, height: int, width: int) -> int:
        return height * width

    def total(self, depthwise: int, pointwise: int, positions: int) -> Any:
        return (depthwise + pointwise) * positions


class Ratio(Formula):
    """1 / N + 1 / k^2."""

    def value(self, out_channels: int, kernel: int) -> Any:
        return self.join(self.depthwise(out_channels, kernel), self.pointwise(out_channels, kernel))

    def depthwise(self, out_channels: int, kernel: int) -> float:
        return 1 / out_channels

    def pointwise(self, out_channels: int, kernel: int) -> float:
        return 1 / kernel**2

    def join(self, depthwise: float, pointwise: float) -> Any:
        return depthwise + pointwise


# --------------------------------------------------------------------------- separable_macs


def separable_macs(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    return (kernel**2 * in_channels + in_channels * out_channels) * height * width


def worked_example(dice: Dice) -> Iterator[Call]:
    """The example of the chapter, and others of its kind: a 3x3 kernel on a square grid."""
    yield call(3, 5, 3, 4, 4)
    for _ in range(3):
        side = dice.integer(5, 40)
        yield call(dice.integer(4, 64), dice.integer(65, 128), 3, side, side)


def oblong_grids(dice: Dice) -> Iterator[Call]:
    for _ in range(4):
        yield call(dice.integer(9, 64), dice.integer(65, 128), 3, dice.integer(4, 20), dice.integer(21, 40))


def other_kernels(dice: Dice) -> Iterator[Call]:
    for kernel in (1, 5, 7, dice.choice([9, 11])):
        side = dice.integer(5, 30)
        yield call(dice.integer(65, 128), dice.integer(12, 64), kernel, side, side)


def huge_counts(dice: Dice) -> Iterator[Call]:
    """Counts of some 2^60 that are twice an odd number: no float can hold one exactly, a 64-bit integer can."""
    for _ in range(3):
        channels = 2 * dice.integer(2_500_000, 3_000_000) + 1, 4 * dice.integer(1_700_000, 2_000_000) + 1
        yield call(*channels, 3, 2 * dice.integer(50, 99) + 1, 2 * dice.integer(100, 200) + 1)


def mixed_sizes(dice: Dice) -> Iterator[Call]:
    for _ in range(4):
        grid = dice.integer(31, 60), dice.integer(7, 30)
        yield call(dice.integer(3, 600), dice.integer(3, 600), dice.choice([1, 3, 5, 7]), *grid)


@part("mobilenet/separable_macs", points=3, title="The cost of the two steps", see="mobilenet.html#cost")
def _() -> Values:
    return Values(
        separable_macs,
        Group("the worked example and its like: 3×3 kernels, square grids", worked_example),
        Group("grids that are not square", oblong_grids),
        Group("other kernels", other_kernels),
        Group("counts that must be exact whole numbers", huge_counts),
        Group("everything at once", mixed_sizes),
    )


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class FullConvolution(Count):
    """This is the cost of the full convolution, k·k·M·N·H·W; the separable one is the sum of a depthwise step
    (k·k·M) and a pointwise step (M·N) at each position."""

    def total(self, depthwise: int, pointwise: int, positions: int) -> int:
        return depthwise * pointwise * positions

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel)


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class GroupsForgotten(Count):
    """The depthwise step is counted as a full convolution from M to M channels; each of its M filters sees only one
    channel, so it costs k·k·M at each position."""

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel) * in_channels * in_channels


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class PointwiseForgotten(Count):
    """Only the depthwise step is counted; the 1x1 convolution that mixes the channels costs M·N more at each
    position, and it is the larger part."""

    def pointwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return 0


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class DepthwiseForgotten(Count):
    """Only the pointwise step is counted; the depthwise convolution before it costs k·k·M more at each position."""

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return 0


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class DepthwiseOnOutputChannels(Count):
    """The depthwise step is counted with the output channels N; it comes first and filters the M input channels.
    With N there, the ratio would become 1/M + 1/k^2 instead of 1/N + 1/k^2."""

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel) * out_channels


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class OneFilterOnly(Count):
    """The depthwise step is counted as a single k×k filter; there is one for every input channel."""

    def depthwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel)


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class WidePointwise(Count):
    """The pointwise step is counted with the k×k kernel; its kernel is 1x1, so it costs M·N at each position."""

    def pointwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return self.window(kernel) * in_channels * out_channels


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class PointwiseToInputChannels(Count):
    """The pointwise step is counted from M to M channels; it goes from M to N."""

    def pointwise(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return in_channels * in_channels


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class KernelNotSquared(Count):
    """The kernel enters as k; a window has k·k weights."""

    def window(self, kernel: int) -> int:
        return kernel


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class HeightSquared(Count):
    """The grid enters as height times height; it has height·width positions."""

    def positions(self, height: int, width: int) -> int:
        return height * height


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class ParametersCounted(Count):
    """These are the parameters: the cost repeats them at each of the height·width positions."""

    def positions(self, height: int, width: int) -> int:
        return 1


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class GridCountedOnce(Count):
    """Only one of the two steps is multiplied with the grid; both happen at each of the height·width positions."""

    def total(self, depthwise: int, pointwise: int, positions: int) -> int:
        return depthwise * positions + pointwise


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class Multiplied(Count):
    """The costs of the two steps are multiplied; one happens after the other, so they add up."""

    def total(self, depthwise: int, pointwise: int, positions: int) -> int:
        return depthwise * positions * pointwise * positions


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
@as_function
class FlopsNotMacs(Count):
    """The count is twice what is asked for: multiplications and additions were counted one by one (FLOPs); a MAC is
    one multiplication together with its addition."""

    def total(self, depthwise: int, pointwise: int, positions: int) -> int:
        return 2 * (depthwise + pointwise) * positions


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
def biases_counted(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    """Biases are counted: one addition for each output value. Only multiply-adds count, and the convolutions have
    no bias, since batch norm follows."""
    right = separable_macs(in_channels, out_channels, kernel, height, width)
    return right + (in_channels + out_channels) * height * width


@mistake("mobilenet/separable_macs", see="mobilenet.html#cost")
def through_a_float(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    """The count went through a float (a division, 1e6, or a power) and lost its last digits; with whole numbers
    (*, +, //) it stays exact."""
    ratio = 1 / out_channels + 1 / kernel**2
    return round(kernel**2 * in_channels * out_channels * height * width * ratio)


# --------------------------------------------------------------------------- separable_ratio


def separable_ratio(out_channels: int, kernel: int) -> float:
    return 1 / out_channels + 1 / kernel**2


def ratios(*kernels: int, low: int = 8, high: int = 512) -> Callable[[Dice], Iterator[Call]]:
    def make(dice: Dice) -> Iterator[Call]:
        for kernel in kernels:
            yield call(dice.integer(low, high), kernel)

    return make


@part("mobilenet/separable_ratio", points=3, title="The ratio of the costs", see="mobilenet.html#ratio")
def _() -> Values:
    return Values(
        separable_ratio,
        Group("3×3 kernels", ratios(3, 3, 3), weight=2.0),
        Group("other kernels", ratios(5, 7, 11, 1), weight=2.0),
        Group("few channels and large kernels", ratios(9, 13, 15, low=2, high=7)),
    )


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class RatioMultiplied(Ratio):
    """The two terms are multiplied; the ratio is their sum, 1/N + 1/k^2."""

    def join(self, depthwise: float, pointwise: float) -> float:
        return depthwise * pointwise


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class RatioInverted(Ratio):
    """This is how many times cheaper the separable convolution is; the ratio asked for is its cost divided by the
    cost of the full convolution, a number below 1."""

    def join(self, depthwise: float, pointwise: float) -> float:
        return 1 / (depthwise + pointwise)


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class SharesSaved(Ratio):
    """This is the share of the cost that is saved; the ratio asked for is the share that is left."""

    def join(self, depthwise: float, pointwise: float) -> float:
        return 1 - depthwise - pointwise


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class Percent(Ratio):
    """The ratio is given in percent; it is asked for as a plain number, such as 0.12."""

    def join(self, depthwise: float, pointwise: float) -> float:
        return 100 * (depthwise + pointwise)


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class WindowNotSquared(Ratio):
    """The second term is 1/k; a window has k·k weights, so it is 1/k^2."""

    def pointwise(self, out_channels: int, kernel: int) -> float:
        return 1 / kernel


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class PointwiseTermForgotten(Ratio):
    """The term 1/k^2 is missing: it is the pointwise step, the larger part of what is left."""

    def pointwise(self, out_channels: int, kernel: int) -> float:
        return 0.0


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class DepthwiseTermForgotten(Ratio):
    """The term 1/N is missing: it is the depthwise step. For many channels it is small, but it is not 0."""

    def depthwise(self, out_channels: int, kernel: int) -> float:
        return 0.0


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class InputChannelsLeft(Ratio):
    """The input channels did not cancel: the first term became 1/N^2, as if there were one k×k filter in all. The
    depthwise step has one for every input channel, k·k·M, and M stands in every term above and below."""

    def depthwise(self, out_channels: int, kernel: int) -> float:
        return 1 / out_channels**2


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
@as_function
class ChannelsAndWindowSwapped(Ratio):
    """The squares are swapped: the ratio is 1/N + 1/k^2, not 1/N^2 + 1/k."""

    def depthwise(self, out_channels: int, kernel: int) -> float:
        return 1 / out_channels**2

    def pointwise(self, out_channels: int, kernel: int) -> float:
        return 1 / kernel


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
def whole_division(out_channels: int, kernel: int) -> int:
    """The result is always 0: a division was done in whole numbers, // instead of /."""
    return (out_channels + kernel**2) // (out_channels * kernel**2)


@mistake("mobilenet/separable_ratio", see="mobilenet.html#ratio")
def added_below(out_channels: int, kernel: int) -> float:
    """This is 1/(N + k^2); a sum of fractions is not the fraction of the sum."""
    return 1 / (out_channels + kernel**2)


# --------------------------------------------------------------------------- depthwise_conv


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight, padding=weight.shape[-1] // 2, groups=x.shape[1])


def filters(*shapes: tuple[int, int, int, int, int]) -> Callable[[Dice], Iterator[Call]]:
    """Calls with images of shape (batch, channels, height, width) and kernels of the given size."""

    def make(dice: Dice) -> Iterator[Call]:
        for batch, channels, height, width, kernel in shapes:
            x = dice.normal(batch, channels, height, width, scale=2.0)
            yield call(x, dice.normal(channels, 1, kernel, kernel))

    return make


@part("mobilenet/depthwise_conv", points=5, title="The depthwise convolution", see="mobilenet.html#depthwise")
def _() -> Values:
    return Values(
        depthwise_conv,
        Group("3×3 filters", filters((2, 4, 6, 5, 3), (3, 5, 4, 7, 3)), weight=2.0),
        Group("larger filters: the grid keeps its size", filters((2, 3, 6, 7, 5), (1, 4, 9, 8, 7))),
        Group("1×1 filters and single channels", filters((2, 3, 4, 5, 1), (2, 1, 5, 6, 3))),
        Group("filters larger than the image", filters((3, 2, 3, 4, 7), (1, 5, 2, 5, 5))),
        Group("gradients reach the images and the filters", filters((2, 3, 5, 4, 3)), gradients=True),
    )


def depthwise_mistake(wrong: Callable[..., Any]) -> Callable[..., Any]:
    return mistake("mobilenet/depthwise_conv", see="mobilenet.html#depthwise")(wrong)


@depthwise_mistake
def flipped(x: Tensor, weight: Tensor) -> Tensor:
    """The filters are turned upside down and left to right: that is the convolution of mathematics. What networks
    call a convolution slides the filter as it is (a cross-correlation)."""
    return depthwise_conv(x, weight.flip(-1, -2))


@depthwise_mistake
def rows_and_columns_swapped(x: Tensor, weight: Tensor) -> Tensor:
    """Rows and columns of the filters are swapped: weight[c, 0, i, j] belongs to i rows down and j columns to the
    right."""
    return depthwise_conv(x, weight.transpose(-1, -2))


@depthwise_mistake
def filter_shared(x: Tensor, weight: Tensor) -> Tensor:
    """All channels are filtered with the filter of channel 0; channel c has its own, weight[c, 0]."""
    return depthwise_conv(x, weight[:1].expand_as(weight))


@depthwise_mistake
def channels_summed(x: Tensor, weight: Tensor) -> Tensor:
    """The filtered channels are added up into one map, as in a full convolution; a depthwise convolution keeps them
    apart: C channels in, C channels out."""
    return depthwise_conv(x, weight).sum(dim=1, keepdim=True)


@depthwise_mistake
def dense(x: Tensor, weight: Tensor) -> Tensor:
    """Every filter is applied to every channel and the results are added up (groups forgotten): channel c of the
    result must come from channel c of x alone."""
    return F.conv2d(x, weight.expand(-1, x.shape[1], -1, -1), padding=weight.shape[-1] // 2)


@depthwise_mistake
def channel_mean(x: Tensor, weight: Tensor) -> Tensor:
    """The filters are applied to the mean over the channels; channel c of the result must come from channel c of x
    alone."""
    return depthwise_conv(x.mean(dim=1, keepdim=True).expand_as(x), weight)


@depthwise_mistake
def padding_forgotten(x: Tensor, weight: Tensor) -> Tensor:
    """There is no padding, so the grid shrinks by k - 1; "same" padding puts k // 2 zeros on each side."""
    return F.conv2d(x, weight, groups=x.shape[1])


@depthwise_mistake
def padding_always_one(x: Tensor, weight: Tensor) -> Tensor:
    """The padding is 1 whatever the kernel; "same" padding is k // 2 on each side, which is 1 for k = 3 only."""
    return F.conv2d(x, weight, padding=1, groups=x.shape[1])


@depthwise_mistake
def padding_of_the_kernel(x: Tensor, weight: Tensor) -> Tensor:
    """The padding is k - 1 on each side, so the grid grows; "same" padding is k // 2."""
    return F.conv2d(x, weight, padding=weight.shape[-1] - 1, groups=x.shape[1])


@depthwise_mistake
def padding_on_one_side(x: Tensor, weight: Tensor) -> Tensor:
    """All zeros are put below and to the right, so the result is shifted; "same" padding puts k // 2 on each
    side."""
    wide = weight.shape[-1] - 1
    return F.conv2d(F.pad(x, (0, wide, 0, wide)), weight, groups=x.shape[1])


@depthwise_mistake
def padding_before(x: Tensor, weight: Tensor) -> Tensor:
    """All zeros are put above and to the left, so the result is shifted; "same" padding puts k // 2 on each
    side."""
    wide = weight.shape[-1] - 1
    return F.conv2d(F.pad(x, (wide, 0, wide, 0)), weight, groups=x.shape[1])


@depthwise_mistake
def edges_repeated(x: Tensor, weight: Tensor) -> Tensor:
    """Outside of the image stand repeated edge pixels; the padding is zeros."""
    half = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, (half,) * 4, mode="replicate"), weight, groups=x.shape[1])


@depthwise_mistake
def image_wrapped(x: Tensor, weight: Tensor) -> Tensor:
    """The image is continued from its other side (as torch.roll or a Fourier transform do); the padding is
    zeros."""
    half = weight.shape[-1] // 2
    total = torch.zeros_like(x)
    for i in range(weight.shape[-1]):
        for j in range(weight.shape[-1]):
            total = total + weight[:, 0, i, j].view(-1, 1, 1) * x.roll((half - i, half - j), dims=(2, 3))
    return total


@depthwise_mistake
def averaged(x: Tensor, weight: Tensor) -> Tensor:
    """The products in a window are averaged; a convolution adds them up."""
    return depthwise_conv(x, weight) / weight.shape[-1] ** 2


@depthwise_mistake
def first_image_only(x: Tensor, weight: Tensor) -> Tensor:
    """Only the first image of the batch is computed; the others stay zero."""
    result = torch.zeros_like(x)
    result[:1] = depthwise_conv(x[:1], weight)
    return result


@depthwise_mistake
def relu_added(x: Tensor, weight: Tensor) -> Tensor:
    """A ReLU is applied to the result; this function is the convolution alone."""
    return F.relu(depthwise_conv(x, weight))


@depthwise_mistake
def last_offset_only(x: Tensor, weight: Tensor) -> Tensor:
    """Each position of the filter overwrites what the ones before it gave; the products must be added up (+=)."""
    alone = torch.zeros_like(weight)
    alone[..., -1, -1] = weight[..., -1, -1]
    return depthwise_conv(x, alone)


# --------------------------------------------------------------------------- the block


def separable() -> Space:
    """With as many channels and stride 1 a sum with the input would be possible."""
    return Space(
        {
            "in_channels, out_channels": (
                any_of((6, 6), (3, 3)),
                any_of((5, 7), (4, 8)),
                any_of((8, 3), (7, 4)),
            ),
            "stride": (1, 2, 3),
        },
        shape=("in_channels", SIDES, SIDES),
    )


@part("mobilenet/separable_conv", points=5, title="The depthwise separable block", see="mobilenet.html#block")
def _() -> Reference:
    return Reference(mobilenet.SeparableConv, separable())


@part(
    "mobilenet/repaired_block",
    points=4,
    title="Find the bug",
    see="mobilenet.html#what-goes-wrong",
    given=("bias_on_pointwise", "stride_on_pointwise"),
)
def _() -> Reference:
    class RepairedBlock(mobilenet.SeparableConv):
        pass

    return Reference(
        RepairedBlock,
        separable(),
    )


class Separable(nn.Module):
    """3x3 depthwise, BN, ReLU, 1x1 pointwise, BN, ReLU, one decision a method."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        first, second = self.strides(stride)
        self.depthwise = self.make_depthwise(in_channels, first)
        self.norm1 = self.norm_between(in_channels)
        self.pointwise = self.make_pointwise(in_channels, out_channels, second)
        self.norm2 = self.norm_after(out_channels)

    def strides(self, stride: int) -> tuple[int, int]:
        return stride, 1

    def make_depthwise(self, channels: int, stride: int) -> nn.Module:
        return nn.Conv2d(
            channels, channels, 3, stride, self.padding(), groups=self.groups(channels), bias=self.bias()
        )

    def groups(self, channels: int) -> int:
        return channels

    def padding(self) -> int:
        return 1

    def bias(self) -> bool:
        return False

    def make_pointwise(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1, stride, bias=self.pointwise_bias())

    def pointwise_bias(self) -> bool:
        return self.bias()

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def norm_between(self, channels: int) -> nn.Module:
        return self.norm(channels)

    def norm_after(self, channels: int) -> nn.Module:
        return self.norm(channels)

    def activation(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def combined(self, norm: nn.Module, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return activation(norm(x))

    def between(self, x: Tensor) -> Tensor:
        return self.combined(self.norm1, self.activation, x)

    def after(self, x: Tensor) -> Tensor:
        return self.combined(self.norm2, self.activation, x)

    def enter(self, x: Tensor) -> Tensor:
        return x

    def finish(self, result: Tensor, x: Tensor) -> Tensor:
        return result

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.finish(self.after(self.pointwise(self.between(self.depthwise(x)))), x)


def block_mistake(see: str = "mobilenet.html#block") -> Callable[[type], type]:
    """Declares a mistake for the block that is written and for the block that is repaired."""

    def declare(wrong: type) -> type:
        for name in ("separable_conv", "repaired_block"):
            mistake(f"mobilenet/{name}", see=see)(wrong)
        return wrong

    return declare


@block_mistake(see="mobilenet.html#depthwise")
class DenseDepthwise(Separable):
    """The 3x3 convolution is a full one (groups forgotten): with groups=in_channels every channel has its own filter,
    and the cost falls by the number of channels."""

    def groups(self, channels: int) -> int:
        return 1


@block_mistake(see="mobilenet.html#depthwise")
class FiltersShared(Separable):
    """One 3x3 filter is shared by all channels; a depthwise convolution has a filter for each of them."""

    def make_depthwise(self, channels: int, stride: int) -> nn.Module:
        return SharedFilter(stride, self.padding())


class SharedFilter(nn.Module):
    def __init__(self, stride: int, padding: int) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = nn.Parameter(torch.randn(1, 1, 3, 3) / 3)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        weight = self.weight.expand(channels, -1, -1, -1)
        return F.conv2d(x, weight, stride=self.stride, padding=self.padding, groups=channels)


@block_mistake(see="mobilenet.html#depthwise")
class FiltersFlipped(Separable):
    """The depthwise filters are turned around before they are applied; a network's convolution slides them as they
    are."""

    def make_depthwise(self, channels: int, stride: int) -> nn.Module:
        layer = super().make_depthwise(channels, stride)
        layer.__class__ = FlippedConv2d
        return layer


class FlippedConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight.flip(-1, -2), self.bias)


@block_mistake(see="mobilenet.html#block")
class NothingBetween(Separable):
    """Batch norm and ReLU between the two convolutions are missing: without them the two are one linear map, which a
    single dense 3x3 convolution could do as well."""

    def norm_between(self, channels: int) -> nn.Module:
        return nn.Identity()

    def between(self, x: Tensor) -> Tensor:
        return x


@block_mistake(see="mobilenet.html#block")
class ReluMissingBetween(Separable):
    """There is no ReLU after the depthwise convolution and its batch norm, so the two convolutions are one linear map
    in evaluation mode."""

    def between(self, x: Tensor) -> Tensor:
        return self.norm1(x)


@block_mistake(see="mobilenet.html#batch-norm")
class BatchNormMissingBetween(Separable):
    """There is no batch norm after the depthwise convolution; each of the two convolutions is followed by one."""

    def norm_between(self, channels: int) -> nn.Module:
        return nn.Identity()

    def between(self, x: Tensor) -> Tensor:
        return self.activation(x)


@block_mistake(see="mobilenet.html#block")
class FinalReluMissing(Separable):
    """There is no ReLU after the pointwise convolution and its batch norm."""

    def after(self, x: Tensor) -> Tensor:
        return self.norm2(x)


@block_mistake(see="mobilenet.html#batch-norm")
class FinalBatchNormMissing(Separable):
    """There is no batch norm after the pointwise convolution; each of the two convolutions is followed by one."""

    def norm_after(self, channels: int) -> nn.Module:
        return nn.Identity()

    def after(self, x: Tensor) -> Tensor:
        return self.activation(x)


@block_mistake(see="mobilenet.html#batch-norm")
class NoBatchNorm(Separable):
    """There is no batch norm at all; each of the two convolutions is followed by one."""

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@block_mistake(see="mobilenet.html#batch-norm")
class BatchNormWithoutScale(Separable):
    """The batch norms have no scale and shift (affine=False); here they learn both."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, affine=False)


@block_mistake(see="mobilenet.html#block")
class NoRelu(Separable):
    """There is no ReLU at all; one follows each of the two batch norms."""

    def activation(self, x: Tensor) -> Tensor:
        return x


@block_mistake(see="mobilenet.html#block")
class Relu6(Separable):
    """The activation is ReLU6, which cuts off at 6, as in the authors' released code; the paper and this assignment
    have ReLU."""

    def activation(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@block_mistake(see="mobilenet.html#batch-norm")
class ReluBeforeBatchNorm(Separable):
    """ReLU comes before the batch norm; the order is convolution, batch norm, ReLU."""

    def combined(self, norm: nn.Module, activation: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        return norm(activation(x))


@block_mistake(see="mobilenet.html#batch-norm")
class BiasBeforeBatchNorm(Separable):
    """The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False."""

    def bias(self) -> bool:
        return True


@block_mistake(see="mobilenet.html#batch-norm")
class BiasOnPointwise(Separable):
    """The pointwise convolution has a bias although a batch norm follows, which subtracts any constant: use
    bias=False, as for the depthwise one."""

    def pointwise_bias(self) -> bool:
        return True


@block_mistake(see="mobilenet.html#block")
class PointwiseForgottenInBlock(Separable):
    """The pointwise convolution is missing: the depthwise one alone never mixes the channels."""

    def make_pointwise(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Identity()

    def norm_after(self, channels: int) -> nn.Module:
        return nn.Identity()

    def after(self, x: Tensor) -> Tensor:
        return x


@block_mistake(see="mobilenet.html#block")
class WidePointwiseConv(Separable):
    """The second convolution is 3x3; the pointwise convolution is 1x1, which is where the saving comes from."""

    def make_pointwise(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=self.bias())


@block_mistake(see="mobilenet.html#block")
class PaddedPointwise(Separable):
    """The 1x1 convolution has padding 1, so a frame of constant pixels grows around the grid; it needs none."""

    def make_pointwise(self, in_channels: int, out_channels: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 1, stride, padding=1, bias=self.bias())


@block_mistake(see="mobilenet.html#block")
class PaddingForgottenInBlock(Separable):
    """The 3x3 convolution has no padding, so the grid shrinks by 2; with padding 1 it keeps its size."""

    def padding(self) -> int:
        return 0


@block_mistake(see="mobilenet.html#stride")
class StrideOnPointwise(Separable):
    """The stride sits on the pointwise convolution. In evaluation mode the values are even the same, but the
    depthwise step computes four times as many pixels as are used, and all enter the statistics of its batch norm: the
    stride belongs on the depthwise convolution."""

    def strides(self, stride: int) -> tuple[int, int]:
        return 1, stride


@block_mistake(see="mobilenet.html#stride")
class StrideOnBoth(Separable):
    """Both convolutions carry the stride, so the grid shrinks twice; only the depthwise one does."""

    def strides(self, stride: int) -> tuple[int, int]:
        return stride, stride


@block_mistake(see="mobilenet.html#stride")
class StrideForgotten(Separable):
    """No convolution carries the stride: the grid stays as it is."""

    def strides(self, stride: int) -> tuple[int, int]:
        return 1, 1


@block_mistake(see="mobilenet.html#block")
class ShortcutAdded(Separable):
    """The input is added where shapes allow it; MobileNetV1 has no shortcuts, they come with v2."""

    def finish(self, result: Tensor, x: Tensor) -> Tensor:
        return result + x if result.shape == x.shape else result


@block_mistake(see="mobilenet.html#block")
class InPlaceOnInput(Separable):
    """An in-place ReLU overwrites the input of the block; whoever else holds it sees it change."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu_(x)


@block_mistake(see="mobilenet.html#block")
class ReluOnInput(Separable):
    """ReLU is applied to x before anything else; the block's input is used as it is."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu(x)


@block_mistake(see="mobilenet.html#block")
class PointwiseFirst(Separable):
    """The pointwise convolution comes first and the depthwise one works on the output channels; the order is
    depthwise, then pointwise."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        nn.Module.__init__(self)
        first, second = self.strides(stride)
        self.pointwise = self.make_pointwise(in_channels, out_channels, second)
        self.norm2 = self.norm_after(out_channels)
        self.depthwise = self.make_depthwise(out_channels, first)
        self.norm1 = self.norm_between(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        return self.finish(self.between(self.depthwise(self.after(self.pointwise(x)))), x)


@block_mistake(see="mobilenet.html#what-goes-wrong")
class FullConv(Separable):
    """This is one full 3x3 convolution with batch norm and ReLU, the layer that a separable convolution replaces."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        nn.Module.__init__(self)
        self.layers = mobilenet.full_conv(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
