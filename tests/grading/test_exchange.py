"""What `nbgrader collect` takes from the exchange: submissions, each its owner's, and nothing that they point at."""

from __future__ import annotations

import logging
import os
import pwd
from pathlib import Path

import pytest
from nbgrader.coursedir import CourseDirectory
from nbgrader.exchange import ExchangeError
from nbgrader.exchange.default.fetch_feedback import ExchangeFetchFeedback
from traitlets.config import Config

from casestudies.grading import exchange
from casestudies.grading.exchange import HUB_COURSE, Collect, ReleaseAssignment
from casestudies.grading.handed_in import SUBMISSION_SECRET
from casestudies.grading.plugins import ReleaseFeedback

ME = pwd.getpwuid(os.getuid()).pw_name
EARLY, LATE = "2026-11-01 10:00:00 UTC", "2026-11-02 10:00:00 UTC"


class Term:
    """A course, and an exchange in which anything may lie."""

    def __init__(self, folder: Path) -> None:
        self.course, self.exchange = folder / "course", folder / "exchange"
        self.inbound = self.exchange / "vision" / "inbound"
        self.inbound.mkdir(parents=True)
        self.exchange.chmod(0o777)
        (self.exchange / "vision" / "outbound").mkdir()
        self.course.mkdir()

    def config(self, **options: object) -> Config:
        config = Config()
        config.Exchange.root = str(self.exchange)
        config.CourseDirectory.root = str(self.course)
        config.CourseDirectory.course_id = "vision"
        config.CourseDirectory.assignment_id = "resnet"
        for name, value in options.items():
            config.ExchangeCollect[name] = value
        return config

    def hand_in(self, name: str, text: str = "{}") -> Path:
        folder = self.inbound / name
        folder.mkdir()
        (folder / "resnet.ipynb").write_text(text)
        (folder / "timestamp.txt").write_text(name.split("+")[2] if name.count("+") > 1 else "")
        (folder / SUBMISSION_SECRET).write_text(f"secret of {name}")
        return folder

    def collect(self, caplog: pytest.LogCaptureFixture, **options: object) -> str:
        """Collects; returns what was said. As in nbgrader, --update takes what is newer."""
        config = self.config(**options)
        log = logging.getLogger("collect")
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="collect"):
            collect = Collect(coursedir=CourseDirectory(config=config), config=config, authenticator=None)
            collect.log = log
            collect.start()
        return caplog.text

    def text(self, student: str = ME) -> str:
        return (self.course / "submitted" / student / "resnet" / "resnet.ipynb").read_text()


@pytest.fixture
def term(tmp_path) -> Term:
    return Term(tmp_path)


def test_the_newest_of_two_submissions_is_collected(term, caplog):
    term.hand_in(f"{ME}+resnet+{LATE}+b", "second")
    term.hand_in(f"{ME}+resnet+{EARLY}+a", "first")
    assert "Collecting submission" in term.collect(caplog)
    assert term.text() == "second"


def test_what_is_handed_in_later_is_collected_with_update_and_not_without(term, caplog):
    term.hand_in(f"{ME}+resnet+{EARLY}+a", "first")
    term.collect(caplog)
    term.hand_in(f"{ME}+resnet+{LATE}+b", "second")
    assert "--update" in term.collect(caplog) and term.text() == "first"
    assert "Updating submission" in term.collect(caplog, update=True) and term.text() == "second"
    assert "No newer submission" in term.collect(caplog, update=True)
    assert [each.name for each in (term.course / "submitted" / ME).iterdir()] == ["resnet"]


# As nbgrader names them: to the microsecond, while a timestamp is read to the second.
AT, LATER = "2026-11-01 10:00:00.123456 UTC", "2026-11-01 10:00:00.654321 UTC"


def test_what_was_collected_is_not_collected_again(term, caplog):
    term.hand_in(f"{ME}+resnet+{AT}+a", "first")
    term.collect(caplog)
    assert "No newer submission" in term.collect(caplog, update=True)
    term.hand_in(f"{ME}+resnet+{LATER}+b", "second")
    assert "Updating submission" in term.collect(caplog, update=True) and term.text() == "second"
    assert "No newer submission" in term.collect(caplog, update=True)


@pytest.mark.parametrize("claim", [AT, EARLY, "2099-01-01 10:00:00 UTC", "no time"])
def test_a_decision_about_the_time_outlives_the_next_collecting(term, caplog, claim):
    (term.hand_in(f"{ME}+resnet+{AT}+a") / "timestamp.txt").write_text(claim)
    term.collect(caplog)
    table = term.course / "hand_in_times.csv"
    head, row = table.read_text().splitlines()
    assert head.endswith(",decided") and row.endswith(",")
    table.write_text(f"{head}\n{row}2026-10-31 12:00:00\n")
    term.collect(caplog, update=True)
    term.collect(caplog, before_duedate=True)
    assert table.read_text().splitlines() == [head, f"{row}2026-10-31 12:00:00"]


def test_without_nbgraders_file_the_time_tells_submissions_apart(term, caplog, monkeypatch):
    monkeypatch.setattr(exchange, "REST_SECONDS", 0)
    for time, text in ((AT, "first"), (LATE, "second")):
        (term.hand_in(f"{ME}+resnet+{time}+a", text) / SUBMISSION_SECRET).unlink()
        assert "submission: " in term.collect(caplog, update=True) and term.text() == text
        assert "No newer submission" in term.collect(caplog, update=True)


def test_what_is_being_handed_in_waits_and_the_one_before_it_is_collected(term, caplog):
    term.hand_in(f"{ME}+resnet+{EARLY}+a", "first")
    half = term.hand_in(f"{ME}+resnet+{LATE}+b", "sec")
    (half / SUBMISSION_SECRET).unlink()
    assert "it is being handed in just now" in term.collect(caplog)
    assert term.text() == "first"
    (half / "resnet.ipynb").write_text("second")
    (half / SUBMISSION_SECRET).write_text("0123")
    term.collect(caplog, update=True)
    assert term.text() == "second"


def test_one_that_broke_off_is_collected_when_it_has_rested(term, caplog, monkeypatch):
    (term.hand_in(f"{ME}+resnet+{EARLY}+a", "all there is") / SUBMISSION_SECRET).unlink()
    monkeypatch.setattr(exchange, "REST_SECONDS", 0)
    term.collect(caplog)
    assert term.text() == "all there is"


def test_a_submission_in_anothers_name_is_refused_and_said(term, caplog):
    term.hand_in(f"ada+resnet+{EARLY}+a")
    said = term.collect(caplog)
    assert f"it is said to be of ada and was put there by {ME}" in said
    assert not (term.course / "submitted").exists()


def test_links_and_special_files_are_left_out(term, caplog, tmp_path):
    (tmp_path / "course_secret").write_text("a secret")
    folder = term.hand_in(f"{ME}+resnet+{EARLY}+a", "mine")
    (folder / "data.txt").symlink_to(tmp_path / "course_secret")
    (folder / "all").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe.txt")
    (folder / "more").mkdir()
    (folder / "more" / "table.csv").write_text("1,2")
    said = term.collect(caplog)
    assert "links and special files were left out: all, data.txt, pipe.txt" in said
    got = term.course / "submitted" / ME / "resnet"
    assert sorted(path.relative_to(got).as_posix() for path in got.rglob("*") if path.is_file()) == [
        "more/table.csv",
        "resnet.ipynb",
        SUBMISSION_SECRET,
        "timestamp.txt",
    ]


@pytest.mark.parametrize(
    "name", ["{me}+resnet+", "{me}+resnet+never+x", "+resnet+" + EARLY + "+x", ".+resnet+" + EARLY + "+x"]
)
def test_a_name_that_says_nothing_ends_no_others_collection(term, caplog, name):
    (term.inbound / name.format(me=ME)).mkdir()
    term.hand_in(f"{ME}+resnet+{EARLY}+a", "right")
    assert "was not collected" in term.collect(caplog)
    assert term.text() == "right"


def test_a_file_or_a_link_in_place_of_a_submission_is_not_collected(term, caplog, tmp_path):
    (term.inbound / f"{ME}+resnet+{EARLY}+a").symlink_to(tmp_path)
    (term.inbound / f"{ME}+resnet+{LATE}+b").write_text("x")
    assert term.collect(caplog).count("it is no folder") == 2


def test_a_submission_that_cannot_be_copied_leaves_the_older_one_in_its_place(term, caplog):
    term.hand_in(f"{ME}+resnet+{EARLY}+a", "first")
    term.collect(caplog)
    term.hand_in(f"{ME}+resnet+{LATE}+b", "x" * 3000)
    config = term.config(update=True)
    config.CourseDirectory.max_dir_size = 2
    collect = Collect(coursedir=CourseDirectory(config=config), config=config, authenticator=None)
    collect.start()
    assert term.text() == "first"
    assert [each.name for each in (term.course / "submitted" / ME).iterdir()] == ["resnet"]


def test_what_is_of_another_assignment_is_left_alone(term, caplog):
    term.hand_in(f"{ME}+vgg+{EARLY}+a")
    assert "No submissions of 'resnet'" in term.collect(caplog)


def test_a_release_under_another_course_id_than_the_hubs_says_what_to_write(term, monkeypatch, tmp_path):
    config = term.config()
    release = ReleaseAssignment(coursedir=CourseDirectory(config=config), config=config, authenticator=None)
    monkeypatch.setenv(HUB_COURSE, "autumn")
    with pytest.raises(ExchangeError, match=r"write c.CourseDirectory.course_id = 'autumn'"):
        release.start()
    assert list((term.exchange / "vision" / "outbound").iterdir()) == []


class Fetched:
    """A course whose one student has feedback, and the student's side of the exchange."""

    def __init__(self, folder: Path) -> None:
        self.term, self.cache, self.home = Term(folder), folder / "cache", folder / "home"
        self.secret = "secret of the submission"
        page = self.term.course / "feedback" / ME / "resnet" / "resnet.html"
        page.parent.mkdir(parents=True)
        page.write_text("what you did well")
        (page.parent / SUBMISSION_SECRET).write_text(self.secret)
        (page.parent / "timestamp.txt").write_text(EARLY)
        self.home.mkdir()

    def hand_in(self, *names: str) -> None:
        """What the course collected, and what `nbgrader submit` keeps at the student's."""
        kept = self.cache / "vision" / f"{ME}+resnet+{EARLY}"
        for folder in (self.term.course / "submitted" / ME / "resnet", kept):
            folder.mkdir(parents=True)
            (folder / SUBMISSION_SECRET).write_text(self.secret)
            for name in names:
                (folder / name).write_text("{}")

    def pages(self, caplog: pytest.LogCaptureFixture) -> list[str]:
        """Releases the feedback, and fetches it with nbgrader's own command; the names of what was fetched."""
        config = self.term.config()
        log = logging.getLogger("release")
        with caplog.at_level(logging.INFO, logger="release"):
            release = ReleaseFeedback(coursedir=CourseDirectory(config=config), config=config)
            release.log = log
            release.start()
        config.Exchange.cache = str(self.cache)
        config.Exchange.assignment_dir = str(self.home)
        ExchangeFetchFeedback(coursedir=CourseDirectory(config=config), config=config).start()
        found = sorted(self.home.rglob("*.html"))
        assert all(page.read_text() == "what you did well" for page in found)
        return [page.name for page in found]


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nbgrader leaves the timestamp open
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize(
    ("names", "fetched"),
    [
        (["resnet.ipynb"], ["resnet.html"]),
        (["My ResNet (1).ipynb"], ["My ResNet (1).html"]),
        (["resnet.ipynb", "notes.ipynb"], ["resnet.html"]),
        (["one.ipynb", "other.ipynb"], ["one.html", "other.html"]),
        (["all.zip"], []),
    ],
)
def test_feedback_is_fetched_whatever_the_notebook_was_called(tmp_path, caplog, names, fetched):
    term = Fetched(tmp_path)
    term.hand_in(*names)
    assert term.pages(caplog) == fetched
    assert ("give the page in another way" in caplog.text) == (not fetched)
    released = list((term.term.exchange / "vision" / "feedback").iterdir())
    assert all(page.suffix == ".html" and "-tmp" not in page.name for page in released)
