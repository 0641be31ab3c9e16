"""How fast a class is graded: stock nbgrader and ours, the same submissions, in one run.

    python benchmarks/grading.py                            thirty submissions of resnet, two workers
    python benchmarks/grading.py --submissions 300 --ours   only ours, a large class
    python benchmarks/grading.py --otter ~/otter/bin/otter  otter-grader, too
    python benchmarks/grading.py --repeat 3                 in turn, three times each; the table shows medians

Stock is `nbgrader autograde` with its own Execute: one kernel a notebook, `check` inside the student's kernel, no
sandbox. Ours is `casestudies grade` with all protection on. Both start with an empty autograded/ and a gradebook
that knows the assignment. The submissions are the sample class again and again, without two: the one that never
ends would cost stock nbgrader its 30 seconds a cell, and at the one with a doubled cell it gives up on the whole
class. otter-grader 7 is given the same checks as tests of its own format, and grades with `otter run`, its way
without containers, as many submissions at once as ours; it needs an environment with otter-grader and with this
package, as its pins are not ours. CPU is of all processes of a run; memory is the largest sum of their proportional
set sizes (PSS).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from casestudies.checking.parts import Part, parts
from casestudies.grading.notebooks import build_sources, generate_assignment, notebook_text
from casestudies.grading.sample_class import make_submission, read_sample
from casestudies.grading.sandbox import bubblewrap

ROOT = Path(__file__).resolve().parents[1]
RESULTS = "autograded/*/*/*.[ij]*"  # notebooks of nbgrader and ours, results.json of otter-grader
LEFT_OUT = {"infinite-loop", "rearranged"}


def build_class(course: Path, assignment: str, count: int) -> None:
    """`count` submissions and a gradebook that knows the assignment."""
    import nbformat

    released = nbformat.read(ROOT / "exercises" / assignment / f"{assignment}.ipynb", as_version=4)
    samples = [
        path for path in sorted((ROOT / "samples" / assignment).glob("*.py")) if path.stem not in LEFT_OUT
    ]
    for number, path in zip(range(count), cycle(samples), strict=False):
        folder = course / "submitted" / f"{number:04d}-{path.stem}" / assignment
        folder.mkdir(parents=True)
        text = notebook_text(make_submission(released, read_sample(path)[1]))
        # A comment of its own: no two submissions are the same file.
        (folder / f"{assignment}.ipynb").write_text(text.replace("# Residual", f"# {number} Residual", 1))
    build_sources(ROOT, [assignment], only_stale=True)
    generate_assignment(ROOT, assignment, course / "release", course)


def family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def pss(pid: int) -> int:
    """Proportional set size of one process in bytes; 0 where it has gone, or may not be looked at."""
    try:
        match = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0


def memory(pid: int) -> int:
    """Proportional set size of a process and all below it, in bytes."""
    return sum(map(pss, family(pid)))


def cpu(pid: int) -> float:
    """Seconds of a process and all below it, with those of their children that have ended."""
    ticks = 0
    for each in family(pid):
        try:
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


@dataclass
class Timing:
    """One run: seconds in all, until the first result, and of CPU; peak memory in bytes; submissions graded."""

    seconds: float
    first: float
    spent: float
    peak: int
    done: int

    @property
    def each(self) -> float:
        return self.seconds / self.done

    @property
    def rest(self) -> float:
        """Seconds for each submission after the first."""
        return (self.seconds - self.first) / max(1, self.done - 1)

    def __str__(self) -> str:
        start = f"{self.seconds:7.1f} s   {self.each:6.3f} s each   first after {self.first:5.1f} s, "
        rest = f"then {self.rest:6.3f} s each   CPU {self.spent:6.1f} s   {self.peak / 2**20:6.0f} MiB   "
        return f"{start}{rest}{self.done} graded"


def timed(command: list[str], cwd: Path, course: Path) -> Timing:
    environment = {**os.environ, "CASESTUDIES_COURSE": str(course), "OMP_NUM_THREADS": "1"}
    started, first, peak, spent = time.perf_counter(), 0.0, 0, 0.0
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        looked = started
        while process.poll() is None:
            spent = max(spent, cpu(process.pid))
            if not first and any(course.glob(RESULTS)):
                first = time.perf_counter() - started
            # Seldom: the kernel counts pages for it, at the expense of what we measure.
            if time.perf_counter() - looked > 1:
                looked, peak = time.perf_counter(), max(peak, memory(process.pid))
            time.sleep(0.2)
        seconds = time.perf_counter() - started
        errors.seek(0)
        text = errors.read()
    if process.returncode not in (0, 1):
        raise SystemExit(f"{' '.join(command)} failed:\n{text[-2000:]}")
    done = sum(path.suffix in (".ipynb", ".json") for path in course.glob(RESULTS))
    return Timing(seconds, first or seconds, spent, peak, done)


def otter_command(otter: Path, course: Path, assignment: str, jobs: int) -> list[str]:
    """`otter run` for each submission of a course, `jobs` at a time, with a test for each graded part."""
    tests = {
        part.id.replace("/", "_"): {
            "name": part.id,
            "points": part.points,
            "suites": [{"cases": [{"code": f">>> assert {call}.passed"}], "type": "doctest"}],
        }
        for part, call in calls(assignment)
    }
    with zipfile.ZipFile(course / "autograder.zip", "w") as packed:
        packed.writestr("otter_config.json", "{}")
        for name, test in tests.items():
            packed.writestr(f"tests/{name}.py", f"OK_FORMAT = True\ntest = {test!r}\n")
    run = (
        'name=$(basename $(dirname $(dirname "$0"))); mkdir -p autograded/$name/otter; '
        f'{shlex.quote(str(otter))} run --no-logo -a autograder.zip -o autograded/$name/otter "$0"'
    )
    submissions = f"ls submitted/*/{assignment}/{assignment}.ipynb"
    return ["sh", "-c", f"{submissions} | xargs -P {jobs} -n 1 sh -c {shlex.quote(run)}"]


def calls(assignment: str) -> list[tuple[Part, str]]:
    """Each part, and the call that checks it in full, as it stands in the released notebook."""
    source = (ROOT / "exercises" / assignment / f"{assignment}.ipynb").read_text(encoding="utf-8")
    cells = "\n".join("".join(cell["source"]) for cell in json.loads(source)["cells"])
    return [
        (part, f'check("{part.id}", {part.reference.name}, hidden=True)')
        for part in parts(assignment).values()
        if f'check("{part.id}", {part.reference.name})' in cells
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--assignment", default="resnet")
    parser.add_argument("--submissions", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=1, help="rounds, in each of which all are timed")
    parser.add_argument("--ours", action="store_true", help="leave stock nbgrader out")
    parser.add_argument(
        "--otter", type=Path, help="the `otter` command of an environment that has this package"
    )
    args = parser.parse_args()
    os.environ["PATH"] = f"{os.path.dirname(sys.executable)}{os.pathsep}{os.environ['PATH']}"
    measured: dict[str, list[Timing]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        course = Path(scratch, "ours")
        build_class(course, args.assignment, args.submissions)
        commands = {}
        if not args.ours:
            stock = Path(scratch, "stock")
            shutil.copytree(course, stock)
            (stock / "source").symlink_to(ROOT / "solutions")
            commands["stock nbgrader"] = (["nbgrader", "autograde", args.assignment], stock, stock)
        if args.otter:
            if not args.otter.expanduser().is_file():
                parser.error(f"--otter is {args.otter}; expected the path of the command `otter`")
            other = Path(scratch, "otter")
            shutil.copytree(course, other)
            otter = otter_command(args.otter.expanduser().absolute(), other, args.assignment, args.jobs)
            commands[f"otter-grader, {args.jobs} at once"] = (otter, other, other)
        grade = [sys.executable, "-m", "casestudies", "grade", args.assignment, "--quiet"]
        commands[f"ours, {args.jobs} workers"] = ([*grade, "--jobs", str(args.jobs)], ROOT, course)
        print(
            f"{args.submissions} submissions of {args.assignment}; {os.cpu_count()} cores; "
            f"load before: {os.getloadavg()[0]:.1f}; sandbox: {'bubblewrap' if bubblewrap() else 'NONE'}"
        )
        for _, _, folder in commands.values():
            folder.rename(folder.with_name(f"{folder.name}.pristine"))
        rounds = [name for _ in range(args.repeat) for name in commands]
        for number, name in enumerate(rounds):
            command, cwd, folder = commands[name]
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(folder.with_name(f"{folder.name}.pristine"), folder, symlinks=True)
            timing = timed(command, cwd, folder)
            measured.setdefault(name, []).append(timing)
            print(f"{number + 1:3} of {len(rounds)}  {name:26} {timing}", flush=True)
        logs = list((course / "logs" / args.assignment).glob("*.log"))
        states = Counter(
            state for log in logs for state in re.findall(r"^\w+: ([a-z ]+), ", log.read_text(), re.MULTILINE)
        )
        inside = [float(re.search(r"in ([\d.]+) s", log.read_text())[1]) for log in logs]
        print(f"inside the sandboxes: {sum(inside) / len(inside):.2f} s a submission; states: {dict(states)}")
    ours = measured[f"ours, {args.jobs} workers"]
    for name, timings in measured.items():
        if timings is not ours:
            each, rest = (
                statistics.median(
                    getattr(t, what) / getattr(own, what) for t, own in zip(timings, ours, strict=True)
                )
                for what in ("each", "rest")
            )
            print(f"throughput: {each:.1f} times that of {name}, {rest:.1f} times after the first")


if __name__ == "__main__":
    main()
