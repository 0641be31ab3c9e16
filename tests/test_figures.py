"""Figures: what they show comes from the module, and every reader can read them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import figures, zoo
from casestudies.networks import resnet

# A block, the shape of its input, the kinds of step that its trace must have, and the shape of its output.
BLOCKS = [
    pytest.param(resnet.PlainBlock(8, 8), (8, 6, 6), set(), (8, 6, 6), id="plain"),
    pytest.param(resnet.BasicBlock(8, 8), (8, 6, 6), {"sum", "wire"}, (8, 6, 6), id="basic"),
    pytest.param(resnet.BasicBlock(8, 16, 2), (8, 6, 6), {"sum"}, (16, 3, 3), id="option-B"),
    pytest.param(resnet.BasicBlock(8, 16, 2, option="A"), (8, 6, 6), {"sum"}, (16, 3, 3), id="option-A"),
    pytest.param(resnet.Bottleneck(16, 4), (16, 6, 6), {"sum", "wire"}, (16, 6, 6), id="bottleneck"),
]

# A network, its image, and how many shortcuts it has: identities, and those that change the shape.
NETWORKS = [
    pytest.param(lambda: resnet.resnet(18), (3, 224, 224), 5, 3, id="resnet18"),
    pytest.param(lambda: resnet.resnet(50), (3, 224, 224), 12, 4, id="resnet50"),
    pytest.param(lambda: resnet.plain(34), (3, 224, 224), 0, 0, id="plain34"),
    pytest.param(lambda: resnet.cifar_resnet(20), (3, 32, 32), 7, 2, id="cifar_resnet20"),
]

PAGES = {"light": (0, "#ffffff"), "dark": (1, "#14181e")}


class Branches(nn.Module):
    """Three branches, concatenated."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(4, 2, 1), nn.ReLU())
        self.three = nn.Sequential(nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Conv2d(3, 6, 3, padding=1), nn.ReLU())
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 5, 1), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.one(x), self.three(x), self.pool(x)], dim=1)


class Gate(nn.Module):
    """Channels weighted by a function of their averages, then projected and added."""

    def __init__(self) -> None:
        super().__init__()
        self.wide = nn.Conv2d(4, 8, 3, padding=1, groups=4)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.SiLU(), nn.Conv2d(2, 8, 1))
        self.out = nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.wide(x)
        return self.out(wide * torch.sigmoid(self.gate(wide))) + x


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    """WCAG 2: the ratio of relative luminances."""
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def curve() -> figures.Figure:
    figure, axes = figures.subplots()
    axes.plot([1, 2, 3], [3, 1, 2], color=figures.colour("residual"), label="residual")
    figures.end_labels(axes)
    return figure


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("role", [role for role in figures.ROLES if role != "line"])
def test_every_colour_stands_out_from_the_page(role: str, page: str) -> None:
    shade, paper = PAGES[page]
    assert contrast(figures.ROLES[role][shade], paper) >= 3


@pytest.mark.parametrize("role", [role for role in figures.ROLES if role != "line"])
@pytest.mark.parametrize("page", PAGES)
def test_text_is_legible_in_every_colour(role: str, page: str) -> None:
    shade, paper = PAGES[page]
    assert contrast(figures.WORDS.get(role, figures.ROLES[role])[shade], paper) >= 4.5


def test_explorers_use_the_same_colours() -> None:
    explorers = pytest.importorskip("casestudies.explorers.base").ROLES
    shared = figures.ROLES.keys() & explorers.keys()
    assert shared and {role: figures.ROLES[role] for role in shared} == {
        role: explorers[role] for role in shared
    }


@pytest.mark.parametrize("block, image, kinds, output", BLOCKS)
def test_trace_finds_the_sum_and_the_identity(block, image, kinds, output) -> None:
    found = {step.kind for step in figures.trace(block, image)}
    assert found - {"input", "box"} == kinds


@pytest.mark.parametrize("block, image, kinds, output", BLOCKS)
def test_trace_ends_with_the_shape_that_the_block_returns(block, image, kinds, output) -> None:
    assert figures.trace(block, image)[-1].shape == tuple(block(torch.zeros(1, *image)).shape[1:]) == output


class Gelu(nn.Module):
    def __init__(self, approximate: str) -> None:
        super().__init__()
        self.approximate = approximate
        self.scale = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.scale(x), approximate=self.approximate)


@pytest.mark.parametrize("approximate, label", [("none", "GELU"), ("tanh", "GELU by tanh")])
def test_gelu_is_an_activation_that_may_be_approximated(approximate, label) -> None:
    for network in (nn.Sequential(nn.Conv2d(3, 3, 1), nn.GELU(approximate)), Gelu(approximate)):
        last = figures.trace(network, (3, 4, 4))[-1]
        assert (last.label, last.role) == (label, "activation")


@pytest.mark.parametrize("block, image, kinds, output", BLOCKS)
def test_drawing_shows_the_parameters_of_every_convolution(block, image, kinds, output) -> None:
    shown = re.findall(r">([\d,]+) parameters<", figures.draw(block, image).svg)
    assert sorted(int(number.replace(",", "")) for number in shown) == sorted(
        layer.weight.numel() for layer in block.modules() if isinstance(layer, nn.Conv2d)
    )


@pytest.mark.parametrize("block, image, kinds, output", BLOCKS)
def test_drawing_leaves_the_block_as_it_was(block, image, kinds, output) -> None:
    block.train()
    figures.draw(block, image)
    assert block.training and next(block.parameters()).device.type == "cpu"


def test_branches_stand_in_the_order_of_their_channels() -> None:
    stacks = figures.stacks_of(figures.trace(Branches(), (4, 6, 6)))
    figures.place(stacks)
    ends = next(stack for stack in stacks if stack.kind == "concatenation").inputs
    assert [stack.column for stack in ends] == [0, 1, 2]


def test_boxes_of_a_drawing_do_not_overlap() -> None:
    for module, image in ((Branches(), (4, 6, 6)), (Gate(), (4, 6, 6))):
        rows = re.findall(
            r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"',
            figures.draw(module, image).svg,
        )
        boxes = [tuple(map(float, found)) for found in rows]
        touching = [
            (a, b)
            for i, a in enumerate(boxes)
            for b in boxes[:i]
            if a[0] < b[0] + b[2] - 1
            and b[0] < a[0] + a[2] - 1
            and a[1] < b[1] + b[3] - 1
            and b[1] < a[1] + a[3] - 1
        ]
        assert not touching


def test_gate_is_drawn_with_its_product_and_its_sum() -> None:
    assert {step.kind for step in figures.trace(Gate(), (4, 6, 6))} == {"input", "box", "product", "sum"}


@pytest.mark.parametrize("build, image, identities, changed", NETWORKS)
def test_overview_draws_one_arc_for_each_shortcut(build, image, identities: int, changed: int) -> None:
    arcs = re.findall(r'<path d="M[^"]*C[^"]*" style="([^"]*)"', figures.overview(build(), image).svg)
    dashed = sum("dasharray" in style for style in arcs)
    assert (len(arcs) - dashed, dashed) == (identities, changed)


def test_overview_names_every_kind_of_layer_of_a_stretch() -> None:
    shown = re.findall(
        r"<text[^>]*>([^<]*)</text>", figures.overview(zoo.skeleton("nin_cifar10"), (3, 32, 32)).svg
    )
    assert {"5×5 conv, 2 × 1×1 conv", "average pool 3×3, 3×3 conv, 1×1 conv"} <= set(shown)


@pytest.mark.parametrize("build, image, identities, changed", NETWORKS)
def test_overview_bars_hold_all_weights_of_the_network(build, image, identities: int, changed: int) -> None:
    network = build()
    norms = sum(
        p.numel()
        for name, layer in network.named_modules()
        if isinstance(layer, nn.BatchNorm2d) and name.startswith("stem")
        for p in layer.parameters()
    )
    shown = sum(item.parameters for item in figures.items_of(network, image))
    assert shown + norms == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize("alt", ["", "A curve", "   "])
def test_figure_without_a_text_alternative_is_refused(alt: str) -> None:
    with pytest.raises(ValueError, match="alt is .*say in a sentence what the figure shows"):
        figures.drawing(curve(), alt)


def test_every_figure_names_itself_to_a_screen_reader() -> None:
    for shown in (
        figures.drawing(curve(), "A curve that falls & rises"),
        figures.draw(BLOCKS[1].values[0], (8, 6, 6)),
    ):
        html = shown._repr_html_()
        assert 'role="img"' in html and f'aria-label="{shown.alt.replace("&", "&amp;")}"' in html


def test_colours_of_a_curve_follow_the_theme() -> None:
    drawn = figures.drawing(curve(), "A curve that falls and rises").svg
    body = drawn[drawn.index("</style>") :]
    assert "var(--f-residual, #0072b2)" in body or "var(--f-conv, #0072b2)" in body
    bare = re.findall(r"(?<!, )#[0-9a-f]{6}\b", body)
    assert not bare


def test_figures_on_one_page_share_no_ids() -> None:
    ids = [
        set(re.findall(r'id="([^"]+)"', figures.drawing(curve(), f"The curve of page {page}").svg))
        for page in "ab"
    ]
    assert ids[0] and not ids[0] & ids[1]


def test_same_figure_gives_the_same_bytes() -> None:
    assert figures.drawing(curve(), "The same curve").svg == figures.drawing(curve(), "The same curve").svg


def test_unknown_role_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="role is 'con'; expected one of .*conv"):
        figures.colour("con")


def test_end_labels_keep_their_distance() -> None:
    figure, axes = figures.subplots()
    for index in range(4):
        axes.plot([0, 1], [0, index * 1e-6], label=f"line {index}")
    axes.set_ylim(0, 1)
    figures.end_labels(axes, gap=0.1)
    heights = [note.xy[1] for note in axes.texts]
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) >= 0.1 - 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_names_cover_no_point_no_line_and_no_other_name(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    places = [tuple(place) for place in torch.rand(9, 2, generator=generator).tolist()]
    figure, axes = figures.subplots()
    for x, y in places:
        axes.plot(x, y, "o")
    axes.plot([0.0, 1.0], [1.02, 1.02])
    axes.set(xlim=(-0.1, 1.2), ylim=(-0.1, 1.1))
    names = {f"Net-{index}": place for index, place in enumerate(places)}
    figures.name_points(axes, names, fontsize=7.5)
    figure.draw_without_rendering()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert boxes.keys() == names.keys()
    roof = axes.transData.transform((0, 1.02))[1]
    covered = 0
    for name, box in boxes.items():
        for other, place in names.items():
            x, y = axes.transData.transform(place)
            covered += bool(box.contains(x, y))
            covered += other < name and box.overlaps(boxes[other])
        own = axes.transData.transform(names[name])
        assert box.padded(20).contains(*own), "a name is not beside its point"
        assert box.y1 < roof or box.y0 > roof
    assert covered == 0


def plain_list() -> nn.Module:
    class InAList(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = [nn.Conv2d(3, 4, 3)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layers[0](x)

    return InAList()


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.LPPool2d(2, 2)),
        nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3))),
        plain_list(),
        nn.Sequential(plain_list(), nn.Conv2d(4, 5, 1)),
    ],
)
def test_a_module_of_any_make_is_drawn(module: nn.Module) -> None:
    text = repr(figures.draw(module, (3, 8, 8)))
    assert "conv" in text.split("goes through ")[1]
    assert "strip" in repr(figures.overview(module, (3, 8, 8)))


class Pooled(nn.Module):
    """Pools by functions, between convolutions that modules pool between."""

    def __init__(self, *pools: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.pools = pools
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        for pool in self.pools:
            x = pool(x)
        return x


@pytest.mark.parametrize(
    "function, module",
    [
        (lambda x: F.max_pool2d(x, 3, 2), nn.MaxPool2d(3, 2)),
        (lambda x: F.max_pool2d(x, 2), nn.MaxPool2d(2)),
        (lambda x: F.max_pool2d(x, (3, 2), 1), nn.MaxPool2d((3, 2), 1)),
        (lambda x: F.avg_pool2d(x, 2), nn.AvgPool2d(2)),
        (lambda x: F.avg_pool2d(x, 3, 2, divisor_override=1), nn.AvgPool2d(3, 2, divisor_override=1)),
        (lambda x: F.adaptive_avg_pool2d(x, 1), nn.AdaptiveAvgPool2d(1)),
        (lambda x: x.mean(dim=(2, 3), keepdim=True), nn.AdaptiveAvgPool2d((1, 1))),
    ],
)
def test_function_that_pools_has_the_name_of_its_module(function, module: nn.Module) -> None:
    by_function = figures.trace(Pooled(function), (3, 12, 12))[-1]
    by_module = figures.trace(nn.Sequential(nn.Conv2d(3, 4, 3), module), (3, 12, 12))[-1]
    assert (by_function.label, by_function.role) == (by_module.label, by_module.role)
    assert "pool" in by_function.label and "_" not in by_function.label


def test_mean_over_channels_is_no_pool() -> None:
    assert figures.trace(Pooled(lambda x: x.mean(dim=(1, 2), keepdim=True)), (3, 12, 12))[-1].label == "mean"
