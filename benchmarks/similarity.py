"""Whether planted copies are found, and independent right answers are not: `casestudies similar` on known texts.

    python benchmarks/similarity.py                every assignment
    python benchmarks/similarity.py resnet vgg     some

A class is made of the right answers of tests/checks and tests/answers: the k-th student has the k-th answer of each
part, so that no two share one. Then, one after another, a disguised copy of each student's work joins the class:
every own name is replaced, methods and neighbouring assignments are turned about, keywords are in another order,
annotations, comments and docstrings are gone. Counted are copies that are found with the one they were made from, and
hints about pairs of the class that have nothing to do with each other. The answers of the tables were written in
different styles on purpose; a real class has more in common, which the shares of rare things are meant to allow for.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import inspect
import random
import sys
import textwrap
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from casestudies.checking.parts import assignments, parts  # noqa: E402
from casestudies.grading.demands import Draft  # noqa: E402
from casestudies.grading.errors import CourseError  # noqa: E402
from casestudies.grading.similarity import Work, known_texts, pairs  # noqa: E402


def source_of(answer: object) -> str:
    """An answer as text, with the classes of the same file that it builds on; "" where it has no text of its own."""
    try:
        own = [textwrap.dedent(inspect.getsource(answer))]  # type: ignore[arg-type]
    except (TypeError, OSError):
        return ""
    for base in getattr(answer, "__mro__", ())[1:]:
        if base.__module__ == getattr(answer, "__module__", None):
            own.insert(0, textwrap.dedent(inspect.getsource(base)))
    text = "\n\n".join(own)
    try:
        ast.parse(text)
    except SyntaxError:  # a lambda in the middle of a table
        return ""
    return text


def right_texts(name: str) -> dict[str, list[str]]:
    """The texts of all right answers, by the cell in which a student would write them."""
    from tests.answers.right import ANSWERS

    table = Draft(ROOT, name).answers.CORRECT
    found = {}
    for id in parts(name):
        answers = [*table.get(id, {}).values(), *(each.answer for each in ANSWERS if each.part == id)]
        texts, built_on = [], set()
        for answer in answers:
            own = [each for each in getattr(answer, "__mro__", ()) if each.__module__ == answer.__module__]
            if text := source_of(answer):
                if built_on.isdisjoint(own):  # two that build on one class would share its text
                    texts.append(text)
                built_on |= set(own)
        found[id.partition("/")[2]] = list(dict.fromkeys(texts))
    return found


def class_of(name: str) -> list[Work]:
    """Students who share no answer."""
    texts = right_texts(name)
    rows = zip_longest(*texts.values(), fillvalue="")
    return [
        Work(f"student-{number:02}", {cell: text for cell, text in zip(texts, row, strict=True) if text})
        for number, row in enumerate(rows)
    ]


class _Disguise(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            node.attr = self.names.get(node.attr, node.attr)
        return node

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.arg, node.annotation = self.names.get(node.arg, node.arg), None
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        node.keywords.reverse()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.name = self.names.get(node.name, node.name)
        self.generic_visit(node)
        node.body = turned_about(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.generic_visit(node)
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        node.body = [each for each in node.body if each not in methods] + methods[::-1]
        return node


def turned_about(body: list[ast.stmt]) -> list[ast.stmt]:
    """Neighbouring assignments to attributes, where the one does not read the other."""
    body = list(body)
    for first in range(0, len(body) - 1, 2):
        one, other = body[first : first + 2]
        if all(
            isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Attribute)
            for each in (one, other)
        ):
            if ast.unparse(one.targets[0]) not in ast.unparse(other.value):  # type: ignore[attr-defined]
                body[first : first + 2] = [other, one]
    return body


def disguised(source: str, seed: int = 0) -> str:
    """A copy that is to look like another's own work, and does the same."""
    tree = ast.parse(source)
    dice = random.Random(seed)
    given: set[str] = {*dir(builtins), "self", "forward"}
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                node.body = node.body[1:] or [ast.Pass()]
        if isinstance(node, ast.arg):
            given.add(node.arg)  # a parameter is called by its name
        elif isinstance(node, ast.ClassDef):
            given.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            own.add(node.attr)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
            own.add(node.name)
    words = [f"{a}{b}" for a in ("my", "the", "new", "net") for b in range(100)]
    dice.shuffle(words)
    names = dict(zip(sorted(own - given), words, strict=False))
    return ast.unparse(ast.fix_missing_locations(_Disguise(names).visit(tree)))


def measure(name: str) -> tuple[int, int, int, int]:
    """(copies found, copies planted, hints about unrelated pairs, unrelated pairs)."""
    class_, known = class_of(name), known_texts(ROOT, name)
    found = planted = 0
    unrelated = pairs(class_, known)
    for seed, work in enumerate(class_):
        copy = Work("copy", {cell: disguised(text, seed) for cell, text in work.cells.items()})
        hints = pairs([*class_, copy], known)
        planted += 1
        found += any(set(pair.students) == {work.student, "copy"} for pair in hints)
    n = len(class_)
    return found, planted, len(unrelated), n * (n - 1) // 2


def line(name: str, row: Sequence[int]) -> str:
    found, planted, hints, unrelated = row
    return f"{name:16} {found:3} of {planted:3} copies found; {hints:3} of {unrelated:4} unrelated pairs hinted at"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("assignments", nargs="*", metavar="ASSIGNMENT", help="all when left out")
    total = [0, 0, 0, 0]
    for name in parser.parse_args().assignments or assignments():
        try:
            row = measure(name)
        except CourseError as error:
            print(f"{name:16} {error}")
            continue
        total = [a + b for a, b in zip(total, row, strict=True)]
        print(line(name, row), flush=True)
    print(line("all", total))


if __name__ == "__main__":
    main()
