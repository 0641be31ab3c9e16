"""When each submission was handed in, as the gradebook has it, and the penalties that follow.

The gradebook's time is derived: each run writes what the files of now say (`timestamp.txt` and `hand_in_times.csv`,
see `arrivals`), and where they say nothing any more, none. An old time would go on to cost points, or to save some.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from casestudies.grading.arrivals import Arrival, Arrivals, files_of, settled
from casestudies.grading.times import hand_in_time
from casestudies.sandboxed.quoting import printable

Times = Mapping[tuple[str, str], datetime | None]  # by student and assignment


def write_times(
    submissions: Iterable[tuple[Path, Any]],
    last: Mapping[tuple[str, str], Arrival],
    before: Times | None = None,
) -> list[str]:
    """Gives nbgrader's submissions, which come with their folders, the times at which they count as handed in; the
    caller commits. Returns a sentence for each time that is another one than `before`, or than in the gradebook.

    Where the folder is gone, so is what its `timestamp.txt` said, and the score that stands is of what was in it:
    the time stays, too, unless `hand_in_times.csv` has one.
    """
    said = []
    for folder, submission in submissions:
        student, name = key = submission.student_id, submission.name
        was = (before or {}).get(key, submission.timestamp)
        time = settled(hand_in_time(folder), last.get(key)).time
        if time is None and not os.path.lexists(folder):
            time = submission.timestamp
        if time != submission.timestamp:
            submission.timestamp = time
        if time != was and time is None:
            said.append(f"{printable(student)} has no hand-in time for {name} any more (was: {was} UTC)")
        elif time != was:
            said.append(f"{printable(student)} handed in {name} at {time} UTC (was: {was or 'not known'})")
    return said


def is_late(submission: Any) -> bool:
    """Whether a submission of the gradebook came after its due date.

    Where that was taken away and an extension is left, nbgrader itself raises when it is asked.
    """
    return submission.assignment.duedate is not None and bool(submission.total_seconds_late > 0)


def settle_before_autograding(command: Any, folders: Iterable[str], solutions: str) -> None:
    """Writes the times of all that `nbgrader autograde` finds, and renews their penalties.

    nbgrader never writes that there is no time, leaves alone what it has graded before, and asks for the time of a
    submission before anybody has looked at its files. Raises NbGraderException where `hand_in_times.csv` cannot be
    used: later on, nbgrader would remove the results of each submission that it then fails at.
    """
    from nbgrader.api import Gradebook, MissingEntry
    from nbgrader.converters.base import NbGraderException

    from casestudies.grading.errors import CourseError
    from casestudies.grading.penalties import renew, require_plugin

    directory, log = command.coursedir, command.log
    excluded = set(filter(None, directory.student_id_exclude.split(",")))
    found: dict[str, dict[str, Path]] = {}
    for folder in sorted(map(Path, folders)):
        if folder.parent.name not in excluded:
            found.setdefault(folder.name, {})[folder.parent.name] = folder
    late = []
    try:
        arrivals = Arrivals(Path(directory.root))
        for name, places in found.items():
            if Path(solutions, f"{name}.md").is_file():  # of others, nobody knows which notebook is meant
                arrivals.saw(name, _seen(log, name, places))
        last = arrivals.last()
        with Gradebook(directory.db_url, directory.course_id) as gradebook:
            for name, places in found.items():
                try:
                    known = gradebook.assignment_submissions(name)
                except MissingEntry:
                    continue
                known = [each for each in known if each.student_id in places]
                for sentence in write_times([(places[each.student_id], each) for each in known], last):
                    log.warning("%s", sentence)
                late += [
                    (each.student_id, name) for each in known if is_late(each) or each.late_submission_penalty
                ]
            gradebook.db.commit()
        if late:
            require_plugin(command.config)
    except CourseError as error:
        log.error("%s", error)
        raise NbGraderException(str(error)) from None
    for student, name in late:
        if wrong := renew(command.config, directory.db_url, student, name):
            log.warning("%s: %s", printable(student), wrong)


def _seen(log: Any, name: str, places: Mapping[str, Path]) -> dict[str, str]:
    """What `Arrivals.saw` is told of folders of an assignment."""
    from casestudies.grading.records import read_submission

    seen = {}
    for student, folder in places.items():
        try:
            seen[student] = files_of(name, read_submission(folder, name))
        except Exception:  # whatever a folder may hold: the command will say it of this student alone
            log.debug("%s", traceback.format_exc(limit=-30))
    return seen


__all__ = ["is_late", "settle_before_autograding", "write_times"]
