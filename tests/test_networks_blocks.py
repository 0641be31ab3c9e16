"""The blocks of the mobile, inception and pre-activation networks, each against an oracle of its own.

Whole networks (parameters, MACs, stages) are in test_networks.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from casestudies.networks import efficientnet, googlenet, mobilenet, mobilenet_v2, preresnet

# in_channels, out_channels, stride, image side
SHAPES = [(3, 5, 1, 6), (8, 16, 2, 7), (16, 16, 1, 5)]

# Configurations released in tensorflow/tpu: channels of stages 2 to 8, their repeats, stem, last convolution.
EFFICIENTNETS = {
    "b0": ([16, 24, 40, 80, 112, 192, 320], [1, 2, 2, 3, 3, 4, 1], 32, 1280),
    "b1": ([16, 24, 40, 80, 112, 192, 320], [2, 3, 3, 4, 4, 5, 2], 32, 1280),
    "b2": ([16, 24, 48, 88, 120, 208, 352], [2, 3, 3, 4, 4, 5, 2], 32, 1408),
    "b3": ([24, 32, 48, 96, 136, 232, 384], [2, 3, 3, 5, 5, 6, 2], 40, 1536),
    "b4": ([24, 32, 56, 112, 160, 272, 448], [2, 4, 4, 6, 6, 8, 2], 48, 1792),
    "b5": ([24, 40, 64, 128, 176, 304, 512], [3, 5, 5, 7, 7, 9, 3], 48, 2048),
    "b6": ([32, 40, 72, 144, 200, 344, 576], [3, 6, 6, 8, 8, 11, 3], 56, 2304),
    "b7": ([32, 48, 80, 160, 224, 384, 640], [4, 7, 7, 10, 10, 13, 4], 64, 2560),
}

# call, and what its error says
BAD_INPUT = [
    (lambda: mobilenet.mobilenet_v1(0), "width is 0; the multiplier alpha is above 0 and at most 2"),
    (lambda: mobilenet.mobilenet_v1(2.5), "width is 2.5"),
    (lambda: mobilenet.mobilenet_v1(num_classes=0), "num_classes is 0; expected at least 1"),
    (lambda: mobilenet.mobilenet_v1_full(num_classes=0), "num_classes is 0"),
    (lambda: mobilenet.mobilenet_v1_shallow(num_classes=-1), "num_classes is -1"),
    (lambda: mobilenet.image_side(1.5), "resolution is 1.5; the multiplier rho is above 0 and at most 1"),
    (lambda: mobilenet_v2.mobilenet_v2(-1), "width is -1; the width multiplier is above 0"),
    (lambda: mobilenet_v2.mobilenet_v2(num_classes=0), "num_classes is 0"),
    (lambda: mobilenet_v2.InvertedResidual(8, 8, 3), "stride is 3; an inverted residual has 1 or 2"),
    (lambda: mobilenet_v2.InvertedResidual(8, 8, 1, 0), "expansion is 0; expected at least 1"),
    (lambda: efficientnet.efficientnet("b8"), "name is 'b8'; expected one of b0, b1"),
    (lambda: efficientnet.efficientnet("b0", 0), "num_classes is 0"),
    (lambda: efficientnet.EfficientNet(width=0), "width is 0; the multiplier is above 0"),
    (lambda: efficientnet.EfficientNet(depth=-1), "depth is -1; the multiplier is above 0"),
    (lambda: efficientnet.MBConv(8, 8, expansion=0), "expansion is 0; expected at least 1"),
    (lambda: efficientnet.drop_connect(torch.ones(1), 1.0, True), "drop_rate is 1.0; expected a probability"),
    (lambda: googlenet.googlenet(0), "num_classes is 0"),
    (
        lambda: googlenet.AuxiliaryHead(8, 2)(torch.zeros(1, 8, 20, 20)),
        r"met a grid of \(20, 20\), which pools",
    ),
    (lambda: preresnet.preresnet(19), "depth is 19; .* have depth 18, 34, 50, 101, 152, 200"),
    (lambda: preresnet.preresnet(18, 0), "num_classes is 0"),
    (lambda: preresnet.cifar_preresnet(21), r"two-layer units have depth 6n \+ 2, such as 20"),
    (lambda: preresnet.cifar_preresnet(1000), r"bottlenecks have depth 9n \+ 2, such as 1001"),
    (lambda: preresnet.cifar_preresnet(2), r"depth 6n \+ 2, such as 8"),
]


@pytest.mark.parametrize(("call", "message"), BAD_INPUT)
def test_bad_input_is_named_with_what_to_do(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def lively(block: nn.Module, seed: int = 0) -> nn.Module:
    """The block in eval mode, with statistics and affine parameters away from 0 and 1."""
    generator = torch.Generator().manual_seed(seed)
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 1.5),
            ):
                tensor.uniform_(low, high, generator=generator)
        elif isinstance(module, nn.Conv2d):
            module.weight.data.normal_(0, 1 / math.sqrt(module.weight[0].numel()), generator=generator)
    return block.eval()


def image(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def normalise(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """Batch norm in eval mode, from its definition."""

    def by_channel(values: Tensor) -> Tensor:
        return values[None, :, None, None]

    scaled = (x - by_channel(norm.running_mean)) / by_channel(norm.running_var + norm.eps).sqrt()
    return scaled * by_channel(norm.weight) + by_channel(norm.bias)


def layers(module: nn.Module, kind: type[nn.Module]) -> list[nn.Module]:
    return [layer for layer in module.modules() if isinstance(layer, kind)]


def depthwise(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Every channel convolved by itself, one after another."""
    pad = weight.shape[-1] // 2
    channels = range(x.shape[1])
    filtered = [F.conv2d(x[:, [c]], weight[[c]], stride=stride, padding=pad) for c in channels]
    return torch.cat(filtered, dim=1)


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """A linear layer at every pixel."""
    return torch.einsum("bchw,oc->bohw", x, weight[:, :, 0, 0])


def macs(block: nn.Module, *shape: int) -> int:
    with FlopCounterMode(display=False) as counter:
        block(torch.zeros(shape))
    return counter.get_total_flops() // 2


# MobileNetV1


@pytest.mark.parametrize(("channels", "out", "stride", "side"), SHAPES)
def test_separable_conv_is_depthwise_then_pointwise(channels: int, out: int, stride: int, side: int) -> None:
    block = lively(mobilenet.SeparableConv(channels, out, stride))
    (first, second), norms = layers(block, nn.Conv2d), layers(block, nn.BatchNorm2d)
    x = image(2, channels, side, side)
    hidden = normalise(depthwise(x, first.weight, stride), norms[0]).clamp_min(0)
    expected = normalise(pointwise(hidden, second.weight), norms[1]).clamp_min(0)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("channels", "out", "stride", "side"), SHAPES)
def test_separable_conv_costs_one_over_n_plus_one_over_nine(
    channels: int, out: int, stride: int, side: int
) -> None:
    separable, full = (
        mobilenet.SeparableConv(channels, out, stride),
        mobilenet.full_conv(channels, out, stride),
    )
    shape = (1, channels, side, side)
    ratio = macs(separable.eval(), *shape) / macs(full.eval(), *shape)
    assert ratio == pytest.approx(1 / out + 1 / 9)


@pytest.mark.parametrize("width", [1.25, 1.0, 0.75, 0.5, 0.25, 0.1])
def test_width_multiplier_thins_every_layer(width: float) -> None:
    network = mobilenet.mobilenet_v1(width, num_classes=2)
    pointwise_widths = [block.pointwise[0].out_channels for block in network.features]
    assert pointwise_widths == [max(8, int(channels * width)) for channels, _ in mobilenet.MOBILENET]


def test_resolution_multiplier_gives_the_four_published_sides() -> None:
    assert [mobilenet.image_side(rho) for rho in (1, 0.857, 0.714, 0.571)] == [224, 192, 160, 128]


# MobileNetV2 (and MBConv, which has the same skeleton)


@pytest.mark.parametrize("expansion", [1, 4, 6])
@pytest.mark.parametrize(("channels", "out", "stride", "side"), SHAPES)
def test_inverted_residual_is_expand_filter_project(
    channels: int, out: int, stride: int, side: int, expansion: int
) -> None:
    block = lively(mobilenet_v2.InvertedResidual(channels, out, stride, expansion))
    convs, norms = layers(block, nn.Conv2d), layers(block, nn.BatchNorm2d)
    x = hidden = image(2, channels, side, side) * 4  # large enough that ReLU6 cuts something off
    if expansion != 1:
        hidden = normalise(pointwise(hidden, convs[0].weight), norms[0]).clamp(0, 6)
    hidden = normalise(depthwise(hidden, convs[-2].weight, stride), norms[-2]).clamp(0, 6)
    expected = normalise(pointwise(hidden, convs[-1].weight), norms[-1])
    if stride == 1 and channels == out:
        expected = expected + x
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-4)


def test_inverted_residual_costs_what_the_paper_says() -> None:
    height, width, channels, out, expansion = 6, 5, 8, 16, 6  # sec. 3.1: h w d' t (d' + k^2 + d'')
    block = mobilenet_v2.InvertedResidual(channels, out, 1, expansion).eval()
    expected = height * width * channels * expansion * (channels + 9 + out)
    assert macs(block, 1, channels, height, width) == expected


@pytest.mark.parametrize("make", [mobilenet_v2.InvertedResidual, efficientnet.MBConv])
def test_block_adds_its_input_only_at_equal_shapes(make: Callable[..., nn.Module]) -> None:
    x = image(2, 8, 6, 6)
    adds = {}
    for out, stride in [(8, 1), (8, 2), (16, 1), (16, 2)]:
        block = make(8, out, stride=stride).eval()
        nn.init.zeros_(layers(block, nn.BatchNorm2d)[-1].weight)  # the branch itself gives 0
        adds[out, stride] = bool(block(x).abs().sum() > 0)
    assert adds == {(8, 1): True, (8, 2): False, (16, 1): False, (16, 2): False}


@pytest.mark.parametrize("make", [mobilenet_v2.InvertedResidual, efficientnet.MBConv])
def test_expansion_of_one_has_no_expanding_layer(make: Callable[..., nn.Module]) -> None:
    without, with_ = make(8, 16, expansion=1), make(8, 16, expansion=6)
    assert len(layers(with_, nn.BatchNorm2d)) - len(layers(without, nn.BatchNorm2d)) == 1


@pytest.mark.parametrize("rounding", [mobilenet_v2.round_channels, efficientnet.round_channels])
@pytest.mark.parametrize("width", [0.35, 0.5, 0.75, 1.0, 1.1, 1.3, 1.4, 2.0])
def test_rounded_channels_are_the_nearest_multiple_not_below_90_percent(
    rounding: Callable[[int, float], int], width: float
) -> None:
    for channels in range(8, 400, 3):
        wanted = channels * width
        allowed = [m for m in range(8, 1000, 8) if m >= 0.9 * wanted]
        nearest = min(abs(m - wanted) for m in allowed)
        assert rounding(channels, width) in [m for m in allowed if abs(m - wanted) == nearest]


@pytest.mark.parametrize(("width", "last"), [(0.35, 1280), (1.0, 1280), (1.4, 1792)])
def test_last_convolution_of_v2_never_gets_thinner(width: float, last: int) -> None:
    assert mobilenet_v2.mobilenet_v2(width, num_classes=2).head[-1].in_features == last


# EfficientNet


@pytest.mark.parametrize("name", EFFICIENTNETS)
def test_scaling_b0_gives_the_released_configuration(name: str) -> None:
    channels, repeats, stem, last = EFFICIENTNETS[name]
    with torch.device("meta"):
        network = efficientnet.efficientnet(name, num_classes=2)
    widths = [layers(block, nn.Conv2d)[-1].out_channels for block in network.features]
    assert widths == [c for c, n in zip(channels, repeats, strict=True) for _ in range(n)]
    assert (layers(network.stem, nn.Conv2d)[0].out_channels, network.head[-1].in_features) == (stem, last)


@pytest.mark.parametrize("phi", [0, 1, 2.5, 7])
def test_flops_grow_with_depth_and_the_squares_of_width_and_resolution(phi: float) -> None:
    depth, width, resolution = efficientnet.compound_scaling(phi, 1.3, 1.2, 1.1)
    assert efficientnet.flops_growth(phi, 1.3, 1.2, 1.1) == pytest.approx(depth * width**2 * resolution**2)


def test_excitation_scales_each_channel_by_its_gate() -> None:
    block = efficientnet.SqueezeExcite(6, 2)
    reduce, restore = layers(block, nn.Conv2d)
    x = image(3, 6, 4, 5)
    narrow = x.mean(dim=(2, 3)) @ reduce.weight[:, :, 0, 0].T + reduce.bias
    narrow = narrow / (1 + (-narrow).exp())  # SiLU
    gate = 1 / (1 + (-(narrow @ restore.weight[:, :, 0, 0].T + restore.bias)).exp())
    torch.testing.assert_close(block(x), x * gate[:, :, None, None])


@pytest.mark.parametrize(("channels", "squeezed"), [(16, 4), (30, 7), (3, 1)])
def test_mbconv_squeezes_to_a_quarter_of_its_input(channels: int, squeezed: int) -> None:
    gate = layers(efficientnet.MBConv(channels, 8), efficientnet.SqueezeExcite)[0]
    assert layers(gate, nn.Conv2d)[0].out_channels == squeezed


def test_drop_connect_drops_whole_samples_and_scales_the_rest() -> None:
    torch.manual_seed(0)
    dropped = efficientnet.drop_connect(torch.ones(1000, 2, 3, 3), 0.2, training=True)
    assert set(dropped.flatten(1).amin(1).tolist()) == set(dropped.flatten(1).amax(1).tolist()) == {0.0, 1.25}


def test_drop_connect_keeps_the_expected_value() -> None:
    torch.manual_seed(0)
    mean = efficientnet.drop_connect(torch.ones(10_000, 1), 0.2, training=True).mean().item()
    assert mean == pytest.approx(1, abs=4 * 0.5 / 100)  # four standard deviations of the mean


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_drop_connect_is_the_identity_outside_of_training_and_at_rate_zero(
    rate: float, training: bool
) -> None:
    x = image(4, 2, 3, 3)
    assert torch.equal(efficientnet.drop_connect(x, rate, training), x)


def test_drop_connect_rises_evenly_from_zero_to_just_below_the_rate() -> None:
    rates = [block.drop_rate for block in efficientnet.efficientnet("b0", num_classes=2).features]
    assert rates == pytest.approx([0.2 * index / 16 for index in range(16)])


# GoogLeNet


@pytest.mark.parametrize("kernel", [5, 3], ids=["paper", "torchvision"])
def test_inception_module_concatenates_its_four_branches_in_the_order_of_the_table(kernel: int) -> None:
    module = googlenet.InceptionModule if kernel == 5 else googlenet.TorchvisionInception
    block = lively(module(6, 2, 3, 4, 2, 5, 3))
    convs, norms = layers(block, nn.Conv2d), layers(block, nn.BatchNorm2d)

    def step(x: Tensor, index: int) -> Tensor:
        weight, bias = convs[index].weight, convs[index].bias
        z = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        return (normalise(z, norms[index]) if norms else z).clamp_min(0)

    x = image(2, 6, 7, 5)
    windows = F.pad(x, (1, 1, 1, 1), value=-math.inf).unfold(2, 3, 1).unfold(3, 3, 1)
    pooled = windows.amax(dim=(-2, -1))  # a 3x3 maximum at every pixel
    expected = [step(x, 0), step(step(x, 1), 2), step(step(x, 3), 4), step(pooled, 5)]
    assert [conv.kernel_size[0] for conv in convs] == [1, 1, 3, 1, kernel, 1]
    torch.testing.assert_close(block(x), torch.cat(expected, dim=1), rtol=1e-4, atol=1e-5)


def test_each_inception_row_takes_what_the_row_before_gives() -> None:
    rows = list(googlenet.INCEPTION.values())
    given = [c1 + c3 + c5 + pool for _, c1, _, c3, _, c5, pool in rows]
    assert [row[0] for row in rows] == [192, *given[:-1]]


@pytest.mark.parametrize("make", [googlenet.googlenet, googlenet.googlenet_torchvision])
def test_auxiliary_heads_speak_in_training_only(make: Callable[..., nn.Module]) -> None:
    network = make(7, aux=True)
    x = image(2, 3, 224, 224)
    with torch.no_grad():
        outputs, logits = network.train()(x), network.eval()(x)
    assert [tuple(output.shape) for output in outputs] == [(2, 7)] * 3
    assert tuple(logits.shape) == (2, 7)


def test_auxiliary_losses_count_three_tenths() -> None:
    uniform, labels = torch.zeros(4, 10), torch.arange(4)  # the cross entropy of each is log 10
    loss = googlenet.training_loss((uniform, uniform, uniform), labels)
    assert loss.item() == pytest.approx(1.6 * math.log(10))


# Pre-activation ResNet

UNITS = {
    "basic": lambda channels, out, stride: preresnet.PreActBasic(channels, out, stride),
    "padded": lambda channels, out, stride: preresnet.PreActBasic(channels, out, stride, pad=True),
    "bottleneck": lambda channels, out, stride: preresnet.PreActBottleneck(channels, out // 4, stride),
}


@pytest.mark.parametrize("unit", UNITS)
def test_unit_without_residual_is_the_identity_even_for_negative_inputs(unit: str) -> None:
    block = UNITS[unit](8, 8, 1)
    nn.init.zeros_(layers(block.residual, nn.Conv2d)[-1].weight)
    x = image(2, 8, 5, 5)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("unit", UNITS)
def test_residual_and_changing_shortcut_both_start_from_the_activation(unit: str) -> None:
    block = lively(UNITS[unit](8, 16, 2))
    x = image(2, 8, 7, 7)
    activated = normalise(x, layers(block, nn.BatchNorm2d)[0]).clamp_min(0)
    if unit == "padded":
        carried = torch.cat([activated[:, :, ::2, ::2], torch.zeros(2, 8, 4, 4)], dim=1)
    else:
        carried = pointwise(activated[:, :, ::2, ::2], block.shortcut.weight)
    torch.testing.assert_close(block(x) - carried, block.residual(activated), rtol=1e-4, atol=1e-5)


def test_output_of_a_stage_is_its_input_plus_all_residuals() -> None:
    stage = lively(nn.Sequential(*(preresnet.PreActBasic(8, 8) for _ in range(4))))  # eq. (4)
    residuals: list[Tensor] = []
    for unit in stage:
        unit.residual.register_forward_hook(lambda *call: residuals.append(call[-1]))
    x = image(2, 8, 5, 5)
    torch.testing.assert_close(stage(x), x + sum(residuals))


@pytest.mark.parametrize(
    ("network", "strides"),
    [
        (lambda: preresnet.preresnet(50, 2), (1, 2, 1)),
        (lambda: preresnet.cifar_preresnet(164, 2), (2, 1, 1)),
    ],
    ids=["imagenet", "cifar"],
)
def test_stride_of_a_bottleneck_is_where_the_family_has_it(
    network: Callable[[], nn.Module], strides: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        unit = network().stages[1][0]
    assert tuple(conv.stride[0] for conv in layers(unit.residual, nn.Conv2d)) == strides


def test_only_the_very_first_unit_has_no_activation_of_its_own() -> None:
    with torch.device("meta"):
        units = [unit for stage in preresnet.cifar_preresnet(20).stages for unit in stage]
    assert [isinstance(unit.activate, nn.Identity) for unit in units] == [True] + [False] * 8


@pytest.mark.parametrize(("depth", "bottleneck", "units"), [(20, None, 9), (20, True, 6), (164, None, 54)])
def test_depth_of_a_cifar_network_sets_its_units(depth: int, bottleneck: bool | None, units: int) -> None:
    with torch.device("meta"):
        network = preresnet.cifar_preresnet(depth, bottleneck=bottleneck)
    assert sum(len(stage) for stage in network.stages) == units
