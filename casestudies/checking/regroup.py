"""Regroup: see one weight of a student's as several of ours, or several as one.

Three 1x1 convolutions of one input are one convolution with all their filters; a depthwise convolution may be kept as
a list of single filters. Both are right. The sizes then differ and the numbers are as many. Here are the ways to cut
and join the student's parameters and buffers so that their sizes are those of the reference; what the block does with
them decides which is true, if any.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, islice, permutations, product
from math import prod

import torch
from torch import Tensor

from casestudies.checking.transplant import Slot, missing_and_extra

WAYS = 24  # to make up one weight of others
FEW = 4  # parts of one weight, of which every order is tried
MOST = 64  # parts at all
CHOICES = 12  # of slots that are made up of others
COMBINATIONS = 20_000  # of a few slots that are looked at

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
    splits = len(extra) < len(missing)  # the student keeps several of ours as one
    fewer, more = (extra, missing) if splits else (missing, extra)
    if not fewer or len(fewer) == len(more) or len(more) > MOST:
        return
    pools = (theirs, ours) if splits else (ours, theirs)
    wanted = Counter(slot.key for slot in more)
    # Slots of the same sizes may stand beside those that are meant: 3x3 filters of one channel beside 3 -> 3 points.
    parts = [slot for slot in pools[1] if slot.key in wanted]
    for chosen in islice(_choices(fewer, pools[0]), CHOICES):
        ways = [list(islice(_shares(one, parts, parallel=not splits), WAYS)) for one in chosen]
        order = sorted(  # those in the same order for all come first, as a weight and its bias have it
            islice(product(*(range(len(each)) for each in ways)), WAYS**2),
            key=lambda numbers: (len(set(numbers)), numbers),
        )
        for numbers in order:
            taken = [way[index] for way, index in zip(ways, numbers, strict=True)]
            found = [part for _, made_of in taken for part in made_of]
            if len({part.name for part in found}) != len(found) or Counter(p.key for p in found) != wanted:
                continue
            # Filters, or what each tap of a kernel has: one behind the other along the same axis in all of them.
            places = [(0,)] if splits else _places(chosen, taken)
            for place in places:
                view = Regrouping(list(theirs))
                for one, (axis, made_of) in zip(chosen, taken, strict=True):
                    if splits:
                        view = _split(view, one, axis, made_of)
                    else:
                        view = _join(view, one, made_of, place[0])
                yield view


def _places(some: Sequence[Slot], taken: Sequence[tuple[int, tuple[Slot, ...]]]) -> list[tuple[int, ...]]:
    """The axes along which parts may be stacked to make up each of some slots, the first one where they are joined
    one behind the other."""
    found = [
        axis
        for axis in range(1, max(len(one.shape) for one in some))
        if all(_stacks(one.shape, made_of, axis) for one, (_, made_of) in zip(some, taken, strict=True))
    ]
    first = all(axis >= 0 for axis, _ in taken)
    return [(axis,) for axis in ([0] if first or not found else []) + found]


def _stacks(shape: tuple[int, ...], parts: Sequence[Slot], axis: int) -> bool:
    """Whether parts of one shape make up another, stacked along an axis or along it and some behind it."""
    sizes = [size for size in parts[0].shape if size != 1]
    if any(part.shape != parts[0].shape for part in parts):
        return False
    return any(
        prod(shape[axis:end]) == len(parts)
        and [size for size in (*shape[:axis], *shape[end:]) if size != 1] == sizes
        for end in range(axis + 1, len(shape) + 1)
    )


def _choices(some: Sequence[Slot], pool: Sequence[Slot]) -> Iterator[list[Slot]]:
    """Some slots, then others of the same sizes in their place."""
    yield list(some)
    groups = [
        combinations([slot for slot in pool if slot.key == key], count)
        for key, count in Counter(slot.key for slot in some).items()
    ]
    for chosen in product(*groups):
        found = [slot for group in chosen for slot in group]
        if {slot.name for slot in found} != {slot.name for slot in some}:
            yield found


def _shares(one: Slot, others: Sequence[Slot], parallel: bool) -> Iterator[tuple[int, tuple[Slot, ...]]]:
    """Ways to cut a slot along one of its axes into some of the others, in some order: (axis, the others).

    parallel: the others are used at once, as the one is: none of them comes after another.
    """
    pool = [slot for slot in others if slot.kind == one.kind]
    runs = (tuple(pool[start:end]) for start, end in combinations(range(len(pool) + 1), 2) if end - start > 1)
    few = (each for number in range(2, min(FEW, len(pool)) + 1) for each in combinations(pool, number))
    first = []
    for axis, subset in _fitting(one, runs, parallel):
        # Each run as it is used, before any of them in another order: of equal layers each has its own run.
        first.append((axis, subset))
        yield axis, subset
    known = {subset for _, subset in first}
    others_too = (each for each in _fitting(one, islice(few, COMBINATIONS), parallel) if each[1] not in known)
    for axis, subset in chain(first, others_too):
        for parts in permutations(subset) if len(subset) <= FEW else (subset,):
            if parts not in known:
                yield axis, parts


def _fitting(
    one: Slot, subsets: Iterable[tuple[Slot, ...]], parallel: bool
) -> Iterator[tuple[int, tuple[Slot, ...]]]:
    """Those of the subsets, once each, that hold as many numbers as a slot in whole slices along one of its axes."""
    total = prod(one.shape)
    seen: set[tuple[str, ...]] = set()
    for subset in subsets:
        names = tuple(part.name for part in subset)
        if names in seen or sum(prod(part.shape) for part in subset) != total:
            continue
        seen.add(names)
        if parallel and any(b.upstream >> a.order & 1 for a in subset for b in subset if a.used):
            continue
        axes = [
            axis
            for axis, size in enumerate(one.shape)
            if size and all(prod(part.shape) % (total // size) == 0 for part in subset)
        ]
        if parallel:
            if not axes and any(_stacks(one.shape, subset, n) for n in range(1, len(one.shape))):
                axes = [-1]  # none of them is a slice
            axes = axes[:1]
        # A bias may be the last column of a weight whose rows hold as many numbers as a few biases.
        yield from ((axis, subset) for axis in sorted(axes, key=lambda axis: not _slices(one, subset, axis)))


def _slices(one: Slot, parts: Sequence[Slot], axis: int) -> bool:
    """Whether what is cut off a slot along an axis has the sizes of the parts, and not only as many numbers."""
    unit = prod(one.shape) // one.shape[axis]
    return all(
        [size for size in (*one.shape[:axis], prod(part.shape) // unit, *one.shape[axis + 1 :]) if size != 1]
        == [size for size in part.shape if size != 1]
        for part in parts
    )


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


def _join(view: Regrouping, one: Slot, parts: Sequence[Slot], axis: int) -> Regrouping:
    """Several slots of the student's as one of ours: one behind the other, or stacked along an axis of it."""
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
        if not axis:
            return {name: torch.cat([piece.flatten() for piece in whole]).reshape(one.shape)}
        sizes = one.shape[:axis]
        stacked = [piece.reshape(*sizes, piece.numel() // prod(sizes)) for piece in whole]
        return {name: torch.stack(stacked, axis).reshape(one.shape)}

    gone = {part.name for part in parts[1:]}
    slots = [
        replace(slot, name=name, shape=one.shape) if slot.name == parts[0].name else slot
        for slot in view.slots
        if slot.name not in gone
    ]
    return Regrouping(slots, (*view.steps, step))
