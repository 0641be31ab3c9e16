"""Checks of the assignment `lenet`: the size and the parameters of a convolution, LeNet-5, its subsampling.

The mistakes are edits of the functions and networks below, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table
from casestudies.networks import lenet  # noqa: F401  named in a table

# --------------------------------------------------------------------------- the size of the output


def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return (size + 2 * padding - kernel) // stride + 1


def unpadded(dice: Dice) -> Iterator[Call]:
    """A kernel that slides pixel by pixel, inside the image."""
    yield call(32, 5)  # C1 of LeNet-5
    for _ in range(3):
        kernel = dice.integer(2, 9)
        yield call(kernel + dice.integer(3, 40), kernel)


def padded(dice: Dice) -> Iterator[Call]:
    yield call(28, 5, 1, 2)  # the images of MNIST, and a grid that stays as it is
    yield call(28, 5)  # the same without: whoever keeps results must tell both apart
    for _ in range(3):
        kernel = dice.integer(3, 9)
        yield call(kernel + dice.integer(3, 40), kernel, padding=dice.integer(1, 2))


def strided(dice: Dice) -> Iterator[Call]:
    """Steps that fill the image exactly, an odd and an even number of them."""
    yield call(28, 2, 2)  # S2 of LeNet-5
    yield call(28, 2, 13)  # and larger steps
    for parity in (0, 1, dice.integer(0, 1)):
        kernel, stride = dice.integer(2, 7), dice.integer(2, 5)
        yield call(kernel + stride * (2 * dice.integer(1, 4) + parity), kernel, stride)
    yield from (made for rest, made in remainders(dice) if not rest)


def remainders(dice: Dice) -> Iterator[tuple[int, Call]]:
    """Every remainder of size and kernel with a stride of 3, and in so many of the padding: the sum is divided, and
    whoever divides its terms one by one gets another number somewhere. Each with what is left over."""
    stride = 3
    for size, kernel in product(range(stride), repeat=2):
        padding = (
            2 * size % stride
        )  # then neither size + 2 padding nor 2 padding - kernel is always a multiple
        made = stride * dice.integer(5, 12) + size, stride * dice.integer(1, 2) + kernel, stride, padding
        yield (made[0] + 2 * padding - made[1]) % stride, call(*made)


def left_over(dice: Dice) -> Iterator[Call]:
    """A last step that does not fit: one pixel too few for it, one pixel too many, or anything between."""
    yield call(224, 11, 4, 2)  # the first layer of torchvision's AlexNet
    for remainder in ("one", "all but one", "any"):
        kernel, stride = dice.integer(3, 7), dice.integer(3, 5)
        rest = {"one": 1, "all but one": stride - 1, "any": dice.integer(1, stride - 1)}[remainder]
        padding = dice.integer(1, 2)
        room = stride * dice.integer(3, 9) + rest
        yield call(room + kernel - 2 * padding, kernel, stride, padding)
    for parity in (0, 1):  # half a step is left over, after an odd and an even number of them
        kernel, stride = dice.integer(3, 7), dice.choice([2, 4])
        yield call(stride * (2 * dice.integer(2, 4) + parity) + stride // 2 + kernel, kernel, stride)
    yield from (made for rest, made in remainders(dice) if rest)


def extremes(dice: Dice) -> Iterator[Call]:
    kernel = dice.integer(4, 9)
    yield call(kernel, kernel)  # the kernel covers the image: a single output
    yield call(kernel, kernel, stride=dice.integer(2, 4))
    yield call(dice.integer(10, 40), 1)
    yield call(3 * dice.integer(10, 13), 1, 3)  # two thirds of a step are left over
    yield call(1, 3, padding=1)
    yield call(size=dice.integer(20, 29), padding=3, stride=2, kernel=7)


@part("lenet/conv_output_size", points=4, title="The size of the output", see="lenet.html#output-size")
def output_size() -> Values:
    return Values(
        conv_output_size,
        Group("no padding, stride 1", unpadded),
        Group("with padding", padded),
        Group("strides that fit exactly", strided),
        Group("strides that leave pixels over", left_over),
        Group("kernels of one pixel, and as large as the image", extremes),
    )


table(
    "lenet/conv_output_size",
    conv_output_size,
    """
(size + 2 * padding - kernel) // stride
    floor_forgotten: (size + 2 * padding - kernel) / stride
        The division is not rounded down. A kernel that does not fit once more is not applied once more: use //,
        which also gives an int.
    rounded_up: math.ceil((size + 2 * padding - kernel) / stride)
        The division is rounded up, as if a kernel could hang over the edge; convolutions round down.
    rounded_to_nearest: round((size + 2 * padding - kernel) / stride)
        The division is rounded to the nearest whole number; a step that does not fit entirely does not count.
(size + 2 * padding - kernel) // stride + 1
    float_returned: float((size + 2 * padding - kernel) // stride + 1)
        The result is a float. A number of pixels is an int: of two ints, // gives one and / does not.
    plus_one_forgotten: (size + 2 * padding - kernel) // stride
        The + 1 is missing. The fraction counts the steps that the kernel takes; it is also applied before the first
        step.
    plus_one_inside: (size + 2 * padding - kernel + 1) // stride
        The 1 is added before the division. It is the position before the first step, so it does not shrink with the
        stride.
2 * padding
    padding_on_one_side: padding
        The padding is counted once. It is added on both sides, so the image grows by 2 padding.
    padding_ignored: 0
        The padding does not enter the result.
    padding_subtracted: -2 * padding
        The padding is subtracted; it makes the image larger.
    padding_of_half_akernel: 2 * (kernel // 2)
        The padding is taken to be half the kernel, whatever the argument says; its default is 0.
stride
    stride_ignored: 1
        The stride does not enter the result.
stride: int = 1
    stride_of_apool: stride: int | None = None
        + return (size + 2 * padding - kernel) // stride + 1 => \
        stride = stride or kernel; return (size + 2 * padding - kernel) // stride + 1
        Without a stride the kernel's size is taken, as pooling layers do; a convolution's default is 1.
(size + 2 * padding - kernel) // stride + 1
    kernel_ignored: size // stride
        The kernel does not enter the result: this is the size only with padding that makes up for the kernel.
kernel
    kernel_halved: kernel // 2
        Half of the kernel is subtracted. The whole kernel has to fit: its first position takes all its pixels.
""",
)


# --------------------------------------------------------------------------- the parameters


def conv_parameters(in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> int:
    return out_channels * (in_channels * kernel**2 + bool(bias))


def with_bias(dice: Dice) -> Iterator[Call]:
    yield call(1, 6, 5)  # C1 of LeNet-5
    yield call(6, 16, 5)  # C3
    for _ in range(3):
        yield call(dice.integer(2, 9), dice.integer(11, 40), dice.integer(2, 7))


def without_bias(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call(dice.integer(2, 9), dice.integer(11, 40), dice.integer(2, 7), bias=False)
    yield call(dice.integer(11, 40), dice.integer(2, 9), dice.integer(2, 7), False)


def linear(dice: Dice) -> Iterator[Call]:
    """A 1x1 convolution, which has the parameters of a linear layer; more channels in than out."""
    yield call(dice.integer(50, 90), dice.integer(2, 40), 1)
    yield call(dice.integer(2, 40), dice.integer(50, 90), 1, bias=False)
    yield call(bias=True, kernel=3, out_channels=dice.integer(2, 9), in_channels=dice.integer(11, 40))


@part("lenet/conv_parameters", points=3, title="The parameters of a convolution", see="lenet.html#parameters")
def parameters() -> Values:
    return Values(
        conv_parameters,
        Group("with a bias", with_bias, weight=2),
        Group("without a bias", without_bias),
        Group("1×1 convolutions, arguments by name", linear),
    )


table(
    "lenet/conv_parameters",
    conv_parameters,
    """
bool(bias)
    bias_forgotten: 0
        The biases are not counted: with bias=True every output channel has one.
    bias_always: 1
        The biases are counted even with bias=False.
    bias_per_weight: bool(bias) * kernel**2
        A bias is counted for every place of the kernel; a filter has one.
    bias_per_filter_slice: bool(bias) * in_channels
        One bias is counted for each pair of an input and an output channel. A filter sums over its input channels
        first and adds a single bias to the sum.
out_channels * (in_channels * kernel**2 + bool(bias))
    one_bias_in_all: out_channels * in_channels * kernel**2 + bool(bias)
        One bias is counted for the whole layer; every output channel has its own.
    bias_per_input_channel: in_channels * (out_channels * kernel**2 + bool(bias))
        One bias is counted for each input channel; it is added to the result, so each output channel has one.
    one_filter: in_channels * kernel**2 + out_channels * bool(bias)
        The weights of a single filter are counted; there is one filter for each output channel.
    channels_added: (in_channels + out_channels) * kernel**2 + out_channels * bool(bias)
        Input and output channels are added up. Each output channel is connected to each input channel, so their
        numbers multiply.
in_channels * kernel**2
    depth_forgotten: kernel**2
        The input channels are left out. A filter is a block of kernel × kernel × in_channels weights: it reaches
        through all of the input's depth.
kernel**2
    kernel_not_squared: kernel
        The kernel's side is counted once; a kernel has kernel × kernel places.
    kernel_doubled: 2 * kernel
        The kernel counts 2 × kernel; a square of side k has k × k places (k**2).
""",
)


# --------------------------------------------------------------------------- LeNet-5


class LeNet5(nn.Module):
    """The modern LeNet-5, (B, 1, 32, 32) -> logits (B, num_classes)."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)
        self.c3 = nn.Conv2d(6, 16, 5)
        self.c5 = self.make_c5(16, 120)
        self.f6 = nn.Linear(120, 84)
        self.output = nn.Linear(84, num_classes)
        self.pool = nn.AvgPool2d(2)

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.tanh(self.c1(x)))  # (B, 6, 14, 14)
        x = self.pool(torch.tanh(self.c3(x)))  # (B, 16, 5, 5)
        x = torch.tanh(self.c5(x)).flatten(1)  # (B, 120)
        return self.output(torch.tanh(self.f6(x)))


class LinearC5(nn.Module):
    """C5 as a linear layer on the flattened grid, the same computation on images of 32x32."""

    c1: nn.Conv2d
    c3: nn.Module

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        side = ((32 + 2 * int(self.c1.padding[0]) - 4) // 2 - 4) // 2
        bias = getattr(self.c3, "bias", True) is not None
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * side**2, out_channels, bias=bias))


@part("lenet/lenet5", points=9, title="LeNet-5", see="lenet.html#lenet-5")
def lenet5() -> Reference:
    return Reference(
        LeNet5,
        Space({"num_classes": (10, any_of(7, 13))}, shape=(1, 32, 32), scale=1.5),
        forms=(LinearC5,),
    )


table(
    "lenet/lenet5",
    LeNet5,
    """
every torch.tanh  # what-goes-wrong
    relu_for_tanh: torch.relu
        The activations are ReLU; LeNet-5 has tanh (ReLU arrives with AlexNet).
    sigmoid_for_tanh: torch.sigmoid
        The activations are logistic sigmoids, between 0 and 1; this network has tanh, between -1 and 1.
every torch.tanh  # original-and-modern
    scaled_tanh: lenet.squash
        The activations are 1.7159 tanh(2x / 3), as in 1998; the modern network asked for here has the plain tanh.
every torch.tanh  # what-goes-wrong
    activation_forgotten: (lambda x: x)
        There is no activation at all: without it the whole network is one linear map in many pieces.
torch.tanh(self.c1(x))
    tanh_missing_after_convolutions: self.c1(x)
        + torch.tanh(self.c3(x)) => self.c3(x)
        There is no tanh after the convolutions C1 and C3: each is followed by tanh, then by the pooling.
torch.tanh(self.c5(x))
    tanh_missing_after_c5: self.c5(x)
        There is no tanh after the third convolution (120 channels): without it this layer and the next are one
        linear map.
torch.tanh(self.f6(x))
    tanh_missing_after_f6: self.f6(x)
        There is no tanh between the two linear layers: without it they are one linear map.
self.pool(torch.tanh(self.c1(x)))  # subsampling
    tanh_after_pooling: torch.tanh(self.pool(self.c1(x)))
        + self.pool(torch.tanh(self.c3(x))) => torch.tanh(self.pool(self.c3(x)))
        tanh is applied after the pooling; here it comes before. The two differ, since the average of tanh is not the
        tanh of the average.
    tanh_before_and_after_pooling: torch.tanh(self.pool(torch.tanh(self.c1(x))))
        + self.pool(torch.tanh(self.c3(x))) => torch.tanh(self.pool(torch.tanh(self.c3(x))))
        tanh is applied before the pooling and once more after it; once, before it, is enough.
nn.AvgPool2d(2)  # subsampling
    max_pooling: nn.MaxPool2d(2)
        The pooling takes the maximum of each 2×2 window; LeNet-5 takes the average (AvgPool2d).
    sum_pooling: nn.AvgPool2d(2, divisor_override=1)
        The pooling adds up each 2×2 window without dividing by 4; that is the sum of 1998, which a trained
        coefficient follows. Here it is the average.
    pooling_stride_one: nn.AvgPool2d(2, stride=1)
        The pooling windows move by one pixel, so the grid hardly shrinks; 2×2 windows with stride 2 halve it.
    pooling_forgotten: nn.Identity()
        There is no pooling, so the grid stays large; after each of the first two convolutions it is halved.
super().__init__()  # original-and-modern
    trained_subsampling: super().__init__(); self.s2, self.s4 = lenet.Subsampling(6), lenet.Subsampling(16)
        + self.pool(torch.tanh(self.c1(x))) => self.s2(torch.tanh(self.c1(x)))
        + self.pool(torch.tanh(self.c3(x))) => self.s4(torch.tanh(self.c3(x)))
        The subsampling has a trained coefficient and bias for each map, as in 1998; the modern network has the plain
        average, without parameters.
nn.Conv2d(1, 6, 5)  # output-size
    padding_on_first: nn.Conv2d(1, 6, 5, padding=2)
        The first convolution is padded. Padding 2 is for images of 28×28; these are 32×32, and C1 turns them into
        28×28.
nn.Conv2d(6, 16, 5)  # original-and-modern
    partial_c3: lenet.PartialConv(lenet.C3_INPUTS, 5)
        The second convolution connects only some of the maps, as in Table I of 1998; in the modern network each of
        the 16 maps sees all 6.
nn.Conv2d(in_channels, out_channels, 5)
    c5_averaged: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, out_channels, 1))
        The 5×5 grid is averaged before the layer with 120 channels, which then is a 1×1 convolution; C5 has a weight
        for every place of the grid.
self.make_c5(16, 120)
    c5_missing: nn.Identity()
        + torch.tanh(self.c5(x)) => self.c5(x)
        + nn.Linear(120, 84) => nn.Linear(400, 84)
        The third convolution, 120@5×5, is missing: the 400 numbers of the 5×5 grid go straight to the 84.
nn.Linear(120, 84)
    f6_missing: nn.Identity()
        + nn.Linear(84, num_classes) => nn.Linear(120, num_classes)
        + torch.tanh(self.f6(x)) => self.f6(x)
        The linear layer with 84 outputs is missing: the 120 numbers go straight to the classes.
    widths_swapped: nn.Linear(84, 120)
        + self.make_c5(16, 120) => self.make_c5(16, 84)
        + nn.Linear(84, num_classes) => nn.Linear(120, num_classes)
        The 120 and the 84 have changed places: C5 has 120 channels, the linear layer after it 84.
nn.Conv2d(1, 6, 5)
    three_input_channels: nn.Conv2d(3, 6, 5)
        The first convolution expects 3 input channels; the images are grey, so there is one.
num_classes
    classes_ignored: 10
        The last layer has 10 outputs whatever num_classes says.
nn.Conv2d(1, 6, 5)  # parameters
    convolutions_without_bias: nn.Conv2d(1, 6, 5, bias=False)
        + nn.Conv2d(6, 16, 5) => nn.Conv2d(6, 16, 5, bias=False)
        + nn.Conv2d(in_channels, out_channels, 5) => nn.Conv2d(in_channels, out_channels, 5, bias=False)
        The convolutions have no biases; here nothing else could shift their outputs, so they keep them.
nn.Linear(84, num_classes)  # parameters
    output_without_bias: nn.Linear(84, num_classes, bias=False)
        The last linear layer has no bias; it has one for each class.
super().__init__()
    batch_norm_added: super().__init__(); self.n1, self.n3 = nn.BatchNorm2d(6), nn.BatchNorm2d(16)
        + self.c1(x) => self.n1(self.c1(x))
        + self.c3(x) => self.n3(self.c3(x))
        The convolutions are followed by batch norm, which was invented in 2015; LeNet-5 has none.
self.output(torch.tanh(self.f6(x)))  # what-goes-wrong
    softmax_inside: self.output(torch.tanh(self.f6(x))).softmax(dim=1)
        The network ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax.
    log_softmax_inside: self.output(torch.tanh(self.f6(x))).log_softmax(dim=1)
        The network ends with a log-softmax; it returns logits, since the cross-entropy loss applies it.
    sigmoid_on_logits: self.output(torch.tanh(self.f6(x))).sigmoid()
        The network ends with a sigmoid; it returns the logits as they are.
    activation_on_logits: torch.tanh(self.output(torch.tanh(self.f6(x))))
        There is an activation after the last layer, too; logits may be any number, so nothing follows it.
""",
)


# --------------------------------------------------------------------------- find the bug: subsampling


class RepairedSubsampling(nn.Module):
    """coefficient * (sum of each 2x2 window) + bias, per map, as in 1998."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        coefficient, bias = self.coefficient[:, None, None], self.bias[:, None, None]  # along the channels
        return coefficient * F.avg_pool2d(x, 2, divisor_override=1) + bias


@part(
    "lenet/repaired_subsampling",
    points=4,
    title="Find the bug",
    see="lenet.html#original-and-modern",
    given=("along_the_width", "averaged"),
)
def repaired_subsampling() -> Reference:
    return Reference(
        RepairedSubsampling,
        # The windows are 2×2; as many maps as rows or as columns, where a wrong axis goes unnoticed, and others.
        Space(
            {"channels": (1, any_of(3, 4), any_of(5, 6))},
            shape=("channels", (any_of(6, 10), any_of(8, 12)), (any_of(6, 10), any_of(4, 8))),
        ),
    )


table(
    "lenet/repaired_subsampling",
    RepairedSubsampling,
    """
self.coefficient[:, None, None], self.bias[:, None, None]
    along_the_width: self.coefficient, self.bias
        The coefficients and biases, one a map, are spread along the width: a tensor of shape (C,) meets the last
        axis of (N, C, H, W). Give them the shape (C, 1, 1). It ran at first only because there were as many columns
        as maps.
    along_the_height: self.coefficient[:, None], self.bias[:, None]
        The coefficients and biases, one a map, are spread along the height: the shape (C, 1) meets the last two axes
        of (N, C, H, W). It has to be (C, 1, 1).
F.avg_pool2d(x, 2, divisor_override=1)
    averaged: F.avg_pool2d(x, 2)
        The average of each window is taken; the subsampling of 1998 adds the four numbers up and leaves the scale to
        the coefficient.
    maximum: F.max_pool2d(x, 2)
        The maximum of each window is taken; the subsampling of 1998 adds the four numbers up.
    top_left: x[:, :, ::2, ::2]
        One pixel of each window is taken; the subsampling of 1998 adds all four up.
    overlapping: F.avg_pool2d(x, 2, stride=1, divisor_override=1)
        The windows move by one pixel and overlap; they move by two, so that the grid is halved.
every __init__: channels
    one_coefficient: 1
        One coefficient and one bias serve all maps; every map has its own: 12 parameters for 6 maps.
self.bias = nn.Parameter(torch.zeros(channels))
    bias_missing: self.bias = torch.zeros(channels)
        The bias is missing; every map has a coefficient and a bias.
coefficient * F.avg_pool2d(x, 2, divisor_override=1) + bias
    bias_scaled: coefficient * (F.avg_pool2d(x, 2, divisor_override=1) + bias)
        The bias is added before the multiplication; the coefficient scales the sum only.
    squashed_inside: torch.tanh(coefficient * F.avg_pool2d(x, 2, divisor_override=1) + bias)
        tanh is applied inside the layer; this block stops at the sum, scaled and shifted.
    sigmoid_inside: torch.sigmoid(coefficient * F.avg_pool2d(x, 2, divisor_override=1) + bias)
        A sigmoid is applied inside the layer; this block stops at the sum, scaled and shifted.
torch.ones(channels)
    weight_per_pixel: torch.ones(channels, 1, 2, 2)
        + coefficient * F.avg_pool2d(x, 2, divisor_override=1) + bias => \
        F.conv2d(x, self.coefficient, self.bias, stride=2, groups=len(self.coefficient))
        Each of the four pixels of a window has a weight of its own, as in a depthwise convolution; the subsampling
        of 1998 has one coefficient for all four.
""",
)
