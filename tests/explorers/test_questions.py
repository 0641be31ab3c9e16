"""The questions: each distractor is computed and differs; progress stays in the reader's browser; cards for Anki."""

from __future__ import annotations

import ast
import csv
import html
import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import traitlets
import yaml
from explorer_page import LOADER, reload_with_what_is_stored, static_page
from test_explorer_browser import result

import casestudies.questions
from casestudies import cli, language
from casestudies.checking import parts
from casestudies.explorers import Progress, Questions
from casestudies.grading.demands import Draft
from casestudies.questions import (
    SOURCES,
    OfFormula,
    OfPart,
    cards,
    chapters,
    questions,
    sentence,
    written,
)

BOOK = LOADER.parents[1]
ALL = questions()
LEARNT = [
    "lenet",
    "alexnet",
    "vgg",
    "resnet",
    "identity",
    "nin",
    "inception",
    "mobilenet",
    "mobilenet_v2",
    "efficientnet",
]


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
def test_every_choice_differs_from_every_other(one):
    texts = [choice.text for choice in one.choices]
    assert len(set(texts)) == len(texts) == 4


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
def test_one_choice_is_right_and_every_other_explains_its_mistake(one):
    assert [bool(choice.mistake) for choice in one.choices].count(False) == 1
    for choice in one.choices:
        assert bool(choice.mistake) == bool(choice.why)
        assert not choice.mistake or choice.why.endswith((".", ")")) and len(choice.why.split()) > 3


@pytest.mark.parametrize("source", SOURCES, ids=lambda one: f"{one.chapter}/{one.name}")
def test_choices_are_what_the_right_formula_and_the_wrong_ones_compute(source):
    made = source.make()
    computed = {choice.mistake: choice.text for choice in made.choices}
    if isinstance(source, OfPart):
        part = parts.find(source.part)
        wrong = {one.id: one for one in part.mistakes}
        assert computed.pop("") == written(part.reference.function(**source.arguments))
        assert computed == {id: written(wrong[id].wrong(**source.arguments)) for id in source.mistakes}
        assert all(
            choice.why in ("", wrong.get(choice.mistake) and wrong[choice.mistake].text)
            for choice in made.choices
        )
    else:
        assert isinstance(source, OfFormula)
        assert computed.pop("") == written(source.right())
        assert computed == {id: written(compute()) for id, compute, _ in source.wrong}


def test_no_choice_is_typed_in():
    """Each is a formula, or what a function of the checks returns; a bare number or a text is neither."""
    tree = ast.parse(Path(casestudies.questions.__file__).read_text("utf-8"))
    computed = [node.body for node in ast.walk(tree) if isinstance(node, ast.Lambda)]
    typed = [body.lineno for body in computed if isinstance(body, (ast.Constant, ast.UnaryOp))]
    assert len(computed) > 50 and typed == []


@pytest.mark.parametrize("name", chapters())
def test_chapter_has_three_to_five_questions(name):
    assert 3 <= len(questions(name)) <= 5


def test_every_numbered_chapter_has_questions_and_shows_them():
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    numbered = [
        one["file"] for part in toc["parts"] if part.get("numbered", True) for one in part["chapters"]
    ]
    assert set(LEARNT) < set(numbered)
    small = {
        name for name in parts.assignments() if Draft(BOOK.parent, name).small
    }  # nothing more is demanded of it
    assert set(chapters()) - small == set(numbered) - small
    for name in chapters():
        assert f'Questions("{name}")' in (BOOK / f"{name}.md").read_text("utf-8")


def test_right_answer_is_not_always_in_the_same_place():
    places = Counter(one.right for one in ALL)
    assert len(places) == 4 and max(places.values()) < len(ALL) / 2


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.id)
def test_page_that_explains_exists(one):
    page, _, anchor = one.see.partition("#")
    text = (BOOK / page.replace(".html", ".md")).read_text("utf-8")
    titles = {
        re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") for title in re.findall(r"^#+ (.*)$", text, re.M)
    }
    assert not anchor or f"({anchor})=" in text or anchor in titles


# (what is asked, the error's text)
REFUSED = [
    (lambda: questions("resent"), "chapter is 'resent'; there are questions on lenet, alexnet"),
    (lambda: OfPart("a", "b", "?", "lenet/none", {}, ()).make(), "a/b: there is no part 'lenet/none'"),
    (
        lambda: OfPart("a", "b", "?", "lenet/conv_output_size", {"size": 3, "kernel": 1}, ("x",)).make(),
        "has no mistake 'x'; it has floor_forgotten",
    ),
    (lambda: sentence("lenet/conv_output_size:x"), "lenet/conv_output_size has no mistake 'x'"),
]


@pytest.mark.parametrize("make, text", REFUSED)
def test_question_that_cannot_be_made_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize(
    "chosen, text",
    [
        ({"depht": "right"}, "names 'depht'; the questions are block_output"),
        ({"depth": "left"}, "says 'left' for depth"),
    ],
)
def test_choice_that_is_not_offered_is_refused(chosen, text):
    with pytest.raises(traitlets.TraitError, match=text):
        Questions("resnet", chosen=chosen)


# Cards


def read_cards(text: str) -> tuple[list[str], list[list[str]]]:
    head = [line for line in text.splitlines() if line.startswith("#")]
    body = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return head, list(csv.reader(io.StringIO(body), delimiter="\t", quoting=csv.QUOTE_NONE))


def test_cards_are_four_columns_that_anki_is_told_of():
    head, rows = read_cards(cards())
    assert {"#separator:tab", "#html:true", "#guid column:1", "#tags column:4"} <= set(head)
    assert len(rows) == len(ALL) and all(len(row) == 4 for row in rows)
    assert len({row[0] for row in rows}) == len(rows)


THERE = (
    r"\b(the same|that|those|these|this) (\d\S* )?(block|convolution|layer|module|network|pool|stage|step)"
)


@pytest.mark.parametrize("one", ALL, ids=[one.id for one in ALL])
def test_question_can_be_answered_on_a_card_by_itself(one):
    assert re.search(THERE, one.stem, re.IGNORECASE) is None


@pytest.mark.browser
def test_lists_of_a_card_stand_at_its_left_as_anki_shows_it(browser):
    [row] = [row for row in read_cards(cards(["lenet"]))[1] if row[0].endswith("c3_parameters")]
    page = browser.new_page()  # the style of Anki's note type "Basic"
    page.set_content(f"<body style='text-align: center'>{row[1]}<hr>{row[2]}")
    lefts = page.evaluate("""() => [...document.querySelectorAll("li")].map((item) => {
      const range = document.createRange();
      range.selectNodeContents(item);
      return range.getBoundingClientRect().left - item.getBoundingClientRect().left;
    })""")
    assert len(lefts) == 7 and max(lefts) < 1
    page.close()


def test_card_has_the_question_in_front_and_the_answer_behind():
    [row] = [row for row in read_cards(cards(["resnet"]))[1] if row[0].endswith("resnet/depth")]
    one = next(one for one in questions("resnet") if one.name == "depth")
    right = one.choices[one.right].text
    front, back = html.unescape(row[1]), html.unescape(row[2])
    assert one.stem in front and f"{'ABCD'[one.right]}: {right}" in back
    assert row[3] == "case-studies::resnet"


def test_words_of_a_program_are_code_on_a_card():
    [row] = [row for row in read_cards(cards(["alexnet"]))[1] if row[0].endswith("alexnet/conv2_macs")]
    assert "<code>groups</code>" in row[2] and "`" not in cards()


def test_command_writes_the_cards(tmp_path, capsys):
    file = tmp_path / "cards.txt"
    assert cli.main(["cards", "lenet", "vgg", "--out", str(file)]) == 0
    assert file.read_text("utf-8") == cards(["lenet", "vgg"])
    assert f"{len(questions('lenet')) + len(questions('vgg'))} cards in" in capsys.readouterr().out


def test_command_refuses_an_unknown_chapter(capsys):
    assert cli.main(["cards", "resent"]) == 2
    assert "chapter is 'resent'" in capsys.readouterr().err


# In the page


@pytest.mark.browser
@pytest.mark.parametrize("chapter", chapters())
def test_page_explains_each_mistake_when_it_is_chosen(open_page, chapter):
    page = open_page(Questions(chapter))
    for one in questions(chapter):
        for choice in one.choices:
            page.locator(f'[data-key="{one.name}"][value="{choice.mistake or "right"}"]').check()
            shown = page.locator(".x-question", has=page.locator(f'[data-key="{one.name}"]')).locator(
                ".x-why"
            )
            plain, *code = choice.why.replace("`", ""), *choice.why.split("`")[1::2]
            assert shown.inner_text() == (
                f"Not this one. {plain} Read it again" if choice.mistake else "Right."
            )
            assert shown.locator("code").all_inner_texts() == (code if choice.mistake else [])


@pytest.fixture
def context(browser: Any) -> Any:
    context = browser.new_context()
    yield context
    context.close()


def opened(context: Any, file: Any, *explorers: Any) -> Any:
    file.write_text(static_page(*explorers), "utf-8")
    page = context.new_page()
    page.goto(file.as_uri())
    page.locator(".explorer").nth(len(explorers) - 1).wait_for()
    return page


STORED = "() => JSON.parse(localStorage.getItem('casestudies.questions'))"


@pytest.mark.browser
def test_answers_are_kept_shown_and_forgotten(context, tmp_path):
    total = len(ALL)
    page = opened(context, tmp_path / "one.html", Questions("resnet"))
    page.locator('[data-key="depth"][value="one_layer_a_block"]').check()
    page.locator('[data-key="depth"][value="right"]').check()
    page.locator('[data-key="block_output"][value="right"]').check()
    assert page.evaluate(STORED) == {
        "resnet/depth": {"first": "one_layer_a_block", "now": "right"},
        "resnet/block_output": {"first": "right", "now": "right"},
    }
    reload_with_what_is_stored(page)
    assert result(page) == Questions("resnet", chosen={"depth": "right", "block_output": "right"}).sentence()

    overview = opened(context, tmp_path / "two.html", Progress(), Questions("resnet"))
    assert (
        overview.locator(".x-result").first.inner_text()
        == f"2 of {total} questions answered, 1 of them correctly on the first try."
    )
    row = overview.locator("tbody tr", has_text="resnet").locator("td").all_inner_texts()
    assert row == ["4", "2", "1", "2"]
    overview.get_by_role("button", name="forget all my answers").click()
    assert overview.evaluate(STORED) is None
    assert overview.locator(".x-result").all_inner_texts() == [
        Progress().sentence(),
        Questions("resnet").sentence(),
    ]


@pytest.mark.browser
def test_starting_again_forgets_one_chapter_only(context, tmp_path):
    page = opened(context, tmp_path / "one.html", Questions("resnet"), Questions("vgg"))
    page.locator('[data-key="depth"][value="right"]').check()
    page.locator('[data-key="stack"][value="right"]').check()
    page.get_by_role("button", name="start again").first.click()
    assert list(page.evaluate(STORED)) == ["vgg/stack"]
    assert page.locator(".x-result").all_inner_texts() == [
        Questions("resnet").sentence(), Questions("vgg", chosen={"stack": "right"}).sentence(),
    ]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize(
    "broken",
    [
        "not json",
        "[]",
        "7",
        '{"resnet/depth": {"first": "no such mistake", "now": "no such mistake"}}',
        '{"resnet/depth": "right"}',
        '{"resnet/depth": {"first": {}, "now": ["right"]}}',
        '{"__proto__": {"first": "right", "now": "right"}, "toString": 5, "resnet/depth": null}',
    ],
)
def test_what_a_browser_kept_may_be_anything(context, tmp_path, broken):
    page = opened(context, tmp_path / "one.html", Questions("resnet"), Progress())
    page.evaluate("(text) => localStorage.setItem('casestudies.questions', text)", broken)
    reload_with_what_is_stored(page)
    page.locator(".explorer").nth(1).wait_for()
    both = page.locator(".x-result")
    assert both.all_inner_texts() == [Questions("resnet").sentence(), Progress().sentence()]
    page.locator('[data-key="depth"][value="right"]').check()
    count = sum(Progress().figures().values())
    assert both.all_inner_texts() == [
        Questions("resnet", chosen={"depth": "right"}).sentence(),
        f"1 of {count} questions answered, 1 of them correctly on the first try.",
    ]


REFUSALS = {
    "forbidden": "Object.defineProperty(window, 'localStorage',"
    " { get() { throw new DOMException('no', 'SecurityError'); } })",
    "full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); }",
}


@pytest.mark.browser
@pytest.mark.parametrize("refusal", REFUSALS)
def test_where_nothing_can_be_stored_the_answers_stay_until_the_page_goes(context, tmp_path, refusal):
    context.add_init_script(REFUSALS[refusal])
    page = opened(context, tmp_path / "one.html", Questions("resnet"), Questions("vgg"), Progress())
    page.locator('[data-key="depth"][value="right"]').check()
    hints = page.locator(".x-hint").all_inner_texts()
    assert all("This browser stores nothing" in hint for hint in hints), hints
    page.locator('[data-key="stack"][value="right"]').check()
    page.locator('[data-key="block_output"][value="right"]').check()
    both = Questions("resnet", chosen={"depth": "right", "block_output": "right"})
    assert page.locator(".x-result").first.inner_text() == both.sentence()
    page.get_by_role("button", name="start again").first.click()
    assert page.locator(".x-result").all_inner_texts() == [
        Questions("resnet").sentence(),
        Questions("vgg", chosen={"stack": "right"}).sentence(),
        Progress().sentence(),
    ]


def test_text_without_javascript_has_questions_choices_and_answers():
    text = repr(Questions("resnet"))
    assert all(
        one.stem in text and all(choice.text in text for choice in one.choices) for one in questions("resnet")
    )
    assert re.search(r"Answers: 1 [a-d], 2 [a-d], 3 [a-d], 4 [a-d]\.$", text)


def test_cards_are_in_the_language_that_is_in_use():
    """Each question, each choice with words and each reason: the ids and the deck are those of the English cards."""
    english_head, english = read_cards(cards())
    with language.speaking("ko"):
        head, rows = read_cards(cards())
    assert head == english_head and [(row[0], row[3]) for row in rows] == [
        (row[0], row[3]) for row in english
    ]
    for row in rows:
        assert re.search("[가-힣]", row[1]) and re.search("[가-힣]", row[2]), row[0]
        for side in (1, 2):
            said = re.split("<[^>]*>", re.sub("<code>.*?</code>", "", row[side]))
            left = [text for text in said if re.search(r"[a-z]{3,} [a-z]{2,} [a-z]{2,}", text)]
            assert not left, f"{row[0]}: {left}"
