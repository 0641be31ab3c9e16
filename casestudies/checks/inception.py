"""Checks of the assignment `inception`: the price of large kernels, the bottleneck, the module with four branches.

`Macs`, `BottleneckMacs`, `Module` and `Reduction` do what the references do, cut into small methods, one decision
each; a mistake overrides one of them. Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

from collections.abc import Callable

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
from casestudies.networks import googlenet

# --------------------------------------------------------------------------- references


def conv_macs(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    """k k C_in multiply-accumulates for each of the C_out H W output values.

    >>> conv_macs(192, 32, 5, 28, 28)
    120422400
    """
    return kernel**2 * in_channels * out_channels * height * width


def bottleneck_macs(
    in_channels: int, reduced: int, out_channels: int, kernel: int, height: int, width: int
) -> int:
    """A 1x1 convolution to `reduced` channels, then the k x k convolution.

    >>> bottleneck_macs(192, 16, 32, 5, 28, 28)
    12443648
    """
    first = in_channels * reduced * height * width
    second = kernel**2 * reduced * out_channels * height * width
    return first + second


class RepairedReduction(nn.Module):
    """Two convolutions of stride 2 behind reducers, and a pool of stride 2, side by side: it halves the grid."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.reduce3 = nn.Conv2d(in_channels, c3_reduce, 1)
        self.conv3 = nn.Conv2d(c3_reduce, c3, 3, stride=2, padding=1)
        self.reduce5 = nn.Conv2d(in_channels, c5_reduce, 1)
        self.conv5 = nn.Conv2d(c5_reduce, c5, 5, stride=2, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        branch3 = F.relu(self.conv3(F.relu(self.reduce3(x))))
        branch5 = F.relu(self.conv5(F.relu(self.reduce5(x))))
        return torch.cat([branch3, branch5, F.max_pool2d(x, 3, stride=2, padding=1)], dim=1)


# --------------------------------------------------------------------------- parts


def layers(kernel: Callable[[Dice], int]) -> Callable[[Dice], list[Call]]:
    """Sizes that differ from each other: with equal ones a mistake could cancel out."""

    def make(dice: Dice) -> list[Call]:
        return [
            call(
                dice.integer(100, 200),
                dice.integer(30, 60),
                kernel(dice),
                height=dice.integer(9, 14),
                width=dice.integer(17, 28),
            )
            for _ in range(2)
        ]

    return make


def bottlenecks(kernel: Callable[[Dice], int]) -> Callable[[Dice], list[Call]]:
    def make(dice: Dice) -> list[Call]:
        return [
            call(
                dice.integer(100, 200),
                dice.integer(8, 24),
                dice.integer(30, 60),
                kernel(dice),
                dice.integer(9, 14),
                dice.integer(17, 28),
            )
            for _ in range(2)
        ]

    return make


@part("inception/conv_macs", points=3, title="The cost of a convolution", see="inception.html#cost")
def conv_macs_part() -> Values:
    return Values(
        conv_macs,
        Group("3×3 and 5×5 kernels", layers(lambda dice: dice.choice([3, 5]))),
        Group("7×7 kernels", layers(lambda dice: 7)),
        Group("1×1 kernels", layers(lambda dice: 1)),
    )


@part(
    "inception/bottleneck_macs", points=4, title="The cost with a bottleneck", see="inception.html#bottleneck"
)
def bottleneck_macs_part() -> Values:
    return Values(
        bottleneck_macs,
        Group("in front of a 5×5 convolution", bottlenecks(lambda dice: 5)),
        Group("in front of a 3×3 convolution", bottlenecks(lambda dice: 3)),
        Group("in front of other kernels", bottlenecks(lambda dice: dice.choice([7, 9, 11]))),
    )


@part("inception/inception_module", points=8, title="The Inception module", see="inception.html#module")
def inception_module() -> Reference:
    return Reference(
        googlenet.InceptionModule,
        Space(
            {
                "in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj": (
                    any_of((6, 4, 3, 5, 2, 7, 8), (5, 3, 4, 8, 2, 6, 7)),
                    any_of((4, 5, 2, 6, 3, 8, 7), (3, 2, 5, 4, 6, 7, 1)),  # wider reducers, more than came in
                )
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part(
    "inception/repaired_reduction",
    points=5,
    title="Find the bug",
    see="inception.html#what-goes-wrong",
    given=("stride_on_the_reducers", "relu_missing_before5"),
)
def repaired_reduction() -> Reference:
    return Reference(
        RepairedReduction,
        Space(
            {
                "in_channels, c3_reduce, c3, c5_reduce, c5": (
                    any_of((6, 4, 5, 3, 7), (5, 3, 6, 2, 4)),
                    any_of((4, 2, 7, 3, 5), (3, 5, 2, 6, 4)),
                )
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


# --------------------------------------------------------------------------- conv_macs


class Macs(Formula):
    """The cost of a convolution, one decision a method."""

    def value(self, in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int | float:
        pixels = self.pixels(height, width, kernel)
        weights = self.window(kernel) * self.channels(in_channels, out_channels)
        return self.number(weights * pixels + self.extra(out_channels, pixels))

    def window(self, kernel: int) -> int:
        return kernel * kernel

    def channels(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels

    def pixels(self, height: int, width: int, kernel: int) -> int:
        return height * width

    def extra(self, out_channels: int, pixels: int) -> int:
        return 0

    def number(self, count: int) -> int | float:
        return count


@mistake("inception/conv_macs")
@as_function
class BiasCounted(Macs):
    """The biases are counted as well; adding a bias is no multiply-accumulate, so they are left out."""

    def extra(self, out_channels: int, pixels: int) -> int:
        return out_channels * pixels


@mistake("inception/conv_macs")
@as_function
class BiasCountedOnce(Macs):
    """One number for each bias is added; biases are parameters, not multiply-accumulates."""

    def extra(self, out_channels: int, pixels: int) -> int:
        return out_channels


@mistake("inception/conv_macs")
@as_function
class KernelNotSquared(Macs):
    """The kernel's side is counted, not its area: a k x k window has k * k values."""

    def window(self, kernel: int) -> int:
        return kernel


@mistake("inception/conv_macs")
@as_function
class KernelForgotten(Macs):
    """The kernel does not appear: every output value sums over a window of k * k pixels."""

    def window(self, kernel: int) -> int:
        return 1


@mistake("inception/conv_macs")
@as_function
class InputChannelsForgotten(Macs):
    """The input channels do not appear: every output value sums over all of them."""

    def channels(self, in_channels: int, out_channels: int) -> int:
        return out_channels


@mistake("inception/conv_macs")
@as_function
class OutputChannelsForgotten(Macs):
    """The output channels do not appear: each of them costs as much as the first."""

    def channels(self, in_channels: int, out_channels: int) -> int:
        return in_channels


@mistake("inception/conv_macs")
@as_function
class ChannelsAdded(Macs):
    """The numbers of channels are added; every output channel sums over every input channel: multiply."""

    def channels(self, in_channels: int, out_channels: int) -> int:
        return in_channels + out_channels


@mistake("inception/conv_macs")
@as_function
class GridForgotten(Macs):
    """These are the weights; each of them is used once at every pixel of the output: times height and width."""

    def pixels(self, height: int, width: int, kernel: int) -> int:
        return 1


@mistake("inception/conv_macs")
@as_function
class HeightSquared(Macs):
    """The grid is taken for a square of the height; it has height * width pixels."""

    def pixels(self, height: int, width: int, kernel: int) -> int:
        return height * height


@mistake("inception/conv_macs")
@as_function
class WidthSquared(Macs):
    """The grid is taken for a square of the width; it has height * width pixels."""

    def pixels(self, height: int, width: int, kernel: int) -> int:
        return width * width


@mistake("inception/conv_macs")
@as_function
class HeightAndWidthOfTheInput(Macs):
    """The kernel is taken off the grid once more, as without padding; height and width are those of the output."""

    def pixels(self, height: int, width: int, kernel: int) -> int:
        return (height - kernel + 1) * (width - kernel + 1)


@mistake("inception/conv_macs")
@as_function
class FlopsForMacs(Macs):
    """Multiplications and additions are counted apart, which gives twice the number; a MAC is one of each."""

    def number(self, count: int) -> int | float:
        return 2 * count


@mistake("inception/conv_macs")
@as_function
class FloatReturned(Macs):
    """The number is right, but it is a float; a count is an int (no /, ** 2 instead of ** 2.0)."""

    def number(self, count: int) -> int | float:
        return float(count)


# --------------------------------------------------------------------------- bottleneck_macs


class BottleneckMacs(Formula):
    """The cost of a 1x1 and a k x k convolution, one decision a method."""

    def value(
        self, in_channels: int, reduced: int, out_channels: int, kernel: int, height: int, width: int
    ) -> int | float:
        pixels = height * width
        first = self.reducer(in_channels, reduced, out_channels, kernel, pixels)
        second = self.window(kernel) * self.wide(in_channels, reduced, out_channels) * pixels
        return self.number(self.total(first, second) + self.extra(reduced, out_channels, pixels))

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return in_channels * reduced * pixels

    def window(self, kernel: int) -> int:
        return kernel * kernel

    def wide(self, in_channels: int, reduced: int, out_channels: int) -> int:
        return reduced * out_channels

    def total(self, first: int, second: int) -> int | float:
        return first + second

    def extra(self, reduced: int, out_channels: int, pixels: int) -> int:
        return 0

    def number(self, count: int | float) -> int | float:
        return count


BOTTLENECK = "inception/bottleneck_macs"


@mistake(BOTTLENECK)
@as_function
class ReducerForgotten(BottleneckMacs):
    """The 1x1 convolution is not counted; it is cheap, but not free."""

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return 0


@mistake(BOTTLENECK)
@as_function
class ReducerWithTheKernel(BottleneckMacs):
    """The reducer is counted with the large kernel; it is a 1x1 convolution."""

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return kernel * kernel * in_channels * reduced * pixels


@mistake(BOTTLENECK)
@as_function
class ReducerWithoutGrid(BottleneckMacs):
    """The reducer's weights are counted, not its work: it too runs at every pixel."""

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return in_channels * reduced


@mistake(BOTTLENECK)
@as_function
class ReducerBehind(BottleneckMacs):
    """The 1x1 convolution is counted behind the large one (reduced -> out); it stands in front (in -> reduced)."""

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return reduced * out_channels * pixels

    def wide(self, in_channels: int, reduced: int, out_channels: int) -> int:
        return in_channels * reduced


@mistake(BOTTLENECK)
@as_function
class NotReduced(BottleneckMacs):
    """The large convolution is counted on all input channels; it only sees the reduced ones."""

    def wide(self, in_channels: int, reduced: int, out_channels: int) -> int:
        return in_channels * out_channels


@mistake(BOTTLENECK)
@as_function
class DirectCost(BottleneckMacs):
    """This is the cost without the bottleneck: the large kernel straight on the input."""

    def reducer(self, in_channels: int, reduced: int, out_channels: int, kernel: int, pixels: int) -> int:
        return 0

    def wide(self, in_channels: int, reduced: int, out_channels: int) -> int:
        return in_channels * out_channels


@mistake(BOTTLENECK)
@as_function
class OnlyTheReducer(BottleneckMacs):
    """Only the 1x1 convolution is counted; the large one follows it."""

    def total(self, first: int, second: int) -> int | float:
        return first


@mistake(BOTTLENECK)
@as_function
class CostsMultiplied(BottleneckMacs):
    """The two costs are multiplied; the convolutions run one after the other: add them."""

    def total(self, first: int, second: int) -> int | float:
        return first * second


@mistake(BOTTLENECK, id="kernel_not_squared")
@as_function
class WideKernelNotSquared(BottleneckMacs):
    """The kernel's side is counted, not its area: a k x k window has k * k values."""

    def window(self, kernel: int) -> int:
        return kernel


@mistake(BOTTLENECK, id="kernel_forgotten")
@as_function
class WideKernelForgotten(BottleneckMacs):
    """The large kernel does not appear: its convolution sums over a window of k * k pixels."""

    def window(self, kernel: int) -> int:
        return 1


@mistake(BOTTLENECK, id="bias_counted")
@as_function
class BiasesCounted(BottleneckMacs):
    """The biases are counted as well; adding a bias is no multiply-accumulate, so they are left out."""

    def extra(self, reduced: int, out_channels: int, pixels: int) -> int:
        return (reduced + out_channels) * pixels


@mistake(BOTTLENECK, id="flops_for_macs")
@as_function
class TwiceForMacs(BottleneckMacs):
    """Multiplications and additions are counted apart, which gives twice the number; a MAC is one of each."""

    def number(self, count: int | float) -> int | float:
        return 2 * count


@mistake(BOTTLENECK, id="float_returned")
@as_function
class FloatForInt(BottleneckMacs):
    """The number is right, but it is a float; a count is an int (no /, ** 2 instead of ** 2.0)."""

    def number(self, count: int | float) -> int | float:
        return float(count)


# --------------------------------------------------------------------------- the module


class Module(nn.Module):
    """Four branches on the same input, one decision a method."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        c3_reduce, c3, c5_reduce, c5 = self.sizes(c3_reduce, c3, c5_reduce, c5)
        self.one = self.conv(in_channels, c1, 1)
        self.reduce3 = self.reducer(in_channels, c3_reduce, 3)
        self.three = self.branch3(in_channels, c3_reduce, c3)
        self.reduce5 = self.reducer(in_channels, c5_reduce, 5)
        self.five = self.branch5(in_channels, c3_reduce, c5_reduce, c5)
        self.pool = self.make_pool()
        self.project = self.projection(in_channels, pool_proj)

    def sizes(self, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> tuple[int, int, int, int]:
        return c3_reduce, c3, c5_reduce, c5

    def conv(self, in_channels: int, out_channels: int, kernel: int) -> nn.Module:
        conv = nn.Conv2d(in_channels, out_channels, kernel, padding=self.padding(kernel), bias=self.bias())
        return nn.Sequential(conv, self.norm(out_channels))

    def padding(self, kernel: int) -> int:
        return kernel // 2

    def bias(self) -> bool:
        return True

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return self.conv(in_channels, reduced, 1)

    def branch3(self, in_channels: int, c3_reduce: int, c3: int) -> nn.Module:
        return self.conv(c3_reduce, c3, 3)

    def branch5(self, in_channels: int, c3_reduce: int, c5_reduce: int, c5: int) -> nn.Module:
        return self.conv(c5_reduce, c5, 5)

    def make_pool(self) -> nn.Module:
        return nn.MaxPool2d(3, stride=1, padding=1)

    def projection(self, in_channels: int, pool_proj: int) -> nn.Module:
        return self.conv(in_channels, pool_proj, 1)

    def g(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def after_reducer(self, x: Tensor, kernel: int) -> Tensor:
        return self.g(x)

    def after_branch(self, x: Tensor, kernel: int) -> Tensor:
        return self.g(x)

    def after_projection(self, x: Tensor) -> Tensor:
        return self.g(x)

    def enter(self, x: Tensor) -> Tensor:
        return x

    def reduced5(self, x: Tensor, reduced3: Tensor) -> Tensor:
        return self.after_reducer(self.reduce5(x), 5)

    def pooled(self, x: Tensor) -> Tensor:
        return self.after_projection(self.project(self.pool(x)))

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches

    def join(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        reduced3 = self.after_reducer(self.reduce3(x), 3)
        branches = [
            self.after_branch(self.one(x), 1),
            self.after_branch(self.three(reduced3), 3),
            self.after_branch(self.five(self.reduced5(x, reduced3)), 5),
            self.pooled(x),
        ]
        return self.join(self.order(branches))


MODULE = "inception/inception_module"


@mistake(MODULE)
class ConcatenatedAlongTheBatch(Module):
    """The branches are concatenated along the batch (dim=0); they have different channels: dim=1."""

    def join(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=0)


@mistake(MODULE)
class ConcatenatedAlongTheRows(Module):
    """The branches are concatenated along the rows (dim=2); they have different channels: dim=1."""

    def join(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=2)


@mistake(MODULE)
class ConcatenatedAlongTheColumns(Module):
    """The branches are concatenated along the columns (dim=3 or -1); they have different channels: dim=1."""

    def join(self, branches: list[Tensor]) -> Tensor:
        return torch.cat(branches, dim=3)


@mistake(MODULE)
class OtherOrder3First(Module):
    """The 3x3 branch comes before the 1x1; the order is 1x1, 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        one, three, five, pool = branches
        return [three, one, five, pool]


@mistake(MODULE)
class OtherOrder5Before3(Module):
    """The 5x5 branch comes before the 3x3; the order is 1x1, 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        one, three, five, pool = branches
        return [one, five, three, pool]


@mistake(MODULE)
class OtherOrderPoolFirst(Module):
    """The pool's branch comes first; the order is 1x1, 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches[-1:] + branches[:-1]


@mistake(MODULE)
class OtherOrderPoolBefore5(Module):
    """The pool's branch comes before the 5x5; the order is 1x1, 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        one, three, five, pool = branches
        return [one, three, pool, five]


@mistake(MODULE)
class OtherOrderReversed(Module):
    """The branches are in reverse order; the order is 1x1, 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches[::-1]


@mistake(MODULE)
class PoolWithStride(Module):
    """The pool has stride 2 and shrinks the grid, so its branch does not fit the others: stride 1."""

    def make_pool(self) -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1)


@mistake(MODULE)
class PoolWithDefaultStride(Module):
    """The stride of the pool is not given; PyTorch then takes the kernel's size, and the grid
    shrinks: stride=1."""

    def make_pool(self) -> nn.Module:
        return nn.MaxPool2d(3, padding=1)


@mistake(MODULE)
class PoolWithoutPadding(Module):
    """The pool has no padding, so the grid of its branch loses a border and does not fit the others: padding=1."""

    def make_pool(self) -> nn.Module:
        return nn.MaxPool2d(3, stride=1)


@mistake(MODULE)
class AveragePool(Module):
    """The pool averages; it takes the maximum."""

    def make_pool(self) -> nn.Module:
        return nn.AvgPool2d(3, stride=1, padding=1)


@mistake(MODULE)
class WidePool(Module):
    """The window of the pool is 5x5; it is 3x3, like the smaller convolution's."""

    def make_pool(self) -> nn.Module:
        return nn.MaxPool2d(5, stride=1, padding=2)


@mistake(MODULE)
class PoolForgotten(Module):
    """There is no pool in the fourth branch, only its 1x1 convolution."""

    def make_pool(self) -> nn.Module:
        return nn.Identity()


@mistake(MODULE)
class ProjectionForgotten(Module):
    """There is no 1x1 convolution after the pool, so all input channels are passed on and the width grows from module
    to module."""

    def projection(self, in_channels: int, pool_proj: int) -> nn.Module:
        return nn.Identity()

    def after_projection(self, x: Tensor) -> Tensor:
        return x


@mistake(MODULE)
class ProjectionBeforeThePool(Module):
    """The fourth branch has its 1x1 convolution before the pool; the pool comes first, then the projection."""

    def pooled(self, x: Tensor) -> Tensor:
        return self.pool(self.after_projection(self.project(x)))


@mistake(MODULE)
class ReluMissingAfterReducers(Module):
    """There is no ReLU after the reducing 1x1 convolutions: each is then one linear map with the convolution behind
    it."""

    def after_reducer(self, x: Tensor, kernel: int) -> Tensor:
        return x


@mistake(MODULE)
class ReluMissingAfterReducer3(Module):
    """There is no ReLU after the 1x1 convolution in front of the 3x3."""

    def after_reducer(self, x: Tensor, kernel: int) -> Tensor:
        return x if kernel == 3 else self.g(x)


@mistake(MODULE)
class ReluMissingAfterReducer5(Module):
    """There is no ReLU after the 1x1 convolution in front of the 5x5."""

    def after_reducer(self, x: Tensor, kernel: int) -> Tensor:
        return x if kernel == 5 else self.g(x)


@mistake(MODULE)
class ReluMissingAfterProjection(Module):
    """There is no ReLU after the 1x1 convolution behind the pool; every convolution has one."""

    def after_projection(self, x: Tensor) -> Tensor:
        return x


@mistake(MODULE)
class ReluMissingAfter1x1(Module):
    """There is no ReLU after the 1x1 convolution of the first branch; every convolution has one."""

    def after_branch(self, x: Tensor, kernel: int) -> Tensor:
        return x if kernel == 1 else self.g(x)


@mistake(MODULE)
class ReluMissingAtTheEnd(Module):
    """There is no ReLU at the end of any branch; every convolution has one."""

    def after_branch(self, x: Tensor, kernel: int) -> Tensor:
        return x

    def after_projection(self, x: Tensor) -> Tensor:
        return x


@mistake(MODULE)
class NoRelu(Module):
    """There is no ReLU at all: the convolutions are then linear, and stacking modules gains little."""

    def g(self, x: Tensor) -> Tensor:
        return x


@mistake(MODULE)
class SigmoidForRelu(Module):
    """The activation is the sigmoid; GoogLeNet uses ReLU."""

    def g(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


@mistake(MODULE)
class ThreeForFive(Module):
    """The 5x5 branch has a 3x3 convolution, as in torchvision's network; the paper's has 5x5."""

    def branch5(self, in_channels: int, c3_reduce: int, c5_reduce: int, c5: int) -> nn.Module:
        return self.conv(c5_reduce, c5, 3)


@mistake(MODULE)
class TwoThreesForFive(Module):
    """The 5x5 branch has two 3x3 convolutions, as later versions of Inception do; here it has a single 5x5."""

    def branch5(self, in_channels: int, c3_reduce: int, c5_reduce: int, c5: int) -> nn.Module:
        return nn.Sequential(self.conv(c5_reduce, c5, 3), nn.ReLU(), self.conv(c5, c5, 3))


@mistake(MODULE)
class FiveForThree(Module):
    """The 3x3 branch has a 5x5 convolution."""

    def branch3(self, in_channels: int, c3_reduce: int, c3: int) -> nn.Module:
        return self.conv(c3_reduce, c3, 5)


@mistake(MODULE)
class ReducersWithTheKernel(Module):
    """The reducers have the kernel of the convolution behind them, 3x3 and 5x5; they are 1x1, which is what
    makes them cheap."""

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return self.conv(in_channels, reduced, kernel)


@mistake(MODULE)
class Reducer5WithTheKernel(Module):
    """The reducer in front of the 5x5 convolution is 5x5 itself; reducers are 1x1, which makes them cheap."""

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return self.conv(in_channels, reduced, kernel if kernel == 5 else 1)


@mistake(MODULE)
class ReducersOf3x3(Module):
    """Both reducers are 3x3; they are 1x1, which makes them cheap."""

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return self.conv(in_channels, reduced, 3)


@mistake(MODULE)
class NoReducers(Module):
    """There are no reducers: the 3x3 and the 5x5 work on all input channels, the naive module of the paper."""

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return nn.Identity()

    def after_reducer(self, x: Tensor, kernel: int) -> Tensor:
        return x

    def branch3(self, in_channels: int, c3_reduce: int, c3: int) -> nn.Module:
        return self.conv(in_channels, c3, 3)

    def branch5(self, in_channels: int, c3_reduce: int, c5_reduce: int, c5: int) -> nn.Module:
        return self.conv(in_channels, c5, 5)


@mistake(MODULE)
class SharedReducer(Module):
    """The 3x3 and the 5x5 share one reducer; each has its own."""

    def reducer(self, in_channels: int, reduced: int, kernel: int) -> nn.Module:
        return self.conv(in_channels, reduced, 1) if kernel == 3 else nn.Identity()

    def branch5(self, in_channels: int, c3_reduce: int, c5_reduce: int, c5: int) -> nn.Module:
        return self.conv(c3_reduce, c5, 5)

    def reduced5(self, x: Tensor, reduced3: Tensor) -> Tensor:
        return reduced3


@mistake(MODULE)
class ReducedAndOutSwapped(Module):
    """The arguments are mixed up: c3_reduce and c5_reduce are the channels of the reducers, c3 and c5 those of the
    branches' outputs."""

    def sizes(self, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> tuple[int, int, int, int]:
        return c3, c3_reduce, c5, c5_reduce


@mistake(MODULE)
class ThreeAndFiveSwapped(Module):
    """The arguments of the 3x3 and the 5x5 branch are swapped: c3_reduce and c3 come first."""

    def sizes(self, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> tuple[int, int, int, int]:
        return c5_reduce, c5, c3_reduce, c3


@mistake(MODULE)
class BatchNormAdded(Module):
    """A batch norm follows each convolution, as in torchvision's network; the one of 2014 has none."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)

    def bias(self) -> bool:
        return False


@mistake(MODULE)
class BatchNormAndBias(Module):
    """A batch norm follows each convolution; this network is from 2014 and has none."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)


@mistake(MODULE)
class NoBias(Module):
    """The convolutions have no biases; no batch norm follows them here, so they keep theirs."""

    def bias(self) -> bool:
        return False


@mistake(MODULE)
class PaddingForgotten(Module):
    """The 3x3 and 5x5 convolutions have no padding, so their grids shrink and the branches do not fit together."""

    def padding(self, kernel: int) -> int:
        return 0


@mistake(MODULE)
class SamePaddingForBoth(Module):
    """The 5x5 convolution has padding 1, which is right for the 3x3 only: it needs 2 to keep the grid."""

    def padding(self, kernel: int) -> int:
        return 1 if kernel > 1 else 0


@mistake(MODULE)
class ReluOnTheInput(Module):
    """ReLU is applied to the input of the module; each ReLU follows a convolution."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu(x)


@mistake(MODULE)
class InputOverwritten(Module):
    """An in-place ReLU overwrites the input, which all four branches and whoever called the module still use."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu_(x)


# --------------------------------------------------------------------------- the module to repair


class Reduction(nn.Module):
    """Two strided branches and a strided pool, one decision a method."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        first3, second3 = self.strides(3)
        first5, second5 = self.strides(5)
        self.reduce3 = self.conv(in_channels, c3_reduce, 1, first3)
        self.conv3 = self.conv(c3_reduce, c3, 3, second3)
        self.reduce5 = self.conv(in_channels, c5_reduce, 1, first5)
        self.conv5 = self.conv(c5_reduce, c5, self.largest(), second5)
        self.pool = self.make_pool(in_channels)

    def strides(self, kernel: int) -> tuple[int, int]:
        """(of the reducer, of the convolution behind it)"""
        return 1, 2

    def conv(self, in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=self.bias())

    def bias(self) -> bool:
        return True

    def largest(self) -> int:
        return 5

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.MaxPool2d(3, stride=2, padding=1)

    def after_reduce3(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def after_reduce5(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def after_branch(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def after_pool(self, x: Tensor) -> Tensor:
        return x

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches

    def forward(self, x: Tensor) -> Tensor:
        branch3 = self.after_branch(self.conv3(self.after_reduce3(self.reduce3(x))))
        branch5 = self.after_branch(self.conv5(self.after_reduce5(self.reduce5(x))))
        return torch.cat(self.order([branch3, branch5, self.after_pool(self.pool(x))]), dim=1)


REDUCTION = "inception/repaired_reduction"


@mistake(REDUCTION)
class StrideOnTheReducers(Reduction):
    """The stride still sits on the 1x1 reducers, which throw three of four pixels away unseen; it belongs on the
    convolutions behind them, whose windows see every pixel."""

    def strides(self, kernel: int) -> tuple[int, int]:
        return 2, 1


@mistake(REDUCTION)
class StrideOnReducer3(Reduction):
    """The stride of the 3x3 branch still sits on its 1x1 reducer; it belongs on the 3x3."""

    def strides(self, kernel: int) -> tuple[int, int]:
        return (2, 1) if kernel == 3 else (1, 2)


@mistake(REDUCTION)
class StrideOnReducer5(Reduction):
    """The stride of the 5x5 branch still sits on its 1x1 reducer; it belongs on the 5x5."""

    def strides(self, kernel: int) -> tuple[int, int]:
        return (2, 1) if kernel == 5 else (1, 2)


@mistake(REDUCTION)
class StrideOnBoth(Reduction):
    """The reducers and the convolutions behind them both have stride 2, so these branches shrink twice and no longer
    fit the pool's."""

    def strides(self, kernel: int) -> tuple[int, int]:
        return 2, 2


@mistake(REDUCTION)
class NoStride(Reduction):
    """The convolutions have no stride any more, so they keep the grid and do not fit the pool's branch."""

    def strides(self, kernel: int) -> tuple[int, int]:
        return 1, 1


@mistake(REDUCTION)
class ReluMissingBefore5(Reduction):
    """There is still no ReLU between the reducer and the 5x5: the two are then one linear map."""

    def after_reduce5(self, x: Tensor) -> Tensor:
        return x


@mistake(REDUCTION)
class ReluMissingBefore3(Reduction):
    """There is no ReLU between the reducer and the 3x3 any more: the two are then one linear map."""

    def after_reduce3(self, x: Tensor) -> Tensor:
        return x


@mistake(REDUCTION)
class ReluMissingBehind(Reduction):
    """There is no ReLU after the 3x3 and the 5x5 any more."""

    def after_branch(self, x: Tensor) -> Tensor:
        return x


@mistake(REDUCTION)
class ReluOnThePool(Reduction):
    """A ReLU is applied to what the pool passes on; it passes the input's channels on as they are."""

    def after_pool(self, x: Tensor) -> Tensor:
        return F.relu(x)


@mistake(REDUCTION)
class AveragingPool(Reduction):
    """The pool averages now; it takes the maximum, as the description says."""

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.AvgPool2d(3, stride=2, padding=1)


@mistake(REDUCTION)
class SmallPool(Reduction):
    """The pool's window is 2x2; it is 3x3, so that neighbouring windows overlap."""

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.MaxPool2d(2, stride=2, ceil_mode=True)


@mistake(REDUCTION)
class PoolRoundsDown(Reduction):
    """The pool has no padding, so its grid comes out smaller than that of the convolutions: padding=1."""

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.MaxPool2d(3, stride=2)


@mistake(REDUCTION)
class PoolRoundsUp(Reduction):
    """The pool has no padding and rounds up instead: its windows then lie elsewhere than the convolutions'."""

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.MaxPool2d(3, stride=2, ceil_mode=True)


@mistake(REDUCTION)
class PoolProjected(Reduction):
    """A 1x1 convolution follows the pool; in this module the pool passes the input's channels on as they are."""

    def make_pool(self, in_channels: int) -> nn.Module:
        return nn.Sequential(super().make_pool(in_channels), nn.Conv2d(in_channels, in_channels, 1))


@mistake(REDUCTION)
class OtherOrder(Reduction):
    """The 5x5 branch comes before the 3x3; the order is 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        three, five, pool = branches
        return [five, three, pool]


@mistake(REDUCTION)
class PoolFirst(Reduction):
    """The pool's branch comes first; the order is 3x3, 5x5, pool."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches[-1:] + branches[:-1]


@mistake(REDUCTION)
class PoolLeftOut(Reduction):
    """The pool's branch is missing from the output."""

    def order(self, branches: list[Tensor]) -> list[Tensor]:
        return branches[:-1]


@mistake(REDUCTION)
class ThreeInBoth(Reduction):
    """The 5x5 convolution has become a 3x3."""

    def largest(self) -> int:
        return 3


@mistake(REDUCTION)
class WithoutBias(Reduction):
    """The convolutions have lost their biases; no batch norm follows them here."""

    def bias(self) -> bool:
        return False
