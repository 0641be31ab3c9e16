"""What is written by hand between two images is told by what it does to numbers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check

SEEDS = (3, 14, 15)


class Summed(nn.Module):
    """The repaired subsampling, whose sums are added up in some way."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def sums(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]

    def forward(self, x: Tensor) -> Tensor:
        return self.a[:, None, None] * self.sums(x) + self.b[:, None, None]


class OnePixelTwice(Summed):
    def sums(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., ::2, ::2]


class OneSubtracted(Summed):
    def sums(self, x: Tensor) -> Tensor:
        return x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] - x[..., 1::2, 1::2]


class FarApart(Summed):
    def sums(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return x.reshape(n, c, 2, h // 2, 2, w // 2).sum((2, 4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (OnePixelTwice, "Weighted sum of 2×2 windows, stride 2, weights 2 1 / 1 0 stands in the place of"),
        (OneSubtracted, "Weighted sum of 2×2 windows, stride 2, weights 1 1 / 1 -1 stands in the place of"),
        (FarApart, "The 2×2 sum pooling has stride 1 instead of stride 2 and has dilation"),
    ],
)
def test_windows_that_are_added_up_by_hand(wrong: type[nn.Module], said: str, seed: int) -> None:
    report = check("lenet/repaired_subsampling", wrong, seed=seed)
    assert [each["sentence"].startswith(said) for each in report.differences[:1]] == [True]
    assert check("lenet/repaired_subsampling", Summed, seed=seed).passed


class Trunk(nn.Module):
    """AlexNet's trunk with two convolutions for each that is grouped, and a response norm of its own."""

    size, beta = 5, 0.75

    def __init__(self) -> None:
        super().__init__()

        def halves(inside: int, outside: int, kernel: int) -> nn.ModuleList:
            half = inside // 2, outside // 2, kernel, 1, kernel // 2
            return nn.ModuleList(nn.Conv2d(*half) for _ in range(2))

        self.layers = nn.ModuleList([nn.Conv2d(3, 96, 11, 4), halves(96, 256, 5)])
        self.layers += [nn.Conv2d(256, 384, 3, padding=1), halves(384, 384, 3), halves(384, 256, 3)]

    def norm(self, x: Tensor) -> Tensor:
        squares = F.pad(x.square()[:, None], (0, 0, 0, 0, self.size // 2, self.size // 2))
        total = F.avg_pool3d(squares, (self.size, 1, 1), stride=1).squeeze(1) * self.size
        return x * (2 + 1e-4 * total).pow(-self.beta)

    def parts(self, x: Tensor) -> list[Tensor]:
        return list(x.chunk(2, dim=1))

    def joined(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, dim=1)

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            if isinstance(layer, nn.ModuleList):
                x = self.joined([conv(part) for conv, part in zip(layer, self.parts(x), strict=True)]).relu()
            else:
                x = layer(x).relu()
            x = self.norm(x) if number < 2 else x
            x = F.max_pool2d(x, 3, 2) if number in (0, 1, 4) else x
        return x


class SmallerWindow(Trunk):
    size = 3


class OtherExponent(Trunk):
    beta = 0.5


class Exchanged(Trunk):
    def joined(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts[::-1], dim=1)


class Interleaved(Trunk):
    def parts(self, x: Tensor) -> list[Tensor]:
        return [x[:, ::2], x[:, 1::2]]


class OneHalfOnly(Trunk):
    def parts(self, x: Tensor) -> list[Tensor]:
        return [x.chunk(2, dim=1)[0]] * 2


@pytest.mark.parametrize("seed", SEEDS[:2])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (SmallerWindow, "Local response norm 1 of 2 has size 3 instead of size 5"),
        (OtherExponent, "Local response norm 1 of 2 has beta 0.5 instead of beta 0.75."),
        (Exchanged, "Concatenation 1 of 3 joins the same tensors in a different order."),
        (Interleaved, "takes every 2nd channel from 0 to 94 instead of channels 0 to 47."),
        (OneHalfOnly, "takes channels 0 to 47 instead of channels 48 to 95."),
    ],
)
def test_a_trunk_of_two_halves_with_a_norm_by_hand(wrong: type[nn.Module], said: str, seed: int) -> None:
    report = check("alexnet/alexnet_trunk", wrong, seed=seed)
    assert said in " ".join(each["sentence"] for each in report.differences)


def test_the_right_trunk_of_two_halves_passes() -> None:
    assert check("alexnet/alexnet_trunk", Trunk, seed=3).passed
