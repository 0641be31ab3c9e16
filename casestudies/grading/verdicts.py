"""What came out of grading one submission: one explicit state for every graded part."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Required, TypedDict

from casestudies.language import ENGLISH, message, sentence, speaking


class Output(TypedDict, total=False):
    """An output of a cell, as nbformat writes it: each kind has some of the keys."""

    output_type: Required[str]  # "stream", "error", "display_data" or "execute_result"
    name: str
    text: str
    ename: str
    evalue: str
    traceback: list[str]
    data: dict[str, str]
    metadata: Mapping[str, object]
    execution_count: int | None


STATES = ("passed", "partial", "wrong", "crashed", "timed out", "missing", "ungradable")

# What the check's own states come to.
_FROM_REPORT = {"raised": "crashed", "wrong kind": "wrong", "unknown part": "ungradable"}

NOT_PROTECTED = "judged inside the student's process: not protected"
NO_SANDBOX = message(
    "GRADED WITHOUT A SANDBOX: the code ran as an ordinary process of this machine and could read its files. "
    "Install bubblewrap and grade again."
)


def state_of(report_state: str) -> str:
    """The state of a part, from the state of its report."""
    state = _FROM_REPORT.get(report_state, report_state)
    return state if state in STATES else "ungradable"


@dataclass
class Verdict:
    """The result of one graded cell. `points` is None where a human has to decide."""

    cell: str
    possible: float
    state: str = "missing"
    points: float | None = 0.0
    message: str = ""
    protected: bool = True
    reports: list[dict[str, Any]] = field(default_factory=list)  # with the key "hidden" added

    @property
    def mistakes(self) -> list[str]:
        """Identifiers of the recognised mistakes, each once."""
        found = [known["id"] for report in self.reports for known in report.get("recognised", [])]
        return list(dict.fromkeys(found))

    @property
    def needs_human(self) -> bool:
        return self.points is None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Verdict:
        return cls(**data)

    def settle(self) -> None:
        """Points and state from the reports: a part that is checked twice counts as its worse check."""
        shares: dict[str, float] = {}
        weights: dict[str, float] = {}
        states: list[str] = []
        for report in self.reports:
            part, possible = report["part"], float(report["possible"])
            share = min(1.0, max(0.0, report["points"] / possible)) if possible > 0 else 0.0
            shares[part] = min(share, shares.get(part, 1.0))
            weights[part] = possible
            states.append(state_of(report["state"]))
        total = sum(weights.values())
        if "ungradable" in states or total <= 0:
            self.state, self.points = "ungradable", None
            return
        share = sum(shares[part] * weight for part, weight in weights.items()) / total
        self.points = round(share * self.possible, 4)
        if all(state == "passed" for state in states):
            self.state = "passed"
        elif self.points > 0:
            self.state = "partial"
        else:
            self.state = next(state for state in states if state != "passed")


@dataclass
class Graded:
    """A graded submission: the notebook with reports as its outputs, and its verdicts."""

    notebook: str  # JSON text
    verdicts: list[Verdict]
    notes: list[str]  # what intake repaired
    protection: str  # "sandbox" or "none"
    digest: str  # of everything that the result depends on
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Graded:
        return cls(**{**data, "verdicts": [Verdict.from_dict(verdict) for verdict in data["verdicts"]]})


def describe(verdict: Verdict) -> str:
    """One line about a graded cell."""
    points = "?" if verdict.points is None else f"{verdict.points:g}"
    named = f" ({', '.join(verdict.mistakes)})" if verdict.mistakes else ""
    return f"{verdict.cell}: {verdict.state}, {points} of {verdict.possible:g}{named}"


def _without_math(text: str) -> str:
    """HTML of ours that quotes students: MathJax leaves it alone."""
    return f'<div class="mathjax_ignore tex2jax_ignore">{text}</div>'


def message_output(text: str, **marks: Any) -> Output:
    """An output of the grader's own: one sentence."""
    return {
        "output_type": "display_data",
        "data": {
            "text/plain": text,
            "text/html": _without_math(f"<p><strong>{html.escape(text)}</strong></p>"),
        },
        "metadata": {"casestudies": {"grader": True, **marks}},
    }


def report_output(report: Any, hidden: bool) -> Output:
    """A check's report as an output. Where it was hidden, students see its summary only.

    It is stored, and so in English, whatever the language of the terminal; students' pages show it in the course's.
    """
    with speaking(ENGLISH):
        data = report_data(report, "all")
    return {
        "output_type": "display_data",
        "data": data,
        "metadata": {"casestudies": {"grader": True, "hidden": hidden}},
    }


def report_data(report: Any, hints: str) -> dict[str, str]:
    """A report as text and as HTML, open up to a step, in the language that is in use."""
    return {"text/plain": report.text(hints), "text/html": _without_math(report.html(hints))}


def said_again(output: Any) -> dict[str, str]:
    """An output of one sentence, as `message_output` made it, in the language that is in use."""
    return message_output(sentence(output["data"]["text/plain"]))["data"]
