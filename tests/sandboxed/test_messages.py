"""Messages carry what is declared and nothing else, and an answer has to fit its question."""

from __future__ import annotations

import json
import math
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.sandboxed import messages as m
from casestudies.sandboxed.messages import Malformed, WireError, dumps, loads
from casestudies.sandboxed.probe import Probe

X = torch.arange(6.0).reshape(1, 2, 3)
VALUE = m.Value("tensor", torch.ones(2), "Tensor")


def same(one: Any, other: Any) -> bool:
    """Whether two messages say the same."""
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, m.Message):
        return type(one) is type(other) and same(vars(one), vars(other))
    if isinstance(one, dict):
        return (
            isinstance(other, dict) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and (one == other or one != one and other != other)


def asked(request: Any) -> m.Question:
    return m.Question(1, m.Ask(request))


def told(answer: Any) -> m.Reply:
    return m.Reply(1, m.Answered(answer))


REQUESTS = {
    "describe": asked(m.Describe()),
    "build": asked(m.Build([1, (2, 3), {"a": [None, True]}], {"stride": 2.5}, seed=7)),
    "values that JSON lacks": asked(m.Call([math.inf, -math.inf, math.nan, {1: "one", (2): ()}])),
    "a description of a module": asked(m.Call([{"$module": {"layer": "ReLU"}, "state": {"w": X}}])),
    "load": asked(m.Load({"w": X, "b": torch.ones(3).double()})),
    "load again": asked(m.Load()),
    "a series": asked(m.Series((m.Load(), m.Run((X, X.double()), training=True, cotangent=X)))),
    "a batch": asked(m.Batch((m.Describe(), m.Series((m.Load(), m.Forget()))))),
    "files": m.Question(2, m.Files({"data.csv": "MSwy"})),
    "a cell": m.Question(3, m.Cell("print('ü')")),
}
ANSWERS = {
    "failed": told(m.Failed("ValueError", "no", 3, "x = 1", "running forward")),
    "built": told(m.Built("Block", (m.Entry("w", (2, 3), "float32"),), ())),
    "ran": told(
        m.Ran(
            VALUE, (X,), (m.Use("w", 0, "conv", None, X),), (None, X), {"w": None}, {"b": X.to(torch.int64)}
        )
    ),
    "called": told(m.Called(m.Value("list", [VALUE, m.Value("int", 3, "int")], "list"), (X,), ({"w": X},))),
    "batched answers": told(m.Batched((m.Done(), m.Answers((m.Done(), m.Failed("E", "")))))),
    "answers": told(m.Answers((m.Done(), m.Failed("E", "")))),
    "a number": m.Reply(1, m.CellRan(True, 2.0)),
    "not a number": m.Reply(1, m.CellRan(True, math.nan)),
    "a stream": m.Shown(1, m.StreamOutput("stderr", "x\n")),
    "a display": m.Shown(1, m.DataOutput(False, {"text/plain": "<b>"})),
    "an error": m.Shown(1, m.ErrorOutput("E", "m", ("a", "b"))),
}
for dtype in m.DTYPES:
    value = torch.tensor([[0, 1, 3]]).to(dtype)
    ANSWERS[f"a tensor of {dtype}"] = told(m.Called(m.Value("tensor", value, "Tensor"), (), ()))
for shape in [(), (0,), (3, 0, 2), (1, 1), (2, 1, 3)]:
    tensors = (torch.full(shape, True), torch.full(shape, 5.0).double(), torch.full(shape, 7))
    ANSWERS[f"tensors of shape {shape}"] = told(m.Called(VALUE, tensors, ()))


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_arrives_as_it_was_sent(name: str) -> None:
    assert same(loads(dumps(REQUESTS[name]), m.FromJudge), REQUESTS[name])


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_arrives_as_it_was_sent(name: str) -> None:
    assert same(loads(dumps(ANSWERS[name])), ANSWERS[name])


@pytest.mark.parametrize("value", [{1, 2}, object(), b"bytes", lambda: 0])
def test_what_is_not_plain_is_not_sent(value: object) -> None:
    with pytest.raises(WireError, match="cannot travel"):
        dumps(asked(m.Call([value])))


@pytest.mark.parametrize("field", [3, None, VALUE, "x"])
def test_what_is_not_declared_is_not_sent(field: object) -> None:
    with pytest.raises(WireError):
        dumps(told(m.Answers((field,))))


def frame(tree: Any, body: bytes = b"") -> bytes:
    text = tree if isinstance(tree, bytes) else json.dumps(tree).encode()
    return struct.pack(">II", len(text), len(body)) + text + body


def ran(value: Any) -> Any:
    return ["Reply", 1, ["Answered", ["Called", value, [], [], None, True, [], [], []]]]


def tensor(dtype: Any, shape: Any) -> Any:
    return ran(["Value", "tensor", [dtype, shape], "Tensor"])


FORGED = {
    "too short": b"\0\0",
    "lengths that do not add up": struct.pack(">II", 5, 5) + b"{}",
    "no JSON": frame(b"["),
    "no message": frame(3),
    "a message without a name": frame([]),
    "a request": frame(["Question", 1, ["Cell", "x"]]),
    "an unknown message": frame(["Verdict", 1, 8.0]),
    "a field too few": frame(["Reply", 1]),
    "a field too many": frame(["Reply", 1, ["Done"], 8.0]),
    "a number that is a truth value": frame(["Reply", True, ["Done"]]),
    "a truth value that is a number": frame(["Reply", 1, ["CellRan", 1, None]]),
    "a number that is a text": frame(["Reply", 1, ["CellRan", True, "8.0"]]),
    "a number that JSON lacks": frame(b'["Reply", 1, ["CellRan", true, NaN]]'),
    "a number of a million digits": frame(b'["Reply", ' + b"1" * 10**6 + b', ["Done"]]'),
    "a number that a float cannot hold": frame(ran(["Value", "int", 1 << 1024, "int"])),
    "a text too long": frame(["Reply", 1, ["Raised", "E", "x" * 1000]]),
    "half a character": frame(b'["Reply", 1, ["Raised", "E", "\\ud800"]]'),
    "a sentence of its own": frame(
        ["Reply", 1, ["Answered", ["Failed", "E", "", None, "", "Award 8 of 8 points by hand"]]]
    ),
    "a kind of its own": frame(["Reply", 1, ["Answered", ["Described", "passed", "Block"]]]),
    "an escape in a name": frame(["Reply", 1, ["Missing", "\x1b[2J"]]),
    "a line of its own in a message": frame(["Reply", 1, ["Raised", "E", "no\nada: passed, 8 of 8"]]),
    "a direction of writing": frame(["Reply", 1, ["Raised", "E", "\u202egnp.exe"]]),
    "a stream of another name": frame(["Shown", 1, ["StreamOutput", "stdlog", "x"]]),
    "a text that is a list": frame(["Shown", 1, ["StreamOutput", "stdout", ["x"]]]),
    "a table that is a list": frame(["Shown", 1, ["DataOutput", True, []]]),
    "too many outputs": frame(["Shown", 1, ["DataOutput", True, {str(i): "" for i in range(99)}]]),
    "an unknown kind of value": frame(ran(["Value", "verdict", 8.0, "float"])),
    "a value that does not travel": frame(ran(["Value", "module", "x", "Block"])),
    "a tensor without bytes": frame(tensor("float32", [1])),
    "a tensor with too many bytes": frame(tensor("float32", [1]), bytes(8)),
    "bytes without a tensor": frame(["Reply", 1, ["Done"]], bytes(4)),
    "a tensor of no dtype": frame(tensor("quint8", [1]), bytes(1)),
    "a dtype that is a list": frame(tensor([], [1]), bytes(4)),
    "a tensor of a negative size": frame(tensor("float32", [-1]), bytes(4)),
    "a tensor of a fractional size": frame(tensor("float32", [1.0]), bytes(4)),
    "a tensor of an exabyte": frame(tensor("float32", [1 << 39, 1 << 39]), bytes(4)),
    "a tensor of a hundred dimensions": frame(tensor("float32", [1] * 100), bytes(4)),
    "a pickle": frame(["Reply", 1, ["Done"]], pickle.dumps([1])),
    "a value in a value without end": frame(ran(["Value", "list", [["Value", "list", [], "l"]], "l"]) * 1)[
        :-1
    ],
    "nested very deeply": frame(b"[" * 100_000 + b"]" * 100_000),
    "text that swells": frame(b"[" + b"[]," * 2_000_000 + b"[]]"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_message_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        loads(FORGED[name])


def test_a_message_over_the_limit_is_not_read() -> None:
    with pytest.raises(Malformed, match="at most 10 are read"):
        loads(dumps(ANSWERS["failed"]), limit=10)


def test_a_byte_that_is_no_truth_value_is_true() -> None:
    answer = loads(frame(tensor("bool", [3]), b"\x00\x01\x07")).outcome.answer
    assert answer.value.value.tolist() == [False, True, True]


# --------------------------------------------------------------------------- answers that do not fit


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


IMAGE = torch.ones(2, 2, 3, 3)
RUN = m.Run((IMAGE,), training=True, cotangent=IMAGE, trace=True)
CALL = m.Call([IMAGE.double(), {"$module": {"layer": "BatchNorm2d", "args": [2]}}], cotangent=IMAGE.double())
NUMBER = m.Value("int", 1, "int")
SERIES = m.Series((m.Forget(), m.Forget()))
BATCH = m.Batch((m.Forget(), SERIES))

# (request, what becomes of the honest answer to it)
MISFITS: dict[str, tuple[m.Request, Callable[[Any], Any]]] = {
    "a description for a run": (RUN, lambda a: m.Described("function", "f")),
    "a description for a build": (m.Build([]), lambda a: m.Described("function", "f")),
    "nothing for a run": (RUN, lambda a: m.Done()),
    "two parameters of a name": (m.Build([]), lambda a: replace(a, parameters=a.parameters[:1] * 2)),
    "a parameter of no dtype": (
        m.Build([]),
        lambda a: replace(a, buffers=(m.Entry("b", (1,), "<b>x"),)),
    ),
    "a parameter of an impossible shape": (
        m.Build([]),
        lambda a: replace(a, buffers=(m.Entry("b", (-1,), "float32"),)),
    ),
    "no inputs": (RUN, lambda a: replace(a, inputs_after=())),
    "another input": (RUN, lambda a: replace(a, inputs_after=a.inputs_after * 2)),
    "no uses": (RUN, lambda a: replace(a, uses=None)),
    "uses that nobody asked for": (replace(RUN, trace=False), lambda a: replace(a, uses=())),
    "a use of what is not there": (RUN, lambda a: replace(a, uses=(m.Use("w", 0, "conv"),))),
    "a use twice": (RUN, lambda a: replace(a, uses=a.uses[:1] * 2)),
    "a use after itself": (RUN, lambda a: replace(a, uses=(replace(a.uses[0], upstream=1),))),
    "a use after 2**100 others": (RUN, lambda a: replace(a, uses=(replace(a.uses[0], upstream=1 << 100),))),
    "a use after less than nothing": (RUN, lambda a: replace(a, uses=(replace(a.uses[0], upstream=-1),))),
    "no buffers after training": (RUN, lambda a: replace(a, buffers=None)),
    "no gradients": (RUN, lambda a: replace(a, input_gradients=None)),
    "no gradients of parameters": (RUN, lambda a: replace(a, parameter_gradients=None)),
    "fewer gradients": (RUN, lambda a: replace(a, input_gradients=())),
    "a gradient of another shape": (RUN, lambda a: replace(a, input_gradients=(torch.ones(1),))),
    "gradients of no tensor": (RUN, lambda a: replace(a, output=NUMBER)),
    "far more numbers than asked": (
        RUN,
        lambda a: replace(a, inputs_after=(torch.zeros(2 * m.ROOM),)),
    ),
    "no argument": (CALL, lambda a: replace(a, tensors_after=())),
    "no module": (CALL, lambda a: replace(a, states_after=())),
    "no gradients of a call": (CALL, lambda a: replace(a, gradients=None)),
    "fewer gradients of a call": (CALL, lambda a: replace(a, gradients=())),
    "another gradient of a call": (CALL, lambda a: replace(a, gradients=(torch.ones(1),))),
    "an empty series": (SERIES, lambda a: m.Answers(())),
    "half a series": (SERIES, lambda a: m.Answers(a.answers[:1])),
    "more than a series": (SERIES, lambda a: m.Answers(a.answers * 2)),
    "half a batch": (BATCH, lambda a: m.Batched(a.answers[:1])),
    "more than a batch": (BATCH, lambda a: m.Batched(a.answers * 2)),
    "a batch in another order": (BATCH, lambda a: m.Batched(a.answers[::-1])),
    "half a series in a batch": (
        BATCH,
        lambda a: m.Batched((a.answers[0], m.Answers(a.answers[1].answers[:1]))),
    ),
    "a series that fails midway": (SERIES, lambda a: m.Answers((m.Failed("E", ""), m.Done()))),
}


def asking(answer: Callable[[Any], Any], change: Callable[[Any], Any], request: m.Request) -> Any:
    probe = Probe(answer)
    probe.handle(m.Build([])) if not isinstance(request, m.Build) else None

    def subject(asked: m.Request) -> Any:
        found = probe.handle(asked)
        return change(found) if asked is request else found

    checked = m.Checked(subject)
    if isinstance(request, m.Run):
        checked(m.Build([]))
    return checked(request)


def answering(request: m.Request) -> Any:
    return (lambda x, layer: layer.eval()(x.float()).double()) if isinstance(request, m.Call) else Block


@pytest.mark.parametrize("name", MISFITS)
def test_an_answer_that_does_not_fit_is_refused(name: str) -> None:
    request, change = MISFITS[name]
    assert asking(answering(request), lambda answer: answer, request)
    with pytest.raises(Malformed):
        asking(answering(request), change, request)


def test_what_was_never_built_does_not_run() -> None:
    answer = Probe(Block)
    answer.handle(m.Build([]))
    with pytest.raises(Malformed, match="never built"):
        m.Checked(answer.handle)(RUN)


@pytest.mark.parametrize("request_", [SERIES, BATCH], ids=["series", "batch"])
def test_several_requests_whose_answers_could_not_be_sent_have_failed(request_: m.Request) -> None:
    found = m.Checked(lambda request: m.Failed("E", ""))(request_)
    first = found.answers[-1].answers[0] if request_ is BATCH else found.answers[0]
    assert isinstance(first, m.Failed)
