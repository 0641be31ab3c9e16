"""The ledger of a network: a fold over its graph, one row a layer.

The network runs on the meta device (shapes only: no arithmetic, no memory), and `record` writes down what it
computes. What is counted is the convention of `formulas`: `torch.utils.flop_counter` follows it too and gives
exactly twice our MACs. Other counters add biases, norms, pooling or activations. The ledger lists those layers
too, with 0 MACs.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import nn

from casestudies.costs.fitting import Terms, check_flag, check_inputs, check_network, record_image
from casestudies.costs.formulas import attention_macs, conv_macs, product_macs, transposed_conv_macs
from casestudies.costs.reach import FACTORS, MATRIX_PRODUCTS, see, window
from casestudies.costs.sight import Sight
from casestudies.costs.table import Image, Ledger, Row
from casestudies.graph import Graph, Op, Value, check_graph


def ledger(network: nn.Module, image: Image = (3, 224, 224), *, training: bool = False) -> Ledger:
    """Count what a network costs for one image, layer by layer.

    Nothing is computed and no weight is copied: the network runs on torch's meta device, where a tensor has a shape
    and a dtype, but no contents. Each layer of torch.nn that has no modules inside it is one row, in the order of
    use (`Identity` has none). An operation outside of such layers (an addition, `torch.cat`, `F.conv2d`, `x @ w`)
    has a row of its own, unless it only returns a view of a tensor, or neither depends on the image nor has MACs.
    Parameters that the run never used have rows at the end.

    Args:
        network: Any module, on any device. Its own mode, training or evaluation, stays as it was.
        image: The sizes of one image without the batch, (channels, height, width); (3, 224, 224) by default,
            whatever the network; for efficientnet_b7 pass (3, 600, 600). For a network that takes other inputs,
            pass their sizes, such as (channels, frames, height, width) for a video; for a network with several
            inputs, a tuple with the sizes of each. Sizes may also be a list, a torch.Size or a one-dimensional array.
        training: Whether the network runs as in training, where the ledger of `googlenet_aux`, for example, counts
            its auxiliary heads too; by default it runs as in evaluation.

    Returns:
        A `casestudies.costs.Ledger`, which prints as a table and shows as one in a notebook.

    Raises:
        TypeError: `network` is not a module, or `training` is not True or False.
        ValueError: The sizes in `image` are not whole numbers of at least 1.
        ValueError: The image does not fit the network. The message names the layer (or the network, where that
            refuses the image), what it received and, if a picture is too small, the smallest that works.
        ValueError: The network cannot be recorded: it has lazy layers, which learn their shapes from a first input
            and have not seen one, it was made by torch.jit or torch.export, or it returns a set or an iterator.
        RuntimeError: The network decides by the numbers in a tensor, as in ``if x.sum() > 0`` or ``x.item()``,
            and there are none on the meta device.
        RuntimeError: The image does not fit a layer whose shapes torch alone knows, such as GroupNorm or
            PixelShuffle. The error is torch's own.
        Exception: Any other error of the network's own is raised as it is.

    See Also:
        `casestudies.memory` measures what the network holds in memory; `casestudies.against.against` compares the
        MACs with those of other tools; the :doc:`appendix on cost <formulas>` derives the counts.

    >>> first = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2))
    >>> print(ledger(first, image=(1, 32, 32)))
    Sequential, one image of 1 x 32 x 32
    MACs of convolutions and linear layers; memory in bytes
    layer                 output  parameters     MACs  activation memory  receptive field
    -------------------------------------------------------------------------------------
    0 Conv2d 5x5     6 x 28 x 28         156  117,600             18,816                5
    1 Tanh           6 x 28 x 28           0        0             18,816                5
    2 AvgPool2d 2x2  6 x 14 x 14           0        0              4,704                6
    -------------------------------------------------------------------------------------
    total                                156  117,600             42,336
    """
    check_network(network)
    check_flag("training", training)
    image = check_inputs(image)
    graph, batch = record_image(network, image, Terms(training))
    fold = _Fold(graph, batch)
    fold.run()
    if elsewhere := fold.elsewhere():
        twice = None
        try:
            twice = _Fold(*record_image(network, image, Terms(training, batch=2 * batch)))
            twice.run()
        except Exception:  # a network may take one image only
            twice = None
        fold.without_images(elsewhere, twice)
    rows = tuple([entry.row() for entry in fold.entries])
    return Ledger(graph.network, image, rows, fold.depth, fold.notes())


# ------------------------------------------------------------------------------------------------ the fold


def op_macs(graph: Graph, op: Op) -> int:
    """The MACs of one operation, for the whole batch; 0 if it is not a product."""
    check_graph(graph)
    count = _MACS.get(op.name)
    if count is None or not all(graph.values[value].numel for value in op.outputs):
        return 0
    try:
        return count(graph, op)
    except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError):  # not one that torch ran
        raise ValueError(
            f"graph has an operation {op.name} whose arguments do not fit it: {op.arguments!r:.200}"
        ) from None


def total_macs(graph: Graph) -> int:
    """The MACs of a computation, for the whole batch: half of what torch's flop counter says."""
    check_graph(graph)
    return sum(op_macs(graph, op) for op in graph.ops)


def unseen_kernels(graph: Graph) -> tuple[int, dict[str, int]]:
    """MACs, for the whole batch, of which torch's flop counter sees nothing on the processor.

    Those of its kernel for attention, and those of layers that torch can run as one kernel, by the layer's class.
    """
    kinds = ONE_KERNEL if graph.training else ONE_KERNEL + ONE_KERNEL_WITHOUT_GRADIENTS
    inside: list[str] = []  # for each call the outermost such layer that it is part of
    for call in graph.calls:
        outer = "" if call.parent is None else inside[call.parent]
        inside.append(outer or (call.kind if call.kind in kinds else ""))
    attention, layers = 0, dict.fromkeys(filter(None, inside), 0)
    for op in graph.ops:
        kernel = inside[op.call]
        if kernel:
            layers[kernel] += op_macs(graph, op)
        if op.name == "scaled_dot_product_attention":
            attention += op_macs(graph, op)
    return attention, layers


def unregistered(graph: Graph) -> dict[str, int]:
    """How many numbers of their own the layers have of which the network knows nothing, by the layer's class."""
    constants = {constant.value for constant in graph.constants}
    found: dict[str, set[int]] = {}
    for op in graph.ops if constants else ():
        call = graph.calls[op.call]
        if call.layer and not call.held:  # what it reads is its own, unless it was handed in
            own = constants.intersection(op.reads).difference(call.inputs)
            found.setdefault(call.kind, set()).update(own)
    sizes = {kind: sum(graph.values[value].numel for value in own) for kind, own in found.items()}
    return {kind: size for kind, size in sizes.items() if size}


def attention_note(macs: int) -> str:
    return f"torch's flop counter leaves out the processor's kernel for attention: {macs:,} MACs here"


def miscounted_note(macs: int) -> str:
    return (
        "torch's flop counter takes the weights' gradients of grouped convolutions for those of ungrouped ones: "
        f"{macs:,} MACs more"
    )


def unseen_layers(layers: dict[str, int]) -> list[str]:
    """A sentence for each class of layers that `unseen_kernels` found."""
    return [
        f"torch's flop counter sees nothing of {kind} where torch runs it as one kernel: {macs:,} MACs here"
        for kind, macs in layers.items()
        if macs
    ]


def _given(graph: Graph, op: Op, name: str) -> Value:
    return graph.values[op.setting(name).value]


def _convolution_macs(graph: Graph, op: Op) -> int:
    x, weight = _given(graph, op, "input"), _given(graph, op, "weight")
    channels = weight.shape[0]
    if op.setting("transposed"):
        return transposed_conv_macs(weight.numel, channels, x.numel)
    kernel = (1, weight.numel // (channels * weight.shape[1]))
    positions = graph.values[op.outputs[0]].numel // channels
    return conv_macs(x.shape[1], channels, kernel, 1, positions, op.setting("groups"))


def _convolution_backward_macs(graph: Graph, op: Op) -> int:
    """Of gradients that the network itself takes: for the input, the weight, or both, each as the convolution."""
    weight = _given(graph, op, "weight")
    moved = _given(graph, op, "input" if op.setting("transposed") else "grad_output")
    return (moved.numel * weight.numel // weight.shape[0]) * sum(op.setting("output_mask")[:2])


def _miscounted(graph: Graph) -> int:
    """MACs that torch's flop counter adds where a network takes gradients of grouped convolutions' weights."""
    found = 0
    for op in graph.ops:
        if op.name == "convolution_backward" and op.setting("output_mask")[1]:
            found += op_macs(graph, op) // sum(op.setting("output_mask")[:2]) * (op.setting("groups") - 1)
    return found


def _product_macs(graph: Graph, op: Op) -> int:
    one, other = (_given(graph, op, name).shape for name in FACTORS[op.name])
    batch = one[0] if len(one) == 3 else 1
    rows = one[-2] if len(one) > 1 else 1
    return product_macs(rows, one[-1], other[-1] if len(other) > 1 else 1, batch)


def _attention_macs(graph: Graph, op: Op) -> int:
    return attention_macs(*(_given(graph, op, name).shape for name in FACTORS[op.name]))


_MACS: dict[str, Callable[[Graph, Op], int]] = {
    "convolution": _convolution_macs,
    "convolution_backward": _convolution_backward_macs,
    **dict.fromkeys(MATRIX_PRODUCTS, _product_macs),
    "scaled_dot_product_attention": _attention_macs,
}
VECTORS = ("mv", "addmv", "dot")  # which torch's counter leaves out
# Layers that torch can run as one kernel, of which its counter sees nothing: always, and where it takes no gradients.
ONE_KERNEL = ("LSTM",)
ONE_KERNEL_WITHOUT_GRADIENTS = ("MultiheadAttention", "TransformerEncoderLayer")
SPARSE = ("sparse_addmm", "sparse_mm", "sspaddmm", "sparse_sparse_matmul", "sparse_sampled_addmm")
UNCOUNTED = (
    *SPARSE, "trilinear", "cdist_forward", "euclidean_dist", "fft_r2c", "fft_c2c", "fft_c2r", "linalg_solve_ex",
)  # fmt: skip


@dataclass(slots=True)
class _Entry:
    """A row under construction."""

    layer: str
    kind: str
    detail: str = ""
    output: tuple[int, ...] = ()
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    writes: bool = False
    sees: bool = False  # whether its output depends on the image
    field: int | None = None
    jump: int | None = None
    value: int | None = None  # the first of its outputs, in the graph

    def row(self) -> Row:
        return Row(
            self.layer, self.kind, self.detail, self.output, self.parameters, self.macs, self.activations,
            self.field, self.jump,
        )  # fmt: skip


@dataclass
class _Fold:
    """Walk through the operations of a graph once and make an entry for each layer."""

    graph: Graph
    batch: int  # images that the graph was recorded with
    entries: list[_Entry] = field(default_factory=list)
    # Of the values that depend on the image, as long as an operation will read them.
    sights: dict[int, Sight] = field(default_factory=dict)
    depth: int = 0
    # The last sight, with its field and jump: neighbouring rows often share one.
    known: tuple[Sight | None, int | None, int | None] = (None, None, None)
    makers: dict[int, tuple[int, ...]] = field(default_factory=dict)  # parameters that a value was made of
    # Parameters that no row has counted yet, and their sizes.
    unpaid: dict[int, int] = field(default_factory=dict)
    uncounted: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        graph = self.graph
        for value in graph.inputs:
            self.sights[value] = Sight.of_image(
                graph.values[value].shape, graph.values[graph.inputs[0]].shape
            )
        for place, held in enumerate(graph.state):
            if held.kind == "parameter":
                self.unpaid[place] = math.prod(held.shape)
                if held.value is not None:
                    self.makers[held.value] = (place,)
        layers: dict[int, _Entry] = {}
        entered = 0
        last = array("l", [-1]) * len(graph.values)  # by value, the operation that is the last to read it
        every = [op.reads for op in graph.ops]
        for number, reads in enumerate(every):
            for value in reads:
                last[value] = number
        for number, (op, reads) in enumerate(zip(graph.ops, every, strict=True)):
            for place in range(entered, op.call + 1):
                self._enter(place, layers)
            entered = max(entered, op.call + 1)
            self._operate(op, reads, layers.get(op.call))
            for value in op.outputs[1:]:
                if last[value] < 0:
                    self.sights.pop(value, None)
            if op.call in layers:  # and again after each further operation of that layer
                self._finish(layers[op.call], graph.calls[op.call].outputs)
            for value in reads:
                if last[value] == number:
                    self.sights.pop(value, None)
        for place in range(entered, len(graph.calls)):
            self._enter(place, layers)
        self.entries.extend(self._unused())

    def _enter(self, place: int, layers: dict[int, _Entry]) -> None:
        call = self.graph.calls[place]
        if call.layer:
            layers[place] = entry = _Entry(call.path, call.kind)
            if call.kind != "Identity":
                self.entries.append(entry)
            self._pay(entry, call.held)

    def _operate(self, op: Op, reads: tuple[int, ...], entry: _Entry | None) -> None:
        graph = self.graph
        if not op.outputs:
            return
        sees = any(value in self.sights for value in reads)
        macs = op_macs(graph, op)
        makers = tuple(sorted({place for value in reads for place in self.makers.get(value, ())}))
        if op.name in VECTORS and macs:
            self.uncounted[op.name] = self.uncounted.get(op.name, 0) + macs
        elif op.name in UNCOUNTED:
            self.uncounted.setdefault(op.name, 0)
        if not sees:  # weights prepared before they meet the image: a layer only if that is a product
            for value in op.outputs:
                self.makers[value] = makers
            if not macs:
                return
        else:
            macs //= self.batch
            found = see(graph, op, self.sights, bool(macs), reads)
            self.sights.update(zip(op.outputs, found, strict=True))
            self.depth = max(self.depth, found[0].depth)  # the same for all
        before = {graph.values[value].storage for value in reads}
        writes = graph.values[op.outputs[0]].storage not in before
        inside_layer = entry is not None
        if entry is None:
            if not writes and not op.writes or op.name == "changed":
                return  # a view costs nothing
            entry = _Entry(graph.path(op), op.name)
            self.entries.append(entry)
        entry.macs += macs
        if sees or macs:
            entry.writes |= writes
            entry.detail = _detail(graph, op) or entry.detail
        self._pay(entry, makers)
        if not inside_layer:
            entry.writes |= writes
            self._finish(entry, op.outputs[:1])

    def _finish(self, entry: _Entry, outputs: tuple[int, ...]) -> None:
        if not outputs:
            return
        values = [self.graph.values[value] for value in outputs]
        entry.value = outputs[0]
        sight = self.sights.get(outputs[0])
        if sight is not None and sight is not self.known[0]:
            self.known = sight, sight.field(), sight.jump()
        entry.sees = sight is not None
        entry.field, entry.jump = self.known[1:] if entry.sees else (None, None)
        entry.output = values[0].shape[1:] if entry.sees else values[0].shape
        if entry.writes:
            shared = self.batch if entry.sees else 1
            entry.activations = sum(value.numel for value in values) // shared

    def shape(self, entry: _Entry) -> tuple[int, ...]:
        """The shape of a row's output, including the axis of the images."""
        return () if entry.value is None else self.graph.values[entry.value].shape

    def elsewhere(self) -> list[_Entry]:
        """Rows whose first axis is not the images, as in sequence-first attention."""
        return [
            entry for entry in self.entries if entry.sees and self.shape(entry)[:1] not in ((), (self.batch,))
        ]

    def without_images(self, entries: Iterable[_Entry], twice: _Fold | None) -> None:
        """Remove the axis of the images from the outputs of some rows: the one that doubles when the images do.

        `twice` is the fold of the same network for twice as many images. An output keeps all of its axes if no single
        one doubles, or if `twice` has no row to compare it with.
        """
        rows, others = (_by_name(fold.entries if fold else ()) for fold in (self, twice))
        other = {
            id(one): more
            for name, found in rows.items()
            if len(found) == len(others.get(name, ()))
            for one, more in zip(found, others[name], strict=True)
        }
        for entry in entries:
            shape = entry.output = self.shape(entry)
            more = twice.shape(other[id(entry)]) if twice and id(entry) in other else ()
            if len(more) != len(shape):
                continue
            grown = [axis for axis, (a, b) in enumerate(zip(shape, more, strict=True)) if b == 2 * a]
            if len(grown) == 1:
                (axis,) = grown
                rest = () if shape[axis] == self.batch else (shape[axis] // self.batch,)
                entry.output = (*shape[:axis], *rest, *shape[axis + 1 :])

    def _pay(self, entry: _Entry, parameters: Iterable[int]) -> None:
        """Charge to a row the parameters that no earlier row has paid for."""
        for place in parameters:
            entry.parameters += self.unpaid.pop(place, 0)

    def _unused(self) -> list[_Entry]:
        """A row for each module with parameters that the run never used."""
        entries: dict[str, _Entry] = {}
        for place in sorted(self.unpaid, key=lambda place: self.graph.state[place].place):
            held = self.graph.state[place]
            path = held.name.rpartition(".")[0]
            entry = entries.setdefault(path, _Entry(path, held.holder, "(not run)"))
            entry.parameters += self.unpaid[place]
        return list(entries.values())

    def notes(self) -> tuple[str, ...]:
        found = []
        for name, macs in self.uncounted.items():
            if macs:
                found.append(
                    f"torch's flop counter leaves out products with a vector: {macs:,} MACs of {name} here"
                )
            elif name in SPARSE:
                found.append(f"{name} is not counted: its products depend on how many numbers are not zero")
            else:
                found.append(f"{name} is not counted: it is neither a convolution nor a matrix product")
        for kind, numbers in unregistered(self.graph).items():
            found.append(
                f"{kind} has {numbers:,} numbers that are no parameters of the network, as for a layer in a plain "
                "list or dictionary; nn.ModuleList and nn.ModuleDict register what they hold"
            )
        if more := _miscounted(self.graph) // self.batch:
            found.append(miscounted_note(more))
        attention, layers = unseen_kernels(self.graph)
        if attention:
            found.append(attention_note(attention // self.batch))
        return (*found, *unseen_layers({kind: macs // self.batch for kind, macs in layers.items()}))


def _by_name(entries: Iterable[_Entry]) -> dict[tuple[str, str], list[_Entry]]:
    """Group rows by layer and kind; a layer may be used several times."""
    found: dict[tuple[str, str], list[_Entry]] = {}
    for entry in entries:
        found.setdefault((entry.layer, entry.kind), []).append(entry)
    return found


def _detail(graph: Graph, op: Op) -> str:
    """Kernel/stride, as papers write it, and the groups of a convolution."""
    found = window(graph, op)
    if found is None or op.name == "avg_pool3d":
        return ""
    kernel, stride = found.all_kernel, found.stride[0]
    sides = "x".join(map(str, kernel))
    if op.name != "convolution":
        return sides if stride == found.kernel[0] else f"{sides}/{stride}"
    text = sides + (f"/{stride}" if stride > 1 else "")
    groups = op.setting("groups")
    if groups == 1:
        return text
    return (
        f"{text} depthwise" if groups == _given(graph, op, "input").shape[1] else f"{text}, {groups} groups"
    )
