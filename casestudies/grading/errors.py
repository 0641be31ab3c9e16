"""What ends a run, as one sentence."""

from __future__ import annotations


class CourseError(RuntimeError):
    """Something about the folders, the gradebook or the configuration; one sentence says what to do."""
