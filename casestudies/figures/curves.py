"""Curves: Matplotlib in the style of the course."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from math import isfinite
from numbers import Real
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


def name_points(axes: Axes, names: Mapping[str, tuple[float, float]], **options: Any) -> None:
    """Write each name beside its point (x, y), where it covers no other point, line or name if it can.

    Call it when all else is drawn and the limits are set: what is measured may lie elsewhere each time. `options`
    are those of Matplotlib's text.
    """
    from matplotlib.axes import Axes

    wanted("axes", axes, Axes, "axes of Matplotlib, such as figures.subplots() gives")
    if not isinstance(names, Mapping):
        raise TypeError(f"names is {names!r:.60}; expected {{name: (x, y)}}")
    wanted_text(**{f"names[{index}]": name for index, name in enumerate(names)})
    for name, place in names.items():
        numbers = isinstance(place, tuple) and all(
            isinstance(each, Real) and isfinite(each) for each in place
        )
        if not numbers or len(place) != 2:
            raise ValueError(f"names[{name!r}] is {place!r:.60}; expected (x, y), two numbers")
    import numpy
    from matplotlib.transforms import Bbox

    figure: Any = axes.figure
    figure.draw_without_rendering()  # or the layout is not known yet
    point = figure.dpi / 72
    dots, lines = [], []  # boxes of markers; places along lines
    for line in axes.get_lines():
        drawn = line.get_transform().transform(line.get_xydata())
        if line.get_marker() not in (None, "None", ""):
            radius = (line.get_markersize() / 2 + 1) * point
            dots += [Bbox.from_bounds(x - radius, y - radius, 2 * radius, 2 * radius) for x, y in drawn]
        if line.get_linestyle() not in ("None", ""):
            if line.get_drawstyle() == "steps-post":
                drawn = numpy.repeat(drawn, 2, axis=0)
                drawn[1:-1, 1] = drawn[:-2, 1]  # on to the next place, then up or down
                drawn = drawn[:-1]
            along = numpy.linspace(0, 1, 40)[:, None]
            lines += [a + along * (b - a) for a, b in zip(drawn, drawn[1:], strict=False)]
    on_lines = numpy.concatenate(lines) if lines else numpy.zeros((0, 2))
    inside, taken = axes.get_window_extent(), [text.get_window_extent() for text in axes.texts]

    def cost(box: Bbox) -> float:
        """What a name in this box would cover; beyond the axes it is worst."""
        found = 0.0
        for others, weight in ((dots, 4.0), (taken, 3.0)):
            for other in others:
                shared = Bbox.intersection(box, other)
                found += weight * (shared.width * shared.height + 20 if shared else 0)
        low, high = (on_lines > box.min).all(1), (on_lines < box.max).all(1)
        crossed = 30.0 if (low & high).any() else 0.0
        outside = max(0, inside.x0 - box.x0, box.x1 - inside.x1, inside.y0 - box.y0, box.y1 - inside.y1)
        return found + crossed + 100 * outside

    # The sides of a point, the best first, and how far away.
    sides = [(1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)]
    for name, place in sorted(names.items(), key=lambda item: (-item[1][0], item[1][1])):
        text = axes.annotate(name, place, xytext=(0, 0), textcoords="offset points", **options)
        text.set_in_layout(False)
        size = text.get_window_extent()
        at = axes.transData.transform(place)
        best: tuple[float, Bbox, tuple[float, float], tuple[str, str]] | None = None
        for far in (6.0, 10.0, 15.0):
            for across, up in sides:
                dx, dy = far * across * (0.7 if up else 1), far * up * (0.7 if across else 1)
                x = at[0] + dx * point - size.width * (1 - across) / 2
                y = at[1] + dy * point - size.height * (1 - up) / 2
                box = Bbox.from_bounds(x, y, size.width, size.height)
                found = cost(box) + far / 10
                if best is None or found < best[0] - 1e-6:
                    align = (
                        {1: "left", -1: "right", 0: "center"}[across],
                        {1: "bottom", -1: "top", 0: "center"}[up],
                    )
                    best = found, box, (dx, dy), align
        assert best is not None
        _, box, offset, (horizontal, vertical) = best
        text.set(ha=horizontal, va=vertical)
        text.set_position(offset)
        taken.append(box)


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
