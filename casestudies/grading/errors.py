"""What ends a run, and what stands for a submission that could not be graded: one sentence each."""

from __future__ import annotations

from casestudies.language import message

FAILED = message(
    "This could not be graded: the grader failed at it, and its log says how. A human has to decide."
)
PRESSED = message(
    "This could not be graded: the machine ran short of memory, twice. Grade again when it has more to give."
)
LATE = message(
    "This could not be graded: it took the grader longer than any submission may. A human has to decide."
)


class CourseError(RuntimeError):
    """Something about the folders, the gradebook or the configuration; one sentence says what to do."""
