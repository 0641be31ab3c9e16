"""Where a student's work may stand, if not in the cells that ask for it.

A cell that came back as it was handed out is a certain 0 only where nothing else of the student's exists: no file
that came along or was left out, no text in other cells, no prose in code, in stored outputs or in metadata, nothing
attached. Where there is any, a human looks. What students got themselves does not count, nor does what a system
leaves in a folder.
"""

from __future__ import annotations

import ast
import io
import re
import textwrap
import tokenize
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from casestudies.grading.cells import Assignment, Check, UnprotectedCheck, mark_of_attachment, steps
from casestudies.grading.handed_in import Corrupt, hidden, in_archive
from casestudies.grading.intake import HandedCell, own_cells, read_notebook, rebuild, untouched
from casestudies.grading.sanitise import TEXT_CHARACTERS
from casestudies.grading.submission import Submission
from casestudies.grading.verdicts import Verdict
from casestudies.language import message
from casestudies.sandboxed.quoting import quoted

if TYPE_CHECKING:
    from nbformat import NotebookNode

# A comment, docstring or string of the student's with as many words may be an answer; most comments are shorter.
# Words of code do not count, and two characters of Korean, Chinese or Japanese count as one.
WORDS = 12
WORDS_OF_A_LINE = 3  # below, a string is a label, and not a part of a longer text
LINES_COUNT = 2000  # different lines of text in one cell; where there are more, a human looks
CHARACTERS = 10 * TEXT_CHARACTERS  # of all code that is searched; likewise
BESIDE = 2 * CHARACTERS  # of all notebooks beside the graded one that are searched; likewise
SHOWN = 5  # names in one sentence

NOT_HERE = message("No response in this cell.")
NOT_WRITTEN = message("The answer {name} was not written in its cell, and a human has to look for it.")
IN_CELLS = message("It may stand in other cells of the notebook.")
IN_CODE = message("It may stand in the code, which has a long comment or text: {names}.")
IN_FILES = message("It may stand in what came along: {names}.")
IN_ADDED = message("It may stand in a cell of the student's own, which has a long comment or text.")
IN_OUTPUTS = message("It may stand in a stored output, in the notebook as it was handed in.")
IN_METADATA = message("It may stand in the metadata, in the notebook as it was handed in.")
ATTACHED = message("It may stand in what is attached to a cell.")
UNREAD = message("It may stand in what could not be graded.")

UNTOUCHED = message(
    "None of this could be graded: the cells for code are as they were handed out, and the work may stand in {names}."
)
RENAMED = message(
    "Not defined here, but the check in this cell had been changed and was about {names}, which is. A human decides."
)
JUDGED_BY = message(
    "The check in {cell} had been changed and was about {name}. Since what it asks for is not defined, {name} was "
    "judged in its place: it earns no points."
)
TAKEN_INSTEAD = message("The notebook is as it was handed out; {name} was taken in its place.")


def names_of(names: Iterable[str]) -> str:
    """Names of files or cells, for a sentence."""
    found = list(dict.fromkeys(names))
    shown = ", ".join(quoted(name) for name in found[:SHOWN])
    return f"{shown}, ..." if len(found) > SHOWN else shown


# --------------------------------------------------------------------------- files


def files_beside(
    submission: Submission, assignment: Assignment, holds: Callable[[bytes, Assignment], bool], but: str = ""
) -> list[str]:
    """The files of a submission that may hold work: not those that students got. `holds` says it of a notebook; `but`
    is one that is known."""
    given = set(assignment.given)
    found, left = [], BESIDE
    for name, mark in submission.beside.items():
        if name == but or mark in given:
            continue
        data = submission.others.get(name)
        left -= _characters(data or b"")
        if data is None or left < 0 or holds(data, assignment):
            found.append(name)
    return found


@lru_cache(maxsize=32)
def _characters(data: bytes) -> int:
    """How much is written in a notebook; what cells put out does not count."""
    try:
        return sum(len(cell.source) for cell in read_notebook(data))
    except Corrupt:
        return 0


def notebook_instead(submission: Submission, assignment: Assignment) -> str:
    """The one notebook in an archive that holds work, where the one of the right name does not; "" where it is not
    certain which that is."""
    found = [
        name
        for name, data in submission.others.items()
        if holds_work(data, assignment) and not (in_archive(name) and hidden(name))
    ]
    unread = [
        name for name, mark in submission.beside.items() if not mark or not submission.others.get(name, b"x")
    ]
    return found[0] if len(found) == 1 and in_archive(found[0]) and not unread else ""


@lru_cache(maxsize=32)
def holds_work(data: bytes, assignment: Assignment) -> bool:
    """Whether a notebook that lies beside another holds anything of the student's, or cannot be read."""
    found = _rebuilt(data, assignment)
    return found is None or bool(own_cells(found[0], assignment) or has_attached(found[0], assignment))


@lru_cache(maxsize=32)
def holds_text(data: bytes, assignment: Assignment) -> bool:
    """Whether a notebook that lies beside another may hold a written answer, or cannot be read."""
    found = _rebuilt(data, assignment)
    if found is None:
        return True
    read, notebook, missing = found
    written = {cell.id for cell in assignment.cells if cell.manual and cell.students}
    return bool(written - untouched(notebook, assignment) - missing) or bool(
        places(read, notebook, assignment)
    )


def _rebuilt(data: bytes, assignment: Assignment) -> tuple[list[HandedCell], NotebookNode, set[str]] | None:
    """Its cells as they were recognised, the notebook made of them, and which of the student's are missing; None
    where it is no notebook."""
    try:
        read = read_notebook(data)
    except Corrupt:
        return None
    notebook, _, missing = rebuild(read, assignment, rendered=False)
    return read, notebook, missing


# --------------------------------------------------------------------------- the notebook itself


def is_idle(read: list[HandedCell], assignment: Assignment) -> bool:
    """Whether nothing in a notebook that was recognised can earn a point: each cell that students write is as it was
    handed out, but for comments, and none of the others defines what they shall define."""
    wanted: set[str] = set()
    for cell in assignment.cells:
        if cell.students and cell.cell_type == "code":
            wanted |= _names(cell.source)
    kinds = {cell.id: cell.cell_type for cell in assignment.cells if cell.students}
    for handed in own_cells(read, assignment):
        if kinds.get(handed.known_as or "") == "code":
            return False
        if (
            handed.type == "code"
            and handed.known_as not in kinds
            and not wanted.isdisjoint(_names(handed.source))
        ):
            return False
    return bool(wanted)


def _names(source: str) -> set[str]:
    """The names that a piece of code defines anywhere, whether it can be parsed or not."""
    return set(re.findall(r"\b(?:class|def)\s+(\w+)", source)) | set(
        re.findall(r"^[ \t]*(\w+)[ \t]*(?::[^=\n]+)?=(?!=)", source, re.M)
    )


def has_attached(read: list[HandedCell], assignment: Assignment) -> bool:
    """Whether something is attached to a cell that was not handed out; an answer shows what is attached to it."""
    given = set(assignment.given)
    students = {cell.id for cell in assignment.cells if cell.students}
    return any(
        mark_of_attachment(each) not in given
        for handed in read
        if handed.known_as not in students
        for each in handed.attachments.values()
    )


def places(read: list[HandedCell], notebook: NotebookNode, assignment: Assignment) -> list[str]:
    """Where in a notebook text of the student's stands, beside the cells that ask for it, in sentences."""
    found = []
    if any(cell.metadata.get("casestudies", {}).get("own") for cell in notebook.cells):
        found.append(IN_CELLS)
    known = _known_text(assignment)
    code = [each for each in own_cells(read, assignment, comments=True) if each.type == "code"]
    talking, left = list[str | None](), CHARACTERS
    for each in code:
        left -= len(each.source)
        if left < 0 or has_prose(each.source, known):
            talking.append(each.known_as)
    if named := [each for each in talking if each]:
        found.append(IN_CODE.format(names=names_of(named)))
    if None in talking:
        found.append(IN_ADDED)
    if has_attached(read, assignment):
        found.append(ATTACHED)
    ours = {cell.id for cell in assignment.cells if not cell.students}
    shown = (text for each in read if not each.plain and each.known_as not in ours for text in each.shown)
    if any(is_prose(text, known) for text in shown):
        found.append(IN_OUTPUTS)
    if any(is_prose(text, known) for each in read for text in each.noted):
        found.append(IN_METADATA)
    return found


def places_of_answers(
    read: list[HandedCell],
    notebook: NotebookNode,
    assignment: Assignment,
    submission: Submission,
    problem: str,
    taken: str = "",
) -> list[str]:
    """Where an answer that is not in its cell may stand, in sentences; none where there is nothing else of the
    student's."""
    found = places(read, notebook, assignment)
    if files := files_beside(submission, assignment, holds_text, taken):
        found.append(IN_FILES.format(names=names_of(files)))
    if problem and not found:
        found.append(UNREAD)
    return found


def unwritten(notebook: NotebookNode, assignment: Assignment) -> list[str]:
    """The ids of the answers that a human would grade, and that came back as they were handed out."""
    empty = untouched(notebook, assignment)
    return [cell.id for cell in assignment.cells if cell.students and cell.manual and cell.id in empty]


# --------------------------------------------------------------------------- other names


def renamed(read: list[HandedCell], assignment: Assignment) -> dict[str, list[str]]:
    """Cells with checks -> what the student's own text of them asks about instead: names of the student's."""
    handed = {each.known_as: each.source for each in read if each.known_as}
    own = set[str]().union(*(_names(each.source) for each in own_cells(read, assignment)))
    found = {}
    for cell in assignment.cells:
        if cell.autograded and handed.get(cell.id, cell.source) != cell.source:
            known = _expressions(cell.source)
            if known and (names := sorted((_expressions(handed[cell.id]) - known) & own)):
                found[cell.id] = names
    return found


def without_renamed(
    verdicts: list[Verdict], names: Mapping[str, list[str]], judged: Container[str]
) -> list[Verdict]:
    """Leaves to a human what is not there, where the student's own text of the check asks about something of theirs
    by another name: at home that was checked. What was `judged` by that name is certain to be worth nothing."""
    found = []
    for verdict in verdicts:
        if verdict.state == "missing" and verdict.cell in names and verdict.cell not in judged:
            why = RENAMED.format(names=names_of(names[verdict.cell]))
            verdict = replace(verdict, state="ungradable", points=None, message=why)
        found.append(verdict)
    return found


def _expressions(text: str) -> set[str]:
    """What the checks of a cell are about."""
    try:
        return {step.expression for step in steps(text) if isinstance(step, Check)}
    except (SyntaxError, ValueError, RecursionError, MemoryError, UnprotectedCheck):
        return set()


# --------------------------------------------------------------------------- prose


@lru_cache(maxsize=8)
def _known_text(assignment: Assignment) -> str:
    """The words that were handed out, in a row."""
    sources = [cell.source for cell in assignment.cells]
    return _row("\n".join([*sources, *(text for _, text, _ in assignment.plain), *assignment.texts]))


def _row(text: str) -> str:
    return f" {' '.join(each.casefold() for each in words(text))} "


# A word: letters, with marks around it that end a sentence or quote. Code and formulas have others.
_WORD = re.compile(r"[(\[\"'“‘*_]*([^\W\d_]+(?:['’\-/][^\W\d_]+)*)[)\]\"'”’.,;:!?*_…]*")
_SYLLABLES = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def words(text: str) -> list[str]:
    """
    >>> words("the input (x) is added: out = F.relu(x) + x")
    ['the', 'input', 'x', 'is', 'added', 'out', 'x']
    """
    return [match[1] for each in text.split() if (match := _WORD.fullmatch(each))]


def amount(text: str) -> int:
    """How many words a text has.

    >>> amount("the block adds its input"), amount("블록은 입력을 더합니다")
    (5, 5)
    """
    syllables = len(_SYLLABLES.findall(text))
    return (syllables + 1) // 2 + sum(not _SYLLABLES.search(each) for each in words(text))


def has_prose(source: str, known: str = "  ") -> bool:
    """Whether a cell of code holds a comment, a docstring or a string of so many words that it may be an answer.
    Lines that are in `known`, a row of words, do not count."""
    handed_out = set(known.split())
    seen: dict[str, bool] = {}  # lines, and whether they were handed out
    for text in _texts(source[:TEXT_CHARACTERS]):
        lines = []
        for line in text.split("\n"):
            row = _row(line)
            if row not in seen:
                if len(seen) >= LINES_COUNT:
                    return True  # nobody writes so many without a word
                seen[row] = bool(row.strip()) and handed_out.issuperset(row.split()) and row in known
            if not seen[row]:
                lines.append(line)
        if amount("\n".join(lines)) >= WORDS and not _is_code("\n".join(lines)):
            return True
    return False


# Said of an installation in a notebook, and by nobody else.
RESTART = "Note: you may need to restart the kernel to use updated packages."
_TAG = re.compile(r"<[^<>]*>")


def is_prose(text: str, known: str = "  ") -> bool:
    """Whether a text that no cell holds has lines of so many words that it may be an answer. A line that comes again
    with other numbers, as the steps of a training do, counts once.

    >>> is_prose("epoch 1 loss 2.30 accuracy 0.11"), is_prose("the training error is higher too " * 2)
    (False, True)
    """
    handed_out, rows, lines = set(known.split()), set[str](), list[str]()
    for line in _TAG.sub(" ", text).replace(RESTART, "").split("\n"):
        row = _row(line)
        if row in rows or not _is_prose(line):
            continue
        rows.add(row)
        if len(rows) >= LINES_COUNT:
            return True
        if not (handed_out.issuperset(row.split()) and row in known):
            lines.append(line)
    return amount("\n".join(lines)) >= WORDS and not _is_code("\n".join(lines))


def _is_code(text: str) -> bool:
    """Whether it is code that was switched off, and no text."""
    tree = _parsed(textwrap.dedent(text))
    return tree is not None and not all(isinstance(each, ast.Expr) for each in tree.body)


def _texts(source: str) -> Iterator[str]:
    """The texts in a cell of code: comments of whole lines as one where they follow one another, and so strings."""
    comments: list[tuple[int, int, str]] = []
    strings: list[tuple[int, int, str]] = []
    tree = _parsed(source)
    try:
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                text = token.string.lstrip("#!").removeprefix(" ")
                if token.line.lstrip().startswith("#"):
                    comments.append((token.start[0], token.end[0], text))
                else:
                    yield text
            elif token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
                strings.append((token.start[0], token.end[0], _unquoted(token.string)))
    except (tokenize.TokenError, SyntaxError, ValueError):
        tree = None
    errors = _messages(tree) if tree else set[int]()
    yield from _joined(comments)
    yield from _joined(
        each for each in strings if each[0] not in errors and amount(each[2]) >= WORDS_OF_A_LINE
    )
    if tree is None:  # text that was typed into a cell of code, or code of IPython's with some
        yield "\n".join(line.lstrip("# ") for line in source.split("\n") if _is_prose(line))


def _messages(tree: ast.Module) -> set[int]:
    """The lines of statements that raise an error, whose strings are its message."""
    found = (each for each in ast.walk(tree) if isinstance(each, ast.Raise | ast.Assert))
    return {line for each in found for line in range(each.lineno, (each.end_lineno or each.lineno) + 1)}


def _parsed(source: str) -> ast.Module | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_prose(line: str) -> bool:
    found = words(line)
    return len(found) >= WORDS_OF_A_LINE and len(found) >= 0.8 * len(line.split())


def _unquoted(string: str) -> str:
    inner = re.fullmatch(r"(?s)[A-Za-z]{0,2}('''|\"\"\"|'|\")(.*)\1", string)
    return (inner[2] if inner else string).replace("\\n", "\n")


def _joined(pieces: Iterable[tuple[int, int, str]]) -> Iterator[str]:
    """Texts with (first line, last line, text), those of neighbouring lines as one."""
    last, lines = -1, list[str]()
    for start, end, piece in pieces:
        if lines and start > last + 1:
            yield "\n".join(lines)
            lines = []
        lines.append(piece)
        last = end
    if lines:
        yield "\n".join(lines)


__all__ = [
    "NOT_HERE",
    "NOT_WRITTEN",
    "TAKEN_INSTEAD",
    "UNTOUCHED",
    "WORDS",
    "amount",
    "files_beside",
    "has_prose",
    "holds_text",
    "holds_work",
    "is_idle",
    "names_of",
    "notebook_instead",
    "places",
    "places_of_answers",
    "renamed",
    "unwritten",
    "without_renamed",
    "words",
]
