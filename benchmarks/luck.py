"""Whether luck plays any part in a check: a thousand repetitions, each with a fresh seed.

    python benchmarks/luck.py                           every right and every wrong answer (hours; see below)
    python benchmarks/luck.py resnet vgg --jobs 2       two assignments
    python benchmarks/luck.py --repeat 100 --only right only the right answers, a hundred times each

Right are the variants of tests/checks, wrong are the known mistakes of casestudies.checks and the wrong answers of
tests/checks. A right answer that fails once, or a wrong one that passes once, is a fault; it is printed with the
seed that repeats it. Hidden cases are checked too. What a wrong answer did wrong is not looked for here, and the
check of a wrong block ends with the first case in which it differs from the reference: both make a check several
times faster and do not change whether it is passed.

Repetitions are done in rounds, a few of every answer in each, and counted in a file as they come: a run that was
interrupted goes on, and until then the table says how many of each part were done at least. Other code starts anew.
Exit status: 0 no fault, 1 a fault.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from agreement import ROOT, answers_of, kept_lines, namespace, sources
from tqdm import tqdm

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.parts import assignments, parts

ROUND = 25  # repetitions of an answer before the next answer's turn


@dataclass(frozen=True)
class Turn:
    """Some repetitions of one answer."""

    part: str
    label: str
    right: bool
    first: int
    count: int

    @property
    def key(self) -> tuple[str, int, int]:
        return self.label, self.first, self.count

    def seeds(self) -> Iterator[int]:
        """Other ones for each answer and repetition, and the same in every run."""
        for number in range(self.first, self.first + self.count):
            yield zlib.crc32(f"{self.label} {number}".encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class Outcome(Turn):
    """What came of a turn: the seeds with which a right answer failed or a wrong one passed."""

    faults: list[int] = field(default_factory=list)


@cache
def answers(assignment: str) -> dict[str, object]:
    """Every answer by its label. From here on the parts of the assignment know no mistakes to look for."""
    found = {}
    for part in parts(assignment).values():
        for answer in answers_of(part):
            found[answer.label] = eval(answer.expression, namespace(assignment))
    for part in parts(assignment).values():
        part.mistakes, part._pairs = [], []
    return found


class Differs(BaseException):
    """A case has shown a difference from the reference: the part is not passed, whatever the other cases show."""


@contextmanager
def first_difference_decides() -> Iterator[None]:
    compare = blocks.compare

    def strictly(*args: Any, **options: Any) -> dict[str, str]:
        if compare(*args, **options):
            raise Differs
        return {}

    blocks.compare = strictly
    try:
        yield
    finally:
        blocks.compare = compare


def passes(part: str, answer: object, seed: int) -> bool:
    try:
        return check(part, answer, hidden=True, seed=seed).passed
    except Differs:
        return False


def play(turn: Turn) -> Outcome:
    answer = answers(turn.part.partition("/")[0])[turn.label]
    outcome = Outcome(**asdict(turn))
    with nullcontext() if turn.right else first_difference_decides():
        outcome.faults.extend(s for s in turn.seeds() if passes(turn.part, answer, s) != turn.right)
    return outcome


def turns(names: list[str], repeat: int, only: str | None) -> list[Turn]:
    """All turns, round by round."""
    kinds = [
        (part.id, answer.label, answer.kind == "variant")
        for name in names
        for part in parts(name).values()
        for answer in answers_of(part)
    ]
    return [
        Turn(*kind, first, min(ROUND, repeat - first))
        for first in range(0, repeat, ROUND)
        for kind in kinds
        if only is None or (only == "right") == kind[2]
    ]


def version(assignment: str) -> str:
    """Of all that an assignment's checks depend on."""
    state = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted((ROOT / "casestudies" / "checking").glob("*.py")):
        state.update(path.read_bytes())
    for name, text in sources(assignment).items():
        state.update(f"{name}\0{text}".encode())
    return state.hexdigest()[:16]


def earlier(path: Path, versions: dict[str, str]) -> dict[tuple[str, int, int], Outcome]:
    """What interrupted runs of the same code have found, by the key of a turn."""
    found = {}
    for stored in kept_lines(path):
        if stored.pop("version") == versions.get(stored["part"].partition("/")[0]):
            outcome = Outcome(**stored)
            found[outcome.key] = outcome
    return found


def played(todo: list[Turn], jobs: int) -> Iterator[Outcome]:
    if jobs == 1:
        yield from map(play, todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(play, todo, chunksize=8)


def show(wanted: list[Turn], found: list[Outcome]) -> int:
    """The table; returns the number of faults."""
    labels: dict[tuple[str, bool], set[str]] = defaultdict(set)
    for turn in wanted:
        labels[turn.part, turn.right].add(turn.label)
    done: Counter[str] = Counter()
    faults: Counter[tuple[str, bool]] = Counter()
    for outcome in found:
        done[outcome.label] += outcome.count
        faults[outcome.part, outcome.right] += len(outcome.faults)
    print(
        f"{'part':36} {'right':>6} {'times each':>11} {'failed':>7}   {'wrong':>6} {'times each':>11} {'passed':>7}"
    )
    for part in dict.fromkeys(turn.part for turn in wanted):
        line = f"{part:36}"
        for right in (True, False):
            own = labels[part, right]
            least = min((done[label] for label in own), default=0)
            line += f" {len(own):>6} {least:>11} {faults[part, right]:>7}  "
        print(line)
    total = [sum(o.count for o in found if o.right is right) for right in (True, False)]
    print(
        f"{total[0]:,} checks of right answers, {sum(n for (_, right), n in faults.items() if right)} failed; "
        f"{total[1]:,} of wrong ones, {sum(n for (_, right), n in faults.items() if not right)} passed"
    )
    return sum(faults.values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument("--repeat", type=int, default=1000, help="checks of every answer")
    parser.add_argument("--only", choices=["right", "wrong"], help="leave the other answers out")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--results", type=Path, default=ROOT / "_build" / "luck.jsonl")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in assignments():
            parser.error(f"{name!r} is no assignment; there are {', '.join(assignments())}")
    for option in ("repeat", "jobs"):
        if getattr(arguments, option) < 1:
            parser.error(f"--{option} is {getattr(arguments, option)}; expected at least 1")
    wanted = turns(arguments.names or assignments(), arguments.repeat, arguments.only)
    versions = {name: version(name) for name in assignments()}
    done = earlier(arguments.results, versions)
    found = [done[turn.key] for turn in wanted if turn.key in done]
    todo = [turn for turn in wanted if turn.key not in done]
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            open(arguments.results, "a", encoding="utf-8") as kept,
            tqdm(total=sum(turn.count for turn in wanted), unit="check", disable=None) as bar,
        ):
            bar.update(sum(outcome.count for outcome in found))
            for outcome in played(todo, arguments.jobs):
                found.append(outcome)
                own = versions[outcome.part.partition("/")[0]]
                kept.write(json.dumps({**asdict(outcome), "version": own}) + "\n")
                kept.flush()
                for seed in outcome.faults:
                    told = "failed" if outcome.right else "passed"
                    bar.write(f"{told.upper()}: {outcome.label} with seed {seed}")
                bar.update(outcome.count)
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
    return 1 if show(wanted, found) else 0


if __name__ == "__main__":
    sys.exit(main())
