"""How questions and answers travel between the grading process and the sandbox.

A message is one JSON text and the tensors it mentions, as safetensors: those of a type one after the other in one
long tensor, since dozens of small ones would cost more time than the networks they come from. Neither format can
execute anything when it is read, and both are read with limits: the other side is not trusted.
"""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

LIMIT = 256 * 2**20  # bytes of one message
DEPTH = 40
_AS_THEY_ARE = {str, int, bool, type(None)}  # most of a message: each saves a call
_HEADER = struct.Struct(">II")  # length of the JSON, length of the tensors
_JSON = json.JSONEncoder(allow_nan=False, check_circular=False)  # `plain` has made a tree of it


class WireError(ValueError):
    """A message that is too large, malformed, or holds something other than plain data."""


class _Packer:
    """Tensors on their way into a message: those of a type one after the other."""

    def __init__(self) -> None:
        self.parts: dict[str, list[torch.Tensor]] = {}
        self.lengths: dict[str, int] = {}

    def place(self, tensor: torch.Tensor) -> list[Any]:
        """[type, first number, shape]: where the tensor stands in the message."""
        if type(tensor) is not torch.Tensor:
            tensor = tensor.detach().as_subclass(torch.Tensor)
        flat = tensor.cpu().reshape(-1)
        dtype = str(flat.dtype)
        start = self.lengths.get(dtype, 0)
        self.parts.setdefault(dtype, []).append(flat)
        self.lengths[dtype] = start + flat.numel()
        return [dtype, start, list(tensor.shape)]

    def plain(self, value: Any) -> Any:
        """The value as JSON has it; an object with a key that begins with $ stands for something that JSON lacks."""
        if type(value) in _AS_THEY_ARE:
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"$float": repr(value)}
        if isinstance(value, dict):
            if all(type(key) is str and key[:1] != "$" for key in value):
                return {k: v if type(v) in _AS_THEY_ARE else self.plain(v) for k, v in value.items()}
            return {"$dict": [[self.plain(key), self.plain(item)] for key, item in value.items()]}
        if isinstance(value, torch.Tensor):
            return {"$tensor": self.place(value)}
        if isinstance(value, tuple):
            return {"$tuple": [item if type(item) in _AS_THEY_ARE else self.plain(item) for item in value]}
        if isinstance(value, list):
            return [item if type(item) in _AS_THEY_ARE else self.plain(item) for item in value]
        raise WireError(f"a {type(value).__name__} cannot travel: only plain data and tensors can")


def dumps(message: Any) -> bytes:
    """Plain data (dict, list, tuple, str, bytes-free scalars, tensors) as bytes.

    >>> loads(dumps({"shape": (2, 3), "x": torch.ones(2)}))
    {'shape': (2, 3), 'x': tensor([1., 1.])}
    """
    packer = _Packer()
    with torch.no_grad():
        text = _JSON.encode(packer.plain(message)).encode()
        parts = {dtype: torch.cat(each) for dtype, each in packer.parts.items()}
    body = save_tensors(parts) if parts else b""
    return _HEADER.pack(len(text), len(body)) + text + body


def loads(data: bytes, limit: int = LIMIT) -> Any:
    """The plain data that `dumps` wrote. Anything else is a WireError."""
    if len(data) > limit:
        raise WireError(f"a message of {len(data):,} bytes; at most {limit:,} are read")
    if len(data) < _HEADER.size:
        raise WireError(f"a message of {len(data)} bytes is shorter than its header")
    text_length, body_length = _HEADER.unpack_from(data)
    if _HEADER.size + text_length + body_length != len(data):
        raise WireError("the lengths in the header do not add up to the message")
    text = data[_HEADER.size : _HEADER.size + text_length]
    body = data[_HEADER.size + text_length :]
    try:
        tree = json.loads(text)
        tensors = load_tensors(body) if body else {}
        return _rich(tree, tensors, 0)
    except WireError:
        raise
    except RecursionError:
        raise WireError("the message is nested too deeply") from None
    except Exception as error:  # whatever a forged message makes the parsers raise
        raise WireError(f"the message cannot be read: {type(error).__name__}: {error}") from None


def _part(tensors: dict[str, torch.Tensor], dtype: str, start: int, shape: list[int]) -> torch.Tensor:
    """A tensor out of the long one of its type."""
    for number in (start, *shape):
        if type(number) is not int or number < 0:
            raise WireError("a tensor's place is not given in whole numbers")
    end = start + math.prod(shape)
    if end > tensors[dtype].numel():
        raise WireError("a tensor's place is outside of the message")
    return tensors[dtype][start:end].view(shape)


def _rich(value: Any, tensors: dict[str, torch.Tensor], depth: int) -> Any:
    if depth > DEPTH:
        raise WireError(f"the message is nested more than {DEPTH} deep")
    if isinstance(value, list):
        return [item if type(item) in _AS_THEY_ARE else _rich(item, tensors, depth + 1) for item in value]
    if isinstance(value, dict):
        if len(value) == 1:
            ((tag, content),) = value.items()
            if tag == "$tensor":
                return _part(tensors, *content)
            if tag == "$tuple" and isinstance(content, list):
                return tuple(_rich(content, tensors, depth + 1))
            if tag == "$float":
                return float(content)
            if tag == "$dict":
                return {
                    _rich(key, tensors, depth + 1): _rich(item, tensors, depth + 1) for key, item in content
                }
        for key in value:
            if key[:1] == "$":
                raise WireError(f"an object with the key {key[:20]!r} is not part of the format")
        return {
            key: item if type(item) in _AS_THEY_ARE else _rich(item, tensors, depth + 1)
            for key, item in value.items()
        }
    return value
