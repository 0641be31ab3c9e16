"""Checks of the assignment `lenet`: the size and the parameters of a convolution, LeNet-5, its subsampling.

The functions and networks here are cut into methods, one decision each; a mistake overrides one of them.
Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import (
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
from casestudies.networks import lenet

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
    for _ in range(3):
        kernel = dice.integer(3, 9)
        yield call(kernel + dice.integer(3, 40), kernel, padding=dice.integer(1, 2))


def strided(dice: Dice) -> Iterator[Call]:
    """Steps that fill the image exactly."""
    yield call(28, 2, 2)  # S2 of LeNet-5
    for _ in range(3):
        kernel, stride = dice.integer(2, 7), dice.integer(2, 5)
        yield call(kernel + stride * dice.integer(2, 9), kernel, stride)


def left_over(dice: Dice) -> Iterator[Call]:
    """A last step that does not fit: one pixel too few for it, one pixel too many, or anything between."""
    yield call(224, 11, 4, 2)  # the first layer of torchvision's AlexNet
    for remainder in ("one", "all but one", "any"):
        kernel, stride = dice.integer(3, 7), dice.integer(3, 5)
        rest = {"one": 1, "all but one": stride - 1, "any": dice.integer(1, stride - 1)}[remainder]
        padding = dice.integer(1, 2)
        room = stride * dice.integer(3, 9) + rest
        yield call(room + kernel - 2 * padding, kernel, stride, padding)


def extremes(dice: Dice) -> Iterator[Call]:
    kernel = dice.integer(4, 9)
    yield call(kernel, kernel)  # the kernel covers the image: a single output
    yield call(kernel, kernel, stride=dice.integer(2, 4))
    yield call(dice.integer(10, 40), 1)
    yield call(dice.integer(30, 40), 1, 3)
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


class OutputSize(Formula):
    """floor((size + 2 padding - kernel) / stride) + 1, one decision a method."""

    def value(self, size: int, kernel: int, stride: int | None = None, padding: int = 0) -> float:
        stride = self.default_stride(kernel) if stride is None else stride
        room = size + self.margins(padding, kernel) - self.span(kernel)
        return self.count(self.steps(room, self.stride(stride)))

    def default_stride(self, kernel: int) -> int:
        return 1

    def margins(self, padding: int, kernel: int) -> int:
        return 2 * padding

    def span(self, kernel: int) -> int:
        return kernel

    def stride(self, stride: int) -> int:
        return stride

    def steps(self, room: int, stride: int) -> float:
        return room // stride

    def count(self, steps: float) -> float:
        return steps + 1


def of_output_size(wrong: type) -> Callable[..., object]:
    return mistake("lenet/conv_output_size", see="lenet.html#output-size")(as_function(wrong))


@of_output_size
class FloorForgotten(OutputSize):
    """The division is not rounded down. A kernel that does not fit once more is not applied once more: use //,
    which also gives an int."""

    def steps(self, room: int, stride: int) -> float:
        return room / stride


@of_output_size
class FloatReturned(OutputSize):
    """The number is right, but it is a float. A number of pixels is an int: divide with //."""

    def count(self, steps: float) -> float:
        return float(steps + 1)


@of_output_size
class RoundedUp(OutputSize):
    """The division is rounded up, as if a kernel could hang over the edge; convolutions round down."""

    def steps(self, room: int, stride: int) -> float:
        return math.ceil(room / stride)


@of_output_size
class RoundedToNearest(OutputSize):
    """The division is rounded to the nearest whole number; a step that does not fit entirely does not count."""

    def steps(self, room: int, stride: int) -> float:
        return round(room / stride)


@of_output_size
class PlusOneForgotten(OutputSize):
    """The + 1 is missing. The fraction counts the steps that the kernel takes; it is also applied before the first
    step."""

    def count(self, steps: float) -> float:
        return steps


@of_output_size
class PlusOneInside(OutputSize):
    """The 1 is added before the division. It is the position before the first step, so it does not shrink with the
    stride."""

    # Overrides the division as well, so that no pair rounds it up: that would be right again.
    def steps(self, room: int, stride: int) -> float:
        return (room + 1) // stride

    def count(self, steps: float) -> float:
        return steps


@of_output_size
class PaddingOnOneSide(OutputSize):
    """The padding is counted once. It is added on both sides, so the image grows by 2 padding."""

    def margins(self, padding: int, kernel: int) -> int:
        return padding


@of_output_size
class PaddingIgnored(OutputSize):
    """The padding does not enter the result."""

    def margins(self, padding: int, kernel: int) -> int:
        return 0


@of_output_size
class PaddingSubtracted(OutputSize):
    """The padding is subtracted; it makes the image larger."""

    def margins(self, padding: int, kernel: int) -> int:
        return -2 * padding


@of_output_size
class PaddingOfHalfAKernel(OutputSize):
    """The padding is taken to be half the kernel, whatever the argument says; its default is 0."""

    def margins(self, padding: int, kernel: int) -> int:
        return 2 * (kernel // 2)


@of_output_size
class StrideIgnored(OutputSize):
    """The stride does not enter the result."""

    def stride(self, stride: int) -> int:
        return 1


@of_output_size
class StrideOfAPool(OutputSize):
    """Without a stride the kernel's size is taken, as pooling layers do; a convolution's default is 1."""

    def default_stride(self, kernel: int) -> int:
        return kernel


@of_output_size
class KernelIgnored(OutputSize):
    """The kernel does not enter the result: this is the size only with padding that makes up for the kernel."""

    def margins(self, padding: int, kernel: int) -> int:
        return 0

    def span(self, kernel: int) -> int:
        return 0

    def count(self, steps: float) -> float:
        return steps


@of_output_size
class KernelHalved(OutputSize):
    """Half of the kernel is subtracted. The whole kernel has to fit: its first position takes all its pixels."""

    def span(self, kernel: int) -> int:
        return kernel // 2


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


class Parameters(Formula):
    """out (in k^2) weights and out biases, one decision a method."""

    def value(self, in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> float:
        weights = self.area(kernel) * self.pairs(in_channels, out_channels)
        return weights + (self.biases(in_channels, out_channels, kernel) if self.counts(bias) else 0)

    def area(self, kernel: int) -> int:
        return kernel**2

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels

    def counts(self, bias: bool) -> bool:
        return bias

    def biases(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return out_channels


def of_parameters(wrong: type) -> Callable[..., object]:
    return mistake("lenet/conv_parameters", see="lenet.html#parameters")(as_function(wrong))


@of_parameters
class BiasForgotten(Parameters):
    """The biases are not counted: with bias=True every output channel has one."""

    def counts(self, bias: bool) -> bool:
        return False


@of_parameters
class BiasAlways(Parameters):
    """The biases are counted even with bias=False."""

    def counts(self, bias: bool) -> bool:
        return True


@of_parameters
class OneBiasInAll(Parameters):
    """One bias is counted for the whole layer; every output channel has its own."""

    def biases(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return 1


@of_parameters
class BiasPerInputChannel(Parameters):
    """One bias is counted for each input channel; it is added to the result, so each output channel has one."""

    def biases(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return in_channels


@of_parameters
class BiasPerFilterSlice(Parameters):
    """One bias is counted for each pair of an input and an output channel. A filter sums over its input channels
    first and adds a single bias to the sum."""

    def biases(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return in_channels * out_channels


@of_parameters
class BiasPerWeight(Parameters):
    """A bias is counted for every place of the kernel; a filter has one."""

    def biases(self, in_channels: int, out_channels: int, kernel: int) -> int:
        return out_channels * kernel**2


@of_parameters
class DepthForgotten(Parameters):
    """The input channels are left out. A filter is a block of kernel × kernel × in_channels weights: it reaches
    through all of the input's depth."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return out_channels


@of_parameters
class OneFilter(Parameters):
    """The weights of a single filter are counted; there is one filter for each output channel."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels


@of_parameters
class ChannelsAdded(Parameters):
    """Input and output channels are added up. Each output channel is connected to each input channel, so their
    numbers multiply."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels + out_channels


@of_parameters
class KernelNotSquared(Parameters):
    """The kernel's side is counted once; a kernel has kernel × kernel places."""

    def area(self, kernel: int) -> int:
        return kernel


@of_parameters
class KernelDoubled(Parameters):
    """The kernel counts 2 × kernel; a square of side k has k × k places (k**2)."""

    def area(self, kernel: int) -> int:
        return 2 * kernel


# --------------------------------------------------------------------------- LeNet-5


class LeNet5(nn.Module):
    """The modern LeNet-5, (B, 1, 32, 32) -> logits (B, num_classes), one decision a method."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        c1, c3, c5, f6 = self.widths()
        self.c1 = nn.Conv2d(self.in_channels(), c1, 5, padding=self.padding(), bias=self.bias())
        self.c3 = self.make_c3(c1, c3)
        self.c5 = self.make_c5(c3, c5)
        self.f6, self.output = self.make_head(c5, f6, self.classes(num_classes))
        self.n1, self.n3 = self.norm(c1), self.norm(c3)
        self.s2, self.s4 = self.subsample(c1), self.subsample(c3)

    def widths(self) -> tuple[int, int, int, int]:
        return 6, 16, 120, 84

    def in_channels(self) -> int:
        return 1

    def padding(self) -> int:
        return 0

    def bias(self) -> bool:
        return True

    def make_c3(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 5, bias=self.bias())

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Conv2d(in_channels, out_channels, 5, bias=self.bias())

    def make_head(self, c5: int, f6: int, classes: int) -> tuple[nn.Module, nn.Module]:
        return nn.Linear(c5, f6), nn.Linear(f6, classes, bias=self.output_bias())

    def output_bias(self) -> bool:
        return True

    def classes(self, num_classes: int) -> int:
        return num_classes

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()

    def subsample(self, channels: int) -> nn.Module:
        return nn.AvgPool2d(2)

    def activate(self, x: Tensor) -> Tensor:
        return torch.tanh(x)

    def after_conv(self, x: Tensor, pool: nn.Module) -> Tensor:
        return pool(self.activate(x))

    def after_c5(self, x: Tensor) -> Tensor:
        return self.activate(x)

    def after_f6(self, x: Tensor) -> Tensor:
        return self.activate(x)

    def finish(self, logits: Tensor) -> Tensor:
        return logits

    def forward(self, x: Tensor) -> Tensor:
        x = self.after_conv(self.n1(self.c1(x)), self.s2)  # (B, 6, 14, 14)
        x = self.after_conv(self.n3(self.c3(x)), self.s4)  # (B, 16, 5, 5)
        x = self.after_c5(self.c5(x)).flatten(1)  # (B, 120)
        return self.finish(self.output(self.after_f6(self.f6(x))))


class LinearC5(LeNet5):
    """C5 as a linear layer on the flattened grid, the same computation on images of 32x32."""

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        side = ((32 + 2 * self.padding() - 4) // 2 - 4) // 2
        return nn.Sequential(nn.Flatten(), nn.Linear(in_channels * side**2, out_channels, bias=self.bias()))


@part("lenet/lenet5", points=9, title="LeNet-5", see="lenet.html#lenet-5")
def lenet5() -> Reference:
    return Reference(
        LeNet5,
        Space({"num_classes": (10, any_of(7, 13))}, shape=(1, 32, 32), scale=1.5),
        forms=(LinearC5,),
    )


def of_lenet5(see: str = "lenet.html#lenet-5") -> Callable[[type], type]:
    return mistake("lenet/lenet5", see=see)


@of_lenet5("lenet.html#what-goes-wrong")
class ReluForTanh(LeNet5):
    """The activations are ReLU; LeNet-5 has tanh (ReLU arrives with AlexNet)."""

    def activate(self, x: Tensor) -> Tensor:
        return F.relu(x)


@of_lenet5("lenet.html#what-goes-wrong")
class SigmoidForTanh(LeNet5):
    """The activations are logistic sigmoids, between 0 and 1; this network has tanh, between -1 and 1."""

    def activate(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


@of_lenet5("lenet.html#original-and-modern")
class ScaledTanh(LeNet5):
    """The activations are 1.7159 tanh(2x / 3), as in 1998; the modern network asked for here has the plain tanh."""

    def activate(self, x: Tensor) -> Tensor:
        return 1.7159 * torch.tanh(2 * x / 3)


@of_lenet5("lenet.html#what-goes-wrong")
class ActivationForgotten(LeNet5):
    """There is no activation at all: without it the whole network is one linear map in many pieces."""

    def activate(self, x: Tensor) -> Tensor:
        return x


@of_lenet5("lenet.html#lenet-5")
class TanhMissingAfterConvolutions(LeNet5):
    """There is no tanh after the convolutions C1 and C3: each is followed by tanh, then by the pooling."""

    def after_conv(self, x: Tensor, pool: nn.Module) -> Tensor:
        return pool(x)


@of_lenet5("lenet.html#lenet-5")
class TanhMissingAfterC5(LeNet5):
    """There is no tanh after the third convolution (120 channels): without it this layer and the next are one
    linear map."""

    def after_c5(self, x: Tensor) -> Tensor:
        return x


@of_lenet5("lenet.html#lenet-5")
class TanhMissingAfterF6(LeNet5):
    """There is no tanh between the two linear layers: without it they are one linear map."""

    def after_f6(self, x: Tensor) -> Tensor:
        return x


@of_lenet5("lenet.html#subsampling")
class TanhAfterPooling(LeNet5):
    """tanh is applied after the pooling; here it comes before. The two differ, since the average of tanh is not
    the tanh of the average."""

    def after_conv(self, x: Tensor, pool: nn.Module) -> Tensor:
        return self.activate(pool(x))


@of_lenet5("lenet.html#subsampling")
class TanhBeforeAndAfterPooling(LeNet5):
    """tanh is applied before the pooling and once more after it; once, before it, is enough."""

    def after_conv(self, x: Tensor, pool: nn.Module) -> Tensor:
        return self.activate(pool(self.activate(x)))


@of_lenet5("lenet.html#subsampling")
class MaxPooling(LeNet5):
    """The pooling takes the maximum of each 2×2 window; LeNet-5 takes the average (AvgPool2d)."""

    def subsample(self, channels: int) -> nn.Module:
        return nn.MaxPool2d(2)


@of_lenet5("lenet.html#subsampling")
class SumPooling(LeNet5):
    """The pooling adds up each 2×2 window without dividing by 4; that is the sum of 1998, which a trained
    coefficient follows. Here it is the average."""

    def subsample(self, channels: int) -> nn.Module:
        return nn.AvgPool2d(2, divisor_override=1)


@of_lenet5("lenet.html#original-and-modern")
class TrainedSubsampling(LeNet5):
    """The subsampling has a trained coefficient and bias for each map, as in 1998; the modern network has the plain
    average, without parameters."""

    def subsample(self, channels: int) -> nn.Module:
        return lenet.Subsampling(channels)


@of_lenet5("lenet.html#subsampling")
class PoolingStrideOne(LeNet5):
    """The pooling windows move by one pixel, so the grid hardly shrinks; 2×2 windows with stride 2 halve it."""

    def subsample(self, channels: int) -> nn.Module:
        return nn.AvgPool2d(2, stride=1)


@of_lenet5("lenet.html#subsampling")
class PoolingForgotten(LeNet5):
    """There is no pooling, so the grid stays large; after each of the first two convolutions it is halved."""

    def subsample(self, channels: int) -> nn.Module:
        return nn.Identity()


@of_lenet5("lenet.html#output-size")
class PaddingOnFirst(LeNet5):
    """The first convolution is padded. Padding 2 is for images of 28×28; these are 32×32, and C1 turns them into
    28×28."""

    def padding(self) -> int:
        return 2


@of_lenet5("lenet.html#original-and-modern")
class PartialC3(LeNet5):
    """The second convolution connects only some of the maps, as in Table I of 1998; in the modern network each of
    the 16 maps sees all 6."""

    def make_c3(self, in_channels: int, out_channels: int) -> nn.Module:
        return lenet.PartialConv(lenet.C3_INPUTS, 5)


@of_lenet5("lenet.html#lenet-5")
class C5Averaged(LeNet5):
    """The 5×5 grid is averaged before the layer with 120 channels, which then is a 1×1 convolution; C5 has a weight
    for every place of the grid."""

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, out_channels, 1, bias=self.bias())
        )


@of_lenet5("lenet.html#lenet-5")
class C5Missing(LeNet5):
    """The third convolution, 120@5×5, is missing: the 400 numbers of the 5×5 grid go straight to the 84."""

    def make_c5(self, in_channels: int, out_channels: int) -> nn.Module:
        return nn.Identity()

    def make_head(self, c5: int, f6: int, classes: int) -> tuple[nn.Module, nn.Module]:
        return nn.Linear(400, f6), nn.Linear(f6, classes)

    def after_c5(self, x: Tensor) -> Tensor:
        return x


@of_lenet5("lenet.html#lenet-5")
class F6Missing(LeNet5):
    """The linear layer with 84 outputs is missing: the 120 numbers go straight to the classes."""

    def make_head(self, c5: int, f6: int, classes: int) -> tuple[nn.Module, nn.Module]:
        return nn.Identity(), nn.Linear(c5, classes)

    def after_f6(self, x: Tensor) -> Tensor:
        return x


@of_lenet5("lenet.html#lenet-5")
class WidthsSwapped(LeNet5):
    """The 120 and the 84 have changed places: C5 has 120 channels, the linear layer after it 84."""

    def widths(self) -> tuple[int, int, int, int]:
        return 6, 16, 84, 120


@of_lenet5("lenet.html#lenet-5")
class ThreeInputChannels(LeNet5):
    """The first convolution expects 3 input channels; the images are grey, so there is one."""

    def in_channels(self) -> int:
        return 3


@of_lenet5("lenet.html#lenet-5")
class ClassesIgnored(LeNet5):
    """The last layer has 10 outputs whatever num_classes says."""

    def classes(self, num_classes: int) -> int:
        return 10


@of_lenet5("lenet.html#parameters")
class ConvolutionsWithoutBias(LeNet5):
    """The convolutions have no biases; here nothing else could shift their outputs, so they keep them."""

    def bias(self) -> bool:
        return False


@of_lenet5("lenet.html#parameters")
class OutputWithoutBias(LeNet5):
    """The last linear layer has no bias; it has one for each class."""

    def output_bias(self) -> bool:
        return False


@of_lenet5("lenet.html#lenet-5")
class BatchNormAdded(LeNet5):
    """The convolutions are followed by batch norm, which was invented in 2015; LeNet-5 has none."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)


@of_lenet5("lenet.html#what-goes-wrong")
class SoftmaxInside(LeNet5):
    """The network ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1)


@of_lenet5("lenet.html#what-goes-wrong")
class LogSoftmaxInside(LeNet5):
    """The network ends with a log-softmax; it returns logits, since the cross-entropy loss applies it."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.log_softmax(dim=1)


@of_lenet5("lenet.html#what-goes-wrong")
class SigmoidOnLogits(LeNet5):
    """The network ends with a sigmoid; it returns the logits as they are."""

    def finish(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


@of_lenet5("lenet.html#what-goes-wrong")
class ActivationOnLogits(LeNet5):
    """There is an activation after the last layer, too; logits may be any number, so nothing follows it."""

    def finish(self, logits: Tensor) -> Tensor:
        return self.activate(logits)


# --------------------------------------------------------------------------- find the bug: subsampling


class RepairedSubsampling(nn.Module):
    """coefficient * (sum of each 2x2 window) + bias, per map, as in 1998; one decision a method."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(self.coefficients(channels)))
        self.bias = nn.Parameter(torch.zeros(self.biases(channels))) if self.has_bias() else None

    def coefficients(self, channels: int) -> int:
        return channels

    def biases(self, channels: int) -> int:
        return channels

    def has_bias(self) -> bool:
        return True

    def total(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2, divisor_override=1)

    def per_map(self, values: Tensor) -> Tensor:
        return values[:, None, None]  # (C, 1, 1): along the channels, not along the last axis

    def combine(self, total: Tensor, coefficient: Tensor, bias: Tensor) -> Tensor:
        return coefficient * total + bias

    def finish(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        bias = torch.zeros((), dtype=x.dtype) if self.bias is None else self.per_map(self.bias)
        return self.finish(self.combine(self.total(x), self.per_map(self.coefficient), bias))


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


def of_subsampling(wrong: type) -> type:
    return mistake("lenet/repaired_subsampling", see="lenet.html#original-and-modern")(wrong)


@of_subsampling
class AlongTheWidth(RepairedSubsampling):
    """The coefficients and biases, one a map, are spread along the width: a tensor of shape (C,) meets the last axis
    of (N, C, H, W). Give them the shape (C, 1, 1). It ran at first only because there were as many columns as
    maps."""

    def per_map(self, values: Tensor) -> Tensor:
        return values


@of_subsampling
class AlongTheHeight(RepairedSubsampling):
    """The coefficients and biases, one a map, are spread along the height: the shape (C, 1) meets the last two axes
    of (N, C, H, W). It has to be (C, 1, 1)."""

    def per_map(self, values: Tensor) -> Tensor:
        return values[:, None]


@of_subsampling
class Averaged(RepairedSubsampling):
    """The average of each window is taken; the subsampling of 1998 adds the four numbers up and leaves the scale to
    the coefficient."""

    def total(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


@of_subsampling
class Maximum(RepairedSubsampling):
    """The maximum of each window is taken; the subsampling of 1998 adds the four numbers up."""

    def total(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)


@of_subsampling
class TopLeft(RepairedSubsampling):
    """One pixel of each window is taken; the subsampling of 1998 adds all four up."""

    def total(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2]


@of_subsampling
class Overlapping(RepairedSubsampling):
    """The windows move by one pixel and overlap; they move by two, so that the grid is halved."""

    def total(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2, stride=1, divisor_override=1)


@of_subsampling
class OneCoefficient(RepairedSubsampling):
    """One coefficient and one bias serve all maps; every map has its own: 12 parameters for 6 maps."""

    def coefficients(self, channels: int) -> int:
        return 1

    def biases(self, channels: int) -> int:
        return 1


@of_subsampling
class BiasMissing(RepairedSubsampling):
    """The bias is missing; every map has a coefficient and a bias."""

    def has_bias(self) -> bool:
        return False


@of_subsampling
class BiasScaled(RepairedSubsampling):
    """The bias is added before the multiplication; the coefficient scales the sum only."""

    def combine(self, total: Tensor, coefficient: Tensor, bias: Tensor) -> Tensor:
        return coefficient * (total + bias)


@of_subsampling
class SquashedInside(RepairedSubsampling):
    """tanh is applied inside the layer; this block stops at the sum, scaled and shifted."""

    def finish(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


@of_subsampling
class SigmoidInside(RepairedSubsampling):
    """A sigmoid is applied inside the layer; this block stops at the sum, scaled and shifted."""

    def finish(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


@of_subsampling
class WeightPerPixel(RepairedSubsampling):
    """Each of the four pixels of a window has a weight of its own, as in a depthwise convolution; the subsampling
    of 1998 has one coefficient for all four."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.coefficient = nn.Parameter(torch.ones(channels, 1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(F.conv2d(x, self.coefficient, self.bias, stride=2, groups=len(self.coefficient)))
