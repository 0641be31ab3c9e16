"""What a forward pass computes, as plain data.

    graph = record(network, torch.empty(1, 3, 224, 224, device="meta"))

Every operation of a forward pass, whether a module or a function asked for it, reaches the dispatcher as an
operation of `aten`. `record` writes each one down: its name and settings, what it reads, the shape and dtype of
what it makes, and which module was at work. The result is a `Graph` of frozen dataclasses: it can be compared,
sent as JSON, and read by whoever wants to know what a network does. The ledger of costs, the drawings, the
matching of weights and the diagnosis of a student's block are all readers of it.

Two graphs are equal where torch computed the same, in the same order, of the same. How it was asked does not count:
modules, functions or methods; names of parameters and modules; dimensions and places counted from behind, and the
order of those that are reduced; view, reshape or flatten; `.T`, transpose or permute (`Graph.plain`). Other
arithmetic that comes to the same numbers is another graph: a bound of 0 for a ReLU, a product and a sum for a linear
layer, in place or not. `checking.layers` has the normal form in which these are equal too.

Torch and the standard library are all that this file needs, with `hollow.py`, which needs no more: it also runs
beside a student's code.
"""

from __future__ import annotations

import collections
import hashlib
import inspect
import json
import math
import os
import re
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, partial
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode

from casestudies.hollow import (
    EARLIER,
    ELSEWHERE,
    TRANSFORMED,
    Hollow,
    NoContents,
    Owner,
    Refusal,
    Untouched,
    asked_for,
    hollow,
    like,
    memory_of,
    module_at,
    shadow,
    slots_of,
    tensors_in,
    view_of,
)

aten = torch.ops.aten

# ------------------------------------------------------------------------------------------------- the data


@dataclass(frozen=True, slots=True)
class Ref:
    """A tensor among the arguments of an operation, by its place in `casestudies.Graph.values`."""

    value: int  #: The place of the tensor in Graph.values.


#: What an operation is given, that is, a number, a string, None, a tensor as a `casestudies.graph.Ref`, or a tuple of
#: these, nested to any depth. A dtype or a memory format is a string such as ``"torch.float64"``.
Argument = Ref | bool | int | float | complex | str | None | tuple["Argument", ...]
NAN = math.nan  # the only NaN in a graph: a tuple compares it by identity, and so as equal to itself


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the computation: its shape and dtype, and the memory behind it.

    The values that a check compares are another class, `casestudies.checking.parts.Value`.
    """

    shape: tuple[int, ...]  #: The shape, with the batch.
    dtype: str  #: The dtype by its name, such as ``"float32"``.
    #: The number of the storage, the block of memory in which its elements lie. Values that share their memory have
    #: the same number, as do the views of a tensor, and the tensor after it was written in place.
    storage: int
    #: Whether a gradient flows through it; False if the graph was recorded without `grad`.
    requires_grad: bool = False

    @property
    def numel(self) -> int:
        """The number of elements of the tensor."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The tensor's size in bytes, as if it shared its memory with no other value."""
        return self.numel * ITEMSIZE[self.dtype]


class _Keyed:
    """Equal where the keys are, in which numbers are compared bit by bit."""

    __slots__ = ()

    def _key(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


@dataclass(frozen=True, slots=True, eq=False)
class Op(_Keyed):
    """One operation of torch: what it was given, and the values that it made.

    *Names.* The in-place and the out-of-place form of a function share a name, and so do its kernels. A trailing
    underscore of an in-place operation is dropped (`relu_` is ``"relu"``), and so are leading ones (`_linalg_svd` is
    ``"linalg_svd"``); `native_batch_norm` is ``"batch_norm"``, and `_unsafe_view` is ``"view"``. Different functions
    may compute the same thing under different names: `x.t()` is ``"t"``, and `x.T` is ``"permute"``.

    *Changed tensors.* One kind of entry is no operation of torch. If a view of a tensor is written in place, and the
    tensor itself is read afterwards, an entry ``"changed"`` makes a new value, which stands for the tensor from then
    on. Its `overload` is empty. Its arguments are `self`, the value before, and `by`, the value that was written.
    """

    name: str  #: The name, such as ``"convolution"``.
    #: The exact operation, such as ``"convolution.default"``, after its namespace if that is not `aten`; ``""`` for
    #: ``"changed"``.
    overload: str
    #: Pairs of a name, as in torch's schema, and what was given. Arguments that have the schema's default are left
    #: out; it is not always the default of the module.
    arguments: tuple[tuple[str, Argument], ...]
    outputs: tuple[int, ...]  #: The values that it made, as places in Graph.values.
    #: The values that it changed in place, as places in Graph.values. If the operation returns one, an output stands
    #: for it afterwards; a batch norm does not return its running statistics.
    writes: tuple[int, ...] = ()
    random: bool = False  #: Whether it draws random numbers.
    call: int = field(default=0, compare=False)  #: The module that asked for it, as a place in Graph.calls.
    #: The number of the line, outside of torch and the standard library, that asked for it; None unless lines were
    #: recorded. The name of the file is not kept.
    line: int | None = field(default=None, compare=False)

    def _key(self) -> tuple[Any, ...]:
        return (
            self.name, self.overload, _exact(self.arguments), self.outputs, self.writes, self.random,
        )  # fmt: skip

    @property
    def reads(self) -> tuple[int, ...]:
        """The values from which the result is computed, in order, as places in `casestudies.Graph.values`."""
        return tuple(_reads(self.arguments))

    def setting(self, name: str, default: Any = None) -> Any:
        """Return an argument by its name.

        Args:
            name: The name in torch's schema, such as ``"stride"``.
            default: What to return if the argument is omitted; None by default.

        Returns:
            The `~casestudies.graph.Argument`, or `default`.
        """
        for key, value in self.arguments:
            if key == name:
                return value
        return default


@dataclass(frozen=True, slots=True)
class Held:
    """A parameter or a buffer: where it is in the network, and the value that represents it."""

    name: str = field(compare=False)  #: The path in the network, such as ``"0.weight"``.
    kind: str  #: ``"parameter"`` or ``"buffer"``.
    shape: tuple[int, ...]  #: The shape of the tensor.
    dtype: str  #: The dtype by its name, such as ``"float32"``.
    requires_grad: bool  #: Whether it is trained, even if the graph was recorded without `grad`.
    value: int | None  #: Its place in Graph.values; None if it is neither read nor returned.
    #: Whether the run changed it, as it does the statistics of a batch norm in training.
    written: bool = False
    #: Its number among the network's tensors, those of parameters() first and then those of buffers().
    place: int = field(default=0, compare=False)
    holder: str = field(default="", compare=False)  #: The class of the module that holds it.


@dataclass(frozen=True, slots=True)
class Call:
    """One run of a module: its path and class, the call within which it ran, what went in and what came out.

    The calls of a student's function are another class, `casestudies.checking.parts.Call`.
    """

    path: str  #: The path of the module, such as ``"stages.0.1"``; it is empty for the network itself.
    kind: str  #: The class of the module.
    #: The call within which it ran, as a place in Graph.calls; None for the network itself.
    parent: int | None
    layer: bool  #: Whether it is a layer of torch.nn that has no modules inside it.
    leaf: bool  #: Whether it has no modules inside it.
    inputs: tuple[int, ...]  #: The tensors that went in, as places in Graph.values.
    outputs: tuple[int, ...]  #: The tensors that came out, as places in Graph.values.
    held: tuple[int, ...]  #: Its own parameters and buffers, as places in Graph.state.


@dataclass(frozen=True, slots=True, eq=False)
class Constant(_Keyed):
    """A tensor that is neither input nor state nor result: its numbers, or a digest of them.

    One that ``torch.tensor(...)`` makes in `forward` is a constant, for instance; what `torch.ones` makes there is
    the result of an operation. If there are more than `~casestudies.graph.LARGEST_CONSTANT` numbers, a digest
    (SHA-256) is kept in their place. A tensor without contents has neither.
    """

    value: int  #: The place of the tensor in Graph.values.
    #: The numbers, row by row; None if they are not kept.
    data: tuple[bool | int | float | complex, ...] | None
    digest: str = ""  #: The digest of the numbers; ``""`` if they are kept, or if there are none.

    def _key(self) -> tuple[Any, ...]:
        return _exact((self.value, self.data, self.digest))


@dataclass(frozen=True, eq=False)
class Graph(_Keyed):
    """A recorded computation: its tensors, its operations, and the network's parameters, buffers and modules.

    :ref:`When two graphs are equal <graph-equal>` says what `==` compares.

    >>> from casestudies import record
    >>> image = torch.empty(1, 1, 32, 32, device="meta")
    >>> graph = record(nn.Sequential(nn.Conv2d(1, 6, 5), nn.Tanh()), image)
    >>> [(op.name, graph.path(op)) for op in graph.ops]
    [('convolution', '0'), ('tanh', '1')]
    >>> graph.values[graph.outputs[0]].shape
    (1, 6, 28, 28)
    """

    network: str = field(compare=False)  #: The name of the network's class.
    training: bool  #: Whether it was recorded in training mode.
    inputs: tuple[int, ...]  #: The tensors that went in, as places in `values`.
    #: What the network returns.
    #:
    #: - A tensor is a `~casestudies.graph.Ref`, and a tuple or list is a tuple.
    #: - A dictionary is a tuple of its values, without keys; so is a dataclass or another object with attributes that
    #:   are tensors.
    #: - Python's numbers, strings and None stay as they are; a whole number of 2⁶⁴ or more in absolute value becomes
    #:   a string.
    #: - Anything else is a string, mostly the name of its class.
    output: Argument
    #: All tensors of the run, that is, the inputs, the parameters and buffers that are read or returned, the
    #: constants, and the results of operations.
    values: tuple[Value, ...]
    #: The operations, in the order in which they ran; a ``"changed"`` stands where its tensor is next read.
    ops: tuple[Op, ...]
    state: tuple[Held, ...]  #: The parameters and buffers, in the order of first use, the unused ones last.
    constants: tuple[Constant, ...] = ()  #: The tensors that are neither inputs nor state nor results.
    #: The modules that ran, the network itself first.
    calls: tuple[Call, ...] = field(default=(), compare=False)
    #: The values that autograd saves for the backward pass, weights included, as places in `values`. One that is
    #: saved twice appears twice. Empty without `grad`.
    saved: tuple[int, ...] = field(default=(), compare=False)
    grad: bool = field(default=False, compare=False)  #: Whether gradients were recorded.
    #: The names of functions with a backward pass of their own (torch.autograd.Function), with ``"checkpoint"`` for
    #: activation checkpointing. Empty without `grad`.
    functions: tuple[str, ...] = field(default=(), compare=False)

    def _key(self) -> tuple[Any, ...]:
        return (
            self.training, self.inputs, _typed(self.output), self.values, tuple(map(self.plain, self.ops)),
            self.state, self.constants,
        )  # fmt: skip

    @property
    def outputs(self) -> tuple[int, ...]:
        """The tensors that the network returns, in order, as places in `values`."""
        return tuple(_refs(self.output))

    @property
    def parameters(self) -> tuple[Held, ...]:
        """The network's parameters, in the order of first use, which need not be that of `module.parameters()`."""
        return tuple(held for held in self.state if held.kind == "parameter")

    @property
    def buffers(self) -> tuple[Held, ...]:
        """What the network keeps besides its parameters, such as the statistics of a batch norm."""
        return tuple(held for held in self.state if held.kind == "buffer")

    @property
    def unused(self) -> tuple[Held, ...]:
        """The parameters and buffers that are neither read nor returned, in their order."""
        return tuple(held for held in self.state if held.value is None)

    @cached_property
    def maker(self) -> dict[int, Op]:
        """The operation that made each value, by place in `values`; only results of operations have an entry."""
        return {value: op for op in self.ops for value in op.outputs}

    @cached_property
    def readers(self) -> dict[int, tuple[Op, ...]]:
        """The operations that read each value, by place in `values`; a value that none reads has no entry."""
        found: dict[int, list[Op]] = {}
        for op in self.ops:
            for value in dict.fromkeys(op.reads):
                found.setdefault(value, []).append(op)
        return {value: tuple(ops) for value, ops in found.items()}

    @cached_property
    def owner(self) -> dict[int, Held]:
        """The parameter or buffer behind each value that is one, by place in `values`."""
        return {held.value: held for held in self.state if held.value is not None}

    @property
    def changed_inputs(self) -> tuple[int, ...]:
        """The inputs that the network changed in place, as places in `inputs`."""
        written = {self.values[value].storage for op in self.ops for value in op.writes}
        return tuple(
            place for place, value in enumerate(self.inputs) if self.values[value].storage in written
        )

    def data(self) -> frozenset[int]:
        """Find the values that depend on the inputs.

        Returns:
            A set of places in `values`.
        """
        found = set(self.inputs)
        for op in self.ops:
            if not found.isdisjoint(op.reads):
                found.update(op.outputs)
        return frozenset(found)

    def plain(self, op: Op) -> Op:
        """An operation as graphs are compared: with the settings that any other way to ask for it would have had.

        The operation itself stays as torch was asked, since readers may want to know that.
        """
        if not op.outputs or not op.reads:
            return op
        shapes = [self.values[value].shape for value in (op.reads[0], op.outputs[0])]
        try:
            return _plainly(op, *shapes)
        except (IndexError, KeyError, TypeError, ValueError):
            return op  # a stranger's, with settings that torch would refuse

    def path(self, op: Op) -> str:
        """Find the module that asked for an operation.

        Args:
            op: An operation of this graph.

        Returns:
            The path of the module, such as ``"stages.0.1"``; it is empty for the network itself.
        """
        return self.calls[op.call].path if self.calls else ""

    def to_json(self) -> str:
        """Write the graph as JSON text, which `from_json` reads back.

        Returns:
            The text. It has no line breaks.

        Raises:
            ValueError: The text would have more than 50,000,000 characters.

        >>> from casestudies import record
        >>> graph = record(nn.ReLU(), torch.empty(1, 4, device="meta"))
        >>> text = graph.to_json()
        >>> text[:34]
        '{"network":"ReLU","training":false'
        >>> Graph.from_json(text) == graph
        True
        """
        text = json.dumps(_plain(self), separators=(",", ":"), allow_nan=False)
        if len(text) > LONGEST_JSON:
            raise ValueError(
                f"the graph has {len(text):,} characters as JSON; expected at most {LONGEST_JSON:,}"
            )
        return text

    @staticmethod
    def from_json(text: str) -> Graph:
        """Read a graph that `to_json` wrote.

        The text may come from anywhere: anything of another form is rejected. Whether the operations would return
        these shapes is checked by `casestudies.replay.replay` alone.

        Args:
            text: The JSON text, of at most 50,000,000 characters.

        Returns:
            The graph.

        Raises:
            ValueError: The text is not such JSON; the message names the place.
        """
        if not isinstance(text, str):
            raise ValueError(
                f"text is {text!r:.60} ({type(text).__name__}); expected the JSON that to_json gave"
            )
        if len(text) > LONGEST_JSON:
            raise ValueError(f"the graph has {len(text):,} characters; expected at most {LONGEST_JSON:,}")
        try:
            found = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"the graph is not JSON: {error}") from None
        return _Reader(found).graph()


ITEMSIZE = {
    str(dtype).removeprefix("torch."): dtype.itemsize
    for dtype in vars(torch).values()
    if isinstance(dtype, torch.dtype)
}
# Constants of these are written down number by number.
LISTED = {
    "float64", "float32", "float16", "bfloat16", "complex64", "complex128", "int64", "int32", "int16", "int8",
    "uint8", "bool",
}  # fmt: skip
SYMBOLS = {
    str(value): value
    for value in (
        *(getattr(torch, name) for name in ITEMSIZE),
        torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d,
    )
}  # fmt: skip
_DTYPES = {getattr(torch, name): name for name in ITEMSIZE}
#: The most numbers that a `casestudies.graph.Constant` keeps one by one; of a larger one it keeps a digest instead.
LARGEST_CONSTANT = 4096
LONGEST_JSON = 50_000_000  # characters


def _exact(value: Any) -> Any:
    """A key that is equal where the numbers agree bit by bit: NaN equals NaN, and 0.0 differs from -0.0."""
    if type(value) is tuple:
        return tuple([_exact(item) for item in value])
    if type(value) is float:
        return "nan" if value != value else (math.copysign(1.0, value), 0.0) if value == 0 else value
    if type(value) is complex:
        return "complex", _exact(value.real), _exact(value.imag)
    return value


def _typed(value: Any) -> Any:
    """`_exact` of what a network returns, where 1, 1.0 and True are three things."""
    if type(value) is tuple:
        return tuple([_typed(item) for item in value])
    return type(value), _exact(value)


def _refs(argument: Argument, found: list[int] | None = None) -> list[int]:
    """The tensors in an argument, by their numbers. (A list, because nested generators are slow.)"""
    found = [] if found is None else found
    if type(argument) is Ref:
        found.append(argument.value)
    elif type(argument) is tuple:
        for item in argument:
            if type(item) is Ref:
                found.append(item.value)
            elif type(item) is tuple:
                _refs(item, found)
    return found


def _reads(arguments: tuple[tuple[str, Argument], ...]) -> list[int]:
    """`_refs` of named arguments."""
    found: list[int] = []
    for _, value in arguments:
        if type(value) is Ref:
            found.append(value.value)
        elif type(value) is tuple:
            _refs(value, found)
    return found


# ----------------------------------------------------------------------------- many ways to ask for one operation

# Arguments that count dimensions, below 0 from behind.
COUNTED = {"dim", "dims", "dim0", "dim1", "dim2", "dimension"}
WIDENED = {"unsqueeze", "stack", "cat", "diag_embed"}  # they count those of the result
REDUCTIONS = set("mean sum amax amin prod var std var_mean std_mean logsumexp any all norm".split())
UNORDERED = {*REDUCTIONS, "linalg_vector_norm", "flip", "squeeze"}  # the order of dimensions says nothing
SIZED = {"view", "reshape", "expand"}  # their size is that of the result
TURNED = {"t", "transpose"}  # other names of a permutation
# Settings of a pool, and what is meant where they are left out.
WINDOWS: dict[str, tuple[int, ...]] = {"stride": (), "padding": (0,), "dilation": (1,)}


def _plainly(op: Op, shape: tuple[int, ...], made: tuple[int, ...]) -> Op:
    """`Graph.plain` of an operation that reads a tensor of one shape and makes one of another."""
    name, overload = op.name, op.overload
    settings: Any = dict(op.arguments)
    usual = _usual(op.overload)
    rank = max(1, len(made if name in WIDENED else shape))
    for key, default in usual:
        if key in COUNTED and default is not REQUIRED:  # a schema writes tuples as lists
            settings.setdefault(key, tuple(default) if isinstance(default, list) else default)
    for key in COUNTED & settings.keys():
        settings[key] = _from_front(settings[key], rank)
    if name in UNORDERED and type(settings.get("dim", settings.get("dims"))) is tuple:
        key = "dim" if "dim" in settings else "dims"
        settings[key] = tuple(sorted(settings[key]))
    if name in REDUCTIONS and len(op.outputs) == 1 and settings.get("dim") in (None, ()):
        settings["dim"] = tuple(range(len(shape)))
        overload = name
    if name in REDUCTIONS and type(settings.get("dim")) is tuple:
        overload = name
    elif name in SIZED and "size" in settings:
        settings["size"], overload = made, name
    elif name in TURNED and len(shape) > 1:
        turned = list(range(len(shape)))
        one, other = settings.pop("dim0", 0), settings.pop("dim1", 1)
        turned[one], turned[other] = other, one
        settings["dims"], name, overload = tuple(turned), "permute", "permute.default"
    elif name in ("select", "select_scatter") and settings["dim"] < len(shape):
        settings["index"] = _from_front(settings["index"], shape[settings["dim"]])
    elif name in ("slice", "slice_scatter") and shape:
        size = shape[settings["dim"]]
        for key, usually in (("start", 0), ("end", size)):
            place: Any = usually if settings.get(key) is None else _from_front(settings[key], size)
            settings[key] = min(max(place, 0), size)
    elif name == "split_with_sizes":
        sizes = settings["split_sizes"]
        first, last = sizes[0], sizes[-1]
        if set(sizes[:-1]) <= {first} and 0 < last <= first:
            del settings["split_sizes"]
            settings["split_size"], name, overload = first, "split", "split.Tensor"
            usual = _usual(overload)
    elif name == "convolution":
        for key in ("stride", "padding", "dilation", "output_padding"):
            if len(settings[key]) == 1:  # padding="valid" gives one number for all sides
                settings[key] *= len(made) - 2
    elif name.endswith(("pool2d", "pool3d")) and "kernel_size" in settings:
        sides = int(name[-2])
        for key in ("kernel_size", *WINDOWS):
            value = settings.get(key) or (key == "stride" and settings["kernel_size"]) or WINDOWS[key]
            settings[key] = value * sides if len(value) == 1 else value
    order = {key: place for place, (key, _) in enumerate(usual)}
    arguments = sorted(settings.items(), key=lambda pair: (order.get(pair[0], len(order)), pair[0]))
    return replace(op, name=name, overload=overload, arguments=tuple(arguments))


def _from_front(place: Argument, size: int) -> Argument:
    """Dimensions or places, each counted from the front."""
    if type(place) is tuple:
        return tuple([_from_front(each, size) for each in place])
    return place + size if type(place) is int and -size <= place < 0 else place


@cache
def _usual(overload: str) -> tuple[tuple[str, Any], ...]:
    """The arguments of torch's function, each with its default."""
    func = function_of(overload)
    return () if func is None else _form(func).arguments


# ------------------------------------------------------------------------------------------------ recording


class RecordingError(RuntimeError):
    """The network stopped at an operation. `__cause__` is what was raised there, if something was.

    `name` and `arguments` are those of the operation, with a Value in place of each tensor; `call` is the
    module at work, `data` are the arguments that depend on the inputs. All are empty where torch or the
    network itself raised the error outside of an operation. `begun` counts the modules that had begun.
    """

    begun = 0

    def __init__(
        self,
        message: str,
        call: Call,
        name: str = "",
        arguments: dict[str, Any] | None = None,
        data: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(message)
        self.call, self.name, self.arguments, self.data = call, name, arguments or {}, data


def record(
    module: nn.Module,
    *inputs: Any,
    training: bool = False,
    grad: bool = False,
    lines: bool = False,
    call: Callable[..., Any] | None = None,
) -> Graph:
    """Run a module once and write down what it computes.

    *On the meta device.* If any input is on the meta device, nothing is computed and no weight is copied: tensors
    without contents stand for the module's weights. Give such an input the dtype of the weights. If the weights
    have another precision and the module refuses the input, it is run again with the input in the precision of the
    weights, and the graph writes ``"float32"`` for both.

    *On other devices.* The module runs as usual, with its own weights. What it changes, such as the statistics of a
    batch norm, stays changed.

    Args:
        module: Any module.
        *inputs: What the module is called with: tensors, or anything else that it takes.
        training: Whether the module runs in training mode; False by default. Its own mode stays as it was.
        grad: Whether to record which values require a gradient, and what autograd saves for the backward pass. By
            default the run is under `torch.no_grad()`.
        lines: Whether to record the line of code that asked for each operation; False by default.
        call: A function to call with the inputs in place of the module, for instance to pass keyword arguments:
            ``lambda x: module(x, flag=True)``. By default the module itself is called.

    Returns:
        A `~casestudies.Graph`.

    Raises:
        TypeError: `module` is not a module, or `training`, `grad` or `lines` is not True or False.
        ValueError: The module cannot be recorded: it has lazy layers that have not seen an input, it was made by
            torch.jit or torch.export, or it returns a set or an iterator.
        ValueError: An input is an array of NumPy, or a tensor of another recording.
        ValueError: A FakeTensorMode of torch is active, and an input is on the meta device.
        RuntimeError: The module decides by the numbers in a tensor, as in ``if x.sum() > 0`` or ``x.item()``, in a
            run on the meta device.
        Exception: Any other error of the run is raised as it is.

    See Also:
        `casestudies.replay.replay` runs a graph on other tensors; `casestudies.ledger` and `casestudies.memory`
        record a network themselves, and count what it costs.

    >>> attention = nn.MultiheadAttention(8, 2)
    >>> tokens = torch.empty(5, 1, 8, device="meta")  # (tokens, batch, features)
    >>> graph = record(
    ...     attention, tokens, call=lambda x: attention(x, x, x, need_weights=False)
    ... )
    >>> [op.name for op in graph.ops if "attention" in op.name]
    ['scaled_dot_product_attention']
    """
    try:
        return record_or_stop(module, *inputs, training=training, grad=grad, lines=lines, call=call)
    except RecordingError as error:
        raise (error.__cause__ or error) from None


def record_or_stop(
    module: nn.Module,
    *inputs: Any,
    training: bool = False,
    grad: bool = False,
    lines: bool = False,
    call: Callable[..., Any] | None = None,
) -> Graph:
    """Do what `record` does, but raise an error of the run as a RecordingError, which says where the run stopped."""
    try:
        return _recorder(module, inputs, training, grad, lines).run(inputs, call)
    except RecordingError as error:
        precision = _precision(module, inputs)
        if precision is None:
            raise
        # An image without contents stands for one of the precision that the network takes.
        try:
            return _recorder(module, inputs, training, grad, lines).run(inputs, call, precision)
        except RecordingError as other:
            if EARLIER in str(other.__cause__):
                raise  # the first run failed for its precision alone, and what it left in a cache is in the way
            raise error from error.__cause__


# Given what enters a recording in another thread, a context in which other threads enter it.
Following = Callable[[Callable[[], AbstractContextManager[None]]], AbstractContextManager[None]]


def _alone(enter: Callable[[], AbstractContextManager[None]]) -> AbstractContextManager[None]:
    return nullcontext()


def record_until(
    module: nn.Module,
    *inputs: Any,
    training: bool = False,
    grad: bool = False,
    following: Following = _alone,
) -> tuple[Graph | None, Exception | None]:
    """Record what `module(*inputs)` computes until an operation raises an error; return the graph and that error.

    The operation that failed is the last one of the graph. Its result was never made; in its place, the output is a
    value of the shape of the first tensor that it reads and that depends on the inputs. The graph is None where
    something other than an operation failed, the error None where nothing did. Operations of other threads are
    written down where `following` lets them be seen, as if the module at work had asked for them.
    """
    recorder = _recorder(module, inputs, training, grad, lines=False)
    try:
        return recorder.run(inputs, None, following=following), None
    except RecordingError as error:
        cause = error.__cause__
        return recorder.stopped_graph(), cause if isinstance(cause, Exception) else error


def _precision(module: nn.Module, inputs: Sequence[Any]) -> torch.dtype | None:
    """The dtype of the network's weights, where inputs without contents are of another one."""
    given = {x.dtype for x in tensors_in(inputs) if x.is_floating_point()}
    weights = next((each.dtype for each in module.parameters() if each.is_floating_point()), None)
    meta = any(x.is_meta for x in tensors_in(inputs))
    return weights if meta and weights is not None and given - {weights} else None


def _recorder(module: nn.Module, inputs: Sequence[Any], training: bool, grad: bool, lines: bool) -> _Recorder:
    """Check the arguments of `record`, and make the recorder of one run. A wrapper stands for what it runs."""
    if not isinstance(module, nn.Module):
        raise TypeError(f"module is {in_one_line(module)} ({type(module).__name__}); expected an nn.Module")
    module = unwrapped(module)
    for flag, value in {"training": training, "grad": grad, "lines": lines}.items():
        if not isinstance(value, bool):
            raise TypeError(f"{flag} is {value!r:.80} ({type(value).__name__}); expected True or False")
    if any(type(each) is Hollow and each.number >= 0 for each in tensors_in(inputs)):
        raise ValueError(
            "inputs have a tensor of another recording, which has no contents; record this network apart from it, "
            "with torch.empty(..., device='meta') or an image"
        )
    if torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None and any(
        each.is_meta for each in tensors_in(inputs)
    ):  # a second handle of a weight would be a fake one, and would be put back in the place of the weight
        raise ValueError(
            "a FakeTensorMode is at work, which would put fake tensors in the place of the network's weights; "
            "record the network outside of it"
        )
    for place, value in enumerate(inputs):
        _refuse_unseen(value, f"input {place}")
    return _Recorder(module, expect_recordable(module), inputs, training, grad, lines)


def expect_recordable(module: nn.Module) -> dict[str, nn.Module]:
    """Refuse lazy layers and what was made by torch.jit; return the modules by their paths."""
    modules = dict(module.named_modules())
    for path, each in modules.items():
        lazy = next((name for name, tensor in _own(each) if is_lazy(tensor)), None)
        if lazy:
            raise ValueError(
                f"{f'{path}.{lazy}'.lstrip('.')} belongs to a lazy layer that has not seen an input, so it has no "
                "shape; run the network once, network(images), and try again"
            )
        if isinstance(each, torch.jit.ScriptModule):
            where = f"{path!r} in a {type(module).__name__}" if path else f"a {type(module).__name__}"
            raise ValueError(
                f"{where} was made by torch.jit, which runs apart from Python; use the nn.Module that it was made of"
            )
    return modules


def check_graph(graph: object) -> None:
    if not isinstance(graph, Graph):
        raise TypeError(
            f"graph is {graph!r:.80} ({type(graph).__name__}); expected what casestudies.record gives"
        )


def tensor_of(graph: Graph, constant: Constant) -> Tensor | None:
    """The numbers of a constant as a tensor; None where the graph does not have them."""
    if constant.data is None:
        return None
    value = graph.values[constant.value]
    return torch.tensor(constant.data, dtype=SYMBOLS[f"torch.{value.dtype}"]).reshape(value.shape)


def in_one_line(value: object) -> str:
    """What a value is, as a sentence has it: its beginning, without the line breaks of tensors and modules."""
    return " ".join(repr(value).split())[:80]


def unwrapped(module: nn.Module) -> nn.Module:
    """What a wrapper runs: of DataParallel and torch.compile, which compute the same otherwise; else itself."""
    while True:
        wraps = isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel))
        # By its name, since the class of torch.compile takes seconds to import.
        inner = getattr(module, "module" if wraps else "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return module
        module = inner


def _refuse_unseen(value: Any, where: str) -> None:
    """Refuse an input whose tensors would be taken for constants: they are looked for in plain containers alone."""
    if isinstance(value, (tuple, list, dict)):
        items = value.values() if isinstance(value, dict) else value
        if any(True for _ in tensors_in(value)) or not all(map(_is_plain, items)):
            for item in items:
                _refuse_unseen(item, where)
    elif hasattr(value, "__array_interface__") and not isinstance(value, Tensor):
        raise Refusal(
            f"{where} is an array of NumPy ({type(value).__name__}); pass torch.as_tensor(...) of it"
        )
    elif not isinstance(value, Tensor) and not _is_plain(value) and _holds_tensor(value, 0):
        raise Refusal(
            f"{where} is a {type(value).__name__} with tensors in it, which are not seen there; pass them as "
            "tensors, or in a tuple, a list or a dictionary"
        )


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (bool, int, float, complex, str))


def _kind(module: nn.Module) -> str:
    """The name of a module's class, short enough to be read back."""
    name = type(module).__name__
    return name if len(name) <= LONGEST_NAME else f"{name[:80]} {_digest(name.encode())}"


def _own(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The parameters and buffers that a module holds itself."""
    for both in (module._parameters, module._buffers):
        for name, tensor in both.items():
            if tensor is not None:
                yield name, tensor


@contextmanager
def _mode(module: nn.Module, modules: Sequence[nn.Module], training: bool) -> Iterator[None]:
    """Put every module into one mode, and restore its own afterwards."""
    before = [each.training for each in modules]
    own = nn.Module.train
    # Most networks are in this mode already and do not override `train`.
    there = (not training) not in before and all(
        [type(each).train is own and "train" not in each.__dict__ for each in modules]
    )
    try:
        if not there:
            _switch(module, training)
        yield
    finally:
        for each, was_training in zip(modules, before, strict=True):
            if each.training is not was_training:
                each.training = was_training


def _switch(module: nn.Module, training: bool) -> None:
    try:
        module.train(training)
    except Exception as error:
        mode = "training" if training else "evaluation"
        raise ValueError(
            f"module is {type(module).__name__}, which cannot be put into {mode}: "
            f"its train() raises {type(error).__name__} ({error}); use the nn.Module that it was made of, or mend it"
        ) from error


# One name for every way to ask torch for the same thing.
NAMES = {
    "native_batch_norm": "batch_norm",
    "_native_batch_norm_legit": "batch_norm",
    "_batch_norm_with_update": "batch_norm",
    "_batch_norm_no_update": "batch_norm",
    "cudnn_batch_norm": "batch_norm",
    "max_pool2d_with_indices": "max_pool2d",
    "max_pool3d_with_indices": "max_pool3d",
    "native_layer_norm": "layer_norm",
    "native_group_norm": "group_norm",
    "native_dropout": "dropout",
    "_unsafe_view": "view",
    "_reshape_alias": "view",
    "_scaled_dot_product_flash_attention_for_cpu": "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention": "scaled_dot_product_attention",
    "_scaled_dot_product_efficient_attention": "scaled_dot_product_attention",
}
# Settings that say where and how torch computes, not what.
LEFT_OUT = {"device", "layout", "pin_memory", "non_blocking", "cudnn_enabled", "generator"}
# Max pools that also return the places of the maxima, and their names where nobody reads those.
INDEXED = {
    "max_pool2d_with_indices.default": "max_pool2d.default",
    "max_pool3d_with_indices.default": "max_pool3d.default",
}
# Autograd makes these for itself. Unless something reads the result, they are no part of the computation.
BESIDE = {"detach", "empty", "empty_like", "alias", "lift_fresh", "t", "view"}

_LIBRARY = tuple(
    os.path.join(path, "")
    for path in {
        *(sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")),
        os.path.dirname(os.path.abspath(torch.__file__)),
    }
)
_HERE = os.path.abspath(__file__)


_ONE_AT_A_TIME = threading.RLock()


@dataclass(frozen=True)
class _Stop:
    """Where an operation failed: the error that it raised, and what it was asked to do."""

    error: BaseException
    call: Call
    name: str = ""
    arguments: tuple[tuple[str, Argument], ...] = ()
    form: _Form | None = None  # where torch had begun to carry it out


class _Work(NamedTuple):
    """A module that is running: its place in the calls, and the exception being handled when it began."""

    place: int
    module: nn.Module
    handled: BaseException | None


class _Recorder(TorchDispatchMode):
    """Watches one run: torch hands it every operation, and hooks tell it which module is at work."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here, and saying so to the compiler would import it, which takes seconds

    def __init__(
        self,
        module: nn.Module,
        modules: dict[str, nn.Module],
        inputs: Sequence[Any],
        training: bool,
        grad: bool,
        lines: bool,
    ) -> None:
        super().__init__()
        self.modules = modules
        self.module, self.training, self.grad, self.lines = module, training, grad, lines
        self.meta = any(tensor.is_meta for tensor in tensors_in(inputs))
        self.thread = threading.get_ident()
        self.lock = threading.RLock()  # held for one operation, where those of other threads are seen as well
        self.over = False
        self.owner = Owner()
        self.alive: list[Any] = []  # keeps ids and storages from being reused
        self.values: list[Value] = []
        # The value that a tensor is: by the tensor's id, and, for a second handle of it, by its place in memory.
        self.number: dict[int, int] = {}
        self.places: dict[tuple[Any, ...], int] = {}
        self.storages: dict[Any, int] = {}  # numbers of pieces of memory
        self.storage_count = 0
        # For each storage: how many operations there were when it was last written, and as which value.
        self.written: dict[int, tuple[int, int]] = {}
        self.born: list[int] = []  # how many operations there were before each value was made
        self.sizes: dict[tuple[int, ...], tuple[int, ...]] = {}  # equal shapes and settings are one tuple
        self.where: dict[int, tuple[Any, ...]] = {}  # where a value lies that was written in place
        self.ops: list[Op] = []
        self.calls: list[Call] = []  # without outputs until they end
        self.stack: list[_Work] = []
        self.site: tuple[Any, ...] = ()  # the Python call that the last operation was part of
        self.bound: dict[str, int] = {}  # what names stood for in the call that last detached a tensor
        self.made_anew = False  # whether the last operation made a tensor without any other's numbers
        self.held_places: dict[tuple[Any, ...], int] | None = None  # where parameters and buffers lie
        self.at = 0  # the call at work
        self.begun = 0  # modules that have begun
        self.constants: dict[int, Constant] = {}
        self.twins: dict[int, Hollow] = {}  # tensors without contents in the place of real ones, by their ids
        self.made: set[Any] = set()  # the memory of real tensors that the run itself made
        # Values without contents, by the memory that they seem to have.
        self.empty: dict[int | None, int] = {}
        self.untouched: Untouched | None = None
        self.stop: _Stop | None = None
        self.held: list[tuple[str, str, Tensor]] = []  # parameters and buffers: name, kind, tensor
        self.held_place: dict[int, int] = {}  # places in `held`, by the tensors' ids
        self.held_value: dict[int, int] = {}  # values, by places in `held`
        self.saved: list[int] = []  # values that autograd kept, once for each time
        self.requires: set[int] = set()  # values that were seen to require a gradient
        self.grown: dict[int, bool] = {}  # those that an operation made: whether one of `functions` did
        self.functions: dict[str, None] = {}  # with a backward pass of their own
        self.hooks: Any = None  # what autograd calls to keep a tensor
        self.required: list[bool] = []  # whether they required a gradient at the end of the run
        self.holder: list[str] = []  # classes of the modules that hold parameters and buffers
        self.own: dict[int, tuple[int, ...]] = {}  # what each module holds itself, by the module's id
        self.path: dict[int, str] = {}  # of each module, by its id
        self.elsewhere: dict[int, str] = {}  # tensors that modules of the network made in another thread
        self.inputs: tuple[int, ...] = ()
        self.dependent: set[int] = set()  # values that depend on the inputs
        self.device = torch.device("cpu")
        self.called: dict[str, str] = {}  # dtypes that are written down as others

    # ---------------------------------------------------------------------------------------- the whole run

    def run(
        self,
        inputs: Sequence[Any],
        call: Callable[..., Any] | None,
        precision: torch.dtype | None = None,
        following: Following = _alone,
    ) -> Graph:
        """Record one run. With `precision`, inputs without contents get that dtype, which is written as float32."""
        module = self.module
        self._hold()
        self.calls.append(self._new_call(module, "", None, ()))
        self.stack.append(_Work(0, module, sys.exception()))
        with ExitStack() as stack:
            enter = stack.enter_context
            enter(_ONE_AT_A_TIME)  # two threads must not set modes and hooks of one network at once
            stack.callback(setattr, self, "over", True)
            stack.callback(setattr, self.owner, "over", True)
            if self.meta:
                self.untouched = Untouched(module)
                stack.callback(self.untouched.put_back)
            # Else it would compile the recorder, with a part of the network.
            if "torch._dynamo" in sys.modules:
                enter(torch.compiler.set_stance("force_eager"))
            enter(torch.inference_mode(False))
            # A cached cast of a weight would be taken for a constant, here or in the caller's code.
            torch.clear_autocast_cache()
            stack.callback(torch.clear_autocast_cache)
            enter(_mode(module, list(self.modules.values()), self.training))
            enter(torch.enable_grad() if self.grad else torch.no_grad())
            if self.grad:
                # Torch keeps the hook as long as a tensor of the run, and these are kept here: a circle that no
                # garbage collector sees. So the hook does not hold its recorder.
                recorder = weakref.ref(self)

                def pack(tensor: Tensor) -> Tensor:
                    alive = recorder()
                    return tensor if alive is None else alive._pack(tensor)

                enter(torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor))
                self.hooks = torch._C._autograd._top_saved_tensors_default_hooks(False)
            if self.meta:
                if precision is not None:
                    self.called[str(precision).removeprefix("torch.")] = "float32"
                inputs = self._emptied(inputs, precision, {})
            self.inputs = tuple(self._new(tensor) for tensor in tensors_in(inputs))
            self.dependent.update(self.inputs)
            # The fast paths of attention and recurrent layers are single operations that hide what they compute.
            if any(isinstance(each, nn.MultiheadAttention) for each in self.modules.values()):
                mha = torch.backends.mha
                enter(_switched_off(mha.get_fastpath_enabled, mha.set_fastpath_enabled))
            recurrent = [each for each in self.modules.values() if isinstance(each, nn.RNNBase)]
            if recurrent:
                # (torch.backends.mkldnn.flags also sets what it leaves unchanged, and warns about that.)
                enter(_switched_off(torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled))
            for each in recurrent if self.meta else ():
                # They compare the devices of weights and input before the first operation.
                each._flat_weights = [
                    self._twin(weight).requires_grad_(weight.requires_grad)
                    if weight is not None and weight.is_meta
                    else weight
                    for weight in each._flat_weights
                ]
            stack.callback(register_module_forward_pre_hook(self._enter).remove)
            stack.callback(register_module_forward_hook(self._leave, always_call=True).remove)
            enter(self)
            enter(following(self._joined))
            missing = enter(asked_for())
            try:
                output = (call or module)(*inputs)
            except Exception as error:
                stopped = self._stopped(error)
                stopped.begun = self.begun
                raise stopped from self._told(error)
            finally:
                self.site = ()
            if missing:
                # The network caught the error, and took a way that it would not take with real images.
                stopped, told = self._stopped(missing[0]), self._told(missing[0])
                self.stop = None  # no operation was the last one
                raise stopped from told
            # Read what the network returns before its attributes are put back.
            result = self._result(output, "output", 0)
            self._hold_late()
            self.required = [tensor.requires_grad for _, _, tensor in self.held]
        # What only the run needed leaves its memory to the graph.
        self.untouched = None
        for known in (
            self.number, self.places, self.storages, self.born, self.where, self.empty, self.twins, self.modules,
            self.path, self.own, self.held_place,
        ):  # fmt: skip
            known.clear()
        return self._graph(result)

    @contextmanager
    def _joined(self) -> Iterator[None]:
        """Write down what another thread does. It enters the mode by itself: torch counts in one place for all."""
        with ExitStack() as stack:
            if self.hooks is not None:
                stack.enter_context(torch.autograd.graph.saved_tensors_hooks(*self.hooks))
            _push_mode(self)
            stack.callback(_pop_mode)
            yield

    def _emptied(self, value: Any, precision: torch.dtype | None, seen: dict[int, Hollow]) -> Any:
        """Replace the meta tensors among the inputs by hollow ones; one that is given twice stays one tensor."""
        if isinstance(value, Tensor):
            if id(value) not in seen:
                other = precision if value.is_floating_point() else None
                seen[id(value)] = made = like(value, self.device, other)
                if other is None and value.layout == torch.strided:
                    made.shadow = value.data  # in the same memory as other inputs, perhaps
                if self.grad and value.requires_grad:
                    made.requires_grad_()
            return seen[id(value)]
        if isinstance(value, dict):
            return {key: self._emptied(item, precision, seen) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            items = [self._emptied(item, precision, seen) for item in value]
            if hasattr(value, "_fields"):  # a named tuple takes them one by one
                return type(value)(*items)
            return items if isinstance(value, list) else tuple(items)
        return value

    def _hold(self) -> None:
        """List parameters and buffers, each under its first name, and which of them each module holds itself."""
        found: dict[int, tuple[str, Tensor, str]] = {}  # each tensor under its first name
        both = [(path, each, list(_own(each))) for path, each in self.modules.items()]
        for kind in (nn.Parameter, Tensor):
            for path, each, held in both:
                for name, tensor in held:
                    if isinstance(tensor, nn.Parameter) == (kind is nn.Parameter) and id(tensor) not in found:
                        full = f"{path}.{name}" if path else name
                        found[id(tensor)] = full, tensor, _kind(each)
        for name, tensor, holder in found.values():
            self._add_held(name, tensor, holder)
        self.own = {
            id(each): tuple([self.held_place[id(tensor)] for _, tensor in held])
            for _, each, held in both
            if held
        }
        self.path = {id(each): path for path, each in self.modules.items()}
        real = next((tensor.device for _, _, tensor in self.held if not tensor.is_meta), None)
        self.device = real or self.device

    def _add_held(self, name: str, tensor: Tensor, holder: str) -> None:
        self.held_places = None
        self.held_place[id(tensor)] = len(self.held)
        self.held.append((name, "parameter" if isinstance(tensor, nn.Parameter) else "buffer", tensor))
        self.holder.append(holder)

    def _hold_late(self) -> None:
        """Hold also the parameters that modules of the network made in this run, and that were read in it."""
        late: list[tuple[str, str, nn.Module, Tensor]] = [
            (path, name, module, tensor)
            for path, module in self.modules.items()
            for name, tensor in _own(module)
            if id(tensor) not in self.held_place and isinstance(tensor, nn.Parameter)
        ]
        for path, name, module, tensor in late:
            number = tensor.number if type(tensor) is Hollow else self.number.get(id(tensor), -1)
            if number < 0:
                continue
            storage = self.values[number].storage
            # Its initialisation is no part of the computation.
            self.ops = [
                op
                for op in self.ops
                if all(each > number or self.values[each].storage != storage for each in op.outputs)
            ]
            self._add_held(f"{path}.{name}".lstrip("."), tensor, _kind(module))
            self.held_value[self.held_place[id(tensor)]] = number

    def _adopt(self, module: nn.Module, path: str) -> None:
        """Hold the parameters of a layer that the network made on the way, as if it had had the layer before."""
        self.path[id(module)] = path
        self.alive.append(module)
        own = list(_own(module))
        for name, tensor in own:
            if id(tensor) not in self.held_place:
                number = tensor.number if type(tensor) is Hollow else self.number.pop(id(tensor), None)
                if number is None:
                    number = self.places.pop(self._place(tensor), None)
                if number is not None:  # its initialisation is no part of the computation
                    storage = self.values[number].storage
                    self.ops = [
                        op
                        for op in self.ops
                        if not op.outputs
                        or any(self.values[value].storage != storage for value in op.outputs)
                    ]
                self._add_held(f"{path}.{name}", tensor, _kind(module))
                if type(tensor) is Hollow:
                    tensor.number, tensor.shadow, tensor.base = -1, None, None
                else:
                    self.storages.pop(self._place(tensor)[0], None)
                place = self.held_place[id(tensor)]
                self.held_value[place] = self._new(tensor)
        self.own[id(module)] = tuple([self.held_place[id(tensor)] for _, tensor in own])

    def _graph(self, result: Argument) -> Graph:
        """Put together what was seen, with values numbered in the order in which they appear."""
        last = (*_refs(result), *self.saved)
        ops, reads = self._without_beside(set(last))
        if self.grad:
            self._bridge(ops)
            ops = [self._handed_out(op) for op in ops]
        new = _numbering(self.inputs, ops, reads, last)
        del reads
        # One by one, so that two of each are never held.
        if any(old != number for old, number in new.items()):
            for place, op in enumerate(ops):
                ops[place] = _renumbered(op, new)

        def all_of(numbers: Sequence[int]) -> tuple[int, ...]:
            return tuple([new[number] for number in numbers if number in new])

        storages: dict[int, int] = {}
        values = []
        for old in new:
            value = self.values[old]
            storage = storages.setdefault(value.storage, len(storages))
            dtype = self.called.get(value.dtype, value.dtype)
            now = Value(value.shape, dtype, storage, old in self.requires)
            values.append(value if now == value else now)  # mostly the same
        written = {values[value].storage for op in ops for value in op.writes}
        state, place_of = self._state(values, new, written)
        calls = self.calls
        for place, call in enumerate(calls):
            calls[place] = Call(
                call.path, call.kind, call.parent, call.layer, call.leaf,
                all_of(call.inputs), all_of(call.outputs), tuple([place_of[each] for each in call.held]),
            )  # fmt: skip
        constants = [
            Constant(new[each.value], each.data, each.digest)
            for each in self.constants.values()
            if each.value in new
        ]
        constants.sort(key=lambda constant: constant.value)
        graph = Graph(
            _kind(self.module), self.training, all_of(self.inputs), _translated(result, new),
            tuple(values), tuple(ops), tuple(state), tuple(constants), tuple(calls), all_of(self.saved), self.grad,
            tuple(self.functions),
        )  # fmt: skip
        _refuse_what_is_too_large(graph)
        return graph

    def _without_beside(self, used: set[int]) -> tuple[list[Op], list[list[int]]]:
        """Drop the operations that only autograd asked for; return the others, and what each reads."""
        ops: list[Op] = []
        all_reads: list[list[int]] = []
        while self.ops:
            op = self.ops.pop()
            if op.name in BESIDE and used.isdisjoint(op.outputs) and not op.writes:
                continue
            if op.overload in INDEXED and op.outputs[1] not in used:  # nothing reads the places of the maxima
                op = replace(op, overload=INDEXED[op.overload], outputs=op.outputs[:1])
            reads = _reads(op.arguments)
            used.update(reads)
            ops.append(op)
            all_reads.append(reads)
        ops.reverse()
        all_reads.reverse()
        return ops, all_reads

    def _state(
        self, values: Sequence[Value], new: dict[int, int], written: set[int]
    ) -> tuple[list[Held], list[int]]:
        """Parameters and buffers in the order of first use, and the new place of each registered one."""
        state = []
        for place, (name, kind, tensor) in enumerate(self.held):
            value = new.get(self.held_value.get(place, -1))
            if value is None:
                shape, dtype = tuple(tensor.shape), _dtype(tensor)
            else:  # as it was when the run first read it
                shape, dtype = values[value].shape, values[value].dtype
            required = self.required[place] if self.required else tensor.requires_grad
            state.append(
                Held(
                    name, kind, self.sizes.setdefault(shape, shape), self.called.get(dtype, dtype), required,
                    value, value is not None and values[value].storage in written, place, self.holder[place],
                )
            )  # fmt: skip
        state.sort(key=lambda held: (held.value is None, held.value or 0, held.place))
        place_of = [0] * len(state)
        for now, held in enumerate(state):
            place_of[held.place] = now
        return state, place_of

    # ---------------------------------------------------------------------------------------------- modules

    def _new_call(self, module: nn.Module, path: str, parent: int | None, inputs: tuple[int, ...]) -> Call:
        leaf = not module._modules
        layer = leaf and type(module).__module__.startswith("torch.nn.modules")
        return Call(path, _kind(module), parent, layer, leaf, inputs, (), self.own.get(id(module), ()))

    def _enter(self, module: nn.Module, inputs: Any) -> None:
        """Open the call of a module that begins; a hook."""
        if threading.get_ident() != self.thread:
            return  # another thread runs modules of its own
        self.begun += 1
        if module is self.module and len(self.calls) == 1:
            self.calls[0] = replace(self.calls[0], inputs=self._found(inputs))
            return
        parent = self.at
        path = self.path.get(id(module))
        if path is None:  # made on the way, or hidden in a plain list
            path = module_at(self.module, module)
            if path is None:
                path = f"{self.calls[parent].path}.{_kind(module)}".lstrip(".")
            else:
                self._adopt(module, path)
        self.calls.append(self._new_call(module, path, parent, self._found(inputs)))
        self.at = len(self.calls) - 1
        self.stack.append(_Work(self.at, module, sys.exception()))

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        """Close the call of a module that ends, or failed; a hook. What it returns replaces the module's output."""
        if threading.get_ident() != self.thread:
            if id(module) in self.path:
                for tensor in tensors_in(output):
                    self.alive.append(tensor)
                    self.elsewhere[id(tensor)] = self.path[id(module)]
            return None
        while len(self.stack) > 1 and self.stack[-1].module is not module:
            self._drop(self.stack[-1].place)  # it ended in an error, without calling its hook
        work = self.stack[-1]
        if work.module is not module or (work.place == 0 and output is None):
            return None
        call = self.calls[work.place]
        error = sys.exception()
        if output is None and error is not None and error is not work.handled:
            if self.stop is None or self.stop.error is not error:
                name, arguments = self._asked(module, inputs)
                self.stop = _Stop(error, call, name, arguments)
            self._drop(work.place)
            return None
        found = self._found(output)
        returned = None
        if call.leaf and isinstance(output, Tensor) and found[0] in call.inputs:
            # It passed its input on. An alias records that, for readers that follow the way through the modules.
            returned = aten.alias.default(output)
            found = (self._find(returned),)
        self.calls[work.place] = Call(
            call.path, call.kind, call.parent, call.layer, call.leaf, call.inputs, found, call.held
        )  # (not by `replace`, which takes longer)
        if len(self.stack) > 1:
            self.stack.pop()
            self.at = self.stack[-1].place
        return returned

    def _asked(self, module: nn.Module, inputs: Any) -> tuple[str, tuple[tuple[str, Argument], ...]]:
        """Name the batch norm that torch refused before it became an operation, because sizes do not fit."""
        if not isinstance(module, nn.modules.batchnorm._NormBase) or not isinstance(inputs[0], Tensor):
            return "", ()
        own = {name: tensor for name, tensor in _own(module) if tensor.dim()}
        return "batch_norm", tuple(
            [(key, Ref(self._find(each))) for key, each in {"input": inputs[0], **own}.items()]
        )

    def _drop(self, place: int) -> None:
        """Forget the call of a module that failed, if the network goes on; its operations pass to its caller."""
        while len(self.stack) > 1 and self.stack[-1].place >= place:
            self.stack.pop()
        self.at = self.stack[-1].place
        if not place:
            return
        del self.calls[place:]
        for index, op in enumerate(self.ops):
            if op.call >= place:
                self.ops[index] = replace(op, call=self.at)

    # ------------------------------------------------------------------------------------------- operations

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Carry out an operation, and write it down."""
        if self.over:  # of a thread that outlives the run
            return func(*args, **(kwargs or {}))
        with self.lock:
            return self._operation(func, args, kwargs or {}, sys._getframe(1))

    def _operation(self, func: Any, args: Any, kwargs: Any, frame: FrameType) -> Any:
        if func is EMPTY and args[0] == [0]:
            return func(*args, **kwargs)  # the empty tensor that batch norm makes for other devices
        form = _form(func)
        given = _tensors_of((*args, *kwargs.values()))
        if self.empty and any(
            [type(each) is not Hollow and self._assigned_number(each) is not None for each in given]
        ):
            args, kwargs = self._assigned(args), self._assigned(kwargs)
            given = _tensors_of((*args, *kwargs.values()))
        if form.parts is not None:
            with self:
                return form.parts(*args, **kwargs)
        arguments = self._arguments(form, args, kwargs)
        try:
            result = self._carry_out(form, given, args, kwargs)
        except Exception as error:
            self.stop = _Stop(error, self.calls[self.at], form.asked, arguments, form)
            raise
        site = _site(frame)
        if form.packet is aten.detach and self.grad:
            self.bound = _bound(frame)
        if form.packet is aten.detach and site == self.site and self.made_anew and self.ops:
            # Within the call that makes a new tensor (torch.zeros, torch.rand), torch may ask for a second handle of
            # it. Whether it does depends on who else holds the tensor, so that is no part of the computation. What a
            # network detaches in a loop over functions comes from one place in the code as well, and is.
            (source,) = _refs(arguments)
            if source in self.ops[-1].outputs:
                return self._also(result, source)
        self.made_anew = form.factory
        self.site = site
        name = form.name
        writes: list[int] = []
        for written in form.written:
            writes.extend(_refs(dict(arguments).get(written)))
        reads = _reads(arguments)
        outputs = []
        now = len(self.ops)
        depends = not self.dependent.isdisjoint(reads)
        for tensor in (result,) if isinstance(result, Tensor) else tensors_in(result):
            number = self._new(tensor, mutated=bool(writes))
            outputs.append(number)
            if depends:
                self.dependent.add(number)
        if name == "batch_norm":
            named = dict(arguments)
            if named.get(
                "training", named.get("train", "legit" not in form.asked and "update" in form.asked)
            ):
                writes += [v for key in ("running_mean", "running_var") for v in _refs(named.get(key))]
        for value in writes:
            made = outputs[0] if outputs and form.mutable else value
            self.written[self.values[value].storage] = now, made
        if self.grad and torch._C._autograd._top_saved_tensors_default_hooks(False) != self.hooks:
            self.functions["checkpoint"] = None
        if outputs or writes:
            op = Op(
                name, form.overload, arguments, tuple(outputs), tuple(writes), form.random,
                self.at, _line() if self.lines else None,
            )  # fmt: skip
            self.ops.append(op)
        return result

    def _carry_out(self, form: _Form, given: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Run the operation: on real tensors, or for hollow results where it reads a hollow tensor or a weight."""
        func, packet = form.func, form.packet
        if not self.meta:
            return func(*args, **kwargs)
        tracing = sys.modules.get("torch.fx.experimental.proxy_tensor")
        if tracing is not None and getattr(tracing, "_CURRENT_MAKE_FX_TRACER", None) is not None:
            # torch.func.linearize: what is traced runs on copies that hide products
            raise NoContents(TRANSFORMED)
        if not any(type(each) is Hollow or self._is_held(each) and not _counts(each) for each in given):
            return self._for_real(func, given, args, kwargs)
        if packet in VIEWED and not kwargs:
            if (laid := VIEWED[packet](args)) is not None:
                return view_of(args[0] if type(args[0]) is Hollow else self._twin(args[0]), *laid)
        # A rule for shapes only reads sizes, so weights need no hollow tensors.
        if form.shape is not None and not kwargs:
            found = _shaped(form, args, given, self.device)
            if found is not None:
                return found
        hollows = [each if type(each) is Hollow else self._twin(each) for each in given]
        if form.numbers:
            return self._number_of(func, hollows)
        back = {}
        for each in hollows:
            plain = shadow(each)
            back[id(plain)] = each
            storage = memory_of(plain)
            if storage not in self.storages:
                self.storages[storage] = self.values[each.number].storage
                self.alive.append(plain)
        _check_products(packet, hollows)
        _check_arguments(form, args, kwargs, hollows)
        try:
            result = func(*self._on_meta(args, shadow), **self._on_meta(kwargs, shadow))
        except (NotImplementedError, RuntimeError) as error:
            text = str(error)
            if func.namespace == "prims":  # derivatives going forward: torch's rules take numbers for these
                raise NoContents(TRANSFORMED) from error
            if "nested" in str(packet):
                raise Refusal(NESTED) from error
            if isinstance(error, NotImplementedError) or re.search(r"\b[Mm]eta\b|fake|data-dependent", text):
                raise NoContents(str(packet)) from error
            raise
        if packet in GIVEN:
            result = GIVEN[packet](args, result)
        if torch.Tag.inplace_view in func.tags:  # a shape changes, and that of the hollow tensor must follow
            with torch._C._DisableTorchDispatch():
                func(*self._on_meta(args, lambda each: each), **self._on_meta(kwargs, lambda each: each))
        return self._hollowed(result, back)

    def _for_real(self, func: Any, given: list[Tensor], args: Any, kwargs: Any) -> Any:
        """Run an operation on tensors that the network made, or holds besides its weights; compute small ones."""
        foreign = {self._place(each)[0] for each in given} - self.made
        if foreign and func._schema.is_mutable and self.untouched is not None:
            named = zip(func._schema.arguments, args, strict=False)
            for argument, value in (
                *named,
                *((each, kwargs.get(each.name)) for each in func._schema.arguments),
            ):
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for tensor in tensors_in(value):
                        self.untouched.before_writing(tensor)
        if not given and func is not EMPTY and any(each.name == "device" for each in func._schema.arguments):
            result = func(*args, **{**kwargs, "device": torch.device("meta")})
            if all(tensor.numel() > LARGEST_CONSTANT for tensor in tensors_in(result)):
                return self._hollowed(result, {})
            device = kwargs.get("device")
            if device is not None and device.type == "meta":
                return self._hollowed(result, {})
        result = func(*args, **kwargs)
        self.made.update({self._place(tensor)[0] for tensor in tensors_in(result)} - foreign)
        return result

    def _hollowed(self, result: Any, back: dict[int, Hollow]) -> Any:
        """Turn results of the meta device into hollow tensors; a result that is an argument stays that argument."""
        if isinstance(result, Tensor):
            found = back.get(id(result))
            if found is None:
                found = like(result, self.device)
                found.shadow = result
            return found
        if isinstance(result, (tuple, list)):
            return type(result)([self._hollowed(item, back) for item in result])
        return result

    def _number_of(self, func: Any, hollows: list[Hollow]) -> Any:
        """The number in a tensor of the network's own that the run has not changed."""
        (only, *others) = hollows
        real = only.origin
        if others or real is None or real.is_meta or self.values[only.number].storage in self.written:
            raise NoContents(f"{'item()' if 'scalar' in str(func) else func}")
        with torch.utils._python_dispatch._disable_current_modes():
            return func(real)

    def _stopped(self, error: Exception) -> RecordingError:
        """The error that says where the run stopped, for one that the run raised."""
        stop = self.stop
        if stop is None or stop.error is not error:
            return RecordingError(str(error), self.calls[self.at])

        def shown(value: Argument) -> Any:
            if isinstance(value, Ref):
                return self.values[value.value]
            return tuple(map(shown, value)) if isinstance(value, tuple) else value

        data = {key for key, value in stop.arguments if not self.dependent.isdisjoint(_refs(value))}
        named = {key: shown(value) for key, value in stop.arguments}
        name = NAMES.get(stop.name, stop.name).strip("_")
        return RecordingError(str(error), stop.call, name, named, frozenset(data))

    def stopped_graph(self) -> Graph | None:
        """The graph of a run that stopped, if it did at an operation: see `record_until`."""
        stop = self.stop
        reads = [] if stop is None else _reads(stop.arguments)
        if stop is None or stop.form is None or not reads:
            return None
        first = next((number for number in reads if number in self.dependent), reads[0])
        self.values.append(replace(self.values[first], storage=self._storage(("not there",))))
        result = len(self.values) - 1
        if not self.requires.isdisjoint(reads):
            self.requires.add(result)
        self.ops.append(Op(stop.form.name, stop.form.overload, stop.arguments, (result,)))
        return self._graph(Ref(result))

    def _told(self, error: Exception) -> Exception:
        """The error itself, or a sentence in its place where torch's message would speak of our internals."""
        call = self.stop.call if self.stop is not None and self.stop.error is error else self.calls[self.at]
        layer = f"{call.path!r} ({call.kind})" if call.path else f"the network ({call.kind})"
        real = "record it with real tensors: casestudies.graph.record(network, images)"
        if isinstance(error, NoContents):
            if str(error) in (EARLIER, ELSEWHERE):
                return NoContents(f"{layer}: {error}")
            if str(error) == TRANSFORMED:
                return NoContents(f"{layer} {TRANSFORMED}; {real}")
            kind = next((kind for word, kind in WITHOUT_RULES.items() if word in str(error)), None)
            if kind is not None:
                return NoContents(
                    f"{layer} uses {kind} ({error}), which torch cannot follow without contents; pass the network "
                    f"without them, or {real}"
                )
            return NoContents(
                f"{layer} needs the numbers of a tensor (for {error}), but the network runs without contents here, "
                f"so that nothing is computed; let it decide by shapes alone, or {real}"
            )
        if "support saved tensor hooks" in str(error):
            return Refusal(
                f"{layer} uses a transform of torch.func, such as grad or vjp, beside which torch does not say what "
                "autograd saves; record it without gradients"
            )
        if "_Recorder object" in str(error):
            operator = re.search(r"HigherOrderOperator (\w+)", str(error))
            return Refusal(
                f"{layer} uses torch's {operator[1] if operator else 'operator'}, which takes functions and cannot "
                "be recorded; write it with Python's own if, for and plain operations"
            )
        return error

    def _arguments(self, form: _Form, args: Any, kwargs: Any) -> tuple[tuple[str, Argument], ...]:
        """Name the arguments of an operation, and leave out those that have their default."""
        found: list[tuple[str, Argument]] = []
        for (name, default), value in zip(form.arguments, args, strict=False):
            if type(value) is Hollow:  # the most frequent case first
                found.append((name, Ref(self._find(value))))
            elif name not in LEFT_OUT and (default is REQUIRED or not _same(value, default)):
                found.append((name, self._argument(value)))
        for name, value in kwargs.items():
            if name not in LEFT_OUT and value is not None:
                found.append((name, self._argument(value)))
        return tuple(found)

    def _argument(self, value: Any) -> Argument:
        """Turn an argument into plain data; anything unknown becomes the name of its class."""
        kind = type(value)
        if kind is int or kind is bool or value is None:
            return value
        if isinstance(value, Tensor):
            return Ref(self._find(value))
        if isinstance(value, float):
            return value if value == value else NAN
        if isinstance(value, (tuple, list)):
            if all([type(item) is int for item in value]):  # sizes
                sizes = tuple(value)
                return self.sizes.setdefault(sizes, sizes)
            return tuple([self._argument(item) for item in value])
        if isinstance(value, (int, complex, str)):
            return value
        if isinstance(value, (torch.dtype, torch.memory_format)):
            return str(value)
        return type(value).__name__

    def _result(self, value: Any, where: str, depth: int) -> Argument:
        """Turn what the network returned into plain data: any container of tensors becomes a tuple of them.

        Raises ValueError, with the place `where`, for a set, an iterator, or what is nested too deep.
        """
        if depth > DEEPEST - 2:
            raise Refusal(f"{where} is nested more than {DEEPEST - 2} deep; return a tuple of tensors")
        if inspect.isawaitable(value) or inspect.isasyncgen(value):
            if inspect.iscoroutine(value):
                value.close()  # else Python warns that nobody awaited it
            raise Refusal(
                f"{where} is to be awaited ({type(value).__name__}), so that nothing has run yet; write forward "
                "with def, not async def"
            )
        if isinstance(value, (Tensor, bool, float, complex)) or value is None:
            return self._argument(value)
        if isinstance(value, int):
            return int(value) if abs(value) < 2**64 else str(value)
        if isinstance(value, str):
            return (
                value
                if len(value) <= LONGEST_TEXT
                else f"{value[:80]} {_digest(value.encode('utf-8', 'surrogatepass'))}"
            )
        items: Any = None
        if isinstance(value, dict):
            items = value.values()
        elif isinstance(value, (tuple, list, collections.deque)):
            items = value
        elif isinstance(value, (set, frozenset)) or hasattr(value, "__next__"):
            kind = "a set, which has no order" if isinstance(value, (set, frozenset)) else "an iterator"
            raise Refusal(f"{where} is {kind} ({type(value).__name__}); return a tuple of tensors")
        elif not isinstance(value, (nn.Module, type)) and not callable(value):
            items = _attributes(value)
        if items is None or not hasattr(value, "__len__") and not _holds_tensor(value, 0):
            return self._argument(value)
        return tuple([self._result(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(items)])

    # ----------------------------------------------------------------------------------------------- tensors

    def _place(self, tensor: Tensor) -> tuple[Any, ...]:
        """Where a tensor lies: storage, offset, shape, strides, dtype; equal for two handles of one tensor."""
        if type(tensor) is Hollow:
            return None, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype
        storage = memory_of(tensor)
        if storage is None:
            return (id(tensor),)
        return storage, tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype

    def _storage(self, key: Any) -> int:
        """Look up the number of a piece of memory, or give it one."""
        found = self.storages.get(key)
        if found is None:
            found = self.storages[key] = self.storage_count
            self.storage_count += 1
        return found

    def _new(self, tensor: Tensor, mutated: bool = False) -> int:
        """Number a tensor that an operation returned as a new value."""
        number = len(self.values)
        if type(tensor) is Hollow:
            if tensor.number >= 0:
                storage = self.values[tensor.number].storage
            elif tensor.shadow is not None:
                self.alive.append(tensor.shadow)
                storage = self._storage(memory_of(tensor.shadow))
            else:
                storage = self.storage_count
                self.storage_count += 1
            shape = tuple(tensor.shape)
            tensor.number, tensor.owner = number, self.owner
            self.empty[memory_of(tensor)] = number
            if tensor.origin is not None:
                self.number[id(tensor.origin)] = number
            if mutated:
                self.where[number] = self._place(tensor)
        else:
            if tensor.is_nested:
                raise Refusal(NESTED)
            shape = tuple(tensor.shape)
            held = self.held_place.get(id(tensor))
            if held is not None and held not in self.held_value and tensor.numel():  # where it will be known
                storage = self._storage(memory_of(tensor) or id(tensor))
            else:
                place = self._place(tensor)
                storage = self._storage(place[0])
                self.number[id(tensor)] = self.places[place] = number
                if mutated:
                    self.where[number] = place
            if id(tensor) in self.twins:
                self.twins[id(tensor)].number = number
            self.alive.append(tensor)
        self.values.append(Value(self.sizes.setdefault(shape, shape), _dtype(tensor), storage))
        self.born.append(len(self.ops))
        return number

    def _also(self, tensor: Tensor, number: int) -> Tensor:
        """Register a tensor as another handle of a known value."""
        if type(tensor) is Hollow:
            tensor.number = self.empty[memory_of(tensor)] = number
            tensor.owner = self.owner
            self.alive.append(tensor.shadow)
        else:
            self.number[id(tensor)] = number
            self.alive.append(tensor)
        return tensor

    def _known(self, tensor: Tensor) -> int:
        """Look up the value that a tensor is, by its memory; number it as a new one if nothing made it."""
        if type(tensor) is Hollow and tensor.number >= 0:
            if tensor.owner is not self.owner:  # its number says nothing here
                raise NoContents(EARLIER if tensor.owner is not None and tensor.owner.over else ELSEWHERE)
            return tensor.number
        number = self._assigned_number(tensor) if self.empty else None
        if number is not None:
            return number
        number = self.number.get(id(tensor))
        if number is not None:
            return number
        place = self.held_place.get(id(tensor))
        if place is not None:
            found = self.held_value.get(place)
            if found is None:
                found = self.held_value[place] = self._new(tensor)
            return found
        number = self.places.get(self._place(tensor))
        if number is None:
            if is_functorch_wrapped_tensor(tensor):  # operations see what is in it
                return self._known(get_unwrapped(tensor))
            if self._is_held(tensor):  # such as weight.data
                return self._known(self.held[self._is_held(tensor) - 1][2])
            if id(tensor) in self.elsewhere:
                raise Refusal(
                    f"{self.elsewhere[id(tensor)]!r} runs in a thread of its own, where its operations are not seen; "
                    "run it in the thread that runs the network"
                )
            number = self._new(tensor)
            self.constants[number] = _constant(number, tensor)
        else:
            self.number[id(tensor)] = number
            self.alive.append(tensor)
        return number

    def _find(self, tensor: Tensor) -> int:
        """Look up the value that a tensor is now, after what was written to its memory."""
        number = self._known(tensor)
        if self.written:
            when = self.written.get(self.values[number].storage)
            # Its memory has changed since, through another view, and what is read now is the change.
            if (
                when is not None
                and when[0] >= self.born[number]
                and when[1] != number
                and _overlap(self.where.get(when[1]), self._place(tensor))
            ):
                if self.grad and tensor.requires_grad:
                    self._requires(tensor, number)
                old, number = number, self._new(tensor)
                arguments = (("self", Ref(old)), ("by", Ref(when[1])))
                self.ops.append(Op("changed", "", arguments, (number,), call=self.at))
                if when[1] in self.dependent or old in self.dependent:
                    self.dependent.add(number)
        if self.grad and tensor.requires_grad:
            self._requires(tensor, number)
        return number

    def _requires(self, tensor: Tensor, number: int) -> None:
        """Note that a gradient flows through a value, and whose backward pass carries it."""
        if number in self.requires:
            return
        self.requires.add(number)
        made_by = tensor.grad_fn
        if made_by is not None:
            self.grown[number] = own = isinstance(made_by, torch.autograd.function.BackwardCFunction)
            if own:
                name = made_by.name().removesuffix("Backward")
                self.functions["checkpoint" if name == "CheckpointFunction" else name[:LONGEST_NAME]] = None

    def _bridge(self, ops: Sequence[Op]) -> None:
        """Let gradients flow through what was a single step to autograd.

        The operations inside a function with a backward pass of its own, and those that torch makes of one beneath
        autograd, run without gradients; only the result requires one.
        """
        maker = {value: op for op in ops for value in op.outputs}
        for op in ops:
            made = [self.grown[value] for value in op.outputs if value in self.grown]
            if not made or not any(made) and not self.requires.isdisjoint(op.reads):
                continue
            path, todo = set(), list(op.reads)
            while todo:
                value = todo.pop()
                if value not in path and value not in self.requires and value in maker:
                    path.add(value)
                    todo.extend(maker[value].reads)
            for each in ops:  # only what lies between a value that requires a gradient and the result
                if not path.isdisjoint(each.outputs) and not self.requires.isdisjoint(each.reads):
                    self.requires.update(
                        value for value in each.outputs if value in path and self._has_gradient(value)
                    )

    def _handed_out(self, op: Op) -> Op:
        """A tensor that autograd kept and hands out again, to a backward pass within the forward pass.

        Torch detaches it and then ties it to what made it, as nothing else that is detached is tied.
        """
        if op.name == "detach" and op.outputs and op.outputs[0] in self.grown:
            return replace(op, name="alias", overload="alias.default")
        return op

    def _has_gradient(self, value: int) -> bool:
        """Whether a value is of a dtype that can have a gradient."""
        return self.values[value].dtype.startswith(("float", "bfloat", "complex"))

    def _found(self, value: Any) -> tuple[int, ...]:
        """The values that the tensors in an input or output are."""
        if type(value) is tuple and len(value) == 1:
            value = value[0]
        with self.lock:
            if isinstance(value, Tensor):
                return (self._find(value),)
            return tuple([self._find(tensor) for tensor in tensors_in(value)])

    def _assigned(self, value: Any) -> Any:
        """Replace real tensors to which the network assigned one without contents (weight.data = ...) by that one."""
        kind = type(value)
        if kind is Hollow or kind is int or value is None:
            return value
        if isinstance(value, Tensor):
            number = self._assigned_number(value)
            if number is None:
                return value
            made = like(value, self.device)
            made.number, made.owner = number, self.owner
            return made.requires_grad_(value.requires_grad)
        if kind in (tuple, list):
            return kind([self._assigned(item) for item in value])
        if kind is dict:
            return {key: self._assigned(item) for key, item in value.items()} if value else value
        return value

    def _assigned_number(self, tensor: Tensor) -> int | None:
        """The value of the tensor without contents whose memory a real one was given; None where that is its own."""
        number = self.empty.get(memory_of(tensor))
        if number is None or tensor.is_meta or tensor._is_zerotensor() or is_functorch_wrapped_tensor(tensor):
            return None  # these have no memory that torch shows
        try:
            tensor.untyped_storage().data_ptr()
        except RuntimeError:
            return number
        return None  # a tensor made since lies where one without contents was: this one has numbers

    def _is_held(self, tensor: Tensor) -> int:
        """The place of the parameter or buffer that a tensor is (weight.data too), plus 1; 0 for any other tensor."""
        found = self.held_place.get(id(tensor))
        if found is not None:
            return found + 1
        if type(tensor) is Hollow:
            return 0
        if self.held_places is None:
            self.held_places = {
                self._place(each): place
                for place, (_, _, each) in enumerate(self.held)
                if type(each) is not Hollow and each.numel()
            }
        return self.held_places.get(self._place(tensor), -1) + 1

    def _twin(self, tensor: Tensor) -> Hollow:
        """The hollow tensor that stands for a real one, which the network holds or makes."""
        found = self.twins.get(id(tensor))
        if found is not None:
            return found
        number, place = self._known(tensor), self._is_held(tensor)
        held = self.held[place - 1][2] if place else tensor
        if held is not tensor:  # such as weight.data
            return held if type(held) is Hollow else self._twin(held)
        found = self.twins[id(tensor)] = like(tensor, self.device)
        found.origin, found.number, found.owner = tensor, number, self.owner
        self.alive.append(tensor)
        return found

    def _on_meta(self, value: Any, how: Callable[[Hollow], Any]) -> Any:
        """Replace each tensor among the arguments by what `how` makes of its hollow one."""
        if isinstance(value, Tensor):
            return how(value if type(value) is Hollow else self._twin(value))
        if isinstance(value, (tuple, list)):
            if value and type(value[0]) is int:
                return value
            return type(value)([self._on_meta(item, how) for item in value])
        if isinstance(value, dict):
            return {key: self._on_meta(item, how) for key, item in value.items()}
        if isinstance(value, torch.device):
            return torch.device("meta")
        return value

    def _pack(self, tensor: Tensor) -> Tensor:
        """Note that autograd keeps a tensor for the backward pass."""
        with self.lock, torch.no_grad():
            # A parameter is kept as itself, also where the network assigned it other numbers.
            place = self.held_place.get(id(tensor))
            number = self.held_value[place] if place in self.held_value else self._known(tensor)
            # Torch hands over a second handle, and for a hollow tensor that shows up as a detach within the same
            # call: drop it. What the network itself detached was another call, and stays. In a loop over functions
            # that call has the same place in the code, but names stand for other things.
            if type(tensor) is Hollow and self.ops and self.ops[-1].name == "detach":
                frame = sys._getframe(1)
                same = self.site == _site(frame) and self.bound == _bound(frame)
                if self.ops[-1].outputs == (number,) and same:
                    (number,) = self.ops.pop().reads
        self.saved.append(number)
        # What an operation gives keeps the operation, which would keep it: a circle that is never freed.
        if type(tensor) is Hollow:
            kept = like(tensor, self.device)
            kept.number, kept.shadow, kept.base = number, tensor.shadow, tensor.base
            kept.owner = self.owner
            return kept
        if tensor.grad_fn is None:
            return tensor
        with torch._C._DisableTorchDispatch():
            return tensor.detach()


def _counts(tensor: Tensor) -> bool:
    """Whether a tensor holds a few whole numbers, such as how many batches a batch norm has seen."""
    return not (
        tensor.is_floating_point()
        or tensor.is_complex()
        or tensor.is_meta
        or tensor.numel() > LARGEST_CONSTANT
    )


def _site(frame: FrameType) -> tuple[Any, ...]:
    """What tells the call at work in a frame from others. (The frame itself, because its id could be reused.)"""
    return frame, frame.f_lasti


def _bound(frame: FrameType) -> dict[str, int]:
    """What the names of a frame stand for, by ids."""
    return {name: id(value) for name, value in frame.f_locals.items()}


def _overlap(one: tuple[Any, ...] | None, other: tuple[Any, ...]) -> bool:
    """Whether two views of one storage may share numbers. Halves of a tensor, say, do not."""
    if one is None or len(one) < 5 or one[3] != other[3]:
        return True
    sides = sorted(zip(one[3], one[2], other[2], strict=True), reverse=True)

    def meets(delta: int, place: int) -> bool:
        if place == len(sides):
            return delta == 0
        stride, mine, theirs = sides[place]
        if not stride:
            return meets(delta, place + 1)
        steps = delta // stride
        near = (each for each in (steps, steps + 1) if -theirs < each < mine)
        return any(meets(delta - each * stride, place + 1) for each in near)

    return meets(other[1] - one[1], 0)


@contextmanager
def _switched_off(asked: Callable[[], bool], set_to: Callable[[bool], None]) -> Iterator[None]:
    before = asked()
    set_to(False)
    try:
        yield
    finally:
        set_to(before)


def _same(value: Any, default: Any) -> bool:
    """Whether an argument has its default; one number serves every side of a window."""
    if type(value) is type(default):
        return value == default
    return isinstance(value, list) and isinstance(default, int) and all(item == default for item in value)


COMPOSITE = torch._C.DispatchKey.CompositeImplicitAutograd  # of what torch makes of other operations
REQUIRED = object()  # the default of an argument that has none


class _Form(NamedTuple):
    """What torch and we know about one of torch's operations; looked up once, because each look-up takes time."""

    func: Any
    packet: Any
    asked: str  # its name in torch
    name: str  # and in a graph
    overload: str
    arguments: tuple[tuple[str, Any], ...]  # each with its default
    mutable: bool
    written: tuple[str, ...]  # arguments that it changes
    random: bool
    parts: Callable[..., Any] | None  # runs the operations that torch makes it of, as which it is recorded
    numbers: bool  # it reads the numbers of a tensor into Python
    shape: Callable[[Any], Any] | None  # our rule for its results
    ordered: bool  # they have the memory layout of its input
    free: bool  # that rule holds for every memory layout of the arguments
    factory: bool  # it makes a tensor without any other's numbers


_FORMS: dict[int, _Form] = {}


def _form(func: Any) -> _Form:
    """Look up what is known about one of torch's operations."""
    found = _FORMS.get(id(func))
    if found is None or found.func is not func:
        schema, packet = func._schema, func.overloadpacket
        asked = packet.__name__
        name = asked.rstrip("_") if schema.is_mutable else asked
        shape = SHAPES.get(packet)
        found = _FORMS[id(func)] = _Form(
            func, packet, asked, NAMES.get(name, name).lstrip("_"),
            f"{'' if func.namespace == 'aten' else f'{func.namespace}::'}{asked}.{func._overloadname}",
            tuple([(a.name, a.default_value if a.has_default_value() else REQUIRED) for a in schema.arguments]),
            schema.is_mutable,
            tuple([a.name for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]),
            torch.Tag.nondeterministic_seeded in func.tags,
            _parts(func, shape),
            packet in NUMBERS, shape, packet in ORDERED, packet in FREE,
            packet is not aten._to_copy and any(a.name == "pin_memory" for a in schema.arguments),
        )  # fmt: skip
    return found


def _parts(func: Any, shape: Any) -> Callable[..., Any] | None:
    """What runs the operations that torch makes an operation of; None for one that torch does not take apart."""
    if torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), COMPOSITE):
        return partial(func._op_dk, COMPOSITE)
    # In Python, as for upsampling.
    return func.decompose if shape is None and COMPOSITE in func.py_kernels else None


def function_of(overload: str) -> Any:
    """Torch's function of the name that an operation has as `overload`; None where torch has none."""
    name, _, kind = overload.partition(".")
    space, _, packet = name.rpartition("::")
    found = getattr(getattr(getattr(torch.ops, space or "aten", None), packet, None), kind or "default", None)
    return found if isinstance(found, torch._ops.OpOverload) else None


def _dtype(tensor: Tensor) -> str:
    """The dtype of a tensor as it is written down, such as "float32"."""
    return _DTYPES.get(tensor.dtype) or str(tensor.dtype).removeprefix("torch.")


def _tensors_of(args: Any) -> list[Tensor]:
    """The tensors among arguments, quickly."""
    found = []
    for value in args:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, (tuple, list)) and value and type(value[0]) is not int:
            found.extend(tensors_in(value))
    return found


def _digest(data: Any) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def _constant(number: int, tensor: Tensor) -> Constant:
    """Write down a tensor with its numbers, or with a digest of them if they are many."""
    if tensor.is_meta or type(tensor) is Hollow or tensor.layout != torch.strided:
        return Constant(number, None)
    with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
        plain = tensor.detach().as_subclass(Tensor).cpu().resolve_conj().resolve_neg()
        if plain._is_zerotensor():  # a derivative that is zero, for which torch allocates no memory
            plain = torch.zeros(plain.shape, dtype=plain.dtype)
        if tensor.is_quantized:
            plain = plain.int_repr()
        if tensor.numel() <= LARGEST_CONSTANT and str(tensor.dtype).removeprefix("torch.") in LISTED:
            return Constant(
                number, tuple([NAN if each != each else each for each in plain.flatten().tolist()])
            )
        raw = plain.contiguous().flatten().view(torch.uint8)
        return Constant(number, None, _digest(raw.numpy().tobytes() if _has_numpy() else bytes(raw.tolist())))


@cache
def _has_numpy() -> bool:
    try:
        torch.zeros(1).numpy()
    except RuntimeError:
        return False
    return True


def _attributes(value: Any) -> list[Any] | None:
    """List what an object holds in its attributes, such as an output class of a library; None for nothing."""
    found = [item for _, item in slots_of(value)]
    found.extend(getattr(value, "__dict__", {}).values())
    return found or None


def _holds_tensor(value: Any, depth: int) -> bool:
    if isinstance(value, Tensor):
        return True
    if depth > DEEPEST or isinstance(value, (nn.Module, type, str, int, float)):
        return False
    if isinstance(value, dict):
        items: Any = value.values()
    elif isinstance(value, (tuple, list, set, frozenset, collections.deque)):
        items = value
    else:
        items = _attributes(value) or ()
    return any(_holds_tensor(item, depth + 1) for item in items)


def _refuse_what_is_too_large(graph: Graph) -> None:
    """Refuse what could not be written as JSON and read back."""
    for what, count in {
        "values": len(graph.values), "operations": len(graph.ops), "calls of modules": len(graph.calls),
        "parameters and buffers": len(graph.state), "saved tensors": len(graph.saved),
    }.items():  # fmt: skip
        if count > MOST:
            raise Refusal(f"the network has {count:,} {what}, and a graph holds at most {MOST:,}")
    names = (*(held.name for held in graph.state), *(call.path for call in graph.calls))
    longest = max(names, key=len, default="")
    if len(longest) > LONGEST_TEXT:
        raise Refusal(
            f"a path of {len(longest):,} characters; expected at most {LONGEST_TEXT:,}: {longest[:60]}..."
        )


def _line() -> int | None:
    """The line of the code, outside of Python's library, torch and this file, that asked for the operation."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        name = frame.f_code.co_filename
        if not name.startswith(("<frozen", *_LIBRARY)) and name != _HERE:
            return frame.f_lineno
        frame = frame.f_back
    return None


NESTED = "the network makes a nested tensor, whose parts differ in shape; pad them to one shape"
# Kinds of tensors for which torch has few rules without contents, by a word in the names of their operations.
WITHOUT_RULES = {
    "pack_padded": "packed sequences",
    "quantize": "quantized numbers",
    "sparse": "sparse tensors",
    "mkldnn": "tensors in the layout of MKL-DNN",
}
# Operations that read the numbers of tensors into Python.
NUMBERS = {aten._local_scalar_dense, aten.equal, aten.is_nonzero}
EMPTY = aten.empty.memory_format  # quick, so that it is left as it is
# Products, whose results are contiguous whatever the layout of their factors.
PRODUCTS = {aten.mm, aten.addmm, aten.bmm}
ORDERED = {aten.convolution, aten.native_batch_norm}  # results have the layout of their input
FREE = PRODUCTS | ORDERED


def _shaped(form: _Form, args: Any, tensors: list[Tensor], device: torch.device) -> Any:
    """Work out the results of a common operation by our rules for shapes; None leaves it to torch."""
    packet, dtype = form.packet, tensors[0].dtype
    assert form.shape is not None
    if packet is aten.native_batch_norm:
        if not dtype.is_floating_point or not all(_goes_with(dtype, each.dtype) for each in tensors):
            return None
    elif packet is not aten.index and any(each.dtype != dtype for each in tensors):
        return None
    last = form.ordered and any(_channels_last(each) for each in tensors[:2])
    if not form.free and not all(each.is_contiguous() for each in tensors):
        return None  # they have another layout, and so may the result
    if any(isinstance(value, complex) for value in args):
        return None
    found = form.shape(args)
    if isinstance(found, list):
        return tuple([_laid(shape, d or dtype, device, last) for shape, d in found])
    return None if found is None else _laid(found, dtype, device, last)


def _laid(shape: Any, dtype: torch.dtype, device: torch.device, channels_last: bool) -> Hollow:
    if channels_last and len(shape) in (4, 5):
        order = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        return like(torch.empty(shape, dtype=dtype, device="meta", memory_format=order), device)
    return hollow(shape, dtype, device)


def _channels_last(tensor: Tensor) -> bool:
    if tensor.is_contiguous() or tensor.dim() not in (4, 5):
        return False
    order = torch.channels_last if tensor.dim() == 4 else torch.channels_last_3d
    return tensor.is_contiguous(memory_format=order)


def _check_products(packet: Any, tensors: list[Hollow]) -> None:
    """Check what torch's rules for shapes leave out: it multiplies matrices of one dtype only."""
    if packet in PRODUCTS and tensors[-2].dtype != tensors[-1].dtype:
        left, right = (str(each.dtype).removeprefix("torch.") for each in tensors[-2:])
        raise RuntimeError(f"expected both factors to have the same dtype, but got: {left} and {right}")


def _check_arguments(form: _Form, args: Any, kwargs: Any, tensors: list[Hollow]) -> None:
    """Check what else torch's rules for shapes leave out, and its kernels refuse."""
    named = dict(zip([name for name, _ in form.arguments], args, strict=False)) | kwargs
    check = CHECKS.get(form.packet)
    if check is not None:
        check(named)
    if form.packet is aten.as_strided:
        _check_strided(tensors[0], named)
    if form.mutable and torch.Tag.inplace_view not in form.func.tags and form.asked not in OVERLAPPING:
        for written in form.written:
            for each in tensors_in(named.get(written)):
                if any(size > 1 and not step for size, step in zip(each.shape, each.stride(), strict=True)):
                    raise RuntimeError(
                        "unsupported operation: more than one element of the written-to tensor refers to a single "
                        "memory location. Please clone() the tensor before performing the operation."
                    )


def _check_transposed(named: Mapping[str, Any]) -> None:
    """Check a transposed convolution: channels, output padding and dtypes."""
    x, weight = named["input"], named["weight"]
    if not named["transposed"] or x.dim() != weight.dim():
        return
    if x.shape[1] != weight.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(weight.shape)}, expected input{list(x.shape)} to have "
            f"{weight.shape[0]} channels, but got {x.shape[1]} channels instead"
        )
    sides = x.dim() - 2
    windows = [_sides(named[name], sides) for name in ("output_padding", "stride", "dilation")]
    for more, stride, dilation in zip(*windows, strict=True):
        if more >= max(stride, dilation):
            raise RuntimeError(
                "output padding must be smaller than either stride or dilation, but got "
                f"output_padding: {more}, stride: {stride}, dilation: {dilation}"
            )
    if x.dtype != weight.dtype:
        raise RuntimeError(f"Input type ({_dtype(x)}) and weight type ({_dtype(weight)}) should be the same")


def _bags(args: Any, result: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the kernel gives beside the sums of bags.

    It needs no list of each number's bag where it adds up plain rows, and lists no maxima where it takes none.
    """
    made, bags, sizes, maxima = result
    weight, indices, _, _, mode, _, scale, _, padding = tuple(args) + BAG[len(args) :]
    plain = weight.dtype in (torch.float32, torch.float16, torch.bfloat16) and weight.stride()[-1] == 1
    quick = plain and padding < 0 and (scale is None or scale.stride() == (1,))
    bags = bags.new_empty(0 if mode == 0 and quick else indices.numel())
    sizes = sizes.new_empty(made.shape[:1])
    return made, bags, sizes, maxima if mode == 2 else sizes.new_empty(sizes.shape)


# The defaults of torch's _embedding_bag.
BAG: tuple[Any, ...] = (None, None, None, False, 0, False, None, False, -1)


def _statistics(weight: int) -> Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """What the kernel of a norm gives: statistics of the dtype of its weights, or of its input where it has none."""

    def given(args: Any, result: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        dtype = next((each.dtype for each in args[weight : weight + 2] if each is not None), args[0].dtype)
        return result[0], *[each.to(dtype) for each in result[1:]]

    return given


# What the kernels on the processor give, where torch's rules for shapes say otherwise.
GIVEN: dict[Any, Callable[[Any, tuple[Tensor, ...]], tuple[Tensor, ...]]] = {
    aten._embedding_bag: _bags,
    aten.native_layer_norm: _statistics(2),
    aten.native_group_norm: _statistics(1),
    aten._weight_norm_interface: lambda args, result: (
        result[0], result[1].float() if result[1].dtype == torch.float16 else result[1],
    ),
}  # fmt: skip


def _goes_with(images: torch.dtype, weights: torch.dtype) -> bool:
    """Whether a norm takes both dtypes: one for all, or half the precision for the images alone."""
    return images == weights or weights == torch.float32 and images in (torch.float16, torch.bfloat16)


def _check_norm(named: Mapping[str, Any]) -> None:
    """Check the dtypes of a norm."""
    x = named["input"].dtype
    for name in ("weight", "bias", "running_mean", "running_var"):
        each = named.get(name)
        if each is not None and not _goes_with(x, each.dtype):
            raise RuntimeError(
                f"mixed dtype: {name} is {_dtype(each)}, and the input {_dtype(named['input'])}; "
                "all must share the same dtype"
            )


def _check_strided(tensor: Hollow, named: Mapping[str, Any]) -> None:
    """Check that a view by strides stays within the memory of its tensor."""
    size, stride, offset = named["size"], named["stride"], named.get("storage_offset")
    offset = tensor.storage_offset() if offset is None else offset
    room = shadow(tensor).untyped_storage().nbytes() // tensor.itemsize
    span = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1
    if 0 not in size and span > room:
        raise RuntimeError(
            f"as_strided with sizes {list(size)}, strides {list(stride)} and storage offset {offset} needs a storage "
            f"of {span} numbers, and that of the tensor has {room}"
        )


def _check_picks(x: Tensor, picks: Sequence[Any]) -> None:
    """Check the indices of x[picks], one for each dimension, as far as their numbers are known."""
    if any(pick is not None and pick.dtype in (torch.bool, torch.uint8) for pick in picks):
        return  # a mask, which stands for several
    for dim, pick in enumerate(picks):
        if pick is not None and dim < x.dim():
            _check_places(pick, dim, x.shape[dim], -x.shape[dim])


def _check_places(places: Tensor, dim: int, size: int, least: int = 0) -> None:
    """Check that known whole numbers are places along a dimension of `size`."""
    if type(places) is Hollow or places.is_meta or is_functorch_wrapped_tensor(places):
        return
    if not 0 < places.numel() <= LARGEST_CONSTANT:
        return
    for place in (int(places.min()), int(places.max())):
        if not least <= place < size:
            raise IndexError(f"index {place} is out of bounds for dimension {dim} with size {size}")


def _check_along(named: Mapping[str, Any]) -> None:
    """Check the indices along one dimension."""
    x, dim = named["self"], named["dim"]
    if x.dim() and -x.dim() <= dim < x.dim():
        _check_places(named["index"], dim % x.dim(), x.shape[dim])


CHECKS: dict[Any, Callable[[Mapping[str, Any]], None]] = {
    aten.convolution: _check_transposed,
    **dict.fromkeys(
        (
            aten.native_batch_norm, aten._native_batch_norm_legit,
            aten._native_batch_norm_legit_no_training,
            aten.native_layer_norm, aten.native_group_norm,
        ),
        _check_norm,
    ),
    **dict.fromkeys(
        (
            aten.index_select, aten.gather, aten.scatter, aten.scatter_, aten.scatter_add, aten.scatter_add_,
            aten.index_add, aten.index_add_, aten.index_copy, aten.index_copy_,
        ),
        _check_along,
    ),
    **dict.fromkeys(
        (aten.index, aten.index_put, aten.index_put_), lambda named: _check_picks(named["self"], named["indices"])
    ),
    aten.embedding: lambda named: _check_places(named["indices"], 0, named["weight"].shape[0]),
}  # fmt: skip
# Operations that write to a tensor whose elements share memory.
OVERLAPPING = {
    "zero_", "fill_", "masked_fill_", "index_fill_", "index_put_", "tril_", "triu_", "fill_diagonal_",
    "set_", "resize_",
}  # fmt: skip


def _numbering(
    inputs: Sequence[int], ops: Sequence[Op], reads: Sequence[list[int]], last: Sequence[int]
) -> dict[int, int]:
    """Number values in the order in which operations read and make them: new number by old one."""
    new: dict[int, int] = {}
    for value in inputs:
        new.setdefault(value, len(new))
    for op, read in zip(ops, reads, strict=True):
        for value in (*read, *op.outputs):
            new.setdefault(value, len(new))
    for value in last:
        new.setdefault(value, len(new))
    return new


def _translated(argument: Argument, new: dict[int, int]) -> Argument:
    if isinstance(argument, Ref):
        return Ref(new[argument.value])
    if not isinstance(argument, tuple) or not _refs(argument):
        return argument
    return tuple([_translated(item, new) for item in argument])


def _renumbered(op: Op, new: dict[int, int]) -> Op:
    arguments = tuple(
        [pair if (now := _translated(pair[1], new)) is pair[1] else (pair[0], now) for pair in op.arguments]
    )
    outputs, writes = (tuple([new[value] for value in values]) for values in (op.outputs, op.writes))
    return Op(op.name, op.overload, arguments, outputs, writes, op.random, op.call, op.line)


# --------------------------------------------------------------------------------------------- to and from JSON


def _plain(thing: Any) -> Any:
    """A graph or a part of it as lists, in the order of the fields, so that JSON repeats no names.

    A tensor among arguments is {"$": number}; numbers that JSON does not know are {"#": "inf"}, complex ones
    {"#": [real, imaginary]}.
    """
    kind = type(thing)
    if kind is int or kind is str or kind is bool or thing is None:  # most of it
        return thing
    if kind is Ref:
        return {"$": thing.value}
    if isinstance(thing, tuple):
        return [_plain(item) for item in thing]
    if kind in _PARTS:
        return [_plain(getattr(thing, name)) for name in kind.__dataclass_fields__]
    if isinstance(thing, float) and not math.isfinite(thing):
        return {"#": str(thing)}
    if isinstance(thing, complex):
        return {"#": [_plain(thing.real), _plain(thing.imag)]}
    if kind is Graph:
        return {name: _plain(getattr(thing, name)) for name in Graph.__dataclass_fields__}
    return thing


_PARTS = (Value, Op, Held, Call, Constant)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed here")


MOST = 200_000  # values, operations, calls, parameters of a graph that is read
UNUSUAL = {"nan": NAN, "inf": math.inf, "-inf": -math.inf}
DEEPEST = 40  # tuples in tuples
LONGEST_TEXT = 4000  # of paths and texts
LONGEST_NAME = 400


class _Reader:
    """Builds a graph from parsed JSON, and refuses what `record` could not have written.

    Each method reads one kind of thing, at a place `where`, and raises ValueError with that place if it does not fit.
    """

    def __init__(self, found: Any) -> None:
        self.found = found
        self.count = 0

    def graph(self) -> Graph:
        found = self.found
        if not isinstance(found, dict) or set(found) != set(Graph.__dataclass_fields__):
            raise ValueError(f"a graph is an object with the keys {', '.join(Graph.__dataclass_fields__)}")
        self.count = len(self.many(found["values"], "values"))
        values = tuple([self.value(item, where) for item, where in self.each("values")])
        calls = tuple(
            [self.call(item, place, where) for place, (item, where) in enumerate(self.each("calls"))]
        )
        state = tuple([self.held(item, where) for item, where in self.each("state")])
        constants = tuple([self.constant(item, values, where) for item, where in self.each("constants")])
        inputs = self.numbers(found["inputs"], "inputs")
        for i, each in enumerate(state):
            if each.value is not None and each.shape != values[each.value].shape:
                raise ValueError(
                    f"state[{i}] has the shape {each.shape}, and its value {values[each.value].shape}; expected one"
                )
        for call in calls:
            if any(place >= len(state) for place in call.held):
                raise ValueError("calls: a parameter or buffer that is not there")
        if sorted(held.place for held in state) != list(range(len(state))):
            raise ValueError(f"state: expected each place from 0 to {len(state) - 1} once")
        known: set[int] = set()
        self.add(known, inputs, "inputs")
        self.add(known, tuple(held.value for held in state if held.value is not None), "state")
        self.add(known, tuple(constant.value for constant in constants), "constants")
        ops = []
        for item, where in self.each("ops"):
            op = self.op(item, len(calls), where)
            if not known.issuperset(op.reads):
                raise ValueError(f"{where} ({op.name}) reads a value that nothing before it makes")
            if not set(op.reads).issuperset(op.writes):
                raise ValueError(f"{where} ({op.name}) writes a value that it does not read")
            self.add(known, op.outputs, f"{where} ({op.name})")
            ops.append(op)
        output = self.argument(found["output"], "output")
        if not known.issuperset(_refs(output)):
            raise ValueError("output: a value that nothing makes")
        saved, grad = self.numbers(found["saved"], "saved"), self.truth(found["grad"], "grad")
        if not known.issuperset(saved) or saved and not grad:
            raise ValueError("saved: a value that nothing makes, or a graph without gradients")
        return Graph(
            self.text(found["network"], "network"), self.truth(found["training"], "training"), inputs, output,
            values, tuple(ops), state, constants, calls, saved, grad,
            tuple(self.text(item, "functions") for item in self.many(found["functions"], "functions")),
        )  # fmt: skip

    def add(self, known: set[int], values: tuple[int, ...], where: str) -> None:
        if not known.isdisjoint(values) or len(set(values)) != len(values):
            raise ValueError(f"{where} makes a value that is already there")
        known.update(values)

    def each(self, name: str) -> Iterator[tuple[Any, str]]:
        for place, item in enumerate(self.many(self.found[name], name)):
            yield item, f"{name}[{place}]"

    def many(self, found: Any, where: str, most: int = MOST) -> list[Any]:
        if not isinstance(found, list) or len(found) > most:
            raise ValueError(f"{where}: expected a list of at most {most:,}")
        return found

    def fields(self, found: Any, kind: Any, where: str) -> list[Any]:
        if not isinstance(found, list) or len(found) != len(kind.__dataclass_fields__):
            names = [each.name for each in fields(kind)]
            raise ValueError(f"{where}: expected a list of {', '.join(names)}")
        return found

    def text(self, found: Any, where: str, most: int = LONGEST_NAME) -> str:
        if not isinstance(found, str) or len(found) > most:
            raise ValueError(f"{where}: expected a text of at most {most} characters")
        return found

    def truth(self, found: Any, where: str) -> bool:
        if not isinstance(found, bool):
            raise ValueError(f"{where}: expected true or false")
        return found

    def number(self, found: Any, where: str, below: int) -> int:
        if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < below:
            raise ValueError(f"{where}: expected a whole number from 0 to {below - 1:,}")
        return found

    def numbers(self, found: Any, where: str, most: int = MOST) -> tuple[int, ...]:
        return self.each_below(self.count, self.many(found, where, most), where)

    def shape(self, found: Any, where: str) -> tuple[int, ...]:
        return self.each_below(2**63, self.many(found, where, 64), where)

    def each_below(self, limit: int, found: list[Any], where: str) -> tuple[int, ...]:
        """`number` of each, without a call for each: a graph holds thousands."""
        for item in found:
            if type(item) is not int or not 0 <= item < limit:
                return tuple([self.number(each, where, limit) for each in found])
        return tuple(found)

    def dtype(self, found: Any, where: str) -> str:
        if not isinstance(found, str) or found not in ITEMSIZE:
            raise ValueError(f"{where}: expected a dtype, such as float32")
        return found

    def line(self, found: Any, where: str) -> int | None:
        return None if found is None else self.number(found, where, 10**7)

    def value(self, found: Any, where: str) -> Value:
        shape, dtype, storage, requires_grad = self.fields(found, Value, where)
        return Value(
            self.shape(shape, where), self.dtype(dtype, where), self.number(storage, where, MOST),
            self.truth(requires_grad, where),
        )  # fmt: skip

    def held(self, found: Any, where: str) -> Held:
        parts = self.fields(found, Held, where)
        name, kind, shape, dtype, requires_grad, value, written, place, holder = parts
        if kind not in ("parameter", "buffer"):
            raise ValueError(f"{where}: expected a parameter or a buffer")
        return Held(
            self.text(name, where, LONGEST_TEXT), kind, self.shape(shape, where), self.dtype(dtype, where),
            self.truth(requires_grad, where),
            None if value is None else self.number(value, where, self.count), self.truth(written, where),
            self.number(place, where, MOST), self.text(holder, where),
        )  # fmt: skip

    def call(self, found: Any, place: int, where: str) -> Call:
        path, kind, parent, layer, leaf, inputs, outputs, held = self.fields(found, Call, where)
        return Call(
            self.text(path, where, LONGEST_TEXT), self.text(kind, where),
            None if parent is None else self.number(parent, where, place),
            self.truth(layer, where), self.truth(leaf, where),
            self.numbers(inputs, where), self.numbers(outputs, where),
            self.each_below(MOST, self.many(held, where), where),
        )  # fmt: skip

    def constant(self, found: Any, values: tuple[Value, ...], where: str) -> Constant:
        value, data, digest = self.fields(found, Constant, where)
        number = self.number(value, where, self.count)
        digest = self.text(digest, where)
        if digest and (data is not None or not re.fullmatch(r"sha256:[0-9a-f]{64}", digest)):
            raise ValueError(f"{where}: expected a digest such as sha256:..., and no numbers beside it")
        if data is None:
            return Constant(number, None, digest)
        items = [self.argument(item, where) for item in self.many(data, where, LARGEST_CONSTANT)]
        numbers = tuple([item for item in items if isinstance(item, (bool, int, float, complex))])
        if len(numbers) != values[number].numel or len(items) != len(numbers):
            raise ValueError(f"{where}: expected {values[number].numel} numbers")
        return Constant(number, numbers)

    def op(self, found: Any, calls: int, where: str) -> Op:
        name, overload, arguments, outputs, writes, random, call, line = self.fields(found, Op, where)
        pairs = []
        for pair in self.many(arguments, where, 100):
            if not isinstance(pair, list) or len(pair) != 2:
                raise ValueError(f"{where}: expected arguments as pairs of name and value")
            pairs.append((self.text(pair[0], where), self.argument(pair[1], where)))
        return Op(
            self.text(name, where), self.text(overload, where), tuple(pairs), self.numbers(outputs, where),
            self.numbers(writes, where), self.truth(random, where),
            self.number(call, where, max(1, calls)), self.line(line, where),
        )  # fmt: skip

    def argument(self, found: Any, where: str, depth: int = 0) -> Argument:
        if found is None or isinstance(found, bool):
            return found
        if isinstance(found, int):
            if abs(found) >= 2**64:
                raise ValueError(f"{where}: a whole number of more than 64 bits")
            return found
        if isinstance(found, float):
            if not math.isfinite(found):
                raise ValueError(f'{where}: expected a finite number, or {{"#": "inf"}}')
            return found
        if isinstance(found, str):
            return self.text(found, where, LONGEST_TEXT)
        if isinstance(found, list) and depth < DEEPEST:
            return tuple([self.argument(item, where, depth + 1) for item in self.many(found, where)])
        if isinstance(found, dict) and set(found) == {"$"}:
            return Ref(self.number(found["$"], where, self.count))
        if isinstance(found, dict) and set(found) == {"#"}:
            return self.unusual(found["#"], where)
        raise ValueError(f"{where}: not an argument")

    def unusual(self, found: Any, where: str) -> float | complex:
        if isinstance(found, str) and found in UNUSUAL:
            return UNUSUAL[found]
        if isinstance(found, list) and len(found) == 2:
            real, imaginary = (self.argument(item, where) for item in found)
            if isinstance(real, float) and isinstance(imaginary, float):
                return complex(real, imaginary)
        raise ValueError(f"{where}: not an argument")


# --------------------------------------------------------------------------------------- the uses of weights


@dataclass(frozen=True, slots=True)
class Use:
    """The first use of a parameter or buffer: `upstream` has one bit for each earlier use on the way to it."""

    name: str
    upstream: int
    op: str


class Uses:
    """Follows parameters and buffers through the operations of a run, one after the other; see `uses`.

    `held` names each parameter and buffer, with the memory that it lies in, as any number, and its shape.
    """

    def __init__(self, held: Iterable[tuple[str, int, tuple[int, ...]]]) -> None:
        held = list(held)
        self.derived: dict[int, tuple[str, ...]] = {
            where: (name,) for name, where, shape in held if 0 not in shape
        }
        self.owners = set(self.derived)
        self.rank = {name: (-sum(size > 1 for size in shape), -len(shape)) for name, _, shape in held}
        # Sets of parameters are numbers, with a bit for each in the order of first use: they are joined all the time.
        self.upstream: dict[int, int] = {}
        self.bit: dict[str, int] = {}

    def step(self, reads: Iterable[tuple[int, int]], makes: Iterable[int]) -> list[tuple[str, int]]:
        """Follow one operation: what it reads, as memory and how many numbers, and the memory of what it makes.

        Returns the names that it is the first to use, each with what comes before it.
        """
        names: list[str] = []
        data, mixes = 0, False
        for where, count in reads:
            if where in self.derived:
                names.extend(name for name in self.derived[where] if name not in names)
            elif count > 1 or where in self.upstream:
                mixes = True
                data |= self.upstream.get(where, 0)
        if names and not mixes:
            for where in makes:
                self.derived.setdefault(where, tuple(names))
            return []
        first = []
        names.sort(key=self.rank.__getitem__)
        for name in names:
            if name not in self.bit:
                self.bit[name] = 1 << len(self.bit)
                first.append((name, data))
            data |= self.bit[name]
        for where in makes:
            if where not in self.owners:
                self.upstream[where] = self.upstream.get(where, 0) | data
        return first


def uses(graph: Graph) -> tuple[Use, ...]:
    """When each parameter and buffer is first used, in order, and which others come before it.

    A style-free view: whether a network is written with nn.Conv2d, F.conv2d or einsum, the weight enters one
    operation, at one moment, after certain other weights. Tensors computed from weights alone (a transpose, a
    sum of two weights) are not yet a use; the operation that first mixes them with data is. Within one
    operation weights come before biases, also where a weight is a single row; then its own order of arguments
    counts, not that of registration: it tells scale, shift, mean and variance apart.
    """
    values = graph.values
    following = Uses(
        (held.name, values[held.value].storage, held.shape)
        for held in graph.state
        if held.value is not None  # else nothing reads it, and it lies nowhere
    )
    return tuple(
        Use(name, upstream, op.overload)
        for op in graph.ops
        for name, upstream in following.step(
            ((values[value].storage, values[value].numel) for value in op.reads),
            [values[value].storage for value in op.outputs],
        )
    )


# ------------------------------------------------------------------------------------ shapes on the meta device
#
# Rules for the shapes of common operations. A rule gets the arguments that torch was given, in the order of its
# schema, and returns the shape of the result, or a list of (shape, dtype) where there are several (dtype None:
# that of the first argument). It returns None to leave the operation to torch, which also says what is wrong
# with arguments that do not fit. Torch knows all these shapes, but on the meta device it works most of them out
# in Python and imports its compiler to do so, which takes seconds.

Shape = tuple[int, ...]


def _sides(value: Any, sides: int) -> tuple[int, ...]:
    """One number for each side of the grid; one value serves all of them."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * sides if len(values) == 1 else values


def window_output(
    size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool = False
) -> int:
    """Count how often a window fits into a side of `size`; 0 where it does not fit. Sizes are in pixels.

    `ceil` lets a last window hang over the end, as long as it begins on the image or the padding before it.
    """
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if stride < 1 or room < 0:
        return 0
    steps = -(-room // stride) if ceil else room // stride
    if ceil and steps * stride >= size + padding:
        steps -= 1  # this window would see nothing but the right padding
    return steps + 1


def _grid(
    sizes: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool = False
) -> Shape | None:
    n = len(sizes)
    windows = [_sides(each, n) for each in (kernel, stride, padding, dilation)]
    if any(len(each) != n for each in windows):
        return None
    sides = zip(sizes, *windows, strict=True)
    grid = tuple(window_output(size, k, s, p, d, ceil) for size, k, s, p, d in sides)
    return grid if all(size > 0 for size in grid) else None


def _convolution_shape(args: Any) -> Shape | None:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    if transposed or x.dim() != weight.dim() or x.shape[1] != weight.shape[1] * groups:
        return None
    if not x.shape[1]:
        return None  # no channels: torch has a rule of its own for that
    if weight.shape[0] % groups or (bias is not None and bias.shape != weight.shape[:1]):
        return None
    grid = _grid(x.shape[2:], weight.shape[2:], stride, padding, dilation)
    return None if grid is None else (x.shape[0], weight.shape[0], *grid)


def _pool_shape(dilated: bool) -> Callable[[Any], Shape | None]:
    """The shape of a pool; its settings are kernel, stride, padding, perhaps dilation, and whether it rounds up."""

    def shape(args: Any) -> Shape | None:
        x, kernel, stride, padding, *rest = (*args, None, None)[: max(4, len(args))]
        if x.dim() < 3:
            return None
        stride, padding = stride or kernel, padding or 0
        dilation = rest.pop(0) if dilated and rest else 1
        ceil = bool(rest and rest[0])
        if any(2 * p > k for p, k in zip(_sides(padding, 2), _sides(kernel, 2), strict=True)):
            return None
        grid = _grid(x.shape[-2:], kernel, stride, padding, dilation, ceil)
        return None if grid is None else (*x.shape[:-2], *grid)

    return shape


def _batch_norm_shape(args: Any) -> Shape | None:
    x, *statistics = args[:5]
    if x.dim() < 2 or any(each is not None and each.numel() != x.shape[1] for each in statistics):
        return None
    if args[5] and x.numel() == x.shape[1]:
        return None  # in training torch refuses to take the statistics of a single number
    return x.shape


def _native_batch_norm_shape(args: Any) -> list[tuple[Shape, torch.dtype | None]] | None:
    shape = _batch_norm_shape(args)
    if shape is None:
        return None
    kept = (shape[1],) if args[5] else (0,)
    # Statistics are of the dtype of the weights, which may be a wider one than that of the images.
    dtype = next((each.dtype for each in args[1:5] if each is not None), None)
    return [(shape, None), (kept, dtype), (kept, dtype)]


def _max_pool_shape(args: Any) -> list[tuple[Shape, torch.dtype | None]] | None:
    shape = _pool_shape(dilated=True)(args)
    return None if shape is None else [(shape, None), (shape, torch.int64)]


def _product_shape(rank: int, left: Tensor, right: Tensor) -> Shape | None:
    """The shape of a product of two matrices, or of as many as the first of three dimensions says."""
    fits = left.dim() == right.dim() == rank and left.shape[-1] == right.shape[-2]
    return (*left.shape[:-1], right.shape[-1]) if fits and left.shape[:-2] == right.shape[:-2] else None


def _addmm_shape(args: Any) -> Shape | None:
    shape = _product_shape(2, *args[1:3])
    return shape if shape is not None and args[0].shape in ((shape[1],), shape) else None


def _same_shape(args: Any) -> Shape | None:
    return args[0].shape if args[0].is_floating_point() else None


def _broadcast_shape(args: Any) -> Shape | None:
    """The shape of a sum or a product of floating-point tensors.

    (torch.broadcast_shapes would do, but it is among the functions that import sympy.)
    """
    tensors = [value for value in args[:2] if isinstance(value, Tensor)]
    if not all(tensor.is_floating_point() for tensor in tensors):
        return None
    shapes = [tensor.shape for tensor in tensors]
    if len(shapes) == 1 or shapes[0] == shapes[1]:
        return shapes[0]
    longest = max(map(len, shapes))
    sides = list(zip(*((1,) * (longest - len(shape)) + tuple(shape) for shape in shapes), strict=True))
    if any(len(set(side) - {1}) > 1 for side in sides):
        return None  # they do not fit: torch says so
    return tuple(next((size for size in side if size != 1), 1) for side in sides)


def _mean_shape(args: Any) -> Shape | None:
    """The shape of a mean or a sum over some dimensions."""
    x, dims, keep = args[0], args[1] if len(args) > 1 else None, len(args) > 2 and args[2]
    if not isinstance(dims, list) or not dims or not x.is_floating_point():
        return None
    if any(not -x.dim() <= dim < x.dim() for dim in dims):
        return None
    gone = {dim % x.dim() for dim in dims}
    return tuple((1 if i in gone else size) for i, size in enumerate(x.shape) if keep or i not in gone)


def _cat_shape(args: Any) -> Shape | None:
    """The shape of tensors joined along one dimension; their other sizes are equal."""
    tensors, dim = args[0], args[1] if len(args) > 1 else 0
    first = tensors[0]
    if not first.dim() or any(each.dtype != first.dtype for each in tensors) or not first.is_floating_point():
        return None
    dim %= first.dim()
    others = {(*each.shape[:dim], *each.shape[dim + 1 :]) for each in tensors}
    if len(others) > 1 or len({each.dim() for each in tensors}) > 1:
        return None  # they do not fit: torch says so
    return (*first.shape[:dim], sum(each.shape[dim] for each in tensors), *first.shape[dim + 1 :])


def _avg_pool3d_shape(args: Any) -> Shape | None:
    """The shape of an average pool in 3-d, of which local response normalisation is made."""
    x, *settings = args[:4]
    kernel, stride, padding = (settings + [None] * 3)[:3]
    if len(args) > 4 and args[4]:
        return None
    grid = _grid(x.shape[-3:], kernel, stride or kernel, padding or 0, 1)
    return None if grid is None else (*x.shape[:-3], *grid)


def _index_shape(args: Any) -> Shape | None:
    """The shape of what a list of whole numbers picks along one dimension, such as x[:, [0, 2, 3]]."""
    x, picks = args[:2]
    chosen = [(dim, pick) for dim, pick in enumerate(picks) if pick is not None]
    if len(chosen) != 1 or chosen[0][1].dim() != 1 or chosen[0][1].dtype != torch.int64:
        return None
    dim, pick = chosen[0]
    _check_picks(x, picks)
    return (*x.shape[:dim], len(pick), *x.shape[dim + 1 :])


def _adaptive_shape(args: Any) -> Shape | None:
    x, size = args
    return (*x.shape[:-2], *size) if x.dim() >= 3 and None not in size else None


SHAPES: dict[Any, Callable[[Any], Any]] = {
    aten.convolution: _convolution_shape,
    aten.addmm: _addmm_shape,
    aten.mm: lambda args: _product_shape(2, *args),
    aten.bmm: lambda args: _product_shape(3, *args),
    aten.max_pool2d: _pool_shape(dilated=True),  # as `replay` reads it
    aten.max_pool2d_with_indices: _max_pool_shape,
    aten.avg_pool2d: _pool_shape(dilated=False),
    aten._adaptive_avg_pool2d: _adaptive_shape,
    aten.native_batch_norm: _native_batch_norm_shape,
    **dict.fromkeys((aten.relu, aten.tanh, aten.sigmoid, aten.silu, aten.hardtanh, aten.neg), _same_shape),
    **dict.fromkeys((aten.add, aten.sub, aten.mul, aten.div, aten.pow), _broadcast_shape),
    **dict.fromkeys((aten.mean, aten.sum), _mean_shape),
    aten.cat: _cat_shape,
    aten.avg_pool3d: _avg_pool3d_shape,
    aten.index: _index_shape,
}


def _view_layout(args: Any) -> tuple[Shape, Shape] | None:
    """The shape and strides of a contiguous tensor that is given other sizes."""
    x, sizes = args
    shape = list(sizes)
    if not x.is_contiguous() or not x.numel():
        return None
    if -1 in shape:
        shape[shape.index(-1)] = -x.numel() // math.prod(shape)
    if any(size < 1 for size in shape) or math.prod(shape) != x.numel():
        return None  # torch says what is wrong
    steps = [math.prod(shape[place + 1 :]) for place in range(len(shape))]
    return tuple(shape), tuple(steps)


#: Common views, and how to find their shapes and strides; None leaves one to torch.
VIEWED: dict[Any, Callable[[Any], tuple[Shape, Shape] | None]] = {
    aten.alias: lambda args: (args[0].shape, args[0].stride()),
    aten.t: lambda args: (args[0].shape[::-1], args[0].stride()[::-1]) if args[0].dim() == 2 else None,
    aten.view: _view_layout,
}
