"""What an assignment must have, written once: the tests ask it, `casestudies try` says it, and the book lists it.

    for demand in DEMANDS:
        faults = demand.faults(Draft(root, "resnet"))  # sentences; none where it is met

A *small* assignment says `SMALL = True` in its file of checks. It needs no block to repair, may be worth fewer
points, and gets by with fewer right answers.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import casestudies
from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import LeakError, SourceError, build_source, release

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from casestudies.checking.parts import Part
    from casestudies.checking.report import Report

# Sections that every chapter on a network has.
SECTIONS = ("What goes wrong", "Check yourself", "What to remember", "References")
POINTS = 20  # of a whole assignment, written answers included
SMALLEST = 5  # and of a small one at least
STYLES = 3  # right answers to each part, written in different ways
STYLES_OF_SMALL = 2
TAKE_AWAY = "<details><summary>Takeaway (open it when your check passes)</summary>"
SENTENCE = (26, 449)  # characters of what a student reads about a mistake


def clone() -> Path:
    """The clone of the repository that the package in use belongs to. Raises CourseError where there is none."""
    root = Path(casestudies.__file__).resolve().parents[1]
    if (root / "solutions").is_dir() and (root / "book" / "_toc.yml").is_file():
        return root
    raise CourseError(
        f"assignments are written in a clone of the repository, and the package in use is {root}, which is none; "
        "clone the repository, and in it: make environment, then . .venv/bin/activate"
    )


class Draft:
    """An assignment as it stands in the clone, finished or not."""

    def __init__(self, root: Path, name: str) -> None:
        self.root, self.name = root, name

    @property
    def files(self) -> dict[str, Path]:
        """What has to be written by hand."""
        return {
            "page": self.root / "book" / f"{self.name}.md",
            "source": self.root / "solutions" / f"{self.name}.md",
            "checks": self.root / "casestudies" / "checks" / f"{self.name}.py",
            "answers": self.root / "tests" / "checks" / f"{self.name}.py",
        }

    @cached_property
    def page(self) -> str:
        return self.files["page"].read_text(encoding="utf-8")

    @cached_property
    def source(self) -> NotebookNode:
        return build_source(self.files["source"])

    @cached_property
    def parts(self) -> dict[str, Part]:
        from casestudies.checking.parts import parts

        return parts(self.name)

    @property
    def small(self) -> bool:
        return bool(getattr(importlib.import_module(f"casestudies.checks.{self.name}"), "SMALL", False))

    @cached_property
    def answers(self) -> ModuleType:
        """The tables of right and wrong answers, which the tests ask: CORRECT and WRONG."""
        spec = importlib.util.spec_from_file_location(f"variants_{self.name}", self.files["answers"])
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    @property
    def graded(self) -> list[NotebookNode]:
        return [cell for cell in self.source.cells if cell.metadata.get("nbgrader", {}).get("grade")]


@dataclass(frozen=True)
class Demand:
    """Something that an assignment must have. `faults` says, sentence by sentence, what is missing."""

    name: str
    says: str  # of every assignment
    of_small: str  # of a small one, where that differs; "-" where nothing is demanded of it
    faults: Callable[[Draft], list[str]]


DEMANDS: list[Demand] = []


def _demand(says: str, of_small: str = "") -> Callable[[Callable[[Draft], Iterator[str]]], Any]:
    def add(find: Callable[[Draft], Iterator[str]]) -> Any:
        name = find.__name__.strip("_").replace("_", "-")
        DEMANDS.append(Demand(name, says, of_small, lambda draft: list(find(draft))))
        return find

    return add


def unmet(draft: Draft) -> list[tuple[Demand, str]]:
    """Every fault, with the demand that finds it. Where a file is missing, that alone: the others could only fail."""
    found = []
    for demand in DEMANDS:
        found += [(demand, fault) for fault in demand.faults(draft)]
        if demand.name == "files" and found:
            break
    return found


# --------------------------------------------------------------------------- the demands


@_demand(
    "Four files of one name: `book/<name>.md`, `solutions/<name>.md`, `casestudies/checks/<name>.py`, "
    "`tests/checks/<name>.py`."
)
def _files(draft: Draft) -> Iterator[str]:
    for kind, path in draft.files.items():
        if not path.is_file():
            yield f"the {kind} is missing: write {path.relative_to(draft.root)}"


@_demand("The page is listed once in `book/_toc.yml`.")
def _contents(draft: Draft) -> Iterator[str]:
    toc = (draft.root / "book" / "_toc.yml").read_text(encoding="utf-8")
    times = len(re.findall(rf"^ *- file: {re.escape(draft.name)}$", toc, re.MULTILINE))
    if times != 1:
        yield f"book/_toc.yml lists {draft.name} {times} times; expected one line `- file: {draft.name}`"


@_demand(f"The page has the sections {', '.join(f'*{section}*' for section in SECTIONS)}.")
def _sections(draft: Draft) -> Iterator[str]:
    for section in SECTIONS:
        if f"\n## {section}\n" not in draft.page:
            yield f"book/{draft.name}.md has no section `## {section}`"


@_demand("What the page cites has an entry in `book/references.bib`.")
def _citations(draft: Draft) -> Iterator[str]:
    path = draft.root / "book" / "references.bib"
    known = set(re.findall(r"^@\w+\{\s*([^,\s]+),", path.read_text(encoding="utf-8"), re.MULTILINE))
    for cited in dict.fromkeys(re.findall(r"(?<!`)\{cite:?\w*\}`([^`]+)`", prose(draft.page))):
        for key in cited.split(","):
            if key.strip() not in known:
                yield f"book/{draft.name}.md cites {key.strip()}; write its entry in book/references.bib"


@_demand("What the page quotes from the package is there, under the name that it gives.")
def _quotes(draft: Draft) -> Iterator[str]:
    text = re.sub(
        r"^(`{4,}).*?^\1\s*$", "", draft.page, flags=re.DOTALL | re.MULTILINE
    )  # pages within the page
    for quoted, options in re.findall(r"\{literalinclude\} (\S+)\n((?::[^\n]*\n)*)", text):
        path = (draft.files["page"].parent / quoted).resolve()
        if not path.is_file():
            yield f"book/{draft.name}.md quotes {quoted}, and there is no such file"
            continue
        defined = {getattr(node, "name", "") for node in ast.parse(path.read_text(encoding="utf-8")).body}
        for name in re.findall(r":pyobject: (\w+)", options):
            if name not in defined:
                known = ", ".join(sorted(defined - {""}))
                yield f"book/{draft.name}.md quotes {name}, and {path.name} has {known}"


@_demand("The page hands over to the notebook with an `{assignment}` directive.")
def _hand_over(draft: Draft) -> Iterator[str]:
    if f"```{{assignment}} {draft.name}\n" not in draft.page:
        yield f"book/{draft.name}.md does not hand over: write ```{{assignment}} {draft.name}"


@_demand("The notebook is built from the source, and no line of a solution is in it.")
def _notebook(draft: Draft) -> Iterator[str]:
    try:
        changed = release([draft.name], draft.root, check=True)
    except (SourceError, LeakError) as error:
        yield str(error)
    else:
        if changed:
            yield (
                f"exercises/{draft.name}/{draft.name}.ipynb is not what its source says: "
                f"casestudies exercises {draft.name}"
            )


@_demand("Each part is checked in a graded cell of the source, which is worth the points of its parts.")
def _graded(draft: Draft) -> Iterator[str]:
    if not draft.parts:
        yield f"casestudies/checks/{draft.name}.py declares no part; write @part(...)"
    points = {part.id: part.points for part in draft.parts.values()}
    for id in points:
        if not any(f'"{id}"' in cell.source for cell in draft.graded):
            yield f'no graded cell of solutions/{draft.name}.md has check("{id}", ...)'
    for cell in draft.graded:
        named = [id for id in points if f'"{id}"' in cell.source]
        header = cell.metadata["nbgrader"]
        if named and header["points"] != sum(points[id] for id in named):
            yield (
                f"the cell {header['grade_id']} is worth {header['points']:g} points, and what it checks "
                f"{sum(points[id] for id in named):g}"
            )


@_demand("The reference of each part runs in every case that a check may draw.")
def _cases(draft: Draft) -> Iterator[str]:
    from casestudies.checking.runs import faults_of_cases

    for part in draft.parts.values():
        for fault in faults_of_cases(part):
            yield f"casestudies/checks/{draft.name}.py, {fault}"


@_demand("`written(...)`, in the file of checks, says what the written answers of the source are worth.")
def _written(draft: Draft) -> Iterator[str]:
    from casestudies.checking.parts import written_points

    found = sum(cell.metadata["nbgrader"]["points"] for cell in draft.graded if cell.cell_type == "markdown")
    if (said := written_points(draft.name)) != found:
        yield (
            f"the written answers of solutions/{draft.name}.md are worth {found:g} points, and "
            f"casestudies/checks/{draft.name}.py says {said:g}; write written({draft.name!r}, points={found:g})"
        )


@_demand("The source has something to take away, folded, to be opened when the check passes (`<details>`).")
def _take_away(draft: Draft) -> Iterator[str]:
    if not any(TAKE_AWAY in cell.source for cell in draft.source.cells if cell.cell_type == "markdown"):
        yield f"solutions/{draft.name}.md has nothing to take away: write {TAKE_AWAY}"


@_demand(
    f"All points together are {POINTS}, written answers included.",
    f"All points together are {SMALLEST} to {POINTS}.",
)
def _points(draft: Draft) -> Iterator[str]:
    total = sum(cell.metadata["nbgrader"]["points"] for cell in draft.graded)
    if draft.small and not SMALLEST <= total <= POINTS:
        yield f"the cells are worth {total:g} points together; expected {SMALLEST} to {POINTS}"
    if not draft.small and total != POINTS:
        yield (
            f"the cells are worth {total:g} points together; expected {POINTS}, "
            "or SMALL = True in the file of checks"
        )


@_demand("Exactly one part is a block to repair; its name contains `repaired`.", "-")
def _repair(draft: Draft) -> Iterator[str]:
    found = [id for id in draft.parts if "repaired" in id]
    if not draft.small and len(found) != 1:
        yield (
            f"{len(found)} parts are to be repaired; expected one, such as {draft.name}/repaired_block, "
            "or SMALL = True in the file of checks"
        )


@_demand(
    f"`CORRECT` has at least {STYLES} right answers to each part, in different styles.",
    f"`CORRECT` has at least {STYLES_OF_SMALL}.",
)
def _right_answers(draft: Draft) -> Iterator[str]:
    wanted = STYLES_OF_SMALL if draft.small else STYLES
    for id in draft.parts:
        if (found := len(draft.answers.CORRECT.get(id, {}))) < wanted:
            yield (
                f"tests/checks/{draft.name}.py has {found} right answers to {id}; expected {wanted} styles or more"
            )


@_demand("`WRONG` has at least one wrong answer to each part, as students would write it.")
def _wrong_answers(draft: Draft) -> Iterator[str]:
    for id in draft.parts:
        if not draft.answers.WRONG.get(id):
            yield f"tests/checks/{draft.name}.py has no wrong answer to {id}"
    for table in (draft.answers.CORRECT, draft.answers.WRONG):
        for id in table.keys() - draft.parts.keys():
            yield f"tests/checks/{draft.name}.py answers {id}, which is no part of the assignment"


@_demand(
    f"Each part has known mistakes, each explained in {SENTENCE[0]} to {SENTENCE[1]} characters that end with a full "
    "stop or a closing parenthesis, with a link to a place of the book that exists."
)
def _mistakes(draft: Draft) -> Iterator[str]:
    for part in draft.parts.values():
        if not part.mistakes:
            yield f"{part.id} has no known mistake; write @mistake({part.id!r}) in the file of checks"
        for id in sorted(part.given - {known.id for known in part.mistakes}):
            yield f"{part.id} is given with the mistake {id}, and has no mistake of that name"
        for known in part.mistakes:
            where = f"{part.id}, {known.id}"
            if not SENTENCE[0] <= len(known.text) <= SENTENCE[1] or not known.text.endswith((".", ")")):
                yield (
                    f"{where}: the docstring has {len(known.text)} characters and ends with {known.text[-1:]!r}; "
                    f"expected {SENTENCE[0]} to {SENTENCE[1]}, and a full stop or ')'"
                )
            page, _, anchor = known.see.partition(".html#")
            path = draft.root / "book" / f"{page}.md"
            if not anchor or not path.is_file() or anchor not in anchors(path.read_text(encoding="utf-8")):
                yield f"{where}: see={known.see!r} leads nowhere; expected 'page.html#place' of the book"


@_demand("`tests/answers` has right and wrong answers to each part, for measuring the diagnosis.", "-")
def _measured_answers(draft: Draft) -> Iterator[str]:
    for table in () if draft.small else ("right", "wrong"):
        text = (draft.root / "tests" / "answers" / f"{table}.py").read_text(encoding="utf-8")
        for id in draft.parts:
            if f'"{id}"' not in text:
                yield f"tests/answers/{table}.py has no answer to {id}"


@_demand("Where there is a sample class, `samples/<name>/`, its files change cells that the notebook has.")
def _samples(draft: Draft) -> Iterator[str]:
    from casestudies.grading.sample_class import faults_of_sample

    for path in sorted((draft.root / "samples" / draft.name).glob("*.py")):
        for fault in faults_of_sample(path, draft.source):
            yield f"samples/{draft.name}/{path.name} {fault}"


def prose(text: str) -> str:
    """A page without its front matter, and without fences but those that hold prose."""
    text = re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL)

    def shown(fence: re.Match[str]) -> str:
        return fence[3] if fence[2].startswith(("{admonition}", "{assignment}")) else ""

    return re.sub(r"^(`{3,})([^`\n]*)\n(.*?)^\1[ \t]*$", shown, text, flags=re.DOTALL | re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Places of a page that can be linked to: explicit targets, and headings as Sphinx names them."""
    explicit = set(re.findall(r"^\(([\w-]+)\)=$", text, re.MULTILINE))
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return explicit | {re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-") for heading in headings}


# --------------------------------------------------------------------------- what the checks must say of an answer


def fault_of_right(report: Report) -> str:
    """What is wrong with the report of a right answer; empty where nothing is."""
    if report.passed and report.points == report.possible:
        return ""
    return f"a right answer gets {report.points:g} of {report.possible:g} points"


def fault_of_wrong(part: Part, report: Report, expected: str | None) -> str:
    """What is wrong with the report of a wrong answer, in which the mistake `expected` should be named.

    The block that students are to repair, as it was given, earns nothing, and its mistakes are not named: that would
    give the answer away.
    """
    if report.passed or report.points >= report.possible:
        return f"a wrong answer gets {report.points:g} of {report.possible:g} points"
    if expected is None or expected in report.mistakes:
        return ""
    if expected in part.given and not report.mistakes and "as it was given" in report.summary:
        return ""
    named = ", ".join(report.mistakes) or "nothing"
    return f"{expected} is not named; named: {named}"
