"""Folders and gradebook: what a student handed in, and the scores that nbgrader keeps of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies import language
from casestudies.grading import editions
from casestudies.grading.elsewhere import NOT_HERE
from casestudies.grading.handed_in import look_into, marks_of
from casestudies.grading.intake import NOTHING
from casestudies.grading.submission import Submission
from casestudies.grading.times import hand_in_time
from casestudies.grading.verdicts import NO_SANDBOX, Verdict

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from nbgrader.api import Gradebook

    from casestudies.grading.cells import Assignment


def read_submission(folder: Path, name: str) -> Submission:
    """What a student handed in, from its folder. Never opens a link or a special file, and never raises.

    The notebook is None only where nothing was handed in; where something was, but no notebook could be read, it is
    empty, and `problem` says why: a human should look at it.
    """
    found = look_into(folder, name)
    when = hand_in_time(folder)
    if when.note:
        found.notes.append(when.note)
    return Submission(found.notebook, found.files, found.notes, found.problem, found.beside, found.others)


# --------------------------------------------------------------------------- rubrics


RUBRIC = "rubric-"  # begins the id of a cell that holds one


def rubrics(solutions: Path, name: str) -> dict[str, str]:
    """What the source notebook says where students write text that a person grades: cell -> rubric."""
    path = solutions / name / f"{name}.ipynb"
    return _rubrics(path, path.stat().st_mtime_ns) if path.is_file() else {}


@lru_cache
def _source(path: Path, changed: int) -> NotebookNode:
    """Kept, since a whole class needs the same."""
    import nbformat

    return nbformat.read(path, as_version=4)


def with_plain(assignment: Assignment, solutions: Path) -> Assignment:
    """The assignment with the instructor's cells that the gradebook does not know, as far as the source is there.

    They are known in every language that the course has: who hands in another edition's notebook has written no
    more than who hands in this one's.
    """
    name = assignment.name
    folders = (solutions / name, solutions.parent / "exercises" / name, solutions.parent / "release" / name)
    given = {mark for folder in folders if folder.is_dir() for mark in marks_of(folder)}
    assignment = replace(assignment, given=(*assignment.given, *sorted(given)))
    path = solutions / name / f"{name}.ipynb"
    if not path.is_file():
        return assignment
    found = assignment.with_plain(_source(path, path.stat().st_mtime_ns))
    text = solutions / f"{name}.md"
    if not text.is_file():
        return found
    plain, texts = dict.fromkeys(found.plain), dict.fromkeys(found.texts)
    for edition in _editions(text, _changed(text)):
        plain |= dict.fromkeys(assignment.with_plain(edition).plain)
        texts |= dict.fromkeys(cell.source for cell in edition.cells if "nbgrader" in cell.metadata)
    return replace(found, plain=tuple(plain), texts=tuple(texts))


def _changed(source: Path) -> tuple[int, ...]:
    """When the text and its translations were written last."""
    paths = [source, *(editions.catalogue_of(source, code) for code in language.languages())]
    return tuple(path.stat().st_mtime_ns if path.is_file() else 0 for path in paths)


@lru_cache
def _editions(source: Path, changed: tuple[int, ...]) -> tuple[NotebookNode, ...]:
    """The source's notebook in every language that it has been translated into."""
    from casestudies.grading.notebooks import SourceError, build_source

    made = []
    for code in language.languages():
        if code == language.ENGLISH or editions.catalogue_of(source, code).is_file():
            try:
                made.append(build_source(source, code))
            except SourceError:  # an edition that cannot be built was given to nobody
                continue
    return tuple(made)


@lru_cache
def _rubrics(path: Path, changed: int) -> dict[str, str]:
    found = {}
    for cell in _source(path, changed).cells:
        kept = cell.metadata.get("nbgrader", {})
        solution = editions.MODEL_ANSWER.search(cell.source)
        if cell.cell_type == "markdown" and kept.get("grade") and kept.get("solution") and solution:
            found[kept["grade_id"]] = solution[1].strip()
    return found


def with_rubrics(notebook: NotebookNode, found: dict[str, str]) -> NotebookNode:
    """The graded notebook with the rubric below each written answer: for whoever grades it in the formgrader,
    and for the student, who gets it with the feedback. In place; doing it twice changes nothing."""
    from nbformat import v4

    identities = {name: f"{RUBRIC}{name}"[:64] for name in found}
    cells = []
    for cell in notebook.cells:
        if cell.get("id") in identities.values():
            continue
        cells.append(cell)
        name = cell.metadata.get("nbgrader", {}).get("grade_id")
        if name in found:
            locked = {"deletable": False, "editable": False}
            cells.append(v4.new_markdown_cell(found[name], id=identities[name], metadata=locked))
    notebook.cells = cells
    return notebook


# --------------------------------------------------------------------------- gradebook


def clear_scores(gradebook: Gradebook, assignment: str, student: str, notebook: str) -> None:
    """Forgets what the autograder said before, so that a run that ends early leaves no old score standing."""
    from nbgrader.api import MissingEntry

    try:
        submitted = gradebook.find_submission_notebook(notebook, assignment, student)
    except MissingEntry:
        return
    for grade in submitted.grades:
        grade.auto_score = None
        grade.needs_manual_grade = True
    gradebook.db.commit()


@dataclass
class ByHand:
    """What a human gives to a submission, or has yet to decide about it, by cell."""

    given: dict[str, float] = field(default_factory=dict)  # the points
    checks: list[str] = field(default_factory=list)  # the machine left them open, and nobody has decided yet
    answers: list[str] = field(default_factory=list)  # written, and read by nobody yet

    @property
    def open(self) -> list[str]:
        """All that has no points yet, which nbgrader counts as 0."""
        return self.checks + self.answers


# What tables say beside a score that is none, or not the last one.
ABSENT = "nothing handed in"


AGAIN = "to look at again: graded anew since points or comments were given by hand"


def open_mark(undecided: list[str], unread: list[str], waiting: bool) -> str:
    """What is still open about a score: checks that the machine left to a human, answers that nobody has read, or
    points or comments by hand that are older than the rest; else ""."""
    if undecided:
        return f"NOT GRADED YET, for a human: {', '.join(undecided)}"
    if waiting:
        return "something waits for a grade by hand" if unread else AGAIN
    return ""


def by_hand(gradebook: Gradebook, assignment: str) -> dict[str, ByHand]:
    """By student, what a human has given or has to give; nobody of whom there is neither."""
    from nbgrader.api import Assignment, Grade, SubmittedAssignment, SubmittedNotebook
    from sqlalchemy import or_
    from sqlalchemy.orm import joinedload

    grades = (
        gradebook.db.query(Grade, SubmittedAssignment.student_id)
        .join(SubmittedNotebook, Grade.notebook_id == SubmittedNotebook.id)
        .join(SubmittedAssignment, SubmittedNotebook.assignment_id == SubmittedAssignment.id)
        .join(Assignment, SubmittedAssignment.assignment_id == Assignment.id)
        .filter(
            Assignment.name == assignment, or_(Grade.auto_score.is_(None), Grade.manual_score.isnot(None))
        )
        .options(joinedload(Grade.cell))
    )
    written = {
        cell.name
        for notebook in gradebook.find_assignment(assignment).notebooks
        for cell in (*notebook.solution_cells, *notebook.task_cells)
    }
    found: dict[str, ByHand] = {}
    for grade, student in grades:
        of, name = found.setdefault(student, ByHand()), grade.cell.name
        if grade.manual_score is not None:
            of.given[name] = grade.manual_score
        else:
            (of.answers if name in written else of.checks).append(name)
    return found


def save_verdicts(
    gradebook: Gradebook,
    notebook: NotebookNode,
    verdicts: list[Verdict],
    protection: str,
    assignment: str,
    student: str,
    name: str,
    commit: bool = True,
) -> None:
    """Writes the scores. Only verdicts make a score: nothing that a cell printed is ever read.

    Points by hand stay, extra credit as well, and so do comments; nbgrader then asks to look at them again, at a
    comment on code where the code has its points. Text that was never written gets 0 where it is sure that it was
    not: a cell that is missing, or anything else of the student's that may hold it (`elsewhere`), is for a human.
    """
    from nbgrader.api import Comment, Grade
    from sqlalchemy.orm import joinedload

    by_cell = {verdict.cell: verdict for verdict in verdicts}
    submitted = gradebook.find_submission_notebook(name, assignment, student)

    def of_cells(kind: Any) -> dict[str, Any]:
        # All at once: nbgrader's own find_grade and find_comment ask the gradebook again for each cell.
        found = (
            gradebook.db.query(kind).filter(kind.notebook_id == submitted.id).options(joinedload(kind.cell))
        )
        return {each.cell.name: each for each in found}

    grades, comments = of_cells(Grade), of_cells(Comment)
    remarked = False  # whether there is a comment by hand above, and no points since
    last = None
    elsewhere = notebook.metadata.get("casestudies", {}).get("elsewhere", [])
    for cell in notebook.cells:
        meta = cell.metadata.get("nbgrader")
        if not meta:
            continue
        unwritten = meta.get("solution") and meta.get("checksum") == _checksum(cell)
        answered = meta["solution"] or meta.get("task")
        remarked |= bool(answered and comments[meta["grade_id"]].manual_comment)
        if meta["grade"]:
            grade = grades[meta["grade_id"]]
            if meta["solution"]:
                nothing = cell.source.strip("# ") == NOTHING
                grade.auto_score = 0.0 if nothing or unwritten and not elsewhere else None
            else:
                verdict = by_cell.get(meta["grade_id"])
                grade.auto_score = verdict.points if verdict else None
            given = grade.manual_score is not None or bool(grade.extra_credit) or remarked
            grade.needs_manual_grade = given or grade.auto_score is None
            remarked, last = False, grade
        if answered:
            comment = comments[meta["grade_id"]]
            comment.auto_comment = None
            if unwritten:
                waits = elsewhere and (meta["grade"] or cell.cell_type == "markdown")
                comment.auto_comment = " ".join([NOT_HERE, *elsewhere]) if waits else "No response."
            if protection == "none":
                comment.auto_comment = f"{comment.auto_comment or ''} {NO_SANDBOX}".strip()
    if remarked and last is not None:  # on code below the last points
        last.needs_manual_grade = True
    if commit:
        gradebook.db.commit()


def _checksum(cell: NotebookNode) -> str:
    from nbgrader.utils import compute_checksum

    return compute_checksum(cell)
