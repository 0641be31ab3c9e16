"""What the judge keeps of candidates."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies.checking import blocks
from casestudies.checking.engine import run_check
from casestudies.checking.parts import parts
from casestudies.checking.space import Case, Dice
from casestudies.networks.resnet import BasicBlock
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe


@pytest.mark.parametrize("features", [8, 300])  # 300 × 300 is more than is set to 0 for that
def test_a_candidate_whose_sizes_were_found_is_not_built_again(features: int) -> None:
    made = []

    def factory(size: int) -> nn.Module:
        made.append(size)
        return nn.Linear(size, size)

    case = Case(features, image=(2, 1, 1, features))
    assert blocks.sizes_of(factory, case) == {(features, features): 1, (features,): 1}
    weight = blocks.candidate(factory, case).weight
    assert len(made) == 1 and not weight.any() and weight.dtype == torch.float64


def test_one_image_tells_what_several_tell_of_the_use_of_parameters() -> None:
    part = parts("resnet")["resnet/basic_block"]
    for drawn in part.reference.drawn(seed=3):
        for factory in (part.reference.factory, *(each.wrong for each in part.mistakes)):
            module = blocks.build(factory, drawn.case)
            try:
                ran = blocks.run_module(module, drawn.case.inputs(Dice(1)), training=False, trace=True)
            except blocks.StudentError:
                assert blocks.slots_on_one(factory, drawn.case) is None
                continue
            found = tuple(blocks.slots_in(module, blocks.asked(ran.uses)))
            assert blocks.slots_on_one(factory, drawn.case) == found


class OneImageOnly(BasicBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.reshape(1, *x.shape[1:])) + 1


def test_a_candidate_that_raises_with_several_images_only_explains_nothing() -> None:
    case = Case(3, 5, 2, image=(4, 3, 6, 6))
    seen = blocks.ask_together(Probe(BasicBlock).handle, [blocks.asking(case, 1, thorough=False)])[0]
    blocks.trace(Probe(BasicBlock).handle, [])
    seen.slots = list(blocks.plan_of(BasicBlock, case).slots)
    assert not blocks.compare(seen, BasicBlock, quick=True)
    assert blocks.compare(seen, OneImageOnly, quick=True) == {"failure": "It runs."}


@pytest.mark.parametrize("rate, repeats", [(0.5, blocks.FIRST_REPEATS), (0.0, blocks.REPEATS)])
def test_a_random_block_runs_again_until_two_runs_differ(rate: float, repeats: int) -> None:
    class Dropping(BasicBlock):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.rand(1)  # so that it is random in any case
            return F.dropout(super().forward(x), rate, self.training)

    runs = []
    probe = Probe(Dropping)

    def subject(request: messages.Request) -> messages.Answer:
        for each in getattr(request, "requests", [request]):
            for one in getattr(each, "requests", [each]):
                if isinstance(one, messages.Run) and one.training and one.cotangent is None:
                    runs.append(one.handle)
        return probe.handle(request)

    report = run_check("resnet/basic_block", subject, seed=3)
    assert report.passed == (rate == 0)
    counted = {handle: runs.count(handle) for handle in runs}
    assert set(counted.values()) <= {repeats, repeats + 1}  # one of them takes a second step
