"""Recording without contents leaves a network exactly as it was, and lets go of it."""

from __future__ import annotations

import gc
import weakref
from collections import UserDict, deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from casestudies.costs import ledger, memory
from casestudies.graph import Graph, record


class Assigns(nn.Module):
    """A network whose forward changes its own tensors by `change`."""

    def __init__(self, change: Any) -> None:
        super().__init__()
        self.conv, self.linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(4, 2)
        self.register_buffer("mean", torch.rand(4))
        self.plain, self.change = torch.rand(4), change

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).mean((2, 3))
        self.change(self, features)
        features = (self.conv(x).mean((2, 3)) + self.mean + self.plain).to(self.linear.weight.dtype)
        return self.linear(features)

    def tensors(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers(), self.plain]


def renormed(net: Any, features: Tensor) -> None:
    net.conv.weight.data = torch.renorm(net.conv.weight.data, 2, 0, 1.0)


def clamped(net: Any, features: Tensor) -> None:
    net.conv.weight.data.clamp_(-1, 1)
    net.linear.weight.data = net.linear.weight.data.clamp(-0.1, 0.1)


def averaged(net: Any, features: Tensor) -> None:
    net.mean.data = 0.9 * net.mean.data + 0.1 * features.detach().mean(0)
    net.plain.data = net.plain.data + net.mean


def doubled(net: Any, features: Tensor) -> None:
    net.linear.double()


def halved(net: Any, features: Tensor) -> None:
    vector_to_parameters(parameters_to_vector(net.linear.parameters()) * 0.5, net.linear.parameters())


def zeroed(net: Any, features: Tensor) -> None:
    net.linear.bias.data = torch.zeros(2)


def frozen(net: Any, features: Tensor) -> None:
    net.conv.requires_grad_(False)


CHANGES = (renormed, clamped, averaged, doubled, halved, zeroed, frozen)
RUNS = {
    "ledger": lambda net: ledger(net, (3, 8, 8)),
    "memory": lambda net: memory(net, (3, 8, 8)),
    "training": lambda net: memory(net, (3, 8, 8), batch=2, training=True),
    "record": lambda net: record(net, torch.empty(2, 3, 8, 8, device="meta")),
}


def look(tensor: Tensor) -> tuple[Any, ...]:
    """Everything about a tensor but its numbers."""
    return (
        id(tensor), tensor.data_ptr(), tensor.untyped_storage().nbytes(), tensor.shape, tensor.stride(),
        tensor.dtype, tensor.requires_grad,
    )  # fmt: skip


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("change", CHANGES)
def test_tensors_that_forward_assigns_are_put_back(change, run):
    net = Assigns(change)
    before = [(look(tensor), tensor.detach().clone()) for tensor in net.tensors()]
    RUNS[run](net)
    for tensor, (seen, numbers) in zip(net.tensors(), before, strict=True):
        assert look(tensor) == seen
        assert torch.equal(tensor, numbers)
    net(torch.randn(1, 3, 8, 8))  # and they have memory: this computes


def swapped(net: Any, features: Tensor) -> None:
    net.linear.bias.data, net.linear.bias.grad = net.spare, net.spare


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize("change", [doubled, frozen, swapped])
def test_tensors_of_a_skeleton_are_put_back(change, run):
    net = Assigns(change).to("meta")
    net.plain, net.spare = net.plain.to("meta"), torch.empty(2, 2, device="meta")[:, 0]
    before = [(type(tensor), *look(tensor)) for tensor in net.tensors()]
    RUNS[run](net)
    assert [(type(tensor), *look(tensor)) for tensor in net.tensors()] == before
    assert all(tensor.is_meta and tensor.grad is None for tensor in net.tensors())
    net(torch.empty(1, 3, 8, 8, device="meta"))


@pytest.mark.parametrize("change", CHANGES)
def test_assigned_tensors_are_followed(change):
    """What was assigned is what later operations read, as with real tensors."""
    net = Assigns(change)
    meta = record(net, torch.empty(2, 3, 8, 8, device="meta"))
    real = record(net, torch.randn(2, 3, 8, 8))

    def computed(graph: Graph) -> list[tuple[str, list[tuple[int, ...]]]]:
        """What is no view: of these some are seen only where something reads them."""
        return [
            (op.name, [graph.values[value].shape for value in op.outputs])
            for op in graph.ops
            if op.name not in ("detach", "view", "slice")
        ]

    assert computed(meta) == computed(real)
    if change is renormed:
        (made,) = next(op.outputs for op in meta.ops if op.name == "renorm")
        assert [op.setting("weight").value for op in meta.ops if op.name == "convolution"][1] == made


def test_assignment_in_a_stopped_run_is_put_back():
    def assign_and_fail(net: Any, features: Tensor) -> None:
        renormed(net, features)
        raise ValueError("stop")

    net = Assigns(assign_and_fail)
    before = look(net.conv.weight)
    with pytest.raises(ValueError, match="stop"):
        record(net, torch.empty(1, 3, 8, 8, device="meta"))
    assert look(net.conv.weight) == before


LET_GO = {
    "inference": lambda net: memory(net, (3, 8, 8)),
    "training": lambda net: memory(net, (3, 8, 8), batch=2, training=True),
    "gradients": lambda net: record(net, torch.empty(2, 3, 8, 8, device="meta"), grad=True),
    "real": lambda net: record(net, torch.randn(2, 3, 8, 8), grad=True),
}


@pytest.mark.parametrize("run", LET_GO)
def test_a_network_that_was_recorded_is_let_go(run):
    """No circle through autograd, which the garbage collector does not see, keeps it or its weights."""
    layers: list[nn.Module] = [
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
    ]
    net = nn.Sequential(*layers, nn.Linear(36, 5), nn.Sigmoid(), nn.Softmax(1))
    layers.clear()
    alive = [weakref.ref(each) for each in (net, *net.parameters(), *net.buffers())]
    kept = LET_GO[run](net)
    del net
    gc.collect()
    assert [each() for each in alive] == [None] * len(alive)
    assert kept is not None


class Sum(nn.Module):
    """The sum of the tensors that `get` finds in what it is given."""

    def __init__(self, get: Any) -> None:
        super().__init__()
        self.get = get

    def forward(self, given: Any) -> Any:
        return sum(self.get(given))


@dataclass
class Pair:
    one: Tensor
    two: Tensor


class Named(NamedTuple):
    one: Tensor
    two: Tensor


UNSEEN = {
    "dataclass": (lambda x: Pair(x, x), lambda pair: [pair.one, pair.two]),
    "user dictionary": (lambda x: UserDict(one=x, two=x), lambda found: found.values()),
    "queue": (lambda x: deque([x, x]), list),
    "dataclass in a list": (lambda x: [Pair(x, x)], lambda pairs: [pairs[0].one]),
}


@pytest.mark.parametrize("device", ("cpu", "meta"))
@pytest.mark.parametrize("case", UNSEEN)
def test_inputs_that_would_be_taken_for_constants_are_refused(case, device):
    make, get = UNSEEN[case]
    with pytest.raises(ValueError, match="input 0 is a .* with tensors in it, .*pass them as tensors"):
        record(Sum(get), make(torch.zeros(2, 3, device=device)))


def test_arrays_are_refused():
    with pytest.raises(ValueError, match=r"input 0 is an array of NumPy \(ndarray\); pass torch.as_tensor"):
        record(Sum(lambda array: [torch.as_tensor(array)]), np.zeros((2, 3)))


@pytest.mark.parametrize("device", ("cpu", "meta"))
def test_named_tuples_are_seen(device):
    graph = record(Sum(lambda pair: [pair.one, pair.two]), Named(*torch.zeros(2, 3, device=device)))
    assert len(graph.inputs) == 2


def test_a_forward_that_is_awaited_is_refused():
    class Later(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        async def forward(self, x: Tensor) -> Tensor:
            return self.conv(x)

    with pytest.raises(ValueError, match="output is to be awaited .*write forward with def, not async def"):
        ledger(Later(), (3, 8, 8))


def test_an_output_that_contains_itself_is_refused():
    def circle(x: Tensor) -> Any:
        found: list[Any] = [x]
        found += [found, found]
        return found

    class Circle(nn.Module):
        def forward(self, x: Tensor) -> Any:
            return circle(x + 1)

    for x in (torch.zeros(2), torch.zeros(2, device="meta")):
        with pytest.raises(ValueError, match="a list contains itself"):
            record(Circle(), x)
        with pytest.raises(ValueError, match="a list contains itself"):
            record(Circle(), circle(x))


def test_a_long_name_of_a_class_is_read_back():
    kind = type("L" * 500, (nn.Linear,), {})
    graph = record(nn.Sequential(kind(3, 4)), torch.zeros(2, 3))
    assert Graph.from_json(graph.to_json()) == graph
    assert all(len(call.kind) <= 400 for call in graph.calls)
