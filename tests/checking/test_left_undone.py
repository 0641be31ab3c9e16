"""Of a module that is left in another state than it should be is told what has still to be changed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from casestudies import check
from casestudies.checks.identity import GivenBlock

PART = "identity/make_identity_"


def setting(change: Callable[[GivenBlock], object]) -> Callable[[GivenBlock], None]:
    def make_identity_(block: GivenBlock) -> None:
        with torch.no_grad():
            change(block)

    return make_identity_


# What is changed, how, and what still makes a difference.
LEFT = {
    "`conv1.weight`": (lambda block: block.conv1.weight.zero_(), "`bn2.weight`, `bn2.bias`"),
    "`bn1.bias`": (lambda block: block.bn1.bias.zero_(), "`bn2.weight`, `bn2.bias`"),
    "`bn2.running_mean`": (lambda block: block.bn2.running_mean.zero_(), "`bn2.weight`, `bn2.bias`"),
    "`conv1.weight`, `bn2.bias`": (
        lambda block: (block.conv1.weight.mul_(2), block.bn2.bias.zero_()),
        "`bn2.weight`",
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("changed", LEFT)
def test_what_of_a_module_still_makes_a_difference_is_told(changed: str, seed: int) -> None:
    change, rest = LEFT[changed]
    report = check(PART, setting(change), seed=seed)
    (told,) = report.differences
    sentence = f"Your function changes {changed}. What still makes a difference: {rest}."
    assert told["sentence"] == sentence and sentence in report.summary and not report.mistakes


@pytest.mark.parametrize("seed", range(3))
def test_a_module_that_is_right_in_another_way_is_told_nothing(seed: int) -> None:
    def silent(block: GivenBlock) -> None:
        block.conv2.weight.zero_()
        block.bn2.reset_running_stats()
        block.bn2.bias.zero_()

    report = check(PART, setting(silent), seed=seed)
    assert report.passed and not report.differences
