"""Only the icons that the pages show.

The theme comes with all 2,000 icons of Font Awesome in one script, more than everything else on a page together. At
the end of a build the copy beside the pages is made anew from the theme's own file, with the icons whose names stand
in a page, a script or a style sheet. Its licence stays beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pydata_sphinx_theme
from sphinx.application import Sphinx
from sphinx.util import logging

THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static"
SCRIPT = "vendor/fontawesome/*/js/all.min.js"
# "pencil":[512,512,["pencil-alt",9999],"f303","M410..."], after which a comma may follow; two-coloured ones have two
# paths. The numbers are the size and other code points.
ICON = re.compile(
    r'(?:"(?P<quoted>[\w-]+)"|\b(?P<bare>[A-Za-z_$][\w$]*)):'
    r'\[\d+,\d+,\[(?P<others>[^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[(?:"[^"]*",?)*\])\],?'
)
USED = re.compile(r"\bfa-([a-z0-9]+(?:-[a-z0-9]+)*)")
# The licence asks to say what was changed.
NOTE = "/*! Font Awesome Free, of which only the icons are here that these pages show. */\n"
# It would search all that is ever added to a page for icons, a quarter of a second for the rows of a long table of an
# explorer; what the pages show is there when they are loaded.
QUIET = "window.FontAwesomeConfig = { observeMutations: false };\n"
logger = logging.getLogger(__name__)


def names_of(icon: re.Match[str]) -> set[str]:
    """What an icon is called, and was called in former versions."""
    return {icon["quoted"] or icon["bare"], *re.findall(r'"([^"]+)"', icon["others"])}


def names_in(script: str) -> set[str]:
    """The icons that a script of Font Awesome brings."""
    return {name for icon in ICON.finditer(script) for name in names_of(icon)}


def subset(script: str, used: set[str]) -> str:
    """The script, without the icons that have no name in `used`, and without its watch over the page."""
    less = ICON.sub(lambda icon: icon[0] if names_of(icon) & used else "", script)
    licence, _, rest = less.partition("\n")
    return f"{licence}\n{NOTE}{QUIET}{rest}" if licence.startswith("/*!") else NOTE + QUIET + less


def sources(outdir: Path) -> Iterator[Path]:
    """Pages, scripts and style sheets of this edition: one below it has icons of its own."""
    editions = [folder.parent for folder in outdir.glob("*/_static")]
    for path in sorted(outdir.rglob("*")):
        foreign = any(edition in path.parents for edition in editions) or "fontawesome" in path.parts
        if path.suffix in {".html", ".js", ".css"} and not foreign:
            yield path


def icons_in(outdir: Path) -> set[str]:
    """The words after `fa-` in all that a reader's browser may load; styles such as `fa-solid` are among them."""
    return {name for path in sources(outdir) for name in USED.findall(path.read_text(encoding="utf-8"))}


def keep_icons_in_use(app: Sphinx, error: Exception | None) -> None:
    if error is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for copy in static.glob(SCRIPT):
        whole = (THEME / copy.relative_to(static)).read_text(encoding="utf-8")
        known, used = names_in(whole), icons_in(Path(app.outdir))
        if not known & used:
            logger.warning(f"{copy.name} of the theme holds no icon of these pages; it stays as it is")
            continue
        copy.write_text(subset(whole, used), encoding="utf-8")
