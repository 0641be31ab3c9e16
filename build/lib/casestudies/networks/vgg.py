"""VGG: Simonyan & Zisserman (2014), https://arxiv.org/abs/1409.1556.

The idea: nothing but 3x3. Two of them see what one 5x5 sees, three what one 7x7 sees, with fewer weights and
more non-linearities between. Halve the grid, double the channels, and go deeper.
Shapes are (batch, channels, height, width).

Departures from the paper:
- Weights start as in He et al. (2015), which is younger; the paper starts its deep networks from trained layers of
  network A, and notes afterwards that the weights of Glorot & Bengio (2010) do without that.
- `batch_norm` is not in the paper, which is older. torchvision has these networks and weights for them.
- An adaptive pool to 7 x 7 before the classifier, as in torchvision: it does nothing to images of 224 x 224,
  and lets other sizes in. The paper's networks are applied densely to larger images, and their error rates
  are measured so; torchvision's are of one central crop.
Configuration A-LRN, which the paper found to bring nothing, is left out.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

Item = int | Literal["M"] | tuple[int, int]

# Table 1 without column A-LRN: channels of the 3x3 convolutions; "M" is a 2x2 max pool. C has
# three 1x1 convolutions, written as (channels, kernel).
CONFIGURATIONS: dict[str, list[Item]] = {
    "A": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "B": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "C": [64, 64, "M", 128, 128, "M", 256, 256, (256, 1), "M",
          512, 512, (512, 1), "M", 512, 512, (512, 1), "M"],
    "D": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M",
          512, 512, 512, "M", 512, 512, 512, "M"],
    "E": [64, 64, "M", 128, 128, "M", 256, 256, 256, 256, "M",
          512, 512, 512, 512, "M", 512, 512, 512, 512, "M"],
}  # fmt: skip


def vgg_features(
    config: list[Item],
    in_channels: int = 3,
    batch_norm: bool = False,
) -> nn.Sequential:
    """The convolutions: (B, in_channels, H, W) -> (B, channels, H / 2^pools, W / 2^pools)."""
    layers: list[nn.Module] = []
    for item in config:
        if item == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        out_channels, kernel = item if isinstance(item, tuple) else (item, 3)
        padding = kernel // 2  # keeps the grid
        layers.append(nn.Conv2d(in_channels, out_channels, kernel, padding=padding))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU())
        in_channels = out_channels
    return nn.Sequential(*layers)


def vgg_block(num_convs: int, in_channels: int, out_channels: int) -> nn.Sequential:
    """A row of Table 1: `num_convs` times 3x3 and ReLU, then a pool that halves the grid."""
    return vgg_features([*[out_channels] * num_convs, "M"], in_channels)


class VGG(nn.Module):
    """A column of Table 1: (B, 3, 224, 224) -> logits (B, num_classes)."""

    def __init__(self, config: list[Item], num_classes: int = 1000, batch_norm: bool = False) -> None:
        super().__init__()
        self.features = vgg_features(config, 3, batch_norm)  # (B, 512, 7, 7)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(7),
            nn.Flatten(),
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


def initialise(network: nn.Module) -> None:
    """Convolutions as in He et al. (2015), https://arxiv.org/abs/1502.01852; linear layers N(0, 0.01^2)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.zeros_(module.bias)


def vgg(configuration: str, num_classes: int = 1000, batch_norm: bool = False) -> VGG:
    """A column of Table 1: "A" (VGG-11), "B" (13), "C" and "D" (16), "E" (19).

    >>> import torch
    >>> with torch.device("meta"):  # shapes without weights
    ...     network = vgg("D")
    >>> sum(p.numel() for p in network.parameters())
    138357544
    """
    if configuration not in CONFIGURATIONS:
        raise ValueError(
            f"configuration is {configuration!r}; Table 1 has {', '.join(CONFIGURATIONS)} "
            "(VGG-11, 13, 16 with 1x1, 16, 19)"
        )
    return VGG(CONFIGURATIONS[configuration], num_classes, batch_norm)
