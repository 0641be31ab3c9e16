"""The keeper of one student's process: starts it, counts what it uses, and ends it with all that it started.

It is ours, and the student's code cannot reach it. What it counts it writes into a page of memory that the grading
process reads (`Usage`), so that nobody has to ask: processor time decides what has timed out, since the clock on the
wall also runs while neighbours work.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import signal
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from casestudies.sandboxed.frames import SPARE, Allowed, Order, Setup
from casestudies.sandboxed.isolation import (
    LINUX,
    adopt_orphans,
    ask_to_die_with_parent,
    bound_numbers,
    die_with_parent,
    new_namespaces,
    open_numbers,
)

GREEDY = 8  # only who uses more than 1/GREEDY of its memory is ended where the machine runs short
ROOM = 500  # numbers beyond those that may be started: a look that sees one of these says that all were
IDLE_LOOKS = 0.25  # seconds between two looks at who is idle
LATE = 1.0  # seconds of which such a look can tell at most: who looks later may have been kept from it
BUFFER, FEW_DESCRIPTORS = 1 << 19, 32  # bytes for each open descriptor beyond the first few
_TICK = 1 / os.sysconf("SC_CLK_TCK") if LINUX else 0.01


class Usage:
    """Processor time (seconds), memory (bytes) and idle time (seconds) of a submission, and when it was last looked
    at for that (by the clock on the wall), in memory that two processes share."""

    FORM = struct.Struct("=dQdd")

    def __init__(self, descriptor: int) -> None:
        self.page = mmap.mmap(descriptor, mmap.PAGESIZE)

    def write(self, seconds: float, size: int, idle: float, looked: float) -> None:
        self.FORM.pack_into(self.page, 0, seconds, size, idle, looked)

    def read(self) -> tuple[float, int, float, float]:
        return self.FORM.unpack_from(self.page)

    def close(self) -> None:
        self.page.close()


@dataclass(frozen=True)
class Process:
    """A descendant: when it was started (ticks since the machine was), seconds of its own, and of children that it
    has waited for."""

    started: int
    own: float
    waited: float
    ended: bool  # nobody has waited for it yet
    threads: int = 1  # the first one counts until somebody has waited for the process


def descendants_of(root: int) -> dict[int, Process]:
    """All descendants of a process, those that have just ended included."""
    children: dict[int, list[int]] = {}
    known: dict[int, list[bytes]] = {}  # the numbers behind each name
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
            known[int(name)] = fields
    found, todo = {}, [root]
    while todo:
        for pid in children.get(todo.pop(), []):
            fields = known[pid]
            own, waited = (int(fields[11]) + int(fields[12])) * _TICK, sum(map(int, fields[13:15])) * _TICK
            ended, threads = fields[0] == b"Z", int(fields[17])
            found[pid] = Process(int(fields[19]), max(own, seconds_run(pid)), waited, ended, threads)
            todo.append(pid)
    return found


def seconds_run(pid: int) -> float:
    """What a process has run, to the nanosecond where the kernel says so: in ticks, who lives for a few milliseconds
    has taken nothing. Of a process with threads it is the first one's alone."""
    try:
        with open(f"/proc/{pid}/schedstat", "rb") as file:
            return int(file.read().split()[0]) * 1e-9
    except (OSError, ValueError, IndexError):
        return 0.0


def family_of(root: int) -> set[int]:
    """The living descendants of a process."""
    return {pid for pid, process in descendants_of(root).items() if not process.ended}


class Meter:
    """Processor time of a family, whoever waits for its members or not.

    What has ended counts as it was last seen. Of what came and went between two looks only a part was seen: it counts
    as if others like it had filled the time between the looks, which is right on the average.
    """

    def __init__(self) -> None:
        self.spent = 0.0
        self.gone = 0.0
        self.seen: dict[
            tuple[int, int], tuple[float, float]
        ] = {}  # own seconds, and those if never seen again
        self.looked: float | None = None

    def look(self, family: dict[int, Process], now: float) -> float:
        """The seconds so far. `now` is the time since the machine was started."""
        gap = 0.0 if self.looked is None else max(0.0, now - self.looked)
        self.looked = now
        before, self.seen = self.seen, {}
        for pid, process in family.items():
            key = pid, process.started
            charge = process.own
            if key not in before and not process.ended:
                age = max(now - process.started * _TICK, process.own, _TICK)
                charge = max(process.own, process.own / age * gap)
            self.seen[key] = process.own, charge
        self.gone += sum(charge for key, (_, charge) in before.items() if key not in self.seen)
        by_sight = self.gone + sum(own for own, _ in self.seen.values())
        by_parents = sum(process.own + process.waited for process in family.values())
        self.spent = max(self.spent, by_sight, by_parents)
        return self.spent


class Idleness:
    """How long nobody of a family computed, or waited for a processor or a disk: all slept, or waited for each other.

    That is nobody's fault but theirs, however busy the machine is. Where it is not certain, it does not count: while
    processes or threads come and go, and where the kernel does not tell how long each has waited for a processor.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.busy: dict[str, float] | None = None  # of each thread, at the last look
        self.looked = 0.0

    def look(self, family: Iterable[int], now: float) -> float:
        """The seconds so far. `now` is by the clock on the wall."""
        seen = {place: busy_seconds(place) for pid in family for place in _threads_of(pid)}
        known = {place: seconds for place, seconds in seen.items() if seconds is not None}
        before, self.busy = self.busy, known if len(known) == len(seen) else None
        gap, self.looked = min(now - self.looked, LATE), now
        if self.busy is not None and before is not None and self.busy.keys() == before.keys():
            moved = sum(seconds - before[place] for place, seconds in self.busy.items())
            self.seconds += max(0.0, gap - moved)
        return self.seconds


def busy_seconds(place: str) -> float | None:
    """How long a thread has run and waited for a processor; None where nobody knows, or it does either just now, or
    waits for a disk."""
    try:
        with open(f"{place}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] in (b"R", b"D"):
                return None
        with open(f"{place}/schedstat", "rb") as file:
            run, waited = file.read().split()[:2]
        return (int(run) + int(waited)) * 1e-9
    except (OSError, ValueError, IndexError):
        return None


class Started:
    """How many processes and threads a submission has started in all, those that have ended included.

    In a PID namespace of its own all are numbered one after another: the highest number that is seen says how many
    there were, whoever came and went between two looks.
    """

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.highest = 0

    def look(self, family: Iterable[int]) -> int:
        now = {place for pid in family for place in _threads_of(pid)}
        for place in now - self.known:
            self.highest = max(self.highest, number_inside(place))
        self.known = now
        return self.highest


def _threads_of(pid: int) -> list[str]:
    """The folders of a process's threads; one that has ended has none."""
    try:
        return [f"/proc/{pid}/task/{thread}" for thread in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def number_inside(place: str) -> int:
    """A thread's number in the innermost namespace that it is in; 0 where it has gone."""
    try:
        with open(f"{place}/status") as file:
            return next((int(line.split()[-1]) for line in file if line.startswith("NSpid:")), 0)
    except (OSError, ValueError):
        return 0


def anonymous_bytes(pid: int) -> int:
    """Memory that a process holds for itself, or shares without a file."""
    total = 0
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(("RssAnon", "RssShmem")):
                    total += int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return total


def buffer_bytes(pid: int) -> int:
    """What the kernel may hold in pipes and sockets of a process: no figure of the process's own shows that."""
    try:
        return BUFFER * max(0, len(os.listdir(f"/proc/{pid}/fd")) - FEW_DESCRIPTORS)
    except OSError:
        return 0


def available_bytes() -> int | None:
    """Memory that this machine could still give."""
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def keep(child: int, limits: Allowed, baseline: int, note: int, usage: Usage | None, isolated: bool) -> None:
    """Watches over a child until it ends; ends it with all it started when it takes too much.

    The reason is "pressure" where it is the machine that ran short: whoever holds much then makes room, and is tried
    once more when it is alone. Who holds little is left in peace.
    """
    reason, started, meter, numbers = "", time.monotonic(), Meter(), Started()
    idleness = Idleness()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if LINUX:
            found = descendants_of(os.getpid())
            family = {pid for pid, process in found.items() if not process.ended}
            # Where the kernel holds the limit there are never more threads; to end a bomb comes before all counting.
            if len(family) > limits["processes"] or _threads(found) > limits["processes"] + SPARE:
                reason = "processes"
                break
            spent = meter.look(found, time.clock_gettime(time.CLOCK_BOOTTIME))
            used = sum(max(0, anonymous_bytes(pid) - baseline) + buffer_bytes(pid) for pid in family)
            if usage is not None:
                now = time.monotonic()
                if now - max(idleness.looked, started) > IDLE_LOOKS:
                    idleness.look(family, now)
                usage.write(spent, used, idleness.seconds, idleness.looked)
            if (
                child not in family
                and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            ):
                reason = "unseen"  # a child that cannot be watched may not run
            elif isolated and numbers.look(found) > limits["started"]:
                reason = "processes"  # a few at a time, without an end: each costs the machine, whoever it is
            elif used > limits["memory_bytes"]:
                reason = "memory"
            elif used > limits["memory_bytes"] / GREEDY:
                available = available_bytes()
                if available is not None and available < limits["reserve_bytes"]:
                    reason = "pressure"
        if time.monotonic() - started > limits["wall_seconds"] + 60:
            reason = "time"  # the grading process should have ended it long ago
        if reason:
            break
        pause = 0.02 if time.monotonic() - started < 0.5 else 0.05
        if hasattr(signal, "sigtimedwait"):
            signal.sigtimedwait({signal.SIGCHLD}, pause)  # no longer than the child lives
        else:
            time.sleep(pause)
    kill_all(child)
    if not done:
        _, status = os.waitpid(child, 0)
    os.write(note, json.dumps({"reason": reason, "status": status}).encode() + b"\n")


def _threads(found: dict[int, Process]) -> int:
    """Of all processes together, as far as they have not ended: where the first one has, others may not have."""
    return sum(process.threads - process.ended for process in found.values())


def kill_all(child: int) -> None:
    """The child first: as the first process of its namespace it takes all others with it."""
    for turn in range(200):  # before anybody looks who the others are: among thousands that takes a while
        for pid in [child] if not turn or not LINUX else family_of(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if not LINUX or not family_of(os.getpid()):
            return
        time.sleep(0.005)


def start_keeper(
    connection: socket.socket,
    shared: int | None,
    groups: list[int],
    job: Order,
    setup: Setup,
    be_the_child: Callable[[socket.socket, Order, Setup, bool], None],
) -> tuple[int, int]:
    """Forks the keeper; returns its pid and the pipe on which it reports. First line: the child's pid.

    `shared` is the page for `Usage`; `groups` the open cgroup.procs of the submission's control groups.
    """
    out, note = os.pipe()
    server = os.getpid()
    keeper = os.fork()
    if keeper:
        os.close(note)
        return keeper, out
    try:
        die_with_parent(server)
        adopt_orphans()
        close_all_but(
            {note, connection.fileno(), *groups, 0, 1, 2} | ({shared} if shared is not None else set())
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        limits = job["limits"]
        if setup["isolate"]:
            import resource

            resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"] + SPARE,) * 2)
        numbers = open_numbers()
        isolated = setup["isolate"] and new_namespaces()
        baseline = anonymous_bytes(os.getpid())
        alive, held = os.pipe()  # `held` closes with the keeper: so the child can tell that it is gone
        child = os.fork()
        if child == 0:
            for pipe in (note, held, shared):
                if pipe is not None:
                    os.close(pipe)
            enter(groups)
            if numbers is not None:
                bound_numbers(numbers, limits["started"] + ROOM)
                os.close(numbers)
            _die_with_keeper(alive)
            be_the_child(connection, job, setup, isolated)
            os._exit(0)
        os.close(alive)
        if numbers is not None:
            os.close(numbers)
        usage = Usage(shared) if shared is not None else None
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # it is waited for; not so in the child
        connection.close()
        os.write(note, json.dumps({"child": child, "isolated": isolated}).encode() + b"\n")
        keep(child, limits, baseline, note, usage, isolated)
    except BaseException as error:
        os.write(2, f"keeper: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def enter(groups: list[int]) -> None:
    """Puts this process into control groups, given by their open cgroup.procs, and closes those. Where a group has
    gone or refuses, the keeper counts."""
    for group in groups:
        try:
            os.write(group, b"0")
        except OSError:
            pass
        os.close(group)


def _die_with_keeper(alive: int) -> None:
    """In a namespace of its own a child does not see its parent; the pipe tells whether that has died already."""
    ask_to_die_with_parent()
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)
    os.close(alive)


def close_all_but(keep_open: set[int]) -> None:
    first = 3
    for number in sorted({*keep_open, 1024}):
        if first < number:  # to an end before its beginning `closerange` closes all that there is
            os.closerange(first, number)
        first = max(first, number + 1)
