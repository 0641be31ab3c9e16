"""The values that a block begins with: whatever lets it learn is right, and what never can is not."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import init

from casestudies import check
from casestudies.checking.parts import parts
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

PARTS = (
    "resnet/basic_block",
    "resnet/cifar_resnet",
    "lenet/lenet5",
    "mobilenet/separable_conv",
    "nin/nin_block",
)


def of_one_filter(weight: Tensor) -> None:
    init.normal_(weight)
    weight.copy_(weight[:1].clone().expand_as(weight))


CANNOT_LEARN = {
    "all parameters 0": lambda p: p.zero_(),
    "weights 0, biases as ever": lambda p: p.zero_() if p.dim() > 1 else None,
    "all parameters alike": lambda p: p.fill_(0.05),
}
CAN_LEARN = {
    "He": init.kaiming_normal_,
    "Xavier": init.xavier_uniform_,
    "orthogonal": init.orthogonal_,
    "truncated": lambda weight: init.trunc_normal_(weight, std=0.02),
    "small": lambda weight: init.normal_(weight, std=1e-5),
}


def beginning(part: str, fill: Callable[[Tensor], object]) -> type[nn.Module]:
    """The right answer to a part, with other values to begin with."""
    right = parts()[part].reference.factory

    class Answer(right):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            with torch.no_grad():
                for parameter in self.parameters():
                    fill(parameter)

    return Answer


@pytest.mark.parametrize(
    ("part", "how"),
    # A depthwise filter has an input of its own, and the last layer a gradient for each channel: these part.
    [
        pair
        for pair in product(PARTS, CANNOT_LEARN)
        if pair != ("mobilenet/separable_conv", "all parameters alike")
    ],
)
def test_a_block_that_cannot_learn_loses_points(part: str, how: str) -> None:
    report = check(part, beginning(part, CANNOT_LEARN[how]), seed=1)
    assert report.state == "partial"
    assert [each.title.split(";")[0] for each in report.criteria if not each.passed] == ["Gradients"]
    assert "Just built, it cannot learn: the filters of `" in report.summary


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("how", CAN_LEARN)
def test_whatever_draws_its_weights_passes(part: str, how: str) -> None:
    fill = CAN_LEARN[how]
    assert check(part, beginning(part, lambda p: fill(p) if p.dim() > 1 else None), seed=1).passed


def test_filters_that_are_copies_of_one_cannot_learn() -> None:
    """Where nothing else tells them apart, as biases would."""

    def fill(parameter: Tensor) -> None:
        of_one_filter(parameter) if parameter.dim() > 1 else parameter.fill_(0.5)

    report = check("resnet/cifar_resnet", beginning("resnet/cifar_resnet", fill), seed=1)
    assert "it cannot learn" in report.summary


@pytest.mark.parametrize("last", ["convolution", "scale"])
def test_a_residual_that_begins_at_nothing_passes(last: str) -> None:
    """The last weight, or the scale of the last norm, at 0: it gets a gradient, and then the others do."""

    class Answer(parts()["resnet/basic_block"].reference.factory):
        def __init__(self, *args: object, **kwargs: object) -> None:
            super().__init__(*args, **kwargs)
            convolution, norm = self.residual[-1]
            init.zeros_((convolution if last == "convolution" else norm).weight)

    assert check("resnet/basic_block", Answer, seed=1).passed


def test_a_scale_of_0_that_is_asked_for_passes() -> None:
    part = parts()["identity/repaired_block"]
    assert check(part.id, part.reference.factory, seed=1).passed


# (weight, whether its filters are all alike)
WEIGHTS = {
    "zeros": (torch.zeros(3, 2, 3, 3), True),
    "one filter": (torch.randn(1, 2, 3, 3).expand(3, 2, 3, 3).clone(), True),
    "a matrix the other way round": (torch.randn(4, 1).expand(4, 3).clone(), True),
    "the first two alone": (torch.cat([torch.ones(2, 3), torch.randn(2, 3)]), False),
    "a single filter": (torch.zeros(1, 2, 3, 3), False),
    "a vector": (torch.ones(4), False),
    "a vector with further axes": (torch.ones(4, 1, 1), False),
    "drawn": (torch.randn(3, 2, 3, 3), False),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_probe_tells_filters_that_are_all_alike(name: str) -> None:
    value, alike = WEIGHTS[name]
    module = nn.Module()
    module.weight = nn.Parameter(value)
    built = Probe(lambda: module).handle(messages.Build([], alike=True))
    assert built.alike == (("weight",) if alike else ())
    assert Probe(lambda: module).handle(messages.Build([])).alike == ()
