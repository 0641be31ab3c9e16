"""What is right when written so is no difference either where something else is wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check

SEEDS = (0, 2, 3, 7)


class OneReluAtTheEnd(nn.Module):
    def __init__(self, in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj):
        super().__init__()
        self.one, self.less3 = nn.Conv2d(in_channels, c1, 1), nn.Conv2d(in_channels, c3_reduce, 1)
        self.less5, self.project = nn.Conv2d(in_channels, c5_reduce, 1), nn.Conv2d(in_channels, pool_proj, 1)
        self.three, self.five = nn.Conv2d(c3_reduce, c3, 3, padding=1), nn.Conv2d(c5_reduce, c5, 5, padding=2)

    def forward(self, x):
        three, five = self.three(F.relu(self.less3(x))), self.five(self.less5(x))
        return F.relu(torch.cat([self.one(x), three, five, self.project(F.max_pool2d(x, 3, 1, 1))], 1))


class LinearOverTheImage(nn.Sequential):
    def __init__(self, num_classes=10):
        super().__init__(
            *(
                nn.Conv2d(1, 6, 5),
                nn.Tanh(),
                nn.AvgPool2d(2),
                nn.Conv2d(6, 16, 5),
                nn.Tanh(),
                nn.AvgPool2d(2),
            ),
            *(nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 90), nn.Tanh()),
            nn.Linear(90, num_classes),
        )


class NarrowWindows(nn.Module):
    """The sums by a convolution with the coefficient in all places of its kernel: of which one row is missing."""

    def __init__(self, channels):
        super().__init__()
        self.factor, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        kernel = self.factor.view(-1, 1, 1, 1).repeat(1, 1, 1, 2)
        return F.conv2d(x, kernel, self.bias, stride=2, groups=len(kernel))


class MeanBeforeThePoints(nn.Module):
    def __init__(self, in_channels, num_classes):
        super().__init__()
        self.points = nn.Linear(in_channels, num_classes)

    def forward(self, x):
        return F.relu(self.points(x.mean((2, 3))))


class ImageByImage(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.gate = nn.Sequential(
            *(nn.AdaptiveAvgPool2d(1), nn.Conv2d(channels, squeezed, 1), nn.ReLU()),
            *(nn.Conv2d(squeezed, channels, 1), nn.Sigmoid()),
        )

    def forward(self, x):
        return torch.cat([image * self.gate(image) for image in x.split(1)])


WRONG = {
    "a ReLU behind the concatenation": (
        "inception/inception_module", OneReluAtTheEnd,
        {"ReLU is missing after 1×1 convolution 2 of 4."},
    ),
    "a linear layer over the image": (
        "lenet/lenet5", LinearOverTheImage,
        {
            "Linear layer 1 of 2 has 90 channels out instead of 84 channels out.",
            "Linear layer 2 of 2 has 90 channels in instead of 84 channels in.",
        },
    ),
    "sums by a convolution": (
        "lenet/repaired_subsampling", NarrowWindows,
        {"The 2×2 sum pooling has a 1×2 window instead of a 2×2 window."},
    ),
    "the mean before the points": (
        "nin/global_average_head", MeanBeforeThePoints,
        {"There is a ReLU after the global average pooling; none is asked for there."},
    ),
    "each image by itself": (
        "efficientnet/repaired_gate", ImageByImage,
        {"ReLU stands in the place of SiLU, after 1×1 convolution 1 of 2."},
    ),
}  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", WRONG)
def test_nothing_but_the_slip_is_told(name, seed):
    part, block, expected = WRONG[name]
    report = check(part, block, seed=seed)
    assert not report.passed
    assert {each["sentence"] for each in report.differences} == expected, report.text()
