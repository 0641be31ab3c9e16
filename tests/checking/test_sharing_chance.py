"""Random answers that are wrong in what several samples have in common."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
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


def kept_for_ever() -> Callable[[int, float], Tensor]:
    masks: dict[tuple[int, float], Tensor] = {}

    def mask(samples: int, rate: float) -> Tensor:
        return masks.setdefault((samples, rate), drawn(samples, rate))

    return mask


def seeded(samples: int, rate: float) -> Tensor:
    torch.manual_seed(0)
    return drawn(samples, rate)


@pytest.mark.parametrize("make", [kept_for_ever, lambda: seeded], ids=["kept", "seeded"])
def test_of_a_draw_that_is_repeated_neither_its_share_nor_its_places_are_told(
    make: Callable[[], Callable[[int, float], Tensor]],
) -> None:
    points = set()
    for seed in (1, 2, 3, 44, 505):
        report = check("efficientnet/drop_connect", dropping(make()), seed=seed)
        points.add(report.points)
        told = {each["asked"].partition(":")[0] for each in report.differences}
        assert "draws" in told and not told & {"places", "share of zeros"}
    assert len(points) == 1


def test_a_share_that_is_the_same_in_every_batch_is_wrong_at_every_rate() -> None:
    def fixed(samples: int, rate: float) -> Tensor:
        return torch.randperm(samples) >= round(rate * samples)

    found = [check("efficientnet/drop_connect", dropping(fixed), seed=seed) for seed in range(4)]
    assert len({report.points for report in found}) == 1
    assert all(
        not criterion.passed for report in found for criterion in (report.criteria[0], report.criteria[3])
    )


def test_of_a_batch_of_one_no_other_samples_are_told() -> None:
    report = check(
        "efficientnet/drop_connect", lambda x, drop_rate, training: F.dropout(x, drop_rate, training)
    )
    assert [each["yours"] for each in report.differences] == ["set to zero together: single elements"]


def test_one_draw_for_all_is_named_with_every_seed() -> None:
    for seed in (1, 44, 505):
        report = check(
            "efficientnet/drop_connect", dropping(lambda n, rate: drawn(1, rate).expand(n)), seed=seed
        )
        assert [known["id"] for known in report.recognised] == ["per_batch"]
