"""The one visual language of the course: what each colour means, and drawings that carry their own text.

A colour stands for the same thing in every figure. Figures are SVG inside the page, so that text stays text
and the page's light or dark theme sets the colours. Every figure has a text alternative.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

# What each colour stands for: (on a light page, on a dark page). Safe for colour-blind readers, and at least
# 3:1 against the page. Form says it too: a shortcut is a curve, a plain network a dashed line.
ROLES: dict[str, tuple[str, str]] = {
    "ink": ("#24292f", "#d6dbe1"),
    "soft": ("#59636e", "#9aa4af"),
    "line": ("#c8ced6", "#4a525c"),
    "conv": ("#0072b2", "#56b4e9"),
    "pointwise": ("#c77700", "#f0a830"),
    "depthwise": ("#00805e", "#2fc79a"),
    "linear": ("#8b5a9f", "#c89bd9"),
    "pool": ("#767676", "#a0a0a0"),
    "norm": ("#5b7893", "#9cb6cf"),
    "activation": ("#8c7300", "#dcc24e"),
    "skip": ("#b8286e", "#ff8fc0"),
    "plain": ("#c1440e", "#ff8a4c"),
    "residual": ("#0072b2", "#56b4e9"),
}

# Words need 4.5:1: in these colours they are written darker. The marks keep the lighter shade, which is farther from
# the others for a colour-blind reader.
WORDS: dict[str, tuple[str, str]] = {"pointwise": ("#a66300", "#f0a830")}

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# Where pages say that they are dark: this book, JupyterLab, Colab, VS Code.
DARK = (
    'html[data-theme="dark"]',
    'body[data-jp-theme-light="false"]',
    'html[theme="dark"]',
    "body.vscode-dark",
)


def wanted(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Raise TypeError, naming the argument and its value, where it is not of a kind."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{name} is {value!r:.80} ({type(value).__name__}); expected {expected}")


def wanted_text(**texts: object) -> None:
    for name, value in texts.items():
        wanted(name, value, str, "text")


def wanted_sizes(**sizes: object) -> None:
    for name, value in sizes.items():
        wanted(name, value, (int, float), "a number above 0")
        if not (isinstance(value, (int, float)) and 0 < value < math.inf):
            raise ValueError(f"{name} is {value!r}; expected a number above 0")


def colour(role: str) -> str:
    """The colour of a role, for Matplotlib; `show` lets the page's theme choose its light or dark form.

    >>> colour("conv")
    '#0072b2'
    """
    if not isinstance(role, str) or role not in ROLES:
        raise ValueError(f"role is {role!r}; expected one of {', '.join(ROLES)}")
    return ROLES[role][0]


def paint(role: str) -> str:
    """The colour of a role as a CSS value that follows the theme."""
    return f"var(--f-{role}, {colour(role)})"


def themed(prefix: str, roles_of: Mapping[str, Mapping[str, tuple[str, str]]]) -> str:
    """The colours of roles as CSS variables `--prefix-role` of each selector, for light and for dark pages."""

    def block(selector: str, roles: Mapping[str, tuple[str, str]], shade: int) -> str:
        return f"{selector}{{{''.join(f'--{prefix}-{role}:{shades[shade]};' for role, shades in roles.items())}}}"

    return "".join(
        block(selector, roles, 0) + block(",".join(f"{page} {selector}" for page in DARK), roles, 1)
        for selector, roles in roles_of.items()
    )


def palette_css() -> str:
    """The colours as CSS variables of an SVG of class `drawn`."""
    return themed("f", {"svg.drawn": ROLES, "svg.drawn text": WORDS})


@dataclass(frozen=True)
class Drawing:
    """An SVG with its text alternative and an optional caption; it renders itself in a notebook."""

    svg: str
    alt: str
    caption: str = ""

    @property
    def width(self) -> float:
        """The width in pixels at which it is meant to be seen."""
        found = re.search(r"max-width:(\d+)px", self.svg)
        if found is None:
            raise ValueError("svg has no max-width; svg_element writes one")
        return float(found[1])

    def to_file(self) -> str:
        """The SVG as a file of its own, where, unlike in a page, each prefix must be declared."""
        return self.svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1) + "\n"

    def __post_init__(self) -> None:
        wanted_text(svg=self.svg, alt=self.alt, caption=self.caption)
        if len(self.alt.split()) < 3:
            raise ValueError(
                f"alt is {self.alt!r}; say in a sentence what the figure shows, for readers who cannot see it"
            )

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure class="drawn" style="margin:1rem auto;text-align:center">{self.svg}{caption}</figure>'
        )

    def __repr__(self) -> str:
        return f"Figure: {self.alt}"


@dataclass(frozen=True)
class Row:
    """Drawings side by side, or below one another where the page is narrow."""

    drawings: tuple[Drawing, ...]

    def _repr_html_(self) -> str:
        inner = "".join(
            f'<div style="flex:1 1 {0.8 * drawing.width:.0f}px;max-width:{drawing.width:.0f}px">'
            f"{drawing._repr_html_()}</div>"
            for drawing in self.drawings
        )
        style = "display:flex;flex-wrap:wrap;gap:0 1rem;justify-content:center;align-items:flex-start"
        return f'<div class="drawn-row" style="{style}">{inner}</div>'

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.drawings))


def row(*drawings: Drawing) -> Row:
    """Put drawings side by side."""
    for place, each in enumerate(drawings):
        wanted(f"drawings[{place}]", each, Drawing, "a drawing, such as figures.draw(module, image) gives")
    return Row(drawings)


def svg_element(body: str, width: float, height: float, alt: str, shown: float | None = None) -> str:
    """An `<svg>` of class `drawn`, `width` x `height` in its own units and at most `shown` pixels wide."""
    wanted_text(body=body, alt=alt)
    wanted_sizes(width=width, height=height, **({} if shown is None else {"shown": shown}))
    style = f"width:100%;max-width:{shown or width:.0f}px;height:auto;font-family:{FONT}"
    return (
        f'<svg class="drawn" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{escape(alt, quote=True)}" style="{style}">'
        f"<style>{palette_css()}</style>{body}</svg>"
    )


def shape_text(shape: Sequence[int]) -> str:
    """
    >>> shape_text((64, 56, 56)), shape_text((10,))
    ('64 × 56 × 56', '10')
    """
    if isinstance(shape, (str, bytes)) or not isinstance(shape, Sequence):
        raise TypeError(
            f"shape is {shape!r:.80} ({type(shape).__name__}); expected sizes, such as (64, 56, 56)"
        )
    return " × ".join(map(str, shape))


def text(
    x: float,
    y: float,
    words: str,
    size: float = 13,
    role: str = "ink",
    anchor: str = "middle",
    weight: int = 400,
) -> str:
    style = f"fill:{paint(role)};font-size:{size}px;font-weight:{weight}"
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="{style}">{escape(words)}</text>'


def arrow(points: Sequence[tuple[float, float]], role: str, head: bool = True) -> str:
    """A line through the points, with rounded corners, that ends in an arrow head."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for (x0, y0), (x1, y1), (x2, y2) in zip(points, points[1:], points[2:], strict=False):
        radius = min(10.0, (abs(x1 - x0) + abs(y1 - y0)) / 2, (abs(x2 - x1) + abs(y2 - y1)) / 2)
        before, after = towards((x1, y1), (x0, y0), radius), towards((x1, y1), (x2, y2), radius)
        path += f"L{before[0]:.1f} {before[1]:.1f}Q{x1:.1f} {y1:.1f} {after[0]:.1f} {after[1]:.1f}"
    end = points[-1]
    path += f"L{end[0]:.1f} {end[1]:.1f}"
    line = f'<path d="{path}" style="fill:none;stroke:{paint(role)};stroke-width:1.8"/>'
    if not head:
        return line
    along = towards(end, points[-2], 7.0)
    across = ((along[1] - end[1]) * 0.62, (end[0] - along[0]) * 0.62)
    corners = [
        (along[0] + across[0], along[1] + across[1]),
        end,
        (along[0] - across[0], along[1] - across[1]),
    ]
    tip = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
    return f'{line}<path d="M{tip}Z" style="fill:{paint(role)}"/>'


def towards(start: tuple[float, float], goal: tuple[float, float], distance: float) -> tuple[float, float]:
    length = max(1e-9, ((goal[0] - start[0]) ** 2 + (goal[1] - start[1]) ** 2) ** 0.5)
    share = distance / length
    return start[0] + (goal[0] - start[0]) * share, start[1] + (goal[1] - start[1]) * share


def box(x: float, y: float, width: float, height: float, role: str, radius: float = 4) -> str:
    style = f"fill:{paint(role)};fill-opacity:.17;stroke:{paint(role)};stroke-width:1.5"
    size = f'width="{width:.1f}" height="{height:.1f}" rx="{radius:g}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} style="{style}"/>'
