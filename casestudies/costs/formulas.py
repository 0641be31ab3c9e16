"""What one layer costs: closed forms, pure functions of shapes.

The convention, everywhere in the course: one MAC is one multiply and one add; FLOPs = 2 x MACs; only
convolutions and matrix products count; padded positions count; figures are exact integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from torch import nn

Pair = tuple[int, int]


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1: one side of the output grid.

    The same formula serves pooling, where `ceil_mode` rounds up instead, as long as the last window still
    starts inside the input or its left padding.

    >>> conv_output_size(227, kernel=11, stride=4)  # AlexNet, conv1: (227 - 11) / 4 + 1
    55
    >>> conv_output_size(224, kernel=11, stride=4)  # the paper's 224: floor(53.25) + 1
    54
    >>> conv_output_size(224, kernel=7, stride=2, padding=3)  # ResNet: floor(111.5) + 1
    112
    >>> conv_output_size(32, kernel=3, stride=2, ceil_mode=True)  # NiN: ceil(14.5) + 1
    16
    >>> conv_output_size(32, kernel=3, dilation=2)  # three taps span five pixels
    28
    """
    for name, value, least in [
        ("size", size, 1),
        ("kernel", kernel, 1),
        ("stride", stride, 1),
        ("padding", padding, 0),
        ("dilation", dilation, 1),
    ]:
        if value < least:
            raise ValueError(f"{name} is {value}; expected an integer of at least {least}")
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    if room < 0:
        raise ValueError(
            f"a window of {span} does not fit into {size} + 2 x {padding} pixels; "
            f"size must be at least {span - 2 * padding}, or the padding larger"
        )
    steps = -(-room // stride) if ceil_mode else room // stride
    if ceil_mode and steps * stride >= size + padding:
        steps -= 1  # this window would see nothing but the right padding
    return steps + 1


def conv_parameters(
    in_channels: int, out_channels: int, kernel: int | Pair, groups: int = 1, bias: bool = True
) -> int:
    """k_h k_w (C_in / groups) C_out weights, and C_out biases.

    >>> conv_parameters(1, 6, 5)  # LeNet-5, C1: 6 x (5 x 5 x 1 + 1)
    156
    >>> conv_parameters(96, 256, 5, groups=2)  # AlexNet, conv2: 256 x (5 x 5 x 48 + 1)
    307456
    >>> conv_parameters(64, 64, 3, groups=64, bias=False)  # depthwise: 64 x (3 x 3)
    576
    """
    _check_groups(in_channels, out_channels, groups)
    height, width = pair(kernel)
    return out_channels * (height * width * in_channels // groups + bias)


def conv_macs(
    in_channels: int, out_channels: int, kernel: int | Pair, out_height: int, out_width: int, groups: int = 1
) -> int:
    """k_h k_w (C_in / groups) C_out H_out W_out: every weight is used once at every output position.

    >>> conv_macs(192, 32, 5, 28, 28)  # the 5x5 of an Inception module, direct
    120422400
    >>> conv_macs(192, 16, 1, 28, 28) + conv_macs(16, 32, 5, 28, 28)  # through 16
    12443648
    >>> conv_macs(3, 3, 3, 4, 4, groups=3) + conv_macs(3, 5, 1, 4, 4)  # 432 + 240
    672
    """
    weights = conv_parameters(in_channels, out_channels, kernel, groups, bias=False)
    return weights * out_height * out_width


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> int:
    """in_features x out_features weights, and out_features biases.

    >>> linear_parameters(120, 84)  # LeNet-5, F6: 84 x (120 + 1)
    10164
    """
    return out_features * (in_features + bias)


def linear_macs(in_features: int, out_features: int) -> int:
    """in_features x out_features: every weight is used once.

    >>> linear_macs(9216, 4096)  # AlexNet, fc6: 6 x 6 x 256 x 4096
    37748736
    """
    return in_features * out_features


def conv2d_parameters(layer: nn.Conv2d) -> int:
    """`conv_parameters` of a layer.

    >>> conv2d_parameters(nn.Conv2d(6, 16, 5))  # LeNet-5's C3 with every connection: 16 x (5 x 5 x 6 + 1)
    2416
    """
    bias = layer.bias is not None
    return conv_parameters(layer.in_channels, layer.out_channels, pair(layer.kernel_size), layer.groups, bias)


def conv2d_macs(layer: nn.Conv2d, out_height: int, out_width: int) -> int:
    """`conv_macs` of a layer whose output grid is out_height x out_width.

    >>> conv2d_macs(nn.Conv2d(1, 6, 5), 28, 28)  # LeNet-5, C1: (5 x 5 x 1 x 6) x (28 x 28)
    117600
    """
    return conv_macs(
        layer.in_channels, layer.out_channels, pair(layer.kernel_size), out_height, out_width, layer.groups
    )


def receptive_field(layers: Iterable[Pair]) -> int:
    """Side of the input square that one output pixel sees, after layers given as (kernel, stride).

    A kernel of k widens the field by (k - 1) jumps, where the jump is the product of the strides before it.

    >>> receptive_field([(3, 1), (3, 1)])  # two 3x3 see what one 5x5 sees
    5
    >>> receptive_field([(3, 1), (2, 2), (3, 1)])  # 1 + 2 + 1, then jumps of 2: 2 x 2
    8
    """
    seen, jump = 1, 1
    for kernel, stride in layers:
        seen += (kernel - 1) * jump
        jump *= stride
    return seen


def transposed_conv_macs(weights: int, in_channels: int, inputs: int) -> int:
    """Every number of the input meets every weight of its channel: `inputs` numbers, `weights` in all.

    >>> transposed_conv_macs(3 * 8 * 2 * 2, in_channels=3, inputs=3 * 5 * 5)  # 2x2, from 3 channels to 8
    2400
    """
    return weights // in_channels * inputs


def product_macs(rows: int, inner: int, columns: int, batch: int = 1) -> int:
    """A product of matrices, rows x inner and inner x columns, `batch` times.

    >>> product_macs(1, 9216, 4096)  # AlexNet, fc6
    37748736
    """
    return batch * rows * inner * columns


def attention_macs(queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...]) -> int:
    """Scaled dot product attention: queries with keys, and what they give with the values.

    Shapes are (..., tokens, features).

    >>> attention_macs((1, 2, 4, 3), (1, 2, 4, 3), (1, 2, 4, 3))  # two heads, four tokens, three features
    192
    """
    tokens, inner = queries[-2:]
    products = math.prod(queries[:-2]) * tokens * keys[-2]
    return products * (inner + values[-1])


def pair(value: int | Iterable[int]) -> Pair:
    """The last two of the values; one value serves both sides."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    return (values[-2], values[-1]) if len(values) > 1 else (values[0], values[0])


def _check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if groups < 1 or channels < 1 or channels % groups:
            raise ValueError(f"groups is {groups} and {name} is {channels}; groups must divide {name}")
