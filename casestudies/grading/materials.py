"""Where the course's material is: assignments, samples, nbgrader's configuration; and a course folder made of it.

In a clone it lies around the package, where it is edited. The wheel carries a copy (setup.py puts it there), so that

    casestudies init my-course

lays out a folder in which nbgrader's commands and `casestudies grade` work, without the repository.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import casestudies
from casestudies import language
from casestudies.grading.secret import NAME as SECRET
from casestudies.grading.secret import SecretError, course_secret
from casestudies.sandboxed.quoting import printable

COURSE = (
    "nbgrader_config.py",
    "solutions/*.md",
    "locale/*/assignments/*.po",
    "exercises/*/*.ipynb",
    "samples/*/*.py",
)
NO_LANGUAGE = "language=None"  # in nbgrader_config.py
# What may be published is listed, and nothing else is: nobody knows where the next table with names will lie.
GITIGNORE = """# Only the course's own material goes into a repository.
# All else may hold students' work, names, grades, or the secret.
/*
!/.gitignore
!/README*
!/LICENSE*
!/nbgrader_config.py
!/solutions/
!/exercises/
!/samples/
!/locale/
# Built from solutions/<name>.md
/solutions/*/
"""


# What a new repository may hold already, whoever made it: it stays as it is.
KEPT = re.compile(
    r"\.git|\.gitignore|\.gitattributes|(README|LICENSE|LICENCE|COPYING)(\.[A-Za-z]+)?", re.IGNORECASE
)
OWN_RULES = "course.gitignore"  # where there is a .gitignore already

# A course_id is the name of a folder of nbgrader's exchange.
COURSE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")  # the gradebook has room for 128
NAMED = """
# The name under which the gradebook and nbgrader's exchange know this course; fixed once something is graded.
c.CourseDirectory.course_id = {course_id!r}
"""


class MaterialError(RuntimeError):
    """The material is missing, or cannot be laid out; one sentence says what to do."""


def materials() -> Path:
    """The folder with `solutions/`, `exercises/`, `samples/` and `nbgrader_config.py`: the clone's, or the wheel's.

    Raises MaterialError where this installation has neither.
    """
    package = Path(casestudies.__file__).resolve().parent
    for folder in (package / "materials", package.parent):
        if (folder / "solutions").is_dir() and (folder / "nbgrader_config.py").is_file():
            return folder
    raise MaterialError(
        "this installation carries no assignments; install the course anew: pip install 'casestudies[grading]'"
    )


def named_after(folder: Path) -> str:
    """The course_id of a folder that was given none: its name, as far as a course_id may have it.

    >>> named_after(Path("courses/Vision 2026"))
    'Vision-2026'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.name).lstrip("_.-")[:128] or "course"


def staging(folder: Path) -> Path:
    """A folder for its owner alone, to make in it what `folder` shall hold; beside that, or in it if it exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    parent = folder if folder.is_dir() else folder.parent
    return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=parent))


def appear(staged: Path, folder: Path) -> None:
    """Gives what was made in `staging(folder)` its place: all of it, or nothing.

    A folder that exists stays the one that it is, since a shell may stand in it, or a disk be mounted there. Raises
    OSError, after which `folder` is as it was.
    """
    if staged.parent != folder:
        staged.rename(folder)
        return
    moved: list[Path] = []
    try:
        for path in sorted(staged.iterdir()):
            moved.append(path.rename(folder / path.name))
        folder.chmod(staged.stat().st_mode)
    except OSError:
        for path in moved:
            path.rename(staged / path.name)
        raise


def lay_out(folder: Path, course_id: str | None = None, code: str = language.ENGLISH) -> list[str]:
    """Makes a course folder; returns the names of its assignments. All of it appears at once, or nothing.

    `course_id` is the folder's name unless given. In a language that is not English, by its `code`, the students'
    notebooks are made in it, and the configuration says so. Raises MaterialError where `course_id` is not fit to be
    one, and where `folder` holds more than a new repository does, or cannot be written. What it holds is not changed.
    """
    from casestudies.grading.notebooks import assignments, release

    source = materials()
    folder = Path(os.path.abspath(folder))
    if course_id is None:
        course_id = named_after(folder)
    if not COURSE_ID.fullmatch(course_id):
        raise MaterialError(
            f"--course-id {course_id!r}: expected letters, digits, '-', '_' and '.', at most 128, "
            "as in vision-2026"
        )
    if not folder.name.isprintable():
        raise MaterialError(
            f"the folder {folder.name!r} has a character that cannot be shown; name another one"
        )
    if folder.is_symlink() or folder.exists() and not folder.is_dir():
        raise MaterialError(f"{folder} exists and is no folder; name another one")
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if foreign := sorted(name for name in inside if not KEPT.fullmatch(name)):
        raise MaterialError(
            f"{folder} is not empty: {printable(foreign[0], 100)} is in it; nothing was changed. Name a folder that "
            "is new, or that holds no more than a new repository: .git, .gitignore, README, LICENSE"
        )
    staged: Path | None = None
    try:
        staged = staging(folder)
        for pattern in COURSE:
            for path in sorted(source.glob(pattern)):
                copy = staged / path.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        config = (source / "nbgrader_config.py").read_text(encoding="utf-8")
        if code != language.ENGLISH:
            if NO_LANGUAGE not in config:
                raise MaterialError(
                    f"{source / 'nbgrader_config.py'} has no {NO_LANGUAGE}, which would become language={code!r}; "
                    "make the course without --language, and give configure the language there"
                )
            config = config.replace(NO_LANGUAGE, f'language="{code}"')
            release(assignments(source), source, code=code, folder=staged / "exercises")
        (staged / "nbgrader_config.py").write_text(
            config + NAMED.format(course_id=course_id), encoding="utf-8"
        )
        (staged / "submitted").mkdir()
        rules = OWN_RULES if ".gitignore" in inside else ".gitignore"  # theirs stays as it is
        (staged / rules).write_text(GITIGNORE, encoding="utf-8")
        course_secret(staged)
        appear(staged, folder)  # mode 700: submissions and grades are nobody else's to read
    except SecretError as error:
        raise MaterialError(str(error)) from None
    except OSError as error:
        raise MaterialError(
            f"{folder} cannot be made: {error.strerror}; make its parent writable, or name another folder"
        ) from None
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    return sorted(path.stem for path in (folder / "solutions").glob("*.md"))


def _run(args: argparse.Namespace) -> int:
    try:
        names = lay_out(args.folder, args.course_id, language.known(args.language or language.language()))
    except (MaterialError, ValueError) as error:
        print(f"casestudies init: {error}", file=sys.stderr)
        return 2
    course_id = args.course_id or named_after(Path(os.path.abspath(args.folder)))
    print(f"{args.folder}: a course with {len(names)} assignments ({', '.join(names)}).")
    print(
        f"  {course_id}   is its course_id; to change it, edit nbgrader_config.py before you grade anything"
    )
    print(f"  {args.folder}/submitted/<student>/<assignment>/   put submissions here")
    print(f"  {args.folder}/{SECRET}   back it up beside gradebook.db; hand it to nobody")
    if (args.folder / OWN_RULES).exists():
        print(
            f"  {args.folder}/.gitignore   was there and is as it was; append {OWN_RULES} to it before you commit: "
            "it keeps submissions, grades and the secret out"
        )
    stands_in_it = args.folder.samefile(Path.cwd())
    print(
        "Then: "
        + ("" if stands_in_it else f"cd {shlex.quote(str(args.folder))} && ")
        + "casestudies grade resnet"
    )
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies init FOLDER`"""
    parser = subparsers.add_parser(
        "init",
        description="It has assignments, samples, nbgrader's configuration, a secret.",
    )
    parser.add_argument("folder", type=Path, help="a folder that is new, empty, or a new repository")
    parser.add_argument(
        "--course-id",
        help="the name under which nbgrader knows the course, such as vision-2026 (default: the folder's name)",
    )
    codes = ", ".join(language.languages())
    parser.add_argument(
        "--language", metavar="CODE", help=f"of its notebooks and reports: {codes}; or CASESTUDIES_LANGUAGE"
    )
    parser.set_defaults(run=_run)
