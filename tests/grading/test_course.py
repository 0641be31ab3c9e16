"""A class: nbgrader's commands and ours give the same; nothing is lost however a run ends."""

import contextlib
import csv
import errno
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from casestudies.cli import main
from casestudies.grading import configuration, pools, reports, strays
from casestudies.grading import course as course_module
from casestudies.grading.arrivals import Arrivals
from casestudies.grading.configuration import ignore_autoflush_warnings
from casestudies.grading.course import Course, CourseError, grade_class
from casestudies.grading.notebooks import fill, generate_assignment, notebook_text
from casestudies.grading.records import rubrics, with_rubrics

from .conftest import RIGHT

FORWARD = "return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))"
NO_FINAL_RELU = {
    **RIGHT,
    "basic_block": RIGHT["basic_block"].replace(FORWARD, FORWARD.replace("F.relu(", "(")),
}

# (student, answers or the bytes of the file, name of the file)
CLASS = {
    "ada": (RIGHT, "small.ipynb"),
    "ben": (NO_FINAL_RELU, "small.ipynb"),
    "cleo": ({}, "small.ipynb"),
    "dan": (RIGHT, "Copy of small (2).ipynb"),
    "eve": (b'{"cells": [', "small.ipynb"),
}
# The automatic points of each: the block's 8 and the function's 2.
POINTS = {"ada": 10.0, "ben": 4.0, "cleo": 0.0, "dan": 10.0, "eve": 0.0}
GIVEN = {who: f"{points:g}" for who, points in POINTS.items()} | {
    "eve": ""
}  # a human has to decide about eve


@pytest.fixture(autouse=True)
def _quiet():
    ignore_autoflush_warnings()


def hand_in(folder: Path, student: str, released, answers, file: str = "small.ipynb") -> Path:
    path = folder / "submitted" / student / "small" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        answers if isinstance(answers, bytes) else notebook_text(fill(released, answers)).encode()
    )
    return path


@pytest.fixture(scope="session")
def empty_course(root, tmp_path_factory) -> Path:
    """A course folder whose gradebook knows the assignment: new gradebooks take their time."""
    folder = tmp_path_factory.mktemp("empty")
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    generate_assignment(root, "small", folder / "release", folder)
    return folder


@pytest.fixture
def folder(empty_course, released, tmp_path) -> Path:
    """A course folder with the class's submissions."""
    shutil.copytree(empty_course, tmp_path / "course")
    for student, (answers, file) in CLASS.items():
        hand_in(tmp_path / "course", student, released, answers, file)
    return tmp_path / "course"


@pytest.fixture
def course(root, folder) -> Course:
    return Course.open(root, folder)


def gradebook_rows(folder: Path) -> list[tuple]:
    """What the gradebook says of every grade and comment, without its random keys."""
    with contextlib.closing(sqlite3.connect(folder / "gradebook.db")) as connection:
        return sorted(
            connection.execute(
                "SELECT sa.student_id, bc.name, g.auto_score, g.manual_score, g.needs_manual_grade FROM grade g "
                "JOIN base_cell bc ON g.cell_id = bc.id JOIN submitted_notebook sn ON g.notebook_id = sn.id "
                "JOIN submitted_assignment sa ON sn.assignment_id = sa.id"
            ).fetchall(),
            key=repr,
        )


def scores(folder: Path) -> dict[str, float]:
    found: dict[str, float] = {}
    for student, _, auto, _, _ in gradebook_rows(folder):
        found[student] = found.get(student, 0.0) + (auto or 0.0)
    return found


def notebooks(folder: Path) -> dict[str, dict]:
    paths = folder.glob("autograded/*/small/small.ipynb")
    return {path.parts[-3]: json.loads(path.read_text()) for path in paths}


def run(root: Path, folder: Path, *arguments: str, **options) -> subprocess.CompletedProcess:
    environment = {**os.environ, "CASESTUDIES_COURSE": str(folder)}
    return subprocess.run(arguments, cwd=root, env=environment, capture_output=True, text=True, **options)


GRADE = [sys.executable, "-m", "casestudies", "grade", "small"]


# --------------------------------------------------------------------------- results


def test_a_class_gets_its_points(course, pool):
    grade_class(course, "small", pool=pool)
    assert scores(course.folder) == POINTS


def test_ours_and_nbgraders_results_are_the_same(course, pool, by_nbgrader):
    shutil.copy(by_nbgrader / "course_secret", course.folder)
    grade_class(course, "small", pool=pool)
    assert gradebook_rows(by_nbgrader) == gradebook_rows(course.folder)
    assert notebooks(by_nbgrader) == notebooks(course.folder)


def seeds(folder: Path, student: str) -> list[int]:
    verdicts = notebooks(folder)[student]["metadata"]["casestudies"]["verdicts"]
    return [report["seed"] for verdict in verdicts for report in verdict["reports"]]


def test_the_questions_are_the_same_in_a_regrade_and_others_in_another_course(course, pool):
    grade_class(course, "small", students=["ada"], pool=pool)
    first = seeds(course.folder, "ada")
    grade_class(course, "small", students=["ada"], force=True, pool=pool)
    assert seeds(course.folder, "ada") == first
    (course.folder / "course_secret").unlink()
    grade_class(course, "small", students=["ada"], force=True, pool=pool)
    assert not set(seeds(course.folder, "ada")) & set(first)


def test_a_damaged_secret_is_said_in_one_sentence_before_anything_is_graded(course, pool):
    (course.folder / "course_secret").write_text("?")
    with pytest.raises(CourseError, match="course_secret.*put the saved secret back"):
        grade_class(course, "small", pool=pool)
    assert not (course.folder / "autograded").exists()


def test_the_secret_does_not_travel_with_a_job(course):
    secret = course.secret()

    def pool(todo):
        for _, data in todo:
            assert secret.hex() not in data.decode() and secret not in data
            assert json.loads(data)["seed"]
        yield from ()

    assert grade_class(course, "small", pool=pool) == []


def test_what_has_not_changed_is_not_graded_again(course, pool):
    grade_class(course, "small", pool=pool)
    assert [row.seconds for row in grade_class(course, "small", pool=pool)] == [None] * len(CLASS)


def test_force_grades_again(course, pool):
    grade_class(course, "small", students=["ada"], pool=pool)
    (row,) = grade_class(course, "small", students=["ada"], force=True, pool=pool)
    assert row.seconds is not None


def test_a_changed_submission_is_graded_again(course, pool, released):
    grade_class(course, "small", students=["ada", "ben"], pool=pool)
    hand_in(course.folder, "ben", released, RIGHT)
    rows = grade_class(course, "small", students=["ada", "ben"], pool=pool)
    assert [row.seconds is None for row in rows] == [True, False]
    assert scores(course.folder) == {"ada": 10.0, "ben": 10.0}


def test_a_submission_that_became_worse_loses_its_old_points(course, pool):
    grade_class(course, "small", students=["ada"], pool=pool)
    (course.folder / "submitted/ada/small/small.ipynb").write_text("{")
    grade_class(course, "small", students=["ada"], pool=pool)
    assert scores(course.folder) == {"ada": 0.0}


def test_a_student_without_a_notebook_is_missing(course, pool):
    (course.folder / "submitted/fay/small").mkdir(parents=True)
    (row,) = grade_class(course, "small", students=["fay"], pool=pool)
    assert [verdict.state for verdict in row.verdicts] == ["missing", "missing"]


def test_a_manual_grade_stays_and_asks_for_a_look(course, pool):
    grade_class(course, "small", students=["ben"], pool=pool)
    with course.gradebook() as gradebook:
        grade = gradebook.find_grade("check_basic_block", "small", "small", "ben")
        grade.manual_score = 7.0
        gradebook.db.commit()
    grade_class(course, "small", students=["ben"], force=True, pool=pool)
    assert ("ben", "check_basic_block", 2.0, 7.0, 1) in gradebook_rows(course.folder)


def test_a_written_answer_waits_for_a_human_and_an_unwritten_one_does_not(course, pool):
    grade_class(course, "small", students=["ada", "cleo"], pool=pool)
    written = [row for row in gradebook_rows(course.folder) if row[1] == "why"]
    assert written == [("ada", "why", None, None, 1), ("cleo", "why", 0.0, None, 0)]


def test_every_key_of_the_gradebook_leads_somewhere(course, pool):
    # SQLite does not mind one that does not; PostgreSQL refuses to write it.
    grade_class(course, "small", students=["ada"], pool=pool)
    with contextlib.closing(sqlite3.connect(course.folder / "gradebook.db")) as connection:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


@pytest.fixture
def configured(root, tmp_path):
    """configured(line): a clone whose nbgrader_config.py ends with that line."""

    def clone_with(line: str) -> Path:
        clone = tmp_path / "clone"
        shutil.copytree(root, clone)
        with open(clone / "nbgrader_config.py", "a") as file:
            file.write(f"\n{line}\n")
        return clone

    return clone_with


@pytest.fixture
def strict(configured, folder) -> Course:
    """A course that takes off all points for being late."""
    course = Course.open(configured("c.LateSubmissionPlugin.penalty_method = 'zero'"), folder)
    course.assignment("small")
    return course


def penalty(course: Course, pool, due: str, handed_in: str) -> float | None:
    """What is taken off ada's points."""
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=due)
    (course.folder / "submitted/ada/small/timestamp.txt").write_text(handed_in)
    grade_class(course, "small", students=["ada"], pool=pool, force=True)
    with course.gradebook() as gradebook:
        return gradebook.find_submission("small", "ada").late_submission_penalty


# When it was handed in, with a penalty of all points for what comes after the 20th, and what is taken off.
LATENESS = {"2026-11-20 11:00:00 UTC": 0.0, "2026-11-20 13:00:00 UTC": 10.0}


@pytest.mark.parametrize("time_of_day", LATENESS)
def test_a_penalty_for_being_late(time_of_day, strict, pool):
    assert (penalty(strict, pool, "2026-11-20 12:00:00 UTC", time_of_day) or 0.0) == LATENESS[time_of_day]


def test_a_penalty_is_lifted_with_its_reason(strict, pool):
    handed_in = "2026-11-20 13:00:00 UTC"
    assert penalty(strict, pool, "2026-11-20 12:00:00 UTC", handed_in)
    assert not penalty(strict, pool, "2026-11-20 14:00:00 UTC", handed_in)


PLUGIN = """
from nbgrader.plugins import BasePlugin

class Daily(BasePlugin):
    def late_submission_penalty(self, student_id, score, total_seconds_late):
        return {}

c.AssignLatePenalties.plugin_class = Daily
"""
DUE, TWO_DAYS_LATER = "2026-11-20 12:00:00 UTC", "2026-11-21 13:00:00 UTC"


def test_a_penalty_of_the_instructors_own(configured, folder, pool):
    line = PLUGIN.format("0.1 * score * (total_seconds_late // 86400 + 1)")
    course = Course.open(configured(line), folder)
    course.assignment("small")
    assert penalty(course, pool, DUE, TWO_DAYS_LATER) == pytest.approx(2.0)
    (course.folder / "extensions.csv").write_text("student,assignment,days\n*,*,1\n")
    assert penalty(course, pool, DUE, TWO_DAYS_LATER) == pytest.approx(1.0)


def test_lateness_is_settled_anew_after_a_grade_by_hand(configured, folder, pool):
    course = Course.open(configured(PLUGIN.format("0.5 * score")), folder)
    course.assignment("small")
    assert penalty(course, pool, DUE, TWO_DAYS_LATER) == pytest.approx(5.0)
    with course.gradebook() as gradebook:
        gradebook.find_grade("why", "small", "small", "ada").manual_score = 2.0
        gradebook.db.commit()
    (course.folder / "extensions.csv").write_text("student,assignment,days\nada,small,1\n")
    assert course.settle_lateness() == ["ada has 1 day beyond the due date of small (was: nothing)"]
    with course.gradebook() as gradebook:
        assert gradebook.find_submission("small", "ada").late_submission_penalty == pytest.approx(6.0)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("float('nan')", "it returned nan; expected a number of points, or None"),
        ("'two'", "TypeError: must be real number, not str"),
    ],
)
def test_a_plugin_that_fails_costs_no_grade_and_is_told(configured, folder, pool, value: str, says: str):
    said: list[str] = []
    course = Course.open(configured(PLUGIN.format(value)), folder)
    course.assignment("small")
    assert not penalty(course, pool, DUE, TWO_DAYS_LATER)
    (row,) = grade_class(course, "small", students=["ada"], pool=pool, say=said.append)
    sentence = f"The late penalty for small stays as it was: the plugin Daily failed: {says}"
    assert (row.points, row.score, row.penalty_failed, row.needs_human) == (10.0, 10.0, sentence, True)
    assert f"ada: {sentence}" in said


def test_a_method_that_nbgraders_own_plugin_does_not_know_is_a_setting_to_correct(configured, folder):
    course = Course.open(configured("c.LateSubmissionPlugin.penalty_method = 'nul'"), folder)
    with pytest.raises(CourseError) as raised:
        grade_class(course, "small", pool=lambda todo: pytest.fail("it was graded"))
    said = str(raised.value)
    assert "refuses a setting: TraitError: The 'penalty_method' trait" in said and said.endswith(
        "not the str 'nul'. Nothing was changed"
    )


@pytest.mark.parametrize("named", ["'nowhere.Daily'", "int"])
def test_a_plugin_that_is_not_there_is_refused_before_anything_is_graded(configured, folder, named: str):
    course = Course.open(configured(f"c.AssignLatePenalties.plugin_class = {named}"), folder)
    with pytest.raises(
        CourseError, match="the plugin for late penalties, .* cannot be used: .*Nothing was changed"
    ):
        grade_class(course, "small", pool=lambda todo: pytest.fail("it was graded"))


def test_a_submission_without_a_time_that_came_after_the_due_date_is_marked_and_costs_nothing(strict, pool):
    """`strict` takes all points of what is late; nobody loses them to a file that is missing."""
    said: list[str] = []

    def graded():
        said.clear()
        (row,) = grade_class(strict, "small", students=["ada"], pool=pool, say=said.append)
        files = [each for each in reports.write_reports(strict, "small").files if each.name != "small.csv"]
        assert len(files) == 4
        return row, ["not sure when it was handed in" in each.read_text() for each in files]

    with strict.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=DUE)
    (strict.folder / "submitted/ada/small/timestamp.txt").unlink(missing_ok=True)
    table = strict.folder / "hand_in_times.csv"
    graded()
    seen = Arrivals(strict.folder).last()["ada", "small"].first_seen
    for first_seen, marked in [("2026-11-20 11:00:00", False), ("2026-11-22 08:00:00", True)]:
        table.write_text(table.read_text().replace(seen, first_seen))
        seen = first_seen
        row, marks = graded()
        assert (row.penalty, row.score, row.needs_human) == (0.0, 10.0, marked)
        assert marks == [marked] * 4
    assert "nothing says when" in row.unclear and "on time until you write" in row.unclear
    (strict.folder / "extensions.csv").write_text("student,assignment,days\nada,small,2\n")
    assert graded()[1] == [False] * 4  # it was there within the extension
    (strict.folder / "extensions.csv").write_text("student,assignment,days\nada,small,1\n")
    assert graded()[1] == [True] * 4
    table.write_text(table.read_text().replace("08:00:00,,", "08:00:00,,2026-11-22 08:00"))
    row, marks = graded()
    assert row.seconds is None, "nothing of the submission has changed"
    assert (row.penalty, row.unclear, marks) == (10.0, "", [False] * 4)
    assert said == ["ada handed in small at 2026-11-22 08:00:00 UTC (was: not known)"]
    graded()
    assert said == []


def test_a_time_that_a_student_may_have_written_is_shown_until_the_instructor_decides(strict, pool):
    def row():
        return grade_class(strict, "small", students=["ada"], pool=pool)[0]

    table = strict.folder / "hand_in_times.csv"
    assert not penalty(strict, pool, "2026-11-20 12:00:00 UTC", "2026-11-20 11:00:00 UTC")
    seen = Arrivals(strict.folder).last()["ada", "small"].first_seen
    table.write_text(table.read_text().replace(seen, "2026-11-23 08:00:00"))
    assert "hand_in_times.csv" in row().unclear and row().needs_human
    table.write_text(table.read_text().replace("08:00:00,,", "08:00:00,,2026-11-20 13:00"))
    assert not row().unclear
    assert penalty(strict, pool, "2026-11-20 12:00:00 UTC", "2026-11-20 11:00:00 UTC") == 10.0


# A timestamp.txt, and what the gradebook says of it.
TIMESTAMPS = {
    "2026-11-24 12:00:00 UTC": "2026-11-24 12:00:00.000000",
    "yesterday": None,
    "": None,
    "\x00": None,
}


@pytest.mark.parametrize("text", TIMESTAMPS)
def test_a_timestamp(text, course, pool):
    (course.folder / "submitted/ada/small/timestamp.txt").write_text(text)
    grade_class(course, "small", students=["ada"], pool=pool)
    with contextlib.closing(sqlite3.connect(course.folder / "gradebook.db")) as connection:
        assert connection.execute("SELECT timestamp FROM submitted_assignment").fetchall() == [
            (TIMESTAMPS[text],)
        ]


def test_links_in_a_submission_are_left_out(course, pool):
    secret = course.folder / "gradebook.db"
    os.symlink(secret, course.folder / "submitted/ada/small/data.csv")
    os.symlink(course.folder, course.folder / "submitted/ada/small/folder")
    grade_class(course, "small", students=["ada"], pool=pool)
    assert os.listdir(course.folder / "autograded/ada/small") == ["small.ipynb"]


# --------------------------------------------------------------------------- reports and feedback


@pytest.fixture
def reported(course, pool):
    grade_class(course, "small", pool=pool)
    reports.write_reports(course, "small")
    return course


def read_csv(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_moodle_gets_each_score(reported):
    rows = read_csv(reported.folder / "reports/small-moodle.csv")
    assert {row["idnumber"]: row["small"] for row in rows} == GIVEN


def test_canvas_gets_each_score_below_the_points_possible(reported):
    first, *rows = read_csv(reported.folder / "reports/small-canvas.csv")
    assert (first["Student"].strip(), first["small"]) == ("Points Possible", "13")
    assert {row["SIS User ID"]: row["small"] for row in rows} == GIVEN


def test_the_class_report_counts_the_mistake(reported):
    page = (reported.folder / "reports/small.html").read_text()
    assert "no_final_relu" in page and "<th scope" in page


def test_the_class_report_names_who_needs_a_human(reported):
    rows = [row for row in read_csv(reported.folder / "reports/small.csv") if row["state"] == "ungradable"]
    assert {row["student"] for row in rows} == {"eve"}


def test_a_name_that_a_spreadsheet_would_run_is_text():
    entry = reports.Entry("=cmd()", "", "", "", 1.0, 0.0, 2.0, False, [], [], "sandbox")
    assert "'=cmd()" in reports.moodle_csv([entry], "small")


def test_feedback_shows_the_mistake_and_no_hidden_test(reported):
    reports.write_feedback(reported, "small")
    page = (reported.folder / "feedback/ben/small/small.html").read_text()
    assert "tests that are not shown: 1 of 4 points" in page
    for secret in ("4321", "8642", "HIDDEN", "hidden=True"):
        assert secret not in page


# --------------------------------------------------------------------------- faults


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child writes files, and ends
def test_killed_at_any_moment_nothing_is_lost(root, course, pool, folder, tmp_path):
    """Every write of the run is where it may end: before each, the process is gone."""
    expected = tmp_path / "expected"
    shutil.copytree(folder, expected)
    grade_class(Course.open(root, expected), "small", pool=pool)
    killed = 0
    for moment in range(1, 60):
        child = os.fork()
        if child == 0:
            try:
                _die_at(moment)
                grade_class(course, "small", pool=_replay(expected))
            finally:
                os._exit(0)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL:
            killed += 1
    grade_class(course, "small", pool=_replay(expected))
    assert killed >= 50
    assert gradebook_rows(folder) == gradebook_rows(expected)
    assert notebooks(folder) == notebooks(expected)


def _replay(expected: Path):
    """Results that were computed before: only the writing matters here."""

    def run(todo):
        for student, _ in todo:
            text = (expected / "autograded" / student / "small" / "small.ipynb").read_text()
            stored = json.loads(text)["metadata"]["casestudies"]
            result = {key: stored[key] for key in ("digest", "protection", "notes", "verdicts")}
            yield student, {"graded": {**result, "notebook": text, "seconds": 0.0}}

    return run


def _die_at(moment: int) -> None:
    """Kills this process at its n-th step that leaves something behind (file or gradebook)."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    left = [moment]

    def step(*_args, **_kw) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for kind in ("before_cursor_execute", "commit"):
        event.listen(Engine, kind, step)
    for name in ("rename", "mkdir", "chmod"):
        original = getattr(Path, name)
        setattr(Path, name, lambda *a, _original=original, **k: (step(), _original(*a, **k))[1])


def test_two_runs_at_once_are_refused(course, pool):
    with course.lock(), pytest.raises(CourseError, match="another run is grading"):
        grade_class(course, "small", pool=pool)


def test_nbgraders_command_is_refused_while_another_run_grades(course, pool):
    grade_class(course, "small", pool=pool)
    before = gradebook_rows(course.folder), notebooks(course.folder)
    with course.lock():
        done = run(course.root, course.folder, "nbgrader", "autograde", "small", "--force")
    assert done.returncode == 1
    assert f"another run is grading in {course.folder}; wait until it has ended" in done.stderr
    assert (gradebook_rows(course.folder), notebooks(course.folder)) == before


def test_a_run_is_refused_while_nbgraders_command_grades(course, pool, monkeypatch):
    asked = []

    def meanwhile(*_: object) -> None:
        with pytest.raises(CourseError, match="another run is grading"):
            grade_class(course, "small", pool=pool)
        asked.append(True)
        raise NbGraderException("enough was seen")

    monkeypatch.setattr(configuration, "settle_before_autograding", meanwhile)
    config = Config(course.config)
    config.CourseDirectory.assignment_id = "small"
    with pytest.raises(NbGraderException, match="enough was seen"):
        Autograde(coursedir=CourseDirectory(config=config), config=config).start()
    assert asked
    with course.lock():  # it is free again
        pass


def test_the_lock_is_free_although_a_process_holds_it_that_was_forked_meanwhile(course):
    with course.lock():
        held = [int(each.name) for each in os.scandir("/proc/self/fd") if each.is_symlink()]
        locks = [each for each in held if _opened(each) == str(course.folder / ".grading.lock")]
        copies = [os.dup(each) for each in locks]  # as a fork has them
    try:
        assert copies
        with course.lock():
            pass
    finally:
        for each in copies:
            os.close(each)


def _opened(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def test_a_locked_gradebook_is_waited_for(course, pool):
    blocker = sqlite3.connect(course.folder / "gradebook.db", check_same_thread=False, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    timer = threading.Timer(6.0, lambda: (blocker.execute("COMMIT"), blocker.close()))
    timer.start()
    grade_class(course, "small", students=["ada"], pool=pool)
    timer.join()
    assert scores(course.folder) == {"ada": 10.0}


def test_a_full_disk_changes_nothing_and_says_so(course, pool, monkeypatch):
    grade_class(course, "small", students=["ada"], pool=pool)
    before = gradebook_rows(course.folder), notebooks(course.folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CourseError, match="No space left on device"):
        grade_class(course, "small", students=["ada"], force=True, pool=pool)
    assert (gradebook_rows(course.folder), notebooks(course.folder)) == before


def test_a_gradebook_that_cannot_be_written_is_told_in_one_sentence(
    course, root, folder, monkeypatch, capsys
):
    """As SQLite fails on a full disk; nothing of the run is left behind."""
    course.assignment("small")
    with contextlib.closing(sqlite3.connect(folder / "gradebook.db")) as database:
        database.execute(
            "CREATE TRIGGER full BEFORE INSERT ON student BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )
        database.commit()
    assert course_line(root, folder, monkeypatch, "small", "--student", "ada", "--quiet") == 2
    error = capsys.readouterr().err.strip()
    assert error == "casestudies grade: the gradebook cannot be written: disk is full; run again when it can"
    assert not list(folder.glob("autograded/*/.*"))


def test_a_worker_that_dies_is_replaced(course, monkeypatch):
    started = pools.Worker.give

    def give_and_kill(self, student, data):
        started(self, student, data)
        if student == "ada" and not killed:
            killed.append(student)
            os.kill(self.pid, signal.SIGKILL)

    killed: list[str] = []
    monkeypatch.setattr(pools.Worker, "give", give_and_kill)
    (row,) = grade_class(course, "small", students=["ada"], jobs=1)
    assert (killed, row.points, row.error) == (["ada"], 10.0, "")


def test_grade_names_a_file_that_is_nobodys_work_and_does_not_fail_for_it(course, pool):
    lay(course, "README.md")
    lay(course, ".DS_Store")
    said = []
    rows = grade_class(course, "small", pool=lambda todo: iter(()), say=said.append)
    assert not any(row.error for row in rows)
    assert said == [
        "'README.md' was not graded: it lies in no student's folder, and is called neither like a notebook nor like "
        "an archive."
    ]
    said.clear()
    grade_class(course, "small", students=["ada"], pool=lambda todo: iter(()), say=said.append)
    assert said == []


# What a grading process may come to, and whether a human is asked or the instructor told.
RESULTS = {
    "an exception": {"failed": "Traceback: its own words"},
    "a death": {"failed": "The grading process died.", "died": True},
    "no end": {"failed": "", "late": True},
    "pressure": {"pressed": True},
    "nothing": {},
    "a result that is none": {"graded": {"verdicts": []}},
    "a result of another kind": {"graded": 8.0},
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_human_looks_at_a_submission_whose_grading_ends_in(name, course):
    def pool(todo):
        return ((student, RESULTS[name]) for student, _ in todo)

    (row,) = grade_class(course, "small", students=["ada"], pool=pool)
    assert ([verdict.state for verdict in row.verdicts], row.needs_human) == (["ungradable"] * 2, True)
    assert "its own words" not in (course.folder / "autograded/ada/small/small.ipynb").read_text()


FORGED = {
    "more points than there are": {"points": 80.0},
    "fewer than none": {"points": -1.0},
    "points for another cell": {"cell": "check_everything"},
    "another value of the cell": {"possible": 80.0, "points": 80.0},
    "a state of its own": {"state": "excellent"},
    "no number": {"points": float("nan")},
}


@pytest.mark.parametrize("name", FORGED)
def test_a_worker_cannot_give(name, course, pool):
    """A worker may be another machine: what it says about a cell must be something that can be said of it."""

    def forging(todo):
        for student, result in pool(todo):
            result["graded"]["verdicts"][0].update(FORGED[name])
            yield student, result

    (row,) = grade_class(course, "small", students=["ada"], pool=forging)
    assert [verdict.state for verdict in row.verdicts] == ["ungradable"] * 2


def test_what_the_grader_failed_at_is_graded_again_by_the_next_run(course, pool):
    grade_class(course, "small", students=["ada"], pool=lambda todo: ((s, {"failed": ""}) for s, _ in todo))
    (row,) = grade_class(course, "small", students=["ada"], pool=pool)
    assert row.points == 10.0


# What lies in submitted/ for `small`, by which name it is told, and words of what is said.
STRAYS = {
    "swapped": ("small/zoe/small.ipynb", "small", "move submitted/small/zoe/ to submitted/zoe/small/"),
    "swapped, renamed": ("small/zoe/x.ipynb", "small", "move submitted/small/zoe/ to submitted/zoe/small/"),
    "swapped, capitals": (
        "Small/zoe/small.ipynb",
        "Small",
        "move submitted/Small/zoe/ to submitted/zoe/small/",
    ),
    "no student": ("small/small.ipynb", "small", "in no student's; move it to submitted/<student>/small/"),
    "loose": ("loose.ipynb", "loose.ipynb", "move it to submitted/<student>/small/"),
    "loose archive": ("all.zip", "all.zip", "move it to submitted/<student>/small/"),
    "beside": ("zoe/small.ipynb", "zoe", "move it to submitted/zoe/small/"),
    "another folder": ("zoe/hw3/small.ipynb", "zoe", "'hw3/small.ipynb' does not lie in the folder 'small'"),
    "loose, and called like it": ("small.py", "small.py", "move it to submitted/<student>/small/"),
    "behind a dot": (".zoe/small/small.ipynb", ".zoe", "its name begins with a dot"),
    "behind a dot, in no folder": (".zoe/small.ipynb", ".zoe", "If it is a student's, rename it."),
    "a section": ("monday/zoe/small/x.ipynb", "monday", "'zoe/small' does not lie in the folder 'small'"),
}
NO_STRAYS = {
    "another assignment": "zoe/large/large.ipynb",
    "another assignment, swapped": "large/zoe/large.ipynb",
    "a student of its name": "small/large/large.ipynb",
    "a system's": "small/.ipynb_checkpoints/small.ipynb",
    "a system's file": ".DS_Store",
    "a system's file of another": "Thumbs.db",
    "copies that an editor keeps": ".ipynb_checkpoints/small-checkpoint.ipynb",
    "a repository": ".git/config",
    "nobody's": "README.md",
    "nobody's table": "names.csv",
    "too deep to be looked for": "zoe/a/b/c/d/e/small.ipynb",
}


@pytest.fixture
def two_assignments(root, tmp_path) -> Course:
    """A course whose clone has the assignment `large`, too, and in which ada has handed in."""
    shutil.copytree(root, tmp_path / "clone")
    shutil.copy(root / "solutions" / "small.md", tmp_path / "clone" / "solutions" / "large.md")
    (tmp_path / "course").mkdir()
    course = Course.open(tmp_path / "clone", tmp_path / "course")
    lay(course, "ada/small/small.ipynb")
    return course


def lay(course: Course, path: str) -> None:
    place = course.step("submitted") / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"{}")


@pytest.mark.parametrize("name", STRAYS)
def test_what_lies_in_the_wrong_place_is_named_once_with_where_it_belongs(name, two_assignments):
    path, who, says = STRAYS[name]
    lay(two_assignments, path)
    found = two_assignments.strays("small")
    assert list(found) == [who] and says in found[who]
    assert two_assignments.students("small") == ["ada"]


@pytest.mark.parametrize("name", NO_STRAYS)
def test_nothing_is_said_of(name, two_assignments):
    lay(two_assignments, NO_STRAYS[name])
    assert two_assignments.strays("small") == {}


def test_many_students_the_wrong_way_round_are_one_sentence(two_assignments):
    for number in range(400):
        lay(two_assignments, f"small/s{number:03}/small.ipynb")
    (said,) = two_assignments.strays("small").values()
    assert "to submitted/s000/small/" in said and said.endswith("'s005' and 394 more.")


def test_a_students_folder_that_is_a_link_is_named_and_not_followed(two_assignments, tmp_path):
    submitted = two_assignments.step("submitted")
    (submitted / "ada").rename(tmp_path / "ada")
    (submitted / "ada").symlink_to(tmp_path / "ada")
    assert list(two_assignments.strays("small")) == ["ada"]
    assert "is a link, which is not followed" in two_assignments.strays("small")["ada"]
    assert "ada" not in two_assignments.students("small")


def test_links_within_a_students_folder_are_not_followed_in_the_search(two_assignments, tmp_path):
    lay(two_assignments, "zoe/hw3/x.txt")
    (tmp_path / "small").mkdir()
    (two_assignments.step("submitted") / "zoe" / "hw3" / "elsewhere").symlink_to(tmp_path)
    assert two_assignments.strays("small") == {}


def test_the_search_in_a_students_folder_is_bounded(two_assignments, monkeypatch):
    seen = []
    original = strays._entries

    def counted(*arguments):
        for each in original(*arguments):
            seen.append(each)
            yield each

    for number in range(3 * strays.LOOKED_AT):
        lay(two_assignments, f"zoe/data/{number // 50}/{number}.txt")
    monkeypatch.setattr(strays, "_entries", counted)
    assert two_assignments.strays("small") == {}
    assert len(seen) <= strays.LOOKED_AT + 1  # and the folder data itself


def test_grade_names_what_lies_in_the_wrong_place(course, pool):
    lay(course, "small/zoe/small.ipynb")
    lay(course, "loose.ipynb")
    said = [row.error for row in grade_class(course, "small", pool=lambda todo: iter(())) if row.error]
    assert len(said) == 2
    assert said[0].startswith("'small' was not graded: ") and "submitted/zoe/small/" in said[0]
    assert said[1].startswith("'loose.ipynb' was not graded: ") and "submitted/<student>/small/" in said[1]


# What a grading process may come to, and whether the next run has to grade it again.
STANDS = {"right": False, "broken": True, "failed": True, "late": True, "pressed": True, "not stored": True}


@pytest.mark.parametrize("name", STANDS)
def test_a_row_says_whether_its_result_stands(name, course, pool, monkeypatch):
    results = {
        "broken": {"broken": "bwrap: no"},
        "failed": {"failed": "Traceback"},
        "late": {"failed": "", "late": True},
        "pressed": {"pressed": True},
    }
    if name == "not stored":

        def fail(self, name, student, submission, graded):
            raise OSError(errno.ENAMETOOLONG, "File name too long")

        monkeypatch.setattr(course_module.Course, "store", fail)

    def graded(todo):
        return ((student, results[name]) for student, _ in todo) if name in results else pool(todo)

    (row,) = grade_class(course, "small", students=["ada"], pool=graded)
    stored = course.graded("small", "ada")
    assert row.again is STANDS[name] and row.again is not bool(stored and stored["digest"])
    if not row.again:
        (row,) = grade_class(course, "small", students=["ada"], pool=graded)
        assert row.seconds is None and not row.again


def test_a_sandbox_that_does_not_work_is_said_and_nothing_is_stored(course):
    def pool(todo):
        return ((student, {"broken": "bwrap: no"}) for student, _ in todo)

    (row,) = grade_class(course, "small", students=["ada"], pool=pool)
    assert (row.error, row.broken) == ("ada was not graded: bwrap: no", "bwrap: no")
    assert not (course.folder / "autograded/ada").exists()


# What reading one submission may raise; none of it may reach another.
ERRORS = [
    RecursionError(),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "no"),
    MemoryError(),
    KeyError("cells"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("place", ["read_submission", "digest"])
def test_one_submission_that_cannot_be_read_costs_no_other(place, error, course, pool, monkeypatch):
    original = getattr(course_module, place)

    def fail(first, *rest):
        if "ben" in str(first) or getattr(first, "bens", False):
            raise error
        return original(first, *rest)

    grade_class(course, "small", students=["ada", "ben"], pool=pool)
    monkeypatch.setattr(course_module, place, fail)
    if place == "digest":
        read = course_module.read_submission

        def marked(folder, name):
            found = read(folder, name)
            found.bens = "ben" in str(folder)
            return found

        monkeypatch.setattr(course_module, "read_submission", marked)
    ada, ben = grade_class(course, "small", students=["ada", "ben"], pool=pool)
    assert (ada.points, [verdict.state for verdict in ben.verdicts]) == (10.0, ["ungradable"] * 2)
    assert type(error).__name__ in ben.log


def test_a_result_that_cannot_be_stored_costs_no_other(course, pool, monkeypatch):
    original = course_module.Course.store

    def fail(self, name, student, submission, graded):
        if student == "ben" and graded.digest:
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return original(self, name, student, submission, graded)

    monkeypatch.setattr(course_module.Course, "store", fail)
    ada, ben = grade_class(course, "small", students=["ada", "ben"], pool=pool)
    assert (ada.points, [verdict.state for verdict in ben.verdicts]) == (10.0, ["ungradable"] * 2)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_tidies_up_and_goes_on(
    number, root, folder, course, pool, interruptible, tmp_path_factory
):
    temporary = tmp_path_factory.mktemp("t")
    process = subprocess.Popen(
        [*GRADE, "--course", str(folder), "--jobs", "1"],
        cwd=root,
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    while not list(folder.glob("autograded/*/small")) and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(number)
    assert "goes on from here" in process.communicate()[1]
    assert process.returncode == 128 + number
    assert list(temporary.glob("casestudies-*")) == []
    grade_class(course, "small", pool=pool)
    assert scores(folder) == POINTS


def test_a_damaged_secret_is_told_where_nothing_is_new(course, pool):
    grade_class(course, "small", students=["ada"], pool=pool)
    said: list[str] = []
    grade_class(course, "small", students=["ada"], pool=pool, say=said.append)
    assert said == []
    (course.folder / "course_secret").write_text("half of it")
    grade_class(course, "small", students=["ada"], pool=pool, say=said.append)
    (sentence,) = said
    assert "does not hold 64 hexadecimal digits; put the saved secret back" in sentence


def test_rubric_is_added_once(course, pool):
    grade_class(course, "small", students=["ada"], pool=pool)
    path = course.step("autograded") / "ada" / "small" / "small.ipynb"
    notebook = nbformat.read(path, as_version=4)
    with_rubrics(notebook, rubrics(course.root / "solutions", "small"))
    assert [cell.source for cell in notebook.cells].count("Because the identity is easy to learn.") == 1


@pytest.mark.parametrize("name", ["my course é #1 'q' @2", "my [course]", "what?", "autumn%202026"])
def test_the_gradebook_lies_in_the_courses_folder_or_a_sentence_says_why_not(name, root, tmp_path):
    folder = tmp_path / name
    (folder / "submitted").mkdir(parents=True)
    try:
        course = Course.open(root, folder)
    except CourseError as error:
        assert name != "my course é #1 'q' @2" and "rename the folder" in str(error)
    else:
        with course.gradebook():
            assert (folder / "gradebook.db").is_file()


def test_an_interrupt_that_a_library_swallows_still_ends_the_run(
    root, folder, pool, monkeypatch, interruptible
):
    store = Course.store

    def swallowing(*arguments):
        store(*arguments)
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)

    monkeypatch.setattr(Course, "store", swallowing)
    assert course_line(root, folder, monkeypatch, "small", "--jobs", "1") == 130
    assert len(list(folder.glob("autograded/*/small"))) == 1


# --------------------------------------------------------------------------- bad input


def course_line(root, folder, monkeypatch, *arguments) -> int:
    monkeypatch.chdir(root)
    return main(["grade", *arguments, "--course", str(folder)])


# (arguments, words of the sentence)
BAD_ARGUMENTS = {
    "an unknown assignment": (["smal"], "Did you mean 'small'"),
    "an unknown student": (["small", "--student", "adda"], "Did you mean 'ada'"),
}


@pytest.mark.parametrize("name", BAD_ARGUMENTS)
def test_one_sentence_about(name, root, folder, monkeypatch, capsys):
    arguments, words = BAD_ARGUMENTS[name]
    assert course_line(root, folder, monkeypatch, *arguments) == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1


def no_submissions(folder):
    shutil.rmtree(folder / "submitted")


def empty_submissions(folder):
    no_submissions(folder)
    (folder / "submitted").mkdir()


def no_gradebook_at_all(folder):
    (folder / "gradebook.db").write_bytes(b"no database, but long enough to be looked at" * 100)


def gradebook_of_another_course(folder):
    (folder / "gradebook.db").unlink(missing_ok=True)
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", course_id="latin") as gradebook:
        gradebook.add_assignment("small")


# (what is wrong with the course folder, words of the sentence)
BAD_FOLDERS = {
    "a gradebook of another course": (
        gradebook_of_another_course,
        "belongs to the course latin, and nbgrader_config.py says c.CourseDirectory.course_id = 'casestudies'",
    ),
    "no submissions": (no_submissions, "there is no folder"),
    "nobody handed in": (empty_submissions, "nobody has handed in 'small'"),
    "a gradebook that is none": (no_gradebook_at_all, "gradebook"),
    "no folder": (shutil.rmtree, "does not exist"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_one_sentence_about_a_course_with(name, root, folder, monkeypatch, capsys):
    damage, words = BAD_FOLDERS[name]
    damage(folder)
    before = contents(folder)
    assert course_line(root, folder, monkeypatch, "small") == 2
    error = capsys.readouterr().err
    assert words in error and len(error.strip().splitlines()) == 1
    assert contents(folder) == before


@pytest.mark.parametrize("wrong", [["small", "--student", "zo"], ["smal"]])
def test_a_name_that_is_wrong_changes_nothing_of_a_new_course(wrong, root, folder, monkeypatch, capsys):
    (folder / "gradebook.db").unlink()
    before = contents(folder)
    assert course_line(root, folder, monkeypatch, *wrong) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert contents(folder) == before


def test_an_assignment_is_entered_under_the_courses_own_id(root, released, tmp_path):
    (tmp_path / "clone").mkdir()
    shutil.copytree(root / "solutions", tmp_path / "clone" / "solutions")
    config = (root / "nbgrader_config.py").read_text() + '\nc.CourseDirectory.course_id = "autumn"\n'
    (tmp_path / "clone" / "nbgrader_config.py").write_text(config)
    (tmp_path / "course").mkdir()
    course = Course.open(tmp_path / "clone", tmp_path / "course")
    assert course.course_id == "autumn"
    course.assignment("small")
    course.assignment("small")  # the gradebook that we made is of the same course
    with course.gradebook() as gradebook:
        assert gradebook.find_assignment("small").course_id == "autumn"
    other = Course.open(root, tmp_path / "course")
    with pytest.raises(CourseError, match="write c.CourseDirectory.course_id = .autumn.; for a new course"):
        other.assignment("small")


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but for the lock of a run."""
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".grading.lock"}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise SystemExit(3)", "cannot be read: SystemExit: 3"),
        ("c.ProtectedExecute.cell_second = 3", "cell_second is no setting .* Did you mean 'cell_seconds'"),
        ("c.HandInTimes.trust = True", "HandInTimes.trust is no setting of the course"),
        ("c.ProtectedExecute.cell_seconds = 'x'", "limit cell_seconds is 'x'; expected a number above 0"),
        ("c.ProtectedExecute.cell_seconds = True", "limit cell_seconds is True; expected a number above 0"),
        ("c.ProtectedExecute.cell_seconds = -1", "limit cell_seconds is -1; expected a number above 0"),
        ("c.HandInTimes.trusted = 'False'", "HandInTimes.trusted is 'False'; expected True or False"),
        ("c.StudentView.hints = 'most'", "hints is 'most'; expected one of symptom, place, mistake, all"),
        (
            "c.CourseDirectory.db_url = 'nonsense'",
            "db_url names no database that can be used: Could not parse",
        ),
        ("c.CourseDirectory.db_url = 'nosuch://a/b'", "db_url names no database that can be used: "),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_before_anything_is_done(line, says, root, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(root, clone)
    with (clone / "nbgrader_config.py").open("a") as config:
        config.write(f"\n{line}\n")
    with pytest.raises(CourseError, match=rf"nbgrader_config.py.*{says}"):
        Course.open(clone, clone)
    assert not (clone / "gradebook.db").exists()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"# Title\n\xff", "an assignment cannot be built: small.md is not UTF-8 .byte 9.; save it as UTF-8"),
        (None, "an assignment cannot be built: small.md, cell .* kind of .* is 'test'; expected one of"),
    ],
)
def test_a_source_that_cannot_be_built_is_named_and_not_the_configuration(data, says, root, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(root, clone)
    source = clone / "solutions" / "small.md"
    source.write_bytes(data or source.read_bytes().replace(b"kind: tests", b"kind: test"))
    with pytest.raises(CourseError, match=says):
        Course.open(clone, clone)


def test_the_settings_of_the_course_are_those_that_nbgraders_classes_know():
    from casestudies.grading.course import SETTINGS
    from casestudies.grading.plugins import ProtectedExecute, StudentView
    from casestudies.grading.sandbox import Limits

    for made in (ProtectedExecute, StudentView):
        assert set(made.class_own_traits(config=True)) <= SETTINGS[made.__name__]
        ours = SETTINGS[made.__name__] - set(Limits.__dataclass_fields__)
        assert ours - {"display_data_priority"} <= set(made.class_traits(config=True))


def test_a_configuration_that_does_not_parse_is_named(root, folder, tmp_path):
    clone = tmp_path / "clone"
    shutil.copytree(root, clone)
    (clone / "nbgrader_config.py").write_text("c = get_config(\n")
    with pytest.raises(CourseError, match=r"nbgrader_config.py cannot be read: SyntaxError"):
        Course.open(clone, folder)


def test_limits_come_from_the_configuration(configured, folder):
    assert Course.open(configured("c.ProtectedExecute.cell_seconds = 7.0"), folder).limits.cell_seconds == 7.0


# --------------------------------------------------------------------------- nbgrader's own commands


@pytest.fixture(scope="module")
def by_nbgrader(root, empty_course, released, tmp_path_factory) -> Path:
    """The class, graded by nbgrader's own commands in the clone."""
    folder = tmp_path_factory.mktemp("nbgrader") / "course"
    shutil.copytree(empty_course, folder)
    for student, (answers, file) in CLASS.items():
        hand_in(folder, student, released, answers, file)
    export = ["export", "--to", str(folder / "grades.csv")]
    for arguments in (["autograde", "small"], ["generate_feedback", "small", "--student", "ben"], export):
        done = run(root, folder, "nbgrader", *arguments)
        assert done.returncode == 0, done.stderr
        assert "not recognized" not in done.stderr  # an option that one of our plugins lacks
    return folder


def test_nbgrader_writes_feedback_without_hidden_tests(by_nbgrader):
    page = (by_nbgrader / "feedback/ben/small/small.html").read_text()
    assert "tests that are not shown: 1 of 4 points" in page and "HIDDEN" not in page


def test_nbgrader_exports_the_grades(by_nbgrader):
    exported = {row["student_id"]: float(row["raw_score"]) for row in read_csv(by_nbgrader / "grades.csv")}
    assert exported == POINTS


def test_generate_assignment_builds_the_source_first(root, tmp_path):
    clone = tmp_path / "clone"
    (clone / "solutions").mkdir(parents=True)
    shutil.copy(root / "nbgrader_config.py", clone)
    shutil.copy(root / "solutions/small.md", clone / "solutions")
    environment = {key: value for key, value in os.environ.items() if key != "CASESTUDIES_COURSE"}
    done = subprocess.run(
        ["nbgrader", "generate_assignment", "small"], cwd=clone, env=environment, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    built = nbformat.read(clone / "exercises/small/small.ipynb", as_version=4)
    assert built == nbformat.read(root / "exercises/small/small.ipynb", as_version=4)


def test_the_process_that_hands_out_the_work_loads_no_torch(root, tmp_path):
    """The workers and the sandboxes need it; who waits for them would only start two seconds later."""
    code = (
        "import sys; from pathlib import Path; from casestudies.grading.course import Course; "
        f"Course.open(Path({str(root)!r}), Path({str(tmp_path)!r})); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_an_emptied_gradebook_of_a_graded_class_is_refused_and_left_as_it_is(course):
    graded = course.step("autograded") / "ada" / "small" / "small.ipynb"
    graded.parent.mkdir(parents=True)
    graded.write_text("{}")
    gradebook = course.folder / "gradebook.db"
    gradebook.write_bytes(b"")
    with pytest.raises(
        CourseError, match=r"gradebook\.db is empty, and submissions have been graded.*restore"
    ):
        course.assignment("small")
    assert gradebook.read_bytes() == b""


@pytest.mark.parametrize("jobs", ["0", "-1", "x", "1.5", ""])
def test_a_number_of_processes_that_is_none_is_quoted(jobs, capsys):
    with pytest.raises(SystemExit):
        main(["grade", "small", f"--jobs={jobs}"])
    assert f"argument --jobs: is {jobs!r}; expected a whole number, 1 or more" in capsys.readouterr().err


def test_regrade_without_diff_says_what_shows_and_what_stores(capsys):
    assert main(["regrade", "small"]) == 2
    said = capsys.readouterr().err
    assert (
        "regrade small --diff" in said and "casestudies grade small\n" in said
    )  # no --force: only what changed
    with pytest.raises(SystemExit):
        main(["regrade", "--help"])
    assert "[-h] --diff [" in capsys.readouterr().out


def test_regrade_of_an_unknown_assignment_names_those_that_there_are(course, monkeypatch, capsys):
    monkeypatch.chdir(course.root)
    assert main(["regrade", "smal", "--diff"]) == 2
    said = capsys.readouterr().err
    assert said == "casestudies regrade: there is no assignment 'smal'; known: small. Did you mean 'small'?\n"


def test_a_file_that_cannot_be_written_is_named_in_a_sentence(course, monkeypatch, capsys):
    monkeypatch.chdir(course.root)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/nowhere/results.json")

    monkeypatch.setattr("casestudies.grading.cli._grade", refuse)
    assert main(["grade", "small", "--jobs", "1"]) == 2
    assert capsys.readouterr().err == (
        "casestudies grade: /nowhere/results.json: Permission denied; "
        "see that its folder exists and that you may write there\n"
    )
