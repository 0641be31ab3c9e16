"""How long a check takes: of right answers, of known mistakes, of other wrong answers, and of two mistakes at once.

    python benchmarks/checks.py                       every part
    python benchmarks/checks.py resnet alexnet        two assignments
    python benchmarks/checks.py --pairs 0             without pairs of mistakes, which take the longest to go through
    python benchmarks/checks.py --before OTHER.jsonl  also says which reports differ from those of an earlier run

Right and other wrong answers are those of tests/checks; "other" ones are as students write them, and many of them are
not among the known mistakes. Times are of the processor, in one process and one thread, the shortest of `--repeat`
checks with other seeds, in units of what `import torch` takes: the shortest of three fresh interpreters, just before
the checks of a part. The slowest diagnosis of each part is made again as the first check of a fresh process, as in a
new kernel, where nothing is known of any candidate yet; `import torch` is timed in that process, and the median of
`--firsts` processes counts. So a busy machine says much the same as an idle one.
`named` says in how many answers the mistake, or one of the two, was named. Two mistakes in a formula that cancel each
other make a right answer, and count as one: what they give is what the reference gives, in every call of many draws
from its space.

Results are kept in a file as they come, so that a run that was interrupted goes on; other code starts anew. Exit
status: 1 if a right answer failed, a wrong one passed, a report differs from the one before, or a diagnosis takes too
long: more than a quarter of `import torch` in the median, or ever more than that time, the first of a process
included. benchmarks/luck.py looks for the first two in earnest.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from agreement import Answer, answers_of, kept_lines, namespace
from resumed import carried_on, parsed, parser_for

from casestudies import check
from casestudies.checking.compare import difference_of
from casestudies.checking.parts import Dice, Part, Values, parts
from casestudies.sandboxed.probe import encode

IMPORT = "import time; start = time.process_time(); import torch; print(time.process_time() - start)"
FIRST = """
import sys, time
start = time.process_time()
import torch
unit = time.process_time() - start
sys.path.insert(0, {folder!r})
from agreement import namespace
from casestudies import check

torch.set_num_threads(1)
subject = eval({expression!r}, namespace({assignment!r}))
start = time.process_time()
check({part!r}, subject, seed=1, hidden=True)
print(time.process_time() - start, unit)
"""
MEDIAN, MOST = 0.25, 1.0  # of a diagnosis, in units of `import torch`
DRAWS = 200  # from the space of a formula, before two mistakes in it count as none
KINDS = {"variant": "right", "mistake": "known mistakes", "wrong": "other wrong", "pair": "two at once"}


@dataclass(frozen=True)
class Asked:
    """An answer that is to be checked: `repeat` times, or as the `first` one of so many processes."""

    answer: Answer
    repeat: int
    first: bool = False

    @property
    def key(self) -> Hashable:
        return self.answer.part, self.answer.kind, self.answer.name, self.repeat, self.first


@dataclass
class Timed:
    """How long that took."""

    part: str
    kind: str
    name: str
    repeat: int
    first: bool
    seconds: float  # of the processor
    unit: float  # seconds of `import torch`, measured in the same run
    passed: bool = False  # every time
    named: bool = False  # a mistake, every time
    right: bool = False  # whether it had to pass
    reports: list[dict[str, Any]] = field(default_factory=list)

    @property
    def key(self) -> Hashable:
        return self.part, self.kind, self.name, self.repeat, self.first

    @property
    def share(self) -> float:
        return self.seconds / self.unit

    @property
    def label(self) -> str:
        return f"{self.part} {self.kind} {self.name}"

    @property
    def column(self) -> str:
        return "variant" if self.right else self.kind


@cache
def import_torch(part: str) -> float:
    """Seconds of the processor that a fresh interpreter takes for it, just before the checks of a part."""
    return min(seconds for (seconds,) in fresh(IMPORT, 3))


def fresh(code: str, times: int) -> list[list[float]]:
    """The numbers that fresh interpreters print at the end of some code."""
    run = [sys.executable, "-c", code]
    return [
        [float(word) for word in done.stdout.splitlines()[-1].split()]
        for done in (subprocess.run(run, capture_output=True, text=True, check=True) for _ in range(times))
    ]


def timed(asked: Asked) -> Timed:
    answer = asked.answer
    assignment = answer.part.partition("/")[0]
    found = Timed(answer.part, answer.kind, answer.name, asked.repeat, asked.first, 0.0, 1.0)
    if asked.first:
        values = {"expression": answer.expression, "assignment": assignment, "part": answer.part}
        times = fresh(FIRST.format(folder=str(Path(__file__).parent), **values), asked.repeat)
        found.seconds, found.unit = sorted(times, key=lambda each: each[0] / each[1])[len(times) // 2]
        return found
    found.unit = import_torch(answer.part)
    subject = eval(answer.expression, namespace(assignment))
    seconds, reports = [], []
    for seed in range(1, asked.repeat + 1):
        start = time.process_time()
        reports.append(check(answer.part, subject, seed=seed, hidden=True))
        seconds.append(time.process_time() - start)
    found.seconds = min(seconds)
    found.passed = all(report.passed for report in reports)
    found.named = all(report.mistakes for report in reports)
    found.reports = [report.to_dict() for report in reports]
    found.right = answer.kind == "variant" or (
        answer.kind == "pair" and found.passed and cancel(parts(assignment)[answer.part], subject)
    )
    return found


def cancel(part: Part, pair: Callable[..., Any]) -> bool:
    """Whether two mistakes in a formula are right together, wherever in its space the formula is asked."""
    reference = part.reference
    if not isinstance(reference, Values) or reference.view is not None or reference.random:
        return False
    for seed in range(DRAWS):
        dice = Dice(seed)
        for call in (call for group in reference.groups for call in group.make(dice)):
            right = reference.function(*deepcopy(call.args), **deepcopy(call.kwargs))
            try:
                given = pair(*deepcopy(call.args), **deepcopy(call.kwargs))
            except Exception:
                return False
            if difference_of(encode(given), encode(right), reference.tolerance):
                return False
    return True


def possible(answer: Answer) -> bool:
    """Whether there is such an answer: two mistakes may not go together."""
    try:
        eval(answer.expression, namespace(answer.part.partition("/")[0]))
    except Exception:
        return False
    return True


def faults(row: Timed) -> list[str]:
    if row.first or row.passed == row.right:
        return []
    return [f"{row.label}: {'passed' if row.passed else 'failed'}"]


def other_reports(rows: Sequence[Timed], before: Path | None) -> Iterator[str]:
    """The answers of which an earlier run told something else."""
    told = {}
    for stored in kept_lines(before) if before else ():
        stored.pop("version")
        row = Timed(**stored)
        told[row.key] = row.reports
    for row in rows:
        if told.get(row.key, row.reports) != row.reports:
            yield row.label


def cells(rows: Sequence[Timed]) -> str:
    """Of one line of the table, by kind: how many were named, the median and the most."""
    text = ""
    for kind in KINDS:
        own = [row for row in rows if row.column == kind]
        if not own:
            text += f"{'-':>25}"
            continue
        shares = [row.share for row in own]
        named = f"{sum(row.named for row in own)}/{len(own)}"
        text += f"{named:>9} {statistics.median(shares):7.3f} {max(shares):7.3f}"
    return text


def show(names: Sequence[str], rows: Sequence[Timed], firsts: Sequence[Timed]) -> bool:
    """Prints the table; whether the diagnoses take no longer than they may."""
    print(f"{'named, median, slowest / import torch':37}" + "".join(f"{kind:>25}" for kind in KINDS.values()))
    for name in names:
        for part in parts(name):
            print(f"{part:37}" + cells([row for row in rows if row.part == part]))
    print(f"{'all':37}" + cells(rows))
    for name in (*names, "all"):
        own = [row for row in rows if name in (row.part.partition("/")[0], "all") and not row.right]
        if not own:
            continue
        start = [row for row in firsts if name in (row.part.partition("/")[0], "all")]
        slowest = max(own, key=lambda row: row.share)
        latest = max(start or own, key=lambda row: row.share)
        print(
            f"{name:14} {len(own):5} diagnoses, median {statistics.median(row.share for row in own):.2f}, "
            f"most {slowest.share:.2f} ({slowest.label}), first of a process {latest.share:.2f} ({latest.label})"
        )
    wrong = [row.share for row in rows if not row.right]
    median = statistics.median(wrong or [0.0])
    most = max([*wrong, *(row.share for row in firsts)], default=0.0)
    fast = median <= MEDIAN and most <= MOST
    print(f"diagnoses: {'fast enough' if fast else 'TOO SLOW'}")
    return fast


def main() -> int:
    parser = parser_for(__doc__.partition("\n")[0], "checks.jsonl")
    parser.add_argument(
        "--repeat", type=int, default=2, help="checks of every answer, each with its own seed"
    )
    parser.add_argument("--firsts", type=int, default=3, help="processes whose first check is a slow one")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of mistakes of each part, evenly taken")
    parser.add_argument("--before", type=Path, help="results of other code, whose reports are compared")
    arguments = parsed(parser, "repeat", "firsts")
    if arguments.pairs < 0:
        parser.error(f"--pairs is {arguments.pairs}; expected at least 0")
    if arguments.before and not arguments.before.is_file():
        parser.error(f"--before is {arguments.before}; expected a file that an earlier run has written")
    answers = [
        Asked(answer, arguments.repeat)
        for name in arguments.names
        for part in parts(name).values()
        for answer in answers_of(part, pairs=arguments.pairs)
        if possible(answer)
    ]

    def results(asked: Sequence[Asked], unit: str) -> list[Timed]:
        return carried_on(
            asked,
            timed,
            key=lambda each: each.key,
            read=lambda stored: Timed(**stored),
            faults=faults,
            arguments=arguments,
            unit=unit,
        )

    rows = results(answers, "answer")
    of = {each.key: each.answer for each in answers}
    slowest: dict[str, Timed] = {}
    for row in rows:
        if not row.right and (row.part not in slowest or row.share > slowest[row.part].share):
            slowest[row.part] = row
    firsts = results([Asked(of[row.key], arguments.firsts, True) for row in slowest.values()], "process")
    fast = show(arguments.names, rows, firsts)
    others = list(other_reports(rows, arguments.before))
    for label in others:
        print(f"told otherwise: {label}")
    count = sum(bool(faults(row)) for row in rows)
    print(f"{len(rows)} of {len(answers)} answers; {count} right answers failed or wrong ones passed")
    return 0 if fast and not count and not others and len(rows) == len(answers) else 1


if __name__ == "__main__":
    sys.exit(main())
