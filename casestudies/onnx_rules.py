"""How each operation of a graph is written in ONNX: the table RULES, and the writer that goes by it.

A rule gets the writer and an operation, adds nodes of ONNX, and says what their result is called. The table also
names the settings that each rule knows; any other setting is refused. What depends on no image is computed by
torch, once, and becomes a constant. Two recordings, of different numbers of images, tell which sizes change with
the batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from casestudies.graph import Graph, Op, Ref, tensor_of
from casestudies.replay import ReplayError, carry_out

if TYPE_CHECKING:
    import onnx

OPSET = 17
BATCH = "batch"
LARGEST_SHARED = 20_000_000  # numbers of a tensor that is written through views
RECORDED = (2, 3)  # images of the two recordings that tell what changes with their number


class Writer:
    """Turns the operations of a graph into nodes of ONNX."""

    def __init__(self, graph: Graph, other: Graph, state: dict[str, Tensor]) -> None:
        self.graph, self.other, self.state = graph, other, state
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.names: dict[int, str] = {}
        self.held: dict[int, str] = {}  # parameters and buffers, by the value that each is
        self.taken = {"images", "logits"}  # names in the file; those of weights come from the network
        self.count = 0
        self.own: dict[int, list[Any]] = {}  # the nodes of an operation, by the value that it makes
        self.fixed: dict[int, Tensor] = {}  # values that depend on no image: computed here, once
        # Memory that is changed in place: of the network's own, this works on copies.
        self.written = {graph.values[value].storage for op in graph.ops for value in op.writes}

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        graph = self.graph
        (given,) = graph.inputs
        self.names[given] = "images"
        for held in graph.state:
            if held.value is not None:
                self.held[held.value] = held.name
                tensor = self.state[held.name].detach()
                written = graph.values[held.value].storage in self.written
                self.fixed[held.value] = tensor.clone() if written else tensor
        weights = set(self.fixed)  # and what comes of weights alone
        for constant in graph.constants:
            numbers = tensor_of(graph, constant)
            if numbers is None:
                shape = graph.values[constant.value].shape
                raise ValueError(
                    f"network holds a tensor of {shape} that is neither a parameter nor a buffer, and too "
                    "large to be written down as it is; make it one: self.register_buffer(name, tensor)"
                )
            self.fixed[constant.value] = numbers
        needed = self.needed()
        for op, twin in zip(graph.ops, self.other.ops, strict=True):
            self.fix(op, twin)
            if needed.isdisjoint(op.outputs):
                continue
            fixed = bool(op.outputs) and all(output in self.fixed for output in op.outputs)
            if fixed and weights.isdisjoint(op.reads):
                continue  # becomes a constant where something reads it
            weights.update(op.outputs if fixed else ())
            first = len(self.nodes)
            try:
                made = self.rule(op)(self, op)
            except ValueError:
                del self.nodes[first:]
                if not fixed:
                    raise
                continue
            self.names.update(zip(op.outputs, [made] if isinstance(made, str) else made, strict=False))
            self.own[op.outputs[0]] = self.nodes[first:]
        (out,) = graph.outputs
        self.nodes.append(helper.make_node("Identity", [self.name(out)], ["logits"]))
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, self.sides(value))
            for name, value in (("images", given), ("logits", out))
        ]
        made = helper.make_graph(self.nodes, graph.network, infos[:1], infos[1:], self.tensors)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="casestudies", ir_version=8
        )

    def needed(self) -> set[int]:
        """The values from which the output is computed."""
        found = set(self.graph.outputs)
        for op in reversed(self.graph.ops):
            if not found.isdisjoint(op.outputs):
                found.update(op.reads)
        return found

    def fix(self, op: Op, twin: Op) -> None:
        """Carry out an operation that depends neither on the images nor on how many there are."""
        reads = () if op.name in FORMS else op.reads
        same = all(
            self.graph.values[value].shape == self.other.values[value].shape
            for value in (*reads, *op.outputs)
        )
        if op.random or not same or op.arguments != twin.arguments:
            return
        if any(value not in self.fixed for value in reads):
            return
        known: Mapping[int, Tensor] = self.fixed
        if not reads:
            values = {value: self.graph.values[value] for value in op.reads}
            known = {
                place: torch.zeros((), dtype=getattr(torch, value.dtype)).expand(value.shape)
                for place, value in values.items()
            }
        with torch.no_grad():
            self.fixed.update(zip(op.outputs, carry_out(op, known), strict=True))

    def name(self, value: int) -> str:
        """What a value is called in the file; a weight or a constant is written down where it is first read."""
        if value in self.names:
            return self.names[value]
        if value in self.held:  # as the network holds it, whatever the run writes to it afterwards
            self.names[value] = self.tensor(self.state[self.held[value]], self.held[value])
        elif value in self.fixed:
            self.names[value] = self.tensor(self.fixed[value])
        return self.names[value]

    def rule(self, op: Op) -> Rule:
        """The rule of an operation; ValueError where it has none, or none for these settings or dtypes."""
        known = RULES.get(op.name)
        if known is None:
            raise ValueError(
                f"{self.called(op)} has no counterpart here; "
                f"casestudies.onnx_rules.RULES names the {len(RULES)} operations that have one"
            )
        rule, settings = known
        for name, value in op.arguments:
            if name not in settings.split():
                shown = "a tensor" if isinstance(value, Ref) else value
                raise ValueError(f"{self.called(op)} has {name}={shown}, which has no counterpart here")
            if isinstance(value, complex):
                raise ValueError(
                    f"{self.called(op)} multiplies complex numbers, which have no counterpart here"
                )
        along = {name for name, _ in op.arguments} & {"dim", "dims", "dim0"} or op.name in ("sort", "topk")
        if along and op.name not in OF_ONE and self.graph.values[op.reads[0]].shape == ():
            raise ValueError(
                f"{self.called(op)} works along a dimension of a single number, which has no counterpart here"
            )
        for value in op.reads:
            if value not in self.names and value not in self.fixed:
                raise ValueError(
                    f"{self.called(op)} reads a second result, such as indices, which is not written"
                )
        dtypes = {self.graph.values[value].dtype for value in (*op.reads, op.outputs[0])}
        known_dtypes = set(KINDS) if op.name in MIXED else {"float32"}
        if dtypes - known_dtypes:
            expected = "float32 alone" if len(known_dtypes) == 1 else ", ".join(sorted(KINDS))
            raise ValueError(f"{self.called(op)} works with {', '.join(sorted(dtypes))}; expected {expected}")
        return rule

    def called(self, op: Op) -> str:
        return f"{op.name} at {self.graph.path(op) or 'the top'!r}"

    def grows(self, value: int) -> list[tuple[int, int]]:
        """Each side of a value as (a, b): `a` for each image, and `b`. A side that does not change has a = 0."""
        return _growth(self.graph.values[value].shape, self.other.values[value].shape)

    def sides(self, value: int) -> list[int | str]:
        """A shape whose sides are named where they change with the batch."""
        return [
            b if not a else BATCH if (a, b) == (1, 0) else f"side_{place}"
            for place, (a, b) in enumerate(self.grows(value))
        ]

    def sized(self, op: Op, sides: list[tuple[int, int]]) -> str:
        """A shape as an input of a node, computed from the number of images where it changes with it."""
        if not any(a for a, _ in sides):
            return self.tensor([b for _, b in sides])
        count = self.node("Gather", [self.node("Shape", ["images"], op), self.tensor([0])], op, axis=0)
        parts = []
        for a, b in sides:
            part = count if a else self.tensor([b])
            if a not in (0, 1):
                part = self.node("Mul", [part, self.tensor([a])], op)
            if a and b:
                part = self.node("Add", [part, self.tensor([b])], op)
            parts.append(part)
        return self.node("Concat", parts, op, axis=0)

    def cut(self, op: Op, name: str, *ends: int) -> str:
        """A part of a tensor: start, end, dimension, and perhaps the step."""
        return self.node("Slice", [name, *(self.tensor([n]) for n in ends)], op)

    def new(self, word: str) -> str:
        """A name that nothing else in the file has."""
        name = word
        while name == word or name in self.taken:
            self.count += 1
            name = f"{word}_{self.count}"
        self.taken.add(name)
        return name

    def tensor(self, value: Tensor | Iterable[int], name: str = "") -> str:
        """A constant of the file: a weight, or whole numbers."""
        from onnx import numpy_helper

        array = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(list(value))
        if array.layout != torch.strided:  # sparse, say: the file has it in full
            array = array.to_dense()
        array = array if isinstance(value, Tensor) else array.to(torch.int64)
        name = self.new(name or "constant") if not name or name in self.taken else name
        self.taken.add(name)
        self.tensors.append(numpy_helper.from_array(array.contiguous().numpy(), name))
        return name

    def node(self, kind: str, inputs: list[str], op: Op, **settings: Any) -> str:
        from onnx import helper

        name = self.new(kind.lower())
        path = self.graph.path(op)
        self.nodes.append(
            helper.make_node(kind, inputs, [name], name=f"{path}/{name}" if path else name, **settings)
        )
        return name

    def read(self, op: Op, argument: str, dtype: str = "") -> str:
        """An argument as an input of a node: a tensor, or a number that becomes one; as `dtype`, if given."""
        value = op.setting(argument)
        if not isinstance(value, Ref):
            return self.number(value, dtype)
        name = self.name(value.value)
        return self.cast(op, name, dtype) if dtype and self.dtype(value.value) != dtype else name

    def number(self, value: Any, dtype: str = "") -> str:
        return self.tensor(torch.tensor(value, dtype=getattr(torch, dtype or "float32")))

    def cast(self, op: Op, name: str, dtype: str) -> str:
        return self.node("Cast", [name], op, to=KINDS[dtype])

    def dtype(self, value: int) -> str:
        return self.graph.values[value].dtype

    def counted(self, op: Op) -> str:
        """The dtype in which an operation is carried out: that of its result; true and false count as 1 and 0."""
        dtype = self.dtype(op.outputs[0])
        return "int64" if dtype == "bool" else dtype

    def result(self, op: Op, name: str) -> str:
        """What was carried out in `counted`, in the dtype of the result."""
        return self.cast(op, name, "bool") if self.dtype(op.outputs[0]) == "bool" else name

    def shape(self, op: Op, argument: str = "self") -> tuple[int, ...]:
        return self.graph.values[op.setting(argument).value].shape

    def out_shape(self, op: Op) -> tuple[int, ...]:
        return self.graph.values[op.outputs[0]].shape


def _growth(one: tuple[int, ...], other: tuple[int, ...]) -> list[tuple[int, int]]:
    """What grows with the images and what does not, of sizes in both recordings; see `Writer.grows`."""
    sizes = zip(one, other, strict=True)
    return [(more - size, size - (more - size) * RECORDED[0]) for size, more in sizes]


Rule = Callable[[Writer, Op], str | list[str]]  # the name of the result, or of all results


def _elementwise(kind: str, **settings: tuple[str, float]) -> Rule:
    """One node of one argument; each of its settings is a setting of torch, or the default of that."""

    def rule(w: Writer, op: Op) -> str:
        given = {key: float(op.setting(name, default)) for key, (name, default) in settings.items()}
        return w.node(kind, [w.read(op, "self")], op, **given)

    return rule


def _pairwise(kind: str, other: str = "other", **settings: int) -> Rule:
    """One node of two arguments, both converted to the dtype of the result first, as torch does."""

    def rule(w: Writer, op: Op) -> str:
        dtype = w.counted(op)
        found = w.node(kind, [w.read(op, "self", dtype), w.read(op, other, dtype)], op, **settings)
        return w.result(op, found)

    return rule


def _pads(padding: tuple[int, ...], sides: int) -> list[int]:
    padding = padding * sides if len(padding) == 1 else padding
    return [*padding, *padding]


def _convolution(w: Writer, op: Op) -> str:
    inputs = [w.read(op, "input"), w.read(op, "weight")]
    if isinstance(op.setting("bias"), Ref):
        inputs.append(w.read(op, "bias"))
    sides = len(w.shape(op, "weight")) - 2
    settings = {
        "strides": list(op.setting("stride")),
        "pads": _pads(op.setting("padding"), sides),
        "dilations": list(op.setting("dilation")),
        "group": op.setting("groups"),
    }
    if op.setting("transposed"):
        # What torch adds behind the result is what the padding there leaves out; onnxruntime takes no more than
        # a stride of it, which is as much as torch takes where nothing is dilated.
        extra = list(op.setting("output_padding"))
        for side, (more, stride) in enumerate(zip(extra, settings["strides"], strict=True)):
            if more >= stride:
                less = min(more, settings["pads"][sides + side])
                settings["pads"][sides + side] -= less
                extra[side] -= less
                if extra[side] >= stride:
                    raise ValueError(
                        f"{w.called(op)} has output_padding={more}, more than its stride and padding take up, "
                        "which has no counterpart here"
                    )
        return w.node("ConvTranspose", inputs, op, output_padding=extra, **settings)
    return w.node("Conv", inputs, op, **settings)


def _batch_norm(w: Writer, op: Op) -> str:
    if op.setting("training") or op.setting("train"):
        given = op.setting("input").value
        if w.grows(given)[0] == (0, 1):  # an instance norm: torch makes channels of the images
            rank = len(w.graph.values[given].shape)
            found = _standardised(w, op, w.read(op, "input"), [0, *range(2, rank)], op.setting("eps"))
            return _affine(w, op, found, [1, -1, *(1 for _ in range(rank - 2))])
        raise ValueError(f"{w.called(op)} uses the statistics of the batch, also in evaluation")
    channels = w.grows(op.setting("input").value)[1]
    inputs = [w.read(op, "input")]
    for name, default in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        given = isinstance(op.setting(name), Ref)
        inputs.append(
            w.read(op, name) if given else w.node("Expand", [w.number(default), w.sized(op, [channels])], op)
        )
    return w.node("BatchNormalization", inputs, op, epsilon=op.setting("eps"))


def _window(op: Op) -> dict[str, Any]:
    kernel = op.setting("kernel_size")
    return {
        "kernel_shape": list(kernel),
        "strides": list(op.setting("stride") or kernel),
        "pads": _pads(op.setting("padding", (0,)), len(kernel)),
        "ceil_mode": int(op.setting("ceil_mode", False)),
    }


def _pooled(w: Writer, op: Op, kind: str, sides: int = 2, **settings: Any) -> str:
    """A pool over the last sides; ONNX wants images and channels before them, torch may have channels alone."""
    x, alone = w.read(op, "self"), len(w.shape(op)) == sides + 1
    if alone:
        x = w.node("Unsqueeze", [x, w.tensor([0])], op)
    found = w.node(kind, [x], op, **settings)
    return w.node("Squeeze", [found, w.tensor([0])], op) if alone else found


def _max_pool(w: Writer, op: Op) -> str:
    window = _window(op)
    sides = len(window["kernel_shape"])
    dilations = list(op.setting("dilation", (1,) * sides))
    dilations = dilations * (sides // len(dilations))
    return _pooled(w, op, "MaxPool", sides, dilations=dilations, **window)


def _average_pool(w: Writer, op: Op) -> str:
    count = int(op.setting("count_include_pad", True) or op.setting("divisor_override") is not None)
    window = _window(op)
    pooled = _pooled(w, op, "AveragePool", len(window["kernel_shape"]), count_include_pad=count, **window)
    divisor = op.setting("divisor_override")
    if divisor is None:
        return pooled
    if op.setting("ceil_mode"):
        raise ValueError(
            f"{w.called(op)} has both ceil_mode and divisor_override, which have no counterpart here"
        )
    scale = w.tensor(torch.tensor(math.prod(op.setting("kernel_size")) / divisor))
    return w.node("Mul", [pooled, scale], op)


def _adaptive_average_pool(w: Writer, op: Op) -> str:
    grid, cells = w.shape(op)[-2:], w.out_shape(op)[-2:]
    if cells == (1, 1):
        return _pooled(w, op, "GlobalAveragePool")
    if any(size % n for size, n in zip(grid, cells, strict=True)):  # windows of different sizes
        down, across = (_windows_between(size, n) for size, n in zip(grid, cells, strict=True))
        rows = w.node("MatMul", [w.tensor(down), w.read(op, "self")], op)
        return w.node("MatMul", [rows, w.tensor(across.T)], op)
    kernel = [size // n for size, n in zip(grid, cells, strict=True)]
    return _pooled(w, op, "AveragePool", kernel_shape=kernel, strides=kernel)


def _scaled(kind: str, turned: bool = False) -> Rule:
    """A sum or a difference; the second may be multiplied by `alpha` first, or stand in front."""

    def rule(w: Writer, op: Op) -> str:
        dtype = w.counted(op)
        one, other, alpha = w.read(op, "self", dtype), w.read(op, "other", dtype), op.setting("alpha", 1)
        if alpha != 1:
            scaled = one if turned else other
            scaled = w.node("Mul", [scaled, w.number(alpha, dtype)], op)
            one, other = (scaled, other) if turned else (one, scaled)
        return w.result(op, w.node(kind, [other, one] if turned else [one, other], op))

    return rule


def _view(w: Writer, op: Op) -> str:
    return _reshaped(w, op, w.read(op, "self"), w.grows(op.outputs[0]))


def _reshaped(w: Writer, op: Op, name: str, sides: list[tuple[int, int]]) -> str:
    if sum(a != 0 for a, _ in sides) == 1:  # one side that changes need not be computed
        shape = w.tensor([-1 if a else b for a, b in sides])
    else:
        shape = w.sized(op, sides)
    return w.node("Reshape", [name, shape], op)


def _addmm(w: Writer, op: Op) -> str:
    factors = {"beta": float(op.setting("beta", 1)), "alpha": float(op.setting("alpha", 1))}
    names = ("mat1", "mat2", "self") if factors["beta"] else ("mat1", "mat2")  # 0 hides even NaN
    return w.node("Gemm", [w.read(op, name) for name in names], op, **factors)


def _squeeze(w: Writer, op: Op) -> str:
    """Only the sides that are named, and of these only those of one: the others stay, as in torch."""
    shape, dims = w.shape(op), op.setting("dim")
    if dims is None:
        raise ValueError(
            f"{w.called(op)} leaves out whatever is 1, the batch too; name the dimension: squeeze(1)"
        )
    named = _dims(w, op) if shape else []
    if any(isinstance(w.sides(op.setting("self").value)[dim], str) for dim in named):
        raise ValueError(f"{w.called(op)} leaves out the batch where it is 1, which has no counterpart here")
    gone = [dim for dim in named if shape[dim] == 1]
    if not gone:
        return w.node("Identity", [w.read(op, "self")], op)
    return w.node("Squeeze", [w.read(op, "self"), w.tensor(gone)], op)


def _slice(w: Writer, op: Op) -> str:
    start, end = op.setting("start") or 0, op.setting("end")
    end = 2**62 if end is None else min(end, 2**62)
    return w.cut(op, w.read(op, "self"), start, end, op.setting("dim", 0), op.setting("step", 1))


def _picks(w: Writer, op: Op) -> list[tuple[int, str, tuple[int, ...]]]:
    """The lists of an index: dimension, name and shape of each. Fixed flags are the places that they are true at."""
    found, dim = [], 0
    for pick in op.setting("indices"):
        if pick is None:
            dim += 1
        elif w.dtype(pick.value) == "int64":
            found.append((dim, w.name(pick.value), w.graph.values[pick.value].shape))
            dim += 1
        elif w.dtype(pick.value) == "bool" and pick.value in w.fixed:
            for places in w.fixed[pick.value].nonzero(as_tuple=True):
                found.append((dim, w.tensor(places), tuple(places.shape)))
                dim += 1
        else:
            raise ValueError(
                f"{w.called(op)} picks by true and false, so that its size depends on the numbers"
            )
    return found


def _index(w: Writer, op: Op) -> str:
    """Numbers picked by lists along some dimensions, as in x[:, rows, columns]."""
    picks, x = _picks(w, op), w.read(op, "self")
    if len(picks) == 1:
        ((dim, pick, _),) = picks
        return w.node("Gather", [x, pick], op, axis=dim)
    # The dimensions become one, and the lists one list of places in it. As in torch, the result of lists that do not
    # stand side by side comes first.
    sides = w.grows(op.setting("self").value)
    dims = [dim for dim, _, _ in picks]
    if any(sides[dim][0] for dim in dims):
        raise ValueError(
            f"{w.called(op)} picks by several lists, one along the batch, which has no counterpart"
        )
    first = dims[0] if dims == list(range(dims[0], dims[0] + len(dims))) else 0
    others = [dim for dim in range(len(sides)) if dim not in dims]
    order = [*others[:first], *dims, *others[first:]]
    if order != list(range(len(sides))):
        x = w.node("Transpose", [x], op, perm=order)
    sizes = [sides[dim][1] for dim in dims]
    merged = [sides[dim] for dim in order]
    merged[first : first + len(dims)] = [(0, math.prod(sizes))]
    x = _reshaped(w, op, x, merged)
    places = ""
    for place, ((_, pick, _), size) in enumerate(zip(picks, sizes, strict=True)):
        part = w.node("Mod", [pick, w.tensor([size])], op)  # -1 is the last one
        part = w.node("Mul", [part, w.tensor([math.prod(sizes[place + 1 :])])], op)
        places = w.node("Add", [places, part], op) if places else part
    if not any(shape for _, _, shape in picks):  # single numbers: what they pick has no side of its own
        places = w.node("Reshape", [places, w.tensor([])], op)
    return w.node("Gather", [x, places], op, axis=first)


def _edges(w: Writer, op: Op, name: str) -> str:
    """What is added before and behind each side; torch names the last side first."""
    rank, pads = len(w.shape(op)), op.setting(name)
    before, after = [0] * rank, [0] * rank
    for place in range(len(pads) // 2):
        before[rank - 1 - place], after[rank - 1 - place] = pads[2 * place : 2 * place + 2]
    return w.tensor([*before, *after])


def _pad(w: Writer, op: Op) -> str:
    value = w.number(op.setting("value") or 0, w.dtype(op.outputs[0]))
    return w.node("Pad", [w.read(op, "self"), _edges(w, op, "pad"), value], op)


def _clip(w: Writer, op: Op) -> str:
    low, high = (
        w.tensor(torch.tensor(float(op.setting(name, d)))) for name, d in (("min_val", -1), ("max_val", 1))
    )
    return w.node("Clip", [w.read(op, "self"), low, high], op)


def _silu(w: Writer, op: Op) -> str:
    x = w.read(op, "self")
    return w.node("Mul", [x, w.node("Sigmoid", [x], op)], op)


def _cat(w: Writer, op: Op) -> str:
    # Torch lets anybody join an empty list with tensors of any shape.
    names = [w.name(each.value) for each in op.setting("tensors") if w.graph.values[each.value].shape != (0,)]
    return w.node("Concat", names, op, axis=op.setting("dim", 0))


def _chain(*steps: tuple[str, float | None]) -> Rule:
    """Nodes one after the other; one that has a number reads it as its second input."""

    def rule(w: Writer, op: Op) -> str:
        found = w.read(op, "self")
        for kind, number in steps:
            found = w.node(kind, [found] if number is None else [found, w.number(number)], op)
        return found

    return rule


def _compared(kind: str, negated: bool = False) -> Rule:
    """Both sides as one dtype, that of the tensors where a number is the other side."""

    def rule(w: Writer, op: Op) -> str:
        reals = any(w.dtype(value) == "float32" for value in op.reads)
        dtype = "float32" if reals or isinstance(op.setting("other"), float) else "int64"
        found = w.node(kind, [w.read(op, "self", dtype), w.read(op, "other", dtype)], op)
        return w.node("Not", [found], op) if negated else found

    return rule


def _logical(kind: str) -> Rule:
    return lambda w, op: w.node(kind, [w.read(op, "self", "bool"), w.read(op, "other", "bool")], op)


def _bits(kind: str) -> Rule:
    """&, |, ^ and ~ of true and false; whole numbers have bits, which opset 17 does not touch."""

    def rule(w: Writer, op: Op) -> str:
        if w.dtype(op.outputs[0]) != "bool":
            raise ValueError(f"{w.called(op)} works bit by bit, which has no counterpart here")
        return w.node(kind, [w.read(op, name) for name, _ in op.arguments], op)

    return rule


def _chosen(w: Writer, op: Op, condition: str, one: str, other: str) -> str:
    """One argument where the condition is true, another where it is not; onnxruntime chooses among numbers only."""
    dtype = w.counted(op)
    return w.result(op, w.node("Where", [condition, w.read(op, one, dtype), w.read(op, other, dtype)], op))


def _where(w: Writer, op: Op) -> str:
    return _chosen(w, op, w.read(op, "condition", "bool"), "self", "other")


def _masked_fill(w: Writer, op: Op) -> str:
    return _chosen(w, op, w.read(op, "mask", "bool"), "value", "self")


def _bounds(low: str, high: str) -> Rule:
    """Not below one argument and not above another; each is left out, a number, or a tensor."""

    def rule(w: Writer, op: Op) -> str:
        dtype = w.dtype(op.outputs[0])
        found = w.read(op, "self", dtype)
        for kind, bound in (("Max", low), ("Min", high)):
            if bound and op.setting(bound) is not None:
                found = w.node(kind, [found, w.read(op, bound, dtype)], op)
        return found

    return rule


def _fused(kind: str) -> Rule:
    """self + value * tensor1 * tensor2, or their quotient."""

    def rule(w: Writer, op: Op) -> str:
        made = w.node(kind, [w.read(op, "tensor1"), w.read(op, "tensor2")], op)
        if op.setting("value", 1) != 1:
            made = w.node("Mul", [made, w.number(op.setting("value"))], op)
        return w.node("Add", [w.read(op, "self"), made], op)

    return rule


def _lerp(w: Writer, op: Op) -> str:
    start = w.read(op, "self")
    way = w.node("Sub", [w.read(op, "end"), start], op)
    return w.node("Add", [start, w.node("Mul", [way, w.read(op, "weight")], op)], op)


def _remainder(w: Writer, op: Op) -> tuple[str, str, str]:
    """Both numbers, and the exact remainder of their division, with the sign of the second."""
    dtype = w.counted(op)
    one, other = w.read(op, "self", dtype), w.read(op, "other", dtype)
    if dtype == "int64":
        return one, other, w.node("Mod", [one, other], op)
    rest = w.node("Mod", [one, other], op, fmod=1)  # with the sign of the first
    signs = w.node("Mul", [w.node("Sign", [rest], op), w.node("Sign", [other], op)], op)
    opposed = w.node("Less", [signs, w.number(0.0)], op)
    return one, other, w.node("Where", [opposed, w.node("Add", [rest, other], op), rest], op)


def _floor_divide(w: Writer, op: Op) -> str:
    """How often the second number is in the first: 1 // 0.1 is 9, as 0.1 in float32 is a little more than that."""
    one, other, rest = _remainder(w, op)
    times = w.node("Round", [w.node("Div", [w.node("Sub", [one, rest], op), other], op)], op)
    nothing = w.node("Equal", [other, w.number(0.0)], op)
    return w.node("Where", [nothing, w.node("Div", [one, other], op), times], op)


def _log1p(w: Writer, op: Op) -> str:
    """log(1 + x); near 0 as 2 atanh(x / (2 + x)), since 1 + x would lose the digits of x."""
    x = w.read(op, "self")
    ratio = w.node("Div", [x, w.node("Add", [x, w.number(2.0)], op)], op)
    near = w.node("Mul", [w.node("Atanh", [ratio], op), w.number(2.0)], op)
    far = w.node("Log", [w.node("Add", [x, w.number(1.0)], op)], op)
    small = w.node("Less", [w.node("Abs", [x], op), w.number(0.5)], op)
    return w.node("Where", [small, near, far], op)


def _expm1(w: Writer, op: Op) -> str:
    """exp(x) - 1 as tanh(x / 2) (exp(x) + 1), which keeps the digits of an x near 0."""
    x = w.read(op, "self")
    half = w.node("Tanh", [w.node("Mul", [x, w.number(0.5)], op)], op)
    return w.node("Mul", [half, w.node("Add", [w.node("Exp", [x], op), w.number(1.0)], op)], op)


def _trunc(w: Writer, op: Op) -> str:
    x = w.read(op, "self")
    return w.node("Mul", [w.node("Sign", [x], op), w.node("Floor", [w.node("Abs", [x], op)], op)], op)


def _dims(w: Writer, op: Op, name: str = "dim") -> list[int]:
    """The dimensions that are reduced: those of the setting, or all."""
    dims, rank = op.setting(name), len(w.shape(op))
    if dims is None or dims == ():
        return list(range(rank))
    return [dim % max(rank, 1) for dim in ((dims,) if isinstance(dims, int) else dims)]


def _reduced(w: Writer, op: Op, kind: str, of: str, keep: bool | None = None) -> str:
    """Over the dimensions of the setting; a single number stays what it is."""
    kept, dims = int(op.setting("keepdim", False) if keep is None else keep), _dims(w, op)
    if not w.shape(op):
        return w.node("Identity", [of], op)
    if kind == "ReduceSum":  # the one whose dimensions are an input
        return w.node(kind, [of, w.tensor(dims)], op, keepdims=kept)
    return w.node(kind, [of], op, axes=dims, keepdims=kept)


def _reduction(kind: str) -> Rule:
    return lambda w, op: _reduced(w, op, kind, w.read(op, "self", w.dtype(op.outputs[0])))


def _extreme(kind: str) -> Rule:
    """The largest or the smallest: of all, or along a dimension, where the place is a second result."""

    def rule(w: Writer, op: Op) -> list[str]:
        found = [w.result(op, _reduced(w, op, f"Reduce{kind}", w.read(op, "self", w.counted(op))))]
        return [*found, _placed(w, op, kind)] if len(op.outputs) > 1 else found

    return rule


def _placed(w: Writer, op: Op, kind: str) -> str:
    x, dim, keep = w.read(op, "self"), op.setting("dim"), int(op.setting("keepdim", False))
    if w.dtype(op.setting("self").value) != "float32":  # onnxruntime looks for places among real numbers only
        x = w.node("Cast", [x], op, to=FLOAT64)
    if dim is None:
        found = w.node(f"Arg{kind}", [w.node("Reshape", [x, w.tensor([-1])], op)], op, axis=0)
        return _reshaped(w, op, found, w.grows(op.outputs[0]))
    return w.node(f"Arg{kind}", [x], op, axis=dim, keepdims=keep)


def _any(kind: str) -> Rule:
    """Whether any, or all, are true: as 0 and 1, the largest or the smallest."""

    def rule(w: Writer, op: Op) -> str:
        flags = w.cast(op, w.read(op, "self", "bool"), "float32")
        return w.cast(op, _reduced(w, op, kind, flags), "bool")

    return rule


def _variance(root: bool, mean: bool) -> Rule:
    """Variance, or its root; with the mean as a second result."""

    def rule(w: Writer, op: Op) -> list[str]:
        x, dims = w.read(op, "self"), _dims(w, op)
        sides = [w.grows(op.setting("self").value)[dim] for dim in dims]
        correction = op.setting("correction", 1)
        correction = int(op.setting("unbiased", True)) if "unbiased" in dict(op.arguments) else correction
        if any(a for a, _ in sides) and correction:
            raise ValueError(f"{w.called(op)} divides by one less than a number that changes with the batch")
        if not w.shape(op):
            raise ValueError(f"{w.called(op)} is that of a single number, which has no counterpart here")
        centre = w.node("ReduceMean", [x], op, axes=dims, keepdims=1)
        way = w.node("Sub", [x, centre], op)
        found = _reduced(w, op, "ReduceMean", w.node("Mul", [way, way], op))
        if correction:
            count = math.prod(b for _, b in sides)
            factor = count / (count - correction) if count > correction else math.inf
            found = w.node("Mul", [found, w.number(factor)], op)
        if root:
            found = w.node("Sqrt", [found], op)
        return [found, _reduced(w, op, "ReduceMean", x)] if mean else [found]

    return rule


def _vector_norm(w: Writer, op: Op) -> str:
    x, order = w.read(op, "self"), op.setting("ord", op.setting("p", 2))
    order = 2 if order is None else order
    if order in (1, 2) and w.shape(op):
        return _reduced(w, op, f"ReduceL{int(order)}", x)
    size = w.node("Abs", [x], op)
    if abs(order) == math.inf:
        return _reduced(w, op, "ReduceMax" if order > 0 else "ReduceMin", size)
    if order == 0:  # how many are not 0
        return _reduced(w, op, "ReduceSum", w.cast(op, w.cast(op, x, "bool"), "float32"))
    total = _reduced(w, op, "ReduceL1", w.node("Pow", [size, w.number(float(order))], op))
    return w.node("Pow", [total, w.number(1 / order)], op)


def _along(kind: str) -> Rule:
    return lambda w, op: w.node(kind, [w.read(op, "self")], op, axis=op.setting("dim"))


def _unhidden(w: Writer, op: Op, x: str, dim: int) -> str:
    """A softmax; where all is minus infinity, as in a row that a mask hides, the result is 0."""
    most = w.node("ReduceMax", [x], op, axes=[dim], keepdims=1)
    hidden = w.node("Equal", [most, w.number(-math.inf)], op)
    return w.node("Where", [hidden, w.number(0.0), w.node("Softmax", [x], op, axis=dim)], op)


def _same_layout(w: Writer, op: Op) -> str:
    """What torch does to the strides of sides of 1, such as those of a pooled grid."""
    shape, expected = w.shape(op), 1
    for size, stride in reversed(list(zip(shape, op.setting("stride"), strict=False))):
        if size != 1 and stride != expected:
            break
        expected *= size
    else:
        if op.setting("size") == shape and not op.setting("storage_offset"):
            return w.node("Identity", [w.read(op, "self")], op)
    raise ValueError(f"{w.called(op)} reads memory in another order, which has no counterpart here")


def _cumsum(w: Writer, op: Op) -> str:
    x, dim = w.read(op, "self", w.dtype(op.outputs[0])), w.tensor(torch.tensor(op.setting("dim")))
    return w.node("CumSum", [x, dim], op)


def _topk(w: Writer, op: Op) -> list[str]:
    dim = op.setting("dim", -1) % len(w.shape(op))
    if op.name == "topk":
        count, largest, ordered = op.setting("k"), op.setting("largest", True), op.setting("sorted", True)
        size = w.tensor([count])
    else:
        largest, ordered = bool(op.setting("descending", False)), True
        size = w.sized(op, [w.grows(op.outputs[0])[dim]])
    x = w.read(op, "self", w.counted(op))
    values = w.node("TopK", [x, size], op, axis=dim, largest=int(largest), sorted=int(ordered))
    places = w.new("topk")
    w.nodes[-1].output.append(places)
    return [w.result(op, values), places]


def _elu(w: Writer, op: Op) -> str:
    """ELU and SELU: the input of the exponential and the result may be scaled."""
    x = w.read(op, "self")
    alpha, scale, inner = (float(op.setting(name, 1)) for name in ("alpha", "scale", "input_scale"))
    least = w.node("Min", [x, w.number(0.0)], op)
    if inner != 1:
        least = w.node("Mul", [least, w.number(inner)], op)
    low = w.node("Mul", [w.node("Sub", [w.node("Exp", [least], op), w.number(1.0)], op), w.number(alpha)], op)
    found = w.node("Add", [w.node("Relu", [x], op), low], op)
    return w.node("Mul", [found, w.number(scale)], op) if scale != 1 else found


def _gelu(w: Writer, op: Op) -> str:
    x = w.read(op, "self")
    if op.setting("approximate", "none") == "tanh":
        cube = w.node("Mul", [w.node("Pow", [x, w.number(3.0)], op), w.number(0.044715)], op)
        inner = w.node("Mul", [w.node("Add", [x, cube], op), w.number(math.sqrt(2 / math.pi))], op)
        bent = w.node("Tanh", [inner], op)
    else:
        bent = w.node("Erf", [w.node("Mul", [x, w.number(math.sqrt(0.5))], op)], op)
    half = w.node("Mul", [x, w.number(0.5)], op)
    return w.node("Mul", [half, w.node("Add", [bent, w.number(1.0)], op)], op)


def _softplus(w: Writer, op: Op) -> str:
    x, beta, threshold = w.read(op, "self"), float(op.setting("beta", 1)), float(op.setting("threshold", 20))
    inner = w.node("Mul", [x, w.number(beta)], op)
    soft = w.node("Div", [w.node("Softplus", [inner], op), w.number(beta)], op)
    return w.node("Where", [w.node("Greater", [inner, w.number(threshold)], op), x, soft], op)


def _mish(w: Writer, op: Op) -> str:
    x = w.read(op, "self")
    return w.node("Mul", [x, w.node("Tanh", [w.node("Softplus", [x], op)], op)], op)


def _log_sigmoid(w: Writer, op: Op) -> str:
    return w.node("Neg", [w.node("Softplus", [w.node("Neg", [w.read(op, "self")], op)], op)], op)


def _threshold(w: Writer, op: Op) -> str:
    x = w.read(op, "self")
    above = w.node("Greater", [x, w.read(op, "threshold")], op)
    return w.node("Where", [above, x, w.read(op, "value")], op)


def _shrunk(w: Writer, op: Op, by: float) -> str:
    """0 where the size is at most `lambd`; others are `by` smaller."""
    x, limit = w.read(op, "self"), w.number(float(op.setting("lambd", 0.5)))
    kept = w.node("Sub", [x, w.node("Mul", [w.node("Sign", [x], op), w.number(by)], op)], op) if by else x
    small = w.node("LessOrEqual", [w.node("Abs", [x], op), limit], op)
    return w.node("Where", [small, w.number(0.0), kept], op)


def _glu(w: Writer, op: Op) -> str:
    dim = op.setting("dim", -1)
    half = w.shape(op)[dim] // 2
    parts = [w.cut(op, w.read(op, "self"), *ends, dim) for ends in ((0, half), (half, 2 * half))]
    return w.node("Mul", [parts[0], w.node("Sigmoid", [parts[1]], op)], op)


def _baddbmm(w: Writer, op: Op) -> str:
    pair = {"baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}[op.name]
    made = w.node("MatMul", [w.read(op, name) for name in pair], op)
    alpha, beta = (float(op.setting(name, 1)) for name in ("alpha", "beta"))
    if alpha != 1:
        made = w.node("Mul", [made, w.number(alpha)], op)
    if not beta:  # 0 hides even NaN
        return made
    added = w.read(op, "self")
    if beta != 1:
        added = w.node("Mul", [added, w.number(beta)], op)
    return w.node("Add", [added, made], op)


def _attention(w: Writer, op: Op) -> str:
    query, key, value = w.read(op, "query"), _shared(w, op, "key"), _shared(w, op, "value")
    shape = w.shape(op, "query")
    scale = op.setting("scale")
    scale = 1 / math.sqrt(shape[-1]) if scale is None else scale
    order = list(range(len(shape)))
    order[-2:] = order[-1], order[-2]
    turned = w.node("Transpose", [key], op, perm=order)
    scores = w.node("Mul", [w.node("MatMul", [query, turned], op), w.number(float(scale))], op)
    masked = isinstance(op.setting("attn_mask"), Ref)
    if masked:
        mask = op.setting("attn_mask").value
        added = w.name(mask)
        if w.dtype(mask) == "bool":
            added = w.node("Where", [added, w.number(0.0), w.number(-math.inf)], op)
        scores = w.node("Add", [scores, added], op)
    if op.setting("is_causal"):
        rows, columns = shape[-2], w.shape(op, "key")[-2]
        after = torch.full((rows, columns), -math.inf).triu(1)
        scores = w.node("Add", [scores, w.tensor(after)], op)
    weights = _unhidden(w, op, scores, -1) if masked else w.node("Softmax", [scores], op, axis=-1)
    return w.node("MatMul", [weights, value], op)


def _shared(w: Writer, op: Op, name: str) -> str:
    """Keys or values; where there are fewer heads than queries have, each head serves several that stand together."""
    sides = w.grows(op.setting(name).value)
    heads, asked = (w.shape(op, each)[-3] if len(sides) > 3 else 1 for each in (name, "query"))
    if heads in (1, asked):  # a single one serves all of itself
        return w.read(op, name)
    *images, _, rows, columns = sides
    apart = _reshaped(w, op, w.read(op, name), [*images, (0, heads), (0, 1), rows, columns])
    again = w.sized(op, [*images, (0, heads), (0, asked // heads), rows, columns])
    repeated = w.node("Expand", [apart, again], op)
    return _reshaped(w, op, repeated, [*images, (0, asked), rows, columns])


def _border(mode: str) -> Rule:
    return lambda w, op: w.node("Pad", [w.read(op, "self"), _edges(w, op, "padding")], op, mode=mode)


def _permute(w: Writer, op: Op) -> str:
    rank = len(w.shape(op))
    if op.name == "permute":
        order = [dim % rank for dim in op.setting("dims")]
    elif op.name == "t":
        order = list(reversed(range(rank)))
    else:
        order = list(range(rank))
        one, other = (op.setting(name) % rank for name in ("dim0", "dim1"))
        order[one], order[other] = other, one
    if order == list(range(rank)):
        return w.node("Identity", [w.read(op, "self")], op)
    return w.node("Transpose", [w.read(op, "self")], op, perm=order)


def _select(w: Writer, op: Op) -> str:
    dim, place = op.setting("dim"), w.tensor(torch.tensor(op.setting("index")))
    return w.node("Gather", [w.read(op, "self"), place], op, axis=dim)


def _expand(w: Writer, op: Op) -> str:
    return w.node("Expand", [w.read(op, "self"), w.sized(op, w.grows(op.outputs[0]))], op)


def _filled(value: float | None = None) -> Rule:
    """A tensor full of one number, whose size may change with the batch."""

    def rule(w: Writer, op: Op) -> str:
        name = "value" if op.setting("fill_value") is None else "fill_value"
        dtype = w.dtype(op.outputs[0])
        one = w.read(op, name, dtype) if value is None else w.number(value, dtype)
        return w.node("Expand", [one, w.sized(op, w.grows(op.outputs[0]))], op)

    return rule


def _copied(w: Writer, op: Op) -> str:
    """What one tensor takes over from another, in its own shape and dtype."""
    found = w.read(op, "src", w.dtype(op.outputs[0]))
    if w.shape(op, "src") == w.out_shape(op):
        return found
    return w.node("Expand", [found, w.sized(op, w.grows(op.outputs[0]))], op)


class _Apart(ValueError):
    """Numbers whose places in memory no constant tells."""


def _places(graph: Graph, value: int) -> Tensor:
    """Where each number of a value lies in the memory that it shares with others, as a tensor of its shape."""
    op, shape = graph.maker.get(value), graph.values[value].shape
    source = None if op is None or not op.reads else (op.writes or op.reads)[0]
    if op is None or source is None or graph.values[source].storage != graph.values[value].storage:
        if math.prod(shape) > LARGEST_SHARED:
            raise _Apart
        return torch.arange(math.prod(shape)).reshape(shape)
    found = _places(graph, source)
    if not op.writes and op.name != "changed":  # a view
        found = carry_out(op, {source: found})[op.outputs.index(value)]
    if found.shape != shape:
        raise _Apart
    return found


def _goals(graph: Graph, old: int, by: int, batch: bool) -> Tensor:
    """At which place of `old` each number of `by` stands, -1 for none; of one image, if it is the same for all."""
    all_of, some = _places(graph, old), _places(graph, by)
    if any(len(each.unique()) < each.numel() for each in (all_of, some)):
        raise _Apart  # numbers that share their place
    inverse = torch.full((int(max(all_of.max(), some.max())) + 1,), -1)
    inverse[all_of.flatten()] = torch.arange(all_of.numel())
    goals = inverse[some.flatten()]
    if not batch:
        return goals
    images = len(all_of)
    size = all_of.numel() // images
    goals = goals.reshape(images, -1)
    goals = torch.where(goals < 0, goals, goals - size * torch.arange(images)[:, None])
    if not bool(((goals >= -1) & (goals < size) & (goals == goals[0])).all()):
        raise _Apart
    return goals[0]


def _changed(w: Writer, op: Op) -> str:
    """A tensor after a view of it, or another view of its memory, was written to.

    Each number of `by` goes to its place, which is a constant; or a constant for each image, and the same for all.
    """
    old, by = (op.setting(name).value for name in ("self", "by"))
    sides = [w.grows(value) for value in (old, by)]
    batch = all(each[:1] == [(1, 0)] for each in sides)
    try:
        goals, again = (_goals(graph, old, by, batch) for graph in (w.graph, w.other))
        if not torch.equal(goals, again) or any(a for each in sides for a, _ in each[batch:]):
            raise _Apart
    except (ReplayError, _Apart, IndexError, RuntimeError):  # the latter: no number, or no shape that fits
        raise ValueError(
            f"{w.called(op)}: numbers are written through a view in a way that has no counterpart here; make a new "
            "tensor of them, as with torch.where or torch.cat"
        ) from None
    images, lead = (RECORDED[0], (1, 0)) if batch else (1, (0, 1))
    before, written = (
        _reshaped(w, op, w.name(value), [lead, (0, math.prod(w.graph.values[value].shape) // images)])
        for value in (old, by)
    )
    kept = (goals >= 0).nonzero().flatten()
    if len(kept) < len(goals):  # the view goes beyond this one
        written = w.node("Gather", [written, w.tensor(kept)], op, axis=1)
    places = w.node("Expand", [w.tensor(goals[kept][None]), w.sized(op, [lead, (0, len(kept))])], op)
    made = w.node("ScatterElements", [before, places, written], op, axis=1)
    return _reshaped(w, op, made, sides[0])


def _repeat(w: Writer, op: Op) -> str:
    """As often as the result is larger, which may change with the batch."""
    times, more = (graph.maker[op.outputs[0]].setting("repeats") for graph in (w.graph, w.other))
    name = w.read(op, "self")
    if len(times) > len(w.shape(op)):
        sides = [(0, 1)] * (len(times) - len(w.shape(op))) + w.grows(op.setting("self").value)
        name = _reshaped(w, op, name, sides)
    return w.node("Tile", [name, w.sized(op, _growth(times, more))], op)


def _pieces(w: Writer, op: Op) -> list[str]:
    """split and unbind: a slice for each result."""
    dim = op.setting("dim", 0) % len(w.shape(op))
    if w.grows(op.setting("self").value)[dim][0]:
        raise ValueError(f"{w.called(op)} cuts the batch into pieces, which has no counterpart here")
    x, found, start = w.read(op, "self"), [], 0
    for value in op.outputs:
        if op.name == "unbind":
            found.append(w.node("Gather", [x, w.tensor(torch.tensor(start))], op, axis=dim))
            start += 1
            continue
        end = start + w.graph.values[value].shape[dim]
        found.append(w.cut(op, x, start, end, dim))
        start = end
    return found


def _stack(w: Writer, op: Op) -> str:
    rank, dim = len(w.out_shape(op)), op.setting("dim", 0)
    place = w.tensor([dim % rank])
    parts = [w.node("Unsqueeze", [w.name(each.value), place], op) for each in op.setting("tensors")]
    return w.node("Concat", parts, op, axis=dim % rank)


def _roll(w: Writer, op: Op) -> str:
    dims, found = op.setting("dims"), w.read(op, "self")
    if not dims:
        raise ValueError(f"{w.called(op)} turns all numbers as one list; name the dimensions")
    for shift, dim in zip(op.setting("shifts"), dims, strict=True):
        a, size = w.grows(op.setting("self").value)[dim]
        if a:
            raise ValueError(f"{w.called(op)} turns the images of a batch, which has no counterpart here")
        if shift % size == 0:
            continue
        cut = size - shift % size
        parts = [w.cut(op, found, *ends, dim) for ends in ((cut, size), (0, cut))]
        found = w.node("Concat", parts, op, axis=dim)
    return found


def _flip(w: Writer, op: Op) -> str:
    found = w.read(op, "self")
    for dim in op.setting("dims"):
        found = w.cut(op, found, -1, -(2**62), dim, -1)
    return found


def _triangle(upper: int) -> Rule:
    def rule(w: Writer, op: Op) -> str:
        place = w.tensor(torch.tensor(op.setting("diagonal", 0)))
        return w.node("Trilu", [w.read(op, "self"), place], op, upper=upper)

    return rule


def _shuffled(w: Writer, op: Op) -> str:
    """pixel_shuffle, pixel_unshuffle, channel_shuffle: other sides, another order, other sides again."""
    images, *_ = w.grows(op.setting("self").value)
    if len(w.shape(op)) != 4:
        raise ValueError(f"{w.called(op)} works on {len(w.shape(op))} dimensions; expected 4, images first")
    channels, height, width = w.shape(op)[1:]
    sides: tuple[int, ...]
    if op.name == "channel_shuffle":
        groups = op.setting("groups")
        sides, order = (groups, channels // groups, height, width), [0, 2, 1, 3, 4]
    elif op.name == "pixel_shuffle":
        r = op.setting("upscale_factor")
        sides, order = (channels // r**2, r, r, height, width), [0, 1, 4, 2, 5, 3]
    else:
        r = op.setting("downscale_factor")
        sides, order = (channels, height // r, r, width // r, r), [0, 1, 3, 5, 2, 4]
    cut = _reshaped(w, op, w.read(op, "self"), [images, *((0, side) for side in sides)])
    turned = w.node("Transpose", [cut], op, perm=order)
    return _reshaped(w, op, turned, w.grows(op.outputs[0]))


def _index_select(w: Writer, op: Op) -> str:
    index = w.node("Reshape", [w.read(op, "index"), w.tensor([-1])], op)  # a single number picks a side of 1
    return w.node("Gather", [w.read(op, "self"), index], op, axis=op.setting("dim"))


def _gather(w: Writer, op: Op) -> str:
    return w.node("GatherElements", [w.read(op, "self"), w.read(op, "index")], op, axis=op.setting("dim"))


def _windows_between(size: int, cells: int) -> Tensor:
    """A matrix (cells, size) that takes the mean of each window of an adaptive pool."""
    made = torch.zeros(cells, size)
    for cell in range(cells):
        start, end = cell * size // cells, -(-(cell + 1) * size // cells)
        made[cell, start:end] = 1 / (end - start)
    return made


def _adaptive_max_pool(w: Writer, op: Op) -> str:
    grid, cells = w.shape(op)[-2:], w.out_shape(op)[-2:]
    if any(size % n for size, n in zip(grid, cells, strict=True)):
        raise ValueError(
            f"{w.called(op)} from {grid} to {cells} has windows of different sizes; ONNX has none such"
        )
    kernel = [size // n for size, n in zip(grid, cells, strict=True)]
    return _pooled(w, op, "MaxPool", kernel_shape=kernel, strides=kernel)


def _resized(mode: str) -> Rule:
    """Images of another size; the numbers between are found as torch finds them."""

    def rule(w: Writer, op: Op) -> str:
        shape, size = w.shape(op), w.out_shape(op)
        how = "align_corners" if op.setting("align_corners", False) else "half_pixel"
        for place, (before, after) in enumerate(zip(shape[2:], size[2:], strict=True)):
            given = op.setting("scale_factors") or [
                op.setting(name) for name in (("scales_d", "scales_h", "scales_w")[-len(shape) + 2 :])
            ]
            asked = given[place] if given and place < len(given) else None
            # Corners that are aligned leave nothing to a scale.
            if how == "half_pixel" and asked is not None and abs(before * asked - after) > 1e-6:
                raise ValueError(
                    f"{w.called(op)} has a scale that does not give whole sizes, which has no counterpart here"
                )
        settings: dict[str, str | float] = {"mode": mode, "coordinate_transformation_mode": how}
        if mode == "cubic":
            settings["cubic_coeff_a"] = -0.75
        # Sizes, and not scales: 11 times 13 / 11 is less than 13 in float32, and would be rounded down.
        inputs = [w.read(op, "self"), "", "", w.sized(op, w.grows(op.outputs[0]))]
        return w.node("Resize", inputs, op, **settings)

    return rule


def _affine(w: Writer, op: Op, found: str, shape: list[int]) -> str:
    """The scale and the shift of a norm, if it has them, as tensors of this shape."""
    for kind, name in (("Mul", "weight"), ("Add", "bias")):
        if isinstance(op.setting(name), Ref):
            found = w.node(kind, [found, w.node("Reshape", [w.read(op, name), w.tensor(shape)], op)], op)
    return found


def _standardised(w: Writer, op: Op, x: str, axes: list[int], eps: float) -> str:
    way = w.node("Sub", [x, w.node("ReduceMean", [x], op, axes=axes, keepdims=1)], op)
    spread = w.node("ReduceMean", [w.node("Mul", [way, way], op)], op, axes=axes, keepdims=1)
    root = w.node("Sqrt", [w.node("Add", [spread, w.number(eps)], op)], op)
    return w.node("Div", [way, root], op)


def _layer_norm(w: Writer, op: Op) -> str:
    sides = op.setting("normalized_shape")
    axes = [-place for place in range(len(sides), 0, -1)]
    found = _standardised(w, op, w.read(op, "input"), axes, op.setting("eps", 1e-5))
    return _affine(w, op, found, list(sides))


def _group_norm(w: Writer, op: Op) -> str:
    value = op.setting("input").value
    images, *_ = sides = w.grows(value)
    groups = op.setting("group", op.setting("num_groups"))
    channels, *grid = w.graph.values[value].shape[1:]
    apart = [images, (0, groups), (0, channels // groups), *((0, side) for side in grid)]
    cut = _reshaped(w, op, w.read(op, "input"), apart)
    found = _standardised(w, op, cut, list(range(2, len(apart))), op.setting("eps", 1e-5))
    return _affine(w, op, _reshaped(w, op, found, sides), [1, channels, *(1 for _ in grid)])


CONVOLUTION = "input weight bias stride padding dilation transposed output_padding groups"
NORM = "input weight bias running_mean running_var training train momentum eps"
POOL = "self kernel_size stride padding ceil_mode"
RESIZE = "self output_size align_corners scales_h scales_w scale_factors"

#: The rules by which `casestudies.export.to_onnx` writes operations, by `casestudies.graph.Op.name`, each with
#: the arguments that it knows; any other argument is refused. `sorted(RULES)` lists the operations.
RULES: dict[str, tuple[Rule, str]] = {
    "convolution": (_convolution, CONVOLUTION),
    "batch_norm": (_batch_norm, NORM),
    **{
        name: (_elementwise(name.title()), "self")
        for name in (
            "relu tanh sigmoid neg exp abs sqrt log sin cos tan asin acos atan sinh cosh asinh acosh atanh erf floor "
            "ceil round sign reciprocal"
        ).split()
    },
    "rsqrt": (_chain(("Sqrt", None), ("Reciprocal", None)), "self"),
    "log2": (_chain(("Log", None), ("Mul", 1 / math.log(2))), "self"),
    "log10": (_chain(("Log", None), ("Mul", 1 / math.log(10))), "self"),
    "log1p": (_log1p, "self"),
    "exp2": (_chain(("Mul", math.log(2)), ("Exp", None)), "self"),
    "expm1": (_expm1, "self"),
    "trunc": (_trunc, "self"),
    "frac": (lambda w, op: w.node("Sub", [w.read(op, "self"), _trunc(w, op)], op), "self"),
    "silu": (_silu, "self"),
    "hardtanh": (_clip, "self min_val max_val"),
    "add": (_scaled("Add"), "self other alpha"),
    "sub": (_scaled("Sub"), "self other alpha"),
    "rsub": (_scaled("Sub", turned=True), "self other alpha"),
    "mul": (_pairwise("Mul"), "self other"),
    "div": (_pairwise("Div"), "self other"),
    "pow": (_pairwise("Pow", "exponent"), "self exponent"),
    "maximum": (_pairwise("Max"), "self other"),
    "minimum": (_pairwise("Min"), "self other"),
    "remainder": (lambda w, op: _remainder(w, op)[2], "self other"),
    "fmod": (_pairwise("Mod", fmod=1), "self other"),
    "floor_divide": (_floor_divide, "self other"),
    "eq": (_compared("Equal"), "self other"),
    "ne": (_compared("Equal", negated=True), "self other"),
    "lt": (_compared("Less"), "self other"),
    "le": (_compared("LessOrEqual"), "self other"),
    "gt": (_compared("Greater"), "self other"),
    "ge": (_compared("GreaterOrEqual"), "self other"),
    **{f"logical_{word}": (_logical(word.title()), "self other") for word in ("and", "or", "xor")},
    **{f"bitwise_{word}": (_bits(word.title()), "self other") for word in ("and", "or", "xor")},
    "bitwise_not": (_bits("Not"), "self"),
    "isnan": (lambda w, op: w.node("IsNaN", [w.read(op, "self", "float32")], op), "self"),
    "isinf": (lambda w, op: w.node("IsInf", [w.read(op, "self", "float32")], op), "self"),
    "logical_not": (lambda w, op: w.node("Not", [w.read(op, "self", "bool")], op), "self"),
    "where": (_where, "condition self other"),
    "masked_fill": (_masked_fill, "self mask value"),
    "to_copy": (lambda w, op: w.read(op, "self", w.dtype(op.outputs[0])), "self dtype memory_format"),
    "clamp": (_bounds("min", "max"), "self min max"),
    "clamp_min": (_bounds("min", ""), "self min"),
    "clamp_max": (_bounds("", "max"), "self max"),
    "addcmul": (_fused("Mul"), "self tensor1 tensor2 value"),
    "addcdiv": (_fused("Div"), "self tensor1 tensor2 value"),
    "lerp": (_lerp, "self end weight"),
    "amax": (_extreme("Max"), "self dim keepdim"),
    "amin": (_extreme("Min"), "self dim keepdim"),
    "prod": (_reduction("ReduceProd"), "self dim keepdim"),
    "logsumexp": (_reduction("ReduceLogSumExp"), "self dim keepdim"),
    "max": (_extreme("Max"), "self dim keepdim"),
    "min": (_extreme("Min"), "self dim keepdim"),
    "argmax": (lambda w, op: _placed(w, op, "Max"), "self dim keepdim"),
    "argmin": (lambda w, op: _placed(w, op, "Min"), "self dim keepdim"),
    "any": (_any("ReduceMax"), "self dim keepdim"),
    "all": (_any("ReduceMin"), "self dim keepdim"),
    "var": (_variance(root=False, mean=False), "self dim unbiased correction keepdim"),
    "std": (_variance(root=True, mean=False), "self dim unbiased correction keepdim"),
    "var_mean": (_variance(root=False, mean=True), "self dim unbiased correction keepdim"),
    "std_mean": (_variance(root=True, mean=True), "self dim unbiased correction keepdim"),
    "linalg_vector_norm": (_vector_norm, "self ord dim keepdim"),
    "norm": (_vector_norm, "self p dim keepdim"),
    "softmax": (_along("Softmax"), "self dim half_to_float"),
    "safe_softmax": (lambda w, op: _unhidden(w, op, w.read(op, "self"), op.setting("dim")), "self dim"),
    "log_softmax": (_along("LogSoftmax"), "self dim half_to_float"),
    "cumsum": (_cumsum, "self dim"),
    "topk": (_topk, "self k dim largest sorted"),
    "sort": (_topk, "self dim descending stable"),
    "gelu": (_gelu, "self approximate"),
    "elu": (_elu, "self alpha scale input_scale"),
    "celu": (_elementwise("Celu", alpha=("alpha", 1)), "self alpha"),
    "leaky_relu": (_elementwise("LeakyRelu", alpha=("negative_slope", 0.01)), "self negative_slope"),
    "softplus": (_softplus, "self beta threshold"),
    "mish": (_mish, "self"),
    "hardswish": (_elementwise("HardSwish"), "self"),
    "hardsigmoid": (
        lambda w, op: w.node("HardSigmoid", [w.read(op, "self")], op, alpha=1 / 6, beta=0.5),
        "self",
    ),
    "log_sigmoid_forward": (_log_sigmoid, "self"),
    "hardshrink": (lambda w, op: _shrunk(w, op, 0.0), "self lambd"),
    "softshrink": (lambda w, op: _shrunk(w, op, float(op.setting("lambd", 0.5))), "self lambd"),
    "threshold": (_threshold, "self threshold value"),
    "prelu_kernel": (_pairwise("PRelu", "weight"), "self weight"),
    "glu": (_glu, "self dim"),
    "layer_norm": (_layer_norm, "input normalized_shape weight bias eps cudnn_enable"),
    "group_norm": (_group_norm, "input weight bias N C HxW group num_groups eps cudnn_enabled"),
    "max_pool3d": (_max_pool, f"{POOL} dilation"),
    "adaptive_max_pool2d": (_adaptive_max_pool, "self output_size"),
    "upsample_bilinear2d": (_resized("linear"), RESIZE),
    "upsample_bicubic2d": (_resized("cubic"), RESIZE),
    "baddbmm": (_baddbmm, "self batch1 batch2 beta alpha"),
    "addmv": (_baddbmm, "self mat vec beta alpha"),
    "mv": (_pairwise("MatMul", "vec"), "self vec"),
    "dot": (_pairwise("MatMul", "tensor"), "self tensor"),
    "scaled_dot_product_attention": (_attention, "query key value attn_mask is_causal scale enable_gqa"),
    "reflection_pad1d": (_border("reflect"), "self padding"),
    "reflection_pad2d": (_border("reflect"), "self padding"),
    "replication_pad1d": (_border("edge"), "self padding"),
    "replication_pad2d": (_border("edge"), "self padding"),
    "permute": (_permute, "self dims"),
    "transpose": (_permute, "self dim0 dim1"),
    "select": (_select, "self dim index"),
    "expand": (_expand, "self size"),
    "as_strided": (_same_layout, "self size stride storage_offset"),
    "repeat": (_repeat, "self repeats"),
    "split": (_pieces, "self split_size dim"),
    "unsafe_split": (_pieces, "self split_size dim"),
    "split_with_sizes": (_pieces, "self split_sizes dim"),
    "unbind": (_pieces, "self dim"),
    "stack": (_stack, "tensors dim"),
    "copy": (_copied, "self src"),
    "fill": (_filled(), "self value"),
    "zero": (_filled(0), "self"),
    "changed": (_changed, "self by"),
    "empty_like": (_filled(0), "self dtype memory_format"),
    "new_empty": (_filled(0), "self size dtype"),
    "empty": (_filled(0), "size dtype memory_format"),
    "roll": (_roll, "self shifts dims"),
    "flip": (_flip, "self dims"),
    "tril": (_triangle(0), "self diagonal"),
    "triu": (_triangle(1), "self diagonal"),
    "pixel_shuffle": (_shuffled, "self upscale_factor"),
    "pixel_unshuffle": (_shuffled, "self downscale_factor"),
    "channel_shuffle": (_shuffled, "self groups"),
    "index_select": (_index_select, "self dim index"),
    "gather": (_gather, "self dim index"),
    **{
        f"{word}{rest}": (_filled(value), "self size fill_value dtype memory_format pin_memory")
        for word, value in (("zeros", 0), ("ones", 1), ("full", None))
        for rest in ("", "_like")
    },
    **{
        f"new_{word}": (_filled(value), "self size fill_value dtype")
        for word, value in (("zeros", 0), ("ones", 1), ("full", None))
    },
    "max_pool2d": (_max_pool, f"{POOL} dilation"),
    "avg_pool2d": (_average_pool, f"{POOL} count_include_pad divisor_override"),
    "avg_pool3d": (_average_pool, f"{POOL} count_include_pad divisor_override"),
    "adaptive_avg_pool2d": (_adaptive_average_pool, "self output_size"),
    "mean": (_reduction("ReduceMean"), "self dim keepdim"),
    "sum": (_reduction("ReduceSum"), "self dim keepdim"),
    "addmm": (_addmm, "self mat1 mat2 beta alpha"),
    "mm": (_pairwise("MatMul", "mat2"), "self mat2"),
    "bmm": (_pairwise("MatMul", "mat2"), "self mat2"),
    "view": (_view, "self size"),
    "t": (_permute, "self"),
    "alias": (_elementwise("Identity"), "self"),
    "clone": (_elementwise("Identity"), "self memory_format"),
    "detach": (_elementwise("Identity"), "self"),
    "lift_fresh": (_elementwise("Identity"), "self"),
    "slice": (_slice, "self dim start end step"),
    "index": (_index, "self indices"),
    "unsafe_index": (_index, "self indices"),
    "cat": (_cat, "tensors dim"),
    "constant_pad_nd": (_pad, "self pad value"),
    "squeeze": (_squeeze, "self dim"),
    "unsqueeze": (
        lambda w, op: w.node("Unsqueeze", [w.read(op, "self"), w.tensor([op.setting("dim")])], op),
        "self dim",
    ),
}
# Operations that may work with whole numbers and with true and false, beside float32.
MIXED = set(
    """
    add sub rsub mul eq ne lt le gt ge logical_and logical_or logical_xor logical_not where masked_fill to_copy
    clamp maximum minimum sum max min any all argmax argmin topk sort view expand repeat squeeze unsqueeze permute
    transpose t slice select index unsafe_index index_select gather cat stack split unsafe_split split_with_sizes
    unbind flip roll alias clone detach lift_fresh zeros ones full zeros_like ones_like full_like new_zeros
    new_ones new_full new_empty empty_like empty copy fill zero changed div neg remainder cumsum amax amin isnan isinf
    bitwise_and bitwise_or bitwise_xor bitwise_not constant_pad_nd
    """.split()
)
# Operations that may take a dimension of a single number, and leave it as it is.
OF_ONE = set("unsqueeze squeeze mean sum amax amin prod logsumexp any all".split())
FLOAT64 = 11  # the number of float64 in ONNX
KINDS = {"float32": 1, "int64": 7, "bool": 9}  # and their numbers in ONNX
# Operations that take no numbers from what they read.
FORMS = set("zeros_like ones_like full_like empty_like new_zeros new_ones new_full new_empty".split())
# Settings that may change with the number of images: the rule takes them from the shape of the result.
SIZES = {
    "view": ("size",), "as_strided": ("size",), "expand": ("size",), "repeat": ("repeats",), "group_norm": ("N",),
    "zeros": ("size",), "ones": ("size",), "full": ("size",),
    "new_zeros": ("size",), "new_ones": ("size",), "new_full": ("size",), "new_empty": ("size",), "empty": ("size",),
}  # fmt: skip
