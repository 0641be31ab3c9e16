"""What a student handed in, and the digest of everything that its result depends on. Imports no torch."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import TypedDict

from casestudies.grading.cells import Assignment
from casestudies.grading.fingerprint import fingerprint


class SubmissionData(TypedDict):
    """A `Submission` as JSON, with its bytes in base64."""

    notebook: str | None
    files: dict[str, str]
    notes: list[str]
    problem: str
    beside: dict[str, str]
    others: dict[str, str]


@dataclass
class Submission:
    """What a student handed in, as bytes."""

    notebook: bytes | None  # None: there was no notebook
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""  # why there is no notebook to grade
    # What else lies there and may be the student's work, left out or not, and its mark (`handed_in.mark_of`).
    beside: dict[str, str] = field(default_factory=dict)
    others: dict[str, bytes] = field(default_factory=dict)  # the notebooks among it; empty where not read

    def to_dict(self) -> SubmissionData:
        notebook = None if self.notebook is None else base64.b64encode(self.notebook).decode()
        return {
            "notebook": notebook,
            "files": _encoded(self.files),
            "notes": self.notes,
            "problem": self.problem,
            "beside": self.beside,
            "others": _encoded(self.others),
        }

    @classmethod
    def from_dict(cls, data: SubmissionData) -> Submission:
        notebook = None if data["notebook"] is None else base64.b64decode(data["notebook"])
        files, others = _decoded(data["files"]), _decoded(data["others"])
        return cls(notebook, files, data["notes"], data["problem"], data["beside"], others)


def _encoded(files: dict[str, bytes]) -> dict[str, str]:
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def _decoded(files: dict[str, str]) -> dict[str, bytes]:
    return {name: base64.b64decode(content) for name, content in files.items()}


def digest(submission: Submission, assignment: Assignment) -> str:
    """Of everything that a result depends on: the same digest needs no second grading."""
    state = json.dumps([fingerprint(), submission.to_dict(), assignment.to_dict()], sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


__all__ = ["Submission", "digest"]
