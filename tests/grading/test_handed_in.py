"""Nothing that is handed in is a silent 0: names, folders, archives, and what is no file at all."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import struct
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
    "a zip as macOS calls it": (
        {"small.ipynb.zip": packed({"small.ipynb": NOTEBOOK})},
        "small.ipynb.zip/small.ipynb",
    ),
    "a gz": ({"small.ipynb.gz": gzip.compress(NOTEBOOK)}, "small.ipynb.gz/notebook.ipynb"),
    "a notebook that is called a zip": ({"small.ipynb.zip": NOTEBOOK}, "small.ipynb.zip"),
    "its name beside a zip of it": (
        {"small.ipynb": NOTEBOOK, "small.ipynb.zip": packed({"small.ipynb": OTHER})},
        "small.ipynb",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_only_notebook_is_found_under(name, tmp_path):
    files, where = FOUND[name]
    found = look_into(lay(tmp_path / "s", files), "small")
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


def listing(entries: int, comment: bytes = b"") -> bytes:
    """A zip that lists one file of no bytes many times; with a comment, behind which its end is looked for."""
    name = b"a"
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, 0, 0, 0, len(name), 0) + name
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0) + name
    where, size = len(local), len(entry) * entries
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, entries, entries, size, where)
    found = struct.pack("<4sIQI", b"PK\6\7", 0, where + size, 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", *[0xFFFF] * 4, *[0xFFFFFFFF] * 2, len(comment)) + comment
    return local + entry * entries + end64 + found + end


def understated(entries: int) -> bytes:
    """The same, whose last lines say that it lists one file."""
    one = struct.pack("<Q", entries)
    return listing(entries).replace(one + one, struct.pack("<QQ", 1, 1))


def headers(*members: tuple[bytes, bytes]) -> bytes:
    """A tar of such types and contents, without an end."""
    made = b""
    for kind, data in members:
        member = tarfile.TarInfo("a")
        member.type, member.size = kind, len(data)
        made += member.tobuf(tarfile.USTAR_FORMAT) + data + bytes(-len(data) % 512)
    return made


PAX = b"".join(b"13 %05d=abc\n" % number for number in range(99_999))
ENDLESS = {
    "a zip": {"x.zip": listing(300_000)},
    "a zip with a comment": {"x.zip": listing(300_000, b"x")},
    "a zip that says it lists one": {"x.zip": understated(300_000)},
    "a zip in a zip": {"x.zip": packed({"y.zip": listing(300_000)})},
    "many zips": {f"{number}.zip": listing(60_000) for number in range(5)},
    "a tar of folders": {"x.tar": headers(*[(tarfile.DIRTYPE, b"")] * 5000)},
    "a tar with what is said of one file": {
        "x.tar": headers((tarfile.XHDTYPE, PAX * 5), (tarfile.REGTYPE, b""))
    },
    "a tar with what is said of all files": {
        "x.tar": headers((tarfile.XGLTYPE, PAX), *[(tarfile.REGTYPE, b"")] * 100)
    },
    "a tar with a long name": {"x.tar": headers((tarfile.GNUTYPE_LONGNAME, b"a" * 6_000_000), (b"0", b""))},
    "a packed tar of folders": {"x.tar.gz": gzip.compress(headers(*[(tarfile.DIRTYPE, b"")] * 5000))},
    "a gz of many parts": {"x.gz": gzip.compress(b"") * 3000},
    "a bz2 of many parts": {"x.bz2": bz2.compress(b"") * 3000},
    "an xz of many parts": {"x.xz": lzma.compress(b"") * 3000},
}


@pytest.mark.parametrize("name", ENDLESS)
def test_no_list_of_an_archive_is_read_without_a_bound(name, tmp_path, monkeypatch):
    """Each file that it lists takes many times its bytes in the memory of the process that grades a class."""
    known = {"zip": 0, "tar": 0}

    class Counted(zipfile.ZipInfo):
        def __init__(self, *args, **options):
            known["zip"] += 1
            super().__init__(*args, **options)

    read = tarfile.TarInfo.frombuf.__func__

    def frombuf(cls, *args):
        known["tar"] += 1
        return read(cls, *args)

    folder = lay(tmp_path / "s", ENDLESS[name])
    monkeypatch.setattr(zipfile, "ZipInfo", Counted)
    monkeypatch.setattr(tarfile.TarInfo, "frombuf", classmethod(frombuf))
    found = look_into(folder, "small")
    assert found.problem.startswith("There is no notebook") and "A human has to look at it" in found.problem
    assert any("was not read to its end" in note for note in found.notes), found.notes
    assert known["zip"] < 150_000 and known["tar"] < 3000


def test_a_zip_whose_files_are_the_same_bytes_is_not_unpacked(tmp_path, monkeypatch):
    """What is packed may be many empty blocks, which take time and give nothing."""
    data = bytearray(packed({f"{number}.txt": b"" for number in range(50)} | {"z.txt": os.urandom(5000)}))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        last = archive.getinfo("z.txt")
    at = data.index(b"PK\1\2")
    for _ in range(50):
        struct.pack_into("<II", data, at + 20, last.compress_size, last.file_size)
        struct.pack_into("<I", data, at + 42, last.header_offset)
        at = data.index(b"PK\1\2", at + 1)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("it was unpacked"))
    found = look_into(lay(tmp_path / "s", {"x.zip": bytes(data)}), "small")
    assert any("one over another" in note for note in found.notes), found.notes


def test_archives_and_notebooks_are_read_as_long_as_there_is_room_for_all(tmp_path, monkeypatch):
    for name in ("ARCHIVE_BYTES", "NOTEBOOKS_BYTES"):
        monkeypatch.setattr(handed_in, name, 1000)
    files = {f"{letter}.zip": packed({"a.txt": os.urandom(400)}) for letter in "abc"}
    found = look_into(lay(tmp_path / "s", files), "small")
    assert "left out 'b.zip': too large" in found.notes and "left out 'c.zip': too large" in found.notes
    files = {f"a{number}.ipynb": notebook("a" * 400) for number in range(9)}
    taken = []
    monkeypatch.setattr(
        handed_in, "read_plain_file", lambda path, limit, read=handed_in.read_plain_file: (
            taken.append(path.name), read(path, limit)
        )[1],
    )  # fmt: skip
    found = look_into(lay(tmp_path / "t", files | {"small.ipynb": NOTEBOOK}), "small")
    assert found.notebook == NOTEBOOK and taken == ["small.ipynb", "a0.ipynb"]


@pytest.mark.parametrize("packer", [gzip, bz2, lzma])
def test_what_was_packed_in_parts_is_whole(packer, tmp_path):
    parts = packer.compress(NOTEBOOK[:50]) + packer.compress(NOTEBOOK[50:])
    found = look_into(lay(tmp_path / "s", {"x.gz": parts}), "small")
    assert found.notebook == NOTEBOOK
    found = look_into(lay(tmp_path / "t", {"x.gz": parts[:-9]}), "small")
    assert any("cannot be read: it is damaged" in note for note in found.notes)


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
