"""What a student set for all of torch neither breaks nor helps a check, and is set again afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from casestudies.checking.engine import check
from casestudies.checks.identity import residual_step
from casestudies.networks.resnet import BasicBlock
from casestudies.sandboxed.torch_state import our_state


class Counting(TorchFunctionMode):
    """A mode that takes every call, and spoils each sum."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        return result * 2 if func is torch.Tensor.add else result


class Spoiling(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {})) * 0


def setting(setter: Callable[[Any], None], value: Any, standard: Any) -> Callable[[], AbstractContextManager]:
    @contextmanager
    def set() -> Iterator[None]:
        setter(value)
        try:
            yield
        finally:
            setter(standard)

    return set


def hook(register: Callable[..., Any], do: Callable[..., Any]) -> Callable[[], AbstractContextManager]:
    @contextmanager
    def hooked() -> Iterator[None]:
        handle = register(do)
        try:
            yield
        finally:
            handle.remove()

    return hooked


@contextmanager
def strict_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def without(owner: Any, name: str) -> Callable[[], AbstractContextManager]:
    value = getattr(owner, name)
    return setting(lambda each: setattr(owner, name, each), None, value)


def saved_as_zeros() -> AbstractContextManager:
    return torch.autograd.graph.saved_tensors_hooks(lambda x: x * 0, lambda x: x)


STATES: dict[str, Callable[[], AbstractContextManager]] = {
    "float64": setting(torch.set_default_dtype, torch.float64, torch.float32),
    "bfloat16": setting(torch.set_default_dtype, torch.bfloat16, torch.float32),
    "the meta device": setting(torch.set_default_device, "meta", None),
    "the CPU as device": setting(torch.set_default_device, "cpu", None),
    "no gradients": setting(torch.set_grad_enabled, False, True),
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "anomaly mode": lambda: torch.autograd.set_detect_anomaly(True),
    "determinism": setting(torch.use_deterministic_algorithms, True, False),
    "three threads": setting(torch.set_num_threads, 3, torch.get_num_threads()),
    "medium precision": setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "a mode of functions": Counting,
    "a mode of operations": Spoiling,
    "a device as a context": lambda: torch.device("meta"),
    "a hook after forward": hook(modules.register_module_forward_hook, lambda m, i, o: o * 0),
    "a hook before forward": hook(modules.register_module_forward_pre_hook, lambda m, i: (i[0] * 0,)),
    "a hook on gradients": hook(modules.register_module_full_backward_hook, lambda m, i, o: (i[0] * 0,)),
    "a hook on parameters": hook(
        modules.register_module_parameter_registration_hook, lambda m, n, p: nn.Parameter(p * 0)
    ),
    "warnings as errors": strict_warnings,
    "hooks on what is saved": saved_as_zeros,
    "no fork_rng": without(torch.random, "fork_rng"),
    "no generator": without(torch, "default_generator"),
}


GENERATOR = torch.default_generator


def snapshot() -> list[Any]:
    """What of torch's state can be seen."""
    return [
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.is_anomaly_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
        torch._C._get_mkldnn_enabled(),
        torch._C._len_torch_function_stack(),
        torch._C._len_torch_dispatch_stack(),
        *(len(getattr(modules, name)) for name in vars(modules) if name.endswith("_hooks")),
        modules._global_is_full_backward_hook,
        list(warnings.filters),
        torch._C._autograd._top_saved_tensors_default_hooks(False),
        GENERATOR.get_state().tolist() if torch._C._len_torch_dispatch_stack() == 0 else None,
    ]


@pytest.mark.parametrize("name", STATES)
def test_a_right_block_is_right_under(name: str) -> None:
    with STATES[name]():
        report = check("resnet/basic_block", BasicBlock, seed=0, hidden=True)
    assert report.passed, report.text()


@pytest.mark.parametrize("name", STATES)
def test_the_report_does_not_depend_on(name: str) -> None:
    class Detached(BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    expected = check("resnet/basic_block", Detached, seed=0).to_dict()
    with STATES[name]():
        assert check("resnet/basic_block", Detached, seed=0).to_dict() == expected


class Raising(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("no")


class Setting(BasicBlock):
    """Sets everything itself, in its constructor and in forward."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.set_all()

    def set_all(self) -> None:
        torch.set_default_dtype(torch.float64)
        torch.set_default_device("meta")
        torch.set_grad_enabled(False)
        torch.autograd.set_detect_anomaly(True)
        torch.use_deterministic_algorithms(True)
        torch.set_num_threads(2)
        torch._C._set_mkldnn_enabled(True)
        torch.autocast("cpu", torch.bfloat16).__enter__()
        modules.register_module_forward_hook(lambda m, i, o: o * 0)
        saved_as_zeros().__enter__()
        warnings.simplefilter("error")
        torch.manual_seed(0)

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        self.set_all()
        return out


@pytest.mark.parametrize("answer", [BasicBlock, Raising, Setting])
@pytest.mark.parametrize("name", STATES)
def test_is_as_it_was_after_a_check(name: str, answer: type[nn.Module]) -> None:
    with STATES[name]():
        before = snapshot()
        check("resnet/basic_block", answer, seed=0)
        assert snapshot() == before


def test_a_block_is_run_without_onednn() -> None:
    """To compile a kernel for each form of convolution takes longer than all that the block computes."""
    seen = []

    class Looking(BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(torch._C._get_mkldnn_enabled())
            return super().forward(x)

    assert check("resnet/basic_block", Looking, seed=0).passed
    assert seen and not any(seen) and torch._C._get_mkldnn_enabled()


def test_everything_at_once_is_as_it_was() -> None:
    with ExitStack() as stack:
        for name in STATES:
            if name not in ("a mode of operations", "the meta device", "a device as a context"):
                stack.enter_context(STATES[name]())
        before = snapshot()
        assert check("resnet/basic_block", BasicBlock, seed=0).passed
        assert snapshot() == before


def test_an_exception_passes_and_the_state_is_as_it_was() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        before = snapshot()
        with pytest.raises(KeyError), our_state():
            torch.set_default_dtype(torch.float64)
            raise KeyError
        assert snapshot() == before


@pytest.mark.parametrize("name", STATES)
def test_a_right_function_is_right_under(name: str) -> None:
    with STATES[name]():
        report = check("identity/residual_step", residual_step, seed=0)
    assert report.passed, report.text()
