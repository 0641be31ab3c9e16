"""Imports point one way, and `import casestudies` alone costs nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "casestudies"
# Folder or file of the package, and which of our modules it may import.
MAY_IMPORT = {
    "networks": set(),
    "graph.py": set(),
    "replay.py": {"graph"},
    "costs": {"costs", "graph"},
    "address.py": set(),
    "sandboxed": {"sandboxed", "graph"},  # what is copied beside a student's code, and nothing else
    "checking": {
        "checking",
        "checks",
        "address",
        "graph",
        "sandboxed",
        "zoo",
    },  # it finds the assignments by name
    "checks": {"checking", "checks", "networks", "costs", "sandboxed"},
    "grading": {"grading", "checking", "checks", "cli", "address", "sandboxed"},
}
TORCH_ONLY = [
    *sorted((PACKAGE / "networks").glob("*.py")),
    *sorted((PACKAGE / "costs").glob("*.py")),
    *sorted((PACKAGE / "sandboxed").glob("*.py")),
    PACKAGE / "graph.py",
    PACKAGE / "replay.py",
]
ALL_FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, wherever it stands; not under `if TYPE_CHECKING`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def ours(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imported(path) if name.startswith("casestudies.")}


@pytest.mark.parametrize("place", MAY_IMPORT)
def test_imports_point_one_way(place: str) -> None:
    target = PACKAGE / place
    wrong = {
        str(path.relative_to(PACKAGE)): sorted(ours(path) - MAY_IMPORT[place])
        for path in ([target] if target.is_file() else sorted(target.rglob("*.py")))
        if ours(path) - MAY_IMPORT[place]
    }
    assert wrong == {}


@pytest.mark.parametrize("path", TORCH_ONLY, ids=lambda p: p.name)
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
