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

import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

from agreement import answers_of, namespace
from resumed import carried_on, parsed, parser_for

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.parts import parts

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


def told(outcome: Outcome) -> list[str]:
    how = "failed" if outcome.right else "passed"
    return [f"{how.upper()}: {outcome.label} with seed {seed}" for seed in outcome.faults]


def main() -> int:
    parser = parser_for(str(__doc__).partition("\n")[0], "luck.jsonl")
    parser.add_argument("--repeat", type=int, default=1000, help="checks of every answer")
    parser.add_argument("--only", choices=["right", "wrong"], help="leave the other answers out")
    arguments = parsed(parser, "repeat")
    wanted = turns(arguments.names, arguments.repeat, arguments.only)
    found = carried_on(
        wanted,
        play,
        key=lambda turn: turn.key,
        read=lambda line: Outcome(**line),
        faults=told,
        arguments=arguments,
        unit="check",
        size=lambda turn: turn.count,
    )
    return 1 if show(wanted, found) else 0


if __name__ == "__main__":
    sys.exit(main())
