"""Your own network: write it in a few lines, and its ledger, its drawing and its place in the chart follow.

from casestudies.explorers import YourOwnNetwork
YourOwnNetwork()  # or YourOwnNetwork("image 1x28x28\\nconv 8 5x5\\n...")
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import traitlets

from casestudies import costs, zoo
from casestudies.explorers import architecture
from casestudies.explorers.architecture import Mistake
from casestudies.explorers.base import Explorer, fixed, module, plural

# Networks of the course in the language, and their names in the zoo. The tests hold them to the same costs.
COURSE: dict[str, str] = {
    "lenet5": """image 1x32x32
conv 6 5x5 pad 0
tanh
avgpool 2
conv 16 5x5 pad 0
tanh
avgpool 2
conv 120 5x5 pad 0
tanh
linear 84
tanh
linear 10""",
    "alexnet_2012": """image 3x227x227
conv 96 11x11 /4 pad 0
relu
lrn
maxpool 3 /2
conv 256 5x5 groups 2
relu
lrn
maxpool 3 /2
conv 384 3x3
relu
conv 384 3x3 groups 2
relu
conv 256 3x3 groups 2
relu
maxpool 3 /2
linear 4096
relu
dropout
linear 4096
relu
dropout
linear 1000""",
    "vgg16": """image 3x224x224
repeat 2
  conv 64 3x3
  relu
maxpool 2
repeat 2
  conv 128 3x3
  relu
maxpool 2
repeat 3
  conv 256 3x3
  relu
maxpool 2
repeat 2
  repeat 3
    conv 512 3x3
    relu
  maxpool 2
repeat 2
  linear 4096
  relu
  dropout
linear 1000""",
    "resnet18": """image 3x224x224
conv 64 7x7 /2
norm
relu
maxpool 3 /2 pad 1
repeat 2
  block
    conv 64 3x3
    norm
    relu
    conv 64 3x3
    norm
  relu
block            # the shapes differ, so the shortcut projects
  conv 128 3x3 /2
  norm
  relu
  conv 128 3x3
  norm
relu
block
  conv 128 3x3
  norm
  relu
  conv 128 3x3
  norm
relu
block
  conv 256 3x3 /2
  norm
  relu
  conv 256 3x3
  norm
relu
block
  conv 256 3x3
  norm
  relu
  conv 256 3x3
  norm
relu
block
  conv 512 3x3 /2
  norm
  relu
  conv 512 3x3
  norm
relu
block
  conv 512 3x3
  norm
  relu
  conv 512 3x3
  norm
relu
global
linear 1000""",
    "mobilenet_v1": """image 3x224x224
conv 32 3x3 /2
norm
relu
separable 64 3x3
separable 128 3x3 /2
separable 128 3x3
separable 256 3x3 /2
separable 256 3x3
separable 512 3x3 /2
repeat 5
  separable 512 3x3
separable 1024 3x3 /2
separable 1024 3x3
global
dropout
linear 1000""",
}
START = """image 3x32x32
conv 16 3x3
norm
relu
repeat 3
  block
    conv 16 3x3
    norm
    relu
    conv 16 3x3
    norm
  relu
block        # twice the channels, half the grid
  conv 32 3x3 /2
  norm
  relu
  conv 32 3x3
  norm
relu
global
linear 10"""
# What the chart shows beside the reader's network.
CHART = (
    "lenet5 alexnet_2012 vgg16 nin_cifar10 nin_imagenet googlenet resnet18 resnet50 resnet152 cifar_resnet20 "
    "cifar_resnet110 mobilenet_v1 mobilenet_v2 efficientnet_b0 efficientnet_b4"
).split()
LONGEST = 8_000  # letters of a text


@cache
def place(name: str) -> dict[str, str | int]:
    """A network's dot: its name, family, parameters and MACs."""
    variant = zoo.variant(name)
    ledger = costs.ledger(zoo.skeleton(name), variant.image)
    return {"name": name, "family": variant.family, "parameters": ledger.parameters, "macs": ledger.macs}


class YourOwnNetwork(Explorer):
    """The text of a network -> its ledger, drawn, among the networks of the course; or the mistake in it."""

    title = "Your own network"
    _esm = module("your_own_network", "worker")

    text = traitlets.Unicode(START, help="the network, in the language of `architecture`").tag(sync=True)
    start = traitlets.Unicode(START, help="the small network that is offered first").tag(sync=True)
    course = traitlets.Dict(COURSE, help="networks to begin with").tag(sync=True)
    networks: traitlets.List[Any] = traitlets.List(help="the dots of the chart; see `place`").tag(sync=True)
    language = traitlets.Dict(
        {
            "usage": architecture.USAGE,
            "limits": {name: list(pair) for name, pair in architecture.LIMITS.items()},
            "image": list(architecture.IMAGE),
            "layers": architecture.MOST_LAYERS,
            "deepest": architecture.DEEPEST,
            "macs": architecture.MOST_MACS,
            "longest": LONGEST,
        }
    ).tag(sync=True)

    def __init__(self, text: str = START, **options: Any) -> None:
        super().__init__(text=text, networks=[place(name) for name in CHART], **options)

    @traitlets.validate("text")
    def _short(self, proposal: Any) -> str:
        if len(proposal["value"]) > LONGEST:
            raise traitlets.TraitError(
                f"text has {len(proposal['value']):,} letters; expected at most {LONGEST:,}: use `repeat`"
            )
        return proposal["value"]

    def network(self) -> Any:
        """The network as an nn.Module on the meta device. Raises `architecture.Mistake`."""
        return architecture.build(self.text)[0]

    def figures(self) -> costs.Ledger:
        """Its ledger. Raises `architecture.Mistake`."""
        return architecture.costs_of(self.text)

    def sentence(self) -> str:
        try:
            ledger = self.figures()
        except Mistake as mistake:
            return f"{mistake}."
        said = (
            f"{plural(ledger.depth, 'layer')} with weights on the longest path, "
            f"{plural(ledger.parameters, 'parameter')}, {plural(ledger.macs, 'MAC')}, "
            f"{sized(ledger.activation_memory / 1e6)} MB written in fp32. "
        )
        field = ledger.rows[-1].receptive_field
        if field is None:
            said += "What a number of the last layer sees has no single size. "
        else:
            said += f"A number of the last layer sees {field:,} × {field:,} of the image. "
        if not ledger.macs:
            return said + "Without weights it has no place in the chart."
        near = min(
            self.networks,
            key=lambda one: apart(one["macs"], ledger.macs) + apart(one["parameters"], ledger.parameters),
        )
        more = sized(ledger.parameters / near["parameters"]), sized(ledger.macs / near["macs"])
        return (
            f"{said}Nearest in the chart: {near['name']}; yours has {more[0]} times its parameters "
            f"and {more[1]} times its MACs."
        )


def sized(value: float) -> str:
    """With two decimals, and below a tenth with two digits that count.

    >>> sized(0.25), sized(0.0023), sized(0.0)
    ('0.25', '0.0023', '0.00')
    """
    digits = 2
    while value > 0 and value * 10 ** (digits - 1) < 1:
        digits += 1
    return fixed(value, digits)


def apart(one: float, other: float) -> float:
    """How far two numbers are apart on a logarithmic axis."""
    return abs(math.log(one) - math.log(other))
