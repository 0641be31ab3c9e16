"""Arguments: in which of the cases something is so, told by what a block was called with; and defaults that differ.

Both follow from the cases alone, which were run for the points: nothing is asked of the student's block again.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

from casestudies.checking.space import Case, Values

FACTORS = (4, 2, 6)  # that one argument may be of another
LEVELS = 3  # values of an argument; of one with more, a single value says little
FEWEST = 2  # cases in which a condition must hold, and in which it must not, or it may be chance
TRIED = 200  # combinations of other defaults
TOGETHER = 2  # defaults that differ


@dataclass(frozen=True)
class Made:
    """What a block was called with: all arguments by name, and those of them that were left out."""

    values: Values
    left_out: frozenset[str]


def made_with(factory: Callable[..., Any], case: Case) -> Made | None:
    """None where the arguments do not fit the signature."""
    signature = inspect.signature(factory)
    try:
        bound = signature.bind(*case.args, **case.kwargs)
    except TypeError:
        return None
    given = set(bound.arguments)
    bound.apply_defaults()
    return Made(dict(bound.arguments), frozenset(bound.arguments.keys() - given))


# ------------------------------------------------------------------------------------------------ conditions

Condition = tuple[str, Callable[[Made], bool]]


def when(cases: Sequence[Made], holds: Sequence[bool]) -> str:
    """The condition that tells the cases in which something holds from the others, in words; "" where none does.

    >>> cases = [Made({"a": a, "b": b}, frozenset()) for a in (1, 2) for b in (1, 2, 3)]
    >>> when(cases, [case.values["a"] == 1 != case.values["b"] for case in cases])
    '`a` is 1 and `b` is not 1'
    """
    if not FEWEST <= sum(holds) <= len(holds) - FEWEST:
        return ""
    found = [(words, [condition(case) for case in cases]) for words, condition in _conditions(cases)]
    for words, true in found:
        if true == list(holds):
            return words
    for way, joint in JOINTS:
        for (one, true), (other, too) in combinations(found, 2):
            if [joint(a, b) for a, b in zip(true, too, strict=True)] == list(holds):
                return way.format(one, other)
    return ""


JOINTS: tuple[tuple[str, Callable[[bool, bool], bool]], ...] = (
    ("{} and {}", lambda one, other: one and other),
    ("{} or {}, but not both", lambda one, other: one is not other),
)


def so_it_is(cases: Sequence[Made], holds: Sequence[bool]) -> str:
    """`when` in words that stand before a sentence."""
    condition = when(cases, holds)
    return (
        f"In each of the {sum(holds)} cases compared in which {condition}, and in no other:"
        if condition
        else ""
    )


def _conditions(cases: Sequence[Made]) -> Iterator[Condition]:
    """What can be said of some cases and not of others, what says most first."""
    names = list(cases[0].values)
    numbers = [name for name in names if all(type(case.values[name]) is int for case in cases)]
    for one, other in combinations(numbers, 2):
        if (
            one.rpartition("_")[2] != other.rpartition("_")[2]
        ):  # channels and channels, not channels and a stride
            continue
        for factor in (1, *FACTORS):
            times = f"{factor} times " if factor > 1 else ""

            def multiple(case: Made, one: str = one, other: str = other, factor: int = factor) -> bool:
                return bool(case.values[one] == factor * case.values[other])

            if sum(map(multiple, cases)) >= FEWEST:
                yield f"`{one}` is {times}`{other}`", multiple
                yield f"`{one}` is not {times}`{other}`", lambda case, holds=multiple: not holds(case)  # type: ignore[misc]
    for name in names:
        values = {repr(case.values[name]): case.values[name] for case in cases}
        if len(values) > LEVELS:
            continue
        for value in values.values():
            if not isinstance(value, (int, float, str, type(None))):
                continue

            def same(case: Made, name: str = name, value: Any = value) -> bool:
                return bool(case.values[name] == value)

            yield f"`{name}` is {value!r}", same
            yield f"`{name}` is not {value!r}", lambda case, holds=same: not holds(case)  # type: ignore[misc]
    for name in names:
        yield f"`{name}` is left out", lambda case, name=name: name in case.left_out  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------ defaults


@dataclass(frozen=True)
class OtherDefaults:
    """What a block does where arguments are left out: what is asked for these values of them."""

    asked: Values
    yours: Values

    @property
    def sentence(self) -> str:
        names = " and ".join(f"`{name}`" for name in self.yours)
        return (
            f"Called without {names}, your block does what is asked for {written(self.yours)}; asked for by default: "
            f"{written(self.asked)}."
        )


def written(values: Mapping[str, Any]) -> str:
    """
    >>> written({"stride": 2, "bias": False})
    '`stride=2` and `bias=False`'
    """
    return " and ".join(f"`{name}={value!r}`" for name, value in values.items())


def other_defaults(
    cases: Sequence[Made],
    wrong: Sequence[bool],
    agrees: Callable[[int, Mapping[str, Any]], bool],
    sizes: Sequence[int] = (),
) -> OtherDefaults | None:
    """The values with which a block would be right where they are left out, if that is all that is wrong.

    `agrees(k, values)` says whether in case k the block does what is asked with these values given; `sizes` are
    those of its output where it is wrong.
    """
    names = sorted({name for case in cases for name in case.left_out})
    for count in range(1, TOGETHER + 1):
        for some in combinations(names, count):
            touched = [k for k, case in enumerate(cases) if case.left_out.intersection(some)]
            if not all(k in touched for k, is_wrong in enumerate(wrong) if is_wrong):
                continue
            if len(touched) == len(cases):
                continue
            asked = {
                name: next(cases[k].values[name] for k in touched if name in cases[k].left_out)
                for name in some
            }
            tried = 0
            for values in product(*(_others(cases, name, sizes) for name in some)):
                tried += 1
                if tried > TRIED:
                    break
                chosen = dict(zip(some, values, strict=True))
                if all(
                    agrees(k, {name: chosen[name] for name in some if name in cases[k].left_out})
                    for k in touched
                ):
                    return OtherDefaults(asked, chosen)
    return None


def _others(cases: Sequence[Made], name: str, sizes: Sequence[int]) -> list[Any]:
    """Values beside its default that an argument may have: those that are asked, and simple ones near to it."""
    default = next(case.values[name] for case in cases if name in case.left_out)
    found = [case.values[name] for case in cases]
    if type(default) is bool:
        found += [not default]
    elif type(default) is int:
        found += [*range(1, 9), 0, 2 * default, *sizes]
    elif type(default) is float:
        found += [default * factor for factor in (0.5, 2.0, 0.1, 10.0)] + [0.0, 1.0, 0.25, 1 - default]
    return list({repr(value): value for value in found if value != default}.values())
