"""`make slides`: figures and derivations of each chapter as slides, _build/slides/CHAPTER.html, one file each.

    make slides                     every numbered chapter
    make slides CHAPTER=resnet      one of them

Made from the built pages: nothing is executed again. A slide is a formula with the paragraph that leads to it, a
drawing, a plot, a table, or a place where an explorer stands on the page. What the chapter says in between is in the
speaker's notes (press S). Each file carries reveal.js, its pictures and its style, and asks nothing of other hosts.
"""

from __future__ import annotations

import argparse
import base64
import mimetypes
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path

import yaml
from bs4 import Tag
from pdf import ROOT, SITE, BookError, interactive
from reading import Page

from casestudies.address import book

OUT = ROOT / "_build" / "slides"
STYLE = Path(__file__).with_name("slides.css")
# Sections that an instructor does not project.
LEFT_OUT = ("Check yourself", "The assignment", "The exercise", "References")
WORDS = 60  # of a paragraph that stands on a slide; a longer one is in the notes alone
ROWS = 16  # of a table that can be read from the last row of seats
PLAY = "Make it move: it stands in the chapter."
FIT = """
const shrink = (node, share) => { if (share < 1) node.style.zoom = (node.style.zoom || 1) * share * 0.99; };
const fit = () => {
  for (const room of document.querySelectorAll(".slide.present .room")) {
    const inner = room.firstElementChild;
    for (const node of [inner, ...inner.querySelectorAll("div.formula")]) node.style.zoom = 1;
    for (const node of inner.querySelectorAll("div.formula")) shrink(node, node.clientWidth / node.scrollWidth);
    for (let turn = 0; turn < 4; turn++) { // text that is smaller breaks into other lines
      const height = (node) => node.getBoundingClientRect().height;
      shrink(inner, Math.min(height(room) / height(inner), inner.clientWidth / inner.scrollWidth));
    }
  }
};
Reveal.initialize({
  display: "flex", width: 1280, height: 720, margin: 0.02, hash: true, slideNumber: "c/t", center: false,
  transition: "none", controlsTutorial: false, plugins: [RevealNotes],
}).then(fit);
Reveal.on("slidechanged", fit);
"""


@dataclass
class Slide:
    """A heading, what stands under it as XHTML, and what is said meanwhile."""

    heading: str
    body: str
    kind: str
    notes: list[str] = field(default_factory=list)
    lead: bool = False
    formulas: int = 1


def reveal(name: str) -> str:
    """A file of reveal.js, which the package sphinx-revealjs carries."""
    found = find_spec("sphinx_revealjs")
    if found is None or found.origin is None:
        raise BookError(
            "sphinx-revealjs is not installed; it carries reveal.js (pip install -r requirements.txt)."
        )
    return (Path(found.origin).parent / "_static" / "revealjs" / name).read_text("utf-8")


def words(tag: Tag) -> int:
    return len(tag.get_text(" ").split())


def with_pictures(page: Page, tag: Tag) -> Tag:
    """The tag, its pictures written into it."""
    for image in [*([tag] if tag.name == "img" else []), *tag.select("img:not(.kept)")]:
        source = str(image["src"])
        if not source.startswith("data:"):
            content = (page.site / source).read_bytes()
            kind = mimetypes.guess_type(source)[0]
            image["src"] = f"data:{kind};base64,{base64.b64encode(content).decode()}"
    return tag


def address(page: Page, target: str) -> str:
    """Where a link of the page leads from a slide."""
    if ":" in target.split("/")[0]:
        return target
    return f"{book()}{page.name}.html{target}" if target.startswith("#") else f"{book()}{target}"


def shown_in(cell: Tag) -> Iterator[tuple[str, Tag]]:
    """What a cell of the page shows that is worth a slide: ("figure" | "table" | "play", tag)."""
    taken: list[Tag] = []
    for tag in cell.select(".drawn-row, figure, img:not(.kept), .ledger, table, .explorer-fallback"):
        if any(parent in taken for parent in tag.parents):
            continue
        taken.append(tag)
        if "explorer-fallback" in tag.get("class", []):
            yield "play", tag
        elif tag.name == "table" or "ledger" in tag.get("class", []):
            if len(tag.select("tr")) <= ROWS:
                yield "table", tag
        else:
            yield "figure", tag


class Deck:
    """The slides of a chapter, in the order of its page; the first is its title."""

    def __init__(self, page: Page) -> None:
        self.page = page
        for link in page.soup.select("a[href]"):
            link["href"] = address(page, str(link["href"]))
        about = page.soup.select("div.overview p:not(.admonition-title), div.overview ul")
        self.slides = [Slide(page.title, "".join(map(page.xhtml, about)), "opening")]
        self.title, self.lead = "", None  # of the section; the last paragraph, which leads to what follows
        self.notes: list[str] = []
        for section in page.soup.select("section"):
            self.read(section)

    def read(self, section: Tag) -> None:
        """The slides of one section, without those of the sections in it."""
        heading = section.find(["h1", "h2", "h3"], recursive=False)
        if heading is None or any(name in heading.get_text() for name in LEFT_OUT):
            return
        self.title, self.lead = " ".join(heading.get_text().split()), None
        for child in section.find_all(True, recursive=False):
            classes = child.get("class", [])
            if child.name == "section":
                break
            if child.name == "p":
                self.lead = child
                self.notes.append(" ".join(child.get_text().split()))
            elif "formula" in classes:
                self.add("formula", self.page.xhtml(child))
            elif child.name in ("ul", "ol") and "What to remember" in self.title:
                self.add("list", self.page.xhtml(child))
            elif child.name == "div":
                for kind, tag in shown_in(child):
                    if kind == "play":
                        endings = "|".join(map(re.escape, interactive().values()))
                        said = escape(re.sub(endings, "", tag.get_text()).strip())
                        place = f"{book()}{self.page.name}.html#{section.get('id', '')}"
                        self.add(
                            kind, f'<div class="play"><p>{said}</p><p><a href="{place}">{PLAY}</a></p></div>'
                        )
                    else:
                        self.add(kind, self.page.xhtml(with_pictures(self.page, tag)))
        self.slides[-1].notes += self.notes
        self.notes = []

    def add(self, kind: str, body: str) -> None:
        """A slide; two formulas that follow each other in a section share one."""
        lead = self.lead
        said = self.page.xhtml(lead) if lead is not None and words(lead) <= WORDS else ""
        before = self.slides[-1]
        if kind == before.kind == "formula" and before.heading == self.title and before.formulas == 1:
            before.body += said + body
            before.notes += self.notes
            before.formulas = 2
        else:
            self.slides.append(Slide(self.title, said + body, kind, self.notes, bool(said)))
        self.notes, self.lead = [], None


def section_of(slide: Slide, number: int) -> str:
    notes = "".join(f"<p>{escape(one)}</p>" for one in slide.notes if one)
    aside = f'<aside class="notes">{notes}</aside>' if notes else ""
    title = "h1" if slide.kind == "opening" else "h2"
    fit = f'<div class="fit{" with-lead" if slide.lead else ""}">{slide.body}</div>'
    room = fit if slide.kind == "opening" else f'<div class="room">{fit}</div>'
    return (
        f'<section class="slide kind-{slide.kind}" id="slide-{number}">'
        f"<{title}>{escape(slide.heading)}</{title}>{room}{aside}</section>"
    )


def deck(page: Page) -> str:
    """The slides of a chapter as one HTML file."""
    sections = "\n".join(section_of(slide, number) for number, slide in enumerate(Deck(page).slides, 1))
    styles = reveal("dist/reveal.css") + STYLE.read_text("utf-8")
    scripts = "".join(
        f"<script>{text.replace('</script', '<' + chr(92) + '/script')}</script>\n"
        for text in (reveal("dist/reveal.js"), reveal("plugin/notes/notes.js"), FIT)
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(page.title)}</title><link rel="icon" href="data:,"><style>{styles}</style></head>\n'
        f'<body><div class="reveal"><div class="slides">\n{sections}\n</div></div>\n{scripts}</body></html>\n'
    )


def numbered(toc: dict) -> list[str]:
    """The chapters that have a number: all but the welcome page and the appendices."""
    return [
        entry["file"] for part in toc["parts"] if part.get("numbered", True) for entry in part["chapters"]
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Make slides of the built pages.")
    parser.add_argument("chapters", nargs="*", help="default: every numbered chapter")
    parser.add_argument("--site", type=Path, default=SITE)
    parser.add_argument("--out", type=Path, default=OUT)
    asked = parser.parse_args(arguments)
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    asked.out.mkdir(parents=True, exist_ok=True)
    try:
        for name in asked.chapters or numbered(toc):
            page = Page(asked.site, name)
            content = deck(page)
            target = asked.out / f"{name}.html"
            target.write_text(content, encoding="utf-8")
            print(f"{os.path.relpath(target, ROOT)}: {content.count('<section class=')} slides")
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
