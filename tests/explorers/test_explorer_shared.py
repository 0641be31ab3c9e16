"""What the explorers of a page have alike is in it once, and each of them gets it whole."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from coursebook import said_once
from explorer_page import static_page
from icons import SCRIPT, THEME, subset
from ipywidgets import Widget

from casestudies.explorers import ConvolutionCost, Questions, ReceptiveField

pytestmark = pytest.mark.browser

STATE = re.compile(r'(<script type="application/vnd.jupyter.widget-state\+json">)(.*?)(</script>)', re.DOTALL)
SEVERAL = (ConvolutionCost, lambda: Questions("lenet"), ReceptiveField, lambda: Questions("vgg"))


def state_of(page: str) -> str:
    return STATE.search(page)[2]


def test_nothing_is_lost_and_the_rest_is_small() -> None:
    before = state_of(static_page(*(make() for make in SEVERAL)))
    after = said_once(before)
    told, meant = json.loads(after), json.loads(before)
    for name, record in meant["state"].items():
        for key in ("_esm", "_css"):
            if key in record["state"]:
                whole = told["shared"][key] + told["state"][name]["state"].pop(key)
                assert whole == record["state"].pop(key)
    assert told["state"] == meant["state"]
    assert len(gzip.compress(after.encode())) < len(gzip.compress(before.encode())) - 20_000
    assert "</" not in after  # it stands in a script


def test_state_without_explorers_stays() -> None:
    state = {"state": {"one": {"model_name": "LayoutModel", "state": {}}}, "version_major": 2}
    assert json.loads(said_once(json.dumps(state))).items() >= state.items()


@pytest.mark.parametrize("makes", [SEVERAL, SEVERAL[:1]])
def test_explorers_run_from_what_is_said_once(browser: Any, tmp_path: Path, makes: Any) -> None:
    Widget.close_all()  # a page's state would hold all that other tests have made
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    whole = static_page(*(make() for make in makes))
    held = STATE.sub(lambda found: found[1] + said_once(found[2]) + found[3], whole)
    (tmp_path / "page.html").write_text(held, "utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer").nth(len(makes) - 1).wait_for()
    titles = [make().title for make in makes]
    assert page.locator(".x-title").all_inner_texts() == titles
    assert page.locator("style[data-explorer]").count() == 1
    assert page.locator("style[data-explorer]").text_content() == makes[0]()._css
    page.close()
    assert wrong == []


def test_icons_are_shown_and_what_explorers_add_is_not_searched_for_them(browser: Any) -> None:
    """Font Awesome took a quarter of a second for the rows of a long table."""
    [script] = THEME.glob(SCRIPT)
    icon, page = "<i class='fab fa-github'></i>", browser.new_page()
    page.set_content(f"<script>{subset(script.read_text('utf-8'), {'github'})}</script>{icon}")
    page.locator("svg.fa-github").wait_for()
    page.evaluate("(icon) => document.body.insertAdjacentHTML('beforeend', icon)", icon)
    page.wait_for_timeout(100)
    assert (page.locator("svg").count(), page.locator("i").count()) == (1, 1)
    page.close()
