"""The block that the identity notebook shows is the block that the checks hand over."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

from casestudies.grading.notebooks import build_source
from casestudies.sandboxed.probe import GivenBlock

NOTEBOOK = Path(__file__).parents[2] / "solutions" / "identity.md"


def without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node):
            del node.body[0]
    return ast.dump(tree)


def test_the_notebook_shows_the_block_that_is_given() -> None:
    cells = build_source(NOTEBOOK).cells
    shown = next(c.source for c in cells if c.metadata.get("nbgrader", {}).get("grade_id") == "given_block")
    assert without_docstrings(shown) == without_docstrings(inspect.getsource(GivenBlock))
