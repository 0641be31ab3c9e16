"""What stands in several places of the repository agrees: versions, pins, Pythons."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import casestudies
from casestudies import cli

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def citation() -> dict:
    return yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def pins() -> dict[str, str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_the_version_is_the_same_everywhere() -> None:
    assert {casestudies.__version__, PROJECT["version"], citation()["version"]} == {casestudies.__version__}


def test_the_guide_installs_the_torch_that_is_pinned() -> None:
    guide = (ROOT / "book" / "instructors.md").read_text(encoding="utf-8")
    assert set(re.findall(r"torch==([\w.]+)", guide)) == {pins()["torch"]}


def test_the_changelog_speaks_of_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## {re.escape(PROJECT['version'])}\b", text, re.MULTILINE)


def test_the_citation_has_what_the_format_demands() -> None:
    assert {"cff-version", "message", "title", "authors"} <= citation().keys()
    assert citation()["license"] == PROJECT["license"]


def test_ci_runs_every_python_from_the_oldest_that_is_promised() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["strategy"]
    versions = matrix["matrix"]["python"]
    assert f">={versions[0]}" == PROJECT["requires-python"]
    assert versions == [f"3.{11 + step}" for step in range(len(versions))]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_states_its_permissions(path: Path) -> None:
    assert "permissions" in yaml.safe_load(path.read_text(encoding="utf-8"))


def commands(path: Path) -> list[list[str]]:
    """The lines that a workflow runs, in words."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    lines = [line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_calls_is_there(path: Path) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    called = 0
    for first, *rest in filter(None, commands(path)):
        if first == "make":
            assert set(rest) <= set(targets)
        elif first.startswith(".ci/"):
            assert os.access(ROOT / first, os.X_OK)
        elif first.endswith("/casestudies"):
            assert cli.parser(rest[0]).parse_args(rest).command == rest[0]
        else:
            continue
        called += 1
    assert called


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_begins_with_the_one_sentence_of_the_command(name: str) -> None:
    with pytest.raises(SystemExit), contextlib.redirect_stdout(io.StringIO()) as told:
        cli.main([name, "--help"])
    sentence = cli.COMMANDS[name][1]
    assert f"{sentence[0].upper()}{sentence[1:]}." in " ".join(told.getvalue().split())


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_a_dependency_of_the_package_is_pinned_within_its_range(requirement: str) -> None:
    from packaging.requirements import Requirement

    wanted = Requirement(requirement)
    assert pins()[wanted.name] in wanted.specifier


def test_hooks_use_the_environments_own_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    assert {repository["repo"] for repository in hooks} == {"local"}
    assert {"ruff", "mypy"} <= set(pins())


def test_completion_offers_the_public_names() -> None:
    assert set(casestudies.__all__) <= set(dir(casestudies))
    assert all(getattr(casestudies, name) for name in casestudies.__all__)


def test_the_pages_of_the_package_have_what_it_offers() -> None:
    """And the words in which `checks/` declares a part."""
    pages = [
        (ROOT / "book" / f"{name}.md").read_text(encoding="utf-8")
        for name in ("api", "api_graph", "api_parts", "api_compared")
    ]
    pattern = r"^\.\. auto(?:function|class):: [\w.]+\.(\w+)$"
    shown = set(re.findall(pattern, "\n".join(pages), re.MULTILINE))
    assert set(casestudies.__all__) - shown == set()
    assert {"part", "mistake", "Reference", "Space", "any_of"} - shown == set()


@pytest.mark.parametrize(("python", "new"), [("3.11.2", False), ("3.11.5", True), ("3.13.1", True)])
def test_grading_brings_no_soupsieve_that_fails_in_this_python(python: str, new: bool) -> None:
    extra = map(Requirement, PROJECT["optional-dependencies"]["grading"])
    (bound,) = [each for each in extra if each.name == "soupsieve"]
    assert bound.marker is not None
    held = bound.marker.evaluate({"python_full_version": python})
    assert (not held or bound.specifier.contains("4.1.3")) == new
