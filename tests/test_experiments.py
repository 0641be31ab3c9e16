"""The degradation experiment, on very few images: what is compared, what is kept, and what is gone on with."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casestudies import experiments
from casestudies.costs import ledger
from casestudies.data import Split, digits
from casestudies.experiments import Run, degradation, degradation_study
from casestudies.training import History


@pytest.fixture(scope="module")
def few() -> Split:
    split = digits(8)
    return replace(
        split,
        train_x=split.train_x[:64],
        train_y=split.train_y[:64],
        test_x=split.test_x[:10],
        test_y=split.test_y[:10],
    )


def test_run_records_every_epoch(few: Split) -> None:
    run = degradation(8, residual=True, data=few, epochs=2)
    assert (len(run.history.train_error), len(run.history.gradient_norm)) == (2, 2)


def test_plain_and_residual_network_differ_in_their_shortcuts_only(few: Split) -> None:
    plain, residual = (degradation(8, residual, few, epochs=1).history for residual in (False, True))
    assert plain.settings == residual.settings
    assert plain.train_loss != residual.train_loss


def test_run_repeats_itself(few: Split) -> None:
    assert degradation(8, True, few, epochs=1) == degradation(8, True, few, epochs=1)


def test_run_survives_its_json(few: Split) -> None:
    run = degradation(8, False, few, epochs=1)
    assert Run.from_json(run.to_json()) == run


def test_study_has_both_networks_of_each_depth_and_seed(few: Split) -> None:
    runs = degradation_study((8, 14), (0, 1), few, epochs=1)
    assert [(run.name, run.seed) for run in runs] == [
        (f"{kind}-{depth}", seed) for seed in (0, 1) for depth in (8, 14) for kind in ("plain", "residual")
    ]


def test_finished_runs_are_read_back(few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = degradation_study((8,), (0,), few, tmp_path, epochs=1)
    monkeypatch.setattr(experiments, "train", None)  # whoever trains now fails
    assert degradation_study((8,), (0,), few, tmp_path, epochs=1) == first


def test_interrupted_study_goes_on_to_the_same_result(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = degradation_study((8,), (0,), few, epochs=3)
    original = experiments.train

    def interrupted(*args, **kwargs) -> History:
        def stop(history: History) -> None:
            if len(history) == 2:
                raise KeyboardInterrupt

        return original(*args, on_epoch=stop, **kwargs)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiments, "train", interrupted)
        degradation_study((8,), (0,), few, tmp_path, epochs=3)
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"]
    assert degradation_study((8,), (0,), few, tmp_path, epochs=3) == expected


def test_only_small_json_is_left_of_a_finished_study(few: Split, tmp_path: Path) -> None:
    degradation_study((8,), (0,), few, tmp_path, epochs=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "degradation-digits-plain-8-seed0.json",
        "degradation-digits-residual-8-seed0.json",
    ]


def test_kept_run_of_other_settings_is_not_passed_off(few: Split, tmp_path: Path) -> None:
    degradation_study((8,), (0,), few, tmp_path, epochs=1)
    with pytest.raises(
        ValueError, match="was run with epochs 1 instead of 2; delete it or name another folder"
    ):
        degradation_study((8,), (0,), few, tmp_path, epochs=2)


def test_impossible_depth_is_refused(few: Split) -> None:
    with pytest.raises(ValueError, match=r"depth is 21; CIFAR networks have depth 6n \+ 2"):
        degradation(21, True, few)


def test_table_has_a_line_a_run() -> None:
    history = History({}, [0.1], [0.25], [0.5], [2.0])
    lines = experiments.table([Run(56, False, 3, history)]).splitlines()
    assert lines[1].split() == ["plain-56", "3", "25.00%", "50.00%", "2.0000"]


def test_command_runs_the_experiment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    experiments.add_parser(parser.add_subparsers())
    line = f"experiment degradation --depths 8 --epochs 1 --device cpu --out {tmp_path}"
    args = parser.parse_args(line.split())
    assert args.run(args) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["plain-8", "residual-8"]


def test_kept_run_of_other_images_is_not_passed_off(few: Split, tmp_path: Path) -> None:
    degradation_study((8,), (0,), few, tmp_path, epochs=1)
    fewer = replace(few, train_x=few.train_x[:32], train_y=few.train_y[:32])
    with pytest.raises(ValueError, match="was run with images 64 instead of 32"):
        degradation_study((8,), (0,), fewer, tmp_path, epochs=1)


# What a record says, and what it must not: folders of the machine.


def test_kept_run_says_how_it_was_made(few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = "casestudies experiment degradation --root /home/ada/data --depths 8 --out /home/ada/runs"
    monkeypatch.setattr("sys.argv", line.split())
    (run, _) = degradation_study((8,), (0,), replace(few, source="JPEG copy"), tmp_path, epochs=1)
    assert run.record["command"] == "casestudies experiment degradation --root DATA --depths 8 --out FOLDER"
    assert run.record["data"] == "digits (JPEG copy)"
    assert run.record["hardware"].startswith("CPU") and run.record["seconds"] >= 0


@pytest.mark.parametrize(
    "program, command",
    [
        ("/opt/course/bin/casestudies", "casestudies experiment degradation"),
        ("/opt/course/casestudies/__main__.py", "casestudies experiment degradation"),
        ("/opt/bin/jupyter", "called from Python"),
    ],
)
def test_command_of_a_record_is_ours(program: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program, "experiment", "degradation"])
    assert experiments.command_line() == command


# Scaling

BASE, *LARGER = experiments.SCALES


@pytest.mark.parametrize("scale", LARGER, ids=lambda scale: scale.name)
def test_larger_network_costs_about_four_times_the_base(scale: experiments.Scale) -> None:
    def macs(scale: experiments.Scale) -> int:
        return ledger(experiments.ScaledNetwork(scale), (3, scale.image, scale.image)).macs

    assert 3.9 < macs(scale) / macs(BASE) < 4.3


@pytest.mark.parametrize(
    "name, changed", [("depth", {"blocks"}), ("width", {"width"}), ("resolution", {"image"})]
)
def test_scaling_in_one_dimension_leaves_the_others(name: str, changed: set[str]) -> None:
    scale = next(scale for scale in LARGER if scale.name == name)
    assert {
        key for key in ("blocks", "width", "image") if getattr(scale, key) != getattr(BASE, key)
    } == changed


def test_scaling_run_is_kept_and_read_back(
    few: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = experiments.scaling_study(LARGER[2:3], (1,), few, tmp_path, epochs=1)
    monkeypatch.setattr(experiments, "train", None)  # whoever trains now fails
    assert experiments.scaling_study(LARGER[2:3], (1,), few, tmp_path, epochs=1) == first


def test_scaling_run_says_what_it_costs(few: Split) -> None:
    run = experiments.scaling(BASE, few, epochs=1)
    book = ledger(experiments.ScaledNetwork(BASE, 1), (1, 12, 12))
    assert (run.parameters, run.macs) == (book.parameters, book.macs)
    assert run.history.settings["image"] == [1, 12, 12]


def test_scaling_table_has_a_line_a_run() -> None:
    history = History({}, [0.1], [0.25], [0.5], [2.0])
    line = experiments.scaling_table([experiments.ScalingRun(BASE, 7, 9, 3, history)]).splitlines()[1]
    assert line.split() == ["base", "2", "16", "12", "7", "9", "3", "25.00%", "50.00%"]


# (line, words of the error)
BAD_LINES = [
    ("experiment degradation --short", "--short shortens the recipe of cifar10"),
    ("experiment scaling --size 8", "leave it out"),
]


@pytest.mark.parametrize("line, words", BAD_LINES)
def test_command_that_makes_no_sense_is_refused(line: str, words: str) -> None:
    parser = argparse.ArgumentParser()
    experiments.add_parser(parser.add_subparsers())
    args = parser.parse_args(line.split())
    with pytest.raises(ValueError, match=words):
        args.run(args)


# The runs that come with the package

RECORDED = [
    pytest.param(run, id=f"{experiment}-{run.name}-{run.seed}")
    for experiment in ("degradation", "scaling", "ablation", "activation")
    for run in experiments.recorded(experiment)
]


@pytest.mark.parametrize("run", RECORDED)
def test_recorded_run_says_where_it_comes_from(run: Any) -> None:
    assert {"command", "data", "hardware", "torch", "date", "seconds"} <= set(run.record)
    assert not [word for word in run.record["command"].split() if "/" in word]
    assert run.history.settings.get("seed", run.seed) == run.seed
    assert getattr(run, "diverged", False) or len(run.history) == run.history.settings["epochs"]


def test_recorded_runs_are_picked_by_their_data() -> None:
    runs = experiments.recorded("degradation", "cifar10")
    assert runs and {run.history.settings["data"] for run in runs} == {"cifar10"}


def test_recorded_runs_of_an_unknown_experiment_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of degradation, scaling"):
        experiments.recorded("widening")


@pytest.mark.slow
def test_degradation_is_seen_on_the_digits() -> None:
    runs = (degradation(56, residual, epochs=4) for residual in (False, True))
    plain, residual = (run.history.train_error[-1] for run in runs)
    assert plain > 0.5 > 0.1 > residual
