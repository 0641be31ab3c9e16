"""How long a check takes: of right answers, of known mistakes, of other wrong answers, and of two mistakes at once.

    python benchmarks/checks.py                 every part
    python benchmarks/checks.py resnet alexnet  two assignments
    python benchmarks/checks.py --pairs 0       without pairs of mistakes, which take the longest to go through

Right and other wrong answers are those of tests/checks; "other" ones are as students write them, and many of them are
not among the known mistakes. Times are of this machine, in one process and one thread, the shortest of `--repeat`
checks with fresh seeds, the hidden cases included. `named` says in how many answers the mistake, or one of the two,
was named. Exit status: 1 if a right answer failed or a wrong one passed; benchmarks/luck.py looks for that in
earnest.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from dataclasses import dataclass, field

from agreement import Answer, answers_of, namespace
from tqdm import tqdm

from casestudies import check
from casestudies.checking.parts import assignments, parts

KINDS = {"variant": "right", "mistake": "known mistakes", "wrong": "other wrong", "pair": "two at once"}


@dataclass
class Column:
    """The answers of one kind to one part."""

    seconds: list[float] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    named: int = 0

    def add(self, answer: Answer, seconds: float, named: bool) -> None:
        self.seconds.append(seconds)
        self.slowest = max(self.slowest, (seconds, answer.label))
        self.named += named

    def __str__(self) -> str:
        if not self.seconds:
            return f"{'-':>25}"
        named = f"{self.named}/{len(self.seconds)}"
        return f"{named:>9} {statistics.median(self.seconds):7.3f} {self.slowest[0]:7.3f}"


def timed(answer: Answer, subject: object, repeat: int) -> tuple[float, bool, bool]:
    """Seconds, whether it passed every time, and whether a mistake was named every time."""
    seconds, passed, named = [], True, True
    for _ in range(repeat):
        start = time.perf_counter()
        report = check(answer.part, subject, hidden=True)
        seconds.append(time.perf_counter() - start)
        passed, named = passed and report.passed, named and bool(report.mistakes)
    return min(seconds), passed, named


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument(
        "--repeat", type=int, default=2, help="checks of every answer, each with a fresh seed"
    )
    parser.add_argument("--pairs", type=int, default=20, help="pairs of mistakes of each part, evenly taken")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in assignments():
            parser.error(f"{name!r} is no assignment; there are {', '.join(assignments())}")
    if arguments.repeat < 1 or arguments.pairs < 0:
        parser.error("--repeat must be 1 or more, --pairs 0 or more")
    print(f"{'named, median and slowest in seconds':34}" + "".join(f"{kind:>25}" for kind in KINDS.values()))
    total = {kind: Column() for kind in KINDS}
    faults = 0
    for assignment in arguments.names or assignments():
        known = namespace(assignment)
        for id, part in parts(assignment).items():
            columns = {kind: Column() for kind in KINDS}
            for answer in tqdm(answers_of(part, pairs=arguments.pairs), desc=id, leave=False, disable=None):
                try:
                    subject = eval(answer.expression, known)
                except Exception:  # two mistakes that do not go together
                    continue
                seconds, passed, named = timed(answer, subject, arguments.repeat)
                faults += passed != (answer.kind == "variant")
                for each in (columns, total):
                    each[answer.kind].add(answer, seconds, named)
            print(f"{id:34}" + "".join(f"{columns[kind]}" for kind in KINDS), flush=True)
    print(f"{'all':34}" + "".join(f"{total[kind]}" for kind in KINDS))
    for kind, what in KINDS.items():
        if total[kind].seconds:
            print(f"slowest, {what}: {total[kind].slowest[1]}")
    print(f"{faults} right answers failed or wrong ones passed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
