"""What is told of networks, and of settings and layers that have no effect."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.layers import layers_of
from casestudies.graph import record
from casestudies.networks.resnet import CifarResNet as Right


class CifarResNet(nn.Module):
    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.right = Right(num_blocks, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        right = self.right
        return right.head(right.stages(F.max_pool2d(right.stem(x), 3, 2, 1)))


def test_one_layer_too_many_at_the_beginning_of_a_network_is_one_difference() -> None:
    cases = set()
    for seed in (1, 2, 3):
        report = check("resnet/cifar_resnet", CifarResNet, seed=seed)
        said = [each["sentence"] for each in report.differences]
        assert len(said) == 1, report.text()
        assert said[0].startswith("There is 3×3 max pooling, stride 2, padding 1 after ReLU 1 of"), said
        cases.add(report.case.partition(")")[0])
    assert len(cases) > 1  # networks of more than one depth


@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
@pytest.mark.parametrize(("side", "effect"), [(7, False), (8, True)])
def test_rounding_up_is_told_where_it_has_an_effect(pool: object, side: int, effect: bool) -> None:
    class Pooled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return pool(x, 3, 2, ceil_mode=True)  # type: ignore[operator]

    (_, layer) = layers_of(record(Pooled(), torch.randn(2, 3, side, side)))
    assert layer.setting("rounds up") is effect


class BasicBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        self.carried = nn.ModuleDict(
            {
                "conv": nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                "norm": nn.BatchNorm2d(out_channels),
            }
        )
        self.fits = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.fits else self.carried["norm"](self.carried["conv"](x))))


def test_a_module_that_forward_never_uses_is_named() -> None:
    report = check("resnet/basic_block", BasicBlock, seed=1)
    assert "What forward never uses: `carried`." in report.summary, report.text()


def test_what_training_alone_uses_is_used() -> None:
    class InTraining(BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            extra = (
                0.0 if not (self.training and self.fits) else self.carried["norm"](self.carried["conv"](x))
            )
            return super().forward(x) + extra

    assert "never uses" not in check("resnet/basic_block", InTraining, seed=1).text()


def head(pooled: Callable[[Tensor], Tensor]) -> type[nn.Module]:
    class GlobalAverageHead(nn.Module):
        def __init__(self, in_channels: int, num_classes: int) -> None:
            super().__init__()
            self.scores = nn.Conv2d(in_channels, num_classes, 1)

        def forward(self, x: Tensor) -> Tensor:
            return pooled(self.scores(x))

    return GlobalAverageHead


def test_a_part_of_a_mean_in_the_place_of_all_of_it_is_shown() -> None:
    report = check("nin/global_average_head", head(lambda x: x.mean(dim=2)[:, :, 0]), seed=1)
    said = [each["sentence"] for each in report.differences]
    assert said[0].startswith("Mean over rows stands in the place of global average pooling")
    assert said[1].startswith("There is a selection of index 0 along dimension 2 after the mean")


def test_the_only_one_is_no_selection() -> None:
    def pooled(x: Tensor) -> Tensor:
        return x.mean(dim=2, keepdim=True)[:, :, 0].mean(dim=-1)

    assert check("nin/global_average_head", head(pooled), seed=1).passed
    text = check("nin/global_average_head", head(lambda x: pooled(x).softmax(1)), seed=1).text()
    assert "selection" not in text and "softmax" in text


class WithoutParameters(nn.Module):
    """A shortcut as in option A of the paper, as the best-known code of it has it."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(
            x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.channels // 4, self.channels // 4)
        )


class OptionA(Right):
    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__(num_blocks, num_classes)
        for block, channels in ((self.stages[1][0], 32), (self.stages[2][0], 64)):
            block.shortcut = WithoutParameters(channels, 2)


def test_a_shortcut_without_parameters_is_told_as_what_it_does() -> None:
    for seed in (1, 2):
        said = [each["sentence"] for each in check("resnet/cifar_resnet", OptionA, seed=seed).differences]
        assert len(said) == 4
        assert (
            "Subsampling to every 2nd row and column stands in the place of 1×1 convolution, 16 → 32"
            in said[0]
        )
        assert (
            "Padding with channels of zeros (8 before, 8 behind) stands in the place of batch norm" in said[1]
        )


@pytest.mark.parametrize("kernel", [1, 3])
def test_pixels_that_are_left_out_are_a_stride(kernel: int) -> None:
    class Before(nn.Module):
        def __init__(self, before: bool) -> None:
            super().__init__()
            self.conv, self.before = nn.Conv2d(3, 4, kernel, padding=kernel // 2), before

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x[:, :, ::2, ::3]) if self.before else self.conv(x)[:, :, ::2, ::3]

    for before in (True, False) if kernel == 1 else (False,):
        layers = layers_of(record(Before(before), torch.randn(2, 3, 8, 9)))
        assert [(layer.kind, layer.setting("stride")) for layer in layers[1:]] == [("convolution", (2, 3))]
