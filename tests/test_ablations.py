"""What a trained network can lose, and ReLU against tanh, on very few images."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from casestudies import ablations, experiments
from casestudies.ablations import (
    STRENGTHS,
    AblationRun,
    ActivationRun,
    ablation,
    activation,
    recomputed,
    removable,
    small_alexnet,
    with_shortcuts,
    without_blocks,
)
from casestudies.data import Split, digits
from casestudies.networks import resnet
from casestudies.training import History, predict


def few_digits(size: int) -> Split:
    split = digits(size)
    return replace(
        split,
        train_x=split.train_x[:64],
        train_y=split.train_y[:64],
        test_x=split.test_x[:10],
        test_y=split.test_y[:10],
    )


@pytest.fixture(scope="module")
def few() -> Split:
    return few_digits(8)


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return resnet.cifar_resnet(20, in_channels=1)


def test_shortcuts_of_full_strength_change_nothing(network: nn.Module, few: Split) -> None:
    assert torch.equal(predict(with_shortcuts(network, 1.0), few.test_x), predict(network, few.test_x))


def test_shortcuts_of_strength_zero_leave_the_branches(few: Split) -> None:
    torch.manual_seed(0)
    block = resnet.BasicBlock(4, 4).eval()
    x = torch.rand(2, 4, 5, 5)
    cut = with_shortcuts(nn.Sequential(block), 0.0)
    assert torch.equal(cut(x), torch.relu(block.residual(x)))


def test_every_shape_keeping_block_but_the_first_of_a_stage_is_removable(network: nn.Module) -> None:
    assert removable(network) == [(stage, index) for stage in range(3) for index in (1, 2)]


def test_a_removed_block_hands_on_its_input(network: nn.Module) -> None:
    damaged = without_blocks(network, [(1, 2)])
    assert isinstance(damaged.stages[1][2], nn.Identity)
    assert not isinstance(network.stages[1][2], nn.Identity)  # the original is left alone


def test_recomputed_statistics_are_those_of_the_images(few: Split) -> None:
    norm = nn.Sequential(nn.BatchNorm2d(1))
    fresh = recomputed(norm, few.train_x, batch_size=64)[0]
    torch.testing.assert_close(fresh.running_mean, few.train_x.mean(dim=(0, 2, 3)))
    torch.testing.assert_close(fresh.running_var, few.train_x.var(dim=(0, 2, 3)))
    assert norm[0].running_mean.item() == 0


def test_recomputing_changes_no_weight(network: nn.Module, few: Split) -> None:
    fresh = recomputed(network, few.train_x)
    for before, after in zip(network.parameters(), fresh.parameters(), strict=True):
        assert torch.equal(before, after)


def test_ablation_judges_each_damage_twice(few: Split) -> None:
    run = ablation("residual", few, epochs=1, draws=1)
    assert (len(run.single), len(run.several), len(run.shortcuts)) == (6, 7, len(STRENGTHS))
    assert run.several[0] == run.shortcuts[0]  # nothing removed, nothing weakened
    assert all(
        0 <= error <= 1 for pairs in (run.single, run.several, run.shortcuts) for p in pairs for error in p
    )


def test_plain_network_has_no_shortcuts_to_weaken(few: Split) -> None:
    assert ablation("plain", few, epochs=1, draws=1).shortcuts == []


def test_ablation_survives_its_json(few: Split) -> None:
    run = ablation("plain", few, epochs=1, draws=1)
    assert AblationRun.from_json(run.to_json()) == run


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: ablation("dense"), "kind is 'dense'; expected one of plain, residual"),
        (lambda: activation("gelu"), "name is 'gelu'; expected one of relu, tanh"),
    ],
)
def test_an_unknown_kind_is_refused(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_small_alexnet_has_the_grids_of_the_large_one_in_small() -> None:
    shapes, x = [], torch.zeros(1, 1, 32, 32)
    for layer in small_alexnet():
        x = layer(x)
        if isinstance(layer, nn.MaxPool2d):
            shapes.append(tuple(x.shape[1:]))
    assert shapes == [(12, 15, 15), (32, 7, 7), (32, 3, 3)] and x.shape == (1, 10)


@pytest.mark.parametrize("kind, gain", [(nn.ReLU, 2**0.5), (nn.Tanh, 5 / 3)])
def test_first_weights_have_the_scale_of_the_activation(kind: type[nn.Module], gain: float) -> None:
    torch.manual_seed(0)
    layer = next(m for m in small_alexnet(kind).modules() if isinstance(m, nn.Linear))
    assert layer.weight.std().item() == pytest.approx(gain / 288**0.5, rel=0.02)


def test_a_run_that_diverges_is_kept_as_such(tmp_path: Path) -> None:
    few = few_digits(32)
    (run, _) = ablations.activation_study([1e6], (0,), few, tmp_path, epochs=3)
    assert run.diverged and len(run.history) < 3
    assert ActivationRun.from_json(run.to_json()) == run
    assert not list(tmp_path.glob("*.pt"))


def test_larger_inputs_are_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def train(network: nn.Module, data: Split, **options) -> History:
        seen.append(data.train_x)
        return History()

    monkeypatch.setattr(ablations, "train", train)
    few = few_digits(32)
    activation("relu", few, scale=60.0)
    assert torch.equal(seen[0], 60 * few.train_x)


def test_first_epoch_below_an_error() -> None:
    history = History({}, [1.0] * 3, [0.5, 0.25, 0.1])
    run = ActivationRun("relu", 0.01, 1.0, 0, False, history)
    assert (run.epochs_to(0.25), run.epochs_to(0.05)) == (2, None)


@pytest.mark.parametrize(
    "line, first",
    [
        ("ablation --epochs 1 --seeds 0", ["plain", "residual"]),
        ("activation --epochs 1 --rates 0.01", ["relu", "tanh"]),
        ("degradation --depths 8 --epochs 1 --rates 0.02 0.01 --kinds plain", ["plain-8", "plain-8"]),
    ],
)
def test_command_runs_the_experiment(
    line: str,
    first: list[str],
    few: Split,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ablations, "digits", lambda size=32: few_digits(size))
    monkeypatch.setattr("casestudies.data.load", lambda name, root=None, size=None: few_digits(size or 32))
    parser = argparse.ArgumentParser()
    experiments.add_parser(parser.add_subparsers())
    args = parser.parse_args(["experiment", *line.split(), "--device", "cpu"])
    assert args.run(args) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == first


def test_each_rate_is_kept_under_its_own_name(few: Split, tmp_path: Path) -> None:
    experiments.degradation_study((8,), (0,), few, tmp_path, rates=[0.02, 0.01], kinds=["plain"], epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "degradation-digits-plain-8-1epochs-lr0.01-seed0.json",
        "degradation-digits-plain-8-1epochs-lr0.02-seed0.json",
    ]


def test_ablations_run_on_the_digits_only() -> None:
    parser = argparse.ArgumentParser()
    experiments.add_parser(parser.add_subparsers())
    args = parser.parse_args(["experiment", "ablation", "--data", "cifar10"])
    with pytest.raises(ValueError, match="data is cifar10; the experiment ablation runs on the digits"):
        args.run(args)
