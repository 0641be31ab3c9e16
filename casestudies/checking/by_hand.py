"""By hand: a recording with a layer's operation in the place of the many that do the same.

A convolution may be written as nine shifted products, an `unfold` and a matrix, an einsum, or a sum of slices; its
weights may be one parameter each, rows of a table or pieces of a vector. No list of operations tells all of these,
but numbers do. What a stretch of operations makes of one image is carried out with a number in each place of each
parameter that tells where it comes from, and with a gradient that tells which numbers of the image meet which of the
parameters. Where these are the kernels of a convolution or the rows of a linear layer, the layer is put in the place
of the stretch, with its weights taken out of the parameters. What follows is done to the image as it gives it,
whatever the order of axes that it is seen in.

Nothing of this is believed: the new recording is carried out beside the old one on random numbers, and is taken only
where both give the same, with the same gradients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import permutations
from math import isclose, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from casestudies.checking.layers import KNOWN, layers_of
from casestudies.graph import Argument, Constant, Graph, Held, Op, Ref, Value
from casestudies.replay import ReplayError, replay

MOST_OPS = 1500  # of a recording that is looked at
MOST_HELD = 2**20  # numbers of all parameters together
MOST_READ = 2**26  # numbers that the gradients of a stretch go through, and
MOST_PASSES = 96  # how often
POINTS = 37  # at which a function is looked at
MOST_STARTS = 4  # beside the value itself, at which a stretch may begin
LONGEST = 2**16  # numbers of a weight that is taken out of the parameters
NEAR = 1e-9
VIEWS = frozenset(
    """
    view _unsafe_view unsafe_view _reshape_alias reshape_alias reshape expand contiguous clone alias unsqueeze squeeze
    lift_fresh flatten unflatten permute transpose t movedim
    """.split()
)
# Operations that are linear in each tensor that they read.
LINEAR = VIEWS | frozenset(
    """
    select slice split split_with_sizes unsafe_split chunk unsafe_chunk unbind unfold im2col diagonal narrow
    constant_pad_nd cat stack flip roll index index_select gather repeat sum mean neg add sub rsub cumsum avg_pool2d
    pixel_shuffle pixel_unshuffle changed copy
    """.split()
)
SUMMING = frozenset("add mul div sum mean".split())
MATRICES = frozenset("mm bmm mv dot addmm baddbmm addbmm convolution".split())
PRODUCTS = MATRICES | {"mul", "div"}
# Operations on each number by itself.
EACH_NUMBER = frozenset(
    """
    relu silu sigmoid tanh gelu elu selu leaky_relu hardswish hardsigmoid mish softplus exp abs clamp
    clamp_min clamp_max hardtanh threshold maximum minimum where add sub mul div neg pow sqrt rsqrt reciprocal
    square gt ge lt le
    log log1p expm1 sign
    """.split()
)


Seen = Callable[[Tensor], Tensor]  # a value as the image that it is a view of


class NotALayer(ValueError):
    """A stretch of operations is no layer, or none that is known here."""


def as_layers(graph: Graph) -> Graph:
    """The recording with layers in the place of what does the same; itself where there is nothing of that kind."""
    if len(graph.ops) > MOST_OPS or len(graph.inputs) != 1 or len(graph.outputs) != 1:
        return graph
    if sum(prod(held.shape) for held in graph.state) > MOST_HELD:
        return graph
    for before, after in _LATEST:
        if _alike(before, graph):
            return graph if after is before else replace(after, training=graph.training)
    after = _as_layers(graph)
    _LATEST.append((graph, after))
    return after


_LATEST: deque[tuple[Graph, Graph]] = deque(maxlen=4)  # in training most blocks do what they do in evaluation


def _alike(one: Graph, other: Graph) -> bool:
    if [len(one.ops), len(one.values)] != [len(other.ops), len(other.values)]:
        return False
    names = ([(held.name, held.value) for held in graph.state] for graph in (one, other))
    return next(names) == next(names) and replace(one, training=other.training) == other


def _as_layers(graph: Graph) -> Graph:
    try:
        if all(layer.kind in KNOWN - {"parameter"} for layer in layers_of(graph)):
            return graph
        other = _Rewriting(with_norms(graph)).result()
        return other if other is not graph and _same(graph, other) else graph
    except (ReplayError, ValueError, KeyError, IndexError, TypeError, RuntimeError, AttributeError):
        return graph  # a stranger's graph


# ------------------------------------------------------------------------------------------------- its numbers


def _random(graph: Graph, seed: int) -> tuple[list[Tensor], dict[str, Tensor]]:
    dice = torch.Generator().manual_seed(seed)

    def normal(shape: Sequence[int], dtype: str) -> Tensor:
        given = torch.randn(tuple(shape), generator=dice, dtype=torch.float64)
        return given if dtype.startswith("float") else torch.zeros(tuple(shape), dtype=getattr(torch, dtype))

    inputs = [normal(graph.values[each].shape, graph.values[each].dtype) for each in graph.inputs]
    state = {
        held.name: normal(held.shape, held.dtype).abs().add(0.5) if held.kind == "buffer" and
        held.dtype.startswith("float") else normal(held.shape, held.dtype)
        for held in graph.state
        if held.value is not None
    }  # fmt: skip
    return inputs, state


def idle_numbers(graph: Graph) -> dict[str, tuple[int, int]] | None:
    """How many of the numbers of a parameter change nothing in what a graph gives, and of how many, by its name; None
    where it cannot be told. Activations are left out: what they hide with some values is not idle."""
    ops = tuple(
        Op("alias", "alias.default", (("self", Ref(value)),), op.outputs)
        if op.name in HIDING and len(op.outputs) == 1 and isinstance(value := _first(op), int)
        else op
        for op in graph.ops
    )
    open_graph = replace(graph, ops=ops)
    trained = [held for held in graph.parameters if held.value is not None and held.requires_grad]
    moved = {held.name: torch.zeros(held.shape, dtype=torch.bool) for held in trained}
    try:
        for seed in (11, 12, 13):
            inputs, state = _random(graph, seed)
            for name in moved:
                state[name].requires_grad_()
            with torch.enable_grad():
                result = replay(open_graph, inputs, state).outputs[0]
                cotangent = torch.randn(result.shape, generator=torch.Generator().manual_seed(seed)).double()
                found = torch.autograd.grad(
                    result, [state[name] for name in moved], cotangent, allow_unused=True
                )
            for name, gradient in zip(moved, found, strict=True):
                if gradient is not None:
                    moved[name] |= gradient != 0
    except (ReplayError, ValueError, RuntimeError, IndexError, KeyError):
        return None
    return {
        name: (int((~value).sum()), value.numel()) for name, value in moved.items() if not bool(value.all())
    }


# What may give the same for other numbers, and is taken for the number itself where that is asked.
HIDING = frozenset(
    """
    relu relu6 sigmoid tanh silu gelu elu selu leaky_relu hardswish hardsigmoid mish softplus clamp clamp_min
    clamp_max hardtanh threshold softmax log_softmax
    """.split()
)


def _first(op: Op) -> int | None:
    given = op.setting("self")
    return given.value if isinstance(given, Ref) else None


def _same(one: Graph, other: Graph) -> bool:
    """Whether two recordings give the same on random numbers, with the same gradients and the same statistics."""
    found = []
    for graph in (one, other):
        inputs, state = _random(one, 1)
        given = [x.requires_grad_(x.is_floating_point()) for x in inputs]
        trained = [held.name for held in one.parameters if held.value is not None and held.requires_grad]
        for name in trained:
            state[name].requires_grad_()
        with torch.enable_grad():
            again = replay(graph, [x * 1 for x in given], state)
            result = again.outputs[0]
            wanted = [x for x in (*given, *(state[name] for name in trained)) if x.requires_grad]
            cotangent = torch.randn(
                result.shape, generator=torch.Generator().manual_seed(2), dtype=result.dtype
            )
            gradients: Sequence[Tensor | None] = ()
            if result.requires_grad:
                gradients = torch.autograd.grad(result, wanted, cotangent, allow_unused=True)
        buffers = [again.state[held.name] for held in one.buffers if held.name in again.state]
        found.append([result, *gradients, *buffers])
    # A gradient that is zero but for rounding, as that of a bias before a norm, is compared with the others.
    largest = max(float(each.detach().abs().max()) for each in found[0] if each is not None and each.numel())
    return len(found[0]) == len(found[1]) and all(
        _close(a, b, 1e-6 * largest) for a, b in zip(*found, strict=True)
    )


def _close(one: Tensor | None, other: Tensor | None, least: float = 1e-12) -> bool:
    if one is None or other is None:
        given = one if other is None else other
        return given is None or not bool(given.any())
    if one.shape != other.shape:
        return False
    one, other = one.detach().double(), other.detach().double()
    return bool((one - other).abs().max() <= 1e-8 * one.abs().max().clamp(min=least)) if one.numel() else True


# ---------------------------------------------------------------------------------------------------- the rewriting


@dataclass(frozen=True)
class _Seen:
    """A value as a view of an image: the image, the order in which its axes stand, and its shape then."""

    image: int
    order: tuple[int, ...]


@dataclass(frozen=True)
class _Found:
    """A layer that a stretch is: the operations of it, and the image that it gives."""

    ops: tuple[Op, ...]
    image: int
    order: tuple[int, ...]


class _Rewriting:
    def __init__(self, graph: Graph) -> None:
        self.graph, self.data = graph, graph.data()
        self.values: list[Value] = list(graph.values)
        self.storage = max((value.storage for value in graph.values), default=0)
        self.constants: list[Constant] = list(graph.constants)
        self.ops: list[Op] = []
        self.seen: dict[int, _Seen] = {}
        # Of what is linear in one value, that value, and whether a parameter is in it.
        self.linear: dict[int, tuple[int, bool]] = {value: (value, False) for value in graph.inputs}
        self.kept = {each.value for each in graph.state if each.value is not None}
        for op in graph.ops:
            if self.data.isdisjoint(op.reads) and not self.kept.isdisjoint(op.reads):
                self.kept.update(op.outputs)
        self.used: set[int] = set()  # places of numbers that layers have taken
        self.stretches: dict[tuple[int, int], Graph] = {}
        self.refused: set[int] = set()  # values that no layer gives
        self.each: dict[int, int] = {}  # of what is done to each number of a value by itself, that value
        self.changed = False

    def result(self) -> Graph:
        graph = self.graph
        for op in graph.ops:
            if self.data.isdisjoint(op.reads):
                self.ops.append(op)
                continue
            self._each_number(op)
            if self._goes_on(op):
                self.ops.append(op)
                self._close_where_read_twice(op)
                continue
            for value in dict.fromkeys(op.reads):
                if value in self.data:
                    self._close(value)
            self.ops.append(op)
            for value in op.outputs:
                self.linear[value] = (value, False)
            self._follow(op)
        for value in graph.outputs:
            self._function(value)
            self._close(value)
        if not self.changed:
            return graph
        return _with_ops(self.graph, self.ops, self.values, self.constants)

    # ------------------------------------------------------------------------- what is done to each number

    def _each_number(self, op: Op) -> None:
        """Follows what is done to each number by itself, and ends it where something else is done."""
        read = [value for value in dict.fromkeys(op.reads) if value in self.data]
        bases = {self.each.get(value, value) for value in read}
        if op.name in EACH_NUMBER and len(bases) == 1 == len(op.outputs):
            (base,) = bases
            shapes = {self.graph.values[value].shape for value in (*read, base, *op.outputs)}
            others = [value for value in op.reads if value not in self.data]
            if len(shapes) == 1 and all(
                value not in self.kept and self.graph.values[value].numel <= 1 for value in others
            ):
                self.each[op.outputs[0]] = base
                return
        for value in read:
            self._function(value)

    def _function(self, value: int) -> None:
        """Puts an activation in the place of what is done to each number, where it is one."""
        base = self.each.pop(value, value)
        if base == value or value in self.refused:
            return
        names = [op.name for op in self.between(base, value).ops]
        if len(names) < 2 or set(names) <= {"add", "sub", "mul", "div", "neg"}:
            return
        try:
            numbers = torch.linspace(-9.7, 9.9, POINTS, dtype=torch.float64)
            shape = self.graph.values[base].shape
            times = max(1, -(-POINTS // max(1, prod(shape))))
            given = numbers.repeat(-(-times * prod(shape) // POINTS))[: times * prod(shape)].reshape(
                times, *shape
            )
            with torch.no_grad():
                result = torch.stack([self._run(base, value, each, {}) for each in given])
            overload, arguments = _activation(given, result)
        except (ReplayError, ValueError, RuntimeError):
            return
        seen = self.seen.get(base)
        if seen is None:
            name = overload.partition(".")[0]
            self.ops.append(Op(name, overload, (("self", Ref(base)), *arguments.items()), (value,)))
        else:
            shape = self.values[seen.image].shape
            self.ops.append(self._op(overload, shape, value, self=Ref(seen.image), **arguments))
            (image,) = self.ops[-1].outputs
            self.ops += self._back(image, seen.order, value)
            self.seen[value] = _Seen(image, seen.order)
        self.linear[value] = (value, False)
        self.changed = True

    # ----------------------------------------------------------------------------------------- what is linear

    def _goes_on(self, op: Op) -> bool:
        """Whether what an operation gives is linear in what its operands are linear in."""
        read = [value for value in dict.fromkeys(op.reads) if value in self.data]
        if op.random or any(value not in self.linear for value in read) or op.name not in LINEAR | PRODUCTS:
            return False
        dtypes = {self.graph.values[value].dtype for value in (*read, *op.outputs)}
        if len(dtypes) > 1 or not next(iter(dtypes)).startswith("float"):
            return False
        sources = {self.linear[value] for value in read}
        if op.name in LINEAR:
            if len(sources) > 1 or (op.name == "index" and len(read) > 1):
                return False
            (found,) = sources
        else:
            others = [value for value in op.reads if value not in self.data]
            if len(read) != 1 or op.reads.count(read[0]) > 1 or not self._in_front(op, read[0]):
                return False
            source, weighted = self.linear[read[0]]
            held = any(value in self.kept for value in others)
            if held and not weighted:
                self._pool_before(read[0])
                source, weighted = self.linear[read[0]]
            if held and weighted:
                self._close(read[0])
                source, weighted = self.linear[read[0]]
            if op.name == "convolution" and self._plain(read[0], source):
                return False  # a layer by itself
            if op.name in ("mm", "addmm") and self._plain(read[0], source) and self._flat(source, read[0]):
                return False
            found = source, weighted or held
        for value in op.outputs:
            self.linear[value] = found
        return True

    def _pool_before(self, value: int) -> None:
        """Windows may be added up before they are multiplied by weights: then that is a layer of its own."""
        source, moved = self.linear[value][0], value
        while moved != source:
            op = self.graph.maker[moved]
            if op.name in SUMMING and len(self.graph.values[moved].shape) == 4:
                self._close(moved)
                if self.linear[moved] == (moved, False):
                    # What was done to it since is done to the layer.
                    for other in self.between(moved, value).ops:
                        self.linear.update(dict.fromkeys(other.outputs, (moved, False)))
                return
            if op.name not in LINEAR or sum(each in self.data for each in op.reads) != 1:
                return
            moved = next(each for each in op.reads if each in self.data)

    @staticmethod
    def _in_front(op: Op, value: int) -> bool:
        """Whether an operation is linear in the tensor at this place."""
        places = {"div": ("self",), "convolution": ("input",), "addmm": ("mat1", "mat2"), "baddbmm": (),
                  "addbmm": ()}  # fmt: skip
        if op.name in ("baddbmm", "addbmm"):
            return op.setting("self") != Ref(value)
        names = places.get(op.name)
        return names is None or any(op.setting(name) == Ref(value) for name in names)

    def _plain(self, value: int, source: int) -> bool:
        """Whether a value is its source, with sides or in another form at most."""
        while value != source:
            op = self.graph.maker.get(value)
            if (
                op is None
                or op.name not in (*VIEWS, "constant_pad_nd")
                or op.name in ("permute", "transpose", "t")
            ):
                return False
            value = op.reads[0]
        seen = self.seen.get(source)
        return seen is None or seen.order == tuple(range(len(seen.order)))

    def _flat(self, source: int, value: int) -> bool:
        shape = self.graph.values[source].shape
        return self.graph.values[value].shape == (shape[0], prod(shape[1:]))

    def _close_where_read_twice(self, op: Op) -> None:
        """What several read is a layer's result, if anything is."""
        for value in op.outputs:
            if self.linear[value][1] and len(self.graph.readers.get(value, ())) > 1:
                self._close(value)

    def _close(self, value: int) -> None:
        """Puts a layer in the place of what leads to a value, where it is one; what follows reads that."""
        source, weighted = self.linear.get(value, (value, False))
        if source == value or value in self.refused:
            return
        for start in self._starts_of(source, value) if weighted else (source,):
            try:
                found = self._layer(start, value) if weighted else self._moved_or_pooled(source, value)
            except (ReplayError, ValueError, RuntimeError, IndexError):
                continue
            self.ops += found.ops
            self.changed |= bool(found.ops)
            self.linear[value] = (value, False)
            self.seen[value] = _Seen(found.image, found.order)
            return
        self.refused.add(value)

    def _starts_of(self, source: int, value: int) -> Iterator[int]:
        """Where the stretch of a layer may begin: at what its numbers are linear in, or at an image on all ways from
        there, such as one that was pooled."""
        yield source
        ops = self.between(source, value).ops
        shape, tried = self.graph.values[source].shape, 0
        for place, op in reversed(list(enumerate(ops))):
            for start in op.outputs:
                if self.linear.get(start) != (source, False) or op.name in VIEWS or tried >= MOST_STARTS:
                    continue
                form = self.graph.values[start].shape
                if len(form) not in (2, 3, 4) or form[0] != shape[0]:
                    continue
                later = {each for other in ops[place + 1 :] for each in other.outputs}
                if all(
                    each == start or each in later or each not in self.data
                    for other in self.between(start, value).ops
                    for each in other.reads
                ):
                    tried += 1
                    yield start

    def between(self, source: int, value: int) -> Graph:
        """What leads from one value to another, as a recording of its own."""
        if (source, value) not in self.stretches:
            graph, needed, ops = self.graph, {value}, []
            for op in reversed(graph.ops):
                if source not in op.outputs and not needed.isdisjoint(op.outputs):
                    needed.update(each for each in op.reads if each != source)
                    ops.append(op)
            self.stretches[source, value] = replace(
                graph,
                inputs=(source,),
                ops=tuple(ops[::-1]),
                state=tuple(each for each in graph.state if each.value in needed),
                constants=tuple(each for each in graph.constants if each.value in needed),
                output=Ref(value),
            )
        return self.stretches[source, value]

    def _follow(self, op: Op) -> None:
        """Does to images what is done to each number of views of them."""
        read = [value for value in dict.fromkeys(op.reads) if value in self.data]
        shape = self.graph.values[op.outputs[0]].shape if op.outputs else ()
        if op.name not in EACH_NUMBER or len(op.outputs) != 1 or not read:
            return
        seen = [self.seen.get(value) for value in read]
        first = seen[0]
        if first is None or any(each is None or each.order != first.order for each in seen):
            return
        if any(self.graph.values[value].shape != shape for value in read):
            return
        if any(self.graph.values[value].numel > 1 for value in op.reads if value not in self.data):
            return
        images = {value: each.image for value, each in zip(read, seen, strict=True) if each is not None}
        whole = self.values[first.image].shape
        if any(self.values[each].shape != whole for each in images.values()):
            return
        (out,) = op.outputs
        image = self._value(whole, out)
        arguments = tuple((name, _put_in(each, images)) for name, each in op.arguments)
        self.ops.append(
            replace(op, overload=_out_of_place(op.overload), arguments=arguments, outputs=(image,), writes=())
        )
        self.ops += self._back(image, first.order, out)
        self.seen[out] = _Seen(image, first.order)

    # ----------------------------------------------------------------------------------------- new operations

    def _value(self, shape: Sequence[int], like: int, dtype: str | None = None) -> int:
        self.storage += 1
        before = self.values[like]
        self.values.append(
            Value(tuple(shape), dtype or before.dtype, self.storage, before.requires_grad and dtype is None)
        )
        return len(self.values) - 1

    def _op(self, overload: str, shape: Sequence[int], like: int, /, **arguments: Argument) -> Op:
        name = overload.partition(".")[0]
        return Op(name, overload, tuple(arguments.items()), (self._value(shape, like),))

    def _back(self, image: int, order: tuple[int, ...], value: int) -> Iterator[Op]:
        """The operations by which a value of the graph is seen as the view of an image that it is."""
        shape, here = self.values[image].shape, image
        if order != tuple(range(len(order))):
            shape = tuple(shape[each] for each in order)
            moved = self._op("permute.default", shape, value, self=Ref(here), dims=order)
            yield moved
            (here,) = moved.outputs
            moved = self._op(
                "clone.default", shape, value, self=Ref(here), memory_format="torch.contiguous_format"
            )
            yield moved
            (here,) = moved.outputs
        size = self.graph.values[value].shape
        yield Op("view", "view.default", (("self", Ref(here)), ("size", size)), (value,))

    def _taken(self, places: Tensor, value: int) -> tuple[list[Op], Ref]:
        """The operations that take numbers out of the parameters; places count through all of these."""
        turned = [axis for axis in range(2, places.dim()) if _backwards(places, axis)]
        if turned:
            ops, kept = self._taken(places.flip(turned), value)
            ops.append(self._op("flip.default", tuple(places.shape), value, self=kept, dims=tuple(turned)))
            return ops, Ref(ops[-1].outputs[0])
        flat = places.flatten()
        starts, size = self._starts(), tuple(places.shape)
        held = starts.get(int(flat[0]))
        if (
            held is not None and prod(held.shape) == len(flat) and bool((flat.diff() == 1).all())
        ):  # as it is kept
            if held.shape == size:
                return [], Ref(held.value or 0)
            seen = self._op("view.default", size, value, self=Ref(held.value or 0), size=size)
            return [seen], Ref(seen.outputs[0])
        first = [place for place in starts if place <= int(flat.min())][-1]
        named = [place for place in starts if first <= place <= int(flat.max())]
        ops, pieces, total = [], [], 0
        for place in named:
            held = starts[place]
            whole = self._op(
                "view.default", (prod(held.shape),), value, self=Ref(held.value or 0), size=(-1,)
            )
            ops.append(whole)
            pieces.append(Ref(whole.outputs[0]))
            total += prod(held.shape)
        (source, *more) = pieces
        if more:
            ops.append(self._op("cat.default", (total,), value, tensors=tuple(pieces)))
            source = Ref(ops[-1].outputs[0])
        index = self._value((len(flat),), value, "int64")
        self.constants.append(Constant(index, tuple((flat - first).tolist())))
        ops.append(
            self._op("index_select.default", (len(flat),), value, self=source, dim=0, index=Ref(index))
        )
        ops.append(self._op("view.default", size, value, self=Ref(ops[-1].outputs[0]), size=size))
        return ops, Ref(ops[-1].outputs[0])

    def _starts(self) -> dict[int, Held]:
        found, start = {}, 0
        for held in self.graph.state:
            if held.value is not None and held.kind == "parameter" and held.dtype.startswith("float"):
                found[start] = held
                start += prod(held.shape)
        return found

    # ------------------------------------------------------------------------------------------------ layers

    def _moved_or_pooled(self, source: int, value: int) -> _Found:
        try:
            return self._moved(source, value)
        except (ReplayError, NotALayer):
            return _Windows(self, source, value).layer()

    def _moved(self, source: int, value: int) -> _Found:
        """A value that is an image, or a view of one, with its axes in another order."""
        seen = self.seen.get(source)
        image = source if seen is None else seen.image
        shape = self.values[image].shape
        after = self.graph.values[value].shape
        if prod(after) != prod(shape) or len(shape) != 4:
            raise NotALayer
        marks = torch.arange(prod(shape), dtype=torch.float64).reshape(shape)
        given = marks if seen is None else marks.permute(seen.order).reshape(self.graph.values[source].shape)
        with torch.no_grad():
            found = self._run(source, value, given, {})
        for order in permutations(range(4)):
            if torch.equal(marks.permute(order).flatten(), found.flatten()):
                ops = () if seen is None else tuple(self._back(image, order, value))
                return _Found(ops, image, order)
        raise NotALayer

    def _run(self, source: int, value: int, given: Tensor, state: dict[str, Tensor]) -> Tensor:
        alone = self.between(source, value)
        whole = {
            each.name: state.get(each.name, torch.zeros(each.shape, dtype=torch.float64))
            for each in alone.state
        }
        return replay(alone, [given.contiguous()], whole).outputs[0]

    def _layer(self, source: int, value: int) -> _Found:
        graph = self.graph
        if graph.grad and graph.values[source].requires_grad and not graph.values[value].requires_grad:
            raise NotALayer
        return _Stretch(self, source, value).layer()


def _activation(given: Tensor, result: Tensor) -> tuple[str, dict[str, Argument]]:
    """The activation that gives these numbers for those, and its settings."""
    low, high = float(result.min()), float(result.max())
    left = given.argmin()
    slope = float(f"{float(result.flatten()[left] / given.flatten()[left]):.6g}")
    alpha = float(f"{-low / (1 - float(given.min().exp())):.6g}")
    found: list[tuple[str, dict[str, Argument], Tensor]] = [
        ("relu.default", {}, F.relu(given)),
        ("sigmoid.default", {}, torch.sigmoid(given)),
        ("tanh.default", {}, torch.tanh(given)),
        ("silu.default", {}, F.silu(given)),
        ("hardtanh.default", {"min_val": low, "max_val": high}, given.clamp(low, high)),
        ("leaky_relu.default", {"negative_slope": slope}, F.leaky_relu(given, slope)),
        ("hardswish.default", {}, F.hardswish(given)),
        ("hardsigmoid.default", {}, F.hardsigmoid(given)),
        ("gelu.default", {}, F.gelu(given)),
        ("gelu.default", {"approximate": "tanh"}, F.gelu(given, approximate="tanh")),
        ("elu.default", {"alpha": alpha}, F.elu(given, alpha)),
        ("softplus.default", {}, F.softplus(given)),
        ("mish.default", {}, F.mish(given)),
        ("abs.default", {}, given.abs()),
    ]
    for overload, arguments, right in found:
        if bool((result - right).abs().max() <= 1e-9) and low < high:
            return overload, arguments
    raise NotALayer


def _backwards(places: Tensor, axis: int) -> bool:
    """Whether a kernel runs backwards along an axis of the image."""
    return places.shape[axis] > 1 and bool((places.diff(dim=axis) < 0).all())


def _with_ops(
    graph: Graph, ops: Sequence[Op], values: Sequence[Value], constants: Sequence[Constant]
) -> Graph:
    """A graph with other operations, without those that nobody reads any more."""
    needed, kept = set(graph.outputs), []
    lasting = {values[held.value].storage for held in graph.state if held.value is not None}
    for op in reversed(ops):
        lasts = any(values[value].storage in lasting for value in op.writes)
        if lasts or not needed.isdisjoint(op.outputs):
            needed.difference_update(op.outputs)  # what made them before is not read
            needed.update(op.reads)
            kept.append(op)
    used = {value for op in kept for value in op.reads} | needed
    state = tuple(
        held if held.value is None or held.value in used else replace(held, value=None)
        for held in graph.state
    )
    return replace(
        graph,
        values=tuple(values),
        ops=tuple(kept[::-1]),
        state=state,
        constants=tuple(each for each in constants if each.value in used),
        saved=(),
    )


# ---------------------------------------------------------------------------------------------------------- norms

ARITHMETIC = VIEWS | frozenset(
    """
    add sub rsub mul div addcmul addcdiv neg mean sum var var_mean std std_mean rsqrt sqrt pow square reciprocal
    to_copy repeat linalg_vector_norm
    """.split()
)


def with_norms(graph: Graph) -> Graph:
    """The recording with a batch norm's operation in the place of each that is written by hand, told by what it does
    to random numbers: it multiplies each channel by one number and adds another one."""
    found = {value: source for value, source in _sources(graph)}
    runs: list[_Run] = []
    for value, source in found.items():
        if not runs:
            runs = [_Run.of(graph, seed) for seed in (6, 7)]
        norms = [_norm_in(graph, run, source, value) for run in runs]
        if norms[0] is not None and norms[1] is not None and norms[0].alike(norms[1]):
            graph = _with_norm(graph, norms[0], source, value)
    return graph


def _sources(graph: Graph) -> Iterator[tuple[int, int]]:
    """Values that are made by arithmetic from one other value alone, of the same shape, and what that is."""
    data = graph.data()
    made: dict[int, frozenset[int]] = {}
    ready: dict[int, int] = {}
    for op in graph.ops:
        read = [value for value in op.reads if value in data]
        if not read:
            continue
        sources = frozenset().union(*(made.get(value, frozenset({value})) for value in read))
        plain = op.name in ARITHMETIC and not op.random and len(sources) == 1
        for value in op.outputs:
            if plain:
                made[value] = sources
        if not plain:
            ready.update({value: next(iter(made[value])) for value in read if value in made})
    ready.update({value: next(iter(made[value])) for value in graph.outputs if value in made})
    for value, source in ready.items():
        shape = graph.values[value].shape
        if shape == graph.values[source].shape and len(shape) in (2, 4) and _counts(graph, source, value):
            yield value, source


def _counts(graph: Graph, source: int, value: int) -> bool:
    """Whether the channels have numbers of their own, which are kept."""
    channels = graph.values[value].shape[1]
    return any(prod(held.shape) == channels and held.value is not None for held in graph.state)


@dataclass(frozen=True)
class _Run:
    before: dict[str, Tensor]
    after: dict[str, Tensor]
    values: dict[int, Tensor]

    @staticmethod
    def of(graph: Graph, seed: int) -> _Run:
        inputs, state = _random(graph, seed)
        before = {name: value.clone() for name, value in state.items()}
        with torch.no_grad():
            again = replay(graph, inputs, state)
        return _Run(before, again.state, again.values)


@dataclass(frozen=True)
class _Norm:
    """A batch norm: by which names it keeps its numbers, and its settings."""

    names: tuple[str | None, str | None, str | None, str | None]  # scale, shift, mean, variance
    batch: bool  # whether it normalises with the statistics of the batch
    eps: float
    momentum: float

    def alike(self, other: _Norm) -> bool:
        return (
            self.names == other.names
            and self.batch == other.batch
            and isclose(self.eps, other.eps, rel_tol=1e-3, abs_tol=1e-11)
            and isclose(self.momentum, other.momentum, rel_tol=1e-6)
        )


def _norm_in(graph: Graph, run: _Run, source: int, value: int) -> _Norm | None:
    x, y = (run.values[each].double().movedim(1, 0).flatten(1) for each in (source, value))
    count = x.shape[1]
    if count < 3:
        return None
    mean, variance = x.mean(1), x.var(1, unbiased=False)
    scale = ((x - mean[:, None]) * (y - y.mean(1)[:, None])).mean(1) / variance
    shift = y.mean(1) - scale * mean
    if not _close(y, scale[:, None] * x + shift[:, None]) or not bool((scale != 0).all()):
        return None
    held = {
        each.name: run.before[each.name].double().flatten()
        for each in graph.state
        if each.value is not None and prod(each.shape) == len(mean) and each.dtype.startswith("float")
    }
    trained = [each.name for each in graph.parameters if each.name in held]
    kept = [each.name for each in graph.buffers if each.name in held]
    pairs = [(None, None), *permutations(kept, 2)]
    for gain, (first, second) in ((gain, pair) for gain in (*trained, None) for pair in pairs):
        middle = mean if first is None else held[first]
        spread = variance if second is None else held[second]
        factor = torch.ones_like(mean) if gain is None else held[gain]
        added = (factor / scale) ** 2 - spread
        eps = float(added.mean())
        if not bool((factor * scale > 0).all()) or not 0 <= eps + 1e-10 < 1:
            continue
        if float((added - eps).abs().max()) > 1e-9:
            continue
        rest = shift + scale * middle
        offset = next((name for name in trained if name != gain and torch.allclose(held[name], rest)), None)
        if offset is None and not torch.allclose(rest, torch.zeros_like(rest), atol=1e-9):
            continue
        eps = float(f"{max(eps, 0.0):.3g}")
        if first is not None:
            return _Norm((gain, offset, first, second), False, eps, 0.1)
        updated = _updated(run, kept, mean, variance * count / (count - 1))
        if updated is None:
            return None
        return _Norm((gain, offset, updated[0], updated[1]), True, eps, updated[2])
    return None


def _updated(
    run: _Run, kept: Sequence[str], mean: Tensor, variance: Tensor
) -> tuple[str | None, str | None, float] | None:
    """Which statistics take up those of the batch, and which share of them; none where none change."""
    found: list[tuple[str, float]] = []
    changed = [name for name in kept if not torch.equal(run.before[name], run.after[name])]
    for new in (mean, variance):
        for name in changed:
            before, after = (each[name].double().flatten() for each in (run.before, run.after))
            shares = (after - before) / (new - before)
            share = float(shares.mean())
            if 0 < share <= 1 and torch.allclose(shares, torch.full_like(shares, share), rtol=1e-6):
                found.append((name, float(f"{share:.6g}")))
                break
    if not changed:
        return None, None, 0.1
    if len(found) != 2 or found[0][1] != found[1][1]:
        return None
    return found[0][0], found[1][0], found[0][1]


def _with_norm(graph: Graph, norm: _Norm, source: int, value: int) -> Graph:
    values, shape = list(graph.values), graph.values[value].shape
    held = {each.name: each for each in graph.state}
    updating = {
        values[held[name].value or 0].storage for name in norm.names[2:] if name is not None and norm.batch
    }
    storage = max(each.storage for each in values)

    def new(sizes: Sequence[int]) -> int:
        nonlocal storage
        storage += 1
        values.append(Value(tuple(sizes), values[value].dtype, storage, False))
        return len(values) - 1

    before: list[Op] = []

    def vector(name: str | None) -> Ref | None:
        if name is None:
            return None
        each = held[name]
        if len(each.shape) == 1 or name in norm.names[2:]:
            return Ref(each.value or 0)
        flat = new((prod(each.shape),))
        values[flat] = replace(values[flat], requires_grad=each.requires_grad)
        before.append(
            Op(
                "view",
                "view.default",
                (("self", Ref(each.value or 0)), ("size", (prod(each.shape),))),
                (flat,),
            )
        )
        return Ref(flat)

    kept_flat = all(len(held[name].shape) == 1 for name in norm.names[2:] if name is not None)
    if not kept_flat:
        return graph
    weight, bias, mean, variance = map(vector, norm.names)
    saved = shape[1:2] if norm.batch else (0,)
    op = Op(
        "batch_norm",
        "native_batch_norm.default",
        (
            ("input", Ref(source)), ("weight", weight), ("bias", bias), ("running_mean", mean),
            ("running_var", variance), ("training", norm.batch), ("momentum", norm.momentum), ("eps", norm.eps),
        ),
        (value, new(saved), new(saved)),
        tuple(each.value for each in (mean, variance) if each is not None and norm.batch),
    )  # fmt: skip
    ops: list[Op] = []
    for each in graph.ops:
        if any(values[written].storage in updating for written in each.writes):
            continue
        ops.append(each)
        if value in each.outputs:
            ops += [*before, op]
    other = _with_ops(graph, ops, values, graph.constants)
    return other if _same(graph, other) else graph


def _put_in(argument: Argument, images: dict[int, int]) -> Argument:
    if isinstance(argument, Ref):
        return Ref(images.get(argument.value, argument.value))
    if isinstance(argument, tuple):
        return tuple(_put_in(each, images) for each in argument)
    return argument


def _out_of_place(overload: str) -> str:
    name, _, rest = overload.partition(".")
    return f"{name.rstrip('_')}.{rest}" if not name.startswith("_") else overload


@dataclass(frozen=True)
class _Numbers:
    """Where numbers come from: their places among those of the parameters, and by how much each is multiplied."""

    places: Tensor
    factor: float


class _Stretch:
    """What leads from an image to a value with one layer's parameters in it."""

    def __init__(self, whole: _Rewriting, source: int, value: int) -> None:
        self.whole, self.graph, self.source, self.value = whole, whole.graph, source, value
        seen, shape = whole.seen.get(source), whole.graph.values[source].shape
        if seen is None and len(shape) == 3:  # an image of one row
            row = whole._op("unsqueeze.default", (*shape[:2], 1, shape[2]), source, self=Ref(source), dim=2)
            whole.ops.append(row)
            seen = whole.seen[source] = _Seen(row.outputs[0], (0, 1, 2, 3))
        self.image = source if seen is None else seen.image
        self.order = () if seen is None else seen.order
        self.shape = whole.values[self.image].shape
        if len(self.shape) not in (2, 4) or not prod(self.shape):
            raise NotALayer
        starts = whole._starts()
        self.total = 1 + max((start + prod(held.shape) for start, held in starts.items()), default=0)
        dice = torch.Generator().manual_seed(3)
        marks = torch.rand(self.total, generator=dice, dtype=torch.float64) + 0.5
        marks[torch.rand(self.total, generator=dice) < 0.5] *= -1
        counted = marks * (1 + torch.arange(1, self.total + 1, dtype=torch.float64) / (2 * self.total))
        self.marks = marks, counted

        def state(numbers: Tensor) -> dict[str, Tensor]:
            return {
                held.name: numbers[start : start + prod(held.shape)].reshape(held.shape)
                for start, held in starts.items()
            }

        self.states = state(marks), state(counted)
        ops = whole.between(source, value).ops
        if any(op.random for op in ops):
            raise NotALayer
        self.multiplied = any(op.name in MATRICES for op in ops)
        self.cost = sum(self.graph.values[each].numel for op in ops for each in op.outputs)
        self.ran: dict[int, tuple[Tensor, Tensor]] = {}  # images and what came of them, by the marks
        self._look()

    def _look(self) -> None:
        """Looks at one number of what comes out, and at what comes of an image of zeros: in whatever order the axes
        stand, a layer takes each number of a parameter once, or the same one everywhere."""
        nothing = torch.zeros(self.shape, dtype=torch.float64)
        with torch.no_grad():
            self.at_zero = tuple(self._run(nothing, state) for state in (0, 1))
        rows = []
        for state in (0, 1):
            image, result = self._forward(state)
            (row,) = torch.autograd.grad(result.flatten()[result.numel() // 2], image, retain_graph=True)
            rows.append(row[row != 0])
        found = self._numbers(*rows).places.unique() if len(rows[0]) == len(rows[1]) > 0 else ()
        if not len(found) or len(found) < len(rows[0]) and len(rows[0]) % len(found):
            raise NotALayer

    def _forward(self, state: int) -> tuple[Tensor, Tensor]:
        if state not in self.ran:
            image = torch.randn(self.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
            with torch.enable_grad():
                image.requires_grad_()
                self.ran[state] = image, self._run(image * 1, state)
        return self.ran[state]

    def _given(self, image: Tensor) -> Tensor:
        shape = self.graph.values[self.source].shape
        return image.permute(self.order).reshape(shape) if self.order else image.reshape(shape)

    def _run(self, image: Tensor, state: int) -> Tensor:
        return self.whole._run(self.source, self.value, self._given(image), self.states[state])

    def _views(self) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
        """The shapes of the image that the value may be a view of, with the orders of its axes."""
        after, images = self.graph.values[self.value].shape, self.shape[0]
        squeezed = tuple(size for size in after if size > 1)
        each, rest = divmod(prod(after), images)
        if rest:
            return
        if len(after) == 2 and after[0] == images:
            yield after, (0, 1)
        grids = dict.fromkeys([self.shape[2:] if len(self.shape) == 4 else (1, 1), *self._grids()])
        for order in ((0, 1, 2, 3), (0, 2, 3, 1), (1, 0, 2, 3), (0, 1, 3, 2), (0, 3, 2, 1)):
            for height, width in grids:
                channels, rest = divmod(each, height * width)
                shape = (images, channels, height, width)
                if rest or len(after) == 2 and after == (images, channels) or not channels:
                    continue
                if _merged(tuple(shape[axis] for axis in order), squeezed, channels):
                    yield shape, order

    def _grids(self) -> Iterator[tuple[int, int]]:
        for op in self.graph.ops:
            for value in op.outputs:
                shape = self.graph.values[value].shape
                if len(shape) == 4:
                    yield shape[2], shape[3]
                    yield shape[1], shape[2]

    def layer(self) -> _Found:
        for shape, order in self._views():
            try:
                return self._as(shape, order)
            except NotALayer:
                continue
        raise NotALayer

    def _as(self, shape: tuple[int, ...], order: tuple[int, ...]) -> _Found:
        back = tuple(order.index(axis) for axis in range(len(order)))

        def seen(value: Tensor) -> Tensor:
            return value.reshape([shape[axis] for axis in order]).permute(back)

        bias = self._bias(seen, shape)
        if len(shape) == 2:
            ops, image = self._linear(seen, shape, bias)
        elif len(self.shape) == 4:
            ops, image = self._convolution(seen, shape, bias)
        else:
            raise NotALayer
        ops += self.whole._back(image, order, self.value)
        return _Found(tuple(ops), image, order)

    # ---------------------------------------------------------------------------------------------- its numbers

    def _bias(self, seen: Seen, shape: tuple[int, ...]) -> _Numbers | None:
        found = [seen(each) for each in self.at_zero]
        rows = []
        for each in found:
            first = each.movedim(1, 0).reshape(shape[1], -1)
            if not torch.allclose(first, first[:, :1].expand_as(first), rtol=NEAR, atol=0):
                raise NotALayer
            rows.append(first[:, 0])
        return None if not rows[0].any() else self._numbers(*rows)

    def _numbers(self, plain: Tensor, counted: Tensor) -> _Numbers:
        """Where numbers come from that were found with each of the two kinds of marks."""
        if not bool((plain != 0).all()):
            raise NotALayer
        places = ((counted / plain - 1) * (2 * self.total)).round().long() - 1
        if bool((places < 0).any()) or bool((places >= self.total - 1).any()):
            raise NotALayer
        factors = plain / self.marks[0][places]
        factor = float(factors.flatten()[0])
        if not torch.allclose(factors, torch.full_like(factors, factor), rtol=NEAR, atol=0):
            raise NotALayer
        if not torch.allclose(counted, factor * self.marks[1][places], rtol=NEAR, atol=0):
            raise NotALayer
        return _Numbers(places, float(f"{factor:.10g}"))

    def _rows(self, seen: Seen, wanted: Sequence[tuple[int, ...]], state: int) -> list[Tensor]:
        """What each of some numbers of the output takes of the image: (channel, row, column) or (feature,)."""
        images = self.shape[0]
        passes = -(-len(wanted) // images)
        if passes > MOST_PASSES or passes * self.cost > MOST_READ:
            raise NotALayer
        rows: list[Tensor] = []
        with torch.enable_grad():
            image, result = self._forward(state)
            result = seen(result)
            for start in range(0, len(wanted), images):
                some = wanted[start : start + images]
                picked = torch.stack([result[(place, *each)] for place, each in enumerate(some)]).sum()
                (gradient,) = torch.autograd.grad(picked, image, retain_graph=True)
                rows += list(gradient[: len(some)])
        return rows

    def _all_rows(self, seen: Seen, outputs: int, at: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """What each output takes of the image, with either kind of marks."""
        wanted = [(output, *at) for output in range(outputs)]
        one, other = (torch.stack(self._rows(seen, wanted, state)) for state in (0, 1))
        return one, other

    def _take(self, places: Tensor) -> None:
        """Each number is taken once: a layer's weights are its own."""
        found = places.flatten().tolist()
        if len(set(found)) < len(found) or not self.whole.used.isdisjoint(found) or len(found) > LONGEST:
            raise NotALayer
        self.whole.used.update(found)

    # ---------------------------------------------------------------------------------------------------- layers

    def _expect(self, seen: Seen, right: Tensor) -> None:
        if not _close(seen(self._forward(0)[1]), right):
            raise NotALayer

    def _value_of(self, numbers: _Numbers | None) -> Tensor | None:
        return None if numbers is None else numbers.factor * self.marks[0][numbers.places]

    def _linear(self, seen: Seen, shape: tuple[int, ...], bias: _Numbers | None) -> tuple[list[Op], int]:
        rows = self._all_rows(seen, shape[1], ())
        pooled = len(self.shape) == 4 and prod(self.shape[2:]) > 1
        if pooled:
            first = [each[..., :1, :1] for each in rows]
            pooled = all(
                torch.allclose(each, one.expand_as(each), rtol=NEAR, atol=0)
                for each, one in zip(rows, first, strict=True)
            )
            rows = (first[0], first[1]) if pooled else rows
        one, other = (each.flatten(1) for each in rows)
        weight = self._numbers(one, other)
        image = self._forward(0)[0].detach()
        image = image.sum((2, 3)) if pooled else image.flatten(1)
        right = image @ (weight.factor * self.marks[0][weight.places]).T
        added = self._value_of(bias)
        self._expect(seen, right if added is None else right + added)
        self._take(weight.places if bias is None else torch.cat([weight.places.flatten(), bias.places]))
        whole, ops = self.whole, []
        here, factor, inside = self.image, weight.factor, prod(self.shape[1:])
        if pooled:
            inside = self.shape[1]
            mean = whole._op("mean.dim", (self.shape[0], inside), self.source, self=Ref(here), dim=(2, 3))
            ops.append(mean)
            (here,) = mean.outputs
            factor *= prod(self.shape[2:])
            if not isclose(factor, 1, rel_tol=NEAR):
                by = float(f"{factor:.10g}")
                ops.append(
                    whole._op("mul.Tensor", (self.shape[0], inside), self.source, self=Ref(here), other=by)
                )
                (here,) = ops[-1].outputs
            factor = 1.0
        elif len(self.shape) == 4:
            ops.append(
                whole._op("view.default", (self.shape[0], inside), self.source, self=Ref(here),
                          size=(self.shape[0], inside))
            )  # fmt: skip
            (here,) = ops[-1].outputs
        more, matrix = whole._taken(weight.places, self.value)
        turned = whole._op("t.default", (inside, shape[1]), self.value, self=matrix)
        ops += [*more, turned]
        matrix = Ref(turned.outputs[0])
        return self._with_bias(ops, shape, bias, factor, Ref(here), lambda read, ref: whole._op(
            "addmm.default", shape, self.value, self=ref, mat1=read, mat2=matrix
        ) if ref is not None else whole._op("mm.default", shape, self.value, self=read, mat2=matrix))  # fmt: skip

    def _with_bias(
        self,
        ops: list[Op],
        shape: tuple[int, ...],
        bias: _Numbers | None,
        factor: float,
        source: Ref,
        layer: Callable[[Ref, Ref | None], Op],
    ) -> tuple[list[Op], int]:
        """A layer with its bias inside, where both count as much; what both are multiplied by comes behind it."""
        whole = self.whole
        added: Ref | None = None
        before, after, inside = 1.0, factor, True
        if bias is not None:
            inside = isclose(factor, 1, rel_tol=NEAR) is isclose(bias.factor, 1, rel_tol=NEAR)
            inside |= not isclose(factor, 1, rel_tol=NEAR)
            before, after = (factor / bias.factor, bias.factor) if inside else (1.0, factor)
            more, added = whole._taken(bias.places, self.value)
            ops += more
        if not isclose(before, 1, rel_tol=NEAR):  # what comes in is multiplied, and the bias is not
            by = float(f"{before:.10g}")
            ops.append(
                whole._op("mul.Tensor", whole.values[source.value].shape, self.source, self=source, other=by)
            )
            source = Ref(ops[-1].outputs[0])
        ops.append(layer(source, added if inside else None))
        (here,) = ops[-1].outputs
        if not isclose(after, 1, rel_tol=NEAR):
            by = float(f"{after:.10g}")
            ops.append(whole._op("mul.Tensor", shape, self.value, self=Ref(here), other=by))
            (here,) = ops[-1].outputs
        if bias is not None and not inside:
            size = (1, shape[1], *(1 for _ in shape[2:]))
            ops.append(whole._op("view.default", size, self.value, self=added, size=size))
            if not isclose(bias.factor, 1, rel_tol=NEAR):
                factored = Ref(ops[-1].outputs[0])
                ops.append(whole._op("mul.Tensor", size, self.value, self=factored, other=bias.factor))
            ops.append(
                whole._op("add.Tensor", shape, self.value, self=Ref(here), other=Ref(ops[-1].outputs[0]))
            )
            (here,) = ops[-1].outputs
        return ops, here

    def _window(
        self, seen: Seen, shape: tuple[int, ...], axis: int, middle: tuple[int, int]
    ) -> tuple[int, int, int]:
        """Along an axis of the grid: the size of the window, its steps, and where it begins at the middle pixel."""
        count, here = shape[2 + axis], middle[axis]
        places = [place for place in (here - 1, here, here + 1) if 0 <= place < count]
        pixels = [(0, place, middle[1]) if axis == 0 else (0, middle[0], place) for place in places]
        spans = {}
        for place, row in zip(places, self._rows(seen, pixels, 0), strict=True):
            used = (row != 0).any(0).any(1 - axis).nonzero().flatten()
            if not len(used):
                raise NotALayer
            spans[place] = int(used[0]), int(used[-1])
        size = max(last - first + 1 for first, last in spans.values())
        step = spans[here][1] - spans[here - 1][1] if here else 1
        if step < 1:
            raise NotALayer
        return size, step, spans[here][1] - size + 1

    def _convolution(self, seen: Seen, shape: tuple[int, ...], bias: _Numbers | None) -> tuple[list[Op], int]:
        outside, grid = shape[1], self.shape[2:]
        middle = shape[2] // 2, shape[3] // 2
        sizes, steps, starts = zip(*(self._window(seen, shape, axis, middle) for axis in (0, 1)), strict=True)
        padding = tuple(step * here - start for step, here, start in zip(steps, middle, starts, strict=True))
        if min(padding) < 0 or any(start < 0 or start + size > side
                                   for start, size, side in zip(starts, sizes, grid, strict=True)):  # fmt: skip
            raise NotALayer
        cut = (..., slice(starts[0], starts[0] + sizes[0]), slice(starts[1], starts[1] + sizes[1]))
        first = self._numbers(*(each[each != 0] for each in self._all_rows(seen, 1, middle)))
        if prod(sizes) > 1 and len(first.places.unique()) not in (len(first.places), 1):
            raise NotALayer  # mostly, and then nobody need look at all of it
        one, other = (each[cut] for each in self._all_rows(seen, outside, middle))
        apart = [1, 1]
        for axis in (0, 1):
            used = (one != 0).any(0).any(0).any(1 - axis).nonzero().flatten().tolist()
            gaps = {b - a for a, b in zip(used, used[1:], strict=False)} or {1}
            if len(gaps) > 1:
                raise NotALayer
            (apart[axis],) = gaps
        one, other = (each[..., :: apart[0], :: apart[1]] for each in (one, other))
        groups, one, other = self._groups(one, other)
        kernel = tuple(one.shape[2:])
        if prod(kernel) == 1 and groups == shape[1] == self.shape[1] and not self.multiplied:
            raise NotALayer  # a number for each channel: no more than that
        weight = self._numbers(one, other)
        padded = F.pad(
            self._forward(0)[0].detach(),
            (padding[1], self._behind(1, shape, sizes, steps, padding), padding[0],
             self._behind(0, shape, sizes, steps, padding)),
        )  # fmt: skip
        right = F.conv2d(
            padded,
            weight.factor * self.marks[0][weight.places],
            self._value_of(bias),
            steps,
            0,
            tuple(apart),
            groups,
        )[..., : shape[2], : shape[3]]
        self._expect(seen, right)
        if prod(kernel) > 1 and bool((weight.places == weight.places[..., :1, :1]).all()):
            return self._sums(shape, bias, weight, kernel, steps, padding, apart, groups)
        single = (
            weight.places[:1] if outside > 1 and bool((weight.places == weight.places[:1]).all()) else None
        )
        taken = weight.places if single is None else single
        self._take(taken if bias is None else torch.cat([taken.flatten(), bias.places]))
        whole, ops = self.whole, []
        here = Ref(self.image)
        behind = tuple(self._behind(axis, shape, sizes, steps, padding) for axis in (0, 1))
        usual = all(
            (side + 2 * pad - size) // step + 1 == count
            for side, pad, size, step, count in zip(grid, padding, sizes, steps, shape[2:], strict=True)
        )
        if not usual:
            if any((side + pad + more - size) // step + 1 != count for side, pad, more, size, step, count in zip(
                grid, padding, behind, sizes, steps, shape[2:], strict=True
            )):  # fmt: skip
                raise NotALayer
            wide = (*self.shape[:2], grid[0] + padding[0] + behind[0], grid[1] + padding[1] + behind[1])
            sides = (padding[1], behind[1], padding[0], behind[0])
            ops.append(
                whole._op("constant_pad_nd.default", wide, self.source, self=here, pad=sides, value=0.0)
            )
            here = Ref(ops[-1].outputs[0])
        more, kept = whole._taken(taken, self.value)
        ops += more
        if single is not None:  # one filter for all outputs
            many = (outside, *(1 for _ in single.shape[1:]))
            ops.append(
                whole._op("repeat.default", tuple(weight.places.shape), self.value, self=kept, repeats=many)
            )
            kept = Ref(ops[-1].outputs[0])
        return self._with_bias(ops, shape, bias, weight.factor, here, lambda read, ref: whole._op(
            "convolution.default", shape, self.value, input=read, weight=kept, bias=ref, stride=steps,
            padding=padding if usual else (0, 0), dilation=tuple(apart), transposed=False, output_padding=(0, 0),
            groups=groups,
        ))  # fmt: skip

    def _behind(
        self,
        axis: int,
        shape: tuple[int, ...],
        sizes: Sequence[int],
        steps: Sequence[int],
        padding: Sequence[int],
    ) -> int:
        """Zeros behind the image that the last window reaches."""
        return max(
            0, steps[axis] * (shape[2 + axis] - 1) + sizes[axis] - padding[axis] - self.shape[2 + axis]
        )

    @staticmethod
    def _groups(one: Tensor, other: Tensor) -> tuple[int, Tensor, Tensor]:
        """In how many groups channels are read, and the kernels of each output without the others."""
        used = (one != 0).flatten(2).any(2)
        width = int(used[0].sum())
        outside, inside = used.shape
        if not width or inside % width or outside % (inside // width):
            raise NotALayer
        groups = inside // width
        read = torch.arange(outside) // (outside // groups)
        right = read[:, None] == (torch.arange(inside) // width)[None]
        if not torch.equal(used, right):
            raise NotALayer
        form = outside, width, *one.shape[2:]
        return groups, one[right].reshape(form), other[right].reshape(form)

    def _sums(
        self,
        shape: tuple[int, ...],
        bias: _Numbers | None,
        weight: _Numbers,
        kernel: tuple[int, ...],
        steps: Sequence[int],
        padding: Sequence[int],
        apart: Sequence[int],
        groups: int,
    ) -> tuple[list[Op], int]:
        """Windows that are added up, channel by channel, and multiplied by a number for each."""
        if not groups == shape[1] == self.shape[1] or set(apart) != {1}:
            raise NotALayer
        places = weight.places[:, 0, 0, 0]
        self._take(places if bias is None else torch.cat([places, bias.places]))
        whole = self.whole
        pooled = whole._op(
            "avg_pool2d.default", shape, self.source, self=Ref(self.image), kernel_size=kernel, stride=tuple(steps),
            padding=tuple(padding), ceil_mode=False, count_include_pad=True, divisor_override=1,
        )  # fmt: skip
        more, kept = whole._taken(places, self.value)
        size = (1, shape[1], 1, 1)
        column = whole._op("view.default", size, self.value, self=kept, size=size)
        ops = [pooled, *more, column]
        pixels = Ref(pooled.outputs[0])
        return self._with_bias(
            ops,
            shape,
            bias,
            weight.factor,
            pixels,
            lambda read, ref: self._times(ops, shape, read, column, ref),
        )

    def _times(self, ops: list[Op], shape: tuple[int, ...], pixels: Ref, column: Op, bias: Ref | None) -> Op:
        product = self.whole._op("mul.Tensor", shape, self.value, self=pixels, other=Ref(column.outputs[0]))
        if bias is None:
            return product
        size = (1, shape[1], 1, 1)
        added = self.whole._op("view.default", size, self.value, self=bias, size=size)
        ops += [product, added]
        return self.whole._op(
            "add.Tensor", shape, self.value, self=Ref(product.outputs[0]), other=Ref(added.outputs[0])
        )


class _Windows(_Stretch):
    """What leads from an image to another one without parameters: windows that are added up."""

    def __init__(self, whole: _Rewriting, source: int, value: int) -> None:
        after = whole.graph.values[value].shape
        if len(after) != 4:
            raise NotALayer
        super().__init__(whole, source, value)
        if len(self.shape) != 4 or after[:2] != self.shape[:2] or after[2:] == self.shape[2:]:
            raise NotALayer

    def _look(self) -> None:
        return

    def layer(self) -> _Found:
        shape = self.graph.values[self.value].shape
        middle = shape[2] // 2, shape[3] // 2

        def seen(value: Tensor) -> Tensor:
            return value

        with torch.no_grad():
            if bool(self._run(torch.zeros(self.shape, dtype=torch.float64), 0).any()):
                raise NotALayer
        sizes, steps, starts = zip(*(self._window(seen, shape, axis, middle) for axis in (0, 1)), strict=True)
        padding = tuple(step * here - start for step, here, start in zip(steps, middle, starts, strict=True))
        if prod(sizes) == 1 or any(
            not 0 <= pad <= size // 2 for pad, size in zip(padding, sizes, strict=True)
        ):
            raise NotALayer
        (row,) = self._rows(seen, [(0, *middle)], 0)
        factor = float(row[0].max())
        kernel = tuple(sizes)
        right = F.avg_pool2d(self._forward(0)[0].detach(), kernel, tuple(steps), padding, divisor_override=1)
        if factor <= 0 or right.shape != shape:
            raise NotALayer
        self._expect(seen, right * factor)
        sums = isclose(factor, 1, rel_tol=NEAR)
        by = 1.0 if sums else float(f"{factor * prod(kernel):.10g}")
        arguments: dict[str, Argument] = {
            "self": Ref(self.image), "kernel_size": kernel, "stride": tuple(steps), "padding": padding,
            "ceil_mode": False, "count_include_pad": True,
        }  # fmt: skip
        if sums:
            arguments["divisor_override"] = 1
        ops = [self.whole._op("avg_pool2d.default", shape, self.value, **arguments)]
        if not isclose(by, 1, rel_tol=NEAR):
            ops.append(
                self.whole._op("mul.Tensor", shape, self.value, self=Ref(ops[-1].outputs[0]), other=by)
            )
        order = (0, 1, 2, 3)
        (image,) = ops[-1].outputs
        return _Found((*ops, *self.whole._back(image, order, self.value)), image, order)


def _merged(sizes: tuple[int, ...], after: tuple[int, ...], channels: int) -> bool:
    """Whether a shape is another one with neighbouring axes made one, the channels being an axis of their own."""
    if channels > 1 and channels not in after:
        return False
    left = [size for size in sizes if size > 1]
    for size in after:
        whole = 1
        while whole < size and left:
            whole *= left.pop(0)
        if whole != size:
            return False
    return not left
