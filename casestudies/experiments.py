"""The experiments that the book shows, as functions that anyone can run again.

`degradation` trains a plain and a residual network of the same depth, as He et al. (2015), sec. 4.2. On the
digits it takes a few to some twenty seconds a run on a CPU; on CIFAR-10 it is the paper's own recipe.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from casestudies.data import Split, digits
from casestudies.networks.resnet import blocks_of_depth, cifar_plain, cifar_resnet
from casestudies.training import History, crop_and_flip, train, write_atomically

# How each data set is trained. CIFAR-10 is sec. 4.2 of the paper: 164 epochs are its 64,000 iterations, and
# the rate falls after half and three quarters of them.
RECIPES: dict[str, dict[str, Any]] = {
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


@dataclass
class Run:
    """One trained network of an experiment, small enough to keep as JSON."""

    depth: int
    residual: bool
    seed: int
    history: History

    @property
    def name(self) -> str:
        """Such as "residual-56" or "plain-20"."""
        return f"{'residual' if self.residual else 'plain'}-{self.depth}"

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, text: str) -> Run:
        content = json.loads(text)
        return cls(**{**content, "history": History(**content["history"])})


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
    settings = {**RECIPES.get(data.name, RECIPES["digits"]), **recipe}
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
    **options: Any,
) -> list[Run]:
    """All runs of the experiment: plain and residual, for each depth and seed.

    With `out`, a folder, each finished run is kept there as JSON and a run in progress as a checkpoint; a
    later call with the same settings goes on from what it finds.
    """
    data = digits(8) if data is None else data
    folder = Path(out) if out is not None else None
    runs = []
    for seed in seeds:
        for depth in depths:
            for residual in (False, True):
                runs.append(kept_run(depth, residual, data, seed, folder, options))
    return runs


def kept_run(
    depth: int, residual: bool, data: Split, seed: int, folder: Path | None, options: dict[str, Any]
) -> Run:
    """The run from the folder, or a new one, which is then kept there."""
    if folder is None:
        return degradation(depth, residual, data, seed, **options)
    stem = f"degradation-{data.name}-{'residual' if residual else 'plain'}-{depth}-seed{seed}"
    result, checkpoint = folder / f"{stem}.json", folder / f"{stem}.pt"
    if result.exists():
        return same_settings(Run.from_json(result.read_text()), result, options)
    folder.mkdir(parents=True, exist_ok=True)
    run = degradation(depth, residual, data, seed, checkpoint=checkpoint, **options)
    write_atomically(result, run.to_json().encode())
    checkpoint.unlink()  # finished: the JSON says all that the book needs
    return run


def same_settings(run: Run, path: Path, options: dict[str, Any]) -> Run:
    """The run, if it was made with the settings asked for."""
    asked = {**RECIPES.get(run.history.settings["data"], RECIPES["digits"]), **options}
    for key, value in asked.items():
        value = getattr(value, "__name__", value)  # an augmentation is kept by its name
        if key in run.history.settings and run.history.settings[key] != value:
            raise ValueError(
                f"{path} was run with {key} {run.history.settings[key]!r} instead of {value!r}; "
                "delete it or name another folder"
            )
    return run


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


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """`casestudies experiment degradation --data digits --depths 8 20 56 --out results`."""
    parser = subparsers.add_parser("experiment", help="run an experiment of the book again")
    parser.add_argument("experiment", choices=["degradation"])
    parser.add_argument("--data", default="digits", choices=["digits", "cifar10"])
    parser.add_argument("--root", help="a folder or tar that holds the data, instead of a download")
    parser.add_argument("--depths", type=int, nargs="+", default=[8, 20, 56])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, help="default: as the recipe of the data says")
    parser.add_argument(
        "--out", help="a folder for the results; a run that was interrupted goes on from there"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the experiment as the command line says; print its table."""
    from casestudies import data as data_sets

    for depth in args.depths:
        blocks_of_depth(depth)
    data = data_sets.load(args.data, root=args.root, size=8 if args.data == "digits" else None)
    options = {} if args.epochs is None else {"epochs": args.epochs}
    print(table(degradation_study(args.depths, args.seeds, data, args.out, device=args.device, **options)))
    return 0
