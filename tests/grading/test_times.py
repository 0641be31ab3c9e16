"""When something was handed in: any encoding, the usual ways to write it, and never a guess."""

import zoneinfo
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casestudies.grading.times import hand_in_time, read_time

NOON = datetime(2026, 11, 21, 12, 0)
WRITTEN = [
    "2026-11-21 12:00:00 UTC",
    "2026-11-21 12:00:00.123456 UTC",
    "2026-11-21 12:00",
    "2026-11-21T12:00:00Z",
    "2026-11-21T12:00:00.000+00:00",
    "2026-11-21T21:00:00+0900",
    "2026-11-21 07:00:00 EST",
    "2026-11-21 13:00:00 Europe/Berlin",
    "2026-11-21 12:00:00 +00",
    "2026-11-21-12-00-00",
    "2026/11/21 12:00",
    "21.11.2026 12:00",
    "21/11/2026 12:00",
    "11/21/2026 12:00 PM",
    "Nov 21, 2026 at 12:00pm",
    "November 21, 2026 12:00 PM",
    "Saturday, 21 November 2026, 12:00 PM",
    "21 Nov 2026 12:00",
    "Sat, 21 Nov 2026 12:00:00 +0000",
    "Sat Nov 21 12:00:00 2026",
    "1795262400",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_a_time_is_read(text):
    found = read_time(text.encode())
    assert (found.time, found.note) == (NOON, "")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"]
)
@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_time_is_read_in(encoding, ending):
    assert read_time(f"2026-11-21 12:00:00 UTC{ending}".encode(encoding)).time == NOON


@pytest.mark.parametrize("text", ["05/12/2026 12:00", "5/12/2026", "05-12-2026 12:00", "12/05/2026 11:59 PM"])
def test_what_could_be_two_days_is_not_guessed(text):
    found = read_time(text.encode())
    assert found.time is None and found.unclear
    assert "December" in found.note and "May" in found.note


@pytest.mark.parametrize(
    "text", ["", " \n", "yesterday", "\x00", "2026-13-40", "99/99/2026", "2026-11-21 12:00 CST", "x" * 5000]
)
def test_what_is_no_time_is_unclear(text):
    found = read_time(text.encode())
    assert found.time is None and found.unclear


@pytest.mark.parametrize("zone", sorted(zoneinfo.available_timezones()))
def test_every_zone_of_the_database_is_known(zone):
    noon = datetime(2026, 11, 20, 12, tzinfo=zoneinfo.ZoneInfo(zone))
    for text in (f"2026-11-20 12:00 {zone}", f"11/20/2026 12:00 PM {zone.lower()}"):
        found = read_time(text.encode())
        assert (found.time, found.note) == (noon.astimezone(UTC).replace(tzinfo=None), "")


@pytest.mark.parametrize("zone", ["a5", "a5b", "x+3", "EST5", "a-5", "AMX", "Mars/Olympus", "New_York"])
def test_what_is_no_name_of_a_zone_is_not_known(zone):
    found = read_time(f"2026-11-20 12:00 {zone}".encode())
    assert found.time is None and "whose time zone is not known" in found.note
    assert read_time(f"2026-11-20 12 {zone}".encode()).time is None


def test_an_hour_that_there_was_twice_or_never_is_said():
    twice = read_time(b"2026-10-25 02:30 Europe/Berlin")
    assert twice.time == datetime(2026, 10, 25, 0, 30) and "twice on that day" in twice.note
    never = read_time(b"2026-03-29 02:30 Europe/Berlin")
    assert never.time == datetime(2026, 3, 29, 1, 30) and "left out on that day" in never.note
    assert (
        not read_time(b"2026-10-25 02:30 CEST").note and not read_time(b"2026-10-25 03:30 Europe/Berlin").note
    )


def test_a_half_of_the_day_may_touch_a_zone():
    assert read_time(b"2026-11-21 12:00pmUTC").time == read_time(b"2026-11-21 12:00 pm UTC").time == NOON


def test_a_day_without_an_hour_is_said():
    assert "without an hour" in read_time(b"2026-11-21").note


@given(st.one_of(st.binary(max_size=60), st.text("0123456789-/.: TZapmNovUC+", max_size=30).map(str.encode)))
def test_any_bytes_are_a_time_or_unclear(data):
    found = read_time(data)
    assert (found.time is None) == found.unclear
    assert found.note.isprintable()


def test_a_timestamp_deeper_in_a_submission_says_nothing(tmp_path):
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "timestamp.txt").write_text("2020-01-01 00:00:00 UTC")
    assert hand_in_time(tmp_path).time is None
