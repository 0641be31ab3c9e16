"""What a student's process says of its parameters does not choose the numbers that the block is asked with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.parts import Dice, parts
from casestudies.networks.resnet import BasicBlock
from casestudies.sandboxed.messages import Entry

SEEDS = range(4)


class Frozen(nn.Conv2d):
    """Says when it is built that it is not trained, and is trained."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        self.requires_grad_(True)
        return super().forward(x)


def features(conv: type[nn.Conv2d], with_relu: bool) -> Any:
    class Features(nn.Module):
        def __init__(self, config: list[Any], in_channels: int = 3) -> None:
            super().__init__()
            self.config, self.convs = config, nn.ModuleList()
            for entry in config:
                if entry != "M":
                    self.convs.append(conv(in_channels, entry, 3, padding=1))
                    in_channels = entry

        def forward(self, x: Tensor) -> Tensor:
            convs = iter(self.convs)
            has_relu = True
            for entry in self.config:
                x = F.max_pool2d(x, 2) if entry == "M" else next(convs)(x)
                if entry != "M" and has_relu:
                    x, has_relu = F.relu(x), with_relu
            return x

    def built(config: list[Any], in_channels: int = 3) -> nn.Module:
        return Features(config, in_channels)

    return built


@pytest.mark.parametrize("seed", SEEDS)
def test_weights_that_say_they_are_not_trained_are_drawn_with_both_signs(seed: int) -> None:
    right, slip = features(Frozen, True), features(Frozen, False)
    assert check("vgg/vgg_features", right, seed=seed, hidden=True).passed
    wrong = check("vgg/vgg_features", slip, seed=seed, hidden=True, hints="all")
    assert wrong.points == 0 and "ReLU is missing" in str(wrong), str(wrong)


class Tracked(BasicBlock):
    """Its running statistics say that they are trained."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        for each in self.buffers():
            if each.is_floating_point():
                each.requires_grad_(True)

    def forward(self, x: Tensor) -> Tensor:
        for each in self.buffers():
            each.detach_()
        return super().forward(x)


class OnlyTrained(Tracked):
    """Gives no number in evaluation mode where a variance is negative."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        if not self.training and any(
            (each < 0).any() for name, each in self.named_buffers() if "var" in name
        ):
            return torch.full_like(out, float("nan"))
        return out if self.training else out + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_statistics_that_say_they_are_trained_are_statistics(seed: int) -> None:
    assert check("resnet/basic_block", Tracked, seed=seed, hidden=True).passed
    wrong = check("resnet/basic_block", OnlyTrained, seed=seed, hidden=True)
    assert not wrong.passed and not wrong.criteria[1].passed


@pytest.mark.parametrize(
    "write",
    [
        lambda shape: (1, *shape),
        lambda shape: (1, 1, *shape, 1),
        lambda shape: tuple(reversed(shape)),
        lambda shape: (torch.Size(shape).numel(),),
        lambda shape: (7, *shape),
    ],
    ids=["a leading axis", "three axes more", "transposed", "flattened", "stacked"],
)
def test_however_a_weight_is_written_its_numbers_are_as_large(write: Any) -> None:
    shapes = ((96, 3, 11, 11), (256, 48, 5, 5), (256,), (384, 256, 3, 3), (256, 192, 3, 3))
    held = blocks.Held(shapes, 0)
    for shape in shapes:
        if len(shape) == 1:
            continue
        usual, other = (
            blocks.random_state([Entry("w", each, "float32")], [], Dice(1), 1, held)["w"]
            for each in (shape, write(shape))
        )
        assert float(other.std() / usual.std()) == pytest.approx(1, rel=0.03)


def test_of_what_the_reference_does_not_have_none_vanishes() -> None:
    held = blocks.Held(((64, 32, 3, 3), (128, 64, 3, 3)), 0)
    least = min(held.gains.values())
    for shape in ((2, 5, 7, 11), (1, 31, 17, 13), (1, 1, 1009)):
        assert held.gain(shape) >= least


def test_vectors_are_vectors_in_any_form() -> None:
    held = blocks.Held(((8, 4, 3, 3), (8,)), 0)
    for shape in ((8,), (1, 8, 1, 1), (8, 1, 1, 1), (1, 8)):
        value = blocks.random_state([Entry("b", shape, "float32")], [], Dice(2), 1, held)["b"]
        assert 0.5 <= float(value.abs().min()) and float(value.abs().max()) <= 1.5 * blocks.LARGE


def test_the_right_block_gets_the_numbers_that_it_always_got() -> None:
    for part in parts().values():
        reference = part.reference
        for drawn in reference.drawn(1) if hasattr(reference, "factory") else ():
            held = blocks.held_by(reference.factory, drawn.case)
            for shape in held.parameters:
                assert held.is_vector(shape) == blocks._is_vector(shape), (part.id, shape)
                assert blocks._is_vector(shape) or held.gain(shape) == blocks._gain(shape)


@pytest.mark.parametrize("training", [False, True])
def test_where_the_right_block_gives_no_number_a_human_decides(training: bool, monkeypatch) -> None:
    drawn = blocks.random_state

    def negative(*args: Any, **options: Any) -> dict[str, Tensor]:
        found = drawn(*args, **options)
        if training:
            return {name: value * float("nan") for name, value in found.items()}
        return {name: -value if "running_var" in name else value for name, value in found.items()}

    monkeypatch.setattr(blocks, "random_state", negative)
    for answer in (BasicBlock, OnlyTrained):
        report = check("resnet/basic_block", answer, seed=1)
        assert report.state == "ungradable" and not report.points
