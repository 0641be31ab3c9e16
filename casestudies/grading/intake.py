"""A submission as it arrives -> a notebook that is rebuilt around the instructor's cells.

Students delete, copy, split, move and re-flag cells, rename the file, lose its metadata, or submit something
that is no notebook. What is the instructor's is taken from the instructor; what is the student's is kept,
in the order in which it was written, and runs as ordinary cells where it has no other place.
"""

from __future__ import annotations

import ast
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from casestudies.grading.cells import Assignment, SourceCell, without_hidden
from casestudies.grading.editions import code_alone
from casestudies.grading.handed_in import (
    ALLOWED,
    FILE_BYTES,
    FILES_BYTES,
    FILES_COUNT,
    MARKS,
    NOTEBOOK_BYTES,
    Corrupt,
    allowed_files,
    is_plain_file,
    read_plain_file,
)
from casestudies.grading.sanitise import (
    TEXT_CHARACTERS,
    Pictures,
    TooMuch,
    clean_html,
    one_line,
    plain,
    preformatted,
    render_markdown,
    safe_picture,
    safe_svg,
    tame_math,
)
from casestudies.grading.verdicts import Output
from casestudies.sandboxed.quoting import quoted

if TYPE_CHECKING:
    from nbformat import NotebookNode

ANOTHER = "this looks like the notebook of another assignment"
CELLS_COUNT = 2000
BRACKETS_COUNT = 2_000_000  # of the JSON: as objects, empty lists take thirty times their size
OUTPUTS_COUNT = 100  # of one cell
SHORTEST = 20  # characters of a text beside the cells that may be an answer
SHOWN_CHARACTERS = 4_000_000  # of all outputs of a notebook, pictures included
CODE_CHARACTERS = 200_000  # of one cell of code, as it is shown; it runs as a whole
NOTES_COUNT = 60

# What stands in a student's cell that was not there.
MISSING = "This cell was missing."
NOTHING = "Nothing was handed in."


# --------------------------------------------------------------------------- reading


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def _decode(data: bytes) -> str:
    """The text of a file, in whatever encoding an editor left it."""
    encodings = [encoding for mark, encoding in MARKS if data.startswith(mark)][:1]
    if not encodings:
        # Without a mark: every second byte of ASCII text in UTF-16 is zero.
        head = data[:64]
        if head[1::2].count(0) > 8:
            encodings = ["utf-16-le"]
        elif head[::2].count(0) > 8:
            encodings = ["utf-16-be"]
        else:
            encodings = ["utf-8", "cp1252", "latin-1"]
            if b"\0" in head:
                raise Corrupt("the notebook is not text")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeError:
            continue
    raise Corrupt("the notebook is not text")


@dataclass(eq=False)
class HandedCell:
    """A cell of a submission: what is kept of it, and what it was recognised as."""

    type: str  # "code", "markdown" or "raw"
    source: str
    grade_id: str | None = None
    attachments: dict[str, object] = field(default_factory=dict)
    known_as: str | None = None  # the id of the assignment's cell that it is
    plain: bool = False  # whether it is one of the instructor's cells without an id
    # Texts that are dropped: of its stored outputs, and of its metadata, with the first cell those of the notebook.
    shown: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()


def read_notebook(data: bytes) -> list[HandedCell]:
    """The cells of a notebook file; all else is dropped.

    Raises Corrupt where the bytes are no notebook. Accepts nbformat 3 and 4, any or no metadata.
    """
    if not data.strip():
        raise Corrupt("the notebook is an empty file")
    if data[:4] in (b"PK\3\4", b"\x1f\x8b\x08\0", b"%PDF"):
        raise Corrupt("the notebook is not text but an archive or a document")
    text = _decode(data)
    if text.count("[") + text.count("{") > BRACKETS_COUNT:
        raise Corrupt(f"the notebook has more than {BRACKETS_COUNT:,} brackets")
    if re.search(r"^(?:<{7}|>{7}|={7})(?: |$)", text[:NOTEBOOK_BYTES], re.MULTILINE):
        try:
            json.loads(text)
        except (ValueError, RecursionError):
            raise Corrupt("the notebook is not JSON: it holds the marks of an unfinished merge") from None
    try:
        tree = json.loads(text, parse_int=_number, parse_constant=lambda _: None)
    except (ValueError, RecursionError) as error:
        why = (
            f"line {error.lineno}"
            if isinstance(error, json.JSONDecodeError)
            else "nested too deep, or odd numbers"
        )
        raise Corrupt(f"the notebook is not JSON ({why})") from None
    if not isinstance(tree, dict):
        raise Corrupt("the notebook is JSON, but not an object with cells")
    cells = tree.get("cells")
    if cells is None and isinstance(tree.get("worksheets"), list):  # nbformat 3
        cells = []
        for sheet in tree["worksheets"]:
            inside = sheet.get("cells") if isinstance(sheet, dict) else None
            cells += inside if isinstance(inside, list) else []
    if not isinstance(cells, list):
        raise Corrupt("the notebook has no list of cells")
    if len(cells) > CELLS_COUNT:
        raise Corrupt(f"the notebook has {len(cells):,} cells; at most {CELLS_COUNT:,} are read")
    read = []
    of_notebook = tree.get("metadata")
    noted = (
        _noted({k: v for k, v in of_notebook.items() if k != "widgets"})
        if isinstance(of_notebook, dict)
        else ()
    )
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        kind = cell.get("cell_type")
        level = cell.get("level")
        heading = kind == "heading"
        kind = "markdown" if heading else kind if isinstance(kind, str) else "raw"
        metadata = cell.get("metadata")
        header = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        name = header.get("grade_id") if isinstance(header, dict) else None
        source = _text(cell.get("source", cell.get("input", ""))).replace("\r\n", "\n").replace("\r", "\n")
        if heading:
            source = f"{'#' * (level if type(level) is int and 1 <= level <= 6 else 1)} {source}"
        attachments = cell.get("attachments")
        read.append(
            HandedCell(
                type=kind if kind in ("code", "markdown", "raw") else "raw",
                source=source.encode("utf-8", "replace").decode(),  # lone surrogates cannot be written
                grade_id=name if isinstance(name, str) else None,
                attachments=attachments if isinstance(attachments, dict) else {},
                shown=_shown_by(cell.get("outputs")),
                noted=(*_noted(metadata), *noted),
            )
        )
        noted = ()
    return read


# What check shows, which is ours: "resnet/basic_block: Wrong. ..."
REPORT = re.compile(r"\s*[a-z0-9_]+/[a-z0-9_]+: ")
READABLE = ("text/plain", "text/markdown", "text/latex", "text/html")


def _shown_by(outputs: object) -> tuple[str, ...]:
    """The texts of stored outputs: what was printed or displayed, without errors, warnings and reports of checks."""
    found: list[str] = []
    for output in outputs if isinstance(outputs, list) else ():
        if not isinstance(output, dict):
            continue
        data = output.get("data")
        texts = [_text(data[kind]) for kind in READABLE if kind in data] if isinstance(data, dict) else []
        if output.get("output_type") == "stream" and output.get("name") != "stderr":
            texts = [_text(output.get("text", ""))]
        if not any(REPORT.match(each) for each in texts):
            found += texts
    return tuple(_long_ones(found))


def _noted(metadata: object) -> tuple[str, ...]:
    """The texts in metadata, however deep."""
    found: list[str] = []
    waiting = [metadata]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, (dict, list)):
            waiting += list(value.values() if isinstance(value, dict) else value)[::-1]
    return tuple(_long_ones(found))


def _long_ones(texts: Iterable[str]) -> Iterator[str]:
    """Those that may be an answer; the others are not kept."""
    return (
        each[:TEXT_CHARACTERS].encode("utf-8", "replace").decode() for each in texts if len(each) >= SHORTEST
    )


def _number(text: str) -> int | None:
    """Python refuses to read integers of thousands of digits, and so would the whole notebook be refused."""
    return int(text) if len(text) < 1000 else None


# --------------------------------------------------------------------------- rebuilding


def _squeeze(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _shown(cell: SourceCell) -> set[str]:
    """The texts of an instructor's cell: whole, and as students saw it."""
    return {_squeeze(cell.source), _squeeze(without_hidden(cell.source))}


def _as_given(handed: HandedCell, cell: SourceCell) -> bool:
    """Whether an instructor's cell came back as it was handed out, in whichever language: an edition differs in its
    comments and docstrings alone."""
    if _squeeze(handed.source) in _shown(cell):
        return True
    if cell.cell_type != "code" or len(handed.source) > 3 * len(cell.source) + 1000:  # no comments of ours
        return False
    given = code_alone(handed.source)
    return bool(given) and given in (code_alone(cell.source), code_alone(without_hidden(cell.source)))


def _own_copy(copies: list[HandedCell], cell: SourceCell) -> HandedCell:
    """Which of several cells with one id it is: the student's last that was changed, the instructor's first
    that was not."""
    if not cell.students:
        return next((copy for copy in copies if _as_given(copy, cell)), copies[0])
    changed = [copy for copy in copies if _squeeze(copy.source) != _squeeze(cell.source)]
    return (changed or copies)[-1]


def _has_text(source: str) -> bool:
    """Whether a cell of code holds words only: comments and strings, as an answer that was typed there."""
    if not source.strip() or len(source) > TEXT_CHARACTERS:
        return False
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return True
    except (ValueError, RecursionError, MemoryError):
        return False
    return all(isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) for each in body)


def _definitions(source: str) -> set[str]:
    return set(re.findall(r"^(?:class|def|async def)\s+(\w+)", source, re.MULTILINE))


def _names(source: str) -> tuple[set[str], set[str]]:
    """The names that a piece of code gives to something at its top, and those that it reads; none where it cannot be
    told."""
    if len(source) > TEXT_CHARACTERS:
        return set(), set()
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(), set()
    given: set[str] = set()
    for each in tree.body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            given.add(each.name)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            given |= {(alias.asname or alias.name).partition(".")[0] for alias in each.names}
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            names = (node for node in ast.walk(each) if isinstance(node, ast.Name))
            given |= {node.id for node in names if isinstance(node.ctx, ast.Store)}
    return given, {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _unfenced(source: str) -> str:
    """Code that was typed as text, without the fence that may stand around it."""
    lines = source.strip().split("\n")
    fence = re.match(r"`{3,9}|~{3,9}", lines[0])
    if fence is None or len(lines) < 2 or lines[-1].strip() != fence[0]:
        return source
    return "\n".join(lines[1:-1])


def _switched_off(handed: HandedCell, cell: SourceCell) -> bool:
    """Whether it is a stub that was made text, so that it no longer runs: the student's code stands elsewhere."""
    return cell.students and cell.cell_type == "code" != handed.type and _as_given(handed, cell)


def _found_by_name(
    cell: SourceCell, read: list[HandedCell], free: list[HandedCell], order: list[str]
) -> HandedCell | None:
    """The cell without metadata that defines what `cell` shall define: the last that stands before the cells that
    follow it, in which it was checked; one that was made text only where there is no other."""
    names = _definitions(cell.source)
    same = [each for each in free if each.type == "code" and names & _definitions(each.source)]
    same = same or [
        each for each in free if each.type != "code" and names & _names(_unfenced(each.source))[0]
    ]
    if not same or any(each.grade_id is not None for each in same):
        return None
    for later in order[order.index(cell.id) + 1 :]:
        at = next((i for i, each in enumerate(read) if each.known_as == later), None)
        if at is not None:
            before = [each for each in read[:at] if each in same]
            return (before or same)[-1]
    return same[-1]


def _recognise(read: list[HandedCell], assignment: Assignment, notes: list[str]) -> None:
    """Sets `known_as` and `plain` of each cell that was read.

    By its metadata, else by its text; a student's cell without metadata by what it defines, or by its place between
    cells that were recognised.
    """
    known = {cell.id: cell for cell in assignment.cells}
    by_text: dict[tuple[str, str], str] = {}
    for cell in assignment.cells:
        for text in (cell.source, without_hidden(cell.source)) if not cell.students else (cell.source,):
            by_text.setdefault((cell.cell_type, _squeeze(text)), cell.id)
    plain_texts = {(kind, _squeeze(text)) for kind, text, _ in assignment.plain}

    strangers: list[str] = []
    foreign = False
    for handed in read:
        name, written = handed.grade_id, (handed.type, _squeeze(handed.source))
        handed.plain = name not in known and written in plain_texts
        if name in known and _switched_off(handed, known[name]):
            notes.append(f"the cell {name!r} was a {handed.type} cell without an answer; it does not run")
            continue
        if name not in known:
            if name is not None:
                strangers.append(name)
            found = by_text.get(written)
            # A stub that was copied, or doubled by an editor, is not its cell once more.
            name = found if found and not (known[found].students and _claimed(found, read)) else None
        handed.known_as = name
    if strangers:
        of = _assignment_of(strangers)
        known_here = [handed for handed in read if handed.grade_id in known]
        if of and of != assignment.name and len(strangers) > len(known_here):
            notes.append(f"{ANOTHER}, {quoted(of)}")
            foreign = True
        for name in strangers[:5]:
            notes.append(f"a cell claims the unknown id {quoted(name, 64)}; it runs as an ordinary cell")
        if len(strangers) > 5:
            notes.append(f"{len(strangers) - 5:,} more cells claim unknown ids")

    lost = [
        cell for cell in assignment.cells if cell.students and not any(c.known_as == cell.id for c in read)
    ]
    order = [cell.id for cell in assignment.cells]
    before_of: dict[str, list[tuple[str, str]]] = {}
    for kind, text, after in assignment.plain:
        before_of.setdefault(after, []).append((kind, _squeeze(text)))
    for cell in lost:
        # A cell that still has an id of the assignment's, and is not that cell, is its stub, made text.
        free = [
            each
            for each in read
            if each.known_as is None and each.grade_id not in known and not each.plain and each.source.strip()
        ]
        if cell.cell_type == "code":
            if found_cell := _found_by_name(cell, read, free, order):
                found_cell.known_as = cell.id
                notes.append(f"the cell {cell.id!r} was found by what it defines: its metadata was lost")
            continue
        # A written answer: the text between the cell before it and the cell after it.
        at = order.index(cell.id)
        earlier = {*order[:at]}
        later = {*order[at + 1 :]}
        questions = set(before_of.get(order[at - 1] if at else "", []))
        low, high = -1, len(read)
        for i, each in enumerate(read):
            if each.known_as in earlier or (each.type, _squeeze(each.source)) in questions:
                low = i
        for i in range(len(read) - 1, low, -1):
            if read[i].known_as in later or (read[i].plain and i > low):
                high = i
        # Without its question or a neighbour there is no such place: another assignment's notebook has the cells that
        # all have, and text that nobody wrote as an answer.
        beside = {*order[max(0, at - 1) : at], *order[at + 1 : at + 2]}
        placed = not foreign and any(
            each.known_as in beside or (each.type, _squeeze(each.source)) in questions for each in read
        )
        between = [each for each in read[low + 1 : high] if each in free and each.type != "code"]
        if placed and between:
            between[0].known_as = cell.id
            notes.append(f"the answer {cell.id!r} was found by its place: its metadata was lost")


def _claimed(name: str, read: list[HandedCell]) -> bool:
    return any(cell.grade_id == name or cell.known_as == name for cell in read)


def _assignment_of(names: list[str]) -> str:
    """The assignment of this course whose parts the ids name most often; empty where none is."""
    from casestudies.checking import parts

    best, most = "", 0
    for name in parts.assignments():
        try:
            known = {f"check_{part.partition('/')[2]}" for part in parts.parts(name)}
        except Exception:  # an assignment that does not load is not the one
            continue
        count = len(known & set(names))
        if count > most:
            best, most = name, count
    return best


class _Texts:
    """Shows what students write as text, as long as there is room for it; what was left out goes to the notes."""

    def __init__(self, files: dict[str, bytes], notes: list[str], rendered: bool = True) -> None:
        self.rendered = rendered
        self.pictures, self.notes, self.left = Pictures(files=files), notes, SHOWN_CHARACTERS

    def with_pictures(self, cell: HandedCell, source: str) -> str:
        """The text that was handed out, and what a student attached to it without a word."""
        added = "".join(f"\n\n![](<attachment:{quote(name)}>)" for name in cell.attachments)
        return self.shown(replace(cell, source=source.rstrip() + added))

    def shown(self, cell: HandedCell) -> str:
        """A student's text as HTML."""
        source = cell.source
        if not self.rendered:
            return one_line(preformatted(source[:TEXT_CHARACTERS]))
        self.left -= len(source)
        if self.left < 0:
            self.notes.append("not all text is shown: there is too much of it")
            return one_line(preformatted(source[:1000] + "\n(cut)"))
        if cell.type != "markdown" or self.left < SHOWN_CHARACTERS - 10 * TEXT_CHARACTERS:
            return one_line(
                preformatted(source[:TEXT_CHARACTERS] + "\n(cut)" * (len(source) > TEXT_CHARACTERS))
            )
        self.pictures.attachments, self.pictures.uris = cell.attachments, []
        text, more = render_markdown(source, self.pictures)
        self.notes.extend(more)
        remarks = "".join(f"<p><small>({html.escape(note)})</small></p>" for note in more[:5])
        return one_line(text + remarks)


class _Cells:
    """The cells of the rebuilt notebook, in their order, with ids that do not repeat."""

    def __init__(self, texts: _Texts) -> None:
        self.texts, self.cells = texts, list["NotebookNode"]()
        self.used: set[str] = set()

    def add(self, kind: str, source: str, identity: str, metadata: Mapping[str, object]) -> None:
        from nbformat import from_dict

        while identity in self.used:
            identity += "-"
        self.used.add(identity)
        cell: dict[str, object] = {"cell_type": kind, "id": identity, "metadata": metadata, "source": source}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        # nbformat's own makers would validate each by itself, which takes long.
        self.cells.append(from_dict(cell))

    def add_others(self, others: list[HandedCell]) -> None:
        """The student's own cells, between the instructor's."""
        for cell in others:
            source, own = cell.source, False
            if cell.plain or not source.strip():
                pass  # the instructor's own text
            elif cell.type != "code":
                source, own = self.texts.shown(cell), True
            else:
                own = _has_text(source)
            kind = "code" if cell.type == "code" else "markdown"
            self.add(kind, source, f"extra-{len(self.cells)}", {"casestudies": {"own": True}} if own else {})


@dataclass
class _Places:
    """Which cells of a submission are the assignment's, by id, and which stand before or after one of them."""

    answer: dict[str, HandedCell] = field(default_factory=dict)
    before: dict[str, list[HandedCell]] = field(default_factory=dict)
    after: dict[str | None, list[HandedCell]] = field(default_factory=dict)  # None: before the first


def _placed(read: list[HandedCell], assignment: Assignment, notes: list[str]) -> _Places:
    """Finds the place of each cell that was read."""
    known = {cell.id: cell for cell in assignment.cells}
    places = _Places()
    copies: dict[str, list[HandedCell]] = {}
    for cell in read:
        if cell.known_as:
            copies.setdefault(cell.known_as, []).append(cell)
    for name, same in copies.items():
        places.answer[name] = _own_copy(same, known[name])
        if len(same) > 1:
            notes.append(f"the cell {name!r} was there {len(same)} times")
    anchor: str | None = None
    seen: list[str] = []
    order = [cell.id for cell in assignment.cells]
    for index, cell in enumerate(read):
        at = cell.known_as
        if at and places.answer[at] is cell:
            if anchor is not None and order.index(at) < order.index(anchor):
                _take_along(places, anchor, at, read[index:], order)
            anchor = at
            seen.append(at)
            if cell.type != known[at].cell_type:
                notes.append(f"the cell {at!r} was a {cell.type} cell; it is {known[at].cell_type} again")
            elif not known[at].students and not _as_given(cell, known[at]):
                places.before.setdefault(at, []).append(cell)  # perhaps a student's code under a wrong id
            continue
        if at and not known[at].students and cell.type == known[at].cell_type:
            if _as_given(cell, known[at]):
                continue  # a second copy of an instructor's cell
        places.after.setdefault(anchor, []).append(cell)
    if seen != [cell.id for cell in assignment.cells if cell.id in places.answer]:
        notes.append("cells were in another order; the assignment's order is restored")
    return places


def _take_along(places: _Places, anchor: str, at: str, following: list[HandedCell], order: list[str]) -> None:
    """The cells that follow `anchor` stood before `at`, which the assignment has earlier. What they define for the
    cells of that section has to go there with it."""
    read: set[str] = set()
    place = -1
    for cell in following:
        if cell.known_as and places.answer[cell.known_as] is cell:
            if not place < order.index(cell.known_as) < order.index(anchor):
                break
            place = order.index(cell.known_as)
        if cell.type == "code":
            read |= _names(cell.source)[1]
    along: list[HandedCell] = []
    for cell in reversed(places.after.get(anchor, [])):
        given, reads = _names(cell.source) if cell.type == "code" else (set(), set())
        if given & read:
            along.insert(0, cell)
            read |= reads
    if along:
        places.after[anchor] = [cell for cell in places.after[anchor] if cell not in along]
        places.before.setdefault(at, []).extend(along)


def _source_of(
    cell: SourceCell, answer: HandedCell | None, texts: _Texts, notes: list[str], nothing: bool
) -> str:
    """What stands in one of the assignment's cells: the instructor's text unless students write it."""
    if not cell.students:
        if answer is None and not nothing:
            notes.append(f"the cell {cell.id!r} was missing; the instructor's text is restored")
        elif answer is not None and not _as_given(answer, cell):
            notes.append(f"the cell {cell.id!r} had been changed; the instructor's text is restored")
        return cell.source
    if answer is not None:
        if cell.cell_type == "code":
            return answer.source if answer.type == "code" else _unfenced(answer.source)
        given = _squeeze(cell.source)
        if _squeeze(answer.source) in (given, "") and answer.attachments:
            return texts.with_pictures(_as_text(answer), answer.source)
        if _squeeze(answer.source) == given:
            return cell.source
        return texts.shown(_as_text(answer))
    if not nothing:
        notes.append(f"the cell {cell.id!r}, which the student writes, was missing")
    source = NOTHING if nothing else MISSING
    return f"# {source}" if cell.cell_type == "code" else source


def rebuild(
    read: list[HandedCell],
    assignment: Assignment,
    files: dict[str, bytes] | None = None,
    nothing: bool = False,
    rendered: bool = True,
) -> tuple[NotebookNode, list[str], set[str]]:
    """The notebook to grade, notes on what was repaired, and the ids of the student's cells that are missing.

    Instructor's cells stand in the instructor's order, with the instructor's text unless students write it;
    every other cell follows the instructor's cell that it followed in the submission. What students write as text
    is stored as it will be shown: safe HTML, with the pictures among its attachments and `files` in it.
    `nothing` says that no notebook was handed in at all. Where nobody will see the result, it need not be `rendered`.
    """
    from nbformat import v4, validate

    notes: list[str] = []
    _recognise(read, assignment, notes)
    places = _placed(read, assignment, notes)
    texts = _Texts(files or {}, notes, rendered)
    made = _Cells(texts)
    missing = {cell.id for cell in assignment.cells if cell.students and cell.id not in places.answer}
    made.add_others(places.after.get(None, []))
    for cell in assignment.cells:
        source = _source_of(cell, places.answer.get(cell.id), texts, notes, nothing)
        made.add_others(places.before.get(cell.id, []))
        locked = {} if cell.students else {"deletable": False, "editable": False}
        made.add(cell.cell_type, source, cell.id, {**locked, "nbgrader": cell.metadata()})
        made.add_others(places.after.get(cell.id, []))
    notebook = v4.new_notebook(
        cells=made.cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    notebook.nbformat_minor = 5
    validate(notebook)
    notes = list(dict.fromkeys(notes))
    if len(notes) > NOTES_COUNT:
        notes = [*notes[:NOTES_COUNT], f"and {len(notes) - NOTES_COUNT:,} more notes"]
    return notebook, notes, missing


def untouched(notebook: NotebookNode, assignment: Assignment) -> set[str]:
    """The ids of the student's cells of a rebuilt notebook in which nothing was written."""
    given = {cell.id: _squeeze(cell.source) for cell in assignment.cells if cell.students}
    found = ((cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source) for cell in notebook.cells)
    return {name for name, source in found if name in given and _squeeze(source) == given[name]}


def own_cells(read: list[HandedCell], assignment: Assignment, comments: bool = False) -> list[HandedCell]:
    """The cells of a notebook that was recognised in which something stands that was not handed out. A cell of code
    that differs by its comments and docstrings alone is one of them only with `comments`."""
    known = {cell.id: cell for cell in assignment.cells}
    given = {(cell.cell_type, text) for cell in assignment.cells for text in _shown(cell)}
    given |= {(kind, _squeeze(text)) for kind, text, _ in assignment.plain}
    found = []
    for handed in read:
        text = _squeeze(handed.source)
        if handed.plain or not text or (handed.type, text) in given:
            continue
        cell = known.get(handed.known_as or handed.grade_id or "")
        if cell is not None:
            if text in _shown(cell):  # of another kind
                continue
            if not comments and handed.type == "code" and (_as_given(handed, cell) or _says_nothing(text)):
                continue
        found.append(handed)
    return found


def _says_nothing(source: str) -> bool:
    """Whether a cell of code holds nothing but comments."""
    return all(not line.strip() or line.lstrip().startswith("#") for line in source.split("\n"))


def _as_text(cell: HandedCell) -> HandedCell:
    """A written answer is Markdown, whatever kind of cell it was typed into."""
    return replace(cell, type="markdown")


# --------------------------------------------------------------------------- outputs

# The order in which pages choose: a Markdown display has become HTML.
_PICTURES = ("image/png", "image/jpeg")
_STYLED = re.compile(r"\x1b\[[0-9;]{0,20}m")


def console_text(text: str) -> str:
    """What a terminal would show of a text, colours included and nothing else that an escape can do."""
    if "\x1b" not in text:
        return plain(text)
    text = re.sub(r"\x1b\[[0-9;?]{0,40}[A-Za-ln-z]", "", text)
    pieces = _STYLED.split(text)
    colours = _STYLED.findall(text)
    if len(colours) > 5000:
        return plain("".join(pieces))
    return "".join(plain(piece) + colour for piece, colour in zip(pieces, [*colours, ""], strict=True))


def _cut(text: str, most: int = TEXT_CHARACTERS) -> str:
    return (
        text
        if len(text) <= most
        else f"{text[:most]}\n... ({len(text) - most:,} more characters are not shown)\n"
    )


def clean_output(output: Mapping[str, Any]) -> Output | None:
    """An output of the student's process as a harmless one; None where it shows nothing."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": console_text(_cut(_text(output.get("text"))))}
    if kind == "error":
        lines = output.get("traceback")
        lines = [line for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
        return {
            "output_type": "error",
            "ename": plain(_text(output.get("ename")))[:200],
            "evalue": console_text(_text(output.get("evalue"))[:2000]),
            "traceback": [console_text(_cut(line, 20_000)) for line in lines[:200]],
        }
    data = output.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return None
    kept, notes = _clean_data(data)
    if not kept and not notes:
        return None
    if notes:
        said = "\n".join(f"({note})" for note in dict.fromkeys(notes[:5]))
        if "text/html" in kept:
            kept["text/html"] += "".join(
                f"<p><small>{html.escape(line)}</small></p>" for line in said.splitlines()
            )
        elif not kept or "text/plain" in kept:
            kept["text/plain"] = f"{kept.get('text/plain', '')}\n{said}".strip()
    cleaned: Output = {"output_type": kind, "data": kept, "metadata": {}}
    if kind == "execute_result":
        count = output.get("execution_count")
        cleaned["execution_count"] = count if type(count) is int else None
    return cleaned


def _clean_data(data: dict[Any, Any]) -> tuple[dict[str, str], list[str]]:
    kept: dict[str, str] = {}
    notes: list[str] = []
    unknown: list[str] = []
    for name, value in list(data.items())[:20]:
        text = _text(value)
        try:
            if name == "text/plain":
                kept[name] = console_text(_cut(text))
            elif name == "text/html":
                kept[name], more = clean_html(text, math=True)
                notes += more
            elif name == "text/markdown":
                if "text/html" not in data:
                    kept["text/html"], more = render_markdown(text)
                    notes += more
            elif name == "text/latex":
                kept[name] = tame_math(plain(_cut(text, 20_000)))
            elif name in _PICTURES:
                uri = safe_picture(text)
                kept[uri[5:].partition(";")[0]] = uri.partition(",")[2]
            elif name == "image/svg+xml":
                kept[name] = safe_svg(text)
            elif isinstance(name, str):
                unknown.append(name)
        except TooMuch as error:
            notes.append(f"its HTML is not shown: {error}")
        except ValueError as error:
            notes.append(f"its picture is not shown: {error}")
    if not kept and unknown:
        notes.append(f"an output of the kind {quoted(unknown[0], 60)} is not shown")
    return kept, notes


def bounded(notebook: NotebookNode) -> NotebookNode:
    """The graded notebook with no more in it than a page can show: long code and long outputs are cut, and say so.
    In place; the code has run as a whole by then. What the grader itself says is left alone."""
    from nbformat import from_dict

    code_left = 10 * CODE_CHARACTERS
    shown_left = SHOWN_CHARACTERS
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        most = min(CODE_CHARACTERS, max(2000, code_left))
        code_left -= len(cell.source)
        cell.source = plain(cell.source)  # no characters that make code read as other code
        if len(cell.source) > most:
            cell.source = (
                f"{cell.source[:most]}\n# ... ({len(cell.source) - most:,} more characters are not shown)"
            )
        outputs, own = [], 0
        for output in cell.outputs:
            if output.get("metadata", {}).get("casestudies", {}).get("grader"):
                outputs.append(output)
                continue
            own += 1
            size = len(output.get("text", "")) + sum(map(len, output.get("data", {}).values()))
            size += sum(map(len, output.get("traceback", [])))
            if own > OUTPUTS_COUNT or size > shown_left:
                if not outputs or outputs[-1].get("name") != "cut":
                    outputs.append({"name": "cut"})
                continue
            if output.output_type == "stream" and size > TEXT_CHARACTERS:
                output.text = _cut(output.text)
                size = len(output.text)
            shown_left -= size
            outputs.append(output)
        note = {
            "output_type": "stream",
            "name": "stderr",
            "text": "(More output is not shown: there is too much.)\n",
        }
        cell.outputs = [from_dict(note) if each.get("name") == "cut" else each for each in outputs]
    return notebook


__all__ = [
    "ALLOWED",
    "FILES_BYTES",
    "FILES_COUNT",
    "FILE_BYTES",
    "MISSING",
    "NOTEBOOK_BYTES",
    "NOTHING",
    "Corrupt",
    "allowed_files",
    "bounded",
    "clean_html",
    "clean_output",
    "is_plain_file",
    "own_cells",
    "read_notebook",
    "read_plain_file",
    "rebuild",
    "untouched",
]
