"""Mistakes as a table: the right decision, and under it the wrong ones, each with the sentence that teaches.

    table("resnet/basic_block", Block, '''
    forward: F.relu(out + self.shortcut(x))  # eq-residual
        relu_before_addition: F.relu(out) + self.shortcut(x)
            ReLU is applied to F(x) before the input is added; the published block adds first.
        skip_forgotten: F.relu(out)
            + __init__: self.shortcut = shortcut(in_channels, out_channels, stride) => self.shortcut = nn.Identity()
            The input is never added: this is a plain block.
    ''')

A mistake is an edit of the reference's own source. A line without indentation is a decision as the reference has it:
the function or method in which it stands, where it is needed to tell places apart, then a piece of Python that occurs
there exactly once: an expression, a keyword argument (`bias=False`), neighbours in a list of arguments, a parameter
with its default (`stride: int = 1`), or statements. `every` before it changes all its occurrences. What follows a `#`
is the place in the chapter where to read on.

Under a decision stand its mistakes: `id: what is written instead`; nothing after the colon leaves the piece out.
Lines that begin with `+` change another place as well, `right => wrong`. Then comes the sentence.

Mistakes whose edits do not overlap are also made together. Nothing is compiled before a mistake is asked for.
"""

from __future__ import annotations

import io
import re
import textwrap
import tokenize
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from casestudies.checking import parts
from casestudies.checking.sources import Edit, Edited, Made, TableError, source_of

ROW = re.compile(r"(\w+):(?: (.*))?$")
PLACE = re.compile(r"# ?(\S+)")


def table(
    part_ids: str | Sequence[str],
    reference: Made | Sequence[Made],
    rows: str,
    *,
    said: str = "{}",
    but: Iterable[str] = (),
) -> None:
    """Declares mistakes of one or several parts, each as an edit of the reference's own source.

    - `part_ids`: "assignment/part", or several, which share the table.
    - `reference`: the right class or function; what it is made of may follow, if a mistake is in there.
    - `rows`: the table. A line without indentation is a piece of the reference's source that occurs there once, after
      the name of its method and a colon where that is needed; `# place` at its end is where to read on. Under it, one
      step in, stand mistakes, `id: what is written instead`, and under each, one step further in, lines
      `+ right => wrong` that change another place as well, and the sentence that a student reads.
    - `said`: the sentence around that of each row, "{}" standing for it.
    - `but`: an id or ids of rows that are left out.

    Raises ValueError for a part that is not declared, and TableError (a ValueError), which names file and row,
    for a row without a sentence and an id in `but` that no row has; for a piece that occurs more or less often than
    once when the mistake is made for the first time.
    """
    ids = [part_ids] if isinstance(part_ids, str) else list(part_ids)
    source = source_of(*(reference if isinstance(reference, Sequence) else (reference,)))
    left_out = {but} if isinstance(but, str) else set(but)
    for part_id in ids:
        part = parts.declared(part_id)
        at = f"casestudies/checks/{part.assignment}.py, {part_id}"
        found = list(_rows(rows, at))
        if unknown := left_out - {row.id for row in found}:
            raise TableError(f"{at}: but has {', '.join(sorted(unknown))}, which is no row of the table")
        for row in found:
            if row.id not in left_out:
                made = Edited(source, row.edits, row.id, f"{at}, {row.id}")
                try:
                    part.add(parts.Mistake(row.id, said.format(row.text), _link(row.see, part), made))
                except ValueError as error:
                    raise TableError(f"casestudies/checks/{part.assignment}.py: {error}") from None


def _link(see: str, part: parts.Part) -> str:
    """`eq-residual` is a place in the assignment's own chapter."""
    if not see:
        return part.see
    return see if "#" in see else f"{part.assignment}.html#{see}"


# --------------------------------------------------------------------------- the text


@dataclass(frozen=True)
class Row:
    """One mistake of a table."""

    id: str
    edits: tuple[Edit, ...]
    text: str
    see: str


def _apart(line: str) -> tuple[str, str]:
    """A line of code and the comment at its end, however many blanks are between them; a `#` in a string is none.

    >>> _apart("return x # place"), _apart("pad('#')")
    (('return x', '# place'), ("pad('#')", ''))
    """
    try:
        for token in tokenize.generate_tokens(io.StringIO(line).readline):
            if token.type == tokenize.COMMENT:
                return line[: token.start[1]].strip(), token.string
    except (tokenize.TokenError, SyntaxError):
        pass  # it is no Python, which is said where it is compiled
    return line.strip(), ""


def _rows(text: str, at: str) -> Iterator[Row]:
    """The rows of a table; what cannot be read raises, with its line."""
    right = see = ""
    lines = [line.rstrip() for line in textwrap.dedent(text).splitlines() if line.strip()]
    index = 0

    def unreadable(line: str, expected: str) -> TableError:
        return TableError(f"{at}: the line {line.strip()!r} is not {expected}")

    while index < len(lines):
        line = lines[index]
        if not line.startswith(" "):
            right, comment = _apart(line)
            place = PLACE.fullmatch(comment)
            if comment and not place:
                raise unreadable(line, "a decision with one place of the chapter behind its `#`")
            see = place[1] if place else ""
            index += 1
            continue
        depth = len(line) - len(line.lstrip())
        row = ROW.match(line.strip())
        if row is None or not right:
            raise unreadable(line, "a mistake, `id: what is written instead`, under a decision")
        if _apart(row[2] or "")[1]:
            raise unreadable(
                line, "a mistake without a `#`: the place to read on stands behind the decision above"
            )
        index += 1
        edits = [Edit(right, row[2] or "")]
        words: list[str] = []
        while index < len(lines) and len(lines[index]) - len(lines[index].lstrip()) > depth:
            inner = lines[index].strip()
            if inner.startswith("+ ") and not words:
                also, arrow, wrong = inner[2:].partition(" =>")
                if not arrow:
                    raise unreadable(inner, "another place, `+ right => wrong`")
                edits.append(Edit(also.strip(), wrong.strip()))
            else:
                words.append(inner)
            index += 1
        if not words:
            raise TableError(f"{at}, {row[1]}: there is no sentence for the student to read")
        yield Row(row[1], tuple(edits), " ".join(words), see)
