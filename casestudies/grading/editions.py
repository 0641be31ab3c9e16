"""An assignment in another language: the English source's cells with other prose, and nothing else changed.

`locale/<language>/assignments/<name>.po`, beside `solutions/`, has the messages of an assignment: paragraphs,
headings, items, cells of tables and folds of its text cells, docstrings and comments of the code that students get.
What has no translation stays English. Cells, ids, points, tests and code are those of `solutions/<name>.md`; what
only instructors read, the solutions and model answers, is no message.

The language is what `--language` says, or the course (`configure(c, ..., language="ko")` in nbgrader_config.py), or
CASESTUDIES_LANGUAGE.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from casestudies import language

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

# Takes the kind of a piece of prose and the piece, and returns what is to stand there.
Say = Callable[[str, str], str]

CONFIGURATION = "nbgrader_config.py"
NOT_WORDS = re.compile(r"`[^`]*`|\$[^$]*\$|\]\([^)]*\)|<[^>]*>|\{\{[^}]*\}\}|[\w.]*[_\d(][\w.]*")
WORD = re.compile(r"(?<![\w\\])[A-Za-z]?[a-z]{2,}")
DISPLAYED = re.compile(r"(\$\$.*?\$\$)", re.DOTALL)
SUMMARY = re.compile(r"(?<=<summary>)(.*?)(?=</summary>)", re.DOTALL)
ADDRESS = re.compile(r"\{\{ *(\w+) *\}\}")
MARKS = ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS", "BEGIN MARK SCHEME")
ENDS = ("END SOLUTION", "END HIDDEN TESTS", "END MARK SCHEME")
LONG = 20_000  # characters of a cell whose tokens are not kept
WIDTH, KOREAN_WIDTH = 88, 48  # of lines of comments and docstrings; Hangul is twice as wide


class EditionError(ValueError):
    """A translation does not fit its assignment; the message says which, and what to do."""


@dataclass(frozen=True)
class Prose:
    """A piece of prose of an assignment, as translators get it, and what it is."""

    kind: str  # "", "heading", "label", "comment" or "rubric"
    text: str


# ----------------------------------------------------------------------------------------- which language


def wanted(root: Path, given: str | None = None) -> str:
    """The language of what students get: the one given, else the course's, else CASESTUDIES_LANGUAGE's.

    Raises ValueError for one that has no catalogue.
    """
    if given:
        return language.known(given, "--language")
    return of_course(root) or language.language()


def of_course(root: Path) -> str:
    """What nbgrader_config.py in `root` says, as `configure(c, ..., language="ko")`; "" where it says nothing.

    The file is read, not run: it would build notebooks.
    """
    path = root / CONFIGURATION
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return ""  # nbgrader tells what is wrong with it
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") == "configure"):
            continue
        for keyword in node.keywords:
            if keyword.arg != "language":
                continue
            if not isinstance(keyword.value, ast.Constant) or not isinstance(keyword.value.value, str | None):
                raise ValueError(
                    f"{path}, line {keyword.value.lineno}: language is {ast.unparse(keyword.value)}; "
                    f"expected one of {', '.join(map(repr, language.languages()))}, or None"
                )
            return language.known(keyword.value.value, f"{path}: language") if keyword.value.value else ""
    return ""


MODEL_ANSWER = re.compile(
    r"^### BEGIN SOLUTION$\n(.*?)^### END SOLUTION$", re.DOTALL | re.MULTILINE
)  # in a cell of text: its rubric


def rubric_messages(cells: list[tuple[str, str]]) -> list[Prose]:
    """What is to be translated of the rubrics of written answers, which students get with their feedback."""
    found = [MODEL_ANSWER.search(source) for cell_type, source in cells if cell_type == "markdown"]
    return [Prose("rubric", one.text) for one in prose([("markdown", each[1]) for each in found if each])]


def rubric(text: str, source: Path, code: str) -> str:
    """A rubric of an assignment in another language; what is not translated stays as it is."""
    korean = translations(source, code)
    return in_text(text, lambda _, said: korean.get(said, said)) if korean else text


def catalogue_of(source: Path, code: str) -> Path:
    """Where the messages of `solutions/<name>.md` stand in a language."""
    return source.parent.parent / "locale" / code / "assignments" / f"{source.stem}.po"


def translations(source: Path, code: str) -> Mapping[str, str]:
    """The finished translations of an assignment by their English; none where it has no catalogue."""
    path = catalogue_of(source, code)
    return dict(language.entries(path)) if path.is_file() else {}


# ----------------------------------------------------------------------------------------------- the prose


def has_words(text: str) -> bool:
    """Whether there is something to translate: not in names, formulas and code.

    >>> [has_words(text) for text in ("`conv` and $a$", "6 × 28 × 28", "`conv_parameters`", "F6")]
    [True, False, False, False]
    """
    return bool(WORD.search(NOT_WORDS.sub(" ", text)))


def secret(lines: list[str]) -> set[int]:
    """The places of the lines that students do not get, with those that mark them."""
    found, inside = set(), False
    for place, line in enumerate(lines):
        inside |= any(mark in line for mark in MARKS)
        if inside or any(mark in line for mark in ENDS):
            found.add(place)
        inside &= not any(mark in line for mark in ENDS)
    return found


def said(kind: str, text: str, say: Say) -> str:
    """What to write for a piece of prose; the same where there is no other."""
    plain = ADDRESS.sub(r"{{\1}}", " ".join(text.split()))
    if not has_words(plain):
        return text
    new = say(kind, plain)
    return text if new == plain else ADDRESS.sub(r"{{ \1 }}", new)


def rewritten(cell_type: str, source: str, say: Say) -> str:
    """The source of a cell with its prose as `say` has it."""
    if cell_type == "markdown":
        return in_text(source, say)
    return in_code(source, say) if cell_type == "code" else source


def prose(cells: list[tuple[str, str]]) -> list[Prose]:
    """The messages of cells, each a type and a source: in their order, each once."""
    found: dict[str, Prose] = {}

    def note(kind: str, text: str) -> str:
        found.setdefault(text, Prose(kind, text))
        return text

    for cell_type, source in cells:
        rewritten(cell_type, source, note)
    return list(found.values())


@cache
def parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable("table")


def in_text(source: str, say: Say) -> str:
    """
    >>> print(in_text("# A title\\n\\n- one\\n  item\\n\\n$$x$$", lambda kind, text: text.upper()))
    # A TITLE
    <BLANKLINE>
    - ONE ITEM
    <BLANKLINE>
    $$x$$
    """
    lines = source.split("\n")
    hidden = secret(lines)
    tokens: list[Token] = parser().parse(source)
    replaced: dict[int, list[str]] = {}  # first line of a block -> the lines in its place
    left: set[int] = set()
    for before, token in zip([None, *tokens], tokens, strict=False):
        if token.map is None or token.type not in ("inline", "html_block", "code_block"):
            continue
        start, end = token.map
        if hidden & set(range(start, end)):
            continue
        if token.type == "code_block":  # indented: a drawing in words, more often than code
            for place in range(start, end):
                core = lines[place].strip()
                replaced[place] = [lines[place].replace(core, said("label", core, say)) if core else ""]
            left |= set(range(start, end))
            continue
        if token.type == "html_block":
            text = "\n".join(lines[start:end])
            replaced[start] = SUMMARY.sub(lambda m: said("label", m[0], say), text).split("\n")
            left |= set(range(start, end))
            continue
        kind = before.type if before else ""
        if kind in ("th_open", "td_open"):
            row = (replaced.get(start) or [lines[start]])[0]
            replaced[start] = [in_row(row, token.content, say)]
            left.add(start)
            continue
        first = token.content.split("\n")[0]
        prefix, found, _ = lines[start].partition(first)
        if not found:
            continue
        name = "heading" if kind == "heading_open" else ""
        parts = DISPLAYED.split(token.content)
        pieces = [part if place % 2 else kept(part, name, say) for place, part in enumerate(parts)]
        if pieces == parts:
            continue
        indent = re.sub(r"[^>\s]", " ", prefix)
        written = "".join(pieces).split("\n")
        replaced[start] = [prefix + written[0], *(indent + line for line in written[1:])]
        left |= set(range(start, end))
    result: list[str] = []
    for place, line in enumerate(lines):
        result += replaced.get(place, [] if place in left else [line])
    return "\n".join(result)


def kept(part: str, kind: str, say: Say) -> str:
    """A piece of a paragraph, with the blanks around it."""
    core = part.strip()
    return part.replace(core, said(kind, core, say)) if core else part


def in_row(row: str, content: str, say: Say) -> str:
    """A row of a table with one of its cells translated: the first that has this text and still stands there."""
    new = said("label", content, say)
    cell = re.compile(rf"(?<=\|)(\s*){re.escape(content)}(\s*)(?=\||$)")
    return row if new == content else cell.sub(lambda m: f"{m[1]}{new}{m[2]}", row, count=1)


# ------------------------------------------------------------------------------------------------ the code


@dataclass(frozen=True)
class Piece:
    """A docstring or comment: its lines from `start` to before `end`, and the column where it begins."""

    start: int
    end: int
    column: int
    text: str
    comment: bool


def tokens_of(source: str) -> list[tokenize.TokenInfo]:
    """The tokens of a cell; none where it is not Python."""
    try:
        return list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return []


def is_docstring(tokens: list[tokenize.TokenInfo], place: int) -> bool:
    """Whether a token is a string in triple quotes that is a statement by itself."""
    if tokens[place].type != tokenize.STRING or not tokens[place].string.startswith('"""'):
        return False
    silent = (tokenize.NL, tokenize.COMMENT)
    before = next((t for t in reversed(tokens[:place]) if t.type not in silent), None)
    after = next((t for t in tokens[place + 1 :] if t.type not in silent), None)
    opened = before is None or before.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    return opened and (after is None or after.type in (tokenize.NEWLINE, tokenize.ENDMARKER))


def pieces_of(source: str) -> Iterator[Piece]:
    """The docstrings and comments of a cell, from above; lines of comment that follow one another are one."""
    tokens = tokens_of(source)
    open_: Piece | None = None
    for place, token in enumerate(tokens):
        (start, column), (end, _) = token.start, token.end
        if token.type == tokenize.COMMENT:
            text, alone = token.string.lstrip("#").strip(), not token.line[:column].strip()
            if alone and open_ and open_.end == start - 1 and open_.column == column:
                open_ = Piece(open_.start, start, column, f"{open_.text} {text}", True)
                continue
            if open_:
                yield open_
            open_ = Piece(start - 1, start, column, text, True)
            if not alone:
                yield open_
                open_ = None
        elif is_docstring(tokens, place):
            if open_:
                yield open_
                open_ = None
            yield Piece(start - 1, end, column, token.string[3:-3], False)
    if open_:
        yield open_


def in_code(source: str, say: Say) -> str:
    """
    >>> print(in_code("# a\\n# sum\\nx = 1 + 2  # three", lambda kind, text: text.upper()))
    # A SUM
    x = 1 + 2  # THREE
    """
    lines = source.split("\n")
    hidden = secret(lines)
    for piece in reversed(list(pieces_of(source))):  # from below, so that the places above stay
        if hidden & set(range(piece.start, piece.end)):
            continue
        new = comment(piece, say) if piece.comment else docstring(piece, say)
        if new is None:
            continue
        before = lines[piece.start][: piece.column]
        indent = " " * piece.column
        after = "" if piece.comment else lines[piece.end - 1].rpartition('"""')[2]
        lines[piece.start : piece.end] = [
            before + new[0],
            *(indent + line if line else "" for line in new[1:]),
        ]
        lines[piece.start + len(new) - 1] += after
    result = "\n".join(lines)
    if code_alone(result) != code_alone(source):
        raise EditionError(f"a translated comment or docstring changes the code {first_line(source)!r}")
    return result


def comment(piece: Piece, say: Say) -> list[str] | None:
    """The lines of a comment in the other language; None where it stays. One line stays one line."""
    new = said("comment", piece.text, say)
    if new == piece.text:
        return None
    several = piece.end - piece.start > 1
    return [f"# {line}" for line in (wrapped(new, piece.column) if several else [new])]


def docstring(piece: Piece, say: Say) -> list[str] | None:
    """The lines of a docstring in the other language, quotes included; None where it stays. Examples stay."""
    paragraphs = re.split(r"\n\s*\n", piece.text)
    told = [text if ">>>" in text else said("comment", text, say) for text in paragraphs]
    if told == paragraphs:
        return None
    lines: list[str] = []
    for place, (old, new) in enumerate(zip(paragraphs, told, strict=True)):
        lines += [""] if place else []
        plain = textwrap.dedent(" " * piece.column + old if place == 0 else old).strip("\n").split("\n")
        same = [line.rstrip() for line in plain]
        lines += same if new == old else wrapped(new, piece.column) if "\n" in old.strip() else [new.strip()]
    closing_alone = piece.text.rstrip(" ").endswith("\n")
    lines[0] = f'"""{lines[0]}'
    if closing_alone:
        return [*lines, '"""']
    lines[-1] += '"""'
    return lines


def wrapped(text: str, column: int) -> list[str]:
    """
    >>> wrapped("one two", 84)
    ['one', 'two']
    """
    hangul = bool(re.search(r"[가-힣]", text))
    width = KOREAN_WIDTH if hangul else max(WIDTH - column, 4)
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def code_alone(source: str) -> tuple[tuple[int, str], ...]:
    """A cell without its comments and docstrings, as tokens: what has to be the same in every language."""
    return (_kept_code if len(source) <= LONG else _kept_code.__wrapped__)(source)


@lru_cache(maxsize=512)  # the same few cells are asked for again and again, for each submission of a class
def _kept_code(source: str) -> tuple[tuple[int, str], ...]:
    tokens = tokens_of(source)
    silent = (tokenize.NL, tokenize.COMMENT)
    return tuple(
        (token.type, "" if is_docstring(tokens, place) else token.string)
        for place, token in enumerate(tokens)
        if token.type not in silent
    )


def first_line(source: str) -> str:
    return next((line.strip() for line in source.splitlines() if line.strip()), "")
