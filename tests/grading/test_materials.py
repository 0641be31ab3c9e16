"""A course folder from the package alone: laid out in the clone, and by the wheel where there is no clone."""

from __future__ import annotations

import csv
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from casestudies import cli
from casestudies.grading import materials as module
from casestudies.grading.course import Course, CourseError
from casestudies.grading.materials import MaterialError, lay_out, materials
from casestudies.grading.notebooks import assignments, find_root
from casestudies.grading.sandbox import bubblewrap
from casestudies.grading.secret import NAME, course_secret

ROOT = Path(__file__).parents[2]


def test_init_lays_out_every_assignment_a_secret_and_a_place_for_submissions(tmp_path, capsys):
    course = tmp_path / "terms" / "my-course"
    assert cli.main(["init", str(course)]) == 0
    assert "casestudies grade resnet" in capsys.readouterr().out
    assert find_root(course) == course and assignments(course) == assignments(ROOT)
    assert (course / "submitted").is_dir()
    for name in assignments(ROOT):
        assert (course / f"exercises/{name}/{name}.ipynb").read_bytes() == (
            ROOT / f"exercises/{name}/{name}.ipynb"
        ).read_bytes()
    assert stat.S_IMODE((course / NAME).stat().st_mode) == 0o600 and len(course_secret(course)) == 32
    assert [path.name for path in course.parent.iterdir()] == ["my-course"]  # no draft is left


def test_two_courses_have_two_secrets(tmp_path):
    lay_out(tmp_path / "a")
    lay_out(tmp_path / "b")
    assert course_secret(tmp_path / "a") != course_secret(tmp_path / "b")


def test_init_prints_a_command_that_a_shell_understands(tmp_path, capsys):
    course = tmp_path / "강의 '26"
    assert cli.main(["init", str(course)]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("Then: ").partition(" && ")[0]
    done = subprocess.run(["sh", "-c", f"{line} && pwd"], capture_output=True, text=True)
    assert done.stdout.strip() == str(course)


def test_init_keeps_submissions_grades_and_secret_out_of_git(tmp_path):
    course = tmp_path / "course"
    lay_out(course)
    subprocess.run(["git", "init", "--quiet", str(course)], check=True)
    private = [
        NAME,
        "gradebook.db",
        "submitted/ada/resnet/resnet.ipynb",
        "autograded/ada/x",
        "feedback/ada/x",
    ]
    private += ["reports/resnet.html", "logs/resnet/ada.log", "grades.csv"]
    done = subprocess.run(
        ["git", "-C", str(course), "check-ignore", *private], capture_output=True, text=True
    )
    assert done.stdout.split() == private


@pytest.mark.parametrize("what", ["a file in it", "a file", "a link"])
def test_init_changes_nothing_where_something_is(tmp_path, capsys, what):
    course = tmp_path / "course"
    if what == "a file":
        course.write_text("mine")
    elif what == "a link":
        (tmp_path / "elsewhere").mkdir()
        course.symlink_to(tmp_path / "elsewhere")
    else:
        course.mkdir()
        (course / "mine.txt").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    assert cli.main(["init", str(course)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"casestudies init: {course} ") and error.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["a\nb"], "'a\\nb' has a character that cannot be shown; name another one"),
        (["new", "--course-id", "x" * 129], "at most 128, as in vision-2026"),
    ],
)
def test_init_refuses_names_that_a_line_or_the_gradebook_cannot_hold(
    arguments, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", *arguments]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_course_that_is_a_file_is_not_said_to_be_missing(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CourseError, match="file is no folder; name the one with submitted/ inside"):
        Course.open(ROOT, tmp_path / "file")


def test_init_that_fails_midway_leaves_nothing(tmp_path, monkeypatch):
    def full(folder: Path) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "course_secret", full)
    with pytest.raises(MaterialError, match="No space left on device"):
        lay_out(tmp_path / "course")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_stays_the_one_that_it_is(tmp_path, monkeypatch, capsys):
    """A shell stands in it, or a disk is mounted there."""
    (tmp_path / "vision").mkdir()
    monkeypatch.chdir(tmp_path / "vision")
    before = Path.cwd().stat().st_ino
    assert cli.main(["init", "."]) == 0
    assert Path.cwd().stat().st_ino == before == (tmp_path / "vision").stat().st_ino
    assert Path("solutions/resnet.md").is_file() and not list(Path().glob(".vision*"))
    assert Path.cwd().stat().st_mode & 0o777 == 0o700
    printed = capsys.readouterr().out
    assert "vision   is its course_id" in printed and "Then: casestudies grade resnet" in printed


THEIRS = {"README.md": "# Vision\n", "LICENSE": "MIT\n", ".gitignore": "*.pyc\n!/course_secret\n"}


@pytest.mark.parametrize("there", [(), ("README.md", "LICENSE"), tuple(THEIRS)])
def test_a_new_repository_becomes_a_course_and_nothing_in_it_is_changed(tmp_path, monkeypatch, capsys, there):
    course = tmp_path / "vision"
    subprocess.run(["git", "init", "-q", course], check=True)
    for name in there:
        (course / name).write_text(THEIRS[name])
    before = {path: path.read_bytes() for path in course.rglob("*") if path.is_file()}
    monkeypatch.chdir(course)
    assert cli.main(["init", "."]) == 0
    assert {path: path.read_bytes() for path in before} == before
    assert {path for path in (course / ".git").rglob("*") if path.is_file()} <= before.keys()
    assert Course.open(course).course_id == "vision"
    said = "append course.gitignore to it before you commit" in capsys.readouterr().out
    assert said == (".gitignore" in there) == (course / "course.gitignore").is_file()
    if said:
        with (course / ".gitignore").open("a") as file:
            file.write((course / "course.gitignore").read_text())
    private = [NAME, "gradebook.db", "submitted/ada/resnet/resnet.ipynb", "grades.csv", "course.gitignore"]
    command = ["git", "-C", course, "check-ignore", "--no-index", *private]
    assert subprocess.run(command, capture_output=True, text=True).stdout.split() == private
    command = ["git", "-C", course, "check-ignore", "--no-index", *THEIRS, "solutions/resnet.md"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == ""


def test_a_repository_with_files_of_its_own_is_refused_by_name(tmp_path, capsys):
    course = tmp_path / "vision"
    subprocess.run(["git", "init", "-q", course], check=True)
    (course / "solutions").mkdir()
    before = sorted(course.rglob("*"))
    assert cli.main(["init", str(course)]) == 2
    assert "is not empty: solutions is in it; nothing was changed" in capsys.readouterr().err
    assert sorted(course.rglob("*")) == before


def test_a_folder_that_exists_is_empty_again_when_init_fails(tmp_path, monkeypatch):
    (tmp_path / "vision").mkdir()
    rename = Path.rename

    def full(path: Path, target: Path) -> Path:
        if path.name == "samples" and Path(target).parent == tmp_path / "vision":
            raise OSError(28, "No space left on device")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(MaterialError, match="No space left on device"):
        lay_out(tmp_path / "vision")
    assert list((tmp_path / "vision").iterdir()) == []


def test_git_takes_the_courses_own_material_only(tmp_path):
    """Whatever the instructor puts beside it: tables from platforms, lists of names, backups, notes."""
    lay_out(tmp_path / "course")
    course = tmp_path / "course"
    own = {str(path.relative_to(course)) for path in course.rglob("*") if path.is_file()} - {"course_secret"}
    for name in [
        "students.csv", "extensions.csv", "comments.csv", "hand_in_times.csv", "roster final.xlsx",
        "downloaded/1/resnet.ipynb", "submitted/ada/resnet/resnet.ipynb", "my-backup.zip", "reports/resnet.html",
        "grades.csv", "notes.txt", "gradebook.db", "resnet-moodle-filled.csv", "solutions/resnet/resnet.ipynb",
    ]:  # fmt: skip
        (course / name).parent.mkdir(parents=True, exist_ok=True)
        (course / name).write_text("Ada Lovelace")
    subprocess.run(["git", "init", "-q", course], check=True)
    command = ["git", "-C", course, "ls-files", "-z", "--others", "--exclude-standard"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True)
    assert set(filter(None, listed.stdout.split("\0"))) == own


def test_an_installation_without_assignments_says_so(tmp_path, monkeypatch):
    package = tmp_path / "casestudies" / "__init__.py"
    monkeypatch.setattr(module.casestudies, "__file__", str(package))
    with pytest.raises(MaterialError, match=r"pip install 'casestudies\[grading\]'"):
        materials()


def test_a_course_has_the_course_id_that_it_was_given_or_else_its_folders_name(tmp_path):
    for folder, given, expected in [
        ("vision-2026", None, "vision-2026"),
        ("My course (2)", None, "My-course-2-"),
        ("autumn", "vision-2027", "vision-2027"),
    ]:
        lay_out(tmp_path / folder, given)
        assert Course.open(tmp_path / folder).course_id == expected


@pytest.mark.parametrize("wrong", ["", "a/b", "../up", "two words", "a+b"])
def test_a_course_id_that_cannot_name_a_folder_of_the_exchange_is_refused(tmp_path, capsys, wrong):
    assert cli.main(["init", str(tmp_path / "course"), "--course-id", wrong]) == 2
    assert f"--course-id {wrong!r}: expected letters, digits" in capsys.readouterr().err
    assert not (tmp_path / "course").exists()


# ---------------------------------------------------------------------------------------- from the wheel


@pytest.mark.slow
def test_the_wheel_carries_each_assignment_once_as_it_is_in_the_clone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        prefix = "casestudies/materials/"
        assert {"casestudies/locale/ko.po", "casestudies/explorers/locale/ko.po"} <= set(archive.namelist())
        carried = {
            name.removeprefix(prefix): archive.read(name)
            for name in archive.namelist()
            if name.startswith(prefix)
        }
    for name in assignments(ROOT):
        korean = f"locale/ko/assignments/{name}.po"
        for path in (f"solutions/{name}.md", f"exercises/{name}/{name}.ipynb", korean):
            assert carried[path] == (ROOT / path).read_bytes()
        assert f"solutions/{name}/{name}.ipynb" not in carried
    assert {Path(path).name for path in carried if path.startswith("samples/resnet/")} == {
        path.name for path in (ROOT / "samples" / "resnet").glob("*.py")
    }


@pytest.mark.slow
@pytest.mark.sandbox
@pytest.mark.skipif(bubblewrap() is None, reason="bubblewrap is missing")
def test_the_wheel_alone_grades_a_submission_in_a_course_that_it_laid_out(wheel, tmp_path):
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    site = next(venv.glob("lib/python*/site-packages"))
    with zipfile.ZipFile(wheel) as archive:  # what pip does with a pure wheel, scripts apart
        archive.extractall(site)
    # The dependencies are those of this environment; this clone's editable install is not among them: a .pth
    # file in a folder that is only named in another .pth file is not read.
    import nbgrader

    (site / "dependencies.pth").write_text(str(Path(nbgrader.__file__).parents[1]) + "\n")
    python = venv / "bin" / "python"
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "CASESTUDIES_COURSE")}
    # nbgrader calls `alembic`, which lies beside the Python of an installation by pip.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])

    def casestudies(*arguments: str, at: Path) -> str:
        command = [str(python), "-m", "casestudies", *arguments]
        done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = "import casestudies; print(casestudies.__file__)"
    found = subprocess.run([str(python), "-c", where], cwd=tmp_path, env=environment, capture_output=True)
    assert found.stdout.decode().startswith(str(site))
    casestudies("init", "my-course", at=tmp_path)
    course = tmp_path / "my-course"
    casestudies("sample-class", "resnet", "--course", ".", at=course)
    casestudies("grade", "resnet", "--student", "correct-attributes", "--jobs", "1", at=course)
    with (course / "reports" / "resnet.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["student"] for row in rows} == {"correct-attributes"}
    assert sum(float(row["points"]) for row in rows if row["points"]) == 17  # the five checks
