"""What all explorers share: one anywidget class, its style, and the text that stands in where nothing runs.

An explorer is two files: `<name>.py` (its settings as traits, and the figures computed by the package's own
functions) and `<name>.js` (an ES module that computes the same figures in the reader's browser). The tests
drive the second in a real browser and compare it with the first.
"""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from html import escape
from pathlib import Path
from typing import Any, ClassVar

import anywidget
import traitlets

from casestudies import language
from casestudies.figures import ROLES, WORDS
from casestudies.figures.palette import themed

HERE = Path(__file__).parent

# What the text ends with that stands in for an explorer: in the page, and on paper or in a reader of books.
NEEDS_JAVASCRIPT = language.message("(The interactive version needs JavaScript.)")
ON_PAPER = language.message("(Interactive in the pages on the web.)")

# An explorer that has nothing to show says so in this colour; all other colours are those of the figures.
WRONG = ("#b3261e", "#ff8a80")


def module(name: str, *shared: str) -> str:
    """The ES module of one explorer: the shared helpers, further shared files such as "tensors", then its own."""
    return "\n".join(lean((HERE / f"{part}.js").read_text("utf-8")) for part in ("prelude", *shared, name))


def lean(source: str) -> str:
    """A script or a style sheet without indents and without the comments that have lines of their own: each reader of
    a page loads it.

    >>> lean("// Adds.\\nconst f = (a) => {\\n  // not b\\n  return a; // yet\\n};\\n")
    'const f = (a) => {\\nreturn a; // yet\\n};\\n'
    """
    return re.sub(r"(?m)^[ \t]*(?:(?://.*|/\*(?:(?!\*/)[\s\S])*\*/[ \t]*)\n)?", "", source)


# Colours are `--x-<role>`, but for the page's own.
COLOURS = {role: shades for role, shades in ROLES.items() if role not in ("ink", "soft", "line")} | {
    "wrong": WRONG
}
STYLE = themed("x", {".explorer": COLOURS, ".explorer svg text": WORDS}) + lean(
    (HERE / "explorer.css").read_text("utf-8")
)


def fixed(value: float, digits: int) -> str:
    """`value` with that many decimals, halves rounded up: what JavaScript's `toFixed` writes.

    >>> fixed(0.125, 2), format(0.125, ".2f")
    ('0.13', '0.12')
    """
    rounded = Decimal(value).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
    return f"{abs(rounded) if rounded == 0 else rounded:f}"  # 0.000, never -0.000


def plural(count: int, noun: str) -> str:
    """
    >>> plural(1, "parameter"), plural(1200, "MAC")
    ('1 parameter', '1,200 MACs')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def messages(code: str) -> dict[str, str]:
    """What explorers say in a language, by its English; with the sentences of the checks, which some of them show."""
    return {**language.catalogue(code), **language.catalogue(code, language.EXPLORERS)}


def orders(state: dict[str, Any], path: str = "", depth: int = 2) -> dict[str, list[str]]:
    """The keys of the dictionaries in a state, in their order, by path: a notebook is stored with its keys sorted.

    >>> orders({"size": 3, "names": {"b": 1, "a": {"d": 1, "c": 2}}})
    {'names': ['b', 'a'], 'names/a': ['d', 'c']}
    """
    found: dict[str, list[str]] = {}
    for name, value in state.items():
        if isinstance(value, dict) and value and depth and all(isinstance(key, str) for key in value):
            if list(value) != sorted(value):
                found[path + name] = list(value)
            found |= orders(value, f"{path}{name}/", depth - 1)
    return found


class Explorer(anywidget.AnyWidget):
    """An interactive figure whose settings are traits: read or set them from Python, or in the page."""

    title: ClassVar[str] = ""
    _css = STYLE

    orders = traitlets.Dict(help="the keys of dictionaries in their order; see `orders`").tag(sync=True)

    def __init__(self, **options: Any) -> None:
        """In another language than English, the page gets its words as `messages`: English -> what to say."""
        super().__init__(**options)
        self.orders = orders(
            {name: value for name, value in self.trait_values(sync=True).items() if not name.startswith("_")}
        )
        if language.language() != language.ENGLISH:
            said = messages(language.language())
            self.add_traits(messages=traitlets.Dict(said).tag(sync=True))

    def sentence(self) -> str:
        """What the explorer says about its present settings, word for word as in the page."""
        raise NotImplementedError(f"{type(self).__name__} does not describe its settings")

    def pieces(self) -> list[str]:
        """What it says without JavaScript, in pieces to be translated each by itself; joined, its repr."""
        return [f"{self.title}{'' if self.title.endswith('?') else '.'}", f" {self.sentence()}"]

    def __repr__(self) -> str:
        return "".join(self.pieces())

    def _ipython_display_(self) -> None:
        """Show the explorer, and before it its text for readers without JavaScript (its style hides it)."""
        from IPython.display import HTML, display

        said = "".join(f"<span>{escape(piece)}</span>" for piece in [*self.pieces(), f" {NEEDS_JAVASCRIPT}"])
        display(HTML(f'<p class="explorer-fallback">{said}</p>', metadata={}))
        bundle: Any = self._repr_mimebundle_()
        data = {**bundle[0], "text/plain": repr(self)}
        display(data, raw=True)
