"""What students get: everything they need, nothing they must not see, the same bytes each time."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from itertools import product
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from casestudies import address, cli, language
from casestudies.grading import student_kit
from casestudies.grading.materials import lay_out
from casestudies.grading.notebooks import LeakError, assignments, build_source, secret_lines
from casestudies.grading.student_kit import KitError, kit_files, write_branch, write_folder, write_zip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kit() -> dict[str, bytes]:
    return kit_files(ROOT)


def test_the_kit_holds_each_notebook_the_pins_and_how_to_start(kit):
    names = assignments(ROOT)
    assert [f"notebooks/{name}.ipynb" for name in names] == [n for n in kit if n.startswith("notebooks/")]
    assert kit["requirements.txt"] == (ROOT / "requirements-students.txt").read_bytes()
    assert all(name in kit["README.md"].decode() for name in names)


def test_the_kits_readme_and_the_students_guide_have_one_type_the_same(kit):
    guide = (ROOT / "book" / "students.md").read_text("utf-8")
    section = guide.partition("### On your own computer")[2].partition("\n### ")[0]
    typed = section.split("```")[1].strip().splitlines()
    tomorrow = re.search(r"^Tomorrow.*?`(.*?)`.*?`(.*?)`", section, re.MULTILINE)
    assert tomorrow is not None
    lines = [line[4:] for line in kit["README.md"].decode().splitlines() if line.startswith("    ")]
    once, later, without_cuda = lines[:-3], lines[-3:-1], lines[-1]
    assert [*once, later[-1]] == typed
    assert later == list(tomorrow.groups())
    assert without_cuda.startswith("pip install torch==")


def test_a_korean_kit_says_in_korean_how_to_start():
    names = ["lenet", "resnet"]
    english = student_kit.readme(names, "1.2.3")
    with language.speaking("ko"):
        korean = student_kit.readme(names, "1.2.3")

    def typed(text: str) -> list[str]:
        return [line for line in text.splitlines() if line.startswith("    ")]

    assert typed(korean) == typed(english) and len(typed(english)) == 8
    said = re.sub("`[^`]*`|<[^>]*>", "", "\n".join(set(korean.splitlines()) - set(typed(korean))))
    assert re.search("[가-힣]", said) and not re.findall(r"[A-Za-z]+ [a-z]+", said)
    assert "/ko/students.html>" in korean and "/ko/" not in english


@pytest.mark.parametrize("name", assignments(ROOT))
def test_no_line_of_a_solution_or_hidden_test_stands_in_the_kit_outside_the_package(kit, name):
    secret = secret_lines(build_source(ROOT / "solutions" / f"{name}.md"))
    assert len(secret) > 5
    for path, data in kit.items():
        if path == f"notebooks/{name}.ipynb":  # another may give a line, as what is to be repaired
            cells = json.loads(data)["cells"]
            lines = {line.strip() for cell in cells for line in "".join(cell["source"]).splitlines()}
        elif not path.startswith(("notebooks/", "package/casestudies/")):
            lines = {line.strip() for line in data.decode().splitlines()}
        else:
            continue
        assert not secret & lines, path


def test_no_marker_rubric_sample_or_grader_is_in_the_kit(kit):
    for path, data in kit.items():
        assert not path.startswith(("package/casestudies/grading", "package/casestudies/materials")), path
        assert not {"solutions", "samples", "submitted"} & set(Path(path).parts), path
        if not path.startswith("package/casestudies/"):
            for marker in (
                b"BEGIN SOLUTION",
                b"BEGIN HIDDEN",
                b"BEGIN MARK",
                b"hidden=True",
                b"course_secret",
            ):
                assert marker not in data, (path, marker)


def test_a_notebook_with_a_solution_in_it_is_refused(tmp_path):
    lay_out(tmp_path / "course")
    path = tmp_path / "course/exercises/resnet/resnet.ipynb"
    notebook = json.loads(path.read_text())
    line = sorted(secret_lines(build_source(tmp_path / "course/solutions/resnet.md")))[0]
    notebook["cells"][3]["source"] = [line]
    path.write_text(json.dumps(notebook))
    with pytest.raises(LeakError, match="casestudies exercises resnet"):
        kit_files(tmp_path / "course")


def test_the_package_of_the_kit_checks_an_answer_and_says_that_it_cannot_grade(kit, tmp_path):
    write_folder(kit, tmp_path / "kit")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "kit" / "package")}

    # An editable install of the clone offers the modules that the kit lacks; a student has none.
    alone = "import sys; sys.meta_path = [f for f in sys.meta_path if 'ditable' not in str(f)]\n"

    def run(code: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", alone + code]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    code = "import casestudies; from casestudies.networks import resnet; print(casestudies.__file__)\n"
    code += "print(casestudies.check('resnet/basic_block', resnet.BasicBlock).passed)"
    done = run(code)
    assert done.stdout.splitlines() == [
        str(tmp_path / "kit/package/casestudies/__init__.py"),
        "True",
    ], done.stderr
    done = run("from casestudies.cli import main; sys.exit(main(['grade', 'resnet']))")
    assert done.returncode == 2 and "pip install 'casestudies[grading]'" in done.stderr


def test_zip_and_folder_hold_the_same_and_the_zip_is_the_same_each_time(kit, tmp_path):
    write_folder(kit, tmp_path / "kit")
    (tmp_path / "again").mkdir()
    write_zip(kit, tmp_path / "kit.zip")
    write_zip(kit_files(ROOT), tmp_path / "again" / "kit.zip")
    assert (tmp_path / "kit.zip").read_bytes() == (tmp_path / "again" / "kit.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "kit.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    written = [path for path in (tmp_path / "kit").rglob("*") if path.is_file()]
    assert packed == {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in written}


@pytest.mark.parametrize("target", ["kit", "kit.zip"])
def test_what_exists_is_not_overwritten(tmp_path, monkeypatch, capsys, target):
    monkeypatch.setattr(student_kit, "kit_files", lambda root, with_grader, code: {"README.md": b"kit"})
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "mine").write_text("mine")
    (tmp_path / "kit.zip").write_text("mine")
    assert cli.main(["student-kit", str(tmp_path / target)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("casestudies student-kit: ") and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["kit", "kit.zip", "mine"]
    assert {(tmp_path / "kit" / "mine").read_text(), (tmp_path / "kit.zip").read_text()} == {"mine"}


# ------------------------------------------------------------------------------------------- a branch


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@localhost"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path) -> Path:
    """A repository with the solutions in its history, and a change that is not committed."""
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--initial-branch=main", str(folder))
    (folder / "solution.md").write_text("the answer\n")
    git(folder, "add", "solution.md")
    git(folder, "commit", "--quiet", "-m", "Solutions")
    (folder / "solution.md").write_text("a better answer\n")
    return folder


FILES = {"README.md": b"start here\n", "notebooks/a.ipynb": b"{}\n"}


def test_a_branch_holds_the_kit_and_nothing_of_the_solutions_history(repository):
    commit = write_branch(FILES, repository, "students")
    assert git(repository, "ls-tree", "-r", "--name-only", "students").split() == list(FILES)
    assert git(repository, "rev-list", "students").split() == [commit]
    assert git(repository, "status", "--porcelain") == "M solution.md"  # as it was
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_branch_grows_by_one_commit_where_the_kit_changed_and_by_none_where_not(repository):
    first = write_branch(FILES, repository, "students")
    assert write_branch(FILES, repository, "students") == first
    second = write_branch({**FILES, "README.md": b"start there\n"}, repository, "students")
    assert git(repository, "rev-list", "students").split() == [second, first]


def test_a_branch_that_holds_something_else_is_refused(repository):
    before = git(repository, "rev-parse", "main")
    with pytest.raises(KitError, match="the branch main holds other commits than student kits"):
        write_branch(FILES, repository, "main")
    assert git(repository, "rev-parse", "main") == before


def test_a_branch_that_is_checked_out_is_refused(repository):
    write_branch(FILES, repository, "students")
    git(repository, "stash", "--quiet")
    git(repository, "checkout", "--quiet", "students")
    with pytest.raises(KitError, match="is checked out"):
        write_branch({"README.md": b"new\n"}, repository, "students")


def test_a_branch_needs_a_repository_and_a_possible_name(tmp_path, repository):
    with pytest.raises(KitError, match="is in no git repository"):
        write_branch(FILES, tmp_path, "students")
    with pytest.raises(KitError, match="check-ref-format"):
        write_branch(FILES, repository, "a..b")


@pytest.mark.parametrize("argv", [[], ["kit", "--branch", "students"]])
def test_exactly_one_target_is_asked_for(capsys, argv):
    assert cli.main(["student-kit", *argv]) == 2
    assert "name either a folder or a .zip file to write, or a branch" in capsys.readouterr().err


@pytest.mark.parametrize("name", assignments(ROOT))
def test_the_install_cell_fetches_the_kit_and_not_the_repository(name):
    notebook = json.loads((ROOT / "exercises" / name / f"{name}.ipynb").read_text(encoding="utf-8"))
    (cell,) = [c for c in notebook["cells"] if c["metadata"].get("nbgrader", {}).get("grade_id") == "install"]
    source = "".join(cell["source"])
    kit = f"{address.pages_of(address.REPOSITORY)}student-kit.zip#subdirectory=package"
    assert f'%pip install --quiet "casestudies @ {kit}"' in source
    assert "git+" not in source and address.REPOSITORY not in source


@pytest.mark.slow
def test_pip_installs_the_package_from_the_published_kit(kit, tmp_path, install_from):
    write_zip(kit, tmp_path / "student-kit.zip")
    site = install_from(tmp_path / "student-kit.zip")
    assert (site / "casestudies" / "checks" / "resnet.py").is_file()
    assert not (site / "casestudies" / "grading").exists()


def test_the_published_book_carries_the_kit():
    workflow = (ROOT / ".github" / "workflows" / "pages.yml").read_text(encoding="utf-8")
    assert "casestudies student-kit _build/html/student-kit.zip" in workflow
    assert workflow.index("student-kit.zip") < workflow.index("upload-pages-artifact")


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(line.split("==")[0]): line for line in lines if line and line[0] != "#"}


def needed(names: list[str], pinned: set[str]) -> set[str]:
    """What the named packages need, and what that needs: as they say, on every Python we support."""
    todo, seen = [Requirement(name) for name in names], set()
    while todo:
        wanted = todo.pop()
        key = canonicalize_name(wanted.name), frozenset(wanted.extras)
        if key in seen or key[0] not in pinned:
            continue
        seen.add(key)
        for text in distribution(wanted.name).requires or []:
            other = Requirement(text)
            for minor, extra in product((11, 12, 13), ("", *wanted.extras)):
                python = f"3.{minor}"
                where = {"python_version": python, "python_full_version": f"{python}.9", "extra": extra}
                if other.marker is None or other.marker.evaluate(where):
                    todo.append(other)
    return {name for name, _ in seen}


def test_students_install_what_the_package_and_jupyterlab_need_and_nothing_else():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole, students = pins("requirements.txt"), pins("requirements-students.txt")
    assert students.items() <= whole.items()
    assert set(students) == needed([*project["dependencies"], "jupyterlab"], set(whole))
    assert not {"nbgrader", "pytest", "playwright", "jupyter-book", "ruff"} & set(students)


@pytest.mark.parametrize("name", ["kit.tar", "kit.tar.gz", "kit.7z"])
def test_a_kit_named_like_another_archive_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        KitError, match=f"{name} is named like an archive that is not written; end it in .zip"
    ):
        write_folder({"README.md": b""}, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_links_that_lead_nowhere_are_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(address, "REPOSITORY", "https://github.com/ada/casestudies")
    assert not address.problem()
    monkeypatch.setattr(address, "REPOSITORY", "https://github.com/YOUR_ORGANISATION/casestudies")
    said = address.problem()
    assert "casestudies/address.py" in said
    monkeypatch.undo()
    monkeypatch.setattr(address, "problem", lambda: said)
    assert cli.main(["student-kit", str(tmp_path / "kit.zip")]) == 0
    assert said in capsys.readouterr().err and (tmp_path / "kit.zip").is_file()
