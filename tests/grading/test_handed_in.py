"""Nothing that is handed in is a silent 0: names, folders, archives, and what is no file at all."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casestudies.grading import handed_in
from casestudies.grading.course import Course
from casestudies.grading.handed_in import Corrupt, look_into
from casestudies.grading.intake import read_notebook
from casestudies.grading.records import read_submission


def notebook(text="x = 1") -> bytes:
    cell = {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
    return json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()


NOTEBOOK = notebook()
OTHER = notebook("y = 2")


def packed(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(files: dict[str, bytes], mode="w") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def lay(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


# (what lies in the folder, where the notebook is)
FOUND = {
    "its name": ({"small.ipynb": NOTEBOOK}, "small.ipynb"),
    "its name beside another": ({"small.ipynb": NOTEBOOK, "a.ipynb": OTHER}, "small.ipynb"),
    "a copy's name": ({"small (1).ipynb": NOTEBOOK}, "small (1).ipynb"),
    "a number behind": ({"small.ipynb (1)": NOTEBOOK}, "small.ipynb (1)"),
    "beside what macOS adds": (
        {"small (1).ipynb": NOTEBOOK, "._small (1).ipynb": b"\0\5\x16\7" + bytes(50), ".DS_Store": b"x"},
        "small (1).ipynb",
    ),
    "a folder of macOS": ({"__MACOSX/._a.ipynb": b"\0", "a.ipynb": NOTEBOOK}, "a.ipynb"),
    "an ending .txt": ({"small.ipynb.txt": NOTEBOOK}, "small.ipynb.txt"),
    "an ending .json": ({"small.ipynb.json": NOTEBOOK}, "small.ipynb.json"),
    "only .json": ({"small.json": NOTEBOOK}, "small.json"),
    "only .txt": ({"answer.txt": NOTEBOOK}, "answer.txt"),
    "no ending": ({"small": NOTEBOOK}, "small"),
    "capitals": ({"SMALL.IPYNB": NOTEBOOK}, "SMALL.IPYNB"),
    "mixed capitals": ({"Small.Ipynb": NOTEBOOK}, "Small.Ipynb"),
    "a folder": ({"small/small.ipynb": NOTEBOOK}, "small/small.ipynb"),
    "a folder in a folder": ({"a/b/c/x.ipynb": NOTEBOOK}, "a/b/c/x.ipynb"),
    "a folder of its own name": ({"small.ipynb/small.ipynb": NOTEBOOK}, "small.ipynb/small.ipynb"),
    "beside a checkpoint": (
        {"Kopie.ipynb": NOTEBOOK, ".ipynb_checkpoints/small-checkpoint.ipynb": OTHER},
        "Kopie.ipynb",
    ),
    "two copies of one content": ({"a.ipynb": NOTEBOOK, "b.ipynb": NOTEBOOK}, "a.ipynb"),
    "a zip": ({"small.zip": packed({"small.ipynb": NOTEBOOK})}, "small.zip/small.ipynb"),
    "a zip with folders": (
        {"x.zip": packed({"a/": b"", "a/small.ipynb": NOTEBOOK, "__MACOSX/a/._small.ipynb": b"x"})},
        "x.zip/a/small.ipynb",
    ),
    "a zip in a zip": (
        {"x.zip": packed({"y.zip": packed({"small.ipynb": NOTEBOOK})})},
        "x.zip/y.zip/small.ipynb",
    ),
    "a tar": ({"x.tar": tarred({"small.ipynb": NOTEBOOK})}, "x.tar/small.ipynb"),
    "a tar.gz": ({"x.tar.gz": tarred({"small.ipynb": NOTEBOOK}, "w:gz")}, "x.tar.gz/small.ipynb"),
    "a tar.xz": ({"x.tar.xz": tarred({"small.ipynb": NOTEBOOK}, "w:xz")}, "x.tar.xz/small.ipynb"),
    "a gz": ({"small.ipynb.gz": gzip.compress(NOTEBOOK)}, None),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_only_notebook_is_found_under(name, tmp_path):
    files, where = FOUND[name]
    found = look_into(lay(tmp_path / "s", files), "small")
    if where is None:  # taken for a notebook by its name: a human sees that it is none
        assert found.notebook is not None
        return
    assert (found.where, found.problem, found.notebook) == (where, "", NOTEBOOK)
    assert (where == "small.ipynb") or any("handed in as" in note for note in found.notes)


# (what lies in the folder, words of the problem)
FOR_A_HUMAN = {
    "two renamed notebooks": ({"a.ipynb": NOTEBOOK, "b.ipynb": OTHER}, "several notebooks"),
    "a zip with two": ({"x.zip": packed({"a.ipynb": NOTEBOOK, "b.ipynb": OTHER})}, "several notebooks"),
    "an export as code": ({"small.py": b"x = 1"}, "no notebook"),
    "an export as a page": ({"small.html": b"<html>"}, "no notebook"),
    "a broken zip": ({"small.zip": b"PK\3\4" + bytes(30)}, "no notebook"),
    "a zip without a notebook": ({"x.zip": packed({"a.txt": b"x"})}, "no notebook"),
    "an archive of another kind": ({"x.7z": b"7z\xbc\xaf\x27\x1c"}, "no notebook"),
    "a bomb": ({"x.zip": packed({"a.ipynb": bytes(30_000_000)})}, "no notebook"),
    "a bomb in gz": ({"x.gz": gzip.compress(bytes(30_000_000))}, "no notebook"),
    "many members": ({"x.zip": packed({f"{i}.txt": b"" for i in range(2500)})}, "no notebook"),
    "only what macOS adds": ({"._small.ipynb": b"\0"}, "no notebook"),
    "only a checkpoint": ({".ipynb_checkpoints/small-checkpoint.ipynb": NOTEBOOK}, "no notebook"),
    "a photograph": ({"small.heic": b"x"}, "no notebook"),
}


@pytest.mark.parametrize("name", FOR_A_HUMAN)
def test_a_human_is_asked_for(name, tmp_path):
    files, words = FOR_A_HUMAN[name]
    found = look_into(lay(tmp_path / "s", files), "small")
    assert found.notebook == b"" and words in found.problem


def test_only_an_empty_folder_is_nothing(tmp_path):
    beside = {"timestamp.txt": b"2026-11-20", "submission_secret.txt": b"0123"}
    folder = lay(tmp_path / "s", beside)
    assert look_into(folder, "small").notebook is None
    assert look_into(tmp_path / "none", "small").notebook is None


def test_a_zip_with_a_password_is_for_a_human(tmp_path):
    data = bytearray(packed({"small.ipynb": NOTEBOOK}))
    for sign, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(sign) + offset] |= 1
    found = look_into(lay(tmp_path / "s", {"x.zip": bytes(data)}), "small")
    assert found.notebook == b"" and any("password" in note for note in found.notes)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        before = os.getcwd()
        os.chdir(path.parent)
        try:
            made.bind(path.name)
        finally:
            os.chdir(before)


def sparse(path: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(10**12)


# What is no file, or none to read.
NO_FILES = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a link": lambda path: os.symlink("/etc/passwd", path),
    "a link to itself": lambda path: os.symlink(path.name, path),
    "a link to nowhere": lambda path: os.symlink("/nowhere", path),
    "a terabyte": sparse,
}


@pytest.mark.parametrize("place", ["small.ipynb", "a.ipynb", "x.zip", "plot.png", "timestamp.txt"])
@pytest.mark.parametrize("name", NO_FILES)
def test_never_opened_and_never_an_error(name, place, tmp_path):
    folder = lay(tmp_path / "s", {"own.ipynb": NOTEBOOK})
    NO_FILES[name](folder / place)
    submission = read_submission(folder, "small")
    assert submission.notebook in (NOTEBOOK, b"")
    assert place not in submission.files
    if place == "small.ipynb":
        assert submission.problem
    assert submission.notes or submission.problem


def test_fifteen_hundred_folders_deep(tmp_path):
    lay(tmp_path / "s", {"a.ipynb": NOTEBOOK})
    here = os.open(tmp_path / "s", os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    try:
        found = look_into(tmp_path / "s", "small")
        assert found.notebook == NOTEBOOK and any("deep" in note for note in found.notes)
    finally:
        os.system(f"rm -rf '{tmp_path / 's'}'")


def test_names_that_are_no_text(tmp_path):
    folder = lay(tmp_path / "s", {"a.ipynb": NOTEBOOK})
    for name in (
        b"\xff.exe",
        b"\xff.txt",
        b"\xfe.ipynb.bak\xff",
        b"new\nline.exe",
        b"\x1b[31m.exe",
        b"[x](javascript:y).exe",
    ):
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"x")
    submission = read_submission(folder, "small")
    json.dumps(submission.to_dict()).encode()
    for note in submission.notes:
        assert note.isprintable() and "](" not in note


def test_twenty_thousand_files_make_a_few_notes(tmp_path):
    folder = lay(tmp_path / "s", {"small.ipynb": NOTEBOOK})
    for i in range(6000):  # the limit is 5,000
        (folder / f"{i}.exe").touch()
    submission = read_submission(folder, "small")
    assert submission.notebook == NOTEBOOK and not submission.problem and len(submission.notes) < 30


@pytest.mark.parametrize("turn", range(3))
def test_the_notebook_is_taken_however_many_files_are_read_before_it(turn, tmp_path, monkeypatch):
    """The order in which a folder is read is the file system's: with room for none, it is beyond the last."""
    monkeypatch.setattr(handed_in, "ENTRIES_COUNT", turn)
    folder = lay(
        tmp_path / "s", {"small.ipynb": NOTEBOOK, "a.txt": b"a", "z.txt": b"z", "b/other.ipynb": b"{}"}
    )
    found = look_into(folder, "small")
    assert found.notebook == NOTEBOOK and not found.problem and found.where == "small.ipynb"


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    folder = lay(tmp_path / "s", {"small.ipynb": NOTEBOOK})
    folder.chmod(0)
    try:
        assert look_into(folder, "small").notebook == b""
    finally:
        folder.chmod(0o700)


NAMES = st.lists(
    st.sampled_from(
        [
            "small",
            ".ipynb",
            ".IPYNB",
            ".txt",
            ".zip",
            ".",
            "..",
            "._",
            "__MACOSX",
            " ",
            "(1)",
            "\n",
            "\x1b",
            "é",
            "\udcff",
            "x" * 80,
        ]
    ),
    min_size=1,
    max_size=4,
).map("".join)
CONTENTS = st.one_of(
    st.sampled_from(
        [NOTEBOOK, OTHER, b"", b"{}", b"\0", packed({"a.ipynb": NOTEBOOK}), tarred({"../a.ipynb": NOTEBOOK})]
    ),
    st.binary(max_size=60),
    st.binary(max_size=60).map(lambda data: b"PK\3\4" + data),
    st.binary(max_size=60).map(lambda data: b"\x1f\x8b\x08" + data),
)


@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), CONTENTS), max_size=6))
def test_any_tree_of_files_is_an_explicit_state(tmp_path_factory, tree):
    folder = tmp_path_factory.mktemp("tree")
    laid = 0
    for parts, data in tree:
        path = folder.joinpath(*(part for part in parts if part not in (".", "..")))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            laid += 1
        except OSError:
            continue
    submission = read_submission(folder, "small")
    json.dumps(submission.to_dict()).encode()
    assert submission.problem or submission.notebook is not None
    if submission.notebook is None:
        assert not any(folder.iterdir())
    elif not submission.problem:
        try:
            read_notebook(submission.notebook)
        except Corrupt as error:
            assert str(error).startswith("the notebook")
    for note in [*submission.notes, submission.problem]:
        assert note.isprintable()


# --------------------------------------------------------------------------- students


@pytest.fixture
def course(root, tmp_path) -> Course:
    return Course.open(root, lay(tmp_path / "course", {"submitted/ada/small/small.ipynb": NOTEBOOK}))


def test_folders_of_a_system_are_no_students(course):
    for name in ("__MACOSX", ".ipynb_checkpoints", ".Trash"):
        lay(course.folder, {f"submitted/{name}/small/small.ipynb": NOTEBOOK})
    assert course.students("small") == ["ada"]


# A student's folder, and words of what is said of it.
STRAYS = {
    "ben/small.ipynb": "lies beside the folder",
    "ben/Small/small.ipynb": "lies beside the folder",
    "ben/small (1)/small.ipynb": "lies beside the folder",
    "ben/x.zip": "lies beside the folder",
    "<img src=x>/small/small.ipynb": "cannot be a student's",
    "a\nb/small/small.ipynb": "cannot be a student's",
    "gro.\u202etneduts/small/small.ipynb": "control characters",  # an override, read from the right
    "ben\u2069/small/small.ipynb": "control characters",  # the end of an isolate
    "ben\u200f/small/small.ipynb": "control characters",  # a mark
    "ben\u061c/small/small.ipynb": "control characters",
    "ben\u2028/small/small.ipynb": "control characters",  # a line of its own
    "ben\u200b/small/small.ipynb": "control characters",  # nothing to be seen: another ben
    " ada/small/small.ipynb": "a blank at its beginning or end",  # another ada
    "ada\u00a0/small/small.ipynb": "a blank at its beginning or end",
    "*/small/small.ipynb": "means every student",
    "a*/small/small.ipynb": "means every student",
}


@pytest.mark.parametrize("path", STRAYS)
def test_what_lies_beside_the_folders_is_said(path, course):
    lay(course.folder, {f"submitted/{path}": NOTEBOOK})
    (said,) = course.strays("small").values()
    assert STRAYS[path] in said and said.isprintable()
    assert course.students("small") == ["ada"]


@pytest.mark.parametrize("student", ["민준", "مریم\u200cزاده", "שרה", "zoë o'neill"])
def test_a_name_in_any_script_is_a_students(student, course):
    lay(course.folder, {f"submitted/{student}/small/small.ipynb": NOTEBOOK})
    assert course.strays("small") == {} and student in course.students("small")


def test_another_assignments_folder_is_no_stray(course):
    lay(course.folder, {"submitted/ben/large/large.ipynb": NOTEBOOK})
    assert course.strays("small") == {}
