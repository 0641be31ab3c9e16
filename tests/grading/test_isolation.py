"""A student's process is an ordinary one, and alone: it sees no other submission, and leaves nothing for the next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from casestudies.grading.sandbox import Limits, Lost, Sandbox, bubblewrap
from casestudies.sandboxed import messages
from casestudies.sandboxed.isolation import seccomp_filter

from .conftest import LIMITS, ROOT, needs_bubblewrap

pytestmark = [needs_bubblewrap, pytest.mark.sandbox]

MIB = 2**20


def said(child, source: str, seconds: float = 30) -> str:
    """What a cell prints; what it raises, by name."""
    found: list = []
    outcome = child.ask(messages.Cell(textwrap.dedent(source)), seconds, found.append)
    text = "".join(getattr(output, "text", "") for output in found).strip()
    return outcome.type if isinstance(outcome, messages.Raised) else text


# --------------------------------------------------------------------------- ordinary

# (cell, what it prints)
ORDINARY = {
    "a process is asked to end": (
        """
        import subprocess
        p = subprocess.Popen(["sleep", "60"]); p.terminate(); print(p.wait(timeout=10))""",
        "-15",
    ),
    "limits can be read": (
        "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 8)",
        "True",
    ),
    "a pool ends": (
        """
        import torch.multiprocessing as mp
        def square(i): return i * i
        with mp.get_context("fork").Pool(2) as pool: print(pool.map(square, range(4)))""",
        "[0, 1, 4, 9]",
    ),
    "an executor ends": (
        """
        import concurrent.futures as f, multiprocessing as mp
        with f.ProcessPoolExecutor(2, mp.get_context("fork")) as pool: print(sum(pool.map(abs, range(-3, 3))))""",
        "9",
    ),
    "a process of multiprocessing is terminated": (
        """
        import multiprocessing as mp, time
        p = mp.get_context("fork").Process(target=time.sleep, args=(60,))
        p.start(); p.terminate(); p.join(10); print(p.exitcode)""",
        "-15",
    ),
    "workers of a loader": (
        """
        import torch
        from torch.utils.data import DataLoader, TensorDataset
        data = TensorDataset(torch.randn(64, 3), torch.zeros(64))
        print(sum(len(x) for x, y in DataLoader(data, 16, num_workers=2)))""",
        "64",
    ),
    "a queue, a lock, a shared value": (
        """
        import multiprocessing as mp
        value, lock, queue = mp.Value("i", 3), mp.Lock(), mp.Queue()
        queue.put(1); print(queue.get(), value.value, lock.acquire())""",
        "1 3 True",
    ),
    "its own handler of SIGTERM": (
        """
        import os, signal
        signal.signal(signal.SIGTERM, lambda *a: print("asked")); os.kill(os.getpid(), signal.SIGTERM)""",
        "asked",
    ),
    "a pair of sockets": (
        "import socket; a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))",
        "b'x'",
    ),
    "an event loop": ("import asyncio\nawait asyncio.sleep(0.01)\nprint('slept')", "slept"),
    "a terminal of its own": ("import os; print(os.ttyname(os.openpty()[1]))", "/dev/pts/0"),
    "a timer": (
        "import subprocess; print(subprocess.run(['timeout', '0.2', 'sleep', '9']).returncode)",
        "124",
    ),
    "a temporary file": ("import tempfile; print(tempfile.NamedTemporaryFile().write(b'abc'))", "3"),
}


@pytest.mark.parametrize("name", ORDINARY)
def test_works_as_anywhere(name, sandbox):
    source, expected = ORDINARY[name]
    with sandbox.child() as child:
        assert said(child, source) == expected


# --------------------------------------------------------------------------- alone

CALL = "import ctypes; l = ctypes.CDLL(None, use_errno=True)\n"
# What no assignment needs, and what would reach a neighbour, or memory that is nobody's: prints True where it works.
REFUSED = {
    "shared memory of System V": CALL + "print(l.shmget(0, 4096, 0o1600) >= 0)",
    "messages of System V": CALL + "print(l.msgget(0, 0o1600) >= 0)",
    "semaphores of System V": CALL + "print(l.semget(0, 1, 0o1600) >= 0)",
    "a queue of POSIX": CALL + "print(l.mq_open(b'/q', 0o102, 0o600, None) >= 0)",
    "a key": CALL + "print(l.syscall(248, b'user', b'k', b'v', 1, -3) >= 0)",
    "shared memory without a file": "import mmap; print(bool(mmap.mmap(-1, 4096)))",
    "shared zeros": "import mmap, os; print(bool(mmap.mmap(os.open('/dev/zero', 2), 4096)))",
    "memory as a file": "import os; print(os.memfd_create('x') >= 0)",
    "a socket to the host": "import socket; print(bool(socket.socket(40, 1)))",
    "a socket to the kernel's ciphers": "import socket; print(bool(socket.socket(38, 5)))",
    "a socket of packets": "import socket; print(bool(socket.socket(17, 3)))",
    "the loopback device": """
        import socket
        s = socket.create_server(("127.0.0.1", 0)); print(bool(socket.create_connection(s.getsockname(), 2)))""",
    "another network": "import socket; print(bool(socket.create_connection(('1.1.1.1', 53), 2)))",
    "a limit of its own": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1)); print(True)",
    "a limit of another": "import resource; resource.prlimit(1, resource.RLIMIT_CPU, (1, 1)); print(True)",
    "a limit, by number": CALL + "print(l.prlimit64(0, 0, (ctypes.c_uint64 * 2)(1, 1), None) == 0)",
    "tracing": CALL + "print(l.ptrace(0, 0, 0, 0) == 0)",
    "another namespace": CALL + "print(l.unshare(0x10000000) == 0)",
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name, sandbox):
    with sandbox.child() as child:
        assert said(child, REFUSED[name]) != "True"


@pytest.fixture(scope="module")
def twin(sandbox):
    """Where a neighbour is graded at the same time."""
    with Sandbox.of_twin(sandbox.twin(), LIMITS, []) as made:
        yield made


# What one submission leaves or offers, and how another would look for it: it prints True where it finds it.
MEETINGS = {
    "an abstract socket": (
        "import socket; s = socket.socket(socket.AF_UNIX); s.bind('\\0meet'); s.listen()",
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('\\0meet'); print(True)",
    ),
    "a port": (
        "import socket; s = socket.socket(); s.bind(('127.0.0.1', 40123)); s.listen()",
        """
        import errno, socket
        try: socket.socket().bind(("127.0.0.1", 40123)); print(False)
        except OSError as error: print(error.errno == errno.EADDRINUSE)""",
    ),
    "a file in shared memory": (
        "open('/dev/shm/meet', 'w').close()",
        "import os; print(os.path.exists('/dev/shm/meet'))",
    ),
    "a semaphore": (
        "import _multiprocessing as m; s = m.SemLock(1, 1, 1, '/meet', False)",
        "import _multiprocessing as m; m.SemLock._rebuild(0, 1, 1, '/meet'); print(True)",
    ),
    "a file": ("open('meet', 'w').close()", "import os; print(os.path.exists('meet'))"),
    "a file among the temporary ones": (
        "import tempfile; open(tempfile.gettempdir() + '/meet', 'w').close()",
        "import os, tempfile; print(os.path.exists(tempfile.gettempdir() + '/meet'))",
    ),
    "a terminal": ("import os; m, s = os.openpty()", "import os; print(len(os.listdir('/dev/pts')) > 1)"),
    "a process": (
        "import subprocess; p = subprocess.Popen(['sleep', '100'])",
        "import os; print(any(n.isdigit() and n not in ('1', str(os.getpid())) for n in os.listdir('/proc')))",
    ),
    "a name of the host": (
        "import socket\ntry: socket.sethostname('meet')\nexcept OSError: pass",
        "import socket; print(socket.gethostname() == 'meet')",
    ),
}


@pytest.mark.parametrize("name", MEETINGS)
def test_one_submission_does_not_find_of_another(name, sandbox, twin):
    leave, look = MEETINGS[name]
    with sandbox.child() as one, twin.child() as beside:
        said(one, leave)
        assert said(beside, look) != "True", "at the same time"
    with sandbox.child() as after:
        assert said(after, look) != "True", "afterwards"


# --------------------------------------------------------------------------- the kernel's settings

SETTINGS = """
import os
from casestudies.sandboxed import isolation as i
def setting(name): return open("/proc/sys/kernel/" + name).read().strip()
outside = i.open_numbers()
shared = os.open("/proc/sys/kernel/threads-max", os.O_RDONLY)
assert i.new_namespaces()
before = setting("pid_max")
into, out = os.pipe()
pid = os.fork()
if pid == 0:
    assert i.another_here("/proc/sys/kernel/threads-max", shared) is None, "the machine's own"
    if not i.bound_numbers(outside, 350):
        os._exit(3)
    made = 0
    try:
        while made < 1000:
            if os.fork() == 0:
                import time; time.sleep(100)
            made += 1
    except OSError: pass
    os.write(out, f"{made} {setting('pid_max')}".encode())
    os._exit(0)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(status, before == setting("pid_max"), *os.read(into, 100).decode().split() if status == 0 else ())
"""


def in_a_box(source: str) -> str:
    """What a program prints in a sandbox around a namespace of processes, as a submission's is."""
    command = [bubblewrap(), "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    done = subprocess.run([*command, sys.executable, "-c", source], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_namespace_has_numbers_for_so_many_and_the_machine_as_before():
    machine = Path("/proc/sys/kernel/pid_max").read_text()
    said = in_a_box(SETTINGS).split()
    assert Path("/proc/sys/kernel/pid_max").read_text() == machine
    assert said[1] == "True", "the outer namespace has other numbers"
    if said[0] == "3":
        pytest.skip(
            "kernel.pid_max is the machine's own here (Linux 6.14 and later have one for each namespace)"
        )
    assert said == ["0", "True", "349", "351"]


def test_who_is_not_the_first_of_its_namespace_bounds_nothing():
    from casestudies.sandboxed.isolation import bound_numbers, open_numbers

    before = Path("/proc/sys/kernel/pid_max").read_text()
    outside = open_numbers()
    try:
        assert not bound_numbers(outside, 400)
    finally:
        os.close(outside)
    assert Path("/proc/sys/kernel/pid_max").read_text() == before


# What root may write without a capability, if it can see it.
KERNEL = ["sys/kernel/pid_max", "sys/kernel/ns_last_pid", "sys/kernel/core_pattern", "sysrq-trigger"]


@pytest.mark.parametrize("name", KERNEL)
def test_no_setting_of_the_kernel_can_be_written(name, sandbox):
    with sandbox.child() as child:
        assert said(child, f"import os; print(os.open('/proc/{name}', os.O_WRONLY) >= 0)") != "True"


PRIVATE = """
import os
from casestudies.sandboxed import isolation as i
assert i.new_namespaces()
pid = os.fork()
if pid == 0:
    i.private_mounts("/tmp", 1 << 20)
    i.drop_privileges()
    if not os.listdir("/proc"): os._exit(3)
    for name in {names}:
        try: os.open("/proc/" + name, os.O_WRONLY)
        except OSError: continue
        os._exit(4)
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_a_proc_of_its_own_is_read_only():
    done = subprocess.run(
        [sys.executable, "-c", PRIVATE.format(names=KERNEL)], capture_output=True, text=True, cwd=ROOT
    )
    if "AssertionError" in done.stderr or done.stdout.strip() == "3":
        pytest.skip("no namespaces, or no proc in them, outside of bubblewrap")
    assert done.stdout.strip() == "0", done.stderr


def test_a_child_does_not_hold_the_page_that_its_use_is_counted_in(sandbox):
    seals = """
        import fcntl
        held = 0
        for number in range(256):
            try: fcntl.fcntl(number, 1034); held += 1  # F_GET_SEALS: only memory that is a file has seals
            except OSError: pass
        print(held)"""
    with sandbox.child() as child:
        assert said(child, seals) == "0"


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_of_system_calls_jumps_within_itself(machine):
    """Every path through the program ends in a verdict."""
    import struct

    program = list(struct.iter_unpack("=HBBI", seccomp_filter(machine)))
    assert len(program) < 4096
    for place, (code, true, false, _) in enumerate(program):
        if code & 7 == 5:  # a jump
            assert place + 1 + max(true, false) < len(program)
    assert program[-1][0] == 0x06


# --------------------------------------------------------------------------- limits

TIGHT = replace(
    LIMITS, cell_seconds=1.0, memory_bytes=300 * MIB, processes=20, scratch_bytes=20 * MIB, grace_seconds=0.3
)
GROW = "x = bytearray(b'1') * (40 * 2**20)\n"
# Ways to hold more memory than a submission may, in one process or in many.
GREEDY = {
    "one process": "x = []\nwhile True: x.append(bytearray(b'1') * 10**7)",
    "many processes": f"""
import os, time
for _ in range(15):
    if os.fork() == 0:
        {GROW}        time.sleep(100)
time.sleep(100)""",
    "processes without a parent": f"""
import os, time
for _ in range(15):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            {GROW}            time.sleep(100)
        os._exit(0)
time.sleep(100)""",
    "small files": "for i in range(10**6): open(str(i), 'w').close()",
    "folders": "import os\nfor i in range(10**6): os.mkdir(str(i))",
    "links": "import os\nfor i in range(10**6): os.symlink('x' * 200, str(i))",
    "files in shared memory": "for i in range(10**6): open(f'/dev/shm/{i}', 'w').close()",
}


@pytest.mark.parametrize("name", GREEDY)
def test_is_stopped(name, sandbox):
    with sandbox.child(TIGHT) as child:
        try:
            outcome = child.ask(messages.Cell(GREEDY[name]), 20)
            assert isinstance(outcome, messages.Raised)
        except Lost as lost:
            assert lost.reason in ("memory", "processes", "crashed")


ONE_AFTER_ANOTHER = """
import os
def one_more():
    pid = os.fork()
    if not pid: os._exit(0)
    os.waitpid(pid, 0)
"""
BY_THREADS = (
    "import threading\ndef one_more(): t = threading.Thread(target=len, args=('',)); t.start(); t.join()\n"
)


@pytest.mark.parametrize("how", [ONE_AFTER_ANOTHER, BY_THREADS], ids=["processes", "threads"])
def test_what_starts_one_process_after_another_without_an_end_is_ended(sandbox, how):
    """Never many at once, and each hardly takes any time: but the machine has to make them."""
    limits = replace(TIGHT, started=300, cell_seconds=60, notebook_seconds=60)
    with sandbox.child(limits) as child:
        assert said(child, f"{how}for _ in range(100): one_more()\nprint('done')", 60) == "done"
        with pytest.raises(Lost) as lost:
            child.ask(messages.Cell("while True: one_more()"), 60)
    assert lost.value.reason == "processes"


def test_threads_count_as_processes(sandbox, monkeypatch):
    """As the kernel counts them where it does: it exempts root."""
    monkeypatch.setattr("casestudies.grading.sandbox.home", lambda: None)
    many = """
        import _thread, time
        _thread.stack_size(32768)
        for _ in range(60): _thread.start_new_thread(time.sleep, (100,))
        time.sleep(3)"""
    with sandbox.child(replace(TIGHT, patience=20)) as child:
        try:
            assert said(child, many, 10) == "RuntimeError"
        except Lost as lost:
            assert lost.reason == "processes"


def test_threads_outlive_the_first_one():
    from casestudies.sandboxed.keeper import Process, _threads

    left, gone = Process(0, 0.0, 0.0, ended=True, threads=4), Process(0, 0.0, 0.0, ended=True)
    assert _threads({2: left, 3: gone, 4: Process(0, 0.0, 0.0, ended=False, threads=2)}) == 5


def test_a_bomb_is_ended_before_anybody_looks_who_is_left(monkeypatch):
    """To look takes a while among thousands, which go on meanwhile."""
    from casestudies.sandboxed import keeper

    done = []
    monkeypatch.setattr(keeper.os, "kill", lambda pid, number: done.append(("end", pid)))
    monkeypatch.setattr(keeper.os, "killpg", lambda group, number: None)
    monkeypatch.setattr(keeper, "family_of", lambda root: done.append(("look", root)) or set())
    keeper.kill_all(1234)
    assert done[0] == ("end", 1234)


def test_time_is_the_processors_time(sandbox):
    """A neighbour that takes the processor away costs nobody seconds; a sleeper is waited for as long as it may
    compute."""
    with sandbox.child(TIGHT) as child:
        assert said(child, "import time; time.sleep(0.8); print('slept')", 1.0) == "slept"
    for source in ("while True: pass", "import time; time.sleep(100)"):
        with sandbox.child(TIGHT) as child:
            started = time.monotonic()
            with pytest.raises(Lost, match="timed out"):
                child.ask(messages.Cell(source), 1.0)
            assert time.monotonic() - started > 0.8


SLEEPERS = {
    "itself": "import time; time.sleep(1000)",
    "a process of its own, which is waited for": "import subprocess; subprocess.run(['sleep', '1000'])",
    "all of its threads": """
        import threading, time
        some = [threading.Thread(target=time.sleep, args=(1000,), daemon=True) for _ in range(3)]
        for each in some: each.start()
        for each in some: each.join()""",
    "a lock that nobody opens": "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a pipe that nobody writes to": "import os; os.read(os.pipe()[0], 1)",
}
PATIENT = replace(TIGHT, patience=100.0)


@pytest.mark.parametrize("name", SLEEPERS)
def test_who_sleeps_is_ended_soon_whatever_patience_a_loaded_machine_has(name, sandbox):
    with sandbox.child(PATIENT) as child:
        started = time.monotonic()
        with pytest.raises(Lost, match="timed out") as lost:
            child.ask(messages.Cell(textwrap.dedent(SLEEPERS[name])), 1.0)
        assert lost.value.waited and lost.value.slept
        assert time.monotonic() - started < 30


def test_who_waits_for_a_processor_does_not_sleep(sandbox):
    """Neighbours take the processors; what computes gets little of them, and is idle in none of that time."""
    burning = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * (os.cpu_count() or 1))
    ]
    try:
        with sandbox.child(PATIENT) as child:
            source = "import time\nwhile time.process_time() < 0.8: sum(range(1000))\nprint('done')"
            started = time.monotonic()
            assert said(child, source, 1.0) == "done"
            assert child.idle_seconds < max(0.3, 0.2 * (time.monotonic() - started))
    finally:
        for each in burning:
            each.kill()
            each.wait()


def test_idle_time_counts_where_it_is_certain(monkeypatch: pytest.MonkeyPatch):
    from casestudies.sandboxed import keeper

    busy: dict[str, float | None] = {}
    monkeypatch.setattr(keeper, "_threads_of", lambda pid: [each for each in busy if each[0] == str(pid)])
    monkeypatch.setattr(keeper, "busy_seconds", lambda place: busy[place])
    idleness = keeper.Idleness()

    def after(now: float, **found: float | None) -> float:
        busy.clear()
        busy.update({name[1:]: seconds for name, seconds in found.items()})
        return idleness.look([1, 2], now)

    assert after(10.0, _1a=5.0, _2a=1.0) == 0.0
    assert after(10.5, _1a=5.0, _2a=1.0) == pytest.approx(0.5)  # both slept
    assert after(11.0, _1a=5.0, _2a=1.4) == pytest.approx(0.6)  # one of them ran, or waited for a processor
    assert after(11.5, _1a=5.4, _2a=1.8) == pytest.approx(0.6)  # more than one at once
    assert after(12.0, _1a=5.4, _2a=None) == pytest.approx(0.6)  # it runs just now, or nobody knows
    assert after(12.5, _1a=5.4, _2a=1.8) == pytest.approx(0.6)
    assert after(13.0, _1a=5.4) == pytest.approx(0.6)  # one is gone
    assert after(90.0, _1a=5.4) == pytest.approx(0.6 + keeper.LATE)  # who looked so late was kept from it


def test_who_waits_for_the_judge_does_not_sleep(sandbox):
    with sandbox.child(PATIENT) as child:
        for _ in range(3):
            assert said(child, "print('here')", 1.0) == "here"
            time.sleep(0.6)
        assert child.idle_seconds < 0.3


def test_a_family_counts_together(sandbox):
    source = "import os\nfor _ in range(4): os.fork()\nwhile True: pass"
    with sandbox.child(TIGHT) as child, pytest.raises(Lost):
        child.ask(messages.Cell(source), 1.0)
    assert child.clock()[0] > 0.5


# Processor time that nobody waits for: prints what was burnt.
UNWAITED = """
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for _ in range({count}):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        begun = time.process_time()
        while time.process_time() < begun + {seconds}: pass
        os._exit(0)
    try: os.waitid(os.P_PID, pid, os.WEXITED)
    except ChildProcessError: pass  # it has ended, and its time is nobody's
"""


@pytest.mark.parametrize(("count", "seconds"), [(8, 0.25), (60, 0.03), (200, 0.006)])
def test_time_that_nobody_waits_for_counts(count, seconds, sandbox):
    with sandbox.child(replace(LIMITS, patience=60.0)) as child:
        before = child.clock()[0]
        said(child, UNWAITED.format(count=count, seconds=seconds))
        assert child.clock()[0] - before > 0.4 * count * seconds


def test_a_meter_counts_each_process_once():
    from casestudies.sandboxed.keeper import Meter, Process

    meter = Meter()
    meter.look({2: Process(0, 1.0, 0.0, False)}, 10.0)
    assert meter.look({2: Process(0, 1.5, 0.0, False), 3: Process(1000, 0.3, 0.0, False)}, 10.5) == 1.8
    # Nobody waited for it: what was seen of it counts on. Then its number is given out again.
    assert meter.look({2: Process(0, 2.0, 0.0, False)}, 11.0) == pytest.approx(2.3, abs=0.25)
    after = meter.look({2: Process(0, 2.0, 0.0, False), 3: Process(1100, 0.1, 0.0, False)}, 11.5)
    assert after == pytest.approx(2.4, abs=0.35)
    # Waited for, it counts with its parent, and not twice.
    waited = Meter()
    waited.look({2: Process(0, 1.0, 0.0, False), 3: Process(0, 5.0, 0.0, False)}, 10.0)
    assert waited.look({2: Process(0, 1.0, 5.0, False)}, 10.1) == pytest.approx(6.0)


def test_whom_the_kernel_ends_for_want_of_memory_is_not_to_blame(sandbox):
    """Nobody in its namespace can kill the first process there; from outside it looks like the kernel's work."""
    with sandbox.child() as child:
        said(child, "print(1)")
        family = psutil.Process(sandbox.process.pid).children(recursive=True)  # others run in other tests
        ours = [process.pid for process in family if _is_student(process.pid)]
        assert len(ours) == 1
        os.kill(ours[0], signal.SIGKILL)
        with pytest.raises(Lost):
            child.ask(messages.Cell("print(2)"), 20)
    assert child.end_reason == "pressure"


def _is_student(pid: int) -> bool:
    """Whether a process is the first in a namespace two levels deep, with an oom score of its own."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        score = Path(f"/proc/{pid}/oom_score_adj").read_text()
    except OSError:
        return False
    line = next(line for line in status.splitlines() if line.startswith("NSpid"))
    return score.strip() == "1000" and line.split()[-1] == "1" and len(line.split()) > 3


# --------------------------------------------------------------------------- the end of a run

RUN = """
import json, sys, time
from casestudies.grading.pools import Nursery, Worker
from casestudies.grading.sandbox import Limits
nursery = Nursery([])
worker = Worker(nursery, Limits())
worker.give("ada", sys.stdin.buffer.read())
print(worker.pid, nursery.process.pid, flush=True)
time.sleep(1000)
"""
ENDLESS = "import time, os\nopen('started', 'w').close()\nwhile True: time.sleep(0.1)"


@pytest.fixture
def endless(released, assignment) -> bytes:
    from casestudies.grading.executor import Submission
    from casestudies.grading.notebooks import fill

    submission = Submission(json.dumps(fill(released, {"basic_block": ENDLESS})).encode())
    return json.dumps(
        {
            "submission": submission.to_dict(),
            "assignment": assignment.to_dict(),
            "limits": vars(Limits()),
            "seed": "00",
        }
    ).encode()


def descendants(pid: int) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parent = int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                yield int(name)
                yield from descendants(int(name))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_everything_ends_with_the_run(number, endless):
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    try:
        run.stdin.write(endless)
        run.stdin.close()
        assert run.stdout.readline()
        deadline = time.monotonic() + 60
        family = list(descendants(run.pid))
        while not any(map(_is_student, family)):
            assert time.monotonic() < deadline, "the submission did not start"
            time.sleep(0.1)
            family = list(descendants(run.pid))
        assert len(family) >= 5  # nursery, worker, bubblewrap, server, keeper, student
        run.send_signal(number)
        run.wait()
        while left := [pid for pid in family if _alive(pid)]:
            assert time.monotonic() < deadline + 30, f"{left} live on"
            time.sleep(0.1)
    finally:
        run.kill()
        run.wait()
        run.stdout.close()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# Ways to end that are a student's own doing, however they look.
OWN = {
    "a closed line": """
        import gc
        next(o for o in gc.get_objects() if type(o).__name__ == "Child").connection.close()""",
    "every descriptor closed": "import os; os.closerange(0, 1000)",
    "an exit": "import os; os._exit(0)",
    "its own SIGKILL": "import os, signal; os.kill(1, signal.SIGKILL); os._exit(9)",
    "an abort": "import os; os.abort()",
    "a process that kills it": """
        import os, signal
        if os.fork() == 0: os.kill(1, signal.SIGKILL); os.kill(-1, signal.SIGKILL)
        os.wait(); os._exit(1)""",
}


@pytest.mark.parametrize("name", OWN)
def test_is_a_crash_and_no_fault_of_the_machine(name, sandbox):
    with sandbox.child() as child, pytest.raises(Lost, match="crashed"):
        child.ask(messages.Cell(textwrap.dedent(OWN[name])), 20)
    assert child.end_reason == "crashed"
