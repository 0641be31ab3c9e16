"""Mutants of our reference functions: one token of the source is another, or is not there.

Nothing of `casestudies.checking.edits` is used here: these are the slips that the checks are measured by.
"""

from __future__ import annotations

import inspect
import io
import keyword
import linecache
import random
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from typing import Any

OPERATORS = {
    "+": ("-", "*"),
    "-": ("+", "*"),
    "*": ("+", "//", "-"),
    "/": ("//", "*"),
    "//": ("/", "*"),
    "**": ("*", "+"),
    "@": ("*",),
    "<": ("<=", ">"),
    "<=": ("<", ">"),
    ">": (">=", "<"),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "and": ("or",),
    "or": ("and",),
    "ceil": ("floor",),
    "max": ("min",),
    "min": ("max",),
    "relu": ("tanh", "sigmoid"),
    "sum": ("mean",),
    "bn2": ("bn1",),
    "weight": ("bias",),
    "modules": ("children",),
    "True": ("False",),
}
DELETED = {"not", "-"}
METHODS = {"abs", "max", "T", "zero_"}  # left out with the dot in front and the brackets behind


def tokens_of(function: Callable[..., Any]) -> list[tokenize.TokenInfo]:
    source = textwrap.dedent(inspect.getsource(function))
    return list(tokenize.generate_tokens(io.StringIO(source).readline))


def changes(function: Callable[..., Any]) -> Iterator[tuple[int, int, str]]:
    """Ranges of tokens of the function, and what stands there instead."""
    tokens = tokens_of(function)
    names = list(inspect.signature(function).parameters)
    opened = 0
    start = 0
    for start, token in enumerate(tokens):  # noqa: B007 - the body begins behind the first colon outside of brackets
        opened += (token.string in "([{") - (token.string in ")]}") if token.type == tokenize.OP else 0
        if token.string == ":" and not opened:
            break
    yield from _in_signature(tokens, start)
    for k in range(start + 1, len(tokens)):
        if tokens[k].type not in (tokenize.STRING, tokenize.COMMENT):
            yield from _in_body(tokens, k, names)


def _in_signature(tokens: list[tokenize.TokenInfo], start: int) -> Iterator[tuple[int, int, str]]:
    for k in range(start):
        if tokens[k].string == "=" and tokens[k + 1].type == tokenize.NUMBER:
            yield k + 1, k + 2, _number(tokens[k + 1].string, 1)
        elif tokens[k].string == "=" and tokens[k + 1].string == "True":
            yield k + 1, k + 2, "False"


def _in_body(tokens: list[tokenize.TokenInfo], k: int, names: list[str]) -> Iterator[tuple[int, int, str]]:
    token, text = tokens[k], tokens[k].string
    after, before = tokens[min(k + 1, len(tokens) - 1)], tokens[k - 1]
    for other in OPERATORS.get(text, ()):
        yield k, k + 1, other
    if text in DELETED and (text == "not" or before.string in ("(", ",", "=", "return")):
        yield k, k + 1, ""
    if token.type == tokenize.NUMBER:
        for by in (1, -1):
            yield k, k + 1, _number(text, by)
    if token.type == tokenize.NAME and text in names and before.string != "." and after.string != "=":
        for other in names:
            if other != text:
                yield k, k + 1, other
    if text in ("+", "-", "*", "//", "/", "**") and after.type in (tokenize.NAME, tokenize.NUMBER):
        if tokens[k + 2].string not in ("(", ".", "["):
            yield k, k + 2, ""  # an operator and what stands behind it
    if after.string in ("+", "*") and token.type in (tokenize.NAME, tokenize.NUMBER):
        if before.string in ("(", ",", "return", "=", "["):
            yield k, k + 2, ""  # what stands in front, and the operator
    if text == "." and after.string in METHODS:
        end = k + 2
        if tokens[end].string == "(" and tokens[end + 1].string == ")":
            end += 2
        yield k, end, ""


def _number(text: str, by: int) -> str:
    if text.isdigit():
        return str(int(text) + by)
    return repr(round(float(text) * (2 if by > 0 else 0.5), 12))


def mutants(function: Callable[..., Any]) -> dict[str, Callable[..., Any]]:
    """All mutants that can be compiled, by what was changed."""
    tokens = tokens_of(function)
    lines = textwrap.dedent(inspect.getsource(function)).splitlines(keepends=True)
    found: dict[str, Callable[..., Any]] = {}
    for first, end, new in changes(function):
        row, column = tokens[first].start
        last_row, last_column = tokens[end - 1].end
        if row != last_row or keyword.iskeyword(new) and new not in ("and", "or", "True", "False"):
            continue
        changed = list(lines)
        line = lines[row - 1]
        changed[row - 1] = (
            f"{line[:column]} {new} {line[last_column:]}" if new else line[:column] + line[last_column:]
        )
        source = "".join(changed)
        label = f"line {row}: {' '.join(changed[row - 1].split())}"
        name = f"<mutant {len(linecache.cache)}>"
        space = dict(function.__globals__)
        try:
            exec(compile(source, name, "exec"), space)
        except SyntaxError:
            continue
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        found[label] = space[function.__name__]
    return found


def some(function: Callable[..., Any], count: int, seed: int) -> dict[str, Callable[..., Any]]:
    """`count` of them, drawn by chance."""
    every = mutants(function)
    labels = random.Random(seed).sample(sorted(every), min(count, len(every)))
    return {label: every[label] for label in labels}
