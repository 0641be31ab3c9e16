"""`casestudies regrade ASSIGNMENT --diff`: what grading again would change, before anything is changed.

For whoever has corrected a check, or has taken a newer version of the course, in the middle of a term. Every
submission that is graded is graded once more, with the same random numbers, and the verdicts are compared with those
that are stored. Nothing is written: neither gradebook nor reports.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casestudies.entrance import Interrupts
from casestudies.grading.arrivals import Arrivals, files_of
from casestudies.grading.configuration import shared_engine
from casestudies.grading.course import Course, job_of
from casestudies.grading.errors import LATE, PRESSED, CourseError
from casestudies.grading.pools import Nursery, Pool, Result, local_pool
from casestudies.grading.records import read_submission
from casestudies.grading.secret import NAME as SECRET
from casestudies.grading.verdicts import Graded, Verdict
from casestudies.sandboxed.quoting import printable

HANDED_IN_SINCE = (
    "Something else was handed in since this was graded, so the checks alone cannot be compared."
)


@dataclass(frozen=True)
class Change:
    """One graded cell of one student that would come out otherwise. None: it was not graded, or would not be.

    Where nothing can be said of a student's cells, there is one without a name, and `why`.
    """

    student: str
    cell: str
    before: Verdict | None
    after: Verdict | None
    why: str = ""

    @property
    def points(self) -> float:
        """By how much the score would change, as far as both are known."""
        known = [v.points or 0.0 if v else 0.0 for v in (self.before, self.after)]
        return round(known[1] - known[0], 4)

    @property
    def kind(self) -> str:
        """What the same change of another student is counted with."""
        return self.why or f"{self.cell}: {_words(self.before)} -> {_words(self.after)}"


def _words(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not graded"
    points = "?" if verdict.points is None else f"{verdict.points:g}"
    named = f" ({', '.join(verdict.mistakes)})" if verdict.mistakes else ""
    return f"{verdict.state} {points}/{verdict.possible:g}{named}"


def compare(student: str, before: list[Verdict], after: list[Verdict]) -> list[Change]:
    """The cells whose state, points or named mistakes differ."""
    old, new = ({verdict.cell: verdict for verdict in each} for each in (before, after))
    changes = []
    for cell in dict.fromkeys([*old, *new]):
        one, other = old.get(cell), new.get(cell)
        if one is None or other is None or _judged(one) != _judged(other):
            changes.append(Change(student, cell, one, other))
    return changes


def _judged(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.state, verdict.points, verdict.possible, sorted(verdict.mistakes)


def differences(
    course: Course,
    name: str,
    students: Sequence[str] = (),
    jobs: int | None = None,
    pool: Pool | None = None,
    nursery: Nursery | None = None,
    report: Callable[[str, int, int], None] = lambda student, done, total: None,
) -> tuple[list[Change], int]:
    """What would change, by student, and how many submissions were looked at. Raises CourseError."""
    with course.lock(), shared_engine():
        stored = {
            student: [Verdict.from_dict(each) for each in found["verdicts"]]
            for student in course.students(name, students)
            if (found := course.graded(name, student)) is not None
        }
        if not stored:
            raise CourseError(f"nothing of {name} is graded yet: casestudies grade {name}")
        if not (course.folder / SECRET).exists():
            raise CourseError(
                f"{course.folder / SECRET} is missing, without which other questions would be asked; put it back"
            )
        assignment, limits, secret = course.assignment(name), course.limits, course.secret()
        if pool is None:
            nursery = nursery or Nursery([str(course.folder)])
            pool = local_pool(jobs or os.cpu_count() or 1, limits, nursery)
        seen = Arrivals(course.folder).last()
        changes: dict[str, list[Change]] = {}

        def todo() -> Iterator[tuple[str, bytes]]:
            for student in stored:
                submission = read_submission(course.step("submitted") / student / name, name)
                before = seen.get((student, name))
                if before is not None and before.files not in ("", files_of(name, submission)):
                    changes[student] = [Change(student, "", None, None, HANDED_IN_SINCE)]
                else:
                    yield student, job_of(assignment, submission, limits, secret)

        for student, result in pool(todo()):
            if "graded" in result:
                changes[student] = compare(
                    student, stored[student], Graded.from_dict(result["graded"]).verdicts
                )
            elif "broken" in result:
                raise CourseError(printable(result["broken"], 1000))
            else:
                changes[student] = [Change(student, "", None, None, _why(result))]
            report(student, len(changes), len(stored))
        return [each for student in stored for each in changes.get(student, [])], len(stored)


def _why(result: Result) -> str:
    """Why there is no verdict. No log is written here, so that an exception of the grader's is told as it is."""
    if result.get("pressed") or result.get("late"):
        return PRESSED if result.get("pressed") else LATE
    *_, last = str(result.get("failed", "")).strip().splitlines() or [""]
    return f"This could not be graded: the grader failed at it with {printable(last, 300)}"


def as_text(changes: list[Change], looked_at: int) -> str:
    """For a person: what changes for how many, then for whom."""
    if not changes:
        return f"{looked_at} submissions would get the same verdicts.\n"
    who = len({each.student for each in changes})
    lines = [f"{who} of {looked_at} submissions would get other verdicts, or none:", ""]
    kinds = Counter(each.kind for each in changes)
    lines += [f"{count:5}  {kind}" for kind, count in kinds.most_common()]
    lines.append("")
    for student in dict.fromkeys(each.student for each in changes):
        own = [each for each in changes if each.student == student]
        points = "" if any(each.why for each in own) else f" {sum(each.points for each in own):+g} points"
        lines.append(f"{printable(student)}:{points}")
        lines += [f"    {each.kind}" for each in own]
    return "\n".join(lines) + "\n"


def _run(args: argparse.Namespace) -> int:
    with Interrupts() as interrupts:
        try:
            return _compared(args, interrupts)
        except KeyboardInterrupt:
            print("\nInterrupted. Nothing was changed.", file=sys.stderr)
            return interrupts.status


def _compared(args: argparse.Namespace, interrupts: Interrupts) -> int:
    from tqdm import tqdm

    from casestudies.cli import in_words
    from casestudies.grading.configuration import quiet_nbgrader
    from casestudies.grading.notebooks import LeakError, SourceError, find_root
    from casestudies.grading.sandbox import SandboxError

    try:
        if not args.diff:
            raise CourseError(
                f"to see what would change: casestudies regrade {args.assignment} --diff; to store what other "
                f"checks give: casestudies grade {args.assignment}"
            )
        course = Course.open(find_root(), args.course)
        course.require(args.assignment)
        with quiet_nbgrader(), Nursery([str(course.folder)]) as nursery:
            with ExitStack() as stack:
                shown: Any = None

                def report(student: str, done: int, total: int) -> None:
                    nonlocal shown
                    if shown is None:  # before that it may come to an error, which no bar should precede
                        bar = tqdm(total=total, unit="submission", disable=args.json, file=sys.stderr)
                        shown = stack.enter_context(bar)
                    shown.update(done - shown.n)
                    interrupts.check()

                changes, looked_at = differences(
                    course, args.assignment, args.student, args.jobs, nursery=nursery, report=report
                )
    except (CourseError, SandboxError, SourceError, LeakError, OSError, ValueError) as error:
        print(f"casestudies regrade: {in_words(error)}", file=sys.stderr)
        return 2
    if args.json:
        rows = [
            {
                "student": each.student,
                "cell": each.cell,
                "before": _words(each.before),
                "after": _words(each.after),
                "points": each.points,
                "why": each.why,
            }
            for each in changes
        ]
        print(json.dumps({"submissions": looked_at, "changes": rows}, indent=1))
    else:
        print(as_text(changes, looked_at), end="")
    return 1 if changes else 0


def add_parser(subparsers: Any) -> None:
    """`casestudies regrade ASSIGNMENT --diff [--course DIR] [--student ID] [--jobs N] [--json]`"""
    from casestudies.grading.cli import _positive

    parser = subparsers.add_parser(
        "regrade",
        usage="casestudies regrade [-h] --diff [--course COURSE] [--student ID] [--jobs N] [--json] assignment",
        description="Grades what is graded once more, compares the verdicts, and stores nothing. Exit status: 0 "
        "nothing would change, 1 something would, 2 bad input, 130 interrupted (143 by kill, 129 by a hangup).",
    )
    parser.add_argument("assignment", help="its name, such as resnet")
    parser.add_argument("--diff", action="store_true", help="show what would change")
    parser.add_argument("--course", type=Path, help="folder with submitted/ (default: CASESTUDIES_COURSE)")
    parser.add_argument(
        "--student", action="append", default=[], metavar="ID", help="only this one; repeatable"
    )
    parser.add_argument("--jobs", type=_positive, help="processes (default: one for each core)")
    parser.add_argument("--json", action="store_true", help="for a program")
    parser.set_defaults(run=_run)
