"""How long a check takes, and whether luck plays any part in it.

    python benchmarks/checks.py                        every part: time of a right and of a wrong answer
    python benchmarks/checks.py --repeat 1000 resnet   fresh seeds: right answers always pass, wrong ones never

Right answers are those of tests/checks; wrong ones are the known mistakes and all their pairs. Times are medians of
this machine, in one process and one thread.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from casestudies import check
from casestudies.checking.blocks import build
from casestudies.checking.parts import Part, Reference, assignments, parts

TESTS = Path(__file__).parents[1] / "tests" / "checks"


def correct_answers(assignment: str) -> dict[str, dict[str, object]]:
    spec = importlib.util.spec_from_file_location(assignment, TESTS / f"{assignment}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.CORRECT


def timed(part: str, answer: object) -> tuple[float, object]:
    start = time.perf_counter()
    report = check(part, answer, hidden=True)
    return time.perf_counter() - start, report


def pairs(part: Part) -> list[object]:
    """The pairs of mistakes that can be built at all."""
    found = []
    for _, _, both in part.pairs:
        try:
            if isinstance(part.reference, Reference):
                build(both, part.reference.cases[0])
        except Exception:
            continue
        found.append(both)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument(
        "--repeat", type=int, default=3, help="checks of every answer, each with a fresh seed"
    )
    arguments = parser.parse_args()
    print(
        f"{'part':36} {'right':>13} {'wrong':>13} {'named':>11} {'pairs killed':>13} {'t(right)':>9} {'t(wrong)':>9}"
    )
    unlucky = 0
    for assignment in arguments.names or assignments():
        answers = correct_answers(assignment)
        for id, part in parts(assignment).items():
            right, wrong = [], []
            for answer in tqdm(answers.get(id, {}).values(), desc=id, leave=False):
                right += [timed(id, answer) for _ in range(arguments.repeat)]
            named = 0
            for known in tqdm(part.mistakes, desc=id, leave=False):
                runs = [timed(id, known.wrong) for _ in range(arguments.repeat)]
                named += sum(known.id in report.mistakes for _, report in runs)
                wrong += runs
            both = [check(id, answer, hidden=True) for answer in tqdm(pairs(part), desc=id, leave=False)]
            passed = sum(report.passed for _, report in right)
            killed = sum(not report.passed for _, report in wrong)
            pairs_killed = sum(not report.passed for report in both)
            unlucky += len(right) - passed + len(wrong) - killed + len(both) - pairs_killed
            print(
                f"{id:36} {passed:>6}/{len(right):<6} {killed:>6}/{len(wrong):<6} {named:>5}/{len(wrong):<5} "
                f"{pairs_killed:>6}/{len(both):<6} {statistics.median(t for t, _ in right):>8.3f}s "
                f"{statistics.median(t for t, _ in wrong):>8.3f}s"
            )
    return 1 if unlucky else 0


if __name__ == "__main__":
    sys.exit(main())
