"""What a check found: points, criteria, the likely mistake. HTML in a notebook, text elsewhere."""

from __future__ import annotations

import html
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from casestudies import address

if TYPE_CHECKING:
    from casestudies.checking.parts import Mistake


def book_link(see: str) -> str:
    """The address of a place in the book, such as "resnet.html#eq-residual"."""
    return address.book() + see


@dataclass
class Criterion:
    """One thing that was compared, and what it earned."""

    title: str
    points: float
    possible: float
    passed: bool
    message: str = ""
    points_if_recognised: float = 0.0


@dataclass
class Report:
    """The result of a check.

    `points` of `possible`; `passed` when all is right; `mistakes` are the identifiers of known mistakes that
    were recognised; `seed` repeats the random choices. `differences` says what was written beside what is asked:
    each has `asked`, `yours` ("" where there is nothing), `where` and `sentence`. `layers` are the two columns,
    line by line, `same` or not; `case` is the call and the input on which they differ. `state` is one of: passed,
    partial, wrong, raised, missing, wrong kind, unknown part, crashed, timed out, ungradable.
    """

    part: str
    possible: float
    seed: int
    title: str = ""
    see: str = ""
    points: float = 0.0
    state: str = "wrong"
    summary: str = ""
    criteria: list[Criterion] = field(default_factory=list)
    recognised: list[dict[str, str]] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)
    case: str = ""  # in which the differences were seen
    differences: list[dict[str, str]] = field(default_factory=list)
    layers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        return self.state == "passed"

    @property
    def mistakes(self) -> list[str]:
        return [known["id"] for known in self.recognised]

    # ----------------------------------------------------------------- filled in by the engine

    def pass_all(self) -> None:
        self.points, self.state = float(self.possible), "passed"

    def name_mistakes(self, mistakes: list[Mistake]) -> None:
        by_id = {m.id: {"id": m.id, "text": m.text, "see": m.see} for m in reversed(mistakes)}
        self.recognised = list(by_id.values())[::-1]
        if mistakes:
            for criterion in self.criteria:
                if criterion.points_if_recognised:
                    criterion.points, criterion.message = criterion.points_if_recognised, ""

    def points_now(self) -> float:
        return sum(criterion.points for criterion in self.criteria)

    def settle(self) -> None:
        """Adds up the criteria of an answer that is not fully right: never the full points."""
        self.points = min(round(self.points_now(), 2), round(0.9 * self.possible, 2))
        if self.state == "wrong" and self.points > 0:
            self.state = "partial"

    def leave_to_a_human(self, summary: str) -> None:
        """No points and none taken: the check saw something that it cannot judge."""
        self.criteria, self.points, self.state, self.summary = [], 0.0, "ungradable", summary

    def give_nothing_for_what_was_given(self) -> None:
        """A block to repair that is still as it was: no points for what was right in it, and no names."""
        self.recognised, self.points, self.state = [], 0.0, "wrong"
        self.differences, self.layers, self.case = [], [], ""
        for criterion in self.criteria:
            criterion.points = 0.0
        self.summary = (
            "This does what the block did as it was given. What differs from the right one stands below."
        )

    # ----------------------------------------------------------------- plain data

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Report:
        data = dict(data)
        data["criteria"] = [Criterion(**criterion) for criterion in data.get("criteria", [])]
        return cls(**data)

    # ----------------------------------------------------------------- shown

    def headline(self) -> str:
        if self.passed:
            return f"Right. {number(self.points)} of {number(self.possible)} points."
        return f"{STATES[self.state]} {number(self.points)} of {number(self.possible)} points."

    def text(self) -> str:
        """The report in plain text, at most 100 columns of our own words."""
        lines = [f"{self.part}: {self.headline()}"]
        for criterion in self.criteria if not self.passed else []:
            mark = "right" if criterion.passed else "WRONG" if not criterion.points else "partly"
            lines.append(
                f"  [{mark:>6}] {criterion.title} ({number(criterion.points)}/{number(criterion.possible)})"
            )
            if criterion.message:
                lines.append(f"           {criterion.message}")
        for known in self.recognised:
            lines.append(f"  Likely mistake: {known['text']}")
            lines.append(f"  Read: {book_link(known['see'])}")
        if self.summary and not self.recognised:
            lines.append(f"  {self.summary}")
            if self.see:
                lines.append(f"  Read: {book_link(self.see)}")
        lines.extend(self._columns())
        if self.passed and self.compared:
            lines.append(f"  Compared: {'; '.join(self.compared)}")
        if self.criteria and not self.passed:
            lines.append(f'  The same random numbers again: check("{self.part}", ..., seed={self.seed})')
        return "\n".join(lines)

    def _columns(self) -> list[str]:
        """What is asked beside what was written, in plain text."""
        if not self.layers:
            return []
        lines = [f"  {self.case}: your block beside the one that is asked for"]
        width = max(len("asked"), *(len(row["asked"]) for row in self.layers))
        lines.append(f"    {'asked':<{width}}   yours")
        for row in self.layers:
            yours = "the same" if row["same"] else row["yours"] or "(missing)"
            mark = "" if row["same"] else "   <-- here"
            lines.append(f"    {row['asked']:<{width}}   {yours}{mark}")
        if self.recognised:  # else they stand in the summary
            lines.extend(f"  {difference['sentence']}" for difference in self.differences)
        return lines

    def _columns_html(self) -> str:
        escape = html.escape
        if not self.layers:
            return ""
        rows = []
        for row in self.layers:
            yours = "the same" if row["same"] else escape(row["yours"] or "(missing)")
            yours = yours if row["same"] else f"<strong>{yours}</strong> ←"
            asked = escape(row["asked"] or "(nothing)")
            rows.append(f"<tr><td {WRAPPED}>{asked}</td><td {WRAPPED}>{yours}</td></tr>")
        head = "".join(f'<th scope="col" {LEFT}>{word}</th>' for word in ("Asked", "Yours"))
        return (
            f"<details><summary>{escape(self.case)}: your block beside the one that is asked for</summary>"
            f'<table style="table-layout:auto"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
            "</details>"
        )

    def html(self) -> str:
        """The report as one HTML element that brings its own style, for light and dark pages."""
        escape = html.escape
        tone = "pass" if self.passed else "part" if self.points else "fail"
        sign = {"pass": "✓", "part": "◐", "fail": "✗"}[tone]
        parts = [
            f'<div class="cs-report cs-{tone}" role="status">{STYLE}',
            f'<p class="cs-head"><span class="cs-sign" aria-hidden="true">{sign}</span> '
            f"<code>{escape(self.part)}</code> <strong>{escape(self.headline())}</strong></p>",
        ]
        for known in self.recognised:
            text, link = escape(known["text"]), _anchor(known["see"])
            parts.append(f'<p class="cs-mistake"><strong>Likely mistake:</strong> {text}{link}</p>')
        if self.summary and not self.recognised:
            parts.append(f'<p class="cs-mistake">{escape(self.summary)}{_anchor(self.see)}</p>')
        parts.append(self._columns_html())
        if self.criteria and not self.passed:
            head = "".join(f'<th scope="col" {LEFT}>{word}</th>' for word in ("Compared", "Result", "Points"))
            parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>")
            for criterion in self.criteria:
                result = (
                    "✓\u00a0right"
                    if criterion.passed
                    else "◐\u00a0partly"
                    if criterion.points
                    else "✗\u00a0wrong"
                )
                message = f"<br><small>{escape(criterion.message)}</small>" if criterion.message else ""
                parts.append(
                    f"<tr><td {WRAPPED}>{escape(criterion.title)}{message}</td><td {LEFT}>{result}</td>"
                    f"<td {LEFT}>{number(criterion.points)} / {number(criterion.possible)}</td></tr>"
                )
            parts.append("</tbody></table>")
        if self.passed and self.compared:
            parts.append(f'<p class="cs-foot">Compared: {escape("; ".join(self.compared))}.</p>')
        if self.criteria and not self.passed:
            parts.append(
                f'<p class="cs-foot">To see the same random numbers again: '
                f"<code>check({escape(repr(self.part))}, ..., seed={self.seed})</code></p>"
            )
        parts.append("</div>")
        return "".join(parts)

    def __str__(self) -> str:
        return self.text()

    __repr__ = __str__

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # nbgrader reads the plain text of a graded cell's result as its score. Where it executes the notebook,
        # it gets the points; people get words.
        grading = os.environ.get("NBGRADER_EXECUTION") in ("autograde", "validate")
        plain = f"{float(self.points)}" if grading else self.text()
        return {"text/plain": plain, "text/html": self.html()}


STATES = {
    "passed": "Right.",
    "partial": "Partly right.",
    "wrong": "Not right yet.",
    "raised": "Your code raised an exception.",
    "missing": "Not written yet.",
    "wrong kind": "This is not what the part asks for.",
    "unknown part": "Unknown part.",
    "crashed": "Your code ended the process.",
    "timed out": "Your code took too long.",
    "ungradable": "This part could not be graded.",
}


def _anchor(see: str) -> str:
    if not see:
        return ""
    address = html.escape(book_link(see))
    return f' <a href="{address}" target="_blank" rel="noopener">Read in the book</a>'


def number(value: float) -> str:
    """
    >>> number(4.0), number(2.5)
    ('4', '2.5')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


# On each cell itself: JupyterLab drops the style element in a notebook that it does not trust, and aligns right.
LEFT = 'style="text-align:left"'
# The first column holds sentences; pages, such as the book's, keep the first column of a table on one line.
WRAPPED = 'style="text-align:left;white-space:normal"'

# Only inherited colours and translucent ones: readable on any background.
STYLE = (
    "<style>"
    ".cs-report{border:1px solid rgba(128,128,128,.45);border-left:.35em solid;border-radius:.3em;"
    "padding:.5em .9em;margin:.4em 0;max-width:54em;line-height:1.45}"
    ".cs-report.cs-pass{border-left-color:#2a9d6f}.cs-report.cs-part{border-left-color:#c98a00}"
    ".cs-report.cs-fail{border-left-color:#d1495b}"
    ".cs-report p{margin:.35em 0}.cs-report .cs-sign{font-weight:bold}"
    ".cs-report table{border-collapse:collapse;margin:.5em 0;width:100%;font-size:.93em}"
    ".cs-report th,.cs-report td{text-align:left;padding:.25em .7em .25em 0;vertical-align:top;"
    "border-bottom:1px solid rgba(128,128,128,.3);background:none}"
    ".cs-report td:last-child,.cs-report td:nth-child(2){white-space:nowrap}"
    ".cs-report .cs-foot{opacity:.8;font-size:.88em}.cs-report small{font-size:.92em}"
    ".cs-report a{color:inherit;text-decoration:underline}"
    "</style>"
)
