"""torch's global state: ours while a student's object is asked, theirs again afterwards.

A cell that says `torch.set_grad_enabled(False)` or `torch.set_default_dtype(torch.float64)` is a cell's own matter.
It must neither break nor help an answer, and the check must not change it: right in the notebook is right in the
grade, whatever ran before.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from operator import is_
from typing import Any

import torch
from torch.nn.modules import module as modules

# Taken before any student's code runs: what is put in their place later does not reach this file.
_C = torch._C
_DEVICES = ("cpu", "cuda")
_AUTOCAST = [
    (
        name,
        torch.is_autocast_enabled,
        torch.set_autocast_enabled,
        torch.get_autocast_dtype,
        torch.set_autocast_dtype,
    )
    for name in _DEVICES
]
_AUTOCAST_DTYPE = {name: torch.get_autocast_dtype(name) for name in _DEVICES}
_get_deterministic = torch.are_deterministic_algorithms_enabled
_get_warn_only = torch.is_deterministic_algorithms_warn_only_enabled
_set_deterministic = torch.use_deterministic_algorithms
_get_dtype, _set_dtype = torch.get_default_dtype, torch.set_default_dtype
_get_threads, _set_threads = torch.get_num_threads, torch.set_num_threads
_get_anomaly, _get_check_nan = torch.is_anomaly_enabled, torch.is_anomaly_check_nan_enabled
_set_anomaly = torch.autograd.set_detect_anomaly  # as a function: it takes effect when it is called
_get_precision, _set_precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
_get_python, _set_python = random.getstate, random.setstate
_inference_mode, _set_grad_enabled = torch.inference_mode, torch.set_grad_enabled
_inference_mode_on, _grad_on = torch.is_inference_mode_enabled, torch.is_grad_enabled
_get_onednn, _set_onednn = _C._get_mkldnn_enabled, _C._set_mkldnn_enabled
_functions_stacked, _operations_stacked = _C._len_torch_function_stack, _C._len_torch_dispatch_stack
_autocast_on, _get_autocast_dtype = _C._is_any_autocast_enabled, torch.get_autocast_dtype
_saving, _push_saving = (
    _C._autograd._top_saved_tensors_default_hooks,
    _C._autograd._push_saved_tensors_default_hooks,
)
_pop_saving = _C._autograd._pop_saved_tensors_default_hooks
_CONTEXT = torch._GLOBAL_DEVICE_CONTEXT
_GENERATOR = torch.default_generator
_HOOKS = [
    name
    for name, value in vars(modules).items()
    if name.startswith("_global_") and isinstance(value, dict) and "hook" in name
]


class _After:
    """What to undo, the last first, each also where another fails. An ExitStack takes five times as long, and every
    request of a check enters here."""

    def __init__(self) -> None:
        self.callbacks: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []

    def callback(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.callbacks.append((function, arguments))

    def undo(self) -> None:
        failed: BaseException | None = None
        while self.callbacks:
            function, arguments = self.callbacks.pop()
            try:
                function(*arguments)
            except BaseException as error:
                failed = failed or error
        if failed is not None:
            raise failed


def _ours() -> bool:
    """Whether all is as `our_state` sets it, but for random numbers. It mostly is, and to look takes a small part of
    the time that it takes to set."""
    return (
        not (_functions_stacked() or _operations_stacked() or _inference_mode_on() or _autocast_on())
        and _grad_on()
        and _CONTEXT.__dict__.get("device_context") is None
        and _saving(False) is None
        and _get_dtype() is torch.float32
        and _get_threads() == 1
        and not (_get_anomaly() or _get_deterministic() or _get_warn_only())
        and _get_check_nan()
        and _get_precision() == "highest"
        and modules._global_is_full_backward_hook is None
        and not any(map(vars(modules).get, _HOOKS))
        and all(map(is_, map(_get_autocast_dtype, _DEVICES), _AUTOCAST_DTYPE.values()))
    )


_LEFT: list[Any] = []  # modes that were entered for good: they would end with the object


def _make_ours() -> None:
    """Sets what `_ours` asks for, after somebody's code who found it so and left it otherwise."""
    for number, pop in (
        (_functions_stacked(), _C._pop_torch_function_stack),
        (_operations_stacked(), partial(_C._pop_torch_dispatch_stack, None)),
    ):
        for _ in range(number):
            pop()
    _CONTEXT.device_context = None
    _taken_off()
    if _inference_mode_on():
        _LEFT.append(_inference_mode(False))
        _LEFT[-1].__enter__()
    _set_grad_enabled(True)
    _set_dtype(torch.float32)
    for name, _, enable, _, set_dtype in _AUTOCAST:
        enable(name, False)
        set_dtype(name, _AUTOCAST_DTYPE[name])
    _set_anomaly_detection((False, True))
    _set_determinism((False, False))
    _set_threads(1)
    _set_precision("highest")
    for name in _HOOKS:
        getattr(modules, name).clear()
    modules._global_is_full_backward_hook = None


@contextmanager
def our_state(generators: bool = True) -> Iterator[None]:
    """float32 on the CPU, gradients on, no autocast, no modes, no hooks, one thread, no oneDNN, and random numbers
    whose use is undone, unless somebody further out sees to the `generators`. What was set before is set again at the
    end, also after an exception."""
    after = _After()
    if _ours():
        try:
            _without_onednn(after)
            if generators:
                _keep_generators(after)
            yield
        finally:
            if not _ours():
                after.callback(_make_ours)
            after.undo()
        return
    try:
        _without_onednn(after)
        _without_modes(after)
        _without_saving(after)
        # The second is made when the first is entered: it sets the mode of gradients, which the first one keeps.
        for make, value in ((_inference_mode, False), (_set_grad_enabled, True)):
            mode = make(value)
            mode.__enter__()
            after.callback(mode.__exit__, None, None, None)
        _set(after, _get_dtype(), torch.float32, _set_dtype)
        for name, enabled, enable, dtype, set_dtype in _AUTOCAST:
            _set(after, enabled(name), False, partial(enable, name))
            standard = _AUTOCAST_DTYPE[name]
            _set(after, dtype(name), standard, partial(set_dtype, name))
        _set(after, (_get_anomaly(), _get_check_nan()), (False, True), _set_anomaly_detection)
        _set(after, (_get_deterministic(), _get_warn_only()), (False, False), _set_determinism)
        _set(
            after, _get_threads(), 1, _set_threads
        )  # the blocks are tiny: threads would only wait for each other
        _set(after, _get_precision(), "highest", _set_precision)
        _without_hooks(after)
        if generators:
            _keep_generators(after)
        yield
    finally:
        after.undo()


def _keep_generators(after: _After) -> None:
    """To copy Python's takes a third of the time that it takes to set all of `our_state`."""
    after.callback(_GENERATOR.set_state, _GENERATOR.get_state())
    after.callback(_set_python, _get_python())


@contextmanager
def generator_kept() -> Iterator[None]:
    """torch's generator on the CPU stands afterwards where it stood before."""
    state = _GENERATOR.get_state()
    try:
        yield
    finally:
        _GENERATOR.set_state(state)


def _without_onednn(after: _After) -> None:
    """It compiles a kernel for each form of a convolution in float32, which takes eight times as long as to compute
    a small one. Outside it is in use: so `_ours`, which asks what is mostly as we want it, does not ask for it."""
    after.callback(_set_onednn, _get_onednn())
    _set_onednn(False)


@contextmanager
def without_errors_for_warnings() -> Iterator[None]:
    """A student's `simplefilter("error")` is not in force."""
    with warnings.catch_warnings():
        if any(each[0] == "error" for each in warnings.filters):
            warnings.filters = [each for each in warnings.filters if each[0] != "error"]
        yield


def _set(after: _After, before: Any, wanted: Any, setter: Callable[[Any], None]) -> None:
    after.callback(setter, before)
    if before != wanted:
        setter(wanted)


def _set_anomaly_detection(value: tuple[bool, bool]) -> None:
    _set_anomaly(*value)


def _set_determinism(value: tuple[bool, bool]) -> None:
    if (_get_deterministic(), _get_warn_only()) != value:
        _set_deterministic(value[0], warn_only=value[1])


def _without_hooks(after: _After) -> None:
    """Hooks that were registered for all modules."""
    tables = [getattr(modules, name) for name in _HOOKS]
    kept = [dict(table) if table else {} for table in tables]  # mostly there are none

    def put_back() -> None:
        for table, before in zip(tables, kept, strict=True):
            if table or before:
                table.clear()
                table.update(before)

    after.callback(put_back)
    for table in tables:
        table.clear()
    if modules._global_is_full_backward_hook is not None:
        after.callback(
            setattr, modules, "_global_is_full_backward_hook", modules._global_is_full_backward_hook
        )
        modules._global_is_full_backward_hook = None


def _without_saving(after: _After) -> None:
    """Hooks on what is saved for the gradients (`torch.autograd.graph.saved_tensors_hooks`)."""
    hooks = _taken_off()

    def put_back() -> None:
        _taken_off()  # what was left there meanwhile
        for pair in reversed(hooks):
            _push_saving(*pair)

    after.callback(put_back)


def _taken_off() -> list[Any]:
    """The hooks on what is saved, the latest first."""
    hooks = []
    while (latest := _saving(False)) is not None:
        hooks.append(latest)
        _pop_saving()
    return hooks


def _without_modes(after: _After) -> None:
    """Modes that take every call of torch or every operation: a default device is one, too."""
    functions = [_C._pop_torch_function_stack() for _ in range(_C._len_torch_function_stack())]
    operations = [_C._pop_torch_dispatch_stack(None) for _ in range(_C._len_torch_dispatch_stack())]
    device = getattr(torch._GLOBAL_DEVICE_CONTEXT, "device_context", None)
    torch._GLOBAL_DEVICE_CONTEXT.device_context = None

    def put_back() -> None:
        for _ in range(_C._len_torch_function_stack()):  # what was left on it meanwhile
            _C._pop_torch_function_stack()
        for _ in range(_C._len_torch_dispatch_stack()):
            _C._pop_torch_dispatch_stack(None)
        torch._GLOBAL_DEVICE_CONTEXT.device_context = device
        for mode in reversed(functions):
            _C._push_on_torch_function_stack(mode)
        for mode in reversed(operations):
            _C._push_on_torch_dispatch_stack(mode)

    after.callback(put_back)


__all__ = ["generator_kept", "our_state", "without_errors_for_warnings"]
