"""What a module does, step by step: read off its graph, as the drawings show it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from casestudies.costs.fitting import Terms, check_image, check_network, record_image
from casestudies.figures.palette import wanted
from casestudies.graph import Call, Graph, Op, unwrapped


@dataclass
class Step:
    """One layer or operation of a module, with the shape (channels, height, width) of its result."""

    name: str
    kind: str  # "input", "box", "sum", "product", "concatenation", "wire"
    label: str
    role: str
    inputs: list[str]
    shape: tuple[int, ...]
    parameters: int = 0


def kernel_text(kernel: int | tuple[int, ...]) -> str:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    return "×".join(map(str, sides))


def stride_text(stride: object) -> str:
    first = stride[0] if isinstance(stride, tuple) and stride else stride
    return f", stride {first}" if isinstance(first, int) and first > 1 else ""


def window_text(kind: str, kernel: object, stride: object) -> str:
    """
    >>> window_text("max", (3, 3), 2), window_text("average", 2, (1, 1))
    ('max pool 3×3, stride 2', 'average pool 2×2')
    """
    assert isinstance(kernel, int | tuple)  # as modules and graphs have it
    return f"{kind} pool {kernel_text(kernel)}{stride_text(stride)}"


def gelu_text(approximate: object) -> str:
    """
    >>> gelu_text("none"), gelu_text("tanh")
    ('GELU', 'GELU by tanh')
    """
    return "GELU by tanh" if approximate == "tanh" else "GELU"


def in_words(kind: str) -> str:
    """
    >>> in_words("ChannelShuffle")
    'channel shuffle'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", kind).lower()


def layer_of(network: nn.Module, call: Call) -> nn.Module | None:
    """The module of a call; None for one that the network does not name, such as a layer in a plain list."""
    try:
        return unwrapped(network).get_submodule(call.path)
    except AttributeError:
        return None


def describe(module: nn.Module) -> tuple[str, str]:
    """The label of one layer, and its role."""
    wanted("module", module, nn.Module, "an nn.Module")
    match module:
        case nn.Conv2d():
            kind, role = "conv", "conv"
            if module.groups == module.in_channels and module.groups > 1:
                kind, role = "depthwise conv", "depthwise"
            elif module.kernel_size == (1, 1):
                role = "pointwise"
            groups = f", {module.groups} groups" if module.groups > 1 and role == "conv" else ""
            text = f"{kernel_text(module.kernel_size)} {kind}, {module.out_channels}"
            return text + groups + stride_text(module.stride), role
        case nn.Linear():
            return f"linear, {module.out_features}", "linear"
        case nn.BatchNorm2d():
            return "batch norm", "norm"
        case nn.LocalResponseNorm():
            return "local response norm", "norm"
        case nn.MaxPool2d():
            return window_text("max", module.kernel_size, module.stride), "pool"
        case nn.AvgPool2d():
            kind = averaging(module.divisor_override)
            return window_text(kind, module.kernel_size, module.stride), "pool"
        case nn.AdaptiveAvgPool2d():
            return "global average pool" if module.output_size in (
                1,
                (1, 1),
            ) else "adaptive average pool", "pool"
        case nn.Dropout():
            return f"dropout {module.p:g}", "norm"
        case nn.Flatten():
            return "flatten", "pool"
        case nn.ReLU() | nn.ReLU6() | nn.Tanh() | nn.Sigmoid() | nn.SiLU():
            return type(module).__name__.replace("Tanh", "tanh").replace("Sigmoid", "sigmoid"), "activation"
        case nn.GELU():
            return gelu_text(module.approximate), "activation"
    words = in_words(type(module).__name__)
    return words + stride_text(getattr(module, "stride", 1)), "skip" if "shortcut" in words else "pool"


# Kind, label and role of operations outside layers.
OPERATIONS: dict[str, tuple[str, str, str]] = {
    "add": ("sum", "+", "skip"),
    "mul": ("product", "×", "skip"),
    "cat": ("concatenation", "concatenate", "skip"),
    "relu": ("box", "ReLU", "activation"),
    "hardtanh": ("box", "ReLU6", "activation"),
    "silu": ("box", "SiLU", "activation"),
    "tanh": ("box", "tanh", "activation"),
    "sigmoid": ("box", "sigmoid", "activation"),
    "mm": ("box", "matrix product", "linear"),
}


def averaging(divisor: object) -> str:
    """What an average pool computes where it divides by `divisor`, which is None for the size of its window."""
    return "sum" if divisor == 1 else "average"


def pool_text(graph: Graph, op: Op) -> str | None:
    """The label of a function that pools, which is that of the module; None for any other operation."""
    match op.name:
        case "max_pool2d" | "avg_pool2d":
            kind = "max" if op.name == "max_pool2d" else averaging(op.setting("divisor_override"))
            window = op.setting("kernel_size")
            return window_text(kind, window, op.setting("stride") or window)
        case "mean" if op.reads and len(graph.values[op.reads[0]].shape) == 4:
            dims = op.setting("dim")  # those of the grid, from the front or from behind
            grid = isinstance(dims, tuple) and {dim % 4 for dim in dims if isinstance(dim, int)} == {2, 3}
            return "global average pool" if grid else None
    return None


def described(layer: nn.Module | None, call: Call) -> tuple[str, str]:
    """The label and the role of a layer that was called, as `layer_of` found it."""
    return (in_words(call.kind), "pool") if layer is None else describe(layer)


def parameters_of(layer: nn.Module | None) -> int:
    return 0 if layer is None else sum(p.numel() for p in layer.parameters())


def graph_of(module: nn.Module, image: Sequence[int], name: str = "module") -> Graph:
    """The graph of a module in evaluation, for an input of (channels, height, width), without computing anything.

    Raises TypeError for anything but a module, and ValueError for an image that does not fit, as `ledger` does.
    """
    check_network(module, name)
    return record_image(module, check_image(image), Terms(training=False))[0]


def trace(module: nn.Module, image: Sequence[int]) -> list[Step]:
    """What `module` does to an input of shape `image` = (channels, height, width), in order."""
    return steps_of(graph_of(module, image), module)


def steps_of(graph: Graph, module: nn.Module, root: int = 0) -> list[Step]:
    """The steps inside one call of a graph; `module` is the whole network.

    A module without parts is one step, whatever it computes; every other module is opened.
    """
    calls = graph.calls
    start = calls[root].inputs[0] if calls[root].inputs else graph.inputs[0]
    steps = [Step("x", "input", "x", "ink", [], graph.values[start].shape[1:])]
    maker = {start: "x"}  # which step made a value
    for thing in _inside(graph, root):
        reads = thing.inputs if isinstance(thing, Call) else thing.reads
        inputs = list(dict.fromkeys(maker[value] for value in reads if value in maker))
        if not inputs or not thing.outputs:
            continue
        shape = graph.values[thing.outputs[0]].shape[1:]
        name, parameters = f"{len(steps)}", 0
        if isinstance(thing, Call):
            layer = layer_of(module, thing)
            kind, (label, role) = "box", described(layer, thing)
            parameters = parameters_of(layer)
            if isinstance(layer, nn.Identity):
                kind, label, role = "wire", "identity", "skip"
        elif thing.name in OPERATIONS:
            kind, label, role = OPERATIONS[thing.name]
        elif thing.name == "gelu":
            kind, label, role = "box", gelu_text(thing.setting("approximate")), "activation"
        elif pooled := pool_text(graph, thing):
            kind, label, role = "box", pooled, "pool"
        elif thing.name == "view" and len(shape) == 1:
            kind, label, role = "box", "flatten", "pool"
        elif _is_view(graph, thing):
            maker.update(dict.fromkeys(thing.outputs, inputs[0]))
            continue
        else:
            kind, label, role = "box", thing.name, "pool"
        steps.append(Step(name, kind, label, role, inputs, shape, parameters))
        maker.update(dict.fromkeys(thing.outputs, name))
    return steps


def _inside(graph: Graph, root: int) -> Iterator[Call | Op]:
    """Calls of modules without parts, and the operations outside of them, in the order in which they ran."""
    # A layer in a plain list runs inside a module without parts.
    opened = {call.parent for call in graph.calls}
    closed = [call.leaf and place not in opened for place, call in enumerate(graph.calls)]
    inside = {root}
    for place, call in enumerate(graph.calls):
        if call.parent in inside:
            inside.add(place)
    entered = root + 1
    for op in graph.ops:
        while entered <= op.call:
            if entered in inside and closed[entered]:
                yield graph.calls[entered]
            entered += 1
        if op.call in inside and (op.call == root or not closed[op.call]):
            yield op
    for place in range(entered, len(graph.calls)):
        if place in inside and closed[place]:
            yield graph.calls[place]


def _is_view(graph: Graph, op: Op) -> bool:
    read = {graph.values[value].storage for value in op.reads}
    return graph.values[op.outputs[0]].storage in read and not op.writes
