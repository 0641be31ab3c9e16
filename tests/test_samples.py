"""The sample class, graded by nbgrader's own commands: what each must score, and which mistake must be named."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from casestudies import cli
from casestudies.grading.errors import CourseError
from casestudies.grading.sample_class import build_class, class_table, describe_sample
from casestudies.grading.verdicts import Verdict

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("sample class")  # graded once, whoever runs these tests

# Points of the five checks: basic_block 4, bottleneck 4, residual_stage 2, cifar_resnet 4, repaired_block 3.
# A range where a mistake earns part of the points; the states of what is not passed; the mistakes named, by part.
CLASS = {
    "correct-attributes": (17, {}, {}),
    "correct-functional": (17, {}, {}),
    "noisy": (17, {}, {}),  # warnings on stderr cost nothing; a text and a nan as last line earn nothing
    "rearranged": (17, {}, {}),  # renamed notebook, a check deleted, another doubled
    "half-done": (8, dict.fromkeys(["residual_stage", "cifar_resnet", "repaired_block"], "missing"), {}),
    "untouched": (
        0,
        dict.fromkeys(
            ["basic_block", "bottleneck", "residual_stage", "cifar_resnet", "repaired_block"], "missing"
        ),
        {},
    ),
    "raises": (7, dict.fromkeys(["basic_block", "residual_stage", "cifar_resnet"], "crashed"), {}),
    "infinite-loop": (13, {"bottleneck": "timed out"}, {}),
    "relu-before-addition": (
        (7, 14),
        dict.fromkeys(["basic_block", "residual_stage", "cifar_resnet"], "partial"),
        dict.fromkeys(["basic_block", "residual_stage", "cifar_resnet"], "relu_before_addition"),
    ),
    "no-batch-norm-on-shortcut": (
        (13, 16),
        {"bottleneck": "partial"},
        {"bottleneck": "shortcut_without_batch_norm"},
    ),
    "stride-in-every-block": (
        (11, 16),
        {"residual_stage": "partial", "cifar_resnet": "partial"},
        {"residual_stage": "stride_in_every_block", "cifar_resnet": "stride_everywhere"},
    ),
    "softmax-in-the-model": ((13, 16), {"cifar_resnet": "partial"}, {"cifar_resnet": "softmax_inside"}),
    "stride-on-the-first-1x1": (
        (10, 16),
        {"bottleneck": "partial", "repaired_block": "partial"},
        {"bottleneck": "stride_on_first", "repaired_block": "shortcut_without_batch_norm"},
    ),
}


def nbgrader(course: Path, *words: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"CASESTUDIES_COURSE": str(course)}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    command = [sys.executable, "-m", "nbgrader", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="session")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("course")
    build_class(ROOT, folder, "resnet")
    for words in (
        ("generate_assignment", "resnet", "--create"),
        ("autograde", "resnet", "--ProtectedExecute.check_seconds=8"),
        ("generate_feedback", "resnet"),
        ("export", "--to", str(folder / "grades.csv")),
    ):
        done = nbgrader(folder, *words)
        assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="session")
def verdicts(course: Path) -> dict[str, dict[str, Verdict]]:
    found = {}
    for student in CLASS:
        notebook = nbformat.read(course / "autograded" / student / "resnet" / "resnet.ipynb", as_version=4)
        each = [Verdict.from_dict(verdict) for verdict in notebook.metadata["casestudies"]["verdicts"]]
        found[student] = {verdict.cell.removeprefix("check_"): verdict for verdict in each}
    return found


@pytest.mark.parametrize("student", CLASS)
def test_score(course: Path, student: str) -> None:
    from nbgrader.api import Gradebook

    expected = CLASS[student][0]
    low, high = expected if isinstance(expected, tuple) else (expected, expected)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        submission = gradebook.find_submission("resnet", student)
        score = sum(grade.auto_score or 0 for nb in submission.notebooks for grade in nb.grades)
    assert low <= score <= high


@pytest.mark.parametrize("student", CLASS)
def test_states(verdicts: dict[str, dict[str, Verdict]], student: str) -> None:
    assert {part: v.state for part, v in verdicts[student].items() if v.state != "passed"} == CLASS[student][
        1
    ]


@pytest.mark.parametrize("student", CLASS)
def test_mistakes_named(verdicts: dict[str, dict[str, Verdict]], student: str) -> None:
    named = {part: v.mistakes for part, v in verdicts[student].items() if v.mistakes}
    assert {part: mistakes[0] for part, mistakes in named.items()} == CLASS[student][2]


@pytest.mark.parametrize("student", CLASS)
def test_feedback_shows_no_hidden_test(course: Path, student: str) -> None:
    page = (course / "feedback" / student / "resnet" / "resnet.html").read_text(encoding="utf-8")
    assert "HIDDEN TESTS" not in page and "hidden=True" not in page


def test_feedback_names_the_mistake(course: Path) -> None:
    page = (course / "feedback" / "relu-before-addition" / "resnet" / "resnet.html").read_text(
        encoding="utf-8"
    )
    assert "ReLU is applied to F(x) before the input is added" in page


def test_export_has_every_student(course: Path) -> None:
    rows = (course / "grades.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(student for student in CLASS if any(student in row for row in rows)) == sorted(CLASS)


def test_written_answers_wait_for_a_human(course: Path) -> None:
    from nbgrader.api import Gradebook

    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        waiting = {s.student.id for s in gradebook.assignment_submissions("resnet") if s.needs_manual_grade}
    assert "correct-attributes" in waiting and "untouched" not in waiting


@pytest.mark.parametrize("place", ["autograded/{}/resnet/resnet.ipynb", "feedback/{}/resnet/resnet.html"])
def test_rubric_stands_below_a_written_answer(course: Path, place: str) -> None:
    """For whoever grades it in the formgrader, and for the student afterwards."""
    text = (course / place.format("correct-attributes")).read_text(encoding="utf-8")
    assert text.count("a solution exists by construction") == 1


def test_table_shows_every_student(course: Path) -> None:
    table = class_table(course, "resnet")
    assert [student for student in CLASS if student not in table] == []


def test_every_sample_is_described_and_expected() -> None:
    samples = {path.stem: describe_sample(path) for path in (ROOT / "samples" / "resnet").glob("*.py")}
    assert samples.keys() == CLASS.keys() and all(len(text) > 20 for text in samples.values())


def _validates(tmp_path: Path, notebook: Path) -> bool:
    target = tmp_path / "resnet.ipynb"
    shutil.copy(notebook, target)
    done = nbgrader(tmp_path, "validate", str(target))
    assert done.returncode == 0, done.stderr[-2000:]
    return "Success! Your notebook passes all the tests." in done.stdout


def test_validate_fails_on_the_release(tmp_path: Path) -> None:
    assert not _validates(tmp_path, ROOT / "exercises" / "resnet" / "resnet.ipynb")


def test_validate_passes_on_a_right_submission(tmp_path: Path) -> None:
    """`nbgrader validate` on what a student hands in, written answer included."""
    build_class(ROOT, tmp_path, "resnet")
    submitted = tmp_path / "submitted" / "correct-attributes" / "resnet" / "resnet.ipynb"
    assert _validates(tmp_path, submitted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            '"""A."""\n\n# %% gone\nx = 1\n',
            "samples/lenet/b.py changes the cell gone, which the source does not have",
        ),
        ('"""A."""\n\n# %% - gone\n', "samples/lenet/b.py changes the cell gone"),
        ('"""A."""\n\n# %% a-b\n', "samples/lenet/b.py has the mark '# %% a-b' in line 3"),
    ],
)
def test_sample_that_cannot_be_built_is_said_and_none_is_written(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "exercises").symlink_to(ROOT / "exercises")
    folder = tmp_path / "samples" / "lenet"
    folder.mkdir(parents=True)
    (folder / "a.py").write_text('"""Nothing is written."""\n')
    (folder / "b.py").write_text(text)
    with pytest.raises(CourseError) as raised:
        build_class(tmp_path, tmp_path, "lenet")
    assert str(raised.value).startswith(says) and not (tmp_path / "submitted").exists()


def test_submissions_that_no_sample_makes_are_named(tmp_path: Path, capsys) -> None:
    (tmp_path / "submitted" / "of-before" / "resnet").mkdir(parents=True)
    (tmp_path / "submitted" / "of-another" / "vgg").mkdir(parents=True)
    assert cli.main(["sample-class", "resnet", "--course", str(tmp_path)]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told == [
        f"{len(CLASS)} submissions in {tmp_path / 'submitted'}",
        "and of students that no sample makes (any more): of-before",
    ]
