"""Types are checked everywhere, strictly, and untyped dictionaries stay few."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
UNTYPED = re.compile(r"\bdict\[str, Any\]")
MOST_UNTYPED = 39  # lines; what comes from JSON of others, or goes on as keyword arguments


def test_no_file_of_the_package_is_left_out() -> None:
    mypy = SETTINGS["mypy"]
    assert (mypy["files"], mypy["strict"]) == (["casestudies"], True)
    relaxed = [name for override in mypy["overrides"] for name in override["module"]]
    assert relaxed
    assert [name for name in relaxed if "casestudies" in name] == []


@pytest.mark.parametrize("target", ["test", "lint"])
def test_make_checks_types(target: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "mypy" in re.search(r"^LINT := (.*)$", makefile, re.MULTILINE).group(1)
    assert "@$(LINT)" in re.search(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE).group(1)


def test_untyped_dictionaries_are_few() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "casestudies").rglob("*.py"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if UNTYPED.search(line)
    ]
    assert len(found) <= MOST_UNTYPED, found


def test_no_function_may_be_more_complex_than_twenty() -> None:
    lint = SETTINGS["ruff"]["lint"]
    assert "C901" in lint["select"]
    assert lint["mccabe"]["max-complexity"] <= 20
    assert "per-file-ignores" not in lint
    silenced = [
        path
        for path in (ROOT / "casestudies").rglob("*.py")
        if re.search(r"#\s*noqa:.*C901", path.read_text(encoding="utf-8"))
    ]
    assert silenced == []
