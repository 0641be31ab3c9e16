"""Pretrained weights under the name that they had: see `casestudies.zoo.pretrained` and `.classify`."""

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
