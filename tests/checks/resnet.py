"""Answers to the assignment `resnet`, right and wrong, in the styles in which students write."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.networks import resnet

# --------------------------------------------------------------------------- basic blocks, right


class Separate(nn.Module):
    """Attributes one by one, with the names of torchvision; the shortcut is None where there is none."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ShortcutFirst(nn.Module):
    """Everything registered backwards, the shortcut computed first, layers in a dictionary."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.norms = nn.ModuleDict({name: nn.BatchNorm2d(out_channels) for name in ("last", "skip", "first")})
        self.last = nn.Conv2d(out_channels, out_channels, (3, 3), padding="same", bias=False)
        self.first = nn.Conv2d(in_channels, out_channels, (3, 3), (stride, stride), (1, 1), bias=False)
        self.project = stride > 1 or in_channels != out_channels
        if self.project:
            self.skip = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        else:
            del self.norms["skip"]

    def forward(self, x: Tensor) -> Tensor:
        carried = self.norms["skip"](self.skip(x)) if self.project else x
        residual = torch.clamp(self.norms["first"](self.first(x)), min=0)
        return torch.maximum(carried + self.norms["last"](self.last(residual)), torch.zeros(()))


class Functional(nn.Module):
    """Raw parameters and buffers, functional calls, a 1x1 convolution by einsum, batch norm written out."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.w1 = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3) * 0.1)
        self.w2 = nn.Parameter(torch.randn(out_channels, out_channels, 3, 3) * 0.1)
        self.add_norm("1", out_channels)
        self.add_norm("2", out_channels)
        self.projects = stride != 1 or in_channels != out_channels
        if self.projects:
            self.ws = nn.Parameter(torch.randn(out_channels, in_channels) * 0.1)
            self.add_norm("s", out_channels)

    def add_norm(self, name: str, channels: int) -> None:
        self.register_parameter("gamma" + name, nn.Parameter(torch.ones(channels)))
        self.register_parameter("beta" + name, nn.Parameter(torch.zeros(channels)))
        self.register_buffer("mean" + name, torch.zeros(channels))
        self.register_buffer("var" + name, torch.ones(channels))

    def normalise(self, x: Tensor, name: str) -> Tensor:
        mean, var = getattr(self, "mean" + name), getattr(self, "var" + name)
        gamma, beta = getattr(self, "gamma" + name), getattr(self, "beta" + name)
        if self.training:
            batch_mean, batch_var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            count = x.numel() / x.shape[1]
            with torch.no_grad():
                mean.mul_(0.9).add_(0.1 * batch_mean)
                var.mul_(0.9).add_(0.1 * batch_var * count / (count - 1))
            mean, var = batch_mean, batch_var
        x = (x - mean[:, None, None]) / torch.sqrt(var[:, None, None] + 1e-5)
        return x * gamma[:, None, None] + beta[:, None, None]

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.normalise(F.conv2d(x, self.w1, stride=self.stride, padding=1), "1"))
        out = self.normalise(F.conv2d(out, self.w2, padding=1), "2")
        if self.projects:
            sampled = x[:, :, :: self.stride, :: self.stride]
            x = self.normalise(torch.einsum("nchw,oc->nohw", sampled, self.ws), "s")
        return F.relu(out + x)


class Unfolded(Separate):
    """The convolutions as matrix products over unfolded patches."""

    @staticmethod
    def convolve(x: Tensor, conv: nn.Conv2d) -> Tensor:
        height = (x.shape[2] + 2 * conv.padding[0] - conv.kernel_size[0]) // conv.stride[0] + 1
        columns = F.unfold(x, conv.kernel_size, padding=conv.padding, stride=conv.stride)
        return (conv.weight.flatten(1) @ columns).unflatten(2, (height, -1))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.convolve(x, self.conv1)))
        out = self.bn2(self.convolve(out, self.conv2))
        if self.downsample is not None:
            x = self.downsample[1](self.convolve(x, self.downsample[0]))
        return (out + x).relu()


# --------------------------------------------------------------------------- bottlenecks, right


class NeckList(nn.Module):
    """A ModuleList walked in a loop."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        plan = [
            (in_channels, channels, 1, 1),
            (channels, channels, 3, stride),
            (channels, 4 * channels, 1, 1),
        ]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, bias=False), nn.BatchNorm2d(o)) for i, o, k, s in plan
        )
        fits = stride == 1 and in_channels == 4 * channels
        self.shortcut = nn.Sequential()
        if not fits:
            self.shortcut.append(nn.Conv2d(in_channels, 4 * channels, 1, stride, bias=False))
            self.shortcut.append(nn.BatchNorm2d(4 * channels))

    def forward(self, x: Tensor) -> Tensor:
        out = x
        for layer in self.layers[:-1]:
            out = layer(out).relu()
        return (self.layers[-1](out) + self.shortcut(x)).relu_()


class NeckLinear(nn.Module):
    """The two 1x1 convolutions are linear layers over the channels."""

    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        out_channels = channels * 4
        self.expand = nn.Linear(channels, out_channels, bias=False)
        self.reduce = nn.Linear(in_channels, channels, bias=False)
        self.middle = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.n3, self.n2, self.n1 = (nn.BatchNorm2d(c) for c in (out_channels, channels, channels))
        self.skip = None
        if stride != 1 or in_channels != out_channels:
            self.skip = nn.Sequential(
                OrderedDict(
                    conv=nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                    norm=nn.BatchNorm2d(out_channels),
                )
            )

    @staticmethod
    def pixelwise(linear: nn.Linear, x: Tensor) -> Tensor:
        return linear(x.movedim(1, -1)).movedim(-1, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.n1(self.pixelwise(self.reduce, x)))
        out = F.relu(self.n2(self.middle(out)))
        out = self.n3(self.pixelwise(self.expand, out))
        return F.relu(out + (x if self.skip is None else self.skip(x)))


# --------------------------------------------------------------------------- stages and networks, right


def stage_loop(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    blocks = []
    for index in range(num_blocks):
        blocks.append(
            Separate(in_channels if index == 0 else out_channels, out_channels, stride if index == 0 else 1)
        )
    return nn.Sequential(*blocks)


def stage_append(in_channels, out_channels, num_blocks, stride):
    stage = nn.Sequential(ShortcutFirst(in_channels, out_channels, stride))
    while len(stage) < num_blocks:
        stage.append(ShortcutFirst(out_channels, out_channels))
    return stage


def stage_named(in_channels, out_channels, num_blocks, stride):
    sizes = [in_channels] + [out_channels] * num_blocks
    return nn.Sequential(
        OrderedDict(
            (f"block{i}", Functional(sizes[i], sizes[i + 1], stride if not i else 1))
            for i in range(num_blocks)
        )
    )


class NetworkFlat(nn.Module):
    """Stages as attributes, functional pooling."""

    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        self.layer1 = stage_loop(16, 16, num_blocks, 1)
        self.layer2 = stage_loop(16, 32, num_blocks, 2)
        self.layer3 = stage_loop(32, 64, num_blocks, 2)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.conv(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class NetworkSequential(nn.Sequential):
    """A subclass of Sequential, with the head registered as convolution over the averaged grid."""

    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__(
            nn.Conv2d(3, 16, 3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            stage_append(16, 16, num_blocks, 1),
            stage_append(16, 32, num_blocks, 2),
            stage_append(32, 64, num_blocks, 2),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Conv2d(64, num_classes, 1),
            nn.Flatten(),
        )


class NetworkBackwards(nn.Module):
    """The classifier first, stages in a ModuleList built from a table."""

    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, 64))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        table = [(32, 64, 2), (16, 32, 2), (16, 16, 1)]
        self.stages = nn.ModuleList(stage_named(i, o, num_blocks, s) for i, o, s in table)
        self.norm = nn.BatchNorm2d(16)
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x)).relu()
        for stage in reversed(self.stages):
            x = stage(x)
        return F.linear(x.mean((-1, -2)), self.weight, self.bias)


CORRECT = {
    "resnet/basic_block": {
        "separate": Separate,
        "shortcut_first": ShortcutFirst,
        "functional": Functional,
        "unfolded": Unfolded,
        "reference": resnet.BasicBlock,
    },
    "resnet/bottleneck": {"list": NeckList, "linear": NeckLinear, "reference": resnet.Bottleneck},
    "resnet/residual_stage": {"loop": stage_loop, "append": stage_append, "named": stage_named},
    "resnet/cifar_resnet": {
        "flat": NetworkFlat,
        "sequential": NetworkSequential,
        "backwards": NetworkBackwards,
    },
    "resnet/repaired_block": {
        "separate": Separate,
        "shortcut_first": ShortcutFirst,
        "functional": Functional,
    },
}


# --------------------------------------------------------------------------- wrong, as students write it


class ReluFirst(Separate):
    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))
        return out + (x if self.downsample is None else self.downsample(x))


class AddsIntoX(Separate):
    def forward(self, x: Tensor) -> Tensor:
        carried = x if self.downsample is None else self.downsample(x)
        carried += self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(carried)


class FunctionalNoSkip(Functional):
    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.normalise(F.conv2d(x, self.w1, stride=self.stride, padding=1), "1"))
        return F.relu(self.normalise(F.conv2d(out, self.w2, padding=1), "2"))


class Returns:
    """Blocks whose forward ends in something other than the right tensor."""

    class Pair(Separate):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x), x

    class Nothing(Separate):
        def forward(self, x: Tensor) -> None:
            super().forward(x)

    class Nan(Separate):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float("nan")

    class Half(Separate):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).half()

    class NumPy(Separate):
        def forward(self, x: Tensor) -> object:
            return super().forward(x).detach().numpy()

    class Detached(Separate):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).detach()


class Dropped(Separate):
    """Right in evaluation mode only."""

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, self.training)


class FrozenStatistics(Separate):
    """Right in evaluation mode; never updates its running statistics."""

    def forward(self, x: Tensor) -> Tensor:
        for norm in (self.bn1, self.bn2):
            norm.momentum = 0.0
        return super().forward(x)


class StopsTheGradient(Separate):
    """Right values; no gradient through the shortcut."""

    def forward(self, x: Tensor) -> Tensor:
        carried = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + carried.detach())


class DependsOnTheBatch(Separate):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - x.mean(0) * (len(x) > 1) * 1e-3)


class OtherArguments(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, kernel: int) -> None:
        super().__init__()


class RaisesInForward(Separate):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn3(super().forward(x))


class RaisesInInit(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        raise KeyError("channels")


class ForgotSuper(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        self.conv = nn.Conv2d(in_channels, out_channels, 3)


class Untouched(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        raise NotImplementedError


class LeakyFinal(Separate):
    def forward(self, x: Tensor) -> Tensor:
        carried = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.leaky_relu(out + carried, 0.01)


class OtherEpsilon(Separate):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.bn1.eps = self.bn2.eps = 1e-3


def stage_stride_everywhere(in_channels, out_channels, num_blocks, stride):
    sizes = [in_channels] + [out_channels] * num_blocks
    return nn.Sequential(*(Separate(sizes[i], sizes[i + 1], stride) for i in range(num_blocks)))


def stage_of_wrong_blocks(in_channels, out_channels, num_blocks, stride):
    rest = [ReluFirst(out_channels, out_channels) for _ in range(num_blocks - 1)]
    return nn.Sequential(ReluFirst(in_channels, out_channels, stride), *rest)


class NetworkSoftmax(NetworkFlat):
    def forward(self, x: Tensor) -> Tensor:
        return F.softmax(super().forward(x), dim=-1)


class NetworkMax(NetworkFlat):
    def forward(self, x: Tensor) -> Tensor:
        x = self.layer3(self.layer2(self.layer1(F.relu(self.bn(self.conv(x))))))
        return self.fc(F.adaptive_max_pool2d(x, 1).flatten(1))


class NeckV1(NeckList):
    def __init__(self, in_channels: int, channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, channels, stride)
        self.layers[0][0].stride, self.layers[1][0].stride = (stride, stride), (1, 1)


WRONG = {
    "resnet/basic_block": {
        "relu_first": (ReluFirst, "relu_before_addition"),
        "adds_into_x": (AddsIntoX, "in_place_addition"),
        "functional_no_skip": (FunctionalNoSkip, "shortcut_never_used"),
        "pair": (Returns.Pair, None),
        "nothing": (Returns.Nothing, None),
        "nan": (Returns.Nan, None),
        "half": (Returns.Half, None),
        "numpy": (Returns.NumPy, None),
        "detached": (Returns.Detached, None),
        "dropped": (Dropped, None),
        "frozen_statistics": (FrozenStatistics, None),
        "stops_the_gradient": (StopsTheGradient, None),
        "depends_on_the_batch": (DependsOnTheBatch, None),
        "other_arguments": (OtherArguments, None),
        "raises_in_forward": (RaisesInForward, None),
        "raises_in_init": (RaisesInInit, None),
        "forgot_super": (ForgotSuper, None),
        "untouched": (Untouched, None),
        "leaky_final": (LeakyFinal, None),
        "other_epsilon": (OtherEpsilon, None),
        "instance": (Separate(4, 4), None),
        "function": (stage_loop, None),
        "not_a_module": (OrderedDict, None),
        "none": (None, None),
    },
    "resnet/bottleneck": {"v1": (NeckV1, "stride_on_first"), "basic": (Separate, None)},
    "resnet/residual_stage": {
        "stride_everywhere": (stage_stride_everywhere, "stride_in_every_block"),
        "wrong_blocks": (stage_of_wrong_blocks, "relu_before_addition"),
        "class": (Separate, None),
    },
    "resnet/cifar_resnet": {
        "softmax": (NetworkSoftmax, "softmax_inside"),
        "max": (NetworkMax, "max_pooled"),
    },
    "resnet/repaired_block": {"relu_first": (ReluFirst, "relu_before_addition")},
}
