"""The first layer of a network of two towers, after training: AlexNet's Figure 3 on a small scale.

Krizhevsky, Sutskever & Hinton (2012), sec. 6.1, show 96 learned filters of 11x11 and say that in every run one GPU
learns mostly grey filters and the other mostly coloured ones. `towers` trains a network that keeps what the claim
is about, large first filters with a stride of 4 and two towers that do not see each other in layer 2, and is small
enough for a CPU. `colour_shares` measures how coloured each filter is, so that the claim can be looked for.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from casestudies.data import Split, resized
from casestudies.training import History, Record, TrainedRun, crop_and_flip, train

SIDE = 64  # pixels: the smallest round size on which an 11x11 filter with a stride of 4 finds something to do
TOWERS = 2
RECIPE: dict[str, Any] = {
    "epochs": 12,
    "batch_size": 128,
    "lr": 0.02,
    "momentum": 0.9,
    "schedule": "cosine",
    "weight_decay": 5e-4,  # the paper's
    "augment": crop_and_flip,
}


class TowerNetwork(nn.Module):
    """Three convolutions and two linear layers: (B, 3, 64, 64) -> (B, 10).

    Layer 1 is AlexNet's, 11x11 with a stride of 4, with 64 filters instead of 96. Layer 2 has two groups: each tower
    reads the maps of its own 32 filters. The initial weights are normal, with the paper's deviation of 0.01 in layer
    1 and more in layers 2 and 3, which have fewer inputs than the paper's.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 64, 11, 0.01, stride=4)
        self.conv2 = _convolution(64, 96, 5, 0.035, padding=2, groups=TOWERS)
        self.conv3 = _convolution(96, 128, 3, 0.048, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, 2)
        self.classify = nn.Sequential(nn.Flatten(), nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.conv3(x))
        return self.classify(x)


def _convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    deviation: float,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> nn.Conv2d:
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups)
    nn.init.normal_(layer.weight, std=deviation)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


@dataclass
class FilterRun(TrainedRun):
    """One trained network, with the filters of its first layer.

    `weights` is base64 of 8-bit integers in the order of `shape` (filters, colours, height, width). Filter i is
    `scales[i]` times its integers.
    """

    seed: int
    shape: list[int]
    scales: list[float]
    weights: str
    history: History = field(default_factory=History)
    record: Record | None = None

    @property
    def name(self) -> str:
        return "towers"

    @property
    def filters(self) -> Tensor:
        """The filters of layer 1, float32, (filters, 3, height, width), each to 1/254 of its largest weight."""
        raw = torch.frombuffer(bytearray(base64.b64decode(self.weights)), dtype=torch.int8)
        scales = torch.tensor(self.scales)[:, None, None, None]
        return raw.reshape(self.shape).float() * scales


def towers(data: Split, seed: int = 0, *, checkpoint: str | Path | None = None, **options: Any) -> FilterRun:
    """Train a `TowerNetwork` on images of 64x64 pixels and keep its first filters; 12 minutes on one core."""
    if data.image[0] != 3:
        raise ValueError(
            f"data is {data.name} with {data.image[0]} channel(s); expected colours, such as cifar10"
        )
    torch.manual_seed(seed)
    network = TowerNetwork(len(data.classes))
    settings = {**RECIPE, **options}
    history = train(network, resized(data, SIDE), seed=seed, checkpoint=checkpoint, **settings)
    filters = network.conv1.weight.detach().cpu()
    scales = filters.abs().amax(dim=(1, 2, 3)) / 127
    integers = (filters / scales[:, None, None, None]).round().to(torch.int8)
    text = base64.b64encode(integers.numpy().tobytes()).decode()
    return FilterRun(seed, list(filters.shape), [float(scale) for scale in scales], text, history)


def towers_study(
    seeds: Iterable[int], data: Split, out: str | Path | None = None, **options: Any
) -> list[FilterRun]:
    """The runs of the seeds; `out` as for `degradation_study`."""
    from casestudies.experiments import kept

    asked = {**RECIPE, **options}
    return [
        kept(
            f"towers-{data.name}-seed{seed}",
            out,
            FilterRun,
            partial(towers, data, seed, **options),
            data,
            asked,
        )
        for seed in seeds
    ]


def colour_shares(filters: Tensor) -> Tensor:
    """How much of each filter is colour, 0 (grey) to 1: (filters, 3, height, width) -> (filters,).

    A grey filter has the same weights for red, green and blue. The share is that of the squared weights which remains
    when the average over the three is taken away.
    """
    if filters.dim() != 4 or filters.shape[1] != 3:
        raise ValueError(
            f"filters has the shape {tuple(filters.shape)}; expected (filters, 3, height, width)"
        )
    colour = filters - filters.mean(dim=1, keepdim=True)
    return colour.flatten(1).square().sum(dim=1) / filters.flatten(1).square().sum(dim=1)


def towers_table(runs: Iterable[FilterRun]) -> str:
    """One line a run: the last errors, and the average share of colour in each tower's filters."""
    lines = ["seed  training error  test error  colour in tower 1  in tower 2"]
    for run in runs:
        first, second = (float(half.mean()) for half in colour_shares(run.filters).chunk(TOWERS))
        lines.append(
            f"{run.seed:4d}  {run.history.train_error[-1]:14.2%}  {run.history.test_error[-1]:10.2%}"
            f"  {first:17.0%}  {second:10.0%}"
        )
    return "\n".join(lines)
