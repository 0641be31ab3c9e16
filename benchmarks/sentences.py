"""Whether a name that is shown is true, with any seed: every known mistake, checked with 25 of them.

    python benchmarks/sentences.py                       every known mistake with 25 seeds (hours)
    python benchmarks/sentences.py resnet vgg --jobs 2   two assignments
    python benchmarks/sentences.py --turns               every known mistake with one seed, the k-th with seed k of 25

A mistake is made on purpose, so its true name is known. A *false* name is that of another mistake, unless the two
are called alternatives and the true one is among them. A mistake is *unnamed* where none is named at all; what
differs may be shown all the same. It is *worse* in the grade than at home where it has full marks with one seed and
not with another. Each fault is printed with the seed that repeats it.

Reports are counted in a file as they come: a run that was interrupted goes on, and other code starts anew.
Exit status: 1 if a name was false, or an answer with a mistake had full marks.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

from resumed import carried_on, parsed, parser_for

from casestudies import check
from casestudies.checking.parts import find, parts

SEEDS = 25


@dataclass(frozen=True)
class Said:
    """What one report said of a mistake."""

    part: str
    mistake: str
    seed: int
    passed: bool
    named: tuple[str, ...]
    alternatives: bool

    @property
    def key(self) -> tuple[str, str, int]:
        return self.part, self.mistake, self.seed

    @property
    def fault(self) -> str:
        """ "passed", "false", "unnamed" or, where it is as it should be, nothing."""
        part = find(self.part)
        if self.passed:
            return "passed"
        if not self.named:
            return "" if part is not None and self.mistake in part.given else "unnamed"
        others = set(self.named) - {self.mistake}
        return "false" if others and not (self.alternatives and self.mistake in self.named) else ""


def said(asked: tuple[str, str, int]) -> Said:
    part_id, mistake, seed = asked
    part = find(part_id)
    wrong = next(known.wrong for known in part.mistakes if known.id == mistake)
    report = check(part_id, wrong, hidden=True, seed=seed)
    return Said(part_id, mistake, seed, report.passed, tuple(report.mistakes), report.alternatives)


def wanted(names: list[str], seeds: int, turns: bool) -> list[tuple[str, str, int]]:
    known = [(part.id, each.id) for name in names for part in parts(name).values() for each in part.mistakes]
    if turns:
        return [(*each, number % seeds) for number, each in enumerate(known)]
    return [(*each, seed) for seed in range(seeds) for each in known]


def show(found: list[Said]) -> int:
    """The table; returns how many faults weigh: an unnamed mistake is none."""
    rows: dict[str, Counter[str]] = {}
    passed: Counter[tuple[str, str]] = Counter()
    reports: Counter[tuple[str, str]] = Counter()
    for each in found:
        rows.setdefault(each.part, Counter())[each.fault] += 1
        reports[each.part, each.mistake] += 1
        passed[each.part, each.mistake] += each.passed
    print(f"{'part':36} {'reports':>8} {'named':>7} {'unnamed':>8} {'false':>6} {'passed':>7}")
    for part, row in rows.items():
        counts = [sum(row.values()), row[""], row["unnamed"], row["false"], row["passed"]]
        print(f"{part:36} {counts[0]:>8} {counts[1]:>7} {counts[2]:>8} {counts[3]:>6} {counts[4]:>7}")
    total = sum(rows.values(), Counter())
    worse = sum(0 < number < reports[key] for key, number in passed.items())
    print(
        f"{len(found):,} reports of {len(reports):,} mistakes: {total['false']} false names, {total['unnamed']} "
        f"without one, {total['passed']} full marks, {worse} mistakes graded worse than at home"
    )
    return total["false"] + total["passed"]


def stored(line: dict[str, Any]) -> Said:
    return Said(**{**line, "named": tuple(line["named"])})


def told(each: Said) -> list[str]:
    names = ", ".join(each.named)
    return [f"{each.fault}: {each.part} {each.mistake}, seed {each.seed}: {names}"] if each.fault else []


def main() -> int:
    parser = parser_for(str(__doc__).partition("\n")[0], "sentences.jsonl")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument(
        "--turns", action="store_true", help="one seed for each mistake, another for the next"
    )
    arguments = parsed(parser, "seeds")
    asked = wanted(arguments.names, arguments.seeds, arguments.turns)
    found = carried_on(
        asked,
        said,
        key=lambda each: each,
        read=stored,
        faults=told,
        arguments=arguments,
        unit="report",
    )
    return 1 if show(found) else 0


if __name__ == "__main__":
    sys.exit(main())
