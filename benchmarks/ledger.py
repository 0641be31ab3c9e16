"""What our ledger costs, beside torchinfo and fvcore: time, and memory at the peak.

    python benchmarks/ledger.py                     ResNet-50 and EfficientNet-B7, in each tool that is installed
    python benchmarks/ledger.py vgg19 --repeat 5    another network of ours

Every measurement has a fresh process, and the tools take turns. Time is that of the processor, in one thread, so that
a busy machine changes little. The clock starts after the imports, whose objects the garbage collector no longer looks
at: "first" is to build the network and to count it, with whatever is imported only then; "again" counts it once more.
"peak" is the most memory that the process had until the first count, "added" what of it came after the imports. Ours
is measured twice: of a skeleton, which has no weights, as `casestudies ledger` does; and of the network that the
others get too. Ratios are to ours of a skeleton. The tools do not count the same things, as "MACs" shows: ours counts
convolutions and linear layers, and fvcore counts norms and pooling as well.
torchinfo and fvcore are no dependencies of this project: `pip install torchinfo fvcore`.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

# This module imports no torch: a child's peak of memory is never below that of the process that started it.

TOOLS = {
    "ours": "casestudies",
    "ours, real network": "casestudies",
    "torchinfo": "torchinfo",
    "fvcore": "fvcore",
}
MIB = 2**20


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most * (1 if sys.platform == "darwin" else 1024) / MIB  # bytes there, KiB elsewhere


def steps(tool: str) -> tuple[Callable[[str], Any], Callable[[Any, tuple[int, int, int]], int]]:
    """How to build a network for a tool, and how to have it counted; the latter returns its MACs."""
    import torch

    from casestudies import zoo
    from casestudies.costs import ledger

    def ours(network: Any, image: tuple[int, int, int]) -> int:
        return ledger(network, image).macs

    def torchinfo(network: Any, image: tuple[int, int, int]) -> int:
        return summary(network, input_size=(1, *image), device="cpu", verbose=0).total_mult_adds

    def fvcore(network: Any, image: tuple[int, int, int]) -> int:
        analysis = FlopCountAnalysis(network.eval(), torch.zeros(1, *image))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        return int(analysis.total())

    if tool == "torchinfo":
        from torchinfo import summary

        return zoo.build, torchinfo
    if tool == "fvcore":
        from fvcore.nn import FlopCountAnalysis

        return zoo.build, fvcore
    return (zoo.skeleton if tool == "ours" else zoo.build), ours


def measure(tool: str, name: str) -> dict[str, float]:
    """One measurement, in the process that calls: times in seconds, memory in MiB."""
    build, count = steps(tool)

    import torch

    from casestudies.zoo import variant

    torch.set_num_threads(1)
    image = variant(name).image
    # Half a million objects of the imports stay; to look through them takes longer than to count a network.
    gc.collect()
    gc.freeze()
    before, start = peak(), time.process_time()
    network = build(name)
    macs = count(network, image)
    first, most = time.process_time() - start, peak()
    start = time.process_time()
    count(network, image)
    again = time.process_time() - start
    return {"first": first, "again": again, "peak": most, "added": most - before, "macs": macs}


def in_a_fresh_process(tool: str, name: str) -> dict[str, float]:
    command = [sys.executable, __file__, name, "--measure", tool]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{tool} failed on {name}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=["resnet50", "efficientnet_b7"], help="networks of ours")
    parser.add_argument("--repeat", type=int, default=3, help="processes for each tool and network")
    parser.add_argument("--measure", choices=TOOLS, help="measure one tool in this process, print JSON")
    arguments = parser.parse_args()
    if arguments.repeat < 1:
        parser.error(f"--repeat is {arguments.repeat}; expected at least 1")
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.names[0])))
        return 0
    tools = [tool for tool, package in TOOLS.items() if importlib.util.find_spec(package)]
    if "ours" not in tools:
        parser.error(
            "casestudies is not installed here; `pip install -e .` in the project's folder installs it"
        )
    for tool in TOOLS:
        if tool not in tools:
            print(f"{tool} is missing, so it is left out: `pip install {TOOLS[tool]}` adds it")
    print(
        f"medians of {arguments.repeat} fresh processes, one thread; seconds and MiB, and how many times ours\n"
    )
    for name in arguments.names:
        runs: dict[str, list[dict[str, float]]] = {tool: [] for tool in tools}
        for _ in range(arguments.repeat):
            for tool in tools:
                runs[tool].append(in_a_fresh_process(tool, name))
        columns = ("first", "again", "peak", "added")
        print(f"{name:20}" + "".join(f"{column:>9}{'ratio':>8}" for column in columns) + f"{'MACs':>18}")
        medians = {
            tool: {key: statistics.median(run[key] for run in found) for key in found[0]}
            for tool, found in runs.items()
        }
        for tool, median in medians.items():
            line = f"{tool:20}"
            for column in columns:
                ours = medians["ours"][column]
                digits = 3 if column in ("first", "again") else 1
                ratio = f"{median[column] / ours:.1f}" if ours else "-"
                line += f"{median[column]:9.{digits}f}{ratio:>8}"
            print(line + f"{median['macs']:18,.0f}")
        print()
    return 0


if __name__ == "__main__":
    sys.exit(main())
