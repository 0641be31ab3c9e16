"""Answers to the assignment `efficientnet`: right ones in several styles, wrong ones as students would write them."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- round_channels


def channels_by_formula(channels: int, width: float, divisor: int = 8) -> int:
    wanted = channels * width
    rounded = max(divisor, int(wanted + divisor / 2) // divisor * divisor)
    if rounded < 0.9 * wanted:
        rounded += divisor
    return rounded


def channels_searched(channels, width, divisor=8):
    wanted, candidate = channels * width, divisor
    while candidate + divisor / 2 <= wanted:  # the next multiple is nearer, or as near
        candidate += divisor
    return candidate if candidate >= 0.9 * wanted else candidate + divisor


def channels_numpy(channels, width, divisor=8):
    multiples = np.arange(1, 2000) * divisor
    wanted = channels * width
    gaps = np.abs(multiples - wanted)
    nearest = multiples[gaps == gaps.min()].max()
    return np.where(nearest < 0.9 * wanted, nearest + divisor, nearest).astype(np.int64)[()]


def channels_floor(channels, width, divisor=8):
    wanted = channels * width
    nearest = math.floor(wanted / divisor + 0.5) * divisor
    options = [m for m in (nearest, nearest + divisor) if m >= 0.9 * wanted and m > 0]
    return options[0]


def channels_round_builtin(channels, width, divisor=8):
    wanted = channels * width
    rounded = max(divisor, divisor * round(wanted / divisor))
    return rounded + divisor if rounded < 0.9 * wanted else rounded


def channels_float(channels, width, divisor=8):
    return float(channels_by_formula(channels, width, divisor))


def channels_in_eights_only(channels, width, divisor=8):
    return channels_by_formula(channels, width)


# --------------------------------------------------------------------------- round_repeats


def repeats_negated(repeats: int, depth: float) -> int:
    return -int(-repeats * depth // 1)


def repeats_numpy(repeats, depth):
    return np.ceil(repeats * depth).astype(int)


def repeats_step_by_step(repeats, depth):
    wanted = repeats * depth
    return int(wanted) if wanted == int(wanted) else int(wanted) + 1


# --------------------------------------------------------------------------- compound_scaling, flops_growth


def scaling_list(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return [math.pow(base, phi) for base in (alpha, beta, gamma)]


def scaling_exponential(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return tuple(math.exp(phi * math.log(base)) for base in (alpha, beta, gamma))


def scaling_numpy(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return tuple(np.power([alpha, beta, gamma], float(phi)))


def scaling_swapped(phi, alpha=1.2, beta=1.1, gamma=1.15):
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    return width, depth, resolution


def scaling_dict(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return {"depth": alpha**phi, "width": beta**phi, "resolution": gamma**phi}


def scaling_rounded(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return tuple(round(base**phi, 1) for base in (alpha, beta, gamma))


def growth_product(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    return (alpha * beta**2 * gamma**2) ** phi


def growth_from_multipliers(phi, alpha=1.2, beta=1.1, gamma=1.15):
    depth, width, resolution = scaling_list(phi, alpha, beta, gamma)
    return depth * width * width * resolution * resolution


def growth_logarithm(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return np.exp(phi * (np.log(alpha) + 2 * np.log(beta) + 2 * np.log(gamma)))


def growth_linear(phi, alpha=1.2, beta=1.1, gamma=1.15):
    depth, width, resolution = scaling_list(phi, alpha, beta, gamma)
    return depth * width * resolution


def growth_fraction(phi, alpha=1.2, beta=1.1, gamma=1.15):
    return Fraction(growth_product(phi, alpha, beta, gamma))


# --------------------------------------------------------------------------- drop_connect


def drop_rand(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    if not training or drop_rate == 0.0:
        return x
    keep = 1.0 - drop_rate
    mask = torch.floor(keep + torch.rand([x.shape[0], 1, 1, 1], dtype=x.dtype))
    return x / keep * mask


def drop_bernoulli(x, drop_rate, training):
    if training:
        keep = torch.full((len(x),), 1 - drop_rate)
        return torch.einsum("n...,n->n...", x, (torch.bernoulli(keep) / keep).to(x.dtype))
    return x.clone()


def drop_as_dropout(x, drop_rate, training):
    return x * F.dropout(x.new_ones(x.shape[0], 1, 1, 1), drop_rate, training)


def drop_numpy(x, drop_rate, training):
    if not training:
        return x
    alive = np.random.default_rng().random(x.shape[0]) >= drop_rate
    result = torch.zeros_like(x)
    result[torch.from_numpy(alive)] = x[torch.from_numpy(alive)] / (1 - drop_rate)
    return result


def drop_loop(x, drop_rate, training):
    if not training:
        return x
    samples = [torch.zeros_like(s) if torch.rand(()) < drop_rate else s / (1 - drop_rate) for s in x]
    return torch.stack(samples)


def drop_elements(x, drop_rate, training):
    return F.dropout(x, drop_rate, training)


def drop_channels(x, drop_rate, training):
    return F.dropout2d(x, drop_rate, training)


def drop_without_rescaling(x, drop_rate, training):
    if not training:
        return x
    return x * (torch.rand(x.size(0), 1, 1, 1) >= drop_rate)


def drop_always(x, drop_rate, training):
    return x * F.dropout(x.new_ones(x.shape[0], 1, 1, 1), drop_rate, True)


def drop_lost(x, drop_rate, training):
    if training:
        drop_rand(x, drop_rate, training)
    return x


def drop_one_draw(x, drop_rate, training):
    if training and torch.rand(1).item() < drop_rate:
        return torch.zeros_like(x)
    return x / (1 - drop_rate) if training else x


def drop_in_place(x, drop_rate, training):
    if training:
        x *= (torch.rand(x.size(0), 1, 1, 1) >= drop_rate).to(x.dtype)
        x /= 1 - drop_rate
    return x


def drop_periodic(x, drop_rate, training):
    if not training or drop_rate == 0:
        return x
    number = torch.arange(len(x))
    kept = torch.floor((number + 1) * drop_rate) == torch.floor(number * drop_rate)
    return x * kept.view(-1, 1, 1, 1).to(x.dtype) / (1 - drop_rate)


def drop_flat(x, drop_rate, training):
    return drop_rand(x, drop_rate, training).flatten(1)


def drop_infinite(x, drop_rate, training):
    return x / (torch.rand(x.size(0), 1, 1, 1) >= drop_rate) if training else x


# --------------------------------------------------------------------------- squeeze and excitation


class GateOfLinear(nn.Module):
    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, squeezed)
        self.fc2 = nn.Linear(squeezed, channels)

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.shape
        gate = torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean(dim=(2, 3))))))
        return x * gate.view(n, c, 1, 1)


class GateOfConvolutions(nn.Module):
    def __init__(self, channels, squeezed):
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, kernel_size=1),
            nn.SiLU(inplace=True),
            nn.Conv2d(squeezed, channels, kernel_size=1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.gate(x) * x


class GateOfParameters(nn.Module):
    """Raw parameters, registered back to front; the sigmoid and SiLU by hand."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.bias_up = nn.Parameter(torch.zeros(channels))
        self.up = nn.Parameter(torch.randn(squeezed, channels))
        self.bias_down = nn.Parameter(torch.zeros(squeezed))
        self.down = nn.Parameter(torch.randn(channels, squeezed))

    def forward(self, x):
        z = x.flatten(2).mean(-1) @ self.down + self.bias_down
        z = z / (1 + torch.exp(-z))
        gate = 1 / (1 + torch.exp(-(z @ self.up + self.bias_up)))
        return torch.einsum("ncij,nc->ncij", x, gate)


class GateOfBatchMean(GateOfLinear):
    def forward(self, x):
        gate = torch.sigmoid(self.fc2(F.silu(self.fc1(x.mean(dim=(0, 2, 3))))))
        return x * gate.view(1, -1, 1, 1)


class GateWithRelu(GateOfConvolutions):
    def __init__(self, channels, squeezed):
        super().__init__(channels, squeezed)
        self.gate[2] = nn.ReLU(inplace=True)


class GateOpen(GateOfLinear):
    def forward(self, x):
        return x * self.fc2(F.silu(self.fc1(x.mean(dim=(2, 3)))))[:, :, None, None]


class GateWithNorm(GateOfConvolutions):
    def __init__(self, channels, squeezed):
        super().__init__(channels, squeezed)
        self.gate.insert(2, nn.BatchNorm2d(squeezed))


class GateOfSquaredPixels(GateOfLinear):
    def forward(self, x):
        gate = torch.sigmoid(self.fc2(F.silu(self.fc1(x.square().mean(dim=(2, 3))))))
        return x * gate[:, :, None, None]


class GateThatRaises(GateOfLinear):
    def forward(self, x):
        return x * self.fc1(x)


class GateOfNothing(GateOfLinear):
    def forward(self, x):
        super().forward(x)


class GateDetached(GateOfLinear):
    def forward(self, x):
        return x * (super().forward(x) / x).detach()


# --------------------------------------------------------------------------- MBConv


def norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class PlainBlock(nn.Module):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, stride: int = 1, expansion: int = 6
    ) -> None:
        super().__init__()
        hidden = expansion * in_channels
        if expansion != 1:
            self.conv1 = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.bn1 = self.norm(hidden)
        padding = (kernel_size - 1) // 2
        self.conv2 = nn.Conv2d(hidden, hidden, kernel_size, stride, padding, groups=hidden, bias=False)
        self.bn2 = self.norm(hidden)
        self.gate = GateOfLinear(hidden, self.squeezed(in_channels, hidden))
        self.conv3 = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.bn3 = self.norm(out_channels)
        self.expanded, self.residual = expansion != 1, stride == 1 and in_channels == out_channels

    def norm(self, channels: int) -> nn.Module:
        return norm(channels)

    def squeezed(self, in_channels: int, hidden: int) -> int:
        return max(1, in_channels // 4)

    def activation(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    def forward(self, x: Tensor) -> Tensor:
        out = self.activation(self.bn1(self.conv1(x))) if self.expanded else x
        out = self.gate(self.activation(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        return out + x if self.residual else out


class SequentialBlock(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, expansion=6):
        super().__init__()
        hidden, layers = in_channels * expansion, []
        if expansion > 1:
            layers += [nn.Conv2d(in_channels, hidden, 1, bias=False), norm(hidden), nn.SiLU(inplace=True)]
        layers += [
            nn.ZeroPad2d(kernel_size // 2),
            nn.Conv2d(hidden, hidden, kernel_size, stride, groups=hidden, bias=False),
            norm(hidden),
            nn.SiLU(inplace=True),
            GateOfConvolutions(hidden, in_channels // 4 or 1),
            nn.Conv2d(hidden, out_channels, 1, bias=False),
            norm(out_channels),
        ]
        self.layers = nn.Sequential(*layers)
        self.skip = in_channels == out_channels and stride == 1

    def forward(self, x):
        return x + self.layers(x) if self.skip else self.layers(x)


class BackToFrontBlock(nn.Module):
    """Registered from the end; 1x1 convolutions as einsum, the depthwise one functional."""

    def __init__(self, in_channels, out_channels, kernel_size=3, stride=1, expansion=6):
        super().__init__()
        hidden = in_channels * expansion
        self.stride, self.skip = stride, in_channels == out_channels and stride == 1
        self.norms = nn.ModuleList([norm(out_channels), norm(hidden)])
        self.project = nn.Parameter(torch.randn(out_channels, hidden))
        self.gate = GateOfParameters(hidden, max(in_channels // 4, 1))
        self.filters = nn.Parameter(torch.randn(hidden, 1, kernel_size, kernel_size))
        if expansion > 1:
            self.norms.append(norm(hidden))
            self.expand = nn.Parameter(torch.randn(hidden, in_channels))

    def forward(self, x):
        out = x
        if len(self.norms) == 3:
            out = F.silu(self.norms[2](torch.einsum("hc,ncij->nhij", self.expand, out)))
        half = self.filters.shape[-1] // 2
        out = F.conv2d(out, self.filters, stride=self.stride, padding=half, groups=out.shape[1])
        out = self.gate(F.silu(self.norms[1](out)))
        out = self.norms[0](torch.einsum("oh,nhij->noij", self.project, out))
        return out + x if self.skip else out


class PyTorchsNorm(PlainBlock):
    def norm(self, channels):
        return nn.BatchNorm2d(channels)


class EpsOnly(PlainBlock):
    def norm(self, channels):
        return nn.BatchNorm2d(channels, eps=1e-3)


class KerasMomentum(PlainBlock):
    def norm(self, channels):
        return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.99)


class NearlyTheEps(PlainBlock):
    def norm(self, channels):
        return nn.BatchNorm2d(channels, eps=1.2e-3, momentum=0.01)


class QuarterOfHidden(PlainBlock):
    def squeezed(self, in_channels, hidden):
        return max(1, hidden // 4)


class ActsOnlyInside(PlainBlock):
    def activation(self, x):
        return F.relu6(x)


class GateFirst(PlainBlock):
    def forward(self, x):
        out = self.activation(self.bn1(self.conv1(x))) if self.expanded else x
        out = self.activation(self.gate(self.bn2(self.conv2(out))))
        out = self.bn3(self.conv3(out))
        return out + x if self.residual else out


class Drops(PlainBlock):
    def forward(self, x):
        out = super().forward(x)
        return x + drop_rand(out - x, 0.5, self.training) if self.residual else out


class AddsTwice(PlainBlock):
    def forward(self, x):
        out = super().forward(x)
        return out + x if self.residual else out


class WithoutDefaults(PlainBlock):
    def __init__(self, in_channels, out_channels, kernel_size, stride, expansion):
        super().__init__(in_channels, out_channels, kernel_size, stride, expansion)


class BlockOfNaN(PlainBlock):
    def forward(self, x):
        return super().forward(x) * math.nan


class BlockThatRaises(PlainBlock):
    def forward(self, x):
        return self.bn3(self.conv1(x))


class BlockOfTwo(PlainBlock):
    def forward(self, x):
        return super().forward(x), x


GATES = {
    "linear layers": GateOfLinear,
    "1x1 convolutions": GateOfConvolutions,
    "raw parameters, back to front": GateOfParameters,
}
WRONG_GATES: dict[str, tuple[object, str | None]] = {
    "mean over the batch": (GateOfBatchMean, "batch_mixed"),
    "ReLU inside": (GateWithRelu, "relu_in_squeeze"),
    "no sigmoid": (GateOpen, "sigmoid_missing"),
    "a batch norm inside": (GateWithNorm, None),
    "mean of squares": (GateOfSquaredPixels, None),
    "raises": (GateThatRaises, None),
    "returns nothing": (GateOfNothing, None),
    "gate detached": (GateDetached, None),
}

CORRECT: dict[str, dict[str, object]] = {
    "efficientnet/round_channels": {
        "formula": channels_by_formula,
        "searched": channels_searched,
        "NumPy": channels_numpy,
        "floor": channels_floor,
    },
    "efficientnet/round_repeats": {
        "math.ceil": lambda repeats, depth: math.ceil(repeats * depth),
        "floor of the negative": repeats_negated,
        "NumPy": repeats_numpy,
        "step by step": repeats_step_by_step,
    },
    "efficientnet/compound_scaling": {
        "a list": scaling_list,
        "exponential": scaling_exponential,
        "NumPy": scaling_numpy,
    },
    "efficientnet/flops_growth": {
        "product": growth_product,
        "from the multipliers": growth_from_multipliers,
        "logarithm, NumPy": growth_logarithm,
        "a fraction": growth_fraction,
    },
    "efficientnet/drop_connect": {
        "floor of a random number": drop_rand,
        "bernoulli and einsum": drop_bernoulli,
        "dropout on ones": drop_as_dropout,
        "NumPy": drop_numpy,
        "sample by sample": drop_loop,
    },
    "efficientnet/squeeze_excite": GATES,
    "efficientnet/repaired_gate": GATES,
    "efficientnet/mbconv": {
        "attributes": PlainBlock,
        "one Sequential": SequentialBlock,
        "raw parameters, back to front": BackToFrontBlock,
    },
}

WRONG: dict[str, dict[str, tuple[object, str | None]]] = {
    "efficientnet/round_channels": {
        "Python's round": (channels_round_builtin, "rounded_to_even"),
        "always eights": (channels_in_eights_only, "divisor_ignored"),
        "a float": (channels_float, None),
        "a constant": (lambda channels, width, divisor=8: 32, None),
        "no divisor": (lambda channels, width: channels_by_formula(channels, width), None),
    },
    "efficientnet/round_repeats": {
        "round": (lambda repeats, depth: round(repeats * depth), "repeats_rounded"),
        "int": (lambda repeats, depth: int(repeats * depth), "repeats_rounded_down"),
        "a float": (lambda repeats, depth: float(math.ceil(repeats * depth)), None),
        "NumPy float": (lambda repeats, depth: np.ceil(repeats * depth), None),
    },
    "efficientnet/compound_scaling": {
        "width first": (scaling_swapped, "width_first"),
        "a dict": (scaling_dict, None),
        "rounded": (scaling_rounded, None),
        "nothing": (lambda phi, alpha=1.2, beta=1.1, gamma=1.15: None, None),
        "no scaling": (lambda phi, alpha=1.2, beta=1.1, gamma=1.15: (1.0, 1.0, 1.0), None),
    },
    "efficientnet/flops_growth": {
        "everything once": (growth_linear, "width_linear"),
        "two to the phi": (lambda phi, **bases: 2.0**phi, None),
        "a constant": (lambda phi, alpha=1.2, beta=1.1, gamma=1.15: 1.0, None),
    },
    "efficientnet/drop_connect": {
        "dropout": (drop_elements, "per_element"),
        "dropout of channels": (drop_channels, "per_channel"),
        "not rescaled": (drop_without_rescaling, "not_rescaled"),
        "in evaluation too": (drop_always, "active_in_evaluation"),
        "result lost": (drop_lost, "never_active"),
        "one draw for the batch": (drop_one_draw, None),
        "in place": (drop_in_place, "in_place_drop"),
        "every n-th sample": (drop_periodic, None),
        "another shape": (drop_flat, None),
        "divided by the mask": (drop_infinite, None),
        "x itself": (lambda x, drop_rate, training: x, "never_active"),
        "nothing": (lambda x, drop_rate, training: None, None),
    },
    "efficientnet/squeeze_excite": WRONG_GATES,
    "efficientnet/repaired_gate": WRONG_GATES,
    "efficientnet/mbconv": {
        "PyTorch's batch norm": (PyTorchsNorm, "default_batch_norm"),
        "momentum forgotten": (EpsOnly, "default_momentum"),
        "momentum as in Keras": (KerasMomentum, "tensor_flow_momentum"),
        "a quarter of the hidden width": (QuarterOfHidden, "squeezed_from_hidden"),
        "ReLU6": (ActsOnlyInside, "relu6_for_silu"),
        "gate before the activation": (GateFirst, "gate_before_activation"),
        "another eps": (NearlyTheEps, None),
        "drops in training": (Drops, None),
        "adds twice": (AddsTwice, None),
        "no defaults": (WithoutDefaults, None),
        "NaN": (BlockOfNaN, None),
        "raises": (BlockThatRaises, None),
        "returns two": (BlockOfTwo, None),
    },
}
