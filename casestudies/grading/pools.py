"""Grading processes, and the pools that hand them a class.

Around each submission stands a boundary: whatever its grading process does (ends, takes too long, runs out of
memory), that submission alone gets a state. An answer of a process is one of

    {"graded": ...}      `Graded.to_dict()`
    {"failed": text}     an exception; the text is its traceback, for the log
    {"pressed": true}    the machine ran short of memory, or of time: tried once more when nothing else runs
    {"broken": sentence} the sandbox does not work here: nothing that a student did
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

from casestudies.grading.cgroups import command_in_a_scope
from casestudies.grading.errors import CourseError
from casestudies.grading.fingerprint import fingerprint
from casestudies.grading.sandbox import MEMORY, Limits
from casestudies.sandboxed.frames import LENGTH, read_frame, send_frame, send_with

ATTEMPTS = 2  # of a submission whose grading process was lost or hard pressed; the second is alone
SLACK = 30.0  # seconds to start a sandbox in, and to end one
RESULT_BYTES = 256 * 2**20  # of one result
HOLDS_UP = 20.0  # seconds after which a submission keeps nobody else from being graded, where others may come
HELD = 4  # processes more than asked for, where that many are held by such submissions
LOOKS = 1.0  # seconds between two looks for who came

Result = dict[str, Any]  # see above
Job = tuple[str, bytes]
Pool = Callable[[Iterable[Job]], Iterator[tuple[str, Result]]]


class Nursery:
    """The process that makes grading processes (see `worker`). It needs a second or two to begin, in which others
    can do their own imports; a context, at whose end all of them are gone. They also end with this process, however
    it ends: the nursery sees its socket close, and the others see the nursery end. `hidden` are folders that no
    submission may see."""

    def __init__(self, hidden: Sequence[str]) -> None:
        self.hidden = list(hidden)
        self.process: subprocess.Popen[bytes] | None = None
        # What the processes leave in the folder of temporary files: they are killed, and cannot tidy up.
        self.scratch = tempfile.TemporaryDirectory(prefix="casestudies-", ignore_cleanup_errors=True)
        self.lock = threading.Lock()
        self.start()

    def __enter__(self) -> Nursery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.scratch.cleanup()

    def start(self) -> None:
        self.control, theirs = socket.socketpair()
        self.told: tuple[str, str] | None = None  # what it was told that its workers will be about
        with theirs:
            self.process = subprocess.Popen(
                [
                    *command_in_a_scope(),
                    *(sys.executable, "-m", "casestudies.grading.worker"),
                    *(str(theirs.fileno()), json.dumps(self.hidden)),
                ],
                pass_fds=[theirs.fileno()],
                env={**MEMORY, **os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": self.scratch.name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the run, which then ends its workers
            )

    def worker(self, limits: Limits, about: tuple[str, str] | None = None) -> tuple[socket.socket, int]:
        """The connection of a new worker, and its process. `about` are the assignment that it is for and the seed of
        its cases: see `worker.learn`. Raises CourseError."""
        with self.lock:
            for attempt in range(2):
                if self.process is None:
                    self.start()
                mine, theirs = socket.socketpair()
                try:
                    with theirs:
                        if about is not None and about != self.told:
                            self.told = about  # before the fingerprint, which takes a while to find
                            send_with(self.control, {"about": about})
                        send_with(
                            self.control,
                            {"limits": asdict(limits), "fingerprint": fingerprint()},
                            theirs.fileno(),
                        )
                    return mine, json.loads(read_frame(self.control))["worker"]
                except (EOFError, OSError):
                    mine.close()
                    self.close()
                    if attempt:
                        raise CourseError(
                            "grading processes cannot be started here; see above for why"
                        ) from None
        raise AssertionError

    def close(self) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        self.control.close()
        try:
            os.killpg(process.pid, signal.SIGKILL)  # its workers are in its group
        except ProcessLookupError:
            pass
        process.wait()


@dataclass
class Worker:
    """A grading process, and the submission it is at."""

    nursery: Nursery
    limits: Limits
    job: str | None = None
    connection: socket.socket | None = None
    pid: int = 0
    begun: float = 0.0  # when it was given the submission, by the clock on the wall
    ends: float = 0.0  # when that must be done

    def give(self, student: str, data: bytes) -> None:
        if self.connection is None:
            self.connection, self.pid = self.nursery.worker(self.limits, about(data))
        self.job = student
        self.begun = time.monotonic()
        self.ends = self.begun + wall_seconds(self.limits)
        self.connection.settimeout(wall_seconds(self.limits))
        try:
            send_frame(self.connection, data)
        except OSError:
            pass  # it is gone; reading tells so

    def take(self) -> Result:
        """The result. A process that has died, or does not come to an end, is replaced by the next `give`."""
        self.job = None
        try:
            if self.connection is None:
                raise EOFError
            self.connection.settimeout(max(0.1, self.ends - time.monotonic()))
            size = LENGTH.unpack(self._exactly(LENGTH.size))[0]
            if size > RESULT_BYTES:
                raise ValueError("a result that is too large")
            result = json.loads(self._exactly(size))
            if isinstance(result, dict):
                return result
            raise ValueError("a result that is none")
        except TimeoutError:
            self.kill()
            return {
                "failed": "The grading process did not come to an end in its time, and was ended.",
                "late": True,
            }
        except (EOFError, OSError, ValueError):
            self.kill()
            return {"failed": "The grading process died.", "died": True}

    def _exactly(self, size: int) -> bytes:
        parts = bytearray()
        assert self.connection is not None
        while len(parts) < size:
            if time.monotonic() > self.ends:
                raise TimeoutError
            part = self.connection.recv(min(size - len(parts), 1 << 20))
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)

    def kill(self) -> None:
        """Ends the worker at once; its sandbox ends with it."""
        if self.connection is not None and self.pid:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.close()

    def close(self) -> None:
        """Lets the worker end, with its sandbox."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def about(job: bytes) -> tuple[str, str] | None:
    """The assignment of a job and the seed of its cases, which all of a class share; None where it has none."""
    read = json.loads(job)
    cases = read["seed"].partition("/")[2]
    return (read["assignment"]["name"], cases) if cases else None


def wall_seconds(limits: Limits) -> float:
    """How long a submission may take in all, by the clock on the wall, before its grading process is ended."""
    return limits.patience * (limits.notebook_seconds + limits.judge_seconds) + SLACK


def again(result: Result) -> bool:
    """Whether a submission deserves another try: it may have been the machine, or a neighbour."""
    return bool(result.get("pressed") or result.get("died") or result.get("broken"))


def alone_at_last(job: bytes) -> bytes:
    """The job for its second try: what does not come to an end now is for a human."""
    return json.dumps({**json.loads(job), "alone": True}).encode()


def local_pool(
    jobs: int, limits: Limits, nursery: Nursery, more: Callable[[], Iterable[Job]] | None = None
) -> Pool:
    """Grades with processes of this machine. Yields (student, result), as they come.

    What the machine could not finish is tried once more at the end, alone. `more` is asked once a second who has come
    meanwhile; a submission that takes long then holds a process, and no place in the queue.
    """

    def run(todo: Iterable[Job]) -> Iterator[tuple[str, Result]]:
        waiting = deque(todo)
        alone: deque[Job] = deque()
        running: dict[str, Job | None] = {}  # None: the last try
        workers: list[Worker] = []
        with nursery, ExitStack() as closing:

            def free() -> Worker | None:
                """A worker without a submission, where there may be one more at work."""
                busy = [worker for worker in workers if worker.job is not None]
                late = time.monotonic() - HOLDS_UP if more is not None else float("-inf")
                if sum(worker.begun >= late for worker in busy) >= jobs or len(busy) >= jobs + HELD:
                    return None
                for worker in workers:
                    if worker.job is None:
                        return worker
                worker = Worker(nursery, limits)
                closing.callback(worker.close)
                workers.append(worker)
                return worker

            def give_all() -> None:
                while waiting and (worker := free()) is not None:
                    student, data = waiting.popleft()
                    running[student] = student, data
                    worker.give(student, data)

            while waiting or running or alone:
                if more is not None:
                    waiting.extend(more())
                if not waiting and not running:
                    student, data = alone.popleft()
                    if (worker := free()) is None:
                        raise AssertionError("nothing runs, and no worker is free")
                    running[student] = None
                    worker.give(student, alone_at_last(data))
                give_all()
                busy = {
                    worker.connection: worker
                    for worker in workers
                    if worker.job is not None and worker.connection is not None
                }
                left = max(0.0, min(worker.ends for worker in busy.values()) - time.monotonic())
                ready = select.select(list(busy), [], [], left if more is None else min(left, LOOKS))[0]
                late = [connection for connection, worker in busy.items() if time.monotonic() > worker.ends]
                for connection in dict.fromkeys([*ready, *late]):
                    worker = busy[connection]
                    student = str(worker.job)
                    job, result = running.pop(student), worker.take()
                    if job is not None and again(result):
                        alone.append(job)
                        continue
                    give_all()  # before the result is stored, which takes a while
                    yield student, result

    return run


# --------------------------------------------------------------------------- a cluster

_BENCH: list[Worker] = []  # grading processes of this process that have nothing to do
_NURSERY: list[Nursery] = []
_LOCK = threading.Lock()


def grade_on_this_machine(job: bytes) -> bytes:
    """What a Dask worker does with a job: hands it to a grading process of its own, with the same boundary around it
    as in a local run. A hostile submission ends that process at most."""
    limits = Limits(**json.loads(job)["limits"])
    with _LOCK:
        if not _NURSERY:
            _NURSERY.append(Nursery([]))
        worker = next((each for each in _BENCH if each.limits == limits), None)
        if worker is None:
            worker = Worker(_NURSERY[0], limits)
        else:
            _BENCH.remove(worker)
    worker.give("a job", job)
    result = worker.take()
    with _LOCK:
        _BENCH.append(worker)
    return json.dumps(result).encode()


def cluster_pool(address: str, timeout: float = 15) -> Pool:
    """Grades on a Dask cluster: the same function of bytes, on workers that share nothing with this machine.

    A machine there is trusted no more than a local worker: what it sends is a result or none.
    """
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise CourseError(
            "--scheduler needs dask.distributed, here and on the workers: pip install 'casestudies[grading,cluster]'"
        ) from None

    # Before anything is read or written: a wrong address shall leave the course as it was.
    try:
        client = Client(address, timeout=timeout)
    except (OSError, TimeoutError, ValueError) as error:
        raise CourseError(f"no Dask scheduler answers at {address}: {error}") from None

    def run(todo: Iterable[Job]) -> Iterator[tuple[str, Result]]:
        def submit(data: bytes) -> Any:
            return client.submit(grade_on_this_machine, data, pure=False, retries=ATTEMPTS)

        with client:
            futures, alone = {}, []
            for student, data in todo:
                futures[submit(data)] = (student, data)
            for future in as_completed(list(futures)):
                student, data = futures[future]
                result = _of_future(future)
                if again(result):
                    alone.append((student, data))
                else:
                    yield student, result
            for student, data in alone:
                yield student, _of_future(submit(alone_at_last(data)))

    return run


def _of_future(future: Any) -> Result:
    try:
        result = json.loads(future.result())
        if isinstance(result, dict):
            return result
    except Exception as error:  # the cluster lost it, or its worker answered something else
        return {"failed": f"The cluster lost the submission ({type(error).__name__}).", "died": True}
    return {"failed": "The cluster answered something that is no result.", "died": True}


__all__ = ["Nursery", "Pool", "Result", "Worker", "cluster_pool", "grade_on_this_machine", "local_pool"]
