"""What the judge keeps of candidates."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies.checking import blocks
from casestudies.checking.engine import check, run_check
from casestudies.checking.parts import find, parts
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
    assert len(made) == 1 and weight.dtype == torch.float64
    assert features > 256 or not weight.any()  # in a large one is what was in memory: nobody reads it


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


def test_a_mistake_that_raises_on_some_images_is_named_though_others_were_not_asked_for() -> None:
    part = parts("lenet")["lenet/repaired_subsampling"]
    wrong = next(known.wrong for known in part.mistakes if known.id == "along_the_height")
    # With this seed it runs on the first images of a case, raises on the next and would run on those after.
    assert check(part.id, wrong, seed=1).mistakes == ["along_the_height"]


class OneImageOnly(BasicBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.reshape(1, *x.shape[1:])) + 1


def test_a_candidate_that_raises_with_several_images_only_explains_nothing() -> None:
    case = Case(3, 5, 2, image=(4, 3, 6, 6))
    seen = blocks.ask_together(Probe(BasicBlock).handle, [blocks.asking(case, 1, thorough=False)])[0]
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
    cases = len(find("resnet/basic_block").reference.drawn(3))  # others are built to see what a block keeps
    counted = {handle: runs.count(handle) for handle in runs if handle < cases}
    assert set(counted.values()) <= {repeats, repeats + 2}  # one of them takes a second step and a third


def test_a_candidate_that_raises_on_one_image_is_not_built_for_it_again() -> None:
    made = []

    class Raises(BasicBlock):
        def __init__(self, *arguments: int) -> None:
            super().__init__(*arguments)
            made.append(arguments)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ValueError("no image is right")

    for _ in range(3):  # each with a case of its own
        assert blocks.slots_on_one(Raises, Case(3, 5, 2, image=(4, 3, 6, 6))) is None
    assert len(made) == 1


class OverwritesItsInput(BasicBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = super().forward(x)
        x.mul_(2)
        return out


class NotInTraining(BasicBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("only in evaluation")
        return super().forward(x)


class Other(BasicBlock):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 1


@pytest.mark.parametrize("block, looks", [(OverwritesItsInput, False), (NotInTraining, False), (Other, True)])
def test_other_layouts_of_weights_are_tried_where_they_could_mend_what_differs(
    monkeypatch: pytest.MonkeyPatch, block: type[nn.Module], looks: bool
) -> None:
    looked = []
    monkeypatch.setattr(blocks, "_agrees_in_some_layout", lambda *given: looked.append(given))
    assert not run_check("resnet/basic_block", Probe(block).handle, seed=3).passed
    assert bool(looked) == looks


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda g: g, False),
        (lambda g: g * (1 + 1e-9), False),
        (lambda g: g + 0.01 * g.abs().max(), True),
        (lambda g: g * float("nan"), True),
        (lambda g: None, True),
    ],
)
@pytest.mark.parametrize("name", ["weight", "bias"])
def test_gradients_that_differ_are_told_apart(change, found, name) -> None:
    layer, x = nn.Conv2d(3, 4, 3).double(), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    ran = blocks.run_module(layer, [x], training=True, cotangent=torch.ones(2, 4, 3, 3))
    given = {key: change(value) if key == name else value for key, value in ran.parameter_gradients.items()}
    theirs = replace(ran, parameter_gradients=given)
    matching = {each: each for each in given}
    assert bool(blocks._gradients(theirs, ran, matching, blocks.USUAL)) == found


def test_a_candidate_is_in_the_mode_that_is_asked_for() -> None:
    block, x = BasicBlock(3, 3).double(), torch.randn(2, 3, 5, 5, dtype=torch.float64)
    for training in (False, False, True, True, False):
        ran = blocks.run_module(block, [x], training=training)
        other = deepcopy(block).train(training)
        assert all(each.training == training for each in block.modules())
        assert torch.equal(ran.output.value, other(x))


def test_the_gradient_that_tells_ways_to_match_is_that_of_a_weight() -> None:
    """That of a bias at the end is the same whatever comes before it."""
    part = parts("resnet")["resnet/cifar_resnet"]
    factory = part.reference.factory
    case = Case(1, image=(2, 3, 8, 8))
    subject = messages.Checked(Probe(factory).handle)
    (seen,) = blocks.ask_together(subject, [blocks.asking(case, 5)])
    blocks.trace(subject, [seen])
    module = blocks.candidate(factory, case)
    matching = next(iter(seen.matchings(blocks.plan_of(factory, case).slots)))
    blocks._load(seen, module, matching, blocks.USUAL)
    _, gradients = blocks._last_gradient(seen, module, matching)
    assert [tuple(each.shape) for each in gradients.values()] == [(10, 64)]
