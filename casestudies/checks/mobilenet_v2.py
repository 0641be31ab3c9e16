"""Checks of the assignment `mobilenet_v2`: the inverted residual with its linear bottleneck, and its cost.

The mistakes are edits of the cost and of `networks.mobilenet_v2.InvertedResidual`, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator

from casestudies.checking.parts import (
    SIDES,
    Call,
    Dice,
    Group,
    Reference,
    Space,
    Values,
    any_of,
    call,
    part,
    written,
)
from casestudies.checking.tables import table
from casestudies.networks import mobilenet_v2
from casestudies.networks.mobilenet_v2 import InvertedResidual, conv_bn_relu6

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
    return Reference(mobilenet_v2.InvertedResidual, blocks(), weights={"structure": 2.0, "evaluation": 2.0})


# --------------------------------------------------------------------------- the cost


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
    """Sides of which half, rounded up, is odd and even: round() goes to the even one. And one side that is even."""
    for expansion, over in ((6, 1), (dice.choice([2, 3, 4]), 3)):
        height, width = 4 * dice.integer(2, 4) + over, 4 * dice.integer(5, 7) + 4 - over
        yield call(*channels(dice), height, width, 2, expansion)
    height, width = grid(dice)
    yield call(*channels(dice), height + 1, width, 2)
    yield call(*channels(dice), height, width + 1, 2)


def unexpanded_blocks(dice: Dice) -> Iterator[Call]:
    for stride in (1, 2):
        yield call(*channels(dice), *grid(dice), stride=stride, expansion=1)


def equal_channels(dice: Dice) -> Iterator[Call]:
    """Blocks with a residual: its addition is no multiply-add."""
    for expansion in (1, 3, 6):
        width = dice.integer(9, 96)
        yield call(width, width, *grid(dice), 1, expansion)


def mixed_blocks(dice: Dice) -> Iterator[Call]:
    """In every run odd and even sides, each stride, and expansion 1: a mistake costs as much in the next one."""
    for odd, stride, expansion in (
        (True, 2, dice.integer(2, 6)),
        (False, 2, 1),
        (True, 1, 1),
        (False, 1, dice.integer(2, 6)),
    ):
        yield call(*channels(dice), *grid(dice, odd), stride, expansion)


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


table(
    "mobilenet_v2/inverted_residual_macs",
    inverted_residual_macs,
    """
expansion * in_channels
    hidden_from_output: expansion * out_channels
        The hidden width is taken from the output channels; it is expansion · in_channels.
    not_expanded: in_channels
        The block is counted without its expansion: the hidden width is expansion · in_channels.
in_channels * hidden * height * width if expansion > 1 else 0
    expansion_counted_at_one: in_channels * hidden * height * width
        With expansion 1 there is no expansion layer, so there is nothing to count for it.
    expansion_layer_forgotten: 0
        The expansion layer, a 1x1 convolution from in_channels to the hidden width, is not counted.
    expansion_on_output_grid: in_channels * hidden * out_height * out_width if expansion > 1 else 0
        The expansion layer is counted on the output's grid; it comes before the stride and works on the whole input.
hidden * out_channels * out_height * out_width
    projection_forgotten: 0
        The projection, a 1x1 convolution from the hidden width to out_channels, is not counted.
    projection_on_input_grid: hidden * out_channels * height * width
        The projection is counted on the input's grid; it comes after the stride and works on the output's.
9 * hidden * out_height * out_width
    depthwise_forgotten: 0
        The 3x3 depthwise convolution is not counted; it costs 9 for every hidden channel and position.
    depthwise_dense: 9 * hidden * hidden * out_height * out_width
        The 3x3 convolution is counted as a full one; it is depthwise: each hidden channel has one filter of 9.
    window_not_squared: 3 * hidden * out_height * out_width
        The 3x3 window is counted as 3; it has 3·3 weights.
    depthwise_on_input_grid: 9 * hidden * height * width
        The depthwise convolution is counted on the input's grid; it carries the stride, so it gives only the
        output's positions.
out_height, out_width = (height - 1) // stride + 1, (width - 1) // stride + 1
    stride_ignored: out_height, out_width = height, width
        The stride is ignored: with stride 2 the depthwise convolution and the projection work on a quarter of the
        positions.
    sides_rounded_down: out_height, out_width = height // stride, width // stride
        The output's sides are rounded down; a 3x3 convolution with padding 1 and stride 2 turns 7 into 4.
    area_rounded_up: out_height, out_width = -(-height * width // stride**2), 1
        The area is divided by the square of the stride and then rounded up; each side is rounded up by itself.
    area_rounded_down: out_height, out_width = height * width // stride**2, 1
        The area is divided by the square of the stride and rounded down; each side is divided and rounded up by
        itself.
    grid_forgotten: out_height, out_width = 1, 1
        + in_channels * hidden * height * width => in_channels * hidden
        These are the parameters: the cost repeats them at each position of the grid that a layer works on.
    grid_of_the_output_given: out_height, out_width = height, width
        + in_channels * hidden * height * width => in_channels * hidden * height * width * stride**2
        height and width are taken as the output's; they are the input's, and the output has a stride-th of them.
expand + depthwise + project
    flops_not_macs: 2 * (expand + depthwise + project)
        The count is doubled: a MAC is one multiplication together with its addition.
    residual_counted: expand + depthwise + project \
        + (in_channels * height * width if stride == 1 and in_channels == out_channels else 0)
        The addition of the residual is counted; only multiply-adds of convolutions count here.
""",
)


# --------------------------------------------------------------------------- the block


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


BLOCK = """
InvertedResidual: nn.BatchNorm2d(out_channels)  # linear
    activation_after_projection: nn.BatchNorm2d(out_channels), nn.ReLU6()
        ReLU6 is applied after the projection; the bottleneck is linear, since a ReLU in few channels throws away
        what they carry.
    relu_after_projection: nn.BatchNorm2d(out_channels), nn.ReLU()
        ReLU is applied after the projection; the bottleneck is linear, since a ReLU in few channels throws away what
        they carry.
InvertedResidual: nn.BatchNorm2d(out_channels)  # batch-norm
    last_batch_norm_missing:
        The projection has no batch norm; linear means without an activation, the batch norm stays.
every nn.BatchNorm2d(out_channels)  # batch-norm
    no_batch_norm:
        There is no batch norm; each of the convolutions is followed by one, the projection too.
every bias=False  # batch-norm
    bias_before_batch_norm: bias=True
        The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False.
x + self.block(x)  # linear
    activation_after_sum: F.relu6(self.block(x) + x)
        ReLU6 is applied to the sum, as in ResNet's block; here nothing follows the addition: the narrow ends stay
        linear.
x + self.block(x)  # residual
    in_place_residual: x.add_(self.block(x))
        The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change.
    concatenated: torch.cat([self.block(x), x], dim=1)
        The input is concatenated with the result; a residual is added.
stride == 1 and in_channels == out_channels  # residual
    residual_missing: False
        The input is never added; with stride 1 and equal channels it is.
    residual_for_equal_channels: in_channels == out_channels
        The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then.
    residual_for_stride_one: stride == 1
        The input is added wherever the stride is 1; with other channels it does not fit, and there is no residual.
    residual_for_equal_channels: in_channels == out_channels
        + x + self.block(x) => self.block(x) + x
        The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then.
    residual_for_stride_one: stride == 1
        + x + self.block(x) => self.block(x) + x
        The input is added wherever the stride is 1; with other channels it does not fit, and there is no residual.
self.residual = stride == 1 and in_channels == out_channels  # residual
    subsampled_residual: self.residual, self.carry = in_channels == out_channels, nn.AvgPool2d(1, stride)
        + x + self.block(x) => self.carry(x) + self.block(x)
        With stride 2 and equal channels every second pixel of the input is added; there is no residual then.
    projected_shortcut: self.residual, self.carry = True, nn.Sequential(); \
        fits = stride == 1 and in_channels == out_channels; \
        fits or self.carry.append(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)); \
        fits or self.carry.append(nn.BatchNorm2d(out_channels))
        + x + self.block(x) => self.carry(x) + self.block(x)
        Where shapes differ, a 1x1 convolution carries the input to the sum, as in ResNet; here the input is added as
        it is or not at all.
    projected_shortcut_at_stride_one: self.residual, self.carry = stride == 1, nn.Sequential(); \
        fits = stride != 1 or in_channels == out_channels; \
        fits or self.carry.append(nn.Conv2d(in_channels, out_channels, 1, bias=False)); \
        fits or self.carry.append(nn.BatchNorm2d(out_channels))
        + x + self.block(x) => self.carry(x) + self.block(x)
        With stride 1 and other channels a 1x1 convolution carries the input to the sum (as in a well-known
        implementation for CIFAR-10); the paper's block has no residual then.
    residual_between_wide_ends: self.residual, self.before = stride == 1 and in_channels == out_channels, len(layers)
        + return x + self.block(x) if self.residual else self.block(x) => \
        wide = self.block[: self.before](x); found = self.block[self.before](wide); \
        return self.block[self.before + 1 :](wide + found if self.residual else found)
        The residual joins the wide ends, around the depthwise convolution; it is called inverted because it joins
        the narrow ones: the input and the output of the block.
expansion * in_channels  # expansion
    width_from_output: expansion * out_channels
        The hidden width is taken from the output channels; it is expansion · in_channels.
    bottlenecked: max(1, in_channels // expansion)
        The hidden width is smaller than the input, as in ResNet's bottleneck; here the block expands: it is narrow
        outside and wide inside.
    expansion_ignored: 6 * in_channels
        + expansion == 1 => False
        The expansion is always 6, whatever the argument says.
expansion == 1  # expansion
    expansion_kept_at_one: False
        With expansion 1 there is still a 1x1 convolution in front; there is nothing to expand, so no layer for it.
nn.ReLU6()  # relu6
    relu_for_relu6: nn.ReLU()
        The activation is ReLU; it is ReLU6, which cuts off at 6 and so keeps its precision in few bits.
    cut_at_one: nn.Hardtanh(0, 1)
        The activation is cut off at 1 (hardtanh with its defaults, or a clamp to 1); ReLU6 cuts off at 6.
    hard_swish: nn.Hardswish()
        The activation is hard swish, that of MobileNetV3; here it is ReLU6.
conv_bn_relu6(in_channels, hidden, 1)  # block
    activation_missing_after_expansion: conv_bn_relu6(in_channels, hidden, 1)[:2]
        There is no ReLU6 after the expansion; only the projection is linear.
conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden)  # block
    activation_missing_after_depthwise: conv_bn_relu6(hidden, hidden, 3, stride, groups=hidden)[:2]
        There is no ReLU6 after the depthwise convolution; only the projection is linear.
hidden, hidden, 3, stride, groups=hidden  # block
    dense_filter: hidden, hidden, 3, stride
        The 3x3 convolution is a full one (groups forgotten); it is depthwise, one filter for each hidden channel.
nn.Conv2d(hidden, out_channels, 1, bias=False)  # block
    wide_projection: nn.Conv2d(hidden, out_channels, 3, padding=1, bias=False)
        The projection is a 3x3 convolution; it is 1x1.
padding=kernel // 2  # block
    padding_forgotten: padding=0
        The depthwise convolution has no padding, so the grid shrinks; with padding 1 it keeps its size.
hidden, hidden, 3, stride  # stride
    stride_on_expansion: hidden, hidden, 3
        + in_channels, hidden, 1 => in_channels, hidden, 1, stride
        The stride sits on the first 1x1 convolution, which then skips three of four pixels; it belongs on the
        depthwise convolution.
    stride_on_projection: hidden, hidden, 3
        + hidden, out_channels, 1 => hidden, out_channels, 1, stride
        The stride sits on the projection; the depthwise convolution then computes four times as many pixels as are
        used. It belongs on the depthwise convolution.
    stride_forgotten: hidden, hidden, 3
        No convolution carries the stride: the grid stays as it is.
in_channels, hidden, 1  # stride
    stride_twice: in_channels, hidden, 1, stride
        Two convolutions carry the stride, so the grid shrinks twice; only the depthwise one does.
return x + self.block(x) if self.residual else self.block(x)  # block
    activation_on_input: x = F.relu6(x); return x + self.block(x) if self.residual else self.block(x)
        ReLU6 is applied to the input before anything else; the block's input is used as it is.
"""

for _part in ("mobilenet_v2/inverted_residual", "mobilenet_v2/repaired_block"):
    table(_part, (InvertedResidual, conv_bn_relu6), BLOCK)
