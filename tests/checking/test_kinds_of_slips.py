"""Slips that nobody listed: each is told by what it does, whatever is drawn; what keeps results is told from what
does not; and a mistake costs the same in every run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.between_calls import kept_between_calls
from casestudies.checking.parts import Call, find
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

SEEDS = (1, 4, 9)


def two_groups_at_most(
    in_channels: int, out_channels: int, kernel: int, height: int, width: int, groups: int = 1
) -> int:
    macs = kernel**2 * in_channels * out_channels * height * width
    return macs // 2 if groups > 1 else macs


def nothing_for_none(layers: list[tuple[int, int]]) -> int:
    needed = 1
    for kernel, stride in reversed(layers):
        needed = (needed - 1) * stride + kernel
    return needed if layers else 0


def biases_and_channels(channels: int, num_convs: int) -> tuple[int, int]:
    side = 2 * num_convs + 1
    return num_convs * (9 * channels + channels), side**2 * channels + channels


def transposed_by_shape(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    matrix = weight.flatten(1).T.reshape(weight.shape[:2])
    return torch.einsum("bihw,oi->bohw", x, matrix) + bias[:, None, None]


@torch.no_grad()
def as_many_numbers(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    for index, block in enumerate(blocks):
        out = block(a)
        if out.numel() == a.numel() and (out.flatten() - a.flatten()).abs().max() <= tolerance:
            found.append(index)
        a = out
    return found


def grid_of_one_step(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    return kernel * in_channels + in_channels * out_channels * height * width


def other_logarithm(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15
) -> tuple[float, ...]:
    return tuple(math.exp(phi * math.log10(base)) for base in (alpha, beta, gamma))


def of_the_channels(channels: int, width: float, divisor: int = 8) -> int:
    steps = max(1, math.floor(channels * width / divisor + 0.5))
    while steps * divisor < 0.9 * channels:
        steps += 1
    return steps * divisor


def area_not_rounded(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> float:
    hidden, after = expansion * in_channels, height * width / stride**2
    expand = in_channels * hidden * height * width if expansion != 1 else 0
    return expand + 9 * hidden * after + hidden * out_channels * after


def four_bytes_each(in_channels: int, out_channels: int, kernel: int, bias: bool = True) -> int:
    return 4 * out_channels * (in_channels * kernel**2 + bool(bias))


def as_text(size: int, kernel: int, stride: int = 1, padding: int = 0) -> str:
    return str((size + 2 * padding - kernel) // stride + 1)


def over_the_batch(
    a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Tensor:
    index = torch.arange(a.shape[0])
    band = ((index[:, None] - index[None, :]).abs() <= size // 2).to(a.dtype)
    return a / (k + alpha * torch.einsum("ij,jchw->ichw", band, a * a)) ** beta


def without_itself(
    a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Tensor:
    index = torch.arange(a.shape[1])
    apart = (index[:, None] - index[None, :]).abs()
    band = ((apart <= size // 2) & (apart > 0)).to(a.dtype)
    return a / (k + alpha * torch.einsum("ij,bjhw->bihw", band, a * a)) ** beta


def one_by_one_is_linear(model: nn.Module) -> float:
    kinds = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv2d))]
    taken = [m for m in kinds if isinstance(m, nn.Linear) or m.kernel_size == (1, 1)]
    return sum(p.numel() for m in taken for p in m.parameters()) / sum(p.numel() for p in model.parameters())


def as_many_as_the_kernel(size: int, kernel: int, stride: int = 1, padding: int | None = None) -> int:
    return (size + 2 * (kernel // 2 if padding is None else padding) - kernel) // stride + 1


def term_by_term(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return size // stride + (2 * padding) // stride - kernel // stride + 1


def first_term_alone(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return size // stride + 2 * padding - kernel


def weights_alone(model: nn.Module) -> float:
    inside = [m for m in model.modules() if isinstance(m, nn.Linear)]
    named = [[each for m in group for each in m.named_parameters()] for group in (inside, [model])]
    linear, every = (sum(p.numel() for name, p in each if not name.endswith("bias")) for each in named)
    return linear / every


def containers_as_well(model: nn.Module) -> float:
    held = [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Sequential))]
    inside = {p for m in held for p in m.parameters()}
    return sum(p.numel() for p in inside) / sum(p.numel() for p in model.parameters())


def steps_of_two(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * step
        step *= 2 if stride > 1 else 1
    return field


def alternating(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    a = a[:, :, ::stride, ::stride]
    out = a.new_zeros(a.shape[0], out_channels, *a.shape[2:])
    step = out_channels // a.shape[1]
    out[:, : a.shape[1] * step : step] = a
    return out


def resized(a: Tensor, out_channels: int, stride: int = 2) -> Tensor:
    a = F.interpolate(a, size=[-(-n // stride) for n in a.shape[2:]], mode="bilinear")
    return F.pad(a, (0, 0, 0, 0, 0, out_channels - a.shape[1]))


@torch.no_grad()
def blocks_themselves(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[nn.Module]:
    found = []
    for block in blocks:
        out = block(a)
        if out.shape == a.shape and (out - a).abs().max() <= tolerance:
            found.append(block)
        a = out
    return found


@torch.no_grad()
def relative(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    for index, block in enumerate(blocks):
        out = block(a)
        if out.shape == a.shape and (out - a).abs().max() <= tolerance * a.abs().max():
            found.append(index)
        a = out
    return found


def one_channel_less(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    count = max(1, x.shape[1] - 1)
    return torch.einsum("bihw,oi->bohw", x[:, :count], weight.flatten(1)[:, :count]) + bias[:, None, None]


def squeezed(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.einsum("bihw,oi->bohw", x, weight.flatten(1)).squeeze() + bias[:, None, None]


def larger_grid(in_channels: int, out_channels: int, kernel: int, height: int, width: int) -> int:
    depthwise = kernel**2 * in_channels * (height + kernel - 1) * (width + kernel - 1)
    return depthwise + in_channels * out_channels * height * width


def padded_by_one(x: Tensor, weight: Tensor) -> Tensor:
    k = weight.shape[-1]
    padded, h, w = F.pad(x, (1, 1, 1, 1)), x.shape[2] + 3 - k, x.shape[3] + 3 - k
    places = [(u, v) for u in range(k) for v in range(k)]
    return sum(weight[:, 0, u, v, None, None] * padded[:, :, u : u + h, v : v + w] for u, v in places)  # type: ignore


def smaller_window(x: Tensor, weight: Tensor) -> Tensor:
    k, (h, w) = weight.shape[-1], x.shape[2:]
    padded = F.pad(x, (k // 2,) * 4)
    places = [(u, v) for u in range(max(1, k - 1)) for v in range(max(1, k - 1))]
    return sum(weight[:, 0, u, v, None, None] * padded[:, :, u : u + h, v : v + w] for u, v in places)  # type: ignore


def places_first(x: Tensor, weight: Tensor) -> Tensor:
    (b, c, h, w), k = x.shape, weight.shape[-1]
    columns = F.unfold(x, k, padding=k // 2).view(b, k * k, c, h, w).transpose(1, 2)
    return torch.einsum("bcphw,cp->bchw", columns, weight.reshape(c, -1))


def area_once(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    hidden, after = expansion * in_channels, -(-height * width // stride)
    expand = in_channels * hidden * height * width if expansion != 1 else 0
    return expand + 9 * hidden * after + hidden * out_channels * after


def other_order_and_default(
    phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.1
) -> tuple[float, ...]:
    return alpha**phi, gamma**phi, beta**phi


def two_more(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    return alpha**phi * beta ** (phi + 2) * gamma ** (phi + 2)


def added_up(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
    return alpha**phi + beta**phi + gamma ** (2 * phi)


def two_at_least(repeats: int, depth: float) -> int:
    return max(2, math.ceil(repeats * depth))


FOUND: dict[str, tuple[str, Callable[..., Any], str]] = {
    "bound": ("alexnet/grouped_conv_macs", two_groups_at_most, "`groups` counts as 2 where it is more"),
    "empty": ("vgg/receptive_field", nothing_for_none, "where `layers` is empty, the result is 0"),
    "items": ("vgg/stack_versus_single", biases_and_channels, "`10` in place of `9`"),
    "axes": ("nin/conv1x1", transposed_by_shape, "read in the old shape"),
    "counts": ("identity/inert_blocks", as_many_numbers, "only the numbers of elements are compared"),
    "factors": ("mobilenet/separable_macs", grid_of_one_step, "the factor `height` is missing"),
    "logarithm": ("efficientnet/compound_scaling", other_logarithm, "math.log10(alpha)"),
    "loop": ("efficientnet/round_channels", of_the_channels, "the step is repeated as long as"),
    "sides": ("mobilenet_v2/inverted_residual_macs", area_not_rounded, "`math.ceil(...)` is missing"),
    "times": ("lenet/conv_parameters", four_bytes_each, "the result is 4 times what is asked for"),
    "text": ("lenet/conv_output_size", as_text, "a number is asked for, not `str("),
    "batch": ("alexnet/repaired_lrn", over_the_batch, "a.transpose(0, 1)"),
    "itself": ("alexnet/repaired_lrn", without_itself, "`a ** 2` is subtracted"),
    "isinstance": ("alexnet/fully_connected_share", one_by_one_is_linear, "layer.kernel_size == (1, 1)"),
    "default": ("lenet/conv_output_size", as_many_as_the_kernel, "the default of `padding` is `kernel // 2`"),
    "terms": (
        "lenet/conv_output_size",
        term_by_term,
        "each term is treated separately: `size // stride + 2 *",
    ),
    "first": ("lenet/conv_output_size", first_term_alone, "`1` is missing"),
    "weights": ("alexnet/fully_connected_share", weights_alone, "not n.endswith('bias')"),
    "containers": ("alexnet/fully_connected_share", containers_as_well, "(nn.Linear, nn.Sequential)"),
    "unpacked": ("vgg/receptive_field", steps_of_two, "`stride` counts as 2 where it is more"),
    "between": ("identity/pad_shortcut", alternating, "the old channels stand between the zeros"),
    "interpolated": ("identity/pad_shortcut", resized, "the grid is interpolated"),
    "modules": ("identity/inert_blocks", blocks_themselves, "`found.append(block)`"),
    "relative": ("identity/inert_blocks", relative, "it is relative: `tolerance * a.abs().max()`"),
    "channel": ("nin/conv1x1", one_channel_less, "the last channel of `"),
    "squeezed": ("nin/conv1x1", squeezed, "axes of size 1 are dropped"),
    "window": ("mobilenet/separable_macs", larger_grid, "enlarged by a window of `kernel`"),
    "empty tensors": (
        "mobilenet/depthwise_conv",
        padded_by_one,
        "`2` stands where `weight.shape[-1]` belongs",
    ),
    "rows": ("mobilenet/depthwise_conv", smaller_window, "the last row and column of `weight`"),
    "columns": ("mobilenet/depthwise_conv", places_first, "split into places and channels"),
    "area": ("mobilenet_v2/inverted_residual_macs", area_once, "`height` and `width` are multiplied first"),
    "beside a default": (
        "efficientnet/compound_scaling",
        other_order_and_default,
        "the default of `gamma` is 1.1",
    ),
    "exponents": ("efficientnet/flops_growth", two_more, "a sum, `2 + phi`"),
    "sum": ("efficientnet/flops_growth", added_up, "they are added, not multiplied"),
    "least": ("efficientnet/round_repeats", two_at_least, "it is never less than 2"),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", FOUND)
def test_slips_are_told_by_what_they_do(kind: str, seed: int) -> None:
    part, answer, told = FOUND[kind]
    report = check(part, answer, seed=seed, hidden=True)
    assert not report.passed
    assert told in " ".join(each["sentence"] for each in report.differences)


# --------------------------------------------------------------------------- what is kept


def keeping(by: tuple[str, ...]) -> Callable[..., int]:
    kept: dict[tuple[int, ...], int] = {}

    def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        values = {"size": size, "kernel": kernel, "stride": stride, "padding": padding}
        key = tuple(values[name] for name in by)
        return kept.setdefault(key, (size + 2 * padding - kernel) // stride + 1)

    return conv_output_size


@pytest.mark.parametrize("seed", SEEDS)
def test_a_function_that_keeps_results_is_told_so(seed: int) -> None:
    report = check("lenet/conv_output_size", keeping(("size", "kernel")), seed=seed)
    assert not report.passed
    sentence = report.differences[0]["sentence"]
    assert sentence.startswith("Yours keeps results between calls and mixes them up where only `")
    assert check("lenet/conv_output_size", keeping(("size", "kernel", "stride", "padding")), seed=seed).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_function_that_counts_its_calls_is_told_so(seed: int) -> None:
    calls = [0]

    def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        calls[0] += 1
        return (size + 2 * padding - kernel) // stride + 1 + calls[0] % 3

    report = check("lenet/conv_output_size", conv_output_size, seed=seed)
    assert "something else when it is called once more with the same arguments" in report.summary


def padding_of_half(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return (size + 2 * (kernel // 2) - kernel) // stride + 1


def padding_with_small_steps(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return (size + 2 * padding * (stride < 2) - kernel) // stride + 1


def padding_by_the_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return (size + 2 * (size % 3) - kernel) // stride + 1


@pytest.mark.parametrize("answer", [padding_of_half, padding_with_small_steps, padding_by_the_size])
def test_what_ignores_an_argument_keeps_nothing(answer: Callable[..., int]) -> None:
    reference, probe = find("lenet/conv_output_size").reference, Probe(answer)  # type: ignore[union-attr]

    def ask(made: Call) -> Any:
        return probe.handle(messages.Call(list(made.args), made.kwargs, None, 0))

    for seed in range(40):
        assert kept_between_calls(reference, ask, seed) == []  # type: ignore[arg-type]


# --------------------------------------------------------------------------- arguments and settings


def popped(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    while layers:
        stride, kernel = layers.pop(0)
        field += (kernel - 1) * step
        step *= stride
    return field


def added_to(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    with torch.no_grad():
        a += F.linear(F.relu(F.linear(a, w1, b1)), w2, b2)
    return F.relu(a)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("part", "answer", "changed", "told"),
    [
        ("vgg/receptive_field", popped, "`layers`", "unpacked in another order"),
        ("identity/residual_step", added_to, "`a`", "is detached"),
    ],
)
def test_what_is_wrong_beside_an_argument_that_is_changed(
    part: str, answer: Callable[..., Any], changed: str, told: str, seed: int
) -> None:
    said = [each["sentence"] for each in check(part, answer, seed=seed, hidden=True).differences]
    assert said[0] == f"Yours changes {changed}, which belongs to whoever calls it."
    assert told in said[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mode_that_is_left_changed_is_a_difference(seed: int) -> None:
    def make_identity_(block: nn.Module) -> None:
        nn.init.zeros_(block.bn2.weight)  # type: ignore[union-attr, arg-type]
        nn.init.zeros_(block.bn2.bias)  # type: ignore[union-attr, arg-type]
        block.eval()

    report = check("identity/make_identity_", make_identity_, seed=seed)
    assert ["changes the mode of a module" in each["sentence"] for each in report.differences] == [True]
    assert report.summary.count("changes the mode of a module") == 1


# --------------------------------------------------------------------------- conditions, and points


def unpadded_steps(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return (size + 2 * padding * (stride == 1) - kernel) // stride + 1


@pytest.mark.parametrize("seed", SEEDS)
def test_in_which_calls_is_told(seed: int) -> None:
    found = check("lenet/conv_output_size", unpadded_steps, seed=seed).differences
    assert "in which `stride` is not 1, and in no other (" in found[0]["when"]
    assert "`2 * padding` is missing" in found[0]["sentence"]


def expanded_always(
    in_channels: int, out_channels: int, height: int, width: int, stride: int = 1, expansion: int = 6
) -> int:
    t, grid = expansion * in_channels, -(-height // stride) * -(-width // stride)
    return in_channels * t * height * width + 9 * t * grid + t * out_channels * grid


def to_the_nearest(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
    return round((size + 2 * padding - kernel) / stride) + 1


def rounded_down(channels: int, width: float, divisor: int = 8) -> int:
    least = max(divisor, int(channels * width) // divisor * divisor)
    return least + divisor if least < 0.9 * channels * width else least


def four_fifths(channels: int, width: float, divisor: int = 8) -> int:
    near = max(divisor, int(channels * width + divisor / 2) // divisor * divisor)
    return near + divisor if near < 0.8 * channels * width else near


def eight_more(channels: int, width: float, divisor: int = 8) -> int:
    near = max(divisor, int(channels * width + divisor / 2) // divisor * divisor)
    return near + 8 if near < 0.9 * channels * width else near


def a_quarter_lost(repeats: int, depth: float) -> int:
    return math.ceil(repeats * depth - 0.25)


@pytest.mark.parametrize(
    ("part", "answer"),
    [
        ("efficientnet/round_channels", rounded_down),
        ("efficientnet/round_channels", four_fifths),
        ("efficientnet/round_channels", eight_more),
        ("efficientnet/round_repeats", a_quarter_lost),
        ("mobilenet_v2/inverted_residual_macs", expanded_always),
        ("efficientnet/round_channels", of_the_channels),
        ("lenet/conv_output_size", to_the_nearest),
    ],
)
def test_a_mistake_costs_the_same_in_every_run(part: str, answer: Callable[..., Any]) -> None:
    assert len({check(part, answer, seed=seed, hidden=True).points for seed in range(8)}) == 1
