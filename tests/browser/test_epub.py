"""`make epub`: the container, its files, their links and their formulas; and what the built book becomes."""

from __future__ import annotations

import shutil
import subprocess
import xml.etree.ElementTree as ET
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin

import epub
import pytest
import reading
import yaml

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
XHTML = "{http://www.w3.org/1999/xhtml}"
OPF = "{http://www.idpf.org/2007/opf}"
MATH = "{http://www.w3.org/1998/Math/MathML}"
DATE = "1700000000"

TOC = {"root": "welcome", "parts": [{"caption": "Beginnings", "chapters": [{"file": "small"}]}]}
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = (
    '<svg class="drawn" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 20 10" role="img" aria-label="One box.">'
    '<style>svg.drawn{--f-conv:#0072b2}</style><linearGradient id="g"/>'
    '<rect width="9" height="9" style="fill:var(--f-conv, #0072b2)"/></svg>'
)
PAGES = {
    "welcome": '<section id="welcome"><h1>Welcome<a class="headerlink" href="#welcome">#</a></h1>'
    '<p>Begin with <a href="small.html#cost">the cost</a>, or read '
    '<a href="search.html?q=a">on the web</a>.</p></section>',
    "small": '<section id="small"><h1>1. Small &amp; nets</h1><p id="twice">Of <span class="math notranslate">'
    r"\(n &lt; k^2\)</span>.</p><span id='twice'></span>"
    '<section id="cost"><h2>1.1 Cost<a class="headerlink" href="#cost">#</a></h2>'
    '<div class="math notranslate" id="equation-c"><span id="eq-c"></span><span class="eqno">(1.1)'
    r'<a class="headerlink" href="#equation-c">#</a></span>\[\begin{split}\begin{aligned} y &amp;= \tfrac{1}{2} x,\\'
    r" z &amp;= y. \end{aligned}\end{split}\]</div>"
    f'<div class="cell"><div class="cell_output"><figure class="drawn">{SVG}</figure>'
    f'<img src="data:image/png;base64,{PIXEL}"><table border="1"><tr><td align="right">1</td></tr></table>'
    '<p class="explorer-fallback">Play. It says 7. (The interactive version needs JavaScript.)</p>'
    '<script>document.write("from a script")</script></div></div>'
    '<details class="sd-dropdown"><summary>Why? <svg><path/></svg></summary><div>Folded.</div></details>'
    '<p><a href="_downloads/n.ipynb" download>notebook</a></p></section></section>',
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for name, body in PAGES.items():
        page = f'<html><body><article class="bd-article">{body}</article></body></html>'
        (tmp_path / f"{name}.html").write_text(page, "utf-8")
    return tmp_path


@pytest.fixture
def made(site: Path, monkeypatch: pytest.MonkeyPatch) -> zipfile.ZipFile:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DATE)
    target = site / "small.epub"
    epub.compose(site, TOC, "Small & book").write(target)
    return zipfile.ZipFile(target)


def faults(box: zipfile.ZipFile) -> list[str]:
    """What is wrong with a book, in sentences: container, manifest, well-formed files, links, formulas."""
    found = []
    names = box.namelist()
    first = box.infolist()[0]
    if (first.filename, first.compress_type, box.read(first)) != ("mimetype", 0, b"application/epub+zip"):
        found.append("the mimetype is not the first file, stored as it is")
    container = ET.fromstring(box.read("META-INF/container.xml"))
    opf = next(node.attrib["full-path"] for node in container.iter() if node.tag.endswith("rootfile"))
    package = ET.fromstring(box.read(opf))
    items = list(package.iter(f"{OPF}item"))
    listed = {urljoin(opf, item.attrib["href"]): item for item in items}
    found += [f"{name} is in the manifest and not in the book" for name in set(listed) - set(names)]
    found += [
        f"{name} is in the book and not in the manifest"
        for name in set(names) - set(listed) - {"mimetype", "META-INF/container.xml", opf}
    ]
    ids = {item.attrib["id"] for item in items}
    found += [
        f"the order names {one.attrib['idref']}"
        for one in package.iter(f"{OPF}itemref")
        if one.attrib["idref"] not in ids
    ]
    anchors, pages = {}, {}
    for name, item in listed.items():
        if item.attrib["media-type"] != "application/xhtml+xml":
            continue
        try:
            pages[name] = ET.fromstring(box.read(name))
        except ET.ParseError as error:
            found.append(f"{name} is not well-formed: {error}")
            continue
        counted = Counter(node.attrib["id"] for node in pages[name].iter() if "id" in node.attrib)
        found += [f"{name} has {one} twice" for one, times in counted.items() if times > 1]
        anchors[name] = set(counted)
    for name, page in pages.items():
        found += [
            f"{name}: {fault}" for fault in faults_of_page(page, listed[name].attrib.get("properties", ""))
        ]
        for node in page.iter():
            for target in (node.attrib.get("href"), node.attrib.get("src")):
                if not target or ":" in target.split("/")[0]:
                    continue
                place, fragment = urldefrag(urljoin(name, target))
                if place not in listed or (fragment and fragment not in anchors.get(place, {fragment})):
                    found.append(f"{name} leads to {target}, which is not there")
    return found


def faults_of_page(page: ET.Element, properties: str) -> list[str]:
    found = []
    tags = {node.tag for node in page.iter()}
    for word, tag in (("mathml", f"{MATH}math"), ("svg", "{http://www.w3.org/2000/svg}svg")):
        if (word in properties.split()) != (tag in tags):
            found.append(f"the manifest is wrong about {word}")
    if f"{XHTML}script" in tags or f"{XHTML}button" in tags:
        found.append("there is a script or a button")
    blocks = {XHTML + tag for tag in ("div", "figure", "table", "ul", "ol", "pre", "p", "section")}
    for paragraph in page.iter(f"{XHTML}p"):
        inside = [node.tag for node in paragraph.iter() if node is not paragraph and node.tag in blocks]
        found += [f"a paragraph has a {tag.removeprefix(XHTML)} in it" for tag in inside]
    for node in page.iter():
        said = node.attrib.get("class", "").split()
        if "formula" in said and node.find(f".//{MATH}math") is None:
            found.append("a formula is not MathML")
        if node.tag == f"{XHTML}img" and "alt" not in node.attrib:
            found.append("a picture has no text")
        raw = [text for text in (node.text, node.tail) if text and (r"\(" in text or r"\[" in text)]
        if raw and node.tag not in {XHTML + tag for tag in ("code", "pre", "span")}:
            found.append(f"raw TeX: {raw[0][:60]!r}")
        if node.tag.startswith(MATH) and "\\" in (node.text or "").replace("\\\\", ""):
            found.append(f"TeX in MathML: {node.text!r}")
    return found


def test_small_book_has_no_faults(made: zipfile.ZipFile) -> None:
    assert faults(made) == []


def page_of(made: zipfile.ZipFile, name: str) -> str:
    return made.read(f"OEBPS/{name}.xhtml").decode()


# (page, what is there, whether)
WORDS = [
    ("small", "1. Small &amp; nets", True),
    ("small", "It says 7. (Interactive in the pages on the web.)", True),
    ("small", "from a script", False),
    ("small", "Folded.", True),
    ("small", "var(--f", False),
    ("small", "linearGradient", True),  # the capitals of SVG stay
    ("small", 'viewBox="0 0 20 10"', True),
    ("small", "headerlink", False),
    ("small", "border=", False),
    ("welcome", 'href="small.xhtml#cost"', True),
    ("nav", 'href="small.xhtml#cost">1.1 Cost<', True),
    ("nav", "<span>Beginnings</span>", True),
]


@pytest.mark.parametrize("page, words, there", WORDS)
def test_what_stands_in_a_page(made: zipfile.ZipFile, page: str, words: str, there: bool) -> None:
    assert (words in page_of(made, page)) is there


def test_lines_of_a_formula_are_rows_of_a_table(made: zipfile.ZipFile) -> None:
    page = ET.fromstring(page_of(made, "small"))
    tables = list(page.iter(f"{MATH}mtable"))
    assert [len(list(table.iter(f"{MATH}mtr"))) for table in tables] == [2]


def test_picture_is_a_file_of_its_own(made: zipfile.ZipFile) -> None:
    [name] = [name for name in made.namelist() if "/images/" in name]
    assert made.read(name).startswith(b"\x89PNG")
    assert f'src="{name.removeprefix("OEBPS/")}"' in page_of(made, "small")


def test_what_the_book_does_not_contain_is_on_the_web(made: zipfile.ZipFile) -> None:
    assert f'href="{epub.book()}_downloads/n.ipynb"' in page_of(made, "small")


def test_same_pages_give_the_same_bytes(site: Path, made: zipfile.ZipFile) -> None:
    again = site / "again.epub"
    epub.compose(site, TOC, "Small & book").write(again)
    assert again.read_bytes() == Path(made.filename).read_bytes()


@pytest.mark.parametrize(
    "spoil", ["<b>open", '<a href="small.xhtml#nowhere">x</a>', r"<p>\(x\)</p>", "<p><ul/></p>"]
)
def test_faults_are_found(site: Path, made: zipfile.ZipFile, spoil: str) -> None:
    """The test of the whole book could not fail otherwise."""
    other = site / "spoiled.epub"
    with zipfile.ZipFile(other, "w") as box:
        for one in made.infolist():
            content = made.read(one)
            if one.filename.endswith("welcome.xhtml"):
                content = content.replace(b"</body>", spoil.encode() + b"</body>")
            box.writestr(one, content)
    assert len(faults(zipfile.ZipFile(other))) == 1


@pytest.mark.parametrize("tex", [r"\unknowncommand x", r"\left( x"])
def test_formula_that_cannot_be_converted_is_named(tex: str) -> None:
    with pytest.raises(reading.BookError, match="The formula"):
        reading.mathml(tex)


def test_missing_page_is_named(tmp_path: Path) -> None:
    with pytest.raises(reading.BookError, match="welcome.html does not exist.*make book"):
        epub.compose(tmp_path, TOC, "Small")


# The whole book


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (HTML / "welcome.html").is_file():
        pytest.skip("the book is not built; `make book` builds it")
    toc: dict[str, Any] = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8"))
    target = tmp_path_factory.mktemp("epub") / "book.epub"
    epub.compose(HTML, toc, "Case studies").write(target)
    return target


@pytest.mark.slow
def test_book_has_no_faults(whole: Path) -> None:
    assert faults(zipfile.ZipFile(whole)) == []


def epubcheck() -> list[str] | None:
    """The command; Debian's is an archive for Java that not every system starts by itself."""
    found = shutil.which("epubcheck")
    if found is None:
        return None
    with open(found, "rb") as file:
        return ["java", "-jar", found] if file.read(2) == b"PK" else [found]


@pytest.mark.slow
@pytest.mark.skipif(epubcheck() is None, reason="epubcheck is not installed")
def test_epubcheck_finds_no_error(whole: Path) -> None:
    ran = subprocess.run([*(epubcheck() or []), str(whole)], capture_output=True, text=True, timeout=900)
    assert ran.returncode == 0, ran.stdout + ran.stderr
