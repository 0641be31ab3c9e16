"""`casestudies grade-one notebook.ipynb`: one notebook, judged as in a class, and its result in the form others read.

    casestudies grade-one resnet.ipynb                       as text
    casestudies grade-one resnet.ipynb --json                one JSON document on standard output
    casestudies grade-one resnet.ipynb --gradescope FILE     Gradescope's results.json
    casestudies grade-one resnet.ipynb --summary FILE        Markdown, such as the step summary of GitHub Actions
    casestudies grade-one resnet.ipynb --workflow            the workflow file for a classroom repository, instead

Without a course only the visible checks are asked: those that stand in the notebook that students have. Only where
the notebook stands in the course's folder do the hidden ones count, too; even then, what is written says of them only
how many points they gave and which mistake was named. Nothing is stored, and no gradebook is opened.

What people read of a result is in the language of the course, or of CASESTUDIES_LANGUAGE; ids, states and the names
of fields are English in every language.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import secrets
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import casestudies
from casestudies import address, language
from casestudies.grading import editions
from casestudies.grading.cells import Assignment, hidden_lines
from casestudies.grading.errors import FAILED, LATE, PRESSED, CourseError
from casestudies.grading.handed_in import Corrupt, read_plain_file
from casestudies.grading.materials import MaterialError, materials
from casestudies.grading.notebooks import SourceError, build_source, find_root
from casestudies.grading.records import read_submission
from casestudies.grading.sandbox import Limits
from casestudies.grading.secret import NAME as SECRET
from casestudies.grading.secret import SecretError, course_secret, submission_seed
from casestudies.grading.submission import Submission
from casestudies.grading.verdicts import NO_SANDBOX, Graded, Verdict
from casestudies.language import message, say, sentence
from casestudies.sandboxed.quoting import printable, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

FORMAT = "casestudies.result/1"
VISIBLE, ALL = "visible", "visible and hidden"
# What people read in their place, and of the states of a part.
CHECKS = {VISIBLE: message("by the visible checks"), ALL: message("by the visible and hidden checks")}
STATES = {
    "passed": message("passed"),
    "partial": message("partial"),
    "wrong": message("wrong"),
    "crashed": message("crashed"),
    "timed out": message("timed out"),
    "missing": message("not written yet"),  # "missing" is said of layers
    "ungradable": message("ungradable"),
}
BY_HAND = message("by hand")
DECIDES = message("a human decides")
OTHER_NUMBERS = message(
    "The check with other random numbers found a difference; run the cell again, a few times."
)
USUAL_LIMITS = message(
    "The limits of time and memory are the usual ones: {path} is read only by commands that are started in its "
    "folder."
)
NOTEBOOK_BYTES = 64 * 2**20
WORKFLOW_PATH = re.compile(r"(?!/|-|.*\.\.)[\w./-]+\.ipynb", re.ASCII)


# --------------------------------------------------------------------------- the result


@dataclass
class PartResult:
    """What came out of one graded cell, as far as its student may see it."""

    cell: str
    title: str
    state: str
    points: float | None  # None: a human has to decide
    possible: float
    mistakes: list[dict[str, str]] = field(default_factory=list)  # id, text, see
    text: str = ""  # the visible report


@dataclass(frozen=True)
class ByHand:
    """A cell that a person grades."""

    cell: str
    possible: float


@dataclass
class Result:
    """A graded notebook, as it is handed on."""

    assignment: str
    notebook: str
    checks: str  # VISIBLE or ALL
    protection: str  # "sandbox" or "none"
    parts: list[PartResult]
    by_hand: list[ByHand]
    notes: list[str]
    seconds: float
    language: str = language.ENGLISH  # of titles, texts and notes
    version: str = casestudies.__version__
    format: str = FORMAT

    @property
    def points(self) -> float:
        return round(sum(part.points or 0.0 for part in self.parts), 4)

    @property
    def possible(self) -> float:
        return sum(part.possible for part in self.parts)

    @property
    def needs_human(self) -> bool:
        return any(part.points is None for part in self.parts)

    def to_dict(self) -> dict[str, object]:
        data = asdict(self)
        return {"format": data.pop("format"), **data, "points": self.points, "possible": self.possible}


def part_result(verdict: Verdict) -> PartResult:
    """A verdict without what hidden checks asked: of them, points, state and named mistakes are all that stays.

    Its title and texts are in the language that is in use.
    """
    from casestudies.checking.report import Report

    seen: list[Report] = []
    named: dict[str, dict[str, str]] = {}
    titles = []
    for data in verdict.reports:
        report = Report.from_dict({key: value for key, value in data.items() if key != "hidden"})
        titles.append(sentence(report.title))
        named |= {
            known["id"]: {"id": known["id"], "text": sentence(known["text"]), "see": known["see"]}
            for known in report.recognised
        }
        if not data["hidden"]:
            seen.append(report)
    text = "\n".join(report.text() for report in seen)
    if verdict.message:
        text = f"{text}\n{sentence(verdict.message)}".strip()
    if seen and all(report.passed for report in seen) and verdict.state != "passed":
        text += f"\n{say(OTHER_NUMBERS)}"
    title = titles[0] if titles else verdict.cell.removeprefix("check_").replace("_", " ")
    return PartResult(
        verdict.cell, title, verdict.state, verdict.points, verdict.possible, list(named.values()), text
    )


# --------------------------------------------------------------------------- where the assignment comes from


@dataclass(frozen=True)
class Place:
    """Where a notebook stands: in a course, or anywhere else."""

    root: Path | None = None  # the folder with solutions/ and nbgrader_config.py
    course: Path | None = None  # the folder with submissions and secret


def place_of(notebook: Path) -> Place:
    """The course in whose folder a notebook stands; none where it stands elsewhere."""
    notebook = notebook.resolve()
    named = os.environ.get("CASESTUDIES_COURSE")
    try:
        root = find_root(notebook.parent)
    except FileNotFoundError:
        if not named or not notebook.is_relative_to(Path(named).resolve()):
            return Place()
        try:
            root = find_root()
        except FileNotFoundError:
            return Place()
    course = Path(named).resolve() if named else root
    if not named and (root / "course").is_dir() and notebook.is_relative_to(root / "course"):
        course = root / "course"
    return Place(root, course)


def released_notebooks(place: Place) -> dict[str, Path]:
    """The notebooks that students have, by assignment: the course's, the clone's, or those of this installation."""
    folders = [place.root / "exercises"] if place.root else []
    carried = Path(casestudies.__file__).parent / "released"
    try:
        folders.append(materials() / "exercises")
    except MaterialError:
        pass
    for folder in folders:
        if found := {path.stem: path for path in sorted(folder.glob("*/*.ipynb"))}:
            return found
    if found := {path.stem: path for path in sorted(carried.glob("*.ipynb"))}:
        return found
    raise CourseError(
        "this installation carries no assignments; install the course anew: pip install 'casestudies[grading]'"
    )


def which(data: bytes, stem: str, known: dict[str, Path]) -> str:
    """The assignment that a notebook answers: the one whose cells it has, whatever its name is."""
    import nbformat

    try:
        cells = json.loads(data)["cells"]
        ids = {cell["metadata"]["nbgrader"]["grade_id"] for cell in cells if "nbgrader" in cell["metadata"]}
    except (ValueError, KeyError, TypeError, RecursionError):
        ids = set()
    shared: dict[str, int] = {}
    for name, path in known.items():
        released = nbformat.read(path, as_version=4)
        own = {cell.metadata.nbgrader.grade_id for cell in released.cells if "nbgrader" in cell.metadata}
        shared[name] = len(own & ids)
    best = max(shared, key=lambda name: (shared[name], name == stem))
    if shared[best] > 2 and sum(count == shared[best] for count in shared.values()) == 1:
        return best
    if stem in known:
        return stem
    raise CourseError(
        f"{quoted(stem)} cannot be told to be one of {', '.join(known)}; say which: --assignment {next(iter(known))}"
    )


def assignment_of(name: str, place: Place, known: dict[str, Path], hidden: bool) -> Assignment:
    """The instructor's cells. Hidden tests are in them only with `hidden`, from the source in the course's folder."""
    import nbformat

    released = nbformat.read(known[name], as_version=4)
    assignment = Assignment.from_notebook(name, released)
    if not hidden:
        assert not any(hidden_lines(cell.source) for cell in assignment.cells)
        return assignment.with_plain(released)
    assert place.root is not None
    source = build_source(place.root / "solutions" / f"{name}.md")
    whole = {cell.id: cell for cell in Assignment.from_notebook(name, source).cells}
    cells = []
    for cell in assignment.cells:
        if cell.id not in whole:
            raise CourseError(
                f"exercises/{name} and solutions/{name}.md differ: casestudies exercises {name}"
            )
        cells.append(replace(cell, source=whole[cell.id].source) if cell.autograded else cell)
    return replace(assignment, cells=tuple(cells)).with_plain(released)


# --------------------------------------------------------------------------- grading


def grade_one(notebook: Path, name: str = "", visible_only: bool = False) -> Result:
    """Grades one notebook. Whatever it holds becomes states of its parts; raises CourseError for everything else."""
    from casestudies.grading.pools import Nursery, local_pool

    if not notebook.is_file():
        raise CourseError(f"{printable(str(notebook))} is no file; name the notebook to grade")
    try:
        data = read_plain_file(notebook, NOTEBOOK_BYTES)
    except Corrupt as error:
        raise CourseError(f"{printable(str(notebook))} cannot be read: {error}") from None
    place = place_of(notebook)
    spoken = language_of(place)
    known = released_notebooks(place)
    if name and name not in known:
        raise CourseError(f"there is no assignment {name!r}; known: {', '.join(known)}")
    name = name or which(data, notebook.stem, known)
    hidden = place.root is not None and not visible_only
    if hidden and not (place.root / "solutions" / f"{name}.md").is_file():  # type: ignore[operator]
        hidden = False
    assignment = assignment_of(name, place, known, hidden)
    submission = Submission(data)
    if place.course and notebook.resolve().parent.parent.parent == place.course / "submitted":
        submission = read_submission(notebook.resolve().parent, name)  # with its files: as in the class
    secret = secrets.token_bytes(32)
    if hidden and place.course and (place.course / SECRET).exists():
        secret = course_secret(place.course)
    limits, said = limits_of(place)
    job = {
        "submission": submission.to_dict(),
        "assignment": assignment.to_dict(),
        "limits": asdict(limits),
        "seed": submission_seed(secret, name, submission.notebook, submission.files),
    }
    kept = [str(folder) for folder in (place.root, place.course) if folder]
    with Nursery(kept) as nursery, _quiet():
        pool = local_pool(1, limits, nursery)
        ((_, answer),) = pool([("one", json.dumps(job).encode())])
    graded = _graded(answer, submission, assignment)
    with language.speaking(spoken):
        return Result(
            assignment=name,
            notebook=printable(notebook.name, 200),
            checks=ALL if hidden else VISIBLE,
            protection=graded.protection,
            parts=[part_result(verdict) for verdict in graded.verdicts],
            by_hand=[ByHand(cell.id, cell.points) for cell in assignment.cells if cell.manual],
            notes=[printable(sentence(note), 2000) for note in (*graded.notes, *said)],
            seconds=round(graded.seconds, 1),
            language=spoken,
        )


def language_of(place: Place) -> str:
    """The language of the course in which a notebook stands, as its feedback has it; else CASESTUDIES_LANGUAGE's."""
    if place.root is None:
        return language.language()
    try:
        return editions.wanted(place.root)
    except ValueError as error:
        raise CourseError(str(error)) from None


def limits_of(place: Place) -> tuple[Limits, list[str]]:
    """The limits of the course in which a notebook stands, and a note where they are not taken.

    They stand in nbgrader_config.py, which is a program. It is run only where it belongs to the course that the
    command was started in, or that CASESTUDIES_COURSE names: a folder around a notebook may have come with it.
    """
    from casestudies.grading.course import Course

    config = place.root / "nbgrader_config.py" if place.root else None
    if place.root is None or config is None or not config.is_file():
        return Limits(), []
    try:
        trusted = find_root() == place.root
    except FileNotFoundError:
        trusted = False
    if trusted:
        return Course.open(place.root, place.course).limits, []
    return Limits(), [USUAL_LIMITS.format(path=config)]


def _graded(answer: Mapping[str, Any], submission: Submission, assignment: Assignment) -> Graded:
    from casestudies.grading.executor import ungradable
    from casestudies.grading.sandbox import bubblewrap

    if "broken" in answer:
        raise CourseError(printable(answer["broken"], 1000))
    if "graded" in answer:
        return Graded.from_dict(answer["graded"])
    why = PRESSED if answer.get("pressed") else LATE if answer.get("late") else FAILED
    return ungradable(submission, assignment, why, "sandbox" if bubblewrap() else "none")


@contextmanager
def _quiet() -> Iterator[None]:
    from casestudies.grading.configuration import quiet_nbgrader

    with quiet_nbgrader():
        yield


# --------------------------------------------------------------------------- forms of a result


def as_text(result: Result) -> str:
    with language.speaking(result.language):
        lines = [f"{result.assignment}: {_total(result)} ({say(CHECKS[result.checks])})"]
        if result.protection == "none":
            lines.append(say(NO_SANDBOX))
        for part in result.parts:
            lines.append(f"\n{part.title}: {say(STATES[part.state])}, {_of(part)}")
            lines += [f"  {line}" for line in part.text.splitlines()]
        lines += [f"\n{_by_hand(each)}" for each in result.by_hand]
        lines += [say("Note: {note}", note=note) for note in result.notes]
    return "\n".join(lines) + "\n"


def as_gradescope(result: Result) -> dict[str, object]:
    """The document that Gradescope reads from /autograder/results/results.json."""
    with language.speaking(result.language):
        undecided = say("No verdict was possible; a human has to decide.")
        notes = [say(NO_SANDBOX)] * (result.protection == "none") + result.notes
        notes += [_by_hand(each) for each in result.by_hand]
        output = "\n".join(notes) or say("Everything was read as it was handed in.")
    tests = [
        {
            "name": part.title,
            "number": str(number),
            "score": part.points or 0.0,
            "max_score": part.possible,
            "status": "passed" if part.state == "passed" else "failed",
            "output": f"{undecided}\n{part.text}".strip() if part.points is None else part.text,
            "output_format": "text",
            "visibility": "visible",
        }
        for number, part in enumerate(result.parts, start=1)
    ]
    return {
        "score": result.points,
        "execution_time": result.seconds,
        "output": output,
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"checks": result.checks, "version": result.version, "needs_human": result.needs_human},
    }


def as_summary(result: Result) -> str:
    """Markdown for people: a table, and below it each report, in which nothing can be markup."""
    with language.speaking(result.language):
        rows = [
            f"| {_inline(part.title)} | {say(STATES[part.state])} | {_of(part)} | {_named(part)} |"
            for part in result.parts
        ]
        rows += [f"| {_inline(each.cell)} | {say(BY_HAND)} | - | |" for each in result.by_hand]
        lines = [
            f"### {_inline(result.assignment)}: {_total(result)}",
            "",
            say("Judged {checks}.", checks=say(CHECKS[result.checks])),
            *([f"\n**{say(NO_SANDBOX)}**"] if result.protection == "none" else []),
            "",
            say("| part | state | points | mistakes named |"),
            "|:---|:---|---:|:---|",
            *rows,
            "",
        ]
    for part in result.parts:
        if part.state != "passed" and part.text:
            body = html.escape(part.text).replace("\n", "&#10;")
            lines += [f"<details><summary>{_inline(part.title)}</summary><pre>{body}</pre></details>", ""]
    lines += [f"- {_inline(note)}" for note in result.notes]
    return "\n".join(lines).rstrip() + "\n"


def _total(result: Result) -> str:
    return say(
        "{points} of {possible} points", points=_points(result.points), possible=f"{result.possible:g}"
    )


def _by_hand(cell: ByHand) -> str:
    return say("{cell} is graded by hand ({points} points).", cell=cell.cell, points=f"{cell.possible:g}")


def _points(value: float) -> str:
    return f"{round(value, 2):g}"


def _of(part: PartResult) -> str:
    if part.points is None:
        return say(DECIDES)
    return f"{_points(part.points)} / {part.possible:g}"


def _named(part: PartResult) -> str:
    return _inline(", ".join(known["id"] for known in part.mistakes))


def _inline(text: str) -> str:
    """Text of a table's cell, in which nothing can be markup."""
    escaped = html.escape(text.replace("\n", " "))
    return "".join(f"&#{ord(mark)};" if mark in "|*_`[]\\~" else mark for mark in escaped)


# --------------------------------------------------------------------------- command line


def workflow(notebook: str) -> str:
    """The workflow file for a classroom repository on GitHub, in which students have `notebook`.

    It installs the grader kit, which is published beside the book: the grader, and no solutions or hidden tests.
    """
    if not WORKFLOW_PATH.fullmatch(notebook):
        raise CourseError(
            f"the notebook is {notebook!r}; expected its path in the classroom repository, such as resnet.ipynb or "
            "work/resnet.ipynb, of letters, digits, '.', '_', '-' and '/'"
        )
    text = (Path(__file__).parent / "scaffold" / "classroom.txt").read_text(encoding="utf-8")
    text = text.replace(
        "@torch@", version("torch").partition("+")[0]
    )  # what is tried here, without its build
    kit = f"{address.pages_of(address.REPOSITORY)}grader-kit.zip"
    return text.replace("@kit@", kit).replace("@notebook@", notebook)


def _require_place(option: str, path: Path | None) -> None:
    """Raises CourseError where a file could not be written, before the time of a grading is spent."""
    if path is None:
        return
    if path.is_dir():
        raise CourseError(f"{option} {printable(str(path))} is a folder; expected the file to write")
    if not path.parent.is_dir():
        raise CourseError(
            f"{option} {printable(str(path))} cannot be written: there is no folder {printable(str(path.parent))}; "
            "make it, or name another file"
        )
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise CourseError(
            f"{option} {printable(str(path))} cannot be written; set permissions, or name another file"
        )


def _run(args: argparse.Namespace) -> int:
    try:
        if args.workflow:
            print(workflow(args.notebook.as_posix()), end="")
            if nowhere := address.problem("the grader kit's address in this workflow leads"):
                print(f"casestudies grade-one: {nowhere}", file=sys.stderr)
            return 0
        for option, path in (("--gradescope", args.gradescope), ("--summary", args.summary)):
            _require_place(option, path)
        result = grade_one(args.notebook, args.assignment, args.visible)
        if args.gradescope is not None:
            args.gradescope.write_text(json.dumps(as_gradescope(result), indent=1) + "\n", encoding="utf-8")
        if args.summary is not None:
            with args.summary.open("a", encoding="utf-8") as file:  # other steps may have written there
                file.write(as_summary(result))
    except (CourseError, SourceError, SecretError) as error:
        print(f"casestudies grade-one: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(result.to_dict(), indent=1))
    elif args.gradescope is None and args.summary is None:
        print(as_text(result), end="")
    if args.strict:
        return 0 if all(part.state == "passed" for part in result.parts) else 1
    return 1 if result.needs_human else 0


def add_parser(subparsers: Any) -> None:
    """`casestudies grade-one NOTEBOOK [--json] [--gradescope FILE] [--summary FILE] ...`"""
    parser = subparsers.add_parser(
        "grade-one",
        description="The visible checks decide, and the hidden ones where the notebook stands in the "
        "course's folder. Exit status: 0 graded, 1 a human has to decide (--strict: not all is right), 2 bad input.",
    )
    parser.add_argument("notebook", type=Path)
    parser.add_argument(
        "--assignment", default="", metavar="NAME", help="where it cannot be told by its cells"
    )
    parser.add_argument("--visible", action="store_true", help="the visible checks only, wherever it stands")
    parser.add_argument("--json", action="store_true", help="the whole result on standard output")
    parser.add_argument("--gradescope", type=Path, metavar="FILE", help="write Gradescope's results.json")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="add a Markdown summary to a file")
    parser.add_argument(
        "--workflow",
        action="store_true",
        help="grade nothing; print the workflow for a repository with NOTEBOOK",
    )
    parser.add_argument("--strict", action="store_true", help="exit status 1 unless every part is right")
    parser.set_defaults(run=_run)
