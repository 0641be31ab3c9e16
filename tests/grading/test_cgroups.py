"""Control groups: found where they can be made, limited as asked, and named in words where they cannot."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from casestudies.grading import cgroups
from casestudies.grading.cgroups import (
    OLD,
    Group,
    Home,
    home,
    mount_point,
    own_group,
    pids_apart,
    prepare,
    remove_left,
)
from casestudies.grading.sandbox import Limits
from casestudies.sandboxed.keeper import enter

# (/proc/self/mounts, where the unified hierarchy is)
MOUNTS = {
    "unified": ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0", Path("/sys/fs/cgroup")),
    "hybrid": (
        "cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0",
        Path("/sys/fs/cgroup/unified"),
    ),
    "read-only": ("cgroup2 /sys/fs/cgroup cgroup2 ro,nosuid 0 0", None),
    "old": ("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0", None),
    "a path with a blank": ("cgroup2 /sys/fs/a\\040b cgroup2 rw 0 0", Path("/sys/fs/a b")),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_the_hierarchy_is_found(name: str) -> None:
    text, expected = MOUNTS[name]
    assert mount_point(text) == expected


def test_the_own_group_is_found() -> None:
    assert own_group("9:memory:/old\n0::/user.slice/a.scope\n") == "user.slice/a.scope"
    assert own_group("0::/\n") == ""
    assert own_group("9:memory:/old\n") is None


# (/proc/self/mounts, where processes are counted by a hierarchy of their own)
APART = {
    "alone": ("cgroup /sys/fs/cgroup/pids cgroup rw,relatime,pids 0 0", Path("/sys/fs/cgroup/pids")),
    "with another": ("cgroup /c cgroup rw,cpu 0 0\ncgroup /p cgroup rw,freezer,pids 0 0", Path("/p")),
    "read-only": ("cgroup /sys/fs/cgroup/pids cgroup ro,relatime,pids 0 0", None),
    "unified": ("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0", None),
    "another": ("cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0", None),
}


@pytest.mark.parametrize("name", APART)
def test_the_hierarchy_of_processes_is_found(name: str) -> None:
    text, expected = APART[name]
    assert mount_point(text, "pids") == expected


def test_the_own_group_in_the_hierarchy_of_processes_is_found() -> None:
    assert own_group("8:pids:/a/b\n4:memory:/c\n0::/d\n", "pids") == "a/b"
    assert own_group("8:freezer,pids:/\n0::/d\n", "pids") == ""
    assert own_group("4:memory:/c\n1:name=pids:/e\n0::/d\n", "pids") is None


def test_processes_are_not_counted_where_no_group_can_be_made(tmp_path: Path) -> None:
    assert pids_apart(None, "") is None
    assert pids_apart(tmp_path, None) is None
    assert pids_apart(tmp_path, "") is None, "nobody is there"
    (tmp_path / "cgroup.procs").write_text("1\n")
    assert pids_apart(tmp_path, "") is None, "others are there"
    (tmp_path / "cgroup.procs").write_text(f"1\n{os.getpid()}\n")
    (tmp_path / f"casestudies-trial-{os.getpid()}").write_text("in the way")
    assert pids_apart(tmp_path, "") is None, "no group can be made"


def hierarchy(folder: Path, controllers: str, handed_on: str = "") -> Path:
    """A folder with the files that the kernel would show, except that what is written stays as it was written."""
    folder.mkdir(exist_ok=True)
    (folder / "cgroup.controllers").write_text(controllers)
    (folder / "cgroup.subtree_control").write_text(handed_on)
    (folder / "cgroup.procs").write_text("")
    return folder


def test_controllers_that_are_handed_on_can_be_used(tmp_path: Path) -> None:
    folder = hierarchy(tmp_path / "g", "cpuset cpu io memory pids", "")
    (folder / "cgroup.subtree_control").write_text("cpu memory pids")
    (folder / "cgroup.subtree_control").chmod(0o444)
    assert prepare(folder, ours=False) is not None


def test_without_a_hierarchy_there_is_no_home(tmp_path: Path) -> None:
    assert prepare(tmp_path / "nowhere", ours=True) is None


def test_a_group_has_the_limits(tmp_path: Path) -> None:
    under = Home(tmp_path, frozenset({"memory", "pids", "cpu"}))
    limits = Limits(memory_bytes=1000, scratch_bytes=10, processes=7)
    group = Group.make(limits, under)
    written = {file.name: file.read_text() for file in group.folder.iterdir()}
    assert (written["memory.max"], written["pids.max"], written["memory.swap.max"]) == ("1020", "9", "0")
    assert int(written["cpu.weight"]) < 100


def test_only_the_limits_of_controllers_that_are_there(tmp_path: Path) -> None:
    group = Group.make(Limits(), Home(tmp_path, frozenset({"pids"})))
    assert [file.name for file in group.folder.iterdir()] == ["pids.max"]


def test_each_limit_stands_in_the_hierarchy_that_has_it(tmp_path: Path) -> None:
    unified, old = tmp_path / "unified", tmp_path / "pids"
    unified.mkdir()
    old.mkdir()
    Group.make(Limits(processes=7), Home(unified, frozenset({"memory", "pids"}), old))
    Group.make(Limits(processes=8), Home(None, frozenset({"pids"}), old))
    names = {file.name for file in unified.glob("*/*")}
    assert "memory.max" in names and "pids.max" not in names
    assert sorted(file.read_text() for file in old.glob("*/*")) == ["10", "9"]


def test_a_group_that_cannot_be_entered_is_none(tmp_path: Path) -> None:
    assert Group.ready(Limits(), Home(None, frozenset({"pids"}), tmp_path)) == (None, [])
    assert Group.ready(Limits(), None) == (None, [])


def test_a_group_that_is_made_in_one_hierarchy_alone_is_none(tmp_path: Path) -> None:
    assert Group.make(Limits(), Home(tmp_path, frozenset({"pids"}), tmp_path / "nowhere")) is None


def test_who_is_refused_at_the_entrance_is_counted_by_the_keeper() -> None:
    into, out = os.pipe()
    enter([into])  # nobody can write there
    os.close(out)
    with pytest.raises(OSError):
        os.fstat(into)


# (age of the group, its name, whether it is removed); nobody has the pid 0
LEFT = {
    "of a grader that was killed": (OLD + 9, "casestudies-0-1234", True),
    "a trial of one": (OLD + 9, "casestudies-trial-0", True),
    "of a living grader": (OLD + 9, f"casestudies-{os.getpid()}-1234", False),
    "just made": (0, "casestudies-0-1234", False),
    "somebody else's": (OLD + 9, "casestudies-of-mine", False),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_killed_graders_left_is_removed(name: str, tmp_path: Path) -> None:
    age, folder, removed = LEFT[name]
    (tmp_path / folder).mkdir()
    os.utime(tmp_path / folder, (time.time() - age,) * 2)
    remove_left(tmp_path)
    assert (tmp_path / folder).exists() is not removed


# (pids.max, pids.peak, pids.events, whether the group's own limit refused it a process)
REFUSED = {
    "never full": ("26", "5", "max 0", False),
    "full, and asked for no more": ("26", "26", "max 0", False),
    "refused": ("26", "26", "max 3", True),
    "refused by a group above": ("26", "9", "max 3", False),
    "no limit": ("max", "9", "max 0", False),
    "an older kernel": ("26", None, "max 3", False),
}


@pytest.mark.parametrize("name", REFUSED)
def test_who_refused_a_process(name: str, tmp_path: Path) -> None:
    most, peak, events, expected = REFUSED[name]
    for file, text in (("pids.max", most), ("pids.peak", peak), ("pids.events", events)):
        if text is not None:
            (tmp_path / file).write_text(text + "\n")
    assert Group(None, tmp_path).refused_processes() is expected
    assert Group(tmp_path).refused_processes() is expected


needs_pids = pytest.mark.skipif(
    home() is None or "pids" not in home().controllers, reason="no control group can count processes here"
)
MANY = """
import os, sys, time
groups = [int(number) for number in sys.argv[1:]]
from casestudies.sandboxed.keeper import enter
enter(groups)
made = 0
try:
    while made < 100:
        if os.fork() == 0: time.sleep(100)
        made += 1
except OSError: pass
print(made, flush=True)
time.sleep(100)
"""


@needs_pids
def test_the_kernel_counts_processes_and_ends_who_is_left() -> None:
    group, entrances = Group.ready(Limits(processes=7), home())
    assert group is not None
    folders = list(group.folders)
    command = [sys.executable, "-c", MANY, *map(str, entrances)]
    bomb = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=entrances, start_new_session=True)
    try:
        for number in entrances:
            os.close(number)
        assert int(bomb.stdout.readline()) == 7 + 2 - 1
        assert group.refused_processes()
        assert not group.removed()
        group.close()
        assert bomb.wait(10) == -signal.SIGKILL
        assert not any(folder.exists() for folder in folders)
    finally:
        bomb.stdout.close()
        if bomb.poll() is None:
            os.killpg(bomb.pid, signal.SIGKILL)
            bomb.wait()


@pytest.mark.parametrize(
    "under", [None, Home(Path("/nowhere"), frozenset({"memory"})), Home(Path("/"), frozenset())]
)
def test_no_group_where_none_can_be_made(under: Home | None) -> None:
    assert Group.make(Limits(), under) is None


# (memory.events, whether it was the group's own limit)
EVENTS = {
    "own limit": ("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\n", True),
    "the machine's": ("low 0\nhigh 0\nmax 0\noom 0\noom_kill 1\n", False),
    "close to it": ("low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\n", False),
    "no such file": (None, False),
}


@pytest.mark.parametrize("name", EVENTS)
def test_whose_limit_ended_it(name: str, tmp_path: Path) -> None:
    text, expected = EVENTS[name]
    if text is not None:
        (tmp_path / "memory.events").write_text(text)
    assert Group(tmp_path).ran_out_of_memory() is expected


# (controllers, words of the description)
WORDS = {
    "none": (None, cgroups.NONE),
    "all": ({"memory", "pids", "cpu"}, "control groups limit a submission (memory, pids, cpu)"),
    "some": ({"pids"}, "control groups limit a submission (pids); its keeper counts memory, cpu"),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_limits_a_submission_is_said(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    controllers, expected = WORDS[name]
    found = None if controllers is None else Home(Path("/"), frozenset(controllers))
    monkeypatch.setattr(cgroups, "home", lambda: found)
    assert cgroups.description() == expected


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "self").mkdir()
    for name in ("meminfo", "self/stat", "self/status", "self/schedstat"):
        (tmp_path / name).write_text("1")
    assert cgroups.unseen(tmp_path) == []
    (tmp_path / "meminfo").unlink()
    (tmp_path / "self" / "status").write_text("")
    free, memory = cgroups.unseen(tmp_path)
    assert "how much memory is free cannot be read here" in free and "memory of a process" in memory


def test_the_sentence_on_the_limits_holds_what_is_unseen(monkeypatch):
    monkeypatch.setattr(cgroups, "unseen", lambda: ["nothing can be seen"])
    assert cgroups.description().endswith("; nothing can be seen")
