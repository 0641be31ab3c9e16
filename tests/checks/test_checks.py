"""The checks, tested as hard as the students: right answers in any style pass, wrong ones fail and are named.

Each file beside this one, named as its assignment, exports
    CORRECT: {part: {style: answer}}
    WRONG: {part: {label: (answer, identifier of the mistake to be named, or None)}}
The known mistakes themselves come from `casestudies.checks`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from casestudies import check
from casestudies.checking.blocks import build
from casestudies.checking.parts import Reference, Values, assignments, parts, written_points

HERE = Path(__file__).parent


def variants(assignment: str) -> ModuleType:
    path = HERE / f"{assignment}.py"
    spec = importlib.util.spec_from_file_location(f"variants_{assignment}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VARIANTS = {name: variants(name) for name in assignments() if (HERE / f"{name}.py").exists()}
PARTS = {id: part for name in VARIANTS for id, part in parts(name).items()}
CORRECT = [
    pytest.param(id, answer, id=f"{id}-{style}")
    for module in VARIANTS.values()
    for id, styles in module.CORRECT.items()
    for style, answer in styles.items()
]
MISTAKES = [
    pytest.param(id, known, id=f"{id}-{known.id}") for id, part in PARTS.items() for known in part.mistakes
]
WRONG = [
    pytest.param(id, answer, expected, id=f"{id}-{label}")
    for module in VARIANTS.values()
    for id, labels in module.WRONG.items()
    for label, (answer, expected) in labels.items()
]
SEEDS = (11, 12)


def test_every_assignment_has_variants() -> None:
    assert set(VARIANTS) == set(assignments())


@pytest.mark.parametrize("part", PARTS)
def test_three_correct_styles(part: str) -> None:
    assert len(VARIANTS[part.partition("/")[0]].CORRECT.get(part, {})) >= 3


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("part", "answer"), CORRECT)
def test_correct_gets_full_marks(part: str, answer: object, seed: int) -> None:
    report = check(part, answer, hidden=True, seed=seed)
    assert report.passed and report.points == report.possible, report.text()


@pytest.mark.parametrize(("part", "known"), MISTAKES)
def test_known_mistake_loses_marks_and_is_named(part: str, known: object) -> None:
    report = check(part, known.wrong, hidden=True, seed=21)
    assert report.points < report.possible and not report.passed
    if PARTS[part].given == {
        known.id
    }:  # the block that students repair: naming it would give the answer away
        assert report.points == 0 and not report.mistakes
    else:
        assert known.id in report.mistakes, report.text()


@pytest.mark.parametrize(("part", "answer", "expected"), WRONG)
def test_wrong_answer_loses_marks(part: str, answer: object, expected: str | None) -> None:
    report = check(part, answer, hidden=True, seed=31)
    assert report.points < report.possible and not report.passed
    if expected in PARTS[part].given and not report.mistakes:  # as it was given: not named, see below
        assert "as it was given" in report.summary
    else:
        assert expected is None or expected in report.mistakes, report.text()


@pytest.mark.parametrize("part", [id for id, part in PARTS.items() if part.pairs])
def test_pairs_of_mistakes_lose_marks(part: str) -> None:
    """About a dozen pairs, to keep the suite short; `benchmarks/checks.py --pairs 9999` runs them all."""
    pairs = PARTS[part].pairs
    passed = [
        (a.id, b.id)
        for a, b, both in pairs[:: max(1, len(pairs) // 12)]
        if _can_be_built(PARTS[part].reference, both) and check(part, both, hidden=True, seed=41).passed
    ]
    assert passed == []


def _can_be_built(reference: Reference | Values, both: Callable[..., object]) -> bool:
    """Whether two mistakes fit together at all: a pair that cannot even be constructed is nobody's answer."""
    if isinstance(reference, Values):
        return True
    try:
        build(both, reference.cases[0])
    except Exception:
        return False
    return True


REPAIRED = [id for id in PARTS if "repaired" in id]


def as_given(part: str) -> object:
    """The block to repair, from the notebook itself."""
    from casestudies.grading.notebooks import build_source

    name, _, repaired = part.partition("/")
    cells = build_source(HERE.parents[1] / "solutions" / f"{name}.md").cells
    written = next(
        i for i, c in enumerate(cells) if c.metadata.get("nbgrader", {}).get("grade_id") == repaired
    )
    found: dict[str, object] = {}
    exec("import torch\nfrom torch import Tensor, nn\nimport torch.nn.functional as F", found)
    exec(
        next(
            c.source
            for c in cells[written::-1]
            if "roken" in c.source and c.cell_type == "code" and c is not cells[written]
        ),
        found,
    )
    return next(value for key, value in found.items() if key.lower().startswith("broken"))


def test_every_assignment_has_something_to_repair() -> None:
    assert [part.partition("/")[0] for part in REPAIRED] == assignments()


@pytest.mark.parametrize("part", REPAIRED)
def test_block_to_repair_is_worth_nothing_as_it_was_given(part: str) -> None:
    report = check(part, as_given(part), hidden=True, seed=51)
    assert report.points == 0 and not report.passed


@pytest.mark.parametrize("part", [part for part in REPAIRED if PARTS[part].given])
def test_check_does_not_tell_what_is_wrong_with_the_block_to_repair(part: str) -> None:
    report = check(part, as_given(part), hidden=True, seed=52)
    assert not report.mistakes and "as it was given" in report.summary


@pytest.mark.parametrize("part", PARTS)
def test_mistakes_are_explained(part: str) -> None:
    for known in PARTS[part].mistakes:
        assert known.text.endswith((".", ")")) and 25 < len(known.text) < 450, known.id
        assert ".html#" in known.see, known.id


@pytest.mark.parametrize("name", VARIANTS)
def test_points_add_up_with_the_notebook(name: str) -> None:
    """The points of a part are those of its cell; a whole assignment is worth 20 points, written answers included."""
    from casestudies.grading.notebooks import build_source

    source = HERE.parents[1] / "solutions" / f"{name}.md"
    cells = [c for c in build_source(source).cells if c.metadata.get("nbgrader", {}).get("grade")]
    points = {part.id: part.points for part in PARTS.values() if part.assignment == name}
    for cell in cells:
        named = [id for id in points if f'"{id}"' in cell.source]
        if named:
            assert cell.metadata["nbgrader"]["points"] == sum(points[id] for id in named)
    assert all(any(f'"{id}"' in cell.source for cell in cells) for id in points)
    assert sum(points.values()) + written_points(name) == 20
    assert sum(cell.metadata["nbgrader"]["points"] for cell in cells) == 20
