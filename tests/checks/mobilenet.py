"""Answers to the assignment `mobilenet`: right ones in several styles, wrong ones as students would write them."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- separable_macs


def macs_step_by_step(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    depthwise = kernel * kernel * in_channels * height * width
    pointwise = in_channels * out_channels * height * width
    return depthwise + pointwise


def macs_factored(in_channels, out_channels, kernel, height, width):
    return in_channels * height * width * (kernel**2 + out_channels)


def macs_from_fraction(in_channels, out_channels, kernel, height, width):
    full = kernel**2 * in_channels * out_channels * height * width
    return int(full * (Fraction(1, out_channels) + Fraction(1, kernel**2)))


def macs_numpy(in_channels, out_channels, kernel, height, width):
    weights = np.array([kernel**2 * in_channels, in_channels * out_channels], dtype=np.int64)
    return np.sum(weights) * np.int64(height * width)


def macs_numpy_product(in_channels, out_channels, kernel, height, width):
    return np.prod([in_channels, height, width], dtype=np.int64) * (kernel**2 + out_channels)


def macs_as_float(in_channels, out_channels, kernel, height, width):
    return macs_factored(in_channels, out_channels, kernel, height, width) / 1


def macs_without_depthwise_groups(in_channels, out_channels, kernel, height, width):
    total = 0
    for c_in, c_out, k in [(in_channels, in_channels, kernel), (in_channels, out_channels, 1)]:
        total += c_in * c_out * k**2 * height * width
    return total


def macs_not_returned(in_channels, out_channels, kernel, height, width):
    _ = macs_factored(in_channels, out_channels, kernel, height, width)


def macs_of_the_input_grid(in_channels, out_channels, kernel, height, width):
    height, width = height - kernel + 1, width - kernel + 1
    return macs_factored(in_channels, out_channels, kernel, height, width)


# --------------------------------------------------------------------------- separable_ratio


def ratio_formula(out_channels: int, kernel: int) -> float:
    return 1 / out_channels + 1 / kernel**2


def ratio_by_division(out_channels, kernel):
    return macs_factored(7, out_channels, kernel, 5, 3) / (kernel**2 * 7 * out_channels * 15)


def ratio_fraction(out_channels, kernel):
    return float(Fraction(1, out_channels) + Fraction(1, kernel * kernel))


def ratio_numpy(out_channels, kernel):
    return np.reciprocal(np.array([out_channels, kernel**2], dtype=float)).sum()


def ratio_rounded(out_channels, kernel):
    return round(1 / out_channels + 1 / kernel**2, 2)


def ratio_whole_term(out_channels, kernel):
    return 1 // out_channels + 1 / kernel**2


def ratio_two_steps_inverted(out_channels, kernel):
    full, separable = kernel**2 * out_channels, kernel**2 + out_channels
    return full / separable


def ratio_with_input_channels(in_channels, out_channels, kernel):
    return 1 / in_channels + 1 / kernel**2


# --------------------------------------------------------------------------- depthwise_conv


def depthwise_over_offsets(x: Tensor, weight: Tensor) -> Tensor:
    k = weight.shape[-1]
    height, width = x.shape[-2:]
    padded = F.pad(x, [k // 2] * 4)
    out = torch.zeros_like(x)
    for i in range(k):
        for j in range(k):
            out += padded[:, :, i : i + height, j : j + width] * weight[:, 0, i, j].view(1, -1, 1, 1)
    return out


def depthwise_per_channel(x, weight):
    maps = [
        F.conv2d(x[:, c : c + 1], weight[c : c + 1], padding=weight.shape[-1] // 2) for c in range(x.shape[1])
    ]
    return torch.cat(maps, dim=1)


def depthwise_unfold(x, weight):
    n, c, height, width = x.shape
    k = weight.shape[-1]
    windows = F.unfold(x, k, padding=k // 2).view(n, c, k * k, height * width)
    return torch.einsum("ncwp,cw->ncp", windows, weight.view(c, k * k)).view(n, c, height, width)


def depthwise_windows(x, weight):
    k = weight.shape[-1]
    padded = F.pad(x, (k // 2, k // 2, k // 2, k // 2))
    return torch.einsum("nchwij,cij->nchw", padded.unfold(2, k, 1).unfold(3, k, 1), weight.squeeze(1))


def depthwise_pixel_by_pixel(x, weight):
    n, c, height, width = x.shape
    k = weight.shape[-1]
    padded = F.pad(x, [k // 2] * 4)
    out = torch.zeros(n, c, height, width)  # in float32, whatever x is
    for b, ch, i, j in product(range(n), range(c), range(height), range(width)):
        out[b, ch, i, j] = (padded[b, ch, i : i + k, j : j + k] * weight[ch, 0]).sum().item()
    return out


def depthwise_numpy(x, weight):
    array, kernel = x.detach().numpy(), weight.detach().numpy()
    k = kernel.shape[-1]
    padded = np.pad(array, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    return torch.from_numpy(np.einsum("nchwij,cij->nchw", windows, kernel[:, 0]))


def depthwise_dense_diagonal(x, weight):
    c, _, k, _ = weight.shape
    dense = torch.zeros(c, c, k, k, dtype=x.dtype)
    dense[torch.arange(c), torch.arange(c)] = weight[:, 0]
    return F.conv2d(x, dense, padding="same")


def depthwise_square_only(x, weight):
    k, side = weight.shape[-1], x.shape[-1]
    padded = F.pad(x, [k // 2] * 4)
    out = torch.zeros(x.shape[0], x.shape[1], side, side)
    for i in range(side):
        for j in range(side):
            out[:, :, i, j] = (padded[:, :, i : i + k, j : j + k] * weight[:, 0]).sum(dim=(-1, -2))
    return out


def depthwise_kernel_reversed(x, weight):
    k = weight.shape[-1]
    height, width = x.shape[-2:]
    padded = F.pad(x, [k // 2] * 4)
    return sum(
        padded[:, :, i : i + height, j : j + width] * weight[:, 0, k - 1 - i, k - 1 - j].view(-1, 1, 1)
        for i in range(k)
        for j in range(k)
    )


def depthwise_assigned(x, weight):
    k = weight.shape[-1]
    padded = F.pad(x, [k // 2] * 4)
    for i in range(k):
        for j in range(k):
            window = padded[:, :, i : i + x.shape[2], j : j + x.shape[3]]
            out = window * weight[:, 0, i, j].view(1, -1, 1, 1)
    return out


def depthwise_one_filter(x, weight):
    return torch.cat(
        [F.conv2d(x[:, c : c + 1], weight[:1], padding=weight.shape[-1] // 2) for c in range(x.shape[1])], 1
    )


def depthwise_into_x(x, weight):
    x.copy_(depthwise_unfold(x, weight))
    return x


def depthwise_nan(x, weight):
    return depthwise_unfold(x, weight) * float("nan")


# --------------------------------------------------------------------------- the block


class PlainAttributes(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(
            in_channels, in_channels, 3, stride, padding=1, groups=in_channels, bias=False
        )
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.depthwise(x)))
        return F.relu(self.bn2(self.pointwise(x)))


class OneSequential(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(
            nn.Conv2d(
                in_channels, in_channels, (3, 3), (stride, stride), (1, 1), groups=in_channels, bias=False
            ),
            nn.BatchNorm2d(in_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class RawParameters(nn.Module):
    """Functional, the statistics of the batch norms kept by hand, registered back to front."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        for name, channels in (("after", out_channels), ("between", in_channels)):
            self.register_buffer(f"{name}_var", torch.ones(channels))
            self.register_buffer(f"{name}_mean", torch.zeros(channels))
            setattr(self, f"{name}_beta", nn.Parameter(torch.zeros(channels)))
            setattr(self, f"{name}_gamma", nn.Parameter(torch.ones(channels)))
        self.mix = nn.Parameter(torch.randn(out_channels, in_channels) / in_channels**0.5)
        self.filters = nn.Parameter(torch.randn(in_channels, 1, 3, 3) / 3)

    def norm(self, name: str, x: Tensor) -> Tensor:
        mean, var = getattr(self, f"{name}_mean"), getattr(self, f"{name}_var")
        gamma, beta = getattr(self, f"{name}_gamma"), getattr(self, f"{name}_beta")
        return F.batch_norm(x, mean, var, gamma, beta, self.training)

    def forward(self, x):
        x = F.conv2d(x, self.filters, stride=self.stride, padding=1, groups=x.shape[1])
        x = self.norm("between", x).clamp(min=0)
        x = torch.einsum("oc,nchw->nohw", self.mix, x)
        return self.norm("after", x).clamp(min=0)


class LinearOverPixels(nn.Module):
    """The pointwise convolution as a linear layer at every pixel, the depthwise one channel by channel."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.norms = nn.ModuleDict({"b": nn.BatchNorm2d(out_channels), "a": nn.BatchNorm2d(in_channels)})
        self.mix = nn.Linear(in_channels, out_channels, bias=False)
        self.filters = nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False)

    def forward(self, x):
        x = self.norms["a"](self.filters(x)).relu()
        x = self.mix(x.movedim(1, -1)).movedim(-1, 1)
        return self.norms["b"](x).relu()


def conv_norm_relu(in_channels, out_channels, kernel, **options):
    layers = OrderedDict(
        conv=nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False, **options),
        norm=nn.BatchNorm2d(out_channels),
        relu=nn.ReLU(),
    )
    return nn.Sequential(layers)


class TwoHelpers(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.mix = conv_norm_relu(in_channels, out_channels, 1)
        self.filter = conv_norm_relu(in_channels, in_channels, 3, stride=stride, groups=in_channels)

    def forward(self, x):
        return self.mix(self.filter(x))


class LikeTensorFlow(nn.Module):
    """As tf.nn.separable_conv2d: nothing between the two convolutions."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(in_channels, in_channels, 3, stride, 1, groups=in_channels, bias=False),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.bn(self.conv(x)).relu()


class GroupsOfOutput(PlainAttributes):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.depthwise = nn.Conv2d(in_channels, out_channels, 3, stride, 1, groups=in_channels, bias=False)


class NormForgottenInEval(PlainAttributes):
    def forward(self, x):
        x = self.depthwise(x)
        x = F.relu(self.bn1(x) if self.training else x)
        return F.relu(self.bn2(self.pointwise(x)))


class StrideOnWrongConv(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.filter = conv_norm_relu(in_channels, in_channels, 3, groups=in_channels)
        self.mix = conv_norm_relu(in_channels, out_channels, 1, stride=stride)

    def forward(self, x):
        return self.mix(self.filter(x))


class SixInPlace(OneSequential):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self[2] = self[5] = nn.ReLU6(inplace=True)


class BiasOnPointwiseOnly(PlainAttributes):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.pointwise = nn.Conv2d(in_channels, out_channels, 1)


class OneNormForBoth(PlainAttributes):
    def forward(self, x):
        x = F.relu(self.bn1(self.depthwise(x)))
        norm = self.bn1 if self.bn1.num_features == self.bn2.num_features else self.bn2
        return F.relu(norm(self.pointwise(x)))


class ReturnsBoth(PlainAttributes):
    def forward(self, x):
        x = F.relu(self.bn1(self.depthwise(x)))
        return x, F.relu(self.bn2(self.pointwise(x)))


class NotANumber(PlainAttributes):
    def forward(self, x):
        return super().forward(x) * float("nan")


class Raises(PlainAttributes):
    def forward(self, x):
        return F.relu(self.bn2(self.depthwise(x)))


class Detached(PlainAttributes):
    def forward(self, x):
        x = F.relu(self.bn1(self.depthwise(x))).detach()
        return F.relu(self.bn2(self.pointwise(x)))


BLOCKS = {
    "attributes": PlainAttributes,
    "one Sequential": OneSequential,
    "raw parameters, einsum": RawParameters,
    "linear layer over pixels": LinearOverPixels,
    "helpers, registered back to front": TwoHelpers,
}
WRONG_BLOCKS: dict[str, tuple[object, str | None]] = {
    "nothing between, as in TensorFlow": (LikeTensorFlow, "nothing_between"),
    "stride on the 1x1": (StrideOnWrongConv, "stride_on_pointwise"),
    "ReLU6 in place": (SixInPlace, "relu6"),
    "depthwise straight to the output channels": (GroupsOfOutput, None),
    "norm skipped in evaluation mode": (NormForgottenInEval, None),
    "one norm used twice": (OneNormForBoth, None),
    "bias on one convolution": (BiasOnPointwiseOnly, "bias_on_pointwise"),
    "returns a tuple": (ReturnsBoth, None),
    "NaN": (NotANumber, None),
    "raises": (Raises, None),
    "detached in the middle": (Detached, None),
    "an instance": (PlainAttributes(4, 4), None),
}

CORRECT: dict[str, dict[str, object]] = {
    "mobilenet/separable_macs": {
        "step by step": macs_step_by_step,
        "factored": macs_factored,
        "full cost times a fraction": macs_from_fraction,
        "NumPy": macs_numpy,
        "NumPy product": macs_numpy_product,
    },
    "mobilenet/separable_ratio": {
        "formula": ratio_formula,
        "one cost over the other": ratio_by_division,
        "fractions": ratio_fraction,
        "NumPy": ratio_numpy,
    },
    "mobilenet/depthwise_conv": {
        "loop over offsets": depthwise_over_offsets,
        "channel by channel": depthwise_per_channel,
        "unfold and einsum": depthwise_unfold,
        "sliding windows": depthwise_windows,
        "dense with zeros": depthwise_dense_diagonal,
    },
    "mobilenet/separable_conv": BLOCKS,
    "mobilenet/repaired_block": BLOCKS,
}

WRONG: dict[str, dict[str, tuple[object, str | None]]] = {
    "mobilenet/separable_macs": {
        "depthwise as a full convolution": (macs_without_depthwise_groups, "groups_forgotten"),
        "a float": (macs_as_float, None),
        "computed, not returned": (macs_not_returned, None),
        "the grid shrinks": (macs_of_the_input_grid, None),
        "a constant": (lambda *sizes: 672, None),
        "a tensor": (lambda *sizes: torch.tensor(macs_factored(*sizes)), None),
    },
    "mobilenet/separable_ratio": {
        "upside down": (ratio_two_steps_inverted, "ratio_inverted"),
        "rounded": (ratio_rounded, None),
        "a term in whole numbers": (ratio_whole_term, "depthwise_term_whole"),
        "wants the input channels": (ratio_with_input_channels, None),
        "a constant": (lambda out_channels, kernel: 1 / 9, None),
    },
    "mobilenet/depthwise_conv": {
        "filter reversed by hand": (depthwise_kernel_reversed, "flipped"),
        "assigned instead of added": (depthwise_assigned, "last_offset_only"),
        "the first filter everywhere": (depthwise_one_filter, "filter_shared"),
        "square images only": (depthwise_square_only, None),
        "written into x": (depthwise_into_x, None),
        "pixel by pixel, without gradients": (depthwise_pixel_by_pixel, None),
        "NumPy, without gradients": (depthwise_numpy, None),
        "detached weights": (lambda x, weight: depthwise_over_offsets(x, weight.detach()), None),
        "NaN": (depthwise_nan, None),
        "x itself": (lambda x, weight: x, None),
        "nothing": (lambda x, weight: None, None),
    },
    "mobilenet/separable_conv": WRONG_BLOCKS,
    "mobilenet/repaired_block": WRONG_BLOCKS,
}
