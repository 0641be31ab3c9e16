"""`casestudies fill`: a platform's own table, with the scores in one of its columns and nothing else changed."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

import pytest

from casestudies.cli import main
from casestudies.grading import reports
from casestudies.grading.course import Course
from casestudies.grading.errors import CourseError
from casestudies.grading.platforms import Export, Filled, fill, grade_column, read_export, told
from casestudies.grading.reports import Entry
from casestudies.grading.tables import table_text

CANVAS = """\
Student,ID,SIS User ID,SIS Login ID,Section,resnet (4711),vgg (4712),Final Score
    Points Possible,,,,,20.0,20.0,(read only)
"Lovelace, Ada",101,ada,ada@example.org,"A, 1",,7,70
"O'Brien, =Siobhán",102,,siobhan@example.org,B,3.5,,
"Hopper, Grace",103,grace,,B,,,
"Student, Test",,,,,,,
"""
WORKSHEET = """\
Identifier,Full name,ID number,Email address,Status,Grade,Maximum Grade,Feedback comments
Participant 8,Ada Lovelace,ada,ada@example.org,Submitted,,"20,00","-well
done, ""x""!"
Participant 9,Siobhán O'Brien,,siobhan@example.org,Submitted,"3,50","20,00",
Participant 4,Grace Hopper,grace,,No submission,,"20,00",
"""
REPORT = """\
First name;Last name;ID number;Email address;Assignment: resnet (Real);Assignment: vgg (Real);Course total (Real)
Ada;Lovelace;ada;ada@example.org;-;-;-
Siobhán;O'Brien;;Siobhan@Example.org;3,50;-;-
Grace;Hopper;grace;;-;-;-
"""
EXPORTS = {"canvas": CANVAS, "worksheet": WORKSHEET, "report": REPORT}


def entry(student: str, score: float, email: str = "", **other: Any) -> Entry:
    values = {"penalty": 0.0, "waiting": False, "protection": "sandbox"} | other
    return Entry(
        student,
        "",
        "",
        email,
        score,
        values["penalty"],
        20.0,
        values["waiting"],
        [],
        [],
        values["protection"],
        unread=values.get("unread", []),
    )


CLASS = [entry("ada", 17.25), entry("s-17", 20.0, "siobhan@example.org")]


def export(tmp_path: Path, text: str, encoding: str = "utf-8") -> Export:
    path = tmp_path / "export.csv"
    path.write_bytes(text.encode(encoding))
    return read_export(path)


def filled(table: Export, found: list[Entry], **options: Any) -> tuple[Filled, list[list[str]]]:
    outcome = fill(table, grade_column(table, "resnet"), found, **options)
    text = table.to_bytes().removeprefix(table.mark).decode(table.encoding)
    return outcome, list(csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter))


@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_one_column_is_filled_and_every_other_cell_stays_to_the_letter(
    kind: str, encoding: str, newline: str, tmp_path: Path
) -> None:
    text = EXPORTS[kind].replace("\n", newline)
    table = export(tmp_path, text, encoding)
    before = [list(row) for row in table.rows]
    column = grade_column(table, "resnet")
    outcome, after = filled(table, CLASS)
    changed = {
        (row, index)
        for row, (one, other) in enumerate(zip(before, after, strict=True))
        for index, (a, b) in enumerate(zip(one, other, strict=True))
        if a != b
    }
    first = 2 if kind == "canvas" else 1
    assert changed == {(first, column), (first + 1, column)}
    numbers = ["17.25" if kind == "canvas" else "17,25", "20"]
    assert [after[first][column], after[first + 1][column]] == numbers
    assert table.to_bytes().count(newline.encode("utf-16-le" if encoding == "utf-16" else "ascii"))
    assert outcome.unknown == [first + 2] and outcome.complete
    assert [each.partition(":")[0] for each in outcome.replaced] == ["s-17"]


STRANGE = {
    "quotation marks that are not needed": '"ID number","S;1",Email,resnet\n"ada","a""b",,{}\n"ben",x,,"{}"\n',
    "line ends of three kinds": "ID number,note,Email,resnet\rada,x,,{}\r\nben,x,,{}\n",
    "no line end": "ID number,note,Email,resnet\nada,x,,{}\nben,x,,{}",
    "empty lines, blanks": ' ID number ,note,Email,resnet\n\nada, "x",,{}\n\r\nben,x"y,,{}\n\n',
    "formulas of the platform": 'ID number,note,Email,resnet\nada,"=HYPERLINK(""x"")",+1,{}\nben,@x,,{}\n',
    "the column first, lines in a cell": 'resnet,note,ID number\n{},"one\r\ntwo\rthree\n",ada\n"{}","",ben\n',
    "semicolons": 'ID number;note;resnet\nada;"a,b;c";{}\nben;;{}\n',
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16-le", "utf-16-be"])
def test_every_other_byte_stays(name: str, encoding: str, tmp_path: Path) -> None:
    text = ("\ufeff" if encoding.startswith("utf-16") else "") + STRANGE[name]
    table = export(tmp_path, text.format("", ""), encoding)
    assert table.to_bytes() == text.format("", "").encode(encoding)
    outcome = fill(table, grade_column(table, "resnet"), [entry("ada", 17.5), entry("ben", 3.0)])
    assert set(outcome.scores) == {"ada", "ben"}
    assert table.to_bytes() == text.format("17.5", "3").encode(encoding)


def test_a_score_with_a_comma_is_put_between_quotation_marks(tmp_path: Path) -> None:
    text = 'ID number,Grade,Maximum Grade\nada,{},"20,00"\n'
    table = export(tmp_path, text.format(""))
    fill(table, grade_column(table, "resnet"), [entry("ada", 17.5)])
    assert table.to_bytes().decode() == text.format('"17,5"')


def test_a_score_with_points_by_hand_that_stand_is_written_and_named(tmp_path: Path) -> None:
    table = export(tmp_path, CANVAS)
    outcome, after = filled(table, [entry("ada", 19.0, waiting=True)])
    assert after[2][5] == "19" and outcome.complete
    assert any("to look at again" in line and "(1): ada." in line for line in told(outcome, table))


def test_whose_grade_waits_who_is_absent_and_what_was_not_protected_is_said(tmp_path: Path) -> None:
    table = export(tmp_path, CANVAS)
    outcome, after = filled(
        table,
        [
            entry("ada", 1.0, waiting=True, unread=["why"]),
            entry("alan", 2.0),
            entry("grace", 3.0, protection="none"),
        ],
    )
    assert after[2][5] == "" and after[4][5] == "3" and not outcome.complete
    lines = told(outcome, table)
    assert any("waits for a grade by hand (1): ada." in line for line in lines)
    assert any("Not in export.csv (1): alan." in line for line in lines)
    assert any("NOT PROTECTED when it was graded (1): grace." in line for line in lines)
    assert any("nothing was handed in (1): siobhan@example.org (row 4)." in line for line in lines)


def test_nobody_is_found_by_name(tmp_path: Path) -> None:
    table = export(tmp_path, WORKSHEET)
    found = Entry("x1", "Ada", "Lovelace", "", 5.0, 0.0, 20.0, False, [], [], "sandbox")
    outcome, _ = filled(table, [found])
    assert outcome.absent == ["x1"] and not outcome.scores


def test_other_points_are_refused_or_scaled(tmp_path: Path) -> None:
    table = export(tmp_path, CANVAS.replace("20.0,20.0", "100,20.0"))
    with pytest.raises(
        CourseError, match="expects 100 points, and the assignment has 20; .* or give --scale"
    ):
        filled(table, CLASS)
    _, after = filled(table, CLASS, scale=True)
    assert after[2][5] == "86.25"


@pytest.mark.parametrize(
    ("text", "found", "says"),
    [
        (CANVAS.replace("102,,", "102,ADA,"), CLASS, "'ada' is in several rows .3, 4.; remove all but one"),
        (
            CANVAS,
            [CLASS[0], entry("x", 1.0, "siobhan@example.org"), CLASS[1]],
            "row 4: 'x' and 's-17' are both",
        ),
        (
            CANVAS,
            [entry("ada", 5.0, "siobhan@example.org")],
            "'ada' is in row 3 by id and in row 4 by address .'siobhan@example.org'.; the id may be a number",
        ),
        (CANVAS.replace("resnet (4711)", "res (4711)"), CLASS, "no column for resnet; .* 'res .4711.'"),
        (
            CANVAS.replace("vgg (4712)", "Resnet (4712)"),
            CLASS,
            "2 columns for resnet; name the one .* --column",
        ),
        ("Name,resnet\nada,\n", CLASS, "no column by which a student is known; .* 'Name', 'resnet'"),
    ],
)
def test_what_is_not_certain_is_refused(text: str, found: list[Entry], says: str, tmp_path: Path) -> None:
    with pytest.raises(CourseError, match=says) as caught:
        filled(export(tmp_path, text), found)
    assert str(caught.value).endswith("nothing was written")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "is no table"),
        (b"PK\x03\x04\xff\xfe", "is not UTF-8; expected the CSV file"),
        (b"<html>\n<a,b>\n", "line 2: 2 values; expected 1"),
        (b'a,b\n"c,d\n', "line 2: no CSV .unexpected end of data.; export it again"),
        (b"a,b\n1,2\n3\n", "line 3: 1 values; expected 2, as the first line has"),
    ],
)
def test_a_file_that_is_no_table_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_bytes(data)
    with pytest.raises(CourseError, match=says) as caught:
        read_export(path)
    assert str(caught.value).endswith("nothing was written")


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "nothing"])
def test_what_is_no_file_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to itself":
        path.symlink_to(path)
    with pytest.raises(CourseError, match="export.csv cannot be read: .*; nothing was written"):
        read_export(path)
    if kind == "pipe":
        with pytest.raises(CourseError, match="export.csv cannot be read: not a file; nothing was changed"):
            table_text(path)


def test_a_path_without_a_name_is_no_export(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fill", "small", ".", "--course", str(folder)]) == 2
    assert capsys.readouterr().err.startswith("casestudies fill: . cannot be read: ")


@pytest.fixture
def folder(tmp_path: Path, root: Path, released, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course in which `small` counts as graded, with the scores of CLASS."""
    folder = tmp_path / "course"
    for student in ("ada", "s-17"):
        graded = folder / "autograded" / student / "small" / "small.ipynb"
        graded.parent.mkdir(parents=True)
        graded.write_text("{}")
    monkeypatch.setattr("casestudies.grading.notebooks.find_root", lambda *_: root)
    monkeypatch.setattr(Course, "require", lambda self, name: None)
    monkeypatch.setattr(Course, "assignment", lambda self, name: None)
    monkeypatch.setattr(Course, "settle_lateness", lambda self: [])
    monkeypatch.setattr(reports, "entries", lambda course, name: CLASS)
    return folder


def test_penalties_are_those_of_now_when_scores_are_filled_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A grade by hand is newer than the penalty that `grade` computed from what there was then."""
    (tmp_path / "grades.csv").write_text(CANVAS.replace("resnet", "small"))
    settled: list[Course] = []
    monkeypatch.setattr(
        Course, "settle_lateness", lambda self: settled.append(self) or ["ada has 1 day beyond the due date"]
    )
    monkeypatch.setattr(reports, "entries", lambda course, name: CLASS if settled == [course] else [])
    assert main(["fill", "small", str(tmp_path / "grades.csv"), "--course", str(folder)]) == 0
    told = capsys.readouterr()
    assert "casestudies fill: ada has 1 day beyond the due date\n" in told.err and "2 scores" in told.out


def test_the_copy_lies_beside_the_export_and_is_never_overwritten(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "grades.csv"
    source.write_text(CANVAS.replace("resnet", "small"))
    command = ["fill", "small", str(source), "--course", str(folder)]
    assert main(command) == 0
    copy = tmp_path / "grades-filled.csv"
    assert copy.read_text().count("17.25") == 1 and source.read_text() == CANVAS.replace("resnet", "small")
    assert "2 scores in the column 'small (4711)'" in capsys.readouterr().out
    copy.write_text("mine")
    assert main(command) == 2
    assert copy.read_text() == "mine" and "grades-filled.csv exists; remove it" in capsys.readouterr().err
    assert main([*command, "--to", str(tmp_path / "no" / "where.csv")]) == 2
    assert main([*command, "--column", "Section", "--to", str(tmp_path / "b.csv")]) == 0
    assert not (folder / "gradebook.db").exists()


def test_where_nothing_is_graded_no_gradebook_is_made(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grades.csv").write_text(CANVAS)
    monkeypatch.setattr("casestudies.grading.notebooks.find_root", lambda *_: root)
    monkeypatch.setattr(Course, "require", lambda self, name: None)
    (tmp_path / "course").mkdir()
    assert main(["fill", "resnet", str(tmp_path / "grades.csv"), "--course", str(tmp_path / "course")]) == 2
    assert "nothing of resnet is graded yet" in capsys.readouterr().err
    assert not list((tmp_path / "course").iterdir()) and not (tmp_path / "grades-filled.csv").exists()
