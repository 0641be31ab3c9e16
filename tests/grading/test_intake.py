"""Whatever a student hands in becomes a notebook around the instructor's cells, or a clear sentence."""

import copy
import json
import os
import re

import nbformat
import pytest

from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.handed_in import look_into
from casestudies.grading.intake import (
    Corrupt,
    allowed_files,
    clean_output,
    read_notebook,
    read_plain_file,
    rebuild,
)
from casestudies.grading.notebooks import fill

from .conftest import RIGHT


def index(notebook, name):
    return next(
        i
        for i, cell in enumerate(notebook.cells)
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name
    )


def delete(notebook, *names):
    for name in names:
        del notebook.cells[index(notebook, name)]


def move_to_top(notebook, name):
    notebook.cells.insert(0, notebook.cells.pop(index(notebook, name)))


def edit(notebook, name, text):
    notebook.cells[index(notebook, name)].source = text


def reflag(notebook, name, **flags):
    notebook.cells[index(notebook, name)].metadata.nbgrader.update(flags)


def retype(notebook, name, kind):
    notebook.cells[index(notebook, name)].cell_type = kind


def double_cell(notebook, name, first, second):
    at = index(notebook, name)
    twin = copy.deepcopy(notebook.cells[at])
    notebook.cells[at].source, twin.source = first, second
    notebook.cells.insert(at + 1, twin)


def lose_metadata(notebook):
    for cell in notebook.cells:
        cell.metadata = nbformat.from_dict({})


def steal_id(notebook):
    reflag(notebook, "basic_block", grade_id="check_basic_block")


DAMAGES = {
    "nothing": lambda n: None,
    "a test deleted": lambda n: delete(n, "check_basic_block"),
    "all tests deleted": lambda n: delete(n, "check_basic_block", "check_double"),
    "a test moved to the top": lambda n: move_to_top(n, "check_basic_block"),
    "a solution moved to the top": lambda n: move_to_top(n, "double"),
    "a test emptied": lambda n: edit(n, "check_double", ""),
    "a test replaced": lambda n: edit(n, "check_double", "print('passed')"),
    "points raised": lambda n: reflag(n, "check_double", points=100),
    "a test unflagged": lambda n: reflag(n, "check_double", grade=False, locked=False),
    "a test flagged as solution": lambda n: reflag(n, "check_double", solution=True, checksum="x"),
    "a test turned to text": lambda n: retype(n, "check_double", "markdown"),
    "a solution turned to text": lambda n: retype(n, "double", "markdown"),
    "a solution split": lambda n: double_cell(n, "double", "def half(x):\n    return x / 2", RIGHT["double"]),
    "a test copied": lambda n: double_cell(
        n, "check_double", "assert double(2) == 4", "assert double(2) == 4"
    ),
    "all metadata lost": lose_metadata,
    "a solution under a test's id": steal_id,
    "unknown schema": lambda n: reflag(n, "double", schema_version=99),
    "imports deleted": lambda n: delete(n, "imports"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_instructors_cells_are_whole_after(name, released, assignment):
    notebook = fill(released, RIGHT)
    DAMAGES[name](notebook)
    rebuilt, _, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    found = [c for c in rebuilt.cells if "nbgrader" in c.metadata]
    assert [c.metadata.nbgrader.grade_id for c in found] == [c.id for c in assignment.cells]
    for cell, ours in zip(found, assignment.cells, strict=True):
        assert (cell.cell_type, cell.metadata.nbgrader.grade) == (ours.cell_type, ours.grade)
        assert cell.metadata.nbgrader.get("points", 0) == ours.points
        assert ours.students or cell.source == ours.source


@pytest.mark.parametrize("name", DAMAGES)
def test_students_text_is_kept_after(name, released, assignment):
    notebook = fill(released, RIGHT)
    DAMAGES[name](notebook)
    rebuilt, _, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    code = [cell.source for cell in rebuilt.cells if cell.cell_type == "code"]
    assert RIGHT["double"] in code
    assert RIGHT["basic_block"] in code


@pytest.mark.parametrize("name", [name for name in DAMAGES if name != "nothing"])
def test_the_repair_is_noted(name, released, assignment):
    notebook = fill(released, RIGHT)
    DAMAGES[name](notebook)
    _, notes, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    harmless = {"points raised", "a test unflagged", "a test flagged as solution", "unknown schema"}
    assert bool(notes) == (name not in harmless)


def test_a_sound_notebook_needs_no_note(released, assignment):
    assert rebuild(read_notebook(json.dumps(fill(released, RIGHT)).encode()), assignment)[1] == []


def test_a_missing_answer_is_reported(released, assignment):
    notebook = fill(released, RIGHT)
    delete(notebook, "double")
    assert rebuild(read_notebook(json.dumps(notebook).encode()), assignment)[2] == {"double"}


def test_a_stub_copied_after_the_answer_does_not_replace_it(released, assignment):
    notebook = fill(released, RIGHT)
    stub = next(cell.source for cell in released.cells if cell.id == "why")
    double_cell(notebook, "why", "My answer", stub)
    rebuilt, _, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    assert rebuilt.cells[index(rebuilt, "why")].source == "<div><p>My answer</p>&#10;</div>"


def shut_off(notebook, kind, at):
    """The stub of `double` is made text, and the answer stands in a cell of its own before or after it."""
    stub = index(notebook, "double")
    edit(notebook, "double", "def double(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()")
    retype(notebook, "double", kind)
    notebook.cells.insert(stub + at, nbformat.v4.new_code_cell(RIGHT["double"]))


def typed_as_text(notebook, text, keep=False):
    retype(notebook, "double", "markdown")
    edit(notebook, "double", text)
    if not keep:
        notebook.cells[index(notebook, "double")].metadata = nbformat.from_dict({})


def tried_again_at_the_end(notebook):
    lose_metadata(notebook)
    notebook.cells.append(nbformat.v4.new_code_cell("def double(x):\n    return 5  # what if?"))


def section_moved_with_its_helpers(notebook):
    """The block reads `act`, which reads `FACTOR`: both stand right before it, and all of it at the end."""
    block, check = (
        notebook.cells.pop(index(notebook, name)) for name in ("basic_block", "check_basic_block")
    )
    block.source = block.source.replace("F.relu", "act")
    helpers = ["FACTOR = 1", "print(double(3))", "def act(x):\n    return FACTOR * F.relu(x)"]
    notebook.cells += [*map(nbformat.v4.new_code_cell, helpers), block, check]


FENCED = f"```python\n{RIGHT['double']}```"
HOME_IS_RIGHT = {
    "a stub made raw above the answer": lambda n: shut_off(n, "raw", 1),
    "a stub made raw below the answer": lambda n: shut_off(n, "raw", 0),
    "a stub made text below the answer": lambda n: shut_off(n, "markdown", 0),
    "an answer typed as text": lambda n: typed_as_text(n, RIGHT["double"]),
    "an answer typed as fenced text": lambda n: typed_as_text(n, FENCED),
    "an answer typed as fenced text under its id": lambda n: typed_as_text(n, FENCED, keep=True),
    "another try after the check, all metadata lost": tried_again_at_the_end,
    "a section moved to the end with its helpers": section_moved_with_its_helpers,
}


@pytest.mark.parametrize("name", HOME_IS_RIGHT)
def test_work_that_is_right_at_home_is_right_after(name, released, assignment, sandbox):
    notebook = fill(released, RIGHT)
    HOME_IS_RIGHT[name](notebook)
    graded = grade_submission(Submission(json.dumps(notebook).encode()), assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]
    assert graded.notes


def test_prose_that_names_a_class_is_no_code(released, assignment):
    notebook = fill(released, RIGHT)
    typed_as_text(notebook, "def double is what I could not write\n")
    assert rebuild(read_notebook(json.dumps(notebook).encode()), assignment)[2] == {"double"}


@pytest.mark.parametrize("others", [[], ["small (1).ipynb"]])
def test_an_untouched_notebook_beside_others_is_for_a_human(others, released, assignment, sandbox, tmp_path):
    (tmp_path / "small.ipynb").write_text(json.dumps(released))
    for other in others:
        (tmp_path / other).write_text(json.dumps(fill(released, RIGHT)))
    found = look_into(tmp_path, "small")
    graded = grade_submission(Submission(found.notebook, notes=found.notes), assignment, sandbox)
    assert all(verdict.needs_human == bool(others) for verdict in graded.verdicts)


def test_script_in_an_answer_is_disarmed(released, assignment):
    notebook = fill(released, {**RIGHT, "why": "a<b <script>x</script> [l](javascript:x)"})
    rebuilt, _, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    text = rebuilt.cells[index(rebuilt, "why")].source
    assert "<script" not in text and "href" not in text
    assert "a&lt;b" in text


# (bytes of the file, words of the error)
CORRUPT = {
    "empty": (b"", "empty file"),
    "spaces": (b"  \n", "empty file"),
    "cut": (b'{"cells": [', "not JSON"),
    "a zip": (b"PK\x03\x04\xff\xfe\xfd\x00\x81", "not"),
    "a list": (b"[]", "not an object"),
    "no cells": (b"{}", "no list of cells"),
    "cells of another kind": (b'{"cells": {"a": 1}}', "no list of cells"),
    "nested without end": (b'{"cells":' + b"[" * 100_000, "not JSON"),
    "swelling": (b'{"cells": [' + b"[]," * 2_000_001 + b"[]]}", "brackets"),
    "too many cells": (json.dumps({"cells": [{}] * 3000}).encode(), "3,000 cells"),
}


@pytest.mark.parametrize("name", CORRUPT)
def test_a_corrupt_notebook_is_named(name):
    data, words = CORRUPT[name]
    with pytest.raises(Corrupt, match=words):
        read_notebook(data)


# (a cell as JSON, what is read)
ODD_CELLS = {
    "no type": ({"source": "x"}, ("raw", "x")),
    "a source in lines": ({"cell_type": "code", "source": ["a\n", "b"]}, ("code", "a\nb")),
    "a source that is a number": ({"cell_type": "code", "source": 3}, ("code", "")),
    "nbformat 3": ({"cell_type": "code", "input": "x"}, ("code", "x")),
    "a type that is a list": ({"cell_type": [], "source": "x"}, ("raw", "x")),
    "metadata that is a list": ({"cell_type": "code", "source": "x", "metadata": []}, ("code", "x")),
    "a grade_id that is a dict": (
        {"cell_type": "code", "source": "x", "metadata": {"nbgrader": {"grade_id": {}}}},
        ("code", "x"),
    ),
    "a lone surrogate": ({"cell_type": "code", "source": "\ud800"}, ("code", "?")),
}


@pytest.mark.parametrize("name", ODD_CELLS)
def test_an_odd_cell_is_read(name):
    cell, expected = ODD_CELLS[name]
    (read,) = read_notebook(json.dumps({"cells": [cell]}).encode())
    assert (read.type, read.source, read.grade_id) == (*expected, None)


def test_a_byte_order_mark_and_utf16_are_read():
    text = json.dumps({"cells": [{"cell_type": "code", "source": "x"}]})
    assert [c.source for e in ("utf-8-sig", "utf-16") for c in read_notebook(text.encode(e))] == ["x", "x"]


# --------------------------------------------------------------------------- files


def test_only_plain_files_of_the_allowed_kinds_come_along(tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("a.csv", "folder/b.png", "numpy.py", "c.pkl", "d.ipynb", ".hidden.txt", "sitecustomize.pth"):
        (tmp_path / name).write_text("x")
    os.symlink("/etc/passwd", tmp_path / "link.txt")
    os.symlink("/etc", tmp_path / "linked")
    os.mkfifo(tmp_path / "pipe.txt")
    assert set(allowed_files(tmp_path)[0]) == {"a.csv", "folder/b.png"}


def test_what_is_left_out_is_noted(tmp_path):
    (tmp_path / "numpy.py").write_text("x")
    assert "numpy.py" in allowed_files(tmp_path)[1][0]


@pytest.mark.parametrize("make", [lambda p: os.mkfifo(p), lambda p: os.symlink("/etc/passwd", p), os.mkdir])
def test_a_link_or_special_file_is_never_read(make, tmp_path):
    make(tmp_path / "x.ipynb")
    with pytest.raises(Corrupt):
        read_plain_file(tmp_path / "x.ipynb", 100)


def test_a_file_above_the_limit_is_not_read(tmp_path):
    (tmp_path / "x").write_bytes(b"0" * 101)
    with pytest.raises(Corrupt, match="more than 100 bytes"):
        read_plain_file(tmp_path / "x", 100)


def test_a_single_notebook_of_another_name_is_found(tmp_path):
    (tmp_path / "Copy of small.ipynb").write_text("{}")
    found = look_into(tmp_path, "small")
    assert (found.where, found.problem) == ("Copy of small.ipynb", "")


def test_of_several_other_names_none_is_taken(tmp_path):
    for name in ("a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text(f'["{name}"]')
    found = look_into(tmp_path, "small")
    assert found.notebook == b"" and "A human has to choose" in found.problem


# --------------------------------------------------------------------------- outputs

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

# (data of a display, what is left of it)
DISPLAYS = {
    "script": (
        {"text/html": "<script>x</script><b>y</b>"},
        {"text/html": "<b>y</b><p><small>(active content was left out: script)</small></p>"},
    ),
    "handler": ({"text/html": '<b onclick="x()">y</b>'}, {"text/html": "<b>y</b>"}),
    "javascript link": (
        {"text/html": '<a href="javascript:x">y</a>'},
        {"text/html": '<a rel="noopener noreferrer nofollow">y</a>'},
    ),
    "image": ({"image/png": PNG}, {"image/png": PNG}),
    "image that is none": (
        {"image/png": '"><script>'},
        {"text/plain": "(its picture is not shown: it is not base64)"},
    ),
    "svg": (
        {"image/svg+xml": "<svg/>", "text/plain": "s"},
        {"text/plain": "s", "image/svg+xml": '<svg xmlns="http://www.w3.org/2000/svg"></svg>'},
    ),
    "svg with a handler": (
        {"image/svg+xml": "<svg onload='x'/>", "text/plain": "s"},
        {
            "text/plain": "s\n(its picture is not shown: it holds 'onload', with a value that plots do not need)"
        },
    ),
    "javascript": (
        {"application/javascript": "x"},
        {"text/plain": "(an output of the kind 'application/javascript' is not shown)"},
    ),
    "latex": ({"text/latex": "\\href{javascript:x}{y}"}, {"text/latex": "\\text{href}{javascript:x}{y}"}),
    "not text": ({"text/plain": {"a": 1}}, {"text/plain": ""}),
}


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_is_made_harmless(name):
    data, left = DISPLAYS[name]
    cleaned = clean_output(
        {"output_type": "display_data", "data": data, "metadata": {"casestudies": {"grader": 1}}}
    )
    assert cleaned == (
        None if left is None else {"output_type": "display_data", "data": left, "metadata": {}}
    )


def test_an_unknown_output_is_dropped():
    assert clean_output({"output_type": "update_display_data", "data": {}}) is None


# What a student may write in text, to run something in the browser of whoever reads it.
ACTIVE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[l](javascript:alert(1))",
    "[l](JaVaScRiPt&colon;alert(1))",
    "[l](javascript&#58;alert(1))",
    "[l](javascript\\:alert(1))",
    "[l]: javascript:alert(1)\n\n[l]",
    "![x](data:text/html;base64,PHNjcmlwdD4=)",
    "<javascript:alert(1)>",
    "[l](javascript&amp;#58;alert(1))",
    "[l](javascript&amp#58;alert(1))",
    "\\begin{equation}<script>alert(1)</script>\\end{equation}",
    "$<img src=x onerror=alert(1)>$",
]


@pytest.mark.parametrize("text", ACTIVE)
def test_text_that_would_run_something_is_only_text(text, released, assignment):
    from nbconvert.filters.markdown_mistune import markdown2html_mistune

    notebook = fill(released, {**RIGHT, "why": text})
    rebuilt, _, _ = rebuild(read_notebook(json.dumps(notebook).encode()), assignment)
    page = markdown2html_mistune(rebuilt.cells[index(rebuilt, "why")].source).lower()
    assert not re.search(r"<(script|img)|(href|src)=\"(javascript|data):", page)
