"""The training loop: what it minimises, that it repeats itself exactly, and that it goes on where it stopped."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import training
from casestudies.cli import main
from casestudies.data import Split, digits
from casestudies.training import History, train

# schedule, epoch of 8, expected rate for a base of 0.1
RATES = [
    ("cosine", 0, 0.1),
    ("cosine", 2, 0.1 * (1 + math.sqrt(0.5)) / 2),
    ("cosine", 4, 0.05),
    ("step", 3.9, 0.1),
    ("step", 4, 0.01),
    ("step", 6, 0.001),
    ("constant", 7.9, 0.1),
]


def small_data(count: int = 60, name: str = "dots") -> Split:
    """Three classes of 4 x 4 images, easily told apart: a bright row each, and noise."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(count) % 3
    x = torch.randn(count, 1, 4, 4, generator=generator) * 0.3
    x[torch.arange(count), 0, y] += 2
    return Split(x[:-15], y[:-15], x[-15:], y[-15:], ("top", "upper", "lower"), name)


def small_network(seed: int = 0, dropout: float = 0.2) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(dropout),
        nn.Linear(16, 3),
    )


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


class Stop(Exception):
    """Stands for a run that is killed."""


def stop_after(epochs: int):
    def on_epoch(history: History) -> None:
        if len(history) == epochs:
            raise Stop

    return on_epoch


@pytest.mark.parametrize(("schedule", "epoch", "expected"), RATES)
def test_rate_follows_the_schedule(schedule: str, epoch: float, expected: float) -> None:
    assert training.learning_rate(schedule, 0.1, epoch, 8) == pytest.approx(expected)


def test_easy_images_are_learnt() -> None:
    history = train(small_network(), small_data(), epochs=10, batch_size=15)
    assert (history.train_error[-1], history.test_error[-1]) == (0, 0)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_same_seed_gives_the_same_weights(optimizer: str) -> None:
    networks = [small_network(), small_network()]
    for network in networks:
        train(network, small_data(), epochs=2, optimizer=optimizer, lr=0.01, augment=training.crop_and_flip)
    assert same(*networks)


def test_another_seed_gives_other_weights() -> None:
    networks = [small_network(), small_network()]
    for seed, network in enumerate(networks):
        train(network, small_data(), epochs=1, seed=seed)
    assert not same(*networks)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path, optimizer: str) -> None:
    options = {"epochs": 4, "batch_size": 15, "lr": 0.02, "optimizer": optimizer}
    whole, halves = small_network(), small_network()
    expected = train(whole, small_data(), **options)
    with pytest.raises(Stop):
        train(halves, small_data(), checkpoint=tmp_path / "run.pt", on_epoch=stop_after(2), **options)
    resumed = small_network(seed=5)  # whatever it starts from, the checkpoint replaces it
    history = train(resumed, small_data(), checkpoint=tmp_path / "run.pt", **options)
    assert same(whole, resumed)
    assert history == expected


def test_finished_run_is_not_trained_again(tmp_path: Path) -> None:
    options = {"epochs": 2, "checkpoint": tmp_path / "run.pt"}
    first, again = small_network(), small_network(seed=5)
    train(first, small_data(), **options)
    train(again, small_data(), on_epoch=stop_after(1), **options)
    assert same(first, again)


def test_random_numbers_of_the_caller_are_left_alone() -> None:
    network = small_network()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    train(network, small_data(), epochs=1)
    assert torch.equal(torch.rand(1), expected)


def test_history_describes_each_batch_as_it_is_met() -> None:
    data = small_data()
    network = small_network(dropout=0.0)
    batch = (data.train_x, data.train_y)
    logits = network.train()(batch[0])
    loss = F.cross_entropy(logits, batch[1])
    (gradient,) = torch.autograd.grad(loss, network[0].weight)
    error = (logits.argmax(dim=1) != batch[1]).float().mean().item()
    history = train(small_network(dropout=0.0), data, epochs=1, batch_size=len(batch[0]))
    got = (history.train_loss[0], history.train_error[0], history.gradient_norm[0])
    assert got == pytest.approx((loss.item(), error, gradient.norm().item()), rel=1e-4)


def test_one_step_is_that_of_gradient_descent_with_weight_decay() -> None:
    data, rate, decay = small_data(), 0.1, 0.01
    network = small_network(dropout=0.0)
    before = network[0].weight.detach().clone()
    loss = F.cross_entropy(network.train()(data.train_x), data.train_y)
    (gradient,) = torch.autograd.grad(loss, network[0].weight)
    train(
        network,
        data,
        epochs=1,
        batch_size=len(data.train_x),
        lr=rate,
        weight_decay=decay,
        schedule="constant",
    )
    expected = before - rate * (gradient + decay * before)
    torch.testing.assert_close(network[0].weight.detach(), expected)


def test_history_survives_its_file(tmp_path: Path) -> None:
    history = train(small_network(), small_data(), epochs=2)
    history.save(tmp_path / "a" / "history.json")
    assert History.load(tmp_path / "a" / "history.json") == history


def test_history_prints_a_line_an_epoch() -> None:
    history = train(small_network(), small_data(), epochs=3)
    assert [line.split()[0] for line in str(history).splitlines()] == ["epoch", "1", "2", "3"]


def test_prediction_leaves_the_mode_as_it_was() -> None:
    network = small_network().train()
    training.predict(network, torch.zeros(2, 1, 4, 4))
    assert network.training


def test_prediction_is_in_evaluation_mode_whatever_the_batches() -> None:
    network, x = small_network(), small_data().test_x
    expected = network.eval()(x)
    torch.testing.assert_close(training.predict(network.train(), x, batch_size=4), expected.detach())


def test_cropped_image_is_a_window_of_the_padded_one_or_its_mirror() -> None:
    image = torch.arange(36.0).view(1, 1, 6, 6) + 1
    padded = F.pad(image, (4, 4, 4, 4))[0, 0]
    windows = {tuple(padded[i : i + 6, j : j + 6].flatten().tolist()) for i in range(9) for j in range(9)}
    torch.manual_seed(0)
    crops = training.crop_and_flip(image.expand(200, -1, -1, -1))[:, 0]

    def kind(crop: Tensor) -> str:
        straight = tuple(crop.flatten().tolist()) in windows
        return "straight" if straight else "mirrored" if is_mirrored(crop) else "neither"

    def is_mirrored(crop: Tensor) -> bool:
        return tuple(crop.flip(1).flatten().tolist()) in windows

    assert {kind(crop) for crop in crops} == {"straight", "mirrored"}


def test_bar_is_shown_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    train(small_network(), small_data(), epochs=1, progress=True)
    assert "test=" in capsys.readouterr().err


def test_bar_is_silent_outside_of_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    train(small_network(), small_data(), epochs=1)
    assert capsys.readouterr().err == ""


def test_plain_tanh_network_reads_the_digits() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 10))
    history = train(network, digits(8), epochs=10)
    assert history.test_error[-1] < 0.05


# call, and what its error says
EMPTY = torch.zeros(0, 1, 4, 4)
BAD_INPUT = [
    (dict(epochs=0), "epochs is 0; expected at least 1"),
    (dict(batch_size=0), "batch_size is 0; expected at least 1"),
    (dict(lr=-0.1), "lr is -0.1; the learning rate must be above 0"),
    (dict(optimizer="lion"), 'optimizer is \'lion\'; expected "sgd" or "adam"'),
    (dict(schedule="linear"), 'schedule is \'linear\'; expected "cosine", "step" or "constant"'),
    (
        dict(data=Split(EMPTY, torch.zeros(0), EMPTY, torch.zeros(0))),
        "needs at least one training and one test",
    ),
    (dict(network=nn.Flatten()), "network has no parameters"),
]


@pytest.mark.parametrize(("options", "message"), BAD_INPUT)
def test_bad_input_is_named(options: dict, message: str) -> None:
    options = {"network": small_network(), "data": small_data(), **options}
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_divergence_is_reported_with_its_remedy() -> None:
    data = small_data()
    wild = Split(data.train_x * math.inf, data.train_y, data.test_x, data.test_y, data.classes, "wild")
    with pytest.raises(FloatingPointError, match="no longer finite in epoch 1; lr is 0.05, try a tenth"):
        train(small_network(), wild, epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.5}, "of another run, with lr 0.05 instead of 0.5"),
        ({"data": small_data(name="lines")}, "of another run, with data 'dots' instead of 'lines'"),
        ({"network": nn.Sequential(nn.Conv2d(1, 3, 4), nn.Flatten())}, "of another network"),
    ],
)
def test_checkpoint_of_another_run_is_refused(tmp_path: Path, change: dict, message: str) -> None:
    options = {"network": small_network(), "data": small_data(), "epochs": 1, "checkpoint": tmp_path / "a.pt"}
    train(**options)
    with pytest.raises(ValueError, match=message):
        train(**{**options, **change})


def test_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"half a file")
    with pytest.raises(ValueError, match="cannot be read .*; delete it to start anew"):
        train(small_network(), small_data(), epochs=1, checkpoint=tmp_path / "a.pt")


def test_command_trains_a_network_on_the_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    training.add_parser(parser.add_subparsers())
    path = tmp_path / "history.json"
    line = f"train lenet5 --data digits --epochs 1 --device cpu --history {path}"
    args = parser.parse_args(line.split())
    assert args.run(args) == 0
    assert "test accuracy" in capsys.readouterr().out
    assert len(History.load(path)) == 1


def test_lenet_reads_the_digits(capsys: pytest.CaptureFixture[str]) -> None:
    """The first command that somebody tries, with nothing but its defaults."""
    assert main(["train", "lenet", "--data", "digits"]) == 0
    accuracy = re.search(r"test accuracy ([\d.]+)%", capsys.readouterr().out)
    assert accuracy and float(accuracy[1]) > 97
