"""`make pdf`: the built pages as one book, _build/pdf/case-studies.pdf, printed by Chromium.

`make pdf EDITION=ko` prints the Korean edition, case-studies-ko.pdf.

Nothing is executed and no page is built again. The articles of _build/html are put one after the other, in the order
of the table of contents; their anchors get the name of their page in front, so that links stay within the book.
Chromium prints the result once to see on which page each section begins, and a second time with those numbers in the
contents. The look is in `@media print` of _static/book.css and in pdf.css.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from dataclasses import dataclass
from functools import cache, partial
from html import escape, unescape
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import chromium
import yaml

from casestudies.address import REPOSITORY, book

ROOT = Path(__file__).parents[2]
SITE, OUT = ROOT / "_build" / "html", ROOT / "_build" / "pdf"
FLAGS = [*chromium.FLAGS, "--allow-file-access-from-files"]  # the formulas' fonts
LIMIT = 600_000  # milliseconds, for some thousand formulas on a busy machine
STYLE = Path(__file__).with_name("pdf.css")

# What the cover and the contents say. The fonts of Korean are named in _static/book.css: Noto Sans CJK KR, on Debian
# and Ubuntu in the package fonts-noto-cjk, where no other of that list is installed.
WORDS = {
    "en": {
        "subtitle": "The classic convolutional networks",
        "same": "The same book with its explorers",
        "source": "Source and assignments",
        "licence": "Prose, figures and exercises: CC BY 4.0. Code: MIT.",
        "contents": "Contents",
    },
    "ko": {
        "subtitle": "고전 합성곱 신경망",
        "same": "탐색 도구가 있는 같은 책",
        "source": "원본과 과제",
        "licence": "글, 그림, 연습 문제: CC BY 4.0. 코드: MIT.",
        "contents": "차례",
    },
}

ARTICLE = re.compile(r'<article class="bd-article">(.*)</article>', re.DOTALL)
ID = re.compile(r'(?<=\sid=")([^"]+)(?=")')
TITLE = re.compile(r"<h1>(.*?)<a class=\"headerlink\"", re.DOTALL)
# A section's first heading may stand after the anchors of the section.
HEADING = re.compile(
    r'<section[^>]*\sid="([^"]+)"[^>]*>\s*(?:<span id="[^"]+"></span>\s*)*<h([23])>(.*?)<a class'
)
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)


class Entry(NamedTuple):
    """A line of the contents and of the outline: "part", "chapter" or "section", its words, and its anchor."""

    kind: str
    words: str
    target: str


class BookError(Exception):
    """Something is missing that the book is printed from. The message says what, and what to do."""


@dataclass(frozen=True)
class Chapter:
    """A page of the book: its file's name, and the part that it opens, or "" where it opens none."""

    name: str
    part: str


def chapters(toc: dict[str, Any]) -> list[Chapter]:
    """The pages in order.

    >>> toc = {"root": "a", "parts": [{"caption": "One", "chapters": [{"file": "b"}, {"file": "c"}]}]}
    >>> [(one.name, one.part) for one in chapters(toc)]
    [('a', ''), ('b', 'One'), ('c', '')]
    """
    return [Chapter(toc["root"], "")] + [
        Chapter(entry["file"], "" if place else part["caption"])
        for part in toc["parts"]
        for place, entry in enumerate(part["chapters"])
    ]


def plain(html: str) -> str:
    """
    >>> plain("What <em>f</em> &amp; g")
    'What f & g'
    """
    return unescape(re.sub(r"<[^>]+>", "", html)).strip()


def article(site: Path, name: str) -> str:
    """What stands between the sidebars of a page, without its scripts."""
    file = site / f"{name}.html"
    if not file.is_file():
        raise BookError(f"{file} does not exist, but book/_toc.yml names {name}; run `make book` first.")
    match = ARTICLE.search(file.read_text(encoding="utf-8"))
    if match is None:
        raise BookError(f'{file} has no <article class="bd-article">; is the theme another one?')
    return SCRIPT.sub("", match[1])


def anchor(page: str, name: str = "") -> str:
    """The anchor of a page, or of something on it, in the book."""
    return f"{page}--{name}" if name else f"{page}--top"


def bind(html: str, page: str, pages: set[str], files: str, published: str) -> str:
    """The article with anchors, links and files as they are in the book.

    `files`: where the site's folder is, seen from the book. `published`: the address of the site, for links to what
    the book does not contain.

    >>> bind('<b id="x"></b><a href="#x"></a><a href="q.html#y"></a><use xlink:href="#x" fill="url(#x)"/>', "p",
    ...     {"p", "q"}, "../html/", "https://a.b/")
    '<b id="p--x"></b><a href="#p--x"></a><a href="#q--y"></a><use xlink:href="#p--x" fill="url(#p--x)"/>'
    >>> bind('<img src="i.svg"><a href="_downloads/n.ipynb"></a><a href="https://c.d/"></a>', "p", {"p"}, "../html/",
    ...     "https://a.b/")
    '<img src="../html/i.svg"><a href="https://a.b/_downloads/n.ipynb"></a><a href="https://c.d/"></a>'
    """
    known = set(ID.findall(html))

    def link(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            return match[0]
        path, _, name = target.partition("#")
        path = path.removeprefix("./")
        other = path.removesuffix(".html") if path else page
        if other not in pages:
            return f'{match[1]}="{published}{path}{"#" * bool(name)}{name}"'
        return f'{match[1]}="#{anchor(other, name)}"'

    html = ID.sub(lambda match: anchor(page, match[1]), html)
    html = re.sub(r'(?<=\s)((?:xlink:)?href)="([^"]*)"', link, html)
    html = re.sub(
        r"url\((&quot;|\")?#([^)\"&]+)",
        lambda m: f"url({m[1] or ''}#{anchor(page, m[2])}" if m[2] in known else m[0],
        html,
    )
    html = re.sub(
        r'(?<=\s)(aria-(?:labelledby|describedby|controls))="([^"]*)"',
        lambda m: f'{m[1]}="{" ".join(anchor(page, one) for one in m[2].split())}"',
        html,
    )
    return re.sub(r'(?<=\s)src="(?!data:|[a-z]+://)([^"]+)"', partial(file_of, files=files), html)


def file_of(match: re.Match[str], files: str) -> str:
    return f'src="{files}{match[1].removeprefix("./")}"'


def contents_line(entry: Entry) -> str:
    if entry.kind == "part":
        return f'<li class="part">{escape(entry.words)}</li>'
    return (
        f'<li class="{entry.kind}"><a href="#{entry.target}"><span class="words">{escape(entry.words)}</span>'
        f'<span class="dots"></span><span class="page" data-target="{entry.target}"></span></a></li>'
    )


def stylesheets(page: str, files: str) -> str:
    found = re.findall(r'<link\b[^>]*rel="stylesheet"[^>]*>', page)
    local = [re.sub(r'href="([^"]+)"', lambda m: f'href="{files}{m[1]}"', tag) for tag in found]
    return "\n".join(local)


def mathjax(page: str, files: str) -> str:
    """The settings of the pages for MathJax, and MathJax."""
    settings = re.findall(r"<script>window\.MathJax = .*?</script>", page)
    source = re.findall(r'<script[^>]*src="([^"]*mathjax/[^"]+)"', page)
    return "\n".join(settings + [f'<script defer src="{files}{one}"></script>' for one in source])


def running_head(chapter: Chapter, title: str) -> str:
    """Each chapter is a kind of page of its own, so that its title can stand at the head of its pages."""
    words = title.replace("\\", "\\\\").replace('"', '\\"')
    name = f"chapter-{chapter.name}"
    return (
        f'@page {name} {{ @top-left {{ content: "{words}"; }} }}\n'
        f"section.chapter#{anchor(chapter.name).replace('.', '-')} {{ page: {name}; }}"
    )


def compose(
    site: Path, toc: dict[str, Any], title: str, files: str = "../html/", language: str = "en"
) -> tuple[str, list[Entry]]:
    """One HTML page: cover, contents, every page of the book. And what the contents name.

    `files` leads from this page to the folder of the site.
    """
    words_of = WORDS[language]
    order = chapters(toc)
    pages = {chapter.name for chapter in order}
    published = book()
    entries: list[Entry] = []
    bodies, heads = [], []
    for chapter in order:
        html = bind(article(site, chapter.name), chapter.name, pages, files, published)
        heading = TITLE.search(html)
        if heading is None:
            raise BookError(
                f"{site / chapter.name}.html has no title; a page of the book begins with `# Title`."
            )
        words = plain(heading[1])
        if chapter.part:
            entries.append(Entry("part", chapter.part, anchor(chapter.name)))
        entries.append(Entry("chapter", words, anchor(chapter.name)))
        entries += [
            Entry("section", plain(heading), target)
            for target, level, heading in HEADING.findall(html)
            if level == "2"
        ]
        heads.append(running_head(chapter, words))
        bodies.append(f'<section class="chapter" id="{anchor(chapter.name)}">{html}</section>')
    page = (site / f"{order[0].name}.html").read_text(encoding="utf-8")
    styles, formulas, nl = stylesheets(page, files), mathjax(page, files), "\n"
    page = f"""<!doctype html>
<html lang="{language}" data-theme="light" data-mode="light">
<head><meta charset="utf-8"><title>{escape(title)}</title>
{styles}
<style>{STYLE.read_text(encoding="utf-8")}
{nl.join(heads)}</style>
{formulas}
</head>
<body class="printed">
<main class="bd-main"><div class="bd-content"><div class="bd-article-container"><article class="bd-article">
<section class="cover"><p class="cover-title">{escape(title)}</p>
<p class="cover-subtitle">{words_of["subtitle"]}</p>
<p class="cover-source">{words_of["same"]}: <a href="{published}">{published}</a><br>
{words_of["source"]}: <a href="{REPOSITORY}">{REPOSITORY}</a><br>
{words_of["licence"]}</p></section>
<section class="contents"><p class="contents-title">{words_of["contents"]}</p><ul>
{nl.join(map(contents_line, entries))}
</ul></section>
{nl.join(bodies)}
</article></div></div></main></body></html>
"""
    return page, entries


@cache
def interactive() -> dict[str, str]:
    """What explorers' texts end with, for each language of a page: on the web, and on paper."""
    from casestudies import language
    from casestudies.explorers.base import NEEDS_JAVASCRIPT, ON_PAPER

    catalogues = [language.catalogue(code, language.EXPLORERS) for code in language.languages()]
    return {
        words.get(NEEDS_JAVASCRIPT, NEEDS_JAVASCRIPT): words.get(ON_PAPER, ON_PAPER) for words in catalogues
    }


PREPARE = """(endings) => {
    for (const fold of document.querySelectorAll('details')) fold.open = true;
    // Text stands in for the explorers.
    for (const text of document.querySelectorAll('.explorer-fallback'))
        for (const [ending, onPaper] of endings) text.textContent = text.textContent.replace(ending, onPaper);
    // A formula or a table that is wider than the column gets smaller letters.
    for (const wide of document.querySelectorAll(
            'mjx-container[display="true"], .pst-scrollable-table-container, .ledger, .cell_output > .output')) {
        const room = wide.clientWidth, need = wide.scrollWidth;
        if (need > room + 1 && room) wide.style.zoom = Math.max(0.5, room / need);
    }
}"""

NUMBER = """pages => {
    for (const place of document.querySelectorAll('.contents .page'))
        place.textContent = pages[place.dataset.target] ?? '';
}"""


def places_of(reader: Any) -> dict[str, Any]:
    """Each anchor that something links to."""
    return {unquote(name.removeprefix("/")): place for name, place in reader.named_destinations.items()}


def page_numbers(reader: Any) -> dict[str, int]:
    """On which page, counted from 1, each anchor is that something links to."""
    return {name: reader.get_destination_page_number(place) + 1 for name, place in places_of(reader).items()}


def with_outline(pdf: bytes, entries: list[Entry], title: str) -> Any:
    """The PDF as a pypdf writer, with the outline that viewers show beside the pages.

    Chromium's own outline says a heading twice that was moved to the next page.
    """
    from pypdf import PdfReader, PdfWriter
    from pypdf.generic import Fit

    logging.getLogger("pypdf").setLevel(logging.ERROR)  # Chromium's trailer counts a few objects too little
    reader = PdfReader(BytesIO(pdf))
    places = places_of(reader)
    writer = PdfWriter(clone_from=reader)
    part = chapter = None
    for entry in entries:
        place = places.get(entry.target)
        if place is None:
            raise BookError(
                f"The printed book has no place called {entry.target!r}, which its contents name."
            )
        item = writer.add_outline_item(
            title=entry.words,
            page_number=reader.get_destination_page_number(place),
            parent={"part": None, "chapter": part, "section": chapter}[entry.kind],
            fit=Fit.xyz(place.left, place.top),
            is_open=entry.kind == "part",
        )
        if entry.kind == "part":
            part = item
        elif entry.kind == "chapter":
            chapter = item
    writer.page_mode = "/UseOutlines"
    writer.metadata = {"/Title": title}
    return writer


def print_book(browser: str, source: Path, target: Path, entries: list[Entry], title: str) -> int:
    """Print the page `source` to `target`, with page numbers in its contents; returns how many pages there are."""
    from playwright.sync_api import sync_playwright
    from pypdf import PdfReader

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=browser, args=FLAGS)
        # As wide as the column of the printed page, so that what is measured fits there.
        tab = started.new_page(viewport={"width": 657, "height": 900}, color_scheme="light")
        tab.set_default_timeout(LIMIT)
        tab.emulate_media(media="print")
        tab.goto(source.as_uri(), timeout=LIMIT)
        tab.evaluate("() => window.MathJax?.startup?.promise.then(() => document.fonts.ready).then(() => 0)")
        left = tab.evaluate(
            "() => [...document.querySelectorAll('.math')].filter(e => !e.querySelector('mjx-container')).length"
        )
        if left:
            raise BookError(f"{left} formulas were not typeset; is _build/html/_static/mathjax complete?")
        tab.evaluate(PREPARE, list(interactive().items()))
        settings = {"prefer_css_page_size": True, "print_background": True, "tagged": True}
        tab.evaluate(NUMBER, page_numbers(PdfReader(BytesIO(tab.pdf(**settings)))))
        book = with_outline(tab.pdf(**settings), entries, title)
        started.close()
    book.write(target)
    return len(book.pages)


def main(language: str = "en") -> int:
    browser = chromium.find()
    if browser is None:
        print("Chromium is missing; it prints the book (apt-get install chromium).", file=sys.stderr)
        return 1
    korean = language == "ko"
    contents = ROOT / "_build" / ".doctrees-ko" / "toc.yml" if korean else ROOT / "book" / "_toc.yml"
    if not contents.is_file():
        print(f"{contents} does not exist; run `make book` first.", file=sys.stderr)
        return 1
    toc = yaml.safe_load(contents.read_text(encoding="utf-8"))
    site, files = (SITE / "ko", "../html/ko/") if korean else (SITE, "../html/")
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    OUT.mkdir(parents=True, exist_ok=True)
    ending = "-ko" if korean else ""
    source, target = OUT / f"book{ending}.html", OUT / f"case-studies{ending}.pdf"
    try:
        page, entries = compose(site, toc, title, files, language)
        source.write_text(page, encoding="utf-8")
        print("Chromium typesets and prints the book, twice; a minute or two.", flush=True)
        count = print_book(browser, source, target, entries, title)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{os.path.relpath(target, ROOT)}: {count} pages")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
