"""Pretrained weights: where they go, how they arrive, and what the images look like that they expect.

The state dicts have torchvision's keys, shapes and order (torchvision_states.py); a local server sends them.
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import LocalServer, serve
from PIL import Image
from torch import nn
from torchvision_states import ENTRIES, state

from casestudies.download import DownloadError
from casestudies.weights import WEIGHTS, best, class_names, classify, fill, load_pretrained, preprocess
from casestudies.zoo import build, skeleton
from casestudies.zoo import pretrained as weights
from casestudies.zoo.classify import add_parser
from casestudies.zoo.matching import match_in_order

# Resize and crop that torchvision prints for its first weights; all others are 256 and 224.
SIZES = {
    "efficientnet_b0": (256, 224),
    "efficientnet_b1": (256, 240),
    "efficientnet_b2": (288, 288),
    "efficientnet_b3": (320, 300),
    "efficientnet_b4": (384, 380),
    "efficientnet_b5": (456, 456),
    "efficientnet_b6": (528, 528),
    "efficientnet_b7": (600, 600),
}

# Index of ILSVRC-2012, name
CLASSES = [(0, "tench"), (134, "crane (bird)"), (207, "golden retriever"), (281, "tabby"), (517, "crane"),
           (817, "sports car"), (954, "banana"), (999, "toilet tissue")]  # fmt: skip


def float_keys(entries: dict[str, torch.Tensor]) -> list[str]:
    return [key for key, value in entries.items() if value.is_floating_point()]


def without_heads(entries: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {key: value for key, value in entries.items() if not key.startswith("aux")}


# Where they go


@pytest.mark.parametrize("name", WEIGHTS)
def test_network_has_the_shapes_of_the_file_in_the_same_order(name: str) -> None:
    ours, theirs = skeleton(name).state_dict(), without_heads(state(name))
    shapes = [[entries[key].shape for key in float_keys(entries)] for entries in (ours, theirs)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_entry_goes_to_its_own_place(name: str) -> None:
    network, entries = skeleton(name), without_heads(state(name))
    image = torch.empty(1, 3, WEIGHTS[name].crop, WEIGHTS[name].crop, device="meta")
    expected = dict(zip(float_keys(network.state_dict()), float_keys(entries), strict=True))
    assert match_in_order(entries, network, [image]) == expected


def test_every_network_with_weights_is_described() -> None:
    assert set(ENTRIES) == set(WEIGHTS)


def test_batch_norm_gets_the_eps_that_the_weights_were_trained_with() -> None:
    network = build("efficientnet_b0")
    fill(network, state("efficientnet_b0", seed=0), WEIGHTS["efficientnet_b0"])
    assert {module.eps for module in network.modules() if isinstance(module, nn.BatchNorm2d)} == {1e-5}


def test_other_efficientnets_keep_their_own_eps() -> None:
    assert [WEIGHTS[f"efficientnet_b{size}"].eps for size in range(8)] == [1e-5] * 5 + [None] * 3


# How they arrive

NAME = "mobilenet_v2"


@pytest.fixture(scope="module")
def published() -> bytes:
    """A file of weights as torchvision publishes them."""
    content = io.BytesIO()
    torch.save(state(NAME, seed=3), content)
    return content.getvalue()


def publish(server: LocalServer, monkeypatch: pytest.MonkeyPatch, content: bytes, name: str = NAME) -> str:
    """Put a file on the server under a name that carries its hash, and let the table point there."""
    file = f"{name}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    server.files[file] = content
    monkeypatch.setattr(weights, "URL", server.url)
    monkeypatch.setitem(WEIGHTS, name, replace(WEIGHTS[name], file=file))
    return file


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, published: bytes) -> Iterator[LocalServer]:
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path / "cache"))
    with serve() as running:
        publish(running, monkeypatch, published)
        yield running


def test_pretrained_network_has_the_values_of_the_file(server: LocalServer) -> None:
    network, entries = build(NAME, pretrained=True), state(NAME, seed=3)
    ours = network.state_dict()
    pairs = zip(float_keys(ours), float_keys(entries), strict=True)
    assert all(torch.equal(ours[mine], entries[theirs]) for mine, theirs in pairs)


def test_file_is_fetched_once(server: LocalServer) -> None:
    for _ in range(2):
        load_pretrained(NAME, build(NAME))
    assert len(server.asked) == 1


def test_broken_transfer_is_reported_and_then_resumed(server: LocalServer, published: bytes) -> None:
    server.cut = 1_000_000
    with pytest.raises(DownloadError, match="broke off after 1,000,000 of .* call again"):
        load_pretrained(NAME, build(NAME))
    server.cut = None
    load_pretrained(NAME, build(NAME))
    assert server.asked[-1][1] == "bytes=1000000-"


def test_file_with_another_hash_is_refused(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    file = WEIGHTS[NAME].file
    server.files[file] = server.files[file][:-1] + b"?"
    with pytest.raises(DownloadError, match="what came was deleted"):
        load_pretrained(NAME, build(NAME))


def test_missing_file_says_where_to_put_it(server: LocalServer) -> None:
    server.files.clear()
    with pytest.raises(DownloadError, match="answers 404 .* put it at .*mobilenet_v2-"):
        load_pretrained(NAME, build(NAME))


def test_offline_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path))
    with serve() as stopped:
        monkeypatch.setattr(weights, "URL", stopped.url)
    with pytest.raises(DownloadError, match="cannot be reached .* connect to the network"):
        load_pretrained(NAME, build(NAME))


@pytest.mark.parametrize("name", ["lenet5", "resnet50_v1", "mobilenet_v2_0.5_224"])
def test_network_without_weights_is_named_with_those_that_have_some(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"name is '{name}', which has no pretrained weights; .*alexnet, vgg11"
    ):
        load_pretrained(name, nn.Identity())


def test_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match="did you mean 'resnet50'"):
        load_pretrained("resnet5O", nn.Identity())


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ("mobilenet_v2_0.75_224", "state has no parameter of shape"),
        ("resnet18", "state has no parameter of shape"),
    ],
)
def test_weights_of_another_network_are_refused(server: LocalServer, other: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_pretrained(NAME, build(other))


def test_file_with_too_much_is_refused(server: LocalServer) -> None:
    entries = state(NAME, seed=0) | {"features.19.weight": torch.zeros(3, 3)}
    with pytest.raises(ValueError, match="the network does not use, .*'features.19.weight'"):
        fill(build(NAME), entries, WEIGHTS[NAME])


def test_damaged_file_is_refused(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(server, monkeypatch, b"not a file of weights")
    with pytest.raises(ValueError, match="is not a file of weights .*; delete it and try again"):
        load_pretrained(NAME, build(NAME))


class Trap:
    """Leaves a file behind where a file of weights is unpickled without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_file_that_calls_something_is_not_obeyed(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = io.BytesIO()
    torch.save({"weight": Trap(tmp_path / "sprung")}, content)
    publish(server, monkeypatch, content.getvalue())
    with pytest.raises(ValueError, match="is not a file of weights"):
        load_pretrained(NAME, build(NAME))
    assert not (tmp_path / "sprung").exists()


def test_name_of_a_file_carries_its_hash() -> None:
    assert WEIGHTS["resnet50"].digest == "0676ba61"
    with pytest.raises(ValueError, match=r"file is 'resnet50.pth'; expected a name that ends in its hash"):
        weights.Weights("resnet50.pth").digest  # noqa: B018


# What the images look like


def photo(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("name", WEIGHTS)
def test_image_has_the_size_that_the_weights_expect(name: str) -> None:
    resize, crop = SIZES.get(name, (256, 224))
    assert (WEIGHTS[name].resize, WEIGHTS[name].crop) == (resize, crop)
    assert preprocess(photo(700, 640), name).shape == (1, 3, crop, crop)


@pytest.mark.parametrize("name", WEIGHTS)
def test_efficientnets_are_resized_by_cubics_and_all_others_linearly(name: str) -> None:
    expected = "bicubic" if name.startswith("efficientnet") else "bilinear"
    assert WEIGHTS[name].interpolation == expected


@pytest.mark.parametrize(("width", "height"), [(256, 256), (300, 256), (256, 400), (257, 256)])
def test_middle_of_the_image_is_taken(width: int, height: int) -> None:
    image = photo(width, height)  # its shorter side has 256 pixels already
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    cut = np.asarray(image)[top : top + 224, left : left + 224].transpose(2, 0, 1) / 255
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    expected = (cut - mean[:, None, None]) / std[:, None, None]
    np.testing.assert_allclose(preprocess(image, "resnet50")[0].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("name", "method"), [("resnet50", 2), ("efficientnet_b0", 3)])  # Pillow's numbers
def test_image_is_resized_by_the_method_of_the_weights(name: str, method: int) -> None:
    image = photo(500, 400)
    small = image.resize((320, 256), Image.Resampling(method))
    torch.testing.assert_close(preprocess(image, name), preprocess(small, name))


def test_pixels_of_googlenet_lie_between_minus_one_and_one() -> None:
    black, white = (preprocess(Image.new("L", (256, 256), v), "googlenet_torchvision") for v in (0, 255))
    assert (black.unique().tolist(), white.unique().tolist()) == ([-1], [1])


def test_grey_and_transparent_images_become_coloured() -> None:
    for mode in ("L", "RGBA", "P"):
        assert preprocess(Image.new(mode, (256, 256)), "resnet50").shape == (1, 3, 224, 224)


def test_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    image = photo(300, 256)
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    image.save(tmp_path / "photo.png", exif=exif)
    turned = image.transpose(Image.Transpose.ROTATE_270)
    expected = preprocess(turned, "resnet50")
    torch.testing.assert_close(preprocess(tmp_path / "photo.png", "resnet50"), expected)
    with Image.open(tmp_path / "photo.png") as opened:
        torch.testing.assert_close(preprocess(opened, "resnet50"), expected)


def test_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(ValueError, match="notes.txt, which is not an image that Pillow can read"):
        preprocess(tmp_path / "notes.txt", "resnet50")


def test_image_that_ends_early_is_refused_by_path_and_when_opened(tmp_path: Path) -> None:
    photo(300, 256).save(tmp_path / "whole.jpg")
    whole = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "half.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="which cannot be read"):
        preprocess(tmp_path / "half.jpg", "resnet50")
    with Image.open(tmp_path / "half.jpg") as opened, pytest.raises(ValueError, match="which cannot be read"):
        preprocess(opened, "resnet50")


def test_what_is_wrong_is_said_before_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("casestudies.zoo.classify.load_pretrained", None)
    with pytest.raises(
        FileNotFoundError, match=r"^image is '.*nowhere.jpg', and there is no such file; expected the path"
    ):
        classify(tmp_path / "nowhere.jpg", "resnet50")
    with pytest.raises(
        IsADirectoryError, match=r"^image is '.*', which is a folder; expected the path of a photo"
    ):
        classify(tmp_path, "resnet50")
    with pytest.raises(
        TypeError, match=r"^image is None \(NoneType\); expected a path or an image of Pillow"
    ):
        classify(None, "resnet50")
    for top in (0, 1001, "five"):
        with pytest.raises(ValueError, match=f"^top is {top!r}; expected a number of classes from 1 to 1000"):
            classify(photo(300, 256), "resnet50", top=top)


# What comes out


@pytest.mark.parametrize(("index", "name"), CLASSES)
def test_class_has_its_name(index: int, name: str) -> None:
    assert class_names()[index] == name


def test_class_names_are_a_thousand_different_ones() -> None:
    assert (len(class_names()), len(set(class_names()))) == (1000, 1000)


def test_best_classes_come_with_their_probabilities() -> None:
    logits = torch.full((1000,), -torch.inf)
    logits[281], logits[207] = torch.tensor([3.0, 1.0]).log()
    (first, p), (second, q) = best(logits, top=2)
    assert (first, second) == ("tabby", "golden retriever")
    assert (p, q) == pytest.approx((0.75, 0.25))


@pytest.mark.parametrize(
    ("logits", "top", "message"),
    [
        (torch.zeros(1000), 0, "top is 0; expected a number of classes from 1 to 1000"),
        (torch.zeros(10), 5, r"logits have shape \(10,\); expected \(1000,\)"),
    ],
)
def test_bad_logits_are_named(logits: torch.Tensor, top: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best(logits, top)


def test_photo_is_classified_by_the_pretrained_network(server: LocalServer) -> None:
    image = photo(300, 256)
    network = build(NAME, pretrained=True).eval()
    expected = network(preprocess(image, NAME))[0].argmax().item()
    assert classify(image, NAME, top=1)[0][0] == class_names()[expected]


def test_command_prints_the_five_best_classes(
    server: LocalServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo(300, 256).save(tmp_path / "photo.png")
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["classify", str(tmp_path / "photo.png"), "--network", NAME])
    assert args.run(args) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = [float(line.split("%")[0]) for line in lines]
    assert len(lines) == 5 and shares == sorted(shares, reverse=True)


def test_wrong_photo_is_told_before_anything_is_fetched(server: LocalServer, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        classify(tmp_path / "none.jpg", NAME)
    assert server.asked == []
