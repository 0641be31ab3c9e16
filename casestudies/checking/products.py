"""Products: what is written by hand and does what a 1x1 convolution does, found by value.

A product over the channels of each pixel may be an einsum, a linear layer between two permutations, or a sum of
products. No list of operations tells all of these. So a stretch of such operations between two images is carried out
on random numbers: where what comes out of each pixel is one matrix times what went in, it is a 1x1 convolution.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from casestudies.checking.differences import until_layer
from casestudies.checking.layers import KNOWN, UNREGISTERED, VIEWS, Layer, with_setting
from casestudies.graph import Graph, Op, Ref
from casestudies.replay import ReplayError, replay

MOST = 2**21  # numbers that come out of a stretch, all times together
SPARE = 8  # pixels beside as many as there are channels
NEAR = 1e-8
SAID_OF_WEIGHTS = ("changed first", "shared with", "frozen", "a buffer", "constant", UNREGISTERED)
Layers = tuple[Layer, ...]


def with_products(graph: Graph, layers: Layers) -> Layers:
    """The layers with a 1x1 convolution in the place of each stretch that does the same."""
    if all(layer.kind in KNOWN for layer in layers):
        return layers
    try:
        for first, last, image in list(_stretches(graph, layers)):
            product = _product(graph, layers, first, last, image)
            if product is not None:
                layers = _with_bias((*layers[:last], product, *layers[last + 1 :]), last)
    except (ReplayError, ValueError, KeyError, IndexError, TypeError, RuntimeError):
        return layers  # a stranger's graph
    return until_layer(layers, len(layers) - 1)


def _stretches(graph: Graph, layers: Layers) -> Iterator[tuple[int, int, int]]:
    """The first and the last of unknown layers that lead from one image to the next, each to the next one alone, with
    something kept among what they read; and the value that is the next image."""
    views: dict[int, list[int]] = {}
    for op in graph.ops:
        if op.name in VIEWS and op.outputs:
            views.setdefault(op.reads[0], []).append(op.outputs[0])

    def image(value: int, like: tuple[int, ...]) -> int | None:
        """A value, or a view of it, that has as many images as another one, and its grid."""
        waiting = [value]
        while waiting:
            here = waiting.pop()
            shape = graph.values[here].shape
            if len(shape) == 4 and (shape[0], *shape[2:]) == (like[0], *like[2:]):
                return here
            waiting += views.get(here, ())
        return None

    read = Counter(each for layer in layers for each in layer.reads)
    after = {layer.reads[0]: place for place, layer in enumerate(layers) if len(layer.reads) == 1}

    def unknown(place: int) -> bool:
        """Whether it is no layer by itself: a matrix may be multiplied by anywhere between two permutations."""
        layer = layers[place]
        if len(layer.reads) != 1 or layer.setting("gradient"):
            return False
        if layer.kind == "parameter":
            return layer.setting("how") == "multiplied" and len(layer.shape) > 4
        return layer.kind not in KNOWN or layer.kind == "linear layer"

    done: set[int] = set()
    for first in range(len(layers)):
        if first in done or not unknown(first) or len(layers[layers[first].reads[0]].shape) != 4:
            continue
        found, place = None, first
        while True:
            done.add(place)
            next_image = image(layers[place].value, layers[layers[first].reads[0]].shape)
            if next_image is not None:
                found = place, next_image
            if read[place] != 1 or place not in after or not unknown(after[place]):
                break
            place = after[place]
        handled = found is not None and any(
            layers[each].kind not in KNOWN for each in range(first, found[0] + 1)
        )
        if found is not None and handled and _kept(graph, layers[layers[first].reads[0]].value, found[1]):
            yield first, *found


def between(graph: Graph, source: int, last: int) -> list[Op]:
    """The operations that lead from one value to another."""
    wanted = [last]
    needed = set[int]()  # their results: to compare operations takes far longer
    while wanted:
        op = graph.maker.get(wanted.pop())
        if op is not None and needed.isdisjoint(op.outputs):
            needed.update(op.outputs)
            wanted += [value for value in op.reads if value != source]
    return [op for op in graph.ops if not needed.isdisjoint(op.outputs)]


def _kept(graph: Graph, source: int, last: int) -> bool:
    held = {each.value for each in graph.state if each.value is not None}
    return any(not held.isdisjoint(op.reads) for op in between(graph, source, last))


def _product(graph: Graph, layers: Layers, first: int, last: int, image: int) -> Layer | None:
    """The 1x1 convolution that does what some layers do, or None."""
    before = layers[layers[first].reads[0]]
    ops = between(graph, before.value, image)
    images, inside, *grid = before.shape
    outside = graph.values[image].shape[1]
    pixels = images * grid[0] * grid[1]
    times = -(-(inside + SPARE) // max(pixels, 1))
    if times * pixels * (inside + outside) > MOST or any(op.random or op.writes for op in ops):
        return None
    dice = torch.Generator().manual_seed(0)

    def random(shape: Sequence[int], dtype: str) -> torch.Tensor:
        return torch.randn(tuple(shape), generator=dice, dtype=torch.float64).to(getattr(torch, dtype))

    # Variances are no less than 0; which buffers these are, nobody knows.
    state = {
        held.name: random(held.shape, held.dtype).abs()
        if held.kind == "buffer" and held.dtype.startswith("float")
        else random(held.shape, held.dtype)
        if held.dtype.startswith("float")
        else torch.zeros(held.shape, dtype=getattr(torch, held.dtype))
        for held in graph.state
        if held.value is not None
    }
    alone = replace(graph, inputs=(before.value,), ops=tuple(ops), output=(Ref(image),))
    rows, results = [], []
    with torch.no_grad():
        for _ in range(times):
            given = random(before.shape, graph.values[before.value].dtype)
            result = replay(alone, [given.clone()], state).outputs[0]
            rows.append(given.double().movedim(1, -1).reshape(-1, inside))
            results.append(result.double().movedim(1, -1).reshape(-1, outside))
    x, y = torch.cat(rows), torch.cat(results)
    if not (x.isfinite().all() and y.isfinite().all()):
        return None
    matrix = torch.linalg.lstsq(x, y).solution
    largest = float(y.abs().max())
    single = graph.values[before.value].dtype == "float32"
    if not largest or float((x @ matrix - y).abs().max()) > (1e-4 if single else NEAR) * largest:
        return None
    words = {
        value
        for layer in layers[first : last + 1]
        for _, value in layer.settings
        if isinstance(value, str) and value.startswith(SAID_OF_WEIGHTS)
    }
    settings = (
        ("kernel", (1, 1)), ("in", inside), ("out", outside), ("stride", (1, 1)), ("padding", (0,) * 4),
        ("dilation", (1, 1)), ("groups", 1), ("bias", False),
    )  # fmt: skip
    if words:
        settings = (*settings, ("weights", ", ".join(sorted(words))))  # type: ignore[assignment]
    return Layer("convolution", settings, layers[first].reads, image, graph.values[image].shape)


def _with_bias(layers: Layers, place: int) -> Layers:
    """With what is added to each channel behind a product as its bias, and pixels that are left out before it as its
    stride."""
    layer = layers[place]
    before = layers[layer.reads[0]]
    if before.kind == "subsampling" and not before.setting("gradient"):
        strided = with_setting(layer, "stride", before.setting("steps"))
        layer = replace(strided, reads=before.reads, sliced=True)
        layers = (*layers[:place], layer, *layers[place + 1 :])
    readers = [number for number, each in enumerate(layers) if place in each.reads]
    if len(readers) != 1:
        return layers
    added = layers[readers[0]]
    if added.kind != "parameter" or added.setting("how") != "added" or added.setting("weights"):
        return layers
    if added.setting("size") != layer.setting("out"):
        return layers
    settings = tuple((name, True if name == "bias" else value) for name, value in layer.settings)
    whole = replace(layer, settings=settings, value=added.value, shape=added.shape)
    return (*layers[: readers[0]], whole, *layers[readers[0] + 1 :])
