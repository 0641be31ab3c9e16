"""The one visual language of the course: what each colour means, and figures made from the networks.

A colour stands for the same thing in every figure. Figures are SVG inside the page, so that text stays text
and the page's light or dark theme sets the colours. Every figure has a text alternative.

`subplots` and `show` are for curves. `draw` traces a module and draws its data flow, `overview` draws a whole
network as a strip; both take everything they show from the module itself, so they cannot disagree with it.
"""

from __future__ import annotations

import copy
import hashlib
import io
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from math import log2
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# Where a page says that it is dark: this book, JupyterLab, Colab, VS Code.
DARK = (
    'html[data-theme="dark"]',
    'body[data-jp-theme-light="false"]',
    'html[theme="dark"]',
    "body.vscode-dark",
)


def colour(role: str) -> str:
    """The colour of a role, for Matplotlib; `show` lets the page's theme choose its light or dark form.

    >>> colour("conv")
    '#0072b2'
    """
    if role not in ROLES:
        raise ValueError(f"role is {role!r}; expected one of {', '.join(ROLES)}")
    return ROLES[role][0]


def paint(role: str) -> str:
    """The colour of a role as a CSS value that follows the theme."""
    return f"var(--f-{role}, {colour(role)})"


def palette_css() -> str:
    """The colours as CSS variables of an SVG of class `drawn`."""

    def block(selector: str, shade: int) -> str:
        return f"{selector}{{{''.join(f'--f-{role}:{shades[shade]};' for role, shades in ROLES.items())}}}"

    return block("svg.drawn", 0) + block(",".join(f"{page} svg.drawn" for page in DARK), 1)


@dataclass(frozen=True)
class Drawing:
    """An SVG with its text alternative and an optional caption; it renders itself in a notebook."""

    svg: str
    alt: str
    caption: str = ""

    @property
    def width(self) -> float:
        """The width in pixels at which it is meant to be seen."""
        return float(re.search(r"max-width:(\d+)px", self.svg)[1])

    def __post_init__(self) -> None:
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
    return Row(drawings)


def svg_element(body: str, width: float, height: float, alt: str, shown: float | None = None) -> str:
    """An `<svg>` of class `drawn`, `width` x `height` in its own units and at most `shown` pixels wide."""
    style = f"width:100%;max-width:{shown or width:.0f}px;height:auto;font-family:{FONT}"
    return (
        f'<svg class="drawn" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'role="img" aria-label="{escape(alt, quote=True)}" style="{style}">'
        f"<style>{palette_css()}</style>{body}</svg>"
    )


# Curves


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
CYCLE = ("conv", "pointwise", "depthwise", "linear", "skip", "pool")  # for lines that are given no colour


def subplots(rows: int = 1, columns: int = 1, *, width: float = 5.0, height: float = 2.9, **options: Any):
    """A Matplotlib figure (size in inches) in the course's style, and its axes, as from `pyplot.subplots`.

    The style stays for the labels and legends that are added later.
    """
    import matplotlib
    from matplotlib.figure import Figure

    cycle = matplotlib.cycler(color=[colour(role) for role in CYCLE])
    matplotlib.rcParams.update(STYLE | {"axes.prop_cycle": cycle})
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def end_labels(axes: Axes, gap: float = 0.075) -> None:
    """Name each line at its right end, in its colour, instead of a legend; `gap` keeps names apart."""
    lines = [
        line for line in axes.get_lines() if not line.get_label().startswith("_") and len(line.get_xdata())
    ]
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = [(to_axes.transform((line.get_xdata()[-1], line.get_ydata()[-1]))[1], line) for line in lines]
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
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = buffer.getvalue()
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    body = re.sub(r"\s*<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", FONT, body)
    for role, (light, _) in ROLES.items():
        body = re.sub(rf"(?<!, ){light}\b", paint(role), body, flags=re.IGNORECASE)
    # Several figures share a page, so each takes ids that no other has.
    prefix = "f" + hashlib.sha256((alt + body).encode()).hexdigest()[:8]
    body = re.sub(r'\bid="', f'id="{prefix}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", body)
    width, height = (72 * side for side in figure.get_size_inches())
    return Drawing(svg_element(body, width, height, alt, shown=1.72 * width), alt, caption)


def show(figure: Figure, alt: str, caption: str = "") -> None:
    """Show a Matplotlib figure in the notebook, with its text alternative."""
    from IPython.display import display

    display(drawing(figure, alt, caption))


# What a module does, from its trace


@dataclass
class Step:
    """One operation of a traced module, with the shape (channels, height, width) of its result."""

    name: str
    kind: str  # "input", "box", "sum", "product", "concatenation", "wire"
    label: str
    role: str
    inputs: list[str]
    shape: tuple[int, ...]
    parameters: int = 0


class LeafTracer(torch.fx.Tracer):
    """Follow every module that has parts; a module without parts is one step."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return not any(True for _ in module.children())


class ShapeRecorder(torch.fx.Interpreter):
    """Run a traced module and remember the shape of every result."""

    def __init__(self, module: torch.fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[str, tuple[int, ...]] = {}

    def run_node(self, node: torch.fx.Node) -> Any:
        result = super().run_node(node)
        if isinstance(result, torch.Tensor):
            self.shapes[node.name] = tuple(result.shape[1:])
        return result


def kernel_text(kernel: int | tuple[int, ...]) -> str:
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    return "×".join(map(str, sides))


def stride_text(stride: int | tuple[int, ...]) -> str:
    first = stride if isinstance(stride, int) else stride[0]
    return f", stride {first}" if first > 1 else ""


def describe(module: nn.Module) -> tuple[str, str]:
    """The label of one layer, and its role."""
    match module:
        case nn.Conv2d():
            kind, role = "conv", "conv"
            if module.groups == module.in_channels and module.groups > 1:
                kind, role = "depthwise conv", "depthwise"
            elif module.kernel_size == (1, 1):
                role = "pointwise"
            groups = f", {module.groups} groups" if module.groups > 1 and role == "conv" else ""
            text = f"{kernel_text(module.kernel_size)} {kind}, {module.out_channels}"
            return text + groups + stride_text(module.stride), role
        case nn.Linear():
            return f"linear, {module.out_features}", "linear"
        case nn.BatchNorm2d():
            return "batch norm", "norm"
        case nn.LocalResponseNorm():
            return "local response norm", "norm"
        case nn.MaxPool2d():
            return f"max pool {kernel_text(module.kernel_size)}{stride_text(module.stride)}", "pool"
        case nn.AvgPool2d():
            return f"average pool {kernel_text(module.kernel_size)}{stride_text(module.stride)}", "pool"
        case nn.AdaptiveAvgPool2d():
            return "global average pool" if module.output_size in (
                1,
                (1, 1),
            ) else "adaptive average pool", "pool"
        case nn.Dropout():
            return f"dropout {module.p:g}", "norm"
        case nn.Flatten():
            return "flatten", "pool"
        case nn.ReLU() | nn.ReLU6() | nn.Tanh() | nn.Sigmoid() | nn.SiLU():
            return type(module).__name__.replace("Tanh", "tanh").replace("Sigmoid", "sigmoid"), "activation"
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", type(module).__name__).lower()
    return words + stride_text(getattr(module, "stride", 1)), "skip" if "shortcut" in words else "pool"


FUNCTIONS: dict[Callable[..., Any], tuple[str, str, str]] = {
    operator.add: ("sum", "+", "skip"),
    operator.iadd: ("sum", "+", "skip"),
    torch.add: ("sum", "+", "skip"),
    operator.mul: ("product", "×", "skip"),
    torch.mul: ("product", "×", "skip"),
    torch.cat: ("concatenation", "concatenate", "skip"),
    torch.flatten: ("box", "flatten", "pool"),
    F.relu: ("box", "ReLU", "activation"),
    F.relu6: ("box", "ReLU6", "activation"),
    F.silu: ("box", "SiLU", "activation"),
    F.tanh: ("box", "tanh", "activation"),
    torch.relu: ("box", "ReLU", "activation"),
    torch.tanh: ("box", "tanh", "activation"),
    torch.sigmoid: ("box", "sigmoid", "activation"),
}


def trace(module: nn.Module, image: Sequence[int]) -> list[Step]:
    """What `module` does to an input of shape `image` = (channels, height, width), in order."""
    module = copy.deepcopy(module).to("meta").eval()
    graph = LeafTracer().trace(module)
    recorder = ShapeRecorder(torch.fx.GraphModule(module, graph))
    recorder.run(torch.empty(1, *image, device="meta"))
    steps: list[Step] = []
    for node in graph.nodes:
        if node.op == "output":
            continue
        inputs = [source.name for source in node.all_input_nodes]
        kind, label, role, parameters = "box", str(node.target), "pool", 0
        if node.op == "placeholder":
            kind, label, role = "input", "x", "ink"
        elif node.op == "call_module":
            layer = module.get_submodule(str(node.target))
            label, role = describe(layer)
            parameters = sum(p.numel() for p in layer.parameters())
            if isinstance(layer, nn.Identity):
                kind, label, role = "wire", "identity", "skip"
        elif node.target in FUNCTIONS:
            kind, label, role = FUNCTIONS[node.target]
        elif node.op == "call_function":
            label = getattr(node.target, "__name__", label)
        steps.append(
            Step(node.name, kind, label, role, inputs, recorder.shapes.get(node.name, ()), parameters)
        )
    return steps


def shape_text(shape: Sequence[int]) -> str:
    """
    >>> shape_text((64, 56, 56)), shape_text((10,))
    ('64 × 56 × 56', '10')
    """
    return " × ".join(map(str, shape))


# The drawing of a block

BOX_HEIGHT, THIN, CIRCLE, GAP = 40, 24, 13, 30  # pixels


@dataclass
class Stack:
    """Steps drawn as one column of boxes that touch, such as a convolution, its batch norm and its ReLU."""

    steps: list[Step]
    inputs: list[Stack] = field(default_factory=list)
    column: int = 0
    top: float = 0.0
    x: float = 0.0  # of its centre
    width: float = 0.0

    @property
    def kind(self) -> str:
        return self.steps[0].kind

    @property
    def heights(self) -> list[float]:
        if self.kind in ("sum", "product"):
            return [2 * CIRCLE]
        if self.kind in ("input", "wire"):
            return [0.0]
        return [BOX_HEIGHT if step.parameters and step.role != "norm" else THIN for step in self.steps]

    @property
    def height(self) -> float:
        return sum(self.heights)

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def shape(self) -> tuple[int, ...]:
        return self.steps[-1].shape


def stacks_of(steps: Sequence[Step]) -> list[Stack]:
    """Join each norm and activation to the layer before it, where nothing else looks at what lies between."""
    uses: dict[str, int] = {}
    for step in steps:
        for source in step.inputs:
            uses[source] = uses.get(source, 0) + 1
    where: dict[str, Stack] = {}
    stacks: list[Stack] = []
    for step in steps:
        before = where.get(step.inputs[0]) if len(step.inputs) == 1 else None
        joins = step.kind == "box" and step.role in ("norm", "activation") and before is not None
        if joins and before.kind == "box" and uses[step.inputs[0]] == 1:
            before.steps.append(step)
        else:
            before = Stack([step], [where[source] for source in step.inputs])
            stacks.append(before)
        where[step.name] = before
    return stacks


def longest_path(stacks: Sequence[Stack], free: set[int], ends: set[int]) -> list[Stack]:
    """The longest run of free stacks from a placed stack to a placed stack, both of them included."""
    best: dict[int, list[Stack]] = {}
    found: list[Stack] = []
    for stack in stacks:  # in topological order
        candidates = [best[id(source)] for source in stack.inputs if id(source) in best]
        path = max(candidates, key=len, default=[])
        if id(stack) in ends:
            if path and len(path) + 1 > len(found):
                found = [*path, stack]
            best[id(stack)] = [stack]
        elif id(stack) in free and path:
            best[id(stack)] = [*path, stack]
    return found


def place(stacks: list[Stack]) -> list[tuple[Stack, Stack, int]]:
    """Give each stack a column and a height; return the direct edges that need a lane: (from, to, column)."""
    first, last = stacks[0], stacks[-1]
    free = {id(stack) for stack in stacks} - {id(first), id(last)}
    main = longest_path(stacks, free, {id(first), id(last)})
    top = 0.0
    for stack in main:
        stack.top = top
        top = stack.bottom + GAP
    placed = {id(stack) for stack in main}
    free -= placed
    taken: list[tuple[int, float, float]] = []

    def free_column(start: float, end: float) -> int:
        column = 1
        while any(column == other and start < below and above < end for other, above, below in taken):
            column += 1
        taken.append((column, start, end))
        return column

    while free:
        # Join the branches at the nearest placed stack, longest first.
        path = longest_path(stacks, free, placed)
        if len(path) < 3:  # a branch that leads nowhere
            break
        fork, *branch, merge = path
        column = free_column(fork.bottom, merge.top)
        space = merge.top - fork.bottom - sum(stack.height for stack in branch)
        top = fork.bottom
        for stack in branch:
            top += space / (len(branch) + 1)
            stack.column, stack.top = column, top
            top = stack.bottom
        placed |= {id(stack) for stack in branch}
        free -= placed
    lanes = []
    for stack in stacks:
        for source in stack.inputs:
            between = [other for other in main if source.bottom < other.top and other.bottom < stack.top]
            if source.column == stack.column == 0 and between:
                lanes.append((source, stack, free_column(source.bottom, stack.top)))
    order_by_concatenation(stacks)
    return lanes


def order_by_concatenation(stacks: list[Stack]) -> None:
    """Where branches are concatenated, let them stand in the order in which their channels do."""
    for stack in stacks:
        if stack.kind == "concatenation" and len({source.column for source in stack.inputs}) == len(
            stack.inputs
        ):
            new = {source.column: index for index, source in enumerate(stack.inputs)}
            for other in stacks:
                if stack.inputs and other.kind not in ("input", "concatenation"):
                    other.column = new.get(other.column, other.column)


def draw(module: nn.Module, image: Sequence[int], title: str = "", caption: str = "") -> Drawing:
    """The data flow of `module` for an input of shape `image` = (channels, height, width), top to bottom."""
    stacks, wires = without_wires(stacks_of(trace(module, image)))
    lanes = place(stacks)
    spread = any(stack.kind == "concatenation" for stack in stacks)
    labels = [step.label for stack in stacks for step in stack.steps if stack.kind == "box"]
    box_width = max(150.0, 6.9 * max(map(len, labels), default=0) + 18)
    boxed = {stack.column for stack in stacks}
    columns = 1 + max([*boxed, *(column for *_, column in lanes)])
    left = 6.0 + (70 if not spread else 0)  # shapes are written left of the first column
    centres: list[float] = []
    for column in range(columns):
        room = box_width if column in boxed else 26
        centres.append(left + room / 2)
        left += room + 20
    width = left - 14 + (64 if wires else 0)
    middle = (centres[0] + centres[-1]) / 2 if spread else centres[0]
    for stack in stacks:
        stack.x = middle if spread and stack.kind in ("input", "concatenation") else centres[stack.column]
        stack.width = width - 12 if stack.kind == "concatenation" else box_width
        stack.top += 46 if title else 26
    body: list[str] = []
    if title:
        body.append(text(middle, 16, title, size=15, weight=650))
    body.append(text(middle, stacks[0].top - 6, shape_text(stacks[0].shape), size=12.5, role="soft"))
    in_lane = {(id(source), id(target)): column for source, target, column in lanes}
    for stack in stacks:
        for source in stack.inputs:
            column = in_lane.get((id(source), id(stack)))
            lane_x = None if column is None else centres[column]
            body.extend(connection(source, stack, lane_x, wires.get((id(source), id(stack)), ""), spread))
    for stack in stacks:
        body.extend(stack_shapes(stack))
    end = stacks[-1].bottom
    body.append(arrow([(middle, end), (middle, end + 22)], "soft"))
    body.append(text(middle, end + 37, shape_text(stacks[-1].shape), size=12.5, role="soft"))
    name = title or type(module).__name__
    alt = describe_flow(name, stacks, set(wires.values()))
    return Drawing(svg_element("".join(body), width, end + 44, alt), alt, caption)


def without_wires(stacks: list[Stack]) -> tuple[list[Stack], dict[tuple[int, int], str]]:
    """Take out what passes its input on unchanged; return the labels of the edges that it became."""
    wires = {}
    for stack in stacks:
        for index, source in enumerate(stack.inputs):
            if source.kind == "wire":
                stack.inputs[index] = source.inputs[0]
                wires[id(source.inputs[0]), id(stack)] = source.steps[0].label
    return [stack for stack in stacks if stack.kind != "wire"], wires


def connection(source: Stack, target: Stack, lane: float | None, label: str, spread: bool) -> Iterator[str]:
    """The line from one stack to the next, straight down, or around what lies between."""
    start, end = (source.x, source.bottom), (target.x, target.top)
    fork, join = source.bottom + 0.3 * GAP, target.top - 0.45 * GAP
    from_the_side = target.kind in ("sum", "product")
    side = (target.x + CIRCLE, target.top + CIRCLE)
    if lane is not None:
        points = [start, (source.x, fork), (lane, fork)]
        points += [(lane, side[1]), side] if from_the_side else [(lane, join), (target.x, join), end]
        yield arrow(points, "skip")
        if label:
            yield text(lane + 8, (fork + target.top) / 2, label, 12.5, "skip", anchor="start")
        return
    if source.column == target.column and source.x == target.x:
        yield arrow([start, end], "soft")
        if source.kind == "box" and not spread:
            middle = (source.bottom + target.top) / 2 + 4
            yield text(source.x - 9, middle, shape_text(source.shape), 11.5, "soft", anchor="end")
        return
    role = "soft" if spread else "skip"
    if target.kind == "concatenation":
        yield arrow([start, (source.x, target.top)], role)
    elif from_the_side and source.x > target.x:
        yield arrow([start, (source.x, side[1]), side], role)
    else:
        yield arrow([start, (source.x, fork), (target.x, fork), end], role)


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


def stack_shapes(stack: Stack) -> Iterator[str]:
    """The boxes of a stack, or its circle."""
    x, top = stack.x, stack.top
    if stack.kind in ("sum", "product"):
        style = f"fill:{paint('skip')};fill-opacity:.17;stroke:{paint('skip')};stroke-width:1.5"
        yield f'<circle cx="{x:.1f}" cy="{top + CIRCLE:.1f}" r="{CIRCLE}" style="{style}"/>'
        yield text(x, top + CIRCLE + 6, stack.steps[0].label, 19)
    elif stack.kind != "input":
        for step, height in zip(stack.steps, stack.heights, strict=True):
            yield box(x - stack.width / 2, top, stack.width, height, step.role)
            if height == BOX_HEIGHT:
                yield text(x, top + 17, step.label, 13)
                yield text(x, top + 33, f"{step.parameters:,} parameters", 11, "soft")
            else:
                yield text(x, top + height / 2 + 4.5, step.label, 12)
            top += height


def describe_flow(title: str, stacks: Sequence[Stack], wires: set[str]) -> str:
    """The drawing in words."""

    def words(stack: Stack) -> str:
        return ", ".join(step.label for step in stack.steps)

    main = [words(stack) for stack in stacks if stack.column == 0 and stack.kind == "box"]
    aside = [words(stack) for stack in stacks if stack.column > 0 and stack.kind == "box"] + sorted(wires)
    sentence = f"{title}: an input of {shape_text(stacks[0].shape)} goes through {'; '.join(main)}. "
    if aside:
        sentence += f"Beside it: {'; '.join(aside)}. "
    for kind, what in (("sum", "added"), ("product", "multiplied"), ("concatenation", "concatenated")):
        if any(stack.kind == kind for stack in stacks):
            sentence += f"The paths are {what}. "
    return f"{sentence}The output is {shape_text(stacks[-1].shape)}."


# The strip of a whole network


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
    network = copy.deepcopy(network).to("meta").eval()
    parts: list[tuple[str, nn.Module]] = []

    def open_up(module: nn.Module, name: str) -> None:
        for child_name, child in module.named_children():
            path = f"{name}.{child_name}".lstrip(".")
            if isinstance(child, nn.Sequential):
                open_up(child, path)
            else:
                parts.append((path, child))

    open_up(network, "")
    ran: list[tuple[nn.Module, tuple[int, ...], tuple[int, ...]]] = []

    def remember(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        ran.append((module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    hooks = [part.register_forward_hook(remember) for _, part in parts]
    network(torch.empty(1, *image, device="meta"))
    for hook in hooks:
        hook.remove()
    names = {id(part): name for name, part in parts}
    items = []
    for module, entered, left in ran:
        leaf = not any(True for _ in module.children())
        label, role = describe(module) if leaf else (type(module).__name__, "conv")
        if role in ("norm", "activation") or isinstance(module, nn.Flatten | nn.Identity):
            continue
        skip = "" if leaf else skip_of(module, entered)
        parameters = sum(p.numel() for p in module.parameters())
        items.append(Item(label, role, left, parameters, skip, names[id(module)]))
    return items


def skip_of(block: nn.Module, image: Sequence[int]) -> str:
    """How the input of a block reaches a sum: "identity", "changed", or "" where it does not."""
    steps = {step.name: step for step in trace(block, image)}

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
    items = items_of(network, image)
    thickness = [3.0 + 1.6 * log2(item.shape[0]) for item in items]
    heights = [10.0 + 14.0 * log2(item.shape[1]) if len(item.shape) == 3 else 10.0 for item in items]
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
        same = [item for item in items[first : last + 1] if item.label == items[last].label]
        label = items[last].label.split(",")[0]
        what = f"{len(same)} × {label}" if len(same) > 1 else label
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
        # A leader goes behind the labels on its way, and not through their words.
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
