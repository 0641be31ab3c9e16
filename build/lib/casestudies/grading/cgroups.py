"""A control group (cgroup v2) for each submission, where this process may make one.

The kernel then counts and limits what a submission takes, whoever of its processes takes it and however: memory with
everything that hides from a process's own figures, processes, and its share of the processor beside the others.
Where no group can be made, the keeper counts instead (see `sandboxed.keeper`), and `description` says so in one
sentence. A group can be made by root, in a delegated group (a container, a service with Delegate=yes), or under the
user's own systemd, which `command_in_a_scope` asks for one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from casestudies.grading.sandbox import Limits

LEAF = "casestudies"
CONTROLLERS = ("memory", "pids", "cpu")
NONE = "no control groups here: memory and processes of a submission are counted by its keeper, 20 times a second"


@dataclass(frozen=True)
class Home:
    """The group under which those of the submissions are made, and the controllers that they have."""

    folder: Path
    controllers: frozenset[str]


def mount_point(mounts: str) -> Path | None:
    """Where the unified hierarchy is mounted, from the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[2] == "cgroup2" and "rw" in fields[3].split(","):
            return Path(fields[1].encode().decode("unicode_escape"))
    return None


def own_group(groups: str) -> str | None:
    """This process's group in the unified hierarchy, from the text of /proc/self/cgroup."""
    return next((line[3:].lstrip("/") for line in groups.splitlines() if line.startswith("0::")), None)


@cache
def home() -> Home | None:
    """Where this process may make groups; None where it may not. Found once, by trying."""
    if os.environ.get("CASESTUDIES_CGROUPS") == "none":
        return None
    try:
        mounted = mount_point(Path("/proc/self/mounts").read_text())
        own = own_group(Path("/proc/self/cgroup").read_text())
    except OSError:
        return None
    if mounted is None or own is None or ".." in Path(own).parts:
        return None
    folder = mounted / own
    if folder.name == LEAF:  # where another process of ours has put us
        folder = folder.parent
    found = prepare(folder, ours=not own or _delegated(folder))
    if (found is None or not found.controllers) and os.getuid() == 0 and folder != mounted:
        found = prepare(mounted, ours=False)
    return found


def _delegated(folder: Path) -> bool:
    """Whether systemd says that a group is for its processes to divide."""
    for name in ("user.delegate", "trusted.delegate"):
        try:
            return os.getxattr(folder, name) == b"1"
        except (OSError, AttributeError):
            continue
    return False


def prepare(folder: Path, ours: bool) -> Home | None:
    """Makes what is needed in a group: the controllers handed on to those below it. A group that does so may hold no
    process itself; where it is `ours`, those in it move into a leaf."""
    try:
        offered = set((folder / "cgroup.controllers").read_text().split()) & set(CONTROLLERS)
        _hand_on(folder, offered)
        missing = offered - set((folder / "cgroup.subtree_control").read_text().split())
        if missing and ours and (folder / "cgroup.type").exists():  # the root of all groups has no such file
            leaf = folder / LEAF
            leaf.mkdir(exist_ok=True)
            for pid in (folder / "cgroup.procs").read_text().split():
                (leaf / "cgroup.procs").write_text(pid)
            _hand_on(folder, missing)
        found = set((folder / "cgroup.subtree_control").read_text().split()) & set(CONTROLLERS)
        trial = folder / f"casestudies-trial-{os.getpid()}"
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return None
    return Home(folder, frozenset(found))


def _hand_on(folder: Path, controllers: set[str]) -> None:
    for name in sorted(controllers):
        try:
            (folder / "cgroup.subtree_control").write_text(f"+{name}")
        except OSError:
            continue


def description() -> str:
    """What limits a submission on this machine, in one sentence; with what cannot be seen here."""
    found = home()
    if found is None or not found.controllers:
        said = NONE
    else:
        held = ", ".join(name for name in CONTROLLERS if name in found.controllers)
        rest = [name for name in CONTROLLERS if name not in found.controllers]
        said = f"control groups limit a submission ({held})"
        said += f"; its keeper counts {', '.join(rest)}" if rest else ""
    return "; ".join([said, *unseen()])


def unseen(proc: Path = Path("/proc")) -> list[str]:
    """What the keeper goes by and cannot read here, as behind another sandbox; each with what follows from it."""
    lost = {
        "meminfo": "how much memory is free cannot be read here: nobody makes room before the kernel does",
        "self/stat": "processes cannot be seen here: one that cannot be watched is ended",
        "self/status": "the memory of a process cannot be read here: only the limit of its addresses holds",
        "self/schedstat": "processor time is counted in hundredths of a second here",
    }
    return [words for name, words in lost.items() if not _readable(proc / name)]


def _readable(path: Path) -> bool:
    try:
        return bool(path.read_text())
    except (OSError, UnicodeDecodeError):
        return False


class Group:
    """The group of one submission."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def make(cls, limits: Limits, under: Home | None) -> Group | None:
        """A new group with the limits that its controllers allow; None where that fails."""
        if under is None or not under.controllers:
            return None
        folder = under.folder / f"casestudies-{os.getpid()}-{time.monotonic_ns()}"
        group = cls(folder)
        try:
            folder.mkdir()
            if "memory" in under.controllers:
                # Beside what torch takes there are the folders in memory, which count here.
                group._write("memory.max", str(limits.memory_bytes + 2 * limits.scratch_bytes))
                group._try("memory.swap.max", "0")
                group._try("memory.oom.group", "1")
            if "pids" in under.controllers:
                group._write("pids.max", str(limits.processes + 2))
            if "cpu" in under.controllers:
                group._write("cpu.weight", "50")  # half of what others have: the judge goes first
        except OSError:
            group.close()
            return None
        return group

    def _write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def _try(self, name: str, text: str) -> None:
        try:
            self._write(name, text)
        except OSError:
            pass

    def entrance(self) -> int:
        """A descriptor; who writes "0" to it is in the group."""
        return os.open(self.folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)

    def seconds(self) -> float:
        """Processor time of all that was ever in it; 0 where the kernel does not say."""
        try:
            with open(self.folder / "cpu.stat") as file:
                figures = dict(line.split() for line in file)
            return int(figures["usage_usec"]) / 1e6
        except (OSError, ValueError, KeyError):
            return 0.0

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended something in the group because of the group's own limit."""
        try:
            events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(events.get("oom_kill", 0)) > 0 and int(events.get("max", 0)) > 0

    def close(self) -> None:
        """Ends whoever is still in it, and removes it."""
        self._try("cgroup.kill", "1")
        for _ in range(50):
            try:
                self.folder.rmdir()
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.01)


@cache
def command_in_a_scope() -> tuple[str, ...]:
    """What to put before a command so that it runs in a delegated group of the user's systemd; empty where there is
    none, or where it is not needed."""
    found = home()
    if (found is not None and "memory" in found.controllers) or shutil.which("systemd-run") is None:
        return ()
    command = ("systemd-run", "--user", "--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--")
    try:
        done = subprocess.run([*command, "true"], capture_output=True, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return command if done.returncode == 0 else ()


__all__ = ["Group", "Home", "command_in_a_scope", "description", "home", "unseen"]
