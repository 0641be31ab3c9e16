"""What an instructor and a school's system read: a class report (HTML, CSV) and grades for Canvas and Moodle.

Everything is read from the gradebook and the graded notebooks, so that manual grades and late penalties are
in it, and the reports can be written again at any time.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import html
import io
import json
import logging
import os
import re
import statistics
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import defined_names
from casestudies.grading.pages import policy
from casestudies.grading.records import ABSENT, ByHand, by_hand, open_mark
from casestudies.grading.spreadsheets import harmless, identifier
from casestudies.grading.verdicts import NO_SANDBOX, NOT_PROTECTED, STATES, Verdict
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from casestudies.grading.course import Course


CODE = 20_000  # characters of a student's code behind one mistake, in the class report


@dataclass
class Entry:
    """One student's submission as it stands in the gradebook."""

    student: str
    first_name: str
    last_name: str
    email: str
    score: float  # with manual grades, after the late penalty
    penalty: float
    possible: float
    waiting: bool  # something is still to be graded by hand
    verdicts: list[Verdict]
    notes: list[str]
    protection: str
    raw: float | None = None  # before the penalty
    unclear: str = ""  # what a human has to decide beside the parts
    extension: float = 0.0  # days beyond the due date
    undecided: list[str] = field(default_factory=list)  # checks that a human has to decide and has not yet
    absent: bool = False  # on the roster, and handed nothing in
    decided: Collection[str] = ()  # cells to which a human has given points
    unread: list[str] = field(default_factory=list)  # written answers that nobody has graded yet

    @property
    def name(self) -> str:
        """As the roster has it; empty where it has none."""
        return " ".join(filter(None, [self.first_name, self.last_name]))

    @property
    def share(self) -> float:
        """The score as a part of what can be had."""
        return self.score / self.possible if self.possible else 0.0

    @property
    def mark(self) -> str:
        """What has to be said about this score wherever it goes; empty where nothing has."""
        if self.absent:
            return ABSENT
        doubt = "not sure when it was handed in" if self.unclear else ""
        still_open = open_mark(self.undecided, self.unread, self.waiting)
        return "; ".join(filter(None, [still_open, doubt, self.unprotected]))

    @property
    def again(self) -> bool:
        """Whether all has points, and a human should look at those given by hand again: the rest is newer."""
        return self.waiting and not (self.unread or self.undecided)

    @property
    def unprotected(self) -> str:
        """What protection this score was reached without; empty where it had all."""
        if self.protection == "none":
            return "graded without a sandbox"
        if not all(v.protected for v in self.verdicts):
            return "in part judged inside the student's process"
        return ""

    @property
    def given(self) -> str:
        """The score as another system gets it: none while a human has to decide, since a 0 would be taken for one,
        and none where nothing was handed in."""
        return "" if self.undecided or self.absent else _number(self.score)


def entries(course: Course, name: str) -> list[Entry]:
    """All submissions of an assignment, by student."""
    found = []
    with course.gradebook() as gradebook:
        submissions = sorted(gradebook.assignment_submissions(name), key=lambda each: each.student.id)
        times = course.hand_in_times(name, [each.student.id for each in submissions])
        hands = by_hand(gradebook, name)
        for submission in submissions:
            student = submission.student
            stored = course.graded(name, student.id) or {}
            penalty = submission.late_submission_penalty or 0.0
            hand = hands.get(student.id, ByHand())
            found.append(
                Entry(
                    student.id,
                    student.first_name or "",
                    student.last_name or "",
                    student.email or "",
                    max(0.0, submission.score - penalty),
                    penalty,
                    submission.max_score,
                    submission.needs_manual_grade,
                    [Verdict.from_dict(each) for each in stored.get("verdicts", [])],
                    stored.get("notes", []),
                    stored.get("protection", "?"),
                    submission.score,
                    time.note if (time := times[student.id]).unclear else "",
                    submission.extension / timedelta(days=1) if submission.extension else 0.0,
                    hand.checks,
                    decided=hand.given.keys(),
                    unread=hand.answers,
                )
            )
    return found


def absent(course: Course, name: str) -> list[Entry]:
    """Who is on the roster, which is all that the gradebook knows, and handed in nothing of an assignment."""
    strays = course.strays(name)
    found = []
    with course.gradebook() as gradebook:
        there = {each.student.id for each in gradebook.assignment_submissions(name)}
        possible = gradebook.find_assignment(name).max_score
        for student in sorted(gradebook.students, key=lambda each: each.id):
            handed_in = os.path.lexists(course.step("submitted") / student.id / name)
            if student.id not in there and student.id not in strays and not handed_in:
                names = (student.first_name or "", student.last_name or "", student.email or "")
                found.append(Entry(student.id, *names, 0.0, 0.0, possible, False, [], [], "", absent=True))
    return found


def _csv(header: list[str], rows: list[list[Any]], ids: Collection[str] = ()) -> str:
    """`ids` are the columns by which whoever imports the file finds a student: see `spreadsheets.identifier`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([harmless(each) for each in header])
    for row in rows:
        named = zip(header, row, strict=True)
        writer.writerow([identifier(value) if name in ids else harmless(value) for name, value in named])
    return text.getvalue()


def _number(value: float) -> str:
    return f"{round(value, 4):g}"


def class_csv(found: list[Entry]) -> str:
    """One row a student and graded cell."""
    header = [
        "student",
        "cell",
        "state",
        "points",
        "possible",
        "mistakes",
        "protected",
        "sandbox",
        "message",
        "name",
    ]
    rows: list[list[Any]] = []
    for entry in found:
        if entry.absent:
            rows.append([entry.student, "", ABSENT, *[""] * 6, entry.name])
        for v in entry.verdicts:
            points = "" if v.points is None else _number(v.points)
            named, protected = " ".join(v.mistakes), "yes" if v.protected else "no"
            row = [entry.student, v.cell, v.state, points, _number(v.possible), named, protected]
            rows.append([*row, entry.protection, v.message, entry.name])
    return _csv(header, rows, {"student"})


def grades_csv(found: list[Entry]) -> str:
    """One row a student: the score before and after the penalty."""
    header = ["student", "name", "email", "raw", "penalty", "score", "possible", "extension_days", "mark"]
    rows = []
    for entry in found:
        before = ["", ""] if entry.absent else [_number(_raw(entry)), _number(entry.penalty)]
        after = [_number(entry.possible), _number(entry.extension)]
        rows.append([entry.student, entry.name, entry.email, *before, entry.given, *after, entry.mark])
    return _csv(header, rows, {"student", "email"})


def _raw(entry: Entry) -> float:
    return entry.score if entry.raw is None else entry.raw


def canvas_csv(found: list[Entry], name: str) -> str:
    """For Canvas: Grades > Import. Students are matched by `SIS User ID`, which is nbgrader's student id. A score
    that was not protected is marked behind the student's name: a column more would be taken for an assignment."""
    possible = _number(max((entry.possible for entry in found), default=0.0))
    rows: list[list[Any]] = [["    Points Possible", "", "", "", "", possible]]
    for entry in found:
        full = ", ".join(part for part in (entry.last_name, entry.first_name) if part) or entry.student
        # Canvas reads the id; the name is for people, and carries what they should know.
        full += f" ({entry.mark})" if entry.mark else ""
        rows.append([full, "", entry.student, entry.email, "", entry.given])
    header = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", name]
    return _csv(header, rows, {"SIS User ID", "SIS Login ID"})


def moodle_csv(found: list[Entry], name: str) -> str:
    """For Moodle: Grades > Import > CSV file; map `idnumber` (or `email`) to the student, the column of the
    assignment's name to the assignment. Where somebody lost points for being late, two columns more say how many;
    where something has to be said about a score, a last one does. They can be mapped to the feedback."""
    header = ["idnumber", "email", name]
    rows = [[entry.student, entry.email, entry.given] for entry in found]
    if any(entry.penalty for entry in found):
        header += ["raw", "penalty"]
        for row, entry in zip(rows, found, strict=True):
            row += ["", ""] if entry.absent else [_number(_raw(entry)), _number(entry.penalty)]
    if any(entry.mark for entry in found):
        header.append("mark")
        for row, entry in zip(rows, found, strict=True):
            row.append(entry.mark)
    return _csv(header, rows, {"idnumber", "email"})


# --------------------------------------------------------------------------- HTML

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
:root { color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: left; vertical-align: top; }
.table { overflow-x: auto; } h1, h3, p { overflow-wrap: break-word; }
td { overflow-wrap: anywhere; min-width: 6rem; } td.name { overflow-wrap: normal; min-width: 0; }
td.text { min-width: 16rem; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8em; background: #3b7dd8; min-width: 1px; }
.scale { position: relative; display: inline-block; width: 12rem; height: .9em; background: #8882; }
.half, .middle { position: absolute; top: 0; height: 100%; background: #3b7dd8; }
.middle { width: 2px; background: CanvasText; }
pre { overflow-x: auto; padding: .7rem; background: #8882; }
.loud { border: 3px solid #c0392b; padding: .7rem 1rem; font-weight: 600; }
"""


# Columns of the course's own words: these stay whole, and the table scrolls where they leave no room.
_WHOLE = {"part", "mistake", "state", "assignment", "most frequent", "score", "students", *STATES}
_SENTENCES = {"what it is", "why", "notes"}  # room for a line that can be read


def _table(caption: str, header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    opening = [
        '<td class="name">' if each in _WHOLE else '<td class="text">' if each in _SENTENCES else "<td>"
        for each in header
    ]
    head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in header)
    body = "".join(
        "<tr>" + "".join(f"{td}{cell}</td>" for td, cell in zip(opening, row, strict=True)) + "</tr>"
        for row in rows
    )
    top = f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f'<div class="table" tabindex="0"><table>{top}<tbody>{body}</tbody></table></div>'


def _bar(count: int, most: int) -> str:
    return f'{count} <span class="bar" style="width:{12 * count / max(1, most):.1f}rem"></span>'


def _shown(text: str) -> str:
    """Text that may hold what a student chose, as HTML."""
    return html.escape(printable(text, 2000))


def _who(entry: Entry) -> str:
    """The id of a student, with the name beside it where the roster has one."""
    return _shown(entry.student) + (f"<br><small>{_shown(entry.name)}</small>" if entry.name else "")


@dataclass
class Named:
    """A mistake of a part, and the code of everybody who made it."""

    part: str
    id: str
    text: str
    by: list[tuple[Entry, str]]  # with the graded cell

    def anchor(self, entry: Entry) -> str:
        """A name for the code of one student, in which nothing of the student's id stands."""
        mark = f"{self.part}\0{self.id}\0{entry.student}".encode("utf-8", "surrogateescape")
        return f"code-{hashlib.sha256(mark).hexdigest()[:16]}"


def named_mistakes(found: list[Entry]) -> list[Named]:
    """Every mistake that was named, most frequent first, with who made it."""
    known: dict[tuple[str, str], Named] = {}
    for entry in found:
        for verdict in entry.verdicts:
            for report in verdict.reports:
                for each in report["recognised"]:
                    key = (report["part"], each["id"])
                    mistake = known.setdefault(key, Named(*key, each["text"], []))
                    if all(other is not entry for other, _ in mistake.by):
                        mistake.by.append((entry, verdict.cell))
    return sorted(known.values(), key=lambda mistake: -len(mistake.by))


def code_of(notebook: Mapping[str, Any], cell: str) -> str:
    """What a student wrote for a graded cell: the cells that define what it checks, else the one before it."""
    before: list[str] = []
    for each in notebook.get("cells", []):
        meta = each.get("metadata", {}).get("nbgrader", {})
        source = each.get("source", "")
        source = source if isinstance(source, str) else "".join(source)
        if meta.get("grade_id") == cell:
            wanted = {
                node.id
                for step in _steps(source)
                for node in ast.walk(ast.parse(step, mode="eval"))
                if isinstance(node, ast.Name)
            }
            chosen = [text for text in before if defined_names(text) & wanted]
            return "\n\n".join(chosen or before[-1:])[:CODE]
        if each.get("cell_type") == "code" and not meta.get("locked"):
            before.append(source)
    return ""


def _steps(source: str) -> list[str]:
    from casestudies.grading.cells import Check, steps

    try:
        return [step.expression for step in steps(source) if isinstance(step, Check)]
    except (ValueError, SyntaxError):
        return []


def _read_graded(course: Course, name: str, student: str) -> dict[str, Any]:
    path = course.step("autograded") / student / name / f"{name}.ipynb"
    try:
        found = json.loads(path.read_bytes())
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def quartiles(values: list[float]) -> tuple[float, float, float] | None:
    """Lower quartile, median, upper quartile, interpolated between the values around them; None for no values."""
    if not values:
        return None
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


@dataclass
class Standing:
    """How a class did in one assignment: for the trend."""

    name: str
    students: int
    quartiles: tuple[float, float, float] | None  # of the scores, as parts of what can be had
    waiting: int  # who waits for a grade by hand
    mistake: str  # the most frequent one, and how many made it


def standings(course: Course) -> list[Standing]:
    """Every assignment of which something is graded, by due date, then by name."""
    with course.gradebook() as gradebook:
        known = [(each.duedate or datetime.max, each.name) for each in gradebook.assignments]
    found = []
    for _, name in sorted(known):
        class_ = entries(course, name)
        if class_:
            named = named_mistakes(class_)
            most = f"{named[0].id} ({len(named[0].by)} of {len(class_)})" if named else ""
            waiting = sum(entry.waiting for entry in class_)
            share = quartiles([entry.share for entry in class_ if not entry.undecided])
            found.append(Standing(name, len(class_), share, waiting, most))
    return found


def _box(spread: tuple[float, float, float]) -> str:
    """The middle half of a class as a bar, with a line at the median."""
    low, middle, high = (max(0.0, min(1.0, each)) * 12 for each in spread)
    says = f"middle half from {100 * spread[0]:.0f} to {100 * spread[2]:.0f} %"
    return (
        f'<span class="scale" role="img" aria-label="{says}">'
        f'<span class="half" style="left:{low:.2f}rem;width:{high - low:.2f}rem"></span>'
        f'<span class="middle" style="left:{middle:.2f}rem"></span></span>'
    )


def class_html(
    found: list[Entry],
    name: str,
    strays: dict[str, str] | None = None,
    trend: Sequence[Standing] = (),
    code: Callable[[str, str], str] = lambda student, cell: "",
    missing: Sequence[Entry] = (),
) -> str:
    """The class at a glance: distribution, parts by state, mistakes by number, who needs a human. `strays` are
    folders that could not be taken for a submission, and why; `trend` is how the class did in every assignment;
    `code(student, cell)` is what a student wrote for a graded cell; `missing` are those who handed nothing in."""
    escape = _shown
    verdicts = [(entry, verdict) for entry in found for verdict in entry.verdicts]
    parts = list(dict.fromkeys(verdict.cell for _, verdict in verdicts))

    decided = [entry for entry in found if not entry.undecided]  # what is open is no 0
    tenths = Counter(min(9, int(10 * e.score / e.possible)) if e.possible else 0 for e in decided)
    most = max(tenths.values(), default=1)
    spread = [[f"{10 * n} to {10 * n + 10} %", _bar(tenths[n], most)] for n in range(10)]
    middle = quartiles([entry.score for entry in decided])
    summary = ""
    if middle is not None:
        possible = _number(max(entry.possible for entry in found))
        summary = (
            f"<p>Median {_number(middle[1])} of {possible} points. A quarter of the class has "
            f"{_number(middle[0])} or less, a quarter {_number(middle[2])} or more.</p>"
        )
    if left := len(found) - len(decided):
        summary += (
            f"<p>The scores of {left} are not among these: a human has to decide parts of them first.</p>"
        )
    if missing:
        summary += f"<p>Nothing was handed in by {len(missing)} more, who are in the table of students.</p>"

    states = Counter((verdict.cell, verdict.state) for _, verdict in verdicts)
    by_part = [[escape(part), *(str(states[part, state] or "") for state in STATES)] for part in parts]

    named = named_mistakes(found)
    most = max((len(mistake.by) for mistake in named), default=1)
    mistakes = [
        [
            escape(each.part),
            f"<code>{escape(each.id)}</code>",
            _bar(len(each.by), most),
            escape(each.text),
            ", ".join(f'<a href="#{each.anchor(entry)}">{_inline_who(entry)}</a>' for entry, _ in each.by),
        ]
        for each in named
    ]
    written = [
        f'<section id="{each.anchor(entry)}"><h3>{_inline_who(entry)}: <code>{escape(each.id)}</code> in '
        f"{escape(each.part)}</h3><pre>{_code(code(entry.student, cell))}</pre></section>"
        for each in named
        for entry, cell in each.by
    ]

    human = [
        [_who(entry), escape(v.cell), escape(v.state), escape(v.message)]
        for entry, v in verdicts
        if v.cell in entry.undecided or (v.state in ("crashed", "timed out") and v.cell not in entry.decided)
    ]
    human += [[_who(e), "", "hand-in time", escape(e.unclear)] for e in found if e.unclear]
    human += [[escape(each), "", "not graded", escape(why)] for each, why in (strays or {}).items()]
    human += [
        [_who(e), escape(", ".join(e.unread)), "to grade by hand", "a written answer"]
        if e.unread
        else [_who(e), "", "to grade by hand", "look again: it was graded anew since you gave points"]
        for e in found
        if e.unread or e.again
    ]
    repaired = [[_who(e), "<br>".join(map(escape, e.notes))] for e in found if e.notes]
    scores = [
        [
            escape(e.student),
            escape(e.name),
            "" if e.absent else f"{e.given or '?'} / {_number(e.possible)}",
            f"{_number(e.penalty)} of {_number(_raw(e))}" if e.penalty else "",
            f"{_number(e.extension)} day{'s' * (e.extension != 1)}" if e.extension else "",
            escape(e.mark),
        ]
        for e in sorted([*found, *missing], key=lambda each: each.student)
    ]
    over_time = [
        [
            escape(each.name),
            str(each.students),
            *([f"{100 * part:.0f} %" for part in each.quartiles] if each.quartiles else [""] * 3),
            _box(each.quartiles) if each.quartiles else "",
            str(each.waiting or ""),
            escape(each.mistake),
        ]
        for each in trend
        if len(trend) > 1
    ]
    loud = f'<p class="loud">{escape(NO_SANDBOX)}</p>' if any(e.protection == "none" for e in found) else ""
    open_cells = sorted({verdict.cell for _, verdict in verdicts if not verdict.protected})
    if open_cells:
        loud += f"<p>{escape(', '.join(open_cells))}: {escape(NOT_PROTECTED)}.</p>"
    trend_head = [
        "assignment",
        "students",
        "lower quartile",
        "median",
        "upper quartile",
        "",
        "waiting",
        "most frequent",
    ]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{policy(False)}'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}: the class</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(name)}: {len(found)} submissions</h1>{loud}{summary}"
        + _table("Scores", ["score", "students"], spread)
        + _table("Parts by state", ["part", *STATES], by_part)
        + _table("Mistakes that were named", ["part", "mistake", "students", "what it is", "who"], mistakes)
        + _table("For a human", ["student", "part", "state", "why"], human)
        + _table("Repaired or left out when submissions were read", ["student", "notes"], repaired)
        + _table("Students", ["student", "name", "score", "late penalty", "extension", "mark"], scores)
        + _table("All assignments so far", trend_head, over_time)
        + ("<h2>The code of those mistakes</h2>" + "".join(written) if written else "")
        + "</body></html>\n"
    )


def _inline_who(entry: Entry) -> str:
    return _shown(entry.student) + (f" ({_shown(entry.name)})" if entry.name else "")


def _code(text: str) -> str:
    """A student's code, line by line as it was written, in which nothing is markup."""
    return "\n".join(html.escape(printable(line, 2000)) for line in text.split("\n"))


@dataclass
class Reports:
    """What was written, and of whom."""

    files: list[Path]
    entries: list[Entry]  # who handed in
    absent: list[Entry]  # who is on the roster and did not


def write_reports(course: Course, name: str) -> Reports:
    """Writes reports/<name>.html and .csv, -grades.csv, -canvas.csv and -moodle.csv."""
    found, missing = entries(course, name), absent(course, name)
    everybody = sorted([*found, *missing], key=lambda each: each.student)
    folder = course.folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    read = cache(lambda student: _read_graded(course, name, student))

    def code(student: str, cell: str) -> str:
        return code_of(read(student), cell)

    texts = {
        f"{name}.html": class_html(found, name, course.strays(name), standings(course), code, missing),
        f"{name}.csv": class_csv(everybody),
        f"{name}-grades.csv": grades_csv(everybody),
        f"{name}-canvas.csv": canvas_csv(everybody, name),
        f"{name}-moodle.csv": moodle_csv(everybody, name),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8", errors="replace")
    return Reports([folder / file for file in texts], found, missing)


def write_feedback(course: Course, name: str) -> list[Path]:
    """`nbgrader generate_feedback` for the whole class; returns the folder of the pages.

    Raises CourseError where pages could not be made: whose, why, and where the rest is told. All others are there.
    """
    import copy

    from nbgrader.converters import GenerateFeedback
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory

    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.folder)
    config.CourseDirectory.assignment_id = name
    config.BaseConverter.force = True
    coursedir = CourseDirectory(config=config)
    converter = GenerateFeedback(coursedir=coursedir, config=config)
    told = _Told(logging.ERROR)
    converter.log.addHandler(told)
    shown, converter.log.propagate = converter.log.propagate, False
    others = [each for each in converter.log.handlers if each is not told]
    for each in others:  # the same three times, on the terminal
        converter.log.removeHandler(each)
    try:
        converter.start()
    except NbGraderException:
        log = course.folder / "logs" / name / "feedback-errors.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("\n".join(told.lines), encoding="utf-8", errors="backslashreplace")
        whose = ", ".join(printable(each, 100) for each in told.students())
        raise CourseError(
            f"no page of feedback for {whose or 'some'}: {told.reason()}; {log} has the whole error. Scores and "
            "reports are stored; the same command tries again"
        ) from None
    finally:
        converter.log.removeHandler(told)
        converter.log.propagate = shown
        for each in others:
            converter.log.addHandler(each)
    return [course.step("feedback")]


class _Told(logging.Handler):
    """Keeps what nbgrader logs of pages that failed: a traceback each, then whose they were."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def students(self) -> list[str]:
        found = (re.search(r"for student '(.*)'\Z", line, re.DOTALL) for line in self.lines)
        return list(dict.fromkeys(match[1] for match in found if match))

    def reason(self) -> str:
        """The line of the first traceback that names the exception."""
        for text in self.lines:
            if text.startswith("Traceback"):
                named = [line for line in text.splitlines()[1:] if line[:1].strip()]
                return printable(named[0] if named else text, 300)
        return printable(self.lines[0], 300) if self.lines else "nbgrader does not say why"
