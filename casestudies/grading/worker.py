"""Grading processes: jobs in, results out, each over a socket and with a sandbox of its own.

`pools` starts this file once. It imports torch and the checks, and then forks a worker for every connection it is
sent, so that a class on many cores waits for the imports once, and a worker that died is replaced in no time.
Jobs and results are those that `pools` describes.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import socket
import sys
import threading
import traceback
from dataclasses import asdict
from functools import cache
from pathlib import Path

from casestudies.grading import importing

with importing():  # torch comes with them
    from casestudies.checking.space import seed_of
    from casestudies.grading.executor import Pressed, cases_of, grade_bytes
    from casestudies.grading.fingerprint import take_over
    from casestudies.grading.sandbox import Limits, Sandbox, SandboxError
    from casestudies.sandboxed.frames import read_frame, receive, send_frame
    from casestudies.sandboxed.isolation import die_with_parent

_SANDBOXES: dict[str, Sandbox] = {}
_LOCK = threading.Lock()


def grade_job(job: bytes, hidden: tuple[str, ...] = ()) -> bytes:
    """Grades in this process's own sandbox, which is started at the first call. The answer is one of those that
    `pools` lists: whatever goes wrong with a submission is its answer, and nothing leaves this function but that.

    A sandbox that broke is replaced once.
    """
    try:
        limits = Limits(**json.loads(job)["limits"])
        key = _key(limits, hidden)
        error: SandboxError | None = None
        with _LOCK:  # a sandbox grades one submission at a time, whatever threads its process has
            for _ in range(2):
                try:
                    if key not in _SANDBOXES:
                        _launch(limits, hidden)
                        import_the_checks()  # while the sandbox imports torch as well
                    return grade_bytes(job, _SANDBOXES[key])
                except SandboxError as failure:
                    error = failure
                    if key in _SANDBOXES:
                        _SANDBOXES.pop(key).close()
        return json.dumps({"broken": str(error)}).encode()
    except Pressed:
        return json.dumps({"pressed": True}).encode()
    except Exception:
        return json.dumps({"failed": traceback.format_exc(limit=-30)[-20_000:]}).encode()


def _launch(limits: Limits, hidden: tuple[str, ...]) -> None:
    sandbox = _SANDBOXES[_key(limits, hidden)] = Sandbox(limits, hidden=map(Path, hidden))
    sandbox.launch()


def _key(limits: Limits, hidden: tuple[str, ...]) -> str:
    return json.dumps([asdict(limits), hidden])


@cache
def import_the_checks() -> None:
    """The machinery. The parts of an assignment follow with its first submission."""
    with importing():
        import nbformat
        import torch

        from casestudies.checking import engine
        from casestudies.grading import intake

        torch.set_num_threads(1)
        nbformat.validate(nbformat.v4.new_notebook())  # compiles the schema
        del engine, intake


def serve(
    connection: socket.socket, limits: Limits, hidden: tuple[str, ...], twin: socket.socket | None
) -> None:
    """The life of a worker. Time and memory of its own are limited: more than a submission can need is a fault."""
    limit_memory(limits.judge_bytes)
    if twin is None:
        _launch(limits, hidden)
    else:
        sandbox = Sandbox.of_twin(twin, limits, map(Path, hidden))
        _SANDBOXES[_key(limits, hidden)] = sandbox
    while True:
        try:
            job = read_frame(connection)
        except (EOFError, OSError):  # the class is graded, or whoever graded it is gone
            break
        # The default for SIGPROF ends the process, wherever it is: in a loop of C code, too.
        signal.setitimer(signal.ITIMER_PROF, limits.judge_seconds)
        result = grade_job(job, hidden)
        signal.setitimer(signal.ITIMER_PROF, 0)
        send_frame(connection, result)
    for sandbox in _SANDBOXES.values():
        sandbox.close()


def limit_memory(more: int) -> None:
    """This process may take `more` bytes of addresses beyond what it has now."""
    import resource

    try:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # no Linux: there is no such number, and the limit means little
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    value = size + more if hard == resource.RLIM_INFINITY else min(size + more, hard)
    resource.setrlimit(resource.RLIMIT_AS, (value, hard))


def twin_of(first: Sandbox, limits: Limits) -> socket.socket | None:
    """A twin of the sandbox that was started early, if it fits; None: the worker starts its own."""
    if not first.boxed or first.limits.scratch_bytes != limits.scratch_bytes:
        return None
    try:
        return first.twin()
    except SandboxError:  # the worker will say what is wrong
        return None


def learn(first: Sandbox, about: tuple[str, str]) -> None:
    """What every answer to an assignment needs, found out while the sandbox begins, and no longer: so it costs no
    time, and each worker has it from its beginning. `about` are the assignment's name and the seed of its cases."""
    from casestudies.checking.ahead import ahead

    name, cases = about
    steps = ahead(name, lambda part: seed_of(cases_of(cases, part), 0))
    try:
        while first.boxed and not first.begun() and next(steps, steps) is None:
            pass
    except Exception:
        # Whoever needs it finds it out then; what goes wrong there is told with a submission.
        logging.getLogger(__name__).debug("not all of %s could be learnt ahead", name, exc_info=True)
    gc.freeze()  # the workers share it as long as nobody writes to it


def main() -> None:
    control, hidden = socket.socket(fileno=int(sys.argv[1])), tuple(json.loads(sys.argv[2]))
    first = Sandbox(hidden=map(Path, hidden))
    if first.boxed:
        first.launch()  # it imports torch at the same time
    import_the_checks()
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # nobody waits for a worker: its connection tells of its end
    while True:
        try:
            setup, descriptors = receive(control)
        except (EOFError, OSError):
            break
        if "about" in setup:
            learn(first, setup["about"])
            continue
        take_over(setup["fingerprint"])  # of the same files, by the process that asks for a worker
        connection, limits = socket.socket(fileno=descriptors[0]), Limits(**setup["limits"])
        twin = twin_of(first, limits)
        nursery = os.getpid()
        child = os.fork()
        if not child:
            die_with_parent(nursery)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            if first.boxed:
                first.control.close()
            try:
                serve(connection, limits, hidden, twin)
            finally:
                os._exit(0)  # nothing is left to tidy; torch takes its time otherwise
        connection.close()
        if twin is not None:
            twin.close()
        send_frame(control, json.dumps({"worker": child}).encode())
    first.close()
    os._exit(0)


if __name__ == "__main__":
    main()
