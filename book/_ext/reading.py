"""The built pages as plain XHTML, for what is made from them without a browser: the EPUB and the slides.

Formulas become MathML, which EPUB readers and browsers show without scripts. Drawings get the colours of a light
page written into them. Explorers give way to their text. What only a page on the web can do (copying, folding) is
left out.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup, Tag
from pdf import BookError, article, interactive

SVG = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
SPLIT = re.compile(r"\\begin\{split\}\s*(\\begin\{align\*\}.*\\end\{align\*\})\s*\\end\{split\}", re.DOTALL)
# Removed with all that is in it, and opened, so that only what is in it stays.
REMOVED = [
    "script",
    "style",
    "button",
    "a.headerlink",
    "a.copybtn",
    "details.above-input",  # the code that draws
    "div.tag_hide-input > .cell_input",
    "div.toctree-wrapper",
    ".explorer",
]
OBSOLETE = ("border", "align", "valign", "cellpadding", "cellspacing", "frame", "rules", "download", "target")


def mathml(tex: str, display: bool = False) -> str:
    """A formula of the book, without its delimiters, as MathML.

    >>> mathml("x^2")
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="inline"><msup><mi>x</mi><mn>2</mn></msup></math>'
    """
    from latex2mathml.converter import convert

    # The converter knows `align*` but not `aligned`. Sphinx puts `split` around several lines, whatever they are.
    tex = SPLIT.sub(r"\1", tex.replace("{aligned}", "{align*}"))
    try:
        made = convert(tex, display="block" if display else "inline")
        root = ET.fromstring(made)
    except Exception as error:  # whatever the converter stumbles on, the formula is named
        raise BookError(
            f"The formula {tex!r} could not be made MathML: {type(error).__name__}: {error}"
        ) from error
    left = [word for node in root.iter() for word in re.findall(r"\\[A-Za-z]+", node.text or "")]
    if left:
        raise BookError(f"The formula {tex!r} has {left[0]}, which the conversion to MathML does not know.")
    if len(root) == 1 and root[0].tag.endswith("mrow"):  # one row in the other says nothing
        inner = made[made.index("<mrow>") + 6 : made.rindex("</mrow>")]
        made = f"{made[: made.index('<mrow>')]}{inner}</math>"
    return made


def still(svg: str) -> str:
    """A drawing whose colours do not depend on a page around it: those of a light one.

    >>> still('<svg xmlns="x"><style>svg{}</style><path style="fill:var(--f-conv, #0072b2)"/></svg>')
    '<svg xmlns="x"><path style="fill:#0072b2"/></svg>'
    >>> still('<svg xmlns="x"><text style="fill:var(--f-pointwise, #c77700)">1 × 1</text></svg>')
    '<svg xmlns="x"><text style="fill:#a66300">1 × 1</text></svg>'
    """
    from casestudies.figures import ROLES, WORDS

    def written(text: re.Match[str]) -> str:  # words in the darker shades that they need
        return re.sub(
            r"var\(--f-([a-z]+)(, *#\w+)?\)",
            lambda found: WORDS[found[1]][0] if found[1] in WORDS else found[0],
            text[0],
        )

    if "xmlns=" not in svg[: svg.index(">")]:
        svg = svg.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    svg = re.sub(r"<style>svg.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<text\b[^>]*>", written, svg)
    svg = re.sub(r"var\(--f-[a-z]+,\s*(#[0-9a-fA-F]+)\)", r"\1", svg)
    return re.sub(r"var\(--f-([a-z]+)\)", lambda match: ROLES[match[1]][0], svg)


class Page:
    """One page of the built book: `soup` to work on, and `xhtml(node)` to write it."""

    def __init__(self, site: Path, name: str) -> None:
        self.site, self.name = site, name
        self.kept: dict[str, str] = {}  # SVG and MathML, whose names have capitals that HTML does not know
        html = SVG.sub(lambda match: self.aside(still(match[0])), article(site, name))
        self.soup = BeautifulSoup(html, "html.parser")
        self.clean()
        self.formulas()

    def aside(self, markup: str) -> str:
        """What stands for a piece of markup until the page is written."""
        key = f"kept-{len(self.kept)}"
        self.kept[key] = markup
        return f'<img alt="" class="kept" src="{key}"/>'

    def clean(self) -> None:
        for selector in REMOVED:
            for tag in self.soup.select(selector):
                tag.decompose()
        for tag in self.soup.select(".explorer-fallback"):
            for ending, on_paper in interactive().items():
                tag.string = tag.get_text().replace(ending, on_paper)
        for fold in self.soup.select("details"):
            title = fold.find("summary")
            if title is not None:
                title.name = "p"
                title.attrs = {"class": "fold-title"}
                for sign in title.select("img.kept"):  # an arrow to fold with
                    sign.decompose()
                for part in title.select("p"):
                    part.unwrap()
            fold.name = "div"
            fold.attrs = {"class": "fold"}
        for tag in self.soup.find_all(True):
            for name in list(tag.attrs):
                if name in OBSOLETE or name.startswith(("data-", "on")):
                    del tag.attrs[name]
            if tag.name not in ("col", "img"):
                for name in ("width", "height"):
                    tag.attrs.pop(name, None)

    def formulas(self) -> None:
        for tag in self.soup.select("span.math, div.math"):
            display = tag.name == "div"
            number = tag.select_one(".eqno")
            anchors = [str(one["id"]) for one in tag.select("span[id]")]
            said = number.extract().get_text() if number else ""
            tex = unescape(tag.get_text()).strip()
            if tex[:2] not in (r"\(", r"\["):
                raise BookError(f"{self.name}.html has a formula without delimiters: {tex[:60]!r}")
            tag.clear()
            for name in anchors:
                tag.append(self.soup.new_tag("span", id=name))
            tag.append(BeautifulSoup(self.aside(mathml(tex[2:-2].strip(), display)), "html.parser"))
            tag["class"] = "formula"
            if said:
                number = self.soup.new_tag("span", attrs={"class": "eqno"})
                number.string = said
                tag.append(number)

    @property
    def title(self) -> str:
        heading = self.soup.find("h1")
        if heading is None:
            raise BookError(f"{self.name}.html has no title; a page of the book begins with `# Title`.")
        return " ".join(heading.get_text().split())

    def xhtml(self, node: Any) -> str:
        """A node as XHTML, with its drawings and formulas."""
        text = node.decode(formatter="minimal") if isinstance(node, Tag) else str(node)
        return re.sub(r'<img alt="" class="kept" src="([^"]+)"/>', lambda match: self.kept[match[1]], text)
