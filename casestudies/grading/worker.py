"""Grading processes: jobs in, results out, each over a socket and with a sandbox of its own.

`course` starts this file once. It imports torch and the checks, and then forks a worker for every connection it is
sent, so that a class on many cores waits for the imports once, and a worker that died is replaced in no time.
Jobs and results are the bytes of `executor.grade_bytes`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from casestudies.grading import importing
from casestudies.grading.executor import grade_bytes
from casestudies.grading.sandbox import Limits, Sandbox, SandboxError
from casestudies.sandboxed.frames import read_frame, receive, send_frame

_SANDBOXES: dict[str, Sandbox] = {}
_LOCK = threading.Lock()


def grade_job(job: bytes, hidden: tuple[str, ...] = ()) -> bytes:
    """Grades in this process's own sandbox, which is started at the first call.

    A sandbox that broke is replaced once; what then still fails is an answer too: {"broken": sentence}.
    """
    limits = json.loads(job)["limits"]
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


def _launch(limits: dict[str, Any], hidden: tuple[str, ...]) -> None:
    sandbox = _SANDBOXES[_key(limits, hidden)] = Sandbox(Limits(**limits), hidden=map(Path, hidden))
    sandbox.launch()


def _key(limits: dict[str, Any], hidden: tuple[str, ...]) -> str:
    return json.dumps([limits, hidden])


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
    """The life of a worker."""
    if twin is None:
        _launch(asdict(limits), hidden)
    else:
        sandbox = Sandbox.of_twin(twin, limits, map(Path, hidden))
        _SANDBOXES[_key(asdict(limits), hidden)] = sandbox
    while True:
        try:
            job = read_frame(connection)
        except (EOFError, OSError):  # the class is graded, or whoever graded it is gone
            break
        send_frame(connection, grade_job(job, hidden))
    for sandbox in _SANDBOXES.values():
        sandbox.close()


def twin_of(first: Sandbox, limits: Limits) -> socket.socket | None:
    """A twin of the sandbox that was started early, if it fits; None: the worker starts its own."""
    if not first.boxed or first.limits.scratch_bytes != limits.scratch_bytes:
        return None
    try:
        return first.twin()
    except SandboxError:  # the worker will say what is wrong
        return None


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
        connection, limits = socket.socket(fileno=descriptors[0]), Limits(**setup["limits"])
        twin = twin_of(first, limits)
        child = os.fork()
        if not child:
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
