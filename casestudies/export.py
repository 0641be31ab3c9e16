"""Write a network down for other programs: ONNX (opens in Netron, runs anywhere), its graph as JSON, a drawing.

    casestudies export resnet18                     resnet18.onnx, resnet18.json, resnet18.svg
    casestudies export resnet18 --to out --pretrained

Each operation of the graph becomes the operation of ONNX that computes the same, for a batch of any size. `onnx`
writes the file: pip install "casestudies[export]".
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from casestudies.graph import Graph, Op, Ref, record

if TYPE_CHECKING:
    import onnx

OPSET = 17
BATCH = "batch"


class _Writer:
    """Turns the operations of a graph into nodes of ONNX."""

    def __init__(self, graph: Graph, state: dict[str, Tensor]) -> None:
        self.graph, self.state = graph, state
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []
        self.names: dict[int, str] = {}
        self.count = 0

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
            rule = RULES.get(op.name)
            if rule is None:
                raise ValueError(
                    f"{op.name} at {graph.path(op) or 'the top'!r} has no counterpart here; "
                    f"those that have: {', '.join(sorted(RULES))}"
                )
            self.names[op.outputs[0]] = rule(self, op)
        (out,) = graph.outputs
        self.nodes.append(helper.make_node("Identity", [self.names[out]], ["logits"]))
        shapes = [[BATCH, *graph.values[value].shape[1:]] for value in (given, out)]
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in zip(("images", "logits"), shapes, strict=True)
        ]
        made = helper.make_graph(self.nodes, graph.network, infos[:1], infos[1:], self.tensors)
        return helper.make_model(
            made, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="casestudies", ir_version=8
        )

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
    count = int(op.setting("count_include_pad", True))
    pooled = w.node("AveragePool", [w.read(op, "self")], op, count_include_pad=count, **_window(op))
    divisor = op.setting("divisor_override")
    if divisor is None:
        return pooled
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
    return w.node("ReduceMean", [w.read(op, "self")], op, axes=list(op.setting("dim")), keepdims=keep)


def _sum(w: _Writer, op: Op) -> str:
    axes = w.tensor(op.setting("dim"))
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
    # Of any batch: the first dimension stays what it is, or, if there are more ones before it, is what is left.
    entered, left = w.shape(op), list(w.out_shape(op))
    if entered and left and entered[0] == left[0]:
        left[0] = 0
    elif left:
        left[left.index(max(left))] = -1 if entered[0] not in left else left[left.index(max(left))]
        left = [-1 if size == entered[0] and -1 not in left else size for size in left]
    return w.node("Reshape", [w.read(op, "self"), w.tensor(left)], op)


def _addmm(w: _Writer, op: Op) -> str:
    return w.node("Gemm", [w.read(op, name) for name in ("mat1", "mat2", "self")], op)


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


RULES: dict[str, Rule] = {
    "convolution": _convolution,
    "batch_norm": _batch_norm,
    "relu": _elementwise("Relu"),
    "tanh": _elementwise("Tanh"),
    "sigmoid": _elementwise("Sigmoid"),
    "neg": _elementwise("Neg"),
    "exp": _elementwise("Exp"),
    "silu": _silu,
    "hardtanh": _clip,
    "add": _scaled("Add"),
    "sub": _scaled("Sub"),
    "mul": _pairwise("Mul"),
    "div": _pairwise("Div"),
    "pow": _pairwise("Pow", "exponent"),
    "max_pool2d": _max_pool,
    "avg_pool2d": _average_pool,
    "avg_pool3d": _average_pool,
    "adaptive_avg_pool2d": _adaptive_average_pool,
    "mean": _mean,
    "sum": _sum,
    "addmm": _addmm,
    "mm": _pairwise("MatMul", "mat2"),
    "bmm": _pairwise("MatMul", "mat2"),
    "view": _view,
    "t": lambda w, op: w.node("Transpose", [w.read(op, "self")], op, perm=[1, 0]),
    "alias": _elementwise("Identity"),
    "clone": _elementwise("Identity"),
    "detach": _elementwise("Identity"),
    "lift_fresh": _elementwise("Identity"),
    "slice": _slice,
    "index": _index,
    "cat": _cat,
    "constant_pad_nd": _pad,
    "squeeze": lambda w, op: w.node("Squeeze", [w.read(op, "self"), w.tensor([op.setting("dim")])], op),
    "unsqueeze": lambda w, op: w.node("Unsqueeze", [w.read(op, "self"), w.tensor([op.setting("dim")])], op),
}


def to_onnx(network: nn.Module, image: tuple[int, int, int]) -> onnx.ModelProto:
    """A network in evaluation as a model of ONNX: images (batch, channels, height, width) to logits.

    Raises ImportError where `onnx` is missing, and ValueError for an operation that has no rule here.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError(
            'onnx is not installed; install it with: pip install "casestudies[export]"'
        ) from None
    parameter = next(network.parameters(), None)
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    if parameter is not None and parameter.is_meta:
        raise ValueError("network has no weights (it is a skeleton); build it with casestudies.zoo.build")
    # Recorded with real images, so that constants are known; two, so that the batch can be told from a 1.
    graph = record(network, torch.zeros(2, *image))
    model = _Writer(graph, state).model()
    onnx.checker.check_model(model)
    return model


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
