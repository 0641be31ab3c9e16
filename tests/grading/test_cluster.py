"""Grading on a Dask cluster: a scheduler and workers as processes of their own, one of them killed midway."""

import json
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from casestudies.grading.course import CourseError, cluster_pool
from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.notebooks import fill
from casestudies.grading.sandbox import Limits

from .conftest import RIGHT

distributed = pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

STUDENTS = 6


def jobs(released, assignment):
    for number in range(STUDENTS):
        answers = {**RIGHT, "double": f"{RIGHT['double']}# {number}"}
        submission = Submission(json.dumps(fill(released, answers)).encode())
        job = {
            "submission": submission.to_dict(),
            "assignment": assignment.to_dict(),
            "limits": asdict(Limits()),
            "seed": f"{number}",
        }
        yield f"student{number}", json.dumps(job).encode()


@pytest.fixture
def cluster(tmp_path):
    """The address of a scheduler, and its two workers."""
    information = tmp_path / "scheduler.json"
    line = [sys.executable, "-m"]
    options = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = [
        subprocess.Popen(
            [*line, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
            + ["--scheduler-file", str(information)],
            **options,
        )
    ]
    try:
        while not information.exists():
            assert started[0].poll() is None, "the scheduler did not start"
            time.sleep(0.1)
        worker = [*line, "distributed.cli.dask_worker", "--scheduler-file", str(information), "--no-nanny"]
        for _ in range(2):
            started.append(subprocess.Popen([*worker, "--nthreads", "1", "--no-dashboard"], **options))
        yield json.loads(information.read_text())["address"], started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_cluster_that_loses_a_worker_gives_the_same_results(released, assignment, sandbox, cluster):
    address, workers = cluster
    results = {}
    for student, result in cluster_pool(address)(jobs(released, assignment)):
        if not results:
            workers[0].kill()
        results[student] = result["graded"]
    expected = {
        student: grade_submission(
            Submission.from_dict(json.loads(data)["submission"]),
            assignment,
            sandbox,
            Limits(),
            json.loads(data)["seed"],
        ).notebook
        for student, data in jobs(released, assignment)
    }
    assert {student: result["notebook"] for student, result in results.items()} == expected


def test_a_scheduler_that_does_not_answer_is_named_before_anything_is_graded():
    with pytest.raises(CourseError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        cluster_pool("tcp://127.0.0.1:1", timeout=1)
