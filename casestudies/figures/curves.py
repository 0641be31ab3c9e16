"""Curves: Matplotlib in the style of the course."""

from __future__ import annotations

import hashlib
import io
import re
from typing import TYPE_CHECKING, Any

from casestudies.figures.palette import (
    FONT,
    ROLES,
    Drawing,
    colour,
    paint,
    svg_element,
    wanted,
    wanted_sizes,
    wanted_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": ROLES["ink"][0],
    "axes.labelcolor": ROLES["ink"][0],
    "axes.titlecolor": ROLES["ink"][0],
    "axes.edgecolor": ROLES["soft"][0],
    "xtick.color": ROLES["soft"][0],
    "ytick.color": ROLES["soft"][0],
    "xtick.labelcolor": ROLES["ink"][0],
    "ytick.labelcolor": ROLES["ink"][0],
    "grid.color": ROLES["line"][0],
    "grid.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "casestudies",  # the same figure, the same bytes
}
# For lines without a colour of their own.
CYCLE = ("conv", "pointwise", "depthwise", "linear", "skip", "pool")


def subplots(
    rows: int = 1, columns: int = 1, *, width: float = 5.0, height: float = 2.9, **options: Any
) -> tuple[Figure, Any]:
    """A Matplotlib figure (size in inches) in the course's style, and its axes, as from `pyplot.subplots`.

    The style stays for the labels and legends that are added later.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        wanted(name, value, int, "a number of at least 1")
        wanted_sizes(**{name: value})
    wanted_sizes(width=width, height=height)
    import matplotlib
    from cycler import cycler
    from matplotlib.figure import Figure

    cycle = cycler(color=[colour(role) for role in CYCLE])
    settings: Any = matplotlib.rcParams  # whose stub accepts literal names only
    settings.update(STYLE | {"axes.prop_cycle": cycle})
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def end_labels(axes: Axes, gap: float = 0.075) -> None:
    """Name each line at its right end, in its colour, instead of a legend; `gap` keeps names apart."""
    from matplotlib.axes import Axes

    wanted("axes", axes, Axes, "axes of Matplotlib, such as figures.subplots() gives")
    wanted_sizes(gap=gap)
    import numpy

    named = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    lines = [line for line in named if numpy.size(line.get_xdata())]
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    last = [[numpy.asarray(data)[-1] for data in line.get_data()] for line in lines]
    ends = [(to_axes.transform(point)[1], line) for point, line in zip(last, lines, strict=True)]
    position = float("-inf")
    for height, line in sorted(ends, key=lambda pair: pair[0]):
        position = max(height, position + gap)
        axes.annotate(
            f"{line.get_label()}",
            xy=(1.0, position),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=line.get_color(),
        )


def drawing(figure: Figure, alt: str, caption: str = "") -> Drawing:
    """A Matplotlib figure as SVG for the page: themed colours, text as text, ids of its own."""
    from matplotlib.figure import Figure

    wanted("figure", figure, Figure, "a figure of Matplotlib, such as figures.subplots() gives")
    wanted_text(alt=alt, caption=caption)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = buffer.getvalue()
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", FONT, body)
    for role, (light, _) in ROLES.items():
        body = re.sub(rf"(?<!, ){light}\b", paint(role), body, flags=re.IGNORECASE)
    # Several figures share a page, so each needs ids of its own.
    prefix = "f" + hashlib.sha256((alt + body).encode()).hexdigest()[:8]
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
    width, height = (72 * side for side in figure.get_size_inches())
    return Drawing(svg_element(body, width, height, alt, shown=1.72 * width), alt, caption)


def show(figure: Figure, alt: str, caption: str = "") -> None:
    """Show a Matplotlib figure in the notebook, with its text alternative."""
    from IPython.display import display

    display(drawing(figure, alt, caption))
