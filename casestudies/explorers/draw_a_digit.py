"""Draw a digit: the LeNet-5 that a page has trained computes in the reader's hands, layer by layer.

from casestudies.explorers import DrawADigit
DrawADigit(network)  # a trained casestudies.networks.lenet.LeNet5
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import traitlets
from PIL import Image, ImageOps
from torch import Tensor, nn

from casestudies.data import DIGITS_SIDE, digits
from casestudies.explorers.base import Explorer, fixed, module, plural
from casestudies.networks.lenet import LeNet5

# A digit of the data has 8 x 8 pixels of 17 levels: one letter a pixel, from a (no ink) to q.
LEVELS = "abcdefghijklmnopq"
MOST = len(LEVELS) - 1
SIDE, INNER = 32, 24  # of the network's image, and of the digit in it: as in casestudies.data.digits
EXAMPLES = 6  # test images of each digit that a reader can take
# Of a reader's picture: a difference from the paper that is no ink yet (of 255), the longest side, points a square.
LEAST, LONGEST, FINE = 32, 96, 8

# layer: (channels, side, what makes one of its numbers: kernel of a convolution, of an average, or all numbers)
LAYERS: dict[str, tuple[int, int, str, int]] = {
    "C1": (6, 28, "conv", 5),
    "S2": (6, 14, "average", 2),
    "C3": (16, 10, "conv", 5),
    "S4": (16, 5, "average", 2),
    "C5": (120, 1, "conv", 5),
    "F6": (84, 1, "linear", 1),
    "output": (10, 1, "linear", 1),
}
FIELDS = {
    "C1": (5, 1),
    "S2": (6, 2),
    "C3": (14, 2),
    "S4": (16, 4),
}  # receptive field, jump; the others see all


def halves(tensors: Iterable[Tensor]) -> str:
    """The numbers of the tensors, one after another, in half precision: base64 of little-endian bytes."""
    flat = torch.cat([tensor.detach().cpu().flatten() for tensor in tensors]).half()
    if not flat.isfinite().all():
        raise ValueError(
            "a weight is not finite in half precision; expected numbers between -65,504 and 65,504"
        )
    return base64.b64encode(flat.numpy().astype("<f2").tobytes()).decode()


def letters(levels: Tensor) -> str:
    """(8, 8) levels from 0 to 16 as 64 letters, row by row."""
    return "".join(LEVELS[int(level)] for level in levels.flatten())


@cache
def normalisation() -> tuple[float, float]:
    """Mean and standard deviation, in levels, that `digits(32)` normalises with."""
    train = digits(SIDE).train_x
    low, high = train.min().item(), train.max().item()  # of the levels 0 and 16
    std = MOST / (high - low)
    return -low * std, std


@cache
def examples(count: int = EXAMPLES) -> tuple[tuple[str, ...], ...]:
    """For each digit, some of its test images as letters, the first `count`."""
    data = digits(DIGITS_SIDE)
    low, high = data.train_x.min(), data.train_x.max()
    levels = ((data.test_x[:, 0] - low) / (high - low) * MOST).round()
    chosen = (levels[data.test_y == digit][:count] for digit in range(10))
    return tuple(tuple(map(letters, images)) for images in chosen)


def grey_of(picture: Tensor) -> Tensor:
    """(4, H, W) red, green, blue and opacity from 0 to 255 -> (H, W) grey on white, whole numbers."""
    red, green, blue, opaque = picture.long()
    light = (299 * red + 587 * green + 114 * blue + 500) // 1000
    return (light * opaque + 255 * (255 - opaque) + 127) // 255


def strength_of(grey: Tensor) -> Tensor:
    """How much darker each pixel is than the paper behind it; of chalk on a board, how much lighter."""
    if (grey - grey.flatten().sort().values[grey.numel() // 2]).sum() > 0:
        grey = 255 - grey
    reach = max(1, min(grey.shape) // 6)

    def lightest(values: Tensor) -> Tensor:
        around = F.max_pool2d(values[None, None].double(), 2 * reach + 1, stride=1, padding=reach)
        return around[0, 0].long()

    return -lightest(-lightest(grey)) - grey


def between(values: Tensor) -> int:
    """The level that divides values from 0 to 255 best: the two parts are farthest apart (Otsu's)."""
    counts = torch.bincount(values.flatten(), minlength=256).tolist()
    count, total = values.numel(), int(values.sum())
    below = part = found = 0
    best = -1.0
    for level in range(255):
        below += counts[level]
        part += counts[level] * level
        if below in (0, count):
            continue
        apart = float(total * below - part * count) ** 2 / (below * (count - below))
        if apart > best:
            best, found = apart, level
    return found


def pieces_of(ink: Tensor) -> list[set[tuple[int, int]]]:
    """The pixels of ink, (H, W) truth, in pieces that hang together, across corners, too."""
    left = {(int(y), int(x)) for y, x in ink.nonzero()}
    pieces = []
    while left:
        piece, open_ = set(), [left.pop()]
        while open_:
            y, x = open_.pop()
            piece.add((y, x))
            near = left & {(y + i, x + j) for i, j in product((-1, 0, 1), repeat=2)}
            left -= near
            open_ += near
        pieces.append(piece)
    return pieces


def levels_of(picture: Tensor) -> Tensor:
    """(4, H, W) a picture of one digit, as red, green, blue and opacity from 0 to 255 -> (8, 8) levels.

    The paper is taken away, with its shadows; what is left is ink or not. Pieces at the edge are the table, tiny ones
    specks. The longer side of the ink fills the grid, and the ink in each square is counted: as the digits of the
    data were made.
    """
    strength = strength_of(grey_of(picture))
    height, width = strength.shape
    strongest = int(strength.max())
    if strongest < LEAST:
        raise ValueError(
            f"picture has no ink: its strongest difference from the paper is {strongest} of 255; expected one digit, "
            f"dark on light or light on dark, with a difference of at least {LEAST}"
        )
    pieces = pieces_of(strength > max(between(strength), strongest // 3))
    inner = [p for p in pieces if all(0 < y < height - 1 and 0 < x < width - 1 for y, x in p)]
    if any(5 * len(piece) >= max(height, width) for piece in inner):
        pieces = inner
    largest = max(map(len, pieces))
    ink = {pixel for piece in pieces if 20 * len(piece) >= largest for pixel in piece}
    (top, bottom), (left, right) = ((min(c), max(c) + 1) for c in zip(*ink, strict=True))
    side, room = max(bottom - top, right - left), DIGITS_SIDE * FINE

    def source(place: int, start: int, end: int) -> int:
        return (room * (start + end - side) + (2 * place + 1) * side) // (2 * room)

    levels = torch.zeros(DIGITS_SIDE, DIGITS_SIDE, dtype=torch.long)
    for u, v in product(range(room), repeat=2):
        if (source(u, top, bottom), source(v, left, right)) in ink:
            levels[u // FINE, v // FINE] += 1
    return (2 * MOST * levels + FINE**2) // (2 * FINE**2)  # halves go up


@dataclass(frozen=True)
class Number:
    """One number of a layer: the products whose sum it is, with the bias, before and after tanh."""

    products: Tensor  # (C, kernel, kernel), (features,), or of an average the four numbers times 1/4
    bias: float | None
    sum: float
    value: float  # after tanh where the layer has one

    @property
    def count(self) -> int:
        return self.products.numel()


def eight_bits(picture: Image.Image) -> Image.Image:
    """Grey of 16 bits as grey of 8, as browsers show it: Pillow itself would cut everything above 255 to white."""
    if not picture.mode.startswith("I"):
        return picture
    return picture.convert("I").point(lambda level: level * (1 / 256)).convert("L")


class DrawADigit(Explorer):
    """64 pixels -> every feature map of a trained LeNet-5, one number of them taken apart, and the answer.

    The weights are rounded to half precision; Python and the page compute with the rounded ones, in double.
    `layer`, `map`, `row` and `column` choose a number. They count from 0, and beyond the last is the last.
    """

    title = "Draw a digit"
    _esm = module("draw_a_digit", "tensors", "worker")

    pixels = traitlets.Unicode("a" * 64, help="8 x 8 levels of ink, a letter each, from a (0) to q (16)").tag(
        sync=True
    )
    layer = traitlets.Enum(list(LAYERS), "C1").tag(sync=True)
    map = traitlets.Int(0, min=0, max=119).tag(sync=True)
    row = traitlets.Int(0, min=0, max=27).tag(sync=True)
    column = traitlets.Int(0, min=0, max=27).tag(sync=True)
    weights = traitlets.Unicode(help="half-precision numbers in base64, in the order of the network").tag(
        sync=True
    )
    shapes: traitlets.List[Any] = traitlets.List(help="the shape of each weight and bias").tag(sync=True)
    samples: traitlets.List[Any] = traitlets.List(help="test images of each digit, as `pixels`").tag(
        sync=True
    )
    scale: traitlets.List[Any] = traitlets.List(
        help="mean and standard deviation of the training images, in levels"
    ).tag(sync=True)

    def __init__(self, network: LeNet5, **options: Any) -> None:
        """`network` is a trained LeNet-5 for grey images of 32 x 32; its weights are copied, rounded."""
        if not isinstance(network, LeNet5):
            kind = type(network).__name__
            raise TypeError(
                f"network is a {kind}; expected casestudies.networks.lenet.LeNet5, trained on digits(32)"
            )
        found = [tuple(p.shape) for p in network.parameters()]
        expected = [tuple(p.shape) for p in LeNet5().parameters()]
        if found != expected or network.features[0].padding != (0, 0):
            raise ValueError(
                f"network has weights of {found}; expected LeNet5() as it is built without arguments, {expected}"
            )
        samples = [list(images) for images in examples()]
        options.setdefault("pixels", samples[3][0])
        super().__init__(
            weights=halves(network.parameters()),
            shapes=[list(shape) for shape in expected],
            samples=samples,
            scale=list(normalisation()),
            **options,
        )
        self._network = rounded(network)

    @traitlets.validate("pixels")
    def _drawn(self, proposal: Any) -> str:
        value = proposal["value"]
        if len(value) != DIGITS_SIDE**2 or set(value) - set(LEVELS):
            raise traitlets.TraitError(
                f"pixels is {value!r}; expected 64 letters, row by row, from 'a' (no ink) to 'q' (full ink)"
            )
        return value

    def draw(self, levels: Tensor | Sequence[Sequence[float]]) -> None:
        """Put (8, 8) levels of ink, from 0 to 16, in the place of what is drawn."""
        values = torch.as_tensor(levels)
        if values.shape != (8, 8) or values.min() < 0 or values.max() > MOST:
            raise ValueError(
                f"levels has shape {tuple(values.shape)}; expected 8 x 8 numbers from 0 to {MOST}"
            )
        self.pixels = letters(values)

    def photograph(self, file: str | Path) -> None:
        """Put the digit of a picture, dark on light or light on dark, in the place of what is drawn."""
        try:
            with Image.open(file) as opened:
                picture = eight_bits(ImageOps.exif_transpose(opened)).convert("RGBA")
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:  # Pillow raises each of them
            if isinstance(error, OSError) and error.errno is not None:
                raise  # no such file, say: the system has named it
            raise ValueError(
                f"file is {str(file)!r}; expected a whole picture, as PNG or JPEG ({error})"
            ) from error
        picture.thumbnail((LONGEST, LONGEST))
        pixels = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8)
        self.draw(levels_of(pixels.view(picture.height, picture.width, 4).permute(2, 0, 1)))

    def image(self) -> Tensor:
        """What the network gets, (1, 1, 32, 32) in double precision: enlarged and normalised as the data are."""
        levels = torch.tensor([float(LEVELS.index(letter)) for letter in self.pixels], dtype=torch.float64)
        x = F.interpolate(levels.view(1, 1, 8, 8), size=(INNER, INNER), mode="bilinear", align_corners=False)
        x = F.pad(x, ((SIDE - INNER) // 2,) * 4)
        mean, std = self.scale
        return (x - mean) / std

    def network(self) -> LeNet5:
        """The network with the weights that the page has, in double precision."""
        return self._network

    @torch.no_grad()
    def figures(self) -> dict[str, Tensor]:
        """All layers of the drawn image without the batch, and `logits`."""
        x, found = self.image(), {}
        for name, part in zip(
            ["z1", "C1", "S2", "z3", "C3", "S4", "z5", "C5"], self._network.features, strict=True
        ):
            x = part(x)
            found[name] = x[0]
        flat, f6, tanh, output = self._network.classifier
        found["z6"] = f6(flat(x))[0]
        found["F6"] = tanh(found["z6"])
        found["output"] = found["logits"] = output(found["F6"])
        return found

    def place(self) -> tuple[int, int, int]:
        """Map, row and column of the chosen number, within what the layer has."""
        maps, side, *_ = LAYERS[self.layer]
        return min(self.map, maps - 1), min(self.row, side - 1), min(self.column, side - 1)

    @torch.no_grad()
    def number(self) -> Number:
        """The chosen number, taken apart."""
        found, (channel, row, column) = self.figures(), self.place()
        _, _, kind, kernel = LAYERS[self.layer]
        names = ["image", *LAYERS]
        before = names[names.index(self.layer) - 1]
        below = self.image()[0] if before == "image" else found[before]
        if kind == "average":
            window = below[channel, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            value = found[self.layer][channel, row, column].item()
            return Number(window / 4, None, value, value)
        layer = dict(zip(["C1", "C3", "C5", "F6", "output"], weighted(self._network), strict=True))[
            self.layer
        ]
        assert layer.bias is not None  # each layer of LeNet-5 has one
        bias = layer.bias[channel].item()
        if kind == "linear":
            products = layer.weight[channel] * below.flatten()
            value = found[self.layer][channel].item()
        else:
            products = layer.weight[channel] * below[:, row : row + kernel, column : column + kernel]
            value = found[self.layer][channel, row, column].item()
        return Number(products, bias, products.sum().item() + bias, value)

    def sentence(self) -> str:
        if set(self.pixels) == {"a"}:
            said = "Nothing is drawn yet, and still a network must answer: "
        else:
            said = "The network reads "
        shares = self.figures()["logits"].softmax(0)
        first, second = shares.argsort(descending=True, stable=True)[:2].tolist()
        said += f"{first} ({fixed(100 * shares[first].item(), 1)} %), then {second} "
        said += f"({fixed(100 * shares[second].item(), 1)} %). "
        number, (channel, row, column) = self.number(), self.place()
        _, side, kind, _ = LAYERS[self.layer]
        where = f"{self.layer}, map {channel}" + (f", row {row}, column {column}" if side > 1 else "")
        field = FIELDS.get(self.layer, (SIDE, 1))[0]
        said += f"{where}: sees {field} × {field} of the image; "
        if kind == "average":
            return said + f"the average of 4 numbers is {fixed(number.value, 4)}."
        said += f"{plural(number.count, 'product')} and a bias sum to {fixed(number.sum, 4)}"
        return said + (
            "." if self.layer == "output" else f", and tanh turns that into {fixed(number.value, 4)}."
        )


def weighted(network: LeNet5) -> list[nn.Conv2d | nn.Linear]:
    """C1, C3, C5, F6 and the output."""
    return [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]


def rounded(network: LeNet5) -> LeNet5:
    """A copy in double precision whose weights are those of half precision."""
    copy = LeNet5().double().eval()
    copy.load_state_dict({name: value.half().double() for name, value in network.state_dict().items()})
    return copy
