"""The console script `casestudies`.

    casestudies networks                 all networks: year, parameters, MACs
    casestudies ledger vgg19 --csv       what each layer of one network costs
    casestudies ledger vgg19 --memory    and what it holds in memory

Other modules bring subcommands of their own, each through a function `add_parser(subparsers)`. It sets the
default `run`, a function of the parsed arguments that returns the exit status. Here they are only listed:
a module is imported when its subcommand is asked for, so that `casestudies --help` stays quick.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from casestudies import language

# Subcommand, module that offers add_parser, and what --help says about it.
ELSEWHERE = [
    ("train", "casestudies.training", "train a network on small data"),
    ("classify", "casestudies.weights", "name what is on a photo, with pretrained weights"),
    ("export", "casestudies.export", "write a network as ONNX, its graph as JSON, and a drawing"),
    ("experiment", "casestudies.experiments", "run an experiment of the book"),
    ("cards", "casestudies.questions", "the book's questions as cards for Anki"),
    ("exercises", "casestudies.grading.notebooks", "build the students' notebooks from solutions/*.md"),
    ("grade", "casestudies.grading.cli", "grade submissions"),
    ("regrade", "casestudies.grading.regrade", "show what grading again would change, and change nothing"),
    ("similar", "casestudies.grading.similarity", "show submissions that have rare things in common"),
    ("grade-one", "casestudies.grading.one", "grade one notebook, and store nothing"),
    ("init", "casestudies.grading.materials", "lay out a course folder"),
    ("new", "casestudies.grading.authors", "begin an assignment"),
    ("try", "casestudies.grading.trying", "show what the checks of an assignment catch"),
    ("student-kit", "casestudies.grading.student_kit", "write what students get"),
    ("sample-class", "casestudies.grading.sample_class", "build the sample class, or show its grades"),
]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status: 0 for success, 2 for bad input."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        argv = spoken(argv)
    except ValueError as error:
        print(f"casestudies: {error}", file=sys.stderr)
        return 2
    if argv and (lacking := needs_extra(argv[0])):
        print(f"casestudies {argv[0]}: {lacking}", file=sys.stderr)
        return 2
    arguments = parser(argv[0] if argv else None).parse_args(argv)
    try:
        return arguments.run(arguments)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"casestudies {arguments.command}: {error}", file=sys.stderr)
        return 2


def spoken(argv: list[str]) -> list[str]:
    """The arguments without `--language CODE` before the subcommand, once that language is in use.

    >>> spoken(["--language", "en", "networks"]), spoken(["grade", "resnet"])
    (['networks'], ['grade', 'resnet'])
    """
    if not argv or argv[0].partition("=")[0] != "--language":
        return argv
    _, given, code = argv[0].partition("=")
    rest = argv[1:] if given else argv[2:]
    language.use(code if given else (argv[1:2] or [""])[0])
    return rest


def parser(command: str | None) -> argparse.ArgumentParser:
    """All subcommands; of those that live elsewhere only `command` is complete."""
    top = argparse.ArgumentParser(prog="casestudies", description="The classic convolutional networks.")
    codes = ", ".join(language.languages())
    top.add_argument(
        "--language",
        metavar="CODE",
        help=f"of reports, before the subcommand: {codes}; or CASESTUDIES_LANGUAGE",
    )
    subparsers = top.add_subparsers(dest="command", required=True, metavar="command")

    networks = subparsers.add_parser("networks", help="list all networks: year, parameters, MACs")
    networks.set_defaults(run=run_networks)

    ledger = subparsers.add_parser("ledger", help="what each layer of a network costs")
    ledger.add_argument("name", help="name of a network, such as vgg19; see `casestudies networks`")
    ledger.add_argument("--image", type=int, metavar="SIDE", help="side of the image (default: the paper's)")
    ledger.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    ledger.add_argument(
        "--memory", action="store_true", help="what it holds in memory, instead of the ledger"
    )
    ledger.add_argument("--training", action="store_true", help="with --memory: in training, not inference")
    ledger.add_argument("--batch", type=int, default=1, help="with --memory: how many images (default: 1)")
    ledger.add_argument("--optimizer", help="with --training: sgd, momentum (default), adam, adamw")
    ledger.add_argument(
        "--picture", metavar="FILE", help="with --memory: draw it, layer by layer, as FILE.svg"
    )
    ledger.add_argument(
        "--against",
        metavar="TOOLS",
        help="other counters, such as torchinfo,fvcore: what they count otherwise and why",
    )
    ledger.set_defaults(run=run_ledger)

    for name, module, summary in ELSEWHERE:
        if needs_extra(name):
            subparsers.add_parser(name, help=f"{summary} (not installed)")
            continue
        if not exists(module):
            continue
        if name == command:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return top


def needs_extra(name: str) -> str:
    """What to install before the subcommand `name` works; empty where nothing is missing."""
    module = {each: module for each, module, _ in ELSEWHERE}.get(name, "")
    if not module.startswith("casestudies.grading."):
        return ""
    if exists(module) and all(exists(package) for package in ("nbgrader", "nbclient", "jupytext")):
        return ""
    return "grading is not part of this installation; to add it: pip install 'casestudies[grading]'"


def exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def run_networks(arguments: argparse.Namespace) -> int:
    from casestudies.costs import ledger
    from casestudies.zoo import VARIANTS, skeleton

    width = max(map(len, VARIANTS))
    print(f"{'network':{width}}  {'year':4}  {'image':>13}  {'parameters':>11}  {'MACs':>14}")
    for name, row in VARIANTS.items():
        costs = ledger(skeleton(name), row.image)
        image = " x ".join(map(str, row.image))
        print(
            f"{name:{width}}  {row.year:4}  {image:>13}  {costs.parameters:>11,}  {costs.macs:>14,}",
            flush=True,
        )
    return 0


def run_ledger(arguments: argparse.Namespace) -> int:
    from casestudies.costs import ledger
    from casestudies.zoo import skeleton, variant

    row = variant(arguments.name)
    channels, height, width = row.image
    side = arguments.image
    image = row.image if side is None else (channels, side, side)
    if side is not None and side < 1:
        raise ValueError(f"--image is {side}; expected the side of the image in pixels, such as {height}")
    if arguments.against:
        from casestudies.against import against
        from casestudies.zoo import build

        tools = [tool.strip() for tool in arguments.against.split(",")]
        found = against(build(row.name), image, tools)
        print("\n\n".join(str(replace(each, network=row.name)) for each in found))
        return 0
    if arguments.memory:
        from casestudies.costs import memory

        batch, training = arguments.batch, arguments.training
        held = memory(
            skeleton(row.name), image, batch=batch, training=training, optimizer=arguments.optimizer
        )
        held = replace(held, network=row.name)
        print(held)
        if arguments.picture:
            from pathlib import Path

            from casestudies.figures import timeline

            path = Path(arguments.picture)
            if path.suffix != ".svg":
                raise ValueError(f"--picture is {path}; expected the name of a file that ends in .svg")
            path.write_text(timeline(held, row.name).to_file(), encoding="utf-8")
        return 0
    if arguments.training or arguments.optimizer or arguments.picture or arguments.batch != 1:
        raise ValueError(
            "--training, --batch, --optimizer and --picture go with --memory; the ledger is per image"
        )
    table = replace(ledger(skeleton(row.name), image), network=row.name)
    print(table.to_csv() if arguments.csv else table, end="" if arguments.csv else "\n")
    return 0
