"""`casestudies grade --watch`: what is new and settled is graded, once, whatever happens in between."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path

import pytest

from casestudies import cli
from casestudies.entrance import Interrupts
from casestudies.grading import cli as grading_cli
from casestudies.grading import watch as watch_module
from casestudies.grading.course import Row
from casestudies.grading.errors import CourseError
from casestudies.grading.materials import lay_out
from casestudies.grading.reports import Reports
from casestudies.grading.sample_class import build_class
from casestudies.grading.sandbox import SandboxError, bubblewrap
from casestudies.grading.verdicts import Verdict
from casestudies.grading.watch import More, Outcome, Watch, state, watch


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
        folders = self.step("submitted").glob("*")
        found = sorted(folder.name for folder in folders if os.path.lexists(folder / name))
        if not found:
            raise CourseError("nobody has handed in")
        return found

    def strays(self, name: str) -> dict[str, str]:
        return {}  # until a test says otherwise

    def loose(self, name: str) -> dict[str, str]:
        return {}  # so, too

    def hand_in(self, student: str, text: str) -> None:
        path = self.step("submitted") / student / "resnet" / "resnet.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


class Stop(Exception):
    pass


def test_a_submission_is_taken_when_it_rests_and_not_while_it_is_copied(tmp_path):
    course = Folder(tmp_path)
    looking = Watch(course, "resnet", Clock(1.0))
    assert looking.look() == {}  # nobody yet
    course.hand_in("ada", "half")
    assert looking.look() == {}
    course.hand_in("ada", "half and half")
    assert looking.look() == {}
    assert list(looking.look()) == ["ada"]


class Clock:
    """One that goes on where a test says so, or by a step each time that it is read."""

    def __init__(self, step: float = 0.0) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def run(
    course: Folder,
    steps: list,
    failures: list[Exception] = (),
    again: dict[str, list[str]] | None = None,
    pages: list[str] | None = None,
) -> tuple[list[tuple[float, list[str]]], list[str]]:
    """Watches while each of `steps` happens after one look; the first gradings fail with `failures`, those of a
    student for the reasons in `again`, and the first reports for those in `pages`. Says when was graded whom."""
    batches, said, happens, clock = [], [], iter(steps), Clock()
    failures, again, pages = list(failures), again or {}, list(pages or [])

    def grade(students: list[str], more: More) -> Outcome:
        if failures:
            raise failures.pop(0)
        batches.append((clock.now, students))
        failed = {student: again[student].pop(0) for student in students if again.get(student)}
        stored = {student for student in students if student == "old"}  # by an earlier run
        return Outcome([each for each in students if each not in stored | failed.keys()], failed)

    def publish() -> str:
        said.append(f"published at {clock.now:g}")
        return pages.pop(0) if pages else ""

    def sleep(pause: float) -> None:
        clock.now += pause
        step = next(happens, Stop)
        if step is Stop:
            raise Stop
        if callable(step):
            step()
        elif step:
            course.hand_in(*step)

    with pytest.raises(Stop):
        watch(course, "resnet", grade, said.append, publish, sleep=sleep, clock=clock)
    return batches, said


def students_of(batches: list[tuple[float, list[str]]]) -> list[list[str]]:
    return [students for _, students in batches]


def told(said: list[str]) -> list[str]:
    return [text for text in said[1:] if not text.startswith("published")]


def test_each_state_of_a_submission_is_graded_once(tmp_path):
    first, second, again = ("ada", "1"), ("lee", "1"), ("ada", "second try")
    batches, _ = run(Folder(tmp_path), [first, None, None, second, None, again, None, None, None])
    assert students_of(batches) == [["ada"], ["lee"], ["ada"]]


def test_who_hands_in_while_a_batch_lasts_is_graded_along_and_once(tmp_path):
    course, clock = Folder(tmp_path), Clock()
    course.hand_in("sleeper", "1")
    batches, said, came = [], [], []

    def grade(students: list[str], more: More) -> Outcome:
        batches.append(students)
        if len(batches) == 2:
            return Outcome(students)
        left, graded = {"sleeper"}, set()
        for second in range(90):
            clock.now += 1
            if second == 3:
                course.hand_in("ada", "1")
            if second == 20:
                course.hand_in("ada", "second try")
                course.strays = lambda name: {"lee": "it lies there."}
            if second == 40:
                course.hand_in("sleeper", "it is at work, and waits for its turn")
            for _ in range(3):  # it may ask more often: what is handed in has to rest between two looks
                came.extend((second, student) for student in more(left, graded))
            graded |= {"ada"} if second in (5, 30) else set()
            graded -= {"ada"} if second == 21 else set()
        return Outcome([*students, *dict.fromkeys(student for _, student in came)])

    def sleep(pause: float) -> None:
        clock.now += pause
        if len(batches) == 2:
            raise Stop

    def publish() -> str:
        said.append("published")
        return ""

    with pytest.raises(Stop):
        watch(course, "resnet", grade, said.append, publish, sleep=sleep, clock=clock)
    assert came == [(4, "ada"), (21, "ada")]
    assert batches == [["sleeper"], ["sleeper"]]  # the second is of what it handed in while it was at work
    assert [text for text in said[1:] if text != "published"] == [
        "still at sleeper; 1 done meanwhile",
        "graded ada; 2 handed in",  # while the sleeper is at work
        "'lee' was not graded: it lies there.",
        "graded ada; 2 handed in",  # its second try
        "still at sleeper; 1 done meanwhile",
        "graded sleeper; 2 handed in",
        "graded sleeper; 2 handed in",
    ]
    for number, text in enumerate(said):  # who is said to be graded is in the reports already
        assert not text.startswith("graded") or said[number - 1] == "published"


def test_other_work_is_said_to_be_graded_though_the_batch_before_it_ended_early(tmp_path):
    course, clock, said, batches = Folder(tmp_path), Clock(), [], []
    course.hand_in("ada", "1")
    course.hand_in("lee", "1")

    def grade(students: list[str], more: More) -> Outcome:
        batches.append(students)
        if len(batches) == 1:
            clock.now += 20
            more({"lee"}, {"ada"})
            course.hand_in("ada", "second try")
        if len(batches) < 3:
            raise CourseError("another run is grading")
        return Outcome(students)

    def sleep(pause: float) -> None:
        clock.now += pause
        if len(batches) == 3:
            raise Stop

    with pytest.raises(Stop):
        watch(course, "resnet", grade, said.append, sleep=sleep, clock=clock)
    assert [text for text in said if text.startswith("graded")] == [
        "graded ada; 2 handed in",
        "graded ada, lee; 2 handed in",  # ada's second try
    ]


def test_whose_result_was_stored_before_is_not_said_to_be_graded(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("old", "1")
    _, said = run(course, [None, ("ada", "1"), None, None])
    assert told(said) == ["1 unchanged; 1 handed in", "graded ada; 2 handed in"]
    course.hand_in("lee", "1")
    _, said = run(course, [None, None])
    assert told(said) == ["graded ada, lee; 1 unchanged; 3 handed in"]


def test_what_another_run_holds_up_is_said_once_and_tried_again(tmp_path):
    busy = [CourseError("another run is grading"), CourseError("another run is grading")]
    batches, said = run(Folder(tmp_path), [("ada", "1"), *[None] * 8], busy)
    assert students_of(batches) == [["ada"]]
    assert [text for text in said if "another run" in text] == ["another run is grading; trying again"]


# --------------------------------------------------------------------------- what a look costs


@pytest.mark.parametrize("kind", ["link to a folder", "link to a file", "link to nothing", "file"])
def test_what_is_no_folder_is_a_state_of_its_own_and_is_not_followed(kind, tmp_path):
    course, behind = Folder(tmp_path), tmp_path / "behind"
    behind.mkdir()
    (behind / "resnet.ipynb").write_text("1")
    place = course.step("submitted") / "root" / "resnet"
    place.parent.mkdir(parents=True)
    if kind == "file":
        place.write_text("no folder")
    else:
        target = {"link to a folder": behind, "link to a file": behind / "resnet.ipynb"}
        place.symlink_to(target.get(kind, tmp_path / "nothing"))
    looking = Watch(course, "resnet", Clock(1.0))
    looking.look()
    (behind / "resnet.ipynb").write_text("other work, which is not handed in")
    (behind / "more").write_text("")
    found = looking.look()  # settled: what is behind it is none of its
    assert list(found) == ["root"] and found["root"].entries == 1
    place.unlink()
    place.mkdir()
    assert state(place, "resnet") != found["root"]


def test_a_link_to_a_folder_does_not_hold_up_the_class(tmp_path):
    course, deep = Folder(tmp_path), tmp_path / "deep"
    for number in range(30):
        (deep / str(number)).mkdir(parents=True)
    (deep / "0" / "round").symlink_to(deep)
    link = course.step("submitted") / "root" / "resnet"
    link.parent.mkdir(parents=True)
    link.symlink_to(deep)
    changes = [lambda: (deep / "0" / "changing").write_text("a" * int(time.monotonic_ns() % 1000))] * 3
    batches, _ = run(course, [("ada", "1"), *changes])
    assert students_of(batches) == [["root"], ["ada"]]


def test_other_content_of_the_same_size_and_time_is_another_state(tmp_path):
    file = tmp_path / "resnet.ipynb"
    file.write_text("one")
    before, info = state(tmp_path, "resnet"), file.stat()
    time.sleep(0.05)  # a file system counts in its own steps
    file.write_text("two")
    os.utime(file, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert file.stat().st_mtime_ns == info.st_mtime_ns and file.stat().st_ino == info.st_ino
    assert state(tmp_path, "resnet") != before


def test_a_look_is_bounded_in_entries_and_in_depth_and_the_notebook_is_always_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(watch_module, "ENTRIES_COUNT", 20)
    monkeypatch.setattr(watch_module, "FOLDERS_DEPTH", 3)
    wide = tmp_path / "wide"
    for number in range(8):
        (wide / str(number)).mkdir(parents=True)
        for each in range(8):
            (wide / str(number) / str(each)).write_text("")
    assert state(wide, "resnet").entries == 21  # with the folder itself
    (wide / "resnet.ipynb").write_text("1")
    monkeypatch.setattr(watch_module, "ENTRIES_COUNT", 0)
    before = state(wide, "resnet")
    assert before.entries == 2
    (wide / "resnet.ipynb").write_text("another")
    assert state(wide, "resnet") != before

    monkeypatch.setattr(watch_module, "ENTRIES_COUNT", 20)
    deep = tmp_path / "deep"
    (deep / "/".join("abcdefgh")).mkdir(parents=True)
    assert state(deep, "resnet").entries == 1 + 4  # itself, and a to d
    (deep / ".git" / "objects").mkdir(parents=True)
    before = state(deep, "resnet")
    (deep / ".git" / "objects" / "pack").write_text("no work")
    assert state(deep, "resnet") == before


def test_a_heavy_submission_is_looked_at_less_often_and_still_graded(tmp_path, monkeypatch):
    course, clock = Folder(tmp_path), Clock()
    for who, files in (("heavy", 60), ("ada", 1)):
        course.hand_in(who, "1")
        for number in range(files):
            (course.step("submitted") / who / "resnet" / f"{number}.txt").write_text("")
    monkeypatch.setattr(watch_module, "SECONDS_AN_ENTRY", 0.1)
    looked: list[str] = []

    def counted(folder: Path, name: str):
        looked.append(folder.parent.name)
        return state(folder, name)

    monkeypatch.setattr(watch_module, "state", counted)
    looking, settled = Watch(course, "resnet", clock), []
    for second in range(20):
        clock.now = float(second)
        settled += [(who, second) for who in looking.look()]
        looking.graded |= {who: looking.before[who] for who, _ in settled}
    assert settled == [("ada", 1), ("heavy", 7)]  # 62 entries, so that each look comes 6.2 s after the last
    assert (looked.count("heavy"), looked.count("ada")) == (3, 20)


# --------------------------------------------------------------------------- what failed


def test_who_was_not_graded_is_not_said_to_be_and_is_tried_again_less_and_less_often(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("ada", "1")
    course.hand_in("ben", "1")
    batches, said = run(course, [None] * 40, again={"ada": ["no sandbox"] * 2 + ["no room."]})
    assert batches == [(1.0, ["ada", "ben"]), (6.0, ["ada"]), (16.0, ["ada"]), (36.0, ["ada"])]
    assert told(said) == [
        "not graded yet: ada: no sandbox; trying again, less and less often",
        "graded ben; 2 handed in",
        "not graded yet: ada: no room; trying again, less and less often",
        "graded ada; 2 handed in",
    ]


def test_the_longest_pause_is_bounded_and_a_new_state_is_taken_at_once(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("ada", "1")
    steps = [None] * 2500 + [("ada", "second try")] + [None] * 3
    batches, _ = run(course, steps, again={"ada": ["no sandbox"] * 11})
    times = [when for when, _ in batches]
    pauses = [after - before for before, after in zip(times, times[1:], strict=False)]
    assert max(pauses) == watch_module.ONCE_MORE[1] and pauses[:-1] == sorted(pauses[:-1])
    assert times[-1] == 2502.0  # handed in after the look at 2500 s, and settled at the second one


def test_a_try_that_takes_long_is_rare_and_new_work_does_not_wait_for_it(tmp_path):
    course, clock = Folder(tmp_path), Clock()
    course.hand_in("late", "1")
    batches: list[tuple[float, list[str]]] = []

    def grade(students: list[str], more: object) -> Outcome:
        batches.append((clock.now, students))
        if students != ["late"]:
            return Outcome(students)
        clock.now += 100
        return Outcome([], {"late": "it took longer than any submission may"})

    def sleep(pause: float) -> None:
        clock.now += pause
        if len(batches) == 2 and not (course.step("submitted") / "ada").exists():
            course.hand_in("ada", "1")
        if len(batches) == 4:
            raise Stop

    with pytest.raises(Stop):
        watch(course, "resnet", grade, lambda text: None, sleep=sleep, clock=clock)
    assert [students for _, students in batches] == [["late"], ["late"], ["ada"], ["late"]]
    ended = batches[1][0] + 100
    assert batches[2][0] - ended < 5 and batches[3][0] - ended >= 900


def test_new_work_is_graded_before_what_is_tried_again(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("ada", "1")
    steps = [None] * 4 + [("ben", "1")] + [None] * 3
    batches, _ = run(course, steps, again={"ada": ["no sandbox"]})
    assert batches == [(1.0, ["ada"]), (6.0, ["ben"]), (6.0, ["ada"])]


def test_many_who_fail_for_one_reason_are_one_sentence(tmp_path):
    course = Folder(tmp_path)
    everybody = [f"s{number}" for number in range(9)]
    for each in everybody:
        course.hand_in(each, "1")
    _, said = run(course, [None, None], again={each: ["no sandbox"] for each in everybody})
    (line,) = told(said)
    assert line.startswith("not graded yet: s0, s1, s2, s3, s4 and 4 more: no sandbox;")


def test_pages_that_could_not_be_written_are_tried_again_and_that_is_said(tmp_path):
    course = Folder(tmp_path)
    course.hand_in("ada", "1")
    _, said = run(course, [None] * 20, pages=["no page of feedback for ada: the disk is full"] * 2)
    assert said[1:] == [
        "published at 1",
        "no page of feedback for ada: the disk is full; trying again, less and less often",
        "graded ada; 1 handed in",
        "published at 6",
        "published at 16",
        "reports and pages, which could not be written before, are there now",
    ]


def test_a_stray_is_named_once_until_it_comes_again(tmp_path):
    course, found = Folder(tmp_path), {}
    course.strays = lambda name: dict(found)
    there, gone = (lambda: found.update({"a\nb": "Rename it."})), found.clear
    _, said = run(course, [there, None, None, gone, None, there, None, None, gone, there, gone, None])
    assert told(said) == ["'a b' was not graded: Rename it."] * 2


def test_a_file_that_is_nobodys_is_named_once(tmp_path):
    course = Folder(tmp_path)
    course.loose = lambda name: {"README.md": "it lies there."}
    _, said = run(course, [None] * 4)
    assert told(said) == ["'README.md' was not graded: it lies there."]


# --------------------------------------------------------------------------- the command's batches


@pytest.fixture
def batches(tmp_path, monkeypatch):
    """Those of a command whose run does what a test says."""
    monkeypatch.setattr("casestudies.grading.course.Nursery", lambda folders: nullcontext())
    args = argparse.Namespace(assignment="resnet", course=None, feedback=True, student=[], quiet=False)
    return grading_cli._Batches(args, Interrupts(), Folder(tmp_path))


def nobody(left: set[str], graded: set[str]) -> list[str]:
    """Who has handed in meanwhile."""
    return []


def test_only_what_is_stored_and_stands_counts_as_graded(batches, monkeypatch):
    rows = [
        Row("right", seconds=1.0),
        Row("old"),
        Row("broken", seconds=0.0, error="broken was not graded: no", broken="no", again=True),
        Row("lost", seconds=0.0, error="lost: the result could not be stored", again=True),
        Row("failed", [Verdict("a", 4.0, "ungradable", None, "the grader failed")], seconds=0.0, again=True),
    ]

    def graded(args, interrupts, nursery, stored, more):
        for row in rows:
            if row.seconds is not None:
                stored(row)
        more(set())
        return batches.course, rows

    def asked(left: set[str], graded: set[str]) -> list[str]:
        standing.append(set(graded))
        return []

    standing: list[set[str]] = []
    monkeypatch.setattr(grading_cli, "_graded", graded)
    found = batches.grade([*(row.student for row in rows), "gone"], asked)
    assert standing == [{"right"}]  # and so while it lasts
    assert found.graded == ["right"]
    assert found.again == {
        "broken": "no",
        "lost": "lost: the result could not be stored",
        "failed": "the grader failed",
        "gone": "its result did not come back",
    }


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SandboxError("no"), CourseError("no"), ValueError("no")]
)
def test_a_run_that_ends_early_does_not_end_the_watch_and_loses_no_name(error, batches, monkeypatch):
    ends = [error]

    def graded(args, interrupts, nursery, stored, more):
        if ends:
            stored(Row("ada", seconds=1.0))
            raise ends.pop()
        stored(Row("ben", seconds=1.0))
        return batches.course, [Row("ada"), Row("ben", seconds=1.0)]

    monkeypatch.setattr(grading_cli, "_graded", graded)
    with pytest.raises(CourseError):
        batches.grade(["ada", "ben"], nobody)
    assert batches.grade(["ada", "ben"], nobody) == Outcome(["ada", "ben"])


@pytest.mark.parametrize("place", ["write_reports", "write_feedback"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), CourseError("no room")])
def test_reports_and_pages_that_cannot_be_written_are_a_sentence(place, error, batches, monkeypatch):
    def fail(course, name):
        raise error

    monkeypatch.setattr("casestudies.grading.reports.write_reports", lambda course, name: Reports([], [], []))
    monkeypatch.setattr("casestudies.grading.reports.write_feedback", lambda course, name: [])
    assert batches.publish() == ""
    monkeypatch.setattr(f"casestudies.grading.reports.{place}", fail)
    said = batches.publish()
    assert ("No space left" if isinstance(error, OSError) else "no room") in said


def test_an_unknown_assignment_ends_it_at_once(tmp_path):
    with pytest.raises(CourseError, match="there is no assignment 'resnt'"):
        watch(Folder(tmp_path), "resnt", Outcome, print)


@pytest.mark.parametrize("option", [["--force"], ["--student", "ada"], ["--scheduler", "tcp://127.0.0.1:1"]])
def test_options_that_do_not_go_with_it_are_refused(capsys, option):
    assert cli.main(["grade", "resnet", "--watch", *option]) == 2
    assert "leave out --student, --force and --scheduler" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap is missing")
def test_a_real_watch_grades_what_comes_in_and_after_a_kill_what_came_meanwhile(tmp_path, interruptible):
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


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_watch_that_is_ended_leaves_nothing(number, status, tmp_path, interruptible):
    course, temporary = tmp_path / "course", tmp_path / "t"
    lay_out(course)
    temporary.mkdir()
    environment = {k: v for k, v in os.environ.items() if k != "CASESTUDIES_COURSE"}
    running = subprocess.Popen(
        [sys.executable, "-m", "casestudies", "grade", "resnet", "--watch"],
        cwd=course,
        env=environment | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert running.stdout is not None and "watching" in (said := running.stdout.readline()), said
        running.send_signal(number)
        assert "Stopped watching" in running.communicate(timeout=60)[0]
    finally:
        running.kill()
    assert running.returncode == status and not list(temporary.glob("casestudies-*"))


def test_an_interrupt_that_a_library_swallowed_ends_the_watch_at_its_next_pause():
    with Interrupts() as interrupts:
        interrupts.sleep(0)
        with suppress(KeyboardInterrupt):  # as a finalizer does, in which an exception is ignored
            interrupts.remember(signal.SIGINT, None)
        with pytest.raises(KeyboardInterrupt):
            interrupts.sleep(0)
