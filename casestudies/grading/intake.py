"""A submission as it arrives -> a notebook that is rebuilt around the instructor's cells.

Students delete, copy, split, move and re-flag cells, rename the file, lose its metadata, or submit something
that is no notebook. What is the instructor's is taken from the instructor; what is the student's is kept,
in the order in which it was written, and runs as ordinary cells where it has no other place.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.cells import Assignment, SourceCell, without_hidden

if TYPE_CHECKING:
    from nbformat import NotebookNode

NOTEBOOK_BYTES = 20 * 2**20
FILE_BYTES = 10 * 2**20
FILES_BYTES = 40 * 2**20
FILES_COUNT = 100
CELLS_COUNT = 2000
BRACKETS_COUNT = 2_000_000  # of the JSON: as objects, empty lists take thirty times their size

# Files other than the notebook that may come along. No code: a module beside a notebook shadows others.
ALLOWED = {".csv", ".gif", ".jpeg", ".jpg", ".json", ".md", ".npy", ".pdf", ".png", ".tsv", ".txt"}


class Corrupt(ValueError):
    """A submission that is no notebook; the message says why, in one sentence."""


# --------------------------------------------------------------------------- files


def is_plain_file(path: Path | str) -> bool:
    """A regular file that is no link: anything else in a submission is never opened."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def read_plain_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file; raises Corrupt for links, special files and files above the limit."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        raise Corrupt(f"{path.name} cannot be read: {error.strerror}") from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Corrupt(f"{path.name} is not a regular file")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise Corrupt(f"{path.name} has more than {limit:,} bytes")
    return data


def find_notebook(folder: Path, name: str) -> Path | None:
    """The submitted notebook: the one of the right name, else the only notebook there is."""
    right = folder / f"{name}.ipynb"
    if os.path.lexists(right):
        return right
    others = sorted(p for p in folder.iterdir() if p.suffix == ".ipynb" and is_plain_file(p))
    return others[0] if len(others) == 1 else None


def allowed_files(folder: Path, skip: Iterable[Path] = ()) -> tuple[dict[str, Path], list[str]]:
    """The other files of a submission that may come along, by relative name, and notes on the rest.

    No link is followed, neither to a file nor to a folder.
    """
    found: dict[str, Path] = {}
    notes: list[str] = []
    skipped, total = set(skip), 0
    for base, folders, files in os.walk(folder, followlinks=False):
        for name in [name for name in folders if os.path.islink(os.path.join(base, name))]:
            notes.append(f"left out {os.path.relpath(os.path.join(base, name), folder)}: a link")
        folders[:] = sorted(n for n in folders if n[0] != "." and not os.path.islink(os.path.join(base, n)))
        for name in sorted(files):
            path = Path(base, name)
            relative = os.path.relpath(path, folder)
            if path in skipped or path.suffix == ".ipynb":
                continue
            if not is_plain_file(path):
                notes.append(f"left out {relative}: not a regular file")
            elif path.suffix.lower() not in ALLOWED or name[0] == ".":
                notes.append(f"left out {relative}: files of this kind are not taken")
            elif path.stat().st_size > FILE_BYTES or total + path.stat().st_size > FILES_BYTES:
                notes.append(f"left out {relative}: too large")
            elif len(found) >= FILES_COUNT:
                notes.append(f"left out {relative}: more than {FILES_COUNT} files")
            else:
                total += path.stat().st_size
                found[relative] = path
    return found, notes


# --------------------------------------------------------------------------- reading


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = "".join(item for item in value if isinstance(item, str))
    return value if isinstance(value, str) else ""


def read_notebook(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook file as {"type", "source", "grade_id"}; outputs and all else are dropped.

    Raises Corrupt where the bytes are no notebook. Accepts nbformat 3 and 4, any or no metadata.
    """
    if not data.strip():
        raise Corrupt("the notebook is an empty file")
    for encoding in ("utf-8-sig", "utf-16"):
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise Corrupt("the notebook is not text")
    if text.count("[") + text.count("{") > BRACKETS_COUNT:
        raise Corrupt(f"the notebook has more than {BRACKETS_COUNT:,} brackets")
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"the notebook is not JSON ({str(error)[:120]})") from None
    if not isinstance(tree, dict):
        raise Corrupt("the notebook is JSON, but not an object with cells")
    cells = tree.get("cells")
    if cells is None and isinstance(tree.get("worksheets"), list):  # nbformat 3
        cells = [c for sheet in tree["worksheets"] if isinstance(sheet, dict) for c in sheet.get("cells", [])]
    if not isinstance(cells, list):
        raise Corrupt("the notebook has no list of cells")
    if len(cells) > CELLS_COUNT:
        raise Corrupt(f"the notebook has {len(cells):,} cells; at most {CELLS_COUNT:,} are read")
    read = []
    for cell in cells:
        if not isinstance(cell, dict):
            continue
        kind = cell.get("cell_type")
        kind = {"heading": "markdown"}.get(kind, kind) if isinstance(kind, str) else "raw"
        metadata = cell.get("metadata")
        header = metadata.get("nbgrader") if isinstance(metadata, dict) else None
        name = header.get("grade_id") if isinstance(header, dict) else None
        source = _text(cell.get("source", cell.get("input", ""))).replace("\r\n", "\n")
        read.append(
            {
                "type": kind if kind in ("code", "markdown", "raw") else "raw",
                "source": source.encode("utf-8", "replace").decode(),  # lone surrogates cannot be written
                "grade_id": name if isinstance(name, str) else None,
            }
        )
    return read


# --------------------------------------------------------------------------- rebuilding


def _squeeze(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().splitlines())


def _shown(cell: SourceCell) -> set[str]:
    """The texts of an instructor's cell: whole, and as students saw it."""
    return {_squeeze(cell.source), _squeeze(without_hidden(cell.source))}


def _own_copy(copies: list[dict[str, Any]], cell: SourceCell) -> dict[str, Any]:
    """Which of several cells with one id it is: the student's last that was changed, the instructor's first
    that was not."""
    if not cell.students:
        return next((copy for copy in copies if _squeeze(copy["source"]) in _shown(cell)), copies[0])
    changed = [copy for copy in copies if _squeeze(copy["source"]) != _squeeze(cell.source)]
    return (changed or copies)[-1]


def _disarm(source: str) -> str:
    """Text of a student without active HTML: tags become visible characters, entities are not decoded, and
    an address that would run something is no address any more. The fold of a hint stays: the assignment's own
    text cells come back with the submission, and a bare tag does nothing else."""
    source = re.sub(r"&(?=[#\w])", "& ", source)
    source = re.sub(r"<(?!/?(?:details|summary)>)(?=[A-Za-z/!?])", "&lt;", source)
    return re.sub(r"(?i)(javascript|vbscript|data)[\s\\\x00-\x1f]*:", r"\1 : ", source)


def rebuild(read: list[dict[str, Any]], assignment: Assignment) -> tuple[NotebookNode, list[str], set[str]]:
    """The notebook to grade, notes on what was repaired, and the ids of the student's cells that are missing.

    Instructor's cells stand in the instructor's order, with the instructor's text unless students write it;
    every other cell follows the instructor's cell that it followed in the submission.
    """
    from nbformat import from_dict, v4, validate

    known = {cell.id: cell for cell in assignment.cells}
    order = [cell.id for cell in assignment.cells]
    by_text: dict[tuple[str, str], str] = {}
    for cell in assignment.cells:
        if not cell.students:
            for text in (cell.source, without_hidden(cell.source)):
                by_text.setdefault((cell.cell_type, _squeeze(text)), cell.id)

    copies: dict[str, list[dict[str, Any]]] = {}
    notes: list[str] = []
    for cell in read:
        name = cell["grade_id"]
        if name not in known:
            found = by_text.get((cell["type"], _squeeze(cell["source"])))
            if name is not None:
                notes.append(f"a cell claims the unknown id {name[:64]!r}; it runs as an ordinary cell")
            name = found  # an instructor's cell whose metadata was lost
        cell["is"] = name
        if name:
            copies.setdefault(name, []).append(cell)

    followers: dict[str | None, list[dict[str, Any]]] = {}
    before: dict[str, list[dict[str, Any]]] = {}
    answer: dict[str, dict[str, Any]] = {}
    anchor: str | None = None
    seen: list[str] = []
    for name, same in copies.items():
        answer[name] = _own_copy(same, known[name])
        if len(same) > 1:
            notes.append(f"the cell {name!r} was there {len(same)} times")
    for cell in read:
        name = cell["is"]
        if name and answer[name] is cell:
            anchor = name
            seen.append(name)
            if cell["type"] != known[name].cell_type:
                notes.append(
                    f"the cell {name!r} was a {cell['type']} cell; it is {known[name].cell_type} again"
                )
            elif not known[name].students and _squeeze(cell["source"]) not in _shown(known[name]):
                before.setdefault(name, []).append(cell)  # perhaps a student's code under a wrong id
            continue
        if name and not known[name].students and cell["type"] == known[name].cell_type:
            if _squeeze(cell["source"]) in _shown(known[name]):
                continue  # a second copy of an instructor's cell
        followers.setdefault(anchor, []).append(cell)
    if seen != [name for name in order if name in answer]:
        notes.append("cells were in another order; the assignment's order is restored")

    missing: set[str] = set()
    cells: list[NotebookNode] = []
    used: set[str] = set()

    def add(kind: str, source: str, identity: str, metadata: dict[str, Any]) -> None:
        while identity in used:
            identity += "-"
        used.add(identity)
        cell = {"cell_type": kind, "id": identity, "metadata": metadata, "source": source}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        cells.append(from_dict(cell))  # nbformat's own makers would validate each by itself, which takes long

    def add_others(others: list[dict[str, Any]]) -> None:
        for cell in others:
            source = cell["source"] if cell["type"] == "code" else _disarm(cell["source"])
            add(cell["type"], source, f"extra-{len(cells)}", {})

    add_others(followers.get(None, []))
    for cell in assignment.cells:
        metadata = cell.metadata()
        if not cell.students:
            source = cell.source
            if cell.id in answer:
                if _squeeze(answer[cell.id]["source"]) not in _shown(cell):
                    notes.append(f"the cell {cell.id!r} had been changed; the instructor's text is restored")
            else:
                notes.append(f"the cell {cell.id!r} was missing; the instructor's text is restored")
        elif cell.id in answer:
            source = answer[cell.id]["source"]
            if cell.cell_type != "code" and source != cell.source:
                source = _disarm(source)
        else:
            missing.add(cell.id)
            notes.append(f"the cell {cell.id!r}, which the student writes, was missing")
            source = "# This cell was missing." if cell.cell_type == "code" else "This cell was missing."
        add_others(before.get(cell.id, []))
        locked = {} if cell.students else {"deletable": False, "editable": False}
        add(cell.cell_type, source, cell.id, {**locked, "nbgrader": metadata})
        add_others(followers.get(cell.id, []))
    notebook = v4.new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    notebook.nbformat_minor = 5
    validate(notebook)
    return notebook, notes, missing


# --------------------------------------------------------------------------- outputs

_HTML_TAGS = (
    "a abbr b blockquote br caption code col colgroup dd div dl dt em h1 h2 h3 h4 h5 h6 hr i li ol p pre s small "
    "span strong sub sup table tbody td tfoot th thead tr u ul"
).split()
_HTML_ATTRIBUTES = {
    "a": ["href", "title"],
    "td": ["colspan", "rowspan"],
    "th": ["colspan", "rowspan", "scope"],
}
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


def clean_html(text: str) -> str:
    """HTML without scripts, styles, forms, frames, images and event handlers."""
    import bleach

    return bleach.clean(
        text, tags=_HTML_TAGS, attributes=_HTML_ATTRIBUTES, protocols=["https", "http"], strip=True
    )


def clean_output(output: dict[str, Any]) -> dict[str, Any] | None:
    """An output of the student's process as a harmless one; None where nothing is left of it."""
    kind = output.get("output_type")
    if kind == "stream":
        name = "stderr" if output.get("name") == "stderr" else "stdout"
        return {"output_type": "stream", "name": name, "text": _writable(_text(output.get("text")))}
    if kind == "error":
        lines = output.get("traceback")
        lines = (
            [_writable(line) for line in lines if isinstance(line, str)] if isinstance(lines, list) else []
        )
        return {
            "output_type": "error",
            "ename": _writable(_text(output.get("ename")))[:200],
            "evalue": _writable(_text(output.get("evalue")))[:2000],
            "traceback": lines[:200],
        }
    data = output.get("data")
    if kind not in ("display_data", "execute_result") or not isinstance(data, dict):
        return None
    kept: dict[str, str] = {}
    for name, value in data.items():
        text = _writable(_text(value))
        if name == "text/plain":
            kept[name] = text
        elif name == "text/html":
            kept[name] = clean_html(text)
        elif name in ("image/png", "image/jpeg") and _BASE64.fullmatch(text):
            kept[name] = text
    if not kept:
        return None
    cleaned: dict[str, Any] = {"output_type": kind, "data": kept, "metadata": {}}
    if kind == "execute_result":
        count = output.get("execution_count")
        cleaned["execution_count"] = count if type(count) is int else None
    return cleaned


def _writable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
