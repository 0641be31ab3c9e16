"""The probe: builds, runs and watches a student's object, and answers with plain data.

It is the only part of the checks that runs beside the student's code, and it knows nothing of what is
right: no reference, no tolerance, no verdict. It imports torch and the standard library alone, so that a
sandbox needs no other file of this package.

Every request is a dict with the key "do"; every answer is a dict. An exception of the student's code is an
answer too: {"failed": {"type", "message", "line", "source", "while"}}.
"""

from __future__ import annotations

import linecache
import os
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

MESSAGE_LENGTH = 400


class StudentError(Exception):
    """Wraps what the student's code raised, with what it was doing."""

    def __init__(self, doing: str, error: BaseException) -> None:
        super().__init__(doing)
        self.doing, self.error = doing, error


@contextmanager
def students_code(doing: str) -> Iterator[None]:
    """Turns whatever the student's code raises into an answer. An interrupt by hand stays an interrupt."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except (Exception, SystemExit) as error:
        raise StudentError(doing, error) from error


def _library_directories() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    library = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    library |= {os.path.dirname(os.path.abspath(torch.__file__)), os.path.dirname(os.__file__), here}
    return tuple(os.path.join(path, "") for path in library)


_LIBRARY = _library_directories()


def _is_students(filename: str) -> bool:
    return not filename.startswith(("<frozen", *_LIBRARY)) and filename != "<string>"


def explain(failure: StudentError) -> dict[str, Any]:
    """The exception in a few plain fields, with the last line of the student's own code that led to it."""
    error = failure.error
    line, source = None, ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if _is_students(name):
            line, source = number, linecache.getline(name, number, frame.f_globals).strip()
    try:
        message = str(error)
    except Exception:
        message = "(the exception cannot be printed)"
    if len(message) > MESSAGE_LENGTH:
        message = message[:MESSAGE_LENGTH] + " ..."
    return {
        "type": type(error).__name__,
        "message": message,
        "line": line,
        "source": source[:200],
        "while": failure.doing,
    }


# --------------------------------------------------------------------------- values


def encode(value: Any, depth: int = 0) -> dict[str, Any]:
    """A returned value as plain data that keeps its type: {"kind", "value", "type"}."""
    name = type(value).__name__
    if isinstance(value, Tensor):
        plain = value.detach().as_subclass(Tensor)
        return {"kind": "tensor", "value": plain.clone(), "type": name}
    if value is None:
        return {"kind": "none", "value": None, "type": name}
    if isinstance(value, bool):
        return {"kind": "bool", "value": bool(value), "type": name}
    if isinstance(value, int):
        return {"kind": "int", "value": int(value), "type": name}
    if isinstance(value, float):
        return {"kind": "float", "value": float(value), "type": name}
    if isinstance(value, str):
        return {"kind": "str", "value": str(value)[:1000], "type": name}
    if isinstance(value, (tuple, list)) and depth < 4:
        items = [encode(item, depth + 1) for item in list(value)[:1000]]
        return {"kind": "tuple" if isinstance(value, tuple) else "list", "value": items, "type": name}
    if isinstance(value, nn.Module):
        return {"kind": "module", "value": None, "type": name}
    if isinstance(value, type):
        return {"kind": "class", "value": None, "type": value.__name__}
    module = type(value).__module__
    if module == "numpy":  # NumPy is not imported here, only recognised
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            return {**encode(value.item(), depth + 1), "type": f"numpy.{name}"}
        return {"kind": "array", "value": None, "type": f"numpy.{name}"}
    return {"kind": "other", "value": None, "type": name}


class Residual(nn.Module):
    """activation(body(x) + shortcut(x)): a given block for parts whose functions take a block."""

    def __init__(self, body: nn.Module, shortcut: nn.Module | None, activation: nn.Module | None) -> None:
        super().__init__()
        self.body, self.shortcut, self.activation = body, shortcut, activation

    def forward(self, x: Tensor) -> Tensor:
        total = self.body(x) + (x if self.shortcut is None else self.shortcut(x))
        return total if self.activation is None else self.activation(total)


class GivenBlock(nn.Module):
    """The basic block as the notebook of `identity` shows it: conv1, bn1, relu, conv2, bn2, shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return self.relu(out + self.shortcut(x))


LAYERS = {
    name: getattr(nn, name)
    for name in (
        "AdaptiveAvgPool2d AvgPool2d BatchNorm1d BatchNorm2d Conv2d Dropout Flatten Identity Linear "
        "LocalResponseNorm MaxPool2d ReLU ReLU6 SiLU Sigmoid Tanh"
    ).split()
}


def assemble(spec: dict[str, Any]) -> nn.Module:
    """A module from a plain description: {"layer": "Conv2d", "args": [...], "kwargs": {...}}.

    "Sequential" and "Residual" take descriptions as arguments; "GivenBlock" is the block above.
    """
    name, args, kwargs = spec["layer"], spec.get("args", []), spec.get("kwargs", {})
    if name == "Sequential":
        return nn.Sequential(*(assemble(item) for item in args))
    if name == "Residual":
        return Residual(*(None if item is None else assemble(item) for item in args))
    if name == "GivenBlock":
        return GivenBlock(*args, **kwargs)
    return LAYERS[name](*args, **kwargs)


# --------------------------------------------------------------------------- watching a forward pass


class Watch(TorchDispatchMode):
    """Follows parameters and buffers through a forward pass: when each is first used, and what came before.

    A style-free view: whether a student writes nn.Conv2d, F.conv2d or einsum, the weight enters one
    operation, at one moment, after certain other parameters. Tensors computed from parameters alone (a
    transpose, a reshape, a sum of two weights) are not yet a use; the operation that first mixes them with
    data is.
    """

    def __init__(self, named: dict[str, Tensor], record: bool = False) -> None:
        super().__init__()
        self.owner = {_address(tensor): name for name, tensor in named.items() if tensor.numel()}
        self.derived: dict[int, tuple[str, ...]] = {a: (name,) for a, name in self.owner.items()}
        # Within one operation weights come before biases, also where a weight is a single row; then its own order
        # of arguments counts, not that of registration: it tells scale, shift, mean and variance apart.
        self.rank = {name: (-sum(size > 1 for size in t.shape), -t.dim()) for name, t in named.items()}
        # Sets of parameters are numbers, with a bit for each in the order of first use: they are joined all the time.
        self.upstream: dict[int, int] = {}
        self.uses: dict[str, dict[str, Any]] = {}
        self.bit: dict[str, int] = {}
        self.record = record
        self.alive: list[Tensor] = []  # freed memory could be given out again and confuse the addresses

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; telling the compiler so would first import it, for seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        inputs = _tensors((args, kwargs))
        before = [t.detach().clone() for t in inputs if self.record and _address(t) not in self.derived][:1]
        result = func(*args, **kwargs)
        outputs = _tensors(result)
        self.alive.extend(inputs)
        self.alive.extend(outputs)

        parameters: list[str] = []
        data = 0
        mixes = False
        for tensor in inputs:
            address = _address(tensor)
            if address in self.derived:
                parameters.extend(name for name in self.derived[address] if name not in parameters)
            elif tensor.numel() > 1 or address in self.upstream:
                mixes = True
                data |= self.upstream.get(address, 0)
        if parameters and not mixes:
            for tensor in outputs:
                self.derived.setdefault(_address(tensor), tuple(parameters))
            return result
        parameters.sort(key=lambda name: self.rank[name])
        for name in parameters:
            if name not in self.uses:
                self.bit[name] = 1 << len(self.uses)
                use: dict[str, Any] = {"name": name, "upstream": data, "op": func.__name__}
                if self.record and outputs and outputs[0].is_floating_point():
                    use["input"] = before[0] if before else None
                    use["output"] = outputs[0].detach().clone()
                self.uses[name] = use
            data |= self.bit[name]
        for tensor in outputs:
            address = _address(tensor)
            if address not in self.owner:
                self.upstream[address] = self.upstream.get(address, 0) | data
        return result


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors of an operation's arguments or results, in order."""
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        return []
    return [tensor for item in tree for tensor in _tensors(item)]


def watch(
    module: nn.Module, inputs: list[Tensor], record: bool = False, call: Callable[..., Any] | None = None
) -> tuple[Any, list[dict[str, Any]]]:
    """Runs `module(*inputs)`; returns its output and the uses of its parameters and buffers, in order.

    A use is {"name", "upstream", "op"}; bit k of "upstream" says that the k-th of the uses comes before it, on
    the way from the input.
    """
    named = dict(module.named_parameters()) | dict(module.named_buffers())
    with Watch(named, record) as mode:
        output = (call or module)(*inputs)
    return output, list(mode.uses.values())


# --------------------------------------------------------------------------- running


def seed_cpu(seed: int) -> None:
    # torch.manual_seed would also queue the seed for the GPU, with a formatted traceback: 2 ms for each call.
    torch.default_generator.manual_seed(seed)


def run_module(
    module: nn.Module,
    inputs: list[Tensor],
    *,
    training: bool,
    cotangent: Tensor | None = None,
    record: bool = False,
    trace: bool = False,
    seed: int = 0,
) -> dict[str, Any]:
    """One forward pass (and, given a cotangent of the output's shape, one backward pass), as plain data."""
    with students_code("switching between train() and eval()"):
        module.train(training)
    leaves = [x.clone().requires_grad_(x.is_floating_point() and cotangent is not None) for x in inputs]
    # The block gets a copy of the leaf: PyTorch forbids in-place changes of leaves, and we want to see them.
    given = [leaf.clone() for leaf in leaves]
    uses = None
    with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(cotangent is not None):
        seed_cpu(seed)
        with students_code("running forward"):
            if trace or record:
                output, uses = watch(module, given, record)
            else:
                output = module(*given)
    answer: dict[str, Any] = {
        "output": encode(output),
        "inputs_after": [x.detach().as_subclass(Tensor).clone() for x in given],
    }
    if uses is not None:
        answer["uses"] = uses
    if cotangent is not None and isinstance(output, Tensor) and output.shape == cotangent.shape:
        parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        wanted = [leaf for leaf in leaves if leaf.requires_grad] + list(parameters.values())
        with students_code("computing gradients (backward)"):
            if output.requires_grad:
                gradients = _gradients(output, wanted, cotangent)
            else:
                gradients = (None,) * len(wanted)
        count = len(wanted) - len(parameters)
        answer["input_gradients"] = list(gradients[:count])
        answer["parameter_gradients"] = dict(zip(parameters, gradients[count:], strict=True))
    if training:  # elsewhere they stay as they are, or evaluation gives other values the second time
        answer["buffers"] = {name: b.detach().clone() for name, b in module.named_buffers()}
    return answer


def _gradients(output: Tensor, wanted: list[Tensor], cotangent: Tensor) -> tuple[Tensor | None, ...]:
    # Of a number, not of the output with a cotangent: for that PyTorch first imports its symbolic shapes (1 s).
    return torch.autograd.grad((output * cotangent.to(output.dtype)).sum(), wanted, allow_unused=True)


class Probe:
    """Answers requests about one object of a student.

    >>> probe = Probe(lambda size: size // 2)
    >>> probe.handle({"do": "call", "args": [7]})["value"]["value"]
    3
    """

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.modules: dict[int, nn.Module] = {}
        self.states: dict[int, dict[str, Tensor]] = {}  # what was last loaded into each

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        request = dict(request)
        action = getattr(self, "do_" + str(request.pop("do")))
        try:
            return action(**request)
        except StudentError as failure:
            return {"failed": explain(failure)}

    def do_describe(self) -> dict[str, Any]:
        """What kind of thing the answer is."""
        answer = self.answer
        if isinstance(answer, type):
            kind = "module class" if issubclass(answer, nn.Module) else "class"
            return {"kind": kind, "name": answer.__name__}
        if isinstance(answer, nn.Module):
            return {"kind": "module", "name": type(answer).__name__}
        if callable(answer):
            return {"kind": "function", "name": getattr(answer, "__name__", type(answer).__name__)}
        return {"kind": encode(answer)["kind"], "name": type(answer).__name__}

    def do_build(
        self, args: list[Any], kwargs: dict[str, Any] | None = None, seed: int = 0, handle: int = 0
    ) -> dict[str, Any]:
        """Calls the answer; what it returns must be a module. Lists its parameters and buffers."""
        with torch.random.fork_rng(devices=[]):
            seed_cpu(seed)
            with students_code("building the block"):
                module = self.answer(*args, **(kwargs or {}))
        if not isinstance(module, nn.Module):
            return {"not_a_module": encode(module)["type"]}
        self.modules[handle] = module
        with students_code("listing the parameters"):
            return _contents(module)

    def do_materialise(self, inputs: list[Tensor], handle: int = 0) -> dict[str, Any]:
        """Runs lazy layers once, so that their parameters take shape; then lists them as `build` does."""
        module = self.modules[handle]
        run_module(module, inputs, training=False)
        with students_code("listing the parameters"):
            found = _contents(module)
            if "lazy" in found:
                raise RuntimeError("a lazy layer of the block has no shape after forward: it is never used")
        return found

    def do_cast(self, dtype: str, handle: int = 0) -> dict[str, Any]:
        """Converts the module to "float32" or "float64"."""
        with students_code(f"converting the block to {dtype}"):
            self.modules[handle].to({"float32": torch.float32, "float64": torch.float64}[dtype])
        return {}

    def do_load(self, state: dict[str, Tensor] | None = None, handle: int = 0) -> dict[str, Any]:
        """Copies values into parameters and buffers, by name; without `state` once more those of the last time."""
        module = self.modules[handle]
        state = self.states[handle] if state is None else state
        self.states[handle] = state
        named = dict(module.named_parameters()) | dict(module.named_buffers())
        with students_code("loading values into the parameters"), torch.no_grad():
            for name, value in state.items():
                named[name].copy_(value)
        return {}

    def do_run(self, inputs: list[Tensor], handle: int = 0, **options: Any) -> dict[str, Any]:
        """Runs the module: see `run_module`."""
        return run_module(self.modules[handle], inputs, **options)

    def do_series(self, requests: list[dict[str, Any]]) -> dict[str, Any]:
        """Several requests in one, until one of them fails: where answers travel, a journey costs time."""
        answers: list[dict[str, Any]] = []
        for request in requests:
            answers.append(self.handle(request))
            if "failed" in answers[-1]:
                break
        return {"answers": answers}

    def do_forget(self) -> dict[str, Any]:
        self.modules.clear()
        self.states.clear()
        return {}

    def do_call(
        self,
        args: list[Any],
        kwargs: dict[str, Any] | None = None,
        cotangent: Tensor | None = None,
        seed: int = 0,
    ) -> dict[str, Any]:
        """Calls the answer as a function; the value, the arguments afterwards, and gradients if asked for."""
        leaves: list[Tensor] = []
        modules: list[nn.Module] = []
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
                return module
            if isinstance(value, list):
                return [prepare(item) for item in value]
            if isinstance(value, tuple):
                return tuple(prepare(item) for item in value)
            return value

        # Gradients are recorded, as in a notebook: what fails there (a parameter changed in place) fails here.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            arguments = [prepare(value) for value in args]
            named = {name: prepare(value) for name, value in (kwargs or {}).items()}
            seed_cpu(seed)
            with students_code("calling the function"):
                value = self.answer(*arguments, **named)
        answer: dict[str, Any] = {
            "value": encode(value),
            "tensors_after": [x.detach().as_subclass(Tensor).clone() for x in given],
            "states_after": [
                {name: t.detach().clone() for name, t in module.state_dict().items()} for module in modules
            ],
        }
        if cotangent is not None and isinstance(value, Tensor) and value.shape == cotangent.shape:
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            with students_code("computing gradients (backward)"):
                if wanted and value.requires_grad:
                    found = _gradients(value, wanted, cotangent)
                else:
                    found = (None,) * len(wanted)
            answer["gradients"] = list(found)
        return answer


def _contents(module: nn.Module) -> dict[str, Any]:
    """The parameters and buffers of a module; of one whose lazy layers have not run, only that it is lazy."""
    parameters, buffers = list(module.named_parameters()), list(module.named_buffers())
    if any(is_lazy(tensor) for _, tensor in (*parameters, *buffers)):
        return {"type": type(module).__name__, "lazy": True}
    return {
        "type": type(module).__name__,
        "parameters": [_describe(name, tensor) for name, tensor in parameters],
        "buffers": [_describe(name, tensor) for name, tensor in buffers],
    }


def _describe(name: str, tensor: Tensor) -> dict[str, Any]:
    return {
        "name": name,
        "shape": tuple(tensor.shape),
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "requires_grad": tensor.requires_grad,
    }


__all__ = ["GivenBlock", "Probe", "Residual", "assemble", "encode", "explain", "run_module", "watch"]
