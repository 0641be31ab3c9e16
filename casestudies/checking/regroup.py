"""Regroup: see one weight of a student's as several of ours, or several as one.

Three 1x1 convolutions of one input are one convolution with all their filters; a depthwise convolution may be kept as
a list of single filters. Both are right. The sizes then differ and the numbers are as many. Here are the ways to cut
and join the student's parameters and buffers so that their sizes are those of the reference; what the block does with
them decides which is true, if any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, islice, permutations, product
from math import prod

import torch
from torch import Tensor

from casestudies.checking.transplant import Slot, missing_and_extra

WAYS = 24  # to make up one weight of others
FEW = 4  # parts of one weight, of which every order is tried
MOST = 64  # parts at all

Values = Mapping[str, "Tensor | None"]
Step = Callable[[Values], dict[str, "Tensor | None"]]


@dataclass(frozen=True)
class Regrouping:
    """The student's slots seen in another way. Called with values by the student's names, adds those by the new."""

    slots: list[Slot]
    steps: tuple[Step, ...] = ()

    def __call__(self, values: Values | None) -> dict[str, Tensor | None] | None:
        if values is None:
            return None
        found = dict(values)
        for step in self.steps:
            found |= step(found)
        return found


def regroupings(theirs: Sequence[Slot], ours: Sequence[Slot]) -> Iterator[Regrouping]:
    """Ways to see `theirs` with the sizes of `ours`, the likeliest first. None where the numbers are not as many."""
    missing, extra = missing_and_extra(theirs, ours)
    for kind in ("parameter", "buffer"):
        sizes = [sum(prod(slot.shape) for slot in pool if slot.kind == kind) for pool in (missing, extra)]
        if sizes[0] != sizes[1]:
            return
    fewer, more = sorted((missing, extra), key=len)
    if not fewer or len(fewer) == len(more) or len(more) > MOST:
        return
    ways = [list(islice(_shares(one, more), WAYS)) for one in fewer]
    chosen_ways = sorted(  # those in the same order for all come first, as a weight and its bias have it
        islice(product(*(range(len(each)) for each in ways)), WAYS**2),
        key=lambda chosen: (len(set(chosen)), chosen),
    )
    for chosen in chosen_ways:
        taken = [way[index] for way, index in zip(ways, chosen, strict=True)]
        names = [part.name for _, parts in taken for part in parts]
        if len(names) != len(more) or len(set(names)) != len(more):
            continue
        view = Regrouping(list(theirs))
        for one, (axis, parts) in zip(fewer, taken, strict=True):
            view = _split(view, one, axis, parts) if fewer is extra else _join(view, one, parts)
        yield view


def _shares(one: Slot, others: Sequence[Slot]) -> Iterator[tuple[int, tuple[Slot, ...]]]:
    """Ways to cut a slot along one of its axes into some of the others, in some order: (axis, the others)."""
    pool = [slot for slot in others if slot.kind == one.kind]
    total = prod(one.shape)
    for number in dict.fromkeys((*range(2, min(FEW, len(pool)) + 1), len(pool))):
        for subset in combinations(pool, number):
            if sum(prod(slot.shape) for slot in subset) != total:
                continue
            axis = next(
                (
                    axis
                    for axis, size in enumerate(one.shape)
                    if size and all(prod(part.shape) % (total // size) == 0 for part in subset)
                ),
                None,
            )
            if axis is None:
                continue
            for parts in permutations(subset) if number <= FEW else (subset,):
                yield axis, tuple(parts)


def _split(view: Regrouping, one: Slot, axis: int, parts: Sequence[Slot]) -> Regrouping:
    """The student's one slot as several: cut along an axis, with as many numbers each as the parts have."""
    unit = prod(one.shape) // one.shape[axis]
    sizes = [prod(part.shape) // unit for part in parts]
    names = [f"{one.name}[{index}]" for index in range(len(parts))]

    def step(values: Values) -> dict[str, Tensor | None]:
        whole = values.get(one.name)
        if whole is None or whole.shape != one.shape:
            return dict.fromkeys(names)
        return dict(zip(names, whole.split(sizes, axis), strict=True))

    pieces = [
        replace(one, name=name, shape=(*one.shape[:axis], size, *one.shape[axis + 1 :]))
        for name, size in zip(names, sizes, strict=True)
    ]
    slots = [piece for slot in view.slots for piece in (pieces if slot.name == one.name else [slot])]
    return Regrouping(slots, (*view.steps, step))


def _join(view: Regrouping, one: Slot, parts: Sequence[Slot]) -> Regrouping:
    """Several slots of the student's as one of ours."""
    name = "+".join(part.name for part in parts)

    def step(values: Values) -> dict[str, Tensor | None]:
        pieces = [values.get(part.name) for part in parts]
        whole = [
            piece
            for piece, part in zip(pieces, parts, strict=True)
            if piece is not None and piece.shape == part.shape
        ]
        if len(whole) != len(parts):
            return {name: None}
        return {name: torch.cat([piece.flatten() for piece in whole]).reshape(one.shape)}

    gone = {part.name for part in parts[1:]}
    slots = [
        replace(slot, name=name, shape=one.shape) if slot.name == parts[0].name else slot
        for slot in view.slots
        if slot.name not in gone
    ]
    return Regrouping(slots, (*view.steps, step))
