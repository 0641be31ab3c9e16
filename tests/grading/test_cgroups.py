"""Control groups: found where they can be made, limited as asked, and named in words where they cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from casestudies.grading import cgroups
from casestudies.grading.cgroups import Group, Home, mount_point, own_group, prepare
from casestudies.grading.sandbox import Limits

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
