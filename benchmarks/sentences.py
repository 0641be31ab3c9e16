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

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from agreement import ROOT, kept_lines
from luck import version
from tqdm import tqdm

from casestudies import check
from casestudies.checking.parts import assignments, find, parts

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


def heard(todo: list[tuple[str, str, int]], jobs: int) -> Iterator[Said]:
    if jobs == 1:
        yield from map(said, todo)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(said, todo, chunksize=8)


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="assignments; all when left out")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument(
        "--turns", action="store_true", help="one seed for each mistake, another for the next"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--results", type=Path, default=ROOT / "_build" / "sentences.jsonl")
    arguments = parser.parse_args()
    for name in arguments.names:
        if name not in assignments():
            parser.error(f"{name!r} is no assignment; there are {', '.join(assignments())}")
    for option in ("seeds", "jobs"):
        if getattr(arguments, option) < 1:
            parser.error(f"--{option} is {getattr(arguments, option)}; expected at least 1")
    asked = wanted(arguments.names or assignments(), arguments.seeds, arguments.turns)
    versions = {name: version(name) for name in assignments()}
    done = {}
    for stored in kept_lines(arguments.results):
        if stored.pop("version") == versions.get(stored["part"].partition("/")[0]):
            each = Said(**{**stored, "named": tuple(stored["named"])})
            done[each.key] = each
    found = [done[key] for key in asked if key in done]
    todo = [key for key in asked if key not in done]
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    try:
        with (
            open(arguments.results, "a", encoding="utf-8") as kept,
            tqdm(total=len(asked), initial=len(found), unit="report", disable=None) as bar,
        ):
            for each in heard(todo, arguments.jobs):
                found.append(each)
                own = versions[each.part.partition("/")[0]]
                kept.write(json.dumps({**asdict(each), "version": own}) + "\n")
                kept.flush()
                if each.fault:
                    bar.write(
                        f"{each.fault}: {each.part} {each.mistake}, seed {each.seed}: {', '.join(each.named)}"
                    )
                bar.update()
    except KeyboardInterrupt:
        print("\nInterrupted; the same command goes on from here.", file=sys.stderr)
    return 1 if show(found) else 0


if __name__ == "__main__":
    sys.exit(main())
