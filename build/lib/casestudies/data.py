"""The small data sets of the course, as plain tensors.

`digits` ships with scikit-learn: 1,797 handwritten digits of 8 x 8 pixels, no download. Every live experiment
of the book uses it. `fashion_mnist` and `cifar10` are fetched at the first use, or read from a folder or a tar.
Images are float tensors (N, channels, H, W), normalised with the mean and standard deviation of the training
images; labels are int64 tensors (N,).
"""

from __future__ import annotations

import codecs
import gzip
import importlib
import io
import math
import pickle
import re
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from casestudies.download import cache_folder, fetch

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")
DIGITS_SIDE = 8  # the embedded digits are 8 x 8

FASHION_MNIST_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MNIST = {  # with the MD5 that its authors publish
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
FASHION_CLASSES = (
    "T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

CIFAR10_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
CIFAR10_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
CIFAR10_BATCH = re.compile(r"(data_batch_[1-5]|test_batch)(\.bin)?")
CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip


@dataclass(frozen=True)
class Split:
    """Training and test images, with the names of the classes."""

    train_x: Tensor  # (N, C, H, W)
    train_y: Tensor  # (N,)
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...] = ()
    name: str = ""
    source: str = ""  # where the images are not the published ones, what they are: such as "JPEG copy"

    @property
    def image(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of one image."""
        channels, height, width = self.train_x.shape[1:]
        return channels, height, width

    def with_channels(self, channels: int) -> Split:
        """The same split with grey images repeated over `channels` channels."""
        have = self.train_x.shape[1]
        if channels == have:
            return self
        if have != 1:
            raise ValueError(
                f"channels is {channels}, but the images have {have}; only grey ones can be repeated"
            )
        train_x, test_x = (x.expand(-1, channels, -1, -1) for x in (self.train_x, self.test_x))
        return replace(self, train_x=train_x, test_x=test_x)

    def __repr__(self) -> str:
        return (
            f"Split({self.name}: {len(self.train_x):,} training and {len(self.test_x):,} test images "
            f"of {'x'.join(map(str, self.image))}, {len(self.classes)} classes)"
        )


def normalised(
    name: str, classes: tuple[str, ...], train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor
) -> Split:
    """Subtract the training images' mean and divide by their standard deviation, channel by channel."""
    mean = train_x.mean(dim=(0, 2, 3), keepdim=True)
    std = train_x.std(dim=(0, 2, 3), keepdim=True).clamp_min(1e-6)  # a blank channel stays blank
    return Split((train_x - mean) / std, train_y, (test_x - mean) / std, test_y, classes, name)


def digits(size: int = 32) -> Split:
    """scikit-learn's handwritten digits on a grid of `size` x `size`: 1,442 training and 355 test images.

    A digit fills three quarters of the grid, about as in LeNet-5's own data, and the rest is background.
    Every fifth image of each class is a test image, so both parts hold all classes in equal shares.

    >>> digits(16).train_x.shape
    torch.Size([1442, 1, 16, 16])
    """
    if size < DIGITS_SIDE:
        raise ValueError(f"size is {size!r}; the digits are 8 x 8 pixels, so size is at least {DIGITS_SIDE}")
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(pixels).float().view(-1, 1, DIGITS_SIDE, DIGITS_SIDE)
    y = torch.from_numpy(labels).long()

    side = max(DIGITS_SIDE, 3 * size // 4)
    before = (size - side) // 2
    after = size - side - before
    x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
    x = F.pad(x, (before, after, before, after))  # (N, 1, size, size)

    rank = torch.zeros_like(y)  # how many images of the same class came before
    for label in range(10):
        members = (y == label).nonzero().flatten()
        rank[members] = torch.arange(len(members))
    test = rank % 5 == 4
    names = tuple(str(label) for label in range(10))
    return normalised("digits", names, x[~test], y[~test], x[test], y[test])


def fashion_mnist(root: str | Path | None = None, progress: bool | None = None) -> Split:
    """Fashion-MNIST: 60,000 training and 10,000 test images of clothing, (N, 1, 28, 28).

    Xiao, Rasul & Vollgraf (2017), https://arxiv.org/abs/1708.07747. Without `root` its four files (31 MB) are
    fetched at the first use. With `root`, a folder or a tar, they are read from there, compressed or not; so
    are images in a folder a class, as `train/Coat/1.png`.
    """
    if root is None:
        root = cache_folder() / "fashion_mnist"
        for file, digest in FASHION_MNIST.items():
            fetch(FASHION_MNIST_URL + file, root / file, digest, "md5", progress)
    source = Source(root)
    idx = {Path(name).name.removesuffix(".gz"): name for name in source.names if "-ubyte" in name}
    if not idx:
        return from_image_folders("fashion_mnist", source, FASHION_CLASSES, "L", progress)
    parts = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        for kind, suffix in (("x", "images-idx3-ubyte"), ("y", "labels-idx1-ubyte")):
            name = f"{prefix}-{suffix}"
            if name not in idx:
                raise FileNotFoundError(f"root is {root}, which has no {name} (nor {name}.gz)")
            parts[part, kind] = read_idx(source.read([idx[name]])[idx[name]], name)
    return checked(
        "fashion_mnist",
        FASHION_CLASSES,
        parts["train", "x"][:, None],
        parts["train", "y"],
        parts["test", "x"][:, None],
        parts["test", "y"],
    )


def cifar10(root: str | Path | None = None, progress: bool | None = None) -> Split:
    """CIFAR-10: 50,000 training and 10,000 test photographs in ten classes, (N, 3, 32, 32).

    Krizhevsky (2009), https://www.cs.toronto.edu/~kriz/cifar.html. Without `root` the binary version (170 MB)
    is fetched at the first use. `root` is a folder or a tar that holds the binary version, the Python version,
    or images in a folder a class, as `train/airplane/1.jpg` and `test/airplane/1.jpg`.
    """
    if root is None:
        root = cache_folder() / "cifar-10-binary.tar.gz"
        fetch(CIFAR10_URL, root, CIFAR10_SHA256, "sha256", progress)
    source = Source(root)
    batches = {Path(name).name: name for name in source.names if CIFAR10_BATCH.fullmatch(Path(name).name)}
    if not batches:
        return from_image_folders("cifar10", source, CIFAR10_CLASSES, "RGB", progress)
    contents = source.read(batches.values())
    images: dict[str, list[Tensor]] = {"train": [], "test": []}
    labels: dict[str, list[Tensor]] = {"train": [], "test": []}
    for file, name in sorted(batches.items()):
        part = "test" if file.startswith("test") else "train"
        x, y = (read_cifar_binary if file.endswith(".bin") else read_cifar_python)(contents[name], file)
        images[part].append(x)
        labels[part].append(y)
    for part, found in images.items():
        if not found:
            raise FileNotFoundError(f"root is {root}, which has no {part} batch; found {', '.join(batches)}")
    return checked(
        "cifar10",
        CIFAR10_CLASSES,
        torch.cat(images["train"]),
        torch.cat(labels["train"]),
        torch.cat(images["test"]),
        torch.cat(labels["test"]),
    )


class Source:
    """The files of a folder or of a tar (of any compression), by name."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        if self.root.is_dir():
            files = (path for path in self.root.rglob("*") if path.is_file())
            self.names = sorted(str(path.relative_to(self.root).as_posix()) for path in files)
        elif self.root.is_file():
            try:
                with tarfile.open(self.root) as tar:
                    self.names = sorted(member.name for member in tar if member.isfile())
            except (tarfile.TarError, EOFError, OSError) as error:
                raise ValueError(f"root is {root}, which is not a complete tar ({error})") from error
        else:
            raise FileNotFoundError(f"root is {root}, which does not exist; expected a folder or a tar")

    def read(self, names: Iterable[str]) -> dict[str, bytes]:
        """The contents of some files, in one pass (a compressed tar can only be read forward)."""
        wanted = set(names)
        if self.root.is_dir():
            return {name: (self.root / name).read_bytes() for name in wanted}
        with tarfile.open(self.root) as tar:
            return {
                member.name: file.read()
                for member in tar
                if member.name in wanted and (file := tar.extractfile(member)) is not None
            }


def read_idx(content: bytes, name: str) -> Tensor:
    """The IDX format of MNIST: two zero bytes, the type (8: bytes), the dimensions, their sizes, the values."""
    if content[:2] == b"\x1f\x8b":
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError) as error:
            raise ValueError(f"{name}.gz is damaged ({error}); delete it and try again") from error
    if len(content) < 4 or content[:3] != b"\x00\x00\x08":
        raise ValueError(f"{name} begins with {content[:4]!r}; an IDX file of bytes begins with 0, 0, 8")
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, header, 4))
    if len(content) - header != math.prod(shape):
        raise ValueError(
            f"{name} has {len(content) - header:,} values and announces {' x '.join(map(str, shape))}; "
            "delete it and try again"
        )
    return torch.frombuffer(bytearray(content), dtype=torch.uint8)[header:].view(shape)


def read_cifar_binary(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """A record is one byte for the label, then 3 x 32 x 32 for the image."""
    record = 1 + 3 * 32 * 32
    if not content or len(content) % record:
        raise ValueError(
            f"{name} has {len(content):,} bytes; expected a multiple of {record:,}, one an image"
        )
    records = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(-1, record)
    return records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0]


def read_cifar_python(content: bytes, name: str) -> tuple[Tensor, Tensor]:
    """A pickled dictionary with an array of bytes, (N, 3072), and a list of labels."""
    try:
        batch = ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
        data, labels = batch["data"], batch["labels"]
        return torch.from_numpy(data).view(-1, 3, 32, 32), torch.tensor(labels)
    except Exception as error:
        raise ValueError(f"{name} is not a batch of CIFAR-10's Python version ({error})") from error


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles plain values and numpy arrays only: a pickle may name any function to be called."""

    def find_class(self, module: str, name: str) -> Any:
        import numpy

        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return importlib.import_module("numpy._core.multiarray")._reconstruct
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(numpy, name)
        if (module, name) == ("_codecs", "encode"):  # how newer versions write bytes
            return codecs.encode
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only arrays are read")


def from_image_folders(
    name: str, source: Source, classes: tuple[str, ...], mode: str, progress: bool | None
) -> Split:
    """Images in a folder a class: `train/<class>/*` and `test/<class>/*`, as JPEG or PNG, all of one size."""
    from PIL import Image
    from tqdm import tqdm

    found: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}  # (file, class)
    for file in source.names:
        parts = Path(file).parts
        if len(parts) >= 3 and parts[-3] in found and Path(file).suffix.lower() in IMAGE_SUFFIXES:
            found[parts[-3]].append((file, parts[-2]))
    if not found["train"] or not found["test"]:
        raise FileNotFoundError(
            f"root is {source.root}, which holds no {name}: neither its published files nor "
            "train/<class>/*.jpg and test/<class>/*.jpg"
        )
    present = {label for files in found.values() for _, label in files}
    if not present <= set(classes):
        wrong = ", ".join(sorted(present - set(classes)))
        raise ValueError(f"root is {source.root}, whose classes {wrong} are not among {', '.join(classes)}")
    contents = source.read(file for files in found.values() for file, _ in files)
    quiet = not (sys.stderr.isatty() if progress is None else progress)
    tensors: dict[str, tuple[Tensor, Tensor]] = {}
    with tqdm(total=len(contents), disable=quiet, unit="image", desc=name) as bar:
        for part, files in found.items():
            images: list[Tensor] = []
            for file, _ in files:
                with Image.open(io.BytesIO(contents[file])) as opened:
                    width, height = opened.size
                    pixels = bytearray(opened.convert(mode).tobytes())
                image = torch.frombuffer(pixels, dtype=torch.uint8).view(height, width, -1).permute(2, 0, 1)
                if images and image.shape != images[0].shape:
                    raise ValueError(
                        f"{file} is {width} x {height}; the images before it are of another size"
                    )
                images.append(image)
                bar.update()
            tensors[part] = torch.stack(images), torch.tensor([classes.index(label) for _, label in files])
    suffixes = {Path(file).suffix.lower() for files in found.values() for file, _ in files}
    copy = "JPEG copy" if suffixes & {".jpg", ".jpeg"} else "copy as images"
    return replace(checked(name, classes, *tensors["train"], *tensors["test"]), source=copy)


def checked(
    name: str, classes: tuple[str, ...], train_x: Tensor, train_y: Tensor, test_x: Tensor, test_y: Tensor
) -> Split:
    """A split from images of bytes; ValueError where images and labels do not belong together."""
    for part, x, y in (("training", train_x, train_y), ("test", test_x, test_y)):
        if len(x) != len(y) or len(x) == 0:
            raise ValueError(f"{name} has {len(x):,} {part} images and {len(y):,} labels; expected one each")
        if int(y.max()) >= len(classes):
            raise ValueError(f"{name} has a {part} label {int(y.max())}; there are {len(classes)} classes")
    return normalised(
        name, classes, train_x.float() / 255, train_y.long(), test_x.float() / 255, test_y.long()
    )


def resized(split: Split, size: int) -> Split:
    """The same split with images of `size` x `size` pixels."""
    if split.image[1:] == (size, size):
        return split
    if size < 1:
        raise ValueError(f"size is {size!r}; expected at least 1")

    def scale(x: Tensor) -> Tensor:
        return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False, antialias=True)

    return replace(split, train_x=scale(split.train_x), test_x=scale(split.test_x))


DATA_SETS = ("digits", "fashion_mnist", "cifar10")


def load(name: str, root: str | Path | None = None, size: int | None = None) -> Split:
    """A data set by its name, as the command line gives it; `size` is the side of the images."""
    if name not in DATA_SETS:
        raise ValueError(f"data is {name!r}; expected one of {', '.join(DATA_SETS)}")
    if name == "digits":
        if root is not None:
            raise ValueError(f"root is {root}; the digits come with scikit-learn, so leave it out")
        return digits() if size is None else digits(size)
    split = fashion_mnist(root) if name == "fashion_mnist" else cifar10(root)
    return split if size is None else resized(split, size)
