"""What cuts off large numbers is seen, and a value that holds more than travels is settled at once."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking import parts as declarations
from casestudies.checking.engine import check
from casestudies.checking.parts import Case, Dice, Reference, assignments, part, parts
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import encode

LIMIT = 100.0
# Whose outputs stay below the limit whatever comes in (tanh, softmax, response norm), or that do not give a tensor.
LIMITED = {"alexnet/alexnet_trunk", "alexnet/repaired_lrn", "lenet/lenet5", "identity/make_identity_"}
LIMITED |= {"efficientnet/drop_connect"}  # random: what it draws is looked at, not how large it is
PARTS = [id for name in assignments() for id in parts(name) if id not in LIMITED]


def cut_off(value: Any) -> Any:
    return value.clamp(-LIMIT, LIMIT) if isinstance(value, Tensor) else value


def limited(right: Any) -> Any:
    """The right answer, whose numbers end at the limit."""
    if isinstance(right, type):

        class Limited(right):  # type: ignore[misc, valid-type]
            def forward(self, *inputs: Tensor) -> Tensor:
                return cut_off(super().forward(*inputs))

        Limited.__name__ = right.__name__
        return Limited

    @functools.wraps(right)
    def function(*args: Any, **kwargs: Any) -> Any:
        made = right(*args, **kwargs)
        return (
            nn.Sequential(made, nn.Hardtanh(-LIMIT, LIMIT)) if isinstance(made, nn.Module) else cut_off(made)
        )

    return function


@pytest.mark.parametrize("part", PARTS)
def test_a_limit_that_is_not_asked_for_costs_points(part: str) -> None:
    reference = parts(part.partition("/")[0])[part].reference
    right = reference.factory if isinstance(reference, Reference) else reference.function
    answer = limited(right)
    changes = isinstance(reference, Reference) or any(
        isinstance(reference.function(*call.args, **call.kwargs), Tensor)
        for group in reference.groups
        for call in group.make(Dice(0))
        if not any(isinstance(each, (dict, list)) for each in call.args)
    )
    for seed in range(3):
        assert check(part, answer, seed=seed).passed != changes


HUGE = {
    "numbers": [list(range(900))] * 150,
    "texts": ["x" * 900] * 1000,
    "deep": [[[list(range(900))] * 900]],
}


@pytest.mark.parametrize("name", HUGE)
def test_a_value_that_holds_too_much_does_not_travel(name: str) -> None:
    value = encode(HUGE[name])
    assert value.kind == "other" and value.type == "list that holds too much to compare"


def test_a_value_travels_up_to_the_bound() -> None:
    held = [[1.5] * 999] * ((messages.VALUES - 1) // 1000)
    assert encode(held).kind == "list"
    assert encode([*held, [1.5] * 1000]).kind == "other"


@pytest.mark.parametrize("name", HUGE)
def test_a_report_on_it_is_short(name: str) -> None:
    report = check("identity/inert_blocks", lambda blocks, a, tolerance=1e-6: HUGE[name], seed=1)
    assert report.state == "wrong" and len(report.summary) < 400
    texts = check("identity/inert_blocks", lambda blocks, a, tolerance=1e-6: ["x" * 900] * 8, seed=1)
    assert len(texts.summary) < 900


class Bounded(nn.Module):
    """A block that is made for numbers of a usual size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if x.abs().max() > LIMIT:
            raise ValueError("that is no picture")
        return self.weight * x


class Growing(Bounded):
    def forward(self, x: Tensor) -> Tensor:
        return (self.weight * x).exp()


class Twice(Growing):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("right", [Bounded, Growing])
def test_a_right_block_need_not_be_made_for_them(
    right: type[nn.Module], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declarations, "_PARTS", dict(declarations._PARTS))

    @part("example/bounded", points=1, title="For pictures")
    def bounded() -> Reference:
        return Reference(right, Case(3, image=(2, 3, 4, 4)))

    assert check("example/bounded", right, seed=1).passed
    assert not check("example/bounded", Twice, seed=1).points


def test_all_items_of_a_long_list_are_compared() -> None:
    assert len(encode(list(range(1001))).value) == 1001
