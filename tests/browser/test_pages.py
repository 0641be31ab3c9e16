"""Every page of the built book, in a real browser: complete, offline, and readable on a telephone."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What a reader types, and a page that must be among the results.
SEARCHES = [
    ("ResNet-50", "resnet"),
    ("residual", "resnet"),
    ("degradation", "resnet"),
    ("bottleneck", "resnet"),
    ("identity", "identity"),
    ("tanh", "identity"),
    ("MAC", "welcome"),
]

NARROW = {"width": 390, "height": 844}


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


@dataclass
class Visit:
    """What a page did while it loaded."""

    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not (HTML / "resnet.html").exists():
        pytest.skip("the book is not built; `make book` builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; the pages are not tried in a browser")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


def watch(tab: Any, site: str) -> Visit:
    visit = Visit()

    def asked(request: Any) -> None:
        if not request.url.startswith((site, "data:", "blob:")):
            visit.foreign.append(request.url)

    tab.on("request", asked)
    tab.on("response", lambda r: visit.failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    tab.on("requestfailed", lambda r: visit.failed.append(r.url))
    tab.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
    return visit


def settle(tab: Any) -> None:
    """Wait until the math is typeset and the explorers have started."""
    tab.wait_for_load_state("load")
    tab.evaluate("() => window.MathJax?.startup?.promise")
    tab.wait_for_function(
        "() => document.querySelectorAll('script[type=\"application/vnd.jupyter.widget-view+json\"]').length"
        " === document.querySelectorAll('.explorer-place').length"
    )


@pytest.fixture(scope="module")
def opened(browser: Any, site: str) -> Iterator[Any]:
    """A function that opens a page once, and gives its tab and what happened."""
    known: dict[str, tuple[Any, Visit]] = {}
    context = browser.new_context(viewport={"width": 1280, "height": 900})

    def open_page(name: str) -> tuple[Any, Visit]:
        if name not in known:
            tab = context.new_page()
            visit = watch(tab, site)
            tab.goto(f"{site}{name}.html")
            settle(tab)
            known[name] = tab, visit
        return known[name]

    yield open_page
    context.close()


@pytest.mark.parametrize("name", pages())
def test_page_asks_no_other_host_for_anything(opened: Any, name: str) -> None:
    assert opened(name)[1].foreign == []


@pytest.mark.parametrize("name", pages())
def test_page_finds_all_that_it_asks_for(opened: Any, name: str) -> None:
    assert opened(name)[1].failed == []


@pytest.mark.parametrize("name", pages())
def test_page_has_nothing_to_complain_about(opened: Any, name: str) -> None:
    assert opened(name)[1].complaints == []


@pytest.mark.parametrize("name", pages())
def test_math_is_typeset(opened: Any, name: str) -> None:
    tab, _ = opened(name)
    left, errors = tab.evaluate(
        """() => [
            [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length,
            document.querySelectorAll('mjx-merror, [data-mjx-error]').length]"""
    )
    assert (left, errors) == (0, 0)


@pytest.mark.parametrize("name", pages())
def test_every_image_has_a_text_alternative(opened: Any, name: str) -> None:
    tab, _ = opened(name)
    silent = tab.evaluate(
        """() => [...document.querySelectorAll('.bd-article svg.drawn, .bd-article img')].filter(
            e => !(e.getAttribute('aria-label') || e.getAttribute('alt') || '').trim()).length"""
    )
    assert silent == 0


@pytest.mark.parametrize("name", pages())
def test_ids_are_unique(opened: Any, name: str) -> None:
    tab, _ = opened(name)
    twice = tab.evaluate(
        """() => { const seen = new Set(), twice = new Set();
            for (const e of document.querySelectorAll('.bd-article [id]'))
                (seen.has(e.id) ? twice : seen).add(e.id);
            return [...twice]; }"""
    )
    assert twice == []


@pytest.mark.parametrize("name", pages())
def test_links_within_the_book_lead_somewhere(opened: Any, site: str, name: str) -> None:
    tab, _ = opened(name)
    targets = tab.evaluate(
        "() => [...document.querySelectorAll('.bd-main a[href], .bd-sidebar a[href]')].map(a => a.href)"
    )
    broken = []
    for target in {target for target in targets if target.startswith(site)}:
        path, _, anchor = target.removeprefix(site).partition("#")
        file = HTML / (path or f"{name}.html")
        if not file.is_file():
            broken.append(target)
        elif anchor and file.suffix == ".html" and f'id="{anchor}"' not in file.read_text(encoding="utf-8"):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("name", pages())
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_does_not_scroll_sideways_on_a_telephone(browser: Any, site: str, name: str, theme: str) -> None:
    context = browser.new_context(viewport=NARROW, color_scheme=theme, is_mobile=True, has_touch=True)
    tab = context.new_page()
    tab.goto(f"{site}{name}.html")
    settle(tab)
    wide = tab.evaluate(
        """() => [document.documentElement.scrollWidth,
            [...document.querySelectorAll('.bd-article *')].filter(e => {
                for (let p = e; p; p = p.parentElement)
                    if (p !== document.body && /auto|scroll|hidden/.test(getComputedStyle(p).overflowX)) return false;
                return e.getBoundingClientRect().right > innerWidth + 1; })
                .slice(0, 3).map(e => e.outerHTML.slice(0, 80))]"""
    )
    context.close()
    assert wide == [NARROW["width"], []]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_theme_sets_the_colours_of_figures(browser: Any, site: str, theme: str) -> None:
    from casestudies.figures import ROLES

    context = browser.new_context(color_scheme=theme)
    tab = context.new_page()
    tab.goto(f"{site}resnet.html")
    settle(tab)
    ink = tab.evaluate("() => getComputedStyle(document.querySelector('svg.drawn text')).fill")
    context.close()
    wanted = ROLES["ink"][theme == "dark"]
    assert ink == "rgb({}, {}, {})".format(*(int(wanted[i : i + 2], 16) for i in (1, 3, 5)))


@pytest.mark.parametrize("words, page", SEARCHES)
def test_search_finds(browser: Any, site: str, words: str, page: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}search.html?q={words}")
    tab.wait_for_selector("#search-results .search-summary")
    tab.wait_for_function(
        "() => /found|did not match/.test(document.querySelector('.search-summary').textContent)"
    )
    found = tab.evaluate(
        "() => [...document.querySelectorAll('#search-results li a')].map(a => a.getAttribute('href'))"
    )
    tab.close()
    assert any(link.split("#")[0].split("?")[0].endswith(f"{page}.html") for link in found)


def test_page_reads_without_a_server(browser: Any) -> None:
    """Somebody who unpacks the book and opens the file sees the math and the explorers, too."""
    if not (HTML / "resnet.html").exists():
        pytest.skip("the book is not built; `make book` builds it")
    tab = browser.new_page()
    tab.goto((HTML / "identity.html").as_uri())
    settle(tab)
    counts = tab.evaluate(
        "() => [document.querySelectorAll('mjx-container').length, document.querySelectorAll('.explorer').length]"
    )
    tab.close()
    assert counts[0] > 10 and counts[1] >= 1


def test_download_of_the_assignment_is_the_notebook(opened: Any, site: str) -> None:
    tab, _ = opened("resnet")
    link = tab.locator(".assignment-links a").first.get_attribute("href")
    notebook = json.loads((HTML / link).read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook == json.loads(
        (ROOT / "exercises" / "resnet" / "resnet.ipynb").read_text(encoding="utf-8")
    )
