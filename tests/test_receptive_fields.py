"""Receptive fields against gradients: hundreds of random networks of every kind of operation, and real traps.

All weights are positive and so are the images, so nothing cancels and no ReLU is off: a pixel has a gradient exactly
where it is seen. What the ledger gives is that, or nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.costs import ledger


class Then(nn.Module):
    """A function between layers, with the layers that it uses."""

    def __init__(self, function: Callable[..., Tensor], *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.layers)


def seen_by(network: nn.Module, image: tuple[int, int, int], middle: bool = True) -> int:
    """The largest side of what one number sees, by its gradient; over the `middle` of the output, or all of it."""
    network = network.double().eval()
    for parameter in network.parameters():
        nn.init.constant_(parameter, 0.1)
    x = (0.5 + 0.5 * torch.rand(1, *image, dtype=torch.float64)).requires_grad_()
    y = network(x)
    y = y[0].reshape(-1, *y.shape[2:]) if y.dim() > 2 else y[0][:, None]
    sides = [range(max(0, n // 2 - 3), min(n, n // 2 + 4)) if middle else range(n) for n in y.shape[1:]]
    largest = 0
    for place in (
        torch.cartesian_prod(*[torch.tensor(list(side)) for side in sides]).reshape(-1, len(sides)).tolist()
    ):
        (gradient,) = torch.autograd.grad(y[(slice(None), *place)].sum(), x, retain_graph=True)
        touched = gradient[0].abs().sum(0).nonzero()
        if len(touched):
            largest = max(largest, *(touched.max(0)[0] - touched.min(0)[0] + 1).tolist())
    return largest


def field_of(network: nn.Module, image: tuple[int, int, int]) -> int | None:
    rows = [row for row in ledger(network, image).rows if row.detail != "(not run)"]
    return rows[-1].receptive_field


def conv(*sizes: int, **options: int) -> nn.Module:
    return nn.Conv2d(*sizes, **options)


def focus(x: Tensor, mix: nn.Module) -> Tensor:
    parts = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    return mix(torch.cat(parts, 1))


def attend(x: Tensor) -> Tensor:
    q = x.flatten(2)
    return ((q.mT @ q).softmax(-1) @ q.mT).mT


def with_class_token(x: Tensor, layer: nn.Module) -> Tensor:
    tokens = x.flatten(2).mT
    tokens = torch.cat([tokens.new_ones(x.shape[0], 1, tokens.shape[-1]), tokens], 1)
    return layer(tokens, tokens, tokens, need_weights=False)[0][:, 0]


def heads(x: Tensor, layer: nn.Module) -> Tensor:
    tokens = x.flatten(2).mT
    return layer(tokens, tokens, tokens)[0].mT


def windows(x: Tensor, mix: nn.Module) -> Tensor:
    """Mixes the pixels of each window of 4 x 4, and puts the windows back."""
    b, c, h, w = x.shape
    cut = x.view(b, c, h // 4, 4, w // 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(b, c, h // 4, w // 4, 16)
    return mix(cut).view(b, c, h // 4, w // 4, 4, 4).permute(0, 1, 2, 4, 3, 5).reshape(b, c, h, w)


class Skip(nn.Module):
    """The sum of two paths."""

    def __init__(self, one: nn.Module, other: nn.Module) -> None:
        super().__init__()
        self.one, self.other = one, other

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.other(x)


SMALL = (3, 16, 16)
# Name: network, image, whether there is a rule for all of it
TRAPS: dict[str, tuple[nn.Module, tuple[int, int, int], bool]] = {
    "linear, channels last": (
        Then(lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(3, 5)), SMALL, True),
    "linear, channels last, odd": (
        Then(lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(3, 5)), (3, 17, 19), True),
    "attention by hand": (Then(attend), SMALL, True),
    "attention": (
        Then(lambda x: F.scaled_dot_product_attention(*[x.flatten(2).mT] * 3).mT), SMALL, True),
    "heads of attention": (
        nn.Sequential(conv(3, 4, 4, stride=4), Then(heads, nn.MultiheadAttention(4, 2, batch_first=True))),
        SMALL, True),
    "a class token": (
        nn.Sequential(conv(3, 4, 4, stride=4), Then(with_class_token, nn.MultiheadAttention(4, 2, batch_first=True))),
        SMALL, True),
    "mixer": (Then(lambda x, f: f(x.flatten(2)), nn.Linear(256, 256)), SMALL, True),
    "unfold": (Then(lambda x, f: f(F.unfold(x, 3, padding=1).view(1, 27, 16, 16)), conv(27, 3, 1)), SMALL, True),
    "weights @ unfold": (
        Then(lambda x, f: (f.weight[None] @ F.unfold(x, 3)).view(1, 4, 14, 14), nn.Linear(27, 4, bias=False)),
        SMALL, True),
    "pixel unshuffle": (nn.Sequential(nn.PixelUnshuffle(2), conv(12, 3, 3)), SMALL, True),
    "pixel shuffle": (nn.Sequential(conv(3, 12, 3), nn.PixelShuffle(2), conv(3, 3, 3)), SMALL, True),
    "focus": (Then(focus, conv(12, 3, 1)), SMALL, True),
    "a shifted sum": (Then(lambda x: x[:, :, :-1, :-1] + x[:, :, 1:, 1:]), SMALL, True),
    "softmax over the grid": (Then(lambda x: x.flatten(2).softmax(-1)), SMALL, True),
    "variance": (Then(lambda x: x.var((2, 3))), SMALL, True),
    "mean over one side": (Then(lambda x: x.mean(3, keepdim=True)), SMALL, True),
    "group norm": (nn.Sequential(conv(3, 4, 3), nn.GroupNorm(2, 4)), SMALL, True),
    "instance norm": (nn.InstanceNorm2d(3), SMALL, True),
    "U-Net": (
        nn.Sequential(*[conv(c, 4, 3, stride=2) for c in (3, 4, 4)],
                      *[nn.ConvTranspose2d(4, 4, 2, 2) for _ in "ab"], conv(4, 4, 3)), (3, 64, 64), True),
    "U-Net with a skip": (
        Then(lambda x, down, up, end: end(torch.cat([up(down(x)), x], 1)),
             conv(3, 4, 2, stride=2), nn.ConvTranspose2d(4, 4, 2, 2), conv(7, 2, 3)), SMALL, True),
    "transposed, then 5x5": (nn.Sequential(nn.ConvTranspose2d(3, 4, 2, 2), conv(4, 4, 5)), SMALL, True),
    "paths with different jumps that end on one place": (
        nn.Sequential(Skip(nn.Sequential(conv(3, 3, 3, stride=3), conv(3, 3, 2, stride=3)), conv(3, 3, 1, stride=10)),
                      conv(3, 3, 1)), (3, 9, 9), True),
    "paths with different jumps": (
        Skip(nn.Sequential(conv(3, 3, 1, stride=2), nn.AvgPool2d(4, 3)), conv(3, 3, 1, stride=7)),
        (3, 64, 64), False),
    "paths with different jumps, averaged": (
        nn.Sequential(
            Skip(nn.Sequential(conv(3, 3, 1, stride=2), nn.AvgPool2d(4, 3)), conv(3, 3, 1, stride=7)),
            nn.AdaptiveAvgPool2d(1), conv(3, 3, 1)), (3, 64, 64), True),
    "windows on one place": (
        nn.Sequential(conv(3, 3, 5), nn.AvgPool2d(9, 2), nn.AvgPool2d(3, 1, 1), conv(3, 3, 3, padding=1)),
        (3, 14, 14), True),
    "upsampled, then 3x3": (
        nn.Sequential(conv(3, 3, 3, stride=2), nn.Upsample(scale_factor=2), conv(3, 3, 3)), (3, 33, 33), True),
    "bilinear, then 3x3": (
        nn.Sequential(conv(3, 3, 3, stride=2), nn.Upsample(scale_factor=2, mode="bilinear"), conv(3, 3, 3)),
        (3, 33, 33), True),
    "windows of 4": (
        nn.Sequential(conv(3, 3, 3, padding=1), Then(windows, nn.Linear(16, 16)), conv(3, 3, 3)), (3, 32, 32), True),
    "einsum": (
        Then(lambda x, f: torch.einsum("bchw,dc->bdhw", x, f.weight), nn.Linear(3, 5, bias=False)), SMALL, True),
    "fft": (Then(lambda x: torch.fft.fft2(x).abs()), SMALL, False),
    "grid sample": (
        Then(lambda x: F.grid_sample(x, x.new_zeros(1, 16, 16, 2), align_corners=False)), SMALL, False),
    "fractional pool": (nn.FractionalMaxPool2d(2, output_size=6), SMALL, False),
    "rolled": (Then(lambda x: x + x.roll(1, 2)), SMALL, False),
    "cumulated": (Then(lambda x: x.cumsum(2)), SMALL, False),
    "sorted": (Then(lambda x: x.sort(2)[0]), SMALL, False),
    "part of a concatenation": (
        Then(lambda x, f: torch.cat([x[..., 1:-1, 1:-1], f(x)], 1)[:, :3] * 2, conv(3, 3, 3)), SMALL, False),
    "a region that is written": (
        Then(lambda x, f: torch.zeros_like(x).index_copy(2, torch.arange(14), f(x)), conv(3, 3, 3, padding=(0, 1))),
        SMALL, False),
}  # fmt: skip


@pytest.mark.parametrize("network, image, ruled", TRAPS.values(), ids=TRAPS)
def test_a_field_is_that_of_the_gradient_or_not_given(network, image, ruled):
    field = field_of(network, image)
    if not ruled:
        assert field is None
        return
    assert field == seen_by(network.float(), image)


def test_jump_is_multiplied_by_strides_until_one_place_is_left():
    network = nn.Sequential(
        conv(3, 3, 3, stride=2), nn.AvgPool2d(3, 3), nn.AdaptiveAvgPool2d(1), nn.AvgPool2d(1, 2)
    )
    assert [row.jump for row in ledger(network, (3, 16, 16)).rows] == [2, 6, 12, 12]


def test_paths_with_different_jumps_have_none_in_common():
    network = Skip(nn.Sequential(conv(3, 3, 1, stride=2), nn.AvgPool2d(4, 3)), conv(3, 3, 1, stride=7))
    assert [row.jump for row in ledger(network, (3, 64, 64)).rows] == [2, 6, 7, None]


def test_a_whole_side_that_was_seen_stays_so():
    network = nn.Sequential(
        conv(3, 3, 3), Then(lambda x: x * x.mean((2, 3), keepdim=True)), *[conv(3, 3, 3) for _ in range(4)],
        Then(attend), Then(lambda x: x.flatten(2).cumsum(-1)),
    )  # fmt: skip
    fields = [row.receptive_field for row in ledger(network, (3, 20, 20)).rows]
    assert fields[0] == 3 and set(fields[2:]) == {20}


# ------------------------------------------------------------------------------------------- random networks


def step(draw: random.Random, channels: int) -> tuple[nn.Module, int]:
    """A random layer or function, and how many channels it makes."""
    out = draw.choice([2, 4])
    kind = draw.choice(
        "conv conv conv depthwise pool average transposed up bilinear branch skip shift slice unshuffle shuffle "
        "focus unfold last pad bicubic adaptive split flip repeat einsum gate relu".split()
    )
    k, s, d = draw.choice([1, 2, 3, 5]), draw.choice([1, 1, 2]), draw.choice([1, 1, 2])
    match kind:
        case "conv":
            return conv(channels, out, k, stride=s, dilation=d, padding=draw.choice([0, k // 2])), out
        case "depthwise":
            return conv(channels, channels, k, stride=s, groups=channels), channels
        case "pool":
            return nn.AvgPool2d(3, 2, 1), channels
        case "average":
            return nn.AvgPool2d(2, ceil_mode=True), channels
        case "transposed":
            return nn.ConvTranspose2d(
                channels, out, draw.choice([2, 3, 4]), 2, padding=draw.choice([0, 1])
            ), out
        case "up":
            return nn.Upsample(scale_factor=draw.choice([2, 3])), channels
        case "bilinear" | "bicubic":
            return nn.Upsample(scale_factor=2, mode=kind), channels
        case "branch":
            a, b = conv(channels, 2, 3, padding=1), conv(channels, 2, 5, padding=2)
            return Then(lambda x, a, b: torch.cat([a(x), b(x)], 1), a, b), 4
        case "skip":
            return Then(lambda x, a: x + a(x), conv(channels, channels, 3, padding=1)), channels
        case "shift":
            return Then(lambda x: x[:, :, 2:, :-1] + x[:, :, :-2, 1:]), channels
        case "slice":
            return Then(lambda x: x[:, :, 1::2, ::2]), channels
        case "unshuffle":
            return Then(
                lambda x: F.pixel_unshuffle(x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2], 2)
            ), (4 * channels)
        case "shuffle":
            return nn.Sequential(conv(channels, 8, 1), nn.PixelShuffle(2)), 2
        case "focus":
            cut = Then(lambda x: x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2])
            return nn.Sequential(cut, Then(focus, conv(4 * channels, out, 1))), out
        case "unfold":

            def fold(x: Tensor, f: nn.Module) -> Tensor:
                return f(F.unfold(x, 3).view(1, 9 * channels, x.shape[2] - 2, x.shape[3] - 2))

            return Then(fold, conv(9 * channels, out, 1)), out
        case "last":
            return Then(
                lambda x, f: f(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.Linear(channels, out)
            ), out
    return function_step(draw, kind, channels, out)


def function_step(draw: random.Random, kind: str, channels: int, out: int) -> tuple[nn.Module, int]:
    match kind:
        case "pad":
            return nn.ReflectionPad2d(1) if draw.random() < 0.5 else nn.ZeroPad2d((1, 2, -1, 1)), channels
        case "adaptive":

            def pool(x: Tensor) -> Tensor:
                h, w = (side // 3 for side in x.shape[2:])
                return F.adaptive_avg_pool2d(x[:, :, : 3 * h, : 3 * w], (2 * h, w))

            return Then(pool), channels
        case "split":
            return Then(lambda x: x.split(2, 1)[0] * 2), 2
        case "repeat":
            return Then(lambda x: x.repeat_interleave(2, 2)), channels
        case "einsum":
            return Then(
                lambda x, f: torch.einsum("bchw,dc->bdhw", x, f.weight), nn.Linear(channels, out)
            ), out
        case "flip":
            return Then(lambda x: x.transpose(2, 3).contiguous()), channels
        case "gate":
            return Then(lambda x, f: x * f(x).sigmoid(), conv(channels, 1, 3, padding=1)), channels
    return nn.ReLU(), channels


def random_network(seed: int) -> nn.Module:
    draw = random.Random(seed)
    channels, layers = 2, []
    for _ in range(draw.randint(2, 4)):
        layer, channels = step(draw, channels)
        layers.append(layer)
    return nn.Sequential(*layers, nn.ReLU())  # so that the last row is of the output


@pytest.mark.parametrize("block", range(8))
def test_fields_of_random_networks_are_those_of_gradients(block):
    known = 0
    for seed in range(25 * block, 25 * block + 25):
        network, image = random_network(seed), (2, 54, 54)
        try:
            field = field_of(network, image)
        except (ValueError, RuntimeError):  # the image has become too small for a layer
            continue
        if field is None:
            continue
        known += 1
        expected = seen_by(network, image)
        assert field == expected, f"seed {seed}: {network}"
    assert known > 12


@pytest.mark.parametrize("size", range(2, 14))
def test_a_window_over_the_cells_of_a_pool_sees_no_more_than_there_is(size: int) -> None:
    for cells in range(1, size + 1):
        for kernel in range(1, min(cells, 4) + 1):
            network = nn.Sequential(nn.AdaptiveAvgPool2d(cells), conv(1, 1, kernel))
            image = (1, size, size)
            assert field_of(network, image) == seen_by(network, image, middle=False), (cells, kernel)


@pytest.mark.parametrize("size, wanted", [(7, 5), (7, 12), (8, 5), (6, 11)])
def test_first_and_last_pixels_that_lie_further_out_are_no_border(size: int, wanted: int) -> None:
    for kernel in (1, 2, 3, 4):
        resized = nn.Upsample(size=wanted, mode="nearest-exact")
        network, image = nn.Sequential(resized, conv(1, 1, kernel)), (1, size, size)
        assert field_of(network, image) == seen_by(network, image, middle=False), kernel


@pytest.mark.parametrize("size, wanted", [(4, 6), (5, 7), (4, 9), (3, 8), (6, 8)])
def test_a_window_over_repeated_pixels_sees_all_of_them(size: int, wanted: int) -> None:
    for kernel in (1, 2, 3, 4):
        network, image = nn.Sequential(nn.Upsample(size=wanted), conv(1, 1, kernel)), (1, size, size)
        assert field_of(network, image) == seen_by(network, image, middle=False), kernel
