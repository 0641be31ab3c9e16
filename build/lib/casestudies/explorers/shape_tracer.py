"""Send an image of any size through a network, and read its ledger.

    from casestudies.explorers import ShapeTracer
    ShapeTracer(["vgg16", "resnet18"], network="vgg16", size=224)

The page computes every size itself, from a description of each network: which windows the image passes on its
way to each layer, and what the layer costs per pixel of its output. The description is read off a few ledgers
and refuses what it cannot reproduce; the tests compare it with the ledger over all sizes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import traitlets
from torch import nn

from casestudies import costs, zoo
from casestudies.explorers.base import Explorer, fixed, module, plural

NETWORKS = (
    "lenet5 alexnet_2012 vgg16 nin_imagenet googlenet resnet18 resnet50 "
    "mobilenet_v1 mobilenet_v2 efficientnet_b0 cifar_resnet20"
).split()
LARGEST = 600

# Sides around a network's own that tell its windows apart: odd, even, and not too far for a flattened head.
OFFSETS = (0, 1, 2, 3, 9, -13)

WINDOWS = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


def side_of(value: Any) -> int:
    """Kernel, stride or padding of a square window."""
    return int(value if isinstance(value, int) else value[0])


def role(layer: nn.Module | None) -> str:
    """What a layer is, in the words of the palette."""
    if isinstance(layer, nn.Conv2d):
        if layer.groups > 1 and layer.groups == layer.in_channels:
            return "depthwise"
        return "pointwise" if side_of(layer.kernel_size) == 1 else "conv"
    return "linear" if isinstance(layer, nn.Linear) else "pool"


class Grids:
    """The grids of a network, each a window on an earlier one: [parent, kernel, stride, padding, ceil].

    Grid 0 is the image. A grid that does not depend on the image, such as that of a global average, is
    [side]. `seen` holds the sides of each grid at the traced image sizes, by which it is recognised.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.nodes: list[list[int]] = [[]]
        self.seen: list[tuple[int, ...]] = [tuple(sizes)]

    def add(self, node: list[int], seen: tuple[int, ...]) -> int:
        if node not in self.nodes:
            self.nodes.append(node)
            self.seen.append(seen)
        return self.nodes.index(node)

    def through(self, layer: nn.Module, sides: tuple[int, ...], last: int) -> int | None:
        """The grid behind the window of `layer`: on the latest grid from which it gives these sides."""
        ceil = bool(getattr(layer, "ceil_mode", False))
        kernel, stride, padding = map(side_of, (layer.kernel_size, layer.stride, layer.padding))
        for parent in [last, *range(len(self.nodes) - 1, -1, -1)]:
            try:
                found = tuple(
                    costs.conv_output_size(n, kernel, stride, padding, ceil_mode=ceil)
                    for n in self.seen[parent]
                )
            except ValueError:
                continue
            if found == sides:
                if stride == 1 and kernel == 2 * padding + 1:
                    return parent  # keeps every grid
                return self.add([parent, kernel, stride, padding, int(ceil)], sides)
        return None

    def find(self, sides: tuple[int, ...], last: int) -> int:
        """The latest grid with these sides, or a new one that the image does not change."""
        for node in [last, *range(len(self.nodes) - 1, -1, -1)]:
            if self.seen[node] == sides:
                return node
        if len(set(sides)) > 1:
            raise ValueError(f"no window gives the sides {sides} at the image sizes {self.seen[0]}")
        return self.add([sides[0]], sides)


def per_pixel(values: Sequence[int], areas: Sequence[int], row: costs.Row) -> int:
    """What one output pixel costs, if it costs the same at every image size."""
    each = {value / area for value, area in zip(values, areas, strict=True)}
    if len(each) > 1 or not min(each).is_integer():
        raise ValueError(
            f"{row.layer} ({row.kind}) costs {values} on grids of {areas} pixels: not in proportion"
        )
    return int(min(each))


@cache
def describe(name: str) -> dict[str, Any]:
    """What the page needs to know of a network: its grids, and its rows with costs per output pixel.

    `head` is the first linear layer, if the image reaches it at a grid of its own size; then only images
    that come out at the right one fit. `rest` are norms, activations and additions, summed over a grid.
    Raises ValueError if the ledgers do not agree with such a description.
    """
    variant, network = zoo.variant(name), zoo.skeleton(name)
    channels, native, _ = variant.image
    ledgers = {}
    for size in sorted(native + offset for offset in OFFSETS):
        try:
            ledgers[size] = costs.ledger(network, (channels, size, size))
        except ValueError:
            continue  # this image does not fit the network
    grids, rows, head = Grids(list(ledgers)), [], None
    rest: dict[int, int] = {}
    rest_parameters, last, depth = 0, 0, channels  # where the image has come to: its grid and its channels
    for same in zip(*(ledger.rows for ledger in ledgers.values()), strict=True):
        row, layer = same[0], network.get_submodule(same[0].layer)
        spatial = len(row.output) == 3
        sides = tuple(one.output[1] if spatial else 1 for one in same)
        areas = [side * side for side in sides]
        macs = per_pixel([one.macs for one in same], areas, row)
        written = per_pixel([one.activations for one in same], areas, row)
        if isinstance(layer, nn.Linear) and head is None and len(grids.nodes[last]) != 1:
            head = {"layer": row.layer, "grid": last, "channels": depth, "features": layer.in_features}
        is_window = isinstance(layer, WINDOWS) and row.kind == type(layer).__name__
        grid = grids.through(layer, sides, last) if is_window else grids.find(sides, last)
        if grid is None:
            raise ValueError(f"{row.layer}: its window gives the sides {sides} on no grid before it")
        if is_window or macs or isinstance(layer, nn.AdaptiveAvgPool2d):
            fields = {one.receptive_field for one in same}
            rows.append(
                {
                    "layer": row.layer,
                    "label": f"{row.kind} {row.detail}".strip(),
                    "role": role(layer),
                    "grid": grid,
                    "channels": row.output[0],
                    "parameters": row.parameters,
                    "macs": macs,
                    "activations": written,
                    "field": fields.pop() if len(fields) == 1 else None,
                }
            )
        else:
            rest_parameters += row.parameters
            rest[grid] = rest.get(grid, 0) + written
        if spatial:
            last, depth = grid, row.output[0]
    return {
        "native": native,
        "channels": channels,
        "grids": grids.nodes,
        "rows": rows,
        "rest": {"parameters": rest_parameters, "activations": sorted(rest.items())},
        "head": head,
    }


def misfit(name: str, size: int) -> str | None:
    """Why an image of that size does not pass the network, in the page's words; None if it does."""
    network = describe(name)
    sides: list[int] = []
    for index, node in enumerate(network["grids"]):
        if len(node) < 2:
            sides.append(node[0] if node else size)
            continue
        parent, kernel, stride, padding, ceil = node
        try:
            sides.append(costs.conv_output_size(sides[parent], kernel, stride, padding, ceil_mode=bool(ceil)))
        except ValueError:
            layer = next(row["layer"] for row in network["rows"] if row["grid"] == index)
            return (
                f"{name} cannot take {size} × {size}: at {layer} the {kernel} × {kernel} window "
                f"does not fit into the {sides[parent]} × {sides[parent]} grid that is left. Take a larger image."
            )
    head = network["head"]
    if head:
        side = sides[head["grid"]]
        arriving = head["channels"] * side * side
        if arriving != head["features"]:
            return (
                f"{name} cannot take {size} × {size}: {head['layer']} expects {head['features']:,} numbers, and "
                f"{head['channels']} × {side} × {side} = {arriving:,} arrive. "
                f"Take {network['native']} × {network['native']}."
            )
    return None


class ShapeTracer(Explorer):
    """A network and the side of its image -> shapes, parameters, MACs, activations, receptive field."""

    title = "Send an image through a network"
    _esm = module("shape_tracer")

    network = traitlets.Unicode("", help="a name of the registry").tag(sync=True)
    size = traitlets.Int(224, min=1, max=LARGEST, help="side of the image, in pixels").tag(sync=True)
    networks = traitlets.Dict(help="name -> its description; see `describe`").tag(sync=True)

    def __init__(
        self, names: Iterable[str] = NETWORKS, network: str = "", size: int = 0, **options: Any
    ) -> None:
        """`names` are offered; `network` is the one shown first, `size` its image (default: its paper's)."""
        offered = {name: describe(name) for name in names}
        network = network or next(iter(offered))
        size = size or zoo.variant(network).image[1]
        super().__init__(networks=offered, network=network, size=size, **options)

    @traitlets.validate("network")
    def _offered(self, proposal: Any) -> str:
        name = proposal["value"]
        if self.networks and name not in self.networks:
            raise traitlets.TraitError(
                f"network is {name!r}; this explorer offers {', '.join(self.networks)}"
            )
        return name

    @staticmethod
    def compute(network: str, size: int) -> costs.Ledger:
        """The ledger of a network for a size x size image. Raises ValueError where the image does not fit.

        >>> ShapeTracer.compute("resnet18", 224).macs
        1814073344
        """
        return costs.ledger(zoo.skeleton(network), (zoo.variant(network).image[0], size, size))

    def figures(self) -> costs.Ledger:
        """The ledger of the present network and size."""
        return self.compute(self.network, self.size)

    def sentence(self) -> str:
        problem = misfit(self.network, self.size)
        if problem:
            return problem
        ledger = self.figures()
        return (
            f"{self.network} on {self.size} × {self.size}: {ledger.parameters:,} parameters, {ledger.macs:,} MACs, "
            f"{plural(ledger.activations, 'number')} written on the way "
            f"({fixed(ledger.activation_memory / 1e6, 2)} MB in fp32)."
        )
