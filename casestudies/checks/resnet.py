"""Checks of the assignment `resnet`: the residual block, the bottleneck, a stage, the CIFAR-10 network.

The mistakes are edits of the source of `networks.resnet`, see `checking.tables`.
"""

from __future__ import annotations

from torch import Tensor, nn

from casestudies.checking.parts import SIDES, Reference, Space, any_of, part, written
from casestudies.checking.tables import table
from casestudies.networks import resnet
from casestudies.networks.resnet import BasicBlock, Bottleneck, conv_bn, shortcut

written("resnet", points=3)


def basic_blocks() -> Space:
    """Equal shapes, where the input itself is added; other channels; another grid; both."""
    return Space(
        {
            "in_channels, out_channels": (
                any_of((6, 6), (4, 4)),
                any_of((4, 6), (5, 7)),
                any_of((7, 4), (8, 5)),
            ),
            "stride": (1, 2, 3),
        },
        shape=("in_channels", SIDES, SIDES),
        without=("option",),
    )


@part("resnet/basic_block", points=4, title="The basic block", see="resnet.html#eq-residual")
def basic_block() -> Reference:
    return Reference(resnet.BasicBlock, basic_blocks())


@part("resnet/bottleneck", points=4, title="The bottleneck block", see="resnet.html#bottleneck")
def bottleneck() -> Reference:
    return Reference(
        resnet.Bottleneck,
        Space(
            {
                # as many channels as leave the block, fewer, more
                "in_channels, channels": (
                    any_of((12, 3), (8, 2)),
                    any_of((6, 3), (5, 2)),
                    any_of((9, 2), (7, 1)),
                ),
                "stride": (1, 2, 3),
            },
            shape=("in_channels", SIDES, SIDES),
            without=("option", "stride_in"),
        ),
    )


def stage(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    """`num_blocks` blocks in a row; only the first changes the grid and the channels."""
    first = BasicBlock(in_channels, out_channels, stride)
    rest = [BasicBlock(out_channels, out_channels) for index in range(1, num_blocks)]
    return nn.Sequential(first, *rest)


stage.__name__ = "residual_stage"


@part("resnet/residual_stage", points=2, title="A stage of blocks", see="resnet.html#stages")
def residual_stage() -> Reference:
    return Reference(
        stage,
        Space(
            {
                "in_channels, out_channels": (
                    any_of((4, 4), (3, 3)),
                    any_of((3, 5), (4, 6)),
                    any_of((6, 4), (5, 3)),
                ),
                "num_blocks": (1, 2, 4),  # more than the book's network has: two in the middle are not one
                "stride": (1, 2, 3),
            },
            shape=("in_channels", SIDES, SIDES),
        ),
    )


@part("resnet/cifar_resnet", points=4, title="The network for CIFAR-10", see="resnet.html#cifar")
def cifar_resnet() -> Reference:
    class CifarResNet(resnet.CifarResNet):
        def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
            super().__init__(num_blocks, num_classes, option="B")

    return Reference(
        CifarResNet,
        Space(
            {"num_blocks": (any_of(1, 2), 3), "num_classes": (10, any_of(7, 13))},
            shape=(3, (any_of(8, 12), any_of(9, 11)), (any_of(8, 12), any_of(9, 11))),
            # Twenty layers take as long as all the rest: once is enough.
            where=lambda num_blocks, num_classes: num_blocks < 3 or num_classes == 10,
            scale=1.5,
        ),
        weights={"structure": 2.0},
    )


@part(
    "resnet/repaired_block",
    points=3,
    title="Find the bug",
    see="resnet.html#what-goes-wrong",
    given=("relu_before_addition", "shortcut_without_batch_norm", "in_place_relu_on_input"),
)
def repaired_block() -> Reference:
    class RepairedBlock(resnet.BasicBlock):
        pass

    return Reference(RepairedBlock, basic_blocks())


# --------------------------------------------------------------------------- mistakes of every block

BLOCKS = """
forward: return F.relu(self.residual(x) + self.shortcut(x))  # eq-residual
    relu_before_addition: return F.relu(self.residual(x)) + self.shortcut(x)
        ReLU is applied to F(x) before the input is added; the published block adds first and applies g to the sum.
    relu_twice: return F.relu(F.relu(self.residual(x)) + self.shortcut(x))
        ReLU is applied to F(x) and again to the sum, so the block can only ever add to its input, never subtract;
        the published block has one ReLU, after the sum.
    no_final_relu: return self.residual(x) + self.shortcut(x)
        The ReLU after the addition is missing: the block returns F(x) + x itself.
    skip_forgotten: return F.relu(self.residual(x))
        + self.shortcut = shortcut(in_channels, out_channels, stride, option) =>
        The input is never added: this is a plain block, relu(F(x)), the very network that degrades with depth.
    shortcut_unused: self.shortcut(x); return F.relu(self.residual(x))
        The shortcut is built but its result is never added to F(x).
    shortcut_never_used: return F.relu(self.residual(x))
        The shortcut is built in the constructor, but forward never uses it: the input is not added.
    in_place_addition: carried = self.shortcut(x); carried += self.residual(x); return F.relu(carried)
        The sum is written into x itself (x += ...), so whoever else holds the block's input sees it change.
    concatenated: return F.relu(torch.cat([self.residual(x), self.shortcut(x)], dim=1))
        F(x) and x are concatenated along the channels; a residual block adds them.
    multiplied: return F.relu(self.residual(x) * self.shortcut(x))
        F(x) is multiplied with x; a residual block adds them.
    subtracted: return F.relu(self.residual(x) - self.shortcut(x))
        x is subtracted from F(x); a residual block adds it.

self.shortcut = shortcut(in_channels, out_channels, stride, option)  # eq-residual
    in_place_relu_on_input: self.shortcut = shortcut(in_channels, out_channels, stride, option); \
        self.residual.insert(0, nn.ReLU(inplace=True))
        An in-place ReLU overwrites the input of the block, and with it the x that is added later.
    relu_on_input: self.shortcut = nn.Sequential(nn.ReLU(), shortcut(in_channels, out_channels, stride, option)); \
        self.residual.insert(0, nn.ReLU())
        ReLU is applied to x before anything else; the block's input is used as it is.

shortcut: conv_bn(in_channels, out_channels, 1, stride)  # shortcuts
    shortcut_without_batch_norm: conv_bn(in_channels, out_channels, 1, stride)[0]
        The projection on the shortcut has no batch norm; every convolution of the block is followed by one.
    relu_on_shortcut: conv_bn(in_channels, out_channels, 1, stride).append(nn.ReLU())
        ReLU is applied to the projected input before the sum; the shortcut is linear, equation (2) of the paper.
    wide_projection: conv_bn(in_channels, out_channels, 3, stride)
        The projection on the shortcut is a 3x3 convolution; the paper's is 1x1, which only mixes channels.
    pooled_shortcut: conv_bn(in_channels, out_channels, 1).insert(0, nn.AvgPool2d(stride, ceil_mode=True))
        The shortcut shrinks the grid with average pooling before its 1x1 convolution; the paper's projection takes
        every second pixel, by its stride.
    padded_shortcut: PadShortcut(in_channels, out_channels, stride)
        The shortcut takes every second pixel and fills the new channels with zeros (option A); this assignment asks
        for a projection where the shapes differ (option B).
    projection_without_stride: conv_bn(in_channels, out_channels, 1)
        The projection on the shortcut does not take the stride, so the grids of F(x) and of x differ.

shortcut: stride == 1 and in_channels == out_channels  # shortcuts
    projection_everywhere: False
        The shortcut is a projection even where the shapes agree; there the input itself is added.
    projection_for_stride_only: stride == 1
        The shortcut projects only where the stride is not 1; a change of channels needs a projection too.
    projection_for_channels_only: in_channels == out_channels
        The shortcut projects only where the channels change; a stride of 2 needs a projection too.

conv_bn: bias=False  # batch-norm
    bias_before_batch_norm: bias=True
        The convolutions have biases although a batch norm follows, which subtracts any constant: use bias=False.

conv_bn: nn.BatchNorm2d(out_channels)  # batch-norm
    batch_norm_missing:
        + shortcut: conv_bn(in_channels, out_channels, 1, stride) => \
        conv_bn(in_channels, out_channels, 1, stride).append(nn.BatchNorm2d(out_channels))
        There is no batch norm after the convolutions of F.
    batch_norm_without_scale: nn.BatchNorm2d(out_channels, affine=False)
        + shortcut: conv_bn(in_channels, out_channels, 1, stride) => \
        conv_bn(in_channels, out_channels, 1, stride)[:1].append(nn.BatchNorm2d(out_channels))
        The batch norms have no scale and shift (affine=False); the paper's learn both.

conv_bn: padding=kernel // 2  # eq-residual
    padding_forgotten: padding=0
        The 3x3 convolutions have no padding, so the grid of F(x) shrinks and x no longer fits the sum.
"""

BASIC = """
conv_bn(in_channels, out_channels, 3, stride)  # stride
    stride_on_second: conv_bn(in_channels, out_channels, 3)
        + conv_bn(out_channels, out_channels, 3) => conv_bn(out_channels, out_channels, 3, stride)
        The stride sits on the second 3x3 convolution; a basic block strides in its first.
    stride_forgotten: conv_bn(in_channels, out_channels, 3)
        No convolution of F carries the stride.

conv_bn(out_channels, out_channels, 3)  # stride
    stride_on_both: conv_bn(out_channels, out_channels, 3, stride)
        Both convolutions carry the stride, so the grid shrinks twice; only the first does.

BasicBlock: nn.ReLU()  # eq-residual
    relu_missing_between:
        There is no ReLU between the convolutions of F: without it they are one linear map in two pieces.

conv_bn(out_channels, out_channels, 3)  # batch-norm
    last_batch_norm_missing: conv_bn(out_channels, out_channels, 3)[0]
        The last convolution of F has no batch norm; every convolution is followed by one, also before the sum.
"""

for _part in ("resnet/basic_block", "resnet/repaired_block"):
    table(_part, (BasicBlock, shortcut, conv_bn), BLOCKS + BASIC)

NECK = """
(1, stride)  # stride
    stride_on_first: (stride, 1)
        The stride sits on the first 1x1 convolution, as in the models that the authors released (v1); this assignment
        asks for v1.5, with the stride on the 3x3, which sees every pixel.
    stride_on_both: (stride, stride)
        Two convolutions carry the stride, so the grid shrinks twice; only the 3x3 does.
    stride_on_last: (1, 1)
        + conv_bn(channels, out_channels, 1) => conv_bn(channels, out_channels, 1, stride)
        The stride sits on the last 1x1 convolution; it belongs on the 3x3.

expansion = 4
    no_expansion: expansion = 1
        The last 1x1 convolution gives `channels` channels; a bottleneck restores 4 x channels.

out_channels = self.expansion * channels
    wide_middle: out_channels = channels = self.expansion * channels
        The 3x3 convolution works on 4 x channels; the point of the bottleneck is that it works on few.

conv_bn(in_channels, channels, 1, first), nn.ReLU()
    first_relu_missing: conv_bn(in_channels, channels, 1, first)
        The ReLU after the first 1x1 convolution is missing.

conv_bn(channels, channels, 3, second), nn.ReLU()
    second_relu_missing: conv_bn(channels, channels, 3, second)
        The ReLU after the 3x3 convolution is missing.

every nn.ReLU()  # eq-residual
    relu_missing_between:
        There are no ReLUs between the convolutions of F: without them the three are one linear map in three pieces.

conv_bn(channels, out_channels, 1)  # batch-norm
    last_batch_norm_missing: conv_bn(channels, out_channels, 1)[0]
        The last convolution of F has no batch norm; every convolution is followed by one, also before the sum.
"""

table("resnet/bottleneck", (Bottleneck, shortcut, conv_bn), BLOCKS + NECK)

# --------------------------------------------------------------------------- a stage

STAGE = """
BasicBlock(in_channels, out_channels, stride)
    stride_ignored: BasicBlock(in_channels, out_channels)
        No block carries the stride: the grid stays as it is.
    stride_in_last_block: BasicBlock(in_channels, out_channels, 1 if num_blocks > 1 else stride)
        + BasicBlock(out_channels, out_channels) => \
        BasicBlock(out_channels, out_channels, stride if index == num_blocks - 1 else 1)
        The last block carries the stride; the first does, so that the rest works on the smaller grid.

BasicBlock(out_channels, out_channels)
    stride_in_every_block: BasicBlock(out_channels, out_channels, stride)
        Every block of the stage carries the stride; only the first may change the grid.
    channels_not_carried_on: BasicBlock(in_channels, out_channels)
        Every block is built for the stage's input channels; from the second block on they are out_channels.

range(1, num_blocks)
    one_block_too_many: range(num_blocks)
        The stage has num_blocks blocks after the first one; it has num_blocks in all.

nn.Sequential(first, *rest)
    one_block_too_few: nn.Sequential(first, *rest)[: num_blocks - 1]
        The stage has one block less than num_blocks.

[BasicBlock(out_channels, out_channels) for index in range(1, num_blocks)]
    block_repeated: [BasicBlock(out_channels, out_channels)] * (num_blocks - 1)
        One and the same block object is used again and again ([block] * n), so all share one set of weights.
"""

# A stage or a network may be right and its block wrong: then the block's mistake is named, where it is used.
WHERE_USED = "The {} itself may be right; the block that it is made of is not: {{}}"

SOURCE_OF_STAGE = (stage, BasicBlock, shortcut, conv_bn)
table("resnet/residual_stage", SOURCE_OF_STAGE, STAGE)
table("resnet/residual_stage", SOURCE_OF_STAGE, BLOCKS + BASIC, said=WHERE_USED.format("stage"))

# --------------------------------------------------------------------------- the network for CIFAR-10


class Network(nn.Module):
    """`networks.resnet.CifarResNet`, with its numbers written out."""

    def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.stages = nn.Sequential(
            stage(16, 16, num_blocks, 1), stage(16, 32, num_blocks, 2), stage(32, 64, num_blocks, 2)
        )
        self.linear = nn.Linear(64, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.stages(self.stem(x)).mean(dim=(2, 3)))


NETWORK = """
nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    image_net_stem: nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        The stem is the one for ImageNet (7x7, stride 2, max pooling); 32x32 images start with a single 3x3.
    stem_without_relu: nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        There is no ReLU after the first convolution and its batch norm.
    stem_without_batch_norm: nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.ReLU()
        There is no batch norm after the first convolution.
    stem_with_bias: nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU()
        The first convolution has a bias although a batch norm follows; use bias=False.

every Network: 16
    image_net_widths: 64
        + every Network: 32 => 128
        + every Network: 64 => 256
        The widths start at 64; the CIFAR-10 networks of the paper have 16, 32 and 64 channels.

stage(16, 16, num_blocks, 1)
    first_stage_strides: stage(16, 16, num_blocks, 2)
        The first stage already halves the grid; it works at full resolution, only stages 2 and 3 stride.

every Network: num_blocks, 2
    no_strides: num_blocks, 1
        No stage strides: the grid stays 32x32 to the end.

every Network: num_blocks
    depth_ignored: 3
        The number of blocks is fixed at 3 whatever num_blocks says.
    one_block_more: num_blocks + 1
        Each stage has one block more than num_blocks; the depth is then 6n + 8, not 6n + 2.

Network: num_classes
    classes_ignored: 10
        The last layer has 10 outputs whatever num_classes says.

nn.Linear(64, num_classes)
    linear_without_bias: nn.Linear(64, num_classes, bias=False)
        The last linear layer has no bias; no batch norm follows it, so it keeps one.

self.stages(self.stem(x)).mean(dim=(2, 3))
    max_pooled: self.stages(self.stem(x)).amax(dim=(2, 3))
        The head takes the maximum over the grid; the paper ends with global average pooling.
    sum_pooled: self.stages(self.stem(x)).sum(dim=(2, 3))
        The head adds up the grid instead of averaging it, so the logits depend on the size of the image.

self.linear(self.stages(self.stem(x)).mean(dim=(2, 3)))
    softmax_inside: self.linear(self.stages(self.stem(x)).mean(dim=(2, 3))).softmax(dim=1)
        The network ends with a softmax; it returns logits, since the cross-entropy loss applies the softmax.
    relu_on_logits: F.relu(self.linear(self.stages(self.stem(x)).mean(dim=(2, 3))))
        A ReLU is applied to the logits, which cuts off everything negative.

stage: BasicBlock(out_channels, out_channels)
    stride_everywhere: BasicBlock(out_channels, out_channels, stride)
        Every block of stages 2 and 3 strides; only the first of a stage does.
"""

SOURCE_OF_NETWORK = (Network, stage, BasicBlock, shortcut, conv_bn)
table("resnet/cifar_resnet", SOURCE_OF_NETWORK, NETWORK)
table(
    "resnet/cifar_resnet",
    SOURCE_OF_NETWORK,
    BLOCKS + BASIC,
    said=WHERE_USED.format("network"),
    # In the CIFAR-10 network grid and channels change together, every block's input has been through a ReLU, and
    # products of activations overflow: there these do no harm, or none that has a name.
    but=("projection_for_stride_only", "projection_for_channels_only", "relu_on_input", "multiplied"),
)
