"""Between calls: a function that gives something else where it was called before, which no formula does.

It may keep results and tell them apart by some of the arguments only, or change what it keeps with every call. So it
is asked twice with the same arguments, and with arguments of which one differs, one right after the other: what was
asked first is right then, and the other gives the same, in whatever order they are asked.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from casestudies.checking.compare import difference_of
from casestudies.checking.parts import Call, Values
from casestudies.checking.slips import same
from casestudies.checking.space import Dice, call_text
from casestudies.sandboxed.messages import Called, Failed

ASKED = 3  # calls that are made twice
TURNS = 24  # of drawing calls
WIDE = 8  # values of an argument by which calls are told apart
TRIED, FAILED = 16, 2  # pairs of calls in which one argument differs, and how many of them may not show it

Ask = Callable[[Call], Called | Failed]
Row = dict[str, int | float]  # all arguments of a call by name, where they are numbers


def kept_between_calls(
    reference: Values, ask: Ask, seed: int, before: Iterable[Call] = ()
) -> list[dict[str, str]]:
    """What shows that something is kept between calls, as `report.differences` has it; nothing where nothing does."""
    if reference.view is not None or reference.random:
        return []
    calls = list(_drawn(reference, seed))
    for made in calls[:: -(-len(calls) // ASKED)]:
        first, second = ask(made), ask(made)
        if isinstance(first, Called) and isinstance(second, Called):
            if difference_of(second.value, first.value, 1e-9):
                return [_said(reference, *_another_time(reference, made))]
    found: dict[str, tuple[Call, Call, Any, Any]] = {}
    mixed = _Mixed(reference, ask, calls, before, seed)
    for name in mixed.names:
        if (shown := mixed.shown(name)) is not None:
            found[name] = shown
    if not found:
        return []
    names = ", ".join(f"`{name}`" for name in found)
    one, other, given, right = next(iter(found.values()))
    earlier, after = (call_text(reference.name, each.args, each.kwargs) for each in (one, other))
    return [
        _said(
            reference,
            f"{after}: {right!r}",
            f"{after}: {given!r}",
            f"Yours keeps results between calls and mixes them up where only {names} differs: {earlier} gives "
            f"{given!r}, and right after it {after} gives {given!r} too; asked for: {right!r}.",
        )
    ]


def _drawn(reference: Values, seed: int) -> Iterator[Call]:
    for index, group in enumerate(reference.groups):
        yield from group.calls(Dice(seed + index))


def _said(reference: Values, asked: str, yours: str, sentence: str) -> dict[str, str]:
    return {"asked": asked, "yours": yours, "where": reference.name, "sentence": sentence}


def _another_time(reference: Values, made: Call) -> tuple[str, str, str]:
    written = call_text(reference.name, made.args, made.kwargs)
    sentence = (
        f"Yours gives something else when it is called once more with the same arguments: {written}. Something is "
        "kept between calls, or drawn anew."
    )
    return "", written, sentence


class _Mixed:
    """Looks for arguments by which results that are kept are not told apart."""

    def __init__(
        self, reference: Values, ask: Ask, calls: list[Call], before: Iterable[Call], seed: int
    ) -> None:
        self.reference, self.ask, self.dice = reference, ask, Dice(seed)
        self.signature = inspect.signature(reference.function)
        self.names = list(self.signature.parameters)
        self.rows = [row for made in calls if (row := self._row(made)) is not None]
        for turn in range(1, TURNS) if self.rows else ():
            more = _drawn(reference, seed + turn * len(reference.groups))
            self.rows += [row for made in more if (row := self._row(made)) is not None]
        self.wide = [name for name in self.names if len({row[name] for row in self.rows}) >= WIDE]
        # What is kept may be told apart by these: a call like none before finds nothing.
        asked = [*before, *calls[:: -(-len(calls) // ASKED)]]
        known = {self._key(row) for made in asked if (row := self._row(made)) is not None}
        fresh = {self._key(row): row for row in self.rows if self._key(row) not in known}
        self.unused = iter(fresh.values())

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.wide)

    def _row(self, made: Call) -> Row | None:
        """All arguments of a call by name, where they are numbers."""
        bound = self.signature.bind(*made.args, **made.kwargs)
        bound.apply_defaults()
        plain = all(isinstance(each, (int, float)) for each in bound.arguments.values())
        return dict(bound.arguments) if plain else None

    def shown(self, name: str) -> tuple[Call, Call, Any, Any] | None:
        """Two calls that differ in one argument and give the same, what they give, and what the second should.

        Which of the two is asked first is drawn. A function that keeps nothing may ignore the argument, and give what
        is right for one of its values: then it is wrong for the other, also where that is asked first.
        """
        seen, failed, found = 0, 0, None
        for one, other in self._pairs(name):
            first, second = self._right(one), self._right(other)
            if first is None or second is None or first == second:
                continue
            is_right = self._gives(one, first)
            if self._gives(other, second):
                return None  # it is looked at
            if is_right and self._gives(other, first):
                seen, found = seen + 1, (Call((), one), Call((), other), first, second)
            else:
                failed += 1  # or something like it was asked before
            if failed > FAILED or seen + failed >= TRIED:
                break
        return found if seen + failed >= TRIED and failed <= FAILED else None

    def _pairs(self, name: str) -> Iterator[tuple[Row, Row]]:
        """Arguments, and the same with another value of one of them, in an order that is drawn."""
        values = list(dict.fromkeys(row[name] for row in self.rows))
        for row in self.unused:
            others = [each for each in values if each != row[name]]
            if others:
                pair = row, {**row, name: self.dice.choice(others)}
                yield pair if self.dice.integer(0, 1) else pair[::-1]

    def _right(self, row: Row) -> Any:
        try:
            return self.reference.function(**row)
        except Exception:
            return None

    def _gives(self, row: Row, value: Any) -> bool:
        answer = self.ask(Call((), row))
        return isinstance(answer, Called) and same(value, answer.value)
