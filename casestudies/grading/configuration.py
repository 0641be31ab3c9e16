"""What nbgrader_config.py calls: nbgrader's commands, with our classes in the places that matter.

It uses nbgrader's configuration points: the exporter that reads a submission, the lists of preprocessors, the
hook before a conversion. Four functions of nbgrader that cannot be configured are replaced: the one that copies
a submission's other files follows links, the one that reads a timestamp fails on text that is none, the one that
lists submissions takes names for patterns and leaves out who has no notebook of the right name, and the one that
begins a conversion knows of no other command. In place of the third, before anything is autograded, the times of what
is listed are settled as well.
"""

from __future__ import annotations

import glob
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies import language as spoken
from casestudies.grading.arrivals import Arrivals, settled
from casestudies.grading.errors import CourseError
from casestudies.grading.handed_in import allowed_files, is_plain_file
from casestudies.grading.lateness import settle_before_autograding
from casestudies.grading.locks import grading_lock
from casestudies.grading.times import hand_in_time
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from traitlets.config import Config

log = logging.getLogger("casestudies.grading")

# By name: nbgrader imports them (and torch with them) only for the commands that need them.
PLUGINS = "casestudies.grading.plugins"


def rename_notebooks(assignment: str, student: str, notebooks: list[str]) -> None:
    """Before a conversion: a single notebook of another name is graded under the assignment's name.

    nbgrader hands over its own list, which is changed in place; `SubmissionReader` finds the file.
    """
    if len(notebooks) == 1 and assignment not in ("", "*"):
        folder, name = os.path.split(notebooks[0])
        if (
            name != f"{assignment}.ipynb"
            and len(glob.glob(os.path.join(glob.escape(folder), "*.ipynb"))) == 1
        ):
            notebooks[0] = os.path.join(folder, f"{assignment}.ipynb")


def _safe_find_all_files(original: Any) -> Any:
    def find_all_files(path: str, exclude: list[str] | None = None) -> list[str]:
        """nbgrader's list of files to copy, without links and special files, and from a submission only
        files of the kinds that may come along."""
        submission = f"{os.sep}submitted{os.sep}" in os.path.abspath(path) + os.sep
        if submission:
            files, notes = allowed_files(Path(path))
            for note in notes:
                log.warning("%s: %s", printable(path), note)
            return [str(file) for file in files.values()]
        return [name for name in original(path, exclude) if is_plain_file(name)]

    find_all_files.safe = True  # type: ignore[attr-defined]
    return find_all_files


def _safe_init_notebooks(original: Any) -> Any:
    def init_notebooks(self: Any) -> None:
        """nbgrader's list of submissions and their notebooks.

        A folder's name is taken as it is, not as a pattern ("lee [late]"); a system's folder is no student; and a
        submission without a notebook of the right name is no reason to leave a student out: `SubmissionReader` looks
        for it, and says what it found.
        """
        from nbgrader.converters import Autograde, GenerateFeedback

        if not isinstance(self, (Autograde, GenerateFeedback)):
            return original(self)
        coursedir = self.coursedir
        assignment, notebook, wanted = coursedir.assignment_id, coursedir.notebook_id, coursedir.student_id
        literal = self._format_source(assignment, glob.escape(wanted))
        pattern = literal if glob.glob(literal) else self._format_source(assignment, wanted)
        found: dict[str, list[str]] = {}
        for folder in glob.glob(pattern):
            parts = Path(os.path.relpath(folder, coursedir.root)).parts
            if any(part.lower() == "__macosx" or part.startswith(".") for part in parts if part != ".."):
                continue
            notebooks = glob.glob(os.path.join(glob.escape(folder), f"{notebook}.ipynb"))
            right = os.path.join(folder, f"{assignment}.ipynb")
            ours = os.path.isfile(
                os.path.join(self.config.ProtectedExecute.solutions or "", f"{assignment}.md")
            )
            if isinstance(self, Autograde) and ours and notebook in ("*", assignment):
                notebooks = [right]
            if notebooks:
                found[folder] = notebooks
            else:
                self.log.warning("No notebooks were matched in '%s'", printable(folder))
        if not found:
            return original(self)  # which says so
        if isinstance(self, Autograde):
            settle_before_autograding(self, found, self.config.ProtectedExecute.solutions or "")
        self.assignments, self.notebooks = found, []

    init_notebooks.safe = True  # type: ignore[attr-defined]
    return init_notebooks


def _one_at_a_time(original: Any) -> Any:
    def start(self: Any) -> None:
        """nbgrader's conversion of all submissions that are asked for. While submissions are autograded, no other
        command grades in the course: two would write one student's folder and scores at once, and what fails then
        removes what the other has written."""
        from nbgrader.converters import Autograde, GenerateAssignment
        from nbgrader.converters.base import NbGraderException

        if isinstance(self, GenerateAssignment):
            with _source_of_its_own(self):
                return original(self)
        if not isinstance(self, Autograde):
            return original(self)
        with ExitStack() as lock:
            try:
                lock.enter_context(grading_lock(Path(self.coursedir.root)))
            except CourseError as error:
                self.log.error("%s", error)
                raise NbGraderException(str(error)) from None
            original(self)

    start.safe = True  # type: ignore[attr-defined]
    return start


@contextmanager
def _source_of_its_own(converter: Any) -> Iterator[None]:
    """`nbgrader generate_assignment` reads a source that is built for it alone. In the clone's own folder, a course
    in another language that shares the clone may put a notebook in that language at any moment: the cells in the
    gradebook would be of that one."""
    from casestudies.grading.notebooks import own_source

    folder, name = converter.coursedir, converter.coursedir.assignment_id
    solutions = converter.config.ProtectedExecute.solutions
    ours = isinstance(solutions, str) and os.path.isfile(os.path.join(solutions, f"{name}.md"))
    if not ours or os.path.realpath(os.path.join(folder.root, folder.source_directory)) != os.path.realpath(
        solutions
    ):
        yield  # whose source it is, is not known here
        return
    code = converter.config.StudentView.get("language") or spoken.language()
    before = folder.source_directory
    with own_source(Path(solutions).parent, name, code) as source:
        folder.source_directory = str(source)
        try:
            yield
        finally:
            folder.source_directory = before


def _safe_timestamp(original: Any) -> Any:
    def get_existing_timestamp(self: Any, dest_path: str) -> Any:
        """nbgrader's timestamp of a submission; none where the file is no regular file or no time."""
        found = hand_in_time(Path(dest_path))
        student, assignment = Path(dest_path).parts[-2:]
        if Path(dest_path) == Path(self.format_path(self.submitted_directory, student, assignment)):
            found = settled(found, Arrivals(Path(self.root)).last().get((student, assignment)))
        if found.note:
            self.log.warning("%s: %s", printable(dest_path), found.note)
        return found.time

    get_existing_timestamp.safe = True  # type: ignore[attr-defined]
    return get_existing_timestamp


def protect_nbgrader() -> None:
    """Replaces the functions named at the top of this file. Doing it twice changes nothing."""
    import nbgrader.converters.base as base
    from nbgrader.coursedir import CourseDirectory

    if not getattr(base.BaseConverter.init_notebooks, "safe", False):
        base.BaseConverter.init_notebooks = _safe_init_notebooks(base.BaseConverter.init_notebooks)

    if not getattr(base.BaseConverter.start, "safe", False):
        base.BaseConverter.start = _one_at_a_time(base.BaseConverter.start)
    if not getattr(base.find_all_files, "safe", False):
        base.find_all_files = _safe_find_all_files(base.find_all_files)
    if not getattr(CourseDirectory.get_existing_timestamp, "safe", False):
        CourseDirectory.get_existing_timestamp = _safe_timestamp(CourseDirectory.get_existing_timestamp)


def protect_formgrader(course: Path | None = None) -> None:
    """In the server that shows the formgrader, which reads this configuration before it makes its pages: the class of
    its pages is fixed there, and is replaced by ours. `course` is the folder with comments that are used again."""
    formgrader = sys.modules.get("nbgrader.server_extensions.formgrader.formgrader")
    if formgrader is not None:
        formgrader.HTMLExporter = _formgrader_exporter(course)  # type: ignore[attr-defined]


@cache
def _formgrader_exporter(course: Path | None) -> type:
    """The class of the formgrader's pages. Not among the plugins: those import torch, and nbgrader's commands, which
    read this file as well, have the formgrader loaded."""
    from nbconvert.exporters import HTMLExporter

    from casestudies.grading.comments import RESOLVE, offer
    from casestudies.grading.pages import formgrader_page, highlighter

    class FormgraderPage(HTMLExporter):
        """A page of the formgrader: nbgrader's, which asks no other host."""

        # The exporters of nbconvert that write text say so; the class above them declares a notebook.
        def from_notebook_node(  # type: ignore[override]
            self, nb: Any, resources: Any = None, **kw: Any
        ) -> tuple[str, Any]:
            self.filters = {**self.filters, "highlight_code": highlighter()}
            page, resources = super().from_notebook_node(nb, resources, **kw)
            offered = offer(course, str((resources or {}).get("assignment_id", ""))) if course else ""
            return formgrader_page(page, RESOLVE + offered), resources

    return FormgraderPage


def ignore_autoflush_warnings() -> None:
    """nbgrader's gradebook makes SQLAlchemy warn about every new submission; nothing is wrong with it."""
    warnings.filterwarnings("ignore", message="Object of type <Submitted.*> not in session")


def configure(
    config: Config, root: Path | str, course: Path | str | None = None, language: str | None = None
) -> None:
    """Sets up nbgrader for this course. `root` is the clone; `course` holds submissions and gradebook.

    `language`, such as "ko", is that of the notebooks and of the reports on students' pages. Without it
    CASESTUDIES_LANGUAGE decides. Raises ValueError for one without a catalogue.

    Builds the source notebooks whose text is newer, so that `nbgrader generate_assignment` always sees the
    current text.
    """
    from casestudies.grading import editions
    from casestudies.grading.notebooks import COURSE_ID, build_sources

    root = Path(root).resolve()
    course = Path(course).resolve() if course is not None else root
    # `alembic`, which nbgrader calls for a new gradebook, lies beside this Python.
    beside, found = os.path.dirname(sys.executable), os.environ.get("PATH", "")
    if found.split(os.pathsep)[0] != beside:  # else it would grow each time a course is opened
        os.environ["PATH"] = os.pathsep.join([beside, found])
    protect_nbgrader()
    protect_formgrader(course)
    ignore_autoflush_warnings()
    config.CourseDirectory.root = str(course)
    config.CourseDirectory.course_id = COURSE_ID
    config.CourseDirectory.source_directory = os.path.relpath(root / "solutions", course)
    config.CourseDirectory.release_directory = "exercises" if course == root else "release"
    config.Autograde.exporter_class = f"{PLUGINS}.SubmissionReader"
    config.Autograde.pre_convert_hook = rename_notebooks
    config.ProtectedExecute.solutions = str(root / "solutions")
    config.StudentView.solutions = str(root / "solutions")
    config.ProtectedExecute.course = str(course)
    config.Autograde.sanitize_preprocessors = [f"{PLUGINS}.Intake"]
    config.Autograde.autograde_preprocessors = [
        f"{PLUGINS}.ProtectedExecute",
        f"{PLUGINS}.SaveVerdicts",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    config.GenerateFeedback.exporter_class = f"{PLUGINS}.FeedbackPage"
    config.ExchangeFactory.release_feedback = f"{PLUGINS}.ReleaseFeedback"
    config.ExportApp.plugin_class = f"{PLUGINS}.CsvExport"
    config.ExchangeFactory.collect = "casestudies.grading.exchange.Collect"
    config.ExchangeFactory.release_assignment = "casestudies.grading.exchange.ReleaseAssignment"
    config.ZipCollectApp.collector_plugin = f"{PLUGINS}.Collector"
    config.GenerateFeedback.preprocessors = [
        "nbgrader.preprocessors.GetGrades",
        f"{PLUGINS}.StudentView",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    code = spoken.language()
    if language is not None:
        code = spoken.known(language, f"{root / editions.CONFIGURATION}: language")
        config.StudentView.language = code
    build_sources(root, only_stale=True, code=code)


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
