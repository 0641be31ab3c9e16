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

    title: str  #: what was compared: of a function, the title of a group of calls
    points: float  #: what it earned, out of `possible`: of a block, in the share of the cases that are right
    possible: float  #: its share of the points of the part
    passed: bool  #: whether it is right; what is right may still earn nothing, and `message` says why
    #: the first difference, in a sentence that names the case or the call, or why it earned nothing. Empty where all
    #: is right, and where it earns points since the mistakes were recognised
    message: str = ""
    points_if_recognised: float = 0.0  #: what it earns if the mistakes are recognised: already in `points`


class LayerRow(TypedDict):
    """A dictionary: a line of the two columns of layers, such as ``report.layers[0]["yours"]``."""

    asked: str  #: the layer that is asked for; ``""`` where there is none
    yours: str  #: the layer that was written; ``""`` where there is none
    same: bool  #: whether they are the same


class OtherCase(TypedDict):
    """A dictionary: a later case that shows something more."""

    case: str  #: as `Report.case`
    layers: list[LayerRow]  #: as `Report.layers`
    differences: list[dict[str, str]]  #: as `Report.differences`


@dataclass
class Report:
    """The result of a check. All of it is in the fields, however much is shown.

    A field with nothing to say is empty (``""``, ``[]`` or ``False``), never None. After a check that compared
    nothing, only these have contents: `part`, `possible`, `seed`, `title`, `see`, `state` and `summary`; perhaps
    `notes`; and `hints`, `told` and `progress`, which concern how the report is shown.

    >>> from casestudies import check
    >>> def conv_output_size(size, kernel, stride=1, padding=0):
    ...     return size - kernel + 1
    >>> report = check("lenet/conv_output_size", conv_output_size, seed=1)
    >>> report.state, report.passed, report.points, report.possible
    ('partial', False, 0.8, 4)
    >>> report.criteria[1].title, report.criteria[1].message
    ('With padding', 'conv_output_size(28, 5, 1, 2) gives 24; expected 28.')
    >>> report.recognised[0]["id"], report.recognised[0]["text"]
    ('padding_ignored', 'The padding does not enter the result.')
    """

    part: str  #: ``"assignment/part"``, as `check` was asked
    possible: float  #: the points of the part; 0 for an unknown part
    seed: int  #: the seed with which `check` repeats the random choices; 0 for an unknown part
    title: str = ""  #: of the part, as it is declared
    #: the place in the book, such as ``"resnet.html#eq-residual"``; ``""`` if the part names none
    see: str = ""
    #: out of `possible`. All of it only where all is right: else the sum over `criteria`, to two digits, and at most
    #: nine tenths of `possible`
    points: float = 0.0
    #: one of these:
    #:
    #: - ``"passed"``: all is right.
    #: - ``"partial"``: something is wrong, and something earned points.
    #: - ``"wrong"``: something is wrong, and nothing earned points.
    #: - ``"raised"``: the answer raised an exception, and nothing earned points.
    #: - ``"missing"``: it raised NotImplementedError, as what is handed out does; in grading also: it is not defined.
    #: - ``"wrong kind"``: it is not the class or the function itself.
    #: - ``"unknown part"``: there is no part of that name.
    #: - ``"crashed"``, ``"timed out"``: its process ended, or took too long; only in grading.
    #: - ``"ungradable"``: the check itself failed, and a human has to decide. The log says why.
    state: str = "wrong"
    #: what is wrong, in plain sentences: why there was nothing to compare; what was raised; of a function, the first
    #: wrong call, and the differences; of a block, the differences. ``""`` where all is right, and of a block where
    #: the mistakes in `recognised` are all there is to say
    summary: str = ""
    #: what was compared, a `Criterion` each: of a block, shapes and parameters, evaluation, training, gradients, as
    #: far as the part gives points for them; of a function, its groups of calls. Empty where nothing was compared
    criteria: list[Criterion] = field(default_factory=list)
    #: a dictionary with ``id``, ``text`` and ``see`` for each known mistake that explains the answer; of several that
    #: each explain it alone, for the first two. The text is the sentence that students read
    recognised: list[dict[str, str]] = field(default_factory=list)
    #: what it was compared on: of a block the cases, such as ``"BasicBlock(6, 6) on 3×6×5×8"``; of a function the
    #: titles of its groups
    compared: list[str] = field(default_factory=list)
    #: of a block: how it was built and on what input it ran when the differences were seen; ``""`` for a function
    case: str = ""
    #: what was written beside what was asked for. Each is a dictionary of strings: ``asked``; ``yours``, ``""`` if it
    #: is missing; ``where``; ``sentence``, which says it all; for a block ``case``, and ``when`` if it can be said in
    #: which of the cases this holds. May be empty for a function although mistakes are recognised
    differences: list[dict[str, str]] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)  #: of a block: the two columns, line by line
    others: list[OtherCase] = field(default_factory=list)  #: other cases that show something more
    place: str = ""  #: a sentence on where to look, which does not say what is wrong there
    alternatives: bool = False  #: whether each of the mistakes in `recognised` alone explains the answer
    notes: list[str] = field(default_factory=list)  #: sentences that cost no points
    #: how far the report opens by itself: ``"symptom"``, ``"place"``, ``"mistake"`` or ``"all"``; ``"all"`` for one
    #: not made by `check`
    hints: str = field(default="all", compare=False)
    #: the same for plain text, where nothing can be opened: in a terminal, or printed
    told: str = field(default="all", compare=False)
    #: the line on the points of this session; ``""`` for an unknown part and for a report not made by `check`
    progress: str = field(default="", compare=False)

    @property
    def passed(self) -> bool:
        """Whether all is right."""
        return self.state == "passed"

    @property
    def mistakes(self) -> list[str]:
        """The identifiers of the known mistakes that were recognised, such as ``"relu_before_addition"``."""
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

    def give_nothing_for_what_was_given(self, rewritten: bool = False) -> None:
        """A block to repair that still does what it did: no points for what was right in it, and no names. What
        differs is shown if the block was `rewritten` and still does the same; of the lines as they were handed out it
        would give the answer away."""
        self.recognised, self.points, self.state = [], 0.0, "wrong"
        if not rewritten:
            self.differences, self.layers, self.others, self.case, self.place = [], [], [], "", ""
        for criterion in self.criteria:
            criterion.points = 0.0
        self.summary = AS_GIVEN

    # ----------------------------------------------------------------- plain data

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, ready for JSON, except `hints`, `told` and `progress`.

        >>> report = Report("example/double", 2, seed=1, title="Twice as much")
        >>> report.to_dict()["title"], Report.from_dict(report.to_dict()) == report
        ('Twice as much', True)
        """
        return {name: value for name, value in asdict(self).items() if name not in SHOWN}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """The report of which `to_dict` gave `data`. Raises TypeError for a name that is no field."""
        data = dict(data)
        data["criteria"] = [Criterion(**criterion) for criterion in data.get("criteria", [])]
        return cls(**data)

    # ----------------------------------------------------------------- shown

    def headline(self) -> str:
        return shown.headline(self)

    def text(self, hints: str = "all") -> str:
        """The report in plain text, up to a step of the hints: ``"symptom"``, ``"place"``, ``"mistake"`` or
        ``"all"``.

        Raises ValueError for any other step.
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


# It points at no other place: in text the criteria stand before it, in HTML behind it, and there may be nothing else.
AS_GIVEN = "This does what the block did as it was given."
STATES = shown.STATES
SHOWN = ("hints", "told", "progress")
number = shown.number
