"""A block that goes wrong once it was called so often: nobody knows how often it is."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.blocks import further_runs
from casestudies.checking.parts import parts
from casestudies.networks.resnet import BasicBlock
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

SEEDS = range(400)
COMPARED = 3  # steps of training, in one of the cases


def wrong_from(step: int, part: str = "resnet/basic_block", training: bool = True) -> type[nn.Module]:
    right = parts()[part].reference.factory

    class Answer(right):
        steps = 0

        def forward(self, x: Tensor) -> Tensor:
            self.steps += self.training == training
            return super().forward(x) * (2.0 if self.steps >= step and self.training == training else 1.0)

    return Answer


def seed_with(evaluation: int, training: int) -> int:
    return next(seed for seed in SEEDS if further_runs(seed) == (evaluation, training))


@pytest.mark.parametrize("further", [1, 2, 3])
def test_a_block_that_is_wrong_from_a_later_training_step_on_is_found(further: int) -> None:
    step, seed = COMPARED + further, seed_with(0, further)
    report = check("resnet/basic_block", wrong_from(step), seed=seed)
    assert not report.passed and "in a later training step differs" in report.summary
    assert check("resnet/basic_block", wrong_from(step + 1), seed=seed).passed


def test_so_is_a_network(seed: int = seed_with(0, 2)) -> None:
    answer = wrong_from(4, "resnet/cifar_resnet")
    assert "in a later training step differs" in check("resnet/cifar_resnet", answer, seed=seed).text()


def test_a_block_that_is_wrong_after_some_calls_in_evaluation_is_found() -> None:
    def passes(step: int, seed: int) -> bool:
        return check("resnet/basic_block", wrong_from(step, training=False), seed=seed).passed

    none, several = seed_with(0, 0), seed_with(3, 0)
    step = next(step for step in range(2, 20) if passes(step, none))
    assert not passes(step, several)


def test_no_number_of_steps_is_safe_and_most_are_few() -> None:
    drawn = Counter(further_runs(seed) for seed in range(4000))
    assert {(0, k) for k in range(7)} | {(k, 0) for k in range(7)} <= drawn.keys()
    assert sum(sum(pair) * times for pair, times in drawn.items()) / 4000 < 1.1


def test_further_runs_leave_nothing_in_the_buffers_of_a_right_block() -> None:
    x = torch.randn(4, 3, 6, 6)
    ran = []
    for before in (0, 5):
        torch.manual_seed(1)
        probe = Probe(lambda: BasicBlock(3, 3))
        probe.handle(messages.Build([], seed=1))
        ran.append(probe.handle(messages.Run((x,), training=True, before=before)))
    assert torch.equal(ran[0].output.value, ran[1].output.value)
    assert all(torch.equal(ran[0].buffers[name], value) for name, value in ran[1].buffers.items())


def test_further_runs_leave_the_generators_where_a_block_finds_them() -> None:
    x, drawn = torch.ones(4, 3, 6, 6), []
    for before in (0, 3):
        probe = Probe(lambda: nn.Dropout(0.5))
        probe.handle(messages.Build([]))
        drawn.append(probe.handle(messages.Run((x,), training=True, before=before, seed=3)).output.value)
    assert torch.equal(*drawn)
