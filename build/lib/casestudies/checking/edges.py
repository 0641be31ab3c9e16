"""Edges: arguments on both sides of every condition of a reference, near to it, and exactly at it.

The conditions are read from the reference itself: its comparisons, and what `max` and `min` choose from.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from casestudies.checking.formulas import Formula, Site, formula_of
from casestudies.checking.parts import Call
from casestudies.checking.space import Dice

TRIES = 5000
AT_LEAST = 200  # tries: so that what is nearest is near
SIDES = (-1, 0, 1)  # the left below the right, both equal, the left above


def conditions(formula: Formula) -> list[Site]:
    """The sites at which two numbers are compared."""
    formula.run  # noqa: B018 - builds the sites
    return [site for site in formula.sites if _compares(site.node)]


def _compares(node: ast.expr) -> bool:
    if isinstance(node, ast.Compare):
        return len(node.ops) == 1
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("max", "min")
    return called and isinstance(node, ast.Call) and len(node.args) == 2


def gaps(formula: Formula, made: Call) -> dict[int, list[float]]:
    """By how much the left side of each condition exceeds the right, as often as it is looked at in one call."""
    sites = conditions(formula)
    plain = {site.number: formula.space[f"_n{site.number}"] for site in sites}
    seen: dict[int, list[float]] = {site.number: [] for site in sites}

    def noted(number: int) -> Callable[..., Any]:
        def run(left: Any, right: Any) -> Any:
            if _number(left) and _number(right):
                seen[number].append(left - right)
            return plain[number](left, right)

        return run

    formula.space.update({f"_n{number}": noted(number) for number in plain})
    try:
        formula.run(*made.args, **made.kwargs)
    finally:
        formula.space.update({f"_n{number}": function for number, function in plain.items()})
    return seen


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def sides(function: Callable[..., Any], calls: Iterable[Call]) -> dict[str, set[int]]:
    """For each condition of a function, by its text, the sides of it that some calls are on."""
    formula = formula_of(function)
    if formula is None:
        return {}
    found: dict[str, set[int]] = {formula.text_of(site.node): set() for site in conditions(formula)}
    for made in calls:
        for number, values in gaps(formula, made).items():
            text = formula.text_of(formula.sites[number].node)
            found[text] |= {(value > 0) - (value < 0) for value in values}
    return found


def edges(
    function: Callable[..., Any], draw: Callable[[Dice], Call], never: Iterable[str] = ()
) -> Callable[[Dice], Iterator[Call]]:
    """Calls on every side of each condition of `function`, the nearest of those that `draw` gives.

    draw: draws a call; where two sides are equal, its numbers should be such that no rounding decides.
    never: conditions, as Python writes them, that are never an equality.
    """

    def make(dice: Dice) -> Iterator[Call]:
        formula = formula_of(function)
        if formula is None:
            raise ValueError(f"the conditions of {function.__name__} cannot be read")
        exempt = set(never)
        wanted = {
            (site.number, side)
            for site in conditions(formula)
            for side in SIDES
            if side or formula.text_of(site.node) not in exempt
        }
        nearest: dict[tuple[int, int], tuple[float, Call]] = {}
        for tries in range(TRIES):
            if tries >= AT_LEAST and wanted <= nearest.keys():
                break
            made = draw(dice)
            for number, values in gaps(formula, made).items():
                for value in values:
                    key = number, (value > 0) - (value < 0)
                    if key not in nearest or abs(value) < nearest[key][0]:
                        nearest[key] = abs(value), made
        chosen = [made for key, (_, made) in sorted(nearest.items()) if key in wanted]
        yield from {id(made): made for made in chosen}.values()

    return make
