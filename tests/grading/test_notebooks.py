"""Text sources become notebooks: the same bytes every time, and no solution in what students get."""

import json

import nbformat
import pytest

from casestudies.grading import notebooks
from casestudies.grading.notebooks import (
    LeakError,
    SourceError,
    build_source,
    fill,
    leaks,
    notebook_text,
    release,
)

from .conftest import RIGHT, SOURCE

HEAD = "```{code-cell} python\n:nbgrader: %s\n\nx = 1\n```\n"

# (header of a code cell, words of the error)
BAD_HEADERS = {
    "not a mapping": ("3", "expected {id"),
    "no id": ("{kind: readonly}", "id is None"),
    "an id with a space": ('{id: "a b", kind: readonly}', "id is 'a b'"),
    "unknown kind": ("{id: a, kind: test}", "kind of 'a' is 'test'"),
    "tests without points": ("{id: a, kind: tests}", "points of 'a' are None"),
    "no points": ("{id: a, kind: tests, points: 0}", "points of 'a' are 0"),
    "points that are text": ('{id: a, kind: tests, points: "4"}', "points of 'a' are '4'"),
    "points on a solution": ("{id: a, kind: solution, points: 4}", "remove them"),
    "a misspelt key": ("{id: a, kind: readonly, point: 4}", "nbgrader has 'point'"),
    "a task in code": ("{id: a, kind: task, points: 1}", "cannot have the kind 'task'"),
}


def write(tmp_path, text, name="small"):
    path = tmp_path / "solutions" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", BAD_HEADERS)
def test_a_bad_header_is_named(name, tmp_path):
    header, words = BAD_HEADERS[name]
    with pytest.raises(SourceError, match=words) as raised:
        build_source(write(tmp_path, HEAD % header))
    assert "small.md, cell 1" in str(raised.value)


def test_an_id_used_twice_is_named(tmp_path):
    with pytest.raises(SourceError, match="'a' is used twice"):
        build_source(write(tmp_path, HEAD % "{id: a, kind: readonly}" * 2))


def test_building_twice_gives_the_same_bytes(tmp_path):
    path = write(tmp_path, SOURCE)
    assert notebook_text(build_source(path)) == notebook_text(build_source(path))


def test_cell_ids_come_from_the_headers(tmp_path):
    ids = [cell.id for cell in build_source(write(tmp_path, SOURCE)).cells]
    assert ids[1:] == ["imports", "basic_block", "check_basic_block", "double", "check_double", "why"]


def test_releasing_again_changes_nothing(root):
    assert release(["small"], root, check=True) == []


def test_a_changed_source_is_noticed(root, tmp_path):
    write(tmp_path, SOURCE.replace("A small assignment", "Another assignment"))
    (tmp_path / "exercises").symlink_to(root / "exercises")
    assert release(["small"], tmp_path, check=True) == ["small"]


def test_the_release_has_no_outputs_and_no_chance_ids(released):
    assert all(cell.get("outputs", []) == [] and not cell.id.startswith("extra") for cell in released.cells)


def test_the_release_holds_no_secret_line(root, released):
    assert leaks(build_source(root / "solutions" / "small.md"), nbformat.writes(released)) == []


@pytest.mark.parametrize(
    "secret", ["self.shortcut = nn.Identity()", "secret_number = 4321", "Because the identity"]
)
def test_a_secret_line_is_found_wherever_it_stands(root, released, secret):
    source = build_source(root / "solutions" / "small.md")
    line = next(line for line in notebooks.secret_lines(source) if line.startswith(secret))
    leaky = json.loads(nbformat.writes(released))
    leaky["cells"][0]["source"] = f"text\n{line}"
    assert leaks(source, json.dumps(leaky)) == [line]


def test_a_leak_stops_the_release(tmp_path, monkeypatch):
    write(tmp_path, SOURCE)
    monkeypatch.setattr(notebooks, "leaks", lambda source, released: ["the answer is 42"])
    with pytest.raises(LeakError, match="the answer is 42"):
        release(["small"], tmp_path)
    assert not (tmp_path / "exercises").exists()


def test_a_check_of_an_unknown_part_stops_the_release(tmp_path):
    write(tmp_path, SOURCE.replace('check("resnet/basic_block"', 'check("resnet/basic_blok"'))
    with pytest.raises(SourceError, match="no part 'resnet/basic_blok'"):
        release(["small"], tmp_path)


def test_a_check_inside_an_assertion_stops_the_release(tmp_path):
    write(tmp_path, SOURCE.replace("assert double(2) == 4", 'assert check("resnet/basic_block", X).passed'))
    with pytest.raises(SourceError, match="'check_double'.*statement of its own"):
        release(["small"], tmp_path)


def test_fill_replaces_cells_by_id(released):
    filled = fill(released, RIGHT)
    assert [c.source for c in filled.cells if c.id == "double"] == [RIGHT["double"]]


def test_fill_names_an_unknown_cell(released):
    with pytest.raises(KeyError, match="dubble"):
        fill(released, {"dubble": ""})
