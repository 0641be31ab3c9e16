"""All networks: the verified figures to the last digit, shapes as in the papers, gradients, train and eval.

The blocks have tests of their own, in test_networks_blocks.py; here are whole networks, and the blocks of
LeNet-5, AlexNet, VGG and NiN.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import COUNTED_IN_TRAINING, FIGURES, SOURCES, Figures
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from casestudies import zoo
from casestudies.costs import Ledger, ledger
from casestudies.networks import alexnet, lenet, nin, vgg

# ------------------------------------------------------------------------------------------------- figures

each_figure = pytest.mark.parametrize("figures", FIGURES, ids=lambda figures: figures.id)


@functools.cache
def ledger_of(figures: Figures) -> Ledger:
    training = figures.id in COUNTED_IN_TRAINING
    return ledger(zoo.skeleton(figures.name), figures.image, training=training)


@each_figure
def test_parameters(figures):
    assert ledger_of(figures).parameters == figures.parameters


@each_figure
def test_macs(figures):
    assert ledger_of(figures).macs == figures.macs


@each_figure
def test_outputs_of_convolutions_and_linear_layers(figures):
    assert sum(math.prod(row.output) for row in ledger_of(figures).rows if row.macs) == figures.outputs


@each_figure
def test_weighted_layers(figures):
    assert ledger_of(figures).depth == figures.layers


@each_figure
def test_source_is_described(figures):
    assert figures.source in SOURCES


def test_every_variant_has_verified_figures():
    assert set(zoo.names()) == {figures.name for figures in FIGURES}


def test_image_of_the_registry_is_one_of_the_figures():
    images = {(figures.name, figures.image) for figures in FIGURES}
    assert {(name, variant.image) for name, variant in zoo.VARIANTS.items()} <= images


# One variant of each architecture, the smallest where there are several; the side of a small image.
SMALL = {
    "lenet5": 32,
    "lenet5_original": 32,
    "alexnet": 64,
    "alexnet_2012": 227,
    "vgg11": 32,
    "vgg11_bn": 32,
    "vgg16_c": 32,
    "nin_cifar10": 32,
    "nin_imagenet": 96,
    "nin_d2l": 96,
    "googlenet_aux": 224,
    "googlenet_bn": 64,
    "googlenet_torchvision_aux": 64,
    "resnet18": 64,
    "resnet18_c": 64,
    "resnet50_v1": 64,
    "plain18": 64,
    "cifar_resnet20": 32,
    "cifar_resnet20_b": 32,
    "cifar_resnet164": 16,
    "cifar_plain20": 32,
    "preresnet18": 64,
    "preresnet50": 64,
    "cifar_preresnet20": 32,
    "cifar_preresnet164": 16,
    "mobilenet_v1_0.25_128": 64,
    "mobilenet_v1_full": 64,
    "mobilenet_v1_shallow": 64,
    "mobilenet_v2_0.35_96": 64,
    "efficientnet_b0": 64,
    "efficientnet_lite0": 64,
}
each_small = pytest.mark.parametrize("name, side", SMALL.items(), ids=SMALL)


@each_small
def test_flop_counter_is_exactly_twice_our_macs(name, side):
    network, image = zoo.skeleton(name).eval(), (zoo.VARIANTS[name].image[0], side, side)
    with FlopCounterMode(display=False) as counter:
        network(torch.empty(1, *image, device="meta"))
    assert counter.get_total_flops() == 2 * ledger(network, image).macs


# --------------------------------------------------------------------------------------------- how they run

# Those that run in a moment on a CPU.
LIGHT = {
    "lenet5": 32,
    "lenet5_original": 32,
    "nin_cifar10": 32,
    "googlenet_torchvision": 64,
    "resnet18": 64,
    "cifar_resnet20": 32,
    "preresnet18": 64,
    "cifar_preresnet20": 32,
    "mobilenet_v1_0.25_128": 64,
    "mobilenet_v2_0.35_96": 64,
    "efficientnet_b0": 64,
    "efficientnet_lite0": 64,
}
each_light = pytest.mark.parametrize("name, side", LIGHT.items(), ids=LIGHT)


def images_for(name: str, side: int, count: int) -> Tensor:
    return torch.randn(count, zoo.VARIANTS[name].image[0], side, side, generator=torch.manual_seed(0))


@pytest.fixture(scope="module")
def network_of():
    """Each network is built once, with the same weights in every run."""

    @functools.cache
    def make(name: str) -> nn.Module:
        torch.manual_seed(1)
        return zoo.build(name, num_classes=None if name == "lenet5_original" else 7)

    return make


@each_light
def test_logits_are_one_a_class(name, side, network_of):
    logits = network_of(name).eval()(images_for(name, side, 2))
    assert logits.shape == (2, 10 if name == "lenet5_original" else 7)


@each_light
def test_every_parameter_gets_a_gradient(name, side, network_of):
    network = network_of(name).train()
    F.cross_entropy(network(images_for(name, side, 4)), torch.tensor([0, 1, 2, 3])).backward()
    without = [path for path, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    network.zero_grad()
    assert without == []


@pytest.mark.parametrize(
    "name", ["googlenet_aux", "googlenet_torchvision_aux", "alexnet", "vgg16_c", "nin_imagenet"]
)
def test_every_parameter_of_a_large_network_is_connected(name):
    network = zoo.skeleton(name).train()
    outputs = network(torch.empty(2, *zoo.VARIANTS[name].image, device="meta"))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    sum(output.sum() for output in outputs).backward()
    assert [path for path, p in network.named_parameters() if p.grad is None] == []


@each_light
def test_evaluation_gives_the_same_answer_twice_and_alone(name, side, network_of):
    network, images = network_of(name).eval(), images_for(name, side, 3)
    with torch.no_grad():
        together, again = network(images), network(images)
        alone = network(images[:1])  # a batch of one
    assert torch.equal(together, again)
    torch.testing.assert_close(alone, together[:1], rtol=1e-4, atol=1e-4)


@each_light
def test_training_differs_from_evaluation_where_there_is_dropout_or_batch_norm(name, side, network_of):
    network, images = network_of(name), images_for(name, side, 4)
    expected = any(isinstance(module, (nn.Dropout, nn.BatchNorm2d)) for module in network.modules())
    with torch.no_grad():
        same = torch.equal(network.train()(images), network.eval()(images))
    assert same != expected


# ------------------------------------------------------------------------------- stages, as in the papers

# Module, shape of its output for one image of the paper's size.
STAGES = {
    "lenet5": [("features.0", (6, 28, 28)), ("features.2", (6, 14, 14)), ("features.3", (16, 10, 10)),
               ("features.5", (16, 5, 5)), ("features.6", (120, 1, 1)), ("classifier.1", (84,))],
    "lenet5_original": [("c1", (6, 28, 28)), ("s2", (6, 14, 14)), ("c3", (16, 10, 10)), ("s4", (16, 5, 5)),
                        ("c5", (120, 1, 1)), ("f6", (84,)), ("output", (10,))],
    "alexnet_2012": [("trunk.0", (96, 55, 55)), ("trunk.3", (96, 27, 27)), ("trunk.4", (256, 27, 27)),
                     ("trunk.7", (256, 13, 13)), ("trunk.8", (384, 13, 13)), ("trunk.10", (384, 13, 13)),
                     ("trunk.12", (256, 13, 13)), ("trunk", (256, 6, 6)), ("classifier.1", (4096,))],
    "alexnet": [("features.0", (64, 55, 55)), ("features.2", (64, 27, 27)), ("features.5", (192, 13, 13)),
                ("features", (256, 6, 6))],
    "vgg16": [("features.4", (64, 112, 112)), ("features.9", (128, 56, 56)), ("features.16", (256, 28, 28)),
              ("features.23", (512, 14, 14)), ("features", (512, 7, 7))],
    "nin_cifar10": [("features.0", (96, 32, 32)), ("features.1", (96, 16, 16)), ("features.3", (192, 16, 16)),
                    ("features.4", (192, 8, 8)), ("head.class_maps", (10, 8, 8))],
    "nin_imagenet": [("features.0", (96, 54, 54)), ("features.1", (96, 27, 27)), ("features.3", (256, 13, 13)),
                     ("features.5", (384, 6, 6)), ("features.7", (1024, 6, 6))],
    "googlenet": [("stem", (192, 28, 28)), ("stage3.0", (256, 28, 28)), ("stage3.1", (480, 28, 28)),
                  ("stage4a", (512, 14, 14)), ("stage4bcd", (528, 14, 14)), ("stage4e", (832, 7, 7)),
                  ("stage5", (1024, 7, 7))],
    "resnet34": [("stem.0", (64, 112, 112)), ("stem", (64, 56, 56)), ("stages.0", (64, 56, 56)),
                 ("stages.1", (128, 28, 28)), ("stages.2", (256, 14, 14)), ("stages.3", (512, 7, 7))],
    "resnet50": [("stages.0", (256, 56, 56)), ("stages.1", (512, 28, 28)), ("stages.2", (1024, 14, 14)),
                 ("stages.3", (2048, 7, 7))],
    "cifar_resnet56": [("stages.0", (16, 32, 32)), ("stages.1", (32, 16, 16)), ("stages.2", (64, 8, 8))],
    "preresnet50": [("stages", (2048, 7, 7))],
    "cifar_preresnet164": [("stages", (256, 8, 8))],
    "mobilenet_v1": [("stem", (32, 112, 112)), ("features.0", (64, 112, 112)), ("features.2", (128, 56, 56)),
                     ("features.4", (256, 28, 28)), ("features.10", (512, 14, 14)), ("features", (1024, 7, 7))],
    "mobilenet_v2": [("stem", (32, 112, 112)), ("features.0", (16, 112, 112)), ("features.2", (24, 56, 56)),
                     ("features.5", (32, 28, 28)), ("features.9", (64, 14, 14)), ("features.12", (96, 14, 14)),
                     ("features.15", (160, 7, 7)), ("features", (320, 7, 7)), ("last", (1280, 7, 7))],
    "efficientnet_b0": [("stem", (32, 112, 112)), ("features.0", (16, 112, 112)), ("features.2", (24, 56, 56)),
                        ("features.4", (40, 28, 28)), ("features.7", (80, 14, 14)),
                        ("features.10", (112, 14, 14)), ("features.14", (192, 7, 7)), ("features", (320, 7, 7)),
                        ("last", (1280, 7, 7))],
}  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_stages_have_the_shapes_of_the_paper(name):
    network, shapes = zoo.skeleton(name).eval(), {}
    for path, module in network.named_modules():
        module.register_forward_hook(
            lambda module, args, output, path=path: shapes.update({path: tuple(output.shape[1:])})
        )
    network(torch.empty(1, *zoo.VARIANTS[name].image, device="meta"))
    assert [(path, shapes[path]) for path, _ in STAGES[name]] == STAGES[name]


# ------------------------------------------------------------------------------------------------- LeNet-5


def test_lenet_connections_are_those_of_the_paper():
    # Every weight and bias, once for each position; subsampling: four inputs and a bias; 840 fixed distances.
    links = sum(map(len, lenet.C3_INPUTS))
    c1 = 6 * (25 + 1) * 28 * 28
    c3 = (links * 25 + 16) * 10 * 10
    s2, s4 = 6 * 5 * 14 * 14, 16 * 5 * 5 * 5
    assert links == 60
    assert c1 + s2 + c3 + s4 + 120 * 401 + 84 * 121 + 10 * 84 == 340_908


def test_lenet_variants_differ_by_the_layers_that_the_file_names():
    full, partial = nn.Conv2d(6, 16, 5), lenet.PartialConv(lenet.C3_INPUTS, 5)
    c3 = sum(p.numel() for p in full.parameters()) - sum(p.numel() for p in partial.parameters())
    assert c3 - 2 * (6 + 16) + (84 * 10 + 10) == 61_706 - 60_000


def test_partial_convolution_is_a_full_one_with_zeros():
    torch.manual_seed(0)
    partial, full = lenet.PartialConv(lenet.C3_INPUTS, 5), nn.Conv2d(6, 16, 5)
    with torch.no_grad():
        full.weight.zero_()
        for index, (maps, conv) in enumerate(zip(lenet.C3_INPUTS, partial.maps, strict=True)):
            full.weight[index, list(maps)] = conv.weight[0]
            full.bias[index] = conv.bias[0]
    x = torch.randn(2, 6, 14, 14)
    torch.testing.assert_close(partial(x), full(x))


def test_subsampling_sums_scales_and_shifts():
    layer = lenet.Subsampling(1)
    with torch.no_grad():
        layer.coefficient.fill_(2)
        layer.bias.fill_(-1)
    assert layer(torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])).item() == 2 * (1 + 2 + 3 + 4) - 1


def test_squash_has_fixed_points_at_plus_and_minus_one():
    torch.testing.assert_close(
        lenet.squash(torch.tensor([1.0, -1.0])), torch.tensor([1.0, -1.0]), atol=1e-4, rtol=0
    )


def test_bitmaps_are_ten_different_drawings_of_plus_and_minus_one():
    bitmaps = lenet.bitmaps()
    assert bitmaps.shape == (10, 7 * 12)
    assert bitmaps.abs().eq(1).all() and bitmaps.unique(dim=0).shape[0] == 10


def test_radial_basis_is_zero_on_its_own_bitmap_only():
    penalties = lenet.RadialBasis()(lenet.bitmaps())
    assert torch.equal(penalties == 0, torch.eye(10, dtype=torch.bool))


def test_competitive_loss_is_equation_9():
    torch.manual_seed(0)
    penalties, labels, j = 5 * torch.rand(4, 10), torch.tensor([3, 0, 9, 3]), 0.1
    terms = [
        y[label] + math.log(math.exp(-j) + sum(math.exp(-value) for value in y))
        for y, label in zip(penalties.tolist(), labels.tolist(), strict=True)
    ]
    assert lenet.competitive_loss(-penalties, labels, j).item() == pytest.approx(sum(terms) / 4, rel=1e-5)


# ------------------------------------------------------------------------------------------------- AlexNet


def test_response_norm_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    a, n, k, alpha, beta = 10 * torch.randn(1, 9, 2, 2), 5, 2, 1e-4, 0.75
    expected = torch.empty_like(a)
    for i in range(9):
        window = a[:, max(0, i - n // 2) : min(8, i + n // 2) + 1]
        expected[:, i] = a[:, i] / (k + alpha * (window**2).sum(dim=1)) ** beta
    torch.testing.assert_close(alexnet.response_norm()(a), expected)


@pytest.mark.parametrize("layer, separate", [(4, True), (8, False), (10, True), (12, True)])
def test_towers_meet_only_in_layer_3(layer, separate):
    conv = alexnet.AlexNetTrunk()[layer]
    x = torch.randn(1, conv.in_channels, 5, 5, requires_grad=True)
    conv(x)[:, : conv.out_channels // 2].sum().backward()  # what the first tower hears of the second
    assert bool((x.grad[:, conv.in_channels // 2 :] == 0).all()) == separate


def test_alexnet_biases_start_at_one_where_the_paper_says(network_of):
    torch.manual_seed(0)
    network = alexnet.AlexNet2012(num_classes=2)
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    assert [layer.bias.unique().tolist() for layer in layers] == [[b] for b in (0, 1, 0, 1, 1, 1, 1, 0)]


# ------------------------------------------------------------------------------------------- VGG and NiN


@pytest.mark.parametrize("num_convs", [1, 2, 4])
def test_vgg_block_is_a_row_of_table_1(num_convs):
    block = vgg.vgg_block(num_convs, 3, 8)
    kinds = [type(module) for module in block]
    assert kinds == [nn.Conv2d, nn.ReLU] * num_convs + [nn.MaxPool2d]
    assert block(torch.zeros(1, 3, 12, 10)).shape == (1, 8, 6, 5)


@pytest.mark.parametrize("configuration, layers", [("A", 11), ("B", 13), ("C", 16), ("D", 16), ("E", 19)])
def test_vgg_configurations_have_the_layers_of_table_1(configuration, layers):
    convolutions = sum(item != "M" for item in vgg.CONFIGURATIONS[configuration])
    assert convolutions + 3 == layers


def test_nin_head_averages_the_class_maps():
    torch.manual_seed(0)
    head, x = nin.GlobalAverageHead(4, 3), torch.randn(2, 4, 5, 6)
    maps = torch.einsum("oi,bihw->bohw", head.class_maps.weight[:, :, 0, 0], x)
    torch.testing.assert_close(head(x), maps.mean(dim=(2, 3)) + head.class_maps.bias)


def test_nin_block_runs_a_small_network_at_every_pixel():
    torch.manual_seed(0)
    block, x = nin.NiNBlock(3, 5, 3), torch.randn(1, 3, 4, 4)
    first, _, second, _, third, _ = block.block
    y = first(x).relu()[0, :, 1, 1]  # one pixel
    for conv in (second, third):
        y = (conv.weight[:, :, 0, 0] @ y + conv.bias).relu()
    torch.testing.assert_close(block(x)[0, :, 1, 1], y)


# --------------------------------------------------------------------------------------------- the registry

# call, what its error says
BAD_CALLS = [
    (lambda: zoo.build("resnet5O"), "name is 'resnet5O'; did you mean 'resnet50'?"),
    (lambda: zoo.build("VGG17"), "did you mean 'vgg1"),
    (lambda: zoo.build("transformer"), "name is 'transformer'; `casestudies networks` lists all names"),
    (lambda: zoo.build("vgg16", num_classes=0), "num_classes is 0; expected an integer of at least 1"),
    (lambda: zoo.build("resnet50", stride_in="2x2"), "stride_in is '2x2'; expected one of '1x1', '3x3'"),
    (lambda: zoo.build("cifar_resnet20", option="Z"), "option is 'Z'; expected one of 'A', 'B', 'C'"),
    (lambda: zoo.build("vgg16", num_classes=2.5), "num_classes is 2.5 (float); expected an integer"),
    (lambda: zoo.build("vgg16", num_classes="10"), "num_classes is '10' (str); expected an integer"),
    (
        lambda: zoo.build("lenet5_original", num_classes=5),
        "num_classes is 5; the original LeNet-5 has a bitmap",
    ),
    (
        lambda: zoo.build("resnet50", pretrained=True, stride_in="1x1"),
        "options are {'stride_in': '1x1'}, but the",
    ),
    (lambda: zoo.build("vgg16", num_classes=5, pretrained=True), "the pretrained weights of vgg16 have 1000"),
    (
        lambda: zoo.skeleton("resnet18")(torch.empty(2, 1, 64, 64, device="meta")),
        "images have shape (2, 1, 64, 64); resnet18 expects (batch, 3, height, width)",
    ),
    (
        lambda: zoo.skeleton("lenet5")(torch.empty(1, 32, 32, device="meta")),
        "images have shape (1, 32, 32); lenet5 expects (batch, 1, height, width)",
    ),
    (
        lambda: zoo.skeleton("vgg11")(torch.empty(1, 3, 64, 64, dtype=torch.uint8, device="meta")),
        "images are torch.uint8; vgg11 computes in torch.float32",
    ),
    (lambda: alexnet.alexnet_2012(groups=3), "groups is 3; AlexNet has 2 towers"),
    (lambda: vgg.vgg("F"), "configuration is 'F'; Table 1 has A, B, C, D, E"),
]


@pytest.mark.parametrize("call, message", BAD_CALLS)
def test_bad_input_is_explained(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


def test_images_that_are_no_tensor_are_refused_by_their_type():
    images = np.zeros((1, 1, 32, 32), np.float32)
    with pytest.raises(TypeError, match=r"images are array.* \(ndarray\); expected a tensor"):
        zoo.build("lenet5")(images)


def test_images_may_be_given_by_name():
    assert zoo.build("lenet5")(x=torch.zeros(1, 1, 32, 32)).shape == (1, 10)


def test_a_width_may_be_a_number_of_numpy():
    network = zoo.build("mobilenet_v1", width=np.float32(0.5))
    assert ledger(network) == ledger(zoo.build("mobilenet_v1", width=0.5))


@pytest.mark.parametrize(
    "spoken, name",
    [
        ("LeNet", "lenet5"),
        ("LeNet-5", "lenet5"),
        ("AlexNet", "alexnet"),
        ("VGG-19", "vgg19"),
        ("VGG16_BN", "vgg16_bn"),
        ("ResNet-50", "resnet50"),
        ("Inception v1", "googlenet"),
        ("MobileNetV2", "mobilenet_v2"),
        ("MobileNet", "mobilenet_v1"),
        ("mobilenet_v1_0.25_128", "mobilenet_v1_0.25_128"),
        ("EfficientNet-B7", "efficientnet_b7"),
    ],
)
def test_names_are_understood_as_papers_write_them(spoken, name):
    assert zoo.variant(spoken).name == name


def test_no_two_networks_share_a_spelling():
    assert set(zoo.SPELLINGS.values()) == set(zoo.VARIANTS)
    assert len(zoo.SPELLINGS) == len(zoo.VARIANTS) + len(zoo.SHORT)


def test_images_of_another_type_are_welcome_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert zoo.build("lenet5")(torch.zeros(1, 1, 32, 32, dtype=torch.bfloat16)).shape == (1, 10)


def test_network_of_other_channels_expects_those():
    assert zoo.build("lenet5", in_channels=3)(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_skeleton_has_no_weights():
    assert {p.device.type for p in zoo.skeleton("vgg19").parameters()} == {"meta"}


def test_num_classes_changes_only_the_last_layer():
    ours, papers = zoo.skeleton("resnet18", num_classes=7), zoo.skeleton("resnet18")
    shapes = zip(ours.parameters(), papers.parameters(), strict=True)
    assert sum(a.shape != b.shape for a, b in shapes) == 2  # weight and bias


def test_published_error_rates_are_percentages_with_a_protocol_and_a_source():
    rates = [rate for variant in zoo.VARIANTS.values() for rate in variant.published]
    assert len(rates) > 100
    for rate in rates:
        known = [value for value in (rate.top5, rate.top1) if value is not None]
        assert known == sorted(known) and 0 < known[0] < 100 and rate.protocol and rate.source


def test_published_names_are_in_the_registry():
    assert set(zoo.PUBLISHED) <= set(zoo.names())
