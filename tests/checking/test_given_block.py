"""Blocks that are handed out: the one that the identity notebook shows, and those that students repair."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import casestudies.checking
from casestudies.checking.engine import check
from casestudies.checking.parts import parts
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


GATE = "efficientnet/repaired_gate"
RIGHT_GATE = parts("efficientnet")[GATE].reference.factory


class WithSqueeze(RIGHT_GATE):
    def squeezed(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate[1:](self.squeezed(x))


class AsGiven(WithSqueeze):
    def squeezed(self, x: Tensor) -> Tensor:
        return x.mean(dim=(0, 2, 3), keepdim=True)


class BatchFirst(WithSqueeze):
    def squeezed(self, x: Tensor) -> Tensor:
        return x.mean(0, keepdim=True).mean((2, 3), keepdim=True)


class BatchLast(WithSqueeze):
    def squeezed(self, x: Tensor) -> Tensor:
        return x.mean((2, 3), keepdim=True).mean(0, keepdim=True)


class BySums(WithSqueeze):
    def squeezed(self, x: Tensor) -> Tensor:
        return x.sum((0, 2, 3), keepdim=True) / (x.numel() / x.shape[1])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("block", [BatchFirst, BatchLast])
def test_a_rewritten_block_that_does_what_the_given_one_did_is_told_what_differs(
    block: type[torch.nn.Module], hidden: bool, seed: int
) -> None:
    report = check(GATE, block, hidden=hidden, seed=seed)
    assert (report.points, report.state, report.mistakes) == (0, "wrong", [])
    assert report.summary == "This does what the block did as it was given."
    (told,) = report.differences
    assert told["sentence"].startswith("There is a mean over the batch ")
    assert report.summary in report.text() and told["sentence"] in report.text()


@pytest.mark.parametrize("block", [AsGiven, BySums])
def test_the_answer_is_not_given_away_for_the_block_as_it_was(block: type[torch.nn.Module]) -> None:
    report = check(GATE, block, seed=4)
    assert report.summary == "This does what the block did as it was given."
    assert (report.points, report.mistakes, report.differences) == (0, [], [])


# What stands above in text stands below in HTML, and what is held back stands nowhere.
POINTING = re.compile(
    r"\b(?:stands?|see|shown|listed|named|said|found) (?:above|below)\b|\bthe following\b|\bas follows\b"
)


def sentences() -> Iterator[tuple[str, str]]:
    """The texts in the code that makes reports, without docstrings."""
    for path in sorted(Path(casestudies.checking.__file__).parent.glob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
                yield path.name, node.value


def test_no_sentence_of_a_report_points_to_another_place_of_it() -> None:
    assert [each for each in sentences() if POINTING.search(each[1])] == []
