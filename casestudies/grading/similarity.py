"""`casestudies similar ASSIGNMENT`: pairs of submissions that have rare things in common. A hint, never points.

Nothing of it runs unless it is asked for, and nothing reads its result: a person looks at both texts side by side.

What students wrote is cut into statements and expressions, in which their own names, annotations, comments,
docstrings and the order of keywords do not count: renaming and moving lines about changes nothing. What the released
notebook or the solution says is left out. What remains counts by how rare it is in the class: what many wrote says
nothing. Equal wrong behaviour that is rare in the class counts beside it.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import html
import json
import keyword
import math
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.errors import CourseError
from casestudies.grading.pages import policy
from casestudies.grading.secret import tell_of_damage
from casestudies.grading.verdicts import Verdict
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from casestudies.grading.course import Course

SMALLEST_CLASS = 8  # below that, nothing can be called rare
NODES = 5  # of an expression that counts by itself
ALIKE = 0.7  # the part of the smaller text, by weight, that two cells share
EVIDENCE = (
    8.0  # the weight that a pair shares in such cells; log(n / 2) for a thing that only these two of n wrote
)
RARE = 0.05  # the part of the class that shares a behaviour which is still rare
BEHAVIOUR = 2  # parts with equal rare wrong behaviour that are a hint by themselves
CODE = 60_000  # characters of a cell that are looked at
LARGE = 500  # nodes of an expression that is no feature as a whole: its parts are, and so is its statement
LOOKED_AT = 200_000  # nodes of a cell's expressions together, where they lie within each other


# --------------------------------------------------------------------------- what somebody wrote


class _Plain(ast.NodeTransformer):
    """Code without what a copy changes first: own names, annotations, docstrings, the order of keywords."""

    def __init__(self, kept: frozenset[str]) -> None:
        self.kept = kept

    def _name(self, name: str) -> str:
        return name if name in self.kept else "_"

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name(self._name(node.id), node.ctx), node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.copy_location(ast.arg(self._name(node.arg)), node)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        own = isinstance(node.value, ast.Name) and node.value.id == "self"
        node.attr = "_" if own and node.attr not in self.kept else node.attr
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        value = node.value or ast.Constant(None)
        return self.visit(ast.copy_location(ast.Assign([node.target], value), node))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords.sort(key=lambda keyword: keyword.arg or "")
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.copy_location(ast.Constant("s"), node) if isinstance(node.value, str) else node

    def _definition(self, node: Any) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.copy_location(ast.Pass(), node.body[0])]
        node.name = self._name(node.name)
        if not isinstance(node, ast.ClassDef):
            node.returns = None
        self.generic_visit(node)
        return node

    visit_ClassDef = visit_FunctionDef = visit_AsyncFunctionDef = _definition


@dataclass
class Text:
    """What somebody wrote in one cell: its source, and its features with the lines on which they stand."""

    source: str
    features: Counter[str] = field(default_factory=Counter)
    lines: dict[str, set[int]] = field(default_factory=dict)

    def add(self, feature: str, line: int) -> None:
        self.features[feature] += 1
        self.lines.setdefault(feature, set()).add(line)


def read_text(source: str, kept: Iterable[str] = ()) -> Text:
    """The features of a piece of code. `kept` are names that are not the student's own.

    >>> a = read_text("def f(x):\\n    y = nn.Conv2d(3, x, kernel_size=3, bias=False)")
    >>> b = read_text("def g(z):  # mine\\n    'Mine.'\\n    w: int = nn.Conv2d(3, z, bias=False, kernel_size=3)")
    >>> a.features == b.features
    True
    """
    source = source[:CODE]
    text = Text(source)
    names = frozenset({*kept, *dir(builtins), *keyword.kwlist, "self", "nn", "F", "torch"})
    try:
        tree = _Plain(names).visit(ast.parse(source))
        sizes, left = _sizes(tree), LOOKED_AT
        for node in ast.walk(tree):
            size = sizes[id(node)]
            if isinstance(node, ast.stmt):
                text.add(_statement(node), node.lineno)
            elif isinstance(node, ast.expr) and NODES <= size <= min(LARGE, left):
                left -= size
                text.add(ast.unparse(node), node.lineno)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        # No Python, or too deep: line by line, with other names than the known ones made equal.
        text.features.clear()
        text.lines.clear()
        for number, line in enumerate(source.split("\n"), start=1):
            bare = re.sub(r"[^\W\d]\w*", lambda m: m[0] if m[0] in names else "_", line.partition("#")[0])
            if len(bare := "".join(bare.split())) > 3:
                text.add(bare, number)
    return text


def _statement(node: ast.stmt) -> str:
    """A statement without the statements inside it."""
    inside = ("orelse", "finalbody", "handlers", "type_params")
    fields: dict[str, Any] = {
        name: ([ast.Pass()] if value and isinstance(value[0], ast.stmt) else value)
        if isinstance(value, list)
        else value
        for name, value in ast.iter_fields(node)
    }
    fields |= {name: [] for name in inside if name in node._fields}
    if isinstance(node, ast.Try | ast.Match):
        return type(node).__name__
    return ast.unparse(ast.fix_missing_locations(type(node)(**fields)))


def _sizes(tree: ast.AST) -> dict[int, int]:
    """How many nodes each node of a tree has, by its identity."""
    sizes: dict[int, int] = {}
    for node in reversed(list(ast.walk(tree))):  # what is inside comes before
        inside = sum(sizes[id(each)] for each in ast.iter_child_nodes(node))
        sizes[id(node)] = inside + (not isinstance(node, ast.expr_context))
    return sizes


# --------------------------------------------------------------------------- pairs


@dataclass(frozen=True)
class Work:
    """What one student handed in: code by cell, and by part what a wrong answer did."""

    student: str
    cells: Mapping[str, str]
    behaviour: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Alike:
    """A cell that two students share, with the lines of each on which shared things stand."""

    cell: str
    share: float
    weight: float
    sources: tuple[str, str]
    lines: tuple[set[int], set[int]]


@dataclass
class Pair:
    """Two students, and why a person should look at what they wrote."""

    students: tuple[str, str]
    cells: list[Alike]
    behaviour: list[str]  # parts that are wrong in the same rare way

    @property
    def weight(self) -> float:
        return sum(each.weight for each in self.cells)


def pairs(class_: list[Work], known: Mapping[str, Iterable[str]]) -> list[Pair]:
    """The pairs to look at, the most alike first.

    `known` is what everybody has, by cell: the released text and the solution. Raises CourseError for a class in
    which nothing can be called rare.
    """
    n = len(class_)
    if n < SMALLEST_CLASS:
        raise CourseError(
            f"there are {n} submissions to compare; what is rare in a class can be told from {SMALLEST_CLASS} on"
        )
    kept = {name for texts in known.values() for text in texts for name in _signature_names(text)}
    cells = sorted({cell for work in class_ for cell in work.cells})
    found: dict[tuple[int, int], list[Alike]] = {}
    for cell in cells:
        texts = [read_text(work.cells.get(cell, ""), kept) for work in class_]
        given = {feature for text in known.get(cell, ()) for feature in read_text(text, kept).features}
        spread = Counter(feature for text in texts for feature in text.features)
        weights = {each: math.log(n / count) for each, count in spread.items() if each not in given}
        totals = [_weight(text.features, weights) for text in texts]
        for i, j in _candidates(texts, weights, spread):
            common = texts[i].features & texts[j].features
            weight, smaller = _weight(common, weights), min(totals[i], totals[j])
            if smaller > 0 and weight / smaller >= ALIKE:
                lines = tuple(
                    {line for each in common if weights.get(each) for line in texts[k].lines[each]}
                    for k in (i, j)
                )
                alike = Alike(cell, weight / smaller, weight, (texts[i].source, texts[j].source), lines)  # type: ignore[arg-type]
                found.setdefault((i, j), []).append(alike)
    wrong = _equal_behaviour(class_)
    made = [
        Pair((class_[i].student, class_[j].student), found.get((i, j), []), wrong.get((i, j), []))
        for i, j in sorted({*found, *wrong})
    ]
    return sorted(filter(_worth_a_look, made), key=lambda pair: (-pair.weight, -len(pair.behaviour)))


def _worth_a_look(pair: Pair) -> bool:
    if len(pair.behaviour) >= BEHAVIOUR:
        return True
    return pair.weight >= (EVIDENCE / 2 if pair.behaviour else EVIDENCE)


def _weight(features: Counter[str], weights: Mapping[str, float]) -> float:
    return sum(weights.get(each, 0.0) * min(count, 2) for each, count in features.items())


def _candidates(
    texts: list[Text], weights: Mapping[str, float], spread: Counter[str]
) -> Iterator[tuple[int, int]]:
    """Pairs that share something which less than a third of the class wrote: others cannot be alike enough."""
    where: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        for each in text.features:
            if each in weights and spread[each] <= max(2, len(texts) // 3):
                where.setdefault(each, []).append(index)
    seen: set[tuple[int, int]] = set()
    for who in where.values():
        for pair in combinations(who, 2):
            if pair not in seen:
                seen.add(pair)
                yield pair


def _signature_names(source: str) -> set[str]:
    """The names that the assignment itself gives: of classes, functions and their parameters."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _equal_behaviour(class_: list[Work]) -> dict[tuple[int, int], list[str]]:
    most = max(2, int(RARE * len(class_)))
    found: dict[tuple[int, int], list[str]] = {}
    for part in sorted({part for work in class_ for part in work.behaviour}):
        groups: dict[str, list[int]] = {}
        for index, work in enumerate(class_):
            if part in work.behaviour:
                groups.setdefault(work.behaviour[part], []).append(index)
        for group in groups.values():
            if 2 <= len(group) <= most:
                for pair in combinations(group, 2):
                    found.setdefault(pair, []).append(part)
    return found


def behaviour_of(verdicts: Iterable[Verdict]) -> dict[str, str]:
    """What a wrong answer did, by part, as far as its report tells: nothing of the random numbers."""
    found = {}
    for verdict in verdicts:
        for report in verdict.reports:
            if report["state"] not in ("partial", "wrong"):
                continue
            said = [each["sentence"] for each in report.get("differences", [])]
            named = [each["id"] for each in report.get("recognised", [])]
            if said or named:
                rows = [(each["title"], each["points"]) for each in report.get("criteria", [])]
                found[report["part"]] = json.dumps([rows, named, said])
    return found


# --------------------------------------------------------------------------- a class


def class_work(course: Course, name: str) -> list[Work]:
    """What each student wrote in the cells that are theirs, from the graded notebooks."""
    found = []
    for student in course.students(name):
        path = course.step("autograded") / student / name / f"{name}.ipynb"
        try:
            notebook = json.loads(path.read_bytes())
            stored = notebook["metadata"]["casestudies"]
            verdicts = [Verdict.from_dict(each) for each in stored["verdicts"]]
            cells = dict(_students_cells(notebook))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # not graded, or no notebook: nothing to compare
        found.append(Work(student, cells, behaviour_of(verdicts)))
    if not found:
        raise CourseError(f"nothing of {name} is graded yet: casestudies grade {name}")
    return found


def _students_cells(notebook: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for cell in notebook["cells"]:
        meta = cell.get("metadata", {}).get("nbgrader", {})
        if cell["cell_type"] == "code" and meta.get("solution"):
            source = cell["source"]
            yield meta["grade_id"], source if isinstance(source, str) else "".join(source)


def known_texts(root: Path, name: str) -> dict[str, list[str]]:
    """What everybody has: the released cells and the solution, by cell."""
    import nbformat

    from casestudies.grading.notebooks import build_source

    found: dict[str, list[str]] = {}
    released = nbformat.read(root / "exercises" / name / f"{name}.ipynb", as_version=4)
    for notebook in (released, build_source(root / "solutions" / f"{name}.md")):
        for cell in notebook.cells:
            cell_id = cell.metadata.get("nbgrader", {}).get("grade_id")
            if cell_id and cell.cell_type == "code":
                found.setdefault(cell_id, []).append(cell.source)
    # What stands in a cell to be read, such as a block to repair, may be taken over into any other.
    read = [text for cell in released.cells if cell.cell_type == "code" for text in [cell.source]]
    return {cell: [*texts, *read] for cell, texts in found.items()}


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
:root { color-scheme: light dark; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
pre { overflow-x: auto; background: #8882; padding: .7rem; }
mark { background: #f5c54266; color: inherit; }
"""


def page(found: list[Pair], name: str, looked_at: int, who: Mapping[str, str]) -> str:
    """Both texts of each pair side by side; lines on which shared rare things stand are marked."""

    def shown(student: str) -> str:
        return html.escape(printable(student) + (f" ({printable(who[student])})" if who.get(student) else ""))

    def code(source: str, lines: set[int]) -> str:
        rows = [html.escape(printable(line, 2000)) for line in source.split("\n")]
        return "\n".join(f"<mark>{r}</mark>" if n in lines else r for n, r in enumerate(rows, start=1))

    body = []
    for pair in found:
        left, right = pair.students
        body.append(f"<h2>{shown(left)} and {shown(right)}</h2>")
        if pair.behaviour:
            parts = ", ".join(f"<code>{html.escape(printable(part))}</code>" for part in pair.behaviour)
            body.append(f"<p>Wrong in the same way, which is rare in this class: {parts}.</p>")
        for each in sorted(pair.cells, key=lambda each: -each.weight):
            share = f"{100 * each.share:.0f} % of the shorter text, by weight"
            body.append(f"<h3>{html.escape(printable(each.cell))}: {share}</h3>")
            halves = [f"<pre>{code(s, at)}</pre>" for s, at in zip(each.sources, each.lines, strict=True)]
            body.append(f'<div class="two">{"".join(halves)}</div>')
    hint = (
        "This is a hint for a person, and no finding. Students who learned from the same page, or worked together "
        "where that is allowed, write alike. No score depends on it."
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">{policy(False)}'
        f"<title>{html.escape(name)}: alike</title><style>{_STYLE}</style></head><body>"
        f"<h1>{html.escape(name)}: {len(found)} pairs among {looked_at} submissions</h1><p>{hint}</p>"
        + "".join(body)
        + "</body></html>\n"
    )


def _run(args: argparse.Namespace) -> int:
    from casestudies.grading.configuration import quiet_nbgrader
    from casestudies.grading.course import Course
    from casestudies.grading.notebooks import SourceError, assignments, find_root

    try:
        with quiet_nbgrader():
            root = find_root()
            course = Course.open(root, args.course)
            if args.assignment not in (known := assignments(root)):
                raise CourseError(f"there is no assignment {args.assignment!r}; known: {', '.join(known)}")
            tell_of_damage(course.folder, "similar")
            class_ = class_work(course, args.assignment)
            found = pairs(class_, known_texts(root, args.assignment))
            with course.gradebook() as gradebook:
                who = {
                    each.id: " ".join(filter(None, [each.first_name, each.last_name]))
                    for each in gradebook.students
                }
            path = course.folder / "reports" / f"{args.assignment}-alike.html"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(
                page(found, args.assignment, len(class_), who), encoding="utf-8", errors="replace"
            )
    except (CourseError, SourceError, OSError) as error:
        print(f"casestudies similar: {error}", file=sys.stderr)
        return 2
    for pair in found:
        cells = ", ".join(f"{each.cell} {100 * each.share:.0f} %" for each in pair.cells)
        wrong = f"; wrong in the same way: {', '.join(pair.behaviour)}" if pair.behaviour else ""
        print(f"{printable(pair.students[0])} and {printable(pair.students[1])}: {cells}{wrong}")
    print(f"{len(found)} pairs among {len(class_)} submissions. A hint, and no finding: look at both texts.")
    print(os.path.relpath(path))
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies similar ASSIGNMENT [--course DIR]`"""
    parser = subparsers.add_parser(
        "similar",
        description="Compares what students wrote, without their names for things and without what the notebook and "
        "the solution say, and writes a page with both texts of each pair that has rare things in common. A hint; no "
        "score depends on it.",
    )
    parser.add_argument("assignment", help="its name, such as resnet; it must be graded")
    parser.add_argument("--course", type=Path, help="folder with submitted/ (default: CASESTUDIES_COURSE)")
    parser.set_defaults(run=_run)
