"""When something was handed in, from a `timestamp.txt`, whoever wrote it and however it is encoded.

Reads what nbgrader, Canvas, Moodle and people write. What could be two days, such as 05/12/2026, is never guessed.
"""

from __future__ import annotations

import os
import re
import time as clock
import zoneinfo
from calendar import month_name
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from pathlib import Path

from casestudies.grading.handed_in import MARKS, TIMESTAMP, Corrupt, read_plain_file
from casestudies.sandboxed.quoting import quoted

TIMESTAMP_BYTES = 2000

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar", "feb february februar", "mar march märz mär maerz", "apr april", "may mai",
            "jun june juni", "jul july juli", "aug august", "sep sept september", "oct october okt oktober",
            "nov november", "dec december dez dezember",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_DAYS = r"(?:(?:mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun)[a-z]*\.?,?\s+)?"
_CLOCK = (
    r"(?:(?:\s*,?\s+(?:at|um|um\s+)?\s*|t|\s*-\s*|_)(?P<hour>\d{1,2})(?::(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:[.,]\d{1,9})?)?)?\s*(?P<half>[ap]\.?m\.?(?!(?!utc|gmt)[a-z]))?(?:\s+uhr)?)?"
)
_ZONE = (
    r"\s*(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2}|[+-]\d{2}|(?:utc|gmt)[+-]\d{1,2}(?::?\d{2})?"
    r"|[a-z][a-z0-9_+/-]*)?"  # whether it is the name of one, `_zones` says
)
_FORMS = [
    re.compile(_DAYS + date + _CLOCK + _ZONE, re.IGNORECASE)
    for date in (
        r"(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})",
        r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})",
        r"(?P<day>\d{1,2})\.(?P<month>\d{1,2})\.(?P<year>\d{4})",  # with dots, the day comes first
        r"(?P<first>\d{1,2})[/-](?P<then>\d{1,2})[/-](?P<year>\d{4})",
        r"(?P<word>[^\W\d_]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?\s+(?P<year>\d{4})",
        r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.)?[\s-]+(?P<word>[^\W\d_]{3,9})\.?,?[\s-]+(?P<year>\d{4})",
    )
]
_FORMS.append(  # as `date` and C write it
    re.compile(
        _DAYS
        + r"(?P<word>[^\W\d_]{3,9})\s+(?P<day>\d{1,2})\s+(?P<hour>\d{1,2}):(?P<minute>\d{2}):(?P<second>\d{2})"
        r"(?:\s+(?P<zone>[a-z]{1,5}))?\s+(?P<year>\d{4})(?P<half>)",
        re.IGNORECASE,
    )
)
_DASHES = re.compile(r"(\d{4}-\d{2}-\d{2})-(\d{2})-(\d{2})-(\d{2})")  # in names of collected files
_SECONDS = re.compile(r"\d{10}(?:\.\d+)?")


@dataclass(frozen=True)
class HandInTime:
    """When, in UTC and without a zone, as nbgrader keeps it; or why that is not known."""

    time: datetime | None = None
    note: str = ""
    disputed: bool = False  # there is another one that speaks against it; the note says which

    @property
    def unclear(self) -> bool:
        """Whether a time was given, but a human has to say which."""
        return self.disputed or (self.time is None and bool(self.note))


def _decoded(data: bytes) -> str | None:
    marked = [encoding for mark, encoding in MARKS if data.startswith(mark)]
    if marked:
        encoding = marked[0]
    elif b"\0" in data[:2]:  # digits in UTF-16
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    else:
        encoding = "utf-8"
    for each in (encoding, "latin-1"):
        try:
            return data.decode(each)
        except UnicodeError:
            continue
    return None


def read_time(data: bytes, name: str = "timestamp.txt") -> HandInTime:
    """The time that the bytes of a timestamp name. A time without a zone is UTC, as nbgrader takes it."""
    if len(data) > TIMESTAMP_BYTES:
        return HandInTime(note=f"{name} is too long to be a time; when it was handed in is not known")
    text = _decoded(data)
    if text is None or not text.strip("\0\ufeff \t\r\n"):
        return HandInTime(note=f"{name} is empty; when it was handed in is not known")
    line = " ".join(text.replace("\0", "").replace("\ufeff", "").split())
    unread = HandInTime(note=f"{name} says {quoted(line)}, which is no time that can be read; set it by hand")
    line = _DASHES.sub(r"\1 \2:\3:\4", line).replace("\u202f", " ")
    if _SECONDS.fullmatch(line):
        return HandInTime(datetime.fromtimestamp(float(line), UTC).replace(tzinfo=None, microsecond=0))
    for form in _FORMS:
        found = form.fullmatch(line)
        if found is None:
            continue
        parts = found.groupdict()
        try:
            year = int(parts["year"])
            if "first" in parts:
                first, then = int(parts["first"]), int(parts["then"])
                if first <= 12 and then <= 12 and first != then:
                    return HandInTime(
                        note=f"{name} says {quoted(line)}, which is ambiguous: {first} {month_name[then]} or {then} "
                        f"{month_name[first]}? Write it as year-month-day; until then nothing counts as late"
                    )
                day, month = (first, then) if first > 12 else (then, first)
            elif "word" in parts:
                day, month = int(parts["day"]), _MONTHS[parts["word"].lower()]
            else:
                day, month = int(parts["day"]), int(parts["month"])
            hour = int(parts["hour"] or 0)
            if parts["half"]:
                if not 1 <= hour <= 12:
                    return unread
                hour = hour % 12 + (12 if parts["half"].lower().startswith("p") else 0)
            time = datetime(year, month, day, hour, int(parts["minute"] or 0), int(parts["second"] or 0))
            zone = _zone(parts["zone"])
            if zone is None:
                return HandInTime(
                    note=f"{name} says {quoted(line)}, whose time zone is not known; write it as +00:00, for instance"
                )
            note = _turned(time, zone)
            if parts["hour"] is None:
                note = "without an hour; taken as the beginning of that day"
            offset = time.replace(tzinfo=zone).utcoffset() or timedelta()
            return HandInTime(time - offset, note and f"{name} says {quoted(line)}, {note}")
        except (ValueError, KeyError, OverflowError):
            continue
    return unread


def _turned(time: datetime, zone: tzinfo) -> str:
    """What is said of an hour in which the clocks of a zone were put back, or forward."""
    import dateutil.tz

    if dateutil.tz.datetime_ambiguous(time, zone):
        return "an hour that there was twice on that day; taken as the first of them"
    if not dateutil.tz.datetime_exists(time, zone):
        return "an hour that the clocks left out on that day; taken as the one after it"
    return ""


def _zone(zone: str | None) -> tzinfo | None:
    """The zone of an offset, an abbreviation or a name in the database of zones; None where it is not known."""
    import dateutil.tz

    if not zone or zone.lower() in ("z", "utc", "gmt"):
        return UTC
    numeric = re.fullmatch(r"(?:utc|gmt)?([+-])(\d{1,2}):?(\d{2})?", zone.lower())
    if numeric:
        size = timedelta(hours=int(numeric[2]), minutes=int(numeric[3] or 0))
        return None if size > timedelta(hours=14) else timezone(size if numeric[1] == "+" else -size)
    if zone.upper() in _NAMES:
        return timezone(_NAMES[zone.upper()])
    # Only names are looked up: dateutil takes a fragment such as `a5` as the description of a zone, too.
    if name := _zones().get(zone.lower()):
        return dateutil.tz.gettz(name)
    return dateutil.tz.tzlocal() if zone.upper() in clock.tzname else None  # as `date` writes it here


@lru_cache(1)
def _zones() -> dict[str, str]:
    """The names of all zones in the database, by how they read in small letters."""
    return {name.lower(): name for name in zoneinfo.available_timezones()}


# Abbreviations that no database of zones has, and that mean one thing only.
_NAMES = {
    "PST": timedelta(hours=-8), "PDT": timedelta(hours=-7), "MDT": timedelta(hours=-6), "CDT": timedelta(hours=-5),
    "EDT": timedelta(hours=-4), "CEST": timedelta(hours=2), "EEST": timedelta(hours=3), "WEST": timedelta(hours=1),
    "JST": timedelta(hours=9), "KST": timedelta(hours=9), "AEST": timedelta(hours=10), "AEDT": timedelta(hours=11),
}  # fmt: skip


def hand_in_time(folder: Path) -> HandInTime:
    """From the `timestamp.txt` that nbgrader, or whoever collected a submission, laid beside it. One that lies deeper
    in what was handed in, or in an archive, is the student's own and says nothing."""
    path = folder / TIMESTAMP
    if not os.path.lexists(path):
        return HandInTime()
    try:
        return read_time(read_plain_file(path, TIMESTAMP_BYTES))
    except Corrupt as error:
        return HandInTime(note=f"when it was handed in is not known: {error}")


__all__ = ["HandInTime", "hand_in_time", "read_time"]
