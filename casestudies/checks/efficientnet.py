"""Checks of the assignment `efficientnet`: the rules that scale a network, the gate, MBConv, and drop connect.

`Rounding` and `Growth` are the formulas, `Excite` and `Mobile` the blocks, all cut into small methods, one decision
each; a mistake overrides one of them, and mistakes that override different methods are also made together.
`drop_connect` is random: what is compared are not its values but what they have in common, see `features`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.edges import edges
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
from casestudies.networks import efficientnet
from casestudies.sandboxed.messages import Called

# The channels and repeats of B0, and the width and depth multipliers of B1 to B7.
CHANNELS = sorted({channels for _, _, channels, _, _ in efficientnet.B0} | {efficientnet.STEM})
WIDTHS = sorted({width for width, *_ in efficientnet.SCALING.values() if width > 1})
DEPTHS = sorted({depth for _, depth, *_ in efficientnet.SCALING.values() if depth > 1})

# --------------------------------------------------------------------------- round_channels


class Rounding(Formula):
    """To the nearest multiple of the divisor, but never below 90% of what is wanted, nor below the divisor."""

    def value(self, channels: int, width: float, divisor: int = 8) -> int:
        divisor = self.step(divisor)
        wanted = self.wanted(channels, width)
        rounded = self.at_least(self.nearest(wanted, divisor), divisor)
        return self.guarded(rounded, wanted, channels, divisor)

    def step(self, divisor: int) -> int:
        return divisor

    def wanted(self, channels: int, width: float) -> float:
        return channels * width

    def nearest(self, wanted: float, divisor: int) -> int:
        return int(wanted + divisor / 2) // divisor * divisor

    def at_least(self, rounded: int, divisor: int) -> int:
        return max(divisor, rounded)

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return rounded + divisor if rounded < 0.9 * wanted else rounded


def round_channels(channels: int, width: float, divisor: int = 8) -> int:
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def clear(channels: int, width: float, divisor: int) -> bool:
    """Whether no rounding error can decide: neither a tie nor the edge of the 90% is near, unless exact."""
    wanted = channels * width
    if width == int(width):
        return True
    tie = abs(wanted / divisor % 1 - 0.5) * divisor
    edge = abs(int(wanted + divisor / 2) // divisor * divisor - 0.9 * wanted)
    return min(tie, edge) > 1e-6


def sizes(dice: Dice, low: float, high: float, count: int, divisor: int = 8) -> Iterator[tuple[int, float]]:
    """`count` channels and widths whose product lies in [low, high], in multiples of the divisor."""
    while count:
        channels, wanted = dice.integer(3, 60), divisor * dice.real(low, high)
        width = round(wanted / channels, 3)
        if width > 0 and clear(channels, width, divisor):
            count -= 1
            yield channels, width


def published_channels(dice: Dice) -> Iterator[Call]:
    """Layers of B0 with the multipliers of B2 to B7."""
    pairs = [(c, w) for c in CHANNELS for w in WIDTHS if clear(c, w, 8)]
    for _ in range(5):
        yield call(*dice.choice(pairs))
    for low, high in ((10.6, 10.9), (12.1, 12.35), (14.39, 14.48)):  # up, down, and down by less than 4 in 8
        yield from (call(*pair) for pair in sizes(dice, low, high, 1))


def lost_a_tenth(dice: Dice) -> Iterator[Call]:
    """The nearest multiple is more than 10% below: the next one is taken."""
    yield from (call(*pair) for pair in sizes(dice, 1.15, 1.45, 2))
    yield from (call(*pair) for pair in sizes(dice, 2.26, 2.48, 2))
    yield from (call(*pair) for pair in sizes(dice, 3.05, 3.3, 1))  # less than 10%: it stays
    # A fraction of a channel decides: 17.8 loses more than a tenth on the way to 16, 17 would not.
    yield from (call(*pair) for pair in sizes(dice, 1.113, 1.124, 1))
    yield from (call(*pair) for pair in sizes(dice, 2.225, 2.249, 1))


def very_few(dice: Dice) -> Iterator[Call]:
    yield from (call(*pair) for pair in sizes(dice, 0.1, 0.45, 3))
    yield from (call(*pair) for pair in sizes(dice, 0.55, 0.95, 1))
    yield from (call(*pair) for pair in sizes(dice, 1.55, 1.95, 1))


def other_divisors(dice: Dice) -> Iterator[Call]:
    for divisor in (4, 16, dice.choice([6, 10, 12])):
        yield from (call(*pair, divisor=divisor) for pair in sizes(dice, 1.6, 9.0, 1, divisor))
        yield from (call(*pair, divisor) for pair in sizes(dice, 1.2, 1.45, 1, divisor))
        yield from (
            call(*pair, divisor) for pair in sizes(dice, 0.1, 0.45, 1, divisor)
        )  # at least the divisor
        yield from (call(*pair, divisor) for pair in sizes(dice, 0.55, 0.95, 1, divisor))
        for _ in range(3):  # near a half, where another divisor rounds to another side
            yield from (call(*pair, divisor) for pair in sizes(dice, 2.55, 2.95, 1, divisor))
            yield from (call(*pair, divisor) for pair in sizes(dice, 3.05, 3.45, 1, divisor))


def ties(dice: Dice) -> Iterator[Call]:
    """Exactly halfway: up, whether the multiple below is an odd or an even number of eights."""
    for parity in (0, 1):
        yield call(8 * (2 * dice.integer(3, 12) + parity) + 4, 1.0)
        yield call(4 * (2 * dice.integer(3, 12) + parity) + 2, 2.0)


def exact(dice: Dice) -> Call:
    """Products that are whole numbers, and divisors of which nine tenths are: no rounding error decides."""
    divisor = dice.choice([4, 5, 8, 9, 10, 16, 18, 20])
    return call(dice.integer(1, 100), dice.choice([1.0, 2.0]), divisor)


@part("efficientnet/round_channels", points=3, title="Channels in eights", see="efficientnet.html#rounding")
def _() -> Values:
    return Values(
        round_channels,
        Group("the layers of B0, scaled to other sizes", published_channels),
        Group("never below 90 % of what is wanted", lost_a_tenth),
        Group("never below the divisor", very_few, weight=0.5),
        Group("other divisors", other_divisors),
        Group("halfway between two multiples", ties, weight=0.5),
        Group("on both sides of the limits, and exactly at them", edges(round_channels, exact)),
        Group("many sizes", lambda dice: (call(*p) for p in sizes(dice, 0.2, 20.0, 12))),
    )


def rounding_mistake(wrong: type) -> Any:
    return mistake("efficientnet/round_channels", see="efficientnet.html#rounding")(as_function(wrong))


@rounding_mistake
class NinetyPercentForgotten(Rounding):
    """The 90% rule is missing: where the nearest multiple loses more than a tenth, the next one up is taken."""

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return rounded


@rounding_mistake
class NinetyPercentOfTheOriginal(Rounding):
    """The 90% rule compares with the channels before scaling; it compares with channels · width."""

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return rounded + divisor if rounded < 0.9 * channels else rounded


@rounding_mistake
class RaisedByOne(Rounding):
    """Where the 90% rule strikes, one channel is added; the next multiple of the divisor is taken."""

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return rounded + 1 if rounded < 0.9 * wanted else rounded


@rounding_mistake
class BackToUnrounded(Rounding):
    """Where the 90% rule strikes, the unrounded number is taken; it is the next multiple of the divisor."""

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return int(wanted) if rounded < 0.9 * wanted else rounded


@rounding_mistake
class RoundedDown(Rounding):
    """The number is rounded down to a multiple of the divisor; the nearest multiple is asked for."""

    def nearest(self, wanted: float, divisor: int) -> int:
        return int(wanted) // divisor * divisor


@rounding_mistake
class RoundedUp(Rounding):
    """The number is rounded up to a multiple of the divisor; the nearest multiple is asked for."""

    def nearest(self, wanted: float, divisor: int) -> int:
        return math.ceil(wanted / divisor) * divisor


@rounding_mistake
class RoundedToEven(Rounding):
    """Halfway between two multiples, Python's round() goes to the even one; here it goes up."""

    def nearest(self, wanted: float, divisor: int) -> int:
        return round(wanted / divisor) * divisor


@rounding_mistake
class NotRounded(Rounding):
    """The number of channels is not rounded to a multiple of the divisor at all."""

    def nearest(self, wanted: float, divisor: int) -> int:
        return int(wanted)


@rounding_mistake
class NoLimits(Rounding):
    """This is the nearest multiple and nothing else: few channels become none, and the 90% rule is missing."""

    def at_least(self, rounded: int, divisor: int) -> int:
        return rounded

    def guarded(self, rounded: int, wanted: float, channels: int, divisor: int) -> int:
        return rounded


@rounding_mistake
class WidthIgnored(Rounding):
    """The channels are rounded without being multiplied by the width."""

    def wanted(self, channels: int, width: float) -> float:
        return channels


@rounding_mistake
class WidthSquared(Rounding):
    """The channels are multiplied by the square of the width; it is the cost that grows with the square."""

    def wanted(self, channels: int, width: float) -> float:
        return channels * width**2


@rounding_mistake
class ProductRoundedFirst(Rounding):
    """channels · width is rounded up to a whole number before the multiple of the divisor is looked for."""

    def wanted(self, channels: int, width: float) -> float:
        return math.ceil(channels * width)


@rounding_mistake
class DivisorIgnored(Rounding):
    """The result is a multiple of 8 whatever the divisor is."""

    def step(self, divisor: int) -> int:
        return 8


# --------------------------------------------------------------------------- round_repeats


def round_repeats(repeats: int, depth: float) -> int:
    return math.ceil(repeats * depth)


def stages(dice: Dice, low: float, high: float, count: int) -> Iterator[Call]:
    """Repeats and depths whose product has a fraction between low and high."""
    while count:
        repeats, depth = dice.integer(2, 9), round(dice.real(1.05, 3.2), 2)
        if low < repeats * depth % 1 < high:
            count -= 1
            yield call(repeats, depth)


def whole_products(dice: Dice) -> Iterator[Call]:
    yield call(dice.integer(2, 9), 1.0)
    yield call(dice.integer(2, 9), 2.0)
    yield call(2 * dice.integer(1, 4), 1.5)


def small_depths(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call(1, round(dice.real(1.05, 1.45), 2))
        yield call(dice.integer(2, 4), round(dice.real(0.55, 0.95), 2) + 1e-3)


@part("efficientnet/round_repeats", points=1, title="Layers rounded up", see="efficientnet.html#rounding")
def _() -> Values:
    return Values(
        round_repeats,
        Group("a little more than a whole number", lambda dice: stages(dice, 0.02, 0.48, 5)),
        Group("a little less than a whole number", lambda dice: stages(dice, 0.52, 0.98, 5)),
        Group("whole numbers", whole_products),
        Group("single layers and small depths", small_depths),
    )


def repeats_mistake(wrong: Callable[..., Any]) -> Any:
    return mistake("efficientnet/round_repeats", see="efficientnet.html#rounding")(wrong)


@repeats_mistake
def repeats_rounded(repeats: int, depth: float) -> int:
    """The number of layers is rounded to the nearest; it is always rounded up, so that no stage loses a layer."""
    return int(repeats * depth + 0.5)


@repeats_mistake
def repeats_rounded_down(repeats: int, depth: float) -> int:
    """The number of layers is rounded down; it is rounded up, so that no stage loses a layer."""
    return int(repeats * depth)


@repeats_mistake
def one_layer_more(repeats: int, depth: float) -> int:
    """One is added to the number rounded down, so whole numbers grow as well; math.ceil leaves them alone."""
    return int(repeats * depth) + 1


@repeats_mistake
def depth_rounded_up(repeats: int, depth: float) -> int:
    """The depth itself is rounded up before it is multiplied; the product is rounded up."""
    return repeats * math.ceil(depth)


@repeats_mistake
def depth_added(repeats: int, depth: float) -> int:
    """The depth is added to the layers; it multiplies them."""
    return math.ceil(repeats + depth)


@repeats_mistake
def depth_ignored(repeats: int, depth: float) -> int:
    """The layers are given back unchanged, whatever the depth is."""
    return repeats


@repeats_mistake
def in_multiples_of_eight(repeats: int, depth: float) -> int:
    """The layers are rounded to a multiple of 8; that rule is for channels."""
    return round_channels(repeats, depth)


# --------------------------------------------------------------------------- compound_scaling


class Compound(Formula):
    """(alpha^phi, beta^phi, gamma^phi)."""

    def value(
        self, phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
    ) -> tuple[float, ...]:
        return self.order(*(self.power(base, self.exponent(phi)) for base in (alpha, beta, gamma)))

    def exponent(self, phi: float) -> float:
        return phi

    def power(self, base: float, phi: float) -> float:
        return base**phi

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return depth, width, resolution


def compound_scaling(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> tuple[float, float, float]:
    return alpha**phi, beta**phi, gamma**phi


def published_bases(dice: Dice) -> Iterator[Call]:
    for phi in (0, 1, dice.integer(2, 4), dice.integer(5, 7)):
        yield call(phi)


def bases(dice: Dice) -> dict[str, float]:
    """Alpha, beta, gamma that no two formulas confuse."""
    return {
        "alpha": round(dice.real(1.3, 1.5), 3),
        "beta": round(dice.real(1.02, 1.08), 3),
        "gamma": round(dice.real(1.12, 1.25), 3),
    }


def other_bases(dice: Dice) -> Iterator[Call]:
    for phi in (1, 3):
        yield call(phi, *bases(dice).values())
    yield call(2, **bases(dice))


def fractional_phi(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call(round(dice.real(0.3, 4.5), 2) + 0.001)


@part(
    "efficientnet/compound_scaling", points=2, title="One number scales all", see="efficientnet.html#compound"
)
def _() -> Values:
    return Values(
        compound_scaling,
        Group("the paper's alpha, beta and gamma", published_bases),
        Group("other alpha, beta and gamma", other_bases),
        Group("values of phi that are not whole", fractional_phi),
        Group("shrinking: phi below 0", lambda dice: [call(-1.0), call(-2, **bases(dice))]),
    )


def compound_mistake(wrong: type) -> Any:
    return mistake("efficientnet/compound_scaling", see="efficientnet.html#compound")(as_function(wrong))


@compound_mistake
class WidthFirst(Compound):
    """The order is width, depth, resolution; depth comes first: (alpha^phi, beta^phi, gamma^phi)."""

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return width, depth, resolution


@compound_mistake
class ResolutionFirst(Compound):
    """The order is resolution, width, depth; it is depth, width, resolution."""

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return resolution, width, depth


@compound_mistake
class ResolutionInPixels(Compound):
    """The third number is an image size in pixels; it is the multiplier gamma^phi."""

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return depth, width, round(224 * resolution)


@compound_mistake
class CostsInstead(Compound):
    """Width and resolution are squared: these are factors of the cost. The multipliers themselves are asked for."""

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return depth, width**2, resolution**2


@compound_mistake
class RootsInstead(Compound):
    """Square roots of width and resolution are returned, so that their cost is linear; beta and gamma are already
    chosen so that alpha · beta^2 · gamma^2 is close to 2."""

    def order(self, depth: float, width: float, resolution: float) -> tuple[float, ...]:
        return depth, math.sqrt(width), math.sqrt(resolution)


@compound_mistake
class PhiMultiplied(Compound):
    """phi multiplies alpha, beta and gamma; it is their exponent."""

    def power(self, base: float, phi: float) -> float:
        return base * phi


@compound_mistake
class BaseAndExponentSwapped(Compound):
    """Base and exponent are swapped: it is alpha^phi, not phi^alpha."""

    def power(self, base: float, phi: float) -> float:
        return abs(phi) ** base


@compound_mistake
class LinearGrowth(Compound):
    """The multipliers grow in a straight line, 1 + phi (alpha - 1); they grow as powers, alpha^phi."""

    def power(self, base: float, phi: float) -> float:
        return 1 + phi * (base - 1)


@compound_mistake
class ExponentialOfBase(Compound):
    """exp(alpha · phi) is computed; it is alpha^phi, which is exp(phi · log(alpha))."""

    def power(self, base: float, phi: float) -> float:
        return math.exp(base * phi)


@compound_mistake
class OneStepAhead(Compound):
    """The exponent is phi + 1; with phi = 0 nothing is scaled: that is B0."""

    def exponent(self, phi: float) -> float:
        return phi + 1


@compound_mistake
class WholePhi(Compound):
    """phi is rounded down to a whole number; any real number is a valid exponent."""

    def exponent(self, phi: float) -> float:
        return math.floor(phi)


# --------------------------------------------------------------------------- flops_growth


class Growth(Formula):
    """(alpha beta^2 gamma^2)^phi."""

    def value(self, phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
        return self.grown(self.depth(alpha) * self.width(beta) * self.resolution(gamma), phi)

    def depth(self, alpha: float) -> float:
        return alpha

    def width(self, beta: float) -> float:
        return beta**2

    def resolution(self, gamma: float) -> float:
        return gamma**2

    def grown(self, step: float, phi: float) -> float:
        return step**phi


def flops_growth(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    return (alpha * beta**2 * gamma**2) ** phi


@part("efficientnet/flops_growth", points=2, title="What the scaling costs", see="efficientnet.html#compound")
def _() -> Values:
    return Values(
        flops_growth,
        Group("the paper's alpha, beta and gamma", published_bases),
        Group("other alpha, beta and gamma", other_bases),
        Group("values of phi that are not whole", fractional_phi),
        Group("shrinking: phi below 0", lambda dice: [call(-1.0), call(-2, **bases(dice))]),
    )


def growth_mistake(wrong: type) -> Any:
    return mistake("efficientnet/flops_growth", see="efficientnet.html#compound")(as_function(wrong))


@growth_mistake
class WidthLinear(Growth):
    """The width counts once; it counts twice, since a layer's cost grows with its input and its output channels."""

    def width(self, beta: float) -> float:
        return beta


@growth_mistake
class ResolutionLinear(Growth):
    """The resolution counts once; it counts twice, for the height and for the width of the grid."""

    def resolution(self, gamma: float) -> float:
        return gamma


@growth_mistake
class DepthSquared(Growth):
    """The depth counts twice; twice as many layers cost twice as much."""

    def depth(self, alpha: float) -> float:
        return alpha**2


@growth_mistake
class DepthForgotten(Growth):
    """The depth is not counted: alpha is missing."""

    def depth(self, alpha: float) -> float:
        return 1.0


@growth_mistake
class ResolutionForgotten(Growth):
    """The resolution is not counted. It leaves the parameters alone, but not the cost: gamma^2 is missing."""

    def resolution(self, gamma: float) -> float:
        return 1.0


@growth_mistake
class WidthForgotten(Growth):
    """The width is not counted: beta^2 is missing."""

    def width(self, beta: float) -> float:
        return 1.0


@growth_mistake
class PhiIgnored(Growth):
    """This is the growth for phi = 1; it is raised to the power phi."""

    def grown(self, step: float, phi: float) -> float:
        return step


@growth_mistake
class PhiAsFactor(Growth):
    """phi multiplies the growth; it is the exponent."""

    def grown(self, step: float, phi: float) -> float:
        return step * phi


@growth_mistake
class TwoToThePhi(Growth):
    """This is 2^phi, which alpha · beta^2 · gamma^2 only comes close to; the exact product is asked for."""

    def grown(self, step: float, phi: float) -> float:
        return 2.0**phi


@growth_mistake
class GrowthOnTop(Growth):
    """This is how much is added; the growth asked for is the whole factor, 1 when nothing changes."""

    def grown(self, step: float, phi: float) -> float:
        return step**phi - 1


@mistake("efficientnet/flops_growth", see="efficientnet.html#compound")
def terms_added(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    """The three factors are added; they multiply, since each scales all that the others have left."""
    return alpha**phi + beta ** (2 * phi) + gamma ** (2 * phi)


@mistake("efficientnet/flops_growth", see="efficientnet.html#compound")
def defaults_ignored(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    """The paper's numbers are used whatever alpha, beta and gamma are given."""
    return flops_growth(phi)


# --------------------------------------------------------------------------- drop_connect


BATCH = 128  # samples of a call
REPEATS = 24  # of every call: what has a share is looked at in some three thousand samples
SIGMAS = 9.0  # how far a share may be off by chance: farther once in 10^18 calls
STEADY = 0.004  # below it a share varies less than by chance: once in 10^20 calls of independent samples


def drop_connect(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    if not training or drop_rate == 0:
        return x
    kept = torch.rand(x.shape[0], 1, 1, 1) < 1 - drop_rate  # one draw for each sample
    return x * kept.to(x.dtype) / (1 - drop_rate)


def features(made: Call, *answers: Called) -> dict[str, str]:
    """What is compared instead of random values. Words only, so that equal features mean equal behaviour.

    What is set to zero together (samples, channels, elements), how often, whether at random places, by what the rest
    is multiplied, and what gradient reaches x. A question mark: it is seen to be wrong, but has no name here.
    """
    x = made.args[0]
    rate: float = made.kwargs["drop_rate"] if "drop_rate" in made.kwargs else made.args[1]
    ratios = []
    for answer in answers:
        found = answer.value
        if found.kind != "tensor" or found.value.shape != x.shape:
            problem = f"a {found.kind}" if found.kind != "tensor" else "a tensor of another shape"
            return {"result": problem}
        ratios.append(found.value.double() / x.double())
        if not torch.isfinite(ratios[-1]).all():
            return {"result": "a tensor with NaN or infinity"}
    dropped = [ratio.abs() < 1e-6 for ratio in ratios]
    kept_argument = all(torch.equal(each.tensors_after[0].double(), x.double()) for each in answers)
    left = torch.cat([ratio[~zero] for ratio, zero in zip(ratios, dropped, strict=True)])
    seen: dict[str, str] = {"result": "a tensor of x's shape", "set to zero together": _units(dropped)}
    if seen["set to zero together"] not in ("nothing", "everything", "the whole batch"):
        seen["draws"] = _draws(dropped)
        if seen["set to zero together"] != "the same elements in every sample":
            seen["share of zeros"] = _share(dropped, rate)
            seen["places"] = _places(dropped)
    masks = all(((each.value.value == 0) | (each.value.value == 1)).all() for each in answers)
    seen["the others are multiplied by"] = "nothing, all are 1" if masks else _factor(left, rate)
    seen["gradient"] = _gradient(answers[0], ratios[0])
    seen["argument"] = "left as it was" if kept_argument else "changed in place"
    return seen


def _units(dropped: list[Tensor]) -> str:
    """What one draw decides about."""
    every = torch.stack([each.flatten(1) for each in dropped])  # (calls, samples, elements)
    if not every.any():
        return "nothing"
    if every.all():
        return "everything"
    if (every == every[:, :1, :1]).all():
        return "the whole batch"
    if (every == every[..., :1]).all():
        return "whole samples"
    if (every == every[:, :1]).all():
        return "the same elements in every sample"
    maps = torch.stack([each.flatten(2) for each in dropped])
    if (maps == maps[..., :1]).all():
        return "whole channels"
    return "all channels of a pixel" if (maps == maps[:, :, :1]).all() else "single elements"


def _draws(dropped: list[Tensor]) -> str:
    same = all(torch.equal(each, dropped[0]) for each in dropped)
    return "the same random numbers at every call" if same else "new random numbers at every call"


def _share(dropped: list[Tensor], rate: float) -> str:
    """How often the first element of a sample is zero: independent from sample to sample."""
    first = torch.stack([each.flatten(1)[:, 0] for each in dropped]).double()  # (calls, samples)
    shares = first.mean(1)
    share, count = float(first.mean()), first.numel()
    words = {"drop_rate": rate, "1 - drop_rate": 1 - rate, "half of drop_rate": rate / 2}
    word, known = min(words.items(), key=lambda item: abs(item[1] - share))
    variance = known * (1 - known)
    if abs(share - known) > SIGMAS * math.sqrt(variance / count):
        return "another share?"
    spread = float(((shares - known) ** 2).mean()) * first.shape[1] / max(variance, 1e-9)
    return word if spread > STEADY else f"{word}, a fixed share of every batch"


def _places(dropped: list[Tensor]) -> str:
    """Whether zeros and others follow each other as often as they do by chance."""
    first = torch.stack([each.flatten(1)[:, 0] for each in dropped])
    both = float(first.double().mean())
    both *= 1 - both
    changes, steps = float((first[:, 1:] != first[:, :-1]).sum()), first.numel() - len(first)
    expected, deviation = 2 * both * steps, math.sqrt(4 * both * (1 - 3 * both) * steps)
    return "at random" if abs(changes - expected) <= SIGMAS * deviation + 2 else "in a pattern"


def _factor(kept: Tensor, rate: float) -> str:
    if not kept.numel():
        return "nothing"
    if kept.max() - kept.min() > 1e-5 * float(kept.abs().max()):
        return "different numbers?"
    value = float(kept.mean())
    words = {"1": 1.0}
    if rate:
        words |= {
            "1 / (1 - drop_rate)": 1 / (1 - rate),
            "1 / drop_rate": 1 / rate,
            "1 - drop_rate": 1 - rate,
            "drop_rate": rate,
        }
    return next(
        (word for word, known in words.items() if abs(value - known) < 1e-5 * known), "another number?"
    )


def _gradient(answer: Called, ratio: Tensor) -> str:
    """What x is told of a loss that adds up the result: by how much each of its elements was multiplied."""
    if answer.gradients is None:
        return "missing?"
    gradient = answer.gradients[0]
    if gradient is None:
        return "none, x is detached"
    far = (gradient.double() - ratio).abs().max() > 1e-4 * float(ratio.abs().max() + 1)
    return "another gradient?" if far else "that of what was kept"


def images(dice: Dice) -> Tensor:
    """A batch without zeros, so that every zero of the result was put there."""
    shape = (BATCH, 3, 2, 2)
    return dice.signs(*shape) * dice.uniform(0.5, 1.5, *shape)


def training_batches(dice: Dice) -> Iterator[Call]:
    yield call(images(dice), round(dice.real(0.35, 0.38), 2), True)
    yield call(images(dice), drop_rate=round(dice.real(0.62, 0.65), 2), training=True)


def training_and_evaluation(dice: Dice) -> Iterator[Call]:
    yield call(images(dice), round(dice.real(0.36, 0.6), 2), False)
    yield call(images(dice), round(dice.real(0.36, 0.6), 2), True)
    yield call(images(dice), drop_rate=round(dice.real(0.36, 0.6), 2), training=False)


def rate_of_zero(dice: Dice) -> Iterator[Call]:
    yield call(images(dice), 0.0, True)
    yield call(images(dice), 0.0, False)
    yield call(images(dice), round(dice.real(0.36, 0.6), 2), True)


@part("efficientnet/drop_connect", points=3, title="Drop connect", see="efficientnet.html#drop-connect")
def _() -> Values:
    return Values(
        drop_connect,
        Group("in training: what is set to zero, how often, and the rest", training_batches, weight=2.0),
        Group("training against evaluation", training_and_evaluation),
        Group("a rate of 0 changes nothing", rate_of_zero, weight=0.5),
        Group("another rate", lambda dice: [call(images(dice), 0.45, True)]),
        view=features,
        random=True,
        gradients=True,
        repeats=REPEATS,
    )


class Dropping(Formula):
    """Drop connect, one decision a method."""

    def value(self, x: Tensor, drop_rate: float, training: bool) -> Any:
        if not self.active(drop_rate, training):
            return self.untouched(x, drop_rate)
        kept = torch.rand(self.draws(x)) < self.probability(drop_rate)
        return self.result(x, self.rescaled(x, drop_rate) * kept.to(x.dtype))

    def active(self, drop_rate: float, training: bool) -> bool:
        return training and drop_rate > 0

    def untouched(self, x: Tensor, drop_rate: float) -> Tensor:
        return x

    def draws(self, x: Tensor) -> tuple[int, ...]:
        return (x.shape[0], *[1] * (x.dim() - 1))

    def probability(self, drop_rate: float) -> float:
        return 1 - drop_rate

    def rescaled(self, x: Tensor, drop_rate: float) -> Tensor:
        return x / (1 - drop_rate)

    def result(self, x: Tensor, dropped: Tensor) -> Any:
        return dropped


def dropping_mistake(wrong: type) -> Any:
    return mistake("efficientnet/drop_connect", see="efficientnet.html#drop-connect")(as_function(wrong))


@dropping_mistake
class PerElement(Dropping):
    """Single elements are dropped, as dropout does; drop connect draws once for each sample and drops it whole."""

    def draws(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)


@dropping_mistake
class PerChannel(Dropping):
    """Whole channels are dropped, as dropout2d does; drop connect draws once for each sample and drops it whole."""

    def draws(self, x: Tensor) -> tuple[int, ...]:
        return (*x.shape[:2], *[1] * (x.dim() - 2))


@dropping_mistake
class PerBatch(Dropping):
    """There is one draw for the whole batch, so all samples share its fate; each sample has a draw of its own."""

    def draws(self, x: Tensor) -> tuple[int, ...]:
        return (1,) * x.dim()


@dropping_mistake
class SameForEverySample(Dropping):
    """The same elements are dropped in every sample; there is one draw for each sample, which drops it whole."""

    def draws(self, x: Tensor) -> tuple[int, ...]:
        return (1, *x.shape[1:])


@dropping_mistake
class NotRescaled(Dropping):
    """The samples that are kept are not divided by 1 - drop_rate, so the expected value shrinks."""

    def rescaled(self, x: Tensor, drop_rate: float) -> Tensor:
        return x


@dropping_mistake
class DividedByTheRate(Dropping):
    """The samples that are kept are divided by drop_rate; it is the probability to keep them, 1 - drop_rate, that
    they are divided by."""

    def rescaled(self, x: Tensor, drop_rate: float) -> Tensor:
        return x / drop_rate


@dropping_mistake
class MultipliedInstead(Dropping):
    """The samples that are kept are multiplied by 1 - drop_rate; they are divided by it, to keep the expected value
    as it is."""

    def rescaled(self, x: Tensor, drop_rate: float) -> Tensor:
        return x * (1 - drop_rate)


@dropping_mistake
class KeptInstead(Dropping):
    """drop_rate is the share of the samples that is kept; it is the share that is dropped."""

    def probability(self, drop_rate: float) -> float:
        return drop_rate


@dropping_mistake
class ActiveInEvaluation(Dropping):
    """Samples are dropped in evaluation too; outside of training x comes back as it is."""

    def active(self, drop_rate: float, training: bool) -> bool:
        return drop_rate > 0


@dropping_mistake
class OnlyInEvaluation(Dropping):
    """Samples are dropped in evaluation, not in training; it is the other way round."""

    def active(self, drop_rate: float, training: bool) -> bool:
        return not training and drop_rate > 0


@dropping_mistake
class NeverActive(Dropping):
    """Nothing is ever dropped: x comes back in training too. (Is the result of the drop assigned and returned?)"""

    def active(self, drop_rate: float, training: bool) -> bool:
        return False


@dropping_mistake
class ScaledInEvaluation(Dropping):
    """In evaluation x is multiplied by 1 - drop_rate, as in the first form of dropout; here the kept samples are
    scaled up in training, and evaluation changes nothing."""

    def untouched(self, x: Tensor, drop_rate: float) -> Tensor:
        return x * (1 - drop_rate)


@dropping_mistake
class MaskReturned(Dropping):
    """What comes back is the mask of zeros and ones, not x with dropped samples."""

    def result(self, x: Tensor, dropped: Tensor) -> Tensor:
        return (dropped != 0).to(x.dtype)


@dropping_mistake
class InPlaceDrop(Dropping):
    """x itself is overwritten; whoever else holds it, such as the residual connection, sees it change."""

    def result(self, x: Tensor, dropped: Tensor) -> Tensor:
        return x.copy_(dropped)


@mistake("efficientnet/drop_connect", see="efficientnet.html#drop-connect")
def first_samples_dropped(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    """Always the first samples of the batch are dropped; each sample is dropped with the same probability."""
    if not training or drop_rate == 0:
        return x
    kept = torch.arange(x.shape[0]) >= round(drop_rate * x.shape[0])
    return x * kept.to(x.dtype).view(-1, *[1] * (x.dim() - 1)) / (1 - drop_rate)


# --------------------------------------------------------------------------- squeeze and excitation


def gates() -> Space:
    """A quarter of the channels, or 1, or as many, or more: squeezed to whatever the argument says."""
    return Space(
        {
            "channels, squeezed": (
                any_of((6, 2), (5, 3)),
                any_of((8, 1), (3, 1)),
                any_of((4, 4), (6, 6)),
                any_of((3, 4), (5, 7)),
            )
        },
        shape=("channels", SIDES, SIDES),
        scale=2.0,
    )


@part("efficientnet/squeeze_excite", points=3, title="Squeeze and excite", see="efficientnet.html#squeeze")
def _() -> Reference:
    return Reference(
        efficientnet.SqueezeExcite,
        gates(),
    )


@part(
    "efficientnet/repaired_gate",
    points=2,
    title="Find the bug",
    see="efficientnet.html#what-goes-wrong",
    given=("batch_mixed",),
)
def _() -> Reference:
    class RepairedGate(efficientnet.SqueezeExcite):
        pass

    return Reference(
        RepairedGate,
        gates(),
        weights={"structure": 0.0},  # the broken gate has it right
    )


class Excite(nn.Module):
    """x · sigmoid(W2 silu(W1 mean(x) + b1) + b2), one decision a method."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        narrow = self.narrow(channels, squeezed)
        self.down = nn.Linear(channels, narrow, bias=self.bias())
        self.up = nn.Linear(narrow, channels, bias=self.bias())

    def narrow(self, channels: int, squeezed: int) -> int:
        return squeezed

    def bias(self) -> bool:
        return True

    def squeeze(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))

    def activation(self, z: Tensor) -> Tensor:
        return F.silu(z)

    def gate(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)

    def apply_gate(self, x: Tensor, gate: Tensor) -> Tensor:
        return x * gate

    def forward(self, x: Tensor) -> Tensor:
        gate = self.gate(self.up(self.activation(self.down(self.squeeze(x)))))
        return self.apply_gate(x, gate[:, :, None, None])


def gate_mistake(wrong: type) -> type:
    """Declares a mistake for the gate that is written and for the one that is repaired."""
    for name in ("squeeze_excite", "repaired_gate"):
        mistake(f"efficientnet/{name}", see="efficientnet.html#squeeze")(wrong)
    return wrong


@gate_mistake
class SigmoidMissing(Excite):
    """The gate has no sigmoid, so its factors are any numbers; with it each lies between 0 and 1."""

    def gate(self, z: Tensor) -> Tensor:
        return z


@gate_mistake
class SiluGate(Excite):
    """The gate ends with SiLU; it ends with a sigmoid, which gives factors between 0 and 1."""

    def gate(self, z: Tensor) -> Tensor:
        return F.silu(z)


@gate_mistake
class HardSigmoidGate(Excite):
    """The gate ends with a hard sigmoid, as in MobileNetV3; here it is the smooth one."""

    def gate(self, z: Tensor) -> Tensor:
        return F.hardsigmoid(z)


@gate_mistake
class SoftmaxGate(Excite):
    """The gate ends with a softmax, so its factors add up to 1; with a sigmoid each channel opens by itself."""

    def gate(self, z: Tensor) -> Tensor:
        return z.softmax(dim=1)


@gate_mistake
class TanhGate(Excite):
    """The gate ends with tanh, whose factors reach below 0; it ends with a sigmoid."""

    def gate(self, z: Tensor) -> Tensor:
        return torch.tanh(z)


@gate_mistake
class ReluInSqueeze(Excite):
    """The activation between the two layers is ReLU, as in the first paper on squeeze-and-excitation; EfficientNet
    has SiLU there."""

    def activation(self, z: Tensor) -> Tensor:
        return F.relu(z)


@gate_mistake
class SiluForgotten(Excite):
    """There is no SiLU between the two layers of the gate, so they are one linear map in two pieces."""

    def activation(self, z: Tensor) -> Tensor:
        return z


@gate_mistake
class SigmoidInSqueeze(Excite):
    """The activation between the two layers is a sigmoid; it is SiLU, z · sigmoid(z)."""

    def activation(self, z: Tensor) -> Tensor:
        return torch.sigmoid(z)


@gate_mistake
class MaximumTaken(Excite):
    """The squeeze takes the maximum over the grid; it takes the average."""

    def squeeze(self, x: Tensor) -> Tensor:
        return x.amax(dim=(2, 3))


@gate_mistake
class SumTaken(Excite):
    """The squeeze adds up the grid; it takes the average, so that the gate does not depend on the size of the
    image."""

    def squeeze(self, x: Tensor) -> Tensor:
        return x.sum(dim=(2, 3))


@gate_mistake
class BatchMixed(Excite):
    """The average also runs over the batch, so every image gets the gate of its neighbours; the average is over the
    grid, dim=(2, 3), each image by itself."""

    def squeeze(self, x: Tensor) -> Tensor:
        return x.mean(dim=(0, 2, 3), keepdim=True).flatten(1).expand(x.shape[0], -1)


@gate_mistake
class RowsOnly(Excite):
    """Only a single row or column of the grid is averaged; the average is over all pixels, dim=(2, 3)."""

    def squeeze(self, x: Tensor) -> Tensor:
        return x.mean(dim=2)[..., 0]


@gate_mistake
class BiasesMissing(Excite):
    """The two layers have no biases; here they have, since no batch norm follows them."""

    def bias(self) -> bool:
        return False


@gate_mistake
class ReductionRatio(Excite):
    """`squeezed` is taken as a ratio, channels // squeezed; it is the number of channels in the middle itself."""

    def narrow(self, channels: int, squeezed: int) -> int:
        return max(1, channels // squeezed)


@gate_mistake
class NotSqueezed(Excite):
    """The layer in the middle has as many channels as the input; it has `squeezed`."""

    def narrow(self, channels: int, squeezed: int) -> int:
        return channels


@gate_mistake
class GateReturned(Excite):
    """The gate itself is returned; x multiplied by it is asked for."""

    def apply_gate(self, x: Tensor, gate: Tensor) -> Tensor:
        return gate


@gate_mistake
class GateAdded(Excite):
    """The gate is added to x; it multiplies x."""

    def apply_gate(self, x: Tensor, gate: Tensor) -> Tensor:
        return x + gate


@gate_mistake
class InputAdded(Excite):
    """x is added to the gated x; only the gated x is asked for."""

    def apply_gate(self, x: Tensor, gate: Tensor) -> Tensor:
        return x + x * gate


@gate_mistake
class InPlaceGate(Excite):
    """x itself is overwritten (x *= gate), so whoever else holds it sees it change."""

    def apply_gate(self, x: Tensor, gate: Tensor) -> Tensor:
        x *= gate
        return x


# --------------------------------------------------------------------------- MBConv


@part("efficientnet/mbconv", points=4, title="The block MBConv", see="efficientnet.html#mbconv")
def _() -> Reference:
    class MBConv(efficientnet.MBConv):
        def __init__(
            self,
            in_channels: int,
            out_channels: int,
            kernel_size: int = 3,
            stride: int = 1,
            expansion: int = 6,
        ) -> None:
            super().__init__(in_channels, out_channels, kernel_size, stride, expansion)

    return Reference(
        MBConv,
        Space(
            {
                "in_channels, out_channels": (
                    any_of((8, 8), (3, 3), (7, 7)),  # with stride 1 the input is added
                    any_of((4, 6), (3, 4), (7, 9)),
                    any_of((9, 5), (10, 6), (7, 4), (3, 2)),
                ),
                "kernel_size": (3, 5),
                "stride": (1, 2, 3),
                "expansion": (6, 1, any_of(2, 3, 4)),  # with 1 there is nothing to expand
            },
            shape=("in_channels", SIDES, SIDES),
            conditions=(
                lambda in_channels, **_: in_channels < 4,  # a quarter of 3 channels is still 1
                lambda in_channels, **_: (
                    in_channels % 8 == 7
                ),  # and of 7 channels it is cut to 1, not rounded to 2
            ),
            scale=(3.0, 0.03),  # so faint that in a batch norm the variance is no larger than eps
        ),
    )


class Mobile(nn.Module):
    """Expand, filter, gate, project, and add the input where it fits: one decision a method."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, expansion: int = 6
    ) -> None:
        super().__init__()
        wide = self.hidden(in_channels, out_channels, expansion)
        on_expand, on_filter, on_project = self.strides(stride)
        self.expand = None
        if self.expands(expansion):
            self.expand = self.conv(in_channels, wide, 1, on_expand)
            self.norm1 = self.norm(wide)
        self.filter = self.conv(wide, wide, self.kernel(kernel_size), on_filter, self.groups(wide))
        self.norm2 = self.norm(wide)
        self.gate = self.make_gate(self.gated(wide, out_channels), self.squeezed(in_channels, wide))
        self.project = self.conv(wide, out_channels, 1, on_project)
        self.norm3 = self.last_norm(out_channels)
        self.adds = self.residual(in_channels, out_channels, stride)

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * in_channels

    def expands(self, expansion: int) -> bool:
        return expansion != 1

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, stride, 1

    def kernel(self, kernel_size: int) -> int:
        return kernel_size

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, groups: int = 1
    ) -> nn.Module:
        padding = self.padding(kernel)
        return nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=self.bias())

    def padding(self, kernel: int) -> int:
        return kernel // 2

    def groups(self, wide: int) -> int:
        return wide

    def bias(self) -> bool:
        return False

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels, eps=self.eps(), momentum=self.momentum())

    def last_norm(self, channels: int) -> nn.Module:
        return self.norm(channels)

    def eps(self) -> float:
        return 1e-3

    def momentum(self) -> float:
        return 0.01

    def squeezed(self, in_channels: int, wide: int) -> int:
        return max(1, in_channels // 4)

    def gated(self, wide: int, out_channels: int) -> int:
        return wide

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return efficientnet.SqueezeExcite(channels, squeezed)

    def residual(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride == 1 and in_channels == out_channels

    def activation(self, x: Tensor) -> Tensor:
        return F.silu(x)

    def after_expansion(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def after_filter(self, x: Tensor) -> Tensor:
        return self.gate(self.activation(x))

    def after_projection(self, x: Tensor) -> Tensor:
        return x

    def merge(self, projected: Tensor, x: Tensor) -> Tensor:
        return x + projected

    def forward(self, x: Tensor) -> Tensor:
        wide = x
        if self.expand is not None:
            wide = self.after_expansion(self.norm1(self.expand(x)))
        wide = self.after_filter(self.norm2(self.filter(wide)))
        projected = self.after_projection(self.norm3(self.project(wide)))
        return self.merge(projected, x) if self.adds else projected


def mbconv_mistake(see: str = "efficientnet.html#mbconv", id: str | None = None) -> Callable[[type], type]:
    return mistake("efficientnet/mbconv", see=see, id=id)


@mbconv_mistake(see="efficientnet.html#squeeze")
class SqueezedFromHidden(Mobile):
    """The gate squeezes to a quarter of the expanded width; it is a quarter of the block's input channels."""

    def squeezed(self, in_channels: int, wide: int) -> int:
        return max(1, wide // 4)


@mbconv_mistake(see="efficientnet.html#squeeze")
class SqueezedBySixteen(Mobile):
    """The gate squeezes by 16, the ratio of the first paper on squeeze-and-excitation; here it is to a quarter of the
    block's input channels."""

    def squeezed(self, in_channels: int, wide: int) -> int:
        return max(1, wide // 16)


@mbconv_mistake(see="efficientnet.html#squeeze")
class SqueezedToEights(Mobile):
    """The squeezed width is rounded to a multiple of 8, as in MobileNetV3; here it is in_channels // 4, at least
    1."""

    def squeezed(self, in_channels: int, wide: int) -> int:
        return round_channels(in_channels, 0.25)


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateMissing(Mobile):
    """There is no squeeze-and-excitation: this is MobileNetV2's block with SiLU."""

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return nn.Identity()


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateWithoutSigmoid(Mobile):
    """The gate has no sigmoid, so its factors are any numbers; with it each lies between 0 and 1."""

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return SigmoidMissing(channels, squeezed)


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateWithRelu(Mobile):
    """The activation inside of the gate is ReLU; in EfficientNet it is SiLU."""

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return ReluInSqueeze(channels, squeezed)


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateWithoutSilu(Mobile):
    """There is no SiLU between the two layers of the gate, so they are one linear map in two pieces."""

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return SiluForgotten(channels, squeezed)


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateWithoutBiases(Mobile):
    """The two layers of the gate have no biases; here they have, since no batch norm follows them."""

    def make_gate(self, channels: int, squeezed: int) -> nn.Module:
        return BiasesMissing(channels, squeezed)


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateBeforeActivation(Mobile):
    """The gate stands before the SiLU; it follows it: depthwise, batch norm, SiLU, gate."""

    def after_filter(self, x: Tensor) -> Tensor:
        return self.activation(self.gate(x))


@mbconv_mistake(see="efficientnet.html#squeeze")
class GateAfterProjection(Mobile):
    """The gate works on the block's result; it works on the expanded channels, before the projection."""

    def gated(self, wide: int, out_channels: int) -> int:
        return out_channels

    def after_filter(self, x: Tensor) -> Tensor:
        return self.activation(x)

    def after_projection(self, x: Tensor) -> Tensor:
        return self.gate(x)


@mbconv_mistake()
class Relu6ForSilu(Mobile):
    """The activation is ReLU6, that of MobileNetV2; here it is SiLU."""

    def activation(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@mbconv_mistake()
class ReluForSilu(Mobile):
    """The activation is ReLU; here it is SiLU, x · sigmoid(x)."""

    def activation(self, x: Tensor) -> Tensor:
        return F.relu(x)


@mbconv_mistake()
class HardSwishForSilu(Mobile):
    """The activation is hard swish, that of MobileNetV3; here it is the smooth one, SiLU."""

    def activation(self, x: Tensor) -> Tensor:
        return F.hardswish(x)


@mbconv_mistake()
class GeluForSilu(Mobile):
    """The activation is GELU, whose curve is much like SiLU's, x · sigmoid(x), but not the same."""

    def activation(self, x: Tensor) -> Tensor:
        return F.gelu(x)


@mbconv_mistake()
class ActivationAfterProjection(Mobile):
    """SiLU is applied after the projection; as in MobileNetV2 the bottleneck is linear."""

    def after_projection(self, x: Tensor) -> Tensor:
        return F.silu(x)


@mbconv_mistake()
class ActivationMissingAfterExpansion(Mobile):
    """There is no SiLU after the expansion; only the projection is linear."""

    def after_expansion(self, x: Tensor) -> Tensor:
        return x


@mbconv_mistake()
class ActivationMissingAfterDepthwise(Mobile):
    """There is no SiLU after the depthwise convolution; only the projection is linear."""

    def after_filter(self, x: Tensor) -> Tensor:
        return self.gate(x)


@mbconv_mistake()
class ResidualMissing(Mobile):
    """The input is never added; with stride 1 and equal channels it is."""

    def residual(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return False


@mbconv_mistake()
class ResidualForEqualChannels(Mobile):
    """The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then."""

    def residual(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return in_channels == out_channels


@mbconv_mistake()
class ResidualForStrideOne(Mobile):
    """The input is added wherever the stride is 1; with other channels it does not fit: no residual then."""

    def residual(self, in_channels: int, out_channels: int, stride: int) -> bool:
        return stride == 1


# PyTorch's message says which operand came first: where the shapes do not fit, both orders of the sum are known.
def _other_order(self: Mobile, projected: Tensor, x: Tensor) -> Tensor:
    return projected + x


for _known in (ResidualForEqualChannels, ResidualForStrideOne):
    _other = type(_known.__name__, (_known,), {"merge": _other_order, "__doc__": _known.__doc__})
    mbconv_mistake()(_other)


@mbconv_mistake()
class InPlaceResidual(Mobile):
    """The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change."""

    def merge(self, projected: Tensor, x: Tensor) -> Tensor:
        x += projected
        return x


@mbconv_mistake()
class WidthFromOutput(Mobile):
    """The hidden width is taken from the output channels; it is expansion · in_channels."""

    def hidden(self, in_channels: int, out_channels: int, expansion: int) -> int:
        return expansion * out_channels


@mbconv_mistake()
class ExpansionKeptAtOne(Mobile):
    """With expansion 1 there is still a 1x1 convolution in front; there is nothing to expand, so no layer for it."""

    def expands(self, expansion: int) -> bool:
        return True


@mbconv_mistake()
class KernelAlwaysThree(Mobile):
    """The depthwise kernel is 3x3 whatever kernel_size says."""

    def kernel(self, kernel_size: int) -> int:
        return 3


@mbconv_mistake()
class PaddingOfThree(Mobile):
    """The padding of the depthwise convolution is 1 whatever the kernel; it is kernel_size // 2."""

    def padding(self, kernel: int) -> int:
        return min(1, kernel // 2)


@mbconv_mistake()
class DenseFilter(Mobile):
    """The k x k convolution is a full one (groups forgotten); it is depthwise, one filter for each hidden channel."""

    def groups(self, wide: int) -> int:
        return 1


@mbconv_mistake()
class StrideOnExpansion(Mobile):
    """The stride sits on the first 1x1 convolution, which then skips three of four pixels; it belongs on the
    depthwise convolution."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return stride, 1, 1


@mbconv_mistake()
class StrideOnProjection(Mobile):
    """The stride sits on the projection, so depthwise convolution and gate work on pixels that are then thrown away;
    it belongs on the depthwise convolution."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, 1, stride


@mbconv_mistake()
class StrideForgotten(Mobile):
    """No convolution carries the stride: the grid stays as it is."""

    def strides(self, stride: int) -> tuple[int, int, int]:
        return 1, 1, 1


@mbconv_mistake(see="efficientnet.html#batch-norm")
class DefaultEps(Mobile):
    """The eps of the batch norms is PyTorch's 1e-5; EfficientNet's is 1e-3."""

    def eps(self) -> float:
        return 1e-5


@mbconv_mistake(see="efficientnet.html#batch-norm")
class DefaultMomentum(Mobile):
    """The momentum of the batch norms is PyTorch's 0.1; EfficientNet's is 0.01: its statistics move slowly."""

    def momentum(self) -> float:
        return 0.1


@mbconv_mistake(see="efficientnet.html#batch-norm")
class TensorFlowMomentum(Mobile):
    """The momentum of the batch norms is 0.99: that is TensorFlow's way of counting. PyTorch's momentum is the share
    of the new value, so it is 0.01."""

    def momentum(self) -> float:
        return 0.99


@mbconv_mistake(see="efficientnet.html#batch-norm")
class DefaultBatchNorm(Mobile):
    """The batch norms have PyTorch's eps and momentum; EfficientNet's are eps=1e-3 and momentum=0.01."""

    def eps(self) -> float:
        return 1e-5

    def momentum(self) -> float:
        return 0.1


@mbconv_mistake(see="efficientnet.html#batch-norm")
class BiasBeforeBatchNorm(Mobile):
    """The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False."""

    def bias(self) -> bool:
        return True


@mbconv_mistake(see="efficientnet.html#batch-norm")
class LastBatchNormMissing(Mobile):
    """The projection has no batch norm; linear means without an activation, the batch norm stays."""

    def last_norm(self, channels: int) -> nn.Module:
        return nn.Identity()
