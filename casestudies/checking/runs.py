"""Whether the reference of a part runs in every case that a check may draw.

A check compares a student's block with the reference. In a case in which the reference itself raises, there is
nothing to compare with: whoever raises there as well is right, and what cannot be built ends each check.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch

from casestudies.checking.functions import built
from casestudies.checking.parts import Call, Part, Reference, Values
from casestudies.checking.space import DRAWS, Case, Construction, Dice, call_text
from casestudies.sandboxed.probe import generators_kept
from casestudies.sandboxed.torch_state import our_state

SEEDS = 20  # with which the calls of a function are drawn


def faults_of_cases(part: Part) -> Iterator[str]:
    """A sentence for each way in which the reference of a part fails: in which case first, and in how many more."""
    try:
        reference = part.reference
    except Exception as error:  # the author's own code
        yield f"{part.id}: its cases cannot be declared: {_said(error)}"
        return
    found: dict[str, list[str]] = {}
    with our_state(), generators_kept():
        tried = _of_block(reference) if isinstance(reference, Reference) else _of_function(reference)
        for case, problem in tried:
            found.setdefault(problem, []).append(case)
    for problem, cases in found.items():
        more = f" (and {len(cases) - 1} cases more)" if len(cases) > 1 else ""
        yield (
            f"{part.id}: the reference itself fails in {cases[0]}{more}: {problem}; "
            "correct the case or the reference"
        )


def _of_block(reference: Reference) -> Iterator[tuple[str, str]]:
    """Each case in which the block cannot be built or run, and what it raises.

    All draws are looked at, but for large numbers, which a block need not be made for. Of cases that differ in how
    their arguments are written down, or in how many images there are beyond one, one is run.
    """
    ways: dict[Construction, list[tuple[Case, bool]]] = {}
    known = set()
    for seed in range(DRAWS if reference.spaces else 1):
        for drawn in reference.drawn(seed):
            for case in (drawn.case, *(each for each in drawn.beside if not each.is_loud)):
                training = case.training and case is drawn.case
                image = case.image or ()
                key = (case.construction, image[1:], image[:1] if training else (), training)
                if not image or key not in known:
                    known.add(key)
                    ways.setdefault(case.construction, []).append((case, training))
    for cases in ways.values():
        first = cases[0][0]
        try:
            block = reference.factory(*first.args, **first.kwargs).double()
        except Exception as error:
            yield first.describe(reference.name), _said(error)
            continue
        for case, training in cases:
            try:
                with torch.no_grad():
                    inputs = case.inputs(Dice(0))
                    block.eval()(*inputs)
                    if training:
                        block.train()(*inputs)
            except Exception as error:
                yield case.describe(reference.name), _said(error)


def _of_function(reference: Values) -> Iterator[tuple[str, str]]:
    """Each call that the function cannot answer, and what it raises; ValueError is an answer, a refusal."""
    for seed in range(SEEDS):
        for group in reference.groups:
            dice = Dice(seed)
            try:
                calls = list(group.make(dice))
            except Exception as error:
                yield f"the calls of “{group.title}”", _said(error)
                continue
            for made in calls:
                try:
                    _answer(reference.function, made)
                except ValueError:
                    continue
                except Exception as error:
                    yield call_text(reference.name, made.args, made.kwargs), _said(error)


def _answer(function: Callable[..., Any], made: Call) -> None:
    inspect.signature(function).bind(*made.args, **made.kwargs)
    function(*map(built, made.args), **{name: built(value) for name, value in made.kwargs.items()})


def _said(error: Exception) -> str:
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:200]}{'...' if len(words) > 200 else ''}"
