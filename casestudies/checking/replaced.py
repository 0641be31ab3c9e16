"""Replaced: names of torch that a notebook has given to something else.

In a notebook the references run in the same process as the answers. Where `torch.nn.functional.relu` is a function of
the student's own, the reference calls it as well, and what it gives is not what is asked for: nothing is compared
then. Where answers are graded, they have a process to themselves, and the references another one.
"""

from __future__ import annotations

from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from casestudies.sandboxed.probe import is_students

SET_BY_TORCH = "Storage"  # a class that goes with the default dtype

# Where names are looked for, with what stood there when this was imported.
_PLACES: tuple[tuple[str, ModuleType | type, dict[str, object]], ...] = tuple(
    (name, place, {key: thing for key, thing in vars(place).items() if key != SET_BY_TORCH})
    for name, place in (
        ("torch.nn.functional", functional),
        ("torch.nn", nn),
        ("torch", torch),
        ("torch.Tensor", Tensor),
        ("torch.nn.Module", nn.Module),
    )
)


def replaced() -> str:
    """The first name that stands for something else now, such as "torch.nn.functional.relu"; empty if none does.

    What a library puts in place of a function, as profilers do, is none of the student's; a class is, wherever from.
    """
    for path, place, before in _PLACES:
        now = vars(place)
        for name, thing in before.items():
            if callable(thing) and (other := now.get(name)) is not thing and _own(other):
                return f"{path}.{name}"
    return ""


def _own(thing: Any) -> bool:
    if isinstance(thing, FunctionType):
        return is_students(thing.__code__.co_filename)
    return thing is None or isinstance(thing, type)
