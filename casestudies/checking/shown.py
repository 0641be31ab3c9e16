"""How a report is shown: as text and as HTML, a step at a time.

The steps: the symptom (what was compared, and what came out), the place, the mistake, the link into the book. Text
ends at a step; HTML holds all of them, and what comes later is folded. The folds are `<details>` elements: no script,
no kernel, every key works. Each stands inside the one before, so that opening one shows the next and no more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from casestudies import address
from casestudies.language import ENGLISH, language, message, say, sentence

if TYPE_CHECKING:
    from casestudies.checking.report import LayerRow, Report

STEPS = ("symptom", "place", "mistake", "all")
LONG = 24  # lines of two columns, beyond which they are folded

STATES = {
    "passed": message("Right."),
    "partial": message("Partly right."),
    "wrong": message("Not right yet."),
    "raised": message("Your code raised an exception."),
    "missing": message("Not written yet."),
    "wrong kind": message("This is not what the part asks for."),
    "unknown part": message("Unknown part."),
    "crashed": message("Your code ended the process."),
    "timed out": message("Your code took too long."),
    "ungradable": message("This part could not be graded."),
}


def book_link(see: str) -> str:
    """The address of a place in the book, such as "resnet.html#eq-residual", in the language that is in use."""
    code = language()
    return address.book() + (see if code == ENGLISH else f"{code}/{see}")


def number(value: float) -> str:
    """
    >>> number(4.0), number(2.5)
    ('4', '2.5')
    """
    return f"{value:.2f}".rstrip("0").rstrip(".")


def headline(report: Report) -> str:
    points, possible = number(report.points), number(report.possible)
    return f"{say(STATES[report.state])} {say('{points} of {possible} points.', points=points, possible=possible)}"


def indented(line: str) -> str:
    return f"  {line}" if line else ""


# --------------------------------------------------------------------------- the steps


@dataclass(frozen=True)
class Columns:
    """Two columns of layers, and the sentences that say what differs in them."""

    case: str
    layers: Sequence[LayerRow]
    sentences: tuple[str, ...]

    @property
    def caption(self) -> str:
        return say("{case}: your block beside the one that is asked for", case=sentence(self.case))


@dataclass(frozen=True)
class Ladder:
    """What a report says, by step."""

    symptom: str
    place: str
    mistakes: tuple[tuple[str, str], ...]  # what introduces a sentence ("Likely mistake"), and the sentence
    columns: tuple[Columns, ...]
    links: tuple[str, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that there are after the symptom; none where nothing is held back."""
        found = ["place"] * bool(self.place) + ["mistake"] * bool(self.mistakes or self.columns)
        return (*found, "all") if found and self.links else tuple(found)


def ladder(report: Report) -> Ladder:
    links = tuple(dict.fromkeys(known["see"] for known in report.recognised if known["see"]))
    if not links and report.summary and report.see:
        links = (report.see,)
    place, told = report.place, report.summary
    if report.differences and not place:
        place = _place(report.case, report.differences)
    # A summary is the symptom, such as an exception, unless it is the place or what differs.
    differs = any(difference["sentence"] in told for difference in report.differences)
    symptom = "" if report.recognised or differs or told == place else told
    # What is the place, in its own words, need not be said twice.
    first = [
        each
        for each in report.differences
        if each.get("case", report.case) == report.case or (not report.case and each["sentence"] not in place)
    ]
    columns = [Columns(report.case, report.layers, _sentences(first))]
    columns += [
        Columns(each["case"], each["layers"], _sentences(each["differences"])) for each in report.others
    ]
    mistakes = tuple(
        (
            say("Likely mistake") if index == 0 or not report.alternatives else say("Or, just as likely"),
            sentence(known["text"]),
        )
        for index, known in enumerate(report.recognised)
    )
    return Ladder(
        sentence(symptom),
        sentence(place),
        mistakes,
        tuple(each for each in columns if each.layers or each.sentences),
        links,
    )


def _sentences(differences: Iterable[dict[str, str]]) -> tuple[str, ...]:
    return tuple(map(sentence, sentences_of(differences)))


def sentences_of(differences: Iterable[dict[str, str]]) -> list[str]:
    """The sentences of differences; those that are so in some cases only stand behind the words that say in which."""
    found, before = [], ""
    for difference in differences:
        when = difference.get("when", "")
        if when and when != before:
            found.append(when)
        found.append(difference["sentence"])
        before = when
    return found


def _place(case: str, differences: Iterable[dict[str, str]]) -> str:
    """Where to look in each case, and nothing about what is there."""
    places: dict[str, list[str]] = {}
    for difference in differences:
        where = re.sub(r"^(\d+) times, first (.*)$", r"\2, the first of \1 places", difference["where"])
        found = places.setdefault(difference.get("case", case), [])
        if where and where not in found:
            found.append(where)
    said = []
    for name, found in places.items():
        if found:
            what = "; ".join(say("what stands {place}", place=sentence(each)) for each in found)
            said.append(
                say("{case}: look at {what}.", case=sentence(name), what=what)
                if name
                else say("Look at {what}.", what=what)
            )
    return " ".join(said)


# --------------------------------------------------------------------------- text


def text(report: Report, hints: str = "all") -> str:
    """The report in plain text, at most 100 columns of our own words, up to a step."""
    said, most = ladder(report), step_of(hints)
    lines = [f"{report.part}: {headline(report)}"]
    lines += [f"  {say('Note')}: {sentence(note)}" for note in report.notes]
    for criterion in report.criteria if not report.passed else []:
        mark = say("right") if criterion.passed else say("WRONG") if not criterion.points else say("partly")
        points = f"({number(criterion.points)}/{number(criterion.possible)})"
        lines.append(f"  [{mark:>6}] {sentence(criterion.title)} {points}")
        if criterion.message:
            lines.append(f"           {sentence(criterion.message)}")
    lines.append(indented(said.symptom))
    if not said.steps:
        lines += [f"  {say('Read')}: {book_link(see)}" for see in said.links]
    shown = [step for step in said.steps if STEPS.index(step) <= most]
    if "place" in shown:
        lines.append(f"  {say('Where')}: {said.place}")
    if "mistake" in shown:
        lines += [f"  {what}: {words}" for what, words in said.mistakes]
        for columns in said.columns:
            lines += _columns_text(columns)
    if "all" in shown:
        lines += [f"  {say('Read')}: {book_link(see)}" for see in said.links]
    if len(shown) < len(said.steps):
        more = {
            "place": message("Run the check again to see where it is; {call} says all."),
            "mistake": message("Run the check again to see what the mistake is; {call} says all."),
            "all": message("Run the check again to see where to read about it; {call} says all."),
        }
        call = f'check("{report.part}", ..., hints="all")'
        lines.append(f"  {say(more[said.steps[len(shown)]], call=call)}")
    if report.passed and report.compared:
        lines.append(f"  {say('Compared')}: {'; '.join(map(sentence, report.compared))}")
    if report.criteria and not report.passed:
        again = f'check("{report.part}", ..., seed={report.seed})'
        lines.append(f"  {say('The same random numbers again')}: {again}")
    return "\n".join(line for line in lines if line)


def _columns_text(columns: Columns) -> list[str]:
    """What is asked beside what was written, in plain text."""
    lines = []
    if columns.layers:
        lines.append(f"  {columns.caption}")
        asked = say("asked")
        rows = [(sentence(row["asked"]), sentence(row["yours"]), row["same"]) for row in columns.layers]
        width = max(len(asked), *(len(wanted) for wanted, _, _ in rows))
        lines.append(f"    {asked:<{width}}   {say('yours')}")
        for wanted, written, same in rows:
            yours = say("the same") if same else written or say("(missing)")
            mark = "" if same else f"   <-- {say('here')}"
            lines.append(f"    {wanted:<{width}}   {yours}{mark}")
    return lines + [f"  {words}" for words in columns.sentences]


# --------------------------------------------------------------------------- HTML


def step_of(hints: object) -> int:
    """The number of a step, from its name."""
    if hints not in STEPS:
        *most, last = map(repr, STEPS)
        raise ValueError(f"hints is {hints!r:.60}; expected {', '.join(most)} or {last}")
    return STEPS.index(hints)


def html(report: Report, hints: str) -> str:
    """The report as one HTML element that brings its own style; folded after the step `hints`."""
    said = ladder(report)
    tone = "pass" if report.passed else "part" if report.points else "fail"
    sign = {"pass": "✓", "part": "◐", "fail": "✗"}[tone]
    parts = [
        f'<div class="cs-report cs-{tone}" role="status">{_style()}',
        f'<p class="cs-head"><span class="cs-sign" aria-hidden="true">{sign}</span> '
        f"<code>{escape(report.part)}</code> <strong>{escape(headline(report))}</strong></p>",
    ]
    head = escape(say("Note"))
    parts += [
        f'<p class="cs-note"><strong>{head}:</strong> {escape(sentence(note))}</p>' for note in report.notes
    ]
    links = "".join(map(_anchor, said.links))
    if said.symptom:
        parts.append(f'<p class="cs-mistake">{escape(said.symptom)}{"" if said.steps else f" {links}"}</p>')
    if report.criteria and not report.passed:
        parts.append(_criteria_html(report))
    parts.append(_folds(said, links, step_of(hints)))
    if report.progress:
        first = re.match(r".*?\.(?= |$)", report.progress)  # a sentence; the stop in 2.5 points ends none
        end = first.end() if first else len(report.progress)
        points, rest = escape(report.progress[:end]), escape(report.progress[end:])
        parts.append(f'<p class="cs-progress"><strong>{points}</strong>{rest}</p>')
    if report.passed and report.compared:
        compared = "; ".join(map(sentence, report.compared))
        parts.append(f'<p class="cs-foot">{escape(say("Compared"))}: {escape(compared)}.</p>')
    if report.criteria and not report.passed:
        parts.append(
            f'<p class="cs-foot">{escape(say("To see the same random numbers again"))}: '
            f"<code>check({escape(repr(report.part))}, ..., seed={report.seed})</code></p>"
        )
    parts.append("</div>")
    return "".join(parts)


def _folds(said: Ladder, links: str, most: int) -> str:
    """The steps after the symptom, each inside the one before."""
    titles = {
        "place": say("Where is it?"),
        "mistake": say("What is the mistake?"),
        "all": say("Where can I read about it?"),
    }
    mistakes = "".join(
        f'<p class="cs-mistake"><strong>{escape(what)}:</strong> {escape(words)}</p>'
        for what, words in said.mistakes
    )
    inside = {
        "place": f'<p class="cs-mistake">{escape(said.place)}</p>',
        "mistake": mistakes + "".join(map(_columns_html, said.columns)),
        "all": f"<p>{links}</p>",
    }
    found = ""
    for index, step in reversed(list(enumerate(said.steps, start=1))):
        opened = " open" if STEPS.index(step) <= most else ""
        hint = f"{say('Hint {index} of {count}', index=index, count=len(said.steps))}: {titles[step]}"
        found = f"<details{opened}><summary>{hint}</summary>{inside[step]}{found}</details>"
    return found


def _criteria_html(report: Report) -> str:
    head = "".join(
        f'<th scope="col" {LEFT}>{word}</th>' for word in (say("Compared"), say("Result"), say("Points"))
    )
    parts = [f'<table class="cs-criteria"><thead><tr>{head}</tr></thead><tbody>']
    for criterion in report.criteria:
        result = f"✗\u00a0{say('wrong')}"
        if criterion.passed:
            result = f"✓\u00a0{say('right')}"
        elif criterion.points:
            result = f"◐\u00a0{say('partly')}"
        detail = f"<br><small>{escape(sentence(criterion.message))}</small>" if criterion.message else ""
        points = f"{number(criterion.points)} / {number(criterion.possible)}"
        parts.append(
            f"<tr><td {WRAPPED}>{escape(sentence(criterion.title))}{detail}</td><td {LEFT}>{result}</td>"
            f"<td {LEFT}>{points}</td></tr>"
        )
    return "".join([*parts, "</tbody></table>"])


def _columns_html(columns: Columns) -> str:
    sentences = "".join(f'<p class="cs-mistake">{escape(words)}</p>' for words in columns.sentences)
    if not columns.layers:
        return sentences
    rows = []
    for row in columns.layers:
        yours = say("the same") if row["same"] else escape(sentence(row["yours"]) or say("(missing)"))
        yours = yours if row["same"] else f"<strong>{yours}</strong> ←"
        asked = escape(sentence(row["asked"]) or say("(nothing)"))
        rows.append(f"<tr><td {WRAPPED}>{asked}</td><td {WRAPPED}>{yours}</td></tr>")
    head = "".join(f'<th scope="col" {LEFT}>{word}</th>' for word in (say("Asked"), say("Yours")))
    opened = "" if len(rows) > LONG else " open"
    return (
        f"{sentences}<details{opened}><summary>{escape(columns.caption)}</summary>"
        f'<table class="cs-layers" style="table-layout:auto;width:100%"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></details>"
    )


def _style() -> str:
    """The style, with the two words that narrow screens show before each layer."""
    return STYLE.replace("ASKED", say("asked")).replace("YOURS", say("yours"))


def _anchor(see: str) -> str:
    link = escape(book_link(see))
    return f'<a href="{link}" target="_blank" rel="noopener">{escape(say("Read in the book"))}</a> '


# On each cell itself: JupyterLab drops the style element in a notebook that it does not trust, and aligns right.
LEFT = 'style="text-align:left"'
# The first column holds sentences; pages, such as the book's, keep the first column of a table on one line.
WRAPPED = 'style="text-align:left;white-space:normal"'

# Only inherited colours and translucent ones: readable on any background. Narrow is the report, not the window: in
# a notebook it has a part of it.
STYLE = (
    "<style>"
    ".cs-report{border:1px solid rgba(128,128,128,.45);border-left:.35em solid;border-radius:.3em;"
    "padding:.5em .9em;margin:.4em 0;max-width:84em;line-height:1.45;text-align:left;"
    "container-type:inline-size}.cs-report p,.cs-report td:first-child{overflow-wrap:anywhere}"
    ".cs-report.cs-pass{border-left-color:#2a9d6f}.cs-report.cs-part{border-left-color:#c98a00}"
    ".cs-report.cs-fail{border-left-color:#d1495b}"
    ".cs-report p{margin:.35em 0;max-width:60em}.cs-report .cs-sign{font-weight:bold}"
    ".cs-report table{border-collapse:collapse;table-layout:auto;margin:.5em 0;width:100%;font-size:.93em}"
    ".cs-report table tbody tr:nth-child(n){background:none}"
    ".cs-report table tbody tr:nth-child(n):has(strong){background:rgba(201,138,0,.16)}"
    ".cs-report th,.cs-report td{text-align:left;padding:.25em .7em .25em 0;vertical-align:top;"
    "border-bottom:1px solid rgba(128,128,128,.3);background:none}"
    ".cs-report .cs-criteria :is(th,td):not(:first-child){white-space:nowrap;width:1%}"
    ".cs-report .cs-layers :is(th,td){width:50%}"
    ".cs-report details{margin:.35em 0}.cs-report details details{margin-left:.9em}"
    ".cs-report summary{cursor:pointer;display:list-item}"
    ".cs-report .cs-note{border-left:.2em solid #c98a00;padding-left:.6em}"
    ".cs-report .cs-foot{opacity:.8;font-size:.88em}.cs-report small{font-size:.92em}"
    ".cs-report a{color:inherit;text-decoration:underline}"
    "@container (max-width:34em){"
    ".cs-report table,.cs-report :is(thead,tbody){display:block}"
    ".cs-report .cs-criteria tr{display:grid;text-align:left;grid-template-columns:1fr 4.8em 4em;padding:.25em 0;"
    "border-bottom:1px solid rgba(128,128,128,.3)}"
    ".cs-report .cs-criteria tr :is(th,td){border:0;padding:0;width:auto}"
    ".cs-report .cs-criteria td:first-child{display:contents}"
    ".cs-report .cs-criteria td:first-child br{display:none}"
    ".cs-report .cs-criteria td:first-child small{grid-column:1/-1;order:1}"
    ".cs-report .cs-layers thead{display:none}"
    ".cs-report .cs-layers :is(tr,td){display:block;width:auto}"
    ".cs-report .cs-layers td{padding:.1em .4em}.cs-report .cs-layers td:first-child{border-bottom:0}"
    ".cs-report .cs-layers td:first-child::before{content:'ASKED: ';opacity:.75}"
    ".cs-report .cs-layers td:last-child::before{content:'YOURS: ';opacity:.75}"
    ".cs-report details details{margin-left:0}}"
    "</style>"
)
