"""Explain: what a student's block computes beside what is asked, told only where it is certain.

The student's process writes down one forward pass in each mode. Here the two recordings are carried out as data, with
the weights and the inputs of the runs that were judged, which are not those that were recorded. Where the recording
gives what the block gave, it is the block's behaviour, and what differs between it and the reference's recording is
the explanation. Else nothing is said. Points never depend on any of this.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from math import inf, prod

import torch
from torch import Tensor, nn

from casestudies.checking.common import Common
from casestudies.checking.compare import close, tolerance_of
from casestudies.checking.differences import (
    MOST_DIFFERENCES,
    Comparison,
    Difference,
    Work,
    compare_layers,
    nothing_differs,
)
from casestudies.checking.layers import Layer, layers_of, lost_kinds
from casestudies.checking.operands import as_if_kept
from casestudies.checking.products import with_products
from casestudies.checking.stretches import with_stretches
from casestudies.checking.styles import as_asked, in_groups
from casestudies.graph import SYMBOLS, Graph, record
from casestudies.replay import ReplayError, effort, replay
from casestudies.sandboxed.messages import Ran, Recorded
from casestudies.sandboxed.torch_state import generator_kept

ROOM, ROOM_PER_NUMBER = 2**22, 64  # numbers that a recording may hold beside those of the reference's
READS, READS_PER_READ = 2**26, 16  # of numbers, where a recording is carried out
WORKSPACE, WORKSPACE_PER_NUMBER = 2**22, 16  # numbers that one of its operations may need meanwhile
ASKED_KEPT, WRITTEN_KEPT = 256, 16  # layers of references, and of a student's blocks
FEW_READ = 8  # numbers of what a layer gives, that tell it from most others
MATCHINGS = 6  # ways to match weights that are tried
HOPELESS = 3 * MOST_DIFFERENCES  # no other way to match weights makes few of so many differences


@dataclass(frozen=True)
class Traced:
    """A run that was judged, and a recording of another run of the same block in the same mode."""

    graph: Graph
    ran: Ran
    training: bool


def read(answer: Recorded, expected: Graph) -> Graph | None:
    """The graph that a student's process sent; None where there is none, or one far larger than is asked for.

    It is carried out in the judge, and was perhaps made on the meta device, where nothing takes time or memory.
    """
    try:
        graph = Graph.from_json(answer.graph)
    except ValueError:
        return None
    size, right = (
        sum(value.numel for value in each.values) + sum(prod(held.shape) for held in each.state)
        for each in (graph, expected)
    )
    if size > ROOM + ROOM_PER_NUMBER * right:
        return None
    (reads, workspace), (right_reads, right_workspace) = effort(graph), effort(expected)
    small = workspace <= WORKSPACE + WORKSPACE_PER_NUMBER * right_workspace
    return graph if small and reads <= READS + READS_PER_READ * right_reads else None


def recording_of(module: nn.Module, inputs: Sequence[Tensor], training: bool) -> Graph:
    """The reference's recording, made as the student's process makes one."""
    given = [x.clone().requires_grad_(x.is_floating_point()).clone() for x in inputs]
    with generator_kept(), torch.enable_grad():
        return record(module, *given, training=training, grad=True)


# The values that a graph gave, and its weights afterwards.
Done = tuple[dict[int, Tensor], dict[str, Tensor]]


def carried_out(
    graph: Graph, inputs: Sequence[Tensor], state: Mapping[str, Tensor], common: Common | None = None
) -> Done | None:
    """The values that a graph gives with these weights, and its weights afterwards; None where it cannot be.

    Where nothing is written to, what it has in `common` with others need not be computed again.
    """
    if common is not None and any(op.writes or op.name == "changed" for op in graph.ops):
        common = None
    copied = common is None
    # The graph may be forged: what it claims of a type, a size or its inputs need not hold.
    try:
        dtypes = [SYMBOLS[f"torch.{graph.values[value].dtype}"] for value in graph.inputs]
        shared = nullcontext() if common is None else common.sharing([*inputs, *state.values()])
        with torch.no_grad(), generator_kept(), shared:
            given = {
                held.name: _given(held.dtype, graph.values[held.value].shape, state.get(held.name), copied)
                for held in graph.state
                if held.value is not None
            }
            given_inputs = [x.to(d) for x, d in zip(inputs, dtypes, strict=True)]
            again = replay(graph, [x.clone() for x in given_inputs] if copied else given_inputs, given)
    except (ReplayError, ValueError, KeyError):
        return None
    return again.values, again.state


def _given(dtype: str, shape: tuple[int, ...], value: Tensor | None, copied: bool) -> Tensor:
    """What is held under a name, or a copy, in its type; zeros where nothing is known of it.

    Nothing is known of the number of batches that a norm has seen, for one.
    """
    if value is not None:
        value = value.to(SYMBOLS.get(f"torch.{dtype}", torch.float64))
        return value.clone() if copied else value
    return torch.zeros(shape, dtype=SYMBOLS.get(f"torch.{dtype}", torch.int64))


def confirmed(traced: Traced, done: Done | None) -> bool:
    """Whether the recording, carried out, gives what the block gave when it was judged."""
    if done is None or len(traced.graph.outputs) != 1 or traced.ran.output.kind != "tensor":
        return False
    values, after = done
    if any(op.random for op in traced.graph.ops):
        return True  # its numbers are others each time; that it draws some is what is told
    right = traced.ran.output.value
    found = values[traced.graph.outputs[0]]
    if found.shape != right.shape or not close(found, right, tolerance_of(right, 1e-6)):
        return False
    for name, value in (traced.ran.buffers or {}).items():
        if name in after and value.is_floating_point() and not close(after[name], value, 1e-6):
            return False
    return True


def compare_graphs(
    asked: Graph,
    yours: Graph,
    inputs: Sequence[Tensor],
    state: Mapping[str, Tensor],
    matchings: Iterable[Mapping[str, str]],
    work: Work | None = None,
    common: Common | None = None,
    mine: Done | None = None,
) -> Comparison | None:
    """The difference of two recordings. What both compute alike, by value, is the same, however it is written.

    `mine` is what `yours` gives on these inputs, where that is known.

    None where `work` is used up before anything is found; what was found until then is told.
    """
    work = work or Work()
    try:
        ours = layers_asked(asked)
        theirs = as_asked(ours, layers_written(yours))
        grouped = in_groups(ours), in_groups(theirs)
        if not any(layer.kind == "choice of channels" for each in grouped for layer in each):
            ours, theirs = grouped
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    best: Comparison | None = None
    if nothing_differs(ours, theirs):  # whichever weight stands for which
        matchings = ()
    for index, matching in enumerate(matchings):
        if index == MATCHINGS or work.left <= 0:
            break
        mine = mine or carried_out(yours, inputs, state, common)
        if mine is None:
            break
        if best and not 1 < len(best.differences) <= HOPELESS:  # fewer there are not
            break
        right = with_weights(asked, inputs, state, matching, common)
        if right is None:
            continue
        found = compare_layers(ours, theirs, SameValues(right, mine[0]), work)
        if found and found.differences and (best is None or len(found.differences) < len(best.differences)):
            best = found
    return _with_what_is_lost(best if best is not None else compare_layers(ours, theirs, work=work), yours)


def _with_what_is_lost(found: Comparison | None, yours: Graph) -> Comparison | None:
    """With a word on what is missing and yet computed: an addition in place whose result is not used, say."""
    if found is None or not any(each.about[:1] == ("missing",) for each in found.differences):
        return found
    lost = lost_kinds(yours)

    def told(each: Difference) -> Difference:
        if each.about[:1] != ("missing",) or each.times > 1 or each.about[1] not in lost:
            return each
        sentence = f"The {each.asked} is computed, but what is returned does not depend on it."
        return replace(each, sentence=sentence)

    return replace(found, differences=tuple(map(told, found.differences)))


def with_weights(
    asked: Graph,
    inputs: Sequence[Tensor],
    state: Mapping[str, Tensor],
    matching: Mapping[str, str],
    common: Common | None = None,
) -> dict[int, Tensor] | None:
    """The values that the reference gives with a student's weights; None where they do not fit."""
    given = {ours: _in_shape(state[name], asked, ours) for ours, name in matching.items()}
    if any(value is None for value in given.values()):
        return None
    found = {name: value for name, value in given.items() if value is not None}
    right = carried_out(asked, inputs, found, common)
    return None if right is None else right[0]


# The graph itself is kept, so that its number is its own.
_ASKED: dict[int, tuple[Graph, tuple[Layer, ...]]] = {}


def layers_asked(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a reference, which is compared with one student's block after another."""
    if id(graph) not in _ASKED:
        if len(_ASKED) >= ASKED_KEPT:
            _ASKED.clear()
        _ASKED[id(graph)] = graph, layers_of(graph)
    return _ASKED[id(graph)][1]


_WRITTEN: OrderedDict[int, tuple[Graph, tuple[Layer, ...]]] = OrderedDict()


def layers_written(graph: Graph) -> tuple[Layer, ...]:
    """The layers of a student's block, which is compared more than once."""
    if id(graph) not in _WRITTEN:
        kept = as_if_kept(graph)
        _WRITTEN[id(graph)] = graph, with_products(kept, with_stretches(kept, layers_of(kept)))
        while len(_WRITTEN) > WRITTEN_KEPT:
            _WRITTEN.popitem(last=False)
    return _WRITTEN[id(graph)][1]


def _in_shape(value: Tensor, graph: Graph, name: str) -> Tensor | None:
    shape = next((held.shape for held in graph.state if held.name == name), None)
    if shape is None or value.shape == shape:
        return value
    return value.reshape(shape) if value.numel() == torch.Size(shape).numel() else None


@dataclass(frozen=True)
class _Read:
    """What of a value is looked at first: how many numbers it has, a few of them, and how closely it is compared; and
    by how much a few numbers of the reference's may be off."""

    tensor: Tensor
    count: int
    few: list[float]
    tolerance: float
    most: float


class SameValues:
    """Whether two layers give the same values, up to their form.

    Most do not, and a few numbers of each tell so: they are read once, and not with every pair.
    """

    def __init__(self, mine: dict[int, Tensor], theirs: dict[int, Tensor]) -> None:
        self.values = mine, theirs
        self.reads: tuple[dict[int, _Read | None], ...] = ({}, {})

    def __call__(self, one: Layer, other: Layer) -> bool:
        mine, theirs = self.reads
        a = mine[one.value] if one.value in mine else self._read(0, one.value)
        b = theirs[other.value] if other.value in theirs else self._read(1, other.value)
        if a is None or b is None or a.count != b.count or not b.tensor.is_floating_point():
            return False
        most = a.most * b.tolerance
        for x, y in zip(a.few, b.few, strict=False):
            if abs(x - y) > most:  # of NaN this says nothing
                return False
        return close(b.tensor.reshape(a.tensor.shape), a.tensor, b.tolerance)

    def _read(self, side: int, value: int) -> _Read | None:
        tensor = self.values[side].get(value)
        found = None
        if tensor is not None and tensor.numel() > 1:
            tensor = tensor.detach()
            few: list[float] = []  # of whole numbers none: all of them are compared
            most = inf
            if tensor.is_floating_point():
                flat = tensor.reshape(-1)
                few = flat[:: max(1, len(flat) // FEW_READ)][:FEW_READ].double().tolist()
                most = max(float(tensor.abs().max()), 1e-12) if side == 0 else inf
            found = _Read(tensor, tensor.numel(), few, tolerance_of(tensor, 1e-6), most)
        self.reads[side][value] = found
        return found


def telling(comparison: Comparison | None) -> bool:
    """Whether a comparison says something that a student can use and that is certain."""
    return bool(
        comparison
        and comparison.certain
        and comparison.differences
        and len(comparison.differences) <= MOST_DIFFERENCES
    )
