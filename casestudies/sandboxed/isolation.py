"""What separates a student's process from everything else: namespaces, system calls, limits."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
import sys

from casestudies.sandboxed.frames import Allowed

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MS_RDONLY, MS_REMOUNT = 1, 32
NUMBERS = "/proc/sys/kernel/pid_max"  # of the reader's PID namespace since Linux 6.14, of the machine before
INODES = 10_000  # of each folder that a submission can write to
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_CHILD_SUBREAPER = 1, 24, 36
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22
LINUX = sys.platform.startswith("linux")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(result: int) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call(_libc().mount(source.encode(), target.encode(), kind.encode(), flags, options.encode() or None))


def ask_to_die_with_parent() -> None:
    """As `die_with_parent`, for who finds out in another way whether its parent lives."""
    if LINUX:
        _libc().prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """This process ends when `parent`, which forked it, does; also where that has happened already."""
    ask_to_die_with_parent()
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Processes that lose their parent become children of this one, so that they can be found and ended."""
    if LINUX:
        _libc().prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def new_namespaces() -> bool:
    """Gives this process's next child users, processes, IPC and a network of its own, without even a loopback
    device. False where not allowed."""
    if not LINUX:
        return False
    user, group = os.getuid(), os.getgid()
    libc = _libc()
    # The network also holds the names of abstract sockets, and what lingers on a port after its process has ended.
    if libc.unshare(CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET) != 0:
        return False
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
    return True


def another_here(path: str, outside: int) -> int | None:
    """An open setting of /proc/sys that is this process's namespace's own; None where it is not, or may not be set.

    `outside` is the same setting, opened by a process outside of the namespace and still open: what two namespaces
    share is one file to both.
    """
    try:
        here = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    mine, theirs = os.fstat(here), os.fstat(outside)
    if mine.st_dev == theirs.st_dev and mine.st_ino != theirs.st_ino:
        return here
    os.close(here)
    return None


def open_numbers() -> int | None:
    """`NUMBERS`, open for who enters a namespace to compare with; None where there is no such file."""
    try:
        return os.open(NUMBERS, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


def bound_numbers(outside: int, most: int) -> bool:
    """Lets the kernel give no number above `most` to a process or thread of this namespace, whose first process calls
    this, so that there are never more of them: root is exempt from the limit of processes. False where that cannot be
    had. `outside` is `NUMBERS`, opened outside of the namespace."""
    here = another_here(NUMBERS, outside) if os.getpid() == 1 else None
    if here is None:
        return False
    try:
        os.write(here, str(most + 1).encode())
        return True
    except OSError:
        return False
    finally:
        os.close(here)


def private_mounts(scratch: str, size: int) -> None:
    """In the child's own mount namespace: an empty scratch folder, shared memory, terminals, and its own /proc."""
    _call(_libc().unshare(CLONE_NEWNS))  # the keeper keeps its view of /proc
    _mount("none", "/", "", MS_REC | MS_PRIVATE)
    for target in (scratch, "/dev/shm"):
        if os.path.isdir(target):
            _mount(
                "tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, f"size={size},nr_inodes={INODES},mode=0700"
            )
    if os.path.isdir("/dev/pts"):
        try:
            _mount(
                "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620"
            )
        except OSError:  # then none at all: a terminal would be shared with the next submission
            _mount("tmpfs", "/dev/pts", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4096")
    if os.path.exists("/dev/zero"):  # mapped as shared it is memory that no process is charged for
        _mount("/dev/null", "/dev/zero", "", MS_BIND)
    try:
        _mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
        # What belongs to root may be set by root, without any capability: the namespace's bounds, the machine's too.
        _mount("none", "/proc", "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
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
    "fsmount": (432, 432),
    "pidfd_getfd": (438, 438),
    # Memory and messages that outlive or evade their process: System V, and POSIX message queues.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semctl": (66, 191),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
_SOCKET = (41, 198)
_FAMILIES = (
    1,
    2,
    10,
    16,
)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: others reach the kernel, a host, a device
_MMAP = (9, 222)
_SHARED, _ANONYMOUS = 0x01, 0x20  # shared memory without a file can be let go of, and is still there
_SETRLIMIT, _PRLIMIT64 = (160, 164), (302, 261)
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
    program += [op(equal, _SOCKET[column], 0, len(_FAMILIES) + 3), op(load, 16)]
    for left, family in enumerate(_FAMILIES):
        program += [op(equal, family, len(_FAMILIES) - left, 0)]
    program += [op(give, refuse | errno.EAFNOSUPPORT), op(give, allow)]
    program += [op(equal, _MMAP[column], 0, 5), op(load, 16 + 3 * 8), op(any_bit, _ANONYMOUS, 0, 2)]
    program += [op(any_bit, _SHARED, 0, 1), op(give, refuse | errno.EPERM), op(give, allow)]
    # With a limit of its own a process makes the kernel kill it: that would look like the machine's want of memory.
    program += [op(equal, _SETRLIMIT[column], 0, 1), op(give, refuse | errno.EPERM)]
    # prlimit64 may look; the third argument, 64 bits of it, is the address of a new limit.
    program += [op(equal, _PRLIMIT64[column], 0, 6), op(load, 16 + 2 * 8), op(equal, 0, 0, 2)]
    program += [op(load, 16 + 2 * 8 + 4), op(equal, 0, 1, 0), op(give, refuse | errno.EPERM), op(give, allow)]
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


def limit_resources(limits: Allowed, isolated: bool) -> None:
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
