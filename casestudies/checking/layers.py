"""Layers: the normal form of a graph, in which two ways to write the same computation are equal.

A recording holds operations; a reader thinks in layers. Views and copies fold away, `clamp(min=0)`, `maximum(x, 0)`
and `where(x > 0, x, 0)` are ReLU, `x * sigmoid(x)` is SiLU, a padding with zeros before a convolution is the
convolution's, `addmm` is a linear layer, sums of sums are one sum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from casestudies.checking.borders import border as surrounded
from casestudies.graph import Graph, Op, Ref

MOST_OPS = 2000  # of a graph that is brought into normal form at all


@dataclass(frozen=True)
class Layer:
    """A step of a computation: what it is, its settings, the layers that it reads, and the value it stands for."""

    kind: str
    settings: tuple[tuple[str, Any], ...]
    reads: tuple[int, ...]
    value: int  # of the graph
    shape: tuple[int, ...]
    written: str = ""  # where it is written as another kind that does the same: what it is called
    sliced: bool = False  # whether its stride comes of rows or columns that are left out beside it

    @property
    def label(self) -> tuple[str, tuple[tuple[str, Any], ...]]:
        return self.kind, self.settings

    def setting(self, name: str, default: Any = None) -> Any:
        return dict(self.settings).get(name, default)


VIEWS = set(
    "view reshape expand contiguous clone alias unsqueeze squeeze unsafe_view lift_fresh flatten unflatten".split()
)
CUTS = set(
    "select slice split split_with_sizes unsafe_split unbind chunk narrow".split()
)  # a part of a tensor
ACTIVATIONS = {
    "relu": "ReLU",
    "silu": "SiLU",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "gelu": "GELU",
    "elu": "ELU",
    "selu": "SELU",
    "leaky_relu": "LeakyReLU",
    "hardswish": "hard swish",
    "hardsigmoid": "hard sigmoid",
    "mish": "Mish",
    "softplus": "softplus",
    "softmax": "softmax",
    "log_softmax": "log-softmax",
    "exp": "exponential",
    "abs": "absolute value",
}
ACTIVATION_KINDS = {*ACTIVATIONS.values(), "ReLU6", "clamp", "PReLU"}
NORMS = {"batch norm", "instance norm", "group norm", "layer norm", "local response norm"}
POOLS = {
    *("max pooling", "average pooling", "sum pooling"),
    *("global average pooling", "global max pooling", "adaptive pooling"),
}
WITH_PARAMETERS = {*NORMS, "convolution", "linear layer", "PReLU", "parameter"}
# What is shown to a student as a fact; other operations are somebody's own way to write one of these.
KNOWN = {
    *ACTIVATION_KINDS,
    *NORMS,
    *POOLS,
    *("input", "convolution", "linear layer", "sum", "difference", "product", "concatenation", "dropout"),
    *("scale", "shift", "detach", "cast", "padding", "flip", "parameter", "subsampling", "zero channels"),
    *("choice of channels", "weighted sum of windows"),
}
# Operations that `_Normal` has a method for.
RULES = set(
    "convolution batch_norm addmm mm clamp clamp_min clamp_max hardtanh threshold maximum where add sub mul div neg "
    "cat max_pool2d avg_pool2d mean amax adaptive_avg_pool2d adaptive_max_pool2d constant_pad_nd reflection_pad2d "
    "replication_pad2d detach flip prelu_kernel group_norm layer_norm reciprocal slice select permute pow sum split "
    "split_with_sizes chunk addcmul".split()
)
COMMUTATIVE = {"sum", "product"}
# What does the same to each pixel, in whichever order the pixels stand, where the channels are the last axis.
PIXELWISE = {
    *ACTIVATION_KINDS - {"softmax", "log-softmax", "PReLU"},
    *("linear layer", "scale", "shift", "sum", "product", "dropout"),
}
UNREGISTERED = "not registered"  # said of weights


def _of_a_summand(weight: str) -> str | None:
    """What is said of weights that are added or multiplied by themselves. A tensor that requires a gradient and that
    walks do not find may be what an earlier call computed as well as a parameter in a list."""
    return "constant" if weight == UNREGISTERED else weight or None


def layers_of(graph: Graph) -> tuple[Layer, ...]:
    """The layers that the output of a graph depends on, in the order in which they run; the last is the output.

    Raises ValueError for a graph that returns something else than one tensor, or is too long.
    """
    if len(graph.outputs) != 1 or len(graph.ops) > MOST_OPS:
        raise ValueError("not one tensor, or too many operations")
    return _Normal(graph).layers()


def lost_kinds(graph: Graph) -> set[str]:
    """The kinds of the layers whose result nothing reads and that is not returned either."""
    if len(graph.outputs) != 1 or len(graph.ops) > MOST_OPS:
        return set()
    normal = _Normal(graph)
    normal.layers()
    read = {value for op in graph.ops for value in op.reads} | set(graph.outputs)
    return {layer.kind for layer in normal.found if layer.value not in read and layer.value >= 0}


class _Normal:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.data = graph.data()
        self.found: list[Layer] = []
        self.at: dict[int, int] = {}  # the layer that a value is
        self.noise: dict[int, float] = {}  # values of random masks: the probability of a one
        self.constant = {each.value: each.data for each in graph.constants}
        self.held = {held.value: held for held in graph.state if held.value is not None}
        self.user: dict[int, int] = {}  # the operation that first uses a parameter, by what it makes
        self.now = -1  # what the operation at hand makes
        self.sliced: set[int] = set()  # values of layers that have a stride of slices

    def layers(self) -> tuple[Layer, ...]:
        for place, value in enumerate(self.graph.inputs):
            name = (("number", place),) if len(self.graph.inputs) > 1 else ()
            self._put("input", name, (), value)
        for op in self.graph.ops:
            if op.outputs and (op.random or not self.data.isdisjoint(op.reads)):
                self._op(op)
        last = self.at.get(self.graph.outputs[0])
        if last is None:
            raise ValueError("the output does not depend on the input")
        return _each_its_own(self._channels_last(self._pruned(last)))

    def _pruned(self, last: int) -> tuple[Layer, ...]:
        needed, waiting = set(), [last]
        while waiting:
            here = waiting.pop()
            if here not in needed:
                needed.add(here)
                waiting.extend(self.found[here].reads)
        order = sorted(needed)
        if order[-1] != last:
            raise ValueError("the output is not computed last")
        new = {old: number for number, old in enumerate(order)}
        return tuple(
            replace(self.found[old], reads=tuple(new[each] for each in self.found[old].reads))
            for old in order
        )

    def _channels_last(self, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        """With the pixels in their order wherever axes are moved for what is done to each pixel and moved back after
        it: in which order the pixels stand meanwhile changes nothing. `transpose(1, 3)` brings the channels to the
        end as `permute(0, 2, 3, 1)` does."""
        if not any(layer.kind == "permute" for layer in layers):
            return layers
        users: list[list[int]] = [[] for _ in layers]
        for place, layer in enumerate(layers):
            for each in dict.fromkeys(layer.reads):
                users[each].append(place)
        found = list(layers)
        for place, layer in enumerate(layers):
            if layer.kind == "permute" and (back := self._moved_back(layers, users, place)):
                there, again = self._usual_axes(layers, place)
                found[place] = with_setting(found[place], "dims", there)
                for each in back:
                    found[each] = with_setting(found[each], "dims", again)
        return tuple(found)

    def _moved_back(self, layers: tuple[Layer, ...], users: list[list[int]], start: int) -> list[int]:
        """The permutations that undo one, where all that reads it works pixel by pixel, and nothing else does."""
        first, dims = layers[start], layers[start].setting("dims")
        lead, pixels = first.shape[:-1], math.prod(first.shape[:-1])
        width, back, waiting = {start: first.shape[-1]}, [], list(users[start])
        while waiting:
            waiting.sort()
            place = waiting.pop(0)
            layer = layers[place]
            if place in width or place in back:
                continue
            if not set(layer.reads) <= width.keys():
                return []
            read = {width[each] for each in layer.reads}
            if layer.kind == "permute":
                before = self.graph.values[self._made(layer.value).reads[0]].shape
                if tuple(dims[each] for each in layer.setting("dims")) != tuple(range(len(dims))):
                    return []
                if before != (*lead, *read):
                    return []
                back.append(place)
                continue
            wide = layer.setting("out") if layer.kind == "linear layer" else next(iter(read))
            fits = layer.shape[-1:] == (wide,) and math.prod(layer.shape) == pixels * wide
            known = layer.kind in PIXELWISE and not layer.written and not layer.setting("of")
            if not known or not fits or len(read) != 1 or not users[place]:
                return []
            width[place] = wide
            waiting += users[place]
        return back

    def _usual_axes(self, layers: tuple[Layer, ...], place: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The axes with the last one of a permutation at the end and the others in order, and the way back."""
        dims, whole = layers[place].setting("dims"), layers[layers[place].reads[0]].shape
        shape = self.graph.values[self._made(layers[place].value).reads[0]].shape
        axes, last = len(dims), dims[-1]
        if axes == 3 and len(whole) == 4 and last == 1 and shape == (*whole[:2], whole[2] * whole[3]):
            axes = 4  # height and width seen as one axis
        there = (*(each for each in range(axes) if each != last), last)
        return there, tuple(there.index(each) for each in range(axes))

    # ------------------------------------------------------------------------------------------ single things

    def _put(
        self,
        kind: str,
        settings: tuple[tuple[str, Any], ...],
        reads: tuple[int, ...],
        value: int,
        written: str = "",
    ) -> int:
        settings = tuple((name, each) for name, each in settings if each is not None)
        flows = self.graph.values[value].requires_grad
        if self.graph.grad and reads and not flows and self.graph.values[value].dtype.startswith("float"):
            cut = any(self.graph.values[self.found[each].value].requires_grad for each in reads)
            settings += (("gradient", "none"),) if cut else ()
        shape, sliced = self.graph.values[value].shape, value in self.sliced
        self.found.append(Layer(kind, settings, reads, value, shape, written, sliced))
        self.at[value] = len(self.found) - 1
        return self.at[value]

    def _number(self, argument: Any) -> float | None:
        """A number among the arguments, or a tensor that is one."""
        if isinstance(argument, (int, float)) and not isinstance(argument, bool):
            return float(argument)
        if isinstance(argument, Ref):
            data = self.constant.get(argument.value)
            if data and not isinstance(data[0], complex) and all(each == data[0] for each in data):
                return float(data[0])
            op = self.graph.maker.get(argument.value)
            if op is not None and op.name in ("zeros_like", "zeros", "new_zeros"):
                return 0.0
            if op is not None and op.name in ("ones_like", "ones", "new_ones"):
                return 1.0
            if op is not None and op.name in VIEWS | {"to_copy", "scalar_tensor"}:
                return self._number(op.arguments[0][1])
        return None

    def _weight(self, argument: Any, depth: int = 0, cut: bool = False) -> str | None:
        """What was done with a parameter before it is used; empty for nothing, None where there is none."""
        if not isinstance(argument, Ref) or depth > 20:
            return None
        held = self.held.get(argument.value)
        if held is not None:
            words = []
            if not cut and self.user.setdefault(argument.value, self.now) != self.now:
                words.append("shared with a layer before")
            if held.kind == "parameter" and not held.requires_grad:
                words.append("frozen")
            if held.kind == "buffer":
                words.append("a buffer, not a parameter")
            return ", ".join(words)
        op = self.graph.maker.get(argument.value)
        if op is None and argument.value in self.constant:
            # What requires a gradient is a parameter; what walks over the block do not find is not registered.
            return UNREGISTERED if self.graph.values[argument.value].requires_grad else "constant"
        if op is None:
            return None
        cut = cut or op.name in CUTS or op.name == "index_select"
        inner = next(
            (w for each in op.reads if (w := self._weight(Ref(each), depth + 1, cut)) is not None), "constant"
        )
        if op.name in VIEWS | CUTS | {"t", "permute", "transpose", "cat", "stack", "index_select"}:
            return inner
        times = op.setting("repeats")
        if (
            op.name == "repeat"
            and isinstance(times, tuple)
            and len(times) == 4
            and set(times[1:]) == {1} != {times[0]}
        ):
            return ", ".join(filter(None, (inner, "the same for each channel")))
        if op.name == "mul" and isinstance(factor := op.setting("other"), (int, float)):
            return ", ".join(filter(None, (inner, f"multiplied by {factor:.4g}")))
        return ", ".join(filter(None, (inner, f"changed first ({op.name})")))

    # ------------------------------------------------------------------------------------------ an operation

    def _op(self, op: Op) -> None:
        op = self.graph.plain(op)
        get, out = dict(op.arguments).get, op.outputs[0]
        self.now = out
        source = get("self", get("input"))
        reads = tuple(self.at[each] for each in op.reads if each in self.at)
        name = op.name
        if name in ("empty_like", "zeros_like", "ones_like", "full_like", "new_empty", "empty"):
            return
        if name == "bernoulli":
            rate = get("p", 0.5)
            if not isinstance(rate, (int, float)):
                raise ValueError("the rate of a random mask is no number")
            self.noise[out] = float(rate)
            return
        if name == "div" and isinstance(source, Ref) and source.value in self.noise:
            self.noise[out] = self.noise[source.value]
            return
        if name in VIEWS and reads:
            self.at[out] = reads[0]
            return
        if name == "changed":
            by = get("by")
            if isinstance(by, Ref) and by.value in self.at:
                self.at[out] = self.at[by.value]
            return
        if name == "to_copy":
            before, after = self.graph.values[op.reads[0]].dtype, self.graph.values[out].dtype
            if before == after or not reads or not after.startswith(("float", "bfloat")):
                if reads:
                    self.at[out] = reads[0]
                return
            self._put("cast", (("to", after),), reads, out)
            return
        method = getattr(self, f"_{name}") if name in RULES else None
        if method is not None and reads and method(op, get, reads, out) is not False:
            return
        if name in ACTIVATIONS and reads:
            settings: list[tuple[str, Any]] = [
                (key, each) for key, each in op.arguments if not isinstance(each, (Ref, tuple))
            ]
            if name == "leaky_relu":
                settings = [("slope", get("negative_slope", 0.01))]
            if name == "gelu" and settings:  # the exact one has none
                settings = [("approximated by", get("approximate"))]
            settings = [each for each in settings if each[0] != "half_to_float"]
            self._put(ACTIVATIONS[name], tuple(settings), reads, out)
            return
        self._other(op, reads, out)

    def _other(self, op: Op, reads: tuple[int, ...], out: int) -> None:
        settings: list[tuple[str, Any]] = []
        whole = len(op.outputs) == 1 and len(reads) == 1 and op.name in CUTS
        if whole and self.graph.values[op.reads[0]].shape == self.graph.values[out].shape:
            self.at[out] = reads[0]  # nothing is cut off
            return
        for key, each in op.arguments:
            if isinstance(each, Ref):
                weight = None if each.value in self.at else self._weight(each)
                if weight is not None:
                    settings.append((key, weight or "a parameter"))
            else:
                settings.append((key, each))
        for place, value in enumerate(op.outputs):
            part = (
                (("part", place),) if len(op.outputs) > 1 and op.name.startswith(("split", "chunk")) else ()
            )
            # torch's "sum" reduces a tensor; ours joins two.
            kind = f"{op.name} over dimensions" if op.name in KNOWN else op.name.removeprefix("unsafe_")
            self._put(kind, (*settings, *part), reads, value)

    def _convolution(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) != 1:
            return False
        weight = self.graph.values[get("weight").value].shape
        sides = len(weight) - 2
        padding = tuple(side for each in _spread(get("padding"), sides) for side in (each, each))
        before, border = self.found[reads[0]], None
        if before.kind == "padding" and not any(padding) and len(before.setting("sides")) == 2 * sides:
            padding, border, reads = before.setting("sides"), before.setting("by"), before.reads
        elif sides == 2 and not any(padding) and (around := surrounded(self.graph, get("input").value)):
            source, around_it, kind = around
            if any(around_it) and source in self.at:
                padding, border, reads = around_it, kind, (self.at[source],)
        groups = get("groups", 1)
        transposed = bool(get("transposed"))
        stride = _spread(get("stride"), sides)
        plain = sides == 2 and not border and not transposed and set(_spread(get("dilation"), sides)) == {1}
        if plain and groups == weight[0] and self._spread_out(get("weight")):
            return self._sums_of_windows(get, weight, stride, padding, reads, out)
        before = self.found[reads[0]]
        if before.kind == "subsampling" and weight[2:] == (1,) * sides and not any(padding):
            # To leave pixels out before each is taken by itself is to leave them out there.
            steps = before.setting("steps")
            stride, reads = tuple(a * b for a, b in zip(stride, steps, strict=True)), before.reads
            self.sliced.add(out)
        if groups == 1 and not transposed and not any(padding) and weight[2:] == (1,) * sides:
            grid = self.graph.values[get("input").value].shape[2:]
            if len(grid) == sides and set(grid) <= {1}:  # the product of one matrix and a vector
                changed = ("weights", self._weight(get("weight")) or None)
                linear = (("in", weight[1]), ("out", weight[0]), ("bias", get("bias") is not None), changed)
                return self._put("linear layer", linear, reads, out, "1×1 convolution")
        inside, outside = (weight[0], weight[1] * groups) if transposed else (weight[1] * groups, weight[0])
        settings = (
            ("kernel", tuple(weight[2:])), ("in", inside), ("out", outside),
            ("stride", stride), ("padding", padding),
            ("border", border), ("dilation", _spread(get("dilation"), sides)), ("groups", groups),
            ("bias", get("bias") is not None), ("weights", self._weight(get("weight")) or None),
            ("transposed", transposed or None),
        )  # fmt: skip
        return self._put("convolution", settings, reads, out)

    def _spread_out(self, argument: Ref) -> bool:
        """Whether a depthwise kernel holds one number of a parameter's for each channel, in all places alike."""
        weight = self.graph.values[argument.value].shape
        op = self.graph.maker.get(argument.value)
        if weight[1] != 1 or math.prod(weight[2:]) == 1:
            return False
        while op is not None and op.name in VIEWS | {"repeat"}:
            shape = self.graph.values[op.reads[0]].shape
            if shape[:1] == weight[:1] and math.prod(shape) == weight[0]:
                return self._weight(Ref(op.reads[0])) is not None
            op = self.graph.maker.get(op.reads[0])
        return False

    def _sums_of_windows(
        self,
        get: Any,
        weight: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        reads: tuple[int, ...],
        out: int,
    ) -> int:
        """A convolution whose kernel is the same number everywhere: windows are added up and multiplied by it."""
        shape = self.graph.values[out].shape
        nowhere = -1  # what comes in between has no value in the graph

        def put(kind: str, settings: tuple[tuple[str, Any], ...], reads: tuple[int, ...]) -> tuple[int]:
            settings = tuple((name, each) for name, each in settings if each is not None)
            self.found.append(Layer(kind, settings, reads, nowhere, shape))
            return (len(self.found) - 1,)

        pooled = put(
            "sum pooling",
            (("kernel", tuple(weight[2:])), ("stride", stride), ("padding", padding), ("rounds up", False)),
            reads,
        )
        last = "multiplied", weight[0], _of_a_summand(self._kept_as(get("weight")))
        if get("bias") is not None:
            how, size, changed = last
            pooled = put("parameter", (("how", how), ("size", size), ("weights", changed)), pooled)
            last = "added", weight[0], _of_a_summand(self._weight(get("bias")) or "")
        how, size, changed = last
        return self._put("parameter", (("how", how), ("size", size), ("weights", changed)), pooled, out)

    def _kept_as(self, argument: Ref) -> str:
        """What was done with a parameter beside putting its numbers into all places of a kernel."""
        said = (self._weight(argument) or "").split(", ")
        return ", ".join(each for each in said if each not in ("changed first (repeat)", ""))

    def _batch_norm(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) != 1:
            return False
        training = get("training", get("train", "legit" not in op.overload and "update" in op.overload))
        tracked = get("running_mean") is not None
        images, *_ = self.found[reads[0]].shape
        plain = self._weight(get("weight")) in (None, "", "changed first (repeat)")
        if self.graph.values[get("input").value].shape[0] == 1 < images and plain:
            return self._instance_norm(get, reads, out)
        made = self.graph.maker.get(get("input").value)
        reshaped = made is not None and made.name == "view" and not tracked and get("weight") is None
        repeated = self._weight(get("weight")) == "changed first (repeat)"
        if images == 1 and training and (repeated or reshaped):  # torch writes an instance norm so
            return self._instance_norm(get, reads, out)
        settings = (
            ("channels", self.graph.values[get("input").value].shape[1]),
            ("eps", get("eps", 1e-5)), ("momentum", get("momentum", 0.1) if tracked else None),
            ("scale and shift", get("weight") is not None),
            ("statistics", "those of the batch" if training or not tracked else "the running ones"),
            ("keeps statistics", tracked), ("weights", self._weight(get("weight")) or None),
        )  # fmt: skip
        return self._put("batch norm", settings, reads, out)

    def _instance_norm(self, get: Any, reads: tuple[int, ...], out: int) -> Any:
        """Written as a batch norm in which the channels of all images are the channels of one."""
        settings = (
            ("channels", self.found[reads[0]].shape[1]),
            ("scale and shift", get("weight") is not None),
        )
        return self._put("instance norm", (*settings, ("eps", get("eps", 1e-5))), reads, out)

    def _group_norm(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) != 1:
            return False
        groups, scaled = get("group", get("num_groups")), get("weight") is not None
        settings = (("groups", groups), ("scale and shift", scaled), ("eps", get("eps", 1e-5)))
        return self._put("group norm", settings, reads, out)

    def _layer_norm(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) != 1:
            return False
        over, scaled = tuple(get("normalized_shape")), get("weight") is not None
        settings = (("over", over), ("scale and shift", scaled), ("eps", get("eps", 1e-5)))
        return self._put("layer norm", settings, reads, out)

    def _prelu_kernel(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        slopes = math.prod(self.graph.values[get("weight").value].shape)
        return len(reads) == 1 and self._put("PReLU", (("slopes", slopes),), reads, out)

    def _linear(self, weight: Any, bias: bool, reads: tuple[int, ...], out: int) -> Any:
        if weight.value in self.at:
            return False
        shape, changed = self.graph.values[weight.value].shape, self._weight(weight)
        if changed is None or len(shape) != 2:
            return False
        settings = (("in", shape[0]), ("out", shape[1]), ("bias", bias), ("weights", changed or None))
        return self._put("linear layer", settings, reads, out)

    def _addmm(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return len(reads) == 1 and self._linear(get("mat2"), True, reads, out)

    def _mm(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return len(reads) == 1 and self._linear(get("mat2"), False, reads, out)

    def _clamp(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        low, high = (self._number(get(key)) for key in ("min", "max"))
        return self._clamped(low, high, reads, out)

    _clamp_min = _clamp_max = _clamp

    def _hardtanh(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return self._clamped(float(get("min_val", -1.0)), float(get("max_val", 1.0)), reads, out)

    def _threshold(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return not get("threshold") and not get("value") and self._clamped(0.0, None, reads, out)

    def _clamped(self, low: float | None, high: float | None, reads: tuple[int, ...], out: int) -> Any:
        names: dict[tuple[float | None, float | None], str] = {(0.0, None): "ReLU", (0.0, 6.0): "ReLU6"}
        kind = names.get((low, high), "clamp")
        before = self.found[reads[0]]
        if kind == "clamp" and (low, high) == (None, 6.0) and before.kind == "ReLU":
            kind, reads = "ReLU6", before.reads
        settings = (("low", low), ("high", high)) if kind == "clamp" else ()
        return self._put(kind, settings, reads, out)

    def _maximum(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        number = next((n for key in ("self", "other") if (n := self._number(get(key))) is not None), None)
        return len(reads) == 1 and number is not None and self._clamped(number, None, reads, out)

    def _where(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        condition = self.found[self.at[get("condition").value]] if get("condition").value in self.at else None
        if condition and condition.kind in ("gt", "ge") and not condition.setting("other"):
            if self._number(get("other")) == 0 and self.at.get(get("self").value) in condition.reads:
                return self._clamped(0.0, None, condition.reads[:1], out)
        return False

    def _add(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        factor = get("alpha", 1)
        if factor != 1:
            return False
        if len(reads) == 2:
            joined: list[int] = []
            for each in reads:
                inner = self.found[each]
                joined.extend(inner.reads if inner.kind == "sum" else (each,))
            return self._put("sum", (), tuple(joined), out)
        for key in ("other", "self"):
            number = self._number(get(key))
            if number is not None:
                if number == 0:
                    self.at[out] = reads[0]
                    return True
                return self._put("shift", (("by", number),), reads, out)
            weight = None if get(key).value in self.at else self._weight(get(key))
            if weight is not None:
                before = self.found[reads[0]]
                size = self.graph.values[get(key).value].numel
                if before.setting("bias") is False and size == before.setting("out"):
                    settings = tuple((n, True if n == "bias" else v) for n, v in before.settings)
                    times = self._factor(get(key).value)
                    counts = (("bias counts", times),) if times != 1 else ()
                    return self._put(before.kind, (*settings, *counts), before.reads, out)
                changed = ("weights", _of_a_summand(weight))
                along = ("along", self._along(get(key).value, out))
                return self._put("parameter", (("how", "added"), ("size", size), changed, along), reads, out)
        return False

    def _factor(self, value: int) -> float:
        """The number that a parameter was multiplied by."""
        op = self.graph.maker.get(value)
        while op is not None and op.name in VIEWS:
            op = self.graph.maker.get(op.reads[0])
        factor = op.setting("other") if op is not None and op.name == "mul" else 1.0
        return float(factor) if isinstance(factor, (int, float)) else 1.0

    def _along(self, value: int, out: int) -> str | None:
        """Along which axis of an image a parameter lies that is added to it or multiplied by it, where that is not
        the one of the channels."""
        shape, whole = self.graph.values[value].shape, self.graph.values[out].shape
        axes = [len(whole) - len(shape) + axis for axis, size in enumerate(shape) if size > 1]
        if len(whole) != 4 or len(axes) != 1 or axes[0] == 1:
            return None
        return {0: "the images", 2: "the rows", 3: "the columns"}[axes[0]]

    def _sub(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        number = self._number(get("other"))
        if len(reads) == 2 and get("alpha", 1) == 1:
            return self._put("difference", (), reads, out)
        if number is None or len(reads) != 1 or get("alpha", 1) != 1:
            return False
        return self._put("shift", (("by", -number),), reads, out)

    def _mul(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        for one, other in (("self", "other"), ("other", "self")):
            if isinstance(get(one), Ref) and get(one).value in self.noise and len(reads) == 1:
                whole = math.prod(self.graph.values[get(one).value].shape)
                kept = self.noise[get(one).value]
                of = None if whole == self.graph.values[out].numel else "whole channels or images"
                return self._put("dropout", (("rate", round(1 - kept, 6)), ("of", of)), reads, out)
            number = self._number(get(other))
            if number is not None and len(reads) == 1:
                return self._scaled(number, reads, out)
        if len(reads) == 2:
            for first, second in (reads, reads[::-1]):
                gate = self.found[first]
                if gate.kind == "sigmoid" and gate.reads == (second,):
                    return self._put("SiLU", (), (second,), out)
                if gate.kind in ("gt", "ge") and gate.reads == (second,) and not gate.setting("other"):
                    return self._clamped(0.0, None, (second,), out)
            return self._put("product", (), reads, out)
        for key in ("other", "self"):
            if isinstance(get(key), Ref) and get(key).value not in self.at:
                if (weight := self._weight(get(key))) is not None:
                    size = self.graph.values[get(key).value].numel
                    changed = ("weights", _of_a_summand(weight))
                    along = ("along", self._along(get(key).value, out))
                    return self._put(
                        "parameter", (("how", "multiplied"), ("size", size), changed, along), reads, out
                    )
        return False

    def _response_norm(self, reads: tuple[int, ...], out: int) -> Any:
        """x / (k + alpha * mean of x^2 over neighbouring channels)^beta, as torch writes local response norm out."""

        def step(here: int, kind: str) -> int:
            layer = self.found[here]
            return layer.reads[0] if layer.kind == kind and len(layer.reads) == 1 else here

        top, below = reads
        power = self.found[below]
        shift = self.found[step(below, "pow")]
        scale = self.found[step(step(below, "pow"), "shift")]
        pool_at = step(step(step(below, "pow"), "shift"), "scale")
        pool = self.found[pool_at]
        window = pool.setting("kernel_size", ())
        square = self.found[step(step(pool_at, "avg_pool3d"), "constant_pad_nd")]
        if power.kind != "pow" or len(window) != 3 or set(window[1:]) != {1}:
            return False
        if square.kind != "product" or square.reads != (top, top):
            return False
        settings = (
            ("size", window[0]), ("alpha", scale.setting("by", 1.0) if scale.kind == "scale" else 1.0),
            ("beta", power.setting("exponent")), ("k", shift.setting("by") if shift.kind == "shift" else 0.0),
        )  # fmt: skip
        return self._put("local response norm", settings, (top,), out)

    def _pow(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if get("exponent") == 1:
            self.at[out] = reads[0]
            return True
        return get("exponent") == 2 and len(reads) == 1 and self._put("product", (), reads * 2, out)

    def _addcmul(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        """A tensor and the product of two others, of which one is a parameter."""
        first, one, other = (get(name).value for name in ("self", "tensor1", "tensor2"))
        factor, kept = (one, other) if one in self.at else (other, one)
        if get("value", 1) != 1 or first not in self.at or factor not in self.at or kept in self.at:
            return False
        if (weight := self._weight(Ref(kept))) is None:
            return False
        size, changed = self.graph.values[kept].numel, ("weights", _of_a_summand(weight))
        shape = self.graph.values[factor].shape
        settings = tuple(
            each for each in (("how", "multiplied"), ("size", size), changed) if each[1] is not None
        )
        self.found.append(Layer("parameter", settings, (self.at[factor],), -1, shape))
        return self._put("sum", (), (self.at[first], len(self.found) - 1), out)

    def _stacked(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> tuple[int, float] | None:
        """The sum of tensors that were stacked, where a mean or sum is over them; and how many they are."""
        made = self.graph.maker.get(op.reads[0])
        dims = get("dim") or ()
        dims = (dims,) if isinstance(dims, int) else tuple(dims)
        if made is None or made.name != "stack" or len(dims) != 1:
            return None
        axes = len(self.graph.values[op.reads[0]].shape)
        along = made.setting("dim", 0)
        if not isinstance(along, int) or dims[0] % axes != along % axes:
            return None
        parts = self.found[reads[0]].reads
        if len(parts) != len(made.reads):
            return None
        return self._put("sum", (), parts, out), float(len(parts))

    def _sum(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if self._stacked(op, get, reads, out) is not None:
            return True
        if self._over_grid(op, get, reads):
            kernel = self.found[reads[0]].shape[-2:]
            return self._sum_pool(kernel, kernel, (0,) * 4, False, reads, out)
        return False

    def _split(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        """Some channels of an image, next to each other."""
        before = self.graph.values[op.reads[0]].shape
        if len(reads) != 1 or len(before) != 4 or get("dim", 0) % 4 != 1:
            return False
        start = 0
        for value in op.outputs:
            size = self.graph.values[value].shape[1]
            self._channels(reads, value, before[1], start, start + size, 1)
            start += size
        return True

    _split_with_sizes = _chunk = _split

    def _channels(
        self, reads: tuple[int, ...], out: int, width: int, start: int, end: int, step: int
    ) -> bool:
        if (start, end, step) == (0, width, 1):
            self.at[out] = reads[0]
            return True
        self._put("choice of channels", (("taken", (start, end - 1, step)),), reads, out)
        return True

    def _div(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) == 2:
            return self._response_norm(reads, out)
        number = self._number(get("other"))
        if number is None or not number or len(reads) != 1:
            return False
        return self._scaled(1 / number, reads, out)

    def _scaled(self, factor: float, reads: tuple[int, ...], out: int) -> Any:
        if factor == 1:
            self.at[out] = reads[0]
            return True
        before = self.found[reads[0]]
        if before.kind == "parameter" and before.setting("how") == "multiplied" and len(before.reads) == 1:
            # A number in front of a parameter that multiplies is one in front of what it multiplies.
            if (pool := self._pool_scaled(factor, before.reads[0], out)) is not None:
                return self._put("parameter", before.settings, (pool,), out)
        elif (pool := self._pool_scaled(factor, reads[0], out)) is not None:
            return pool
        if before.kind == "scale" and not before.setting("gradient"):
            factor, reads = float(f"{factor * before.setting('by'):.12g}"), before.reads
        return self._put("scale", (("by", factor),), reads, out)

    def _reciprocal(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        """1 / (1 + exp(-x)) is the sigmoid of x."""
        steps = [self.found[reads[0]]]
        while len(steps) < 3 and len(steps[-1].reads) == 1:
            steps.append(self.found[steps[-1].reads[0]])
        by = [(step.kind, step.setting("by")) for step in steps]
        if by != [("shift", 1.0), ("exponential", None), ("scale", -1.0)]:
            return False
        return self._put("sigmoid", (), steps[-1].reads, out)

    def _neg(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return self._scaled(-1.0, reads, out)

    def _cat(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if len(reads) == 1 and self.graph.values[op.reads[0]].shape == self.graph.values[out].shape:
            self.at[out] = reads[0]  # one tensor alone
            return True
        dim = get("dim", 0) % len(self.graph.values[out].shape)
        joined: list[int] = []
        for each in reads:
            inner = self.found[each]
            same = inner.kind == "concatenation" and inner.setting("dimension") == dim
            joined.extend(inner.reads if same else (each,))
        return self._put("concatenation", (("dimension", dim),), tuple(joined), out)

    def _rounds_up(self, op: Op, get: Any, out: int) -> bool:
        """Whether a pooling rounds the sizes of its output up, and these are others for that."""
        if not get("ceil_mode", False):
            return False
        kernel = _spread(get("kernel_size"), 2)
        settings = (
            self.graph.values[op.reads[0]].shape[-2:], kernel, _spread(get("stride") or kernel, 2),
            _spread(get("padding", 0), 2), _spread(get("dilation", 1), 2),
        )  # fmt: skip
        down = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(*settings, strict=True)]
        return list(self.graph.values[out].shape[-2:]) != down

    def _max_pool2d(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        kernel = _spread(get("kernel_size"), 2)
        settings = (
            ("kernel", kernel), ("stride", _spread(get("stride") or kernel, 2)),
            ("padding", tuple(side for each in _spread(get("padding", 0), 2) for side in (each, each))),
            ("dilation", _spread(get("dilation", 1), 2)), ("rounds up", self._rounds_up(op, get, out)),
        )  # fmt: skip
        return self._put("max pooling", settings, reads, out)

    def _avg_pool2d(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        kernel = _spread(get("kernel_size"), 2)
        padding = tuple(side for each in _spread(get("padding", 0), 2) for side in (each, each))
        rounds_up, divisor = self._rounds_up(op, get, out), get("divisor_override")
        before = self.found[reads[0]]
        if before.kind == "scale" and not before.setting("gradient"):
            scaled = self._of_windows(kernel, padding, rounds_up, get)
            # To multiply each number by the size of the window is to multiply the mean by it.
            if scaled and math.isclose(before.setting("by"), scaled):
                divisor, reads = 1, before.reads
        if divisor == math.prod(kernel) and not any(padding) and not rounds_up:
            divisor = None
        if divisor == 1:
            return self._sum_pool(kernel, _spread(get("stride") or kernel, 2), padding, rounds_up, reads, out)
        if divisor is None and kernel == before.shape[-2:] and not any(padding):
            written = f"{'×'.join(map(str, kernel))} average pooling"
            return self._put("global average pooling", (), reads, out, written)
        settings = (
            ("kernel", kernel), ("stride", _spread(get("stride") or kernel, 2)), ("padding", padding),
            ("rounds up", rounds_up), ("divisor", divisor),
            (
                "counts the padding",
                bool(get("count_include_pad", True)) if any(padding) and divisor is None else None,
            ),
        )  # fmt: skip
        return self._put("average pooling", settings, reads, out)

    def _sum_pool(
        self,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        padding: tuple[int, ...],
        rounds_up: bool,
        reads: tuple[int, ...],
        out: int,
    ) -> int:
        """Windows that are added up: an average pooling that divides by 1, or is multiplied by their size."""
        settings = (("kernel", kernel), ("stride", stride), ("padding", padding), ("rounds up", rounds_up))
        return self._put("sum pooling", settings, reads, out)

    @staticmethod
    def _of_windows(
        kernel: tuple[int, ...], padding: tuple[int, ...], rounds_up: bool, get: Any
    ) -> int | None:
        """What an average pooling divides every window by; None where not all by the same."""
        if rounds_up or (any(padding) and not get("count_include_pad", True)):
            return None if get("divisor_override") is None else int(get("divisor_override"))
        return int(get("divisor_override") or math.prod(kernel))

    def _pool_scaled(self, factor: float, place: int, out: int) -> Any:
        """Sums that are divided by the size of their window are means, and means times that size are sums."""
        pool = self.found[place]
        if pool.setting("gradient"):
            return None
        if pool.kind == "global average pooling":
            kernel = self.found[pool.reads[0]].shape[-2:]
            whole = len(kernel) == 2 and math.isclose(factor, math.prod(kernel))
            return self._sum_pool(kernel, kernel, (0,) * 4, False, pool.reads, out) if whole else None
        if pool.kind not in ("average pooling", "sum pooling"):
            return None
        kernel, stride, padding, up = (
            pool.setting(name) for name in ("kernel", "stride", "padding", "rounds up")
        )
        size = math.prod(kernel)
        if pool.kind == "average pooling":
            fixed = not up and pool.setting("counts the padding") is not False
            divisor = pool.setting("divisor") or (size if fixed else None)
            if divisor is None or not math.isclose(factor, divisor):
                return None
            return self._sum_pool(kernel, stride, padding, up, pool.reads, out)
        if up or not math.isclose(factor, 1 / size):
            return None
        if kernel == self.found[pool.reads[0]].shape[-2:] and not any(padding):
            return self._put("global average pooling", (), pool.reads, out)
        counted = ("counts the padding", True if any(padding) else None)
        settings = (
            ("kernel", kernel),
            ("stride", stride),
            ("padding", padding),
            ("rounds up", False),
            counted,
        )
        return self._put("average pooling", settings, pool.reads, out)

    def _over_grid(self, op: Op, get: Any, reads: tuple[int, ...]) -> bool:
        """Whether a mean or maximum is over the whole grid, seen as two sides or as one."""
        shape, whole = self.graph.values[op.reads[0]].shape, self.found[reads[0]].shape
        dims = get("dim") or ()
        dims = {each % len(shape) for each in ((dims,) if isinstance(dims, int) else dims)}
        if len(whole) != 4 or not dims or dims != set(range(2, len(shape))):
            return False
        return math.prod(shape[2:]) == whole[2] * whole[3] and shape[:2] == whole[:2]

    def _mean(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if self._over_grid(op, get, reads):
            return self._put("global average pooling", (), reads, out)
        if stacked := self._stacked(op, get, reads, out):
            return self._put("scale", (("by", 1 / stacked[1]),), stacked[:1], out)
        if windows := self._windows(op, get, reads):
            source, kernel, stride, padding = windows
            counted = ("counts the padding", True if any(padding) else None)
            settings = (("kernel", kernel), ("stride", stride), ("padding", padding), ("rounds up", False))
            return self._put("average pooling", (*settings, counted), source, out)
        return self._put("mean", (("over", self._over(op, get)),), reads, out)

    def _windows(self, op: Op, get: Any, reads: tuple[int, ...]) -> tuple[tuple[int, ...], ...] | None:
        """What is read, the sides of the windows, their strides and the padding, where a mean or maximum is over
        windows that were cut out before: by unfolding rows and columns, or all at once."""
        value = op.reads[0]
        shape, dims = self.graph.values[value].shape, get("dim") or ()
        over = {each % len(shape) for each in ((dims,) if isinstance(dims, int) else dims)}
        last = self.found[reads[0]]
        if last.kind == "im2col":
            kernel = last.setting("kernel_size")
            view = self._made(value)
            if view.name not in ("view", "reshape") or not self._reads_only(view, last):
                return None  # as its numbers lie, with a dimension for the windows
            if not self._reads_only(self._made(last.value), self.found[last.reads[0]]):
                return None
            if len(shape) != 4 or shape[2] != math.prod(kernel) or shape[1] * shape[2] != last.shape[1]:
                return None
            if over != {2} or set(last.setting("dilation")) != {1}:
                return None
            padding = tuple(side for each in last.setting("padding") for side in (each, each))
            return last.reads, kernel, last.setting("stride"), padding
        first = self.found[last.reads[0]] if last.reads else last
        if last.kind != "unfold" or last.value != value or first.kind != "unfold":
            return None
        cut, source = {step.setting("dimension"): step for step in (first, last)}, first.reads
        if set(cut) != {2, 3} or len(self.found[source[0]].shape) != 4 or len(shape) != 6 or over != {4, 5}:
            return None
        for step, before in ((first, self.found[source[0]]), (last, first)):
            if not self._reads_only(self._made(step.value), before):
                return None  # something was turned around in between
        kernel, stride = (tuple(cut[side].setting(name) for side in (2, 3)) for name in ("size", "step"))
        return source, kernel, stride, (0, 0, 0, 0)

    def _made(self, value: int) -> Op:
        """The operation that gives a value."""
        return next(op for op in self.graph.ops if value in op.outputs)

    @staticmethod
    def _reads_only(op: Op, layer: Layer) -> bool:
        """Whether an operation reads what a layer gives, as it is."""
        return tuple(op.reads) == (layer.value,)

    def _over(self, op: Op, get: Any) -> str:
        """What a mean is taken over, in words."""
        size, dims = len(self.graph.values[op.reads[0]].shape), get("dim") or ()
        chosen = {each % size for each in ((dims,) if isinstance(dims, int) else dims)} or set(range(size))
        if chosen == set(range(size)):
            return "all numbers"
        if size != 4:
            return f"dimension{'s' * (len(chosen) > 1)} {', '.join(map(str, sorted(chosen)))}"
        names = ["the grid"] if chosen >= {2, 3} else ["rows"] * (2 in chosen) + ["columns"] * (3 in chosen)
        return " and ".join(["the batch"] * (0 in chosen) + ["channels"] * (1 in chosen) + names)

    def _amax(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        if self._over_grid(op, get, reads):
            return self._put("global max pooling", (), reads, out)
        windows = self._windows(op, get, reads)
        if windows is None or any(windows[3]):  # zeros around the grid count here, and do not in a pooling
            return False
        source, kernel, stride, padding = windows
        settings = (("kernel", kernel), ("stride", stride), ("padding", padding), ("dilation", (1, 1)))
        return self._put("max pooling", (*settings, ("rounds up", False)), source, out)

    def _adaptive_avg_pool2d(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return self._put("adaptive pooling", (("to", tuple(get("output_size"))),), reads, out)

    def _adaptive_max_pool2d(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        size = tuple(get("output_size"))
        if size == (1, 1):
            return self._put("global max pooling", (), reads, out)
        return self._put("adaptive pooling", (("of", "maxima"), ("to", size)), reads, out)

    def _slice(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        shape, after = (self.graph.values[value].shape for value in (op.reads[0], out))
        if shape == after:
            self.at[out] = reads[0]
            return True
        dim, step = get("dim", 0) % len(shape), get("step", 1)
        if len(shape) == 4 and dim == 1:
            start = (get("start") or 0) % shape[1] if (get("start") or 0) < 0 else (get("start") or 0)
            return self._channels(reads, out, shape[1], start, start + (after[1] - 1) * step + 1, step)
        whole = not get("start") and after[dim] == -(-shape[dim] // step)
        if len(shape) != 4 or dim < 2 or step < 2 or not whole:
            return False
        steps = (step, 1) if dim == 2 else (1, step)
        before = self.found[reads[0]]
        earlier = {"subsampling": "steps", "convolution": "stride"}.get(before.kind)
        if earlier is None or before.setting("transposed"):
            return self._put("subsampling", (("steps", steps),), reads, out)
        steps = tuple(a * b for a, b in zip(before.setting(earlier), steps, strict=True))
        settings = tuple((name, steps if name == earlier else each) for name, each in before.settings)
        self.sliced.add(out)
        return self._put(before.kind, settings, before.reads, out)

    def _select(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        shape = self.graph.values[op.reads[0]].shape
        if shape[get("dim") % len(shape)] != 1:
            return False
        self.at[out] = reads[0]  # there is nothing to choose
        return True

    def _constant_pad_nd(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        pads = tuple(get("pad"))
        grid = len(self.graph.values[op.reads[0]].shape) == 4
        if grid and len(pads) == 6 and not any(pads[:4]) and not get("value", 0):
            return self._put("zero channels", (("before", pads[4]), ("after", pads[5])), reads, out)
        if get("value", 0) or len(pads) != 4:
            return False
        return self._put("padding", (("sides", (*pads[2:], *pads[:2])),), reads, out)

    def _reflection_pad2d(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        pads = tuple(get("padding"))
        how = op.name.partition("_")[0]
        return self._put("padding", (("sides", (*pads[2:], *pads[:2])), ("by", how)), reads, out)

    _replication_pad2d = _reflection_pad2d

    def _permute(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        before, dims = self.found[reads[0]], tuple(get("dims"))
        if dims == tuple(range(len(dims))):
            self.at[out] = reads[0]
            return True
        if before.kind != "permute" or before.shape != self.graph.values[op.reads[0]].shape:
            return False
        # Axes that are moved twice are moved once, or not at all.
        dims = tuple(before.setting("dims")[each] for each in dims)
        if dims == tuple(range(len(dims))) and not before.setting("gradient"):
            self.at[out] = before.reads[0]
            return True
        return self._put("permute", (("dims", dims),), before.reads, out)

    def _detach(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return self._put("detach", (), reads, out)

    def _flip(self, op: Op, get: Any, reads: tuple[int, ...], out: int) -> Any:
        return self._put("flip", (("dimensions", tuple(get("dims"))),), reads, out)


def _each_its_own(layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
    """With a selection of channels of its own for each that reads one: to select them once is a way to write."""
    if not any(layer.kind == "choice of channels" for layer in layers):
        return layers
    found: list[Layer] = []
    new: dict[int, int] = {}
    for place, layer in enumerate(layers):
        chosen = [layers[each].kind == "choice of channels" for each in layer.reads]
        if layer.kind == "choice of channels" and place + 1 < len(layers):
            if not any(chosen):
                continue  # it is put before each of those that read it
            new[place] = len(found)
        reads = []
        for each in layer.reads:
            if each not in new:
                found.append(replace(layers[each], reads=(new[layers[each].reads[0]],)))
                reads.append(len(found) - 1)
            else:
                reads.append(new[each])
        new[place] = len(found)
        found.append(replace(layer, reads=tuple(reads)))
    return tuple(found)


def with_setting(layer: Layer, name: str, value: Any) -> Layer:
    """The layer with another value of one of its settings."""
    settings = tuple((each, value if each == name else old) for each, old in layer.settings)
    return replace(layer, settings=settings)


def _spread(value: Any, sides: int) -> tuple[int, ...]:
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * sides if len(values) == 1 else values
