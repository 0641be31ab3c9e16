"""What one layer costs: closed forms, pure functions of shapes.

The convention, everywhere in the course: one MAC is one multiply and one add; FLOPs = 2 x MACs; only
convolutions and matrix products count; padded positions count; figures are exact integers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from torch import nn

from casestudies.sizes import whole

Pair = tuple[int, int]


def whole_pair(name: str, value: object, least: int = 1) -> Pair:
    """(height, width); one whole number serves both."""
    sides = _items(value)
    if sides is not None:
        if len(sides) != 2:
            raise ValueError(f"{name} is {value!r}; expected one integer or two, (height, width)")
        return whole(f"{name}[0]", sides[0], least), whole(f"{name}[1]", sides[1], least)
    number = whole(name, value, least)
    return number, number


def _items(value: object) -> list[object] | None:
    """What is in a list and its like, in order; None for anything else."""
    if isinstance(value, (str, bytes, dict, set, frozenset)) or not isinstance(value, Iterable):
        return None
    try:
        return list(value)
    except TypeError:  # a tensor or an array of a single number
        return None


def _flag(name: str, value: object) -> bool:
    if not isinstance(value, (bool, int)) or value not in (0, 1):
        raise ValueError(f"{name} is {value!r}; expected True or False")
    return bool(value)


def _shape(name: str, value: object) -> tuple[int, ...]:
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)) or len(value) < 2:
        raise ValueError(f"{name} is {value!r}; expected a shape, (..., tokens, features)")
    return tuple(whole(f"{name}[{place}]", size) for place, size in enumerate(value))


def conv_output_size(
    size: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1, ceil_mode: bool = False
) -> int:
    """Compute one side of an output grid: floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.

    The same formula serves convolution and pooling.

    Args:
        size: The side of the input, in pixels.
        kernel: The side of the window, in pixels.
        stride: How many pixels the window moves at a time; 1 by default.
        padding: How many pixels are added at each end of the side; 0 by default.
        dilation: The distance between neighbouring pixels that the window reads; 1 by default.
        ceil_mode: Whether to round up instead, as some pools do, as long as the last window still starts inside the
            input or its left padding; False by default.

    Returns:
        The side of the output, in pixels.

    Raises:
        ValueError: An argument is out of its range, or no window fits.

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
    size, kernel, stride = whole("size", size), whole("kernel", kernel), whole("stride", stride)
    padding, dilation = whole("padding", padding, 0), whole("dilation", dilation)
    ceil_mode = _flag("ceil_mode", ceil_mode)
    span = dilation * (kernel - 1) + 1
    room = size + 2 * padding - span
    spare = stride - 1 if ceil_mode else 0  # how far a window may reach out
    steps = (room + spare) // stride
    if steps < 0:
        raise ValueError(
            f"a window of {span} does not fit into {size} + 2 x {padding} pixels (kernel is {kernel}, dilation is "
            f"{dilation}); size must be at least {span - 2 * padding - spare}, or the padding larger"
        )
    if ceil_mode and steps * stride >= size + padding:
        steps -= 1  # this window would see nothing but the right padding
    return steps + 1


def conv_parameters(
    in_channels: int, out_channels: int, kernel: int | Pair, groups: int = 1, bias: bool = True
) -> int:
    """Count the parameters of a convolution: k_h k_w (C_in / groups) C_out weights, and C_out biases.

    Args:
        in_channels: The number of input channels, C_in.
        out_channels: The number of output channels, C_out.
        kernel: The side of a square kernel, or its two sides, (height, width).
        groups: The number of groups, which divides both numbers of channels; 1 by default.
        bias: Whether each output channel has a bias; True by default.

    Returns:
        The number of parameters.

    Raises:
        ValueError: An argument is out of its range, or `groups` does not divide the channels.

    >>> conv_parameters(1, 6, 5)  # LeNet-5, C1: 6 x (5 x 5 x 1 + 1)
    156
    >>> conv_parameters(96, 256, 5, groups=2)  # AlexNet, conv2: 256 x (5 x 5 x 48 + 1)
    307456
    >>> conv_parameters(64, 64, 3, groups=64, bias=False)  # depthwise: 64 x (3 x 3)
    576
    """
    in_channels, out_channels, groups = _check_groups(in_channels, out_channels, groups)
    height, width = whole_pair("kernel", kernel)
    return out_channels * (height * width * in_channels // groups + _flag("bias", bias))


def conv_macs(
    in_channels: int, out_channels: int, kernel: int | Pair, out_height: int, out_width: int, groups: int = 1
) -> int:
    """Count the MACs of a convolution: k_h k_w (C_in / groups) C_out H_out W_out.

    Every weight is used once at every output position.

    Args:
        in_channels: The number of input channels, C_in.
        out_channels: The number of output channels, C_out.
        kernel: The side of a square kernel, or its two sides, (height, width).
        out_height: The height of the output, H_out, in pixels.
        out_width: The width of the output, W_out, in pixels.
        groups: The number of groups, which divides both numbers of channels; 1 by default.

    Returns:
        The number of MACs for one image.

    Raises:
        ValueError: An argument is out of its range, or `groups` does not divide the channels.

    >>> conv_macs(192, 32, 5, 28, 28)  # the 5x5 of an Inception module, direct
    120422400
    >>> conv_macs(192, 16, 1, 28, 28) + conv_macs(16, 32, 5, 28, 28)  # through 16
    12443648
    >>> conv_macs(3, 3, 3, 4, 4, groups=3) + conv_macs(3, 5, 1, 4, 4)  # 432 + 240
    672
    """
    weights = conv_parameters(in_channels, out_channels, kernel, groups, bias=False)
    return weights * whole("out_height", out_height) * whole("out_width", out_width)


def linear_parameters(in_features: int, out_features: int, bias: bool = True) -> int:
    """Count the parameters of a linear layer: in_features x out_features weights, and out_features biases.

    Args:
        in_features: The number of input features.
        out_features: The number of output features.
        bias: Whether each output has a bias; True by default.

    Returns:
        The number of parameters.

    Raises:
        ValueError: An argument is out of its range.

    >>> linear_parameters(120, 84)  # LeNet-5, F6: 84 x (120 + 1)
    10164
    """
    return whole("out_features", out_features) * (whole("in_features", in_features) + _flag("bias", bias))


def linear_macs(in_features: int, out_features: int) -> int:
    """Count the MACs of a linear layer: in_features x out_features, since every weight is used once.

    Args:
        in_features: The number of input features.
        out_features: The number of output features.

    Returns:
        The number of MACs for one row of numbers.

    Raises:
        ValueError: An argument is out of its range.

    >>> linear_macs(9216, 4096)  # AlexNet, fc6: 6 x 6 x 256 x 4096
    37748736
    """
    return whole("in_features", in_features) * whole("out_features", out_features)


def conv2d_parameters(layer: nn.Conv2d) -> int:
    """`conv_parameters` of a layer.

    >>> conv2d_parameters(nn.Conv2d(6, 16, 5))  # LeNet-5's C3 with every connection: 16 x (5 x 5 x 6 + 1)
    2416
    """
    _check_layer(layer)
    bias = layer.bias is not None
    return conv_parameters(layer.in_channels, layer.out_channels, pair(layer.kernel_size), layer.groups, bias)


def conv2d_macs(layer: nn.Conv2d, out_height: int, out_width: int) -> int:
    """`conv_macs` of a layer whose output grid is out_height x out_width.

    >>> conv2d_macs(nn.Conv2d(1, 6, 5), 28, 28)  # LeNet-5, C1: (5 x 5 x 1 x 6) x (28 x 28)
    117600
    """
    _check_layer(layer)
    return conv_macs(
        layer.in_channels, layer.out_channels, pair(layer.kernel_size), out_height, out_width, layer.groups
    )


def receptive_field(layers: Iterable[Pair]) -> int:
    """Compute the side of the input square that one output pixel sees.

    A kernel of k widens the field by (k - 1) jumps, where the jump is the product of the strides before it.

    Args:
        layers: The layers from input to output, each as a pair (kernel, stride), both in pixels.

    Returns:
        The side of the square, in pixels; 1 without any layer.

    Raises:
        ValueError: `layers` is not an iterable of pairs of whole numbers of at least 1.

    >>> receptive_field([(3, 1), (3, 1)])  # two 3x3 see what one 5x5 sees
    5
    >>> receptive_field([(3, 1), (2, 2), (3, 1)])  # 1 + 2 + 1, then jumps of 2: 2 x 2
    8
    """
    pairs = _items(layers)
    if pairs is None:
        raise ValueError(f"layers is {layers!r}; expected pairs (kernel, stride), such as [(3, 1), (2, 2)]")
    seen, jump = 1, 1
    for place, layer in enumerate(pairs):
        sizes = _items(layer) or []
        if len(sizes) != 2:
            raise ValueError(
                f"layers[{place}] is {layer!r}; expected a pair (kernel, stride), such as (3, 1)"
            )
        kernel, stride = (
            whole(f"{name} of layers[{place}]", size)
            for name, size in zip(("kernel", "stride"), sizes, strict=True)
        )
        seen += (kernel - 1) * jump
        jump *= stride
    return seen


def transposed_conv_macs(weights: int, in_channels: int, inputs: int) -> int:
    """Every number of the input meets every weight of its channel: `inputs` numbers, `weights` in all.

    >>> transposed_conv_macs(3 * 8 * 2 * 2, in_channels=3, inputs=3 * 5 * 5)  # 2x2, from 3 channels to 8
    2400
    """
    weights, in_channels = whole("weights", weights), whole("in_channels", in_channels)
    inputs = whole("inputs", inputs, 0)
    for name, value in (("weights", weights), ("inputs", inputs)):
        if value % in_channels:
            raise ValueError(
                f"{name} is {value} and in_channels is {in_channels}; expected a multiple of in_channels"
            )
    return weights // in_channels * inputs


def product_macs(rows: int, inner: int, columns: int, batch: int = 1) -> int:
    """A product of matrices, rows x inner and inner x columns, `batch` times.

    >>> product_macs(1, 9216, 4096)  # AlexNet, fc6
    37748736
    """
    sizes = [("rows", rows), ("inner", inner), ("columns", columns), ("batch", batch)]
    return math.prod(whole(name, size, 0) for name, size in sizes)


def attention_macs(queries: tuple[int, ...], keys: tuple[int, ...], values: tuple[int, ...]) -> int:
    """Scaled dot product attention: queries with keys, and what they give with the values.

    Shapes are (..., tokens, features).

    >>> attention_macs((1, 2, 4, 3), (1, 2, 4, 3), (1, 2, 4, 3))  # two heads, four tokens, three features
    192
    """
    queries, keys, values = _shape("queries", queries), _shape("keys", keys), _shape("values", values)
    if queries[-1] != keys[-1]:
        raise ValueError(f"keys is {keys} and queries is {queries}; expected as many features in both")
    if keys[-2] != values[-2]:
        raise ValueError(f"values is {values} and keys is {keys}; expected as many tokens in both")
    tokens, inner = queries[-2:]
    products = math.prod(queries[:-2]) * tokens * keys[-2]
    return products * (inner + values[-1])


def pair(value: int | Iterable[int]) -> Pair:
    """The last two of the values; one value serves both sides."""
    if isinstance(value, int):
        return value, value
    values = tuple(value)
    return (values[-2], values[-1]) if len(values) > 1 else (values[0], values[0])


def _check_groups(in_channels: int, out_channels: int, groups: int) -> tuple[int, int, int]:
    in_channels, out_channels = whole("in_channels", in_channels), whole("out_channels", out_channels)
    groups = whole("groups", groups)
    for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
        if channels % groups:
            raise ValueError(f"groups is {groups} and {name} is {channels}; groups must divide {name}")
    return in_channels, out_channels, groups


def _check_layer(layer: object) -> None:
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"layer is {layer!r} ({type(layer).__name__}); expected an nn.Conv2d")
