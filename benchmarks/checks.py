"""How long a check takes: of right answers, of known mistakes, of other wrong answers, and of two mistakes at once.

    python benchmarks/checks.py                 every part
    python benchmarks/checks.py resnet alexnet  two assignments
    python benchmarks/checks.py --pairs 0       without pairs of mistakes, which take the longest to go through

Right and other wrong answers are those of tests/checks; "other" ones are as students write them, and many of them are
not among the known mistakes. Times are of the processor, in one process and one thread, the shortest of `--repeat`
checks with fresh seeds, in units of what `import torch` takes: the shortest of three fresh interpreters in the same
run. So a busy machine says much the same as an idle one. The slowest diagnosis of each assignment is made again as
the first check of a fresh process, as in a new kernel, where nothing is known of any candidate yet. `named` says in
how many answers the mistake, or one of the two, was named. Two mistakes in a formula that cancel each other make a
right answer, and count as one: what they give is what the reference gives, in every call of many draws from its
space. Exit status: 1 if a right answer failed, a wrong one passed, or a diagnosis takes too long: more than a quarter
of `import torch` in the median, or ever more than that time, the first of a process included. benchmarks/luck.py
looks for the first two in earnest.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from agreement import Answer, answers_of, namespace
from tqdm import tqdm

from casestudies import check
from casestudies.checking.compare import difference_of
from casestudies.checking.parts import Dice, Part, Values, assignments, parts
from casestudies.sandboxed.probe import encode

IMPORT = "import time; start = time.process_time(); import torch; print(time.process_time() - start)"
FIRST = """
import sys, time, torch
sys.path.insert(0, {folder!r})
from agreement import namespace
from casestudies import check

torch.set_num_threads(1)
subject = eval({expression!r}, namespace({assignment!r}))
start = time.process_time()
check({part!r}, subject, hidden=True)
print(time.process_time() - start)
"""
MEDIAN, MOST = 0.25, 1.0  # of a diagnosis, in units of `import torch`
DRAWS = 200  # from the space of a formula, before two mistakes in it count as none
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


def import_torch() -> float:
    """Seconds of the processor that a fresh interpreter takes for it."""
    return fresh(IMPORT, 3)


def fresh(code: str, times: int) -> float:
    """The least number that fresh interpreters print at the end of some code."""
    run = [sys.executable, "-c", code]
    printed = [
        subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() for _ in range(times)
    ]
    return min(float(words[-1]) for words in printed)


def first(answer: Answer, repeat: int) -> float:
    """Seconds of the processor that the check of an answer takes as the first one of a process."""
    asked = {
        "folder": str(Path(__file__).parent),
        "expression": answer.expression,
        "assignment": answer.part.partition("/")[0],
        "part": answer.part,
    }
    return fresh(FIRST.format(**asked), repeat)


def timed(answer: Answer, subject: object, repeat: int) -> tuple[float, bool, bool]:
    """Seconds of the processor, whether it passed every time, and whether a mistake was named every time."""
    seconds, passed, named = [], True, True
    for _ in range(repeat):
        start = time.process_time()
        report = check(answer.part, subject, hidden=True)
        seconds.append(time.process_time() - start)
        passed, named = passed and report.passed, named and bool(report.mistakes)
    return min(seconds), passed, named


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
    unit = import_torch()
    print(f"import torch: {unit:.3f} s of the processor")
    print(f"{'named, median, slowest / import torch':37}" + "".join(f"{kind:>25}" for kind in KINDS.values()))
    total = {kind: Column() for kind in KINDS}
    faults, firsts = 0, list[tuple[float, str]]()
    for assignment in arguments.names or assignments():
        known = namespace(assignment)
        slowest: tuple[float, Answer] | None = None
        for id, part in parts(assignment).items():
            columns = {kind: Column() for kind in KINDS}
            for answer in tqdm(answers_of(part, pairs=arguments.pairs), desc=id, leave=False, disable=None):
                try:
                    subject = eval(answer.expression, known)
                except Exception:  # two mistakes that do not go together
                    continue
                seconds, passed, named = timed(answer, subject, arguments.repeat)
                if answer.kind == "pair" and passed and cancel(part, subject):
                    answer = replace(answer, kind="variant")
                faults += passed != (answer.kind == "variant")
                for each in (columns, total):
                    each[answer.kind].add(answer, seconds / unit, named)
                if answer.kind != "variant" and (slowest is None or seconds > slowest[0]):
                    slowest = seconds, answer
            print(f"{id:37}" + "".join(f"{columns[kind]}" for kind in KINDS), flush=True)
        if slowest is not None:
            found = first(slowest[1], arguments.repeat) / unit
            firsts.append((found, slowest[1].label))
            print(f"first of a fresh process: {found:.3f} {slowest[1].label}", flush=True)
    print(f"{'all':37}" + "".join(f"{total[kind]}" for kind in KINDS))
    for kind, what in KINDS.items():
        if total[kind].seconds:
            print(f"slowest, {what}: {total[kind].slowest[1]}")
    diagnoses = [seconds for kind in KINDS if kind != "variant" for seconds in total[kind].seconds]
    median, most = statistics.median(diagnoses or [0.0]), max(diagnoses, default=0.0)
    start = max(firsts, default=(0.0, "none"))
    slow = median > MEDIAN or max(most, start[0]) > MOST
    verdict = "TOO SLOW" if slow else "fast enough"
    print(f"diagnoses: {median:.2f} x import torch in the median, {most:.2f} x at most: {verdict}")
    print(f"first of a fresh process: {start[0]:.2f} x import torch at most, {start[1]}")
    print(f"{faults} right answers failed or wrong ones passed")
    return 1 if faults or slow else 0


if __name__ == "__main__":
    sys.exit(main())
