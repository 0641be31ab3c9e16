"""What a function does beside giving the right values: the type of its result, what it leaves of the modules that it
is given, and what the text of the part forbids."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import parts
from casestudies.checking.parts import Group, Values, call
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Checked, Malformed


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("oc,nchw->nohw", weight[:, :, 0, 0], x) + bias[:, None, None]


def depthwise_conv(x: Tensor, weight: Tensor) -> Tensor:
    half = weight.shape[-1] // 2
    return torch.cat([F.conv2d(x[:, [c]], weight[[c]], padding=half) for c in range(x.shape[1])], dim=1)


def residual_step(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return F.relu(F.linear(F.relu(F.linear(a, w1, b1)), w2, b2) + a)


RIGHT = {
    "nin/conv1x1": conv1x1,
    "mobilenet/depthwise_conv": depthwise_conv,
    "identity/residual_step": residual_step,
}


@pytest.mark.parametrize("part", RIGHT)
def test_float64_for_float32_costs_a_group(part: str) -> None:
    right = RIGHT[part]
    report = check(part, lambda *args: right(*args).double(), seed=1)
    assert report.state == "partial" and sum(not each.passed for each in report.criteria) == 1
    assert "gives a tensor of float64 where its arguments are of float32; expected float32." in report.summary
    assert not report.recognised
    assert all("of float64 where" in each["yours"] for each in report.differences)
    for rounded in (right, lambda *args: right(*args).float()):
        assert check(part, rounded, seed=1).passed


def test_what_runs_with_float64_alone_is_wrong() -> None:
    def double(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return conv1x1(x.double(), weight, bias)

    report = check("nin/conv1x1", double, seed=1)
    assert "with float32: While calling the function" in report.summary


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("nin/conv1x1", F.conv2d, "without F.conv2d"),
        ("nin/conv1x1", conv1x1, ""),
        (
            "mobilenet/depthwise_conv",
            lambda x, weight: F.conv2d(x, weight, padding="same", groups=x.shape[1]),
            "with `groups`",
        ),
        ("mobilenet/depthwise_conv", depthwise_conv, ""),
    ],
    ids=["a convolution", "a product", "groups", "one channel after the other"],
)
def test_what_a_part_forbids_is_noted_and_costs_nothing(
    part: str, answer: Callable[..., Any], said: str
) -> None:
    report = check(part, lambda *args: answer(*args), seed=1)
    assert report.passed
    assert [said in note for note in report.notes] == [True] * bool(said)


def test_what_a_part_forbids_is_declared_by_names_that_are_known() -> None:
    calls = Group("values", lambda dice: [call(1)])
    with pytest.raises(ValueError, match="convolution"):
        Values(conv1x1, calls, forbids={"sum": "Do not add up."})
    with pytest.raises(TypeError, match="forbids"):
        Values(conv1x1, calls, forbids=["convolution"])  # type: ignore[arg-type]


def test_no_other_operations_come_back_than_are_noted() -> None:
    def answering(**fields: Any) -> messages.Subject:
        return Checked(lambda request: messages.Called(messages.Value("int", 1, "int"), (), (), **fields))

    answering(operations=("convolution",))(messages.Call([1], watched=True))
    for fields, watched in (
        ({"operations": ("convolution",)}, False),
        ({"operations": ("sum",)}, True),
        ({"operations": ("convolution", "convolution")}, True),
        ({"changed": ("weight",)}, True),
    ):
        with pytest.raises(Malformed):
            answering(**fields)(messages.Call([1], watched=watched))


def silence(block: nn.Module) -> None:
    nn.init.zeros_(block.bn2.weight)
    nn.init.zeros_(block.bn2.bias)


def in_evaluation(block: nn.Module) -> None:
    silence(block.eval())


def frozen(block: nn.Module) -> None:
    silence(block.requires_grad_(False))


def for_a_while(block: nn.Module) -> None:
    before = block.training
    in_evaluation(block)
    frozen(block)
    block.train(before).requires_grad_(True)


def inert_blocks(
    blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6, applied: Any = lambda block, a: block(a)
) -> list[int]:
    found = []
    with torch.no_grad():
        for index, block in enumerate(blocks):
            out = applied(block, a)
            if out.shape == a.shape and float((out - a).abs().max()) <= tolerance:
                found.append(index)
            a = out
    return found


def applied_in_evaluation(block: nn.Module, a: Tensor) -> Tensor:
    before = block.training
    out = block.eval()(a)
    block.train(before)
    return out


def in_evaluation_for_good(blocks: list[nn.Module], *args: Any, **kwargs: Any) -> list[int]:
    return inert_blocks([block.eval() for block in blocks], *args, **kwargs)


MODE = "changes the mode of a module (train or eval) and does not restore it."
TRAINED = "changes which parameters of a module are trained (requires_grad) and does not restore it."


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("identity/make_identity_", in_evaluation, MODE),
        ("identity/make_identity_", frozen, TRAINED),
        ("identity/make_identity_", for_a_while, ""),
        ("identity/inert_blocks", in_evaluation_for_good, MODE),
        ("identity/inert_blocks", inert_blocks, ""),
    ],
    ids=["evaluation", "frozen", "for a while", "blocks in evaluation", "as they are"],
)
def test_modules_are_left_in_their_mode_and_trained(part: str, answer: Callable[..., Any], said: str) -> None:
    for seed in (1, 2, 3):
        report = check(part, lambda *args, **kwargs: answer(*args, **kwargs), seed=seed)
        assert report.passed is (not said) and said in report.summary, report.text()
        assert report.points >= report.possible / 2


def test_blocks_are_applied_in_the_mode_in_which_they_are_given() -> None:
    def answer(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
        return inert_blocks(blocks, a, tolerance, applied_in_evaluation)

    assert all(not check("identity/inert_blocks", answer, seed=seed).passed for seed in range(4))


def test_a_module_that_is_to_be_changed_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))

    def frozen(layer: nn.Module) -> int:
        return len(list(layer.eval().requires_grad_(False).parameters()))

    given = {"$module": {"layer": "Linear", "args": [3, 2]}, "training": True}
    values = Values(frozen, Group("a layer", lambda dice: [call(given)]))
    parts.part("none/frozen", points=1, title="A frozen layer")(lambda: values)
    assert check("none/frozen", frozen, seed=1).passed
    assert check("none/frozen", lambda layer: len(list(layer.parameters())), seed=1).passed


class Scaled(nn.Module):
    start, outer = 0.0, True

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.scale = nn.Parameter(torch.full((), self.start))

    def forward(self, a: torch.Tensor) -> torch.Tensor:
        y = a + self.scale * self.other(self.one(a).relu())
        return y.relu() if self.outer else y


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", [3, 9, 44])
@pytest.mark.parametrize(
    ("start", "outer", "said"), [(0.0, False, False), (0.5, True, True), (1e-3, True, True)]
)
def test_a_value_at_the_start_is_spoken_of_only_where_it_is_known_to_be_wrong(
    start: float, outer: bool, said: bool, seed: int, hidden: bool
) -> None:
    block = type("RepairedBlock", (Scaled,), {"start": start, "outer": outer})
    report = check("identity/repaired_block", block, seed=seed, hidden=hidden)
    told = " ".join([report.summary, report.place, *(each.message for each in report.criteria)])
    assert not report.passed and ("its scale must begin at 0" in told) == said
