"""The ledger of a network: a fold over its graph, one row a layer.

The network runs on the meta device (shapes only: no arithmetic, no memory), and `record` writes down what it
computes. What is counted is the convention of `formulas`: `torch.utils.flop_counter` follows it too and gives
exactly twice our MACs. Other counters add biases, norms, pooling or activations. The ledger lists those layers
too, with 0 MACs.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

from casestudies.costs.formulas import attention_macs, conv_macs, product_macs, transposed_conv_macs
from casestudies.costs.reach import WINDOW_OPS, see, window
from casestudies.costs.sight import Sight
from casestudies.costs.table import Ledger, Row
from casestudies.graph import Graph, Op, RecordingError, Value, record_or_stop, window_output


def ledger(
    network: nn.Module, image: tuple[int, int, int] = (3, 224, 224), *, training: bool = False
) -> Ledger:
    """The ledger of a network for one image of (channels, height, width) pixels.

    Nothing is computed and no weight is copied: the network runs on the meta device, where tensors have
    shapes and no contents. Rows come in the order of use. A layer of torch.nn is one row; an operation that
    no such layer does (an addition, `torch.cat`, `F.conv2d`, `x @ w`) has a row of its own. Parameters that
    the run never used have rows at the end.

    With `training=True` the network runs as in training (GoogLeNet then pays for its auxiliary heads);
    otherwise as in evaluation. Its own mode is left as it was.

    Raises TypeError for anything but a module; ValueError where the image does not fit the network, naming
    the layer, what it received and, if the image is too small, the smallest that works.

    >>> first = nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2))
    >>> print(ledger(first, image=(1, 32, 32)))
    Sequential, one image of 1 x 32 x 32; MACs of convolutions and linear layers;
    memory in bytes
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
    image = check_image(image)
    try:
        return _trace(network, image, training)
    except Unfit as unfit:
        raise explained(network, image, training, unfit) from None


def check_image(image: Iterable[int]) -> tuple[int, int, int]:
    """(channels, height, width) as integers of Python; NumPy's are welcome."""
    try:
        # A set has no order, and text is no list of numbers.
        unordered = isinstance(image, (str, bytes, bytearray, dict, set, frozenset))
        sizes = () if unordered else tuple(map(operator.index, image))
    except TypeError:
        sizes = ()
    if len(sizes) != 3 or min(sizes) < 1 or any(isinstance(size, bool) for size in image):
        raise ValueError(f"image is {image!r}; expected (channels, height, width), such as (3, 224, 224)")
    return sizes


# ------------------------------------------------------------------------------------------------ the fold


def op_macs(graph: Graph, op: Op) -> int:
    """The MACs of one operation, for the whole batch; 0 if it is not a product."""
    _check_graph(graph)
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
    _check_graph(graph)
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


def attention_note(macs: int) -> str:
    return f"torch's flop counter leaves out the processor's kernel for attention: {macs:,} MACs here"


def unseen_layers(layers: dict[str, int]) -> list[str]:
    """A sentence for each class of layers that `unseen_kernels` found."""
    return [
        f"torch's flop counter sees nothing of {kind} where torch runs it as one kernel: {macs:,} MACs here"
        for kind, macs in layers.items()
        if macs
    ]


def _check_graph(graph: Graph) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(
            f"graph is {graph!r:.80} ({type(graph).__name__}); expected what casestudies.record gives"
        )


def _shape(graph: Graph, op: Op, name: str) -> tuple[int, ...]:
    return graph.values[op.setting(name).value].shape


def _convolution_macs(graph: Graph, op: Op) -> int:
    x, weight, groups = _shape(graph, op, "input"), _shape(graph, op, "weight"), op.setting("groups")
    out = graph.values[op.outputs[0]]
    if op.setting("transposed"):
        weights = graph.values[op.setting("weight").value].numel
        return transposed_conv_macs(weights, weight[0], graph.values[op.setting("input").value].numel)
    kernel = (1, graph.values[op.setting("weight").value].numel // (weight[0] * weight[1]))
    positions = out.numel // weight[0]
    return conv_macs(x[1], weight[0], kernel, 1, positions, groups)


def _product_macs(left: str, right: str) -> Callable[[Graph, Op], int]:
    def macs(graph: Graph, op: Op) -> int:
        one, other = _shape(graph, op, left), _shape(graph, op, right)
        batch = one[0] if len(one) == 3 else 1
        rows = one[-2] if len(one) > 1 else 1
        return product_macs(rows, one[-1], other[-1] if len(other) > 1 else 1, batch)

    return macs


def _attention_macs(graph: Graph, op: Op) -> int:
    return attention_macs(*(_shape(graph, op, name) for name in ("query", "key", "value")))


_MACS: dict[str, Callable[[Graph, Op], int]] = {
    "convolution": _convolution_macs,
    "mm": _product_macs("self", "mat2"),
    "addmm": _product_macs("mat1", "mat2"),
    "bmm": _product_macs("self", "mat2"),
    "baddbmm": _product_macs("batch1", "batch2"),
    "mv": _product_macs("self", "vec"),
    "addmv": _product_macs("mat", "vec"),
    "dot": _product_macs("self", "tensor"),
    "scaled_dot_product_attention": _attention_macs,
}
VECTORS = ("mv", "addmv", "dot")  # which torch's counter leaves out
# Layers that torch can run as one kernel, of which its counter sees nothing: always, and where it takes no gradients.
ONE_KERNEL = ("LSTM",)
ONE_KERNEL_WITHOUT_GRADIENTS = ("MultiheadAttention", "TransformerEncoderLayer")
SPARSE = ("sparse_addmm", "sparse_mm", "sspaddmm", "sparse_sparse_matmul", "sparse_sampled_addmm")
UNCOUNTED = (
    *SPARSE,
    "trilinear",
    "cdist_forward",
    "euclidean_dist",
    "fft_r2c",
    "fft_c2c",
    "fft_c2r",
    "linalg_solve_ex",
)


@dataclass
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
    sight: Sight | None = None
    value: int | None = None  # the first of its outputs, in the graph

    def row(self, seen: dict[int, tuple[int | None, int | None]]) -> Row:
        """Make the row. `seen` caches field and jump for each sight, which neighbouring rows often share."""
        field, jump = None, None
        if self.sight is not None:
            if id(self.sight) not in seen:
                seen[id(self.sight)] = self.sight.field(), self.sight.jump()
            field, jump = seen[id(self.sight)]
        return Row(
            self.layer, self.kind, self.detail, self.output, self.parameters, self.macs, self.activations, field,
            jump,
        )  # fmt: skip


@dataclass
class _Fold:
    """Walk through the operations of a graph once and make an entry for each layer."""

    graph: Graph
    batch: int  # images that the graph was recorded with
    entries: list[_Entry] = field(default_factory=list)
    sights: dict[int, Sight] = field(default_factory=dict)  # of the values that depend on the image
    makers: dict[int, frozenset[int]] = field(default_factory=dict)  # parameters that a value was made of
    unpaid: dict[int, int] = field(
        default_factory=dict
    )  # parameters that no row has counted yet, and their sizes
    uncounted: dict[str, int] = field(default_factory=dict)

    def run(self) -> None:
        graph = self.graph
        for value in graph.inputs:
            self.sights[value] = Sight.of_image(graph.values[value].shape)
        sizes = {}
        for place, held in enumerate(graph.state):
            if held.kind == "parameter":
                sizes[place] = _numel(held.shape)
                if held.value is not None:
                    self.makers[held.value] = frozenset([place])
        self.unpaid = sizes
        layers: dict[int, _Entry] = {}
        entered = 0
        for op in graph.ops:
            for place in range(entered, op.call + 1):
                self._enter(place, layers)
            entered = max(entered, op.call + 1)
            self._operate(op, layers.get(op.call))
        for place in range(entered, len(graph.calls)):
            self._enter(place, layers)
        for place, entry in layers.items():
            self._finish(entry, graph.calls[place].outputs)
        self.entries.extend(self._unused())

    def _enter(self, place: int, layers: dict[int, _Entry]) -> None:
        call = self.graph.calls[place]
        if call.layer:
            layers[place] = entry = _Entry(call.path, call.kind)
            if call.kind != "Identity":
                self.entries.append(entry)
            self._pay(entry, call.held)

    def _operate(self, op: Op, entry: _Entry | None) -> None:
        graph = self.graph
        if not op.outputs:
            return
        reads = op.reads
        sees = any(value in self.sights for value in reads)
        macs = op_macs(graph, op)
        makers = frozenset().union(*(self.makers.get(value, ()) for value in reads))
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
        self._pay(entry, sorted(makers))
        if not inside_layer:
            entry.writes |= writes
            self._finish(entry, op.outputs[:1])

    def _finish(self, entry: _Entry, outputs: tuple[int, ...]) -> None:
        if not outputs:
            return
        values = [self.graph.values[value] for value in outputs]
        entry.value = outputs[0]
        entry.sight = self.sights.get(outputs[0])
        entry.output = values[0].shape if entry.sight is None else values[0].shape[1:]
        if entry.writes:
            shared = self.batch if entry.sight is not None else 1
            entry.activations = sum(value.numel for value in values) // shared

    def shape(self, entry: _Entry) -> tuple[int, ...]:
        """The shape of a row's output, including the axis of the images."""
        return () if entry.value is None else self.graph.values[entry.value].shape

    def elsewhere(self) -> list[_Entry]:
        """Rows whose first axis is not the images, as in sequence-first attention."""
        return [
            entry
            for entry in self.entries
            if entry.sight is not None and self.shape(entry)[:1] not in ((), (self.batch,))
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
            path = self.graph.state[place].name.rpartition(".")[0]
            entry = entries.setdefault(path, _Entry(path, self.graph.state[place].holder, "(not run)"))
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


def _numel(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


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
    return f"{text} depthwise" if groups == _shape(graph, op, "input")[1] else f"{text}, {groups} groups"


# --------------------------------------------------------------------------------------------- the recording


class Unfit(Exception):
    """The image does not fit. `side` says whether it is too small (-1), too large (1), or otherwise (0)."""

    def __init__(self, reason: str, side: int) -> None:
        super().__init__(reason)
        self.reason, self.side = reason, side


def _trace(network: nn.Module, image: tuple[int, int, int], training: bool) -> Ledger:
    graph, batch = record_image(network, image, training)
    fold = _Fold(graph, batch)
    fold.run()
    if elsewhere := fold.elsewhere():
        try:
            twice = _Fold(*record_image(network, image, training, batch=2 * batch))
            twice.run()
        except Exception:  # a network may take one image only
            fold.without_images(elsewhere, None)
        else:
            fold.without_images(elsewhere, twice)
    depth = max((sight.depth for sight in fold.sights.values()), default=0)
    seen: dict[int, tuple[int | None, int | None]] = {}
    rows = tuple([entry.row(seen) for entry in fold.entries])
    return Ledger(graph.network, image, rows, depth, fold.notes())


def record_image(
    network: nn.Module,
    image: tuple[int, int, int],
    training: bool,
    batch: int = 1,
    grad: bool = False,
    alone: bool = True,
) -> tuple[Graph, int]:
    """The graph of a network for `batch` images on the meta device, and how many images it was recorded with.

    In training a batch norm cannot take the statistics of one number: where one image leaves it that, the
    network runs on two, if the images stand `alone`.

    Raises Unfit where an image does not fit the network; ValueError for an image that is too large for any
    tensor, and for a module that torch itself cannot run without contents.
    """
    floats = (each.dtype for each in network.parameters() if each.is_floating_point())
    try:
        x = torch.empty(batch, *image, device="meta", dtype=next(floats, torch.float32))
    except (RuntimeError, TypeError, OverflowError):  # torch counts the bytes in 64 bits
        raise _too_large(image, batch) from None
    try:
        return record_or_stop(network, x, training=training, grad=grad), batch
    except RecordingError as error:
        cause = error.__cause__
        if training and batch == 1 and alone and "more than 1 value per channel" in str(cause):
            return record_image(network, image, training, batch=2)
        unfit = _unfit(error)
        if unfit is not None:
            raise unfit from None
        if "Storage size calculation overflowed" in str(cause) or "numel: integer multiplication" in str(
            cause
        ):
            raise _too_large(image, batch) from None
        if cause is None:
            raise
        cause.add_note(f"This happened in {error.call.path or 'the network'!r}, while its ledger was made.")
        raise cause from None
    except ValueError as error:
        if not isinstance(error.__cause__, NotImplementedError):  # of its train()
            raise
        raise ValueError(
            f"network is {type(network).__name__} and was made by torch.export, which has settled its mode; "
            "pass the nn.Module that was exported"
        ) from None


def _too_large(image: tuple[int, int, int], batch: int) -> ValueError:
    shape = " x ".join(map(str, image))
    images = f"image is {shape}" if batch == 1 else f"image is {shape} and batch is {batch}"
    return ValueError(
        f"{images}: that makes a tensor of more bytes than torch can count; expected sides of at most "
        f"{LARGEST:,} or so"
    )


def explained(network: nn.Module, image: tuple[int, int, int], training: bool, unfit: Unfit) -> ValueError:
    """What `ledger` and `memory` say about an image that does not fit."""
    return ValueError(_advice(network, image, training, unfit))


def check_network(network: nn.Module, name: str = "network") -> None:
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"{name} is {network!r:.80} ({type(network).__name__}); expected an nn.Module, "
            "such as casestudies.zoo.build('vgg16')"
        )


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} is {value!r} ({type(value).__name__}); expected True or False")


def _unfit(error: RecordingError) -> Unfit | None:
    """What the operation at which the network stopped tells about the image; None if it tells nothing."""
    call, arguments = error.call, error.arguments
    name = f"layer {call.path!r} ({call.kind})" if call.layer else f"{error.name} in {call.path!r}"
    if not error.data:
        return None
    match error.name:
        case "convolution":
            x, weight = arguments["input"], arguments["weight"]
            expected = weight.shape[0] if arguments["transposed"] else weight.shape[1] * arguments["groups"]
            if x.shape[1] != expected:
                return Unfit(f"{name} expects {expected} channels and receives {x.shape[1]}", 0)
        case "batch_norm":
            x = arguments["input"]
            for key in ("weight", "bias", "running_mean", "running_var"):
                tensor = arguments.get(key)
                if isinstance(tensor, Value) and tensor.numel != x.shape[1]:
                    return Unfit(f"{name} expects {tensor.numel} channels and receives {x.shape[1]}", 0)
        case "mm" | "addmm":
            keys = ("self", "mat2") if error.name == "mm" else ("mat1", "mat2")
            left, right = (arguments[key] for key in keys)
            received, expected = left.shape[1], right.shape[0]
            if keys[0] not in error.data:
                received, expected = expected, received
            if received != expected:
                reason = f"{name} expects {expected:,} features and receives {received:,}"
                return Unfit(reason, 1 if received > expected else -1)
    if error.name in WINDOW_OPS and not arguments.get("transposed"):
        found = WINDOW_OPS[error.name](arguments)
        sides = (found.kernel, found.stride, found.padding, found.dilation)
        x = arguments["input" if error.name == "convolution" else "self"]
        grid = x.shape[-len(found.all_kernel) :][-2:]
        if any(window_output(*each) < 1 for each in zip(grid, *sides, strict=False)):
            return Unfit(
                f"{name} receives a grid of {' x '.join(map(str, grid))}, smaller than its window", -1
            )
    return None


# ------------------------------------------------------------------------------------ when it does not fit

LARGEST = 4096  # pixels a side; where the search for an image that fits gives up


def _advice(network: nn.Module, image: tuple[int, int, int], training: bool, unfit: Unfit) -> str:
    """What was wrong with the image, and what to do."""
    shape = " x ".join(map(str, image))
    if unfit.side == 0:
        return f"image is {shape}: {unfit.reason}; image is (channels, height, width)"

    def side(size: int) -> int:
        try:
            _trace(network, (image[0], size, size), training)
        except Unfit as error:
            return error.side
        except Exception:  # it fails in another way there, so it does not fit either
            return -1
        return 0

    smallest = _first(lambda size: side(size) >= 0)
    if smallest is None or side(smallest):
        return (
            f"image is {shape}: {unfit.reason}; no square image up to {LARGEST} x {LARGEST} fits this network"
        )
    square = f"{image[0]} x {smallest} x {smallest}"
    if unfit.side < 0:
        return (
            f"image is {shape}, too small: {unfit.reason}; the smallest square image that works is {square}"
        )
    largest = (_first(lambda size: side(size) > 0) or LARGEST) - 1
    sizes = square if largest == smallest else f"{square} to {image[0]} x {largest} x {largest}"
    return f"image is {shape}, too large: {unfit.reason}; the square images that work are {sizes}"


def _first(holds: Callable[[int], bool]) -> int | None:
    """The first size from which a condition holds; it must hold from there on."""
    above = 1
    while not holds(above):
        above *= 2
        if above > LARGEST:
            return None
    below = above // 2
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if holds(middle) else (middle, above)
    return above
