"""Figures: one palette, curves in its colours, and drawings laid out from a graph.

`subplots` and `show` are for curves. `draw` draws the data flow of a module, `overview` a whole network as a
strip; both take everything they show from the module itself, so they cannot disagree with it.
"""

from casestudies.figures.curves import CYCLE, STYLE, drawing, end_labels, name_points, show, subplots
from casestudies.figures.flow import Stack, draw, place, stacks_of
from casestudies.figures.palette import (
    DARK,
    FONT,
    ROLES,
    WORDS,
    Drawing,
    Row,
    colour,
    paint,
    palette_css,
    row,
    shape_text,
    svg_element,
)
from casestudies.figures.steps import Step, describe, trace
from casestudies.figures.strip import Item, items_of, overview
from casestudies.figures.timeline import timeline

__all__ = [
    "CYCLE", "DARK", "FONT", "ROLES", "STYLE", "WORDS", "Drawing", "Item", "Row", "Stack", "Step", "colour",
    "describe", "draw", "drawing", "end_labels", "items_of", "name_points", "overview", "paint",
    "palette_css", "place", "row", "shape_text", "show", "stacks_of", "subplots", "svg_element", "timeline", "trace",
]  # fmt: skip
