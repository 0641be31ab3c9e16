"""An alignment that was found before is taken again only where it would come out the same."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from casestudies.checking import differences, remembered
from casestudies.checking.differences import Work, compare_layers
from casestudies.checking.layers import Layer


def chain(*kinds: str, size: int = 3) -> tuple[Layer, ...]:
    layers = [Layer("input", (), (), 0, (2, size))]
    for number, kind in enumerate(kinds, start=1):
        layers.append(Layer(kind, (("size", size),), (number - 1,), number, (2, size)))
    return tuple(layers)


ASKED, YOURS = chain("tanh", "ReLU", "tanh"), chain("tanh", "sigmoid", "tanh")


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    forgotten()


def forgotten() -> None:
    remembered._KEPT.clear()
    remembered._entries = 0


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls: list[int] = []
    align = differences._Alignment._align
    monkeypatch.setattr(differences._Alignment, "_align", lambda self, *a: calls.append(1) or align(self, *a))
    return calls


def test_the_same_comparison_is_made_once(monkeypatch) -> None:
    calls = counted(monkeypatch)
    first = compare_layers(ASKED, YOURS)
    assert first is not None and first.differences
    assert compare_layers(chain("tanh", "ReLU", "tanh"), YOURS) == first
    assert len(calls) == 1


def test_one_of_other_sizes_is_the_same_in_other_words(monkeypatch) -> None:
    calls = counted(monkeypatch)
    compare_layers(ASKED, YOURS)
    asked, yours = (chain("tanh", kind, "tanh", size=7) for kind in ("ReLU", "sigmoid"))
    found = compare_layers(asked, yours)
    assert len(calls) == 1
    forgotten()
    assert found == compare_layers(asked, yours)
    # Where sizes are equal that were not, or the other way round, it is another one.
    compare_layers(asked, (*yours[:-1], replace(yours[-1], settings=(("size", 3),))))
    assert len(calls) == 3


def test_other_values_are_compared_anew(monkeypatch) -> None:
    calls = counted(monkeypatch)
    for equal in (lambda a, b: False, lambda a, b: a.value == b.value, lambda a, b: a.value == 2 == b.value):
        found = compare_layers(ASKED, YOURS, equal)
        assert compare_layers(ASKED, YOURS, equal) == found
    assert len(calls) == 3


def test_whatever_came_before_each_is_what_it_would_be_alone() -> None:
    dice = random.Random(0)
    kinds = ["tanh", "ReLU", "sigmoid", "sum"]

    def layers() -> tuple[Layer, ...]:
        found = [Layer("input", (), (), 0, (2, 3))]
        for number in range(1, dice.randint(2, 6)):
            kind, settings = dice.choice(kinds), (("size", dice.choice((3, 4))),)
            reads = tuple(dice.choices(range(number), k=2 if kind == "sum" else 1))
            found.append(Layer(kind, settings, reads, number, (2, 3)))
        return tuple(found)

    again = 0
    for _ in range(1500):
        asked, yours = layers(), layers()
        table = {(a, b): dice.random() < 0.1 for a in range(6) for b in range(6)}

        def equal(one: Layer, other: Layer, table: dict = table) -> bool:
            return table[one.value, other.value]

        work = Work()
        found = compare_layers(asked, yours, equal, work)
        kept, entries = remembered._KEPT.copy(), remembered._entries
        forgotten()
        alone = Work()
        assert found == compare_layers(asked, yours, equal, alone)
        assert work.left == alone.left
        again += not set(remembered._KEPT) - set(kept)
        remembered._KEPT.update(kept)
        remembered._entries = entries
    assert again > 100


def test_only_so_many_are_kept() -> None:
    for number in range(2, remembered.KEPT + 20):
        remembered.remember(remembered.digest(number), {}, 1, ALIGNED)
    for answer in range(2 * remembered.VERSIONS_KEPT):
        compare_layers(ASKED, YOURS, lambda a, b, n=answer: a.value * 4 + b.value == n)
    assert len(remembered._KEPT) == remembered.KEPT
    assert max(map(len, remembered._KEPT.values())) <= remembered.VERSIONS_KEPT


ALIGNED = remembered.Aligned({1: 1, 2: 2}, frozenset(), frozenset(), ())


def test_large_ones_leave_room_for_fewer(monkeypatch) -> None:
    said = {(1, 1): True, (1, 2): False}
    one = 2 + remembered.PAIR * len(ALIGNED.pairs)
    monkeypatch.setattr(remembered, "ENTRIES_KEPT", 10 * one)
    for number in range(40):
        for answer in (False, True):
            remembered.remember(remembered.digest(number), {**said, (2, 2): answer}, 1, ALIGNED)
        assert remembered._entries == sum(
            each.entries for found in remembered._KEPT.values() for each in found
        )
        assert remembered._entries <= 10 * one
    assert len(remembered._KEPT) > 1
