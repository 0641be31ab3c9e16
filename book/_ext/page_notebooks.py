"""Each page that has code as a notebook, to be run: its cells, and its text as a reader of the book sees it.

The text is what Sphinx has made of the page: citations, references, quoted sources and equations stand there, and not
their directives. Code comes from the page's source, since the built page leaves out some cells that the others need.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag
from sphinx.application import Sphinx

from casestudies import address

QUOTED = re.compile(r"^(`{4,})(?!\{code-cell\}).*?^\1\s*$", re.MULTILINE | re.DOTALL)
CODE_CELL = re.compile(r"^(`{3,}|:{3,})\{code-cell\}[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"(?::[^\n]*\n)*\n*")
NOT_SHOWN = "remove-cell"
# Outputs are most of a page, and none of them goes into its notebook: taken out before anything is parsed.
HEAVY = re.compile(r"<(script|svg|style)\b.*?</\1>", re.DOTALL)
LEFT_OUT = "button, .headerlink, .toctree-wrapper"
ATTRIBUTES = ("href", "src", "alt", "title", "open", "colspan", "rowspan", "align")
HEADINGS = ("h1", "h2", "h3", "h4")
# The cell of the assignments, with what only the book needs.
INSTALL = """\
# Only needed where the course is not installed yet, such as on Colab.
try:
    import casestudies
except ModuleNotFoundError:
    %pip install --quiet "casestudies[book] @ {book}student-kit.zip#subdirectory=package\""""
FORMULA = "formula-{}-here"  # stands for a formula until all else is written


def cells_of(source: str) -> list[tuple[str, bool]]:
    """The code of each cell of a page, and whether the page shows anything of it.

    >>> cells_of("Text.\\n\\n```{code-cell} python\\n:tags: [remove-cell]\\n\\nx = 1\\n```\\n")
    [('x = 1', False)]
    """
    found = []
    for match in CODE_CELL.finditer(QUOTED.sub("", source)):
        options = OPTIONS.match(match[2])
        assert options is not None  # it may be empty
        found.append((match[2][options.end() :].strip("\n"), NOT_SHOWN not in options[0]))
    return found


def classes(tag: Tag) -> list[str]:
    return list(tag.get("class") or [])


def pieces(node: Tag) -> Iterator[Tag]:
    """What stands on a page from top to bottom, sections opened."""
    for child in node.find_all(True, recursive=False):
        if child.name == "section" or child.find("section", recursive=False):
            yield from pieces(child)
        else:
            yield child


def formula(tag: Tag) -> str:
    r"""
    >>> html = r'<div class="math"><span class="eqno">(4.1)</span>\[a &lt; b\]</div>'
    >>> formula(BeautifulSoup(html, "html.parser").div)
    '$$a < b \\tag{4.1}$$'
    """
    number = tag.select_one(".eqno")
    tagged = f" \\tag{{{number.extract().get_text().strip('() ')}}}" if number else ""
    tex = tag.get_text().strip()
    if tex.startswith(r"\["):
        return f"$${tex[2:-2].strip()}{tagged}$$"
    return f"${tex[2:-2].strip()}$"


def written(piece: Tag) -> str:
    """A piece of a page in a notebook's Markdown, which may hold HTML."""
    if piece.name in HEADINGS:
        return f"{'#' * int(piece.name[1])} {piece.get_text()}"
    code = piece.select_one("div.highlight > pre")
    if code is not None and code.get_text().strip() == piece.get_text().strip():
        language = "python" if piece.select_one(".k, .kn") else ""
        return f"```{language}\n{code.get_text().strip()}\n```"
    for pre in piece.find_all("pre"):
        pre.string = pre.get_text()
    for tag in [piece, *piece.find_all(True)]:
        tag.attrs = {name: value for name, value in tag.attrs.items() if name in ATTRIBUTES}
        if tag.name == "span" and tag is not piece:
            tag.unwrap()
    # An empty line would end what Markdown takes for HTML; where lines count, a character stands for their end.
    parts = re.split(r"(<pre.*?</pre>)", str(piece), flags=re.DOTALL)
    parts[::2] = [re.sub(r"\s*\n\s*", " ", part) for part in parts[::2]]
    parts[1::2] = [part.replace("\n", "&#10;") for part in parts[1::2]]
    return "".join(parts)


def notebook(body: str, source: str, page: str, published: str, home: str = "") -> dict[str, Any]:
    """The notebook of a built page.

    `published` is the address of this edition of the book, without which links into it are text; `home` that of the
    English one, which has the kit beside it: without it, the notebook does not install what it runs on.
    """
    soup = BeautifulSoup(HEAVY.sub("", body), "html.parser")
    for tag in soup.select(LEFT_OUT):
        tag.decompose()
    formulas = []
    for tag in soup.select(".math"):
        formulas.append(formula(tag))
        tag.attrs, tag.string = {}, FORMULA.format(len(formulas) - 1)
    for name in ("href", "src"):
        for tag in soup.select(f"[{name}]"):
            tag[name] = urljoin(f"{published}{page}.html", str(tag[name]))
            if name == "href" and not urlsplit(tag[name]).scheme:
                tag.unwrap()  # it would lead to a file beside the notebook, where there is none
    parts = list(pieces(soup))
    waiting = cells_of(source)
    install = INSTALL.format(book=home) if home else ""
    expected, found = sum(shown for _, shown in waiting), sum("cell" in classes(part) for part in parts)
    if expected != found:
        raise ValueError(f"{page} has {expected} cells to be shown, and shows {found}; is one in a list?")
    cells: list[dict[str, Any]] = []
    text: list[str] = []

    def add(kind: str, content: str) -> None:
        more: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
        cells.append(
            {"cell_type": kind, "id": f"cell-{len(cells)}", "metadata": {}, "source": content} | more
        )

    def add_text() -> None:
        if text:
            content = "\n\n".join(text)
            for number, one in enumerate(formulas):
                content = content.replace(FORMULA.format(number), one)
            add("markdown", content)
            text.clear()

    for part in parts:
        if "cell" in classes(part):
            add_text()
            if install:
                add("code", install)
                install = ""
            shown = False
            while not shown:
                code, shown = waiting.pop(0)
                add("code", code)
        elif part.get_text().strip() or part.find("img"):
            text.append(written(part))
    add_text()
    for code, _ in waiting:
        add("code", code)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}


def published_book(repository: str, language: str) -> str:
    """Where this edition of the book is read, with a slash at its end; empty where nobody has written an address."""
    named = os.environ.get("CASESTUDIES_BOOK", "")
    if not urlsplit(named).scheme:
        named = "" if repository == address.REPOSITORY and address.problem() else address.pages_of(repository)
    edition = "ko/" if language == "ko" else ""
    return f"{named.rstrip('/')}/{edition}" if named else ""


def offer_notebook(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Writes the notebook beside the page's source, and has the theme offer it for download."""
    if not context.get("body") or page not in app.env.found_docs:
        return
    source = Path(app.env.doc2path(page)).read_text(encoding="utf-8")
    if not cells_of(source):
        return
    made = json.dumps(
        notebook(context["body"], source, page, app.config.published_book, app.config.published_home),
        ensure_ascii=False,
        indent=1,
    )
    folder = Path(app.outdir, "_sources")
    folder.mkdir(parents=True, exist_ok=True)
    Path(folder, f"{page}.ipynb").write_text(f"{made}\n", encoding="utf-8")
    context["ipynb_source"] = f"{page}.ipynb"
