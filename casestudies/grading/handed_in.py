"""Which of the files that a student handed in is the notebook, and which may come along.

Whatever arrives, something is said about it: a notebook under another name, in a folder or in an archive is taken if
it is the only one; where there are several, or none that can be read, a human decides. Only an empty folder is
"nothing was handed in". No link is followed, no special file is opened, and no archive is unpacked to the disk.
"""

from __future__ import annotations

import bz2
import codecs
import errno
import hashlib
import io
import json
import lzma
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol

from casestudies.sandboxed.quoting import quoted

NOTEBOOK_BYTES = 20 * 2**20
FILE_BYTES = 10 * 2**20
FILES_BYTES = 40 * 2**20
FILES_COUNT = 100
ENTRIES_COUNT = 5000  # of a submission that are looked at
FOLDERS_DEPTH = 20
NOTES_COUNT = 20  # on files; the rest is counted
ARCHIVE_BYTES = 100 * 2**20
ARCHIVE_MEMBERS = 2000
ARCHIVES_DEPTH = 2  # an archive within an archive
# Of what archives say about their files: 2,000 headers of 512 bytes, each with four times as much of extensions.
CONTENTS_BYTES = 5 * 2**20
GLOBAL_HEADERS = 1000  # of a tar: each of its files is read with all of them
NOTEBOOKS_BYTES = 100 * 2**20  # of all that are called notebooks

# How a file in another encoding than UTF-8 begins.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Files other than the notebook that may come along. No code: a module beside a notebook shadows others.
ALLOWED = {".csv", ".gif", ".jpeg", ".jpg", ".json", ".md", ".npy", ".pdf", ".png", ".tsv", ".txt"}
TIMESTAMP = "timestamp.txt"
# What `nbgrader submit` writes last: with it, a submission is whole, and it is in no other.
SUBMISSION_SECRET = "submission_secret.txt"
# How the note begins where others were there and nobody has looked into them.
OTHERS = "other notebooks lie beside it and were not read"
# Laid beside a submission on its way: no work of the student's, and another one each time that it is handed in.
LAID_BESIDE = frozenset({TIMESTAMP, SUBMISSION_SECRET})

_ARCHIVES = re.compile(r"(?i)\.(zip|tar|tgz|tbz2?|txz|gz|bz2|xz|7z|rar|zst)$")
_SYSTEM_FOLDERS = {"__macosx", "__pycache__", "$recycle.bin", "system volume information"}
_SYSTEM_FILES = {"thumbs.db", "desktop.ini"}
# Hidden files in which no program keeps work: of systems, of editors while they run, and of git.
_LITTER = re.compile(
    r"(?i)\._.*|\.ds_store|\.localized|\.directory|thumbs\.db|desktop\.ini|\.nfs.*|\.~lock\..*|~\$.*"
    r"|\.git(ignore|attributes|keep)"
)
CHECKPOINTS = ".ipynb_checkpoints"  # where Jupyter keeps an earlier state of what it has saved
CONCEALED_COUNT = 2000  # entries of hidden folders that are looked at
OTHERS_COUNT = 20  # other notebooks that are taken along, to see whether they hold work
NAMED_NOTEBOOK = re.compile(r"(?i)\.ipynb(?![a-z0-9])")


def own_files(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that are the student's work: what a seed is drawn from, and all that the student's code finds.

    What the code could read and the seed does not depend on would carry answers to questions that are known already,
    those of the same notebook when it was graded before.
    """
    return {name: data for name, data in files.items() if name not in LAID_BESIDE}


class Corrupt(ValueError):
    """A submission that is no notebook; the message says why, in one sentence."""


# --------------------------------------------------------------------------- single files


def is_plain_file(path: Path | str) -> bool:
    """A regular file that is no link: anything else in a submission is never opened."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except (OSError, ValueError):
        return False


def read_plain_file(path: Path, limit: int) -> bytes:
    """The bytes of a regular file; raises Corrupt for links, special files and files above the limit."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    name = quoted(path.name)
    try:
        descriptor = os.open(path, flags)
    except (OSError, ValueError) as error:
        link = getattr(error, "errno", 0) == errno.ELOOP
        why = "it is a link" if link else getattr(error, "strerror", None) or "its name is no name"
        raise Corrupt(f"{name} cannot be read: {why}") from None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Corrupt(f"{name} is not a regular file")
        if found.st_size > limit:
            raise Corrupt(f"{name} has more than {limit:,} bytes")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise Corrupt(f"{name} cannot be read: {error.strerror}") from None
    finally:
        os.close(descriptor)
    if len(data) > limit:
        raise Corrupt(f"{name} has more than {limit:,} bytes")
    return data


# --------------------------------------------------------------------------- what lies in a folder


@dataclass
class Listing:
    """The regular files of a folder, by relative name, and notes on what was not looked at."""

    files: dict[str, Path] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    entries: int = 0  # anything that lies in it, whatever it is
    unreadable: bool = False
    odd: list[str] = field(
        default_factory=list
    )  # links, special files, and folders that were not looked through
    concealed: list[str] = field(default_factory=list)  # hidden folders, which were not


def list_folder(folder: Path) -> Listing:
    """Looks through a folder and the folders within, without following a link."""
    found = Listing()
    waiting: list[tuple[str, int]] = [("", 0)]
    while waiting:
        base, depth = waiting.pop(0)
        try:
            with os.scandir(folder / base if base else folder) as scan:
                entries = []
                for entry in scan:
                    found.entries += 1
                    if found.entries > ENTRIES_COUNT:
                        found.notes.append(
                            f"there are more than {ENTRIES_COUNT:,} files; only these were looked at"
                        )
                        waiting.clear()
                        break
                    entries.append(entry)
        except OSError as error:
            found.unreadable = True
            found.notes.append(f"the folder {quoted(base or folder.name)} cannot be read: {error.strerror}")
            found.odd.append(base or folder.name)
            continue
        for entry in sorted(entries, key=lambda each: each.name):
            relative = f"{base}/{entry.name}" if base else entry.name
            try:
                mode = entry.stat(follow_symlinks=False)
            except OSError as error:
                found.notes.append(f"left out {quoted(relative)}: {error.strerror}")
                found.odd.append(relative)
                continue
            if stat.S_ISDIR(mode.st_mode):
                if passed_over(entry.name):
                    if entry.name.lower() not in _SYSTEM_FOLDERS:
                        found.concealed.append(relative)
                    continue
                if depth >= FOLDERS_DEPTH:
                    found.notes.append(f"folders more than {FOLDERS_DEPTH} deep were not looked at")
                    found.odd.append(relative)
                else:
                    waiting.append((relative, depth + 1))
            elif stat.S_ISREG(mode.st_mode):
                found.files[relative] = Path(entry.path)
                found.sizes[relative] = mode.st_size
            elif stat.S_ISLNK(mode.st_mode):
                found.notes.append(f"left out {quoted(relative)}: a link")
                found.odd.append(relative)
            else:
                found.notes.append(f"left out {quoted(relative)}: not a regular file")
                found.odd.append(relative)
    found.notes = list(dict.fromkeys(found.notes))
    return found


def passed_over(folder: str) -> bool:
    """Whether nothing in a folder of this name is looked at: it is a system's, and no student's work."""
    return folder.startswith(".") or folder.lower() in _SYSTEM_FOLDERS


def hidden(relative: str) -> bool:
    """Whether a file was made by a system and not by a student."""
    parts = relative.split("/")
    return any(part.startswith(".") for part in parts) or parts[-1].lower() in _SYSTEM_FILES


def _is_litter(relative: str) -> bool:
    """Whether a file was made by a program for its own use, or laid beside a submission: it holds no work."""
    parts = relative.split("/")
    return (
        relative in LAID_BESIDE
        or _LITTER.fullmatch(parts[-1]) is not None
        or any(part.lower() in _SYSTEM_FOLDERS for part in parts[:-1])
    )


def in_archive(relative: str) -> bool:
    """Whether a place is within an archive, by the name of that."""
    return any(_ARCHIVES.search(part) for part in relative.split("/")[:-1])


def mark_of(relative: str, size: int, data: bytes | None = None) -> str:
    """What tells a file from another: its content or, where that was not read, its name and size."""
    if data is not None:
        return hashlib.sha256(data).hexdigest()
    return f"{PurePosixPath(relative).name}:{size}"


def marks_of(folder: Path) -> set[str]:
    """The marks of all files of a folder that students got, to tell these from what they have made themselves."""
    found = set()
    for relative, path in list_folder(folder).files.items():
        try:
            size = os.lstat(path).st_size
            found.add(mark_of(relative, size))
            found.add(mark_of(relative, size, read_plain_file(path, FILE_BYTES)))
        except (OSError, Corrupt):  # by its name and size, if at all
            continue
    return found


def _is_named(relative: str) -> bool:
    """Whether a file is called a notebook: x.ipynb, X.IPYNB, x.ipynb.txt, x.ipynb (1). An archive of one, x.ipynb.zip
    as macOS calls it, is not."""
    return NAMED_NOTEBOOK.search(PurePosixPath(relative).name) is not None and not _ARCHIVES.search(relative)


def may_be_work(name: str) -> bool:
    """Whether a file is called a notebook or an archive, which may hold one."""
    return _is_named(name) or _ARCHIVES.search(name) is not None


def _short(notes: list[str]) -> list[str]:
    if len(notes) <= NOTES_COUNT:
        return notes
    return [*notes[:NOTES_COUNT], f"and {len(notes) - NOTES_COUNT:,} more notes on files"]


def allowed_files(folder: Path, skip: tuple[Path, ...] = ()) -> tuple[dict[str, Path], list[str]]:
    """The other files of a submission that may come along, by relative name, and notes on the rest.

    No link is followed, neither to a file nor to a folder.
    """
    listing = list_folder(folder)
    kept, notes = _choose(listing, {str(path) for path in skip})
    return kept, _short([*listing.notes, *notes])


def _choose(listing: Listing, skip: set[str]) -> tuple[dict[str, Path], list[str]]:
    found: dict[str, Path] = {}
    notes: list[str] = []
    total = 0
    for relative, path in listing.files.items():
        if str(path) in skip or _is_named(relative) and not hidden(relative):
            continue
        if any(NAMED_NOTEBOOK.search(part) for part in relative.split("/")[:-1]):
            # A folder of a notebook's name stands where the notebook will be written.
            notes.append(f"left out {quoted(relative)}: it lies in a folder that is named like a notebook")
            continue
        size = listing.sizes[relative]
        if hidden(relative):
            if not PurePosixPath(relative).name.lower().startswith(("._", ".ds_store")):
                notes.append(f"left out {quoted(relative)}: files of this kind are not taken")
        elif PurePosixPath(relative).suffix.lower() not in ALLOWED:
            notes.append(f"left out {quoted(relative)}: files of this kind are not taken")
        elif not _writable(relative):
            notes.append(f"left out {quoted(relative)}: its name cannot be written everywhere")
        elif size > FILE_BYTES or total + size > FILES_BYTES:
            notes.append(f"left out {quoted(relative)}: too large")
        elif len(found) >= FILES_COUNT:
            notes.append(f"left out {quoted(relative)}: more than {FILES_COUNT} files")
        else:
            total += size
            found[relative] = path
    return found, notes


def _writable(relative: str) -> bool:
    """Whether a name can be encoded, and is short enough to be written again somewhere else."""
    try:
        return len(relative.encode()) < 1000 and "\0" not in relative
    except UnicodeEncodeError:
        return False


# --------------------------------------------------------------------------- notebooks


def looks_like_a_notebook(data: bytes) -> bool:
    """Whether bytes are a notebook, judged by their content: an object with cells and a format."""
    head = data[:4096].lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\0")
    if not head.startswith(b"{"):
        return False
    text = data.replace(b"\0", b"") if b"\0" in data[:64] else data
    return (
        (b'"cells"' in text or b'"worksheets"' in text) and b'"nbformat"' in text and b'"cell_type"' in text
    )


@dataclass(frozen=True)
class Candidate:
    """A notebook that was found, and where."""

    where: str
    data: bytes
    problem: str = ""


def _content(data: bytes) -> str:
    """The same for two copies of one notebook, however they are formatted."""
    try:
        text = json.dumps([cell.get("source") for cell in json.loads(data)["cells"]])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha256(text.encode()).hexdigest()


class _Archives:
    """Notebooks within archives, as long as there is room; `notes` says what was not looked at.

    All archives of a submission share the room: for the bytes of their files, the number of these, and the bytes in
    which the archives list them. A list is refused before it is read, since it takes many times its size in memory.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.inside: dict[str, int] = {}  # every file that was seen, with its size
        self.concealed: list[Candidate] = []  # notebooks in hidden folders, which are not taken
        self.left = ARCHIVE_BYTES
        self.members = ARCHIVE_MEMBERS
        self.contents = CONTENTS_BYTES

    def notebooks(self, where: str, data: bytes, depth: int = 1) -> Iterator[Candidate]:
        try:
            yield from self._members(where, data, depth)
        except _Full as full:
            self.notes.append(f"the archive {quoted(where)} was not read to its end: {full}")
        except (
            zipfile.BadZipFile, tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError,
            NotImplementedError, RuntimeError, KeyError, IndexError, OverflowError, MemoryError, RecursionError,
        ) as error:  # fmt: skip
            kind = (
                "it needs a password" if "password" in str(error) else "it is damaged or of an unknown kind"
            )
            self.notes.append(f"the archive {quoted(where)} cannot be read: {kind}")

    def _members(self, where: str, data: bytes, depth: int) -> Iterator[Candidate]:
        for name, content in self._contents(where, data):
            inside = f"{where}/{name}"
            base = PurePosixPath(name).name
            if hidden(name) or any(part.lower() in _SYSTEM_FOLDERS for part in name.split("/")):
                if looks_like_a_notebook(content):
                    self.concealed.append(Candidate(inside, content))
                continue
            if _is_named(base) or looks_like_a_notebook(content):
                yield Candidate(inside, content)
            elif _ARCHIVES.search(base):
                if depth >= ARCHIVES_DEPTH:
                    self.notes.append(
                        f"the archive {quoted(inside)} was not opened: archives within archives"
                    )
                else:
                    yield from self.notebooks(inside, content, depth + 1)

    def _contents(self, where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        if data[:4] in (b"PK\3\4", b"PK\5\6"):
            yield from self._zipped(where, data)
            return
        for begins, make in _UNPACKED.items():
            if not data.startswith(begins):
                continue
            content = self._unpacked(data, begins, make)
            if not _is_tar(content):
                name = "notebook.ipynb" if looks_like_a_notebook(content) else "file"
                self.inside[f"{where}/{name}"] = len(content)
                yield name, content
                return
            data = content
            break
        yield from self._tarred(where, data)

    def _zipped(self, where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        file = _Metered(data, self)
        with zipfile.ZipFile(file) as archive:  # it reads the whole list
            file.counted = False
            found = archive.infolist()
            # A list may name the same bytes again and again, and each of them be packed so that it gives nothing.
            if sum(info.compress_size for info in found) > len(data):
                raise _Full("its files lie one over another")
            for info in found:
                if self._wanted(where, info.filename, None if info.is_dir() else info.file_size):
                    with archive.open(info) as packed:
                        yield info.filename, self._read(packed)

    def _tarred(self, where: str, data: bytes) -> Iterator[tuple[str, bytes]]:
        file = _Metered(data, self)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if len(tar.pax_headers) > GLOBAL_HEADERS:
                    raise _Full(_LONG)
                if self._wanted(where, member.name, member.size if member.isreg() else None):
                    packed = tar.extractfile(member)
                    if packed is not None:
                        file.counted = False
                        content = self._read(packed)
                        file.counted = True
                        yield member.name, content

    def _unpacked(self, data: bytes, begins: bytes, make: Callable[[], _Unpacker]) -> bytes:
        """What gzip, bzip2 or xz packed, in one part or several; each part counts as a file, however empty it is."""
        limit = min(self.left, NOTEBOOK_BYTES)
        whole, at = bytearray(), 0
        while data.startswith(begins, at):
            self._count()
            unpacker = make()
            while not unpacker.eof:
                if at >= len(data):
                    raise EOFError
                block = data[at : at + BLOCK]
                whole += unpacker.decompress(block, limit + 1 - len(whole))
                if len(whole) > limit:
                    raise _Full(_LARGE)
                at += len(block) - len(unpacker.unused_data)
        self.left -= len(whole)
        return bytes(whole)

    def _count(self) -> None:
        self.members -= 1
        if self.members < 0:
            raise _Full(f"more than {ARCHIVE_MEMBERS:,} files")

    def _wanted(self, where: str, name: str, size: int | None) -> bool:
        """Whether to read a file, which has a size, or a folder, which has none."""
        self._count()
        if size is not None:
            self.inside[f"{where}/{name}"] = size
        lower = PurePosixPath(name).name.lower()
        return size is not None and (
            _is_named(lower)
            or bool(_ARCHIVES.search(lower))
            or lower.endswith((".json", ".txt"))
            or "." not in lower
        )

    def _read(self, file: object) -> bytes:
        limit = min(self.left, NOTEBOOK_BYTES)
        content: bytes = file.read(limit + 1)  # type: ignore[attr-defined]
        if len(content) > limit:
            raise _Full(_LARGE)
        self.left -= len(content)
        return content


class _Full(Exception):
    """There is no room for more of an archive."""


_LARGE = "its files are too large"
_LONG = "the list of its files is too long"
BLOCK = 2**16


class _Metered(io.BytesIO):
    """The bytes of an archive. As long as it is `counted`, what is read of them is part of the list of its files."""

    def __init__(self, data: bytes, archives: _Archives) -> None:
        super().__init__(data)
        self.archives, self.counted = archives, True

    def read(self, size: int | None = -1) -> bytes:
        if self.counted:
            there = len(self.getbuffer()) - self.tell()
            asked = there if size is None or size < 0 else min(size, there)
            if asked > self.archives.contents:
                raise _Full(_LONG)
            self.archives.contents -= max(asked, 0)
        return super().read(size)


class _Unpacker(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


_UNPACKED: dict[bytes, Callable[[], _Unpacker]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(wbits=31),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}


def _is_tar(data: bytes) -> bool:
    """Whether bytes begin with the header of a file in a tar, which has a checksum."""
    try:
        tarfile.TarInfo.frombuf(data[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


@dataclass
class HandedIn:
    """What was found in a student's folder. `notebook` is None only where nothing was handed in at all."""

    notebook: bytes | None
    where: str = ""  # of the notebook, relative to the folder
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problem: str = ""
    # All else that may be the student's, in archives and hidden folders too, with its mark.
    beside: dict[str, str] = field(default_factory=dict)
    # Other notebooks among it; empty where one could not be read, or there are too many.
    others: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Opened:
    """What was found in the archives of a folder."""

    notebooks: list[Candidate] = field(default_factory=list)
    inside: dict[str, int] = field(default_factory=dict)  # every file, with its size
    concealed: list[Candidate] = field(default_factory=list)  # notebooks in hidden folders
    unread: set[str] = field(default_factory=set)  # archives that were not read to their end


def _in_archives(listing: Listing, notes: list[str]) -> Opened:
    """The notebooks in the archives of a folder; what could not be read goes to the notes."""
    opened = Opened()
    found = opened.notebooks
    archives = _Archives()
    opened.inside, opened.concealed = archives.inside, archives.concealed
    left = ARCHIVE_BYTES
    for relative, path in listing.files.items():
        if _ARCHIVES.search(relative) and not hidden(relative):
            if left < listing.sizes[relative] <= ARCHIVE_BYTES:
                notes.append(f"left out {quoted(relative)}: too large")
                opened.unread.add(relative)
                continue
            try:
                data = read_plain_file(path, ARCHIVE_BYTES)
            except Corrupt as error:
                notes.append(f"left out {quoted(relative)}: {error}")
                opened.unread.add(relative)
            else:
                left -= len(data)
                if looks_like_a_notebook(data):  # which is only called an archive
                    found.append(Candidate(relative, data))
                else:
                    said = len(archives.notes)
                    found += archives.notebooks(relative, data)
                    if len(archives.notes) > said:
                        opened.unread.add(relative)
    notes += archives.notes
    return opened


def look_into(folder: Path, name: str) -> HandedIn:
    """What a student handed in for the assignment `name`. Never raises because of it."""
    try:
        mode = os.lstat(folder).st_mode
    except FileNotFoundError:
        return HandedIn(None, problem="Nothing was handed in.")
    except (OSError, ValueError) as error:
        return HandedIn(
            b"", problem=f"What was handed in cannot be read: {getattr(error, 'strerror', error)}."
        )
    if stat.S_ISLNK(mode):
        return HandedIn(b"", problem="What was handed in is a link, which is not followed.")
    if not stat.S_ISDIR(mode):
        return HandedIn(b"", problem="What was handed in is not a folder.")
    listing = list_folder(folder)
    notes = list(listing.notes)
    right = f"{name}.ipynb"
    at_right = folder / right
    if right not in listing.files and is_plain_file(at_right):  # beyond the files that were looked at
        listing.files = {right: at_right, **listing.files}
        listing.sizes[right] = os.lstat(at_right).st_size
    taken: Candidate | None = None
    opened: Opened | None = None
    problem = ""

    candidates = list(_in_files(listing, right))
    exact = [each for each in candidates if each.where == right]
    if exact:
        taken = exact[0]
        others = [each.where for each in candidates if each.where != right]
        if others:
            notes.append(f"{OTHERS}: {_names(others)}")
    elif os.path.lexists(at_right) and not stat.S_ISDIR(os.lstat(at_right).st_mode):
        problem = f"{quoted(right)} is not a regular file."
    else:
        sound = [each for each in candidates if not each.problem] or candidates
        if not sound:
            opened = _in_archives(listing, notes)
            sound = opened.notebooks
        alone = len(sound) == 1
        different = {"" if alone else _content(each.data): each for each in reversed(sound)}
        if len(different) == 1:
            taken = next(iter(different.values()))
        elif different:
            names = _names([each.where for each in sound])
            problem = f"There are several notebooks, and none is {right}: {names}. A human has to choose."

    skip = {
        str(path) for relative, path in listing.files.items() if taken is not None and relative == taken.where
    }
    chosen, more = _choose(listing, skip)
    files: dict[str, bytes] = {}
    for relative, path in chosen.items():
        try:
            files[relative] = read_plain_file(path, FILE_BYTES)
        except Corrupt as error:
            more.append(f"left out {quoted(relative)}: {error}")
    if taken is not None:
        if taken.where != right:
            notes.append(f"the notebook was handed in as {quoted(taken.where)}; it was taken as {right}")
        notes += more
        if taken.problem:
            problem = f"The notebook could not be read: {taken.problem}."
        if (
            opened is None
        ):  # only to see whether the work stands there: where it does not, there is nothing to say
            opened = _in_archives(listing, [])
        rest = _Rest(taken, files)
        rest.look(folder, listing, candidates, opened)
        return HandedIn(
            b"" if problem else taken.data,
            taken.where,
            files,
            _short(notes),
            problem,
            rest.beside,
            rest.others,
        )
    notes += more
    if not problem:
        something = [each for each in listing.files if each not in LAID_BESIDE]
        if not something and listing.entries <= len(listing.files) and not listing.unreadable:
            return HandedIn(
                None, files=files, notes=_short(notes), problem="Nothing was handed in: the folder is empty."
            )
        which = f": {_names(something)}" if something else ""
        problem = f"There is no notebook in what was handed in{which}. A human has to look at it."
    return HandedIn(b"", "", files, _short(notes), problem)


class _Rest:
    """What lies in a folder beside the notebook that was taken, and may be the student's work."""

    def __init__(self, taken: Candidate, files: Mapping[str, bytes]) -> None:
        self.taken, self.files = taken, files
        self.content = "" if taken.problem else _content(taken.data)
        self.beside: dict[str, str] = {}
        self.others: dict[str, bytes] = {}
        self.left, self.room = ARCHIVE_BYTES, NOTEBOOK_BYTES

    def look(self, folder: Path, listing: Listing, candidates: list[Candidate], opened: Opened) -> None:
        found = {each.where: each for each in candidates}
        within = {each.where: each for each in (*opened.notebooks, *opened.concealed)}
        unpacked = {str(parent) for each in opened.inside for parent in PurePosixPath(each).parents}
        for relative, path in listing.files.items():
            archive = _ARCHIVES.search(relative) and not hidden(relative) and relative not in opened.unread
            if relative == self.taken.where or archive and relative not in within:
                continue  # an archive that was read counts by what is in it
            if other := found.get(relative) or within.get(relative):
                self.notebook(other, listing.sizes[relative])
            else:
                self.file(relative, path, listing.sizes[relative])
        for relative, size in opened.inside.items():
            if relative == self.taken.where or relative in unpacked:
                continue
            if relative in within:
                self.notebook(within[relative], size)
            elif size and not _is_litter(relative) and PurePosixPath(relative).name not in LAID_BESIDE:
                if _may_be_kept_work(relative):
                    self.beside[relative] = mark_of(relative, size)
        for relative, path, size in _concealed(folder, listing):
            self.file(relative, path, size)
        for relative in listing.odd:
            self.beside[relative] = ""

    def file(self, relative: str, path: Path, size: int) -> None:
        if size == 0 or _is_litter(relative):
            return
        data = self.files.get(relative)
        if data is None and size <= min(FILE_BYTES, self.left):
            try:
                data = read_plain_file(path, FILE_BYTES)
                self.left -= len(data)
            except Corrupt:
                pass
        if _is_named(relative):
            self.notebook(Candidate(relative, data or b"", "" if data else "not read"), size)
        else:
            self.beside[relative] = mark_of(relative, size, data)

    def notebook(self, other: Candidate, size: int) -> None:
        """Another notebook, if it has other cells than the one that was taken."""
        if not other.problem and (not other.data.strip() or _content(other.data) == self.content):
            return
        self.beside[other.where] = mark_of(other.where, size, None if other.problem else other.data)
        room = not other.problem and len(self.others) < OTHERS_COUNT and len(other.data) <= self.room
        self.others[other.where] = other.data if room else b""
        self.room -= len(self.others[other.where])


def _may_be_kept_work(relative: str) -> bool:
    """Whether a file is in no hidden folder, or is what Jupyter has kept, or is called a notebook or an archive."""
    *folders, name = relative.split("/")
    return CHECKPOINTS in folders or may_be_work(name) or not any(map(passed_over, folders))


def _concealed(folder: Path, listing: Listing) -> Iterator[tuple[str, Path, int]]:
    """The files of hidden folders that may be work: what Jupyter has kept, and else what is called a notebook or an
    archive. No link is followed."""
    left = CONCEALED_COUNT
    waiting = sorted(listing.concealed, key=lambda each: PurePosixPath(each).name != CHECKPOINTS)
    while waiting and left > 0:
        base = waiting.pop(0)
        try:
            with os.scandir(folder / base) as scan:
                entries = [entry for entry, _ in zip(scan, range(left), strict=False)]
            left -= len(entries)
            for entry in sorted(entries, key=lambda each: each.name):
                relative = f"{base}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    if relative.count("/") < FOLDERS_DEPTH:
                        waiting.append(relative)
                elif entry.is_file(follow_symlinks=False) and _may_be_kept_work(relative):
                    yield relative, Path(entry.path), entry.stat(follow_symlinks=False).st_size
        except OSError:
            continue


def _names(names: list[str], most: int = 5) -> str:
    shown = ", ".join(quoted(name) for name in names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _in_files(listing: Listing, right: str) -> Iterator[Candidate]:
    """The notebooks among the files: by their names, else by their content. The one of the right name comes first,
    for which there is always room."""
    looked_at = 0
    left = NOTEBOOKS_BYTES
    for relative, path in sorted(listing.files.items(), key=lambda each: each[0] != right):
        if hidden(relative):
            continue
        named = _is_named(relative)
        suffix = PurePosixPath(relative).suffix.lower()
        if not named and suffix not in (".json", ".txt", "", ".html", ".htm", ".nb", ".py", ".md", ".doc"):
            continue
        if not named:
            looked_at += 1
            if looked_at > 200 or listing.sizes[relative] > min(NOTEBOOK_BYTES, left):
                continue
        elif left < listing.sizes[relative] <= NOTEBOOK_BYTES:
            yield Candidate(relative, b"", f"all notebooks together have more than {NOTEBOOKS_BYTES:,} bytes")
            continue
        try:
            data = read_plain_file(path, NOTEBOOK_BYTES)
        except Corrupt as error:
            if named:
                yield Candidate(relative, b"", str(error))
            continue
        left -= len(data)
        if named or looks_like_a_notebook(data):
            yield Candidate(relative, data)


__all__ = [
    "ALLOWED",
    "MARKS",
    "FILES_BYTES",
    "FILES_COUNT",
    "FILE_BYTES",
    "NOTEBOOK_BYTES",
    "Corrupt",
    "HandedIn",
    "allowed_files",
    "hidden",
    "in_archive",
    "is_plain_file",
    "look_into",
    "looks_like_a_notebook",
    "mark_of",
    "marks_of",
    "passed_over",
    "read_plain_file",
]
