"""Answers that change the lists of whoever calls them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from casestudies import check


def emptied(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    while layers:
        kernel, stride = layers.pop(0)
        field, step = field + (kernel - 1) * step, step * stride
    return field


def turned(layers: list[tuple[int, int]]) -> int:
    layers.reverse()
    field = 1
    for kernel, stride in layers:
        field = (field - 1) * stride + kernel
    return field


@pytest.mark.parametrize("answer", [emptied, turned], ids=lambda answer: answer.__name__)
def test_whoever_changes_a_list_of_the_caller_loses_points_and_is_told(answer: Callable[..., int]) -> None:
    for seed in range(4):
        report = check("vgg/receptive_field", answer, seed=seed)
        assert report.points < report.possible / 2
        assert "changes its argument in place." in report.summary
        said = [each["sentence"] for each in report.differences]
        assert not report.mistakes and said == ["Yours changes `layers`, which belongs to whoever calls it."]


def test_whoever_copies_a_list_first_is_right() -> None:
    assert check("vgg/receptive_field", lambda layers: emptied(list(layers)), seed=0).passed
