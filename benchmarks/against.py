"""Why other tools count otherwise: every network of the zoo in every tool, and whether each MAC is explained.

    python benchmarks/against.py                              the whole zoo, in the tools that are installed
    python benchmarks/against.py resnet50 --tools fvcore      one network, one tool
    python benchmarks/against.py --keep against.jsonl         goes on where an interrupted run stopped

A line for each tool and network whose difference is not explained whole, or whose lines do not sum to it; then, for
each tool, how many networks it counted, how many of them as we do, the lines of explanation, and what they explain.
Kept results are used again while the rules are the same. Exit status: how many lines are unexplained.
The tools are no dependencies of this project: `pip install torchinfo fvcore ptflops calflops transformers`. (calflops
imports transformers, and does not ask for it.)
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from tqdm import tqdm

from casestudies import against, costs, graph, zoo
from casestudies.zoo import VARIANTS


@dataclass(frozen=True)
class Row:
    """What one tool counts of one network; `failed` says why it does not."""

    network: str
    tool: str
    difference: int = 0
    lines: int = 0
    unexplained: int = 0
    sums: bool = True
    moved: int = 0  # MACs that the lines add or take away
    failed: str = ""

    @property
    def wrong(self) -> bool:
        return bool(self.failed or self.unexplained or not self.sums)

    def line(self) -> str:
        said = self.failed or f"{self.unexplained} lines unexplained, sum {'right' if self.sums else 'WRONG'}"
        return f"{self.network:28}{self.tool:12}{said}"


def measure(name: str, tools: list[str]) -> list[Row]:
    """One network in some tools."""
    rows = []
    for tool, found in zip(tools, against.against(zoo.build(name), VARIANTS[name].image, tools), strict=True):
        if isinstance(found, against.Failure):
            rows.append(Row(name, tool, failed=found.reason))
            continue
        moved = [line.macs for line in found.lines]
        unexplained = sum("not explained" in line.reason for line in found.lines)
        sums = sum(moved) == found.difference == found.theirs - found.ours
        rows.append(Row(name, tool, found.difference, len(moved), unexplained, sums, sum(map(abs, moved))))
    return rows


def code() -> str:
    """A hash of what explains."""
    files = [against.__file__, graph.__file__, *sorted(Path(costs.__file__).parent.glob("*.py"))]
    return hashlib.sha256(b"\0".join(Path(each).read_bytes() for each in files)).hexdigest()[:12]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="networks of ours; all when left out")
    parser.add_argument("--tools", help="some tools, with commas; those that are installed when left out")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="where results are kept as they come")
    arguments = parser.parse_args()
    tools = arguments.tools.split(",") if arguments.tools else against.installed()
    if not tools:
        print(f"skipped: none is installed (pip install {' '.join(against.TOOLS)})")
        return 0
    names = [zoo.variant(name).name for name in arguments.names] or list(VARIANTS)
    known: dict[tuple[str, str], Row] = {}
    if arguments.keep and arguments.keep.exists():
        lines = map(json.loads, arguments.keep.read_text(encoding="utf-8").splitlines())
        rows = [Row(**line) for line in lines if line.pop("code") == code()]
        known = {(row.network, row.tool): row for row in rows if not row.failed}
    for name in tqdm(names, leave=False, disable=None):
        left = [tool for tool in tools if (name, tool) not in known]
        for row in measure(name, left) if left else []:
            known[name, row.tool] = row
            if arguments.keep:
                with arguments.keep.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(row) | {"code": code()}) + "\n")
        for tool in tools:
            if known[name, tool].wrong:
                tqdm.write(known[name, tool].line())
    print(
        f"\n{'tool':12}{'counted':>9}{'as we do':>10}{'lines':>8}{'unexplained':>13}{'sums wrong':>12}{'MACs':>20}"
    )
    wrong = 0
    for tool in tools:
        rows = [known[name, tool] for name in names if not known[name, tool].failed]
        unexplained, off = sum(row.unexplained for row in rows), sum(not row.sums for row in rows)
        wrong += unexplained + off + len(names) - len(rows)
        same, moved = sum(not row.difference for row in rows), sum(row.moved for row in rows)
        lines = sum(row.lines for row in rows)
        print(f"{tool:12}{len(rows):9}{same:10}{lines:8}{unexplained:13}{off:12}{moved:20,}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
