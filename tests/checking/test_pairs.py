"""Pairs of mistakes: those that the student's block may have made are tried first."""

from __future__ import annotations

import pytest

from casestudies.checking.blocks import ask_together, asking, likeliest_first
from casestudies.checking.parts import Part, find
from casestudies.sandboxed.probe import Probe


@pytest.fixture
def module_part() -> Part:
    return find("inception/inception_module")


def rank(part: Part, ids: set[str], pairs: list) -> int:
    return next(i for i, pair in enumerate(pairs) if {pair.one.id, pair.other.id} == ids)


@pytest.mark.parametrize(
    "ids",
    [
        {"other_order_pool_first", "relu_missing_after_reducers"},  # the reference's parameters
        {"three_for_five", "no_bias"},  # others: both change them
        {"pool_with_stride", "no_bias"},  # raises, as one of the two does alone
    ],
)
def test_the_pair_that_was_made_comes_among_the_first_third(module_part: Part, ids: set[str]) -> None:
    pairs = module_part.pairs
    made = pairs[rank(module_part, ids, pairs)].wrong
    seen = ask_together(Probe(made).handle, [asking(module_part.reference.drawn(5)[0].case, seed=5)])[0]
    ordered = likeliest_first(module_part, seen)
    assert rank(module_part, ids, ordered) < len(pairs) / 3


def test_no_pair_is_lost(module_part: Part) -> None:
    right = ask_together(
        Probe(module_part.reference.factory).handle, [asking(module_part.reference.drawn(5)[0].case, seed=5)]
    )[0]
    ids = {(pair.one.id, pair.other.id) for pair in likeliest_first(module_part, right)}
    assert ids == {(pair.one.id, pair.other.id) for pair in module_part.pairs}
