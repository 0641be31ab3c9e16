"""What the arguments of the cases tell: other defaults, and the cases in which something is so."""

from __future__ import annotations

from typing import Any

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.arguments import Made, other_defaults, so_it_is, when, written
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


@pytest.mark.parametrize("turned", ["one", "two"])
def test_a_condition_is_told_only_where_further_cases_agree(turned: str) -> None:
    cases = [made(one=k % 2, two=k % 2, other=k) for k in range(8)]
    holds = [k % 2 == 1 for k in range(8)]
    told = so_it_is(cases, holds, lambda k, like: bool(like.values[turned]))
    assert told == (
        f"In each of the 4 cases compared in which `{turned}` is not 0, and in no other (numbers and places are "
        "those of one):"
    )
    assert so_it_is(cases, holds, lambda k, like: None) == ""
    assert so_it_is(cases, holds, lambda k, like: holds[k]) == ""


class SamePadding(nn.Sequential):
    def __init__(
        self, in_channels: int, out_channels: int, size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, size, *self.first(size, stride, padding)),
            *(nn.ReLU(), nn.Conv2d(out_channels, out_channels, 1)),
            *(nn.ReLU(), nn.Conv2d(out_channels, out_channels, 1), nn.ReLU()),
        )

    def first(self, size: int, stride: int, padding: int) -> tuple[int, int]:
        return stride, padding or size // 2


class Swapped(SamePadding):
    def first(self, size: int, stride: int, padding: int) -> tuple[int, int]:
        return padding + 1, stride - 1


@pytest.mark.parametrize("seed", [1, 2, 3, 44])
def test_what_depends_on_an_argument_is_told_of_that_argument_with_any_seed(seed: int) -> None:
    report = check("nin/nin_block", SamePadding, seed=seed)
    assert report.differences
    for each in report.differences:
        assert "`padding` is 0" in each["when"]  # and the kernel, where a case has one of 1 pixel there


@pytest.mark.parametrize("seed", [1, 2, 3, 44])
def test_a_condition_that_agrees_by_chance_is_not_told(seed: int) -> None:
    report = check("nin/nin_block", Swapped, seed=seed)
    assert report.differences and not any("when" in each for each in report.differences)


class NormsFirst(nn.Module):
    """Pre-activation: the same in all cases, told in two ways."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(in_channels), nn.BatchNorm2d(out_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(x))
        short = self.shortcut(y) if hasattr(self, "shortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + short


def test_what_is_so_in_all_cases_is_given_no_condition_where_its_words_differ() -> None:
    report = check("resnet/basic_block", NormsFirst, seed=1)
    assert not any("when" in each for each in report.differences if "on the block" in each["sentence"])
