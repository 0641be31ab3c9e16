"""Text of others in a table that a spreadsheet opens: no cell of it is computed.

A cell that begins with = + - or @ is a formula there, and a formula can start programs and send data away. Where
another character separates the cells than the file means, a cell can also begin in the middle of one of ours.
"""

from __future__ import annotations

import re
from typing import Any

BEGINNINGS = "=+-@"
_BEGINS = re.compile(rf"\A[\s\0]*[{re.escape(BEGINNINGS)}]|\A[\t\r\n]")
_INSIDE = re.compile(rf"([;|\t\r\n][\s\0]*)(?=[{re.escape(BEGINNINGS)}])")
# What begins like a formula and is at most a sum of names and numbers: it calls nothing and reaches nothing.
_IDLE = re.compile(r"[-+@][\w.@+-]*")


def harmless(value: Any) -> Any:
    """A cell for people to read: an apostrophe stands before whatever would be a formula."""
    if not isinstance(value, str):
        return value
    value = _INSIDE.sub(r"\1'", value)
    return f"'{value}" if _BEGINS.match(value) else value


def idle(text: str) -> bool:
    """Whether a spreadsheet computes nothing of a text but, at most, a sum of names and numbers."""
    return _IDLE.fullmatch(text) is not None or harmless(text) == text


def identifier(value: Any) -> Any:
    """A cell by which a student is found again: exactly as it is, where it is `idle`, as every id is that this course
    accepts. Others are made harmless."""
    return value if isinstance(value, str) and idle(value) else harmless(value)


__all__ = ["harmless", "identifier", "idle"]
