"""The strip of a whole network: one bar a layer or block, with the shortcuts as arcs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2

from torch import nn

from casestudies.figures.palette import Drawing, box, paint, shape_text, svg_element, text, wanted_text
from casestudies.figures.steps import describe, described, graph_of, layer_of, parameters_of, steps_of
from casestudies.graph import Graph, unwrapped


@dataclass
class Item:
    """One layer or block of a network, as a bar of the strip."""

    label: str
    role: str
    shape: tuple[int, ...]
    parameters: int
    skip: str = ""  # "identity", "changed" (projected or padded), or none
    name: str = ""


def items_of(network: nn.Module, image: Sequence[int]) -> list[Item]:
    """The layers and blocks of a network in the order in which they run, without norms and activations."""
    graph = graph_of(network, image, "network")
    network = unwrapped(network)
    if graph.calls[0].leaf and not isinstance(network, nn.Sequential):  # one layer, or functions only
        label, role = describe(network)
        shape = graph.values[graph.outputs[0]].shape[1:] if graph.outputs else ()
        return [Item(label, role, shape, parameters_of(network))]
    opened = {0}  # the network itself, and the sequences in it: their parts are the items
    items = []
    for place, call in enumerate(graph.calls):
        if call.parent not in opened or not call.outputs:
            continue
        module = layer_of(network, call)
        if isinstance(module, nn.Sequential):
            opened.add(place)
            continue
        whole_block = module is not None and not call.leaf
        label, role = (type(module).__name__, "conv") if whole_block else described(module, call)
        if role in ("norm", "activation") or isinstance(module, nn.Flatten | nn.Identity):
            continue
        skip = "" if call.leaf else skip_of(graph, network, place)
        parameters = parameters_of(module)
        shape = graph.values[call.outputs[0]].shape[1:]
        items.append(Item(label, role, shape, parameters, skip, call.path))
    return items


def skip_of(graph: Graph, network: nn.Module, place: int) -> str:
    """How the input of a block reaches a sum: "identity", "changed", or "" where it does not."""
    steps = {step.name: step for step in steps_of(graph, network, place)}

    def unchanged(name: str) -> bool:
        step = steps[name]
        return step.kind == "input" or (step.kind == "wire" and unchanged(step.inputs[0]))

    for step in steps.values():
        if step.kind == "sum":
            return "identity" if any(map(unchanged, step.inputs)) else "changed"
    return ""


def overview(network: nn.Module, image: Sequence[int], title: str = "", caption: str = "") -> Drawing:
    """A network as a strip: one bar for each layer or block, with the shortcuts as arcs.

    A bar is as high as its grid and as thick as its channels, both on a logarithmic scale.
    """
    wanted_text(title=title, caption=caption)
    items = items_of(network, image)
    if not items:
        raise ValueError(
            f"network is {type(network).__name__}, in which no layer or block runs; there is nothing to draw"
        )
    thickness = [3.0 + 1.6 * log2(max(1, *item.shape[:1], 1)) for item in items]
    heights = [10.0 + 14.0 * log2(max(1, item.shape[1])) if len(item.shape) == 3 else 10.0 for item in items]
    pairs = zip(items, items[1:], strict=False)
    gaps = [11.0 if second.shape == first.shape else 26.0 for first, second in pairs]
    length = sum(thickness) + sum(gaps)
    width, top = 540.0, 52.0 if title else 28.0
    base = top + max(heights) / 2
    scale = min(1.0, (width - 24) / length)
    left = (width - scale * length) / 2
    body: list[str] = []
    if title:
        body.append(text(width / 2, 16, title, size=15, weight=650))
    xs: list[float] = []
    for index, (item, height) in enumerate(zip(items, heights, strict=True)):
        bar = scale * thickness[index]
        body.append(box(left, base - height / 2, bar, height, item.role, 1.5 if scale > 0.5 else 0))
        xs.append(left + bar / 2)
        left += bar + (scale * gaps[index] if index < len(gaps) else 0)
    for index, item in enumerate(items):
        if item.skip and index > 0:
            body.append(arc(xs, heights, index, base, dashed=item.skip == "changed"))
    labels, bottom = strip_labels(items, xs, heights, base, width)
    alt = describe_strip(title or type(network).__name__, items, image)
    return Drawing(svg_element("".join([*body, *labels]), width, bottom, alt, shown=720), alt, caption)


def arc(xs: Sequence[float], heights: Sequence[float], index: int, base: float, dashed: bool) -> str:
    """The shortcut around the bar `index`, from the middle of the gap before it to that of the gap after."""
    after = (xs[index] + xs[index + 1]) / 2 if index + 1 < len(xs) else xs[index] + 8
    before = (xs[index - 1] + xs[index]) / 2
    top = base - heights[index] / 2 - 22
    dash = ";stroke-dasharray:4 3" if dashed else ""
    curve = f"C{before:.1f} {top:.1f} {after:.1f} {top:.1f} {after:.1f} {base:.1f}"
    style = f"fill:none;stroke:{paint('skip')};stroke-width:1.5{dash}"
    return f'<path d="M{before:.1f} {base:.1f}{curve}" style="{style}"/>'


def runs_of(items: Sequence[Item]) -> Iterator[tuple[int, int]]:
    """The stretches (first, last) of items that have the same shape."""
    start = 0
    for index in range(1, len(items) + 1):
        if index == len(items) or items[index].shape != items[start].shape:
            yield start, index - 1
            start = index


def kinds_of(items: Sequence[Item]) -> Counter[str]:
    """How many of each kind of layer or block there are, in the order in which the kinds first run."""
    return Counter(item.label.split(",")[0] for item in items)


def strip_labels(
    items: Sequence[Item], xs: Sequence[float], heights: Sequence[float], base: float, width: float
) -> tuple[list[str], float]:
    """Below each stretch of equal shape, its shape and its layers or blocks; and where the labels end.

    Labels that would touch move to the next line down.
    """
    first_line = base + max(heights) / 2 + 20
    line_ends: list[float] = []
    placed: list[tuple[float, float, float]] = []  # middle and half of the width, and the first line's height
    leaders: list[
        tuple[float, float, float]
    ] = []  # from a stretch down to its label: where, and from what to what
    labels = []
    for first, last in runs_of(items):
        middle = (xs[first] + xs[last]) / 2
        what = ", ".join(
            f"{n} × {kind}" if n > 1 else kind for kind, n in kinds_of(items[first : last + 1]).items()
        )
        shape = items[first].shape
        square = len(shape) == 3 and shape[1] == shape[2]
        words = f"{shape[0]} × {shape[1]}²" if square else shape_text(shape)
        half = max(3.6 * len(words), 3.0 * len(what)) + 4
        centre = min(max(middle, half), width - half)
        level = 0
        while level < len(line_ends) and line_ends[level] > centre - half:
            level += 1
        line_ends[level : level + 1] = [centre + half]
        y = first_line + 36 * level
        placed.append((centre, half, y))
        leaders.append((middle, base + heights[last] / 2 + 3, y - 12))
        labels.append(text(centre, y, words, 12))
        labels.append(text(centre, y + 14, what, 10.5, "soft"))
    style = f"fill:none;stroke:{paint('line')};stroke-width:1"
    for x, start, end in leaders:
        # A leader passes behind the labels on its way, so that it does not cross their words.
        for crossed in sorted(y for centre, half, y in placed if y < end and abs(x - centre) < half):
            labels.append(f'<path d="M{x:.1f} {start:.1f}L{x:.1f} {crossed - 12:.1f}" style="{style}"/>')
            start = crossed + 19
        labels.append(f'<path d="M{x:.1f} {start:.1f}L{x:.1f} {end:.1f}" style="{style}"/>')
    return labels, first_line + 36 * len(line_ends) - 14


def describe_strip(title: str, items: Sequence[Item], image: Sequence[int]) -> str:
    stretches = []
    for first, last in runs_of(items):
        counts: dict[str, int] = {}
        for item in items[first : last + 1]:
            counts[item.label] = counts.get(item.label, 0) + 1
        what = " and ".join(f"{n} × {label}" if n > 1 else label for label, n in counts.items())
        stretches.append(f"{what} to {shape_text(items[first].shape)}")
    skips = sum(bool(item.skip) for item in items)
    changed = sum(item.skip == "changed" for item in items)
    tail = f" {skips} shortcuts, {changed} of which change the shape." if skips else " No shortcuts."
    return f"{title} as a strip, from an image of {shape_text(image)}: {', '.join(stretches)}.{tail}"
