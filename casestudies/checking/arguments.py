"""Arguments: in which of the cases something is so, told by what a block was called with; and defaults that differ.

Both follow from the cases that were run for the points. A condition is also asked for in a few cases more.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, islice, product
from typing import Any

from casestudies.checking.space import Case, Values

FACTORS = (4, 2, 6)  # that one argument may be of another
LEVELS = 3  # values of an argument; of one with more, a single value says little
FEWEST = 2  # cases in which a condition must hold, and in which it must not, or it may be chance
SPECIAL = (0, 1)  # values that say something even of such an argument
TRIED_CONDITIONS = 8  # that agree with the cases, and are asked about
ASKED = 2  # further cases, until one can be told
TRIED = 200  # combinations of other defaults
TOGETHER = 2  # defaults that differ


@dataclass(frozen=True)
class Made:
    """What a block was called with: all arguments by name, and those of them that were left out."""

    values: Values
    left_out: frozenset[str]

    def but(self, name: str, value: Any) -> Made:
        """The same, called with another value of an argument."""
        return Made({**self.values, name: value}, self.left_out - {name})


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

Others = Callable[[Made], Iterator[Made]]


@dataclass(frozen=True)
class Literal:
    """Something that can be said of some cases and not of others.

    `turned` gives cases like one of them, in which this is so where it was not, or not where it was.
    """

    words: str
    names: tuple[str, ...]
    true: Callable[[Made], bool]
    turned: Others


@dataclass(frozen=True)
class Condition:
    """One literal, or two that are joined."""

    words: str
    literals: tuple[Literal, ...]
    true: Callable[[Made], bool]


def conditions(
    cases: Sequence[Made], holds: Sequence[bool], settings: Sequence[str] = ()
) -> Iterator[Condition]:
    """The conditions that tell the cases in which something holds from the others, first those on the arguments that
    the settings are named for."""
    if not FEWEST <= sum(holds) <= len(holds) - FEWEST:
        return

    def nearest_first(condition: Condition) -> int:
        names = [name for each in condition.literals for name in each.names]
        return -sum(name.split("_")[0] == each.split(" ")[0] for name in names for each in settings)

    found = [(each, [each.true(case) for case in cases]) for each in _literals(cases)]
    alone = [Condition(each.words, (each,), each.true) for each, true in found if true == list(holds)]
    yield from sorted(alone, key=nearest_first)
    # Of the cases of a run one may agree by chance, and hold only where something else does, too.
    for way, joint in JOINTS:
        both = [
            Condition(way.format(one.words, other.words), (one, other), _joined(joint, one, other))
            for (one, true), (other, too) in combinations(found, 2)
            if [joint(a, b) for a, b in zip(true, too, strict=True)] == list(holds)
        ]
        yield from sorted(both, key=nearest_first)


def when(cases: Sequence[Made], holds: Sequence[bool]) -> str:
    """The first condition that tells the cases in which something holds from the others; "" where none does.

    >>> cases = [Made({"a": a, "b": b}, frozenset()) for a in (1, 2) for b in (1, 2, 3)]
    >>> when(cases, [case.values["a"] == 1 != case.values["b"] for case in cases])
    '`a` is 1 and `b` is not 1'
    """
    return next((each.words for each in conditions(cases, holds)), "")


Joint = Callable[[bool, bool], bool]
JOINTS: tuple[tuple[str, Joint], ...] = (
    ("{} and {}", lambda one, other: one and other),
    ("{} or {}, but not both", lambda one, other: one is not other),
)


def _joined(joint: Joint, one: Literal, other: Literal) -> Callable[[Made], bool]:
    return lambda case: joint(one.true(case), other.true(case))


# Whether something holds in a case like the k-th with other arguments; None where nobody can tell.
Ask = Callable[[int, Made], "bool | None"]


def so_it_is(cases: Sequence[Made], holds: Sequence[bool], ask: Ask, settings: Sequence[str] = ()) -> str:
    """In which cases something holds, in words that stand before a sentence; "" where that cannot be told.

    Of a few cases and a hundred conditions some agree by chance. So cases are asked that differ from these in what
    the condition says, and in nothing else.
    """
    for condition in islice(conditions(cases, holds, settings), TRIED_CONDITIONS):
        if all(_needed(condition, each, cases, ask) for each in condition.literals):
            return (
                f"In each of the {sum(holds)} cases compared in which {condition.words}, and in no other (numbers "
                "and places are those of one):"
            )
    return ""


def _needed(condition: Condition, literal: Literal, cases: Sequence[Made], ask: Ask) -> bool:
    """Whether it ends where the literal is turned, or begins there, on each side that can be asked, and on one."""
    needed = False
    for side in (True, False):
        asked = 0
        for number, case in enumerate(cases):
            others = literal.turned(case) if condition.true(case) is side else iter(())
            for other in others:
                if condition.true(other) is side or asked == ASKED:
                    continue
                asked += 1
                answer = ask(number, other)
                if answer is side:
                    return False
                if answer is not None:
                    needed, asked = True, ASKED
    return needed


def _literals(cases: Sequence[Made]) -> Iterator[Literal]:
    """What can be said of some cases and not of others, what says most first."""
    names = list(cases[0].values)
    numbers = [name for name in names if all(type(case.values[name]) is int for case in cases)]
    levels = {name: list({repr(c.values[name]): c.values[name] for c in cases}.values()) for name in names}

    def pair(
        before: str, after: str, names: tuple[str, ...], true: Callable[[Made], bool], turned: Others
    ) -> Iterator[Literal]:
        yield Literal(f"{before} is {after}", names, true, turned)
        yield Literal(f"{before} is not {after}", names, lambda case: not true(case), turned)

    for one, other in combinations(numbers, 2):
        if (
            one.rpartition("_")[2] != other.rpartition("_")[2]
        ):  # channels and channels, not channels and a stride
            continue
        for factor in (1, *FACTORS):
            times = f"{factor} times " if factor > 1 else ""

            def multiple(case: Made, one: str = one, other: str = other, factor: int = factor) -> bool:
                return bool(case.values[one] == factor * case.values[other])

            def turned(
                case: Made, one: str = one, other: str = other, factor: int = factor
            ) -> Iterator[Made]:
                right = factor * case.values[other]
                values = [value for value in levels[one] if value != right]
                return (case.but(one, value) for value in (values if case.values[one] == right else [right]))

            if sum(map(multiple, cases)) >= FEWEST:
                yield from pair(f"`{one}`", f"{times}`{other}`", (one, other), multiple, turned)
    for name in names:
        for value in levels[name]:
            if not isinstance(value, (int, float, str, type(None))):
                continue
            if len(levels[name]) > LEVELS and value not in SPECIAL:
                continue

            def same(case: Made, name: str = name, value: Any = value) -> bool:
                return bool(case.values[name] == value)

            def other_value(case: Made, name: str = name, value: Any = value) -> Iterator[Made]:
                values = [each for each in levels[name] if each != value]
                return (case.but(name, each) for each in (values if case.values[name] == value else [value]))

            yield from pair(f"`{name}`", repr(value), (name,), same, other_value)
    for name in names:

        def given(case: Made, name: str = name) -> Iterator[Made]:
            if name in case.left_out:
                yield case.but(name, case.values[name])

        yield Literal(f"`{name}` is left out", (name,), lambda case, name=name: name in case.left_out, given)  # type: ignore[misc]


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
