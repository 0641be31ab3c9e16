"""Assignments in Korean: the English source's notebooks, whose prose alone differs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import catalogues
import gate
import nbformat
import polib
import pytest

from casestudies import language
from casestudies.cli import main
from casestudies.grading import editions, materials, student_kit
from casestudies.grading.cells import Assignment
from casestudies.grading.course import Course
from casestudies.grading.demands import Draft
from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.intake import read_notebook, rebuild
from casestudies.grading.notebooks import (
    SourceError,
    build_source,
    build_sources,
    fill,
    language_of,
    messages,
    notebook_text,
    release,
    released,
    rubric_messages,
)
from casestudies.grading.records import with_plain
from casestudies.grading.sandbox import Sandbox

from .conftest import RIGHT, ROOT, SOURCE

NAMES = sorted(path.stem for path in (ROOT / "solutions").glob("*.md"))


def pseudo(text: str) -> str:
    """Each word in Hangul, as a translation would have it; formulas, code and links stay."""
    kept = re.compile(r"(`[^`]*`|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|\{\{[^}]*\}\})")
    return "".join(
        part if place % 2 else re.sub(r"[A-Za-z]+", "가나", part)
        for place, part in enumerate(kept.split(text))
    )


def translate(root: Path, name: str, said: dict[str, str] | None = None) -> None:
    """Write a Korean catalogue for an assignment of `root`: complete, unless `said` is all that it has."""
    file = catalogues.empty("")
    source = root / "solutions" / f"{name}.md"
    for english in (one.text for one in messages(source)):
        korean = pseudo(english) if said is None else said.get(english, "")
        file.append(polib.POEntry(msgid=english, msgstr=korean))
    path = editions.catalogue_of(source, "ko")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(file), encoding="utf-8")


@pytest.fixture(scope="module")
def korean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone in which all assignments are translated."""
    root = tmp_path_factory.mktemp("korean")
    shutil.copy(ROOT / "nbgrader_config.py", root)
    shutil.copytree(
        ROOT / "solutions", root / "solutions", ignore=lambda d, n: [x for x in n if "." not in x]
    )
    for name in NAMES:
        translate(root, name)
    return root


def without_prose(notebook: nbformat.NotebookNode) -> str:
    """A notebook as text, its Markdown left out, and of its code the comments and docstrings."""
    bare = json.loads(nbformat.writes(notebook))
    bare["metadata"].pop("natural_language", None)
    for cell in bare["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        cell["source"] = editions.code_alone(source) if cell["cell_type"] == "code" else ""
        cell["metadata"].get("nbgrader", {}).pop("checksum", None)  # of the text that students get
    return json.dumps(bare, indent=1, sort_keys=True)


@pytest.mark.parametrize("name", NAMES)
def test_only_prose_differs_from_the_english_notebook(name: str, korean: Path) -> None:
    source = korean / "solutions" / f"{name}.md"
    english, other = build_source(source), build_source(source, "ko")
    assert without_prose(english) == without_prose(other)
    assert english.cells != other.cells
    for one, two in zip(english.cells, other.cells, strict=True):
        if one.cell_type == "markdown":
            assert formulas(one.source) == formulas(two.source)
        header = one.metadata.get("nbgrader", {})
        if header.get("grade") and not header.get("solution"):
            assert one.source == two.source  # the tests


def formulas(text: str) -> list[str]:
    return sorted(re.findall(r"\$\$.*?\$\$|\$[^$]+\$|`[^`]+`", text, re.DOTALL))


@pytest.mark.parametrize("name", NAMES)
def test_no_english_prose_is_left_where_all_is_translated(name: str, korean: Path) -> None:
    for cell in build_source(korean / "solutions" / f"{name}.md", "ko").cells:
        lines = cell.source.split("\n")
        hidden = editions.secret(lines)
        shown = "\n".join(line for place, line in enumerate(lines) if place not in hidden)
        if cell.cell_type == "code":
            shown = " ".join(piece.text for piece in editions.pieces_of(shown))
        shown = re.sub(r"\$\$.*?\$\$", "", shown, flags=re.DOTALL)
        assert not [word for word in shown.split("\n") if editions.has_words(word)], cell.id


@pytest.mark.parametrize("name", NAMES)
def test_students_get_no_secret_line_in_korean_either(name: str, korean: Path) -> None:
    _, text = released(name, korean, "ko")  # raises LeakError
    assert language_of(text) == "ko" and "BEGIN" not in text


def test_without_a_catalogue_or_a_translation_the_english_stands(tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    path = tmp_path / "solutions" / "small.md"
    path.write_text(SOURCE)
    bare = [cell.source for cell in build_source(path).cells]
    assert [cell.source for cell in build_source(path, "ko").cells] == bare
    translate(tmp_path, "small", {"A small assignment": "작은 과제"})
    found = [cell.source for cell in build_source(path, "ko").cells]
    assert found[0] == "# 작은 과제" and found[1:] == bare[1:]


def test_no_message_holds_what_students_do_not_get() -> None:
    for name in NAMES:
        source = ROOT / "solutions" / f"{name}.md"
        inside = re.findall(
            r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source.read_text("utf-8"), re.DOTALL
        )
        secret = " ".join(" ".join(inside).split())
        told = {one.text for one in messages(source)}
        assert not [text for text in told if len(text) > 30 and text in secret]


# A small assignment says in English what nobody has translated yet: see "Write your own assignment".
WITH_RUBRICS = [
    name
    for name in NAMES
    if not Draft(ROOT, name).small and rubric_messages(ROOT / "solutions" / f"{name}.md")
]


@pytest.mark.parametrize("name", WITH_RUBRICS)
def test_a_rubric_is_said_in_korean_to_its_last_item(name: str) -> None:
    source = ROOT / "solutions" / f"{name}.md"
    for cell in build_source(source).cells:
        found = editions.MODEL_ANSWER.search(cell.source) if cell.cell_type == "markdown" else None
        if found is None:
            continue
        shown = editions.rubric(found[1], source, "ko")
        assert shown.count("\n- ") == found[1].count("\n- ") == 3
        items = shown.strip().split("\n- ")
        assert not [item for item in items if not re.search("[가-힣]{2}.*[.)]$", item, re.DOTALL)]
        assert not re.findall(r"[a-z]{2,} [a-z]{2,}", shown)
        assert editions.rubric(found[1], source, "en") == found[1]


def test_links_of_a_korean_notebook_lead_into_the_korean_book(korean: Path) -> None:
    text = notebook_text(build_source(korean / "solutions" / "lenet.md", "ko"))
    assert "/ko/lenet.html" in text and "/ko/student-kit.zip" not in text


def test_a_translation_that_would_change_code_is_refused_and_named(tmp_path: Path) -> None:
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "small.md").write_text(
        '```{code-cell} python\n:nbgrader: {id: f, kind: readonly}\n\ndef f():\n    """It is one."""\n```\n'
    )
    translate(tmp_path, "small", {"It is one.": '하나입니다.""" + input() + """'})
    with pytest.raises(SourceError, match="small.md in 'ko', cell 'f': .* changes the code 'def f"):
        build_source(tmp_path / "solutions" / "small.md", "ko")


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("## 1. The size", "## 1. THE SIZE"),
        ("- one item\n  of two lines\n- next", "- ONE ITEM OF TWO LINES\n- NEXT"),
        ("> quoted words\n> go on", "> QUOTED WORDS GO ON"),
        (
            "| a | long head |\n|---|--:|\n| `code` | some cell |\n| some | some |",
            "| a | LONG HEAD |\n|---|--:|\n| `code` | SOME CELL |\n| SOME | SOME |",
        ),
        (
            "<details><summary>Some hint</summary>\n\nInside\n\n</details>",
            "<details><summary>SOME HINT</summary>\n\nINSIDE\n\n</details>",
        ),
        ("Words before\n$$x = \\text{y}$$\nand behind.", "WORDS BEFORE\n$$x = \\text{y}$$\nAND BEHIND."),
        ("Read:\n\n    first this → then that", "READ:\n\n    FIRST THIS → THEN THAT"),
        ("```\nsome code\n```", "```\nsome code\n```"),
    ],
)
def test_each_block_of_markdown_changes_its_words_and_keeps_its_marks(source: str, told: str) -> None:
    assert editions.rewritten("markdown", source, lambda _, text: text.upper()) == told


def test_a_docstring_of_several_lines_and_a_comment_keep_their_places() -> None:
    code = 'def f(x):\n    """A sum.\n\n    It is\n    long.\n    """\n    # one\n    # two\n    return x  # done\n'
    told = editions.rewritten("code", code, lambda _, text: text.upper())
    assert told == (
        'def f(x):\n    """A SUM.\n\n    IT IS LONG.\n    """\n    # ONE TWO\n    return x  # DONE\n'
    )


# Which language


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "small.md").write_text(SOURCE)
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    translate(tmp_path, "small")
    return tmp_path


def configure(root: Path, value: str, before: str = "None") -> None:
    path = root / "nbgrader_config.py"
    path.write_text(path.read_text().replace(f"language={before}", f"language={value}"))


def test_the_option_goes_before_the_course_and_the_course_before_the_environment(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(language.VARIABLE, raising=False)
    assert editions.wanted(clone) == "en"
    monkeypatch.setenv(language.VARIABLE, "ko")
    assert editions.wanted(clone) == "ko"
    configure(clone, '"en"')
    assert editions.wanted(clone) == "en"
    assert editions.wanted(clone, "ko") == "ko"


@pytest.mark.parametrize(
    ("value", "words"),
    [('"xx"', "language is 'xx', which has no catalogue"), ("LANGUAGE", "language is LANGUAGE; expected")],
)
def test_a_bad_language_of_the_course_is_named(clone: Path, value: str, words: str) -> None:
    configure(clone, value)
    with pytest.raises(ValueError, match=words):
        editions.wanted(clone)


def test_exercises_are_written_in_the_language_asked_for_and_where(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(clone)
    monkeypatch.delenv(language.VARIABLE, raising=False)
    assert main(["exercises"]) == 0
    path = clone / "exercises" / "small" / "small.ipynb"
    english = path.read_text("utf-8")
    assert main(["exercises", "--language", "ko", "--to", "korean"]) == 0
    other = (clone / "korean" / "small" / "small.ipynb").read_text("utf-8")
    assert path.read_text("utf-8") == english and language_of(english) == "en"
    assert language_of(other) == "ko" and "가나" in other
    assert main(["exercises", "--language", "xx"]) == 2
    assert "--language is 'xx', which has no catalogue; choose one of en, ko" in capsys.readouterr().err


def test_a_course_that_was_laid_out_in_korean_has_korean_notebooks(
    korean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "material"
    shutil.copytree(korean, source)
    for path in (source / "solutions").glob("*.md"):
        if path.stem != "lenet":
            path.unlink()
    monkeypatch.setattr(materials, "materials", lambda: source)
    materials.lay_out(tmp_path / "course", code="ko")
    course = tmp_path / "course"
    assert editions.of_course(course) == "ko"
    assert language_of((course / "exercises/lenet/lenet.ipynb").read_text("utf-8")) == "ko"
    assert (course / "locale/ko/assignments/lenet.po").is_file()
    opened = Course.open(course)  # as nbgrader and `casestudies grade` do
    assert opened.config.StudentView.language == "ko"
    built = course / "solutions" / "lenet" / "lenet.ipynb"
    assert language_of(built.read_text("utf-8")) == "ko"
    configure(course, '"en"', before='"ko"')
    Course.open(course)  # a notebook in another language is out of date, however new
    assert language_of(built.read_text("utf-8")) == "en"


def test_a_korean_kit_has_korean_notebooks_and_a_package_that_speaks_korean(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(["small"], clone)
    files = student_kit.kit_files(clone, code="ko")
    assert language_of(files["notebooks/small.ipynb"].decode()) == "ko"
    said = clone / "default.txt"
    said.write_bytes(files["package/casestudies/locale/default.txt"])
    assert "노트북은" in files["README.md"].decode()
    assert "package/casestudies/locale/default.txt" not in student_kit.kit_files(clone)
    monkeypatch.delenv(language.VARIABLE, raising=False)
    monkeypatch.setattr(language, "DEFAULT", said)
    language.default.cache_clear()
    try:
        assert language.language() == "ko"
        monkeypatch.setenv(language.VARIABLE, "en")
        assert language.language() == "en"
    finally:
        language.default.cache_clear()


def test_an_english_kit_is_not_made_of_korean_notebooks(clone: Path) -> None:
    release(["small"], clone, code="ko")
    with pytest.raises(student_kit.KitError, match="is in the language 'ko'; build it in 'en'"):
        student_kit.kit_files(clone)


# Grading


def test_a_korean_submission_is_graded_as_the_english_one(clone: Path, sandbox: Sandbox) -> None:
    """The same answers, each in the notebook of its own language and course: the same verdicts."""
    answers = {**RIGHT, "double": "def double(x):\n    return x\n"}
    verdicts = []
    for code in ("en", "ko"):
        source, text = released("small", clone, code)
        handed = fill(nbformat.reads(text, as_version=4), answers)
        assignment = Assignment.from_notebook("small", source).with_plain(source)
        graded = grade_submission(Submission(notebook_text(handed).encode()), assignment, sandbox, seed="one")
        verdicts.append(([one.to_dict() for one in graded.verdicts], graded.notes))
    assert json.dumps(verdicts[0], sort_keys=True) == json.dumps(verdicts[1], sort_keys=True)


@pytest.mark.parametrize("code", ["en", "ko"])
@pytest.mark.parametrize("name", ["resnet", "mobilenet_v2"])
def test_a_notebook_of_the_other_language_is_taken_as_it_was_handed_out(
    name: str, code: str, tmp_path: Path
) -> None:
    """No note says that a student changed what our translation did, and nothing of it counts as the student's."""
    other = {"en": "ko", "ko": "en"}[code]
    folder = tmp_path / "solutions"
    folder.mkdir()
    shutil.copy(ROOT / "solutions" / f"{name}.md", folder)
    shutil.copytree(ROOT / "locale", tmp_path / "locale")
    build_sources(tmp_path, [name], code=code)
    source = nbformat.read(folder / name / f"{name}.ipynb", as_version=4)
    assignment = with_plain(Assignment.from_notebook(name, source), folder)
    _, text = released(name, tmp_path, other)
    notebook, notes, missing = rebuild(read_notebook(text.encode()), assignment)
    assert notes == [] and not missing
    assert not [cell for cell in notebook.cells if cell.metadata.get("casestudies", {}).get("own")]
    own = text.replace("MACs", "my words", 1) if "MACs" in text else text.replace("##", "## my words", 1)
    notebook, _, _ = rebuild(read_notebook(own.encode()), assignment)
    assert [cell for cell in notebook.cells if cell.metadata.get("casestudies", {}).get("own")]


def test_a_locked_cell_with_other_code_is_restored_in_any_language(clone: Path) -> None:
    source, _ = released("small", clone, "en")
    assignment = Assignment.from_notebook("small", source).with_plain(source)
    _, text = released("small", clone, "ko")
    notebook = nbformat.reads(text, as_version=4)
    locked = [
        c for c in notebook.cells if c.cell_type == "code" and c.metadata.get("nbgrader", {}).get("locked")
    ]
    locked[0].source += "\nx = 1  # mine"
    _, notes, _ = rebuild(read_notebook(notebook_text(notebook).encode()), assignment)
    assert [note for note in notes if "had been changed; the instructor's text is restored" in note]


@pytest.mark.parametrize("name", NAMES)
def test_the_catalogue_of_an_assignment_holds_its_messages(name: str) -> None:
    """`make gettext` leaves no difference."""
    page = f"{gate.ASSIGNMENTS}/{name}"
    found = catalogues.assignments()[page]
    again = catalogues.written(catalogues.updated(catalogues.load(gate.path_of(page), page), found, {}))
    assert gate.path_of(page).read_text("utf-8") == again
