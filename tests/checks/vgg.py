"""Answers to the assignment `vgg`, right and wrong, in the styles in which students write."""

from __future__ import annotations

import math
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from casestudies.networks import vgg

# --------------------------------------------------------------------------- blocks, right


def block_in_a_loop(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers.append(nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1))
        layers.append(nn.ReLU())
        in_channels = out_channels
    layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
    return nn.Sequential(*layers)


def block_named(num_convs, in_channels, out_channels):
    layers = OrderedDict()
    for index in range(num_convs):
        width = in_channels if index == 0 else out_channels
        layers[f"conv{index}"] = nn.Conv2d(width, out_channels, 3, padding="same")
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
    layers["pool"] = nn.MaxPool2d(2)
    return nn.Sequential(layers)


def block_recursive(num_convs, in_channels, out_channels):
    """Pool outermost, the last convolution next to it, the rest inside."""

    def stack(count):
        if count == 1:
            return nn.Sequential(nn.Conv2d(in_channels, out_channels, 3, 1, 1), nn.ReLU())
        return nn.Sequential(stack(count - 1), nn.Conv2d(out_channels, out_channels, 3, 1, 1), nn.ReLU())

    return nn.Sequential(stack(num_convs), nn.MaxPool2d(2, 2))


def block_lazy(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.LazyConv2d(out_channels, kernel_size=3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(kernel_size=2, stride=2))


class Unfolded(nn.Module):
    """Convolutions by unfolding, raw parameters, registered from the last to the first; the ReLU after the pool."""

    def __init__(self, num_convs, in_channels, out_channels):
        super().__init__()
        sizes = [(out_channels, out_channels)] * (num_convs - 1) + [(out_channels, in_channels)]
        self.biases = nn.ParameterList([torch.zeros(size[0]) for size in sizes])
        self.weights = nn.ParameterList([torch.randn(*size, 3, 3) * 0.1 for size in sizes])

    @staticmethod
    def conv(x, weight, bias):
        columns = F.unfold(x, 3, padding=1)  # (N, 9 C, H W)
        out = weight.flatten(1) @ columns + bias[:, None]
        return out.unflatten(2, x.shape[2:])

    def forward(self, x):
        count = len(self.weights)
        for index in reversed(range(count)):
            x = self.conv(x, self.weights[index], self.biases[index])
            if index:
                x = torch.where(x > 0, x, torch.zeros_like(x))
        h, w = x.shape[2] // 2 * 2, x.shape[3] // 2 * 2
        x = x[:, :, :h, :w].unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax(dim=(3, 5))
        return x.relu()


def block_unfolded(num_convs, in_channels, out_channels):
    return Unfolded(num_convs, in_channels, out_channels)


def block_of_features(num_convs, in_channels, out_channels):
    return vgg.vgg_features([out_channels] * num_convs + ["M"], in_channels)


# --------------------------------------------------------------------------- wrong


def block_unpadded(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, 3), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def block_with_one_name(num_convs, in_channels, out_channels):
    """The block of the notebook, as it stands."""
    block = nn.Sequential()
    for index in range(num_convs):
        block.add_module(f"conv{index}", nn.Conv2d(in_channels, out_channels, 3, padding=1))
        block.add_module("relu", nn.ReLU())
        in_channels = out_channels
    block.add_module("pool", nn.MaxPool2d(2))
    return block


def block_with_one_relu(num_convs, in_channels, out_channels):
    convs = [nn.Conv2d(in_channels, out_channels, 3, padding=1)]
    convs += [nn.Conv2d(out_channels, out_channels, 3, padding=1) for _ in range(num_convs - 1)]
    return nn.Sequential(*convs, nn.ReLU(), nn.MaxPool2d(2))


def block_not_carried_on(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def block_pooling_in_the_loop(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        in_channels = out_channels
    return nn.Sequential(*layers)


def block_with_shared_layer(num_convs, in_channels, out_channels):
    first = nn.Conv2d(in_channels, out_channels, 3, padding=1)
    other = nn.Conv2d(out_channels, out_channels, 3, padding=1)
    layers = [first, nn.ReLU()] + [other, nn.ReLU()] * (num_convs - 1)
    return nn.Sequential(*layers, nn.MaxPool2d(2))


def block_with_batch_norm(num_convs, in_channels, out_channels):
    return vgg.vgg_features([out_channels] * num_convs + ["M"], in_channels, batch_norm=True)


def block_ceil_and_unpadded(num_convs, in_channels, out_channels):
    layers = []
    for _ in range(num_convs):
        layers += [nn.Conv2d(in_channels, out_channels, 3), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers, nn.MaxPool2d(2, ceil_mode=True))


def block_as_list(num_convs, in_channels, out_channels):
    return list(block_in_a_loop(num_convs, in_channels, out_channels))


def block_in_module_list(num_convs, in_channels, out_channels):
    return nn.ModuleList(block_in_a_loop(num_convs, in_channels, out_channels))


def block_not_returned(num_convs, in_channels, out_channels):
    block_in_a_loop(num_convs, in_channels, out_channels)


def block_with_dropout(num_convs, in_channels, out_channels):
    return nn.Sequential(block_in_a_loop(num_convs, in_channels, out_channels), nn.Dropout())


def block_in_place_on_input(num_convs, in_channels, out_channels):
    return nn.Sequential(nn.ReLU(inplace=True), *block_in_a_loop(num_convs, in_channels, out_channels))


# --------------------------------------------------------------------------- features, right


def features_in_a_loop(config, in_channels=3):
    layers = []
    for item in config:
        if item == "M":
            layers += [nn.MaxPool2d(2, 2)]
        else:
            layers += [nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU(inplace=True)]
            in_channels = item
    return nn.Sequential(*layers)


def features_zipped(config, in_channels=3):
    """The input channels of each convolution are worked out beforehand."""
    widths = [in_channels, *(item for item in config if not isinstance(item, str))]
    convs = iter(
        nn.Sequential(nn.Conv2d(a, b, (3, 3), (1, 1), (1, 1)), nn.ReLU())
        for a, b in zip(widths[:-1], widths[1:], strict=True)
    )
    return nn.Sequential(*(nn.MaxPool2d(2) if item == "M" else next(convs) for item in config))


class Walker(nn.Module):
    """Keeps the configuration and walks through it; pooling by an adaptive pool of half the size."""

    def __init__(self, config, in_channels):
        super().__init__()
        self.config, self.convs = list(config), nn.ModuleDict()
        for index, item in reversed(list(enumerate(config))):
            if item != "M":
                before = [width for width in config[:index] if width != "M"]
                self.convs[str(index)] = nn.Conv2d(before[-1] if before else in_channels, item, 3, padding=1)

    def forward(self, x):
        for index, item in enumerate(self.config):
            if item == "M":
                x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(-2, -1))
            else:
                x = torch.maximum(self.convs[str(index)](x), torch.zeros((), dtype=x.dtype))
        return x


def features_walking(config, in_channels=3):
    return Walker(config, in_channels)


# --------------------------------------------------------------------------- wrong


def features_not_carried_on(config, in_channels=3):
    layers = []
    for item in config:
        if item == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def features_of_three_channels(config, in_channels=3):
    return features_in_a_loop(config)


def features_without_relu(config, in_channels=3):
    return nn.Sequential(*(m for m in features_in_a_loop(config, in_channels) if not isinstance(m, nn.ReLU)))


def features_always_the_same(config, in_channels=3):
    return vgg.vgg_features([4, "M", 6, 5, "M"], in_channels)


def features_without_pools(config, in_channels=3):
    return features_in_a_loop([item for item in config if item != "M"], in_channels)


def features_changing_the_config(config, in_channels=3):
    """Takes the items out of the list that it was given, and forgets their widths."""
    layers = []
    while config:
        item = config.pop(0)
        if item == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            layers += [nn.Conv2d(in_channels, item, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def features_averaging(config, in_channels=3):
    layers = features_in_a_loop(config, in_channels)
    return nn.Sequential(*(nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in layers))


# --------------------------------------------------------------------------- the receptive field, right


def field_forwards(layers):
    field = jump = 1
    for kernel, stride in layers:
        field, jump = field + (kernel - 1) * jump, jump * stride
    return field


def field_backwards(layers):
    field = 1
    for kernel, stride in reversed(layers):
        field = (field - 1) * stride + kernel
    return field


def field_as_a_sum(layers):
    strides = [stride for _, stride in layers]
    return 1 + sum((kernel - 1) * math.prod(strides[:i]) for i, (kernel, _) in enumerate(layers))


def field_in_numpy(layers):
    if not len(layers):
        return np.int64(1)
    kernels, strides = np.array(layers).T
    jumps = np.concatenate([[1], np.cumprod(strides)[:-1]])
    return np.sum((kernels - 1) * jumps) + 1


def field_by_places(layers):
    """The set of input places that one output sees."""
    places = {0}
    for kernel, stride in reversed(layers):
        places = {place * stride + offset for place in places for offset in range(kernel)}
    return max(places) - min(places) + 1


# --------------------------------------------------------------------------- wrong


def field_without_strides(layers):
    return 1 + sum(kernel - 1 for kernel, _ in layers)


def field_with_own_stride(layers):
    field = jump = 1
    for kernel, stride in layers:
        jump *= stride
        field += (kernel - 1) * jump
    return field


def field_last_stride(layers):
    field, before = 1, 1
    for kernel, stride in layers:
        field += (kernel - 1) * before
        before = stride
    return field


def field_recursive_wrong_way(layers):
    field = 1
    for kernel, stride in layers:
        field = (field - 1) * stride + kernel
    return field


def field_of_the_last(layers):
    return layers[-1][0]


def field_as_float(layers):
    return float(field_forwards(layers))


def field_of_vgg_16(layers):
    return 212


def field_of_kernels(layers):
    return field_without_strides([(kernel, 1) for kernel, _ in layers]) + 1


# --------------------------------------------------------------------------- a stack, right


def stack_by_formula(channels, num_convs):
    return 9 * num_convs * channels * channels, (2 * num_convs + 1) ** 2 * channels * channels


def stack_by_building(channels, num_convs):
    def weights(kernel):
        return nn.Conv2d(channels, channels, kernel, bias=False, device="meta").weight.numel()

    side = field_forwards([(3, 1)] * num_convs)
    return sum(weights(3) for _ in range(num_convs)), weights(side)


def stack_as_list(channels, num_convs):
    side = 3
    for _ in range(num_convs - 1):
        side += 2
    return [num_convs * 3 * 3 * channels**2, side * side * channels**2]


def stack_in_numpy(channels, num_convs):
    return tuple(np.array([9 * num_convs, (2 * num_convs + 1) ** 2]) * channels**2)


# --------------------------------------------------------------------------- wrong


def stack_with_biases(channels, num_convs):
    side = 2 * num_convs + 1
    layers = (
        nn.Conv2d(channels, channels, 3, device="meta"),
        nn.Conv2d(channels, channels, side, device="meta"),
    )
    one, single = (sum(p.numel() for p in layer.parameters()) for layer in layers)
    return num_convs * one, single


def stack_of_fives(channels, num_convs):
    return num_convs * 9 * channels**2, 25 * channels**2


def stack_reversed(channels, num_convs):
    return stack_by_formula(channels, num_convs)[::-1]


def stack_in_single_channels(channels, num_convs):
    return num_convs * 9 * channels, (2 * num_convs + 1) ** 2 * channels


def stack_as_tensor(channels, num_convs):
    return torch.tensor(stack_by_formula(channels, num_convs))


def stack_as_floats(channels, num_convs):
    return tuple(map(float, stack_by_formula(channels, num_convs)))


def stack_twice_wrong(channels, num_convs):
    return num_convs * 9 * channels, (3 * num_convs) ** 2 * channels


def not_written(*args, **kwargs):
    raise NotImplementedError()


BLOCKS = {
    "loop": block_in_a_loop,
    "named": block_named,
    "recursive": block_recursive,
    "lazy": block_lazy,
    "unfold-raw": block_unfolded,
    "features": block_of_features,
}
WRONG_BLOCKS = {
    "unpadded": (block_unpadded, "padding_forgotten"),
    "one-relu": (block_with_one_relu, "relu_once_ablock"),
    "one-name": (block_with_one_name, "relu_after_first_only"),
    "not-carried-on": (block_not_carried_on, "channels_not_carried_on"),
    "pool-in-the-loop": (block_pooling_in_the_loop, "pool_after_every_convolution"),
    "shared": (block_with_shared_layer, "shared_convolution"),
    "batch-norm": (block_with_batch_norm, "batch_norm_added"),
    "two-mistakes": (block_ceil_and_unpadded, "padding_forgotten"),
    "list": (block_as_list, None),
    "module-list": (block_in_module_list, None),
    "not-returned": (block_not_returned, None),
    "dropout": (block_with_dropout, None),
    "in-place": (block_in_place_on_input, None),
    "not-written": (not_written, None),
}

CORRECT = {
    "vgg/vgg_block": {"course": vgg.vgg_block, **BLOCKS},
    "vgg/repaired_block": BLOCKS,
    "vgg/vgg_features": {
        "course": vgg.vgg_features,
        "loop": features_in_a_loop,
        "zipped": features_zipped,
        "walking": features_walking,
    },
    "vgg/receptive_field": {
        "forwards": field_forwards,
        "backwards": field_backwards,
        "sum": field_as_a_sum,
        "numpy-int": field_in_numpy,
        "places": field_by_places,
    },
    "vgg/stack_versus_single": {
        "formula": stack_by_formula,
        "building": stack_by_building,
        "list": stack_as_list,
        "numpy-int": stack_in_numpy,
    },
}

WRONG = {
    "vgg/vgg_block": WRONG_BLOCKS,
    "vgg/repaired_block": WRONG_BLOCKS,
    "vgg/vgg_features": {
        "not-carried-on": (features_not_carried_on, "channels_not_carried_on"),
        "three-channels": (features_of_three_channels, "input_channels_fixed"),
        "no-relu": (features_without_relu, "relu_forgotten"),
        "always-the-same": (features_always_the_same, None),
        "no-pools": (features_without_pools, "pooling_missing"),
        "empties-the-config": (features_changing_the_config, "channels_not_carried_on"),
        "average": (features_averaging, "average_pooling"),
        "not-written": (not_written, None),
    },
    "vgg/receptive_field": {
        "no-strides": (field_without_strides, "stride_ignored"),
        "own-stride": (field_with_own_stride, "stride_one_layer_early"),
        "last-stride": (field_last_stride, "only_the_last_stride"),
        "wrong-way": (field_recursive_wrong_way, "from_the_end"),
        "last-kernel": (field_of_the_last, None),
        "float": (field_as_float, None),
        "constant": (field_of_vgg_16, None),
        "two-too-many": (field_of_kernels, None),
        "not-written": (not_written, None),
    },
    "vgg/stack_versus_single": {
        "biases": (stack_with_biases, "biases_counted"),
        "always-five": (stack_of_fives, "always_five"),
        "reversed": (stack_reversed, "swapped"),
        "channels-once": (stack_in_single_channels, "channels_not_squared"),
        "tensor": (stack_as_tensor, None),
        "floats": (stack_as_floats, None),
        "two-mistakes": (stack_twice_wrong, "single_three_times_n"),
        "not-written": (not_written, None),
    },
}
