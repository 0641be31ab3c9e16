"""`casestudies try senet`: which wrong answers are caught, how they are explained, and what is still missing.

The answers are those of the tests: right and wrong ones from tests/checks, and the known mistakes. What is demanded
beside that stands in `demands.py`.
"""

from __future__ import annotations

import argparse
import io
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.demands import DEMANDS, Draft, clone, fault_of_right, fault_of_wrong, unmet
from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import LeakError, SourceError

if TYPE_CHECKING:
    from casestudies.checking.report import Report

SEEDS = (11, 12)


@dataclass
class Tried:
    """An answer that was tried: what it earned, how that was explained, and what is wrong with the verdict."""

    part: str
    kind: str  # right, mistake, wrong
    label: str
    report: Report
    fault: str

    @property
    def earned(self) -> str:
        """What the points are for, or why what is right earns none; "" where there are none, or all."""
        if self.report.passed:
            return ""
        right = [each for each in self.report.criteria if each.points or each.passed]
        for each in right:
            if not each.points:
                return f"{each.title}: {each.message}"
        what = "; ".join(f"{each.title.lower()} ({each.points:g} of {each.possible:g})" for each in right)
        return f"Points for: {what}." if what else ""

    def lines(self) -> Iterator[str]:
        points = f"{self.report.points:g}/{self.report.possible:g}"
        named = ", ".join(self.report.mistakes)
        yield f"  {self.kind:8}{self.label:32}{points:>10}  {named}".rstrip()
        if self.kind != "right" or self.fault:
            texts = [known["text"] for known in self.report.recognised] or [self.report.summary]
            for text in [*texts, self.earned]:
                yield from textwrap.wrap(text, 80, initial_indent=" " * 10, subsequent_indent=" " * 10)
        if self.fault:
            yield f"  FAULT   {self.fault}"


def tried(draft: Draft) -> Iterator[Tried]:
    """Every right and wrong answer that the assignment knows, with what its checks say: as the tests ask them."""
    from casestudies.checking.engine import check

    for id, part in draft.parts.items():
        for style, answer in draft.answers.CORRECT.get(id, {}).items():
            reports = [check(id, answer, hidden=True, seed=seed) for seed in SEEDS]
            faults = [fault for report in reports if (fault := fault_of_right(report))]
            worst = min(reports, key=lambda report: report.points)
            yield Tried(id, "right", style, worst, faults[0] if faults else "")
        for known in part.mistakes:
            report = check(id, known.wrong, hidden=True, seed=21)
            yield Tried(id, "mistake", known.id, report, fault_of_wrong(part, report, known.id))
        for label, (answer, expected) in draft.answers.WRONG.get(id, {}).items():
            report = check(id, answer, hidden=True, seed=31)
            yield Tried(id, "wrong", label, report, fault_of_wrong(part, report, expected))


def table_faults(draft: Draft) -> Iterator[str]:
    """Mistakes whose rows do not fit the reference, each in a sentence; asked first, since a check stops at them."""
    from casestudies.checking.sources import TableError

    for part in draft.parts.values():
        for known in part.mistakes:
            try:
                known.wrong  # noqa: B018  (it is compiled when it is asked for)
            except TableError as error:
                yield str(error)


def solution_faults(draft: Draft) -> Iterator[str]:
    """What is wrong with the model solution in the notebook's source, as its own checks see it."""
    from casestudies.checking.engine import check

    namespace: dict[str, object] = {"__name__": "__main__"}
    where = f"solutions/{draft.name}.md"

    def handed(part: str, answer: Any = None, **options: Any) -> None:
        asked.append((part, answer))

    for cell in draft.source.cells:
        if cell.cell_type != "code" or "%pip" in cell.source:
            continue
        asked: list[tuple[str, Any]] = []
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if "check" in namespace:  # the notebook imports the real one first
            namespace["check"] = handed
        try:
            with redirect_stdout(io.StringIO()):  # what the solution shows a student
                exec(compile(cell.source, f"{where}, cell {name}", "exec"), namespace)
        except Exception as error:  # the author's own code
            yield f"{where}, cell {name}: {_place(error, draft)}"
            return
        for part, answer in dict(asked).items():
            if part not in draft.parts:
                yield f"{where}, cell {name}: it asks for {part!r}; the parts are {', '.join(draft.parts)}"
            elif fault := fault_of_right(check(part, answer, hidden=True, seed=SEEDS[0])):
                yield f"{where}, cell {name}: {fault}; the model solution is no answer to {part}"


def _try(args: argparse.Namespace) -> int:
    try:
        draft = Draft(clone(), args.name)
    except CourseError as error:
        print(f"casestudies try: {error}", file=sys.stderr)
        return 2
    try:
        if not any(path.exists() for path in draft.files.values()):
            known = sorted(path.stem for path in (draft.root / "solutions").glob("*.md"))
            raise CourseError(
                f"there is no assignment {args.name!r}; known: {', '.join(known)}. To begin one: casestudies new NAME"
            )
        faults = unmet(draft)
    except (CourseError, SourceError, LeakError) as error:
        print(f"casestudies try: {error}", file=sys.stderr)
        return 2
    except Exception as error:  # the author's own files, which are run
        print(f"casestudies try: {args.name} cannot be read: {_place(error, draft)}", file=sys.stderr)
        return 2
    count = named = wrong = 0
    if not any(demand.name == "files" for demand, _ in faults):
        part = ""
        rows = list(table_faults(draft))
        for fault in rows:
            print(f"  FAULT   {fault}")
            count += 1
        cases = any(demand.name == "cases" for demand, _ in faults)
        unreadable = ["rows"] * bool(rows) + ["cases"] * cases
        for each in [] if unreadable else tried(draft):
            if each.part != part:
                part = each.part
                print(f"{part}, {draft.parts[part].points:g} points")
            print("\n".join(each.lines()))
            count += bool(each.fault)
            if each.kind != "right":
                wrong += 1
                named += bool(each.report.mistakes)
        for fault in [] if unreadable else solution_faults(draft):
            print(f"  FAULT   {fault}")
            count += 1
        if unreadable:
            print(f"No answer was tried: correct these {' and '.join(unreadable)} first.")
        else:
            print(f"{named} of {wrong} wrong answers are named.")
    for demand, fault in faults:
        print(f"Demanded ({demand.name}): {fault}.")
    if not faults and not count:
        print(f"{args.name} has all {len(DEMANDS)} things that the tests demand, and its checks judge right.")
        return 0
    left = {"fault": count, "demand": len(faults)}
    print(f"Not finished: {', '.join(f'{n} {what}' + 's' * (n != 1) for what, n in left.items())}.")
    return 1


def _place(error: Exception, draft: Draft) -> str:
    """What was raised, and in which line of the author's: the innermost one, or the innermost of all."""
    frames: list[tuple[str, int | None]] = []
    trace = error.__traceback__
    while trace is not None:
        frames.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    words = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((error.filename, error.lineno))
        words = error.msg
    network = draft.root / "casestudies" / "networks" / f"{draft.name}.py"
    own = {str(path) for path in (*draft.files.values(), network)}
    mine = [frame for frame in frames if frame[0] in own or frame[0].startswith(f"solutions/{draft.name}.md")]
    file, line = (mine or frames)[-1]
    path = Path(file)
    if path.is_relative_to(draft.root):
        file = str(path.relative_to(draft.root))
    return f"{type(error).__name__}: {words} ({file}, line {line})"


def add_parser(subparsers: Any) -> None:
    """`casestudies try NAME`"""
    parser = subparsers.add_parser(
        "try",
        description="Asks the checks about all right and wrong answers, shows what they say, and lists what the "
        "tests demand and is missing. Exit status: 0 nothing is missing, 1 something is, 2 bad input.",
    )
    parser.add_argument("name", help="the assignment, such as resnet")
    parser.set_defaults(run=_try)
