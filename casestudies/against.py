"""Why do tools disagree? Our MACs beside those of other counters, each difference with the convention behind it.

    casestudies ledger resnet50 --against torchinfo,fvcore

Each tool is run, and its convention is written down here as rules over the graph. The rules
explain a difference line by line. What they leave unexplained is a line of its own, so the lines always sum to it.
The tools are no dependencies of this project: those that are installed are asked.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from casestudies.costs import op_macs, total_macs
from casestudies.costs.fitting import Terms, check_image, check_network, record_image
from casestudies.graph import Call, Graph, Op
from casestudies.hollow import random_states

CONVOLUTIONS = ("Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")


@dataclass(frozen=True)
class Line:
    """One reason why a tool counts differently from the ledger."""

    #: The tool's convention, in words. In a last line that begins with ``"not explained"``, it names the layers or
    #: operations that no rule covers.
    reason: str
    places: int  #: How many layers or operations the reason applies to; 1 for what is not explained.
    macs: int  #: How many more MACs the tool counts; below 0 if fewer.


@dataclass(frozen=True)
class Comparison:
    """What one tool counts for one image, and why it differs from the ledger. All numbers are MACs."""

    tool: str  #: The name of the tool.
    network: str  #: The name of the network's class.
    ours: int  #: The MACs of the ledger.
    theirs: int  #: The MACs that the tool counts.
    #: The reasons for the difference, and what is not explained; their MACs sum to it.
    lines: tuple[Line, ...]

    @property
    def difference(self) -> int:
        """How many more MACs the tool counts than the ledger; the sum of the lines."""
        return self.theirs - self.ours

    def __str__(self) -> str:
        rows = [("ours", self.ours, 0), *((line.reason, line.macs, line.places) for line in self.lines)]
        rows.append((self.tool, self.theirs, 0))
        width = max(len(name) for name, *_ in rows)
        lines = [f"{self.network}: {self.tool} beside our ledger, MACs of one image"]
        for place, (name, macs, places) in enumerate(rows):
            number = f"{macs:,}" if place in (0, len(rows) - 1) else f"{macs:+,}"
            where = f"{places} place{'s' if places > 1 else ''}" if places else ""
            lines.append(f"{name:{width}}  {number:>20}  {where}".rstrip())
        return "\n".join(lines)


@dataclass(frozen=True)
class Failure:
    """A tool that gave no count, because it is not installed or failed."""

    tool: str  #: The name of the tool.
    network: str  #: The name of the network's class.
    reason: str  #: What happened; for a tool that is not installed, how to install it.

    def __str__(self) -> str:
        return self.reason


Reasons = Iterator[tuple[str, int]]


def _macs_of_calls(graph: Graph) -> dict[int, int]:
    found: dict[int, int] = {}
    for op in graph.ops:
        found[op.call] = found.get(op.call, 0) + op_macs(graph, op)
    return found


def _own(graph: Graph, call: Call, word: str) -> int:
    """Numbers of a layer's own parameter of that name."""
    own = (graph.state[place] for place in call.held)
    named = (held for held in own if held.kind == "parameter" and held.name.rpartition(".")[2] == word)
    return sum(math.prod(held.shape) for held in named)


def _torchinfo(graph: Graph) -> Reasons:
    """torchinfo multiplies a layer's parameters, biases included, by its grid; and sees nothing but layers."""
    macs = _macs_of_calls(graph)
    for place, call in enumerate(graph.calls):
        ours = macs.get(place, 0)
        if not call.leaf or not call.outputs:
            if ours:
                yield "products outside of layers: not seen", -ours
            continue
        shape = graph.values[call.outputs[0]].shape or (1,)  # a layer may give a single number
        weight, bias = (_own(graph, call, word) for word in ("weight", "bias"))
        if "Conv" in call.kind:
            positions = shape[0] * math.prod(shape[2:])
            yield "biases of convolutions, at each position", bias * positions
            yield "convolutions: the output's grid for the input's", weight * positions - ours
        elif call.kind == "Linear":
            yield "biases of linear layers", bias * shape[0]
            yield "linear layers at many positions: counted at one", weight * shape[0] - ours
        else:
            yield "scales and shifts of norms, once each", (weight + bias) * shape[0]
            if ours:
                yield "other layers with products", -ours


def _fvcore(graph: Graph) -> Reasons:
    """fvcore counts convolutions and products as we do, and norms and adaptive average pools besides."""
    for op in graph.ops:
        size = graph.values[op.reads[0]].numel if op.reads else 0
        affine = op.setting("weight") is not None
        match op.name:
            case "batch_norm":
                yield "batch norms, 2 for each number", size * (1 + affine)
            case "layer_norm" | "group_norm":
                yield "layer and group norms, 5 for each number", size * (4 + affine)
            case "adaptive_avg_pool2d":
                yield "adaptive average pools, 1 for each number that goes in", size
            case "mean" if _is_pool(op):
                yield "adaptive average pools, 1 for each number that goes in", size
            case "scaled_dot_product_attention" | "baddbmm" | "mv" | "addmv" | "dot":
                yield f"{op.name}: not counted", -op_macs(graph, op)


def _is_pool(op: Op) -> bool:
    """Whether a mean is what torch makes of an adaptive average pool to 1 x 1: nobody else writes it that way."""
    return op.setting("dim") == (-1, -2) and bool(op.setting("keepdim"))


# What ptflops' hooks count, and of those what it counts once more in the function that the layer calls.
HOOKED = ("ReLU", "ReLU6", "PReLU", "ELU", "LeakyReLU", "GELU")
CALLED = ("ReLU", "PReLU", "ELU", "GELU", "SiLU", "Softmax")
FUNCTIONAL_POOLS = ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d")
POOLS = ("MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "AdaptiveMaxPool2d")


def _ptflops(graph: Graph) -> Reasons:
    """ptflops adds biases, norms, activations and pools, each number one (norms two).

    It watches layers and functions, and so meets a layer that calls its function twice. A sum written with the
    sign `+` is no function.
    """
    for call in graph.calls:
        if not call.layer or not call.outputs or not call.inputs:
            continue
        entered, left = (graph.values[values[0]].numel for values in (call.inputs, call.outputs))
        has_bias = bool(_own(graph, call, "bias"))
        if call.kind in CONVOLUTIONS and has_bias:
            yield "biases of convolutions, at each position", left
        elif call.kind == "Linear" and has_bias:
            yield "biases of linear layers", left
        elif "Norm" in call.kind and call.kind != "LocalResponseNorm":
            yield "norms, 2 for each number", 2 * entered
        if call.kind in HOOKED:
            yield "activations, 1 for each number", left
        if call.kind in POOLS:
            yield "pools, 1 for each number that goes in", entered
            yield "the same pools again, in the function that the layer calls", entered
        if call.kind in CALLED:
            hooked = call.kind in HOOKED
            yield (
                "the same activations again, in the function" if hooked else "activations, 1 for each number",
                left,
            )
    for op in graph.ops:
        kind, layer = graph.calls[op.call].kind, graph.calls[op.call].layer
        if kind == "LocalResponseNorm" and op.name in ("mul", "add", "avg_pool3d"):
            yield "steps of local response norms, 1 for each number", graph.values[op.reads[0]].numel
        elif not layer and op.name in ("relu", "silu", "gelu", "elu"):
            yield "activations called as functions, 1 for each number", graph.values[op.outputs[0]].numel
        elif not layer and (op.name in FUNCTIONAL_POOLS or op.name == "mean" and _is_pool(op)):
            yield "pools called as functions, 1 for each number that goes in", graph.values[op.reads[0]].numel


def _calflops(graph: Graph) -> Reasons:
    """calflops counts MACs of convolutions and products as we do."""
    yield from ()


def _run_torchinfo(network: nn.Module, image: tuple[int, int, int]) -> int:
    from torchinfo import summary

    return int(summary(network, input_size=(1, *image), device="cpu", verbose=0).total_mult_adds)


def _run_fvcore(network: nn.Module, image: tuple[int, int, int]) -> int:
    from fvcore.nn import FlopCountAnalysis

    analysis = FlopCountAnalysis(network, torch.zeros(1, *image))
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def _run_ptflops(network: nn.Module, image: tuple[int, int, int]) -> int:
    from ptflops import get_model_complexity_info

    macs, _ = get_model_complexity_info(
        network, tuple(image), as_strings=False, print_per_layer_stat=False, backend="pytorch"
    )
    return int(macs)


def _run_calflops(network: nn.Module, image: tuple[int, int, int]) -> int:
    from calflops import calculate_flops

    _, macs, _ = calculate_flops(
        network, input_shape=(1, *image), print_results=False, print_detailed=False, output_as_string=False
    )
    return int(macs)


@dataclass(frozen=True)
class Tool:
    """Another counter: how to run it on a network and an image (it gives MACs), and the rules of its convention."""

    run: Callable[[nn.Module, tuple[int, int, int]], int]
    reasons: Callable[[Graph], Reasons]


TOOLS = {
    "torchinfo": Tool(_run_torchinfo, _torchinfo),
    "fvcore": Tool(_run_fvcore, _fvcore),
    "ptflops": Tool(_run_ptflops, _ptflops),
    "calflops": Tool(_run_calflops, _calflops),
}


# Layers that the rules above were written for and checked on.
RULED = {
    *CONVOLUTIONS, *HOOKED, *CALLED, *POOLS, "Linear", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "LayerNorm",
    "GroupNorm", "LocalResponseNorm", "Tanh", "Sigmoid", "Dropout", "Dropout2d", "Flatten", "Identity", "Hardswish",
}  # fmt: skip


def _unexplained(graph: Graph) -> str:
    """The name of the line that no rule explains: what stands in the network without one."""
    kinds = {call.kind for call in graph.calls if call.leaf and call.kind not in RULED}
    products = {op.name for op in graph.ops if op_macs(graph, op) and not graph.calls[op.call].leaf}
    if not kinds | products:
        return "not explained by the tool's convention"
    return f"not explained: there is no rule here for {', '.join(sorted(kinds | products))}"


def explain(tool: str, graph: Graph, theirs: int) -> Comparison:
    """Why `tool` counts `theirs` MACs for a recorded network; the lines sum to the difference."""
    macs: dict[str, int] = {}
    places: dict[str, int] = {}
    for reason, more in TOOLS[tool].reasons(graph):
        if more:
            macs[reason] = macs.get(reason, 0) + more
            places[reason] = places.get(reason, 0) + 1
    ours = total_macs(graph)
    rest = theirs - ours - sum(macs.values())
    lines = [Line(reason, places[reason], more) for reason, more in macs.items()]
    if rest:
        lines.append(Line(_unexplained(graph), 1, rest))
    return Comparison(tool, graph.network, ours, theirs, tuple(lines))


def against(
    network: nn.Module, image: Iterable[int], tools: str | Iterable[str]
) -> list[Comparison | Failure]:
    """Have other tools count a network's MACs on one image, and explain where they differ from the ledger.

    The network is counted in evaluation. The tools are not dependencies of this package: install those that you
    want to ask. They run copies of the network, and leave the original unchanged; the torch functions that they wrap
    are restored, and so is the state of the random number generators of torch, Python and NumPy.

    Args:
        network: A module on the CPU.
        image: The sizes of one image without the batch, (channels, height, width).
        tools: Names of tools, as a list or as text with commas between them: torchinfo, fvcore, ptflops, calflops.
            Duplicates are ignored.

    Returns:
        A list with a `Comparison` for each tool, in the order of `tools`; `print` shows one line by line. A tool
        that is not installed, or that fails, has a `Failure` in its place, and the others go on.

    Raises:
        TypeError: `network` is not a module, or `tools` is neither text nor an iterable.
        ValueError: `image` is not three whole numbers of at least 1.
        ValueError: The image does not fit the network; the message is that of `casestudies.ledger`.
        ValueError: The network cannot be recorded: it has lazy layers that have not seen an input, it was made by
            torch.jit or torch.export, or it returns a set or an iterator. Or it cannot be copied for the tools.
        ValueError: No tool is named, or one that is unknown or not a string.
        ValueError: Every tool failed, as torchinfo and fvcore do for a network on the meta device. This includes
            asking for one tool that is not installed.
        RuntimeError: The network decides by the numbers in a tensor, or the image does not fit a layer whose shapes
            torch alone knows, as for `casestudies.ledger`.
        Exception: Any other error of the network's own is raised as it is.

    See Also:
        `casestudies.ledger` makes the count that the tools are compared with.

    >>> network = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2))
    >>> (comparison,) = against(network, (1, 32, 32), "torchinfo")
    >>> comparison.difference
    4704
    >>> print(comparison)
    Sequential: torchinfo beside our ledger, MACs of one image
    ours                                                   117,600
    biases of convolutions, at each position                +4,704  1 place
    torchinfo                                              122,304
    """
    check_network(network)
    shape = check_image(image)
    names = _names(tools)
    graph, _ = record_image(network, shape, Terms(training=False))
    found = [_counted(tool, graph, network, shape) for tool in names]
    if all(isinstance(each, Failure) for each in found):
        raise ValueError("; ".join(map(str, found)))
    return found


def _counted(
    tool: str, graph: Graph, network: nn.Module, image: tuple[int, int, int]
) -> Comparison | Failure:
    """What one tool counts, on a copy of its own: one that fails half way leaves its hooks behind."""
    if importlib.util.find_spec(tool) is None:
        return Failure(tool, graph.network, f"{tool} is not installed here: pip install {tool}")
    try:
        # Tools make images of float32, and what is counted does not depend on the precision.
        network = copy.deepcopy(network).eval().float()
    except Exception as error:
        raise ValueError(
            f"network is {type(network).__name__}, and cannot be copied for the tools to run: {error}"
        ) from error
    # Tools print and warn about what is none of the reader's concern.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), _torch_as_it_was():
        warnings.simplefilter("ignore")
        try:
            theirs = TOOLS[tool].run(network, image)
        except ImportError as error:
            reason = f"{tool} is installed, but cannot be imported: {error}"
        except Exception as error:  # whatever a tool raises, where it meets what it does not know
            reason = f"{tool} could not count {graph.network}: {str(error) or type(error).__name__}"
        else:
            return explain(tool, graph, theirs)
    return Failure(tool, graph.network, reason)


@contextlib.contextmanager
def _torch_as_it_was() -> Iterator[None]:
    """Put back what tools change of torch: functions that they wrap, also where they fail, and random numbers."""
    states = random_states()
    wrapped = {place: dict(vars(place)) for place in (torch, nn.functional, torch.Tensor)}
    try:
        yield
    finally:
        for put_back in states:
            put_back()
        for place, before in wrapped.items():
            for name, value in dict(vars(place)).items():
                if name in before and value is not before[name]:
                    setattr(place, name, before[name])
                elif name not in before and place is torch.Tensor:  # it hides what Tensor inherits
                    delattr(place, name)


def _names(tools: str | Iterable[str]) -> list[str]:
    names = tools.split(",") if isinstance(tools, str) else tools
    expected = f"expected some of {', '.join(TOOLS)}"
    if not isinstance(names, Iterable):
        raise TypeError(f"tools is {tools!r}; {expected}")
    found = [name.strip() if isinstance(name, str) else name for name in names]
    found = [name for name in found if name != ""]
    if not found:
        raise ValueError(f"tools is {tools!r}; {expected}")
    for name in found:
        if not isinstance(name, str) or name not in TOOLS:
            raise ValueError(f"tool is {name!r}; {expected}")
    return list(dict.fromkeys(found))


def installed() -> list[str]:
    """The tools that are there to be asked."""
    return [tool for tool in TOOLS if importlib.util.find_spec(tool) is not None]


__all__ = ["TOOLS", "Comparison", "Failure", "Line", "against", "explain", "installed"]
