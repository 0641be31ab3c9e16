"""The block that the identity notebook shows is the block that the checks hand over and compare with."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import torch

from casestudies.checks.identity import GivenBlock, description_of_given_block
from casestudies.grading.notebooks import build_source
from casestudies.sandboxed.probe import assemble

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


def test_the_block_that_is_handed_over_computes_what_the_notebooks_does() -> None:
    described, shown = assemble(description_of_given_block(3)), GivenBlock(3, 3)
    assert list(described.state_dict()) == list(shown.state_dict())
    assert type(described).__name__ == "GivenBlock"
    described.load_state_dict(shown.state_dict())
    x = torch.randn(2, 3, 6, 5)
    for training in (True, False):
        assert torch.equal(described.train(training)(x), shown.train(training)(x))
    assert [type(layer) for _, layer in described.named_children()] == [
        type(layer) for _, layer in shown.named_children()
    ]


def test_a_layer_that_was_replaced_in_it_is_the_one_that_runs() -> None:
    block = assemble(description_of_given_block(3)).eval()
    block.conv2 = torch.nn.Conv2d(3, 3, 1)
    torch.nn.init.zeros_(block.conv2.weight)
    torch.nn.init.zeros_(block.conv2.bias)
    x = torch.rand(2, 3, 6, 5)
    assert torch.equal(block(x), x)
