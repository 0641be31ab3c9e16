"""Layers that forward uses and parameters() does not find are told as what they are."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.networks.resnet import BasicBlock as RightBlock
from casestudies.networks.resnet import CifarResNet as RightNetwork

UNFOUND = "is not registered (in a Python list?), so parameters() does not find it."


class NiNBlock(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.layers = [
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.Conv2d(out_channels, out_channels, 1),
        ]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = F.relu(layer(x))
        return x


class WithAFirstLayer(NiNBlock):
    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        self.first = self.layers[0]


class BasicBlock(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out_channels), nn.BatchNorm2d(out_channels)
        self.carried = lambda x: x
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            norm = nn.BatchNorm2d(out_channels)
            self.carried = lambda x: norm(projection(x))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + self.carried(x))


class CifarResNet(nn.Module):
    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        right = RightNetwork(num_blocks, num_classes)
        self.stem, self.head = right.stem, right.head
        self.stages = list(right.stages)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x)


@pytest.mark.parametrize(
    ("part", "answer", "said"),
    [
        ("nin/nin_block", NiNBlock, [f"Each of the 3 convolutions {UNFOUND}"]),
        (
            "nin/nin_block",
            WithAFirstLayer,
            [f"1×1 convolution 1 of 2 {UNFOUND}", f"1×1 convolution 2 of 2 {UNFOUND}"],
        ),
        (
            "resnet/basic_block",
            BasicBlock,
            [f"The 1×1 convolution {UNFOUND}", f"Batch norm 3 of 3 {UNFOUND}"],
        ),
    ],
    ids=["all in a list", "some in a list", "in a closure"],
)
def test_layers_in_a_list_or_a_closure_are_told_once(
    part: str, answer: type[nn.Module], said: list[str]
) -> None:
    for seed in (1, 2, 3):
        report = check(part, answer, seed=seed)
        # Of a grid of one pixel a convolution is a product, and has no sides.
        found = [each["sentence"].replace("Convolution", "1×1 convolution") for each in report.differences]
        assert found == said, report.text()


def test_of_layers_with_many_numbers_it_is_told_as_well() -> None:
    report = check("resnet/cifar_resnet", CifarResNet, seed=1)
    (told,) = report.differences
    assert (
        "layers are not registered (in a Python list?), so parameters() does not find them."
        in told["sentence"]
    )
    assert "First of them:" in report.summary


def test_a_tensor_that_no_gradient_reaches_is_a_constant() -> None:
    class Constant(NiNBlock):
        def __init__(self, *args: int, **kwargs: int) -> None:
            super().__init__(*args, **kwargs)
            self.layers = nn.ModuleList(self.layers)
            del self.layers[1].weight
            self.layers[1].weight = torch.ones(len(self.layers[1].bias), len(self.layers[1].bias), 1, 1)

    said = check("nin/nin_block", Constant, seed=1).text()
    assert "not registered" not in said and "constant" in said, said


def test_what_an_earlier_call_computed_is_no_layer_that_was_not_registered() -> None:
    class Kept(RightBlock):
        kept = None

        def forward(self, x: Tensor) -> Tensor:
            y = super().forward(x)
            kept, self.kept = self.kept, y
            return y if kept is None or kept.shape != y.shape else y + kept

    said = check("resnet/basic_block", Kept, seed=1)
    assert not said.passed and "registered" not in said.text(), said.text()


def test_what_replaces_a_layer_of_a_given_block_is_told_in_a_sentence() -> None:
    def make_identity_(block: nn.Module) -> None:
        block.bn2 = nn.Identity()

    summary = check("identity/make_identity_", make_identity_, seed=1).summary
    assert "it is not so that the block has the layers that it had" in summary, summary
