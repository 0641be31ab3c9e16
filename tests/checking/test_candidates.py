"""What the judge keeps of candidates."""

import pytest
import torch
from torch import nn

from casestudies.checking import blocks
from casestudies.checking.space import Case


@pytest.mark.parametrize(
    "features, builds", [(8, 1), (300, 2)]
)  # 300 × 300 is more than is set to 0 for that
def test_a_candidate_whose_sizes_were_found_is_not_built_again(features: int, builds: int) -> None:
    made = []

    def factory(size: int) -> nn.Module:
        made.append(size)
        return nn.Linear(size, size)

    case = Case(features, image=(2, 1, 1, features))
    assert blocks.sizes_of(factory, case) == {(features, features): 1, (features,): 1}
    weight = blocks.candidate(factory, case).weight
    assert len(made) == builds and not weight.any() and weight.dtype == torch.float64
