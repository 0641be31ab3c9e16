"""A grading process of its own: jobs in, results out, over one socket. Started by `course`.

It holds one sandbox. Jobs and results are the bytes of `executor.grade_bytes`.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path

from casestudies.grading.executor import grade_bytes
from casestudies.grading.resident import read_frame, send_frame
from casestudies.grading.sandbox import Limits, Sandbox, SandboxError

_SANDBOXES: dict[str, Sandbox] = {}
_LOCK = threading.Lock()


def grade_job(job: bytes, hidden: tuple[str, ...] = ()) -> bytes:
    """Grades in this process's own sandbox, which is started at the first call.

    A sandbox that broke is replaced once; what then still fails is an answer too: {"broken": sentence}.
    """
    limits = json.loads(job)["limits"]
    key = json.dumps([limits, hidden])
    error: SandboxError | None = None
    with _LOCK:  # a sandbox grades one submission at a time, whatever threads its process has
        for _ in range(2):
            try:
                if key not in _SANDBOXES:
                    _SANDBOXES[key] = Sandbox(Limits(**limits), hidden=map(Path, hidden))
                    _SANDBOXES[key].launch()
                    _import_the_checks()  # while the sandbox imports torch as well
                return grade_bytes(job, _SANDBOXES[key])
            except SandboxError as failure:
                error = failure
                if key in _SANDBOXES:
                    _SANDBOXES.pop(key).close()
    return json.dumps({"broken": str(error)}).encode()


def _import_the_checks() -> None:
    import torch

    from casestudies.checking import engine, parts

    torch.set_num_threads(1)
    parts.parts()
    del engine


def main() -> None:
    hidden = tuple(json.loads(sys.argv[2]))
    connection = socket.socket(fileno=int(sys.argv[1]))
    while True:
        try:
            job = read_frame(connection)
        except (EOFError, OSError):  # the class is graded, or whoever graded it is gone
            break
        send_frame(connection, grade_job(job, hidden))
    for sandbox in _SANDBOXES.values():
        sandbox.close()
    os._exit(0)  # nothing is left to tidy; torch takes its time otherwise


if __name__ == "__main__":
    main()
