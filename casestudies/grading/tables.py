"""Tables that an instructor writes: CSV as any spreadsheet saves it, read line by line, with the line's number."""

from __future__ import annotations

import csv
import errno
import io
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from casestudies.grading.errors import CourseError
from casestudies.sandboxed.quoting import quoted

MOST_BYTES = 2**22
QUOTE = '"'


class NotAFile(OSError):
    """A folder, a pipe or a device stands where a file was expected."""


def open_file(path: Path, links: bool = True) -> IO[bytes]:
    """A file to be read, through links only if `links`; OSError where it cannot be, and NotAFile where it is none,
    such as a pipe, on which opening waits for ever."""
    flags = getattr(os, "O_NONBLOCK", 0) | (0 if links else getattr(os, "O_NOFOLLOW", 0))
    handle = os.open(path, os.O_RDONLY | flags)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotAFile(errno.EINVAL, "not a file", str(path))
    return open(handle, "rb")


def read_file(path: Path, most: int) -> bytes:
    """At most so many bytes of a file; OSError where it is none."""
    with open_file(path) as file:
        return file.read(most)


def table_text(path: Path, error: type[CourseError] = CourseError) -> str | None:
    """The text of a file; None where there is none. Raises `error` where it cannot be read."""
    try:
        data = read_file(path, MOST_BYTES + 1)
    except FileNotFoundError:
        if path.is_symlink():  # of a drive that is not there, perhaps: what the file says has not ended
            target = quoted(os.readlink(path), 400)
            raise error(
                f"{path.name} is a link to {target}, and nothing is there; put the file in its place, or remove the "
                "link; nothing was changed"
            ) from None
        return None
    except OSError as fault:
        raise error(f"{path.name} cannot be read: {fault.strerror}; nothing was changed") from None
    if len(data) > MOST_BYTES:
        raise error(f"{path.name} is larger than {MOST_BYTES // 2**20} MiB; nothing was changed")
    try:
        return table_decoded(data)
    except UnicodeError:
        raise error(f"{path.name} is not UTF-8; save it as CSV UTF-8; nothing was changed") from None


def table_decoded(data: bytes) -> str:
    """The text of a table, in one of the encodings that spreadsheets write; UnicodeError where it is in none."""
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")


def table_lines(
    text: str, name: str, columns: tuple[str, ...], error: type[CourseError] = CourseError
) -> tuple[list[str], list[tuple[int, dict[str, str] | str]]]:
    """The columns that a text has, and each of its lines: its number, and its values or what is wrong with it.

    Commas, semicolons and tabs separate values; empty lines and those that begin with # say nothing. Raises `error`
    where it is no CSV, or has another column than `columns`.
    """
    rows = list(table_rows(text, name, columns[-1], error))
    if not rows:
        raise error(f"{name} is empty; expected a first line {','.join(columns)}; nothing was changed")
    found = [cell.lower() for cell in rows[0][1]]
    for column in found:
        if column not in columns or found.count(column) > 1:
            raise error(
                f"{name}, line 1: the column {quoted(column)} is not known or there twice; expected "
                f"{', '.join(columns)}; nothing was changed"
            )
    lines: list[tuple[int, dict[str, str] | str]] = []
    for line, cells in rows[1:]:
        if not any(cells) or cells[0].startswith("#"):
            continue
        if len(cells) == len(found):
            lines.append((line, dict(zip(found, cells, strict=True))))
        else:
            counted = f"{len(cells)} values; expected {len(found)}: {', '.join(found)}"
            lines.append((line, f"{name}, line {line}: {counted}"))
    return found, lines


def table_rows(
    text: str, name: str, prose: str, error: type[CourseError], exact: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """The rows of a CSV text, each with the number of the line in which it begins. Values are without blanks around
    them, but for the column `exact`.

    A quotation mark too many does not always make a text no CSV: with another one some lines below, all between
    them is one value, and the lines in it are gone without a word. So only a value of the column `prose` may go over
    several lines, and none of them may read as a row of its own.
    """
    delimiter = delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    begins, head = 1, list[str]()
    try:
        for row in reader:
            head = head or [cell.strip().lower() for cell in row]
            if any(
                _swallows(cell, delimiter, len(head), index < len(head) and head[index] == prose)
                for index, cell in enumerate(row)
            ):
                raise error(
                    f"{name}, line {begins}: a quotation mark ({QUOTE}) opens a value that ends in line "
                    f"{reader.line_num} only and holds whole lines of the table; close it, or double it where it "
                    "belongs to the text; nothing was changed"
                )
            kept = head.index(exact) if exact in head and begins > 1 else -1
            yield begins, [cell if index == kept else cell.strip() for index, cell in enumerate(row)]
            begins = reader.line_num + 1
    except csv.Error as fault:
        raise error(
            f"{name}, line {begins}: no CSV ({fault}); a quotation mark ({QUOTE}) is missing, or one too many: "
            "remove it, or put the whole value between two and double those in it; nothing was changed"
        ) from None


def _swallows(cell: str, delimiter: str, width: int, prose: bool) -> bool:
    """Whether a value has lines in it that cannot belong to it: any, or in prose one that could be a row.

    A row has all columns, begins with one word, and has a value right behind a delimiter; prose has a blank.
    """
    _, *further = cell.strip().splitlines() or [""]
    if not prose:
        return bool(further)
    for first, *rest in (line.split(delimiter) for line in further):
        if 0 < width - 1 <= len(rest) and len(first.split()) == 1:
            if not all(part.startswith(" ") for part in rest):
                return True
    return False


def delimiter_of(text: str) -> str:
    """What separates the values of a table, by its first line: a comma, a semicolon or a tab.

    >>> delimiter_of("id;points\\nunits;0,5")
    ';'
    """
    head = text.split("\n", 1)[0]
    return ";" if head.count(";") > head.count(",") else "\t" if "\t" in head else ","
