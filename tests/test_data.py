"""The data sets: the embedded digits, and generated files in every form that the loaders read."""

from __future__ import annotations

import gzip
import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from local_server import serve
from PIL import Image

from casestudies import data
from casestudies.download import DownloadError

SIDES = [8, 16, 28, 32]  # of the digits

TRAIN, TEST = 20, 10  # images of the generated data sets; the labels are 0 to 9, over and over


def pixels(count: int, channels: int, side: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, channels, side, side), dtype=np.uint8)


def labels(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint8) % 10


def standardised(train: np.ndarray, other: np.ndarray) -> torch.Tensor:
    """`other` less the training mean of each channel, over its standard deviation, in double precision."""
    train, other = train / 255, other / 255
    mean = train.mean(axis=(0, 2, 3), keepdims=True)
    deviation = train.std(axis=(0, 2, 3), keepdims=True, ddof=1)
    return torch.from_numpy((other - mean) / deviation).float()


# The digits


@pytest.mark.parametrize("size", SIDES)
def test_digits_come_in_the_size_asked_for(size: int) -> None:
    split = data.digits(size)
    assert split.image == (1, size, size)


def test_digits_are_all_there_once() -> None:
    split = data.digits(8)
    images = torch.cat([split.train_x, split.test_x])
    assert (len(images), len(images.flatten(1).unique(dim=0))) == (1797, 1797)


def test_digits_are_split_in_equal_shares_of_every_class() -> None:
    split = data.digits(8)
    train, test = split.train_y.bincount(minlength=10), split.test_y.bincount(minlength=10)
    assert torch.equal(test, (train + test) // 5)


def test_digits_are_the_same_every_time() -> None:
    assert torch.equal(data.digits(8).train_x, data.digits(8).train_x)


def test_training_digits_have_mean_zero_and_deviation_one() -> None:
    x = data.digits(16).train_x
    assert (x.mean().item(), x.std().item()) == pytest.approx((0, 1), abs=1e-4)


def test_small_digits_keep_their_pixels() -> None:
    from sklearn.datasets import load_digits

    split = data.digits(8)
    correlation = np.corrcoef(split.train_x[0].flatten(), load_digits().data[0])[0, 1]
    assert correlation == pytest.approx(1)


def test_grey_images_can_be_repeated_over_channels() -> None:
    split = data.digits(8).with_channels(3)
    assert split.image == (3, 8, 8)
    assert torch.equal(split.train_x[:, 0], split.train_x[:, 2])


# Fashion-MNIST and CIFAR-10, in all their forms


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def fashion_files(compressed: bool) -> dict[str, bytes]:
    files = {
        "train-images-idx3-ubyte": idx(pixels(TRAIN, 1, 28, 0)[:, 0]),
        "train-labels-idx1-ubyte": idx(labels(TRAIN)),
        "t10k-images-idx3-ubyte": idx(pixels(TEST, 1, 28, 1)[:, 0]),
        "t10k-labels-idx1-ubyte": idx(labels(TEST)),
    }
    return {f"{name}.gz": gzip.compress(c) for name, c in files.items()} if compressed else files


def cifar_batches() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    x, y = pixels(TRAIN, 3, 32, 0), labels(TRAIN)
    fifth = TRAIN // 5
    batches = {f"data_batch_{i + 1}": (x[i * fifth :][:fifth], y[i * fifth :][:fifth]) for i in range(5)}
    return {**batches, "test_batch": (pixels(TEST, 3, 32, 1), labels(TEST))}


def cifar_binary() -> dict[str, bytes]:
    return {
        f"cifar-10-batches-bin/{name}.bin": b"".join(
            bytes([label]) + image.tobytes() for image, label in zip(x, y, strict=True)
        )
        for name, (x, y) in cifar_batches().items()
    }


def cifar_python() -> dict[str, bytes]:
    return {
        f"cifar-10-batches-py/{name}": pickle.dumps(
            {"data": x.reshape(len(x), -1), "labels": y.tolist(), "batch_label": name}, protocol=2
        )
        for name, (x, y) in cifar_batches().items()
    }


def image_folders(classes: tuple[str, ...], channels: int, side: int) -> dict[str, bytes]:
    """PNG, which keeps every pixel, so that the result can be compared exactly."""
    files = {}
    for part, count, seed in (("train", TRAIN, 0), ("test", TEST, 1)):
        for index, image in enumerate(pixels(count, channels, side, seed)):
            file = io.BytesIO()
            Image.fromarray(image[0] if channels == 1 else image.transpose(1, 2, 0)).save(file, "PNG")
            files[f"{part}/{classes[index % 10]}/{index:04d}.png"] = file.getvalue()
    return files


def write_folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root / "data"


def tar_bytes(files: dict[str, bytes], compression: str = "xz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=f"w:{compression}") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def write_tar(root: Path, files: dict[str, bytes]) -> Path:
    (root / "data.tar.xz").write_bytes(tar_bytes(files))
    return root / "data.tar.xz"


Files = Callable[[], dict[str, bytes]]
FORMS: list[tuple[str, Files]] = [
    ("fashion_mnist", lambda: fashion_files(compressed=True)),
    ("fashion_mnist", lambda: fashion_files(compressed=False)),
    ("fashion_mnist", lambda: image_folders(data.FASHION_CLASSES, 1, 28)),
    ("cifar10", cifar_binary),
    ("cifar10", cifar_python),
    ("cifar10", lambda: image_folders(data.CIFAR10_CLASSES, 3, 32)),
]
SHAPES = {"fashion_mnist": (1, 28), "cifar10": (3, 32)}


def by_content(x: torch.Tensor, y: torch.Tensor) -> list[tuple[float, int]]:
    """Images in an order of their own, each with its label: folders do not keep the order of the files."""
    return sorted(zip(x.flatten(1).double().sum(dim=1).tolist(), y.tolist(), strict=True))


@pytest.mark.parametrize("write", [write_folder, write_tar], ids=["folder", "tar"])
@pytest.mark.parametrize(("name", "files"), FORMS)
def test_every_form_gives_the_same_images_with_their_labels(
    tmp_path: Path, name: str, files: Files, write: Callable[[Path, dict[str, bytes]], Path]
) -> None:
    channels, side = SHAPES[name]
    train, test = pixels(TRAIN, channels, side, 0), pixels(TEST, channels, side, 1)
    split = data.load(name, root=write(tmp_path, files()))
    for x, y, original in ((split.train_x, split.train_y, train), (split.test_x, split.test_y, test)):
        expected = by_content(standardised(train, original), torch.from_numpy(labels(len(original))))
        got = by_content(x, y)
        assert [label for _, label in got] == [label for _, label in expected]
        assert [total for total, _ in got] == pytest.approx([total for total, _ in expected], abs=1e-2)


def test_jpeg_images_are_read(tmp_path: Path) -> None:
    files = {}
    for part in ("train", "test"):
        file = io.BytesIO()
        Image.new("RGB", (32, 32), (200, 100, 50)).save(file, "JPEG", quality=95)
        files[f"{part}/frog/1.jpg"] = file.getvalue()
    split = data.cifar10(write_folder(tmp_path, files))
    assert split.train_y.tolist() == [data.CIFAR10_CLASSES.index("frog")]


def test_fashion_mnist_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = fashion_files(compressed=True)
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path))
    monkeypatch.setattr(
        data, "FASHION_MNIST", {name: hashlib.md5(c).hexdigest() for name, c in files.items()}
    )
    with serve(files=files) as server:
        monkeypatch.setattr(data, "FASHION_MNIST_URL", server.url)
        sizes = [len(data.fashion_mnist().train_x) for _ in range(2)]
    assert (sizes, len(server.asked)) == ([TRAIN, TRAIN], 4)


def test_cifar10_is_fetched_once_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tar_bytes(cifar_binary(), "gz")
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path))
    monkeypatch.setattr(data, "CIFAR10_SHA256", hashlib.sha256(archive).hexdigest())
    with serve(files={"cifar.tar.gz": archive}) as server:
        monkeypatch.setattr(data, "CIFAR10_URL", server.url + "cifar.tar.gz")
        sizes = [len(data.cifar10().test_x) for _ in range(2)]
    assert (sizes, len(server.asked)) == ([TEST, TEST], 1)


def test_changed_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASESTUDIES_CACHE", str(tmp_path))
    with serve(files={"cifar.tar.gz": tar_bytes(cifar_binary(), "gz")}) as server:
        monkeypatch.setattr(data, "CIFAR10_URL", server.url + "cifar.tar.gz")
        with pytest.raises(DownloadError, match="should have c4a38c50"):
            data.cifar10()


class Trap:
    """Leaves a file behind where a pickle is loaded without care."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_pickle_that_calls_something_is_not_obeyed(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    root = write_folder(tmp_path, {"data_batch_1": pickle.dumps(Trap(trap)), "test_batch": b""})
    with pytest.raises(ValueError, match="only arrays are read"):
        data.cifar10(root)
    assert not trap.exists()


def test_images_can_be_resized() -> None:
    split = data.resized(data.digits(8), 12)
    assert split.image == (1, 12, 12)


# Bad input: call (with an empty folder), and what its error says


def broken(files: dict[str, bytes], loader: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda folder: loader(write_folder(folder, files))


def truncated(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[:2000])
    return path


def cut(files: dict[str, bytes], name: str, size: int) -> dict[str, bytes]:
    return {**files, name: files[name][:size]}


BAD_INPUT: list[tuple[Callable[[Path], object], str]] = [
    (lambda _: data.digits(7), "size is 7; the digits are 8 x 8 pixels, so size is at least 8"),
    (lambda _: data.digits(8).with_channels(3).with_channels(1), "channels is 1, but the images have 3"),
    (lambda _: data.load("mnist"), "data is 'mnist'; expected one of digits, fashion_mnist, cifar10"),
    (lambda folder: data.load("digits", root=folder), "the digits come with scikit-learn"),
    (lambda _: data.resized(data.digits(8), 0), "size is 0; expected at least 1"),
    (lambda folder: data.cifar10(folder / "no"), "which does not exist; expected a folder or a tar"),
    (lambda folder: data.cifar10(folder), "holds no cifar10: neither its published files nor train/<class>"),
    (lambda folder: data.fashion_mnist(folder), "holds no fashion_mnist"),
    (
        lambda folder: data.cifar10(truncated(write_tar(folder, cifar_binary()))),
        "which is not a complete tar",
    ),
    (
        broken(cut(fashion_files(True), "train-images-idx3-ubyte.gz", 1000), data.fashion_mnist),
        "train-images-idx3-ubyte.gz is damaged",
    ),
    (
        broken(cut(fashion_files(False), "t10k-images-idx3-ubyte", 1000), data.fashion_mnist),
        "has 984 values and announces 10 x 28 x 28",
    ),
    (
        broken(cut(fashion_files(False), "t10k-labels-idx1-ubyte", 2), data.fashion_mnist),
        "an IDX file of bytes begins with 0, 0, 8",
    ),
    (
        broken({k: v for k, v in fashion_files(True).items() if "t10k-labels" not in k}, data.fashion_mnist),
        "which has no t10k-labels-idx1-ubyte",
    ),
    (
        broken({**fashion_files(False), "t10k-labels-idx1-ubyte": idx(labels(3))}, data.fashion_mnist),
        "fashion_mnist has 10 test images and 3 labels",
    ),
    (
        broken({**fashion_files(False), "t10k-labels-idx1-ubyte": idx(labels(TEST) + 1)}, data.fashion_mnist),
        "has a test label 10; there are 10 classes",
    ),
    (
        broken(cut(cifar_binary(), "cifar-10-batches-bin/test_batch.bin", 4000), data.cifar10),
        "has 4,000 bytes; expected a multiple of 3,073",
    ),
    (
        broken({k: v for k, v in cifar_binary().items() if "test" not in k}, data.cifar10),
        "which has no test batch",
    ),
    (
        broken(image_folders(tuple("abcdefghij"), 3, 32), data.cifar10),
        "whose classes a, b, .* are not among airplane",
    ),
    (
        broken(
            {
                **image_folders(data.CIFAR10_CLASSES, 3, 32),
                "train/truck/x.png": image_folders(data.CIFAR10_CLASSES, 3, 8)["test/cat/0003.png"],
            },
            data.cifar10,
        ),
        "x.png is 8 x 8; the images before it are of another size",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD_INPUT)
def test_bad_input_is_named(tmp_path: Path, call: Callable[[Path], object], message: str) -> None:
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        call(tmp_path)
