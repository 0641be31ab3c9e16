"""What is said of a single image, and of what enters a block, is so."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.blocks import _said_alone
from casestudies.checking.layers import layers_of
from casestudies.graph import record


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("images", [1, 3])
def test_an_instance_norm_is_one_for_a_single_image(images: int, affine: bool) -> None:
    norm = nn.InstanceNorm2d(4, affine=affine)
    for training in (True, False):
        graph = record(norm.train(training), torch.randn(images, 4, 5, 6), training=training)
        assert [layer.kind for layer in layers_of(graph)] == ["input", "instance norm"]


def test_a_batch_norm_of_a_single_image_stays_one() -> None:
    for norm in (nn.BatchNorm2d(4), nn.BatchNorm2d(4, affine=False, track_running_stats=False)):
        graph = record(norm.train(), torch.randn(1, 4, 5, 6), training=True)
        assert [layer.kind for layer in layers_of(graph)] == ["input", "batch norm"]


class LeNet5(nn.Module):
    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1, self.c3, self.c5 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5), nn.Conv2d(16, 120, 5)
        self.f6, self.output = nn.Linear(120, 84), nn.Linear(84, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(torch.tanh(self.c1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.c3(x)), 2)
        return self.output(torch.tanh(self.f6(torch.tanh(self.c5(x)).squeeze())))


def test_an_axis_that_is_lost_is_no_other_value() -> None:
    report = check("lenet/lenet5", LeNet5, seed=1)
    assert not report.passed
    said = report.text()
    assert "other values alone" not in said
    assert "No gradients could be computed" not in said, said


def test_the_form_of_a_single_image_is_told_as_a_form() -> None:
    wanted = torch.randn(1, 13)
    assert "is 13; it must be 1×13." in _said_alone(wanted[0], wanted, wanted)
    assert "other values alone" in _said_alone(wanted + 1, wanted, wanted)
    assert not _said_alone(wanted, wanted, wanted)


class RepairedSubsampling(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (
            self.coefficient * (x * x.detach().mean().item() + x).unfold(2, 2, 2)[..., 0][..., ::2]
            + self.bias
        )


def test_nothing_stands_before_the_input_of_the_block() -> None:
    report = check("lenet/repaired_subsampling", RepairedSubsampling, seed=1)
    assert not report.passed and "already differs" not in report.text(), report.text()
