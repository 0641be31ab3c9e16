"""Long benchmarks whose results are kept in a file as they come: one that was interrupted goes on, and other code
starts anew. `luck.py` and `sentences.py` are such ones."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Protocol, TypeVar

from agreement import ROOT, kept_lines, sources
from tqdm import tqdm

from casestudies.checking.parts import assignments

CHUNK = 8  # pieces of work that a process takes at once


class Result(Protocol):
    """What came of a piece of work: a dataclass that says of which part, and which piece it was."""

    __dataclass_fields__: Any

    @property
    def part(self) -> str: ...

    @property
    def key(self) -> Hashable: ...


Asked = TypeVar("Asked")
Found = TypeVar("Found", bound=Result)


def parser_for(description: str, results: str) -> argparse.ArgumentParser:
    """The options that every such benchmark has; `results` is the name of its file."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--results", type=Path, default=ROOT / "_build" / results)
    return parser


def parsed(parser: argparse.ArgumentParser, *counts: str) -> argparse.Namespace:
    """The options of this run; each of `counts`, and the number of processes, must be 1 or more."""
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in assignments():
            parser.error(f"{name!r} is no assignment; there are {', '.join(assignments())}")
    for option in (*counts, "jobs"):
        if getattr(arguments, option) < 1:
            parser.error(f"--{option} is {getattr(arguments, option)}; expected at least 1")
    arguments.names = arguments.names or assignments()
    return arguments


def version(assignment: str) -> str:
    """Of all that an assignment's checks depend on, and of the benchmark that is running."""
    state = hashlib.sha256(Path(sys.argv[0]).read_bytes() + Path(__file__).read_bytes())
    for path in sorted((ROOT / "casestudies" / "checking").glob("*.py")):
        state.update(path.read_bytes())
    for name, text in sources(assignment).items():
        state.update(f"{name}\0{text}".encode())
    return state.hexdigest()[:16]


def carried_on(
    asked: Sequence[Asked],
    work: Callable[[Asked], Found],
    *,
    key: Callable[[Asked], Hashable],
    read: Callable[[dict[str, Any]], Found],
    faults: Callable[[Found], list[str]],
    arguments: argparse.Namespace,
    unit: str,
    size: Callable[[Any], int] = lambda _: 1,
) -> list[Found]:
    """What came of all that is asked, or of as much as was done before an interruption: `work` on what no earlier run
    has done. `size` says how many of the bar's units a piece of work, or its result, is; faults are printed as they
    come."""
    versions = {name: version(name) for name in assignments()}
    done: dict[Hashable, Found] = {}
    for stored in kept_lines(arguments.results):
        if stored.pop("version") == versions.get(stored["part"].partition("/")[0]):
            each = read(stored)
            done[each.key] = each
    found = [done[key(each)] for each in asked if key(each) in done]
    todo = [each for each in asked if key(each) not in done]
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            open(arguments.results, "a", encoding="utf-8") as kept,
            tqdm(total=sum(map(size, asked)), initial=sum(map(size, found)), unit=unit, disable=None) as bar,
        ):
            for each in _worked(todo, work, arguments.jobs):
                found.append(each)
                own = versions[each.part.partition("/")[0]]
                kept.write(json.dumps({**asdict(each), "version": own}) + "\n")
                kept.flush()
                for fault in faults(each):
                    bar.write(fault)
                bar.update(size(each))
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
    return found


def _worked(todo: list[Asked], work: Callable[[Asked], Found], jobs: int) -> Iterator[Found]:
    if jobs == 1:
        yield from map(work, todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(work, todo, chunksize=CHUNK)
