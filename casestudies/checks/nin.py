"""Checks of the assignment `nin`: 1x1 convolutions, the block made of them, and the head that averages.

`PixelMap`, `Count`, `Block`, `Head` and `PixelNet` do what the references do, cut into small methods, one decision
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
from casestudies.networks import nin

# --------------------------------------------------------------------------- references


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, in, H, W), weight (out, in, 1, 1), bias (out,) -> (N, out, H, W)."""
    pixels = x.permute(0, 2, 3, 1)  # (N, H, W, in)
    return (pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]


def conv1x1_parameters(in_channels: int, out_channels: int, bias: bool = True) -> int:
    """in x out weights, and one bias for each output channel."""
    return in_channels * out_channels + (out_channels if bias else 0)


class RepairedPixelMLP(nn.Module):
    """Linear, ReLU, linear at every pixel: (N, in_channels, H, W) -> (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_channels, hidden)
        self.linear2 = nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C): what a linear layer works on comes last
        return self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 1, 2)


# --------------------------------------------------------------------------- parts


def pixels(dice: Dice, batch: int, in_channels: int, height: int, width: int, out_channels: int) -> Call:
    """Arguments of `conv1x1`."""
    return call(
        dice.normal(batch, in_channels, height, width),
        dice.normal(out_channels, in_channels, 1, 1),
        dice.normal(out_channels, scale=2.0),
    )


@part("nin/conv1x1", points=4, title="A 1x1 convolution without a convolution", see="nin.html#conv1x1")
def conv1x1_part() -> Values:
    return Values(
        conv1x1,
        Group("other channels out than in", lambda d: [pixels(d, 3, 4, 5, 6, 7), pixels(d, 2, 6, 5, 4, 3)]),
        Group("as many channels out as in", lambda d: [pixels(d, 2, 4, 3, 5, 4)]),
        Group(
            "a grid as wide or as high as there are channels, a single channel in",
            lambda d: [
                pixels(d, 2, 3, 4, 6, 6),
                pixels(d, 2, 5, 3, 5, 4),
                pixels(d, 2, 3, 6, 4, 6),
                pixels(d, 3, 1, 4, 2, 5),
            ],
        ),
        Group(
            "a single channel out, a single pixel",
            lambda d: [pixels(d, 2, 4, 3, 5, 1), pixels(d, 1, 3, 1, 1, 4)],
        ),
        gradients=True,
    )


def counts(**kwargs: bool) -> Callable[[Dice], list[Call]]:
    def make(dice: Dice) -> list[Call]:
        in_channels = dice.integer(5, 200)
        sizes = [
            (in_channels, in_channels + dice.integer(3, 200)),
            (dice.integer(100, 200), dice.integer(5, 60)),
        ]
        return [call(*each, **kwargs) for each in sizes]

    return make


@part("nin/conv1x1_parameters", points=3, title="Its parameters", see="nin.html#conv1x1-cost")
def conv1x1_parameters_part() -> Values:
    return Values(
        conv1x1_parameters,
        Group("with a bias", counts()),
        Group("without a bias", counts(bias=False)),
        Group("the bias asked for by name", counts(bias=True)),
    )


@part("nin/nin_block", points=5, title="The NiN block", see="nin.html#mlpconv")
def nin_block() -> Reference:
    return Reference(
        nin.NiNBlock,
        Space(
            {
                "in_channels, out_channels": (
                    any_of((5, 5), (3, 3)),
                    any_of((3, 5), (4, 6)),
                    any_of((6, 4), (7, 3)),
                ),
                "kernel_size": (any_of(1, 3, 5), any_of(2, 4)),
                "stride": (1, 2, 3),
                "padding": (0, 1, 2),
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part(
    "nin/global_average_head", points=4, title="The head that averages", see="nin.html#global-average-pooling"
)
def global_average_head() -> Reference:
    return Reference(
        nin.GlobalAverageHead,
        Space(
            {
                "in_channels, num_classes": (
                    any_of((5, 5), (3, 3)),
                    any_of((6, 4), (5, 1)),
                    any_of((4, 9), (2, 7)),
                )
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part(
    "nin/repaired_pixel_mlp",
    points=4,
    title="Find the bug",
    see="nin.html#what-goes-wrong",
    given=("still_reshaped_twice",),
)
def repaired_pixel_mlp() -> Reference:
    return Reference(
        RepairedPixelMLP,
        Space(
            {
                # as many channels as leave the block, fewer, more; as many as there are rows or columns
                "in_channels, hidden, out_channels": (
                    any_of((5, 8, 5), (6, 3, 6)),
                    any_of((3, 6, 4), (6, 6, 8)),
                    any_of((7, 5, 5), (8, 9, 6)),
                ),
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


# --------------------------------------------------------------------------- conv1x1


class PixelMap(Formula):
    """A linear layer at every pixel, one decision a method."""

    def value(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        rows = self.rows(self.enter(x))  # (N, H W, in)
        mixed = self.rows_with_bias(self.mix(rows, self.matrix(weight)), bias)  # (N, H W, out)
        return self.finish(self.add(self.image(mixed, x), bias))

    def enter(self, x: Tensor) -> Tensor:
        return x

    def matrix(self, weight: Tensor) -> Tensor:
        return weight[:, :, 0, 0]

    def rows(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)

    def mix(self, rows: Tensor, matrix: Tensor) -> Tensor:
        return rows @ matrix.transpose(0, -1)

    def rows_with_bias(self, mixed: Tensor, bias: Tensor) -> Tensor:
        return mixed  # the bias is added later, to the image

    def image(self, mixed: Tensor, x: Tensor) -> Tensor:
        return mixed.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y + bias[:, None, None]

    def finish(self, y: Tensor) -> Tensor:
        return y


@mistake("nin/conv1x1")
@as_function
class WeightTransposed(PixelMap):
    """The axes of the weight are swapped: it has the shape (out, in, 1, 1), so output channel o uses weight[o]."""

    def matrix(self, weight: Tensor) -> Tensor:
        return weight[:, :, 0, 0].T


@mistake("nin/conv1x1")
@as_function
class SummedOverOutputs(PixelMap):
    """The sum runs over the first axis of the weight; that one counts the output channels, (out, in, 1, 1). The sum
    runs over the input channels, its second axis ("nchw,oc->nohw")."""

    def matrix(self, weight: Tensor) -> Tensor:
        return weight[:, :, 0, 0]

    def mix(self, rows: Tensor, matrix: Tensor) -> Tensor:
        return torch.einsum(
            "npc,co->npo", rows, matrix
        )  # where one size is 1, einsum broadcasts and does not raise


@mistake("nin/conv1x1")
@as_function
class WeightReshaped(PixelMap):
    """The weight is reshaped to (in, out), which puts its numbers in other places; to swap two axes, transpose."""

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.reshape(weight.shape[1], weight.shape[0]).T


@mistake("nin/conv1x1")
@as_function
class BiasAlongColumns(PixelMap):
    """The bias is added along the columns of the image (y + bias aligns the last axes); there is one for each
    channel: bias[:, None, None]."""

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y + bias


@mistake("nin/conv1x1")
@as_function
class BiasAlongRows(PixelMap):
    """The bias is added along the rows of the image; there is one for each channel: bias[:, None, None]."""

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y + bias[:, None]


@mistake("nin/conv1x1")
@as_function
class BiasNotAdded(PixelMap):
    """The bias is missing: every output channel has one, added at each of its pixels."""

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y


@mistake("nin/conv1x1")
@as_function
class BiasSubtracted(PixelMap):
    """The bias is subtracted; it is added at every pixel."""

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y - bias[:, None, None]


@mistake("nin/conv1x1")
@as_function
class BiasOncePerInputChannel(PixelMap):
    """The bias is added once for every input channel, inside their sum; it is added once, after the sum."""

    def enter(self, x: Tensor) -> Tensor:
        self.in_channels = x.shape[1]
        return x

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y + self.in_channels * bias[:, None, None]


@mistake("nin/conv1x1")
@as_function
class ReluAdded(PixelMap):
    """A ReLU is applied to the result; the convolution itself is linear, and its values may be negative."""

    def finish(self, y: Tensor) -> Tensor:
        return F.relu(y)


@mistake("nin/conv1x1")
@as_function
class ChannelsLeftLast(PixelMap):
    """The channels are left in the last axis, (N, H, W, out); move them back to (N, out, H, W)."""

    def finish(self, y: Tensor) -> Tensor:
        return y.permute(0, 2, 3, 1)


@mistake("nin/conv1x1")
@as_function
class ReshapedIn(PixelMap):
    """The image is reshaped to (N, H W, in): this mixes up pixels and channels. Move the channel axis last with
    permute or transpose, then flatten."""

    def rows(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, x.shape[1])


class OutByReshaping(PixelMap):
    """Adds the bias to the rows, as F.linear does, and reshapes them."""

    def rows_with_bias(self, mixed: Tensor, bias: Tensor) -> Tensor:
        return mixed + bias

    def image(self, mixed: Tensor, x: Tensor) -> Tensor:
        return mixed.reshape(x.shape[0], -1, *x.shape[2:])

    def add(self, y: Tensor, bias: Tensor) -> Tensor:
        return y


@mistake("nin/conv1x1")
@as_function
class ReshapedOut(OutByReshaping):
    """The result is reshaped to (N, out, H, W) while its channels are the last axis: this mixes up pixels and
    channels. Move the channels back with permute or transpose."""


@mistake("nin/conv1x1")
@as_function
class ReshapedInAndOut(OutByReshaping):
    """Reshaping to (N, H W, in) and back to (N, out, H, W) mixes up pixels and channels, twice. Axes are moved with
    permute or transpose; reshape only joins or splits neighbouring ones."""

    def rows(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, x.shape[1])


@mistake("nin/conv1x1")
@as_function
class ReshapedBeforeTheBias(PixelMap):
    """The bias is added to the right channels, but before that, reshaping to (N, H W, in) and back mixes up pixels
    and channels. Axes are moved with permute or transpose."""

    def rows(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, x.shape[1])

    def image(self, mixed: Tensor, x: Tensor) -> Tensor:
        return mixed.reshape(x.shape[0], -1, *x.shape[2:])


@mistake("nin/conv1x1")
@as_function
class GridTransposed(PixelMap):
    """Rows and columns of the image are swapped; only the channels have to move, and back again."""

    def finish(self, y: Tensor) -> Tensor:
        return y.transpose(2, 3)


@mistake("nin/conv1x1")
@as_function
class MixedAlongColumns(PixelMap):
    """The weight is applied to the last axis, the columns, as F.linear does; it mixes channels, the second axis."""

    def value(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return F.linear(x, weight[:, :, 0, 0], bias)


@mistake("nin/conv1x1")
@as_function
class Averaged(PixelMap):
    """The weighted channels are averaged; they are added up."""

    def mix(self, rows: Tensor, matrix: Tensor) -> Tensor:
        return rows @ matrix.T / matrix.shape[1]


@mistake("nin/conv1x1")
@as_function
class WeightSqueezed(PixelMap):
    """weight.squeeze() drops every axis of size 1, also the channels where there is one only: take weight[:, :, 0, 0]
    or flatten(1)."""

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.squeeze()


@mistake("nin/conv1x1")
@as_function
class GradientCut(PixelMap):
    """The values are right, but no gradient flows back (NumPy, detach, .data or no_grad)."""

    def value(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return super().value(x, weight, bias).detach()


# --------------------------------------------------------------------------- conv1x1_parameters


class Count(Formula):
    """Weights and biases, one decision a method."""

    def value(self, in_channels: int, out_channels: int, bias: bool = True) -> int | float:
        weights = self.weights(in_channels, out_channels)
        return self.number(weights + (self.biases(in_channels, out_channels) if self.counted(bias) else 0))

    def weights(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels

    def biases(self, in_channels: int, out_channels: int) -> int:
        return out_channels

    def counted(self, bias: bool) -> bool:
        return bias

    def number(self, count: int) -> int | float:
        return count


@mistake("nin/conv1x1_parameters")
@as_function
class BiasForgotten(Count):
    """The biases are not counted, though the convolution has them unless bias=False."""

    def counted(self, bias: bool) -> bool:
        return False


@mistake("nin/conv1x1_parameters")
@as_function
class BiasAlways(Count):
    """The biases are counted even with bias=False."""

    def counted(self, bias: bool) -> bool:
        return True


@mistake("nin/conv1x1_parameters")
@as_function
class BiasTheOtherWay(Count):
    """The biases are counted exactly when there are none: the condition is the wrong way round."""

    def counted(self, bias: bool) -> bool:
        return not bias


@mistake("nin/conv1x1_parameters")
@as_function
class BiasPerInput(Count):
    """There is a bias for every output channel, not for every input channel."""

    def biases(self, in_channels: int, out_channels: int) -> int:
        return in_channels


@mistake("nin/conv1x1_parameters")
@as_function
class SingleBias(Count):
    """There is not one bias in all, but one for every output channel."""

    def biases(self, in_channels: int, out_channels: int) -> int:
        return 1


@mistake("nin/conv1x1_parameters")
@as_function
class BiasPerWeight(Count):
    """There is not a bias for every weight, but one for every output channel."""

    def biases(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels


@mistake("nin/conv1x1_parameters")
@as_function
class KernelOfNine(Count):
    """The weights of a 3x3 kernel are counted; a 1x1 kernel has one for each pair of channels."""

    def weights(self, in_channels: int, out_channels: int) -> int:
        return 9 * in_channels * out_channels


@mistake("nin/conv1x1_parameters")
@as_function
class ChannelsAdded(Count):
    """The numbers of channels are added; every output channel has a weight for every input channel: multiply."""

    def weights(self, in_channels: int, out_channels: int) -> int:
        return in_channels + out_channels


@mistake("nin/conv1x1_parameters")
@as_function
class OneKernelForAll(Count):
    """One weight for each input channel is counted; every output channel has its own."""

    def weights(self, in_channels: int, out_channels: int) -> int:
        return in_channels


@mistake("nin/conv1x1_parameters")
@as_function
class OneWeightForEachOutput(Count):
    """One weight for each output channel is counted; each has one for every input channel."""

    def weights(self, in_channels: int, out_channels: int) -> int:
        return out_channels


@mistake("nin/conv1x1_parameters")
@as_function
class FloatReturned(Count):
    """The number is right, but it is a float; a count is an int (// instead of /, 2 instead of 2.0)."""

    def number(self, count: int) -> int | float:
        return float(count)


@mistake("nin/conv1x1_parameters")
@as_function
class CountedTwice(Count):
    """Every parameter is counted twice; the factor 2 belongs to operations (a multiplication and an addition)."""

    def number(self, count: int) -> int | float:
        return 2 * count


# --------------------------------------------------------------------------- the NiN block


class Block(nn.Module):
    """A k x k convolution and two 1x1, one decision a method."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        stride, padding = self.stride(stride), self.padding(kernel_size, padding)
        widths = self.widths(in_channels, out_channels)
        self.convs = nn.ModuleList([self.conv(widths[0], widths[1], kernel_size, stride, padding)])
        self.convs.extend(
            self.conv(a, b, *self.small(kernel_size, stride, padding))
            for a, b in zip(widths[1:-1], widths[2:], strict=True)
        )
        self.norms = nn.ModuleList(self.norm(width) for width in widths[1:])

    def widths(self, in_channels: int, out_channels: int) -> list[int]:
        return [in_channels, out_channels, out_channels, out_channels]

    def stride(self, stride: int) -> int:
        return stride

    def padding(self, kernel_size: int, padding: int) -> int:
        return padding

    def small(self, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
        """(kernel, stride, padding) of the convolutions after the first."""
        return 1, 1, 0

    def conv(self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=self.bias())

    def bias(self) -> bool:
        return True

    def norm(self, width: int) -> nn.Module:
        return nn.Identity()

    def enter(self, x: Tensor) -> Tensor:
        return x

    def activation(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def between(self, x: Tensor, index: int) -> Tensor:
        return self.activation(x)

    def end(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        last = len(self.convs) - 1
        for index, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(x))
            x = self.between(x, index) if index < last else self.end(x)
        return x


BLOCK = "nin/nin_block"


@mistake(BLOCK)
class NoReluBetween(Block):
    """There is no ReLU between the convolutions: the 1x1 layers are then one linear map with the first, and add
    nothing."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return x


@mistake(BLOCK)
class ReluMissingAfterFirst(Block):
    """The ReLU after the k x k convolution is missing."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return x if index == 0 else self.activation(x)


@mistake(BLOCK)
class ReluMissingAfterSecond(Block):
    """The ReLU between the two 1x1 convolutions is missing: the two are then a single linear map."""

    def between(self, x: Tensor, index: int) -> Tensor:
        return x if index == 1 else self.activation(x)


@mistake(BLOCK)
class LastReluMissing(Block):
    """The ReLU after the last 1x1 convolution is missing; all three convolutions have one."""

    def end(self, x: Tensor) -> Tensor:
        return x


@mistake(BLOCK)
class SoftmaxAtTheEnd(Block):
    """The block ends with a softmax; it ends with a ReLU, like its other layers."""

    def end(self, x: Tensor) -> Tensor:
        return x.softmax(dim=1)


@mistake(BLOCK)
class TanhForRelu(Block):
    """The activation is tanh; NiN uses ReLU."""

    def activation(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


@mistake(BLOCK)
class SigmoidForRelu(Block):
    """The activation is the sigmoid; NiN uses ReLU."""

    def activation(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


@mistake(BLOCK)
class LeakyRelu(Block):
    """The activation is a leaky ReLU, which lets a little of the negative values through; NiN uses ReLU."""

    def activation(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x)


@mistake(BLOCK)
class SingleOneByOne(Block):
    """There is one 1x1 convolution; the block has two after its k x k convolution."""

    def widths(self, in_channels: int, out_channels: int) -> list[int]:
        return [in_channels, out_channels, out_channels]


@mistake(BLOCK)
class ThreeOneByOne(Block):
    """There are three 1x1 convolutions; the block has two after its k x k convolution."""

    def widths(self, in_channels: int, out_channels: int) -> list[int]:
        return [in_channels] + [out_channels] * 4


@mistake(BLOCK)
class ChannelsChangedAtTheEnd(Block):
    """The channels change only in the last layer; the first convolution already gives out_channels."""

    def widths(self, in_channels: int, out_channels: int) -> list[int]:
        return [in_channels, in_channels, in_channels, out_channels]


@mistake(BLOCK)
class LargeKernelsThroughout(Block):
    """All three convolutions are k x k; the second and the third are 1x1, which is the idea of the network."""

    def small(self, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
        return kernel_size, 1, kernel_size // 2


@mistake(BLOCK)
class PaddingEverywhere(Block):
    """The 1x1 convolutions are padded too, so that the image grows a border of biases; a 1x1 kernel needs no
    padding."""

    def small(self, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
        return 1, 1, padding


@mistake(BLOCK)
class StrideEverywhere(Block):
    """The 1x1 convolutions stride too, so the grid shrinks three times; only the first one does."""

    def small(self, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
        return 1, stride, 0


@mistake(BLOCK)
class StrideAndPaddingEverywhere(Block):
    """Stride and padding are given to all three convolutions; they belong to the first."""

    def small(self, kernel_size: int, stride: int, padding: int) -> tuple[int, int, int]:
        return 1, stride, padding


@mistake(BLOCK)
class StrideIgnored(Block):
    """The stride is not passed on to the first convolution."""

    def stride(self, stride: int) -> int:
        return 1


@mistake(BLOCK)
class PaddingIgnored(Block):
    """The padding is not passed on to the first convolution."""

    def padding(self, kernel_size: int, padding: int) -> int:
        return 0


@mistake(BLOCK)
class PaddingFromTheKernel(Block):
    """The padding is kernel_size // 2 whatever the argument says."""

    def padding(self, kernel_size: int, padding: int) -> int:
        return kernel_size // 2


@mistake(BLOCK)
class NoBias(Block):
    """The convolutions have no biases; no batch norm follows them here, so they keep theirs."""

    def bias(self) -> bool:
        return False


@mistake(BLOCK)
class BatchNormAdded(Block):
    """A batch norm follows each convolution; this network is from 2013 and has none."""

    def norm(self, width: int) -> nn.Module:
        return nn.BatchNorm2d(width)


@mistake(BLOCK)
class ReluOnTheInput(Block):
    """A ReLU is applied to the input of the block; each ReLU stands after a convolution."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu(x)


@mistake(BLOCK)
class InputOverwritten(Block):
    """An in-place ReLU overwrites the input of the block, which does not belong to it."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu_(x)


@mistake(BLOCK)
class PoolAtTheEnd(Block):
    """The block ends with a max pool; in NiN the pools stand between the blocks."""

    def end(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.activation(x), 3, stride=2, ceil_mode=True)


# --------------------------------------------------------------------------- the head


class Head(nn.Module):
    """Class maps and their averages, one decision a method."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.first = self.before(in_channels)
        self.maps = self.conv(in_channels, self.classes(num_classes))

    def before(self, in_channels: int) -> nn.Module:
        return nn.Identity()

    def classes(self, num_classes: int) -> int:
        return num_classes

    def conv(self, in_channels: int, num_classes: int) -> nn.Module:
        return nn.Conv2d(
            in_channels, num_classes, self.kernel(), padding=self.kernel() // 2, bias=self.bias()
        )

    def kernel(self) -> int:
        return 1

    def bias(self) -> bool:
        return True

    def on_maps(self, maps: Tensor) -> Tensor:
        return maps

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(2, 3))

    def finish(self, logits: Tensor) -> Tensor:
        return logits

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(self.pool(self.on_maps(self.maps(self.first(x)))))


HEAD = "nin/global_average_head"


@mistake(HEAD)
class ReluOnClassMaps(Head):
    """A ReLU is applied to the class maps: evidence against a class is cut off before the average."""

    def on_maps(self, maps: Tensor) -> Tensor:
        return F.relu(maps)


@mistake(HEAD)
class ReluOnLogits(Head):
    """A ReLU is applied to the logits; they may be negative."""

    def finish(self, logits: Tensor) -> Tensor:
        return F.relu(logits)


@mistake(HEAD)
class MaxPooled(Head):
    """The maximum of each map is taken; the logit is its average."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(2, 3))


@mistake(HEAD)
class SumPooled(Head):
    """The maps are added up, so the logits grow with the image; the logit is the average."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps.sum(dim=(2, 3))


@mistake(HEAD)
class SoftmaxInside(Head):
    """The head ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)


@mistake(HEAD)
class LogSoftmaxInside(Head):
    """The head ends with a log-softmax; it returns logits, since the cross-entropy loss does the rest."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=1)


@mistake(HEAD)
class SigmoidInside(Head):
    """The head ends with a sigmoid; it returns logits."""

    def finish(self, logits: Tensor) -> Tensor:
        return torch.sigmoid(logits)


@mistake(HEAD)
class SoftmaxOnMaps(Head):
    """A softmax is applied to the class maps at every pixel; the maps are averaged as they are."""

    def on_maps(self, maps: Tensor) -> Tensor:
        return maps.softmax(dim=1)


@mistake(HEAD)
class GridKept(Head):
    """The output still has a grid of one pixel, (N, num_classes, 1, 1); it must be (N, num_classes)."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits[:, :, None, None]


@mistake(HEAD)
class BatchSqueezed(Head):
    """squeeze() drops every axis of size 1, also the batch when it has a single image: flatten(1) keeps it."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.squeeze()


@mistake(HEAD)
class RowsAveraged(Head):
    """The average runs over the rows only, and the largest of these is taken; it runs over the whole grid."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=2).amax(dim=2)


@mistake(HEAD)
class FirstPixel(Head):
    """Only the first pixel of each map is used; the logit is the average over all of them."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps[:, :, 0, 0]


@mistake(HEAD)
class BatchAveraged(Head):
    """The average also runs over the batch, so that all images get the same logits."""

    def pool(self, maps: Tensor) -> Tensor:
        return maps.mean(dim=(0, 2, 3)).expand(maps.shape[0], -1)


@mistake(HEAD)
class ClassesIgnored(Head):
    """There are 10 class maps whatever num_classes says."""

    def classes(self, num_classes: int) -> int:
        return 10


@mistake(HEAD)
class WideKernel(Head):
    """The class maps come from a 3x3 convolution; the head's is 1x1."""

    def kernel(self) -> int:
        return 3


@mistake(HEAD)
class MapsWithoutBias(Head):
    """The 1x1 convolution has no bias; every class has one."""

    def bias(self) -> bool:
        return False


@mistake(HEAD)
class HiddenLayer(Head):
    """There is another 1x1 convolution with a ReLU before the class maps; the head has a single layer."""

    def before(self, in_channels: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(in_channels, in_channels, 1), nn.ReLU())


@mistake(HEAD)
class ReluBeforeTheMaps(Head):
    """A ReLU is applied to the input of the head; the block before it has had its own."""

    def before(self, in_channels: int) -> nn.Module:
        return nn.ReLU()


@mistake(HEAD)
class BatchNormOnMaps(Head):
    """A batch norm follows the 1x1 convolution; the class maps are averaged as they are."""

    def conv(self, in_channels: int, num_classes: int) -> nn.Module:
        return nn.Sequential(super().conv(in_channels, num_classes), nn.BatchNorm2d(num_classes))


# --------------------------------------------------------------------------- the module to repair


class PixelNet(nn.Module):
    """Linear, ReLU, linear at every pixel, one decision a method."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_channels, hidden, bias=self.first_bias())
        self.linear2 = nn.Linear(hidden, out_channels, bias=self.last_bias())

    def first_bias(self) -> bool:
        return True

    def last_bias(self) -> bool:
        return True

    def rows(self, x: Tensor) -> Tensor:
        return x.flatten(2).transpose(1, 2)  # (N, H W, C)

    def between(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def end(self, z: Tensor) -> Tensor:
        return z

    def image(self, rows: Tensor, x: Tensor) -> Tensor:
        return rows.transpose(1, 2).reshape(x.shape[0], -1, *x.shape[2:])

    def finish(self, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> Tensor:
        rows = self.end(self.linear2(self.between(self.linear1(self.rows(x)))))
        return self.finish(self.image(rows, x))


MLP = "nin/repaired_pixel_mlp"


@mistake(MLP)
class StillReshapedTwice(PixelNet):
    """Both reshapes are still there, on the way in and on the way out: they mix up pixels and channels. Axes are
    moved with permute or transpose."""

    def rows(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, x.shape[1])

    def image(self, rows: Tensor, x: Tensor) -> Tensor:
        return rows.reshape(x.shape[0], -1, *x.shape[2:])


@mistake(MLP)
class StillReshapedIn(PixelNet):
    """The way out is right, but the image is still reshaped on the way in, which mixes up pixels and channels: move
    the channel axis last with permute."""

    def rows(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], -1, x.shape[1])


@mistake(MLP)
class StillReshapedOut(PixelNet):
    """The way in is right, but the result is still reshaped on the way out while its channels are the last axis: move
    them back with permute."""

    def image(self, rows: Tensor, x: Tensor) -> Tensor:
        return rows.reshape(x.shape[0], -1, *x.shape[2:])


@mistake(MLP)
class RowsAndColumnsSwapped(PixelNet):
    """Rows and columns of the image are swapped in the end; permute(0, 3, 1, 2) undoes permute(0, 2, 3, 1)."""

    def finish(self, y: Tensor) -> Tensor:
        return y.transpose(2, 3)


@mistake(MLP)
class ChannelsLast(PixelNet):
    """The output is (N, H, W, out_channels); move the channels back to the second axis."""

    def finish(self, y: Tensor) -> Tensor:
        return y.permute(0, 2, 3, 1)


@mistake(MLP)
class GridLost(PixelNet):
    """The output is (N, out_channels, H W): the grid has to be restored."""

    def finish(self, y: Tensor) -> Tensor:
        return y.flatten(2)


@mistake(MLP)
class ReluGone(PixelNet):
    """There is no ReLU between the two linear layers any more: they are then a single linear map."""

    def between(self, z: Tensor) -> Tensor:
        return z


@mistake(MLP)
class ReluAtTheEnd(PixelNet):
    """There is a ReLU after the last layer, where there was none."""

    def end(self, z: Tensor) -> Tensor:
        return F.relu(z)


@mistake(MLP)
class FirstBiasGone(PixelNet):
    """The first layer has lost its bias."""

    def first_bias(self) -> bool:
        return False


@mistake(MLP)
class LastBiasGone(PixelNet):
    """The last layer has lost its bias."""

    def last_bias(self) -> bool:
        return False


@mistake(MLP)
class AveragedAtTheEnd(PixelNet):
    """The pixels are averaged in the end; every pixel has its own output."""

    def finish(self, y: Tensor) -> Tensor:
        return y.mean(dim=(2, 3), keepdim=True).expand_as(y)


@mistake(MLP)
class GradientLost(PixelNet):
    """No gradient reaches the input (detach, .data or no_grad)."""

    def rows(self, x: Tensor) -> Tensor:
        return super().rows(x.detach())
