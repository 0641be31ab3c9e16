"""What one number sees: the receptive field, carried from operation to operation of a graph.

Each operation has a rule here; without one, what its result sees is unknown. Fields are those of an image that goes
on beyond its border: padding counts as pixels, as in the literature. Once the whole image has been reduced to one
number, as by global pooling, later windows widen the field no further.

The statistics that a batch norm takes in training do not count, since they mix the images of a batch. Those that a
norm takes of a single image do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import torch

from casestudies.costs.formulas import Pair, pair
from casestudies.costs.sight import (
    Func,
    Moved,
    Piece,
    Side,
    Sight,
    Unknown,
    broadcast,
    meet,
    normal,
    resample,
    view,
)  # fmt: skip
from casestudies.graph import Graph, Op, Ref, function_of, tensor_of

# The factors of each product of tensors, by the names of their arguments; a `self` beside them is added.
FACTORS = {
    "convolution": ("input", "weight"), "mm": ("self", "mat2"), "addmm": ("mat1", "mat2"), "bmm": ("self", "mat2"),
    "baddbmm": ("batch1", "batch2"), "mv": ("self", "vec"), "addmv": ("mat", "vec"), "dot": ("self", "tensor"),
    "scaled_dot_product_attention": ("query", "key", "value"),
}  # fmt: skip
MATRIX_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "dot")

# ---------------------------------------------------------------------------------------------- the windows


@dataclass(frozen=True)
class Window:
    """An operation that slides a window: sizes along the last two sides; `all_kernel` along all of them."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    all_kernel: tuple[int, ...]


def _convolution(arguments: Mapping[str, Any]) -> Window:
    kernel = arguments["weight"].shape[2:]
    stride, padding, dilation = (pair(arguments[name]) for name in ("stride", "padding", "dilation"))
    return Window(pair(kernel), stride, padding, dilation, tuple(kernel))


def _pool(arguments: Mapping[str, Any]) -> Window:
    kernel = arguments["kernel_size"]
    kernel = (kernel,) * 2 if isinstance(kernel, int) else tuple(kernel)
    stride = arguments.get("stride") or kernel
    padding, dilation = pair(arguments.get("padding", 0)), pair(arguments.get("dilation", 1))
    return Window(pair(kernel), pair(stride), padding, dilation, pair(kernel) if len(kernel) < 3 else kernel)


WINDOW_OPS: dict[str, Callable[[Mapping[str, Any]], Window]] = {
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d"), _pool),
}


def window(graph: Graph, op: Op) -> Window | None:
    """The window of an operation that slides one, else None."""
    rule = WINDOW_OPS.get(op.name)
    if rule is None:
        return None
    return rule({k: graph.values[v.value] if isinstance(v, Ref) else v for k, v in op.arguments})


# ------------------------------------------------------------------------------------------------ the rules


class At:
    """An operation, and what the tensors that it reads see."""

    def __init__(self, graph: Graph, op: Op, sights: Mapping[int, Sight]) -> None:
        self.graph, self.op, self.sights = graph, op, sights

    @property
    def shape(self) -> tuple[int, ...]:
        return self.graph.values[self.op.outputs[0]].shape

    def get(self, name: str, default: Any = None) -> Any:
        return self.op.setting(name, default)

    def sight(self, name: str) -> Sight | None:
        """What an argument sees; None where it does not depend on the image."""
        found = self.op.setting(name)
        return self.sights.get(found.value) if isinstance(found, Ref) else None

    def shape_of(self, name: str) -> tuple[int, ...]:
        found: Ref = self.op.setting(name)
        return self.graph.values[found.value].shape

    def only(self, name: str = "self") -> Sight:
        """What an argument sees, if it is the only one that sees something."""
        seen = self.sight(name)
        if seen is None or len(self.sights) > 1:
            raise Unknown
        return seen


Rule = Callable[[At], Sight | list[Sight]]


def see(
    graph: Graph, op: Op, sights: Mapping[int, Sight], product: bool, reads: Sequence[int] | None = None
) -> list[Sight]:
    """What each output of an operation sees, by what it reads; `product`: it has weights to multiply."""
    read = {value: sights[value] for value in (op.reads if reads is None else reads) if value in sights}
    if len(read) == 1 and len(op.outputs) == 1 and op.name in KEPT:
        (only,) = read.values()
        if only.shape == graph.values[op.outputs[0]].shape:
            return [only]
    seeing = read
    if len(read) > 1:
        seeing = {value: sight for value, sight in read.items() if not sight.blind} or read
    depth = max([each.depth for each in read.values()]) + product
    read_by = list(seeing.values())
    shapes = [graph.values[value].shape for value in op.outputs]
    found: Sight | list[Sight]
    try:
        if op.name in BLIND or all(each.blind for each in read_by):
            found = read_by[0].blinded(shapes[0])
        elif op.name in RULES:
            found = RULES[op.name](At(graph, op, seeing))
        else:
            raise Unknown
    except Unknown:
        found = _joint(read_by).lost(shapes[0], part=op.name in PARTS and any(any(x.mixed) for x in read_by))
    every = found if isinstance(found, list) else [found]
    out = []
    for place, shape in enumerate(shapes):
        each = every[min(place, len(every) - 1)]
        if each.shape != shape:
            each = each.lost(shape)
        if each.depth != depth:
            each = Sight(each.dims, each.mixed, each.sides, each.image, depth)
        out.append(each)
    return out


def _joint(sights: Sequence[Sight]) -> Sight:
    """The first tensor, with `whole` set on each side that any of them has seen in full."""
    first = sights[0]
    if len(sights) == 1:
        return first
    wholes = [max((each.sides[i].whole or 0 for each in sights), default=0) or None for i in (0, 1)]
    sides = tuple(replace(side, whole=whole) for side, whole in zip(first.sides, wholes, strict=True))
    return replace(first, sides=(sides[0], sides[1]))


def _keep(sight: Sight, changed: dict[int, list[Piece]], **more: Any) -> Sight:
    """Replace some axes and keep the others."""
    dims = [changed.get(dim, None) or sight.pieces(dim) for dim in range(len(sight.dims))]
    return sight.remake(dims, **more)


def _along(
    sight: Sight, dim: int, taps: Callable[[int], Iterable[int]], period: int, shift: int, size: int
) -> Sight:
    """Replace an axis by one whose place i sees the places taps(i) of the old one; see `resample`."""
    if sight.constant(dim):
        mixed = sight.mixes(dim)
        fixed = dict.fromkeys(sight.flat(dim), 0)
        return _keep(sight, {dim: [Piece(size, mixed=mixed)]}, fixed=fixed)
    sight = sight.single(dim)
    (piece,) = sight.pieces(dim)

    def change(func: Func) -> Moved:
        return resample(func, taps, period, shift, size)

    return _keep(sight, {dim: [replace(piece, size=size, change=change)]})


def _slide(sight: Sight, dim: int, kernel: int, stride: int, padding: int, dilation: int, size: int) -> Sight:
    steps = range(0, kernel * dilation, dilation)
    return _along(sight, dim, lambda i: (stride * i - padding + step for step in steps), 1, stride, size)


def _gather_all(sight: Sight, dims: Iterable[int], keep: bool) -> Sight:
    """Reduce some axes; with `keep` they keep their size, and every place sees the same."""
    dims = set(dims)
    reduced = [place for dim in dims for place in sight.flat(dim)]
    kept = {dim: [Piece(sight.size(dim) if keep else 1)] for dim in dims}
    return _keep(sight, kept, reduced=reduced)


def _drop(sight: Sight, dims: Iterable[int], fixed: dict[int, int] | None = None) -> Sight:
    """Drop axes of size 1, or take one place of larger ones, which `fixed` names."""
    gone = set(dims)
    if fixed is None:
        fixed = {place: 0 for dim in gone for place in sight.flat(dim)}
    return sight.remake([sight.pieces(dim) for dim in range(len(sight.dims)) if dim not in gone], fixed=fixed)


def _dims(at: At, rank: int, name: str = "dim") -> list[int]:
    """The axes that an operation names; all of them where it names none."""
    dims = at.get(name)
    if dims is None or dims == ():
        return list(range(rank))
    return [dim % rank for dim in ((dims,) if isinstance(dims, int) else dims)] if rank else []


def _same(at: At) -> Sight:
    """Element by element: each number depends on those in the same place."""
    shape = at.shape
    found = []
    for name, value in at.op.arguments:
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Ref) and each.value in at.sights:
                if at.op.name == "mul" and _zero(at, name):
                    continue
                found.append(broadcast(at.sights[each.value], shape))
    if not found:
        return next(at.sights[value] for value in at.op.reads if value in at.sights).blinded(shape)
    return meet(found)


def _zero(at: At, name: str) -> bool:
    """Whether the other factor is nothing but zeros, as the weights of pixels that an interpolation skips."""
    other = at.op.setting("other" if name == "self" else "self")
    if not isinstance(other, Ref) or other.value in at.sights or other.value not in at.graph.maker:
        return False
    numbers = constant(at.graph, other.value)
    return numbers is not None and not bool(numbers.any())


def _copy(at: At) -> Sight:
    seen = at.sight("src")
    if seen is None:  # what was there before is overwritten
        raise Unknown
    return broadcast(seen, at.shape)


def _batch_norm(at: At) -> Sight:
    seen = at.only("input")
    named = dict(at.op.arguments)
    if at.graph.training or not named.get("training", named.get("train", False)):
        return seen
    return _gather_all(seen, (dim for dim in range(len(seen.dims)) if dim != 1), keep=True)


def _layer_norm(at: At) -> Sight:
    seen = at.only("input")
    rank = len(seen.dims)
    return _gather_all(seen, range(rank - len(at.get("normalized_shape")), rank), keep=True)


def _group_norm(at: At) -> Sight:
    seen = at.only("input")
    return _gather_all(seen, range(1, len(seen.dims)), keep=True)


def _softmax(at: At) -> Sight:
    seen = at.only()
    return _gather_all(seen, _dims(at, len(seen.dims)), keep=True)


def _reduce(at: At) -> Sight:
    seen = at.only()
    dims = _dims(at, len(seen.dims))
    found = _gather_all(seen, dims, keep=False)
    return found if at.get("keepdim", False) else _drop(found, dims)


def _convolve(at: At) -> Sight:
    seen = at.only("input")
    weight, groups = at.shape_of("weight"), at.get("groups")
    kernel = weight[2:]
    sides = len(kernel)
    if len(seen.dims) != sides + 2:
        raise Unknown
    stride, padding, dilation = (
        (each * sides if len(each) == 1 else each)
        for each in (at.get("stride"), at.get("padding"), at.get("dilation"))
    )
    shape = at.shape
    simple = not at.get("transposed") and groups == 1 and all(len(factors) == 1 for factors in seen.dims)
    if simple:  # most convolutions are like this, and go the short way
        windows = zip(kernel, stride, padding, dilation, strict=True)
        pieces = [
            [Piece(shape[side + 2], side + 2, _window(k, s, p, d, shape[side + 2]), seen.mixed[side + 2])]
            for side, (k, s, p, d) in enumerate(windows)
        ]
        return seen.remake([seen.pieces(0), [Piece(shape[1])], *pieces], reduced=[1])
    for side in range(sides):
        k, s, p, d = kernel[side], stride[side], padding[side], dilation[side]
        if at.get("transposed"):
            seen = _along(seen, side + 2, _spread(k, s, p, d), s, 1, shape[side + 2])
        else:
            seen = _slide(seen, side + 2, k, s, p, d, shape[side + 2])
    if groups == shape[1] == seen.size(1):
        return seen  # each channel for itself
    if groups > 1 and not seen.constant(1):
        raise Unknown
    mixed = groups > 1 and seen.mixes(1)
    return _keep(seen, {1: [Piece(shape[1], mixed=mixed)]}, reduced=seen.flat(1))


@lru_cache(maxsize=1000)
def _window(kernel: int, stride: int, padding: int, dilation: int, size: int) -> Callable[[Func], Moved]:
    """Slide a window over a function; remember the result for each function."""
    steps = range(0, kernel * dilation, dilation)

    @lru_cache(maxsize=1000)
    def change(func: Func) -> Moved:
        return resample(func, lambda i: (stride * i - padding + step for step in steps), 1, stride, size)

    return change


def _spread(kernel: int, stride: int, padding: int, dilation: int) -> Callable[[int], list[int]]:
    """What a place sees through a transposed convolution."""

    def taps(place: int) -> list[int]:
        starts = [place + padding - step * dilation for step in range(kernel)]
        return [start // stride for start in starts if start % stride == 0]

    return taps


def _pooled(at: At) -> Sight:
    seen = at.only()
    kernel = at.get("kernel_size")
    sides = 3 if at.op.name.endswith("3d") else 2

    def each(value: Any) -> tuple[int, ...]:
        values = (value,) if isinstance(value, int) else tuple(value)
        return values * sides if len(values) == 1 else values

    sizes = each(kernel), each(at.get("stride") or kernel), each(at.get("padding", 0)), each(
        at.get("dilation", 1)
    )  # fmt: skip
    first = len(seen.dims) - sides
    for side, (k, s, p, d) in enumerate(zip(*sizes, strict=True)):
        seen = _slide(seen, first + side, k, s, p, d, at.shape[first + side])
    return seen


def _adaptive(at: At) -> Sight:
    seen = at.only()
    sides = int(at.op.name[-2])
    for dim in range(len(seen.dims) - sides, len(seen.dims)):
        size, cells = seen.size(dim), at.shape[dim]
        if not cells or not size:
            raise Unknown
        both = math.gcd(size, cells)
        seen = _along(seen, dim, _cells(size, cells), cells // both, size // both, cells)
    return seen


def _cells(size: int, cells: int) -> Callable[[int], range]:
    """The windows that cut `size` pixels into `cells`."""
    return lambda i: range(i * size // cells, -(-(i + 1) * size // cells))


def _padded(at: At) -> Sight:
    seen = at.only()
    pads = at.get("pad", at.get("padding"))
    for number in range(len(pads) // 2):
        before = pads[2 * number]
        dim = len(seen.dims) - 1 - number
        if before or pads[2 * number + 1]:
            seen = _along(seen, dim, _from(-before, 1), 1, 1, at.shape[dim])
    return seen


def _from(start: int, step: int) -> Callable[[int], tuple[int]]:
    return lambda i: (start + step * i,)


def _cut(seen: Sight, dim: int, start: int, step: int, size: int) -> Sight:
    """Take `size` places of an axis, `step` apart."""
    if (start, step, size) == (0, 1, seen.size(dim)):
        return seen
    if seen.mixes(dim):
        raise Unknown
    return _along(seen, dim, _from(start, step), 1, step, size)


def _slice(at: At) -> Sight:
    seen = at.only()
    dim = at.get("dim", 0) % len(seen.dims)
    start = at.get("start") or 0
    length = seen.size(dim)
    start = min(max(start + length if start < 0 else start, 0), length)
    return _cut(seen, dim, start, at.get("step", 1), at.shape[dim])


def _split(at: At) -> list[Sight]:
    seen = at.only()
    dim = at.get("dim", 0) % len(seen.dims)
    found, start = [], 0
    for value in at.op.outputs:
        size = at.graph.values[value].shape[dim]
        found.append(_cut(seen, dim, start, 1, size))
        start += size
    return found


def _taken(seen: Sight, dim: int, place: int) -> Sight:
    """Take one place of an axis, which disappears."""
    length = seen.size(dim)
    if length > 1 and seen.mixes(dim):
        raise Unknown
    seen = seen.single(dim)
    return _drop(seen, [dim], {seen.flat(dim)[0]: place % length})


def _select(at: At) -> Sight:
    seen = at.only()
    return _taken(seen, at.get("dim") % len(seen.dims), at.get("index"))


def _unbind(at: At) -> list[Sight]:
    seen = at.only()
    dim = at.get("dim", 0) % len(seen.dims)
    return [_taken(seen, dim, place) for place in range(len(at.op.outputs))]


def _indexed(at: At) -> Sight:
    """Advanced indexing: lists of integers, each along one axis."""
    seen = at.only()
    picks: Sequence[Ref | None] = at.get("indices")
    dims = [dim for dim, pick in enumerate(picks) if pick is not None]
    if dims != list(range(dims[0], dims[-1] + 1)):
        raise Unknown
    sizes = [at.graph.values[pick.value].shape for pick in picks if pick is not None]
    rank = max(map(len, sizes))
    if rank == 0:
        raise Unknown
    if len(dims) == 1 and rank == 1:
        return _picked(at, seen, dims[0], picks[dims[0]], at.shape[dims[0]])
    if rank != len(dims):
        raise Unknown
    for number, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
        along = [rank - len(size) + i for i, n in enumerate(size) if n > 1]
        if along not in ([], [number]):  # along another axis, or along several
            raise Unknown
        seen = _picked(at, seen, dim, picks[dim], at.shape[dim])
    return seen


def _index_select(at: At) -> Sight:
    seen = at.only()
    dim = at.get("dim") % len(seen.dims)
    return _picked(at, seen, dim, at.get("index"), at.shape[dim])


def _picked(at: At, seen: Sight, dim: int, pick: Ref | None, size: int) -> Sight:
    if seen.mixes(dim) or pick is None:
        raise Unknown
    if seen.constant(dim):
        return _along(seen, dim, _from(0, 1), 1, 1, size)
    numbers = constant(at.graph, pick.value)
    if numbers is None or numbers.dtype == torch.bool or numbers.numel() != size:
        raise Unknown
    places = numbers.flatten().tolist()
    length = seen.size(dim)
    places = [place + length if place < 0 else place for place in places]
    period, shift = _rhythm(places, length)
    if period:
        start = _middle(places, period)

        def taps(i: int) -> tuple[int]:
            turn, rest = divmod(i - start, period)
            return (places[start + rest] + shift * turn,)

        return _along(seen, dim, taps, period, shift, size)
    seen = seen.single(dim)
    (piece,) = seen.pieces(dim)

    return _keep(seen, {dim: [replace(piece, size=size, change=_written_out(places))]})


def _written_out(places: Sequence[int]) -> Callable[[Func], Moved]:
    """Take these places of an axis, one by one."""
    return lambda func: (0, 0, Func.listed([func.at(place) for place in places]))


def _middle(places: Sequence[int], period: int) -> int:
    return (len(places) - period) // 2


def _rhythm(places: Sequence[int], length: int) -> tuple[int, int]:
    """Period and shift of a list of places that rises regularly, but for the borders, where it stops; else 0, 0."""
    # An interpolation holds its first and last places within the image before it adds one: they may lie one further
    # in, where there is no rhythm without that, and enough places between them to tell.
    for loose in (False, True):
        for period in range(1, len(places) // (4 if loose else 2) + 1):
            start = _middle(places, period)
            for end in (start + period, start - period):
                if not 0 <= end < len(places):
                    continue
                shift = (places[end] - places[start]) * (1 if end > start else -1)
                expected = [
                    min(max(places[start + rest] + shift * turn, 0), length - 1)
                    for turn, rest in (divmod(i - start, period) for i in range(len(places)))
                ]
                inside = range(period, len(places) - period)
                fits = all(
                    place == wanted
                    or loose
                    and i not in inside
                    and place - wanted == (1 if i < period else -1)
                    for i, (place, wanted) in enumerate(zip(places, expected, strict=True))
                )
                if fits and shift > 0:
                    return period, shift
    return 0, 0


def _permuted(seen: Sight, order: Iterable[int]) -> Sight:
    return seen.remake([seen.pieces(dim % len(seen.dims)) for dim in order])


def _permute(at: At) -> Sight:
    return _permuted(at.only(), at.get("dims"))


def _transpose(at: At) -> Sight:
    seen = at.only()
    order = list(range(len(seen.dims)))
    if order:
        one, other = (at.get(name, default) for name, default in (("dim0", 0), ("dim1", 1)))
        if at.op.name != "t" or len(order) == 2:
            order[one], order[other] = order[other], order[one]
    return _permuted(seen, order)


def _view(at: At) -> Sight:
    return view(at.only(), at.shape)


def _expand(at: At) -> Sight:
    return broadcast(at.only(), at.shape)


def _repeat(at: At) -> Sight:
    seen = at.only()
    missing = len(at.shape) - len(seen.dims)
    repeats = at.get("repeats")
    dims = [[Piece(size)] for size in repeats[:missing]]
    for dim, times in enumerate(repeats[missing:]):
        dims.append([*([Piece(times)] if times > 1 else []), *seen.pieces(dim)])
    return seen.remake(dims)


def _flip(at: At) -> Sight:
    seen = at.only()
    for dim in _dims(at, len(seen.dims), "dims"):
        size = seen.size(dim)
        seen = _along(seen, dim, _from(size - 1, -1), 1, -1, size)
    return seen


def _roll(at: At) -> Sight:
    seen = at.only()
    dims = _dims(at, len(seen.dims), "dims") if at.get("dims") else None
    if dims is None:
        raise Unknown
    for dim, shift in zip(dims, at.get("shifts"), strict=True):
        size = seen.size(dim)
        if seen.constant(dim) or shift % size == 0:
            continue
        seen = seen.single(dim)
        (piece,) = seen.pieces(dim)
        places = [(place - shift) % size for place in range(size)]
        seen = _keep(seen, {dim: [replace(piece, change=_written_out(places))]})
    return seen


def _joined(at: At, stacked: bool) -> Sight:
    shape = at.shape
    dim = at.get("dim", 0) % len(shape)
    tensors = [each.value for each in at.get("tensors")]
    shapes = [at.graph.values[value].shape for value in tensors]
    if not stacked and any(len(each) != len(shape) for each in shapes):
        raise Unknown
    found: list[Sight] = []
    apart = len(tensors) > 1 and any(value not in at.sights for value in tensors)
    if not stacked and any(value in at.sights and not at.sights[value].constant(dim) for value in tensors):
        return _appended(at, tensors, dim)
    for value in tensors:
        if value not in at.sights:
            continue
        seen = at.sights[value]
        if stacked:
            pieces = seen.axes()
            found.append(seen.remake([*pieces[:dim], [Piece(shape[dim])], *pieces[dim:]]))
        else:
            fixed = dict.fromkeys(seen.flat(dim), 0)
            mixed = seen.mixes(dim)
            found.append(_keep(seen, {dim: [Piece(shape[dim], mixed=mixed)]}, fixed=fixed))
    both = meet(found)
    if apart or any(_differs(each, both) for each in found):
        flags = list(both.mixed)
        for place in both.flat(dim):
            flags[place] = True
        both = replace(both, mixed=tuple(flags))
    return both


def _differs(one: Sight, other: Sight) -> bool:
    return any(a.terms != b.terms or a.whole != b.whole for a, b in zip(one.sides, other.sides, strict=True))


def _appended(at: At, tensors: Sequence[int], dim: int) -> Sight:
    """Concatenate along an axis whose places see different pixels: write out what each place sees."""
    singles: list[Sight | None] = []
    for value in tensors:
        seen = at.sights.get(value)
        singles.append(None if seen is None else seen.single(dim))
    seen = next(each for each in singles if each is not None)
    sizes = [at.graph.values[value].shape[dim] for value in tensors]
    others = [each.pieces(d) for each in singles if each for d in range(len(seen.dims)) if d != dim]
    if sum(sizes) > 4096 or any(piece.mixed for pieces in others for piece in pieces):
        raise Unknown
    place = seen.flat(dim)[0]
    sides = []
    for number in (0, 1):
        known = [each.sides[number] for each in singles if each is not None]
        if any(side.terms is None or len(side.terms) != 1 for side in known):
            raise Unknown
        rest = {
            tuple(func for at_, func in enumerate(side.terms[0].funcs) if at_ != place)
            for side in known
            if side.terms
        }
        if len(rest) != 1 or any(each is not None and each.dims[:dim] != seen.dims[:dim] for each in singles):
            raise Unknown
        lows: list[int | float] = []
        highs: list[int | float] = []
        for each, size in zip(singles, sizes, strict=True):
            if each is None:
                lows += [math.inf] * size
                highs += [-math.inf] * size
                continue
            (term,) = each.sides[number].terms or ()
            func = term.funcs[each.flat(dim)[0]]
            for i in range(size):
                ends = (0, 0) if func is None else func.at(i)
                lows.append(term.low + ends[0])
                highs.append(term.high + ends[1])
        wholes = [side.whole for side in known]
        first = known[0]
        assert first.terms
        whole = None if None in wholes or len(known) < len(tensors) else max(w for w in wholes if w)
        if len(set(lows)) == 1 and len(set(highs)) == 1:
            low, high, func = normal(lows[:1], highs[:1], 0)
        else:
            low, high, func = 0, 0, Func(tuple(lows), tuple(highs), 0, True)
        funcs = (*first.terms[0].funcs[:place], func, *first.terms[0].funcs[place + 1 :])
        term = replace(first.terms[0], low=low, high=high, funcs=funcs)
        sides.append(Side((term,), whole, first.pace))
    flags = list(seen.mixed)
    return replace(
        seen,
        dims=(*seen.dims[:dim], (sum(sizes),), *seen.dims[dim + 1 :]),
        mixed=tuple(flags),
        sides=(sides[0], sides[1]),
    )


def _product(at: At) -> Sight:
    shape = at.shape
    found = []
    left, right = FACTORS[at.op.name]
    one, other = at.sight(left), at.sight(right)
    rows, columns = (len(at.shape_of(name)) > 1 for name in (left, right))
    if one is not None:
        rank = len(one.dims)
        seen = _drop(_gather_all(one, [rank - 1], keep=False), [rank - 1])
        found.append(seen.remake([*seen.axes(), [Piece(shape[-1])]]) if columns else seen)
    if other is not None:
        rank = len(other.dims)
        dim = rank - 2 if columns else rank - 1
        seen = _drop(_gather_all(other, [dim], keep=False), [dim])
        pieces = seen.axes()
        if rows:
            pieces.insert(dim, [Piece(shape[-2 if columns else -1])])
        found.append(seen.remake(pieces))
    if left != "self" and (added := at.sight("self")) is not None:
        found.append(broadcast(added, shape))
    return meet(found)


def _attention(at: At) -> Sight:
    found = []
    for name in ("query", "key", "value"):
        seen = at.sight(name)
        if seen is None:
            continue
        rank = len(seen.dims)
        gone = {"query": [rank - 1], "key": [rank - 2, rank - 1], "value": [rank - 2]}[name]
        reduced = [place for dim in gone for place in seen.flat(dim)]
        found.append(_keep(seen, {dim: [Piece(at.shape[dim])] for dim in gone}, reduced=reduced))
    if at.get("attn_bias", at.get("attn_mask")) is not None or at.get("is_causal"):
        raise Unknown
    return meet(found)


def _im2col(at: At) -> Sight:
    seen = at.only()
    sizes = [at.get(name) for name in ("kernel_size", "stride", "padding", "dilation")]
    if len(seen.dims) != 4:
        raise Unknown
    grid = []
    for side, (k, s, p, d) in enumerate(zip(*sizes, strict=True)):
        size = seen.size(2 + side)
        grid.append((size + 2 * p - d * (k - 1) - 1) // s + 1)
        seen = _along(seen, 2 + side, _from(-p, 1), 1, 1, size + 2 * p)
        seen = seen.single(2 + side)
    kernel, stride, _, dilation = sizes
    steps = [
        Piece(k, seen.flat(2 + i)[0], _every(d))
        for i, (k, d) in enumerate(zip(kernel, dilation, strict=True))
    ]
    places = [
        Piece(n, seen.flat(2 + i)[0], _every(s)) for i, (n, s) in enumerate(zip(grid, stride, strict=True))
    ]
    return seen.remake([seen.pieces(0), [*seen.pieces(1), *steps], places])


def _every(step: int) -> Callable[[Func], Moved]:
    """Take every `step`-th place of an axis whose interval moves by the same jump at each."""

    def change(func: Func) -> Moved:
        if func.finite or func.period > 1:
            raise Unknown
        return 0, 0, Func((0,), (0,), func.jump * step)

    return change


def _unfold(at: At) -> Sight:
    seen = at.only()
    dim, size, step = at.get("dimension") % len(seen.dims), at.get("size"), at.get("step")
    if seen.mixes(dim):
        raise Unknown
    seen = seen.single(dim)
    source = seen.flat(dim)[0]
    dims = seen.axes()
    dims[dim] = [Piece(at.shape[dim], source, _every(step))]
    return seen.remake([*dims, [Piece(size, source, _every(1))]])


def _shuffled(at: At) -> Sight:
    """pixel_shuffle, pixel_unshuffle, channel_shuffle: the axes are cut, put into another order, and joined."""
    seen = at.only()
    sizes: tuple[int, ...]
    if at.op.name == "channel_shuffle":
        groups = at.get("groups")
        batch, (channels, *rest) = at.shape[:1], at.shape[1:]
        sizes, order = (groups, channels // groups, *rest), [1, 0, *range(2, 2 + len(rest))]
    else:
        batch, (channels, height, width) = at.shape[:-3], at.shape[-3:]
        if at.op.name == "pixel_shuffle":
            r = at.get("upscale_factor")
            sizes, order = (channels, r, r, height // r, width // r), [0, 3, 1, 4, 2]
        else:
            r = at.get("downscale_factor")
            sizes, order = (channels // r**2, height, r, width, r), [0, 2, 4, 1, 3]
    cut, first = view(seen, (*batch, *sizes)), len(batch)
    return view(_permuted(cut, [*range(first), *(first + dim for dim in order)]), at.shape)


def _halves(at: At) -> Sight:
    """`glu`: one half of an axis times a function of the other."""
    seen = at.only()
    dim = at.get("dim", -1) % len(seen.dims)
    size = at.shape[dim]
    if seen.mixes(dim):
        if not seen.constant(dim):
            raise Unknown
        return _along(seen, dim, _from(0, 1), 1, 1, size)
    return meet([_cut(seen, dim, 0, 1, size), _cut(seen, dim, size, 1, size)])


def _resized(at: At) -> Sight:
    """Interpolation: each place sees the pixels that get a weight."""
    seen = at.only()
    sides = int(at.op.name[-2])
    names = {1: ("",), 2: ("_h", "_w"), 3: ("_d", "_h", "_w")}[sides]
    scales = at.get("scale_factors") or [at.get(f"scales{name}") for name in names]
    corners = bool(at.get("align_corners", False))
    for side in range(sides):
        dim = len(seen.dims) - sides + side
        size, wanted, scale = seen.size(dim), at.shape[dim], scales[side]
        if corners:
            step = Fraction(size - 1, wanted - 1) if wanted > 1 else Fraction(0)
        else:
            step = (1 / Fraction(scale)).limit_denominator(10_000) if scale else Fraction(size, wanted)
        if not step:
            raise Unknown
        taps = _weighted(at.op.name, step, corners)
        seen = _along(seen, dim, taps, step.denominator, step.numerator, wanted)
    return seen


def _weighted(name: str, step: Fraction, corners: bool) -> Callable[[int], list[int]]:
    """The pixels with a weight in the interpolation at place i, away from the border."""

    def taps(i: int) -> list[int]:
        if "nearest" in name:
            return [math.floor((i + Fraction(1, 2)) * step if "exact" in name else i * step)]
        where = i * step if corners else (i + Fraction(1, 2)) * step - Fraction(1, 2)
        first = math.floor(where)
        if where == first:
            return [first]
        return [first - 1, first, first + 1, first + 2] if "bicubic" in name else [first, first + 1]

    return taps


POINTWISE = (
    "abs add addcdiv addcmul alias atan2 bitwise_and bitwise_not bitwise_or ceil celu clamp clamp_max clamp_min "
    "clone contiguous cos cosh detach div dropout elu eq erf erfc exp expm1 floor fmod ge gelu gt hardshrink "
    "hardsigmoid hardswish hardtanh isfinite isinf isnan le leaky_relu lerp lift_fresh log log10 log1p log2 "
    "log_sigmoid log_sigmoid_forward logical_and logical_not logical_or logical_xor lt masked_fill maximum minimum "
    "mish mul ne neg pow prelu_kernel reciprocal relu relu6 remainder round rrelu_with_noise rsqrt rsub selu sgn "
    "sigmoid sign silu sin sinh softplus softshrink sqrt square sub tan tanh threshold to_copy trunc where "
    "xlogy real imag view_dtype positive fmax fmin logaddexp"
).split()
# Operations on one argument, or on one argument and numbers that are the same everywhere.
KEPT = frozenset(POINTWISE) - {"mul", "where", "copy"}
REDUCTIONS = (
    "mean sum amax amin max min var std prod logsumexp linalg_vector_norm norm any all argmax argmin var_mean "
    "std_mean aminmax"
).split()
# Operations that take only a shape from what they read.
BLIND = (
    "new_ones new_zeros new_full new_empty new_empty_strided ones_like zeros_like full_like empty_like rand_like "
    "randn_like bernoulli fill zero uniform normal"
).split()
VIEWS = "view reshape squeeze unsqueeze flatten unflatten".split()
# Operations that pick some of the places of an axis.
PARTS = ("slice", "select", "split", "split_with_sizes", "unbind", "index", "unsafe_index", "index_select",
         "unfold", "gather", "glu", "as_strided", "narrow", "take", "masked_select")  # fmt: skip

RULES: dict[str, Rule] = {
    **dict.fromkeys(POINTWISE, _same),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(VIEWS, _view),
    **dict.fromkeys(("softmax", "log_softmax", "safe_softmax"), _softmax),
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d"), _pooled),
    **dict.fromkeys([f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)], _adaptive),
    **dict.fromkeys(
        [f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)], _padded
    ),
    **dict.fromkeys([f"upsample_nearest{n}d" for n in (1, 2, 3)], _resized),
    **dict.fromkeys([f"upsample_nearest_exact{n}d" for n in (1, 2, 3)], _resized),
    **dict.fromkeys(
        ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"), _resized
    ),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    **dict.fromkeys(("index", "unsafe_index"), _indexed),
    **dict.fromkeys(("transpose", "t"), _transpose),
    **dict.fromkeys(MATRIX_PRODUCTS, _product),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle", "channel_shuffle"), _shuffled),
    "adaptive_avg_pool2d": _adaptive,
    "batch_norm": _batch_norm,
    "cat": lambda at: _joined(at, False),
    "constant_pad_nd": _padded,
    "convolution": _convolve,
    "copy": _copy,
    "expand": _expand,
    "flip": _flip,
    "glu": _halves,
    "group_norm": _group_norm,
    "im2col": _im2col,
    "index_select": _index_select,
    "layer_norm": _layer_norm,
    "permute": _permute,
    "repeat": _repeat,
    "roll": _roll,
    "scaled_dot_product_attention": _attention,
    "select": _select,
    "slice": _slice,
    "stack": lambda at: _joined(at, True),
    "unbind": _unbind,
    "unfold": _unfold,
}

# ------------------------------------------------------------------------- tensors that are always the same

COMPUTED = (
    "add alias arange ceil clamp clamp_max clamp_min clone detach div expand eq flip floor full ge gt le lift_fresh "
    "lt mul neg ones permute remainder repeat round rsub slice sub t to_copy transpose trunc unsqueeze view zeros"
).split()
LARGEST_CONSTANT = 100_000  # numbers


def constant(graph: Graph, value: int) -> torch.Tensor | None:
    """The numbers of a small tensor that depends on no input and no weight, such as the places of an interpolation;
    None for any other."""
    known: dict[int, torch.Tensor] = {}
    held = {each.value: each for each in graph.constants}

    def numbers(number: int, depth: int) -> torch.Tensor:
        if number in known:
            return known[number]
        found = graph.values[number]
        if found.numel > LARGEST_CONSTANT or depth > 40:
            raise Unknown
        if number in held:
            made = tensor_of(graph, held[number])
            if made is None:
                raise Unknown
            known[number] = made
            return made
        op = graph.maker.get(number)
        if op is None or op.name not in COMPUTED or op.writes or len(op.outputs) != 1:
            raise Unknown
        settings = {
            name: numbers(each.value, depth + 1) if isinstance(each, Ref) else _setting(each)
            for name, each in op.arguments
        }
        known[number] = function_of(op.overload)(**settings)
        return known[number]

    try:
        with torch.no_grad():
            return numbers(value, 0)
    except (Unknown, RuntimeError, TypeError, AttributeError):
        return None


def _setting(value: Any) -> Any:
    if isinstance(value, str) and value.startswith("torch."):
        return getattr(torch, value.removeprefix("torch."))
    return [_setting(item) for item in value] if isinstance(value, tuple) else value
