"""Grading processes and their sandboxes: made by a kept one, hidden from each other, replaced when they break."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from casestudies.grading import pools
from casestudies.grading.course import Nursery, grade_class
from casestudies.grading.executor import Pressed, grade_submission
from casestudies.grading.pools import local_pool
from casestudies.grading.sandbox import ELSEWHERE, Sandbox, SandboxError, Student
from casestudies.sandboxed import messages
from tests.grading.conftest import LIMITS, RIGHT, needs_bubblewrap
from tests.grading.test_course import course, empty_course, folder  # noqa: F401
from tests.grading.test_executor import submit


@pytest.fixture
def twin(sandbox: Sandbox):
    """A second sandbox, whose server the first one made."""
    with Sandbox.of_twin(sandbox.twin(), LIMITS, []) as made:
        yield made


@needs_bubblewrap
def test_a_twin_grades_as_the_first_does(released, assignment, sandbox, twin):
    submission = submit(released, RIGHT)
    assert (
        grade_submission(submission, assignment, twin).notebook
        == grade_submission(submission, assignment, sandbox).notebook
    )


def printed(child, source: str) -> str:
    found: list = []
    child.ask(messages.Cell(source), 20, found.append)
    return "".join(getattr(output, "text", "") for output in found)


# What one submission leaves, and how another would look for it.
TRACES = {
    "a file": ("open('trace', 'w').close()", "import os; print(os.path.exists('trace'))"),
    "a process": (  # the first that a submission starts has number 2 in its own namespace
        "import subprocess; p = subprocess.Popen(['sleep', '100']); assert p.pid == 2",
        "import os\ntry:\n    os.kill(2, 0); print(True)\nexcept OSError:\n    print(False)",
    ),
}


@needs_bubblewrap
@pytest.mark.parametrize("name", TRACES)
def test_a_submission_in_a_twin_does_not_see(name, sandbox, twin):
    leave, look = TRACES[name]
    with sandbox.child() as one, twin.child() as other:
        printed(one, leave)
        assert (printed(one, look).strip(), printed(other, look).strip()) == ("True", "False")


@needs_bubblewrap
def test_a_twin_ends_with_the_first_and_then_starts_a_sandbox_of_its_own():
    with Sandbox(LIMITS) as first:
        twin = Sandbox.of_twin(first.twin(), LIMITS, [])
    with closing(twin):
        with pytest.raises(SandboxError):
            twin.child()
        with twin.child() as child:
            assert (printed(child, "print(6 * 7)").strip(), twin.process is ELSEWHERE) == ("42", False)


def test_without_a_box_there_are_no_twins():
    with Sandbox(LIMITS, box=False) as plain:
        assert plain.twin() is None


def test_a_sandbox_with_another_scratch_size_is_not_made_as_a_twin(sandbox):
    from casestudies.grading.worker import twin_of

    assert twin_of(sandbox, replace(LIMITS, scratch_bytes=LIMITS.scratch_bytes * 2)) is None


def test_a_nursery_that_dies_is_replaced(course):  # noqa: F811
    with Nursery([str(course.folder)]) as nursery:
        os.kill(nursery.process.pid, signal.SIGKILL)
        nursery.process.wait()
        (row,) = grade_class(course, "small", students=["ada"], jobs=1, nursery=nursery)
    assert (row.points, row.error) == (10.0, "")


class Beginning:
    """A sandbox that has begun once somebody has looked so often."""

    def __init__(self, looks: int, boxed: bool = True) -> None:
        self.looks, self.boxed = looks, boxed

    def begun(self) -> bool:
        self.looks -= 1
        return self.looks < 0


# (the sandbox, what a step does, steps that were taken)
LEARNS = {
    "while the sandbox begins": (Beginning(3), None, 3),
    "not once it has": (Beginning(0), None, 0),
    "not without one": (Beginning(3, boxed=False), None, 0),
    "until all is learnt": (Beginning(99), StopIteration, 1),
    "until something goes wrong": (Beginning(99), KeyError, 1),
}


@pytest.mark.parametrize("name", LEARNS)
def test_a_nursery_learns(name, monkeypatch: pytest.MonkeyPatch):
    from casestudies.checking import ahead
    from casestudies.grading.worker import learn

    sandbox, ends, expected = LEARNS[name]
    taken = []

    class Steps:
        def __next__(self) -> None:
            taken.append(name)
            if ends is not None:
                raise ends

    monkeypatch.setattr(ahead, "ahead", lambda assignment, seed: Steps())
    monkeypatch.setattr("gc.freeze", lambda: None)
    learn(sandbox, ("resnet", "ab"))
    assert len(taken) == expected


def test_a_job_tells_what_its_worker_will_be_about():
    job = {"seed": "own/cases", "assignment": {"name": "resnet"}}
    assert pools.about(json.dumps(job).encode()) == ("resnet", "cases")
    assert pools.about(json.dumps(job | {"seed": "own"}).encode()) is None


def test_what_a_nursery_learns_changes_no_report(course):  # noqa: F811
    with Nursery([str(course.folder)]) as nursery:
        nursery.worker(course.limits, ("resnet", "ab"))[0].close()
        (row,) = grade_class(course, "small", students=["ada"], jobs=1, nursery=nursery)
    assert (row.points, row.error) == (10.0, "")


def test_no_process_is_left_of_a_closed_nursery(tmp_path: Path):
    with Nursery([str(tmp_path)]) as nursery:
        connection, worker = nursery.worker(LIMITS)
        connection.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()


def test_no_file_is_left_of_a_closed_nursery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Nursery([]) as nursery:
        nursery.worker(LIMITS)[0].close()
        assert list(tmp_path.rglob("server.py"))
    assert list(tmp_path.iterdir()) == []


def test_grading_does_not_import_nbgrader(released, assignment):
    """It takes a second, in every process that grades; what is needed of it comes with the assignment."""
    job = {"submission": submit(released, RIGHT).to_dict(), "assignment": assignment.to_dict()}
    program = (
        "import sys\n"
        "from casestudies.grading.worker import grade_job\n"
        "result = grade_job(sys.stdin.buffer.read())\n"
        "assert 'nbgrader' not in sys.modules\n"
        "sys.stdout.buffer.write(result)"
    )
    job |= {"limits": asdict(LIMITS), "seed": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(job).encode(), capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    assert {each["state"] for each in json.loads(done.stdout)["graded"]["verdicts"]} == {"passed"}


# --------------------------------------------------------------------------- a machine that runs short


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch):
    """Workers that give the results of a script, and a list of who was graded beside whom."""

    def make(script: dict[str, list[dict]]) -> list[tuple[str, ...]]:
        running: list[str] = []
        seen: list[tuple[str, ...]] = []

        def give(self, student, data):
            self.job, self.begun, self.ends = student, time.monotonic(), time.monotonic() + 60
            self.connection, self.other = socket.socketpair()
            self.other.send(b"x")
            running.append(student)
            seen.append(tuple(running))

        def take(self):
            student, self.job = self.job, None
            running.remove(student)
            self.other.close()
            self.close()
            return script[student].pop(0)

        monkeypatch.setattr(pools.Worker, "give", give)
        monkeypatch.setattr(pools.Worker, "take", take)
        return seen

    return make


FINE, PRESSED, DIED = {"graded": {}}, {"pressed": True}, {"failed": "", "died": True}
# (results of each try, the one that counts)
TRIES = {
    "fine": ([FINE], FINE),
    "pressed once": ([PRESSED, FINE], FINE),
    "pressed twice": ([PRESSED, PRESSED], PRESSED),
    "died once": ([DIED, FINE], FINE),
    "died twice": ([DIED, DIED], DIED),
    "an exception": ([{"failed": "KeyError"}], {"failed": "KeyError"}),
    "late": ([{"failed": "", "late": True}], {"failed": "", "late": True}),
}


@pytest.mark.parametrize("name", TRIES)
def test_a_submission_is_tried_once_more_where_it_may_be_the_machine(name, scripted):
    tries, expected = TRIES[name]
    scripted({"ada": [*tries]})
    assert list(local_pool(2, LIMITS, nullcontext())([("ada", b"{}")])) == [("ada", expected)]


def test_the_second_try_is_alone_and_after_all_others(scripted):
    students = ["ada", "ben", "cleo", "dan"]
    seen = scripted({s: [PRESSED, FINE] if s in ("ada", "cleo") else [FINE] for s in students})
    results = [student for student, _ in local_pool(2, LIMITS, nullcontext())([(s, b"{}") for s in students])]
    assert results == ["ben", "dan", "ada", "cleo"]
    assert seen[-2:] == [("ada",), ("cleo",)]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch):
    """Workers whose submission ends when a test says so, and the order in which they were given theirs."""
    given: list[str] = []
    ends: dict[str, socket.socket] = {}

    def give(self, student, data):
        self.job, self.begun, self.ends = student, time.monotonic(), time.monotonic() + 60
        self.connection, ends[student] = socket.socketpair()
        given.append(student)
        if not student.startswith("sleeper"):
            ends[student].send(b"x")

    def take(self):
        ends.pop(str(self.job)).close()
        self.job = None
        self.close()
        return FINE

    monkeypatch.setattr(pools.Worker, "give", give)
    monkeypatch.setattr(pools.Worker, "take", take)
    monkeypatch.setattr(pools, "LOOKS", 0.01)
    yield given, ends
    for each in ends.values():
        each.close()


def coming(*batches: list[str]) -> Callable[[], list[tuple[str, bytes]]]:
    """Who comes at each look."""
    left = list(batches)
    return lambda: [(student, b"{}") for student in (left.pop(0) if left else [])]


def test_who_comes_meanwhile_does_not_wait_for_a_submission_that_takes_long(slow, monkeypatch):
    monkeypatch.setattr(pools, "HOLDS_UP", 0.05)
    _, ends = slow
    sleepers = [f"sleeper {number}" for number in range(2)]
    more = coming([], [], ["ada"], [], ["ben", "cleo"])
    results = local_pool(2, LIMITS, nullcontext(), more)([(each, b"{}") for each in sleepers])
    assert [next(results)[0] for _ in range(3)] == ["ada", "ben", "cleo"]
    for each in sleepers:
        ends[each].send(b"x")
    assert sorted(student for student, _ in results) == sleepers


def test_no_more_are_at_work_than_were_asked_for_before_they_take_long(slow):
    given, ends = slow
    looks = iter(range(20))

    def more() -> list[tuple[str, bytes]]:
        number = next(looks, 20)
        if number == 10:
            ends["sleeper"].send(b"x")
        return [("ada", b"{}")] if number == 2 else []

    results = local_pool(1, LIMITS, nullcontext(), more)([("sleeper", b"{}")])
    assert next(results)[0] == "sleeper" and given == ["sleeper", "ada"]
    assert [student for student, _ in results] == ["ada"]


def test_a_crowd_that_takes_long_does_not_fill_the_machine(slow, monkeypatch):
    monkeypatch.setattr(pools, "HOLDS_UP", 0.0)
    given, ends = slow
    sleepers = [f"sleeper {number}" for number in range(20)]
    looks, at_work = iter(range(100)), []

    def more() -> list[tuple[str, bytes]]:
        if next(looks) == 50:
            at_work.extend(given)
            for each in list(ends.values()):
                each.send(b"x")
        return []

    results = local_pool(1, LIMITS, nullcontext(), more)([(each, b"{}") for each in sleepers])
    next(results)
    assert len(at_work) == 1 + pools.HELD
    results.close()


@needs_bubblewrap
def test_a_process_that_the_machine_ended_is_nobodys_answer(released, assignment, sandbox, monkeypatch):
    original = Student.ask

    def pressed(self, request, *rest):
        if isinstance(request, messages.Ask):
            self.kill()
            self.end_reason = "pressure"
        return original(self, request, *rest)

    monkeypatch.setattr(Student, "ask", pressed)
    with pytest.raises(Pressed):
        grade_submission(submit(released, RIGHT), assignment, sandbox)


# --------------------------------------------------------------------------- a worker's own limits


def served(job: bytes, prepare: str) -> dict:
    """What a worker answers whose grading is replaced by a program. Its own limits end it, or it never answers."""
    limits = replace(LIMITS, judge_seconds=1.0, judge_bytes=2**30, notebook_seconds=1.0, patience=2.0)
    program = textwrap.dedent(
        f"""
        import socket, sys
        from casestudies.grading import executor, worker
        from casestudies.grading.sandbox import Limits
        def grade(job, sandbox):
            {prepare}
        worker.grade_bytes = grade
        worker._launch = lambda limits, hidden: worker._SANDBOXES.update({{worker._key(limits, hidden): None}})
        worker.serve(socket.socket(fileno=int(sys.argv[1])), Limits(**{asdict(limits)!r}), (), None)
        """
    )
    mine, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(theirs.fileno())], pass_fds=[theirs.fileno()]
        )
    hired = pools.Worker(None, limits, connection=mine, pid=process.pid)
    try:
        hired.give("ada", json.dumps({"limits": asdict(limits)}).encode())
        return hired.take()
    finally:
        hired.close()
        process.kill()
        process.wait()


# (what grading comes to, key of the result, words of its log)
COMES_TO = {
    "an exception": ("raise KeyError('cells')", "failed", "KeyError"),
    "recursion": ("grade(job, sandbox)", "failed", "RecursionError"),
    "half a character": ("return chr(0xd800).encode()", "failed", "UnicodeEncodeError"),
    "too much memory": ("return bytes(2**32)", "failed", "MemoryError"),
    "pressure": ("raise executor.Pressed", "pressed", ""),
    "a loop": ("while True: pass", "died", ""),
    "a loop of C": ("return b'x' if max(iter(int, 1)) else b''", "died", ""),
    "a regular expression": ("import re; re.match('(a*)*b', 'a' * 60)", "died", ""),
    "an exit": ("import os; os._exit(0)", "died", ""),
    "no result": ("return b'8.0'", "died", ""),
}


@pytest.mark.parametrize("name", COMES_TO)
def test_a_worker_answers_when_grading_comes_to(name):
    program, key, words = COMES_TO[name]
    result = served(b"", program)
    assert key in result and words in str(result.get("failed", "")), result


def test_a_worker_that_sleeps_is_ended(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pools, "SLACK", 5.0)
    result = served(b"", "import time; time.sleep(1000)")
    assert result.get("late")
