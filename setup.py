"""Puts the course's material into the wheel, from the one place where it is edited; the rest is in pyproject.toml."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What casestudies/grading/materials.py looks for, in the clone or beside itself.
MATERIAL = [
    "nbgrader_config.py",
    "pyproject.toml",
    "requirements.txt",
    "requirements-students.txt",
    "README.md",
    "LICENSE",
    "LICENSE-PROSE",
    "solutions/*.md",
    "locale/*/assignments/*.po",
    "exercises/*/*.ipynb",
    "samples/*/*.py",
]


class BuildWithMaterial(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the clone itself is at hand
            return
        target = Path(self.build_lib, "casestudies", "materials")
        shutil.rmtree(target, ignore_errors=True)
        for pattern in MATERIAL:
            found = sorted(ROOT.glob(pattern))
            if not found:
                raise FileNotFoundError(f"{pattern} matches nothing in {ROOT}; the wheel would lack it")
            for path in found:
                copy = target / path.relative_to(ROOT)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)


setup(cmdclass={"build_py": BuildWithMaterial})
