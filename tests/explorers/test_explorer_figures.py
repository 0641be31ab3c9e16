"""The Python side of the explorers: figures against closed forms and worked examples, settings, text."""

from __future__ import annotations

import json

import pytest
import torch
import traitlets

from casestudies.explorers import ConvolutionCost, ZeroWeights
from casestudies.explorers.base import fixed
from casestudies.explorers.zero_weights import NORMS, example

# (settings, output side, parameters, MACs): worked examples of the lectures and the papers
CONVOLUTIONS = [
    (dict(kind="standard", kernel=5, grid=28), 28, 153_600, 120_422_400),  # 192 -> 32
    (dict(kind="bottleneck", kernel=5, grid=28, reduced=16), 28, 15_872, 12_443_648),  # 192 -> 16 -> 32
    (dict(kind="standard", in_channels=3, out_channels=5, kernel=3, grid=6, padding="none"), 4, 135, 2_160),
    (dict(kind="separable", in_channels=3, out_channels=5, kernel=3, grid=6, padding="none"), 4, 42, 672),
    (
        dict(in_channels=1, out_channels=6, grid=32, padding="none", bias=True),
        28,
        156,
        117_600,
    ),  # LeNet-5
    (dict(in_channels=96, out_channels=256, grid=27, groups=2), 27, 307_200, 223_948_800),  # AlexNet, conv2
]


@pytest.mark.parametrize("settings, side, parameters, macs", CONVOLUTIONS)
def test_convolution_cost_gives_the_worked_examples(settings, side, parameters, macs):
    figures = ConvolutionCost.compute(**settings)
    assert (figures.layers[-1].side, figures.parameters, figures.macs) == (side, parameters, macs)


@pytest.mark.parametrize("out_channels, kernel", [(5, 3), (32, 5), (512, 3), (1, 1)])
def test_separable_ratio_is_one_over_n_plus_one_over_k_squared(out_channels, kernel):
    figures = ConvolutionCost.compute("separable", 64, out_channels, kernel, grid=16)
    assert figures.ratio == pytest.approx(1 / out_channels + 1 / kernel**2, rel=1e-12)


@pytest.mark.parametrize(
    "settings, text",
    [
        (dict(kernel=11, grid=7, padding="none"), "11 × 11 kernel does not fit into the 7 × 7 grid"),
        (dict(in_channels=64, groups=3), "3 groups do not divide the 64 input channels"),
        (dict(in_channels=64, out_channels=6, groups=4), "4 groups do not divide the 6 output channels"),
    ],
)
def test_impossible_convolution_is_explained_instead_of_counted(settings, text):
    with pytest.raises(ValueError, match=text):
        ConvolutionCost.compute(**settings)
    assert text in ConvolutionCost(**settings).sentence()


def test_even_kernel_is_refused_with_the_next_odd_one():
    with pytest.raises(traitlets.TraitError, match="kernel is 4.*use 5"):
        ConvolutionCost(kernel=4)


# (settings, is the block exactly the identity?)
IDENTITIES = [
    (dict(scale=0), True),
    (dict(scale=0.01), False),
    (dict(scale=0, activation="tanh"), False),
    (dict(scale=0, input="raw"), False),
    (dict(scale=0, shortcut="projection"), False),
    (dict(scale=0, norm="train"), False),
    (dict(scale=0, norm="eval"), False),
    (dict(scale=1, norm="train", last_norm=0), True),
    (dict(scale=1, norm="eval", last_norm=0), True),
    (dict(scale=1, norm="eval", last_norm=0, shortcut="projection"), False),
]


@pytest.mark.parametrize("settings, identity", IDENTITIES)
def test_block_is_the_identity_only_where_the_argument_holds(settings, identity):
    assert (ZeroWeights().compute(**settings).difference == 0) is identity


@pytest.mark.parametrize("settings, identity", IDENTITIES)
def test_sentence_says_exactly_only_of_an_identity(settings, identity):
    assert ("returns its input exactly" in ZeroWeights(**settings).sentence()) is identity


def test_batch_norm_undoes_the_scale_of_the_weights():
    whole, tenth = (ZeroWeights().compute(scale=scale, norm="train").after for scale in (1.0, 0.1))
    assert torch.allclose(whole, tenth, atol=2e-2)


def test_example_is_the_same_every_time():
    assert json.dumps(example()) == json.dumps(example())


def test_first_example_has_numbers_on_both_sides_of_zero():
    signs = {value > 0 for value in example()["inputs"][0]}
    assert signs == {True, False}


EXPLORERS = [ConvolutionCost, ZeroWeights]


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_text_for_readers_without_javascript_is_the_sentence(explorer):
    widget = explorer()
    assert widget.sentence() in repr(widget)


@pytest.mark.parametrize("explorer", EXPLORERS)
def test_module_and_data_of_an_explorer_stay_small(explorer):
    state = explorer().get_state()
    size = sum(len(json.dumps(value)) for key, value in state.items() if key not in ("layout",))
    assert size < 120_000


@pytest.mark.parametrize(
    "value, digits, text", [(0.125, 2, "0.13"), (2.5, 0, "3"), (-0.0001, 3, "0.000"), (9.68, 1, "9.7")]
)
def test_fixed_rounds_like_the_browser(value, digits, text):
    assert fixed(value, digits) == text


def test_norms_of_the_page_and_of_python_are_the_same():
    assert set(NORMS) == set(ZeroWeights.class_traits()["norm"].values)
