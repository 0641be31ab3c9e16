"""Answers to the assignment `mobilenet_v2`: right ones in several styles, wrong ones as students would write them."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- inverted_residual_macs


def macs_layer_by_layer(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    hidden = expansion * in_channels
    out_height, out_width = math.ceil(height / stride), math.ceil(width / stride)
    macs = 0
    if expansion != 1:
        macs += in_channels * hidden * height * width
    macs += 3 * 3 * hidden * out_height * out_width
    macs += hidden * out_channels * out_height * out_width
    return macs


def macs_from_meta_layers(in_channels, out_channels, height, width, stride=1, expansion=6):
    hidden = in_channels * expansion
    layers = [(in_channels, hidden, 1, 1, 1)] if expansion > 1 else []
    layers += [(hidden, hidden, 3, stride, hidden), (hidden, out_channels, 1, 1, 1)]
    total, x = 0, torch.empty(1, in_channels, height, width, device="meta")
    for c_in, c_out, kernel, step, groups in layers:
        layer = nn.Conv2d(c_in, c_out, kernel, step, kernel // 2, groups=groups, bias=False, device="meta")
        x = layer(x)
        total += layer.weight.numel() * x.shape[-2] * x.shape[-1]
    return total


def macs_numpy(in_channels, out_channels, height, width, stride=1, expansion=6):
    hidden = np.int64(in_channels) * expansion
    outside = np.prod([(side + 2 - 3) // stride + 1 for side in (height, width)], dtype=np.int64)
    return hidden * ((expansion > 1) * in_channels * height * width + (9 + out_channels) * outside)


def macs_expansion_always(in_channels, out_channels, height, width, stride=1, expansion=6):
    hidden = expansion * in_channels
    out = -(-height // stride) * -(-width // stride)
    return in_channels * hidden * height * width + 9 * hidden * out + hidden * out_channels * out


def macs_all_on_the_output(in_channels, out_channels, height, width, stride=1, expansion=6):
    height, width = -(-height // stride), -(-width // stride)
    return macs_layer_by_layer(in_channels, out_channels, height, width, 1, expansion)


def macs_as_float(in_channels, out_channels, height, width, stride=1, expansion=6):
    return float(macs_layer_by_layer(in_channels, out_channels, height, width, stride, expansion))


def macs_without_defaults(in_channels, out_channels, height, width, stride, expansion):
    return macs_layer_by_layer(in_channels, out_channels, height, width, stride, expansion)


def macs_of_a_square(in_channels, out_channels, height, width, stride=1, expansion=6):
    return macs_layer_by_layer(in_channels, out_channels, height, height, stride, expansion)


def macs_wide_from_output_and_full_grid(in_channels, out_channels, height, width, stride=1, expansion=6):
    hidden = expansion * out_channels
    first = in_channels * hidden if expansion > 1 else 0
    return (first + 9 * hidden + hidden * out_channels) * height * width


# --------------------------------------------------------------------------- the block


class PlainAttributes(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1, expansion: int = 6) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expansion = expansion
        if expansion != 1:
            self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        out = x
        if self.expansion != 1:
            out = F.relu6(self.bn1(self.conv1(out)))
        out = F.relu6(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return out + x if self.residual else out


class OneSequential(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        hidden = in_channels * expansion
        layers = []
        if expansion > 1:
            layers += [
                nn.Conv2d(in_channels, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU6(inplace=True),
            ]
        layers += [
            nn.Conv2d(hidden, hidden, 3, stride, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(inplace=True),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        ]
        self.layers = nn.Sequential(*layers)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, x):
        out = self.layers(x)
        return x + out if self.skip else out


class RawParameters(nn.Module):
    """Functional, everything registered back to front, 1x1 convolutions as einsum, ReLU6 as a clamp."""

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        hidden = in_channels * expansion
        self.stride, self.skip = stride, stride == 1 and in_channels == out_channels
        self.norms = nn.ModuleList([nn.BatchNorm2d(out_channels), nn.BatchNorm2d(hidden)])
        self.project = nn.Parameter(torch.randn(out_channels, hidden) / hidden**0.5)
        self.filters = nn.Parameter(torch.randn(hidden, 1, 3, 3) / 3)
        self.expand = None
        if expansion > 1:
            self.norms.append(nn.BatchNorm2d(hidden))
            self.expand = nn.Parameter(torch.randn(hidden, in_channels) / in_channels**0.5)

    def forward(self, x):
        out = x
        if self.expand is not None:
            out = self.norms[2](torch.einsum("hc,ncij->nhij", self.expand, out)).clamp(0, 6)
        out = F.conv2d(out, self.filters, stride=self.stride, padding=1, groups=out.shape[1])
        out = self.norms[0](torch.einsum("oh,nhij->noij", self.project, self.norms[1](out).clamp(0, 6)))
        return out + x if self.skip else out


class LinearOverPixels(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__()
        hidden = in_channels * expansion
        self.wide = nn.ModuleDict()
        if expansion != 1:
            self.wide["norm"] = nn.BatchNorm2d(hidden)
            self.wide["linear"] = nn.Linear(in_channels, hidden, bias=False)
        self.middle = nn.Sequential(
            nn.ZeroPad2d(1),
            nn.Conv2d(hidden, hidden, 3, stride, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.Hardtanh(0.0, 6.0),
        )
        self.narrow = nn.Linear(hidden, out_channels, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.factor = float(stride == 1 and in_channels == out_channels)

    def forward(self, x):
        out = x
        if self.wide:
            out = self.wide["linear"](out.movedim(1, 3)).movedim(3, 1)
            out = torch.minimum(F.relu(self.wide["norm"](out)), torch.full_like(out, 6.0))
        out = self.norm(self.narrow(self.middle(out).movedim(1, 3)).movedim(3, 1))
        return out + self.factor * x if self.factor else out


class ReluEverywhere(OneSequential):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.layers = nn.Sequential(
            *(nn.ReLU(inplace=True) if isinstance(m, nn.ReLU6) else m for m in self.layers)
        )


class NotLinear(OneSequential):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.layers.append(nn.ReLU6(inplace=True))


class AlwaysAdds(OneSequential):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.skip = True


class AddsWhenChannelsAgree(PlainAttributes):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.residual = in_channels == out_channels


class AddsWhenStrideIsOne(OneSequential):
    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.skip = stride == 1


class AsForCifar(PlainAttributes):
    """Always expands, ReLU, and a projection on the shortcut at stride 1."""

    def __init__(self, in_channels, out_channels, stride=1, expansion=6):
        super().__init__(in_channels, out_channels, stride, expansion)
        self.stride = stride
        self.shortcut = nn.Sequential()
        if stride == 1 and in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x):
        out = x
        if self.expansion != 1:
            out = F.relu6(self.bn1(self.conv1(out)))
        out = self.bn3(self.conv3(F.relu6(self.bn2(self.conv2(out)))))
        return out + self.shortcut(x) if self.stride == 1 else out


class AroundTheWideEnds(PlainAttributes):
    def forward(self, x):
        if self.expansion != 1:
            x = F.relu6(self.bn1(self.conv1(x)))
        out = F.relu6(self.bn2(self.conv2(x)))
        return self.bn3(self.conv3(out + x if self.residual else out))


class AddsInPlace(PlainAttributes):
    def forward(self, x):
        out = x
        if self.expansion != 1:
            out = F.relu6(self.bn1(self.conv1(out)))
        out = self.bn3(self.conv3(F.relu6(self.bn2(self.conv2(out)))))
        if self.residual:
            x += out
            return x
        return out


class DropsInTraining(PlainAttributes):
    def forward(self, x):
        return F.dropout(super().forward(x), 0.2, self.training)


class OnlyForExpansionSix(PlainAttributes):
    def forward(self, x):
        return super().forward(F.relu6(x) if self.expansion == 1 else x)


class ReturnsHidden(PlainAttributes):
    def forward(self, x):
        out = super().forward(x)
        return [out]


class NotANumber(PlainAttributes):
    def forward(self, x):
        return super().forward(x) / 0 * 0


class Raises(PlainAttributes):
    def forward(self, x):
        return self.bn3(self.conv3(self.conv1(self.conv2(x))))


class StopsGradient(PlainAttributes):
    def forward(self, x):
        out = super().forward(x.detach())
        return out


BLOCKS = {
    "attributes": PlainAttributes,
    "one Sequential": OneSequential,
    "raw parameters, back to front": RawParameters,
    "linear layers over pixels": LinearOverPixels,
}
WRONG_BLOCKS: dict[str, tuple[object, str | None]] = {
    "ReLU in place": (ReluEverywhere, "relu_for_relu6"),
    "one activation too many": (NotLinear, "activation_after_projection"),
    "adds at stride 2, x first": (AddsWhenChannelsAgree, "residual_for_equal_channels"),
    "adds at stride 1, x last": (AddsWhenStrideIsOne, "residual_for_stride_one"),
    "shortcut as for CIFAR-10": (AsForCifar, "projected_shortcut_at_stride_one"),
    "around the wide ends": (AroundTheWideEnds, "residual_between_wide_ends"),
    "adds in place": (AddsInPlace, "in_place_residual"),
    "always adds": (AlwaysAdds, None),
    "drops in training": (DropsInTraining, None),
    "another input for expansion 1": (OnlyForExpansionSix, None),
    "returns a list": (ReturnsHidden, None),
    "NaN": (NotANumber, None),
    "raises": (Raises, None),
    "no gradient to the input": (StopsGradient, None),
}

CORRECT: dict[str, dict[str, object]] = {
    "mobilenet_v2/inverted_residual": BLOCKS,
    "mobilenet_v2/inverted_residual_macs": {
        "layer by layer": macs_layer_by_layer,
        "from layers on the meta device": macs_from_meta_layers,
        "NumPy": macs_numpy,
    },
    "mobilenet_v2/repaired_block": BLOCKS,
}

WRONG: dict[str, dict[str, tuple[object, str | None]]] = {
    "mobilenet_v2/inverted_residual": WRONG_BLOCKS,
    "mobilenet_v2/inverted_residual_macs": {
        "expansion layer always": (macs_expansion_always, "expansion_counted_at_one"),
        "all on the output's grid": (macs_all_on_the_output, "expansion_on_output_grid"),
        "two mistakes": (macs_wide_from_output_and_full_grid, "hidden_from_output"),
        "a float": (macs_as_float, None),
        "no defaults": (macs_without_defaults, None),
        "square only": (macs_of_a_square, None),
        "a constant": (lambda *sizes, **options: 0, None),
    },
    "mobilenet_v2/repaired_block": WRONG_BLOCKS,
}
