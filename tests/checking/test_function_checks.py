"""Checks of functions: pairs of mistakes are recognised, and a call sees what a notebook would show."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from casestudies.checking import parts
from casestudies.checking.blocks import random_state
from casestudies.checking.engine import check
from casestudies.checking.parts import Call, Dice, Formula, Group, Values, as_function, call, mistake, part
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe


class Affine(Formula):
    def value(self, x: int, y: int) -> int:
        return self.factor() * x + self.offset(y)

    def factor(self) -> int:
        return 3

    def offset(self, y: int) -> int:
        return y


@pytest.fixture
def affine_part(monkeypatch: pytest.MonkeyPatch) -> str:
    """A part of no assignment, with two mistakes that can be made together."""
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))

    def affine(x: int, y: int) -> int:
        return 3 * x + y

    def make(dice: Dice) -> list[Call]:
        return [call(dice.integer(2, 9), dice.integer(2, 9)) for _ in range(3)]

    part("none/affine", points=1, title="Affine")(lambda: Values(affine, Group("values", make)))

    @mistake("none/affine")
    @as_function
    class Doubled(Affine):
        """The factor is 2, where it should be 3."""

        def factor(self) -> int:
            return 2

    @mistake("none/affine")
    @as_function
    class OffsetForgotten(Affine):
        """The offset y is forgotten."""

        def offset(self, y: int) -> int:
            return 0

    return "none/affine"


def test_two_mistakes_at_once_are_both_named(affine_part: str) -> None:
    assert check(affine_part, lambda x, y: 2 * x).mistakes == ["doubled", "offset_forgotten"]


def test_one_mistake_is_named_alone(affine_part: str) -> None:
    assert check(affine_part, lambda x, y: 3 * x).mistakes == ["offset_forgotten"]


def zero_in_place(layer: nn.Module) -> None:
    layer.weight.zero_()


LINEAR = {"$module": {"layer": "Linear", "args": [2, 2]}}


def test_a_parameter_changed_in_place_fails_as_in_a_notebook() -> None:
    answer = Probe(zero_in_place).handle(messages.Call([LINEAR]))
    assert "in-place" in answer.message


def test_a_parameter_changed_without_gradients_is_seen_in_the_state() -> None:
    answer = Probe(torch.no_grad()(zero_in_place)).handle(messages.Call([LINEAR]))
    assert float(answer.states_after[0]["weight"].abs().sum()) == 0.0


def test_assembling_a_module_leaves_the_notebooks_random_state() -> None:
    before = torch.get_rng_state()
    Probe(lambda layer: None).handle(messages.Call([LINEAR]))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_returned_tensor_is_free_of_its_graph() -> None:
    def weight_of(layer: nn.Module) -> Tensor:
        return 2 * layer.weight

    answer = Probe(weight_of).handle(messages.Call([LINEAR]))
    assert not answer.value.value.requires_grad


@pytest.mark.parametrize("draw", ["normal", "uniform", "signs"])
def test_a_random_number_can_have_no_axes(draw: str) -> None:
    """A learnable scale is often a parameter of shape ()."""
    bounds = (0.0, 1.0) if draw == "uniform" else ()
    assert getattr(Dice(3), draw)(*bounds).shape == ()


def test_a_function_that_computes_in_float32_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))

    def third(x: Tensor) -> Tensor:
        return x**3 / 3

    values = Values(third, Group("values", lambda dice: [call(dice.normal(200))]), gradients=True)
    part("none/third", points=1, title="A third of the cube")(lambda: values)
    # Rounds to 24 bits on the way in, so that the gradient, which comes back in float64, is off by more than 1e-6.
    assert check("none/third", lambda x: (x * (1 + 2e-6)).float() ** 3 / 3, seed=1).passed


def test_a_single_number_changes_its_sign_from_case_to_case() -> None:
    entry = messages.Entry("scale", (1,), "float32")
    signs = [
        random_state([entry], [], Dice(seed), lone_sign=(-1) ** seed)["scale"].sign() for seed in range(6)
    ]
    assert [int(sign) for sign in signs] == [1, -1, 1, -1, 1, -1]


@pytest.mark.parametrize("wrong", [{"a": 1}, {1, 2}, (1, {"b": 2}), np.ones(2), nn.ReLU()], ids=repr)
def test_what_cannot_be_compared_is_not_called_right(wrong, monkeypatch):
    """Contents that do not travel from the student's process: every dict would pass for every other."""
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))

    def uncomparable(x):
        return wrong

    part("none/uncomparable", points=1, title="x")(
        lambda: Values(uncomparable, Group("one", lambda dice: [call(1)]))
    )
    report = check("none/uncomparable", lambda x: {"other": 0}, seed=1)
    assert (report.state, report.points) == ("ungradable", 0)


@pytest.mark.parametrize("kind", [Fraction, Decimal, np.float64])
def test_an_exact_number_is_right_where_a_real_one_is_asked_for(kind):
    def separable_ratio(out_channels, kernel=3):
        return kind(1) / kind(out_channels) + kind(1) / kind(kernel * kernel)

    assert check("mobilenet/separable_ratio", separable_ratio, seed=1).passed
    assert not check("mobilenet/separable_ratio", lambda *args: kind(3), seed=1).points


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([1.0, 3.0], "gives [1.0, 3.0]; expected ["),
        ((2,), "gives (2,); expected ["),
        (np.array([1, 2]), "gives an array (type numpy.ndarray); expected ["),
        ({1: 2}, "gives a value of type dict; expected ["),
        (
            torch.zeros(2, 2).to_sparse(),
            "gives a value of type 'Tensor of torch.float32, torch.sparse_coo'; expected [",
        ),
    ],
)
def test_what_is_of_another_kind_is_written_so_that_it_shows(value, said):
    report = check("identity/inert_blocks", lambda blocks, a, tolerance=1e-6: value, seed=1)
    assert said in report.summary
