"""All networks by name: what they are, what was published about them, building them, and pretrained weights.

>>> sum(parameter.numel() for parameter in build("resnet18").parameters())
11689512
>>> build("resnet5O")
Traceback (most recent call last):
ValueError: name is 'resnet5O'; did you mean 'resnet50'? `casestudies networks` lists all names
"""

from casestudies.zoo.building import build, skeleton
from casestudies.zoo.published import PAPERS, PUBLISHED, Paper, Published
from casestudies.zoo.variants import SHORT, SPELLINGS, VARIANTS, Variant, canonical, names, variant

__all__ = [
    "PAPERS", "PUBLISHED", "SHORT", "SPELLINGS", "VARIANTS", "Paper", "Published", "Variant", "build", "canonical",
    "names", "skeleton", "variant",
]  # fmt: skip
