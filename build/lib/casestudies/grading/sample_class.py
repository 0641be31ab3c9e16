"""The sample class: submissions kept as short texts, built into notebooks as students would hand them in.

A file `samples/<assignment>/<student>.py` says what a student did to the released notebook:

    # file: homework.ipynb       the notebook's name, if not the assignment's
    # like: correct-attributes   the student whose cells this one has where nothing else is said
    \"\"\"One sentence about this submission.\"\"\"

    # %% basic_block             replaces the cell of that id
    # %% + after basic_block     adds a cell
    # %% - check_basic_block     deletes a cell
    # %% = copy check_basic_block   doubles a cell
"""

from __future__ import annotations

import argparse
import ast
import copy
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.notebooks import fill, find_root, notebook_text, write_if_different

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = re.compile(r"^# %% (?:(?P<sign>[-+=]) )?(?:after |copy )?(?P<cell>\w+)\s*$", re.MULTILINE)


def read_sample(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """The name of the notebook (empty for the assignment's), and the changes: (sign, cell, text)."""
    text = path.read_text(encoding="utf-8")
    head, *_ = text.partition("# %%")
    name = re.search(r"^# file: (.+)$", head, re.MULTILINE)
    like = re.search(r"^# like: (.+)$", head, re.MULTILINE)
    marks = list(MARK.finditer(text))
    ends = ([mark.start() for mark in marks[1:]] + [len(text)])[: len(marks)]
    changes = [
        (mark["sign"] or "", mark["cell"], text[mark.end() : end].strip("\n") + "\n")
        for mark, end in zip(marks, ends, strict=True)
    ]
    if like:
        replaced = {cell for sign, cell, _ in changes if not sign}
        _, others = read_sample(path.with_name(f"{like[1]}.py"))
        changes += [change for change in others if change[1] not in replaced]
    return (name[1] if name else ""), changes


def describe_sample(path: Path) -> str:
    """The sentence at the top of a sample."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8").partition("# %%")[0])) or ""


def make_submission(released: NotebookNode, changes: list[tuple[str, str, str]]) -> NotebookNode:
    """The released notebook with a student's changes."""
    import nbformat

    kinds = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell.cell_type for cell in released.cells}
    answers = {
        cell: re.sub(r"^# ?", "", text, flags=re.MULTILINE) if kinds.get(cell) == "markdown" else text
        for sign, cell, text in changes
        if not sign
    }
    notebook = fill(released, {cell: text.rstrip("\n") for cell, text in answers.items()})

    def position(cell: str) -> int:
        ids = [each.metadata.get("nbgrader", {}).get("grade_id") for each in notebook.cells]
        return ids.index(cell)

    for sign, cell, text in changes:
        if sign == "-":
            del notebook.cells[position(cell)]
        elif sign == "+":
            added = nbformat.v4.new_code_cell(text.rstrip("\n"), id=f"added-after-{cell}")
            notebook.cells.insert(position(cell) + 1, added)
        elif sign == "=":
            twin = copy.deepcopy(notebook.cells[position(cell)])
            twin.id = f"copy-of-{cell}"
            notebook.cells.insert(position(cell) + 1, twin)
    return notebook


def build_class(root: Path, course: Path, assignment: str) -> list[str]:
    """Writes the sample submissions of an assignment below `course`/submitted; returns the students."""
    import nbformat

    folder = root / "samples" / assignment
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no sample class for {assignment!r}: {folder} does not exist")
    released = nbformat.read(root / "exercises" / assignment / f"{assignment}.ipynb", as_version=4)
    students = []
    for path in sorted(folder.glob("*.py")):
        name, changes = read_sample(path)
        target = course / "submitted" / path.stem / assignment / (name or f"{assignment}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        write_if_different(target, notebook_text(make_submission(released, changes)))
        students.append(path.stem)
    return students


# --------------------------------------------------------------------------- what came out


def class_table(course: Path, assignment: str) -> str:
    """The class as a table: points by part, the state of what is not right, and the mistakes that were named."""
    import nbformat
    from nbgrader.api import Gradebook
    from rich.console import Console
    from rich.table import Table

    from casestudies.grading.verdicts import Verdict

    table = Table(title=f"{assignment}: the sample class", title_justify="left")
    table.add_column("student", no_wrap=True)
    rows: list[tuple[str, dict[str, str], str, str]] = []
    columns: list[str] = []
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        for submission in sorted(gradebook.assignment_submissions(assignment), key=lambda s: s.student.id):
            path = course / "autograded" / submission.student.id / assignment / f"{assignment}.ipynb"
            stored = nbformat.read(path, as_version=4).metadata.get("casestudies", {})
            verdicts = [Verdict.from_dict(each) for each in stored.get("verdicts", [])]
            cells: dict[str, str] = {}
            named: list[str] = []
            for verdict in verdicts:
                label = verdict.cell.removeprefix("check_")
                columns.extend([label] if label not in columns else [])
                points = "?" if verdict.points is None else f"{verdict.points:g}/{verdict.possible:g}"
                cells[label] = points if verdict.state in ("passed", "partial", "wrong") else verdict.state
                named.extend(m for m in verdict.mistakes if m not in named)
            total = f"{submission.score:g}/{submission.max_score:g}" + " +" * submission.needs_manual_grade
            rows.append((submission.student.id, cells, total, ", ".join(named)))
    for column in columns:
        table.add_column(column.replace("_", " "), justify="right")
    table.add_column("total", justify="right")
    table.add_column("mistakes named")
    for student, row, total, mistakes in rows:
        table.add_row(student, *(row.get(column, "") for column in columns), total, mistakes)
    table.caption = "+ a written answer waits to be graded by hand (in the formgrader of jupyter lab)"
    console = Console(width=150)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def _run(args: argparse.Namespace) -> int:
    try:
        root = find_root()
        if args.show:
            print(class_table(args.course, args.assignment))
            return 0
        students = build_class(root, args.course, args.assignment)
    except FileNotFoundError as error:
        print(f"casestudies sample-class: {error}", file=sys.stderr)
        return 2
    print(f"{len(students)} submissions in {args.course / 'submitted'}")
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies sample-class ASSIGNMENT --course DIR [--show]`"""
    parser = subparsers.add_parser("sample-class")
    parser.add_argument("assignment")
    parser.add_argument("--course", type=Path, required=True, help="the folder for submissions and gradebook")
    parser.add_argument("--show", action="store_true", help="print the table of an already graded class")
    parser.set_defaults(run=_run)
