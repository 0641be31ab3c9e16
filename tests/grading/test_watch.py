"""`casestudies grade --watch`: what is new and settled is graded, once, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from casestudies import cli
from casestudies.grading.cli import Interrupts
from casestudies.grading.errors import CourseError
from casestudies.grading.materials import lay_out
from casestudies.grading.sample_class import build_class
from casestudies.grading.sandbox import bubblewrap
from casestudies.grading.watch import Watch, watch


class Folder:
    """Of a course, what a watch asks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def assignment(self, name: str) -> None:
        if name != "resnet":
            raise CourseError(f"there is no assignment {name!r}")

    def step(self, name: str) -> Path:
        return self.folder / name

    def students(self, name: str) -> list[str]:
        found = sorted(path.parent.name for path in self.step("submitted").glob(f"*/{name}"))
        if not found:
            raise CourseError("nobody has handed in")
        return found

    def strays(self, name: str) -> dict[str, str]:
        return {}

    def hand_in(self, student: str, text: str) -> None:
        path = self.step("submitted") / student / "resnet" / "resnet.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Stop(Exception):
    pass


def test_a_submission_is_taken_when_it_rests_and_not_while_it_is_copied(tmp_path):
    course = Folder(tmp_path)
    looking = Watch(course, "resnet")
    assert looking.look() == {}  # nobody yet
    course.hand_in("ada", "half")
    assert looking.look() == {}
    course.hand_in("ada", "half and half")
    assert looking.look() == {}
    assert list(looking.look()) == ["ada"]


def run(course: Folder, steps: list, failures: list[Exception]) -> tuple[list[list[str]], list[str]]:
    """Watches while each of `steps` happens after one look; the first gradings fail with `failures`."""
    batches, said, happens = [], [], iter(steps)

    def grade(students: list[str]) -> list[str]:
        if failures:
            raise failures.pop(0)
        batches.append(students)
        return [student for student in students if student != "old"]  # its result is stored already

    def sleep(pause: float) -> None:
        step = next(happens, Stop)
        if step is Stop:
            raise Stop
        if step:
            course.hand_in(*step)

    with pytest.raises(Stop):
        watch(course, "resnet", grade, said.append, sleep=sleep)
    return batches, said


def test_each_state_of_a_submission_is_graded_once(tmp_path):
    first, second, again = ("ada", "1"), ("lee", "1"), ("ada", "second try")
    batches, _ = run(Folder(tmp_path), [first, None, None, second, None, again, None, None, None], [])
    assert batches == [["ada"], ["lee"], ["ada"]]


def test_whose_result_was_stored_before_is_not_said_to_be_graded(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("old", "1")
    _, said = run(course, [None, ("ada", "1"), None, None], [])
    assert said[1:] == ["1 unchanged; 1 handed in", "graded ada; 2 handed in"]
    course.hand_in("lee", "1")
    _, said = run(course, [None, None], [])
    assert said[1:] == ["graded ada, lee; 1 unchanged; 3 handed in"]


def test_what_another_run_holds_up_is_said_once_and_tried_again(tmp_path):
    busy = [CourseError("another run is grading"), CourseError("another run is grading")]
    batches, said = run(Folder(tmp_path), [("ada", "1"), None, None, None, None, None], busy)
    assert batches == [["ada"]]
    assert [text for text in said if "another run" in text] == ["another run is grading; trying again"]


def test_an_unknown_assignment_ends_it_at_once(tmp_path):
    with pytest.raises(CourseError, match="there is no assignment 'resnt'"):
        watch(Folder(tmp_path), "resnt", lambda students: students, print)


@pytest.mark.parametrize("option", [["--force"], ["--student", "ada"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_options_that_do_not_go_with_it_are_refused(capsys, option):
    assert cli.main(["grade", "resnet", "--watch", *option]) == 2
    assert "leave out --student, --force and --scheduler" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap is missing")
def test_a_real_watch_grades_what_comes_in_and_after_a_kill_what_came_meanwhile(tmp_path):
    course, samples = tmp_path / "course", tmp_path / "samples"
    lay_out(course)
    build_class(course, samples, "resnet")

    def hand_in(student: str) -> None:
        target = course / "submitted" / student
        target.parent.mkdir(exist_ok=True)
        (samples / "submitted" / student).rename(target)

    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "casestudies", "grade", "resnet", "--watch", "--jobs", "1"]
        environment = {k: v for k, v in os.environ.items() if k != "CASESTUDIES_COURSE"}
        return subprocess.Popen(
            command, cwd=course, env=environment, stdout=log, stderr=log, start_new_session=True
        )

    def wait(text: str) -> None:
        ends = time.monotonic() + 200
        while text not in (said := (tmp_path / "log").read_text()):
            assert running.poll() is None and time.monotonic() < ends, said
            time.sleep(0.2)

    with open(tmp_path / "log", "wb") as log:
        running = start()
        try:
            wait("watching")
            hand_in("untouched")
            wait("graded untouched; 1 handed in")
            os.killpg(running.pid, signal.SIGKILL)
            running.wait()
            hand_in("raises")
            running = start()
            wait("2 handed in")
            running.send_signal(signal.SIGINT)
            assert running.wait(60) == 0
        finally:
            if running.poll() is None:
                os.killpg(running.pid, signal.SIGKILL)
                running.wait()
    assert "Stopped watching" in (tmp_path / "log").read_text()
    report = (course / "reports" / "resnet.csv").read_text()
    assert "raises" in report and "untouched" in report


def test_an_interrupt_that_a_library_swallowed_ends_the_watch_at_its_next_pause():
    with Interrupts() as interrupts:
        interrupts.sleep(0)
        with suppress(KeyboardInterrupt):  # as a finalizer does, in which an exception is ignored
            interrupts.remember(signal.SIGINT, None)
        with pytest.raises(KeyboardInterrupt):
            interrupts.sleep(0)
