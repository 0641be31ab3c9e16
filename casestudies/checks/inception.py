"""Checks of the assignment `inception`: the price of large kernels, the bottleneck, the module with four branches.

The mistakes are edits of the references below and of `networks.googlenet.InceptionModule`, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import SIDES, Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table
from casestudies.networks import googlenet
from casestudies.networks.googlenet import InceptionModule, conv_relu

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
    """Two convolutions of stride 2 after reducers, and a pool of stride 2, side by side: it halves the grid."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.reduce3 = nn.Conv2d(in_channels, c3_reduce, 1)
        self.conv3 = nn.Conv2d(c3_reduce, c3, 3, stride=2, padding=1)
        self.reduce5 = nn.Conv2d(in_channels, c5_reduce, 1)
        self.conv5 = nn.Conv2d(c5_reduce, c5, 5, stride=2, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        branch3 = F.relu(self.conv3(F.relu(self.reduce3(x))))
        branch5 = F.relu(self.conv5(F.relu(self.reduce5(x))))
        pool = F.max_pool2d(x, 3, stride=2, padding=1)
        return torch.cat([branch3, branch5, pool], dim=1)


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
                    any_of(
                        (8, 2, 3, 2, 3, 2, 2), (12, 3, 2, 3, 2, 3, 3)
                    ),  # equal branches, as many as came in
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


# --------------------------------------------------------------------------- mistakes

table(
    "inception/conv_macs",
    conv_macs,
    """
kernel**2
    kernel_not_squared: kernel
        The kernel's side is counted, not its area: a k x k window has k * k values.
    kernel_forgotten: 1
        The kernel does not appear: every output value sums over a window of k * k pixels.
in_channels
    input_channels_forgotten: 1
        The input channels do not appear: every output value sums over all of them.
out_channels
    output_channels_forgotten: 1
        The output channels do not appear: each of them costs as much as the first.
kernel**2 * in_channels * out_channels
    channels_added: kernel**2 * (in_channels + out_channels)
        The numbers of channels are added; every output channel sums over every input channel: multiply.
width
    height_squared: height
        The grid is taken for a square of the height; it has height * width pixels.
height
    width_squared: width
        The grid is taken for a square of the width; it has height * width pixels.
kernel**2 * in_channels * out_channels * height * width
    grid_forgotten: kernel**2 * in_channels * out_channels
        These are the weights; each of them is used once at every pixel of the output: times height and width.
    height_and_width_of_the_input: kernel**2 * in_channels * out_channels \
        * (height - kernel + 1) * (width - kernel + 1)
        The kernel is taken off the grid once more, as without padding; height and width are those of the output.
    bias_counted: kernel**2 * in_channels * out_channels * height * width + out_channels * height * width
        The biases are counted as well; adding a bias is no multiply-accumulate, so they are left out.
    bias_counted_once: kernel**2 * in_channels * out_channels * height * width + out_channels
        One number for each bias is added; biases are parameters, not multiply-accumulates.
    flops_for_macs: 2 * (kernel**2 * in_channels * out_channels * height * width)
        Multiplications and additions are counted apart, which doubles the count; a MAC is one of each.
    float_returned: float(kernel**2 * in_channels * out_channels * height * width)
        The result is a float; a count is an int (no /, ** 2 instead of ** 2.0).
""",
)

table(
    "inception/bottleneck_macs",
    bottleneck_macs,
    """
in_channels * reduced * height * width
    reducer_forgotten: 0
        The 1x1 convolution is not counted; it is cheap, but not free.
    reducer_with_the_kernel: kernel**2 * in_channels * reduced * height * width
        The reducer is counted with the large kernel; it is a 1x1 convolution.
    reducer_without_grid: in_channels * reduced
        The reducer's weights are counted, not its work: it too runs at every pixel.
    reducer_behind: reduced * out_channels * height * width
        + kernel**2 * reduced * out_channels => kernel**2 * in_channels * reduced
        The 1x1 convolution is counted after the large one (reduced -> out); it stands in front (in -> reduced).
    direct_cost: 0
        + kernel**2 * reduced * out_channels => kernel**2 * in_channels * out_channels
        This is the cost without the bottleneck: the large kernel straight on the input.
kernel**2 * reduced * out_channels
    not_reduced: kernel**2 * in_channels * out_channels
        The large convolution is counted on all input channels; it only sees the reduced ones.
kernel**2
    kernel_not_squared: kernel
        The kernel's side is counted, not its area: a k x k window has k * k values.
    kernel_forgotten: 1
        The large kernel does not appear: its convolution sums over a window of k * k pixels.
return first + second
    only_the_reducer: return first
        Only the 1x1 convolution is counted; the large one follows it.
    costs_multiplied: return first * second
        The two costs are multiplied; the convolutions run one after the other: add them.
    bias_counted: return first + second + (reduced + out_channels) * height * width
        The biases are counted as well; adding a bias is no multiply-accumulate, so they are left out.
    flops_for_macs: return 2 * (first + second)
        Multiplications and additions are counted apart, which doubles the count; a MAC is one of each.
    float_returned: return float(first + second)
        The result is a float; a count is an int (no /, ** 2 instead of ** 2.0).
""",
)

table(
    "inception/inception_module",
    (InceptionModule, conv_relu),
    """
dim=1
    concatenated_along_the_batch: dim=0
        The branches are concatenated along the batch (dim=0); they have different channels: dim=1.
    concatenated_along_the_rows: dim=2
        The branches are concatenated along the rows (dim=2); they have different channels: dim=1.
    concatenated_along_the_columns: dim=3
        The branches are concatenated along the columns (dim=3 or -1); they have different channels: dim=1.
self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)
    other_order3_first: self.branch3(x), self.branch1(x), self.branch5(x), self.branch_pool(x)
        The 3x3 branch comes before the 1x1; the order is 1x1, 3x3, 5x5, pool.
    other_order5_before3: self.branch1(x), self.branch5(x), self.branch3(x), self.branch_pool(x)
        The 5x5 branch comes before the 3x3; the order is 1x1, 3x3, 5x5, pool.
    other_order_pool_first: self.branch_pool(x), self.branch1(x), self.branch3(x), self.branch5(x)
        The pool's branch comes first; the order is 1x1, 3x3, 5x5, pool.
    other_order_pool_before5: self.branch1(x), self.branch3(x), self.branch_pool(x), self.branch5(x)
        The pool's branch comes before the 5x5; the order is 1x1, 3x3, 5x5, pool.
    other_order_reversed: self.branch_pool(x), self.branch5(x), self.branch3(x), self.branch1(x)
        The branches are in reverse order; the order is 1x1, 3x3, 5x5, pool.
nn.MaxPool2d(3, stride=1, padding=1)
    pool_with_stride: nn.MaxPool2d(3, stride=2, padding=1)
        The pool has stride 2 and shrinks the grid, so its branch does not fit the others: stride 1.
    pool_with_default_stride: nn.MaxPool2d(3, padding=1)
        The stride of the pool is not given; PyTorch then takes the kernel's size, and the grid shrinks: stride=1.
    pool_without_padding: nn.MaxPool2d(3, stride=1)
        The pool has no padding, so the grid of its branch loses a border and does not fit the others: padding=1.
    average_pool: nn.AvgPool2d(3, stride=1, padding=1)
        The pool averages; it should take the maximum.
    wide_pool: nn.MaxPool2d(5, stride=1, padding=2)
        The window of the pool is 5x5; it is 3x3, like the smaller convolution's.
    pool_forgotten:
        There is no pool in the fourth branch, only its 1x1 convolution.
conv(in_channels, pool_proj, 1)
    projection_forgotten:
        There is no 1x1 convolution after the pool, so all input channels are passed on and the width grows from
        module to module.
    relu_missing_after_projection: conv(in_channels, pool_proj, 1)[:1]
        There is no ReLU after the 1x1 convolution that follows the pool; every convolution has one.
nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, pool_proj, 1)
    projection_before_the_pool: conv(in_channels, pool_proj, 1), nn.MaxPool2d(3, stride=1, padding=1)
        The fourth branch has its 1x1 convolution before the pool; the pool comes first, then the projection.
conv(in_channels, c3_reduce, 1)
    relu_missing_after_reducers: conv(in_channels, c3_reduce, 1)[:1]
        + conv(in_channels, c5_reduce, 1) => conv(in_channels, c5_reduce, 1)[:1]
        There is no ReLU after the reducing 1x1 convolutions: each is then one linear map with the convolution after
        it.
    relu_missing_after_reducer3: conv(in_channels, c3_reduce, 1)[:1]
        There is no ReLU after the 1x1 convolution in front of the 3x3.
    reducers_with_the_kernel: conv(in_channels, c3_reduce, 3)
        + conv(in_channels, c5_reduce, 1) => conv(in_channels, c5_reduce, largest)
        The reducers have the kernel of the convolution after them, 3x3 and 5x5; they are 1x1, which is what makes
        them cheap.
    reducers_of3x3: conv(in_channels, c3_reduce, 3)
        + conv(in_channels, c5_reduce, 1) => conv(in_channels, c5_reduce, 3)
        Both reducers are 3x3; they are 1x1, which makes them cheap.
conv(in_channels, c5_reduce, 1)
    relu_missing_after_reducer5: conv(in_channels, c5_reduce, 1)[:1]
        There is no ReLU after the 1x1 convolution in front of the 5x5.
    reducer5_with_the_kernel: conv(in_channels, c5_reduce, largest)
        The reducer in front of the 5x5 convolution is 5x5 itself; reducers are 1x1, which makes them cheap.
conv(in_channels, c1, 1)
    relu_missing_after1x1: conv(in_channels, c1, 1)[:1]
        There is no ReLU after the 1x1 convolution of the first branch; every convolution has one.
    relu_missing_at_the_end: conv(in_channels, c1, 1)[:1]
        + conv(c3_reduce, c3, 3) => conv(c3_reduce, c3, 3)[:1]
        + conv(c5_reduce, c5, largest) => conv(c5_reduce, c5, largest)[:1]
        + conv(in_channels, pool_proj, 1) => conv(in_channels, pool_proj, 1)[:1]
        There is no ReLU at the end of any branch; every convolution has one.
nn.ReLU()
    no_relu:
        There is no ReLU at all: the convolutions are then linear, and stacking modules gains little.
    sigmoid_for_relu: nn.Sigmoid()
        The activation is the sigmoid; GoogLeNet uses ReLU.
    batch_norm_and_bias: nn.BatchNorm2d(out_channels), nn.ReLU()
        A batch norm follows each convolution; this network is from 2014 and has none.
conv(c5_reduce, c5, largest)
    three_for_five: conv(c5_reduce, c5, 3)
        The 5x5 branch has a 3x3 convolution, as in torchvision's network; the paper's has 5x5.
    two_threes_for_five: conv(c5_reduce, c5, 3), conv(c5, c5, 3)
        The 5x5 branch has two 3x3 convolutions, as later versions of Inception do; here it has a single 5x5.
conv(c3_reduce, c3, 3)
    five_for_three: conv(c3_reduce, c3, 5)
        The 3x3 branch has a 5x5 convolution.
conv(in_channels, c3_reduce, 1), conv(c3_reduce, c3, 3)
    no_reducers: conv(in_channels, c3, 3)
        + conv(in_channels, c5_reduce, 1), conv(c5_reduce, c5, largest) => conv(in_channels, c5, largest)
        There are no reducers: the 3x3 and the 5x5 work on all input channels, the naive module of the paper.
conv(in_channels, c5_reduce, 1), conv(c5_reduce, c5, largest)
    shared_reducer: conv(c3_reduce, c5, largest)
        + self.branch5(x) => self.branch5(self.branch3[0](x))
        The 3x3 and the 5x5 share one reducer; each has its own.
super().__init__()
    reduced_and_out_swapped: super().__init__(); c3_reduce, c3, c5_reduce, c5 = c3, c3_reduce, c5, c5_reduce
        The arguments are mixed up: c3_reduce and c5_reduce are the channels of the reducers, c3 and c5 those of the
        branches' outputs.
    three_and_five_swapped: super().__init__(); c3_reduce, c3, c5_reduce, c5 = c5_reduce, c5, c3_reduce, c3
        The arguments of the 3x3 and the 5x5 branch are swapped: c3_reduce and c3 come first.
padding=kernel // 2
    batch_norm_added: padding=kernel // 2, bias=False
        + nn.ReLU() => nn.BatchNorm2d(out_channels), nn.ReLU()
        A batch norm follows each convolution, as in torchvision's network; the one of 2014 has none.
    no_bias: padding=kernel // 2, bias=False
        The convolutions have no biases; no batch norm follows them here, so they keep theirs.
    padding_forgotten: padding=0
        The 3x3 and 5x5 convolutions have no padding, so their grids shrink and the branches do not fit together.
    same_padding_for_both: padding=min(1, kernel // 2)
        The 5x5 convolution has padding 1, which is right for the 3x3 only: it needs 2 to keep the grid.
branches = self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)
    relu_on_the_input: x = F.relu(x); \
        branches = self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)
        ReLU is applied to the input of the module; each ReLU follows a convolution.
    input_overwritten: x = F.relu_(x); \
        branches = self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)
        An in-place ReLU overwrites the input, which all four branches and whoever called the module still use.
""",
)

table(
    "inception/repaired_reduction",
    RepairedReduction,
    """
in_channels, c3_reduce, 1
    stride_on_the_reducers: in_channels, c3_reduce, 1, stride=2
        + c3_reduce, c3, 3, stride=2 => c3_reduce, c3, 3
        + in_channels, c5_reduce, 1 => in_channels, c5_reduce, 1, stride=2
        + c5_reduce, c5, 5, stride=2 => c5_reduce, c5, 5
        The stride still sits on the 1x1 reducers, which throw three of four pixels away unseen; it belongs on the
        convolutions after them, whose windows see every pixel.
    stride_on_reducer3: in_channels, c3_reduce, 1, stride=2
        + c3_reduce, c3, 3, stride=2 => c3_reduce, c3, 3
        The stride of the 3x3 branch still sits on its 1x1 reducer; it belongs on the 3x3.
    stride_on_both: in_channels, c3_reduce, 1, stride=2
        + in_channels, c5_reduce, 1 => in_channels, c5_reduce, 1, stride=2
        The reducers and the convolutions after them both have stride 2, so these branches shrink twice and no
        longer fit the pool's.
in_channels, c5_reduce, 1
    stride_on_reducer5: in_channels, c5_reduce, 1, stride=2
        + c5_reduce, c5, 5, stride=2 => c5_reduce, c5, 5
        The stride of the 5x5 branch still sits on its 1x1 reducer; it belongs on the 5x5.
c3_reduce, c3, 3, stride=2
    no_stride: c3_reduce, c3, 3
        + c5_reduce, c5, 5, stride=2 => c5_reduce, c5, 5
        The convolutions have no stride any more, so they keep the grid and do not fit the pool's branch.
F.relu(self.reduce5(x))
    relu_missing_before5: self.reduce5(x)
        There is still no ReLU between the reducer and the 5x5: the two are then one linear map.
F.relu(self.reduce3(x))
    relu_missing_before3: self.reduce3(x)
        There is no ReLU between the reducer and the 3x3 any more: the two are then one linear map.
F.relu(self.conv3(F.relu(self.reduce3(x))))
    relu_missing_behind: self.conv3(F.relu(self.reduce3(x)))
        + F.relu(self.conv5(F.relu(self.reduce5(x)))) => self.conv5(F.relu(self.reduce5(x)))
        There is no ReLU after the 3x3 and the 5x5 any more.
F.max_pool2d(x, 3, stride=2, padding=1)
    relu_on_the_pool: F.relu(F.max_pool2d(x, 3, stride=2, padding=1))
        A ReLU is applied to what the pool passes on; it passes the input's channels on as they are.
    averaging_pool: F.avg_pool2d(x, 3, stride=2, padding=1)
        The pool averages now; it takes the maximum, as the description says.
    small_pool: F.max_pool2d(x, 2, stride=2, ceil_mode=True)
        The pool's window is 2x2; it is 3x3, so that neighbouring windows overlap.
    pool_rounds_down: F.max_pool2d(x, 3, stride=2)
        The pool has no padding, so its grid comes out smaller than that of the convolutions: padding=1.
    pool_rounds_up: F.max_pool2d(x, 3, stride=2, ceil_mode=True)
        The pool has no padding and rounds up instead: its windows then lie elsewhere than the convolutions'.
    pool_projected: self.pooled(F.max_pool2d(x, 3, stride=2, padding=1))
        + super().__init__() => super().__init__(); self.pooled = nn.Conv2d(in_channels, in_channels, 1)
        A 1x1 convolution follows the pool; in this module the pool passes the input's channels on as they are.
branch3, branch5, pool
    other_order: branch5, branch3, pool
        The 5x5 branch comes before the 3x3; the order is 3x3, 5x5, pool.
    pool_first: pool, branch3, branch5
        The pool's branch comes first; the order is 3x3, 5x5, pool.
    pool_left_out: branch3, branch5
        The pool's branch is missing from the output.
5, stride=2, padding=2
    three_in_both: 3, stride=2, padding=1
        The 5x5 convolution has become a 3x3.
padding=2
    without_bias: padding=2, bias=False
        + in_channels, c3_reduce, 1 => in_channels, c3_reduce, 1, bias=False
        + in_channels, c5_reduce, 1 => in_channels, c5_reduce, 1, bias=False
        + c3_reduce, c3, 3 => c3_reduce, c3, 3, bias=False
        The convolutions have lost their biases; no batch norm follows them here.
""",
)
