"""The script of icons beside the pages holds those that the pages show, and no others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from icons import SCRIPT, THEME, icons_in, names_in, subset

EXTENSIONS = Path(__file__).parents[1] / "book" / "_ext"
CONF = """
extensions = ["used_icons"]
html_theme = "pydata_sphinx_theme"
"""
# An extension of three lines that does what coursebook.py does.
EXTENSION = """
from icons import keep_icons_in_use
def setup(app):
    app.connect("build-finished", keep_icons_in_use)
"""
PAGE = """
A page
======

.. raw:: html

   <i class="fa-solid fa-anchor"></i> <i class="fas fa-{icon}"></i>
"""


@pytest.fixture(scope="module")
def whole() -> str:
    [script] = THEME.glob(SCRIPT)
    return script.read_text(encoding="utf-8")


def test_all_icons_of_the_theme_are_found(whole: str) -> None:
    """A script without any is what remains of the code: it draws, it names no shape of thousands of characters."""
    nothing = subset(whole, set())
    assert len(names_in(whole)) > 2000 and names_in(nothing) == set()
    assert len(nothing) < len(whole) / 15


@pytest.mark.parametrize("name", ["github", "pencil", "pencil-alt", "circle-half-stroke", "500px", "file"])
def test_icon_stays_under_each_of_its_names(whole: str, name: str) -> None:
    assert name in names_in(subset(whole, {name}))


def test_licence_stays_and_the_change_is_said(whole: str) -> None:
    first, second, *_ = subset(whole, {"github"}).splitlines()
    assert first == whole.splitlines()[0] and "LICENSE" in first
    assert second.startswith("/*! Font Awesome")


def test_an_edition_below_another_is_not_read_with_it(tmp_path: Path) -> None:
    for folder, icon in (("", "anchor"), ("ko", "language")):
        (tmp_path / folder / "_static").mkdir(parents=True)
        (tmp_path / folder / "index.html").write_text(f'<i class="fas fa-{icon}">')
        (tmp_path / folder / "_static" / "own.js").write_text(f'"fa-{icon}-too"')
    assert icons_in(tmp_path) == {"anchor", "anchor-too"}
    assert icons_in(tmp_path / "ko") == {"language", "language-too"}


def test_each_build_has_the_icons_of_its_pages(tmp_path: Path) -> None:
    """Strictly, also where the next build finds the smaller script of the last."""
    (tmp_path / "conf.py").write_text(CONF)
    (tmp_path / "used_icons.py").write_text(EXTENSION)
    held = []
    for icon in ("rocket", "bicycle"):
        (tmp_path / "index.rst").write_text(PAGE.format(icon=icon))
        built = subprocess.run(
            [sys.executable, "-m", "sphinx", "-W", "-q", ".", "out"],
            cwd=tmp_path,
            env={"PYTHONPATH": f"{EXTENSIONS}:{tmp_path}"},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert built.returncode == 0, built.stderr
        [script] = (tmp_path / "out" / "_static").glob(SCRIPT)
        held.append(names_in(script.read_text(encoding="utf-8")) & {"anchor", "rocket", "bicycle", "ghost"})
    assert held == [{"anchor", "rocket"}, {"anchor", "bicycle"}]
