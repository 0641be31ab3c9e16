"""Make the mistake: each switch of each chapter shows in the page what Python computes of the checks' own block."""

from __future__ import annotations

from typing import Any

import pytest
import traitlets
from test_explorer_browser import drive, result
from test_explorer_figures import made_up_mistakes

from casestudies.checking import parts
from casestudies.explorers import MakeTheMistake
from casestudies.explorers.make_the_mistake import MEASURES, curve_of
from casestudies.mistakes import RIGHT, bench, chapters


def settings_of(chapter: str) -> list[dict[str, Any]]:
    return [{"mistake": one, "measure": by} for one in (RIGHT, *bench(chapter).mistakes) for by in MEASURES]


@pytest.mark.browser
@pytest.mark.parametrize("chapter", chapters())
def test_page_says_and_tabulates_what_python_does_for_each_switch(open_page, chapter):
    explorer, settings = MakeTheMistake(chapter), settings_of(chapter)
    for setting, (said, table) in zip(settings, drive(open_page(explorer), settings), strict=True):
        here = MakeTheMistake(chapter, **setting)
        assert said == here.sentence()
        assert [tuple(row) for row in table] == here.rows()


@pytest.mark.browser
@pytest.mark.parametrize("chapter", chapters())
def test_page_draws_the_wrong_block_and_links_where_the_checks_link(open_page, chapter):
    page = open_page(MakeTheMistake(chapter), width=1500)
    for mistake in bench(chapter).mistakes:
        [known] = [one for one in parts.find(bench(chapter).part).mistakes if one.id == mistake][:1]
        drive(page, [{"mistake": mistake}])
        page.wait_for_function("id => document.querySelector('.x-why code')?.textContent === id", arg=mistake)
        assert page.locator(".x-why a").get_attribute("href") == known.see
        one = MakeTheMistake(chapter, mistake=mistake).shown()
        sides = (
            {"right": one["expected"]} if one["figures"]["error"] else {"with the mistake": one["drawing"]}
        )
        shown = page.locator(".x-side")
        words = shown.evaluate_all(
            "all => all.map(one => [one.querySelector('.x-name').textContent, one.querySelector('svg').outerHTML])"
        )
        for caption, name in sides.items():
            drawing = MakeTheMistake(chapter).drawings[name]
            [found] = [svg for said, svg in words if said == caption]
            assert texts(found) == texts(drawing)


def texts(svg: str) -> list[str]:
    return [piece.split("<")[0] for piece in svg.split("<text")[1:] for piece in [piece.split(">", 1)[1]]]


@pytest.mark.browser
def test_arrow_keys_go_from_mistake_to_mistake(open_page):
    page = open_page(MakeTheMistake("resnet"))
    page.locator(f'[data-key="mistake"][value="{RIGHT}"]').focus()
    page.keyboard.press("ArrowRight")
    first = bench("resnet").mistakes[0]
    assert result(page) == MakeTheMistake("resnet", mistake=first).sentence()


@pytest.mark.browser
def test_finger_makes_a_mistake_on_a_telephone(open_page):
    page = open_page(MakeTheMistake("resnet"), width=390, has_touch=True)
    page.locator('[data-key="mistake"][value="skip_forgotten"]').tap()
    assert result(page) == MakeTheMistake("resnet", mistake="skip_forgotten").sentence()
    page.wait_for_function("document.querySelectorAll('.x-side').length === 1")  # no room for two
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_wide_page_has_the_right_block_beside_the_wrong_one(open_page):
    page = open_page(MakeTheMistake("resnet", mistake="relu_before_addition"), width=1200)
    page.wait_for_function("document.querySelectorAll('.x-side').length === 2")
    tops = page.locator(".x-side").evaluate_all("all => all.map(one => one.getBoundingClientRect().top)")
    assert tops[0] == tops[1]


@pytest.mark.browser
def test_curves_and_drawings_have_text_alternatives(open_page):
    page = open_page(MakeTheMistake("resnet", mistake="skip_forgotten"), width=1200)
    page.wait_for_function("document.querySelectorAll('.x-stage svg').length === 3")
    labels = page.locator(".x-stage svg").evaluate_all(
        "all => all.map(one => one.getAttribute('aria-label'))"
    )
    assert len(labels) == 3 and "go" in labels[0] and "by epoch" in labels[2]
    last = MakeTheMistake("resnet").curves["skip_forgotten"]["test_error"][-1][0]
    assert (
        f"mistake, {100 * MakeTheMistake('resnet').curves['skip_forgotten']['test_error'][0][0]:.1f}"
        in labels[2]
    )
    assert last < 0.5


def test_sentence_says_where_the_seeds_make_as_much_difference():
    runs = made_up_mistakes("resnet")
    within, beyond = bench("resnet").mistakes[0], bench("resnet").mistakes[4]
    assert "seeds alone" in MakeTheMistake("resnet", runs, mistake=within).sentence()
    assert "seeds alone" not in MakeTheMistake("resnet", runs, mistake=beyond).sentence()


def test_curve_leaves_out_runs_that_stopped_and_says_why():
    runs = made_up_mistakes("vgg")[-2:]
    curve = curve_of(runs)
    assert (curve["runs"], curve["stopped"]) == (2, 1) and "no longer finite" in curve["why"]
    assert curve["test_error"][0][0] == pytest.approx(runs[0].history.test_error[0], abs=1e-6)


# (what is asked, the error, its text)
REFUSED = [
    (lambda: MakeTheMistake("after"), ValueError, "chapter is 'after'; expected one of lenet"),
    (lambda: MakeTheMistake("resnet", []), ValueError, "runs has none of resnet .*casestudies experiment"),
    (
        lambda: MakeTheMistake("resnet", made_up_mistakes("resnet"), mistake="relu"),
        traitlets.TraitError,
        "mistake is 'relu'; expected one of none, relu_before_addition",
    ),
]


@pytest.mark.parametrize("make, error, text", REFUSED)
def test_what_cannot_be_is_refused(make, error, text):
    with pytest.raises(error, match=text):
        make()


# How many lines a name takes, and whether it stands within its explorer.
NAMES = """(all) => all.map((name) => {
  const range = document.createRange(), edge = name.closest(".x-stage").getBoundingClientRect();
  range.selectNodeContents(name);
  const boxes = [...range.getClientRects()];
  return [new Set(boxes.map((box) => box.top)).size,
    Math.max(...boxes.map((box) => box.right)) - edge.right, edge.left - Math.min(...boxes.map((box) => box.left))];
})"""


@pytest.mark.browser
@pytest.mark.parametrize("chapter", chapters())
@pytest.mark.parametrize("width", [304, 320, 390])
def test_name_of_a_drawing_stands_in_one_line_above_it_on_a_telephone(open_page, chapter, width):
    wrong = [
        one for one in bench(chapter).mistakes if MakeTheMistake(chapter, mistake=one).shown()["drawing"]
    ]
    page = open_page(MakeTheMistake(chapter, made_up_mistakes(chapter), mistake=wrong[0]), width=width)
    page.wait_for_function("document.querySelector('.x-name')")
    for lines, right, left in page.locator(".x-name").evaluate_all(NAMES):
        assert (lines, right <= 0, left <= 0) == (1, True, True)
