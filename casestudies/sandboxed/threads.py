"""Follows a run into other threads.

A mode of torch's dispatcher sees the operations of one thread alone, and so does a hook of autograd. While a run is
`followed`, whatever it hands to a thread that it starts, or to a pool of `concurrent.futures`, is run in the same
mode. Other threads, and what they start, are left alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from typing import Any

PATIENCE = 0.25  # seconds that a run waits for what it handed over, before both go on at once


class _Run:
    """What one run hands to other threads."""

    def __init__(self, enter: Callable[[], AbstractContextManager[None]]) -> None:
        self.enter = enter
        self.over = False
        self.waits = True

    def followed(self, work: Callable[..., Any]) -> Callable[..., Any]:
        def follow(*args: Any, **kwargs: Any) -> Any:
            if self.over:
                return work(*args, **kwargs)
            before, _here.run = _here.run, self
            try:
                with self.enter():
                    return work(*args, **kwargs)
            finally:
                _here.run = before

        return follow

    def wait(self, ended: Callable[[float], bool]) -> None:
        """Let what was handed over end first, so that operations come in the same order each time.

        What does not end by itself, as it waits for this thread, is waited for in vain once.
        """
        if self.waits:
            self.waits = ended(PATIENCE)


class _Here(threading.local):
    run: _Run | None = None  # which run this thread is part of


_here = _Here()
_lock = threading.Lock()
_runs = 0  # that are being followed
_start, _submit = threading.Thread.start, ThreadPoolExecutor.submit


def _start_followed(thread: threading.Thread) -> None:
    run = _here.run
    if run is None:
        return _start(thread)
    thread.run = run.followed(thread.run)  # type: ignore[method-assign]
    _start(thread)

    def ended(seconds: float) -> bool:
        thread.join(seconds)
        return not thread.is_alive()

    return run.wait(ended)


def _submit_followed(pool: ThreadPoolExecutor, work: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
    run = _here.run
    if run is None:
        return _submit(pool, work, *args, **kwargs)
    _here.run = None  # a worker that the pool starts now will work for others, too
    try:
        future = _submit(pool, run.followed(work), *args, **kwargs)
    finally:
        _here.run = run
    run.wait(lambda seconds: not wait([future], seconds).not_done)
    return future


def _in_place(start: Any, submit: Any) -> None:
    threading.Thread.start = start  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]


@contextmanager
def followed(enter: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Run what this thread hands to others meanwhile in the context that `enter` makes, one for each."""
    global _runs, _start, _submit
    run, before = _Run(enter), _here.run
    with _lock:
        if not _runs:
            _start, _submit = threading.Thread.start, ThreadPoolExecutor.submit
            _in_place(_start_followed, _submit_followed)
        _runs += 1
    _here.run = run
    try:
        yield
    finally:
        run.over = True
        _here.run = before
        with _lock:
            _runs -= 1
            if not _runs:
                _in_place(_start, _submit)


__all__ = ["followed"]
