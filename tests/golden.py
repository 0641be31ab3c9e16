"""What the readers of a network's graph gave before there was a graph: digests, compared by test_golden.py.

    python tests/golden.py           says which of them changed
    python tests/golden.py --write   takes the present ones for right; read the differences first

A digest stands for all of an output: every row of a ledger as data, text and CSV; every character of a drawing;
a description for the page's shape tracer; in which order a network uses its parameters, and after which others.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from casestudies import figures
from casestudies.checking.transplant import slots_of
from casestudies.costs import ledger
from casestudies.explorers import shape_tracer
from casestudies.networks import efficientnet, googlenet, mobilenet, mobilenet_v2, nin, preresnet, resnet, vgg
from casestudies.zoo import VARIANTS, build, skeleton

USED = (
    "lenet5_original nin_cifar10 cifar_resnet20 cifar_preresnet20 googlenet_torchvision resnet50 mobilenet_v2"
).split()

FILE = Path(__file__).with_name("golden.json")

# What the book draws as a block, and the shape of its input.
BLOCKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    "classifier of 2012": (lambda: skeleton("alexnet_2012").classifier, (256, 6, 6)),
    "classifier of 2014": (lambda: skeleton("alexnet").classifier, (256, 6, 6)),
    "inverted residual": (lambda: mobilenet_v2.InvertedResidual(40, 40), (40, 28, 28)),
    "inverted residual, stride 2": (lambda: mobilenet_v2.InvertedResidual(24, 40, 2), (24, 28, 28)),
    "MBConv": (lambda: efficientnet.MBConv(40, 40, 5), (40, 28, 28)),
    "MBConv, wider": (lambda: efficientnet.MBConv(16, 24, 3, 2), (16, 28, 28)),
    "Inception module": (lambda: googlenet.InceptionModule(*googlenet.INCEPTION["3a"]), (192, 28, 28)),
    "full": (lambda: mobilenet.full_conv(64, 128), (64, 56, 56)),
    "separable": (lambda: mobilenet.SeparableConv(64, 128), (64, 56, 56)),
    "bottleneck": (lambda: resnet.Bottleneck(256, 64), (256, 56, 56)),
    "bottleneck, stride 2": (lambda: resnet.Bottleneck(256, 128, 2), (256, 56, 56)),
    "mlpconv": (lambda: nin.NiNBlock(96, 256, 5, padding=2), (96, 27, 27)),
    "plain": (lambda: resnet.PlainBlock(64, 64), (64, 56, 56)),
    "basic": (lambda: resnet.BasicBlock(64, 64), (64, 56, 56)),
    "option A": (lambda: resnet.BasicBlock(64, 128, 2, option="A"), (64, 56, 56)),
    "option B": (lambda: resnet.BasicBlock(64, 128, 2, option="B"), (64, 56, 56)),
    "pre-activation": (lambda: preresnet.PreActBasic(64, 64), (64, 56, 56)),
    "pre-activation, stride 2": (lambda: preresnet.PreActBasic(64, 128, 2), (64, 56, 56)),
    "VGG block": (lambda: vgg.vgg_block(2, 64, 128), (64, 112, 112)),
}


def digest(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_a_ledger(network: nn.Module, image: tuple[int, int, int], training: bool) -> str:
    table = ledger(network, image, training=training)
    return digest([table.to_dict(), str(table), table.to_csv()])


def of_its_steps(module: nn.Module, image: tuple[int, int, int]) -> str:
    steps = figures.trace(module, image)
    place = {step.name: index for index, step in enumerate(steps)}
    return digest(
        [
            [
                step.kind,
                step.label,
                step.role,
                [place[n] for n in step.inputs],
                list(step.shape),
                step.parameters,
            ]
            for step in steps
        ]
    )


def of_its_uses(network: nn.Module, image: tuple[int, int, int]) -> str:
    found = slots_of(network, [torch.zeros(1, *image)])
    return digest(
        [[slot.name, list(slot.shape), slot.kind, slot.order, hex(slot.upstream)] for slot in found]
    )


def of_a_drawing(drawing: figures.Drawing) -> str:
    """Of what is drawn; in which shades is a matter of the palette."""
    return digest(re.sub("<style>.*?</style>", "", drawing.svg))


def computations() -> Iterator[tuple[str, Callable[[], str]]]:
    """Each output by name, and how to compute its digest."""
    for name, row in VARIANTS.items():
        yield f"ledger {name}", lambda name=name, row=row: of_a_ledger(skeleton(name), row.image, False)
        yield f"training {name}", lambda name=name, row=row: of_a_ledger(skeleton(name), row.image, True)
        if "1202" not in name and "1001" not in name:
            yield (
                f"strip {name}",
                lambda name=name, row=row: of_a_drawing(figures.overview(skeleton(name), row.image, name)),
            )
    for name, (make, image) in BLOCKS.items():
        yield (
            f"block {name}",
            lambda make=make, image=image: of_a_drawing(figures.draw(make(), image, "A title")),
        )
        if not name.startswith("classifier"):
            yield f"uses of {name}", lambda make=make, image=image: of_its_uses(make(), image)
        yield f"steps {name}", lambda make=make, image=image: of_its_steps(make(), image)
    for name in shape_tracer.NETWORKS:
        yield f"shapes {name}", lambda name=name: digest(shape_tracer.describe(name))
    for name in USED:
        yield f"uses {name}", lambda name=name: of_its_uses(build(name), VARIANTS[name].image)


def compute(kinds: tuple[str, ...] = ()) -> dict[str, str]:
    """All digests, or those whose names begin with one of the kinds; an error's class where one is raised."""
    found = {}
    for name, work in computations():
        if kinds and not name.startswith(kinds):
            continue
        try:
            found[name] = work()
        except Exception as error:
            found[name] = type(error).__name__
    return found


def main() -> int:
    found = compute()
    if "--write" in sys.argv:
        FILE.write_text(json.dumps(found, indent=0, sort_keys=True) + "\n", encoding="utf-8")
        print(f"{len(found)} digests written")
        return 0
    before = json.loads(FILE.read_text(encoding="utf-8"))
    changed = sorted(name for name in found | before if found.get(name) != before.get(name))
    print("\n".join(changed) or f"all {len(found)} as before")
    return bool(changed)


if __name__ == "__main__":
    sys.exit(main())
