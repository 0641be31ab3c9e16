"""The fingerprint of the code that judges: other code may give other results, the same code gives the same.

A stored grade is kept as long as the fingerprint and the submission are the same. What belongs to it is found
from the imports themselves, not from a list of folders: everything that the roots import, wherever the import
stands, and what that imports in turn. Imports no torch.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]

# Where a grade is made: who reads what was handed in and stores the scores, who has it judged, and who judges it.
# Folders stand here where files are found by name: the assignments, the networks that the zoo imports when they are
# asked for, and what is copied beside a student's code.
ROOTS = (
    "grading/course.py", "grading/executor.py", "grading/worker.py", "checks", "networks", "sandboxed",
)  # fmt: skip
OUTSIDE = ("torch", "numpy")  # whose results the verdicts depend on


def closure(roots: Iterable[str] = ROOTS, package: Path = PACKAGE) -> tuple[Path, ...]:
    """The files of the package that the roots import, directly or not, with the roots themselves, sorted."""
    waiting = [file for root in roots for file in _files(package / root)]
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        waiting.extend(imported(path, package))
    return tuple(sorted(found))


def imported(path: Path, package: Path = PACKAGE) -> set[Path]:
    """The files of the package that one file imports, at its top or inside functions.

    Importing a module runs the `__init__.py` of each package on the way, so these belong to it. What stands
    under `if TYPE_CHECKING` is never imported.
    """
    found: set[Path] = set()
    for name in imports(path.read_text(encoding="utf-8")):
        first, *rest = name.split(".")
        if first != package.name:
            continue
        place = package
        found.add(place / "__init__.py")
        for part in rest:
            place = place / part
            if place.is_dir():
                found.add(place / "__init__.py")
            else:
                found.add(place.with_suffix(".py"))
                break
    return {file for file in found if file.exists()}


def fingerprint() -> str:
    """The hash of all files of the closure, and of the versions of Python and of what they compute with."""
    if PACKAGE not in _KNOWN:
        _KNOWN[PACKAGE] = hash_of(PACKAGE)
    return _KNOWN[PACKAGE]


_KNOWN: dict[Path, str] = {}


def take_over(found: str) -> None:
    """Spares this process the work: another one has found the fingerprint of the same files."""
    _KNOWN[PACKAGE] = found


def hash_of(package: Path) -> str:
    """`fingerprint` of a copy of the package."""
    sources = hashlib.sha256()
    for path in closure(package=package):
        content = path.read_bytes()
        sources.update(f"{path.relative_to(package).as_posix()}\0{len(content)}\0".encode() + content)
    sources.update(
        "python {}.{} ".format(*sys.version_info).encode()
    )  # which syntax and modules a student has
    for name in OUTSIDE:
        try:
            sources.update(f"{name} {version(name)}\0".encode())
        except PackageNotFoundError:
            continue
    return sources.hexdigest()


def _files(place: Path) -> list[Path]:
    if place.is_dir():
        return sorted(place.rglob("*.py"))
    return [place] if place.exists() else []


@cache
def imports(source: str) -> tuple[str, ...]:
    """The dotted names that a piece of code imports: modules, and what is taken from them, which may be modules."""
    return tuple(_names(ast.parse(source).body))


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")  # where a statement holds others


def _names(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Every module that is named in an import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module and not node.level:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _names(node.orelse)
        else:  # an import is a statement: nobody has to look into expressions
            for block in _BLOCKS:
                yield from _names(getattr(node, block, ()))


__all__ = ["closure", "fingerprint", "hash_of", "imported", "imports", "take_over"]
