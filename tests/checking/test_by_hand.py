"""Layers that are written by hand, told by numbers, and what is said of a slip in them or beside them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import check
from casestudies.checking.by_hand import as_layers
from casestudies.checking.explain import layers_written, recording_of
from casestudies.replay import replay

SEEDS = (0, 3)


class Taps(nn.Module):
    """A 3x3 convolution and its activation, one product for each pixel of the window."""

    def __init__(self, before, after, act=torch.relu, bias_in_each=False, turned=False):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, after, before))
        self.bias = nn.Parameter(torch.zeros(after))
        self.act, self.bias_in_each, self.turned = act, bias_in_each, turned

    def forward(self, x):
        height, width = x.shape[2:]
        x, bias = F.pad(x, (1, 1, 1, 1)), self.bias[:, None, None]
        total = 0 if self.bias_in_each else bias
        for i in range(3):
            for j in range(3):
                weight = self.weight[2 - i, 2 - j] if self.turned else self.weight[i, j]
                total = total + torch.einsum("oc,bchw->bohw", weight, x[:, :, i : i + height, j : j + width])
                total = total + bias if self.bias_in_each else total
        return self.act(total)


class Unfolded(nn.Module):
    def __init__(self, before, after, stride=1):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(before * 9, after))
        self.stride = stride

    def forward(self, x):
        columns = F.unfold(x, 3, padding=1, stride=self.stride)
        sides = [-(-side // self.stride) for side in x.shape[2:]]
        return (columns.transpose(1, 2) @ self.weight).transpose(1, 2).unflatten(2, sides)


class Norm(nn.Module):
    """Batch norm by hand."""

    def __init__(self, channels, eps=1e-5, momentum=0.1, biased=False, always=False):
        super().__init__()
        self.gain, self.shift = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))
        self.eps, self.momentum, self.biased, self.always = eps, momentum, biased, always

    def forward(self, x):
        mean, var = self.mean, self.var
        if self.training or self.always:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False)
            count = x.numel() / x.shape[1]
            with torch.no_grad():
                self.mean.lerp_(mean, self.momentum)
                self.var.lerp_(var if self.biased else var * count / (count - 1), self.momentum)
        x = (x - mean[:, None, None]) / (var[:, None, None] + self.eps).sqrt()
        return self.gain[:, None, None] * x + self.shift[:, None, None]


def layers_in(module, x, training=False):
    graph = recording_of(module.double(), [x.double()], training)
    other = as_layers(graph)
    state = {name: value.detach() for name, value in (*module.named_parameters(), *module.named_buffers())}
    once, again = ({k: v.clone() for k, v in state.items()} for _ in range(2))
    wanted, found = (
        replay(graph, [x.double()], once).outputs[0],
        replay(other, [x.double()], again).outputs[0],
    )
    assert torch.allclose(wanted, found)
    return [layer for layer in layers_written(other) if layer.kind != "input"]


def test_taps_are_a_convolution():
    (convolution, activation) = layers_in(Taps(4, 6), torch.randn(2, 4, 5, 7))
    assert (convolution.kind, activation.kind) == ("convolution", "ReLU")
    assert convolution.setting("kernel") == (3, 3)
    assert convolution.setting("padding") == (1, 1, 1, 1)
    assert convolution.setting("bias")
    assert not convolution.setting("weights")


@pytest.mark.parametrize("stride", [1, 2])
def test_an_unfolded_product_is_a_convolution(stride):
    (convolution,) = layers_in(Unfolded(3, 5, stride), torch.randn(2, 3, 6, 8))
    assert (convolution.kind, convolution.setting("stride")) == ("convolution", (stride, stride))
    assert not convolution.setting("weights")


def test_a_turned_kernel_is_said_to_be_one():
    convolution, _ = layers_in(Taps(4, 6, turned=True), torch.randn(2, 4, 5, 7))
    assert convolution.setting("weights") == "changed first (flip)"


@pytest.mark.parametrize(
    ("act", "kind"),
    [
        (lambda x: torch.where(x > 0, x, 0.2 * x), "LeakyReLU"),
        (lambda x: x / (1 + torch.exp(-x)), "SiLU"),
        (lambda x: (torch.exp(2 * x) - 1) / (torch.exp(2 * x) + 1), "tanh"),
        (lambda x: (x + x.abs()) / 2, "ReLU"),
    ],
)
def test_activations_by_hand(act, kind):
    *_, activation = layers_in(nn.Sequential(Taps(2, 3, act=act)), torch.randn(2, 2, 5, 4))
    assert activation.kind == kind


@pytest.mark.parametrize("training", [False, True])
def test_norms_by_hand(training):
    block = nn.Sequential(nn.Conv2d(2, 3, 1), Norm(3, eps=1e-3, momentum=0.2))
    _, norm = layers_in(block, torch.randn(3, 2, 5, 4), training)
    assert (norm.kind, norm.setting("eps")) == ("batch norm", 1e-3)
    assert norm.setting("statistics") == ("those of the batch" if training else "the running ones")
    assert not training or norm.setting("momentum") == 0.2


def test_one_row_is_a_stretch_of_its_own():
    class Rows(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(3, 4)

        def forward(self, x):
            return self.inner(x.mean(2).transpose(1, 2)).relu().transpose(1, 2)

    kinds = [layer.kind for layer in layers_in(Rows(), torch.randn(2, 3, 5, 4))]
    assert kinds == ["mean", "convolution", "ReLU"]


def test_what_two_products_share_is_left_as_it_is():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(3, 3))

        def forward(self, x):
            for _ in range(2):
                x = torch.einsum("oc,bchw->bohw", self.weight, x).relu()
            return x

    layers = layers_in(Twice(), torch.randn(2, 3, 5, 4))
    plain = [each for each in layers if each.kind == "convolution" and not each.setting("weights")]
    assert len(plain) <= 1


def block_of(convolution, pool=None):
    def vgg_block(num_convs, in_channels, out_channels):
        layers = [convolution(out_channels if i else in_channels, out_channels) for i in range(num_convs)]
        return nn.Sequential(*layers, pool or nn.MaxPool2d(2))

    return vgg_block


def sentences(report):
    return " ".join(each["sentence"] for each in report.differences)


@pytest.mark.parametrize("seed", SEEDS)
def test_right_ones_stay_right(seed):
    assert check("vgg/vgg_block", block_of(Taps), seed=seed, hints="all").state == "passed"


@pytest.mark.parametrize("seed", SEEDS)
def test_what_stands_behind_a_layer_by_hand_is_told(seed):
    report = check("vgg/vgg_block", block_of(Taps, nn.AvgPool2d(2)), seed=seed, hints="all")
    assert "average pooling, stride 2 stands in the place of 2×2 max pooling" in sentences(report)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_bias_that_counts_in_each_tap(seed):
    wrong = block_of(lambda before, after: Taps(before, after, bias_in_each=True))
    assert "adds its bias 9 times instead of once" in sentences(
        check("vgg/vgg_block", wrong, seed=seed, hints="all")
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_a_turned_kernel_loses_marks(seed):
    report = check(
        "vgg/vgg_block",
        block_of(lambda before, after: Taps(before, after, turned=True)),
        seed=seed,
        hints="all",
    )
    assert report.points == 0
    assert "weights that are changed first (flip)" in sentences(report)


def basic_block(norm):
    class BasicBlock(nn.Module):
        def __init__(self, in_channels, out_channels, stride=1):
            super().__init__()
            self.first = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
            self.second = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
            self.norms = nn.ModuleList(norm(out_channels) for _ in range(2))
            self.shortcut = nn.Identity()
            if (in_channels, stride) != (out_channels, 1):
                self.shortcut = nn.Sequential(
                    nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), norm(out_channels)
                )

        def forward(self, x):
            y = self.norms[1](self.second(self.norms[0](self.first(x)).relu()))
            return (y + self.shortcut(x)).relu()

    return BasicBlock


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"eps": 1e-3}, "has eps 0.001 instead of eps 1e-05"),
        ({"momentum": 0.01}, "has momentum 0.01 instead of momentum 0.1"),
        ({"always": True}, "normalises with statistics of another kind"),
        ({"biased": True}, "The variance that is taken up is divided by n; asked for: by n - 1."),
    ],
)
def test_what_is_wrong_in_a_norm_by_hand(settings, said):
    report = check(
        "resnet/basic_block", basic_block(lambda channels: Norm(channels, **settings)), seed=1, hints="all"
    )
    assert said in sentences(report)


@pytest.mark.parametrize("seed", SEEDS)
def test_numbers_that_do_nothing(seed):
    class NiNBlock(nn.Module):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
            super().__init__()
            self.first = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
            self.mix = nn.Parameter(torch.randn(2, out_channels, out_channels))
            self.bias = nn.Parameter(torch.zeros(2, out_channels))

        def forward(self, x):
            x = self.first(x).relu()
            for bias in self.bias:
                x = (torch.einsum("oc,bchw->bohw", self.mix[0], x) + bias[:, None, None]).relu()
            return x

    report = check("nin/nin_block", NiNBlock, seed=seed, hints="all")
    assert (report.points, report.state) == (0, "wrong")
    assert "What the block gives does not depend on" in sentences(report)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mean_that_is_divided_by_something_else(seed):
    class GlobalAverageHead(nn.Module):
        def __init__(self, in_channels, num_classes):
            super().__init__()
            self.weight = nn.Parameter(torch.randn(num_classes, in_channels))
            self.bias = nn.Parameter(torch.zeros(num_classes))

        def forward(self, x):
            return torch.einsum("bchw,kc->bk", x, self.weight) / 49 + self.bias

    report = check("nin/global_average_head", GlobalAverageHead, seed=seed, hints="all")
    assert len(report.differences) == 1
    assert "There is a multiplication by" in sentences(report)
