"""`casestudies new` and `try`, and the page that shows them: its commands and files are followed word for word."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from casestudies.grading.authors import new_assignment, with_page
from casestudies.grading.demands import DEMANDS, Draft, fault_of_right, fault_of_wrong, unmet
from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import assignments
from casestudies.grading.trying import solution_faults

from .conftest import ROOT

pytestmark = pytest.mark.xdist_group("authors")  # the page is followed once, whoever runs these tests
PAGE = ROOT / "book" / "authors.md"
# What an author works in: git, which says what is ignored, and all that the commands read.
WORKPLACE = """
    benchmarks book casestudies exercises samples solutions tests
    _config.yml nbgrader_config.py pyproject.toml requirements-students.txt README.md LICENSE LICENSE-PROSE .gitignore
"""
FENCE = re.compile(r"^(?P<fence>`{3,})(?P<what>[^`\n]*)\n(?P<text>.*?)^(?P=fence)$", re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of what git knows or would add, in which the page is followed."""
    folder = tmp_path_factory.mktemp("clone")
    ignored = shutil.ignore_patterns("__pycache__", "*.ipynb_checkpoints", "_build", "_ext")
    for name in WORKPLACE.split():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copyfile(source, folder / name)
    shutil.copytree(ROOT / "book" / "_ext", folder / "book" / "_ext")
    (folder / "locale" / "ko").mkdir(parents=True)
    shutil.copyfile(ROOT / "locale" / "ko" / "terms.toml", folder / "locale" / "ko" / "terms.toml")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k != "CASESTUDIES_COURSE"}
    environment["PYTHONPATH"] = str(folder)  # before the editable install of this clone
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    words = shlex.split(command)
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def steps(page: str) -> list[tuple[str, str, str]]:
    """What a reader of the page does, in its order: ("write", path, text) or ("run", command, output shown)."""
    found = []
    for block in FENCE.finditer(page):
        text = block["text"]
        if caption := re.match(r":caption: (\S+)\n\n", text):
            found.append(("write", caption[1], text[caption.end() :]))
        elif not block["what"] and text.startswith("$ "):
            for each in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, output = each.partition("\n")
                found.append(("run", command, output))
    return found


def in_order(shown: list[str], printed: list[str]) -> str | None:
    """The first of the shown lines that was not printed behind the ones before it."""
    rest = iter(printed)
    return next((line for line in shown if line not in rest), None)


@pytest.fixture(scope="module")
def followed(copy: Path) -> list[tuple[str, str, subprocess.CompletedProcess[str]]]:
    """Every command of the page, with what it showed and what it did."""
    done = []
    for what, subject, text in steps(PAGE.read_text(encoding="utf-8")):
        if what == "write":
            assert (copy / subject).parent.is_dir(), subject
            (copy / subject).write_text(text, encoding="utf-8")
        else:
            done.append((subject, text, run(subject, copy)))
    return done


@pytest.mark.slow
def test_the_page_can_be_followed_word_for_word(followed) -> None:
    assert len(followed) >= 7
    for command, shown, done in followed:
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        missing = in_order(shown.splitlines(), done.stdout.splitlines())
        assert missing is None, f"{command} does not print {missing!r}, but\n{done.stdout}"


@pytest.mark.slow
def test_the_function_on_the_page_is_a_part_that_names_its_mistake(copy: Path) -> None:
    [source] = re.findall(
        r"^```\{code-block\} python\n\n(from .*?)^```$", PAGE.read_text("utf-8"), re.M | re.S
    )
    file = copy / "casestudies" / "checks" / "densenet.py"
    file.write_text(source, encoding="utf-8")
    asked = (
        "from casestudies import check; from casestudies.checking.parts import declared; "
        "part = 'densenet/dense_channels'; "
        "print(check(part, lambda in_channels, layers, growth: layers * growth + in_channels).passed, "
        "check(part, lambda in_channels, layers, growth: in_channels + growth).mistakes, "
        "[known.see for known in declared(part).mistakes])"
    )
    done = run(f"{sys.executable} -c {shlex.quote(asked)}", copy)
    file.unlink()
    # The place is demanded of every mistake.
    assert done.stdout == "True ['growth_counted_once'] ['densenet.html#what-goes-wrong']\n", done.stderr


@pytest.mark.slow
def test_the_class_of_the_page_is_graded_as_it_says(followed, copy: Path) -> None:
    rows = (copy / "course" / "reports" / "senet.csv").read_text(encoding="utf-8").splitlines()
    found = {row.split(",")[0]: row.split(",")[2:6] for row in rows[1:]}
    assert found["right"] == ["passed", "8", "8", ""]
    assert found["untouched"][:2] == ["missing", "0"]
    assert found["gate-added"][0] == "partial" and found["gate-added"][3] == "gate_added"


@pytest.mark.slow
def test_the_page_and_its_files_are_formatted(followed, copy: Path) -> None:
    paths = ["casestudies/networks/senet.py", "casestudies/checks/senet.py", "tests/checks/senet.py"]
    for command in ("ruff check", "ruff format --check"):
        done = run(f"{command} {' '.join(paths)}", copy)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x", "a_very_long_name_of_a_network_x"])
def test_a_new_assignment_is_whole_at_once(copy: Path, name: str) -> None:
    done = run(f"casestudies new {name}", copy)
    assert done.returncode == 0, done.stderr
    tried = run(f"casestudies try {name}", copy)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    made = [f"casestudies/networks/{name}.py", f"casestudies/checks/{name}.py", f"tests/checks/{name}.py"]
    for command in ("ruff check", "ruff format --check"):
        done = run(f"{command} {' '.join(made)}", copy)
        assert done.returncode == 0, done.stdout
    again = run(f"casestudies new {name}", copy)
    assert again.returncode == 2 and "exists, and nothing was changed" in again.stderr


@pytest.mark.slow
def test_a_new_assignment_passes_the_tests_that_ask_every_assignment(copy: Path) -> None:
    assert run("casestudies new fresh", copy).returncode == 0
    tests = "tests/checks tests/test_book.py tests/test_imports.py tests/answers/test_answers.py"
    tests += (
        " tests/grading/test_agreement.py tests/grading/test_notebooks.py tests/grading/test_student_kit.py"
    )
    chosen = "fresh or test_book or every_part or every_row or every_variant or every_assignment"
    done = run(f"{sys.executable} -m pytest -q -n 0 {tests} -k '{chosen}'", copy)
    assert done.returncode == 0, done.stdout[-3000:]


# --------------------------------------------------------------------------- nothing is written for bad input


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As little of a clone as `new` needs."""
    for folder in ("book", "solutions"):
        (tmp_path / folder).mkdir()
    shutil.copyfile(ROOT / "solutions" / "resnet.md", tmp_path / "solutions" / "resnet.md")
    (tmp_path / "book" / "_toc.yml").write_text("root: welcome\n      - file: resnet\n      - file: after\n")
    return tmp_path


@pytest.mark.parametrize("name", ["index", "search", "genindex"])
def test_a_name_that_a_page_of_sphinxs_own_has_is_refused(clone: Path, name: str) -> None:
    before = sorted(clone.rglob("*"))
    with pytest.raises(CourseError, match="a page of this name already"):
        new_assignment(clone, name)
    assert sorted(clone.rglob("*")) == before


@pytest.mark.parametrize("name", ["SENet", "9lives", "se-net", "../up", "", "class", "a" * 40, "é"])
def test_a_name_that_cannot_be_one_is_refused(clone: Path, name: str) -> None:
    before = sorted(clone.rglob("*"))
    with pytest.raises(CourseError, match="expected a lower-case letter"):
        new_assignment(clone, name)
    assert sorted(clone.rglob("*")) == before


@pytest.mark.parametrize("title", ["two\nlines", 'a "quote"', "x" * 61, "`code`"])
def test_a_title_with_markup_is_refused(clone: Path, title: str) -> None:
    with pytest.raises(CourseError, match="expected one line of up to 60 characters"):
        new_assignment(clone, "senet", title)


@pytest.mark.parametrize("there", ["book/senet.md", "samples/senet/right.py", "exercises/senet/notes.txt"])
def test_what_exists_is_not_overwritten(clone: Path, there: str) -> None:
    path = clone / there
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    before = {each: each.read_bytes() for each in clone.rglob("*") if each.is_file()}
    with pytest.raises(CourseError, match="exists, and nothing was changed"):
        new_assignment(clone, "senet")
    assert {each: each.read_bytes() for each in clone.rglob("*") if each.is_file()} == before


def test_what_cannot_be_finished_leaves_nothing(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = {each: each.read_bytes() for each in clone.rglob("*") if each.is_file()}
    monkeypatch.setattr("casestudies.grading.authors.release", fail)
    with pytest.raises(OSError, match="No space left"):
        new_assignment(clone, "senet")
    assert {each: each.read_bytes() for each in clone.rglob("*") if each.is_file()} == before


def test_the_line_stands_behind_the_last_chapter_with_an_assignment() -> None:
    contents = "      - file: resnet\n      - file: vgg\n      - file: after # see below\n"
    assert with_page(contents, "senet", ["vgg", "resnet"]) == (
        "      - file: resnet\n      - file: vgg\n      - file: senet\n      - file: after # see below\n"
    )
    with pytest.raises(CourseError, match="has a page vgg already"):
        with_page(contents, "vgg", ["resnet"])
    with pytest.raises(CourseError, match="lists no chapter with an assignment"):
        with_page(contents, "senet", [])


def test_a_package_without_a_clone_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    import casestudies
    from casestudies import cli

    (tmp_path / "casestudies").mkdir()
    monkeypatch.setattr(casestudies, "__file__", str(tmp_path / "casestudies" / "__init__.py"))
    for command in ("new", "try"):
        assert cli.main([command, "senet"]) == 2
        assert "clone the repository" in capsys.readouterr().err


def test_an_unknown_assignment_cannot_be_tried(capsys) -> None:
    from casestudies import cli

    assert cli.main(["try", "resnett"]) == 2
    assert "there is no assignment 'resnett'; known: alexnet," in capsys.readouterr().err


# --------------------------------------------------------------------------- each demand can be missed

# (demand, file of the assignment, text in it, what stands there instead, what is said)
MISSED = [
    ("contents", "book/_toc.yml", "- file: vgg", "- file: vggg", "lists vgg 0 times"),
    ("sections", "book/vgg.md", "## References", "## Sources", "no section `## References`"),
    (
        "citations",
        "book/vgg.md",
        "simonyan2014very",
        "nobody",
        "book/vgg.md cites nobody; write its entry in",
    ),
    ("quotes", "book/vgg.md", ":pyobject: ", ":pyobject: Other", "and vgg.py has "),
    ("quotes", "book/vgg.md", "networks/vgg.py", "networks/vggg.py", "and there is no such file"),
    ("hand-over", "book/vgg.md", "```{assignment} vgg", "```{note}", "write ```{assignment} vgg"),
    ("notebook", "solutions/vgg.md", "# ", "# X", "casestudies exercises vgg"),
    ("graded", "solutions/vgg.md", 'check("vgg/vgg_block"', 'check("vgg/other"', 'has check("vgg/vgg_block"'),
    ("graded", "solutions/vgg.md", "id: check_vgg_block, kind: tests, points: 5", None, "worth 6 points"),
    ("take-away", "solutions/vgg.md", "<summary>Takeaway", "<summary>Remember", "has nothing to take away"),
    ("written", "solutions/resnet.md", 'kind": "written", "points": 3', None, "are worth 4 points, and"),
    ("points", "solutions/vgg.md", "id: check_vgg_block, kind: tests, points: 5", None, "expected 20"),
    ("right-answers", "tests/checks/vgg.py", "CORRECT", "OTHERS", "0 right answers to vgg/vgg_block"),
    ("wrong-answers", "tests/checks/vgg.py", "WRONG", "OTHERS", "no wrong answer to vgg/vgg_block"),
    ("mistakes", "book/vgg.md", "## ", "## Other ", "leads nowhere"),
    ("measured-answers", "tests/answers/right.py", '"vgg/vgg_block"', '"x"', "no answer to vgg/vgg_block"),
    ("files", "book/vgg.md", None, None, "the page is missing: write book/vgg.md"),
    (
        "samples",
        "samples/vgg/a.py",
        None,
        '"""A."""\n\n# %% a-b\nx = 1\n',
        "has the mark '# %% a-b' in line 3",
    ),
    (
        "samples",
        "samples/vgg/a.py",
        None,
        '# like: b\n"""A."""\n\n# %% vgg_block\n',
        "a.py is like b; expected",
    ),
    (
        "samples",
        "samples/vgg/a.py",
        None,
        '# like: a\n"""A."""\n\n# %% vgg_block\n',
        "a.py is like a; expected",
    ),
    ("samples", "samples/vgg/a.py", None, '"""A."""\n\nx = 1\n', "does not begin with one sentence"),
    ("samples", "samples/vgg/a.py", None, '"""A."""\n\n# %% nowhere\nx = 1\n', "changes the cell nowhere"),
]


@pytest.mark.parametrize(("name", "path", "old", "new", "says"), MISSED)
def test_a_demand_that_is_missed_is_said(copy: Path, tmp_path: Path, name, path, old, new, says) -> None:
    for part in ("book", "solutions", "exercises", "tests", "samples"):
        (tmp_path / part).symlink_to(copy / part)
    (tmp_path / "casestudies").symlink_to(ROOT / "casestudies")
    part = Path(path).parts[0]
    (tmp_path / part).unlink()
    shutil.copytree(copy / part, tmp_path / part)
    target = tmp_path / path
    if old is None and new is None:
        target.unlink()
    elif old is None:
        target.parent.mkdir(exist_ok=True)
        target.write_text(new)
    else:
        text = target.read_text(encoding="utf-8")
        assert old in text
        replaced = new if new is not None else old[:-1] + str(int(old[-1]) + 1)
        text = text.replace(old, replaced)
        if replaced == "OTHERS":
            text += f"\n{old} = {{}}\n"
        target.write_text(text, encoding="utf-8")
    found = [
        fault
        for demand, fault in unmet(Draft(tmp_path, Path(path).stem if name == "written" else "vgg"))
        if demand.name == name
    ]
    assert any(says in fault for fault in found), found


def test_every_demand_is_missed_by_one_of_these() -> None:
    of_another_kind = {"repair", "cases"}  # ask the checks of the package itself: below
    assert {row[0] for row in MISSED} | of_another_kind == {demand.name for demand in DEMANDS}


def test_only_a_small_assignment_does_without_a_block_to_repair(monkeypatch: pytest.MonkeyPatch) -> None:
    import casestudies.checks.vgg as checks

    repair = next(demand for demand in DEMANDS if demand.name == "repair")
    draft = Draft(ROOT, "vgg")
    draft.__dict__["parts"] = {id: part for id, part in draft.parts.items() if "repaired" not in id}
    assert "0 parts are to be repaired" in repair.faults(draft)[0]
    monkeypatch.setattr(checks, "SMALL", True, raising=False)
    assert repair.faults(draft) == []


@pytest.mark.parametrize("name", assignments(ROOT))
def test_every_model_solution_answers_its_own_checks(name: str, capsys) -> None:
    assert list(solution_faults(Draft(ROOT, name))) == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("nn.ReLU", "nn.Tanh", "the model solution is no answer to vgg/vgg_block"),
        ('check("vgg/vgg_block"', 'check("vgg/other"', "it asks for 'vgg/other'; the parts are "),
        ("def vgg_block(", "def vgg_blok(", "NameError"),
    ],
)
def test_a_model_solution_that_is_no_answer_is_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    (tmp_path / "solutions").mkdir()
    text = (ROOT / "solutions/vgg.md").read_text(encoding="utf-8")
    assert old in text
    (tmp_path / "solutions" / "vgg.md").write_text(text.replace(old, new), encoding="utf-8")
    draft = Draft(tmp_path, "vgg")
    assert any(says in fault for fault in solution_faults(draft)), list(solution_faults(draft))


def test_a_verdict_that_is_wrong_is_said() -> None:
    from casestudies import check
    from casestudies.checking.parts import find
    from casestudies.networks import resnet

    part = find("resnet/basic_block")
    right = check(part.id, resnet.BasicBlock, seed=1)
    wrong = check(part.id, part.mistakes[0].wrong, seed=1)
    assert fault_of_right(right) == "" and fault_of_wrong(part, wrong, part.mistakes[0].id) == ""
    assert "a right answer gets" in fault_of_right(wrong)
    assert "a wrong answer gets 4 of 4 points" in fault_of_wrong(part, right, None)
    assert "other is not named; named: " in fault_of_wrong(part, wrong, "other")


def test_cases_that_do_not_run_are_said_before_any_answer_is_tried(capsys, monkeypatch) -> None:
    from casestudies import cli
    from casestudies.checking.parts import Case, Reference
    from casestudies.grading import trying
    from casestudies.networks import vgg

    part = Draft(ROOT, "vgg").parts["vgg/vgg_block"]
    monkeypatch.setattr(part, "_reference", Reference(vgg.vgg_block, Case(3, 4, 1, image=(2, 5, 6, 6))))
    monkeypatch.setattr(trying, "tried", lambda draft: pytest.fail("an answer was tried"))
    assert cli.main(["try", "vgg"]) == 1
    told = capsys.readouterr().out
    assert told.count("the reference itself fails in vgg_block(3, 4, 1) on 2×5×6×6: RuntimeError") == 1
    assert "Demanded (cases): casestudies/checks/vgg.py, vgg/vgg_block: " in told
    assert "correct these cases first" in told


def test_a_mistake_that_is_given_must_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mistakes = next(demand for demand in DEMANDS if demand.name == "mistakes")
    draft = Draft(ROOT, "vgg")
    part = draft.parts["vgg/repaired_block"]
    assert part.given and mistakes.faults(draft) == []
    monkeypatch.setattr(part, "given", part.given | {"other"})
    assert mistakes.faults(draft) == [
        "vgg/repaired_block is given with the mistake other, and has no mistake of that name"
    ]


# file of the author's, what is written into it, what is raised and where
BROKEN = [
    ("casestudies/checks/fresh.py", "SMALL = True", "SMALL = (", "'(' was never closed"),
    ("casestudies/checks/fresh.py", "points=2", "point=2", "unexpected keyword argument 'point'"),
    (
        "tests/checks/fresh.py",
        "class NoReLU(Functional)",
        "class NoReLU(Funct)",
        "name 'Funct' is not defined",
    ),
]


@pytest.mark.slow
def test_what_cannot_be_read_is_said_with_its_path_and_line(copy: Path) -> None:
    if not (copy / "book" / "fresh.md").exists():
        assert run("casestudies new fresh", copy).returncode == 0
    for path, old, new, says in BROKEN:
        text = (copy / path).read_text(encoding="utf-8")
        assert old in text
        line = text[: text.index(old)].count("\n") + 1
        (copy / path).write_text(text.replace(old, new, 1), encoding="utf-8")
        done = run("casestudies try fresh", copy)
        (copy / path).write_text(text, encoding="utf-8")
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
        assert says in done.stderr and done.stderr.endswith(f"({path}, line {line})\n"), done.stderr


def test_points_of_a_wrong_answer_are_explained() -> None:
    from casestudies import check
    from casestudies.grading.trying import Tried
    from casestudies.networks import resnet

    def earned(part: str, answer: object) -> str:
        return Tried(part, "wrong", "", check(part, answer, seed=1), "").earned

    class NoReLU(resnet.BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            return self.residual(x) + self.shortcut(x)

    class Random(resnet.BasicBlock):
        def forward(self, x: Tensor) -> Tensor:
            return torch.rand_like(super().forward(x))

    assert earned("resnet/basic_block", resnet.BasicBlock) == ""
    assert earned("resnet/basic_block", NoReLU) == "Points for: output shape and parameters (1 of 1)."
    assert earned("resnet/basic_block", Random).endswith("right shapes alone earn no points.")
    assert earned("resnet/basic_block", nn.Identity) == ""


def test_a_row_that_does_not_fit_is_said_before_any_answer_is_tried(capsys, monkeypatch) -> None:
    from casestudies import cli
    from casestudies.checking.parts import Mistake
    from casestudies.checking.sources import Edit, Edited, source_of
    from casestudies.grading import trying
    from casestudies.networks import vgg

    label = "casestudies/checks/vgg.py, vgg/vgg_block, no_such_layer"
    edited = Edited(source_of(vgg.vgg_block), (Edit("nn.Nothing()", "nn.ReLU()"),), "no_such_layer", label)
    mistakes = Draft(ROOT, "vgg").parts["vgg/vgg_block"].mistakes
    monkeypatch.setattr(trying, "tried", lambda draft: pytest.fail("an answer was tried"))
    mistakes.append(Mistake("no_such_layer", "A sentence.", "vgg.html#what-goes-wrong", edited))
    try:
        assert cli.main(["try", "vgg"]) == 1
    finally:
        mistakes.pop()
    told = capsys.readouterr().out
    assert "FAULT   casestudies/checks/vgg.py, vgg/vgg_block, no_such_layer: " in told
    assert "correct these rows first" in told
