"""What the machine leaves to a human is never a 0 that nobody has given: not in a table, nor on a page."""

from __future__ import annotations

import csv
import io
import re
import shutil
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from casestudies import cli
from casestudies.grading.course import Course, Row, grade_class
from casestudies.grading.intake import read_notebook, rebuild
from casestudies.grading.materials import lay_out
from casestudies.grading.plugins import CsvExport
from casestudies.grading.records import AGAIN, save_verdicts
from casestudies.grading.reports import write_feedback, write_reports
from casestudies.grading.sample_class import build_class
from casestudies.grading.verdicts import Verdict

COMMENT = "You wrote `<b>x`, and *that* is </div></div><script>alert(1)</script><img src='//x.example/y'>"
TABLES = {"-grades.csv": "score", "-canvas.csv": "resnet", "-moodle.csv": "resnet"}


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A class of two: one notebook is as the sample class has it, the other was cut off on its way."""
    folder = tmp_path_factory.mktemp("undecided") / "vision"
    lay_out(folder)
    build_class(folder, folder, "resnet")
    first, *others = sorted((folder / "submitted").iterdir())
    for student in others:
        shutil.rmtree(student)
    shutil.copytree(first, folder / "submitted" / "cut")
    notebook = folder / "submitted" / "cut" / "resnet" / "resnet.ipynb"
    notebook.write_bytes(notebook.read_bytes()[:5000])
    return Course.open(folder)


def graded(course: Course) -> Row:
    rows = grade_class(course, "resnet", jobs=1)
    return next(row for row in rows if row.student == "cut")


def table(course: Course, ending: str) -> dict[str, dict[str, str]]:
    text = (course.folder / "reports" / f"resnet{ending}").read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    return {row.get("student") or row.get("idnumber") or row["SIS User ID"]: row for row in rows}


def visible(page: str) -> str:
    """Without scripts and styles, in which any three letters may stand."""
    return re.sub(r"<(script|style).*?</\1>", "", page, flags=re.DOTALL)


def exported(course: Course, target: Path) -> dict[str, tuple[str, ...]]:
    """What `nbgrader export` writes, by student."""
    with course.gradebook() as gradebook:
        plugin = CsvExport()
        plugin.to = str(target)
        plugin.export(gradebook)
    columns = ("raw_score", "late_submission_penalty", "score", "max_score", "mark")
    rows = csv.DictReader(target.read_text().splitlines())
    return {row["student_id"]: tuple(row[each] for each in columns) for row in rows}


def test_it_has_no_score_in_any_table_and_none_on_its_page_until_a_human_decides(
    course, tmp_path, capsys, monkeypatch
):
    assert graded(course).needs_human
    write_reports(course, "resnet")
    write_feedback(course, "resnet")
    for ending, column in TABLES.items():
        rows = table(course, ending)
        assert rows["cut"][column] == "", ending
        assert "NOT GRADED YET, for a human: check_" in " ".join(rows["cut"].values()), ending
        (other,) = (row for student, row in rows.items() if student not in ("cut", ""))
        assert float(other[column]) > 0 and "NOT GRADED" not in " ".join(other.values()), ending
    before = exported(course, tmp_path / "before.csv")
    assert before["cut"][2] == "" and before["cut"][4].startswith("NOT GRADED YET, for a human: check_")
    (read,) = (row for student, row in before.items() if student != "cut")
    assert float(read[2]) > 0 and read[4] == "something waits for a grade by hand"  # its written answer
    assert {row["mark"] for row in table(course, "-moodle.csv").values()} == {
        row[4] for row in before.values()
    }
    pages = {path.parents[1].name: path.read_text() for path in course.step("feedback").glob("*/*/*.html")}
    page = pages.pop("cut")
    assert "not graded yet, of" in page and "so far" in page and "nan" not in page
    (other,) = map(visible, pages.values())  # nobody has read its written answer yet
    (answer,) = re.findall(r"([^<>]*)</a>: not graded yet, of 3: your instructor decides", other)
    assert answer == "degradation, written" and "so far" in other
    assert len(re.findall(r'pull-right">\s*not graded yet <a', other)) == 1 and "nan" not in other

    with Gradebook(course.db_url, course_id="vision") as gradebook:  # as the formgrader does
        for notebook in gradebook.find_submission("resnet", "cut").notebooks:
            for grade in notebook.grades:
                grade.manual_score, grade.needs_manual_grade = 1.0, False
            notebook.comments[0].manual_comment = COMMENT
        gradebook.db.commit()
        gradebook.update_or_create_student("kim", first_name="Kim", last_name="Poe")
    row = graded(course)
    assert row.seconds is None, "nothing of the submission has changed"
    assert not row.needs_human and set(row.decided.values()) == {1.0}
    score = f"{row.score:g}"
    assert row.score == len(row.decided) + 1  # the written answer
    write_reports(course, "resnet")
    write_feedback(course, "resnet")
    for ending, column in TABLES.items():
        rows = table(course, ending)
        assert rows["cut"][column] == score, ending
        assert "NOT GRADED" not in " ".join(rows["cut"].values()), ending
    after = exported(course, tmp_path / "after.csv")
    assert float(after["cut"][2]) == row.score and after["cut"][4] == ""
    page = next(course.step("feedback").glob("cut/*/*.html")).read_text()
    assert "not graded yet" not in page and "so far" not in page
    (comment,) = re.findall(r"You wrote .*", page)  # shown as a student's own text is
    assert "<code>&lt;b&gt;x</code>, and <em>that</em> is" in comment
    assert "</div></div>" not in comment.partition("</p>")[0]
    assert "<script" not in comment and "<img" not in comment
    assert exported(course, tmp_path / "absent.csv")["kim"] == ("", "", "", "20.0", "nothing handed in")
    monkeypatch.chdir(course.folder)
    assert cli.main(["grade", "resnet"]) == 0
    said = capsys.readouterr().out
    assert "Waiting for a grade by hand (1)" in said  # the other one's answer
    assert "NEEDS A HUMAN" not in said and "Nothing handed in (1): kim (Kim Poe)." in said
    assert cli.main(["grade", "resnet", "--force", "--student", "cut"]) == 0
    said = capsys.readouterr().out
    assert (
        "To look at again (1): graded anew since you gave points or comments by hand" in said
        and "Waiting" not in said
    )
    assert exported(course, tmp_path / "again.csv")["cut"][4] == AGAIN


def test_a_korean_page_says_so_too(course: Course) -> None:
    graded(course)
    course.config.StudentView.language = "ko"
    try:
        write_feedback(course, "resnet")
    finally:
        del course.config.StudentView.language
    (other,) = (
        visible(path.read_text())
        for path in course.step("feedback").glob("*/*/*.html")
        if "cut" not in path.parts
    )
    assert "degradation, 서술형</a>: 아직 채점하지 않음(3점 만점)" in other
    assert re.search(r'pull-right">\s*아직 채점하지 않음 <a', other) and "not graded" not in other


@pytest.mark.parametrize("lost", [False, True])
def test_another_assignments_text_is_nobodys_answer(course: Course, lost: bool) -> None:
    """The last fold of the VGG notebook stood as the student's answer to the question of the ResNet one."""
    notebook = nbformat.read(course.root / "exercises/vgg/vgg.ipynb", as_version=4)
    for cell in notebook.cells if lost else ():
        cell.metadata.pop("nbgrader", None)
    read = read_notebook(nbformat.writes(notebook).encode())
    rebuilt, notes, missing = rebuild(read, course.assignment("resnet"))
    (answer,) = [
        each for each in rebuilt.cells if each.metadata.get("nbgrader", {}).get("grade_id") == "degradation"
    ]
    assert answer.source == "This cell was missing."
    assert "degradation" in missing and not any("found by its place" in note for note in notes)


def test_a_doubt_about_the_hand_in_time_says_why(capsys):
    from casestudies.grading.cli import doubts_of

    doubt = "01/02/2026 may be in January or in February"
    rows = [Row("ada", unclear=doubt), Row("zoe", unclear=doubt), Row("kim", unclear="no time"), Row("lee")]
    assert doubts_of(rows) == [f"when did ada, zoe hand in? {doubt}", "when did kim hand in? no time"]


def test_extra_credit_is_points_by_hand_as_well(course: Course) -> None:
    """It stays when a submission is graded anew, and is to be looked at again: it was given to other work."""
    graded(course)
    with Gradebook(course.db_url, course_id="vision") as gradebook:
        found = [each for one in gradebook.find_submission("resnet", "cut").notebooks for each in one.grades]
        for grade in found:
            grade.manual_score, grade.needs_manual_grade = None, False
            grade.extra_credit = 1.0 if grade is found[0] else None
        gradebook.db.commit()
        cells = [nbformat.v4.new_code_cell() for _ in found]
        for cell, grade in zip(cells, found, strict=True):
            cell.metadata["nbgrader"] = {"grade_id": grade.name, "grade": True, "solution": False}
        notebook = nbformat.v4.new_notebook(cells=cells)
        verdicts = [Verdict(grade.name, 1.0, "passed", 1.0) for grade in found]
        save_verdicts(gradebook, notebook, verdicts, "sandbox", "resnet", "cut", "resnet")
        asked = {grade.name: grade.needs_manual_grade for grade in found}
    assert list(asked.values()) == [True] + [False] * (len(asked) - 1)


def test_a_comment_by_hand_is_to_be_looked_at_again_where_its_code_has_its_points(course: Course) -> None:
    """It stays below code that was replaced: what it says may be of work that is gone."""
    graded(course)
    with Gradebook(course.db_url, course_id="vision") as gradebook:
        (one,) = gradebook.find_submission("resnet", "cut").notebooks
        grades = {grade.name: grade for grade in one.grades}
        for grade in grades.values():
            grade.manual_score, grade.extra_credit, grade.needs_manual_grade = None, None, False
        for comment in one.comments:
            comment.manual_comment = "You left it empty." if comment.name == "bottleneck" else None
        gradebook.db.commit()
        notebook = nbformat.read(course.root / "exercises/resnet/resnet.ipynb", as_version=4)
        verdicts = [Verdict(name, 1.0, "passed", 1.0) for name in grades]
        save_verdicts(gradebook, notebook, verdicts, "sandbox", "resnet", "cut", "resnet")
        asked = [name for name, grade in grades.items() if grade.needs_manual_grade]
        kept = [comment.manual_comment for comment in one.comments if comment.name == "bottleneck"]
    assert asked == ["check_bottleneck"] and kept == ["You left it empty."]
