"""`make pdf`, on a small site of two pages, and what the pages of the book look like on paper."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import chromium
import pdf
import pytest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("pdf")]

ROOT = Path(__file__).resolve().parents[2]

TOC = {
    "root": "welcome",
    "parts": [
        {"caption": "Beginnings", "chapters": [{"file": "small"}, {"file": "tall"}]},
        {"caption": "Appendices", "chapters": [{"file": "end"}]},
    ],
}

# The articles of the pages, as Sphinx writes them, numbers and all. Two of them use the same names for their anchors.
TITLE = '<section id="{0}"><h1>{1}<a class="headerlink" href="#{0}">#</a></h1>'
NUMBER = '<span class="section-number">{}. </span>'
SECTION = '<section id="part">{}<h2>' + NUMBER + '{}<a class="headerlink" href="#part">#</a></h2>'
PAGES = {
    "welcome": TITLE.format("welcome", "Welcome")
    + '<p>Begin with <a href="small.html">Small</a>.</p></section>',
    "small": TITLE.format("small", NUMBER.format("1") + "Small nets")
    + '<p><a href="tall.html#part">There</a> <a href="#part">here</a> <a href="_downloads/x.ipynb">file</a></p>'
    + SECTION.format("", "1.1", "One &amp; part")
    + "</section>"
    + '<div class="cell"><details class="hide"><summary>Show</summary><pre>plotting code</pre></details></div>'
    + '<details class="sd-dropdown"><summary>Why?</summary><p>Folded answer.</p></details>'
    + '<p class="explorer-fallback">Play. It says 7. (The interactive version needs JavaScript.)</p>'
    + '<script>document.write("from a script")</script></section>',
    "tall": TITLE.format("tall", NUMBER.format("2") + "Tall nets")
    + '<div style="height: 600mm"></div>'
    + SECTION.format('<span id="id1"></span>', "2.1", "Far down")
    + "<p>At the end.</p></section></section>",
    "end": TITLE.format("end", "The end") + "</section>",
}

# Words, and whether they are on paper.
WORDS = [
    ("Folded answer.", True),
    ("It says 7. (Interactive in the pages on the web.)", True),
    ("plotting code", False),
    ("from a script", False),
    ("needs JavaScript", False),
]

# What is named in the contents, and on which page it is: the cover and the contents come first.
PLACES = [
    ("Welcome", 3),
    ("1. Small nets", 4),
    ("1.1. One & part", 4),
    ("2. Tall nets", 5),
    ("2.1. Far down", 7),
    ("The end", 8),
]

# In a page of the book, printed from a browser: what is seen, and what is not.
ON_PAPER = [
    (".bd-sidebar-primary", False),
    (".bd-header-article", False),
    (".prev-next-footer", False),
    (".copybtn", False),
    (".headerlink", False),
    (".cell details.hide", False),
    ("details.sd-dropdown p.sd-card-text", True),
    ("figure.drawn", True),
]


CHROMIUM = chromium.find()


def write_site(folder: Path) -> Path:
    site = folder / "html"
    (site / "_static").mkdir(parents=True)
    shutil.copy(ROOT / "book" / "_static" / "book.css", site / "_static")
    head = '<html lang="en"><head><link rel="stylesheet" href="_static/book.css"></head>'
    for name, article in PAGES.items():
        text = f'{head}<body><nav>Menu</nav><article class="bd-article">{article}</article></body></html>'
        (site / f"{name}.html").write_text(text, encoding="utf-8")
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_site(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def printed(site: Path) -> Any:
    """The PDF of the small site, as a pypdf reader."""
    pypdf = pytest.importorskip("pypdf")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; nothing can be printed")
    source, target = site.parent / "pdf" / "book.html", site.parent / "pdf" / "book.pdf"
    source.parent.mkdir()
    page, entries = pdf.compose(site, TOC, "A title")
    source.write_text(page, encoding="utf-8")
    assert pdf.print_book(CHROMIUM, source, target, entries, "A title") == 8
    return pypdf.PdfReader(target)


def outline(reader: Any) -> list[tuple[int, str, int]]:
    """(depth, words, page from 1) of each line of the outline."""

    def lines(items: list[Any], depth: int) -> Iterator[tuple[int, str, int]]:
        for item in items:
            if isinstance(item, list):
                yield from lines(item, depth + 1)
            else:
                yield depth, item.title, reader.get_destination_page_number(item) + 1

    return list(lines(reader.outline, 0))


def text_of(reader: Any, first: int = 0, last: int | None = None) -> str:
    return " ".join(" ".join(page.extract_text() for page in reader.pages[first:last]).split())


def test_examples_of_the_script_are_right() -> None:
    tried = doctest.testmod(pdf)
    assert (tried.failed, tried.attempted > 3) == (0, True)


def test_missing_page_is_named(tmp_path: Path) -> None:
    site = write_site(tmp_path)
    (site / "tall.html").unlink()
    with pytest.raises(pdf.BookError, match="tall.html does not exist.*make book"):
        pdf.compose(site, TOC, "A title")


def test_missing_browser_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chromium.shutil, "which", lambda name: None)
    assert pdf.main() == 1 and "Chromium is missing" in capsys.readouterr().err


def test_no_anchor_is_there_twice(site: Path) -> None:
    ids = pdf.ID.findall(pdf.compose(site, TOC, "A title")[0])
    assert sorted(ids) == sorted(set(ids))


def test_downloads_lead_to_the_published_book(site: Path) -> None:
    from casestudies.address import book

    assert f'href="{book()}_downloads/x.ipynb"' in pdf.compose(site, TOC, "A title")[0]


@pytest.mark.parametrize("words, page", PLACES)
def test_contents_give_the_page(printed: Any, words: str, page: int) -> None:
    assert f"{words} {page}" in text_of(printed, 1, 2)


@pytest.mark.parametrize("words, page", PLACES)
def test_outline_leads_to_the_page(printed: Any, words: str, page: int) -> None:
    assert (words, page) in [line[1:] for line in outline(printed)]


def test_outline_has_parts_chapters_and_sections(printed: Any) -> None:
    assert [(depth, words) for depth, words, _ in outline(printed)] == [
        (0, "Welcome"),
        (0, "Beginnings"),
        (1, "1. Small nets"),
        (2, "1.1. One & part"),
        (1, "2. Tall nets"),
        (2, "2.1. Far down"),
        (0, "Appendices"),
        (1, "The end"),
    ]


def test_links_between_pages_lead_into_the_pdf(printed: Any) -> None:
    targets = [
        str(link.get_object()["/Dest"]).removeprefix("/")
        for link in printed.pages[3]["/Annots"]
        if "/Dest" in link.get_object()
    ]
    places = pdf.page_numbers(printed)
    assert [places[target] for target in targets] == [7, 4]


@pytest.mark.parametrize("words, there", WORDS)
def test_what_is_on_paper(printed: Any, words: str, there: bool) -> None:
    assert (words in text_of(printed)) == there


@pytest.mark.parametrize("page", [3, 8])
def test_pages_are_numbered(printed: Any, page: int) -> None:
    assert str(page) in printed.pages[page - 1].extract_text().split()


def test_chapter_stands_at_the_head_of_its_pages(printed: Any) -> None:
    assert "2. Tall nets" in text_of(printed, 5, 6)


@pytest.fixture(scope="module")
def on_paper(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page of the book as it would be printed from a browser."""
    playwright = pytest.importorskip("playwright.sync_api")
    page = ROOT / "_build" / "html" / "resnet.html"
    if CHROMIUM is None or not page.exists():
        pytest.skip("this needs Chromium and the book (`make book`)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=pdf.FLAGS)
        tab = browser.new_page()
        tab.goto(page.as_uri())
        tab.wait_for_selector(".explorer", state="attached")
        tab.wait_for_selector(".copybtn", state="attached")
        tab.emulate_media(media="print")
        yield tab
        browser.close()


@pytest.mark.parametrize("what, seen", ON_PAPER)
def test_page_printed_from_a_browser_shows(on_paper: Any, what: str, seen: bool) -> None:
    found = on_paper.evaluate(
        "what => [...document.querySelectorAll(what)].map(e => e.checkVisibility())", what
    )
    assert found and set(found) == {seen}


def test_an_explorer_is_printed_as_its_reader_left_it_and_its_text_where_it_has_not_started(
    on_paper: Any,
) -> None:
    found = on_paper.evaluate(
        """() => [...document.querySelectorAll(".cell_output:has(.explorer-place)")].map((cell) => [
            cell.querySelector(".explorer")?.ariaBusy === "false",
            cell.querySelector(".explorer-place").checkVisibility(),
            cell.querySelector(".explorer-fallback").checkVisibility(),
        ])"""
    )
    assert found and any(started for started, _, _ in found)
    assert all(explorer == started != text for started, explorer, text in found), found
