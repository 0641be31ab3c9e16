"""Whether the protected path and the plain `check` of a notebook give the same points, for every answer we know.

    python benchmarks/agreement.py                every assignment, two thousand answers (most of an hour)
    python benchmarks/agreement.py resnet vgg     some assignments
    python benchmarks/agreement.py --few 2        the first two right and wrong answers of each part
    python benchmarks/agreement.py --pairs 5      also five pairs of mistakes of each part

Protected: a notebook is submitted, rebuilt by intake, run in the sandbox and judged from outside; the points are
those of the verdict on the assignment's own graded cell, with its visible and its hidden check. Plain:
`check(part, answer)` as it runs in a student's kernel, once for each of the two checks and with the seeds that the
verdict reports. Answers are the right variants and the wrong answers of tests/checks, and the known mistakes of
casestudies.checks as mutants.

A submission carries one answer to each part of its assignment: the k-th notebook holds the k-th answer of every
part, each in the cell where a student would have written it. Mutants are mostly subclasses of our references, and
some are made by functions and have no source of their own. So a notebook brings, as text in a cell that its student
added, the files in which its answers are made (tests/checks, casestudies.checks, and what these import), executes
them as modules of its own, and takes its answers from there. To the grader that is a student's code like any other.
Nothing is added to the sandbox, whose `casestudies` knows only a `check` that does nothing (the cell asserts that),
and the references are gone with the process of that one submission. Limits of time are wide: nothing here should
meet them.

Results are kept in a file as they come, so that a run that was interrupted goes on; other code starts anew. Exit
status: 0 no difference, 1 a difference.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import json
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tqdm import tqdm

from casestudies import check
from casestudies.checking.parts import Part, assignments, parts
from casestudies.grading.cells import Assignment, Check, steps
from casestudies.grading.course import Course
from casestudies.grading.executor import grade_submission
from casestudies.grading.fingerprint import fingerprint
from casestudies.grading.notebooks import fill
from casestudies.grading.sandbox import Limits, Sandbox
from casestudies.grading.submission import Submission
from casestudies.grading.verdicts import Verdict, state_of

if TYPE_CHECKING:
    from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
PATIENT = Limits(cell_seconds=120, check_seconds=300, notebook_seconds=3600)

# --------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answer:
    """An answer to one part. `expression` gives it, here and in the student's notebook (see `namespace`)."""

    part: str
    kind: str  # "variant", "mistake", "wrong" (as students write it) or "pair"
    name: str
    expression: str

    @property
    def label(self) -> str:
        return f"{self.part} {self.kind} {self.name}"


def tables(assignment: str) -> Path:
    return ROOT / "tests" / "checks" / f"{assignment}.py"


@cache
def namespace(assignment: str) -> dict[str, Any]:
    """The names that expressions use, from the files themselves."""
    spec = importlib.util.spec_from_file_location(f"answers_{assignment}", tables(assignment))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {"answers": module, "parts": parts(assignment)}


def answers_of(part: Part, few: int | None = None, pairs: int = 0) -> list[Answer]:
    """All answers to a part, or a `few` of each kind. Pairs are taken evenly from all that there are."""
    known = namespace(part.assignment)["answers"]
    found = [
        [
            Answer(part.id, "variant", n, f"answers.CORRECT[{part.id!r}][{n!r}]")
            for n in known.CORRECT[part.id]
        ],
        [
            Answer(part.id, "mistake", f"{each.id} ({index})", f"parts[{part.id!r}].mistakes[{index}].wrong")
            for index, each in enumerate(part.mistakes)
        ],
        [
            Answer(part.id, "wrong", n, f"answers.WRONG[{part.id!r}][{n!r}][0]")
            for n in known.WRONG.get(part.id, {})
        ],
    ]
    chosen = [answer for each in found for answer in each[:few]]
    if pairs:
        every = max(1, len(part.pairs) // pairs)
        for index, pair in list(enumerate(part.pairs))[::every][:pairs]:
            label = f"{pair.one.id}+{pair.other.id}"
            chosen.append(Answer(part.id, "pair", label, f"parts[{part.id!r}].pairs[{index}].wrong"))
    return chosen


# --------------------------------------------------------------------------- the notebook


def _imported(source: str) -> Iterator[str]:
    """The modules of casestudies that a file imports at its top."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("casestudies"):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(assignment: str) -> dict[str, str]:
    """The text of the files in which an assignment's answers are made, by module, imported ones first."""
    found: dict[str, str] = {}

    def add(name: str, path: Path) -> None:
        if name in found or not path.is_file():
            return
        text = path.read_text(encoding="utf-8")
        found[name] = ""  # two files that import each other
        for other in _imported(text):
            if other.split(".")[1:2] == ["sandboxed"]:
                continue  # runs beside a student's code anyway: a second copy would take its place
            place = ROOT / other.replace(".", "/")
            add(other, place / "__init__.py" if place.is_dir() else place.with_suffix(".py"))
        del found[name]  # behind what it imports
        found[name] = text

    add(f"casestudies.checks.{assignment}", ROOT / "casestudies" / "checks" / f"{assignment}.py")
    add("answers", tables(assignment))
    return found


def opening(assignment: str) -> str:
    """The cell that a student adds at the top: makes `answers` and `parts` from the text of files."""
    texts = sources(assignment)
    return f"""\
import importlib.util, linecache, sys, types
assert importlib.util.find_spec("casestudies.networks").origin is None, "the sandbox has references"

for name, text in {texts!r}.items():
    package = name.rpartition(".")[0]
    if name == "casestudies.graph" and name in sys.modules:
        continue
    sys.modules.setdefault(package or name, types.ModuleType(package or name))
    module = sys.modules[name] = types.ModuleType(name)
    module.__file__ = "/scratch/" + name.replace(".", "/") + ".py"
    module.__path__ = []  # a package or not: what it holds is here already
    # The tables of mistakes edit the source of what they stand for.
    linecache.cache[module.__file__] = len(text), None, text.splitlines(True), module.__file__
    exec(compile(text, module.__file__, "exec", dont_inherit=True), module.__dict__)
    if package:
        setattr(sys.modules[package], name.rpartition(".")[2], module)
answers, parts = sys.modules["answers"], sys.modules["casestudies.checking.parts"]._PARTS
"""


@dataclass(frozen=True)
class Graded:
    """A graded cell of an assignment: what it checks, and the cell that students write for it."""

    cell: str
    part: str
    name: str  # that the check reads
    written: str


def graded_cells(assignment: Assignment) -> list[Graded]:
    """Raises ValueError where a graded cell is not `check(part, name)`, once or more, below a student's cell."""
    found, written = [], ""
    for cell in assignment.cells:
        if cell.solution and cell.cell_type == "code":
            written = cell.id
        if not cell.autograded:
            continue
        asked = {
            (step.part, step.expression) if isinstance(step, Check) else None for step in steps(cell.source)
        }
        if len(asked) != 1 or None in asked or not written:
            raise ValueError(
                f"{assignment.name}: cell {cell.id} is expected to check one part, and nothing else"
            )
        ((part, name),) = asked
        found.append(Graded(cell.id, part, name, written))
    return found


def submission(released: NotebookNode, assignment: Assignment, answers: Iterable[Answer]) -> Submission:
    """The released notebook with one answer in the cell of each of some parts."""
    from nbformat import v4, writes

    cells = {graded.part: graded for graded in graded_cells(assignment)}
    texts = {cells[a.part].written: f"{cells[a.part].name} = {a.expression}\n" for a in answers}
    notebook = fill(released, texts)
    notebook.cells.insert(0, v4.new_code_cell(opening(assignment.name), id="opening"))
    return Submission(writes(notebook).encode())


# --------------------------------------------------------------------------- comparing


@dataclass
class Row:
    """One answer, graded twice."""

    assignment: str
    label: str
    kind: str
    protected: float | None  # points of the verdict
    plain: float  # points that follow from the reports of plain checks
    possible: float
    states: tuple[str, str] = ("", "")
    named: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    seconds: float = 0.0  # of the plain checks

    @property
    def differs(self) -> bool:
        return self.protected is None or abs(self.protected - self.plain) > 1e-9

    @property
    def told_otherwise(self) -> bool:
        """The same points, with another state or other mistakes named."""
        return self.states[0] != self.states[1] or self.named[0] != self.named[1]

    def __str__(self) -> str:
        return (
            f"{self.label}: {self.protected} points protected, {self.plain} plain; "
            f"{' and '.join(self.states)}; named {self.named[0]} and {self.named[1]}"
        )


def plainly(verdict: Verdict, answer: Answer) -> Verdict:
    """The verdict as it follows from plain checks with the same seeds."""
    given = eval(answer.expression, namespace(answer.part.partition("/")[0]))
    expected = Verdict(verdict.cell, verdict.possible)
    for report in verdict.reports:
        again = check(answer.part, given, seed=report["seed"], hidden=report["hidden"])
        expected.reports.append(again.to_dict())
    share = min(report["points"] / report["possible"] for report in expected.reports)
    expected.points = round(share * verdict.possible, 4)
    worse = [state_of(report["state"]) for report in expected.reports if report["state"] != "passed"]
    expected.state = "passed" if not worse else "partial" if expected.points else worse[0]
    return expected


def compare(
    released: NotebookNode, assignment: Assignment, answers: list[Answer], sandbox: Sandbox
) -> list[Row]:
    """Grades one notebook with an answer to each of some parts, and checks the answers plainly."""
    graded = grade_submission(submission(released, assignment, answers), assignment, sandbox, PATIENT)
    verdicts = {verdict.cell: verdict for verdict in graded.verdicts}
    cells = {each.part: each.cell for each in graded_cells(assignment)}
    rows = []
    for answer in answers:
        verdict = verdicts[cells[answer.part]]
        if len(verdict.reports) != 2:
            raise RuntimeError(f"{answer.label}: the cell was not judged: {verdict.state}. {verdict.message}")
        started = time.perf_counter()
        plain = plainly(verdict, answer)
        rows.append(
            Row(
                assignment.name,
                answer.label,
                answer.kind,
                verdict.points,
                float(plain.points or 0.0),
                verdict.possible,
                (verdict.state, plain.state),
                (verdict.mistakes, plain.mistakes),
                time.perf_counter() - started,
            )
        )
    return rows


def assignment_and_release(name: str, folder: Path) -> tuple[Assignment, NotebookNode]:
    """The assignment as a new gradebook in `folder` knows it, and the notebook that students get."""
    import nbformat

    assignment = Course.open(ROOT, folder).assignment(name)
    released = nbformat.read(ROOT / "exercises" / name / f"{name}.ipynb", as_version=4)
    return assignment, released


_STATE: dict[str, Any] = {}  # of a process: its sandbox, and the assignments that it has met


def compare_here(name: str, answers: list[Answer]) -> list[Row]:
    """`compare` with this process's own sandbox and gradebook."""
    torch.set_num_threads(1)
    if "sandbox" not in _STATE:
        _STATE["folder"] = tempfile.TemporaryDirectory()
        _STATE["sandbox"] = Sandbox(PATIENT, hidden=[Path(_STATE["folder"].name)])
    if name not in _STATE:
        _STATE[name] = assignment_and_release(name, Path(_STATE["folder"].name))
    assignment, released = _STATE[name]
    return compare(released, assignment, answers, _STATE["sandbox"])


# --------------------------------------------------------------------------- the run


def version() -> str:
    """Of all that the results depend on."""
    state = hashlib.sha256(fingerprint().encode())
    files = [
        *(ROOT / "tests" / "checks").glob("*.py"),
        *(ROOT / "exercises").glob("*/*.ipynb"),
        Path(__file__),
    ]
    for path in sorted(files):
        state.update(path.name.encode() + b"\0" + path.read_bytes())
    return state.hexdigest()


def kept_lines(path: Path) -> Iterator[dict[str, Any]]:
    """What runs have kept in a file. A line that an end cut short, or two that it glued together, are left out."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else []:
        try:
            yield json.loads(line)
        except json.JSONDecodeError:
            continue


def earlier(path: Path, now: str) -> dict[str, Row]:
    """What an interrupted run of the same code has found."""
    found = {}
    for stored in kept_lines(path):
        if stored.pop("version", None) == now:
            stored["states"], stored["named"] = tuple(stored["states"]), tuple(stored["named"])
            found[stored["label"]] = Row(**stored)
    return found


def notebooks(name: str, few: int | None, pairs: int, done: dict[str, Row]) -> list[list[Answer]]:
    """The answers of each notebook that is still to be graded."""
    columns = [
        [answer for answer in answers_of(part, few, pairs) if answer.label not in done]
        for part in parts(name).values()
    ]
    return [[answer for answer in row if answer is not None] for row in zip_longest(*columns)]


def compared(todo: list[tuple[str, list[Answer]]], jobs: int) -> Iterator[list[Row]]:
    """The rows of each notebook, as they come: in this process, or in several."""
    if jobs == 1:
        yield from (compare_here(name, answers) for name, answers in todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(compare_here, *zip(*todo, strict=True)) if todo else ()


def show(rows: list[Row]) -> None:
    print(
        f"{'assignment':14} {'variants':>8} {'mistakes':>8} {'wrong':>6} {'pairs':>6} {'differing points':>17} "
        f"{'told otherwise':>15} {'full marks':>11} {'t(plain)':>9}"
    )
    for name in [*dict.fromkeys(row.assignment for row in rows), "all"]:
        own = [row for row in rows if name in (row.assignment, "all")]
        counts = [sum(row.kind == kind for row in own) for kind in ("variant", "mistake", "wrong", "pair")]
        full = sum(row.protected == row.possible for row in own)
        print(
            f"{name:14} {counts[0]:>8} {counts[1]:>8} {counts[2]:>6} {counts[3]:>6} "
            f"{sum(row.differs for row in own):>17} {sum(row.told_otherwise for row in own):>15} {full:>11} "
            f"{sum(row.seconds for row in own):>8.1f}s"
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument("--few", type=int, help="only so many answers of each kind and part")
    parser.add_argument("--pairs", type=int, default=0, help="also so many pairs of mistakes of each part")
    parser.add_argument("--jobs", type=int, default=1, help="processes, each with a sandbox of its own")
    parser.add_argument("--results", type=Path, default=ROOT / "_build" / "agreement.jsonl")
    arguments = parser.parse_args()
    now, started = version(), time.perf_counter()
    done = earlier(arguments.results, now)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    names = arguments.names or assignments()
    wanted = [
        a.label
        for n in names
        for p in parts(n).values()
        for a in answers_of(p, arguments.few, arguments.pairs)
    ]
    todo = [(n, each) for n in names for each in notebooks(n, arguments.few, arguments.pairs, done)]
    found = {label: done[label] for label in wanted if label in done}
    before = len(found)
    with (
        open(arguments.results, "a" if done else "w", encoding="utf-8") as kept,
        tqdm(total=len(wanted), initial=before, unit="answer", smoothing=0.02) as bar,
    ):
        for rows in compared(todo, arguments.jobs):
            for row in rows:
                found[row.label] = row
                kept.write(json.dumps({**asdict(row), "version": now}) + "\n")
                if row.differs:
                    bar.write(f"DIFFERS  {row}")
            kept.flush()
            bar.set_postfix_str(rows[0].assignment, refresh=False)
            bar.update(len(rows))
    rows = [found[label] for label in wanted]
    show(rows)
    for row in rows:
        if row.differs or row.told_otherwise:
            print(f"{'DIFFERS' if row.differs else 'told otherwise'}  {row}")
    seconds = time.perf_counter() - started
    print(
        f"{len(rows)} answers, {len(rows) - before} of them graded in this run, in {seconds:.0f} s "
        f"with {arguments.jobs} process{'es' * (arguments.jobs > 1)}; torch {torch.__version__}"
    )
    return 1 if any(row.differs for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
