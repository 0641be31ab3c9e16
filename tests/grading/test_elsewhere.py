"""What stands elsewhere than in the cells that ask for it is no silent 0: answers and finished notebooks."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from casestudies import language
from casestudies.grading.arrivals import files_of
from casestudies.grading.course import Course, grade_class
from casestudies.grading.elsewhere import IN_FILES, WORDS, has_prose, places
from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.handed_in import marks_of
from casestudies.grading.intake import read_notebook, rebuild
from casestudies.grading.notebooks import fill, notebook_text
from casestudies.grading.records import read_submission, with_plain
from casestudies.grading.reports import write_feedback, write_reports

from .conftest import RIGHT

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
ANSWER = (
    "Because the training error of the deeper network is higher too, nothing is overfitted; identities exist."
)
KOREAN = "깊은 망은 훈련 오차부터 더 크므로 과적합이 아니며 항등 함수라는 해가 있는데도 찾지 못합니다."
LINES = (
    '"The training error itself is higher, "',
    '"so it is no overfitting at all; "',
    '"identities would be a solution."',
)
CODE = {name: RIGHT[name] for name in ("basic_block", "double")}


@pytest.fixture(scope="module")
def assignment(assignment, released):
    """With the instructor's cells that have no id: else these are the student's."""
    return assignment.with_plain(released)


def cell_of(notebook, name):
    return next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("grade_id") == name)


def packed(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def as_bytes(notebook) -> bytes:
    return notebook_text(notebook).encode()


def outcome(notebook, files: dict[str, bytes], assignment, sandbox, folder: Path):
    """What comes of a notebook and of what lies beside it, and where its written answer may stand."""
    folder.mkdir(exist_ok=True)
    for name, data in {"small.ipynb": as_bytes(notebook), **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    graded = grade_submission(read_submission(folder, "small"), assignment, sandbox)
    return graded, json.loads(graded.notebook)["metadata"]["casestudies"]["elsewhere"]


# --------------------------------------------------------------------------- other names


@pytest.mark.parametrize("own", [True, False], ids=["of the student's", "of nobody's"])
def test_a_class_of_another_name_that_was_checked_is_left_to_a_human(
    own, released, assignment, sandbox, tmp_path
):
    notebook = fill(released, RIGHT | {"basic_block": RIGHT["basic_block"].replace("BasicBlock", "MyBlock")})
    check = cell_of(notebook, "check_basic_block")
    check.source = check.source.replace("BasicBlock", "MyBlock" if own else "OurBlock")
    graded, _ = outcome(notebook, {}, assignment, sandbox, tmp_path / "ada")
    verdict = next(each for each in graded.verdicts if each.cell == "check_basic_block")
    if own:
        assert (verdict.state, verdict.points) == ("ungradable", None) and "'MyBlock'" in verdict.message
    else:
        assert (verdict.state, verdict.points) == ("missing", 0)
    assert all(each.points for each in graded.verdicts if each.cell != "check_basic_block")


# --------------------------------------------------------------------------- written answers

# (what is done to a notebook whose code is right, what lies beside it, words of where the answer may stand)
WAITS = {
    "a text": ({}, {"answer.txt": ANSWER.encode()}, "came along: 'answer.txt'"),
    "a picture": ({}, {"answer.png": b"\x89PNG"}, "'answer.png'"),
    "a document, which is left out": ({}, {"answer.docx": b"PK\3\4xxx"}, "'answer.docx'"),
    "a text in a zip": ({}, {"all.zip": packed({"answer.txt": b"Because."})}, "'all.zip/answer.txt'"),
    "an archive that cannot be read": ({}, {"answer.7z": b"7z\xbc\xaf\x27\x1c"}, "'answer.7z'"),
    "a comment in a solution": ({"double": CODE["double"] + f"\n# {ANSWER}"}, {}, "text: 'double'"),
    "a comment in lines": (
        {"double": CODE["double"] + "\n# " + ANSWER.replace("network ", "network\n# ")},
        {},
        "'double'",
    ),
    "a docstring in a solution": (
        {"double": f'def double(x):\n    """{ANSWER}"""\n    return 2 * x'},
        {},
        "'double'",
    ),
    "a comment in a check": ({"check_double": f"# {ANSWER}\nassert double(2) == 4"}, {}, "'check_double'"),
    "a comment in Korean": ({"double": CODE["double"] + f"\n# {KOREAN}"}, {}, "'double'"),
    "prose without a comment": ({"double": CODE["double"] + f"\n{ANSWER}"}, {}, "'double'"),
}
# (source of a cell that was added)
ADDED = {
    "a print": f"print({ANSWER!r})",
    "prints of its lines": "\n".join(f"print({line})" for line in LINES),
    "a string in pieces": "answer = (\n    " + "\n    ".join(LINES) + "\n)",
    "a display": f'from IPython.display import Markdown\nMarkdown("""{ANSWER}""")',
    "a text of IPython's": f"%%markdown\n{ANSWER}",
    "a string with a name in it": f'name = "ReLU"\nprint(f"{ANSWER} {{name}}")',
}


@pytest.mark.parametrize("name", WAITS)
def test_an_answer_waits_that_may_be(name, released, assignment, sandbox, tmp_path):
    changes, files, words = WAITS[name]
    notebook = fill(released, CODE)
    for cell, text in changes.items():
        cell_of(notebook, cell).source = text
    graded, found = outcome(notebook, files, assignment, sandbox, tmp_path / "s")
    assert any(words in each for each in found)
    assert any("'why' was not written in its cell" in note and words in note for note in graded.notes)


@pytest.mark.parametrize("name", ADDED)
def test_an_answer_waits_that_may_be_in_an_added_cell_with(name, released, assignment, sandbox, tmp_path):
    notebook = fill(released, CODE)
    notebook.cells.append(nbformat.v4.new_code_cell(ADDED[name]))
    assert outcome(notebook, {}, assignment, sandbox, tmp_path / "s")[1]


def stream(text: str, name: str = "stdout"):
    return nbformat.v4.new_output("stream", name=name, text=text)


def displayed(**data: str):
    return nbformat.v4.new_output(
        "display_data", data={kind.replace("_", "/"): text for kind, text in data.items()}
    )


# (output of a cell of the student's) that was stored, while the cell itself says nothing
SHOWN = {
    "was printed": stream(ANSWER),
    "was printed in lines": stream("\n".join(LINES)),
    "was printed in Korean": stream(KOREAN),
    "was displayed": displayed(text_plain="<IPython.core.display.Markdown object>", text_markdown=ANSWER),
    "was displayed as HTML": displayed(text_html=f"<p>{ANSWER.replace('deeper', '<b>deeper</b>')}</p>"),
}
REPORT = "small/basic_block: Partly right. 2 of 8 points.\n  Up to the batch norm all of the values agree, and then"


@pytest.mark.parametrize("added", [True, False], ids=["an added cell", "a solution"])
@pytest.mark.parametrize("name", SHOWN)
def test_an_answer_waits_that_may_be_in_what(name, added, released, assignment, sandbox, tmp_path):
    notebook = fill(released, CODE)
    if added:
        notebook.cells.append(nbformat.v4.new_code_cell("print(text)"))
    cell = notebook.cells[-1] if added else cell_of(notebook, "double")
    cell.outputs = [SHOWN[name]]
    graded, found = outcome(notebook, {}, assignment, sandbox, tmp_path / "s")
    assert any("stored output" in each for each in found)
    assert any(
        "'why' was not written in its cell" in note and "stored output" in note for note in graded.notes
    )


@pytest.mark.parametrize("of", ["the answer", "a cell of the instructor's", "the notebook"])
def test_an_answer_waits_that_may_be_in_the_metadata_of(of, released, assignment, sandbox, tmp_path):
    notebook = fill(released, CODE)
    some = {"the answer": "why", "a cell of the instructor's": "check_double"}
    (cell_of(notebook, some[of]) if of in some else notebook).metadata["notes"] = {"mine": ["x", ANSWER]}
    graded, found = outcome(notebook, {}, assignment, sandbox, tmp_path / "s")
    assert any("metadata" in each for each in found)
    assert any("'why' was not written in its cell" in note and "metadata" in note for note in graded.notes)


# What programs write there, and what students see whatever they do.
ORDINARY_OUTPUTS = {
    "steps of a training": stream(
        "".join(f"epoch {k}: loss {1 / k} accuracy {k / 9}\n" for k in range(1, 9))
    ),
    "a warning": stream(f"UserWarning: {ANSWER}", "stderr"),
    "an error": nbformat.v4.new_output("error", ename="ValueError", evalue=ANSWER, traceback=[ANSWER]),
    "a report": displayed(text_plain=f"{REPORT} {ANSWER}", text_html=f"<p>{ANSWER}</p>"),
    "a printed report": stream(f"{REPORT} {ANSWER}"),
    "a block": stream(
        "BasicBlock(\n  (conv1): Conv2d(3, 3, kernel_size=(3, 3), bias=False)\n  (relu): ReLU()\n)"
    ),
    "an installation": stream("Note: you may need to restart the kernel to use updated packages.\n"),
    "a figure": displayed(text_plain="<Figure size 640x480 with 1 Axes>", image_png=PNG),
}


@pytest.mark.parametrize("name", ORDINARY_OUTPUTS)
def test_an_answer_that_was_never_written_is_certain_beside_the_output(
    name, released, assignment, sandbox, tmp_path
):
    notebook = fill(released, CODE)
    cell_of(notebook, "double").outputs = [ORDINARY_OUTPUTS[name]]
    cell_of(notebook, "check_double").outputs = [stream(ANSWER)]  # of the instructor's cell
    notebook.metadata["widgets"] = {"state": {"text": ANSWER}}
    assert outcome(notebook, {}, assignment, sandbox, tmp_path / "s")[1] == []


def test_a_picture_that_is_attached_to_the_untouched_answer_is_shown(released, assignment, sandbox, tmp_path):
    notebook = fill(released, CODE)
    cell_of(notebook, "why").attachments = {"my answer (1).png": {"image/png": PNG}}
    graded, _ = outcome(notebook, {}, assignment, sandbox, tmp_path / "s")
    assert "<img" in cell_of(nbformat.reads(graded.notebook, 4), "why").source


def test_a_picture_that_is_attached_to_a_question_is_named(released, assignment, sandbox, tmp_path):
    notebook = fill(released, CODE)
    notebook.cells[0].attachments = {"answer.png": {"image/png": PNG}}
    _, found = outcome(notebook, {}, assignment, sandbox, tmp_path / "s")
    assert "attached to a cell" in " ".join(found)


def test_an_answer_waits_where_the_rest_could_not_be_graded(released, assignment, sandbox, tmp_path):
    finished = as_bytes(fill(released, RIGHT))
    graded, found = outcome(released, {"small (1).ipynb": finished}, assignment, sandbox, tmp_path / "s")
    assert all(verdict.needs_human for verdict in graded.verdicts) and found


ORDINARY = """
class Block(nn.Module):
    \"\"\"Adds its input to what two convolutions make of it.\"\"\"  # as in the book

    def forward(self, x):
        # out = F.relu(self.bn1(self.conv1(x)))
        # for layer in layers:
        #     out = layer(out) if layer is not None and out is not None or x is None else x
        out = F.relu(self.conv1(x))  # first the convolution, then what is not linear
        if out.shape != x.shape:
            raise ValueError(f"expected the shape {x.shape}, but got the shape {out.shape} instead")
        print("Number of parameters in this block:", sum(p.numel() for p in self.parameters()))
        names = ["conv", "norm", "pool", "linear", "relu", "softmax", "flatten", "dropout", "loss", "gate", "sum"]
        # Shapes differ where the stride is not one.
        return out + x
"""

# (what is done to a notebook whose code is right, what lies beside it): it is certain that nothing was written
CERTAIN = {
    "nothing else": ({}, {}),
    "ordinary comments": ({"double": CODE["double"] + ORDINARY}, {}),
    "what a system leaves": (
        {},
        {
            ".DS_Store": b"x",
            "Thumbs.db": b"x",
            "._small.ipynb": b"x",
            "__MACOSX/._small.ipynb": b"x",
            "timestamp.txt": b"2026-11-20 12:00:00 UTC",
            "submission_secret.txt": b"0123",
            ".git/config": b"x",
        },
    ),
    "an empty file": ({}, {"answer.txt": b""}),
}


@pytest.mark.parametrize("name", CERTAIN)
def test_an_answer_that_was_never_written_is_certain_beside(name, released, assignment, sandbox, tmp_path):
    changes, files = CERTAIN[name]
    graded, found = outcome(fill(released, {**CODE, **changes}), files, assignment, sandbox, tmp_path / "s")
    assert found == []
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]


@pytest.mark.parametrize(
    "kept",
    [{}, {"double": CODE["double"]}, CODE, {**CODE, "why": ANSWER}],
    ids=["none", "some", "all", "answer"],
)
def test_an_earlier_state_that_jupyter_has_kept_counts_where_it_has_an_answer(
    kept, released, assignment, sandbox, tmp_path
):
    files = {".ipynb_checkpoints/small-checkpoint.ipynb": as_bytes(fill(released, kept))}
    _, found = outcome(fill(released, CODE), files, assignment, sandbox, tmp_path / "s")
    assert bool(found) == ("why" in kept)


def test_the_words_of_a_comment_decide():
    short, long = " ".join(["word"] * (WORDS - 1)), " ".join(["word"] * WORDS)
    assert not has_prose(f"x = 1\n# {short}") and has_prose(f"x = 1\n# {long}")
    assert not has_prose(f"# {long}", known=f" {long} and more ")


def test_what_was_handed_out_in_another_language_is_no_prose_of_the_students(assignment):
    stub = f"def double(x):\n    # {ANSWER}\n    raise NotImplementedError()\n"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(stub)])
    cell = notebook.cells[0]
    cell.metadata["nbgrader"] = {"grade_id": "double", "grade": False, "solution": True, "locked": False}
    read = read_notebook(as_bytes(notebook))
    for texts, said in (((), True), ((stub,), False)):
        told = replace(assignment, texts=texts)
        assert bool(places(read, rebuild(read, told)[0], told)) == said


# --------------------------------------------------------------------------- finished work beside it


@pytest.mark.parametrize("name", ["work.zip", "small.ipynb.gz"])
def test_the_finished_notebook_in_an_archive_takes_the_place_of_an_untouched_one(
    name, released, assignment, sandbox, tmp_path
):
    finished = as_bytes(fill(released, RIGHT))
    data = packed({"small.ipynb": finished}) if name.endswith("zip") else gzip.compress(finished)
    graded, found = outcome(released, {name: data}, assignment, sandbox, tmp_path / "s")
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"] and found == []
    assert any("taken in its place" in note and name in note for note in graded.notes)


def test_the_questions_are_those_of_the_notebook_that_is_graded(released, assignment, sandbox, tmp_path):
    seeds, seen = [], []
    for number, answers in enumerate((RIGHT, {**RIGHT, "why": "Other words."}, RIGHT)):
        folder = tmp_path / str(number)
        files = {"work.zip": packed({"small.ipynb": as_bytes(fill(released, answers))})}
        folder.mkdir()
        (folder / "small.ipynb").write_bytes(as_bytes(released))
        (folder / "work.zip").write_bytes(files["work.zip"])
        submission = read_submission(folder, "small")
        graded = grade_submission(submission, assignment, sandbox, seed="ab/cd")
        seeds.append([each["seed"] for verdict in graded.verdicts for each in verdict.reports])
        seen.append(files_of("small", submission))
    assert seeds[0] == seeds[2] != seeds[1]
    assert seen[0] == seen[2] != seen[1]  # another archive is another hand-in


FINISHED = "the finished notebook"
# (what lies beside an untouched notebook, words of why a human has to look)
ASKED = {
    "code": {"small.py": b"def double(x): return 2 * x"},
    "a page": {"small.html": b"<html>"},
    "a document": {"small.pdf": b"%PDF-1.4"},
    "an archive of another kind": {"small.7z": b"7z\xbc\xaf\x27\x1c"},
    "a hidden notebook": {".small.ipynb": FINISHED},
    "what jupyter has kept": {".ipynb_checkpoints/small-checkpoint.ipynb": FINISHED},
    "what was thrown away": {".Trash-0/files/small.ipynb": FINISHED},
    "two finished notebooks": {"a.zip": FINISHED, "b.py": b"x = 1", "c.7z": b"7z"},
}


@pytest.mark.parametrize("name", ASKED)
def test_a_human_is_asked_where_beside_an_untouched_notebook_lies(
    name, released, assignment, sandbox, tmp_path
):
    finished = as_bytes(fill(released, RIGHT))
    files = {}
    for place, data in ASKED[name].items():
        whole = packed({"small.ipynb": finished, "other.ipynb": as_bytes(fill(released, CODE))})
        files[place] = data if isinstance(data, bytes) else whole if place.endswith("zip") else finished
    graded, found = outcome(released, files, assignment, sandbox, tmp_path / "s")
    assert all(verdict.state == "ungradable" for verdict in graded.verdicts) and found
    assert any("None of this could be graded" in note and next(iter(files)) in note for note in graded.notes)


NOTHING_DONE = "the notebook as it was handed out"
LITTER = {
    "nothing": {},
    "what a system leaves": {".DS_Store": b"x", "desktop.ini": b"x", "__MACOSX/._small.ipynb": b"x"},
    "what is laid beside it": {"timestamp.txt": b"2026-11-20", "submission_secret.txt": b"0123"},
    "what jupyter has kept of the untouched one": {".ipynb_checkpoints/small-checkpoint.ipynb": NOTHING_DONE},
    "a zip of the untouched one": {"small.zip": NOTHING_DONE},
}


@pytest.mark.parametrize("name", LITTER)
def test_an_untouched_notebook_is_missing_beside(name, released, assignment, sandbox, tmp_path):
    files = {}
    for place, data in LITTER[name].items():
        plain = as_bytes(released)
        whole = packed({"small.ipynb": plain, "__MACOSX/._small.ipynb": b"x"})
        files[place] = data if isinstance(data, bytes) else whole if place.endswith("zip") else plain
    graded, found = outcome(released, files, assignment, sandbox, tmp_path / "s")
    assert [verdict.points for verdict in graded.verdicts] == [0.0, 0.0] and found == []


def test_what_lies_beside_is_searched_up_to_a_limit(monkeypatch, assignment):
    """For the submission, not for each of its notebooks: beyond, a human looks."""
    from casestudies.grading import elsewhere

    monkeypatch.setattr(elsewhere, "BESIDE", 2500)
    cell = nbformat.v4.new_code_cell("x = 1\n" * 166)
    notebooks = [nbformat.v4.new_notebook(cells=[cell], metadata={"number": n}) for n in range(5)]
    others = {f"{n}.ipynb": as_bytes(each) for n, each in enumerate(notebooks)}
    searched = []

    def holds(data: bytes, assignment: object) -> bool:
        searched.append(data)
        return False

    submission = Submission(None, beside=dict.fromkeys(others, "a mark"), others=others)
    assert elsewhere.files_beside(submission, assignment, holds) == ["2.ipynb", "3.ipynb", "4.ipynb"]
    assert searched == list(others.values())[:2]


def test_code_in_a_cell_of_its_own_is_graded_whatever_lies_beside(released, assignment, sandbox, tmp_path):
    notebook = fill(released, {})
    at = notebook.cells.index(cell_of(notebook, "check_double"))
    notebook.cells.insert(at, nbformat.v4.new_code_cell(CODE["double"]))
    graded, _ = outcome(notebook, {"helper.py": b"x = 1"}, assignment, sandbox, tmp_path / "s")
    assert [verdict.points for verdict in graded.verdicts] == [0.0, 2.0]


def test_files_that_were_handed_out_are_nobodys_work(root, released, assignment, sandbox, tmp_path):
    solutions = tmp_path / "clone" / "solutions"
    (solutions / "small").mkdir(parents=True)
    (solutions / "small" / "data.csv").write_bytes(b"1,2")
    (solutions / "small" / "helpers.py").write_bytes(b"x = 1")
    assert len(marks_of(solutions / "small")) == 4
    told = with_plain(assignment, solutions)
    same = {"data.csv": b"1,2", "helpers.py": b"x = 1", "all.zip": packed({"d/data.csv": b"1,2"})}
    for number, (files, asked) in enumerate(((same, False), ({**same, "data.csv": b"3,4"}, True))):
        graded, found = outcome(released, files, told, sandbox, tmp_path / str(number))
        assert all(verdict.needs_human == asked for verdict in graded.verdicts) and bool(found) == asked


# --------------------------------------------------------------------------- gradebook and pages


@pytest.fixture
def course(root, released, tmp_path) -> Course:
    for student, files in {"ada": {"answer.txt": ANSWER.encode()}, "ben": {}}.items():
        folder = tmp_path / "course" / "submitted" / student / "small"
        folder.mkdir(parents=True)
        for name, data in {"small.ipynb": as_bytes(fill(released, CODE)), **files}.items():
            (folder / name).write_bytes(data)
    return Course.open(root, tmp_path / "course")


def test_the_gradebook_waits_and_the_pages_say_why(course, pool):
    grade_class(course, "small", pool=pool)
    with course.gradebook() as gradebook:
        grades = {s: gradebook.find_grade("why", "small", "small", s) for s in ("ada", "ben")}
        found = {s: (each.auto_score, each.needs_manual_grade) for s, each in grades.items()}
        said = gradebook.find_comment("why", "small", "small", "ada").auto_comment
    assert found == {"ada": (None, True), "ben": (0.0, False)}
    assert "No response in this cell" in said and "'answer.txt'" in said
    write_reports(course, "small")
    write_feedback(course, "small")
    report = (course.folder / "reports" / "small.html").read_text()
    assert "answer.txt" in report
    page = (course.folder / "feedback" / "ada" / "small" / "small.html").read_text()
    assert "answer.txt" in page


def test_a_place_is_named_in_korean():
    with language.speaking("ko"):
        said = language.sentence(IN_FILES.format(names="'answer.txt', 'a.b.png'"))
    assert "'answer.txt', 'a.b.png'" in said and "It may" not in said


def test_a_submission_is_the_same_after_a_journey():
    submission = Submission(b"{}", {"a.txt": b"x"}, beside={"a.txt": "1", "b": ""}, others={"b.ipynb": b"{}"})
    assert Submission.from_dict(json.loads(json.dumps(submission.to_dict()))) == submission
