"""`casestudies fill ASSIGNMENT EXPORT`: a table that Canvas or Moodle exported, with the scores filled in.

The safest table to import is one that the platform wrote itself: its own numbers of the students and the exact name
of the assignment's column stand in it. So the instructor exports it, and gets a copy in which the cells of one column
are filled, and all others are as they were, to the letter. A student is found by id or by e-mail address, never by
name.

Known are Canvas's gradebook, Moodle's grading worksheet of an assignment (offline), and Moodle's grader report.
"""

from __future__ import annotations

import argparse
import codecs
import csv
import io
import math
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casestudies.grading.errors import CourseError
from casestudies.grading.secret import tell_of_damage
from casestudies.grading.tables import QUOTE, delimiter_of, read_file
from casestudies.sandboxed.quoting import printable, quoted

if TYPE_CHECKING:
    from casestudies.grading.reports import Entry

MOST_BYTES = 2**25
# Columns that can say who somebody is, the surest first. Moodle calls an id "ID number", Canvas "SIS User ID".
IDS = ("sis user id", "id number", "idnumber", "username", "student id", "sis login id", "login id")
ADDRESSES = ("email address", "email", "sis login id", "login id", "username")
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
MAXIMUM = ("maximum grade", "maximum mark")  # a column of Moodle's worksheet


@dataclass
class Export:
    """A table of a platform: its cells, and where in its text each of them stands; `mark` are the bytes before it."""

    name: str
    rows: list[list[str]]
    delimiter: str
    text: str
    places: list[list[tuple[int, int]]]
    encoding: str
    mark: bytes = b""

    def __post_init__(self) -> None:
        self.before = [list(row) for row in self.rows]

    @property
    def head(self) -> list[str]:
        return [cell.strip().lower() for cell in self.rows[0]]

    @property
    def canvas(self) -> bool:
        return self.head[0] == "student" and "id" in self.head

    def column(self, names: tuple[str, ...]) -> list[int]:
        """The columns of these names, in the order of the names."""
        return [self.head.index(name) for name in names if name in self.head]

    def students(self) -> list[int]:
        """The rows that are students': Canvas has one or two below the head that are not, and a test student."""
        numbers = range(1, len(self.rows))
        if not self.canvas:
            return [number for number in numbers if any(self.rows[number])]
        own = self.head.index("id")
        return [number for number in numbers if self.rows[number][own].strip()]

    def whose(self, number: int) -> str:
        """A row by what stands in it of its student, an id or an address, and by its number."""
        row = self.rows[number]
        known = (row[column].strip() for column in self.column((*IDS, *ADDRESSES)))
        who = next(filter(None, known), "")
        return f"{printable(who, 100)} (row {number + 1})" if who else f"row {number + 1}"

    def to_bytes(self) -> bytes:
        """The text as it was, letter by letter, but for the cells that have another value than before."""
        parts, at = [], 0
        for row, before, places in zip(self.rows, self.before, self.places, strict=True):
            for value, old, (begin, end) in zip(row, before, places, strict=True):
                if value != old:
                    parts += [self.text[at:begin], self._written(value, self.text[begin:end])]
                    at = end
        return self.mark + "".join([*parts, self.text[at:]]).encode(self.encoding)

    def _written(self, value: str, old: str) -> str:
        """A value in the place of a cell, between quotation marks where that one was, or it needs them."""
        quote = old.startswith(QUOTE) or any(each in value for each in (self.delimiter, QUOTE, "\r", "\n"))
        return QUOTE + value.replace(QUOTE, 2 * QUOTE) + QUOTE if quote else value


@dataclass
class Filled:
    """What became of each student. All lists hold ids, but `unknown`, which holds lines of the export."""

    scores: dict[str, str] = field(default_factory=dict)  # what was written
    replaced: list[str] = field(default_factory=list)  # sentences: another grade stood there
    waiting: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)  # graded, and not in the export
    unknown: list[int] = field(default_factory=list)  # in the export, and handed nothing in
    again: list[str] = field(
        default_factory=list
    )  # written, with points by hand that are older than the rest
    doubtful: list[str] = field(default_factory=list)  # written, and not sure when it was handed in
    marked: list[str] = field(default_factory=list)  # graded without protection

    @property
    def complete(self) -> bool:
        return not (self.waiting or self.absent)


def read_export(path: Path) -> Export:
    """Raises CourseError, in a sentence, where the file is no table."""
    try:
        data = read_file(path, MOST_BYTES + 1)
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}; nothing was written") from None
    if len(data) > MOST_BYTES:
        raise CourseError(f"{path} is larger than {MOST_BYTES // 2**20} MiB; nothing was written")
    mark, encoding = next(
        ((mark, encoding) for mark, encoding in _MARKS if data.startswith(mark)), (b"", "utf-8")
    )
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeError:
        raise CourseError(
            f"{path} is not UTF-8; expected the CSV file as the platform exports it; nothing was written"
        ) from None
    delimiter = delimiter_of(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[list[str]] = []
    begins = 1
    try:
        for row in reader:
            if rows and row and len(row) != len(rows[0]):
                raise CourseError(
                    f"{path}, line {begins}: {len(row)} values; expected {len(rows[0])}, as the first line has; "
                    "export it again; nothing was written"
                )
            rows += [row] if row else []
            begins = reader.line_num + 1
    except csv.Error as error:
        raise CourseError(
            f"{path}, line {begins}: no CSV ({error}); export it again; nothing was written"
        ) from None
    if not rows or len(rows[0]) < 2:
        raise CourseError(
            f"{path} is no table; expected the CSV file as Canvas or Moodle exports it; nothing was written"
        )
    return Export(path.name, rows, delimiter, text, _places(text, delimiter), encoding, mark)


def _places(text: str, delimiter: str) -> list[list[tuple[int, int]]]:
    """Where the cells of each row that is not empty begin and end, in a text that `csv` has read without a fault."""
    cell = re.compile(rf'(?:"(?:[^"]|"")*"|[^"{delimiter}\r\n][^{delimiter}\r\n]*)?')
    rows: list[list[tuple[int, int]]] = []
    row: list[tuple[int, int]] = []
    at = 0
    while at < len(text) or row:
        found = cell.match(text, at)
        assert found is not None  # it may be empty
        row.append(found.span())
        at = found.end()
        if text.startswith(delimiter, at):
            at += 1
            continue
        rows += [row] if row != [(at, at)] else []
        row = []
        at += 2 if text.startswith("\r\n", at) else 1
    return rows


def grade_column(export: Export, assignment: str, wanted: str | None = None) -> int:
    """The column to fill. Raises CourseError where it is not certain."""
    titles = [cell.strip() for cell in export.rows[0]]
    if wanted is not None:
        found = [number for number, title in enumerate(titles) if title == wanted.strip()]
    elif "grade" in export.head and export.column(MAXIMUM):
        found = [export.head.index("grade")]
    else:
        found = [number for number, title in enumerate(titles) if _is_called(title, assignment)]
    if len(found) == 1:
        return found[0]
    what = quoted(wanted) if wanted is not None else f"for {assignment}"
    raise CourseError(
        f"{export.name} has {'no column' if not found else f'{len(found)} columns'} {what}; name the one to fill "
        f"with --column; there are: {', '.join(map(quoted, titles))}; nothing was written"
    )


def _is_called(title: str, assignment: str) -> bool:
    """Whether a platform's column is an assignment's: `resnet (1234)` in Canvas, `Assignment: resnet (Real)`."""
    bare = re.sub(r"\s*\([^()]*\)\s*$", "", title)
    return bare.rpartition(":")[2].strip().casefold() == assignment.casefold()


def fill(export: Export, column: int, found: list[Entry], scale: bool = False) -> Filled:
    """Writes the scores into the rows of the export. Raises CourseError, and then nothing may be written."""
    outcome = Filled()
    rows = _rows_of(export, found)
    for entry in found:
        number = rows.pop(entry.student, None)
        if number is None:
            outcome.absent.append(entry.student)
        elif entry.waiting and not entry.again:
            outcome.waiting.append(entry.student)
        else:
            score = _scaled(export, column, number, entry, scale)
            before = export.rows[number][column].strip()
            if before.strip("-") and _value(before) != _value(score):  # Moodle writes - for none
                outcome.replaced.append(f"{printable(entry.student)}: {printable(before, 40)} -> {score}")
            export.rows[number][column] = score
            outcome.scores[entry.student] = score
            if entry.again:
                outcome.again.append(entry.student)
            if entry.unclear:
                outcome.doubtful.append(entry.student)
            if entry.unprotected:
                outcome.marked.append(entry.student)
    taken = set(_rows_of(export, found).values())
    outcome.unknown = [number for number in export.students() if number not in taken]
    return outcome


def _rows_of(export: Export, found: list[Entry]) -> dict[str, int]:
    """student -> row. An id in one of the columns for ids, else the roster's address in one for addresses."""
    ids, addresses = export.column(IDS), export.column(ADDRESSES)
    if not ids and not addresses:
        raise CourseError(
            f"{export.name} has no column by which a student is known; expected one of SIS User ID, ID number, "
            f"Username, Email address; there are: {', '.join(map(quoted, export.rows[0]))}; nothing was written"
        )
    by_id = _index(export, ids)
    by_address = _index(export, addresses)
    rows: dict[str, int] = {}
    owners: dict[int, str] = {}
    for entry in found:
        key, address = entry.student.casefold(), entry.email.strip().casefold()
        found_by_id, found_by_address = (
            by_id.get(key, set()),
            (by_address.get(address, set()) if address else set()),
        )
        if found_by_id and found_by_address and found_by_id.isdisjoint(found_by_address):
            raise CourseError(
                f"{export.name}: {quoted(entry.student)} is in row {min(found_by_id) + 1} by id and in row "
                f"{min(found_by_address) + 1} by address ({quoted(entry.email)}); the id may be a number of another "
                "kind; correct the address in the roster, or the table; nothing was written"
            )
        there = found_by_id or found_by_address
        if len(there) > 1:
            lines = ", ".join(str(number + 1) for number in sorted(there))
            raise CourseError(
                f"{export.name}: {quoted(entry.student)} is in several rows ({lines}); remove all but one; "
                "nothing was written"
            )
        for number in there:
            if number in owners:
                raise CourseError(
                    f"{export.name}, row {number + 1}: {quoted(owners[number])} and {quoted(entry.student)} are both "
                    "this student; correct the addresses in the roster; nothing was written"
                )
            owners[number] = entry.student
            rows[entry.student] = number
    return rows


def _index(export: Export, columns: list[int]) -> dict[str, set[int]]:
    """What stands in these columns -> the rows in which it stands; what stands further left counts alone."""
    index: dict[str, set[int]] = {}
    for column in columns:
        here: dict[str, set[int]] = {}
        for number in export.students():
            if value := export.rows[number][column].strip().casefold():
                here.setdefault(value, set()).add(number)
        index = here | index
    return index


def _scaled(export: Export, column: int, number: int, entry: Entry, scale: bool) -> str:
    """The score as it is written there. Raises CourseError where the platform counts other points."""
    cells = _maximum(export, column, number)
    most = next((value for cell in cells if (value := _value(cell)) is not None), None)
    score = entry.score
    if most is not None and not math.isclose(most, entry.possible, abs_tol=1e-6):
        if not scale:
            raise CourseError(
                f"{export.name} expects {most:g} points, and the assignment has {entry.possible:g}; set the same "
                "maximum there, or give --scale; nothing was written"
            )
        score = entry.share * most
    text = f"{round(score, 4):g}"
    comma = any(
        re.fullmatch(r"\s*-?\d+,\d+\s*", cell) for cell in [*cells, *(row[column] for row in export.rows)]
    )
    return text.replace(".", ",") if comma else text


def _maximum(export: Export, column: int, number: int) -> list[str]:
    """The cells that say how many points the platform gives; none where the export does not tell."""
    if not export.canvas:
        return [export.rows[number][each] for each in export.column(MAXIMUM)]
    own = export.head.index("id")
    return [row[column] for row in export.rows[1:] if not row[own].strip() and "possible" in row[0].lower()]


def _value(text: str) -> float | None:
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return None


def told(outcome: Filled, export: Export) -> list[str]:
    """What a person should know, a line each."""

    def names(students: list[str]) -> str:
        return ", ".join(map(printable, students))

    lines = []
    if outcome.replaced:
        lines.append(f"Another grade stood there before: {'; '.join(outcome.replaced)}.")
    if outcome.waiting:
        lines.append(
            f"Left as it was, since something waits for a grade by hand ({len(outcome.waiting)}): "
            f"{names(outcome.waiting)}."
        )
    if outcome.absent:
        lines.append(
            f"Not in {export.name} ({len(outcome.absent)}): {names(outcome.absent)}. Their ids, or their addresses "
            "in the roster, are others than there."
        )
    if outcome.unknown:
        rows = ", ".join(map(export.whose, outcome.unknown))
        lines.append(f"Left as it was, since nothing was handed in ({len(outcome.unknown)}): {rows}.")
    if outcome.again:
        lines.append(
            "Written, and to look at again, since it was graded anew after points or comments were given by hand "
            f"({len(outcome.again)}): {names(outcome.again)}."
        )
    if outcome.doubtful:
        lines.append(
            f"Not sure when it was handed in ({len(outcome.doubtful)}): {names(outcome.doubtful)}. Decide in "
            "hand_in_times.csv, grade, and fill again."
        )
    if outcome.marked:
        lines.append(f"NOT PROTECTED when it was graded ({len(outcome.marked)}): {names(outcome.marked)}.")
    return lines


def _run(args: argparse.Namespace) -> int:
    from casestudies.cli import in_words
    from casestudies.grading.configuration import quiet_nbgrader
    from casestudies.grading.course import Course
    from casestudies.grading.notebooks import LeakError, SourceError, find_root
    from casestudies.grading.reports import entries

    # Joined, since with_name() refuses a path without a name, such as `.`: reading it says what is wrong.
    target = args.to or args.export.parent / f"{args.export.stem}-filled.csv"
    try:
        with quiet_nbgrader():
            course = Course.open(find_root(), args.course)
            course.require(args.assignment)
            tell_of_damage(course.folder, "fill")
            export = read_export(args.export)
            column = grade_column(export, args.assignment, args.column)
            graded = any(course.step("autograded").glob(f"*/{args.assignment}/{args.assignment}.ipynb"))
            if not graded:  # before the gradebook is opened, which would make one
                raise CourseError(
                    f"nothing of {args.assignment} is graded yet: casestudies grade {args.assignment}"
                )
            course.assignment(args.assignment)  # refuses the gradebook of another course
            # A grade by hand may be newer than the penalty that depends on it.
            for sentence in course.settle_lateness():
                print(f"casestudies fill: {printable(sentence, 1000)}", file=sys.stderr)
            outcome = fill(export, column, entries(course, args.assignment), args.scale)
        data = export.to_bytes()
        try:
            with open(target, "xb") as file:
                file.write(data)
        except FileExistsError:
            raise CourseError(
                f"{target} exists; remove it, or name another file with --to; nothing was written"
            ) from None
    except (CourseError, SourceError, LeakError, OSError, ValueError) as error:
        for line in in_words(error).splitlines():
            print(f"casestudies fill: {line}", file=sys.stderr)
        return 2
    title = quoted(export.rows[0][column].strip())
    count = len(outcome.scores)
    print(f"{target}: {count} score{'' if count == 1 else 's'} in the column {title}")
    for line in told(outcome, export):
        print(line, file=sys.stderr)
    return 0 if outcome.complete else 1


def add_parser(subparsers: Any) -> None:
    """`casestudies fill ASSIGNMENT EXPORT [--to FILE] [--column NAME] [--scale] [--course DIR]`"""
    parser = subparsers.add_parser(
        "fill",
        description="Students are found by id or e-mail address. The export stays as it is; the copy differs from it "
        "in one column. Exit status: 0 all filled in, 1 somebody is left out, 2 bad input and nothing written.",
    )
    parser.add_argument("assignment", help="its name, such as resnet")
    parser.add_argument("export", type=Path, help="the CSV file that Canvas or Moodle exported")
    parser.add_argument("--to", type=Path, metavar="FILE", help="the copy (default: EXPORT-filled.csv)")
    parser.add_argument("--column", metavar="NAME", help="the column to fill (default: the assignment's)")
    parser.add_argument("--scale", action="store_true", help="to the platform's points, where it has others")
    parser.add_argument("--course", type=Path, help="the course's folder (default: CASESTUDIES_COURSE)")
    parser.set_defaults(run=_run)


__all__ = ["Export", "Filled", "fill", "grade_column", "read_export", "told"]
