"""Extensions and late days: what the file says, what each bad line is told, and what becomes of the penalty."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from casestudies.cli import main
from casestudies.grading.course import Course
from casestudies.grading.extensions import (
    Extension,
    ExtensionError,
    HandedIn,
    apply_extensions,
    grant,
    parse_extensions,
    read_extensions,
)
from casestudies.grading.notebooks import generate_assignment

KNOWN = ["resnet", "vgg"]
HEAD = "student,assignment,days,until,why\n"
DAY = timedelta(days=1)
DUE = datetime(2026, 11, 19, 12)


def parsed(text: str) -> list[Extension]:
    return parse_extensions(text, "extensions.csv", KNOWN)


def test_a_line_says_who_has_how_much_more_time_for_what_and_why() -> None:
    assert parsed(HEAD + "ada,resnet,3,,ill\ngrace,vgg,,2026-12-05 12:00,\n\n# a remark,,,,\n*,*,4,,\n") == [
        Extension(2, "ada", "resnet", 3.0, None, "ill"),
        Extension(3, "grace", "vgg", None, datetime(2026, 12, 5, 12)),
        Extension(6, "*", "*", 4.0, None),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "student;assignment;days\nada;resnet;0,5\n",  # as a spreadsheet in Europe writes it
        "student\tassignment\tdays\nada\tresnet\t0.5\n",
        "Assignment, Student ,DAYS\r\nresnet, ada ,0.5\r\n",
    ],
)
def test_a_spreadsheets_own_forms_are_read(text: str) -> None:
    (found,) = parsed(text)
    assert (found.student, found.assignment, found.days) == ("ada", "resnet", 0.5)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings_are_told_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "extensions.csv"
    path.write_bytes((HEAD + "zoë,resnet,1,,\n").encode(encoding))
    assert read_extensions(path, KNOWN)[0].student == "zoë"


# (a line below the head, the sentence about it)
BAD_LINES = [
    (",resnet,3,,", "column student: ''; expected the id of a student, or * for everybody"),
    ("ada,resnett,3,,", "column assignment: 'resnett'; expected one of resnet, vgg, or * for late days"),
    ("ada,resnet,three,,", "column days: 'three'; expected a number of days from 0 to 366, such as 3 or 0.5"),
    ("ada,resnet,-1,,", "column days: '-1'; expected a number of days from 0 to 366"),
    ("ada,resnet,1e9,,", "column days: '1e9'; expected a number of days"),
    ("ada,resnet,nan,,", "column days: 'nan'; expected a number of days"),
    ("ada,resnet,1_0,,", "column days: '1_0'; expected a number of days"),
    ("ada,resnet,,,", "column days: ''; expected either days or until"),
    ("ada,resnet,3,2026-12-05,", "column days: '3'; expected either days or until, and not both"),
    ("ada,resnet,,05/12/2026,", "column until: '05/12/2026'; expected a time such as 2026-12-05 12:00 UTC"),
    ("ada,*,,2026-12-05,", "column until: '2026-12-05'; expected a number of late days in the column days"),
    ("ada,*,1.5,,", "column days: '1.5'; expected a whole number of late days"),
    ("ada,resnet", "2 values; expected 5: student, assignment, days, until, why"),
]


@pytest.mark.parametrize(("line", "says"), BAD_LINES)
def test_a_bad_line_is_named_with_column_value_and_what_was_expected(line: str, says: str) -> None:
    with pytest.raises(ExtensionError) as caught:
        parsed(f"{HEAD}grace,vgg,1,,\n{line}\n")
    assert str(caught.value).splitlines() == [
        str(caught.value).splitlines()[0],
        "extensions.csv: nothing was changed",
    ]
    assert str(caught.value).startswith("extensions.csv, line 3") and says in str(caught.value)


def test_every_bad_line_has_a_sentence_of_its_own() -> None:
    with pytest.raises(ExtensionError) as caught:
        parsed(HEAD + "\n".join(line for line, _ in BAD_LINES))
    assert len(str(caught.value).splitlines()) == len(BAD_LINES) + 1


def test_two_lines_about_the_same_are_refused() -> None:
    with pytest.raises(
        ExtensionError, match="line 4, column student: 'ada'; expected one line .* see line 2"
    ):
        parsed(HEAD + "ada,resnet,3,,\nada,vgg,3,,\nada,resnet,4,,\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty; expected a first line student,assignment"),
        ("student,assignment\n", "expected student, assignment, and days or until"),
        ("student,assignment,day\n", "the column 'day' is not known"),
        ("student,student,days\n", "the column 'student' is not known or there twice"),
        ('student,assignment,days\n"ada,resnet,1\n', "no CSV"),
    ],
)
def test_a_file_that_is_none_is_refused(text: str, says: str) -> None:
    with pytest.raises(ExtensionError, match=says):
        parsed(text)


def handed(student: str, assignment: str, late: float | None, due: datetime = DUE) -> HandedIn:
    return HandedIn(student, assignment, due, None if late is None else due + late * DAY)


def test_an_own_line_comes_before_everybodys() -> None:
    lines = parsed(HEAD + "ada,resnet,3,,ill\n*,resnet,1,,\n")
    granted = grant(lines, [handed("ada", "resnet", 5), handed("grace", "resnet", 5)])
    assert granted["ada", "resnet"].time == 3 * DAY and granted["grace", "resnet"].time == DAY
    assert str(granted["ada", "resnet"]) == "3 days (ill)"


def test_until_is_counted_from_the_due_date_and_never_takes_time_away() -> None:
    lines = parsed(HEAD + "ada,resnet,,2026-11-21 12:00,\ngrace,resnet,,2026-11-01,\n")
    granted = grant(lines, [handed("ada", "resnet", 5), handed("grace", "resnet", 5)])
    assert granted["ada", "resnet"].time == 2 * DAY and ("grace", "resnet") not in granted


def test_late_days_are_spent_in_the_order_of_due_dates_until_none_is_left() -> None:
    later = DUE + 14 * DAY
    found = grant(
        parsed(HEAD + "*,*,4,,\nalan,*,0,,\n"),
        [
            handed("ada", "vgg", 5, later),  # given first, due second
            handed("ada", "resnet", 1.2),  # two days have begun
            handed("grace", "resnet", -1),
            handed("grace", "vgg", None, later),
            handed("alan", "resnet", 1),
        ],
    )
    assert found["ada", "resnet"].late_days == 2 and found["ada", "resnet"].left == 2
    assert found["ada", "vgg"].time == 2 * DAY and found["ada", "vgg"].left == 0
    assert {student for student, _ in found} == {"ada"}
    assert str(found["ada", "resnet"]) == "2 of the late days, 2 left"


def test_late_days_begin_where_an_extension_ends() -> None:
    lines = parsed(HEAD + "ada,resnet,3,,ill\nada,*,4,,\n")
    found = grant(lines, [handed("ada", "resnet", 3.5)])["ada", "resnet"]
    assert (found.time, found.late_days, found.left) == (4 * DAY, 1, 3)
    assert str(found) == "3 days (ill); 1 of the late days, 3 left"


# --------------------------------------------------------------------------- in the gradebook


@pytest.fixture
def course(root: Path, tmp_path: Path) -> Course:
    """A course with a due date and a penalty for lateness, and two who handed in a day too late."""
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "solutions").symlink_to(root / "solutions")
    config = (root / "nbgrader_config.py").read_text()
    (clone / "nbgrader_config.py").write_text(config + '\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    folder = tmp_path / "course"
    (folder / "submitted").mkdir(parents=True)
    generate_assignment(clone, "small", folder / "release", folder)
    course = Course.open(clone, folder)
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=DUE)
        for student in ("ada", "grace"):
            gradebook.update_or_create_student(student)
            gradebook.update_or_create_submission("small", student, timestamp=DUE + DAY)
            grade = gradebook.find_grade("check_basic_block", "small", "small", student)
            grade.auto_score = 8
        gradebook.db.commit()
    return course


def penalties(course: Course) -> dict[str, float]:
    with course.gradebook() as gradebook:
        found = gradebook.assignment_submissions("small")
        return {each.student.id: each.late_submission_penalty or 0.0 for each in found}


def test_an_extension_takes_the_penalty_away_and_its_line_removed_brings_it_back(course: Course) -> None:
    apply_extensions(course, ["small"])
    assert penalties(course) == {"ada": 8.0, "grace": 8.0}
    path = course.folder / "extensions.csv"
    path.write_text(HEAD + "ada,small,2,,ill\n")
    said = apply_extensions(course, ["small"]).said
    assert said == ["ada has 2 days beyond the due date of small (was: nothing)"]
    assert penalties(course) == {"ada": 0.0, "grace": 8.0}
    assert apply_extensions(course, ["small"]).said == []
    path.write_text(HEAD + "grace,small,1,,\n")
    assert len(apply_extensions(course, ["small"]).said) == 2
    assert penalties(course) == {"ada": 8.0, "grace": 0.0}


def test_without_the_file_an_extension_of_nbgraders_own_stays(course: Course) -> None:
    with course.gradebook() as gradebook:
        gradebook.grant_extension("small", "ada", days=3)
    assert apply_extensions(course, ["small"]).said == []
    assert penalties(course) == {"ada": 0.0, "grace": 8.0}


def test_what_the_file_gave_ends_with_the_file(course: Course) -> None:
    path = course.folder / "extensions.csv"
    path.write_text(HEAD + "ada,small,9,,ill\n*,*,4,,late days\n")
    apply_extensions(course, ["small"])
    assert penalties(course) == {"ada": 0.0, "grace": 0.0}
    path.unlink()
    gone = "extensions.csv, which gave it, is not there any more)"
    assert apply_extensions(course, ["small"]).said == [
        f"ada has nothing beyond the due date of small (was: 9 days; {gone}",
        f"grace has nothing beyond the due date of small (was: 1 day; {gone}",
    ]
    assert penalties(course) == {"ada": 8.0, "grace": 8.0}
    assert apply_extensions(course, ["small"]).said == []


def test_what_is_given_in_nbgraders_own_way_after_the_file_stays_without_it(course: Course) -> None:
    path = course.folder / "extensions.csv"
    path.write_text(HEAD + "ada,small,9,,ill\n")
    apply_extensions(course, ["small"])
    path.unlink()
    with course.gradebook() as gradebook:
        gradebook.grant_extension("small", "ada", days=3)
    assert apply_extensions(course, ["small"]).said == []
    with course.gradebook() as gradebook:
        assert gradebook.find_submission("small", "ada").extension == 3 * DAY
        gradebook.grant_extension("small", "ada", days=9)  # as much as the file gave, and not from it
    assert apply_extensions(course, ["small"]).said == []
    assert penalties(course) == {"ada": 0.0, "grace": 8.0}


def test_a_due_date_that_is_taken_away_takes_the_files_extensions_along_and_brings_them_back(
    course: Course,
) -> None:
    (course.folder / "extensions.csv").write_text(HEAD + "ada,small,9,,ill\n")
    apply_extensions(course, ["small"])
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=None)
    said = apply_extensions(course, ["small"]).said
    assert "ada has nothing beyond the due date of small (was: 9 days; it has no due date any more)" in said
    assert penalties(course) == {"ada": 0.0, "grace": 0.0}
    with course.gradebook() as gradebook:
        assert (
            gradebook.find_submission("small", "ada").total_seconds_late == 0
        )  # where nbgrader's commands raise
        gradebook.update_or_create_assignment("small", duedate=DUE)
    apply_extensions(course, ["small"])
    assert penalties(course) == {"ada": 0.0, "grace": 8.0}


def test_without_a_due_date_an_extension_of_nbgraders_own_hinders_nothing(course: Course) -> None:
    apply_extensions(course, ["small"])
    assert penalties(course) == {"ada": 8.0, "grace": 8.0}
    with course.gradebook() as gradebook:
        gradebook.grant_extension("small", "ada", hours=1)
        gradebook.update_or_create_assignment("small", duedate=None)
    assert apply_extensions(course, ["small"]).said == []
    assert penalties(course) == {"ada": 0.0, "grace": 0.0}


def test_a_link_to_nothing_ends_no_extension(course: Course) -> None:
    path = course.folder / "extensions.csv"
    path.write_text(HEAD + "ada,small,9,,ill\n")
    apply_extensions(course, ["small"])
    path.unlink()
    path.symlink_to("/nowhere/extensions.csv")
    with pytest.raises(ExtensionError, match="a link to '/nowhere/extensions.csv', and nothing is there"):
        apply_extensions(course, ["small"])
    assert penalties(course) == {"ada": 0.0, "grace": 8.0}


def test_a_line_that_can_do_nothing_is_said(course: Course) -> None:
    (course.folder / "extensions.csv").write_text(HEAD + "adaa,small,2,,\n")
    (said,) = apply_extensions(course, ["small"]).said
    assert "line 2: 'adaa' is not in the gradebook and has handed in nothing. Did you mean 'ada'?" in said
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=None)
    assert any("small has no due date" in each for each in apply_extensions(course, ["small"]).said)


def test_a_bad_file_ends_the_run_before_anything_is_graded(course: Course, monkeypatch, capsys) -> None:
    (course.folder / "extensions.csv").write_text(HEAD + "ada,small,x,,\nada,other,1,,\n")
    monkeypatch.chdir(course.root)
    before = penalties(course)
    assert main(["grade", "small", "--course", str(course.folder)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all(line.startswith("casestudies grade: extensions.csv") for line in lines)
    assert penalties(course) == before and not (course.folder / "reports").exists()
