"""Checks of the assignment `identity`: why a residual block can always do nothing.

The mistakes are edits of the references below, see `checking.tables`.
"""

from __future__ import annotations

import copy  # noqa: F401  named in a table
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.compare import close
from casestudies.checking.parts import (
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
from casestudies.sandboxed.messages import Called, LayerSpec, ModuleSpec

# --------------------------------------------------------------------------- references


def residual_step(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """g(W2 g(W1 a + b1) + b2 + a) for every row of a: (N, d) -> (N, d), with w1 of shape (h, d) and w2 of (d, h)."""
    hidden = F.relu(a @ w1.T + b1)  # (N, h)
    z = hidden @ w2.T + b2
    return F.relu(z + a)


class GivenBlock(nn.Module):
    """The basic block, word for word as the notebook shows it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(  # type: ignore[assignment]
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.shortcut(x))


def description_of_given_block(channels: int) -> LayerSpec:
    """A `GivenBlock(channels, channels)` as the sandbox builds it, which knows nothing of the course."""
    conv: LayerSpec = {
        "layer": "Conv2d",
        "args": [channels, channels, 3, 1],
        "kwargs": {"padding": 1, "bias": False},
    }
    norm: LayerSpec = {"layer": "BatchNorm2d", "args": [channels]}
    return {
        "layer": "GivenBlock",
        "layers": {
            "conv1": conv,
            "bn1": norm,
            "relu": {"layer": "ReLU"},
            "conv2": conv,
            "bn2": norm,
            "shortcut": {"layer": "Identity"},
        },
        "steps": [
            ["out", "conv1", "x"],
            ["out", "bn1", "out"],
            ["out", "relu", "out"],
            ["out", "conv2", "out"],
            ["out", "bn2", "out"],
            ["carried", "shortcut", "x"],
            ["out", "+", "out", "carried"],
            ["out", "relu", "out"],
        ],
    }


def make_identity_(block: GivenBlock) -> None:
    """Scale and shift of the last norm become zero: then F(a) = 0, whatever the statistics are."""
    with torch.no_grad():
        block.bn2.weight.zero_()
        block.bn2.bias.zero_()


def pad_shortcut(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    """Option A: every stride-th pixel, the old channels first, then zeros."""
    a = a[:, :, ::stride, ::stride]
    return F.pad(a, (0, 0, 0, 0, 0, out_channels - a.shape[1]))


def inert_blocks(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    """The indices of the blocks that return what they receive, when applied one after another to a."""
    found = []
    with torch.no_grad():
        for index, block in enumerate(blocks):
            out = block(a)
            if out.shape == a.shape and float((out - a).abs().max()) <= tolerance:
                found.append(index)
            a = out
    return found


class RepairedBlock(nn.Module):
    """g(a + s F(a)) with one learnable number s: (N, features) -> (N, features)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, hidden)
        self.linear2 = nn.Linear(hidden, features)
        self.scale = nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor) -> Tensor:
        branch = self.linear2(F.relu(self.linear1(a)))
        return F.relu(a + self.scale * branch)


# --------------------------------------------------------------------------- parts


def step_arguments(dice: Dice, batch: int, width: int, hidden: int, silent: bool = False) -> Call:
    """Arguments of `residual_step`; `silent` sets W2 and b2 to zero."""
    w2, b2 = dice.normal(width, hidden), dice.normal(width)
    if silent:
        w2, b2 = torch.zeros_like(w2), torch.zeros_like(b2)
    return call(dice.normal(batch, width, scale=2.0), dice.normal(hidden, width), dice.normal(hidden), w2, b2)


written("identity", points=3)


@part("identity/residual_step", points=3, title="One residual step", see="identity.html#eq-identity")
def residual_step_part() -> Values:
    return Values(
        residual_step,
        Group("a hidden layer of another width", lambda d: [step_arguments(d, 4, 5, 7)]),
        Group("two square layers", lambda d: [step_arguments(d, 4, 6, 6)]),
        Group(
            "a single row, a narrow hidden layer, and W2 = 0, b2 = 0",
            lambda d: [step_arguments(d, 1, 5, 3), step_arguments(d, 3, 5, 4, silent=True)],
        ),
        gradients=True,
    )


def given_block(dice: Dice, channels: int, silent: bool = False, training: bool = False) -> ModuleSpec:
    """A description of a trained basic block: scales of both signs, statistics far from fresh ones."""
    state = {}
    for name, value in GivenBlock(channels, channels).state_dict().items():
        if not value.is_floating_point():
            state[name] = value
        elif "running" in name:
            state[name] = torch.exp(dice.uniform(-2.0, 1.2, *value.shape)).float()
        elif value.dim() == 1:
            state[name] = (dice.signs(*value.shape) * dice.uniform(0.5, 1.5, *value.shape)).float()
        else:
            state[name] = dice.normal(*value.shape, scale=(2.0 / value[0].numel()) ** 0.5).float()
    if silent:
        state["bn2.weight"].zero_()
        state["bn2.bias"].zero_()
    return {"$module": description_of_given_block(channels), "state": state, "training": training}


# Of three images, whose numbers differ that much: a branch that is dead for small ones may come to life.
SIZES = torch.tensor([1.0, 1e3, 1e6]).view(3, 1, 1, 1)


def given_calls(channels: int, training: bool) -> Callable[[Dice], list[Call]]:
    """One trained block, and the input that it meets later."""

    def make(dice: Dice) -> list[Call]:
        inputs = (dice.normal(3, channels, 5, 4, scale=2.0).abs() * SIZES for _ in range(2))
        return [call({**given_block(dice, channels, training=training), "then": x.float()}) for x in inputs]

    return make


def kinds_of(state: Mapping[str, Tensor]) -> dict[str, tuple[tuple[int, ...], bool, bool]]:
    """What a module can take of a state: the shapes by name, and whether the numbers are real, or whole."""
    return {
        name: (tuple(value.shape), value.is_complex(), value.is_floating_point())
        for name, value in state.items()
    }


SAME_LAYERS = "the block has the layers that it had, with their parameters and buffers"


def what_the_block_does(made: Call, answer: Called) -> dict[str, bool | Tensor]:
    """The outputs, for inputs that are not negative, of the block that the student's function left, and of another
    one in the same state. In units of the size of each image, so that the small ones count as much."""
    spec: ModuleSpec = made.args[0]
    channels = len(spec["state"]["bn1.weight"])
    block = GivenBlock(channels, channels).double()
    left = answer.states_after[0]
    if kinds_of(left) != kinds_of(block.state_dict()):
        return {SAME_LAYERS: False}
    block.load_state_dict(left)
    later = spec["then"].double()
    seen: dict[str, bool | Tensor] = {SAME_LAYERS: True}
    with torch.no_grad():
        if spec["training"]:
            seen["in training mode"] = block.train()(later) / SIZES
        else:
            seen["in evaluation mode"] = block.eval()(later) / SIZES
            block.train()(later.flip(0))  # the running statistics move
            seen["in evaluation mode after a training step"] = block.eval()(later) / SIZES
    if all(close(value, later / SIZES, 1e-9) for value in seen.values() if isinstance(value, Tensor)):
        # As it is, since its layers may be others than they were. Where the state is wrong, that tells more.
        output = answer.outputs_after[0].value
        fits = isinstance(output, Tensor) and output.shape == later.shape
        seen["as it was left"] = output / SIZES if fits else output
    return seen


@part("identity/make_identity_", points=4, title="A block that does nothing", see="identity.html#batch-norm")
def make_identity_part() -> Values:
    return Values(
        make_identity_,
        Group("in evaluation mode block(a) is a", given_calls(5, training=False)),
        Group("in training mode block(a) is a", given_calls(4, training=True)),
        Group("other sizes, evaluation mode", given_calls(7, training=False)),
        Group("other sizes, training mode", given_calls(3, training=True)),
        view=what_the_block_does,
        tolerance=1e-9,
    )


@part("identity/pad_shortcut", points=3, title="A shortcut without parameters", see="identity.html#option-a")
def pad_shortcut_part() -> Values:
    return Values(
        pad_shortcut,
        Group(
            "twice the channels, half the grid",
            lambda d: [call(d.normal(2, 4, 6, 8), 8), call(d.normal(3, 4, 7, 5), 8, stride=2)],
        ),
        Group(
            "other strides and numbers of channels",
            lambda d: [call(d.normal(2, 3, 8, 7), 8, 3), call(d.normal(3, 5, 4, 6), 6, stride=1)],
        ),
        Group(
            "only the grid changes; only the channels do",
            lambda d: [call(d.normal(2, 5, 7, 6), 5), call(d.normal(2, 3, 5, 6), 7, 1)],
        ),
        gradients=True,
    )


def shift(by: Tensor) -> ModuleSpec:
    """A block that adds a constant to each channel: a residual block whose convolution has only its bias left."""
    channels = by.numel()
    spec: LayerSpec = {
        "layer": "Residual",
        "args": [{"layer": "Conv2d", "args": [channels, channels, 1]}, None, None],
    }
    return {
        "$module": spec,
        "state": {"body.weight": torch.zeros(channels, channels, 1, 1), "body.bias": by.float()},
    }


def layer(name: str, *args: Any, **state: Tensor) -> ModuleSpec:
    described: ModuleSpec = {"$module": {"layer": name, "args": list(args)}}
    return (
        {**described, "state": {key: value.float() for key, value in state.items()}} if state else described
    )


def trained_blocks(count: int, channels: int) -> Callable[[Dice], list[Call]]:
    """Two lists of blocks: what is inert in one is not in the other, so that no constant answer fits both."""

    def make(dice: Dice) -> list[Call]:
        order = torch.randperm(count, generator=dice.generator).tolist()
        silent = set(order[: dice.integer(2, count - 2)])
        made = []
        for chosen in (silent, set(range(count)) - silent):
            # One of them in training mode, in which it is to be applied, and left.
            training = dice.integer(0, count - 1)
            blocks = [
                given_block(dice, channels, silent=index in chosen, training=index == training)
                for index in range(count)
            ]
            made.append(call(blocks, dice.normal(2, channels, 5, 4).abs().float()))
        return made

    return make


def eighths(dice: Dice, *shape: int) -> Tensor:
    """Multiples of 1/8 between -3 and 3: sums of them are exact in float32."""
    return torch.randint(-24, 25, shape, generator=dice.generator).float() / 8


def near_the_tolerance(dice: Dice) -> list[Call]:
    """Differences at, below and above the tolerance, of either sign, in one channel or one image only."""
    step = 0.125 * dice.integer(1, 3)  # exact
    even, alone = torch.full((4,), step), torch.zeros(4)
    alone[dice.integer(0, 3)] = 1.5 * step
    shifts = [even, 0.5 * even, alone, -even, -1.5 * even, even]
    by_chance = torch.randperm(len(shifts), generator=dice.generator).tolist()
    first = call([shift(shifts[i]) for i in by_chance], eighths(dice, 3, 4, 3, 5), tolerance=step)
    # Only the last image has negative values, so that ReLU changes only that one.
    a = eighths(dice, 3, 4, 3, 5).abs()
    a[2] = -a[2] - 1
    second = call([layer("ReLU"), layer("ReLU"), shift(0.5 * even), layer("Identity")], a, float(0.25 * step))
    # Large values: 1/256 is little beside 1000, and more than the tolerance all the same.
    large = 1000 + eighths(dice, 2, 4, 3, 5)
    small = torch.full((4,), 2.0**-8)
    third = call([shift(small), layer("Identity"), shift(-small)], large, 2.0**-10)
    # The default tolerance, between 8 and 9 steps of float32 at 1, beside larger shifts; none at all; and a single
    # pixel, where a norm is as good as the maximum.
    ones = torch.randint(0, 2, (2, 4, 3, 5), generator=dice.generator).float()
    tiny = [shift(torch.full((4,), steps * 2.0**-23)) for steps in (8, 9, 8, 256, 2048, 2**15)]
    fourth, exact = call(tiny, ones), call([*tiny[:2], layer("Identity")], ones, 0.0)
    fifth = call([shift(alone), shift(-alone)], eighths(dice, 1, 4, 1, 1), 1.5 * step)
    # Only the first image has negative values.
    turned = a.flip(0).contiguous()
    sixth = call([layer("ReLU"), layer("Identity")], turned, float(0.25 * step))
    # What an inert block returns is passed on: two shifts of 3/4 of the tolerance bring everything above 0, where
    # ReLU changes nothing; it would change what the first one received by more.
    near = torch.full((4,), 0.75 * step)
    below = -step * (1.25 + eighths(dice, 2, 4, 3, 5).abs() / 24)
    seventh = call([shift(near), shift(near), layer("ReLU")], below, step)
    # In evaluation mode, in which it is given first, this norm returns what it receives; in training mode it does
    # not.
    norm = layer(
        "BatchNorm2d",
        4,
        weight=torch.ones(4),
        bias=torch.zeros(4),
        running_mean=torch.zeros(4),
        running_var=torch.full((4,), 1 - 1e-5),
    )
    eighth = call([layer("Identity"), norm], eighths(dice, 3, 4, 3, 5) + 5, 2.0**-10)
    ninth = call([{**norm, "training": True}, layer("Identity")], eighths(dice, 3, 4, 3, 5), 2.0**-10)
    return [first, second, third, fourth, exact, fifth, sixth, seventh, eighth, ninth]


def changing_shapes(dice: Dice) -> list[Call]:
    """Blocks that change the shape, also to one that would broadcast."""
    flat = (
        dice.normal(3, 4, 1, 1).float().expand(3, 4, 6, 5).clone()
    )  # the mean of a channel is each of its values
    wide = layer("Conv2d", 4, 6, 1, weight=dice.normal(6, 4, 1, 1), bias=dice.normal(6))
    same = layer("Conv2d", 6, 6, 1, weight=torch.eye(6).reshape(6, 6, 1, 1), bias=torch.zeros(6))
    return [
        call([layer("Identity"), layer("AdaptiveAvgPool2d", 1), wide, same, layer("Flatten")], flat),
        call(
            [layer("AvgPool2d", 2), layer("Identity"), wide, layer("ReLU"), layer("ReLU")],
            eighths(dice, 2, 4, 6, 4),
        ),
    ]


def mixed_blocks(dice: Dice) -> list[Call]:
    nothing = torch.zeros(5)
    constant = torch.full((5,), 0.25)
    blocks = [shift(constant), given_block(dice, 5, silent=True), given_block(dice, 5), shift(nothing)]
    return [
        call([], dice.normal(2, 3, 4, 5).float()),
        call(blocks, eighths(dice, 2, 5, 4, 3).abs()),
        call(
            [shift(2 * constant), shift(constant), shift(-constant)],
            eighths(dice, 2, 5, 4, 3),
            tolerance=0.25,
        ),
    ]


@part("identity/inert_blocks", points=4, title="Which blocks do nothing?", see="identity.html#inert-layers")
def inert_blocks_part() -> Values:
    return Values(
        inert_blocks,
        Group("trained residual blocks, some of them silent", trained_blocks(4, 3)),
        Group("differences near the tolerance", near_the_tolerance),
        Group("blocks that change the shape", changing_shapes),
        Group("other blocks, and none at all", mixed_blocks),
    )


@part(
    "identity/repaired_block",
    points=3,
    title="Find the bug",
    see="identity.html#what-goes-wrong",
    given=("sum_scaled_and_relu_on_the_branch",),
)
def repaired_block() -> Reference:
    return Reference(
        RepairedBlock,
        Space(
            {"features, hidden": (any_of((5, 7), (3, 6)), any_of((6, 6), (4, 4)), any_of((7, 3), (6, 2)))},
            shape=("features",),
        ),
        fresh="its scale must begin at 0, so that a new block returns g(a).",
    )


# --------------------------------------------------------------------------- mistakes

table(
    "identity/residual_step",
    residual_step,
    """
return F.relu(z + a)
    addition_after_g: return F.relu(z) + a
        The input is added after g: that is g(z) + a. The sum belongs inside, g(z + a).
    relu_twice: return F.relu(F.relu(z) + a)
        g is applied to z and again to the sum, so the step can only add to a, never subtract; there is one g, after
        the sum.
    no_final_g: return z + a
        The g after the sum is missing: this returns z + a itself.
    skip_forgotten: return F.relu(z)
        The input a is never added: this is a plain pair of layers, g(z).
    second_bias_after_g: return F.relu(z + a) + b2
        + hidden @ w2.T + b2 => hidden @ w2.T
        The bias b2 is added after g; it belongs to z, inside g.
    sum_in_place: a += z; return F.relu(a)
        The sum is written into a itself (a += z), so that the caller's a changes; make a new tensor.
z + a
    skip_from_the_middle: z + hidden
        What is added is the output of the first layer, a^[l+1]; the skip starts at the input, a^[l].
    relu_on_the_skip: z + F.relu(a)
        g is applied to a before it is added; the skip carries a as it is.
z + a  # gradients
    skip_detached: z + a.detach()
        The values are right, but the skip is detached: no gradient flows through it, and the +1 of the Jacobian is
        lost.
hidden @ w2.T + b2
    second_bias_forgotten: hidden @ w2.T
        The bias b2 is missing from z = W2 a + b2.
    first_layer_twice: hidden @ w1.T + b1
        Both layers use w1 and b1; the second has its own, w2 and b2.
a @ w1.T + b1
    first_bias_forgotten: a @ w1.T
        The bias b1 is missing in the first layer.
F.relu(a @ w1.T + b1)
    relu_missing_between: a @ w1.T + b1
        There is no g between the two layers: without it they are one linear map in two pieces.
w1.T
    weights_not_transposed: w1
        + w2.T => w2
        The weights are used as a @ w; their shape is (out, in), so a row of a meets w transposed: a @ w.T.
every F.relu  # what-each-step-needs
    tanh_for_relu: torch.tanh
        g is tanh here; this step asks for ReLU, the g for which g(a) = a wherever a >= 0.
    sigmoid_for_relu: torch.sigmoid
        g is the sigmoid here; this step asks for ReLU, the g for which g(a) = a wherever a >= 0.
""",
)

table(
    "identity/make_identity_",
    make_identity_,
    """
block.bn2.weight.zero_(); block.bn2.bias.zero_()
    convolutions_zeroed: block.conv1.weight.zero_(); block.conv2.weight.zero_()
        Only convolutions are zero: the last batch norm still adds its shift, and in evaluation mode it subtracts a
        running mean that is not the mean of zeros.
    shift_kept: block.bn2.weight.zero_()
        The last norm's scale (gamma, its weight) is zero, but not its shift (beta, its bias): F(a) is then beta.
    scale_kept: block.bn2.bias.zero_()
        The last norm's shift (beta, its bias) is zero, but not its scale (gamma, its weight): F(a) is not zero.
    first_norm_zeroed: block.bn1.weight.zero_(); block.bn1.bias.zero_()
        The first norm is zero instead of the last: the last one still adds its shift, and subtracts its running mean
        in evaluation mode.
    stale_running_mean: block.conv2.weight.zero_(); block.bn2.bias.zero_()
        In training mode this is the identity. In evaluation mode it is not: the last norm subtracts its old running
        mean from a branch that is zero now.
    shift_kept_statistics_reset: block.conv2.weight.zero_(); block.bn2.reset_running_stats()
        The branch is zero and the running statistics are fresh, but the last norm still adds its shift (beta, its
        bias).
    norms_reset: block.bn1.reset_parameters(); block.bn2.reset_parameters()
        The norms are made neutral (scale 1, shift 0), as if new; what has to vanish is F(a), so the last scale must
        be 0.
    last_norm_neutral: block.bn2.weight.fill_(1.0); block.bn2.bias.zero_()
        The last norm gets scale 1 and shift 0: it then still normalises F(a) and passes it on. A scale of 0 silences
        it.
    statistics_reset: block.bn1.reset_running_stats(); block.bn2.reset_running_stats()
        Only the running statistics were reset; the parameters, and with them F(a), are as before.
    branch_passes_its_input: nn.init.dirac_(block.conv1.weight); nn.init.dirac_(block.conv2.weight); \
        block.bn1.reset_parameters(); block.bn2.reset_parameters()
        F was made the identity, with convolutions that copy their input; but the block adds F(a) to a, so F must be
        zero: the block is the identity, F is not.
    weights_shrunk: block.conv1.weight.mul_(1e-3); block.conv2.weight.mul_(1e-3)
        The convolutions are tiny instead of zero; the batch norm after them scales that up again in training mode.
    nothing_changed: copy.deepcopy(block)
        The parameters and buffers of the block are as they were. Change those of the block that you are given, in
        place: neither a copy, nor a new forward, nor other layers count.
""",
)

table(
    "identity/pad_shortcut",
    pad_shortcut,
    """
0, out_channels - a.shape[1]
    zeros_in_front: out_channels - a.shape[1], 0
        The zeros come before the old channels; the old channels come first, then zeros.
    zeros_split: (out_channels - a.shape[1]) // 2, (out_channels - a.shape[1] + 1) // 2
        Half of the zeros come before the old channels and half after them; all of them belong after.
    quarter_on_each_side: out_channels // 4, out_channels // 4
        A quarter of out_channels is put before and after the old channels: right in number only where the channels
        double, and the old channels should come first.
    out_channels_added: 0, out_channels
        out_channels zeros are appended; only as many are new as out_channels exceeds the old number.
    channels_doubled: 0, a.shape[1]
        As many zeros are appended as there are channels, whatever out_channels says.
(0, 0, 0, 0, 0, out_channels - a.shape[1])
    grid_padded: (0, out_channels - a.shape[1])
        The zeros widen the grid instead of the channels: F.pad counts its pairs from the last dimension.
return F.pad(a, (0, 0, 0, 0, 0, out_channels - a.shape[1]))
    not_widened: return a
        No channels are added: the output must have out_channels of them.
    channels_repeated: return a.repeat(1, -(-out_channels // a.shape[1]), 1, 1)[:, :out_channels]
        The new channels repeat the old ones; they are zero, so that the skip adds nothing to them.
a[:, :, ::stride, ::stride]
    stride_ignored: a
        The grid keeps its size; take every stride-th pixel of both axes.
    always_every_second_pixel: a[:, :, ::2, ::2]
        Every second pixel is taken whatever the stride is.
    rows_only: a[:, :, ::stride]
        Only the rows are strided; the columns are too.
    columns_only: a[:, :, :, ::stride]
        Only the columns are strided; the rows are too.
    last_of_every_pixels: a[:, :, stride - 1 :: stride, stride - 1 :: stride]
        The pixels start at stride - 1; they start at 0, where a convolution with this stride has its first output.
    cropped: a[:, :, : -(-a.shape[2] // stride), : -(-a.shape[3] // stride)]
        A corner of the image is cut out; every stride-th pixel of the whole grid is wanted.
    average_pooled: F.avg_pool2d(a, stride, ceil_mode=True)
        Pixels are averaged; option A takes every stride-th pixel as it is.
    average_pooled_rounding_down: F.avg_pool2d(a, stride)
        Pixels are averaged, and an odd last row or column is lost; option A takes every stride-th pixel as it is.
    max_pooled: F.max_pool2d(a, stride, ceil_mode=True)
        The largest of neighbouring pixels is taken; option A takes every stride-th pixel as it is.
    grid_rounded_down: a[:, :, ::stride, ::stride][:, :, : a.shape[2] // stride, : a.shape[3] // stride]
        On an odd grid the last pixel is lost; every stride-th pixel from 0 on gives the size rounded up, as a
        strided convolution does.
a[:, :, ::stride, ::stride]  # gradients
    gradient_cut: a[:, :, ::stride, ::stride].detach()
        The values are right, but no gradient flows back (detach, .data or no_grad): the shortcut is there to carry
        it.
""",
)

table(
    "identity/inert_blocks",
    inert_blocks,
    """
a = out
    each_on_the_first_input: pass
        Every block is given a itself; they are applied one after another, each to what the one before it returned.
    inert_not_passed_on: if index not in found: a = out
        What an inert block returns is not passed on, and the next block receives the old tensor. The two may differ
        by the tolerance, and several such differences add up.
    change_of_shape_not_passed_on: if out.shape == a.shape: a = out
        What a block returns that changes the shape is not passed on: the next block receives the old tensor.
out = block(a)
    evaluation_always: mode = block.training; out = block.eval()(a); block.train(mode)
        The blocks are run in evaluation mode, whatever mode they come in; run each in its own mode.
found = []
    compared_with_the_first_input: found, start = [], a
        + out.shape == a.shape => out.shape == start.shape
        + out - a => out - start
        Each output is compared with the first input, a; compare it with what that block received.
(out - a).abs().max()
    signed_difference: (out - a).max()
        The difference has no absolute value, so a block that makes everything smaller passes for inert.
    signed_the_other_way: (a - out).max()
        The difference has no absolute value, so a block that makes everything larger passes for inert.
    mean_difference: (out - a).abs().mean()
        The mean of the differences is compared with the tolerance; the largest one is meant.
    smallest_difference: (out - a).abs().min()
        The smallest difference is compared with the tolerance; the largest one is meant.
    euclidean_difference: (out - a).norm()
        The differences are added up (a norm), so that the verdict depends on how many values there are; the largest
        one is meant.
    first_image_only: (out - a)[0].abs().max()
        Only the first image of the batch is compared.
float((out - a).abs().max()) <= tolerance
    relative_tolerance: torch.allclose(out, a, atol=tolerance)
        torch.allclose also allows 1e-5 of the value itself (rtol), so large values may differ by more than the
        tolerance: use rtol=0, or the largest difference.
    below_the_tolerance: float((out - a).abs().max()) < tolerance
        A difference of exactly the tolerance is not counted; "at most the tolerance" is <=.
    exactly_equal: float((out - a).abs().max()) == 0.0
        Only blocks that return exactly their input are counted; the tolerance is not used.
    tolerance_ignored: float((out - a).abs().max()) <= 1e-6
        The tolerance is always 1e-6, whatever the argument says.
out.shape == a.shape
    shapes_not_compared: True
        The shapes are not compared: the difference of two shapes may raise, or broadcast and come out as zero. A
        block that changes the shape is not inert.
enumerate(blocks)
    counted_from_one: enumerate(blocks, start=1)
        The indices start at 1; the first block has the index 0.
out.shape == a.shape and float((out - a).abs().max()) <= tolerance
    active_blocks: not (out.shape == a.shape and float((out - a).abs().max()) <= tolerance)
        These are the blocks that change their input; those that leave it as it is are wanted.
    zero_weights: all(not weight.any() for weight in block.parameters() if weight.dim() > 1)
        This looks for weights that are zero; a block is judged by what it returns (a batch norm's shift alone is not
        inert, and a block without weights may change its input).
return found
    flags_returned: return [index in found for index in range(len(blocks))]
        The list says True or False for every block; the indices of the inert ones are wanted.
    count_returned: return len(found)
        The number of inert blocks is returned; their indices are wanted, as a list.
    first_only: return found[:1]
        The search ends at the first inert block; all of them are wanted.
    stops_at_the_first_active: return [index for place, index in enumerate(found) if place == index]
        The search ends at the first block that changes something; later blocks may be inert again.
""",
)

table(
    "identity/repaired_block",
    RepairedBlock,
    """
return F.relu(a + self.scale * branch)
    sum_scaled: return F.relu(self.scale * (a + branch))
        The scale multiplies the whole sum: with s = 0 the block returns zeros, and nothing passes. Only F(a) is
        scaled.
    sum_scaled_and_relu_on_the_branch: return F.relu(self.scale * (a + F.relu(branch)))
        The scale multiplies the whole sum, and ReLU is applied to F(a) as well: both mistakes are still there.
    result_scaled: return self.scale * F.relu(a + branch)
        The scale multiplies the result of g: with s = 0 the block returns zeros. Only F(a) is scaled.
    skip_scaled: return F.relu(self.scale * a + branch)
        The scale multiplies a instead of F(a): with s = 0 the skip is gone.
    gate_between: return F.relu(self.scale * branch + (1 - self.scale) * a)
        The scale blends, s F(a) + (1 - s) a, as a highway does; here a is added whole, whatever s is.
self.scale * branch
    bias_outside_the_scale: branch
        + self.linear2(F.relu(self.linear1(a))) => \
        self.scale * F.linear(F.relu(self.linear1(a)), self.linear2.weight) + self.linear2.bias
        The last bias is added outside the scale: with s = 0 the block still adds it. It is a part of F(a).
    scale_on_the_hidden_layer: branch
        + F.relu(self.linear1(a)) => self.scale * F.relu(self.linear1(a))
        The scale sits on the hidden layer: with s = 0 the last bias is still added. It multiplies all of F(a).
    scale_forgotten: branch
        + self.scale = nn.Parameter(torch.zeros(())) =>
        There is no scale any more; the block needs one learnable number that multiplies F(a).
torch.zeros(())
    scale_per_feature: torch.zeros(features)
        There is one scale for every feature; the block has a single number.
self.scale * branch  # gradients
    scale_not_learned: self.scale.detach() * branch
        No gradient reaches the scale (detach or .data), so it stays zero for ever.
return F.relu(a + self.scale * branch)  # eq-identity
    addition_after_relu: return a + F.relu(self.scale * branch)
        ReLU is applied to s F(a) before a is added; the sum comes first, and g is applied to it.
    relu_on_the_branch: return F.relu(a + self.scale * F.relu(branch))
        ReLU is applied to F(a) as well as to the sum, so F can only push one way; there is one g, after the sum.
    no_final_relu: return a + self.scale * branch
        The ReLU after the sum is missing.
    no_skip: return F.relu(self.scale * branch)
        The input a is not added any more: this is s F(a) alone.
    input_overwritten: a += self.scale * branch; return F.relu(a)
        The sum is written into a itself (a += ...), so whoever else holds the block's input sees it change.
F.relu(self.linear1(a))  # eq-identity
    relu_missing_between: self.linear1(a)
        There is no ReLU between the two linear layers: without it they are one linear map in two pieces.
a + self.scale * branch  # eq-identity
    relu_on_the_skip: F.relu(a) + self.scale * branch
        ReLU is applied to a before it is added; the skip carries a as it is.
a + self.scale * branch  # gradients
    skip_without_gradient: a.detach() + self.scale * branch
        The skip is detached: the values are right, but no gradient flows through it.
nn.Linear(features, hidden)  # eq-identity
    first_layer_without_bias: nn.Linear(features, hidden, bias=False)
        The first linear layer has lost its bias.
nn.Linear(hidden, features)  # eq-identity
    last_layer_without_bias: nn.Linear(hidden, features, bias=False)
        The second linear layer has lost its bias; the scale silences it, it need not be left out.
""",
)
