"""Let the weights of a residual block go to zero: what is left is the identity, or is it?

from casestudies.explorers import ZeroWeights
ZeroWeights(activation="tanh", scale=0)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor

from casestudies.explorers.base import Explorer, fixed, module

ACTIVATIONS = {"relu": "ReLU", "tanh": "tanh"}
NORMS = {
    "none": "no batch norm",
    "train": "batch norm with the batch’s statistics",
    "eval": "batch norm with stored statistics",
}
FEATURES, BATCH = 6, 16
EPS = 1e-5  # batch norm's, torch's default


def example(seed: int = 0) -> dict[str, list[Any]]:
    """A small block as training might leave it, and a batch to put through: numbers with four decimals.

    `mean1_relu` ... `var2_tanh` are the statistics that batch norm stored while the weights were whole.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, scale: float = 1.0) -> Tensor:
        return (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).round(decimals=4)

    inputs = normal(BATCH, FEATURES)
    # The page draws the first input: the one that a ReLU leaves most of.
    data = {"inputs": inputs[(inputs > 0).sum(1).argsort(descending=True, stable=True)]}
    for layer in ("1", "2"):
        data["w" + layer] = normal(FEATURES, FEATURES, scale=FEATURES**-0.5)
        data["b" + layer] = normal(FEATURES, scale=0.3)
        data["gamma" + layer] = 1 + normal(FEATURES, scale=0.2)
        data["beta" + layer] = normal(FEATURES, scale=0.3)
    data["projection"] = normal(FEATURES, FEATURES, scale=FEATURES**-0.5)
    for name, activation in (("relu", torch.relu), ("tanh", torch.tanh)):
        first = activation(data["inputs"]) @ data["w1"].T
        normed = F.batch_norm(first, None, None, data["gamma1"], data["beta1"], training=True, eps=EPS)
        second = activation(normed) @ data["w2"].T
        for layer, values in (("1", first), ("2", second)):
            data[f"mean{layer}_{name}"] = values.mean(0).round(decimals=4)
            data[f"var{layer}_{name}"] = values.var(0).round(decimals=4)
    return {name: rounded(values.tolist()) for name, values in data.items()}


def rounded(values: Any) -> Any:
    """Nested lists of numbers with four decimals, as short in JSON as they look."""
    return [rounded(value) for value in values] if isinstance(values, list) else round(values, 4)


@dataclass(frozen=True)
class ZeroFigures:
    """A batch before and after the block, (BATCH, FEATURES) each, and the largest difference between them."""

    before: Tensor
    after: Tensor

    @property
    def difference(self) -> float:
        return (self.after - self.before).abs().max().item()


class ZeroWeights(Explorer):
    """a -> g(W2 g(W1 a + b1) + b2 + a) with W and b multiplied by `scale`: is it the identity at 0?"""

    title = "Let the weights go to zero"
    _esm = module("zero_weights")

    scale = traitlets.Float(1.0, min=0.0, max=1.0, help="multiplies all weights and biases").tag(sync=True)
    activation = traitlets.Enum(list(ACTIVATIONS), "relu").tag(sync=True)
    norm = traitlets.Enum(list(NORMS), "none").tag(sync=True)
    last_norm = traitlets.Float(1.0, min=0.0, max=1.0, help="multiplies the last norm's gamma and beta").tag(
        sync=True
    )
    shortcut = traitlets.Enum(["identity", "projection"], "identity").tag(sync=True)
    input = traitlets.Enum(
        ["activated", "raw"], "activated", help="has the input itself come through g?"
    ).tag(sync=True)
    data = traitlets.Dict(help="weights, statistics and inputs; see `example`").tag(sync=True)

    @traitlets.default("data")
    def _data(self) -> dict[str, list[Any]]:
        return example()

    def compute(
        self,
        scale: float = 1.0,
        activation: str = "relu",
        norm: str = "none",
        last_norm: float = 1.0,
        shortcut: str = "identity",
        input: str = "activated",
    ) -> ZeroFigures:
        """Put the batch through the block, in double precision.

        >>> ZeroWeights().compute(scale=0).difference
        0.0
        """
        data = {name: torch.tensor(values, dtype=torch.float64) for name, values in self.data.items()}
        g = torch.relu if activation == "relu" else torch.tanh

        def layer(a: Tensor, which: str, affine: float) -> Tensor:
            z = a @ (scale * data["w" + which]).T
            if norm == "none":
                return z + scale * data["b" + which]
            mean, variance = data[f"mean{which}_{activation}"], data[f"var{which}_{activation}"]
            return F.batch_norm(
                z,
                mean,
                variance,
                affine * data["gamma" + which],
                affine * data["beta" + which],
                training=norm == "train",
                eps=EPS,
            )

        a = g(data["inputs"]) if input == "activated" else data["inputs"]
        residual = layer(g(layer(a, "1", 1.0)), "2", last_norm)
        carried = a if shortcut == "identity" else a @ data["projection"].T
        return ZeroFigures(a, g(residual + carried))

    @property
    def settings(self) -> dict[str, Any]:
        names = "scale activation norm last_norm shortcut input".split()
        return {name: getattr(self, name) for name in names}

    def figures(self) -> ZeroFigures:
        """The batch before and after, at the present settings."""
        return self.compute(**self.settings)

    def sentence(self) -> str:
        difference = self.figures().difference
        said = (
            f"{ACTIVATIONS[self.activation]}, {NORMS[self.norm]}, {self.shortcut} shortcut, "
            f"weights × {fixed(self.scale, 2)}"
            + (f", last γ and β × {fixed(self.last_norm, 2)}" if self.norm != "none" else "")
            + ": "
        )
        if difference == 0:
            return said + "the block returns its input exactly."
        said += f"the output differs from the input by up to {fixed(difference, 4)}."
        branch_is_zero = self.last_norm == 0 if self.norm != "none" else self.scale == 0
        if branch_is_zero:
            if self.shortcut == "projection":
                return said + " F(a) is 0, but the projection itself changes a."
            if self.activation == "tanh":
                return said + " F(a) is 0, but tanh(a) is not a."
            return (
                said + " F(a) is 0, but this input did not come through a ReLU: its negative numbers are cut."
            )
        if self.norm == "train":
            if self.scale == 0:
                return said + " The weights are 0, but β of the last norm is not: F(a) = β."
            return said + " Batch norm divides the scale of the weights out again."
        if self.norm == "eval":
            return said + " The stored statistics belong to the whole weights."
        return said + " F(a) is not 0 yet."
