"""What the probe sees of the order in which parameters are used."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.sandboxed.probe import watch


class NormBackToFront(nn.Module):
    """A batch norm by hand, whose shift is registered before its scale and whose variance before its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.ones(3))
        self.register_buffer("variance", torch.ones(3))
        self.register_buffer("average", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.average, self.variance, self.scale, self.shift, self.training)


def order_of_use(module: nn.Module, x: Tensor) -> list[str]:
    with torch.no_grad():
        _, uses = watch(module.eval(), [x])
    return [use.name for use in uses]


def test_roles_in_one_operation_do_not_depend_on_registration() -> None:
    by_hand = order_of_use(NormBackToFront(), torch.randn(2, 3, 4, 5))
    library = order_of_use(nn.BatchNorm2d(3), torch.randn(2, 3, 4, 5))
    roles = {"scale": "weight", "shift": "bias", "average": "running_mean", "variance": "running_var"}
    assert [roles[name] for name in by_hand] == library


@pytest.mark.parametrize("features", [1, 3])
def test_a_weight_comes_before_its_bias(features: int) -> None:
    """Also where it has a single row, and so as many values as the bias."""
    assert order_of_use(nn.Linear(features, 5), torch.randn(2, features)) == ["weight", "bias"]


def test_what_comes_before_is_told_by_bits() -> None:
    """In a sum of two branches, the branches do not come before each other."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(1, 2, 1, bias=False)
            self.left, self.right, self.head = (nn.Conv2d(2, 2, 1, bias=False) for _ in range(3))

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            return self.head(self.left(x) + self.right(x))

    with torch.no_grad():
        _, uses = watch(Branches().eval(), [torch.randn(1, 1, 3, 3)])
    assert [use.name for use in uses] == [f"{name}.weight" for name in ("stem", "left", "right", "head")]
    assert [use.upstream for use in uses] == [0, 0b1, 0b1, 0b111]
