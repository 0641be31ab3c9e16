"""Look inside a trained network: EfficientNet-Lite0, with its ImageNet weights, reads photographs.

LookInside("classes")   # where a class comes from: class maps, and the channels whose sum they are
LookInside("filters")   # a depthwise filter between the map that it reads and the map that it makes
LookInside("stages")    # the maps of all stages, from 112 x 112 to 7 x 7

The network runs when the page is built. The maps travel as whole levels, compressed; a value is low + step x level.
What the explorer says of them it computes from these levels, in Python and in the page alike.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import traitlets
from numpy.typing import NDArray
from torch import Tensor, nn

from casestudies.explorers.base import Explorer, fixed, module, plural
from casestudies.networks.efficientnet import EfficientNetLite0, LiteBlock, SamePadding
from casestudies.photographs import PHOTOGRAPHS, photograph
from casestudies.zoo import build
from casestudies.zoo.classify import class_names
from casestudies.zoo.pretrained import preprocess

NETWORK = "efficientnet_lite0"
PARTS = ("classes", "filters", "stages")
PIXELS = 224  # side of a photograph as the network sees it
TOP = 5  # classes of a photograph
QUALITY = 70  # of the photographs' JPEG, for the eye alone

# side of a map: (levels, channels). The larger a map, the fewer of both, or a page would carry megabytes.
KEPT = {112: (24, 3), 56: (32, 8), 28: (64, 8), 14: (256, 8), 7: (256, 8)}
FILTERS_KEPT = {112: (32, 8), 56: (32, 8), 28: (64, 8), 14: (256, 8)}

# Stage of the table of B0, and the last block of it among `features`; -1 for the stem, 16 for the last convolution.
STAGES = {
    f"stage {i}": block
    for i, block in enumerate((-1, 0, 2, 4, 7, 10, 14, 15, 16), start=1)
}  # fmt: skip
# Blocks whose depthwise layers are shown: 3x3 and 5x5, without and with stride 2.
FILTERS = {"block 1": 0, "block 4": 3, "block 5": 4, "block 7": 6}


@dataclass(frozen=True)
class Layer:
    """What the page knows of a layer beside its maps: one entry of low, step and the others for each channel kept."""

    name: str
    side: int
    channels: int
    jump: int  # pixels of the photograph for one step on the map
    bytes: int  # of a level
    zeros: float  # share of all numbers of all channels on all photographs
    kept: tuple[int, ...]
    low: tuple[float, ...]
    step: tuple[float, ...]


@dataclass(frozen=True)
class Depthwise:
    """A depthwise layer: filters of the channels kept, (k k) each, and the norm after it as scale and shift."""

    kernel: int
    stride: int
    before: int  # zeros above and on the left
    side: int  # of the output
    weights: tuple[tuple[float, ...], ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]


@dataclass(frozen=True)
class Answer:
    """One of the classes that a network names, from its own logits."""

    index: int
    name: str
    logit: float
    share: float


@cache
def network() -> EfficientNetLite0:
    made = build(NETWORK, pretrained=True).eval()
    assert isinstance(made, EfficientNetLite0)
    return made


@cache
@torch.no_grad()
def outputs() -> tuple[Tensor, ...]:
    """What the network makes of the photographs: the images, the stem's maps, those of each block, and the last's."""
    found = [torch.cat([preprocess(photograph(name), NETWORK) for name in PHOTOGRAPHS])]
    for part in (network().stem, *network().features, network().last):
        found.append(part(found[-1]))
    return tuple(found)


@cache
@torch.no_grad()
def answers() -> dict[str, tuple[Answer, ...]]:
    """The five most probable classes of each photograph."""
    logits = network().head(outputs()[-1])
    shares, indices = logits.softmax(1).topk(TOP)
    return {
        photo: tuple(
            Answer(i, class_names()[i], logits[n, i].item(), share)
            for i, share in zip(indices[n].tolist(), shares[n].tolist(), strict=True)
        )
        for n, photo in enumerate(PHOTOGRAPHS)
    }


def levels_of(maps: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Maps (B, C, H, W) as whole levels below `count`, with low and step of each channel (C), in double precision."""
    x = maps.double()
    low = x.amin(dim=(0, 2, 3))
    step = (x.amax(dim=(0, 2, 3)) - low) / (count - 1)
    step[step == 0] = 1.0
    shape = (1, -1, 1, 1)
    return ((x - low.view(shape)) / step.view(shape)).round(), low, step


def packed(levels: Tensor, size: int = 1) -> str:
    """Levels (C, H, W), each in `size` bytes, little endian, compressed, in base64."""
    raw = levels.numpy().astype(f"<u{size}").tobytes()
    return base64.b64encode(zlib.compress(raw, 9)).decode()


def unpacked(text: str, side: int, size: int = 1) -> NDArray[np.float64]:
    """The inverse of `packed`: (C, side, side)."""
    raw = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype=f"<u{size}")
    return raw.reshape(-1, side, side).astype(np.float64)


def strongest(maps: Tensor, count: int) -> list[int]:
    """The channels of (B, C, H, W) that vary most where they vary least: on each photograph there is much to see."""
    return maps.var(dim=(2, 3)).amin(0).argsort(descending=True, stable=True)[:count].tolist()


def spread(maps: Tensor, layer: Depthwise, count: int) -> list[int]:
    """Channels from the one whose filter has the largest share of its weight in the middle to the one with the least.

    Channels whose filter, or whose map of some photograph, is as good as constant are left out.
    """
    weights = torch.tensor(layer.weights).abs()
    alive = (maps.std(dim=(2, 3)).amin(0) > 0.02) & (weights.sum(1) > 0.05)
    share = torch.where(alive, weights[:, weights.shape[1] // 2] / weights.sum(1), -1.0)
    ranked = share.argsort(descending=True, stable=True)[: int(alive.sum())].tolist()
    return [ranked[round(i * (len(ranked) - 1) / (count - 1))] for i in range(count)]


def shrunk(name: str, maps: Tensor, kept: Sequence[int], count: int) -> tuple[Layer, dict[str, str]]:
    """A layer, and for each photograph the maps of the channels that are kept."""
    levels, low, step = levels_of(maps[:, list(kept)], count)
    layer = Layer(
        name,
        maps.shape[2],
        maps.shape[1],
        PIXELS // maps.shape[2],
        1,
        (maps == 0).double().mean().item(),
        tuple(kept),
        tuple(low.tolist()),
        tuple(step.tolist()),
    )
    return layer, {photo: packed(levels[n]) for n, photo in enumerate(PHOTOGRAPHS)}


def pictures() -> dict[str, str]:
    """The photographs as the network sees them, as JPEG in base64."""
    from PIL import Image

    found = {}
    for photo, x in zip(PHOTOGRAPHS, outputs()[0], strict=True):
        pixels = (x * 128 + 127).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0)
        file = io.BytesIO()
        Image.fromarray(pixels.numpy()).save(file, "JPEG", quality=QUALITY, optimize=True)
        found[photo] = base64.b64encode(file.getvalue()).decode()
    return found


@torch.no_grad()
def expanded(block: LiteBlock, x: Tensor) -> tuple[Tensor, Depthwise]:
    """What the depthwise layer of a block reads of the block's input x, and the layer with all its channels."""
    for position, part in enumerate(block.block):
        if isinstance(part, nn.Sequential) and (layer := depthwise(part)) is not None:
            return x, layer
        x = block.block[position](x)
    raise ValueError("the block has no depthwise layer")


def depthwise(part: nn.Sequential) -> Depthwise | None:
    """The depthwise layer that a part of a block begins with, after its padding; None where it has none."""
    convolution, norm = part[-2], part[-1]
    if not isinstance(convolution, nn.Conv2d) or convolution.groups == 1:
        return None
    assert isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and norm.running_var is not None
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    before = int(convolution.padding[0])
    if isinstance(
        part[0], SamePadding
    ):  # of an even side: with stride 2 the odd zero is below and on the right
        before = (kernel - stride) // 2
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    shift = norm.bias.double() - norm.running_mean.double() * scale
    weights = convolution.weight.double().flatten(1).tolist()
    return Depthwise(
        kernel, stride, before, 0, tuple(map(tuple, weights)), tuple(scale.tolist()), tuple(shift.tolist())
    )


def filters() -> tuple[dict[str, Layer], dict[str, Depthwise], dict[str, str]]:
    """The layers in front of depthwise layers, these, and the sprites."""
    layers: dict[str, Layer] = {}
    made: dict[str, Depthwise] = {}
    sprites: dict[str, str] = {}
    for name, index in FILTERS.items():
        block = network().features[index]
        assert isinstance(block, LiteBlock)
        maps, layer = expanded(block, outputs()[index + 1])
        count, most = FILTERS_KEPT[maps.shape[2]]
        kept = spread(maps, layer, most)
        layers[name], texts = shrunk(name, maps, kept, count)
        made[name] = Depthwise(
            layer.kernel,
            layer.stride,
            layer.before,
            -(-maps.shape[2] // layer.stride),
            tuple(layer.weights[channel] for channel in kept),
            tuple(layer.scale[channel] for channel in kept),
            tuple(layer.shift[channel] for channel in kept),
        )
        sprites |= {f"{photo}/{name}": text for photo, text in texts.items()}
    return layers, made, sprites


def stages() -> tuple[dict[str, Layer], dict[str, str]]:
    layers: dict[str, Layer] = {}
    sprites: dict[str, str] = {}
    for name, block in STAGES.items():
        maps = outputs()[block + 2]
        count, most = KEPT[maps.shape[2]]
        layers[name], texts = shrunk(name, maps, strongest(maps, most), count)
        sprites |= {f"{photo}/{name}": text for photo, text in texts.items()}
    return layers, sprites


def classes() -> tuple[dict[str, Layer], dict[str, float], dict[str, str]]:
    """All channels that the head reads, with one low and step for all; biases and weights of the classes named."""
    maps = outputs()[-1]
    name = "stage 9"
    levels, low, step = levels_of(maps.flatten(1, 2)[:, None], 2**16)  # ReLU6: low is 0, and 0 stays 0
    levels = levels.view_as(maps)
    zeros = (maps == 0).double().mean().item()
    count, side = maps.shape[1:3]
    layer = Layer(name, side, count, PIXELS // side, 2, zeros, (), (low.item(),), (step.item(),))
    sprites = {f"{photo}/{name}": packed(levels[n], 2) for n, photo in enumerate(PHOTOGRAPHS)}
    head = network().head[-1]
    assert isinstance(head, nn.Linear)
    named = {one.name: one.index for all_of in answers().values() for one in all_of}
    weights = head.weight.detach().numpy().astype("<f4")
    sprites |= {
        f"class {label}": base64.b64encode(weights[index].tobytes()).decode()
        for label, index in named.items()
    }
    return {name: layer}, {label: head.bias[index].item() for label, index in named.items()}, sprites


@dataclass(frozen=True)
class Contents:
    """All that the explorer of a part carries; never changed, so that explorers share it."""

    layers: Mapping[str, Layer]
    depthwise: Mapping[str, Depthwise]
    biases: Mapping[str, float]
    sprites: Mapping[str, str]


@cache
def contents(part: str) -> Contents:
    made: dict[str, Depthwise] = {}
    biases: dict[str, float] = {}
    if part == "classes":
        layers, biases, sprites = classes()
    elif part == "filters":
        layers, made, sprites = filters()
    else:
        layers, sprites = stages()
    return Contents(
        layers, made, biases, {f"photo {name}": text for name, text in pictures().items()} | sprites
    )


@dataclass(frozen=True)
class ClassFigures:
    """Where the logit of a class comes from."""

    map: NDArray[np.float64]  # (7, 7): what each place says for the class
    bias: float
    contributions: NDArray[np.float64]  # (1280,): weight times mean of the channel's map
    order: list[int]  # channels, the largest contribution first
    cell: NDArray[np.float64]  # (1280,): what each channel adds at the chosen place

    @property
    def logit(self) -> float:
        return float(self.map.mean()) + self.bias


@dataclass(frozen=True)
class FilterFigures:
    """A channel before and after its depthwise filter."""

    input: NDArray[np.float64]
    filter: NDArray[np.float64]  # (k, k)
    sums: NDArray[np.float64]  # of the products, before the norm
    output: NDArray[np.float64]  # after norm and ReLU6
    products: NDArray[np.float64]  # (k, k), of the chosen place
    middle: float  # the share of the middle weight in the sum of all absolute weights
    correlation: float | None  # between input and sums over the grid; None where one of them is constant


class LookInside(Explorer):
    """Photograph, layer, channel: the map, the map laid over the photograph, and the numbers it is made of.

    `part` is "classes", "filters" or "stages", see above. `layer` is a stage, or a block where filters are shown.
    `channel` counts the channels that the page carries, from 0; where classes are shown, the contributions, the
    largest first. `rank` is the class, 0 for the most probable. `row` and `column` beyond the last are the last.
    """

    title = "Look inside a trained network"
    _esm = module("look_inside")

    part = traitlets.Enum(list(PARTS), "stages").tag(sync=True)
    photo = traitlets.Enum(list(PHOTOGRAPHS), "cat").tag(sync=True)
    layer = traitlets.Unicode().tag(sync=True)
    channel = traitlets.Int(0, min=0, max=7).tag(sync=True)
    rank = traitlets.Int(0, min=0, max=TOP - 1).tag(sync=True)
    row = traitlets.Int(3, min=0, max=111).tag(sync=True)
    column = traitlets.Int(3, min=0, max=111).tag(sync=True)
    cover = traitlets.Int(70, min=0, max=100, help="per cent of the map over the photograph").tag(sync=True)
    layers = traitlets.Dict(help="name -> see Layer").tag(sync=True)
    depthwise = traitlets.Dict(help="name of a layer -> see Depthwise").tag(sync=True)
    biases = traitlets.Dict(help="name of a class -> its bias").tag(sync=True)
    answers = traitlets.Dict(help="photograph -> see Answer").tag(sync=True)
    credits = traitlets.Dict(help="photograph -> whose it is").tag(sync=True)
    sprites = traitlets.Dict(help="photographs, levels of maps, weights of classes, each in base64").tag(
        sync=True
    )

    def __init__(self, part: str = "stages", **settings: Any) -> None:
        """Needs the weights and the photographs: `pip install "casestudies[book]"`."""
        if part not in PARTS:
            raise ValueError(f"part is {part!r}; expected one of {', '.join(PARTS)}")
        carried = contents(part)
        layer = settings.setdefault("layer", next(iter(carried.layers)))
        middle = carried.layers[layer].side // 2 if layer in carried.layers else 0  # else refused below
        settings = {"row": middle, "column": middle, **settings}
        super().__init__(
            part=part,
            layers={name: asdict(one) for name, one in carried.layers.items()},
            depthwise={name: asdict(one) for name, one in carried.depthwise.items()},
            biases=dict(carried.biases),
            answers={photo: [asdict(one) for one in found] for photo, found in answers().items()},
            credits={name: source.credit for name, source in PHOTOGRAPHS.items()},
            sprites=dict(carried.sprites),
            **settings,
        )

    @traitlets.validate("layer")
    def _known(self, proposal: Any) -> str:
        known = contents(self.part).layers
        if proposal["value"] not in known:
            raise traitlets.TraitError(f"layer is {proposal['value']!r}; expected one of {', '.join(known)}")
        return proposal["value"]

    def _layer(self) -> Layer:
        return contents(self.part).layers[self.layer]

    def maps(self) -> NDArray[np.float64]:
        """The maps of the chosen layer that the page carries, (channels, side, side)."""
        layer = self._layer()
        levels = unpacked(contents(self.part).sprites[f"{self.photo}/{self.layer}"], layer.side, layer.bytes)
        return np.array(layer.low)[:, None, None] + np.array(layer.step)[:, None, None] * levels

    def index(self) -> int:
        """The place of the channel among those kept."""
        kept = len(self._layer().kept)
        return min(self.channel, kept - 1) if kept else self.channel

    def place(self) -> tuple[int, int]:
        """Row and column of the chosen number."""
        layer = self._layer()
        side = contents(self.part).depthwise[self.layer].side if self.part == "filters" else layer.side
        return min(self.row, side - 1), min(self.column, side - 1)

    def answer(self) -> Answer:
        """The chosen class."""
        return answers()[self.photo][self.rank]

    def class_figures(self) -> ClassFigures:
        maps, label = self.maps(), self.answer().name
        raw = base64.b64decode(contents("classes").sprites[f"class {label}"])
        weights = np.frombuffer(raw, dtype="<f4").astype(np.float64)
        contributions = weights * maps.mean(axis=(1, 2))
        row, column = self.place()
        return ClassFigures(
            np.tensordot(weights, maps, 1),
            contents("classes").biases[label],
            contributions,
            np.argsort(-contributions, kind="stable").tolist(),
            weights * maps[:, row, column],
        )

    def filter_figures(self) -> FilterFigures:
        layer, index = contents("filters").depthwise[self.layer], self.index()
        x = self.maps()[index]
        kernel, stride, before = layer.kernel, layer.stride, layer.before
        weights = np.array(layer.weights[index]).reshape(kernel, kernel)
        after = (layer.side - 1) * stride + kernel - len(x) - before
        padded = np.pad(x, (before, max(after, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (kernel, kernel))[::stride, ::stride]
        sums = np.einsum("ijuv,uv->ij", windows, weights)
        output = np.clip(sums * layer.scale[index] + layer.shift[index], 0, 6)
        total = float(np.abs(weights).sum())
        middle = float(abs(weights[kernel // 2, kernel // 2])) / total if total else 0.0
        return FilterFigures(
            x, weights, sums, output, windows[self.place()] * weights, middle, correlation(pooled(x, stride), sums)
        )  # fmt: skip

    def sentence(self) -> str:
        if self.part == "classes":
            return self._of_classes()
        return self._of_filters() if self.part == "filters" else self._of_stages()

    def _of_stages(self) -> str:
        layer, index, (row, column) = self._layer(), self.index(), self.place()
        x = self.maps()[index]
        least, mean, most, here = (
            fixed(float(one), 2) for one in (x.min(), x.mean(), x.max(), x[row, column])
        )
        said = f"The {self.photo}, {self.layer}: {layer.channels:,} channels of {layer.side} × {layer.side}, "
        said += f"one number for {layer.jump} × {layer.jump} pixels. Channel {layer.kept[index]} goes from {least} "
        return said + f"to {most}, {mean} on average; row {row}, column {column}: {here}."

    def _of_filters(self) -> str:
        layer, index, (row, column) = self._layer(), self.index(), self.place()
        found, made = self.filter_figures(), contents("filters").depthwise[self.layer]
        said = f"The {self.photo}, {self.layer}, channel {layer.kept[index]}: a filter of "
        said += f"{made.kernel} × {made.kernel}, "
        said += (
            f"stride {made.stride}. Its middle weight is {fixed(100 * found.middle, 0)} % of all its weight; "
        )
        if found.correlation is None:
            said += "here its input or its output is the same everywhere. "
        else:
            said += f"its input and its output correlate by {fixed(found.correlation, 2)}. "
        said += f"Row {row}, column {column}: {plural(made.kernel**2, 'product')} sum to "
        said += f"{fixed(float(found.sums[row, column]), 3)}, and batch norm and ReLU6 make "
        return said + f"{fixed(float(found.output[row, column]), 3)} of it."

    def _of_classes(self) -> str:
        found, answer, (row, column) = self.class_figures(), self.answer(), self.place()
        chosen = found.order[self.channel]
        most = np.argsort(-found.cell, kind="stable")[:3].tolist()
        parts = ", ".join(f"{channel} ({fixed(float(found.cell[channel]), 2)})" for channel in most)
        hundred = float(found.contributions[found.order[:100]].sum())
        said = f"“{answer.name}” for the {self.photo} ({fixed(100 * answer.share, 1)} %): the mean of its class map, "
        said += f"{fixed(float(found.map.mean()), 2)}, and the bias, {fixed(found.bias, 2)}, make the logit, "
        said += f"{fixed(found.logit, 2)}. Of {len(found.order):,} contributions, the 100 largest add up to "
        said += f"{fixed(hundred, 2)}; no. {self.channel + 1}, channel {chosen}, gives "
        said += f"{fixed(float(found.contributions[chosen]), 3)}. Row {row}, column {column} of the map: "
        said += f"{fixed(float(found.map[row, column]), 2)}, the largest parts from the channels {parts}."
        return said


def pooled(x: NDArray[np.float64], stride: int) -> NDArray[np.float64]:
    """The mean of each square of stride x stride, so that a map and what a stride makes of it have one grid."""
    side = len(x) // stride
    return x[: side * stride, : side * stride].reshape(side, stride, side, stride).mean(axis=(1, 3))


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Pearson's; None where one of the two is constant."""
    a, b = one - one.mean(), other - other.mean()
    size = float((a * a).sum() * (b * b).sum())
    return None if size < 1e-18 else float((a * b).sum()) / size**0.5
