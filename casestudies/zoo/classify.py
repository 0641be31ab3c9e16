"""What a pretrained network sees on a photograph, and the names of the classes.

classify("photo.jpg", "mobilenet_v2")        # [("tabby", 0.61), ...]
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from casestudies.zoo.building import build
from casestudies.zoo.pretrained import load_pretrained, preprocess

if TYPE_CHECKING:
    from PIL.Image import Image


@cache
def class_names() -> tuple[str, ...]:
    """Name the 1000 classes of ILSVRC-2012, the ImageNet challenge of 2012.

    ImageNet describes a class by a synset of WordNet, a set of words that mean the same; nearly every class has the
    first of these as its name. Two names that would be ambiguous carry a qualifier, ``"crane (bird)"`` and
    ``"maillot (tank suit)"``, and three are longer names of their synsets: ``"Pembroke Welsh corgi"``,
    ``"Cardigan Welsh corgi"`` and ``"Angora rabbit"``.

    Returns:
        The names, in the order of the logits of every network with 1000 classes that is pretrained.

    See Also:
        `casestudies.zoo.pretrained.preprocess` has an example that names what a network sees.

    >>> len(class_names()), class_names()[0], class_names()[281]
    (1000, 'tench', 'tabby')
    """
    return tuple(Path(__file__).with_name("imagenet_classes.txt").read_text(encoding="utf-8").splitlines())


def best(logits: Tensor, top: int = 5) -> list[tuple[str, float]]:
    """The `top` classes of logits (1000,), and their probabilities, the most probable first."""
    names = class_names()
    _check_top(top)
    if tuple(logits.shape) != (len(names),):
        raise ValueError(f"logits have shape {tuple(logits.shape)}; expected ({len(names)},), one a class")
    probabilities, indices = logits.softmax(dim=0).topk(top)
    return [(names[index], p) for index, p in zip(indices.tolist(), probabilities.tolist(), strict=True)]


def _check_top(top: int) -> None:
    most = len(class_names())
    if not isinstance(top, int) or not 1 <= top <= most:
        raise ValueError(f"top is {top!r}; expected a number of classes from 1 to {most}")


def classify(
    image: Image | str | Path, name: str, top: int = 5, progress: bool | None = None
) -> list[tuple[str, float]]:
    """What a pretrained network sees on a photograph: the `top` classes and their probabilities."""
    _check_top(top)  # what is wrong is reported before a long download
    x = preprocess(image, name)
    network = load_pretrained(name, build(name), progress).eval()
    with torch.no_grad():
        return best(network(x)[0], top)


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """`casestudies classify photo.jpg --network mobilenet_v2`."""
    parser = subparsers.add_parser("classify")
    parser.add_argument("image", help="a photo, in any format that Pillow reads")
    parser.add_argument("--network", default="mobilenet_v2", help="default: mobilenet_v2")
    parser.add_argument("--top", type=int, default=5, help="how many classes to print; default: 5")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the best classes, one a line."""
    for label, probability in classify(args.image, args.network, args.top):
        print(f"{probability:7.2%}  {label}")
    return 0
