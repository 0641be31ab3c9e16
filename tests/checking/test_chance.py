"""Chance from any generator: torch's, Python's or NumPy's, an answer is judged alike."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from casestudies import check
from casestudies.checking.parts import parts
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

UNIFORM = {
    "torch": lambda n: torch.rand(n),
    "Python": lambda n: torch.tensor([random.random() for _ in range(n)]),
    "NumPy": lambda n: torch.from_numpy(np.random.rand(n)),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_a_right_drop_path_may_draw_from(name):
    def drop_connect(x, drop_rate, training):
        if not training or drop_rate == 0:
            return x
        kept = (UNIFORM[name](len(x)) >= drop_rate).to(x.dtype)
        return x * kept.view(-1, 1, 1, 1) / (1 - drop_rate)

    assert check("efficientnet/drop_connect", drop_connect, seed=3).passed


@pytest.mark.parametrize("name", UNIFORM)
def test_a_block_is_seen_to_be_random_that_draws_from(name):
    right = parts("resnet")["resnet/basic_block"].reference.factory

    class Sometimes(right):
        def forward(self, x):
            out = super().forward(x)
            return out * 0.5 if self.training and float(UNIFORM[name](1)) < 0.5 else out

    report = check("resnet/basic_block", Sometimes, seed=3)
    assert report.points < report.possible


@pytest.mark.parametrize("name", UNIFORM)
def test_an_answer_repeats_with_its_seed_and_leaves_the_generators_as_they_were(name):
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    probe = Probe(lambda: float(UNIFORM[name](1)))
    first, again, other = (probe.handle(messages.Call([], seed=seed)).value.value for seed in (1, 1, 2))
    assert first == again != other
    assert before == (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())


def test_what_is_built_repeats_with_the_seed_too():
    probe = Probe(lambda: nn.Linear(1, 1 + random.randrange(1000)))
    shapes = [probe.handle(messages.Build([], seed=seed)).parameters[0].shape for seed in (1, 1, 2)]
    assert shapes[0] == shapes[1] != shapes[2]
