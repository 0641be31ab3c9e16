"""The first filters of two towers, trained on a few coloured images."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from casestudies import experiments, towers
from casestudies.data import Split, digits
from casestudies.towers import FilterRun, TowerNetwork, colour_shares


@pytest.fixture(scope="module")
def few() -> Split:
    split = digits(32)
    return replace(
        split,
        train_x=split.train_x[:64].expand(-1, 3, -1, -1),
        train_y=split.train_y[:64],
        test_x=split.test_x[:10].expand(-1, 3, -1, -1),
        test_y=split.test_y[:10],
        name="cifar10",
    )


@pytest.fixture(scope="module")
def run(few: Split) -> FilterRun:
    return towers.towers(few, seed=3, epochs=1)


def test_a_filter_of_layer_1_reaches_one_tower_of_layer_2_only() -> None:
    network = TowerNetwork().eval()
    maps = torch.rand(1, 64, 6, 6, requires_grad=True)
    network.conv2(maps)[:, :48].sum().backward()
    reached = maps.grad.abs().amax(dim=(0, 2, 3)) > 0
    assert reached.tolist() == [True] * 32 + [False] * 32


def test_filters_survive_json_to_their_precision(few: Split, run: FilterRun) -> None:
    again = FilterRun.from_json(run.to_json())
    assert again == run and tuple(again.filters.shape) == (64, 3, 11, 11)
    torch.manual_seed(3)
    network = TowerNetwork(10)
    towers.train(network, towers.resized(few, 64), seed=3, **{**towers.RECIPE, "epochs": 1})
    trained = network.conv1.weight.detach()
    step = trained.abs().amax(dim=(1, 2, 3), keepdim=True) / 254
    assert ((again.filters - trained).abs() <= 1.001 * step).all()


def test_shares_of_colour_of_filters_that_one_knows() -> None:
    grey = torch.rand(1, 1, 11, 11).expand(1, 3, 11, 11)
    opposed = torch.cat([grey[:, :1], -grey[:, :1], 0 * grey[:, :1]], dim=1)
    red = torch.cat([grey[:, :1], 0 * grey[:, :2]], dim=1)
    shares = colour_shares(torch.cat([grey, opposed, red, 5 * red]))
    assert torch.allclose(shares, torch.tensor([0, 1, 2 / 3, 2 / 3]), atol=1e-6)


def test_colour_needs_three_colours() -> None:
    with pytest.raises(ValueError, match=r"filters has the shape \(4, 1, 5, 5\); expected \(filters, 3,"):
        colour_shares(torch.rand(4, 1, 5, 5))
    with pytest.raises(ValueError, match="data is digits with 1 channel"):
        towers.towers(digits(32), epochs=1)


def test_command_keeps_the_runs_and_prints_a_line_for_each(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("casestudies.data.load", lambda name, root=None, size=None: few)
    parser = argparse.ArgumentParser()
    experiments.add_parser(parser.add_subparsers())
    line = f"experiment towers --data cifar10 --seeds 0 1 --epochs 1 --device cpu --out {tmp_path}"
    for _ in range(2):  # the second time the runs are read
        args = parser.parse_args(line.split())
        assert args.run(args) == 0
        printed = capsys.readouterr().out.splitlines()
        assert [row.split()[0] for row in printed] == ["seed", "0", "1"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "towers-cifar10-seed0.json",
        "towers-cifar10-seed1.json",
    ]
    with pytest.raises(ValueError, match="leave --short and --size out"):
        args = parser.parse_args(["experiment", "towers", "--data", "cifar10", "--short"])
        args.run(args)


def test_recorded_runs_are_of_the_recipe() -> None:
    runs = experiments.recorded("towers", "cifar10")
    assert runs
    for run in runs:
        settings = {"epochs": 12, "lr": 0.02, "image": [3, 64, 64], "seed": run.seed}
        assert settings.items() <= run.history.settings.items()
        assert run.record["command"].startswith("casestudies experiment towers")
        assert "JPEG" in run.record["data"]
