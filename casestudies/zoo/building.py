"""Networks by name: with weights, or as skeletons that have only shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from casestudies.zoo.pretrained import load_pretrained
from casestudies.zoo.variants import variant, whole_number


def build(name: str, num_classes: int | None = None, pretrained: bool = False, **options: Any) -> nn.Module:
    """A network by name, with random weights or, with `pretrained=True`, with published ones.

    The name is one of `names()`, or another usual spelling of one, such as "ResNet-18". Published weights expect
    images as `casestudies.zoo.pretrained.preprocess` makes them; size, mean and deviation differ between networks.

    `num_classes` is 1000 unless given, 10 for networks of digits or CIFAR-10; further options go to the network's own
    factory.
    Raises ValueError for an unknown name or option, for num_classes below 1, and for pretrained weights of a network
    that has none or with a number of classes other than theirs; DownloadError (an OSError) where the weights, which
    are fetched at the first use and kept, cannot be had.
    """
    row = variant(name)
    if num_classes is not None:
        num_classes = whole_number("num_classes", num_classes)
    if not isinstance(pretrained, bool):
        raise TypeError(f"pretrained is {pretrained!r} ({type(pretrained).__name__}); expected True or False")
    if not pretrained:
        return row.build(num_classes, **options)
    if num_classes not in (None, row.num_classes):
        raise ValueError(
            f"num_classes is {num_classes}, but the pretrained weights of {name} have {row.num_classes} classes; "
            "build it without num_classes and replace its last layer"
        )
    network = row.build(**options)
    load_pretrained(name, network)
    return network


def skeleton(name: str, num_classes: int | None = None) -> nn.Module:
    """A network on the meta device: shapes without weights, for ledgers and drawings. It costs no memory.

    >>> next(skeleton("vgg19").parameters()).is_meta
    True
    """
    with torch.device("meta"), _NothingToFill():
        return build(name, num_classes)


class _NothingToFill(TorchFunctionMode):
    """Leaves out the filling of weights and statistics with numbers: on the meta device there is nothing to fill."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        # A mode is off while it handles a call, so what nn.init does inside must be caught here.
        if func in _FILLING:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


_FILLING = {Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_} | {
    function for name, function in vars(nn.init).items() if name.endswith("_") and callable(function)
}
