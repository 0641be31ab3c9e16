"""`make epub`: the built pages as one EPUB 3, _build/epub/case-studies.epub.

Nothing is executed and no page is built again. Every page of the table of contents becomes an XHTML file; links
between them stay within the book, all others lead to the book on the web. Formulas are MathML, drawings SVG,
photographs files of their own; there are no scripts. The same pages give the same bytes, but for the date, which
SOURCE_DATE_EPOCH sets.
"""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import os
import re
import sys
import uuid
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml
from pdf import ROOT, SITE, BookError, Chapter, chapters
from reading import Page

from casestudies.address import REPOSITORY, book

OUT = ROOT / "_build" / "epub"
STYLE = Path(__file__).with_name("epub.css")
BOX = "OEBPS"
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # of every file in the container: the same pages give the same bytes
HEAD = """<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"
 xmlns:xlink="http://www.w3.org/1999/xlink" xml:lang="en" lang="en">
<head><meta charset="utf-8"/><title>{title}</title><link rel="stylesheet" type="text/css" href="style.css"/></head>
"""
CONTAINER = f"""<?xml version="1.0" encoding="utf-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
<rootfiles><rootfile full-path="{BOX}/content.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"""


@dataclass
class File:
    """A file of the container, below its folder, and what the manifest says of it."""

    name: str
    content: bytes
    kind: str
    properties: str = ""


@dataclass
class Entry:
    """A page or a section in the contents."""

    words: str
    target: str
    within: list[Entry] = field(default_factory=list)


@dataclass
class Epub:
    """The book while it is put together."""

    title: str
    files: dict[str, File] = field(default_factory=dict)
    contents: list[tuple[str, Entry]] = field(default_factory=list)  # (the part that it opens or "", page)

    def picture(self, page: Page, source: str) -> str:
        """The name in the book of a picture of a page, which is added once."""
        if source.startswith("data:"):
            head, _, body = source.partition(",")
            kind = head[5:].split(";")[0]
            content = base64.b64decode(body) if head.endswith(";base64") else unquote(body).encode()
        else:
            file = page.site / unquote(source)
            if not file.is_file():
                raise BookError(f"{page.name}.html shows {source}, which {page.site} does not have.")
            kind, content = mimetypes.guess_type(file.name)[0] or "", file.read_bytes()
        if not kind.startswith("image/"):
            raise BookError(
                f"{page.name}.html shows a picture of the kind {kind or 'unknown'!r}: {source[:60]}"
            )
        end = mimetypes.guess_extension(kind) or ".bin"
        name = f"images/{hashlib.sha256(content).hexdigest()[:16]}{end}"
        self.files.setdefault(name, File(name, content, kind))
        return name

    def add(self, page: Page, chapter: Chapter, pages: set[str]) -> None:
        for image in page.soup.select("img:not(.kept)"):
            image["src"] = self.picture(page, str(image["src"]))
            image.attrs.setdefault("alt", "")
        known = {str(tag["id"]) for tag in page.soup.select("[id]")}
        for link in page.soup.select("a[href]"):
            link["href"] = place(str(link["href"]), page.name, pages, known)
        tidy(page)
        body = one_of_each_id(page.xhtml(page.soup))
        properties = [name for name, sign in (("mathml", "<math"), ("svg", "<svg")) if sign in body]
        content = HEAD.format(title=escape(page.title)) + f"<body>\n{body}\n</body></html>\n"
        name = f"{page.name}.xhtml"
        self.files[name] = File(name, content.encode(), "application/xhtml+xml", " ".join(properties))
        sections = [
            Entry(" ".join(heading.get_text().split()), f"{name}#{heading.parent['id']}")
            for heading in page.soup.select("section[id] > h2")
        ]
        self.contents.append((chapter.part, Entry(page.title, name, sections)))

    def page(self, name: str, title: str, body: str, properties: str = "") -> None:
        content = HEAD.format(title=escape(title)) + body + "</html>\n"
        self.files[name] = File(name, content.encode(), "application/xhtml+xml", properties)

    def write(self, target: Path) -> None:
        with zipfile.ZipFile(target, "w") as box:

            def put(name: str, content: bytes, stored: bool = False) -> None:
                info = zipfile.ZipInfo(name, LONG_AGO)
                info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                info.external_attr = 0o644 << 16
                box.writestr(info, content)

            put("mimetype", b"application/epub+zip", stored=True)  # the first file, and as it is
            put("META-INF/container.xml", CONTAINER.encode())
            put(f"{BOX}/content.opf", self.package().encode())
            for file in self.files.values():
                put(f"{BOX}/{file.name}", file.content)

    def package(self) -> str:
        """The OPF: what the book is, its files, and their order."""
        manifest, spine = [], []
        for number, file in enumerate(self.files.values()):
            extra = f' properties="{file.properties}"' if file.properties else ""
            manifest.append(f'<item id="f{number}" href="{file.name}" media-type="{file.kind}"{extra}/>')
            if file.kind == "application/xhtml+xml":
                spine.append(f'<itemref idref="f{number}"/>')
        nl = "\n"
        return f"""<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="en">
<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
<dc:identifier id="id">urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, book())}</dc:identifier>
<dc:title>{escape(self.title)}</dc:title>
<dc:language>en</dc:language>
<dc:creator>The contributors</dc:creator>
<dc:source>{escape(book())}</dc:source>
<dc:rights>Prose, figures and exercises: CC BY 4.0. Code: MIT.</dc:rights>
<meta property="dcterms:modified">{moment()}</meta>
<meta property="schema:accessMode">textual</meta>
<meta property="schema:accessMode">visual</meta>
<meta property="schema:accessModeSufficient">textual</meta>
<meta property="schema:accessibilityFeature">alternativeText</meta>
<meta property="schema:accessibilityFeature">MathML</meta>
<meta property="schema:accessibilityFeature">tableOfContents</meta>
<meta property="schema:accessibilityHazard">none</meta>
</metadata>
<manifest>
{nl.join(manifest)}
</manifest>
<spine>
{nl.join(spine)}
</spine>
</package>
"""


def moment() -> str:
    """When the book was made: SOURCE_DATE_EPOCH where it is set, as for any build that can be repeated."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


def place(target: str, page: str, pages: set[str], known: set[str]) -> str:
    """Where a link of a page leads from the EPUB.

    >>> place("resnet.html#shortcuts", "vgg", {"vgg", "resnet"}, set()), place("#a", "vgg", {"vgg"}, {"a"})
    ('resnet.xhtml#shortcuts', '#a')
    >>> place("https://arxiv.org/abs/1512.03385", "vgg", {"vgg"}, set())
    'https://arxiv.org/abs/1512.03385'
    """
    parts = urlsplit(target)
    if parts.scheme:
        return target.replace(" ", "%20")
    path, name = parts.path.removeprefix("./"), parts.fragment
    other = path.removesuffix(".html") if path else page
    if other not in pages:
        return f"{book()}{path}{'#' * bool(name)}{name}"
    if not path:
        return f"#{name}" if name in known else f"{page}.xhtml"
    return f"{other}.xhtml{'#' * bool(name)}{name}"


def tidy(page: Page) -> None:
    """What browsers forgive and readers of EPUB may not."""
    for tag in page.soup.select("[role], [aria-hidden], [tabindex]"):
        for name in ("role", "aria-hidden", "tabindex"):
            tag.attrs.pop(name, None)
    for tag in page.soup.select("p, span, h1, h2, h3"):
        for inner in tag.select("div, figure, table, ul, ol, pre"):
            inner.name = "span" if inner.name == "div" else inner.name
    for tag in page.soup.select("[id]"):
        tag["id"] = re.sub(r"\s", "-", str(tag["id"]))


def one_of_each_id(xhtml: str) -> str:
    """Of several anchors with one name the first counts; the others are removed.

    >>> one_of_each_id('<b id="x"/><i id="x"/>')
    '<b id="x"/><i/>'
    """
    seen: set[str] = set()

    def first(match: re.Match[str]) -> str:
        if match[1] in seen:
            return ""
        seen.add(match[1])
        return match[0]

    return re.sub(r'\sid="([^"]*)"', first, xhtml)


def lines(contents: list[tuple[str, Entry]]) -> Iterator[str]:
    """The list of the navigation: parts, the pages in them, their sections."""

    def item(entry: Entry) -> str:
        inner = f"<ol>{''.join(map(item, entry.within))}</ol>" if entry.within else ""
        return f'<li><a href="{escape(entry.target)}">{escape(entry.words)}</a>{inner}</li>'

    opened = False
    for part, entry in contents:
        if part:
            yield f"{'</ol></li>' if opened else ''}<li><span>{escape(part)}</span><ol>"
            opened = True
        yield item(entry)
    if opened:
        yield "</ol></li>"


def compose(site: Path, toc: dict[str, Any], title: str) -> Epub:
    """The whole book, ready to be written."""
    made = Epub(title)
    order = chapters(toc)
    pages = {chapter.name for chapter in order}
    made.files["style.css"] = File("style.css", STYLE.read_bytes(), "text/css")
    cover = (
        f'<body><section class="cover"><h1>{escape(title)}</h1><p>The classic convolutional networks</p>'
        f'<p>The same book with its explorers: <a href="{book()}">{book()}</a></p>'
        f'<p>Source and assignments: <a href="{REPOSITORY}">{REPOSITORY}</a></p></section></body>'
    )
    made.page("cover.xhtml", title, cover)
    made.page("nav.xhtml", "Contents", "", "nav")  # its place in the order; its text follows
    for chapter in order:
        made.add(Page(site, chapter.name), chapter, pages)
    listed = "\n".join(lines(made.contents))
    body = f'<body><nav epub:type="toc" id="toc"><h1>Contents</h1><ol>\n{listed}</ol></nav></body>'
    made.page("nav.xhtml", "Contents", body, "nav")
    return made


def main() -> int:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    title = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["title"]
    OUT.mkdir(parents=True, exist_ok=True)
    target = OUT / "case-studies.epub"
    try:
        made = compose(SITE, toc, title)
    except BookError as error:
        print(error, file=sys.stderr)
        return 1
    made.write(target)
    print(
        f"{os.path.relpath(target, ROOT)}: {len(made.contents)} pages, {target.stat().st_size / 1e6:.1f} MB"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
