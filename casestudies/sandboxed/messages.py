"""Every request and every answer that crosses between the judge and the student's process.

Each is a frozen dataclass, declared here once. What arrives is read along the declaration of what may arrive: the
fields all there and no others, each of its type, strings and lists of a bounded length, tensors of a known dtype with
exactly the bytes that their shape needs. `Checked` then holds each answer against its question: what was asked must
have come back, as many, under the names and in the sizes that the question implies. What does not fit is `Malformed`,
and that is the student's doing, since our probe does not answer so.

On the wire a message is one JSON text and the bytes of its tensors one after the other: [tag, field, field, ...].
Neither can execute anything when it is read.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import math
import re
import struct
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Literal, Required, TypedDict

import torch
from torch import Tensor

LIMIT = 256 * 2**20  # bytes of one message
TEXT_LIMIT = 4 * 2**20  # bytes of its JSON, which takes many times its size as objects
DEPTH = 40
ENTRIES = 5_000  # of any list, unless it says otherwise
VALUES = 4_000  # in one returned value, with all that it holds; a text counts one more for each so many characters:
TEXT = 64
ROOM = 2**20  # numbers that an answer may hold beside ROOM_PER_NUMBER for each that it was asked about
ROOM_PER_NUMBER = 256

_DTYPE = re.compile(
    r"[a-z][a-z0-9_]{1,30}"
)  # also one that does not travel, as a parameter's name for its own
ALIGNED = 8  # bytes
_HEADER = struct.Struct(">II")  # length of the JSON, length of the tensors
_JSON = json.JSONEncoder(allow_nan=False, check_circular=False)  # `_plain` has made a tree of it
CHANGES = ("layers", "training", "requires_grad")  # that a call makes to a module, and are told
OPERATIONS = ("convolution", "grouped convolution")  # that are noted of a watched call
DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64, torch.complex128),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_DTYPES = {str(dtype)[6:]: dtype for dtype in DTYPES}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


class WireError(ValueError):
    """A message that cannot be sent: too large, or something other than what is declared."""


class SubjectLost(Exception):
    """The process that holds the student's object is gone. `state` is "crashed" or "timed out"."""

    def __init__(self, reason: str, state: str = "crashed") -> None:
        super().__init__(reason)
        self.reason, self.state = reason, state


class Malformed(WireError):
    """A message that arrived and is not as declared, or an answer that does not fit its question."""


# --------------------------------------------------------------------------- what a field may hold


@dataclass(frozen=True)
class Most:
    """The length that a string or a list may have; and whether the string has to be `printable`."""

    length: int
    printable: bool = False


Name = Annotated[str, Most(200, printable=True)]
Line = Annotated[str, Most(450, printable=True)]
Text = Annotated[str, Most(2 * 2**20)]
Plain = Any  # None, bool, int, float, str, Tensor, and lists, tuples and dicts of them: in requests only
Shape = Annotated[tuple[int, ...], Most(16)]
State = dict[Name, Tensor]
Doing = Literal[
    "being looked at",
    "building the block",
    "listing the parameters",
    "listing the buffers",
    "converting the block to float32",
    "converting the block to float64",
    "loading values into the parameters",
    "switching between train() and eval()",
    "running forward",
    "making layers in forward",
    "looking at the input after forward",
    "computing gradients (backward)",
    "calling the function",
    "looking at the arguments after the call",
    "answering the check",
]


Kind = Literal[
    "module class", "class", "module", "function",
    "tensor", "none", "bool", "int", "float", "str", "tuple", "list", "array", "other",
]  # fmt: skip


class Message:
    """Something that crosses."""


class LayerSpec(TypedDict, total=False):
    """A layer of a module that is handed to a student's function: what `probe.assemble` builds."""

    layer: Required[str]
    args: list[Any]
    kwargs: dict[str, object]
    layers: dict[str, LayerSpec]
    steps: list[list[str]]


# A module among the arguments of a call, with what its parameters and buffers hold.
ModuleSpec = TypedDict(
    "ModuleSpec",
    {"$module": Required[LayerSpec], "state": dict[str, Tensor], "training": bool, "then": Tensor},
    total=False,
)


# --------------------------------------------------------------------------- requests about a student's object


@dataclass(frozen=True, eq=False)
class Describe(Message):
    """What kind of thing is the answer? -> Described"""


@dataclass(frozen=True, eq=False)
class Build(Message):
    """Call the answer: what it returns must be a module, kept under `handle`; where it is to be kept `apart`, a copy
    of it, which later calls of the answer do not hand out again. `alike` asks for the weights whose filters are all
    alike. -> Built, Lazy, NotAModule"""

    args: Plain
    kwargs: Plain = dataclasses.field(default_factory=dict)
    seed: int = 0
    handle: int = 0
    apart: bool = False
    alike: bool = False


@dataclass(frozen=True, eq=False)
class Materialise(Message):
    """Run lazy layers once, so that their parameters take shape. -> Built"""

    inputs: tuple[Tensor, ...]
    handle: int = 0


@dataclass(frozen=True, eq=False)
class Cast(Message):
    """Convert the module to "float32" or "float64". -> Done"""

    dtype: Name
    handle: int = 0


@dataclass(frozen=True, eq=False)
class Load(Message):
    """Copy values into parameters and buffers; without `state` once more those of the last time. -> Done"""

    state: State | None = None
    handle: int = 0


@dataclass(frozen=True, eq=False)
class Run(Message):
    """One forward pass and, given a cotangent of the output's shape, one backward pass. -> Ran

    `trace` asks for the uses of parameters and buffers, `record` also for what enters and leaves each of them.
    `gradients` keeps track of them, as a notebook does, also where none are asked for. `apart` lays the images of a
    batch apart in memory.
    """

    inputs: tuple[Tensor, ...]
    training: bool
    cotangent: Tensor | None = None
    record: bool = False
    trace: bool = False
    seed: int = 0
    handle: int = 0
    gradients: bool = False
    apart: bool = False


@dataclass(frozen=True, eq=False)
class Record(Message):
    """One forward pass, written down operation by operation. -> Recorded"""

    inputs: tuple[Tensor, ...]
    training: bool
    seed: int = 0
    handle: int = 0


@dataclass(frozen=True, eq=False)
class Call(Message):
    """Call the answer as a function; where that is `watched`, some operations are noted. -> Called"""

    args: Plain
    kwargs: Plain = dataclasses.field(default_factory=dict)
    cotangent: Tensor | None = None
    seed: int = 0
    watched: bool = False


@dataclass(frozen=True, eq=False)
class Forget(Message):
    """Drop all modules. -> Done"""


OneRequest = Describe | Build | Materialise | Cast | Load | Run | Record | Call | Forget


@dataclass(frozen=True, eq=False)
class Series(Message):
    """Several requests in one, until one of them fails: where answers travel, a journey costs time. -> Answers"""

    requests: tuple[OneRequest, ...]


OneOrSeries = OneRequest | Series


@dataclass(frozen=True, eq=False)
class Batch(Message):
    """Several requests in one that do not depend on each other: each is answered. -> Batched"""

    requests: tuple[OneOrSeries, ...]


# --------------------------------------------------------------------------- answers about a student's object


@dataclass(frozen=True, eq=False)
class Failed(Message):
    """The student's code raised. `line` and `source` are the last of their own code that led to it."""

    type: Name
    message: Line
    line: int | None = None
    source: Name = ""
    doing: Doing = "answering the check"


@dataclass(frozen=True, eq=False)
class Described(Message):
    """Of what kind the answer is: of one of ours, or that of a `Value`."""

    kind: Kind
    name: Name


@dataclass(frozen=True, eq=False)
class Value(Message):
    """A returned value with its type, as a :ref:`view <parts-view>` reads it.

    `~casestudies.checking.parts.Called` has an example. The values in a `~casestudies.Graph` are another class,
    `casestudies.graph.Value`.

    A value that is too large to compare, such as a list of five tuples of 1000 numbers, has the kind ``"other"``. The
    name of its type is then followed by words that say so.
    """

    KINDS: ClassVar[tuple[str, ...]] = (
        *("tensor", "none", "bool", "int", "float", "str", "tuple", "list"),
        *("module", "class", "array", "other"),
    )
    #: What the value is, one of the words ``"tensor"``, ``"none"``, ``"bool"``, ``"int"``, ``"float"``, ``"str"``,
    #: ``"tuple"`` and ``"list"``; or, if its contents are not known, ``"module"``, ``"class"``, ``"array"`` or
    #: ``"other"``.
    kind: Kind
    #: The contents, by kind; None for all kinds that are not listed.
    #:
    #: - ``"tensor"``, ``"bool"``, ``"int"``, ``"float"``: the tensor or number itself.
    #: - ``"str"``: the first 900 characters, with blanks for line breaks and tabs, and ``" ..."`` at the end if there
    #:   are more.
    #: - ``"tuple"``, ``"list"``: the items, a list of objects of this class.
    value: Any
    #: The name of the class, such as ``"Tensor"`` or ``"numpy.int64"``.
    type: Name


@dataclass(frozen=True, eq=False)
class Entry(Message):
    """A parameter or buffer of a module."""

    name: Name
    shape: Shape
    dtype: Name


@dataclass(frozen=True, eq=False)
class Built(Message):
    """A module was built. `arguments` are what it was built from, as they are afterwards, names left out; `shared`:
    whether it has a parameter of the module that was built under the same handle before; `alike`: where that was
    asked, the weights whose filters have all the same values."""

    type: Name
    parameters: tuple[Entry, ...]
    buffers: tuple[Entry, ...]
    arguments: tuple[Value, ...] = ()
    shared: bool = False
    alike: tuple[Name, ...] = ()

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.parameters + self.buffers


@dataclass(frozen=True, eq=False)
class Lazy(Message):
    """A module was built whose lazy layers have no shapes yet."""

    type: Name


@dataclass(frozen=True, eq=False)
class NotAModule(Message):
    type: Name


@dataclass(frozen=True, eq=False)
class Done(Message):
    """It was done; there is nothing to tell."""


@dataclass(frozen=True, eq=False)
class Use(Message):
    """The first operation that mixes a parameter or buffer with data; bit k of `upstream` says that the k-th of the
    uses comes before it, on the way from the input. `input` and `output` of that operation only where asked for."""

    name: Name
    upstream: int
    op: Name
    input: Tensor | None = None
    output: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Ran(Message):
    """What a forward pass gave. What was not asked for, or does not exist without gradients, is None."""

    output: Value
    inputs_after: tuple[Tensor, ...]
    uses: tuple[Use, ...] | None = None
    input_gradients: tuple[Tensor | None, ...] | None = None
    parameter_gradients: dict[Name, Tensor | None] | None = None
    buffers: State | None = None
    random: bool = False  # whether random numbers were drawn on the way


@dataclass(frozen=True, eq=False)
class Recorded(Message):
    """A `Graph` as JSON, which `Graph.from_json` checks; empty where it could not be recorded or is too long. Where
    an operation raised, the graph ends with that one."""

    graph: Annotated[str, Most(2**20)]
    failed: Failed | None = None


@dataclass(frozen=True, eq=False)
class Called(Message):
    """What a call returned, and the state in which it left its arguments.

    A :ref:`view <parts-view>` reads it. The check calls the view for the answer first, and then for the reference. To
    look at what it receives, let it print:

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, Values, call, part
    >>> def sort_(numbers):
    ...     numbers.sort()
    ...     return numbers[0], numbers[-1] / 2
    >>> def shown(call, answer):
    ...     print(call.args, answer.value.kind, answer.kept)
    ...     print([(each.kind, each.value, each.type) for each in answer.value.value])
    ...     return answer.value
    >>> @part("example/sort_", points=1, title="Sorts in place")
    ... def sorts():
    ...     lists = Group("lists", lambda dice: [call([7, 3, 5])])
    ...     return Values(sort_, lists, view=shown)
    >>> check("example/sort_", sort_).state
    ([7, 3, 5],) tuple False
    [('int', 3, 'int'), ('float', 3.5, 'float')]
    ([7, 3, 5],) tuple False
    [('int', 3, 'int'), ('float', 3.5, 'float')]
    'passed'
    """

    #: The returned value. ``answer.value.value`` is the tensor or the number itself.
    value: Value
    #: The tensors among the arguments as the call left them, in order, with those in lists and tuples but without
    #: those in dicts.
    tensors_after: tuple[Tensor, ...]
    #: The state dicts of the modules among the arguments as the call left them, in order.
    states_after: tuple[State, ...]
    #: The gradients of the tensors of real numbers among the arguments, in order, without those in dicts; None for a
    #: tensor on which the result does not depend. The field is None if no gradients were asked for, or if the call
    #: did not return a tensor of the expected shape.
    gradients: tuple[Tensor | None, ...] | None = None
    #: Whether the lists among the arguments hold what they held before.
    kept: bool = True
    #: The outputs, after the call, of those modules among the arguments that are described with an input ``"then"``.
    outputs_after: tuple[Value, ...] = ()
    #: What the call changed about the modules among the arguments and did not change back.
    #:
    #: - ``"training"``: the mode of one differs.
    #: - ``"requires_grad"``: a parameter is trained that was not, or the other way round.
    #: - ``"layers"``: a layer of one is gone, or has another in its place.
    changed: tuple[Name, ...] = ()
    #: of the operations that a part may forbid, those that it carried out; only where the call was watched
    operations: tuple[Name, ...] = ()


@dataclass(frozen=True, eq=False)
class Answers(Message):
    """To a series: as many as were asked, or fewer of which the last failed."""

    answers: tuple[Failed | Described | Built | Lazy | NotAModule | Done | Ran | Recorded | Called, ...]


@dataclass(frozen=True, eq=False)
class Batched(Message):
    """To a batch: as many as were asked."""

    answers: tuple[
        Failed | Described | Built | Lazy | NotAModule | Done | Ran | Recorded | Called | Answers, ...
    ]


Request = OneOrSeries | Batch
Answer = Failed | Described | Built | Lazy | NotAModule | Done | Ran | Recorded | Called | Answers | Batched
Subject = Callable[[Request], Answer]  # a student's object, reached in this process or in a sandbox


# --------------------------------------------------------------------------- requests about a notebook


@dataclass(frozen=True, eq=False)
class Files(Message):
    """Write the submission's other files (base64) into the scratch folder. -> Done"""

    files: dict[Annotated[str, Most(4096)], Annotated[str, Most(LIMIT)]]


@dataclass(frozen=True, eq=False)
class Cell(Message):
    """Run a cell; its outputs are sent on the way. -> CellRan, Raised, Interrupted"""

    source: Annotated[str, Most(LIMIT)]


@dataclass(frozen=True, eq=False)
class Take(Message):
    """Evaluate the answer of a check in the student's namespace. -> Done, Missing, Raised, Interrupted"""

    expression: Text


@dataclass(frozen=True, eq=False)
class Ask(Message):
    """A request about what was taken. -> Answered, Raised, Interrupted"""

    request: Request


# --------------------------------------------------------------------------- answers about a notebook


@dataclass(frozen=True, eq=False)
class CellRan(Message):
    """The cell ran. `number` is what its last statement gave, where that is a plain number."""

    has_value: bool
    number: float | None = None


@dataclass(frozen=True, eq=False)
class Raised(Message):
    type: Name
    message: Line


@dataclass(frozen=True, eq=False)
class Missing(Message):
    """A name that is not defined."""

    name: Name


@dataclass(frozen=True, eq=False)
class Interrupted(Message):
    pass


@dataclass(frozen=True, eq=False)
class Answered(Message):
    answer: Answer


@dataclass(frozen=True, eq=False)
class StreamOutput(Message):
    name: Literal["stdout", "stderr"]
    text: Text


@dataclass(frozen=True, eq=False)
class DataOutput(Message):
    """The value of a cell's last line (`result`), or something displayed: text of each kind, bytes as base64."""

    result: bool
    data: Annotated[dict[Name, Text], Most(50)]


@dataclass(frozen=True, eq=False)
class ErrorOutput(Message):
    type: Name
    message: Line
    traceback: tuple[Text, ...]


Output = StreamOutput | DataOutput | ErrorOutput
Outcome = Done | CellRan | Raised | Missing | Interrupted | Answered


@dataclass(frozen=True, eq=False)
class Question(Message):
    """A numbered request: what the judge sends."""

    id: int
    request: Files | Cell | Take | Ask


@dataclass(frozen=True, eq=False)
class Shown(Message):
    """An output of the question with that number."""

    id: int
    output: Output


@dataclass(frozen=True, eq=False)
class Reply(Message):
    """The end of the question with that number."""

    id: int
    outcome: Outcome


@dataclass(frozen=True, eq=False)
class Broken(Message):
    """The student's process could not be prepared."""

    what: Line


FromJudge = Question
FromStudent = Shown | Reply | Broken


# --------------------------------------------------------------------------- writing


class _Writer:
    """A message on its way: its JSON, and the bytes of its tensors."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def tensor(self, tensor: Tensor) -> list[Any]:
        if type(tensor) is not Tensor:
            tensor = tensor.detach().as_subclass(Tensor)
        if tensor.dtype not in _NAMES or tensor.layout != torch.strided:
            raise WireError(f"a tensor of {tensor.dtype} ({tensor.layout}) cannot travel")
        flat = tensor
        if not (tensor.is_cpu and tensor.is_contiguous()) or tensor.is_conj() or tensor.is_neg():
            flat = tensor.detach().cpu().contiguous().resolve_conj().resolve_neg()
        if flat.numel():
            self.parts.append(ctypes.string_at(flat.data_ptr(), flat.numel() * flat.element_size()))
        return [_NAMES[tensor.dtype], list(tensor.shape)]

    def plain(self, value: Any, depth: int = 0) -> Any:
        """A `Plain` value: scalars as they are, everything else behind a letter."""
        kind = type(value)
        if value is None or kind is bool or kind is int or kind is str:
            return value
        if kind is float:
            return value if math.isfinite(value) else ["f", repr(value)]
        if depth > DEPTH:
            raise WireError("the message is nested too deeply")
        if isinstance(value, Tensor):
            return ["x", *self.tensor(value)]
        if isinstance(value, (tuple, list)):
            return [
                "t" if isinstance(value, tuple) else "l",
                *(self.plain(item, depth + 1) for item in value),
            ]
        if isinstance(value, dict):
            pairs = ([self.plain(k, depth + 1), self.plain(v, depth + 1)] for k, v in value.items())
            return ["d", *pairs]
        raise WireError(f"a {kind.__name__} cannot travel: only plain data and tensors can")


def dumps(message: Message) -> bytes:
    """A message as bytes. Raises WireError for what cannot travel."""
    writer = _Writer()
    try:
        text = _JSON.encode(_writer_of(_hint(message))(message, writer)).encode()
    except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
        if isinstance(error, WireError):
            raise
        raise WireError(f"a {type(message).__name__} that is not as declared cannot travel") from None
    text += b" " * (-(_HEADER.size + len(text)) % ALIGNED)  # so that numbers can be read where they lie
    header = _HEADER.pack(len(text), sum(map(len, writer.parts)))
    return b"".join((header, text, *writer.parts))


# --------------------------------------------------------------------------- reading


class _Body:
    """The bytes of a message's tensors, which are taken one after the other, each once."""

    def __init__(self, data: bytearray, place: int) -> None:
        self.data, self.place = data, place

    def tensor(self, raw: Any) -> Tensor:
        if type(raw) is not list or len(raw) != 2:
            raise Malformed("a tensor is not given as dtype and shape")
        dtype, shape = _DTYPES.get(raw[0]) if type(raw[0]) is str else None, raw[1]
        if dtype is None:
            raise Malformed("a tensor of an unknown dtype")
        if type(shape) is not list or len(shape) > 16:
            raise Malformed("a tensor without a shape")
        count = 1
        for size in shape:
            if type(size) is not int or not 0 <= size < 1 << 40:
                raise Malformed("a tensor's shape is not given in whole numbers")
            count *= size
        if not count:
            return torch.empty(shape, dtype=dtype)
        end = self.place + count * dtype.itemsize
        if end > len(self.data):
            raise Malformed("a tensor's place is outside of the message")
        if dtype is torch.bool:  # a byte that is neither 0 nor 1 would be no truth value
            found = torch.frombuffer(self.data, dtype=torch.uint8, count=count, offset=self.place) != 0
        elif self.place % dtype.itemsize:
            found = torch.frombuffer(self.data[self.place : end], dtype=dtype, count=count)
        else:
            found = torch.frombuffer(self.data, dtype=dtype, count=count, offset=self.place)
        self.place = end
        return found.view(shape)

    def plain(self, raw: Any, depth: int = 0) -> Any:
        if raw is None or type(raw) in (bool, int, float):
            return raw
        if type(raw) is str:
            return _string(raw, LIMIT)
        if type(raw) is not list or not raw or depth > DEPTH:
            raise Malformed("a value is not as declared")
        tag, rest = raw[0], raw[1:]
        if tag == "x":
            return self.tensor(rest)
        if tag == "f" and len(rest) == 1 and rest[0] in ("nan", "inf", "-inf"):
            return float(rest[0])
        if tag in ("t", "l"):
            items = [self.plain(item, depth + 1) for item in rest]
            return tuple(items) if tag == "t" else items
        if tag == "d":
            found = {}
            for pair in rest:
                if type(pair) is not list or len(pair) != 2 or type(pair[0]) is list:
                    raise Malformed("a pair of a dictionary is none")
                found[self.plain(pair[0], depth + 1)] = self.plain(pair[1], depth + 1)
            return found
        raise Malformed("a value is not as declared")


Expected = Any  # a class of messages, or a union of such


def loads(data: bytes | bytearray, expected: Expected = FromStudent, limit: int = LIMIT) -> Any:
    """The message that `dumps` wrote, of one of the expected classes. Anything else raises Malformed."""
    if len(data) > limit:
        raise Malformed(f"a message of {len(data):,} bytes; at most {limit:,} are read")
    if len(data) < _HEADER.size:
        raise Malformed("a message shorter than its header")
    text_length, body_length = _HEADER.unpack_from(data)
    start = _HEADER.size + text_length
    if start + body_length != len(data):
        raise Malformed("the lengths in the header do not add up to the message")
    if text_length > TEXT_LIMIT and expected is not FromJudge:
        raise Malformed("a message with too much text")
    body = _Body(data, start) if type(data) is bytearray else _Body(bytearray(memoryview(data)[start:]), 0)
    try:
        tree = json.loads(bytes(memoryview(data)[_HEADER.size : start]), parse_constant=_no_constant)
        message = _reader(expected)(tree, body)
    except Malformed:
        raise
    except Exception as error:  # whatever a forged message makes the parser raise
        raise Malformed(f"the message cannot be read ({type(error).__name__})") from None
    if body.place != len(body.data):
        raise Malformed("the message holds bytes that belong to nothing")
    return message


def _no_constant(name: str) -> None:
    raise Malformed(f"{name} is not part of the format")


def _string(raw: Any, most: int, printable: bool = False) -> str:
    if type(raw) is not str or len(raw) > most:
        raise Malformed("a text is missing or too long")
    if printable and not raw.isprintable():
        raise Malformed("a text with characters that only direct a terminal")
    if not raw.isascii():
        try:
            raw.encode()
        except UnicodeEncodeError:
            raise Malformed("a text with half a character") from None
    return raw


Reader = Callable[[Any, _Body], Any]
Writer = Callable[[Any, _Writer], Any]


@cache
def _fields(cls: Any) -> tuple[tuple[str, Any], ...]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return tuple((each.name, hints[each.name]) for each in dataclasses.fields(cls))


def _parts(hint: Any) -> tuple[Any, tuple[Any, ...], Most]:
    """Origin, arguments and bound of an annotation."""
    most = Most(ENTRIES)
    if typing.get_origin(hint) is Annotated:
        hint, most = typing.get_args(hint)
    origin = typing.get_origin(hint)
    return (types.UnionType if origin is typing.Union else origin) or hint, typing.get_args(hint), most


@cache
def _reader(hint: Any) -> Reader:
    """What reads a value of an annotation."""
    kind, args, most = _parts(hint)
    if kind is Any:
        return lambda raw, body: body.plain(raw)
    if kind is Tensor:
        return lambda raw, body: body.tensor(raw)
    if kind is str:
        return lambda raw, body: _string(raw, most.length, most.printable)
    if kind in (bool, int):
        return lambda raw, body: _exactly(raw, kind)
    if kind is float:
        return lambda raw, body: _float(raw)
    if kind is Literal:
        return lambda raw, body: _one_of(raw, args)
    if kind is tuple and args[0] is int:

        def read_numbers(raw: Any, body: _Body) -> Any:
            if type(raw) is not list or len(raw) > most.length:
                raise Malformed("a list is missing or too long")
            for each in raw:
                if type(each) is not int:
                    raise Malformed("a field is no int")
            return tuple(raw)

        return read_numbers
    if kind is tuple:
        item = _reader(args[0])

        def read_tuple(raw: Any, body: _Body) -> Any:
            if type(raw) is not list or len(raw) > most.length:
                raise Malformed("a list is missing or too long")
            return tuple([item(each, body) for each in raw])

        return read_tuple
    if kind is dict:
        key, value = _reader(args[0]), _reader(args[1])

        def read_dict(raw: Any, body: _Body) -> Any:
            if type(raw) is not dict or len(raw) > most.length:
                raise Malformed("a table is missing or too long")
            return {key(name, body): value(each, body) for name, each in raw.items()}

        return read_dict
    if kind is types.UnionType and args[-1] is type(None):
        (inner,) = (_reader(arg) for arg in args[:-1]) if len(args) == 2 else (_reader(_union(args[:-1])),)
        return lambda raw, body: None if raw is None else inner(raw, body)
    options = args if kind is types.UnionType else (kind,)
    return _message_reader({cls.__name__: cls for cls in options})


def _union(args: tuple[Any, ...]) -> Any:
    found = args[0]
    for each in args[1:]:
        found = found | each
    return found


def _message_reader(classes: dict[str, type]) -> Reader:
    def read(raw: Any, body: _Body) -> Any:
        cls = classes.get(raw[0]) if type(raw) is list and raw and type(raw[0]) is str else None
        if cls is None:
            raise Malformed("a message of another class than was asked for")
        if cls is Value:
            return _read_value(raw, body, 0, [VALUES])
        readers = _field_readers(cls)
        if len(raw) != len(readers) + 1:
            raise Malformed(f"a {cls.__name__} without its fields")
        return cls(*[reader(each, body) for reader, each in zip(readers, raw[1:], strict=True)])

    return read


@cache
def _field_readers(cls: Any) -> tuple[Reader, ...]:
    return tuple(_reader(hint) for _, hint in _fields(cls))


def _exactly(raw: Any, kind: type) -> Any:
    if type(raw) is not kind:
        raise Malformed(f"a field is no {kind.__name__}")
    return raw


def _float(raw: Any) -> float:
    if type(raw) is float:
        return raw
    if type(raw) is str and raw in ("nan", "inf", "-inf"):
        return float(raw)
    raise Malformed("a field is no float")


def _one_of(raw: Any, options: tuple[str, ...]) -> Any:
    if type(raw) is not str or raw not in options:
        raise Malformed("a field is none of its words")
    return raw


def _hint(value: object) -> Any:
    """The class of a value, as the annotation that describes it."""
    return type(value)


@cache
def _writer_of(hint: Any) -> Writer:
    """What writes a value of an annotation."""
    kind, args, _ = _parts(hint)
    if kind is Any:
        return lambda value, writer: writer.plain(value)
    if kind is Tensor:
        return lambda value, writer: writer.tensor(value)
    if kind is float:
        return lambda value, writer: value if math.isfinite(value) else repr(value)
    if kind in (str, bool, int, Literal):
        return _as_it_is
    if kind is tuple and args[0] is int:
        return lambda value, writer: list(value)
    if kind is tuple:
        item = _writer_of(args[0])
        return lambda value, writer: [item(each, writer) for each in value]
    if kind is dict:
        item = _writer_of(args[1])
        return lambda value, writer: {name: item(each, writer) for name, each in value.items()}
    if kind is types.UnionType and args[-1] is type(None):
        inner = _writer_of(args[0] if len(args) == 2 else _union(args[:-1]))
        return lambda value, writer: None if value is None else inner(value, writer)
    if kind is types.UnionType:
        options = frozenset(args)

        def write_one(value: Any, writer: _Writer) -> Any:
            if type(value) not in options:
                raise WireError(f"a {type(value).__name__} is not expected here")
            return _writer_of(_hint(value))(value, writer)

        return write_one
    if kind is Value:
        return _write_value
    name, fields = kind.__name__, tuple((each, _writer_of(hint)) for each, hint in _fields(kind))

    def write_fields(value: Any, writer: _Writer) -> Any:
        own = vars(value)
        return [
            name,
            *[own[each] if write is _as_it_is else write(own[each], writer) for each, write in fields],
        ]

    return write_fields


def _as_it_is(value: Any, writer: _Writer) -> Any:
    return value


def _write_value(value: Value, writer: _Writer) -> Any:
    content = value.value
    if value.kind == "tensor":
        content = writer.tensor(content)
    elif value.kind == "float":
        content = content if math.isfinite(content) else repr(content)
    elif value.kind in ("tuple", "list"):
        content = [_write_value(item, writer) for item in content]
    return ["Value", value.kind, content, value.type]


def _read_value(raw: Any, body: _Body, depth: int, room: list[int]) -> Value:
    room[0] -= 1
    if room[0] < 0:
        raise Malformed("a value holds too much")
    if type(raw) is not list or len(raw) != 4 or raw[0] != "Value" or depth > 8:
        raise Malformed("a value is not as declared")
    kind, content = _one_of(raw[1], Value.KINDS), raw[2]
    if kind == "tensor":
        content = body.tensor(content)
    elif kind in ("tuple", "list"):
        if type(content) is not list or len(content) > VALUES:
            raise Malformed("a list is missing or too long")
        content = [_read_value(item, body, depth + 1, room) for item in content]
    elif kind == "str":
        content = _string(content, 1000, printable=True)
        room[0] -= len(content) // TEXT
    elif kind == "float":
        content = _float(content)
    elif kind in ("int", "bool"):
        content = _exactly(content, int if kind == "int" else bool)
        if abs(content) >= 1 << 200:
            raise Malformed("a number is too large")
    elif content is not None:
        raise Malformed("a value that does not travel has travelled")
    return Value(kind, content, _string(raw[3], 200, printable=True))


# --------------------------------------------------------------------------- answers held against their questions


class Checked:
    """A student's object whose answers have to fit what was asked. Raises Malformed where one does not."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.built: dict[int, Built] = {}

    def __call__(self, request: Request) -> Answer:
        answer = self.subject(request)
        if isinstance(answer, Failed):  # of several requests in one, whose answers could not be sent
            if isinstance(request, Series):
                answer = Answers((answer,))
            elif isinstance(request, Batch):
                answer = Batched(
                    tuple(
                        Answers((answer,)) if isinstance(each, Series) else answer
                        for each in request.requests
                    )
                )
        self._compare(request, answer)
        return answer

    def _compare(self, request: Request, answer: Answer) -> None:
        if isinstance(answer, Failed) and not isinstance(request, (Series, Batch)):
            return
        if not isinstance(answer, _ANSWERS[type(request)]):
            raise Malformed(f"a {type(answer).__name__} does not answer a {type(request).__name__}")
        if isinstance(request, Series):
            self._series(request, answer)
        elif isinstance(request, Batch):
            _as_many(answer.answers, request.requests, "answers")
            for one, other in zip(request.requests, answer.answers, strict=True):
                self._compare(one, other)
        elif isinstance(request, (Build, Materialise)):
            self._built(request, answer)
        elif isinstance(request, Run):
            self._ran(request, answer)
        elif isinstance(request, Call):
            self._called(request, answer)
        elif isinstance(request, Forget):
            self.built.clear()

    def _series(self, request: Series, answer: Answers) -> None:
        given = answer.answers
        failed = [isinstance(each, Failed) for each in given]
        if len(given) > len(request.requests) or any(failed[:-1]) or not given:
            raise Malformed("a series is answered by more than was asked")
        if len(given) < len(request.requests) and not failed[-1]:
            raise Malformed("a series is not answered to its end")
        # Fewer only where the last one failed.
        for one, other in zip(request.requests[: len(given)], given, strict=True):
            self._compare(one, other)

    def _built(self, request: Build | Materialise, answer: Built | Lazy | NotAModule) -> None:
        if not isinstance(answer, Built):
            return
        names = [entry.name for entry in answer.entries]
        if len(set(names)) != len(names):
            raise Malformed("two parameters or buffers of one name")
        for entry in answer.entries:
            if not _DTYPE.fullmatch(entry.dtype):
                raise Malformed("a parameter of a dtype that is none")
            if any(not 0 <= size < 1 << 40 for size in entry.shape):
                raise Malformed("a parameter of an impossible shape")
        self.built[request.handle] = answer

    def _ran(self, request: Run, answer: Ran) -> None:
        built = self.built.get(request.handle)
        if built is None:
            raise Malformed("a module runs that was never built")
        _as_many(answer.inputs_after, request.inputs, "inputs")
        _present(answer.uses, request.trace or request.record, "uses")
        _present(answer.buffers, request.training, "buffers")
        differentiated = _same_shape(answer.output, request.cotangent)
        _present(answer.input_gradients, differentiated, "gradients")
        _present(answer.parameter_gradients, differentiated, "gradients")
        known = {entry.name for entry in built.entries}
        seen: set[str] = set()
        for use in answer.uses or ():
            if use.name not in known or use.name in seen:
                raise Malformed("a use of what is not there")
            if not 0 <= use.upstream < 1 << len(seen):
                raise Malformed("a use comes after others that are not there")
            seen.add(use.name)
        if differentiated:
            floats = [x for x in request.inputs if x.is_floating_point()]
            _as_many(answer.input_gradients, floats, "gradients")
            _alike(answer.input_gradients, floats)
        _bounded(answer, _numbers(request) + sum(math.prod(entry.shape) for entry in built.entries))

    def _called(self, request: Call, answer: Called) -> None:
        given, modules = arguments_of(request)
        _as_many(answer.tensors_after, given, "tensors")
        _as_many(answer.states_after, modules, "modules")
        _as_many(answer.outputs_after, [each for each in modules if "then" in each], "outputs")
        differentiated = _same_shape(answer.value, request.cotangent)
        _present(answer.gradients, differentiated, "gradients")
        if differentiated:
            floats = [x for x in given if x.is_floating_point()]
            _as_many(answer.gradients, floats, "gradients")
            _alike(answer.gradients, floats)
        _among(answer.changed, CHANGES, "changes")
        _among(answer.operations, OPERATIONS if request.watched else (), "operations")
        _bounded(answer, _numbers(request))


_ANSWERS: dict[type, Any] = {
    Describe: Described,
    Build: (Built, Lazy, NotAModule),
    Materialise: Built,
    Cast: Done,
    Load: Done,
    Run: Ran,
    Record: Recorded,
    Call: Called,
    Forget: Done,
    Series: Answers,
    Batch: Batched,
}


def arguments_of(request: Call) -> tuple[list[Tensor], list[ModuleSpec]]:
    """The tensors and the descriptions of modules among a call's arguments, in the order in which they are met."""
    tensors: list[Tensor] = []
    modules: list[ModuleSpec] = []

    def meet(value: Any) -> None:
        if isinstance(value, Tensor):
            tensors.append(value)
        elif isinstance(value, dict) and "$module" in value:
            modules.append(value)  # type: ignore[arg-type]
        elif isinstance(value, (list, tuple)):
            for item in value:
                meet(item)

    for value in (*request.args, *request.kwargs.values()):
        meet(value)
    return tensors, modules


def _as_many(found: Any, asked: Any, what: str) -> None:
    if len(found) != len(asked):
        raise Malformed(f"{len(found)} {what} came back, not {len(asked)}")


def _among(found: tuple[str, ...], known: tuple[str, ...], what: str) -> None:
    if not set(found) <= set(known) or len(set(found)) < len(found):
        raise Malformed(f"{what} came back that are not known, or twice")


def _present(found: Any, asked: bool, what: str) -> None:
    if (found is not None) != asked:
        raise Malformed(f"{what} are missing or were not asked for")


def _same_shape(value: Value, cotangent: Tensor | None) -> bool:
    return cotangent is not None and value.kind == "tensor" and value.value.shape == cotangent.shape


def _alike(found: Any, asked: Any) -> None:
    for one, other in zip(found, asked, strict=True):
        if one is not None and one.shape != other.shape:
            raise Malformed("a gradient of another shape than what it belongs to")


def _numbers(value: Any) -> int:
    """How many numbers the tensors of a message hold."""
    if isinstance(value, Tensor):
        return int(value.numel())
    if isinstance(value, dict):
        value = value.values()
    elif isinstance(value, Message):
        value = vars(value).values()
    elif not isinstance(value, (list, tuple)):
        return 0
    total = 0
    for each in value:
        if each is not None and type(each) not in _NO_NUMBERS:
            total += _numbers(each)
    return total


_NO_NUMBERS = frozenset((str, int, bool, float))


def _bounded(answer: Message, asked: int) -> None:
    if _numbers(answer) > ROOM + ROOM_PER_NUMBER * asked:
        raise Malformed("an answer holds far more numbers than what was asked about")
