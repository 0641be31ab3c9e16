"""What a class report leads on to: names, quartiles, code behind each mistake, the trend; and `regrade --diff`."""

from __future__ import annotations

import csv
import html
import re
from datetime import timedelta
from pathlib import Path

import pytest

from casestudies.cli import main
from casestudies.grading import regrade, reports
from casestudies.grading.cli import errors_of, show
from casestudies.grading.course import Course, CourseError, Row, grade_class
from casestudies.grading.materials import lay_out
from casestudies.grading.notebooks import fill, generate_assignment, notebook_text
from casestudies.grading.regrade import compare, differences
from casestudies.grading.reports import Entry, Standing, class_html, code_of, named_mistakes, quartiles
from casestudies.grading.verdicts import Verdict

from .conftest import RIGHT

NO_RELU = RIGHT | {"basic_block": RIGHT["basic_block"].replace("return F.relu(self.bn2", "return (self.bn2")}
CLASS = {
    "ada": RIGHT,
    "ben": NO_RELU,
    "eve": RIGHT | {"basic_block": "class BasicBlock(nn.Module):\n    pass\n"},
}


@pytest.fixture
def course(root: Path, released, tmp_path: Path) -> Course:
    folder = tmp_path / "course"
    for student, answers in CLASS.items():
        path = folder / "submitted" / student / "small" / "small.ipynb"
        path.parent.mkdir(parents=True)
        path.write_text(notebook_text(fill(released, answers)))
    generate_assignment(root, "small", folder / "release", folder)
    course = Course.open(root, folder)
    with course.gradebook() as gradebook:
        gradebook.update_or_create_student("ben", first_name="Ben", last_name="Example <b>")
    return course


@pytest.fixture
def graded(course: Course, pool) -> Course:
    grade_class(course, "small", pool=pool)
    reports.write_reports(course, "small")
    return course


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_names_of_the_roster_stand_beside_the_ids(graded: Course) -> None:
    page = (graded.folder / "reports/small.html").read_text()
    assert "Ben Example &lt;b&gt;" in page and "Example <b>" not in page
    rows = read_csv(graded.folder / "reports/small.csv")
    assert {row["name"] for row in rows if row["student"] == "ben"} == {"Ben Example <b>"}
    assert {row["name"] for row in rows if row["student"] == "ada"} == {""}


def test_each_mistake_links_to_the_code_that_made_it(graded: Course) -> None:
    page = (graded.folder / "reports/small.html").read_text()
    row = next(row for row in re.findall(r"<tr>.*?</tr>", page) if "no_final_relu" in row and "<a " in row)
    ((anchor, who),) = re.findall(r'<a href="#([\w-]+)">(\w+)(?: \([^()]*\))?</a>', row)
    section = re.search(rf'<section id="{anchor}">(.*?)</section>', page, re.DOTALL)
    code = html.unescape(re.search(r"<pre>(.*?)</pre>", section[1], re.DOTALL)[1])
    assert who == "ben" and code.strip() == NO_RELU["basic_block"].strip()


def test_the_grades_have_raw_score_penalty_and_score(graded: Course) -> None:
    with graded.gradebook() as gradebook:
        submission = gradebook.find_submission("small", "ada")
        submission.notebooks[0].late_submission_penalty = 4.0
        submission.extension = timedelta(days=1.5)
        gradebook.db.commit()
    reports.write_reports(graded, "small")
    row = read_csv(graded.folder / "reports/small-grades.csv")[0]
    assert row | {"mark": ""} == {
        "student": "ada", "name": "", "email": "", "raw": "10", "penalty": "4", "score": "6", "possible": "13",
        "extension_days": "1.5", "mark": "",
    }  # fmt: skip
    by_hand = "something waits for a grade by hand"  # the written answer
    assert row["mark"] == f"{by_hand}; in part judged inside the student's process"
    row = read_csv(graded.folder / "reports/small-moodle.csv")[0]
    assert (row["small"], row["raw"], row["penalty"]) == ("6", "10", "4")
    assert "4 of 10" in (graded.folder / "reports/small.html").read_text()


def entry(student: str, score: float, *mistakes: str) -> Entry:
    known = [{"id": each, "text": f"{each}.", "see": "x.html#y"} for each in mistakes]
    report = {"part": "small/a", "recognised": known, "hidden": False}
    verdict = Verdict("check_a", 10.0, "partial", score, reports=[report, report | {"hidden": True}])
    return Entry(student, "", "", "", score, 0.0, 10.0, False, [verdict], [], "sandbox")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([3.0], (3.0, 3.0, 3.0)),
        ([1.0, 2.0, 3.0, 4.0, 5.0], (2.0, 3.0, 4.0)),
        ([0.0, 10.0], (2.5, 5.0, 7.5)),
    ],
)
def test_quartiles(values: list[float], expected: object) -> None:
    assert quartiles(values) == expected


def test_median_and_quartiles_stand_in_the_page() -> None:
    page = class_html([entry(str(n), n) for n in (1, 2, 3, 4, 10)], "small")
    assert "Median 3 of 10 points" in page and "2 or less" in page and "4 or more" in page


def test_a_mistake_counts_once_for_a_student_and_the_most_frequent_comes_first() -> None:
    found = named_mistakes([entry("a", 1, "rare"), entry("b", 1, "often"), entry("c", 1, "often", "rarer")])
    assert [(each.id, [who.student for who, _ in each.by]) for each in found] == [
        ("often", ["b", "c"]),
        ("rare", ["a"]),
        ("rarer", ["c"]),
    ]


def test_names_of_the_course_stay_whole_and_what_students_wrote_may_break() -> None:
    page = class_html([entry("a", 10, "x")], "small")
    assert re.search(r'<td class="name">small/\w+</td><td class="name"><code>x</code></td>', page)
    assert "td.name { overflow-wrap: normal;" in page and ".table { overflow-x: auto; }" in page
    assert not re.search(r'<td class="name">a(<|$)', page), "an id can be longer than the page is wide"
    assert '<meta name="viewport" content="width=device-width' in page


def test_nothing_of_a_student_is_markup_in_the_page() -> None:
    nasty = "<script>alert(1)</script>\"'><img src=x>"
    one = entry(nasty, 1, "slip")
    one.first_name = nasty
    page = class_html([one], "small", code=lambda student, cell: f"{nasty}\n    x = 1 < 2 & 3")
    assert "<script" not in page and "<img" not in page
    assert "    x = 1 &lt; 2 &amp; 3" in page  # as it was indented


def test_the_code_is_of_the_cells_that_define_what_is_checked() -> None:
    def code(source: str, **meta: object) -> dict:
        return {"cell_type": "code", "source": source, "metadata": {"nbgrader": meta}}

    cells = [
        code("import torch", grade_id="imports", locked=True),
        code("def helper():\n    return 1", grade_id="a", solution=True),
        {"cell_type": "markdown", "source": "text", "metadata": {}},
        code("class Block:\n    pass", grade_id="b", solution=True),
        code("Block.x = 1", grade_id="own"),
        code('check("small/a", Block)', grade_id="check_b", locked=True),
        code("assert helper() == 1", grade_id="check_plain", locked=True),
    ]
    assert code_of({"cells": cells}, "check_b") == "class Block:\n    pass"
    assert code_of({"cells": cells}, "check_plain") == "Block.x = 1"
    assert code_of({}, "check_b") == code_of({"cells": cells}, "other") == ""


def test_the_trend_shows_where_there_are_several_assignments(graded: Course) -> None:
    (only,) = reports.standings(graded)
    assert (only.name, only.students, only.mistake) == ("small", 3, "no_final_relu (1 of 3)")
    assert "All assignments so far" not in class_html([entry("a", 1)], "small", trend=[only])
    later = Standing("later", 2, (0.25, 0.5, 1.0), 1, "slip (2 of 2)")
    page = class_html([entry("a", 1)], "small", trend=[only, later])
    row = next(row for row in re.findall(r"<tr>.*?</tr>", page) if ">later</td>" in row)
    assert "25 %" in row and "50 %" in row and "100 %" in row and "slip (2 of 2)" in row
    assert "left:3.00rem;width:9.00rem" in row and "left:6.00rem" in row


def test_the_table_of_a_run_shows_names_where_there_is_room(capsys) -> None:
    row = Row("ben", name="Ben Example", extension="3 days (ill)")
    show([row], "small", width=140)
    wide = capsys.readouterr().out
    assert "ben (Ben Example)" in wide and "extended: 3 days (ill)" in wide
    show([row], "small", width=60)
    assert "Ben Example" not in capsys.readouterr().out


def test_a_sandbox_that_does_not_work_is_told_once_for_all(capsys) -> None:
    def row(student: str, why: str) -> Row:
        return Row(student, seconds=0.0, error=f"{student} was not graded: {why}", broken=why)

    no, full = "bwrap: no", "no room"
    own = Row("eve", error="'eve' was not graded: The folder 'eve' cannot be read.")
    rows = [row("ada", no), row("ben", no), row("cem", no), row("dan", full), own]
    assert errors_of(rows) == [
        own.error,
        "3 submissions were not graded: bwrap: no",
        "dan was not graded: no room",
    ]
    show(rows, "small", width=120)
    table = capsys.readouterr().out
    assert table.count("NOT GRADED (see below)") == 5 and no not in table and "ada" in table
    assert "cannot be read" not in table and "unchanged" not in table


# --------------------------------------------------------------------------- a regrade that changes nothing


def verdict(state: str = "passed", points: float | None = 4.0, *mistakes: str) -> Verdict:
    known = [{"id": each} for each in mistakes]
    return Verdict("check_a", 4.0, state, points, reports=[{"recognised": known}])


def test_equal_verdicts_are_no_change() -> None:
    assert compare("a", [verdict()], [verdict()]) == []
    assert compare("a", [verdict("wrong", 0, "x", "y")], [verdict("wrong", 0, "y", "x")]) == []


@pytest.mark.parametrize(
    ("after", "says", "points"),
    [
        (verdict("partial", 1.0, "slip"), "passed 4/4 -> partial 1/4 (slip)", -3.0),
        (verdict("ungradable", None), "passed 4/4 -> ungradable ?/4", -4.0),
        (None, "passed 4/4 -> not graded", -4.0),
    ],
)
def test_state_points_and_mistakes_are_compared(after: Verdict | None, says: str, points: float) -> None:
    (change,) = compare("a", [verdict()], [after] if after else [])
    assert (change.kind, change.points) == (f"check_a: {says}", points)


def test_a_regrade_by_the_same_checks_changes_nothing(graded: Course, pool) -> None:
    before = {path: path.read_bytes() for path in graded.folder.rglob("*") if path.is_file()}
    assert differences(graded, "small", pool=pool) == ([], 3)
    assert {path: path.read_bytes() for path in graded.folder.rglob("*") if path.is_file()} == before


def test_a_regrade_by_other_checks_says_what_changes_for_whom(graded: Course, pool, monkeypatch) -> None:
    from casestudies.checking.parts import find

    part = find("resnet/basic_block")
    monkeypatch.setattr(part, "mistakes", [known for known in part.mistakes if known.id != "no_final_relu"])
    monkeypatch.setattr(part, "_pairs", [])
    before = {path: path.read_bytes() for path in graded.folder.rglob("*") if path.is_file()}
    changes, looked_at = differences(graded, "small", pool=pool)
    assert [(each.student, each.cell) for each in changes] == [
        ("ben", "check_basic_block")
    ] and looked_at == 3
    text = regrade.as_text(changes, looked_at)
    assert "1 of 3 submissions would get other verdicts" in text
    assert "(no_final_relu) -> " in text
    assert {path: path.read_bytes() for path in graded.folder.rglob("*") if path.is_file()} == before


def test_a_submission_that_cannot_be_graded_again_is_said(graded: Course) -> None:
    changes, _ = differences(
        graded, "small", ["ada"], pool=lambda todo: ((who, {"late": True}) for who, _ in todo)
    )
    assert "took the grader longer" in regrade.as_text(changes, 1)


def test_a_regrade_says_at_what_the_grader_failed(graded: Course) -> None:
    failed = {
        "failed": "Traceback (most recent call last):\n  File ...\nValueError: a part is declared twice\n"
    }
    changes, looked_at = differences(graded, "small", pool=lambda todo: ((who, failed) for who, _ in todo))
    text = regrade.as_text(changes, looked_at)
    assert text.startswith(
        "3 of 3 submissions would get other verdicts, or none:\n\n    3  This could not be graded"
    )
    assert (
        "with ValueError: a part is declared twice\n" in text and "points" not in text and "log" not in text
    )


def test_what_was_handed_in_since_is_not_taken_for_a_change_of_the_checks(graded: Course, pool) -> None:
    one, other = (graded.step("submitted") / who / "small" / "small.ipynb" for who in ("ada", "ben"))
    other.write_bytes(one.read_bytes())
    changes, looked_at = differences(graded, "small", pool=pool)
    assert [(each.student, each.kind) for each in changes] == [
        ("ben", regrade.HANDED_IN_SINCE)
    ] and looked_at == 3


def test_a_regrade_of_nothing_and_without_the_secret_is_refused(course: Course, graded: Course, pool) -> None:
    (graded.folder / "course_secret").unlink()
    with pytest.raises(CourseError, match="course_secret is missing, without which other questions"):
        differences(graded, "small", pool=pool)
    import shutil

    shutil.rmtree(graded.folder / "autograded")
    with pytest.raises(CourseError, match="nothing of small is graded yet"):
        differences(graded, "small", pool=pool)
    assert not (graded.folder / "course_secret").exists()


def test_regrade_without_diff_says_which_command_stores(root: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(root)
    assert main(["regrade", "small"]) == 2
    error = capsys.readouterr().err
    assert "casestudies regrade small --diff;" in error and "casestudies grade small\n" in error


def test_a_page_of_feedback_that_cannot_be_made_is_said_in_a_sentence_after_the_table(
    graded: Course, root: Path, monkeypatch, capsys
) -> None:
    from casestudies.grading.plugins import FeedbackPage

    make = FeedbackPage.from_notebook_node

    def broken(self, notebook, resources=None, **options):
        if "no_final_relu" in str(notebook):
            raise RuntimeError("a package\nis too new")
        return make(self, notebook, resources, **options)

    monkeypatch.setattr(FeedbackPage, "from_notebook_node", broken)
    monkeypatch.setattr("casestudies.grading.notebooks.find_root", lambda *_: root)
    assert main(["grade", "small", "--course", str(graded.folder), "--feedback"]) == 2
    told = capsys.readouterr()
    (line,) = [each for each in told.err.splitlines() if each.startswith("casestudies grade: no page")]
    assert line.startswith("casestudies grade: no page of feedback for ben: RuntimeError: a package")
    assert "Scores and reports are stored" in line and "Traceback" not in told.err
    assert "3 submissions" in told.out and "small-moodle.csv" in told.out
    kept = (graded.folder / "logs/small/feedback-errors.txt").read_text()
    assert "Traceback" in kept and "is too new" in kept
    pages = {each.parts[-3] for each in (graded.folder / "feedback").glob("*/small/small.html")}
    assert pages == {"ada", "eve"}


@pytest.mark.parametrize(("days", "says"), [(1.0, ">1 day<"), (2.0, ">2 days<"), (0.5, ">0.5 days<")])
def test_an_extension_of_one_day_is_one_day(days: float, says: str) -> None:
    found = [Entry("ada", "", "", "", 1.0, 0.0, 2.0, False, [], [], "sandbox", extension=days)]
    assert says in class_html(found, "small")


def test_who_is_on_the_roster_and_handed_nothing_in_is_named_everywhere(graded: Course) -> None:
    with graded.gradebook() as gradebook:
        gradebook.update_or_create_student("cleo", first_name="Cleo", last_name="Poe", email="c@example.org")
    reports.write_reports(graded, "small")
    folder = graded.folder / "reports"
    for ending, who, score in (
        ("-grades.csv", "student", "score"),
        ("-canvas.csv", "SIS User ID", "small"),
        ("-moodle.csv", "idnumber", "small"),
    ):
        rows = {row[who]: row for row in read_csv(folder / f"small{ending}")}
        assert rows["cleo"][score] == "" != rows["ada"][score]
        assert "nothing handed in" in " ".join(rows["cleo"].values())
        assert "nothing handed in" not in " ".join(rows["ada"].values())
    states = {row["student"]: row["state"] for row in read_csv(folder / "small.csv")}
    assert states["cleo"] == "nothing handed in"
    page = (folder / "small.html").read_text()
    assert "Nothing was handed in by 1 more" in page and "Cleo Poe" in page
    assert f"{len(CLASS)} submissions" in page
    median = quartiles([each.score for each in reports.entries(graded, "small")])
    assert median and f"Median {median[1]:g} of" in page  # of those who handed in


def test_a_regrade_that_comes_to_an_error_shows_no_bar_before_it(tmp_path, monkeypatch, capsys) -> None:
    lay_out(tmp_path / "vision")
    monkeypatch.chdir(tmp_path / "vision")
    monkeypatch.delenv("CASESTUDIES_COURSE", raising=False)
    assert main(["regrade", "resnet", "--diff"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("casestudies regrade: nobody has handed in 'resnet'") and said.count("\n") == 1
