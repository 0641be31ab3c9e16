"""Text sources become notebooks: the same bytes every time, and no solution in what students get."""

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from casestudies.checking.session import VARIABLE
from casestudies.grading import notebooks
from casestudies.grading.notebooks import (
    LeakError,
    SourceError,
    build_source,
    build_sources,
    fill,
    leaks,
    notebook_text,
    release,
    write_if_different,
)

from .conftest import RIGHT, ROOT, SOURCE

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


WITH_HINTS = "---\ncasestudies: %s\n---\n\n" + SOURCE


def test_a_text_with_an_older_time_than_its_notebook_is_built_as_well(tmp_path):
    """The clock was put back, or an older text was copied back with its time."""
    text = tmp_path / "solutions" / "small.md"
    text.parent.mkdir()
    text.write_text(SOURCE)
    (built,) = build_sources(tmp_path, only_stale=True)
    before = built.stat()
    build_sources(tmp_path, only_stale=True)
    assert built.stat().st_ctime_ns == before.st_ctime_ns, "nothing had changed"
    text.write_text(SOURCE.replace("# A small assignment", "# Another title"))
    os.utime(text, (before.st_mtime - 1e6,) * 2)
    build_sources(tmp_path, only_stale=True)
    assert "# Another title" in built.read_text()
    text.write_text(SOURCE)
    os.utime(text, (before.st_mtime - 1e6,) * 2)
    build_sources(tmp_path, only_stale=True)
    assert "# A small assignment" in built.read_text()


def test_the_hints_of_a_source_travel_into_the_released_notebook(tmp_path):
    write(tmp_path, WITH_HINTS % "{hints: place}")
    release(["small"], tmp_path)
    cells = nbformat.read(tmp_path / "exercises/small/small.ipynb", as_version=4).cells
    cell = next(cell for cell in cells if cell.id == "hints")
    assert [each.cell_type for each in cells[: cells.index(cell)]].count("code") == 1
    environment = {}
    exec(cell.source.replace("import os", ""), {"os": SimpleNamespace(environ=environment)})
    assert environment == {VARIABLE: "place"}
    assert cell.metadata.nbgrader.locked and not cell.metadata.nbgrader.grade


def test_a_source_without_hints_sets_none(released):
    assert "hints" not in [cell.id for cell in released.cells]


@pytest.mark.parametrize(
    "setting", ["{hints: al}", "{hints: [all]}", "{hint: all}", "all", "{hints: all, more: 1}"]
)
def test_bad_hints_in_a_source_are_named(setting, tmp_path):
    with pytest.raises(SourceError, match="small.md: .* in the head is .*; expected"):
        build_source(write(tmp_path, WITH_HINTS % setting))


def test_the_cell_that_sets_hints_keeps_its_id(tmp_path):
    text = (WITH_HINTS % "{hints: all}").replace("id: imports", "id: hints")
    with pytest.raises(SourceError, match="the id 'hints' is kept"):
        build_source(write(tmp_path, text))


TAKE_AWAYS = [
    (path.stem, cell.source)
    for path in sorted((ROOT / "solutions").glob("*.md"))
    for cell in build_source(path).cells
    if cell.cell_type == "markdown" and re.search("take.?away", cell.source, re.IGNORECASE)
]


@pytest.mark.parametrize(("name", "source"), TAKE_AWAYS, ids=[name for name, _ in TAKE_AWAYS])
def test_what_to_take_away_is_folded_and_says_when_to_open_it(name, source):
    """Without a kernel and without a script: an element that is closed until somebody opens it."""
    for found in re.finditer("take.?away", source, re.IGNORECASE):
        before = source[: found.start()]
        assert before.endswith("<details><summary>"), before[-60:]
        rest = source[found.end() :]
        assert rest.startswith(" (open it when your check passes)</summary>\n\n") and "</details>" in rest


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


def test_who_reads_a_file_that_is_written_anew_reads_all_of_it(tmp_path: Path):
    path, texts = tmp_path / "a.ipynb", ["a" * 2_000_000, "b" * 3_000_000]
    write_if_different(path, texts[0])
    path.chmod(0o640)
    with path.open(encoding="utf-8") as reading:  # begun before, ended after
        first = reading.read(10)
        assert write_if_different(path, texts[1]) and not write_if_different(path, texts[1])
        assert first + reading.read() == texts[0]
    assert path.read_text() == texts[1] and path.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [path]
