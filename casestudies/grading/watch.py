"""`casestudies grade ASSIGNMENT --watch`: grades what is handed in, while it is handed in.

Looks at the folders once a second. A submission is graded when it has not changed between two looks, so that none is
taken while it is being copied. Between two starts, only the stored results are remembered: whatever was
handed in meanwhile is graded first. What could not be graded or written is tried again, less and less often.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from casestudies.grading.course import Course
from casestudies.grading.errors import CourseError
from casestudies.grading.handed_in import ENTRIES_COUNT, FOLDERS_DEPTH, passed_over
from casestudies.sandboxed.quoting import printable, quoted

# Seconds until a submission is looked at again, for each entry in it: one with as many as are looked at takes a
# hundredth of a processor, and the others do not wait for it.
SECONDS_AN_ENTRY = 0.001
# Between two tries, in seconds: the first pause and the longest.
HELD_UP = (1.0, 16.0)  # of the whole run, such as by another run's lock
ONCE_MORE = (5.0, 600.0)  # of one submission, and of the reports and pages
# Trying again takes at most this share of the time: whoever hands in meanwhile waits for it.
SHARE = 0.1
NAMES = 5  # of students in one sentence
PAUSE = 1.0  # seconds between two looks
TOLD = (10.0, 60.0)  # seconds after which a batch tells how far it is: the first time, and from then on


class State(NamedTuple):
    """What tells one state of a submission from another: names, kinds, sizes, times and inodes of what it holds."""

    entries: int
    mark: bytes


def state(folder: Path, name: str) -> State:
    """Of a submission of the assignment `name`. Follows no link, and looks no further than grading does."""
    mark, entries = hashlib.blake2b(digest_size=16), 0
    for path, info in _entries(folder, name):
        entries += 1
        kind = stat.S_IFMT(info.st_mode)
        # The last is the kernel's own: who puts another file in place may set the time before it.
        times = f"{info.st_mtime_ns} {info.st_ctime_ns}"
        told = f"{path}\0{kind} {info.st_size} {info.st_ino} {times}\n"
        mark.update(told.encode("utf-8", "surrogateescape"))
    return State(entries, mark.digest())


def _entries(folder: Path, name: str) -> Iterator[tuple[str, os.stat_result]]:
    """The folder itself (an empty one is handed in, too), the notebook, and the first entries of the rest."""
    for path in (folder, folder / f"{name}.ipynb"):  # grading finds the notebook behind any number of files
        try:
            info = os.lstat(path)
        except OSError:  # the folder is gone since it was listed; the next look sees it so
            if path == folder:
                return
            continue
        yield str(path), info
        if path == folder and not stat.S_ISDIR(info.st_mode):  # a link or a file in its place
            return
    left, waiting = ENTRIES_COUNT, [(str(folder), 0)]
    for place, depth in waiting:  # it grows meanwhile
        try:
            with os.scandir(place) as scan:
                for entry in scan:
                    left -= 1
                    if left < 0:
                        return
                    try:
                        info = entry.stat(follow_symlinks=False)
                    except OSError:
                        continue
                    yield entry.path, info
                    if stat.S_ISDIR(info.st_mode) and depth < FOLDERS_DEPTH and not passed_over(entry.name):
                        waiting.append((entry.path, depth + 1))
        except OSError:
            continue


@dataclass
class Outcome:
    """What became of some submissions. Of those that are not named, an earlier run had stored the result."""

    graded: list[str] = field(default_factory=list)  # with a result that stands
    again: dict[str, str] = field(default_factory=dict)  # without one, and why


# Who is not done, and of the others those with a new result that stands -> who has handed in meanwhile, and is to be
# graded along.
More = Callable[[set[str], set[str]], list[str]]
# Grades students, and calls its second argument now and then.
Grade = Callable[[list[str], More], Outcome]


class Tries:
    """When to try something again that failed: twice as long after each time."""

    def __init__(self, pauses: tuple[float, float]) -> None:
        self.pause, self.longest = pauses
        self.until = float("-inf")

    def failed(self, now: float, took: float = 0.0) -> None:
        self.until = now + max(self.pause, took * (1 / SHARE - 1))
        self.pause = min(2 * self.pause, self.longest)


class Watch:
    """Which submissions of an assignment are new, and settled, at each look."""

    def __init__(self, course: Course, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.course, self.name, self.clock = course, name, clock
        self.before: dict[str, State] = {}
        self.graded: dict[str, State] = {}
        self.next: dict[str, float] = {}
        self.failed: dict[str, tuple[State, Tries]] = {}

    def look(self) -> dict[str, State]:
        """The students whose submission is not graded yet, and did not change since the last look. Of those whose
        grading failed, the ones whose time has come."""
        try:
            students = self.course.students(self.name)
        except CourseError:  # nobody has handed anything in yet
            students = []
        submitted, time = self.course.step("submitted"), self.clock()
        now: dict[str, State] = {}
        settled: dict[str, State] = {}
        for student in students:
            before = self.before.get(student)
            if before is not None and time < self.next[student]:
                now[student] = before
                continue
            now[student] = at = state(submitted / student / self.name, self.name)
            self.next[student] = time + at.entries * SECONDS_AN_ENTRY
            if before == at and self.graded.get(student) != at and not self._waits(student, at, time):
                settled[student] = at
        self.before = now
        return settled

    def _waits(self, student: str, at: State, time: float) -> bool:
        """Whether the same files failed, and it is too early to try again; of others nothing is known."""
        if student in self.failed and self.failed[student][0] != at:
            del self.failed[student]
        return student in self.failed and time < self.failed[student][1].until

    def took(self, todo: Mapping[str, State], outcome: Outcome, seconds: float) -> None:
        """Remembers what became of submissions, for whose grading it took so long."""
        in_vain = todo.keys() <= outcome.again.keys()  # else the time was spent on others
        for student, at in todo.items():
            if student not in outcome.again:
                self.graded[student] = at
                self.failed.pop(student, None)
                continue
            charged = seconds if in_vain and student in self.failed else 0.0
            self.failed.setdefault(student, (at, Tries(ONCE_MORE)))[1].failed(self.clock(), charged)


class _Watching:
    """One watch: what it said, and what it has to try again."""

    def __init__(
        self,
        looking: Watch,
        grade: Grade,
        publish: Callable[[], str],
        say: Callable[[str], None],
    ) -> None:
        self.looking, self.grade, self.publish, self.say = looking, grade, publish, say
        self.seen: dict[str, str] = {}
        self.told: dict[str, str] = {}
        self.why: dict[str, str] = {}
        self.held, self.trouble = Tries(HELD_UP), ""
        self.pages: Tries | None = None  # that have to be written
        self.wrong = ""
        self.said: dict[str, State] = {}  # to be graded, while their batch lasts, and what of them

    def strays(self) -> None:
        """Names each once, when it was there for two looks: what is on its way is none."""
        course, name = self.looking.course, self.looking.name
        found = course.loose(name) | course.strays(name)
        self.told = {each: why for each, why in self.told.items() if each in found}
        for each, why in found.items():
            if self.seen.get(each) == why and self.told.get(each) != why:
                self.say(f"{quoted(each)} was not graded: {why}")
                self.told[each] = why
        self.seen = found

    def submissions(self) -> None:
        """Grades those that are new, and then, so that these do not wait for them, the ones that failed."""
        todo = self.looking.look()
        if self.looking.clock() < self.held.until:
            return
        again = {student: at for student, at in todo.items() if student in self.looking.failed}
        for batch in ({student: at for student, at in todo.items() if student not in again}, again):
            if batch and not self._batch(batch):
                return

    def _batch(self, todo: dict[str, State]) -> bool:
        clock = self.looking.clock
        begun = clock()
        try:
            outcome = self.grade(list(todo), self._meanwhile(todo, begun))
        except CourseError as error:
            if str(error) != self.trouble:
                self.say(f"{error}; trying again")
            self.trouble = str(error)
            self.held.failed(clock())
            return False
        self.held, self.trouble = Tries(HELD_UP), ""
        self.looking.took(todo, outcome, clock() - begun)
        self.pages = self.pages or Tries(ONCE_MORE)
        self.pages.until = begun
        for sentence in self._failures(outcome.again):
            self.say(sentence)
        self.why = {s: why for s, why in self.why.items() if s not in todo} | outcome.again
        self.written()  # first: who is said to be graded is in the reports, too
        kept = len(todo) - len(outcome.graded) - len(outcome.again)
        self._say_graded([student for student in outcome.graded if not self._is_said(student, todo)], kept)
        self.said.clear()
        return True

    def _is_said(self, student: str, todo: Mapping[str, State]) -> bool:
        return student in self.said and self.said[student] == todo.get(student)

    def _say_graded(self, graded: list[str], kept: int = 0) -> None:
        what = [f"graded {', '.join(graded)}"] * bool(graded) + [f"{kept} unchanged"] * bool(kept)
        if what:
            self.say(f"{'; '.join(what)}; {len(self.looking.before)} handed in")

    def _meanwhile(self, todo: dict[str, State], begun: float) -> More:
        """What a batch asks while it lasts: who came since. Those are then of the batch, too. One that takes long
        tells whom it waits for; the reports and names of the others do not wait, nor what lies in a wrong place."""
        clock = self.looking.clock
        look, tell, publish = begun, begun + TOLD[0], begun + TOLD[0]

        def more(left: set[str], graded: set[str]) -> list[str]:
            nonlocal look, tell, publish
            if clock() < look:  # what did not change between two looks is complete: they lie apart
                return []
            look = clock() + PAUSE
            self.strays()
            new = {
                student: at
                for student, at in self.looking.look().items()
                if student not in left and todo.get(student) != at and student not in self.looking.failed
            }
            done = len(todo.keys() - left)
            todo.update(new)
            if clock() >= tell and left:
                tell = clock() + TOLD[1]
                names = ", ".join(printable(each) for each in sorted(left)[:NAMES])
                rest = f" and {len(left) - NAMES:,} more" if len(left) > NAMES else ""
                self.say(f"still at {names}{rest}; {done:,} done meanwhile")
            ready = {
                student: todo[student]
                for student in sorted(graded & todo.keys() - left - new.keys())
                if not self._is_said(student, todo)
            }
            if ready and (at := clock()) >= publish:
                self.pages = self.pages or Tries(ONCE_MORE)
                self.written()
                self._say_graded(list(ready))
                self.said |= ready
                publish = clock() + (clock() - at)  # the class's pages take long, and grading waits for them
            return list(new)

        return more

    def _failures(self, again: Mapping[str, str]) -> Iterable[str]:
        """A sentence for all who failed for the same reason, where it is not the one that was told before."""
        by_why: dict[str, list[str]] = {}
        for student, why in again.items():
            if self.why.get(student) != why:
                by_why.setdefault(why, []).append(student)
        for why, some in by_why.items():
            names = ", ".join(printable(each) for each in some[:NAMES])
            more = f" and {len(some) - NAMES:,} more" if len(some) > NAMES else ""
            yield f"not graded yet: {names}{more}: {why.rstrip('.')}; trying again, less and less often"

    def written(self) -> None:
        """Reports, and pages of feedback, where something was graded since, or they could not be written."""
        clock = self.looking.clock
        if self.pages is None or clock() < self.pages.until:
            return
        if wrong := self.publish():
            if wrong != self.wrong:
                self.say(f"{wrong.rstrip('.')}; trying again, less and less often")
            self.pages.failed(clock())
        else:
            if self.wrong:
                self.say("reports and pages, which could not be written before, are there now")
            self.pages = None
        self.wrong = wrong


def watch(
    course: Course,
    name: str,
    grade: Grade,
    say: Callable[[str], None],
    publish: Callable[[], str] = lambda: "",
    pause: float = PAUSE,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Calls `grade` with the students whose submission is new, then `publish`, until it is interrupted. Who hands in
    while `grade` is at work is graded along, so that nobody waits for a submission that takes long.

    `publish` writes reports and pages, and returns a sentence where it could not. A CourseError of `grade`, such as
    another run's lock, is said once; the same submissions are tried again later.
    """
    course.assignment(name)  # an unknown name ends it here
    watching = _Watching(Watch(course, name, clock), grade, publish, say)
    say(f"watching {course.step('submitted')} for {name}; Ctrl-C ends it")
    while True:
        watching.strays()
        watching.submissions()
        watching.written()
        sleep(pause)
