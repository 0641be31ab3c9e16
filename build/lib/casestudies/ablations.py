"""Two more experiments of the book, too long for a page: what a trained network can lose, and ReLU against tanh.

`ablation` trains a plain and a residual network of 20 layers, then takes blocks out and turns shortcuts down, as
Veit, Wilber & Belongie (2016), https://arxiv.org/abs/1605.06431, did on larger networks. Every damaged network
is judged twice: as it is, and after its batch norms have measured their statistics anew. The first figure mixes
the damage with statistics that belong to another network.

`activation` repeats the race of Krizhevsky, Sutskever & Hinton (2012), Figure 1, over several learning rates and
seeds.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from casestudies.data import Split, digits
from casestudies.networks.resnet import BasicBlock, cifar_plain, cifar_resnet
from casestudies.training import Contents, History, Record, TrainedRun, error_rate, train

STRENGTHS = (1.0, 0.9, 0.75, 0.5, 0.25, 0.0)
ABLATION_RECIPE = {"epochs": 6, "lr": 0.02}
ACTIVATION_RECIPE = {"epochs": 8}
ACTIVATION_RATES = (0.02, 0.01, 0.005, 0.0025, 0.00125)
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


class Scaled(nn.Module):
    """A shortcut of strength t: (B, C, H, W) -> t times the same."""

    def __init__(self, t: float) -> None:
        super().__init__()
        self.t = t

    def forward(self, x: Tensor) -> Tensor:
        return self.t * x


def with_shortcuts(network: nn.Module, t: float) -> nn.Module:
    """A copy of a residual network in which every identity shortcut is multiplied by `t`."""
    network = copy.deepcopy(network)
    for block in list(network.modules()):
        if isinstance(block, BasicBlock) and isinstance(block.shortcut, nn.Identity):
            block.shortcut = Scaled(t)
    return network


def stages_of(network: nn.Module) -> list[nn.Sequential]:
    """The stages of a residual or plain network, each a sequence of blocks."""
    return [stage for stage in network.get_submodule("stages").children() if isinstance(stage, nn.Sequential)]


def without_blocks(network: nn.Module, chosen: Iterable[tuple[int, int]]) -> nn.Module:
    """A copy of a network in which the blocks (stage, index) hand on what they receive."""
    network = copy.deepcopy(network)
    for stage, index in chosen:
        stages_of(network)[stage][index] = nn.Identity()
    return network


def recomputed(network: nn.Module, images: Tensor, batch_size: int = 256) -> nn.Module:
    """A copy whose batch norms hold the statistics of `images` (B, C, H, W); no weight is changed."""
    network = copy.deepcopy(network)
    update_bn(images.split(batch_size), network)
    return network


def removable(network: nn.Module) -> list[tuple[int, int]]:
    """The blocks (stage, index) that keep the shape: all but the first of each stage."""
    return [(s, i) for s, stage in enumerate(stages_of(network)) for i in range(1, len(stage))]


@dataclass
class AblationRun(TrainedRun):
    """Test errors (0 to 1) of one trained network, intact and damaged.

    `single` and `several` and `shortcuts` hold pairs: the error with the statistics that the norms had, and with
    recomputed ones. `single` has one pair for each removable block; `several` the mean pair for each number of
    blocks removed at random; `shortcuts`, of a residual network only, one pair for each of STRENGTHS.
    """

    kind: str  # "plain" or "residual"
    seed: int
    single: list[tuple[float, float]]
    several: list[tuple[float, float]]
    shortcuts: list[tuple[float, float]]
    history: History
    record: Record = field(default_factory=Record, compare=False)

    @property
    def name(self) -> str:
        return self.kind

    @classmethod
    def _read(cls, content: Contents) -> Contents:
        pairs = {key: [tuple(pair) for pair in content[key]] for key in ("single", "several", "shortcuts")}
        return {**super()._read(content), **pairs}


def ablation(
    kind: str,
    data: Split | None = None,
    seed: int = 0,
    *,
    checkpoint: str | Path | None = None,
    draws: int = 5,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    **recipe: Any,
) -> AblationRun:
    """Train the `kind` ("plain" or "residual") network of 20 layers, then damage it; by default on the digits.

    For each number of blocks, `draws` random choices are averaged.
    """
    makers = {"plain": cifar_plain, "residual": cifar_resnet}
    if kind not in makers:
        raise ValueError(f"kind is {kind!r}; expected one of {', '.join(makers)}")
    data = digits(16) if data is None else data
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = makers[kind](20, num_classes=int(data.train_y.max()) + 1, in_channels=data.image[0])
    settings = {**ABLATION_RECIPE, **recipe}
    history = train(
        network, data, seed=seed, checkpoint=checkpoint, device=device, progress=progress, **settings
    )

    def judged(damaged: nn.Module) -> tuple[float, float]:
        stored, fresh = (
            error_rate(each, data.test_x, data.test_y)
            for each in (damaged, recomputed(damaged, data.train_x))
        )
        return stored, fresh

    blocks = removable(network)
    single = [judged(without_blocks(network, [block])) for block in blocks]
    chance = random.Random(seed)
    several = []
    for count in range(len(blocks) + 1):
        tries = 1 if count in (0, len(blocks)) else draws
        pairs = [judged(without_blocks(network, chance.sample(blocks, count))) for _ in range(tries)]
        several.append(tuple(sum(column) / tries for column in zip(*pairs, strict=True)))
    strengths = STRENGTHS if kind == "residual" else ()
    shortcuts = [judged(with_shortcuts(network, t)) for t in strengths]
    return AblationRun(kind, seed, single, several, shortcuts, history)


def small_alexnet(activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """AlexNet for the digits: its layers with an eighth of the channels, and no norm.

    (B, 1, 32, 32) -> logits (B, 10). The weights start at the scale that suits the
    activation: gain / sqrt(inputs) with torch's gains, sqrt(2) for ReLU and 5/3 for tanh.
    """

    def conv(inputs: int, outputs: int, kernel: int, groups: int = 1) -> list[nn.Module]:
        layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups)
        return [layer, activation()]

    network = nn.Sequential(
        *conv(1, 12, 5), nn.MaxPool2d(3, 2),  # (B, 12, 15, 15)
        *conv(12, 32, 5, groups=2), nn.MaxPool2d(3, 2),  # (B, 32, 7, 7)
        *conv(32, 48, 3),
        *conv(48, 48, 3, groups=2),
        *conv(48, 32, 3, groups=2), nn.MaxPool2d(3, 2),  # (B, 32, 3, 3)
        nn.Flatten(),
        nn.Linear(288, 128), activation(),
        nn.Linear(128, 128), activation(),
        nn.Linear(128, 10),
    )  # fmt: skip
    gain = nn.init.calculate_gain("relu" if activation is nn.ReLU else "tanh")
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=gain / layer.weight[0].numel() ** 0.5)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


@dataclass
class ActivationRun(TrainedRun):
    """One network of the race. `diverged` says that the loss became infinite; the history ends before."""

    activation: str  # a key of ACTIVATIONS
    lr: float
    scale: float  # the inputs were multiplied by this
    seed: int
    diverged: bool
    history: History
    record: Record = field(default_factory=Record, compare=False)

    @property
    def name(self) -> str:
        return self.activation

    def epochs_to(self, error: float) -> int | None:
        """The first epoch whose training error is at most `error`; None if it never is."""
        found = (epoch for epoch, e in enumerate(self.history.train_error, start=1) if e <= error)
        return next(found, None)


def activation(
    name: str,
    data: Split | None = None,
    seed: int = 0,
    *,
    lr: float = 0.005,
    scale: float = 1.0,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    **recipe: Any,
) -> ActivationRun:
    """Train `small_alexnet` with "relu" or "tanh" on images times `scale`; by default on the digits."""
    if name not in ACTIVATIONS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(ACTIVATIONS)}")
    data = digits() if data is None else data
    if scale != 1:
        data = replace(data, train_x=scale * data.train_x, test_x=scale * data.test_x)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = small_alexnet(ACTIVATIONS[name])
    latest = [History()]
    settings = {**ACTIVATION_RECIPE, **recipe, "lr": lr}
    try:
        history = train(
            network,
            data,
            seed=seed,
            checkpoint=checkpoint,
            device=device,
            progress=progress,
            on_epoch=lambda history: latest.__setitem__(0, history),
            **settings,
        )
        return ActivationRun(name, lr, scale, seed, False, history)
    except FloatingPointError:
        return ActivationRun(name, lr, scale, seed, True, latest[0])


def ablation_study(
    seeds: Iterable[int] = (0,), data: Split | None = None, out: str | Path | None = None, **options: Any
) -> list[AblationRun]:
    """The plain and the residual network for each seed; `out` as for `experiments.degradation_study`."""
    from casestudies.experiments import kept

    data = digits(16) if data is None else data
    runs = []
    for seed in seeds:
        for kind in ("plain", "residual"):
            make = partial(ablation, kind, data, seed, **options)
            asked = {**ABLATION_RECIPE, **options}
            runs.append(
                kept(f"ablation-{data.name}-{kind}-20-seed{seed}", out, AblationRun, make, data, asked)
            )
    return runs


def activation_study(
    rates: Iterable[float] = ACTIVATION_RATES,
    seeds: Iterable[int] = (0,),
    data: Split | None = None,
    out: str | Path | None = None,
    scales: Iterable[float] = (1.0,),
    **options: Any,
) -> list[ActivationRun]:
    """ReLU and tanh for each seed, rate and scale of the input; `out` as for `experiments.degradation_study`."""
    from casestudies.experiments import kept

    data = digits() if data is None else data
    rates, scales = tuple(rates), tuple(scales)
    runs = []
    for seed in seeds:
        for scale in scales:
            for lr in rates:
                for name in ACTIVATIONS:
                    make = partial(activation, name, data, seed, lr=lr, scale=scale, **options)
                    stem = f"activation-{data.name}-{name}-scale{scale:g}-lr{lr:g}-seed{seed}"
                    asked = {**ACTIVATION_RECIPE, **options, "lr": lr}
                    runs.append(kept(stem, out, ActivationRun, make, data, asked))
    return runs


def ablation_table(runs: Iterable[AblationRun]) -> str:
    """One line a run: the test error intact, and with each block missing, as it is / statistics recomputed."""
    lines = ["network   seed  intact  one block missing: as it is / statistics recomputed"]
    for run in runs:
        pairs = "  ".join(f"{100 * raw:.0f}/{100 * fresh:.0f}" for raw, fresh in run.single)
        lines.append(f"{run.kind:8s}  {run.seed:4d}  {run.several[0][0]:6.1%}  {pairs}")
    return "\n".join(lines)


def activation_table(runs: Iterable[ActivationRun]) -> str:
    """One line a run: the training error of every epoch."""
    lines = ["activation  scale       lr  seed  training error by epoch, %"]
    for run in runs:
        errors = "  ".join(f"{100 * error:4.1f}" for error in run.history.train_error)
        end = "  diverged" if run.diverged else ""
        lines.append(f"{run.activation:10s}  {run.scale:5g}  {run.lr:7g}  {run.seed:4d}  {errors}{end}")
    return "\n".join(lines)
