"""The page that a student gets back shows everything, or as much as the instructor says; the rest is folded."""

from __future__ import annotations

import html

import pytest
import torch.nn.functional as F
from nbformat import from_dict
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from traitlets import TraitError

from casestudies.checking.engine import run_check
from casestudies.checking.shown import STEPS
from casestudies.grading.plugins import StudentView
from casestudies.grading.verdicts import NO_SANDBOX, Verdict, report_output
from casestudies.networks import resnet
from casestudies.sandboxed.probe import Probe

BLOCK = "resnet/basic_block"


class Early(resnet.BasicBlock):
    def forward(self, x):
        return F.relu(self.residual(x)) + self.shortcut(x)


@pytest.fixture(scope="module")
def report():
    return run_check(BLOCK, Probe(Early).handle, seed=1)


def page(report, **settings):
    """The cell's outputs as the student's page has them: of the visible check, and of the one that is not shown."""
    verdict = Verdict(
        "check", 4.0, reports=[report.to_dict() | {"hidden": hidden} for hidden in (False, True)]
    )
    outputs = [from_dict(report_output(report, hidden)) for hidden in (False, True)]
    cell = new_code_cell("check(...)", metadata={"nbgrader": {"grade_id": "check"}}, outputs=outputs)
    notebook = new_notebook(cells=[cell], metadata={"casestudies": {"verdicts": [verdict.to_dict()]}})
    StudentView(**settings).preprocess(notebook, {})
    return [output["data"] for output in notebook.cells[0].outputs]


def test_everything_is_open_unless_the_instructor_says_otherwise(report):
    visible, hidden = page(report)
    assert "<details>" not in visible["text/html"] and "<details open>" in visible["text/html"]
    known = report.recognised[0]["text"]
    assert known in visible["text/plain"] and known in hidden["text/plain"]


@pytest.mark.parametrize("hints", STEPS)
def test_the_instructors_step_is_the_last_that_is_open(report, hints):
    visible, hidden = page(report, hints=hints)
    assert visible["text/html"].count("<details open><summary>Hint") == STEPS.index(hints)
    known = report.recognised[0]["text"]
    assert known in visible["text/html"]
    shown = hints in ("mistake", "all")
    assert (known in visible["text/plain"]) == (known in hidden["text/plain"]) == shown


def test_the_page_of_a_korean_course_says_the_hidden_points_and_the_graders_note_in_korean(
    report, monkeypatch
):
    monkeypatch.setenv("CASESTUDIES_LANGUAGE", "ko")
    visible, hidden = page(report)
    assert "공개하지 않는 테스트" in hidden["text/plain"] and "not shown" not in hidden["text/html"]
    assert report.recognised[0]["text"] not in hidden["text/plain"] + visible["text/plain"]
    text = f"<p>Note of the grader</p><ul><li>{html.escape(NO_SANDBOX)}</li></ul>"
    notebook = new_notebook(cells=[new_markdown_cell(text, id="note-of-the-grader")])
    StudentView().preprocess(notebook, {})
    assert "채점기의 참고 사항" in notebook.cells[0].source and "SANDBOX" not in notebook.cells[0].source


def test_a_bad_step_is_named():
    with pytest.raises(TraitError, match="hints.*symptom.*place.*mistake.*all.*'al'"):
        StudentView(hints="al")
