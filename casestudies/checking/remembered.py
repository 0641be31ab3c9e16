"""What alignments came to, for others like them: those of other sizes, of other seeds and of other students.

An alignment follows from which layers are alike, from what each reads, from what a change of one into another counts
for, and from which of them give the same values; from no name, size or value itself. So one that agrees with another
in all of this is not looked for again. Which layers give the same values is asked each time anew: values that are
equal by chance in one run, or by a student's design, decide that alone.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

# A class makes a few hundred different ones, again and again. Of each with other values; and of all together what
# they asked about values, and the pairs that they hold.
KEPT, VERSIONS_KEPT, ENTRIES_KEPT = 512, 3, 2**22
PAIR = 32  # entries that a pair counts for, of four bytes each


@dataclass(frozen=True)
class Aligned:
    """What an alignment came to: which layers stand for each other, which ones are there by value and which of the
    student's compute these, and the later ones of two neighbours in the other order."""

    pairs: dict[int, int]
    by_value: frozenset[int]
    free: frozenset[int]
    exchanged: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class _Kept:
    """What an alignment came to, what it asked about values for that (pairs of layers that were equal, and that were
    not, each as one number), and the work that it took."""

    equal: array[int]
    other: array[int]
    spent: int
    aligned: Aligned

    @property
    def entries(self) -> int:
        return len(self.equal) + len(self.other) + PAIR * len(self.aligned.pairs)


_KEPT: OrderedDict[bytes, list[_Kept]] = OrderedDict()
_entries = 0  # of all of these


def digest(form: object) -> bytes:
    """Of all that an alignment depends on but for values, as tuples of numbers."""
    return hashlib.sha256(repr(form).encode()).digest()


def recalled(key: bytes, equal: Callable[[int, int], bool]) -> tuple[Aligned, int] | None:
    """What was found for the same form where `equal` gave the same answers, and what work that took."""
    for kept in _KEPT.get(key, ()):
        if not any(equal(n >> 16, n & 0xFFFF) for n in kept.other) and all(
            equal(n >> 16, n & 0xFFFF) for n in kept.equal
        ):
            _KEPT.move_to_end(key)
            return kept.aligned, kept.spent
    return None


def remember(key: bytes, said: dict[tuple[int, int], bool], spent: int, aligned: Aligned) -> None:
    """Keeps what was found with these answers; what nobody has asked for longest makes room."""
    global _entries
    equal, other = (
        array("I", (a << 16 | b for (a, b), is_so in said.items() if is_so is wanted))
        for wanted in (True, False)
    )
    versions = _KEPT.setdefault(key, [])
    versions.insert(0, _Kept(equal, other, spent, aligned))
    _KEPT.move_to_end(key)
    _entries += versions[0].entries - sum(each.entries for each in versions[VERSIONS_KEPT:])
    del versions[VERSIONS_KEPT:]
    while len(_KEPT) > KEPT or (_entries > ENTRIES_KEPT and len(_KEPT) > 1):
        _entries -= sum(each.entries for each in _KEPT.popitem(last=False)[1])
