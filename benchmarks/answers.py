"""What the checks say of answers they were not made for: those of tests/answers, right and wrong.

    python benchmarks/answers.py --out answers.jsonl                 all, about a thousand checks
    python benchmarks/answers.py --out answers.jsonl --only wrong    one of the two files
    python benchmarks/answers.py --out second.jsonl --second         those of second.py, written later
    python benchmarks/answers.py --out answers.jsonl --part resnet   an assignment, or a part; may be repeated
    python benchmarks/answers.py --out answers.jsonl --limit 2       the first two right and wrong ones of each part

Every answer is checked once, as it is graded (the hidden cases included), in one process and one thread. A wrong one
is *caught* when it has less than full marks, *explained* when the report's text matches the pattern that stands
beside it in tests/answers/wrong.py, and *named* when the report shows a mistake or a difference at all, true or not.
Times are given in seconds, and in units of the time that `import torch` takes: the shortest of three fresh
interpreters in the same run.

A line of JSON is written to `--out` after each check. A run that was interrupted goes on where it stopped; lines of
other code, other answers or another seed do not count. Reports of answers that failed in any of the three ways are
kept in their lines. Exit status: 1 if a right answer lost marks or a wrong one did not.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from casestudies import check
from casestudies.grading.fingerprint import fingerprint

ANSWERS = Path(__file__).parents[1] / "tests" / "answers"
sys.path.insert(0, str(ANSWERS.parent))
SECOND = "answers.second"  # RIGHT and WRONG, written later and never tuned to
TABLES = {"right": "answers.right", "wrong": "answers.wrong"}
IMPORT = "import time; start = time.perf_counter(); import torch; print(time.perf_counter() - start)"

FAULTS = ("check failed", "ungradable")  # of the check, not of the answer

Row = dict[str, Any]


def import_torch() -> float:
    """Seconds that a fresh interpreter takes for it."""
    run = [sys.executable, "-c", IMPORT]
    return min(
        float(subprocess.run(run, capture_output=True, text=True, check=True).stdout) for _ in range(3)
    )


def state() -> str:
    """Of the code that judges and of the answers: other code may say something else."""
    found = hashlib.sha256(fingerprint().encode())
    for path in sorted(ANSWERS.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:16]


def chosen(only: str | None, names: list[str], limit: int | None, second: bool) -> list[tuple[str, Any]]:
    import importlib

    found, seen = [], Counter()
    for kind in [only] if only else TABLES:
        table = getattr(importlib.import_module(SECOND), kind.upper()) if second else None
        for answer in table or importlib.import_module(TABLES[kind]).ANSWERS:
            if names and answer.part not in names and answer.part.split("/")[0] not in names:
                continue
            seen[kind, answer.part] += 1
            if limit is None or seen[kind, answer.part] <= limit:
                found.append((kind, answer))
    return found


def tried(kind: str, answer: Any, seed: int, unit: float) -> Row:
    start = time.perf_counter()
    try:
        report = check(answer.part, answer.answer, hidden=True, seed=seed)
        seconds = time.perf_counter() - start
        full, outcome, text = report.passed, report.state, report.text()
        named = bool(report.mistakes or report.differences)
    except Exception as error:  # the check itself fell over
        seconds = time.perf_counter() - start
        full, outcome, text, named = False, "check failed", f"{type(error).__name__}: {error}", False
    row = {
        "kind": kind,
        "part": answer.part,
        "label": answer.label,
        "slips": answer.slips,
        "state": outcome,
        "full": full,
        "explained": kind == "wrong" and outcome != "check failed" and bool(re.search(answer.says, text)),
        "named": named,
        "seconds": seconds,
        "imports": seconds / unit,
    }
    good = full if kind == "right" else row["explained"] and not full
    return row if good else row | {"text": text}


def kept(path: Path, mark: str) -> dict[tuple[str, str, str], Row]:
    """The lines of an earlier run with the same mark; the last one may have been cut off."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if row.get("mark") == mark:
            found[row["kind"], row["part"], row["label"]] = row
    return found


def share(rows: Iterable[Row], name: str, wanted: bool) -> str:
    values = [row[name] == wanted for row in rows]
    return f"{sum(values):4}/{len(values):<4}{100 * sum(values) / len(values):6.1f}%"


def times(rows: list[Row]) -> str:
    seconds, units = [row["seconds"] for row in rows], [row["imports"] for row in rows]
    return f"{statistics.median(seconds):8.3f}{max(seconds):8.3f}{statistics.median(units):9.2f}{max(units):7.2f}"


def table(rows: list[Row]) -> None:
    print(
        f"\n{'':16}{'full marks':>18}{'caught':>18}{'explained':>18}{'named':>18}{'seconds':>16}{'import torch':>16}"
    )
    print(f"{'':88}{'median':>8}{'most':>8}{'median':>9}{'most':>7}")
    right = [row for row in rows if row["kind"] == "right"]
    wrong = [row for row in rows if row["kind"] == "wrong"]
    if right:
        print(f"{'right':16}{share(right, 'full', True):>18}{'':54}{times(right)}")
    groups = {f"wrong, {n} slip{'s' * (n > 1)}": [r for r in wrong if r["slips"] == n] for n in (1, 2, 3)}
    for name, group in {**groups, "wrong": wrong}.items():
        if group:
            caught, explained = share(group, "full", False), share(group, "explained", True)
            named = share(group, "named", True)
            print(f"{name:16}{'':18}{caught:>18}{explained:>18}{named:>18}{times(group)}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--out", type=Path, required=True, help="JSON lines, one an answer; read again to go on"
    )
    parser.add_argument(
        "--second", action="store_true", help="the answers of tests/answers/second.py instead"
    )
    parser.add_argument("--only", choices=TABLES, help="one of the two files")
    parser.add_argument("--part", action="append", default=[], help="such as resnet or resnet/basic_block")
    parser.add_argument("--limit", type=int, help="right and wrong answers of each part, at most")
    parser.add_argument("--seed", type=int, default=0, help="of every check")
    arguments = parser.parse_args()
    answers = chosen(arguments.only, arguments.part, arguments.limit, arguments.second)
    if not answers:
        parser.error("no answer is left; parts are written as in check(...)")
    torch.set_num_threads(1)
    unit, mark = import_torch(), f"{state()}-{arguments.seed}"
    print(f"import torch: {unit:.2f} s")
    done = kept(arguments.out, mark)
    rows = []
    kind, first = answers[0]
    tried(kind, first, arguments.seed, unit)  # what a first check imports is not counted
    with arguments.out.open("a") as out:
        for kind, answer in tqdm(answers, unit="answer", smoothing=0, dynamic_ncols=True):
            row = done.get((kind, answer.part, answer.label))
            if row is None:
                row = tried(kind, answer, arguments.seed, unit) | {"mark": mark}
                print(json.dumps(row), file=out, flush=True)
            rows.append(row)
            if row["full"] != (kind == "right") or row["state"] in FAULTS:
                tqdm.write(f"{kind}, {row['state']}: {answer.part}, {answer.label}")
    for row in rows:
        if row["kind"] == "wrong" and not row["full"] and not row["explained"]:
            print(f"not explained: {row['part']}, {row['label']}")
    table(rows)
    return int(any(row["full"] != (row["kind"] == "right") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
