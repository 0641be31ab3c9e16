"""A little language in which a network is written in a few lines, and its interpreter.

    image 3x32x32
    conv 16 3x3 /2        # channels, kernel, stride; padded so that only the stride changes the grid
    norm
    relu
    block                 # adds its input to what the indented lines make of it
      conv 16 3x3
      norm
    relu
    global                # average of each map
    linear 10

The layers: conv, separable, maxpool, avgpool, global, norm, lrn, relu, relu6, tanh, sigmoid, silu, dropout, flatten,
linear; `block` and `repeat 3` hold indented lines. A convolution has a bias unless a norm follows it. The page
interprets the same language in `your_own_network.js`; this file is the authority, and the tests compare the two on
random networks, mistakes included.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from casestudies.costs import Ledger, conv_output_size, ledger

IMAGE = (3, 224, 224)
MOST_LAYERS, MOST_MACS = 600, 10**15
DEEPEST = 20  # blocks and repeats in one another
# What a number may be, and what it is called: (least, most)
LIMITS = {
    "channels": (1, 4096),
    "side": (1, 512),
    "features": (1, 10_000),
    "kernel": (1, 15),
    "stride": (1, 16),
    "pad": (0, 15),
    "groups": (1, 4096),
    "repeat": (1, 64),
}
ACTIVATIONS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "silu": nn.SiLU}
# How each line is written: shown where it is not understood.
USAGE = {
    "image": "image 3x32x32",
    "conv": "conv 16 3x3 /2 pad 1 groups 2 bias",
    "separable": "separable 16 3x3 /2",
    "maxpool": "maxpool 2 /2 pad 0 ceil",
    "avgpool": "avgpool 2 /2 pad 0 ceil",
    "linear": "linear 10",
    "block": "block",
    "repeat": "repeat 3",
    **{word: word for word in ("norm", "lrn", "global", "flatten", "dropout", *ACTIVATIONS)},
}


class Mistake(ValueError):
    """A line that cannot be, and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"Line {line}: {reason}")
        self.line, self.reason = line, reason


@dataclass(frozen=True)
class Line:
    """One line: its word, what follows, and for `block` and `repeat` the lines inside."""

    number: int
    word: str
    tokens: tuple[str, ...] = ()
    inside: tuple[Line, ...] = ()


@dataclass
class Settings:
    """What the words after a layer's name say; None where it is left to the layer."""

    out: int = 0  # channels, features or turns, of a layer that says so
    kernel: tuple[int, int] | None = None
    stride: int | None = None
    pad: int | None = None
    groups: int | None = None
    bias: bool | None = None
    depthwise: bool = False
    ceil: bool = False


def distance(a: str, b: str) -> int:
    """How many letters to add, drop or change: Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, one in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (one != other))
    return row[-1]


def nearest(word: str) -> str:
    """A hint at the word that was meant."""
    best = min(USAGE, key=lambda known: distance(word, known))
    if distance(word, best) <= min(2, len(word) - 1):
        return f"perhaps you mean {best}"
    return f"the words are {', '.join(USAGE)}"


def number(line: int, name: str, token: str) -> int:
    """The whole number that a token says, within its limits."""
    least, most = LIMITS[name]
    if not re.fullmatch("[0-9]{1,6}", token) or not least <= int(token) <= most:
        raise Mistake(line, f"{name} is {token}; expected a whole number from {least} to {most}")
    return int(token)


# What a copied text may have for a blank, and what cannot be seen at all. JavaScript and Python call different
# characters blanks, so that both are named here and in your_own_network.js.
BLANKS = re.compile("[\t\v\f\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]")
UNSEEN = re.compile("[\u200b-\u200d\u2060\ufeff]")


def read(text: str) -> tuple[tuple[int, int, int], tuple[Line, ...]]:
    """The image and the lines of a network. Raises Mistake."""
    flat: list[tuple[int, int, list[str]]] = []  # line, indentation, tokens
    text = BLANKS.sub("\t", UNSEEN.sub("", text))
    for index, written in enumerate(text.split("\n"), 1):
        content = written.split("#")[0].rstrip()
        if not content.strip():
            continue
        indent = len(content) - len(content.lstrip(" "))
        content = content[indent:].lower().replace("×", "x")
        if content[0].isspace():
            raise Mistake(index, "indent with spaces, not with tabs")
        content = re.sub(r"([0-9])\s*x\s*(?=[0-9])", r"\1x", content)
        flat.append((index, indent, content.split()))
    image = IMAGE
    if flat and flat[0][2][0] == "image":
        line, indent, tokens = flat.pop(0)
        sizes = tokens[1].split("x") if len(tokens) == 2 else []
        if len(sizes) != 3:
            raise Mistake(line, "an image has channels, height and width, such as image 3x32x32")
        if indent:
            raise Mistake(line, "the image is not indented")
        channels, height, width = (
            number(line, name, size) for name, size in zip(("channels", "side", "side"), sizes, strict=True)
        )
        image = channels, height, width
    lines, rest = gather(flat, 0, flat[0][1] if flat else 0)
    if rest < len(flat):
        raise Mistake(flat[rest][0], "this line stands further left than the first one")
    if not lines:
        raise Mistake(1, "write a layer, such as conv 16 3x3")
    return image, lines


def gather(
    flat: list[tuple[int, int, list[str]]], at: int, indent: int, level: int = 0
) -> tuple[tuple[Line, ...], int]:
    """The lines from `at` that are indented by `indent`, with what is inside them; and where they end."""
    lines: list[Line] = []
    while at < len(flat) and flat[at][1] >= indent:
        line, depth, (word, *tokens) = flat[at]
        if depth > indent:
            raise Mistake(
                line, "only lines under block or repeat are indented, all by the same number of spaces"
            )
        if word not in USAGE:
            raise Mistake(line, f'"{word}" is no layer; {nearest(word)}')
        if word == "image":
            raise Mistake(line, "the image comes first, and once")
        at += 1
        inside: tuple[Line, ...] = ()
        if word in ("block", "repeat"):
            if at == len(flat) or flat[at][1] <= indent:
                raise Mistake(line, f"{word} needs indented lines below it")
            if level == DEEPEST:
                raise Mistake(line, f"blocks and repeats stand in one another at most {DEEPEST} deep")
            inside, at = gather(flat, at, flat[at][1], level + 1)
            if at < len(flat) and flat[at][1] > indent:
                raise Mistake(flat[at][0], "this line fits under no block and no repeat above it")
        lines.append(Line(line, word, tuple(tokens), inside))
    return tuple(lines), at


def understand(line: Line) -> Settings:
    """The settings of a layer's line."""
    settings, tokens, word = Settings(), list(line.tokens), line.word

    def take(name: str) -> int:
        if not tokens:
            raise Mistake(line.number, f"{name} needs a number, such as {USAGE[word]}")
        return number(line.number, name, tokens.pop(0))

    if word in ("conv", "separable", "linear"):
        if not tokens:
            what = "features" if word == "linear" else "channels"
            raise Mistake(line.number, f"{word} needs its number of {what}, such as {USAGE[word]}")
        settings.out = take("features" if word == "linear" else "channels")
    if word == "repeat":
        settings.out = take("repeat")
    pools = word in ("maxpool", "avgpool")
    if word in ("conv", "separable") or pools:
        if tokens and re.fullmatch("[0-9x]+", tokens[0]):
            sides = [number(line.number, "kernel", side) for side in tokens.pop(0).split("x")]
            if len(sides) > 2 or (pools and len(set(sides)) > 1):
                raise Mistake(line.number, f"the kernel is not understood; write it as in {USAGE[word]}")
            settings.kernel = sides[0], sides[-1]
        elif pools:
            raise Mistake(line.number, f"{word} needs its kernel, such as {USAGE[word]}")
    while tokens:
        token = tokens.pop(0)
        if token.startswith("/") and "kernel" in kinds(word):
            settings.stride = number(line.number, "stride", token[1:])
        elif token in ("stride", "pad", "groups") and token in kinds(word):
            setattr(settings, token, take(token))
        elif token in ("bias", "depthwise", "ceil") and token in kinds(word):
            setattr(settings, token, True)
        elif token == "no" and tokens[:1] == ["bias"] and "bias" in kinds(word):
            tokens.pop(0)
            settings.bias = False
        else:
            raise Mistake(line.number, f'"{token}" is not understood here; write it as in {USAGE[word]}')
    return settings


def kinds(word: str) -> tuple[str, ...]:
    """What may follow a word."""
    if word == "conv":
        return ("kernel", "stride", "pad", "groups", "depthwise", "bias")
    if word == "separable":
        return ("kernel", "stride")
    return ("kernel", "stride", "pad", "ceil") if word in ("maxpool", "avgpool") else ()


# --------------------------------------------------------------------------------------------- the network


Sides = tuple[int, int]


@dataclass(frozen=True)
class Shape:
    """What arrives at a layer: channels and grid, or features alone where the grid is None."""

    channels: int
    grid: tuple[int, int] | None

    def __str__(self) -> str:
        return " x ".join(map(str, (self.channels, *(self.grid or ()))))

    @property
    def sides(self) -> tuple[int, int]:
        """The grid, where it is known that there is one."""
        assert self.grid is not None
        return self.grid


class Block(nn.Module):
    """What the indented lines make of x, plus x; where the shapes differ, x is projected."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch, self.shortcut = branch, shortcut

    def forward(self, x: Tensor) -> Tensor:
        return self.branch(x) + self.shortcut(x)


@dataclass
class Builder:
    """Makes modules of lines, and keeps count."""

    layers: int = 0

    def sequence(self, lines: tuple[Line, ...], shape: Shape) -> tuple[nn.Sequential, Shape]:
        """The modules of lines one after another, named by their line, and the shape that leaves them."""
        made, module = nn.Sequential(), nn.Module()
        for index, line in enumerate(lines):
            following = lines[index + 1].word if index + 1 < len(lines) else ""
            times = understand(line).out if line.word == "repeat" else 1
            for turn in range(times):
                if line.word == "repeat":
                    module, shape = self.sequence(line.inside, shape)
                else:
                    module, shape = self.layer(line, following, shape)
                made.add_module(
                    f"{line.number}r{turn}" if line.word == "repeat" else str(line.number), module
                )
        return made, shape

    def count(self, line: Line, layers: int = 1) -> None:
        self.layers += layers
        if self.layers > MOST_LAYERS:
            raise Mistake(line.number, f"these are more than {MOST_LAYERS} layers; repeat fewer")

    def layer(self, line: Line, following: str, shape: Shape) -> tuple[nn.Module, Shape]:
        settings, word = understand(line), line.word
        self.count(line)
        if word in ACTIVATIONS:
            return ACTIVATIONS[word](), shape
        if word == "dropout":
            return nn.Dropout(), shape
        if word == "norm":
            return (nn.BatchNorm2d if shape.grid else nn.BatchNorm1d)(shape.channels), shape
        if word == "linear":
            features = flat(shape)
            linear = nn.Linear(features, settings.out)
            parts = {"flatten": nn.Flatten(), "linear": linear}
            return named(parts) if shape.grid else linear, Shape(settings.out, None)
        if shape.grid is None:
            raise Mistake(line.number, f"{word} needs a grid, and after linear or flatten there is none")
        if word == "flatten":
            return nn.Flatten(), Shape(flat(shape), None)
        if word == "lrn":
            return nn.LocalResponseNorm(5), shape
        if word == "global":
            return nn.AdaptiveAvgPool2d(1), Shape(shape.channels, (1, 1))
        if word == "conv":
            if settings.bias is None:
                settings.bias = following != "norm"
            return self.conv(line, settings, shape)
        if word == "separable":
            return self.separable(line, settings, shape)
        if word == "block":
            return self.block(line, shape)
        assert settings.kernel is not None  # `understand` asks for it
        kernel, stride, pad = settings.kernel[0], settings.stride or settings.kernel[0], settings.pad or 0
        if pad > kernel // 2:
            raise Mistake(line.number, f"pad is {pad}; for a pool of {kernel} at most {kernel // 2}")
        grid = self.slide(line, shape, (kernel, kernel), stride, (pad, pad), settings.ceil)
        make = nn.MaxPool2d if word == "maxpool" else nn.AvgPool2d
        return make(kernel, stride, pad, ceil_mode=settings.ceil), Shape(shape.channels, grid)

    def slide(
        self, line: Line, shape: Shape, kernel: Sides, stride: int, pad: Sides, ceil: bool = False
    ) -> Sides:
        """The grid after a window has passed over it."""
        height, width = shape.sides
        if height + 2 * pad[0] < kernel[0] or width + 2 * pad[1] < kernel[1]:
            raise Mistake(
                line.number,
                f"a window of {kernel[0]} x {kernel[1]} does not fit into the {height} x {width} grid that is left; "
                "pad it, or take a larger image",
            )
        return (
            conv_output_size(height, kernel[0], stride, pad[0], ceil_mode=ceil),
            conv_output_size(width, kernel[1], stride, pad[1], ceil_mode=ceil),
        )

    def conv(self, line: Line, settings: Settings, shape: Shape) -> tuple[nn.Module, Shape]:
        kernel, stride = settings.kernel or (3, 3), settings.stride or 1
        pad = ((kernel[0] - 1) // 2, (kernel[1] - 1) // 2)
        if settings.pad is not None:
            pad = settings.pad, settings.pad
        groups = shape.channels if settings.depthwise else settings.groups or 1
        for name, channels in (("input", shape.channels), ("output", settings.out)):
            if channels % groups:
                raise Mistake(line.number, f"{groups} groups do not divide the {channels} {name} channels")
        grid = self.slide(line, shape, kernel, stride, pad)
        made = nn.Conv2d(
            shape.channels, settings.out, kernel, stride, pad, groups=groups, bias=bool(settings.bias)
        )
        return made, Shape(settings.out, grid)

    def separable(self, line: Line, settings: Settings, shape: Shape) -> tuple[nn.Module, Shape]:
        self.count(line, 5)
        own = replace(settings, out=shape.channels, depthwise=True)
        depthwise, middle = self.conv(line, own, shape)
        pointwise, shape = self.conv(line, Settings(out=settings.out, kernel=(1, 1)), middle)
        parts = {"depthwise": depthwise, "norm": nn.BatchNorm2d(middle.channels), "relu": nn.ReLU()}
        parts |= {"pointwise": pointwise, "last_norm": nn.BatchNorm2d(shape.channels), "last_relu": nn.ReLU()}
        return named(parts), shape

    def block(self, line: Line, shape: Shape) -> tuple[nn.Module, Shape]:
        branch, out = self.sequence(line.inside, shape)
        if out.grid is None:
            raise Mistake(
                line.number, "the lines of a block must leave a grid, to which its input can be added"
            )
        if out == shape:
            return Block(branch, nn.Identity()), out
        self.count(line, 2)
        for stride in range(1, max(shape.sides) + 1):
            if tuple(conv_output_size(n, 1, stride) for n in shape.sides) == out.grid:
                break
        else:
            raise Mistake(
                line.number,
                f"{shape} comes in and {out} comes out; no stride of a 1 x 1 shortcut makes that, "
                "so pad the lines of the block",
            )
        projection = nn.Conv2d(shape.channels, out.channels, 1, stride, bias=False)
        shortcut = named({"project": projection, "norm": nn.BatchNorm2d(out.channels)})
        return Block(branch, shortcut), out


def named(parts: dict[str, nn.Module]) -> nn.Sequential:
    """The modules one after another, under their names."""
    made = nn.Sequential()
    for name, module in parts.items():
        made.add_module(name, module)
    return made


def flat(shape: Shape) -> int:
    """How many features a grid has when it is flattened."""
    height, width = shape.grid or (1, 1)
    return shape.channels * height * width


def build(text: str) -> tuple[nn.Sequential, tuple[int, int, int]]:
    """The network of a text on the meta device, and its image (channels, height, width). Raises Mistake.

    >>> network, image = build("image 1x8x8\\nconv 4 3x3\\nrelu\\nlinear 2")
    >>> image, sum(p.numel() for p in network.parameters())
    ((1, 8, 8), 554)
    """
    image, lines = read(text)
    with torch.device("meta"):
        network, _ = Builder().sequence(lines, Shape(image[0], image[1:]))
    return network, image


def line_of(path: str) -> int:
    """The line that a module of the network was written on, from its path."""
    return int(re.findall(r"(?:^|\.)([0-9]+)(?:r[0-9]+)?(?=\.|$)", path)[-1])


def costs_of(text: str) -> Ledger:
    """The ledger of a text, by `casestudies.costs.ledger`. Raises Mistake.

    >>> costs_of("image 1x32x32\\nconv 6 5x5 pad 0").macs
    117600
    """
    network, image = build(text)
    found = ledger(network, image)
    if found.macs > MOST_MACS:
        largest = max(found.rows, key=lambda row: row.macs)
        raise Mistake(line_of(largest.layer), "this network needs more than a thousand million million MACs")
    return found
