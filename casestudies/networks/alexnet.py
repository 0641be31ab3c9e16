"""AlexNet: Krizhevsky, Sutskever & Hinton (2012), "ImageNet Classification with Deep Convolutional Neural
Networks", NIPS 2012; and the one-tower network of Krizhevsky (2014), https://arxiv.org/abs/1404.5997.

The idea: a large LeNet on two GPUs. What made it trainable: ReLU, dropout, overlapping pooling, response
normalisation, a million images.
Shapes are (batch, channels, height, width).

Three networks go by the name:
    60,965,224 parameters   `AlexNet2012`: the paper's, whose towers meet only in layer 3 and from fc6 on;
    62,378,344              the same widths without towers (groups=1): often quoted, never published;
    61,100,840              `AlexNet`: the one tower of 2014, as in torchvision.

The program of 2012 is public: https://github.com/computerhistory/AlexNet-Source-Code (files `layer.py` and
`layers/layers-145.cfg`). `AlexNet2012` follows the paper as printed where the two part.

Departures from the paper, `AlexNet2012`:
- Images are 227 x 227. The paper's are 224 x 224: its program rounds the side of a grid up, 1 + ceil((224 - 11) / 4)
  = 55, and the last window hangs over the edge. PyTorch rounds down, and there 227 gives the 55 x 55 grid.
- The paper counts 253,440 neurons in layer 1; 55 x 55 x 96 = 290,400. Its total of 650,000 is neither sum: that
  is 659,272 with our number and 622,312 with the printed one.
- The two towers are the two groups of a grouped convolution. The response norm runs over all channels of
  both, where on two GPUs each normalised its own half.
Where the program departs from the paper, and `AlexNet2012` does not follow it: in layer 1 the response norm stands
before the ReLU; layer 2 has a second response norm, over the neighbourhood inside each map; alpha is divided by the
5 channels of the window; weights of layers 3 to 5 start with a standard deviation of 0.03.
Departures, `AlexNet`: as in torchvision, whose weights it loads by order: no response norm, and dropout
before fc6 and fc7 rather than after them.
"""

from __future__ import annotations

from torch import Tensor, nn


def response_norm() -> nn.LocalResponseNorm:
    """Sec. 3.3: b = a / (k + alpha sum a^2)^beta over 5 channels.

    There k = 2, alpha = 1e-4, beta = 0.75.

    PyTorch divides alpha by n, the printed equation does not: its 1e-4 is PyTorch's 5e-4.
    The program of 2012 divides as well; what it computed is PyTorch's 1e-4.
    """
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)


class AlexNetTrunk(nn.Sequential):
    """The five convolutional layers of fig. 2: (B, 3, 227, 227) -> (B, 256, 6, 6).

    Pooling overlaps: windows of 3 at a distance of 2 (sec. 3.4).
    `groups` is the number of towers.
    """

    def __init__(self, groups: int = 2) -> None:
        super().__init__(
            nn.Conv2d(3, 96, 11, stride=4),  # (B, 96, 55, 55)
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, stride=2),  # (B, 96, 27, 27)
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, stride=2),  # (B, 256, 13, 13)
            nn.Conv2d(256, 384, 3, padding=1),  # the towers exchange here
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (B, 256, 6, 6)
        )


class AlexNet2012(nn.Module):
    """Fig. 2: (B, 3, 227, 227) -> logits (B, num_classes)."""

    def __init__(self, num_classes: int = 1000, groups: int = 2) -> None:
        super().__init__()
        self.trunk = AlexNetTrunk(groups)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(256 * 6 * 6, 4096),  # fc6
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),  # fc7
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),  # fc8
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.trunk(x))


def initialise(network: AlexNet2012) -> None:
    """Sec. 5: weights N(0, 0.01^2); biases 1 in layers 2, 4, 5, fc6 and fc7, so that their ReLUs start on."""
    layers = [module for module in network.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    for layer, bias in zip(layers, (0.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 0.0), strict=True):
        nn.init.normal_(layer.weight, std=0.01)
        if layer.bias is not None:
            nn.init.constant_(layer.bias, bias)


class AlexNet(nn.Module):
    """The one tower of 2014: (B, 3, 224, 224) -> logits (B, num_classes). Layers in torchvision's order."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),  # (B, 64, 55, 55)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (B, 64, 27, 27)
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (B, 192, 13, 13)
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (B, 256, 6, 6)
        )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(6),  # does nothing at 224; other sizes fit too
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def alexnet_2012(num_classes: int = 1000, groups: int = 2) -> AlexNet2012:
    """The network of 2012; with `groups=1`, its widths in one tower.

    >>> import torch
    >>> with torch.device("meta"):  # shapes without weights
    ...     network = alexnet_2012()
    >>> sum(p.numel() for p in network.parameters())
    60965224
    """
    if groups not in (1, 2):
        raise ValueError(f"groups is {groups!r}; AlexNet has 2 towers, or 1 for comparison")
    return AlexNet2012(num_classes, groups)


def alexnet(num_classes: int = 1000) -> AlexNet:
    """The network of 2014.

    >>> import torch
    >>> with torch.device("meta"):  # shapes without weights
    ...     network = alexnet()
    >>> sum(p.numel() for p in network.parameters())
    61100840
    """
    return AlexNet(num_classes)
