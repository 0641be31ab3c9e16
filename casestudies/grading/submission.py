"""What a student handed in, and the digest of everything that its result depends on. Imports no torch."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from casestudies.grading.cells import Assignment
from casestudies.grading.sandbox import BESIDE, PACKAGE


@dataclass
class Submission:
    """What a student handed in, as bytes."""

    notebook: bytes | None  # None: there was no notebook
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""  # why there is no notebook to grade

    def to_dict(self) -> dict[str, Any]:
        notebook = None if self.notebook is None else base64.b64encode(self.notebook).decode()
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        return {"notebook": notebook, "files": files, "notes": self.notes, "problem": self.problem}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Submission:
        notebook = None if data["notebook"] is None else base64.b64decode(data["notebook"])
        files = {name: base64.b64decode(content) for name, content in data["files"].items()}
        return cls(notebook, files, data["notes"], data["problem"])


_IMPORT = re.compile(
    r"^[ \t]*(?:from[ \t]+(casestudies[\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]*)|import[ \t]+(casestudies[\w.]*))",
    re.MULTILINE,
)


def imported_files(roots: Iterable[Path]) -> list[Path]:
    """The files of this package that are read when those at `roots` are imported, in order of their names."""
    found: set[Path] = set()
    todo = list(roots)
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        for module, names, plain in _IMPORT.findall(path.read_text(encoding="utf-8")):
            base = PACKAGE.parent.joinpath(*(module or plain).split("."))
            words = re.findall(r"\w+", names)
            for candidate in (base, *(base / word for word in words)):
                for file in (candidate.with_suffix(".py"), candidate / "__init__.py"):
                    if file.is_file():
                        todo.append(file)
    return sorted(found)


@cache
def code_version() -> str:
    """Of everything that a result depends on: what a grading process imports, and what stands beside a student's
    code. Other code, other results."""
    roots = [PACKAGE / "grading" / "worker.py", *(PACKAGE / "checks").glob("*.py")]
    roots += [
        *(PACKAGE / "sandboxed").glob("*.py"),
        *(path for name in BESIDE if (path := PACKAGE / name).exists()),
    ]
    sources = hashlib.sha256()
    for path in imported_files(roots):
        sources.update(str(path.relative_to(PACKAGE)).encode() + b"\0" + path.read_bytes())
    return sources.hexdigest()


def digest(submission: Submission, assignment: Assignment) -> str:
    """Of everything that a result depends on: the same digest needs no second grading."""
    state = json.dumps([code_version(), submission.to_dict(), assignment.to_dict()], sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


__all__ = ["Submission", "code_version", "digest", "imported_files"]
