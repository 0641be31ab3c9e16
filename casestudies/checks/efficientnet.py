"""Checks of the assignment `efficientnet`: the rules that scale a network, the gate, MBConv, and drop connect.

The mistakes are edits of the functions below, and of the blocks of `networks.efficientnet`, see `checking.tables`.
`drop_connect` is random: what is compared are not its values but what they have in common, see `features`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor

from casestudies.checking.edges import edges
from casestudies.checking.parts import SIDES, Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table
from casestudies.networks import efficientnet
from casestudies.networks.efficientnet import MBConv, SqueezeExcite, conv_bn
from casestudies.sandboxed.messages import Called
from casestudies.sandboxed.quoting import named

# The channels of B0, and the width multipliers of B1 to B7.
CHANNELS = sorted({channels for _, _, channels, _, _ in efficientnet.B0} | {efficientnet.STEM})
WIDTHS = sorted({width for width, *_ in efficientnet.SCALING.values() if width > 1})

# Distances from where a rounding turns: each below half of a digit, so that rounding to it first goes astray, too.
NEAR = ((0.0025, 0.0042), (0.012, 0.045), (0.12, 0.24), (0.26, 0.44))
ODD_DIVISORS = (5, 7, 9, 11)

# --------------------------------------------------------------------------- round_channels


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


def sizes(
    dice: Dice, low: float, high: float, count: int, divisor: int = 8, most: int = 60
) -> Iterator[tuple[int, float]]:
    """`count` channels, `most` at most, and widths whose product lies in [low, high], in multiples of the divisor."""
    while count:
        channels, wanted = dice.integer(3, most), divisor * dice.real(low, high)
        width = round(wanted / channels, 3)
        if width != int(width) and clear(channels, width, divisor):  # an exact tie would come up in few runs
            count -= 1
            yield channels, width


def published_channels(dice: Dice) -> Iterator[Call]:
    """Layers of B0 with the multipliers of B2 to B7; the few of which a tenth is lost or added are left to others."""
    pairs = [(c, w) for c in CHANNELS for w in WIDTHS if clear(c, w, 8)]
    pairs = [(c, w) for c, w in pairs if abs(int(c * w + 4) // 8 * 8 - c * w) < 0.09 * c * w]
    for _ in range(5):
        yield call(*dice.choice(pairs))
    for low, high in ((10.6, 10.9), (12.1, 12.35), (14.39, 14.48)):  # up, down, and down by less than 4 in 8
        yield from (call(*pair) for pair in sizes(dice, low, high, 1))


def lost_a_tenth(dice: Dice) -> Iterator[Call]:
    """The nearest multiple is more than 10% below: the next one is taken."""
    yield from (call(*pair) for pair in sizes(dice, 1.15, 1.45, 2, most=8))  # and nothing of the channels
    yield from (call(*pair) for pair in sizes(dice, 2.26, 2.48, 2))
    yield from (call(*pair) for pair in sizes(dice, 3.05, 3.3, 1))  # less than 10%: it stays
    # Just less than a tenth, and just more.
    yield from (call(*pair) for pair in sizes(dice, 1.102, 1.109, 1))
    yield from (call(*pair) for pair in sizes(dice, 2.205, 2.219, 1))
    # A fraction of a channel decides: 17.8 loses more than a tenth on the way to 16, 17 would not.
    yield from (call(*pair) for pair in sizes(dice, 1.113, 1.124, 1))
    yield from (call(*pair) for pair in sizes(dice, 2.225, 2.249, 1))


def very_few(dice: Dice) -> Iterator[Call]:
    yield from (call(*pair) for pair in sizes(dice, 0.1, 0.45, 3))
    yield from (call(*pair) for pair in sizes(dice, 0.55, 0.95, 1))
    yield from (call(*pair) for pair in sizes(dice, 1.55, 1.8, 1))


def other_divisors(dice: Dice) -> Iterator[Call]:
    for divisor in (4, 16, dice.choice([6, 10, 12])):
        yield from (call(*pair, divisor=divisor) for pair in sizes(dice, 1.6, 9.0, 1, divisor))
        for low, high in ((1.2, 1.45), (1.113, 1.124), (7.6, 7.7)):
            yield from (call(*pair, divisor) for pair in sizes(dice, low, high, 1, divisor))
        yield from (
            call(*pair, divisor) for pair in sizes(dice, 0.1, 0.45, 1, divisor)
        )  # at least the divisor
        yield from (call(*pair, divisor) for pair in sizes(dice, 0.55, 0.95, 1, divisor))
        for _ in range(3):  # near a half, where another divisor rounds to another side
            yield from (call(*pair, divisor) for pair in sizes(dice, 2.55, 2.95, 1, divisor))
            yield from (call(*pair, divisor) for pair in sizes(dice, 3.05, 3.45, 1, divisor))


def ties(dice: Dice) -> Iterator[Call]:
    """Exactly halfway: up, whether the multiple below is an odd or an even number of divisors, and whether halfway
    is a whole number of channels or not."""
    for parity in (0, 1):
        yield call(8 * (2 * dice.integer(3, 12) + parity) + 4, 1.0)
        yield call(4 * (2 * dice.integer(3, 12) + parity) + 2, 2.0)
        odd = dice.choice(ODD_DIVISORS)
        yield call(odd * (2 * (2 * dice.integer(3, 12) + parity) + 1), 0.5, odd)


def near_ties(dice: Dice) -> Iterator[Call]:
    """Less than half a channel below halfway and above it, down to some thousandths: whatever rounds to a whole
    number before the multiple is looked for, or halves an odd divisor to a whole number, goes to the other side."""
    for divisor in (8, dice.choice(ODD_DIVISORS)):
        for side in (-1, 1):
            for low, high in NEAR:
                wanted = divisor * (dice.integer(6, 20) + 0.5) + side * dice.real(low, high)
                channels = dice.integer(int(wanted / 9) + 1, int(wanted))
                yield call(channels, round(wanted / channels, 5), divisor)


def exact(dice: Dice) -> Call:
    """Products that are whole numbers, and divisors of which nine tenths are: no rounding error decides."""
    divisor = dice.choice([4, 5, 8, 9, 10, 16, 18, 20])
    return call(dice.integer(1, 100), dice.choice([1.0, 2.0]), divisor)


def limits(dice: Dice) -> Iterator[Call]:
    yield from (call(1, 1.0), call(1, 1.0, 4), call(6, 1.0, 5))
    yield call(16 * dice.integer(3, 9), 0.5)  # nothing is lost of what is wanted, and half of the channels
    yield from edges(round_channels, exact)(dice)
    yield from near_ties(dice)


def many_sizes(dice: Dice) -> Iterator[Call]:
    """In every run one below the divisor, two that lose more than a tenth (one by a fraction of a channel), and one
    that is rounded up: a mistake costs the same in each."""
    yield from (call(*pair) for pair in sizes(dice, 0.2, 20.0, 10))
    for low, high in ((0.2, 0.95), (1.15, 1.45), (1.113, 1.124), (10.6, 10.9)):
        yield from (call(*pair) for pair in sizes(dice, low, high, 1, most=8))


@part("efficientnet/round_channels", points=3, title="Channels in eights", see="efficientnet.html#rounding")
def _() -> Values:
    return Values(
        round_channels,
        Group("the layers of B0, scaled to other sizes", published_channels),
        Group("never below 90 % of what is wanted", lost_a_tenth),
        Group("never below the divisor", very_few, weight=0.5),
        Group("other divisors", other_divisors),
        Group("halfway between two multiples", ties, weight=0.5),
        Group("on both sides of the limits, and exactly at them", limits),
        Group("many sizes", many_sizes),
    )


table(
    "efficientnet/round_channels",
    round_channels,
    """
return rounded + divisor if rounded < 0.9 * wanted else rounded
    ninety_percent_forgotten: return rounded
        The 90% rule is missing: where the nearest multiple loses more than a tenth, the next one up is taken.
    ninety_percent_of_the_original: return rounded + divisor if rounded < 0.9 * channels else rounded
        The 90% rule compares with the channels before scaling; it compares with channels · width.
    raised_by_one: return rounded + 1 if rounded < 0.9 * wanted else rounded
        Where the 90% rule strikes, one channel is added; the next multiple of the divisor is taken.
    back_to_unrounded: return int(wanted) if rounded < 0.9 * wanted else rounded
        Where the 90% rule strikes, the unrounded number is taken; it is the next multiple of the divisor.
    no_limits: return int(wanted + divisor / 2) // divisor * divisor
        This is the nearest multiple and nothing else: few channels become none, and the 90% rule is missing.
int(wanted + divisor / 2) // divisor * divisor
    rounded_down: int(wanted) // divisor * divisor
        The number is rounded down to a multiple of the divisor; the nearest multiple is asked for.
    rounded_up: math.ceil(wanted / divisor) * divisor
        The number is rounded up to a multiple of the divisor; the nearest multiple is asked for.
    rounded_to_even: round(wanted / divisor) * divisor
        Halfway between two multiples, Python's round() goes to the even one; here it goes up.
    not_rounded: int(wanted)
        The number of channels is not rounded to a multiple of the divisor at all.
channels * width
    width_ignored: channels
        The channels are rounded without being multiplied by the width.
    width_squared: channels * width**2
        The channels are multiplied by the square of the width; it is the cost that grows with the square.
    product_rounded_first: math.ceil(channels * width)
        channels · width is rounded up to a whole number before the multiple of the divisor is looked for.
wanted = channels * width
    divisor_ignored: wanted = channels * width; divisor = 8
        The result is a multiple of 8 whatever the divisor is.
""",
)


# --------------------------------------------------------------------------- round_repeats


def round_repeats(repeats: int, depth: float) -> int:
    return math.ceil(repeats * depth)


def stages(dice: Dice, *fractions: tuple[float, float], above: bool = True) -> Iterator[Call]:
    """Products that lie so far above a whole number, or below it: odd ones and even ones."""
    for parity, (low, high) in product((0, 1), fractions):
        repeats, distance = dice.integer(2, 9), dice.real(low, high)
        whole = repeats + 1 + (repeats + 1 + parity) % 2 + 2 * dice.integer(0, repeats // 2)
        # Five digits move the product by less than 0.00005.
        yield call(repeats, round((whole + distance if above else whole - distance) / repeats, 5))


def whole_products(dice: Dice) -> Iterator[Call]:
    """Odd and even ones, of whole depths and of others."""
    for parity in (0, 1):
        yield call(2 * dice.integer(1, 4) + parity, 1.0)
        yield call(2 * (2 * dice.integer(1, 2) + parity), 1.5)
    yield from (call(dice.integer(2, 9), 2.0), call(1, 1.0))
    yield call(2 * dice.integer(1, 4) + 1, 3.0)


def small_depths(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call(1, round(dice.real(1.05, 1.45), 2))
        yield call(dice.integer(2, 4), round(dice.real(0.55, 0.95), 2) + 1e-3)
    yield call(1, round(dice.real(0.3, 0.9), 2))  # one layer, which stays
    yield call(1, round(1 + dice.real(*NEAR[0]), 5))
    yield call(4, round(dice.real(0.55, 0.7), 2))  # fewer layers than before


@part("efficientnet/round_repeats", points=1, title="Layers rounded up", see="efficientnet.html#rounding")
def _() -> Values:
    return Values(
        round_repeats,
        Group("a little more than a whole number", lambda dice: stages(dice, *NEAR)),
        Group("a little less than a whole number", lambda dice: stages(dice, *NEAR, above=False)),
        Group("whole numbers", whole_products),
        Group("single layers and small depths", small_depths),
    )


table(
    "efficientnet/round_repeats",
    (round_repeats, round_channels),
    """
round_repeats: math.ceil(repeats * depth)
    repeats_rounded: int(repeats * depth + 0.5)
        The number of layers is rounded to the nearest; it is always rounded up, so that no stage loses a layer.
    repeats_rounded_down: int(repeats * depth)
        The number of layers is rounded down; it is rounded up, so that no stage loses a layer.
    one_layer_more: int(repeats * depth) + 1
        One is added to the number rounded down, so whole numbers grow as well; math.ceil leaves them alone.
    depth_rounded_up: repeats * math.ceil(depth)
        The depth itself is rounded up before it is multiplied; the product is rounded up.
    depth_added: math.ceil(repeats + depth)
        The depth is added to the layers; it multiplies them.
    depth_ignored: repeats
        The layers are given back unchanged, whatever the depth is.
    in_multiples_of_eight: round_channels(repeats, depth)
        The layers are rounded to a multiple of 8; that rule is for channels.
""",
)


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
    for default in ("alpha", "beta", "gamma"):  # which alone is left out
        yield call(2, **{name: value for name, value in bases(dice).items() if name != default})


def fractional_phi(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        yield call(round(dice.real(0.3, 4.5), 2) + 0.001)


# The calls of both functions of phi, alpha, beta and gamma.
SCALED = (
    Group("the paper's alpha, beta and gamma", published_bases),
    Group("other alpha, beta and gamma", other_bases),
    Group("values of phi that are not whole", fractional_phi),
    Group("shrinking: phi below 0", lambda dice: [call(-1.0), call(-2, **bases(dice))]),
)


@part(
    "efficientnet/compound_scaling", points=2, title="One number scales all", see="efficientnet.html#compound"
)
def _() -> Values:
    return Values(compound_scaling, *SCALED)


table(
    "efficientnet/compound_scaling",
    compound_scaling,
    """
return alpha**phi, beta**phi, gamma**phi
    width_first: return beta**phi, alpha**phi, gamma**phi
        The order is width, depth, resolution; depth comes first: (alpha^phi, beta^phi, gamma^phi).
    resolution_first: return gamma**phi, beta**phi, alpha**phi
        The order is resolution, width, depth; it is depth, width, resolution.
    resolution_in_pixels: return alpha**phi, beta**phi, round(224 * gamma**phi)
        The third number is an image size in pixels; it is the multiplier gamma^phi.
    costs_instead: return alpha**phi, beta ** (2 * phi), gamma ** (2 * phi)
        Width and resolution are squared: these are factors of the cost. The multipliers themselves are asked for.
    roots_instead: return alpha**phi, beta ** (phi / 2), gamma ** (phi / 2)
        Square roots of width and resolution are returned, so that their cost is linear; beta and gamma are already
        chosen so that alpha · beta^2 · gamma^2 is close to 2.
    phi_multiplied: return alpha * phi, beta * phi, gamma * phi
        phi multiplies alpha, beta and gamma; it is their exponent.
    base_and_exponent_swapped: return phi**alpha, phi**beta, phi**gamma
        Base and exponent are swapped: it is alpha^phi, not phi^alpha.
    linear_growth: return 1 + phi * (alpha - 1), 1 + phi * (beta - 1), 1 + phi * (gamma - 1)
        The multipliers grow in a straight line, 1 + phi (alpha - 1); they grow as powers, alpha^phi.
    exponential_of_base: return math.exp(alpha * phi), math.exp(beta * phi), math.exp(gamma * phi)
        exp(alpha · phi) is computed; it is alpha^phi, which is exp(phi · log(alpha)).
every phi
    one_step_ahead: phi + 1
        The exponent is phi + 1; with phi = 0 nothing is scaled: that is B0.
    whole_phi: math.floor(phi)
        phi is rounded down to a whole number; any real number is a valid exponent.
""",
)


# --------------------------------------------------------------------------- flops_growth


def flops_growth(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    return (alpha * beta**2 * gamma**2) ** phi


@part("efficientnet/flops_growth", points=2, title="What the scaling costs", see="efficientnet.html#compound")
def _() -> Values:
    return Values(flops_growth, *SCALED)


table(
    "efficientnet/flops_growth",
    flops_growth,
    """
beta**2
    width_linear: beta
        The width counts once; it counts twice, since a layer's cost grows with its input and its output channels.
    width_forgotten: 1.0
        The width is not counted: beta^2 is missing.
gamma**2
    resolution_linear: gamma
        The resolution counts once; it counts twice, for the height and for the width of the grid.
    resolution_forgotten: 1.0
        The resolution is not counted. It leaves the parameters alone, but not the cost: gamma^2 is missing.
alpha
    depth_squared: alpha**2
        The depth counts twice; twice as many layers cost twice as much.
    depth_forgotten: 1.0
        The depth is not counted: alpha is missing.
(alpha * beta**2 * gamma**2) ** phi
    phi_ignored: alpha * beta**2 * gamma**2
        This is the growth for phi = 1; it is raised to the power phi.
    phi_as_factor: alpha * beta**2 * gamma**2 * phi
        phi multiplies the growth; it is the exponent.
    two_to_the_phi: 2.0**phi
        This is 2^phi, which alpha · beta^2 · gamma^2 only comes close to; the exact product is asked for.
    growth_on_top: (alpha * beta**2 * gamma**2) ** phi - 1
        This is how much is added; the growth asked for is the whole factor, 1 when nothing changes.
    terms_added: alpha**phi + beta ** (2 * phi) + gamma ** (2 * phi)
        The three factors are added; they multiply, since each scales all that the others have left.
    defaults_ignored: (1.2 * 1.1**2 * 1.15**2) ** phi
        The paper's numbers are used whatever alpha, beta and gamma are given.
""",
)


# --------------------------------------------------------------------------- drop_connect


BATCH = 128  # samples of a call
REPEATS = 24  # of every call: what has a share is looked at in some three thousand samples
SIGMAS = 9.0  # how far a share may be off by chance: farther once in 10^18 calls
NAMED = 4.5  # and how far where it is wrong and has a name: what has it is farther once in 10^5 calls
SHARED = 0.1  # pairs of samples that are alike in all calls, so few by chance that they are counted
PAIRS = 8  # of these: more are found once in 10^9 calls
ONE_DRAW = 7.0  # sigmas, where all calls draw the same: the answer is wrong whatever its places are
NEVER = 1e-4  # a chance that does not change a report
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
    training: bool = made.kwargs["training"] if "training" in made.kwargs else made.args[2]
    ratios = []
    for answer in answers:
        found = answer.value
        if found.kind != "tensor" or found.value.shape != x.shape:
            problem = (
                f"a value of type {named(found.type)}"
                if found.kind != "tensor"
                else "a tensor of another shape"
            )
            return {"result": problem}
        ratios.append(found.value.double() / x.double())
        if not torch.isfinite(ratios[-1]).all():
            return {"result": "a tensor with NaN or infinity"}
    dropped = [ratio.abs() < 1e-6 for ratio in ratios]
    if len(x) == 1:  # only whether it is ever dropped is no chance
        return {"result": "a tensor of the shape of x", "set to zero together": _unit_of_one(dropped)}
    kept_argument = all(torch.equal(each.tensors_after[0].double(), x.double()) for each in answers)
    left = torch.cat([ratio[~zero] for ratio, zero in zip(ratios, dropped, strict=True)])
    unit = _units(dropped)
    if unit in ("nothing", "the whole batch") and training and 1 > (1 - rate) ** len(answers) > NEVER:
        unit = "all of the batch or none of it"  # that none was dropped may be chance
    seen: dict[str, str] = {"result": "a tensor of the shape of x", "set to zero together": unit}
    if unit not in ("nothing", "everything", "the whole batch", "all of the batch or none of it"):
        repeat = all(torch.equal(each, dropped[0]) for each in dropped)
        seen["draws"] = "the same at every call" if repeat else "new random numbers at every call"
        if unit != "the same elements in every sample":
            if rate and not repeat:  # one draw says little of a share, and at a rate of 0 none is asked for
                seen["share of zeros"] = _share(dropped, rate)
            seen["places"] = _places(dropped[:1] if repeat else dropped)
    if left.numel():
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
    if every.shape[1] > 1 and (every == every[:, :1]).all():
        return "the same elements in every sample"
    maps = torch.stack([each.flatten(2) for each in dropped])
    if (maps == maps[..., :1]).all():
        return "whole channels"
    return "all channels of a pixel" if (maps == maps[:, :, :1]).all() else "single elements"


def _unit_of_one(dropped: list[Tensor]) -> str:
    unit = _units(dropped)
    return "whole samples" if unit in ("everything", "the whole batch") else unit


def _share(dropped: list[Tensor], rate: float) -> str:
    """How often the first element of a sample is zero: independent from sample to sample."""
    first = torch.stack([each.flatten(1)[:, 0] for each in dropped]).double()  # (calls, samples)
    shares = first.mean(1)
    share, count = float(first.mean()), first.numel()
    words = {"drop_rate": rate, "1 - drop_rate": 1 - rate, "half of drop_rate": rate / 2}
    off = {
        word: abs(share - known) / math.sqrt(max(known * (1 - known), 1e-12) / count)
        for word, known in words.items()
    }
    # What may be right is right. What is wrong has a name where that is near, and a name in no call where one of the
    # others has none: 128 times 24 draws do not tell 0.64 from 0.6406, but another rate does.
    word = min(words, key=off.__getitem__)
    if off["drop_rate"] <= SIGMAS:
        word = "drop_rate"
    elif off[word] > NAMED:
        return "another share?"
    variance = words[word] * (1 - words[word])
    spread = float(((shares - shares.mean()) ** 2).mean()) * first.shape[1] / max(variance, 1e-9)
    return word if spread > STEADY else f"{word}, a fixed share of every batch"


def _places(dropped: list[Tensor]) -> str:
    """Whether zeros and others follow each other as often as they do by chance, and no samples share a draw."""
    first = torch.stack([each.flatten(1)[:, 0] for each in dropped])
    both = float(first.double().mean())
    both *= 1 - both
    samples = first.shape[1]
    if samples**2 / 2 * (1 - 2 * both) ** len(first) < SHARED and len(first) > 1:
        signs = 2 * first.double() - 1
        together = int(((signs.T @ signs).abs() == len(first)).sum()) - samples
        if together / 2 > PAIRS:  # always alike, or always opposite
            return "in a pattern"
    changes, steps = float((first[:, 1:] != first[:, :-1]).sum()), first.numel() - len(first)
    expected, deviation = 2 * both * steps, math.sqrt(4 * both * (1 - 3 * both) * steps)
    sigmas = SIGMAS if len(first) > 1 else ONE_DRAW
    return "at random" if abs(changes - expected) <= sigmas * deviation + 2 else "in a pattern"


def _factor(kept: Tensor, rate: float) -> str:
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
    # A batch of one is dropped whole now and then; never, once in 10^14 calls.
    yield call(images(dice)[:1], round(dice.real(0.75, 0.78), 2), True)


# Rates well below one half: near it, a share of zeros does not tell the rate from 1 - rate.


def training_and_evaluation(dice: Dice) -> Iterator[Call]:
    yield call(images(dice), round(dice.real(0.34, 0.38), 2), False)
    yield call(images(dice), round(dice.real(0.34, 0.38), 2), True)
    yield call(images(dice), drop_rate=round(dice.real(0.34, 0.38), 2), training=False)


def rate_of_zero(dice: Dice) -> Iterator[Call]:
    yield call(images(dice), 0.0, True)
    yield call(images(dice), 0.0, False)


def low_rate(dice: Dice) -> Iterator[Call]:
    """Of ten numbers that are drawn none stands for it, and a share so near to 0 varies little."""
    yield call(images(dice), round(dice.real(0.045, 0.055), 3), True)


@part("efficientnet/drop_connect", points=3, title="Drop connect", see="efficientnet.html#drop-connect")
def _() -> Values:
    return Values(
        drop_connect,
        Group("in training: what is set to zero, how often, and the rest", training_batches, weight=2.0),
        Group("training against evaluation", training_and_evaluation),
        Group("a rate of 0 changes nothing", rate_of_zero, weight=0.5),
        Group("another rate", low_rate),
        view=features,
        random=True,
        gradients=True,
        repeats=REPEATS,
    )


table(
    "efficientnet/drop_connect",
    drop_connect,
    """
torch.rand(x.shape[0], 1, 1, 1)
    per_element: torch.rand(x.shape)
        Single elements are dropped, as dropout does; drop connect draws once for each sample and drops it whole.
    per_channel: torch.rand(*x.shape[:2], 1, 1)
        Whole channels are dropped, as dropout2d does; drop connect draws once for each sample and drops it whole.
    per_batch: torch.rand(1, 1, 1, 1)
        There is one draw for the whole batch, so all samples share its fate; each sample has a draw of its own.
    same_for_every_sample: torch.rand(1, *x.shape[1:])
        The same elements are dropped in every sample; there is one draw for each sample, which drops it whole.
torch.rand(x.shape[0], 1, 1, 1) < 1 - drop_rate
    first_samples_dropped: torch.arange(x.shape[0]).view(-1, 1, 1, 1) >= round(drop_rate * x.shape[0])
        Always the first samples of the batch are dropped; each sample is dropped with the same probability.
    kept_instead: torch.rand(x.shape[0], 1, 1, 1) < drop_rate
        drop_rate is the share of the samples that is kept; it is the share that is dropped.
x * kept.to(x.dtype) / (1 - drop_rate)
    not_rescaled: x * kept.to(x.dtype)
        The samples that are kept are not divided by 1 - drop_rate, so the expected value shrinks.
    divided_by_the_rate: x * kept.to(x.dtype) / drop_rate
        The samples that are kept are divided by drop_rate; it is the probability to keep them, 1 - drop_rate, that
        they are divided by.
    multiplied_instead: x * kept.to(x.dtype) * (1 - drop_rate)
        The samples that are kept are multiplied by 1 - drop_rate; they are divided by it, to keep the expected value
        as it is.
    mask_returned: kept.to(x.dtype).expand_as(x)
        What comes back is the mask of zeros and ones, not x with dropped samples.
    in_place_drop: x.copy_(x * kept.to(x.dtype) / (1 - drop_rate))
        x itself is overwritten; whoever else holds it, such as the residual connection, sees it change.
not training or drop_rate == 0
    active_in_evaluation: drop_rate == 0
        Samples are dropped in evaluation too; outside of training x comes back as it is.
    only_in_evaluation: training or drop_rate == 0
        Samples are dropped in evaluation, not in training; it is the other way round.
    never_active: True
        Nothing is ever dropped: x comes back in training too. (Is the result of the drop assigned and returned?)
return x
    scaled_in_evaluation: return x * (1 - drop_rate)
        In evaluation x is multiplied by 1 - drop_rate, as in the first form of dropout; here the kept samples are
        scaled up in training, and evaluation changes nothing.
""",
)


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
    return Reference(efficientnet.SqueezeExcite, gates())


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


GATE = """
nn.Sigmoid()  # squeeze
    sigmoid_missing:
        The gate has no sigmoid, so its factors are any numbers; with it each lies between 0 and 1.
    silu_gate: nn.SiLU()
        The gate ends with SiLU; it ends with a sigmoid, which gives factors between 0 and 1.
    hard_sigmoid_gate: nn.Hardsigmoid()
        The gate ends with a hard sigmoid, as in MobileNetV3; here it is the smooth one.
    softmax_gate: nn.Softmax(dim=1)
        The gate ends with a softmax, so its factors add up to 1; with a sigmoid each channel opens by itself.
    tanh_gate: nn.Tanh()
        The gate ends with tanh, whose factors reach below 0; it ends with a sigmoid.
nn.SiLU()  # squeeze
    relu_in_squeeze: nn.ReLU()
        The activation between the two layers is ReLU, as in the first paper on squeeze-and-excitation; EfficientNet
        has SiLU there.
    silu_forgotten:
        There is no SiLU between the two layers of the gate, so they are one linear map in two pieces.
    sigmoid_in_squeeze: nn.Sigmoid()
        The activation between the two layers is a sigmoid; it is SiLU, z · sigmoid(z).
self.gate(x)  # squeeze
    maximum_taken: self.gate[1:](x.amax(dim=(2, 3), keepdim=True))
        The squeeze takes the maximum over the grid; it takes the average.
    sum_taken: self.gate[1:](x.sum(dim=(2, 3), keepdim=True))
        The squeeze adds up the grid; it takes the average, so that the gate does not depend on the size of the
        image.
    batch_mixed: self.gate[1:](x.mean(dim=(0, 2, 3), keepdim=True))
        The average also runs over the batch, so every image gets the gate of its neighbours; the average is over the
        grid, dim=(2, 3), each image by itself.
    rows_only: self.gate[1:](x.mean(dim=2, keepdim=True)[..., :1])
        Only a single row or column of the grid is averaged; the average is over all pixels, dim=(2, 3).
every squeezed  # squeeze
    reduction_ratio: max(1, channels // squeezed)
        `squeezed` is taken as a ratio, channels // squeezed; it is the number of channels in the middle itself.
    not_squeezed: channels
        The layer in the middle has as many channels as the input; it has `squeezed`.
return x * self.gate(x)  # squeeze
    gate_returned: return self.gate(x)
        The gate itself is returned; x multiplied by it is asked for.
    gate_added: return x + self.gate(x)
        The gate is added to x; it multiplies x.
    input_added: return x + x * self.gate(x)
        x is added to the gated x; only the gated x is asked for.
    in_place_gate: x *= self.gate(x); return x
        x itself is overwritten (x *= gate), so whoever else holds it sees it change.
nn.Conv2d(channels, squeezed, 1)  # squeeze
    biases_missing: nn.Conv2d(channels, squeezed, 1, bias=False)
        + nn.Conv2d(squeezed, channels, 1) => nn.Conv2d(squeezed, channels, 1, bias=False)
        The two layers have no biases; here they have, since no batch norm follows them.
"""

for _part in ("efficientnet/squeeze_excite", "efficientnet/repaired_gate"):
    table(_part, SqueezeExcite, GATE)


# --------------------------------------------------------------------------- MBConv


@part("efficientnet/mbconv", points=4, title="The block MBConv", see="efficientnet.html#mbconv")
def _() -> Reference:
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
            # A quarter of 3 channels is still 1; of 7 it is cut to 1, not rounded to 2; of 8 it is 2, with every
            # expansion, and fewer out.
            conditions=(
                lambda in_channels, **_: in_channels < 4,
                lambda in_channels, **_: in_channels % 8 == 7,
                lambda in_channels, **_: in_channels >= 8,
            ),
            without=("drop_rate",),
            scale=(3.0, 0.03),  # so faint that in a batch norm the variance is no larger than eps
        ),
    )


table(
    "efficientnet/mbconv",
    (MBConv, SqueezeExcite, conv_bn),
    """
in_channels // 4  # squeeze
    squeezed_from_hidden: hidden // 4
        The gate squeezes to a quarter of the expanded width; it is a quarter of the block's input channels.
    squeezed_by_sixteen: hidden // 16
        The gate squeezes by 16, the ratio of the first paper on squeeze-and-excitation; here it is to a quarter of
        the block's input channels.
max(1, in_channels // 4)  # squeeze
    squeezed_to_eights: round_channels(in_channels, 0.25)
        The squeezed width is rounded to a multiple of 8, as in MobileNetV3; here it is in_channels // 4, at least 1.
SqueezeExcite(hidden, squeezed)  # squeeze
    gate_missing: nn.Identity()
        There is no squeeze-and-excitation: this is MobileNetV2's block with SiLU.
nn.Sigmoid()  # squeeze
    gate_without_sigmoid:
        The gate has no sigmoid, so its factors are any numbers; with it each lies between 0 and 1.
SqueezeExcite: nn.SiLU()  # squeeze
    gate_with_relu: nn.ReLU()
        The activation inside of the gate is ReLU; in EfficientNet it is SiLU.
    gate_without_silu:
        There is no SiLU between the two layers of the gate, so they are one linear map in two pieces.
nn.Conv2d(channels, squeezed, 1)  # squeeze
    gate_without_biases: nn.Conv2d(channels, squeezed, 1, bias=False)
        + nn.Conv2d(squeezed, channels, 1) => nn.Conv2d(squeezed, channels, 1, bias=False)
        The two layers of the gate have no biases; here they have, since no batch norm follows them.
nn.SiLU(), SqueezeExcite(hidden, squeezed)  # squeeze
    gate_before_activation: SqueezeExcite(hidden, squeezed), nn.SiLU()
        The gate stands before the SiLU; it follows it: depthwise, batch norm, SiLU, gate.
SqueezeExcite(hidden, squeezed), conv_bn(hidden, out_channels, 1)  # squeeze
    gate_after_projection: conv_bn(hidden, out_channels, 1), SqueezeExcite(out_channels, squeezed)
        The gate works on the block's result; it works on the expanded channels, before the projection.
every MBConv: nn.SiLU()
    relu6_for_silu: nn.ReLU6()
        The activation is ReLU6, that of MobileNetV2; here it is SiLU.
    relu_for_silu: nn.ReLU()
        The activation is ReLU; here it is SiLU, x · sigmoid(x).
    hard_swish_for_silu: nn.Hardswish()
        The activation is hard swish, that of MobileNetV3; here it is the smooth one, SiLU.
    gelu_for_silu: nn.GELU()
        The activation is GELU, whose curve is much like SiLU's, x · sigmoid(x), but not the same.
conv_bn(hidden, out_channels, 1)
    activation_after_projection: conv_bn(hidden, out_channels, 1), nn.SiLU()
        SiLU is applied after the projection; as in MobileNetV2 the bottleneck is linear.
[conv_bn(in_channels, hidden, 1), nn.SiLU()]
    activation_missing_after_expansion: [conv_bn(in_channels, hidden, 1)]
        There is no SiLU after the expansion; only the projection is linear.
nn.SiLU(), SqueezeExcite(hidden, squeezed)
    activation_missing_after_depthwise: SqueezeExcite(hidden, squeezed)
        There is no SiLU after the depthwise convolution; only the projection is linear.
stride == 1 and in_channels == out_channels
    residual_missing: False
        The input is never added; with stride 1 and equal channels it is.
    residual_for_equal_channels: in_channels == out_channels
        The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then.
    residual_for_stride_one: stride == 1
        The input is added wherever the stride is 1; with other channels it does not fit: no residual then.
    residual_for_equal_channels: in_channels == out_channels
        + x + drop_connect(self.block(x), self.drop_rate, self.training) => self.block(x) + x
        The input is added wherever the channels are equal; with stride 2 the grids differ: no residual then.
    residual_for_stride_one: stride == 1
        + x + drop_connect(self.block(x), self.drop_rate, self.training) => self.block(x) + x
        The input is added wherever the stride is 1; with other channels it does not fit: no residual then.
return x + drop_connect(self.block(x), self.drop_rate, self.training)
    in_place_residual: x += self.block(x); return x
        The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change.
expansion * in_channels
    width_from_output: expansion * out_channels
        The hidden width is taken from the output channels; it is expansion · in_channels.
expansion > 1
    expansion_kept_at_one: True
        With expansion 1 there is still a 1x1 convolution in front; there is nothing to expand, so no layer for it.
conv_bn(hidden, hidden, kernel_size, stride, groups=hidden)
    kernel_always_three: conv_bn(hidden, hidden, 3, stride, groups=hidden)
        The depthwise kernel is 3x3 whatever kernel_size says.
kernel // 2
    padding_of_three: min(1, kernel // 2)
        The padding of the depthwise convolution is 1 whatever the kernel; it is kernel_size // 2.
conv_bn(hidden, hidden, kernel_size, stride, groups=hidden)
    dense_filter: conv_bn(hidden, hidden, kernel_size, stride)
        The k x k convolution is a full one (groups forgotten); it is depthwise, one filter for each hidden channel.
    stride_on_expansion: conv_bn(hidden, hidden, kernel_size, groups=hidden)
        + conv_bn(in_channels, hidden, 1) => conv_bn(in_channels, hidden, 1, stride)
        The stride sits on the first 1x1 convolution, which then skips three of four pixels; it belongs on the
        depthwise convolution.
    stride_on_projection: conv_bn(hidden, hidden, kernel_size, groups=hidden)
        + conv_bn(hidden, out_channels, 1) => conv_bn(hidden, out_channels, 1, stride)
        The stride sits on the projection, so depthwise convolution and gate work on pixels that are then thrown
        away; it belongs on the depthwise convolution.
    stride_forgotten: conv_bn(hidden, hidden, kernel_size, groups=hidden)
        No convolution carries the stride: the grid stays as it is.
eps=1e-3  # batch-norm
    default_eps: eps=1e-5
        The eps of the batch norms is PyTorch's 1e-5; EfficientNet's is 1e-3.
momentum=0.01  # batch-norm
    default_momentum: momentum=0.1
        The momentum of the batch norms is PyTorch's 0.1; EfficientNet's is 0.01: its statistics move slowly.
    tensor_flow_momentum: momentum=0.99
        The momentum of the batch norms is 0.99: that is TensorFlow's way of counting. PyTorch's momentum is the
        share of the new value, so it is 0.01.
eps=1e-3, momentum=0.01  # batch-norm
    default_batch_norm: eps=1e-5, momentum=0.1
        The batch norms have PyTorch's eps and momentum; EfficientNet's are eps=1e-3 and momentum=0.01.
bias=False  # batch-norm
    bias_before_batch_norm: bias=True
        The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False.
conv_bn(hidden, out_channels, 1)  # batch-norm
    last_batch_norm_missing: conv_bn(hidden, out_channels, 1)[:1]
        The projection has no batch norm; linear means without an activation, the batch norm stays.
""",
)
