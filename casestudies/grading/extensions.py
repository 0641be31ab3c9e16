"""Extensions and late days, from one file `extensions.csv` in the course's folder.

    student,assignment,days,until,why
    ada,resnet,3,,illness           three days more for one assignment
    grace,vgg,,2026-12-05 12:00,    until a time of her own
    *,*,4,,late days                four late days for everybody, for the whole term
    alan,*,6,,late days             six for one student, in place of everybody's

Late days are spent where something is late, in the order in which the assignments are due: a day for each day that
has begun, until none is left. What comes of it stands in nbgrader's gradebook as extensions, so that nbgrader's own
commands and its plugin for penalties know it, too. The gradebook also keeps, in a table that nbgrader does not look
at, which of its extensions the file has given: these end with their line, or with the whole file.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.errors import CourseError
from casestudies.grading.lateness import is_late
from casestudies.grading.tables import table_lines, table_text
from casestudies.grading.times import read_time
from casestudies.sandboxed.quoting import printable, quoted

if TYPE_CHECKING:
    from nbgrader.api import Gradebook

    from casestudies.grading.course import Course
    from casestudies.grading.lateness import Times

NAME = "extensions.csv"
COLUMNS = ("student", "assignment", "days", "until", "why")
EVERYBODY = "*"
MOST_DAYS = 366
DAY = timedelta(days=1)


class ExtensionError(CourseError):
    """The file has lines that say nothing certain; one sentence each, and nothing was changed."""


@dataclass(frozen=True)
class Extension:
    """One line of the file: more time for one assignment, or with assignment "*" late days for the term."""

    line: int
    student: str  # or "*": everybody
    assignment: str  # or "*": late days
    days: float | None
    until: datetime | None
    why: str = ""


@dataclass
class Granted:
    """What a student has for one assignment beyond its due date."""

    time: timedelta = timedelta()
    why: str = ""
    late_days: int = 0  # spent on it; part of `time`
    left: int = 0  # of the late days, after this assignment

    def __str__(self) -> str:
        words = []
        own = self.time - self.late_days * DAY
        if own > timedelta():
            words.append(f"{_days(own)}{f' ({printable(self.why, 200)})' if self.why else ''}")
        if self.late_days:
            words.append(f"{self.late_days} of the late days, {self.left} left")
        return "; ".join(words)


def _days(time: timedelta) -> str:
    number = round(time / DAY, 2)
    return f"{number:g} day{'' if number == 1 else 's'}"


# --------------------------------------------------------------------------- the file


def read_extensions(path: Path, assignments: Collection[str]) -> list[Extension]:
    """The lines of the file; none where there is no file. Raises ExtensionError: a sentence for each bad line."""
    text = table_text(path, ExtensionError)
    return [] if text is None else parse_extensions(text, path.name, assignments)


def parse_extensions(text: str, name: str, assignments: Collection[str]) -> list[Extension]:
    """What a file of this text says. See `read_extensions`."""
    columns, lines = table_lines(text, name, COLUMNS, ExtensionError)
    if not {"student", "assignment"} <= set(columns) or not {"days", "until"} & set(columns):
        raise ExtensionError(
            f"{name}, line 1: the columns are {', '.join(map(quoted, columns))}; expected student, assignment, and "
            "days or until; nothing was changed"
        )
    found: list[Extension] = []
    faults: list[str] = []
    seen: dict[tuple[str, str], int] = {}
    for line, values in lines:
        if isinstance(values, str):
            faults.append(values)
            continue
        try:
            each = _extension(line, values, assignments)
            key = (each.student, each.assignment)
            if key in seen:
                raise _Bad(
                    "student", each.student, f"one line for each student and assignment; see line {seen[key]}"
                )
            seen[key] = line
            found.append(each)
        except _Bad as bad:
            column, value, expected = bad.args
            faults.append(f"{name}, line {line}, column {column}: {quoted(value)}; expected {expected}")
    if faults:
        raise ExtensionError("\n".join([*faults, f"{name}: nothing was changed"]))
    return found


class _Bad(ValueError):
    """(column, value, what was expected)"""


def _extension(line: int, values: dict[str, str], assignments: Collection[str]) -> Extension:
    student, assignment = values["student"], values["assignment"]
    if not student:
        raise _Bad("student", student, "the id of a student, or * for everybody")
    if assignment != EVERYBODY and assignment not in assignments:
        raise _Bad("assignment", assignment, f"one of {', '.join(sorted(assignments))}, or * for late days")
    text, until = values.get("days", ""), values.get("until", "")
    if bool(text) == bool(until):
        raise _Bad(
            "days" if "days" in values else "until", text or until, "either days or until, and not both"
        )
    if until:
        if assignment == EVERYBODY:
            raise _Bad("until", until, "a number of late days in the column days, since the assignment is *")
        time = read_time(until.encode(), "until")
        if time.time is None:
            raise _Bad("until", until, "a time such as 2026-12-05 12:00 UTC")
        return Extension(line, student, assignment, None, time.time, values.get("why", ""))
    try:
        days = float(text.replace(",", ".")) if text.isascii() and "_" not in text else math.nan
    except ValueError:
        days = math.nan
    if not 0 <= days <= MOST_DAYS:
        raise _Bad("days", text, f"a number of days from 0 to {MOST_DAYS}, such as 3 or 0.5")
    if assignment == EVERYBODY and days != int(days):
        raise _Bad("days", text, "a whole number of late days")
    return Extension(line, student, assignment, days, None, values.get("why", ""))


# --------------------------------------------------------------------------- what follows from it


@dataclass(frozen=True)
class HandedIn:
    """What a student handed in, when, and when it was due."""

    student: str
    assignment: str
    due: datetime
    at: datetime | None


def grant(lines: Iterable[Extension], handed_in: Iterable[HandedIn]) -> dict[tuple[str, str], Granted]:
    """What each student has for each assignment: {(student, assignment): ...}, where it is anything."""
    of = {(each.student, each.assignment): each for each in lines}
    granted: dict[tuple[str, str], Granted] = {}
    left: dict[str, int] = {}
    for each in sorted(handed_in, key=lambda each: (each.due, each.assignment)):
        own = of.get((each.student, each.assignment)) or of.get((EVERYBODY, each.assignment))
        found = Granted()
        if own is not None:
            found.why = own.why
            found.time = own.until - each.due if own.until is not None else (own.days or 0.0) * DAY
            found.time = max(timedelta(), found.time)
        budget = of.get((each.student, EVERYBODY)) or of.get((EVERYBODY, EVERYBODY))
        days = left.setdefault(each.student, int(budget.days or 0) if budget else 0)
        late = each.at - each.due - found.time if each.at is not None else timedelta()
        if late > timedelta() and days:
            found.late_days = min(days, math.ceil(late / DAY))
            found.time += found.late_days * DAY
        found.left = left[each.student] = days - found.late_days
        if found.time > timedelta():
            granted[each.student, each.assignment] = found
    return granted


@dataclass
class Applied:
    """What was granted, and what a person should hear about it."""

    granted: dict[tuple[str, str], Granted] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    failed: dict[tuple[str, str], str] = field(default_factory=dict)  # penalties that could not be computed


def apply_extensions(course: Course, known: Collection[str], earlier: Times | None = None) -> Applied:
    """Writes the extensions into the gradebook, for every assignment that it knows, and the penalties that follow.
    `earlier` are hand-in times of the gradebook before the run: what it has written since is said to have changed.

    With the file, its lines are all that counts. Without it, what it gave has ended, and extensions that were given
    in nbgrader's own way stay. Penalties are computed anew in any case, from the scores, due dates and hand-in times
    of now: what the instructor decides about a time changes no file that was handed in, so that nothing is graded
    again. Raises ExtensionError before anything is written.
    """
    path = course.folder / NAME
    lines, there = read_extensions(path, known), path.exists()
    applied = Applied()
    with course.gradebook() as gradebook:
        everything = _all_submissions(gradebook)
        applied.said += course.write_times(everything, earlier)
        submissions = _submissions(gradebook)
        if there:
            applied.granted = grant(lines, [each for each, _ in submissions])
            applied.said += _unknown(course, gradebook, lines, submissions)
        memory = _Memory(gradebook)
        given = memory.read()
        for submission in everything:
            student, assignment = key = submission.student.id, submission.assignment.name
            dated = submission.assignment.duedate is not None
            before, why = submission.extension, ""
            if there and dated:
                wanted = applied.granted[key].time if key in applied.granted else None
            elif (
                key in given and before == given[key]
            ):  # else somebody has given another in nbgrader's own way
                # Without a due date, nbgrader's commands would fail at it.
                wanted = None
                why = (
                    f"; {NAME}, which gave it, is not there any more"
                    if dated
                    else "; it has no due date any more"
                )
            else:
                continue
            if wanted != before:
                submission.extension = wanted
                was, now = (_days(each) if each else "nothing" for each in (before, wanted))
                applied.said.append(
                    f"{printable(student)} has {now} beyond the due date of {assignment} (was: {was}{why})"
                )
        memory.write({key: found.time for key, found in applied.granted.items()})
        # Of an assignment whose due date was taken away, too: it takes nothing off any more.
        renew = [
            (submission.student.id, submission.assignment.name)
            for submission in everything
            if is_late(submission) or submission.late_submission_penalty
        ]
        gradebook.db.commit()
    for student, name in renew:
        if wrong := course.renew_penalty(student, name):
            applied.failed[student, name] = wrong
            applied.said.append(f"{printable(student)}: {wrong}")
    return applied


class _Memory:
    """Which extensions of a gradebook the file has given, in a table of the gradebook's own.

    There it is committed with the extensions, and comes along wherever these go: into a backup, or another database.
    """

    NAME = "casestudies_extension"

    def __init__(self, gradebook: Gradebook) -> None:
        from sqlalchemy import Column, Float, MetaData, String, Table, inspect

        # Of the session: what it writes is committed with the rest.
        self.connection = gradebook.db.connection()
        names = (Column(each, String(128), primary_key=True) for each in ("student", "assignment"))
        self.table = Table(self.NAME, MetaData(), *names, Column("seconds", Float(), nullable=False))
        self.there = inspect(self.connection).has_table(self.NAME)

    def read(self) -> dict[tuple[str, str], timedelta]:
        rows = self.connection.execute(self.table.select()) if self.there else ()
        return {(row.student, row.assignment): timedelta(seconds=row.seconds) for row in rows}

    def write(self, given: dict[tuple[str, str], timedelta]) -> None:
        if given == self.read():
            return
        if not self.there:
            self.table.create(self.connection)
        self.connection.execute(self.table.delete())
        rows = [
            {"student": student, "assignment": assignment, "seconds": time.total_seconds()}
            for (student, assignment), time in given.items()
        ]
        if rows:
            self.connection.execute(self.table.insert(), rows)


def _all_submissions(gradebook: Gradebook) -> list[Any]:
    """Of assignments without a due date, too: theirs may be set later on, and nbgrader exports the times."""
    return [
        submission
        for assignment in gradebook.assignments
        for submission in gradebook.assignment_submissions(assignment.name)
    ]


def _submissions(gradebook: Gradebook) -> list[tuple[HandedIn, Any]]:
    found = []
    for assignment in gradebook.assignments:
        if assignment.duedate is None:
            continue
        for submission in gradebook.assignment_submissions(assignment.name):
            handed = HandedIn(
                submission.student.id, assignment.name, assignment.duedate, submission.timestamp
            )
            found.append((handed, submission))
    return found


def _unknown(
    course: Course, gradebook: Gradebook, lines: list[Extension], submissions: list[tuple[HandedIn, Any]]
) -> list[str]:
    """Lines that cannot take effect: of nobody who is known, or of an assignment without a due date."""
    from casestudies.grading.course import _nearest, student_folders

    students = {student.id for student in gradebook.students}
    students |= {folder.name for folder in student_folders(course.step("submitted"))}
    undated = {each.name for each in gradebook.assignments if each.duedate is None}
    said = []
    for line in lines:
        if line.student != EVERYBODY and line.student not in students:
            said.append(
                f"{NAME}, line {line.line}: {quoted(line.student)} is not in the gradebook and has handed in nothing."
                f"{_nearest(line.student, students)}"
            )
        if line.assignment in undated:
            said.append(
                f"{NAME}, line {line.line}: {line.assignment} has no due date, so the line does nothing; set one: "
                f'nbgrader db assignment add {line.assignment} --duedate="2026-11-19 12:00:00 UTC"'
            )
    return said
