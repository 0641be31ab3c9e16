"""What was not compared is not right: a block that keeps a comparison from taking place gains nothing by it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from casestudies import check
from casestudies.checking.parts import Reference, assignments, parts

BLOCKS = {
    id: part
    for name in assignments()
    for id, part in parts(name).items()
    if isinstance(part.reference, Reference)
}


class RaisesInTraining(nn.Module):
    def run(self, right, x):
        if self.training:
            raise ValueError("x")
        return 0 * right


class OtherShapeInFloat32(nn.Module):
    def run(self, right, x):
        return right[:1] if x.dtype == torch.float32 else 2 * right


class RaisesForOneImage(nn.Module):
    def run(self, right, x):
        if len(x) == 1:
            raise ValueError("x")
        return 0 * right


class NeverATensorInTraining(nn.Module):
    def run(self, right, x):
        return None if self.training else 0 * right


WAYS = [RaisesInTraining, OtherShapeInFloat32, RaisesForOneImage, NeverATensorInTraining]


def nonsense(reference: Reference, way: type):
    """The right layers, whose result is spoilt: a class or a function, as the part asks for."""

    class Nonsense(way):
        def __init__(self, *args, **kwargs):
            super().__init__()
            self.inner = reference.factory(*args, **kwargs)

        def forward(self, *given):
            return self.run(self.inner(*given), given[0])

    return Nonsense if reference.kind == "class" else lambda *args, **kwargs: Nonsense(*args, **kwargs)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("id", ["resnet/basic_block", "inception/inception_module", "lenet/lenet5"])
def test_nonsense_that_prevents_a_comparison_gets_nothing(id, way):
    report = check(id, nonsense(BLOCKS[id].reference, way), seed=5)
    assert report.points == 0 and report.state != "ungradable"


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("id", BLOCKS)
def test_nonsense_gets_nothing_in_any_part(id, way):
    report = check(id, nonsense(BLOCKS[id].reference, way), seed=5)
    assert report.points == 0 and report.state != "ungradable"


def test_gradients_are_compared_where_a_single_image_raises():
    class Detached(BLOCKS["resnet/basic_block"].reference.factory):
        def forward(self, x):
            if len(x) == 1:
                raise ValueError("x")
            return super().forward(x.detach())

    report = check("resnet/basic_block", Detached, seed=5)
    lost = {criterion.title for criterion in report.criteria if not criterion.passed}
    assert lost >= {"Values in evaluation mode", "Gradients; the input is left as it was"}
