"""The instructor's cells of one assignment, and what a graded cell asks for.

A graded cell is read here, in the grading process, and never believed from the student's side: its
`check("part", expression)` lines become steps. The student's process is only asked to evaluate the
expression; what is asked of the object, and what it should answer, stays here.
"""

from __future__ import annotations

import ast
import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, TypedDict, TypeGuard

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from nbgrader.api import Gradebook

_BEGIN, _END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"


class UnprotectedCheck(ValueError):
    """A `check` that only the student's process could run: inside an expression, a loop, a function."""


@dataclass(frozen=True)
class Run:
    """Statements of a graded cell to execute in the student's process."""

    source: str
    hidden: bool = False


@dataclass(frozen=True)
class Check:
    """`check(part, expression)`: a part to be judged by the grading process."""

    part: str
    expression: str
    hidden: bool = False
    seed: int | None = None


Step = Run | Check


def hidden_lines(source: str) -> set[int]:
    """The numbers (from 1) of the lines within BEGIN/END HIDDEN TESTS, with the delimiters."""
    lines, inside = set(), False
    for number, line in enumerate(source.split("\n"), start=1):
        if _BEGIN in line:
            inside = True
        if inside:
            lines.add(number)
        if _END in line:
            inside = False
    return lines


def without_hidden(source: str) -> str:
    """The source as students saw it."""
    secret = hidden_lines(source)
    return "\n".join(line for n, line in enumerate(source.split("\n"), start=1) if n not in secret)


def _is_check(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "check"


def _constant(node: ast.expr, kinds: tuple[type, ...]) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in kinds:
        return node.value
    raise UnprotectedCheck(f"line {node.lineno}: `{ast.unparse(node)}` must be written as a constant")


def _read_check(call: ast.Call) -> Check:
    names = ("part", "answer")[: len(call.args)]
    arguments: dict[str, ast.expr] = dict(zip(names, call.args[:2], strict=True))
    for keyword in call.keywords:
        if keyword.arg is None or keyword.arg in arguments:
            raise UnprotectedCheck(f"line {call.lineno}: `{ast.unparse(call)}` is not check(part, answer)")
        arguments[keyword.arg] = keyword.value
    known = {"part", "answer", "hidden", "seed", "hints"}
    if len(call.args) > 2 or not {"part", "answer"} <= set(arguments) <= known:
        raise UnprotectedCheck(
            f"line {call.lineno}: `{ast.unparse(call)}` is not check(part, answer, hidden=..., seed=...)"
        )
    return Check(
        part=_constant(arguments["part"], (str,)),
        expression=ast.unparse(arguments["answer"]),
        hidden="hidden" in arguments and _constant(arguments["hidden"], (bool,)),
        seed=_constant(arguments["seed"], (int, type(None))) if "seed" in arguments else None,
    )


def _imports_check_only(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.ImportFrom)
        and node.module == "casestudies"
        and all(alias.name == "check" and alias.asname is None for alias in node.names)
    )


def steps(source: str) -> list[Step]:
    """What a graded cell asks for, in order.

    >>> steps('check("resnet/basic_block", BasicBlock)')
    [Check(part='resnet/basic_block', expression='BasicBlock', hidden=False, seed=None)]

    Statements between checks become `Run` steps. A cell without any check is a plain assertion cell: all
    `Run`, its hidden tests apart. Raises UnprotectedCheck for a check that is not a statement of its own,
    SyntaxError where the cell is not Python.
    """
    tree = ast.parse(source)
    lines, secret = source.split("\n"), hidden_lines(source)
    found: list[Step] = []
    for node in tree.body:
        if isinstance(node, ast.Expr) and _is_check(node.value):
            found.append(_read_check(node.value))
            continue
        if any(_is_check(inner) for inner in ast.walk(node)):
            raise UnprotectedCheck(
                f"line {node.lineno}: `check` must be a statement of its own, such as check('a/part', answer); "
                "inside another expression only the student's process could judge it"
            )
        if _imports_check_only(node):
            continue
        decorators = getattr(node, "decorator_list", [])
        start = min([node.lineno, *(decorator.lineno for decorator in decorators)])
        if decorators:
            text = "\n".join(lines[start - 1 : node.end_lineno])
        else:
            text = ast.get_source_segment(source, node) or ast.unparse(node)
        hidden = start in secret
        if found and isinstance(found[-1], Run) and found[-1].hidden == hidden:
            found[-1] = Run(f"{found[-1].source}\n{text}", hidden)
        else:
            found.append(Run(text, hidden))
    return found


# --------------------------------------------------------------------------- the assignment


def mark_of_attachment(data: object) -> str:
    """What tells something attached to a cell from something else."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


class CellMetadata(TypedDict, total=False):
    """What nbgrader keeps of a cell in its metadata."""

    grade_id: str
    schema_version: int
    cell_type: str
    grade: bool
    solution: bool
    locked: bool
    task: bool
    points: float
    checksum: str


class AssignmentData(TypedDict):
    """An `Assignment` as JSON."""

    name: str
    notebook: str
    cells: list[Any]  # the fields of each `SourceCell`
    plain: list[list[str]]
    given: list[str]
    texts: list[str]


@dataclass(frozen=True)
class SourceCell:
    """One cell that the instructor wrote and nbgrader knows. `source` includes hidden tests."""

    id: str
    cell_type: str
    source: str
    grade: bool = False
    solution: bool = False
    locked: bool = False
    task: bool = False
    points: float = 0.0
    checksum: str = ""  # nbgrader's, of the cell as released: an answer that still has it was never written

    @property
    def students(self) -> bool:
        """Whether the student's text counts (else the instructor's does)."""
        return self.solution

    @property
    def autograded(self) -> bool:
        return self.grade and not self.solution and self.cell_type == "code"

    @property
    def manual(self) -> bool:
        return self.task or (self.grade and self.solution)

    def metadata(self) -> CellMetadata:
        """nbgrader's metadata of this cell."""
        meta: CellMetadata = {
            "grade_id": self.id,
            "schema_version": 3,
            "cell_type": self.cell_type,
            "grade": self.grade,
            "solution": self.solution,
            "locked": self.locked,
            "task": self.task,
        }
        if self.grade or self.task:
            meta["points"] = self.points
        if self.checksum:
            meta["checksum"] = self.checksum
        return meta

    def with_checksum(self) -> SourceCell:
        """The same, with nbgrader's checksum. Imports nbgrader, as grading itself never does: that takes a second."""
        from nbformat import from_dict
        from nbgrader.utils import compute_checksum

        plain = {
            "cell_type": self.cell_type,
            "source": self.source,
            "metadata": {"nbgrader": self.metadata()},
        }
        return replace(self, checksum=compute_checksum(from_dict(plain)))


@dataclass(frozen=True)
class Assignment:
    """The instructor's cells of one notebook, in order: all that grading needs to know of an assignment."""

    name: str
    notebook: str
    cells: tuple[SourceCell, ...]
    # The instructor's cells that nbgrader does not know: (type, text, id of the known cell before it, or "").
    plain: tuple[tuple[str, str, str], ...] = ()
    # What else students got: the marks of files and attachments, and the texts of the cells in other languages.
    given: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()

    def to_dict(self) -> AssignmentData:
        cells = [asdict(cell) for cell in self.cells]
        return {
            "name": self.name,
            "notebook": self.notebook,
            "cells": cells,
            "plain": list(map(list, self.plain)),
            "given": list(self.given),
            "texts": list(self.texts),
        }

    @classmethod
    def from_dict(cls, data: AssignmentData) -> Assignment:
        cells = tuple(SourceCell(**cell) for cell in data["cells"])
        plain = tuple((kind, text, after) for kind, text, after in data.get("plain", ()))
        given, texts = tuple(data.get("given", ())), tuple(data.get("texts", ()))
        return cls(data["name"], data["notebook"], cells, plain, given, texts)

    def with_plain(self, source: NotebookNode) -> Assignment:
        """The same, with the cells of nbgrader's source notebook that have no id, and what is attached to any."""
        found, before = [], ""
        given = dict.fromkeys(self.given)
        for cell in source.cells:
            given |= {mark_of_attachment(each): None for each in cell.get("attachments", {}).values()}
            name = cell.metadata.get("nbgrader", {}).get("grade_id")
            if name:
                before = name
            else:
                found.append((cell.cell_type, cell.source, before))
        return replace(self, plain=tuple(found), given=tuple(given))

    @classmethod
    def from_notebook(cls, name: str, notebook: NotebookNode) -> Assignment:
        """From nbgrader's source notebook."""
        cells = []
        for cell in notebook.cells:
            meta = cell.metadata.get("nbgrader")
            if meta and meta.get("grade_id"):
                grade, solution, locked, task = (
                    bool(meta.get(key)) for key in ("grade", "solution", "locked", "task")
                )
                points = float(meta.get("points", 0) or 0)
                cells.append(
                    SourceCell(
                        meta["grade_id"],
                        cell.cell_type,
                        cell.source,
                        grade=grade,
                        solution=solution,
                        locked=locked,
                        task=task,
                        points=points,
                    ).with_checksum()
                )
        return cls(name, name, tuple(cells))

    @classmethod
    def from_gradebook(cls, gradebook: Gradebook, name: str, notebook: str) -> Assignment:
        """From what `nbgrader generate_assignment` recorded.

        Raises nbgrader.api.MissingEntry where the gradebook does not know the assignment.
        """
        known = gradebook.find_notebook(notebook, name)
        graded = {cell.name: float(cell.max_score) for cell in known.grade_cells}
        tasks = {cell.name: float(cell.max_score) for cell in known.task_cells}
        solutions = {cell.name for cell in known.solution_cells}
        cells = tuple(
            SourceCell(
                id=cell.name,
                cell_type=cell.cell_type,
                source=cell.source,
                grade=cell.name in graded,
                solution=cell.name in solutions,
                locked=cell.locked,
                task=cell.name in tasks,
                points=graded.get(cell.name, tasks.get(cell.name, 0.0)),
            ).with_checksum()
            for cell in known.source_cells
        )
        return cls(name, notebook, cells)
