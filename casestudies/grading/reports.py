"""What an instructor and a school's system read: a class report (HTML, CSV) and grades for Canvas and Moodle.

Everything is read from the gradebook and the graded notebooks, so that manual grades and late penalties are
in it, and the reports can be written again at any time.
"""

from __future__ import annotations

import csv
import html
import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.pages import policy
from casestudies.grading.verdicts import NO_SANDBOX, NOT_PROTECTED, STATES, Verdict
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from casestudies.grading.course import Course


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

    @property
    def mark(self) -> str:
        """What has to be said about this score wherever it goes; empty where nothing has."""
        if self.protection == "none":
            return "graded without a sandbox"
        return (
            "" if all(v.protected for v in self.verdicts) else "in part judged inside the student's process"
        )


def entries(course: Course, name: str) -> list[Entry]:
    """All submissions of an assignment, by student."""
    found = []
    with course.gradebook() as gradebook:
        for submission in sorted(gradebook.assignment_submissions(name), key=lambda each: each.student.id):
            student = submission.student
            stored = course.graded(name, student.id) or {}
            penalty = submission.late_submission_penalty or 0.0
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
                    time.note if (time := course.hand_in_time(student.id, name)).unclear else "",
                )
            )
    return found


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return "'" + value
    return value


def _csv(header: list[str], rows: list[list[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _number(value: float) -> str:
    return f"{round(value, 4):g}"


def class_csv(found: list[Entry]) -> str:
    """One row a student and graded cell."""
    header = ["student", "cell", "state", "points", "possible", "mistakes", "protected", "sandbox", "message"]
    rows = []
    for entry in found:
        for v in entry.verdicts:
            points = "" if v.points is None else _number(v.points)
            named, protected = " ".join(v.mistakes), "yes" if v.protected else "no"
            row = [entry.student, v.cell, v.state, points, _number(v.possible), named, protected]
            rows.append([*row, entry.protection, v.message])
    return _csv(header, rows)


def canvas_csv(found: list[Entry], name: str) -> str:
    """For Canvas: Grades > Import. Students are matched by `SIS User ID`, which is nbgrader's student id. A score
    that was not protected is marked behind the student's name: a column more would be taken for an assignment."""
    possible = _number(max((entry.possible for entry in found), default=0.0))
    rows: list[list[Any]] = [["    Points Possible", "", "", "", "", possible]]
    for entry in found:
        full = ", ".join(part for part in (entry.last_name, entry.first_name) if part) or entry.student
        # Canvas reads the id; the name is for people, and carries what they should know.
        full += f" ({entry.mark})" if entry.mark else ""
        rows.append([full, "", entry.student, entry.email, "", _number(entry.score)])
    return _csv(["Student", "ID", "SIS User ID", "SIS Login ID", "Section", name], rows)


def moodle_csv(found: list[Entry], name: str) -> str:
    """For Moodle: Grades > Import > CSV file; map `idnumber` (or `email`) to the student, the last column to
    the assignment. Where a score was not protected, a fourth column says so; it can be mapped to the feedback."""
    rows = [[entry.student, entry.email, _number(entry.score)] for entry in found]
    if not any(entry.mark for entry in found):
        return _csv(["idnumber", "email", name], rows)
    marked = [[*row, entry.mark] for row, entry in zip(rows, found, strict=True)]
    return _csv(["idnumber", "email", name, "protection"], marked)


# --------------------------------------------------------------------------- HTML

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
:root { color-scheme: light dark; }
table { border-collapse: collapse; margin: 1rem 0; } caption { text-align: left; font-weight: 600; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #8886; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; } td.number { text-align: right; font-variant-numeric: tabular-nums; }
.bar { display: inline-block; height: .8em; background: #3b7dd8; min-width: 1px; }
.loud { border: 3px solid #c0392b; padding: .7rem 1rem; font-weight: 600; }
"""


def _table(caption: str, header: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{html.escape(each)}</th>' for each in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    top = f"<caption>{html.escape(caption)}</caption><thead><tr>{head}</tr></thead>"
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _bar(count: int, most: int) -> str:
    return f'{count} <span class="bar" style="width:{12 * count / max(1, most):.1f}rem"></span>'


def _shown(text: str) -> str:
    """Text that may hold what a student chose, as HTML."""
    return html.escape(printable(text, 2000))


def class_html(found: list[Entry], name: str, strays: dict[str, str] | None = None) -> str:
    """The class at a glance: distribution, parts by state, mistakes by number, who needs a human. `strays` are
    folders that could not be taken for a submission, and why."""
    escape = _shown
    verdicts = [(entry, verdict) for entry in found for verdict in entry.verdicts]
    parts = list(dict.fromkeys(verdict.cell for _, verdict in verdicts))

    tenths = Counter(min(9, int(10 * e.score / e.possible)) if e.possible else 0 for e in found)
    most = max(tenths.values(), default=1)
    spread = [[f"{10 * n} to {10 * n + 10} %", _bar(tenths[n], most)] for n in range(10)]

    states = Counter((verdict.cell, verdict.state) for _, verdict in verdicts)
    by_part = [[escape(part), *(str(states[part, state] or "") for state in STATES)] for part in parts]

    named: Counter[tuple[str, str]] = Counter()
    said: dict[tuple[str, str], str] = {}
    for _, verdict in verdicts:
        once = {
            (report["part"], known["id"]): known["text"]
            for report in verdict.reports
            for known in report["recognised"]
        }
        named.update(once.keys())
        said |= once
    most = max(named.values(), default=1)
    mistakes = [
        [escape(part), f"<code>{escape(mistake)}</code>", _bar(count, most), escape(said[part, mistake])]
        for (part, mistake), count in named.most_common()
    ]

    human = [
        [escape(entry.student), escape(v.cell), escape(v.state), escape(v.message)]
        for entry, v in verdicts
        if v.needs_human or v.state in ("crashed", "timed out")
    ]
    human += [[escape(e.student), "", "hand-in time", escape(e.unclear)] for e in found if e.unclear]
    human += [[escape(each), "", "not graded", escape(why)] for each, why in (strays or {}).items()]
    human += [[escape(e.student), "", "to grade by hand", "a written answer"] for e in found if e.waiting]
    repaired = [[escape(e.student), "<br>".join(map(escape, e.notes))] for e in found if e.notes]
    scores = [
        [
            escape(e.student),
            f"{_number(e.score)} / {_number(e.possible)}",
            f"{_number(e.penalty)} of {_number(e.score if e.raw is None else e.raw)}" if e.penalty else "",
            escape(e.mark),
        ]
        for e in found
    ]
    loud = f'<p class="loud">{escape(NO_SANDBOX)}</p>' if any(e.protection == "none" for e in found) else ""
    open_cells = sorted({verdict.cell for _, verdict in verdicts if not verdict.protected})
    if open_cells:
        loud += f"<p>{escape(', '.join(open_cells))}: {escape(NOT_PROTECTED)}.</p>"
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{policy(False)}'
        f"<title>{escape(name)}: the class</title>"
        f"<style>{_STYLE}</style></head><body><h1>{escape(name)}: {len(found)} submissions</h1>{loud}"
        + _table("Scores", ["score", "students"], spread)
        + _table("Parts by state", ["part", *STATES], by_part)
        + _table("Mistakes that were named", ["part", "mistake", "students", "what it is"], mistakes)
        + _table("For a human", ["student", "part", "state", "why"], human)
        + _table("Repaired or left out when submissions were read", ["student", "notes"], repaired)
        + _table("Students", ["student", "score", "late penalty", "mark"], scores)
        + "</body></html>\n"
    )


def write_reports(course: Course, name: str) -> list[Path]:
    """Writes reports/<name>.html and .csv, -canvas.csv and -moodle.csv; returns their paths."""
    found = entries(course, name)
    folder = course.folder / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        f"{name}.html": class_html(found, name, course.strays(name)),
        f"{name}.csv": class_csv(found),
        f"{name}-canvas.csv": canvas_csv(found, name),
        f"{name}-moodle.csv": moodle_csv(found, name),
    }
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="utf-8", errors="replace")
    return [folder / file for file in texts]


def write_feedback(course: Course, name: str) -> list[Path]:
    """`nbgrader generate_feedback` for the whole class; returns the folder of the pages."""
    import copy

    from nbgrader.converters import GenerateFeedback
    from nbgrader.coursedir import CourseDirectory

    config = copy.deepcopy(course.config)
    config.CourseDirectory.root = str(course.folder)
    config.CourseDirectory.assignment_id = name
    config.BaseConverter.force = True
    coursedir = CourseDirectory(config=config)
    GenerateFeedback(coursedir=coursedir, config=config).start()
    return [course.step("feedback")]
