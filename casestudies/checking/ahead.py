"""What checks find out once in a process and keep, found out before the first answer comes.

References and known mistakes, their sizes, the order in which they use their weights, recordings of the references:
none of it depends on an answer. A process that has nothing better to do goes through this, and those that it then
forks have it all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from casestudies.checking.blocks import (
    held_by,
    plan_asked,
    right_recording,
    room_of,
    sizes_of,
    slots_on_one,
)
from casestudies.checking.parts import Reference, in_form, parts
from casestudies.checking.space import Case


def ahead(assignment: str, seed: Callable[[str], int]) -> Iterator[None]:
    """One step of it after another, what every answer needs first; `seed` gives that of a part's cases."""
    declared = list(parts(assignment).values())
    cases: dict[str, list[Case]] = {}
    for part in declared:
        reference = part.reference
        if not isinstance(reference, Reference):
            continue
        cases[part.id] = [each.case for each in reference.drawn(seed(part.id))]
        for case in cases[part.id]:
            room_of(reference.factory, case)
            held_by(reference.factory, case)
            yield
    blocks = [(part, part.reference) for part in declared if isinstance(part.reference, Reference)]
    for part, reference in blocks:
        for case in cases[part.id]:
            plan_asked(reference.factory, case)
            for training in (False, True):
                right_recording(reference.factory, case, training)
                yield
    for part, reference in blocks:
        # Candidates are first compared where they are smallest.
        smallest = min(cases[part.id], key=lambda case: room_of(reference.factory, case))
        right = sizes_of(reference.factory, smallest)
        for known in part.mistakes:
            for form in (None, *reference.forms):
                wrong = in_form(known.wrong, form)
                if sizes_of(wrong, smallest) == right:
                    slots_on_one(wrong, smallest)
                yield


__all__ = ["ahead"]
