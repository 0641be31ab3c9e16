"""What recordings get wrong at their edges: precisions, complex numbers, state that is put back, true causes."""

from __future__ import annotations

import random
import types
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from casestudies import against, ledger, memory, record
from casestudies.export import to_onnx
from casestudies.graph import Graph
from casestudies.replay import replay


class Does(nn.Module):
    """Runs a function of itself and its inputs, on a layer."""

    def __init__(self, does, layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer = layer
        self.__dict__["does"] = does

    def forward(self, *inputs: Tensor) -> object:
        return self.does(self, *inputs)


def both(network: nn.Module, *inputs: Tensor) -> list[Graph]:
    """A network recorded without contents, and with real tensors."""
    return [record(network, *given) for given in ([each.to("meta") for each in inputs], inputs)]


def on_wide_weights(norm: nn.Module, layer: nn.Module) -> nn.Module:
    network = nn.Sequential(layer, norm).bfloat16()
    norm.float()
    return network


@pytest.mark.parametrize(
    "network, shape, dtype",
    [
        (nn.LayerNorm(8).bfloat16(), (2, 8), torch.bfloat16),
        (nn.LayerNorm(8, elementwise_affine=False), (2, 8), torch.float16),
        (nn.GroupNorm(1, 3).half(), (2, 3, 4, 4), torch.float16),
        (on_wide_weights(nn.GroupNorm(1, 3), nn.Conv2d(3, 3, 1)), (2, 3, 4, 4), torch.bfloat16),
        (on_wide_weights(nn.LayerNorm(8), nn.Linear(8, 8)), (2, 8), torch.bfloat16),
        (nn.utils.parametrizations.weight_norm(nn.Linear(8, 3)).half(), (2, 8), torch.float16),
    ],
)
def test_the_statistics_of_a_norm_have_the_dtype_of_torchs_kernel(network, shape, dtype) -> None:
    without, real = both(network, torch.zeros(shape, dtype=dtype))
    assert without == real


def test_dimensions_are_counted_in_the_tensor_that_they_are_of() -> None:
    def same(one, other) -> bool:
        image = torch.empty(3, 3, device="meta")
        return record(Does(one), image) == record(Does(other), image)

    def turned(self, x: Tensor) -> Tensor:
        return torch.diag_embed(x, 0, -2, -1)

    assert same(turned, lambda self, x: torch.diag_embed(x, 0, 1, 2))
    assert not same(turned, lambda self, x: torch.diag_embed(x, 0, 0, 1))
    assert same(lambda self, x: x.unfold(-1, 2, 1), lambda self, x: x.unfold(1, 2, 1))
    assert same(lambda self, x: x.select_scatter(x[0], 0, -1), lambda self, x: x.select_scatter(x[0], 0, 2))


def test_a_buffer_resized_in_forward_can_be_written_as_json() -> None:
    class Sized(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("numbers", torch.empty(0))

        def forward(self, x: Tensor) -> Tensor:
            if self.numbers.numel() == 0:
                self.numbers.resize_(3).fill_(1)
            return x + self.numbers

    without = record(Sized(), torch.empty(2, 3, device="meta"))
    real = record(Sized(), torch.zeros(2, 3))
    assert without == real == Graph.from_json(real.to_json())


@pytest.mark.parametrize(
    "does",
    [
        lambda self, x: torch.complex(x, x).conj().real + 0,
        lambda self, x: torch.complex(x, x).conj().imag + 0,
        lambda self, x: torch.complex(x, x).conj() * 2,
        lambda self, x: x * 2 if torch.complex(x, x).conj().is_conj() else x,
    ],
)
def test_a_conjugate_stays_one_without_contents(does) -> None:
    without, real = both(Does(does), torch.zeros(4))
    assert without == real


def test_inputs_share_their_memory_also_without_contents() -> None:
    both_inputs = Does(lambda self, x, y: x + y)
    x, real = torch.empty(2, 8, device="meta"), torch.zeros(2, 8)
    assert record(both_inputs, x[0], x[1]) == record(both_inputs, real[0], real[1])


# ------------------------------------------------------------------------------------------- what is put back


@dataclass(slots=True)
class Slots:
    count: int = 0
    last: Tensor | None = None


class Busy(nn.Module):
    """Changes what it holds outside of tensors, and draws from generators of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.slots, self.space, self.table = Slots(), types.SimpleNamespace(count=0), bytearray(b"a")
        self.array, self.weights = np.zeros(3), self.layer.weight.detach().numpy()
        self.own, self.python = torch.Generator().manual_seed(1), random.Random(1)
        self.numpy = np.random.default_rng(1)

    def forward(self, x: Tensor) -> Tensor:
        self.slots.count += 1
        self.slots.last = self.layer(x)
        self.space.count += 1
        self.table.extend(b"b")
        self.array += 1
        self.weights *= 0.5
        drawn = self.python.random() * float(self.numpy.random())
        torch.set_default_dtype(torch.float64)
        torch.use_deterministic_algorithms(True)
        torch.backends.mha.set_fastpath_enabled(False)
        return self.slots.last + torch.rand(4, generator=self.own) * drawn

    def state(self) -> tuple[object, ...]:
        return (
            self.slots, self.space.count, bytes(self.table), self.array.tolist(), self.weights.tolist(),
            self.own.get_state().tolist(), self.python.getstate(), str(self.numpy.bit_generator.state),
            torch.get_default_dtype(), torch.are_deterministic_algorithms_enabled(),
            torch.backends.mha.get_fastpath_enabled(),
        )  # fmt: skip


def test_what_a_module_holds_outside_of_tensors_is_put_back() -> None:
    network = Busy()
    before = network.state()
    ledger(network, (4,))
    assert network.state() == before


def test_other_counters_leave_the_random_numbers_of_python_and_numpy(monkeypatch) -> None:
    from casestudies.against import TOOLS, Tool

    def count(network: nn.Module, image: tuple[int, int, int]) -> int:
        random.random(), np.random.rand()
        raise AssertionError

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setitem(TOOLS, "calflops", Tool(count, lambda graph: []))
    monkeypatch.setitem(TOOLS, "ptflops", Tool(lambda network, image: 0, lambda graph: []))
    before = random.getstate(), np.random.get_state()[1].tolist()
    failure, _ = against.against(nn.Conv2d(3, 3, 3), (3, 8, 8), "calflops,ptflops")
    assert str(failure) == "calflops could not count Conv2d: AssertionError"
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


# ------------------------------------------------------------------------------------------------ true causes


def nested(self: nn.Module, x: Tensor) -> Tensor:
    return torch.nested.nested_tensor([x[0], x[0, :3]], layout=torch.jagged)


def deep(self: nn.Module, x: object) -> object:
    for _ in range(5000):
        x = (x,)
    return x


@pytest.mark.parametrize(
    "does, image, kind, message",
    [
        (lambda self, x: self.layer(x) + None, (6,), TypeError, "for \\+: 'Tensor' and 'NoneType'"),
        (lambda self, x: torch.flip(self.layer(x), 1), (4, 6), TypeError, "must be tuple of ints"),
        (lambda self, x: f"{x.mean():.2f}", (6,), RuntimeError, "for an f-string or format"),
        (nested, (7, 8), ValueError, "^this cannot be recorded: the network makes a nested tensor"),
        (deep, (3,), ValueError, "nested more than 100 deep"),
    ],
)
def test_an_error_says_its_true_cause(does, image, kind, message) -> None:
    with pytest.raises(kind, match=message):
        ledger(Does(does, nn.Linear(6, 6)), image)


def test_a_transform_beside_gradients_is_no_matter_of_the_image() -> None:
    class Slope(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            return torch.func.grad(lambda z: self.layer(z).sum())(x)

    with pytest.raises(RuntimeError, match="^this cannot be recorded: the network .* uses a transform"):
        memory(Slope(), (8,), training=True)


def test_lazy_layers_are_named_where_a_network_is_exported() -> None:
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="belongs to a lazy layer that has not seen an input"):
        to_onnx(nn.Sequential(nn.LazyConv2d(3, 3)), (3, 8, 8))


def test_a_network_with_an_error_of_its_own_is_not_run_over_and_over() -> None:
    runs = []

    def fails(self: nn.Module, x: Tensor) -> Tensor:
        runs.append(x)
        raise ValueError("this is not written yet")

    with pytest.raises(ValueError, match="^this is not written yet"):
        ledger(Does(fails), (3, 224, 224))
    assert len(runs) <= 12


def test_parameters_of_a_class_of_their_own_and_texts_without_characters_are_recorded(tmp_path) -> None:
    class Own(Tensor):
        pass

    network = nn.Linear(8, 3, bias=False)
    network.weight = nn.Parameter(torch.zeros(3, 8).as_subclass(Own), requires_grad=False)
    assert ledger(network, (8,)).macs == 24
    record(Does(lambda self, x: (x + 1, "\ud800" * 5000)), torch.zeros(1, 3))
    torch.save(torch.ones(3), tmp_path / "three")
    without, real = both(Does(lambda self, x: x + torch.load(tmp_path / "three")), torch.zeros(2, 3))
    assert len(without.ops) == len(real.ops)


def test_numbers_drawn_from_a_generator_are_replayed() -> None:
    drawn = Does(lambda self, x: x + torch.rand(8, generator=torch.Generator().manual_seed(3)))
    graph = record(drawn, torch.zeros(2, 8))
    assert replay(graph, [torch.zeros(2, 8)], {}).outputs[0].shape == (2, 8)


def test_a_wrapper_replays_with_its_own_state() -> None:
    network = nn.DataParallel(nn.Sequential(nn.Linear(8, 3)))
    graph = record(network, torch.zeros(2, 8))
    assert replay(graph, [torch.zeros(2, 8)], network.state_dict()).outputs[0].shape == (2, 3)


@pytest.mark.filterwarnings("ignore:Using `torch.compile")
def test_a_compiled_part_is_recorded_as_it_is_written() -> None:
    layer = nn.Linear(8, 3)
    compiled = record(nn.Sequential(torch.compile(layer, backend="eager")), torch.zeros(2, 8, device="meta"))
    assert compiled == record(nn.Sequential(layer), torch.zeros(2, 8, device="meta"))


# ---------------------------------------------------------------------------------------------------- numbers


def test_values_without_their_vectors_have_a_backward_pass_of_their_own() -> None:
    found = memory(Does(lambda self, x: torch.linalg.svdvals(x)), (4, 4), training=True)
    assert found.backward_macs == 0  # nothing requires a gradient
    layer = Does(lambda self, x: torch.linalg.svdvals(self.layer(x)), nn.Linear(4, 4))
    with torch.utils.flop_counter.FlopCounterMode(display=False) as counter:
        layer(torch.randn(2, 4, 4)).sum().backward()
    found = memory(layer, (4, 4), batch=2, training=True)
    assert 2 * (found.macs + found.backward_macs) == counter.get_total_flops()


def test_a_parameter_made_in_the_first_run_is_counted() -> None:
    class Late(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if not hasattr(self, "weight"):
                self.weight = nn.Parameter(torch.randn(800, 8))
            return x @ self.weight.T

    assert ledger(Late(), (8,)).parameters == 6400
    assert memory(Late(), (8,), training=True).gradients == 4 * 6400


def test_a_tensor_with_gaps_takes_its_whole_memory() -> None:
    gaps = Does(lambda self, x: x + torch.empty_strided((3, 8, 8), (640, 16, 2)))
    dense = Does(lambda self, x: x + torch.empty_strided((3, 8, 8), (64, 8, 1)))
    more = memory(gaps, (3, 8, 8)).peak - memory(dense, (3, 8, 8)).peak
    assert more == 4 * (2 * 640 + 7 * 16 + 7 * 2 + 1 - 3 * 64)
