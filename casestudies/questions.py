"""Questions that know the misconception: every wrong choice is what a known mistake computes.

Most come from the formulas that students write. The right answer is the reference's value on the arguments, and each
wrong one is what a mistake that the checks know makes of the same arguments; choosing it shows the sentence that
explains this mistake. Where an assignment has no formula for it, right and wrong are small functions here, and the
sentence is the checks' where they have one. No choice is typed in.

    casestudies cards --out cards.txt           all questions as cards for Anki (File, Import)
    casestudies cards resnet identity           those of two chapters, on the screen
"""

from __future__ import annotations

import argparse
import hashlib
import html
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from casestudies import costs
from casestudies.checking import parts
from casestudies.language import told


@dataclass(frozen=True)
class Choice:
    """One answer: what it says, and for a wrong one the mistake behind it."""

    text: str
    mistake: str = ""  # its id; empty for the right answer
    why: str = ""


@dataclass(frozen=True)
class Question:
    """A question with its choices in the order in which they are shown; exactly one is right."""

    chapter: str
    name: str
    stem: str
    choices: tuple[Choice, ...]
    see: str  # where the book explains it

    @property
    def id(self) -> str:
        return f"{self.chapter}/{self.name}"

    @property
    def right(self) -> int:
        return next(index for index, choice in enumerate(self.choices) if not choice.mistake)


def written(value: Any) -> str:
    """A number, or several, as a reader writes them.

    >>> written(2416), written(0.11306), written((27, 49)), written(torch.tensor([[0.0, -3.0]]))
    ('2,416', '0.1131', '27 and 49', '0 and −3')
    """
    if isinstance(value, Tensor):
        value = tuple(value.flatten().tolist())
    if isinstance(value, (tuple, list)):
        return " and ".join(map(written, value))
    if isinstance(value, str):
        return value
    if isinstance(value, int) or float(value).is_integer():
        text = f"{int(value):,}"
    else:
        text = f"{value:.4g}" if abs(value) >= 1 else f"{value:.4f}".rstrip("0")
    return text.replace("-", "−")  # as in the questions


# ------------------------------------------------------------------------------------ where they come from


@dataclass(frozen=True)
class OfPart:
    """A question about a function that students write: its arguments, and the mistakes that are offered."""

    chapter: str
    name: str
    stem: str
    part: str
    arguments: Mapping[str, Any]
    mistakes: tuple[str, ...]
    see: str = ""  # default: the part's

    def make(self) -> Question:
        part = parts.find(self.part)
        if part is None:
            raise ValueError(f"{self.chapter}/{self.name}: there is no part {self.part!r}")
        known = {one.id: one for one in part.mistakes}
        unknown = sorted(set(self.mistakes) - set(known))
        if unknown:
            raise ValueError(
                f"{self.chapter}/{self.name}: {self.part} has no mistake {unknown[0]!r}; it has {', '.join(known)}"
            )
        if not isinstance(part.reference, parts.Values):
            raise ValueError(f"{self.chapter}/{self.name}: {self.part} asks for a block, not for a function")
        right = Choice(written(part.reference.function(**self.arguments)))
        wrong = [
            Choice(written(known[id].wrong(**self.arguments)), id, known[id].text) for id in self.mistakes
        ]
        return question(self.chapter, self.name, self.stem, right, wrong, self.see or part.see)


Wrong = tuple[str, Callable[[], Any], str]  # id of the mistake, what it computes, what to say of it


@dataclass(frozen=True)
class OfFormula:
    """A question whose formula stands here. A sentence "part:id" is the one of that mistake in the checks."""

    chapter: str
    name: str
    stem: str | Callable[[], str]
    right: Callable[[], Any]
    wrong: tuple[Wrong, ...]
    see: str = field(default="")

    def make(self) -> Question:
        choices = [Choice(written(compute()), id, sentence(why)) for id, compute, why in self.wrong]
        stem = self.stem if isinstance(self.stem, str) else self.stem()
        return question(self.chapter, self.name, stem, Choice(written(self.right())), choices, self.see)


def sentence(why: str) -> str:
    """The sentence itself, or that of the checks where "assignment/part:mistake" stands in its place."""
    place, _, id = why.partition(":")
    part = parts.find(place) if "/" in place and " " not in why else None
    if part is None:
        return why
    for known in part.mistakes:
        if known.id == id:
            return known.text
    raise ValueError(f"{place} has no mistake {id!r}")


def question(
    chapter: str, name: str, stem: str, right: Choice, wrong: Iterable[Choice], see: str
) -> Question:
    """The question, its choices in an order that looks random and is always the same."""
    choices = [right, *wrong]

    def order(choice: Choice) -> bytes:
        return hashlib.sha256(f"{chapter}/{name}/{choice.mistake}".encode()).digest()

    return Question(chapter, name, stem, tuple(sorted(choices, key=order)), see)


# --------------------------------------------------------------------------------------------- the questions


def block(z: Tensor, a: Tensor) -> Tensor:
    """relu(F(a) + a), where F(a) = z."""
    return (z + a).relu()


Z, A = torch.tensor([-3.0, 1.0]), torch.tensor([2.0, 2.0])
STEP = {
    "a": torch.tensor([[2.0]]),
    "w1": torch.tensor([[1.0]]),
    "b1": torch.tensor([1.0]),
    "w2": torch.tensor([[-0.5]]),
    "b2": torch.tensor([1.0]),
}
C, R = 256, 64  # a bottleneck of ResNet-50: its ends and its middle


SLOPE = -0.9  # of F, in the question on the gradient of a block


def slope(function: Callable[[Tensor], Tensor]) -> float:
    """The derivative at 1."""
    (found,) = torch.autograd.grad(function(a := torch.ones((), requires_grad=True)), a)
    return round(found.item(), 6)


def weights_of(*layers: nn.Module) -> int:
    """Weights and biases of the layers together."""
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


@cache
def resnet50() -> costs.Ledger:
    from casestudies import zoo

    return costs.ledger(zoo.skeleton("resnet50"), zoo.variant("resnet50").image)


SOURCES: tuple[OfPart | OfFormula, ...] = (
    OfPart(
        "lenet",
        "output_size",
        "A 7×7 convolution with stride 2 and padding 3 works on 224×224 pixels. How many pixels wide is "
        "its output?",
        "lenet/conv_output_size",
        {"size": 224, "kernel": 7, "stride": 2, "padding": 3},
        ("padding_on_one_side", "rounded_up", "padding_ignored"),
    ),
    OfPart(
        "lenet",
        "c3_parameters",
        "C3 makes 16 maps from 6 with a 5×5 convolution, biases included. How many parameters does it have?",
        "lenet/conv_parameters",
        {"in_channels": 6, "out_channels": 16, "kernel": 5},
        ("depth_forgotten", "bias_per_filter_slice", "kernel_not_squared"),
    ),
    OfPart(
        "lenet",
        "c1_macs",
        "C1 makes 6 maps of 28×28 from one image with a 5×5 convolution. How many MACs does that take?",
        "inception/conv_macs",
        {"in_channels": 1, "out_channels": 6, "kernel": 5, "height": 28, "width": 28},
        ("flops_for_macs", "grid_forgotten", "output_channels_forgotten"),
        "lenet.html#eq-conv-macs",
    ),
    OfPart(
        "lenet",
        "c5_parameters",
        "C5 makes 120 maps from 16 with a 5×5 convolution, biases included. How many parameters does it have?",
        "lenet/conv_parameters",
        {"in_channels": 16, "out_channels": 120, "kernel": 5},
        ("bias_forgotten", "one_bias_in_all", "channels_added"),
    ),
    OfPart(
        "alexnet",
        "conv2_macs",
        "The second convolution of AlexNet goes from 96 to 256 channels with a 5×5 kernel in 2 groups, on "
        "27×27. "
        "How many MACs is that?",
        "alexnet/grouped_conv_macs",
        {"in_channels": 96, "out_channels": 256, "kernel": 5, "height": 27, "width": 27, "groups": 2},
        ("groups_ignored", "one_group_counted", "bias_counted"),
    ),
    OfPart(
        "alexnet",
        "size_224",
        "An 11×11 convolution with stride 4 and no padding, rounding down as PyTorch does, works on "
        "224×224 pixels. "
        "How wide is its output?",
        "lenet/conv_output_size",
        {"size": 224, "kernel": 11, "stride": 4},
        ("rounded_up", "plus_one_forgotten", "floor_forgotten"),
        "alexnet.html#size-227",
    ),
    OfPart(
        "alexnet",
        "overlapping_pool",
        "A pool with a 3×3 window and stride 2 works on 55×55. How wide is its output?",
        "lenet/conv_output_size",
        {"size": 55, "kernel": 3, "stride": 2},
        ("plus_one_forgotten", "kernel_halved", "stride_ignored"),
        "alexnet.html#pooling",
    ),
    OfPart(
        "alexnet",
        "fc6_parameters",
        "The first fully connected layer sees 256 maps of 6×6 and has 4096 units with biases: a "
        "convolution whose "
        "kernel covers the grid. How many parameters does it have?",
        "lenet/conv_parameters",
        {"in_channels": 256, "out_channels": 4096, "kernel": 6},
        ("depth_forgotten", "kernel_not_squared", "bias_forgotten"),
        "alexnet.html#where-the-parameters-are",
    ),
    OfPart(
        "vgg",
        "three_convolutions",
        "Three 3×3 convolutions with stride 1 follow each other. How wide is the square that one output "
        "pixel sees?",
        "vgg/receptive_field",
        {"layers": [(3, 1), (3, 1), (3, 1)]},
        ("kernel_not_reduced", "largest_kernel", "kernels_multiplied"),
    ),
    OfPart(
        "vgg",
        "field_after_a_pool",
        "Two 3×3 convolutions, a 2×2 pool with stride 2, and two more 3×3 convolutions. How wide is the "
        "square that "
        "one output pixel sees?",
        "vgg/receptive_field",
        {"layers": [(3, 1), (3, 1), (2, 2), (3, 1), (3, 1)]},
        ("stride_ignored", "stride_one_layer_early", "kernel_not_reduced"),
    ),
    OfPart(
        "vgg",
        "stack",
        "Three 3×3 convolutions from 64 to 64 channels, and the single convolution that sees as much. How "
        "many weights "
        "do the stack and the single one have?",
        "vgg/stack_versus_single",
        {"channels": 64, "num_convs": 3},
        ("single_three_times_n", "channels_not_squared", "one_of_the_stack"),
    ),
    OfPart(
        "vgg",
        "conv1_2_macs",
        "The second convolution of VGG-16 goes from 64 to 64 channels with a 3×3 kernel, on 224×224. How "
        "many MACs?",
        "inception/conv_macs",
        {"in_channels": 64, "out_channels": 64, "kernel": 3, "height": 224, "width": 224},
        ("kernel_not_squared", "input_channels_forgotten", "flops_for_macs"),
        "vgg.html#eq-halving",
    ),
    OfFormula(
        "resnet",
        "block_output",
        "At two pixels a residual block receives a = (2, 2), and its layers make F(a) = (−3, 1) of it. "
        "What leaves the "
        "block?",
        lambda: block(Z, A),
        (
            ("relu_before_addition", lambda: Z.relu() + A, "resnet/basic_block:relu_before_addition"),
            ("no_final_relu", lambda: Z + A, "resnet/basic_block:no_final_relu"),
            ("skip_forgotten", lambda: Z.relu(), "resnet/basic_block:skip_forgotten"),
        ),
        "resnet.html#eq-residual",
    ),
    OfFormula(
        "resnet",
        "depth",
        "The CIFAR family has n blocks in each of its three stages. How many layers does the network with "
        "n = 9 have, by the paper's count?",
        lambda: 6 * 9 + 2,
        (
            (
                "ends_forgotten",
                lambda: 6 * 9,
                "The first convolution and the linear layer at the end are layers, too.",
            ),
            ("one_layer_a_block", lambda: 3 * 9 + 2, "A block has two convolutions, not one."),
            ("one_stage", lambda: 2 * 9 + 2, "There are three stages of n blocks each, not one."),
        ),
        "resnet.html#eq-depth",
    ),
    OfFormula(
        "resnet",
        "bottleneck_weights",
        "A bottleneck of ResNet-50 works between 256 channels, with 64 in its middle. How many weights "
        "do its "
        "convolutions have?",
        lambda: C * R + 9 * R * R + R * C,
        (
            ("no_expansion", lambda: C * R + 9 * R * R + R * R, "resnet/bottleneck:no_expansion"),
            ("wide_middle", lambda: C * C + 9 * C * C + C * C, "resnet/bottleneck:wide_middle"),
            (
                "restore_forgotten",
                lambda: C * R + 9 * R * R,
                "The second 1×1 convolution, which restores the channels, is missing.",
            ),
        ),
        "resnet.html#bottleneck",
    ),
    OfFormula(
        "resnet",
        "projection_weights",
        "The first block of a stage goes from 64 to 128 channels with stride 2. How many weights does the "
        "convolution on "
        "its shortcut (option B) have?",
        lambda: costs.conv_parameters(64, 128, 1, bias=False),
        (
            (
                "wide_projection",
                lambda: costs.conv_parameters(64, 128, 3, bias=False),
                "resnet/basic_block:wide_projection",
            ),
            (
                "bias_before_batch_norm",
                lambda: costs.conv_parameters(64, 128, 1),
                "resnet/basic_block:bias_before_batch_norm",
            ),
            (
                "option_a",
                lambda: weights_of(nn.ConstantPad3d((0, 0, 0, 0, 0, 128 - 64), 0.0)),
                "Without any weights the shortcut pads with zeros: that is option A. Option B projects.",
            ),
        ),
        "resnet.html#eq-projection",
    ),
    OfPart(
        "identity",
        "residual_step",
        "One number passes a residual step with ReLU: a = 2, W₁ = 1, b₁ = 1, W₂ = −½, b₂ = 1. What comes "
        "out?",
        "identity/residual_step",
        STEP,
        ("addition_after_g", "second_bias_forgotten", "skip_from_the_middle"),
    ),
    OfFormula(
        "identity",
        "tanh",
        "All weights and biases of a residual block are 0, and g is tanh. It receives a = 0.5. What comes "
        "out?",
        lambda: torch.tanh(torch.tensor(0.5)).item(),
        (
            (
                "relu_assumed",
                lambda: torch.tensor(0.5).relu().item(),
                "g(a) = a holds for ReLU and a ≥ 0. With tanh the block squashes what it should hand on.",
            ),
            (
                "skip_forgotten",
                lambda: torch.zeros(()).tanh().item(),
                "identity/residual_step:skip_forgotten",
            ),
            (
                "g_twice",
                lambda: torch.tensor(0.5).tanh().tanh().item(),
                "g is applied to a and again to the sum; the skip carries a as it is.",
            ),
        ),
        "identity.html#what-each-step-needs",
    ),
    OfFormula(
        "identity",
        "option_a",
        "A shortcut without parameters goes from 16 to 64 channels. How many channels of zeros does it add?",
        lambda: 64 - 16,
        (
            ("out_channels_added", lambda: (16 + 64) - 16, "identity/pad_shortcut:out_channels_added"),
            ("channels_doubled", lambda: 2 * 16 - 16, "identity/pad_shortcut:channels_doubled"),
            ("quarter_on_each_side", lambda: 2 * (64 // 4), "identity/pad_shortcut:quarter_on_each_side"),
        ),
        "identity.html#option-a",
    ),
    OfFormula(
        "identity",
        "gradient",
        "A block of one number has F(a) + a > 0, and F has the slope −0.9 there. What is the slope of the "
        "block?",
        lambda: slope(lambda a: a + SLOPE * a),
        (
            (
                "skip_forgotten",
                lambda: slope(lambda a: SLOPE * a),
                "This is the slope of F alone. The skip adds 1 to it.",
            ),
            (
                "skip_alone",
                lambda: slope(lambda a: a),
                "This is the slope of the skip alone. That of F is added to it.",
            ),
            (
                "sign_lost",
                lambda: slope(lambda a: a - SLOPE * a),
                "The slope of F is negative: it takes away from the 1 of the skip.",
            ),
        ),
        "identity.html#gradients",
    ),
    OfPart(
        "nin",
        "conv1x1_parameters",
        "A 1×1 convolution goes from 192 to 64 channels, with biases. How many parameters does it have?",
        "nin/conv1x1_parameters",
        {"in_channels": 192, "out_channels": 64},
        ("bias_forgotten", "bias_per_input", "channels_added"),
    ),
    OfFormula(
        "nin",
        "head",
        "A network ends with 1024 maps of 7×7 and 1000 classes. Its head is a 1×1 convolution with biases "
        "and a global "
        "average. How many parameters does the head have?",
        lambda: costs.conv_parameters(1024, 1000, 1),
        (
            (
                "flattened",
                lambda: costs.linear_parameters(1024 * 49, 1000),
                "This is a linear layer on all 1024 × 49 numbers. A 1×1 convolution uses the same weights "
                "at every pixel.",
            ),
            (
                "bias_forgotten",
                lambda: costs.conv_parameters(1024, 1000, 1, bias=False),
                "nin/conv1x1_parameters:bias_forgotten",
            ),
            (
                "average_counted",
                lambda: costs.conv_parameters(1024, 1000, 1) + 1000 * 49,
                "The average has no weights of its own.",
            ),
        ),
        "nin.html#eq-gap",
    ),
    OfFormula(
        "nin",
        "pool_rounds_up",
        "The pools of the network for CIFAR-10 have 3×3 windows with stride 2 and round up. How wide is "
        "the output on "
        "32×32?",
        lambda: costs.conv_output_size(32, 3, 2, ceil_mode=True),
        (
            (
                "rounded_down",
                lambda: costs.conv_output_size(32, 3, 2),
                "This is rounded down, as PyTorch does unless ceil_mode=True says otherwise.",
            ),
            (
                "kernel_halved",
                lambda: -(-(32 - 3 // 2) // 2) + 1,
                "lenet/conv_output_size:kernel_halved",
            ),
            (
                "stride_ignored",
                lambda: costs.conv_output_size(32, 3, 1),
                "lenet/conv_output_size:stride_ignored",
            ),
        ),
        "nin.html#nin-networks",
    ),
    OfPart(
        "inception",
        "direct_5x5",
        "A 5×5 convolution goes from 192 to 32 channels, on 28×28. How many MACs does it take?",
        "inception/conv_macs",
        {"in_channels": 192, "out_channels": 32, "kernel": 5, "height": 28, "width": 28},
        ("kernel_not_squared", "flops_for_macs", "channels_added"),
    ),
    OfPart(
        "inception",
        "bottleneck_5x5",
        "A 1×1 convolution reduces 192 channels to 16, and a 5×5 convolution makes 32 out of those 16, on "
        "28×28. How many MACs do both take?",
        "inception/bottleneck_macs",
        {"in_channels": 192, "reduced": 16, "out_channels": 32, "kernel": 5, "height": 28, "width": 28},
        ("reducer_forgotten", "reducer_with_the_kernel", "reducer_behind"),
    ),
    OfFormula(
        "inception",
        "concatenation",
        "The module 3a receives 192 channels. Its branches give 64 (1×1), 128 (3×3), 32 (5×5) and 32 (pool "
        "and 1×1). How "
        "many channels leave it?",
        lambda: 64 + 128 + 32 + 32,
        (
            (
                "projection_forgotten",
                lambda: 64 + 128 + 32 + 192,
                "inception/inception_module:projection_forgotten",
            ),
            (
                "added",
                lambda: max(64, 128, 32, 32),
                "The branches are not added to each other; their channels stand side by side.",
            ),
            (
                "input_kept",
                lambda: 192 + 64 + 128 + 32 + 32,
                "The input itself is not part of the output, as it would be in a DenseNet.",
            ),
        ),
        "inception.html#module",
    ),
    OfPart(
        "mobilenet",
        "worked_example",
        "6×6 pixels of 3 channels become 4×4 of 5 through a 3×3 depthwise and a pointwise convolution. How "
        "many MACs?",
        "mobilenet/separable_macs",
        {"in_channels": 3, "out_channels": 5, "kernel": 3, "height": 4, "width": 4},
        ("full_convolution", "pointwise_forgotten", "depthwise_on_output_channels"),
    ),
    OfPart(
        "mobilenet",
        "ratio",
        "What share of a full 3×3 convolution to 512 channels does the separable one cost?",
        "mobilenet/separable_ratio",
        {"out_channels": 512, "kernel": 3},
        ("depthwise_term_forgotten", "pointwise_term_forgotten", "window_not_squared"),
    ),
    OfPart(
        "mobilenet",
        "wide_layer",
        "A separable 3×3 convolution goes from 512 to 512 channels, on 14×14. How many MACs does it take?",
        "mobilenet/separable_macs",
        {"in_channels": 512, "out_channels": 512, "kernel": 3, "height": 14, "width": 14},
        ("groups_forgotten", "kernel_not_squared", "grid_counted_once"),
    ),
    OfPart(
        "mobilenet_v2",
        "macs",
        "An inverted residual with expansion 6 and stride 2 goes from 24 to 32 channels and receives 56×56 "
        "pixels. How "
        "many MACs does it take?",
        "mobilenet_v2/inverted_residual_macs",
        {"in_channels": 24, "out_channels": 32, "height": 56, "width": 56, "stride": 2, "expansion": 6},
        ("hidden_from_output", "depthwise_dense", "expansion_on_output_grid"),
    ),
    OfFormula(
        "mobilenet_v2",
        "hidden_width",
        "An inverted residual with expansion 6 goes from 24 to 32 channels. How many channels does its depthwise "
        "convolution have?",
        lambda: 6 * 24,
        (
            ("width_from_output", lambda: 6 * 32, "mobilenet_v2/inverted_residual:width_from_output"),
            ("not_expanded", lambda: 1 * 24, "mobilenet_v2/inverted_residual_macs:not_expanded"),
            ("bottlenecked", lambda: 24 // 6, "mobilenet_v2/inverted_residual:bottlenecked"),
        ),
        "mobilenet_v2.html",
    ),
    OfFormula(
        "mobilenet_v2",
        "narrow_end",
        "The last batch norm of a block with stride 1 and equal channels gives (−1, 7) at two pixels, and "
        "the block "
        "received (1, 2). What leaves it?",
        lambda: torch.tensor([-1.0, 7.0]) + torch.tensor([1.0, 2.0]),
        (
            (
                "activation_after_projection",
                lambda: torch.tensor([-1.0, 7.0]).clamp(0, 6) + torch.tensor([1.0, 2.0]),
                "mobilenet_v2/inverted_residual:activation_after_projection",
            ),
            (
                "activation_after_sum",
                lambda: (torch.tensor([-1.0, 7.0]) + torch.tensor([1.0, 2.0])).clamp(0, 6),
                "mobilenet_v2/inverted_residual:activation_after_sum",
            ),
            (
                "residual_missing",
                lambda: torch.tensor([-1.0, 7.0]),
                "mobilenet_v2/inverted_residual:residual_missing",
            ),
        ),
        "mobilenet_v2.html",
    ),
    OfPart(
        "efficientnet",
        "ninety_percent",
        "A layer of 16 channels is scaled by the width 1.2. How many channels does it have then, in "
        "multiples of 8?",
        "efficientnet/round_channels",
        {"channels": 16, "width": 1.2},
        ("ninety_percent_forgotten", "raised_by_one", "not_rounded"),
    ),
    OfPart(
        "efficientnet",
        "repeats",
        "A stage of 3 layers is scaled by the depth 1.4. How many layers does it have then?",
        "efficientnet/round_repeats",
        {"repeats": 3, "depth": 1.4},
        ("repeats_rounded", "depth_rounded_up", "depth_ignored"),
    ),
    OfPart(
        "efficientnet",
        "growth",
        "By what factor do the MACs grow from phi = 0 to phi = 1, before rounding (α = 1.2, β = 1.1, γ = "
        "1.15)?",
        "efficientnet/flops_growth",
        {"phi": 1.0},
        ("width_linear", "depth_squared", "two_to_the_phi"),
    ),
    OfPart(
        "efficientnet",
        "multipliers",
        "With phi = 2, what are the multipliers of depth, width and resolution?",
        "efficientnet/compound_scaling",
        {"phi": 2.0},
        ("phi_multiplied", "linear_growth", "width_first"),
    ),
    OfFormula(
        "compare",
        "flops",
        lambda: (
            "A tool reports the FLOPs of ResNet-50 by the convention of this course; our ledger has "
            f"{resnet50().macs:,} MACs. What does it report?"
        ),
        lambda: resnet50().flops,
        (
            (
                "macs_called_flops",
                lambda: resnet50().macs,
                "Many tools call MACs FLOPs. A MAC is a multiplication and an addition: two FLOPs.",
            ),
            (
                "parameters",
                lambda: 2 * resnet50().parameters,
                "This is twice the number of parameters. A weight of a convolution works at every pixel, "
                "not once.",
            ),
            (
                "forward_and_back",
                lambda: 3 * resnet50().flops,
                "This is about what a step of training takes: the way back costs twice the way forward.",
            ),
        ),
        "welcome.html#cost-convention",
    ),
    OfFormula(
        "compare",
        "bytes",
        lambda: f"ResNet-50 has {resnet50().parameters:,} parameters. How many bytes are they in fp32?",
        lambda: costs.BYTES * resnet50().parameters,
        (
            (
                "half_precision",
                lambda: 2 * resnet50().parameters,
                "These are the bytes in half precision; a number of fp32 has 32 bits, four bytes.",
            ),
            ("bits", lambda: 32 * resnet50().parameters, "These are bits; eight of them are a byte."),
            (
                "adam",
                lambda: 4 * costs.BYTES * resnet50().parameters,
                "This is what training with Adam holds of them: weights, gradients and two moments.",
            ),
        ),
        "compare.html#all-networks",
    ),
    OfFormula(
        "compare",
        "intensity",
        lambda: (
            f"ResNet-50 takes {resnet50().macs:,} MACs for one image; {resnet50().parameters:,} parameters and "
            f"{resnet50().activations:,} activations are moved, each once. How many MACs is that per number moved?"
        ),
        lambda: round(resnet50().macs / (resnet50().parameters + resnet50().activations), 1),
        (
            (
                "parameters_only",
                lambda: round(resnet50().macs / resnet50().parameters, 1),
                "Only the parameters are counted. The activations are moved, too, and with one image at a "
                "time they are the larger part.",
            ),
            (
                "activations_only",
                lambda: round(resnet50().macs / resnet50().activations, 1),
                "Only the activations are counted. With one image at a time all parameters are read for it.",
            ),
            (
                "flops",
                lambda: round(resnet50().flops / (resnet50().parameters + resnet50().activations), 1),
                "These are FLOPs on each number; a MAC is two of them.",
            ),
        ),
        "compare.html#arithmetic-intensity",
    ),
    OfFormula(
        "after",
        "grouped_weights",
        "The 3×3 convolution of a ResNeXt block goes from 128 to 128 channels in 32 groups, without a bias. How "
        "many weights does it have?",
        lambda: weights_of(nn.Conv2d(128, 128, 3, groups=32, bias=False)),
        (
            (
                "groups_forgotten",
                lambda: weights_of(nn.Conv2d(128, 128, 3, bias=False)),
                "This is the convolution in one group, in which each output reads all channels.",
            ),
            (
                "one_group",
                lambda: weights_of(nn.Conv2d(128 // 32, 128 // 32, 3, bias=False)),
                "This is a single one of the groups, from 4 to 4 channels. There are 32 of them.",
            ),
            (
                "depthwise",
                lambda: weights_of(nn.Conv2d(128, 128, 3, groups=128, bias=False)),
                "This is the depthwise convolution, which has a group for each channel.",
            ),
        ),
        "after.html#resnext-more-groups",
    ),
    OfFormula(
        "after",
        "dense_channels",
        "A dense block gets 64 channels and has 6 layers of growth 32. How many channels leave it?",
        lambda: sum([64] + 6 * [32]),
        (
            (
                "input_forgotten",
                lambda: sum(6 * [32]),
                "The channels that came in are handed on as well, beside what the layers add.",
            ),
            (
                "read_by_the_last",
                lambda: sum([64] + 5 * [32]),
                "This is what the last layer reads. It adds channels of its own.",
            ),
            (
                "growth_once",
                lambda: sum([64] + [32]),
                "The growth is what a single layer adds. There are six of them.",
            ),
        ),
        "after.html#densenet-concatenate-instead-of-adding",
    ),
    OfFormula(
        "after",
        "gate_parameters",
        "A squeeze-and-excitation gate on 256 channels, as published, with the ratio 16 and biases: how many "
        "parameters does it have?",
        lambda: weights_of(nn.Conv2d(256, 256 // 16, 1), nn.Conv2d(256 // 16, 256, 1)),
        (
            (
                "biases_forgotten",
                lambda: weights_of(*(nn.Conv2d(*ends, 1, bias=False) for ends in ((256, 16), (16, 256)))),
                "The biases are forgotten; both layers of the gate have them.",
            ),
            (
                "way_back_forgotten",
                lambda: weights_of(nn.Conv2d(256, 256 // 16, 1)),
                "This is the first layer only. A second one leads back to one number for each channel.",
            ),
            (
                "ratio_forgotten",
                lambda: weights_of(nn.Conv2d(256, 256, 1), nn.Conv2d(256, 256, 1)),
                "Between its layers the gate has a sixteenth of the channels, not all of them.",
            ),
        ),
        "after.html#squeeze-as-published",
    ),
)


@cache
def questions(chapter: str | None = None) -> tuple[Question, ...]:
    """The questions of a chapter, or all of them, in the order of the book. ValueError for an unknown chapter."""
    if chapter is not None and chapter not in chapters():
        raise ValueError(f"chapter is {chapter!r}; there are questions on {', '.join(chapters())}")
    return tuple(source.make() for source in SOURCES if chapter in (None, source.chapter))


def chapters() -> tuple[str, ...]:
    """The chapters that have questions."""
    return tuple(dict.fromkeys(source.chapter for source in SOURCES))


# ------------------------------------------------------------------------------------------------ the cards


def coded(text: str) -> str:
    """HTML of a text, its words of a program as code.

    >>> coded("a < b: `groups` of them")
    'a &lt; b: <code>groups</code> of them'
    """
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", html.escape(text))


def cards(chosen: Iterable[str] | None = None) -> str:
    """The questions as a text that Anki imports: an id, the front, the back and a tag, separated by tabs.

    They are in the language that is in use. The id, the same in each language, lets a later import change a card
    without losing when it is due. Anki centres what is on a card; lists stand to the left.
    """
    names = list(chosen or chapters())
    lines = [
        "#separator:tab",
        "#html:true",
        "#notetype:Basic",
        "#deck:Case studies",
        "#guid column:1",
        "#tags column:4",
    ]
    for name in names:
        for one in questions(name):
            letters = "ABCDEFGH"[: len(one.choices)]
            offered = "".join(f"<li>{html.escape(told(choice.text))}</li>" for choice in one.choices)
            front = f'{html.escape(told(one.stem))}<ol type="A" style="text-align: left">{offered}</ol>'
            right = one.choices[one.right]
            wrong = "".join(
                f"<li>{letter}: {coded(told(choice.why))}</li>"
                for letter, choice in zip(letters, one.choices, strict=True)
                if choice.mistake
            )
            listed = f'<ul style="text-align: left">{wrong}</ul>'
            back = f"<b>{letters[one.right]}: {html.escape(told(right.text))}</b>{listed}"
            lines.append("\t".join((f"case-studies/{one.id}", front, back, f"case-studies::{name}")))
    return "\n".join(lines) + "\n"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies cards [CHAPTER ...] [--out FILE]`."""
    parser = subparsers.add_parser("cards")
    parser.add_argument("chapters", nargs="*", help="such as resnet identity (default: all)")
    parser.add_argument("--out", type=Path, help="the file to write; Anki reads it with File, Import")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    text = cards(args.chapters)
    if args.out is None:
        sys.stdout.write(text)
        return 0
    args.out.write_text(text, encoding="utf-8")
    print(f"{text.count(chr(10)) - 6} cards in {args.out}; in Anki: File, Import.")
    return 0
