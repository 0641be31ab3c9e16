"""`casestudies new senet` begins an assignment.

It is whole at once, so that all tests pass; its author then replaces the block in it by a paper's. The files it is
made of lie in `scaffold/`. What the tests demand stands in `demands.py`; `casestudies try senet` says how far it is.
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from casestudies.grading.demands import clone
from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import LeakError, SourceError, release

SCAFFOLD = Path(__file__).parent / "scaffold"
# What each file of the scaffold becomes.
FILES = {
    "page": "book/@name@.md",
    "source": "solutions/@name@.md",
    "network": "casestudies/networks/@name@.py",
    "checks": "casestudies/checks/@name@.py",
    "answers": "tests/checks/@name@.py",
    "right": "samples/@name@/right.py",
    "wrong": "samples/@name@/activation-forgotten.py",
    "untouched": "samples/@name@/untouched.py",
}
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# Pages that Sphinx makes of its own: a chapter of this name would be overwritten, or overwrite them.
PAGES_OF_SPHINX = {"genindex", "index", "search"}


# --------------------------------------------------------------------------- new


def new_assignment(root: Path, name: str, title: str = "") -> list[Path]:
    """Writes all files of a small assignment, and its line in the book's contents; returns their paths.

    All of it is written, or nothing. Raises CourseError where the name cannot be one, or anything of it exists.
    """
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise CourseError(
            f"the name is {name!r}; expected a lower-case letter, then up to 30 lower-case letters, digits or '_' "
            "(no word of Python's), such as senet"
        )
    if name in PAGES_OF_SPHINX:
        raise CourseError(
            f"the name is {name!r}, and the book has a page of this name already; choose another one"
        )
    title = title.strip() or name
    if re.search(r"[\n\r\"\\@`{}\[\]|]", title) or len(title) > 60:
        raise CourseError(f"the title is {title!r}; expected one line of up to 60 characters, without markup")
    words = {"name": name, "title": title, "class": _class_name(name), "install": install_cell(root)}
    texts = {
        root / _filled(path, words): _filled((SCAFFOLD / f"{file}.txt").read_text(encoding="utf-8"), words)
        for file, path in FILES.items()
    }
    for path in [*texts, root / "exercises" / name, root / "solutions" / name]:
        if path.exists():
            raise CourseError(
                f"{path.relative_to(root)} exists, and nothing was changed; choose another name, or delete it"
            )
    contents = root / "book" / "_toc.yml"
    before = contents.read_text(encoding="utf-8")
    after = with_page(before, name, [path.stem for path in (root / "solutions").glob("*.md")])
    written: list[Path] = []
    made = [
        folder
        for folder in (root / "samples" / name, root / "exercises" / name, root / "solutions" / name)
        if not folder.exists()
    ]
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            written.append(path)
            path.write_text(text, encoding="utf-8")
        contents.write_text(after, encoding="utf-8")
        importlib.invalidate_caches()
        release([name], root)
    except BaseException:
        contents.write_text(before, encoding="utf-8")
        for path in written:
            path.unlink(missing_ok=True)
        for folder in made:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return [*texts, contents, root / "exercises" / name / f"{name}.ipynb"]


def with_page(contents: str, name: str, known: list[str]) -> str:
    """The book's table of contents with a page more, behind the last chapter that has an assignment."""
    if re.search(rf"^ *- file: {re.escape(name)}$", contents, re.MULTILINE):
        raise CourseError(f"book/_toc.yml has a page {name} already; choose another name")
    lines = [
        match for match in re.finditer(r"^( *- file: )(\w+)\n", contents, re.MULTILINE) if match[2] in known
    ]
    if not lines:
        raise CourseError(
            "book/_toc.yml lists no chapter with an assignment to put the new one behind; expected lines such as "
            "`- file: resnet`"
        )
    last = lines[-1]
    return f"{contents[: last.end()]}{last[1]}{name}\n{contents[last.end() :]}"


def install_cell(root: Path) -> str:
    """The cell that the other assignments install the course with."""
    for path in sorted((root / "solutions").glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if found := re.search(r":nbgrader: \{id: install, kind: readonly\}\n\n(.*?)\n```", text, re.DOTALL):
            return found[1]
    raise CourseError(
        f"no assignment in {root / 'solutions'} has a cell with the id install, to copy it from one"
    )


def _class_name(name: str) -> str:
    return "".join(word[:1].upper() + word[1:] for word in name.split("_")) + "Block"


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@(name|title|class|install)@", lambda match: words[match[1]], text)


# --------------------------------------------------------------------------- command line


def _new(args: argparse.Namespace) -> int:
    try:
        root = clone()
        paths = new_assignment(root, args.name, args.title)
    except (CourseError, SourceError, LeakError) as error:
        print(f"casestudies new: {error}", file=sys.stderr)
        return 2
    for path in paths:
        print(f"  {path.relative_to(root)}")
    print(f"A small assignment that passes all tests. Fill it in, and look: casestudies try {args.name}")
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies new NAME [--title TITLE]`"""
    parser = subparsers.add_parser(
        "new",
        description="Writes all files of a small assignment, which passes all tests; then fill it in.",
    )
    parser.add_argument("name", help="such as senet")
    parser.add_argument("--title", default="", help="the title of its page and notebook")
    parser.set_defaults(run=_new)
