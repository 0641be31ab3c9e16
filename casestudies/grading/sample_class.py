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
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import fill, find_root, notebook_text, write_if_different

if TYPE_CHECKING:
    from nbformat import NotebookNode

MARK = re.compile(r"^# %% (?:(?P<sign>[-+=]) )?(?:after |copy )?(?P<cell>\w+)\s*$", re.MULTILINE)


def read_sample(path: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """The name of the notebook (empty for the assignment's), and the changes: (sign, cell, text).

    Raises CourseError, which begins with what is wrong, where a mark cannot be read or there is no sample to be like.
    """
    return _read(path, ())


def _read(path: Path, likes: tuple[str, ...]) -> tuple[str, list[tuple[str, str, str]]]:
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("# %%") and not MARK.fullmatch(line):
            raise CourseError(
                f"has the mark {line!r} in line {number}; expected `# %% cell`, `# %% + after cell`, "
                "`# %% - cell` or `# %% = copy cell`, with the id of a cell"
            )
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
        other = path.with_name(f"{like[1]}.py")
        if other.stem in (path.stem, *likes) or not other.is_file():
            raise CourseError(
                f"is like {like[1]}; expected the name of another file beside it, such as right"
            )
        _, others = _read(other, (path.stem, *likes))
        changes += [change for change in others if change[1] not in replaced]
    return (name[1] if name else ""), changes


def faults_of_sample(path: Path, notebook: NotebookNode) -> Iterator[str]:
    """Why a sample cannot be built from the notebook, or would not be what its author means; without its name."""
    try:
        _, changes = read_sample(path)
    except CourseError as error:
        yield str(error)
        return
    ids = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells}
    for cell in dict.fromkeys(cell for _, cell, _ in changes):
        if cell not in ids:
            known = ", ".join(sorted(filter(None, ids)))
            yield f"changes the cell {cell}, which the source does not have; its cells are {known}"
    try:
        head = ast.parse(path.read_text(encoding="utf-8").partition("# %%")[0]).body
    except SyntaxError:
        yield "does not begin with one sentence about it as a docstring"
        return
    if len(head) != 1 or ast.get_docstring(ast.Module(head, [])) is None:
        yield "does not begin with one sentence about it as a docstring, and then its first `# %% cell`"


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
    """Writes the sample submissions of an assignment below `course`/submitted; returns the students.

    All of them or, where one cannot be made, none: CourseError says which.
    """
    import nbformat

    folder = root / "samples" / assignment
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no sample class for {assignment!r}: {folder} does not exist")
    released = nbformat.read(root / "exercises" / assignment / f"{assignment}.ipynb", as_version=4)
    students = []
    paths = sorted(folder.glob("*.py"))
    for path in paths:
        for fault in faults_of_sample(path, released):
            raise CourseError(f"{path.relative_to(root)} {fault}. Nothing was written")
    for path in paths:
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
    except (FileNotFoundError, CourseError) as error:
        print(f"casestudies sample-class: {error}", file=sys.stderr)
        return 2
    print(f"{len(students)} submissions in {args.course / 'submitted'}")
    others = [path.parent.name for path in (args.course / "submitted").glob(f"*/{args.assignment}")]
    if stale := sorted(set(others) - set(students)):
        print(f"and of students that no sample makes (any more): {', '.join(stale)}")
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies sample-class ASSIGNMENT --course DIR [--show]`"""
    parser = subparsers.add_parser("sample-class")
    parser.add_argument("assignment")
    parser.add_argument("--course", type=Path, required=True, help="the folder for submissions and gradebook")
    parser.add_argument("--show", action="store_true", help="print the table of an already graded class")
    parser.set_defaults(run=_run)
