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


@dataclass
class Submission:
    """What a student handed in, as bytes."""

    notebook: bytes | None  # None: there was no notebook
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""  # why there is no notebook to grade

    def to_dict(self) -> SubmissionData:
        notebook = None if self.notebook is None else base64.b64encode(self.notebook).decode()
        files = {name: base64.b64encode(data).decode() for name, data in self.files.items()}
        return {"notebook": notebook, "files": files, "notes": self.notes, "problem": self.problem}

    @classmethod
    def from_dict(cls, data: SubmissionData) -> Submission:
        notebook = None if data["notebook"] is None else base64.b64decode(data["notebook"])
        files = {name: base64.b64decode(content) for name, content in data["files"].items()}
        return cls(notebook, files, data["notes"], data["problem"])


def digest(submission: Submission, assignment: Assignment) -> str:
    """Of everything that a result depends on: the same digest needs no second grading."""
    state = json.dumps([fingerprint(), submission.to_dict(), assignment.to_dict()], sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()


__all__ = ["Submission", "digest"]
