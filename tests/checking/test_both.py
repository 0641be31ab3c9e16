"""The visible and the hidden check from one round of questions: as if each had been asked alone, with less asking."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking.engine import run_both_checks, run_check
from casestudies.checking.parts import Values, parts
from casestudies.sandboxed.messages import Batch
from casestudies.sandboxed.probe import Probe

PARTS = {id: part for name in ("resnet", "mobilenet") for id, part in parts(name).items()}
SEED = 12


class Unknown(nn.Module):
    """A mistake that nobody knows."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


# part, answer
ANSWERS: dict[str, tuple[str, Any]] = {
    "right": ("resnet/basic_block", PARTS["resnet/basic_block"].reference.factory),
    "an unknown mistake": ("resnet/basic_block", Unknown),
    "no module": ("resnet/basic_block", 3),
    "a pair of mistakes": ("resnet/basic_block", PARTS["resnet/basic_block"].pairs[0].wrong),
}
for id in ("resnet/basic_block", *(id for id in PARTS if id.startswith("mobilenet/"))):
    for known in PARTS[id].mistakes[::20]:
        ANSWERS[f"{id}: {known.id}"] = (id, known.wrong)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("hidden", [False, True])
def test_each_report_is_as_if_asked_alone(name: str, hidden: bool) -> None:
    part, answer = ANSWERS[name]
    both = run_both_checks(part, Probe(answer).handle, SEED)
    assert both[hidden].to_dict() == run_check(part, Probe(answer).handle, SEED, hidden).to_dict()


@pytest.mark.parametrize("name", ANSWERS)
def test_what_is_said_at_home_is_said_in_the_grade(name: str) -> None:
    part, answer = ANSWERS[name]
    visible, graded = run_both_checks(part, Probe(answer).handle, SEED)
    assert visible.to_dict() == graded.to_dict() and visible is not graded


def counted(answer: Any) -> tuple[Any, list[list[str]]]:
    """A subject, and what it has been asked: the questions of each journey."""
    probe, journeys = Probe(answer), []

    def subject(request: Any) -> Any:
        together = request.requests if isinstance(request, Batch) else [request]
        journeys.append([type(each).__name__ for each in together])
        return probe.handle(request)

    return subject, journeys


@pytest.mark.parametrize("id", [id for id, part in PARTS.items() if not isinstance(part.reference, Values)])
def test_a_block_is_built_once_a_case(id: str) -> None:
    subject, journeys = counted(PARTS[id].reference.factory)
    run_both_checks(id, subject, SEED)
    # One case is built before, and twice, in a series: two blocks might share a parameter.
    assert "Series" in journeys[1]
    assert sum(each.count("Build") for each in journeys) == len(PARTS[id].reference.drawn(SEED)) - 1


def test_the_cases_of_a_right_block_travel_together() -> None:
    part = PARTS["resnet/basic_block"]
    subject, journeys = counted(part.reference.factory)
    run_both_checks(part.id, subject, SEED)
    # One more asks what the answer is, and one at the end runs a case again; that which builds a case twice spares
    # building it later.
    assert sum(map(len, journeys)) == 2 + 3 * len(part.reference.drawn(SEED))
    # These two, the one that builds a case and shows how large the answers are, and three for all.
    assert len(journeys) == 6
