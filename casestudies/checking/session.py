"""What one kernel session remembers of its checks: points so far, and how far the hints of each part have been told.

Nothing is written anywhere; a restarted kernel begins anew.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from casestudies import language
from casestudies.checking import parts as declarations
from casestudies.checking.report import Report
from casestudies.checking.shown import STEPS, ladder, number
from casestudies.language import message, say
from casestudies.sandboxed.quoting import printable

VARIABLE = "CASESTUDIES_HINTS"


@dataclass
class Latest:
    """The latest check of a part."""

    points: float
    finding: frozenset[str] = frozenset()  # what it found; the same again tells one step more
    calls: int = 0  # in a row with this finding


_LATEST: dict[str, Latest] = {}


def forget() -> None:
    """As in a kernel that has just started."""
    _LATEST.clear()


def chosen(hints: object) -> tuple[str, str]:
    """The step to which a report opens, and a sentence where what was asked for is none.

    `hints` is what the call says; where it says nothing, the environment does, and else the symptom alone is shown.

    >>> chosen("place")
    ('place', '')
    """
    expected = ", ".join(f'"{step}"' for step in STEPS[:-1]) + f' or "{STEPS[-1]}"'
    name, value = "hints", hints
    if hints is None:
        name, value = VARIABLE, os.environ.get(VARIABLE) or STEPS[0]
    if isinstance(value, str) and value in STEPS:
        return value, ""
    shown = printable(repr(value), 60)
    return STEPS[0], f"{name} is {shown}; expected {expected}. The report opens at the symptom."


def remember(report: Report, hints: object) -> None:
    """Takes a report into account, and says in it how far to show it and how many points there are by now."""
    report.hints, problem = chosen(hints)
    report.notes += [each for each in (problem, language.problem()) if each]
    report.told = report.hints
    declared = declarations.find(report.part)
    if declared is None:
        return
    finding = _finding(report)
    before = _LATEST.get(report.part)
    calls = before.calls + 1 if before is not None and before.finding == finding else 0
    _LATEST[report.part] = Latest(report.points, finding, calls)
    if hints is None:
        report.told = _told(report, calls)
    report.progress = progress(declared.assignment)


NUMBERS = re.compile(r"\d[\d.,]*(?:[×x ]+\d[\d.,]*)*")


def _finding(report: Report) -> frozenset[str]:
    """What a check found, without what is drawn anew for each: sizes, rates, and which of the cases tell."""
    said = (
        report.mistakes or [difference["sentence"] for difference in report.differences] or [report.summary]
    )
    return frozenset(NUMBERS.sub("#", each) for each in said)


def _told(report: Report, calls: int) -> str:
    """The step up to which plain text goes, some calls after the first: each shows the next one that there is."""
    later = [step for step in ladder(report).steps if STEPS.index(step) > STEPS.index(report.hints)]
    return later[min(calls, len(later)) - 1] if calls and later else report.hints


def progress(assignment: str) -> str:
    """One line: the points of the parts of an assignment that were checked, and which were not."""
    found = declarations.parts(assignment)
    written = declarations.written_points(assignment)
    total = sum(part.points for part in found.values()) + written
    points = sum(_LATEST[id].points for id in found if id in _LATEST)
    text = say("{points} of {total} points so far.", points=number(points), total=number(total))
    left = [id.partition("/")[2] for id in found if id not in _LATEST]
    if left:
        text += " " + say("Not checked yet in this session: {parts}.", parts=", ".join(left))
    if written:
        one = message("A human gives the {points} point for the written answer.")
        more = message("A human gives the {points} points for the written answer.")
        text += " " + say(more if written != 1 else one, points=number(written))
    return text
