"""A reference that fails in a case that a check may draw is told once, in a sentence that names the case."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.parts import (
    Call,
    Case,
    Dice,
    Group,
    Part,
    Reference,
    Space,
    Values,
    any_of,
    call,
    part,
)
from casestudies.checking.runs import faults_of_cases


class Conv(nn.Module):
    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, 2, 3, stride)
        self.norm = nn.BatchNorm2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


def share(part: int, whole: int) -> float:
    if part > whole:
        raise ValueError("a part is larger than the whole")
    return part / whole


def calls(dice: Dice, *made: Call) -> Iterator[Call]:
    yield call(dice.integer(1, 4), 4)
    yield from made


def faults(reference: Any) -> list[str]:
    return list(faults_of_cases(Part("tried/part", 1, "A part", "", lambda: reference)))


def of_calls(*made: Call) -> Values:
    return Values(share, Group("Some", lambda dice: calls(dice, *made)))


SPACE = {"channels": (any_of(3, 4), any_of(5, 6)), "stride": (1, 2)}
RIGHT = [
    Reference(Conv, Case(3, image=(2, 3, 5, 4)), Case(4, stride=2, image=(1, 4, 5, 6))),
    Reference(Conv, Space(SPACE, shape=("channels", (5, 7), (6, 8)))),
    of_calls(call(5, 4), call(2, whole=3)),  # refused by the reference, which students are to refuse as well
]


@pytest.mark.parametrize("reference", RIGHT)
def test_cases_that_run_are_no_fault(reference: Any) -> None:
    assert faults(reference) == []


# the reference, what is said of it: the case, the problem
WRONG: list[tuple[Any, str, str]] = [
    (Reference(Conv, Case(3, image=(2, 4, 5, 4))), "in Conv(3) on 2×4×5×4: RuntimeError", "4 channels"),
    (
        Reference(Conv, Case(3, 1, 2, image=(2, 3, 5, 4))),
        "in Conv(3, 1, 2) on 2×3×5×4: TypeError",
        "arguments",
    ),
    (Reference(Conv, Case(3, image=(2, 3, 2, 4))), "in Conv(3) on 2×3×2×4: RuntimeError", "Kernel size"),
    # It runs in evaluation mode, and not in training.
    (Reference(Conv, Case(3, image=(1, 3, 3, 3))), "in Conv(3) on 1×3×3×3: ValueError", "when training"),
    # Few seeds draw a side of 2.
    (
        Reference(Conv, Space(SPACE, shape=("channels", 6, (any_of(*range(3, 30), 2),)))),
        "cases more): RuntimeError",
        "",
    ),
    (of_calls(call(0, 0)), "in share(0, 0) (and 19 cases more): ZeroDivisionError", "division"),
    (of_calls(call(1)), "in share(1) (and 19 cases more): TypeError", "missing a required argument: 'whole'"),
    (of_calls(call(1, torch.zeros(2))), "in share(1, <2 tensor>)", "RuntimeError: Boolean value"),
]


@pytest.mark.parametrize(("reference", "case", "problem"), WRONG)
def test_a_case_that_does_not_run_is_told_once(reference: Any, case: str, problem: str) -> None:
    [fault] = faults(reference)
    assert fault.startswith("tried/part: the reference itself fails in ")
    assert case in fault and problem in fault and fault.endswith("; correct the case or the reference")


def test_cases_that_cannot_be_declared_are_told() -> None:
    def declare() -> Reference:
        return Reference(Conv, Space({"channels": (3, 4)}, shape=("channels", 5, 5)))

    [fault] = faults_of_cases(Part("tried/part", 1, "A part", "", declare))
    assert fault == (
        "tried/part: its cases cannot be declared: ValueError: the space of Conv has the arguments channels; "
        "expected channels, stride"
    )


def test_numbers_of_the_caller_are_left_as_they_are() -> None:
    before = torch.get_rng_state()
    assert faults(RIGHT[0]) == [] and torch.equal(torch.get_rng_state(), before)


def test_a_part_is_not_declared_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from casestudies.checking import parts

    monkeypatch.setattr(parts, "_PARTS", {})

    def one() -> Reference:
        return RIGHT[0]

    def other() -> Reference:
        return RIGHT[1]

    declare = part("tried/part", 1, "A part")
    declare(one)
    declare(one)  # its file is read again
    with pytest.raises(
        ValueError, match=r"part id 'tried/part' is declared by .*one already; give .*other another"
    ):
        declare(other)
    assert parts._PARTS["tried/part"].declare is one


def test_a_block_to_repair_is_given_with_known_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    from casestudies.checking import parts

    monkeypatch.setattr(parts, "_PARTS", {})
    part("tried/part", 1, "A part", given=("no_bias", "no_re_lu"))(lambda: RIGHT[0])
    tried = parts._PARTS["tried/part"]
    tried.add(parts.Mistake("no_bias", "A bias is left out.", "", nn.Identity))
    with pytest.raises(ValueError, match="given of tried/part has 'no_re_lu'; .* which are 'no_bias'"):
        tried.expect_given()


def test_a_block_may_have_arguments_with_the_names_of_a_case():
    """Arguments of the block, whatever they are called, and settings of the case are not the same thing."""

    class Scaled(nn.Module):
        def __init__(self, scale: int = 1, image: int = 2, training: int = 3):
            super().__init__()
            self.factor = scale * image * training

        def forward(self, x):
            return x * self.factor

    arguments = {"scale": (1, 2), "image": (2, 5), "training": (3, 7)}
    space = Space(arguments, shape=(2, 3)).belongs_to(Scaled)
    cases = [drawn.case for drawn in space.drawn(0)]
    assert {name for case in cases for name in case.kwargs} == set(arguments)
    assert all(case.image[1:] == (2, 3) and case.scale == 3.0 for case in cases)
    assert Case(4, image=(1, 2)).given({"scale": 5}).kwargs == {"scale": 5}
