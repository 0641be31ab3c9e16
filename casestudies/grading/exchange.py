"""nbgrader's exchange: release under the hub's course_id, and collect submissions and nothing else.

In the exchange, everybody may put a folder of any name and content where submissions arrive. nbgrader's command
follows the links in it with the instructor's rights, takes what one student put there in another's name, and ends for
the whole class at the first folder that it cannot read. Here each submission stands by itself: it is its owner's, no
link in it is followed, and what cannot be collected is said, and left where it is.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import stat
import tempfile
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from time import time as clock
from typing import Any, TypedDict

from nbgrader.exchange.default.collect import ExchangeCollect
from nbgrader.exchange.default.release_assignment import ExchangeReleaseAssignment

from casestudies.grading.arrivals import SLACK, Arrivals
from casestudies.grading.errors import CourseError
from casestudies.grading.handed_in import SUBMISSION_SECRET, Corrupt, read_plain_file
from casestudies.grading.times import hand_in_time
from casestudies.sandboxed.quoting import printable

# What the hub calls its course: deploy/jupyterhub_config.py sets it for each server.
HUB_COURSE = "CASESTUDIES_HUB_COURSE"
# One without it, from an older nbgrader or one that broke off, counts as whole when it has rested so long.
REST_SECONDS = 60


class ReleaseAssignment(ExchangeReleaseAssignment):
    """nbgrader's command, which releases under any course_id, and says nothing where no student will look there."""

    def init_src(self) -> None:
        here, hub = self.coursedir.course_id, os.environ.get(HUB_COURSE)
        if hub and here != hub:
            self.fail(
                f"students of this hub look for the course {hub}, and nbgrader_config.py says "
                f"c.CourseDirectory.course_id = {here!r}. The course_id is the name under which the gradebook and "
                f"nbgrader's exchange know a course; write c.CourseDirectory.course_id = {hub!r}, or, if this course "
                "has been graded under its name already, have the hub set up with that name: install.py --course "
                f"{here}"
            )
        super().init_src()


class Record(TypedDict):
    """A submission in the exchange, with nbgrader's names."""

    username: str
    filename: str
    timestamp: datetime


class Collect(ExchangeCollect):
    """The newest submission of each student, or the newest in time if the command is asked for that."""

    def init_src(self) -> None:
        # nbgrader's checks: whether there is a course, whether it can be read, and when the assignment is due.
        student, self.coursedir.student_id = self.coursedir.student_id, secrets.token_hex(16)
        try:
            super().init_src()
        finally:
            self.coursedir.student_id = student
        found: dict[str, list[Record]] = {}
        for path in sorted(Path(self.inbound_path).iterdir()):
            record = self.record_of(path)
            if record is not None and student in ("", "*", record["username"]):
                found.setdefault(record["username"], []).append(record)
        self.src_records = [self._chosen(records) for _, records in sorted(found.items())]

    def record_of(self, path: Path) -> Record | None:
        """The submission in a folder of the exchange; None where it is of another assignment, or none at all."""
        student, plus, rest = path.name.partition(f"+{self.coursedir.assignment_id}+")
        if not plus:
            return None
        why = ""
        try:
            status = os.lstat(path)
            time = self._path_to_record(str(path))["timestamp"]
            if not stat.S_ISDIR(status.st_mode):
                why = "it is no folder"
            elif not isinstance(time, datetime) or "/" in student or student.startswith("."):
                why = "its name is not that of a submission"
            elif self.check_owner and (owner := _name_of(status.st_uid)) != student:
                why = f"it is said to be of {printable(student)} and was put there by {printable(owner)}"
            elif _arriving(path, status):
                why = "it is being handed in just now; collect again in a minute (--update)"
        except Exception as error:  # whatever the name makes nbgrader's reader do
            why = str(error) or type(error).__name__
        if why:
            self.log.error("%s was not collected: %s", printable(path.name), printable(why))
            return None
        return {"username": student, "filename": path.name, "timestamp": time}

    def _chosen(self, records: list[Record]) -> Record:
        newest = self._sort_by_timestamp(records)
        if self.duedate is not None and self.before_duedate:
            newest = [each for each in newest if each["timestamp"] <= self.duedate] or newest
        return newest[0]

    def copy_files(self) -> None:
        """Takes what is new; a submission that cannot be copied ends no other's, and leaves the older one there."""
        if not self.src_records:
            super().copy_files()  # which says so
        for record in self.src_records:
            student, assignment = record["username"], self.coursedir.assignment_id
            name = f"{printable(student)} {assignment}"
            target = Path(self.coursedir.format_path(self.coursedir.submitted_directory, student, assignment))
            if target.is_dir() and not self._replaces(record, target):
                more = "No newer submission to collect" if self.update else "Collected already (--update)"
                self.log.info("%s: %s", more, name)
                continue
            self.log.info("%s submission: %s", "Updating" if target.is_dir() else "Collecting", name)
            try:
                arrived = _arrived(Path(self.inbound_path, record["filename"]))
                self.do_copy(os.path.join(self.inbound_path, record["filename"]), str(target))
                # The folder's name is the student's to choose; the machine's clock is not.
                vouched = record["timestamp"] + SLACK >= arrived
                Arrivals(Path(self.coursedir.root)).collected(
                    student, assignment, record["timestamp"] if vouched else None, arrived
                )
            except (OSError, RuntimeError, CourseError) as error:
                self.log.error(
                    "%s was not collected: %s", printable(record["filename"]), printable(str(error))
                )

    def _replaces(self, record: Record, target: Path) -> bool:
        """Whether a submission takes the place of the one that was collected.

        When that one counts as handed in, somebody may have decided since, and taking the same submission again
        would undo it. So it is known by what nbgrader wrote into it, and by its time only where that is missing.
        """
        time, there = record["timestamp"].replace(microsecond=0), hand_in_time(target).time
        known = _secret_of(Path(self.inbound_path, record["filename"])), _secret_of(target)
        if (known[0] == known[1]) if all(known) else (time == there):
            return False
        if self.before_duedate:
            return True
        return bool(self.update) and (there is None or time >= there)

    def do_copy(self, src: str, dest: str, log: Any = None) -> None:
        """Copies a submission without the links and special files in it, and only as a whole."""
        target = Path(dest)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".collecting-", dir=target.parent))
        try:
            left = self._copy(src, staged)
            if target.exists():
                target.rename(staged.with_name(f"{staged.name}.old"))
            staged.rename(target)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            shutil.rmtree(staged.with_name(f"{staged.name}.old"), ignore_errors=True)
        if left:
            shown = ", ".join(printable(name) for name in left[:5])
            more = f", and {len(left) - 5} more" if len(left) > 5 else ""
            self.log.warning(
                "%s: links and special files were left out: %s%s", printable(target), shown, more
            )

    def _copy(self, src: str, staged: Path) -> list[str]:
        """Copies through descriptors, so that nothing can become a link meanwhile; returns what was left out."""
        room = most = 1000 * self.coursedir.max_dir_size
        left: list[str] = []

        def skipped(name: str) -> bool:
            return any(fnmatch(name, pattern) for pattern in self.coursedir.ignore)

        for folder, folders, files, descriptor in os.fwalk(src, onerror=_raise, follow_symlinks=False):
            inside = os.path.relpath(folder, src)
            for name in list(folders):
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if skipped(name) or not stat.S_ISDIR(status.st_mode):
                    folders.remove(name)
                    left += [] if skipped(name) else [os.path.normpath(os.path.join(inside, name))]
                else:
                    (staged / inside / name).mkdir(mode=0o700)
            for name in files:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if skipped(name):
                    continue
                if not stat.S_ISREG(status.st_mode):
                    left.append(os.path.normpath(os.path.join(inside, name)))
                    continue
                data = _read(name, descriptor, room)
                if data is None:
                    raise RuntimeError(
                        f"it has more than {most} bytes (c.CourseDirectory.max_dir_size, in kB)"
                    )
                room -= len(data)
                (staged / inside / name).write_bytes(data)
        return sorted(left)


def _secret_of(folder: Path) -> bytes:
    """What nbgrader wrote into a submission to know it by; empty where it wrote nothing that can be read."""
    try:
        return read_plain_file(folder / SUBMISSION_SECRET, 1000)
    except Corrupt:
        return b""


def _arrived(folder: Path) -> datetime:
    """When a folder of the exchange and what lies in it came there, or was changed last. Unlike the other times of a
    file, this one is set by the kernel alone."""
    newest = os.lstat(folder).st_ctime
    for _, folders, files, descriptor in os.fwalk(folder, follow_symlinks=False):
        for name in (*folders, *files):
            newest = max(newest, os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_ctime)
    return datetime.fromtimestamp(newest, UTC).replace(tzinfo=None, microsecond=0)


def _arriving(path: Path, status: os.stat_result) -> bool:
    """Whether a submission may not be whole yet: half a notebook would be collected, and nothing newer seen later."""
    return not (path / SUBMISSION_SECRET).is_file() and abs(clock() - status.st_ctime) < REST_SECONDS


def _raise(error: OSError) -> None:
    raise error


def _read(name: str, folder: int, most: int) -> bytes | None:
    """The bytes of a regular file in an open folder; None where there are more than `most`."""
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{name} is no regular file")
        data = file.read(most + 1)
    return None if len(data) > most else data


def _name_of(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"the user {number}"
