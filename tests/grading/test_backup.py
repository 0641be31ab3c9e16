"""A backup brings the whole course back, says what is wrong with it, and never overwrites anything."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import stat
import zipfile
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from casestudies import cli
from casestudies.grading.backup import MANIFEST, BackupError, back_up, restore
from casestudies.grading.course import Course, grade_class
from casestudies.grading.materials import lay_out
from casestudies.grading.sample_class import build_class
from casestudies.grading.secret import course_secret


@pytest.fixture(scope="module")
def graded(tmp_path_factory) -> Path:
    """A course that was laid out from the package, with one submission graded and one grade by hand."""
    folder = tmp_path_factory.mktemp("backup") / "vision-2026"
    lay_out(folder)
    source = folder / "solutions" / "resnet.md"
    source.write_text(source.read_text() + "\nMine.\n")
    build_class(folder, folder, "resnet")
    for student in sorted((folder / "submitted").iterdir())[1:]:
        shutil.rmtree(student)
    course = Course.open(folder)
    assert [row.error for row in grade_class(course, "resnet", jobs=1)] == [""]
    (folder / "extensions.csv").write_text("student,assignment,days\n*,*,4\n")
    (folder / "comments.csv").write_text("id,text\na,b\n")
    return folder


def scores(folder: Path) -> dict[str, float]:
    with Gradebook(f"sqlite:///{folder / 'gradebook.db'}", course_id="vision-2026") as gradebook:
        return {each.student.id: each.score for each in gradebook.assignment_submissions("resnet")}


def test_a_restored_course_has_the_scores_the_secret_and_what_the_instructor_wrote(graded, tmp_path, capsys):
    archive = tmp_path / "saved.zip"
    assert cli.main(["backup", str(archive), "--submissions", "--course", str(graded)]) == 0
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert cli.main(["restore", str(archive), str(tmp_path / "again")]) == 0
    assert "of the course vision-2026, each compared" in capsys.readouterr().out
    again = tmp_path / "again"
    assert scores(again) == scores(graded) and scores(again)
    assert course_secret(again) == course_secret(graded)
    for name in ("extensions.csv", "comments.csv", "nbgrader_config.py", "solutions/resnet.md"):
        assert (again / name).read_bytes() == (graded / name).read_bytes()
    assert Course.open(again).course_id == "vision-2026"
    # Nothing is new in it: the same submission, the same cells, the same secret.
    assert [row.seconds for row in grade_class(Course.open(again), "resnet", jobs=1)] == [None]
    assert stat.S_IMODE(again.stat().st_mode) == 0o700


def test_without_submissions_the_archive_holds_no_students_work(graded, tmp_path):
    files = back_up(Course.open(graded), tmp_path / "small.zip")
    assert {"gradebook.db", "course_secret"} <= set(files)
    assert not [name for name in files if name.startswith(("submitted", "autograded", "feedback"))]


def test_a_gradebook_to_which_somebody_writes_is_copied_as_it_was_before(graded, tmp_path):
    with contextlib.closing(sqlite3.connect(graded / "gradebook.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE grade SET auto_score = 99")
        back_up(Course.open(graded), tmp_path / "meanwhile.zip")
        writer.execute("ROLLBACK")
    restore(tmp_path / "meanwhile.zip", tmp_path / "again")
    assert scores(tmp_path / "again") == scores(graded)


@pytest.mark.parametrize("fault", ["cut", "byte", "extra", "outside", "none", "password", "brackets"])
def test_a_damaged_backup_is_refused_and_nothing_is_made(graded, tmp_path, fault):
    archive = tmp_path / "saved.zip"
    back_up(Course.open(graded), archive)
    data = bytearray(archive.read_bytes())
    if fault == "cut":
        archive.write_bytes(data[: len(data) // 2])
    elif fault == "byte":
        data[len(data) // 3] ^= 0xFF
        archive.write_bytes(data)
    elif fault == "extra":
        with zipfile.ZipFile(archive, "a") as packed:
            packed.writestr("more.txt", "x")
    elif fault == "outside":
        with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
            packed.writestr(MANIFEST, json.dumps({"course_id": "a", "files": {"../x": "0"}}))
            packed.writestr("../x", "x")
        archive = tmp_path / "evil.zip"
    elif fault == "password":  # the flag that says so, in both places where it stands
        for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            place = data.find(mark)
            while place >= 0:
                data[place + offset] |= 1
                place = data.find(mark, place + 1)
        archive.write_bytes(data)
    elif fault == "brackets":
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(MANIFEST, "[" * 200_000)
    else:
        archive.write_bytes(b"")
    with pytest.raises(BackupError, match="is no sound backup of a course: .*nothing was changed"):
        restore(archive, tmp_path / "again")
    assert not (tmp_path / "again").exists() and not list(tmp_path.glob(".again*"))


def test_what_exists_is_not_overwritten(graded, tmp_path):
    archive = tmp_path / "saved.zip"
    archive.write_text("mine")
    with pytest.raises(BackupError, match="exists; name a new file"):
        back_up(Course.open(graded), archive)
    assert archive.read_text() == "mine"
    back_up(Course.open(graded), tmp_path / "other.zip")
    with pytest.raises(BackupError, match="not an empty folder, and nothing was changed in it"):
        restore(tmp_path / "other.zip", graded)


def test_a_restored_course_is_for_its_owner_alone_in_the_folder_that_was_there(graded, tmp_path, monkeypatch):
    course = Course.open(graded)
    for name in ("students.csv", "extensions.csv", "hand_in_times.csv"):
        path = graded / name
        if not path.exists():
            path.write_text("student\n")
    back_up(course, tmp_path / "deep" / "er" / "saved.zip")
    (tmp_path / "again").mkdir()
    monkeypatch.chdir(tmp_path / "again")
    before = Path.cwd().stat().st_ino
    restore(tmp_path / "deep" / "er" / "saved.zip", Path())
    assert Path.cwd().stat().st_ino == before == (tmp_path / "again").stat().st_ino
    assert not list(Path().glob(".again*"))
    for name in ("students.csv", "extensions.csv", "hand_in_times.csv", "course_secret", "gradebook.db"):
        assert Path(name).stat().st_mode & 0o777 == 0o600, name


def test_a_course_without_a_gradebook_or_secret_is_not_backed_up(tmp_path):
    lay_out(tmp_path / "new")
    with pytest.raises(BackupError, match="there is no gradebook"):
        back_up(Course.open(tmp_path / "new"), tmp_path / "saved.zip")
    (tmp_path / "new" / "course_secret").unlink()
    with pytest.raises(BackupError, match="without which no grade can be made again"):
        back_up(Course.open(tmp_path / "new"), tmp_path / "saved.zip")
    assert not list(tmp_path.glob("*.zip")) and not list(tmp_path.glob(".saved*"))


@pytest.mark.parametrize("kind", ["pipe", "folder", "nothing"])
def test_what_is_no_file_is_no_backup(kind: str, tmp_path: Path) -> None:
    archive = tmp_path / "saved.zip"
    if kind == "pipe":
        os.mkfifo(archive)
    elif kind == "folder":
        archive.mkdir()
    with pytest.raises(BackupError, match="saved.zip cannot be read: .*; nothing was changed"):
        restore(archive, tmp_path / "again")
    assert not (tmp_path / "again").exists()
