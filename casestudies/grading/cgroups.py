"""A control group for each submission, where this process may make one.

The kernel then counts and limits what a submission takes, whoever of its processes takes it and however: memory with
everything that hides from a process's own figures, processes, and its share of the processor beside the others.
Where no group can be made, the keeper counts instead (see `sandboxed.keeper`), and `description` says so in one
sentence. A group can be made by root, in a delegated group (a container, a service with Delegate=yes), or under the
user's own systemd, which `command_in_a_scope` asks for one.

The groups are those of cgroup v2, the unified hierarchy. Where that has no `pids`, and a hierarchy of cgroup v1 has
it, a submission is in a group there as well: nothing but the kernel counts a bomb as fast as it grows, and root is
exempt from RLIMIT_NPROC.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from casestudies.sandboxed.frames import SPARE

if TYPE_CHECKING:
    from casestudies.grading.sandbox import Limits

LEAF = "casestudies"
CONTROLLERS = ("memory", "pids", "cpu")
LEFT = re.compile(r"casestudies-(?:trial-)?(\d+)(?:-\d+)?")  # a submission's group, with the pid of its maker
OLD = 60.0  # seconds, after which a group of nobody's is removed: who makes one enters it at once
NONE = "no control groups here: memory and processes of a submission are counted by its keeper, 20 times a second"


@dataclass(frozen=True)
class Home:
    """The group under which those of the submissions are made, and the controllers that they have.

    `folder` is in the unified hierarchy, None where that has none of the controllers; `pids` in the one of cgroup v1
    that counts processes, None where the unified one does, or nobody can.
    """

    folder: Path | None
    controllers: frozenset[str]
    pids: Path | None = None


def mount_point(mounts: str, controller: str = "") -> Path | None:
    """Where the unified hierarchy is mounted, or that of a controller (cgroup v1), from the text of
    /proc/self/mounts; None where it may not be written to."""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) > 3 and fields[2] == ("cgroup" if controller else "cgroup2"):
            options = fields[3].split(",")
            if "rw" in options and (not controller or controller in options):
                return Path(fields[1].encode().decode("unicode_escape"))
    return None


def own_group(groups: str, controller: str = "") -> str | None:
    """This process's group in the unified hierarchy, or in that of a controller, from the text of
    /proc/self/cgroup."""
    for line in groups.splitlines():
        number, names, group = line.split(":", 2)
        if (controller in names.split(",")) if controller else (number == "0" and not names):
            return group.lstrip("/")
    return None


@cache
def home() -> Home | None:
    """Where this process may make groups; None where it may not. Found once, by trying."""
    if os.environ.get("CASESTUDIES_CGROUPS") == "none":
        return None
    try:
        mounts, groups = Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text()
    except OSError:
        return None
    found = _unified(mounts, groups)
    if found is not None and not found.controllers:
        found = None
    if found is None or "pids" not in found.controllers:
        pids = pids_apart(mount_point(mounts, "pids"), own_group(groups, "pids"))
        if pids is not None:
            held = frozenset() if found is None else found.controllers
            found = Home(None if found is None else found.folder, held | {"pids"}, pids)
    for folder in () if found is None else (found.folder, found.pids):
        if folder is not None:
            remove_left(folder)
    return found


def _unified(mounts: str, groups: str) -> Home | None:
    mounted, own = mount_point(mounts), own_group(groups)
    if mounted is None or own is None or ".." in Path(own).parts:
        return None
    folder = mounted / own
    if folder.name == LEAF:  # where another process of ours has put us
        folder = folder.parent
    found = prepare(folder, ours=not own or _delegated(folder))
    if (found is None or not found.controllers) and os.getuid() == 0 and folder != mounted:
        found = prepare(mounted, ours=False)
    return found


def pids_apart(mounted: Path | None, own: str | None) -> Path | None:
    """This process's group in a hierarchy of cgroup v1 that counts processes, where groups can be made below it. In a
    container its path may be that on the host: the group then is where the hierarchy is mounted."""
    if mounted is None or own is None:
        return None
    for folder in (mounted / own, mounted):
        try:
            if str(os.getpid()) not in (folder / "cgroup.procs").read_text().split():
                continue
            trial = folder / f"casestudies-trial-{os.getpid()}"
            trial.mkdir()
            try:
                (trial / "pids.max").write_text("max")
                os.close(os.open(trial / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
            finally:
                trial.rmdir()
        except OSError:
            continue
        return folder
    return None


def remove_left(folder: Path) -> None:
    """Removes the groups of graders that were killed. One in which there still is somebody the kernel keeps."""
    for group in folder.glob("casestudies-*"):
        name = LEFT.fullmatch(group.name)
        try:
            if name and not os.path.exists(f"/proc/{name[1]}") and time.time() - group.stat().st_mtime > OLD:
                group.rmdir()
        except OSError:
            continue


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
    """The group of one submission: `folder` in the unified hierarchy, `pids` in the one for processes alone."""

    def __init__(self, folder: Path | None, pids: Path | None = None) -> None:
        self.folder = folder
        self.folders = [each for each in (folder, pids) if each is not None]

    @classmethod
    def make(cls, limits: Limits, under: Home | None) -> Group | None:
        """A new group with the limits that its controllers allow; None where that fails."""
        if under is None or not under.controllers:
            return None
        name = f"casestudies-{os.getpid()}-{time.monotonic_ns()}"
        group = cls(under.folder and under.folder / name, under.pids and under.pids / name)
        try:
            for folder in group.folders:
                folder.mkdir()
            if "memory" in under.controllers:
                # Beside what torch takes there are the folders in memory, which count here.
                group._write("memory.max", str(limits.memory_bytes + 2 * limits.scratch_bytes))
                group._try("memory.swap.max", "0")
                group._try("memory.oom.group", "1")
            if "pids" in under.controllers:
                (group.folders[-1] / "pids.max").write_text(str(limits.processes + SPARE))
            if "cpu" in under.controllers:
                group._write("cpu.weight", "50")  # half of what others have: the judge goes first
        except OSError:
            group.close()
            return None
        return group

    @classmethod
    def ready(cls, limits: Limits, under: Home | None) -> tuple[Group | None, list[int]]:
        """A new group, and for each of its folders a descriptor; who writes "0" to all of them is in the group. None
        and none where that fails."""
        group, entrances = cls.make(limits, under), []
        try:
            for folder in [] if group is None else group.folders:
                entrances.append(os.open(folder / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC))
        except OSError:
            for number in entrances:
                os.close(number)
            if group is not None:
                group.close()
            return None, []
        return group, entrances

    def _write(self, name: str, text: str) -> None:
        if self.folder is not None:
            (self.folder / name).write_text(text)

    def _try(self, name: str, text: str) -> None:
        try:
            self._write(name, text)
        except OSError:
            pass

    def seconds(self) -> float:
        """Processor time of all that was ever in it; 0 where the kernel does not say."""
        if self.folder is None:
            return 0.0
        try:
            with open(self.folder / "cpu.stat") as file:
                figures = dict(line.split() for line in file)
            return int(figures["usage_usec"]) / 1e6
        except (OSError, ValueError, KeyError):
            return 0.0

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel ended something in the group because of the group's own limit."""
        if self.folder is None:
            return False
        try:
            events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
        except (OSError, ValueError):
            return False
        return int(events.get("oom_kill", 0)) > 0 and int(events.get("max", 0)) > 0

    def refused_processes(self) -> bool:
        """Whether the kernel refused the group a process because of the group's own limit."""
        try:
            folder = self.folders[-1]  # where there are two, the second one is for processes
            events = dict(line.split() for line in (folder / "pids.events").read_text().splitlines())
            # A limit of a group above it counts among the events, too, and is somebody else's doing.
            full = int((folder / "pids.peak").read_text()) >= int((folder / "pids.max").read_text())
            return full and int(events.get("max", 0)) > 0
        except (OSError, ValueError, IndexError):
            return False

    def close(self) -> None:
        """Ends whoever is still in it, and removes it."""
        self._try("cgroup.kill", "1")
        for _ in range(50):
            if self.removed():
                return
            for folder in self.folders:
                _kill(folder)
            time.sleep(0.01)

    def removed(self) -> bool:
        """Removes it, if nobody is in it any more. Whether that is done."""
        self.folders = [folder for folder in self.folders if not _removed(folder)]
        return not self.folders


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _kill(folder: Path) -> None:
    """Ends whoever is in a group, one by one: cgroup v1 knows no other way."""
    try:
        for pid in map(int, (folder / "cgroup.procs").read_text().split()):
            if pid:  # 0 is somebody whom this process cannot see
                os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass


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
