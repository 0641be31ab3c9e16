"""A check that has come to its end leaves nothing that only the garbage collector would find: a process grades a
class, and the answers of each block are megabytes."""

from __future__ import annotations

import gc

import pytest
from torch import Tensor

from casestudies.checking.engine import run_check
from casestudies.checking.parts import parts
from casestudies.sandboxed.probe import Probe

PART = parts("resnet")["resnet/basic_block"]
ANSWERS = {"right": PART.reference.factory} | {each.id: each.wrong for each in PART.mistakes[:2]}


@pytest.mark.parametrize("name", ANSWERS)
def test_no_tensor_waits_for_the_garbage_collector(name: str):
    run_check(PART.id, Probe(ANSWERS[name]).handle, seed=1)  # what is kept is kept from now on
    gc.collect()
    gc.disable()
    try:
        run_check(PART.id, Probe(ANSWERS[name]).handle, seed=2)
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        left = [each for each in gc.garbage if isinstance(each, Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
