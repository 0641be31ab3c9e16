"""What the explorers of a page have alike is in it once, and each of them gets it whole."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import korean
import pytest
from coursebook import DATA, HEAVY, apart, early_script, said_once
from explorer_page import reload_with_what_is_stored, static_page
from icons import SCRIPT, THEME, subset
from ipywidgets import Widget

from casestudies.explorers import ConvolutionCost, Questions, ReceptiveField, ShapeTracer

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
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


WEIGHT = random.Random(0).randbytes(HEAVY).hex()  # heavy also when it is compressed


def heavy_page(folder: Path, *, lost: bool = False) -> tuple[str, dict[str, str]]:
    """A page with an explorer of heavy data far below the view, as the book has it, and its files of data."""
    explorer = ShapeTracer(["resnet18"])
    explorer.networks = {**explorer.networks, "weight": WEIGHT}
    page, files = static_page(ConvolutionCost(), explorer), {}

    def light(found: re.Match[str]) -> str:
        body, made = apart(said_once(found[2]))
        files.update(made)
        return found[1] + body + found[3]

    page = STATE.sub(light, page)
    texts = [f'<p class="explorer-fallback">Text {number}.</p>' for number in (1, 2)]
    first, second = (
        f'<div class="cell_output">{text}<script type="application/vnd.jupyter.widget-view' for text in texts
    )
    head, one, two = page.split('<div><script type="application/vnd.jupyter.widget-view')
    css = f"<style>{(ROOT / 'book' / '_static' / 'book.css').read_text('utf-8')}</style></head>"
    page = f'{head}{first}{one}<div style="height: 9000px"></div>{second}{two}'.replace("</head>", css)
    page = page.replace("<main>", '<main class="bd-article">')
    (folder / "page.html").write_text(page, "utf-8")
    (folder / DATA).mkdir(parents=True)
    put({} if lost else files, folder)
    return page, files


def test_heavy_data_lie_in_files_beside_the_page(tmp_path: Path) -> None:
    page, files = heavy_page(tmp_path)
    assert len(files) == 1 and WEIGHT in "".join(files.values())
    assert WEIGHT not in page and all(name in page for name in files)


def test_light_state_stays_in_the_page() -> None:
    state = said_once(state_of(static_page(ConvolutionCost())))
    body, files = apart(state)
    assert (json.loads(body), files) == (json.loads(state), {})


def test_heavy_data_are_loaded_when_they_come_near_the_view(browser: Any, tmp_path: Path) -> None:
    heavy_page(tmp_path)
    page, asked = browser.new_page(viewport={"width": 800, "height": 600}), []
    page.on("request", lambda request: asked.append(request.url) if "/explorers/" in request.url else None)
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer").wait_for()
    page.wait_for_timeout(1500)  # others start by then, when there is nothing else to do
    assert (page.locator(".explorer").count(), asked) == (1, [])
    texts = page.locator(".explorer-fallback")
    assert texts.nth(0).is_hidden() and texts.nth(1).is_visible()
    texts.nth(1).scroll_into_view_if_needed()
    page.locator(".explorer").nth(1).wait_for()
    assert texts.nth(1).is_hidden() and len(asked) == 1
    assert page.locator(".x-result").nth(1).inner_text() == ShapeTracer(["resnet18"]).sentence()
    page.close()


def test_paper_needs_no_view_to_come_near_to(browser: Any, tmp_path: Path) -> None:
    heavy_page(tmp_path)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer").wait_for()
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.locator(".explorer").nth(1).wait_for()
    page.close()


def test_text_stays_where_data_are_lost(browser: Any, tmp_path: Path) -> None:
    _, files = heavy_page(tmp_path, lost=True)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer").wait_for()
    page.locator(".explorer-fallback").nth(1).scroll_into_view_if_needed()
    page.get_by_text("This explorer could not start").wait_for()
    assert f"{next(iter(files))}.js" in page.locator(".explorer-place").nth(1).inner_text()
    assert page.locator(".explorer-fallback").nth(1).is_visible()
    page.close()


def put(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / DATA / f"{name}.js").write_text(text, "utf-8")


@pytest.mark.parametrize("how", ["Enter", "click", "online"])
def test_data_that_did_not_come_are_asked_for_again(browser: Any, tmp_path: Path, how: str) -> None:
    _, files = heavy_page(tmp_path, lost=True)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer-fallback").nth(1).scroll_into_view_if_needed()
    button, place = page.get_by_role("button", name="Try again"), page.locator(".explorer-place").nth(1)
    button.wait_for()
    button.focus()
    page.keyboard.press("Enter")  # and they are missing still
    page.wait_for_function("document.activeElement.textContent === 'Try again'")
    assert button.count() == 1 and "could not start" in place.inner_text()
    put(files, tmp_path)
    if how == "online":  # back from where there was no network; nobody presses anything
        page.evaluate("document.activeElement.blur()")
        page.context.set_offline(True)
        page.context.set_offline(False)
    elif how == "click":
        button.click()
    else:
        page.keyboard.press("Enter")
    page.locator(".explorer").nth(1).wait_for()
    assert page.locator(".x-result").nth(1).inner_text() == ShapeTracer(["resnet18"]).sentence()
    assert button.count() == 0 and page.locator(".explorer-fallback").nth(1).is_hidden()
    # The focus, which the button had, goes to what it brought.
    assert place.evaluate("one => one === document.activeElement") is (how != "online")
    page.close()


def test_reader_hears_that_slow_data_are_asked_for_again(browser: Any, tmp_path: Path) -> None:
    heavy_page(tmp_path)
    page, asked = browser.new_page(viewport={"width": 800, "height": 600}), []

    def answer(route: Any) -> None:
        file = tmp_path / urlsplit(route.request.url).path.lstrip("/")
        if DATA not in route.request.url:
            return route.fulfill(path=file) if file.is_file() else route.abort()
        asked.append(lambda: route.fulfill(path=file))  # not yet
        return route.abort() if len(asked) == 1 else None

    page.route("http://course.example/**", answer)
    page.goto("http://course.example/page.html")
    page.locator(".explorer-fallback").nth(1).scroll_into_view_if_needed()
    page.get_by_role("button", name="Try again").click()
    said = page.locator(".explorer-place").nth(1).get_by_role("status")
    assert said.inner_text() == "The data of this explorer are being loaded."
    assert len(asked) == 2  # nobody has asked in between
    asked[1]()
    page.locator(".explorer").nth(1).wait_for()
    page.close()


def test_explorer_that_is_broken_is_not_offered_again(browser: Any, tmp_path: Path) -> None:
    page_text, _ = heavy_page(tmp_path)
    broken = page_text.replace("export default", "throw Error('broken'); export default")
    (tmp_path / "page.html").write_text(broken, "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.get_by_text("This explorer could not start (broken).").first.wait_for()
    assert page.get_by_role("button", name="Try again").count() == 0
    page.close()


def test_what_loads_explorers_speaks_korean(browser: Any, tmp_path: Path) -> None:
    page_text, _ = heavy_page(tmp_path, lost=True)
    words = korean.explorers(page_text)
    (tmp_path / "page.html").write_text(page_text.replace("</main>", f"{words}</main>"), "utf-8")
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.locator(".explorer-fallback").nth(1).scroll_into_view_if_needed()
    page.get_by_role("button").filter(has_text="다시 시도하기").wait_for()
    said = page.locator(".explorer-place").nth(1).inner_text()
    assert "탐색 도구를 시작하지 못했습니다" in said and not re.search(r"could|again|\{", said)
    page.close()


def test_paper_has_the_explorer_as_its_reader_left_it_and_its_text_where_it_has_not_started(
    browser: Any, tmp_path: Path
) -> None:
    heavy_page(tmp_path)
    page = browser.new_page(viewport={"width": 800, "height": 600})
    page.goto((tmp_path / "page.html").as_uri())
    page.locator("[data-key=kernel]").fill("7")
    said = page.locator(".x-result").inner_text()
    assert said == ConvolutionCost(kernel=7).sentence() != ConvolutionCost().sentence()
    page.emulate_media(media="print")
    texts = page.locator(".explorer-fallback")
    assert page.locator(".x-result").is_visible() and page.locator(".x-stage svg").first.is_visible()
    assert texts.nth(0).is_hidden() and texts.nth(1).is_visible()
    # One that is at work has figures that do not fit its settings.
    page.locator(".explorer").evaluate("(one) => one.setAttribute('aria-busy', 'true')")
    assert page.locator(".x-result").is_hidden() and texts.nth(0).is_visible()
    page.close()


FORBIDDEN = """for (const name of ["localStorage", "sessionStorage"])
  Object.defineProperty(window, name, { configurable: true,
    get() { throw new DOMException("no", "SecurityError"); } });"""
FULL = "Storage.prototype.setItem = () => { throw new DOMException('no', 'QuotaExceededError'); }"
NOTHING = "This browser stores nothing"
HINTS = {"": "Your answers stay in this browser.", FORBIDDEN: NOTHING, FULL: NOTHING}


@pytest.mark.parametrize("script", HINTS, ids=["allowed", "forbidden", "full"])
def test_scripts_of_the_theme_run_where_nothing_may_be_stored(
    browser: Any, tmp_path: Path, script: str
) -> None:
    theirs = """<script>localStorage.setItem("mode", localStorage.getItem("mode") || "auto");
      document.title = localStorage.getItem("mode") + localStorage.length; localStorage.removeItem("mode");
      sessionStorage.clear();</script>"""
    page, wrong = browser.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.add_init_script(script)
    whole = static_page(Questions("resnet")).replace("<title>Explorers</title>", "")
    (tmp_path / "page.html").write_text(whole.replace("<head>", f"<head>{early_script()}{theirs}"), "utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    page.locator('[data-key="depth"][value="right"]').check()
    assert page.title() == "auto1"
    assert HINTS[script] in page.locator(".x-hint").inner_text()
    assert page.locator(".x-result").inner_text() == Questions("resnet", chosen={"depth": "right"}).sentence()
    page.close()
    assert wrong == []


def test_what_a_full_browser_has_kept_can_be_read_and_forgotten(browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(static_page(Questions("resnet")).replace("<head>", f"<head>{early_script()}"), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    right = page.locator('[data-key="depth"][value="right"]')
    right.check()
    kept = "Object.keys(Object.getPrototypeOf(localStorage) === Storage.prototype ? localStorage : real)"
    assert page.evaluate(kept) == ["casestudies.questions"]
    page.add_init_script(f"window.real = localStorage; {FULL}")
    reload_with_what_is_stored(page)
    assert page.evaluate("localStorage.lent") and right.is_checked()
    page.get_by_role("button", name="start again").click()
    assert page.evaluate(kept) == [] and not right.is_checked()
    page.close()


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
