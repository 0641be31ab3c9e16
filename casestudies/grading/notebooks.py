"""Assignments as text: solutions/<name>.md -> solutions/<name>/<name>.ipynb -> exercises/<name>/<name>.ipynb.

The source is MyST Markdown. A cell that nbgrader knows carries one line, `:nbgrader:`; `kind` stands for
nbgrader's flags. Code cells:

    ```{code-cell} python
    :nbgrader: {id: imports, kind: readonly}

    import torch
    from casestudies import check
    ```

    ```{code-cell} python
    :nbgrader: {id: basic_block, kind: solution}

    class BasicBlock(nn.Module):
        ### BEGIN SOLUTION
        ...
        ### END SOLUTION
    ```

    ```{code-cell} python
    :nbgrader: {id: check_basic_block, kind: tests, points: 4}

    check("resnet/basic_block", BasicBlock)
    ### BEGIN HIDDEN TESTS
    check("resnet/basic_block", BasicBlock, hidden=True)
    ### END HIDDEN TESTS
    ```

A text cell that nbgrader knows starts with a `+++` line, and a plain `+++` ends it:

    +++ {"nbgrader": {"id": "why", "kind": "written", "points": 2}}

    ### BEGIN SOLUTION
    The model answer, which students do not see.
    ### END SOLUTION

    +++

The kinds: `readonly` (restored when a student changes it), `solution` (students edit it), `tests` (graded
automatically; needs points), `written` (students edit it, graded by hand; needs points), `task` (text that
describes work graded by hand; needs points). Cells without the line are ordinary cells.

How much a report shows by itself in this notebook (the student can always open the rest) may stand in the head of the
file; students get it as a cell that sets CASESTUDIES_HINTS:

    casestudies:
      hints: place

`{{ repository }}` and `{{ book }}` stand for the addresses of the course (casestudies/address.py), so that a fork
changes them in one place. Building twice gives identical bytes: a cell's id comes from its `id` or from its text,
never from chance.
"""

from __future__ import annotations

import argparse
import ast
import glob
import hashlib
import json
import logging
import os
import re
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies import address, language
from casestudies.checking.shown import STEPS
from casestudies.grading import editions

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from casestudies.grading.cells import CellMetadata

FLAGS: dict[str, CellMetadata] = {
    "readonly": {"grade": False, "solution": False, "locked": True, "task": False},
    "solution": {"grade": False, "solution": True, "locked": False, "task": False},
    "tests": {"grade": True, "solution": False, "locked": True, "task": False},
    "written": {"grade": True, "solution": True, "locked": False, "task": False},
    "task": {"grade": False, "solution": False, "locked": True, "task": True},
}
COURSE_ID = "casestudies"  # of the course in the gradebook, for nbgrader's commands and ours
HINTS = """\
# How much a report shows by itself. Everything else opens by a click.
import os

os.environ["CASESTUDIES_HINTS"] = "{hints}"
"""
NEEDS_POINTS = {"tests", "written", "task"}
CODE_ONLY, TEXT_ONLY = {"tests"}, {"task"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
NATURAL = "natural_language"  # in a notebook's metadata, where its prose is not English
ABANDONED = 3600.0  # seconds after which nobody is writing a draft any more
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class SourceError(ValueError):
    """A text source that cannot become an assignment; the message says where and what to write."""


class LeakError(RuntimeError):
    """Text of a solution or of a hidden test was found in what students would get."""


def find_root(start: Path | None = None) -> Path:
    """The course's folder: the nearest one upwards with `nbgrader_config.py` and `solutions/`."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "nbgrader_config.py").is_file() and (folder / "solutions").is_dir():
            return folder
    raise FileNotFoundError(
        f"no course found at {start} or above it: expected a folder with nbgrader_config.py and solutions/. "
        "Change into the course's folder, which casestudies init makes, or into the clone."
    )


def assignments(root: Path) -> list[str]:
    """The names of all assignments, in alphabetical order."""
    return sorted(path.stem for path in (root / "solutions").glob("*.md"))


# --------------------------------------------------------------------------- text -> source notebook


def _expand(header: Any, cell_type: str, where: str) -> CellMetadata:
    """nbgrader's metadata from the short header."""
    if not isinstance(header, dict):
        raise SourceError(f"{where}: nbgrader is {header!r}; expected {{id: ..., kind: ...}}")
    known = {"id", "kind", "points"}
    if unknown := sorted(set(header) - known):
        raise SourceError(f"{where}: nbgrader has {unknown[0]!r}; expected only {', '.join(sorted(known))}")
    name, kind, points = header.get("id"), header.get("kind"), header.get("points")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise SourceError(f"{where}: id is {name!r}; expected 1 to 64 letters, digits, '_' or '-'")
    if kind not in FLAGS:
        raise SourceError(f"{where}: kind of {name!r} is {kind!r}; expected one of {', '.join(FLAGS)}")
    if kind in CODE_ONLY and cell_type != "code" or kind in TEXT_ONLY and cell_type != "markdown":
        raise SourceError(f"{where}: {name!r} is a {cell_type} cell, which cannot have the kind {kind!r}")
    if cell_type == "markdown" and kind == "solution":
        raise SourceError(f"{where}: {name!r} is text that students write; give it the kind 'written'")
    metadata: CellMetadata = {"grade_id": name, "schema_version": 3, **FLAGS[kind]}
    if kind in NEEDS_POINTS:
        if isinstance(points, bool) or not isinstance(points, (int, float)) or not points > 0:
            raise SourceError(f"{where}: points of {name!r} are {points!r}; expected a number above 0")
        metadata["points"] = points
    elif points is not None:
        raise SourceError(f"{where}: {name!r} has points, but a {kind!r} cell is not graded; remove them")
    return metadata


@dataclass(frozen=True)
class _Cell:
    """A cell of a text source: addresses are not filled in yet."""

    type: str
    source: str
    metadata: dict[str, Any]
    id: str


def _cells(path: Path) -> list[_Cell]:
    """The cells of a text source, with the ids that they have in every language."""
    import jupytext

    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path.name} is not UTF-8 (byte {error.start + 1}); save it as UTF-8") from None
    notebook = jupytext.reads(text, fmt="md:myst")
    used: set[str] = set()
    cells = []
    for number, cell in enumerate(notebook.cells, start=1):
        metadata = {key: value for key, value in cell.metadata.items() if key in ("tags", "nbgrader")}
        if "nbgrader" in metadata:
            where = f"{path.name}, cell {number}"
            metadata["nbgrader"] = _expand(metadata["nbgrader"], cell.cell_type, where)
            cell_id = metadata["nbgrader"]["grade_id"]
            if cell_id in used:
                raise SourceError(f"{where}: the id {cell_id!r} is used twice; every id must be unique")
        else:
            text = f"{cell.cell_type}\n{_addressed(cell.source)}"
            digest = hashlib.sha256(text.encode()).hexdigest()[:12]
            cell_id, repeat = f"cell-{digest}", 1
            while cell_id in used:
                repeat += 1
                cell_id = f"cell-{digest}-{repeat}"
        used.add(cell_id)
        cells.append(_Cell(cell.cell_type, cell.source, metadata, cell_id))
    if (hints := _hints(notebook.metadata.get("casestudies"), path.name)) is not None:
        if "hints" in used:
            raise SourceError(
                f"{path.name}: the id 'hints' is kept for the cell that sets the hints; rename it"
            )
        first = next((n for n, cell in enumerate(cells, start=1) if cell.type == "code"), len(cells))
        metadata = {"nbgrader": _expand({"id": "hints", "kind": "readonly"}, "code", path.name)}
        cells.insert(first, _Cell("code", HINTS.format(hints=hints).strip(), metadata, "hints"))
    return cells


def _addressed(text: str, edition: str = "") -> str:
    """The text with the addresses of the course filled in; `edition` is the folder of the book in a language."""
    book = address.pages_of(address.REPOSITORY)
    return text.replace("{{ repository }}", address.REPOSITORY).replace("{{ book }}", f"{book}{edition}")


def messages(path: Path) -> list[editions.Prose]:
    """What is to be translated of an assignment, in its order: nothing of what students do not get."""
    return editions.prose([(cell.type, cell.source) for cell in _cells(path)])


def rubric_messages(path: Path) -> list[editions.Prose]:
    """What is to be translated of its rubrics, which no notebook shows: they come with the feedback."""
    return editions.rubric_messages([(cell.type, cell.source) for cell in _cells(path)])


def build_source(path: Path, code: str = language.ENGLISH) -> NotebookNode:
    """Reads a text source; returns the notebook in nbgrader's source format, its prose in the language of `code`.

    Raises SourceError, naming the cell, where a header is not understood, an id is used twice, or a translation would
    change code.
    """
    from nbformat import v4

    make = {"code": v4.new_code_cell, "markdown": v4.new_markdown_cell, "raw": v4.new_raw_cell}
    metadata: dict[str, Any] = dict(METADATA)
    korean: Mapping[str, str] = {}
    if code != language.ENGLISH:
        korean = editions.translations(path, code)
        metadata[NATURAL] = code
    cells = []
    for cell in _cells(path):
        source, edition = cell.source, ""
        if korean:
            try:
                source = editions.rewritten(cell.type, source, lambda _, text: korean.get(text, text))
            except editions.EditionError as error:
                raise SourceError(f"{path.name} in {code!r}, cell {cell.id!r}: {error}") from None
            edition = f"{code}/" if cell.type == "markdown" else ""
        cells.append(make[cell.type](_addressed(source, edition), metadata=cell.metadata, id=cell.id))
    built = v4.new_notebook(cells=cells, metadata=metadata)
    built.nbformat_minor = 5
    return built


def language_of(notebook: str) -> str:
    """The language of a notebook, given as the text of its file: what `build_source` wrote into it."""
    return str(json.loads(notebook).get("metadata", {}).get(NATURAL, language.ENGLISH))


def _hints(setting: Any, where: str) -> str | None:
    """The step that the head of a source names; None where it names none."""
    if setting is None:
        return None
    if not isinstance(setting, dict) or set(setting) != {"hints"}:
        raise SourceError(f"{where}: casestudies in the head is {setting!r}; expected {{hints: ...}} alone")
    if setting["hints"] not in STEPS:
        raise SourceError(
            f"{where}: hints in the head is {setting['hints']!r}; expected one of {', '.join(STEPS)}"
        )
    return setting["hints"]


def notebook_text(notebook: NotebookNode) -> str:
    """The bytes of a notebook as we write them: nbformat's, sorted keys, a newline at the end."""
    import nbformat

    return nbformat.writes(notebook, version=4) + "\n"


def write_if_different(path: Path, text: str, stamp: int | None = None) -> bool:
    """Writes a file unless it already says the same; returns whether it wrote. Whoever reads it meanwhile, such as a
    second course of the same clone, reads all of it, as it was or as it is. `stamp` is the time that the file gets,
    in nanoseconds; with what it holds, so that it never has the time of what somebody else writes.
    """
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        if stamp is not None and path.stat().st_mtime_ns != stamp:
            with suppress(OSError):  # a clone of somebody else's
                os.utime(path, ns=(stamp, stamp))
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    path = path.resolve()  # where it is a link, its target is written
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    # nbgrader copies all that lies beside a notebook, to students as well. A draft that is left where a build was
    # killed may be of the solution.
    above = path.parent.parent
    folder = above if path.parent.name == path.stem and os.access(above, os.W_OK) else path.parent
    with (
        draft_of(path, mode, folder, stamp) as descriptor,
        os.fdopen(descriptor, "w", encoding="utf-8", newline="") as output,
    ):
        output.write(text)
    return True


@contextmanager
def draft_of(
    path: Path, mode: int = 0o644, folder: Path | None = None, stamp: int | None = None
) -> Iterator[int]:
    """A new file in `folder`, by default beside `path`, which takes its place when all is written. The caller closes
    the descriptor. Drafts of the same file that nobody can be writing any more are removed."""
    folder = folder or path.parent
    for old in folder.glob(f".{glob.escape(path.name)}.????????"):
        with suppress(OSError):  # another process may have removed it
            if time.time() - old.stat().st_mtime > ABANDONED:
                old.unlink()
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=folder)
    try:
        yield descriptor
        os.chmod(draft, mode)
        if stamp is not None:
            os.utime(draft, ns=(stamp, stamp))
        os.replace(draft, path)
    finally:
        Path(draft).unlink(missing_ok=True)


def build_sources(
    root: Path, names: Iterable[str] | None = None, only_stale: bool = False, code: str = language.ENGLISH
) -> list[Path]:
    """Writes solutions/<name>/<name>.ipynb for each text source, in the language of `code`; returns the paths.

    With `only_stale`, a notebook in that language that was made of these very files is taken as it is.
    """
    paths = []
    for name in assignments(root) if names is None else names:
        source, target = root / "solutions" / f"{name}.md", root / "solutions" / name / f"{name}.ipynb"
        paths.append(target)
        catalogue = editions.catalogue_of(source, code)
        made_of = [source, Path(address.__file__), *([catalogue] if catalogue.is_file() else [])]
        stamp = _stamp_of(made_of)
        if only_stale and target.is_file() and _is_made_of(target, made_of, stamp):
            if language_of(target.read_text(encoding="utf-8")) == code:
                continue
        write_if_different(target, notebook_text(build_source(source, code)), stamp)
    return paths


@contextmanager
def own_source(root: Path, name: str, code: str = language.ENGLISH) -> Iterator[Path]:
    """A folder like solutions/, with one assignment in the language of `code`. In the clone's own, another course may
    put a notebook in its language at any moment."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch, name)
        if (beside := root / "solutions" / name).is_dir():
            shutil.copytree(beside, target, ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"))
        text = notebook_text(build_source(root / "solutions" / f"{name}.md", code))
        write_if_different(target / f"{name}.ipynb", text)
        yield Path(scratch)


def _stamp_of(files: Iterable[Path]) -> int:
    """The time of the newest file to the second, with a fraction that stands for the times and sizes of all.

    What is newer than its text need not be made of it: the clock may have been put back, or an older text copied
    back with its time.
    """
    known = [(each.stat().st_mtime_ns, each.stat().st_size) for each in files]
    newest, _ = max(known)
    return newest - newest % 10**9 + zlib.crc32(repr(known).encode()) % 10**6 * 1000


def _is_made_of(target: Path, files: Iterable[Path], stamp: int) -> bool:
    if target.stat().st_mtime_ns == stamp:
        return True
    # Where it can be given no such time, its own is all there is to go by.
    newer = target.stat().st_mtime > max(each.stat().st_mtime for each in files)
    return newer and not os.access(target, os.W_OK)


# --------------------------------------------------------------------------- source notebook -> release


@dataclass(frozen=True)
class _Region:
    begin: str
    end: str


_SECRETS = (
    _Region("BEGIN SOLUTION", "END SOLUTION"),
    _Region("BEGIN HIDDEN TESTS", "END HIDDEN TESTS"),
    _Region("BEGIN MARK SCHEME", "END MARK SCHEME"),
)


def secret_lines(source: NotebookNode) -> set[str]:
    """The lines of a source notebook that students must not get.

    A line that also stands outside of every solution and hidden test (`return x`) is no secret, nor is
    one that says almost nothing.
    """
    secret: set[str] = set()
    public: set[str] = set()
    for cell in source.cells:
        whole = (
            cell.metadata.get("nbgrader", {}).get("solution", False) and "BEGIN SOLUTION" not in cell.source
        )
        inside = False
        for line in cell.source.splitlines():
            if any(region.end in line for region in _SECRETS):
                inside = False
            elif any(region.begin in line for region in _SECRETS):
                inside = True
            else:
                (secret if inside or whole else public).add(line.strip())
    return {line for line in secret - public if len(re.sub(r"\W", "", line)) >= 6}


def leaks(source: NotebookNode, released: str) -> list[str]:
    """The secret lines that stand in a released notebook, given as text of its file."""
    shown = set()
    for cell in json.loads(released)["cells"]:
        text = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        shown |= {line.strip() for line in text.splitlines()}
        if cell.get("outputs"):
            shown |= {line.strip() for line in json.dumps(cell["outputs"]).split("\\n")}
    return sorted(secret_lines(source) & shown)


def _check_parts(name: str, notebook: NotebookNode) -> None:
    """Every graded `check(...)` must be one that the grader can run by itself, of a part that exists."""
    from casestudies.checking.parts import parts
    from casestudies.grading.cells import Check, UnprotectedCheck, steps

    known = parts()
    for cell in notebook.cells:
        header = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or not header.get("grade") or header.get("solution"):
            continue
        where = f"{name}, cell {header['grade_id']!r}"
        try:
            todo = steps(cell.source)
        except UnprotectedCheck as error:
            raise SourceError(f"{where}: {error}") from None
        except SyntaxError as error:
            raise SourceError(f"{where} is not Python: {error}") from None
        for step in todo:
            if isinstance(step, Check) and step.part not in known:
                raise SourceError(
                    f"{where}: there is no part {step.part!r}; known: {', '.join(sorted(known))}"
                )


def generate_assignment(
    root: Path,
    name: str,
    release: Path,
    course: Path | None = None,
    source: Path | None = None,
    db_url: str | None = None,
    course_id: str = COURSE_ID,
) -> None:
    """`nbgrader generate_assignment`: source -> release/<name>/<name>.ipynb.

    With `course`, the assignment's cells are also recorded in its gradebook (`course/gradebook.db`, or `db_url`), as
    those of the course `course_id`.
    """
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(course or root)
    config.CourseDirectory.course_id = course_id
    config.CourseDirectory.source_directory = str(source or root / "solutions")
    config.CourseDirectory.release_directory = str(release)
    config.CourseDirectory.assignment_id = name
    config.BaseConverter.force = True
    if db_url is not None:
        config.CourseDirectory.db_url = db_url
    if course is None:
        config.SaveCells.enabled = False
        config.GenerateAssignment.no_database = True
    log = logging.getLogger("casestudies.exercises")
    log.setLevel(logging.ERROR)
    coursedir = CourseDirectory(config=config, log=log)
    GenerateAssignment(coursedir=coursedir, config=config, log=log).start()


def released(
    name: str, root: Path, code: str = language.ENGLISH, scratch: Path | None = None
) -> tuple[NotebookNode, str]:
    """An assignment's source notebook, and the text of what students get, proved free of solutions.

    Nothing outside of `scratch`, a temporary folder by default, is written. Raises SourceError and LeakError.
    """
    import nbformat

    with tempfile.TemporaryDirectory() as temporary:
        scratch = scratch or Path(temporary)
        source = build_source(root / "solutions" / f"{name}.md", code)
        _check_parts(name, source)
        staged = Path(scratch, "source", name, f"{name}.ipynb")
        write_if_different(staged, notebook_text(source))
        generate_assignment(root, name, Path(scratch, "release"), source=staged.parent.parent)
        built = nbformat.read(Path(scratch, "release", name, f"{name}.ipynb"), as_version=4)
    text = notebook_text(built)
    if found := leaks(source, text):
        raise LeakError(f"{name}: students would get this line of a solution: {found[0]!r}")
    return source, text


def release(
    names: Sequence[str],
    root: Path,
    check: bool = False,
    code: str = language.ENGLISH,
    folder: Path | None = None,
) -> list[str]:
    """Builds the named assignments; returns the names of those whose committed notebook was different.

    The new notebook is proved free of solutions before anything is written; with `check` nothing is. The students'
    notebooks go to `folder`, by default exercises/, their prose in the language of `code`; with a `folder` nothing
    else is written.
    """
    changed = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            source, text = released(name, root, code, Path(scratch))
            target = (folder or root / "exercises") / name / f"{name}.ipynb"
            if not target.is_file() or target.read_text(encoding="utf-8") != text:
                changed.append(name)
                if not check:
                    write_if_different(target, text)
            if not check and folder is None:
                write_if_different(root / "solutions" / name / f"{name}.ipynb", notebook_text(source))
    return changed


def defined_names(source: str) -> set[str]:
    """The classes and functions that a piece of code defines at its top; none where it does not parse."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def fill(released: NotebookNode, answers: dict[str, str]) -> NotebookNode:
    """A submission: the released notebook with some cells, by id, replaced by a student's text."""
    import copy

    notebook = copy.deepcopy(released)
    by_id = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in notebook.cells}
    for name, source in answers.items():
        if name not in by_id:
            raise KeyError(
                f"answer for {name!r}, but the notebook has the cells {sorted(filter(None, by_id))}"
            )
        by_id[name].source = source
    return notebook


# --------------------------------------------------------------------------- command line


def _run(args: argparse.Namespace) -> int:
    try:
        root = find_root()
        known = assignments(root)
        if unknown := [name for name in args.names if name not in known]:
            raise SourceError(f"there is no assignment {unknown[0]!r}; known: {', '.join(known) or 'none'}")
        code = editions.wanted(root, args.language)
        changed = release(args.names or known, root, check=args.check, code=code, folder=args.to)
    except (ValueError, LeakError, FileNotFoundError) as error:
        print(f"casestudies exercises: {error}", file=sys.stderr)
        return 2
    where, said = args.to or "exercises", "" if code == language.ENGLISH else f", in the language {code!r}"
    for name in changed:
        done = "differs from its source" if args.check else "written"
        print(f"{where}/{name}/{name}.ipynb {done}{said}")
    if args.check and changed:
        print("Run `casestudies exercises` and commit the result.", file=sys.stderr)
        return 1
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies exercises [--check] [--language CODE] [--to FOLDER] [NAME ...]`"""
    parser = subparsers.add_parser("exercises")
    parser.add_argument("names", nargs="*", metavar="NAME", help="an assignment; all when left out")
    parser.add_argument(
        "--check", action="store_true", help="write nothing; fail if a notebook is out of date"
    )
    codes = ", ".join(language.languages())
    parser.add_argument(
        "--language",
        metavar="CODE",
        help=f"of the notebooks' text: {codes} (default: the course's, or CASESTUDIES_LANGUAGE)",
    )
    parser.add_argument(
        "--to", type=Path, metavar="FOLDER", help="write the notebooks there instead of exercises/"
    )
    parser.set_defaults(run=_run)


__all__ = ["add_parser", "build_source", "build_sources", "fill", "find_root", "leaks", "release"]
