"""The gradebook's hand-in times and penalties: after each run what a fresh course would have from the same files.

Whatever was said before, by a timestamp.txt, by who collected or by the instructor, and is said no more, costs no
points and saves none. Nothing is executed here: a result is full marks for whoever handed in a notebook.
"""

from __future__ import annotations

import itertools
import json
import logging
import os
import random
import shutil
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from nbgrader.api import Student, SubmittedAssignment
from nbgrader.converters import Autograde
from nbgrader.converters.base import NbGraderException
from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from casestudies.grading import configuration, plugins
from casestudies.grading.arrivals import HEADER, NAME, Arrivals, files_of
from casestudies.grading.cells import Assignment
from casestudies.grading.configuration import ignore_autoflush_warnings, shared_engine
from casestudies.grading.course import Course, grade_class
from casestudies.grading.intake import rebuild
from casestudies.grading.lateness import settle_before_autograding
from casestudies.grading.notebooks import generate_assignment, notebook_text
from casestudies.grading.records import read_submission
from casestudies.grading.submission import Submission, digest
from casestudies.grading.verdicts import Graded, Verdict
from casestudies.grading.watch import Outcome, watch

from .conftest import EXAMPLES

DUE = datetime(2026, 11, 19, 12)
TIMES = {"on time": DUE - timedelta(days=2), "late": DUE + timedelta(days=3)}
TIMESTAMPS = {
    "absent": None,
    "on time": f"{TIMES['on time']} UTC",
    "late": f"{TIMES['late']} UTC",
    "unreadable": "yesterday",
    "ambiguous": "05/12/2026",
}
COLLECTED = ("on time", "late")
DECIDED = ("on time", "late", "taken back")
FILES = ("first", "second", "nothing", "gone")
# What can happen between two runs: to the file, to the table, and to what was handed in.
EVENTS = [
    *(("timestamp.txt", each) for each in TIMESTAMPS),
    *(("collected", each) for each in COLLECTED),
    *(("decided", each) for each in DECIDED),
    *(("files", each) for each in FILES),
]
Event = tuple[str, str]


# --------------------------------------------------------------------------- a course that executes nothing


@cache
def _cells(assignment: str) -> str:
    found = Assignment.from_dict(json.loads(assignment))
    return notebook_text(rebuild([], found)[0])


def full_marks(submission: Submission, assignment: Assignment) -> Graded:
    """A result, as if all had been executed and was right; 0 where nothing was handed in."""
    notebook = json.loads(_cells(json.dumps(assignment.to_dict())))
    state = "passed" if submission.notebook else "missing"
    verdicts = [
        Verdict(cell.id, cell.points, state, cell.points if submission.notebook else 0.0)
        for cell in assignment.cells
        if cell.autograded
    ]
    graded = Graded("", verdicts, [], "sandbox", digest(submission, assignment))
    stored = {key: value for key, value in graded.to_dict().items() if key not in ("notebook", "seconds")}
    notebook["metadata"]["casestudies"] = stored
    graded.notebook = json.dumps(notebook)
    return graded


def pool(todo):
    for student, data in todo:
        job = json.loads(data)
        submission, assignment = (
            Submission.from_dict(job["submission"]),
            Assignment.from_dict(job["assignment"]),
        )
        yield student, {"graded": full_marks(submission, assignment).to_dict()}


class FullMarks(plugins.ProtectedExecute):
    """The same in nbgrader's own command."""

    def _graded(self, submission, assignment, *_):
        return full_marks(submission, assignment)


@pytest.fixture(scope="module")
def empty(root, tmp_path_factory) -> tuple[Path, Path]:
    """A clone that takes off all points for being late, and a course's folder with a gradebook and a due date."""
    ignore_autoflush_warnings()
    folder = tmp_path_factory.mktemp("lateness")
    shutil.copytree(root, folder / "clone")
    with open(folder / "clone" / "nbgrader_config.py", "a") as file:
        file.write('\nc.LateSubmissionPlugin.penalty_method = "zero"\n')
    (folder / "empty").mkdir()
    generate_assignment(folder / "clone", "small", folder / "empty" / "release", folder / "empty")
    course = Course.open(folder / "clone", folder / "empty")
    with course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=DUE)
    return folder / "clone", folder / "empty"


def hand_in(place: Path, which: str) -> None:
    """A notebook, none in an empty folder, or no folder any more."""
    if which == "gone":
        shutil.rmtree(place, ignore_errors=True)
        return
    place.mkdir(parents=True, exist_ok=True)
    (place / "small.ipynb").unlink(missing_ok=True)
    if which != "nothing":
        (place / "small.ipynb").write_text(json.dumps({"cells": [], "nbformat": 4, "name": which}))


class Term:
    """A course in which things happen, and its copy that knows of nothing but the files that are there now."""

    def __init__(self, empty: tuple[Path, Path], folder: Path) -> None:
        self.empty, self.folder = empty, folder
        self.course = self._course(folder / "course")
        self.said: list[str] = []

    def _course(self, folder: Path) -> Course:
        clone, empty = self.empty
        shutil.copytree(empty, folder)
        return Course.open(clone, folder)

    def place(self, student: str) -> Path:
        return self.course.folder / "submitted" / student / "small"

    def happens(self, *events: tuple[str, Event]) -> None:
        """What happens between two runs: students and events."""
        last = Arrivals(self.course.folder).last()
        decided: dict[str, str] = {}
        for student, (what, which) in events:
            place = self.place(student)
            if what == "files":
                hand_in(place, which)
            elif what == "timestamp.txt":
                (place / "timestamp.txt").unlink(missing_ok=True)
                if place.is_dir() and (text := TIMESTAMPS[which]) is not None:
                    (place / "timestamp.txt").write_text(text)
            elif what == "decided" and (student, "small") in last:
                decided[student] = str(TIMES.get(which, ""))
        collected = {student: TIMES[which] for student, (what, which) in events if what == "collected"}
        self.decide(decided, collected)

    def decide(self, decided: dict[str, str], collected: dict[str, datetime] | None = None) -> None:
        """Writes into the last lines of students as the instructor does, and adds lines of what was collected."""
        path = self.course.folder / NAME
        lines = [line.split(",") for line in path.read_text().splitlines()] if path.exists() else [HEADER]
        last = {line[0]: line for line in lines}
        for student, time in decided.items():
            last[student][HEADER.index("decided")] = time
        for student, at in (collected or {}).items():
            lines.append([student, "small", "", str(TIMES["on time"]), str(at), ""])
        path.write_text("".join(",".join(line) + "\n" for line in lines))

    def handed_in(self) -> list[str]:
        return sorted(path.parent.name for path in self.course.folder.glob("submitted/*/small"))

    def run(self, how: str = "grade") -> list[str]:
        """One run; returns what was said of times."""
        self.said = []
        if not self.handed_in():
            return self.said
        if how == "autograde":
            autograde(self.course)
        else:
            some = self.handed_in() if how == "student" else ()
            grade_class(
                self.course, "small", students=some, force=how == "force", pool=pool, say=self.said.append
            )
        return self.said

    def recorded(self, course: Course | None = None) -> dict[str, tuple[datetime | None, float, float]]:
        """Of each student the gradebook's time, what is taken off, and the points that it is taken off."""
        with (course or self.course).gradebook() as gradebook:
            return {
                each.student_id: (each.timestamp, each.late_submission_penalty or 0.0, each.score)
                for each in gradebook.assignment_submissions("small")
            }

    def fresh(self) -> dict[str, tuple[datetime | None, float, float]]:
        """The same in a course that has these files, and has never been graded."""
        other = self._course(self.folder / "fresh")
        try:
            for name in ("submitted", NAME):
                if (source := self.course.folder / name).is_dir():
                    shutil.copytree(source, other.folder / name)
                elif source.exists():
                    shutil.copy(source, other.folder / name)
            if self.handed_in():
                grade_class(other, "small", pool=pool)
            return self.recorded(other)
        finally:
            shutil.rmtree(other.folder)

    def agrees(self, scores: bool = True) -> None:
        """Fails where the gradebook is not what the files of now make of it, and penalties not what follows."""
        now, fresh = self.recorded(), self.fresh()
        assert {who: now[who][0] for who in fresh} == {who: time for who, (time, _, _) in fresh.items()}
        if scores:
            assert {who: now[who] for who in fresh} == fresh
        for time, penalty, score in now.values():
            assert penalty == (score if time is not None and time > DUE else 0.0)


def autograde(course: Course, **options: bool) -> None:
    """`nbgrader autograde small`, in this process."""
    config = Config(course.config)
    config.CourseDirectory.assignment_id = "small"
    config.CourseDirectory.db_url = course.db_url
    steps = [
        FullMarks,
        "casestudies.grading.plugins.SaveVerdicts",
        "nbgrader.preprocessors.AssignLatePenalties",
    ]
    config.Autograde.autograde_preprocessors = steps
    for name, value in options.items():
        config.Autograde[name] = value
    with shared_engine(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "_worker", lambda *_: None)  # nothing is executed
        Autograde(coursedir=CourseDirectory(config=config), config=config).start()


@pytest.fixture
def term(empty, tmp_path) -> Term:
    return Term(empty, tmp_path)


def ada(*events: Event) -> list[tuple[str, Event]]:
    return [("ada", event) for event in events]


# --------------------------------------------------------------------------- whatever happens


def test_whatever_two_things_happen_the_times_are_those_of_the_files_of_now(term, monkeypatch):
    """Each pair of events, after each first timestamp.txt; a run after each. Of the run, what settles the times."""
    monkeypatch.setattr(Course, "renew_penalty", lambda self, student, name: "")  # nothing has points here
    walks = {
        f"s{number}": walk
        for number, walk in enumerate(itertools.product(TIMESTAMPS, itertools.product(EVENTS, repeat=2)))
    }
    course, times = term.course, {}

    def settled(course: Course) -> dict[str, datetime | None]:
        there = sorted(path.parent.name for path in course.folder.glob("submitted/*/small"))
        read = {student: read_submission(term.place(student), "small") for student in there}
        Arrivals(course.folder).saw("small", {who: files_of("small", each) for who, each in read.items()})
        with course.gradebook() as gradebook:
            assignment = gradebook.find_assignment("small")
            known = {each.student_id for each in assignment.submissions}
            for student in there:
                if student not in known:
                    enrolled = Student(id=student)
                    gradebook.db.add(SubmittedAssignment(assignment=assignment, student=enrolled))
            gradebook.db.commit()
        course.settle_lateness()
        return {student: time for student, (time, _, _) in term.recorded(course).items()}

    for student, (first, _) in walks.items():
        hand_in(term.place(student), "first")
        term.happens((student, ("timestamp.txt", first)))
    settled(course)
    for step in (0, 1):
        term.happens(*((student, walk[step]) for student, (_, walk) in walks.items()))
        times = settled(course)
    other = term._course(term.folder / "fresh")
    os.symlink(course.folder / "submitted", other.folder / "submitted")
    shutil.copy(course.folder / NAME, other.folder)
    wrong = {
        walks[student]: (times[student], time)
        for student, time in settled(other).items()
        if times[student] != time
    }
    assert not wrong


HOW = ("grade", "student", "force", "autograde")


@pytest.mark.parametrize("seed", range(EXAMPLES // 50 or 1))
def test_whatever_happens_a_run_leaves_the_gradebook_of_a_fresh_course(term, seed):
    """A class to each of whom other things happen, and runs of all kinds; see `EVENTS` and `HOW`."""
    draw = random.Random(seed)
    students = [f"s{number}" for number in range(14)]
    term.happens(*((student, ("files", "first")) for student in students))
    term.happens(*((student, ("timestamp.txt", draw.choice(list(TIMESTAMPS)))) for student in students))
    for how in ("grade", draw.choice(HOW), "autograde", draw.choice(HOW[:3])):
        term.run(how)
        if how in ("autograde", "force"):
            term.agrees(scores=how != "autograde")  # it grades nothing anew that it has graded before
        for _ in range(2):
            term.happens(*((student, draw.choice(EVENTS)) for student in students))
    term.run()
    term.agrees()


# --------------------------------------------------------------------------- what is said, and what stays


GRADED = {
    "it is removed": (("timestamp.txt", "absent"), None),
    "it cannot be read": (("timestamp.txt", "unreadable"), None),
    "it is ambiguous": (("timestamp.txt", "ambiguous"), None),
    "it is corrected": (("timestamp.txt", "on time"), TIMES["on time"]),
    "the instructor decides": (("decided", "on time"), TIMES["on time"]),
}


@pytest.mark.parametrize("how", ["grade", "student", "autograde"])
@pytest.mark.parametrize("name", GRADED)
def test_what_made_it_late_is_taken_back_and_so_is_the_penalty_in_one_sentence(name, how, term, caplog):
    event, time = GRADED[name]
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")))
    assert term.run() == []
    assert term.recorded()["ada"] == (TIMES["late"], 10.0, 10.0)
    term.happens(*ada(event))
    with caplog.at_level(logging.WARNING):
        said = term.run(how)
    now = f"handed in small at {time} UTC" if time else "has no hand-in time for small any more"
    was = f"(was: {TIMES['late']}{'' if time else ' UTC'})"
    if how == "autograde":
        said = [each for each in caplog.messages if each.startswith("ada ")]
    assert said == [f"ada {now} {was}"]
    assert term.recorded()["ada"] == (time, 0.0, 10.0)
    assert term.run() == []


def test_what_was_decided_and_is_taken_back_counts_no_more(term):
    term.happens(*ada(("files", "first")))
    term.run()
    for which, penalty in [("late", 10.0), ("taken back", 0.0), ("on time", 0.0), ("late", 10.0)]:
        term.happens(*ada(("decided", which)))
        term.run()
        assert term.recorded()["ada"] == (TIMES.get(which), penalty, 10.0)


@pytest.mark.parametrize("how", ["grade", "autograde"])
def test_what_was_decided_for_other_files_is_kept_and_counts_for_those_alone(how, term):
    term.happens(*ada(("files", "first")))
    term.run()
    term.happens(*ada(("decided", "late")))
    term.run(how)
    for which, time in [("second", None), ("first", TIMES["late"])]:
        term.happens(*ada(("files", which)))
        term.run(how)
        assert term.recorded()["ada"][:2] == (time, 10.0 if time else 0.0)
        assert str(TIMES["late"]) in (term.course.folder / NAME).read_text()


def test_a_submission_that_is_gone_keeps_its_time_beside_its_score(term):
    """Somebody has moved it, or the disk is not there: that says nothing of when it was handed in."""
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")), ("bob", ("files", "first")))
    term.run()
    before = term.recorded()
    shutil.move(term.place("ada"), term.folder / "elsewhere")
    assert term.run() == [] and term.course.settle_lateness() == []
    assert term.recorded() == before
    shutil.move(term.folder / "elsewhere", term.place("ada"))
    (term.place("ada") / "timestamp.txt").unlink()
    term.run()
    assert term.recorded()["ada"] == (None, 0.0, 10.0)


def test_an_old_time_goes_where_nothing_is_due_as_well(term):
    with term.course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=None)
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")))
    term.run()
    term.happens(*ada(("timestamp.txt", "absent")))
    assert len(term.run()) == 1
    assert term.recorded()["ada"] == (None, 0.0, 10.0)


def test_a_due_date_that_is_taken_away_takes_its_penalties_with_it(term):
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")))
    term.run()
    assert term.recorded()["ada"][1] > 0
    with term.course.gradebook() as gradebook:
        gradebook.update_or_create_assignment("small", duedate=None)
    term.run()
    assert term.recorded()["ada"][1:] == (0.0, 10.0)


def test_a_watch_takes_a_time_back_when_its_file_goes(term):
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")))
    said: list[str] = []
    times, moments = [], itertools.count()

    def grade(students, more):
        grade_class(term.course, "small", students=students, pool=pool, say=said.append)
        times.append(term.recorded()["ada"][0])
        return Outcome(students)

    def sleep(seconds):
        if len(times) == 1 and (term.place("ada") / "timestamp.txt").exists():
            term.happens(*ada(("timestamp.txt", "absent")))
        if len(times) == 2 or next(moments) > 10:
            raise KeyboardInterrupt

    seconds = itertools.count()
    with pytest.raises(KeyboardInterrupt):
        watch(term.course, "small", grade, lambda text: None, sleep=sleep, clock=lambda: float(next(seconds)))
    assert times == [TIMES["late"], None]
    assert said == [f"ada has no hand-in time for small any more (was: {TIMES['late']} UTC)"]
    term.agrees()


def test_a_run_that_ends_too_early_leaves_nothing_old_to_the_next(term):
    """The times are in the gradebook when it ends, and the penalties are not yet."""
    term.happens(*ada(("files", "first"), ("timestamp.txt", "late")))
    term.run()
    term.happens(*ada(("timestamp.txt", "absent")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Course, "renew_penalty", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            term.run()
    term.run()
    term.agrees()


# --------------------------------------------------------------------------- nbgrader's own command


def test_a_decision_counts_for_nbgrader_whatever_lies_in_place_of_the_file(term):
    term.happens(*ada(("files", "first")))
    os.symlink("/etc/hostname", term.place("ada") / "timestamp.txt")
    term.run("autograde")
    assert term.recorded()["ada"] == (None, 0.0, 10.0)
    term.happens(*ada(("decided", "late")))
    autograde(term.course, force=True)
    assert term.recorded()["ada"] == (TIMES["late"], 10.0, 10.0)


def test_files_that_came_while_nbgrader_was_at_work_have_their_own_time(term, monkeypatch):
    term.happens(*ada(("files", "first")))
    term.run()
    term.happens(*ada(("decided", "late")))

    def settle(*arguments):
        settle_before_autograding(*arguments)
        term.happens(*ada(("files", "second")))

    monkeypatch.setattr(configuration, "settle_before_autograding", settle)
    autograde(term.course, force=True)
    assert term.recorded()["ada"] == (None, 0.0, 10.0)


def test_a_table_that_cannot_be_read_costs_no_result_of_nbgraders(term):
    term.happens(*ada(("files", "first")))
    term.run("autograde")
    term.decide({"ada": "soon"})
    before = term.recorded()
    with pytest.raises(NbGraderException, match="line 2, column decided: 'soon'"):
        autograde(term.course)
    assert term.course.graded("small", "ada") is not None and term.recorded() == before
