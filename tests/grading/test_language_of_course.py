"""A course has one language on its students' pages, whatever language the instructor's terminal has."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from casestudies import language
from casestudies.grading import reports
from casestudies.grading.course import Course, grade_class
from casestudies.grading.notebooks import build_sources, fill, language_of

from .conftest import RIGHT

HANGUL = re.compile("[가-힣]")
ANSWERS = {
    "wrong": {**RIGHT, "double": "def double(x):\n    return 1j\n"},
    "missing": {"basic_block": "x = 1\n"},
}
# The last three are on the page of whoever left a cell out.
LABELS = (
    "Student's answer",
    "Grade cell",
    "Score:",
    "(Top)",
    "the cell that defines it",
    "No response",
    "Comments:",
)


RUBRIC, KOREAN_RUBRIC = "Because the identity is easy to learn.", "항등 함수는 배우기 쉽기 때문입니다."


def graded(root: Path, released, folder: Path, code: str | None) -> tuple[dict[str, str], dict[str, str]]:
    """What is stored of each student, and each student's page."""
    clone = folder / "clone"
    shutil.copytree(root, clone)
    config = clone / "nbgrader_config.py"
    config.write_text(config.read_text().replace("language=None", f"language={code!r}"))
    catalogue = clone / "locale" / "ko" / "assignments" / "small.po"
    catalogue.parent.mkdir(parents=True, exist_ok=True)
    catalogue.write_text(f'msgid "{RUBRIC}"\nmsgstr "{KOREAN_RUBRIC}"\n')
    for student, answers in ANSWERS.items():
        target = folder / "submitted" / student / "small"
        target.mkdir(parents=True)
        (target / "small.ipynb").write_text(json.dumps(fill(released, answers)))
    course = Course.open(clone, folder)
    assert [row.error for row in grade_class(course, "small", jobs=1)] == ["", ""]
    reports.write_feedback(course, "small")
    stored = {each: (folder / "autograded" / each / "small" / "small.ipynb").read_text() for each in ANSWERS}
    pages = {each: (folder / "feedback" / each / "small" / "small.html").read_text() for each in ANSWERS}
    return stored, pages


@pytest.mark.parametrize(
    ("said", "terminal"), [("en", "en"), ("en", "ko"), ("ko", "en"), ("ko", "ko"), (None, "en"), (None, "ko")]
)
def test_the_course_decides_on_the_pages_and_what_is_stored_is_english(
    root, released, tmp_path, monkeypatch, said: str | None, terminal: str
) -> None:
    monkeypatch.setenv(language.VARIABLE, terminal)
    stored, pages = graded(root, released, tmp_path, said)
    code = said or terminal
    assert language.language() == terminal  # the course's language does not stay in this process
    for text in stored.values():
        assert RUBRIC in text and KOREAN_RUBRIC not in text
        outputs = [cell.get("outputs", []) for cell in json.loads(text)["cells"]]
        assert not HANGUL.search(json.dumps(outputs, ensure_ascii=False)), "Korean is stored"
    for page in pages.values():
        assert f'<html lang="{code}">' in page
        assert bool(HANGUL.search(page)) == (code == "ko")
        assert (RUBRIC in page, KOREAN_RUBRIC in page) == (code == "en", code == "ko")
        shown = {word for word in LABELS if word in page.replace("&#39;", "'")}
        assert not shown if code == "ko" else shown >= set(LABELS[:4])
    if code == "en":  # so that each of these words was there to be translated
        assert all(word in pages["missing"] for word in LABELS)


def test_a_course_releases_in_its_language_whatever_another_one_builds_meanwhile(
    root, tmp_path, monkeypatch
) -> None:
    monkeypatch.setenv(language.VARIABLE, "ko")
    (tmp_path / "course").mkdir()
    shutil.copytree(root, tmp_path / "clone")
    course = Course.open(tmp_path / "clone", tmp_path / "course")
    build_sources(tmp_path / "clone", code="en")  # of the other course
    course.assignment("small")
    assert language_of((course.step("release") / "small" / "small.ipynb").read_text()) == "ko"


def test_nbgrader_generates_from_a_source_of_its_own(root: Path, tmp_path: Path) -> None:
    """Another course that shares the clone may build a source in its language, between two steps of nbgrader's."""
    from nbgrader.converters import GenerateAssignment
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    from casestudies.grading.configuration import configure

    clone, folder = tmp_path / "clone", tmp_path / "course"
    shutil.copytree(root, clone)
    folder.mkdir()
    config = Config()
    configure(config, clone, folder)
    config.CourseDirectory.assignment_id = "small"
    converter = GenerateAssignment(coursedir=CourseDirectory(config=config), config=config)
    build_sources(clone, code="ko")
    converter.start()
    assert language_of((folder / "release" / "small" / "small.ipynb").read_text()) == "en"
    assert language_of((clone / "solutions" / "small" / "small.ipynb").read_text()) == "ko"
