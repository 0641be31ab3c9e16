"""What the probe sees of the order in which parameters are used."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.probe import watch


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
    return [use["name"] for use in uses]


def test_roles_in_one_operation_do_not_depend_on_registration() -> None:
    by_hand = order_of_use(NormBackToFront(), torch.randn(2, 3, 4, 5))
    library = order_of_use(nn.BatchNorm2d(3), torch.randn(2, 3, 4, 5))
    roles = {"scale": "weight", "shift": "bias", "average": "running_mean", "variance": "running_var"}
    assert [roles[name] for name in by_hand] == library


@pytest.mark.parametrize("features", [1, 3])
def test_a_weight_comes_before_its_bias(features: int) -> None:
    """Also where it has a single row, and so as many values as the bias."""
    assert order_of_use(nn.Linear(features, 5), torch.randn(2, features)) == ["weight", "bias"]
