"""How an output is related to the right one, and other things that are told where no layer shows what differs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.relations import relation

SEEDS = (3, 14, 15)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x * 7 / 6, "Each number of the output is 7/6 times what is asked for."),
        (lambda x: x + 2, "Each number of the output is what is asked for plus 2."),
        (lambda x: x.transpose(2, 3), "The rows and the columns of the output are exchanged."),
        (lambda x: x.flip(3), "The columns of the output stand in the opposite order."),
        (torch.relu, "The output is a ReLU of what is asked for."),
        (
            lambda x: x[:, [2, 0, 1]],
            "The channels of the output stand in another order: 2, 0, 1, counted from 0.",
        ),
        (lambda x: x.reshape(2, 3, 5, 4), "The output holds the right numbers in the right order"),
    ],
)
def test_the_relation_is_told(change: Callable[[Tensor], Tensor], said: str) -> None:
    right = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    found = relation(change(right), right)
    assert found is not None and found[1].startswith(said)


def test_nothing_is_told_of_what_is_the_same_or_has_no_relation() -> None:
    right = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert (
        relation(right.clone(), right) is None and relation(torch.randn(2, 3, 4, 5).double(), right) is None
    )


class DividedByTheSquareOfTheHeight(nn.Module):
    """With the bias as a row of the matrix: a style in which no layer can be told."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(in_channels + 1, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        pixels = x.permute(0, 2, 3, 1).reshape(b, h * w, c)
        pixels = torch.cat([pixels, pixels.new_ones(b, h * w, 1)], -1)
        return (pixels @ self.matrix).sum(1) / (h * h)


class RowsForColumns(nn.Module):
    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(in_channels, hidden), nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        rows = self.two(self.one(x.flatten(2).transpose(1, 2)).relu())
        return rows.mT.unflatten(2, (x.shape[3], x.shape[2]))


@pytest.mark.parametrize("seed", [*SEEDS, 31, 47])
def test_what_is_right_on_squares_alone_earns_the_same_with_every_seed(seed: int) -> None:
    head = check("nin/global_average_head", DividedByTheSquareOfTheHeight, seed=seed)
    mlp = check("nin/repaired_pixel_mlp", RowsForColumns, seed=seed)
    assert head.points == mlp.points == 0
    assert "times what is asked for" in head.differences[0]["sentence"]
    assert "in the right order" in mlp.differences[0]["sentence"]


class Emptied(nn.Sequential):
    def __init__(self, config: list[int | str], in_channels: int = 3) -> None:
        super().__init__()
        while config:
            item = config.pop(0)
            if item == "M":
                self.append(nn.MaxPool2d(2))
            else:
                self.extend([nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU()])
                in_channels = item


def emptied(config: list[int | str], in_channels: int = 3) -> nn.Sequential:
    return Emptied(config, in_channels)


class BiasAlongTheColumns(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        return self.a[:, None, None] * x.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5)) + self.b


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_done_beside_the_values_is_a_difference(seed: int) -> None:
    said = [each["sentence"] for each in check("vgg/vgg_features", emptied, seed=seed).differences]
    assert said == ["It changes an argument; whoever calls it may need that again."]
    said = [
        each["sentence"]
        for each in check("lenet/repaired_subsampling", BiasAlongTheColumns, seed=seed).differences
    ]
    assert "Parameter 2 of 2 lies along the columns instead of the channels." in said


class Stages(nn.Sequential):
    """Whose convolutions never learn of the channels before them."""

    def __init__(self, config: list[int | str], in_channels: int = 3) -> None:
        layers: list[nn.Module] = []
        for item in config:
            layers += (
                [nn.MaxPool2d(2)] if item == "M" else [nn.Conv2d(in_channels, int(item), 3, 1, 1), nn.ReLU()]
            )
        super().__init__(*layers)


@pytest.mark.parametrize("seed", SEEDS)
def test_of_a_layer_that_is_there_already_it_is_not_said_that_it_reads_something_else(seed: int) -> None:
    report = check("vgg/vgg_features", lambda config, in_channels=3: Stages(config, in_channels), seed=seed)
    assert report.differences and "it is asked to read" not in str(report.differences)
