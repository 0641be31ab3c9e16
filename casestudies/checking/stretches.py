"""Stretches: what is written by hand between two images, told by what it does to numbers.

Windows may be added up by slices, by a reshaping and a sum, or by an einsum; a response norm may be written with a
loop, a convolution or a cumulative sum. No list of operations tells all of these. So each stretch of operations that
has a layer in it that nobody knows is carried out on numbers from which its settings follow; then it is carried out
on random numbers, and only what gives what such a layer gives is taken for one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import isclose, log10, prod

import torch
import torch.nn.functional as F
from torch import Tensor

from casestudies.checking.differences import until_layer
from casestudies.checking.layers import CUTS, KNOWN, Layer
from casestudies.checking.products import between
from casestudies.graph import Graph, Ref
from casestudies.replay import ReplayError, replay

MOST = 2**22  # numbers that go into a stretch, all times together
MOST_LAYERS, MOST_TRIED = 24, 12  # of one stretch, and stretches of a graph
NEAR = 1e-7
# What is a layer by itself, and may also be a step of a stretch.
STEPS = {
    "subsampling",
    "choice of channels",
    "zero channels",
    "sum",
    "concatenation",
    "scale",
    "product",
    "shift",
    "difference",
}
Layers = tuple[Layer, ...]
Run = Callable[[Tensor], Tensor]


def with_stretches(graph: Graph, layers: Layers) -> Layers:
    """The layers with one in the place of each stretch that does the same."""
    if all(layer.kind in KNOWN or layer.kind in CUTS for layer in layers) and not _cut(layers):
        return layers
    tried, settled = 0, len(layers)
    for last in range(len(layers) - 1, 0, -1):
        if last >= settled or tried >= MOST_TRIED:
            continue
        for top in _tops(layers, last):
            tried += 1
            try:
                found = _told(graph, layers, top, last)
            except (ReplayError, ValueError, KeyError, IndexError, TypeError, RuntimeError, ArithmeticError):
                found = None  # a stranger's graph, or numbers too large or too small
            if found is not None:
                layers = (*layers[:last], replace(found, reads=(top,)), *layers[last + 1 :])
                settled = top + 1
                break
    return until_layer(layers, len(layers) - 1)


def _cut(layers: Layers) -> bool:
    return sum(layer.kind == "subsampling" for layer in layers) > 1


def _tops(layers: Layers, last: int) -> Iterator[int]:
    """The images from which all that leads to a layer comes, the nearest first, as far as what lies between is read
    nowhere else and nobody knows all of it."""
    shape = _image(layers[last].shape)
    if len(shape) != 4 or layers[last].setting("gradient") or not _is_a_step(layers[last]):
        return
    inside, open_ends = {last}, set(layers[last].reads)
    while len(inside) <= MOST_LAYERS:
        if len(open_ends) == 1:
            (top,) = open_ends
            alone = all(each == last or _read_inside(layers, each, inside) for each in inside)
            foreign = any(
                layers[each].kind not in KNOWN or layers[each].kind in ("subsampling", "product")
                for each in inside
            )
            whole = len(layers[top].shape) == 4 and layers[top].shape[:2] == shape[:2]
            if foreign and alone and whole and (len(inside) > 1 or layers[last].kind not in KNOWN):
                yield top
        latest = max(open_ends)
        layer = layers[latest]
        if layer.kind == "input" or not _is_a_step(layer):
            return
        inside.add(latest)
        open_ends = (open_ends - {latest}) | set(layer.reads)


def _image(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The sizes of an image, without axes of size 1 that are left of what was added up."""
    return shape[:4] if set(shape[4:]) <= {1} else shape


def _is_a_step(layer: Layer) -> bool:
    return layer.kind in STEPS or layer.kind not in KNOWN


def _read_inside(layers: Layers, place: int, inside: set[int]) -> bool:
    return all(other in inside for other, layer in enumerate(layers) if place in layer.reads)


def _told(graph: Graph, layers: Layers, top: int, last: int) -> Layer | None:
    source, value = layers[top].value, layers[last].value
    if source < 0 or value < 0:
        return None
    ops = between(graph, source, value)
    held = {each.value for each in graph.state if each.value is not None}
    if not ops or any(op.random or op.writes or not held.isdisjoint(op.reads) for op in ops):
        return None
    shape, dtype = graph.values[source].shape, graph.values[source].dtype
    if dtype != "float64" or shape != layers[top].shape:
        return None
    form = _image(layers[last].shape)
    alone = replace(graph, inputs=(source,), ops=tuple(ops), state=(), output=(Ref(value),))

    def run(given: Tensor) -> Tensor:
        with torch.no_grad():
            return replay(alone, [given.clone()], {}).outputs[0].reshape(form)

    images = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    settings = _norm(run, images) or _windows(run, images)
    if settings is None:
        return None
    return Layer(settings[0], settings[1], (top,), value, layers[last].shape)


Told = tuple[str, tuple[tuple[str, object], ...]]


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def _norm(run: Run, images: Tensor) -> Told | None:
    """The settings of local response norm, x / (k + alpha * mean of x^2 over channels)^beta, where it is that."""
    channel = images.shape[1] // 2
    if run(images).shape != images.shape:
        return None

    def factors(size: float) -> Tensor:
        """By what each channel is multiplied where one of them is large."""
        given = torch.full_like(images, 1e-9)
        given[:, channel] = size
        return (run(given) / given)[0, :, 0, 0]

    plain, large, larger, usual = (factors(size) for size in (1e-9, 1e7, 1e8, 100.0))
    at = float(plain[channel]), float(large[channel]), float(larger[channel]), float(usual[channel])
    if not all(0 < each < 1e300 for each in at):
        return None
    beta = _short(-0.5 * log10(at[2] / at[1]))
    if not 1e-3 < beta < 20:
        return None
    k = _short(at[0] ** (-1 / beta))
    each = (at[3] ** (-1 / beta) - k) / 100.0**2
    size = int(((usual / plain - 1).abs() > 1e-10).sum())
    alpha = _short(each * size)
    if not size or alpha <= 0:
        return None
    right = F.local_response_norm(images * 10, size, alpha, beta, k)
    if not torch.allclose(run(images * 10), right, rtol=1e-5, atol=1e-8):
        return None
    return "local response norm", (("size", size), ("alpha", alpha), ("beta", beta), ("k", k))


def _windows(run: Run, images: Tensor) -> Told | None:
    """The settings of a pooling that adds up windows, or of windows that are added up with weights, where it is one
    and does the same to every channel."""
    given = run(images)
    if given.shape[:2] != images.shape[:2] or bool(run(torch.zeros_like(images)).any()):
        return None
    height, width = images.shape[2:]
    slots, pixels = prod(images.shape[:2]), height * width
    times = -(-pixels // slots)
    if times * images.numel() > MOST:
        return None
    columns = []
    for time in range(times):
        one = torch.zeros_like(images).reshape(slots, pixels)
        for slot in range(min(slots, pixels - time * slots)):
            one[slot, time * slots + slot] = 1.0
        columns.append(run(one.reshape(images.shape)).reshape(slots, -1)[: pixels - time * slots])
    matrix = torch.cat(columns)  # what each pixel adds to each pixel of the output
    right = (images.reshape(slots, pixels) @ matrix).reshape(given.shape)
    if not torch.allclose(right, given, rtol=NEAR, atol=NEAR):
        return None
    found = _slid(matrix.reshape(height, width, *given.shape[2:]))
    return None if found is None else _of_windows(*found, (height, width))


Slid = tuple[Tensor, tuple[int, int], tuple[int, int]]  # the weights of a window, the steps, the padding


def _slid(matrix: Tensor) -> Slid | None:
    """The window that slides over an image, where all that each pixel of the output is made of is that."""
    height, width, rows, columns = matrix.shape
    used = matrix != 0
    middle = rows // 2, columns // 2
    spans = [
        [used[:, :, row, middle[1]].any(1).nonzero().flatten() for row in range(rows)],
        [used[:, :, middle[0], column].any(0).nonzero().flatten() for column in range(columns)],
    ]
    starts, sizes, steps = [], [], []
    for found, here in zip(spans, middle, strict=True):
        if any(not len(each) for each in found):
            return None
        size = max(int(each[-1] - each[0]) + 1 for each in found)
        step = int(found[here][-1] - found[here - 1][-1]) if here else size
        starts.append(int(found[here][-1]) - size + 1 - step * here)
        sizes.append(size)
        steps.append(step)
    if min(steps) < 1 or max(starts) > 0:
        return None
    padding = -starts[0], -starts[1]
    top, left = (steps[axis] * middle[axis] + starts[axis] for axis in range(2))
    padded = F.pad(matrix[..., middle[0], middle[1]], (sizes[1], sizes[1], sizes[0], sizes[0]))
    weights = padded[top + sizes[0] : top + 2 * sizes[0], left + sizes[1] : left + 2 * sizes[1]]
    one = torch.eye(height * width, dtype=torch.float64).reshape(-1, 1, height, width)
    ends = [
        max(0, steps[axis] * (count - 1) + sizes[axis] + starts[axis] - side)
        for axis, (count, side) in enumerate(((rows, height), (columns, width)))
    ]
    padded = F.pad(one, (padding[1], ends[1], padding[0], ends[0]))
    again = F.conv2d(padded, weights[None, None], stride=tuple(steps))[..., :rows, :columns]
    if again.shape[2:] != (rows, columns) or not torch.allclose(
        again.reshape(height, width, rows, columns), matrix, rtol=NEAR, atol=NEAR
    ):
        return None
    return weights, (steps[0], steps[1]), padding


def _of_windows(
    weights: Tensor, steps: tuple[int, int], padding: tuple[int, int], grid: tuple[int, int]
) -> Told | None:
    taken = [(weights != 0).any(1 - axis).nonzero().flatten().tolist() for axis in range(2)]
    apart = [places[1] - places[0] if len(places) > 1 else 1 for places in taken]
    if any(places != list(range(0, weights.shape[axis], apart[axis])) for axis, places in enumerate(taken)):
        apart = [1, 1]
    weights = weights[:: apart[0], :: apart[1]]
    kernel = weights.shape[0], weights.shape[1]
    around = (padding[0], padding[0], padding[1], padding[1])
    settings: list[tuple[str, object]] = [("kernel", kernel), ("stride", steps), ("padding", around)]
    far = [("dilation", (apart[0], apart[1]))] if apart != [1, 1] else []
    value = float(weights[0, 0])
    if prod(kernel) == 1:
        return None
    alike = torch.allclose(weights, torch.full_like(weights, value), rtol=NEAR)
    if alike and isclose(value, 1.0, rel_tol=NEAR):
        return "sum pooling", (*settings, ("rounds up", False), *far)
    if not alike or not isclose(value, 1 / prod(kernel), rel_tol=NEAR):
        rows = " / ".join(" ".join(f"{float(each):.4g}" for each in row) for row in weights)
        return "weighted sum of windows", (*settings, *far, ("weights of pixels", rows))
    if kernel == grid and not any(padding) and not far:
        return "global average pooling", ()
    counted: Sequence[tuple[str, object]] = [("counts the padding", True)] if any(padding) else []
    return "average pooling", (*settings, ("rounds up", False), *counted, *far)
