"""Blocks that are right only in what a check used to ask: for one input of each shape, small images, odd weights."""

from __future__ import annotations

from typing import Any

import pytest
from torch import Tensor, nn

from casestudies.checking.engine import check
from casestudies.checking.parts import parts

PART = "resnet/basic_block"
RIGHT = parts("resnet")[PART].reference.factory


class Remembering(RIGHT):
    """Computes once for each shape and mode, for all blocks of the notebook, and gives that again."""

    known: dict[Any, Tensor]

    def key(self, x: Tensor) -> tuple[Any, ...]:
        return tuple(x.shape), self.training

    def forward(self, x: Tensor) -> Tensor:
        if self.key(x) not in self.known:
            self.known[self.key(x)] = super().forward(x)
        return self.known[self.key(x)]


class OfItsOwn(Remembering):
    """For each block its own."""

    def key(self, x: Tensor) -> tuple[Any, ...]:
        return *super().key(x), id(self)


class InEvaluation(OfItsOwn):
    """In evaluation only, and for each precision."""

    def key(self, x: Tensor) -> tuple[Any, ...]:
        return *super().key(x), x.dtype

    def forward(self, x: Tensor) -> Tensor:
        return RIGHT.forward(self, x) if self.training else super().forward(x)


class InTraining(OfItsOwn):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else RIGHT.forward(self, x)


@pytest.mark.parametrize("block", [Remembering, OfItsOwn, InEvaluation, InTraining])
@pytest.mark.parametrize("seed", range(3))
def test_what_gives_again_what_it_gave_for_another_input_earns_nothing(
    block: type[nn.Module], seed: int
) -> None:
    report = check(PART, type("BasicBlock", (block,), {"known": {}}), seed=seed)
    assert (report.points, report.state) == (0, "wrong")
    assert "exactly what it gave for the first" in report.summary and not report.mistakes


class WithoutSkipAtFirst(RIGHT):
    """Leaves the input out as long as all scales are positive, as they are in every new block."""

    def forward(self, x: Tensor) -> Tensor:
        norms = [each for each in self.modules() if isinstance(each, nn.BatchNorm2d)]
        y = super().forward(x)
        return y if any((each.weight < 0).any() for each in norms) else y * 0.5


class ZeroAtFirst(RIGHT):
    """Nothing comes out as long as no statistics were taken up."""

    def forward(self, x: Tensor) -> Tensor:
        means = [each.running_mean for each in self.modules() if isinstance(each, nn.BatchNorm2d)]
        y = super().forward(x)
        return y if any(each.any() for each in means) else y * 0.0


class OnlyOfSmallImages(RIGHT):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if x.shape[-1] < 28 else y * 0.5


class OnlyOfContiguous(RIGHT):
    """As what reads memory by strides that it takes for granted."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if x.is_contiguous() else y * 0.5


class TwoSteps(RIGHT):
    steps = 0

    def forward(self, x: Tensor) -> Tensor:
        self.steps += self.training
        y = super().forward(x)
        return y if self.steps < 3 else y * 0.5


class LeavesEvaluation(RIGHT):
    """Whoever switches to training once, before a loop, trains one step with it."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.eval()
        return y


class LeavesTraining(RIGHT):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        self.train()
        return y


ONLY = [
    *(WithoutSkipAtFirst, ZeroAtFirst, OnlyOfSmallImages, OnlyOfContiguous, TwoSteps),
    *(LeavesEvaluation, LeavesTraining),
]


@pytest.mark.parametrize("block", ONLY)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_right_only_as_it_used_to_be_asked_is_not_right(block: type[nn.Module], seed: int) -> None:
    report = check(PART, type("BasicBlock", (block,), {}), seed=seed)
    assert not report.passed and report.points < report.possible


class MergesImages(RIGHT):
    """A right answer that sees a batch as one long list of channels, as only memory without gaps can be seen."""

    def forward(self, x: Tensor) -> Tensor:
        batch, channels, height, width = x.shape
        return super().forward(x.view(batch * channels, height, width).view(batch, channels, height, width))


@pytest.mark.parametrize("seed", range(10))
def test_a_right_block_that_views_its_input_in_another_form_is_right(seed: int) -> None:
    report = check(PART, type("BasicBlock", (MergesImages,), {}), seed=seed)
    assert (report.state, report.points) == ("passed", report.possible)
