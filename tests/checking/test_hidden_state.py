"""Blocks that are right in the first step of training, or without gradients, and wrong otherwise."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.parts import parts
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

RIGHT = parts("resnet")["resnet/basic_block"].reference.factory


class ByGradients(nn.BatchNorm2d):
    """Takes gradients for the training mode."""

    def forward(self, x):
        training = torch.is_grad_enabled()
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, self.eps
        )


class ByTheInput(nn.BatchNorm2d):
    def forward(self, x):
        training = x.requires_grad
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, 0.1, self.eps
        )


class Drifting(nn.BatchNorm2d):
    """Changes a parameter in training."""

    def forward(self, x):
        y = super().forward(x)
        if self.training:
            self.bias.data.add_(1.0)
        return y


class Frozen(nn.BatchNorm2d):
    """Takes up statistics in the first step only."""

    steps = 0

    def forward(self, x):
        if self.training and self.steps:
            return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.1, self.eps)
        self.steps += self.training
        return super().forward(x)


class FailsLater(nn.BatchNorm2d):
    steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps > 1:
            raise ValueError("once is enough")
        return super().forward(x)


def with_norm(norm):
    class Other(RIGHT):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            for name, module in list(self.named_modules()):
                if type(module) is nn.BatchNorm2d:
                    path, _, last = name.rpartition(".")
                    setattr(self.get_submodule(path), last, norm(module.num_features))

    return Other


@pytest.mark.parametrize("norm", [ByGradients, ByTheInput, Drifting, Frozen, FailsLater])
def test_a_norm_that_is_right_only_at_first_is_not_right(norm):
    assert not check("resnet/basic_block", with_norm(norm), seed=3).passed
    assert check("resnet/basic_block", with_norm(nn.BatchNorm2d), seed=3).passed


class Flat(nn.Module):
    """Nonsense with as many numbers as the right block, in one parameter and one buffer."""

    def __init__(self, i, o, stride=1):
        super().__init__()
        self.o, self.s = o, stride
        more = stride != 1 or i != o
        self.p = nn.Parameter(torch.zeros(9 * i * o + 4 * o + 9 * o * o + more * (i * o + 2 * o)))
        self.register_buffer("b", torch.zeros(4 * o + 2 * o * more))

    def shown(self, x):
        return x[:, :1, :: self.s, :: self.s].expand(-1, self.o, -1, -1)

    def forward(self, x):
        return 0 * self.shown(x) + self.p.sum() + self.b.sum()


class FlatButOfTheInput(Flat):
    def forward(self, x):
        return self.shown(x) + self.p.sum() + self.b.sum()


class FlatAndUnused(Flat):
    def forward(self, x):
        return self.shown(x) * 1.0


@pytest.mark.parametrize("block", [Flat, FlatButOfTheInput, FlatAndUnused])
def test_nonsense_of_the_right_size_needs_no_human(block):
    report = check("resnet/basic_block", block, seed=3)
    assert report.points == 0 and report.state != "ungradable"


def test_all_cases_of_a_part_are_asked_about_in_a_few_messages():
    """A journey between two processes costs more than what is asked."""
    part = parts("resnet")["resnet/basic_block"]
    asked: list[messages.Request] = []
    probe = Probe(RIGHT)

    def subject(request):
        asked.append(request)
        return probe.handle(request)

    from casestudies.checking.engine import run_check

    assert run_check(part.id, subject, seed=3).passed
    assert len(part.reference.drawn(3)) > 3 and len(asked) <= 6


def test_large_blocks_answer_in_several_messages(monkeypatch):
    part = parts("resnet")["resnet/basic_block"]
    probe, sizes = Probe(RIGHT), []

    def subject(request):
        sizes.append(len(request.requests) if isinstance(request, messages.Batch) else 1)
        return probe.handle(request)

    monkeypatch.setattr(blocks, "ANSWERS_TOGETHER", 1)
    cases = [
        blocks.asking(case, 3 + k, k) for k, case in enumerate(each.case for each in part.reference.drawn(3))
    ]
    seen = blocks.ask_together(subject, cases)
    assert set(sizes) == {1} and all(each.training is not None for each in seen if each.case.training)


class Keeps(RIGHT):  # type: ignore[misc, valid-type]
    """Keeps what a part of it gave for the first batch of that size, in that mode."""

    part = ""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.kept = {}
        inner = getattr(self, self.part)
        plain = inner.forward

        def forward(x):
            key = self.training, x.shape, x.dtype
            if key not in self.kept:
                self.kept[key] = plain(x).detach()
            return self.kept[key]

        inner.forward = forward


class KeepsItsShortcut(Keeps):
    part = "shortcut"


class KeepsItsBranch(Keeps):
    part = "residual"


class Counts(RIGHT):  # type: ignore[misc, valid-type]
    """Does something else from some run in training on, whatever came before."""

    last, runs = 0, 0

    def forward(self, x):
        self.runs += self.training
        y = super().forward(x)
        return y + 1 if self.training and self.runs > self.last else y


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", [3, 14, 15])
@pytest.mark.parametrize("kept", [KeepsItsShortcut, KeepsItsBranch])
def test_a_block_that_keeps_what_a_part_of_it_gave_earns_nothing(kept, seed: int, hidden: bool) -> None:
    report = check("resnet/basic_block", kept, seed=seed, hidden=hidden)
    assert report.points == 0 and not report.layers
    assert "depends on the input that it was given before" in report.summary


@pytest.mark.parametrize("last", [1, 2, 3, 4])
def test_a_block_that_counts_its_runs_is_not_said_to_keep_anything(last: int) -> None:
    counts = type("Counts", (Counts,), {"last": last})
    report = check("resnet/basic_block", counts, seed=3)
    assert "given before" not in str(report)
