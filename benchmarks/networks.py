"""How fast the networks are, beside torchvision's implementation of the same network.

    python benchmarks/networks.py                            all that torchvision has too, at the paper's image size
    python benchmarks/networks.py resnet50 --side 64         one of them, on small images
    python benchmarks/networks.py --torchvision ~/vision     torchvision from a checkout of its source

Each network has a fresh process: in one that has run many large networks, the state of the memory allocator decides
the times of the next. Each repeat times ours and theirs one right after the other, in turns as to who goes first; a
ratio is the median over the repeats of ours / theirs, so below 1 ours is faster. Forward is in evaluation without
gradients; forward and backward is in training. Without torchvision the script says how to get it, and times ours
alone.
"""

from __future__ import annotations

import argparse
import enum
import importlib
import statistics
import sys
import time
import types
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from casestudies import zoo
from casestudies.costs import ledger
from casestudies.weights import WEIGHTS, fill

HOW_TO_GET_IT = """\
torchvision is missing, so ours are timed alone. To compare, `pip install torchvision` in the release that fits your
torch, or `git clone --depth 1 https://github.com/pytorch/vision` and pass `--torchvision vision`."""

# What torchvision's own networks need to be told to be the ones that we have.
OPTIONS = {"googlenet": {"aux_logits": False, "init_weights": False, "transform_input": False}}
NAMES = {"googlenet_torchvision": "googlenet"}  # all others have the same name in both
FILES = ("alexnet", "vgg", "googlenet", "resnet", "mobilenetv2", "efficientnet")


def installed() -> dict[str, Callable[..., nn.Module]] | None:
    """torchvision's factories by name; None where it cannot be imported."""
    try:
        return vars(importlib.import_module("torchvision.models"))
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        return None


def from_source(checkout: Path) -> dict[str, Callable[..., nn.Module]]:
    """The same from a checkout, without its compiled operations and image transforms, which no network needs.

    Importing the package itself would load both. So its packages are entered as empty modules that know their
    folder, and the few names that the models take from the rest are set here.
    """
    root = checkout.expanduser() / "torchvision"
    if not (root / "models" / "resnet.py").is_file():
        raise SystemExit(
            f"--torchvision is {checkout}; expected a checkout of https://github.com/pytorch/vision, "
            "with torchvision/models/resnet.py in it"
        )

    def enter(name: str, **contents: object) -> types.ModuleType:
        module = sys.modules[name] = types.ModuleType(name)
        vars(module).update(contents)
        return module

    for name in ("", ".models", ".ops", ".transforms"):
        enter(f"torchvision{name}").__path__ = [str(root / name[1:])]
    modes = enum.Enum(
        "InterpolationMode", {name: name.lower() for name in ("NEAREST", "BILINEAR", "BICUBIC")}
    )
    enter("torchvision.transforms._presets", ImageClassification=object, InterpolationMode=modes)
    enter(
        "torchvision.utils",
        _log_api_usage_once=lambda caller: None,
        _make_ntuple=lambda value, n: tuple(value) if isinstance(value, (tuple, list)) else (value,) * n,
    )
    stochastic_depth = importlib.import_module("torchvision.ops.stochastic_depth")
    sys.modules["torchvision.ops"].StochasticDepth = stochastic_depth.StochasticDepth
    factories: dict[str, Callable[..., nn.Module]] = {}
    for file in FILES:
        factories |= vars(importlib.import_module(f"torchvision.models.{file}"))
    return factories


def factories_of(checkout: Path | None) -> dict[str, Callable[..., nn.Module]] | None:
    return from_source(checkout) if checkout else installed()


def forward(network: nn.Module, images: Tensor) -> None:
    with torch.no_grad():
        network.eval()(images)


def forward_and_backward(network: nn.Module, images: Tensor) -> None:
    outputs = network.train()(images)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)  # GoogLeNet with its auxiliary heads
    sum(output.sum() for output in outputs).backward()
    network.zero_grad(set_to_none=True)


def seconds(step: Callable[[nn.Module, Tensor], None], network: nn.Module, images: Tensor) -> float:
    start = time.perf_counter()
    step(network, images)
    return time.perf_counter() - start


def compare(
    step: Callable[[nn.Module, Tensor], None], networks: list[nn.Module], images: Tensor, repeats: int
) -> list[list[float]]:
    """The times of each network, in seconds, a list of `repeats` for each; one more run before them is not kept."""
    times: list[list[float]] = [[] for _ in networks]
    for repeat in range(-1, repeats):
        turn = list(zip(times, networks, strict=True))
        for kept, network in turn if repeat % 2 else reversed(turn):
            took = seconds(step, network, images)
            if repeat >= 0:
                kept.append(took)
    return times


def pair(name: str, factories: dict[str, Callable[..., nn.Module]] | None) -> list[nn.Module]:
    """Ours and, where there is torchvision, theirs, which has to be the same network, with the same weights.

    With weights of its own a deep network that was never trained may compute with denormal numbers, which take a
    processor several times as long.
    """
    networks = [zoo.build(name)]
    theirs = NAMES.get(name, name)
    if factories is not None and name in WEIGHTS:
        networks.append(factories[theirs](**OPTIONS.get(theirs, {})))
        counts = [sum(p.numel() for p in network.parameters()) for network in networks]
        if counts[0] != counts[1]:
            raise SystemExit(
                f"{name}: ours has {counts[0]:,} parameters and torchvision's {theirs} {counts[1]:,}; "
                "they are not the same network, and this comparison would mean nothing"
            )
        fill(networks[0], networks[1].state_dict(), WEIGHTS[name])
    return networks


@dataclass(frozen=True)
class Measurement:
    """What one process measures."""

    name: str
    side: int
    batch: int
    repeats: int
    threads: int
    torchvision: Path | None


def measure(wanted: Measurement) -> list[list[list[float]]]:
    """For forward, and for forward and backward: the times of ours and, where there is torchvision, of theirs."""
    torch.set_num_threads(wanted.threads)
    torch.manual_seed(0)
    factories = factories_of(wanted.torchvision)
    images = torch.randn(wanted.batch, zoo.variant(wanted.name).image[0], wanted.side, wanted.side)
    networks = pair(wanted.name, factories)
    return [compare(step, networks, images, wanted.repeats) for step in (forward, forward_and_backward)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks; all that torchvision has too when left out")
    parser.add_argument("--torchvision", type=Path, metavar="PATH", help="a checkout of torchvision's source")
    parser.add_argument("--side", type=int, help="height and width of the images; the paper's when left out")
    parser.add_argument("--batch", type=int, default=2, help="images in a batch, at least 2 (batch norm)")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    for option, least in (("batch", 2), ("repeat", 1), ("threads", 1)):
        if getattr(arguments, option) < least:
            parser.error(f"--{option} is {getattr(arguments, option)}; expected at least {least}")
    names = arguments.names or list(WEIGHTS)
    sides = {}
    for name in names:
        try:
            channels, side, _ = zoo.variant(name).image
            sides[name] = arguments.side or side
            ledger(
                zoo.skeleton(name), (channels, sides[name], sides[name])
            )  # refuses a side that does not fit
        except ValueError as error:
            parser.error(f"{name}: {error}")
    if factories_of(arguments.torchvision) is None:
        print(HOW_TO_GET_IT, end="\n\n")

    print(
        f"milliseconds, medians of {arguments.repeat}; batch {arguments.batch}, threads {arguments.threads}, "
        f"torch {torch.__version__}"
    )
    print(f"{'':24}{'':5}{'forward':^29}{'forward and backward':^29}")
    print(f"{'network':24}{'side':>5}" + f"{'ours':>10}{'theirs':>10}{'ratio':>9}" * 2)
    ratios: list[list[float]] = [[], []]
    wanted = [
        Measurement(
            name, sides[name], arguments.batch, arguments.repeat, arguments.threads, arguments.torchvision
        )
        for name in names
    ]
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        measured = zip(names, pool.imap(measure, wanted), strict=True)
        for name, steps in tqdm(measured, total=len(names), leave=False, disable=None):
            line = f"{name:24}{sides[name]:5}"
            for times, found in zip(steps, ratios, strict=True):
                line += f"{1000 * statistics.median(times[0]):10.1f}"
                if len(times) == 1:
                    line += f"{'-':>10}{'-':>9}"
                    continue
                ratio = statistics.median(ours / theirs for ours, theirs in zip(*times, strict=True))
                line += f"{1000 * statistics.median(times[1]):10.1f}{ratio:9.2f}"
                found.append(ratio)
            tqdm.write(line)
    if all(ratios):
        means = [statistics.geometric_mean(found) for found in ratios]
        print(f"{'geometric mean':49}{means[0]:9.2f}{'':20}{means[1]:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
