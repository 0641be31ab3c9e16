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
from pathlib import Path
from typing import Any

import casestudies
from casestudies import language
from casestudies.entrance import Interrupts, open_streams

# Every subcommand: the module that offers add_parser (None: it is in this file), and the one sentence that says what
# it does. `casestudies --help` and the subcommand's own help both read it here.
COMMANDS: dict[str, tuple[str | None, str]] = {
    "networks": (None, "list all networks: year, parameters, MACs"),
    "ledger": (None, "show what each layer of a network costs, or what it holds in memory"),
    "train": ("casestudies.training", "train a network on a small data set"),
    "classify": ("casestudies.weights", "name what is on a photo, with pretrained weights"),
    "export": ("casestudies.export", "write a network as ONNX, its graph as JSON, and a drawing"),
    "experiment": ("casestudies.experiments", "run an experiment of the book again"),
    "cards": ("casestudies.questions", "write the book's questions as cards for Anki"),
    "exercises": ("casestudies.grading.notebooks", "build the students' notebooks from solutions/*.md"),
    "grade": ("casestudies.grading.cli", "grade a class: in parallel, only what changed"),
    "regrade": ("casestudies.grading.regrade", "show what grading again would change, and change nothing"),
    "similar": (
        "casestudies.grading.similarity",
        "show pairs of submissions that have rare things in common",
    ),
    "fill": ("casestudies.grading.platforms", "fill scores into a table that Canvas or Moodle exported"),
    "grade-one": ("casestudies.grading.one", "grade one notebook, and store nothing"),
    "init": ("casestudies.grading.materials", "lay out a course folder"),
    "backup": ("casestudies.grading.backup", "copy gradebook, secret and tables into one file"),
    "restore": ("casestudies.grading.restore", "make a course's folder from a backup"),
    "new": ("casestudies.grading.authors", "begin an assignment"),
    "try": ("casestudies.grading.trying", "show what the checks of an assignment catch"),
    "student-kit": ("casestudies.grading.student_kit", "write what students get"),
    "sample-class": ("casestudies.grading.sample_class", "build the sample class, or show how it was graded"),
}
ELSEWHERE = [(name, module, summary) for name, (module, summary) in COMMANDS.items() if module is not None]


class _Commands(argparse._SubParsersAction):  # type: ignore[type-arg]
    """Gives each subcommand its sentence, also as the beginning of its own help."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        _, summary = COMMANDS[name]
        note = options.pop("note", "")
        told = options.setdefault("description", "")
        opening = f"{summary[0].upper()}{summary[1:]}."
        options["description"] = f"{opening} {told}".strip()
        made: argparse.ArgumentParser = super().add_parser(name, **options | {"help": summary + note})
        return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status: 0 for success, 2 for bad input, 130 for Ctrl-C."""
    open_streams()
    argv = list(sys.argv[1:] if argv is None else argv)
    with Interrupts() as interrupts:
        try:
            return _main(argv)
        except KeyboardInterrupt:  # a subcommand that has more to say of it does so itself
            print(f"\ncasestudies {argv[0] if argv else ''}: interrupted", file=sys.stderr)
            return interrupts.status


def _main(argv: list[str]) -> int:
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
        status: int = arguments.run(arguments)
        sys.stdout.flush()  # a disk that is full says so now
        return status
    except (ValueError, OSError) as error:
        print(f"casestudies {arguments.command}: {in_words(error)}", file=sys.stderr)
        return 2
    except RuntimeError as error:  # how Python before 3.13 says that a link leads to itself
        if not str(error).startswith("Symlink loop"):
            raise
        print(f"casestudies {arguments.command}: {error}; name another path", file=sys.stderr)
        return 2


def in_words(error: Exception) -> str:
    """What is shown of an error. One of the operating system names a number and no way out.

    >>> in_words(FileNotFoundError(2, "No such file or directory", "/nowhere/results.json"))
    '/nowhere/results.json: No such file or directory; see that its folder exists and that you may write there'
    """
    if isinstance(error, OSError) and isinstance(error.filename, str | bytes) and error.strerror:
        where = os.fsdecode(error.filename)
        return f"{where}: {error.strerror}; see that its folder exists and that you may write there"
    return str(error)


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
    top.add_argument("--version", action="version", version=f"casestudies {casestudies.__version__}")
    codes = ", ".join(language.languages())
    top.add_argument(
        "--language",
        metavar="CODE",
        help=f"of reports, before the subcommand: {codes}; or CASESTUDIES_LANGUAGE",
    )
    subparsers = top.add_subparsers(dest="command", required=True, metavar="command", action=_Commands)

    networks = subparsers.add_parser("networks")
    networks.set_defaults(run=run_networks)

    ledger = subparsers.add_parser("ledger")
    ledger.add_argument("name", help="name of a network, such as vgg19; see `casestudies networks`")
    ledger.add_argument("--image", type=int, metavar="SIDE", help="side of the image (default: the paper's)")
    ledger.add_argument("--csv", action="store_true", help="comma-separated values instead of a table")
    ledger.add_argument(
        "--memory", action="store_true", help="what it holds in memory, instead of the ledger"
    )
    ledger.add_argument("--training", action="store_true", help="with --memory: in training, not inference")
    ledger.add_argument("--batch", type=int, help="with --memory: how many images (default: 1)")
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

    for name, module, _ in ELSEWHERE:
        if needs_extra(name):
            subparsers.add_parser(name, note=" (not installed)")
            continue
        if not exists(module):
            continue
        if name == command:
            importlib.import_module(module).add_parser(subparsers)
        else:
            subparsers.add_parser(name)
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
    """Whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even its package
        return False


def run_networks(arguments: argparse.Namespace) -> int:
    """Print a line for each network as soon as it is counted."""
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


def _check_options(arguments: argparse.Namespace, usual: int) -> None:
    """Refuse options that do not go together, before anything is done."""
    side = arguments.image
    if side is not None and side < 1:
        raise ValueError(f"--image is {side}; expected the side of the image in pixels, such as {usual}")
    given = [
        name
        for name, there in {
            "--csv": arguments.csv,
            "--training": arguments.training,
            "--batch": arguments.batch is not None,
            "--optimizer": arguments.optimizer is not None,
            "--picture": arguments.picture is not None,
        }.items()
        if there
    ]
    if arguments.against is not None:
        given = (["--memory"] if arguments.memory else []) + given
        if given:
            raise ValueError(
                f"--against compares MACs of one image, and does not go with {' and '.join(given)}"
            )
    elif arguments.memory:
        if arguments.csv:
            raise ValueError("--csv writes the ledger, and does not go with --memory")
    elif given := [name for name in given if name != "--csv"]:
        raise ValueError(
            f"{' and '.join(given)} {'go' if len(given) > 1 else 'goes'} with --memory; the ledger is per image"
        )
    if arguments.optimizer is not None and not arguments.training:
        raise ValueError(f"--optimizer is {arguments.optimizer}, and only training has one; add --training")
    if arguments.picture is not None:
        path = Path(arguments.picture)
        if path.suffix != ".svg":
            raise ValueError(f"--picture is {path}; expected the name of a file that ends in .svg")
        if not path.parent.is_dir():
            raise ValueError(f"--picture is {path}, and there is no folder {path.parent}; create it first")


def run_ledger(arguments: argparse.Namespace) -> int:
    """Print a network's ledger, its memory, or what other tools count; ValueError for options that do not fit."""
    from casestudies.zoo import variant

    row = variant(arguments.name)
    channels, height, _ = row.image
    _check_options(arguments, height)
    side = arguments.image
    image = row.image if side is None else (channels, side, side)
    if arguments.against is not None:
        return _against(row.name, image, arguments.against)
    if arguments.memory:
        return _memory(row.name, image, arguments)
    from casestudies.costs import ledger
    from casestudies.zoo import skeleton

    table = replace(ledger(skeleton(row.name), image), network=row.name)
    print(table.to_csv() if arguments.csv else table, end="" if arguments.csv else "\n")
    return 0


def _against(name: str, image: tuple[int, int, int], tools: str) -> int:
    from casestudies.against import Comparison, against
    from casestudies.zoo import build

    found = against(build(name), image, tools)
    counted = [replace(each, network=name) for each in found if isinstance(each, Comparison)]
    print("\n\n".join(map(str, counted)))
    for each in found:
        if not isinstance(each, Comparison):
            print(f"casestudies ledger: {each}", file=sys.stderr)
    return 0


def _memory(name: str, image: tuple[int, int, int], arguments: argparse.Namespace) -> int:
    from casestudies.costs import memory
    from casestudies.zoo import skeleton

    batch = 1 if arguments.batch is None else arguments.batch
    held = memory(
        skeleton(name), image, batch=batch, training=arguments.training, optimizer=arguments.optimizer
    )
    held = replace(held, network=name)
    if arguments.picture:
        from casestudies.figures import timeline

        Path(arguments.picture).write_text(timeline(held, name).to_file(), encoding="utf-8")
    print(held)
    return 0
