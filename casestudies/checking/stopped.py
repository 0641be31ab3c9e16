"""Stopped: what a student's block had computed when it raised, beside what is asked at that place.

The student's process writes down the operations until one raises, and that one last. Here they are carried out with
other weights and another input: where torch then says of the last what it said to the student, the recording is what
happened. The place of the reference that needs the fewest edits is the one that the student had come to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from torch import Tensor

from casestudies.checking.differences import (
    Comparison,
    Difference,
    Row,
    Work,
    compare_until,
    joined,
    ordinal,
    place_of,
    read_elsewhere,
)
from casestudies.checking.explain import (
    MATCHINGS,
    SameValues,
    carried_out,
    layers_asked,
    layers_written,
    with_weights,
)
from casestudies.checking.layers import PIXELWISE, Layer, with_setting
from casestudies.checking.space import times
from casestudies.graph import Graph, Op, Ref
from casestudies.replay import ReplayError, refusal
from casestudies.sandboxed.messages import Failed
from casestudies.sandboxed.quoting import printable

STOPS = "stops"  # what a difference is about that says where a block raised


@dataclass(frozen=True)
class Stopped:
    """What was recorded until an operation raised, and what it raised."""

    graph: Graph
    failed: Failed


def compare_stopped(
    asked: Graph,
    yours: Stopped,
    inputs: Sequence[Tensor],
    state: Mapping[str, Tensor],
    matchings: Iterable[Mapping[str, str]],
    work: Work,
) -> Comparison | None:
    """What differs up to the operation that raised, and what it was given; None where nothing is certain."""
    graph = yours.graph
    if not graph.ops:  # what a student's process sends need not be a recording
        return None
    last = graph.ops[-1]
    before = replace(graph, ops=graph.ops[:-1], output=tuple(Ref(value) for value in last.reads))
    done = carried_out(before, inputs, state)
    try:
        if done is None or printable(refusal(last, done[0])) != yours.failed.message:
            return None
        theirs = layers_written(graph)
    except (ReplayError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    ours = layers_asked(asked)
    if not theirs or not ours:
        return None
    theirs = _not_yet_undone(ours, theirs)
    best = read_elsewhere(ours, theirs)
    ways = list(islice(matchings, MATCHINGS)) if best is None else []
    whole = bool(ways)
    for matching in ways:
        if work.left <= 0:
            break
        right = with_weights(asked, inputs, state, matching)
        if right is None:
            continue
        found = compare_until(ours, theirs, SameValues(right, done[0]), work, whole)
        if found and (best is None or len(found[1].differences) < len(best[1].differences)):
            best = found
    best = best or compare_until(ours, theirs, work=work, whole=whole)
    if best is None:
        return None
    place, comparison = best
    told = _told(asked, ours, place, graph, theirs, comparison.differences)
    if told is None:
        return None
    row = comparison.rows[-1] if comparison.rows else Row("", "", False)
    rows = (*comparison.rows[:-1], Row(row.asked, f"{row.yours} (it stops here)".strip(), False))
    return replace(comparison, differences=(*comparison.differences, told), rows=rows)


def where_it_stops(
    yours: Stopped, inputs: Sequence[Tensor], state: Mapping[str, Tensor]
) -> Comparison | None:
    """The operation that raised and what it was given, where nothing is certain of what leads to it."""
    graph = yours.graph
    if not graph.ops:
        return None
    last = graph.ops[-1]
    before = replace(graph, ops=graph.ops[:-1], output=tuple(Ref(value) for value in last.reads))
    try:
        done = carried_out(before, inputs, state)
        if done is None or printable(refusal(last, done[0])) != yours.failed.message:
            return None
        data = graph.data()
        given = [
            times(graph.values[value].shape)
            if value in data
            else f"a parameter of shape {times(graph.values[value].shape)}"
            for value in last.reads
        ]
    except (ReplayError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return None
    if not given:
        return None
    sentence = f"It stops where torch's {last.name} is given {joined(given)}."
    told = Difference("", f"stops at torch's {last.name}", "", sentence, about=(STOPS, last.name))
    return Comparison((told,), (), True)


def _not_yet_undone(ours: tuple[Layer, ...], theirs: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """Their layers, in which axes that were moved and not yet moved back are in the order that is asked for, where
    nothing but pixels was worked on since: nobody knows how they would have been moved back."""
    moved = [place for place, layer in enumerate(theirs) if layer.kind == "permute"]
    if not moved or not {layer.kind for layer in theirs[moved[-1] + 1 :]} <= {*PIXELWISE, "permute"}:
        return theirs
    layer = theirs[moved[-1]]
    for dims in (each.setting("dims") for each in ours if each.kind == "permute"):
        if len(dims) == len(layer.setting("dims")) and dims[-1] == layer.setting("dims")[-1]:
            return (*theirs[: moved[-1]], with_setting(layer, "dims", dims), *theirs[moved[-1] + 1 :])
    return theirs


def _told(
    asked: Graph,
    ours: tuple[Layer, ...],
    place: int,
    graph: Graph,
    theirs: tuple[Layer, ...],
    differences: Sequence[Difference],
) -> Difference | None:
    """Where it stops, and what is read there."""
    last = graph.ops[-1]
    folded = theirs[-1].value not in last.outputs  # a view, which is no layer
    where = place_of(theirs, len(theirs) - 1) if not folded else f"after {ordinal(theirs, len(theirs) - 1)}"
    name = ordinal(theirs, len(theirs) - 1) if not folded else f"torch's {last.name} {where}"
    given = _shapes(graph, last)
    wanted = given
    maker = asked.maker.get(ours[place].value)
    if not folded and maker is not None and ours[place].kind == theirs[-1].kind:
        wanted = _shapes(asked, maker)
    if given != wanted and sorted(given) != sorted(wanted):
        sentence = f"It stops at {name}, which is given {joined(given)}; asked for is {joined(wanted)}."
        about = (STOPS, theirs[-1].kind)
        return Difference(f"reads {joined(wanted)}", f"reads {joined(given)}", where, sentence, about=about)
    if not differences:
        return None
    sentence = f"It stops at {name}, which is given {joined(given)}."
    return Difference("", f"stops at {name}", where, sentence, about=(STOPS, theirs[-1].kind))


def _shapes(graph: Graph, op: Op) -> list[str]:
    """The sizes of what an operation reads that depends on the input."""
    data = graph.data()
    return [times(graph.values[value].shape) for value in op.reads if value in data]
