"""Write a network down for other programs: ONNX (opens in Netron, runs anywhere), its graph as JSON, a drawing.

    casestudies export resnet18                     resnet18.onnx, resnet18.json, resnet18.svg
    casestudies export resnet18 --to out --pretrained

Each operation of the graph becomes the operation of ONNX that computes the same, for a batch of any size; one whose
settings have no counterpart is refused by name. Where `onnxruntime` is installed, the file is run beside the
network before anybody gets it. `onnx` writes the file: pip install "casestudies[export]".
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from casestudies.costs.ledger import check_image
from casestudies.graph import Graph, Op, Ref, record
from casestudies.replay import carry_out

if TYPE_CHECKING:
    import onnx

OPSET = 17
BATCH = "batch"


class _Writer:
    """Turns the operations of a graph into nodes of ONNX."""

    def __init__(self, graph: Graph, other: Graph, state: dict[str, Tensor]) -> None:
        self.graph, self.other, self.state = graph, other, state
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.names: dict[int, str] = {}
        self.count = 0
        self.own: dict[int, list[Any]] = {}  # the nodes of an operation, by the value that it makes

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        graph = self.graph
        (given,) = graph.inputs
        self.names[given] = "images"
        for held in graph.state:
            if held.value is not None:
                self.names[held.value] = self.tensor(self.state[held.name], held.name)
        for constant in graph.constants:
            value = graph.values[constant.value]
            if constant.data is None:
                raise ValueError(f"a constant of {value.shape} is too large to be written down")
            dtype = getattr(torch, value.dtype)
            self.names[constant.value] = self.tensor(
                torch.tensor(constant.data, dtype=dtype).reshape(value.shape)
            )
        for op in graph.ops:
            first = len(self.nodes)
            self.names[op.outputs[0]] = self.rule(op)(self, op)
            self.own[op.outputs[0]] = self.nodes[first:]
        (out,) = graph.outputs
        self.nodes.append(helper.make_node("Identity", [self.names[out]], ["logits"]))
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, self.sides(value))
            for name, value in (("images", given), ("logits", out))
        ]
        made = helper.make_graph(self.nodes, graph.network, infos[:1], infos[1:], self.tensors)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="casestudies", ir_version=8
        )

    def rule(self, op: Op) -> Rule:
        """The rule of an operation; ValueError where it has none, or none for these settings or dtypes."""
        known = RULES.get(op.name)
        if known is None:
            reason = f"has no counterpart here; those that have: {', '.join(sorted(RULES))}"
            raise ValueError(f"{self.called(op)} {reason}")
        rule, settings = known
        for name, value in op.arguments:
            if name not in settings.split():
                raise ValueError(f"{self.called(op)} has {name}={value}, which has no counterpart here")
            if isinstance(value, complex):
                raise ValueError(
                    f"{self.called(op)} multiplies complex numbers, which have no counterpart here"
                )
        for value in op.reads:
            if value not in self.names:
                raise ValueError(
                    f"{self.called(op)} reads a second result, such as indices, which is not written"
                )
        dtypes = {self.graph.values[value].dtype for value in (*op.reads, op.outputs[0])}
        if dtypes - {"float32"} and not (op.name in WHOLE and dtypes <= {"float32", "int64"}):
            raise ValueError(
                f"{self.called(op)} works with {', '.join(sorted(dtypes))}; expected float32 alone"
            )
        return rule

    def called(self, op: Op) -> str:
        return f"{op.name} at {self.graph.path(op) or 'the top'!r}"

    def sides(self, value: int) -> list[int | str]:
        """A shape whose sides are named where they change with the batch."""
        one, other = self.graph.values[value].shape, self.other.values[value].shape
        return [
            size
            if size == changed
            else BATCH
            if size == self.graph.values[self.graph.inputs[0]].shape[0]
            else f"side_{place}"
            for place, (size, changed) in enumerate(zip(one, other, strict=True))
        ]

    def new(self, word: str) -> str:
        self.count += 1
        return f"{word}_{self.count}"

    def tensor(self, value: Tensor | Iterable[int], name: str = "") -> str:
        """A constant of the file: a weight, or whole numbers."""
        from onnx import numpy_helper

        array = value.detach().cpu() if isinstance(value, Tensor) else torch.tensor(list(value))
        name = name or self.new("constant")
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

    def read(self, op: Op, argument: str) -> str:
        """An argument as an input of a node: a tensor, or a number that becomes one."""
        value = op.setting(argument)
        if isinstance(value, Ref):
            return self.names[value.value]
        return self.tensor(torch.tensor(float(value)))

    def shape(self, op: Op, argument: str = "self") -> tuple[int, ...]:
        return self.graph.values[op.setting(argument).value].shape

    def out_shape(self, op: Op) -> tuple[int, ...]:
        return self.graph.values[op.outputs[0]].shape


Rule = Callable[[_Writer, Op], str]


def _elementwise(kind: str) -> Rule:
    return lambda w, op: w.node(kind, [w.read(op, "self")], op)


def _pairwise(kind: str, other: str = "other") -> Rule:
    return lambda w, op: w.node(kind, [w.read(op, "self"), w.read(op, other)], op)


def _pads(padding: tuple[int, ...], sides: int) -> list[int]:
    padding = padding * sides if len(padding) == 1 else padding
    return [*padding, *padding]


def _convolution(w: _Writer, op: Op) -> str:
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
        return w.node(
            "ConvTranspose", inputs, op, output_padding=list(op.setting("output_padding")), **settings
        )
    return w.node("Conv", inputs, op, **settings)


def _batch_norm(w: _Writer, op: Op) -> str:
    if op.setting("training") or op.setting("train"):
        raise ValueError(f"{w.called(op)} uses the statistics of the batch, also in evaluation")
    channels = w.shape(op, "input")[1]
    inputs = [w.read(op, "input")]
    for name, default in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
        given = isinstance(op.setting(name), Ref)
        inputs.append(w.read(op, name) if given else w.tensor(torch.full((channels,), default)))
    return w.node("BatchNormalization", inputs, op, epsilon=op.setting("eps"))


def _window(op: Op) -> dict[str, Any]:
    kernel = op.setting("kernel_size")
    return {
        "kernel_shape": list(kernel),
        "strides": list(op.setting("stride") or kernel),
        "pads": _pads(op.setting("padding", (0,)), len(kernel)),
        "ceil_mode": int(op.setting("ceil_mode", False)),
    }


def _max_pool(w: _Writer, op: Op) -> str:
    dilations = list(op.setting("dilation", (1, 1)))
    return w.node("MaxPool", [w.read(op, "self")], op, dilations=dilations, **_window(op))


def _average_pool(w: _Writer, op: Op) -> str:
    count = int(op.setting("count_include_pad", True) or op.setting("divisor_override") is not None)
    pooled = w.node("AveragePool", [w.read(op, "self")], op, count_include_pad=count, **_window(op))
    divisor = op.setting("divisor_override")
    if divisor is None:
        return pooled
    if op.setting("ceil_mode"):
        raise ValueError(
            f"{w.called(op)} has both ceil_mode and divisor_override, which have no counterpart here"
        )
    scale = w.tensor(torch.tensor(math.prod(op.setting("kernel_size")) / divisor))
    return w.node("Mul", [pooled, scale], op)


def _adaptive_average_pool(w: _Writer, op: Op) -> str:
    grid, cells = w.shape(op)[-2:], w.out_shape(op)[-2:]
    if cells == (1, 1):
        return w.node("GlobalAveragePool", [w.read(op, "self")], op)
    if any(size % n for size, n in zip(grid, cells, strict=True)):
        raise ValueError(
            f"an adaptive pool from {grid} to {cells} has windows of different sizes; ONNX has none such"
        )
    kernel = [size // n for size, n in zip(grid, cells, strict=True)]
    return w.node("AveragePool", [w.read(op, "self")], op, kernel_shape=kernel, strides=kernel)


def _mean(w: _Writer, op: Op) -> str:
    keep = int(op.setting("keepdim", False))
    dims = op.setting("dim") or tuple(range(len(w.shape(op))))
    if not dims:
        return w.node("Identity", [w.read(op, "self")], op)
    return w.node("ReduceMean", [w.read(op, "self")], op, axes=list(dims), keepdims=keep)


def _sum(w: _Writer, op: Op) -> str:
    dims = op.setting("dim") or tuple(range(len(w.shape(op))))
    if not dims:
        return w.node("Identity", [w.read(op, "self")], op)
    axes = w.tensor(dims)
    return w.node("ReduceSum", [w.read(op, "self"), axes], op, keepdims=int(op.setting("keepdim", False)))


def _scaled(kind: str) -> Rule:
    """A sum or a difference; the second may be multiplied by `alpha` first."""

    def rule(w: _Writer, op: Op) -> str:
        other = w.read(op, "other")
        if op.setting("alpha", 1) != 1:
            other = w.node("Mul", [other, w.tensor(torch.tensor(float(op.setting("alpha"))))], op)
        return w.node(kind, [w.read(op, "self"), other], op)

    return rule


def _view(w: _Writer, op: Op) -> str:
    left = [-1 if isinstance(size, str) else size for size in w.sides(op.outputs[0])]
    if left.count(-1) > 1:
        raise ValueError(
            f"{w.called(op)} has several sides that change with the batch, which has no counterpart here"
        )
    return w.node("Reshape", [w.read(op, "self"), w.tensor(torch.tensor(left, dtype=torch.int64))], op)


def _addmm(w: _Writer, op: Op) -> str:
    factors = {"beta": float(op.setting("beta", 1)), "alpha": float(op.setting("alpha", 1))}
    return w.node("Gemm", [w.read(op, name) for name in ("mat1", "mat2", "self")], op, **factors)


def _transpose(w: _Writer, op: Op) -> str:
    if len(w.shape(op)) != 2:
        return w.node("Identity", [w.read(op, "self")], op)
    return w.node("Transpose", [w.read(op, "self")], op, perm=[1, 0])


def _squeeze(w: _Writer, op: Op) -> str:
    """Only the sides that are named, and of these only those of one: the others stay, as in torch."""
    shape, dims = w.shape(op), op.setting("dim")
    if dims is None or not shape:
        raise ValueError(
            f"{w.called(op)} leaves out whatever is 1, the batch too; name the dimension: squeeze(1)"
        )
    named = [dim % len(shape) for dim in ((dims,) if isinstance(dims, int) else dims)]
    if any(isinstance(w.sides(op.setting("self").value)[dim], str) for dim in named):
        raise ValueError(f"{w.called(op)} leaves out the batch where it is 1, which has no counterpart here")
    gone = [dim for dim in named if shape[dim] == 1]
    if not gone:
        return w.node("Identity", [w.read(op, "self")], op)
    return w.node("Squeeze", [w.read(op, "self"), w.tensor(gone)], op)


def _slice(w: _Writer, op: Op) -> str:
    dim = op.setting("dim", 0)
    start, end = op.setting("start") or 0, op.setting("end")
    end = 2**62 if end is None else min(end, 2**62)
    parts = [w.tensor([value]) for value in (start, end, dim, op.setting("step", 1))]
    return w.node("Slice", [w.read(op, "self"), *parts], op)


def _index(w: _Writer, op: Op) -> str:
    picks = [(dim, pick) for dim, pick in enumerate(op.setting("indices")) if pick is not None]
    if len(picks) != 1:
        raise ValueError("an index along several dimensions at once has no counterpart here")
    ((dim, pick),) = picks
    if w.graph.values[pick.value].dtype != "int64":
        raise ValueError(f"{w.called(op)} picks by true and false, so that its size depends on the numbers")
    return w.node("Gather", [w.read(op, "self"), w.names[pick.value]], op, axis=dim)


def _pad(w: _Writer, op: Op) -> str:
    rank, pads = len(w.shape(op)), op.setting("pad")
    before, after = [0] * rank, [0] * rank
    for place in range(len(pads) // 2):
        before[rank - 1 - place], after[rank - 1 - place] = pads[2 * place : 2 * place + 2]
    value = w.tensor(torch.tensor(float(op.setting("value") or 0.0)))
    return w.node("Pad", [w.read(op, "self"), w.tensor([*before, *after]), value], op)


def _clip(w: _Writer, op: Op) -> str:
    low, high = (
        w.tensor(torch.tensor(float(op.setting(name, d)))) for name, d in (("min_val", -1), ("max_val", 1))
    )
    return w.node("Clip", [w.read(op, "self"), low, high], op)


def _silu(w: _Writer, op: Op) -> str:
    x = w.read(op, "self")
    return w.node("Mul", [x, w.node("Sigmoid", [x], op)], op)


def _cat(w: _Writer, op: Op) -> str:
    names = [w.names[each.value] for each in op.setting("tensors")]
    return w.node("Concat", names, op, axis=op.setting("dim", 0))


CONVOLUTION = "input weight bias stride padding dilation transposed output_padding groups"
NORM = "input weight bias running_mean running_var training train momentum eps"
POOL = "self kernel_size stride padding ceil_mode"

# The rule of each operation, and the arguments that it knows: any other one is refused.
RULES: dict[str, tuple[Rule, str]] = {
    "convolution": (_convolution, CONVOLUTION),
    "batch_norm": (_batch_norm, NORM),
    "relu": (_elementwise("Relu"), "self"),
    "tanh": (_elementwise("Tanh"), "self"),
    "sigmoid": (_elementwise("Sigmoid"), "self"),
    "neg": (_elementwise("Neg"), "self"),
    "exp": (_elementwise("Exp"), "self"),
    "silu": (_silu, "self"),
    "hardtanh": (_clip, "self min_val max_val"),
    "add": (_scaled("Add"), "self other alpha"),
    "sub": (_scaled("Sub"), "self other alpha"),
    "mul": (_pairwise("Mul"), "self other"),
    "div": (_pairwise("Div"), "self other"),
    "pow": (_pairwise("Pow", "exponent"), "self exponent"),
    "max_pool2d": (_max_pool, f"{POOL} dilation"),
    "avg_pool2d": (_average_pool, f"{POOL} count_include_pad divisor_override"),
    "avg_pool3d": (_average_pool, f"{POOL} count_include_pad divisor_override"),
    "adaptive_avg_pool2d": (_adaptive_average_pool, "self output_size"),
    "mean": (_mean, "self dim keepdim"),
    "sum": (_sum, "self dim keepdim"),
    "addmm": (_addmm, "self mat1 mat2 beta alpha"),
    "mm": (_pairwise("MatMul", "mat2"), "self mat2"),
    "bmm": (_pairwise("MatMul", "mat2"), "self mat2"),
    "view": (_view, "self size"),
    "t": (_transpose, "self"),
    "alias": (_elementwise("Identity"), "self"),
    "clone": (_elementwise("Identity"), "self memory_format"),
    "detach": (_elementwise("Identity"), "self"),
    "lift_fresh": (_elementwise("Identity"), "self"),
    "slice": (_slice, "self dim start end step"),
    "index": (_index, "self indices"),
    "cat": (_cat, "tensors dim"),
    "constant_pad_nd": (_pad, "self pad value"),
    "squeeze": (_squeeze, "self dim"),
    "unsqueeze": (
        lambda w, op: w.node("Unsqueeze", [w.read(op, "self"), w.tensor([op.setting("dim")])], op),
        "self dim",
    ),
}
WHOLE = {"index", "lift_fresh", "alias", "clone", "detach", "view"}  # operations that may read whole numbers
BATCHES = (1, 2, 5)  # with which the file is compared with the network
TOLERANCE = 1e-3  # by which the two may differ, as a part of the largest number


def to_onnx(network: nn.Module, image: tuple[int, int, int]) -> onnx.ModelProto:
    """A network in evaluation as a model of ONNX: images (batch, channels, height, width) to logits.

    Where onnxruntime is installed, the model and the network are compared on random images, in batches of 1, 2
    and 5. The network is left as it was.

    Raises ImportError where `onnx` is missing, TypeError for what is no network, and ValueError for a bad image, a
    network that does not take it or returns anything but one tensor, or an operation that has no rule here.
    """
    if not isinstance(network, nn.Module):
        hint = f"; build it first: casestudies.zoo.build({network!r})" if isinstance(network, str) else ""
        raise TypeError(f"network is {network!r} ({type(network).__name__}); expected an nn.Module{hint}")
    image = check_image(image)
    try:
        import onnx
    except ImportError:
        raise ImportError(
            'onnx is not installed; install it with: pip install "casestudies[export]"'
        ) from None
    if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        network = network.module  # as `record` takes it
    if any(tensor.is_meta for tensor in (*network.parameters(), *network.buffers())):
        raise ValueError("network has no weights (it is a skeleton); build it with casestudies.zoo.build")
    # Real images make constants known; two batch sizes tell what changes with the batch from what does not.
    graph, other = (_recorded(network, image, batch) for batch in (2, 3))
    _check_batches(graph, other)
    state = dict(network.named_parameters()) | dict(
        network.named_buffers()
    )  # also those of layers that the first run made
    writer = _Writer(graph, other, state)
    model = writer.model()
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ValueError(f"network makes a file that onnx refuses: {_first_line(error)}") from None
    _compare(writer, model, network, image)
    return model


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _recorded(network: nn.Module, image: tuple[int, int, int], batch: int) -> Graph:
    try:
        graph = record(network, torch.zeros(batch, *image))
    except Exception as error:
        shape = " x ".join(map(str, image))
        raise ValueError(
            f"network does not run on {batch} images of {shape}: {_first_line(error)}"
        ) from error
    if not isinstance(graph.output, Ref) or graph.values[graph.output.value].dtype != "float32":
        raise ValueError(
            "network returns something else than one tensor of float32; wrap it in a module that does"
        )
    if graph.output.value in graph.inputs:
        raise ValueError("network returns its images as they are; there is nothing to write down")
    return graph


def _check_batches(graph: Graph, other: Graph) -> None:
    """Whether a network computes the same for each batch; what may change is the shape that a view is given."""
    if [op.overload for op in graph.ops] != [op.overload for op in other.ops]:
        raise ValueError(
            "network takes another way for 3 images than for 2, which has no counterpart in ONNX"
        )
    for one, two in zip(graph.ops, other.ops, strict=True):
        settings = {name: value for name, value in one.arguments if (one.name, name) != ("view", "size")}
        for name, value in settings.items():
            if two.setting(name) != value:
                where = f"{one.name} at {graph.path(one) or 'the top'!r}"
                raise ValueError(
                    f"{where} has {name}={value} for 2 images, {two.setting(name)} for 3; a file has one"
                )
    if graph.constants != other.constants:
        raise ValueError(
            "network makes a constant that changes with the batch, which has no counterpart in ONNX"
        )


def _compare(
    writer: _Writer, model: onnx.ModelProto, network: nn.Module, image: tuple[int, int, int]
) -> None:
    """Run the file and the network on the same random images, if onnxruntime is there.

    Deep networks can amplify rounding errors, or overflow, until their outputs tell nothing. Then each operation is
    compared on its own, on the numbers that the network gives it.
    """
    try:
        session = _session(model)
    except ImportError:
        return
    except Exception as error:
        raise ValueError(f"network makes a file that onnxruntime refuses: {_first_line(error)}") from None
    generator = torch.Generator().manual_seed(0)
    for batch in BATCHES:
        images = torch.randn(batch, *image, generator=generator)
        try:
            ours = _outputs(network, images)
        except Exception as error:
            if batch > 1:
                raise ValueError(f"network does not run on {batch} images: {_first_line(error)}") from error
            continue  # such as one that says that it takes no single image
        try:
            (theirs,) = session.run(None, {"images": images.numpy()})
        except Exception as error:
            where = _culprit(writer, network, images)
            words = f"onnxruntime fails on {batch} images: {_first_line(error)}"
            raise ValueError(f"{words}; {where}" if where else words) from None
        agree = _agree(ours, torch.from_numpy(theirs))
        if agree and bool(ours.isfinite().all()):
            continue
        where = _culprit(writer, network, images)
        if not where and (agree or not _agree(ours, _outputs(network, images * (1 + 2**-20)))):
            continue  # the network itself answers otherwise to images that differ by a rounding error
        where = where or "no single operation differs"
        raise ValueError(f"the file computes something else than the network on {batch} images; {where}")


def _session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says is raised, too
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _outputs(network: nn.Module, images: Tensor) -> Tensor:
    """What a network gives in evaluation; its own mode is left as it was."""
    modes = {each: each.training for each in network.modules()}
    try:
        with torch.no_grad():
            found: Tensor = network.eval()(images)
    finally:
        for each, was_training in modes.items():
            each.training = was_training
    return found


def _agree(ours: Tensor, theirs: Tensor) -> bool:
    if ours.shape != theirs.shape:
        return False
    finite = ours[ours.isfinite()].abs()
    limit = TOLERANCE * float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(ours.detach(), theirs, rtol=TOLERANCE, atol=limit, equal_nan=True)


def _culprit(writer: _Writer, network: nn.Module, images: Tensor) -> str:
    """The first operation that differs where the file's nodes get the same numbers as the network's; "" for none."""
    graph = record(network, images)
    if [op.overload for op in graph.ops] != [op.overload for op in writer.graph.ops]:
        return "it takes another way there"
    tensors: dict[int, Tensor] = {graph.inputs[0]: images}
    for held in graph.state:
        if held.value is not None:
            tensors[held.value] = writer.state[held.name].detach()
    for constant in graph.constants:
        value = graph.values[constant.value]
        if constant.data is None:
            return f"a constant of {value.shape} is too large to be compared"
        made = torch.tensor(constant.data, dtype=getattr(torch, value.dtype))
        tensors[constant.value] = made.reshape(value.shape)
    last = {value: place for place, op in enumerate(graph.ops) for value in op.reads}
    for place, op in enumerate(graph.ops):
        try:
            with torch.no_grad():
                (ours, *_) = carry_out(op, tensors)
            theirs = _on_its_own(writer, op, tensors)
        except Exception as error:
            return f"{writer.called(op)} fails: {_first_line(error)}"
        known = all(bool(tensors[value].isfinite().all()) for value in op.reads)
        if known and not _agree(ours.float(), theirs.float()):
            return f"{writer.called(op)} differs first"
        tensors[op.outputs[0]] = ours
        for read in op.reads:
            if last[read] == place:
                tensors.pop(read, None)
    return ""


def _on_its_own(writer: _Writer, op: Op, tensors: dict[int, Tensor]) -> Tensor:
    """What the nodes of one operation make of these numbers."""
    from onnx import TensorProto, helper

    nodes = writer.own[op.outputs[0]]
    made = {name for node in nodes for name in node.output}
    read = {name for node in nodes for name in node.input} - made
    fed = {writer.names[value]: tensors[value] for value in op.reads if writer.names[value] in read}
    kinds = {torch.float32: TensorProto.FLOAT, torch.int64: TensorProto.INT64}
    result = writer.names[op.outputs[0]]
    inputs = [
        helper.make_tensor_value_info(name, kinds[each.dtype], each.shape) for name, each in fed.items()
    ]
    held = [each for each in writer.tensors if each.name in read - set(fed)]
    part = helper.make_graph(nodes, "part", inputs, [helper.make_empty_tensor_value_info(result)], held)
    opset = helper.make_opsetid("", OPSET)
    session = _session(helper.make_model(part, opset_imports=[opset], ir_version=8))
    (found,) = session.run(None, {name: each.contiguous().numpy() for name, each in fed.items()})
    return torch.from_numpy(found)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies export resnet18`."""
    parser = subparsers.add_parser("export")
    parser.add_argument("name", help="name of a network, such as resnet18; see `casestudies networks`")
    parser.add_argument("--to", type=Path, default=Path(), help="folder to write to (default: this one)")
    parser.add_argument("--pretrained", action="store_true", help="with torchvision's published weights")
    parser.add_argument(
        "--formats", default="onnx,json,svg", help="some of onnx,json,svg, with commas (default: all of them)"
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the files that were asked for and say where they are."""
    from casestudies.figures import overview
    from casestudies.zoo import build, skeleton, variant

    row = variant(arguments.name)
    formats = [word.strip() for word in arguments.formats.split(",")]
    for word in formats:
        if word not in ("onnx", "json", "svg"):
            raise ValueError(f"--formats has {word!r}; expected some of onnx, json, svg")
    arguments.to.mkdir(parents=True, exist_ok=True)
    for word in formats:
        path = arguments.to / f"{row.name}.{word}"
        if word == "json":
            graph = record(skeleton(row.name), torch.empty(1, *row.image, device="meta"))
            path.write_text(graph.to_json(), encoding="utf-8")
        elif word == "svg":
            path.write_text(overview(skeleton(row.name), row.image, row.name).to_file(), encoding="utf-8")
        else:
            try:
                model = to_onnx(build(row.name, pretrained=arguments.pretrained), row.image)
            except ImportError as error:
                raise ValueError(str(error)) from None
            path.write_bytes(model.SerializeToString())
        print(path)
    return 0
