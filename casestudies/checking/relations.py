"""Relations: what turns the output of a student's block into what is asked for, told by their numbers.

Where no recording shows what differs, the two outputs may: all numbers of the one are twice those of the other, or
the same in another order. Nothing is said but what holds for every number, in all cases in which the block is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import torch
from torch import Tensor

from casestudies.checking.compare import close, tolerance_of
from casestudies.checking.space import times

AXES = {
    2: ("images", "features"),
    3: ("images", "channels", "positions"),
    4: ("images", "channels", "rows", "columns"),
}
MOST_CHANNELS = 64  # whose order is looked at
LARGEST = 64  # in a factor that is told as a fraction
FEWEST = 3  # numbers from which a relation is told

AFTERWARDS: dict[str, Callable[[Tensor], Tensor]] = {
    "a ReLU": torch.relu,
    "a sigmoid": torch.sigmoid,
    "a tanh": torch.tanh,
    "a softmax over the channels": lambda x: torch.softmax(x, 1),
    "a log-softmax over the channels": lambda x: torch.log_softmax(x, 1),
    "a ReLU6": lambda x: x.clamp(0, 6),
}


def relation(yours: Tensor, right: Tensor) -> tuple[str, str] | None:
    """What kind of relation holds between the two, and a sentence on it; None where none is known."""
    if right.numel() < FEWEST or not right.isfinite().all() or not yours.isfinite().all():
        return None
    if float(right.max() - right.min()) == 0:
        return None
    return next(_found(yours.double(), right.double(), tolerance_of(yours, 1e-6)), None)


def _found(yours: Tensor, right: Tensor, tolerance: float) -> Iterator[tuple[str, str]]:
    def same(one: Tensor, other: Tensor) -> bool:
        return one.shape == other.shape and close(one, other, tolerance)

    if same(yours, right):
        return
    names = AXES.get(right.dim(), ())
    if yours.shape != right.shape and yours.numel() == right.numel():
        form, wanted = times(tuple(yours.shape)), times(tuple(right.shape))
        if same(yours.reshape(right.shape), right):
            sentence = (
                f"The output holds the right numbers in the right order, as {form} instead of {wanted}."
            )
            yield "form", sentence
            return
    if yours.dim() == right.dim() and names:
        for one in range(1, right.dim()):
            for other in range(one + 1, right.dim()):
                if same(yours.transpose(one, other), right):
                    yield "axes", f"The {names[one]} and the {names[other]} of the output are exchanged."
                    return
    if yours.shape != right.shape:
        return
    for axis, name in enumerate(names):
        if right.shape[axis] > 1 and same(yours.flip(axis), right):
            yield f"flip {axis}", f"The {name} of the output stand in the opposite order."
            return
    factor = float((yours * right).sum() / (right * right).sum())
    if factor and same(yours, factor * right):
        simple = Fraction(factor).limit_denominator(LARGEST)
        exact = abs(float(simple) - factor) <= 1e-9 * abs(factor)
        text = f"{simple}" if exact and abs(simple.numerator) <= LARGEST**2 else f"{factor:.6g}"
        yield "factor", f"Each number of the output is {text} times what is asked for."
        return
    shift = float((yours - right).mean())
    if shift and same(yours, right + shift):
        yield "shift", f"Each number of the output is what is asked for plus {shift:.6g}."
        return
    for what, function in AFTERWARDS.items():
        if same(yours, function(right)):
            yield f"after {what}", f"The output is {what} of what is asked for."
            return
        if same(function(yours), right):
            yield f"without {what}", f"What is asked for is {what} of your output."
            return
    if right.dim() > 1 and 1 < right.shape[1] <= MOST_CHANNELS:
        order = _order(yours, right, tolerance)
        if order is not None:
            said = ", ".join(map(str, order))
            yield "channels", f"The channels of the output stand in another order: {said}, counted from 0."


def _order(yours: Tensor, right: Tensor, tolerance: float) -> list[int] | None:
    """Which channel of what is asked for each channel of the output is, where each of them is one."""
    found: list[int] = []
    for mine in yours.unbind(1):
        alike = [
            number
            for number, other in enumerate(right.unbind(1))
            if number not in found and close(mine, other, tolerance)
        ]
        if len(alike) != 1:
            return None
        found += alike
    return found if found != sorted(found) else None
