"""What a check found: points, criteria, the likely mistake. HTML in a notebook, text elsewhere."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, TypedDict

from casestudies.checking import shown

if TYPE_CHECKING:
    from casestudies.checking.parts import Mistake


@dataclass
class Criterion:
    """One thing that was compared, and what it earned."""

    title: str
    points: float
    possible: float
    passed: bool
    message: str = ""
    points_if_recognised: float = 0.0


class LayerRow(TypedDict):
    """A line of the two columns of layers: "" where one of them has none."""

    asked: str
    yours: str
    same: bool


class OtherCase(TypedDict):
    """A later case that shows something more."""

    case: str
    layers: list[LayerRow]
    differences: list[dict[str, str]]


@dataclass
class Report:
    """The result of a check. All of it is there, whatever is shown.

    Criteria are objects (`report.criteria[0].title`); differences, layers, others and what was recognised are
    dictionaries (`report.differences[0]["sentence"]`, where there is a difference: a function whose mistakes are all
    recognised has none). `report.text()` says everything.
    """

    part: str  #: "assignment/part"
    possible: float  #: the points of the part
    seed: int  #: with which `check` repeats the random choices
    title: str = ""  #: of the part
    see: str = ""  #: the place in the book
    points: float = 0.0  #: out of `possible`; at most nine tenths of it unless all is right
    #: "passed"; "partial", wrong with some points; "wrong", without; "raised", the answer raised an exception and
    #: earned nothing (else "partial"); "missing", it raised NotImplementedError or is not defined; "wrong kind", not
    #: the class or function itself; "unknown part"; "crashed" and "timed out", its process ended or took too long
    #: (in grading); "ungradable", the check itself failed, and a human decides
    state: str = "wrong"
    #: what is wrong, in plain sentences: why there was nothing to compare; what was raised; of a function, the first
    #: wrong call and the differences; of a block, the differences, and empty where a mistake was named and nothing
    #: else is to be said. Empty when all is right
    summary: str = ""
    #: what was compared, each with `title`, `points`, `possible`, `passed` and `message`
    criteria: list[Criterion] = field(default_factory=list)
    #: `id`, `text` and `see` of each known mistake
    recognised: list[dict[str, str]] = field(default_factory=list)
    compared: list[str] = field(default_factory=list)  #: the cases
    #: of a block: how it was built and on what input it ran when the differences were seen; empty for a function
    case: str = ""
    #: what was written beside what was asked for: `asked`, `yours` (empty if there is none), `where`, `sentence` and,
    #: for a block, `case`; `when` says in which of the cases this holds, where that can be said
    differences: list[dict[str, str]] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)  #: the two columns, line by line, `same` or not
    #: other cases that show something more, each with `case`, `layers` and `differences`
    others: list[OtherCase] = field(default_factory=list)
    place: str = ""  #: where to look, without saying what is wrong there
    alternatives: bool = False  #: whether each of the mistakes alone explains the answer
    notes: list[str] = field(default_factory=list)  #: sentences that cost no points
    #: how far the report opens by itself: "symptom", "place", "mistake" or "all"
    hints: str = field(default="all", compare=False)
    #: the same for plain text, where nothing can be opened: in a terminal, or printed
    told: str = field(default="all", compare=False)
    progress: str = field(default="", compare=False)  #: the line on the points of the session so far

    @property
    def passed(self) -> bool:
        """Whether all is right."""
        return self.state == "passed"

    @property
    def mistakes(self) -> list[str]:
        """The identifiers of the known mistakes that were recognised, such as "relu_before_addition"."""
        return [known["id"] for known in self.recognised]

    # ----------------------------------------------------------------- filled in by the engine

    def pass_all(self) -> None:
        self.points, self.state = float(self.possible), "passed"

    def name_mistakes(self, mistakes: list[Mistake], alternatives: bool = False) -> None:
        """Each of the `alternatives` explains the answer alone; else the mistakes were made together."""
        by_id = {m.id: {"id": m.id, "text": m.text, "see": m.see} for m in reversed(mistakes)}
        self.recognised = list(by_id.values())[::-1]
        self.alternatives = alternatives and len(self.recognised) > 1
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
        self.differences, self.layers, self.others, self.case, self.place = [], [], [], "", ""
        for criterion in self.criteria:
            criterion.points = 0.0
        self.summary = (
            "This does what the block did as it was given. What differs from the right one stands below."
        )

    # ----------------------------------------------------------------- plain data

    def to_dict(self) -> dict[str, Any]:
        """What was found; not how far it was shown, and not the line of progress."""
        return {name: value for name, value in asdict(self).items() if name not in SHOWN}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        data = dict(data)
        data["criteria"] = [Criterion(**criterion) for criterion in data.get("criteria", [])]
        return cls(**data)

    # ----------------------------------------------------------------- shown

    def headline(self) -> str:
        return shown.headline(self)

    def text(self, hints: str = "all") -> str:
        """The report in plain text, up to a step of the hints: "symptom", "place", "mistake" or "all".

        Raises ValueError for any other.
        """
        return shown.text(self, hints)

    def html(self, hints: str | None = None) -> str:
        """The report as one HTML element that brings its own style, for light and dark pages.

        It holds everything; what comes after the step `hints` is folded and opens by a click.
        """
        return shown.html(self, self.hints if hints is None else hints)

    def __repr__(self) -> str:
        return "\n".join(part for part in (self.text(self.told), shown.indented(self.progress)) if part)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        # nbgrader reads the plain text of a graded cell's result as its score. Where it executes the notebook,
        # it gets the points; people get words.
        grading = os.environ.get("NBGRADER_EXECUTION") in ("autograde", "validate")
        plain = f"{float(self.points)}" if grading else repr(self)
        return {"text/plain": plain, "text/html": self.html()}


STATES = shown.STATES
SHOWN = ("hints", "told", "progress")
number = shown.number
