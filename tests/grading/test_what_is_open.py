"""What a human has yet to decide is said beside every score, and is no zero among the others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from casestudies.grading.reports import Entry, canvas_csv, class_html, grades_csv, moodle_csv
from casestudies.grading.verdicts import Verdict
from casestudies.grading.watch import Outcome, watch


def entry(
    student: str,
    score: float = 17.0,
    *,
    waiting: bool = False,
    unclear: str = "",
    undecided: tuple[str, ...] = (),
    unread: tuple[str, ...] = (),
) -> Entry:
    return Entry(
        student,
        "",
        "",
        "",
        score,
        0.0,
        20.0,
        waiting,
        [],
        [],
        "sandbox",
        score,
        unclear,
        0.0,
        list(undecided),
        unread=list(unread),
    )


OPEN = {
    "something waits for a grade by hand": entry("ada", waiting=True, unread=("why",)),
    "to look at again: graded anew since points or comments were given by hand": entry("ada", waiting=True),
    "not sure when it was handed in": entry("ada", unclear="timestamp.txt says so"),
    "NOT GRADED YET, for a human: check_a": entry("ada", waiting=True, undecided=("check_a",)),
}


@pytest.mark.parametrize("mark", OPEN)
def test_every_table_says_what_is_open(mark: str) -> None:
    found = [OPEN[mark], entry("zoe")]
    assert [each.mark for each in found] == [mark, ""]
    tables = (grades_csv(found), canvas_csv(found, "resnet"), moodle_csv(found, "resnet"))
    for table in tables:
        assert [mark in line for line in table.splitlines() if "ada" in line or "zoe" in line] == [
            True,
            False,
        ]
    assert mark in class_html(found, "resnet")


def rows_of(page: str, caption: str) -> list[list[str]]:
    found = re.search(rf"<caption>{caption}</caption>.*?<tbody>(.*?)</tbody>", page)
    rows = re.findall(r"<tr>(.*?)</tr>", found[1]) if found else []
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]


def test_what_a_human_has_decided_is_no_longer_for_a_human() -> None:
    found = entry("ada")
    found.verdicts = [
        Verdict("check_a", 4.0, "crashed", 0.0, message="a"),
        Verdict("check_b", 4.0, "timed out", 0.0, message="b"),
    ]
    for decided in ([], ["check_a"], ["check_a", "check_b"]):
        found.decided = decided
        left = [row[1] for row in rows_of(class_html([found], "resnet"), "For a human")]
        assert left == [each for each in ("check_a", "check_b") if each not in decided]


def test_why_somebody_waits_for_a_grade_by_hand() -> None:
    unread = entry("ada", waiting=True)
    unread.unread = ["why", "how"]
    again = entry("ben", waiting=True)
    open_ = entry("eve", waiting=True, undecided=("check_a",))
    open_.verdicts = [Verdict("check_a", 4.0, "ungradable", None, message="no notebook")]
    assert rows_of(class_html([unread, again, open_], "resnet"), "For a human") == [
        ["eve", "check_a", "ungradable", "no notebook"],
        ["ada", "why, how", "to grade by hand", "a written answer"],
        ["ben", "", "to grade by hand", "look again: it was graded anew since you gave points"],
    ]


def test_what_is_open_is_not_called_unprotected() -> None:
    assert [each.unprotected for each in OPEN.values()] == [""] * len(OPEN)


def test_open_scores_are_no_zeros_of_the_class() -> None:
    left = entry("eve", 0.0, waiting=True, undecided=("check_a",))
    found = [entry("ada", 10.0), entry("zoe", 12.0)]
    assert "Median 11 of 20" in class_html(found, "resnet")
    page = class_html([*found, left], "resnet")
    assert "Median 11 of 20" in page
    assert "The scores of 1 are not among these" in page
    assert "are not among these" not in class_html(found, "resnet")


def test_watch_tells_of_a_file_in_the_wrong_place_once(tmp_path: Path) -> None:
    class Course:
        def __init__(self) -> None:
            self.looks = 0

        def assignment(self, name: str) -> None:
            pass

        def step(self, name: str) -> Path:
            return tmp_path

        def students(self, name: str) -> list[str]:
            return []

        def strays(self, name: str) -> dict[str, str]:
            self.looks += 1
            brief = {"zoe": "it is on its way"} if self.looks == 2 else {}
            return {"ada": "'resnet.ipynb' lies beside the folder"} | brief

        def loose(self, name: str) -> dict[str, str]:
            return {}

    said: list[str] = []
    course = Course()

    def sleep(seconds: float) -> None:
        if course.looks == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watch(course, "resnet", lambda students: Outcome(), said.append, sleep=sleep)  # type: ignore[arg-type]
    assert [line for line in said if "was not graded" in line] == [
        "'ada' was not graded: 'resnet.ipynb' lies beside the folder"
    ]
