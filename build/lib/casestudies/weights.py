"""The former name of `casestudies.zoo.pretrained` and `.classify`; imports of it go on working."""

from casestudies.zoo.classify import add_parser, best, class_names, classify
from casestudies.zoo.pretrained import (
    MEAN,
    STD,
    URL,
    WEIGHTS,
    Weights,
    fill,
    load_pretrained,
    preprocess,
    read_state,
    weights_of,
)

__all__ = [
    "MEAN", "STD", "URL", "WEIGHTS", "Weights", "add_parser", "best", "class_names", "classify", "fill",
    "load_pretrained", "preprocess", "read_state", "weights_of",
]  # fmt: skip
