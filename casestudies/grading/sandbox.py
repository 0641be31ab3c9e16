"""A process without references, gradebook, network or other submissions, which runs the student's code.

With bubblewrap (Linux) the process sees a read-only system, the Python environment without this package, and
an empty scratch folder; nothing else exists for it. Each submission runs in a child with namespaces of its
own. Without bubblewrap the code runs as an ordinary process with limits and a cleared environment:
`Sandbox.protection` then says so, and so does everything that is written about the grades.
"""

from __future__ import annotations

import atexit
import importlib.util
import json
import os
import select
import shutil
import signal
import site
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from casestudies.grading.cgroups import Group, home
from casestudies.sandboxed.frames import LENGTH, Order, Told, send_with

if TYPE_CHECKING:
    from casestudies.sandboxed import messages
    from casestudies.sandboxed.keeper import Usage

PACKAGE = Path(__file__).resolve().parents[1]
MIB = 2**20
MOSTLY = 0.9  # of a time limit, which whoever was busy has computed for
# Files of the package that the folder `sandboxed` may import, and which are copied beside it.
BESIDE = ("graph.py", "hollow.py")
# Tensors of a few megabytes come and go. glibc would take each from the kernel and give it back, page by page; in
# processes that live half a second this was a tenth of their time. Other C libraries do not read it.
MEMORY = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=33554432:"
    "glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=16777216"
}


@dataclass(frozen=True)
class Limits:
    """What one submission may use. Seconds are of processor time, of all its processes together. As many may pass in
    which it could compute and does not, as in a sleep; and `patience` times as many by the clock on the wall."""

    cell_seconds: float = 30.0
    check_seconds: float = 20.0
    notebook_seconds: float = 240.0
    grace_seconds: float = 1.0  # between the interrupt and the end
    memory_bytes: int = 2048 * MIB  # beyond what torch itself takes
    reserve_bytes: int = (
        200 * MIB
    )  # of the machine's memory; with less than this left, who holds much is ended
    processes: int = 64  # at once
    started: int = 2000  # processes and threads in all
    output_bytes: int = 1 * MIB  # of one notebook
    scratch_bytes: int = 100 * MIB
    answer_bytes: int = 128 * MIB  # of one answer to the grading process
    patience: float = 4.0
    judge_seconds: float = 60.0  # of the grading process's own time: reading, rebuilding, judging
    judge_bytes: int = 3072 * MIB  # and memory, beyond what torch itself takes
    restarts: int = 3  # after a cell ended the process: again, without that cell

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"limit {name} is {value!r}; expected a number above 0")
            if not value >= 0 or (not value and name != "restarts"):
                raise ValueError(f"limit {name} is {value!r}; expected a number above 0")


class SandboxError(RuntimeError):
    """The sandbox itself does not work: nothing that a student did."""


class Lost(Exception):
    """The student's process did not answer. `reason` is "timed out", "crashed", "memory", ...; `alive` tells
    whether it can go on after an interrupt; `waited` that it was the clock on the wall that ran out, with little
    processor time used: the code slept, or the machine was busy with others; and `slept` that it was not the machine.
    """

    def __init__(
        self, reason: str, alive: bool = False, detail: str = "", waited: Waited | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.alive, self.detail = reason, alive, detail
        self.waited, self.slept = waited is not None, waited == "slept"

    def note(self, waited: Waited | None) -> None:
        """Says of what ran out of time how it did, where that is not known yet."""
        if self.reason == "timed out" and not self.waited:
            self.waited, self.slept = waited is not None, waited == "slept"


class Clock(NamedTuple):
    """Seconds of a submission: of processor time, by the clock on the wall, and without anything to wait for."""

    spent: float
    wall: float
    idle: float


Waited = Literal["slept", "waited"]


@cache
def bubblewrap() -> str | None:
    """The path of a bubblewrap that works here, else None."""
    program = shutil.which("bwrap")
    if program is None or os.environ.get("CASESTUDIES_SANDBOX") == "none":
        return None
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
    try:
        return program if subprocess.run(command, capture_output=True, timeout=20).returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired):
        return None


def library_folders() -> list[Path]:
    """The folders from which the environment imports torch and the rest, without editable installs."""
    torch = importlib.util.find_spec("torch")  # found, not imported: that takes a second
    if torch is None or torch.origin is None:
        raise SandboxError("torch is not installed in this environment")
    found = [*site.getsitepackages(), site.getusersitepackages() if site.ENABLE_USER_SITE else ""]
    found.append(str(Path(torch.origin).parents[1]))
    folders: list[Path] = []
    for name in found:
        if name and os.path.isdir(name) and Path(name) not in folders:
            folders.append(Path(name))
    return folders


def _interpreter() -> Path:
    return Path(os.path.realpath(sys.executable))


def _system_mounts(hidden: Iterable[Path]) -> list[str]:
    """bubblewrap's options for the file system. The deeper path wins where two overlap."""
    options = []
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(name):
            options += ["--symlink", os.readlink(name), name]
    mounts: dict[Path, str] = {}
    for name in (
        "/usr",
        "/bin",
        "/sbin",
        "/lib",
        "/lib32",
        "/lib64",
        "/libx32",
        "/etc/alternatives",
        "/etc/fonts",
    ):
        if os.path.isdir(name) and not os.path.islink(name):
            mounts[Path(name)] = "bind"
    for name in ("/etc/ld.so.cache", "/etc/localtime"):
        if os.path.exists(name):
            mounts[Path(name)] = "bind"
    for path in [Path(sys.base_prefix), _interpreter().parents[1], *library_folders()]:
        if path != Path("/"):
            mounts[path] = "bind"
    for path in hidden:
        if any(other in path.parents for other, kind in mounts.items() if kind == "bind"):
            mounts[path] = "hide"
    for path in library_folders():
        if (path / "casestudies").exists():
            mounts[path / "casestudies"] = "hide"
    for path, kind in sorted(mounts.items(), key=lambda item: len(item[0].parts)):
        options += ["--ro-bind", str(path), str(path)] if kind == "bind" else ["--tmpfs", str(path)]
    for path, kind in mounts.items():
        if kind == "hide":
            options += ["--remount-ro", str(path)]
    return options


START = "import sys; sys.path.insert(0, sys.argv[2]); from casestudies.sandboxed.server import main; main()"


class _Elsewhere:
    """The process of a server that is somebody else's child. That it has ended is told by its control socket."""

    def poll(self) -> None:
        return None

    def wait(self, timeout: float | None = None) -> int:
        return 0


ELSEWHERE = _Elsewhere()


class Sandbox:
    """One server process; `child()` starts a fresh student's process in it.

    `hidden` are folders that must not be visible even where they lie inside a system folder. Use as a context
    manager, or call `close()`.
    """

    def __init__(
        self, limits: Limits | None = None, hidden: Iterable[Path] = (), box: bool | None = None
    ) -> None:
        self.limits = limits or Limits()
        self.hidden = [Path(path).resolve() for path in hidden]
        if PACKAGE.parent not in library_folders():  # a clone, with solutions and all
            self.hidden.append(PACKAGE.parent)
        self.boxed = bubblewrap() is not None if box is None else box
        if self.boxed and bubblewrap() is None:
            raise SandboxError("bubblewrap is not available here; install it, or pass box=False")
        self.isolated: bool | None = (
            None  # whether children have namespaces of their own; known after the first
        )
        self.process: subprocess.Popen[bytes] | _Elsewhere | None = None
        self.number = 0
        self._folder = ""
        self._used = self._ready = False
        self._groups: list[Group] = []  # of submissions that were left, and may not have ended yet

    def twin(self) -> socket.socket | None:
        """The control socket of a second server, which another process may use: see `of_twin`. It ends with this
        one, and comes without a wait. None where two submissions at once would not be hidden from each other.

        No submission may be running.
        """
        if self.boxed and self.isolated is None:
            with self.child():
                pass
        if not self.isolated:
            return None
        mine, theirs = socket.socketpair()
        with theirs:
            self._say({"do": "twin"}, theirs.fileno())
        return mine

    @classmethod
    def of_twin(cls, control: socket.socket, limits: Limits, hidden: Iterable[Path]) -> Sandbox:
        """A sandbox around a server that another one made. When that breaks, it starts its own."""
        sandbox = cls(limits, hidden)
        sandbox.control, sandbox.process, sandbox.isolated = control, ELSEWHERE, True
        sandbox._errors = tempfile.TemporaryFile()
        return sandbox

    @property
    def protection(self) -> str:
        """ "sandbox", or "none" where the student's code could read this machine's files."""
        return "sandbox" if self.boxed else "none"

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Starts the server process, if it is not running: about 1.5 seconds, most of it `import torch`."""
        self.launch()
        if self._ready:
            return
        message = self._control_message(time.monotonic() + 120)
        if message is None or not message.get("ready"):
            self._errors.seek(0)
            text = self._errors.read().decode(errors="replace").strip()
            code = self.process.poll() if self.process else None
            self.close()
            raise SandboxError(
                f"the sandbox did not start (exit status {code}): {text[-800:] or 'no message'}"
            )
        self._ready = True

    def begun(self) -> bool:
        """Whether a server that was launched has come to its beginning, or to its end: nobody has to wait then."""
        return self._ready or bool(select.select([self.control], [], [], 0)[0])

    def launch(self) -> None:
        """Starts the server process without waiting for it."""
        if self.process is not None and self.process.poll() is None:
            return
        self.close()
        self._folder = tempfile.mkdtemp(prefix="casestudies-")
        stage = Path(self._folder, "grader")
        inside = stage / "casestudies"
        (inside / "sandboxed").mkdir(parents=True)
        for source in sorted((PACKAGE / "sandboxed").glob("*.py")):
            shutil.copyfile(source, inside / "sandboxed" / source.name)
        for name in BESIDE:
            if (PACKAGE / name).exists():
                shutil.copyfile(PACKAGE / name, inside / name)
        shutil.copyfile(PACKAGE / "sandboxed" / "shim.py", inside / "__init__.py")
        self.control, theirs = socket.socketpair()
        home = "/grader" if self.boxed else str(stage)
        scratch = "/scratch" if self.boxed else os.path.join(self._folder, "scratch")
        os.makedirs(os.path.join(self._folder, "scratch"), mode=0o700, exist_ok=True)
        setup = {
            "control": theirs.fileno(),
            "paths": [str(path) for path in library_folders()],
            "scratch": scratch,
            "boxed": self.boxed,
            "isolate": self.boxed,
            "filter": sys.platform.startswith("linux"),
        }
        environment = {
            "PATH": f"{_interpreter().parent}:/usr/local/bin:/usr/bin:/bin",
            "HOME": scratch,
            "TMPDIR": scratch,
            "LANG": "C.UTF-8",
            # Code that asks for a compiler runs as it is written: compiling takes minutes, and the scratch folder.
            "TORCH_COMPILE_DISABLE": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            **MEMORY,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "NBGRADER_EXECUTION": "autograde",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        command = [
            str(_interpreter()),
            "-I",
            "-S",
            "-B",
            "-X",
            "utf8",
            "-c",
            START,
            json.dumps(setup),
            home,
        ]
        if self.boxed:
            command = [*self._box(stage), *command]
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command,
            env=environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            cwd="/",
            start_new_session=True,
        )
        theirs.close()
        self._used = self._ready = False
        atexit.register(self.close)

    def _box(self, stage: Path) -> list[str]:
        size = str(self.limits.scratch_bytes)
        options = [
            str(bubblewrap()),
            "--unshare-all",
            "--die-with-parent",
            "--new-session",
            "--hostname",
            "grader",
        ]
        mounts = _system_mounts(self.hidden)
        if not any(option.startswith("/tmp/") for option in mounts):
            options += ["--symlink", "/scratch", "/tmp"]
        options += mounts
        options += ["--dev", "/dev", "--size", str(MIB * 64), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
        options += ["--proc", "/proc", "--size", size, "--tmpfs", "/scratch"]
        options += ["--ro-bind", str(stage), "/grader", "--remount-ro", "/", "--chdir", "/scratch"]
        return options

    def close(self) -> None:
        """Ends the server and everything in it."""
        process, self.process = self.process, None
        if process is None:
            return
        atexit.unregister(self.close)
        self.control.close()  # the server ends by itself and takes its children with it
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:  # so it is our own child
            try:
                if isinstance(process, subprocess.Popen):
                    os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        for group in self._groups:
            group.close()
        self._groups.clear()
        self._errors.close()
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = ""

    # ----------------------------------------------------------------------- messages of the server

    def _say(self, message: Order, *descriptors: int) -> None:
        try:
            send_with(self.control, message, *descriptors)
        except OSError as error:
            raise SandboxError(f"the sandbox ended: {error}") from None

    def _control_message(self, deadline: float) -> Told | None:
        """The server's next message; None when it has ended or the time is over."""
        data = b""
        size = LENGTH.size
        while len(data) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.control], [], [], left)[0]:
                return None
            try:
                part = self.control.recv(size - len(data))
            except OSError:
                return None
            if not part:
                return None
            data += part
            if len(data) == LENGTH.size and size == LENGTH.size:
                size += LENGTH.unpack(data)[0]
        return json.loads(data[LENGTH.size :])

    def child(self, limits: Limits | None = None) -> Student:
        """A fresh process for one submission."""
        if self._used and self.boxed and not self.isolated:
            self.close()  # no namespaces within the sandbox here: then a sandbox for each submission
        self.start()
        self._used = True
        self.number += 1
        mine, theirs = socket.socketpair()
        limits = limits or self.limits
        shared = _shared_page()
        self._groups = [each for each in self._groups if not each.removed()]
        group, entrances = Group.ready(limits, home() if self.boxed else None)
        try:
            with theirs:
                allowed: Any = {**asdict(limits), "wall_seconds": limits.notebook_seconds * limits.patience}
                page = [] if shared is None else [shared[0]]
                start: Order = {
                    "do": "start",
                    "number": self.number,
                    "limits": allowed,
                    "descriptors": ["usage"] * len(page) + ["group"] * len(entrances),
                }
                self._say(start, theirs.fileno(), *page, *entrances)
            self._await_child()
        except SandboxError:
            mine.close()
            if group is not None:
                group.close()
            self.close()  # whoever wants the next child gets a new server
            raise
        finally:
            for number in [*([] if shared is None else [shared[0]]), *entrances]:
                os.close(number)
        return Student(self, mine, self.number, limits, None if shared is None else shared[1], group)

    def _await_child(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            message = self._control_message(deadline)
            if message is None:
                raise SandboxError("the sandbox did not start a process for the submission")
            if message.get("started") == self.number:
                self.isolated = bool(message["isolated"])
                return
            if message.get("ended") == self.number:
                self._errors.seek(0)
                text = self._errors.read().decode(errors="replace").strip()
                raise SandboxError(f"the sandbox could not start a process for the submission: {text[-400:]}")


def _shared_page() -> tuple[int, Usage] | None:
    """A page that the keeper writes what its submission uses into: its descriptor, and a view of it."""
    from casestudies.sandboxed.keeper import Usage

    if not hasattr(os, "memfd_create"):
        return None
    descriptor = os.memfd_create("usage")
    os.ftruncate(descriptor, os.sysconf("SC_PAGE_SIZE"))
    return descriptor, Usage(descriptor)


class Student:
    """The student's process, as the grading process sees it: it answers, or it is `Lost`."""

    def __init__(
        self,
        sandbox: Sandbox,
        connection: socket.socket,
        number: int,
        limits: Limits,
        usage: Usage | None = None,
        group: Group | None = None,
    ) -> None:
        self.sandbox, self.connection, self.number, self.limits = sandbox, connection, number, limits
        self.alive, self.end_reason, self.usage, self.group = True, "", usage, group
        self._request = 0
        self._received = 0
        self._dying: Told | None = None  # what the server told of its end
        self._started = time.monotonic()
        self._spent = 0.0  # seconds of processor time, as last seen
        # Seconds in which it was idle, though it was asked something, without the latest question.
        self._idle = 0.0
        self._asked: float | None = None  # when it was asked what it has not answered yet
        # How long it was idle before that, and this process busy.
        self._idle_before: tuple[float, float] | None = None
        self._crowded = False  # whether its group was found full when it ended
        connection.setblocking(False)

    def __enter__(self) -> Student:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def clock(self) -> Clock:
        """What the submission has taken, and the time on the wall."""
        if self.usage is not None and self.alive:
            self._spent = max(self._spent, self.usage.read()[0])
        if self.group is not None and self.alive:  # to the microsecond, whatever came and went
            self._spent = max(self._spent, self.group.seconds())
        return Clock(self._spent, time.monotonic(), self._idle + self._idle_now())

    def _idle_now(self) -> float:
        """For how long it has been idle since it was asked. While it is not asked it waits for this process, and so
        it does while this one is busy with its answer, or is kept from the processor itself."""
        if self.usage is None or not self.alive or self._asked is None:
            return 0.0
        _, _, idle, looked = self.usage.read()
        if self._idle_before is None:
            if looked > self._asked:  # what this look saw may have been before it was asked
                self._idle_before = idle, own_seconds()
            return 0.0
        before, busy = self._idle_before
        return max(0.0, idle - before - (own_seconds() - busy)) if idle > before else 0.0

    @contextmanager
    def _being_asked(self) -> Iterator[None]:
        self._asked, self._idle_before = time.monotonic(), None
        try:
            yield
        finally:
            self._idle += self._idle_now()
            self._asked = None

    def seconds_since(self, start: Clock) -> float:
        """What counts of the time since an earlier `clock()`: see `Limits`."""
        now = self.clock()
        if self.usage is None:
            return now.wall - start.wall
        return max(
            now.spent - start.spent, now.idle - start.idle, (now.wall - start.wall) / self.limits.patience
        )

    def has_waited(self, start: Clock, seconds: float) -> Waited | None:
        """Whether a time limit that was reached since an earlier `clock()` was reached without computing for so
        long, and then whether it slept or may have waited for the machine. Where processor time is not known here,
        nobody can tell: None. So it is where the kernel refused it more processes: what a bomb waits for is its own
        doing."""
        now = self.clock()
        if (self.usage is None and self.group is None) or self._crowded:
            return None
        if self.group is not None and self.alive and self.group.refused_processes():
            return None
        if now.spent - start.spent >= MOSTLY * seconds or now.spent >= MOSTLY * self.limits.notebook_seconds:
            return None
        since = now.spent - start.spent + now.idle - start.idle
        own = since >= MOSTLY * seconds or now.spent + now.idle >= MOSTLY * self.limits.notebook_seconds
        return "slept" if own else "waited"

    @property
    def processor_seconds(self) -> float:
        """Processor time since the process was started; all time where that is not known here."""
        return self.seconds if self.usage is None and self.group is None else self.clock()[0]

    @property
    def seconds(self) -> float:
        """What counts of the time since the process was started."""
        return self.seconds_since(Clock(0.0, self._started, 0.0))

    @property
    def idle_seconds(self) -> float:
        """Of its own doing: see `Clock`."""
        return self.clock().idle

    @property
    def seconds_left(self) -> float:
        return self.limits.notebook_seconds - self.seconds

    def _left(self, start: Clock, seconds: float, grace: bool = False) -> float:
        left = seconds - self.seconds_since(start)
        return left if grace else min(left, self.seconds_left)

    def ask(
        self,
        request: messages.Files | messages.Cell | messages.Take | messages.Ask,
        seconds: float,
        output: Callable[[messages.Output], None] | None = None,
    ) -> messages.Outcome:
        """Sends a request and waits for its answer. Raises Lost."""
        if not self.alive:
            raise Lost(self.end_reason or "crashed")
        with self._being_asked():
            return self._ask(request, seconds, output)

    def _ask(
        self,
        request: messages.Files | messages.Cell | messages.Take | messages.Ask,
        seconds: float,
        output: Callable[[messages.Output], None] | None,
    ) -> messages.Outcome:
        from casestudies.sandboxed import messages  # and torch with it

        self._request += 1
        message = messages.dumps(messages.Question(self._request, request))
        start = self.clock()
        left = partial(self._left, start, seconds)
        interrupted, waited = False, None
        try:
            self._send(LENGTH.pack(len(message)) + message, left)
        except Lost as lost:
            lost.note(self.has_waited(start, seconds))
            raise
        while True:
            try:
                frame = self._frame(left)
            except Lost as lost:  # in the middle of an answer
                lost.note(waited or self.has_waited(start, seconds))
                raise
            except TimeoutError:
                if interrupted:
                    self.kill("timed out")
                    raise Lost("timed out", waited=waited) from None
                interrupted, waited = True, self.has_waited(start, seconds)
                self.sandbox._say({"do": "interrupt", "number": self.number})
                left = partial(self._left, self.clock(), self.limits.grace_seconds, grace=True)
                continue
            if isinstance(frame, messages.Broken):
                self.kill("crashed")
                raise Lost("crashed", detail=frame.what)
            if frame.id != self._request:
                continue  # a late or forged frame
            if isinstance(frame, messages.Shown):
                if output is not None:
                    output(frame.output)
                continue
            outcome: messages.Outcome = frame.outcome
            if interrupted or isinstance(outcome, messages.Interrupted):
                reason = "timed out" if interrupted else "crashed"
                raise Lost(reason, alive=True, detail="interrupted", waited=waited)
            if not isinstance(outcome, OUTCOMES[type(request).__name__]()):
                self.kill("malformed")
                raise Lost("malformed")
            return outcome

    def _wait(self, reading: bool, left: Callable[[], float]) -> list[Any]:
        """Waits until the connection can be read or written, or the sandbox tells of an end. Raises TimeoutError."""
        readers = [self.connection, self.sandbox.control] if reading else [self.sandbox.control]
        writers = [] if reading else [self.connection]
        while True:
            remaining = left()
            if remaining <= 0:
                raise TimeoutError
            readable, writable, _ = select.select(readers, writers, [], max(0.01, remaining))
            if readable or writable:
                return readable + writable

    def _send(self, data: bytes, left: Callable[[], float]) -> None:
        view = memoryview(data)
        while view:
            try:
                ready = self._wait(False, left)
            except TimeoutError:
                self.kill("timed out")
                raise Lost("timed out") from None
            if self.connection not in ready:
                if self._told():
                    self._gone()
                continue
            try:
                view = view[self.connection.send(view[: 1 << 20]) :]
            except BlockingIOError:
                continue
            except OSError:
                self._gone()

    def _gone(self) -> None:
        """The connection is closed: find out why, and say so. Whoever ends is reported at once; who only closed the
        connection lives on, and is ended here."""
        deadline = time.monotonic() + 1
        while self._dying is None and (left := deadline - time.monotonic()) > 0:
            if not select.select([self.sandbox.control], [], [], left)[0] or self._told():
                break
        self.kill("crashed")
        raise Lost(self.end_reason)

    def _frame(self, left: Callable[[], float]) -> Any:
        from casestudies.sandboxed import messages

        size = LENGTH.unpack(self._bytes(LENGTH.size, left))[0]
        if size > self.limits.answer_bytes:
            self.kill("answer too large")
            raise Lost("answer too large")
        data = self._bytes(size, left)
        try:
            frame = messages.loads(data, messages.FromStudent, self.limits.answer_bytes)
        except messages.Malformed:
            self.kill("malformed")
            raise Lost("malformed") from None
        if isinstance(frame, messages.Shown):
            self._received += size
            if self._received > 4 * self.limits.output_bytes + MIB:
                self.kill("too much output")
                raise Lost("too much output")
        return frame

    def _bytes(self, size: int, left: Callable[[], float]) -> bytearray:
        parts = bytearray()
        while len(parts) < size:
            try:
                readable = self._wait(True, left)
            except TimeoutError:
                if parts or size != LENGTH.size:  # in the middle of a frame: there is no going on
                    self.kill("timed out")
                    raise Lost("timed out") from None
                raise
            if self.connection in readable:
                try:
                    part = self.connection.recv(min(size - len(parts), 1 << 20))
                except BlockingIOError:
                    continue
                except OSError:
                    part = b""
                if not part:
                    self._gone()
                parts += part
            elif readable and self._told():  # of its end, whoever still holds its socket
                self._gone()
        return parts

    def _told(self) -> bool:
        """Reads what the server tells; True where it is about the end of this process, or the server has ended."""
        message = self.sandbox._control_message(time.monotonic() + 15)
        if message is not None and message.get("dying") == self.number:
            self._dying = message
        return message is None or self.number in (message.get("dying"), message.get("ended"))

    def leave(self) -> None:
        """Ends the process without waiting for that: nothing of it can be seen by whoever comes next."""
        if not self.alive:
            return
        if not self.sandbox.isolated:
            self.kill()
            return
        self.clock()
        self.alive, self.end_reason = False, "ended"
        self.connection.close()
        if self.usage is not None:
            self.usage.close()
        if self.group is not None:
            self.sandbox._groups.append(self.group)
        try:
            self.sandbox._say({"do": "kill", "number": self.number})
        except SandboxError:
            self.sandbox.close()

    def kill(self, reason: str = "ended") -> str:
        """Ends the process and everything it started; returns why it ended.

        "pressure" is nobody's fault: the machine ran short of memory, and the process was ended for it.
        """
        if not self.alive:
            return self.end_reason
        self._crowded = self.group is not None and self.group.refused_processes()
        self._kill(reason)
        if self.group is not None:
            if self.end_reason in ("pressure", "crashed") and self.group.ran_out_of_memory():
                self.end_reason = "memory"
            self.group.close()
        return self.end_reason

    def _kill(self, reason: str) -> None:
        self._idle, self._asked = self.clock().idle, None
        self.alive = False
        self.connection.close()
        if self.usage is not None:
            self.usage.close()
        deadline, dying = time.monotonic() + 15, self._dying
        ended_before = dying is not None
        try:
            self.sandbox._say({"do": "kill", "number": self.number})
        except SandboxError:
            self.sandbox.close()
            self.end_reason = reason
            return
        while True:
            message = self.sandbox._control_message(deadline)
            if message is None:
                self.sandbox.close()
                break
            if message.get("dying") == self.number:
                dying = message
            if message.get("ended") == self.number:
                break
        if dying is not None:
            self.end_reason = dying.get("reason") or ""
            if ended_before and not self.end_reason and self._killed_from_outside(dying):
                self.end_reason = "pressure"
        self.end_reason = self.end_reason or reason

    def _killed_from_outside(self, dying: Told) -> bool:
        """Nothing in its own namespace can kill the first process there, and it may set itself no limit for which the
        kernel would: if that died of SIGKILL, and nobody of ours sent it, the machine ran short of memory."""
        killed = os.WIFSIGNALED(dying["status"]) and os.WTERMSIG(dying["status"]) == signal.SIGKILL
        return killed and bool(self.sandbox.isolated)


def own_seconds() -> float:
    """How long this thread has run and waited for a processor; 0 where the kernel does not tell."""
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:
            run, waited = file.read().split()[:2]
        return (int(run) + int(waited)) * 1e-9
    except (OSError, ValueError):
        return 0.0


def _outcomes(*names: str) -> Callable[[], tuple[type, ...]]:
    """Classes of messages, which are imported (and torch with them) only where they are needed."""

    def classes() -> tuple[type, ...]:
        from casestudies.sandboxed import messages

        return tuple(getattr(messages, name) for name in names)

    return classes


OUTCOMES = {
    "Files": _outcomes("Done", "Raised"),
    "Cell": _outcomes("CellRan", "Raised"),
    "Take": _outcomes("Done", "Missing", "Raised"),
    "Ask": _outcomes("Answered", "Raised"),
}

__all__ = ["MEMORY", "Limits", "Lost", "Sandbox", "SandboxError", "Student", "bubblewrap"]
