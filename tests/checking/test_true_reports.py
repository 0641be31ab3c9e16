"""What a report of a wrong answer says is what the student did: no other layer, role, weight or edit is named."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.transplant import Slot, missing_and_extra


def sentences(report: Any) -> list[str]:
    return [each["sentence"] for each in report.differences]


class ShortcutOfTheResidual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels),
            nn.ReLU(), nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels),
        )  # fmt: skip
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        out = self.residual(x)
        return torch.relu(out + self.shortcut(out))


def test_a_shortcut_that_reads_the_residual_is_told_where_the_sum_stops() -> None:
    told = sentences(check("resnet/basic_block", ShortcutOfTheResidual, seed=0))
    reads = "The 1×1 convolution reads what batch norm 2 of 3 gives; it is asked to read the block's input."
    assert told[0] == reads
    assert all(each.startswith("It stops at") for each in told[1:]), told


def without_padding_or_activations(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    convs = [nn.Conv2d(out_channels if k else in_channels, out_channels, 3) for k in range(num_convs)]
    return nn.Sequential(*convs, nn.ReLU(), nn.MaxPool2d(2))


def test_a_block_that_stops_has_no_convolution_too_many_where_its_weights_are_the_asked_ones() -> None:
    report = check("vgg/vgg_block", without_padding_or_activations, seed=5)
    assert not [each for each in sentences(report) if "none is asked for" in each], report.text()


def test_of_weights_with_equal_sizes_the_one_in_the_asked_form_is_not_too_many() -> None:
    def slot(name: str, *shape: int) -> Slot:
        return Slot(name, shape, "parameter", 0, 0)

    theirs = [slot("reduce", 8, 32), slot("expand", 32, 8), slot("project", 8, 32, 1, 1)]
    assert missing_and_extra(theirs, [slot("project", 8, 32, 1, 1)]) == ([], theirs[:2])


class BiasFirst(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        total = sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
        return self.coefficient * (total + self.bias)


def test_two_parameters_in_the_other_order_keep_their_roles() -> None:
    told = sentences(check("lenet/repaired_subsampling", BiasFirst, seed=5))
    assert set(told) == {"Parameter 1 of 2 comes after parameter 2 of 2 instead of before it."}


class LosesTheBias(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(in_channels, hidden), nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear1.weight @ x.flatten(2) + self.linear1.bias.unsqueeze(-1)
        return (self.linear2.weight @ y.clamp(min=0)).unflatten(2, x.shape[2:])


def test_pixels_in_a_row_are_not_axes_in_another_order() -> None:
    told = sentences(check("nin/repaired_pixel_mlp", LosesTheBias, seed=5))
    assert told == ["Linear layer 2 of 2 has no bias instead of a bias."]


def doubled(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    return 2 * kernel**2 * in_channels * out_channels * height * width


def test_a_count_that_is_twice_as_large_says_nothing_of_one_factor() -> None:
    report = check("inception/conv_macs", doubled, seed=5)
    assert report.place == "Look at the formula as a whole." and not report.differences
    assert report.mistakes == ["flops_for_macs"]


def one_channel_too_many(
    a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Tensor:
    low = [max(0, i - size // 2 - 1) for i in range(a.shape[1])]
    sums = [(a[:, start : i + size // 2 + 1] ** 2).sum(dim=1) for i, start in enumerate(low)]
    return a / (k + alpha * torch.stack(sums, dim=1)) ** beta


def test_what_is_off_by_one_is_not_rounded_up_alone() -> None:
    (told,) = sentences(check("alexnet/repaired_lrn", one_channel_too_many, seed=5))
    assert "rounded" not in told.split("Or, just as likely")[0], told


def other_default(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 2, expansion: int = 6
) -> int:
    hidden, small = in_channels * expansion, -(-height // stride) * -(-width // stride)
    expand = height * width * in_channels * hidden if expansion > 1 else 0
    return expand + small * (9 * hidden + hidden * out_channels)


def test_a_wrong_default_is_looked_for_among_the_defaults() -> None:
    report = check("mobilenet_v2/inverted_residual_macs", other_default, seed=5)
    assert report.place == "Look at the defaults of the arguments."


@pytest.mark.parametrize("seed", range(2))
def test_a_block_that_raises_is_not_said_to_have_another_structure(seed: int) -> None:
    text = check("resnet/basic_block", ShortcutOfTheResidual, seed=seed).text()
    assert "since the structure differs" not in text
