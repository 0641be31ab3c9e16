"""Checks of the assignment `identity`: why a residual block can always do nothing.

`Step`, `Pad`, `Inert` and `Scaled` do what the references do, cut into small methods, one decision each; a mistake
overrides one of them. Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

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
    written,
)
from casestudies.sandboxed.messages import Called, LayerSpec, ModuleSpec

# --------------------------------------------------------------------------- references


def residual_step(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """g(W2 g(W1 a + b1) + b2 + a) for every row of a: (N, d) -> (N, d), with w1 of shape (h, d) and w2 of (d, h)."""
    hidden = F.relu(a @ w1.T + b1)  # (N, h)
    return F.relu(hidden @ w2.T + b2 + a)


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
        return F.relu(a + self.scale * self.linear2(F.relu(self.linear1(a))))


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


def given_calls(channels: int, training: bool) -> Callable[[Dice], list[Call]]:
    """One trained block; the input that it meets later comes from the seed, which the probe does not use."""
    return lambda dice: [
        call({**given_block(dice, channels, training=training), "input_seed": dice.seed()}) for _ in range(2)
    ]


SAME_LAYERS = "has the parameters and buffers that it had"


def what_the_block_does(made: Call, answer: Called) -> dict[str, bool | Tensor]:
    """The outputs, for inputs that are not negative, of a block in the state that the student's function left."""
    spec: ModuleSpec = made.args[0]
    channels = len(spec["state"]["bn1.weight"])
    block = GivenBlock(channels, channels).double()
    left = answer.states_after[0]
    shapes = {name: tuple(value.shape) for name, value in left.items()}
    if shapes != {name: tuple(value.shape) for name, value in block.state_dict().items()}:
        return {SAME_LAYERS: False}
    block.load_state_dict(left)
    dice = Dice(spec["input_seed"])
    inputs = [dice.normal(3, channels, 5, 4, scale=2.0).abs() for _ in range(2)]
    seen: dict[str, bool | Tensor] = {SAME_LAYERS: True}
    with torch.no_grad():
        if spec["training"]:
            seen["in training mode"] = block.train()(inputs[0])
        else:
            seen["in evaluation mode"] = block.eval()(inputs[0])
            block.train()(inputs[1])  # the running statistics move
            seen["in evaluation mode after a training step"] = block.eval()(inputs[0])
    return seen


@part(
    "identity/make_identity_",
    points=4,
    title="A block that does nothing",
    see="identity.html#batch-norm",
)
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
            blocks = [given_block(dice, channels, silent=index in chosen) for index in range(count)]
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
    # The default tolerance, between 2^-22 and 2^-18, beside larger shifts; and a single pixel, where a norm is as
    # good as the maximum.
    tiny = [shift(torch.full((4,), 2.0**power)) for power in (-22, -18, -22, -15, -12, -8)]
    fourth = call(tiny, torch.randint(0, 2, (2, 4, 3, 5), generator=dice.generator).float())
    fifth = call([shift(alone), shift(-alone)], eighths(dice, 1, 4, 1, 1), 1.5 * step)
    # Only the first image has negative values.
    turned = a.flip(0).contiguous()
    sixth = call([layer("ReLU"), layer("Identity")], turned, float(0.25 * step))
    # What an inert block returns is passed on: two shifts of 3/4 of the tolerance bring everything to 0, where ReLU
    # changes nothing; it would change what the first one received by more.
    near = torch.full((4,), 0.75 * step)
    seventh = call([shift(near), shift(near), layer("ReLU")], torch.full((2, 4, 3, 5), -1.5 * step), step)
    # In evaluation mode, in which it is given, this norm returns what it receives; in training mode it does not.
    norm = layer(
        "BatchNorm2d",
        4,
        weight=torch.ones(4),
        bias=torch.zeros(4),
        running_mean=torch.zeros(4),
        running_var=torch.full((4,), 1 - 1e-5),
    )
    eighth = call([layer("Identity"), norm], eighths(dice, 3, 4, 3, 5) + 5, 2.0**-10)
    return [first, second, third, fourth, fifth, sixth, seventh, eighth]


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


# --------------------------------------------------------------------------- residual_step


class Step(Formula):
    """One residual step, one decision a method."""

    def value(self, a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        hidden = self.between(self.first(a, w1, b1))
        return self.merge(self.second(hidden, w1, b1, w2, b2), self.carried(a, hidden))

    def linear(self, x: Tensor, w: Tensor) -> Tensor:
        return x @ w.T

    def first(self, a: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
        return self.linear(a, w1) + b1

    def second(self, hidden: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return self.linear(hidden, w2) + b2

    def g(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def between(self, z: Tensor) -> Tensor:
        return self.g(z)

    def carried(self, a: Tensor, hidden: Tensor) -> Tensor:
        return a

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return self.g(z + a)


@mistake("identity/residual_step")
@as_function
class AdditionAfterG(Step):
    """The input is added after g: that is g(z) + a. The sum belongs inside, g(z + a)."""

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return self.g(z) + a


@mistake("identity/residual_step")
@as_function
class ReluTwice(Step):
    """g is applied to z and again to the sum, so the step can only add to a, never subtract; there is one g, after
    the sum."""

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return self.g(self.g(z) + a)


@mistake("identity/residual_step")
@as_function
class NoFinalG(Step):
    """The g after the sum is missing: this returns z + a itself."""

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return z + a


@mistake("identity/residual_step")
@as_function
class SkipForgotten(Step):
    """The input a is never added: this is a plain pair of layers, g(z)."""

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return self.g(z)


@mistake("identity/residual_step")
@as_function
class SecondBiasForgotten(Step):
    """The bias b2 is missing from z = W2 a + b2."""

    def second(self, hidden: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return self.linear(hidden, w2)


@mistake("identity/residual_step")
@as_function
class FirstBiasForgotten(Step):
    """The bias b1 is missing in the first layer."""

    def first(self, a: Tensor, w1: Tensor, b1: Tensor) -> Tensor:
        return self.linear(a, w1)


@mistake("identity/residual_step")
@as_function
class SecondBiasAfterG(Step):
    """The bias b2 is added after g; it belongs to z, inside g."""

    def second(self, hidden: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        self.b2 = b2
        return self.linear(hidden, w2)

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        return self.g(z + a) + self.b2


@mistake("identity/residual_step")
@as_function
class ReluMissingBetween(Step):
    """There is no g between the two layers: without it they are one linear map in two pieces."""

    def between(self, z: Tensor) -> Tensor:
        return z


@mistake("identity/residual_step")
@as_function
class WeightsNotTransposed(Step):
    """The weights are used as a @ w; their shape is (out, in), so a row of a meets w transposed: a @ w.T."""

    def linear(self, x: Tensor, w: Tensor) -> Tensor:
        return x @ w


@mistake("identity/residual_step")
@as_function
class SkipFromTheMiddle(Step):
    """What is added is the output of the first layer, a^[l+1]; the skip starts at the input, a^[l]."""

    def carried(self, a: Tensor, hidden: Tensor) -> Tensor:
        return hidden


@mistake("identity/residual_step")
@as_function
class ReluOnTheSkip(Step):
    """g is applied to a before it is added; the skip carries a as it is."""

    def carried(self, a: Tensor, hidden: Tensor) -> Tensor:
        return self.g(a)


@mistake("identity/residual_step", see="identity.html#gradients")
@as_function
class SkipDetached(Step):
    """The values are right, but the skip is detached: no gradient flows through it, and the +1 of the Jacobian is
    lost."""

    def carried(self, a: Tensor, hidden: Tensor) -> Tensor:
        return a.detach()


@mistake("identity/residual_step")
@as_function
class FirstLayerTwice(Step):
    """Both layers use w1 and b1; the second has its own, w2 and b2."""

    def second(self, hidden: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        return self.linear(hidden, w1) + b1


@mistake("identity/residual_step", see="identity.html#what-each-step-needs")
@as_function
class TanhForRelu(Step):
    """g is tanh here; this step asks for ReLU, the g for which g(a) = a wherever a >= 0."""

    def g(self, z: Tensor) -> Tensor:
        return torch.tanh(z)


@mistake("identity/residual_step", see="identity.html#what-each-step-needs")
@as_function
class SigmoidForRelu(Step):
    """g is the sigmoid here; this step asks for ReLU, the g for which g(a) = a wherever a >= 0."""

    def g(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)


@mistake("identity/residual_step")
@as_function
class SumInPlace(Step):
    """The sum is written into a itself (a += z), so that the caller's a changes; make a new tensor."""

    def merge(self, z: Tensor, a: Tensor) -> Tensor:
        a += z
        return self.g(a)


# --------------------------------------------------------------------------- make_identity_


def in_place(change: Callable[[GivenBlock], None]) -> Callable[[GivenBlock], None]:
    """Without recording gradients, which PyTorch asks of whoever changes parameters in place."""

    def changed(block: GivenBlock) -> None:
        with torch.no_grad():
            change(block)

    changed.__name__, changed.__doc__ = change.__name__, change.__doc__
    return changed


@mistake("identity/make_identity_")
@in_place
def convolutions_zeroed(block: GivenBlock) -> None:
    """Only convolutions are zero: the last batch norm still adds its shift, and in evaluation mode it subtracts a
    running mean that is not the mean of zeros."""
    block.conv1.weight.zero_()
    block.conv2.weight.zero_()


@mistake("identity/make_identity_")
@in_place
def shift_kept(block: GivenBlock) -> None:
    """The last norm's scale (gamma, its weight) is zero, but not its shift (beta, its bias): F(a) is then beta."""
    block.bn2.weight.zero_()


@mistake("identity/make_identity_")
@in_place
def scale_kept(block: GivenBlock) -> None:
    """The last norm's shift (beta, its bias) is zero, but not its scale (gamma, its weight): F(a) is not zero."""
    block.bn2.bias.zero_()


@mistake("identity/make_identity_")
@in_place
def first_norm_zeroed(block: GivenBlock) -> None:
    """The first norm is zero instead of the last: the last one still adds its shift, and subtracts its running mean
    in evaluation mode."""
    block.bn1.weight.zero_()
    block.bn1.bias.zero_()


@mistake("identity/make_identity_")
@in_place
def stale_running_mean(block: GivenBlock) -> None:
    """In training mode this is the identity. In evaluation mode it is not: the last norm subtracts its old running
    mean from a branch that is zero now."""
    block.conv2.weight.zero_()
    block.bn2.bias.zero_()


@mistake("identity/make_identity_")
@in_place
def shift_kept_statistics_reset(block: GivenBlock) -> None:
    """The branch is zero and the running statistics are fresh, but the last norm still adds its shift (beta, its
    bias)."""
    block.conv2.weight.zero_()
    block.bn2.reset_running_stats()


@mistake("identity/make_identity_")
@in_place
def norms_reset(block: GivenBlock) -> None:
    """The norms are made neutral (scale 1, shift 0), as if new; what has to vanish is F(a), so the last scale must
    be 0."""
    for norm in (block.bn1, block.bn2):
        norm.reset_parameters()


@mistake("identity/make_identity_")
@in_place
def last_norm_neutral(block: GivenBlock) -> None:
    """The last norm gets scale 1 and shift 0: it then still normalises F(a) and passes it on. A scale of 0 silences
    it."""
    block.bn2.weight.fill_(1.0)
    block.bn2.bias.zero_()


@mistake("identity/make_identity_")
@in_place
def statistics_reset(block: GivenBlock) -> None:
    """Only the running statistics were reset; the parameters, and with them F(a), are as before."""
    block.bn1.reset_running_stats()
    block.bn2.reset_running_stats()


@mistake("identity/make_identity_")
@in_place
def branch_passes_its_input(block: GivenBlock) -> None:
    """F was made the identity, with convolutions that copy their input; but the block adds F(a) to a, so F must be
    zero: the block is the identity, F is not."""
    for conv, norm in ((block.conv1, block.bn1), (block.conv2, block.bn2)):
        nn.init.dirac_(conv.weight)
        norm.reset_parameters()


@mistake("identity/make_identity_")
@in_place
def weights_shrunk(block: GivenBlock) -> None:
    """The convolutions are tiny instead of zero; the batch norm behind them scales that up again in training
    mode."""
    for conv in (block.conv1, block.conv2):
        conv.weight.mul_(1e-3)


@mistake("identity/make_identity_")
def nothing_changed(block: GivenBlock) -> None:
    """The parameters and buffers of the block are as they were. Change those of the block that you are given, in
    place: neither a copy, nor a new forward, nor other layers count."""
    copy.deepcopy(block)


# --------------------------------------------------------------------------- pad_shortcut


class Pad(Formula):
    """Option A, one decision a method."""

    def value(self, a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
        return self.widen(self.shrink(self.enter(a), stride), out_channels)

    def enter(self, a: Tensor) -> Tensor:
        return a

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a[:, :, ::stride, ::stride]

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return self.surround(a, 0, out_channels - a.shape[1])

    def surround(self, a: Tensor, before: int, after: int) -> Tensor:
        return F.pad(a, (0, 0, 0, 0, before, after))


@mistake("identity/pad_shortcut")
@as_function
class ZerosInFront(Pad):
    """The zeros come before the old channels; the old channels come first, then zeros."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return self.surround(a, out_channels - a.shape[1], 0)


@mistake("identity/pad_shortcut")
@as_function
class ZerosSplit(Pad):
    """Half of the zeros come before the old channels and half behind; all of them belong behind."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        new = out_channels - a.shape[1]
        return self.surround(a, new // 2, new - new // 2)


@mistake("identity/pad_shortcut")
@as_function
class QuarterOnEachSide(Pad):
    """A quarter of out_channels is put before and behind the old channels: right in number only where the channels
    double, and the old channels should come first."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return self.surround(a, out_channels // 4, out_channels // 4)


@mistake("identity/pad_shortcut")
@as_function
class OutChannelsAdded(Pad):
    """out_channels zeros are appended; only as many are new as out_channels exceeds the old number."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return self.surround(a, 0, out_channels)


@mistake("identity/pad_shortcut")
@as_function
class ChannelsDoubled(Pad):
    """As many zeros are appended as there are channels, whatever out_channels says."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return self.surround(a, 0, a.shape[1])


@mistake("identity/pad_shortcut")
@as_function
class NotWidened(Pad):
    """No channels are added: the output must have out_channels of them."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        return a


@mistake("identity/pad_shortcut")
@as_function
class ChannelsRepeated(Pad):
    """The new channels repeat the old ones; they are zero, so that the skip adds nothing to them."""

    def widen(self, a: Tensor, out_channels: int) -> Tensor:
        times = -(-out_channels // a.shape[1])
        return a.repeat(1, times, 1, 1)[:, :out_channels]


@mistake("identity/pad_shortcut")
@as_function
class GridPadded(Pad):
    """The zeros widen the grid instead of the channels: F.pad counts its pairs from the last dimension."""

    def surround(self, a: Tensor, before: int, after: int) -> Tensor:
        return F.pad(a, (before, after))


@mistake("identity/pad_shortcut")
@as_function
class StrideIgnored(Pad):
    """The grid keeps its size; take every stride-th pixel of both axes."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a


@mistake("identity/pad_shortcut")
@as_function
class AlwaysEverySecondPixel(Pad):
    """Every second pixel is taken whatever the stride is."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a[:, :, ::2, ::2]


@mistake("identity/pad_shortcut")
@as_function
class RowsOnly(Pad):
    """Only the rows are strided; the columns are too."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a[:, :, ::stride]


@mistake("identity/pad_shortcut")
@as_function
class ColumnsOnly(Pad):
    """Only the columns are strided; the rows are too."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a[:, :, :, ::stride]


@mistake("identity/pad_shortcut")
@as_function
class LastOfEveryPixels(Pad):
    """The pixels start at stride - 1; they start at 0, where a convolution with this stride has its first output."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return a[:, :, stride - 1 :: stride, stride - 1 :: stride]


@mistake("identity/pad_shortcut")
@as_function
class Cropped(Pad):
    """A corner of the image is cut out; every stride-th pixel of the whole grid is wanted."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        height, width = (-(-size // stride) for size in a.shape[2:])
        return a[:, :, :height, :width]


@mistake("identity/pad_shortcut")
@as_function
class AveragePooled(Pad):
    """Pixels are averaged; option A takes every stride-th pixel as it is."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return F.avg_pool2d(a, stride, ceil_mode=True)


@mistake("identity/pad_shortcut")
@as_function
class AveragePooledRoundingDown(Pad):
    """Pixels are averaged, and an odd last row or column is lost; option A takes every stride-th pixel as it is."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return F.avg_pool2d(a, stride)


@mistake("identity/pad_shortcut")
@as_function
class MaxPooled(Pad):
    """The largest of neighbouring pixels is taken; option A takes every stride-th pixel as it is."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        return F.max_pool2d(a, stride, ceil_mode=True)


@mistake("identity/pad_shortcut")
@as_function
class GridRoundedDown(Pad):
    """On an odd grid the last pixel is lost; every stride-th pixel from 0 on gives the size rounded up, as a strided
    convolution does."""

    def shrink(self, a: Tensor, stride: int) -> Tensor:
        height, width = (size // stride for size in a.shape[2:])
        return a[:, :, ::stride, ::stride][:, :, :height, :width]


@mistake("identity/pad_shortcut", see="identity.html#gradients")
@as_function
class GradientCut(Pad):
    """The values are right, but no gradient flows back (detach, .data or no_grad): the shortcut is there to carry
    it."""

    def enter(self, a: Tensor) -> Tensor:
        return a.detach()


# --------------------------------------------------------------------------- inert_blocks


class Inert(Formula):
    """The search for blocks that do nothing, one decision a method."""

    @torch.no_grad()
    def value(self, blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> Any:
        start = a
        flags = []
        for block in blocks:
            out = block(a)
            flags.append(bool(self.inert(block, out, self.compared_with(a, start), self.limit(tolerance))))
            a = self.following(a, out)
        return self.answer(flags)

    def inert(self, block: nn.Module, out: Tensor, a: Tensor, tolerance: float) -> bool:
        return self.same_shape(out, a) and self.within(self.difference(out, a), tolerance)

    def same_shape(self, out: Tensor, a: Tensor) -> bool:
        return out.shape == a.shape

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a).abs().max())

    def within(self, difference: float, tolerance: float) -> bool:
        return difference <= tolerance

    def limit(self, tolerance: float) -> float:
        return tolerance

    def compared_with(self, a: Tensor, start: Tensor) -> Tensor:
        return a

    def following(self, a: Tensor, out: Tensor) -> Tensor:
        return out

    def answer(self, flags: list[bool]) -> Any:
        return [index for index, flag in enumerate(flags) if flag]


@mistake("identity/inert_blocks")
@as_function
class EachOnTheFirstInput(Inert):
    """Every block is given a itself; they are applied one after another, each to what the one before it returned."""

    def following(self, a: Tensor, out: Tensor) -> Tensor:
        return a


@mistake("identity/inert_blocks")
@as_function
class ComparedWithTheFirstInput(Inert):
    """Each output is compared with the first input, a; compare it with what that block received."""

    def compared_with(self, a: Tensor, start: Tensor) -> Tensor:
        return start


@mistake("identity/inert_blocks")
@as_function
class SignedDifference(Inert):
    """The difference has no absolute value, so a block that makes everything smaller passes for inert."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a).max())


@mistake("identity/inert_blocks")
@as_function
class SignedTheOtherWay(Inert):
    """The difference has no absolute value, so a block that makes everything larger passes for inert."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((a - out).max())


@mistake("identity/inert_blocks")
@as_function
class MeanDifference(Inert):
    """The mean of the differences is compared with the tolerance; the largest one is meant."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a).abs().mean())


@mistake("identity/inert_blocks")
@as_function
class SmallestDifference(Inert):
    """The smallest difference is compared with the tolerance; the largest one is meant."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a).abs().min())


@mistake("identity/inert_blocks")
@as_function
class EuclideanDifference(Inert):
    """The differences are added up (a norm), so that the verdict depends on how many values there are; the largest
    one is meant."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a).norm())


@mistake("identity/inert_blocks")
@as_function
class FirstImageOnly(Inert):
    """Only the first image of the batch is compared."""

    def difference(self, out: Tensor, a: Tensor) -> float:
        return float((out - a)[0].abs().max())


@mistake("identity/inert_blocks")
@as_function
class RelativeTolerance(Inert):
    """torch.allclose also allows 1e-5 of the value itself (rtol), so large values may differ by more than the
    tolerance: use rtol=0, or the largest difference."""

    def inert(self, block: nn.Module, out: Tensor, a: Tensor, tolerance: float) -> bool:
        return self.same_shape(out, a) and torch.allclose(out, a, atol=tolerance)


@mistake("identity/inert_blocks")
@as_function
class BelowTheTolerance(Inert):
    """A difference of exactly the tolerance is not counted; "at most the tolerance" is <=."""

    def within(self, difference: float, tolerance: float) -> bool:
        return difference < tolerance


@mistake("identity/inert_blocks")
@as_function
class ExactlyEqual(Inert):
    """Only blocks that return exactly their input are counted; the tolerance is not used."""

    def within(self, difference: float, tolerance: float) -> bool:
        return difference == 0.0


@mistake("identity/inert_blocks")
@as_function
class ToleranceIgnored(Inert):
    """The tolerance is always 1e-6, whatever the argument says."""

    def limit(self, tolerance: float) -> float:
        return 1e-6


@mistake("identity/inert_blocks")
@as_function
class ShapesNotCompared(Inert):
    """The shapes are not compared: the difference of two shapes may raise, or broadcast and come out as zero. A
    block that changes the shape is not inert."""

    def same_shape(self, out: Tensor, a: Tensor) -> bool:
        return True


@mistake("identity/inert_blocks")
@as_function
class CountedFromOne(Inert):
    """The indices start at 1; the first block has the index 0."""

    def answer(self, flags: list[bool]) -> Any:
        return [index for index, flag in enumerate(flags, start=1) if flag]


@mistake("identity/inert_blocks")
@as_function
class ActiveBlocks(Inert):
    """These are the blocks that change their input; those that leave it as it is are wanted."""

    def answer(self, flags: list[bool]) -> Any:
        return [index for index, flag in enumerate(flags) if not flag]


@mistake("identity/inert_blocks")
@as_function
class FlagsReturned(Inert):
    """The list says True or False for every block; the indices of the inert ones are wanted."""

    def answer(self, flags: list[bool]) -> Any:
        return flags


@mistake("identity/inert_blocks")
@as_function
class CountReturned(Inert):
    """The number of inert blocks is returned; their indices are wanted, as a list."""

    def answer(self, flags: list[bool]) -> Any:
        return sum(flags)


@mistake("identity/inert_blocks")
@as_function
class FirstOnly(Inert):
    """The search ends at the first inert block; all of them are wanted."""

    def answer(self, flags: list[bool]) -> Any:
        return [index for index, flag in enumerate(flags) if flag][:1]


@mistake("identity/inert_blocks")
@as_function
class StopsAtTheFirstActive(Inert):
    """The search ends at the first block that changes something; later blocks may be inert again."""

    def answer(self, flags: list[bool]) -> Any:
        return list(range(flags.index(False) if False in flags else len(flags)))


@mistake("identity/inert_blocks")
@as_function
class ZeroWeights(Inert):
    """This looks for weights that are zero; a block is judged by what it returns (a batch norm's shift alone is not
    inert, and a block without weights may change its input)."""

    def inert(self, block: nn.Module, out: Tensor, a: Tensor, tolerance: float) -> bool:
        return all(not weight.any() for weight in block.parameters() if weight.dim() > 1)


# --------------------------------------------------------------------------- the block to repair


class Scaled(nn.Module):
    """g(a + s F(a)), one decision a method."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(features, hidden, bias=self.first_bias())
        self.linear2 = nn.Linear(hidden, features, bias=self.second_bias())
        self.make_scale(features)

    def first_bias(self) -> bool:
        return True

    def second_bias(self) -> bool:
        return True

    def make_scale(self, features: int) -> None:
        self.scale = nn.Parameter(torch.zeros(()))

    def between(self, z: Tensor) -> Tensor:
        return F.relu(z)

    def branch(self, a: Tensor) -> Tensor:
        return self.linear2(self.between(self.linear1(a)))

    def carried(self, a: Tensor) -> Tensor:
        return a

    def scaled(self, branch: Tensor) -> Tensor:
        return self.scale * branch

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(a + self.scaled(branch))

    def forward(self, a: Tensor) -> Tensor:
        return self.merge(self.branch(a), self.carried(a))


@mistake("identity/repaired_block")
class SumScaled(Scaled):
    """The scale multiplies the whole sum: with s = 0 the block returns zeros, and nothing passes. Only F(a) is
    scaled."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(self.scale * (a + branch))


@mistake("identity/repaired_block")
class SumScaledAndReluOnTheBranch(Scaled):
    """The scale multiplies the whole sum, and ReLU is applied to F(a) as well: both mistakes are still there."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(self.scale * (a + F.relu(branch)))


@mistake("identity/repaired_block")
class ResultScaled(Scaled):
    """The scale multiplies the result of g: with s = 0 the block returns zeros. Only F(a) is scaled."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return self.scale * F.relu(a + branch)


@mistake("identity/repaired_block")
class SkipScaled(Scaled):
    """The scale multiplies a instead of F(a): with s = 0 the skip is gone."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(self.scale * a + branch)


@mistake("identity/repaired_block")
class GateBetween(Scaled):
    """The scale blends, s F(a) + (1 - s) a, as a highway does; here a is added whole, whatever s is."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(self.scale * branch + (1 - self.scale) * a)


@mistake("identity/repaired_block")
class BiasOutsideTheScale(Scaled):
    """The last bias is added outside the scale: with s = 0 the block still adds it. It is a part of F(a)."""

    def branch(self, a: Tensor) -> Tensor:
        hidden = self.between(self.linear1(a))
        return self.scale * F.linear(hidden, self.linear2.weight) + self.linear2.bias

    def scaled(self, branch: Tensor) -> Tensor:
        return branch


@mistake("identity/repaired_block")
class ScaleOnTheHiddenLayer(Scaled):
    """The scale sits on the hidden layer: with s = 0 the last bias is still added. It multiplies all of F(a)."""

    def branch(self, a: Tensor) -> Tensor:
        return self.linear2(self.scale * self.between(self.linear1(a)))

    def scaled(self, branch: Tensor) -> Tensor:
        return branch


@mistake("identity/repaired_block")
class ScaleForgotten(Scaled):
    """There is no scale any more; the block needs one learnable number that multiplies F(a)."""

    def make_scale(self, features: int) -> None:
        pass

    def scaled(self, branch: Tensor) -> Tensor:
        return branch


@mistake("identity/repaired_block")
class ScalePerFeature(Scaled):
    """There is one scale for every feature; the block has a single number."""

    def make_scale(self, features: int) -> None:
        self.scale = nn.Parameter(torch.zeros(features))


@mistake("identity/repaired_block", see="identity.html#gradients")
class ScaleNotLearned(Scaled):
    """No gradient reaches the scale (detach or .data), so it stays zero for ever."""

    def scaled(self, branch: Tensor) -> Tensor:
        return self.scale.detach() * branch


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class AdditionAfterRelu(Scaled):
    """ReLU is applied to s F(a) before a is added; the sum comes first, and g is applied to it."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return a + F.relu(self.scaled(branch))


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class ReluOnTheBranch(Scaled):
    """ReLU is applied to F(a) as well as to the sum, so F can only push one way; there is one g, after the sum."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(a + self.scaled(F.relu(branch)))


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class NoFinalRelu(Scaled):
    """The ReLU after the sum is missing."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return a + self.scaled(branch)


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class NoSkip(Scaled):
    """The input a is not added any more: this is s F(a) alone."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        return F.relu(self.scaled(branch))


@mistake("identity/repaired_block", see="identity.html#eq-identity", id="relu_missing_between")
class BranchReluMissingBetween(Scaled):
    """There is no ReLU between the two linear layers: without it they are one linear map in two pieces."""

    def between(self, z: Tensor) -> Tensor:
        return z


@mistake("identity/repaired_block", see="identity.html#eq-identity", id="relu_on_the_skip")
class BranchReluOnTheSkip(Scaled):
    """ReLU is applied to a before it is added; the skip carries a as it is."""

    def carried(self, a: Tensor) -> Tensor:
        return F.relu(a)


@mistake("identity/repaired_block", see="identity.html#gradients")
class SkipWithoutGradient(Scaled):
    """The skip is detached: the values are right, but no gradient flows through it."""

    def carried(self, a: Tensor) -> Tensor:
        return a.detach()


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class FirstLayerWithoutBias(Scaled):
    """The first linear layer has lost its bias."""

    def first_bias(self) -> bool:
        return False


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class LastLayerWithoutBias(Scaled):
    """The second linear layer has lost its bias; the scale silences it, it need not be left out."""

    def second_bias(self) -> bool:
        return False


@mistake("identity/repaired_block", see="identity.html#eq-identity")
class InputOverwritten(Scaled):
    """The sum is written into a itself (a += ...), so whoever else holds the block's input sees it change."""

    def merge(self, branch: Tensor, a: Tensor) -> Tensor:
        a += self.scaled(branch)
        return F.relu(a)
