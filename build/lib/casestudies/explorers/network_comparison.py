"""All networks on one chart, with any two measures as its axes.

from casestudies.explorers import NetworkComparison
NetworkComparison(x="macs", y="error", selected="resnet50")
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import traitlets

from casestudies import costs, zoo
from casestudies.explorers.base import Explorer, fixed, module
from casestudies.language import message

NETWORKS = (
    "alexnet_2012 alexnet nin_imagenet vgg11 vgg16 vgg19 googlenet googlenet_torchvision resnet18 resnet34 resnet50 "
    "resnet101 resnet152 mobilenet_v1 mobilenet_v2 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 "
    "efficientnet_b4"
).split()

# key: (name, unit, decimals, logarithmic axis)
MEASURES: dict[str, tuple[str, str, int, bool]] = {
    "year": (message("year"), "", 0, False),
    "parameters": (message("parameters"), "", 0, True),
    "macs": (message("MACs"), "", 0, True),
    "memory": (message("activations"), "MB", 1, True),
    "depth": (message("layers with weights"), "", 0, True),
    "intensity": (message("MACs per number moved"), "", 1, True),
    "error": (message("top-1 error, torchvision’s weights"), "%", 1, False),
    "published": (message("top-1 error, first published"), "%", 1, False),
}


@cache
def measure(name: str) -> dict[str, Any]:
    """What is known of a network: its ledger's totals and its published errors. None where there is no figure.

    `intensity` counts each parameter and each activation as moved once, an image at a time.
    """
    variant = zoo.variant(name)
    ledger = costs.ledger(zoo.skeleton(name), variant.image)
    printed = [one for one in variant.published if one.top1 is not None]
    # Only where the errors were found at the size that is counted: EfficientNet-B2 is counted at 260, tested at 288.
    tested = f" of {variant.image[1]}"
    ours = [one.top1 for one in printed if one.source == "torchvision" and one.protocol.endswith(tested)]
    first = printed[0] if printed else None
    return {
        "name": name,
        "family": variant.family,
        "image": variant.image[1],
        "year": variant.year,
        "parameters": ledger.parameters,
        "macs": ledger.macs,
        "memory": ledger.activation_memory / 1e6,
        "depth": ledger.depth,
        "intensity": ledger.macs / (ledger.parameters + ledger.activations),
        "error": ours[0] if ours else None,
        "published": first.top1 if first else None,
        "protocol": f"{first.protocol}; {first.source}" if first else "",
    }


def shown(value: float, key: str) -> str:
    """A figure with its unit, as the page writes it."""
    _, unit, decimals, _ = MEASURES[key]
    if key == "year":
        return str(value)
    text = f"{value:,}" if decimals == 0 else fixed(value, decimals)
    return f"{text} {unit}".strip()


class NetworkComparison(Explorer):
    """Two measures as axes, one dot a network; the selected one's ledger in words."""

    title = "Compare the networks"
    _esm = module("network_comparison")

    x = traitlets.Enum(list(MEASURES), "macs").tag(sync=True)
    y = traitlets.Enum(list(MEASURES), "error").tag(sync=True)
    selected = traitlets.Unicode("", help="the network that is described").tag(sync=True)
    networks: traitlets.List[Any] = traitlets.List(help="one dictionary a network; see `measure`").tag(
        sync=True
    )
    measures = traitlets.Dict({key: list(row) for key, row in MEASURES.items()}).tag(sync=True)

    def __init__(self, names: Iterable[str] = NETWORKS, selected: str = "", **options: Any) -> None:
        """`names` are compared; `selected` is described first."""
        networks = [measure(name) for name in names]
        super().__init__(networks=networks, selected=selected or networks[-1]["name"], **options)

    @traitlets.validate("selected")
    def _known(self, proposal: Any) -> str:
        known = [network["name"] for network in self.networks]
        if known and proposal["value"] not in known:
            raise traitlets.TraitError(
                f"selected is {proposal['value']!r}; this explorer compares {', '.join(known)}"
            )
        return proposal["value"]

    def figures(self) -> dict[str, Any]:
        """All measures of the selected network."""
        return measure(self.selected)

    def sentence(self) -> str:
        if self.x == self.y:
            return f"Both axes show {MEASURES[self.x][0]}: choose two different measures."
        one = self.figures()
        said = f"{self.selected} ({one['family']}, {one['year']})"
        for key in (self.x, self.y):
            if one[key] is None:
                return f"{said}: nothing is known of its {MEASURES[key][0]}."
        others = [n for n in self.networks if n["name"] != self.selected]
        others = [n for n in others if n[self.x] is not None and n[self.y] is not None]
        less = sum(n[self.x] < one[self.x] for n in others)
        lower = sum(n[self.y] < one[self.y] for n in others)
        return (
            f"{said}: {MEASURES[self.x][0]} {shown(one[self.x], self.x)}, "
            f"{MEASURES[self.y][0]} {shown(one[self.y], self.y)}. "
            f"Of {len(others)} others, {less} are below it in the first and {lower} in the second. "
            f"Its ledger: {one['parameters']:,} parameters, {one['macs']:,} MACs, "
            f"{shown(one['memory'], 'memory')} of activations, {one['depth']} layers with weights."
        )
