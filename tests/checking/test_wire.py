"""The wire carries plain data and tensors, and reads nothing else."""

from __future__ import annotations

import json
import math
import pickle
import struct

import pytest
import torch
from safetensors.torch import save

from casestudies.checking.wire import WireError, dumps, loads

MESSAGES = {
    "scalars": {"a": 1, "b": -2.5, "c": None, "d": True, "e": "ü", "f": 10**30},
    "nesting": [(1, [2, (3,)]), {"x": {"y": []}}],
    "integer keys": {1: "one", 2: "two"},
    "a key that looks like a tag": {"$tensor": "0"},
    "such a key among others": {"a": (1,), "$tuple": {"b": 2}},
    "keys of two types": {"a": [1.5], 2: (None,)},
    "empty": {},
}


def message(text: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(text), len(body)) + text + body


BODY = save({"x": torch.zeros(3)})

FORGED = {
    "too short": b"\0\0",
    "lengths that do not add up": struct.pack(">II", 5, 5) + b"{}",
    "no JSON": message(b"{"),
    "pickle for tensors": message(b"{}", pickle.dumps([1])),
    "a tensor that is not there": message(b'{"$tensor": ["torch.float32", 0, [1]]}'),
    "a tensor that begins before the first": message(b'{"$tensor": ["x", -1, [1]]}', BODY),
    "a tensor that ends after the last": message(b'{"$tensor": ["x", 2, [2]]}', BODY),
    "a tensor of a negative size": message(b'{"$tensor": ["x", 0, [-1]]}', BODY),
    "a tensor of a fractional size": message(b'{"$tensor": ["x", 0, [1.0]]}', BODY),
    "a tensor without a place": message(b'{"$tensor": "x"}', BODY),
    "an unknown tag": message(b'{"$module": 1}'),
    "two tags": message(b'{"$float": "1", "$tuple": []}'),
    "a tag among other keys": message(b'{"a": 1, "$float": "1"}'),
    "nested deeply": message(b"[" * 100 + b"]" * 100),
    "objects nested deeply": message(b'{"a":' * 100 + b"1" + b"}" * 100),
    "nested very deeply": message(b"[" * 100_000 + b"]" * 100_000),
    "a pair of three": message(b'{"$dict": [[1, 2, 3]]}'),
    "a tuple of letters": message(b'{"$tuple": "abc"}'),
    "a list as a key": message(b'{"$dict": [[[1], 2]]}'),
}


@pytest.mark.parametrize("name", MESSAGES)
def test_comes_back_as_it_was(name: str) -> None:
    assert loads(dumps(MESSAGES[name])) == MESSAGES[name]


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinities(value: float) -> None:
    assert loads(dumps([value])) == [value]


def test_nan() -> None:
    assert math.isnan(loads(dumps(math.nan)))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.int64, torch.bool])
def test_tensors(dtype: torch.dtype) -> None:
    value = torch.arange(6).reshape(2, 3).to(dtype)
    assert torch.equal(loads(dumps(value)), value)


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1, 1), (2, 1, 3)])
def test_shapes(shape: tuple[int, ...]) -> None:
    values = [torch.full(shape, 5.0), torch.arange(4.0), torch.full(shape, 7)]
    assert all(torch.equal(a, b) for a, b in zip(loads(dumps(values)), values, strict=True))


def test_tensors_that_share_memory() -> None:
    value = torch.arange(6.0)
    first, again = loads(dumps([value, value[2:]]))
    assert torch.equal(first, value) and torch.equal(again, value[2:])


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", lambda: 0])
def test_refuses_to_send_what_is_not_plain(value: object) -> None:
    with pytest.raises(WireError, match="cannot travel"):
        dumps(value)


@pytest.mark.parametrize("name", FORGED)
def test_forged_messages_are_refused(name: str) -> None:
    with pytest.raises(WireError):
        loads(FORGED[name])


def test_too_large() -> None:
    with pytest.raises(WireError, match="at most 10 are read"):
        loads(message(json.dumps("x" * 100).encode()), limit=10)
