"""Walks over modules give what torch's own methods give, also where a class has its own."""

from __future__ import annotations

from weakref import ref

import pytest
import torch
from torch import nn

from casestudies.networks.resnet import CifarResNet
from casestudies.sandboxed import torch_state
from casestudies.sandboxed.torch_state import our_state
from casestudies.sandboxed.walks import _modules, buffers_of, parameters_of, set_mode, tensors_named


class Shared(nn.Module):
    """One layer in two places, one parameter in two layers, no layer under a name, itself below itself."""

    def __init__(self) -> None:
        super().__init__()
        self.first = self.again = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
        self.tied = nn.Conv2d(2, 2, 1)
        self.tied.weight = self.first[0].weight
        self.none = None
        self.register_module("empty", None)
        self.register_buffer("nothing", None)
        self.register_buffer("kept", torch.ones(2))
        self._modules["around"] = self


class Listing(nn.Linear):
    """Lists its weight alone."""

    def named_parameters(self, *args, **kwargs):
        yield "only", self.weight


class Stubborn(nn.BatchNorm2d):
    """Does not let itself be trained."""

    def train(self, mode=True):
        return super().train(False)


class Described(nn.Module):
    """Keeps its mode in another place."""

    def __init__(self) -> None:
        self.told = []
        super().__init__()

    @property
    def training(self):
        return self.told[-1]

    @training.setter
    def training(self, value):
        self.told.append(value)


def own_list() -> nn.Module:
    """A single module with a method of its own."""
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].named_modules = lambda *args, **kwargs: iter(())
    return module


def of(pairs):
    return [(name, id(tensor)) for name, tensor in pairs]


MODULES = [
    lambda: CifarResNet(1),
    Shared,
    lambda: nn.Sequential(nn.Linear(2, 2), Listing(2, 2)),
    lambda: Listing(2, 2),
    lambda: nn.Sequential(Stubborn(2), nn.BatchNorm2d(2)),
    lambda: nn.Sequential(Described(), nn.Linear(2, 2)),
    own_list,
    lambda: nn.ParameterList([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(3))]),
    lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    lambda: nn.LazyLinear(3),
]


@pytest.mark.parametrize("make", MODULES)
def test_lists_are_those_of_torch(make):
    module = make()
    assert of(parameters_of(module)) == of(module.named_parameters())
    assert of(buffers_of(module)) == of(module.named_buffers())
    expected = dict(module.named_parameters()) | dict(module.named_buffers())
    assert of(tensors_named(module).items()) == of(expected.items())
    assert of(parameters_of(module, 1)) == of(module.named_parameters())[:1]


@pytest.mark.parametrize("make", [each for each in MODULES if each is not Shared])
@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_what_train_sets(make, training):
    one, other = make(), make()
    one.train(training)
    set_mode(other, training)
    assert [each.training for each in one.modules()] == [each.training for each in other.modules()]


def test_ordinary_blocks_are_walked_in_one_loop():
    """Else all above would hold though nothing is faster."""
    found = _modules(CifarResNet(1))
    assert found is not None and len(found) == len(list(CifarResNet(1).modules()))
    assert _modules(Shared()) is not None
    for make in (lambda: Listing(2, 2), lambda: Stubborn(2), own_list):
        assert _modules(make()) is None


def test_a_method_that_is_put_into_torch_later_is_called(monkeypatch):
    module = nn.Linear(2, 2)

    def mine(self, *args, **kwargs):
        yield "mine", self.bias

    monkeypatch.setattr(nn.Module, "named_parameters", mine)
    assert of(parameters_of(module)) == [("mine", id(module.bias))]


ENTERED: list[torch.inference_mode] = []


def _leaves_inference_mode():
    ENTERED.append(torch.inference_mode())  # which ends with the object
    ENTERED[-1].__enter__()


LEFT = [
    lambda: torch.set_grad_enabled(False),
    lambda: torch.set_default_dtype(torch.float64),
    lambda: torch.set_default_device("meta"),
    lambda: torch.set_autocast_enabled("cpu", True),
    lambda: torch.set_autocast_dtype("cpu", torch.float16),
    lambda: torch.autograd.set_detect_anomaly(True),
    lambda: torch.use_deterministic_algorithms(True),
    lambda: torch.set_num_threads(2),
    lambda: torch.set_float32_matmul_precision("medium"),
    lambda: nn.modules.module.register_module_forward_hook(lambda *args: None),
    lambda: nn.modules.module.register_module_full_backward_hook(lambda *args: None),
    _leaves_inference_mode,
    lambda: torch.autograd.graph.saved_tensors_hooks(lambda x: x * 0, lambda x: x).__enter__(),
]


@pytest.mark.parametrize("leave", LEFT)
def test_what_an_answer_leaves_otherwise_is_ours_again(leave):
    """Where all was as `our_state` wants it, it is so again after somebody's code that sets it otherwise."""
    with our_state():
        assert torch_state._ours()
        with our_state():
            leave()
            assert not torch_state._ours()
        assert torch_state._ours()
        assert torch.ones(2, requires_grad=True).sum().requires_grad


def _another_layer(module: nn.Module) -> None:
    module[1] = nn.Linear(2, 2)


def _one_more(module: nn.Module) -> None:
    module[0].add_module("more", nn.Linear(2, 2))


def _another_name(module: nn.Module) -> None:
    module._modules["renamed"] = module._modules.pop("1")


def _another_order(module: nn.Module) -> None:
    module._modules["0"] = module._modules.pop("0")


def _another_class(module: nn.Module) -> None:
    module[0][0].__class__ = Listing


def _another_table(module: nn.Module) -> None:
    module[0].__dict__["_modules"] = {}


def _other_attributes(module: nn.Module) -> None:
    other = nn.Linear(2, 2)
    module[1].__dict__ = dict(vars(other))


def _a_method_of_its_own(module: nn.Module) -> None:
    module[1].named_parameters = lambda *args, **kwargs: iter([("mine", module[1].weight)])


def _a_method_of_the_class(module: nn.Module) -> None:
    type(module[2]).named_parameters = lambda self, *args, **kwargs: iter([("theirs", self.weight)])


def _another_tensor(module: nn.Module) -> None:
    module[1].weight = nn.Parameter(torch.ones(2, 2))


def _itself(module: nn.Module) -> None:
    module[0]._modules["around"] = module


@pytest.mark.parametrize(
    "change",
    [
        _another_layer,
        _one_more,
        _another_name,
        _another_order,
        _another_class,
        _another_table,
        _other_attributes,
        _a_method_of_its_own,
        _a_method_of_the_class,
        _another_tensor,
        _itself,
    ],
)
def test_a_module_that_was_changed_is_walked_again(change):
    """What is remembered of the last walk holds only while nothing has changed."""

    class Own(nn.Linear):
        pass

    module = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.Linear(2, 2), Own(2, 2))
    assert of(parameters_of(module)) == of(module.named_parameters())
    change(module)
    assert of(parameters_of(module)) == of(module.named_parameters())
    assert of(buffers_of(module)) == of(module.named_buffers())
    set_mode(module, False)
    assert not any(each.training for each in module.modules())


def test_the_last_walk_keeps_no_module_alive():
    module = nn.Sequential(nn.Linear(2, 2))
    gone = ref(module)
    assert _modules(module) is not None
    del module
    assert gone() is None
