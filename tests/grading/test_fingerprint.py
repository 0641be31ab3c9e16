"""The fingerprint changes with every line that a grade depends on, and with no other."""

from __future__ import annotations

import ast
import shutil
import sys
from pathlib import Path

import pytest

from casestudies.grading.fingerprint import PACKAGE, closure, fingerprint, hash_of, imported


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("copy") / "casestudies"
    shutil.copytree(PACKAGE, target, ignore=shutil.ignore_patterns("__pycache__", "*.json", "*.js"))
    return target


# One of each kind of file that a grade depends on ...
COUNTS = [
    "__init__.py",
    "address.py",
    "graph.py",
    "checking/compare.py",
    "checks/resnet.py",
    "networks/resnet.py",
    "grading/executor.py",
    "grading/intake.py",
    "grading/pools.py",  # hands each result on
    "grading/records.py",  # reads what was handed in, and writes the scores
    "grading/times.py",
    "grading/worker.py",
    "sandboxed/probe.py",  # copied beside a student's code
]
# ... and of those it does not.
DOES_NOT_COUNT = [
    "cli.py",
    "costs/__init__.py",
    "costs/formulas.py",  # the references of the checks write their formulas out
    "data.py",
    "experiments.py",
    "explorers/base.py",
    "figures/flow.py",
    "grading/plugins.py",
    "grading/sample_class.py",
    "training.py",
    "weights.py",
    "zoo/published.py",
]


@pytest.mark.parametrize("name, counts", [(n, True) for n in COUNTS] + [(n, False) for n in DOES_NOT_COUNT])
def test_one_changed_line_changes_it_where_a_grade_depends_on_it(copy: Path, name: str, counts: bool) -> None:
    before, path = hash_of(copy), copy / name
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"# changed\n")
        assert (hash_of(copy) != before) == counts
    finally:
        path.write_bytes(content)
    assert hash_of(copy) == before


# What has to do with scores and stands beside the way to them.
BESIDE = {
    "one.py": "shows one submission's result to whoever asks, and stores none",
    "plugins.py": "nbgrader's own commands, which keep no grade because of a fingerprint",
    "regrade.py": "shows what another edition would give, and stores nothing",
    "reports.py": "reads stored scores",
    "sample_class.py": "reads stored scores of the made-up class",
    "similarity.py": "compares answers, and reads stored scores",
}
ON_THE_WAY = {"Graded", "Submission", "Verdict", "auto_score", "read_submission", "save_verdicts"}


def names(path: Path) -> set[str]:
    """The names and attributes in a file."""
    tree = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    found = {node.id for node in tree if isinstance(node, ast.Name)}
    return found | {node.attr for node in tree if isinstance(node, ast.Attribute)}


def on_the_way() -> list[str]:
    """The files through which a submission becomes a stored score: they use one of the names above."""
    files = [path for path in (PACKAGE / "grading").glob("*.py") if names(path) & ON_THE_WAY]
    return sorted(path.name for path in files if path.name not in BESIDE)


def test_the_way_from_a_submission_to_its_score_is_found() -> None:
    assert {"course.py", "executor.py", "records.py"} <= set(on_the_way())
    for name in BESIDE:
        assert names(PACKAGE / "grading" / name) & ON_THE_WAY, f"{name} need not be excepted"


@pytest.mark.parametrize("name", on_the_way())
def test_a_changed_line_on_the_way_to_a_score_changes_it(copy: Path, name: str) -> None:
    before, path = hash_of(copy), copy / "grading" / name
    content = path.read_bytes()
    try:
        path.write_bytes(content.replace(b"\n\n", b"\n\n# changed\n", 1))
        assert hash_of(copy) != before
    finally:
        path.write_bytes(content)


def test_another_python_or_torch_changes_it(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = hash_of(copy)
    with monkeypatch.context() as patch:
        patch.setattr("sys.version_info", (3, sys.version_info[1] + 1, 0))
        assert hash_of(copy) != before
    with monkeypatch.context() as patch:
        patch.setattr("casestudies.grading.fingerprint.version", lambda name: "0")
        assert hash_of(copy) != before
    assert hash_of(copy) == before


def test_every_folder_of_the_package_has_an_example() -> None:
    folders = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    assert {Path(name).parent for name in COUNTS + DOES_NOT_COUNT} == folders


def test_it_is_that_of_the_package_itself(copy: Path) -> None:
    assert fingerprint() == hash_of(copy) == hash_of(PACKAGE)


def test_imports_inside_functions_count_and_those_for_types_do_not(tmp_path: Path) -> None:
    package = tmp_path / "casestudies"
    package.mkdir()
    for name in ("__init__", "late", "typed", "other"):
        (package / f"{name}.py").write_text("")
    path = package / "first.py"
    path.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from casestudies import typed\n"
        "def f():\n    try:\n        from casestudies.late import g\n    except ImportError:\n        pass\n"
    )
    assert {found.name for found in imported(path, package)} == {"__init__.py", "late.py"}


def test_all_that_is_imported_while_an_answer_is_graded_belongs_to_it() -> None:
    """The real imports of a fresh process that has every assignment judged are within the closure."""
    import subprocess
    import sys

    code = """
import sys, importlib, pathlib
import casestudies.grading.executor, casestudies.grading.worker
for path in pathlib.Path(casestudies.__file__).parent.glob("checks/*.py"):
    importlib.import_module(f"casestudies.checks.{path.stem}")
print("\\n".join(m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "casestudies"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    real = {Path(line) for line in done.stdout.splitlines()}
    assert real <= set(closure()), sorted(real - set(closure()))
