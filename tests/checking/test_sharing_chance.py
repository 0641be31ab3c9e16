"""Random answers that are wrong in what several samples have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from casestudies import check


def dropping(mask: Callable[[int, float], Tensor]) -> Callable[[Tensor, float, bool], Tensor]:
    def drop_connect(x: Tensor, drop_rate: float, training: bool) -> Tensor:
        if not training or drop_rate == 0:
            return x
        return x * mask(len(x), drop_rate).view(-1, 1, 1, 1).to(x.dtype) / (1 - drop_rate)

    return drop_connect


def drawn(samples: int, rate: float) -> Tensor:
    return torch.rand(samples) >= rate


def never_all(samples: int, rate: float) -> Tensor:
    kept = drawn(samples, rate)
    if not kept.any():
        kept[torch.randint(samples, ())] = True
    return kept


def opposite(samples: int, rate: float) -> Tensor:
    half = torch.rand((samples + 1) // 2)
    return torch.cat([half, 1 - half])[:samples] >= rate


WRONG = {
    "half of it repeated": lambda n, rate: drawn((n + 1) // 2, rate).repeat(2)[:n],
    "each draw for two neighbours": lambda n, rate: drawn((n + 1) // 2, rate).repeat_interleave(2)[:n],
    "half of it in reverse": lambda n, rate: torch.cat([(half := drawn((n + 1) // 2, rate)), half.flip(0)])[
        :n
    ],
    "a quarter of it repeated": lambda n, rate: drawn((n + 3) // 4, rate).repeat(4)[:n],
    "never the whole batch": never_all,
    "one of ten numbers": lambda n, rate: torch.randint(0, 10, (n,)) >= rate * 10,
    "one of ten numbers from 1": lambda n, rate: torch.randint(1, 11, (n,)) > rate * 10,
}


@pytest.mark.parametrize("name", WRONG)
def test_draws_that_depend_on_each_other_or_are_too_coarse_are_wrong_with_any_seed(name: str) -> None:
    for seed in range(8):
        assert not check("efficientnet/drop_connect", dropping(WRONG[name]), seed=seed).passed


def test_a_draw_for_each_sample_is_right_with_any_seed() -> None:
    for seed in range(40):
        report = check("efficientnet/drop_connect", dropping(drawn), seed=seed)
        assert report.passed, report.text()
