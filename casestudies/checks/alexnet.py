"""Checks of the assignment `alexnet`: grouped convolutions, the trunk of 2012, where the parameters are, and the
response norm.

The functions and the network are cut into methods, one decision each; a mistake overrides one of them.
Mistakes that override different methods can then also be made together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import (
    Call,
    Dice,
    Formula,
    Group,
    Reference,
    Space,
    Values,
    as_function,
    call,
    mistake,
    part,
)
from casestudies.sandboxed.messages import LayerSpec, ModuleSpec

# --------------------------------------------------------------------------- the cost of a grouped convolution


def grouped_conv_macs(
    in_channels: int, out_channels: int, kernel: int, height: int, width: int, groups: int = 1
) -> int:
    return (in_channels // groups) * kernel**2 * out_channels * height * width


def ungrouped(dice: Dice) -> Iterator[Call]:
    yield call(3, 96, 11, 55, 55)  # layer 1
    for _ in range(3):
        yield call(dice.integer(2, 9), dice.integer(11, 40), dice.integer(2, 7), *two_sides(dice))


def two_groups(dice: Dice) -> Iterator[Call]:
    yield call(96, 256, 5, 27, 27, groups=2)  # layer 2
    yield call(384, 256, 3, 13, 13, 2)  # layer 5
    for _ in range(2):
        channels = 2 * dice.integer(2, 9), 2 * dice.integer(11, 40)
        yield call(*channels, dice.integer(2, 7), *two_sides(dice), groups=2)


def many_groups(dice: Dice) -> Iterator[Call]:
    for _ in range(2):
        groups = dice.integer(3, 8)
        channels = groups * dice.integer(2, 9), groups * dice.integer(11, 20)
        yield call(*channels, dice.integer(2, 7), *two_sides(dice), groups)
    groups = dice.integer(11, 40)  # as many as channels: one filter each
    yield call(groups, groups, 3, *two_sides(dice), groups=groups)
    yield call(width=7, height=5, kernel=1, out_channels=dice.integer(2, 9), in_channels=dice.integer(11, 40))


def two_sides(dice: Dice) -> tuple[int, int]:
    """Height and width of an output, never equal."""
    height = dice.integer(5, 30)
    return height, height + dice.integer(1, 9)


@part(
    "alexnet/grouped_conv_macs",
    points=4,
    title="The cost of a grouped convolution",
    see="alexnet.html#groups",
)
def grouped_macs() -> Values:
    return Values(
        grouped_conv_macs,
        Group("one group", ungrouped),
        Group("two groups", two_groups, weight=2),
        Group("many groups, arguments by name", many_groups),
    )


class Macs(Formula):
    """(in / groups) k^2 out height width, one decision a method."""

    def value(
        self, in_channels: int, out_channels: int, kernel: int, height: int, width: int, groups: int = 1
    ) -> float:
        pairs = self.grouped(self.pairs(in_channels, out_channels), groups)
        each = self.area(kernel) * pairs + self.biases(out_channels)
        return self.factor() * each * self.positions(height, width)

    def grouped(self, pairs: int, groups: int) -> float:
        return pairs // groups

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels * out_channels

    def area(self, kernel: int) -> int:
        return kernel**2

    def biases(self, out_channels: int) -> int:
        return 0

    def positions(self, height: int, width: int) -> int:
        return height * width

    def factor(self) -> int:
        return 1


def of_macs(wrong: type) -> Callable[..., Any]:
    return mistake("alexnet/grouped_conv_macs", see="alexnet.html#groups")(as_function(wrong))


@of_macs
class GroupsIgnored(Macs):
    """The groups do not enter the result. In a grouped convolution a filter sees only in_channels / groups
    channels."""

    def grouped(self, pairs: int, groups: int) -> float:
        return pairs


@of_macs
class OneGroupCounted(Macs):
    """Input and output channels are both divided by the groups: that is the cost of one group, and there are
    `groups` of them."""

    def grouped(self, pairs: int, groups: int) -> float:
        return pairs // groups**2


@of_macs
class GroupsMultiplied(Macs):
    """The result is multiplied by the groups; groups remove connections, so the cost is divided by them."""

    def grouped(self, pairs: int, groups: int) -> float:
        return pairs * groups


@of_macs
class FloatReturned(Macs):
    """The number is right, but it is a float. A number of operations is an int: divide with //."""

    def grouped(self, pairs: int, groups: int) -> float:
        return pairs / groups


@of_macs
class InputChannelsForgotten(Macs):
    """The input channels are left out. A filter multiplies and adds over all channels that it sees."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return out_channels


@of_macs
class OutputChannelsForgotten(Macs):
    """The output channels are left out. There is one filter for each of them."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels


@of_macs
class ChannelsAdded(Macs):
    """Input and output channels are added up. Each filter works on all of its input channels, so their numbers
    multiply."""

    def pairs(self, in_channels: int, out_channels: int) -> int:
        return in_channels + out_channels


@of_macs
class KernelNotSquared(Macs):
    """The kernel's side is counted once; a kernel has kernel × kernel places."""

    def area(self, kernel: int) -> int:
        return kernel


@of_macs
class BiasCounted(Macs):
    """The biases are counted. Adding a bias is an addition without a multiplication; by the convention of this
    course it is no MAC."""

    def biases(self, out_channels: int) -> int:
        return out_channels


@of_macs
class GridForgotten(Macs):
    """The size of the output is left out: these are the weights. Each of them is used at every place of the
    output."""

    def positions(self, height: int, width: int) -> int:
        return 1


@of_macs
class HeightSquared(Macs):
    """The height is counted twice and the width not at all; the grid has height × width places."""

    def positions(self, height: int, width: int) -> int:
        return height**2


@of_macs
class WidthSquared(Macs):
    """The width is counted twice and the height not at all; the grid has height × width places."""

    def positions(self, height: int, width: int) -> int:
        return width**2


@of_macs
class FlopsCounted(Macs):
    """Multiplications and additions are counted one by one. One MAC is a multiplication and an addition together,
    so this is twice the number."""

    def factor(self) -> int:
        return 2


# --------------------------------------------------------------------------- the trunk


class AlexNetTrunk(nn.Module):
    """The convolutional part of the network of 2012, one decision a method."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *self.widths())
        kernels, paddings, groups = (11, 5, 3, 3, 3), self.paddings(), self.groups()
        self.convs = nn.ModuleList(
            self.conv(channels[i], channels[i + 1], kernels[i], 4 if i == 0 else 1, paddings[i], groups[i])
            for i in range(5)
        )
        self.norms = nn.ModuleList(self.norm(channels[i + 1]) for i in range(2))

    def widths(self) -> tuple[int, ...]:
        return 96, 256, 384, 384, 256

    def paddings(self) -> tuple[int, ...]:
        return 0, 2, 1, 1, 1

    def groups(self) -> tuple[int, ...]:
        return 1, 2, 1, 2, 2

    def bias(self) -> bool:
        return True

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        # Its weights are always overwritten by the student's, so nothing need be drawn for them. Without memory
        # nothing is drawn anyway, and skipping it takes longer.
        make = (
            partial(nn.utils.skip_init, nn.Conv2d) if torch.get_default_device().type != "meta" else nn.Conv2d
        )
        return make(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=self.bias())

    def norm(self, channels: int) -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)

    def activate(self, x: Tensor) -> Tensor:
        return F.relu(x)

    def between(self, x: Tensor) -> Tensor:
        return self.activate(x)

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=2)

    def after(self, x: Tensor, norm: nn.Module) -> Tensor:
        return self.pool(norm(self.activate(x)))

    def last(self, x: Tensor) -> Tensor:
        return self.pool(self.activate(x))

    def finish(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x: Tensor) -> Tensor:
        x = self.after(self.convs[0](x), self.norms[0])
        x = self.after(self.convs[1](x), self.norms[1])
        x = self.between(self.convs[2](x))
        x = self.between(self.convs[3](x))
        return self.finish(self.last(self.convs[4](x)))


class Towers(nn.Module):
    """A convolution as two, one for each half of the output; `split` gives each only its half of the input."""

    def __init__(self, halves: list[nn.Module], split: bool) -> None:
        super().__init__()
        self.halves, self.split = nn.ModuleList(halves), split

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.chunk(2, dim=1) if self.split else (x, x)
        return torch.cat([half(part) for half, part in zip(self.halves, inputs, strict=True)], dim=1)


class GroupsAsTwoConvolutions(AlexNetTrunk):
    """Two convolutions for each one with two groups."""

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        if groups != 2:
            return super().conv(in_channels, out_channels, kernel, stride, padding, groups)
        half = (in_channels // 2, out_channels // 2, kernel, stride, padding, 1)
        return Towers([super(GroupsAsTwoConvolutions, self).conv(*half) for _ in range(2)], split=True)


class TwoTowers(AlexNetTrunk):
    """Two convolutions everywhere; in layers 1 and 3 both see everything."""

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        half = (in_channels // groups, out_channels // 2, kernel, stride, padding, 1)
        return Towers([super(TwoTowers, self).conv(*half) for _ in range(2)], split=groups == 2)


@part("alexnet/alexnet_trunk", points=9, title="The trunk of AlexNet", see="alexnet.html#trunk")
def alexnet_trunk() -> Reference:
    # Smaller images than the paper's, for speed. As with 227, every window fits without pixels left over, so
    # that rounding up or down makes no difference. Large values, so that the response norm has something to do.
    return Reference(
        AlexNetTrunk,
        Space({}, shape=(3, 67, 99), batches=(1, 2, 3), scale=30.0),
        forms=(GroupsAsTwoConvolutions, TwoTowers),
    )


def of_trunk(see: str) -> Callable[[type], type]:
    return mistake("alexnet/alexnet_trunk", see=see)


@of_trunk("alexnet.html#groups")
class GroupsForgotten(AlexNetTrunk):
    """No layer is grouped. Layers 2, 4 and 5 have groups=2: their two halves were on two GPUs and did not see each
    other."""

    def groups(self) -> tuple[int, ...]:
        return 1, 1, 1, 1, 1


@of_trunk("alexnet.html#groups")
class GroupsInLayer3(AlexNetTrunk):
    """Layer 3 is grouped, too; it is the one layer where the two towers see each other."""

    def groups(self) -> tuple[int, ...]:
        return 1, 2, 2, 2, 2


@of_trunk("alexnet.html#groups")
class GroupsOnlyInLayer2(AlexNetTrunk):
    """Only layer 2 is grouped; layers 4 and 5 are as well."""

    def groups(self) -> tuple[int, ...]:
        return 1, 2, 1, 1, 1


@of_trunk("alexnet.html#groups")
class GroupsInLayers3To5(AlexNetTrunk):
    """Layers 3, 4 and 5 are grouped; it is layers 2, 4 and 5."""

    def groups(self) -> tuple[int, ...]:
        return 1, 1, 2, 2, 2


@of_trunk("alexnet.html#three-networks")
class OneTowerWidths(AlexNetTrunk):
    """The layers have 64, 192, 384, 256 and 256 channels without groups, as in torchvision: that is the one-tower
    network of 2014. The network of 2012 has 96, 256, 384, 384 and 256."""

    def widths(self) -> tuple[int, ...]:
        return 64, 192, 384, 256, 256

    def groups(self) -> tuple[int, ...]:
        return 1, 1, 1, 1, 1


@of_trunk("alexnet.html#three-networks")
class TorchvisionTrunk(OneTowerWidths):
    """This is the trunk of torchvision's AlexNet: one tower of 64, 192, 384, 256 and 256 channels, a padded first
    layer, no response norm. It is the network of 2014; asked for is that of 2012."""

    def paddings(self) -> tuple[int, ...]:
        return 2, 2, 1, 1, 1

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@of_trunk("alexnet.html#pooling")
class PoolingTwoByTwo(AlexNetTrunk):
    """The pooling windows are 2×2 with stride 2; AlexNet's are 3×3 with stride 2, so that neighbours overlap."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 2)


@of_trunk("alexnet.html#pooling")
class PoolingStrideThree(AlexNetTrunk):
    """The pooling windows move by 3, PyTorch's default for a window of 3; AlexNet's move by 2 and overlap."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3)


@of_trunk("alexnet.html#pooling")
class PoolingPadded(AlexNetTrunk):
    """The pooling is padded, as in ResNet's stem; here it is not: 55 becomes 27, then 13, then 6."""

    def pool(self, x: Tensor) -> Tensor:
        return F.max_pool2d(x, 3, stride=2, padding=1)


@of_trunk("alexnet.html#pooling")
class AveragePooling(AlexNetTrunk):
    """The pooling takes the average; AlexNet's takes the maximum."""

    def pool(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride=2)


@of_trunk("alexnet.html#pooling")
class LastPoolingMissing(AlexNetTrunk):
    """The pooling after layer 5 is missing: the output is 13×13 instead of 6×6 on images of 227×227."""

    def last(self, x: Tensor) -> Tensor:
        return self.activate(x)


@of_trunk("alexnet.html#pooling")
class AdaptivePoolingAtTheEnd(AlexNetTrunk):
    """An adaptive pooling makes the output 6×6 whatever the image. On images of 227×227 it does nothing, so the trunk
    does not need it, and on other sizes it hides what the trunk really gives."""

    def finish(self, x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, 6)


@of_trunk("alexnet.html#response-norm")
class NormMissing(AlexNetTrunk):
    """There is no local response normalisation; it stands after the ReLU of layers 1 and 2."""

    def norm(self, channels: int) -> nn.Module:
        return nn.Identity()


@of_trunk("alexnet.html#response-norm")
class NormBeforeRelu(AlexNetTrunk):
    """The response is normalised before the ReLU, so negative values count in the sum; the ReLU comes first."""

    def after(self, x: Tensor, norm: nn.Module) -> Tensor:
        return self.pool(self.activate(norm(x)))


@of_trunk("alexnet.html#response-norm")
class NormAfterPooling(AlexNetTrunk):
    """The response is normalised after the pooling, as in CaffeNet; in AlexNet the normalisation comes first."""

    def after(self, x: Tensor, norm: nn.Module) -> Tensor:
        return norm(self.pool(self.activate(x)))


@of_trunk("alexnet.html#response-norm")
class AlphaTakenLiterally(AlexNetTrunk):
    """alpha is 1e-4, the paper's number. PyTorch divides alpha by the size of the window and the paper does not, so
    the paper's 1e-4 is PyTorch's 5e-4."""

    def norm(self, channels: int) -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)


@of_trunk("alexnet.html#response-norm")
class NormWithDefaults(AlexNetTrunk):
    """The normalisation has PyTorch's defaults, alpha = 1e-4 and k = 1; here they are alpha = 5e-4 and k = 2."""

    def norm(self, channels: int) -> nn.Module:
        return nn.LocalResponseNorm(5)


@of_trunk("alexnet.html#response-norm")
class NormWithKOne(AlexNetTrunk):
    """k is 1, the default of PyTorch and Caffe; the paper has k = 2."""

    def norm(self, channels: int) -> nn.Module:
        return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75)


@of_trunk("alexnet.html#response-norm")
class NormPerTower(AlexNetTrunk):
    """Each half of the channels is normalised by itself, as on two GPUs; here the normalisation runs over all
    channels."""

    def after(self, x: Tensor, norm: nn.Module) -> Tensor:
        halves = [norm(half) for half in self.activate(x).chunk(2, dim=1)]
        return self.pool(torch.cat(halves, dim=1))


@of_trunk("alexnet.html#response-norm")
class NormInEveryLayer(AlexNetTrunk):
    """The response is normalised after every layer; only layers 1 and 2 have the normalisation."""

    def between(self, x: Tensor) -> Tensor:
        return self.norms[0](self.activate(x))

    def last(self, x: Tensor) -> Tensor:
        return self.pool(self.norms[0](self.activate(x)))


@of_trunk("alexnet.html#response-norm")
class BatchNormForResponseNorm(AlexNetTrunk):
    """There is batch norm in place of the local response normalisation; it was invented three years later."""

    def norm(self, channels: int) -> nn.Module:
        return nn.BatchNorm2d(channels)


@of_trunk("alexnet.html#trunk")
class PaddingForgottenInLayer2(AlexNetTrunk):
    """The 5×5 convolution has no padding; with padding 2 it keeps its grid of 27×27."""

    def paddings(self) -> tuple[int, ...]:
        return 0, 0, 1, 1, 1


@of_trunk("alexnet.html#trunk")
class PaddingOneInLayer2(AlexNetTrunk):
    """The 5×5 convolution has padding 1; it takes 2 to keep its grid."""

    def paddings(self) -> tuple[int, ...]:
        return 0, 1, 1, 1, 1


@of_trunk("alexnet.html#trunk")
class PaddingForgottenInLayers3To5(AlexNetTrunk):
    """The 3×3 convolutions have no padding; with padding 1 they keep their grid of 13×13."""

    def paddings(self) -> tuple[int, ...]:
        return 0, 2, 0, 0, 0


@of_trunk("alexnet.html#size-227")
class FirstLayerPadded(AlexNetTrunk):
    """The first convolution has padding 2. That is one way to make 55×55 of 224×224; images of 227×227 need no
    padding."""

    def paddings(self) -> tuple[int, ...]:
        return 2, 2, 1, 1, 1


@of_trunk("alexnet.html#relu")
class TanhForRelu(AlexNetTrunk):
    """The activations are tanh; AlexNet's are ReLU, which trains several times faster."""

    def activate(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


@of_trunk("alexnet.html#relu")
class ReluForgotten(AlexNetTrunk):
    """There are no ReLUs; every convolution is followed by one."""

    def activate(self, x: Tensor) -> Tensor:
        return x


@of_trunk("alexnet.html#relu")
class ReluMissingAfterLayers3And4(AlexNetTrunk):
    """There is no ReLU after layers 3 and 4, so layers 3 to 5 are one linear map."""

    def between(self, x: Tensor) -> Tensor:
        return x


@of_trunk("alexnet.html#relu")
class LastReluMissing(AlexNetTrunk):
    """There is no ReLU after layer 5; every convolution is followed by one."""

    def last(self, x: Tensor) -> Tensor:
        return self.pool(x)


@of_trunk("alexnet.html#trunk")
class BiasMissing(AlexNetTrunk):
    """The convolutions have no biases. No batch norm follows, so they keep them."""

    def bias(self) -> bool:
        return False


@of_trunk("alexnet.html#trunk")
class Flattened(AlexNetTrunk):
    """The output is flattened; the trunk returns the grid, (N, 256, 6, 6), and the classifier flattens it."""

    def finish(self, x: Tensor) -> Tensor:
        return x.flatten(1)


# --------------------------------------------------------------------------- where the parameters are


def fully_connected_share(model: nn.Module) -> float:
    linear = sum(
        p.numel() for layer in model.modules() if isinstance(layer, nn.Linear) for p in layer.parameters()
    )
    return linear / sum(p.numel() for p in model.parameters())


def layer(name: str, *args: Any, **kwargs: Any) -> LayerSpec:
    return {"layer": name, "args": list(args), "kwargs": kwargs}


def model(*layers: LayerSpec) -> ModuleSpec:
    return {"$module": layer("Sequential", *layers)}


def flat_models(dice: Dice) -> Iterator[Call]:
    """Convolutions, then linear layers, all in one row; small, so that every bias weighs something."""
    for _ in range(3):
        a, b, c = dice.integer(2, 5), dice.integer(6, 9), dice.integer(10, 14)
        yield call(
            model(
                layer("Conv2d", 3, a, dice.integer(2, 5)),
                layer("ReLU"),
                layer("Conv2d", a, b, 3),
                layer("MaxPool2d", 2),
                layer("Flatten"),
                layer("Linear", b, c),
                layer("Dropout"),
                layer("Linear", c, dice.integer(2, 9)),
            )
        )


def nested_models(dice: Dice) -> Iterator[Call]:
    for _ in range(3):
        a, b, c = dice.integer(2, 5), dice.integer(6, 9), dice.integer(10, 14)
        features = layer("Sequential", layer("Conv2d", 3, a, 3), layer("ReLU"), layer("Conv2d", a, b, 3))
        hidden = layer("Sequential", layer("Linear", b, c), layer("ReLU"))
        classifier = layer("Sequential", hidden, layer("Linear", c, dice.integer(2, 9)))
        yield call(model(features, layer("Flatten"), classifier, layer("Linear", 4, dice.integer(2, 6))))


def normed_models(dice: Dice) -> Iterator[Call]:
    """Batch norms have parameters, and buffers, which are none. Layers without bias. More maps than features."""
    for _ in range(3):
        a, b = dice.integer(4, 9), dice.integer(10, 14)
        yield call(
            model(
                layer("Conv2d", 2, a, 3, bias=False),
                layer("BatchNorm2d", a),
                layer("Flatten"),
                layer("Linear", a, b, bias=False),
                layer("BatchNorm1d", b),
                layer("Linear", b, dice.integer(2, 4)),
            )
        )


def extreme_models(dice: Dice) -> Iterator[Call]:
    yield call({"$module": layer("Linear", dice.integer(2, 9), dice.integer(2, 9))})
    yield call(model(layer("Flatten"), layer("Linear", dice.integer(2, 9), dice.integer(2, 9))))
    yield call({"$module": layer("Conv2d", dice.integer(2, 9), dice.integer(2, 9), 1)})
    yield call(model(layer("Conv2d", 3, dice.integer(2, 9), 3), layer("ReLU"), layer("BatchNorm2d", 4)))


@part(
    "alexnet/fully_connected_share",
    points=3,
    title="The share of the fully connected layers",
    see="alexnet.html#where-the-parameters-are",
)
def share() -> Values:
    return Values(
        fully_connected_share,
        Group("convolutions, then linear layers", flat_models),
        Group("layers inside of layers", nested_models),
        Group("batch norms, and layers without bias", normed_models),
        Group("nothing but linear layers, and none at all", extreme_models),
    )


class Share(Formula):
    """Parameters of linear layers over all parameters, one decision a method."""

    def value(self, model: nn.Module) -> float:
        counted = [layer for layer in self.layers(model) if isinstance(layer, self.kind())]
        return self.finish(sum(map(self.size, self.chosen(counted))), self.total(model))

    def layers(self, model: nn.Module) -> Iterable[nn.Module]:
        return model.modules()

    def kind(self) -> type:
        return nn.Linear

    def chosen(self, layers: list[nn.Module]) -> list[nn.Module]:
        return layers

    def size(self, layer: nn.Module) -> int:
        return sum(p.numel() for p in layer.parameters())

    def total(self, model: nn.Module) -> int:
        return sum(p.numel() for p in model.parameters())

    def finish(self, part: int, total: int) -> float:
        return part / total


def of_share(wrong: type) -> Callable[..., Any]:
    return mistake("alexnet/fully_connected_share", see="alexnet.html#where-the-parameters-are")(
        as_function(wrong)
    )


@of_share
class TopLevelOnly(Share):
    """Only the model's direct children are looked at; most models keep their layers inside of others. model.modules()
    gives every layer, however deep, and the model itself."""

    def layers(self, model: nn.Module) -> Iterable[nn.Module]:
        return model.children()


@of_share
class ConvolutionsCounted(Share):
    """The share of the convolutions is computed; asked is that of the linear layers."""

    def kind(self) -> type:
        return nn.Conv2d


@of_share
class LastLayerOnly(Share):
    """Only the last linear layer is counted; all of them are fully connected."""

    def chosen(self, layers: list[nn.Module]) -> list[nn.Module]:
        return layers[-1:]


@of_share
class FirstLayerOnly(Share):
    """Only the first linear layer is counted. Perhaps the loop returns too early: all of them are fully connected."""

    def chosen(self, layers: list[nn.Module]) -> list[nn.Module]:
        return layers[:1]


@of_share
class BiasesForgotten(Share):
    """The biases of the linear layers are not counted; they are parameters, too."""

    def size(self, layer: nn.Module) -> int:
        return layer.get_parameter("weight").numel()


@of_share
class TensorsCounted(Share):
    """Parameter tensors are counted, not the numbers in them: len(list(...)) for the sum of p.numel()."""

    def size(self, layer: nn.Module) -> int:
        return len(list(layer.parameters()))

    def total(self, model: nn.Module) -> int:
        return len(list(model.parameters()))


@of_share
class LayersCounted(Share):
    """Layers are counted, not their parameters."""

    def size(self, layer: nn.Module) -> int:
        return 1

    def total(self, model: nn.Module) -> int:
        return sum(1 for layer in model.modules() if not list(layer.children()))


@of_share
class BuffersCounted(Share):
    """The total counts everything in the state_dict, also the running statistics of batch norms; these are buffers,
    not parameters."""

    def total(self, model: nn.Module) -> int:
        return sum(value.numel() for value in model.state_dict().values())


@of_share
class NormsLeftOut(Share):
    """The total counts convolutions and linear layers only; batch norms have parameters, too."""

    def total(self, model: nn.Module) -> int:
        counted = (m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear)))
        return sum(p.numel() for layer in counted for p in layer.parameters())


@of_share
class Percentage(Share):
    """The result is a percentage; a share is a number between 0 and 1."""

    def finish(self, part: int, total: int) -> float:
        return 100 * part / total


@of_share
class OfTheRest(Share):
    """The linear layers are compared with the other layers; a share is compared with the whole, the linear layers
    included."""

    def finish(self, part: int, total: int) -> float:
        return part / (total - part)


@of_share
class ShareOfTheOthers(Share):
    """This is what the other layers hold, 1 minus the share asked for."""

    def finish(self, part: int, total: int) -> float:
        return 1 - part / total


@of_share
class NumberReturned(Share):
    """The number of parameters is returned; divide it by the number of all."""

    def finish(self, part: int, total: int) -> float:
        return part


@of_share
class Rounded(Share):
    """The result is rounded; return it as it is, and round where it is printed."""

    def finish(self, part: int, total: int) -> float:
        return round(part / total, 2)


# --------------------------------------------------------------------------- find the bug: the response norm


def repaired_lrn(a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0) -> Tensor:
    channels = a.shape[1]
    windows = [a[:, max(0, c - size // 2) : min(channels, c + size // 2 + 1)] for c in range(channels)]
    sums = torch.stack([(window**2).sum(dim=1) for window in windows], dim=1)
    return a / (k + alpha * sums) ** beta


def papers_constants(dice: Dice) -> Iterator[Call]:
    """Large activations, so that the norm has something to do."""
    yield call(dice.normal(2, 9, 4, 3, scale=100.0))
    yield call(dice.normal(1, 7, 3, 5, scale=200.0))


def other_constants(dice: Dice) -> Iterator[Call]:
    for size in (3, 7):
        yield call(
            dice.normal(2, 11, 3, 4, scale=3.0),
            size=size,
            alpha=dice.real(0.01, 0.02),
            beta=dice.real(0.4, 0.9),
            k=dice.real(2.2, 3.0),
        )
    yield call(dice.normal(2, 6, 4, 3, scale=3.0), 5, 0.015, dice.real(1.1, 1.5), 2.5)


def few_channels(dice: Dice) -> Iterator[Call]:
    yield call(dice.normal(2, 3, 4, 5, scale=100.0))  # the window reaches over both edges
    yield call(dice.normal(2, 1, 3, 4, scale=100.0))
    yield call(dice.normal(2, 2, 4, 3, scale=3.0), size=3, alpha=0.02)


@part(
    "alexnet/repaired_lrn",
    points=4,
    title="Find the bug",
    see="alexnet.html#response-norm",
    given=("window_one_short", "mean_for_sum"),
)
def lrn() -> Values:
    return Values(
        repaired_lrn,
        Group("the constants of the paper", papers_constants, weight=2),
        Group("other windows and constants", other_constants),
        Group("fewer channels than the window", few_channels),
        gradients=True,
    )


class ResponseNorm(Formula):
    """a / (k + alpha sum a^2)^beta over a window of channels, one decision a method."""

    def value(
        self, a: Tensor, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> Tensor:
        squares = self.powers(a)
        sums = self.sums(squares, size)
        return self.combine(a, self.base(self.constant(k), alpha, sums) ** self.exponent(beta))

    def powers(self, a: Tensor) -> Tensor:
        return a**2

    def sums(self, squares: Tensor, size: int) -> Tensor:
        return torch.stack(
            [
                self.reduce(squares[:, slice(*self.window(c, squares.shape[1], size))], size)
                for c in range(squares.shape[1])
            ],
            dim=1,
        )

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return max(0, c - size // 2), min(channels, c + size // 2 + 1)

    def reduce(self, window: Tensor, size: int) -> Tensor:
        return window.sum(dim=1)

    def constant(self, k: float) -> float:
        return k

    def base(self, k: float, alpha: float, sums: Tensor) -> Tensor:
        return k + alpha * sums

    def exponent(self, beta: float) -> float:
        return beta

    def combine(self, a: Tensor, scale: Tensor) -> Tensor:
        return a / scale


def of_lrn(wrong: type) -> Callable[..., Any]:
    return mistake("alexnet/repaired_lrn", see="alexnet.html#response-norm")(as_function(wrong))


@of_lrn
class WindowOneShort(ResponseNorm):
    """The last neighbour is left out: a Python slice ends before its second index, and the sum of the paper includes
    channel i + n/2. The slice has to end at i + n/2 + 1."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return max(0, c - size // 2), min(channels, c + size // 2)


@of_lrn
class WindowOneShortInFront(ResponseNorm):
    """The first neighbour is left out: the window starts at i - n/2."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return max(0, c - size // 2 + 1), min(channels, c + size // 2 + 1)


@of_lrn
class WindowOneLong(ResponseNorm):
    """The window reaches one channel too far at the end."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return max(0, c - size // 2), min(channels, c + size // 2 + 2)


@of_lrn
class WindowOfTwiceTheSize(ResponseNorm):
    """The window reaches n channels to each side; it has n channels in all, n/2 to each side."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return max(0, c - size), min(channels, c + size + 1)


@of_lrn
class WindowOnlyForward(ResponseNorm):
    """The window starts at the channel itself; the channel stands in its middle."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return c, min(channels, c + size)


@of_lrn
class AllChannels(ResponseNorm):
    """The sum runs over all channels; it runs over the nearest n."""

    def window(self, c: int, channels: int, size: int) -> tuple[int, int]:
        return 0, channels


@of_lrn
class MeanForSum(ResponseNorm):
    """The squares are averaged over the channels of the window; the paper adds them up."""

    def reduce(self, window: Tensor, size: int) -> Tensor:
        return window.mean(dim=1)


@of_lrn
class DividedByTheSize(ResponseNorm):
    """The sum is divided by n, as PyTorch's LocalResponseNorm does with alpha; the paper's formula does not."""

    def reduce(self, window: Tensor, size: int) -> Tensor:
        return window.sum(dim=1) / size


@of_lrn
class MaximumForSum(ResponseNorm):
    """The largest square of the window is taken; the paper adds the squares up."""

    def reduce(self, window: Tensor, size: int) -> Tensor:
        return window.amax(dim=1)


@of_lrn
class SumOverTheImage(ResponseNorm):
    """The squares are also added up over the whole grid; every place is normalised by itself."""

    def reduce(self, window: Tensor, size: int) -> Tensor:
        return window.sum(dim=(1, 2, 3), keepdim=True)[:, 0].expand(-1, *window.shape[2:])


@of_lrn
class AlongTheWidth(ResponseNorm):
    """The window runs along the width; the neighbours are those of other channels at the same place."""

    def sums(self, squares: Tensor, size: int) -> Tensor:
        return super().sums(squares.transpose(1, 3), size).transpose(1, 3)


@of_lrn
class AlongTheHeight(ResponseNorm):
    """The window runs along the height; the neighbours are those of other channels at the same place."""

    def sums(self, squares: Tensor, size: int) -> Tensor:
        return super().sums(squares.transpose(1, 2), size).transpose(1, 2)


@of_lrn
class AroundTheEdge(ResponseNorm):
    """The window goes on at the other end of the channels, as torch.roll does; at the edges it is cut off."""

    def sums(self, squares: Tensor, size: int) -> Tensor:
        shifts = range(-(size // 2), size // 2 + 1)
        return torch.stack([squares.roll(shift, dims=1) for shift in shifts]).sum(dim=0)


@of_lrn
class NotSquared(ResponseNorm):
    """The activations are not squared; the paper adds up their squares."""

    def powers(self, a: Tensor) -> Tensor:
        return a


@of_lrn
class SquaredInPlace(ResponseNorm):
    """The squares are written into a itself, which does not belong to the function."""

    def powers(self, a: Tensor) -> Tensor:
        return a.mul_(a)


@of_lrn
class KFixed(ResponseNorm):
    """k is 1 whatever the argument says; the paper has 2."""

    def constant(self, k: float) -> float:
        return 1.0


@of_lrn
class AlphaOnEverything(ResponseNorm):
    """alpha multiplies k as well; it belongs to the sum alone."""

    def base(self, k: float, alpha: float, sums: Tensor) -> Tensor:
        return alpha * (k + sums)


@of_lrn
class AlphaForgotten(ResponseNorm):
    """alpha does not enter the result."""

    def base(self, k: float, alpha: float, sums: Tensor) -> Tensor:
        return k + sums


@of_lrn
class BetaForgotten(ResponseNorm):
    """The power beta is missing."""

    def exponent(self, beta: float) -> float:
        return 1.0


@of_lrn
class SquareRoot(ResponseNorm):
    """The square root is taken whatever beta says; the paper has beta = 0.75."""

    def exponent(self, beta: float) -> float:
        return 0.5


@of_lrn
class Multiplied(ResponseNorm):
    """a is multiplied by the power; it is divided by it, so that strong neighbours make it weaker."""

    def combine(self, a: Tensor, scale: Tensor) -> Tensor:
        return a * scale
