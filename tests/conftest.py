"""No test may change what those after it find: which of them share a process is another one in every run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest


def pytest_configure() -> None:
    """nbgrader's `alembic` is found beside this Python: opening a course sees to that, and no test shall be first."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under `nohup` no command of ours would hear a hangup
    beside = os.path.dirname(sys.executable)
    os.environ["PATH"] = os.pathsep.join([beside, os.environ.get("PATH", "")])


@pytest.fixture(autouse=True)
def surroundings_stay() -> Iterator[None]:
    """The environment and the working folder are after a test what they were before it, or it fails."""
    folder, before = os.getcwd(), _environment()
    yield
    after, here = _environment(), os.getcwd()
    for name in after.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    os.chdir(folder)
    changed = {name for name in before | after if before.get(name) != after.get(name)}
    assert (changed, here) == (set(), folder), "the test left these variables or this folder behind"


def _environment() -> dict[str, str]:
    own = ("PYTEST_", "TORCH", "KINETO", "TRITON", "KMP_")  # what pytest and torch write for themselves
    return {name: value for name, value in os.environ.items() if not name.startswith(own)}
