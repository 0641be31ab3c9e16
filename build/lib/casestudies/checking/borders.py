"""Borders: what stands around an image before a convolution reads it, told by where its pixels come from.

A border can be written in many ways: by `F.pad`, by slices that are copied, by concatenation or by an index. The
operations that only move pixels are carried out on an image whose pixels are their own numbers; what comes out is the
image with a border of one of the usual kinds, or something else.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F

from casestudies.graph import Graph, Op, Ref
from casestudies.replay import ReplayError, replay

# Operations that move numbers, or make the place for them.
MOVING = {
    *(
        "slice",
        "select",
        "copy",
        "changed",
        "new_empty",
        "empty",
        "empty_like",
        "zeros",
        "new_zeros",
        "zeros_like",
    ),
    *(
        "cat",
        "index",
        "index_select",
        "flip",
        "roll",
        "clone",
        "contiguous",
        "alias",
        "view",
        "unsqueeze",
        "squeeze",
    ),
    *("constant_pad_nd", "expand", "repeat", "transpose", "permute", "slice_scatter", "lift_fresh"),
}
MODES = {"circular": "wrapping around", "reflect": "reflection", "replicate": "replication", "constant": None}
MOST = 2**16  # pixels

Border = tuple[int, tuple[int, int, int, int], str | None]


def border(graph: Graph, value: int) -> Border | None:
    """The image that a value is made of, its border (above, below, left, right), and its kind.

    None where the value is no image with a border; the kind is None for zeros.
    """
    shape = graph.values[value].shape
    made = graph.maker.get(value)
    if len(shape) != 4 or made is None or made.name not in MOVING or graph.values[value].numel > MOST:
        return None
    found = _moved(graph, value)
    if found is None:
        return None
    source, ops = found
    inner = graph.values[source].shape
    if len(inner) != 4 or inner[:2] != shape[:2] or inner[2] > shape[2] or inner[3] > shape[3]:
        return None
    dtype = getattr(torch, graph.values[source].dtype)
    image = torch.arange(1, graph.values[source].numel + 1, dtype=torch.float64).reshape(inner)
    alone = replace(graph, inputs=(source,), ops=ops, state=(), output=Ref(value))
    try:
        with torch.no_grad():
            result = replay(alone, [image.to(dtype)], {}).outputs[0].double()
    except (ReplayError, ValueError, KeyError):
        return None
    below, beside = shape[2] - inner[2], shape[3] - inner[3]
    for mode, kind in MODES.items():
        for above in range(below + 1):
            for left in range(beside + 1):
                sides = (left, beside - left, above, below - above)
                try:
                    right = F.pad(image, sides, mode=mode)
                except (RuntimeError, ValueError):  # a border wider than what it is made of
                    continue
                if torch.equal(result, right):
                    return source, (above, below - above, left, beside - left), kind
    return None


def _moved(graph: Graph, value: int) -> tuple[int, tuple[Op, ...]] | None:
    """The one value that another one's numbers come from, and the operations between the two."""
    needed, sources = {value}, set[int]()
    ops: list[Op] = []
    data = graph.data()
    constants = {each.value for each in graph.constants}
    for op in reversed(graph.ops):
        if needed.isdisjoint(op.outputs):
            continue
        if op.name in MOVING and not op.random:
            ops.append(op)
            needed.update(op.reads)
        else:
            sources.update(needed.intersection(op.outputs))
    made = {output for op in ops for output in op.outputs}
    sources |= {each for each in needed if each not in made and each not in constants}
    if len(sources) != 1 or not sources <= data:
        return None
    return sources.pop(), tuple(reversed(ops))
