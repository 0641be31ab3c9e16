"""Whole numbers that somebody passes as a size, looked at in one place."""

from __future__ import annotations

import operator
from numbers import Integral


def whole(name: str, value: object, least: int = 1, most: int | None = None) -> int:
    """A whole number of Python, also from one of NumPy. Raises ValueError that names the argument and the value."""
    number = operator.index(value) if isinstance(value, Integral) else least - 1
    if isinstance(value, bool) or number < least:
        raise ValueError(f"{name} is {value!r}; expected an integer of at least {least}")
    if most is not None and number > most:
        raise ValueError(f"{name} is {value!r}; expected an integer of at most {most:,}")
    return number
