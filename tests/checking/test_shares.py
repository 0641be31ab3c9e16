"""Shares of what is drawn: what is said of them is certain, and said in words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from casestudies.checking.compare import ended
from casestudies.checking.engine import check
from casestudies.checks.efficientnet import _share

PART = "efficientnet/drop_connect"


def dropping(kept: Callable[[Tensor, float], Tensor], guarded: bool = True) -> Callable[..., Tensor]:
    def drop_connect(x: Tensor, drop_rate: float, training: bool) -> Tensor:
        if not training or (guarded and drop_rate == 0):
            return x
        return x * kept(torch.empty(len(x), 1, 1, 1), drop_rate) / (1 - drop_rate)

    return drop_connect


# How samples are kept, and the share that is told; "another share" where none of the rules that have a name is it.
SHARES: dict[str, tuple[Callable[[Tensor, float], Tensor], str]] = {
    "kept instead": (lambda drawn, rate: drawn.uniform_() < rate, "1 - drop_rate"),
    "half": (lambda drawn, rate: drawn.uniform_() >= rate / 2, "half of drop_rate"),
    # Of 0.36 it keeps 0.3594, as 1 - 0.64 would.
    "normal numbers": (lambda drawn, rate: drawn.normal_() >= rate, "another share"),
    "one half": (lambda drawn, rate: drawn.uniform_() >= 0.5, "another share"),
    "a square": (lambda drawn, rate: drawn.uniform_() >= rate**2, "another share"),
}


@pytest.mark.parametrize("how", SHARES)
@pytest.mark.parametrize("seed", range(3))
def test_a_share_is_named_where_all_calls_have_it(how: str, seed: int) -> None:
    kept, share = SHARES[how]
    report = check(PART, dropping(kept), hidden=seed == 1, seed=seed)
    said = {each["yours"].rstrip("?") for each in report.differences if "share" in each["yours"]}
    assert said == {f"share of zeros: {share}"}
    messages = [each.message for each in report.criteria if "share of zeros" in each.message]
    assert messages and all(f"is '{share}'; expected 'drop_rate'." in each for each in messages)
    assert "?" not in report.summary + "".join(messages) + "".join(e["sentence"] for e in report.differences)


def test_nothing_is_said_of_what_is_kept_where_nothing_is() -> None:
    kept, _ = SHARES["kept instead"]
    report = check(PART, dropping(kept, guarded=False), seed=3)
    at_zero = [each["sentence"] for each in report.differences if ", 0, True)" in each["where"]]
    assert at_zero == [
        "drop_connect(<128×3×2×2 tensor>, 0, True): set to zero together: everything; asked for: nothing."
    ]


def test_a_right_share_is_right_however_few_were_dropped() -> None:
    """At a rate of 0.045, 100 of 3072 samples: less than 3/4 of them, as in one of a thousand checks."""
    dropped = torch.zeros(24, 128, 1, 1, 1, dtype=torch.bool)
    dropped.view(-1)[torch.randperm(24 * 128)[:100]] = True
    assert _share(list(dropped.expand(-1, -1, 3, 2, 2)), 0.045) == "drop_rate"


@pytest.mark.parametrize("seed", range(2))
def test_sentences_of_a_summary_end(seed: int) -> None:
    def make_identity_(block: Any) -> None:
        block.eval()

    report = check("identity/make_identity_", make_identity_, seed=seed)
    first, found, _ = report.summary.partition(" make_identity_(")
    assert not report.passed and found and first == ended(first)
    assert "does not restore it." in report.summary


def test_a_line_of_the_students_code_ends_a_summary() -> None:
    def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        if padding:
            return [][padding]
        return (size - kernel) // stride + 1

    report = check("lenet/conv_output_size", conv_output_size, seed=1)
    assert " of your code: " in report.summary
    assert report.summary.endswith("of your code: return [][padding]")
