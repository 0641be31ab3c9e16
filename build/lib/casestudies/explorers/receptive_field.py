"""Stack layers and see how much of the image one output pixel sees.

from casestudies.explorers import ReceptiveField
ReceptiveField(layers=[(3, 1), (3, 1), (3, 1)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import traitlets
from torch import nn

from casestudies import costs, zoo
from casestudies.explorers.base import Explorer, module, plural

EXAMPLES = {"lenet5": "LeNet-5", "alexnet_2012": "AlexNet", "vgg16": "VGG-16", "resnet18": "ResNet-18"}
LARGEST_KERNEL, LARGEST_STRIDE, MOST_LAYERS = 15, 8, 48


@dataclass(frozen=True)
class FieldRow:
    """After this layer one pixel sees `field` x `field` image pixels; its neighbour sees `jump` further on."""

    kernel: int
    stride: int
    jump: int
    field: int


def path_of(network: nn.Module) -> list[tuple[int, int]]:
    """The (kernel, stride) of the convolutions and poolings of a network, in order, without its shortcuts.

    It is the longest path of a network whose layers follow one another, up to its global pooling.

    >>> path_of(nn.Sequential(nn.Conv2d(1, 6, 5), nn.AvgPool2d(2)))
    [(5, 1), (2, 2)]
    """
    windows = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)
    return [
        (_side(layer.kernel_size), _side(layer.stride))
        for name, layer in network.named_modules()
        if isinstance(layer, windows) and "shortcut" not in name
    ]


@cache
def examples() -> dict[str, list[tuple[int, int]]]:
    """The layers of EXAMPLES, read off the networks."""
    return {name: path_of(zoo.skeleton(name)) for name in EXAMPLES}


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]


class ReceptiveField(Explorer):
    """Layers as (kernel, stride) -> the side of the square that one output pixel sees."""

    title = "How much does one pixel see?"
    _esm = module("receptive_field")

    layers = traitlets.List([[3, 1], [3, 1], [3, 1]], help="(kernel, stride) of each layer").tag(sync=True)
    networks = traitlets.Dict(help="name -> layers: examples to start from").tag(sync=True)

    @traitlets.default("networks")
    def _networks(self) -> dict[str, list[tuple[int, int]]]:
        return {title: examples()[name] for name, title in EXAMPLES.items()}

    @traitlets.validate("layers")
    def _possible(self, proposal: Any) -> list[list[int]]:
        layers = [list(map(int, layer)) for layer in proposal["value"]]
        if len(layers) > MOST_LAYERS:
            raise traitlets.TraitError(
                f"layers has {len(layers)} entries; at most {MOST_LAYERS} can be drawn"
            )
        for kernel, stride in layers:
            if not (1 <= kernel <= LARGEST_KERNEL and 1 <= stride <= LARGEST_STRIDE):
                raise traitlets.TraitError(
                    f"layers has ({kernel}, {stride}); expected a kernel from 1 to {LARGEST_KERNEL} "
                    f"and a stride from 1 to {LARGEST_STRIDE}"
                )
        return layers

    @staticmethod
    def compute(layers: Sequence[Sequence[int]]) -> tuple[FieldRow, ...]:
        """What one pixel sees after each layer, by `casestudies.costs.receptive_field`.

        >>> [row.field for row in ReceptiveField.compute([(3, 1), (3, 1), (3, 1)])]
        [3, 5, 7]
        """
        rows, jump = [], 1
        for index, (kernel, stride) in enumerate(layers):
            jump *= stride
            seen = costs.receptive_field((k, s) for k, s in layers[: index + 1])
            rows.append(FieldRow(kernel, stride, jump, seen))
        return tuple(rows)

    def figures(self) -> tuple[FieldRow, ...]:
        """The rows of the present layers."""
        return self.compute(self.layers)

    def sentence(self) -> str:
        rows = self.figures()
        if not rows:
            return "No layer yet: a pixel sees itself."
        field, jump = rows[-1].field, rows[-1].jump
        said = (
            f"After {plural(len(rows), 'layer')} one output pixel sees {field:,} × {field:,} pixels of the image; "
            f"its neighbour looks {plural(jump, 'pixel')} further on."
        )
        if len(rows) > 1 and jump == 1:
            stack = sum(row.kernel**2 for row in rows)
            said += (
                f" From C to C channels the stack has {stack:,} C² weights, "
                f"one {field:,} × {field:,} convolution {field**2:,} C²."
            )
        return said
