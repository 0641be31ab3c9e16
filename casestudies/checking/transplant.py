"""Transplant: carry the weights of one network into another that computes the same in another style.

Names and registration order are matters of style, so neither is looked at. What two networks share is when
each parameter is *used*: its shape, what is used before it on the way from the input, and what after it.
Parameters are matched by that, refined until stable (as in the Weisfeiler-Leman test of graph isomorphism),
then by order of use. Where a tie remains, the possible matchings are given one after another, to be tried.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain, islice, permutations, product
from math import prod
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from casestudies.graph import record, uses
from casestudies.sandboxed.messages import Entry, Use
from casestudies.sandboxed.walks import parameters_and_buffers, tensors_named

Shape = tuple[int, ...]
FEW = 4  # so many parameters are tried in every order


@dataclass(frozen=True)
class Slot:
    """A parameter or buffer of a network, and its place in a forward pass."""

    name: str
    shape: Shape
    kind: str  # "parameter" or "buffer"
    order: int  # rank by first use; unused ones come last
    upstream: int  # what is used before it, on the way from the input: bit k stands for the slot of order k
    used: bool = True
    loose: bool = False  # whether only the number of its elements must agree, as for a flattened weight

    @cached_property
    def key(self) -> tuple[str, Shape]:
        """Kind and the sizes above 1 in any order: what must agree at the least."""
        if self.loose:
            return self.kind, (prod(self.shape),)
        return self.kind, tuple(sorted(size for size in self.shape if size != 1))


def slots(parameters: Sequence[Entry], buffers: Sequence[Entry], found_uses: Sequence[Use]) -> list[Slot]:
    """Slots from what a probe reports: `build`'s lists and `run`'s uses. Integer buffers are left out."""
    used = {use.name: (index, use.upstream) for index, use in enumerate(found_uses)}
    found = []
    for kind, entries in (("parameter", parameters), ("buffer", buffers)):
        for position, entry in enumerate(entries):
            if not entry.dtype.startswith(("float", "bfloat")):
                continue
            order, upstream = used.get(entry.name, (len(found_uses) + position, 0))
            found.append(Slot(entry.name, entry.shape, kind, order, upstream, entry.name in used))
    return sorted(found, key=lambda slot: slot.order)


def slots_in(module: nn.Module, found_uses: Sequence[Use]) -> list[Slot]:
    """The slots of a module of ours, from the uses that `run_module(..., trace=True)` found."""
    parameters, buffers = (
        [Entry(name, tuple(t.shape), str(t.dtype)[6:]) for name, t in named.items()]
        for named in parameters_and_buffers(module)
    )
    return slots(parameters, buffers, found_uses)


def slots_of(module: nn.Module, inputs: list[Tensor]) -> list[Slot]:
    """The slots of a module of ours, found by running it once in evaluation mode."""
    found = uses(record(module, *(x.clone() for x in inputs)))
    return slots_in(module, [Use(use.name, use.upstream, use.op) for use in found])


def missing_and_extra(theirs: Sequence[Slot], ours: Sequence[Slot]) -> tuple[list[Slot], list[Slot]]:
    """The slots of `ours` that `theirs` lacks, and those of `theirs` that `ours` lacks, by kind and sizes."""
    have, want = Counter(s.key for s in theirs), Counter(s.key for s in ours)
    missing, extra = want - have, have - want

    def pick(pool: Sequence[Slot], counts: Counter[Any], others: Sequence[Slot]) -> list[Slot]:
        left, chosen = counts.copy(), []
        there = Counter((slot.kind, slot.shape) for slot in others)
        as_it_is: list[int] = []  # what the other side has in the very same form is not what it lacks
        for place, slot in enumerate(pool):
            if there[slot.kind, slot.shape] > 0:
                there[slot.kind, slot.shape] -= 1
                as_it_is.append(place)
        # The surplus is most likely what comes last.
        for place in sorted(range(len(pool)), key=lambda place: (place in as_it_is, -place)):
            if left[pool[place].key] > 0:
                left[pool[place].key] -= 1
                chosen.append(place)
        return [pool[place] for place in sorted(chosen)]

    return pick(ours, missing, theirs), pick(theirs, extra, ours)


def _colours(
    theirs: Sequence[Slot], ours: Sequence[Slot], fixed: dict[tuple[int, str], int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Colours that tell apart whatever shapes and neighbours tell apart, in both networks at once."""
    sides = (theirs, ours)
    neighbours = [_neighbours(pool) for pool in sides]
    ids: dict[Any, int] = {}
    colours = [
        [ids.setdefault((slot.key, slot.used, fixed.get((side, slot.name), -1)), len(ids)) for slot in pool]
        for side, pool in enumerate(sides)
    ]
    classes = 0
    while len(ids) != classes:  # refinement only ever splits classes: as many as before, so the same
        classes, ids = len(ids), {}
        colours = [
            [
                ids.setdefault(
                    (
                        colour,
                        tuple(sorted([known[k] for k in before])),
                        tuple(sorted([known[k] for k in after])),
                    ),
                    len(ids),
                )
                for colour, before, after in zip(known, *around, strict=True)
            ]
            for known, around in zip(colours, neighbours, strict=True)
        ]
    first, second = (
        dict(zip((slot.name for slot in pool), known, strict=True))
        for pool, known in zip(sides, colours, strict=True)
    )
    return first, second


def _neighbours(pool: Sequence[Slot]) -> tuple[list[list[int]], list[list[int]]]:
    """For each slot the places in the pool of those before it, and of those after it."""
    place = {slot.order: index for index, slot in enumerate(pool) if slot.used}
    before = [[place[order] for order in _bits(slot.upstream) if order in place] for slot in pool]
    after: list[list[int]] = [[] for _ in pool]
    for index, found in enumerate(before):
        for other in found:
            after[other].append(index)
    return before, after


def _bits(number: int) -> list[int]:
    """The places of the ones in a binary number: 6 gives [1, 2]."""
    return [place for place, digit in enumerate(reversed(bin(number))) if digit == "1"]


def matchings(theirs: Sequence[Slot], ours: Sequence[Slot], limit: int = 24) -> Iterator[dict[str, str]]:
    """Ways to match, the likeliest first: {name of ours: name of theirs}. None where shapes do not allow it."""
    if Counter(s.key for s in theirs) != Counter(s.key for s in ours):
        return
    seen: set[tuple[tuple[str, str], ...]] = set()
    found = chain(_side_by_side(theirs, ours), _search(theirs, ours, {}, 0), _by_owner(theirs, ours))
    for matching in islice(found, limit):
        fingerprint = tuple(sorted(matching.items()))
        if fingerprint not in seen:
            seen.add(fingerprint)
            yield matching
    # Last resort, when the two networks are wired differently: order of use alone, within each shape. In a small
    # block, where one operation may use a scale and a shift at once, every other order too.
    groups = [[[s.name for s in pool if s.key == key] for pool in (ours, theirs)] for key in _keys(ours)]
    orders = [permutations(other) if len(ours) <= FEW else [other] for _, other in groups]
    for chosen in product(*orders):
        matching = {
            a: b
            for (mine, _), other in zip(groups, chosen, strict=True)
            for a, b in zip(mine, other, strict=True)
        }
        if tuple(sorted(matching.items())) not in seen:
            yield matching


def _side_by_side(theirs: Sequence[Slot], ours: Sequence[Slot]) -> Iterator[dict[str, str]]:
    """In order of use, where the two are wired alike in that order: mostly so, and found without a search."""
    if all(
        (a.key, a.order, a.used, a.upstream) == (b.key, b.order, b.used, b.upstream)
        for a, b in zip(theirs, ours, strict=True)
    ):
        yield {b.name: a.name for a, b in zip(theirs, ours, strict=True)}


def _by_owner(theirs: Sequence[Slot], ours: Sequence[Slot]) -> Iterator[dict[str, str]]:
    """The weights by their places among each other, and what is used behind each weight in order of use.

    For layers of one weight and several vectors that are wired in another way inside, as a norm written by hand.
    """
    sides = [[slot for slot in pool if _is_weight(slot)] for pool in (theirs, ours)]
    if not sides[0] or len(sides[0]) == len(theirs) or any(slot.loose for slot in ours):
        return
    for weights in islice(_search(sides[0], sides[1], {}, 0), FEW):
        back = {other: own for own, other in weights.items()}
        groups: list[dict[Any, list[str]]] = []
        for pool, (names, alike) in zip((theirs, ours), ((sides[0], back), (sides[1], {})), strict=True):
            owned: dict[Any, list[str]] = defaultdict(list)
            for slot in pool:
                if not _is_weight(slot):
                    before = [each.name for each in names if each.used and slot.upstream >> each.order & 1]
                    owner = before[-1] if before else ""
                    owned[alike.get(owner, owner), slot.key].append(slot.name)
            groups.append(owned)
        other, mine = groups
        if {key: len(names) for key, names in other.items()} == {
            key: len(names) for key, names in mine.items()
        }:
            yield weights | {a: b for key in mine for a, b in zip(mine[key], other[key], strict=True)}


def _is_weight(slot: Slot) -> bool:
    return slot.kind == "parameter" and sum(size > 1 for size in slot.shape) > 1


def _keys(found: Sequence[Slot]) -> list[tuple[str, Shape]]:
    return list(dict.fromkeys(slot.key for slot in found))


def _search(
    theirs: Sequence[Slot], ours: Sequence[Slot], fixed: dict[tuple[int, str], int], depth: int
) -> Iterator[dict[str, str]]:
    colour_theirs, colour_ours = _colours(theirs, ours, fixed)
    if Counter(colour_theirs.values()) != Counter(colour_ours.values()):
        return
    groups: dict[int, tuple[list[Slot], list[Slot]]] = defaultdict(lambda: ([], []))
    for slot in theirs:
        groups[colour_theirs[slot.name]][0].append(slot)
    for slot in ours:
        groups[colour_ours[slot.name]][1].append(slot)
    tied = next((pair for pair in groups.values() if len(pair[0]) > 1), None)
    if tied is None:
        yield {pair[1][0].name: pair[0][0].name for pair in groups.values()}
        return
    others, mine = tied
    for other in others:  # in order of use: the first is the likeliest partner of our first
        yield from _search(
            theirs, ours, {**fixed, (0, other.name): depth, (1, mine[0].name): depth}, depth + 1
        )


@dataclass(frozen=True)
class Layout:
    """In which order the axes of weights are kept, where their sizes alone do not tell.

    `transposed`: square matrices are (in, out); all, or with `unlike` those whose shape is not the reference's, as
    where convolutions stand beside layers written by hand. `kernel`: where each axis of (out, in, height, width)
    stands.
    """

    transposed: bool = False
    kernel: tuple[int, ...] = (0, 1, 2, 3)
    unlike: bool = False

    def transposes(self, value: Tensor, shape: Shape) -> bool:
        return self.transposed and not (self.unlike and tuple(value.shape) == tuple(shape))

    def changes(self, value: Tensor, shape: Shape) -> bool:
        """Whether a value is read in another way than it would be by its sizes."""
        if len(shape) == 4 and self.permutes(value, shape):
            return True
        sizes = [size for size in value.shape if size > 1]
        return self.transposes(value, shape) and len(sizes) == 2 and sizes[0] == sizes[1]

    def reading(self, value: Tensor, shape: Shape) -> tuple[tuple[int, ...], bool] | None:
        """Equal for layouts in which a value is read alike; None where that is as by its sizes."""
        if not self.changes(value, shape):
            return None
        permuted = len(shape) == 4 and self.permutes(value, shape)
        return (self.kernel, False) if permuted else ((), True)

    def permutes(self, value: Tensor, shape: Shape) -> bool:
        """Whether a value has its axes in this order, or some of them in one, as a matrix of all windows has."""
        if self.kernel == (0, 1, 2, 3) or len(shape) != 4 or sum(size > 1 for size in shape) < 3:
            return False
        if value.dim() > 4 or value.numel() != prod(shape):
            return False
        return _joins(tuple(value.shape), self.kept(shape))

    def kept(self, shape: Shape) -> Shape:
        """The sizes in the order in which this layout keeps them."""
        found = dict(zip(self.kernel, shape, strict=True))
        return tuple(found[axis] for axis in range(4))


def _joins(sizes: Shape, parts: Shape) -> bool:
    """Whether each size is a product of the next parts.

    >>> _joins((25, 6), (1, 5, 5, 6)), _joins((6, 25), (1, 5, 5, 6))
    (True, False)
    """
    ends = set(accumulate(parts, mul))
    return all(end in ends for end in accumulate(sizes, mul))


def flattened(sizes: Shape, parts: Shape) -> bool:
    """Whether some sizes are others, of which one or more were taken together.

    >>> flattened((120, 400), (120, 16, 5, 5)), flattened((400, 120), (120, 16, 5, 5))
    (True, False)
    """
    return 1 < len(sizes) < len(parts) and prod(sizes) == prod(parts) and _joins(sizes, parts)


USUAL = Layout()
LAYOUTS = (
    USUAL,
    Layout(transposed=True),
    Layout(transposed=True, unlike=True),
    *(
        Layout(transposed, kernel)
        for kernel in (
            (3, 2, 0, 1),  # (height, width, in, out), TensorFlow's
            (1, 0, 2, 3),  # (in, out, height, width)
            (2, 3, 0, 1),  # (height, width, out, in), TensorFlow's for depthwise convolutions
            (0, 3, 1, 2),  # (out, height, width, in)
            (3, 0, 1, 2),  # (in, height, width, out)
        )
        for transposed in (True, False)
    ),
)


def adapt(value: Tensor, shape: Shape, layout: Layout = USUAL) -> Tensor:
    """A value of one shape in the form of another with the same sizes: (out, in) for (out, in, 1, 1), say.

    >>> adapt(torch.zeros(4, 3), (4, 3, 1, 1)).shape
    torch.Size([4, 3, 1, 1])
    """
    shape = tuple(shape)
    if layout.permutes(value, shape):
        return value.reshape(layout.kept(shape)).permute(layout.kernel)
    transpose = layout.transposes(value, shape)
    if not transpose and value.shape == shape:
        return value
    squeezed = value.reshape([size for size in value.shape if size != 1])
    target = tuple(size for size in shape if size != 1)
    if transpose or tuple(squeezed.shape) != target:
        if squeezed.dim() == 2 and tuple(squeezed.T.shape) == target:
            squeezed = squeezed.T
        elif tuple(squeezed.shape) != target:
            if sorted(squeezed.shape) != sorted(target) and squeezed.numel() == prod(shape):
                return value.reshape(shape)  # flattened
            order = _permutation(tuple(squeezed.shape), target)
            squeezed = squeezed.permute(order)
    if squeezed.numel() != prod(shape):
        raise ValueError(f"value has shape {tuple(value.shape)}, which does not fit {shape}")
    return squeezed.reshape(shape)


def _permutation(sizes: Shape, target: Shape) -> list[int]:
    left = list(range(len(sizes)))
    order = []
    for size in target:
        index = next((i for i in left if sizes[i] == size), None)
        if index is None:
            raise ValueError(f"sizes {sizes} cannot be permuted to {target}")
        left.remove(index)
        order.append(index)
    if left:
        raise ValueError(f"sizes {sizes} cannot be permuted to {target}")
    return order


def transplant(
    state: dict[str, Tensor], module: nn.Module, matching: dict[str, str], layout: Layout = USUAL
) -> None:
    """Copies `state` into `module`'s parameters and buffers: `matching` is {module's name: state's name}."""
    named = tensors_named(module)
    with torch.no_grad():
        for ours, theirs in matching.items():
            named[ours].copy_(adapt(state[theirs], tuple(named[ours].shape), layout))
