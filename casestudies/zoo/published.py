"""What was printed about each network: its paper, and error rates with the protocol that gave them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Paper:
    """The paper that a network comes from, with the address where it can be read."""

    title: str
    authors: str
    year: int
    url: str


@dataclass(frozen=True)
class Published:
    """An error rate that somebody printed, in percent, with the protocol that gave it.

    Protocols differ by several points: compare figures of one protocol only.
    """

    dataset: str
    top1: float | None
    top5: float | None
    protocol: str
    source: str  # "Table 3" is the paper's; a repository or a library is named


PAPERS = {
    "LeNet-5": Paper(
        "Gradient-Based Learning Applied to Document Recognition",
        "LeCun, Bottou, Bengio & Haffner",
        1998,
        "https://doi.org/10.1109/5.726791",
    ),
    "AlexNet": Paper(
        "ImageNet Classification with Deep Convolutional Neural Networks",
        "Krizhevsky, Sutskever & Hinton",
        2012,
        "https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
    ),
    "AlexNet, one tower": Paper(
        "One weird trick for parallelizing convolutional neural networks",
        "Krizhevsky",
        2014,
        "https://arxiv.org/abs/1404.5997",
    ),
    "VGG": Paper(
        "Very Deep Convolutional Networks for Large-Scale Image Recognition",
        "Simonyan & Zisserman",
        2014,
        "https://arxiv.org/abs/1409.1556",
    ),
    "ResNet": Paper(
        "Deep Residual Learning for Image Recognition",
        "He, Zhang, Ren & Sun",
        2015,
        "https://arxiv.org/abs/1512.03385",
    ),
    "Pre-activation ResNet": Paper(
        "Identity Mappings in Deep Residual Networks",
        "He, Zhang, Ren & Sun",
        2016,
        "https://arxiv.org/abs/1603.05027",
    ),
    "NiN": Paper("Network In Network", "Lin, Chen & Yan", 2013, "https://arxiv.org/abs/1312.4400"),
    "GoogLeNet": Paper(
        "Going Deeper with Convolutions", "Szegedy et al.", 2014, "https://arxiv.org/abs/1409.4842"
    ),
    "MobileNetV1": Paper(
        "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
        "Howard et al.",
        2017,
        "https://arxiv.org/abs/1704.04861",
    ),
    "MobileNetV2": Paper(
        "MobileNetV2: Inverted Residuals and Linear Bottlenecks",
        "Sandler, Howard, Zhu, Zhmoginov & Chen",
        2018,
        "https://arxiv.org/abs/1801.04381",
    ),
    "EfficientNet": Paper(
        "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks",
        "Tan & Le",
        2019,
        "https://arxiv.org/abs/1905.11946",
    ),
    "EfficientNet-Lite": Paper(
        "EfficientNet-lite (released without a paper)",
        "Liu & Tan",
        2020,
        "https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite",
    ),
}

IMAGENET = "ImageNet ILSVRC-2012 val"
CIFAR10 = "CIFAR-10 test"


def error(
    top1: float | None, top5: float | None, protocol: str, source: str, dataset: str = IMAGENET
) -> Published:
    return Published(dataset, top1, top5, protocol, source)


def accuracy(top1: float, top5: float | None, protocol: str, source: str) -> Published:
    """An error rate, from accuracies in percent as their source prints them."""
    wrong = None if top5 is None else round(100 - top5, 3)
    return Published(IMAGENET, round(100 - top1, 3), wrong, protocol, source)


def torchvision(top1: float, top5: float, crop: int = 224) -> Published:
    """Accuracies that torchvision 0.28 prints for its first weights (IMAGENET1K_V1): one recipe, one crop."""
    return accuracy(top1, top5, f"1 centre crop of {crop}", "torchvision")


def cifar(percent: float, source: str, note: str = "") -> Published:
    """Error on CIFAR-10 with the augmentation of the residual networks."""
    return Published(CIFAR10, percent, None, f"pad 4, random crop, flip{note}", source)


DENSE = "single scale, S = Q = 256, dense"
FB = "fb.resnet.torch"
MSRA = "KaimingHe/deep-residual-networks"
SLIM = "TF-slim checkpoint"
MEDIAN = "; median of 5"

PUBLISHED: dict[str, list[Published]] = {
    "lenet5_original": [
        error(0.95, None, "no distortion of the training images", "Sec. III-B", "MNIST test")
    ],
    "alexnet_2012": [
        error(40.7, 18.2, "10 crops", "Table 2"),
        accuracy(57.1, 80.2, "1 centre crop of 227", "BVLC/caffe bvlc_alexnet"),
    ],
    "alexnet": [torchvision(56.522, 79.066)],
    "vgg11": [error(29.6, 10.4, DENSE, "Table 3"), torchvision(69.02, 88.628)],
    "vgg13": [error(28.7, 9.9, DENSE, "Table 3"), torchvision(69.928, 89.246)],
    "vgg16": [error(27.0, 8.8, DENSE, "Table 3"), torchvision(71.592, 90.382)],
    "vgg19": [error(27.3, 9.0, DENSE, "Table 3"), torchvision(72.376, 90.876)],
    "vgg16_c": [error(28.1, 9.4, DENSE, "Table 3")],
    "vgg11_bn": [torchvision(70.37, 89.81)],
    "vgg13_bn": [torchvision(71.586, 90.374)],
    "vgg16_bn": [torchvision(73.36, 91.516)],
    "vgg19_bn": [torchvision(74.218, 91.842)],
    "plain18": [error(27.94, None, "10 crops", "Table 2")],
    "plain34": [error(28.54, 10.02, "10 crops", "Tables 2 and 3")],
    "resnet18_a": [error(27.88, None, "10 crops", "Table 2")],
    "resnet34_a": [error(25.03, 7.76, "10 crops", "Table 2")],
    "resnet34_c": [error(24.19, 7.4, "10 crops", "Table 3")],
    "resnet18": [error(30.43, 10.76, "1 crop of 224", FB), torchvision(69.758, 89.078)],
    "resnet34": [
        error(24.52, 7.46, "10 crops", "Table 3"),
        error(26.73, 8.74, "1 crop of 224", FB),
        torchvision(73.314, 91.42),
    ],
    "resnet50": [error(24.01, 7.02, "1 crop of 224", FB), torchvision(76.13, 92.862)],
    "resnet101": [error(22.44, 6.21, "1 crop of 224", FB), torchvision(77.374, 93.546)],
    "resnet152": [error(22.16, 6.16, "1 crop of 224", FB), torchvision(78.312, 94.046)],
    "resnet50_v1": [
        error(22.85, 6.71, "10 crops", "Table 3"),
        error(24.7, 7.8, "1 centre crop of 224", MSRA),
    ],
    "resnet101_v1": [
        error(21.75, 6.05, "10 crops", "Table 3"),
        error(23.6, 7.1, "1 centre crop of 224", MSRA),
    ],
    "resnet152_v1": [
        error(21.43, 5.71, "10 crops", "Table 3"),
        error(23.0, 6.7, "1 centre crop of 224", MSRA),
    ],
    "cifar_resnet20": [cifar(8.75, "Table 6")],
    "cifar_resnet32": [cifar(7.51, "Table 6")],
    "cifar_resnet44": [cifar(7.17, "Table 6")],
    "cifar_resnet56": [cifar(6.97, "Table 6")],
    "cifar_resnet110": [cifar(6.43, "Table 6", "; best of 5 runs, mean 6.61")],
    "cifar_resnet1202": [cifar(7.93, "Table 6")],
    "cifar_resnet164": [cifar(5.93, "Table 2")],
    "cifar_preresnet110": [cifar(6.37, "Table 2", MEDIAN)],
    "cifar_preresnet164": [cifar(5.46, "Table 2", MEDIAN)],
    "cifar_preresnet1001": [cifar(4.92, "Table 3", MEDIAN)],
    "preresnet152": [error(21.1, 5.5, "1 crop of 320", "Table 5")],
    "preresnet200": [error(20.7, 5.3, "1 crop of 320", "Table 5"), error(21.66, 5.79, "1 crop of 224", FB)],
    "nin_cifar10": [
        error(10.41, None, "dropout, no augmentation", "Table 1", CIFAR10),
        error(8.81, None, "dropout, translation and flip", "Table 1", CIFAR10),
    ],
    "nin_imagenet": [accuracy(59.36, None, "1 crop", "Caffe Model Zoo")],
    "googlenet": [
        error(None, 10.07, "1 model, 1 crop", "Table 3"),
        error(None, 6.67, "7 models, 144 crops", "Table 3"),
        accuracy(68.7, 88.9, "1 centre crop", "BVLC/caffe bvlc_googlenet"),
    ],
    "googlenet_torchvision": [torchvision(69.778, 89.53)],
    "mobilenet_v1_full": [accuracy(71.7, None, "1 crop", "Table 4")],
    "mobilenet_v1_shallow": [accuracy(65.3, None, "1 crop", "Table 5")],
    "efficientnet_lite0": [accuracy(75.1, None, "1 crop of 224", "tensorflow/tpu, efficientnet/lite")],
}

# Accuracies that the paper prints; and top-1, top-5 of the released checkpoints, a column an image size.
MOBILENET_V1_PAPER = {
    "1.0_224": (70.6, "Table 6"),
    "0.75_224": (68.4, "Table 6"),
    "0.5_224": (63.7, "Table 6"),
    "0.25_224": (50.6, "Table 6"),
    "1.0_192": (69.1, "Table 7"),
    "1.0_160": (67.2, "Table 7"),
    "1.0_128": (64.4, "Table 7"),
    "0.5_160": (60.2, "Table 9"),
}
MOBILENET_V1_SIDES = (224, 192, 160, 128)
MOBILENET_V1_SLIM = {
    "1.0": [(70.9, 89.9), (70.0, 89.2), (68.0, 87.7), (65.2, 85.8)],
    "0.75": [(68.4, 88.2), (67.2, 87.3), (65.3, 86.0), (62.1, 83.9)],
    "0.5": [(63.3, 84.9), (61.7, 83.6), (59.1, 81.9), (56.3, 79.4)],
    "0.25": [(49.8, 74.2), (47.7, 72.3), (45.5, 70.3), (41.5, 66.3)],
}
MOBILENET_V2_PAPER = {"1.0_224": (72.0, "Table 4"), "1.4_224": (74.7, "Table 4")}
MOBILENET_V2_SIDES = (224, 192, 160, 128, 96)
MOBILENET_V2_SLIM = {
    "1.4": [(75.0, 92.5)],
    "1.3": [(74.4, 92.1)],
    "1.0": [(71.8, 91.0), (70.7, 90.1), (68.8, 89.0), (65.3, 86.9), (60.3, 83.2)],
    "0.75": [(69.8, 89.6), (68.7, 88.9), (66.4, 87.3), (63.2, 85.3), (58.8, 81.6)],
    "0.5": [(65.4, 86.4), (63.9, 85.4), (61.0, 83.2), (57.7, 80.8), (51.2, 75.8)],
    "0.35": [(60.3, 82.9), (58.2, 81.2), (55.7, 79.1), (50.8, 75.0), (45.5, 70.4)],
}
# Side of the image; accuracies of the paper's first version (Table 2); of torchvision, and its crop.
EFFICIENTNET = {
    "b0": (224, (76.3, 93.2), (77.692, 93.532, 224)),
    "b1": (240, (78.8, 94.4), (78.642, 94.186, 240)),
    "b2": (260, (79.8, 94.9), (80.608, 95.31, 288)),
    "b3": (300, (81.1, 95.5), (82.008, 96.054, 300)),
    "b4": (380, (82.6, 96.3), (83.384, 96.594, 380)),
    "b5": (456, (83.3, 96.7), (83.444, 96.628, 456)),
    "b6": (528, (84.0, 96.9), (84.008, 96.916, 528)),
    "b7": (600, (84.4, 97.1), (84.122, 96.908, 600)),
}
