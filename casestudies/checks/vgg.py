"""Checks of the assignment `vgg`: a block, the features of a configuration, the receptive field, and the price of a
stack of 3x3 convolutions.

The mistakes are edits of the functions below, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from torch import nn

from casestudies.checking.parts import SIDES, Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table

# --------------------------------------------------------------------------- blocks and features

Config = Sequence[int | Literal["M"]]


def vgg_features(config: Config, in_channels: int = 3) -> nn.Sequential:
    layers: list[nn.Module] = []
    for item in list(config):
        if item == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU()]
            in_channels = item
    return nn.Sequential(*layers)


def vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    return vgg_features([out_channels] * num_convs + ["M"], in_channels)


def repaired_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    return vgg_block(num_convs, in_channels, out_channels)


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


EVERYWHERE = """
nn.Conv2d(in_channels, item, 3, padding=1)  # blocks
    padding_forgotten: nn.Conv2d(in_channels, item, 3)
        The convolutions have no padding, so each takes two pixels from the grid; with padding 1 a 3×3 keeps it, and
        only the pool shrinks it.
    five_by_five: nn.Conv2d(in_channels, item, 5, padding=2)
        The kernels are 5×5; VGG's are 3×3.
    one_by_one: nn.Conv2d(in_channels, item, 1)
        The kernels are 1×1, which see no neighbours; VGG's are 3×3.
    strided_convolutions: nn.Conv2d(in_channels, item, 3, stride=2, padding=1)
        The convolutions have stride 2; VGG's have stride 1, and the pool alone shrinks the grid.
    bias_missing: nn.Conv2d(in_channels, item, 3, padding=1, bias=False)
        The convolutions have no biases. No batch norm follows, so they keep them.
    batch_norm_added: nn.Conv2d(in_channels, item, 3, padding=1), nn.BatchNorm2d(item)
        There is a batch norm after each convolution. It is younger than VGG; the networks asked for here have none.
return nn.Sequential(*layers)  # what-goes-wrong
    relu_once_ablock: after = [*layers[1:], None]; \
        return nn.Sequential(*(a for a, b in zip(layers, after) if (type(a), type(b)) != (nn.ReLU, nn.Conv2d)))
        ReLU is applied once before each pool, not after each convolution: without a ReLU between them, two 3×3
        convolutions are no more than one 5×5.
    last_relu_missing: after = [*layers[1:], None]; \
        return nn.Sequential(*(a for a, b in zip(layers, after) if type(a) != nn.ReLU or type(b) == nn.Conv2d))
        The last convolution before the pool has no ReLU; every convolution is followed by one.
nn.ReLU()  # what-goes-wrong
    relu_forgotten:
        There are no ReLUs; every convolution is followed by one.
nn.ReLU()  # blocks
    tanh_for_relu: nn.Tanh()
        The activations are tanh; VGG's are ReLU.
    leaky_relu: nn.LeakyReLU()
        The activations are leaky ReLUs, which let some of the negative values through; VGG's are ReLU.
nn.MaxPool2d(2)  # blocks
    average_pooling: nn.AvgPool2d(2)
        The pool takes the average of each 2×2 window; VGG's takes the maximum.
    overlapping_pooling: nn.MaxPool2d(3, stride=2, padding=1)
        The pool has windows of 3×3 with stride 2, as in AlexNet; VGG's are 2×2 and do not overlap.
    pooling_stride_one: nn.MaxPool2d(2, stride=1)
        The pool's windows move by one pixel, so the grid is not halved; they move by 2.
    pooling_rounded_up: nn.MaxPool2d(2, ceil_mode=True)
        Where a side is odd, the pool keeps the last row or column (ceil_mode=True); here a window that does not fit
        is left out.
    pooling_missing: nn.Identity()
        There is no pool, so the grid is never halved.
layers: list[nn.Module] = []  # blocks
    relu_on_input: layers = [nn.ReLU()]
        ReLU is applied to the input before the first convolution; the order is convolution, then ReLU.
nn.Sequential(*layers)  # blocks
    flattened: nn.Sequential(*layers, nn.Flatten())
        The output is flattened; what is asked for returns a grid, (N, C, H, W).
in_channels = item  # what-goes-wrong
    channels_not_carried_on:
        Every convolution is built for the input's channels; after the first convolution there are others. Set
        in_channels = out_channels in the loop.
"""

OF_A_BLOCK = """
[out_channels] * num_convs + ["M"]  # blocks
    pool_first: ["M"] + [out_channels] * num_convs
        The pool stands at the beginning of the block; it stands at the end, after the convolutions.
    pool_after_every_convolution: [out_channels, "M"] * num_convs
        There is a pool after every convolution; a block has one, at its end.
    one_convolution_too_many: [out_channels] * (num_convs + 1) + ["M"]
        There is one convolution more than num_convs; the one that changes the channels counts, too.
    one_convolution_only: [out_channels, "M"]
        There is a single convolution whatever num_convs says.
    channels_changed_last: [in_channels] * (num_convs - 1) + [out_channels, "M"]
        The channels change in the last convolution; the first takes them from in_channels to out_channels.
nn.Sequential(*layers)  # what-goes-wrong
    relu_after_first_only: nn.Sequential(*layers[:2], *(layer for layer in layers[2:] if type(layer) != nn.ReLU))
        Only the first convolution is followed by a ReLU. Modules that are added under one and the same name ("relu")
        replace each other: the block keeps a single one, in the place of the first.
    shared_convolution: nn.Sequential(*layers[:2], *layers[2:4] * (len(layers) // 2 - 1), layers[-1])
        One and the same convolution is used again and again ([layer] * n), so all share one set of weights; every
        convolution has its own.
"""

table("vgg/vgg_block", (vgg_block, vgg_features), EVERYWHERE + OF_A_BLOCK)
table("vgg/repaired_block", (repaired_block, vgg_block, vgg_features), EVERYWHERE + OF_A_BLOCK)
table("vgg/vgg_features", vgg_features, EVERYWHERE)
table(
    "vgg/vgg_features",
    vgg_features,
    """
layers: list[nn.Module] = []
    input_channels_fixed: layers, in_channels = [], 3
        The first convolution is built for 3 channels whatever in_channels says.
list(config)
    last_pool_missing: [item for i, item in enumerate(config) if item != "M" or "M" in config[i + 1 :]]
        The last pool is missing; every "M" of the configuration is one.
    pool_after_every_layer: [each for item in config if item != "M" for each in (item, "M")]
        There is a pool after every convolution, whatever the configuration says; pools stand where it has an "M".
    pool_one_early: [config[i] for i in sorted(range(len(config)), key=lambda i: \
        sum(item != "M" for item in config[: i + 1]) - (config[i] == "M") / 2)]
        Each pool stands before the convolution that it should follow.
nn.Sequential(*layers)
    adaptive_pool_at_the_end: nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7))
        An adaptive pool to 7×7 follows. torchvision has it before the classifier; the features end with the last
        item of the configuration.
""",
)


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


table(
    "vgg/receptive_field",
    receptive_field,
    """
step *= stride
    stride_ignored: pass
        The strides do not enter the result. After a stride of 2 neighbours are two pixels apart, so every later
        kernel reaches twice as far.
    only_the_last_stride: step = stride
        Only the stride just before a layer multiplies its reach; all strides before it do, multiplied together.
    strides_added: step += stride - 1
        The strides are added up; they multiply: two strides of 3 move neighbours 9 pixels apart.
(kernel - 1) * step
    stride_one_layer_early: (kernel - 1) * step * stride
        A layer's stride multiplies its own kernel's reach; it moves the outputs apart, which only later layers
        notice.
kernel - 1
    kernel_not_reduced: kernel
        Each layer adds its whole kernel; it adds kernel - 1, since one pixel of it is there already.
    half_the_kernel: kernel // 2
        Each layer adds half its kernel, what it sees on one side; the field grows on both.
field, step = 1, 1
    start_at_zero: field, step = 0, 1
        The field starts at 0; without any layer a pixel sees itself, so it starts at 1.
layers
    from_the_end: list(layers)[::-1]
        The layers are gone through from the last to the first with the formula for the other direction; a stride
        multiplies the reach of the layers after it.
return field
    area_returned: return field**2
        The area of the field is returned; asked is its side.
    largest_kernel: return max((kernel for kernel, _ in layers), default=1)
        The largest kernel is returned; the layers see further together than each by itself.
    kernels_multiplied: return math.prod(kernel for kernel, _ in layers)
        The kernels are multiplied; a layer adds kernel - 1 to the side of the field.
""",
)


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


table(
    "vgg/stack_versus_single",
    stack_versus_single,
    """
every channels**2
    channels_not_squared: channels
        The channels are counted once; every output channel sees every input channel, so it is C × C.
    channels_forgotten: 1
        The channels are left out: these are the weights between one input and one output channel.
2 * num_convs + 1
    single_three_times_n: 3 * num_convs
        The single convolution's side is 3n. Each 3×3 after the first adds 2 to the receptive field, not 3: two see 5
        pixels.
    single_one_too_small: 2 * num_convs - 1
        The single convolution is one size too small: n 3×3 convolutions see 2n + 1 pixels.
    single_of_nplus_two: num_convs + 2
        The single convolution's side is n + 2. Each 3×3 after the first adds 2 pixels, one on each side: 2n + 1.
    always_five: 5
        The single convolution is a 5×5 whatever num_convs says; three 3×3 see as much as a 7×7.
(2 * num_convs + 1) ** 2
    kernel_of_the_single_not_squared: 2 * num_convs + 1
        The single convolution's side is counted once; its kernel has side × side places.
num_convs * 9
    one_of_the_stack: 9
        The weights of one 3×3 are returned; the stack has num_convs of them.
    stack_squared: num_convs**2 * 9
        The number of convolutions is squared; the weights of a stack add up, layer by layer.
return num_convs * 9 * channels**2, (2 * num_convs + 1) ** 2 * channels**2
    biases_counted: return num_convs * (9 * channels**2 + channels), \
        (2 * num_convs + 1) ** 2 * channels**2 + channels
        The biases are counted; asked are the weights without them.
    swapped: return (2 * num_convs + 1) ** 2 * channels**2, num_convs * 9 * channels**2
        The two numbers are in the wrong order: first the stack, then the single convolution.
    ratio_returned: return num_convs * 9 * channels**2 / ((2 * num_convs + 1) ** 2 * channels**2)
        The ratio of the two is returned; asked are both numbers, as a tuple.
    difference_returned: return (2 * num_convs + 1) ** 2 * channels**2 - num_convs * 9 * channels**2
        The difference of the two is returned; asked are both numbers, as a tuple.
""",
)
