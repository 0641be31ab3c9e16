"""Copies are found however they are disguised, right answers that arose by themselves are not, and no score moves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from casestudies.cli import main
from casestudies.grading import similarity
from casestudies.grading.errors import CourseError
from casestudies.grading.notebooks import fill, notebook_text
from casestudies.grading.similarity import LOOKED_AT, Pair, Work, behaviour_of, page, pairs, read_text
from casestudies.grading.verdicts import Verdict

from .conftest import RIGHT, ROOT

spec = importlib.util.spec_from_file_location("similarity_benchmark", ROOT / "benchmarks" / "similarity.py")
benchmark = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)

# (what a copy changes, before, after)
DISGUISES = [
    ("own names", "a = nn.Linear(3, 4)\nb = a(a(x))", "first = nn.Linear(3, 4)\nsecond = first(first(x))"),
    ("attributes of self", "self.fc = nn.Linear(3, 4)", "self.layer = nn.Linear(3, 4)"),
    (
        "the order of keywords",
        "nn.Conv2d(3, 4, stride=2, bias=False)",
        "nn.Conv2d(3, 4, bias=False, stride=2)",
    ),
    ("annotations", "def f(x):\n    y = x + 1", "def f(x: int) -> int:\n    y: int = x + 1"),
    ("comments, docstrings", "def f(x):\n    y = x", "def f(x):  # mine\n    'What it is.'\n\n    y = x"),
    ("the order of statements", "a = 1 + x\nb = x * 2", "b = x * 2\na = 1 + x"),
    ("quotes and blanks", "d = {'a':1}", 'd = { "a" : 1 }'),
]


@pytest.mark.parametrize(("what", "before", "after"), DISGUISES, ids=[row[0] for row in DISGUISES])
def test_what_a_copy_changes_first_changes_no_feature(what: str, before: str, after: str) -> None:
    assert read_text(before, ["x", "f"]).features == read_text(after, ["x", "f"]).features


def test_what_is_computed_is_a_feature() -> None:
    features = read_text("y = nn.Conv2d(3, x, 3)(x)", ["x"]).features
    assert features != read_text("y = nn.Conv2d(3, x, 5)(x)", ["x"]).features
    assert features != read_text("y = nn.Linear(3, x, 3)(x)", ["x"]).features


@pytest.mark.parametrize(
    "source",
    [
        "def f(:\n    a = torch.relu(b)",
        "x = " + "(" * 3000,
        "\0",
        "",
        "𝒳 = 1\n" * 5,
        "-" * 70_000,
        "try:\n  pass\nfinally:\n  f(1)",
        "class A(B):\n    'Nothing but a docstring.'",
        "def f(x):\n    'Nothing but a docstring.'",
    ],
    ids=[
        "no Python",
        "too deep",
        "a zero",
        "nothing",
        "letters",
        "long",
        "a try",
        "bare class",
        "bare function",
    ],
)
def test_any_text_can_be_read(source: str) -> None:
    read_text(source)


@pytest.mark.parametrize("depth", [1, 10, 60])
def test_what_is_read_grows_with_the_text_and_not_with_its_depth(depth: int) -> None:
    """Each part of an expression is a feature; written out one by one, those within each other would be endless."""
    for inside in ("a + b, " * 7_000, "".join("[" * 20 + "a + b" + "]" * 20 + ", " for _ in range(1_000))):
        source = "x = " + "[" * depth + inside + "]" * depth
        found = read_text(source)
        assert found.features and sum(map(len, found.features)) < 4 * len(source)
        written = sum(len(feature) * count for feature, count in found.features.items())
        assert written < 40 * LOOKED_AT


def test_code_that_is_no_python_is_compared_line_by_line() -> None:
    one, other = read_text("if x\n  mine = torch.relu(x)"), read_text("if x\n  yours   = torch.relu(x)  # !")
    assert one.features == other.features


@pytest.mark.parametrize("name", ["resnet", "vgg"])
def test_planted_copies_are_found_and_right_answers_by_themselves_are_not(name: str) -> None:
    found, planted, hints, _ = benchmark.measure(name)
    assert (found, hints) == (planted, 0) and planted >= 8


def test_a_disguised_copy_does_not_look_like_the_original() -> None:
    source = next(iter(benchmark.class_of("resnet")[0].cells.values()))
    copy = benchmark.disguised(source, 1)
    assert (
        copy != source and len(set(copy.split("\n")) & set(source.split("\n"))) < len(source.split("\n")) / 3
    )


def students(*own: str, n: int = 8) -> list[Work]:
    """A class in which the first ones wrote what is given, and everybody else something of his own."""
    rest = [
        f"def f(x):\n    return (x + {k}) * {k} - x ** {k} + max(x, {k})"
        for k in range(100, 100 + n - len(own))
    ]
    return [Work(f"s{k}", {"f": text}) for k, text in enumerate([*own, *rest])]


RARE = "def f(x):\n    a = torch.relu(x) * 7\n    b = torch.tanh(a) + 3\n    return [each - 1 for each in (a, b)]\n"


def test_what_two_alone_wrote_is_a_hint() -> None:
    (pair,) = pairs(students(RARE, benchmark.disguised(RARE)), {})
    assert pair.students == ("s0", "s1") and pair.cells[0].share == pytest.approx(1)
    assert pair.cells[0].lines == ({2, 3, 4}, {2, 3, 4})


def test_what_many_wrote_is_none() -> None:
    assert pairs(students(*[RARE] * 6), {}) == []


@pytest.mark.parametrize("known", ["the release", "the solution"])
def test_what_everybody_was_given_is_none(known: str) -> None:
    assert pairs(students(RARE, RARE), {"f": [RARE]}) == []


def test_a_class_too_small_to_call_anything_rare_is_refused() -> None:
    with pytest.raises(CourseError, match="there are 7 submissions to compare; .* from 8 on"):
        pairs(students(RARE, RARE, n=7), {})


def wrong(student: str, cells: dict[str, str], **behaviour: str) -> Work:
    return Work(student, cells, behaviour)


def test_equal_rare_wrong_behaviour_is_a_hint_and_a_frequent_one_is_not() -> None:
    class_ = students(n=20)
    class_[0] = wrong("a", {}, p="odd", q="odder")
    class_[1] = wrong("b", {}, p="odd", q="odder")
    class_[2:12] = [wrong(f"c{k}", {}, p="usual", q="usual too") for k in range(10)]
    (pair,) = pairs(class_, {})
    assert (pair.students, pair.behaviour, pair.cells) == (("a", "b"), ["p", "q"], [])


def test_the_behaviour_of_a_wrong_answer_has_nothing_of_its_random_numbers() -> None:
    def report(seed: int, difference: str) -> dict:
        return {
            "part": "a/b",
            "state": "partial",
            "seed": seed,
            "summary": f"the largest difference is {seed}",
            "criteria": [{"title": "Values", "points": 1.0, "message": str(seed)}],
            "recognised": [],
            "differences": [{"sentence": difference}],
        }

    def behaviour(*arguments: object) -> dict[str, str]:
        return behaviour_of([Verdict("c", 4, reports=[report(*arguments)])])

    assert behaviour(1, "ReLU is missing.") == behaviour(2, "ReLU is missing.") != behaviour(1, "Other.")
    assert behaviour_of([Verdict("c", 4, reports=[report(1, "x") | {"state": "passed"}])]) == {}
    assert behaviour_of([Verdict("c", 4, reports=[report(1, "x") | {"differences": []}])]) == {}


def test_both_texts_stand_side_by_side_and_nothing_in_them_is_markup() -> None:
    class_ = students(RARE + "# <script>alert(1)</script>", benchmark.disguised(RARE))
    found = pairs(class_, {})
    text = page([Pair(("<b>", "s1"), found[0].cells, ["a/b"])], "small", 8, {"s1": "Ada <i>"})
    assert text.count("<pre>") == 2 and "<mark>" in text and "no finding" in text
    assert "<script" not in text and "<b>" not in text and "<i>" not in text and "Ada &lt;i&gt;" in text


# --------------------------------------------------------------------------- in a course


@pytest.fixture
def course(root: Path, released, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A graded class of eight, as far as this command looks: two of them wrote the same odd thing."""
    import json

    odd = "def double(x):\n    a = [x, x]\n    b = sum(each * 1 for each in a)\n    return max(b, b) or min(a)\n"
    for number in range(8):
        text = (
            odd
            if number == 3
            else benchmark.disguised(odd)
            if number == 5
            else f"def double(x):\n    return x * {number}"
        )
        notebook = fill(released, RIGHT | {"double": text})
        notebook.metadata["casestudies"] = {"verdicts": []}
        for step in ("submitted", "autograded"):
            path = tmp_path / "course" / step / f"s{number}" / "small" / "small.ipynb"
            path.parent.mkdir(parents=True)
            path.write_text(notebook_text(notebook))
    assert json.loads(path.read_text())["metadata"]["casestudies"]
    monkeypatch.chdir(root)
    return tmp_path / "course"


def test_the_command_names_the_pair_and_writes_a_page(course: Path, capsys) -> None:
    assert main(["similar", "small", "--course", str(course)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("s3 and s5: double 100 %") and "1 pairs among 8 submissions" in said
    assert (course / "reports" / "small-alike.html").is_file()


def test_a_damaged_secret_is_told_although_it_is_not_needed(course: Path, capsys) -> None:
    (course / "course_secret").write_text("half of it")
    assert main(["similar", "small", "--course", str(course)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("casestudies similar: ") and "does not hold 64 hexadecimal digits" in line


@pytest.mark.parametrize(
    ("name", "says"),
    [("other", "there is no assignment 'other'; known: small"), ("small", "nothing of small is graded")],
)
def test_bad_input_is_one_sentence(course: Path, name: str, says: str, capsys) -> None:
    import shutil

    shutil.rmtree(course / "autograded")
    assert main(["similar", name, "--course", str(course)]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_nothing_else_reads_or_runs_it() -> None:
    for path in (ROOT / "casestudies").rglob("*.py"):
        if path != Path(similarity.__file__) and path.name != "cli.py":
            assert "grading.similarity" not in path.read_text(encoding="utf-8"), path
    assert "similarity" not in (ROOT / "casestudies/grading/cli.py").read_text(encoding="utf-8")
