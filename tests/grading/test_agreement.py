"""The protected path and the plain check give the same points: one notebook of each assignment.

All answers of all assignments: `python benchmarks/agreement.py`. Here each part gets one answer, in turn a right
variant, a known mistake, and a wrong answer as students write it.
"""

import importlib.util
import sys

import pytest
import torch

from casestudies.checking.parts import assignments, parts
from casestudies.grading.notebooks import build_sources
from casestudies.grading.sandbox import Sandbox

from .conftest import ROOT

spec = importlib.util.spec_from_file_location("agreement", ROOT / "benchmarks" / "agreement.py")
agreement = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(agreement)

KINDS = ("variant", "mistake", "wrong")


@pytest.fixture(scope="module")
def patient():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    build_sources(ROOT, only_stale=True)
    with Sandbox(agreement.PATIENT) as box:
        yield box
    torch.set_num_threads(threads)


def compare(name, answers, box, folder):
    assignment, released = agreement.assignment_and_release(name, folder)
    return agreement.compare(released, assignment, answers, box)


def one_of_each(name):
    """An answer to every part: the kinds in turn, and of each kind not always the first."""
    chosen = []
    for turn, part in enumerate(parts(name).values()):
        own = [a for a in agreement.answers_of(part) if a.kind == KINDS[turn % len(KINDS)]]
        chosen.append(own[turn % len(own)])
    return chosen


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return tmp_path_factory.mktemp("course")


@pytest.mark.parametrize("name", assignments())
def test_protected_and_plain_points_agree(name, patient, course):
    rows = compare(name, one_of_each(name), patient, course)
    assert [str(row) for row in rows if row.differs] == []


def test_a_difference_is_seen(patient, course, monkeypatch):
    """An answer that is right in a notebook and wrong in the sandbox."""
    code = "answers.Separate if 'casestudies.grading' in __import__('sys').modules else answers.ReluFirst"
    answer = agreement.Answer("resnet/basic_block", "variant", "two-faced", code)
    (row,) = compare("resnet", [answer], patient, course)
    assert row.differs and row.plain == row.possible and "two-faced: 1" in str(row)


def test_every_variant_and_mistake_is_among_the_answers():
    found = [a.label for part in parts().values() for a in agreement.answers_of(part)]
    tables = [agreement.namespace(name)["answers"] for name in assignments()]
    variants = sum(len(styles) for table in tables for styles in table.CORRECT.values())
    wrong = sum(len(labels) for table in tables for labels in table.WRONG.values())
    assert len(set(found)) == variants + sum(len(part.mistakes) for part in parts().values()) + wrong
