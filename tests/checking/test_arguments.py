"""What the arguments of the cases tell: other defaults, and the cases in which something is so."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.arguments import Made, other_defaults, when, written
from casestudies.networks.mobilenet_v2 import InvertedResidual
from casestudies.networks.resnet import BasicBlock


def with_defaults(**defaults: int) -> type[nn.Module]:
    class Other(nn.Module):
        def __init__(self, *given: int, **named: int) -> None:
            super().__init__()
            names = ("in_channels", "out_channels", "stride", "expansion")
            self.right = InvertedResidual(**{**defaults, **dict(zip(names, given, strict=False)), **named})

        def forward(self, x: Tensor) -> Tensor:
            return self.right(x)

    return Other


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "yours", [{"stride": 2}, {"expansion": 4}, {"expansion": 4, "stride": 2}], ids=written
)
def test_another_default_is_told_as_a_default(yours: dict[str, int], seed: int) -> None:
    report = check("mobilenet_v2/inverted_residual", with_defaults(**yours), seed=seed)
    asked = {name: {"stride": 1, "expansion": 6}[name] for name in yours}
    names = " and ".join(f"`{name}`" for name in yours)
    assert report.differences[0]["sentence"] == (
        f"Called without {names}, your block does what is asked for {written(yours)}; asked for by default: "
        f"{written(asked)}."
    )


def test_a_default_that_is_missing_is_told_by_the_cases_that_leave_it_out() -> None:
    class NoDefault(BasicBlock):
        def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
            super().__init__(in_channels, out_channels, stride)

    report = check("resnet/basic_block", NoDefault, seed=0)
    assert report.summary.startswith(
        "In the one case compared in which `stride` is left out, and in no other: While"
    )


def made(**values: Any) -> Made:
    left_out = values.pop("left_out", ())
    return Made(values, frozenset(left_out))


CASES = [
    made(stride=s, in_channels=i, out_channels=o) for s in (1, 2, 3) for i in (3, 4) for o in (3, 4, 5, 6)
]


@pytest.mark.parametrize(
    ("holds", "words"),
    [
        (lambda stride, in_channels, out_channels: stride == 2, "`stride` is 2"),
        (lambda stride, in_channels, out_channels: stride != 1, "`stride` is not 1"),
        (
            lambda stride, in_channels, out_channels: in_channels == out_channels,
            "`in_channels` is `out_channels`",
        ),
        (
            lambda stride, in_channels, out_channels: in_channels != out_channels and stride == 1,
            "`in_channels` is not `out_channels` and `stride` is 1",
        ),
        (lambda stride, in_channels, out_channels: out_channels == 5, ""),  # one of many values: chance
        (lambda stride, in_channels, out_channels: True, ""),
        (lambda stride, in_channels, out_channels: False, ""),
        (lambda stride, in_channels, out_channels: stride == 1 or in_channels == 3, ""),
    ],
)
def test_a_condition_is_said_only_where_it_holds_in_these_cases_and_in_no_other(
    holds: Any, words: str
) -> None:
    assert when(CASES, [holds(**case.values) for case in CASES]) == words


def test_two_conditions_of_a_single_case_may_be_chance() -> None:
    cases = [made(stride=s, padding=p) for s in (1, 2) for p in (0, 1)]
    assert when(cases, [case.values == {"stride": 1, "padding": 1} for case in cases]) == ""


def test_no_default_is_guessed_where_something_else_is_wrong_as_well() -> None:
    cases = [made(stride=1, left_out=["stride"]), made(stride=1), made(stride=2)]
    right = {"stride": 2}
    assert other_defaults(cases, [True, False, False], lambda k, values: values == right) is not None
    assert other_defaults(cases, [True, False, True], lambda k, values: values == right) is None
    assert other_defaults(cases, [True, False, False], lambda k, values: False) is None


def test_what_a_difference_with_a_condition_says_stands_behind_it_and_what_is_always_so_before() -> None:
    class Wrong(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> None:
            super().__init__()
            self.right = InvertedResidual(in_channels, out_channels, stride, expansion)
            self.right.residual = stride == 1

        def forward(self, x: Tensor) -> Tensor:
            return self.right(x) / 2

    report = check("mobilenet_v2/inverted_residual", Wrong, seed=0)
    text = report.text()
    assert "There is a multiplication by 0.5" in text
    conditions = [each.get("when", "") for each in report.differences]
    assert conditions[0] == ""
