"""Moves: what a layer reads may be an image whose numbers were put in another order, with its weights in that order.

The columns of a linear layer stand in the order in which the image before it was flattened, by channels or by pixels;
a convolution of the transposed image has its kernels transposed. Both are right, and no weight is rearranged on the
way to its layer, so that what operations read of them (see `operands`) does not tell. What was done to the image is
found by value as well: the operations that only move numbers are carried out on numbers that tell where each comes
from, and the weight is taken in the order that it has where nothing is moved.

An image that runs backwards before a convolution is left as it is, as a kernel that does so is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import torch
from torch import Tensor

from casestudies.checking.operands import as_if_kept, as_read
from casestudies.checking.regroup import Regrouping, Values
from casestudies.checking.transplant import Slot
from casestudies.graph import Graph, Held, Op, Ref
from casestudies.replay import ReplayError, replay

MOST = 2**22  # numbers that are moved at once, and numbers of a weight
# Operations that put numbers in another order and change none.
MOVES = frozenset(
    """
    permute transpose t movedim view _unsafe_view _reshape_alias squeeze unsqueeze alias clone contiguous
    select slice split split_with_sizes unsafe_split chunk unsafe_chunk unbind unfold im2col diagonal
    cat stack flip roll index index_select gather pixel_shuffle pixel_unshuffle channel_shuffle
    """.split()
)


def as_unmoved(graph: Graph, theirs: Sequence[Slot]) -> Regrouping | None:
    """The student's slots with each weight as it would be if nothing were moved before its layer.

    None where nothing is moved, or where it cannot be told.
    """
    if not any(op.name in MOVES for op in graph.ops):
        return None
    seen = view = as_read(graph, theirs) or Regrouping(list(theirs))
    try:
        graph = as_if_kept(graph, thorough=True)
        reader = _Reader(graph)
        for op in graph.ops:
            if (found := reader.order(op)) is not None:
                view = _with(view, *found)
    except (ReplayError, ValueError, KeyError, IndexError, TypeError, RuntimeError):
        return None  # a stranger's graph
    return None if view is seen else view


def _with(view: Regrouping, held: Held, shape: tuple[int, ...], places: Tensor) -> Regrouping:
    """The view with one weight in another form: its number at each of the places."""

    def step(values: Values) -> dict[str, Tensor | None]:
        value = values.get(held.name)
        if value is None or tuple(value.shape) != held.shape:
            return {}
        return {held.name: value.flatten()[places.flatten()].reshape(shape)}

    slots = [replace(slot, shape=shape) if slot.name == held.name else slot for slot in view.slots]
    return Regrouping(slots, (*view.steps, step))


# The weight of a layer, its shape if nothing were moved before the layer, and where each of its numbers is now.
_Order = tuple[Held, tuple[int, ...], Tensor]


class _Reader:
    """Reads what was moved before the layers of a graph, which are asked about in turn."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.data = graph.data()
        self.sources: dict[int, int] = {}  # of values that were only moved: what they were before
        self.known: dict[int, Tensor | None] = {}
        self.turned: set[int] = set()  # values that are the transposed images of what they would be

    def order(self, op: Op) -> _Order | None:
        """In which order the weight of a layer is, if another one than usual."""
        read = [value for value in dict.fromkeys(op.reads) if value in self.data]
        if not read:
            return None
        before = {self.sources.get(value, value) for value in read}
        if op.name in MOVES and not op.writes and len(before) == 1:
            self.sources.update(dict.fromkeys(op.outputs, *before))
            return None
        images = [self._image(value) for value in read]
        if all(image is not None and image[1] for image in images):
            self.turned.update(op.outputs)
        if len(read) > 1:
            return None
        if op.name == "convolution" and not op.setting("transposed"):
            return self._of_convolution(op, read[0], images[0])
        return self._of_linear(op, read[0]) if op.name in ("addmm", "mm") else None

    def _of_linear(self, op: Op, value: int) -> _Order | None:
        matrix = op.setting("mat2")
        if not isinstance(matrix, Ref):
            return None
        held, maker = self.graph.owner.get(matrix.value), self.graph.maker.get(matrix.value)
        out_first = held is not None and held.name.startswith("@")  # see `as_read`
        if held is None and maker is not None and maker.name in ("t", "transpose"):
            held, out_first = self.graph.owner.get(maker.reads[0]), True
        columns = self._columns(value)
        if held is None or columns is None or len(held.shape) != 2:
            return None
        weight = _numbered(held)
        return held, held.shape, weight[:, columns] if out_first else weight[columns]

    def _of_convolution(self, op: Op, value: int, image: tuple[Tensor, bool] | None) -> _Order | None:
        matrix = op.setting("weight")
        held = self.graph.owner.get(matrix.value) if isinstance(matrix, Ref) else None
        if held is None or len(held.shape) != 4:
            return None
        weight, source = _numbered(held), self.sources.get(value, value)
        if image is None:
            shape, padding = self.graph.values[source].shape[1:], op.setting("padding", (0,))
            if self.graph.values[value].shape[1:] != held.shape[1:] or any(padding) or len(shape) != 3:
                return None
            columns = self._columns(value)  # it covers all that it reads, as a linear layer does
            return None if columns is None else (held, (held.shape[0], *shape), weight.flatten(1)[:, columns])
        channels, turned = image
        if turned:
            weight = weight.transpose(2, 3)
        # The channels of what goes in have an order that is given.
        if len(channels) == weight.shape[1] and source not in self.graph.inputs:
            weight = weight[:, channels.argsort()]
        return None if _in_order(weight) else (held, tuple(weight.shape), weight)

    def _columns(self, value: int) -> Tensor | None:
        """Which numbers of an image are those of the source in turn; None where all are in that order."""
        source = self.sources.get(value, value)
        places = self._places(value)
        if places is None:
            return None
        places = places.flatten()
        if source in self.turned:
            places = _transposed(self.graph.values[source].shape[1:]).flatten()[places]
        return None if _in_order(places) else places.argsort()

    def _image(self, value: int) -> tuple[Tensor, bool] | None:
        """Which channels of the source those of a value are, and whether it is a transposed image of what it would
        be; None where it is no image of the source."""
        source = self.sources.get(value, value)
        shape = self.graph.values[source].shape[1:]
        if len(shape) != 3 or not prod(shape):
            return None
        if source == value:
            return torch.arange(shape[0]), source in self.turned
        places = self._places(value)
        if places is None or places.dim() != 3 or len(places) != shape[0]:
            return None
        size = shape[1] * shape[2]
        channels, pixels = places.div(size, rounding_mode="floor"), places % size
        if not torch.equal(channels, channels[:, :1, :1].expand_as(channels)):
            return None
        if not torch.equal(pixels, pixels[:1].expand_as(pixels)):
            return None
        plain = torch.arange(size).reshape(shape[1:])
        for turned, each in ((False, plain), (True, plain.T)):
            if torch.equal(pixels[0], each):
                return channels[:, 0, 0], turned != (source in self.turned)
        return None

    def _places(self, value: int) -> Tensor | None:
        """Where in an image of the source each number of an image is; None where these are not the same numbers."""
        if value not in self.known:
            self.known[value] = self._carried(value)
        return self.known[value]

    def _carried(self, value: int) -> Tensor | None:
        graph, source = self.graph, self.sources.get(value, value)
        shapes = [graph.values[each].shape for each in (source, value)]
        size = prod(shapes[0][1:])
        if not shapes[1] or shapes[0][:1] != shapes[1][:1] or size != prod(shapes[1][1:]) or not size:
            return None
        marks = torch.arange(prod(shapes[0]), dtype=torch.float64).reshape(shapes[0])
        if len(marks) * size > MOST:
            return None
        found = marks
        if source != value:
            needed, ops = {value}, []
            for op in reversed(graph.ops):
                if source not in op.outputs and not needed.isdisjoint(op.outputs):
                    needed.update(each for each in op.reads if each != source)
                    ops.append(op)
            constants = tuple(each for each in graph.constants if each.value in needed)
            moves = replace(
                graph,
                inputs=(source,),
                ops=tuple(ops[::-1]),
                state=(),
                constants=constants,
                output=Ref(value),
            )
            with torch.no_grad():
                found = replay(moves, [marks], {}).outputs[0]
        places = found.flatten(1).long() if found.dim() > 1 else found[:, None].long()
        ahead = size * torch.arange(len(places))[:, None]
        if not torch.equal(places - ahead, places[:1].expand_as(places)):
            return None
        if not torch.equal(places[0].sort().values, torch.arange(size)):
            return None
        return places[0].reshape(shapes[1][1:])


def _numbered(held: Held) -> Tensor:
    """The numbers of a weight counted."""
    if prod(held.shape) > MOST:
        raise ValueError(f"a weight of {held.shape} is too large")
    return torch.arange(prod(held.shape)).reshape(held.shape)


def _transposed(shape: Sequence[int]) -> Tensor:
    """Of each number of a transposed image its place in the image: (channels, height, width) of the transposed."""
    channels, height, width = shape
    return torch.arange(channels * height * width).reshape(channels, width, height).transpose(1, 2)


def _in_order(places: Tensor) -> bool:
    return torch.equal(places.flatten(), torch.arange(places.numel()))
