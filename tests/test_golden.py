"""Ledgers, drawings, the shape tracer and the uses of weights are what they were before they read a graph."""

from __future__ import annotations

import json

import golden
import pytest

BEFORE = json.loads(golden.FILE.read_text(encoding="utf-8"))
KINDS = ("block", "steps", "shapes", "uses of", "ledger resnet", "ledger googlenet", "training googlenet")


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_before(kind: str) -> None:
    found = golden.compute((f"{kind} " if kind.isalpha() else kind,))
    assert found == {name: BEFORE[name] for name in found} and found


@pytest.mark.slow
def test_all_outputs_are_those_of_before() -> None:
    assert golden.compute() == BEFORE
