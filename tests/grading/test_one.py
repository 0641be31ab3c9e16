"""One notebook: what is judged where, what its result says, and that nothing hidden is in it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
import yaml

from casestudies import address, cli, language
from casestudies.checking import parts
from casestudies.checking.report import Report
from casestudies.grading import one
from casestudies.grading.errors import FAILED, CourseError
from casestudies.grading.notebooks import fill, notebook_text
from casestudies.grading.one import (
    ALL,
    VISIBLE,
    ByHand,
    PartResult,
    Place,
    Result,
    as_gradescope,
    as_summary,
    as_text,
    assignment_of,
    grade_one,
    limits_of,
    part_result,
    place_of,
    which,
    workflow,
)
from casestudies.grading.sandbox import Limits
from casestudies.grading.student_kit import kit_files
from casestudies.grading.verdicts import Verdict

from .conftest import RIGHT, ROOT

HANGUL = re.compile("[가-힣]")
SCHEMAS = Path(__file__).parent / "schemas"
GRADESCOPE = json.loads((SCHEMAS / "gradescope.json").read_text())
HIDDEN = ("4321", "8642", "HIDDEN", "secret_number", "hidden=True")  # of the small assignment
WRONG = RIGHT | {"double": "def double(x):\n    return 4\n"}  # what the visible test asks for, and no more


@pytest.fixture
def course(root: Path, tmp_path: Path) -> Path:
    """A course of the small assignment, with a submission that only the hidden test refuses."""
    shutil.copytree(root, tmp_path / "course")
    return tmp_path / "course"


def hand_in(released, answers: dict[str, str], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(notebook_text(fill(released, answers)))
    return path


@pytest.fixture
def elsewhere(course: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that carries the small assignment as it was released, outside of any course."""
    monkeypatch.setattr(one, "materials", lambda: course)


LIMITS = "\nc.ProtectedExecute.cell_seconds = 7.5\nc.ProtectedExecute.processes = 5\n"


def test_the_limits_are_those_of_the_course_that_the_command_was_started_in(course, monkeypatch) -> None:
    with open(course / "nbgrader_config.py", "a") as file:
        file.write(LIMITS)
    monkeypatch.chdir(course)
    monkeypatch.delenv("CASESTUDIES_COURSE", raising=False)
    limits, said = limits_of(Place(course, course))
    assert (limits.cell_seconds, limits.processes, said) == (7.5, 5, [])


def test_a_configuration_that_came_with_a_notebook_is_not_run(course, tmp_path, monkeypatch) -> None:
    with open(course / "nbgrader_config.py", "a") as file:
        file.write("\nraise SystemExit('run')\n")
    monkeypatch.chdir(tmp_path)
    limits, said = limits_of(Place(course, course))
    assert limits == Limits() and "nbgrader_config.py is read only by commands that are started" in said[0]


@pytest.mark.sandbox
def test_outside_of_a_course_only_the_visible_checks_count(course, released, tmp_path, elsewhere):
    result = grade_one(hand_in(released, WRONG, tmp_path / "work" / "my-small.ipynb"))
    assert (result.assignment, result.checks) == ("small", VISIBLE)
    assert result.points == result.possible == 10
    assert result.by_hand == [ByHand("why", 3.0)]
    for text in (json.dumps(result.to_dict()), json.dumps(as_gradescope(result)), as_summary(result)):
        assert not [word for word in HIDDEN if word in text]


@pytest.mark.sandbox
def test_in_the_course_the_hidden_checks_count_and_stay_hidden(course, released):
    path = hand_in(released, WRONG, course / "submitted" / "ada" / "small" / "small.ipynb")
    before = sorted(course.rglob("*"))
    result = grade_one(path)
    assert result.checks == ALL and result.points == 8 and result.possible == 10
    for text in (json.dumps(result.to_dict()), json.dumps(as_gradescope(result)), as_summary(result)):
        assert not [word for word in HIDDEN if word in text]
    assert grade_one(path, visible_only=True).points == 10
    assert sorted(course.rglob("*")) == before  # no gradebook, no secret, nothing


def test_a_notebook_stands_in_a_course_where_a_folder_above_it_is_one(course, tmp_path, monkeypatch):
    inside = course / "submitted" / "ada" / "small" / "small.ipynb"
    assert place_of(inside) == Place(course, course)
    assert place_of(tmp_path / "elsewhere" / "small.ipynb") == Place()
    (tmp_path / "grades").mkdir()
    monkeypatch.setenv("CASESTUDIES_COURSE", str(tmp_path / "grades"))
    assert place_of(tmp_path / "elsewhere" / "small.ipynb") == Place()
    monkeypatch.chdir(course)
    there = tmp_path / "grades" / "submitted" / "ada" / "small" / "small.ipynb"
    assert place_of(there) == Place(course, tmp_path / "grades")


def test_the_instructors_cells_have_hidden_tests_only_where_they_count(course):
    known = {"small": course / "exercises" / "small" / "small.ipynb"}
    place = Place(course, course)
    visible = assignment_of("small", place, known, hidden=False)
    whole = assignment_of("small", place, known, hidden=True)
    assert not any("HIDDEN" in cell.source for cell in visible.cells)
    assert [cell.id for cell in whole.cells if "HIDDEN" in cell.source] == [
        "check_basic_block",
        "check_double",
    ]
    solution = next(cell for cell in whole.cells if cell.id == "double")
    assert "2 * x" not in solution.source  # what replaces a deleted answer is the stub
    assert [c.checksum for c in visible.cells if c.solution] == [
        c.checksum for c in whole.cells if c.solution
    ]


def test_an_assignment_is_told_by_its_cells_and_else_by_its_name(released):
    known = {path.stem: path for path in ROOT.glob("exercises/*/*.ipynb")}
    for name in known:
        assert which(known[name].read_bytes(), "untitled", known) == name
    assert which(b"no notebook", "resnet", known) == "resnet"
    with pytest.raises(CourseError, match="'untitled' cannot be told .* --assignment"):
        which(b'{"cells": [5]}', "untitled", known)


REPORT = Report(part="a/b", possible=4, seed=1, title="The block", state="partial", points=1.0)
REPORT.recognised = [{"id": "slip", "text": "A slip.", "see": "a.html#b"}]


def verdict(*hidden: bool, **changes) -> Verdict:
    reports = [
        {**REPORT.to_dict(), "summary": "SECRET" if each else "seen", "hidden": each} for each in hidden
    ]
    return Verdict("check_b", 4.0, **{"state": "partial", "points": 1.0, "reports": reports} | changes)


def test_of_a_hidden_report_only_points_state_and_names_remain():
    found = part_result(verdict(True))
    assert (found.title, found.state, found.points, found.possible) == ("The block", "partial", 1.0, 4.0)
    assert found.mistakes == [{"id": "slip", "text": "A slip.", "see": "a.html#b"}] and found.text == ""


def test_of_two_reports_the_visible_one_is_shown() -> None:
    both = verdict(False, True)
    for each in both.reports:
        each["recognised"] = []
    text = part_result(both).text
    assert "seen" in text and "SECRET" not in text


def result(*parts: PartResult, **changes) -> Result:
    values = {
        "assignment": "small",
        "notebook": "small.ipynb",
        "checks": VISIBLE,
        "protection": "sandbox",
        "parts": list(parts),
        "by_hand": [ByHand("why", 3.0)],
        "notes": [],
        "seconds": 2.5,
    }
    return Result(**values | changes)


RIGHT_PART = PartResult("check_a", "A", "passed", 8.0, 8.0, [], "a: Right.")
WRONG_PART = PartResult(
    "check_b", "B", "partial", 1.0, 4.0, [{"id": "slip", "text": "", "see": ""}], "b: no."
)
OPEN_PART = PartResult("check_c", "C", "ungradable", None, 4.0, [], "")
RESULTS = {
    "right": result(RIGHT_PART),
    "wrong": result(RIGHT_PART, WRONG_PART),
    "open": result(OPEN_PART, notes=["a note"], protection="none"),
    "nothing": result(by_hand=[]),
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_document_for_gradescope_keeps_its_schema(name: str) -> None:
    document = json.loads(json.dumps(as_gradescope(RESULTS[name])))
    jsonschema.Draft202012Validator.check_schema(GRADESCOPE)
    jsonschema.validate(document, GRADESCOPE)
    assert document["score"] == sum(test["score"] for test in document["tests"])
    assert all(test["visibility"] == "visible" for test in document["tests"])


@pytest.mark.parametrize(
    "change", [{"tests": "none"}, {"points": 3}, {"visibility": "nobody"}, {"score": "8"}]
)
def test_the_schema_refuses_what_gradescope_would_not_read(change: dict) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(as_gradescope(RESULTS["wrong"]) | change, GRADESCOPE)


def test_a_part_without_a_verdict_says_that_a_human_decides() -> None:
    assert "a human has to decide" in as_gradescope(RESULTS["open"])["tests"][0]["output"]
    assert as_gradescope(RESULTS["open"])["extra_data"]["needs_human"]
    assert "a human decides" in as_summary(RESULTS["open"]) and "a human decides" in as_text(RESULTS["open"])
    assert "WITHOUT A SANDBOX" in as_summary(RESULTS["open"]) and "WITHOUT A SANDBOX" in as_text(
        RESULTS["open"]
    )


ENGLISH_WORDS = re.compile(r"[A-Za-z]{2,}")


@pytest.mark.parametrize("name", RESULTS)
def test_all_that_people_read_of_a_korean_result_is_korean(name: str) -> None:
    """But for ids and what the result itself holds, which is Korean already."""
    found = replace(RESULTS[name], language="ko", notes=[])
    document = as_gradescope(found)
    read = [as_text(found), as_summary(found), document["output"]]
    read += [
        test["output"].replace(part.text, "")
        for test, part in zip(document["tests"], found.parts, strict=True)
    ]
    for text in read:
        for part in found.parts:
            text = text.replace(html.escape(part.text) or "\0", "").replace(part.text or "\0", "")
        text = re.sub(r"</?\w+>|bubblewrap|small|why|slip", "", text)
        assert not ENGLISH_WORDS.findall(text), text
    assert document["tests"] == [] or document["tests"][0]["status"] in ("passed", "failed")  # what it reads


def test_a_verdict_is_said_in_the_language_of_its_course_and_its_ids_are_not() -> None:
    report = Report(
        part="resnet/basic_block", possible=4, seed=1, title="Basic block", state="partial", points=1.0
    )
    title, text = next(
        (part.title, mistake.text) for part in parts.parts().values() for mistake in part.mistakes
    )
    report.title, report.recognised = title, [{"id": "slip", "text": text, "see": "a.html#b"}]
    reports = [{**report.to_dict(), "hidden": True}]
    asked = Verdict("check_b", 4.0, state="partial", points=1.0, reports=reports, message=FAILED)
    with language.speaking("ko"):
        korean = part_result(asked)
    english = part_result(asked)
    assert (korean.cell, korean.state, korean.mistakes[0]["id"]) == ("check_b", "partial", "slip")
    for said, plain in (
        (korean.title, english.title),
        (korean.text, english.text),
        (korean.mistakes[0]["text"], english.mistakes[0]["text"]),
    ):
        assert HANGUL.search(said) and not HANGUL.search(plain)


@pytest.mark.parametrize(
    ("said", "terminal", "spoken"), [("ko", "en", "ko"), ("en", "ko", "en"), (None, "ko", "ko")]
)
def test_the_language_of_a_result_is_its_courses_else_that_of_the_terminal(
    course: Path, monkeypatch: pytest.MonkeyPatch, said: str | None, terminal: str, spoken: str
) -> None:
    monkeypatch.setenv(language.VARIABLE, terminal)
    config = course / "nbgrader_config.py"
    config.write_text(config.read_text().replace("language=None", f"language={said!r}"))
    assert one.language_of(Place(course, course)) == spoken
    assert one.language_of(Place()) == terminal


def test_a_course_in_a_language_that_nobody_has_is_one_sentence(course: Path) -> None:
    config = course / "nbgrader_config.py"
    config.write_text(config.read_text().replace("language=None", "language='tlh'"))
    with pytest.raises(CourseError, match="language is 'tlh', which has no catalogue; choose one of en, ko"):
        one.language_of(Place(course, course))


def test_no_text_of_a_student_is_markup_in_a_summary() -> None:
    from markdown_it import MarkdownIt

    nasty = "</pre><script>alert(1)</script>\n\n# [x](javascript:alert(1)) | ![y](http://z) `a` **b**"
    part = PartResult("check_b", nasty, "partial", 1.0, 4.0, [{"id": nasty, "text": "", "see": ""}], nasty)
    page = (
        MarkdownIt("commonmark", {"html": True})
        .enable("table")
        .render(as_summary(result(part, notes=[nasty])))
    )
    assert "<script" not in page and "<a " not in page and "<img" not in page
    assert page.count("<h") == 1 and "<strong>" not in page and "<code>" not in page
    assert page.count("<pre>") == 1 and page.count("</pre>") == 1


def test_the_workflow_keeps_its_schema_and_fetches_the_grader_kit() -> None:
    document = yaml.safe_load(workflow("work/resnet.ipynb"))
    document["on"] = document.pop(True)
    schema = json.loads((SCHEMAS / "workflow.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(document, schema)
    runs = [step.get("run", "") for step in document["jobs"]["grade"]["steps"]]
    assert any("grader-kit.zip#subdirectory=package" in line for line in runs)
    assert any(line.startswith("casestudies grade-one work/resnet.ipynb --json") for line in runs)
    pinned = next(line for line in runs if line.startswith("pip install torch"))
    assert re.match(r"pip install torch==\d+(\.\d+)+ --index-url", pinned)
    assert "grader-kit.zip --with-grader" in (ROOT / ".github/workflows/pages.yml").read_text()


def test_a_workflow_whose_kit_is_nobodys_says_so(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(address, "REPOSITORY", "https://github.com/YOUR_ORGANISATION/casestudies")
    assert cli.main(["grade-one", "resnet.ipynb", "--workflow"]) == 0
    told = capsys.readouterr()
    assert told.out == workflow("resnet.ipynb")
    assert (
        "the grader kit's address in this workflow leads to https://your_organisation.github.io/" in told.err
    )
    monkeypatch.setattr(address, "REPOSITORY", "https://github.com/ada/casestudies")
    assert cli.main(["grade-one", "resnet.ipynb", "--workflow"]) == 0
    told = capsys.readouterr()
    assert "@ https://ada.github.io/casestudies/grader-kit.zip#" in told.out and not told.err


@pytest.mark.parametrize(
    "name", ["a b.ipynb", "$(id).ipynb", "../x.ipynb", "-x.ipynb", "resnet.py", "/x.ipynb", "é.ipynb"]
)
def test_a_workflow_takes_no_name_that_a_shell_would_read(name: str, capsys) -> None:
    with pytest.raises(CourseError, match="expected its path in the classroom repository"):
        workflow(name)


@pytest.mark.parametrize("option", ["--gradescope", "--summary"])
@pytest.mark.parametrize("place", ["missing/results.json", "."])
def test_a_file_that_cannot_be_written_is_refused_before_anything_is_graded(
    option: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(one, "grade_one", lambda *given: pytest.fail("graded"))
    assert cli.main(["grade-one", str(tmp_path / "x.ipynb"), option, str(tmp_path / place)]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"casestudies grade-one: {option} {tmp_path}")
    assert "make it" in said or "is a folder" in said


def test_the_grader_kit_has_the_grader_and_nothing_hidden() -> None:
    kit = kit_files(ROOT, with_grader=True)
    assert "package/casestudies/grading/one.py" in kit and "package/casestudies/released/resnet.ipynb" in kit
    assert not [path for path in kit if path.startswith(("package/casestudies/materials", "package/samples"))]
    assert not [path for path in kit if "scaffold" in path or path.endswith(".md") and "solutions" in path]
    students = {path: data for path, data in kit_files(ROOT).items() if path != "requirements.txt"}
    assert students.items() <= kit.items()
    assert kit["requirements.txt"] == (ROOT / "requirements.txt").read_bytes()  # a grader needs more


@pytest.mark.slow
@pytest.mark.sandbox
def test_the_grader_kit_alone_judges_by_the_visible_checks(tmp_path, install_from, capfd) -> None:
    """Installed as the workflow does, apart from the dependencies."""
    from casestudies.grading.student_kit import write_zip

    write_zip(kit_files(ROOT, with_grader=True), tmp_path / "grader-kit.zip")
    site = install_from(tmp_path / "grader-kit.zip")
    (tmp_path / "work").mkdir()
    shutil.copyfile(ROOT / "exercises/lenet/lenet.ipynb", tmp_path / "work/lenet.ipynb")
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-m", "casestudies", "grade-one", "lenet.ipynb", "--json", "--strict"]
    done = subprocess.run(command, cwd=tmp_path / "work", env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr  # nothing is written yet
    found = json.loads(done.stdout)
    assert (found["assignment"], found["checks"], found["points"]) == ("lenet", VISIBLE, 0)
    assert {part["state"] for part in found["parts"]} == {"missing"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.ipynb"], "nowhere.ipynb is no file"),
        (["empty.ipynb", "--assignment", "resnett"], "there is no assignment 'resnett'; known: alexnet"),
        (["empty.ipynb"], "'empty' cannot be told to be one of alexnet"),
    ],
)
def test_bad_input_is_one_sentence(arguments, says, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.ipynb").write_text("")
    assert cli.main(["grade-one", *arguments]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
