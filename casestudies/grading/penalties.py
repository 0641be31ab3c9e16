"""Penalties for being late: nbgrader's own step, with the plugin that the configuration names.

The plugin may be the instructor's own program. Whatever goes wrong in it is told in a sentence, and costs no grade.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from nbgrader.preprocessors import AssignLatePenalties

from casestudies.grading.errors import CourseError
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from traitlets.config import Config


class PenaltyError(Exception):
    """The plugin raised, or what it returned is no number of points."""


class Penalties(AssignLatePenalties):
    """The same step, which says what is wrong with a plugin."""

    def init_plugin(self) -> None:
        super().init_plugin()
        compute = self.plugin_inst.late_submission_penalty

        def computed(student: str, score: float, late: float) -> float | None:
            try:
                penalty = compute(student, score, late)
                if penalty is None or math.isfinite(penalty):
                    return None if penalty is None else float(penalty)
            except Exception as error:
                raise PenaltyError(_said(error)) from None
            raise PenaltyError(f"it returned {penalty!r}; expected a number of points, or None")

        self.plugin_inst.late_submission_penalty = computed


def require_plugin(config: Config) -> None:
    """Raises CourseError where the plugin cannot be made: before anything is graded."""
    try:
        Penalties(config=config).init_plugin()
    except Exception as error:
        named = config.AssignLatePenalties.get("plugin_class", None)
        why = _said(error).rstrip(".")
        if named is None:  # nbgrader's own, which only a setting can spoil
            raise CourseError(
                f"nbgrader_config.py: nbgrader's plugin for late penalties refuses a setting: {why}. Nothing was "
                "changed"
            ) from None
        raise CourseError(
            f"the plugin for late penalties, {printable(str(named), 200)}, cannot be used: {why}; write its class "
            "into nbgrader_config.py, and below it c.AssignLatePenalties.plugin_class = TheClass, or install its "
            "module. Nothing was changed"
        ) from None


def renew(config: Config, db_url: str, student: str, name: str) -> str:
    """Computes the penalty of a student anew. Where the plugin fails it stays as it was, and a sentence says so."""
    from nbformat import v4
    from nbgrader.api import Gradebook

    with Gradebook(db_url) as gradebook:
        submission = gradebook.find_submission(name, student)
        if (
            submission.assignment.duedate is None
        ):  # nothing is late; with an extension, nbgrader's own step raises
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = None
            gradebook.db.commit()
            return ""
    resources = {"nbgrader": {"student": student, "assignment": name, "notebook": name, "db_url": db_url}}
    step = Penalties(config=config)
    try:
        step.preprocess(v4.new_notebook(), resources)
    except PenaltyError as error:
        return (
            f"The late penalty for {name} stays as it was: the plugin {type(step.plugin_inst).__name__} failed: "
            f"{error}"
        )
    return ""


def _said(error: Exception) -> str:
    words = re.sub(r" of <[^>]* object at 0x\w+> instance", "", f"{type(error).__name__}: {error}")
    return printable(" ".join(words.split()), 300)
