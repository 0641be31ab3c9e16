"""Answers to the assignment `inception`, right and wrong, in the styles in which students write."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- conv_macs


def macs_in_words(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    for_one_value = kernel**2 * in_channels
    values = out_channels * height * width
    return for_one_value * values


def macs_from_a_layer(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    layer = nn.Conv2d(in_channels, out_channels, kernel, padding="same", bias=False)
    return layer.weight.numel() * height * width


def macs_with_numpy(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> np.int64:
    return np.prod(np.array([in_channels, out_channels, kernel, kernel, height, width], dtype=np.int64))


def macs_pixel_by_pixel(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    count = 0
    for _ in range(height):
        for _ in range(width):
            count += kernel * kernel * in_channels * out_channels
    return count


# --------------------------------------------------------------------------- bottleneck_macs


def bottleneck_in_two(
    in_channels: int, reduced: int, out_channels: int, kernel: int, height: int, width: int
) -> int:
    return macs_in_words(in_channels, reduced, 1, height, width) + macs_in_words(
        reduced, out_channels, kernel, height, width
    )


def bottleneck_factored(
    in_channels: int, reduced: int, out_channels: int, kernel: int, height: int, width: int
) -> int:
    return height * width * reduced * (in_channels + kernel * kernel * out_channels)


def bottleneck_with_numpy(
    in_channels: int, reduced: int, out_channels: int, kernel: int, height: int, width: int
) -> np.int64:
    sizes = [(in_channels, reduced, 1), (reduced, out_channels, kernel)]
    return np.sum([macs_with_numpy(*each, height, width) for each in sizes])


# --------------------------------------------------------------------------- modules


def conv(in_channels: int, out_channels: int, **kwargs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, **kwargs), nn.ReLU(inplace=True))


class Branches(nn.Module):
    """Branches as sequences, as in torchvision, but with the paper's 5x5."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.branch1 = conv(in_channels, c1, kernel_size=1)
        self.branch2 = nn.Sequential(
            conv(in_channels, c3_reduce, kernel_size=1), conv(c3_reduce, c3, kernel_size=3, padding=1)
        )
        self.branch3 = nn.Sequential(
            conv(in_channels, c5_reduce, kernel_size=1), conv(c5_reduce, c5, kernel_size=5, padding=2)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(kernel_size=3, stride=1, padding=1), conv(in_channels, pool_proj, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class Separate(nn.Module):
    """As in d2l: attributes one by one, registered backwards; one ReLU after the concatenation."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.p4_2 = nn.Conv2d(in_channels, pool_proj, 1)
        self.p4_1 = nn.MaxPool2d(3, 1, 1)
        self.p3_2 = nn.Conv2d(c5_reduce, c5, 5, padding="same")
        self.p3_1 = nn.Conv2d(in_channels, c5_reduce, 1)
        self.p2_2 = nn.Conv2d(c3_reduce, c3, 3, padding="same")
        self.p2_1 = nn.Conv2d(in_channels, c3_reduce, 1)
        self.p1_1 = nn.Conv2d(in_channels, c1, 1)

    def forward(self, x: Tensor) -> Tensor:
        p4 = self.p4_2(self.p4_1(x))
        p3 = self.p3_2(F.relu(self.p3_1(x)))
        p2 = self.p2_2(F.relu(self.p2_1(x)))
        return F.relu(torch.cat((self.p1_1(x), p2, p3, p4), dim=1))


class RawParameters(nn.Module):
    """Parameters by hand; the 1x1 convolutions are einsums, the pool is a maximum over shifted images."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        shapes = {
            "one": (c1, in_channels),
            "reduce3": (c3_reduce, in_channels),
            "three": (c3, c3_reduce, 3, 3),
            "reduce5": (c5_reduce, in_channels),
            "five": (c5, c5_reduce, 5, 5),
            "pool": (pool_proj, in_channels),
        }
        self.weights = nn.ParameterDict({name: torch.randn(shape) for name, shape in shapes.items()})
        self.biases = nn.ParameterDict({name: torch.zeros(shape[0], 1, 1) for name, shape in shapes.items()})

    def pointwise(self, x: Tensor, name: str) -> Tensor:
        return torch.relu(torch.einsum("nchw,oc->nohw", x, self.weights[name]) + self.biases[name])

    def wide(self, x: Tensor, name: str) -> Tensor:
        weight = self.weights[name]
        return torch.relu(F.conv2d(x, weight, padding=weight.shape[-1] // 2) + self.biases[name])

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        padded = F.pad(x, (1, 1, 1, 1), value=float("-inf"))
        shifted = [padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)]
        pooled = torch.stack(shifted).amax(dim=0)
        parts = [
            self.pointwise(x, "one"),
            self.wide(self.pointwise(x, "reduce3"), "three"),
            self.wide(self.pointwise(x, "reduce5"), "five"),
            self.pointwise(pooled, "pool"),
        ]
        return torch.cat(parts, dim=-3)


class FusedReducers(nn.Module):
    """The module list way, with the output written piece by piece."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.first = nn.ModuleList(
            nn.Conv2d(in_channels, width, 1) for width in (c1, c3_reduce, c5_reduce, pool_proj)
        )
        self.second = nn.ModuleDict(
            {"5": nn.Conv2d(c5_reduce, c5, 5, 1, 2), "3": nn.Conv2d(c3_reduce, c3, 3, 1, 1)}
        )
        self.width = c1 + c3 + c5 + pool_proj

    def forward(self, x: Tensor) -> Tensor:
        inputs = [x, x, x, F.max_pool2d(x, 3, 1, 1)]
        one, three, five, pool = (F.relu(layer(y)) for layer, y in zip(self.first, inputs, strict=True))
        three, five = F.relu(self.second["3"](three)), F.relu(self.second["5"](five))
        out = x.new_empty(x.shape[0], self.width, *x.shape[2:])
        start = 0
        for branch in (one, three, five, pool):
            out[:, start : start + branch.shape[1]] = branch
            start += branch.shape[1]
        return out


class Torchvisions(Branches):
    """3x3 for 5x5, no batch norm."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__(in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj)
        self.branch3[1] = conv(c5_reduce, c5, kernel_size=3, padding=1)


class Normalised(Branches):
    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__(in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj)
        for layer in [m for m in self.modules() if isinstance(m, nn.Sequential)]:
            if isinstance(layer[0], nn.Conv2d):
                layer.insert(1, nn.BatchNorm2d(layer[0].out_channels))


class NoReluInside(Separate):
    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.p1_1(x),
            self.p2_2(self.p2_1(x)),
            self.p3_2(self.p3_1(x)),
            self.p4_2(self.p4_1(x)),
        ]
        return F.relu(torch.cat(branches, dim=1))


class NoReluOutside(Separate):
    def forward(self, x: Tensor) -> Tensor:
        p2, p3 = self.p2_2(F.relu(self.p2_1(x))), self.p3_2(F.relu(self.p3_1(x)))
        return torch.cat([F.relu(self.p1_1(x)), F.relu(p2), F.relu(p3), self.p4_2(self.p4_1(x))], dim=1)


class ProjectsFirst(Separate):
    def forward(self, x: Tensor) -> Tensor:
        p2, p3 = self.p2_2(F.relu(self.p2_1(x))), self.p3_2(F.relu(self.p3_1(x)))
        p4 = self.p4_1(F.relu(self.p4_2(x)))
        return torch.cat([F.relu(self.p1_1(x)), F.relu(p2), F.relu(p3), p4], dim=1)


class WrongAxis(Branches):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)])


class StridedPool(Branches):
    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__(in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj)
        self.branch4[0] = nn.MaxPool2d(3, 2, 1)


class PoolAndOrder(Separate):
    """Two mistakes: the pool's branch comes first, and there is no ReLU behind the reducers."""

    def forward(self, x: Tensor) -> Tensor:
        branches = [
            self.p4_2(self.p4_1(x)),
            self.p1_1(x),
            self.p2_2(self.p2_1(x)),
            self.p3_2(self.p3_1(x)),
        ]
        return F.relu(torch.cat(branches, dim=1))


class ZeroPaddedPool(Separate):
    """Pads with zeros before the pool, where the pool's own padding counts as minus infinity."""

    def forward(self, x: Tensor) -> Tensor:
        p2, p3 = self.p2_2(F.relu(self.p2_1(x))), self.p3_2(F.relu(self.p3_1(x)))
        p4 = self.p4_2(F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 1))
        return F.relu(torch.cat([self.p1_1(x), p2, p3, p4], dim=1))


class ListOfBranches(Branches):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]


class WithDropout(Branches):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.4, self.training)


class ChainedBranches(nn.Module):
    """x is overwritten by the first branch, so the others start from its output."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.inner = Branches(in_channels, c1, c3_reduce, c3, c5_reduce, c5, pool_proj)

    def forward(self, x: Tensor) -> Tensor:
        outputs = []
        for branch in self.inner.children():
            x = branch(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


class PoolIsPassedOn(nn.Module):
    """Figure 2a's pool in figure 2b's module."""

    def __init__(
        self, in_channels: int, c1: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.one = conv(in_channels, c1, kernel_size=1)
        self.three = nn.Sequential(
            conv(in_channels, c3_reduce, kernel_size=1), conv(c3_reduce, c3, kernel_size=3, padding=1)
        )
        self.five = nn.Sequential(
            conv(in_channels, c5_reduce, kernel_size=1), conv(c5_reduce, c5, kernel_size=5, padding=2)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.five(x), F.max_pool2d(x, 3, 1, 1)], 1)


# --------------------------------------------------------------------------- the module to repair


class Strided(nn.Module):
    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.three = nn.Sequential(
            conv(in_channels, c3_reduce, kernel_size=1),
            conv(c3_reduce, c3, kernel_size=3, stride=2, padding=1),
        )
        self.five = nn.Sequential(
            conv(in_channels, c5_reduce, kernel_size=1),
            conv(c5_reduce, c5, kernel_size=5, stride=2, padding=2),
        )
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.three(x), self.five(x), self.pool(x)], dim=1)


class StridedByHand(nn.Module):
    """Raw parameters; every second value of the convolutions of stride 1."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.w5 = nn.Parameter(torch.randn(c5, c5_reduce, 5, 5))
        self.w3 = nn.Parameter(torch.randn(c3, c3_reduce, 3, 3))
        self.r5 = nn.Parameter(torch.randn(c5_reduce, in_channels))
        self.r3 = nn.Parameter(torch.randn(c3_reduce, in_channels))
        self.b5, self.b3 = nn.Parameter(torch.zeros(c5)), nn.Parameter(torch.zeros(c3))
        self.s5, self.s3 = nn.Parameter(torch.zeros(c5_reduce)), nn.Parameter(torch.zeros(c3_reduce))

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)
        three = F.linear(pixels, self.r3, self.s3).relu().permute(0, 3, 1, 2)
        five = F.linear(pixels, self.r5, self.s5).relu().permute(0, 3, 1, 2)
        three = F.conv2d(three, self.w3, self.b3, padding="same")[..., ::2, ::2].relu()
        five = F.conv2d(five, self.w5, self.b5, padding="same")[..., ::2, ::2].relu()
        return torch.cat([three, five, F.max_pool2d(x, 3, 2, 1)], dim=1)


class PoolFirstComputed(nn.Module):
    """Layers in a list; the pool is computed first and joined last."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(c5_reduce, c5, 5, 2, 2),
                nn.Conv2d(c3_reduce, c3, 3, 2, 1),
                nn.Conv2d(in_channels, c5_reduce, 1),
                nn.Conv2d(in_channels, c3_reduce, 1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(F.pad(x, (1, 1, 1, 1), value=float("-inf")), 3, 2)
        five = self.layers[0](torch.relu(self.layers[2](x)))
        three = self.layers[1](torch.relu(self.layers[3](x)))
        return torch.cat([torch.relu(torch.cat([three, five], 1)), pooled], 1)


class AsShown(nn.Module):
    """The module as the notebook shows it, with its two mistakes."""

    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__()
        self.reduce3 = nn.Conv2d(in_channels, c3_reduce, 1, stride=2)
        self.conv3 = nn.Conv2d(c3_reduce, c3, 3, padding=1)
        self.reduce5 = nn.Conv2d(in_channels, c5_reduce, 1, stride=2)
        self.conv5 = nn.Conv2d(c5_reduce, c5, 5, padding=2)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        branch3 = F.relu(self.conv3(F.relu(self.reduce3(x))))
        branch5 = F.relu(self.conv5(self.reduce5(x)))
        return torch.cat([branch3, branch5, self.pool(x)], dim=1)


class OnlyTheRelu(AsShown):
    def forward(self, x: Tensor) -> Tensor:
        branch3 = F.relu(self.conv3(F.relu(self.reduce3(x))))
        branch5 = F.relu(self.conv5(F.relu(self.reduce5(x))))
        return torch.cat([branch3, branch5, self.pool(x)], dim=1)


class OnlyTheStride(Strided):
    def forward(self, x: Tensor) -> Tensor:
        five = self.five[1](self.five[0][0](x))
        return torch.cat([self.three(x), five, self.pool(x)], dim=1)


class PoolRectified(Strided):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class PoolAveraged(Strided):
    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__(in_channels, c3_reduce, c3, c5_reduce, c5)
        self.pool = nn.AvgPool2d(3, 2, 1)


class NothingStrided(Strided):
    def __init__(self, in_channels: int, c3_reduce: int, c3: int, c5_reduce: int, c5: int) -> None:
        super().__init__(in_channels, c3_reduce, c3, c5_reduce, c5)
        self.three[1][0].stride = self.five[1][0].stride = (1, 1)


class ConvolvesOdd(Strided):
    """Takes the odd pixels instead of the even ones."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 0, 1, 0)))[..., : -(-x.shape[2] // 2), : -(-x.shape[3] // 2)]


CORRECT = {
    "inception/conv_macs": {
        "in words": macs_in_words,
        "from a layer": macs_from_a_layer,
        "numpy": macs_with_numpy,
        "loop": macs_pixel_by_pixel,
    },
    "inception/bottleneck_macs": {
        "two calls": bottleneck_in_two,
        "factored": bottleneck_factored,
        "numpy": bottleneck_with_numpy,
    },
    "inception/inception_module": {
        "branches": Branches,
        "separate, ReLU after concatenation": Separate,
        "raw parameters and einsum": RawParameters,
        "lists, written piece by piece": FusedReducers,
    },
    "inception/repaired_reduction": {
        "Sequential": Strided,
        "raw parameters": StridedByHand,
        "registered backwards": PoolFirstComputed,
    },
}

WRONG = {
    "inception/conv_macs": {
        "bias": (lambda i, o, k, height, width: (k * k * i + 1) * o * height * width, "bias_counted"),
        "k for k^2": (lambda i, o, k, height, width: k * i * o * height * width, "kernel_not_squared"),
        "weights": (lambda i, o, k, height, width: k**2 * i * o, "grid_forgotten"),
        "2 FLOPs": (lambda i, o, k, height, width: 2 * k**2 * i * o * height * width, "flops_for_macs"),
        "float": (lambda i, o, k, height, width: k**2.0 * i * o * height * width, "float_returned"),
        "2 FLOPs of the weights": (lambda i, o, k, height, width: 2 * k * k * i * o, "grid_forgotten"),
        "constant": (lambda i, o, k, height, width: 120_422_400, None),
        "None": (lambda i, o, k, height, width: None, None),
        "other names": (lambda i, o, k, h, w: k * k * i * o * h * w, None),
        "text": (lambda i, o, k, height, width: f"{k * k * i * o * height * width:,}", None),
    },
    "inception/bottleneck_macs": {
        "no reducer": (lambda i, r, o, k, h, w: k * k * r * o * h * w, "reducer_forgotten"),
        "kernel on both": (lambda i, r, o, k, h, w: k * k * r * (i + o) * h * w, "reducer_with_the_kernel"),
        "not reduced": (lambda i, r, o, k, h, w: (i * r + k * k * i * o) * h * w, "not_reduced"),
        "behind": (lambda i, r, o, k, h, w: (k * k * i * r + r * o) * h * w, "reducer_behind"),
        "kernel not squared, 2 FLOPs": (
            lambda i, r, o, k, h, w: 2 * r * (i + k * o) * h * w,
            "flops_for_macs",
        ),
        "constant": (lambda i, r, o, k, h, w: 12_443_648, None),
        "ratio": (lambda i, r, o, k, h, w: r * (i + k * k * o) / (k * k * i * o), None),
    },
    "inception/inception_module": {
        "torchvision's kernel": (Torchvisions, "three_for_five"),
        "batch norm": (Normalised, "batch_norm_and_bias"),
        "no ReLU inside": (NoReluInside, "relu_missing_after_reducers"),
        "no ReLU behind the pool": (NoReluOutside, "relu_missing_after_projection"),
        "projects first": (ProjectsFirst, "projection_before_the_pool"),
        "batch axis": (WrongAxis, "concatenated_along_the_batch"),
        "strided pool": (StridedPool, "pool_with_stride"),
        "pool first, no ReLU inside": (PoolAndOrder, "relu_missing_after_reducers"),
        "pool passed on": (PoolIsPassedOn, "projection_forgotten"),
        "zero-padded pool": (ZeroPaddedPool, None),
        "list": (ListOfBranches, None),
        "dropout": (WithDropout, None),
        "chained": (ChainedBranches, None),
        "an instance": (Branches(3, 2, 2, 2, 2, 2, 2), None),
    },
    "inception/repaired_reduction": {
        "as shown": (AsShown, "stride_on_the_reducers"),
        "only the ReLU": (OnlyTheRelu, "stride_on_the_reducers"),
        "only the stride": (OnlyTheStride, "relu_missing_before5"),
        "ReLU on the pool": (PoolRectified, "relu_on_the_pool"),
        "average": (PoolAveraged, "averaging_pool"),
        "nothing strided": (NothingStrided, "no_stride"),
        "odd pixels": (ConvolvesOdd, None),
    },
}
