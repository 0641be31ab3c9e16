"""Comments that are used again: what their file says, what is wrong with it, what the formgrader does with them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from casestudies.grading.comments import RESOLVE, Comment, CommentError, offer, parse_comments, read_comments

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
FILE = """\
id;assignment;cell;points;text
# a line for ourselves
easier;resnet;why;1,5;Say why it is *easier* </script><b>now</b>.
units;*;;;A number needs a unit.
vgg only;vgg;;2;Not here.
"""


def test_a_line_is_a_comment_with_or_without_points():
    assert parse_comments(FILE) == [
        Comment("easier", "Say why it is *easier* </script><b>now</b>.", "resnet", "why", 1.5),
        Comment("units", "A number needs a unit.", "*"),
        Comment("vgg only", "Not here.", "vgg", "", 2),
    ]


def test_no_file_is_no_comment(tmp_path):
    assert read_comments(tmp_path / "comments.csv") == [] and offer(tmp_path, "resnet") == ""


ABC = "id,assignment,cell,points,text\na,,,,{}\nb,,,1,Good.\nc,,,,Say why.\n"


@pytest.mark.parametrize(
    "stray",
    [
        ABC.format('"Say why.'),  # never closed
        ABC.format('"Say why.').replace(
            "Good.", 'Good."'
        ),  # closed in another line: still CSV, and b is gone
        ABC.format('"Say why.').replace("Good.", 'Good, "or" not.'),
        ABC.format('"Say "why" here."'),
        ABC.format("Say why.").replace("\na,", '\n"a,').replace("Good.", 'Good."'),
        ABC.format("Say why.").replace("\na,", '\n"a,').replace("\nb,", '\nb",'),
    ],
)
def test_a_stray_quotation_mark_is_named_with_its_line_and_swallows_nothing(stray: str) -> None:
    with pytest.raises(CommentError) as caught:
        parse_comments(stray)
    (sentence,) = str(caught.value).splitlines()
    assert sentence.startswith("comments.csv, line 2: ") and "quotation mark" in sentence
    assert sentence.endswith("nothing was changed")


@pytest.mark.parametrize(
    "text",
    ['Say "why" here.', 'It is 3" wide.', "One line,\nand another, and so on, and on, and on.", "a\n\nb,c"],
)
def test_quotation_marks_and_line_breaks_of_a_comment_stay(text: str) -> None:
    written = text if "\n" not in text else f'"{text}"'
    found = parse_comments(ABC.format(written))
    assert [each.id for each in found] == ["a", "b", "c"] and found[0].text == text


def test_a_fault_below_a_comment_of_two_lines_is_named_by_the_line_where_it_begins() -> None:
    with pytest.raises(CommentError, match="line 4, column text"):
        parse_comments('id,text\na,"One.\nTwo."\nb,\n')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,points\na,1", "line 1: the columns are 'id', 'points'; expected id and text"),
        ("id,text\na,b\na,c", "line 3, column id: 'a'; expected a name that no other line has"),
        ("id,text\n,b", "line 2, column id: ''; expected a name"),
        ("id,text\na,", "line 2, column text: ''; expected what the student is to read"),
        ("id,points,text\na,many,b", "line 2, column points: 'many'; expected a number from 0 to 1000"),
        ("id,points,text\na,-1,b", "line 2, column points: '-1'"),
        ("id,points,text\na,nan,b", "line 2, column points: 'nan'"),
        ("id,text\na,b,c", "line 2: 3 values; expected 2: id, text"),
        ("id,word\na,b", "the column 'word' is not known"),
        ("", "comments.csv is empty; expected a first line id,assignment,cell,points,text"),
    ],
)
def test_a_bad_file_is_refused_by_line_and_column(text, said):
    with pytest.raises(CommentError) as raised:
        parse_comments(text)
    assert said in str(raised.value)


def test_the_formgrader_says_at_its_top_what_is_wrong_with_the_file(tmp_path):
    (tmp_path / "comments.csv").write_text("id,text\n<i>,")
    shown = offer(tmp_path, "resnet")
    assert 'role="alert"' in shown and "line 2, column text" in shown and "<i>" not in shown


def test_comments_of_another_assignment_are_not_offered(tmp_path):
    (tmp_path / "comments.csv").write_text(FILE)
    assert "vgg only" not in offer(tmp_path, "resnet") and "easier" not in offer(tmp_path, "vgg")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Any:
    """A page with the fields of the formgrader, which collects what it would save."""
    if CHROMIUM is None:
        pytest.skip("Chromium is missing")
    from playwright.sync_api import sync_playwright

    folder: Path = tmp_path_factory.mktemp("comments")
    (folder / "comments.csv").write_text(FILE)
    fields = "".join(
        f'<input class="score" id="{cell}" type="number"><textarea class="comment" id="{cell}-comment"></textarea>'
        for cell in ("why", "code")
    )
    saved = "saved = []; addEventListener('change', (e) => saved.push([e.target.id, e.target.value]))"
    (folder / "page.html").write_text(
        f"<!DOCTYPE html><body>{offer(folder, 'resnet')}{fields}<script>{saved}</script></body>"
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto((folder / "page.html").as_uri())
        yield opened
        browser.close()


@pytest.mark.browser
def test_choosing_a_comment_inserts_it_and_suggests_its_points(page):
    page.select_option("select >> nth=0", "easier")
    first = "Say why it is *easier* </script><b>now</b>."
    assert page.input_value("#why-comment") == first and page.input_value("#why") == "1.5"
    page.fill("#why", "3")
    page.select_option("select >> nth=0", "easier")
    assert page.input_value("#why-comment") == f"{first}\n\n{first}"
    assert page.input_value("#why") == "3"  # the instructor's own
    assert ["why-comment", first] in page.evaluate("saved") and ["why", "1.5"] in page.evaluate("saved")


@pytest.mark.browser
def test_a_comment_of_one_answer_is_not_offered_at_another(page):
    assert page.locator("select >> nth=1").locator("option").count() == 2
    page.select_option("select >> nth=1", "units")
    assert page.input_value("#code-comment") == "A number needs a unit." and page.input_value("#code") == ""


@pytest.mark.browser
def test_no_comment_can_be_chosen_before_the_page_would_save_it(page):
    """nbgrader's script fetches grades and comments, and listens to the fields when both are there."""
    path = Path(page.url.removeprefix("file://"))
    fetching = "<script>var formgrader = { grades: { loaded: true }, comments: { loaded: false } }</script>"
    later = path.with_name("later.html")
    later.write_text(path.read_text().replace("<body>", f"<body>{fetching}", 1))
    page.goto(later.as_uri())
    assert page.locator("select:disabled").count() == page.locator("select").count() > 0
    page.evaluate("formgrader.comments.loaded = true")
    page.wait_for_function("document.querySelectorAll('select:disabled').length === 0")


@pytest.mark.browser
def test_the_button_that_removes_a_mark_is_there_where_points_by_hand_are_not(page):
    button = '<button class="mark-graded">Resolve</button>'
    scores = (
        '<input class="score needs_manual_grade" placeholder="4">',  # extra credit or a comment is older
        '<input class="score needs_manual_grade">',  # points are due
        '<input class="score" placeholder="4">',
    )
    cells = "".join(
        f'<div><span class="scoring-buttons">{button}</span> <span>{score}</span></div>' for score in scores
    )
    other = page.context.browser.new_page()
    other.set_content(f"<style>.mark-graded {{ display: none; }}</style>{RESOLVE}{cells}")
    assert [each.is_visible() for each in other.query_selector_all("button")] == [True, False, False]
    other.close()
