"""Grades a whole class: in parallel, only what changed, and so that it can end at any moment.

The folders and the gradebook are nbgrader's (submitted/, autograded/, gradebook.db), and so are the results.
Only this process touches them. A submission is written in the order: new folder beside the old one, gradebook,
exchange of the folders; whatever ends in between is done again, with the same result.
"""

from __future__ import annotations

import difflib
import errno
import glob
import json
import os
import re
import shutil
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.checking.shown import STEPS
from casestudies.grading.arrivals import Arrival, Arrivals, files_of, settled
from casestudies.grading.cells import Assignment
from casestudies.grading.configuration import shared_engine
from casestudies.grading.errors import FAILED, LATE, PRESSED, CourseError
from casestudies.grading.extensions import NAME as EXTENSIONS
from casestudies.grading.extensions import Applied, apply_extensions, read_extensions
from casestudies.grading.lateness import Times, is_late, write_times
from casestudies.grading.locks import grading_lock
from casestudies.grading.notebooks import COURSE_ID, SourceError, assignments, notebook_text
from casestudies.grading.pools import Nursery, Pool, Result, cluster_pool, local_pool
from casestudies.grading.records import (
    by_hand,
    read_submission,
    rubrics,
    save_verdicts,
    with_plain,
    with_rubrics,
)
from casestudies.grading.sandbox import Limits, SandboxError, bubblewrap
from casestudies.grading.secret import SecretError, course_secret, damage, submission_seed
from casestudies.grading.spreadsheets import idle
from casestudies.grading.strays import dotted, in_no_folder, loose, misplaced
from casestudies.grading.submission import Submission, digest
from casestudies.grading.times import HandInTime, hand_in_time
from casestudies.grading.verdicts import STATES, Graded, Verdict
from casestudies.language import language
from casestudies.sandboxed.quoting import printable, quoted

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from nbgrader.api import Gradebook
    from traitlets.config import Config

# What the disk, not a submission, is the reason of: it ends the run, which can be resumed.
DISK = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.EMFILE,
    errno.ENFILE,
}


def _nearest(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f" Did you mean {close[0]!r}?" if close else ""


# What nbgrader_config.py may set of ours: nbgrader itself takes no notice of a name that is mistyped.
_OF_NBGRADER = {"enabled", "display_data_priority"}
SETTINGS = {
    "ProtectedExecute": {*Limits.__dataclass_fields__, "solutions", "course"} | _OF_NBGRADER,
    "StudentView": {"hints", "language", "solutions"} | _OF_NBGRADER,
    "HandInTimes": {"trusted"},
}


def _look_through(config: Config) -> None:
    """Raises CourseError where a setting of ours is unknown or cannot be used, or no gradebook is named."""
    where = "nbgrader_config.py: c."
    for section, known in SETTINGS.items():
        for name in config[section]:
            if name not in known:
                raise CourseError(
                    f"{where}{section}.{name} is no setting of the course.{_nearest(name, known)}"
                )
    try:
        Limits(**{k: v for k, v in config.ProtectedExecute.items() if k in Limits.__dataclass_fields__})
    except ValueError as error:
        raise CourseError(f"{where}ProtectedExecute: {error}") from None
    hints, trusted = config.StudentView.get("hints", STEPS[-1]), config.HandInTimes.get("trusted", False)
    if hints not in STEPS:
        raise CourseError(f"{where}StudentView.hints is {hints!r}; expected one of {', '.join(STEPS)}")
    if not isinstance(trusted, bool):
        raise CourseError(f"{where}HandInTimes.trusted is {trusted!r}; expected True or False")
    if url := config.CourseDirectory.get("db_url", None):
        from sqlalchemy import create_engine
        from sqlalchemy.exc import ArgumentError

        try:
            create_engine(url).dispose()  # connects to nothing
        except (ArgumentError, ImportError) as error:
            raise CourseError(
                f"{where}CourseDirectory.db_url names no database that can be used: {_reason(error)}; expected an "
                "address such as sqlite:////home/you/course/gradebook.db, and the driver of its database installed"
            ) from None


@dataclass
class Course:
    """A folder with submissions and gradebook, and the clone with the assignments."""

    root: Path
    folder: Path
    config: Config

    @classmethod
    def open(cls, root: Path, folder: Path | None = None) -> Course:
        """Reads nbgrader_config.py of the clone. Raises CourseError where that fails."""
        from traitlets.config.loader import PyFileConfigLoader

        folder = cls.folder_of(root, folder)
        if folder.exists() and not folder.is_dir():
            raise CourseError(f"the course folder {folder} is no folder; name the one with submitted/ inside")
        if not folder.is_dir():
            raise CourseError(f"the course folder {folder} does not exist; create it, with submitted/ inside")
        before = os.environ.get("CASESTUDIES_COURSE")
        os.environ["CASESTUDIES_COURSE"] = str(folder)
        try:
            config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
        except SourceError as error:  # it builds the notebooks
            raise CourseError(f"an assignment cannot be built: {error}") from None
        except (Exception, SystemExit) as error:
            raise CourseError(f"nbgrader_config.py cannot be read: {type(error).__name__}: {error}") from None
        finally:
            if before is None:
                del os.environ["CASESTUDIES_COURSE"]
            else:
                os.environ["CASESTUDIES_COURSE"] = before
        _look_through(config)
        course = cls(root, folder, config)
        for each in (root, folder):
            if glob.escape(str(each)) != str(each):
                raise CourseError(
                    f"the folder {each} has a '[', '*' or '?' in its path, which nbgrader takes for a pattern and "
                    "then finds nothing; rename the folder that has it"
                )
        if not config.CourseDirectory.get("db_url", None):
            course._require_address()
        return course

    def _require_address(self) -> None:
        """Raises CourseError where the gradebook's path is another one once it is part of an address, in which three
        characters such as `%20` may be one. The gradebook would lie in another folder, or nowhere."""
        from sqlalchemy import make_url

        path = str(self.folder / "gradebook.db")
        if make_url(f"sqlite:///{path}").database != path:
            raise CourseError(
                f"the course folder {self.folder} has a '%' in its path, with which the address of a "
                "gradebook leads elsewhere; rename the folder that has it"
            )

    @staticmethod
    def folder_of(root: Path, folder: Path | None = None) -> Path:
        """The folder with the submissions, where it is not named: what CASESTUDIES_COURSE says, else the clone."""
        return Path(folder or os.environ.get("CASESTUDIES_COURSE") or root).resolve()

    def step(self, name: str) -> Path:
        """The folder of one of nbgrader's steps, such as "submitted"."""
        return self.folder / self.config.CourseDirectory.get(f"{name}_directory", name)

    @property
    def db_url(self) -> str:
        url = self.config.CourseDirectory.get("db_url", None)
        return url or f"sqlite:///{self.folder / 'gradebook.db'}"

    @property
    def course_id(self) -> str:
        """The name under which the gradebook and nbgrader's exchange know this course."""
        return str(self.config.CourseDirectory.get("course_id", "") or COURSE_ID)

    def secret(self) -> bytes:
        """The secret of this course, from which the seeds of its checks are drawn."""
        try:
            return course_secret(self.folder)
        except SecretError as error:
            raise CourseError(str(error)) from None

    @property
    def limits(self) -> Limits:
        given = {k: v for k, v in self.config.ProtectedExecute.items() if k in Limits.__dataclass_fields__}
        return Limits(**given)

    @contextmanager
    def gradebook(self) -> Iterator[Gradebook]:
        from nbgrader.api import Gradebook
        from sqlalchemy.exc import DBAPIError

        try:
            gradebook = Gradebook(self.db_url, course_id=self.course_id)
        except DBAPIError as error:
            raise CourseError(f"the gradebook {self.db_url} cannot be opened: {_reason(error)}") from None
        with gradebook:
            yield gradebook

    # ----------------------------------------------------------------------- what is there

    def assignment(self, name: str) -> Assignment:
        """The instructor's cells. An assignment that the gradebook does not know yet is entered."""
        from nbgrader.api import MissingEntry
        from nbgrader.converters.base import NbGraderException
        from sqlalchemy.exc import DBAPIError

        from casestudies.grading.notebooks import generate_assignment, own_source

        self.require(name)
        self._refuse_another_course()
        solutions = self.root / "solutions"
        try:
            with self.gradebook() as gradebook:
                try:
                    return with_plain(Assignment.from_gradebook(gradebook, name, name), solutions)
                except MissingEntry:
                    pass
            code = self.config.StudentView.get("language", "") or language()
            with own_source(self.root, name, code) as source:
                generate_assignment(
                    self.root,
                    name,
                    self.step("release"),
                    self.folder,
                    source,
                    db_url=self.db_url,
                    course_id=self.course_id,
                )
            with self.gradebook() as gradebook:
                return with_plain(Assignment.from_gradebook(gradebook, name, name), solutions)
        except NbGraderException as error:
            raise CourseError(
                f"the assignment {name} cannot be entered into the gradebook: {_reason(error)}; "
                f"see that solutions/{name}.md builds: casestudies exercises {name}"
            ) from None
        except DBAPIError as error:
            raise CourseError(
                f"the gradebook {self.db_url} is not one that nbgrader can use: {_reason(error)}"
            ) from None

    def require(self, name: str) -> None:
        """Raises CourseError where there is no assignment of this name."""
        known = assignments(self.root)
        if name not in known:
            raise CourseError(
                f"there is no assignment {name!r}; known: {', '.join(known) or 'none'}.{_nearest(name, known)}"
            )

    def _refuse_another_course(self) -> None:
        """Looks before anything is written: nbgrader enters its course into whatever gradebook it opens."""
        from sqlalchemy import create_engine, inspect, make_url, text
        from sqlalchemy.exc import DBAPIError

        url = make_url(self.db_url)
        if url.get_backend_name() == "sqlite":
            file = Path(url.database or "")
            if not file.is_file():
                return
            if not file.stat().st_size and any(self.step("autograded").glob("*/*/*.ipynb")):
                raise CourseError(
                    f"the gradebook {file} is empty, and submissions have been graded: what was graded by hand is no "
                    f"longer in it. Put a backup in its place (casestudies restore), or remove {file.name} to "
                    "begin a new one"
                )
        engine = create_engine(url)
        try:
            with engine.connect() as connection:
                if not inspect(connection).has_table("assignment"):
                    return
                found = connection.execute(text("SELECT DISTINCT course_id FROM assignment")).scalars().all()
        except DBAPIError:  # not a gradebook at all: opening it tells so
            return
        finally:
            engine.dispose()
        if found and self.course_id not in found:
            other = ", ".join(sorted(found))
            raise CourseError(
                f"the gradebook {self.db_url} belongs to the course {other}, and nbgrader_config.py says "
                f"c.CourseDirectory.course_id = {self.course_id!r}. The course_id is the name under which the "
                "gradebook and nbgrader's exchange know a course; it cannot change once something is graded. To go "
                f"on with this gradebook, write c.CourseDirectory.course_id = {sorted(found)[0]!r}; for a new "
                "course, grade in another folder (--course)"
            )

    def students(self, name: str, wanted: Sequence[str] = ()) -> list[str]:
        """Who handed something in for an assignment. Raises CourseError where one of `wanted` did not."""
        submitted = self.step("submitted")
        if not submitted.is_dir():
            raise CourseError(
                f"there is no folder {submitted}; put submissions into {submitted}/<student>/{name}/"
            )
        known, strays = [], self.strays(name)
        for folder in student_folders(submitted):
            if folder.name not in strays and os.path.lexists(folder / name):
                known.append(folder.name)
        if not known and not strays:
            raise CourseError(f"nobody has handed in {name!r}: {submitted}/<student>/{name}/ is missing")
        for student in wanted:
            if student not in known:
                why = f" {strays[student]}" if student in strays else _nearest(student, known)
                raise CourseError(f"{student!r} has not handed in {name!r}.{why}")
        return [student for student in known if not wanted or student in wanted]

    def strays(self, name: str) -> dict[str, str]:
        """What lies in submitted/ and cannot be taken for a submission of the assignment, by its name there, and why.

        Most are students' folders; a link beside them is named, too, and a file that may be somebody's work.
        """
        submitted = self.step("submitted")
        others = [each for each in assignments(self.root) if each != name]
        found: dict[str, str] = {}
        for folder in student_folders(submitted):
            if (bad := _unusable(folder.name)) is not None:
                found[folder.name] = (
                    f"The folder {quoted(folder.name)} cannot be a student's: its name has {bad}. Rename it."
                )
            elif not os.path.lexists(folder / name) and (why := misplaced(folder, name, others)):
                found[folder.name] = why
        return found | dotted(submitted, name) | in_no_folder(submitted, name)

    def loose(self, name: str) -> dict[str, str]:
        """The files beside the students' folders that are nobody's work, such as a README, and why none is graded."""
        return {
            each: "it lies in no student's folder, and is called neither like a notebook nor like an archive."
            for each in loose(self.step("submitted"), name)
        }

    def graded(self, name: str, student: str) -> dict[str, Any] | None:
        """What an earlier run wrote into the graded notebook, if it is there and whole."""
        path = self.step("autograded") / student / name / f"{name}.ipynb"
        try:
            stored = json.loads(path.read_bytes())["metadata"]["casestudies"]
            return stored if isinstance(stored, dict) else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Only one run at a time in a course folder. Ends with the process, however it ends."""
        with grading_lock(self.folder):
            yield

    # ----------------------------------------------------------------------- writing

    def store(self, name: str, student: str, submission: Submission, graded: Graded) -> None:
        """Writes one result: gradebook and autograded folder."""
        from nbformat import v4
        from nbgrader.utils import find_all_files

        notebook = v4.reads(graded.notebook)  # written by us: nothing to validate
        target = self.step("autograded") / student / name
        staged = target.with_name(f".{name}.new")
        old = target.with_name(f".{name}.old")
        for path in (staged, old):
            shutil.rmtree(path, ignore_errors=True)
        try:
            staged.mkdir(parents=True)
            for relative, data in submission.files.items():
                path = staged / relative
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
            source = self.root / "solutions" / name
            for file in find_all_files(str(source), ["*.ipynb", ".ipynb_checkpoints"]):
                path = staged / os.path.relpath(file, source)
                path.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, path)
            with open(staged / f"{name}.ipynb", "w", encoding="utf-8") as output:
                found = rubrics(self.root / "solutions", name)
                output.write(notebook_text(with_rubrics(notebook, found)) if found else graded.notebook)
                output.flush()
                os.fsync(output.fileno())
            for path in staged.rglob("*"):
                if path.is_file():
                    path.chmod(0o444)
            self._retry(lambda: self._store_scores(name, student, graded, notebook))
        except CourseError:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        except OSError as error:
            shutil.rmtree(staged, ignore_errors=True)
            if error.errno not in DISK:
                raise
            raise CourseError(
                f"the result of {printable(student)} cannot be written: {error.strerror or error}; "
                "make room or set permissions, and run again: nothing is lost"
            ) from None
        except Exception:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        if target.exists():
            target.rename(old)
        staged.rename(target)
        shutil.rmtree(old, ignore_errors=True)

    def _retry(self, do: Callable[[], None], seconds: float = 60.0) -> None:
        """Retry while the gradebook is locked, by an open formgrader, for instance."""
        from nbgrader.api import InvalidEntry
        from sqlalchemy.exc import DBAPIError

        ends, pause = time.monotonic() + seconds, 0.1
        while True:
            try:
                return do()
            except (DBAPIError, InvalidEntry) as error:
                if "locked" not in str(error) or time.monotonic() > ends:
                    raise CourseError(
                        f"the gradebook cannot be written: {_reason(error)}; run again when it can"
                    ) from None
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _store_scores(self, name: str, student: str, graded: Graded, notebook: NotebookNode) -> None:
        with self.gradebook() as gradebook:
            gradebook.update_or_create_student(student)
            # With the scores in one commit; what has changed is said when all are graded, see `apply_extensions`.
            self.write_times([gradebook.update_or_create_submission(name, student)])
            save_verdicts(gradebook, notebook, graded.verdicts, graded.protection, name, student, name)
            submitted = gradebook.find_submission(name, student)
            late = is_late(submitted) or submitted.late_submission_penalty
        # For the others nbgrader's own step would open the gradebook once more, and change nothing. What is wrong
        # with it is said when all are graded, see `apply_extensions`.
        if late:
            self.renew_penalty(student, name)

    def settle_lateness(self) -> list[str]:
        """Extensions and penalties from the files, scores and times of now, as each run of `grade` settles them.

        Returns sentences for the instructor. Raises CourseError before anything is changed.
        """
        with self.lock(), shared_engine():
            self.require_penalties()
            return apply_extensions(self, assignments(self.root)).said

    def require_penalties(self) -> None:
        """Raises CourseError where the plugin for penalties cannot be used."""
        from casestudies.grading.penalties import require_plugin

        require_plugin(self.config)

    def renew_penalty(self, student: str, name: str) -> str:
        """The penalty that follows from the score and the times of now; a sentence where that could not be told."""
        from casestudies.grading.penalties import renew

        return renew(self.config, self.db_url, student, name)

    def hand_in_times(self, name: str, students: Iterable[str]) -> dict[str, HandInTime]:
        """When each was handed in, from what was seen of it and the timestamp.txt beside it. Each says why where it
        is unclear, or matters and rests on nothing sure."""
        from nbgrader.api import MissingEntry

        due: datetime | None = None
        extended: dict[str, datetime] = {}
        with self.gradebook() as gradebook:
            try:
                due = gradebook.find_assignment(name).duedate
            except MissingEntry:
                pass
            if due is not None:
                for each in gradebook.assignment_submissions(name):
                    extended[each.student.id] = each.duedate  # nbgrader's: with the extension
        last = Arrivals(self.folder).last()
        return {
            student: self._settled(student, name, extended.get(student, due), last) for student in students
        }

    def write_times(self, submissions: Iterable[Any], before: Times | None = None) -> list[str]:
        """Gives submissions of the gradebook the times at which they count as handed in. See `lateness`."""
        submitted, last = self.step("submitted"), Arrivals(self.folder).last()
        return write_times(
            ((submitted / each.student_id / each.name, each) for each in submissions), last, before
        )

    def _settled(
        self, student: str, name: str, due: datetime | None, last: Mapping[tuple[str, str], Arrival]
    ) -> HandInTime:
        claim = hand_in_time(self.step("submitted") / student / name)
        trusted = bool(self.config.HandInTimes.get("trusted", False))
        return settled(claim, last.get((student, name)), due, trusted)


def student_folders(submitted: Path) -> list[Path]:
    """The folders below submitted/ that can be students': none of a system's, and no link."""
    try:
        with os.scandir(submitted) as entries:
            names = [each.name for each in entries if each.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return [submitted / each for each in sorted(names) if each[0] != "." and each.lower() != "__macosx"]


def _controls(character: str) -> bool:
    """Whether a character does something to those around it, or is not seen: directions of writing, too, which make
    one id look like another wherever nbgrader shows it as it is. Joiners are letters of some scripts."""
    if character in "\t\u200c\u200d":
        return False
    return unicodedata.category(character) in ("Cc", "Cf", "Zl", "Zp")


def _unusable(student: str) -> str | None:
    """What keeps a folder's name from being an id; None where nothing does."""
    try:
        student.encode()
    except UnicodeEncodeError:
        return "characters that are no text"
    if any(mark in student for mark in '<>"'):  # nbgrader's pages show ids as they are
        return "one of < > and double quotation marks"
    if "*" in student:  # nbgrader would take others' work for this one's
        return "a *, by which nbgrader means every student"
    if any(map(_controls, student)):
        return "control characters"
    if student != student.strip():  # it looks like another one, and no table that people write finds it
        return "a blank at its beginning or end"
    if not idle(student):  # it could not stand in a table as it is, and would not be found by another name
        return "a beginning that makes it a formula in a spreadsheet"
    return None


def _reason(error: Exception) -> str:
    first = str(getattr(error, "orig", None) or error).splitlines()[0]
    return re.sub(r"^\(\w+\.\w*Error\) ", "", first)  # the driver's class, which SQLAlchemy puts in front


# --------------------------------------------------------------------------- a class


@dataclass
class Row:
    """One student of the class, after a run."""

    student: str
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    protection: str = "sandbox"
    seconds: float | None = None  # None: not graded in this run, since nothing had changed
    error: str = ""
    unclear: str = ""  # what else a human has to decide, such as when it was handed in
    score: float | None = None  # as the gradebook has it: with grades by hand, after the penalty
    penalty: float = 0.0
    penalty_failed: str = ""  # why it is not what it should be
    name: str = ""  # from the roster
    extension: str = ""  # what it had beyond the due date
    broken: str = ""  # why the sandbox did not work, which is nothing of this student's
    again: bool = False  # nothing that stands was stored, so that the next run grades it again
    log: str = ""  # for whoever looks after the grader: the traceback of what went wrong
    decided: dict[str, float] = field(
        default_factory=dict
    )  # what the machine left to a human: the points given

    @property
    def points(self) -> float:
        return sum(verdict.points or 0.0 for verdict in self.verdicts)

    @property
    def needs_human(self) -> bool:
        undecided = self.error or self.unclear or self.penalty_failed
        return bool(undecided) or any(
            verdict.needs_human and verdict.cell not in self.decided for verdict in self.verdicts
        )


def job_of(assignment: Assignment, submission: Submission, limits: Limits, secret: bytes) -> bytes:
    """What a grading process is given: the seed alone, since the secret never leaves this one."""
    job = {
        "submission": submission.to_dict(),
        "assignment": assignment.to_dict(),
        "limits": asdict(limits),
        "seed": submission_seed(secret, assignment.name, submission.notebook, submission.files),
    }
    return json.dumps(job).encode()


def grade_class(
    course: Course,
    name: str,
    *,
    students: Sequence[str] = (),
    jobs: int | None = None,
    force: bool = False,
    pool: Pool | None = None,
    nursery: Nursery | None = None,
    report: Callable[[Row, int, int], None] | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    more: Callable[[set[str]], Sequence[str]] | None = None,
) -> list[Row]:
    """Grades an assignment; returns a row for every student, unchanged ones included.

    `report(row, done, total)` is called after each submission. Results are stored as they come, so that an
    interrupt loses at most what is being graded. `nursery` is one that has begun already, to save its time; where
    `pool` is given, that grades instead. `say` is told what changes about extensions. `more` is asked again and
    again, with those who are not graded yet, who else has handed in: they are graded along. Raises CourseError.
    """
    with course.lock(), shared_engine():
        read_extensions(course.folder / EXTENSIONS, assignments(course.root))  # before anything is graded
        course.require(name)
        course.require_penalties()
        chosen = course.students(name, students)  # a name that is wrong enters nothing into the gradebook
        assignment = course.assignment(name)
        limits = course.limits
        best = "sandbox" if bubblewrap() else "none"
        rows: dict[str, Row] = {}
        submissions: dict[str, Submission] = {}
        recorded = _recorded(course, name)
        unreadable: dict[str, Result] = {}

        def look_at(some: Sequence[str]) -> None:
            arrived: dict[str, str] = {}
            for student in some:
                known = (student, name) in recorded and not force
                read = _read(course, assignment, student, best if known else None, arrived)
                if isinstance(read, Row):
                    rows[student] = read
                    continue
                submissions[student], failed = read
                if failed:
                    unreadable[student] = {"failed": failed}
            Arrivals(course.folder).saw(name, arrived)

        look_at(chosen)

        def todo(some: Iterable[str]) -> Iterator[tuple[str, bytes]]:
            for student in some:
                if student in submissions and student not in unreadable:
                    yield student, job_of(assignment, submissions[student], limits, secret)

        def newcomers() -> Iterator[tuple[str, bytes]]:
            assert more is not None
            new = more(submissions.keys() - rows.keys())
            chosen[:] = dict.fromkeys([*chosen, *new])
            for student in new:  # what is known of them is of what they had handed in before
                rows.pop(student, None)
                submissions.pop(student, None)
                unreadable.pop(student, None)
            if new:
                look_at(new)
            yield from todo(new)

        def take(student: str, result: Result) -> None:
            rows[student] = row = _take(course, assignment, student, submissions[student], result, best)
            if report is not None:
                report(row, sum(each.seconds is not None for each in rows.values()), len(submissions))

        if len(submissions) > len(unreadable):
            secret = course.secret()
            if pool is None:
                nursery = nursery or Nursery([str(course.folder)])
                pool = local_pool(
                    jobs or os.cpu_count() or 1, limits, nursery, newcomers if more is not None else None
                )
            for student, result in pool(todo(chosen)):
                take(student, result)
        elif wrong := damage(course.folder):  # it was not needed, but will be
            say(wrong)
        for student, result in unreadable.items():
            take(student, result)
        applied = apply_extensions(course, assignments(course.root), recorded)
        for sentence in applied.said:
            say(sentence)
        _complete(course, name, rows, applied)
        strays = {} if students else course.strays(name)
        for each, why in ({} if students else course.loose(name)).items():
            say(f"{quoted(each)} was not graded: {why}")
        outside = [
            Row(student, error=f"{quoted(student)} was not graded: {why}") for student, why in strays.items()
        ]
        return [rows[student] for student in chosen if student in rows] + outside


def _complete(course: Course, name: str, rows: dict[str, Row], applied: Applied) -> None:
    """Adds what only the gradebook and the timestamps know."""
    with course.gradebook() as gradebook:
        hands = by_hand(gradebook, name)
        for each in gradebook.assignment_submissions(name):
            row = rows.get(each.student.id)
            if row is not None:
                row.penalty = each.late_submission_penalty or 0.0
                row.name = " ".join(filter(None, [each.student.first_name, each.student.last_name]))
                row.extension = str(applied.granted.get((each.student.id, name), ""))
                row.score = max(0.0, each.score - row.penalty)
                given = hands[row.student].given if row.student in hands else {}
                left = [verdict.cell for verdict in row.verdicts if verdict.needs_human]
                row.decided = {cell: given[cell] for cell in left if cell in given}
    times = course.hand_in_times(name, rows)
    for student, row in rows.items():
        time = times[student]
        row.unclear = time.note if time.unclear else ""
        row.penalty_failed = applied.failed.get((student, name), "")


def _recorded(course: Course, name: str) -> dict[tuple[str, str], datetime | None]:
    """Whose submission of the assignment the gradebook knows, and since when it counts as handed in."""
    with course.gradebook() as gradebook:
        return {(each.student_id, name): each.timestamp for each in gradebook.assignment_submissions(name)}


def _read(
    course: Course, assignment: Assignment, student: str, best: str | None, arrived: dict[str, str]
) -> Row | tuple[Submission, str]:
    """The row of a submission whose stored result is still right, which is looked for where `best` is given; else the
    submission, and a traceback where it cannot be read. Notes its files in `arrived`."""
    name = assignment.name
    try:
        submission = read_submission(course.step("submitted") / student / name, name)
        arrived[student] = files_of(name, submission)
        row = best and _unchanged(course, name, student, digest(submission, assignment), best)
        json.dumps(submission.to_dict()).encode()
    except Exception:  # whatever a folder may hold: it is this student's alone
        return Submission(b""), traceback.format_exc(limit=-30)
    return row or (submission, "")


def _unchanged(course: Course, name: str, student: str, now: str, best: str) -> Row | None:
    """The row of a submission whose stored result is still right; None where it has to be graded."""
    before = course.graded(name, student)
    if before is None or before.get("digest") != now or before.get("protection") not in ("sandbox", best):
        return None
    verdicts = [Verdict.from_dict(each) for each in before["verdicts"]]
    return Row(student, verdicts, before["notes"], before["protection"])


def _take(
    course: Course, assignment: Assignment, student: str, submission: Submission, result: Result, best: str
) -> Row:
    """Stores a result. What cannot be judged or stored becomes this submission's own state."""
    if "broken" in result:
        why = printable(result["broken"], 1000)
        error = f"{printable(student)} was not graded: {why}"
        return Row(student, seconds=0.0, error=error, broken=why, again=True)
    log = ""
    if "graded" in result:
        try:
            graded = _fitting(Graded.from_dict(result["graded"]), assignment)
            course.store(assignment.name, student, submission, graded)
            again = not graded.digest
            return Row(student, graded.verdicts, graded.notes, graded.protection, graded.seconds, again=again)
        except CourseError:
            raise
        except Exception:
            log, why = traceback.format_exc(limit=-30), FAILED
    else:
        log = str(result.get("failed", ""))
        why = PRESSED if result.get("pressed") else LATE if result.get("late") else FAILED
    return _ungradable(course, assignment, student, submission, why, log, best)


def _fitting(graded: Graded, assignment: Assignment) -> Graded:
    """The result, if it says about each graded cell what can be said of it: a worker may be another machine."""
    found = {verdict.cell: verdict for verdict in graded.verdicts}
    cells = {cell.id: cell.points for cell in assignment.cells if cell.autograded}
    if found.keys() != cells.keys() or len(graded.verdicts) != len(cells):
        raise ValueError("a result about other cells than those of the assignment")
    for verdict in graded.verdicts:
        possible, points = cells[verdict.cell], verdict.points
        if verdict.state not in STATES or verdict.possible != possible:
            raise ValueError(f"a result without a state, or for other points: {verdict!r}")
        if points is not None and not 0 <= points <= possible:
            raise ValueError(f"a result with points out of range: {verdict!r}")
    return graded


def _ungradable(
    course: Course,
    assignment: Assignment,
    student: str,
    submission: Submission,
    why: str,
    log: str,
    best: str,
) -> Row:
    """Stores that a human has to look at a submission, with as much of it as can be stored."""
    from casestudies.grading.executor import ungradable

    for kept in (submission, Submission(b"")):
        try:
            graded = ungradable(kept, assignment, why, best)
            course.store(assignment.name, student, kept, graded)
            return Row(student, graded.verdicts, graded.notes, graded.protection, 0.0, log=log, again=True)
        except CourseError:
            raise
        except Exception:
            log += "\n" + traceback.format_exc(limit=-30)
    error = f"{printable(student)}: the result could not be stored"
    return Row(student, seconds=0.0, error=error, log=log, again=True)


__all__ = [
    "Course",
    "CourseError",
    "Nursery",
    "Pool",
    "Row",
    "SandboxError",
    "cluster_pool",
    "grade_class",
    "local_pool",
]
