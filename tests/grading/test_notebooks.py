"""Text sources become notebooks: the same bytes every time, and no solution in what students get."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pytest

from casestudies.checking.session import VARIABLE
from casestudies.grading import notebooks
from casestudies.grading.notebooks import (
    ABANDONED,
    LeakError,
    SourceError,
    build_source,
    build_sources,
    fill,
    generate_assignment,
    language_of,
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


KILLED = """
import os, signal, sys
from pathlib import Path
from casestudies.grading import notebooks

os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
notebooks.build_sources(Path(sys.argv[1]), ["small"])
"""


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A clone in which somebody was killed who built the source notebook, just before it was in its place."""
    write(tmp_path, SOURCE)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)])
    assert done.returncode == -signal.SIGKILL and not list(tmp_path.glob("solutions/*/*.ipynb"))
    return tmp_path


def test_what_a_killed_build_leaves_goes_to_no_student(killed: Path):
    build_sources(killed)
    generate_assignment(killed, "small", killed / "release")
    assert [path.name for path in (killed / "release/small").iterdir()] == ["small.ipynb"]
    assert [path.name for path in (killed / "solutions/small").iterdir()] == ["small.ipynb"]


def test_what_a_killed_build_leaves_is_removed_once_it_is_old(killed: Path):
    drafts = [path for path in killed.rglob("*") if path.is_file() and path.name != "small.md"]
    build_sources(killed)
    assert len(drafts) == 1 and drafts[0].exists()  # for all that is known, somebody is writing it
    long_ago = time.time() - 2 * ABANDONED
    os.utime(drafts[0], (long_ago, long_ago))
    (killed / "solutions/small/small.ipynb").unlink()
    build_sources(killed)
    assert not drafts[0].exists()


BUILDS = """
import sys
from pathlib import Path
from casestudies.grading.notebooks import build_sources, release

root, code, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for each in range(count):
    build_sources(root, only_stale=bool(each % 2), code=code)
    release(["small"], root, code=code)
"""


def test_several_that_build_in_one_clone_at_once_leave_whole_files(tmp_path: Path):
    """Two languages, and one that is killed. Whoever builds last decides, as if alone."""
    write(tmp_path, SOURCE)
    files = [tmp_path / folder / "small/small.ipynb" for folder in ("solutions", "exercises")]
    expected: list[set[str]] = [set(), set()]
    for code in ("en", "ko"):
        build_sources(tmp_path, code=code)
        release(["small"], tmp_path, code=code)
        for path, texts in zip(files, expected, strict=True):
            texts.add(path.read_text())

    def begin(code: str, count: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", BUILDS, str(tmp_path), code, str(count)])

    processes, killed = [begin("en", 2), begin("ko", 2)], begin("ko", 1000)
    while any(process.poll() is None for process in processes):
        for path, texts in zip(files, expected, strict=True):
            assert path.read_text() in texts
        if killed.poll() is None and processes[0].poll() is not None:
            killed.kill()
    killed.kill()
    killed.wait()
    assert [process.returncode for process in processes] == [0, 0]
    for code in ("ko", "en"):  # what was left there counts for nobody as the other language's
        build_sources(tmp_path, only_stale=True, code=code)
        assert language_of(files[0].read_text()) == code


def test_a_file_never_has_the_time_of_what_somebody_else_wrote(tmp_path: Path, monkeypatch):
    """Somebody who began with an older text ends later: the file has the older text, and must count as such."""
    source, path = write(tmp_path, SOURCE), tmp_path / "solutions/small/small.ipynb"
    build_sources(tmp_path)
    older, stamp = path.read_text(), path.stat().st_mtime_ns
    source.write_text(SOURCE.replace("A small assignment", "A newer text"))
    os.utime(source, (time.time() + 5, time.time() + 5))

    def and_another(*arguments: Any) -> bool:
        written = write_if_different(*arguments)
        path.write_text(older)
        os.utime(path, ns=(stamp, stamp))
        return written

    monkeypatch.setattr(notebooks, "write_if_different", and_another)
    build_sources(tmp_path)
    monkeypatch.undo()
    build_sources(tmp_path, only_stale=True)
    assert "A newer text" in path.read_text()
