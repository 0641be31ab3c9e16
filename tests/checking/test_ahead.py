"""What is found out ahead of the first answer is what the answers then ask for."""

from __future__ import annotations

from casestudies.checking import blocks
from casestudies.checking.ahead import ahead
from casestudies.checking.engine import run_check
from casestudies.checking.parts import parts
from casestudies.sandboxed.probe import Probe

PART, SEED = "resnet/basic_block", 2024
KEPT = (blocks.room_of, blocks.held_by, blocks.plan_asked, blocks.right_recording)


def found_out() -> list[int]:
    return [each.cache_info().misses for each in KEPT]


def test_an_answer_finds_all_that_is_known_of_the_reference():
    for each in KEPT:
        each.cache_clear()
    assert sum(1 for _ in ahead("resnet", lambda part: SEED)) > 0
    before = found_out()
    declared = parts("resnet")[PART]
    wrong = next(each for each in declared.mistakes if each.id == "relu_before_addition").wrong
    assert run_check(PART, Probe(declared.reference.factory).handle, seed=SEED).passed
    assert not run_check(PART, Probe(wrong).handle, seed=SEED).passed
    assert found_out()[:2] == before[:2]  # plans are of mistakes, too
    assert found_out()[3] == before[3]


def test_a_report_is_the_same_without_it():
    def report() -> dict[str, object]:
        wrong = parts("resnet")[PART].mistakes[3].wrong
        return run_check(PART, Probe(wrong).handle, seed=SEED + 1).to_dict()

    without = report()
    for each in KEPT:
        each.cache_clear()
    for _ in ahead("resnet", lambda part: SEED + 1):
        pass
    assert report() == without
