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
    """One thing that was compared, with the points that it earned."""

    title: str  #: The heading in the report, for a function the title of the group of calls.
    #: The points that it earned, for a block in proportion to the cases that are correct.
    points: float
    possible: float  #: The most that it can earn.
    #: Whether all of it is correct. If it is correct and still earns nothing, `message` says why. For a block to
    #: repair that was handed in unchanged, `Report.summary` says so instead.
    passed: bool
    #: The first difference, with its case or call, or the reason why nothing was earned. It is ``""`` if all points
    #: were earned, or those of `points_if_recognised`.
    message: str = ""
    #: The points that it earns if the mistakes are recognised. `points` has them already if they were.
    points_if_recognised: float = 0.0


class LayerRow(TypedDict):
    """One row of the side-by-side table of layers, as a dictionary, such as ``report.layers[0]``."""

    asked: str  #: The layer that is asked for; ``""`` if there is none.
    yours: str  #: The layer that was written; ``""`` if there is none.
    same: bool  #: Whether the two are the same.


class OtherCase(TypedDict):
    """A further case that reveals differences the first one does not, as a dictionary."""

    case: str  #: The case, written as `Report.case` is.
    layers: list[LayerRow]  #: The table of layers, as in `Report.layers`.
    differences: list[dict[str, str]]  #: The differences, as in `Report.differences`.


@dataclass
class Report:
    """The result of a check. Its fields hold everything that was found, however much of it is shown.

    A field with no content is empty (``""``, ``[]``, ``False``, or 0 for a number), never None. If nothing was
    compared, only these fields are filled in:

    - `part`, `possible`, `seed`, `title`, `see`, `state` and `summary`, and perhaps `notes`;
    - `hints`, `told` and `progress`, which concern how the report is shown.

    For an unknown part, `see` and `progress` are empty too.

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

    part: str  #: The id that was passed to `~casestudies.check`, as text.
    possible: float  #: The points that the part is worth; 0 for an unknown part.
    #: The seed with which `~casestudies.check` repeats the random choices; 0 for an unknown part.
    seed: int
    title: str = ""  #: The title of the part as declared, or ``"Unknown part"``.
    #: The place in the book that explains the part, such as ``"resnet.html#eq-residual"``; ``""`` if there is none.
    see: str = ""
    #: The points earned: `possible` if everything is correct, otherwise the sum over `criteria`, rounded to two
    #: decimals and never more than nine tenths of `possible`.
    points: float = 0.0
    #: The outcome, one of these words:
    #:
    #: - ``"passed"``: everything is correct.
    #: - ``"partial"``: something is wrong, and something earned points.
    #: - ``"wrong"``: something is wrong, and nothing earned points.
    #: - ``"raised"``: the answer raised an exception, and nothing earned points.
    #: - ``"missing"``: the answer raised NotImplementedError in at least one call or case, as an unsolved exercise
    #:   does, and nothing earned points. In grading, it can also mean that the answer is not defined.
    #: - ``"wrong kind"``: the answer is not the class or function itself.
    #: - ``"unknown part"``: there is no part of that name.
    #: - ``"crashed"``, ``"timed out"``: the process of the answer ended, or took too long. These occur only in
    #:   grading.
    #: - ``"ungradable"``: the check itself failed, and a human has to decide. The log says why.
    state: str = "wrong"
    #: What is wrong, in plain sentences.
    #:
    #: - It says why nothing was compared, or what the answer raised.
    #: - For a function, it quotes the first wrong call and lists the differences.
    #: - For a block, it lists the differences.
    #: - It is ``""`` if everything is correct, and for a block that the mistakes in `recognised` explain in full.
    summary: str = ""
    #: What was compared. For a function these are its groups of calls. For a block they are its shapes and
    #: parameters, evaluation, training and gradients, as far as they are worth points in this part.
    criteria: list[Criterion] = field(default_factory=list)
    #: The known mistakes that explain the answer, each a dictionary with ``id``, ``text`` (the sentence that students
    #: read) and ``see``. Of several mistakes that each explain the answer on their own, the first two are
    #: listed.
    recognised: list[dict[str, str]] = field(default_factory=list)
    #: What the answer was compared on: the cases of a block, such as ``"BasicBlock(6, 6) on 3×6×5×8"``, or the titles
    #: of the groups of a function.
    compared: list[str] = field(default_factory=list)
    #: The case in which the differences of a block were seen, that is, how it was built and on what input it ran;
    #: ``""`` for a function.
    case: str = ""
    #: The differences between what was written and what was asked for, each a dictionary of strings.
    #:
    #: - ``asked`` is what was asked for.
    #: - ``yours`` is what was written; ``""`` if it is missing.
    #: - ``where`` is the place.
    #: - ``sentence`` states the whole difference.
    #: - ``case``, for a block only, is the case.
    #: - ``when`` says in which cases or calls it holds. The key is left out if it holds in all, or in none that can
    #:   be named.
    #:
    #: For a function, the list may be empty although mistakes are recognised.
    differences: list[dict[str, str]] = field(default_factory=list)
    #: The layers of a block that were asked for and those that were written, side by side; empty for a function.
    layers: list[LayerRow] = field(default_factory=list)
    #: Further cases of a block that reveal differences which the first does not.
    others: list[OtherCase] = field(default_factory=list)
    #: A sentence on where to look, or the symptom itself if no layer can be named; it may be ``""``.
    place: str = ""
    #: Whether each of the mistakes in `recognised` explains the answer on its own.
    alternatives: bool = False
    notes: list[str] = field(default_factory=list)  #: Sentences for the student that cost no points.
    #: The hint step at which the report opens, ``"symptom"``, ``"place"``, ``"mistake"`` or ``"all"``; ``"all"`` for
    #: a report that `~casestudies.check` did not make.
    hints: str = field(default="all", compare=False)
    #: The hint step at which plain text ends, as in a terminal or with `print`, where nothing can be opened.
    told: str = field(default="all", compare=False)
    #: The line on the points of this session; ``""`` for an unknown part, and for a report that `~casestudies.check`
    #: did not make.
    progress: str = field(default="", compare=False)

    @property
    def passed(self) -> bool:
        """Whether everything is correct."""
        return self.state == "passed"

    @property
    def mistakes(self) -> list[str]:
        """The ids of the known mistakes that were recognised, such as ``"relu_before_addition"``."""
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
        """Return the report as plain values that JSON can hold.

        Returns:
            A dictionary of all fields by name, except `hints`, `told` and `progress`.

        >>> report = Report("example/double", 2, seed=1, title="Twice as much")
        >>> report.to_dict()["title"], Report.from_dict(report.to_dict()) == report
        ('Twice as much', True)
        """
        return {name: value for name, value in asdict(self).items() if name not in SHOWN}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """Rebuild a report from what `to_dict` returned.

        Args:
            data: The dictionary that `to_dict` returned. It is not changed. Values for `hints`, `told` and `progress`
                are ignored.

        Returns:
            A report equal to the one that was written. Its `hints` and `told` are ``"all"``, and its `progress` is
            ``""``.

        Raises:
            TypeError: If a key of `data` is not a field, or `part`, `possible` or `seed` is missing.
        """
        data = {name: value for name, value in data.items() if name not in SHOWN}
        data["criteria"] = [Criterion(**criterion) for criterion in data.get("criteria", [])]
        return cls(**data)

    # ----------------------------------------------------------------- shown

    def headline(self) -> str:
        return shown.headline(self)

    def text(self, hints: str = "all") -> str:
        """Write the report in plain text.

        Args:
            hints: The hint step at which the text ends: ``"symptom"``, ``"place"``, ``"mistake"`` or ``"all"``.
                Default: ``"all"``.

        Returns:
            The text, in several lines.

        Raises:
            ValueError: If `hints` is not one of these steps.
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
