"""What others wrote, in tables that a spreadsheet opens."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from traitlets.config import Config

from casestudies.grading import reports
from casestudies.grading.course import _unusable
from casestudies.grading.plugins import EXPORTED, CsvExport
from casestudies.grading.spreadsheets import harmless, identifier, idle

FORMULAS = [
    "=1+1",
    "@SUM(1)",
    "+cmd|' /C calc'!A0",
    "-2+3+HYPERLINK(1)",
    " =1",
    "\t=1",
    "a;=1",
    "\r=1",
    "=A1",
]
IDLE = ["ada", "-17", "+4917", "@ada", "-ada.b@c", "i49", ",i49", "a=b", "a-b", "3;4"]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_formula_becomes_text_and_is_no_id(text: str) -> None:
    assert harmless(text) != text and not idle(text)
    assert identifier(text) == harmless(text)
    assert _unusable(text)


@pytest.mark.parametrize("text", IDLE)
def test_an_id_that_computes_nothing_stays_as_it_is(text: str) -> None:
    assert identifier(text) == text and not _unusable(text)


@given(st.text(alphabet=st.sampled_from("=+-@;|\t\r\n a1(,"), max_size=12))
@example("x\n=1")
def test_no_cell_begins_a_formula_wherever_a_program_cuts_it(text: str) -> None:
    for part in re.split(r"[;|\t\r\n]", harmless(text)):
        assert part.strip()[:1] not in tuple("=+-@")


def test_in_the_files_for_a_platform_a_student_is_found_by_the_exact_id() -> None:
    found = [reports.Entry(id, "", "=x", id, 1.0, 0.0, 2.0, False, [], [], "sandbox") for id in IDLE]
    for text, column in (
        (reports.moodle_csv(found, "small"), "idnumber"),
        (reports.canvas_csv(found, "small"), "SIS User ID"),
        (reports.grades_csv(found), "student"),
    ):
        rows = [row for row in csv.DictReader(text.splitlines()) if row[column]]
        assert [row[column] for row in rows] == IDLE
        assert not any(value.startswith("=") for row in rows for value in row.values())


@pytest.mark.filterwarnings(
    "ignore:Object of type <Submitted"
)  # nbgrader's own, see `ignore_autoflush_warnings`
def test_nbgraders_export_keeps_its_columns_and_each_cell_whole(tmp_path: Path) -> None:
    from nbgrader.api import Gradebook

    target = tmp_path / "grades.csv"
    with Gradebook(f"sqlite:///{tmp_path / 'gradebook.db'}") as gradebook:
        gradebook.add_assignment("small")
        for id, name in ((",i49", "Doe, Ada"), ("@SUM(1)", "=1+1"), ("-17", None)):
            gradebook.add_student(id, last_name=name)
        gradebook.add_submission("small", "-17")
        CsvExport(config=Config(CsvExport={"to": str(target)})).export(gradebook)
    with target.open(newline="") as file:
        header, *rows = csv.reader(file)
    assert EXPORTED[-1] == "mark"  # behind nbgrader's own, and so that it moves none of them
    assert tuple(header) == EXPORTED and all(len(row) == len(EXPORTED) for row in rows)
    assert {(row[3], row[4]) for row in rows} == {(",i49", "Doe, Ada"), ("'@SUM(1)", "'=1+1"), ("-17", "")}
    scores = {row[3]: row[7:10] for row in rows}  # nobody has a 0 who handed in nothing
    assert scores == {",i49": [""] * 3, "'@SUM(1)": [""] * 3, "-17": ["0.0"] * 3}
