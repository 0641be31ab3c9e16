"""GoogLeNet: Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke & Rabinovich (2014),
https://arxiv.org/abs/1409.4842.

The idea: do not choose the kernel, take 1x1, 3x3, 5x5 and pooling side by side and concatenate; 1x1
convolutions before the costly ones make it affordable.
Shapes are (batch, channels, height, width).

Departures from the paper: none that changes a count; `googlenet` has those of Caffe's bvlc_googlenet. Where
Table 1 disagrees with itself we follow its filters: the printed parameters of 4a, 4c, 4d, 4e, 5a and 5b do
not follow from them, and its first row (2.7 K, 34 M) is not a full 7x7 convolution (9,408 weights, 118 M
MACs). So we have 6,998,552 parameters and 1,582,671,872 MACs, not "6.8 M" and "1.5 billion", the sums of the
printed columns. Pooling rounds up, and the local response norm, whose constants are not printed, is Caffe's.

`googlenet_bn` is the paper's geometry as one would build it a year later: batch norm after each convolution,
no biases, no response norm; 7,005,832 parameters and as many MACs as before.

`googlenet_torchvision` exists to load torchvision's weights. It is `googlenet_bn` with a 3x3 where the paper
has the 5x5 (kept there for weights ported from TensorFlow), a 2x2 last pool, an adaptive pool in the
auxiliary heads, and a dropout of 0.2 instead of 0.4: 6,624,904 parameters and 1,498,376,192 MACs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_relu(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution with bias that keeps the grid (up to its stride), and the ReLU that all of them have."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2),
        nn.ReLU(),
    )


def conv_bn_relu(in_channels: int, out_channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """The same with batch norm in place of the bias; epsilon as in TensorFlow and torchvision."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels, eps=1e-3),
        nn.ReLU(),
    )


class InceptionModule(nn.Module):
    """Four branches on the same input, concatenated along the channels (fig. 2b).

    The output has c1 + c3 + c5 + pool_proj channels on the same grid. The names are the
    columns of Table 1.
    """

    conv = staticmethod(conv_relu)
    largest_kernel = 5

    def __init__(
        self,
        in_channels: int,
        c1: int,
        c3_reduce: int,
        c3: int,
        c5_reduce: int,
        c5: int,
        pool_proj: int,
    ) -> None:
        super().__init__()
        conv, largest = self.conv, self.largest_kernel
        self.branch1 = conv(in_channels, c1, 1)
        self.branch3 = nn.Sequential(
            conv(in_channels, c3_reduce, 1),
            conv(c3_reduce, c3, 3),
        )
        self.branch5 = nn.Sequential(
            conv(in_channels, c5_reduce, 1),
            conv(c5_reduce, c5, largest),
        )
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1),  # keeps the grid: branches have to fit
            conv(in_channels, pool_proj, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = self.branch1(x), self.branch3(x), self.branch5(x), self.branch_pool(x)
        return torch.cat(branches, dim=1)  # (B, c1 + c3 + c5 + pool_proj, H, W)


class AuxiliaryHead(nn.Module):
    """A classifier on an inner grid, used in training only (sec. 5), to feed gradient to the lower layers."""

    conv = staticmethod(conv_relu)

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = self.make_pool()  # (B, C, 4, 4)
        self.reduce = self.conv(in_channels, 128, 1)
        self.classify = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * 4 * 4, 1024),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(1024, num_classes),
        )

    def make_pool(self) -> nn.Module:
        return nn.AvgPool2d(5, stride=3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(x)
        if pooled.shape[-2:] != (4, 4):
            have, got = tuple(x.shape[-2:]), tuple(pooled.shape[-2:])
            raise ValueError(
                f"the auxiliary head met a grid of {have}, which pools to {got}; it needs (4, 4): "
                "use images of 224 x 224, or aux=False"
            )
        return self.classify(self.reduce(pooled))


# Table 1: in_channels, #1x1, #3x3 reduce, #3x3, #5x5 reduce, #5x5, pool proj.
INCEPTION = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def pool(kernel: int = 3) -> nn.MaxPool2d:
    """Halves the grid; rounds up, as Caffe does: 112 -> 56, 28, 14, 7."""
    return nn.MaxPool2d(kernel, stride=2, ceil_mode=True)


class GoogLeNet(nn.Module):
    """Table 1: (B, 3, 224, 224) -> logits (B, num_classes).

    With `aux`, training mode returns (logits, logits of the head after 4a, logits of the head after 4d);
    evaluation mode returns the logits alone, as if the heads were not there.
    """

    module: type[InceptionModule] = InceptionModule
    head_module: type[AuxiliaryHead] = AuxiliaryHead
    last_pool = 3
    dropout = 0.4

    def __init__(self, num_classes: int = 1000, aux: bool = False) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes!r}; expected at least 1")
        self.stem = self.make_stem()  # (B, 192, 28, 28)
        self.stage3 = nn.Sequential(self.inception("3a"), self.inception("3b"), pool())  # (B, 480, 14, 14)
        self.stage4a = self.inception("4a")  # (B, 512, 14, 14)
        self.aux1 = self.head_module(512, num_classes) if aux else None
        self.stage4bcd = nn.Sequential(self.inception("4b"), self.inception("4c"), self.inception("4d"))
        self.aux2 = self.head_module(528, num_classes) if aux else None
        self.stage4e = nn.Sequential(self.inception("4e"), pool(self.last_pool))  # (B, 832, 7, 7)
        self.stage5 = nn.Sequential(self.inception("5a"), self.inception("5b"))  # (B, 1024, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(self.dropout), nn.Linear(1024, num_classes)
        )
        initialise(self)

    def inception(self, row: str) -> InceptionModule:
        return self.module(*INCEPTION[row])

    def make_stem(self) -> nn.Sequential:
        return nn.Sequential(
            conv_relu(3, 64, 7, stride=2),  # (B, 64, 112, 112)
            pool(),  # (B, 64, 56, 56)
            response_norm(),
            conv_relu(64, 64, 1),
            conv_relu(64, 192, 3),
            response_norm(),
            pool(),  # (B, 192, 28, 28)
        )

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        x4a = self.stage4a(self.stage3(self.stem(x)))
        x4d = self.stage4bcd(x4a)
        logits = self.head(self.stage5(self.stage4e(x4d)))
        if self.training and self.aux1 is not None and self.aux2 is not None:
            return logits, self.aux1(x4a), self.aux2(x4d)
        return logits


def response_norm() -> nn.LocalResponseNorm:
    """Caffe's: PyTorch, like Caffe, divides alpha by the number of channels, 5, that it sums over."""
    return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)


class BatchNormInception(InceptionModule):
    """Fig. 2b with batch norm."""

    conv = staticmethod(conv_bn_relu)


class BatchNormAuxiliaryHead(AuxiliaryHead):
    """The head with batch norm after its convolution."""

    conv = staticmethod(conv_bn_relu)


class BatchNormGoogLeNet(GoogLeNet):
    """Table 1 with batch norm in place of biases and response norm."""

    module = BatchNormInception
    head_module = BatchNormAuxiliaryHead

    def make_stem(self) -> nn.Sequential:
        return nn.Sequential(
            conv_bn_relu(3, 64, 7, stride=2),
            pool(),
            conv_bn_relu(64, 64, 1),
            conv_bn_relu(64, 192, 3),
            pool(),
        )


class TorchvisionInception(BatchNormInception):
    """torchvision's module: a 3x3 in the branch of the 5x5."""

    largest_kernel = 3


class TorchvisionAuxiliaryHead(BatchNormAuxiliaryHead):
    """torchvision's head: an adaptive pool to 4x4."""

    def make_pool(self) -> nn.Module:
        return nn.AdaptiveAvgPool2d(4)


class TorchvisionGoogLeNet(BatchNormGoogLeNet):
    """torchvision's variant; the file's head lists the differences."""

    module = TorchvisionInception
    head_module = TorchvisionAuxiliaryHead
    last_pool = 2
    dropout = 0.2


def initialise(network: nn.Module) -> None:
    """Weights with variance 2 / fan-in: without batch norm, 22 layers need it to start at all."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def training_loss(outputs: tuple[Tensor, Tensor, Tensor], labels: Tensor) -> Tensor:
    """Cross entropy of the logits, and 0.3 of that of each auxiliary head (sec. 5)."""
    logits, first, second = outputs
    auxiliary = F.cross_entropy(first, labels) + F.cross_entropy(second, labels)
    return F.cross_entropy(logits, labels) + 0.3 * auxiliary


def googlenet(num_classes: int = 1000, aux: bool = False) -> GoogLeNet:
    """The network of the paper; `aux` adds the two auxiliary heads.

    >>> sum(p.numel() for p in googlenet().parameters())
    6998552
    """
    return GoogLeNet(num_classes, aux)


def googlenet_bn(num_classes: int = 1000, aux: bool = False) -> BatchNormGoogLeNet:
    """The paper's geometry with batch norm.

    >>> sum(p.numel() for p in googlenet_bn().parameters())
    7005832
    """
    return BatchNormGoogLeNet(num_classes, aux)


def googlenet_torchvision(num_classes: int = 1000, aux: bool = False) -> TorchvisionGoogLeNet:
    """torchvision's variant, for its weights.

    >>> sum(p.numel() for p in googlenet_torchvision().parameters())
    6624904
    """
    return TorchvisionGoogLeNet(num_classes, aux)
