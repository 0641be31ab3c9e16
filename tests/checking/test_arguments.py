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
        (
            lambda stride, in_channels, out_channels: (stride == 1) != (in_channels == 3),
            "`stride` is 1 or `in_channels` is 3, but not both",
        ),
        (lambda stride, in_channels, out_channels: stride == 1 or in_channels == 3, ""),
    ],
)
def test_a_condition_is_said_only_where_it_holds_in_these_cases_and_in_no_other(
    holds: Any, words: str
) -> None:
    assert when(CASES, [holds(**case.values) for case in CASES]) == words


def test_a_single_case_may_be_chance() -> None:
    cases = [made(stride=s, padding=p) for s in (1, 2) for p in (0, 1)]
    assert when(cases, [case.values == {"stride": 1, "padding": 1} for case in cases]) == ""
    assert when(cases, [case.values != {"stride": 1, "padding": 1} for case in cases]) == ""


def test_no_default_is_guessed_where_something_else_is_wrong_as_well() -> None:
    cases = [made(stride=1, left_out=["stride"]), made(stride=1), made(stride=2)]
    right = {"stride": 2}
    assert other_defaults(cases, [True, False, False], lambda k, values: values == right) is not None
    assert other_defaults(cases, [True, False, True], lambda k, values: values == right) is None
    assert other_defaults(cases, [True, False, False], lambda k, values: False) is None


class SumTooOften(InvertedResidual):
    """The input is added wherever the shapes agree, and all is halved."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return (y + x if y.shape == x.shape else y * 1.5) / 2


def test_what_is_so_in_some_cases_stands_behind_these_and_what_is_always_so_before() -> None:
    report = check("mobilenet_v2/inverted_residual", SumTooOften, seed=0)
    conditions = [each.get("when", "") for each in report.differences]
    assert conditions == sorted(conditions, key=bool)


def test_nothing_is_said_of_cases_that_stop_before_it() -> None:
    class Wrong(BasicBlock):
        """No projection where the stride is 1, and a factor at the end."""

        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__(in_channels, out_channels, stride)
            if stride == 1:
                self.shortcut = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) / 2

    report = check("resnet/basic_block", Wrong, seed=0)
    halved = [each for each in report.differences if each["yours"] == "multiplication by 0.5"]
    assert len(halved) == 1 and "when" not in halved[0]
    missing = [each for each in report.differences if each["asked"].startswith("1×1 convolution")]
    assert missing and all("`stride` is 1" in each["when"] for each in missing)
