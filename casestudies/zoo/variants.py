"""The registry of all networks: one name, one network.

Network files are imported when they are first needed, so that asking for a name stays cheap.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from casestudies.graph import in_one_line
from casestudies.sizes import whole
from casestudies.zoo.published import (
    EFFICIENTNET,
    MOBILENET_V1_PAPER,
    MOBILENET_V1_SIDES,
    MOBILENET_V1_SLIM,
    MOBILENET_V2_PAPER,
    MOBILENET_V2_SIDES,
    MOBILENET_V2_SLIM,
    PAPERS,
    PUBLISHED,
    SLIM,
    Paper,
    Published,
    accuracy,
    torchvision,
)


@dataclass(frozen=True)
class Variant:
    """A row of the registry."""

    name: str
    family: str
    paper: Paper
    factory: str  # "module:function"
    options: dict[str, Any] = field(default_factory=dict)
    image: tuple[int, int, int] = (3, 224, 224)  # (channels, height, width)
    num_classes: int = 1000
    published: tuple[Published, ...] = ()

    @property
    def year(self) -> int:
        """The year of its paper."""
        return self.paper.year

    def build(self, num_classes: int | None = None, **options: Any) -> nn.Module:
        """Make the network with random weights; `options` go to its factory, beside those of the row.

        Raises ValueError for num_classes below 1, and for an option that the factory does not know.
        """
        module, _, function = self.factory.partition(":")
        factory = getattr(importlib.import_module(module), function)
        classes = self.num_classes if num_classes is None else whole_number("num_classes", num_classes)
        _check_options(options)
        try:
            network = factory(num_classes=classes, **{**self.options, **options})
        except Exception as error:
            if not options or any(f"{name} is " in str(error) for name in options):
                raise
            said = "it does not take them" if "multiple values for" in str(error) else error
            raise ValueError(
                f"options are {options!r}, with which {self.name} cannot be built: {said}"
            ) from error
        channels = {"in_channels": self.image[0], **self.options, **options}["in_channels"]
        network.register_forward_pre_hook(partial(_check_images, self.name, channels))
        return network


def whole_number(name: str, value: object, least: int = 1) -> int:
    """`sizes.whole`, for a size that a network can have."""
    if isinstance(value, (float, str)):  # 10.0 and "10" look as if they would do
        raise ValueError(
            f"{name} is {value!r} ({type(value).__name__}); expected an integer of at least {least}"
        )
    return whole(name, value, least, LARGEST)


LARGEST = 1_000_000  # of any size; no layer could be that wide
WORDS = {"option": ("A", "B", "C"), "stride_in": ("1x1", "3x3")}  # of the options that are words
LEAST = {"in_channels": 1, "depth": 1, "groups": 1, "padding": 0}  # of the options that are whole numbers


def _check_options(options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if name in LEAST:
            whole_number(name, value, LEAST[name])
        elif name == "width" and (
            isinstance(value, bool) or not isinstance(value, Real) or not 0 < float(value) < 100
        ):
            raise ValueError(f"width is {value!r}; expected a factor above 0, such as 0.5")
        elif name == "maps":
            sizes = value if isinstance(value, (tuple, list)) else ()
            if len(sizes) != 2:
                raise ValueError(f"maps is {value!r}; expected two numbers of maps, such as (6, 16)")
            for place, size in enumerate(sizes):
                whole_number(f"maps[{place}]", size)
        elif name in WORDS and value not in WORDS[name]:
            raise ValueError(f"{name} is {value!r}; expected one of {', '.join(map(repr, WORDS[name]))}")
        elif name in ("aux", "batch_norm", "bottleneck") and not isinstance(value, bool):
            raise ValueError(f"{name} is {value!r}; expected True or False")


def _check_images(name: str, channels: int, network: nn.Module, inputs: tuple[Any, ...]) -> None:
    """Say what is wrong with the images, where the first layer would only complain about its operands."""
    if not inputs:
        return  # they were given by name
    images, wanted = inputs[0], next(network.parameters()).dtype
    if not isinstance(images, Tensor):
        raise TypeError(
            f"images are {in_one_line(images)} ({type(images).__name__}); expected a tensor; "
            "torch.as_tensor makes one of an array or a list"
        )
    if images.dim() != 4 or images.shape[1] != channels:
        raise ValueError(
            f"images have shape {tuple(images.shape)}; {name} expects (batch, {channels}, height, width)"
        )
    # Under autocast, layers convert their input themselves; torch cannot tell whether it is on for the meta device.
    if images.dtype != wanted and (images.is_meta or not torch.is_autocast_enabled(images.device.type)):
        raise ValueError(
            f"images are {images.dtype}; {name} computes in {wanted}: convert them, images.to({wanted}), after "
            "scaling and normalising if they are whole numbers"
        )


def _variants() -> Iterator[Variant]:
    """All rows, paper by paper. A family's rows differ in what is written here and in nothing else."""

    def row(name: str, family: str, factory: str, /, paper: str | None = None, **kwargs: Any) -> Variant:
        published = tuple(kwargs.pop("published", PUBLISHED.get(name, ())))
        image = kwargs.pop("image", (3, 224, 224))
        classes = kwargs.pop("num_classes", 1000)
        where = f"casestudies.networks.{factory}"
        return Variant(name, family, PAPERS[paper or family], where, kwargs, image, classes, published)

    digits: dict[str, Any] = {"image": (1, 32, 32), "num_classes": 10}
    small: dict[str, Any] = {"image": (3, 32, 32), "num_classes": 10}

    yield row("lenet5", "LeNet-5", "lenet:lenet5", **digits)
    yield row("lenet5_28", "LeNet-5", "lenet:lenet5", padding=2, image=(1, 28, 28), num_classes=10)
    yield row("lenet5_rgb", "LeNet-5", "lenet:lenet5", in_channels=3, **small)
    yield row("lenet5_coursera", "LeNet-5", "lenet:lenet5", in_channels=3, maps=(8, 16), **small)
    yield row("lenet5_original", "LeNet-5", "lenet:lenet5_original", **digits)

    yield row("alexnet", "AlexNet", "alexnet:alexnet", paper="AlexNet, one tower")
    yield row("alexnet_2012", "AlexNet", "alexnet:alexnet_2012", image=(3, 227, 227))
    yield row("alexnet_2012_ungrouped", "AlexNet", "alexnet:alexnet_2012", image=(3, 227, 227), groups=1)

    for depth, configuration in [(11, "A"), (13, "B"), (16, "D"), (19, "E")]:
        yield row(f"vgg{depth}", "VGG", "vgg:vgg", configuration=configuration)
        yield row(f"vgg{depth}_bn", "VGG", "vgg:vgg", configuration=configuration, batch_norm=True)
    yield row("vgg16_c", "VGG", "vgg:vgg", configuration="C")

    yield row("nin_cifar10", "NiN", "nin:nin_cifar10", **small)
    yield row("nin_imagenet", "NiN", "nin:nin_imagenet")
    yield row("nin_d2l", "NiN", "nin:nin_d2l")

    for name in ("googlenet", "googlenet_torchvision"):
        yield row(name, "GoogLeNet", f"googlenet:{name}")
        yield row(f"{name}_aux", "GoogLeNet", f"googlenet:{name}", aux=True)
    yield row("googlenet_bn", "GoogLeNet", "googlenet:googlenet_bn")

    for depth in (18, 34, 50, 101, 152):
        yield row(f"resnet{depth}", "ResNet", "resnet:resnet", depth=depth)
    for depth in (50, 101, 152):
        yield row(f"resnet{depth}_v1", "ResNet", "resnet:resnet", depth=depth, stride_in="1x1")
    for depth in (18, 34):
        for option in "AC":
            yield row(
                f"resnet{depth}_{option.lower()}", "ResNet", "resnet:resnet", depth=depth, option=option
            )
        yield row(f"plain{depth}", "ResNet", "resnet:plain", depth=depth)
    for depth in (20, 32, 44, 56, 110, 1202):
        yield row(f"cifar_resnet{depth}", "ResNet", "resnet:cifar_resnet", depth=depth, **small)
    for depth in (20, 32, 44, 56, 110):
        name = f"cifar_resnet{depth}_b"
        yield row(name, "ResNet", "resnet:cifar_resnet", depth=depth, option="B", **small)
        yield row(f"cifar_plain{depth}", "ResNet", "resnet:cifar_plain", depth=depth, **small)
    family = "Pre-activation ResNet"
    yield row("cifar_resnet164", "ResNet", "resnet:cifar_resnet_bottleneck", family, depth=164, **small)

    for depth in (18, 34, 50, 101, 152, 200):
        yield row(f"preresnet{depth}", family, "preresnet:preresnet", depth=depth)
    for depth in (20, 32, 44, 56, 110, 164, 1001):
        yield row(f"cifar_preresnet{depth}", family, "preresnet:cifar_preresnet", depth=depth, **small)

    yield from _mobilenets(row, "v1", MOBILENET_V1_PAPER, MOBILENET_V1_SIDES, MOBILENET_V1_SLIM)
    yield row("mobilenet_v1_1.25_224", "MobileNetV1", "mobilenet:mobilenet_v1", width=1.25)
    yield row("mobilenet_v1_full", "MobileNetV1", "mobilenet:mobilenet_v1_full")
    yield row("mobilenet_v1_shallow", "MobileNetV1", "mobilenet:mobilenet_v1_shallow")
    yield from _mobilenets(row, "v2", MOBILENET_V2_PAPER, MOBILENET_V2_SIDES, MOBILENET_V2_SLIM)

    for size, (side, paper, weights) in EFFICIENTNET.items():
        published = [accuracy(*paper, f"1 crop of {side}", "Table 2, first version"), torchvision(*weights)]
        yield row(
            f"efficientnet_{size}",
            "EfficientNet",
            "efficientnet:efficientnet",
            name=size,
            image=(3, side, side),
            published=published,
        )
    yield row(
        "efficientnet_lite0", "EfficientNet", "efficientnet:efficientnet_lite0", paper="EfficientNet-Lite"
    )


def _mobilenets(
    row: Callable[..., Variant],
    version: str,
    paper: Mapping[str, tuple[float, str]],
    sides: tuple[int, ...],
    slim: Mapping[str, Sequence[tuple[float, float]]],
) -> Iterator[Variant]:
    """A row for each width and image size that has a released checkpoint; `mobilenet_v1` is 1.0 at 224."""
    module = "mobilenet:mobilenet_v1" if version == "v1" else "mobilenet_v2:mobilenet_v2"
    for width, accuracies in slim.items():
        for side, (top1, top5) in zip(sides, accuracies, strict=False):
            size = f"{width}_{side}"
            published = [accuracy(paper[size][0], None, "1 crop", paper[size][1])] if size in paper else []
            published.append(accuracy(top1, top5, "1 crop", SLIM))
            name = f"mobilenet_{version}"
            if (version, size) == ("v2", "1.0_224"):
                published.append(torchvision(71.878, 90.286))
            yield row(
                name if size == "1.0_224" else f"{name}_{size}",
                f"MobileNet{version.upper()}",
                module,
                width=float(width),
                image=(3, side, side),
                published=published,
            )


VARIANTS: dict[str, Variant] = {variant.name: variant for variant in _variants()}


def names() -> list[str]:
    """List the names of all networks, family by family.

    The command ``casestudies networks`` lists them too, with year, parameters and MACs.

    Returns:
        The names, from ``"lenet5"`` to ``"efficientnet_lite0"``.

    >>> [name for name in names() if name.startswith("alexnet")]
    ['alexnet', 'alexnet_2012', 'alexnet_2012_ungrouped']
    """
    return list(VARIANTS)


# What a family is called for short, and the network that is meant by it.
SHORT = {
    "lenet": "lenet5",
    "nin": "nin_cifar10",
    "inception": "googlenet",
    "inceptionv1": "googlenet",
    "mobilenet": "mobilenet_v1",
    "efficientnet": "efficientnet_b0",
}


def _letters(name: object) -> str:
    return re.sub(r"[^a-z0-9.]", "", str(name).lower())


SPELLINGS = SHORT | {_letters(name): name for name in VARIANTS}


def _check_name(name: object) -> None:
    if not isinstance(name, str):
        raise TypeError(
            f"name is {name!r:.80} ({type(name).__name__}); expected the name of a network, such as 'resnet18'"
        )


def canonical(name: str) -> str:
    """The registry's name for what papers and people write; an unknown name is returned as it is.

    >>> canonical("VGG-16"), canonical("MobileNetV2"), canonical("LeNet")
    ('vgg16', 'mobilenet_v2', 'lenet5')
    """
    _check_name(name)
    return name if name in VARIANTS else SPELLINGS.get(_letters(name), name)


def variant(name: str) -> Variant:
    """The registry's row of a network. An unknown name raises ValueError and suggests the nearest."""
    name = canonical(name)
    if name not in VARIANTS:
        nearest = difflib.get_close_matches(str(name).lower(), VARIANTS, n=1, cutoff=0.5)
        guess = f"did you mean {nearest[0]!r}? " if nearest else ""
        raise ValueError(f"name is {name!r}; {guess}`casestudies networks` lists all names")
    return VARIANTS[name]
