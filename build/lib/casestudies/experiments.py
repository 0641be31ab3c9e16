"""The experiments that the book shows, as functions that anyone can run again.

`degradation` trains a plain and a residual network of the same depth, as He et al. (2015), sec. 4.2. On the
digits it takes a few to some twenty seconds a run on a CPU; on CIFAR-10 it is the paper's own recipe, or a short
one for a CPU.

`scaling` trains one small network and four that cost about four times as much: deeper, wider, with larger images,
and with a little of all three, as Tan & Le (2019), Table 3.

Two more are in `casestudies.ablations`: what a trained network can lose, and ReLU against tanh. What the classic
mistakes do to small networks is in `casestudies.mistakes`, and the first filters of two towers are in
`casestudies.towers`.

What takes longer than a page of the book may take was recorded: `recorded("degradation")` reads those runs, each
with the command, the data, the hardware and the day it was made.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from casestudies.data import Split, digits, resized
from casestudies.networks.resnet import (
    BasicBlock,
    blocks_of_depth,
    cifar_plain,
    cifar_resnet,
    conv_bn,
    initialise,
    residual_stage,
)
from casestudies.training import (
    Contents,
    History,
    Record,
    Settings,
    TrainedRun,
    crop_and_flip,
    train,
    write_atomically,
)

# How each data set is trained. CIFAR-10 is sec. 4.2 of the paper: 164 epochs are its 64,000 iterations, and
# the rate falls after half and three quarters of them.
RECIPES: dict[str, Settings] = {
    "digits": {"epochs": 8, "batch_size": 64, "lr": 0.02, "schedule": "cosine"},
    "cifar10": {
        "epochs": 164,
        "batch_size": 128,
        "lr": 0.1,
        "weight_decay": 1e-4,
        "schedule": "step",
        "augment": crop_and_flip,
    },
}
# What a laptop can do in an hour: a twentieth of the epochs, and nothing against overfitting.
SHORT = {**RECIPES["cifar10"], "epochs": 8, "schedule": "cosine", "augment": None}
RECORDED = Path(__file__).parent / "recorded"


def recipe_of(data: Split) -> Settings:
    """How a data set is trained where nothing else is asked for; an unknown one as the digits."""
    return RECIPES.get(data.name, RECIPES["digits"])


@dataclass
class Run(TrainedRun):
    """One trained network of the degradation experiment, small enough to keep as JSON."""

    depth: int
    residual: bool
    seed: int
    history: History
    record: Record = field(default_factory=Record, compare=False)  # how it was made: see `record_of`

    @property
    def name(self) -> str:
        """Such as "residual-56" or "plain-20"."""
        return f"{'residual' if self.residual else 'plain'}-{self.depth}"


def degradation(
    depth: int,
    residual: bool,
    data: Split | None = None,
    seed: int = 0,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    **recipe: Any,
) -> Run:
    """Train the plain or residual CIFAR network of `depth` = 6n + 2 layers; by default on the digits, 8 x 8.

    The two networks of a depth have equal parameters (the shortcuts are option A) and see equal batches.
    `recipe` changes what RECIPES says, such as `epochs=4`; its names are those of `training.train`.
    """
    blocks_of_depth(depth)  # a wrong depth fails here, before any data are read
    data = digits(8) if data is None else data
    settings = {**recipe_of(data), **recipe}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        build = cifar_resnet if residual else cifar_plain
        network = build(depth, num_classes=int(data.train_y.max()) + 1, in_channels=data.image[0])
    history = train(
        network, data, seed=seed, checkpoint=checkpoint, device=device, progress=progress, **settings
    )
    return Run(depth, residual, seed, history)


def degradation_study(
    depths: Iterable[int] = (8, 20, 56),
    seeds: Iterable[int] = (0,),
    data: Split | None = None,
    out: str | Path | None = None,
    rates: Iterable[float] | None = None,
    kinds: Iterable[str] = ("plain", "residual"),
    **options: Any,
) -> list[Run]:
    """All runs of the experiment: plain and residual, for each depth and seed, and for each of `rates` if given.

    With `out`, a folder, each finished run is kept there as JSON and a run in progress as a checkpoint; a
    later call with the same settings goes on from what it finds.
    """
    data = digits(8) if data is None else data
    tried = [(options, "")]
    if rates is not None:
        epochs = {**recipe_of(data), **options}["epochs"]
        tried = [({**options, "lr": lr}, f"-{epochs}epochs-lr{lr:g}") for lr in rates]
    runs = []
    for seed in seeds:
        for depth in depths:
            for chosen, suffix in tried:
                for kind in kinds:
                    make = partial(degradation, depth, kind == "residual", data, seed, **chosen)
                    stem = f"degradation-{data.name}-{kind}-{depth}{suffix}-seed{seed}"
                    runs.append(kept(stem, out, Run, make, data, chosen))
    return runs


# Scaling


@dataclass(frozen=True)
class Scale:
    """How the small network is made larger: blocks a stage, the width of the first stage, the image's side."""

    name: str
    blocks: int
    width: int
    image: int


# Each of the four costs about four times the first (`tests/test_experiments.py` holds them to it). Costs grow
# with the depth, and with the square of width and image: so 4, 2 and 2 for one alone, and for all three
# 1.5 x 1.25^2 x 1.33^2 = 4.2.
SCALES = (
    Scale("base", blocks=2, width=16, image=12),
    Scale("depth", blocks=8, width=16, image=12),
    Scale("width", blocks=2, width=32, image=12),
    Scale("resolution", blocks=2, width=16, image=24),
    Scale("compound", blocks=3, width=20, image=16),
)


class ScaledNetwork(nn.Module):
    """The residual network for CIFAR-10 with a free width: (B, C, S, S) -> logits (B, num_classes)."""

    def __init__(self, scale: Scale, in_channels: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        w, n = scale.width, scale.blocks
        self.stem = nn.Sequential(conv_bn(in_channels, w, 3), nn.ReLU())  # (B, w, S, S)
        self.stages = nn.Sequential(
            residual_stage(BasicBlock, w, w, n, stride=1),  # (B, w, S, S)
            residual_stage(BasicBlock, w, 2 * w, n, stride=2),  # (B, 2 w, S/2, S/2)
            residual_stage(BasicBlock, 2 * w, 4 * w, n, stride=2),  # (B, 4 w, S/4, S/4)
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * w, num_classes))
        initialise(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.stages(self.stem(x)))


@dataclass
class ScalingRun(TrainedRun):
    """One trained network of the scaling experiment, with what it costs for one image."""

    scale: Scale
    parameters: int
    macs: int
    seed: int
    history: History
    record: Record = field(default_factory=Record, compare=False)

    @property
    def name(self) -> str:
        return self.scale.name

    @classmethod
    def _read(cls, content: Contents) -> Contents:
        return {**super()._read(content), "scale": Scale(**content["scale"])}


def scaling(
    scale: Scale,
    data: Split | None = None,
    seed: int = 0,
    *,
    checkpoint: str | Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool | None = None,
    **recipe: Any,
) -> ScalingRun:
    """Train the network of one of SCALES on images of that scale; by default on the digits."""
    from casestudies.costs import ledger

    data = digits() if data is None else data
    settings = {**recipe_of(data), **recipe}
    images = resized(data, scale.image)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = ScaledNetwork(scale, images.image[0], int(data.train_y.max()) + 1)
    costs = ledger(network, images.image)
    history = train(
        network, images, seed=seed, checkpoint=checkpoint, device=device, progress=progress, **settings
    )
    return ScalingRun(scale, costs.parameters, costs.macs, seed, history)


def scaling_study(
    scales: Iterable[Scale] = SCALES,
    seeds: Iterable[int] = (0,),
    data: Split | None = None,
    out: str | Path | None = None,
    **options: Any,
) -> list[ScalingRun]:
    """All runs of the experiment, for each scale and seed; `out` as for `degradation_study`."""
    data = digits() if data is None else data
    runs = []
    for seed in seeds:
        for scale in scales:
            make = partial(scaling, scale, data, seed, **options)
            stem = f"scaling-{data.name}-{scale.name}-seed{seed}"
            runs.append(kept(stem, out, ScalingRun, make, data, options))
    return runs


# Keeping and reading runs


def kept(
    stem: str,
    out: str | Path | None,
    kind: type[Any],
    make: Callable[..., Any],
    data: Split,
    options: Mapping[str, Any],
) -> Any:
    """The run from the folder `out`, or a new one, which is then kept there with its record."""
    if out is None:
        return make()
    folder = Path(out)
    result, checkpoint = folder / f"{stem}.json", folder / f"{stem}.pt"
    if result.exists():
        return same_settings(kind.from_json(result.read_text()), result, data, options)
    folder.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    resumed = checkpoint.exists()
    run = make(checkpoint=checkpoint)
    seconds = None if resumed else round(time.monotonic() - began)
    run = replace(run, record=record_of(data, options.get("device", "cpu"), seconds))
    write_atomically(result, run.to_json().encode())
    checkpoint.unlink(missing_ok=True)  # finished: the JSON says all that the book needs
    return run


def record_of(data: Split, device: str | torch.device, seconds: int | None) -> Record:
    """How a run was made. `seconds` is None for a run that was interrupted in between."""
    on_gpu = torch.device(device).type == "cuda"
    hardware = (
        torch.cuda.get_device_name() if on_gpu else f"CPU ({platform.machine()}, {os.cpu_count()} cores)"
    )
    return {
        "command": command_line(),
        "data": f"{data.name}{f' ({data.source})' if data.source else ''}",
        "hardware": hardware,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        "seconds": seconds,  # on the clock: a machine with other work to do takes longer
    }


def command_line() -> str:
    """The command that made a run; another program's command line says nothing about it."""
    program = Path(sys.argv[0])
    ours = program.stem == "casestudies" or program.parts[-2:] == ("casestudies", "__main__.py")
    return shlex.join(["casestudies", *without_folders(sys.argv[1:])]) if ours else "called from Python"


def without_folders(words: list[str]) -> list[str]:
    """The words of a command line without the folders of one machine, which are of no use on another.

    >>> without_folders(["--root", "/home/ada/data", "--out=/home/ada/runs", "--short"])
    ['--root', 'DATA', '--out=FOLDER', '--short']
    """
    stand_in = {"--root": "DATA", "--out": "FOLDER"}
    shown = []
    for before, word in zip(["", *words], words, strict=False):
        option, equals, _ = word.partition("=")
        if before in stand_in:
            word = stand_in[before]
        elif equals and option in stand_in:
            word = f"{option}={stand_in[option]}"
        shown.append(word)
    return shown


def same_settings(run: Any, path: Path, data: Split, options: Mapping[str, Any]) -> Any:
    """The run, if it was made with the settings asked for."""
    asked: Settings = {**recipe_of(data), **options}
    asked["images"] = len(data.train_x)
    if isinstance(run, Run):  # the others have images of their own
        asked["image"] = list(data.image)
    for key, value in asked.items():
        value = getattr(value, "__name__", value)  # an augmentation is kept by its name
        if key in run.history.settings and run.history.settings[key] != value:
            raise ValueError(
                f"{path} was run with {key} {run.history.settings[key]!r} instead of {value!r}; "
                "delete it or name another folder"
            )
    return run


def recorded(experiment: str, data: str | None = None) -> list[Any]:
    """The runs of an experiment that come with the package, of its own kind; `data` picks those on one data set."""
    from casestudies.ablations import AblationRun, ActivationRun
    from casestudies.mistakes import MistakeRun
    from casestudies.towers import FilterRun

    kinds: dict[str, type[Any]] = {
        "degradation": Run,
        "scaling": ScalingRun,
        "ablation": AblationRun,
        "activation": ActivationRun,
        "mistakes": MistakeRun,
        "towers": FilterRun,
    }
    if experiment not in kinds:
        raise ValueError(f"experiment is {experiment!r}; expected one of {', '.join(kinds)}")
    runs = [
        kinds[experiment].from_json(path.read_text())
        for path in sorted(RECORDED.glob(f"{experiment}-{data or '*'}-*.json"))
    ]
    order = {scale.name: index for index, scale in enumerate(SCALES)}
    return sorted(runs, key=lambda run: (run.seed, getattr(run, "depth", order.get(run.name, 0)), run.name))


def table(runs: Iterable[Run]) -> str:
    """One line a run: the last errors, and the gradient norm of the first layer in the first epoch."""
    lines = ["network       seed  training error  test error  first gradient"]
    for run in runs:
        history = run.history
        lines.append(
            f"{run.name:12s}  {run.seed:4d}  {history.train_error[-1]:14.2%}  {history.test_error[-1]:10.2%}"
            f"  {history.gradient_norm[0]:14.4f}"
        )
    return "\n".join(lines)


def scaling_table(runs: Iterable[ScalingRun]) -> str:
    """One line a run: what was scaled, what it costs, the last errors."""
    lines = ["scaled      blocks  width  image  parameters        MACs  seed  training error  test error"]
    for run in runs:
        scale, history = run.scale, run.history
        lines.append(
            f"{scale.name:10s}  {scale.blocks:6d}  {scale.width:5d}  {scale.image:5d}  {run.parameters:10,}"
            f"  {run.macs:10,}  {run.seed:4d}  {history.train_error[-1]:14.2%}  {history.test_error[-1]:10.2%}"
        )
    return "\n".join(lines)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies experiment degradation --data digits --depths 8 20 56 --out results`."""
    parser = subparsers.add_parser("experiment")
    parser.add_argument(
        "experiment", choices=["degradation", "scaling", "ablation", "activation", "mistakes", "towers"]
    )
    parser.add_argument("--data", default="digits", choices=["digits", "cifar10"])
    parser.add_argument("--root", help="a folder or tar that holds the data, instead of a download")
    parser.add_argument(
        "--size", type=int, help="side of the images in the degradation experiment (digits: 8, CIFAR-10: 32)"
    )
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 20, 56], help="for degradation: 6n + 2")
    parser.add_argument(
        "--scales",
        nargs="+",
        choices=[scale.name for scale in SCALES],
        default=[scale.name for scale in SCALES],
        help="for scaling: what is made larger",
    )
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=["plain", "residual"],
        default=["plain", "residual"],
        help="for degradation: which networks",
    )
    parser.add_argument(
        "--rates", type=float, nargs="+", help="for degradation and activation: learning rates, each tried"
    )
    parser.add_argument(
        "--input-scales", type=float, nargs="+", default=[1.0], help="for activation: factors on the images"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument(
        "--chapters", nargs="+", help="for mistakes: whose blocks; default: all that have an assignment"
    )
    parser.add_argument(
        "--short",
        action="store_true",
        help="CIFAR-10 in 8 epochs instead of 164, for a machine without a GPU",
    )
    parser.add_argument("--epochs", type=int, help="default: as the recipe of the data says")
    parser.add_argument(
        "--out", help="a folder for the results; a run that was interrupted goes on from there"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the experiment as the command line says; print its table."""
    from casestudies import ablations, mistakes, towers
    from casestudies import data as data_sets

    for depth in args.depths:
        blocks_of_depth(depth)
    options: Settings = {}
    if args.short:
        if args.data != "cifar10":
            raise ValueError(
                f"--short shortens the recipe of cifar10; data is {args.data}, which takes minutes"
            )
        options = dict(SHORT)
    if args.epochs is not None:
        options["epochs"] = args.epochs
    options["device"] = args.device
    if args.experiment == "scaling":
        if args.size is not None:
            raise ValueError("--size is part of what the scaling experiment varies; leave it out")
        data = data_sets.load(args.data, root=args.root)
        scales = [scale for scale in SCALES if scale.name in args.scales]
        print(scaling_table(scaling_study(scales, args.seeds, data, args.out, **options)))
        return 0
    if args.experiment == "towers":
        if args.short or args.size is not None:
            raise ValueError(
                "the experiment towers has one recipe and one size; leave --short and --size out"
            )
        data = data_sets.load(args.data, root=args.root)
        print(towers.towers_table(towers.towers_study(args.seeds, data, args.out, **options)))
        return 0
    if args.experiment != "degradation" and args.data != "digits":
        raise ValueError(f"data is {args.data}; the experiment {args.experiment} runs on the digits")
    if args.experiment == "mistakes":
        print(mistakes.mistake_table(mistakes.mistake_study(args.seeds, args.out, args.chapters, **options)))
        return 0
    if args.experiment == "ablation":
        print(ablations.ablation_table(ablations.ablation_study(args.seeds, out=args.out, **options)))
        return 0
    if args.experiment == "activation":
        rates = args.rates or ablations.ACTIVATION_RATES
        activations = ablations.activation_study(
            rates, args.seeds, out=args.out, scales=args.input_scales, **options
        )
        print(ablations.activation_table(activations))
        return 0
    size = args.size or (8 if args.data == "digits" else None)
    data = data_sets.load(args.data, root=args.root, size=size)
    runs = degradation_study(
        args.depths, args.seeds, data, args.out, rates=args.rates, kinds=args.kinds, **options
    )
    print(table(runs))
    return 0
