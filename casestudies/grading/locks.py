"""One command at a time writes grades in a course's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from casestudies.grading.errors import CourseError


@contextmanager
def grading_lock(folder: Path) -> Iterator[None]:
    """Held by whatever command grades in a course's folder: `casestudies grade` and `regrade`, `nbgrader autograde`.

    Ends with the process, however it ends. Raises CourseError where another command holds it.
    """
    import fcntl

    try:
        file = open(folder / ".grading.lock", "a+")
    except OSError as error:
        raise CourseError(f"{folder} cannot be written to: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CourseError(f"another run is grading in {folder}; wait until it has ended") from None
        try:
            yield
        finally:
            # Closing alone would leave it to a process that was forked meanwhile, in the formgrader's server for one.
            fcntl.flock(file, fcntl.LOCK_UN)
