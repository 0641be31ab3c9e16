"""Checks of the assignment `nin`: 1x1 convolutions, the block made of them, and the head that averages.

The mistakes are edits of the references below and of the blocks of `networks.nin`, see `checking.tables`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from casestudies.checking.parts import SIDES, Call, Dice, Group, Reference, Space, Values, any_of, call, part
from casestudies.checking.tables import table
from casestudies.networks import nin
from casestudies.networks.nin import GlobalAverageHead, NiNBlock, mlpconv

# --------------------------------------------------------------------------- references


def conv1x1(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """(N, in, H, W), weight (out, in, 1, 1), bias (out,) -> (N, out, H, W)."""
    pixels = x.permute(0, 2, 3, 1)  # (N, H, W, in)
    return (pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]


def conv1x1_parameters(in_channels: int, out_channels: int, bias: bool = True) -> int:
    """in x out weights, and one bias for each output channel."""
    return in_channels * out_channels + (out_channels if bias else 0)


class RepairedPixelMLP(nn.Module):
    """Linear, ReLU, linear at every pixel: (N, in_channels, H, W) -> (N, out_channels, H, W)."""

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(in_channels, hidden)
        self.linear2 = nn.Linear(hidden, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        pixels = x.permute(0, 2, 3, 1)  # (N, H, W, C): what a linear layer works on comes last
        return self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 1, 2)


# --------------------------------------------------------------------------- parts


def pixels(dice: Dice, batch: int, in_channels: int, height: int, width: int, out_channels: int) -> Call:
    """Arguments of `conv1x1`."""
    return call(
        dice.normal(batch, in_channels, height, width),
        dice.normal(out_channels, in_channels, 1, 1),
        dice.normal(out_channels, scale=2.0),
    )


@part("nin/conv1x1", points=4, title="A 1x1 convolution without a convolution", see="nin.html#conv1x1")
def conv1x1_part() -> Values:
    return Values(
        conv1x1,
        Group("other channels out than in", lambda d: [pixels(d, 3, 4, 5, 6, 7), pixels(d, 2, 6, 5, 4, 3)]),
        Group("as many channels out as in", lambda d: [pixels(d, 2, 4, 3, 5, 4)]),
        Group(
            "a grid as wide or as high as there are channels, a single channel in",
            lambda d: [
                pixels(d, 2, 3, 4, 6, 6),
                pixels(d, 2, 5, 3, 5, 4),
                pixels(d, 2, 3, 6, 4, 6),
                pixels(d, 3, 1, 4, 2, 5),
            ],
        ),
        Group(
            "a single channel out, a single pixel",
            lambda d: [pixels(d, 2, 4, 3, 5, 1), pixels(d, 1, 3, 1, 1, 4)],
        ),
        gradients=True,
        forbids={
            "convolution": "Your function calls a convolution of PyTorch; this part asks you to write it with "
            "the operations of linear algebra, without F.conv2d and nn.Conv2d."
        },
    )


def counts(**kwargs: bool) -> Callable[[Dice], list[Call]]:
    def make(dice: Dice) -> list[Call]:
        in_channels = dice.integer(5, 200)
        sizes = [
            (in_channels, in_channels + dice.integer(3, 200)),
            (dice.integer(100, 200), dice.integer(5, 60)),
        ]
        return [call(*each, **kwargs) for each in sizes]

    return make


@part("nin/conv1x1_parameters", points=3, title="Its parameters", see="nin.html#conv1x1-cost")
def conv1x1_parameters_part() -> Values:
    return Values(
        conv1x1_parameters,
        Group("with a bias", counts()),
        Group("without a bias", counts(bias=False)),
        Group("the bias asked for by name", counts(bias=True)),
    )


@part("nin/nin_block", points=5, title="The NiN block", see="nin.html#mlpconv")
def nin_block() -> Reference:
    return Reference(
        nin.NiNBlock,
        Space(
            {
                "in_channels, out_channels": (
                    any_of((5, 5), (3, 3)),
                    any_of((3, 5), (4, 6)),
                    any_of((6, 4), (7, 3)),
                ),
                "kernel_size": (any_of(3, 5), any_of(2, 4), 1),
                "stride": (1, 2, 3),
                "padding": (0, 1, 2),
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part(
    "nin/global_average_head", points=4, title="The head that averages", see="nin.html#global-average-pooling"
)
def global_average_head() -> Reference:
    return Reference(
        nin.GlobalAverageHead,
        Space(
            {
                "in_channels, num_classes": (
                    any_of((5, 5), (3, 3)),
                    any_of((6, 4), (5, 1)),
                    any_of((4, 9), (2, 7)),
                )
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part(
    "nin/repaired_pixel_mlp",
    points=4,
    title="Find the bug",
    see="nin.html#what-goes-wrong",
    given=("still_reshaped_twice",),
)
def repaired_pixel_mlp() -> Reference:
    return Reference(
        RepairedPixelMLP,
        Space(
            {
                # as many channels as leave the block, fewer, more; as many as there are rows or columns
                "in_channels, hidden, out_channels": (
                    any_of((5, 8, 5), (6, 3, 6)),
                    any_of((3, 6, 4), (6, 6, 8)),
                    any_of((7, 5, 5), (8, 9, 6)),
                )
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


# --------------------------------------------------------------------------- mistakes

table(
    "nin/conv1x1",
    conv1x1,
    """
weight[:, :, 0, 0].T
    weight_transposed: weight[:, :, 0, 0]
        The axes of the weight are swapped: it has the shape (out, in, 1, 1), so output channel o uses weight[o].
    weight_reshaped: weight.reshape(weight.shape[1], weight.shape[0])
        The weight is reshaped to (in, out), which puts its numbers in other places; to swap two axes, transpose.
    weight_squeezed: weight.squeeze().transpose(0, -1)
        weight.squeeze() drops every axis of size 1, also the channels where there is one only: take weight[:, :, 0,
        0] or flatten(1).
pixels @ weight[:, :, 0, 0].T
    summed_over_outputs: torch.einsum("nhwc,co->nhwo", pixels, weight[:, :, 0, 0])
        The sum runs over the first axis of the weight; that one counts the output channels, (out, in, 1, 1). The sum
        runs over the input channels, its second axis ("nchw,oc->nohw").
    averaged: pixels @ weight[:, :, 0, 0].T / weight.shape[1]
        The weighted channels are averaged; they are added up.
bias[:, None, None]
    bias_along_columns: bias
        The bias is added along the columns of the image (y + bias aligns the last axes); there is one for each
        channel: bias[:, None, None].
    bias_along_rows: bias[:, None]
        The bias is added along the rows of the image; there is one for each channel: bias[:, None, None].
    bias_not_added: 0
        The bias is missing: every output channel has one, added at each of its pixels.
    bias_subtracted: -bias[:, None, None]
        The bias is subtracted; it is added at every pixel.
    bias_once_per_input_channel: x.shape[1] * bias[:, None, None]
        The bias is added once for every input channel, inside their sum; it is added once, after the sum.
(pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]
    relu_added: F.relu((pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None])
        A ReLU is applied to the result; the convolution itself is linear, and its values may be negative.
    channels_left_last: ((pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]) \
        .permute(0, 2, 3, 1)
        The channels are left in the last axis, (N, H, W, out); move them back to (N, out, H, W).
    reshaped_out: (pixels @ weight[:, :, 0, 0].T + bias).reshape(len(x), -1, *x.shape[2:])
        The result is reshaped to (N, out, H, W) while its channels are the last axis: this mixes up pixels and
        channels. Move the channels back with permute or transpose.
    reshaped_in_and_out: (pixels @ weight[:, :, 0, 0].T + bias).reshape(len(x), -1, *x.shape[2:])
        + x.permute(0, 2, 3, 1) => x.reshape(len(x), *x.shape[2:], -1)
        Reshaping to (N, H W, in) and back to (N, out, H, W) mixes up pixels and channels, twice. Axes are moved with
        permute or transpose; reshape only joins or splits neighbouring ones.
    reshaped_before_the_bias: (pixels @ weight[:, :, 0, 0].T).reshape(len(x), -1, *x.shape[2:]) \
        + bias[:, None, None]
        + x.permute(0, 2, 3, 1) => x.reshape(len(x), *x.shape[2:], -1)
        The bias is added to the right channels, but before that, reshaping to (N, H W, in) and back mixes up pixels
        and channels. Axes are moved with permute or transpose.
    grid_transposed: ((pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]).transpose(2, 3)
        Rows and columns of the image are swapped; only the channels have to move, and back again.
    mixed_along_columns: F.linear(x, weight[:, :, 0, 0], bias)
        The weight is applied to the last axis, the columns, as F.linear does; it mixes channels, the second axis.
    gradient_cut: ((pixels @ weight[:, :, 0, 0].T).permute(0, 3, 1, 2) + bias[:, None, None]).detach()
        The values are right, but no gradient flows back (NumPy, detach, .data or no_grad).
x.permute(0, 2, 3, 1)
    reshaped_in: x.reshape(len(x), *x.shape[2:], -1)
        The image is reshaped to (N, H W, in): this mixes up pixels and channels. Move the channel axis last with
        permute or transpose, then flatten.
""",
)

table(
    "nin/conv1x1_parameters",
    conv1x1_parameters,
    """
out_channels if bias else 0
    bias_forgotten: 0
        The biases are not counted, though the convolution has them unless bias=False.
    bias_always: out_channels
        The biases are counted even with bias=False.
    bias_the_other_way: 0 if bias else out_channels
        The biases are counted exactly when there are none: the condition is the wrong way round.
    bias_per_input: in_channels if bias else 0
        There is a bias for every output channel, not for every input channel.
    single_bias: 1 if bias else 0
        There is not one bias in all, but one for every output channel.
    bias_per_weight: in_channels * out_channels if bias else 0
        There is not a bias for every weight, but one for every output channel.
in_channels * out_channels
    kernel_of_nine: 9 * in_channels * out_channels
        The weights of a 3x3 kernel are counted; a 1x1 kernel has one for each pair of channels.
    channels_added: in_channels + out_channels
        The numbers of channels are added; every output channel has a weight for every input channel: multiply.
    one_kernel_for_all: in_channels
        One weight for each input channel is counted; every output channel has its own.
    one_weight_for_each_output: out_channels
        One weight for each output channel is counted; each has one for every input channel.
in_channels * out_channels + (out_channels if bias else 0)
    float_returned: float(in_channels * out_channels + (out_channels if bias else 0))
        The result is a float; a count is an int (// instead of /, 2 instead of 2.0).
    counted_twice: 2 * (in_channels * out_channels + (out_channels if bias else 0))
        Every parameter is counted twice; the factor 2 belongs to operations (a multiplication and an addition).
""",
)

table(
    "nin/nin_block",
    (NiNBlock, mlpconv),
    """
nn.Sequential(*layers)
    no_relu_between: nn.Sequential(*layers[::2], layers[-1])
        There is no ReLU between the convolutions: the 1x1 layers are then one linear map with the first, and add
        nothing.
    relu_missing_after_second: nn.Sequential(*layers[:3], *layers[4:])
        The ReLU between the two 1x1 convolutions is missing: the two are then a single linear map.
    last_relu_missing: nn.Sequential(*layers[:-1])
        The ReLU after the last 1x1 convolution is missing; all three convolutions have one.
    softmax_at_the_end: nn.Sequential(*layers[:-1], nn.Softmax(dim=1))
        The block ends with a softmax; it ends with a ReLU, like its other layers.
    pool_at_the_end: nn.Sequential(*layers, nn.MaxPool2d(3, stride=2, ceil_mode=True))
        The block ends with a max pool; in NiN the pools stand between the blocks.
    relu_on_the_input: nn.Sequential(nn.ReLU(), *layers)
        A ReLU is applied to the input of the block; each ReLU stands after a convolution.
    input_overwritten: nn.Sequential(nn.ReLU(inplace=True), *layers)
        An in-place ReLU overwrites the input of the block, which does not belong to it.
nn.Conv2d(in_channels, widths[0], kernel, stride, padding), nn.ReLU()
    relu_missing_after_first: nn.Conv2d(in_channels, widths[0], kernel, stride, padding)
        The ReLU after the k x k convolution is missing.
every nn.ReLU()
    tanh_for_relu: nn.Tanh()
        The activation is tanh; NiN uses ReLU.
    sigmoid_for_relu: nn.Sigmoid()
        The activation is the sigmoid; NiN uses ReLU.
    leaky_relu: nn.LeakyReLU()
        The activation is a leaky ReLU, which lets a little of the negative values through; NiN uses ReLU.
(out_channels,) * 3
    single_one_by_one: (out_channels,) * 2
        There is one 1x1 convolution; the block has two after its k x k convolution.
    three_one_by_one: (out_channels,) * 4
        There are three 1x1 convolutions; the block has two after its k x k convolution.
    channels_changed_at_the_end: (in_channels, in_channels, out_channels)
        The channels change only in the last layer; the first convolution already gives out_channels.
before, after, 1
    large_kernels_throughout: before, after, kernel, 1, kernel // 2
        All three convolutions are k x k; the second and the third are 1x1, which is the idea of the network.
    padding_everywhere: before, after, 1, 1, padding
        The 1x1 convolutions are padded too, so that the image grows a border of biases; a 1x1 kernel needs no
        padding.
    stride_everywhere: before, after, 1, stride
        The 1x1 convolutions stride too, so the grid shrinks three times; only the first one does.
    stride_and_padding_everywhere: before, after, 1, stride, padding
        Stride and padding are given to all three convolutions; they belong to the first.
kernel, stride, padding
    stride_ignored: kernel, 1, padding
        The stride is not passed on to the first convolution.
    padding_ignored: kernel, stride
        The padding is not passed on to the first convolution.
    padding_from_the_kernel: kernel, stride, kernel // 2
        The padding is kernel_size // 2 whatever the argument says.
    no_bias: kernel, stride, padding, bias=False
        + before, after, 1 => before, after, 1, bias=False
        The convolutions have no biases; no batch norm follows them here, so they keep theirs.
nn.Conv2d(in_channels, widths[0], kernel, stride, padding)
    batch_norm_added: nn.Conv2d(in_channels, widths[0], kernel, stride, padding), nn.BatchNorm2d(widths[0])
        + nn.Conv2d(before, after, 1) => nn.Conv2d(before, after, 1), nn.BatchNorm2d(after)
        A batch norm follows each convolution; this network is from 2013 and has none.
""",
)

table(
    "nin/global_average_head",
    GlobalAverageHead,
    """
self.class_maps(x)
    relu_on_class_maps: F.relu(self.class_maps(x))
        A ReLU is applied to the class maps: evidence against a class is cut off before the average.
    softmax_on_maps: self.class_maps(x).softmax(dim=1)
        A softmax is applied to the class maps at every pixel; the maps are averaged as they are.
    relu_before_the_maps: self.class_maps(F.relu(x))
        A ReLU is applied to the input of the head; the block before it has had its own.
self.class_maps(x).mean(dim=(2, 3))
    max_pooled: self.class_maps(x).amax(dim=(2, 3))
        The maximum of each map is taken; the logit is its average.
    sum_pooled: self.class_maps(x).sum(dim=(2, 3))
        The maps are added up, so the logits grow with the image; the logit is the average.
    rows_averaged: self.class_maps(x).mean(dim=2).amax(dim=2)
        The average runs over the rows only, and the largest of these is taken; it runs over the whole grid.
    first_pixel: self.class_maps(x)[:, :, 0, 0]
        Only the first pixel of each map is used; the logit is the average over all of them.
    batch_averaged: self.class_maps(x).mean(dim=(0, 2, 3)).expand(len(x), -1)
        The average also runs over the batch, so that all images get the same logits.
    relu_on_logits: F.relu(self.class_maps(x).mean(dim=(2, 3)))
        A ReLU is applied to the logits; they may be negative.
    softmax_inside: self.class_maps(x).mean(dim=(2, 3)).softmax(dim=1)
        The head ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax.
    log_softmax_inside: self.class_maps(x).mean(dim=(2, 3)).log_softmax(dim=1)
        The head ends with a log-softmax; it returns logits, since the cross-entropy loss does the rest.
    sigmoid_inside: self.class_maps(x).mean(dim=(2, 3)).sigmoid()
        The head ends with a sigmoid; it returns logits.
    grid_kept: self.class_maps(x).mean(dim=(2, 3))[:, :, None, None]
        The output still has a grid of one pixel, (N, num_classes, 1, 1); it must be (N, num_classes).
    batch_squeezed: self.class_maps(x).mean(dim=(2, 3)).squeeze()
        squeeze() drops every axis of size 1, also the batch when it has a single image: flatten(1) keeps it.
num_classes
    classes_ignored: 10
        There are 10 class maps whatever num_classes says.
in_channels, num_classes, 1
    wide_kernel: in_channels, num_classes, 3, padding=1
        The class maps come from a 3x3 convolution; the head's is 1x1.
    maps_without_bias: in_channels, num_classes, 1, bias=False
        The 1x1 convolution has no bias; every class has one.
nn.Conv2d(in_channels, num_classes, 1)
    hidden_layer: nn.Sequential(nn.Conv2d(in_channels, in_channels, 1), nn.ReLU(), \
        nn.Conv2d(in_channels, num_classes, 1))
        There is another 1x1 convolution with a ReLU before the class maps; the head has a single layer.
    batch_norm_on_maps: nn.Sequential(nn.Conv2d(in_channels, num_classes, 1), nn.BatchNorm2d(num_classes))
        A batch norm follows the 1x1 convolution; the class maps are averaged as they are.
""",
)

table(
    "nin/repaired_pixel_mlp",
    RepairedPixelMLP,
    """
x.permute(0, 2, 3, 1)
    still_reshaped_twice: x.reshape(len(x), *x.shape[2:], -1)
        + self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 1, 2) => \
        self.linear2(F.relu(self.linear1(pixels))).reshape(len(x), -1, *x.shape[2:])
        Both reshapes are still there, on the way in and on the way out: they mix up pixels and channels. Axes are
        moved with permute or transpose.
    still_reshaped_in: x.reshape(len(x), *x.shape[2:], -1)
        The way out is right, but the image is still reshaped on the way in, which mixes up pixels and channels: move
        the channel axis last with permute.
    gradient_lost: x.detach().permute(0, 2, 3, 1)
        No gradient reaches the input (detach, .data or no_grad).
self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 1, 2)
    still_reshaped_out: self.linear2(F.relu(self.linear1(pixels))).reshape(len(x), -1, *x.shape[2:])
        The way in is right, but the result is still reshaped on the way out while its channels are the last axis:
        move them back with permute.
    rows_and_columns_swapped: self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 2, 1)
        Rows and columns of the image are swapped in the end; permute(0, 3, 1, 2) undoes permute(0, 2, 3, 1).
    channels_last: self.linear2(F.relu(self.linear1(pixels)))
        The output is (N, H, W, out_channels); move the channels back to the second axis.
    grid_lost: self.linear2(F.relu(self.linear1(pixels))).permute(0, 3, 1, 2).flatten(2)
        The output is (N, out_channels, H W): the grid has to be restored.
    averaged_at_the_end: self.linear2(F.relu(self.linear1(pixels))) \
        .mean(dim=(1, 2), keepdim=True).expand(-1, *x.shape[2:], -1).permute(0, 3, 1, 2)
        The pixels are averaged in the end; every pixel has its own output.
F.relu(self.linear1(pixels))
    relu_gone: self.linear1(pixels)
        There is no ReLU between the two linear layers any more: they are then a single linear map.
self.linear2(F.relu(self.linear1(pixels)))
    relu_at_the_end: F.relu(self.linear2(F.relu(self.linear1(pixels))))
        There is a ReLU after the last layer, where there was none.
nn.Linear(in_channels, hidden)
    first_bias_gone: nn.Linear(in_channels, hidden, bias=False)
        The first layer has lost its bias.
nn.Linear(hidden, out_channels)
    last_bias_gone: nn.Linear(hidden, out_channels, bias=False)
        The last layer has lost its bias.
""",
)
