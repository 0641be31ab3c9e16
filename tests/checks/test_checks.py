"""The checks, tested as hard as the students: right answers in any style pass, wrong ones fail and are named.

Each file beside this one, named as its assignment, exports
    CORRECT: {part: {style: answer}}
    WRONG: {part: {label: (answer, identifier of the mistake to be named, or None)}}
The known mistakes themselves come from `casestudies.checks`. What an assignment must have beside that stands in
`casestudies/grading/demands.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from casestudies import check
from casestudies.checking import session
from casestudies.checking.blocks import build
from casestudies.checking.parts import Reference, Values, assignments, parts
from casestudies.checking.shown import STEPS
from casestudies.grading.demands import DEMANDS, Demand, Draft, fault_of_right, fault_of_wrong

ROOT = Path(__file__).parents[2]

VARIANTS = {
    name: draft.answers for name in assignments() if (draft := Draft(ROOT, name)).files["answers"].exists()
}
PARTS = {id: part for name in VARIANTS for id, part in parts(name).items()}
for _part in PARTS.values():
    for _known in _part.mistakes:
        assert _known.wrong  # a row that does not fit its reference raises here, and says which it is
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
TURNS = [
    pytest.param(id, known, number % 25, id=f"{id}-{known.id}-{number % 25}")
    for number, (id, known) in enumerate((id, known) for id, part in PARTS.items() for known in part.mistakes)
    if number % 8 == 3
]


def test_every_assignment_has_variants() -> None:
    assert set(VARIANTS) == set(assignments())


@pytest.mark.parametrize("demand", DEMANDS, ids=lambda demand: demand.name)
@pytest.mark.parametrize("name", VARIANTS)
def test_assignment_has_what_is_demanded(name: str, demand: Demand) -> None:
    assert demand.faults(Draft(ROOT, name)) == []


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("part", "answer"), CORRECT)
def test_correct_gets_full_marks(part: str, answer: object, seed: int) -> None:
    report = check(part, answer, hidden=True, seed=seed)
    assert not fault_of_right(report), report.text()


@pytest.mark.parametrize(("part", "known"), MISTAKES)
def test_known_mistake_loses_marks_and_is_named(part: str, known: object) -> None:
    report = check(part, known.wrong, hidden=True, seed=21)
    assert not fault_of_wrong(PARTS[part], report, known.id), report.text()
    if PARTS[part].given == {known.id}:  # naming it would give the answer away
        assert report.points == 0 and not report.mistakes


@pytest.mark.parametrize(("part", "known", "seed"), TURNS)
def test_only_the_true_mistake_is_named(part: str, known: object, seed: int) -> None:
    """Some mistakes, each with another of 25 seeds; `benchmarks/sentences.py` takes all of them with all."""
    report = check(part, known.wrong, hidden=True, seed=seed)
    others = set(report.mistakes) - {known.id}
    assert not report.passed
    assert not others or (report.alternatives and known.id in report.mistakes), report.text()


@pytest.mark.parametrize(("part", "known"), MISTAKES[1::10])
def test_a_further_call_tells_more_whatever_it_draws(part: str, known: object) -> None:
    session.forget()
    told = [STEPS.index(check(part, known.wrong, seed=seed).told) for seed in (41, 42, 43)]
    session.forget()
    assert told[0] < told[1] <= told[2] and (told[1] < told[2] or told[1] == len(STEPS) - 1)


@pytest.mark.parametrize(("part", "answer", "expected"), WRONG)
def test_wrong_answer_loses_marks(part: str, answer: object, expected: str | None) -> None:
    report = check(part, answer, hidden=True, seed=31)
    assert not fault_of_wrong(PARTS[part], report, expected), report.text()


# Two mistakes that undo each other are a right answer, and are to pass.
CANCEL = {
    ("alexnet/grouped_conv_macs", "groups_ignored", "one_group_counted"),  # C_in · C_out/g is C_in/g · C_out
}


@pytest.mark.parametrize("part", [id for id, part in PARTS.items() if part.pairs])
def test_pairs_of_mistakes_lose_marks(part: str) -> None:
    """About a dozen pairs, to keep the suite short; `benchmarks/checks.py --pairs 9999` runs them all."""
    pairs = PARTS[part].pairs
    passed = [
        (pair.one.id, pair.other.id)
        for pair in pairs[:: max(1, len(pairs) // 12)]
        if _can_be_built(PARTS[part].reference, pair.wrong)
        and check(part, pair.wrong, hidden=True, seed=41).passed
    ]
    assert [pair for pair in passed if (part, *pair) not in CANCEL] == []


def _can_be_built(reference: Reference | Values, both: Callable[..., object]) -> bool:
    """Whether two mistakes fit together at all: a pair that cannot even be constructed is nobody's answer."""
    if isinstance(reference, Values):
        return True
    try:
        build(both, reference.drawn(0)[0].case)
    except Exception:
        return False
    return True


REPAIRED = [id for id in PARTS if "repaired" in id]


def as_given(part: str) -> object:
    """The block to repair, from the notebook itself."""
    from casestudies.grading.notebooks import build_source

    name, _, repaired = part.partition("/")
    cells = build_source(ROOT / "solutions" / f"{name}.md").cells
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


@pytest.mark.parametrize("part", REPAIRED)
def test_block_to_repair_is_worth_nothing_as_it_was_given(part: str) -> None:
    report = check(part, as_given(part), hidden=True, seed=51)
    assert report.points == 0 and not report.passed


@pytest.mark.parametrize("part", [part for part in REPAIRED if PARTS[part].given])
def test_check_does_not_tell_what_is_wrong_with_the_block_to_repair(part: str) -> None:
    report = check(part, as_given(part), hidden=True, seed=52)
    assert not report.mistakes and "as it was given" in report.summary
