"""The probe: builds, runs and watches a student's object, and answers with plain data.

It is the only part of the checks that runs beside the student's code, and it knows nothing of what is
right: no reference, no tolerance, no verdict. Requests and answers are those of `messages`; an exception of
the student's code is an answer too, `Failed`.
"""

from __future__ import annotations

import dis
import linecache
import os
import random
import sys
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode, _pop_mode, _push_mode

from casestudies.graph import Uses, record_until
from casestudies.hollow import tensors_in
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Built, Called, Described, Done, Entry, Failed, Ran, Use, Value
from casestudies.sandboxed.quoting import printable
from casestudies.sandboxed.threads import followed
from casestudies.sandboxed.torch_state import our_state, without_errors_for_warnings
from casestudies.sandboxed.walks import buffers_of, parameters_of, set_mode, tensors_named

PARTIAL = "functools.partial"  # has no name of its own
DTYPES = {str(dtype)[6:] for dtype in messages.DTYPES}


class StudentError(Exception):
    """Wraps what the student's code raised, with what it was doing."""

    def __init__(self, doing: messages.Doing, error: BaseException) -> None:
        super().__init__(doing)
        self.doing: messages.Doing = doing
        self.error = error


@contextmanager
def students_code(doing: messages.Doing) -> Iterator[None]:
    """Turns whatever the student's code raises into an answer. An interrupt by hand stays an interrupt."""
    try:
        with _recursion_bounded():
            yield
    except (
        BaseException
    ) as error:  # such as SystemExit and GeneratorExit, which would end more than the check
        if by_hand(error):
            raise
        raise StudentError(doing, error) from error


DEEPEST = 5_000  # calls within each other: with some ten thousand the stack of a process is full, and it ends


@contextmanager
def _recursion_bounded() -> Iterator[None]:
    """Meanwhile calls within calls without end raise RecursionError, whatever limit a notebook has set, or sets."""
    limit, setting = sys.getrecursionlimit(), sys.setrecursionlimit

    def bounded(most: int) -> None:
        setting(min(most, DEEPEST))

    if limit > DEEPEST:
        setting(DEEPEST)
    sys.setrecursionlimit = bounded
    try:
        yield
    finally:
        if sys.setrecursionlimit is bounded:
            sys.setrecursionlimit = setting
        if limit > DEEPEST:
            setting(limit)


RAISE = dis.opmap["RAISE_VARARGS"]


def by_hand(error: BaseException) -> bool:
    """Whether somebody interrupts the check. What a statement of the student's code raises is only called so."""
    last = error.__traceback__
    if not isinstance(error, KeyboardInterrupt) or last is None:
        return isinstance(error, KeyboardInterrupt)
    while last.tb_next is not None:
        last = last.tb_next
    code = last.tb_frame.f_code
    return code.co_code[last.tb_lasti] != RAISE or not is_students(code.co_filename)


def _share(one: nn.Module, other: nn.Module) -> bool:
    """Whether two modules have a parameter in common."""
    with students_code("listing the parameters"):
        held = {id(parameter) for _, parameter in parameters_of(one, messages.ENTRIES)}
        return any(id(parameter) in held for _, parameter in parameters_of(other, messages.ENTRIES))


def _copy_of(module: nn.Module) -> nn.Module:
    """A copy of a module; the module itself where it cannot be copied."""
    try:
        return deepcopy(module)
    except Exception:
        return module


def _outline(value: Any) -> Any:
    """What lists and tuples hold: numbers and words as they are, all else by what it is."""
    if type(value) in (list, tuple):
        return type(value), *map(_outline, value)
    return value if type(value) in (int, float, bool, str) else (type(value), id(value))


def _library_directories() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    library |= {os.path.dirname(os.path.abspath(torch.__file__)), os.path.dirname(os.__file__), here}
    return tuple(os.path.join(path, "") for path in library)


_LIBRARY = _library_directories()


def is_students(filename: str) -> bool:
    """Whether code comes from a student, not from a library, by the name of its file."""
    return not filename.startswith(("<frozen", *_LIBRARY)) and filename != "<string>"


def explain(failure: StudentError) -> Failed:
    """The exception in a few plain fields, with the last line of the student's own code that led to it."""
    error = failure.error
    line, source = None, ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if is_students(name):
            line, source = number, linecache.getline(name, number, frame.f_globals).strip()
    try:
        message = str(error)
    except BaseException as other:
        if by_hand(other):
            raise
        message = "(the exception cannot be printed)"
    return Failed(name_of(type(error)), printable(message), line, printable(source, 180), failure.doing)


# --------------------------------------------------------------------------- values


def name_of(kind: type) -> str:
    """The name of a class, also of one that lies about it."""
    try:
        return printable(kind.__name__, 100)
    except Exception:
        return "(a class without a name)"


def copied(tensor: Tensor) -> Tensor:
    """A tensor's values as they are now."""
    if type(tensor) is Tensor and not tensor.requires_grad:  # mostly
        return tensor.clone()
    return tensor.detach().as_subclass(Tensor).clone()


def travels(tensor: Tensor) -> bool:
    """Whether a tensor holds plain numbers: dense, real or complex, and present."""
    return (
        tensor.layout == torch.strided
        and not tensor.is_nested
        and not tensor.is_quantized
        and str(tensor.dtype)[6:] in DTYPES
        and not tensor.is_meta
    )


class _TooMuch(Exception):
    """A value holds more than travels."""


def encode(value: Any) -> Value:
    """A returned value as plain data that keeps its type; of one that holds too much, only what it is."""
    try:
        return _encode(value, 0, [messages.VALUES])
    except _TooMuch:
        return Value("other", None, f"{name_of(type(value))} that holds too much to compare")


def _encode(value: Any, depth: int, room: list[int]) -> Value:
    """`room` is how much more may come, in all that the value holds."""
    room[0] -= 1 + (len(value) // messages.TEXT if type(value) is str else 0)
    if room[0] < 0:
        raise _TooMuch
    name = name_of(type(value))
    if isinstance(value, Tensor):
        if not travels(value):
            how = "on the meta device" if value.is_meta else f"of {value.dtype}, {value.layout}"
            return Value("other", None, printable(f"{name} {how}", 100))
        return Value("tensor", copied(value), name)
    if value is None:
        return Value("none", None, name)
    if isinstance(value, bool):
        return Value("bool", bool(value), name)
    if isinstance(value, int):
        if abs(value) >= 1 << 200:
            return Value("other", None, "int of more than 60 digits")
        return Value("int", int(value), name)
    if isinstance(value, float):
        return Value("float", float(value), name)
    if isinstance(value, str):
        return Value("str", printable(value, 900), name)
    if isinstance(value, (tuple, list)) and depth < 4:
        items = [_encode(item, depth + 1, room) for item in value]  # `room` ends it
        return Value("tuple" if isinstance(value, tuple) else "list", items, name)
    if isinstance(value, nn.Module):
        return Value("module", None, name)
    if isinstance(value, type):
        return Value("class", None, name_of(value))
    module = type(value).__module__
    if module in ("fractions", "decimal") and hasattr(type(value), "__float__"):
        return Value("float", float(value), name)
    if module == "numpy":  # NumPy is not imported here, only recognised
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            inner = _encode(value.item(), depth + 1, room)
            return Value(inner.kind, inner.value, f"numpy.{name}")
        return Value("array", None, f"numpy.{name}")
    return Value("other", None, name)


class Residual(nn.Module):
    """activation(body(x) + shortcut(x)): a given block for parts whose functions take a block."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None, activation: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, x: Tensor) -> Tensor:
        total = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return total if self.activation is None else self.activation(total)


class Wired(nn.Module):
    """Named layers, and how what they make is put together: a block whose parts a notebook calls by name.

    Each step is [result, layer, *operands] or [result, "+", one, other]. The input is "x"; the last result is what
    comes out.
    """

    def __init__(self, layers: Mapping[str, nn.Module], steps: Sequence[Sequence[str]]) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        values = {"x": x}
        for result, how, *operands in self.steps:
            inputs = [values[name] for name in operands]
            # By its name at this moment: a student may have put another layer in its place.
            values[result] = inputs[0] + inputs[1] if how == "+" else getattr(self, how)(*inputs)
        return values[self.steps[-1][0]]


LAYERS = {
    name: getattr(nn, name)
    for name in (
        "AdaptiveAvgPool2d AdaptiveLogSoftmaxWithLoss AvgPool2d BatchNorm1d BatchNorm2d Bilinear Conv2d Dropout "
        "Embedding Flatten Identity Linear LocalResponseNorm MaxPool2d ReLU ReLU6 SiLU Sigmoid Tanh"
    ).split()
}


def assemble(spec: messages.LayerSpec) -> nn.Module:
    """A module from a plain description: {"layer": "Conv2d", "args": [...], "kwargs": {...}}.

    "Sequential" and "Residual" take descriptions as arguments. A description with `layers` and `steps` is a block of
    the course's own, under the name that it has there: see `Wired`.
    """
    name, args, kwargs = spec["layer"], spec.get("args", []), spec.get("kwargs", {})
    if "layers" in spec:
        layers = {key: assemble(each) for key, each in spec["layers"].items()}
        return type(name, (Wired,), {})(layers, spec["steps"])
    if name == "Sequential":
        return nn.Sequential(*(assemble(item) for item in args))
    if name == "Residual":
        body, shortcut, activation = (None if item is None else assemble(item) for item in args)
        assert body is not None
        return Residual(body, shortcut, activation)
    if name not in LAYERS:
        raise ValueError(
            f"layer of a module that is described is {name!r}; expected Sequential, {', '.join(LAYERS)}"
        )
    return LAYERS[name](*args, **kwargs)


# --------------------------------------------------------------------------- watching a forward pass


class Watch(TorchDispatchMode):
    """Follows parameters and buffers through a forward pass, as `graph.uses` does through a recorded one.

    It looks on and changes nothing. So it also sees what `graph.record` refuses, such as code of torch.jit, and with
    `record` it keeps what enters and leaves each first use, which a graph does not hold.
    """

    def __init__(self, named: dict[str, Tensor], record: bool = False) -> None:
        super().__init__()
        self.following = Uses((name, _address(each), tuple(each.shape)) for name, each in named.items())
        self.uses: list[Use] = []
        self.record = record
        self.lock = threading.RLock()  # held for one operation: see `joined`
        self.over = False
        self.alive: list[Tensor] = []  # freed memory could be given out again and confuse the addresses

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; telling the compiler so would first import it, for seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self.over:  # of a thread that outlives the run
            return func(*args, **(kwargs or {}))
        with self.lock:
            return self._see(func, args, kwargs or {})

    @contextmanager
    def joined(self) -> Iterator[None]:
        """See what another thread does, which enters the mode by itself: torch counts in one place for all."""
        _push_mode(self)
        try:
            yield
        finally:
            _pop_mode()

    def _see(self, func: Any, args: Any, kwargs: Any) -> Any:
        inputs = tensors_in((args, kwargs) if kwargs else args)
        before: list[Tensor] = []
        if self.record:
            data = (each for each in inputs if _address(each) not in self.following.derived)
            before = [each.detach().clone() for each in islice(data, 1)]
        result = func(*args, **kwargs)
        outputs = tensors_in(result)
        self.alive += inputs
        self.alive += outputs
        reads = [(_address(each), each.numel()) for each in inputs]
        for name, upstream in self.following.step(reads, [_address(each) for each in outputs]):
            seen: tuple[Tensor | None, ...] = (None, None)
            if self.record and outputs and outputs[0].is_floating_point():
                seen = (before[0] if before else None, outputs[0].detach().clone())
            self.uses.append(Use(name, upstream, func.__name__, *seen))
        return result


class _Noted(TorchDispatchMode):
    """Notes which of the operations that a part may forbid are carried out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # as `Watch`

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default:
            groups = args[8] if len(args) > 8 else 1
            self.found |= set(messages.OPERATIONS if groups > 1 else messages.OPERATIONS[:1])
        return func(*args, **(kwargs or {}))


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def watch(
    module: nn.Module, inputs: Sequence[Tensor], record: bool = False, call: Callable[..., Any] | None = None
) -> tuple[Any, list[Use]]:
    """Run `module(*inputs)`; return its output and the uses of its parameters and buffers, in order."""
    named = tensors_named(module)
    with Watch(named, record) as mode, followed(mode.joined):
        try:
            output = (call or module)(*inputs)
        finally:
            mode.over = True
    return output, mode.uses


# --------------------------------------------------------------------------- running


# Taken before any student's code runs: what is put in their place later does not reach this file.
_get_python, _set_python, _seed_python = random.getstate, random.setstate, random.seed
_next_python = random.getrandbits
_GENERATOR = torch.default_generator


class Generators:
    """Where the generators of random numbers stand: torch's, Python's and, where it is loaded, NumPy's.

    A student's code may have put anything in the place of NumPy's: then it counts for nothing.
    """

    def __init__(self) -> None:
        self.torch = _GENERATOR.get_state()
        self.python = _get_python()
        self.numpy = _numpy("get_state", legacy=False)

    def put_back(self) -> None:
        _GENERATOR.set_state(self.torch)
        _set_python(self.python)
        if self.numpy is not None:
            _numpy("set_state", self.numpy)


class Seeded:
    """All generators begin at a seed. What they would draw first tells later whether they still stand there: to look
    at NumPy's whole state takes longer than a small block."""

    # What Python's generator draws first after the latest seeds: the same seed comes for several runs in a row.
    _FIRST: ClassVar[dict[int, int]] = {}

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._begin()
        self.torch = _GENERATOR.get_state()
        first = None if "numpy.random" in sys.modules else self._FIRST.get(seed)
        if first is not None:
            self.first: tuple[int, bytes | None] = first, None
            return
        self.first = self._next()
        if len(self._FIRST) >= 64:
            self._FIRST.clear()
        self._FIRST[seed] = self.first[0]
        self._begin()

    def _begin(self) -> None:
        # torch.manual_seed would also queue the seed for the GPU, with a formatted traceback: 2 ms for each call.
        _GENERATOR.manual_seed(self.seed)
        _seed_python(self.seed)
        _numpy("seed", self.seed % 2**32)

    def _next(self) -> tuple[int, bytes | None]:
        drawn = _numpy("bytes", 8)
        return _next_python(64), drawn if type(drawn) is bytes else None

    def moved(self) -> bool:
        """Whether any has drawn a number since, or was seeded. Asked once: it draws itself."""
        (python, numpy), (python_now, numpy_now) = self.first, self._next()
        return (
            not torch.equal(self.torch, _GENERATOR.get_state())
            or python != python_now
            or (numpy is not None and numpy_now is not None and numpy != numpy_now)
        )


def _numpy(name: str, *arguments: Any, **options: Any) -> Any:
    """What a function of NumPy's generator gives; None where there is none, or another in its place."""
    numpy = sys.modules.get("numpy.random")
    if numpy is None:
        return None
    try:
        return getattr(numpy, name)(*arguments, **options)
    except Exception:
        return None


_kept = False  # whether somebody further out puts all generators back


@contextmanager
def generators_kept() -> Iterator[None]:
    """All generators stand afterwards where they stood before; the outermost of several sees to it."""
    global _kept
    if _kept:
        yield
        return
    before = Generators()
    _kept = True
    try:
        yield
    finally:
        _kept = False
        before.put_back()


@contextmanager
def drawing_from(seed: int) -> Iterator[Seeded]:
    """All generators begin at a seed, and stand afterwards where they stood before."""
    with generators_kept():
        yield Seeded(seed)


def run_module(
    module: nn.Module,
    inputs: Sequence[Tensor],
    *,
    training: bool,
    cotangent: Tensor | None = None,
    record: bool = False,
    trace: bool = False,
    seed: int = 0,
    gradients: bool = False,
    apart: bool = False,
    switch: bool = True,
) -> Ran:
    """One forward pass (and, given a cotangent of the output's shape, one backward pass), as plain data. `apart` lays
    the images of a batch apart in memory: such an input is not contiguous, while each of its images is. Without
    `switch` the module runs in the mode that it is in."""
    gradients = gradients or cotangent is not None
    if switch:
        with students_code("switching between train() and eval()"):
            set_mode(module, training)
    leaves = [x.clone().requires_grad_(x.is_floating_point() and gradients) for x in inputs]
    # The block gets a copy of the leaf: PyTorch forbids in-place changes of leaves, and we want to see them.
    given = [leaf.repeat_interleave(2, 0)[::2] if apart else leaf.clone() for leaf in leaves]
    uses = None
    with drawing_from(seed) as generators, torch.set_grad_enabled(gradients):
        with students_code("running forward"):
            if trace or record:
                output, uses = watch(module, given, record)
            else:
                output = module(*given)
            value = encode(output)
        drawn = generators.moved()
    input_gradients = parameter_gradients = buffers = None
    if cotangent is not None and value.kind == "tensor" and value.value.shape == cotangent.shape:
        with students_code("computing gradients (backward)"):
            parameters = {name: p for name, p in parameters_of(module) if p.requires_grad}
            wanted = [leaf for leaf in leaves if leaf.requires_grad] + list(parameters.values())
            found: tuple[Tensor | None, ...] = (None,) * len(wanted)
            if output.requires_grad:
                found = _gradients(output, wanted, cotangent)
            count = len(wanted) - len(parameters)
            input_gradients = found[:count]
            parameter_gradients = dict(zip(parameters, found[count:], strict=True))
    if training:  # elsewhere they stay as they are, or evaluation gives other values the second time
        with students_code("listing the buffers"):
            buffers = {name: copied(b) for name, b in buffers_of(module)}
    with students_code("looking at the input after forward"):
        after = tuple(copied(x) for x in given)
    return Ran(
        value,
        after,
        None if uses is None else tuple(uses),
        input_gradients,
        parameter_gradients,
        buffers,
        drawn,
    )


def _gradients(output: Tensor, wanted: list[Tensor], cotangent: Tensor) -> tuple[Tensor | None, ...]:
    # Of a number, not of the output with a cotangent: for that PyTorch first imports its symbolic shapes (1 s).
    number = (output * cotangent.to(output.dtype)).sum()
    try:
        return torch.autograd.grad(number, wanted, allow_unused=True, retain_graph=True)
    except RuntimeError:  # torch.utils.checkpoint, as it was for long, knows but one way: as in training
        if not all(each.is_leaf for each in wanted):
            raise
    before = [each.grad for each in wanted]
    try:
        for each in wanted:
            each.grad = None
        number.backward()
        return tuple([each.grad for each in wanted])
    finally:
        for each, gradient in zip(wanted, before, strict=True):
            each.grad = gradient


class Probe:
    """Answers requests about one object of a student.

    >>> probe = Probe(lambda size: size // 2)
    >>> probe.handle(messages.Call([7])).value.value
    3
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.modules: dict[int, nn.Module] = {}
        self.states: dict[int, dict[str, Tensor]] = {}  # what was last loaded into each
        self.parameters: dict[int, set[str]] = {}  # names of those that a module had when it was built
        self.training: dict[int, bool] = {}  # the mode to which each was switched last

    def handle(self, request: messages.Request) -> messages.Answer:
        if type(request) is messages.Batch:
            with generators_kept():
                answers: list[Any] = [self.handle(each) for each in request.requests]
            return messages.Batched(tuple(answers))
        if type(request) is messages.Series:
            with generators_kept():
                return self._series(request)
        with our_state(generators=not _kept), without_errors_for_warnings():
            try:
                return self._ACTIONS[type(request)](self, request)
            except StudentError as failure:
                return explain(failure)

    def _series(self, request: messages.Series) -> messages.Answers:
        answers: list[Any] = []
        for each in request.requests:
            answers.append(self.handle(each))
            if type(answers[-1]) is Failed:
                break
        return messages.Answers(tuple(answers))

    def _describe(self, request: messages.Describe) -> Described:
        answer = self.answer
        with students_code("being looked at"):
            if isinstance(answer, type):
                return Described(
                    "module class" if issubclass(answer, nn.Module) else "class", name_of(answer)
                )
            if isinstance(answer, nn.Module):
                return Described("module", name_of(type(answer)))
            if isinstance(answer, partial):
                return Described("function", PARTIAL)
            if callable(answer):
                name = getattr(answer, "__name__", None)
                return Described(
                    "function", printable(name, 100) if type(name) is str else name_of(type(answer))
                )
            return Described(encode(answer).kind, name_of(type(answer)))

    def _build(self, request: messages.Build) -> Built | messages.Lazy | messages.NotAModule:
        with drawing_from(request.seed):
            with students_code("building the block"):
                module = self.answer(*request.args, **request.kwargs)
                if not isinstance(module, nn.Module):
                    return messages.NotAModule(encode(module).type)
                left = tuple(encode(value) for value in (*request.args, *request.kwargs.values()))
        before = self.modules.get(request.handle)
        self.modules[request.handle] = _copy_of(module) if request.apart else module
        self.training.pop(request.handle, None)
        found = self._listed(request.handle)
        if not isinstance(found, Built):
            return found
        alike: tuple[str, ...] = ()
        if request.alike:
            with students_code("listing the parameters"):
                alike = _alike(parameters_of(module, messages.ENTRIES))
        shared = before is not None and _share(before, module)
        return replace(found, arguments=left, shared=shared, alike=alike)

    def _listed(self, handle: int) -> Built | messages.Lazy:
        module = self.modules[handle]
        found = _contents(module)
        self.parameters[handle] = set()
        if isinstance(found, Built):
            with students_code("listing the parameters"):
                self.parameters[handle] = {name for name, _ in parameters_of(module, messages.ENTRIES)}
        return found

    def _materialise(self, request: messages.Materialise) -> Built:
        module = self.modules[request.handle]
        run_module(module, request.inputs, training=False)
        self.training[request.handle] = False
        found = self._listed(request.handle)
        with students_code("listing the parameters"):
            if not isinstance(found, Built):
                raise RuntimeError("a lazy layer of the block has no shape after forward: it is never used")
            return replace(found, alike=_alike(parameters_of(module, messages.ENTRIES)))

    def _cast(self, request: messages.Cast) -> Done:
        doing: messages.Doing = "converting the block to float64"
        if request.dtype == "float32":
            doing = "converting the block to float32"
        with students_code(doing):
            self.modules[request.handle].to(
                {"float32": torch.float32, "float64": torch.float64}[request.dtype]
            )
        return Done()

    def _load(self, request: messages.Load) -> Done:
        module = self.modules[request.handle]
        state = self.states[request.handle] if request.state is None else request.state
        self.states[request.handle] = state
        with students_code("loading values into the parameters"), torch.no_grad():
            named = tensors_named(module)
            for name, value in state.items():
                named[name].copy_(value)
        return Done()

    def _run(self, request: messages.Run) -> Ran:
        module = self.modules[request.handle]
        # Switched once for several runs, as whoever trains does: a block that leaves another mode is seen by that.
        switch = self.training.pop(request.handle, None) is not request.training
        ran = run_module(
            module,
            request.inputs,
            training=request.training,
            cotangent=request.cotangent,
            record=request.record,
            trace=request.trace,
            seed=request.seed,
            gradients=request.gradients,
            apart=request.apart,
            switch=switch,
        )
        self.training[request.handle] = request.training
        with students_code("listing the parameters"):
            now = [name for name, _ in parameters_of(module, messages.ENTRIES)]
        new = next((name for name in now if name not in self.parameters[request.handle]), None)
        if new is not None:
            raise StudentError("making layers in forward", RuntimeError(printable(new, 190)))
        return ran

    def _record(self, request: messages.Record) -> messages.Recorded:
        module = self.modules[request.handle]
        self.training.pop(request.handle, None)
        # As in `run_module`: a copy of the leaf, which a block may change in place.
        given = [x.clone().requires_grad_(x.is_floating_point()).clone() for x in request.inputs]
        with drawing_from(request.seed), students_code("running forward"), torch.enable_grad():
            graph, error = record_until(
                module, *given, training=request.training, grad=True, following=followed
            )
            text = "" if graph is None else graph.to_json()
        failed = None if error is None else explain(StudentError("running forward", error))
        return messages.Recorded(text if len(text) < 2**20 else "", failed)

    def _forget(self, request: messages.Forget) -> Done:
        self.modules.clear()
        self.states.clear()
        self.parameters.clear()
        self.training.clear()
        return Done()

    def _call(self, request: messages.Call) -> Called:
        loaded = "numpy.random" in sys.modules
        called = self._call_once(request)
        # NumPy loads its generators when they are first used, and they begin anywhere: once more, from the seed.
        return called if loaded or "numpy.random" not in sys.modules else self._call_once(request)

    def _call_once(self, request: messages.Call) -> Called:
        cotangent = request.cotangent
        leaves: list[Tensor] = []
        modules: list[nn.Module] = []
        later: list[tuple[nn.Module, Tensor]] = []
        given: list[Tensor] = []

        def prepare(value: Any) -> Any:
            if isinstance(value, Tensor):
                track = cotangent is not None and value.is_floating_point()
                leaves.append(value.clone().requires_grad_(track))
                given.append(leaves[-1].clone() if track else leaves[-1])
                return given[-1]
            if isinstance(value, dict) and "$module" in value:
                module = assemble(value["$module"])
                if "state" in value:
                    module.load_state_dict(value["state"])
                modules.append(module.train(value.get("training", False)))
                if "then" in value:
                    later.append((module, value["then"]))
                return module
            if isinstance(value, list):
                return [prepare(item) for item in value]
            if isinstance(value, tuple):
                return tuple(prepare(item) for item in value)
            # A process of its own gets a copy anyway; here a change would reach the reference.
            return deepcopy(value) if isinstance(value, dict) else value

        # Gradients are recorded, as in a notebook: what fails there (a parameter changed in place) fails here.
        with generators_kept(), torch.enable_grad():
            arguments = [prepare(value) for value in request.args]
            named = {name: prepare(value) for name, value in request.kwargs.items()}
            before = _outline((*arguments, *named.values()))
            settings = [_settings(module) for module in modules]
            noted = _Noted()
            watching = noted if request.watched else nullcontext()
            with drawing_from(request.seed), students_code("calling the function"):
                with watching:
                    returned = self.answer(*arguments, **named)
                value = encode(returned)
        gradients: tuple[Tensor | None, ...] | None = None
        with students_code("looking at the arguments after the call"):
            tensors_after = tuple(copied(x) for x in given)
            kept = _outline((*arguments, *named.values())) == before
            states_after = tuple({n: copied(t) for n, t in module.state_dict().items()} for module in modules)
            changed = _changed(settings, [_settings(module) for module in modules])
            # Its state alone does not tell what a module does: layers without any may have come or gone.
            with torch.no_grad():
                outputs_after = tuple(encode(module(x)) for module, x in later)
        if cotangent is not None and value.kind == "tensor" and value.value.shape == cotangent.shape:
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            gradients = (None,) * len(wanted)
            with students_code("computing gradients (backward)"):
                if wanted and returned.requires_grad:
                    gradients = _gradients(returned, wanted, cotangent)
        return Called(
            value,
            tensors_after,
            states_after,
            gradients,
            kept,
            outputs_after,
            changed,
            tuple(sorted(noted.found)),
        )

    _ACTIONS: ClassVar[dict[type[messages.Message], Callable[..., messages.Answer]]] = {
        messages.Describe: _describe,
        messages.Build: _build,
        messages.Materialise: _materialise,
        messages.Cast: _cast,
        messages.Load: _load,
        messages.Run: _run,
        messages.Record: _record,
        messages.Call: _call,
        messages.Forget: _forget,
    }


# Each module below one with its mode, and whether each parameter is trained, by name.
_Settings = tuple[dict[str, tuple[nn.Module, bool]], dict[str, bool]]


def _settings(module: nn.Module) -> _Settings:
    modes = {name: (each, each.training) for name, each in module.named_modules()}
    return modes, {name: each.requires_grad for name, each in parameters_of(module)}


def _changed(before: Sequence[_Settings], after: Sequence[_Settings]) -> tuple[str, ...]:
    """What is otherwise: the mode of modules that are still there, parameters by their names, the modules."""
    found = set()
    for (modules, trained), (modules_now, trained_now) in zip(before, after, strict=True):
        for name, (module, mode) in modules.items():
            now, mode_now = modules_now.get(name, (None, mode))
            if now is not module:
                found.add("layers")
            elif mode_now != mode:
                found.add("training")
        if any(trained[name] != trained_now[name] for name in trained.keys() & trained_now.keys()):
            found.add("requires_grad")
    return tuple(each for each in messages.CHANGES if each in found)


def _contents(module: nn.Module) -> Built | messages.Lazy:
    """The parameters and buffers of a module; of one whose lazy layers have not run, only that it is lazy."""
    with students_code("listing the parameters"):
        parameters = parameters_of(module, messages.ENTRIES)
        buffers = buffers_of(module, messages.ENTRIES)
        if any(is_lazy(tensor) for _, tensor in (*parameters, *buffers)):
            return messages.Lazy(name_of(type(module)))
        return Built(
            name_of(type(module)),
            tuple(_describe(name, tensor) for name, tensor in parameters),
            tuple(_describe(name, tensor) for name, tensor in buffers),
        )


def _alike(parameters: Sequence[tuple[str, Tensor]]) -> tuple[str, ...]:
    """The weights that are trained and whose filters have all the same values. Of most, two filters tell."""
    found = []
    for name, tensor in parameters:
        if tensor.dim() < 2 or not tensor.requires_grad or not travels(tensor):
            continue
        value = tensor.detach()
        # A matrix may be kept the other way round. A vector with further axes has no filters.
        for axis in range(2 if value.dim() == 2 else 1):
            count = value.shape[axis]
            if count < 2 or count == value.numel():
                continue
            first = value.narrow(axis, 0, 1)
            if torch.equal(first, value.narrow(axis, 1, 1)) and torch.equal(first.expand_as(value), value):
                found.append(printable(name, 190))
                break
    return tuple(found)


def _describe(name: str, tensor: Tensor) -> Entry:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return Entry(printable(name, 190), tuple(tensor.shape), dtype)


__all__ = ["Probe", "Residual", "Wired", "assemble", "encode", "explain", "run_module", "watch"]
