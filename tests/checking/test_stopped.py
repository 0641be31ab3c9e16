"""A block that raises: what it had computed is shown beside what is asked there, and no more than is certain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.differences import Work
from casestudies.checking.explain import carried_out, recording_of
from casestudies.checking.stopped import Stopped, compare_stopped
from casestudies.graph import Graph, Held, Ref, record_until
from casestudies.networks.efficientnet import SqueezeExcite
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Failed
from casestudies.sandboxed.probe import Probe


def basic_block(projects: Callable[[int, int, int], bool]) -> type[nn.Module]:
    class BasicBlock(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(),
                nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
                nn.BatchNorm2d(out_channels),
            )
            self.shortcut = nn.Sequential()
            if projects(in_channels, out_channels, stride):
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
                )

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(self.body(x) + self.shortcut(x))

    return BasicBlock


@pytest.mark.parametrize("seed", range(3))
def test_and_in_the_place_of_or_is_told_with_the_cases_in_which_it_matters(seed: int) -> None:
    wrong = basic_block(lambda i, o, s: s != 1 and i != o)
    report = check("resnet/basic_block", wrong, seed=seed)
    missing = [each for each in report.differences if "1×1 convolution" in each["asked"]]
    assert missing and {each["when"] for each in missing} == {
        "In each of the 4 cases compared in which `in_channels` is `out_channels` or `stride` is 1, but not both, "
        "and in no other (numbers and places are those of one):"
    }
    assert "must match the size of tensor" in report.summary
    assert any(row["yours"] == "sum of 2 tensors (it stops here)" for row in report.layers)


class OverChannels(SqueezeExcite):
    """The gates are one number."""

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate[1:](x.mean((1, 2, 3), keepdim=True))


def test_a_mean_over_channels_too_is_told_by_what_the_next_layer_is_given() -> None:
    report = check("efficientnet/squeeze_excite", OverChannels, seed=0)
    assert [each["sentence"] for each in report.differences] == [
        "Mean over channels and the grid stands in the place of global average pooling, on the block's input.",
        "It stops at the 1×1 convolution, which is given 5×1×1×1; asked for is 5×5×1×1.",
    ]


class WrongView(nn.Module):
    """LeNet-5, all images in one row, with a linear layer for the last convolution."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Linear(400, 120)
        self.f6, self.output, self.pool = nn.Linear(120, 84), nn.Linear(84, num_classes), nn.AvgPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.tanh(self.c3(self.pool(torch.tanh(self.c1(x))))))
        return self.output(torch.tanh(self.f6(torch.tanh(self.c5(x.view(1, -1))))))


def test_another_form_is_told_by_its_size_and_no_layer_is_called_too_many() -> None:
    report = check("lenet/lenet5", WrongView, seed=0)
    assert [each["sentence"] for each in report.differences] == [
        "It stops at the linear layer, which is given 1×2000; asked for is 5×400."
    ]


class ScaleOfTheHiddenLayer(nn.Module):
    """Runs where the hidden layer is as wide as the input. It is run as it was built before it is given weights."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.scale = nn.Parameter(torch.zeros(features))

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.linear2(self.scale * torch.relu(self.linear1(a))))


def test_a_block_that_raises_as_it_was_built_is_recorded_with_weights(
    caplog: pytest.LogCaptureFixture,
) -> None:
    report = check("identity/repaired_block", ScaleOfTheHiddenLayer, seed=0)
    assert any("(it stops here)" in row["yours"] for row in report.layers)
    assert any(each["sentence"].startswith("It stops at the parameter") for each in report.differences)
    assert caplog.records == []


class LooksAtValues(nn.Module):
    """Raises by what the numbers are."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.right = SqueezeExcite(channels, squeezed)

    def forward(self, x: Tensor) -> Tensor:
        return self.right(x) + x[:, : 2 + int(x.abs().sum()) % 2]


def test_what_a_recording_of_other_inputs_does_not_raise_is_not_told() -> None:
    report = check("efficientnet/squeeze_excite", LooksAtValues, seed=0)
    assert not report.passed
    assert not any("asked for is" in each["sentence"] for each in report.differences)


def test_a_recording_counts_only_if_torch_says_the_same_of_it_again() -> None:
    x = torch.randn(5, 6, 6, 6, dtype=torch.float64)
    block = OverChannels(6, 2).double()
    state = dict(block.state_dict())
    graph, error = record_until(block, x, grad=True)
    assert graph is not None and error is not None and graph.ops[-1].name == "convolution"
    asked = recording_of(SqueezeExcite(6, 2).double(), [x], training=False)
    message = " ".join(str(error).split())
    failed = Failed("RuntimeError", message)
    found = compare_stopped(asked, Stopped(graph, failed), [x], state, (), Work())
    assert found is not None and found.differences
    other = replace(failed, message="another one")
    assert compare_stopped(asked, Stopped(graph, other), [x], state, (), Work()) is None
    # The last operation as it is in a block that does not raise: the graph claims a failure that there is not.
    runs = Stopped(recording_of(SqueezeExcite(6, 2).double(), [x], training=False), failed)
    assert compare_stopped(asked, runs, [x], state, (), Work()) is None


def test_a_run_that_ends_well_has_no_error_and_one_outside_of_an_operation_no_graph() -> None:
    x = torch.randn(2, 6, 4, 4)
    graph, error = record_until(SqueezeExcite(6, 2), x)
    assert graph is not None and error is None

    class Stops(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("weights")

    graph, error = record_until(Stops(), x)
    assert graph is None and isinstance(error, KeyError)


def test_the_probe_writes_down_what_ran_until_it_stopped() -> None:
    probe = Probe(OverChannels)
    probe.handle(messages.Build((6, 2)))
    answer = probe.handle(messages.Record((torch.randn(2, 6, 4, 4),), training=False))
    assert isinstance(answer, messages.Recorded) and answer.failed is not None
    assert [op.name for op in Graph.from_json(answer.graph).ops] == ["mean", "convolution"]
    again = messages.loads(messages.dumps(answer), messages.Recorded)
    assert again.failed.message == answer.failed.message


def test_a_forged_recording_without_operations_is_no_recording() -> None:
    x = torch.randn(1, 3, 4, 4)
    asked = recording_of(nn.ReLU(), [x], False)
    nothing = replace(asked, ops=(), output=Ref(asked.inputs[0]))
    failed = Failed("RuntimeError", "boom", doing="running forward")
    assert compare_stopped(asked, Stopped(nothing, failed), [x], {}, [{}], Work()) is None


def forged_input(graph: Graph, dtype: str) -> Graph:
    values = list(graph.values)
    values[graph.inputs[0]] = replace(values[graph.inputs[0]], dtype=dtype)
    return replace(graph, values=tuple(values))


def test_a_recording_with_a_forged_type_is_not_carried_out() -> None:
    x = torch.randn(2, 3, 4, 4)
    graph = recording_of(nn.ReLU(), [x], False)
    assert carried_out(graph, [x], {}) is not None
    assert carried_out(forged_input(graph, "quint4x2x"), [x], {}) is None
    assert carried_out(graph, [x, x], {}) is None


def test_what_a_recording_does_not_use_takes_no_memory() -> None:
    x = torch.randn(2, 3, 4, 4)
    graph = recording_of(nn.ReLU(), [x], False)
    unused = Held("planes", "buffer", (10**9, 10**9), "float32", requires_grad=False, value=None)
    done = carried_out(replace(graph, state=(unused,)), [x], {})
    assert done is not None and done[1] == {}


def test_a_process_that_is_lost_while_it_is_asked_for_more_is_no_fault_of_ours(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Wrong(basic_block(lambda i, o, stride: i != o or stride != 1)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    before = check("resnet/basic_block", Wrong, seed=0)

    def lost(*_: object) -> None:
        raise messages.SubjectLost("Your code took too long.", "timed out")

    monkeypatch.setattr(blocks, "_difference_in", lost)
    monkeypatch.setattr(blocks, "_difference_until", lost)
    after = check("resnet/basic_block", Wrong, seed=0)
    assert before.layers and not after.layers
    assert (after.state, after.points) == (before.state, before.points) and not caplog.records


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # by torch, as it loads its compiler
def test_a_compiled_block_runs_as_it_is_written() -> None:
    class Compiled(basic_block(lambda i, o, stride: i != o or stride != 1)):  # type: ignore[misc]
        @torch.compile
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    counters.clear()
    assert check("resnet/basic_block", Compiled, seed=0).passed
    assert not counters["frames"]


class Branches(nn.Module):
    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.one, self.project = nn.Conv2d(in_channels, c1, 1), nn.Conv2d(in_channels, pool_proj, 1)
        self.less3, self.three = nn.Conv2d(in_channels, c3_reduce, 1), nn.Conv2d(c3_reduce, c3, 3, padding=1)
        self.less5, self.five = nn.Conv2d(in_channels, c5_reduce, 1), nn.Conv2d(c5_reduce, c5, 5, padding=2)


class OneBehindTheOther(Branches):
    def forward(self, x: Tensor) -> Tensor:
        one = torch.relu(self.one(x))
        three = torch.relu(self.three(torch.relu(self.less3(one))))
        five = torch.relu(self.five(torch.relu(self.less5(three))))
        return torch.cat([one, three, five, torch.relu(self.project(five))], 1)


class PoolOfTheWrongOne(Branches):
    def forward(self, x: Tensor) -> Tensor:
        one, three = torch.relu(self.one(x)), torch.relu(self.three(torch.relu(self.less3(x))))
        x = torch.relu(self.less5(x))
        pool = torch.relu(self.project(torch.nn.functional.max_pool2d(x, 3, 1, 1)))
        return torch.cat([one, three, torch.relu(self.five(x)), pool], 1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("block", "layer"),
    [(OneBehindTheOther, "1×1 convolution 2 of 2"), (PoolOfTheWrongOne, "The 3×3 max pooling")],
)
def test_a_branch_that_reads_another_one_is_told_so(block: type[nn.Module], layer: str, seed: int) -> None:
    report = check("inception/inception_module", block, seed=seed)
    told = [each["sentence"] for each in report.differences if "It stops" not in each["sentence"]]
    assert told == [f"{layer} reads what the ReLU gives; it is asked to read the block's input."], (
        report.text()
    )
    assert "stops at" in report.differences[-1]["sentence"], report.text()
