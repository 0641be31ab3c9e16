"""Answers to the assignment `nin`, right and wrong, in the styles in which students write."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- conv1x1


def by_matmul(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, h, w = x.shape
    out = weight.shape[0]
    y = weight.flatten(1) @ x.flatten(2)  # (out, in) @ (N, in, H W)
    return (y + bias.view(1, out, 1)).view(n, out, h, w)


def by_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x.movedim(1, -1), weight.squeeze(-1).squeeze(-1), bias).movedim(-1, 1)


def by_tensordot(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.tensordot(x, weight[..., 0, 0], dims=([1], [1]))  # (N, H, W, out)
    return (y + bias).permute(0, 3, 1, 2).contiguous()


def by_broadcasting(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, 1, in, H, W) * (out, in, 1, 1)."""
    return (x.unsqueeze(1) * weight).sum(dim=2) + bias.reshape(1, -1, 1, 1)


def pixel_by_pixel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, _, h, w = x.shape
    y = torch.zeros(n, weight.shape[0], h, w, dtype=x.dtype)
    for i in range(h):
        for j in range(w):
            y[:, :, i, j] = x[:, :, i, j] @ weight[:, :, 0, 0].T + bias
    return y


def channel_by_channel(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    maps = []
    for filter_, shift in zip(weight, bias, strict=True):
        maps.append(sum(x[:, c] * filter_[c] for c in range(x.shape[1])) + shift)
    return torch.stack(maps, dim=1)


def by_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What the notebook forbids; no check of values can tell."""
    return F.conv2d(x, weight, bias)


def reshaped_both(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return F.linear(x.view(n, h, w, c), weight[:, :, 0, 0], bias).view(n, -1, h, w)


def matrix_not_transposed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = torch.einsum("nchw,co->nohw", x, weight[:, :, 0, 0])
    return y + bias[None, :, None, None]


def bias_on_columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return by_broadcasting(x, weight, torch.zeros_like(bias)) + bias


def no_bias(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.tensordot(x, weight[:, :, 0, 0], dims=([1], [1])).permute(0, 3, 1, 2)


def relu_and_no_bias(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.relu(no_bias(x, weight, bias))


def channels_last(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias)


def squeezed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return (weight.squeeze() @ x.flatten(2)).unflatten(2, x.shape[2:]) + bias[:, None, None]


def nan_image(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return by_matmul(x, weight, bias) * float("nan")


def through_numpy(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    y = np.einsum("nchw,oc->nohw", x.detach().numpy(), weight.detach().numpy()[:, :, 0, 0])
    return torch.from_numpy(y + bias.detach().numpy()[:, None, None])


def as_numpy(x: Tensor, weight: Tensor, bias: Tensor) -> np.ndarray:
    return through_numpy(x, weight, bias).numpy()


def with_batch(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return by_matmul(x, weight, bias) + x.mean()


def convolution_3x3(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.conv2d(x, weight.expand(-1, -1, 3, 3), bias, padding=1)


def raising(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x @ weight


# --------------------------------------------------------------------------- conv1x1_parameters


def from_a_layer(in_channels: int, out_channels: int, bias: bool = True) -> int:
    layer = nn.Conv2d(in_channels, out_channels, 1, bias=bias)
    return sum(p.numel() for p in layer.parameters())


def with_numpy(in_channels: int, out_channels: int, bias: bool = True) -> np.int64:
    return np.prod([in_channels + int(bias), out_channels])


def with_a_loop(in_channels: int, out_channels: int, bias: bool = True) -> int:
    count = 0
    for _ in range(out_channels):
        count += in_channels
        if bias:
            count += 1
    return count


# --------------------------------------------------------------------------- NiN blocks


class Listed(nn.Sequential):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, kernel_size=1),
            nn.ReLU(inplace=True),
        )


class LinearAtEveryPixel(nn.Module):
    """The 1x1 layers are linear layers; registered backwards."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.third = nn.Linear(out_channels, out_channels)
        self.second = nn.Linear(out_channels, out_channels)
        self.first = nn.Conv2d(
            in_channels, out_channels, (kernel_size, kernel_size), padding=padding, stride=stride
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).clamp(min=0).permute(0, 2, 3, 1)
        x = torch.relu(self.second(x))
        return torch.relu(self.third(x)).permute(0, 3, 1, 2)


class RawParameters(nn.Module):
    """Everything by hand: unfold for the first, einsum for the rest."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.k, self.s, self.p = kernel_size, stride, padding
        self.w = nn.Parameter(torch.randn(out_channels, in_channels, kernel_size, kernel_size))
        self.b = nn.Parameter(torch.zeros(out_channels))
        self.w1 = nn.Parameter(torch.randn(out_channels, out_channels, 1, 1))
        self.b1 = nn.Parameter(torch.zeros(out_channels))
        self.w2 = nn.Parameter(torch.randn(out_channels, out_channels, 1, 1))
        self.b2 = nn.Parameter(torch.zeros(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        height, width = ((n + 2 * self.p - self.k) // self.s + 1 for n in x.shape[2:])
        patches = F.unfold(x, self.k, padding=self.p, stride=self.s)  # (N, C k k, L)
        y = torch.einsum("ok,nkl->nol", self.w.flatten(1), patches) + self.b[:, None]
        y = F.relu(y).reshape(x.shape[0], -1, height, width)
        y = F.relu(F.conv2d(y, self.w1, self.b1))
        return F.relu(F.conv2d(y, self.w2, self.b2))


class NoActivationInside(Listed):
    def forward(self, x: Tensor) -> Tensor:
        for index in (0, 2, 4, 5):
            x = self[index](x)
        return x


class NoActivationAtTheEnd(LinearAtEveryPixel):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x)).permute(0, 2, 3, 1)
        return self.third(torch.relu(self.second(x))).permute(0, 3, 1, 2)


class PaddedThroughout(nn.Sequential):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1, padding=padding),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1, padding=padding),
            nn.ReLU(),
        )


class OnlyOne(nn.Sequential):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 1),
            nn.ReLU(),
        )


class SharedLayer(nn.Module):
    """One 1x1 layer, used twice."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.pointwise = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.first(x))
        return F.relu(self.pointwise(F.relu(self.pointwise(x))))


class Residual(Listed):
    def forward(self, x: Tensor) -> Tensor:
        x = self[1](self[0](x))
        return x + self[5](self[4](self[3](self[2](x))))


class Dropping(Listed):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, self.training)


class NoForward(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, padding: int = 0
    ) -> None:
        super().__init__()


class Tupled(Listed):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x), x


# --------------------------------------------------------------------------- heads


class PooledHead(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(in_channels, num_classes, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class AverageFirst(nn.Module):
    """Both are linear, so their order does not matter."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.mean((-2, -1)))


class RawHead(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1, num_classes, 1, 1))
        self.weight = nn.Parameter(torch.randn(in_channels, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        maps = torch.einsum("nchw,ck->nkhw", x, self.weight) + self.bias
        return maps.sum((2, 3)) / (maps.shape[2] * maps.shape[3])


class ReluInNet(PooledHead):
    def forward(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(F.relu(self.net[0](x)), 1).flatten(1)


class MaxInNet(PooledHead):
    def forward(self, x: Tensor) -> Tensor:
        return nn.AdaptiveMaxPool2d((1, 1))(self.net[0](x)).flatten(1)


class SoftmaxInNet(AverageFirst):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(super().forward(x), dim=-1)


class NotFlattened(PooledHead):
    def forward(self, x: Tensor) -> Tensor:
        return self.net[1](self.net[0](x))


class Squeezed(PooledHead):
    def forward(self, x: Tensor) -> Tensor:
        return self.net[1](self.net[0](x)).squeeze()


class MaxAndSoftmax(MaxInNet):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).softmax(1)


class FixedSize(PooledHead):
    """Assumes a grid of 6 x 6, as on CIFAR-10."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(self.net[0](x), 6).flatten(1)


class FlattenedIntoLinear(nn.Module):
    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels * 36, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class Half(PooledHead):
    """The output is float64 whatever comes in."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()


class TrainingMax(PooledHead):
    """The average in evaluation mode, the maximum in training mode."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net[0](x).amax((2, 3)) if self.training else super().forward(x)


# --------------------------------------------------------------------------- the module to repair


class Permuted(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, out_channels))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        rows = x.permute(0, 2, 3, 1).reshape(n * h * w, c)
        return self.net(rows).reshape(n, h, w, -1).permute(0, 3, 1, 2)


class Convolved(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.last = nn.Conv2d(hidden, out_channels, 1)
        self.first = nn.Conv2d(in_channels, hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x).relu_())


class Multiplied(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(hidden, in_channels))
        self.b1 = nn.Parameter(torch.zeros(hidden, 1))
        self.w2 = nn.Parameter(torch.randn(out_channels, hidden))
        self.b2 = nn.Parameter(torch.zeros(out_channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.w1 @ x.flatten(2) + self.b1)
        return (self.w2 @ hidden + self.b2).unflatten(2, x.shape[2:])


class AsShown(Permuted):
    """The module as the notebook shows it, with its bug."""

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return self.net(x.reshape(n, h * w, c)).reshape(n, -1, h, w)


class HalfRepaired(Permuted):
    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        return self.net(x.permute(0, 2, 3, 1)).reshape(n, -1, h, w)


class WrongWayBack(Permuted):
    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 2, 3, 1)).permute(0, 3, 2, 1)


class Transposed(Permuted):
    """permute(0, 3, 2, 1) is its own inverse: right by luck, and rightly so."""

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)


class Rectified(Permuted):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class WithoutGrid(Multiplied):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).flatten(2)


class Wider(Permuted):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__(in_channels, hidden + 1, out_channels)


CORRECT = {
    "nin/conv1x1": {
        "matmul": by_matmul,
        "linear": by_linear,
        "tensordot": by_tensordot,
        "broadcasting": by_broadcasting,
        "loop over pixels": pixel_by_pixel,
        "loop over channels": channel_by_channel,
        "convolution": by_convolution,
    },
    "nin/conv1x1_parameters": {
        "counted in a layer": from_a_layer,
        "numpy": with_numpy,
        "loop": with_a_loop,
    },
    "nin/nin_block": {
        "Sequential": Listed,
        "linear layers, registered backwards": LinearAtEveryPixel,
        "raw parameters and unfold": RawParameters,
    },
    "nin/global_average_head": {
        "Sequential": PooledHead,
        "average first": AverageFirst,
        "raw parameters": RawHead,
    },
    "nin/repaired_pixel_mlp": {
        "permute": Permuted,
        "1x1 convolutions": Convolved,
        "matmul": Multiplied,
        "another permutation": Transposed,
    },
}

WRONG = {
    "nin/conv1x1": {
        "reshaped": (reshaped_both, "reshaped_in_and_out"),
        "axes swapped": (matrix_not_transposed, "summed_over_outputs"),
        "bias on columns": (bias_on_columns, "bias_along_columns"),
        "no bias": (no_bias, "bias_not_added"),
        "no bias, ReLU": (relu_and_no_bias, "relu_added"),
        "channels last": (channels_last, "channels_left_last"),
        "squeezed": (squeezed, None),
        "NaN": (nan_image, None),
        "through NumPy": (through_numpy, "gradient_cut"),
        "an array": (as_numpy, None),
        "mean added": (with_batch, None),
        "3x3": (convolution_3x3, None),
        "raises": (raising, None),
    },
    "nin/conv1x1_parameters": {
        "no bias": (
            lambda in_channels, out_channels, bias=True: in_channels * out_channels,
            "bias_forgotten",
        ),
        "always": (
            lambda in_channels, out_channels, bias=True: (in_channels + 1) * out_channels,
            "bias_always",
        ),
        "bias per input": (lambda i, o, bias=True: i * (o + bias), "bias_per_input"),
        "float": (lambda i, o, bias=True: (i + bias) * o / 1, "float_returned"),
        "float, no bias": (lambda i, o, bias=True: i * o * 1.0, "bias_forgotten"),
        "constant": (lambda i, o, bias=True: 4160, None),
        "text": (lambda i, o, bias=True: str(i * o + o), None),
        "None": (lambda i, o, bias=True: None, None),
        "no default": (lambda i, o, bias: i * o + o * bias, None),
    },
    "nin/nin_block": {
        "no ReLU inside": (NoActivationInside, "no_relu_between"),
        "no ReLU at the end": (NoActivationAtTheEnd, "last_relu_missing"),
        "padded": (PaddedThroughout, "padding_everywhere"),
        "one 1x1": (OnlyOne, "single_one_by_one"),
        "shared": (SharedLayer, None),
        "residual": (Residual, None),
        "dropout": (Dropping, None),
        "no forward": (NoForward, None),
        "tuple": (Tupled, None),
    },
    "nin/global_average_head": {
        "ReLU": (ReluInNet, "relu_on_class_maps"),
        "max": (MaxInNet, "max_pooled"),
        "softmax": (SoftmaxInNet, "softmax_inside"),
        "not flattened": (NotFlattened, "grid_kept"),
        "squeezed": (Squeezed, "batch_squeezed"),
        "max and softmax": (MaxAndSoftmax, "max_pooled"),
        "fixed size": (FixedSize, None),
        "fully connected": (FlattenedIntoLinear, None),
        "float64": (Half, None),
        "max in training": (TrainingMax, None),
    },
    "nin/repaired_pixel_mlp": {
        "as shown": (AsShown, "still_reshaped_twice"),
        "half repaired": (HalfRepaired, "still_reshaped_out"),
        "swapped": (WrongWayBack, "rows_and_columns_swapped"),
        "ReLU at the end": (Rectified, "relu_at_the_end"),
        "without grid": (WithoutGrid, "grid_lost"),
        "wider": (Wider, None),
    },
}
