"""What a declaration was given, held against what it takes: an author reads the name, the value and what to give."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from numbers import Real
from operator import index
from typing import Any


def expect(holds: bool, name: str, value: object, wanted: str, error: type[Exception] = ValueError) -> None:
    """
    >>> expect(False, "weight of the group 'small'", -1, "a number above 0")
    Traceback (most recent call last):
    ValueError: weight of the group 'small' is -1 (int); expected a number above 0
    """
    if not holds:
        given = " ".join(repr(value).split())
        raise error(f"{name} is {given:.80} ({type(value).__name__}); expected {wanted}")


def expect_text(name: str, value: object, wanted: str) -> None:
    expect(isinstance(value, str), name, value, wanted, TypeError)


def expect_truth(name: str, value: object) -> None:
    expect(isinstance(value, bool), name, value, "True or False", TypeError)


def expect_callable(name: str, value: object, wanted: str) -> None:
    expect(callable(value), name, value, wanted, TypeError)


def expect_number(name: str, value: object, wanted: str, holds: Callable[[Any], bool]) -> None:
    """A real number, not a truth, of which something holds."""
    real = isinstance(value, Real) and not isinstance(value, bool)
    expect(real, name, value, wanted, TypeError)
    try:
        finite = math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number, or a fraction, beyond all floats
        finite = False
    expect(finite and holds(value), name, value, wanted)


def expect_whole(name: str, value: Any, wanted: str, least: float, most: float = math.inf) -> None:
    try:
        whole = None if isinstance(value, bool) else index(value)
    except TypeError:
        whole = None
    expect(whole is not None, name, value, wanted, TypeError)
    expect(whole is not None and least <= whole <= most, name, value, wanted)


def expect_keys(name: str, value: Any, known: Iterable[str]) -> None:
    """A dict with no other keys than these: a misspelt one would say nothing.

    >>> expect_keys("a module in call", {"layer": "ReLU", "arg": []}, ("layer", "args"))
    Traceback (most recent call last):
    ValueError: a module in call has 'arg'; expected 'layer', 'args'
    """
    wanted = ", ".join(map(repr, known))
    expect(isinstance(value, dict), name, value, f"a dict of {wanted}", TypeError)
    unknown = sorted(set(value) - set(known), key=repr)
    if unknown:
        raise ValueError(f"{name} has {unknown[0]!r:.80}; expected {wanted}")


def expect_sequence(name: str, value: Any, wanted: str) -> None:
    """Several things in order; a text is one thing."""
    several = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    expect(several, name, value, wanted, TypeError)
