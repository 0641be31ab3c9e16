"""Photographs that scikit-learn and scikit-image bring along, for networks that have learned from photographs.

    photograph("cat")          # a PIL image; nothing is downloaded

`pip install scikit-image scikit-learn` brings them both.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Source:
    """Where a photograph lies in a package, and whose it is."""

    package: str
    file: str
    credit: str


PHOTOGRAPHS = {
    "cat": Source("skimage", "data/chelsea.png", "Stéfan van der Walt, CC0 (scikit-image)"),
    "coffee": Source("skimage", "data/coffee.png", "Rachel Michetti, CC0 (scikit-image)"),
    "rocket": Source("skimage", "data/rocket.jpg", "SpaceX, CC0 (scikit-image)"),
    "motorcycle": Source("skimage", "data/motorcycle_left.png", "D. Scharstein, CC0 (scikit-image)"),
    "palace": Source("sklearn", "datasets/images/china.jpg", "danielbuechele, CC BY 2.0 (scikit-learn)"),
    "flower": Source("sklearn", "datasets/images/flower.jpg", "vultilion, CC BY 2.0 (scikit-learn)"),
}


def photograph(name: str) -> Image:
    """A photograph by name, in colour; ValueError for an unknown name or where its package is missing."""
    from PIL import Image as PillowImage

    if name not in PHOTOGRAPHS:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(PHOTOGRAPHS)}")
    source = PHOTOGRAPHS[name]
    spec = importlib.util.find_spec(source.package)
    if spec is None or spec.origin is None:
        raise ValueError(
            f"the photograph {name!r} is in the package {source.package}, which is not installed; "
            f"install it with `pip install {source.package.replace('sk', 'scikit-')}`"
        )
    with PillowImage.open(Path(spec.origin).parent / source.file) as opened:
        return opened.convert("RGB")
