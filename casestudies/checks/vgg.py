"""Checks of the assignment `vgg`: a block, the features of a configuration, the receptive field, and the price of a
stack of 3x3 convolutions.

The functions and networks here are cut into methods, one decision each; a mistake overrides one of them.
Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, Literal

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
from casestudies.networks import vgg

# --------------------------------------------------------------------------- blocks and features

Config = Sequence[int | Literal["M"]]
Plan = list[tuple[int, int] | Literal["M"]]


def vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    return vgg.vgg_block(num_convs, in_channels, out_channels)


def vgg_features(config: Config, in_channels: int = 3) -> nn.Sequential:
    return vgg.vgg_features(list(config), in_channels)


def repaired_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    return vgg.vgg_block(num_convs, in_channels, out_channels)


def block_cases() -> Space:
    # On odd sides the last row and column have no partner in the pool.
    return Space(
        {
            "num_convs": (1, any_of(2, 3, 4)),
            "in_channels, out_channels": (
                any_of((5, 5), (3, 3)),
                any_of((3, 5), (4, 7)),
                any_of((6, 2), (7, 3)),
            ),
        },
        shape=("in_channels", SIDES, SIDES),
    )


@part("vgg/vgg_block", points=5, title="A block of 3×3 convolutions", see="vgg.html#blocks")
def block() -> Reference:
    return Reference(vgg_block, block_cases(), kind="function")


def odd_side(config: Config, in_channels: int) -> int:
    return 2 ** config.count("M") + 1 + 2 * (config.count("M") < 3)


def even_side(config: Config, in_channels: int) -> int:
    return 2 ** config.count("M") + 2 + 2 * (config.count("M") < 3)


@part("vgg/vgg_features", points=5, title="From a configuration to a network", see="vgg.html#configurations")
def features() -> Reference:
    return Reference(
        vgg_features,
        Space(
            {
                "config": (
                    any_of([4, "M", 6, 5, "M"], [4, "M", 4, "M", 6, 6, "M", 8, 8, "M", 8, 8, "M"]),
                    any_of([3, 7, 7, "M", 5], [5, "M", 3, 6]),  # ends without a pool
                    any_of(["M", 6, "M", "M", 4], ["M", 5, "M", "M", 7]),  # starts with one; two in a row
                ),
                "in_channels": (3, any_of(1, 2, 5)),
            },
            shape=("in_channels", (odd_side, even_side), (odd_side, even_side)),
        ),
        kind="function",
    )


@part(
    "vgg/repaired_block",
    points=4,
    title="Find the bug",
    see="vgg.html#what-goes-wrong",
    given=("relu_after_first_only",),
)
def repaired() -> Reference:
    return Reference(repaired_block, block_cases(), kind="function")


def sizes(item: tuple[int, int] | Literal["M"]) -> tuple[int, int]:
    """The channels of a convolution of a plan, which begins and ends with one, but for its pool."""
    assert item != "M"
    return item


class Features(nn.Module):
    """Convolutions with ReLU, and pools, one decision a method. `plan` has (in, out) of each convolution, and "M"."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = self.planned(plan)
        self.convs = nn.ModuleList(self.conv(*item) for item in self.plan if item != "M")
        self.norms = nn.ModuleList(self.norm(item[1]) for item in self.plan if item != "M")

    def planned(self, plan: Plan) -> Plan:
        return plan

    def conv(self, in_channels: int, out_channels: int) -> nn.Module:
        kernel = self.kernel()
        return nn.Conv2d(
            in_channels, out_channels, kernel, self.stride(), self.padding(kernel), bias=self.bias()
        )

    def kernel(self) -> int:
        return 3

    def stride(self) -> int:
        return 1

    def padding(self, kernel: int) -> int:
        return kernel // 2

    def bias(self) -> bool:
        return True

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()

    def activate(self, x: Tensor, last: bool) -> Tensor:
        """`last`: whether this was the last convolution before a pool or the end."""
        return F.relu(x)

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)

    def enter(self, x: Tensor) -> Tensor:
        return x

    def finish(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x, index = self.enter(x), 0
        for item, following in pairwise([*self.plan, "M"]):
            if item == "M":
                x = self.pool(x)
            else:
                x = self.activate(self.norms[index](self.convs[index](x)), following == "M")
                index += 1
        return self.finish(x)


class Block(Features):
    """A row of Table 1."""

    def __init__(self, num_convs: int, in_channels: int, out_channels: int) -> None:
        widths = [in_channels] + [out_channels] * num_convs
        super().__init__([*pairwise(widths), "M"])


class Network(Features):
    """The convolutional part of a column of Table 1."""

    def __init__(self, config: Config, in_channels: int = 3) -> None:
        plan: Plan = []
        for item in config:
            if item == "M":
                plan.append("M")
            else:
                plan.append((in_channels, item))
                in_channels = item
        super().__init__(plan)


BASES = {"vgg_block": Block, "vgg_features": Network, "repaired_block": Block}


def wherever(*parts: str, see: str = "vgg.html#blocks") -> Callable[[type], type]:
    """Declares a mistake for several parts, by default for the block, the features and the block to repair."""

    def declare(wrong: type) -> type:
        for name in parts or BASES:
            made = type(wrong.__name__, (wrong, BASES[name]), {"__doc__": wrong.__doc__})
            mistake(f"vgg/{name}", see=see)(as_function(made))
        return wrong

    return declare


@wherever()
class PaddingForgotten(Features):
    """The convolutions have no padding, so each takes two pixels from the grid; with padding 1 a 3×3 keeps it, and
    only the pool shrinks it."""

    def padding(self, kernel: int) -> int:
        return 0


@wherever()
class FiveByFive(Features):
    """The kernels are 5×5; VGG has nothing but 3×3."""

    def kernel(self) -> int:
        return 5


@wherever()
class OneByOne(Features):
    """The kernels are 1×1, which see no neighbours; VGG's are 3×3."""

    def kernel(self) -> int:
        return 1


@wherever()
class StridedConvolutions(Features):
    """The convolutions have stride 2; VGG's have stride 1, and the pool alone shrinks the grid."""

    def stride(self) -> int:
        return 2


@wherever(see="vgg.html#what-goes-wrong")
class ReluOnceABlock(Features):
    """ReLU is applied once before each pool, not after each convolution: without a ReLU between them, two 3×3
    convolutions are no more than one 5×5."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return F.relu(x) if last else x


@wherever(see="vgg.html#what-goes-wrong")
class LastReluMissing(Features):
    """The last convolution before the pool has no ReLU; every convolution is followed by one."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return x if last else F.relu(x)


@wherever(see="vgg.html#what-goes-wrong")
class ReluForgotten(Features):
    """There are no ReLUs; every convolution is followed by one."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return x


@wherever()
class TanhForRelu(Features):
    """The activations are tanh; VGG's are ReLU."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return torch.tanh(x)


@wherever()
class LeakyRelu(Features):
    """The activations are leaky ReLUs, which let some of the negative values through; VGG's are ReLU."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return F.leaky_relu(x)


@wherever(see="vgg.html#blocks")
class AveragePooling(Features):
    """The pool takes the average of each 2×2 window; VGG's takes the maximum."""

    def pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2)


@wherever(see="vgg.html#blocks")
class OverlappingPooling(Features):
    """The pool has windows of 3×3 with stride 2, as in AlexNet; VGG's are 2×2 and do not overlap."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=2, padding=1)


@wherever(see="vgg.html#blocks")
class PoolingStrideOne(Features):
    """The pool's windows move by one pixel, so the grid is not halved; they move by 2."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, stride=1)


@wherever(see="vgg.html#blocks")
class PoolingRoundedUp(Features):
    """Where a side is odd, the pool keeps the last row or column (ceil_mode=True); here a window that does not fit is
    left out."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2, ceil_mode=True)


@wherever(see="vgg.html#blocks")
class PoolingMissing(Features):
    """There is no pool, so the grid is never halved."""

    def pool(self, x: Tensor) -> Tensor:
        return x


@wherever()
class BatchNormAdded(Features):
    """There is a batch norm after each convolution. It is younger than VGG; the networks asked for here have none."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)


@wherever()
class BiasMissing(Features):
    """The convolutions have no biases. No batch norm follows, so they keep them."""

    def bias(self) -> bool:
        return False


@wherever()
class ReluOnInput(Features):
    """ReLU is applied to the input before the first convolution; the order is convolution, then ReLU."""

    def enter(self, x: Tensor) -> Tensor:
        return F.relu(x)


@wherever()
class Flattened(Features):
    """The output is flattened; what is asked for returns a grid, (N, C, H, W)."""

    def finish(self, x: Tensor) -> Tensor:
        return x.flatten(1)


@wherever("vgg_block", "repaired_block")
class PoolFirst(Features):
    """The pool stands at the beginning of the block; it stands at the end, after the convolutions."""

    def planned(self, plan: Plan) -> Plan:
        return ["M", *plan[:-1]]


@wherever("vgg_block", "repaired_block")
class PoolAfterEveryConvolution(Features):
    """There is a pool after every convolution; a block has one, at its end."""

    def planned(self, plan: Plan) -> Plan:
        return [item for pair in plan[:-1] for item in (pair, "M")]


@wherever("vgg_block", "repaired_block")
class OneConvolutionTooMany(Features):
    """There is one convolution more than num_convs; the one that changes the channels counts, too."""

    def planned(self, plan: Plan) -> Plan:
        _, width = sizes(plan[-2])
        return [*plan[:-1], (width, width), "M"]


@wherever("vgg_block", "repaired_block")
class OneConvolutionOnly(Features):
    """There is a single convolution whatever num_convs says."""

    def planned(self, plan: Plan) -> Plan:
        return [plan[0], "M"]


@wherever("vgg_block", "repaired_block")
class ChannelsChangedLast(Features):
    """The channels change in the last convolution; the first takes them from in_channels to out_channels."""

    def planned(self, plan: Plan) -> Plan:
        (before, after), count = sizes(plan[0]), len(plan) - 1
        return [*[(before, before)] * (count - 1), (before, after), "M"]


@wherever("vgg_block", "vgg_features", "repaired_block", see="vgg.html#what-goes-wrong")
class ChannelsNotCarriedOn(Features):
    """Every convolution is built for the input's channels; after the first convolution there are others. Set
    in_channels = out_channels in the loop."""

    def planned(self, plan: Plan) -> Plan:
        first = next(item[0] for item in plan if item != "M")
        return [item if item == "M" else (first, item[1]) for item in plan]


@wherever("vgg_block", "repaired_block", see="vgg.html#what-goes-wrong")
class ReluAfterFirstOnly(Features):
    """Only the first convolution is followed by a ReLU. Modules that are added under one and the same name ("relu")
    replace each other: the block keeps a single one, in the place of the first."""

    def activate(self, x: Tensor, last: bool) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.convs[0](self.enter(x))))
        for conv, norm in zip(self.convs[1:], self.norms[1:], strict=True):
            x = norm(conv(x))
        return self.finish(self.pool(x))


@wherever("vgg_block", "repaired_block", see="vgg.html#what-goes-wrong")
class SharedConvolution(Block):
    """One and the same convolution is used again and again ([layer] * n), so all share one set of weights; every
    convolution has its own."""

    def __init__(self, num_convs: int, in_channels: int, out_channels: int) -> None:
        super().__init__(num_convs, in_channels, out_channels)
        for index in range(2, num_convs):
            self.convs[index] = self.convs[1]


@wherever("vgg_features", see="vgg.html#configurations")
class InputChannelsFixed(Features):
    """The first convolution is built for 3 channels whatever in_channels says."""

    def planned(self, plan: Plan) -> Plan:
        first = next(index for index, item in enumerate(plan) if item != "M")
        return [*plan[:first], (3, sizes(plan[first])[1]), *plan[first + 1 :]]


@wherever("vgg_features", see="vgg.html#configurations")
class LastPoolMissing(Features):
    """The last pool is missing; every "M" of the configuration is one."""

    def planned(self, plan: Plan) -> Plan:
        last = max(index for index, item in enumerate(plan) if item == "M")
        return [*plan[:last], *plan[last + 1 :]]


@wherever("vgg_features", see="vgg.html#configurations")
class PoolAfterEveryLayer(Features):
    """There is a pool after every convolution, whatever the configuration says; pools stand where it has an "M"."""

    def planned(self, plan: Plan) -> Plan:
        return [item for pair in plan if pair != "M" for item in (pair, "M")]


@wherever("vgg_features", see="vgg.html#configurations")
class PoolOneEarly(Features):
    """Each pool stands before the convolution that it should follow."""

    def planned(self, plan: Plan) -> Plan:
        moved = list(plan)
        for index in range(1, len(moved)):
            if moved[index] == "M" and moved[index - 1] != "M":
                moved[index - 1], moved[index] = moved[index], moved[index - 1]
        return moved


@wherever("vgg_features", see="vgg.html#configurations")
class AdaptivePoolAtTheEnd(Features):
    """An adaptive pool to 7×7 follows. torchvision has it before the classifier; the features end with the last item
    of the configuration."""

    def finish(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 7)


# --------------------------------------------------------------------------- the receptive field


def receptive_field(layers: Sequence[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= stride
    return field


def one_layer(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call([(dice.integer(2, 11), 1)])
    yield call([(dice.integer(2, 11), dice.integer(2, 4))])


def stacks(dice: Dice) -> Iterator[Call]:
    """Without strides."""
    yield call([(3, 1), (3, 1)])  # as much as one 5x5
    yield call([(3, 1)] * dice.integer(3, 6))
    for _ in range(2):
        yield call([(dice.integer(1, 7), 1) for _ in range(dice.integer(3, 5))])


def strided_layers(dice: Dice) -> Iterator[Call]:
    yield call([(3, 1), (2, 2), (3, 1)])
    for _ in range(3):
        layers = [(dice.integer(2, 7), dice.choice([1, 2, 3])) for _ in range(dice.integer(2, 4))]
        # A stride that matters, one in front of a kernel of another size.
        yield call([(dice.integer(2, 4), 2), (dice.integer(5, 7), 3), *layers])


def whole_networks(dice: Dice) -> Iterator[Call]:
    convolutions, pool = [(3, 1)], [(2, 2)]
    yield call(convolutions * 2 + pool + convolutions * 2 + pool + (convolutions * 3 + pool) * 3)  # VGG-16
    yield call([(11, 4), (3, 2), (5, 1), (3, 2), (3, 1), (3, 1), (3, 1), (3, 2)])  # AlexNet
    yield call([])  # a pixel sees itself
    yield call([(1, 1)])
    yield call([(1, 2), (dice.integer(2, 5), 1), (1, 3), (dice.integer(6, 9), 1)])


@part("vgg/receptive_field", points=3, title="The receptive field", see="vgg.html#receptive-field")
def field() -> Values:
    return Values(
        receptive_field,
        Group("a single layer", one_layer),
        Group("stacks without strides", stacks),
        Group("strides", strided_layers, weight=2),
        Group("whole networks, and no layer at all", whole_networks),
    )


class Field(Formula):
    """1 + sum of (kernel - 1) times the strides before, one decision a method."""

    def value(self, layers: Sequence[tuple[int, int]]) -> int:
        field, step = self.start(), 1
        for kernel, stride in self.order(list(layers)):
            used = self.jump(step, stride)
            field += self.growth(kernel) * used
            step = self.next(step, stride)
        return self.finish(field)

    def start(self) -> int:
        return 1

    def order(self, layers: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return layers

    def jump(self, step: int, stride: int) -> int:
        return step

    def growth(self, kernel: int) -> int:
        return kernel - 1

    def next(self, step: int, stride: int) -> int:
        return step * stride

    def finish(self, field: int) -> int:
        return field


def of_field(wrong: type) -> Callable[..., Any]:
    return mistake("vgg/receptive_field", see="vgg.html#receptive-field")(as_function(wrong))


@of_field
class StrideIgnored(Field):
    """The strides do not enter the result. After a stride of 2 neighbours are two pixels apart, so every later kernel
    reaches twice as far."""

    def next(self, step: int, stride: int) -> int:
        return 1


@of_field
class StrideOneLayerEarly(Field):
    """A layer's stride multiplies its own kernel's reach; it moves the outputs apart, which only later layers
    notice."""

    def jump(self, step: int, stride: int) -> int:
        return step * stride


@of_field
class OnlyTheLastStride(Field):
    """Only the stride just before a layer multiplies its reach; all strides before it do, multiplied together."""

    def next(self, step: int, stride: int) -> int:
        return stride


@of_field
class StridesAdded(Field):
    """The strides are added up; they multiply: two strides of 3 move neighbours 9 pixels apart."""

    def next(self, step: int, stride: int) -> int:
        return step + stride - 1


@of_field
class KernelNotReduced(Field):
    """Each layer adds its whole kernel; it adds kernel - 1, since one pixel of it is there already."""

    def growth(self, kernel: int) -> int:
        return kernel


@of_field
class HalfTheKernel(Field):
    """Each layer adds half its kernel, what it sees on one side; the field grows on both."""

    def growth(self, kernel: int) -> int:
        return kernel // 2


@of_field
class StartAtZero(Field):
    """The field starts at 0; without any layer a pixel sees itself, so it starts at 1."""

    def start(self) -> int:
        return 0


@of_field
class FromTheEnd(Field):
    """The layers are gone through from the last to the first with the formula for the other direction; a stride
    multiplies the reach of the layers after it."""

    def order(self, layers: list[tuple[int, int]]) -> list[tuple[int, int]]:
        return layers[::-1]


@of_field
class AreaReturned(Field):
    """The area of the field is returned; asked is its side."""

    def finish(self, field: int) -> int:
        return field**2


@of_field
class LargestKernel(Field):
    """The largest kernel is returned; the layers see further together than each by itself."""

    def value(self, layers: Sequence[tuple[int, int]]) -> int:
        return max((kernel for kernel, _ in layers), default=1)


@of_field
class KernelsMultiplied(Field):
    """The kernels are multiplied; a layer adds kernel - 1 to the side of the field."""

    def value(self, layers: Sequence[tuple[int, int]]) -> int:
        field = 1
        for kernel, _ in layers:
            field *= kernel
        return field


# --------------------------------------------------------------------------- a stack against one convolution


def stack_versus_single(channels: int, num_convs: int) -> tuple[int, int]:
    return num_convs * 9 * channels**2, (2 * num_convs + 1) ** 2 * channels**2


def two_or_three(dice: Dice) -> Iterator[Call]:
    for num_convs in (2, 3):
        yield call(dice.integer(3, 40), num_convs)
    yield call(dice.choice([64, 128, 256, 512]), dice.integer(2, 3))


def other_heights(dice: Dice) -> Iterator[Call]:
    yield call(dice.integer(3, 40), 1)  # the same twice
    yield call(dice.integer(3, 40), 4)
    yield call(channels=dice.integer(3, 40), num_convs=dice.integer(5, 9))


@part("vgg/stack_versus_single", points=3, title="A stack against one convolution", see="vgg.html#stacks")
def stack() -> Values:
    return Values(
        stack_versus_single,
        Group("two and three convolutions", two_or_three, weight=2),
        Group("one convolution, and many", other_heights),
    )


class Stack(Formula):
    """(n 9 C^2, (2n + 1)^2 C^2), one decision a method."""

    def value(self, channels: int, num_convs: int) -> Any:
        pairs = self.pairs(channels)
        stack = self.layers(num_convs) * (9 * pairs + self.biases(channels))
        single = self.side(num_convs) ** self.power() * pairs + self.biases(channels)
        return self.finish(stack, single)

    def pairs(self, channels: int) -> int:
        return channels**2

    def layers(self, num_convs: int) -> int:
        return num_convs

    def side(self, num_convs: int) -> int:
        return 2 * num_convs + 1

    def power(self) -> int:
        return 2

    def biases(self, channels: int) -> int:
        return 0

    def finish(self, stack: int, single: int) -> Any:
        return stack, single


def of_stack(wrong: type) -> Callable[..., Any]:
    return mistake("vgg/stack_versus_single", see="vgg.html#stacks")(as_function(wrong))


@of_stack
class ChannelsNotSquared(Stack):
    """The channels are counted once; every output channel sees every input channel, so it is C × C."""

    def pairs(self, channels: int) -> int:
        return channels


@of_stack
class ChannelsForgotten(Stack):
    """The channels are left out: these are the weights between one input and one output channel."""

    def pairs(self, channels: int) -> int:
        return 1


@of_stack
class SingleThreeTimesN(Stack):
    """The single convolution's side is 3n. Each 3×3 after the first adds 2 to the receptive field, not 3: two see
    5 pixels."""

    def side(self, num_convs: int) -> int:
        return 3 * num_convs


@of_stack
class SingleOneTooSmall(Stack):
    """The single convolution is one size too small: n 3×3 convolutions see 2n + 1 pixels."""

    def side(self, num_convs: int) -> int:
        return 2 * num_convs - 1


@of_stack
class SingleOfNPlusTwo(Stack):
    """The single convolution's side is n + 2. Each 3×3 after the first adds 2 pixels, one on each side: 2n + 1."""

    def side(self, num_convs: int) -> int:
        return num_convs + 2


@of_stack
class AlwaysFive(Stack):
    """The single convolution is a 5×5 whatever num_convs says; three 3×3 see as much as a 7×7."""

    def side(self, num_convs: int) -> int:
        return 5


@of_stack
class KernelOfTheSingleNotSquared(Stack):
    """The single convolution's side is counted once; its kernel has side × side places."""

    def power(self) -> int:
        return 1


@of_stack
class OneOfTheStack(Stack):
    """The weights of one 3×3 are returned; the stack has num_convs of them."""

    def layers(self, num_convs: int) -> int:
        return 1


@of_stack
class StackSquared(Stack):
    """The number of convolutions is squared; the weights of a stack add up, layer by layer."""

    def layers(self, num_convs: int) -> int:
        return num_convs**2


@of_stack
class BiasesCounted(Stack):
    """The biases are counted; asked are the weights without them."""

    def biases(self, channels: int) -> int:
        return channels


@of_stack
class Swapped(Stack):
    """The two numbers are in the wrong order: first the stack, then the single convolution."""

    def finish(self, stack: int, single: int) -> Any:
        return single, stack


@of_stack
class RatioReturned(Stack):
    """The ratio of the two is returned; asked are both numbers, as a tuple."""

    def finish(self, stack: int, single: int) -> Any:
        return stack / single


@of_stack
class DifferenceReturned(Stack):
    """The difference of the two is returned; asked are both numbers, as a tuple."""

    def finish(self, stack: int, single: int) -> Any:
        return single - stack
