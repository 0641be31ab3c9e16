"""Imports point one way, and `import casestudies` alone costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "casestudies"

# Every file of the package, by itself or by its folder, and which of our modules it may import. A file has the
# row of its own name or else that of the innermost folder; one without a row fails.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__.py": set(),  # everything else at first use
    "__main__.py": {"cli"},
    "address.py": set(),
    "language.py": set(),
    "networks": set(),
    "hollow.py": set(),
    "graph.py": {"hollow"},
    "replay.py": {"graph", "hollow"},
    "sizes.py": set(),
    "costs": {"costs", "graph", "hollow", "sizes"},
    "zoo": {"zoo", "graph", "download", "sizes"},
    "weights.py": {"zoo"},
    "figures": {"figures", "graph", "costs"},
    "download.py": set(),
    "entrance.py": set(),
    "photographs.py": set(),
    "data.py": {"download"},
    "training.py": {"data", "zoo"},
    "experiments.py": {
        "ablations",
        "mistakes",
        "towers",
        "data",
        "training",
        "zoo",
        "networks",
        "figures",
        "costs",
    },
    "ablations.py": {"data", "networks", "training", "experiments"},
    "towers.py": {"data", "training", "experiments"},
    "questions.py": {"costs", "checking", "language", "zoo"},
    "mistakes.py": {
        "checking",
        "checks",
        "costs",
        "data",
        "experiments",
        "figures",
        "graph",
        "networks",
        "training",
    },
    "explorers": {
        "explorers",
        "costs",
        "zoo",
        "networks",
        "data",
        "experiments",
        "ablations",
        "training",
        "figures",
        "questions",
        "mistakes",
        "photographs",
        "language",
    },
    "sandboxed": {"sandboxed", "graph", "hollow"},  # what is copied beside a student's code, and nothing else
    "checking": {
        "checking",
        "checks",
        "address",
        "language",
        "graph",
        "replay",
        "sandboxed",
    },  # finds assignments by name
    "checks": {"checking", "checks", "networks", "costs", "sandboxed"},
    "grading": {"grading", "checking", "checks", "cli", "entrance", "address", "language", "sandboxed"},
    "grading/fingerprint.py": set(),
    "against.py": {"costs", "graph", "hollow"},
    "export.py": {"graph", "replay", "onnx_rules", "costs", "figures", "zoo"},
    "onnx_rules.py": {"graph", "replay"},
    "cli.py": {"costs", "zoo", "against", "figures", "language", "entrance"},
}
# The machinery finds the assignments by name, and they are written for it; an experiment's run stores its kinds.
TOGETHER = (
    {"checking", "checks"},
    {"experiments", "ablations"},
    {"experiments", "mistakes"},
    {"experiments", "towers"},
)
# Files that import torch and the standard library alone.
TORCH_ONLY = ("networks", "hollow.py", "graph.py", "replay.py", "costs", "sandboxed")
ALL_FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands; not under `if TYPE_CHECKING`."""
    found = set()
    typed = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            typed |= {id(inner) for each in node.body for inner in ast.walk(each)}
        if id(node) in typed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("casestudies.")}


def row_of(path: Path) -> str | None:
    """The key of the table that speaks for a file: its own name, or the innermost folder's."""
    name = path.relative_to(PACKAGE)
    return next((str(key) for key in (name, *name.parents) if str(key) in MAY_IMPORT), None)


def test_every_file_has_a_row_and_every_row_a_file() -> None:
    rows = {path: row_of(path) for path in ALL_FILES}
    assert [str(path) for path, row in rows.items() if row is None] == []
    assert set(MAY_IMPORT) - set(rows.values()) == set()


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    row = row_of(path)
    assert row is not None
    assert ours(path) - MAY_IMPORT[row] == set()


@pytest.mark.parametrize("row", MAY_IMPORT)
def test_no_two_places_import_each_other(row: str) -> None:
    """But the pairs of TOGETHER, each of which is one thing in two files."""
    place = row.removesuffix(".py").split("/")[0]
    for other, allowed in MAY_IMPORT.items():
        name = other.removesuffix(".py").split("/")[0]
        if name != place and {place, name} not in TOGETHER and name in MAY_IMPORT[row]:
            assert place not in allowed, f"{row} and {other} may import each other"


@pytest.mark.parametrize(
    "path",
    [path for path in ALL_FILES if str(path.relative_to(PACKAGE)).startswith(TORCH_ONLY)],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_reads_alone_beside_torch(path: Path) -> None:
    outside = {name.split(".")[0] for name in imported(path)} - set(sys.stdlib_module_names) - {"torch"}
    allowed = {"IPython", "traitlets"} if path.name == "child.py" else set()  # the shell in which cells run
    assert outside <= {"casestudies"} | allowed


@pytest.mark.parametrize("path", ALL_FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_imports_book_exercises_or_tests(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & {"book", "exercises", "solutions", "samples", "tests", "benchmarks"}


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, casestudies; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
