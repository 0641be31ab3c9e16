"""What students write and what their cells show -> HTML that looks the same and can do nothing.

Markdown is rendered first; the result is read tag by tag, and written anew from a list of allowed tags, attributes
and schemes; nh3 then does the same once more, as a browser would read it. What is stored in a graded notebook is
this HTML on a single line, which nbconvert passes on as it is, wherever a page is made of it.

All of it takes time and memory in proportion to the text: sizes, depth and steps are limited, and what is beyond a
limit is shown as plain text, or left out, with a note. Pictures are inlined, so that no page asks another host.
"""

from __future__ import annotations

import base64
import binascii
import html
import io
import math
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote
from xml.parsers import expat

from casestudies.sandboxed.quoting import printable, quoted

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

TEXT_CHARACTERS = 100_000  # of one written cell, or of one output
HTML_CHARACTERS = 300_000  # of one output's HTML, pictures apart
PICTURE_BYTES = 4 * 2**20  # of one picture
PICTURES_BYTES = 12 * 2**20  # of all pictures of a notebook
PICTURES_COUNT = 50
PICTURE_SIDE = 10_000  # pixels
PICTURE_PIXELS = 40_000_000
SVG_CHARACTERS = 1_000_000
FORMULAS = 1000  # of a notebook's texts that are typeset, and their length
FORMULA_CHARACTERS = 100_000
STEPS = 3_000_000  # of the Markdown of a notebook: some seconds
DEPTH = 64  # of tags within tags
QUOTE_DEPTH = 30  # of quotes and lists within each other

TAGS = set(
    "a abbr b blockquote br caption cite code col colgroup dd del details dfn div dl dt em figcaption figure h1 h2 "
    "h3 h4 h5 h6 hr i img ins kbd li mark ol p pre q s samp small span strike strong sub summary sup table tbody td "
    "tfoot th thead tr tt u ul var".split()
)
VOID = {"br", "col", "hr", "img"}
ATTRIBUTES: dict[str, set[str]] = {
    "a": {"href", "title"},
    "abbr": {"title"},
    "col": {"span"},
    "img": {"src", "alt", "title", "width", "height"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "align"},
    "th": {"colspan", "rowspan", "align", "scope"},
}
# Elements whose text is no text of the page.
SKIPPED = set(
    "script style title textarea noscript iframe object embed applet template select xmp plaintext noembed "
    "noframes head".split()
)
# Elements of HTML that are left out, with their text left in; any other name in angles is text.
_OTHER_TAGS = set(
    "address area article aside audio base bdi bdo big blink body button canvas center data datalist dialog dir "
    "fieldset font footer form frame frameset header hgroup html input label legend link main map marquee math menu "
    "meta meter nav nobr optgroup option output param picture progress rb rp rt rtc ruby search section slot source "
    "time track video wbr annotation annotation-xml maction mglyph mi mn mo mfrac mrow ms mspace msqrt mstyle msub "
    "msup mtable mtd mtext mtr semantics".split()
)
SILENT = {"style", "title", "head"}  # left out without a note: pandas puts a style before each table
_NUMBER = re.compile(r"[0-9]{1,4}%?")
_ADDRESS = re.compile(r"(?i)(https?://|mailto:|#)")
# Commands of MathJax that make links, styles, identifiers, or load something.
_ACTIVE_TEX = re.compile(
    r"\\(href|url|class|cssId|style|require|data|texttip|toggle|mmlToken|includegraphics|bbox)(?![A-Za-z])"
)


class TooMuch(ValueError):
    """A text that cannot be rendered within the limits; the message says which, in a few words."""


# --------------------------------------------------------------------------- pictures


def _picture_size(data: bytes) -> tuple[str, int, int]:
    """The type and the size in pixels, from the head of a PNG or JPEG file. Raises ValueError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["PNG", "JPEG"]) as image:
                return {"PNG": "image/png", "JPEG": "image/jpeg"}[image.format or ""], *image.size
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, KeyError):
        raise ValueError("it is no PNG or JPEG file") from None
    except Exception:  # Pillow has many ways to fail on a forged file
        raise ValueError("it cannot be read") from None


def safe_picture(data: bytes | str) -> str:
    """A data URI of a PNG or JPEG picture. `data` is the file, or its base64 text. Raises ValueError: why not."""
    if isinstance(data, str):
        if len(data) > 2 * PICTURE_BYTES:
            raise ValueError(f"it has more than {PICTURE_BYTES:,} bytes")
        try:
            data = base64.b64decode("".join(data.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("it is not base64") from None
    if len(data) > PICTURE_BYTES:
        raise ValueError(f"it has more than {PICTURE_BYTES:,} bytes")
    kind, width, height = _picture_size(data)
    if max(width, height) > PICTURE_SIDE or width * height > PICTURE_PIXELS:
        raise ValueError(f"it has {width:,} x {height:,} pixels")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@dataclass
class Pictures:
    """The pictures that the texts of one notebook may show, and what is left of the space for them."""

    attachments: dict[str, object] = field(default_factory=dict)  # of the cell that is rendered
    files: dict[str, bytes] = field(default_factory=dict)  # that came along with the notebook
    bytes_left: int = PICTURES_BYTES
    count_left: int = PICTURES_COUNT
    formulas_left: int = FORMULAS
    formula_characters_left: int = FORMULA_CHARACTERS
    steps_left: int = STEPS  # of all its Markdown
    uris: list[str] = field(
        default_factory=list
    )  # long data URIs, taken out of the text while it is rendered

    def take(self, data: bytes | str) -> str:
        """A data URI, counted. Raises ValueError."""
        return self._counted(safe_picture(data))

    def find(self, address: str) -> str:
        """A data URI for an address in a text. Raises ValueError: why there is none."""
        address = address.strip()
        lower = address[:40].lower()
        if lower.startswith("casestudies-picture:"):
            number = address[20:]
            if not (number.isascii() and number.isdigit() and int(number[:9]) < len(self.uris)):
                raise ValueError("there is no such picture")
            address = self.uris[int(number[:9])]
            lower = address[:40].lower()
        if lower.startswith("data:"):
            head, _, data = address.partition(",")
            if re.fullmatch(r"data:image/svg\+xml;base64", head.strip().lower()):
                return self.take_svg(_svg_text(unquote(data) if "%" in data else data))
            if not re.fullmatch(r"data:image/(png|jpe?g);base64", head.strip().lower()):
                raise ValueError("only PNG and JPEG pictures are shown")
            return self.take(unquote(data) if "%" in data else data)
        if lower.startswith("attachment:"):
            name = unquote(address[11:])
            bundle = self.attachments.get(name, self.attachments.get(address[11:]))
            if not isinstance(bundle, dict):
                raise ValueError("it is not in the notebook")
            for kind in ("image/png", "image/jpeg", "image/jpg"):
                found = bundle.get(kind)
                if isinstance(found, list):
                    found = "".join(line for line in found if isinstance(line, str))
                if isinstance(found, str):
                    return self.take(found)
            if isinstance(bundle.get("image/svg+xml"), (str, list)):
                data = bundle["image/svg+xml"]
                text = (
                    data if isinstance(data, str) else "".join(line for line in data if isinstance(line, str))
                )
                return self.take_svg(text)
            raise ValueError("only PNG and JPEG pictures are shown")
        if re.match(r"[a-z][a-z0-9+.-]*:|//", lower):
            raise ValueError("pictures of other hosts are not shown")
        name = unquote(address).removeprefix("./")
        if name in self.files:
            return self.take(self.files[name])
        raise ValueError("it was not handed in")

    def take_svg(self, text: str) -> str:
        return self._counted(svg_uri(safe_svg(text)))

    def _counted(self, uri: str) -> str:
        if self.count_left < 1 or len(uri) > self.bytes_left:
            raise ValueError("the pictures of this notebook take more space than they may")
        self.count_left -= 1
        self.bytes_left -= len(uri)
        return uri


# --------------------------------------------------------------------------- SVG

# What Matplotlib, Plotly and Graphviz write into a plot. A drawing that holds anything else is left out as a whole:
# a plot without a part of it would be another plot, and what is not in these tables has no limit here.
_SVG_NAMESPACE = "http://www.w3.org/2000/svg"
_SVG_SHAPES = set("path rect circle ellipse line polyline polygon".split())
_SVG_TAGS = _SVG_SHAPES | set(
    "svg g defs use image text tspan clipPath linearGradient stop style title desc".split()
)
_N = r"[-+]?(?:[0-9]{1,6}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:e-[0-9]{1,2})?"
_LENGTH = rf"{_N}(?:px|pt|em)?"
_NUMBERS = rf"{_N}(?:[\s,]+{_N}){{0,20}}"
_COLOUR = r"#[0-9A-Fa-f]{3,8}|[A-Za-z]{1,30}|(?:rgb|hsl)a?\([\s,%0-9.]{1,60}\)"
_WORDS = r"[\w-]{1,30}(?: [\w-]{1,30}){0,5}"
_FONTS = r"[\w\s,.'\"%-]{1,400}"
_REFERENCE = r"none|url\(['\"]?#([\w.:-]{1,100})['\"]?\)"
_SVG_PROPERTIES: dict[str, str] = {
    # To a gradient: there is no other paint.
    **dict.fromkeys("fill stroke".split(), f"{_COLOUR}|{_REFERENCE}"),
    **dict.fromkeys("color background background-color stop-color".split(), _COLOUR),
    **dict.fromkeys(
        "opacity fill-opacity stroke-opacity stop-opacity stroke-miterlimit line-height".split(), _N
    ),
    **dict.fromkeys("stroke-width stroke-dashoffset".split(), rf"{_N}(?:px|pt)?"),
    "stroke-dasharray": rf"none|{_N}(?:px)?(?:[\s,]+{_N}(?:px)?){{0,20}}",
    "clip-path": _REFERENCE,
    "font-size": rf"{_N}(?:px|pt)?",
    "font-family": _FONTS,
    "font": rf"(?:[a-z0-9-]{{1,20}} ){{0,4}}[0-9]{{1,3}}(?:\.[0-9]{{1,9}})?(?:px|pt)\s{_FONTS}",
    **dict.fromkeys(
        "fill-rule clip-rule stroke-linecap stroke-linejoin text-anchor dominant-baseline font-style font-weight "
        "font-variant font-stretch shape-rendering text-rendering image-rendering vector-effect visibility display "
        "white-space text-decoration text-transform pointer-events cursor overflow user-select".split(),
        _WORDS,
    ),
}
_SVG_ATTRIBUTES: dict[str, str] = {
    **_SVG_PROPERTIES,
    **dict.fromkeys(["dx", "dy"], _LENGTH),
    # Without a unit that is larger than one of the drawing's.
    **dict.fromkeys("x y width height cx cy r rx ry x1 y1 x2 y2".split(), rf"{_N}(?:px|pt)?"),
    "offset": rf"{_N}%?",
    "d": r"[MmLlHhVvCcSsQqTtAaZz0-9e+.,\s-]*",
    "points": r"[0-9e+.,\s-]*",
    "viewBox": rf"\s*{_N}(?:[\s,]+{_N}){{3}}\s*",
    "transform": rf"\s*(?:(?:matrix|translate|scale|rotate)\s*\(\s*{_NUMBERS}\s*\)[\s,]*){{0,10}}",
    "preserveAspectRatio": _WORDS,
    "id": r"[^\s'\"<>&()]{1,200}",
    "type": "text/css",
    **dict.fromkeys(["clipPathUnits", "gradientUnits"], "userSpaceOnUse|objectBoundingBox"),
    # Names and labels, which draw nothing.
    **dict.fromkeys("class version role baseProfile".split(), r".{0,400}"),
}
_SVG_STYLE = re.compile(r"\s*\*\s*\{(?:\s*stroke-(?:linejoin|linecap):\s*[a-z]{1,20}\s*;?)*\s*\}\s*")
_SVG_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[-+]?[0-9]+)?")
_SVG_SIDE = 10_000  # of the drawing, in its unit
_SVG_FAR = 1e6  # a coordinate
_SVG_ARGUMENTS = dict(zip("MLHVCSQTAZ", (2, 2, 1, 1, 6, 4, 4, 2, 7, 1), strict=True))


class _Drawing:
    """A drawing that is read and written anew, and what it may still draw: each use of a shape draws it again."""

    def __init__(self) -> None:
        self.left: dict[str, float] = {
            "shapes": 20_000,  # and letters
            "corners": 400_000,
            "ink": 5000,  # length of all lines, in diagonals of the drawing
            "dashes": 50_000,
            "pixels": PICTURE_PIXELS,
            "clipped": 20_000,  # corners of the shapes by which something is cut, each time
            "layers": 100,  # groups that are drawn on their own first, to be seen through
        }
        self.out: list[str] = []
        self.open_tags: list[str] = []
        self.style: list[str] = []  # the text of a style: looked at as a whole
        self.skipped = 0  # depth within metadata, which draw nothing
        # Of each that can be used, what it costs.
        self.shapes: dict[str, tuple[int, float, float, float]] = {}
        self.clips: dict[str, int] = {}  # corners of each
        self.clipping: list[str] = []  # what is cut
        # What the parts of an element have of it: how much longer lines get, their width, and the height of letters.
        self.within = [(1.0, 1.0, 16.0)]
        self.diagonal = 1.0

    def spend(self, **costs: float) -> None:
        """Raises ValueError."""
        for name, cost in costs.items():
            self.left[name] -= cost
            if not self.left[name] >= 0:
                raise ValueError("it draws more than it may")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, tag = name.rpartition(" ")
        if not self.open_tags and (tag != "svg" or space not in ("", _SVG_NAMESPACE)):
            raise ValueError("it is no SVG drawing")
        if self.skipped or tag == "metadata":
            self.skipped += 1
            return
        above = self.open_tags[-1] if self.open_tags else ""
        tag = "g" if tag == "a" else tag  # Graphviz makes a link without an address of each tooltip
        if space not in ("", _SVG_NAMESPACE) or tag not in _SVG_TAGS or above in ("style", "title", "desc"):
            raise ValueError(f"it holds {quoted(tag, 40)}, which plots do not need")
        if len(self.open_tags) >= DEPTH:
            raise ValueError("its parts are nested too deep")
        kept = _svg_attributes(tag, attributes)
        if tag == "svg":
            self.measure(kept)
        elif tag == "image":
            self.spend(pixels=_svg_image(kept))
        self.draw(tag, kept, above)
        self.open_tags.append(tag)
        written = [f'{key}="{html.escape(value)}"' for key, value in kept.items()]
        space = f'xmlns="{_SVG_NAMESPACE}"'
        self.out.append(f"<{' '.join([tag, *([space] if len(self.open_tags) == 1 else []), *written])}>")

    def measure(self, kept: Mapping[str, str]) -> None:
        if self.open_tags:
            if "viewBox" in kept:
                raise ValueError("it holds a drawing with a measure of its own")
            return
        sides = [_size(kept.get(side, "100")) for side in ("width", "height")]
        if max(sides) > _SVG_SIDE:
            raise ValueError("it is larger than it may be")
        box = [float(each) for each in _SVG_NUMBER.findall(kept.get("viewBox", ""))]
        self.diagonal = max(1e-6, math.hypot(*box[2:] or sides))

    def draw(self, tag: str, kept: Mapping[str, str], above: str) -> None:
        """Counts what an element draws. Raises ValueError."""
        looks = {**kept, **_declarations(kept.get("style", ""))}
        scale, width, letter = self.within[-1]
        longer = _scale(kept.get("transform", ""))
        width = _size(looks.get("stroke-width", str(width)))
        letter = _size(looks.get("font-size", str(letter)))
        if size := re.search(r"([0-9.]+)p[xt]", looks.get("font", "")):
            letter = float(size[1])
        self.within.append((scale * longer, width, letter))
        if cut := re.fullmatch(_REFERENCE, looks.get("clip-path", "none")):
            self.clipping.append(cut[1] or "")
        if tag in ("svg", "g", "text") and float(looks.get("opacity", "1")) < 1:
            self.spend(layers=1)
        corners, length, shape = 1, 0.0, tag in _SVG_SHAPES or tag == "use"
        if tag == "use":
            if kept.get("href", "")[1:] not in self.shapes:
                raise ValueError("it uses what is no shape above")
            corners, length, more, wide = self.shapes[kept["href"][1:]]
            longer, width = longer * more, max(width, wide)
        elif shape:
            corners, length = _extent(tag, kept)
            if "id" in kept:
                self.shapes.setdefault(kept["id"], (corners, length, longer, width))
        inked = scale * longer * (length + width * corners) if shape else 0.0
        self.spend(shapes=1, corners=corners, ink=inked / self.diagonal)
        if (dashes := looks.get("stroke-dasharray", "none")) != "none":
            if not shape:
                raise ValueError("it holds dashes of more than one shape")
            self.spend(dashes=length / max(1e-6, sum(map(_size, re.split(r"[\s,]+", dashes)))))
        if tag == "clipPath":
            if "clip-path" in looks:
                raise ValueError("it is cut by more than one shape")
            self.clips.setdefault(kept.get("id", ""), 0)
            self.clip, self.cuts = kept.get("id", ""), 0
        elif above == "clipPath":
            self.cuts += 1
            if tag not in _SVG_SHAPES or self.cuts > 1 or "clip-path" in looks:
                raise ValueError("it is cut by more than one shape")
            self.clips[self.clip] += corners if tag != "rect" else 0

    def end(self, name: str) -> None:
        if self.skipped:
            self.skipped -= 1
            return
        tag = self.open_tags.pop()
        self.within.pop()
        if tag == "style":
            if not _SVG_STYLE.fullmatch("".join(self.style)):
                raise ValueError("it holds styles that plots do not need")
            self.out.append(html.escape("".join(self.style)))
            self.style.clear()
        self.out.append(f"</{tag}>")

    def characters(self, data: str) -> None:
        if self.skipped or not self.open_tags:
            return
        if self.open_tags[-1] == "style":
            self.style.append(data)
            return
        if self.open_tags[-1] in ("text", "tspan"):
            count, (scale, width, letter) = len(data.strip()), self.within[-1]
            self.spend(shapes=count, ink=count * scale * (10 * letter + width) / self.diagonal)
        self.out.append(html.escape(plain(data)))

    def entity(self, *_: object) -> None:
        raise ValueError("it declares entities")

    def whole(self) -> str:
        if not self.out:
            raise ValueError("it is empty")
        self.spend(clipped=sum(self.clips.get(name, 0) for name in self.clipping))
        return "".join(self.out)


def safe_svg(text: str) -> str:
    """An SVG drawing of a plot, written anew. Raises ValueError where it is no SVG, is larger, deeper or costlier to
    draw than it may be, or holds anything that plots do not need: the message says what."""
    if len(text) > SVG_CHARACTERS:
        raise ValueError(f"it has more than {SVG_CHARACTERS:,} characters")
    parser, drawing = expat.ParserCreate(namespace_separator=" "), _Drawing()
    parser.StartElementHandler, parser.EndElementHandler = drawing.start, drawing.end
    parser.CharacterDataHandler = drawing.characters
    parser.EntityDeclHandler = drawing.entity
    parser.buffer_text = True
    try:
        parser.Parse(
            text.encode("utf-8", "replace") if "<?xml" not in text[:200] else _without_head(text), True
        )
    except expat.ExpatError:
        raise ValueError("it is no XML") from None
    return drawing.whole()


def _svg_attributes(tag: str, attributes: Mapping[str, str]) -> dict[str, str]:
    """Those that are written. Raises ValueError where there is one that plots do not need."""
    kept: dict[str, str] = {}
    for key, value in attributes.items():
        prefix, _, key = key.rpartition(" ")
        if prefix and key != "href" or key.startswith(("data-", "aria-")):
            continue
        if key == "href":
            fits = tag == "image" or tag == "use" and re.fullmatch(r"#[^\s'\"<>&()]{1,200}", value)
        elif key == "style":
            fits = all(
                re.fullmatch(_SVG_PROPERTIES.get(name, r"none|normal|auto|inherit|initial|start"), each)
                for name, each in _declarations(value).items()
            )
        else:
            known = (
                _SVG_ATTRIBUTES.get(key, "(?!)") if key != "preserveAspectRatio" or tag == "image" else "(?!)"
            )
            if tag == "svg" and key in ("width", "height"):
                known = rf"{_N}(?:px|pt|in|cm|mm|em|%)?"
            fits = re.fullmatch(known, value.strip())
        if not fits:
            raise ValueError(f"it holds {quoted(key, 40)}, with a value that plots do not need")
        kept[key] = value
    return kept


def _declarations(style: str) -> dict[str, str]:
    """The properties of an attribute `style`; a piece that is none is a property without a value."""
    found: dict[str, str] = {}
    for piece in filter(None, map(str.strip, style.split(";"))):
        name, _, value = piece.partition(":")
        if name.strip() in found:
            raise ValueError("it says one property twice")
        found[name.strip()] = value.strip()
    return found


def _size(text: str) -> float:
    """Of a length, whatever its unit."""
    found = _SVG_NUMBER.match(text.strip())
    return abs(float(found[0])) if found else 0.0


def _svg_image(kept: dict[str, str]) -> int:
    """Puts the picture of an element in a form that is safe; its pixels. Raises ValueError."""
    head, _, data = kept.get("href", "").partition(",")
    if not re.fullmatch(r"data:image/(png|jpe?g);base64", head):
        raise ValueError("it holds a picture that is no PNG or JPEG")
    kept["href"] = safe_picture(data)
    _, width, height = _picture_size(base64.b64decode(kept["href"].partition(",")[2]))
    return width * height


def _scale(transform: str) -> float:
    """How many times longer a line gets, at most."""
    scale = 1.0
    for name, text in re.findall(r"([a-z]+)\s*\(([^)]*)\)", transform):
        given = [abs(float(each)) for each in _SVG_NUMBER.findall(text)]
        if name in ("scale", "matrix"):
            scale *= max(given) if name == "scale" else sum(given[:4])
    return scale


def _extent(tag: str, kept: Mapping[str, str]) -> tuple[int, float]:
    """The corners of a shape, and at least its length. Raises ValueError."""
    if tag not in ("path", "polyline", "polygon"):
        of = {key: _size(value) for key, value in kept.items()}
        round_ = 8 * (of.get("r", 0.0) + of.get("rx", 0.0) + of.get("ry", 0.0))
        straight = 2 * (of.get("width", 0.0) + of.get("height", 0.0))
        across = sum(of.get(key, 0.0) for key in ("x1", "x2", "y1", "y2"))
        return 4, round_ + straight + across
    corners, length = 0, 0.0
    at: complex = 0j
    begun: complex = 0j
    path = kept.get("d", "") if tag == "path" else f"M{kept.get('points', '')}"
    for command, text in re.findall(r"([A-DF-Za-df-z])([^A-DF-Za-df-z]*)", path):
        numbers = [float(each) for each in _SVG_NUMBER.findall(text)]
        if any(abs(each) > _SVG_FAR for each in numbers):
            raise ValueError("it goes farther than it may")
        size, kind = _SVG_ARGUMENTS[command.upper()], command.upper()
        if kind == "Z":
            length += abs(begun - at)
            at, corners = begun, corners + 1
        for first in range(0, len(numbers) - size + 1, size):
            given = numbers[first : first + size]
            base = at if command.islower() else 0j
            if kind in "HV":
                kept_part = 0j if command.islower() else complex(0, at.imag) if kind == "H" else at.real
                points = [base + kept_part + given[0] * (1 if kind == "H" else 1j)]
            elif kind == "A":
                points = [base + complex(*given[5:])]
                length += 7 * (abs(given[0]) + abs(given[1]) + abs(points[0] - at))
            else:
                points = [base + complex(*given[i : i + 2]) for i in range(0, size, 2)]
            for point in points:
                length += abs(point - at)
                at = point
            corners += len(points)
            if kind == "M" and not first:
                begun = at
    return max(1, corners), length


def _without_head(text: str) -> bytes:
    """Without the XML declaration, whose encoding no longer holds for text that was decoded."""
    return re.sub(r"^\s*<\?xml[^>]{0,200}\?>", "", text, count=1).encode("utf-8", "replace")


def _svg_text(data: str) -> str:
    """The drawing of a base64 data URI. Raises ValueError."""
    if len(data) > 2 * SVG_CHARACTERS:
        raise ValueError(f"it has more than {SVG_CHARACTERS:,} characters")
    try:
        return base64.b64decode("".join(data.split()), validate=True).decode()
    except (binascii.Error, ValueError):  # UnicodeDecodeError is a ValueError
        raise ValueError("it is no SVG drawing in base64") from None


def svg_uri(text: str) -> str:
    """As an image, in which no browser runs a script or loads a file."""
    return "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()


# --------------------------------------------------------------------------- HTML

# Read in windows of limited length, so that a tag that never ends costs no more than its window.
_TAG = re.compile(r"""<(/?)([A-Za-z][A-Za-z0-9:-]*+)((?:[^<>"']++|"[^"]*+"|'[^']*+')*+)>""")
_TAG_LENGTH = 4000
_ATTRIBUTE = re.compile(
    r"""([A-Za-z][A-Za-z0-9:-]{0,40})\s{0,9}=\s{0,9}(?:"([^"]*)"|'([^']*)'|([^\s"'>]++))"""
)
_LONG_URI = re.compile(r"(?i)data:image/[a-z0-9.+-]{1,20};base64,([A-Za-z0-9+/=%]{200,})")
_CONTROLS = {code: "\ufffd" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_CONTROLS[13] = "\n"
# Directions of writing, which make text read as another text; and separators that end a line for some.
_CONTROLS |= {
    code: "\ufffd" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
}
_CONTROLS |= {0x2028: "\n", 0x2029: "\n"}


def plain(text: str) -> str:
    """Text for a page: no control characters, no lone surrogates, no characters that turn the direction."""
    text = text.replace("\r\n", "\n").encode("utf-8", "replace").decode()
    text = text.translate(_CONTROLS)
    return text if text.isascii() else _marks().sub("\\1\ufffd", text)


@cache
def _marks() -> re.Pattern[str]:
    """More marks on one letter than any script has: thousands of them keep a browser busy for minutes."""
    marks = "".join(chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code))[0] == "M")
    marks += "\u200c\u200d"
    return re.compile(f"([{re.escape(marks)}]{{8}})[{re.escape(marks)}]+")


def text_html(text: str) -> str:
    """Text as HTML. A dollar sign stands alone, so that MathJax takes nothing between two of them for math."""
    return html.escape(text, quote=False).replace("$", "<span>$</span>")


def tame_math(text: str) -> str:
    """Text, or finished HTML, in which MathJax finds no command that makes a link or a style.

    Of HTML only when nothing is taken out any more: what stood on both sides of it would come together. Our own pages
    do not rest on this (see `pages`); other programs may show a stored notebook.
    """
    return _ACTIVE_TEX.sub(r"\\text{\1}", text) if "\\" in text else text


def _pieces(text: str) -> Iterator[tuple[str, str, str]]:
    """Text and tags in order: ("", "", text), or ("<" or "/", name, attributes)."""
    position, lower = 0, None
    last: dict[str, bool] = {}  # elements whose end was looked for in vain
    while position < len(text):
        at = text.find("<", position)
        if at < 0:
            yield "", "", text[position:]
            return
        if at > position:
            yield "", "", text[position:at]
        if text.startswith("<!--", at):
            end = -1 if last.get("--") else text.find("-->", at + 4)
            if end < 0:
                last["--"] = True
                yield "", "", "<"
                position = at + 1
            else:
                position = end + 3
            continue
        if text[at + 1 : at + 2] in ("!", "?"):
            end = text.find(">", at, at + _TAG_LENGTH)
            if end < 0:
                yield "", "", "<"
                position = at + 1
            else:
                position = end + 1
            continue
        tag = _TAG.match(text, at, at + _TAG_LENGTH)
        if tag is None:
            yield "", "", "<"
            position = at + 1
            continue
        name = tag[2].lower()
        position = tag.end()
        if name in SKIPPED or name == "svg":
            if tag[1]:
                continue
            if lower is None:
                lower = text.lower()
                if len(lower) != len(text):  # a few letters change their length
                    lower = text
            end = -1 if last.get(name) else lower.find(f"</{name}", position)
            if end < 0:  # never closed: the tag is text, and so is what follows
                last[name] = True
                yield "", "", html.escape(tag[0])
                continue
            close = text.find(">", end, end + 100)
            stop = close + 1 if close > 0 else end + len(name) + 2
            yield "skipped", name, text[at:stop]
            position = stop
            continue
        if name in TAGS or name in _OTHER_TAGS:
            yield "/" if tag[1] else "<", name, tag[3]
        else:  # no tag at all, but a comparison: x<y then z>w
            yield "", "", tag[0]


def _attributes(name: str, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(text):
        key = match[1].lower()
        value = html.unescape(next((each for each in match.groups()[1:] if each is not None), ""))
        if name in ("td", "th") and key == "style":
            aligned = re.search(r"text-align:\s{0,3}(left|right|center)", value[:200])
            key, value = ("align", aligned[1]) if aligned else ("", "")
        if key in found or key not in ATTRIBUTES.get(name, ()):
            continue
        value = plain(value).replace("\n", " ").strip()
        if key in ("colspan", "rowspan", "span", "width", "height", "start"):
            if not _NUMBER.fullmatch(value):
                continue
            if key in ("colspan", "rowspan", "span"):
                value = str(max(1, min(100, int(value.rstrip("%")))))
        if key == "align" and value.lower() not in ("left", "right", "center"):
            continue
        if key == "scope" and value.lower() not in ("row", "col", "rowgroup", "colgroup"):
            continue
        if key == "href" and not _ADDRESS.match(value):
            continue
        found[key] = value
    return found


def clean_html(
    text: str, pictures: Pictures | None = None, math: bool = False, verbatim: bool = False
) -> tuple[str, list[str]]:
    """HTML of allowed tags only, and notes on what was left out. Raises TooMuch.

    With `math`, dollar signs in the text are left to MathJax. With `verbatim`, scripts and the like are shown as the
    text that they are, instead of being left out.
    """
    pictures = pictures if pictures is not None else Pictures()
    text = plain(text)
    first = len(pictures.uris)
    text = _LONG_URI.sub(lambda found: _set_aside(found, pictures), text)
    if len(text) > HTML_CHARACTERS:
        raise TooMuch(f"it has more than {HTML_CHARACTERS:,} characters")
    notes: list[str] = []
    out: list[str] = []
    open_tags: list[str] = []
    shown: set[str] = set()
    as_text = _math_html if math else text_html
    for kind, name, value in _pieces(text):
        if not kind:
            value = html.unescape(value)
            if "casestudies-picture:" in value:
                value = _put_back(value, pictures, first)
            out.append(as_text(plain(value)))
        elif kind == "skipped":
            if name == "svg":
                try:
                    uri = pictures.take_svg(value)
                    shown.add(uri)
                    out.append(f'<img src="{uri}" alt="a drawing">')
                except ValueError as error:
                    notes.append(f"a drawing (SVG) was left out: {error}")
                    out.append("(a drawing that is not shown)")
            elif verbatim:
                out.append(as_text(value))
            elif name not in SILENT:
                notes.append(f"active content was left out: {name}")
        elif name not in TAGS:
            continue
        elif name == "img" and kind == "<":
            out.append(_picture(_attributes(name, value), pictures, shown, notes))
        elif kind == "<":
            if name not in VOID:
                if len(open_tags) >= DEPTH:
                    raise TooMuch(f"its tags are nested more than {DEPTH} deep")
                open_tags.append(name)
            kept = "".join(f' {key}="{html.escape(each)}"' for key, each in _attributes(name, value).items())
            out.append(f"<{name}{kept}>")
        elif name in open_tags:
            while open_tags:
                closed = open_tags.pop()
                out.append(f"</{closed}>")
                if closed == name:
                    break
    out.extend(f"</{name}>" for name in reversed(open_tags))
    return tame_math(_nh3("".join(out), shown)), list(dict.fromkeys(notes))


def _nh3(text: str, pictures: set[str]) -> str:
    """The same list once more, by a parser that reads as browsers do."""
    import nh3

    def keep(tag: str, key: str, value: str) -> str | None:
        if key == "src":
            return value if value in pictures else None
        if key == "href":
            return value if _ADDRESS.match(value) else None
        return value

    return nh3.clean(
        text,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=keep,
        url_schemes={"http", "https", "mailto", "data"},
        link_rel="noopener noreferrer nofollow",
        strip_comments=True,
    )


def _math_html(text: str) -> str:
    return html.escape(text, quote=False)


def _set_aside(found: re.Match[str], pictures: Pictures) -> str:
    pictures.uris.append(found[0])
    return f"casestudies-picture:{len(pictures.uris) - 1}"


def _put_back(text: str, pictures: Pictures, first: int) -> str:
    """The beginning of a long data URI that stands in a text as text."""

    def beginning(found: re.Match[str]) -> str:
        number = int(found[1])
        if not first <= number < len(pictures.uris):
            return found[0]
        uri = pictures.uris[number]
        return f"{uri[:60]}... ({len(uri):,} characters)"

    return re.sub(r"casestudies-picture:([0-9]{1,6})", beginning, text)


def _picture(given: dict[str, str], pictures: Pictures, shown: set[str], notes: list[str]) -> str:
    address = given.pop("src", "")
    try:
        uri = pictures.find(address)
    except ValueError as error:
        name = (
            "a picture" if address.lower().startswith(("data:", "casestudies-picture:")) else quoted(address)
        )
        notes.append(f"the picture {name} is not shown: {error}".replace("picture a picture", "picture"))
        label = given.get("alt") or ("" if name == "a picture" else address)
        return text_html(f"[picture {printable(label, 80)}: {error}]".replace("picture :", "picture:"))
    shown.add(uri)
    kept = {"alt": "a picture of the student's", **given}
    return "".join(
        [f'<img src="{uri}"', *(f' {key}="{html.escape(each)}"' for key, each in kept.items()), ">"]
    )


# --------------------------------------------------------------------------- Markdown

_ENVIRONMENTS = (
    "align align* aligned alignedat alignat alignat* array bmatrix Bmatrix cases displaymath eqnarray eqnarray* "
    "equation equation* gather gather* gathered matrix math multline multline* pmatrix smallmatrix split subarray "
    "vmatrix Vmatrix"
).split()
_BEGIN = re.compile(r"\\begin\{(" + "|".join(map(re.escape, _ENVIRONMENTS)) + r")\}")


def _math_end(source: str, start: int, failed: dict[str, bool]) -> tuple[int, str] | None:
    """Where the math that begins at `start` ends, and its text for MathJax; None where none begins.

    What was once looked for in vain is not looked for again: the search goes to the end of the text.
    """
    if source[start] == "$":
        opening = closing = "$$" if source.startswith("$$", start) else "$"
    elif source.startswith("\\\\(", start):
        opening, closing = "\\\\(", "\\\\)"
    elif source.startswith("\\\\[", start):
        opening, closing = "\\\\[", "\\\\]"
    else:
        begin = _BEGIN.match(source, start)
        if begin is None:
            return None
        opening, closing = begin[0], f"\\end{{{begin[1]}}}"
    at = start + len(opening)
    while not failed.get(closing):
        end = source.find(closing, at)
        if end < 0:
            failed[closing] = True
            break
        if closing[0] == "$" and source[end - 1] == "\\":
            at = end + 1
            continue
        body = source[start + len(opening) : end]
        if not body.strip() or closing == "$" and "\n\n" in body:
            return None
        if opening[0] == "$" or opening.startswith("\\begin"):
            return end + len(closing), opening + body + closing
        return end + len(closing), opening[1:] + body + closing[1:]
    if opening == "$$":  # perhaps two signs that have nothing to do with each other
        return None
    return None


def _failures(state: Any) -> dict[str, bool]:
    """What was looked for in vain in this text."""
    kept = state.env.setdefault("failed", {})
    if kept.get("source") is not state.src:
        kept.clear()
        kept["source"] = state.src
    return kept.setdefault("closings", {})


def _math_inline(state: Any, silent: bool) -> bool:
    character = state.src[state.pos]
    if character != "$" and character != "\\":
        return False
    found = _math_end(state.src, state.pos, _failures(state))
    if found is None or found[0] > state.posMax:
        return False
    if not silent:
        token = state.push("math", "", 0)
        token.content = found[1]
    state.pos = found[0]
    return True


def _math_block(state: Any, start: int, end: int, silent: bool) -> bool:
    """A paragraph that begins with display math: nothing in it is a list, a heading or a rule."""
    if state.is_code_block(start):
        return False
    at = state.bMarks[start] + state.tShift[start]
    if not state.src.startswith(("$$", "\\begin{", "\\\\["), at):
        return False
    found = _math_end(state.src, at, _failures(state))
    if found is None:
        return False
    line = start
    while line < end and state.eMarks[line] < found[0]:
        if state.sCount[line] < state.blkIndent:
            return False
        line += 1
    if line >= end:
        return False
    if silent:
        return True
    content = state.getLines(start, line + 1, state.blkIndent, False).strip()
    state.line = line + 1
    state.push("paragraph_open", "p", 1).map = [start, state.line]
    token = state.push("inline", "", 0)
    token.content, token.map, token.children = content, [start, state.line], []
    state.push("paragraph_close", "p", -1)
    return True


def _counted(name: str, rule: Callable[..., bool], block: bool) -> Callable[..., bool]:
    """The rule, which ends the rendering when it has been tried more often than any honest text needs."""

    def counted(state: Any, *arguments: Any) -> bool:
        env = state.env
        if block and state.level >= QUOTE_DEPTH:
            raise TooMuch(f"its quotes and lists are nested more than {QUOTE_DEPTH} deep")
        # A rule may look through the rest of its text; that is fast, but not free.
        if not block:
            env["steps"] -= 1 + (state.posMax - state.pos) // 4000 + len(state.delimiters) // 50
        else:
            env["steps"] -= 1 + (arguments[1] - arguments[0] if name == "reference" else 0)
        if env["steps"] < 0:
            raise TooMuch("its Markdown takes too many steps")
        return rule(state, *arguments)

    return counted


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    md = MarkdownIt("commonmark", {"html": True, "maxNesting": 2 * QUOTE_DEPTH}).enable(
        ["table", "strikethrough"]
    )
    md.inline.ruler.before("escape", "math", _math_inline)
    md.inline.ruler.before("text", "math_first", _math_inline)
    md.block.ruler.before("code", "math", _math_block, {"alt": ["paragraph", "blockquote"]})
    for ruler, block in ((md.block.ruler, True), (md.inline.ruler, False)):
        for rule in ruler.__rules__:
            rule.fn = _counted(rule.name, rule.fn, block)
    md.add_render_rule(
        "math", lambda self, tokens, i, options, env: f"<x-math>{html.escape(tokens[i].content)}</x-math>"
    )
    return md


def render_markdown(source: str, pictures: Pictures | None = None) -> tuple[str, list[str]]:
    """Markdown of a student's as safe HTML, and notes. Never raises: what takes too much is shown as plain text."""
    pictures = pictures if pictures is not None else Pictures()
    notes: list[str] = []
    source = plain(source)
    source = _LONG_URI.sub(lambda found: _set_aside(found, pictures), source)
    if len(source) > TEXT_CHARACTERS:
        notes.append(f"only the first {TEXT_CHARACTERS:,} of {len(source):,} characters of a text are shown")
        source = source[:TEXT_CHARACTERS]
    env = {"steps": min(20_000 + 60 * len(source), pictures.steps_left)}
    given = env["steps"]
    try:
        rendered = _markdown().render(source, env)
        if len(rendered) > 4 * HTML_CHARACTERS:
            raise TooMuch("its Markdown becomes too long")
        cleaned, more = _clean_rendered(rendered, pictures)
        return cleaned, notes + more
    except (TooMuch, RecursionError) as error:
        why = str(error) if isinstance(error, TooMuch) else "it is nested too deep"
        notes.append(f"a text is shown as it was typed: {why}")
    except Exception as error:  # a fault in a renderer is no reason to lose a text
        notes.append(f"a text is shown as it was typed: it could not be rendered ({type(error).__name__})")
    finally:
        pictures.steps_left -= given - max(0, env["steps"])
    return preformatted(_put_back(source, pictures, 0)), notes


def _clean_rendered(rendered: str, pictures: Pictures) -> tuple[str, list[str]]:
    """Cleans the parts between formulas together, and puts the formulas back."""
    formulas: list[str] = []

    def hide(found: re.Match[str]) -> str:
        formulas.append(found[1])
        return f"\ue000{len(formulas) - 1}\ue001"

    rendered = rendered.replace("\ue000", "\ufffd").replace("\ue001", "\ufffd")
    rendered = re.sub(r"<x-math>([^<]*+)</x-math>", hide, rendered)
    cleaned, notes = clean_html(rendered, pictures, verbatim=True)

    def show(found: re.Match[str]) -> str:
        # nh3 leaves the marks alone; in an attribute, such as the text for a picture, they stand for nothing.
        formula = html.unescape(formulas[int(found[1])])
        pictures.formulas_left -= 1
        pictures.formula_characters_left -= len(formula)
        if min(pictures.formulas_left, pictures.formula_characters_left) >= 0:
            return _math_html(formula)
        return f"<code>{_math_html(formula)}</code>"  # in which nothing is typeset

    shown = re.sub("\ue000([0-9]{1,6})\ue001", show, cleaned)
    if min(pictures.formulas_left, pictures.formula_characters_left) < 0 and formulas:
        notes.append("some formulas are shown as they were typed: there are too many of them")
    return tame_math(shown), notes


def preformatted(text: str) -> str:
    """Text as it was typed, as HTML."""
    return f"<pre>{html.escape(plain(text), quote=False)}</pre>"


def one_line(text: str, name: str = "") -> str:
    """HTML as one block on one line, which Markdown passes on unchanged: no blank line ends it, and no bracket or
    backtick is left that another reader of Markdown might take for its own. `name` is a class of the block."""
    text = text.replace("\n", "&#10;").replace("[", "&#91;").replace("]", "&#93;").replace("`", "&#96;")
    return f'<div class="{name}">{text}</div>' if name else f"<div>{text}</div>"


__all__ = [
    "Pictures",
    "TooMuch",
    "clean_html",
    "one_line",
    "plain",
    "preformatted",
    "render_markdown",
    "safe_picture",
    "safe_svg",
    "svg_uri",
    "tame_math",
    "text_html",
]
