"""Whose word a hand-in time is, and that nobody's lateness rests on a file that a student can write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from casestudies.grading.arrivals import NAME, Arrival, Arrivals, files_of, settled
from casestudies.grading.errors import CourseError
from casestudies.grading.submission import Submission
from casestudies.grading.times import HandInTime
from tests.grading.test_exchange import ME, Term

DUE = datetime(2026, 11, 19, 12)
BEFORE, AFTER = DUE - timedelta(hours=2), DUE + timedelta(hours=2)
LATER = DUE + timedelta(days=5)


def arrival(seen: datetime, collected: datetime | None = None, decided: datetime | None = None) -> Arrival:
    times = ("" if each is None else str(each) for each in (seen, collected, decided))
    return Arrival("ada", "small", "f", *times)


# What timestamp.txt says, what was seen of it, and: the time that counts, and whether a human is asked.
CASES = {
    "nobody saw anything": (BEFORE, None, BEFORE, False),
    "seen in time": (BEFORE, arrival(BEFORE + timedelta(minutes=5)), BEFORE, False),
    "early by a file alone": (BEFORE, arrival(LATER), BEFORE, True),
    "a little late by a file alone": (AFTER, arrival(LATER), AFTER, True),
    "later than it was there": (LATER, arrival(BEFORE), LATER, True),
    "no file": (None, arrival(LATER), None, True),
    "no file, and it was there in time": (None, arrival(BEFORE), None, False),
    "no file, and nobody saw anything": (None, None, None, False),
    "collected, and no file": (None, arrival(LATER, AFTER), AFTER, False),
    "collected, and the same in the file": (AFTER, arrival(LATER, AFTER), AFTER, False),
    "collected, and the file says less": (BEFORE, arrival(LATER, AFTER), AFTER, True),
    "decided": (BEFORE, arrival(LATER, AFTER, LATER), LATER, False),
}


@pytest.mark.parametrize("name", CASES)
def test_the_time_that_counts(name):
    claim, seen, time, asked = CASES[name]
    found = settled(HandInTime(claim), seen, DUE)
    assert found.time == time and found.unclear == asked
    assert not asked or NAME in found.note


def test_the_instructors_own_files_are_taken_at_their_word():
    assert not settled(HandInTime(BEFORE), arrival(LATER), DUE, trusted=True).unclear


def test_a_file_that_is_not_there_says_nothing_even_where_files_are_the_instructors():
    assert settled(HandInTime(), arrival(LATER), DUE, trusted=True).unclear


def test_without_a_due_date_nothing_hangs_on_it():
    assert not settled(HandInTime(BEFORE), arrival(LATER)).unclear
    assert not settled(HandInTime(), arrival(LATER)).unclear


# --------------------------------------------------------------------------- the file


def files(text: bytes) -> str:
    return files_of("small", Submission(text))


def test_what_is_handed_in_again_gets_a_line_of_its_own_and_none_is_lost(tmp_path):
    book = Arrivals(tmp_path)
    book.saw("small", {"ada": files(b"first"), "bob": files(b"his")})
    before = book.path.read_text()
    book.saw("small", {"ada": files(b"first"), "bob": files(b"his")})
    assert book.path.read_text() == before
    book.saw("small", {"ada": files(b"second")})
    assert book.path.read_text().startswith(before)
    assert book.last()["ada", "small"].files == files(b"second")


@pytest.mark.parametrize("twin", [" ada", "ada ", "ada\t", "\u00a0ada", "ADA", "ada,", "ada;", '"ada"'])
def test_whose_name_is_nearly_anothers_has_times_of_its_own(twin, tmp_path):
    book = Arrivals(tmp_path)
    book.saw("small", {"ada": files(b"hers"), twin: files(b"another")})
    before = book.path.read_text()
    book.saw("small", {"ada": files(b"hers"), twin: files(b"another")})
    assert book.path.read_text() == before
    last = book.last()
    assert last["ada", "small"].files == files(b"hers") and last[twin, "small"].files == files(b"another")


def test_a_decision_holds_for_the_files_that_it_was_made_for(tmp_path):
    book = Arrivals(tmp_path)
    book.saw("small", {"ada": files(b"first")})
    book.path.write_text(book.path.read_text().replace(",\n", f",{AFTER}\n"))
    assert book.last()["ada", "small"].decided == str(AFTER)
    book.saw("small", {"ada": files(b"second")})
    assert not book.last()["ada", "small"].decided
    book.saw("small", {"ada": files(b"first")})
    assert book.last()["ada", "small"].decided == str(AFTER)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_table_that_a_spreadsheet_saved_is_read_and_goes_on(tmp_path, encoding):
    head = "student;assignment;files;first_seen;collected;decided"
    line = "zoë;small;f;2026-11-20 10:00;;20.11.2026 09:00"
    (tmp_path / NAME).write_bytes(f"{head}\r\n{line}\r\n".encode(encoding))
    found = settled(HandInTime(), Arrivals(tmp_path).last()["zoë", "small"])
    assert found.time == datetime(2026, 11, 20, 9)
    Arrivals(tmp_path).saw("small", {"ada": files(b"hers")})
    assert Arrivals(tmp_path).last().keys() == {("zoë", "small"), ("ada", "small")}


def test_a_link_in_the_tables_place_is_named_with_what_to_do(tmp_path):
    for target in (tmp_path / "elsewhere.csv", tmp_path / "nowhere.csv"):
        (tmp_path / "elsewhere.csv").write_text("student\n")
        (tmp_path / NAME).unlink(missing_ok=True)
        (tmp_path / NAME).symlink_to(target)
        with pytest.raises(CourseError) as caught:
            Arrivals(tmp_path).saw("small", {"ada": files(b"hers")})
        assert str(caught.value) == (
            f"{tmp_path / NAME} is a link to '{target}'; each hand-in writes the table anew, in the link's place. "
            "Remove the link and put the file itself there"
        )
        assert (tmp_path / NAME).is_symlink()


def test_a_folder_and_another_encoding_are_named(tmp_path):
    (tmp_path / NAME).write_bytes("student,ä".encode("latin-1"))
    with pytest.raises(CourseError, match="it is not UTF-8; save it as CSV UTF-8"):
        Arrivals(tmp_path).last()
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    with pytest.raises(CourseError, match=r"hand_in_times.csv cannot be read: not a file$"):
        Arrivals(tmp_path).last()


TABLES = {
    "no header": ("ada,small,f,,,\n", "line 1"),
    "a column is missing": (
        "student,assignment,files,first_seen,collected,decided\nada,small,f\n",
        "3 columns",
    ),
    "no time": (
        "student,assignment,files,first_seen,collected,decided\nada,small,f,,,soon\n",
        "line 2, column decided: 'soon'",
    ),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_read_is_named_and_kept(name, tmp_path):
    text, said = TABLES[name]
    (tmp_path / NAME).write_text(text)
    with pytest.raises(CourseError, match=said):
        Arrivals(tmp_path).saw("small", {"ada": "f"})
    assert (tmp_path / NAME).read_text() == text


# --------------------------------------------------------------------------- who writes it


@pytest.fixture
def term(tmp_path) -> Term:
    return Term(tmp_path)


def written(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def test_what_is_collected_counts_and_not_the_file_in_it(term, caplog):
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    folder = term.hand_in(f"{ME}+resnet+{written(now)}+a")
    (folder / "timestamp.txt").write_text(written(now - timedelta(days=3)))
    term.collect(caplog)
    found = Arrivals(term.course).last()[ME, "resnet"]
    assert found.collected == str(now)
    late = settled(HandInTime(now - timedelta(days=3)), found, now - timedelta(days=1))
    assert late.time == now and late.unclear


def test_a_name_in_the_exchange_that_is_older_than_its_folder_vouches_for_nothing(term, caplog):
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    early = now - timedelta(days=3)
    term.hand_in(f"{ME}+resnet+{written(early)}+a")
    term.collect(caplog)
    found = Arrivals(term.course).last()[ME, "resnet"]
    assert not found.collected and found.first_seen >= str(now - timedelta(minutes=1))
    assert settled(HandInTime(early), found, now - timedelta(days=1)).unclear
