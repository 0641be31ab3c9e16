"""Whatever comes over the wire, no exception leaves the checks, and nothing is the grader's fault or a free point."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casestudies.checking.engine import run_both_checks
from casestudies.checking.parts import parts
from casestudies.sandboxed import messages as m
from tests.sandboxed import mutations
from tests.sandboxed.mutations import Block
from tests.sandboxed.test_messages import ANSWERS as HONEST

QUICK = settings(max_examples=300, deadline=None)
SLOW = settings(max_examples=60, deadline=None)
FRAMES = [m.dumps(message) for message in HONEST.values()]


def read(data: bytes) -> None:
    try:
        m.loads(data)
    except m.Malformed:
        pass


@QUICK
@given(st.sampled_from(FRAMES), st.lists(st.tuples(st.integers(0, 2**31), st.binary(max_size=4)), max_size=4))
def test_a_frame_with_other_bytes_is_read_or_refused(data: bytes, changes: list[tuple[int, bytes]]) -> None:
    for place, piece in changes:
        place %= len(data)
        data = data[:place] + piece + data[place + len(piece) :]
    read(data)


@QUICK
@given(st.sampled_from(FRAMES), st.integers(0, 2**31), mutations.JSON)
def test_a_frame_with_another_branch_is_read_or_refused(data: bytes, place: int, branch: Any) -> None:
    tree, body = mutations.parts(data)
    paths = mutations.places(tree)
    read(mutations.frame(mutations.grafted(tree, paths[place % len(paths)], branch), body))


# One of each kind: a block, a function that returns one, values, gradients, a view, a module as argument.
ASKED = [
    "resnet/basic_block",
    "resnet/residual_stage",
    "identity/residual_step",
    "identity/make_identity_",
    "efficientnet/drop_connect",
    "nin/conv1x1",
]
PARTS = {id: part for name in {id.partition("/")[0] for id in ASKED} for id, part in parts(name).items()}
ASKED = [id for id in ASKED if id in PARTS]


def honest(id: str) -> Any:
    reference = PARTS[id].reference
    return reference.function if hasattr(reference, "function") else reference.factory


@pytest.mark.parametrize("id", ASKED)
@pytest.mark.parametrize("right", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")
@SLOW
@given(seed=st.integers(0, 2**63), share=st.sampled_from([0.1, 0.4, 1.0]))
def test_forged_answers_are_judged(id: str, right: bool, seed: int, share: float) -> None:
    answer = honest(id) if right else Block if id == "resnet/basic_block" else PARTS[id].mistakes[0].wrong
    reports = run_both_checks(id, mutations.forging(answer, random.Random(seed), share), seed % 2**31)
    for report in reports:
        assert report.state != "ungradable"
        assert 0 <= report.points <= report.possible
        assert right or report.state != "passed"
        report.html(), report.text()
