"""What a network costs: the closed form of one layer, and the ledger of a whole network.

The convention, everywhere in the course: one MAC is one multiply and one add; FLOPs = 2 x MACs; only
convolutions and matrix products count; padded positions count; figures are per image and exact integers.
`torch.utils.flop_counter` follows the same convention and gives exactly twice our MACs. Other counters add
biases, norms, pooling or activations. The ledger lists those layers too, with 0 MACs.

First come the formulas, pure functions of shapes. Then `ledger`, which runs any network on the meta device
(shapes only: no arithmetic, no memory) and writes one row a layer.
"""

from __future__ import annotations

import csv
import html
import io
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

Pair = tuple[int, int]
BYTES = 4  # of one fp32 number

# ------------------------------------------------------------------------------------ the cost of one layer


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1: one side of the output grid.

    The same formula serves pooling, where `ceil_mode` rounds up instead, as long as the last window still
    starts inside the input or its left padding.

    >>> conv_output_size(227, kernel=11, stride=4)  # AlexNet, conv1: (227 - 11) / 4 + 1
    55
    >>> conv_output_size(224, kernel=11, stride=4)  # the 224 of the paper: floor(53.25) + 1
    54
    >>> conv_output_size(224, kernel=7, stride=2, padding=3)  # ResNet's stem: floor(111.5) + 1
    112
    >>> conv_output_size(32, kernel=3, stride=2, ceil_mode=True)  # NiN's pooling: ceil(14.5) + 1
    16
    >>> conv_output_size(32, kernel=3, dilation=2)  # three taps two apart span five pixels
    28
    """
    for name, value, least in [
        ("size", size, 1),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ]:
        if value < least:
            raise ValueError(f"{name} is {value}; expected an integer of at least {least}")
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if room < 0:
        raise ValueError(
            f"a window of {span} does not fit into {size} + 2 x {padding} pixels; "
            f"size must be at least {span - 2 * padding}, or the padding larger"
        )
    steps = -(-room // stride) if ceil_mode else room // stride
    if ceil_mode and steps * stride >= size + padding:
        steps -= 1  # this window would see nothing but the right padding
    return steps + 1


def conv_parameters(
    in_channels: int, out_channels: int, kernel: int | Pair, groups: int = 1, bias: bool = True
) -> int:
    """k_h k_w (C_in / groups) C_out weights, and C_out biases.

    >>> conv_parameters(1, 6, 5)  # LeNet-5, C1: 6 x (5 x 5 x 1 + 1)
    156
    >>> conv_parameters(96, 256, 5, groups=2)  # AlexNet, conv2: 256 x (5 x 5 x 48 + 1)
    307456
    >>> conv_parameters(64, 64, 3, groups=64, bias=False)  # a depthwise convolution: 64 x (3 x 3)
    576
    """
    _check_groups(in_channels, out_channels, groups)
    height, width = _pair(kernel)
    return out_channels * (height * width * in_channels // groups + bias)


def conv_macs(
    in_channels: int, out_channels: int, kernel: int | Pair, out_height: int, out_width: int, groups: int = 1
) -> int:
    """k_h k_w (C_in / groups) C_out H_out W_out: every weight is used once at every output position.

    >>> conv_macs(192, 32, 5, 28, 28)  # the 5x5 of an Inception module, direct
    120422400
    >>> conv_macs(192, 16, 1, 28, 28) + conv_macs(16, 32, 5, 28, 28)  # and through 16 channels
    12443648
    >>> conv_macs(3, 3, 3, 4, 4, groups=3) + conv_macs(3, 5, 1, 4, 4)  # depthwise 432 + pointwise 240
    672
    """
    weights = conv_parameters(in_channels, out_channels, kernel, groups, bias=False)
    return weights * out_height * out_width


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> int:
    """in_features x out_features weights, and out_features biases.

    >>> linear_parameters(120, 84)  # LeNet-5, F6: 84 x (120 + 1)
    10164
    """
    return out_features * (in_features + bias)


def linear_macs(in_features: int, out_features: int) -> int:
    """in_features x out_features: every weight is used once.

    >>> linear_macs(9216, 4096)  # AlexNet, fc6: 6 x 6 x 256 x 4096
    37748736
    """
    return in_features * out_features


def conv2d_parameters(layer: nn.Conv2d) -> int:
    """`conv_parameters` of a layer.

    >>> conv2d_parameters(nn.Conv2d(6, 16, 5))  # LeNet-5's C3 with every connection: 16 x (5 x 5 x 6 + 1)
    2416
    """
    bias = layer.bias is not None
    return conv_parameters(layer.in_channels, layer.out_channels, layer.kernel_size, layer.groups, bias)


def conv2d_macs(layer: nn.Conv2d, out_height: int, out_width: int) -> int:
    """`conv_macs` of a layer whose output grid is out_height x out_width.

    >>> conv2d_macs(nn.Conv2d(1, 6, 5), 28, 28)  # LeNet-5, C1: (5 x 5 x 1 x 6) x (28 x 28)
    117600
    """
    return conv_macs(
        layer.in_channels, layer.out_channels, layer.kernel_size, out_height, out_width, layer.groups
    )


def receptive_field(layers: Iterable[Pair]) -> int:
    """Side of the input square that one output pixel sees, after layers given as (kernel, stride).

    A kernel of k widens the field by (k - 1) jumps, where the jump is the product of the strides before it.

    >>> receptive_field([(3, 1), (3, 1)])  # two 3x3 see what one 5x5 sees
    5
    >>> receptive_field([(3, 1), (2, 2), (3, 1)])  # 1 + 2 + 1, then 2 x 2: jumps of two pixels
    8
    """
    seen, jump = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * jump
        jump *= stride
    return seen


def _pair(value: int | Iterable[int]) -> Pair:
    """The last two of the values; one value serves both sides."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    return (values[-2], values[-1]) if len(values) > 1 else (values[0], values[0])


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if groups < 1 or channels < 1 or channels % groups:
            raise ValueError(f"groups is {groups} and {name} is {channels}; groups must divide {name}")


# ---------------------------------------------------------------------------------------------- the ledger


@dataclass(frozen=True)
class Row:
    """One layer of a ledger. Sizes are per image; `parameters` are counted where a tensor is first used."""

    layer: str  # path of the module, such as "stages.0.1.residual.0"
    kind: str  # class of the module, or name of the operation where no module of torch does it
    detail: str  # kernel/stride, groups
    output: tuple[int, ...]  # without the batch
    parameters: int
    macs: int
    activations: int  # numbers that the layer writes; 0 for a view, an in-place operation, dropout in eval
    receptive_field: int | None  # side in pixels, the larger of height and width
    jump: int | None  # distance in the image between neighbouring output pixels

    @property
    def activation_memory(self) -> int:
        """Bytes of the output in fp32."""
        return BYTES * self.activations


COLUMNS = ("layer", "output", "parameters", "MACs", "activation memory", "receptive field")


@dataclass(frozen=True)
class Ledger:
    """The costs of one network for one image: a table whose columns sum to its totals.

    It prints as text, shows as a table in a notebook, and leaves as `to_csv()` or `to_dict()`.
    """

    network: str
    image: tuple[int, int, int]  # (channels, height, width)
    rows: tuple[Row, ...]
    depth: int = field(default=0)  # convolutions and linear layers on the longest path

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def flops(self) -> int:
        return 2 * self.macs

    @property
    def activations(self) -> int:
        return sum(row.activations for row in self.rows)

    @property
    def activation_memory(self) -> int:
        """Bytes of all outputs in fp32: what training keeps for the backward pass."""
        return sum(row.activation_memory for row in self.rows)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for row in self.rows:
            yield (
                " ".join(part for part in (row.layer, row.kind, row.detail) if part),
                " x ".join(map(str, row.output)),
                f"{row.parameters:,}",
                f"{row.macs:,}",
                f"{row.activation_memory:,}",
                "" if row.receptive_field is None else f"{row.receptive_field:,}",
            )

    def _totals(self) -> tuple[str, ...]:
        return ("total", "", f"{self.parameters:,}", f"{self.macs:,}", f"{self.activation_memory:,}", "")

    def _caption(self) -> str:
        image = " x ".join(map(str, self.image))
        return (
            f"{self.network}, one image of {image}; MACs of convolutions and linear layers; memory in bytes"
        )

    def __str__(self) -> str:
        cells = list(self._cells())
        widths = [max(map(len, column)) for column in zip(COLUMNS, self._totals(), *cells, strict=True)]

        def line(row: tuple[str, ...]) -> str:
            name, *numbers = row
            columns = [name.ljust(widths[0])]
            columns += [n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True)]
            return "  ".join(columns).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join(
            [self._caption(), line(COLUMNS), rule, *map(line, cells), rule, line(self._totals())]
        )

    def _repr_html_(self) -> str:
        """A table that stands alone: its own style, colours derived from the page's text colour."""
        totals = (None, None, self.parameters, self.macs, self.activation_memory, None)

        def bar(value: int, total: int | None) -> str:
            # The share of the column, as a bar behind the number.
            share = 100 * value / total if total else 0
            return f' style="--share:{share:.1f}%"'

        body = []
        for row, cells in zip(self.rows, self._cells(), strict=True):
            name = f"<span>{html.escape(row.layer)}</span> {html.escape(' '.join((row.kind, row.detail)))}"
            values = (row.parameters, row.macs, row.activation_memory)
            bars = ["", *(bar(v, t) for v, t in zip(values, totals[2:5], strict=True)), ""]
            numbers = "".join(f"<td{b}>{cell}</td>" for b, cell in zip(bars, cells[1:], strict=True))
            body.append(f'<tr><th scope="row">{name.strip()}</th>{numbers}</tr>')
        head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
        foot = "".join(f"<td>{cell}</td>" for cell in self._totals()[1:])
        return (
            f'<div class="ledger"><style>{STYLE}</style>'
            f"<table><caption>{html.escape(self._caption())}</caption>"
            f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody>"
            f'<tfoot><tr><th scope="row">total</th>{foot}</tr></tfoot></table></div>'
        )

    def to_csv(self) -> str:
        """The rows as comma-separated values: plain integers, a header, no totals."""
        file = io.StringIO()
        names = ["layer", "kind", "detail", "output", "parameters", "macs", "activation_memory"]
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "receptive_field", "jump"])
        for row in self.rows:
            values = [getattr(row, name) for name in names]
            values[3] = "x".join(map(str, row.output))
            writer.writerow([*values, row.receptive_field, row.jump])
        return file.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Totals and rows as plain Python values, ready for JSON."""
        return {
            "network": self.network,
            "image": list(self.image),
            "depth": self.depth,
            "parameters": self.parameters,
            "macs": self.macs,
            "activation_memory": self.activation_memory,
            "rows": [
                asdict(row) | {"output": list(row.output), "activation_memory": row.activation_memory}
                for row in self.rows
            ],
        }


STYLE = (
    ".ledger{overflow-x:auto}.ledger table{border-collapse:collapse;font-size:.9em;color:inherit;margin:0}"
    ".ledger caption{caption-side:top;text-align:left;opacity:.8;padding:.3em 0}"
    ".ledger th,.ledger td{padding:.15em .55em;text-align:right;white-space:nowrap;border:0;background:none;"
    "font-variant-numeric:tabular-nums;color:inherit}"
    ".ledger th:first-child{text-align:left;font-weight:normal}"
    ".ledger th span{font-family:monospace;opacity:.8}"
    ".ledger thead th,.ledger thead th:first-child{border-bottom:1px solid;font-weight:bold}"
    ".ledger thead th{white-space:normal;vertical-align:bottom}"
    ".ledger tfoot th:first-child,.ledger tfoot td{border-top:1px solid;font-weight:bold}"
    ".ledger tbody td[style]{background:linear-gradient(to left,rgb(120 150 200/.35) var(--share),"
    "transparent var(--share))}"
)


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

    Raises TypeError for what is not a module; ValueError where the image does not fit the network, naming
    the layer, what it received and, if the image is too small, the smallest that works.

    >>> print(ledger(nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)), image=(1, 32, 32)))
    Sequential, one image of 1 x 32 x 32; MACs of convolutions and linear layers; memory in bytes
    layer                 output  parameters     MACs  activation memory  receptive field
    -------------------------------------------------------------------------------------
    0 Conv2d 5x5     6 x 28 x 28         156  117,600             18,816                5
    1 Tanh           6 x 28 x 28           0        0             18,816                5
    2 AvgPool2d 2x2  6 x 14 x 14           0        0              4,704                6
    -------------------------------------------------------------------------------------
    total                                156  117,600             42,336
    """
    if not isinstance(network, nn.Module):
        raise TypeError(
            f"network is {network!r} ({type(network).__name__}); expected an nn.Module, "
            "such as casestudies.zoo.build('vgg16')"
        )
    image = _check_image(image)
    try:
        return _trace(network, image, training)
    except _Unfit as unfit:
        raise ValueError(_advice(network, image, training, unfit)) from None


def _check_image(image: Any) -> tuple[int, int, int]:
    sizes = tuple(image) if isinstance(image, (tuple, list, torch.Size)) else ()
    if len(sizes) != 3 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"image is {image!r}; expected (channels, height, width), such as (3, 224, 224)")
    return sizes


# ----------------------------------------------------------------------------------------- how it is traced
#
# Every operation of a forward pass, whether a module or a function asked for it, reaches the dispatcher as an
# `aten` operation. A dispatch mode sees them all; hooks on the modules say which module is at work.

aten = torch.ops.aten


@dataclass(frozen=True)
class _Sight:
    """What one pixel of a tensor sees of the image, and how many weighted layers lie between them."""

    field: Pair = (1, 1)
    jump: Pair = (1, 1)
    grid: Pair = (1, 1)
    depth: int = 0

    def through(self, kernel: Pair, stride: Pair, dilation: Pair, grid: Pair) -> _Sight:
        """After a window has passed over the grid."""
        reach = [
            f + (k - 1) * d * j for f, k, d, j in zip(self.field, kernel, dilation, self.jump, strict=True)
        ]
        jump = [j * s for j, s in zip(self.jump, stride, strict=True)]
        return replace(self, field=tuple(reach), jump=tuple(jump), grid=grid)

    def everything(self) -> _Sight:
        """After one number has been made of the whole grid."""
        return self.through(self.grid, self.grid, (1, 1), (1, 1))


@dataclass
class _Entry:
    """A row in the making."""

    layer: str
    kind: str
    detail: str = ""
    output: tuple[int, ...] = ()
    parameters: int = 0
    macs: int = 0
    activations: int = 0
    writes: bool = False
    sight: _Sight | None = None

    def row(self) -> Row:
        sight = self.sight
        return Row(
            self.layer,
            self.kind,
            self.detail,
            self.output,
            self.parameters,
            self.macs,
            self.activations,
            max(sight.field) if sight else None,
            max(sight.jump) if sight else None,
        )


class _Unfit(Exception):
    """The image does not fit. `side` says whether it is too small (-1), too large (1), or otherwise (0)."""

    def __init__(self, reason: str, side: int) -> None:
        super().__init__(reason)
        self.reason, self.side = reason, side


def _trace(network: nn.Module, image: tuple[int, int, int], training: bool) -> Ledger:
    tracer = _Tracer(network)
    with torch.inference_mode(), _mode(network, training), tracer.hooks():
        tracer.replace_weights()
        x = torch.empty(1, *image, device="meta")
        tracer.sights[id(x)] = _Sight(grid=image[1:])
        tracer.alive.append(x)
        try:
            with tracer:
                functional_call(network, tracer.twins, x)
        except Exception as error:
            error.add_note(
                f"This happened in {tracer.stack[-1][0] or 'the network'!r}, while its ledger was made."
            )
            raise
    rows = tuple(entry.row() for entry in (*tracer.entries, *tracer.unused()))
    depth = max(sight.depth for sight in tracer.sights.values())
    return Ledger(type(network).__name__, image, rows, depth)


def _twin(tensor: Tensor) -> Tensor:
    dtype = torch.float32 if tensor.is_floating_point() else tensor.dtype
    return torch.empty(tensor.shape, dtype=dtype, device="meta")


def _tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)
    elif isinstance(value, dict):
        yield from _tensors(tuple(value.values()))


@contextmanager
def _mode(network: nn.Module, training: bool) -> Iterator[None]:
    """Put every module into one mode, and back into its own afterwards."""
    before = {module: module.training for module in network.modules()}
    try:
        network.train(training)
        yield
    finally:
        for module, was_training in before.items():
            module.training = was_training


class _Tracer(TorchDispatchMode):
    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; telling the compiler so would first import it, for seconds

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.entries: list[_Entry] = []
        self.stack: list[tuple[str, _Entry | None]] = [("", None)]
        self.sights: dict[int, _Sight] = {}  # of the tensors that depend on the image, by id
        self.alive: list[Any] = []  # keeps those ids from being used twice; meta tensors cost nothing
        self.twins: dict[str, Tensor] = {}  # tensors without contents in the place of the weights
        self.strays: dict[int, Tensor] = {}  # and of other tensors that the network holds
        self.unpaid: dict[int, tuple[str, int]] = {}  # parameters that no row has counted yet: name and size
        self.makers: dict[int, frozenset[int]] = {}  # which parameters a tensor was made of, both by id

    def replace_weights(self) -> None:
        """Make a tensor without contents for each parameter and buffer."""
        for name, parameter in self.network.named_parameters():
            twin = self.twins[name] = _twin(parameter)
            self.unpaid[id(twin)] = name, parameter.numel()
            self.makers[id(twin)] = frozenset([id(twin)])
        for name, buffer in self.network.named_buffers():
            self.twins[name] = _twin(buffer)

    # ------------------------------------------------------------------------------------------ modules

    @contextmanager
    def hooks(self) -> Iterator[None]:
        handles = []
        try:
            for path, module in self.network.named_modules():
                handles.append(module.register_forward_pre_hook(self._before(path)))
                handles.append(module.register_forward_hook(self._after))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _before(self, path: str):
        def enter(module: nn.Module, _: Any) -> None:
            entry = None
            if _is_layer(module):
                entry = _Entry(path, type(module).__name__)
                if not isinstance(module, nn.Identity):
                    self.entries.append(entry)
                self._pay(entry, (id(p) for p in module.parameters()))
            self.stack.append((path, entry))

        return enter

    def _after(self, module: nn.Module, _: Any, output: Any) -> None:
        _, entry = self.stack.pop()
        if entry is not None:
            self._finish(entry, output)

    def _finish(self, entry: _Entry, output: Any) -> None:
        tensors = list(_tensors(output))
        if not tensors:
            return
        entry.output = tuple(tensors[0].shape[1:])
        if entry.writes:
            entry.activations = sum(tensor.numel() for tensor in tensors)
        entry.sight = self.sights.get(id(tensors[0]))

    def _pay(self, entry: _Entry, parameters: Iterable[int]) -> None:
        """Charge to a row the parameters that no earlier row has paid for."""
        for key in parameters:
            if key in self.unpaid:
                entry.parameters += self.unpaid.pop(key)[1]

    def unused(self) -> Iterator[_Entry]:
        """A row for each module with parameters that the run never used."""
        entries: dict[str, _Entry] = {}
        for name, size in self.unpaid.values():
            path = name.rpartition(".")[0]
            kind = type(self.network.get_submodule(path)).__name__
            entries.setdefault(path, _Entry(path, kind, "(not run)")).parameters += size
        yield from entries.values()

    # --------------------------------------------------------------------------------------- operations

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is aten.dropout.default and not args[2]:
            return args[0]
        packet = func.overloadpacket
        if packet not in _SHAPES:
            with self:  # an operation made of others is seen as those others
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result

        inputs = [*_tensors(args), *_tensors(kwargs)]
        makers = frozenset().union(*(self.makers.get(id(tensor), ()) for tensor in inputs))
        args, kwargs = self._on_meta(args), self._on_meta(kwargs)
        sights = [self.sights[id(tensor)] for tensor in inputs if id(tensor) in self.sights]
        if sights:
            self._check(func, args)
        shape = _SHAPES[packet](args) if sights and packet in _SHAPES else None
        if shape is not None:
            result = torch.empty(shape, device="meta")
        else:
            result = func(*args, **kwargs)

        outputs = list(_tensors(result))
        self.alive.append(outputs)
        if not sights:  # weights prepared before they meet the image: no layer, but not forgotten
            for tensor in outputs:
                self.makers[id(tensor)] = makers
            return result
        if not outputs:
            return result

        writes = all(value.alias_info is None for value in func._schema.returns)
        macs = _MACS[packet](args, outputs[0]) if packet in _MACS else 0
        sight = _merge(sights, outputs[0])
        sight = _look(packet, args, outputs[0], sight)
        if macs:
            sight = replace(sight, depth=sight.depth + 1)
        for tensor in outputs:
            self.sights[id(tensor)] = sight

        path, entry = self.stack[-1]
        inside_layer = entry is not None
        if not inside_layer:
            if not writes and not func._schema.is_mutable:
                return result  # a view costs nothing
            entry = _Entry(path, packet.__name__.strip("_"))
            self.entries.append(entry)
        entry.macs += macs
        entry.writes |= writes
        entry.detail = _detail(packet, args, outputs[0]) or entry.detail
        self._pay(entry, makers)
        if not inside_layer:
            self._finish(entry, outputs[0])
        return result

    def _on_meta(self, value: Any) -> Any:
        """A real tensor that the network holds or makes is replaced by one without contents."""
        if isinstance(value, (tuple, list)):
            return type(value)([self._on_meta(item) for item in value])
        if isinstance(value, dict):
            return {key: self._on_meta(item) for key, item in value.items()}
        if not isinstance(value, Tensor) or value.device.type == "meta":
            return value
        if id(value) not in self.strays:
            with torch.inference_mode(value.is_inference()):
                self.strays[id(value)] = _twin(value)
            self.alive.append(value)
        return self.strays[id(value)]

    def _check(self, func: Any, args: Any) -> None:
        """Does the image still fit? Asked before torch does, so that the answer can name the layer."""
        layer, entry = self.stack[-1]
        name = f"layer {layer!r} ({entry.kind})" if entry else f"{func.overloadpacket.__name__} in {layer!r}"
        packet = func.overloadpacket
        if packet is aten.convolution:
            x, weight, groups, transposed = args[0], args[1], args[8], args[6]
            expected = weight.shape[0] if transposed else weight.shape[1] * groups
            if x.shape[1] != expected:
                raise _Unfit(f"{name} expects {expected} channels and receives {x.shape[1]}", 0)
            if transposed:
                return
        elif packet is aten.batch_norm:
            x, *statistics = args[:5]
            for tensor in statistics:
                if tensor is not None and tensor.numel() != x.shape[1]:
                    raise _Unfit(f"{name} expects {tensor.numel()} channels and receives {x.shape[1]}", 0)
        elif packet in (aten.mm, aten.addmm):
            left, right = args[-2:]
            received, expected = left.shape[1], right.shape[0]
            if id(left) not in self.sights:
                received, expected = expected, received
            if received != expected:
                reason = f"{name} expects {expected:,} features and receives {received:,}"
                raise _Unfit(reason, 1 if received > expected else -1)
        if window := _window(packet, args):
            kernel, stride, padding, dilation = window
            grid = args[0].shape[-2:]
            for size, k, s, p, d in zip(grid, kernel, stride, padding, dilation, strict=True):
                try:
                    conv_output_size(size, k, s, p, d)
                except ValueError:
                    reason = f"{name} receives a grid of {grid[0]} x {grid[1]}, smaller than its window"
                    raise _Unfit(reason, -1) from None


def _is_layer(module: nn.Module) -> bool:
    """A layer of torch.nn is one row; every other module is opened, and its operations are rows."""
    return type(module).__module__.startswith("torch.nn.modules") and not any(module.children())


def _convolution_macs(args: Any, out: Tensor) -> int:
    x, weight, transposed, groups = args[0], args[1], args[6], args[8]
    if transposed:  # every input position meets every weight
        return weight.numel() // weight.shape[0] * x.numel()
    in_channels, out_channels = weight.shape[1] * groups, weight.shape[0]
    positions = out.numel() // out_channels  # of the batch, which is one image
    return (
        conv_parameters(in_channels, out_channels, (1, weight[0, 0].numel()), groups, bias=False) * positions
    )


_MACS = {
    aten.convolution: _convolution_macs,
    aten.mm: lambda args, out: out.numel() * args[0].shape[-1],
    aten.addmm: lambda args, out: out.numel() * args[1].shape[-1],
    aten.bmm: lambda args, out: out.numel() * args[0].shape[-1],
    aten.baddbmm: lambda args, out: out.numel() * args[1].shape[-1],
    aten.mv: lambda args, out: args[0].numel(),
    aten.addmv: lambda args, out: args[1].numel(),
    aten.dot: lambda args, out: args[0].numel(),
}


def _window(packet: Any, args: Any) -> tuple[Pair, Pair, Pair, Pair] | None:
    """Kernel, stride, padding and dilation of an operation that slides a window, else None."""
    if packet is aten.convolution:
        return _pair(args[1].shape[2:]), _pair(args[3]), _pair(args[4]), _pair(args[5])
    if packet in (*_MAX_POOLS, aten.avg_pool2d, aten.avg_pool3d):
        kernel = _pair(args[1])
        stride = _pair(args[2]) if len(args) > 2 and args[2] else kernel
        padding = _pair(args[3]) if len(args) > 3 else (0, 0)
        dilated = packet in _MAX_POOLS and len(args) > 4
        return kernel, stride, padding, _pair(args[4]) if dilated else (1, 1)
    return None


def _convolution_shape(args: Any) -> tuple[int, ...] | None:
    x, weight, _, stride, padding, dilation, transposed = args[:7]
    if transposed:
        return None
    sides = zip(x.shape[2:], weight.shape[2:], _pair(stride), _pair(padding), _pair(dilation), strict=True)
    return (x.shape[0], weight.shape[0], *(conv_output_size(*side) for side in sides))


def _pool_shape(packet: Any, ceil_at: int) -> Any:
    def shape(args: Any) -> tuple[int, ...]:
        x, ceil_mode = args[0], len(args) > ceil_at and args[ceil_at]
        sides = zip(x.shape[-2:], *_window(packet, args), strict=True)
        return (*x.shape[:-2], *(conv_output_size(*side, ceil_mode) for side in sides))

    return shape


def _same_shape(args: Any) -> tuple[int, ...]:
    return args[0].shape


def _broadcast_shape(args: Any) -> tuple[int, ...] | None:
    """Of a sum or a product of floating point tensors; None for what torch had better do itself.

    (torch.broadcast_shapes would do, but it is among the functions that import sympy.)
    """
    tensors = [value for value in args[:2] if isinstance(value, Tensor)]
    if not all(tensor.is_floating_point() for tensor in tensors):
        return None
    shapes = [tensor.shape for tensor in tensors]
    longest = max(map(len, shapes))
    sides = list(zip(*((1,) * (longest - len(shape)) + tuple(shape) for shape in shapes), strict=True))
    if any(len(set(side) - {1}) > 1 for side in sides):
        return None  # they do not fit: torch says so
    return tuple(next((size for size in side if size != 1), 1) for side in sides)


def _mean_shape(args: Any) -> tuple[int, ...] | None:
    """Of a mean or a sum over some dimensions."""
    x, dims, keep = args[0], args[1] if len(args) > 1 else None, len(args) > 2 and args[2]
    if not isinstance(dims, list) or not dims or not x.is_floating_point():
        return None
    if any(not -x.dim() <= dim < x.dim() for dim in dims):
        return None
    gone = {dim % x.dim() for dim in dims}
    kept = ((1 if i in gone else size) for i, size in enumerate(x.shape) if keep or i not in gone)
    return tuple(kept)


def _cat_shape(args: Any) -> tuple[int, ...] | None:
    """Of tensors joined along a dimension that leaves the other sizes equal."""
    tensors, dim = args[0], args[1] if len(args) > 1 else 0
    first = tensors[0]
    dim %= max(1, first.dim())
    others = {(*each.shape[:dim], *each.shape[dim + 1 :]) for each in tensors}
    if len(others) > 1 or len({each.dim() for each in tensors}) > 1:
        return None  # they do not fit: torch says so
    return (*first.shape[:dim], sum(each.shape[dim] for each in tensors), *first.shape[dim + 1 :])


def _avg_pool3d_shape(args: Any) -> tuple[int, ...] | None:
    """Of the pool over channels that local response normalisation is made of."""
    x, *settings = args[:4]
    kernel, stride, padding = (settings + [None] * 3)[:3]
    sides = (kernel, stride or kernel, padding or [0, 0, 0])
    if len(args) > 4 and args[4] or any(len(each) != 3 for each in sides):
        return None
    windows = zip(x.shape[-3:], *sides, strict=True)
    return (*x.shape[:-3], *(conv_output_size(*window) for window in windows))


def _index_shape(args: Any) -> tuple[int, ...] | None:
    """Of one dimension picked by a list of whole numbers, such as x[:, [0, 2, 3]]."""
    x, picks = args[:2]
    chosen = [(dim, pick) for dim, pick in enumerate(picks) if pick is not None]
    if len(chosen) != 1 or chosen[0][1].dim() != 1 or chosen[0][1].dtype != torch.int64:
        return None
    dim, pick = chosen[0]
    return (*x.shape[:dim], len(pick), *x.shape[dim + 1 :])


# Shapes of the common operations; None leaves it to torch. Torch knows them all, but on the meta device it works
# most of them out in Python and imports its compiler to do so, which takes seconds.
_SHAPES = {
    aten.convolution: _convolution_shape,
    aten.addmm: lambda args: (args[1].shape[0], args[2].shape[1]),
    aten.mm: lambda args: (args[0].shape[0], args[1].shape[1]),
    aten.max_pool2d: _pool_shape(aten.max_pool2d, ceil_at=5),
    aten.avg_pool2d: _pool_shape(aten.avg_pool2d, ceil_at=4),
    aten._adaptive_avg_pool2d: lambda args: (*args[0].shape[:-2], *args[1]),
    aten.batch_norm: _same_shape,
    aten.relu: _same_shape,
    aten.tanh: _same_shape,
    aten.sigmoid: _same_shape,
    aten.silu: _same_shape,
    aten.hardtanh: _same_shape,
    aten.add: _broadcast_shape,
    aten.sub: _broadcast_shape,
    aten.mul: _broadcast_shape,
    aten.div: _broadcast_shape,
    aten.pow: _broadcast_shape,
    aten.mean: _mean_shape,
    aten.sum: _mean_shape,
    aten.neg: _same_shape,
    aten.cat: _cat_shape,
    aten.avg_pool3d: _avg_pool3d_shape,
    aten.index: _index_shape,
}

_MAX_POOLS = (aten.max_pool2d, aten.max_pool2d_with_indices)
_ADAPTIVE = (aten._adaptive_avg_pool2d, aten.adaptive_max_pool2d)
_REDUCTIONS = (aten.mean, aten.sum, aten.amax, aten.max)
_PADS = (aten.constant_pad_nd, aten.reflection_pad2d, aten.replication_pad2d)


def _merge(sights: list[_Sight], out: Tensor) -> _Sight:
    """Where branches meet: the widest sight. The grid is that of the branches that have the output's."""
    grid = tuple(out.shape[-2:]) if out.dim() >= 4 else None
    same_grid = [sight for sight in sights if sight.grid == grid] or sights
    widest = max(same_grid, key=lambda sight: sight.field)
    heights, widths = zip(*(sight.field for sight in sights), strict=True)
    depth = max(sight.depth for sight in sights)
    return replace(widest, field=(max(heights), max(widths)), depth=depth)


def _look(packet: Any, args: Any, out: Tensor, sight: _Sight) -> _Sight:
    """What the output of an operation sees, given what its input saw."""
    if window := _window(packet, args):
        kernel, stride, _, dilation = window
        grid = tuple(out.shape[-2:])
        if packet is aten.convolution and args[6]:  # transposed: the grid becomes finer
            kernel = tuple(-(-k // s) for k, s in zip(kernel, stride, strict=True))
            jump = tuple(max(1, j // s) for j, s in zip(sight.jump, stride, strict=True))
            return replace(sight.through(kernel, (1, 1), dilation, grid), jump=jump)
        return sight.through(kernel, stride, dilation, grid)
    if packet in _ADAPTIVE:
        cells = tuple(out.shape[-2:])
        kernel = tuple(_adaptive_window(size, n) for size, n in zip(sight.grid, cells, strict=True))
        stride = tuple(max(1, size // n) for size, n in zip(sight.grid, cells, strict=True))
        return sight.through(kernel, stride, (1, 1), cells)
    if packet in _REDUCTIONS and _reduces_grid(args[0], args[1] if len(args) > 1 else None, sight):
        return sight.everything()
    if packet in _MACS:
        # A product with a row or a column for each pixel mixes channels, as a 1x1 convolution does. In any
        # other the grid was flattened into the features, and every output sees all of it.
        mixes_channels = math.prod(sight.grid) in out.shape[-2:] and out.shape[-2] != 1
        return sight if mixes_channels else sight.everything()
    if packet is aten.slice and out.dim() >= 4:
        side = args[1] % out.dim() - (out.dim() - 2)
        if side >= 0:
            step = args[4] if len(args) > 4 else 1
            jump = tuple(j * step if i == side else j for i, j in enumerate(sight.jump))
            return replace(sight, jump=jump, grid=tuple(out.shape[-2:]))
    if packet in _PADS and out.dim() >= 4:
        return replace(sight, grid=tuple(out.shape[-2:]))
    return sight


def _adaptive_window(size: int, cells: int) -> int:
    """The widest of the windows that cut `size` pixels into `cells`."""
    return max(-(-(cell + 1) * size // cells) - cell * size // cells for cell in range(cells))


def _reduces_grid(x: Tensor, dims: Any, sight: _Sight) -> bool:
    if dims is None:
        return True
    dims = {dim % x.dim() for dim in ([dims] if isinstance(dims, int) else dims)}
    if x.dim() >= 4:
        return {x.dim() - 2, x.dim() - 1} <= dims
    return x.dim() - 1 in dims and x.shape[-1] == math.prod(sight.grid)


def _detail(packet: Any, args: Any, out: Tensor) -> str:
    """Kernel/stride, as papers write it, and the groups of a convolution."""
    window = _window(packet, args)
    if window is None or packet is aten.avg_pool3d:
        return ""
    (height, width), (stride, _), _, _ = window
    text = f"{height}x{width}" + (f"/{stride}" if stride > 1 and packet is aten.convolution else "")
    if packet is not aten.convolution:
        return text if stride == height else f"{text}/{stride}"
    groups = args[8]
    if groups == 1:
        return text
    return f"{text} depthwise" if groups == args[0].shape[1] else f"{text}, {groups} groups"


# ------------------------------------------------------------------------------------ when it does not fit

LARGEST = 4096  # pixels a side; where the search for an image that fits gives up


def _advice(network: nn.Module, image: tuple[int, int, int], training: bool, unfit: _Unfit) -> str:
    """What was wrong with the image, and what to do."""
    shape = " x ".join(map(str, image))
    if unfit.side == 0:
        return f"image is {shape}: {unfit.reason}; image is (channels, height, width)"

    def side(size: int) -> int:
        try:
            _trace(network, (image[0], size, size), training)
        except _Unfit as error:
            return error.side
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


def _first(holds: Any) -> int | None:
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
