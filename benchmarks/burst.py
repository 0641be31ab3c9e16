"""`casestudies grade --watch` while a class hands in at once: how long each student's grade takes, and the memory.

    python benchmarks/burst.py                                   120 submissions of resnet, sixty a minute
    python benchmarks/burst.py --submissions 10 --a-minute 20    a few

The submissions are those of benchmarks/grading.py. Each is put into submitted/ at its time, evenly spread, by a
rename, as nbgrader's commands do; its wait ends when its graded notebook and its page of feedback lie there. The
watching command runs with its defaults and all protection on. Memory is the largest sum of the proportional set sizes
(PSS) of the command, its workers and all in their sandboxes, sampled twice a second. Exit status: 0 if everything was
graded, 1 if not.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from grading import ROOT, build_class, cpu, memory

from casestudies.grading.sandbox import MIB, bubblewrap

PATIENCE = 300  # seconds after the last submission


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--assignment", default="resnet")
    parser.add_argument("--submissions", type=int, default=120)
    parser.add_argument("--a-minute", type=float, default=60)
    arguments = parser.parse_args()
    name = arguments.assignment
    with tempfile.TemporaryDirectory() as scratch:
        course, ready = Path(scratch, "course"), Path(scratch, "ready")
        (course / "submitted").mkdir(parents=True)
        build_class(ready, name, arguments.submissions)
        waiting = sorted((ready / "submitted").iterdir())
        print(
            f"{len(waiting)} submissions of {name}, {arguments.a_minute:g} a minute; {os.cpu_count()} cores; "
            f"load before: {os.getloadavg()[0]:.1f}; sandbox: {'bubblewrap' if bubblewrap() else 'NONE'}"
        )
        with open(Path(scratch, "said"), "w+") as said:
            command = [sys.executable, "-m", "casestudies", "grade", name, "--watch", "--feedback", "--quiet"]
            watching = subprocess.Popen(
                command,
                cwd=ROOT,
                env=os.environ | {"CASESTUDIES_COURSE": str(course)},
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            try:
                waits, most, worked = burst(watching, course, name, waiting, arguments.a_minute)
            finally:
                watching.send_signal(signal.SIGINT)
                watching.wait(60)
                said.seek(0)
                printed = said.read()
    if len(waits) < len(waiting):
        print(
            f"only {len(waits)} of {len(waiting)} were graded; CPU {worked:.1f} s in all; memory at most "
            f"{most / MIB:.0f} MiB; the command said:\n{printed[-3000:]}"
        )
        return 1
    ordered = sorted(waits)
    print(
        f"from handed in to feedback: median {statistics.median(ordered):.1f} s, "
        f"nine of ten within {ordered[int(0.9 * (len(ordered) - 1))]:.1f} s, longest {ordered[-1]:.1f} s\n"
        f"CPU {worked / len(waiting):.2f} s a submission; memory at most {most / MIB:.0f} MiB"
    )
    return 0


def burst(
    watching: subprocess.Popen[bytes], course: Path, name: str, waiting: list[Path], a_minute: float
) -> tuple[list[float], int, float]:
    """The waits in seconds, the most memory in bytes, and the processor time in seconds."""
    until = time.monotonic() + PATIENCE
    while not (course / "gradebook.db").exists() and time.monotonic() < until and watching.poll() is None:
        time.sleep(0.2)  # the watcher enters the assignment first
    time.sleep(3)
    begin, most, worked, before, sampled = time.monotonic(), 0, 0.0, 0.0, 0.0
    given: dict[str, float] = {}
    waits: dict[str, float] = {}
    left = list(waiting)
    deadline = begin + 60 * len(left) / a_minute + PATIENCE
    while len(waits) < len(waiting) and time.monotonic() < deadline and watching.poll() is None:
        now = time.monotonic()
        while left and now - begin >= 60 * len(given) / a_minute:
            student = left.pop(0)
            student.rename(course / "submitted" / student.name)
            given[student.name] = time.monotonic()
        for student_id, since in given.items():
            page = course / "feedback" / student_id / name / f"{name}.html"
            if student_id not in waits and page.exists():
                waits[student_id] = time.monotonic() - since
        if now - sampled >= 0.5:
            sampled, most, spent = now, max(most, memory(watching.pid)), cpu(watching.pid)
            # What a batch's processes have spent is gone when they are: only what is added counts.
            worked, before = worked + max(0.0, spent - before), spent
        time.sleep(0.05)
    return list(waits.values()), most, worked


if __name__ == "__main__":
    sys.exit(main())
