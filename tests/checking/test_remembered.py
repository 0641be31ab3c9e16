"""A comparison that was made before is taken again only where it would come out the same."""

from __future__ import annotations

import random

import pytest

from casestudies.checking import explain
from casestudies.checking.differences import compare_layers
from casestudies.checking.explain import remembered_comparison
from casestudies.checking.layers import Layer


def chain(*kinds: str) -> tuple[Layer, ...]:
    layers = [Layer("input", (), (), 0, (2, 3))]
    for number, kind in enumerate(kinds, start=1):
        layers.append(Layer(kind, (), (number - 1,), number, (2, 3)))
    return tuple(layers)


ASKED, YOURS = chain("tanh", "ReLU", "tanh"), chain("tanh", "sigmoid", "tanh")


@pytest.fixture(autouse=True)
def _nothing_known() -> None:
    explain._DONE.clear()
    explain._entries = 0


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    calls = []
    monkeypatch.setattr(explain, "compare_layers", lambda *a: calls.append(1) or compare_layers(*a))
    return calls


def test_the_same_comparison_is_made_once(monkeypatch) -> None:
    calls = counted(monkeypatch)
    first = remembered_comparison(ASKED, YOURS)
    assert first == compare_layers(ASKED, YOURS) and first.differences
    assert remembered_comparison(chain("tanh", "ReLU", "tanh"), YOURS) == first
    assert len(calls) == 1


def test_other_values_are_compared_anew(monkeypatch) -> None:
    calls = counted(monkeypatch)
    for equal in (lambda a, b: False, lambda a, b: a.value == b.value, lambda a, b: a.value == 2 == b.value):
        assert remembered_comparison(ASKED, YOURS, equal) == compare_layers(ASKED, YOURS, equal)
    assert len(calls) == 3


def test_what_prints_alike_and_is_another_setting_is_another(monkeypatch) -> None:
    calls = []
    monkeypatch.setattr(explain, "compare_layers", lambda *a: calls.append(a))
    for value in (1, True, 1.0, "1"):
        remembered_comparison(ASKED, (*ASKED[:-1], Layer("dropout", (("p", value),), (2,), 3, (2, 3))))
    assert len(calls) == 4


def test_whatever_came_before_each_is_what_it_would_be_alone() -> None:
    dice = random.Random(0)
    kinds = ["tanh", "ReLU", "sigmoid"]
    for _ in range(300):
        asked, yours = (chain(*dice.choices(kinds, k=dice.randint(1, 3))) for _ in range(2))
        table = {(a, b): dice.random() < 0.2 for a in range(5) for b in range(5)}

        def equal(one: Layer, other: Layer, table: dict = table) -> bool:
            return table[one.value, other.value]

        assert remembered_comparison(asked, yours, equal) == compare_layers(asked, yours, equal)


def test_only_so_many_are_kept() -> None:
    for number in range(explain.COMPARISONS_KEPT + 20):
        remembered_comparison(ASKED, chain("tanh", f"kind {number}"))
    for answer in range(2 * explain.VERSIONS_KEPT):
        remembered_comparison(ASKED, YOURS, lambda a, b, n=answer: a.value * 4 + b.value == n)
    assert len(explain._DONE) == explain.COMPARISONS_KEPT
    assert max(map(len, explain._DONE.values())) <= explain.VERSIONS_KEPT


def test_large_ones_leave_room_for_fewer(monkeypatch) -> None:
    one = _entries_of(chain("tanh", "kind"))
    monkeypatch.setattr(explain, "ENTRIES_KEPT", 10 * one)
    for number in range(40):
        remembered_comparison(ASKED, chain("tanh", f"kind {number}"))
        for answer in range(2 * explain.VERSIONS_KEPT):
            remembered_comparison(ASKED, YOURS, lambda a, b, n=answer: a.value * 4 + b.value == n)
        assert explain._entries == sum(each.entries for found in explain._DONE.values() for each in found)
        assert explain._entries <= 10 * one
    assert len(explain._DONE) > 1


def _entries_of(yours: tuple[Layer, ...]) -> int:
    remembered_comparison(ASKED, yours)
    (found,) = explain._DONE.values()
    return found[0].entries
