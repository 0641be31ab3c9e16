"""Slips of rounding: each loses points with every seed, whichever numbers stand for the regions that decide."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from casestudies.checking.parts import Values, parts
from casestudies.checking.space import Dice

SEEDS = range(200)


def half_away(value: float) -> int:
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def limited(rounded: float, wanted: float, divisor: int) -> float:
    rounded = max(divisor, rounded)
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def channels(rule: Callable[[float, int], float], wanted: Callable[[float], float] = float) -> Any:
    """round_channels with another way to find the nearest multiple, or of a product that is rounded first."""

    def round_channels(channels: int, width: float, divisor: int = 8) -> float:
        found = wanted(channels * width)
        return limited(rule(found, divisor), found, divisor)

    return round_channels


def nearest(wanted: float, divisor: int) -> int:
    return int(wanted + divisor / 2) // divisor * divisor


def macs(side: Callable[[int, int], int], both: bool = True) -> Any:
    """inverted_residual_macs with another way to find the output's height, or both of its sides."""

    def inverted_residual_macs(
        in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
    ) -> int:
        hidden = expansion * in_channels
        out = side(height, stride) * (side(width, stride) if both else (width - 1) // stride + 1)
        expand = in_channels * hidden * height * width if expansion > 1 else 0
        return expand + 9 * hidden * out + hidden * out_channels * out

    return inverted_residual_macs


SLIPS: dict[str, dict[str, Callable[..., Any]]] = {
    "efficientnet/round_repeats": {
        "round(x + 0.5)": lambda repeats, depth: round(repeats * depth + 0.5),
        "round(x + 0.49)": lambda repeats, depth: round(repeats * depth + 0.49),
        "int(x + 0.9)": lambda repeats, depth: int(repeats * depth + 0.9),
        "int(x + 0.99)": lambda repeats, depth: int(repeats * depth + 0.99),
        "int(x + 0.995)": lambda repeats, depth: int(repeats * depth + 0.995),
        "int(x + 0.5)": lambda repeats, depth: int(repeats * depth + 0.5),
        "int(x) + 1": lambda repeats, depth: int(repeats * depth) + 1,
        "floor": lambda repeats, depth: math.floor(repeats * depth),
        "x // 1": lambda repeats, depth: int(repeats * depth // 1),
        "half away": lambda repeats, depth: half_away(repeats * depth),
        "ceil(round(x))": lambda repeats, depth: math.ceil(round(repeats * depth)),
        "ceil(round(x, 1))": lambda repeats, depth: math.ceil(round(repeats * depth, 1)),
        "ceil(round(x, 2))": lambda repeats, depth: math.ceil(round(repeats * depth, 2)),
        "ceil(round(depth, 2))": lambda repeats, depth: math.ceil(repeats * round(depth, 2)),
        "depth has a fraction": lambda repeats, depth: int(repeats * depth) + (depth != int(depth)),
        "ceil(depth)": lambda repeats, depth: repeats * math.ceil(depth),
        "one more": lambda repeats, depth: repeats + math.ceil(repeats * (depth - 1) - 0.5),
    },
    "efficientnet/round_channels": {
        "round(x + d / 2)": channels(lambda x, d: round(x + d / 2) // d * d),
        "ceil(x + d / 2)": channels(lambda x, d: math.ceil(x + d / 2) // d * d),
        "int(x + d // 2)": channels(lambda x, d: int(x + d // 2) // d * d),
        "int(x + (d + 1) // 2)": channels(lambda x, d: int(x + (d + 1) // 2) // d * d),
        "int(x) + d // 2": channels(lambda x, d: (int(x) + d // 2) // d * d),
        "round(x) + d // 2": channels(lambda x, d: (round(x) + d // 2) // d * d),
        "round(x / d) * d": channels(lambda x, d: round(x / d) * d),
        "half down": channels(lambda x, d: math.ceil(x / d - 0.5) * d),
        "half odd": channels(lambda x, d: (round(x / d + 1) - 1) * d),
        "int(x / d + 0.49)": channels(lambda x, d: int(x / d + 0.49) * d),
        "int(x / d + 0.51)": channels(lambda x, d: int(x / d + 0.51) * d),
        "floor": channels(lambda x, d: x // d * d),
        "ceil": channels(lambda x, d: math.ceil(x / d) * d),
        "product rounded": channels(nearest, round),
        "product rounded, half up": channels(nearest, half_away),
        "product cut off": channels(nearest, int),
        "product rounded up": channels(nearest, math.ceil),
        "product to one digit": channels(nearest, lambda x: round(x, 1)),
        "product to two digits": channels(nearest, lambda x: round(x, 2)),
        "half of eight": channels(lambda x, d: int(x + 4) // d * d),
    },
    "lenet/conv_output_size": {
        "terms apart": lambda size, kernel, stride=1, padding=0: (
            (size - kernel) // stride + 2 * padding // stride + 1
        ),
        "padding twice apart": lambda size, kernel, stride=1, padding=0: (
            (size - kernel) // stride + 2 * (padding // stride) + 1
        ),
        "one padding apart": lambda size, kernel, stride=1, padding=0: (
            (size + padding - kernel) // stride + padding // stride + 1
        ),
        "size apart": lambda size, kernel, stride=1, padding=0: (
            size // stride + (2 * padding - kernel) // stride + 1
        ),
        "kernel apart": lambda size, kernel, stride=1, padding=0: (
            (size + 2 * padding) // stride - kernel // stride + 1
        ),
        "kernel apart, up": lambda size, kernel, stride=1, padding=0: (
            (size + 2 * padding) // stride - -(-kernel // stride) + 1
        ),
        "all apart": lambda size, kernel, stride=1, padding=0: (
            size // stride + 2 * padding // stride - kernel // stride + 1
        ),
        "round(x / s + 0.5)": lambda size, kernel, stride=1, padding=0: round(
            (size + 2 * padding - kernel) / stride + 0.5
        ),
        "round(x / s) + 1": lambda size, kernel, stride=1, padding=0: (
            round((size + 2 * padding - kernel) / stride) + 1
        ),
        "half up": lambda size, kernel, stride=1, padding=0: (
            half_away((size + 2 * padding - kernel) / stride) + 1
        ),
        "half down": lambda size, kernel, stride=1, padding=0: (
            math.ceil((size + 2 * padding - kernel) / stride - 0.5) + 1
        ),
        "ceil": lambda size, kernel, stride=1, padding=0: (
            math.ceil((size + 2 * padding - kernel) / stride) + 1
        ),
        "1 inside": lambda size, kernel, stride=1, padding=0: (size + 2 * padding - kernel + 1) // stride,
        "as with the kernel halved": lambda size, kernel, stride=1, padding=0: (
            (size - 1 + 2 * (padding - kernel // 2)) // stride + 1
        ),
    },
    "mobilenet_v2/inverted_residual_macs": {
        "round, both sides": macs(lambda side, stride: round(side / stride)),
        "round, height": macs(lambda side, stride: round(side / stride), both=False),
        "floor, both sides": macs(lambda side, stride: side // stride),
        "floor, height": macs(lambda side, stride: side // stride, both=False),
        "one more": macs(lambda side, stride: side // stride + stride // 2),
        "round(x + 0.5)": macs(lambda side, stride: round(side / stride + 0.5)),
        "half odd": macs(lambda side, stride: round(side / stride + 1) - 1),
    },
}
ALL = [
    pytest.param(id, slip, id=f"{id}: {name}") for id, slips in SLIPS.items() for name, slip in slips.items()
]


def loses(reference: Values, function: Callable[..., Any], seed: int) -> bool:
    """Whether a function answers a call otherwise, as a check with that seed asks for it."""
    for index, group in enumerate(reference.groups):
        for made in group.make(Dice(seed + index)):
            right = reference.function(*made.args, **made.kwargs)
            try:
                found = function(*made.args, **made.kwargs)
            except (ArithmeticError, ValueError):
                return True
            if found != right or isinstance(found, float) != isinstance(right, float):
                return True
    return False


@pytest.mark.parametrize(("id", "slip"), ALL)
def test_a_slip_of_rounding_loses_points_with_every_seed(id: str, slip: Callable[..., Any]) -> None:
    reference = parts(id.partition("/")[0])[id].reference
    kept = [seed for seed in SEEDS if not loses(reference, slip, seed)]
    assert not kept, f"{len(kept)} of {len(SEEDS)}"
