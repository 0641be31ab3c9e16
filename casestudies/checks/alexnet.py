"""Checks of the assignment `alexnet`: grouped convolutions, the trunk of 2012, where the parameters are, and the
response norm.

The mistakes are edits of the functions and of the network below, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import Call, Dice, Group, Reference, Space, Values, call, part
from casestudies.checking.tables import table
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


table(
    "alexnet/grouped_conv_macs",
    grouped_conv_macs,
    """
in_channels // groups
    groups_ignored: in_channels
        The groups do not enter the result. In a grouped convolution a filter sees only in_channels / groups
        channels.
    groups_multiplied: in_channels * groups
        The result is multiplied by the groups; groups remove connections, so the cost is divided by them.
    float_returned: in_channels / groups
        The result is a float. A number of operations is an int: divide with //.
    input_channels_forgotten: 1
        + out_channels => out_channels // groups
        The input channels are left out. A filter multiplies and adds over all channels that it sees.
    channels_added: (in_channels + out_channels) // groups
        + out_channels => 1
        Input and output channels are added up. Each filter works on all of its input channels, so their numbers
        multiply.
out_channels
    one_group_counted: out_channels // groups
        Input and output channels are both divided by the groups: that is the cost of one group, and there are
        `groups` of them.
    output_channels_forgotten: 1
        The output channels are left out. There is one filter for each of them.
kernel**2
    kernel_not_squared: kernel
        The kernel's side is counted once; a kernel has kernel × kernel places.
width
    height_squared: height
        The height is counted twice and the width not at all; the grid has height × width places.
height
    width_squared: width
        The width is counted twice and the height not at all; the grid has height × width places.
(in_channels // groups) * kernel**2 * out_channels * height * width
    bias_counted: (in_channels // groups) * kernel**2 * out_channels * height * width + out_channels * height * width
        The biases are counted. Adding a bias is an addition without a multiplication; by the convention of this
        course it is no MAC.
    grid_forgotten: (in_channels // groups) * kernel**2 * out_channels
        The size of the output is left out: these are the weights. Each of them is used at every place of the output.
    flops_counted: 2 * ((in_channels // groups) * kernel**2 * out_channels * height * width)
        Multiplications and additions are counted one by one, which doubles the count. One MAC is a multiplication and
        an addition together.
""",
)


# --------------------------------------------------------------------------- the trunk


class Undrawn(nn.Conv2d):
    """A convolution for which no weights are drawn when it is built: a check overwrites them with the student's.

    `nn.utils.skip_init` goes by way of the meta device, and there imports PyTorch's compiler.
    """

    built = False

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.built = True
        # What is left in memory may be all 0, and a check takes filters that begin all alike for a fault.
        self.weight.data[0] = 1.0

    def reset_parameters(self) -> None:
        if self.built:
            super().reset_parameters()


class AlexNetTrunk(nn.Module):
    """The convolutional part of the network of 2012."""

    def __init__(self) -> None:
        super().__init__()
        channels, kernels, strides = (3, *self.widths()), (11, 5, 3, 3, 3), (4, 1, 1, 1, 1)
        paddings, groups = (0, 2, 1, 1, 1), (1, 2, 1, 2, 2)
        self.convs = nn.ModuleList(
            self.conv(channels[i], channels[i + 1], kernels[i], strides[i], paddings[i], groups[i])
            for i in range(5)
        )
        self.norms = nn.ModuleList(nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2) for i in range(2))

    def widths(self) -> tuple[int, ...]:
        return 96, 256, 384, 384, 256

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        return Undrawn(in_channels, out_channels, kernel, stride, padding, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.norms[0](F.relu(self.convs[0](x))), 3, stride=2)
        x = F.max_pool2d(self.norms[1](F.relu(self.convs[1](x))), 3, stride=2)
        x = F.relu(self.convs[2](x))
        x = F.relu(self.convs[3](x))
        return F.max_pool2d(F.relu(self.convs[4](x)), 3, stride=2)


class Towers(nn.Module):
    """A convolution as two, one for each half of the output; `split` gives each only its half of the input."""

    def __init__(self, halves: list[nn.Module], split: bool) -> None:
        super().__init__()
        self.halves, self.split = nn.ModuleList(halves), split

    def forward(self, x: Tensor) -> Tensor:
        inputs = x.chunk(2, dim=1) if self.split else (x, x)
        return torch.cat([half(part) for half, part in zip(self.halves, inputs, strict=True)], dim=1)


class GroupsAsTwoConvolutions(nn.Module):
    """Two convolutions for each one with two groups."""

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        conv: Callable[..., nn.Module] = super().conv  # type: ignore[misc]  # that of the trunk
        if groups != 2:
            return conv(in_channels, out_channels, kernel, stride, padding, groups)
        half = (in_channels // 2, out_channels // 2, kernel, stride, padding, 1)
        return Towers([conv(*half) for _ in range(2)], split=True)


class TwoTowers(nn.Module):
    """Two convolutions everywhere; in layers 1 and 3 both see everything."""

    def conv(
        self, in_channels: int, out_channels: int, kernel: int, stride: int, padding: int, groups: int
    ) -> nn.Module:
        conv: Callable[..., nn.Module] = super().conv  # type: ignore[misc]  # that of the trunk
        half = (in_channels // groups, out_channels // 2, kernel, stride, padding, 1)
        return Towers([conv(*half) for _ in range(2)], split=groups == 2)


@part("alexnet/alexnet_trunk", points=9, title="The trunk of AlexNet", see="alexnet.html#trunk")
def alexnet_trunk() -> Reference:
    # Smaller images than the paper's, for speed. As with 227, every window fits without pixels left over, so
    # that rounding up or down makes no difference. Large values, so that the response norm has something to do.
    return Reference(
        AlexNetTrunk,
        Space({}, shape=(3, 67, 99), batches=(1, 2), scale=30.0),
        forms=(GroupsAsTwoConvolutions, TwoTowers),
    )


table(
    "alexnet/alexnet_trunk",
    AlexNetTrunk,
    """
(1, 2, 1, 2, 2)  # groups
    groups_forgotten: (1, 1, 1, 1, 1)
        No layer is grouped. Layers 2, 4 and 5 have groups=2: their two halves were on two GPUs and did not see each
        other.
    groups_in_layer3: (1, 2, 2, 2, 2)
        Layer 3 is grouped, too; it is the one layer where the two towers see each other.
    groups_only_in_layer2: (1, 2, 1, 1, 1)
        Only layer 2 is grouped; layers 4 and 5 are as well.
    groups_in_layers3_to5: (1, 1, 2, 2, 2)
        Layers 3, 4 and 5 are grouped; it is layers 2, 4 and 5.
return 96, 256, 384, 384, 256  # three-networks
    one_tower_widths: return 64, 192, 384, 256, 256
        + (1, 2, 1, 2, 2) => (1, 1, 1, 1, 1)
        The layers have 64, 192, 384, 256 and 256 channels without groups, as in torchvision: that is the one-tower
        network of 2014. The network of 2012 has 96, 256, 384, 384 and 256.
    torchvision_trunk: return 64, 192, 384, 256, 256
        + (1, 2, 1, 2, 2) => (1, 1, 1, 1, 1)
        + (0, 2, 1, 1, 1) => (2, 2, 1, 1, 1)
        + nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2) => nn.Identity()
        This is the trunk of torchvision's AlexNet: one tower of 64, 192, 384, 256 and 256 channels, a padded first
        layer, no response norm. It is the network of 2014; asked for is that of 2012.
every 3, stride=2  # pooling
    pooling_two_by_two: 2
        The pooling windows are 2×2 with stride 2; AlexNet's are 3×3 with stride 2, so that neighbours overlap.
    pooling_stride_three: 3
        The pooling windows move by 3, PyTorch's default for a window of 3; AlexNet's move by 2 and overlap.
    pooling_padded: 3, stride=2, padding=1
        The pooling is padded, as in ResNet's stem; here it is not: 55 becomes 27, then 13, then 6.
every F.max_pool2d  # pooling
    average_pooling: F.avg_pool2d
        The pooling takes the average; AlexNet's takes the maximum.
F.max_pool2d(F.relu(self.convs[4](x)), 3, stride=2)  # pooling
    last_pooling_missing: F.relu(self.convs[4](x))
        The pooling after layer 5 is missing: the output is 13×13 instead of 6×6 on images of 227×227.
    adaptive_pooling_at_the_end: F.adaptive_avg_pool2d(F.max_pool2d(F.relu(self.convs[4](x)), 3, stride=2), 6)
        An adaptive pooling makes the output 6×6 whatever the image. On images of 227×227 it does nothing, so the
        trunk does not need it, and on other sizes it hides what the trunk really gives.
F.max_pool2d(F.relu(self.convs[4](x)), 3, stride=2)
    flattened: F.max_pool2d(F.relu(self.convs[4](x)), 3, stride=2).flatten(1)
        The output is flattened; the trunk returns the grid, (N, 256, 6, 6), and the classifier flattens it.
nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)  # response-norm
    norm_missing: nn.Identity()
        There is no local response normalisation; it stands after the ReLU of layers 1 and 2.
    alpha_taken_literally: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=2)
        alpha is 1e-4, the paper's number. PyTorch divides alpha by the size of the window and the paper does not, so
        the paper's 1e-4 is PyTorch's 5e-4.
    norm_with_defaults: nn.LocalResponseNorm(5)
        The normalisation has PyTorch's defaults, alpha = 1e-4 and k = 1; here they are alpha = 5e-4 and k = 2.
    norm_with_kone: nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75)
        k is 1, the default of PyTorch and Caffe; the paper has k = 2.
    batch_norm_for_response_norm: nn.BatchNorm2d(channels[i + 1])
        There is batch norm in place of the local response normalisation; it was invented three years later.
self.norms[0](F.relu(self.convs[0](x)))  # response-norm
    norm_before_relu: F.relu(self.norms[0](self.convs[0](x)))
        + self.norms[1](F.relu(self.convs[1](x))) => F.relu(self.norms[1](self.convs[1](x)))
        The response is normalised before the ReLU, so negative values count in the sum; the ReLU comes first.
    norm_per_tower: torch.cat([self.norms[0](half) for half in F.relu(self.convs[0](x)).chunk(2, dim=1)], dim=1)
        + self.norms[1](F.relu(self.convs[1](x))) => \
        torch.cat([self.norms[1](half) for half in F.relu(self.convs[1](x)).chunk(2, dim=1)], dim=1)
        Each half of the channels is normalised by itself, as on two GPUs; here the normalisation runs over all
        channels.
F.max_pool2d(self.norms[0](F.relu(self.convs[0](x))), 3, stride=2)  # response-norm
    norm_after_pooling: self.norms[0](F.max_pool2d(F.relu(self.convs[0](x)), 3, stride=2))
        + F.max_pool2d(self.norms[1](F.relu(self.convs[1](x))), 3, stride=2) => \
        self.norms[1](F.max_pool2d(F.relu(self.convs[1](x)), 3, stride=2))
        The response is normalised after the pooling, as in CaffeNet; in AlexNet the normalisation comes first.
F.relu(self.convs[2](x))  # response-norm
    norm_in_every_layer: self.norms[0](F.relu(self.convs[2](x)))
        + F.relu(self.convs[3](x)) => self.norms[0](F.relu(self.convs[3](x)))
        + F.relu(self.convs[4](x)) => self.norms[0](F.relu(self.convs[4](x)))
        The response is normalised after every layer; only layers 1 and 2 have the normalisation.
(0, 2, 1, 1, 1)
    padding_forgotten_in_layer2: (0, 0, 1, 1, 1)
        The 5×5 convolution has no padding; with padding 2 it keeps its grid of 27×27.
    padding_one_in_layer2: (0, 1, 1, 1, 1)
        The 5×5 convolution has padding 1; it takes 2 to keep its grid.
    padding_forgotten_in_layers3_to5: (0, 2, 0, 0, 0)
        The 3×3 convolutions have no padding; with padding 1 they keep their grid of 13×13.
(0, 2, 1, 1, 1)  # size-227
    first_layer_padded: (2, 2, 1, 1, 1)
        The first convolution has padding 2. That is one way to get 55×55 from 224×224; images of 227×227 need no
        padding.
every F.relu  # relu
    tanh_for_relu: torch.tanh
        The activations are tanh; AlexNet's are ReLU.
    relu_forgotten: (lambda x: x)
        There are no ReLUs; every convolution is followed by one.
F.relu(self.convs[2](x))  # relu
    relu_missing_after_layers3_and4: self.convs[2](x)
        + F.relu(self.convs[3](x)) => self.convs[3](x)
        There is no ReLU after layers 3 and 4, so layers 3 to 5 are one linear map.
F.relu(self.convs[4](x))  # relu
    last_relu_missing: self.convs[4](x)
        There is no ReLU after layer 5; every convolution is followed by one.
groups=groups
    bias_missing: groups=groups, bias=False
        The convolutions have no biases. No batch norm follows, so they keep them.
""",
)


# --------------------------------------------------------------------------- where the parameters are


def fully_connected_share(model: nn.Module) -> float:
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    linear = sum(p.numel() for layer in layers for p in layer.parameters())
    total = sum(p.numel() for p in model.parameters())
    return linear / total


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


def looking_alike(dice: Dice) -> Iterator[Call]:
    """Layers that have matrices, too, or `in_features`, or a name with Linear in it; and names such as 1 and 10."""
    for _ in range(2):
        a, b = dice.integer(4, 6), dice.integer(7, 9)
        own: LayerSpec = {
            "layer": "LinearBottleneck",
            "layers": {"reduce": layer("Conv2d", b, a, 1)},
            "steps": [],
        }
        yield call(
            model(
                layer("Embedding", dice.integer(5, 9), a),
                layer("Linear", a, b),
                layer("Bilinear", a, b, dice.integer(2, 4)),
                own,
                *(layer("ReLU") for _ in range(6)),
                layer("Conv2d", b, a, 3),
                layer("BatchNorm2d", a),
            )
        )
        yield call(
            model(layer("Conv2d", 3, a, 1), layer("AdaptiveLogSoftmaxWithLoss", a, 3 * b, [b], div_value=1.0))
        )


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
        Group("layers that look like linear ones", looking_alike),
    )


table(
    "alexnet/fully_connected_share",
    fully_connected_share,
    """
model.modules()
    top_level_only: model.children()
        Only the model's direct children are looked at; most models keep their layers inside of others.
        model.modules() gives every layer, however deep, and the model itself.
nn.Linear
    convolutions_counted: nn.Conv2d
        The share of the convolutions is computed; asked is that of the linear layers.
isinstance(layer, nn.Linear)
    model_left_out: isinstance(layer, nn.Linear) and layer is not model
        The model itself is left out; it may be a linear layer, and model.modules() gives it, too.
    told_by_name: "Linear" in type(layer).__name__
        Linear layers are told by the name of their class, which another class may have as well; isinstance(layer,
        nn.Linear) asks what a layer is.
    told_by_attribute: hasattr(layer, "in_features")
        Linear layers are told by an attribute, in_features, which other layers have as well; isinstance(layer,
        nn.Linear) asks what a layer is.
linear = sum(p.numel() for layer in layers for p in layer.parameters())
    last_layer_only: linear = sum(p.numel() for layer in layers[-1:] for p in layer.parameters())
        Only the last linear layer is counted; all of them are fully connected.
    first_layer_only: linear = sum(p.numel() for layer in layers[:1] for p in layer.parameters())
        Only the first linear layer is counted. Perhaps the loop returns too early: all of them are fully connected.
    biases_forgotten: linear = sum(layer.weight.numel() for layer in layers)
        The biases of the linear layers are not counted; they are parameters, too.
    matrices_counted: linear = sum(p.numel() for p in model.parameters() if p.dim() == 2)
        Every parameter with two axes is counted, and no bias; other layers have matrices, too, such as embeddings.
    told_by_shape: linear = sum(p.numel() for p in model.parameters() if p.dim() == 2) \
        + sum(layer.bias.numel() for layer in layers if layer.bias is not None)
        Every parameter with two axes is counted; other layers have matrices, too, such as embeddings.
    told_by_prefix: linear = sum(p.numel() for name, p in model.named_parameters() \
        if any(name.startswith(n) for n, layer in model.named_modules() if isinstance(layer, nn.Linear)))
        The parameters of a layer are told by how their names begin; so those of layer 10 belong to layer 1 as well.
    tensors_counted: linear = sum(len(list(layer.parameters())) for layer in layers)
        + total = sum(p.numel() for p in model.parameters()) => total = len(list(model.parameters()))
        Parameter tensors are counted, not the numbers in them; p.numel() gives those of each.
    layers_counted: linear = len(layers)
        + total = sum(p.numel() for p in model.parameters()) => \
        total = sum(1 for layer in model.modules() if not list(layer.children()))
        Layers are counted, not their parameters.
    layers_with_parameters_counted: linear = len(layers)
        + total = sum(p.numel() for p in model.parameters()) => \
        total = sum(1 for layer in model.modules() if list(layer.parameters(recurse=False)))
        Layers are counted, those that have parameters; count the parameters.
total = sum(p.numel() for p in model.parameters())
    buffers_counted: total = sum(value.numel() for value in model.state_dict().values())
        The total counts everything in the state_dict, also the running statistics of batch norms; these are buffers,
        not parameters.
    norms_left_out: total = sum(p.numel() for layer in model.modules() \
        if isinstance(layer, nn.Conv2d | nn.Linear) for p in layer.parameters())
        The total counts convolutions and linear layers only; batch norms have parameters, too.
return linear / total
    percentage: return 100 * linear / total
        The result is a percentage; a share is a number between 0 and 1.
    of_the_rest: return linear / (total - linear)
        The linear layers are compared with the other layers; a share is compared with the whole, the linear layers
        included.
    share_of_the_others: return 1 - linear / total
        This is what the other layers hold, 1 minus the share asked for.
    number_returned: return linear
        The number of parameters is returned; divide it by the number of all.
    rounded: return round(linear / total, 2)
        The result is rounded; return it as it is, and round where it is printed.
""",
)


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
    for nothing in ("beta", "k"):  # 0 is no default; of positive images, whose sums are, whatever is added up
        constants = {"alpha": 0.02, "beta": 0.75, "k": 2.5, nothing: 0.0}
        yield call(dice.normal(2, 5, 3, 2, scale=3.0).abs() + 0.5, 3, **constants)


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


table(
    "alexnet/repaired_lrn",
    repaired_lrn,
    """
min(channels, c + size // 2 + 1)
    window_one_short: min(channels, c + size // 2)
        The last neighbour is left out: a Python slice ends before its second index, and the sum of the paper
        includes channel i + n/2. The slice has to end at i + n/2 + 1.
    window_one_long: min(channels, c + size // 2 + 2)
        The window reaches one channel too far at the end.
max(0, c - size // 2)
    window_one_short_in_front: max(0, c - size // 2 + 1)
        The first neighbour is left out: the window starts at i - n/2.
a[:, max(0, c - size // 2) : min(channels, c + size // 2 + 1)]
    window_of_twice_the_size: a[:, max(0, c - size) : c + size + 1]
        The window reaches n channels to each side; it has n channels in all, n/2 to each side.
    window_only_forward: a[:, c : c + size]
        The window starts at the channel itself; the channel stands in its middle.
    all_channels: a
        The sum runs over all channels; it runs over the nearest n.
(window**2).sum(dim=1)
    mean_for_sum: (window**2).mean(dim=1)
        The squares are averaged over the channels of the window; the paper adds them up.
    divided_by_the_size: (window**2).sum(dim=1) / size
        The sum is divided by n, as PyTorch's LocalResponseNorm does with alpha; the paper's formula does not.
    maximum_for_sum: (window**2).amax(dim=1)
        The largest square of the window is taken; the paper adds the squares up.
    sum_over_the_image: (window**2).sum(dim=(1, 2, 3), keepdim=True)[:, 0].expand(-1, *window.shape[2:])
        The squares are also added up over the whole grid; every place is normalised by itself.
channels = a.shape[1]
    along_the_width: a = a.transpose(1, 3); channels = a.shape[1]
        + a / (k + alpha * sums) ** beta => (a / (k + alpha * sums) ** beta).transpose(1, 3)
        The window runs along the width; the neighbours are those of other channels at the same place.
    along_the_height: a = a.transpose(1, 2); channels = a.shape[1]
        + a / (k + alpha * sums) ** beta => (a / (k + alpha * sums) ** beta).transpose(1, 2)
        The window runs along the height; the neighbours are those of other channels at the same place.
    squared_in_place: channels = a.mul_(a).shape[1]
        + window**2 => window
        The squares are written into a itself, which does not belong to the function.
sums = torch.stack([(window**2).sum(dim=1) for window in windows], dim=1)
    around_the_edge: shifts = range(-(size // 2), size // 2 + 1); \
        sums = torch.stack([(a**2).roll(shift, dims=1) for shift in shifts]).sum(dim=0)
        The window goes on at the other end of the channels, as torch.roll does; at the edges it is cut off.
window**2
    not_squared: window
        The activations are not squared; the paper adds up their squares.
k + alpha * sums
    kfixed: 1.0 + alpha * sums
        k is 1 whatever the argument says; the paper has 2.
    alpha_on_everything: alpha * (k + sums)
        alpha multiplies k as well; it belongs to the sum alone.
    alpha_forgotten: k + sums
        alpha does not enter the result.
(k + alpha * sums) ** beta
    beta_forgotten: k + alpha * sums
        The power beta is missing.
    square_root: (k + alpha * sums) ** 0.5
        The square root is taken whatever beta says; the paper has beta = 0.75.
a / (k + alpha * sums) ** beta
    multiplied: a * (k + alpha * sums) ** beta
        a is multiplied by the power; it is divided by it, so that strong neighbours make it weaker.
""",
)
