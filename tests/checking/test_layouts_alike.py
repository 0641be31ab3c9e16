"""However a block keeps its weights, the same mistake earns the same points, and what is right has full marks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.parts import Reference, parts
from casestudies.sandboxed.probe import Probe

PART = "resnet/basic_block"


class Plain(nn.Module):
    """A basic block, of which others keep the kernels and the norms of the two 3x3 convolutions otherwise."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.stride, self.channels = stride, out_channels
        self.kernels(in_channels, out_channels)
        self.norms(out_channels)
        self.project = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            point = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.project = nn.Sequential(point, nn.BatchNorm2d(out_channels))

    def kernels(self, inside: int, outside: int) -> None:
        self.w1 = nn.Parameter(torch.randn(outside, inside, 3, 3))
        self.w2 = nn.Parameter(torch.randn(outside, outside, 3, 3))

    def norms(self, channels: int) -> None:
        self.n1, self.n2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def convolved(self, x: Tensor, k: int) -> Tensor:
        return F.conv2d(x, (self.w1, self.w2)[k], stride=(self.stride, 1)[k], padding=1)

    def normed(self, x: Tensor, k: int) -> Tensor:
        return (self.n1, self.n2)[k](x)

    def shortcut(self, x: Tensor) -> Tensor:
        return self.project(x)

    def last(self, y: Tensor) -> Tensor:
        return F.relu(y)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.normed(self.convolved(x, 0), 0))
        return self.last(self.normed(self.convolved(y, 1), 1) + self.shortcut(x))


class AxesOfImagesFirst(Plain):
    def kernels(self, inside: int, outside: int) -> None:
        self.w1 = nn.Parameter(torch.randn(3, 3, inside, outside))
        self.w2 = nn.Parameter(torch.randn(3, 3, outside, outside))

    def convolved(self, x: Tensor, k: int) -> Tensor:
        weight = (self.w1, self.w2)[k].permute(3, 2, 0, 1)
        return F.conv2d(x, weight, stride=(self.stride, 1)[k], padding=1)


class Taps(Plain):
    """A matrix for each place of a kernel."""

    def kernels(self, inside: int, outside: int) -> None:
        self.w1 = nn.ParameterList([torch.randn(outside, inside) for _ in range(9)])
        self.w2 = nn.ParameterList([torch.randn(outside, outside) for _ in range(9)])

    def convolved(self, x: Tensor, k: int) -> Tensor:
        step, (height, width) = (self.stride, 1)[k], x.shape[2:]
        x = F.pad(x, (1, 1, 1, 1))
        taps = [x[:, :, i : i + height : step, j : j + width : step] for i in range(3) for j in range(3)]
        weights = (self.w1, self.w2)[k]
        return sum(torch.einsum("nchw,oc->nohw", tap, w) for tap, w in zip(taps, weights, strict=True))


class OneBuffer(Plain):
    """All statistics of both norms, which are written by hand, in one buffer: the means, then the variances."""

    def norms(self, channels: int) -> None:
        self.scales, self.shifts = (
            nn.ParameterList([value.clone() for _ in range(2)])
            for value in torch.eye(2)[:, :1].expand(2, channels)
        )
        self.register_buffer("statistics", torch.eye(2)[[1, 0]][:, :1, None].expand(2, 2, channels).clone())

    def normed(self, x: Tensor, k: int) -> Tensor:
        mean, variance = self.statistics[:, k]
        if self.training:
            here = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            with torch.no_grad():
                mean.lerp_(here[0], 0.1)
                variance.lerp_(x.var((0, 2, 3)), 0.1)
            mean, variance = here
        y = (x - mean[:, None, None]) / torch.sqrt(variance + 1e-5)[:, None, None]
        return y * self.scales[k][:, None, None] + self.shifts[k][:, None, None]


class Transposed(Plain):
    """Transposed convolutions of stride 1, of which pixels are left out."""

    def kernels(self, inside: int, outside: int) -> None:
        self.w1 = nn.Parameter(torch.randn(inside, outside, 3, 3))
        self.w2 = nn.Parameter(torch.randn(outside, outside, 3, 3))

    def convolved(self, x: Tensor, k: int) -> Tensor:
        step = (self.stride, 1)[k]
        return F.conv_transpose2d(x, (self.w1, self.w2)[k], padding=1)[..., ::step, ::step]


LAYOUTS = (Plain, AxesOfImagesFirst, Taps, OneBuffer, Transposed)


def all_equal(module: nn.Module) -> bool:
    return all(bool((each == each.flatten()[0]).all()) for each in module.parameters())


MISTAKES = {  # with what they are worth where weights are kept as usual
    "no ReLU at the end": ({"last": lambda self, y: y}, 1.0),
    "a shortcut that is left out": ({"shortcut": lambda self, x: 0}, 1.0),
    "right by equal numbers alone": (
        {"shortcut": lambda self, x: self.project(x) * (1 if all_equal(self) else 1.5)},
        0.0,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_right_block_has_full_marks(layout: type[nn.Module]) -> None:
    report = check(PART, layout, seed=4)
    assert (report.state, report.points) == ("passed", report.possible)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_earns_the_same_in_any_layout(layout: type[nn.Module], mistake: str) -> None:
    methods, points = MISTAKES[mistake]
    report = check(PART, type("BasicBlock", (layout,), dict(methods)), seed=4)
    assert (report.state, report.points) == ("partial" if points else "wrong", points)


@pytest.mark.parametrize("seed", range(3))
def test_a_bias_may_be_the_last_column_of_a_weight(seed: int) -> None:
    class Columns(nn.Module):
        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.down = nn.Parameter(torch.randn(squeezed, channels + 1))
            self.up = nn.Parameter(torch.randn(channels, squeezed + 1))

        def forward(self, x: Tensor) -> Tensor:
            one = torch.ones_like(x[:, :1, 0, 0])
            hidden = F.silu(torch.cat([x.mean((2, 3)), one], 1) @ self.down.mT)
            return x * torch.sigmoid(torch.cat([hidden, one], 1) @ self.up.mT)[..., None, None]

    report = check("efficientnet/squeeze_excite", Columns, seed=seed)
    assert (report.state, report.points) == ("passed", report.possible)


class Unseen(Plain):
    """Recording is switched off in forward."""

    def forward(self, x: Tensor) -> Tensor:
        with _disable_current_modes():
            return super().forward(x)


class NothingRightUnseen(Unseen):
    def convolved(self, x: Tensor, k: int) -> Tensor:
        return super().convolved(x, k).abs()


def test_what_is_wrong_with_equal_numbers_need_not_be_seen() -> None:
    report = check(PART, NothingRightUnseen, seed=4)
    assert (report.state, report.points) == ("wrong", 0)
    assert check(PART, Unseen, seed=4).state == "passed"


@pytest.mark.parametrize("seed", range(2))
def test_no_right_block_differs_with_numbers_that_are_equal_or_nearly(seed: int) -> None:
    for part in parts("resnet").values():
        if not isinstance(part.reference, Reference):
            continue
        factory = part.reference.factory
        for index, drawn in enumerate(part.reference.drawn(seed)):
            subject = Probe(factory).handle
            (seen,) = blocks.ask_together(subject, [blocks.asking(drawn.case, seed, index)])
            assert not blocks._differs_with_equal_numbers(subject, seen, factory)


def test_nearly_equal_numbers_lie_on_one_side_of_0() -> None:
    for number in (0.3, -0.3):
        drawn = blocks._nearly(number, 0.5, torch.empty(1000), blocks.Dice(1))
        assert (drawn * number > 0).all() and len(drawn.unique()) > 900


def test_a_value_far_from_all_others_is_seen() -> None:
    others = [torch.tensor([float(k), 0.0]) for k in range(8)]
    seen = SimpleNamespace(far=torch.tensor([40.0, 0.0]), near=torch.tensor([9.0, 0.0]))
    assert blocks._far_out(seen.far, others) and not blocks._far_out(seen.near, others)


def counting(most: int) -> type[nn.Module]:
    class Counting(Plain):
        calls = 0

        def last(self, y: Tensor) -> Tensor:
            self.calls += 1
            return F.relu(y) * (1 if self.calls <= most else 2)

    return Counting


def calls_of(kind: type[nn.Module]) -> int:
    """The most calls of any block that a check makes of a right one."""
    made: list[nn.Module] = []

    class Noted(kind):  # type: ignore[misc, valid-type]
        def __init__(self, *args: int, **kwargs: int) -> None:
            super().__init__(*args, **kwargs)
            made.append(self)

    assert check(PART, Noted, seed=4).state == "passed"
    return max(each.calls for each in made)


def test_a_block_that_is_right_for_as_many_calls_as_were_asked_is_called_once_more() -> None:
    before = calls_of(counting(10**9))
    assert check(PART, counting(before), seed=4).state == "passed"
    report = check(PART, counting(before - 1), seed=4)
    assert (report.state, report.points) == ("wrong", 0) and "how often it was called" in report.summary
