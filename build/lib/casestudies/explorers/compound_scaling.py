"""Compound scaling: phi and three coefficients turn EfficientNet-B0 into a larger network, and its real cost.

from casestudies.explorers import CompoundScaling
CompoundScaling(phi=1)
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
import traitlets

from casestudies import costs
from casestudies.explorers.base import Explorer, fixed, module
from casestudies.language import message
from casestudies.networks import efficientnet
from casestudies.networks.efficientnet import EfficientNet, compound_scaling, flops_growth

RESOLUTION = efficientnet.SCALING["b0"][2]
NAMES = [
    message("stem"),
    *(f"MBConv{e}, {k} × {k}" for e, k, *_ in efficientnet.B0),
    message("last 1 × 1"),
    message("classifier"),
]


@dataclass(frozen=True)
class Stage:
    """A row of Table 1 after scaling: output channels, layers, side of the output grid, costs."""

    name: str
    channels: int
    layers: int
    side: int
    parameters: int
    macs: int


@dataclass(frozen=True)
class ScalingFigures:
    """The multipliers, the side of the image, and the scaled network's stages."""

    depth: float
    width: float
    resolution: int
    stages: tuple[Stage, ...]

    @property
    def parameters(self) -> int:
        return sum(stage.parameters for stage in self.stages)

    @property
    def macs(self) -> int:
        return sum(stage.macs for stage in self.stages)


class CompoundScaling(Explorer):
    """phi, alpha, beta, gamma -> depth, width and resolution, rounded as in the real networks, and the ledger."""

    title = "Scale depth, width and resolution together"
    _esm = module("compound_scaling")

    coefficients = traitlets.Enum(
        ["formula", *efficientnet.SCALING], "formula", help="from phi, or as released"
    ).tag(sync=True)
    phi = traitlets.Float(1.0, min=0.0, max=7.0).tag(sync=True)
    alpha = traitlets.Float(1.2, min=1.0, max=1.3, help="depth").tag(sync=True)
    beta = traitlets.Float(1.1, min=1.0, max=1.3, help="width").tag(sync=True)
    gamma = traitlets.Float(1.15, min=1.0, max=1.3, help="resolution").tag(sync=True)
    base = traitlets.Dict(help="the table of B0 and the released coefficients").tag(sync=True)

    @traitlets.default("base")
    def _base(self) -> dict[str, Any]:
        return {
            "stages": efficientnet.B0,
            "stem": efficientnet.STEM,
            "last": efficientnet.LAST,
            "resolution": RESOLUTION,
            "released": {name: row[:3] for name, row in efficientnet.SCALING.items()},
            "names": NAMES,
        }

    @staticmethod
    @lru_cache(maxsize=64)
    def compute(
        coefficients: str = "formula",
        phi: float = 1.0,
        alpha: float = 1.2,
        beta: float = 1.1,
        gamma: float = 1.15,
    ) -> ScalingFigures:
        """Build the network (on the meta device) and read its ledger.

        >>> figures = CompoundScaling.compute("b0")
        >>> figures.parameters, figures.macs
        (5288548, 385814752)
        """
        if coefficients == "formula":
            depth, width, growth = compound_scaling(phi, alpha, beta, gamma)
            resolution = int(RESOLUTION * growth + 0.5)
        else:
            width, depth, resolution, _ = efficientnet.SCALING[coefficients]
        with torch.device("meta"):
            network = EfficientNet(width, depth)
        rows = costs.ledger(network, (3, resolution, resolution)).rows
        repeats = [efficientnet.round_repeats(layers, depth) for *_, layers, _ in efficientnet.B0]
        stages, first = [], 0
        parts: list[tuple[str | tuple[str, ...], int]] = [("stem.", 1)]
        for count in repeats:
            parts.append((tuple(f"features.{index}." for index in range(first, first + count)), count))
            first += count
        parts += [("last.", 1), ("head.", 1)]
        for name, (prefix, layers) in zip(NAMES, parts, strict=True):
            mine = [row for row in rows if f"{row.layer}.".startswith(prefix)]
            channels, side = (*mine[-1].output, 1)[:2]
            cost = sum(row.parameters for row in mine), sum(row.macs for row in mine)
            stages.append(Stage(name, channels, layers, side, *cost))
        return ScalingFigures(depth, width, resolution, tuple(stages))

    @property
    def settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("coefficients", "phi", "alpha", "beta", "gamma")}

    def figures(self) -> ScalingFigures:
        """The network of the present settings."""
        return self.compute(**self.settings)

    def sentence(self) -> str:
        now, b0 = self.figures(), self.compute("b0")
        said = (
            f"Depth × {fixed(now.depth, 2)}, width × {fixed(now.width, 2)}, "
            f"image {now.resolution:,} × {now.resolution:,}: "
            f"{now.parameters:,} parameters and {now.macs:,} MACs, {fixed(now.macs / b0.macs, 2)} times those of B0"
        )
        if self.coefficients == "formula":
            growth = flops_growth(self.phi, self.alpha, self.beta, self.gamma)
            said += f"; (αβ²γ²)^φ promises {fixed(growth, 2)}"
        return said + "."
