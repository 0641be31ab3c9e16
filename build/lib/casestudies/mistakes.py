"""Make the mistake: the wrong blocks that the checks know, drawn, counted, and trained on the digits.

Each chapter with an assignment has a bench here: one of its parts, the arguments and the image with which its block
is drawn, and a small network for the digits that is made of such blocks. A mistake is named by the id that
the checks give it; its block, its sentence and its place in the book come from there.

    switches("resnet")                                  what the explorer shows of each mistake, computed now
    casestudies experiment mistakes --seeds 0 1 2 --out casestudies/recorded

trains every network, right and wrong, once for each seed; the curves in the book are those that were recorded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from casestudies import costs, figures
from casestudies.checking import parts
from casestudies.checks import alexnet as alexnet_checks
from casestudies.checks import (
    identity,
    lenet,
    vgg,
)
from casestudies.data import Split, digits
from casestudies.figures import flow, steps
from casestudies.figures.steps import graph_of
from casestudies.graph import Graph, record
from casestudies.networks.efficientnet import MBConv
from casestudies.networks.googlenet import InceptionModule
from casestudies.networks.mobilenet import SeparableConv
from casestudies.networks.mobilenet_v2 import InvertedResidual
from casestudies.networks.nin import NiNBlock
from casestudies.networks.resnet import BasicBlock, conv_bn, initialise
from casestudies.training import History, Record, Settings, TrainedRun, train

RIGHT = "none"  # the switch that makes no mistake
RECIPE: Settings = {"epochs": 8, "batch_size": 64, "lr": 0.05, "schedule": "cosine"}
ADAM: Settings = {"optimizer": "adam", "lr": 2e-3, "weight_decay": 0.0}  # where no batch norm helps
FAST = {**ADAM, "lr": 5e-3}

Make = Callable[..., nn.Module]


@dataclass(frozen=True)
class Bench:
    """A part, its right block, and what is done with the block: `network` is made of blocks that `make` makes."""

    part: str
    right: Callable[..., Any]
    arguments: tuple[Any, ...]
    image: tuple[int, ...]
    mistakes: tuple[str, ...]
    network: Callable[[Make], nn.Module]
    size: int = 8  # side of the digits
    channels: int = 1
    batch: int = 4  # images behind the figures of the output
    he: bool = False  # whether the convolutions begin as in He et al. (2015): without batch norm, PyTorch's are small
    noun: str = "block"  # what the part asks for
    trained: str = "A small network of such blocks"
    recipe: Settings = field(default_factory=dict)
    # Mistakes that show only with other arguments: (arguments, image).
    instead: dict[str, tuple[tuple[Any, ...], tuple[int, ...]]] = field(default_factory=dict)

    def setting(self, mistake: str) -> tuple[tuple[Any, ...], tuple[int, ...]]:
        return self.instead.get(mistake, (self.arguments, self.image))

    def known(self) -> dict[str, parts.Mistake]:
        """The mistakes of the part by their ids, the first where two share one."""
        return {one.id: one for one in reversed(self.declared().mistakes)}

    def declared(self) -> parts.Part:
        part = parts.find(self.part)
        if part is None:
            raise ValueError(f"there is no part {self.part!r}")
        return part

    def make(self, mistake: str) -> Make:
        """What builds the block with this mistake, or the right one."""
        return self.right if mistake == RIGHT else self.known()[mistake].wrong

    def built(self, mistake: str, seed: int) -> nn.Module:
        """The network of blocks with this mistake, with fresh weights."""
        network = fresh(self.network(self.make(mistake)), seed)
        if self.he:
            torch.manual_seed(seed)
            initialise(network)
        return network

    def data(self) -> Split:
        split = digits(self.size)
        return split.with_channels(self.channels) if self.channels > 1 else split


# ------------------------------------------------------------------------------------ the networks of the benches


def head(channels: int) -> nn.Sequential:
    """(B, channels, H, W) -> logits (B, 10)."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


class Narrow:
    """An eighth of AlexNet's widths: with digits as input, that is enough."""

    def widths(self) -> tuple[int, ...]:
        return 12, 32, 48, 48, 32


def of_trunk(make: Any) -> nn.Module:
    return nn.Sequential(type(make.__name__, (Narrow, make), {})(), head(32))


def of_vgg_blocks(make: Make) -> nn.Module:
    return nn.Sequential(make(2, 1, 12), make(2, 12, 24), head(24))


def of_residual_blocks(make: Make) -> nn.Module:
    blocks = [make(8, 8) for _ in range(3)]
    for width in (8, 16):
        blocks += [make(width, 2 * width, 2), make(2 * width, 2 * width), make(2 * width, 2 * width)]
    return nn.Sequential(conv_bn(1, 8, 3), nn.ReLU(), *blocks, head(32))


class Step(nn.Module):
    """One residual step (B, features) -> (B, features), with the weights that the function is given."""

    def __init__(self, step: Callable[..., Any], features: int, hidden: int) -> None:
        super().__init__()
        self.step = step
        first, second = nn.Linear(features, hidden), nn.Linear(hidden, features)
        self.w1, self.b1, self.w2, self.b2 = first.weight, first.bias, second.weight, second.bias

    def forward(self, a: Tensor) -> Tensor:
        return self.step(a, self.w1, self.b1, self.w2, self.b2)


def of_steps(make: Make) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), *(make(32, 32) for _ in range(10)), nn.Linear(32, 10)
    )


def of_nin_blocks(make: Make) -> nn.Module:
    blocks = [make(1, 16, 3, 1, 1), nn.MaxPool2d(2), make(16, 32, 3, 1, 1)]
    return nn.Sequential(*blocks, nn.Conv2d(32, 10, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def of_modules(make: Make) -> nn.Module:
    stem = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1), nn.ReLU())
    first, second = make(16, 8, 8, 12, 4, 6, 6), make(32, 16, 12, 24, 6, 12, 12)
    return nn.Sequential(stem, first, nn.MaxPool2d(2), second, head(64))


def of_separable_blocks(make: Make) -> nn.Module:
    blocks = [make(16, 32), make(32, 32), make(32, 64, 2), make(64, 64)]
    return nn.Sequential(conv_bn(1, 16, 3), nn.ReLU(), *blocks, head(64))


def of_inverted_blocks(make: Make) -> nn.Module:
    blocks = [make(16, 6, 1, 1), make(6, 6), make(6, 12, 2), make(12, 12), make(12, 12)]
    end = nn.Sequential(nn.Conv2d(12, 48, 1, bias=False), nn.BatchNorm2d(48), nn.ReLU6())
    return nn.Sequential(conv_bn(1, 16, 3), nn.ReLU6(), *blocks, end, head(48))


def of_mbconvs(make: Make) -> nn.Module:
    blocks = [make(16, 8, 3, 1, 1), make(8, 16, 3, 2), make(16, 16, 5)]
    end = nn.Sequential(nn.Conv2d(16, 48, 1, bias=False), nn.BatchNorm2d(48), nn.SiLU())
    return nn.Sequential(conv_bn(1, 16, 3), nn.SiLU(), *blocks, end, head(48))


def a_step(step: Callable[..., Any]) -> Make:
    return partial(Step, step)


class StepBench(Bench):
    """The students of `identity` write a function; the block around it holds its weights."""

    def make(self, mistake: str) -> Make:
        return a_step(super().make(mistake))


BENCHES: dict[str, Bench] = {
    "lenet": Bench(
        "lenet/lenet5",
        lenet.LeNet5,
        (),
        (1, 32, 32),
        ("activation_forgotten", "max_pooling", "sum_pooling", "softmax_inside", "padding_on_first"),
        lambda make: make(),
        size=32,
        noun="network",
        trained="The network",
        recipe=ADAM,
    ),
    "alexnet": Bench(
        "alexnet/alexnet_trunk",
        alexnet_checks.AlexNetTrunk,
        (),
        (3, 227, 227),
        ("groups_forgotten", "tanh_for_relu", "relu_forgotten", "norm_missing", "pooling_two_by_two"),
        of_trunk,
        size=67,
        channels=3,
        recipe=ADAM,
        batch=1,
        noun="trunk",
        trained="A trunk an eighth as wide",
    ),
    "vgg": Bench(
        "vgg/vgg_block",
        vgg.vgg_block,
        (2, 64, 128),
        (64, 112, 112),
        (
            "relu_once_ablock",
            "padding_forgotten",
            "pool_first",
            "pool_after_every_convolution",
            "channels_not_carried_on",
        ),
        of_vgg_blocks,
        size=16,
        recipe=FAST,
        he=True,
        batch=2,
    ),
    "resnet": Bench(
        "resnet/basic_block",
        BasicBlock,
        (64, 64),
        (64, 56, 56),
        (
            "relu_before_addition",
            "skip_forgotten",
            "no_final_relu",
            "bias_before_batch_norm",
            "batch_norm_missing",
            "projection_without_stride",
        ),
        of_residual_blocks,
        instead={"projection_without_stride": ((64, 128, 2), (64, 56, 56))},
    ),
    "identity": StepBench(
        "identity/residual_step",
        identity.residual_step,
        (64, 64),
        (64,),
        ("addition_after_g", "skip_forgotten", "relu_missing_between", "tanh_for_relu", "skip_detached"),
        of_steps,
        recipe=ADAM,
        batch=64,
        noun="step",
        trained="A network of ten such steps",
    ),
    "nin": Bench(
        "nin/nin_block",
        NiNBlock,
        (96, 256, 5, 1, 2),
        (96, 27, 27),
        (
            "no_relu_between",
            "single_one_by_one",
            "large_kernels_throughout",
            "padding_everywhere",
            "softmax_at_the_end",
        ),
        of_nin_blocks,
        recipe={**FAST, "batch_size": 32},
        he=True,
        batch=2,
    ),
    "inception": Bench(
        "inception/inception_module",
        InceptionModule,
        (192, 64, 96, 128, 16, 32, 32),
        (192, 28, 28),
        (
            "no_reducers",
            "relu_missing_after_reducers",
            "pool_forgotten",
            "pool_with_default_stride",
            "average_pool",
        ),
        of_modules,
        recipe=FAST,
        he=True,
        batch=2,
        noun="module",
        trained="A network of two small modules",
    ),
    "mobilenet": Bench(
        "mobilenet/separable_conv",
        SeparableConv,
        (64, 128),
        (64, 112, 112),
        (
            "dense_depthwise",
            "pointwise_first",
            "relu_missing_between",
            "no_batch_norm",
            "bias_before_batch_norm",
        ),
        of_separable_blocks,
        batch=2,
    ),
    "mobilenet_v2": Bench(
        "mobilenet_v2/inverted_residual",
        InvertedResidual,
        (24, 24),
        (24, 56, 56),
        (
            "relu_after_projection",
            "residual_missing",
            "bottlenecked",
            "dense_filter",
            "expansion_kept_at_one",
            "width_from_output",
        ),
        of_inverted_blocks,
        instead={
            "expansion_kept_at_one": ((32, 16, 1, 1), (32, 112, 112)),
            "width_from_output": ((24, 32, 2), (24, 56, 56)),
        },
    ),
    "efficientnet": Bench(
        "efficientnet/mbconv",
        MBConv,
        (24, 24),
        (24, 56, 56),
        (
            "gate_missing",
            "gate_without_sigmoid",
            "squeezed_from_hidden",
            "expansion_kept_at_one",
            "tensor_flow_momentum",
        ),
        of_mbconvs,
        recipe={"batch_size": 32},  # so many steps that the statistics, whose momentum is 0.01, arrive
        instead={"expansion_kept_at_one": ((32, 16, 3, 1, 1), (32, 112, 112))},
    ),
}


def chapters() -> list[str]:
    """The chapters that have a bench, which are those that have an assignment."""
    return list(BENCHES)


def bench(chapter: str) -> Bench:
    if chapter not in BENCHES:
        raise ValueError(f"chapter is {chapter!r}; expected one of {', '.join(BENCHES)}")
    return BENCHES[chapter]


def known(chapter: str, mistake: str) -> Bench:
    """The bench of a chapter, if `mistake` is one of its switches."""
    found = bench(chapter)
    if mistake not in (RIGHT, *found.mistakes):
        raise ValueError(f"mistake is {mistake!r}; the switches of {chapter} are {', '.join(found.mistakes)}")
    return found


# ------------------------------------------------------------------------------------ the figures


@dataclass(frozen=True)
class Figures:
    """What a block costs, and what it gives, with fresh weights, for images of standard normal numbers.

    `gradient` is the root mean square of what arrives at the input, where at the output it is 1. A block that does
    not run has nothing but its `error`.
    """

    parameters: int = 0
    macs: int = 0
    shape: tuple[int, ...] = ()
    mean: float = 0.0
    deviation: float = 0.0
    least: float = 0.0
    zeros: float = 0.0  # a share, 0 to 1
    gradient: float = 0.0
    error: str = ""


def fresh(module: nn.Module, seed: int = 0) -> nn.Module:
    """The module with new weights, drawn layer by layer, so that equal layers of two blocks get equal ones."""
    for number, layer in enumerate(one for one in module.modules() if hasattr(one, "reset_parameters")):
        torch.manual_seed(1000 * seed + number)
        cast(Any, layer).reset_parameters()
    return module


def why(error: Exception) -> str:
    """An error in one line, without the words that only torch's own developers need."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"


def figures_of(make: Make, arguments: tuple[Any, ...], image: tuple[int, ...], batch: int) -> Figures:
    """Build, count and run a block once, in training mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        try:
            block = fresh(make(*arguments))
            torch.manual_seed(1)
            x = torch.randn(batch, *image, requires_grad=True)
            y = block(x)
            graph = recorded_graph(block, image)
        except (RuntimeError, ValueError) as error:
            return Figures(error=why(error))
        torch.manual_seed(2)
        y.backward(torch.randn(y.shape))
        gradient = 0.0 if x.grad is None else x.grad.square().mean().sqrt().item()
    y = y.detach()
    return Figures(
        parameters=sum(p.numel() for p in block.parameters()),
        macs=costs.total_macs(graph),
        shape=tuple(y.shape[1:]) if len(y) == batch else tuple(y.shape),
        mean=brief(y.mean().item()),
        deviation=brief(y.std().item()),
        least=brief(y.min().item()),
        zeros=brief((y == 0).double().mean().item()),
        gradient=brief(gradient),
    )


def brief(value: float) -> float:
    """Four significant digits: what does not depend on the machine."""
    return float(f"{value:.4g}")


def label(mistake: parts.Mistake) -> str:
    """The name of a mistake in words, from that of its class.

    >>> label(parts.find("resnet/basic_block").mistakes[0])
    'ReLU before addition'
    """
    name = getattr(mistake.wrong, "written_as", mistake.wrong).__name__
    said = " ".join(
        NAMES.get(word, word.lower()) for word in re.findall(r"TensorFlow|[A-Z][a-z]*\d*|\d+", name)
    )
    return said[0].upper() + said[1:]


# How a word of a class is written, where it is not simply small.
NAMES = {"Ablock": "a block", "Relu": "ReLU", "Relu6": "ReLU6", "Silu": "SiLU", "TensorFlow": "TensorFlow"}


@dataclass(frozen=True)
class Switch:
    """One mistake, or none of them, as the explorer shows it."""

    id: str
    label: str
    text: str
    see: str
    call: str  # how the block is built
    drawing: str  # an SVG; empty where the block does not run
    figures: Figures
    expected: str  # the right block: its drawing and its figures, with the same arguments
    right: Figures


def recorded_graph(block: nn.Module, image: tuple[int, ...]) -> Graph:
    """The graph of a block, also of one of vectors: (features,) instead of (channels, height, width)."""
    if len(image) == 3:
        return graph_of(block, image)
    return record(block, torch.empty(1, *image, device="meta"), training=False)


def drawn(make: Make, arguments: tuple[Any, ...], image: tuple[int, ...]) -> str:
    with torch.random.fork_rng(devices=[]):
        module = make(*arguments)
        if len(image) == 3:
            return figures.draw(module, image).svg
        graph = record(
            module, torch.empty(1, *image, device="meta")
        )  # a block of vectors is no network of images
        return flow.draw_steps(steps.steps_of(graph, module), type(module).__name__).svg


def switch(chapter: str, mistake: str) -> Switch:
    """What one switch shows."""
    found = known(chapter, mistake)
    arguments, image = found.setting(mistake)
    part = found.declared()
    name = part.reference.name
    right = figures_of(found.make(RIGHT), arguments, image, found.batch)
    expected = drawn(found.make(RIGHT), arguments, image)
    call = f"{parts.call_text(name, arguments, {})} on {parts.times(image)}"
    if mistake == RIGHT:
        words = ("no mistake", "This is the block as the chapter has it.", part.see)
        return Switch(RIGHT, *words, call, expected, right, expected, right)
    one = found.known()[mistake]
    wrong = figures_of(one_make := found.make(mistake), arguments, image, found.batch)
    drawing = "" if wrong.error else drawn(one_make, arguments, image)
    return Switch(mistake, label(one), one.text, one.see, call, drawing, wrong, expected, right)


@cache
def switches(chapter: str) -> tuple[Switch, ...]:
    """All switches of a chapter; the first makes no mistake."""
    return tuple(switch(chapter, mistake) for mistake in (RIGHT, *bench(chapter).mistakes))


# ------------------------------------------------------------------------------------ the training


@dataclass
class MistakeRun(TrainedRun):
    """A small network of blocks with one mistake, trained on the digits; `error` says why it stopped, if it did."""

    chapter: str
    mistake: str
    seed: int
    history: History
    error: str = ""
    record: Record = field(default_factory=Record, compare=False)

    @property
    def name(self) -> str:
        return f"{self.chapter} {self.mistake}"


def mistaken(
    chapter: str,
    mistake: str,
    seed: int = 0,
    data: Split | None = None,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    **recipe: Any,
) -> MistakeRun:
    """Train the network of a chapter's bench, its blocks with this mistake, on the digits.

    `recipe` changes what RECIPE and the bench say; its names are those of `training.train`.
    """
    found = known(chapter, mistake)
    data = found.data() if data is None else data
    settings = {**RECIPE, **found.recipe, **recipe}
    so_far = History()

    def note(history: History) -> None:
        nonlocal so_far
        so_far = history

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            network = found.built(mistake, seed)
            network(data.train_x[:2])  # what does not run fails here, before anything is trained
            history = train(
                network,
                data,
                seed=seed,
                checkpoint=checkpoint,
                device=device,
                progress=progress,
                on_epoch=note,
                **settings,
            )
        except (RuntimeError, ValueError, FloatingPointError) as error:
            return MistakeRun(chapter, mistake, seed, so_far, why(error))
    return MistakeRun(chapter, mistake, seed, history)


def mistake_study(
    seeds: Iterable[int] = (0,),
    out: str | Path | None = None,
    only: Iterable[str] | None = None,
    **options: Any,
) -> list[MistakeRun]:
    """All runs, for each chapter (or those of `only`), switch and seed; `out` as for `degradation_study`."""
    from casestudies.experiments import kept

    runs = []
    for chapter in only or chapters():
        found, data = bench(chapter), bench(chapter).data()
        for mistake in (RIGHT, *found.mistakes):
            for seed in seeds:
                make = partial(mistaken, chapter, mistake, seed, data, **options)
                stem = f"mistakes-{data.name}-{chapter}-{mistake}-seed{seed}"
                settings = {**RECIPE, **found.recipe, **options}
                runs.append(kept(stem, out, MistakeRun, make, data, settings))
    return runs


def mistake_table(runs: Iterable[MistakeRun]) -> str:
    """One line a run: the last errors, or why there are none."""
    lines = ["chapter       mistake                        seed  training error  test error"]
    for run in runs:
        errors = (
            f"{run.history.train_error[-1]:14.2%}  {run.history.test_error[-1]:10.2%}"
            if not run.error
            else f"  {run.error}"
        )
        lines.append(f"{run.chapter:12s}  {run.mistake:29s}  {run.seed:4d}  {errors}")
    return "\n".join(lines)
