"""LeNet-5: LeCun, Bottou, Bengio & Haffner (1998), https://doi.org/10.1109/5.726791.

The idea: learn the features too. Small filters, shared over the image, alternate with subsampling, until the
image is one pixel of many features; everything is trained by gradient descent.
Shapes are (batch, channels, height, width).

Two networks. `LeNet5Original` follows sec. II-B: 60,000 parameters. `LeNet5` is what most people know under
the name: 61,706 parameters. The difference of 1,706 is
    + 900   C3 sees all six maps of S2 (2,416 parameters), not the selection of Table I (1,516),
    -  44   S2 and S4 lose their coefficient and bias per map (12 and 32),
    + 850   the output is a trained linear layer (84 x 10 + 10), not fixed radial basis functions.

Departures from the paper:
- `LeNet5Original` returns minus the penalties of its radial basis functions, so that here, as in every other
  network, the largest output wins. The bitmaps of the ten digits are our own drawings (fig. 3 shows 96
  characters). The squashing function follows every layer up to F6, S2 and S4 included; where the paper says
  "sigmoidal function" there, we read eq. (6), the scaled tanh, as everywhere else.
- `LeNet5` departs as listed above, and has the plain tanh and the plain average in place of the scaled tanh
  and the trained subsampling. The error rates of the paper belong to the original.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# ------------------------------------------------------------------------------------------------ modern


class LeNet5(nn.Module):
    """(B, in_channels, 32, 32) -> logits (B, num_classes).

    `maps` are the channels of C1 and C3. With `padding=2`, images of 28 x 28 give the same
    grids.
    """

    def __init__(
        self,
        num_classes: int = 10,
        in_channels: int = 1,
        maps: tuple[int, int] = (6, 16),
        padding: int = 0,
    ) -> None:
        super().__init__()
        c1, c3 = maps
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, c1, 5, padding=padding),  # C1: (B, 6, 28, 28)
            nn.Tanh(),
            nn.AvgPool2d(2),  # S2: (B, 6, 14, 14)
            nn.Conv2d(c1, c3, 5),  # C3: (B, 16, 10, 10)
            nn.Tanh(),
            nn.AvgPool2d(2),  # S4: (B, 16, 5, 5)
            nn.Conv2d(c3, 120, 5),  # C5: (B, 120, 1, 1), a linear layer in disguise
            nn.Tanh(),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(120, 84),  # F6
            nn.Tanh(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x))


# ----------------------------------------------------------------------------------------------- original

# Table I: the maps of S2 that each of the 16 maps of C3 sees. Six see three neighbours, six see four, three
# see four with a gap, one sees all: 60 connections of 96, which breaks the symmetry between the maps.
C3_INPUTS = [
    (0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5),
    (0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5),
    (0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5),
    (0, 1, 2, 3, 4, 5),
]  # fmt: skip

# The target of each digit: 7 x 12 pixels, the 84 units of F6. Similar characters have similar codes.
DIGITS = """
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
..###..  ...#...  ..###..  .#####.  .....#.  .######  ...###.  #######  ..###..  ..###..
.#...#.  ..##...  .#...#.  .....#.  ....##.  .#.....  ..#....  ......#  .#...#.  .#...#.
#.....#  .#.#...  #.....#  ....#..  ...#.#.  .#.....  .#.....  .....#.  #.....#  #.....#
#.....#  ...#...  ......#  ...#...  ..#..#.  .#.....  #......  .....#.  #.....#  #.....#
#.....#  ...#...  .....#.  ..###..  .#...#.  .#####.  #.###..  ....#..  .#...#.  .#....#
#.....#  ...#...  ....#..  .....#.  #....#.  ......#  ##...#.  ....#..  ..###..  ..####.
#.....#  ...#...  ...#...  ......#  #######  ......#  #.....#  ...#...  .#...#.  ......#
#.....#  ...#...  ..#....  ......#  .....#.  ......#  #.....#  ...#...  #.....#  .....#.
.#...#.  ...#...  .#.....  #....#.  .....#.  #....#.  .#...#.  ..#....  .#...#.  ....#..
..###..  .#####.  #######  .####..  .....#.  .####..  ..###..  ..#....  ..###..  .###...
.......  .......  .......  .......  .......  .......  .......  .......  .......  .......
"""


def bitmaps() -> Tensor:
    """The ten digits as (10, 84), ink +1 and paper -1.

    >>> bitmaps().shape
    torch.Size([10, 84])
    """
    rows = [line.split() for line in DIGITS.split("\n") if line]  # 12 rows of 10 digits of 7 pixels
    digits = ["".join(column) for column in zip(*rows, strict=True)]
    return torch.tensor([[1.0 if pixel == "#" else -1.0 for pixel in digit] for digit in digits])


def squash(a: Tensor) -> Tensor:
    """A tanh(S a), eq. (6), with A = 1.7159 and S = 2/3, so that squash(1) = 1 and squash(-1) = -1."""
    return 1.7159 * torch.tanh(2 / 3 * a)


class Subsampling(nn.Module):
    """The sum of each 2 x 2 square, times a trained coefficient, plus a trained bias, one of each a map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient = nn.Parameter(torch.ones(maps, 1, 1))
        self.bias = nn.Parameter(torch.zeros(maps, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        total = F.avg_pool2d(x, 2, divisor_override=1)  # a sum: nothing is divided
        return self.coefficient * total + self.bias  # (B, C, H/2, W/2)


class PartialConv(nn.Module):
    """C3: a 5x5 convolution in which each output map sees only some of the input maps (Table I)."""

    def __init__(self, inputs: list[tuple[int, ...]], kernel: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.maps = nn.ModuleList([nn.Conv2d(len(maps), 1, kernel) for maps in inputs])

    def forward(self, x: Tensor) -> Tensor:
        seen = (x[:, maps] for maps in self.inputs)
        return torch.cat([conv(s) for conv, s in zip(self.maps, seen, strict=True)], dim=1)


class RadialBasis(nn.Module):
    """Eq. (7): the squared distance between the 84 features and the bitmap of each digit, not trained."""

    prototypes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("prototypes", bitmaps())  # (10, 84)

    def forward(self, x: Tensor) -> Tensor:
        return ((x[:, None] - self.prototypes) ** 2).sum(dim=2)  # (B, 10)


class LeNet5Original(nn.Module):
    """Sec. II-B, fig. 2: (B, 1, 32, 32) -> logits (B, 10), minus the penalties y of eq. (7)."""

    def __init__(self) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(1, 6, 5)  # (B, 6, 28, 28)
        self.s2 = Subsampling(6)  # (B, 6, 14, 14)
        self.c3 = PartialConv(C3_INPUTS, 5)  # (B, 16, 10, 10)
        self.s4 = Subsampling(16)  # (B, 16, 5, 5)
        self.c5 = nn.Conv2d(16, 120, 5)  # (B, 120, 1, 1)
        self.f6 = nn.Linear(120, 84)
        self.output = RadialBasis()
        initialise(self)

    def penalties(self, x: Tensor) -> Tensor:
        """y of eq. (7): the smallest is the network's answer."""
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5):
            x = squash(layer(x))
        return self.output(squash(self.f6(x.flatten(1))))

    def forward(self, x: Tensor) -> Tensor:
        return -self.penalties(x)


def initialise(network: nn.Module) -> None:
    """Uniform between -2.4 / F and 2.4 / F, where F is the number of inputs of a unit (appendix A).

    A coefficient of a subsampling layer has four inputs; it starts positive, as the sum has a meaning.
    """
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            bound = 2.4 / module.weight[0].numel()
            nn.init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                nn.init.uniform_(module.bias, -bound, bound)
        elif isinstance(module, Subsampling):
            nn.init.uniform_(module.coefficient, 0, 2.4 / 4)


def competitive_loss(logits: Tensor, labels: Tensor, j: float = 0.1) -> Tensor:
    """Eq. (9): mean of y_D + log(exp(-j) + sum_i exp(-y_i)), where y = -logits and D is the label.

    It pulls the right penalty down and pushes the others up; j stands for the inputs that are no digit and
    keeps penalties that are already large from being pushed further.
    """
    reject = torch.full_like(logits[:, :1], -j)
    right = logits.gather(1, labels[:, None]).squeeze(1)
    return (torch.cat([logits, reject], dim=1).logsumexp(dim=1) - right).mean()


def lenet5(
    num_classes: int = 10, in_channels: int = 1, maps: tuple[int, int] = (6, 16), padding: int = 0
) -> LeNet5:
    """The modern network.

    >>> sum(p.numel() for p in lenet5().parameters())
    61706
    """
    return LeNet5(num_classes, in_channels, maps, padding)


def lenet5_original(num_classes: int = 10) -> LeNet5Original:
    """The network of 1998.

    >>> sum(p.numel() for p in lenet5_original().parameters())
    60000
    """
    if num_classes != 10:
        raise ValueError(
            f"num_classes is {num_classes!r}; the original LeNet-5 has a bitmap for each of the 10 digits "
            "and no other output; lenet5 takes any number"
        )
    return LeNet5Original()
