"""`casestudies grade ASSIGNMENT`: a class in parallel, with the same results as `nbgrader autograde`.

Exit status: 0 all graded; 1 graded, but some need a human; 2 bad input or nothing could be written;
130 interrupted, 143 by `kill` and 129 by a hangup (run it again: only what is missing is graded).
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.entrance import Interrupts

if TYPE_CHECKING:
    from casestudies.grading.course import Course, Nursery, Row
    from casestudies.grading.reports import Reports
    from casestudies.grading.watch import More, Outcome


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"is {text!r}; expected a whole number, 1 or more")
    return number


def add_parser(subparsers: Any) -> None:
    """`casestudies grade ASSIGNMENT [--course DIR] [--student ID] [--jobs N] [--force] ...`"""
    parser = subparsers.add_parser(
        "grade",
        description="Grades submitted/*/ASSIGNMENT. Exit status: 0 all graded, 1 some need a human, "
        "2 bad input, 130 interrupted (143 by kill, 129 by a hangup).",
    )
    parser.add_argument("assignment", help="its name, such as resnet")
    parser.add_argument(
        "--course", type=Path, help="folder with submitted/ (default: CASESTUDIES_COURSE, or the clone)"
    )
    parser.add_argument(
        "--student", action="append", default=[], metavar="ID", help="only this one; repeatable"
    )
    parser.add_argument("--jobs", type=_positive, help="processes (default: one for each core)")
    parser.add_argument("--force", action="store_true", help="grade again what has not changed")
    parser.add_argument(
        "--resume", action="store_true", help="go on after an interrupt (always done; for clarity)"
    )
    parser.add_argument("--scheduler", metavar="TCP", help="grade on a Dask cluster, such as tcp://host:8786")
    parser.add_argument("--feedback", action="store_true", help="also write the students' feedback pages")
    parser.add_argument("--watch", action="store_true", help="go on, and grade what is handed in meanwhile")
    parser.add_argument("--quiet", action="store_true", help="no progress bar and no table")
    parser.set_defaults(run=_run)


def _errors() -> tuple[type[Exception], ...]:
    """What ends a run and says in one sentence what to do."""
    from casestudies.grading.course import CourseError
    from casestudies.grading.notebooks import LeakError, SourceError
    from casestudies.grading.sandbox import SandboxError

    return CourseError, SandboxError, SourceError, LeakError, OSError, ValueError


def _run(args: argparse.Namespace) -> int:
    with Interrupts() as interrupts:
        try:
            return _graded_or_watched(args, interrupts)
        except KeyboardInterrupt:
            print(
                "\nInterrupted. What was graded is stored; the same command goes on from here.",
                file=sys.stderr,
            )
            return interrupts.status


def _graded_or_watched(args: argparse.Namespace, interrupts: Interrupts) -> int:
    from casestudies.cli import in_words
    from casestudies.grading.configuration import quiet_nbgrader
    from casestudies.grading.course import Course, Nursery
    from casestudies.grading.notebooks import find_root

    try:
        # The nursery begins its imports now, beside our own of nbgrader.
        if args.watch:
            return _watch(args, interrupts)
        folder = Course.folder_of(find_root(), args.course)
        nursery = nullcontext() if args.scheduler else Nursery([str(folder)])
        with quiet_nbgrader(), nursery as made:
            return _grade(args, interrupts, made)
    except _errors() as error:
        for line in in_words(error).splitlines():
            print(f"casestudies grade: {line}", file=sys.stderr)
        return 2


class _Batches:
    """What a watch does with the submissions that it finds."""

    def __init__(self, args: argparse.Namespace, interrupts: Interrupts, course: Course) -> None:
        self.args, self.interrupts, self.course = args, interrupts, course
        # With a new result that stands. Those of a run that ended before all was graded are said with the next one.
        self.fresh: set[str] = set()

    def grade(self, students: list[str], more: More) -> Outcome:
        """Raises CourseError where the run ended before all was graded, whatever ended it."""
        import copy

        from casestudies.cli import in_words
        from casestudies.grading.course import CourseError, Nursery
        from casestudies.grading.watch import Outcome

        batch = copy.copy(self.args)
        batch.student, batch.quiet = students, True

        def taken(row: Row) -> None:
            (self.fresh.discard if row.again else self.fresh.add)(row.student)

        try:
            with Nursery([str(self.course.folder)]) as nursery:
                self.course, rows = _graded(
                    batch, self.interrupts, nursery, taken, lambda left: more(left, self.fresh)
                )
        except CourseError:
            raise
        except _errors() as error:
            raise CourseError(in_words(error)) from None
        for sentence in doubts_of([row for row in rows if not row.again]):
            _warn(sentence)
        there = {row.student for row in rows}
        again = {row.student: _why(row) for row in rows if row.again}
        again |= {student: "its result did not come back" for student in students if student not in there}
        graded = [row.student for row in rows if row.student in self.fresh - again.keys()]
        self.fresh.clear()
        return Outcome(graded, again)

    def publish(self) -> str:
        """Writes reports and pages; a sentence where some could not be written."""
        from casestudies.cli import in_words

        try:
            return _published(self.course, self.args)[2]
        except _errors() as error:
            return in_words(error)


def _why(row: Row) -> str:
    """Why nothing that stands was stored of a submission."""
    return row.broken or row.error or next((verdict.message for verdict in row.verdicts), "")


def _watch(args: argparse.Namespace, interrupts: Interrupts) -> int:
    """Grades what comes in until Ctrl-C, which is how it ends well; any other end loses nothing either."""
    import signal

    from casestudies.grading.configuration import quiet_nbgrader
    from casestudies.grading.course import Course, CourseError
    from casestudies.grading.notebooks import find_root
    from casestudies.grading.secret import tell_of_damage
    from casestudies.grading.watch import watch
    from casestudies.sandboxed.quoting import printable

    if args.student or args.force or args.scheduler:
        raise CourseError("--watch grades whatever is new; leave out --student, --force and --scheduler")

    def say(text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')}  {printable(text, 2000)}", flush=True)

    with quiet_nbgrader():
        course = Course.open(find_root(), args.course)
        tell_of_damage(course.folder, "grade")
        batches = _Batches(args, interrupts, course)
        try:
            watch(course, args.assignment, batches.grade, say, batches.publish, sleep=interrupts.sleep)
        except KeyboardInterrupt:
            print("\nStopped watching. What was graded is stored; the same command goes on from here.")
            return 0 if interrupts.number in (0, signal.SIGINT) else interrupts.status
    return 0


def _warn(sentence: str) -> None:
    from casestudies.sandboxed.quoting import printable

    print(f"casestudies grade: {printable(sentence, 1000)}", file=sys.stderr)


def _graded(
    args: argparse.Namespace,
    interrupts: Interrupts,
    nursery: Nursery | None,
    taken: Callable[[Row], None] = lambda row: None,
    more: Callable[[set[str]], list[str]] | None = None,
) -> tuple[Course, list[Row]]:
    """Grades, with a bar and logs; calls `taken` for each row that is not an earlier run's, and `more` as
    `grade_class` does."""
    from tqdm import tqdm

    from casestudies.grading import importing
    from casestudies.grading.course import Course, cluster_pool, grade_class
    from casestudies.grading.notebooks import find_root
    from casestudies.grading.sandbox import bubblewrap
    from casestudies.grading.verdicts import NO_SANDBOX, describe
    from casestudies.sandboxed.quoting import printable

    with importing():
        course = Course.open(find_root(), args.course)
    if args.scheduler is None and bubblewrap() is None:
        print(f"WARNING. {NO_SANDBOX}", file=sys.stderr)
    logs = course.folder / "logs" / args.assignment
    bar: Any = None

    def report(row: Row, number: int, total: int) -> None:
        nonlocal bar
        taken(row)
        if bar is None:
            bar = tqdm(total=total, unit="submission", disable=args.quiet, file=sys.stderr)
        bar.set_postfix_str(printable(row.student, 40), refresh=False)
        bar.update(number - bar.n)
        logs.mkdir(parents=True, exist_ok=True)
        lines = [row.error] * bool(row.error) + [f"note: {printable(note, 2000)}" for note in row.notes]
        lines += [describe(verdict) for verdict in row.verdicts]
        lines += [f"{row.points:g} points in {row.seconds:.1f} s, protection: {row.protection}"]
        text = "\n".join(lines) + "\n" + row.log
        (logs / log_name(row.student)).write_text(text, encoding="utf-8", errors="backslashreplace")
        interrupts.check()

    try:
        rows = grade_class(
            course,
            args.assignment,
            students=args.student,
            jobs=args.jobs,
            force=args.force,
            pool=cluster_pool(args.scheduler) if args.scheduler else None,
            nursery=nursery,
            report=report,
            say=_warn,
            more=more,
        )
    finally:
        if bar is not None:
            bar.close()
    return course, rows


def _published(course: Course, args: argparse.Namespace) -> tuple[Reports, list[Path], str]:
    """Writes the reports, and with --feedback the pages: of whom, the files, and why some pages are not there."""
    from casestudies.grading.course import CourseError
    from casestudies.grading.reports import write_feedback, write_reports

    reports = write_reports(course, args.assignment)
    files = list(reports.files)
    if args.feedback:
        try:
            files += write_feedback(course, args.assignment)
        except CourseError as error:  # the scores are there, and want to be seen
            return reports, files, str(error)
    return reports, files, ""


def _grade(args: argparse.Namespace, interrupts: Interrupts, nursery: Nursery | None) -> int:
    """Grades, reports and shows; returns the exit status."""
    from casestudies.grading.cgroups import description
    from casestudies.sandboxed.quoting import printable

    course, rows = _graded(args, interrupts, nursery)
    reports, files, failed = _published(course, args)
    if not args.quiet:
        show(rows, args.assignment, os.get_terminal_size().columns if sys.stdout.isatty() else 120)
        if not args.student and reports.absent:
            named = (
                f"{each.student} ({each.name})" if each.name else each.student for each in reports.absent
            )
            print(f"Nothing handed in ({len(reports.absent)}): {', '.join(map(printable, named))}.")
        graded = {row.student for row in rows}
        waiting = [e for e in reports.entries if e.waiting and e.student in graded]
        if by_hand := sum(not e.again for e in waiting):
            print(f"Waiting for a grade by hand ({by_hand}): what is open counts 0 in the points above.")
        if again := len(waiting) - by_hand:
            print(
                f"To look at again ({again}): graded anew since you gave points or comments by hand, which stand."
            )
        print(f"Limits: {description()}.")
        for path in files:
            print(os.path.relpath(path))
    for sentence in doubts_of(rows) + errors_of(rows):
        _warn(sentence)
    if failed:
        print(f"casestudies grade: {failed}", file=sys.stderr)
        return 2
    return 1 if any(row.needs_human for row in rows) else 0


def doubts_of(rows: Sequence[Row]) -> list[str]:
    """What is doubtful about when something was handed in, one sentence for all about whom it says the same."""
    from casestudies.sandboxed.quoting import printable

    doubted: dict[str, list[str]] = {}
    for row in rows:
        if row.unclear:
            doubted.setdefault(row.unclear, []).append(row.student)
    return [f"when did {', '.join(map(printable, some))} hand in? {why}" for why, some in doubted.items()]


def errors_of(rows: Sequence[Row]) -> list[str]:
    """What went wrong, one sentence each; what went wrong with the sandbox is said once for all that it met."""
    met: dict[str, list[Row]] = {}
    for row in rows:
        if row.broken:
            met.setdefault(row.broken, []).append(row)
    said = [row.error for row in rows if row.error and not row.broken]
    for why, some in met.items():
        said.append(some[0].error if len(some) == 1 else f"{len(some)} submissions were not graded: {why}")
    return said


# States, where a table has no room for them.
_SHORT = {"crashed": "crash", "timed out": "time", "missing": "none", "ungradable": "human"}


def log_name(student: str) -> str:
    """The file of a student's log: a folder's name may be longer than leaves room for an ending."""
    name = f"{student}.log"
    if len(os.fsencode(name)) <= 255:
        return name
    return f"{student[:40]}-{hashlib.sha256(os.fsencode(student)).hexdigest()[:16]}.log"


def show(rows: list[Row], assignment: str, width: int = 120) -> None:
    """The class as a table in the terminal: states and points by part, mistakes, what needs a human."""
    from rich.cells import cell_len
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from casestudies.sandboxed.quoting import printable

    table = Table(title=f"{assignment}: {len(rows)} submissions", title_justify="left")
    longest = max((cell_len(printable(row.student)) for row in rows), default=0)
    wide = width >= 100 and longest <= width // 3
    parts = list(dict.fromkeys(verdict.cell for row in rows for verdict in row.verdicts))
    # A narrow terminal: six characters for each part, ten for the points, and the student takes the rest.
    room = None if wide else max(8, width - 9 * len(parts) - 15)
    table.add_column("student", overflow="fold", max_width=room)
    for part in parts:
        table.add_column(
            part.removeprefix("check_").replace("_", " "),
            justify="right",
            overflow="fold",
            max_width=None if wide else 6,
        )
    table.add_column("points", justify="right", overflow="fold", max_width=None if wide else 10)
    if wide:
        table.add_column("mistakes named, notes", overflow="fold")
    below: list[str] = []
    for row in rows:
        by_part = {verdict.cell: verdict for verdict in row.verdicts}
        cells = []
        for part in parts:
            verdict = by_part.get(part)
            if verdict is None:
                cells.append("")
            elif verdict.cell in row.decided:
                cells.append(f"{row.decided[verdict.cell]:g}/{verdict.possible:g}")
            elif verdict.state in ("passed", "partial", "wrong"):
                cells.append(f"{verdict.points:g}/{verdict.possible:g}")
            else:
                cells.append(verdict.state if wide else _SHORT[verdict.state])
        named = list(dict.fromkeys(name for verdict in row.verdicts for name in verdict.mistakes))
        remarks = ["NOT GRADED (see below)"] * bool(row.error) + named  # `errors_of` says why, once
        remarks += ["NEEDS A HUMAN"] * (row.needs_human and not row.error)
        remarks += ["NO SANDBOX"] * (row.protection == "none")
        remarks += ["NO NEW LATE PENALTY (the plugin failed)"] * bool(row.penalty_failed)
        remarks += ["WHEN WAS IT HANDED IN? (see below)"] * bool(row.unclear)
        remarks += [f"{row.penalty:g} off for being late"] * bool(row.penalty)
        remarks += [f"extended: {row.extension}"] * bool(row.extension)
        remarks += ["unchanged"] * (row.seconds is None and not row.error)
        total = f"{row.points:g}"
        if row.score is not None and round(row.score, 4) != round(row.points, 4):
            total += f" -> {row.score:g}"  # with grades by hand, after the penalty
        remark = escape(printable(", ".join(remarks), 1000))
        who = printable(row.student) + (f" ({printable(row.name)})" if row.name and wide else "")
        table.add_row(escape(who), *cells, total, *([remark] if wide else []))
        if remark and not wide:
            below.append(f"{escape(printable(row.student))}: {remark}")
    if any(row.score is not None and round(row.score, 4) != round(row.points, 4) for row in rows):
        table.caption = (
            "a -> b: a by the machine, b in the gradebook, with grades by hand and after penalties"
        )
        table.caption_justify = "left"
    console = Console(width=width, highlight=False)
    console.print(table)
    for line in below:
        console.print(line)
