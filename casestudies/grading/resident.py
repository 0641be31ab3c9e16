"""The program inside the sandbox: loads torch and IPython once, then forks one child for each submission.

It is copied into the sandbox and started there by path. It imports nothing of this package but the two files
copied beside it (`checking/probe.py`, `checking/wire.py`): no reference, no check, no solution is in memory
or on disk here. The grading process talks to it over the control socket, and to each child over a socket of
its own, which travels over the control socket.

    resident ── forks ──> keeper (trusted: limits, kills) ── forks ──> child (the student's code)

Where the kernel allows it the keeper puts the child into namespaces of its own, so that it sees no other
process and a private scratch folder. All answers of a child are untrusted on the other side.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import io
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import threading
import time
from typing import Any

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x08000000, 0x10000000, 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 2, 4, 8, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = (
    1,
    24,
    36,
    38,
    22,
)
LINUX = sys.platform.startswith("linux")
LENGTH = struct.Struct(">Q")

# --------------------------------------------------------------------------- messages


def send_frame(connection: socket.socket, data: bytes) -> None:
    connection.sendall(LENGTH.pack(len(data)) + data)


def read_exactly(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(connection: socket.socket) -> bytes:
    return read_exactly(connection, LENGTH.unpack(read_exactly(connection, LENGTH.size))[0])


def send_with(control: socket.socket, message: dict[str, Any], descriptor: int | None = None) -> None:
    """A message, and with it a descriptor."""
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(control, [data], [] if descriptor is None else [descriptor])
    control.sendall(data[sent:])


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A message and the descriptor that came with it, if one did."""
    data, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 1)
    if not data:
        raise EOFError
    data += read_exactly(control, LENGTH.size - len(data))
    return json.loads(read_exactly(control, LENGTH.unpack(data)[0])), descriptors


# --------------------------------------------------------------------------- isolation


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call(_libc().mount(source.encode(), target.encode(), kind.encode(), flags, options.encode() or None))


def new_namespaces() -> bool:
    """Gives this process's next child users, processes and IPC of its own. False where not allowed."""
    if not LINUX:
        return False
    user, group = os.getuid(), os.getgid()
    libc = _libc()
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def private_mounts(scratch: str, size: int) -> None:
    """In the child's own mount namespace: an empty scratch folder, shared memory, and its own /proc."""
    _call(_libc().unshare(CLONE_NEWNS))  # the keeper keeps its view of /proc
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    for target in (scratch, "/dev/shm"):
        if os.path.isdir(target):
            _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes=20000,mode=0700")
    try:
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    except OSError:  # not allowed in this kernel: then none at all, so that no other process is seen
        _mount("tmpfs", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4096")


def drop_privileges() -> None:
    """No capability, now or after exec."""
    libc = _libc()
    _call(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            break
    header = struct.pack("=Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    if libc.capset(header, bytes(24)) != 0 and ctypes.get_errno() != errno.EPERM:
        raise OSError(ctypes.get_errno(), "capset")


# System calls that no assignment needs and that widen what a student's process can reach:
# (x86_64, aarch64) numbers. clone3 answers "not implemented" so that libc falls back to clone.
_FORBIDDEN = {
    "ptrace": (101, 117),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "unshare": (272, 97),
    "setns": (308, 268),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "io_uring_setup": (425, 425),
    "open_by_handle_at": (304, 265),
    "fsopen": (430, 430),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "mount_setattr": (442, 442),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_ARCHITECTURE = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}


def seccomp_filter(machine: str) -> bytes | None:
    """The filter as a BPF program; None for a machine whose call numbers are not listed."""
    if machine not in _ARCHITECTURE:
        return None
    column, audit = _ARCHITECTURE[machine]
    load, equal, any_bit, greater, give = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, kill, refuse = 0x7FFF0000, 0x80000000, 0x00050000
    calls = [numbers[column] for numbers in _FORBIDDEN.values()]

    def op(code: int, value: int, true: int = 0, false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, true, false, value)

    program = [op(load, 4), op(equal, audit, 1, 0), op(give, kill), op(load, 0)]
    if machine == "x86_64":  # the x32 calls have numbers of their own
        program += [op(greater, 0x40000000, 0, 1), op(give, refuse | errno.EPERM)]
    program += [op(equal, _CLONE3[column], 0, 1), op(give, refuse | errno.ENOSYS)]
    for number in calls:
        program += [op(equal, number, 0, 1), op(give, refuse | errno.EPERM)]
    program += [op(equal, _CLONE[column], 0, 3), op(load, 16), op(any_bit, CLONE_NEWUSER, 0, 1)]
    program += [op(give, refuse | errno.EPERM), op(give, allow)]
    return b"".join(program)


def forbid_system_calls() -> None:
    program = seccomp_filter(os.uname().machine)
    if program is None:
        return
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("=HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
    _call(_libc().prctl(PR_SET_SECCOMP, 2, ctypes.create_string_buffer(header, len(header)), 0, 0))


def limit_resources(limits: dict[str, Any], isolated: bool) -> None:
    import resource

    def limit(name: str, value: int) -> None:
        kind = getattr(resource, name, None)
        if kind is None:
            return
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(kind, (value, value))
        except (ValueError, OSError):  # a platform that does not offer this limit
            pass

    limit("RLIMIT_CORE", 0)
    limit("RLIMIT_FSIZE", limits["scratch_bytes"])
    limit("RLIMIT_NOFILE", 256)
    limit("RLIMIT_MEMLOCK", 1 << 16)
    limit("RLIMIT_MSGQUEUE", 0)
    limit("RLIMIT_CPU", int(limits["notebook_seconds"]) + 30)
    if LINUX:
        with open("/proc/self/statm") as file:
            size = int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        limit("RLIMIT_AS", size + limits["memory_bytes"])
    if isolated:  # elsewhere this would count every process of the same user
        limit("RLIMIT_NPROC", limits["processes"])


# --------------------------------------------------------------------------- the keeper


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            if fields[0] != b"Z":
                children.setdefault(int(fields[1]), []).append(int(name))
    found, todo = [], [root]
    while todo:
        new = children.get(todo.pop(), [])
        found += new
        todo += new
    return found


def _anonymous_bytes(pid: int) -> int:
    total = 0
    try:
        with open(f"/proc/{pid}/status") as file:
            for line in file:
                if line.startswith(("RssAnon", "RssShmem")):
                    total += int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return total


def _available_bytes() -> int | None:
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def keep(child: int, limits: dict[str, Any], baseline: int, note: int) -> None:
    """Watches over a child until it ends; kills it with all it started when it takes too much."""
    reason, started = "", time.monotonic()
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if LINUX:
            family = _descendants(os.getpid())
            used = sum(max(0, _anonymous_bytes(pid) - baseline) for pid in family)
            available = _available_bytes()
            if (
                child not in family
                and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
            ):
                reason = "unseen"  # a child that cannot be watched may not run
            elif len(family) > limits["processes"]:
                reason = "processes"
            elif used > limits["memory_bytes"] or (
                available is not None and available < limits["reserve_bytes"]
            ):
                reason = "memory"
        if time.monotonic() - started > limits["notebook_seconds"] + 60:
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


def kill_all(child: int) -> None:
    """The child first: as the first process of its namespace it takes all others with it."""
    for _ in range(200):
        for pid in [child, *(_descendants(os.getpid()) if LINUX else [])]:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        try:
            os.killpg(child, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        if not LINUX or not _descendants(os.getpid()):
            return
        time.sleep(0.005)


def start_keeper(connection: socket.socket, job: dict[str, Any], setup: dict[str, Any]) -> tuple[int, int]:
    """Forks the keeper; returns its pid and the pipe on which it reports. First line: the child's pid."""
    out, note = os.pipe()
    keeper = os.fork()
    if keeper:
        os.close(note)
        return keeper, out
    try:
        os.close(out)
        _close_all_but({note, connection.fileno(), 0, 1, 2})
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if LINUX:
            _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        limits = job["limits"]
        if setup["isolate"]:
            import resource

            resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"] + 2,) * 2)
        isolated = setup["isolate"] and new_namespaces()
        baseline = _anonymous_bytes(os.getpid())
        child = os.fork()
        if child == 0:
            os.close(note)
            be_the_child(connection, job, setup, isolated)
            os._exit(0)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # it is waited for; not so in the child
        connection.close()
        os.write(note, json.dumps({"child": child, "isolated": isolated}).encode() + b"\n")
        keep(child, limits, baseline, note)
    except BaseException as error:
        os.write(2, f"keeper: {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    os._exit(0)


def _close_all_but(keep_open: set[int]) -> None:
    for number in range(3, 1024):
        if number not in keep_open:
            try:
                os.close(number)
            except OSError:
                pass


# --------------------------------------------------------------------------- the child


def be_the_child(
    connection: socket.socket, job: dict[str, Any], setup: dict[str, Any], isolated: bool
) -> None:
    try:
        if LINUX:
            _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            try:
                with open("/proc/self/oom_score_adj", "w") as file:
                    file.write("1000")  # if memory runs out, this one first
            except OSError:
                pass
        os.setsid()
        os.nice(5)
        scratch = setup["scratch"]
        limit_resources(job["limits"], isolated)  # reads /proc, which is replaced below
        if isolated:
            private_mounts(scratch, job["limits"]["scratch_bytes"])
            drop_privileges()
        else:
            if not setup["boxed"]:
                scratch = os.path.join(scratch, str(os.getpid()))
                os.makedirs(scratch, mode=0o700)
            if LINUX:
                drop_privileges()
        os.chdir(scratch)
        if setup["filter"]:
            forbid_system_calls()
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.close(null)
        Child(connection, setup["wire"], setup["shell"], job["limits"]).serve()
    except BaseException as error:
        try:
            send_frame(
                connection,
                setup["wire"].dumps({"kind": "broken", "what": f"{type(error).__name__}: {error}"}),
            )
        except BaseException:
            pass
    os._exit(0)


class Stream(io.TextIOBase):
    """sys.stdout and sys.stderr of the student's code."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name: str, send: Any) -> None:
        self.name, self._send, self._buffer = name, send, io.StringIO()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        for start in range(0, len(text), 1 << 16):
            self._buffer.write(text[start : start + (1 << 16)])
            if self._buffer.tell() >= 1 << 14:
                self.flush()
        return len(text)

    def flush(self) -> None:
        text = self._buffer.getvalue()
        if text:
            self._buffer = io.StringIO()
            self._send({"output_type": "stream", "name": self.name, "text": text})


class Child:
    """Serves the grading process's requests in the student's process, one after another."""

    def __init__(self, connection: socket.socket, wire: Any, shell: Any, limits: dict[str, Any]) -> None:
        self.connection, self.wire, self.shell = connection, wire, shell
        self.limit, self.sent, self.number, self.busy, self.pid = (
            limits["output_bytes"],
            0,
            0,
            False,
            os.getpid(),
        )
        self.streams = [Stream("stdout", self.output), Stream("stderr", self.output)]
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__ = self.streams  # type: ignore[assignment]
        shell.send_output = self.output
        self.probe: Any = None
        self.lock, self.sending, self.pending = threading.RLock(), False, False
        signal.signal(signal.SIGINT, self.interrupt)

    def interrupt(self, *_: Any) -> None:
        if self.sending:  # a frame must not be cut in two
            self.pending = True
        elif self.busy:
            raise KeyboardInterrupt

    def send(self, message: dict[str, Any]) -> None:
        data = self.wire.dumps(message)
        with self.lock:
            self.sending = True
            try:
                send_frame(self.connection, data)
            finally:
                self.sending = False
        if self.pending:
            self.pending = False
            if self.busy:
                raise KeyboardInterrupt

    def output(self, output: dict[str, Any]) -> None:
        """Passes an output on, until the notebook has written its share."""
        if os.getpid() != self.pid or self.sent > self.limit:
            return
        output = _plain(output)
        self.sent += len(json.dumps(output))
        if self.sent > self.limit:
            output = {
                "output_type": "stream",
                "name": "stdout",
                "text": "\n... the rest of the output was cut ...\n",
            }
        self.send({"kind": "output", "id": self.number, "output": output})

    def serve(self) -> None:
        while True:
            try:
                request = self.wire.loads(read_frame(self.connection))
            except EOFError:
                return
            self.number = request["id"]
            answer: dict[str, Any]
            self.busy = True
            try:
                try:
                    answer = getattr(self, "do_" + request["do"])(**request["with"])
                except KeyboardInterrupt:
                    answer = {"interrupted": True}
                except BaseException as error:  # the student's code can raise anything, SystemExit included
                    answer = {"raised": _brief(error)}
            except KeyboardInterrupt:
                answer = {"interrupted": True}
            finally:
                self.busy = False
            if os.getpid() != self.pid:  # a copy that the student's code made of this process
                os._exit(0)
            for stream in self.streams:
                stream.flush()
            try:
                self.send({"kind": "done", "id": self.number, "answer": answer})
            except self.wire.WireError as error:  # something that cannot travel; nothing was sent yet
                self.send({"kind": "done", "id": self.number, "answer": {"raised": _brief(error)}})

    def do_files(self, files: dict[str, str]) -> dict[str, Any]:
        """Writes the submission's other files (base64) into the scratch folder."""
        import base64

        for name, content in files.items():
            folder = os.path.dirname(name)
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(name, "wb") as file:
                file.write(base64.b64decode(content))
        return {}

    def do_run(self, source: str) -> dict[str, Any]:
        """Runs a cell. Its outputs were sent on the way."""
        result = self.shell.run_cell(source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, KeyboardInterrupt):
            return {"interrupted": True}
        if error is not None:
            return {"raised": _brief(error)}
        value = result.result
        number = float(value) if type(value) in (int, float) else None
        return {"ran": True, "number": number, "has_value": value is not None}

    def do_take(self, expression: str, probe: Any = None) -> dict[str, Any]:
        """Evaluates the answer of a check in the student's namespace and puts the probe on it."""
        self.probe = None
        try:
            answer = eval(compile(expression, "<answer>", "eval"), self.shell.user_ns)
        except NameError as error:
            return {"missing": getattr(error, "name", None) or expression}
        self.probe = PROBE(answer)
        return {"taken": True}

    def do_probe(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"response": self.probe.handle(request)}


def _plain(value: Any, depth: int = 0) -> Any:
    if depth > 6:
        return None
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth + 1) for item in value]
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)


def _brief(error: BaseException) -> dict[str, Any]:
    try:
        message = str(error)[:400]
    except Exception:
        message = "(the exception cannot be printed)"
    return {"type": type(error).__name__, "message": message}


PROBE: Any = None


def make_shell() -> Any:
    """An IPython shell that hands its outputs over as nbformat has them."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Hook(DisplayHook):
        def write_output_prompt(self) -> None:
            pass

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            self.shell.flush_streams()
            self.shell.send_output(
                {
                    "output_type": "execute_result",
                    "data": dict(format_dict),
                    "metadata": dict(md_dict or {}),
                    "execution_count": self.prompt_count,
                }
            )

        def finish_displayhook(self) -> None:
            pass

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, metadata: Any = None, **_: Any) -> None:
            self.shell.flush_streams()
            self.shell.send_output(
                {"output_type": "display_data", "data": dict(data), "metadata": dict(metadata or {})}
            )

        def clear_output(self, wait: bool = False) -> None:
            pass

    class Shell(InteractiveShell):
        displayhook_class = Hook
        display_pub_class = Publisher
        send_output: Any = None

        def flush_streams(self) -> None:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, Stream):
                    stream.flush()

        def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
            self.flush_streams()
            lines = [stb] if isinstance(stb, str) else [str(line) for line in stb]
            brief = (
                _brief(evalue)
                if isinstance(evalue, BaseException)
                else {"type": "Error", "message": str(evalue)}
            )
            self.send_output(
                {
                    "output_type": "error",
                    "ename": brief["type"],
                    "evalue": brief["message"],
                    "traceback": lines,
                }
            )

        def init_virtualenv(self) -> None:
            pass

        def enable_gui(self, gui: Any = None) -> None:
            pass

        def init_io(self) -> None:
            pass

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.cache_size = 0
    config.InteractiveShell.autocall = 0
    shell = Shell.instance(config=config)
    shell.run_cell("pass", store_history=False)  # whatever is set up by the first cell is set up once
    return shell


# --------------------------------------------------------------------------- the resident


def _load(name: str, path: str) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def warm_up(wire: Any) -> None:
    """Does once what every child would else do for the first time."""
    import torch
    from torch import nn

    probe = PROBE(lambda: nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()))
    x = torch.ones(2, 2, 4, 4)
    run = {"do": "run", "inputs": [x]}
    for request in (
        {"do": "describe"},
        {"do": "build", "args": []},
        {
            "do": "series",
            "requests": [{"do": "load", "state": {}}, {**run, "training": False, "trace": True}],
        },
        {"do": "series", "requests": [{**run, "training": True, "cotangent": x}, {"do": "forget"}]},
    ):
        wire.dumps(probe.handle(wire.loads(wire.dumps(request))))


def main() -> None:
    global PROBE
    gc.disable()  # until all is imported: it would look through half a million objects that stay, again and again
    setup: dict[str, Any] = json.loads(sys.argv[1])
    control = socket.socket(fileno=setup["control"])
    here = os.path.dirname(os.path.abspath(__file__))
    own = [path for path in sys.path if path and path != here]
    sys.path[:] = [*own, os.path.join(here, "shim"), *setup["paths"]]
    os.chdir(setup["scratch"])
    os.environ["IPYTHONDIR"] = os.path.join(setup["scratch"], ".ipython")
    sys.argv = ["grader"]

    import torch

    torch.set_num_threads(1)
    wire = setup["wire"] = _load("_wire", os.path.join(here, "checking", "wire.py"))
    PROBE = _load("_probe", os.path.join(here, "checking", "probe.py")).Probe
    setup["shell"] = make_shell()
    warm_up(wire)
    gc.freeze()  # what a child does not touch it need not copy
    gc.enable()
    sys.path.append("")  # the notebook's folder comes last: a file there cannot shadow a library

    jobs: dict[int, tuple[int, int]] = {}  # pipe of a keeper -> (number, child)
    keepers: dict[int, int] = {}
    send_frame(control, json.dumps({"ready": True}).encode())
    while True:
        readable, _, _ = select.select([control, *jobs], [], [])
        for pipe in [number for number in readable if number in jobs]:
            lines = os.read(pipe, 65536)
            number, child = jobs[pipe]
            if not lines:
                end = {"ended": number, "reason": "keeper"}
                os.close(pipe)
                del jobs[pipe]
                try:
                    if child:
                        os.kill(child, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                os.waitpid(keepers.pop(pipe), 0)
                send_frame(control, json.dumps(end).encode())
                continue
            for line in lines.splitlines():
                message = json.loads(line)
                if "child" in message:
                    jobs[pipe] = (number, message["child"])
                    send_frame(
                        control, json.dumps({"started": number, "isolated": message["isolated"]}).encode()
                    )
                else:
                    send_frame(control, json.dumps({"dying": number, **message}).encode())
        if control not in readable:
            continue
        try:
            message, descriptors = receive(control)
        except (EOFError, OSError):
            break
        if message["do"] == "start":
            connection = socket.socket(fileno=descriptors[0])
            keeper, pipe = start_keeper(connection, message, setup)
            connection.close()
            jobs[pipe], keepers[pipe] = (message["number"], 0), keeper
        elif message["do"] == "twin":
            if os.fork():
                os.close(descriptors[0])
                continue
            control.close()
            control = socket.socket(fileno=descriptors[0])
            send_frame(control, json.dumps({"ready": True}).encode())
        else:
            for number, child in jobs.values():
                if number == message["number"] and child:
                    try:
                        os.kill(child, signal.SIGINT if message["do"] == "interrupt" else signal.SIGKILL)
                    except ProcessLookupError:
                        pass
    for _, child in jobs.values():
        if child:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if not setup["boxed"]:
        shutil.rmtree(setup["scratch"], ignore_errors=True)


if __name__ == "__main__":
    main()
