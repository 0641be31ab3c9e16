"""`casestudies grade ASSIGNMENT --watch`: grades what is handed in, while it is handed in.

Looks at the folders once a second. A submission is graded when it has not changed between two looks, so that none is
taken while it is being copied. Between two starts, only the stored results are remembered: whatever was
handed in meanwhile is graded first.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from pathlib import Path

from casestudies.grading.course import Course
from casestudies.grading.errors import CourseError

State = tuple[tuple[str, int, int, int], ...]


def state(folder: Path) -> State:
    """What tells one state of a submission from another: names, sizes, times and inodes of its files."""
    found = []
    for place, _, names in os.walk(folder):
        for name in ["", *names]:  # "" for the folder itself: an empty one is handed in, too
            path = os.path.join(place, name)
            try:
                info = os.lstat(path)
            except OSError:  # gone since it was listed; the next look sees it so
                continue
            found.append((path, info.st_size, info.st_mtime_ns, info.st_ino))
    return tuple(sorted(found))


class Watch:
    """Which submissions of an assignment are new, and settled, at each look."""

    def __init__(self, course: Course, name: str) -> None:
        self.course, self.name = course, name
        self.before: dict[str, State] = {}
        self.graded: dict[str, State] = {}

    def look(self) -> dict[str, State]:
        """The students whose submission is not graded yet, and did not change since the last look."""
        try:
            students = self.course.students(self.name)
        except CourseError:  # nobody has handed anything in yet
            students = []
        submitted = self.course.step("submitted")
        now = {student: state(submitted / student / self.name) for student in students}
        settled = {s: at for s, at in now.items() if self.before.get(s) == at and self.graded.get(s) != at}
        self.before = now
        return settled


def watch(
    course: Course,
    name: str,
    grade: Callable[[list[str]], Collection[str]],
    say: Callable[[str], None],
    pause: float = 1.0,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Calls `grade` with the students whose submission is new, until it is interrupted. It returns whom it graded:
    of the others, an earlier run had stored the result.

    A CourseError of `grade`, such as another run's lock, is said once; the same submissions are tried again later.
    """
    course.assignment(name)  # an unknown name ends it here
    looking, trouble = Watch(course, name), ""
    seen: dict[str, str] = {}
    told: dict[str, str] = {}
    say(f"watching {course.step('submitted')} for {name}; Ctrl-C ends it")
    while True:
        strays = course.strays(name)
        for student, why in strays.items():
            if seen.get(student) == why and told.get(student) != why:  # nothing that is only on its way
                say(f"{student!r} was not graded: {why}")
                told[student] = why
        seen = strays
        if todo := looking.look():
            try:
                done = grade(list(todo))
            except CourseError as error:
                if str(error) != trouble:
                    say(f"{error}; trying again")
                trouble = str(error)
            else:
                looking.graded |= todo
                trouble = ""
                kept = len(todo.keys() - set(done))
                what = [f"graded {', '.join(done)}"] * bool(done) + [f"{kept} unchanged"] * bool(kept)
                say(f"{'; '.join(what)}; {len(looking.before)} handed in")
        sleep(pause)
