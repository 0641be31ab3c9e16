"""What stands in the place of a layer is called by its name, and what is done to every layer is told once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.differences import compare_layers
from casestudies.checking.layers import layers_of
from casestudies.graph import record


def sentences(asked: nn.Module, yours: nn.Module, image: Tensor) -> tuple[list[str], bool]:
    graphs = [layers_of(record(network.eval(), image, training=False)) for network in (asked, yours)]
    found = compare_layers(*graphs)
    assert found is not None
    return [each.sentence for each in found.differences], found.certain


def row(norm: Callable[[int], nn.Module] = nn.BatchNorm2d, act: Callable[[], nn.Module] = nn.ReLU, **conv):
    return nn.Sequential(nn.Conv2d(4, 4, 3, **{"padding": 1, "bias": False, **conv}), norm(4), act())


PLACES = {
    "PReLU": (row(act=nn.PReLU), "PReLU, one slope stands in the place of ReLU"),
    "PReLU per channel": (row(act=lambda: nn.PReLU(4)), "PReLU, 4 slopes stands in the place of ReLU"),
    "group norm": (
        row(lambda c: nn.GroupNorm(2, c)),
        "Group norm, 2 groups stands in the place of batch norm",
    ),
    "instance norm": (
        row(nn.InstanceNorm2d),
        "Instance norm, without scale and shift stands in the place of",
    ),
    "reflection": (
        row(padding_mode="reflect"),
        "The 3×3 convolution pads by reflection instead of with zeros.",
    ),
    "replication": (
        row(padding_mode="replicate"),
        "The 3×3 convolution pads by replication instead of with zeros.",
    ),
    "response norm": (row(lambda c: nn.LocalResponseNorm(3)), "Local response norm, size 3"),
}


@pytest.mark.parametrize("name", PLACES)
def test_another_layer_is_called_by_its_name(name: str) -> None:
    yours, beginning = PLACES[name]
    found, certain = sentences(row(), yours, torch.randn(3, 4, 6, 5))
    assert certain and len(found) == 1 and found[0].startswith(beginning), found


class Windows(nn.Module):
    def __init__(self, reduced: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.reduced = reduced

    def forward(self, x: Tensor) -> Tensor:
        return self.reduced(x)


def cut(x: Tensor, rows: int, columns: int, step: int = 2) -> Tensor:
    return x.unfold(2, rows, step).unfold(3, columns, step)


POOLED = {
    "largest": (lambda x: cut(x, 2, 2).amax((4, 5)), []),
    "columns first": (lambda x: x.unfold(3, 2, 2).unfold(2, 2, 2).amax((-1, -2)), []),
    "all at once": (lambda x: F.unfold(x, 2, stride=2).view(3, 4, 4, 6).amax(2).view(3, 4, 3, 2), []),
    "mean": (
        lambda x: cut(x, 2, 2).mean((4, 5)),
        ["2×2 average pooling, stride 2 stands in the place of 2×2 max pooling, stride 2"],
    ),
    "larger": (lambda x: cut(x, 3, 2).amax((4, 5)), ["The 2×2 max pooling has a 3×2 window instead of"]),
    "closer": (
        lambda x: cut(x, 2, 2, 1).amax((4, 5)),
        ["The 2×2 max pooling has stride 1 instead of stride 2"],
    ),
}


@pytest.mark.parametrize("name", POOLED)
def test_a_pooling_over_windows_that_were_cut_out_is_a_pooling(name: str) -> None:
    reduced, beginnings = POOLED[name]
    found, certain = sentences(nn.MaxPool2d(2), Windows(reduced), torch.randn(3, 4, 6, 5))
    assert len(found) == len(beginnings)
    assert all(one.startswith(text) for one, text in zip(found, beginnings, strict=True))
    assert certain or not found


@pytest.mark.parametrize(
    "reduced",
    [
        lambda x: cut(x, 2, 2).permute(0, 1, 4, 5, 2, 3).amax((4, 5)),  # over places, not over windows
        lambda x: F.unfold(x, 2, padding=1, stride=2).view(3, 4, 4, 12).amax(2),  # zeros count
        lambda x: F.unfold(x, 2, stride=2).view(3, 4, 4, 6).transpose(1, 2).amax(2),  # over channels
    ],
)
def test_what_is_no_pooling_over_windows_is_not_called_one(reduced: Callable[[Tensor], Tensor]) -> None:
    graph = record(Windows(reduced), torch.randn(3, 4, 6, 5), training=False)
    assert not {layer.kind for layer in layers_of(graph)} & {"max pooling", "average pooling"}


@pytest.mark.parametrize("size", [1, 4, 5])
@pytest.mark.parametrize(
    ("setting", "words"), [({"beta": 0.5}, "beta"), ({"k": 2.0}, "k 2"), ({"alpha": 0.1}, "alpha 0.1")]
)
def test_settings_of_a_response_norm_are_told(size: int, setting: dict, words: str) -> None:
    asked, yours = nn.LocalResponseNorm(size), nn.LocalResponseNorm(size, **setting)
    found, certain = sentences(asked, yours, torch.randn(2, 7, 4, 3))
    assert certain and len(found) == 1 and words in found[0], found


def test_a_linear_layer_is_a_1x1_convolution_where_the_grid_is_one_pixel() -> None:
    asked = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(4, 3, 1), nn.Flatten())
    yours = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    assert sentences(asked, yours, torch.randn(2, 4, 6, 5)) == ([], True)
    narrow = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2, bias=False))
    assert sentences(asked, narrow, torch.randn(2, 4, 6, 5)) == (
        ["The linear layer has 2 channels out instead of 3 channels out and has no bias instead of a bias."],
        True,
    )


def stack(act: type[nn.Module] = nn.ReLU, bias: bool = False) -> nn.Module:
    return nn.Sequential(
        *(layer for _ in range(4) for layer in (nn.Conv2d(3, 3, 3, padding=1, bias=bias), act()))
    )


def test_what_was_done_to_every_layer_is_told_once() -> None:
    image = torch.randn(2, 3, 6, 5)
    assert sentences(stack(), stack(nn.ELU), image)[0] == [
        "ELU, alpha 1 stands in the place of ReLU 4 times, first after 3×3 convolution 1 of 4."
    ]
    assert sentences(stack(), stack(bias=True), image)[0] == [
        "Each of the 4 convolutions has a bias instead of no bias."
    ]
    assert sentences(stack(), stack(nn.Identity), image)[0] == [
        "ReLU is missing 4 times, first after 3×3 convolution 1 of 4."
    ]
    assert sentences(stack(nn.Identity), stack(), image)[0] == [
        "ReLU stands 4 times where none is asked for, first after 3×3 convolution 1 of 4."
    ]
