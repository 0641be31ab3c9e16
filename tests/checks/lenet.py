"""Answers to the assignment `lenet`, right and wrong, in the styles in which students write."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import costs
from casestudies.networks import lenet

# --------------------------------------------------------------------------- the size of the output, right


def size_by_formula(size, kernel, stride=1, padding=0):
    return (size + 2 * padding - kernel) // stride + 1


def size_by_counting(size, kernel, stride=1, padding=0):
    """Puts the kernel down, step by step, until it no longer fits."""
    positions, left = 0, -padding
    while left + kernel <= size + padding:
        positions, left = positions + 1, left + stride
    return positions


def size_by_range(size, kernel, stride=1, padding=0):
    return len(range(0, size + 2 * padding - kernel + 1, stride))


def size_rounded_up(size, kernel, stride=1, padding=0):
    """As TensorFlow writes it."""
    return math.ceil((size + 2 * padding - kernel + 1) / stride)


def size_in_numpy(size, kernel, stride=1, padding=0):
    return np.int64(np.floor((size + 2 * padding - kernel) / stride)) + np.int64(1)


def size_by_convolving(size, kernel, stride=1, padding=0):
    image = torch.zeros(1, 1, size, 1)
    return F.conv2d(image, torch.zeros(1, 1, kernel, 1), stride=(stride, 1), padding=(padding, 0)).shape[2]


# --------------------------------------------------------------------------- wrong


def size_of_a_float(size, kernel, stride=1, padding=0):
    return np.floor((size + 2 * padding - kernel) / stride + 1)


def size_always_28(size, kernel, stride=1, padding=0):
    return 28


def size_without_defaults(size, kernel, stride, padding):
    return (size + 2 * padding - kernel) // stride + 1


def size_with_precedence(size, kernel, stride=1, padding=0):
    return size + 2 * padding - kernel // stride + 1


def size_as_tensor(size, kernel, stride=1, padding=0):
    return torch.tensor((size + 2 * padding - kernel) // stride + 1)


def size_printed(size, kernel, stride=1, padding=0):
    str((size + 2 * padding - kernel) // stride + 1)


def size_of_a_pair(size, kernel, stride=1, padding=0):
    side = (size + 2 * padding - kernel) // stride + 1
    return side, side


def size_divided_first(size, kernel, stride=1, padding=0):
    return math.floor((size - kernel + padding * 2) / stride)


def size_one_side_and_rounded(size, kernel, stride=1, padding=0):
    return int(math.ceil((size + padding - kernel) / stride)) + 1


# --------------------------------------------------------------------------- the parameters, right


def parameters_by_formula(in_channels, out_channels, kernel, bias=True):
    return (kernel * kernel * in_channels + (1 if bias else 0)) * out_channels


def parameters_by_building(in_channels, out_channels, kernel, bias=True):
    layer = nn.Conv2d(in_channels, out_channels, kernel, bias=bias, device="meta")
    return sum(p.numel() for p in layer.parameters())


def parameters_looped(in_channels, out_channels, kernel, bias=True):
    total = 0
    for _ in range(out_channels):
        for _ in range(in_channels):
            total += kernel**2
        total += bias
    return total


def parameters_in_numpy(in_channels, out_channels, kernel, bias=True):
    return np.prod([out_channels, in_channels, kernel, kernel]) + bias * out_channels


# --------------------------------------------------------------------------- wrong


def parameters_of_the_slide(in_channels, out_channels, kernel, bias=True):
    """208 and 416 for the first layers of a well-known slide: one filter has one channel there."""
    return (kernel * kernel + 1) * out_channels if bias else kernel * kernel * out_channels


def parameters_with_one_bias(in_channels, out_channels, kernel, bias=True):
    return kernel**2 * in_channels * out_channels + int(bias)


def parameters_as_float(in_channels, out_channels, kernel, bias=True):
    return float(parameters_by_formula(in_channels, out_channels, kernel, bias))


def parameters_without_bias(in_channels, out_channels, kernel, bias=True):
    return nn.Conv2d(in_channels, out_channels, kernel, device="meta").weight.numel()


# --------------------------------------------------------------------------- LeNet-5, right


class Named(nn.Module):
    """Attributes one by one; C5 as a linear layer on the flattened grid."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.pool = nn.AvgPool2d(kernel_size=2, stride=2)

    def forward(self, x):
        x = self.pool(torch.tanh(self.conv1(x)))
        x = self.pool(torch.tanh(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return self.fc3(x)


class Chained(nn.Sequential):
    """One Sequential, layer after layer."""

    def __init__(self, num_classes=10):
        super().__init__(
            OrderedDict(
                c1=nn.Conv2d(1, 6, 5),
                t1=nn.Tanh(),
                s2=nn.AvgPool2d(2),
                c3=nn.Conv2d(6, 16, 5),
                t3=nn.Tanh(),
                s4=nn.AvgPool2d(2),
                c5=nn.Conv2d(16, 120, 5),
                t5=nn.Tanh(),
                flat=nn.Flatten(),
                f6=nn.Linear(120, 84),
                t6=nn.Tanh(),
                out=nn.Linear(84, num_classes),
            )
        )


class Lazy(nn.Module):
    """Layers that find out their input sizes themselves, as in recent textbooks."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.net = nn.Sequential(
            nn.LazyConv2d(6, kernel_size=5),
            nn.Tanh(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.LazyConv2d(16, kernel_size=5),
            nn.Tanh(),
            nn.AvgPool2d(kernel_size=2, stride=2),
            nn.Flatten(),
            nn.LazyLinear(120),
            nn.Tanh(),
            nn.LazyLinear(84),
            nn.Tanh(),
            nn.LazyLinear(num_classes),
        )

    def forward(self, x):
        return self.net(x)


class Raw(nn.Module):
    """Raw parameters, registered from the last to the first; the convolution by unfolding, tanh by exp."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.b = nn.ParameterList([torch.zeros(n) for n in (num_classes, 84, 120, 16, 6)])
        self.out = nn.Parameter(torch.randn(84, num_classes) * 0.1)  # (in, out): used as x @ w
        self.f6 = nn.Parameter(torch.randn(120, 84) * 0.1)
        self.c5 = nn.Parameter(torch.randn(120, 16, 5, 5) * 0.05)
        self.c3 = nn.Parameter(torch.randn(16, 6, 5, 5) * 0.1)
        self.c1 = nn.Parameter(torch.randn(6, 1, 5, 5) * 0.2)

    @staticmethod
    def conv(x, weight, bias):
        patches = x.unfold(2, 5, 1).unfold(3, 5, 1)  # (N, C, H', W', 5, 5)
        return torch.einsum("nchwij,ocij->nohw", patches, weight) + bias[:, None, None]

    @staticmethod
    def squash(x):
        return 2 * torch.sigmoid(2 * x) - 1

    @staticmethod
    def halve(x):
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4

    def forward(self, x):
        x = self.halve(self.squash(self.conv(x, self.c1, self.b[4])))
        x = self.halve(self.squash(self.conv(x, self.c3, self.b[3])))
        x = self.squash(self.conv(x, self.c5, self.b[2])).squeeze(-1).squeeze(-1)
        x = self.squash(x @ self.f6 + self.b[1])
        return x @ self.out + self.b[0]


class Pointwise(nn.Module):
    """Convolutions to the end: the linear layers are 1x1 convolutions; averages by reshaping."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.head = nn.ModuleList([nn.Conv2d(120, 84, 1), nn.Conv2d(84, num_classes, 1)])
        self.body = nn.ModuleDict(
            {"C5": nn.Conv2d(16, 120, 5), "C3": nn.Conv2d(6, 16, 5), "C1": nn.Conv2d(1, 6, 5)}
        )

    def forward(self, x):
        for name in ("C1", "C3"):
            x = self.body[name](x).tanh()
            n, c, h, w = x.shape
            x = x.reshape(n, c, h // 2, 2, w // 2, 2).mean(dim=(3, 5))
        x = self.head[0](self.body["C5"](x).tanh()).tanh_()
        return self.head[1](x).flatten(1)


# --------------------------------------------------------------------------- wrong


class NamedWith(Named):
    """`Named` with another activation and pooling."""

    act, pooling = staticmethod(torch.tanh), nn.AvgPool2d

    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.pool = self.pooling(2, 2)

    def forward(self, x):
        x = self.pool(self.act(self.conv1(x)))
        x = self.pool(self.act(self.conv2(x)))
        x = x.flatten(1)
        x = self.act(self.fc1(x))
        x = self.act(self.fc2(x))
        return self.fc3(x)


class NamedRelu(NamedWith):
    act = staticmethod(F.relu)


class NamedSigmoid(NamedWith):
    act = staticmethod(torch.sigmoid)


class NamedMax(NamedWith):
    pooling = nn.MaxPool2d


class NamedReluMax(NamedWith):
    """The LeNet of most tutorials."""

    act, pooling = staticmethod(F.relu), nn.MaxPool2d


class Mnist(Chained):
    """For images of 28x28: the first convolution padded, C5 linear and larger for it."""

    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.c1 = nn.Conv2d(1, 6, 5, padding=2)
        self.c5 = nn.Sequential(nn.Flatten(), nn.Linear(16 * 6 * 6, 120))


class MnistRaising(Chained):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.c1 = nn.Conv2d(1, 6, 5, padding=2)


class ChainedSoftmax(Chained):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.softmax = nn.Softmax(dim=1)


class ChainedSoftmaxOverTheBatch(Chained):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.softmax = nn.Softmax(dim=0)


class ChainedSigmoidF6(Chained):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.t6 = nn.Sigmoid()


class Squeezed(Named):
    """Loses the batch axis when there is one image."""

    def forward(self, x):
        return super().forward(x).squeeze()


class WithDropout(Named):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.5, self.training)


class TenClasses(Chained):
    def __init__(self, num_classes=10):
        super().__init__()


class SharedConvolution(nn.Module):
    """Pads the image's one channel to six, and uses one convolution twice."""

    def __init__(self, num_classes=10):
        super().__init__()
        self.conv = nn.Conv2d(6, 6, 5)
        self.linear = nn.Linear(6 * 5 * 5, num_classes)

    def forward(self, x):
        x = x.expand(-1, 6, -1, -1)
        for _ in range(2):
            x = F.avg_pool2d(torch.tanh(self.conv(x)), 2)
        return self.linear(x.flatten(1))


class NotANumber(Chained):
    def forward(self, x):
        return super().forward(x) / 0 * 0


class Detached(Chained):
    def forward(self, x):
        return super().forward(x.detach())


class InNumpy(Chained):
    def forward(self, x):
        return torch.from_numpy(super().forward(x).detach().numpy())


class ChangesItsInput(Chained):
    def forward(self, x):
        x -= x.mean()
        return super().forward(x)


class WithFeatures(Chained):
    def forward(self, x):
        return super().forward(x), x


class Raising(Chained):
    def forward(self, x):
        return self.c6(x)


class Doubled(Chained):
    """Always float64."""

    def forward(self, x):
        return super().forward(x).double()


# --------------------------------------------------------------------------- subsampling, right


class Reshaped(nn.Module):
    """Parameters shaped for the broadcast, the bias registered first."""

    def __init__(self, channels):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))

    def forward(self, x):
        return F.avg_pool2d(x, 2) * 4 * self.scale + self.shift


class Grouped(nn.Module):
    """A depthwise convolution whose four weights are one parameter."""

    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.rand(channels))
        self.bias = nn.Parameter(torch.rand(channels))

    def forward(self, x):
        weight = self.coefficient.view(-1, 1, 1, 1).expand(-1, 1, 2, 2)
        return F.conv2d(x, weight, self.bias, stride=2, groups=len(weight))


class MapByMap(nn.Module):
    """A loop over the maps, a list of parameters each."""

    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels, 1))
        self.bias = nn.Parameter(torch.ones(channels, 1))

    def forward(self, x):
        maps = []
        for c in range(x.shape[1]):
            total = x[:, c, ::2, ::2] + x[:, c, 1::2, ::2] + x[:, c, ::2, 1::2] + x[:, c, 1::2, 1::2]
            maps.append(self.coefficient[c] * total + self.bias[c])
        return torch.stack(maps, dim=1)


class ChannelsLast(nn.Module):
    """Moves the channels to the end, where (C,) fits."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.coefficient = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        total = F.avg_pool2d(x, 2, divisor_override=1).permute(0, 2, 3, 1)
        return torch.addcmul(self.bias, self.coefficient, total).permute(0, 3, 1, 2)


# --------------------------------------------------------------------------- wrong


class Broken(nn.Module):
    """The block of the notebook, as it stands."""

    def __init__(self, channels):
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        average = F.avg_pool2d(x, 2)
        return self.coefficient * average + self.bias


class HalfRepaired(Reshaped):
    def forward(self, x):
        return F.avg_pool2d(x, 2) * self.scale + self.shift


class OtherHalfRepaired(Broken):
    def forward(self, x):
        return self.coefficient * (4 * F.avg_pool2d(x, 2)) + self.bias


class Depthwise(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 2, stride=2, groups=channels)

    def forward(self, x):
        return self.conv(x)


class Dense(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 2, stride=2)

    def forward(self, x):
        return self.conv(x)


class Squashed(Reshaped):
    def forward(self, x):
        return lenet.squash(super().forward(x))


class Rms(Reshaped):
    def forward(self, x):
        return F.lp_pool2d(x, 2.0, 2) * self.scale + self.shift


def not_written(*args, **kwargs):
    raise NotImplementedError()


class NotWritten(nn.Module):
    def __init__(self, *args):
        super().__init__()
        raise NotImplementedError()


def with_the_course(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return costs.conv_output_size(size, kernel, stride, padding)


def from_the_course(channels: int) -> Tensor:
    return lenet.Subsampling(channels)


CORRECT = {
    "lenet/conv_output_size": {
        "formula": size_by_formula,
        "counting": size_by_counting,
        "range": size_by_range,
        "rounded-up": size_rounded_up,
        "numpy-int": size_in_numpy,
        "convolving": size_by_convolving,
        "course": with_the_course,
    },
    "lenet/conv_parameters": {
        "formula": parameters_by_formula,
        "building": parameters_by_building,
        "loops": parameters_looped,
        "numpy-int": parameters_in_numpy,
    },
    "lenet/lenet5": {
        "course": lenet.LeNet5,
        "named-linear-c5": Named,
        "sequential": Chained,
        "lazy": Lazy,
        "raw-unfold-reversed": Raw,
        "pointwise-head": Pointwise,
    },
    "lenet/repaired_subsampling": {
        "course": lenet.Subsampling,
        "reshaped": Reshaped,
        "grouped-convolution": Grouped,
        "map-by-map": MapByMap,
        "channels-last": ChannelsLast,
    },
}

WRONG = {
    "lenet/conv_output_size": {
        "numpy-float": (size_of_a_float, "float_returned"),
        "constant": (size_always_28, None),
        "no-defaults": (size_without_defaults, None),
        "precedence": (size_with_precedence, None),
        "tensor": (size_as_tensor, None),
        "nothing": (size_printed, None),
        "pair": (size_of_a_pair, None),
        "no-plus-one": (size_divided_first, "plus_one_forgotten"),
        "two-mistakes": (size_one_side_and_rounded, "padding_on_one_side"),
        "not-written": (not_written, None),
    },
    "lenet/conv_parameters": {
        "slide": (parameters_of_the_slide, "depth_forgotten"),
        "one-bias": (parameters_with_one_bias, "one_bias_in_all"),
        "float": (parameters_as_float, None),
        "weights-only": (parameters_without_bias, "bias_forgotten"),
        "not-written": (not_written, None),
    },
    "lenet/lenet5": {
        "relu": (NamedRelu, "relu_for_tanh"),
        "sigmoid": (NamedSigmoid, "sigmoid_for_tanh"),
        "max-pool": (NamedMax, "max_pooling"),
        "relu-and-max-pool": (NamedReluMax, "max_pooling"),
        "padded-for-28": (Mnist, "padding_on_first"),
        "padded-raising": (MnistRaising, "padding_on_first"),
        "softmax": (ChainedSoftmax, "softmax_inside"),
        "softmax-over-batch": (ChainedSoftmaxOverTheBatch, None),
        "sigmoid-once": (ChainedSigmoidF6, None),
        "squeezed": (Squeezed, None),
        "dropout": (WithDropout, None),
        "ten-classes": (TenClasses, "classes_ignored"),
        "shared": (SharedConvolution, None),
        "nan": (NotANumber, None),
        "detached": (Detached, None),
        "numpy": (InNumpy, None),
        "in-place": (ChangesItsInput, None),
        "tuple": (WithFeatures, None),
        "raising": (Raising, None),
        "float64": (Doubled, None),
        "original": (lenet.LeNet5Original, None),
        "instance": (Named(), None),
        "not-written": (NotWritten, None),
    },
    "lenet/repaired_subsampling": {
        "as-given": (Broken, "along_the_width"),
        "still-averaged": (HalfRepaired, "averaged"),
        "still-along-width": (OtherHalfRepaired, "along_the_width"),
        "depthwise": (Depthwise, "weight_per_pixel"),
        "dense": (Dense, None),
        "squashed": (Squashed, None),
        "l2-pool": (Rms, None),
        "not-written": (NotWritten, None),
    },
}
