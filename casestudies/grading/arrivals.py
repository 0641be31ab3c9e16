"""When each submission came in, from one file `hand_in_times.csv` in the course's folder.

    student,assignment,files,first_seen,collected,decided
    lovelace,resnet,3f0c1e...,2026-11-20 12:00:07,2026-11-20 11:58:02,

A `timestamp.txt` may be a student's own, and nobody's lateness shall rest on it alone. So whoever takes a submission
in writes down what it knows: `nbgrader collect` and `nbgrader zip_collect` when it was handed in (`collected`), both
ways of grading when it lay there first (`first_seen`). The time that counts is the one in `decided`, which the
instructor alone writes; else the collected one; else that of `timestamp.txt`. Where those do not fit together, the
submission is shown for a human to decide. All times are UTC.

Lines are only added. The last one of a student and an assignment counts, for as long as the same files lie there.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from casestudies.grading.errors import CourseError
from casestudies.grading.handed_in import in_archive
from casestudies.grading.secret import submission_seed
from casestudies.grading.submission import Submission
from casestudies.grading.tables import open_file, table_decoded, table_rows
from casestudies.grading.times import HandInTime, read_time
from casestudies.sandboxed.quoting import quoted

NAME = "hand_in_times.csv"
BYTES = 64 * 2**20
SLACK = timedelta(minutes=1)  # to copy a submission in, and between the clocks of two machines
DECIDE = f"write the time that counts into {NAME}, column decided"


@dataclass(frozen=True)
class Arrival:
    """One submission of a student. `files` tells one content from another; empty until it is graded first."""

    student: str
    assignment: str
    files: str
    first_seen: str
    collected: str = ""
    decided: str = ""


HEADER = [each.name for each in fields(Arrival)]


def now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None, microsecond=0)


def files_of(assignment: str, submission: Submission) -> str:
    """A digest of what was handed in, without timestamp.txt. A notebook in an archive may be the one that counts."""
    packed = {name: data for name, data in submission.others.items() if in_archive(name)}
    return submission_seed(b"hand-in time", assignment, submission.notebook, {**submission.files, **packed})[
        :32
    ]


class Arrivals:
    """The file of a course's folder, read anew for each use, since two commands may write to it.

    Raises CourseError where it cannot be read or written; it is never overwritten with less than it holds.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def last(self) -> dict[tuple[str, str], Arrival]:
        """What counts: the last line of each student and assignment."""
        return {(each.student, each.assignment): each for each in self._read()}

    def collected(self, student: str, assignment: str, time: datetime | None, arrived: datetime) -> None:
        """A submission was taken in that was handed in at a time, or, where nothing vouches for one (None), that lay
        in the exchange at `arrived` first."""
        with self._locked():
            known = self._read()
            said = "" if time is None else str(time.replace(microsecond=0))
            self._write([*known, Arrival(student, assignment, "", str(arrived), said)])

    def saw(self, assignment: str, found: Mapping[str, str]) -> None:
        """Submissions of an assignment lie there now: {student: files_of(...)}."""
        with self._locked():
            known = self._read()
            place = {(each.student, each.assignment): index for index, each in enumerate(known)}
            earlier = {(each.student, each.assignment, each.files): each for each in known}
            added: list[Arrival] = []
            changed = False
            for student, files in found.items():
                index = place.get((student, assignment))
                if index is not None and known[index].files == files:
                    continue
                changed = True
                if index is not None and not known[index].files:  # it was collected, and is looked into now
                    known[index] = replace(known[index], files=files)
                else:  # what lay there before may have been put back
                    new = Arrival(student, assignment, files, str(now()))
                    added.append(earlier.get((student, assignment, files), new))
            if changed:
                self._write([*known, *added])

    def _read(self) -> list[Arrival]:
        if not os.path.lexists(self.path):
            return []
        if self.path.is_symlink():
            target = quoted(os.readlink(self.path), 400)
            raise CourseError(
                f"{self.path} is a link to {target}; each hand-in writes the table anew, in the link's place. Remove "
                "the link and put the file itself there"
            )
        try:
            with open_file(self.path, links=False) as file:
                data = file.read(BYTES + 1)
        except OSError as error:
            raise CourseError(f"{self.path} cannot be read: {error.strerror}") from None
        if len(data) > BYTES:
            raise CourseError(f"{self.path} is larger than {BYTES // 2**20} MiB, and cannot be this table")
        try:
            text = table_decoded(data)
        except UnicodeError:
            raise CourseError(f"{self.path} cannot be read: it is not UTF-8; save it as CSV UTF-8") from None
        return list(_parsed(self.path, text))

    def _write(self, rows: Iterable[Arrival]) -> None:
        draft = self.path.with_name(f".{NAME}.{os.getpid()}")
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(HEADER)
                writer.writerows(astuple(each) for each in rows)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self.path)
        except OSError as error:
            raise CourseError(f"{self.path} cannot be written: {error.strerror or error}") from None
        finally:
            draft.unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        import fcntl

        try:
            file = open(self.path.with_name(f".{NAME}.lock"), "a+")
        except OSError as error:
            raise CourseError(f"{self.path} cannot be written: {error.strerror or error}") from None
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@lru_cache(maxsize=4)
def _parsed(path: Path, text: str) -> tuple[Arrival, ...]:
    """The lines of the file; kept, since a whole class asks for the same."""
    # A folder's name may have a line break in it, and blanks around it: without them it would be another's.
    rows = table_rows(text, str(path), prose="student", error=CourseError, exact="student")
    if next(rows, (1, []))[1] != HEADER:
        raise CourseError(f"{path}, line 1: expected the columns {','.join(HEADER)}; put them back")
    found = []
    for line, row in rows:
        if not any(each.strip() for each in row):
            continue
        place = f"{path}, line {line}"
        if len(row) != len(HEADER):
            raise CourseError(f"{place}: {len(row)} columns; expected {len(HEADER)}: {','.join(HEADER)}")
        arrival = Arrival(*row)
        for column in ("first_seen", "collected", "decided"):
            value = getattr(arrival, column)
            if value and read_time(value.encode(), NAME).time is None:
                raise CourseError(
                    f"{place}, column {column}: {quoted(value)}; expected a time such as 2026-11-20 12:00:00 (UTC), "
                    "or nothing"
                )
        found.append(arrival)
    return tuple(found)


def _time(text: str) -> datetime | None:
    return read_time(text.encode(), NAME).time if text else None


def settled(
    claim: HandInTime, arrival: Arrival | None, due: datetime | None = None, trusted: bool = False
) -> HandInTime:
    """The time that counts, from what timestamp.txt says and what was seen. `due` is when the assignment was due;
    where all was there by then, nothing hangs on the rest. `trusted`: every timestamp.txt is the instructor's."""
    if arrival is None:
        return claim
    seen, collected, decided = map(_time, (arrival.first_seen, arrival.collected, arrival.decided))
    if decided is not None:
        return HandInTime(decided)
    if collected is not None:
        if claim.time is not None and abs(claim.time - collected) > SLACK:
            return HandInTime(
                collected,
                f"timestamp.txt says {claim.time} and it was collected as handed in at {collected} UTC, which counts "
                f"for now; if that is wrong, {DECIDE}",
                disputed=True,
            )
        return HandInTime(collected)
    late = seen is not None and due is not None and seen > due + SLACK
    if late and claim == HandInTime():
        # The same sentence for all, so that it is said once where no submission has a time.
        return HandInTime(
            None,
            f"nothing says when, and it was seen first after it was due; it counts as on time until you {DECIDE}",
        )
    if claim.time is None or trusted or seen is None:
        return claim
    if claim.time > seen + SLACK:
        return HandInTime(
            claim.time,
            f"timestamp.txt says {claim.time} UTC, after it was seen first, at {seen}; {DECIDE}",
            disputed=True,
        )
    if late:
        return HandInTime(
            claim.time,
            f"timestamp.txt says {claim.time} UTC, and nothing else does: it was seen first at {seen}, after it "
            f"was due; if you did not write the file, {DECIDE}",
            disputed=True,
        )
    return claim


__all__ = ["NAME", "Arrival", "Arrivals", "files_of", "now", "settled"]
