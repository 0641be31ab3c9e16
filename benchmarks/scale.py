"""A large class graded in one go: time, memory, and whether every score is the right one.

    python benchmarks/scale.py                      three hundred submissions of resnet, a worker for each core
    python benchmarks/scale.py --submissions 60     fewer
    python benchmarks/scale.py --course ~/class     keep the class there; the same command goes on after an interrupt

A third of the students hand in right variants of tests/checks; a third known mistakes and wrong answers, among them
some right parts; a third an attack of tests/grading/test_hostile.py and nothing else. `casestudies grade` grades them
with its defaults and all protection on, so that an endless loop costs its 30 seconds and a memory bomb reaches its
limit. Memory is the sum of the proportional set sizes (PSS) of the grader, its workers and all in their sandboxes,
sampled twice a second.

The scores are read from the gradebook and compared, cell by cell, with what is known: full points for a right
variant, no point for an attacker (who has written nothing else), and for the others the points of plain checks of
the same answers with the seeds that the graded notebook reports. Exit status: 0 all as expected, 1 not.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import agreement
import torch
from agreement import ROOT, Answer
from tqdm import tqdm

from casestudies.checking.parts import parts
from casestudies.grading.course import Course
from casestudies.grading.notebooks import fill, notebook_text
from casestudies.grading.sandbox import bubblewrap
from casestudies.grading.verdicts import STATES, Verdict

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from casestudies.grading.cells import Assignment

KINDS = ("right", "wrong", "attack")
SAMPLE = 0.5  # seconds between two looks at memory


def benchmark_of_speed() -> ModuleType:
    """grading.py, by another name: that one is taken by the tests' folder `grading`, which we import too."""
    spec = importlib.util.spec_from_file_location(
        "benchmark_of_speed", Path(__file__).with_name("grading.py")
    )
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


speed = benchmark_of_speed()
family, pss = speed.family, speed.pss


def hostile() -> ModuleType:
    """The hostile suite, as the package that it is for pytest."""
    sys.path.insert(0, str(ROOT / "tests"))
    return importlib.import_module("grading.test_hostile")


# --------------------------------------------------------------------------- the class


@dataclass
class Student:
    """What one student hands in."""

    name: str
    kind: str
    answers: list[Answer] = field(default_factory=list)
    attack: str = ""


def plan(assignment: Assignment, count: int, attacks: list[str]) -> list[Student]:
    """The class. The same arguments give the same class; every answer is used before one is used again."""
    dice = random.Random(count)
    kinds = [KINDS[number % len(KINDS)] for number in range(count)]
    rank = Counter()
    right, wrong = {}, {}
    for cell in agreement.graded_cells(assignment):
        known = agreement.answers_of(parts(assignment.name)[cell.part])
        right[cell.part] = cycle([answer for answer in known if answer.kind == "variant"])
        others = [answer for answer in known if answer.kind != "variant"]
        wrong[cell.part] = cycle(dice.sample(others, len(others)))
    attackers = kinds.count("attack")
    students = []
    for kind in kinds:
        student = Student("", kind)
        if kind == "attack":
            turn = rank[kind] if attackers >= len(attacks) else rank[kind] * len(attacks) // attackers
            student.attack = attacks[turn % len(attacks)]  # all of them, or some from the whole list
        else:
            for part in right:
                pool = right if kind == "right" or dice.random() < 1 / 4 else wrong
                student.answers.append(next(pool[part]))
        rank[kind] += 1
        students.append(student)
    dice.shuffle(students)
    for number, student in enumerate(students):
        student.name = f"student-{number:04d}"
    return students


def hand_in(course: Path, students: list[Student], assignment: Assignment, released: NotebookNode) -> None:
    """Writes the submissions that are not there yet."""
    attacks = hostile().ATTACKS
    cells = agreement.graded_cells(assignment)
    target = next((cell for cell in cells if cell.name[0].isupper()), cells[0])
    for number, student in enumerate(tqdm(students, desc="handing in", leave=False)):
        path = course / "submitted" / student.name / assignment.name / f"{assignment.name}.ipynb"
        if path.is_file():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if student.attack:
            text = attacks[student.attack].replace("BasicBlock", target.name)
            notebook = fill(released, {target.written: f"{text}\n# {number}"})
            path.write_text(notebook_text(notebook), encoding="utf-8")
        else:
            path.write_bytes(agreement.submission(released, assignment, student.answers).notebook)


# --------------------------------------------------------------------------- the run


@dataclass
class Run:
    """One run of the grader."""

    seconds: float
    graded: int
    status: int
    memory: list[int]  # samples, bytes
    grader: int  # the grading process alone, at its peak
    processes: int  # at most at one time
    errors: str


def grade(course: Path, assignment: str, count: int, jobs: int) -> Run:
    """`casestudies grade` of the whole class."""
    command = [sys.executable, "-m", "casestudies", "grade", assignment, "--course", str(course)]
    command += ["--quiet", "--jobs", str(jobs)]

    def done() -> int:
        return len(list(course.glob(f"autograded/*/{assignment}/{assignment}.ipynb")))

    before, samples, grader, processes = done(), [], 0, 0
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile("w+") as errors,
        tqdm(total=count, initial=before, desc="grading", unit="submission", leave=False) as bar,
    ):
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
        try:
            while True:
                found = family(process.pid)
                sizes = [pss(pid) for pid in found]
                samples.append(sum(sizes))
                grader, processes = max(grader, sizes[0]), max(processes, len(found))
                bar.update(done() - bar.n)
                try:
                    status = process.wait(SAMPLE)
                    break
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.terminate()
        seconds = time.perf_counter() - started
        errors.seek(0)
        return Run(seconds, done() - before, status, samples, grader, processes, errors.read())


# --------------------------------------------------------------------------- the scores


def expected(student: Student, assignment: Assignment, verdicts: dict[str, Verdict]) -> dict[str, float]:
    """The points of each graded cell, from what is known of the answers."""
    known = {}
    answers = {answer.part: answer for answer in student.answers}
    for cell in agreement.graded_cells(assignment):
        verdict, answer = verdicts[cell.cell], answers.get(cell.part)
        if answer is None:
            known[cell.cell] = 0.0
        elif answer.kind == "variant":
            known[cell.cell] = verdict.possible
        elif len(verdict.reports) == 2:
            known[cell.cell] = float(agreement.plainly(verdict, answer).points)
        else:
            known[cell.cell] = float("nan")  # it was not judged: equal to nothing
    return known


def scores(course: Course, assignment: str) -> dict[str, dict[str, float | None]]:
    """What the gradebook says: student -> cell -> points, None where a human has to decide."""
    with course.gradebook() as gradebook:
        return {
            submission.student.id: {
                grade.name: grade.auto_score for notebook in submission.notebooks for grade in notebook.grades
            }
            for submission in gradebook.assignment_submissions(assignment)
        }


@dataclass
class Outcome:
    """One student, graded and looked at again."""

    student: Student
    given: dict[str, float | None]
    wanted: dict[str, float]
    states: list[str]
    seconds: float

    @property
    def differing(self) -> list[str]:
        """The cells whose points are not those expected. An attacker without points may wait for a human."""
        attack = self.student.kind == "attack"
        return [
            cell
            for cell, points in self.wanted.items()
            if self.given.get(cell, -1.0) != points and not (attack and self.given.get(cell, -1.0) is None)
        ]


def outcomes(course: Course, students: list[Student], assignment: Assignment) -> list[Outcome]:
    """Every student's scores beside the expected ones, which are kept: they take a while."""
    given = scores(course, assignment.name)
    path = course.folder / "expected.json"
    kept = json.loads(path.read_text()) if path.is_file() else {}
    found = []
    for student in tqdm(students, desc="checking the scores", leave=False):
        stored = course.graded(assignment.name, student.name)
        verdicts = {each["cell"]: Verdict.from_dict(each) for each in (stored or {}).get("verdicts", [])}
        if not verdicts:
            wanted = {cell.cell: float("nan") for cell in agreement.graded_cells(assignment)}
        elif kept.get(student.name, {}).get("digest") == stored["digest"]:
            wanted = kept[student.name]["points"]
        else:
            wanted = expected(student, assignment, verdicts)
            kept[student.name] = {"digest": stored["digest"], "points": wanted}
            path.write_text(json.dumps(kept))
        log = course.folder / "logs" / assignment.name / f"{student.name}.log"
        took = re.search(r"points in ([\d.]+) s", log.read_text()) if log.is_file() else None
        states = [verdict.state for verdict in verdicts.values()]
        points = {cell: given.get(student.name, {}).get(cell, -1.0) for cell in wanted}
        found.append(Outcome(student, points, wanted, states, float(took[1]) if took else 0.0))
    return found


def show(found: list[Outcome], run: Run, jobs: int) -> None:
    mib = [size / 2**20 for size in run.memory]
    print(
        f"{run.graded} graded in {run.seconds:.1f} s with {jobs} workers: "
        f"{run.seconds / max(1, run.graded):.3f} s each, {60 * run.graded / run.seconds:.0f} a minute; "
        f"exit status {run.status}"
    )
    print(
        f"memory (PSS, {len(mib)} samples): median {statistics.median(mib):.0f} MiB, "
        f"95 of 100 below {sorted(mib)[int(0.95 * (len(mib) - 1))]:.0f} MiB, peak {max(mib):.0f} MiB; "
        f"the grader alone at most {run.grader / 2**20:.0f} MiB; at most {run.processes} processes"
    )
    print(
        f"{'':8} {'students':>8} {'points expected':>15} {'given':>7} {'differ':>7} {'human':>6} {'t(median)':>9} "
        + " ".join(f"{state:>10}" for state in STATES)
    )
    for kind in KINDS:
        own = [each for each in found if each.student.kind == kind]
        states = Counter(state for each in own for state in each.states)
        print(
            f"{kind:8} {len(own):>8} {sum(sum(each.wanted.values()) for each in own):>15.2f} "
            f"{sum(points or 0.0 for each in own for points in each.given.values()):>7.2f} "
            f"{sum(bool(each.differing) for each in own):>7} "
            f"{sum(None in each.given.values() for each in own):>6} "
            f"{statistics.median([each.seconds for each in own] or [0.0]):>8.2f}s "
            + " ".join(f"{states[state]:>10}" for state in STATES)
        )
    slowest = sorted(found, key=lambda each: -each.seconds)[:6]
    print(
        "slowest: "
        + "; ".join(f"{each.student.attack or each.student.kind} {each.seconds:.1f} s" for each in slowest)
    )
    for each in found:
        if each.differing:
            what = each.student.attack or ", ".join(a.label for a in each.student.answers)
            print(f"DIFFERS {each.student.name} ({what}): expected {each.wanted}, given {each.given}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--assignment", default="resnet")
    parser.add_argument("--submissions", type=int, default=300)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--course", type=Path, help="where the class is kept; else it is deleted in the end")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (arguments.course or Path(scratch, "course")).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        assignment, released = agreement.assignment_and_release(arguments.assignment, folder)
        students = plan(assignment, arguments.submissions, list(hostile().ATTACKS))
        hand_in(folder, students, assignment, released)
        kinds = Counter(student.kind for student in students)
        print(
            f"{len(students)} submissions of {assignment.name} ({', '.join(f'{kinds[k]} {k}' for k in KINDS)}; "
            f"{len({s.attack for s in students if s.attack})} different attacks); {os.cpu_count()} cores; "
            f"load before: {os.getloadavg()[0]:.1f}; sandbox: {'bubblewrap' if bubblewrap() else 'NONE'}"
        )
        run = grade(folder, assignment.name, len(students), arguments.jobs)
        if run.status not in (0, 1):
            print(
                f"casestudies grade failed with status {run.status}:\n{run.errors[-2000:]}", file=sys.stderr
            )
            return 1
        found = outcomes(Course.open(ROOT, folder), students, assignment)
    show(found, run, arguments.jobs)
    return 1 if any(each.differing for each in found) else 0


if __name__ == "__main__":
    sys.exit(main())
