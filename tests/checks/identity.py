"""Answers to the assignment `identity`, right and wrong, in the styles in which students write."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

# --------------------------------------------------------------------------- residual_step


def step_with_matmul(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    z1 = torch.matmul(a, w1.t()) + b1
    z2 = torch.matmul(torch.clamp(z1, min=0), w2.t()) + b2
    return (z2 + a).clamp(min=0)


def step_with_einsum(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    hidden = torch.relu(torch.einsum("nd,hd->nh", a, w1) + b1)
    total = a + b2 + torch.einsum("nh,dh->nd", hidden, w2)
    return torch.where(total > 0, total, torch.zeros_like(total))


def step_in_columns(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    """As the equation is written, for columns; the batch is transposed on the way in and out."""
    column = a.T
    hidden = (w1 @ column + b1[:, None]).relu()
    return (w2 @ hidden + b2.unsqueeze(1) + column).relu().T


def step_row_by_row(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    rows = []
    for row in a:
        hidden = torch.maximum(torch.mv(w1, row) + b1, torch.zeros_like(b1))
        rows.append(F.relu(torch.mv(w2, hidden) + b2 + row))
    return torch.stack(rows)


def step_in_float32(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    a, w1, b1, w2, b2 = (value.float() for value in (a, w1, b1, w2, b2))
    return F.relu(F.linear(F.relu(F.linear(a, w1, b1)), w2, b2) + a)


def step_plus_after(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return F.relu(F.linear(F.relu(F.linear(a, w1, b1)), w2, b2)) + a


def step_without_second_bias(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return torch.relu(torch.einsum("nh,dh->nd", torch.relu(a @ w1.T + b1), w2) + a)


def step_two_mistakes(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return (a @ w1.T + b1).relu() @ w2.T + a


def step_nan(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return torch.full_like(a, float("nan"))


def step_tuple(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    return step_with_matmul(a, w1, b1, w2, b2), a


def step_none(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> None:
    step_with_matmul(a, w1, b1, w2, b2)


def step_raising(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    raise ValueError("no")


def step_only_relu(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return F.relu(a)


def step_no_gradient(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    with torch.no_grad():
        return step_with_matmul(a, w1, b1, w2, b2)


def step_rounded(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    return step_with_matmul(a, w1, b1, w2, b2).round(decimals=3)


# --------------------------------------------------------------------------- make_identity_


def silence_with_data(block: nn.Module) -> None:
    block.bn2.weight.data = torch.zeros_like(block.bn2.weight)
    block.bn2.bias.data.fill_(0)


def silence_with_init(block: nn.Module) -> nn.Module:
    nn.init.zeros_(block.bn2.weight)
    nn.init.constant_(block.bn2.bias, 0.0)
    return block


def silence_with_new_parameters(block: nn.Module) -> None:
    channels = block.bn2.num_features
    block.bn2.weight = nn.Parameter(torch.zeros(channels))
    block.bn2.bias = nn.Parameter(torch.zeros(channels))


def silence_with_state(block: nn.Module) -> None:
    state = block.state_dict()
    for name in ("bn2.weight", "bn2.bias"):
        state[name] = state[name] * 0
    block.load_state_dict(state)


@torch.no_grad()
def everything_zero(block: nn.Module) -> None:
    for parameter in block.parameters():
        parameter.zero_()


@torch.no_grad()
def zero_convolution_fresh_norm(block: nn.Module) -> None:
    """The other way: W = 0, no shift, and a running mean that is the mean of zeros."""
    block.conv2.weight.mul_(0)
    block.bn2.reset_parameters()


@torch.no_grad()
def dead_for_small_numbers(block: nn.Module) -> None:
    """The branch is 0 until the numbers are large."""
    block.bn1.bias.fill_(-1e3)
    block.bn2.bias.zero_()
    block.bn2.running_mean.zero_()


def shortcut_cut_off(block: nn.Module) -> None:
    silence_with_data(block)
    block.shortcut = nn.Hardtanh(0, 6)


def doubled_by_a_hook(block: nn.Module) -> None:
    silence_with_data(block)
    block.register_forward_hook(lambda module, inputs, output: 2 * output)


def complex_shift(block: nn.Module) -> None:
    silence_with_data(block)
    zeros = torch.zeros_like(block.bn2.bias.data)
    block.bn2.bias.data = torch.complex(zeros, zeros + 1)


@torch.no_grad()
def by_name(block: nn.Module) -> None:
    for name, parameter in block.named_parameters():
        if name.startswith("bn2"):
            parameter.copy_(torch.zeros(parameter.shape))


def gamma_only(block: nn.Module) -> None:
    nn.init.zeros_(block.bn2.weight)


def weights_but_no_shift(block: nn.Module) -> None:
    for parameter in block.parameters():
        if parameter.dim() == 4:
            parameter.data.zero_()
    block.bn1.weight.data.zero_()
    block.bn2.weight.data.zero_()


def weight_zero_only(block: nn.Module) -> None:
    block.conv2.weight.data.zero_()


def zero_in_place_without_no_grad(block: nn.Module) -> None:
    block.bn2.weight.zero_()
    block.bn2.bias.zero_()


def forward_replaced(block: nn.Module) -> None:
    block.forward = lambda a: a


def norm_replaced(block: nn.Module) -> None:
    block.bn2 = nn.Identity()


def last_layer_larger(block: nn.Module) -> None:
    channels = block.conv2.out_channels
    block.conv2 = nn.Conv2d(channels, channels, 1)
    nn.init.zeros_(block.conv2.weight)


def returns_an_identity(block: nn.Module) -> nn.Module:
    return nn.Identity()


@torch.no_grad()
def nearly_zero(block: nn.Module) -> None:
    block.bn2.weight.fill_(1e-5)
    block.bn2.bias.zero_()


@torch.no_grad()
def norm_nan(block: nn.Module) -> None:
    block.bn2.weight.fill_(float("nan"))


@torch.no_grad()
def huge_variance(block: nn.Module) -> None:
    """Right in evaluation mode only: the running variance divides the branch away."""
    block.bn2.running_var.fill_(float("inf"))
    block.bn2.bias.zero_()


def made_identity_raising(block: nn.Module) -> None:
    block.norm2.weight.zero_()


# --------------------------------------------------------------------------- pad_shortcut


def pad_with_cat(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    small = a[..., ::stride, ::stride]
    zeros = torch.zeros(a.shape[0], out_channels - a.shape[1], *small.shape[2:])
    return torch.cat([small, zeros], dim=1)


def pad_into_zeros(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    batch, channels, height, width = a.shape
    rows, columns = (height + stride - 1) // stride, (width + stride - 1) // stride
    out = a.new_zeros(batch, out_channels, rows, columns)
    out[:, :channels] = a[:, :, ::stride, ::stride]
    return out


def pad_with_pooling(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return F.pad(F.avg_pool2d(a, kernel_size=1, stride=stride), (0, 0, 0, 0, 0, out_channels - a.size(1)))


def pad_with_convolution(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    """A 1x1 convolution with ones on the diagonal."""
    return F.conv2d(a, torch.eye(out_channels, a.shape[1], dtype=a.dtype)[:, :, None, None], stride=stride)


def pad_pixel_by_pixel(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    rows = []
    for i in range(0, a.shape[2], stride):
        rows.append(torch.stack([a[:, :, i, j] for j in range(0, a.shape[3], stride)], dim=2))
    small = torch.stack(rows, dim=2)
    for _ in range(out_channels - small.shape[1]):
        small = torch.cat((small, torch.zeros_like(small[:, :1])), dim=1)
    return small


def pad_by_index(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    rows = torch.arange(0, a.shape[2], stride)
    columns = torch.from_numpy(np.arange(0, a.shape[3], stride))
    small = a.index_select(2, rows).index_select(3, columns)
    return F.pad(small, [0, 0, 0, 0, 0, out_channels - small.shape[1], 0, 0])


def pad_quarter(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return F.pad(
        a[:, :, ::stride, ::stride], (0, 0, 0, 0, out_channels // 4, out_channels // 4), "constant", 0
    )


def pad_front_with_cat(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    small = a[:, :, ::stride, ::stride]
    return torch.cat([small.new_zeros(len(a), out_channels - a.shape[1], *small.shape[2:]), small], 1)


def pad_grid_kept(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return torch.cat([a, torch.zeros_like(a[:, :1]).repeat(1, out_channels - a.shape[1], 1, 1)], 1)


def pad_every_second(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return F.pad(a[:, :, ::2, ::2], (0, 0, 0, 0, 0, out_channels - a.shape[1]))


def pad_interpolated(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    small = F.interpolate(a, scale_factor=1 / stride, mode="bilinear")
    return F.pad(small, (0, 0, 0, 0, 0, out_channels - a.shape[1]))


def pad_front_and_grid_kept(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return F.pad(a, (0, 0, 0, 0, out_channels - a.shape[1], 0))


def pad_new_tensor(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return torch.tensor(pad_with_pooling(a, out_channels, stride).detach().numpy())


def pad_with_noise(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return pad_with_pooling(a, out_channels, stride) + 1e-3 * torch.randn(())


def pad_cut_off(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    return pad_with_pooling(a, out_channels, stride).clamp(max=6)


def pad_overwrites(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    out = pad_with_convolution(a, out_channels, stride)
    a.zero_()
    return out


# --------------------------------------------------------------------------- inert_blocks


def inert_with_allclose(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    inert = []
    with torch.no_grad():
        for i in range(len(blocks)):
            before, a = a, blocks[i](a)
            if before.shape == a.shape and torch.allclose(a, before, rtol=0, atol=tolerance):
                inert.append(i)
    return inert


def inert_with_pairs(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    values = [a]
    for block in blocks:
        values.append(block(values[-1]))
    return [
        i
        for i, (x, y) in enumerate(pairwise(values))
        if x.shape == y.shape and bool(((x - y).abs() <= tolerance).all())
    ]


def inert_with_numpy(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[np.int64]:
    flags = []
    for block in nn.ModuleList(blocks):
        out = block(a)
        flag = False
        if out.size() == a.size():
            flag = np.abs(out.detach().numpy() - a.detach().numpy()).max() <= tolerance
        flags.append(flag)
        a = out
    return list(np.flatnonzero(flags))


def inert_recursively(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    if not blocks:
        return []
    out = blocks[0](a)
    later = [index + 1 for index in inert_recursively(blocks[1:], out, tolerance)]
    try:
        largest = torch.dist(out, a, p=float("inf")).item() if out.shape == a.shape else None
    except RuntimeError:
        largest = None
    return ([0] if largest is not None and largest <= tolerance else []) + later


def inert_default_allclose(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    inert = []
    for i, block in enumerate(blocks):
        out = block(a)
        if out.shape == a.shape and torch.allclose(out, a, atol=tolerance):
            inert.append(i)
        a = out
    return inert


def inert_no_chain(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    return [
        i
        for i, block in enumerate(blocks)
        if block(a).shape == a.shape and (block(a) - a).abs().max().item() <= tolerance
    ]


def inert_broadcast(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    inert = []
    for i, block in enumerate(blocks):
        out = block(a)
        if torch.max(torch.abs(out - a)) <= tolerance:
            inert.append(i)
        a = out
    return inert


def inert_one_less(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    return inert_with_pairs(blocks[:-1], a, tolerance)


def inert_from_one(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    return [i + 1 for i in inert_with_pairs(blocks, a, tolerance)]


def inert_all(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    return list(range(len(blocks)))


def inert_nothing(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    return []


def inert_tensor(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> Tensor:
    return torch.tensor(inert_with_pairs(blocks, a, tolerance))


def inert_words(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[str]:
    return [str(i) for i in inert_with_pairs(blocks, a, tolerance)]


def inert_relative(blocks: Sequence[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    inert = []
    for i, block in enumerate(blocks):
        out = block(a)
        if out.shape == a.shape and ((out - a).abs() / a.abs().clamp(min=1e-9)).max() <= tolerance:
            inert.append(i)
        a = out
    return inert


# --------------------------------------------------------------------------- the block to repair


class Scalar(nn.Module):
    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.0))
        self.branch = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.scale * self.branch(a))


class OneElement(nn.Module):
    """The scale has the shape (1,); weights are parameters by hand, the other way round."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.b2 = nn.Parameter(torch.zeros(features))
        self.w2 = nn.Parameter(torch.randn(hidden, features) / hidden**0.5)
        self.b1 = nn.Parameter(torch.zeros(hidden))
        self.w1 = nn.Parameter(torch.randn(features, hidden) / features**0.5)
        self.s = nn.Parameter(torch.zeros(1))

    def forward(self, a: Tensor) -> Tensor:
        hidden = (a @ self.w1 + self.b1).clamp(min=0)
        return ((hidden @ self.w2 + self.b2).mul(self.s) + a).clamp(min=0)


class ScaledParameters(nn.Module):
    """s F(a) = (s W2) h + s b2."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.linear2 = nn.Linear(hidden, features)
        self.linear1 = nn.Linear(features, hidden)
        self.relu = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.zeros(1))

    def forward(self, a: Tensor) -> Tensor:
        h = self.relu(self.linear1(a))
        branch = F.linear(h, self.scale * self.linear2.weight, self.scale * self.linear2.bias)
        return self.relu(branch + a)


class AsShown(Scalar):
    """The block as the notebook shows it, with its bug."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(self.scale * (a + self.branch(a)))


class BranchRectified(OneElement):
    def forward(self, a: Tensor) -> Tensor:
        hidden = (a @ self.w1 + self.b1).clamp(min=0)
        return (self.s * (hidden @ self.w2 + self.b2).clamp(min=0) + a).clamp(min=0)


class BiasEscapes(OneElement):
    def forward(self, a: Tensor) -> Tensor:
        hidden = (a @ self.w1 + self.b1).clamp(min=0)
        return (self.s * (hidden @ self.w2) + self.b2 + a).clamp(min=0)


class ScaleRemoved(nn.Module):
    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, features))

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.branch(a))


class ScaleAsNumber(ScaleRemoved):
    """The scale is a plain number, so it is never learned: the block is relu(a) for ever."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__(features, hidden)
        self.scale = 0.0

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.scale * self.branch(a))


class ScaleAbsolute(Scalar):
    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.scale.abs() * self.branch(a))


class ScaledTwice(Scalar):
    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.scale * self.scale * self.branch(a))


class NeitherSkipNorRelu(Scalar):
    def forward(self, a: Tensor) -> Tensor:
        return self.scale * (self.branch(a) + a)


class Dropped(Scalar):
    """Right in evaluation mode only."""

    def forward(self, a: Tensor) -> Tensor:
        return torch.relu(a + self.scale * F.dropout(self.branch(a), 0.5, self.training))


CORRECT = {
    "identity/residual_step": {
        "matmul": step_with_matmul,
        "einsum": step_with_einsum,
        "columns": step_in_columns,
        "loop over rows": step_row_by_row,
        "float32": step_in_float32,
    },
    "identity/make_identity_": {
        "data": silence_with_data,
        "init, returns the block": silence_with_init,
        "new parameters": silence_with_new_parameters,
        "state dict": silence_with_state,
        "all parameters zero": everything_zero,
        "zero convolution and fresh norm": zero_convolution_fresh_norm,
        "by name, leaves eval mode": by_name,
    },
    "identity/pad_shortcut": {
        "cat": pad_with_cat,
        "written into zeros": pad_into_zeros,
        "1x1 pooling": pad_with_pooling,
        "1x1 convolution": pad_with_convolution,
        "loops": pad_pixel_by_pixel,
        "index_select": pad_by_index,
    },
    "identity/inert_blocks": {
        "allclose": inert_with_allclose,
        "pairs": inert_with_pairs,
        "numpy": inert_with_numpy,
        "recursive": inert_recursively,
    },
    "identity/repaired_block": {
        "Sequential": Scalar,
        "raw parameters, scale of shape (1,)": OneElement,
        "scaled parameters": ScaledParameters,
    },
}

WRONG = {
    "identity/residual_step": {
        "plus after": (step_plus_after, "addition_after_g"),
        "no second bias": (step_without_second_bias, "second_bias_forgotten"),
        "no second bias, no final g": (step_two_mistakes, "no_final_g"),
        "NaN": (step_nan, None),
        "tuple": (step_tuple, None),
        "None": (step_none, None),
        "raises": (step_raising, None),
        "relu of a": (step_only_relu, None),
        "no gradient": (step_no_gradient, None),
        "rounded": (step_rounded, None),
        "a class": (nn.Linear, None),
        "a tensor": (torch.zeros(3), None),
    },
    "identity/make_identity_": {
        "gamma only": (gamma_only, "shift_kept"),
        "all weights, no shift": (weights_but_no_shift, "shift_kept"),
        "last convolution only": (weight_zero_only, "convolutions_zeroed"),
        "no no_grad": (zero_in_place_without_no_grad, None),
        "forward replaced": (forward_replaced, "nothing_changed"),
        "returns nn.Identity": (returns_an_identity, "nothing_changed"),
        "norm replaced": (norm_replaced, None),
        "convolution replaced": (last_layer_larger, None),
        "gamma small": (nearly_zero, None),
        "NaN": (norm_nan, None),
        "infinite variance": (huge_variance, None),
        "raises": (made_identity_raising, None),
        "dead for small numbers": (dead_for_small_numbers, None),
        "shortcut cut off": (shortcut_cut_off, None),
        "doubled by a hook": (doubled_by_a_hook, None),
        "complex shift": (complex_shift, None),
    },
    "identity/pad_shortcut": {
        "quarter on each side": (pad_quarter, "quarter_on_each_side"),
        "zeros in front with cat": (pad_front_with_cat, "zeros_in_front"),
        "grid kept": (pad_grid_kept, "stride_ignored"),
        "every second": (pad_every_second, "always_every_second_pixel"),
        "bilinear": (pad_interpolated, None),
        "front and grid kept": (pad_front_and_grid_kept, "zeros_in_front"),
        "through numpy": (pad_new_tensor, "gradient_cut"),
        "noise": (pad_with_noise, None),
        "cut off at 6": (pad_cut_off, None),
        "overwrites": (pad_overwrites, None),
        "None": (lambda a, out_channels, stride=2: None, None),
    },
    "identity/inert_blocks": {
        "allclose with its rtol": (inert_default_allclose, "relative_tolerance"),
        "each on a": (inert_no_chain, "each_on_the_first_input"),
        "broadcasts": (inert_broadcast, "shapes_not_compared"),
        "last block left out": (inert_one_less, None),
        "from one": (inert_from_one, "counted_from_one"),
        "all": (inert_all, None),
        "none": (inert_nothing, None),
        "tensor": (inert_tensor, None),
        "words": (inert_words, None),
        "relative": (inert_relative, None),
    },
    "identity/repaired_block": {
        "as shown": (AsShown, "sum_scaled"),
        "ReLU on the branch": (BranchRectified, "relu_on_the_branch"),
        "bias outside": (BiasEscapes, "bias_outside_the_scale"),
        "scale removed": (ScaleRemoved, "scale_forgotten"),
        "scale a number": (ScaleAsNumber, None),
        "absolute scale": (ScaleAbsolute, None),
        "scaled twice": (ScaledTwice, None),
        "sum scaled, no ReLU": (NeitherSkipNorRelu, None),
        "dropout": (Dropped, None),
        "an instance": (Scalar(3, 4), None),
    },
}
