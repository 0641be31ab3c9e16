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
the function or method in which it occurs, where it is needed to tell places apart, then a piece of Python that occurs
there exactly once: an expression, a keyword argument (`bias=False`), neighbours in a list of arguments, a parameter
with its default (`stride: int = 1`), or statements. `every` before it changes all its occurrences. What follows a `#`
is the place in the chapter where to read on.

Under a decision come its mistakes: `id: what is written instead`; nothing after the colon leaves the piece out.
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
from casestudies.checking.expected import expect, expect_sequence, expect_text
from casestudies.checking.sources import Edit, Edited, Made, source_of
from casestudies.checking.sources import TableError as TableError

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
    """Declare mistakes of one or several parts, each as an edit of the reference's own source.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, Values, call, part
    >>> from casestudies.checks.lenet import conv_output_size
    >>> @part("example/padded", points=1, title="The size with padding")
    ... def padded():
    ...     calls = Group("padding", lambda dice: [call(28, 5, 1, 2)])
    ...     return Values(conv_output_size, calls)
    >>> table("example/padded", conv_output_size, '''
    ... 2 * padding
    ...     one_side: padding
    ...         The padding is counted once; it lies on both sides of the image.
    ... ''')
    >>> check("example/padded", lambda size, *_: size + 2 - 5 + 1).mistakes
    ['one_side']

    Args:
        part_ids: The id of the part, ``"assignment/part"``, or a list of the ids of several that share the table. The
            parts must be declared above.
        reference: The reference class or function, which is defined at the top level of a file. If a mistake lies in
            something that the reference is made of, this is a tuple of the reference and of these classes and
            functions.
        rows: The table, a text of decisions, mistakes and sentences: see :ref:`parts-table`.
        said: A sentence around that of each row, with ``{}``, once, in its place. Default: ``"{}"``, for the sentence
            of the row alone.
        but: The id of a row that is not declared, or a list of several. Default: none.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `part_ids` or `rows` is empty, if a part is not declared, or if `said` does not have ``{}``
            exactly once.
        TableError: If a line cannot be read, a decision has no mistake, a row has no sentence, `but` has an id that
            no row has, or another mistake of the part has the same id with another sentence or place. The error names
            the part, and quotes the line or names the row.
    """
    wanted = '"assignment/part", or a list of several'
    expect_sequence("part_ids of a table", [part_ids] if isinstance(part_ids, str) else part_ids, wanted)
    ids = [part_ids] if isinstance(part_ids, str) else list(part_ids)
    expect(len(ids) > 0, "part_ids of a table", part_ids, wanted)
    for part_id in ids:
        expect_text("an id in part_ids of a table", part_id, '"assignment/part"')
    made = tuple(reference) if isinstance(reference, Sequence) else (reference,)
    wanted = "the right class or function, or a tuple of it and of what it is made of"
    expect(bool(made) and all(map(callable, made)), "reference of a table", reference, wanted, TypeError)
    expect_text("rows of a table", rows, "a text of decisions and mistakes")
    expect(bool(rows.strip()), "rows of a table", rows, "a text of decisions, and mistakes under each")
    expect_text("said of a table", said, "a sentence with {} in it")
    expect(said.count("{}") == 1, "said of a table", said, "a sentence with {} in it, once")
    expect_sequence("but of a table", [but] if isinstance(but, str) else but, "an id of a row, or several")
    source = source_of(*made)
    left_out = {but} if isinstance(but, str) else set(but)
    for part_id in ids:
        part = parts.declared(part_id)
        file = _file_of(part)
        at = f"{file}, {part_id}" if file else part_id
        found = list(_rows(rows, at))
        if unknown := left_out - {row.id for row in found}:
            raise TableError(f"{at}: but has {', '.join(sorted(unknown))}, which is no row of the table")
        for row in found:
            if row.id not in left_out:
                edited = Edited(source, row.edits, row.id, f"{at}, {row.id}")
                try:
                    part.add(
                        parts.Mistake(row.id, said.replace("{}", row.text), _link(row.see, part), edited)
                    )
                except ValueError as error:
                    raise TableError(f"{file}: {error}" if file else str(error)) from None


def _file_of(part: parts.Part) -> str:
    """The file of a part of the package; "" for a part of a notebook or of another file, whose id says enough."""
    packaged = part.declare.__module__ == parts.checks_of(part.assignment)
    return f"casestudies/checks/{part.assignment}.py" if packaged else ""


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
    bare = False  # whether the decision has no mistake yet
    lines = [line.rstrip() for line in textwrap.dedent(text).splitlines() if line.strip()]
    index = 0

    def unreadable(line: str, expected: str) -> TableError:
        return TableError(f"{at}: the line {line.strip()!r} is not {expected}")

    def without_mistake() -> TableError:
        return TableError(
            f"{at}: the decision {right!r} has no mistake under it; give it one, or leave it out"
        )

    while index < len(lines):
        line = lines[index]
        if not line[:1].isspace():
            if bare:
                raise without_mistake()
            right, comment = _apart(line)
            place = PLACE.fullmatch(comment)
            if comment and not place:
                raise unreadable(line, "a decision with one place of the chapter behind its `#`")
            see = place[1] if place else ""
            bare = True
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
        bare = False
        yield Row(row[1], tuple(edits), " ".join(words), see)
    if bare:
        raise without_mistake()
