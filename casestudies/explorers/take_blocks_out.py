"""Take blocks out of a trained plain and a trained residual network, in the page, and see what is left.

    from casestudies.explorers import TakeBlocksOut
    from casestudies.explorers.take_blocks_out import train_pair
    TakeBlocksOut(*train_pair())

Both have 20 layers, like `cifar_resnet(20)`, and three eighths of its width, so that their weights fit into a page.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, TypedDict

import torch
import torch.nn.functional as F
import traitlets
from torch import Tensor, nn

from casestudies.data import DIGITS_SIDE, digits
from casestudies.explorers.base import Explorer, fixed, module
from casestudies.explorers.draw_a_digit import LEVELS, MOST, halves, letters
from casestudies.networks.resnet import BasicBlock, PlainBlock, conv_bn, initialise, residual_stage
from casestudies.training import train

WIDTH, BLOCKS, STAGES = 6, 3, 3
# The first block of a stage changes the shapes and has to stay; the others can go: (stage, block), both from 0.
REMOVABLE = [(stage, block) for stage in range(STAGES) for block in range(1, BLOCKS)]
RECIPE: dict[str, Any] = {"epochs": 12, "batch_size": 64, "lr": 0.05, "schedule": "cosine"}
BATCH = 200  # training digits from which statistics are computed anew


class SmallNetwork(nn.Module):
    """(B, 1, 8, 8) -> logits (B, 10): three stages of three blocks, 20 layers, residual (option A) or plain."""

    def __init__(self, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        block, options = (BasicBlock, {"option": "A"}) if residual else (PlainBlock, {})
        self.stem = nn.Sequential(conv_bn(1, WIDTH, 3), nn.ReLU())  # (B, 6, 8, 8)
        self.stages = nn.Sequential(
            residual_stage(block, WIDTH, WIDTH, BLOCKS, 1, **options),  # (B, 6, 8, 8)
            residual_stage(block, WIDTH, 2 * WIDTH, BLOCKS, 2, **options),  # (B, 12, 4, 4)
            residual_stage(block, 2 * WIDTH, 4 * WIDTH, BLOCKS, 2, **options),  # (B, 24, 2, 2)
        )
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * WIDTH, 10))
        initialise(self)

    @property
    def blocks(self) -> list[nn.Sequential]:
        """The stages, each a sequence of blocks."""
        return [stage for stage in self.stages if isinstance(stage, nn.Sequential)]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stages(self.stem(x)))


def train_pair(seed: int = 0, **recipe: Any) -> tuple[SmallNetwork, SmallNetwork]:
    """The residual and the plain network, trained alike on the digits: about half a minute on a CPU.

    `recipe` changes what RECIPE says, such as `epochs=4`.
    """
    made = []
    for residual in (True, False):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SmallNetwork(residual)
        train(network, digits(DIGITS_SIDE), seed=seed, **{**RECIPE, **recipe})
        made.append(network.eval())
    return made[0], made[1]


def numbers_of(network: nn.Module) -> list[Tensor]:
    """Weights, and of each batch norm gamma, beta, mean and variance, in the order of the network."""
    return [value for name, value in network.state_dict().items() if not name.endswith("num_batches_tracked")]


def rounded(network: SmallNetwork) -> SmallNetwork:
    """A copy in double precision whose numbers are those of half precision."""
    made = SmallNetwork(network.residual).double().eval()
    state = network.state_dict()
    made.load_state_dict({n: v.half().double() if v.is_floating_point() else v for n, v in state.items()})
    return made


class Weakened(nn.Module):
    """A shortcut that carries `strength` times its input."""

    def __init__(self, strength: float) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, x: Tensor) -> Tensor:
        return self.strength * x


class Pixels(TypedDict):
    """Digits as letters, as the page holds them, and their normalisation, in levels."""

    test: str
    labels: str
    train: str
    scale: list[float]


@cache
def pixels() -> Pixels:
    """The test digits, and training digits for the statistics, as letters; and the normalisation, in levels."""
    data = digits(DIGITS_SIDE)
    low, high = data.train_x.min().item(), data.train_x.max().item()
    std = MOST / (high - low)

    def text(x: Tensor) -> str:
        return "".join(letters(image[0]) for image in ((x - low) * std).round())

    return {
        "test": text(data.test_x),
        "labels": "".join(str(int(label)) for label in data.test_y),
        "train": text(data.train_x[:BATCH]),
        "scale": [-low * std, std],
    }


@cache
def images() -> tuple[Tensor, Tensor, Tensor]:
    """The test digits, their labels, and the training digits, as the page has them: in double precision."""
    mean, std = pixels()["scale"]

    def read(text: str) -> Tensor:
        levels = torch.tensor([LEVELS.index(letter) for letter in text], dtype=torch.float64)
        return ((levels - mean) / std).view(-1, 1, DIGITS_SIDE, DIGITS_SIDE)

    labels = torch.tensor([int(digit) for digit in pixels()["labels"]])
    return read(pixels()["test"]), labels, read(pixels()["train"])


@dataclass(frozen=True)
class DamageFigures:
    """What is left of a network: the test digits that it reads wrongly, and what one digit meets in it."""

    wrong: int
    digits: int
    shares: Tensor  # (10,) of the shown digit
    maps: tuple[Tensor, ...]  # after the stem and after each of the nine blocks, (C, H, W)


class TakeBlocksOut(Explorer):
    """Blocks taken out, shortcuts weakened, statistics computed anew or not -> the error on the test digits."""

    title = "Take blocks out"
    _esm = module("take_blocks_out", "tensors")

    network = traitlets.Enum(["residual", "plain"], "residual").tag(sync=True)
    out = traitlets.List(
        traitlets.Int(min=0, max=len(REMOVABLE) - 1), help="indices into REMOVABLE, ascending"
    ).tag(sync=True)
    strength = traitlets.Float(1.0, min=0.0, max=1.0, help="of the shortcuts").tag(sync=True)
    statistics = traitlets.Enum(["stored", "recomputed"], "stored").tag(sync=True)
    digit = traitlets.Int(0, min=0, help="the test digit whose maps are shown").tag(sync=True)
    weights = traitlets.Dict(help="half-precision numbers in base64, for each network").tag(sync=True)
    shapes: traitlets.List[Any] = traitlets.List(help="their shapes, the same for both").tag(sync=True)
    pixels = traitlets.Dict(help="test and training digits, a letter a pixel").tag(sync=True)

    def __init__(self, residual: SmallNetwork, plain: SmallNetwork, **options: Any) -> None:
        """`residual` and `plain` are trained, as `train_pair` gives them."""
        for name, given, wanted in (("residual", residual, True), ("plain", plain, False)):
            if not isinstance(given, SmallNetwork) or given.residual is not wanted:
                raise TypeError(
                    f"{name} is {type(given).__name__}"
                    f"{f'(residual={given.residual})' if isinstance(given, SmallNetwork) else ''}; "
                    f"expected SmallNetwork(residual={wanted}), trained: see train_pair"
                )
        super().__init__(
            weights={"residual": halves(numbers_of(residual)), "plain": halves(numbers_of(plain))},
            shapes=[list(value.shape) for value in numbers_of(residual)],
            pixels=pixels(),
            **options,
        )
        self._networks = {"residual": rounded(residual), "plain": rounded(plain)}
        self.compute = lru_cache(maxsize=64)(self._compute)

    @traitlets.validate("digit")
    def _exists(self, proposal: Any) -> int:
        count = len(images()[0])
        if proposal["value"] >= count:
            raise traitlets.TraitError(
                f"digit is {proposal['value']}; there are {count}, from 0 to {count - 1}"
            )
        return proposal["value"]

    def damaged(self, network: str, out: tuple[int, ...], strength: float, statistics: str) -> SmallNetwork:
        """A copy of a network with these blocks taken out, in evaluation mode."""
        made = copy.deepcopy(self._networks[network])
        for index in out:
            stage, block = REMOVABLE[index]
            made.blocks[stage][block] = nn.Identity()
        if network == "residual":
            for part in list(made.modules()):
                if isinstance(part, BasicBlock) and isinstance(part.shortcut, nn.Identity):
                    part.shortcut = Weakened(strength)
        if (
            statistics == "recomputed"
        ):  # what each norm sees of one batch takes the place of what it has stored
            norms = [part for part in made.modules() if isinstance(part, nn.BatchNorm2d)]
            for norm in norms:
                norm.momentum = 1.0
            made.train()
            with torch.no_grad():
                made(images()[2])
        return made.eval()

    def _compute(
        self, network: str, out: tuple[int, ...], strength: float, statistics: str, digit: int
    ) -> DamageFigures:
        made, (x, y, _) = self.damaged(network, out, strength, statistics), images()
        with torch.no_grad():
            logits = made(x)
            maps = [made.stem(x[digit : digit + 1])]
            for stage in made.blocks:
                for block in stage:
                    maps.append(block(maps[-1]))
        wrong = int((logits.argmax(1) != y).sum())
        return DamageFigures(wrong, len(y), F.softmax(logits[digit], 0), tuple(one[0] for one in maps))

    def figures(self) -> DamageFigures:
        """What is left at the present settings."""
        out = tuple(sorted(set(self.out)))
        return self.compute(self.network, out, self.strength, self.statistics, self.digit)

    def sentence(self) -> str:
        now = self.figures()
        gone = [f"{stage + 1}.{block + 1}" for stage, block in (REMOVABLE[i] for i in sorted(set(self.out)))]
        said = f"The {self.network} network "
        said += (
            f"without block{'s' if len(gone) > 1 else ''} {', '.join(gone)}"
            if gone
            else "with all its blocks"
        )
        if self.network == "residual" and self.strength < 1:
            said += f", its shortcuts × {fixed(self.strength, 2)}"
        said += f", {self.statistics} statistics: {now.wrong} of {now.digits} test digits are read wrongly "
        said += f"({fixed(100 * now.wrong / now.digits, 1)} %). "
        label, answer = self.pixels["labels"][self.digit], int(now.shares.argmax())
        return said + f"It reads this {label} as {answer} ({fixed(100 * now.shares.max().item(), 1)} %)."
