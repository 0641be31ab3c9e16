"""Forges frames and answers, thousands of them, and counts what becomes of them.

    python benchmarks/fuzz.py [--number 10000] [--seed 0] [--results FILE]

With --results, what was found is kept in a file as it comes: the same command goes on where it was interrupted.
Nothing may leave a boundary: a frame is read or refused, and a check with forged answers ends in a report that is
neither the grader's fault nor, for a wrong answer, full marks. Exits with 1 otherwise, and prints the seed.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from casestudies.checking.engine import run_both_checks  # noqa: E402
from casestudies.sandboxed import messages as m  # noqa: E402
from tests.sandboxed import mutations  # noqa: E402
from tests.sandboxed.test_fuzz import ASKED, FRAMES, PARTS, Block, honest  # noqa: E402

BRANCHES = [
    None,
    True,
    0,
    -1,
    1 << 70,
    1.5,
    "",
    "Value",
    "Done",
    "\ud800",
    [],
    {},
    ["Done"],
    ["Value"],
    [[[[]]]],
]


def forge_frame(dice: random.Random) -> bytes:
    data = dice.choice(FRAMES)
    if dice.random() < 0.5:
        for _ in range(dice.randint(1, 4)):
            place = dice.randrange(len(data))
            data = data[:place] + dice.randbytes(dice.randint(0, 4)) + data[place + dice.randint(0, 4) :]
        return data
    tree, body = mutations.parts(data)
    for _ in range(dice.randint(1, 3)):
        branch = dice.choice([*BRANCHES, dice.choice(mutations.WORDS)])
        tree = mutations.grafted(tree, dice.choice(mutations.places(tree)), branch)
    return mutations.frame(tree, body)


def forged_frame(seed: int) -> str:
    """What becomes of one frame."""
    try:
        m.loads(forge_frame(random.Random(seed)))
        return "read"
    except m.Malformed:
        return "refused"
    except Exception as error:
        return f"FAULT: {type(error).__name__} (seed {seed})"


def forged_check(seed: int) -> str:
    """What becomes of one check whose answers are forged."""
    dice = random.Random(seed)
    id, right, share = dice.choice(ASKED), dice.random() < 0.5, dice.choice([0.02, 0.05, 0.1, 0.3])
    wrong = Block if id == "resnet/basic_block" else PARTS[id].mistakes[0].wrong
    try:
        answer = mutations.forging(honest(id) if right else wrong, dice, share)
        report = run_both_checks(id, answer, seed % 2**31)[1]
        fault = report.state == "ungradable" or (report.passed and not right)
        report.html(), report.text()
        return f"FAULT: {report.state} {id} (seed {seed})" if fault else report.state
    except Exception as error:
        return f"FAULT: {type(error).__name__} {id} (seed {seed})"


KINDS: dict[str, Callable[[int], str]] = {"frames": forged_frame, "checks": forged_check}


class Results:
    """What was found of each kind, and from which seed to go on; in a file, if there is one."""

    def __init__(self, path: Path | None, seed: int) -> None:
        self.path, self.seed = path, seed
        self.found: dict[str, Counter[str]] = {name: Counter() for name in KINDS}
        if path is not None and path.exists():
            before = json.loads(path.read_text())
            if before["seed"] == seed:
                self.found = {name: Counter(before["found"][name]) for name in KINDS}

    def collect(self, name: str, number: int) -> Counter[str]:
        found = self.found[name]
        for done in range(found.total(), number):
            found[KINDS[name](self.seed + done)] += 1
            if done % 100 == 99:
                self.save()
        self.save()
        return found

    def save(self) -> None:
        if self.path is not None:
            part = self.path.with_name(f"{self.path.name}.part")
            part.write_text(json.dumps({"seed": self.seed, "found": self.found}))
            part.replace(self.path)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, help="a file to keep what was found in, and to go on from")
    options = parser.parse_args()
    results = Results(options.results, options.seed)
    logging.basicConfig()
    warnings.simplefilter("ignore")  # of torch, about complex numbers
    fault = False
    for name in KINDS:
        found = results.collect(name, options.number)
        print(
            f"{options.number:,} forged {name}: "
            + ", ".join(f"{n:,} {what}" for what, n in found.most_common())
        )
        fault |= any(what.startswith("FAULT") for what in found)
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
