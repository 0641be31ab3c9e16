"""Answers to the assignment `alexnet`, right and wrong, in the styles in which students write."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from casestudies import costs
from casestudies.networks import alexnet

# --------------------------------------------------------------------------- MACs, right


def macs_by_formula(in_channels, out_channels, kernel, height, width, groups=1):
    return in_channels // groups * out_channels * kernel * kernel * height * width


def macs_group_by_group(in_channels, out_channels, kernel, height, width, groups=1):
    total = 0
    for _ in range(groups):
        total += (in_channels // groups) * (out_channels // groups) * kernel**2 * height * width
    return total


def macs_from_a_layer(in_channels, out_channels, kernel, height, width, groups=1):
    layer = nn.Conv2d(in_channels, out_channels, kernel, groups=groups, device="meta")
    return costs.conv2d_macs(layer, height, width)


def macs_in_numpy(in_channels, out_channels, kernel, height, width, groups=1):
    return np.prod([in_channels, out_channels, kernel, kernel, height, width], dtype=np.int64) // groups


# --------------------------------------------------------------------------- wrong


def macs_without_groups(in_channels, out_channels, kernel, height, width, groups=1):
    return kernel**2 * in_channels * out_channels * height * width


def macs_divided(in_channels, out_channels, kernel, height, width, groups=1):
    return kernel**2 * (in_channels / groups) * out_channels * height * width


def macs_of_one_group(in_channels, out_channels, kernel, height, width, groups=1):
    return kernel**2 * (in_channels // groups) * (out_channels // groups) * height * width


def macs_of_layer_2(in_channels, out_channels, kernel, height, width, groups=1):
    return 223_948_800


def flops_with_bias(in_channels, out_channels, kernel, height, width, groups=1):
    return 2 * (kernel**2 * in_channels // groups + 1) * out_channels * height * width


# --------------------------------------------------------------------------- trunks, right


class Attributes(nn.Module):
    """Layers one by one, registered backwards, in-place ReLUs, the pooling as one shared layer."""

    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.lrn = nn.LocalResponseNorm(size=5, alpha=0.0005, beta=0.75, k=2.0)
        self.conv5 = nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2)
        self.conv4 = nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2)
        self.conv3 = nn.Conv2d(256, 384, kernel_size=3, padding="same")
        self.conv2 = nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2)
        self.conv1 = nn.Conv2d(3, 96, kernel_size=11, stride=4)

    def forward(self, x):
        x = self.pool(self.lrn(self.relu(self.conv1(x))))
        x = self.pool(self.lrn(self.relu(self.conv2(x))))
        x = self.relu(self.conv4(self.relu(self.conv3(x))))
        return self.pool(self.relu(self.conv5(x)))


class TwoHalves(nn.Module):
    """Two convolutions wherever there are two groups."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2a, self.conv2b = (nn.Conv2d(48, 128, 5, padding=2) for _ in range(2))
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4a, self.conv4b = (nn.Conv2d(192, 192, 3, padding=1) for _ in range(2))
        self.conv5a, self.conv5b = (nn.Conv2d(192, 128, 3, padding=1) for _ in range(2))

    @staticmethod
    def norm(x):
        return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)

    @staticmethod
    def halves(x, first, second):
        a, b = torch.split(x, x.shape[1] // 2, dim=1)
        return torch.cat((first(a), second(b)), dim=1).relu()

    def forward(self, x):
        x = F.max_pool2d(self.norm(self.conv1(x).relu()), 3, 2)
        x = F.max_pool2d(self.norm(self.halves(x, self.conv2a, self.conv2b)), 3, 2)
        x = self.halves(self.conv3(x).relu(), self.conv4a, self.conv4b)
        return F.max_pool2d(self.halves(x, self.conv5a, self.conv5b), 3, 2)


class TwoGpus(nn.Module):
    """As on two GPUs: each tower has its own layers, and they meet in layer 3 and in the response norms."""

    def __init__(self):
        super().__init__()
        self.towers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "1": nn.Conv2d(3, 48, 11, 4),
                    "2": nn.Conv2d(48, 128, 5, 1, 2),
                    "3": nn.Conv2d(256, 192, 3, 1, 1),
                    "4": nn.Conv2d(192, 192, 3, 1, 1),
                    "5": nn.Conv2d(192, 128, 3, 1, 1),
                }
            )
            for _ in range(2)
        )

    def layer(self, number, inputs):
        return [F.relu(tower[number](x)) for tower, x in zip(self.towers, inputs, strict=True)]

    @staticmethod
    def exchange(halves):
        normed = F.local_response_norm(torch.cat(halves, 1), 5, 5e-4, 0.75, 2)
        return F.max_pool2d(normed, 3, 2).chunk(2, 1)

    def forward(self, x):
        halves = self.exchange(self.layer("1", [x, x]))
        both = torch.cat(self.exchange(self.layer("2", halves)), 1)
        halves = self.layer("5", self.layer("4", self.layer("3", [both, both])))
        return torch.cat([F.max_pool2d(half, 3, 2) for half in halves], 1)


class Raw(nn.Module):
    """Raw parameters; the response norm written out as in the paper; ReLU after the last pooling: the same."""

    SHAPES = {"w5": (256, 192, 3, 3), "w4": (384, 192, 3, 3), "w3": (384, 256, 3, 3), "w2": (256, 48, 5, 5)}

    def __init__(self):
        super().__init__()
        self.weights = nn.ParameterDict({n: torch.randn(s) * 0.02 for n, s in self.SHAPES.items()})
        self.weights["w1"] = torch.randn(96, 3, 11, 11) * 0.02
        self.biases = nn.ParameterDict({"b" + n[1:]: torch.zeros(len(w)) for n, w in self.weights.items()})

    def conv(self, x, number, **options):
        return F.conv2d(x, self.weights[f"w{number}"], self.biases[f"b{number}"], **options)

    @staticmethod
    def norm(x):
        squares = F.pad(x**2, (0, 0, 0, 0, 2, 2)).unfold(1, 5, 1).sum(dim=-1)
        return x * (2 + 1e-4 * squares) ** -0.75

    def forward(self, x):
        x = F.max_pool2d(self.norm(self.conv(x, 1, stride=4).clamp(min=0)), 3, 2)
        x = F.max_pool2d(self.norm(self.conv(x, 2, padding=2, groups=2).clamp(min=0)), 3, 2)
        x = self.conv(x, 3, padding=1).clamp(min=0)
        x = self.conv(x, 4, padding=1, groups=2).clamp(min=0)
        return F.max_pool2d(self.conv(x, 5, padding=1, groups=2), 3, 2).clamp(min=0)


class CeilMode(nn.Sequential):
    """Rounds its poolings up, as Caffe does: no difference where windows fit."""

    def __init__(self):
        pool = {"kernel_size": 3, "stride": 2, "ceil_mode": True}
        norm = {"size": 5, "alpha": 5e-4, "k": 2}
        super().__init__(
            OrderedDict(
                layer1=nn.Sequential(
                    nn.Conv2d(3, 96, 11, 4), nn.ReLU(), nn.LocalResponseNorm(**norm), nn.MaxPool2d(**pool)
                ),
                layer2=nn.Sequential(
                    nn.Conv2d(96, 256, 5, padding=2, groups=2),
                    nn.ReLU(),
                    nn.LocalResponseNorm(**norm),
                    nn.MaxPool2d(**pool),
                ),
                layer3=nn.Sequential(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
                layer4=nn.Sequential(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
                layer5=nn.Sequential(
                    nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(**pool)
                ),
            )
        )


# --------------------------------------------------------------------------- wrong


class Torchvision(nn.Sequential):
    """The features of torchvision's AlexNet: another network."""

    def __init__(self):
        super().__init__(*alexnet.AlexNet().features)


class TorchvisionUnpadded(nn.Sequential):
    def __init__(self):
        layers = list(alexnet.AlexNet().features)
        super().__init__(nn.Conv2d(3, 64, 11, 4), *layers[1:])


class Ungrouped(alexnet.AlexNetTrunk):
    def __init__(self):
        super().__init__(groups=1)


class DefaultNorm(TwoHalves):
    @staticmethod
    def norm(x):
        return F.local_response_norm(x, 5)


class LiteralNorm(TwoGpus):
    @staticmethod
    def exchange(halves):
        normed = F.local_response_norm(torch.cat(halves, 1), 5, 1e-4, 0.75, 2)
        return F.max_pool2d(normed, 3, 2).chunk(2, 1)


class NormOnEachGpu(TwoGpus):
    @staticmethod
    def exchange(halves):
        return [F.max_pool2d(F.local_response_norm(h, 5, 5e-4, 0.75, 2), 3, 2) for h in halves]


class SwappedTowers(TwoHalves):
    """The halves are concatenated in the wrong order."""

    @staticmethod
    def halves(x, first, second):
        a, b = torch.split(x, x.shape[1] // 2, dim=1)
        return torch.cat((second(b), first(a)), dim=1).relu()


class SmallPools(Attributes):
    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2, 2)


class SmallPoolsAndNormFirst(SmallPools):
    def forward(self, x):
        x = self.pool(self.relu(self.lrn(self.conv1(x))))
        x = self.pool(self.relu(self.lrn(self.conv2(x))))
        x = self.relu(self.conv4(self.relu(self.conv3(x))))
        return self.pool(self.relu(self.conv5(x)))


class Vgg(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 96, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))

    def forward(self, x):
        return self.layers(x)


class Dropped(Attributes):
    def forward(self, x):
        return F.dropout(super().forward(x), training=self.training)


class DropsAlways(Attributes):
    def forward(self, x):
        return F.dropout(super().forward(x))


class HalfPrecision(Attributes):
    def forward(self, x):
        return super().forward(x).half()


class Infinite(Attributes):
    def forward(self, x):
        return super().forward(x) * float("inf")


class Forgotten(Attributes):
    def forward(self, x):
        super().forward(x)


class Raising(Attributes):
    def forward(self, x):
        return self.conv1(x).view(-1, 9216)


class NotWritten(nn.Module):
    def __init__(self):
        super().__init__()
        raise NotImplementedError()


# --------------------------------------------------------------------------- the share, right


def share_by_modules(model):
    linear = sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters())
    return linear / sum(p.numel() for p in model.parameters())


def share_recursive(model):
    def count(module):
        own = sum(p.numel() for p in module.parameters(recurse=False))
        pairs = [count(child) for child in module.children()]
        linear = own if isinstance(module, nn.Linear) else 0
        return linear + sum(p[0] for p in pairs), own + sum(p[1] for p in pairs)

    linear, total = count(model)
    return linear / total


def share_by_names(model):
    owners = dict(model.named_modules())
    counts = {True: 0, False: 0}
    for name, parameter in model.named_parameters():
        counts[isinstance(owners[name.rpartition(".")[0]], nn.Linear)] += parameter.numel()
    return np.float64(counts[True]) / np.float64(counts[True] + counts[False])


def share_by_sizes(model):
    total = linear = 0
    for module in model.modules():
        if type(module) is nn.Linear:
            linear += module.in_features * module.out_features
            linear += 0 if module.bias is None else module.out_features
    for parameter in model.parameters():
        total += torch.prod(torch.tensor(parameter.shape)).item()
    return linear / total


# --------------------------------------------------------------------------- wrong


def share_of_children(model):
    linear = 0
    for layer in model.children():
        if isinstance(layer, nn.Linear):
            linear += sum(p.numel() for p in layer.parameters())
    return linear / sum(p.numel() for p in model.parameters())


def share_returning_early(model):
    total = sum(p.numel() for p in model.parameters())
    for module in model.modules():
        if isinstance(module, nn.Linear):
            return sum(p.numel() for p in module.parameters()) / total
    return 0.0


def share_of_matrices(model):
    linear = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    return linear / sum(p.numel() for p in model.parameters())


def share_by_shapes(model):
    linear = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    for m in model.modules():
        if isinstance(m, nn.Linear) and m.bias is not None:
            linear += m.bias.numel()
    return linear / sum(p.numel() for p in model.parameters())


def share_by_beginnings(model):
    layers = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    linear = sum(p.numel() for n, p in model.named_parameters() if any(n.startswith(each) for each in layers))
    return linear / sum(p.numel() for p in model.parameters())


def share_by_attribute(model):
    linear = sum(p.numel() for m in model.modules() if hasattr(m, "in_features") for p in m.parameters())
    return linear / sum(p.numel() for p in model.parameters())


def share_without_itself(model):
    linear = sum(
        p.numel()
        for m in model.modules()
        if isinstance(m, nn.Linear) and m is not model
        for p in m.parameters()
    )
    return linear / sum(p.numel() for p in model.parameters())


def share_by_class_names(model):
    linear = sum(p.numel() for m in model.modules() if "Linear" in str(type(m)) for p in m.parameters())
    return linear / sum(p.numel() for p in model.parameters())


def share_of_classifier(model):
    return share_by_modules(model.classifier)


def share_of_alexnet(model):
    return 0.9616


def share_as_tensor(model):
    return torch.tensor(share_by_modules(model))


def share_in_percent_of_children(model):
    return 100 * share_of_children(model)


# --------------------------------------------------------------------------- the response norm, right


def lrn_looped(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    channels, total = a.shape[1], []
    for i in range(channels):
        low, high = max(0, i - size // 2), min(channels - 1, i + size // 2)
        total.append(sum(a[:, j] ** 2 for j in range(low, high + 1)))
    return a / (k + alpha * torch.stack(total, dim=1)) ** beta


def lrn_unfolded(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    half = size // 2
    windows = F.pad(a.square(), (0, 0, 0, 0, half, half)).unfold(1, size, 1)
    return a * (k + alpha * windows.sum(-1)).pow(-beta)


def lrn_by_convolution(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    n, c, h, w = a.shape
    ones = torch.ones(1, 1, size, 1, dtype=a.dtype)
    sums = F.conv2d((a * a).reshape(n, 1, c, h * w), ones, padding=(size // 2, 0))
    return a / torch.pow(k + alpha * sums.reshape(n, c, h, w), beta)


def lrn_by_matrix(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    index = torch.arange(a.shape[1])
    near = ((index[:, None] - index).abs() <= size // 2).to(a.dtype)
    return a / (k + alpha * torch.einsum("cd,ndhw->nchw", near, a**2)) ** beta


def lrn_of_pytorch(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return nn.LocalResponseNorm(size, alpha * size, beta, k)(a)


# --------------------------------------------------------------------------- wrong


def lrn_broken(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    """The function of the notebook, as it stands."""
    channels = a.shape[1]
    sums = []
    for i in range(channels):
        low = max(0, i - size // 2)
        high = min(channels, i + size // 2)
        sums.append((a[:, low:high] ** 2).mean(dim=1))
    return a / (k + alpha * torch.stack(sums, dim=1)) ** beta


def lrn_half_repaired(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    channels, total = a.shape[1], []
    for i in range(channels):
        total.append((a[:, max(0, i - size // 2) : i + size // 2] ** 2).sum(dim=1))
    return a / (k + alpha * torch.stack(total, dim=1)) ** beta


def lrn_still_pytorch(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return F.local_response_norm(a, size, alpha, beta, k)


def lrn_pytorch_defaults(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return F.local_response_norm(a, size)


def lrn_of_python_numbers(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return torch.tensor(lrn_unfolded(a, size, alpha, beta, k).tolist(), dtype=a.dtype)


def lrn_with_or(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return lrn_unfolded(a, size, alpha or 1e-4, beta or 0.75, k or 2.0)


def lrn_of_integers(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    return lrn_unfolded(a, size, alpha, beta, k).to(torch.int64)


def not_written(*args, **kwargs):
    raise NotImplementedError()


CORRECT = {
    "alexnet/grouped_conv_macs": {
        "formula": macs_by_formula,
        "group-by-group": macs_group_by_group,
        "from-a-layer": macs_from_a_layer,
        "numpy-int": macs_in_numpy,
    },
    "alexnet/alexnet_trunk": {
        "course": alexnet.AlexNetTrunk,
        "attributes-reversed": Attributes,
        "two-convolutions": TwoHalves,
        "two-gpus": TwoGpus,
        "raw": Raw,
        "ceil-mode": CeilMode,
    },
    "alexnet/fully_connected_share": {
        "modules": share_by_modules,
        "recursive": share_recursive,
        "names-numpy": share_by_names,
        "sizes": share_by_sizes,
    },
    "alexnet/repaired_lrn": {
        "loop": lrn_looped,
        "unfold": lrn_unfolded,
        "convolution": lrn_by_convolution,
        "band-matrix": lrn_by_matrix,
        "pytorch": lrn_of_pytorch,
    },
}

WRONG = {
    "alexnet/grouped_conv_macs": {
        "groups-ignored": (macs_without_groups, "groups_ignored"),
        "divided": (macs_divided, "float_returned"),
        "one-group": (macs_of_one_group, "one_group_counted"),
        "constant": (macs_of_layer_2, None),
        "flops-and-bias": (flops_with_bias, "flops_counted"),
        "not-written": (not_written, None),
    },
    "alexnet/alexnet_trunk": {
        "torchvision": (Torchvision, "torchvision_trunk"),
        "torchvision-unpadded": (TorchvisionUnpadded, None),
        "ungrouped": (Ungrouped, "groups_forgotten"),
        "default-norm": (DefaultNorm, "norm_with_defaults"),
        "literal-alpha-two-gpus": (LiteralNorm, "alpha_taken_literally"),
        "norm-on-each-gpu": (NormOnEachGpu, "norm_per_tower"),
        "swapped-towers": (SwappedTowers, None),
        "small-pools": (SmallPools, "pooling_two_by_two"),
        "two-mistakes": (SmallPoolsAndNormFirst, "pooling_two_by_two"),
        "another-network": (Vgg, None),
        "dropout": (Dropped, None),
        "dropout-always": (DropsAlways, None),
        "float16": (HalfPrecision, None),
        "nan": (Infinite, None),
        "no-return": (Forgotten, None),
        "raising": (Raising, None),
        "not-written": (NotWritten, None),
    },
    "alexnet/fully_connected_share": {
        "children": (share_of_children, "top_level_only"),
        "early-return": (share_returning_early, "first_layer_only"),
        "matrices": (share_of_matrices, "matrices_counted"),
        "shapes": (share_by_shapes, "told_by_shape"),
        "beginnings": (share_by_beginnings, "told_by_prefix"),
        "attribute": (share_by_attribute, "told_by_attribute"),
        "without-itself": (share_without_itself, "model_left_out"),
        "class-names": (share_by_class_names, "told_by_name"),
        "classifier": (share_of_classifier, None),
        "constant": (share_of_alexnet, None),
        "tensor": (share_as_tensor, None),
        "two-mistakes": (share_in_percent_of_children, "percentage"),
        "not-written": (not_written, None),
    },
    "alexnet/repaired_lrn": {
        "as-given": (lrn_broken, "window_one_short"),
        "half-repaired": (lrn_half_repaired, "window_one_short"),
        "still-pytorch": (lrn_still_pytorch, "divided_by_the_size"),
        "pytorch-defaults": (lrn_pytorch_defaults, None),
        "python-numbers": (lrn_of_python_numbers, None),
        "integers": (lrn_of_integers, None),
        "zeros-swallowed": (lrn_with_or, None),
        "not-written": (not_written, None),
    },
}
