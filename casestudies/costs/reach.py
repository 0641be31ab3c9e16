"""What one pixel sees: the receptive field, carried from operation to operation of a graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from casestudies.costs.formulas import Pair, pair
from casestudies.graph import Graph, Op, Ref, Value


@dataclass(frozen=True)
class Sight:
    """What one pixel of a tensor sees of the image, and how many weighted layers lie between them."""

    field: Pair = (1, 1)
    jump: Pair = (1, 1)
    grid: Pair = (1, 1)
    depth: int = 0
    known: bool = True  # False once a window has run along something that is no side of the image

    def through(self, kernel: Pair, stride: Pair, dilation: Pair, grid: Pair) -> Sight:
        """After a window has passed over the grid."""
        reach = (
            f + (k - 1) * d * j for f, k, d, j in zip(self.field, kernel, dilation, self.jump, strict=True)
        )
        jump = (j * s for j, s in zip(self.jump, stride, strict=True))
        return replace(self, field=pair(reach), jump=pair(jump), grid=grid)

    def everything(self) -> Sight:
        """After one number has been made of the whole grid."""
        return self.through(self.grid, self.grid, (1, 1), (1, 1))


@dataclass(frozen=True)
class Window:
    """An operation that slides a window: sizes along the last two sides; `all_kernel` along all of them."""

    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    all_kernel: tuple[int, ...]


def _convolution(arguments: Mapping[str, Any]) -> Window:
    kernel = arguments["weight"].shape[2:]
    stride, padding, dilation = (pair(arguments[name]) for name in ("stride", "padding", "dilation"))
    return Window(pair(kernel), stride, padding, dilation, tuple(kernel))


def _pool(arguments: Mapping[str, Any]) -> Window:
    kernel = arguments["kernel_size"]
    kernel = (kernel,) * 2 if isinstance(kernel, int) else tuple(kernel)
    stride = arguments.get("stride") or kernel
    padding, dilation = pair(arguments.get("padding", 0)), pair(arguments.get("dilation", 1))
    return Window(pair(kernel), pair(stride), padding, dilation, pair(kernel) if len(kernel) < 3 else kernel)


WINDOW_OPS: dict[str, Callable[[Mapping[str, Any]], Window]] = {
    "convolution": _convolution,
    **dict.fromkeys(("max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d"), _pool),
}
ADAPTIVE = ("adaptive_avg_pool2d", "adaptive_max_pool2d")
REDUCTIONS = ("mean", "sum", "amax", "max")
PADS = ("constant_pad_nd", "reflection_pad2d", "replication_pad2d")


def named_arguments(graph: Graph, op: Op) -> dict[str, Any]:
    """The arguments of an operation by name, with the Value in the place of each tensor."""
    return {
        name: graph.values[value.value] if isinstance(value, Ref) else value for name, value in op.arguments
    }


def window(graph: Graph, op: Op) -> Window | None:
    """The window of an operation that slides one, else None."""
    rule = WINDOW_OPS.get(op.name)
    return None if rule is None else rule(named_arguments(graph, op))


def merge(graph: Graph, op: Op, sights: Sequence[Sight]) -> Sight:
    """Where branches meet: the widest sight. The grid is that of the branches that have the output's."""
    if len(sights) == 1:
        return sights[0]
    out = graph.values[op.outputs[0]].shape
    grid = out[-2:] if len(out) >= 4 else None
    same_grid = [sight for sight in sights if sight.grid == grid] or sights
    widest = max(same_grid, key=lambda sight: sight.field)
    heights, widths = zip(*(sight.field for sight in sights), strict=True)
    depth = max(sight.depth for sight in sights)
    known = all(sight.known for sight in sights)
    return replace(widest, field=(max(heights), max(widths)), depth=depth, known=known)


def see(graph: Graph, op: Op, sight: Sight, product: bool) -> Sight:
    """What the output of an operation sees, given what its inputs saw; `product`: it has weights to multiply."""
    if product:
        sight = replace(sight, depth=sight.depth + 1)
    out = graph.values[op.outputs[0]].shape
    found = window(graph, op)
    if found is not None:
        return _slide(op, found, out, sight)
    if op.name in ADAPTIVE:
        cells = pair(out)
        kernel = pair(_adaptive_window(size, n) for size, n in zip(sight.grid, cells, strict=True))
        stride = pair(max(1, size // n) for size, n in zip(sight.grid, cells, strict=True))
        return sight.through(kernel, stride, (1, 1), cells)
    if op.name in REDUCTIONS and _reduces_grid(_first(graph, op), op.setting("dim"), sight):
        return sight.everything()
    if product:
        # A product with a row or a column for each pixel mixes channels, as a 1x1 convolution does. In any
        # other the grid was flattened into the features, and every output sees all of it.
        mixes_channels = math.prod(sight.grid) in out[-2:] and len(out) > 1 and out[-2] != 1
        return sight if mixes_channels else sight.everything()
    if op.name == "slice" and len(out) >= 4:
        side = op.setting("dim", 0) % len(out) - (len(out) - 2)
        if side >= 0:
            step = op.setting("step", 1)
            jump = pair(j * step if i == side else j for i, j in enumerate(sight.jump))
            return replace(sight, jump=jump, grid=pair(out))
    if op.name in PADS and len(out) >= 4:
        return replace(sight, grid=pair(out))
    return sight


def _slide(op: Op, found: Window, out: tuple[int, ...], sight: Sight) -> Sight:
    if len(found.all_kernel) == 1:  # along channels, or along pixels in a row: no side of the image
        return sight if sight.grid == (1, 1) else replace(sight, known=False)
    grid = pair(out)
    if op.name == "convolution" and op.setting("transposed"):  # the grid becomes finer
        kernel = pair(-(-k // s) for k, s in zip(found.kernel, found.stride, strict=True))
        jump = pair(max(1, j // s) for j, s in zip(sight.jump, found.stride, strict=True))
        return replace(sight.through(kernel, (1, 1), found.dilation, grid), jump=jump)
    return sight.through(found.kernel, found.stride, found.dilation, grid)


def _first(graph: Graph, op: Op) -> Value:
    return graph.values[op.reads[0]]


def _adaptive_window(size: int, cells: int) -> int:
    """The widest of the windows that cut `size` pixels into `cells`."""
    return max(-(-(cell + 1) * size // cells) - cell * size // cells for cell in range(cells))


def _reduces_grid(x: Value, dims: Any, sight: Sight) -> bool:
    if dims is None:
        return True
    rank = len(x.shape)
    gone = {dim % rank for dim in ([dims] if isinstance(dims, int) else dims)}
    if rank >= 4:
        return {rank - 2, rank - 1} <= gone
    return rank - 1 in gone and x.shape[-1] == math.prod(sight.grid)
