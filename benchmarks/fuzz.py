"""Forges frames and answers, thousands of them, and counts what becomes of them.

    python benchmarks/fuzz.py [--number 10000] [--seed 0]

Nothing may leave a boundary: a frame is read or refused, and a check with forged answers ends in a report that is
neither the grader's fault nor, for a wrong answer, full marks. Exits with 1 otherwise, and prints the seed.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import warnings
from collections import Counter
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


def frames(number: int, seed: int) -> Counter:
    found: Counter = Counter()
    for each in range(seed, seed + number):
        try:
            m.loads(forge_frame(random.Random(each)))
            found["read"] += 1
        except m.Malformed:
            found["refused"] += 1
        except Exception as error:
            found[f"FAULT: {type(error).__name__} (seed {each})"] += 1
    return found


def checks(number: int, seed: int) -> Counter:
    found: Counter = Counter()
    for each in range(seed, seed + number):
        dice = random.Random(each)
        id, right, share = dice.choice(ASKED), dice.random() < 0.5, dice.choice([0.02, 0.05, 0.1, 0.3])
        wrong = Block if id == "resnet/basic_block" else PARTS[id].mistakes[0].wrong
        try:
            answer = mutations.forging(honest(id) if right else wrong, dice, share)
            report = run_both_checks(id, answer, each % 2**31)[1]
            fault = report.state == "ungradable" or (report.passed and not right)
            report.html(), report.text()
            found[f"FAULT: {report.state} {id} (seed {each})" if fault else report.state] += 1
        except Exception as error:
            found[f"FAULT: {type(error).__name__} {id} (seed {each})"] += 1
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    logging.basicConfig()
    warnings.simplefilter("ignore")  # of torch, about complex numbers
    fault = False
    for name, count in (("frames", frames), ("checks", checks)):
        found = count(options.number, options.seed)
        print(
            f"{options.number:,} forged {name}: "
            + ", ".join(f"{n:,} {what}" for what, n in found.most_common())
        )
        fault |= any(what.startswith("FAULT") for what in found)
    return int(fault)


if __name__ == "__main__":
    sys.exit(main())
