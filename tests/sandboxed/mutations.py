"""Frames and answers as somebody might forge them: honest ones, changed at random places."""

from __future__ import annotations

import json
import math
import random
import struct
import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from casestudies.sandboxed import messages as m
from casestudies.sandboxed.probe import Probe

WORDS = [
    "",
    "x",
    "weight",
    "conv.weight",
    "Block",
    "float32",
    "tensor",
    "list",
    "none",
    "int",
    "module class",
]
WORDS += ["function", "NotImplementedError", "\u202e<b>", "a" * 450, "\x1b[31m", "\ud800", "ü" * 200]
NUMBERS = [0, 1, -1, 2, 3, 7, 1 << 31, 1 << 62, 1 << 100, -(1 << 63)]
FLOATS = [0.0, -0.0, 1.0, -1.5, 8.0, 1e308, 1e-320, math.inf, -math.inf, math.nan]
SHAPES = [(), (0,), (1,), (2,), (2, 8), (3, 0), (2, 8, 9, 7), (2, 16, 5, 4), (1, 8, 9, 7), (1,) * 9]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def frame(tree: Any, body: bytes) -> bytes:
    text = json.dumps(tree).encode()
    return struct.pack(">II", len(text), len(body)) + text + body


def parts(data: bytes) -> tuple[Any, bytes]:
    """Tree and tensors of an honest message."""
    length = struct.unpack_from(">I", data)[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all nodes of a tree."""
    found = [path]
    if isinstance(tree, list):
        for index, item in enumerate(tree):
            found += places(item, (*path, index))
    elif isinstance(tree, dict):
        for key, item in tree.items():
            found += places(item, (*path, key))
    return found


def grafted(tree: Any, path: tuple[Any, ...], branch: Any) -> Any:
    """The tree with another branch at a place."""
    if not path:
        return branch
    changed = tree.copy()
    changed[path[0]] = grafted(tree[path[0]], path[1:], branch)
    return changed


class Mutator:
    """Random values of what is declared, and random changes of honest answers."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def tensor(self, like: Tensor | None = None) -> Tensor:
        dtype = self.dice.choice(m.DTYPES)
        shape = self.dice.choice(SHAPES)
        if like is not None and self.dice.random() < 0.6:
            dtype, shape = self.dice.choice([(dtype, tuple(like.shape)), (like.dtype, shape)])
        fill = self.dice.choice([0, 1, -3, 7.5, math.nan, math.inf])
        if not (dtype.is_floating_point or dtype.is_complex):
            fill = 1 if not math.isfinite(fill) else abs(int(fill))
        return torch.full(shape, fill, dtype=dtype)

    def value_of(self, hint: Any, like: Any = None) -> Any:
        """A value of an annotation, as `messages` declares it."""
        if typing.get_origin(hint) is typing.Annotated:
            hint = typing.get_args(hint)[0]
        kind, args = typing.get_origin(hint) or hint, typing.get_args(hint)
        if kind is Tensor:
            return self.tensor(like if isinstance(like, Tensor) else None)
        if kind is str:
            return self.dice.choice(WORDS)
        if kind is bool:
            return self.dice.random() < 0.5
        if kind is int:
            return self.dice.choice(NUMBERS)
        if kind is float:
            return self.dice.choice(FLOATS)
        if kind is tuple:
            return tuple(self.value_of(args[0]) for _ in range(self.dice.choice([0, 1, 2, 3])))
        if kind is dict:
            return {
                self.dice.choice(WORDS): self.value_of(args[1]) for _ in range(self.dice.choice([0, 1, 2]))
            }
        if kind in (types.UnionType, typing.Union):
            return self.value_of(self.dice.choice(args), like)
        if kind is type(None):
            return None
        if kind is typing.Literal:
            return self.dice.choice(args)
        if kind is m.Value:
            return self.value()
        if is_dataclass(kind):
            hints = typing.get_type_hints(kind, include_extras=True)
            return kind(*[self.value_of(hints[each.name]) for each in fields(kind)])
        raise AssertionError(hint)

    def value(self, depth: int = 0) -> m.Value:
        kind = self.dice.choice(m.Value.KINDS)
        content: Any = None
        if kind == "tensor":
            content = self.tensor()
        elif kind in ("tuple", "list"):
            count = self.dice.choice([0, 1, 2]) if depth < 3 else 0
            content = [self.value(depth + 1) for _ in range(count)]
        elif kind in ("bool", "int", "float", "str"):
            content = self.value_of({"bool": bool, "int": int, "float": float, "str": str}[kind])
        return m.Value(kind, content, self.dice.choice(WORDS))

    def changed(self, value: Any, hint: Any = None) -> Any:
        """The value with a change somewhere in it."""
        if isinstance(value, m.Value) and self.dice.random() < 0.5:
            return self.value()
        if isinstance(value, m.Message) and fields(value) and not isinstance(value, m.Value):
            hints = typing.get_type_hints(type(value), include_extras=True)
            name = self.dice.choice(fields(value)).name
            return replace(value, **{name: self.changed(getattr(value, name), hints[name])})
        if isinstance(value, tuple) and value and self.dice.random() < 0.8:
            index = self.dice.randrange(len(value))
            inner = self.changed(value[index], _item(hint, value[index]))
            return self.dice.choice(
                [(*value[:index], inner, *value[index + 1 :]), value[:index] + value[index + 1 :], value * 2]
            )
        if isinstance(value, dict) and value and self.dice.random() < 0.8:
            name = self.dice.choice(list(value))
            kept = {key: item for key, item in value.items() if key != name}
            choice = self.dice.random()
            if choice < 0.3:
                return kept
            if choice < 0.5:
                return {**kept, self.dice.choice(WORDS): value[name]}
            return {**value, name: self.changed(value[name], _item(hint, value[name]))}
        if isinstance(value, Tensor) and self.dice.random() < 0.7:
            return self.tensor(value)
        return self.value_of(hint if hint is not None else type(value), value)


def _item(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next((each for each in typing.get_args(hint) if each is not type(None)), hint)
    args = typing.get_args(hint)
    return args[-1] if typing.get_origin(hint) is dict else args[0] if args else type(value)


ANSWERS = m.Failed | m.Described | m.Built | m.Lazy | m.NotAModule | m.Done | m.Ran | m.Called


def forging(answer: Any, dice: random.Random, share: float) -> Callable[[m.Request], Any]:
    """A student's object some of whose answers are changed or replaced, and arrive over the wire."""
    probe, mutator = Probe(answer), Mutator(dice)

    def subject(request: m.Request) -> Any:
        found = probe.handle(request)
        for _ in range(3):
            if dice.random() > share:
                break
            if isinstance(found, (m.Answers, m.Batched)) and found.answers:
                index = dice.randrange(len(found.answers))
                inner = mutator.changed(found.answers[index])
                found = type(found)((*found.answers[:index], inner, *found.answers[index + 1 :]))
            else:
                found = mutator.changed(found) if dice.random() < 0.8 else mutator.value_of(ANSWERS)
        try:
            data = m.dumps(m.Reply(1, m.Answered(found)))
        except m.WireError:
            return found  # what cannot be written by our own writer goes straight to the checks
        return m.loads(data).outcome.answer

    return subject


class Block(nn.Module):
    """Not right: what is said of it must not be a passed check."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)
        self.norm = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))
