"""What a convolution costs: standard, through a 1 x 1 bottleneck, or depthwise separable.

from casestudies.explorers import ConvolutionCost
ConvolutionCost(kind="bottleneck", in_channels=192, out_channels=32, kernel=5, grid=28, reduced=16)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import traitlets
from torch import nn

from casestudies import costs
from casestudies.explorers.base import Explorer, fixed, module, plural

KINDS = {"standard": "standard", "bottleneck": "bottleneck", "separable": "depthwise separable"}


@dataclass(frozen=True)
class LayerCost:
    """One convolution on a square grid: its output (channels, side), its parameters, its MACs."""

    name: str
    channels: int
    side: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class ConvolutionFigures:
    """The layers of a convolution, and the MACs of the standard one between the same shapes."""

    layers: tuple[LayerCost, ...]
    standard_macs: int

    @property
    def parameters(self) -> int:
        return sum(layer.parameters for layer in self.layers)

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def ratio(self) -> float:
        """MACs as a share of the standard convolution's."""
        return self.macs / self.standard_macs


def layer_cost(name: str, conv: nn.Conv2d, side: int) -> LayerCost:
    """The cost of `conv` on a side x side input, by `casestudies.costs`."""
    out = costs.conv_output_size(side, conv.kernel_size[0], conv.stride[0], int(conv.padding[0]))
    return LayerCost(
        name, conv.out_channels, out, costs.conv2d_parameters(conv), costs.conv2d_macs(conv, out, out)
    )


class ConvolutionCost(Explorer):
    """Kernel, channels, grid, stride, padding, groups -> output size, parameters, MACs, and their ratio."""

    title = "What does a convolution cost?"
    _esm = module("convolution_cost")

    kind = traitlets.Enum(list(KINDS), "standard").tag(sync=True)
    in_channels = traitlets.Int(192, min=1, max=2048).tag(sync=True)
    out_channels = traitlets.Int(32, min=1, max=2048).tag(sync=True)
    kernel = traitlets.Int(5, min=1, max=11).tag(sync=True)
    grid = traitlets.Int(28, min=1, max=512, help="side of the input, in pixels").tag(sync=True)
    stride = traitlets.Int(1, min=1, max=4).tag(sync=True)
    padding = traitlets.Enum(["same", "none"], "same", help="same: (kernel - 1) / 2 zeros").tag(sync=True)
    groups = traitlets.Int(1, min=1, max=2048, help="of the standard convolution").tag(sync=True)
    reduced = traitlets.Int(16, min=1, max=2048, help="channels inside the bottleneck").tag(sync=True)
    bias = traitlets.Bool(False, help="count one bias per output channel of each layer").tag(sync=True)

    @traitlets.validate("kernel")
    def _odd(self, proposal: Any) -> int:
        if proposal["value"] % 2 == 0:
            raise traitlets.TraitError(
                f"kernel is {proposal['value']}; an even kernel has no middle: use {proposal['value'] + 1}"
            )
        return proposal["value"]

    @staticmethod
    def compute(
        kind: str = "standard",
        in_channels: int = 192,
        out_channels: int = 32,
        kernel: int = 5,
        grid: int = 28,
        stride: int = 1,
        padding: str = "same",
        groups: int = 1,
        reduced: int = 16,
        bias: bool = False,
    ) -> ConvolutionFigures:
        """The figures of one setting. Raises ValueError, with the page's own sentence, where there are none.

        >>> ConvolutionCost.compute("bottleneck").macs, ConvolutionCost.compute("standard").macs
        (12443648, 120422400)
        """
        pad = (kernel - 1) // 2 if padding == "same" else 0
        if kernel > grid + 2 * pad:
            raise ValueError(
                f"The {kernel} × {kernel} kernel does not fit into the {grid} × {grid} grid. "
                "Take a smaller kernel, a larger grid, or padding."
            )
        if kind == "standard":
            for channels, which in ((in_channels, "input"), (out_channels, "output")):
                if channels % groups:
                    raise ValueError(
                        f"{groups} groups do not divide the {plural(channels, which + ' channel')}: "
                        f"each group would get {fixed(channels / groups, 2)} of them. "
                        f"Take a divisor of {channels:,}."
                    )

        def conv(inputs: int, outputs: int, size: int, step: int, padding: int, groups: int = 1) -> nn.Conv2d:
            return nn.Conv2d(inputs, outputs, size, step, padding, groups=groups, bias=bias, device="meta")

        layers: tuple[LayerCost, ...]
        k = f"{kernel} × {kernel}"
        standard = layer_cost(k, conv(in_channels, out_channels, kernel, stride, pad), grid)
        if kind == "bottleneck":
            layers = (
                layer_cost("1 × 1, reduce", conv(in_channels, reduced, 1, 1, 0), grid),
                layer_cost(k, conv(reduced, out_channels, kernel, stride, pad), grid),
            )
        elif kind == "separable":
            depthwise = layer_cost(
                f"{k}, depthwise", conv(in_channels, in_channels, kernel, stride, pad, in_channels), grid
            )
            pointwise = layer_cost(
                "1 × 1, pointwise", conv(in_channels, out_channels, 1, 1, 0), depthwise.side
            )
            layers = (depthwise, pointwise)
        elif groups > 1:
            name = f"{k}, {groups} groups"
            layers = (layer_cost(name, conv(in_channels, out_channels, kernel, stride, pad, groups), grid),)
        else:
            layers = (standard,)
        return ConvolutionFigures(layers, standard.macs)

    @property
    def settings(self) -> dict[str, Any]:
        names = "kind in_channels out_channels kernel grid stride padding groups reduced bias".split()
        return {name: getattr(self, name) for name in names}

    def figures(self) -> ConvolutionFigures:
        """The figures of the present settings."""
        return self.compute(**self.settings)

    def sentence(self) -> str:
        try:
            figures = self.figures()
        except ValueError as impossible:
            return str(impossible)
        last = figures.layers[-1]
        name = "grouped" if self.kind == "standard" and self.groups > 1 else KINDS[self.kind]
        said = (
            f"{self.grid} × {self.grid} × {self.in_channels:,} becomes "
            f"{last.side} × {last.side} × {last.channels:,}. The {name} convolution has "
            f"{plural(figures.parameters, 'parameter')} and takes {plural(figures.macs, 'MAC')}"
        )
        if name != "standard":
            said += f": {fixed(figures.ratio, 3)} of the standard convolution's {figures.standard_macs:,}" + (
                f", {fixed(1 / figures.ratio, 1)} times fewer" if figures.ratio < 1 else ""
            )
        return said + "."
