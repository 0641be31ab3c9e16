"""Grading processes and their sandboxes: made by a kept one, hidden from each other, replaced when they break."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from casestudies.grading.course import Nursery, grade_class
from casestudies.grading.executor import grade_submission
from casestudies.grading.sandbox import ELSEWHERE, Sandbox, SandboxError
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
