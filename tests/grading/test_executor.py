"""Honest submissions, right and wrong: one explicit state a graded cell, points only for the right thing."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from casestudies.checking.report import Report
from casestudies.grading import executor, plugins
from casestudies.grading.cells import Assignment, SourceCell
from casestudies.grading.errors import FAILED, LATE, PRESSED
from casestudies.grading.executor import Pressed, Submission, digest, grade_bytes, grade_submission
from casestudies.grading.fingerprint import closure
from casestudies.grading.handed_in import LAID_BESIDE
from casestudies.grading.notebooks import fill
from casestudies.grading.pools import alone_at_last
from casestudies.grading.sandbox import Limits, Sandbox, Student
from casestudies.grading.verdicts import Graded, Verdict
from casestudies.sandboxed import shim
from casestudies.sandboxed.child import MOST_INPUTS, NO_INPUT

from .conftest import LIMITS, RIGHT

BLOCK = RIGHT["basic_block"]
FORWARD = "return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))"
IN_FORWARD = "out = F.relu(self.bn1(self.conv1(x)))"


def block(old, new):
    assert old in BLOCK
    return {**RIGHT, "basic_block": BLOCK.replace(old, new)}


def double(text):
    return {**RIGHT, "double": text}


# (answers, [state and points of the checked block], [of the plain cell])
OUTCOMES = {
    "right": (RIGHT, ["passed", 8.0], ["passed", 2.0]),
    "no final relu": (
        block(FORWARD, FORWARD.replace("F.relu(", "(")),
        ["partial", 2.0],
        ["passed", 2.0],
    ),
    "untouched": ({}, ["missing", 0.0], ["wrong", 0.0]),
    "raises in forward": (block(IN_FORWARD, f"1 / 0; {IN_FORWARD}"), ["crashed", 0.0], ["passed", 2.0]),
    "raises in the cell": ({**RIGHT, "basic_block": "1 / 0"}, ["missing", 0.0], ["passed", 2.0]),
    "not Python": ({**RIGHT, "basic_block": "class BasicBlock(:"}, ["missing", 0.0], ["passed", 2.0]),
    "compiled": (
        block("    def forward(", "    @torch.compile\n    def forward("),
        ["passed", 8.0],
        ["passed", 2.0],
    ),
    "an instance": (
        {**RIGHT, "basic_block": BLOCK + "\nBasicBlock = BasicBlock(4, 4)"},
        ["wrong", 0.0],
        ["passed", 2.0],
    ),
    "a plain test fails": (double("def double(x):\n    return 5"), ["passed", 8.0], ["wrong", 0.0]),
    "a hidden plain test fails": (double("def double(x):\n    return 4"), ["passed", 8.0], ["wrong", 0.0]),
    "prints much": (
        block(IN_FORWARD, f"print('nan ' * 100); {IN_FORWARD}"),
        ["passed", 8.0],
        ["passed", 2.0],
    ),
    "warns": (
        {
            **block(IN_FORWARD, f"import warnings; warnings.warn('careful'); {IN_FORWARD}"),
            "double": "import sys\n\ndef double(x):\n    sys.stderr.write('careful')\n    return 2 * x",
        },
        ["passed", 8.0],
        ["passed", 2.0],
    ),
    "exits in a cell": (double("import os\nos._exit(0)"), ["passed", 8.0], ["crashed", 0.0]),
}


ROOT = Path(__file__).parents[2]


def submit(released, answers):
    return Submission(json.dumps(fill(released, answers)).encode())


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcome_of(name, released, assignment, sandbox):
    answers, *expected = OUTCOMES[name]
    if name == "exits in a cell":  # the plain test then has no function to test
        expected[1] = ["wrong", 0.0]
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    assert [[verdict.state, verdict.points] for verdict in graded.verdicts] == expected


STRANGERS = {
    "another assignment's": lambda: (ROOT / "exercises/vgg/vgg.ipynb").read_bytes(),
    "one without cells": lambda: b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
    "an old one without sheets": lambda: b'{"nbformat": 3, "worksheets": []}',
    "one with cells of its own alone": lambda: json.dumps(
        {"cells": [{"cell_type": "code", "source": "x = 1", "metadata": {}}], "nbformat": 4}
    ).encode(),
}


@pytest.mark.parametrize("what", STRANGERS)
def test_a_notebook_that_is_not_this_assignments_is_for_a_human(what, assignment, sandbox):
    graded = grade_submission(Submission(STRANGERS[what]()), assignment, sandbox)
    assert {(verdict.state, verdict.points) for verdict in graded.verdicts} == {("ungradable", None)}
    assert "None of this could be graded" in graded.notes[-1]


def test_a_check_that_ends_the_process_takes_no_points_from_the_parts_below(released, assignment, sandbox):
    answers = block(IN_FORWARD, "import os; os._exit(0)")
    graded = grade_submission(submit(released, answers), assignment, sandbox, replace(LIMITS, restarts=0))
    assert [[each.state, each.points] for each in graded.verdicts] == [["crashed", 0.0], ["passed", 2.0]]


def test_the_mistake_is_named(released, assignment, sandbox):
    graded = grade_submission(submit(released, OUTCOMES["no final relu"][0]), assignment, sandbox)
    assert graded.verdicts[0].mistakes == ["no_final_relu"]


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        (
            "_Block = BasicBlock\ndef BasicBlock(*args): return _Block(*args)",
            "BasicBlock, is a function; write ",
        ),
        (
            "import functools\nBasicBlock = functools.partial(BasicBlock)",
            "The answer is a functools.partial; write ",
        ),
    ],
)
def test_what_is_no_class_is_told_what_to_write(released, assignment, sandbox, instead: str, said: str):
    answers = {**RIGHT, "basic_block": f"{BLOCK}\n{instead}\n"}
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    cell = next(c for c in json.loads(graded.notebook)["cells"] if c["id"] == "check_basic_block")
    shown = " ".join("".join(cell["outputs"][0]["data"]["text/plain"]).split())
    assert f"{said}`class BasicBlock(nn.Module)`" in shown


def test_the_report_is_the_cells_output(released, assignment, sandbox):
    graded = grade_submission(submit(released, RIGHT), assignment, sandbox)
    cell = next(c for c in json.loads(graded.notebook)["cells"] if c["id"] == "check_basic_block")
    assert "Right. 4 of 4 points." in "".join(cell["outputs"][0]["data"]["text/plain"])


def test_the_same_submission_gets_the_same_result(released, assignment, sandbox):
    first, second = (grade_submission(submit(released, RIGHT), assignment, sandbox) for _ in range(2))
    assert (first.notebook, first.verdicts) == (second.notebook, second.verdicts)


def test_grading_is_a_function_of_bytes(released, assignment, sandbox):
    submission = submit(released, RIGHT)
    job = {
        "submission": submission.to_dict(),
        "assignment": assignment.to_dict(),
        "limits": vars(Limits()) | {"cell_seconds": 20.0},
        "seed": "12",
    }
    result = Graded.from_dict(json.loads(grade_bytes(json.dumps(job).encode(), sandbox))["graded"])
    assert result.notebook == grade_submission(submission, assignment, sandbox, seed="12").notebook


def test_the_digest_follows_every_byte(released, assignment):
    one, other = submit(released, RIGHT), submit(released, double(RIGHT["double"] + " "))
    assert digest(one, assignment) == digest(one, assignment) != digest(other, assignment)


# --------------------------------------------------------------------------- time

# Patient: whatever else the machine does, a loop takes the processor time that it may.
SHORT = Limits(cell_seconds=1.0, check_seconds=1.0, notebook_seconds=60, grace_seconds=0.5, patience=60)

# A loop that an interrupt ends, and one that it does not.
LOOP = "while True: pass"
STUBBORN = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile True: pass"


@pytest.mark.parametrize("loop", [LOOP, STUBBORN])
def test_a_loop_in_a_cell_costs_that_cell_only(loop, released, assignment, sandbox):
    limits = replace(SHORT, check_seconds=20)
    graded = grade_submission(submit(released, double(loop)), assignment, sandbox, limits)
    assert [v.state for v in graded.verdicts] == ["passed", "wrong"]
    (note,) = graded.notes
    assert note.startswith("the cell 'double' was ended, ") and note.endswith("The time limit was reached.")


@pytest.mark.parametrize("write", ["print", "sys.stderr.write", "display"])
def test_what_a_cell_writes_takes_no_memory(write, released, assignment, sandbox):
    # Else a loop that prints leaves none to the parts below.
    text = f"import sys\nfor _ in range(700):\n    {write}('x' * 10**6)\n{RIGHT['double']}"
    limits = replace(LIMITS, memory_bytes=512 * 2**20)
    graded = grade_submission(submit(released, double(text)), assignment, sandbox, limits)
    assert [v.state for v in graded.verdicts] == ["passed", "passed"]


def test_a_loop_in_forward_times_out_and_the_rest_is_graded(released, assignment, sandbox):
    answers = block(IN_FORWARD, f"{IN_FORWARD}\n        {LOOP}")
    graded = grade_submission(submit(released, answers), assignment, sandbox, SHORT)
    assert [v.state for v in graded.verdicts] == ["timed out", "passed"]


WAITING = Limits(cell_seconds=0.5, check_seconds=0.5, notebook_seconds=60, grace_seconds=0.2, patience=2.0)
NAP = "__import__('time').sleep(100)"
NAPS = {  # where the clock runs out, though next to nothing is computed -> the states of the parts
    "in forward": (block(IN_FORWARD, f"{IN_FORWARD}\n        {NAP}"), ["ungradable", "passed"]),
    "in a function that a plain cell calls": (double(f"def double(x): {NAP}"), ["passed", "ungradable"]),
    "before a definition": (block("class Basic", f"{NAP}\nclass Basic"), ["ungradable", "passed"]),
}


@pytest.mark.parametrize("name", NAPS)
def test_whose_clock_runs_out_though_it_computes_little_is_tried_again_alone_and_never_0(
    name, released, assignment, sandbox, monkeypatch
):
    """Where nobody can tell a sleep from a busy machine."""
    monkeypatch.setattr(Student, "_idle_now", lambda self: 0.0)
    answers, states = NAPS[name]
    with pytest.raises(Pressed):
        grade_submission(submit(released, answers), assignment, sandbox, WAITING, alone=False)
    graded = grade_submission(submit(released, answers), assignment, sandbox, WAITING)
    assert [v.state for v in graded.verdicts] == states
    assert all(v.points is None for v in graded.verdicts if v.state == "ungradable")
    assert "the machine was busy" in graded.notebook


@pytest.mark.parametrize("name", NAPS)
def test_who_sleeps_when_it_is_tried_alone_as_well_has_timed_out(name, released, assignment, sandbox):
    """A sleep is nobody's doing but the code's; to leave it to a human would hide what is certain to be worth 0."""
    answers, states = NAPS[name]
    limits = replace(WAITING, patience=100.0)
    with pytest.raises(Pressed):
        grade_submission(submit(released, answers), assignment, sandbox, limits, alone=False)
    graded = grade_submission(submit(released, answers), assignment, sandbox, limits)
    expected = ["timed out" if state == "ungradable" else state for state in states]
    assert [v.state for v in graded.verdicts] == expected
    assert all(v.points == 0 for v in graded.verdicts if v.state == "timed out")
    assert "while the code slept" in graded.notebook and graded.seconds < 60


def test_who_sleeps_in_cell_after_cell_is_ended_with_the_time_of_the_notebook(released, assignment, sandbox):
    limits = replace(WAITING, cell_seconds=20.0, notebook_seconds=2.0, patience=100.0)
    answers = block("class Basic", "__import__('time').sleep(1.2)\nclass Basic")
    answers["double"] = f"{NAP}\ndef double(x): return 2 * x"
    graded = grade_submission(submit(released, answers), assignment, sandbox, limits)
    assert (graded.verdicts[-1].state, graded.verdicts[-1].points) == ("timed out", 0)
    assert "while the code slept" in graded.notebook and graded.seconds < 60


# (the block, called MyBlock as in the student's own text of its check) -> state and points
UNDER_ANOTHER_NAME = {
    "nothing": ("class MyBlock(nn.Module): pass", "crashed", 0.0),
    "wrong": (BLOCK.replace("BasicBlock", "MyBlock").replace(FORWARD, "return x"), "wrong", 0.0),
    "right": (BLOCK.replace("BasicBlock", "MyBlock"), "ungradable", None),
}


@pytest.mark.parametrize("name", UNDER_ANOTHER_NAME)
def test_a_block_under_another_name_waits_for_a_human_only_where_it_may_earn_points(
    name, released, assignment, sandbox
):
    text, state, points = UNDER_ANOTHER_NAME[name]
    notebook = nbformat.from_dict(fill(released, {**RIGHT, "basic_block": text}))
    asked = next(cell for cell in notebook.cells if cell.id == "check_basic_block")
    asked.source = asked.source.replace("BasicBlock", "MyBlock")
    graded = grade_submission(Submission(nbformat.writes(notebook).encode()), assignment, sandbox)
    assert (graded.verdicts[0].state, graded.verdicts[0].points) == (state, points)
    said = [note for note in graded.notes if "was judged in its place" in note]
    assert bool(said) == (points == 0)
    assert graded.verdicts[1].state == "passed"


def test_a_second_try_is_the_last(assignment):
    job = json.dumps({"seed": "1", "limits": {}}).encode()
    assert json.loads(alone_at_last(job)) == {"seed": "1", "limits": {}, "alone": True}


def test_many_loops_take_little_more_than_a_few(released, assignment, sandbox, monkeypatch):
    allowed: dict[int, set[float]] = {}
    original = executor.Runner._seconds

    def noted(runner, usual):
        seconds = original(runner, usual)
        allowed.setdefault(runner.at, set()).add(seconds)
        return seconds

    monkeypatch.setattr(executor.Runner, "_seconds", noted)
    monkeypatch.setattr(executor, "FEWEST_SECONDS", 0.05)
    notebook = nbformat.from_dict(fill(released, RIGHT))
    place = next(k for k, cell in enumerate(notebook.cells) if cell.id == "check_basic_block")
    # The last one ends the process, so that all of it is run once more.
    sources = [LOOP] * 10 + ["import os; os._exit(0)"]
    added = [nbformat.v4.new_code_cell(source, id=f"more-{k}") for k, source in enumerate(sources)]
    notebook.cells[place:place] = added
    limits = replace(SHORT, check_seconds=1.0, grace_seconds=0.2, restarts=1)
    given = Submission(nbformat.writes(notebook).encode())
    graded = grade_submission(given, assignment, sandbox, limits)
    assert graded.verdicts[-1].state == "passed"
    loops = [allowed[place + k] for k in range(10)]
    assert sum(max(each) for each in loops) < 4 * limits.cell_seconds
    # Nobody's time depends on what comes below, or on how often it is run.
    assert all(len(each) == 1 for each in allowed.values())
    assert {allowed[k].pop() for k in allowed if k < place} == {limits.cell_seconds}


def test_the_notebooks_time_is_a_limit_too(released, assignment, sandbox):
    limits = replace(SHORT, cell_seconds=20, check_seconds=20, notebook_seconds=1.0, grace_seconds=0.2)
    graded = grade_submission(submit(released, {**RIGHT, "basic_block": LOOP}), assignment, sandbox, limits)
    assert [v.state for v in graded.verdicts] == ["timed out", "timed out"]


def test_a_limit_of_nothing_is_refused():
    with pytest.raises(ValueError, match="cell_seconds is 0"):
        Limits(cell_seconds=0)


# --------------------------------------------------------------------------- plain cells

# (last line of a plain graded cell worth 2 points, state and points)
ENDINGS = {
    "1.5": ("partial", 1.5),
    "2": ("passed", 2.0),
    "0": ("wrong", 0.0),
    "3": ("ungradable", None),
    "-1": ("ungradable", None),
    "float('nan')": ("ungradable", None),
    "float('inf')": ("ungradable", None),
    "'well done'": ("ungradable", None),
    "True": ("ungradable", None),
    "None": ("passed", 2.0),
    "print(1)": ("passed", 2.0),
    "1 / 0": ("wrong", 0.0),
    "%timeit -n1 -r1 pass": ("passed", 2.0),
}


def only(cell):
    return Assignment("a", "a", (SourceCell("t", "code", cell, grade=True, locked=True, points=2.0),))


EMPTY = Submission(b'{"cells": []}')


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_plain_cell_that_ends_with(ending, sandbox):
    (verdict,) = grade_submission(EMPTY, only(f"x = 1\n{ending}"), sandbox).verdicts
    assert (verdict.state, verdict.points) == ENDINGS[ending]


def test_a_plain_cell_is_marked_as_not_protected(sandbox):
    (verdict,) = grade_submission(EMPTY, only("assert True"), sandbox).verdicts
    assert not verdict.protected


def test_a_check_that_only_the_student_could_judge_needs_a_human(sandbox):
    (verdict,) = grade_submission(
        EMPTY, only('assert check("resnet/basic_block", 1).passed'), sandbox
    ).verdicts
    assert (verdict.state, verdict.points) == ("ungradable", None)


def test_an_unknown_part_needs_a_human(sandbox):
    (verdict,) = grade_submission(EMPTY, only('check("resnet/nothing", 1)'), sandbox).verdicts
    assert (verdict.state, verdict.points) == ("ungradable", None)


# --------------------------------------------------------------------------- what is no notebook

# (submission, state, points)
NO_NOTEBOOK = {
    "nothing": (Submission(None), "missing", 0.0),
    "half a file": (Submission(b'{"cells": ['), "ungradable", None),
    "a problem": (Submission(b"", problem="It is a link."), "ungradable", None),
}


@pytest.mark.parametrize("name", NO_NOTEBOOK)
def test_every_part_has_a_state_for(name, assignment, sandbox):
    submission, *expected = NO_NOTEBOOK[name]
    verdicts = grade_submission(submission, assignment, sandbox).verdicts
    assert [[v.state, v.points] for v in verdicts] == [expected, expected]


# --------------------------------------------------------------------------- verdicts


def report(part, points, state, possible=4.0):
    return {"part": part, "points": points, "possible": possible, "state": state, "recognised": []}


# (reports, state, points of 8)
SETTLED = {
    "right twice": ([report("p", 4, "passed"), report("p", 4, "passed")], "passed", 8.0),
    "hidden fails": ([report("p", 4, "passed"), report("p", 1, "partial")], "partial", 2.0),
    "two parts": ([report("p", 4, "passed"), report("q", 0, "wrong")], "partial", 4.0),
    "raised": ([report("p", 0, "raised")], "crashed", 0.0),
    "wrong kind": ([report("p", 0, "wrong kind")], "wrong", 0.0),
    "unknown part": ([report("p", 0, "unknown part", 0.0)], "ungradable", None),
    "too many points": ([report("p", 9, "passed")], "passed", 8.0),
}


@pytest.mark.parametrize("name", SETTLED)
def test_reports_settle_to(name):
    reports, *expected = SETTLED[name]
    verdict = Verdict("c", 8.0, reports=reports)
    verdict.settle()
    assert [verdict.state, verdict.points] == expected


# --------------------------------------------------------------------------- the fallback


def test_without_bubblewrap_the_grades_are_the_same_and_marked(released, assignment):
    with Sandbox(Limits(), box=False) as plain:
        graded = grade_submission(submit(released, RIGHT), assignment, plain)
    assert [v.points for v in graded.verdicts] == [8.0, 2.0]
    assert "GRADED WITHOUT A SANDBOX" in graded.notebook


# --------------------------------------------------------------------------- what a result depends on


def test_the_version_of_the_code_follows_every_file_that_grading_imports():
    """The modules of ours that a process has loaded after importing all that grades are among those hashed."""
    program = (
        "import sys\n"
        "from casestudies.checking import parts\n"
        "from casestudies.grading import worker\n"
        "import casestudies.sandboxed.server\n"
        "parts.parts(); worker.import_the_checks()\n"
        "files = {m.__file__ for n, m in sys.modules.items() if n.split('.')[0] == 'casestudies'}\n"
        "print('\\n'.join(sorted(f for f in files if f)))"
    )
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert set(loaded.stdout.split()) <= {str(path) for path in closure()}


def test_the_version_of_the_code_leaves_out_what_grading_does_not_import():
    names = {path.name for path in closure()}
    assert "worker.py" in names and "experiments.py" not in names


# --------------------------------------------------------------------------- behind nbgrader's own commands


# (what the grading process answers, each time; what the student reads of it)
SAID = {
    "a fault": ([{"failed": "its own words"}], FAILED),
    "pressure twice": ([{"pressed": True}] * 2, PRESSED),
    "pressure once": ([{"pressed": True}], ""),
    "no end": ([{"failed": "its own words", "late": True}], LATE),
    "its death twice": ([{"failed": "its own words", "died": True}] * 2, FAILED),
    "its death once": ([{"failed": "its own words", "died": True}], ""),
    "half a result": ([{"graded": {"notebook": ""}}], FAILED),
}


class Told:
    """A grading process that answers as it is told, and then as it should."""

    def __init__(self, answers, sandbox):
        self.left, self.sandbox, self.limits = list(answers), sandbox, sandbox.limits

    def give(self, student, data):
        self.data = data

    def take(self):
        return self.left.pop(0) if self.left else json.loads(grade_bytes(self.data, self.sandbox))


@pytest.mark.parametrize("name", SAID)
def test_nbgraders_own_command_gives_a_state_after(name, released, assignment, sandbox):
    answers, words = SAID[name]
    execute = plugins.ProtectedExecute()
    graded = execute._graded(submit(released, RIGHT), assignment, Told(answers, sandbox), "00", "sandbox")
    states = {verdict.state for verdict in graded.verdicts}
    assert states == ({"ungradable"} if words else {"passed"})
    assert words in graded.notebook and "its own words" not in graded.notebook


def test_nbgraders_own_command_ends_a_grading_process_that_does_not_end(released, assignment, monkeypatch):
    """Nothing that is read of a submission runs in nbgrader's own process: the clock runs for all of it."""
    from casestudies.grading import pools

    monkeypatch.setattr(pools, "wall_seconds", lambda limits: 0.5)
    worker = plugins._worker(replace(LIMITS, judge_seconds=7.0), ())
    try:
        graded = plugins.ProtectedExecute()._graded(
            submit(released, {**RIGHT, "double": "while True: pass"}), assignment, worker, "00", "sandbox"
        )
    finally:
        plugins._WORKERS.clear()
        worker.kill()
        worker.nursery.__exit__()
    assert {verdict.state for verdict in graded.verdicts} == {"ungradable"} and LATE in graded.notebook


def test_half_a_character_in_a_note_or_a_files_name_costs_nothing(released, assignment, sandbox):
    submission = submit(released, RIGHT)
    submission.files["\udcff.csv"] = b"1,2"
    submission.notes.append("left out \udcff.exe")
    graded = grade_submission(submission, assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]
    graded.notebook.encode()


def test_the_code_finds_no_file_that_its_seed_does_not_depend_on(released, assignment, sandbox):
    # Else the same notebook, handed in again, would find there the answers to the questions that it wrote down.
    double = "import os\nprint(sorted(os.listdir()))\ndef double(x):\n    return 2 * x"
    submission = submit(released, {**RIGHT, "double": double})
    submission.files |= {name: b"2026-11-20" for name in (*LAID_BESIDE, "data.csv")}
    graded = grade_submission(submission, assignment, sandbox)
    assert graded.verdicts[-1].state == "passed"
    assert "['data.csv']" in graded.notebook


USED = "is not available while a notebook is graded"
IMPORTS = {
    "a name": ("from casestudies import check, ledger\n", "passed", ""),
    "a module": ("import casestudies.costs as costs\nfrom casestudies.zoo import photos\n", "passed", ""),
    "and a call after the block": (
        "from casestudies import ledger\n{block}\nledger(BasicBlock(4, 4))",
        "passed",
        USED,
    ),
    "a type of an argument": (
        "import casestudies\n"
        "from casestudies import Graph\n"
        "from casestudies.costs import Ledger\n"
        "from typing import Optional\n"
        "def draw(a: casestudies.Graph | None, b: None | Graph, c: list[Graph], d: Optional[Ledger]) -> Graph: ...\n"
        "def rows(a: Ledger[int] | Graph, b: dict[str, Graph | Ledger]) -> None: ...\n",
        "passed",
        "",
    ),
    "a type to tell by": (
        "from casestudies import Graph\n{block}\nisinstance(3, Graph)",
        "passed",
        USED,
    ),
    "items": ("from casestudies import photos\n{block}\nfor each in photos: pass", "passed", USED),
    "and a call before it": ("import casestudies\ncasestudies.costs.ledger(3)\n", "missing", USED),
    "a base": (
        "from casestudies.networks import resnet\nclass A(resnet.BasicBlock): pass\n",
        "missing",
        USED,
    ),
}


@pytest.mark.parametrize("what", IMPORTS)
def test_what_the_package_has_at_home_can_be_imported_and_not_used(what, released, assignment, sandbox):
    source, state, said = IMPORTS[what]
    source = source.replace("{block}", BLOCK) if "{block}" in source else source + BLOCK
    graded = grade_submission(submit(released, {**RIGHT, "basic_block": source}), assignment, sandbox)
    assert graded.verdicts[0].state == state and said in graded.notebook
    assert said or USED not in graded.notebook


REPORTS = (
    "check('a/b', nn.ReLU).passed",
    "assert check('a/b', 3).passed, check('a/b', 3).summary",
    "report = check('a/b', 3)\nif not report.passed or report.points < 3.5:\n    raise SystemExit",
    "print(f'{check(1, 2).points:.2f} of {check(1, 2).possible}', round(check(1, 2).points / 4, 1))",
    "for criterion in check('a/b', 3).criteria:\n    print(criterion.title.upper())",
    "check('a/b', 3).mistakes[0]['id'], 'no_relu' in check('a/b', 3).mistakes",
    "100 * sum([check('a/b', 3).points, check('b/c', 3).points]) / len(check('a/b', 3).text('place'))",
    "report = check('a/b', 3)\nassert report.points == 4 and report.points == report.possible",
    "report = check('a/b', 3)\nassert report.state == 'passed' and report.state != 'wrong'",
    "report = check('a/b', 3)\nassert report.passed is True and not report.mistakes and report.mistakes == []",
    "points = check('a/b', 3).points\nwhile points < 4 or points == 0:\n    pass\nassert not points <= 0",
    "points = check('a/b', 3).points\nrange(int(points)), '%d' % points, points // 2, points**2, min(points, 4)",
    "import json\njson.dumps(check('a/b', 3).to_dict()), torch.tensor([check('a/b', 3).points])",
    "import copy, dataclasses\ncopy.deepcopy(check('a/b', 3)), dataclasses.asdict(check('a/b', 3))",
    "from IPython.display import HTML, display\ndisplay(HTML(check('a/b', 3).html()))",
    "', '.join([check('a/b', 3).summary, *check('a/b', 3).mistakes])\ncheck('a/b', 3).text().splitlines()[0]",
    "all(criterion.passed for criterion in check('a/b', 3).criteria)\nassert 'check' in str(check('a/b', 3))",
)


@pytest.mark.parametrize("statement", REPORTS)
def test_what_a_cell_asks_of_a_report_does_not_cost_what_it_defines_below(
    statement, released, assignment, sandbox
):
    answers = {**RIGHT, "basic_block": f"from casestudies import check\n{statement}\n{BLOCK}"}
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]
    assert "Traceback" not in graded.notebook


def test_what_a_report_has_at_home_it_has_while_a_notebook_is_graded():
    here, real = shim.check("a/b", None), Report("a/b", possible=4.0, seed=1)
    for name in dir(real):
        if not name.startswith("_") and not callable(getattr(real, name)):
            assert isinstance(getattr(here, name), type(getattr(real, name))), name
    for name in ("headline", "text", "html", "to_dict"):
        assert type(getattr(here, name)()) is type(getattr(real, name)()), name
    assert set(here.to_dict()) >= set(real.to_dict())
    for said in (f"{here}", f"{here.points:.1f}", str(here.points), here.text()):
        assert "judged by the grader" in said


INPUTS = (
    "name = input('Your name? ')",
    "import getpass\ngetpass.getpass('Password: ')",
    "import builtins\nbuiltins.input()",
    "count = int(input('How many? '))\nassert count == 0 and type(count) is int",
    "rate = float(input('Rate? '))\nassert rate == 0 and input() == '' and not input().strip()",
)


@pytest.mark.parametrize("statement", INPUTS)
def test_a_cell_that_asks_for_input_goes_on_without(statement, released, assignment, sandbox):
    answers = {**RIGHT, "basic_block": f"{statement}\n{BLOCK}"}
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]
    assert NO_INPUT in graded.notebook


def test_a_cell_that_insists_on_input_ends(released, assignment, sandbox):
    answers = double("while input() != 'yes': pass")
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "wrong"]
    assert graded.notebook.count(NO_INPUT) > MOST_INPUTS and "EOFError" in graded.notebook


def test_code_runs_as_it_was_written_and_is_shown_without_what_makes_it_read_otherwise(
    released, assignment, sandbox
):
    turned = "\u202e\u2066\u200f\x1b"
    block = f"# {turned} text\nassert len('{turned}') == 4\n{BLOCK}"
    graded = grade_submission(submit(released, {**RIGHT, "basic_block": block}), assignment, sandbox)
    assert [verdict.state for verdict in graded.verdicts] == ["passed", "passed"]
    notebook = json.loads(graded.notebook)
    (shown,) = ["".join(c["source"]) for c in notebook["cells"] if "BasicBlock(nn" in "".join(c["source"])]
    assert not set(turned) & set(shown)
    assert shown.replace("\ufffd", "") == block.translate(dict.fromkeys(map(ord, turned)))


# What a cell before the parts may leave on: each makes right blocks fail where it is in force during a check.
LEFT_ON = {
    "inference mode": "torch.inference_mode().__enter__()",
    "no gradients": "torch.set_grad_enabled(False)",
    "float64": "torch.set_default_dtype(torch.float64)",
    "the meta device": "torch.set_default_device('meta')",
    "a device as a context": "torch.device('meta').__enter__()",
    "autocast": "torch.autocast('cpu', torch.bfloat16).__enter__()",
    "anomaly mode": "torch.autograd.set_detect_anomaly(True)",
    "determinism": "torch.use_deterministic_algorithms(True)",
    "a hook after forward": "nn.modules.module.register_module_forward_hook(lambda m, i, o: o * 0)",
    "a mode of operations": (
        "from torch.utils._python_dispatch import TorchDispatchMode\n"
        "class Spoiling(TorchDispatchMode):\n"
        "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
        "        found = func(*args, **(kwargs or {}))\n"
        "        return found * 0 if isinstance(found, torch.Tensor) and found.is_floating_point() else found\n"
        "Spoiling().__enter__()"
    ),
    "another generator of NumPy's": "import numpy as np; np.random.set_bit_generator(np.random.PCG64(1))",
    "no generator of NumPy's": "import numpy, sys; sys.modules['numpy.random'] = object()",
    "no generator of Python's": "import random; random.getstate = random.setstate = random.seed = None",
    "no streams": "import sys; sys.stdout = sys.stderr = None",
    "closed streams": "import sys; sys.stdout.close(); sys.stderr.close()",
    "streams of its own": "import io, sys; sys.stdout, sys.stderr = io.StringIO(), io.StringIO()",
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
}


@pytest.mark.parametrize("name", LEFT_ON)
def test_what_a_cell_leaves_on_costs_no_points(name, released, assignment, sandbox):
    answers = {**RIGHT, "basic_block": f"{RIGHT['basic_block']}\n{LEFT_ON[name]}"}
    graded = grade_submission(submit(released, answers), assignment, sandbox)
    assert graded.verdicts[0].state == "passed"
