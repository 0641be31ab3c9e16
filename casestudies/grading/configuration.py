"""What nbgrader_config.py calls: nbgrader's commands, with our classes in the places that matter.

It uses nbgrader's configuration points: the exporter that reads a submission, the lists of preprocessors, the
hook before a conversion. Two functions of nbgrader that cannot be configured are replaced: the one that copies
a submission's other files follows links, and the one that reads a timestamp fails on text that is none.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.intake import allowed_files, is_plain_file

if TYPE_CHECKING:
    from traitlets.config import Config

log = logging.getLogger("casestudies.grading")

# By name: nbgrader imports them (and torch with them) only for the commands that need them.
PLUGINS = "casestudies.grading.plugins"


def rename_notebooks(assignment: str, student: str, notebooks: list[str]) -> None:
    """Before a conversion: a single notebook of another name is graded under the assignment's name.

    nbgrader hands over its own list, which is changed in place; `SubmissionReader` finds the file.
    """
    from glob import escape, glob

    if len(notebooks) == 1 and assignment not in ("", "*"):
        folder, name = os.path.split(notebooks[0])
        if name != f"{assignment}.ipynb" and len(glob(os.path.join(escape(folder), "*.ipynb"))) == 1:
            notebooks[0] = os.path.join(folder, f"{assignment}.ipynb")


def _safe_find_all_files(original: Any) -> Any:
    def find_all_files(path: str, exclude: list[str] | None = None) -> list[str]:
        """nbgrader's list of files to copy, without links and special files, and from a submission only
        files of the kinds that may come along."""
        submission = f"{os.sep}submitted{os.sep}" in os.path.abspath(path) + os.sep
        if submission:
            files, notes = allowed_files(Path(path))
            for note in notes:
                log.warning("%s: %s", path, note)
            return [str(file) for file in files.values()]
        return [name for name in original(path, exclude) if is_plain_file(name)]

    find_all_files.safe = True  # type: ignore[attr-defined]
    return find_all_files


def _safe_timestamp(original: Any) -> Any:
    def get_existing_timestamp(self: Any, dest_path: str) -> Any:
        """nbgrader's timestamp of a submission; none where the file is no regular file or no time."""
        path = os.path.join(dest_path, "timestamp.txt")
        if os.path.lexists(path) and not is_plain_file(path):
            self.log.warning("%s is not a regular file; it is ignored", path)
            return None
        try:
            return original(self, dest_path)
        except (AttributeError, ValueError, OverflowError, UnicodeError):  # nbgrader's own way to fail here
            self.log.warning("%s holds no time; it is ignored", path)
            return None

    get_existing_timestamp.safe = True  # type: ignore[attr-defined]
    return get_existing_timestamp


def protect_nbgrader() -> None:
    """Replaces the two functions named at the top of this file. Doing it twice changes nothing."""
    import nbgrader.converters.base as base
    from nbgrader.coursedir import CourseDirectory

    if not getattr(base.find_all_files, "safe", False):
        base.find_all_files = _safe_find_all_files(base.find_all_files)
    if not getattr(CourseDirectory.get_existing_timestamp, "safe", False):
        CourseDirectory.get_existing_timestamp = _safe_timestamp(CourseDirectory.get_existing_timestamp)


def ignore_autoflush_warnings() -> None:
    """nbgrader's gradebook makes SQLAlchemy warn about every new submission; nothing is wrong with it."""
    warnings.filterwarnings("ignore", message="Object of type <Submitted.*> not in session")


def configure(config: Config, root: Path | str, course: Path | str | None = None) -> None:
    """Sets up nbgrader for this course. `root` is the clone; `course` holds submissions and gradebook.

    Builds the source notebooks whose text is newer, so that `nbgrader generate_assignment` always sees the
    current text.
    """
    from casestudies.grading.notebooks import COURSE_ID, build_sources

    root = Path(root).resolve()
    course = Path(course).resolve() if course is not None else root
    # `alembic`, which nbgrader calls for a new gradebook, lies beside this Python.
    os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    protect_nbgrader()
    ignore_autoflush_warnings()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.course_id = COURSE_ID
    config.CourseDirectory.source_directory = os.path.relpath(root / "solutions", course)
    config.CourseDirectory.release_directory = "exercises" if course == root else "release"
    config.Autograde.exporter_class = f"{PLUGINS}.SubmissionReader"
    config.Autograde.pre_convert_hook = rename_notebooks
    config.ProtectedExecute.solutions = str(root / "solutions")
    config.ProtectedExecute.course = str(course)
    config.Autograde.sanitize_preprocessors = [f"{PLUGINS}.Intake"]
    config.Autograde.autograde_preprocessors = [
        f"{PLUGINS}.ProtectedExecute",
        f"{PLUGINS}.SaveVerdicts",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    config.GenerateFeedback.preprocessors = [
        "nbgrader.preprocessors.GetGrades",
        f"{PLUGINS}.StudentView",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    build_sources(root, only_stale=True)


@contextmanager
def shared_engine() -> Iterator[None]:
    """nbgrader makes an engine of SQLAlchemy each time it opens the gradebook, and each compiles all statements
    anew. For a while, all that open one gradebook share an engine; connections are closed as ever."""
    import nbgrader.api as api

    before = api.create_engine
    api.create_engine = cache(before)
    try:
        yield
    finally:
        api.create_engine = before


@contextmanager
def quiet_nbgrader() -> Iterator[None]:
    """nbgrader logs to traitlets' logger, and its gradebook to tornado's, each error with three tracebacks, of which
    we say in a sentence what matters. For a while, only errors of the one and nothing of the other."""
    levels = {"traitlets": logging.ERROR, "tornado.application": logging.CRITICAL + 1}
    loggers = {logging.getLogger(name): level for name, level in levels.items()}
    before = {logger: logger.level for logger in loggers}
    for logger, level in loggers.items():
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, level in before.items():
            logger.setLevel(level)
