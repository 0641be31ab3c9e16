"""Costs: the closed forms against torch's own layers, the ledger against torch's flop counter and gradients."""

from __future__ import annotations

import ast
import csv
import io
import json
import math
import re
import subprocess
import sys
from html.parser import HTMLParser
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from casestudies import costs
from casestudies.costs import Ledger, ledger
from casestudies.graph import record
from casestudies.networks import resnet
from casestudies.zoo import VARIANTS

# ----------------------------------------------------------------------------------------- the closed forms

# size, kernel, stride, padding, dilation, ceil_mode
GRIDS = [
    (32, 5, 1, 0, 1, False),
    (227, 11, 4, 0, 1, False),
    (224, 11, 4, 0, 1, False),
    (224, 7, 2, 3, 1, False),
    (13, 3, 2, 0, 1, False),
    (9, 3, 1, 1, 2, False),
    (1, 1, 1, 0, 1, False),
    (32, 3, 2, 0, 1, True),
    (6, 2, 3, 1, 1, True),  # the last window would start in the right padding
    (7, 2, 2, 1, 1, True),
    (10, 3, 3, 1, 2, True),
    (1, 2, 2, 0, 1, True),  # a window larger than what there is
    (3, 7, 5, 1, 1, True),
]


@pytest.mark.parametrize("size, kernel, stride, padding, dilation, ceil_mode", GRIDS)
def test_output_size_is_that_of_torch_pooling(size, kernel, stride, padding, dilation, ceil_mode):
    pooled = F.max_pool2d(torch.zeros(1, 1, size, size), kernel, stride, padding, dilation, ceil_mode)
    expected = pooled.shape[-1]
    assert costs.conv_output_size(size, kernel, stride, padding, dilation, ceil_mode) == expected


# in_channels, out_channels, kernel, groups, bias
CONVOLUTIONS = [
    (1, 6, 5, 1, True),
    (96, 256, 5, 2, True),
    (64, 64, 3, 64, False),
    (8, 16, 1, 8, True),
    (3, 4, (1, 7), 1, False),
]


@pytest.mark.parametrize("in_channels, out_channels, kernel, groups, bias", CONVOLUTIONS)
def test_convolution_parameters_are_those_of_the_layer(in_channels, out_channels, kernel, groups, bias):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)
    expected = sum(parameter.numel() for parameter in layer.parameters())
    assert costs.conv_parameters(in_channels, out_channels, kernel, groups, bias) == expected


@pytest.mark.parametrize("in_channels, out_channels, kernel, groups, bias", CONVOLUTIONS)
def test_convolution_macs_are_half_of_torchs_flops(in_channels, out_channels, kernel, groups, bias):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)
    flops, output = flops_of(layer, (in_channels, 9, 11))
    assert 2 * costs.conv2d_macs(layer, *output.shape[-2:]) == flops


@pytest.mark.parametrize("in_channels, out_channels, kernel, groups, bias", CONVOLUTIONS)
def test_layer_and_numbers_give_the_same_parameters(in_channels, out_channels, kernel, groups, bias):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, bias=bias)
    numbers = costs.conv_parameters(in_channels, out_channels, kernel, groups, bias)
    assert costs.conv2d_parameters(layer) == numbers


def test_linear_costs_are_those_of_the_layer():
    layer = nn.Linear(120, 84)
    flops, _ = flops_of(layer, (120,))
    counted = costs.linear_parameters(120, 84), 2 * costs.linear_macs(120, 84)
    assert counted == (sum(parameter.numel() for parameter in layer.parameters()), flops)


# call, what its error says
BAD_NUMBERS = [
    (lambda: costs.conv_output_size(1, 3, 2, ceil_mode=True), "size must be at least 2"),
    (lambda: costs.conv_output_size(4, 5), r"a window of 5 does not fit into 4 \+ 2 x 0 pixels"),
    (lambda: costs.conv_output_size(0, 1), "size is 0; expected an integer of at least 1"),
    (lambda: costs.conv_output_size(8, 3, stride=0), "stride is 0"),
    (lambda: costs.conv_output_size(8, 3, padding=-1), "padding is -1; expected an integer of at least 0"),
    (
        lambda: costs.conv_parameters(6, 8, 3, groups=4),
        "groups is 4 and in_channels is 6; groups must divide",
    ),
    (lambda: costs.conv_macs(8, 6, 3, 4, 4, groups=4), "groups is 4 and out_channels is 6"),
]


@pytest.mark.parametrize("call, message", BAD_NUMBERS)
def test_bad_numbers_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------------------- the ledger counts everything


def flops_of(network: nn.Module, image: tuple[int, ...]) -> tuple[int, Tensor]:
    """What torch counts in evaluation, and the output."""
    with FlopCounterMode(display=False) as counter:
        output = network.eval()(torch.zeros(1, *image))
    return counter.get_total_flops(), output


class Functional(nn.Module):
    """Weights of its own; layers as functions and as matrix products."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.bias = nn.Parameter(torch.randn(4))
        self.mix = nn.Parameter(torch.randn(5, 4, 1, 1))
        self.matrix = nn.Parameter(torch.randn(5 * 64, 7))
        self.last = nn.Parameter(torch.randn(7, 2))
        self.offset = torch.zeros(3, 2)  # neither a parameter nor a buffer

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x, self.kernel, self.bias, padding=1)
        x = (self.mix[:, :, 0, 0] @ x.flatten(2)).relu()  # a 1x1 convolution
        x = x.flatten(1) @ self.matrix
        return torch.addmm(self.offset[0], x, self.last)


class Attention(nn.Module):
    """Products of two tensors that both come from the image."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 4, stride=4)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)  # (1, 4, 6)
        return torch.einsum("bij,bjk->bik", (tokens @ tokens.mT).softmax(-1), tokens)


class Masked(nn.Module):
    """A weight that is computed from a parameter before it meets the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.register_buffer("mask", torch.ones(4, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask)


def branches() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, groups=1, dilation=2),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, 2, groups=4, padding=1),
        nn.ConvTranspose2d(16, 4, 3, stride=2, groups=2),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True),
        nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 5),
    )


NETWORKS = {
    "functions and products": (Functional, (3, 8, 8)),
    "attention": (Attention, (3, 8, 8)),
    "a masked weight": (Masked, (3, 8, 8)),
    "groups, dilation, transposed": (branches, (3, 16, 16)),
    "linear on every pixel": (lambda: nn.Sequential(nn.Flatten(2), nn.Linear(64, 5)), (3, 8, 8)),
    "basic blocks": (lambda: resnet.cifar_resnet(8), (3, 32, 32)),
}


class ChannelGate(nn.Module):
    """A convolution along the channels, as in ECA."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(x.mean((2, 3))[:, None]).transpose(1, 2)[..., None]


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.up = nn.Conv3d(1, 2, 3), nn.ConvTranspose3d(2, 4, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.up(self.conv(x[:, None]))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.Module]) -> None:
        super().__init__()
        self.cell = kind(3, 8)

    def forward(self, x: Tensor) -> Tensor:
        found = self.cell(x.mean((2, 3)))
        return found[0] if isinstance(found, tuple) else found


class Position(nn.Module):
    """A product that does not depend on the image."""

    def __init__(self, held: str) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, bias=False)
        if held == "buffer":
            self.register_buffer("tokens", torch.ones(8, 4))
        elif held == "parameter":
            self.tokens = nn.Parameter(torch.ones(8, 4))
        else:
            self.tokens = torch.ones(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2) @ self.linear(self.tokens).repeat(8, 1)


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.embed = nn.Conv2d(3, 4, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0]


OTHERS = {
    "1-d": (ChannelGate, (3, 8, 8)),
    "3-d and transposed": (Volume, (3, 8, 8)),
    "LSTM cell": (lambda: Recurrent(nn.LSTMCell), (3, 8, 8)),
    "GRU cell": (lambda: Recurrent(nn.GRUCell), (3, 8, 8)),
    "RNN cell": (lambda: Recurrent(nn.RNNCell), (3, 8, 8)),
    "product of a buffer": (lambda: Position("buffer"), (3, 8, 8)),
    "product of a parameter": (lambda: Position("parameter"), (3, 8, 8)),
    "product of a constant": (lambda: Position("neither"), (3, 8, 8)),
    "heads of attention": (Heads, (3, 8, 8)),
}
each_network = pytest.mark.parametrize("make, image", NETWORKS.values(), ids=NETWORKS)


EVERY = NETWORKS | OTHERS


@pytest.mark.parametrize("make, image", EVERY.values(), ids=EVERY)
def test_macs_are_half_of_torchs_flops(make, image):
    flops, _ = flops_of(make(), image)
    assert 2 * ledger(make(), image).macs == flops > 0


@pytest.mark.parametrize("make, image", EVERY.values(), ids=EVERY)
def test_parameters_are_all_there(make, image):
    network = make()
    expected = sum(parameter.numel() for parameter in network.parameters())
    assert ledger(network, image).parameters == expected


@each_network
def test_last_row_has_the_shape_of_the_output(make, image):
    network = make().eval()
    assert ledger(network, image).rows[-1].output == network(torch.zeros(1, *image)).shape[1:]


@each_network
def test_table_csv_and_dict_have_the_same_totals(make, image):
    table = ledger(make(), image)
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    plain = json.loads(json.dumps(table.to_dict()))
    for name in ("parameters", "macs", "activation_memory"):
        assert sum(int(row[name]) for row in rows) == plain[name] == getattr(table, name)


def rows_of(network: nn.Module, image: tuple[int, int, int]) -> dict[str, costs.Row]:
    return {row.layer: row for row in ledger(network, image).rows}


def test_functions_outside_layers_have_rows_of_their_own():
    kinds = [row.kind for row in ledger(resnet.BasicBlock(4, 4), (4, 8, 8)).rows]
    expected = ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "add", "relu"]
    assert kinds == expected


def test_a_layer_that_is_used_twice_is_paid_for_once():
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    rows = ledger(nn.Sequential(layer, layer), (3, 8, 8)).rows
    assert [(row.parameters, row.macs) for row in rows] == [(81, 81 * 64), (0, 81 * 64)]


def test_parameters_that_never_run_have_a_row():
    class TwoHeads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Conv2d(3, 2, 1), nn.Linear(5, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    row = rows_of(TwoHeads(), (3, 4, 4))["unused"]
    assert (row.detail, row.parameters, row.macs) == ("(not run)", 5 * 7 + 7, 0)


def test_training_mode_runs_what_only_training_runs():
    class Auxiliary(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if self.training else x

    network = nn.Sequential(Auxiliary(3, 3, 1))
    assert [ledger(network, (3, 2, 2), training=mode).macs for mode in (True, False)] == [36, 0]


# layer, the numbers that it writes for an image of 3 x 8 x 8
ACTIVATIONS = [
    (nn.Conv2d(3, 4, 3), 4 * 6 * 6),
    (nn.ReLU(), 3 * 8 * 8),
    (nn.ReLU(inplace=True), 0),
    (nn.Dropout(0.5), 0),
    (nn.Flatten(), 0),
    (nn.LocalResponseNorm(5), 3 * 8 * 8),
    (nn.BatchNorm2d(3), 3 * 8 * 8),
    (nn.Softmax(dim=1), 3 * 8 * 8),
]


@pytest.mark.parametrize("layer, numbers", ACTIVATIONS, ids=lambda value: str(value)[:24])
def test_activations_are_the_numbers_written(layer, numbers):
    (row,) = ledger(nn.Sequential(layer), (3, 8, 8)).rows
    assert (row.activations, row.activation_memory) == (numbers, 4 * numbers)


@pytest.mark.parametrize("layer, _", ACTIVATIONS, ids=lambda value: str(value)[:24])
def test_layers_other_than_convolutions_and_products_have_no_macs(layer, _):
    (row,) = ledger(nn.Sequential(layer), (3, 8, 8)).rows
    assert bool(row.macs) == isinstance(layer, nn.Conv2d)


# ------------------------------------------------------------------------------------- the receptive field


class Strided(nn.Module):
    """A residual block with the shortcut of option A, on a trunk that has already strided."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 2, 5, stride=2), nn.AvgPool2d(2))
        self.block = resnet.BasicBlock(2, 4, stride=2, option="A")
        self.last = nn.Conv2d(4, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.block(self.trunk(x)))


class Branches(nn.Module):
    """The widest of concatenated branches counts."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 5, padding=2, dilation=1)
        self.last = nn.Conv2d(2, 1, 3, dilation=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.cat([self.narrow(x), self.wide(x)], dim=1))


FIELDS = {
    "two 3x3": (nn.Sequential(nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)), 21),
    "stride and pool": (nn.Sequential(nn.Conv2d(1, 1, 3, 2), nn.AvgPool2d(3, 2), nn.Conv2d(1, 1, 3)), 63),
    "dilation": (nn.Sequential(nn.Conv2d(1, 1, 3, dilation=3), nn.Conv2d(1, 1, 3)), 31),
    "branches": (Branches(), 31),
    "option A": (Strided(), 119),
    "residual stages": (nn.Sequential(nn.Conv2d(1, 16, 1), resnet.cifar_resnet(8).stages), 127),
}


@pytest.mark.parametrize("network, side", FIELDS.values(), ids=FIELDS)
def test_receptive_field_is_where_the_gradient_of_one_pixel_is_not_zero(network, side):
    for parameter in network.parameters():  # all positive: nothing cancels and no ReLU is off
        nn.init.constant_(parameter, 0.5)
    x = torch.ones(1, 1, side, side, requires_grad=True)
    y = network.eval()(x)
    y[..., y.shape[-2] // 2, y.shape[-1] // 2].sum().backward()
    touched = x.grad[0, 0].nonzero()
    seen = (touched.max() - touched.min() + 1).item()
    assert ledger(network, (1, side, side)).rows[-1].receptive_field == seen < side


def test_a_linear_layer_sees_the_whole_grid():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 36, 10))
    assert ledger(network, (1, 8, 8)).rows[-1].receptive_field == 8


def test_a_product_at_every_pixel_sees_as_much_as_before():
    rows = ledger(Functional(), (3, 8, 8)).rows
    assert [(row.kind, row.receptive_field) for row in rows if row.macs][:2] == [
        ("convolution", 3),
        ("mm", 3),
    ]


def test_depth_is_the_longest_path():
    assert ledger(resnet.cifar_resnet(20, option="B"), (3, 32, 32)).depth == 20


def test_where_a_window_runs_along_channels_after_the_whole_grid_was_seen_the_field_stays():
    assert ledger(ChannelGate(), (3, 8, 8)).rows[-1].receptive_field == 8


def test_where_a_window_runs_along_pixels_in_a_row_the_field_is_left_blank():
    network = nn.Sequential(nn.Flatten(2), nn.Conv1d(3, 4, 3))
    assert [row.receptive_field for row in ledger(network, (3, 8, 8)).rows] == [1, None]


def test_products_with_a_vector_count_and_a_note_says_that_torchs_counter_leaves_them_out():
    class Score(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vector = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)) @ self.vector

    table = ledger(Score(), (3, 8, 8))
    assert table.macs == 3
    assert str(table).endswith("torch's flop counter leaves out products with a vector: 3 MACs of mv here")


def test_a_note_names_layers_of_which_the_network_knows_nothing():
    class Listed(nn.Module):
        def __init__(self, container: Any) -> None:
            super().__init__()
            self.layers = container([nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)])
            self.act, self.blur = nn.ReLU(), torch.ones(8, 1, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.layers:
                x = layer(x)
            return F.conv2d(self.act(torch.ones(8, 1, 1)) * x, self.blur, groups=8)

    listed, registered = (ledger(Listed(container), (3, 9, 9)) for container in (list, nn.ModuleList))
    assert registered.notes == () and listed.macs == registered.macs
    [note] = listed.notes
    assert (
        f"Conv2d has {registered.parameters} numbers that are no parameters" in note and "ModuleList" in note
    )


ATTENTION = "torch's flop counter leaves out the processor's kernel for attention: "
ONE_KERNEL = "torch's flop counter sees nothing of {} where torch runs it as one kernel: "


class Tokens(nn.Module):
    """A layer at work on the pixels of an image, one token each."""

    def __init__(self, layer: nn.Module, run) -> None:
        super().__init__()
        self.layer, self.run = layer, run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(self.layer, x.flatten(2).mT)


# layer, what it does with the tokens, in training, what the notes say without their figures
UNSEEN = [
    (nn.Identity(), lambda m, q: F.scaled_dot_product_attention(*[q[:, None].contiguous()] * 3), True, [ATTENTION]),
    (nn.LSTM(4, 4, batch_first=True), lambda m, q: m(q)[0], True, [ONE_KERNEL.format("LSTM")]),
    (nn.MultiheadAttention(4, 2, batch_first=True), lambda m, q: m(q, q, q)[0], False,
     [ONE_KERNEL.format("MultiheadAttention")]),
    (nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), lambda m, q: m(q), False,
     [ATTENTION, ONE_KERNEL.format("TransformerEncoderLayer")]),
    (nn.MultiheadAttention(4, 2, batch_first=True), lambda m, q: m(q, q, q)[0], True, []),
    (nn.GRU(4, 4, batch_first=True), lambda m, q: m(q)[0], False, []),
]  # fmt: skip


@pytest.mark.parametrize("layer, run, training, expected", UNSEEN)
def test_where_torchs_counter_sees_less_a_note_says_by_how_much(layer, run, training, expected):
    network = Tokens(layer, run).train(training)
    table = ledger(network, (4, 3, 3), training=training)
    noted = dict(note.removesuffix(" MACs here").rsplit(": ", 1) for note in table.notes)
    assert [f"{text}: " for text in noted] == expected
    with FlopCounterMode(display=False) as counter, torch.set_grad_enabled(training):
        network(torch.rand(1, 4, 3, 3))
    # The kernel of a layer contains that of attention.
    unseen = max([int(macs.replace(",", "")) for macs in noted.values()], default=0)
    assert 2 * (table.macs - unseen) == counter.get_total_flops()


def test_training_on_a_grid_of_one_pixel_gives_the_figures_of_one_image():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2)
    )
    trained, evaluated = (ledger(network, (3, 8, 8), training=mode) for mode in (True, False))
    assert trained == evaluated and trained.macs == 3 * 4 * 64 + 4 * 2


def test_sizes_of_numpy_are_sizes():
    numpy = pytest.importorskip("numpy")
    network = nn.Conv2d(3, 4, 3)
    for image in (tuple(numpy.array([3, 8, 8])), numpy.array([3, 8, 8]), torch.Size([3, 8, 8]), [3, 8, 8]):
        assert ledger(network, image) == ledger(network, (3, 8, 8))


def test_data_parallel_costs_what_it_wraps():
    network = resnet.cifar_resnet(8)
    assert ledger(nn.DataParallel(network), (3, 32, 32)) == ledger(network, (3, 32, 32))


# -------------------------------------------------------------- videos, signals, words, and several inputs


class Both(nn.Module):
    """Features of two images, and how they go together."""

    def __init__(self) -> None:
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(8, 2, 3)

    def forward(self, image1: Tensor, image2: Tensor, scale: float = 1.0) -> Tensor:
        return scale * self.head(torch.cat([self.features(image1), self.features(image2)], 1))


class Frames(nn.Module):
    """Takes its input apart by hand, and has one position for each of the 16 frames."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 5)
        self.position = nn.Parameter(torch.zeros(16, 1, 1, 5))

    def forward(self, x: Tensor) -> Tensor:
        _, _, frames, height, width = x.shape
        return self.layer(x.permute(0, 2, 3, 4, 1)) + self.position[:, :1]


def video() -> nn.Module:
    layers = nn.Conv3d(3, 4, (3, 5, 5), (1, 2, 2)), nn.BatchNorm3d(4), nn.MaxPool3d((1, 3, 3), (1, 2, 2))
    return nn.Sequential(*layers, nn.Conv3d(4, 2, (2, 3, 3)))


def flat_video() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6**3, 3))


# network, image, what goes into it
OTHER_INPUTS = [
    (video(), (3, 8, 28, 28), [torch.zeros(1, 3, 8, 28, 28)]),
    (Frames(), (3, 16, 6, 6), [torch.zeros(1, 3, 16, 6, 6)]),
    (Both(), ((3, 12, 12), (3, 12, 12)), [torch.zeros(1, 3, 12, 12)] * 2),
    (nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU(), nn.Conv1d(4, 1, 3)), (2, 50), [torch.zeros(1, 2, 50)]),
    (nn.LSTMCell(6, 5), (6,), [torch.zeros(1, 6)]),
    (nn.Bilinear(3, 4, 5), [[3], [4]], [torch.zeros(1, 3), torch.zeros(1, 4)]),
    (nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), (7,), [torch.zeros(1, 7, dtype=torch.int64)]),
]


@pytest.mark.parametrize("network, image, inputs", OTHER_INPUTS)
def test_what_is_no_image_has_a_ledger_and_a_memory_too(network, image, inputs):
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = network.eval()(*inputs)
    table = ledger(network, image)
    assert 2 * table.macs == counter.get_total_flops()
    assert table.parameters == sum(each.numel() for each in network.parameters())
    if isinstance(output, Tensor):
        assert table.rows[-1].output == output.shape[1:]
    held = costs.memory(network, image, batch=3)
    assert held.macs == 3 * table.macs
    sizes = tuple(tuple(x.shape[1:]) for x in inputs)
    assert held.image == table.image == (sizes if len(sizes) > 1 else sizes[0])


def test_a_video_is_seen_as_its_frames_are():
    layers = nn.Conv2d(3, 4, 5, 2), nn.BatchNorm2d(4), nn.MaxPool2d(3, 2), nn.Conv2d(4, 2, 3)
    of_frames, of_video = ledger(nn.Sequential(*layers), (3, 28, 28)), ledger(video(), (3, 8, 28, 28))
    for one, other in zip(of_frames.rows, of_video.rows, strict=True):
        assert (one.receptive_field, one.jump) == (other.receptive_field, other.jump)
    assert [row.receptive_field for row in of_video.rows] == [5, 5, 9, 17]


def test_captions_say_what_goes_in():
    assert "Both, one input of 3 x 12 x 12 and 3 x 12 x 12\nMACs" in str(ledger(Both(), ((3, 12, 12),) * 2))
    assert "Sequential, one input of 3 x 8 x 28 x 28\nMACs" in str(ledger(video(), (3, 8, 28, 28)))
    assert "2 inputs of 3 x 8 x 28 x 28" in str(costs.memory(video(), (3, 8, 28, 28), batch=2))
    found = ledger(Both(), ((3, 12, 12),) * 2).to_dict()
    assert json.loads(json.dumps(found))["image"] == [[3, 12, 12], [3, 12, 12]]


# network, image, what the ledger and the memory say, the sizes that they name
WANTED = [
    (
        video(),
        (3, 224, 224),
        "image is 3 x 224 x 224; Sequential takes (channels, frames, height, width), such as (3, 16, 224, 224)",
    ),
    (
        Frames(),
        (3, 30, 30),
        "image is 3 x 30 x 30; Frames takes (channels, frames, height, width), such as (3, 16, 30, 30)",
    ),
    (
        flat_video(),
        (3, 224, 224),
        "image is 3 x 224 x 224; Sequential takes (channels, frames, height, width)",
    ),
    (
        flat_video(),
        (2, 8, 8, 8),
        "image is 2 x 8 x 8 x 8: layer '0' (Conv3d) expects 3 channels and receives 2; "
        "image is (channels, frames, height, width)",
    ),
    (
        flat_video(),
        (3, 8, 4, 4),
        "image is 3 x 8 x 4 x 4, too small: layer '2' (Linear) expects 864 features and receives 96; "
        "the smallest square input that works is 3 x 8 x 8 x 8",
    ),
    (
        nn.Conv2d(3, 4, 3),
        (3, 16, 112, 112),
        "image is 3 x 16 x 112 x 112; Conv2d takes (channels, height, width), such as (3, 112, 112)",
    ),
    (
        nn.Sequential(nn.Conv1d(1, 4, 3), nn.ReLU()),
        (3, 224, 224),
        "image is 3 x 224 x 224; Sequential takes (channels, length), such as (1, 224)",
    ),
    (
        Both(),
        (3, 12, 12),
        "image is 3 x 12 x 12; Both takes 2 inputs (image1, image2): image is the sizes of each, "
        "such as ((3, 12, 12), (3, 12, 12))",
    ),
    (
        nn.Bilinear(3, 4, 5),
        (3, 8, 8),
        "image is 3 x 8 x 8; Bilinear takes 2 inputs (input1, input2): image is the sizes of each",
    ),
    (
        nn.Conv2d(3, 4, 3),
        ((3, 8, 8), (3, 8, 8)),
        "image is 3 x 8 x 8 and 3 x 8 x 8; Conv2d takes one input (input): image is its sizes, such as (3, 8, 8)",
    ),
    (
        nn.Linear(10, 4),
        (12,),
        "image is 12: layer '' (Linear) expects 10 features and receives 12; image is (features,)",
    ),
    (
        nn.Sequential(nn.Embedding(9, 4), nn.Linear(5, 2)),
        (7,),
        "image is 7: layer '1' (Linear) expects 5 features and receives 4; image is (features,)",
    ),
    (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(16, 5)),
        (1,),
        "image is 1; Sequential takes (channels, height, width)",
    ),
    (
        Both(),
        ((3, 12, 12), (3, 10, 10)),
        "image is 3 x 12 x 12 and 3 x 10 x 10; Both does not take these: Sizes of tensors must match except in "
        "dimension 1. Expected 5 in dimension 2 but got 4 for tensor number 1 in the list",
    ),
    (
        nn.Conv2d(4, 3, 2),
        (5, 2**40),
        "image is 5 x 1099511627776; Conv2d takes (channels, height, width)",
    ),
    (
        nn.Sequential(nn.ReLU(), nn.Conv2d(4, 3, 2)),
        (5,),
        "image is 5; layer '1' (Conv2d) does not take that: Expected 3D (unbatched) or 4D (batched) input to conv2d, "
        "but got input of size: [1, 5]",
    ),
    (
        nn.Sequential(nn.GRUCell(3, 4)),
        (7,),
        "image is 7; layer '0' (GRUCell) does not take that: input has inconsistent input_size: got 7 expected 3",
    ),
    (
        nn.InstanceNorm2d(5, affine=True),
        (3, 8, 8),
        "image is 3 x 8 x 8: InstanceNorm2d expects 5 channels and receives 3; image is (channels, height, width)",
    ),
    (
        nn.BatchNorm2d(5),
        (3, 8, 8),
        "image is 3 x 8 x 8: BatchNorm2d expects 5 channels and receives 3; image is (channels, height, width)",
    ),
    (
        nn.Sequential(nn.PReLU(3)),
        (5, 8, 8),
        "image is 5 x 8 x 8: layer '0' (PReLU) expects 3 channels and receives 5; image is (channels, height, width)",
    ),
    (
        Both(),
        ((3, 8, 8), "a"),
        "image is ((3, 8, 8), 'a'); expected (channels, height, width), such as (3, 224, 224)",
    ),
    (Both(), ((),), "image is ((),); expected (channels, height, width), such as (3, 224, 224)"),
]


@pytest.mark.parametrize("network, image, message", WANTED)
@pytest.mark.parametrize("measure", [ledger, costs.memory])
def test_what_a_network_takes_is_said(measure, network, image, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        measure(network, image)
    if " such as " in message and "expected" not in message:
        measure(network, ast.literal_eval(message.partition(" such as ")[2]))


@pytest.mark.parametrize("measure", [ledger, costs.memory])
@pytest.mark.parametrize("network", [nn.PixelShuffle(2), nn.Sequential(nn.PixelShuffle(2))])
def test_a_network_that_takes_other_channels_is_not_said_to_take_videos(measure, network):
    with pytest.raises(RuntimeError, match="pixel_shuffle"):
        measure(network, (3, 8, 8))
    measure(network, (4, 8, 8))


def test_an_error_that_has_nothing_to_do_with_shapes_is_not_taken_for_one():
    runs = []

    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            runs.append(x.shape)
            raise KeyError("mistake")

    with pytest.raises(KeyError):
        ledger(Broken(), (3, 8, 8))
    assert runs == [(1, 3, 8, 8)]
    with pytest.raises(ValueError, match="makes a tensor of more bytes than torch can count"):
        ledger(nn.Sequential(nn.Upsample(scale_factor=2**30)), (3, 2**14, 2**14))
    with pytest.raises(ValueError, match="pass batch=2 or more"):
        costs.memory(nn.BatchNorm1d(5), (5,), training=True)


def test_a_network_that_needs_numbers_is_counted_from_a_recording():
    """As detectors do: which boxes they keep depends on the numbers."""

    class Picks(nn.Sequential):
        def forward(self, images: list[Tensor]) -> Tensor:
            scores = super().forward(torch.stack(list(images)))
            return scores[scores > 0]

    network = Picks(nn.Conv2d(3, 4, 3))
    with pytest.raises(
        RuntimeError, match=r"record it with real tensors: casestudies.graph.record\("
    ) as caught:
        ledger(network, (3, 8, 8))
    assert caught.value.__notes__[1] == "casestudies.costs.total_macs counts the MACs of such a recording."
    assert costs.total_macs(record(network, [torch.zeros(3, 8, 8)])) == 3 * 4 * 9 * 36


# -------------------------------------------------------------------------- the network is left as it was


def test_nothing_is_computed():
    found = []
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    network[-1].register_forward_hook(lambda module, args, output: found.append(output))
    ledger(network, (3, 8, 8))
    (output,) = found
    assert output.shape == (1, 4, 6, 6)
    with pytest.raises(RuntimeError, match="without contents"):
        output.sum()


def test_mode_hooks_and_statistics_are_as_before():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    network[1].eval()
    before = network[1].running_mean.clone()
    ledger(network, (3, 8, 8), training=True)
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules()]
    modes = [m.training for m in network.modules()]
    assert (hooks, modes, torch.equal(network[1].running_mean, before)) == (
        [0] * 4,
        [True, True, False, True],
        True,
    )


def test_an_error_leaves_no_hooks():
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    with pytest.raises(ValueError):
        ledger(network, (1, 8, 8))
    assert not network[0]._forward_hooks and not network[0]._forward_pre_hooks


# ------------------------------------------------------------------------------------------------ bad input


def fixed_head() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 4, 5))


# network, image, error, what it says
BAD_IMAGES = [
    ("vgg16", (3, 8, 8), TypeError, r"network is 'vgg16' \(str\); expected an nn.Module, such as"),
    (
        [nn.Sequential(nn.ReLU())] * 9,
        (3, 8, 8),
        TypeError,
        r"^network is \[Sequential\( \(0\).{0,70} \(list\); expected [^\n]*$",
    ),
    (
        fixed_head(),
        8,
        ValueError,
        r"image is 8; expected \(channels, height, width\), such as \(3, 224, 224\)",
    ),
    (fixed_head(), (3, 0, 8), ValueError, r"image is \(3, 0, 8\); expected"),
    (
        fixed_head(),
        (1, 8, 8),
        ValueError,
        r"layer '0' \(Conv2d\) expects 3 channels and receives 1; image is",
    ),
    (
        fixed_head(),
        (3, 4, 4),
        ValueError,
        r"too small: layer '1' \(MaxPool2d\) receives a grid of 2 x 2, smaller than its window; "
        r"the smallest square image that works is 3 x 10 x 10$",
    ),
    (
        fixed_head(),
        (3, 9, 9),
        ValueError,
        r"too small: layer '3' \(Linear\) expects 16 features and receives 4; .* 3 x 10 x 10$",
    ),
    (
        fixed_head(),
        (3, 32, 32),
        ValueError,
        r"too large: .* receives 196; the square images that work are 3 x 10 x 10 to 3 x 13 x 13$",
    ),
    (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(5)),
        (3, 8, 8),
        ValueError,
        r"layer '1' \(BatchNorm2d\) expects 5 channels and receives 4",
    ),
    (
        nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Conv2d(3, 4, 3)),
        (3, 8, 8),
        ValueError,
        "no square image up to 4096 x 4096 fits this network",
    ),
    (fixed_head(), (3, True, 8), ValueError, r"image is \(3, True, 8\); expected"),
    (fixed_head(), (3, 8.0, 8), ValueError, r"image is \(3, 8.0, 8\); expected"),
    (nn.Sequential(nn.LazyConv2d(4, 3)), (3, 8, 8), ValueError, "lazy layer that has not seen an input"),
]


@pytest.mark.parametrize("network, image, error, message", BAD_IMAGES)
def test_an_image_that_does_not_fit_is_explained(network, image, error, message):
    with pytest.raises(error, match=message):
        ledger(network, image)


@pytest.mark.parametrize("side, fits", [(9, False), (10, True), (13, True), (14, False)])
def test_the_sides_that_the_error_names_are_those_that_run(side, fits):
    try:
        fixed_head()(torch.zeros(1, 3, side, side))
    except RuntimeError:
        assert not fits
    else:
        assert fits


def test_an_error_of_the_network_itself_names_the_module():
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyError("mistake")

    with pytest.raises(KeyError) as caught:
        ledger(nn.Sequential(nn.Conv2d(3, 3, 1), Broken()), (3, 8, 8))
    assert caught.value.__notes__ == ["This happened in '1', while its ledger was made."]


# -------------------------------------------------------------------------------------------- how it looks


class Table(HTMLParser):
    """The cells of an HTML table, the scopes of its headings, and its links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.scopes: list[str | None] = []
        self.links: list[str] = []
        self.cell = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = True
            self.rows[-1].append("")
        if tag == "th":
            self.scopes.append(attributes.get("scope"))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cell = False

    def handle_data(self, data):
        if self.cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def table() -> Ledger:
    return ledger(resnet.cifar_resnet(8), (3, 32, 32))


def test_html_has_a_row_for_each_layer_and_one_of_totals(table):
    _, *body, total = Table(table._repr_html_()).rows
    assert len(body) == len(table.rows)
    assert total[2:4] == [f"{table.parameters:,}", f"{table.macs:,}"]


def test_html_columns_sum_to_their_totals(table):
    _, *body, total = Table(table._repr_html_()).rows
    for column in (2, 3, 4):
        numbers = [int(row[column].replace(",", "")) for row in body]
        assert sum(numbers) == int(total[column].replace(",", ""))


def test_html_headings_have_scopes_and_nothing_is_loaded(table):
    parsed = Table(table._repr_html_())
    assert set(parsed.scopes) == {"col", "row"}
    assert parsed.links == [] and "url(" not in table._repr_html_()


def test_html_escapes_names():
    network = nn.Sequential()
    network.add_module("<b>", nn.ReLU())
    assert "<b>" not in ledger(network, (1, 2, 2))._repr_html_()


def test_text_columns_are_aligned(table):
    _, _, head, rule, *body, _, total = str(table).splitlines()
    column = head.index("parameters") + len("parameters")
    assert all(line[column - 1] != " " and line[column] == " " for line in [head, *body, total])
    assert max(map(len, body)) <= len(rule)


def test_flops_are_twice_the_macs(table):
    assert table.flops == 2 * table.macs


def test_activation_memory_is_four_bytes_a_number(table):
    assert table.activation_memory == 4 * sum(math.prod(row.output) for row in table.rows if row.activations)


LEDGERS_WITHOUT_THE_COMPILER = """
import sys
from casestudies.costs import ledger
from casestudies.zoo import VARIANTS, skeleton

for name in sys.argv[1:]:
    ledger(skeleton(name), VARIANTS[name].image)
    assert not {"sympy", "torch._dynamo"} & set(sys.modules), name
"""


def test_ledger_does_not_wait_for_the_compiler_of_torch() -> None:
    families = {variant.family: name for name, variant in VARIANTS.items()}.values()
    names = [*families, "vgg19", "alexnet_2012", "lenet5_original", "googlenet", "resnet50"]
    run = subprocess.run(
        [sys.executable, "-c", LEDGERS_WITHOUT_THE_COMPILER, *names], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


class Sequences(nn.Module):
    """Attention and a recurrent layer over the pixels of a grid, images first or pixels first."""

    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.batch_first = batch_first
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=batch_first)
        self.lstm = nn.LSTM(8, 6, batch_first=batch_first)
        self.norm = nn.BatchNorm2d(6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x).flatten(2)
        x = x.mT if self.batch_first else x.permute(2, 0, 1)
        x = self.lstm(self.attention(x, x, x)[0])[0]
        return self.norm((x.mT if self.batch_first else x.permute(1, 2, 0))[..., None])


@pytest.mark.parametrize("side", [4, 16])
@pytest.mark.parametrize("training", [False, True])
def test_output_has_no_axis_of_images_wherever_that_axis_is(training, side):
    first, last = (
        {
            (row.layer, row.kind, index): row.output
            for index, row in enumerate(costs.ledger(Sequences(way), (3, side, side), training=training).rows)
        }
        for way in (True, False)
    )
    pixels = (side // 4) ** 2
    assert first == last
    outputs = {kind: output for (_, kind, _), output in last.items()}
    assert outputs["softmax"] == (2, pixels, pixels) and outputs["LSTM"] == (pixels, 6)


def test_output_of_a_network_for_one_image_has_all_of_its_axes():
    class One(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            (only,) = x
            return only.relu()

    assert [row.output for row in costs.ledger(One(), (3, 8, 8)).rows] == [(3, 8, 8)]


class Positions(nn.Module):
    """Patches to which an embedding of their places is added."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 2, 2)
        self.places = nn.Parameter(torch.zeros(1, 4, 7, 7))

    def forward(self, x: Tensor) -> Tensor:
        return self.patches(x) + self.places


class Joined(nn.Module):
    """A way down and up again, as in a U-Net, which fits even sides only."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(3, 4, 3, 2, padding=1), nn.Upsample(scale_factor=2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.up(self.down(x))], 1)


@pytest.mark.parametrize(
    "network, image, works",
    [
        (Positions(), (3, 16, 16), "3 x 14 x 14"),
        (Joined(), (3, 15, 15), "3 x 16 x 16"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LayerNorm([4, 14, 14])), (3, 16, 16), "3 x 14 x 14"),
        (nn.Sequential(nn.ReflectionPad2d(5)), (3, 4, 4), "3 x 8 x 8"),
    ],
)
def test_an_image_that_does_not_fit_is_told_with_one_that_does(network, image, works) -> None:
    with pytest.raises(ValueError, match=f"an image that works is {works}$"):
        ledger(network, image)


def test_a_network_that_no_image_fits_raises_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="pixel_shuffle"):
        ledger(nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.PixelShuffle(2)), (3, 16, 16))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.compile's own imports
def test_a_compiled_network_is_counted_as_the_one_that_it_runs() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    assert ledger(torch.compile(network), (3, 8, 8)).rows == ledger(network, (3, 8, 8)).rows


def test_a_network_that_refuses_without_a_word_is_told_by_the_name_of_what_it_raised() -> None:
    class Strict(nn.Module):
        def __init__(self, *wanted: int) -> None:
            super().__init__()
            self.wanted = wanted

        def forward(self, x: Tensor) -> Tensor:
            if x.shape[1:] != self.wanted:
                raise AssertionError
            return x.sum(1)

    with pytest.raises(
        ValueError, match=r"gets of that: AssertionError; an image that works is 3 x 224 x 224$"
    ):
        ledger(Strict(3, 224, 224), (3, 5, 5))
    with pytest.raises(ValueError, match="does not take that: AssertionError$"):
        ledger(Strict(7, 5), (3, 5))
