"""What runs of candidates have in common is computed once, and nothing that is kept is ever wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import blocks
from casestudies.checking.common import Common
from casestudies.sandboxed import probe


class Two(nn.Module):
    """Two layers, and something between them."""

    def __init__(self, between: Any = torch.relu) -> None:
        super().__init__()
        self.one, self.other, self.between = nn.Linear(3, 4), nn.Linear(4, 2), between

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.other(self.between(self.one(x)))
        return y


def state(seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {name: torch.randn_like(value) for name, value in Two().state_dict().items()}


SAME = {name: name for name in Two().state_dict()}


def given(common: Common, module: nn.Module, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    common.load(weights, module, SAME)
    with common.sharing([x]), torch.no_grad():
        found: Tensor = module(x)
    return found.clone()


def plainly(module: nn.Module, x: Tensor, weights: dict[str, Tensor]) -> Tensor:
    module.load_state_dict(weights)
    with torch.no_grad():
        found: Tensor = module(x)
    return found


def in_place(y: Tensor) -> Tensor:
    return y.mul_(2.0)


def through_a_view(y: Tensor) -> Tensor:
    y[:, :2] += 1.0
    return y


def over_the_weight(module: Two) -> Any:
    def between(y: Tensor) -> Tensor:
        module.other.weight.data.mul_(0.5)
        with torch.no_grad():
            module.other.weight.add_(1.0)
        return y

    return between


@pytest.mark.parametrize(
    "between", [torch.relu, torch.tanh, in_place, F.relu_, through_a_view, lambda y: y + y.new_ones(4)]
)
def test_runs_one_after_the_other_give_what_they_give_alone(between: Any) -> None:
    common, x, weights = Common(), torch.randn(5, 3), state()
    for module in (Two(), Two(between), Two(torch.relu), Two(between), Two()):
        assert torch.equal(given(common, module, x, weights), plainly(module, x, weights))


def test_a_module_that_writes_over_its_weights_harms_no_other() -> None:
    common, x, weights = Common(), torch.randn(5, 3), state()
    wild = Two()
    right = given(common, Two(), x, weights)
    wild.between = over_the_weight(wild)
    assert not torch.equal(given(common, wild, x, weights), right)
    assert torch.equal(given(common, Two(), x, weights), right)
    wild.between = torch.relu
    assert torch.equal(given(common, wild, x, weights), right)


def test_one_tensor_is_not_given_twice_to_a_run() -> None:
    def between(y: Tensor) -> Tensor:
        one, other = torch.relu(y), torch.relu(y)
        one.zero_()
        return other

    common, x, weights = Common(), torch.randn(5, 3), state()
    for _ in range(3):
        assert torch.equal(given(common, Two(between), x, weights), plainly(Two(), x, weights))


def test_random_numbers_are_drawn_each_time() -> None:
    common, x, weights = Common(), torch.randn(5, 3), state()
    module = Two(F.dropout)
    assert not torch.equal(given(common, module, x, weights), given(common, module, x, weights))


def test_other_inputs_and_other_weights_are_told_apart() -> None:
    common, weights = Common(), {**state(), **{f"{name}*": value for name, value in state(1).items()}}
    module = Two()
    for _ in range(2):
        for x in (torch.ones(1, 3), torch.zeros(1, 3)):
            common.load(weights, module, {name: f"{name}*" for name in SAME})
            with common.sharing([x]), torch.no_grad():
                found = module(x).clone()
            assert torch.equal(found, plainly(Two(), x, state(1)))
            assert torch.equal(given(common, module, x, weights), plainly(Two(), x, state()))


def test_what_two_begin_with_is_computed_once() -> None:
    common, x, weights = Common(), torch.randn(5, 3), state()
    given(common, Two(), x, weights)
    before = common.computed
    given(common, Two(torch.tanh), x, weights)
    assert (common.computed - before, common.taken) == (2, 1)  # tanh and what follows; the first layer


class DefaultNorm(nn.Module):
    """Two towers whose normalisation has PyTorch's constants: there are eight ways to match the towers' weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle = nn.Conv2d(3, 96, 11, 4), nn.Conv2d(256, 384, 3, padding=1)
        sizes = ((48, 128, 5), (192, 192, 3), (192, 128, 3))
        self.towers = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(i, o, k, padding=k // 2) for _ in range(2)) for i, o, k in sizes
        )

    def forward(self, x: Tensor) -> Tensor:
        def both(x: Tensor, towers: Any) -> Tensor:
            return F.relu(
                torch.cat([tower(half) for tower, half in zip(towers, x.chunk(2, 1), strict=True)], 1)
            )

        x = F.max_pool2d(F.local_response_norm(F.relu(self.first(x)), 5), 3, 2)
        x = F.max_pool2d(F.local_response_norm(both(x, self.towers[0]), 5), 3, 2)
        x = both(F.relu(self.middle(x)), self.towers[1])
        return F.max_pool2d(both(x, self.towers[2]), 3, 2)


def test_a_large_block_costs_few_full_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Common] = []
    images: list[int] = []  # that candidates run on in float64
    backwards: list[int] = []
    start, run, gradients = Common.__init__, blocks.run_module, probe._gradients

    def noted(self: Common) -> None:
        start(self)
        kept.append(self)

    monkeypatch.setattr(Common, "__init__", noted)

    def counted(module: nn.Module, inputs: list[Tensor], **options: Any) -> Any:
        images.extend(len(x) for x in inputs if x.dtype == torch.float64)
        return run(module, inputs, **options)

    monkeypatch.setattr(blocks, "run_module", counted)
    monkeypatch.setattr(probe, "_gradients", lambda *a, **k: backwards.append(1) or gradients(*a, **k))
    report = check("alexnet/alexnet_trunk", DefaultNorm, seed=9)
    assert report.mistakes == ["norm_with_defaults"]
    computed, taken = (sum(getattr(each, name) for each in kept) for name in ("computed", "taken"))
    # Once the student's block, once the reference, and once the mistake that it is; 10 when all was compared in full.
    assert len(backwards) <= 3
    assert sum(images) <= 75  # 105 when each candidate was run on all for its plan
    assert taken > computed / 2


def test_statistics_that_a_batch_norm_moved_in_training_are_loaded_again_and_not_shared() -> None:
    torch.manual_seed(0)
    common, layer, x = Common(), nn.BatchNorm2d(3).double().eval(), torch.rand(4, 3, 5, 5).double()
    state = {name: torch.rand(3).double() for name in ("weight", "bias", "running_mean", "running_var")}
    common.load(state, layer, {name: name for name in state})
    with torch.no_grad(), common.sharing([x]):
        right = layer(x)
    versions = layer.running_mean._version
    layer.train()(x)
    assert layer.running_mean._version == versions  # so that the version does not tell
    with torch.no_grad(), common.sharing([x]):
        assert not torch.equal(layer.eval()(x), right)
    common.load(state, layer, {name: name for name in state})
    assert torch.equal(layer.running_mean, state["running_mean"])
    with torch.no_grad(), common.sharing([x]):
        assert torch.equal(layer(x), right)
