"""The tables themselves; what `check` says about their answers is benchmarks/answers.py."""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from torch import nn

from casestudies.grading.demands import Draft

from . import right, wrong
from .right import ANSWERS as RIGHT
from .wrong import ANSWERS as WRONG

ROOT = Path(__file__).parents[2]
PARTS = {
    part
    for file in ROOT.glob("solutions/*.md")
    for part in re.findall(r'check\("([\w/]+)"', file.read_text())
}


def test_there_are_enough() -> None:
    assert len(WRONG) >= 300 and len(RIGHT) >= 100
    assert {answer.slips for answer in WRONG} == {1, 2, 3} and {answer.slips for answer in RIGHT} == {0}


@pytest.mark.parametrize("table", [right, wrong])
def test_every_part_has_answers_with_labels_of_their_own(table: ModuleType) -> None:
    answered = {answer.part for answer in table.ANSWERS}
    assert answered <= PARTS
    assert {part for part in PARTS if not Draft(ROOT, part.partition("/")[0]).small} <= answered
    assert max(Counter((answer.part, answer.label) for answer in table.ANSWERS).values()) == 1


# What reports say whatever the mistake is.
COMMONPLACE = """
Not right yet. Partly right. of points.
Output shape and parameters. Right, but right shapes alone earn no points.
Values in evaluation mode. Values in training mode, and the running statistics after it.
Gradients; the input is left as it was. The gradient of the input differs.
The output in training mode differs: the largest difference is where values reach.
gives; expected
Read: https://example.org/casestudies/page.html
The same random numbers again: check("", ..., seed=)
"""


def test_patterns_ask_for_more_than_every_report_says() -> None:
    assert [answer.label for answer in WRONG if re.search(answer.says, COMMONPLACE)] == []


def test_classes_are_modules() -> None:
    for answer in RIGHT + WRONG:
        assert callable(answer.answer)
        if inspect.isclass(answer.answer):
            assert issubclass(answer.answer, nn.Module)


# Arguments that tell every wrong formula of the tables from the right one.
ARGUMENTS = {
    "lenet/conv_output_size": [(32, 5), (28, 5, 1, 2), (224, 11, 4, 2), (8, 3, 2, 1), (7, 3, 2), (1, 1)],
    "lenet/conv_parameters": [(6, 16, 5), (6, 16, 5, False), (3, 4, 1)],
    "alexnet/grouped_conv_macs": [(96, 256, 5, 27, 26, 2), (3, 96, 11, 55, 54)],
    "vgg/receptive_field": [([(3, 1), (2, 2), (3, 1)],), ([(11, 4), (3, 2), (5, 1), (3, 2)],), ([],)],
    "vgg/stack_versus_single": [(5, 2), (7, 3), (4, 1)],
    "nin/conv1x1_parameters": [(5, 7), (5, 7, False)],
    "inception/conv_macs": [(192, 32, 5, 28, 27)],
    "inception/bottleneck_macs": [(192, 16, 32, 5, 28, 27)],
    "mobilenet/separable_macs": [(3, 5, 3, 4, 6)],
    "mobilenet/separable_ratio": [(64, 5), (1, 1)],
    "mobilenet_v2/inverted_residual_macs": [(3, 5, 7, 6, 2, 4), (4, 6, 8, 9), (4, 6, 8, 9, 2, 1)],
    "efficientnet/compound_scaling": [(1,), (2.5,), (3, 1.3, 1.2, 1.05)],
    "efficientnet/flops_growth": [(1,), (2.5,), (3, 1.3, 1.2, 1.05)],
    "efficientnet/round_repeats": [(3, 1.1), (2, 1.2), (1, 1.8), (3, 1.4), (1, 1.0), (2, 1.01), (2, 2.6)],
    "efficientnet/round_channels": [
        *((c, w) for c in (1, 3, 12, 18, 28, 40, 89, 116) for w in (0.2, 0.5, 1, 1.1, 1.2)),
        *((10, 1, 9), (100, 1, 100), (10, 2, 16)),
    ],
}  # fmt: skip
SOLVED = {answer.part: answer.answer for answer in reversed(RIGHT)}


def results(part: str, function: Callable[..., object]) -> list[object]:
    found = []
    for arguments in ARGUMENTS[part]:
        try:
            result = function(*arguments)
        except (ArithmeticError, TypeError, ValueError) as error:
            result = repr(error)
        found.append(result)
    return found


def same(a: object, b: object) -> bool:
    """The same type as well: a float is not a count."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (math.isclose(a, b, rel_tol=1e-9) if isinstance(a, float) else a == b)


@pytest.mark.parametrize("part", ARGUMENTS)
def test_formulas(part: str) -> None:
    expected = results(part, SOLVED[part])
    for answer in RIGHT + WRONG:
        if answer.part == part:
            right_everywhere = all(map(same, results(part, answer.answer), expected))
            assert right_everywhere == (answer.slips == 0), answer.label
