"""Tables that an instructor writes: CSV as any spreadsheet saves it, read line by line, with the line's number."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from casestudies.grading.errors import CourseError
from casestudies.sandboxed.quoting import quoted

MOST_BYTES = 2**22


def table_text(path: Path, error: type[CourseError] = CourseError) -> str | None:
    """The text of a file; None where there is none. Raises `error` where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise error(f"{path.name} cannot be read: {fault.strerror}; nothing was changed") from None
    if len(data) > MOST_BYTES:
        raise error(f"{path.name} is larger than {MOST_BYTES // 2**20} MiB; nothing was changed")
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeError:
        raise error(f"{path.name} is not UTF-8; save it as CSV UTF-8; nothing was changed") from None


def table_lines(
    text: str, name: str, columns: tuple[str, ...], error: type[CourseError] = CourseError
) -> tuple[list[str], list[tuple[int, dict[str, str] | str]]]:
    """The columns that a text has, and each of its lines: its number, and its values or what is wrong with it.

    Commas, semicolons and tabs separate values; empty lines and those that begin with # say nothing. Raises `error`
    where it is no CSV, or has another column than `columns`.
    """
    head = text.split("\n", 1)[0]
    delimiter = ";" if head.count(";") > head.count(",") else "\t" if "\t" in head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except csv.Error as fault:
        raise error(f"{name}, line {reader.line_num}: no CSV: {fault}; nothing was changed") from None
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
