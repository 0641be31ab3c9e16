"""The small data sets of the course, as plain tensors.

`digits` ships with scikit-learn: 1,797 handwritten digits of 8 x 8 pixels, no download. Every live experiment
of the book uses it. Images are float tensors (N, channels, H, W), normalised with the mean and standard
deviation of the training images; labels are int64 tensors (N,).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DIGITS_SIDE = 8  # the embedded digits are 8 x 8


@dataclass(frozen=True)
class Split:
    """Training and test images, with the names of the classes."""

    train_x: Tensor  # (N, C, H, W)
    train_y: Tensor  # (N,)
    test_x: Tensor
    test_y: Tensor
    classes: tuple[str, ...] = ()
    name: str = ""

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
        return Split(
            self.train_x.expand(-1, channels, -1, -1),
            self.train_y,
            self.test_x.expand(-1, channels, -1, -1),
            self.test_y,
            self.classes,
            self.name,
        )

    def __repr__(self) -> str:
        return (
            f"Split({self.name}: {len(self.train_x):,} training and {len(self.test_x):,} test images "
            f"of {'x'.join(map(str, self.image))}, {len(self.classes)} classes)"
        )


def normalised(
    name: str, classes: tuple[str, ...], train_x: Tensor, train_y: Tensor, test_x, test_y
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


def load(name: str, root: str | None = None, size: int | None = None) -> Split:
    """A data set by its name, as the command line gives it."""
    if name == "digits":
        return digits() if size is None else digits(size)
    raise ValueError(f'data is {name!r}; expected "digits"')
