"""Operands: the weights of a block in the form in which its operations read them, however it keeps them.

A weight may be kept transposed, flattened, stacked with others, cut into pieces or behind a parametrization; before
an operation reads it, it is brought into the form of a convolution's or a linear layer's. What was done to it is
found by value: the operations that do not depend on the input are carried out with a number in each place of each
parameter that tells where it comes from. Where every number of a parameter arrives in one place, the operands are as
good as the parameters themselves: the same numbers in another order. What is done to them after that, as to variances
before the root, is part of what is computed.

One order is a mistake and not a form: a kernel that is turned around before it slides, see `_turned_around`. But a
transposed convolution of stride 1 turns its kernel around by itself, see `_mirrors`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from casestudies.checking.regroup import Regrouping, Values
from casestudies.checking.transplant import Slot
from casestudies.graph import Graph, Held, Op, Ref, uses
from casestudies.replay import ReplayError, replay

MOST = 2**22  # numbers of all parameters together; as float32 still exact, with room for a sign
FIRST = 2  # the number in the first place: products with 0 and 1 say nothing
TURNED = {"mm": "mat2", "addmm": "mat2", "bmm": "mat2", "addbmm": "batch2", "baddbmm": "batch2"}  # (in, out)


# Where layers read what they keep as it is, beside the transposed weight of a linear layer.
PLAINLY = {
    "convolution": ("weight", "bias"),
    "batch_norm": ("weight", "bias", "running_mean", "running_var"),
    "addmm": ("self",),
}
# Operations on weights of which the layers of a graph say nothing anyway.
TOLD = {
    "t",
    "transpose",
    "permute",
    "view",
    "reshape",
    "expand",
    "unsqueeze",
    "squeeze",
    "clone",
    "cat",
    "stack",
}


@dataclass(frozen=True)
class _Operand:
    """What an operation reads that does not depend on the input: where each of its numbers comes from."""

    value: int  # of the graph
    shape: tuple[int, ...]
    places: Tensor  # in all parameters and buffers, one behind the other
    mirrored: bool = False  # by the operation itself


@dataclass(frozen=True)
class _Kept:
    """A parameter or buffer, and where its numbers begin among those of all."""

    held: Held
    start: int

    @property
    def size(self) -> int:
        return int(torch.Size(self.held.shape).numel())


def as_read(graph: Graph, theirs: Sequence[Slot], mirrors: bool = False) -> Regrouping | None:
    """The student's slots as the operations of a graph read them. With `mirrors`, the kernels of transposed
    convolutions are taken as those of convolutions that do the same.

    None where that is how the student keeps them, or where it cannot be told.
    """
    found = _rearranged(graph, mirrors)
    if found is None:
        return None
    kept, others = found
    names = {each.value: f"@{number}" for number, each in enumerate(others)}
    gone = {each.held.name for operand in others for each in _sources(operand, kept)}
    slots = [slot for slot in theirs if slot.name not in gone]
    order = {
        use.name: (rank, use.upstream) for rank, use in enumerate(uses(_seen(graph, others, names, gone)))
    }
    slots = [
        replace(slot, order=order[slot.name][0], upstream=order[slot.name][1]) if slot.name in order else slot
        for slot in slots
    ]
    for each in others:
        kind = _sources(each, kept)[0].held.kind
        rank, upstream = order.get(names[each.value], (len(order), 0))
        slots.append(Slot(names[each.value], each.shape, kind, rank, upstream))

    def step(values: Values) -> dict[str, Tensor | None]:
        return {names[each.value]: _gathered(values, each, kept) for each in others}

    return Regrouping(sorted(slots, key=lambda slot: slot.order), (step,))


def as_if_kept(graph: Graph, thorough: bool = False) -> Graph:
    """The graph as if what its operations read were what is kept: weights that were only put in another order are
    used as they are. Its values have the same numbers.

    Where layers are read from the graph, most need no look; `thorough` names what is kept as `as_read` does always.
    """
    data = graph.data()
    if not thorough and all(op.name in TOLD for op in graph.ops if data.isdisjoint(op.reads)):
        return graph
    found = _rearranged(graph)
    if found is None:
        return graph
    kept, others = found
    names = {each.value: f"@{number}" for number, each in enumerate(others)}
    return _seen(graph, others, names, {s.held.name for each in others for s in _sources(each, kept)})


def reads_plainly(graph: Graph) -> bool:
    """Whether each weight is read as PyTorch's own layers read theirs, so that no other layout of it can be meant."""
    data = graph.data()
    kept = {held.value for held in graph.state if held.value is not None and held.dtype.startswith("float")}
    turned: set[int] = set()  # weights of linear layers
    for op in graph.ops:
        read = kept.intersection(op.reads)
        if data.isdisjoint(op.reads):
            if (read and op.name != "t") or not turned.isdisjoint(op.reads):
                return False
            turned.update(op.outputs if read else ())
            continue
        plain = {op.setting(name) for name in PLAINLY.get(op.name, ())} if read else set()
        read |= turned.intersection(op.reads)
        if read and (
            op.setting("transposed")
            or any(
                op.setting("mat2") != Ref(value) if value in turned else Ref(value) not in plain
                for value in read
            )
        ):
            return False
    return True


def _rearranged(graph: Graph, mirrors: bool = False) -> tuple[list[_Kept], list[_Operand]] | None:
    """What is kept, and the operands that are not kept as they are read; None where there are none. For
    `mirrors` see `as_read`."""
    data = graph.data()
    kept = _kept(graph)
    if not kept or all(
        op.random or (not data.isdisjoint(op.reads) and not (mirrors and _mirrors(op))) for op in graph.ops
    ):
        return None  # nothing is done to them
    if sum(each.size for each in kept) > MOST:
        return None
    kept = _handled(graph, kept, mirrors)
    try:
        operands = _whole(list(_operands(graph, kept, mirrors)), kept)
    except (ReplayError, ValueError, KeyError, RuntimeError):
        return None
    others = [
        each for each in operands if not _plain(each, kept) and (each.mirrored or not _turned_around(each))
    ]
    return (kept, others) if others else None


def _kept(graph: Graph) -> list[_Kept]:
    return _side_by_side(
        held for held in graph.state if held.value is not None and held.dtype.startswith("float")
    )


def _side_by_side(held: Iterable[Held]) -> list[_Kept]:
    found, start = [], 0
    for each in held:
        found.append(_Kept(each, start))
        start += found[-1].size
    return found


def _mirrors(op: Op) -> bool:
    """Whether an operation is a convolution, with its kernel turned around and its channels exchanged."""
    stride = op.setting("stride")
    one = isinstance(stride, list | tuple) and all(each == 1 for each in stride)
    return op.name == "convolution" and op.setting("transposed") is True and op.setting("groups") == 1 and one


def _handled(graph: Graph, kept: Sequence[_Kept], mirrors: bool = False) -> list[_Kept]:
    """Those of which anything but themselves is read. The others, which are most, need not be looked at."""
    data = graph.data()
    other: set[int | None] = set()
    for op in graph.ops:
        alone = data.isdisjoint(op.reads)
        mirrored = mirrors and _mirrors(op)
        other.update(value for value in op.reads if alone or mirrored or _turned(op, value))
    return _side_by_side(each.held for each in kept if each.held.value in other)


def _operands(graph: Graph, kept: Sequence[_Kept], mirrors: bool = False) -> Iterator[_Operand]:
    """What the operations on data read of the parameters, in the order in which they read it. Of what was computed
    of parameters alone, it is what that was computed of."""
    data = graph.data()
    read: dict[int, bool] = {}  # whether it is (in, out)
    mirrored: set[int] = set()
    for op in graph.ops:
        if not data.isdisjoint(op.reads):
            for value in op.reads:
                if value not in data and graph.values[value].dtype.startswith("float"):
                    read.setdefault(value, _turned(op, value))
                    if mirrors and _mirrors(op) and op.setting("weight") == Ref(value):
                        mirrored.add(value)
    before = [op for op in graph.ops if data.isdisjoint(op.reads) and not op.random]
    made = {value for op in before for value in op.outputs} | {each.held.value for each in kept}
    read = {value: turned for value, turned in read.items() if value in made}
    total = sum(each.size for each in kept)
    # Of both signs, so that what cuts off or folds one of them is seen.
    signs = torch.where(torch.arange(total) * 0x9E3779B1 & 0x10000 > 0, 1.0, -1.0).double()
    marks = signs * torch.arange(FIRST, FIRST + total, dtype=torch.float64)
    state = {
        each.held.name: marks[each.start : each.start + each.size]
        .reshape(each.held.shape)
        .to(getattr(torch, each.held.dtype))
        for each in kept
    }
    for held in graph.state:
        if held.value is not None and held.name not in state:
            state[held.name] = torch.zeros((), dtype=getattr(torch, held.dtype)).expand(held.shape)
    # With what they were computed of, the latest first: it is looked at only where a later one says nothing.
    waiting, all_of_them = list(read), dict(read)
    while waiting:
        maker = graph.maker.get(waiting.pop(0))
        for value in maker.reads if maker is not None else ():
            if value not in all_of_them and value in made and graph.values[value].dtype.startswith("float"):
                all_of_them[value] = False
                waiting.append(value)
    outputs = tuple(Ref(value) for value in all_of_them)
    alone = replace(graph, inputs=(), ops=tuple(before), output=outputs)
    with torch.no_grad():
        found = replay(alone, [], state).outputs
    results = dict(zip(all_of_them, found, strict=True))
    waiting, looked_at = list(read), set[int]()
    while waiting:
        value = waiting.pop(0)
        if value in looked_at:
            continue
        looked_at.add(value)
        result = results[value].double()
        if all_of_them[value] and result.dim() >= 2:
            result = result.transpose(-1, -2)
        if value in mirrored and result.dim() > 2:
            result = result.transpose(0, 1).flip(tuple(range(2, result.dim())))
        places = result.abs().round().flatten() - FIRST
        inside = bool(((places >= 0) & (places < total)).all())
        if inside and torch.equal(marks[places.long()], result.flatten()):
            yield _Operand(value, tuple(result.shape), places.long(), value in mirrored)
        else:
            maker = graph.maker.get(value)
            waiting[:0] = [each for each in (maker.reads if maker is not None else ()) if each in results]


def _turned(op: Op, value: int) -> bool:
    """Whether an operation reads a matrix as (in, out), where layers keep (out, in)."""
    return op.setting(TURNED.get(op.name, "")) == Ref(value)


def _sources(operand: _Operand, kept: Sequence[_Kept]) -> list[_Kept]:
    """The parameters and buffers that an operand's numbers come from."""
    starts = torch.tensor([each.start for each in kept])

    def holding(places: Tensor) -> Tensor:
        return torch.searchsorted(starts, places, right=True).sub(1)

    first, last = holding(torch.stack(operand.places.aminmax())).tolist()
    if first == last:  # mostly, and then nobody need look where each number comes from
        return [kept[first]]
    counted = torch.bincount(holding(operand.places), minlength=len(kept))
    return [kept[k] for k in counted.nonzero().flatten().tolist()]


def _plain(operand: _Operand, kept: Sequence[_Kept]) -> bool:
    """Whether it is a parameter as that is kept, with sizes of 1 at most."""
    one, *more = _sources(operand, kept)
    return not more and torch.equal(operand.places, torch.arange(one.start, one.start + one.size))


def _turned_around(operand: _Operand) -> bool:
    """Whether a kernel runs backwards along an axis of the image: the convolution of mathematics, not of networks."""
    places = operand.places.reshape(operand.shape)
    return any(
        bool((places.diff(dim=axis) < 0).all()) for axis in range(2, places.dim()) if places.shape[axis] > 1
    )


def _whole(found: Sequence[_Operand], kept: Sequence[_Kept]) -> list[_Operand]:
    """Without operands of parameters that do not arrive as a whole, each number once."""
    operands: list[_Operand] = []
    for each in found:  # a weight that two operations read is one
        if each.places.numel() and not any(torch.equal(each.places, other.places) for other in operands):
            operands.append(each)
    while True:
        arrived = Counter[int]()
        counted = torch.zeros(sum(each.size for each in kept), dtype=torch.int64)
        for each in operands:
            counted.scatter_add_(0, each.places, torch.ones_like(each.places))
        for source in kept:
            arrived[source.start] = int((counted[source.start : source.start + source.size] != 1).sum())

        def good(operand: _Operand, faults: Mapping[int, int] = arrived) -> bool:
            sources = _sources(operand, kept)
            return not any(faults[s.start] for s in sources) and len({s.held.kind for s in sources}) == 1

        left = [each for each in operands if good(each)]
        if len(left) == len(operands):
            return left
        operands = left


def _gathered(values: Values, operand: _Operand, kept: Sequence[_Kept]) -> Tensor | None:
    """The operand's numbers, of values that are given by the names of parameters; a missing gradient is 0."""
    sources = _sources(operand, kept)
    given = [values.get(each.held.name) for each in sources]
    known = [
        value
        for value, each in zip(given, sources, strict=True)
        if value is not None and value.shape == each.held.shape
    ]
    if not known or len(known) != sum(value is not None for value in given):
        return None
    pieces = [
        known[0].new_zeros(each.size) if value is None else value.flatten()
        for value, each in zip(given, sources, strict=True)
    ]
    offsets, start = torch.zeros(len(sources), dtype=torch.int64), 0
    for number, each in enumerate(sources):
        offsets[number] = start - each.start
        start += each.size
    which = torch.searchsorted(torch.tensor([each.start for each in sources]), operand.places, right=True) - 1
    return torch.cat(pieces)[operand.places + offsets[which]].reshape(operand.shape)


def _seen(graph: Graph, others: Sequence[_Operand], names: Mapping[int, str], gone: set[str]) -> Graph:
    """The graph as if these operands were what is kept."""
    data = graph.data()
    values = list(graph.values)
    last = max(value.storage for value in values)
    state = [held for held in graph.state if held.name not in gone]
    dtype = {each.value: values[each.value].dtype for each in others}
    for number, each in enumerate(others):
        values[each.value] = replace(values[each.value], storage=last + 1 + number)
        state.append(Held(names[each.value], "parameter", each.shape, dtype[each.value], True, each.value))
    made = {each.value for each in others}
    ops = tuple(op for op in graph.ops if not data.isdisjoint(op.reads) or made.isdisjoint(op.outputs))
    return replace(graph, values=tuple(values), state=tuple(state), ops=ops)
