"""Checks of the assignment `mobilenet`: the cost of a depthwise separable convolution, and the block itself.

The mistakes are edits of the functions below and of `networks.mobilenet.SeparableConv`, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor

from casestudies.checking.parts import SIDES, Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table
from casestudies.networks import mobilenet
from casestudies.networks.mobilenet import SeparableConv, conv_bn_relu

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


table(
    "mobilenet/separable_macs",
    separable_macs,
    """
(kernel**2 * in_channels + in_channels * out_channels) * height * width
    full_convolution: kernel**2 * in_channels * out_channels * height * width
        This is the cost of the full convolution, k·k·M·N·H·W; the separable one is the sum of a depthwise step
        (k·k·M) and a pointwise step (M·N) at each position.
    parameters_counted: kernel**2 * in_channels + in_channels * out_channels
        These are the parameters: the cost repeats them at each of the height·width positions.
    grid_counted_once: kernel**2 * in_channels * height * width + in_channels * out_channels
        Only one of the two steps is multiplied with the grid; both happen at each of the height·width positions.
    multiplied: kernel**2 * in_channels * height * width * in_channels * out_channels * height * width
        The costs of the two steps are multiplied; one happens after the other, so they add up.
    flops_not_macs: 2 * ((kernel**2 * in_channels + in_channels * out_channels) * height * width)
        Multiplications and additions are counted one by one (FLOPs), which doubles the count; a MAC is one
        multiplication together with its addition.
    biases_counted: (kernel**2 * in_channels + in_channels * out_channels) * height * width \
        + (in_channels + out_channels) * height * width
        Biases are counted: one addition for each output value. Only multiply-adds count, and the convolutions have
        no bias, since batch norm follows.
    through_a_float: round(kernel**2 * in_channels * out_channels * height * width \
        * (1 / out_channels + 1 / kernel**2))
        The count went through a float (a division, 1e6, or a power) and lost its last digits; with whole numbers (*,
        +, //) it stays exact.
kernel**2
    kernel_not_squared: kernel
        The kernel enters as k; a window has k·k weights.
kernel**2 * in_channels
    groups_forgotten: kernel**2 * in_channels**2
        The depthwise step is counted as a full convolution from M to M channels; each of its M filters sees only one
        channel, so it costs k·k·M at each position.
    depthwise_forgotten: 0
        Only the pointwise step is counted; the depthwise convolution before it costs k·k·M more at each position.
    depthwise_on_output_channels: kernel**2 * out_channels
        The depthwise step is counted with the output channels N; it comes first and filters the M input channels.
        With N there, the ratio would become 1/M + 1/k^2 instead of 1/N + 1/k^2.
    one_filter_only: kernel**2
        The depthwise step is counted as a single k×k filter; there is one for every input channel.
in_channels * out_channels
    pointwise_forgotten: 0
        Only the depthwise step is counted; the 1x1 convolution that mixes the channels costs M·N more at each
        position, the larger part wherever N is above k^2.
    wide_pointwise: kernel**2 * in_channels * out_channels
        The pointwise step is counted with the k×k kernel; its kernel is 1x1, so it costs M·N at each position.
    pointwise_to_input_channels: in_channels**2
        The pointwise step is counted from M to M channels; it goes from M to N.
width
    height_squared: height
        The grid enters as height times height; it has height·width positions.
""",
)


# --------------------------------------------------------------------------- separable_ratio


def separable_ratio(out_channels: int, kernel: int) -> float:
    return 1 / out_channels + 1 / kernel**2


def ratios(*kernels: int, low: int = 8, high: int = 512) -> Callable[[Dice], Iterator[Call]]:
    def make(dice: Dice) -> Iterator[Call]:
        for kernel in kernels:
            yield call(dice.integer(low, high), kernel)

    return make


def few_channels(dice: Dice) -> Iterator[Call]:
    """And one alone: of more, 1 divided in whole numbers is 0, as if the term were missing."""
    yield from ratios(9, 13, 15, low=2, high=7)(dice)
    yield call(1, dice.choice([3, 5, 7]))


@part("mobilenet/separable_ratio", points=3, title="The ratio of the costs", see="mobilenet.html#ratio")
def _() -> Values:
    return Values(
        separable_ratio,
        Group("3×3 kernels", ratios(3, 3, 3), weight=2.0),
        Group("other kernels", ratios(5, 7, 11, 1), weight=2.0),
        Group("few channels and large kernels", few_channels),
    )


table(
    "mobilenet/separable_ratio",
    separable_ratio,
    """
1 / out_channels + 1 / kernel**2
    ratio_multiplied: 1 / out_channels * (1 / kernel**2)
        The two terms are multiplied; the ratio is their sum, 1/N + 1/k^2.
    ratio_inverted: 1 / (1 / out_channels + 1 / kernel**2)
        This is how many times cheaper the separable convolution is; the ratio asked for is its cost divided by the
        cost of the full convolution, a number below 1.
    shares_saved: 1 - (1 / out_channels + 1 / kernel**2)
        This is the share of the cost that is saved; the ratio asked for is the share that is left.
    percent: 100 * (1 / out_channels + 1 / kernel**2)
        The ratio is given in percent; it is asked for as a plain number, such as 0.12.
    channels_and_window_swapped: 1 / out_channels**2 + 1 / kernel
        The squares are swapped: the ratio is 1/N + 1/k^2, not 1/N^2 + 1/k.
    whole_division: (out_channels + kernel**2) // (out_channels * kernel**2)
        The result is 0, or 1 for a single channel: a division was done in whole numbers, // instead of /.
    added_below: 1 / (out_channels + kernel**2)
        This is 1/(N + k^2); a sum of fractions is not the fraction of the sum.
1 / kernel**2
    window_not_squared: 1 / kernel
        The second term is 1/k; a window has k·k weights, so it is 1/k^2.
    pointwise_term_forgotten: 0.0
        The term 1/k^2 is missing: it is the pointwise step, the larger part of what is left.
1 / out_channels
    depthwise_term_forgotten: 0.0
        The term 1/N is missing: it is the depthwise step. For many channels it is small, but it is not 0.
    depthwise_term_whole: 1 // out_channels
        The term 1/N is divided in whole numbers, // instead of /, which makes it 0 for more than one channel.
    input_channels_left: 1 / out_channels**2
        The input channels did not cancel: the first term became 1/N^2, as if there were one k×k filter in all. The
        depthwise step has one for every input channel, k·k·M, and M stands in every term above and below.
""",
)


# --------------------------------------------------------------------------- depthwise_conv


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    half = weight.shape[-1] // 2
    return F.conv2d(x, weight, padding=half, groups=x.shape[1])


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
        forbids={
            "grouped convolution": "Your function calls a convolution with `groups`; this part asks you to write "
            "one without."
        },
    )


table(
    "mobilenet/depthwise_conv",
    depthwise_conv,
    """
x, weight
    flipped: x, weight.flip(-1, -2)
        The filters are turned upside down and left to right: that is the convolution of mathematics. What networks
        call a convolution slides the filter as it is (a cross-correlation).
    rows_and_columns_swapped: x, weight.transpose(-1, -2)
        Rows and columns of the filters are swapped: weight[c, 0, i, j] belongs to i rows down and j columns to the
        right.
    filter_shared: x, weight[:1].expand_as(weight)
        All channels are filtered with the filter of channel 0; channel c has its own, weight[c, 0].
    channel_mean: x.mean(dim=1, keepdim=True).expand_as(x), weight
        The filters are applied to the mean over the channels; channel c of the result must come from channel c of x
        alone.
    last_offset_only: x, F.pad(weight[..., -1:, -1:], (2 * half, 0, 2 * half, 0))
        Each position of the filter overwrites what the ones before it gave; the products must be added up (+=).
padding=half
    padding_forgotten: padding=0
        There is no padding, so the grid shrinks by k - 1; "same" padding puts k // 2 zeros on each side.
    padding_always_one: padding=1
        The padding is 1 whatever the kernel; "same" padding is k // 2 on each side, which is 1 for k = 3 only.
    padding_of_the_kernel: padding=2 * half
        The padding is k - 1 on each side, so the grid grows; "same" padding is k // 2.
x, weight, padding=half
    padding_on_one_side: F.pad(x, (0, 2 * half, 0, 2 * half)), weight
        All zeros are put below and to the right, so the result is shifted; "same" padding puts k // 2 on each side.
    padding_before: F.pad(x, (2 * half, 0, 2 * half, 0)), weight
        All zeros are put above and to the left, so the result is shifted; "same" padding puts k // 2 on each side.
    edges_repeated: F.pad(x, (half,) * 4, mode="replicate"), weight
        Outside of the image stand repeated edge pixels; the padding is zeros.
    image_wrapped: F.pad(x, (half,) * 4, mode="circular"), weight
        The image is continued from its other side (as torch.roll or a Fourier transform do); the padding is zeros.
F.conv2d(x, weight, padding=half, groups=x.shape[1])
    channels_summed: F.conv2d(x, weight, padding=half, groups=x.shape[1]).sum(dim=1, keepdim=True)
        The filtered channels are added up into one map, as in a full convolution; a depthwise convolution keeps them
        apart: C channels in, C channels out.
    dense: F.conv2d(x, weight.expand(-1, x.shape[1], -1, -1), padding=half)
        Every filter is applied to every channel and the results are added up (groups forgotten): channel c of the
        result must come from channel c of x alone.
    averaged: F.conv2d(x, weight, padding=half, groups=x.shape[1]) / weight.shape[-1] ** 2
        The products in a window are averaged; a convolution adds them up.
    first_image_only: F.pad(F.conv2d(x[:1], weight, padding=half, groups=x.shape[1]), (0,) * 7 + (len(x) - 1,))
        Only the first image of the batch is computed; the others stay zero.
    relu_added: F.relu(F.conv2d(x, weight, padding=half, groups=x.shape[1]))
        A ReLU is applied to the result; this function is the convolution alone.
""",
)


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

    return Reference(RepairedBlock, separable())


BLOCK = """
conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)  # depthwise
    dense_depthwise: conv_bn_relu(in_channels, in_channels, 3, stride)
        The 3x3 convolution is a full one (groups forgotten): with groups=in_channels every channel has its own
        filter, and the cost of this step falls by a factor of in_channels.
self.depthwise = conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)  # depthwise
    filters_shared: self.depthwise = conv_bn_relu(in_channels, in_channels, 3, groups=in_channels)[1:]; \
        self.shared = nn.Conv2d(1, 1, 3, stride, padding=1, bias=False)
        + self.depthwise(x) => \
        self.depthwise(self.shared(x.flatten(0, 1)[:, None]).unflatten(0, x.shape[:2])[:, :, 0])
        One 3x3 filter is shared by all channels; a depthwise convolution has a filter for each of them.
self.depthwise(x)  # depthwise
    filters_flipped: self.depthwise[1:](F.conv2d(x, self.depthwise[0].weight.flip(-1, -2), \
        stride=self.depthwise[0].stride, padding=self.depthwise[0].padding, groups=self.depthwise[0].groups))
        The depthwise filters are turned around before they are applied; a network's convolution slides them as they
        are.
conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)  # block
    nothing_between: conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)[:1]
        Batch norm and ReLU between the two convolutions are missing: without them the two are one linear map, which
        a single dense 3x3 convolution could do as well.
    relu_missing_between: conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)[:2]
        There is no ReLU after the depthwise convolution and its batch norm, so the two convolutions are one linear
        map in evaluation mode.
conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)  # batch-norm
    batch_norm_missing_between: conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)[::2]
        There is no batch norm after the depthwise convolution; each of the two convolutions is followed by one.
conv_bn_relu(in_channels, out_channels, 1)  # block
    final_relu_missing: conv_bn_relu(in_channels, out_channels, 1)[:2]
        There is no ReLU after the pointwise convolution and its batch norm.
conv_bn_relu(in_channels, out_channels, 1)  # batch-norm
    final_batch_norm_missing: conv_bn_relu(in_channels, out_channels, 1)[::2]
        There is no batch norm after the pointwise convolution; each of the two convolutions is followed by one.
nn.BatchNorm2d(out_channels)  # batch-norm
    no_batch_norm:
        There is no batch norm at all; each of the two convolutions is followed by one.
    batch_norm_without_scale: nn.BatchNorm2d(out_channels, affine=False)
        The batch norms have no scale and shift (affine=False); here they learn both.
nn.ReLU()  # block
    no_relu:
        There is no ReLU at all; one follows each of the two batch norms.
    relu6: nn.ReLU6()
        The activation is ReLU6, which cuts off at 6, as in the authors' released code; the paper and this assignment
        have ReLU.
nn.BatchNorm2d(out_channels), nn.ReLU()  # batch-norm
    relu_before_batch_norm: nn.ReLU(), nn.BatchNorm2d(out_channels)
        ReLU comes before the batch norm; the order is convolution, batch norm, ReLU.
bias=False  # batch-norm
    bias_before_batch_norm: bias=True
        The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False.
self.pointwise = conv_bn_relu(in_channels, out_channels, 1)  # batch-norm
    bias_on_pointwise: self.pointwise = conv_bn_relu(in_channels, out_channels, 1); \
        self.pointwise[0].bias = nn.Parameter(torch.zeros(out_channels))
        The pointwise convolution has a bias although a batch norm follows, which subtracts any constant: use
        bias=False, as for the depthwise one.
conv_bn_relu(in_channels, out_channels, 1)  # block
    pointwise_forgotten_in_block: nn.Identity()
        The pointwise convolution is missing: the depthwise one alone never mixes the channels.
    wide_pointwise_conv: conv_bn_relu(in_channels, out_channels, 3)
        The second convolution is 3x3; the pointwise convolution is 1x1, which is where the saving comes from.
    padded_pointwise: conv_bn_relu(in_channels, out_channels, 1).insert(0, nn.ZeroPad2d(1))
        The 1x1 convolution has padding 1, so a frame of constant pixels grows around the grid; it needs none.
padding=kernel // 2  # block
    padding_forgotten_in_block: padding=0
        The 3x3 convolution has no padding, so the grid shrinks by 2; with padding 1 it keeps its size.
in_channels, in_channels, 3, stride  # stride
    stride_on_pointwise: in_channels, in_channels, 3
        + in_channels, out_channels, 1 => in_channels, out_channels, 1, stride
        The stride sits on the pointwise convolution. In evaluation mode the values are even the same, but the
        depthwise step computes four times as many pixels as are used, and all enter the statistics of its batch
        norm: the stride belongs on the depthwise convolution.
    stride_forgotten: in_channels, in_channels, 3
        No convolution carries the stride: the grid stays as it is.
in_channels, out_channels, 1  # stride
    stride_on_both: in_channels, out_channels, 1, stride
        Both convolutions carry the stride, so the grid shrinks twice; only the depthwise one does.
x = self.depthwise(x)  # block
    shortcut_added: before, x = x, self.depthwise(x)
        + return self.pointwise(x) => y = self.pointwise(x); return y + before if y.shape == before.shape else y
        The input is added where shapes allow it; MobileNetV1 has no shortcuts, they come with v2.
self.depthwise(x)  # block
    in_place_on_input: self.depthwise(F.relu_(x))
        An in-place ReLU overwrites the input of the block; whoever else holds it sees it change.
    relu_on_input: self.depthwise(F.relu(x))
        ReLU is applied to x before anything else; the block's input is used as it is.
in_channels, in_channels, 3, stride, groups=in_channels  # block
    pointwise_first: out_channels, out_channels, 3, stride, groups=out_channels
        + x = self.depthwise(x) => x = self.pointwise(x)
        + return self.pointwise(x) => return self.depthwise(x)
        The pointwise convolution comes first and the depthwise one works on the output channels; the order is
        depthwise, then pointwise.
conv_bn_relu(in_channels, in_channels, 3, stride, groups=in_channels)  # what-goes-wrong
    full_conv: conv_bn_relu(in_channels, out_channels, 3, stride)
        + conv_bn_relu(in_channels, out_channels, 1) => nn.Identity()
        This is one full 3x3 convolution with batch norm and ReLU, the layer that a separable convolution replaces.
"""

for _part in ("mobilenet/separable_conv", "mobilenet/repaired_block"):
    table(_part, (SeparableConv, conv_bn_relu), BLOCK)
