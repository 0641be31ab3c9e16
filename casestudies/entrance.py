"""How a command begins and ends: on streams that may be closed, and on a signal that asks it to stop."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import threading
import time
from types import FrameType

# --------------------------------------------------------------------------- streams


class _Forgiving(io.FileIO):
    """A stream whose reader may be gone (`| head`, a closed terminal): what is written from then on is dropped, and
    the command does its work to the end."""

    def write(self, data: object) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except OSError as error:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self.fileno())
            os.close(nothing)
            if error.errno in (errno.EPIPE, errno.EIO):
                return memoryview(data).nbytes  # type: ignore[arg-type]
            raise


def open_streams() -> None:
    """Makes the three standard streams usable, whatever they were when the process began.

    One that was closed leads nowhere: else Python has None in its place, and the next file or socket that is opened
    has its number. A stream that somebody else has put in place (a notebook, a test) stays.
    """
    for number in range(3):  # in this order: the lowest number that is free is taken
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
    if sys.stdin is None:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it stays open)
    for number, name in ((1, "stdout"), (2, "stderr")):
        now, first = getattr(sys, name), getattr(sys, f"__{name}__")
        if now is not first or isinstance(getattr(getattr(now, "buffer", None), "raw", None), _Forgiving):
            continue
        encoding, errors = (now.encoding, now.errors) if now is not None else ("utf-8", "backslashreplace")
        if now is not None:
            try:
                now.flush()
            except OSError:
                pass
        raw = _Forgiving(number, "w", closefd=False)
        lines = raw.isatty() or number == 2
        made = io.TextIOWrapper(io.BufferedWriter(raw), encoding, errors, line_buffering=lines)
        setattr(sys, name, made)
        setattr(sys, f"__{name}__", made)


# --------------------------------------------------------------------------- signals

# By default, the last two end a process where it is, and it leaves behind what it had in the temporary folder.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Interrupts:
    """Ctrl-C, `kill` and a closed terminal, none of which can get lost, as a context: each is a KeyboardInterrupt.

    Python raises it wherever the program happens to be; in a finalizer or a callback of a library it is swallowed,
    and the run would go on to its end. So we remember it as well, and `check` raises it again.
    """

    def __init__(self) -> None:
        self.number = 0

    @property
    def asked(self) -> bool:
        return self.number != 0

    @property
    def status(self) -> int:
        """The exit status of whoever was ended so: 130 after Ctrl-C, 143 after `kill`, 129 after a hangup."""
        return 128 + (self.number or signal.SIGINT)

    def __enter__(self) -> Interrupts:
        self.before: dict[int, object] = {}
        if threading.current_thread() is not threading.main_thread():  # where Python allows no handler
            return self
        for number in STOPPING:
            before = signal.getsignal(number)
            usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
            outer = isinstance(getattr(before, "__self__", None), Interrupts)
            if before is usual or outer:  # who started us with a signal ignored means it
                self.before[number] = before
                signal.signal(number, self.remember)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self.before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def remember(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number != signal.SIGINT:
            return  # a terminal that closes may say so twice, and we are tidying up
        self.number = self.number or number
        raise KeyboardInterrupt

    def check(self) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def sleep(self, seconds: float) -> None:
        """As `time.sleep`, and raises an interrupt that was swallowed before."""
        self.check()
        time.sleep(seconds)
        self.check()


__all__ = ["Interrupts", "open_streams"]
