"""Wrong answers with one, two or three slips, and what a diagnosis of each has to say."""

from __future__ import annotations

import copy  # noqa: F401 (in formulas)
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Answer, Table, function
from .kit import (
    BN,
    CONV1,
    CONV3,
    POINT,
    Nothing,
    ReLU,
    alexnet,
    basic,
    biased,
    bn,
    bottleneck,
    cifar,
    conv,
    deep,
    features,
    gate,
    head,
    inception,
    inverted,
    layer,
    lenet,
    mbconv,
    nin,
    projection,
    reduction,
    same_padding,
    separable,
    shortcut,
    stage,  # noqa: F401 (in formulas)
    stage_of,  # noqa: F401 (in formulas)
    vgg,
    vgg3,
)
from .words import (
    BIAS,
    BNORM,
    DETACH,
    EVALUATION,
    INPLACE,
    PARAMS,
    RANDOM,
    RELU,
    SHAPE,
    SHARED,
    SKIP,
    STRIDE,
    all_of,
    extra,
    lacks,
    near,
    side,
)

TABLE = Table()
ANSWERS: list[Answer] = TABLE.answers


def formula(arguments: str) -> Callable[[str], Callable[..., Any]]:
    """`formula("a, b=1")("a + b")` is `lambda a, b=1: a + b`, with its source kept for who looks it up."""
    return lambda body: function(arguments, body, globals())


def to(part: str) -> Callable[..., Any]:
    """What adds wrong answers to a part."""
    return lambda label, says, answer=None, slips=1: TABLE(part, label, answer, says, slips)


# ---------------------------------------------------------------------------------------------- lenet

wrong = to("lenet/conv_output_size")
f = formula("size, kernel, stride=1, padding=0")
FLOOR = r"floor|round|whole| // |step that does not fit|fraction|integer|float"
ONE = (
    r"\+ ?1|plus (?:1|one)|off by one|(?:1|one) (?:is )?(?:too (?:few|many|small|large)|less|"
    r"more|missing|short)|"
    r"first place"
)
BOTH = r"both sides|each side|twice|once|two sides|2 ?[*·×]? ?(?:\* )?padding|four|added on"
wrong("padding on one side", BOTH, f("(size + padding - kernel) // stride + 1"))
wrong("no plus one", ONE, f("(size + 2 * padding - kernel) // stride"))
wrong(
    "plus one inside the quotient",
    ONE + "|quotient|bracket|before the division|after the division",
    f("(size + 2 * padding - kernel + 1) // stride"),
)
wrong("rounded up", FLOOR + "|ceil", f("math.ceil((size + 2 * padding - kernel) / stride) + 1"))
wrong("rounded to the nearest", FLOOR, f("round((size + 2 * padding - kernel) / stride) + 1"))
wrong("a float", FLOOR, f("(size + 2 * padding - kernel) / stride + 1"))
wrong("stride forgotten", r"stride", f("size + 2 * padding - kernel + 1"))
wrong("kernel not subtracted", r"kernel", f("(size + 2 * padding) // stride + 1"))
wrong("same padding assumed", r"kernel|padding", f("-(-size // stride)"))
wrong(
    "the quotient rounded term by term",
    FLOOR + "|whole|divided|quotient|bracket",
    f("(size + 2 * padding) // stride - kernel // stride + 1"),
)
wrong("padding once and no plus one", all_of(BOTH, ONE), f("(size + padding - kernel) // stride"), 2)
wrong(
    "rounded up, padding forgotten",
    all_of(FLOOR + "|ceil", r"padding"),
    f("math.ceil((size - kernel) / stride) + 1"),
    2,
)
wrong("a float, padding once, no plus one", all_of(BOTH, ONE), f("(size + padding - kernel) / stride"), 3)
wrong(
    "padding 1 by default",
    r"default|padding",
    formula("size, kernel, stride=1, padding=1")("(size + 2 * padding - kernel) // stride + 1"),
)
wrong(
    "dilated by one: the kernel counts 2k - 1",
    r"kernel",
    f("(size + 2 * padding - 2 * (kernel - 1) - 1) // stride + 1"),
)

wrong = to("lenet/conv_parameters")
f = formula("in_channels, out_channels, kernel, bias=True")
SQUARE = r"kernel.{0,60}(?:twice|once|square|both|\*\* ?2|²)|(?:square|twice|once|both).{0,60}kernel|kernel"
wrong("bias forgotten", BIAS, f("in_channels * out_channels * kernel**2"))
wrong("bias even without one", BIAS, f("(in_channels * kernel**2 + 1) * out_channels"))
wrong("one bias in all", BIAS, f("in_channels * out_channels * kernel**2 + bias"))
wrong(
    "a bias for each input channel",
    BIAS,
    f("in_channels * out_channels * kernel**2 + (in_channels if bias else 0)"),
)
wrong("a bias for each pair of channels", BIAS, f("in_channels * out_channels * (kernel**2 + bool(bias))"))
wrong("kernel not squared", SQUARE, f("in_channels * out_channels * kernel + (out_channels if bias else 0)"))
wrong("kernel doubled", SQUARE, f("in_channels * out_channels * kernel * 2 + (out_channels if bias else 0)"))
wrong(
    "input channels forgotten",
    r"in_channels|input channel|C_?in",
    f("out_channels * (kernel**2 + (1 if bias else 0))"),
)
wrong(
    "no bias by default",
    r"default|bias",
    formula("in_channels, out_channels, kernel, bias=False")(
        "out_channels * (in_channels * kernel**2 + int(bias))"
    ),
)
wrong(
    "channels added",
    r"channel.{0,80}(?:product|multipl|add|sum)|(?:product|multipl|sum).{0,80}channel",
    f("(in_channels + out_channels) * kernel**2 + (out_channels if bias else 0)"),
)
wrong("bias the wrong way round", BIAS, f("out_channels * (in_channels * kernel**2 + (not bias))"))
wrong(
    "input channels and bias forgotten",
    all_of(r"in_channels|input channel|C_?in", BIAS),
    f("out_channels * kernel**2"),
    2,
)
wrong(
    "kernel not squared, one bias in all",
    all_of(SQUARE, BIAS),
    f("in_channels * out_channels * kernel + int(bias)"),
    2,
)

wrong = to("lenet/lenet5")
MAXPOOL = r"max[- ]?pool|maxim|\bmax\b"
wrong("ReLU for tanh", RELU, lenet(act=ReLU))
wrong("sigmoid for tanh", r"sigmoid", lenet(act=nn.Sigmoid))
wrong("hard tanh", r"hard|clamp|cut off at", lenet(act=nn.Hardtanh))
wrong(
    "scaled tanh of 1998",
    r"1\.71|scal|factor|times|tanh",
    lenet(act=layer(lambda x: 1.7159 * torch.tanh(2 * x / 3))),
)
wrong("max pooling", MAXPOOL, lenet(pool=lambda: nn.MaxPool2d(2)))
wrong("softmax at the end", r"softmax", lenet(tail=lambda: nn.Softmax(dim=1)))
wrong("log-softmax at the end", r"softmax", lenet(tail=lambda: nn.LogSoftmax(dim=-1)))
wrong(
    "tanh on the logits",
    near(r"tanh", r"activation|logit|last|output|end|extra|more|too many|stands|follows"),
    lenet(tail=nn.Tanh),
)
wrong("no tanh after F6", lacks("tanh"), lenet(act6=Nothing))
wrong("dropout left in", RANDOM, lenet(act6=lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5))))
wrong(
    "no bias in the convolutions",
    lacks(BIAS),
    lenet(c1=lambda: nn.Conv2d(1, 6, 5, bias=False), c3=lambda: nn.Conv2d(6, 16, 5, bias=False)),
)
wrong("always ten classes", r"num_classes|classes|\b10\b", lenet(output=lambda n: nn.Linear(84, 10)))
wrong("1000 classes by default", r"default|1000|1,000|num_classes", lenet(classes=1000))
wrong(
    "padding in the first convolution",
    r"padding|grid|size" + "|" + SHAPE,
    lenet(c1=lambda: nn.Conv2d(1, 6, 5, padding=2)),
)
wrong(
    "one norm too many", extra(BNORM), lenet(c1=lambda: nn.Sequential(nn.Conv2d(1, 6, 5), nn.BatchNorm2d(6)))
)


def _pool_first(m: Any, x: Tensor) -> Tensor:
    x = m.act(m.pool(m.c1(x)))
    x = m.act(m.pool(m.c3(x)))
    return m.output(m.act(m.f6(m.act(m.c5(x)).flatten(1))))


wrong(
    "pool before tanh",
    near("pool", "before|after|order|swap|behind|in front") + r"|pool[^\n]*<--",
    lenet(forward=_pool_first),
)
wrong(
    "84 and 120 exchanged",
    r"\b84\b|\b120\b",
    lenet(c5=lambda: nn.Conv2d(16, 84, 5), f6=lambda: nn.Linear(84, 120), output=lambda n: nn.Linear(120, n)),
)
wrong(
    "detached before the head",
    DETACH,
    lenet(
        forward=lambda m, x: m.output(
            torch.tanh(
                m.f6(
                    torch.tanh(m.c5(m.pool(torch.tanh(m.c3(m.pool(torch.tanh(m.c1(x))))))))
                    .flatten(1)
                    .detach()
                )
            )
        )
    ),
)
wrong("ReLU, max pooling", all_of(RELU, MAXPOOL), lenet(act=ReLU, pool=lambda: nn.MaxPool2d(2)), 2)
wrong(
    "a well-known repository: ReLU, max pooling, log-softmax",
    all_of(RELU, MAXPOOL, "softmax"),
    lenet(act=ReLU, pool=lambda: nn.MaxPool2d(2, 2), tail=lambda: nn.LogSoftmax(dim=-1)),
    3,
)
wrong(
    "ReLU and no bias in C5",
    all_of(RELU, BIAS),
    lenet(act=ReLU, c5=lambda: nn.Conv2d(16, 120, 5, bias=False)),
    2,
)
wrong(
    "sigmoid and softmax", all_of("sigmoid", "softmax"), lenet(act=nn.Sigmoid, tail=lambda: nn.Softmax(1)), 2
)


@wrong(
    "the tutorial's network of PyTorch: ReLU and max pooling, the grid as a vector",
    all_of(RELU, MAXPOOL),
    slips=2,
)
class Net(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


@wrong(
    "a textbook's network: sigmoid, padding 2", all_of("sigmoid", "padding|36|grid|shape|size|576"), slips=2
)
class Textbook(nn.Sequential):
    def __init__(self, num_classes=10):
        act, pool = nn.Sigmoid, nn.AvgPool2d
        super().__init__(
            nn.Conv2d(1, 6, kernel_size=5, padding=2), act(), pool(kernel_size=2, stride=2),
            nn.Conv2d(6, 16, kernel_size=5), act(), pool(kernel_size=2, stride=2), nn.Flatten(),
            nn.Linear(16 * 6 * 6, 120), act(), nn.Linear(120, 84), act(), nn.Linear(84, num_classes),
        )  # fmt: skip


wrong = to("lenet/repaired_subsampling")


def subsampling(
    pool: Callable[[Tensor], Tensor] = lambda x: 4 * F.avg_pool2d(x, 2),
    shape: Callable[[int], tuple[int, ...]] = lambda c: (c, 1, 1),
    apply: Callable[..., Tensor] = lambda p, w, b: w * p + b,
    bias: bool = True,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.coefficient = nn.Parameter(torch.ones(shape(channels)))
            self.bias = nn.Parameter(torch.zeros(shape(channels))) if bias else 0

        def forward(self, x: Tensor) -> Tensor:
            return apply(pool(x), self.coefficient, self.bias)

    return Block


AXIS = r"axis|axes|column|broadcast|channel|\bmaps?\b"
wrong(
    "still the average",
    r"average|mean|sum|four|\b4\b|quarter|add",
    subsampling(pool=lambda x: F.avg_pool2d(x, 2)),
)
wrong("still one a column", AXIS, subsampling(shape=lambda c: (c,)))
wrong(
    "the broken layer itself",
    all_of(r"average|mean|\bsum\b|four", AXIS),
    subsampling(pool=lambda x: F.avg_pool2d(x, 2), shape=lambda c: (c,)),
    2,
)
wrong("one for each row", AXIS, subsampling(shape=lambda c: (c, 1)))
wrong("the maximum", r"max|sum|average", subsampling(pool=lambda x: 4 * F.max_pool2d(x, 2)))
wrong(
    "twice the average",
    r"average|sum|four|\b4\b|\b2\b|factor|twice|half",
    subsampling(pool=lambda x: 2 * F.avg_pool2d(x, 2)),
)
wrong("no bias", BIAS, subsampling(bias=False))
wrong("the bias is multiplied as well", BIAS + "|coefficient", subsampling(apply=lambda p, w, b: w * (p + b)))
wrong("a tanh behind it", "tanh", subsampling(apply=lambda p, w, b: torch.tanh(w * p + b)))
wrong(
    "the bias times four",
    BIAS + "|bracket|factor|by 4|four",
    subsampling(pool=lambda x: F.avg_pool2d(x, 2), apply=lambda p, w, b: 4 * (w * p + b)),
)
wrong(
    "a single coefficient", r"coefficient|channel|map" + "|" + PARAMS, subsampling(shape=lambda c: (1, 1, 1))
)
wrong(
    "overlapping windows",
    r"stride|overlap|window|" + side(3),
    subsampling(pool=lambda x: 9 * F.avg_pool2d(x, 3, 2, 1)),
)
wrong("the sum, negative values cut off", RELU, subsampling(apply=lambda p, w, b: F.relu(w * p + b)))

# -------------------------------------------------------------------------------------------- alexnet

wrong = to("alexnet/grouped_conv_macs")
f = formula("in_channels, out_channels, kernel, height, width, groups=1")
wrong("groups forgotten", r"group", f("kernel**2 * in_channels * out_channels * height * width"))
wrong(
    "both divided by the groups",
    r"group",
    f("kernel**2 * (in_channels // groups) * (out_channels // groups) * height * width"),
)
wrong(
    "multiplied by the groups",
    r"group",
    f("kernel**2 * in_channels * groups * out_channels * height * width"),
)
wrong("kernel not squared", r"kernel", f("kernel * in_channels * out_channels * height * width // groups"))
wrong("a float", r"float| // |\bint\b", f("kernel**2 * in_channels / groups * out_channels * height * width"))
wrong(
    "height twice", r"height|width", f("kernel**2 * in_channels * out_channels * height * height // groups")
)
wrong(
    "parameters, not MACs",
    r"grid|height|width|weights" + "|" + PARAMS,
    f("kernel**2 * in_channels * out_channels // groups"),
)
wrong("biases counted", BIAS, f("(kernel**2 * in_channels // groups + 1) * out_channels * height * width"))
wrong(
    "two groups by default",
    r"default|group",
    formula("in_channels, out_channels, kernel, height, width, groups=2")(
        "kernel**2 * in_channels // groups * out_channels * height * width"
    ),
)
wrong(
    "multiplications and additions counted apart",
    r"twice|factor|\b2\b|two|addition",
    f("2 * kernel**2 * in_channels // groups * out_channels * height * width"),
)
wrong(
    "groups forgotten, kernel not squared",
    all_of("group", "kernel"),
    f("kernel * in_channels * out_channels * height * width"),
    2,
)

wrong = to("alexnet/alexnet_trunk")


def LRN(**options: float) -> Callable[[], nn.Module]:
    return lambda: nn.LocalResponseNorm(**({"size": 5, "alpha": 5e-4, "beta": 0.75, "k": 2} | options))


wrong("no groups", r"group", alexnet(groups=(1, 1, 1, 1, 1)))
wrong("layer 3 grouped as well", r"group", alexnet(groups=(1, 2, 2, 2, 2)))
wrong("layer 2 not grouped", r"group", alexnet(groups=(1, 1, 1, 2, 2)))
wrong("PyTorch's alpha taken literally", r"alpha|1e-0?4|0\.0001", alexnet(norm=LRN(alpha=1e-4)))
wrong("k left at its default", r"\bk\b", alexnet(norm=LRN(k=1)))
wrong("beta 0.5", r"beta", alexnet(norm=LRN(beta=0.5)))
wrong("three channels in the norm", r"size|neighbou?r|channels|\bn\b|window", alexnet(norm=LRN(size=3)))
wrong(
    "norm before ReLU",
    near(r"norm|LRN", r"before|after|order|swap|behind") + "|norm[^\n]*<--",
    alexnet(order=("norm act pool", "norm act pool", "act", "act", "act pool")),
)
wrong(
    "pool before the norm, as in Caffe's reference network",
    near(r"norm|pool", r"before|after|order|swap|behind") + "|norm[^\n]*<--",
    alexnet(order=("act pool norm", "act pool norm", "act", "act", "act pool")),
)
wrong(
    "no response norm", lacks(r"norm|LRN"), alexnet(order=("act pool", "act pool", "act", "act", "act pool"))
)
wrong("pool without overlap", r"overlap|window|stride|" + side(2), alexnet(pool=lambda: nn.MaxPool2d(2, 2)))
wrong("average pooling", r"average|avg", alexnet(pool=lambda: nn.AvgPool2d(3, 2)))
wrong(
    "no ReLU after layer 4",
    lacks(RELU),
    alexnet(order=("act norm pool", "act norm pool", "act", "", "act pool")),
)
wrong(
    "no pool at the end",
    lacks("pool"),
    alexnet(order=("act norm pool", "act norm pool", "act", "act", "act")),
)
wrong("no biases", lacks(BIAS), alexnet(bias=False))
wrong("padding 2 in layer 1", near("padding", "2"), alexnet(padding=(2, 2, 1, 1, 1)))
wrong("no padding in layer 2", "padding", alexnet(padding=(0, 0, 1, 1, 1)))
wrong("a vector returned", r"flatten|vector" + "|" + SHAPE, alexnet(tail=nn.Flatten))
wrong(
    "norm after layer 5 too",
    extra(r"norm|LRN"),
    alexnet(order=("act norm pool", "act norm pool", "act", "act", "act norm pool")),
)
wrong(
    "the one-tower network of a model library",
    all_of(r"group|width|\b64\b|channels", r"norm|LRN"),
    alexnet(
        (64, 192, 384, 256, 256),
        (1,) * 5,
        (2, 2, 1, 1, 1),
        order=("act pool", "act pool", "act", "act", "act pool"),
    ),
    3,
)
wrong(
    "a public rewrite: no groups, PyTorch's alpha",
    all_of("group", r"alpha|1e-0?4|0\.0001"),
    alexnet(groups=(1,) * 5, norm=LRN(alpha=1e-4)),
    2,
)
wrong(
    "a textbook's: no groups, no norm, padding 1 in layer 1",
    all_of("group", r"norm|LRN", "padding"),
    alexnet(
        groups=(1,) * 5, padding=(1, 2, 1, 1, 1), order=("act pool", "act pool", "act", "act", "act pool")
    ),
    3,
)
wrong(
    "no overlap and k 1",
    all_of(r"overlap|window|stride|pool", r"\bk\b"),
    alexnet(pool=lambda: nn.MaxPool2d(2), norm=LRN(k=1)),
    2,
)
wrong("batch norm in the norm's place", BNORM, alexnet(norm=lambda: nn.LazyBatchNorm2d()))

wrong = to("alexnet/fully_connected_share")
f = formula("model")
wrong(
    "direct children only",
    r"children|depth|nested|deep|inside|modules\(\)|sub",
    f(
        "sum(p.numel() for m in model.children() if isinstance(m, nn.Linear) for p in m.parameters()) / "
        "sum(p.numel() for p in model.parameters())"
    ),
)
wrong(
    "weights without biases",
    BIAS,
    f(
        "sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Linear)) / sum(p.numel() for p"
        " in model.parameters())"
    ),
)
wrong(
    "the convolutions' share",
    r"convolution|rest|one minus|1 -|other|complement|not linear",
    f(
        "1 - sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()) "
        "/ sum(p.numel() for p in model.parameters())"
    ),
)
wrong(
    "in per cent",
    r"per ?cent|%|100|0 to 1|between 0",
    f(
        "100 * sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in "
        "m.parameters()) / sum(p.numel() for p in model.parameters())"
    ),
)
wrong(
    "tensors counted, not numbers",
    r"numel|how many|numbers in|tensors|how many",
    f(
        "sum(len(list(m.parameters())) for m in model.modules() if isinstance(m, nn.Linear)) / "
        "len(list(model.parameters()))"
    ),
)
wrong(
    "buffers counted in the whole",
    r"buffer|running (?:mean|var|average)|statistics (?:are|is|were|not)|state_dict",
    f(
        "sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()) / "
        "sum(v.numel() for v in model.state_dict().values())"
    ),
)
wrong(
    "convolutions and linear layers only in the whole",
    r"batch ?norm|norm|all parameters|other|whole",
    f(
        "sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()) / "
        "max(1, sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d) for p in "
        "m.parameters()))"
    ),
)
wrong(
    "divided by the rest",
    r"rest|other|whole|all|total|share|ratio",
    f(
        "(a := sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in "
        "m.parameters())) / max(1, sum(p.numel() for p in model.parameters()) - a)"
    ),
)
wrong(
    "told by the number of dimensions",
    r"linear|dimension|type|batch ?norm|bias",
    f(
        "sum(p.numel() for p in model.parameters() if p.dim() <= 2) / sum(p.numel() for p in "
        "model.parameters())"
    ),
)
wrong(
    "rounded down",
    r" // |float|round|integer",
    f(
        "sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()) // "
        "sum(p.numel() for p in model.parameters())"
    ),
)
wrong(
    "children only, biases forgotten",
    all_of(r"children|depth|nested|deep|inside|modules\(\)", BIAS),
    f(
        "sum(m.weight.numel() for m in model.children() if isinstance(m, nn.Linear)) / sum(p.numel() for "
        "p in model.parameters())"
    ),
    2,
)

wrong = to("alexnet/repaired_lrn")
f = formula("a, size=5, alpha=0.0001, beta=0.75, k=2.0")


def lrn(
    low: Callable[[int, int], int] = lambda i, n: max(0, i - n // 2),
    high: Callable[[int, int, int], int] = lambda i, n, c: min(c, i + n // 2 + 1),
    total: Callable[[Tensor], Tensor] = lambda a: (a**2).sum(dim=1),
    divide: Callable[..., Tensor] = lambda a, s, n, alpha, beta, k: a / (k + alpha * s) ** beta,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
) -> Callable[..., Tensor]:
    a0, b0, k0 = alpha, beta, k

    def _(a: Tensor, size: int = 5, alpha: float = a0, beta: float = b0, k: float = k0) -> Tensor:
        c = a.shape[1]
        sums = torch.stack([total(a[:, low(i, size) : high(i, size, c)]) for i in range(c)], dim=1)
        return divide(a, sums, size, alpha, beta, k)

    return _


END = r"slice|last|upper|neighbou?r|channel|window|\+ ?1|edge|end"
wrong("still one channel short", END, lrn(high=lambda i, n, c: min(c, i + n // 2)))
wrong("still the mean", r"mean|average|sum", lrn(total=lambda a: (a**2).mean(dim=1)))
wrong(
    "the broken function itself",
    all_of(END, r"mean|average|\bsum\b"),
    lrn(high=lambda i, n, c: min(c, i + n // 2), total=lambda a: (a**2).mean(dim=1)),
    2,
)
wrong(
    "divided by size, as PyTorch does",
    r"size|divi|PyTorch|\bn\b|alpha|mean",
    lrn(divide=lambda a, s, n, alpha, beta, k: a / (k + alpha / n * s) ** beta),
)
wrong(
    "PyTorch's own layer, alpha as it is",
    r"size|divi|PyTorch|\bn\b|alpha|mean",
    f("F.local_response_norm(a, size, alpha, beta, k)"),
)
wrong(
    "k outside of the power",
    r"\bk\b|power|bracket|beta",
    lrn(divide=lambda a, s, n, alpha, beta, k: a / (k + (alpha * s) ** beta)),
)
wrong(
    "power forgotten", r"beta|power|exponent", lrn(divide=lambda a, s, n, alpha, beta, k: a / (k + alpha * s))
)
wrong("absolute values summed", r"squar|abs|\*\* ?2|²", lrn(total=lambda a: a.abs().sum(dim=1)))
wrong("the sum squared", r"squar|sum|\*\* ?2|²|order", lrn(total=lambda a: a.sum(dim=1) ** 2))
wrong("one channel too many below", END + "|low", lrn(low=lambda i, n: max(0, i - n // 2 - 1)))
wrong("only the channels above", END + "|low|below|before", lrn(low=lambda i, n: i))
wrong("k 1 by default", r"default|\bk\b", lrn(k=1.0))
wrong("alpha 5e-4 by default", r"default|alpha", lrn(alpha=5e-4))
wrong(
    "multiplied instead of divided",
    r"divi|multipl",
    lrn(divide=lambda a, s, n, alpha, beta, k: a * (k + alpha * s) ** beta),
)


@wrong("squares its input in place", INPLACE)
def repaired_lrn(a, size=5, alpha=1e-4, beta=0.75, k=2.0):
    original = a.clone()
    a.pow_(2)
    c = a.shape[1]
    sums = [a[:, max(0, i - size // 2) : i + size // 2 + 1].sum(dim=1) for i in range(c)]
    return original / (k + alpha * torch.stack(sums, dim=1)) ** beta


# ------------------------------------------------------------------------------------------------ vgg

for wrong in (to("vgg/vgg_block"), to("vgg/repaired_block")):
    wrong(
        "a ReLU only at the end",
        lacks(RELU),
        lambda num_convs, in_channels, out_channels: nn.Sequential(
            *[vgg3(in_channels if n == 0 else out_channels, out_channels) for n in range(num_convs)],
            nn.ReLU(),
            nn.MaxPool2d(2),
        ),
    )
    wrong("no padding", "padding", vgg(lambda i, o: nn.Conv2d(i, o, 3)))
    wrong("leaky ReLU", "leaky", vgg(act=partial(nn.LeakyReLU, 0.1)))
    wrong("average pool", r"average|avg", vgg(pool=lambda: nn.AvgPool2d(2)))
    wrong(
        "ReLU before the convolution",
        near(RELU, r"before|after|order|swap|in front|behind|last") + "|ReLU[^\n]*<--",
        vgg(order="act conv"),
    )
    wrong(
        "pool keeps the grid and overlaps",
        all_of(r"pool|window|" + side(3), r"stride|window|overlap|padding|" + side(3)),
        vgg(pool=lambda: nn.MaxPool2d(3, 2, 1)),
    )

wrong = to("vgg/vgg_block")
f = formula("num_convs, in_channels, out_channels")
wrong("no pool", lacks("pool"), vgg(pool=Nothing))
wrong("pool with stride 1", STRIDE, vgg(pool=lambda: nn.MaxPool2d(2, 1)))
wrong(
    "pool after every convolution",
    near("pool", "every|each|more|extra|too many|once"),
    vgg(
        lambda i, o: nn.Sequential(vgg3(i, o)),
        act=lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2)),
        pool=Nothing,
    ),
)
wrong("no biases", lacks(BIAS), vgg(lambda i, o: nn.Conv2d(i, o, 3, padding=1, bias=False)))
wrong("pool rounds up", r"ceil|round|odd|last row", vgg(pool=lambda: nn.MaxPool2d(2, ceil_mode=True)))
wrong(
    "one layer too few",
    r"num_convs|fewer|too few|one less|missing|convolutions",
    f("vgg()(max(1, num_convs - 1), in_channels, out_channels)"),
)
wrong(
    "one convolution used again",
    SHARED,
    f(
        "nn.Sequential(vgg3(in_channels, out_channels), nn.ReLU(), *[m for c in [vgg3(out_channels, "
        "out_channels)] for _ in range(num_convs - 1) for m in (c, nn.ReLU())], nn.MaxPool2d(2))"
    ),
)
wrong("batch norm, as a CIFAR collection has it", extra(BNORM), vgg(norm=BN, order="conv norm act"))
wrong(
    "replicated borders",
    r"padding|replicat",
    vgg(lambda i, o: nn.Conv2d(i, o, 3, padding=1, padding_mode="replicate")),
)
wrong("5x5", side(5), vgg(lambda i, o: nn.Conv2d(i, o, 5, padding=2)))
wrong(
    "average pool and no padding",
    all_of(r"average|avg", "padding"),
    vgg(lambda i, o: nn.Conv2d(i, o, 3), pool=lambda: nn.AvgPool2d(2)),
    2,
)
wrong(
    "batch norm and a leaky ReLU",
    all_of(BNORM, "leaky"),
    vgg(norm=BN, order="conv norm act", act=nn.LeakyReLU),
    2,
)
wrong(
    "the widths grow in the last layer only",
    r"channels|width|in_channels|out_channels",
    f(
        "nn.Sequential(*[m for n in range(num_convs) for m in (vgg3(in_channels, out_channels if n == "
        "num_convs - 1 else in_channels), nn.ReLU())], nn.MaxPool2d(2))"
    ),
)

wrong = to("vgg/vgg_features")
f = formula("config, in_channels=3")
wrong("no ReLU at all", lacks(RELU), features(act=Nothing))
wrong(
    "a ReLU only before a pool",
    lacks(RELU),
    features(act=Nothing, pool=lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))),
)
wrong("average pools", r"average|avg", features(pool=lambda: nn.Sequential(nn.AvgPool2d(2), nn.ReLU())))
wrong("always three input channels", r"in_channels|input channels|\b3\b", f("features()(config)"))
wrong("one input channel by default", r"default|in_channels|channels", features(default=1))
wrong("no padding", "padding", features(lambda i, o: nn.Conv2d(i, o, 3)))
wrong("5x5", side(5), features(lambda i, o: nn.Conv2d(i, o, 5, padding=2)))
wrong("dilated", "dilat", features(lambda i, o: nn.Conv2d(i, o, 3, padding=2, dilation=2)))
wrong("batch norm", extra(BNORM), features(lambda i, o: nn.Sequential(vgg3(i, o), nn.BatchNorm2d(o))))
wrong(
    "an adaptive pool at the end, as in a model library",
    r"adaptive|average|avg",
    f("nn.Sequential(features()(config, in_channels), nn.AdaptiveAvgPool2d(7))"),
)
wrong(
    "the last pool left out",
    lacks("pool"),
    f("features()(config[:-1] if config[-1] == 'M' else config, in_channels)"),
)
wrong("GELU", "gelu", features(act=nn.GELU))
wrong(
    "no biases, average pool",
    all_of(BIAS, r"average|avg"),
    features(lambda i, o: nn.Conv2d(i, o, 3, padding=1, bias=False), pool=lambda: nn.AvgPool2d(2)),
    2,
)
wrong(
    "batch norm, and pools that overlap",
    all_of(BNORM, r"pool|overlap|window"),
    features(lambda i, o: nn.Sequential(vgg3(i, o), nn.BatchNorm2d(o)), pool=lambda: nn.MaxPool2d(3, 2, 1)),
    2,
)


@wrong("empties the list that it is given", r"list|config|chang|empt|given|modif|argument")
def vgg_features(config, in_channels=3):
    layers = []
    while config:
        item = config.pop(0)
        layers += [nn.MaxPool2d(2)] if item == "M" else [vgg3(in_channels, item), nn.ReLU()]
        in_channels = in_channels if item == "M" else item
    return nn.Sequential(*layers)


wrong = to("vgg/receptive_field")
f = formula("layers")


def field(grow: Callable[[int, int, int], int], start: int = 1, late: bool = True) -> Callable[..., int]:
    def _(layers: list[tuple[int, int]]) -> int:
        found, step = start, 1
        for kernel, stride in layers:
            if not late:
                step *= stride
            found += grow(kernel, stride, step)
            if late:
                step *= stride
        return found

    return _


def _backward(layers: list[tuple[int, int]]) -> int:
    found = 1
    for kernel, stride in reversed(layers):
        found = found * stride + kernel - 1
    return found


wrong("strides ignored", "stride", field(lambda k, s, step: k - 1))
wrong("a layer's own stride counts at once", "stride", field(lambda k, s, step: (k - 1) * step, late=False))
wrong("kernels added whole", r"kernel|- ?1|one less|minus", field(lambda k, s, step: k * step))
wrong(
    "begins with nothing",
    r"\b1\b|\bone (?:more|less|too|for|to)|plus one|start|begin|r_0",
    field(lambda k, s, step: (k - 1) * step, start=0),
)
wrong(
    "the own stride only, not the product", r"stride|product|multipl", field(lambda k, s, step: (k - 1) * s)
)
wrong("an area", r"area|side|squar", f("field(lambda k, s, step: (k - 1) * step)(layers) ** 2"))
wrong("3x3 whatever the kernel", r"kernel", field(lambda k, s, step: 2 * step))
wrong("from the last layer back, kernels added whole", r"kernel|stride|order|backward|- ?1|\(k", _backward)
wrong(
    "strides added, not multiplied",
    r"stride|product|multipl",
    f("1 + sum((k - 1) * max(1, sum(s for _, s in layers[:n])) for n, (k, _) in enumerate(layers))"),
)
wrong("the last layer forgotten", r"last|layer", f("field(lambda k, s, step: (k - 1) * step)(layers[:-1])"))
wrong("kernels added whole, strides ignored", all_of("kernel", "stride"), field(lambda k, s, step: k), 2)

wrong = to("vgg/stack_versus_single")
f = formula("channels, num_convs")
wrong(
    "kernel not squared",
    r"squar|kernel|\*\* ?2|²|side",
    f("(9 * num_convs * channels**2, (2 * num_convs + 1) * channels**2)"),
)
wrong(
    "channels not squared", r"channels", f("(9 * num_convs * channels, (2 * num_convs + 1) ** 2 * channels)")
)
wrong(
    "biases counted",
    BIAS,
    f("(num_convs * (9 * channels**2 + channels), (2 * num_convs + 1) ** 2 * channels**2 + channels)"),
)
wrong(
    "a kernel of 3n",
    r"kernel|receptive|side|2 ?\*?",
    f("(9 * num_convs * channels**2, (3 * num_convs) ** 2 * channels**2)"),
)
wrong(
    "the other order",
    r"order|swap|exchang|first",
    f("((2 * num_convs + 1) ** 2 * channels**2, 9 * num_convs * channels**2)"),
)
wrong(
    "always 5x5",
    r"num_convs|kernel|receptive|\b25\b|" + side(5),
    f("(9 * num_convs * channels**2, 25 * channels**2)"),
)
wrong(
    "one layer only",
    r"num_convs|stack|layers",
    f("(9 * channels**2, (2 * num_convs + 1) ** 2 * channels**2)"),
)
wrong(
    "a kernel of 2n - 1",
    r"kernel|side|receptive|\+ ?1",
    f("(9 * num_convs * channels**2, (2 * num_convs - 1) ** 2 * channels**2)"),
)
wrong(
    "a kernel of 2n - 1, biases counted",
    all_of(r"kernel|side|receptive|size|2 ?n", BIAS),
    f("(num_convs * (9 * channels**2 + channels), (2 * num_convs - 1) ** 2 * channels**2 + channels)"),
    2,
)
wrong(
    "floats", r"float|\bint\b", f("(9.0 * num_convs * channels**2, (2.0 * num_convs + 1) ** 2 * channels**2)")
)

wrong = to("vgg/repaired_block")


@wrong("still one name for every ReLU", lacks(RELU))
def repaired_block(num_convs, in_channels, out_channels):
    block = nn.Sequential()
    for index in range(num_convs):
        block.add_module(f"conv{index}", vgg3(in_channels, out_channels))
        block.add_module("relu", nn.ReLU())
        in_channels = out_channels
    block.add_module("pool", nn.MaxPool2d(2))
    return block


@wrong("the convolutions have one name as well", r"convolution")
def _one_name(num_convs, in_channels, out_channels):
    block = nn.Sequential()
    for index in range(num_convs):
        block.add_module("conv" if index else "first", vgg3(in_channels, out_channels))
        block.add_module(f"relu{index}", nn.ReLU())
        in_channels = out_channels
    block.add_module("pool", nn.MaxPool2d(2))
    return block


# --------------------------------------------------------------------------------------------- resnet

wrong = to("resnet/basic_block")
EPS, MOMENTUM = r"\beps", r"momentum"
FIRST_ACT = lacks(RELU)
wrong("leaky ReLU between", "leaky", basic(act=nn.LeakyReLU))
wrong("ELU at the end", r"\bELU", basic(last=nn.ELU))
wrong("GELU in both places", "GELU", basic(act=nn.GELU, last=nn.GELU))
wrong("ReLU6 at the end", "ReLU6", basic(last=nn.ReLU6))
wrong("softplus between", "softplus", basic(act=nn.Softplus))
wrong("no ReLU between", FIRST_ACT, basic(act=Nothing))
wrong("no ReLU at the end", FIRST_ACT, basic(last=Nothing))
wrong("a PReLU", "prelu|parametric", basic(act=nn.PReLU))
wrong(
    "ReLU before the addition",
    near(RELU, r"before|after|order|swap|behind|in front|branch|sum|addition"),
    basic(
        last=Nothing, forward=lambda m, x: F.relu(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))))) + m.shortcut(x)
    ),
)
wrong(
    "ReLU before and after the addition",
    extra(RELU),
    basic(bn2=lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU())),
)
wrong(
    "a ReLU on the shortcut",
    extra(RELU),
    basic(forward=lambda m, x: F.relu(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) + F.relu(m.shortcut(x)))),
)
wrong("no skip", SKIP, basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))))))
wrong(
    "skip halved",
    r"half|0\.5|\b2\b|divid|scale|factor|mean|average",
    basic(forward=lambda m, x: m.last((m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) + m.shortcut(x)) / 2)),
)
wrong(
    "skip subtracted",
    r"subtract|minus|differen\w+ of|sign|-1|negative|alpha",
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) - m.shortcut(x))),
)
wrong(
    "skip multiplied",
    r"multipl|product|times",
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) * m.shortcut(x))),
)
wrong(
    "added too early: to the first layer's result",
    r"first|early|before|after (?:the|batch|a) |order|sum|addition|skip",
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)) + m.shortcut(x)))))),
)
wrong("projection without batch norm", lacks(BNORM), basic(short=shortcut(CONV1)))
wrong(
    "projection with a bias",
    extra(BIAS),
    basic(short=shortcut(lambda i, o, s: projection(i, o, s, conv(1, bias=True)))),
)
wrong("a 3x3 projection", side(3), basic(short=shortcut(lambda i, o, s: projection(i, o, s, CONV3))))
wrong(
    "a projection everywhere",
    r"projection|shortcut|always|every|equal shapes|where shapes agree",
    basic(short=projection),
)
wrong(
    "a projection only where channels differ",
    r"stride|projection|grid" + "|" + SHAPE,
    basic(short=shortcut(when=lambda i, o, s: i != o)),
)
wrong(
    "a projection only where the stride is 2",
    r"channels|projection" + "|" + SHAPE,
    basic(short=shortcut(when=lambda i, o, s: s == 2)),
)
wrong(
    "a pool on the shortcut",
    r"pool|average|avg",
    basic(
        short=shortcut(
            lambda i, o, s: nn.Sequential(nn.AvgPool2d(s, s, ceil_mode=True), CONV1(i, o), nn.BatchNorm2d(o))
        )
    ),
)
wrong("biases in both convolutions", extra(BIAS), basic(conv(3, bias=True), conv2=conv(3, bias=True)))
wrong("bias in the second convolution", extra(BIAS), basic(conv2=conv(3, bias=True)))
wrong("eps 1e-3", EPS, basic(bn1=bn(eps=1e-3), bn2=bn(eps=1e-3)))
wrong("eps taken for the channels", EPS, basic(bn1=lambda c: nn.BatchNorm2d(c, c)))
wrong("momentum 0.01", MOMENTUM, basic(bn1=bn(momentum=0.01), bn2=bn(momentum=0.01)))
wrong("momentum of TensorFlow, 0.99", MOMENTUM, basic(bn2=bn(momentum=0.99)))
wrong(
    "norms without scale and shift",
    r"affine|scale|shift|gamma|beta|weight" + "|" + PARAMS,
    basic(bn1=bn(affine=False), bn2=bn(affine=False)),
)
wrong(
    "statistics not kept",
    r"running (?:mean|var|average)|statistics (?:are|is|were|not)|track",
    basic(bn2=bn(track_running_stats=False)),
)
wrong(
    "one norm used twice",
    SHARED,
    basic(forward=lambda m, x: m.last(m.bn1(m.conv2(m.act(m.bn1(m.conv1(x))))) + m.shortcut(x))),
)
wrong(
    "group norm",
    r"group ?norm|groups",
    basic(bn1=lambda c: nn.GroupNorm(1, c), bn2=lambda c: nn.GroupNorm(1, c)),
)
wrong("instance norm", r"instance", basic(bn1=partial(nn.InstanceNorm2d, affine=True)))
wrong("no norm in the second layer", lacks(BNORM), basic(bn2=Nothing))
wrong(
    "norm behind the addition",
    near(BNORM, r"before|after|order|swap|behind|sum|addition|moved"),
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))) + m.shortcut(x)))),
)
wrong(
    "ReLU before the norm",
    near(RELU, r"before|after|order|swap|behind|in front") + "|<--",
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.bn1(m.act(m.conv1(x))))) + m.shortcut(x))),
)
wrong(
    "stride on the second convolution",
    STRIDE,
    basic(
        conv(3, stride=1),
        conv2=conv(3),
        forward=lambda m, x: m.last(
            m.bn2(F.conv2d(m.act(m.bn1(m.conv1(x))), m.conv2.weight, stride=m.stride, padding=1))
            + m.shortcut(x)
        ),
    ),
)
wrong(
    "no padding, the shortcut cut to fit",
    "padding",
    basic(conv(3, padding=0), forward=lambda m, x: _crop(m, x)),
)
wrong("dilated second convolution", "dilat", basic(conv2=conv(3, padding=2, dilation=2)))
wrong("reflected borders", "reflect", basic(conv2=conv(3, padding_mode="reflect")))
wrong("replicated borders", "replicat", basic(conv1=conv(3, padding_mode="replicate")))
wrong("periodic borders", "circular|periodic|wrap", basic(conv1=conv(3, padding_mode="circular")))
wrong("second convolution 1x1", side(1), basic(conv2=CONV1))
wrong("first convolution 5x5", side(5), basic(conv(5)))
wrong(
    "second convolution grouped",
    "group",
    basic(
        conv2=lambda i, o, s: nn.Conv2d(i, o, 3, s, 1, groups=math.gcd(i, 2) if i % 2 == 0 else i, bias=False)
    ),
)
wrong("dropout between", RANDOM, basic(act=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.3))))
wrong(
    "skip detached",
    DETACH,
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) + m.shortcut(x).detach())),
)
wrong("branch without gradients", DETACH, basic(forward=lambda m, x: _frozen(m, x)))
wrong(
    "adds to its input in place",
    INPLACE,
    basic(forward=lambda m, x: m.last(m.shortcut(x).add_(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))))))),
)
wrong(
    "the shortcut reads an overwritten input",
    INPLACE + "|shortcut",
    basic(
        forward=lambda m, x: m.last(
            m.bn2(m.conv2(m.act(m.bn1(m.conv1(F.relu(x, inplace=True)))))) + m.shortcut(x)
        )
    ),
)
wrong(
    "always in evaluation",
    r"statistics (?:are|is|were|not)" + "|" + EVALUATION,
    basic(
        forward=lambda m, x: m.last(
            F.batch_norm(
                m.conv2(m.act(m.bn1(m.conv1(x)))),
                m.bn2.running_mean,
                m.bn2.running_var,
                m.bn2.weight,
                m.bn2.bias,
            )
            + m.shortcut(x)
        )
    ),
)
wrong(
    "always the batch's statistics",
    r"batch's" + "|" + EVALUATION,
    basic(
        forward=lambda m, x: m.last(
            F.batch_norm(
                m.conv2(m.act(m.bn1(m.conv1(x)))),
                m.bn2.running_mean,
                m.bn2.running_var,
                m.bn2.weight,
                m.bn2.bias,
                True,
            )
            + m.shortcut(x)
        )
    ),
)
wrong(
    "computed in half precision",
    r"half|float16|bfloat16|16|precision|dtype",
    basic(
        forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))).half().float()) + m.shortcut(x))
    ),
)
wrong(
    "the second convolution twice",
    SHARED,
    basic(forward=lambda m, x: m.last(m.bn2(m.conv2(m.conv2(m.act(m.bn1(m.conv1(x)))))) + m.shortcut(x))),
)
wrong(
    "an unused third norm",
    r"unused|never used|not used|too many|extra|additional|more",
    basic(
        last=lambda: nn.Sequential(nn.ReLU()),
        forward=lambda m, x: m.last(m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) + m.shortcut(x)),
        short=lambda i, o, s: _with_spare(i, o, s),
    ),
)


def _crop(m: Any, x: Tensor) -> Tensor:
    out = m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))))
    return m.last(out + m.shortcut(x)[..., : out.shape[-2], : out.shape[-1]])


def _frozen(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        hidden = m.act(m.bn1(m.conv1(x)))
    return m.last(m.bn2(m.conv2(hidden)) + m.shortcut(x))


def _with_spare(i: int, o: int, s: int) -> nn.Module:
    made = PROJECTION(i, o, s)
    made.spare = nn.BatchNorm2d(o)
    return made


PROJECTION = shortcut()

# Two and three slips.
wrong(
    "leaky ReLU, no batch norm on the projection",
    all_of("leaky", lacks(BNORM)),
    basic(act=nn.LeakyReLU, short=shortcut(CONV1)),
    2,
)
wrong(
    "eps and momentum of another framework",
    all_of(EPS, MOMENTUM),
    basic(bn1=bn(eps=1e-3, momentum=0.01), bn2=bn(eps=1e-3, momentum=0.01)),
    2,
)
wrong(
    "biases, and no ReLU at the end",
    all_of(BIAS, lacks(RELU)),
    basic(conv(3, bias=True), conv2=conv(3, bias=True), last=Nothing),
    2,
)
wrong(
    "GELU and a dropout",
    all_of("gelu", RANDOM),
    basic(act=lambda: nn.Sequential(nn.GELU(), nn.Dropout(0.2))),
    2,
)
wrong("skip forgotten, ReLU6", all_of(SKIP, "ReLU6"), basic(act=nn.ReLU6, short=layer(lambda x: 0)), 2)
wrong(
    "dilated, group norm",
    all_of("dilat", r"group ?norm|groups"),
    basic(conv2=conv(3, padding=2, dilation=2), bn2=lambda c: nn.GroupNorm(1, c)),
    2,
)
wrong(
    "reflected borders, eps 0.1",
    all_of("reflect", EPS),
    basic(conv2=conv(3, padding_mode="reflect"), bn1=bn(eps=0.1)),
    2,
)
wrong(
    "projection 3x3 and with a bias",
    all_of(side(3), BIAS),
    basic(short=shortcut(lambda i, o, s: projection(i, o, s, conv(3, bias=True)))),
    2,
)
wrong(
    "ELU between, halved sum",
    all_of(r"\bELU", r"half|0\.5|\b2\b|divid|factor|mean"),
    basic(
        act=nn.ELU,
        forward=lambda m, x: m.last((m.bn2(m.conv2(m.act(m.bn1(m.conv1(x))))) + m.shortcut(x)) / 2),
    ),
    2,
)
wrong(
    "biases, leaky ReLU at both places, projection without norm",
    all_of(BIAS, "leaky", BNORM),
    basic(
        conv(3, bias=True),
        act=nn.LeakyReLU,
        conv2=conv(3, bias=True),
        last=nn.LeakyReLU,
        short=shortcut(CONV1),
    ),
    3,
)
wrong(
    "no first ReLU, no last ReLU, projection everywhere",
    all_of(RELU, r"projection|shortcut|" + side(1)),
    basic(act=Nothing, last=Nothing, short=projection),
    3,
)
wrong(
    "eps, dilation and Swish",
    all_of(EPS, "dilat", "swish|silu"),
    basic(bn1=bn(eps=1e-3), conv2=conv(3, padding=2, dilation=2), act=nn.SiLU),
    3,
)
wrong(
    "a textbook's block: biases, and a projection without batch norm",
    all_of(BIAS, BNORM),
    basic(conv(3, bias=True), conv2=conv(3, bias=True), short=shortcut(conv(1, bias=True))),
    2,
)


class Zeros(nn.Module):
    """A shortcut of a CIFAR repository: zeros on both sides of the channels."""

    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        self.added, self.s = o - i, s

    def forward(self, x: Tensor) -> Tensor:
        front = self.added // 2
        return F.pad(x[:, :, :: self.s, :: self.s], (0, 0, 0, 0, front, self.added - front))


OPTION_A = r"projection|1 ?[x×] ?1|option A|zero|pad|shortcut"
wrong("a CIFAR repository's shortcut: zeros instead of a projection", OPTION_A, basic(short=shortcut(Zeros)))


@wrong("pre-activation, as in many CIFAR collections", r"pre-?activat|before|order|behind|<--")
class PreActBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = CONV3(in_channels, out_channels, stride)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = CONV3(out_channels, out_channels)
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(CONV1(in_channels, out_channels, stride))

    def forward(self, x):
        out = F.relu(self.bn1(x))
        shortcut = self.shortcut(out) if hasattr(self, "shortcut") else x
        out = self.conv1(out)
        return self.conv2(F.relu(self.bn2(out))) + shortcut


@wrong("a wide block: pre-activation with dropout", r"pre-?activat|before|order|behind|dropout|<--", slips=2)
class WideBasic(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = conv(3, bias=True)(in_channels, out_channels)
        self.dropout = nn.Dropout(p=0.3)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = conv(3, bias=True)(out_channels, out_channels, stride)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(conv(1, bias=True)(in_channels, out_channels, stride))

    def forward(self, x):
        out = self.dropout(self.conv1(F.relu(self.bn1(x))))
        return self.conv2(F.relu(self.bn2(out))) + self.shortcut(x)


@wrong("a Keras block: eps 1.001e-5, momentum 0.01, biases", all_of(BIAS, "eps|momentum"), slips=3)
class KerasBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()

        def unit(i, o, k, s):
            return [biased(i, o, k, s), nn.BatchNorm2d(o, eps=1.001e-5, momentum=0.01)]

        self.body = nn.Sequential(
            *unit(in_channels, out_channels, 3, stride), nn.ReLU(), *unit(out_channels, out_channels, 3, 1)
        )
        needed = stride != 1 or in_channels != out_channels
        self.short = nn.Sequential(*unit(in_channels, out_channels, 1, stride)) if needed else nn.Identity()

    def forward(self, x):
        return torch.relu(self.short(x) + self.body(x))


wrong = to("resnet/bottleneck")
V1 = all_of("stride", side(1) + "|first")
wrong("stride on the first 1x1, as the authors have it", V1, bottleneck(CONV1, conv2=conv(3, stride=1)))
wrong("stride on the last 1x1", STRIDE, bottleneck(conv2=conv(3, stride=1), conv3=CONV1))
wrong("no expansion", r"expan|4|four|channels", bottleneck(expansion=1))
wrong("expansion 2", r"expan|4|four|channels", bottleneck(expansion=2))
wrong(
    "shortcut compared with channels",
    r"channels|projection|4|shortcut",
    bottleneck(short=shortcut(when=lambda i, o, s: s != 1 or i * 4 != o)),
)
wrong(
    "projection only for strides",
    r"projection|channels" + "|" + SHAPE,
    bottleneck(short=shortcut(when=lambda i, o, s: s != 1)),
)
wrong("projection everywhere", r"projection|shortcut", bottleneck(short=projection))
wrong("projection without batch norm", lacks(BNORM), bottleneck(short=shortcut(CONV1)))
wrong(
    "projection averages first (ResNet-D)",
    r"pool|average|avg",
    bottleneck(
        short=shortcut(
            lambda i, o, s: nn.Sequential(nn.AvgPool2d(s, s, ceil_mode=True), CONV1(i, o), nn.BatchNorm2d(o))
        )
    ),
)
wrong("no ReLU after the 3x3", lacks(RELU), bottleneck(act2=Nothing))
wrong("no ReLU after the first 1x1", lacks(RELU), bottleneck(act1=Nothing))
wrong(
    "a ReLU after the last norm",
    extra(RELU),
    bottleneck(bn3=lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU())),
)
wrong("no ReLU at the end", lacks(RELU), bottleneck(last=Nothing))
wrong("no skip", SKIP, bottleneck(short=layer(lambda x: 0)))
wrong("a grouped 3x3, as in ResNeXt", "group", bottleneck(conv2=deep(3)))
wrong("3x3 twice as wide", r"width|channels|wide", bottleneck(width=lambda i, c: 2 * c))
wrong("inner width from the input", r"width|channels", bottleneck(width=lambda i, c: max(1, i // 4)))
wrong(
    "biases",
    extra(BIAS),
    bottleneck(conv(1, bias=True, stride=1), conv2=conv(3, bias=True), conv3=conv(1, bias=True, stride=1)),
)
wrong("eps 1e-3", EPS, bottleneck(bn1=bn(eps=1e-3), bn2=bn(eps=1e-3), bn3=bn(eps=1e-3)))
wrong("cumulative averages", MOMENTUM, bottleneck(bn2=bn(momentum=None)))
wrong("second convolution 1x1", side(1), bottleneck(conv2=CONV1))
wrong("last convolution 3x3", side(3), bottleneck(conv3=conv(3, stride=1)))
wrong("padding 1 in the 1x1", "padding", bottleneck(conv(1, stride=1, padding=1), conv2=conv(3, padding=0)))
wrong("dilated 3x3", "dilat", bottleneck(conv2=conv(3, padding=2, dilation=2)))
wrong("sigmoid-weighted ReLU", "silu|swish", bottleneck(act1=nn.SiLU, act2=nn.SiLU))
wrong(
    "dropout before the last convolution",
    RANDOM,
    bottleneck(act2=lambda: nn.Sequential(nn.ReLU(), nn.Dropout2d(0.1))),
)
wrong(
    "one norm for the first two layers",
    SHARED,
    bottleneck(
        forward=lambda m, x: m.last(
            m.bn3(m.conv3(m.act2(m.bn1(m.conv2(m.act1(m.bn1(m.conv1(x)))))))) + m.shortcut(x)
        )
    ),
)
wrong(
    "skip scaled by 0.1",
    r"0\.1|scale|factor|times|multipl",
    bottleneck(
        forward=lambda m, x: m.last(
            m.bn3(m.conv3(m.act2(m.bn2(m.conv2(m.act1(m.bn1(m.conv1(x)))))))) * 0.1 + m.shortcut(x)
        )
    ),
)
wrong(
    "stride on the first 1x1, no batch norm on the projection",
    all_of(V1, lacks(BNORM)),
    bottleneck(CONV1, conv2=conv(3, stride=1), short=shortcut(CONV1)),
    2,
)
wrong(
    "stride on the first 1x1, biases (a Keras model)",
    all_of(V1, BIAS),
    bottleneck(conv(1, bias=True), conv2=conv(3, stride=1, bias=True), conv3=conv(1, stride=1, bias=True)),
    2,
)
wrong(
    "leaky ReLU, expansion 2",
    all_of("leaky", "expan|4|four|channels"),
    bottleneck(act1=nn.LeakyReLU, act2=nn.LeakyReLU, expansion=2),
    2,
)
wrong(
    "no ReLU between, eps and momentum",
    all_of(RELU, EPS, MOMENTUM),
    bottleneck(act2=Nothing, bn2=bn(eps=1e-3, momentum=0.01)),
    3,
)
wrong(
    "grouped, stride on the first, ReLU6",
    all_of("group", "stride", "ReLU6"),
    bottleneck(CONV1, conv2=deep(3, stride=1), last=nn.ReLU6),
    3,
)


@wrong(
    "an attention collection's bottleneck: gate before the sum",
    r"sigmoid|squeeze|gate|excit|average|multipl",
    slips=1,
)
class GatedBottleneck(bottleneck()):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__(in_channels, channels, stride)
        wide = 4 * channels
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, wide, 1),
            nn.Sigmoid(),
        )

    def forward(self, x):
        out = self.act2(self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x))))))
        out = self.bn3(self.conv3(out))
        return self.last(out * self.gate(out) + self.shortcut(x))


wrong = to("resnet/residual_stage")
f = formula("in_channels, out_channels, num_blocks, stride")
EVERY = r"stride.{0,80}(?:every|each|all|other|first|later)|(?:every|each|first|later|other).{0,80}stride|stride \d"
wrong(
    "stride in every block",
    EVERY,
    f("stage_of(basic(), num_blocks, in_channels, out_channels, [stride] * num_blocks)"),
)
wrong(
    "stride in the last block",
    r"stride|last|first",
    f("stage_of(basic(), num_blocks, in_channels, out_channels, [1] * (num_blocks - 1) + [stride])"),
)
wrong(
    "one block too many",
    r"num_blocks|blocks|too many|one more",
    f("stage(basic(), in_channels, out_channels, num_blocks + 1, stride)"),
)
wrong(
    "one block too few",
    r"num_blocks|blocks|too few|one less|missing",
    f("stage(basic(), in_channels, out_channels, max(1, num_blocks - 1), stride)"),
)
wrong("stride ignored", "stride", f("stage(basic(), in_channels, out_channels, num_blocks, 1)"))
wrong("always stride 2", "stride", f("stage(basic(), in_channels, out_channels, num_blocks, 2)"))
wrong(
    "the same block again and again",
    SHARED,
    f(
        "nn.Sequential(basic()(in_channels, out_channels, stride), *[basic()(out_channels, out_channels)]"
        " * (num_blocks - 1))"
    ),
)
wrong(
    "no ReLU at the end of the blocks",
    lacks(RELU),
    f("stage(basic(last=Nothing), in_channels, out_channels, num_blocks, stride)"),
)
wrong(
    "a list",
    r"Sequential|Module|list",
    f("list(stage(basic(), in_channels, out_channels, num_blocks, stride))"),
)
wrong(
    "channels and stride exchanged between blocks: widening last",
    r"channels|width|first|last",
    f(
        "nn.Sequential(*[basic()(in_channels, in_channels if n < num_blocks - 1 else out_channels, stride"
        " if n == 0 else 1) for n in range(num_blocks)])"
    ),
)
wrong(
    "a norm behind the stage",
    extra(BNORM),
    f("stage(basic(), in_channels, out_channels, num_blocks, stride).append(nn.BatchNorm2d(out_channels))"),
)
wrong(
    "leaky blocks, one too many",
    all_of("leaky", r"blocks|too many|more"),
    f("stage(basic(act=nn.LeakyReLU), in_channels, out_channels, num_blocks + 1, stride)"),
    2,
)
wrong(
    "stride in every block, projections everywhere",
    all_of("stride", r"projection|shortcut|too many|parameters"),
    f("stage_of(basic(short=projection), num_blocks, in_channels, out_channels, [stride] * num_blocks)"),
    2,
)

wrong = to("resnet/cifar_resnet")
wrong("stem 7x7 with stride 2", side(7), cifar(stem=conv(7, stride=2)))
wrong("a max pool after the stem", "pool", cifar(act=lambda: nn.Sequential(nn.ReLU(), nn.MaxPool2d(3, 2, 1))))
wrong("no ReLU in the stem", lacks(RELU), cifar(act=Nothing))
wrong("no norm in the stem", lacks(BNORM), cifar(norm=Nothing))
wrong("a bias in the stem", extra(BIAS), cifar(stem=conv(3, bias=True)))
wrong("ImageNet's widths", r"width|channels|\b64\b|\b16\b", cifar(widths=(64, 128, 256)))
wrong("first stage strided", STRIDE, cifar(strides=(2, 2, 2)))
wrong("last stage not strided", STRIDE, cifar(strides=(1, 2, 1)))
wrong("softmax", "softmax", cifar(linear=lambda i, n: nn.Sequential(nn.Linear(i, n), nn.Softmax(1))))
wrong(
    "maximum over the grid",
    r"max",
    cifar(forward=lambda m, x: m.linear(m.stages(m.act(m.norm(m.stem(x)))).amax((2, 3)))),
)
wrong("no bias in the linear layer", lacks(BIAS), cifar(linear=partial(nn.Linear, bias=False)))
wrong("blocks with option A, as in the paper", OPTION_A, cifar(block=basic(short=shortcut(Zeros))))
wrong("leaky blocks", "leaky", cifar(block=basic(act=nn.LeakyReLU)))
wrong("2n blocks a stage", r"blocks|depth|num_blocks|too many|more", cifar(count=lambda n: 2 * n))
wrong(
    "depth asked for instead of blocks",
    r"blocks|depth|num_blocks|too few|fewer",
    cifar(count=lambda n: max(1, (n - 2) // 6)),
)
wrong(
    "dropout before the linear layer",
    RANDOM,
    cifar(linear=lambda i, n: nn.Sequential(nn.Dropout(0.2), nn.Linear(i, n))),
)
wrong("always ten classes", r"num_classes|classes|\b10\b", cifar(linear=lambda i, n: nn.Linear(i, 10)))
wrong("projections without batch norm", lacks(BNORM), cifar(block=basic(short=shortcut(CONV1))))
wrong(
    "features detached from the head",
    DETACH,
    cifar(forward=lambda m, x: m.linear(m.stages(m.act(m.norm(m.stem(x)))).mean((2, 3)).detach())),
)
wrong(
    "widths 16, 32, 64 without the projections' norm, softmax",
    all_of("softmax", BNORM),
    cifar(
        block=basic(short=shortcut(CONV1)), linear=lambda i, n: nn.Sequential(nn.Linear(i, n), nn.Softmax(-1))
    ),
    2,
)
wrong("no stem ReLU, biased stem", all_of(RELU, BIAS), cifar(stem=conv(3, bias=True), act=Nothing), 2)
wrong(
    "a CIFAR collection's ResNet with ELU, eps 1e-3 and dropout",
    all_of(r"\bELU", EPS, RANDOM),
    cifar(act=nn.ELU, norm=bn(eps=1e-3), linear=lambda i, n: nn.Sequential(nn.Dropout(0.2), nn.Linear(i, n))),
    3,
)

wrong = to("resnet/repaired_block")
INPLACE_FIRST = lambda m, x: _repaired(m, F.relu(x, inplace=True))  # noqa: E731


def _repaired(m: Any, x: Tensor, before: bool = False) -> Tensor:
    out = m.bn2(m.conv2(m.act(m.bn1(m.conv1(x)))))
    return F.relu(out) + m.shortcut(x) if before else F.relu(out + m.shortcut(x))


wrong("projection still without batch norm", lacks(BNORM), basic(short=shortcut(CONV1)))
wrong("input still overwritten", INPLACE, basic(forward=INPLACE_FIRST))
wrong("a ReLU on the input, not in place", extra(RELU), basic(forward=lambda m, x: _repaired(m, F.relu(x))))
wrong(
    "ReLU still before the addition",
    near(RELU, r"before|after|order|sum|addition"),
    basic(forward=lambda m, x: _repaired(m, x, True)),
)
wrong("ReLU in both places", extra(RELU), basic(bn2=lambda c: nn.Sequential(nn.BatchNorm2d(c), nn.ReLU())))
wrong(
    "a ReLU in the projection",
    extra(RELU),
    basic(short=shortcut(lambda i, o, s: nn.Sequential(projection(i, o, s), nn.ReLU()))),
)
wrong(
    "only the norm of the projection repaired",
    all_of(INPLACE, RELU),
    basic(forward=lambda m, x: _repaired(m, F.relu(x, inplace=True), True)),
    2,
)
wrong(
    "only the ReLU's place repaired",
    all_of(INPLACE, lacks(BNORM)),
    basic(short=shortcut(CONV1), forward=INPLACE_FIRST),
    2,
)
wrong(
    "as it was",
    all_of(BNORM, INPLACE, RELU),
    basic(short=shortcut(CONV1), forward=lambda m, x: _repaired(m, F.relu(x, inplace=True), True)),
    3,
)

# ------------------------------------------------------------------------------------------- identity

wrong = to("identity/residual_step")
G = RELU + r"|\bg\b"
f = formula("a, w1, b1, w2, b2")
wrong("b2 forgotten", r"\bb_?2\b|second bias|bias", f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + a)"))
wrong("b1 forgotten", r"\bb_?1\b|first bias|bias", f("F.relu(F.relu(a @ w1.T) @ w2.T + b2 + a)"))
wrong(
    "added after the ReLU",
    near(G, r"before|after|order|sum|addition|added"),
    f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2) + a"),
)
wrong(
    "ReLU twice",
    near(G, r"twice|before|extra|more|too many|two|addition|sum"),
    f("F.relu(F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2) + a)"),
)
wrong("no ReLU inside", lacks(G), f("F.relu((a @ w1.T + b1) @ w2.T + b2 + a)"))
wrong("no ReLU at the end", lacks(G), f("F.relu(a @ w1.T + b1) @ w2.T + b2 + a"))
wrong("skip forgotten", SKIP, f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2)"))
wrong("tanh inside", "tanh", f("F.relu(torch.tanh(a @ w1.T + b1) @ w2.T + b2 + a)"))
wrong(
    "skip rectified first",
    near(G, r"skip|shortcut|input|before|extra|more"),
    f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2 + F.relu(a))"),
)
wrong("skip detached", DETACH, f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2 + a.detach())"))
wrong(
    "the input rectified in place",
    INPLACE + "|" + G,
    f("F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2 + a.data.relu_())"),
)
wrong("leaky ReLU inside", "leaky", f("F.relu(F.leaky_relu(a @ w1.T + b1) @ w2.T + b2 + a)"))
wrong(
    "weights reshaped, not transposed",
    r"transpos|\.T\b|axis|axes" + "|" + SHAPE,
    f("F.relu(F.relu(a @ w1.reshape(w1.shape[::-1]) + b1) @ w2.reshape(w2.shape[::-1]) + b2 + a)"),
)
wrong(
    "b2 forgotten, added after the ReLU",
    all_of(r"\bb_?2\b|bias", G),
    f("F.relu(F.relu(a @ w1.T + b1) @ w2.T) + a"),
    2,
)
wrong("no ReLU at all, no b1", all_of(G, r"\bb_?1\b|bias"), f("a @ w1.T @ w2.T + b2 + a"), 3)

wrong = to("identity/make_identity_")
f = formula("block")
GAMMA, BETA = r"gamma|γ|scale|weight", r"beta|β|shift|bias"


def silence(*names: str, value: float = 0.0) -> Callable[[nn.Module], None]:
    def make_identity_(block: nn.Module) -> None:
        for name in names:
            layer, tensor = name.split(".")
            getattr(getattr(block, layer), tensor).data.fill_(value)

    return make_identity_


wrong("only gamma", BETA, silence("bn2.weight"))
wrong("only beta", GAMMA, silence("bn2.bias"))
wrong("the last convolution only", r"norm|bn2|" + GAMMA, silence("conv2.weight"))
wrong("both convolutions", r"norm|bn2|" + GAMMA, silence("conv1.weight", "conv2.weight"))
wrong(
    "the last convolution and beta: right in training",
    r"running (?:mean|var|average)|statistics (?:are|is|were|not)|mean|gamma|γ" + "|" + EVALUATION,
    silence("conv2.weight", "bn2.bias"),
)
wrong("the first norm", r"bn2|second|last", silence("bn1.weight", "bn1.bias"))
wrong("almost zero", r"zero|0|small|exact", silence("bn2.weight", "bn2.bias", value=1e-3))
wrong(
    "gamma 1 and beta 0",
    GAMMA,
    f("(nn.init.ones_(block.bn2.weight), nn.init.zeros_(block.bn2.bias), None)[2]"),
)
wrong(
    "running averages only",
    r"running (?:mean|var|average)|statistics (?:are|is|were|not)|" + GAMMA,
    silence("bn2.running_mean", "bn2.running_var"),
)
wrong(
    "everything of the first layer, gamma of the second",
    BETA,
    silence("conv1.weight", "bn1.weight", "bn1.bias", "bn2.weight"),
)
wrong(
    "a copy is changed",
    r"copy|in place|unchanged|itself|not changed|same block|still",
    f("silence('bn2.weight', 'bn2.bias')(copy.deepcopy(block))"),
)
wrong("the norm replaced by an identity", r"layer|replac|bn2|norm", f("setattr(block, 'bn2', nn.Identity())"))
wrong(
    "the convolution and gamma of the first norm",
    r"bn2|norm|" + GAMMA,
    silence("conv2.weight", "bn1.weight"),
    2,
)

wrong = to("identity/pad_shortcut")
f = formula("a, out_channels, stride=2")


def pad(
    front: Callable[[int], int] = lambda n: 0,
    step: Callable[[int], int] = lambda s: s,
    take: Callable[[Tensor, int], Tensor] = lambda a, s: a[:, :, ::s, ::s],
    value: float = 0.0,
    default: int = 2,
) -> Callable[..., Tensor]:
    def _(a: Tensor, out_channels: int, stride: int = default) -> Tensor:
        a = take(a, step(stride))
        new = out_channels - a.shape[1]
        return F.pad(a, (0, 0, 0, 0, front(new), new - front(new)), value=value)

    return _


wrong(
    "zeros on both sides, as in a CIFAR repository",
    r"both|front|half|order|behind|append|first|before|side",
    pad(front=lambda n: n // 2),
)
wrong(
    "zeros in front", r"front|before|append|behind|order|first|after (?:the|batch|a) ", pad(front=lambda n: n)
)
wrong("stride ignored", "stride", pad(step=lambda s: 1))
wrong("stride always 2", "stride", pad(step=lambda s: 2))
wrong("stride 1 by default", r"default|stride", pad(default=1))
wrong("average pool", r"average|avg|pool|mean", pad(take=lambda a, s: F.avg_pool2d(a, s, ceil_mode=True)))
wrong("max pool", r"max|pool|largest of", pad(take=lambda a, s: F.max_pool2d(a, s, ceil_mode=True)))
wrong(
    "begins with the second pixel",
    r"first|second|begin|start|offset|shift",
    pad(
        take=lambda a, s: F.pad(a, (0, s, 0, s))[
            :, :, s - 1 : a.shape[2] + s - 1 : s, s - 1 : a.shape[3] + s - 1 : s
        ]
    ),
)
wrong("rows only", r"both axes|axis|axes|column|width|row", pad(take=lambda a, s: a[:, :, ::s]))
wrong("ones instead of zeros", r"zero|\bone (?:more|less|too|for|to)|plus one|1", pad(value=1.0))
wrong(
    "channels repeated",
    r"zero|repeat|copi|cycl",
    f("a[:, [c % a.shape[1] for c in range(out_channels)], ::stride, ::stride]"),
)
wrong(
    "sides rounded down",
    r"round|down|odd|last|ceil" + "|" + SHAPE,
    pad(take=lambda a, s: a[:, :, : a.shape[2] // s * s : s, : a.shape[3] // s * s : s]),
)
wrong("detached", DETACH, pad(take=lambda a, s: a.detach()[:, :, ::s, ::s]))
wrong(
    "zeros on both sides, average pool",
    all_of(r"both|front|half|order|behind|append|side", r"average|avg|pool|mean"),
    pad(front=lambda n: n // 2, take=lambda a, s: F.avg_pool2d(a, s, ceil_mode=True)),
    2,
)
wrong(
    "zeros in front, stride 2 always",
    all_of(r"front|before|append|behind|order|first", "stride"),
    pad(front=lambda n: n, step=lambda s: 2),
    2,
)

wrong = to("identity/inert_blocks")


def inert(
    same: Callable[[Tensor, Tensor, float], bool] = lambda o, a, t: (o - a).abs().max().item() <= t,
    shapes: bool = True,
    start: int = 0,
    feed: Callable[[Tensor, Tensor, Tensor, bool], Tensor] = lambda first, a, out, found: out,
    default: float = 1e-6,
    give: Callable[[list[int]], Any] = lambda found: found,
) -> Callable[..., Any]:
    def _(blocks: list[nn.Module], a: Tensor, tolerance: float = default) -> Any:
        found, first = [], a
        with torch.no_grad():
            for index, block in enumerate(blocks, start):
                out = block(a)
                if (not shapes or out.shape == a.shape) and same(out, a, tolerance):
                    found.append(index)
                a = feed(first, a, out, index in found)
        return give(found)

    return _


wrong("counted from 1", r"from 0|index|start|\b0\b|off by one", inert(start=1))
wrong(
    "below the tolerance, not at it",
    r"at most|<=|equal|exactly|less than|tolerance",
    inert(lambda o, a, t: (o - a).abs().max().item() < t),
)
wrong("mean difference", r"mean|average|max", inert(lambda o, a, t: (o - a).abs().mean().item() <= t))
wrong("signs lost", r"absolute|abs|sign|negative", inert(lambda o, a, t: (o - a).max().item() <= t))
wrong(
    "relative tolerance too", r"rtol|relative|allclose", inert(lambda o, a, t: torch.allclose(o, a, atol=t))
)
wrong(
    "shapes not compared",
    r"broadcast" + "|" + SHAPE,
    inert(lambda o, a, t: _broadcasts(o, a) and (o - a).abs().max().item() <= t, shapes=False),
)
wrong(
    "number of channels compared only",
    r"grid|broadcast" + "|" + SHAPE,
    inert(
        lambda o, a, t: o.shape[:2] == a.shape[:2] and _broadcasts(o, a) and (o - a).abs().max().item() <= t,
        shapes=False,
    ),
)
wrong(
    "every block is fed the first input",
    r"one after another|previous|received|before|chain|output (?:channels|grid|of|size|width)|"
    r"\bN\b|first input",
    inert(feed=lambda first, a, out, found: first),
)
wrong("tolerance ignored", r"tolerance|exact", inert(lambda o, a, t: torch.equal(o, a)))
wrong("1e-3 by default", r"default|tolerance|1e-", inert(default=1e-3))
wrong("how many, not which", r"list|indices|index|how many|a number|numbers? of|count", inert(give=len))
wrong(
    "the other blocks",
    r"inert|other|revers|opposite",
    inert(lambda o, a, t: (o - a).abs().max().item() > t),
)
wrong(
    "the smallest difference",
    r"min|smallest|max",
    inert(lambda o, a, t: (o - a).abs().min().item() <= t),
)
wrong("sum of squares", r"squar|norm|max|sum", inert(lambda o, a, t: (o - a).pow(2).sum().item() <= t))
wrong(
    "counted from 1, mean difference",
    all_of(r"from 0|index|start|off by one", r"mean|average|largest|max"),
    inert(lambda o, a, t: (o - a).abs().mean().item() <= t, start=1),
    2,
)


def _broadcasts(a: Tensor, b: Tensor) -> bool:
    try:
        torch.broadcast_shapes(a.shape, b.shape)
    except RuntimeError:
        return False
    return True


@wrong("stops at the first block that does something", r"stop|all|later|break|first|missing")
def _stops(blocks, a, tolerance=1e-6):
    found = []
    for index, block in enumerate(blocks):
        out = block(a)
        if out.shape != a.shape or (out - a).abs().max() > tolerance:
            break
        found.append(index)
        a = out
    return found


wrong = to("identity/repaired_block")


def rezero(
    forward: Callable[..., Tensor],
    start: float = 0.0,
    size: Callable[[int], int] = lambda f: 1,
    bias: bool = True,
) -> type[nn.Module]:
    run = forward

    class Block(nn.Module):
        def __init__(self, features: int, hidden: int) -> None:
            super().__init__()
            self.linear1 = nn.Linear(features, hidden, bias)
            self.linear2 = nn.Linear(hidden, features, bias)
            self.scale = nn.Parameter(torch.full((size(features),), start))

        def forward(self, a: Tensor) -> Tensor:
            return run(a, self.linear1, self.linear2, self.scale)

    return Block


SCALE = r"scale|\bs\b|skip|sum"
wrong("the scale still on the sum", SCALE, rezero(lambda a, f, g, s: F.relu(s * (a + g(F.relu(f(a)))))))
wrong(
    "the ReLU still in the branch",
    near(RELU, r"branch|before|extra|more|too many|second|behind|after"),
    rezero(lambda a, f, g, s: F.relu(a + s * F.relu(g(F.relu(f(a)))))),
)
wrong(
    "as it was", all_of(RELU, SCALE), rezero(lambda a, f, g, s: F.relu(s * (a + F.relu(g(F.relu(f(a))))))), 2
)
wrong(
    "the scale begins at 1",
    r"scale|start|begin|zero|initial|\b[01]\b",
    rezero(lambda a, f, g, s: F.relu(a + s * g(F.relu(f(a)))), 1.0),
)
wrong(
    "one scale for each feature",
    r"scale|\bone (?:more|less|too|for|to)|plus one|how many|a number|numbers? of|features" + "|" + PARAMS,
    rezero(lambda a, f, g, s: F.relu(a + s * g(F.relu(f(a)))), size=lambda f: f),
)
wrong("the scale on the skip", SCALE, rezero(lambda a, f, g, s: F.relu(s * a + g(F.relu(f(a))))))
wrong("no outer ReLU (ReZero itself)", lacks(RELU), rezero(lambda a, f, g, s: a + s * g(F.relu(f(a)))))
wrong("no ReLU inside", lacks(RELU), rezero(lambda a, f, g, s: F.relu(a + s * g(f(a)))))
wrong("no biases", lacks(BIAS), rezero(lambda a, f, g, s: F.relu(a + s * g(F.relu(f(a)))), bias=False))
wrong("tanh inside", "tanh", rezero(lambda a, f, g, s: F.relu(a + s * g(torch.tanh(f(a))))))
wrong(
    "the scale through a tanh", "tanh", rezero(lambda a, f, g, s: F.relu(a + torch.tanh(s) * g(F.relu(f(a)))))
)
wrong(
    "a scale that does not learn",
    DETACH + r"|scale|learn" + "|" + EVALUATION,
    rezero(lambda a, f, g, s: F.relu(a + s.detach() * g(F.relu(f(a))))),
)

# ------------------------------------------------------------------------------------------------ nin

wrong = to("nin/conv1x1")
f = formula("x, weight, bias")
TURN = r"axis|axes|transpos|permut|reshape|view|order|swap|pixel"
wrong("bias forgotten", BIAS, f("torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0])"))
wrong("bias along the last axis", BIAS, f("torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0]) + bias"))
wrong("bias twice", BIAS, f("torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0]) + 2 * bias[:, None, None]"))
wrong(
    "bias subtracted", BIAS, f("torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0]) - bias[:, None, None]")
)
wrong(
    "weight's axes swapped by reshape",
    TURN,
    f(
        "torch.einsum('nchw,co->nohw', x, weight.reshape(weight.shape[1], weight.shape[0])) + bias[:, "
        "None, None]"
    ),
)
wrong(
    "pixels and channels mixed by view",
    TURN,
    f(
        "(x.reshape(x.shape[0], -1, x.shape[1]) @ weight[:, :, 0, 0].T + bias).reshape(x.shape[0], -1, "
        "*x.shape[2:])"
    ),
)
wrong(
    "the result reshaped, not permuted",
    TURN,
    f("F.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], bias).reshape(x.shape[0], -1, *x.shape[2:])"),
)
wrong(
    "height and width exchanged",
    r"height|width|transpos|axis|axes|order|swap" + "|" + SHAPE,
    f("F.linear(x.permute(0, 3, 2, 1), weight[:, :, 0, 0], bias).permute(0, 3, 1, 2)"),
)
wrong(
    "a ReLU behind it", RELU, f("F.linear(x.movedim(1, -1), weight[:, :, 0, 0], bias).movedim(-1, 1).relu()")
)
wrong(
    "weight detached",
    DETACH,
    f("torch.einsum('nchw,oc->nohw', x, weight.detach()[:, :, 0, 0]) + bias[:, None, None]"),
)
wrong(
    "through NumPy",
    DETACH + "|numpy",
    f(
        "torch.from_numpy(torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0]).detach().numpy()) + "
        "bias[:, None, None]"
    ),
)
wrong(
    "mean over the channels",
    r"mean|average|\bsum\b|divid",
    f("torch.einsum('nchw,oc->nohw', x, weight[:, :, 0, 0]) / x.shape[1] + bias[:, None, None]"),
)
wrong(
    "the first image only",
    r"batch|first image|image|B\b" + "|" + SHAPE,
    f(
        "(torch.einsum('chw,oc->ohw', x[0], weight[:, :, 0, 0]) + bias[:, None, "
        "None])[None].expand(x.shape[0], -1, -1, -1)"
    ),
)
wrong(
    "bias forgotten, pixels and channels mixed",
    all_of(BIAS, TURN),
    f("(x.reshape(x.shape[0], -1, x.shape[1]) @ weight[:, :, 0, 0].T).reshape(x.shape[0], -1, *x.shape[2:])"),
    2,
)

wrong = to("nin/conv1x1_parameters")
f = formula("in_channels, out_channels, bias=True")
wrong("bias forgotten", BIAS, f("in_channels * out_channels"))
wrong("bias always", BIAS, f("in_channels * out_channels + out_channels"))
wrong("a bias for each input channel", BIAS, f("in_channels * out_channels + (in_channels if bias else 0)"))
wrong("one bias", BIAS, f("in_channels * out_channels + int(bias)"))
wrong(
    "channels added",
    r"product|multipl|add|sum",
    f("in_channels + out_channels + (out_channels if bias else 0)"),
)
wrong(
    "no bias by default",
    r"default|bias",
    formula("in_channels, out_channels, bias=False")(
        "in_channels * out_channels + (out_channels if bias else 0)"
    ),
)
wrong("3x3", r"9|nine|kernel|" + side(3), f("9 * in_channels * out_channels + (out_channels if bias else 0)"))
wrong(
    "input channels squared, no bias",
    all_of(r"in_channels|input channel|out_channels|squar", BIAS),
    f("in_channels * in_channels"),
    2,
)

wrong = to("nin/nin_block")
wrong("no ReLU between the 1x1s", lacks(RELU), nin(acts=(ReLU, Nothing, ReLU)))
wrong("no last ReLU", lacks(RELU), nin(acts=(ReLU, ReLU, Nothing)))
wrong("no first ReLU", lacks(RELU), nin(acts=(Nothing, ReLU, ReLU)))
wrong("sigmoids", "sigmoid", nin(acts=(nn.Sigmoid,) * 3))
wrong("stride forgotten", STRIDE, nin(lambda i, o, k, s, p: nn.Conv2d(i, o, k, 1, p)))
wrong("padding forgotten", "padding", nin(lambda i, o, k, s, p: nn.Conv2d(i, o, k, s)))
wrong("always same padding", "padding", nin(lambda i, o, k, s, p: nn.Conv2d(i, o, k, s, k // 2)))
wrong("padding 1 by default", r"default|padding", nin(defaults=(1, 1)))
wrong(
    "stride and padding exchanged",
    r"stride|padding",
    nin(lambda i, o, k, s, p: nn.Conv2d(i, o, k, max(1, p), s)),
)
wrong("padded 1x1", "padding", nin(second=lambda o: nn.Conv2d(o, o, 1, padding=1)))
wrong(
    "3x3 for the second",
    side(3),
    nin(second=lambda o: nn.Conv2d(o, o, 3, padding=1), third=lambda o: nn.Conv2d(o, o, 1)),
)
wrong(
    "one 1x1 only",
    r"one less|fewer|missing|too few|three|two|third|" + lacks("convolution"),
    nin(third=Nothing, acts=(ReLU, ReLU, Nothing)),
)
wrong("no biases", lacks(BIAS), nin(second=lambda o: nn.Conv2d(o, o, 1, bias=False)))
wrong(
    "batch norm in front",
    extra(BNORM),
    nin(lambda i, o, k, s, p: nn.Sequential(nn.Conv2d(i, o, k, s, p), nn.BatchNorm2d(o))),
)
wrong("dropout at the end, as in the released network", RANDOM, nin(tail=lambda: nn.Dropout(0.5)))
wrong("a max pool at the end", "pool", nin(tail=lambda: nn.MaxPool2d(3, 2, 1)))
wrong(
    "reflected borders",
    "reflect",
    nin(lambda i, o, k, s, p: nn.Conv2d(i, o, k, s, p, padding_mode="reflect" if p else "zeros")),
)
wrong("depthwise 1x1s", "group|depthwise", nin(second=lambda o: nn.Conv2d(o, o, 1, groups=o)))
wrong(
    "dropout and max pool",
    all_of(RANDOM, "pool"),
    nin(tail=lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.Dropout(0.5))),
    2,
)
wrong(
    "leaky ReLU, no biases",
    all_of("leaky", BIAS),
    nin(second=lambda o: nn.Conv2d(o, o, 1, bias=False), acts=(nn.LeakyReLU,) * 3),
    2,
)
wrong(
    "batch norm, no bias, ELU",
    all_of(BNORM, BIAS, r"\bELU"),
    nin(
        lambda i, o, k, s, p: nn.Sequential(nn.Conv2d(i, o, k, s, p, bias=False), nn.BatchNorm2d(o)),
        acts=(nn.ELU, nn.ELU, nn.ELU),
    ),
    3,
)


@wrong("one 1x1 used twice", SHARED)
class NiNBlock(nn.Module):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
        super().__init__()
        self.first = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding)
        self.mix = nn.Conv2d(out_channels, out_channels, 1)

    def forward(self, x):
        return F.relu(self.mix(F.relu(self.mix(F.relu(self.first(x))))))


wrong = to("nin/global_average_head")
wrong("maximum", r"max", head(pool=lambda y: y.amax((2, 3))))
wrong("sum", r"\bsum\b|mean|average|divid", head(pool=lambda y: y.sum((2, 3))))
wrong("ReLU on the maps", extra(RELU), head(act=ReLU))
wrong("softmax", "softmax", head(tail=lambda: nn.Softmax(1)))
wrong("log-softmax over the batch", "softmax", head(tail=lambda: nn.LogSoftmax(0)))
wrong(
    "grid axes kept",
    r"flatten|axes|axis|grid" + "|" + SHAPE,
    head(pool=lambda y: y.mean((2, 3), keepdim=True)),
)
wrong(
    "batch axis lost",
    r"squeeze|batch|single|one image" + "|" + SHAPE,
    head(pool=lambda y: F.adaptive_avg_pool2d(y, 1).squeeze()),
)
wrong("rows only", r"axis|axes|rows|columns|width|grid|mean|average", head(pool=lambda y: y.mean(2).amax(-1)))
wrong("no bias", lacks(BIAS), head(lambda i, n: nn.Conv2d(i, n, 1, bias=False)))
wrong("3x3 maps", side(3), head(lambda i, n: nn.Conv2d(i, n, 3, padding=1)))
wrong("dropout in front", RANDOM, head(lambda i, n: nn.Sequential(nn.Dropout(0.5), nn.Conv2d(i, n, 1))))
wrong(
    "mean over the batch too",
    r"batch|axis|axes|image|dim",
    head(pool=lambda y: y.mean((0, 2, 3), keepdim=True).flatten(1).expand(y.shape[0], -1)),
)
wrong(
    "a batch norm on the maps",
    extra(BNORM),
    head(lambda i, n: nn.Sequential(nn.Conv2d(i, n, 1), nn.BatchNorm2d(n))),
)
wrong("padded maps", "padding", head(lambda i, n: nn.Conv2d(i, n, 1, padding=1)))
wrong(
    "ReLU and softmax, as in a released network",
    all_of(RELU, "softmax"),
    head(act=ReLU, tail=lambda: nn.Softmax(1)),
    2,
)
wrong(
    "maximum, dropout, ReLU",
    all_of("max", RANDOM, RELU),
    head(lambda i, n: nn.Sequential(nn.Dropout(0.5), nn.Conv2d(i, n, 1)), ReLU, lambda y: y.amax((2, 3))),
    3,
)

wrong = to("nin/repaired_pixel_mlp")


def pixels(
    into: Callable[[Tensor], Tensor] = lambda x: x.permute(0, 2, 3, 1),
    back: Callable[[Tensor, Tensor], Tensor] = lambda y, x: y.permute(0, 3, 1, 2),
    act: nn.Module | None = None,
    tail: Callable[[Tensor], Tensor] = lambda y: y,
    bias: bool = True,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
            super().__init__()
            self.linear1 = nn.Linear(in_channels, hidden, bias)
            self.linear2 = nn.Linear(hidden, out_channels, bias)
            self.act = act or nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return tail(back(self.linear2(self.act(self.linear1(into(x)))), x))

    return Block


AGAIN = lambda y, x: y.reshape(x.shape[0], -1, *x.shape[2:])  # noqa: E731
wrong("as it was", TURN, pixels(lambda x: x.reshape(x.shape[0], -1, x.shape[1]), AGAIN))
wrong("only the way in repaired", TURN, pixels(back=AGAIN))
wrong("only the way out repaired", TURN, pixels(lambda x: x.reshape(x.shape[0], *x.shape[2:], x.shape[1])))
wrong(
    "rows and columns exchanged",
    TURN + r"|height|width" + "|" + SHAPE,
    pixels(lambda x: x.permute(0, 3, 2, 1)),
)
wrong("a ReLU at the end", extra(RELU), pixels(tail=F.relu))
wrong("no ReLU", lacks(RELU), pixels(act=nn.Identity()))
wrong("tanh for ReLU", "tanh", pixels(act=nn.Tanh()))
wrong("no biases", lacks(BIAS), pixels(bias=False))
wrong("way out wrong and a ReLU at the end", all_of(TURN, RELU), pixels(back=AGAIN, tail=F.relu), 2)
wrong(
    "way in wrong, no ReLU",
    all_of(TURN, RELU),
    pixels(lambda x: x.reshape(x.shape[0], *x.shape[2:], x.shape[1]), act=nn.Identity()),
    2,
)

# ------------------------------------------------------------------------------------------ inception

wrong = to("inception/conv_macs")
f = formula("in_channels, out_channels, kernel, height, width")
wrong("kernel not squared", SQUARE, f("kernel * in_channels * out_channels * height * width"))
wrong(
    "input channels forgotten",
    r"in_channels|input channel|C_?in",
    f("kernel**2 * out_channels * height * width"),
)
wrong("biases counted", BIAS, f("(kernel**2 * in_channels + 1) * out_channels * height * width"))
wrong("width forgotten", "width", f("kernel**2 * in_channels * out_channels * height"))
wrong(
    "a square grid assumed", r"height|width|square", f("kernel**2 * in_channels * out_channels * height**2")
)
wrong(
    "doubled",
    r"\b2\b|twice|two|factor|doubl",
    f("2 * kernel**2 * in_channels * out_channels * height * width"),
)
wrong(
    "the grid shrinks first",
    r"output (?:channels|grid|of|size|width)|\bN\b|grid|height|width|already|kernel",
    f("kernel**2 * in_channels * out_channels * (height - kernel + 1) * (width - kernel + 1)"),
)
wrong("a float", r"float|\bint\b", f("float(kernel**2 * in_channels * out_channels * height * width)"))
wrong(
    "multiplications less one addition",
    r"- ?1|one less|minus|addition",
    f("(kernel**2 * in_channels - 1) * out_channels * height * width"),
)
wrong("parameters", r"height|width|grid|weights" + "|" + PARAMS, f("kernel**2 * in_channels * out_channels"))
wrong(
    "kernel not squared, biases counted",
    all_of("kernel", BIAS),
    f("(kernel * in_channels + 1) * out_channels * height * width"),
    2,
)

wrong = to("inception/bottleneck_macs")
f = formula("in_channels, reduced, out_channels, kernel, height, width")
wrong(
    "reduction with the large kernel",
    r"kernel|" + side(1),
    f("kernel**2 * (in_channels * reduced + reduced * out_channels) * height * width"),
)
wrong(
    "reduction forgotten", r"reduc|first|1 ?[x×] ?1", f("kernel**2 * reduced * out_channels * height * width")
)
wrong("second step forgotten", r"second|kernel|large kernel", f("in_channels * reduced * height * width"))
wrong(
    "second step from the input channels",
    r"reduced|in_channels",
    f("(in_channels * reduced + kernel**2 * in_channels * out_channels) * height * width"),
)
wrong(
    "kernel not squared",
    SQUARE,
    f("(in_channels * reduced + kernel * reduced * out_channels) * height * width"),
)
wrong(
    "multiplied instead of added",
    r"sum|add|product|multipl",
    f("in_channels * reduced * kernel**2 * reduced * out_channels * height * width"),
)
wrong(
    "the grid counted in one step only",
    r"height|width|grid|bracket|pixel",
    f("in_channels * reduced + kernel**2 * reduced * out_channels * height * width"),
)
wrong(
    "the direct way",
    r"reduced|direct|bottleneck",
    f("kernel**2 * in_channels * out_channels * height * width"),
)
wrong(
    "biases counted",
    BIAS,
    f("((in_channels + 1) * reduced + (kernel**2 * reduced + 1) * out_channels) * height * width"),
)
wrong(
    "no square, second step from the input",
    all_of("kernel", r"reduced|in_channels"),
    f("(in_channels * reduced + kernel * in_channels * out_channels) * height * width"),
    2,
)

wrong = to("inception/inception_module")
NO_ACT = biased
POOL2 = lambda: nn.MaxPool2d(3, 2, 1)  # noqa: E731


def unit(act: Any = nn.ReLU, norm: Any = None, after: Any = None, **options: Any) -> Callable[..., nn.Module]:
    """A convolution and what follows it, as a branch of a module is made of."""

    def _(i: int, o: int, k: int) -> nn.Module:
        layers = [nn.Conv2d(i, o, k, **({"padding": k // 2} | options))]
        layers += [make(o) for make in (norm,) if make] + [act()] + [make() for make in (after,) if make]
        return nn.Sequential(*layers)

    return _


wrong(
    "along the batch",
    r"axis|dim|channels|batch" + "|" + SHAPE,
    inception(
        join=lambda b: torch.cat(
            [F.pad(t, (0, 0, 0, 0, 0, max(u.shape[1] for u in b) - t.shape[1])) for t in b], 0
        )
    ),
)
wrong(
    "5x5 before 3x3",
    r"order|branch|swap|exchang",
    inception(join=lambda b: torch.cat([b[0], b[2], b[1], b[3]], 1)),
)
wrong(
    "pool first",
    r"order|branch|swap|exchang",
    inception(join=lambda b: torch.cat([b[3], b[0], b[1], b[2]], 1)),
)
wrong("average pool", r"average|avg", inception(pool=lambda: nn.AvgPool2d(3, 1, 1)))
wrong("no pool", lacks("pool"), inception(pool=Nothing))
wrong("pool 5x5", side(5), inception(pool=lambda: nn.MaxPool2d(5, 1, 2)))
wrong("no ReLU after the reducers", lacks(RELU), inception(reduce3=NO_ACT, reduce5=NO_ACT))
wrong("no ReLU after the pool's projection", lacks(RELU), inception(proj=NO_ACT))
wrong("no ReLU after the 5x5", lacks(RELU), inception(conv5=NO_ACT))
wrong(
    "one ReLU behind the concatenation",
    lacks(RELU) + "|ReLU",
    inception(NO_ACT, join=lambda b: F.relu(torch.cat(b, 1))),
)
wrong("batch norm after every convolution", extra(BNORM), inception(unit(norm=BN)))
wrong(
    "3x3 in the 5x5's place, as in a model library", side(3), inception(conv5=lambda i, o, k: unit()(i, o, 3))
)
wrong(
    "two 3x3 for the 5x5",
    side(3),
    inception(conv5=lambda i, o, k: nn.Sequential(unit()(i, o, 3), unit()(o, o, 3))),
)
wrong(
    "dilated 3x3 for the 5x5",
    r"dilat|" + side(3),
    inception(conv5=lambda i, o, k: unit(padding=2, dilation=2)(i, o, 3)),
)
wrong("no biases", lacks(BIAS), inception(unit(bias=False)))
wrong("reducer 3x3", side(3), inception(reduce3=lambda i, o, k: unit()(i, o, 3)))
wrong(
    "projection before the pool",
    near("pool", r"before|after|order|swap|behind|in front") + "|pool[^\n]*<--",
    inception(forward=lambda m, x: torch.cat([m.b1(x), m.b3(m.r3(x)), m.b5(m.r5(x)), m.pool(m.bp(x))], 1)),
)
wrong(
    "a ReLU in front of the 5x5's reducer",
    extra(RELU),
    inception(
        forward=lambda m, x: torch.cat([m.b1(x), m.b3(m.r3(x)), m.b5(m.r5(F.relu(x))), m.bp(m.pool(x))], 1)
    ),
)
wrong("leaky ReLU", "leaky", inception(unit(lambda: nn.LeakyReLU(0.2))))
wrong(
    "channel shuffle behind",
    r"order|shuffle|channels|permut|interleav|flip",
    inception(join=lambda b: torch.cat(b, 1).flip(1)),
)
wrong("a dropout behind the 5x5", RANDOM, inception(conv5=unit(after=lambda: nn.Dropout(0.1))))
wrong("pooled branch detached", DETACH, inception(join=lambda b: torch.cat([*b[:3], b[3].detach()], 1)))
wrong(
    "every branch half as large again",
    r"sum|adds?|addition|multipl|scale|factor|1\.5|0\.5",
    inception(join=lambda b: torch.cat([t + 0.5 * t for t in b], 1)),
)
wrong(
    "adds its input, or the mean of its channels",
    r"sum|shortcut|skip|residual|addition|adds?",
    inception(
        forward=lambda m, x: (
            (y := torch.cat([m.b1(x), m.b3(m.r3(x)), m.b5(m.r5(x)), m.bp(m.pool(x))], 1))
            + (x if x.shape == y.shape else x.mean(1, keepdim=True))
        )
    ),
)
wrong(
    "a CIFAR collection: norms, and two 3x3 for the 5x5",
    all_of(BNORM, side(3)),
    inception(
        unit(norm=BN), conv5=lambda i, o, k: nn.Sequential(unit(norm=BN)(i, o, 3), unit(norm=BN)(o, o, 3))
    ),
    2,
)
wrong(
    "a CIFAR collection: a channel count for eps too",
    all_of(BNORM, side(3), "eps"),
    inception(
        unit(norm=BN),
        conv5=lambda i, o, k: nn.Sequential(
            unit(norm=lambda c: nn.BatchNorm2d(c, c))(i, o, 3), unit(norm=BN)(o, o, 3)
        ),
    ),
    3,
)
wrong(
    "a model library: norms with eps 1e-3, no biases, 3x3 in the 5x5's place",
    all_of(BNORM, side(3)),
    inception(
        unit(norm=bn(eps=1e-3), bias=False),
        conv5=lambda i, o, k: unit(norm=bn(eps=1e-3), bias=False)(i, o, 3),
    ),
    3,
)
wrong(
    "norms and average pool",
    all_of(BNORM, r"average|avg"),
    inception(unit(norm=BN), pool=lambda: nn.AvgPool2d(3, 1, 1)),
    2,
)
wrong(
    "no ReLU after the reducers, other order",
    all_of(RELU, r"order|branch|swap"),
    inception(reduce3=NO_ACT, reduce5=NO_ACT, join=lambda b: torch.cat([b[0], b[2], b[1], b[3]], 1)),
    2,
)
wrong("ELU, no biases", all_of(r"\bELU", BIAS), inception(unit(nn.ELU, bias=False)), 2)


@wrong("pool with stride 2, enlarged again", STRIDE + "|interpol|upsampl|nearest")
class InceptionModule(inception()):
    def forward(self, x):
        pooled = F.interpolate(F.max_pool2d(x, 3, 2, 1), size=x.shape[2:])
        return torch.cat([self.b1(x), self.b3(self.r3(x)), self.b5(self.r5(x)), self.bp(pooled)], 1)


wrong = to("inception/repaired_reduction")
ON_1X1 = {
    "reduce3": lambda i, o: nn.Conv2d(i, o, 1, 2),
    "conv3": lambda i, o: nn.Conv2d(i, o, 3, 1, 1),
    "reduce5": lambda i, o: nn.Conv2d(i, o, 1, 2),
    "conv5": lambda i, o: nn.Conv2d(i, o, 5, 1, 2),
}
WITHOUT = (ReLU, ReLU, Nothing, ReLU)
wrong("strides still on the 1x1s", STRIDE, reduction(**ON_1X1))
wrong("the ReLU still missing", lacks(RELU), reduction(act=WITHOUT))
wrong("as it was", all_of(STRIDE, RELU), reduction(**ON_1X1, act=WITHOUT), 2)
wrong("one branch's stride repaired", STRIDE, reduction(reduce5=ON_1X1["reduce5"], conv5=ON_1X1["conv5"]))
wrong(
    "a ReLU after the pool",
    extra(RELU),
    reduction(pool=lambda: nn.Sequential(nn.MaxPool2d(3, 2, 1), nn.ReLU())),
)
wrong("pool 2x2", side(2), reduction(pool=lambda: nn.MaxPool2d(2, 2, ceil_mode=True)))
wrong("average pool", r"average|avg", reduction(pool=lambda: nn.AvgPool2d(3, 2, 1)))
wrong(
    "pool before the other branches",
    r"order|branch|swap|exchang",
    reduction(join=lambda b: torch.cat([b[2], b[0], b[1]], 1)),
)
wrong(
    "no biases in the reducers",
    lacks(BIAS),
    reduction(
        reduce3=lambda i, o: nn.Conv2d(i, o, 1, bias=False),
        reduce5=lambda i, o: nn.Conv2d(i, o, 1, bias=False),
    ),
)
wrong(
    "two 3x3's worth of padding in the 5x5",
    r"padding|" + side(3),
    reduction(conv5=lambda i, o: nn.Conv2d(i, o, 3, 2, 1)),
)
wrong("no ReLU at the end of the 3x3", lacks(RELU), reduction(act=(ReLU, Nothing, ReLU, ReLU)))
wrong(
    "strides on the 1x1s, average pool",
    all_of("stride", r"average|avg"),
    reduction(**ON_1X1, pool=lambda: nn.AvgPool2d(3, 2, 1)),
    2,
)

# ------------------------------------------------------------------------------------------ mobilenet

wrong = to("mobilenet/separable_macs")
f = formula("in_channels, out_channels, kernel, height, width")
wrong("pointwise forgotten", r"pointwise|1 ?[x×] ?1|second", f("kernel**2 * in_channels * height * width"))
wrong("depthwise forgotten", r"depthwise|kernel|first", f("in_channels * out_channels * height * width"))
wrong(
    "the full convolution",
    r"product|sum|depthwise|full|separable",
    f("kernel**2 * in_channels * out_channels * height * width"),
)
wrong("kernel not squared", SQUARE, f("(kernel * in_channels + in_channels * out_channels) * height * width"))
wrong(
    "depthwise with output channels",
    r"in_channels|out_channels|input (?:itself|channels|times|multiplied|width)|block.s input|"
    r"multiplied by|output (?:channels|grid|of|size|width)|\bN\b|depthwise",
    f("(kernel**2 * out_channels + in_channels * out_channels) * height * width"),
)
wrong(
    "the grid for one step only",
    r"height|width|grid|bracket",
    f("kernel**2 * in_channels * height * width + in_channels * out_channels"),
)
wrong(
    "depthwise is dense",
    r"depthwise|in_channels|squar|twice",
    f("(kernel**2 * in_channels**2 + in_channels * out_channels) * height * width"),
)
wrong(
    "doubled",
    r"\b2\b|twice|two|factor|doubl",
    f("2 * (kernel**2 * in_channels + in_channels * out_channels) * height * width"),
)
wrong(
    "height squared",
    r"height|width|square",
    f("(kernel**2 * in_channels + in_channels * out_channels) * height * height"),
)
wrong(
    "kernel not squared, output channels",
    all_of("kernel", r"in_channels|out_channels|input|output"),
    f("(kernel * out_channels + in_channels * out_channels) * height * width"),
    2,
)

wrong = to("mobilenet/separable_ratio")
f = formula("out_channels, kernel")
wrong("kernel not squared", SQUARE, f("1 / out_channels + 1 / kernel"))
wrong("only the kernel", r"out_channels|output channels|\bN\b|pointwise|1 ?/", f("1 / kernel**2"))
wrong("only the channels", r"kernel|depthwise", f("1 / out_channels"))
wrong(
    "the inverse",
    r"inver|divid|recipro|other way|1 ?/|upside|saving",
    f("1 / (1 / out_channels + 1 / kernel**2)"),
)
wrong("multiplied", r"sum|add|product|multipl|plus|\+", f("1 / (out_channels * kernel**2)"))
wrong("integer division", r" // |integer|float|whole|round", f("1 // out_channels + 1 // kernel**2"))
wrong(
    "what is saved",
    r"saved?|1 -|one minus|what is left|left over|remain",
    f("1 - (1 / out_channels + 1 / kernel**2)"),
)
wrong("in per cent", r"per ?cent|%|100", f("100 * (1 / out_channels + 1 / kernel**2)"))
wrong("rounded", r"round|digit|exact|decimal", f("round(1 / out_channels + 1 / kernel**2, 2)"))
wrong("one over the sum", r"sum|fraction|1 ?/|separate|two|bracket", f("1 / (out_channels + kernel**2)"))
wrong(
    "kernel not squared, in per cent",
    all_of("kernel", r"per ?cent|%|100"),
    f("100 / out_channels + 100 / kernel"),
    2,
)

wrong = to("mobilenet/depthwise_conv")
f = formula("x, weight")


def depthwise(
    flip: bool = False,
    filters: Callable[[Tensor], Tensor] = lambda w: w[:, 0],
    border: Callable[[Tensor, int], Tensor] = lambda x, p: F.pad(x, (p, p, p, p)),
    after: Callable[[Tensor], Tensor] = lambda y: y,
) -> Callable[..., Tensor]:
    def _(x: Tensor, weight: Tensor) -> Tensor:
        k, w = weight.shape[-1], filters(weight)
        w = w.flip(-1, -2) if flip else w
        windows = border(x, k // 2).unfold(2, k, 1).unfold(3, k, 1)  # (B, C, H, W, k, k)
        return after(torch.einsum("bchwuv,cuv->bchw", windows, w))

    return _


wrong("flipped", r"flip|turn|mirror|revers|rotat", depthwise(flip=True))
wrong(
    "transposed filters",
    r"transpos|row|column|axis|axes|order|swap|exchang",
    depthwise(filters=lambda w: w[:, 0].mT),
)
wrong(
    "one filter for all channels",
    r"\bown\b|shared|\bsame (?:filter|mask|image|block|layer|draw)|all channels|first|"
    r"each channel|every channel",
    depthwise(filters=lambda w: w[:1, 0].expand(len(w), -1, -1)),
)
wrong(
    "mean of the filters",
    r"\bown\b|shared|\bsame (?:filter|mask|image|block|layer|draw)|all channels|mean|average|each channel",
    depthwise(filters=lambda w: w.mean(0).expand(len(w), -1, -1)),
)
wrong(
    "summed over the channels",
    r"sum|channels|mix|each (?:sample|image|channel|of|one|layer|block|has|filter)|\bown\b",
    depthwise(after=lambda y: y.sum(1, keepdim=True).expand_as(y)),
)
wrong(
    "replicated borders",
    r"zero|border|pad|edge|replicat",
    depthwise(border=lambda x, p: F.pad(x, (p,) * 4, mode="replicate") if p else x),
)
wrong(
    "padded at the end only",
    r"pad|shift|both|side",
    depthwise(border=lambda x, p: F.pad(x, (0, 2 * p, 0, 2 * p))),
)
wrong(
    "no padding, zeros around the result",
    r"pad|border|edge|zero",
    f("F.pad(depthwise(border=lambda x, p: x)(x, weight), (weight.shape[-1] // 2,) * 4)"),
)
wrong(
    "one pixel of padding whatever k",
    r"pad|kernel|k ?//|size" + "|" + SHAPE,
    depthwise(border=lambda x, p: F.pad(x, (1, 1, 1, 1))),
)
wrong("filters in the wrong order", r"order|revers|channel", depthwise(filters=lambda w: w[:, 0].flip(0)))
wrong(
    "averaged over the window",
    r"average|mean|sum|divid|factor|scale",
    depthwise(filters=lambda w: w[:, 0] / w[0].numel()),
)
wrong("filters detached", DETACH, depthwise(filters=lambda w: w.detach()[:, 0]))
wrong(
    "middle of the filter only",
    r"middle|centre|center|window|\bone (?:more|less|too|for|to)|plus one|only|places",
    depthwise(
        filters=lambda w: F.pad(
            w[:, 0, w.shape[2] // 2, w.shape[2] // 2][:, None, None], (w.shape[2] // 2,) * 4
        )
    ),
)
wrong(
    "flipped, one filter for all",
    all_of(r"flip|turn|mirror|revers|rotat", r"own|shared|same|all channels|first"),
    depthwise(True, lambda w: w[:1, 0].expand(len(w), -1, -1)),
    2,
)
wrong("rectified", RELU, depthwise(after=F.relu))
wrong(
    "circular borders",
    r"circular|zero|border|wrap|roll|period|pad",
    depthwise(border=lambda x, p: F.pad(x, (p,) * 4, mode="circular") if p else x),
)


@wrong("overwrites its input", INPLACE)
def depthwise_conv(x, weight):
    original = x.clone()
    with torch.no_grad():
        x.zero_()
    return depthwise()(original, weight)


wrong = to("mobilenet/separable_conv")
COLLAPSE = all_of(BNORM, RELU)
wrong("groups forgotten", "group|depthwise|dense", separable(CONV3))
wrong(
    "half as many groups",
    "group",
    separable(lambda i, o, s: conv(3, groups=max(1, i // 2) if i % 2 == 0 else 1)(i, o, s)),
)
wrong("no ReLU between", lacks(RELU), separable(act1=Nothing))
wrong("no norm between", lacks(BNORM), separable(norm1=Nothing))
wrong("nothing between", COLLAPSE, separable(norm1=Nothing, act1=Nothing), 2)
wrong("no ReLU at the end", lacks(RELU), separable(act2=Nothing))
wrong("no norm at the end", lacks(BNORM), separable(norm2=Nothing))
wrong("ReLU6, as in the released code", "ReLU6", separable(act1=nn.ReLU6, act2=nn.ReLU6))
wrong("hard swish", "hard", separable(act1=nn.Hardswish))
wrong(
    "biased pointwise, as in a CIFAR collection",
    extra(BIAS),
    separable(pointwise=conv(1, stride=1, bias=True)),
)
wrong("biased depthwise", extra(BIAS), separable(deep(3, bias=True)))
wrong("stride on the pointwise", STRIDE, separable(deep(3, stride=1), pointwise=CONV1))
wrong("stride in both", STRIDE, separable(pointwise=CONV1))
wrong(
    "no stride, pooled instead",
    "pool|stride",
    separable(lambda i, o, s: nn.Sequential(deep(3, stride=1)(i, o), nn.AvgPool2d(s, s, ceil_mode=True))),
)
wrong("5x5", side(5), separable(deep(5)))
wrong("pointwise 3x3", side(3), separable(pointwise=conv(3, stride=1)))
wrong("dilated", "dilat", separable(deep(3, padding=2, dilation=2)))
wrong("eps 1e-3", EPS, separable(norm1=bn(eps=1e-3), norm2=bn(eps=1e-3)))
wrong("momentum 0.0003", MOMENTUM, separable(norm1=bn(momentum=3e-4), norm2=bn(momentum=3e-4)))
wrong(
    "a residual where it fits",
    SKIP,
    separable(forward=lambda m, x: y + x if (y := m.second(m.first(x))).shape == x.shape else y),
)
wrong("stride 2 by default", r"default|stride", separable(default_stride=2))


@wrong("pointwise first", r"order|first|before|after (?:the|batch|a) |pointwise|depthwise|<--")
class PointwiseFirst(nn.Sequential):
    def __init__(self, in_channels, out_channels, stride=1):
        o = out_channels
        mix = [POINT(in_channels, o), nn.BatchNorm2d(o), nn.ReLU()]
        super().__init__(*mix, deep()(o, o, stride), nn.BatchNorm2d(o), nn.ReLU())


wrong("dropout between", RANDOM, separable(act1=lambda: nn.Sequential(nn.ReLU(), nn.Dropout(0.1))))
wrong("reflected borders", "reflect", separable(deep(3, padding_mode="reflect")))
wrong("TensorFlow's padding", "pad", separable(same_padding(3)))
wrong(
    "a released model: ReLU6, eps 1e-3, momentum 0.0003",
    all_of("ReLU6", "eps", "momentum"),
    separable(
        act1=nn.ReLU6, act2=nn.ReLU6, norm1=bn(eps=1e-3, momentum=3e-4), norm2=bn(eps=1e-3, momentum=3e-4)
    ),
    3,
)
wrong(
    "biases in both, ReLU6",
    all_of(BIAS, "ReLU6"),
    separable(deep(3, bias=True), act1=nn.ReLU6, act2=nn.ReLU6, pointwise=conv(1, stride=1, bias=True)),
    2,
)
wrong(
    "groups forgotten, stride on the pointwise",
    all_of("group|depthwise|dense", "stride"),
    separable(conv(3, stride=1), pointwise=CONV1),
    2,
)
wrong("leaky, eps, 5x5", all_of("leaky", "eps", side(5)), separable(deep(5), bn(eps=1e-3), nn.LeakyReLU), 3)

wrong = to("mobilenet/repaired_block")
wrong("stride still on the 1x1", STRIDE, separable(deep(3, stride=1), pointwise=CONV1))
wrong("bias still there", extra(BIAS), separable(pointwise=conv(1, stride=1, bias=True)))
wrong("as it was", all_of("stride", BIAS), separable(deep(3, stride=1), pointwise=conv(1, bias=True)), 2)
wrong("bias moved to the depthwise", extra(BIAS), separable(deep(3, bias=True)))
wrong("last ReLU lost", lacks(RELU), separable(act2=Nothing))
wrong("groups lost", "group|depthwise|dense", separable(CONV3))
wrong(
    "stride on the 1x1, ReLU6",
    all_of("stride", "ReLU6"),
    separable(deep(3, stride=1), act1=nn.ReLU6, act2=nn.ReLU6, pointwise=CONV1),
    2,
)


@wrong("the bias switched off, but still a parameter", BIAS)
class RepairedBlock(separable()):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.second[0].bias = nn.Parameter(torch.zeros(out_channels), requires_grad=False)


# --------------------------------------------------------------------------------------- mobilenet_v2

wrong = to("mobilenet_v2/inverted_residual")
EXPAND1 = r"expan[^\n]{0,80}1|nothing to expand|expansion layer|expand"
HIDDEN = r"hidden|width|wide|channels|expan"
wrong("ReLU for ReLU6", r"ReLU\b(?!6)", inverted(act=ReLU))
wrong("hard swish", "hard", inverted(act=nn.Hardswish))
wrong(
    "ReLU6 after the projection",
    near("ReLU6", r"project|last|extra|more|too many|linear|end|after|follows|stands"),
    inverted(act3=nn.ReLU6),
)
wrong(
    "ReLU6 after the addition",
    near("ReLU6", r"addition|sum|last|extra|more|too many|end|after|follows|stands"),
    inverted(
        after=Nothing,
        forward=lambda m, x: (
            F.relu6(x + m.project(m.filter(m.expand(x)))) if m.residual else m.project(m.filter(m.expand(x)))
        ),
    ),
)
wrong("no residual", SKIP, inverted(residual=lambda i, o, s: False))
wrong(
    "residual only by stride",
    r"channels|residual|equal" + "|" + SHAPE,
    inverted(residual=lambda i, o, s: s == 1),
)
wrong(
    "residual only by channels", r"residual|stride" + "|" + SHAPE, inverted(residual=lambda i, o, s: i == o)
)
wrong(
    "a projection shortcut, as in ResNet",
    r"projection|shortcut|residual",
    inverted(
        short=shortcut(when=lambda i, o, s: i != o),
        residual=lambda i, o, s: s == 1,
        forward=lambda m, x: (
            m.project(m.filter(m.expand(x))) + m.shortcut(x)
            if m.residual
            else m.project(m.filter(m.expand(x)))
        ),
    ),
)
wrong("hidden width from the output", HIDDEN, inverted(width=lambda i, o, t: t * o))
wrong(
    "hidden width rounded to eights",
    HIDDEN + "|round|8",
    inverted(width=lambda i, o, t: i if t == 1 else max(8, (t * i + 4) // 8 * 8)),
)
wrong("expansion layer kept at 1", EXPAND1, inverted(when=lambda t: True))
wrong("always 6", r"expan|6", inverted(width=lambda i, o, t: 6 * i, when=lambda t: True))
wrong("stride on the expansion", STRIDE, inverted(expand=CONV1, depthwise=lambda k: deep(k, stride=1)))
wrong("stride on the projection", STRIDE, inverted(depthwise=lambda k: deep(k, stride=1), project=CONV1))
wrong("depthwise is dense", r"group|depthwise|dense", inverted(depthwise=conv))
wrong(
    "depthwise in a few groups",
    r"group",
    inverted(depthwise=lambda k: lambda i, o, s: conv(k, groups=max(1, math.gcd(i, 4) // 2 * 2))(i, o, s)),
)
wrong(
    "biases",
    extra(BIAS),
    inverted(
        expand=conv(1, stride=1, bias=True),
        depthwise=lambda k: deep(k, bias=True),
        project=conv(1, stride=1, bias=True),
    ),
)
wrong("no norm after the projection", lacks(BNORM), inverted(norm3=Nothing))
wrong("no ReLU6 after the expansion", lacks("ReLU6"), inverted(act1=Nothing))
wrong("no ReLU6 after the depthwise", lacks("ReLU6"), inverted(act2=Nothing))
wrong("eps 1e-3", EPS, inverted(norm=bn(eps=1e-3)))
wrong("momentum 0.001", MOMENTUM, inverted(norm=bn(momentum=1e-3)))
wrong(
    "residual joins the wide ends",
    r"wide|expan|residual|narrow|shortcut|skip|sum",
    inverted(
        forward=lambda m, x: (
            m.project(m.filter(y) + y)
            if m.residual and (y := m.expand(x)) is not None
            else m.project(m.filter(m.expand(x)))
        )
    ),
)
wrong(
    "residual averaged",
    r"half|0\.5|\b2\b|divid|mean|average|factor",
    inverted(
        forward=lambda m, x: (
            (x + m.project(m.filter(m.expand(x)))) / 2 if m.residual else m.project(m.filter(m.expand(x)))
        )
    ),
)
wrong("stride 2 by default", r"default|stride", inverted((2, 6)))
wrong("expansion 4 by default", r"default|expan", inverted((1, 4)))
wrong("TensorFlow's padding", "pad", inverted(depthwise=same_padding))
wrong("5x5", side(5), inverted(depthwise=lambda k: deep(5)))
wrong("a gate inside, as in MobileNetV3", r"sigmoid|gate|squeeze|multipl|average", inverted(gate=gate()))
wrong(
    "residual detached",
    DETACH,
    inverted(
        forward=lambda m, x: (
            x.detach() + m.project(m.filter(m.expand(x))) if m.residual else m.project(m.filter(m.expand(x)))
        )
    ),
)
wrong(
    "input clamped in place",
    INPLACE,
    inverted(
        forward=lambda m, x: (
            x + m.project(m.filter(m.expand(x.clamp_(-2, 2))))
            if m.residual
            else m.project(m.filter(m.expand(x.clamp_(-2, 2))))
        )
    ),
)
wrong(
    "a CIFAR collection: ReLU, projection shortcut, expansion kept",
    all_of(r"ReLU\b(?!6)", r"projection|shortcut", EXPAND1),
    inverted(
        act=ReLU,
        when=lambda t: True,
        short=shortcut(when=lambda i, o, s: i != o),
        residual=lambda i, o, s: s == 1,
        forward=lambda m, x: (
            m.project(m.filter(m.expand(x))) + m.shortcut(x)
            if m.residual
            else m.project(m.filter(m.expand(x)))
        ),
    ),
    3,
)
wrong(
    "another collection: biases everywhere, expansion kept",
    all_of(BIAS, EXPAND1),
    inverted(
        when=lambda t: True,
        expand=conv(1, stride=1, bias=True),
        depthwise=lambda k: deep(k, bias=True),
        project=conv(1, stride=1, bias=True),
    ),
    2,
)
wrong(
    "ReLU, hidden width from the output",
    all_of(r"ReLU\b(?!6)", HIDDEN),
    inverted(act=ReLU, width=lambda i, o, t: t * o),
    2,
)
wrong("eps, TensorFlow's padding", all_of(EPS, "pad"), inverted(norm=bn(eps=1e-3), depthwise=same_padding), 2)
wrong(
    "no residual, ReLU6 after the projection, dense",
    all_of(SKIP, "ReLU6", r"group|depthwise|dense"),
    inverted(residual=lambda i, o, s: False, act3=nn.ReLU6, depthwise=conv),
    3,
)

wrong = to("mobilenet_v2/inverted_residual_macs")
f = formula("in_channels, out_channels, height, width, stride=1, expansion=6")


def macs(
    after: Callable[[int, int], int] = lambda n, s: -(-n // s),
    always: bool = False,
    hidden: Callable[[int, int, int], int] = lambda i, o, t: t * i,
    filters: Callable[[int], int] = lambda h: 9 * h,
    where: str = "input",
    project: bool = True,
    default: int = 6,
) -> Callable[..., int]:
    def _(
        in_channels: int,
        out_channels: int,
        height: int,
        width: int,
        stride: int = 1,
        expansion: int = default,
    ) -> int:
        wide = hidden(in_channels, out_channels, expansion)
        out = after(height, stride) * after(width, stride)
        grid = height * width if where == "input" else out
        total = in_channels * wide * grid if always or expansion != 1 else 0
        return (
            total
            + filters(wide) * (height * width if where == "everywhere" else out)
            + project * wide * out_channels * out
        )

    return _


wrong("rounded down", r"round|ceil|down|up|odd| // ", macs(lambda n, s: n // s))
wrong("expansion counted at 1", EXPAND1, macs(always=True))
wrong("hidden width from the output", HIDDEN, macs(hidden=lambda i, o, t: t * o))
wrong("depthwise dense", r"depthwise|hidden|squar|group|filter sees", macs(filters=lambda h: 9 * h * h))
wrong("3 for 9", r"9|nine|squar|3|kernel", macs(filters=lambda h: 3 * h))
wrong(
    "everything on the output grid",
    r"input (?:itself|channels|times|multiplied|width)|block.s input|multiplied by|grid|expan|stride",
    macs(where="output"),
)
wrong("projection forgotten", r"project|third|out_channels", macs(project=False))
wrong("stride ignored", "stride", macs(lambda n, s: n))
wrong(
    "stride counted once",
    r"stride|both|squar|height|width",
    f(
        "in_channels * in_channels * expansion * height * width * (expansion != 1) + (9 + out_channels) *"
        " expansion * in_channels * (-(-height * width // stride))"
    ),
)
wrong("expansion 4 by default", r"default|expan", macs(default=4))
wrong(
    "depthwise on the input grid",
    r"grid|output (?:channels|grid|of|size|width)|\bN\b|stride|depthwise|" + "expand",
    macs(where="everywhere"),
)
wrong("floats", r"float|\bint\b|round|ceil", macs(lambda n, s: n / s))
wrong(
    "rounded down, expansion counted at 1",
    all_of(r"round|ceil|down|up|odd|//", EXPAND1),
    macs(lambda n, s: n // s, always=True),
    2,
)
wrong(
    "stride ignored, dense, expansion counted at 1",
    all_of("stride", r"depthwise|hidden|squar"),
    macs(lambda n, s: n, always=True, filters=lambda h: 9 * h * h),
    3,
)

wrong = to("mobilenet_v2/repaired_block")
WIDE = lambda m, x: m.project(m.filter(m.expand(x)) + m.expand(x) if m.residual else m.filter(m.expand(x)))  # noqa: E731
wrong(
    "ReLU6 still behind the projection",
    near("ReLU6", r"project|last|extra|more|too many|linear|end|after|follows|stands"),
    inverted(act3=nn.ReLU6),
)


@wrong("the residual still joins the wide ends", r"wide|expan|residual|narrow|skip|sum")
class Wide(inverted()):
    def forward(self, x):
        x = self.expand(x)
        out = self.filter(x)
        return self.project(out + x if self.residual else out)


@wrong("as it was", all_of("ReLU6", r"wide|expan|residual|narrow|skip|sum"), slips=2)
class AsItWas(inverted(act3=nn.ReLU6)):
    forward = Wide.forward


wrong("residual removed", SKIP, inverted(residual=lambda i, o, s: False))
wrong("ReLU for ReLU6", r"ReLU\b(?!6)", inverted(act=ReLU))
wrong(
    "ReLU6 behind the addition",
    near("ReLU6", r"addition|sum|last|extra|more|too many|end|after|follows|stands"),
    inverted(after=Nothing, forward=lambda m, x: F.relu6(residual(m, x))),
)
wrong("expansion kept at 1", EXPAND1, inverted(when=lambda t: True))
wrong(
    "residual removed, ReLU6 behind the projection",
    all_of(SKIP, "ReLU6"),
    inverted(residual=lambda i, o, s: False, act3=nn.ReLU6),
    2,
)


def residual(m: Any, x: Tensor) -> Tensor:
    out = m.project(m.filter(m.expand(x)))
    return x + out if m.residual else out


# --------------------------------------------------------------------------------------- efficientnet

wrong = to("efficientnet/compound_scaling")
f = formula("phi, alpha=1.2, beta=1.1, gamma=1.15")
wrong("width first", r"order|depth|width|swap|exchang", f("(beta**phi, alpha**phi, gamma**phi)"))
wrong("resolution squared", r"resolution|gamma|squar|twice", f("(alpha**phi, beta**phi, gamma ** (2 * phi))"))
wrong(
    "multiplied instead of raised",
    r"power|\*\*|raised|multipl|expon",
    f("(alpha * phi, beta * phi, gamma * phi)"),
)
wrong("powers the wrong way round", r"power|base|expon|phi", f("(phi**alpha, phi**beta, phi**gamma)"))
wrong("one less", r"phi|φ|power|expon|- ?1", f("(alpha ** (phi - 1), beta ** (phi - 1), gamma ** (phi - 1))"))
wrong(
    "whole phi",
    r"\bint\b|whole|fraction|round|phi",
    f("(alpha ** int(phi), beta ** int(phi), gamma ** int(phi))"),
)
wrong(
    "defaults exchanged",
    r"default|beta|gamma",
    formula("phi, alpha=1.2, beta=1.15, gamma=1.1")("(alpha**phi, beta**phi, gamma**phi)"),
)
wrong("one alpha for all", r"beta|gamma|alpha", f("(alpha**phi, alpha**phi, alpha**phi)"))
wrong(
    "width first, resolution squared",
    all_of(r"order|depth|width|swap", r"resolution|gamma|squar"),
    f("(beta**phi, alpha**phi, gamma ** (2 * phi))"),
    2,
)

wrong = to("efficientnet/flops_growth")
f = formula("phi, alpha=1.2, beta=1.1, gamma=1.15")
wrong("width once", r"width|beta|squar|twice", f("(alpha * beta * gamma**2) ** phi"))
wrong("resolution once", r"resolution|gamma|squar|twice|pixel", f("(alpha * beta**2 * gamma) ** phi"))
wrong("everything once", r"squar|twice|beta|gamma|width", f("(alpha * beta * gamma) ** phi"), 2)
wrong("depth squared too", r"depth|alpha|once|squar", f("(alpha * beta * gamma) ** (2 * phi)"))
wrong("2 to the power", r"\b2\b|close to|alpha|beta|gamma", f("2.0**phi"))
wrong("phi forgotten", r"phi|φ|power|expon", f("alpha * beta**2 * gamma**2"))
wrong(
    "power before the products only",
    r"power|phi|bracket|alpha|expon",
    f("alpha * beta**2 * gamma ** (2 * phi)"),
)
wrong("a sum", r"product|sum|multipl|add", f("(alpha + beta**2 + gamma**2) ** phi"))
wrong("doubled", r"doubl|2|twice|factor", f("2 * (alpha * beta**2 * gamma**2) ** phi"))
wrong(
    "width's default 1.15",
    r"default|beta",
    formula("phi, alpha=1.2, beta=1.15, gamma=1.15")("(alpha * beta**2 * gamma**2) ** phi"),
)

wrong = to("efficientnet/round_channels")
f = formula("channels, width, divisor=8")


def rounding(
    nearest: Callable[[float, int], int] = lambda v, d: int(v + d / 2) // d * d,
    least: bool = True,
    rule: Callable[[int, float], bool] = lambda r, v: r < 0.9 * v,
    default: int = 8,
    wanted: Callable[[int, float], float] = lambda c, w: c * w,
    against: Callable[[int, float], float] = lambda c, w: c * w,
) -> Callable[..., int]:
    def _(channels: int, width: float, divisor: int = default) -> int:
        value = wanted(channels, width)
        found = nearest(value, divisor)
        found = max(divisor, found) if least else found
        return found + divisor if rule(found, against(channels, width)) else found

    return _


NEAREST = r"nearest|round|half|up|down"
NINETY = r"90|0\.9|nine|less than|tenth"
wrong("90% rule forgotten", NINETY, rounding(rule=lambda r, v: False))
wrong("rounded down", NEAREST, rounding(lambda v, d: int(v) // d * d, rule=lambda r, v: False))
wrong("rounded down, then the 90% rule", NEAREST, rounding(lambda v, d: int(v) // d * d))
wrong("rounded up", NEAREST, rounding(lambda v, d: math.ceil(v / d) * d))
wrong("halves to the even neighbour", NEAREST + "|even", rounding(lambda v, d: round(v / d) * d))
wrong(
    "no least value",
    r"least|divisor itself|minimum|at least|max|zero|0|never",
    rounding(least=False, rule=lambda r, v: r and r < 0.9 * v),
)
wrong("at most 90%", NINETY, rounding(rule=lambda r, v: r <= 0.9 * v))
wrong("95%", NINETY + r"|0\.95", rounding(rule=lambda r, v: r < 0.95 * v))
wrong("90% of the channels without the width", NINETY + "|width", rounding(against=lambda c, w: c))
wrong("divisor 16 by default", r"default|divisor|16", rounding(default=16))
wrong(
    "the product cut to a whole number first",
    r"\bint\b|whole|cut|fraction|round|trunc",
    rounding(wanted=lambda c, w: int(c * w), against=lambda c, w: int(c * w)),
)
wrong("width ignored", "width", rounding(wanted=lambda c, w: c, against=lambda c, w: c))
wrong(
    "a least value of 16",
    r"least|minimum|at least|16|divisor itself",
    f("max(16, rounding()(channels, width, divisor))"),
)
wrong("rounds to eights whatever the divisor", r"divisor|8", f("rounding()(channels, width)"))
wrong(
    "even halves, no 90% rule",
    all_of(NEAREST, NINETY),
    rounding(lambda v, d: round(v / d) * d, rule=lambda r, v: False),
    2,
)
wrong(
    "no least value, no 90% rule",
    all_of(r"least|divisor itself|minimum|zero|never", NINETY),
    rounding(least=False, rule=lambda r, v: False),
    2,
)

wrong = to("efficientnet/round_repeats")
f = formula("repeats, depth")
wrong("rounded", r"up|ceil|nearest", f("round(repeats * depth)"))
wrong("rounded down", r"up|ceil|down|floor", f("int(repeats * depth)"))
wrong(
    "one more always",
    r"\+ ?1|plus|\bone (?:more|less|too|for|to)|plus one|whole|stays",
    f("int(repeats * depth) + 1"),
)
wrong(
    "depth raised first",
    r"depth|product|before|first|each (?:sample|image|channel|of|one|layer|block|has|filter)|multipl",
    f("repeats * math.ceil(depth)"),
)
wrong("a float", r"float|\bint\b", f("float(math.ceil(repeats * depth))"))
wrong("depth ignored", "depth", f("repeats"))
wrong("repeats added", r"product|multipl|add|sum|times", f("math.ceil(repeats + depth)"))
wrong("halves raised, less dropped", r"up|ceil|nearest", f("int(repeats * depth + 0.5)"))
wrong("a fraction below a tenth dropped", r"up|ceil|small|fraction", f("math.ceil(repeats * depth - 0.1)"))

wrong = to("efficientnet/squeeze_excite")
wrong("ReLU for SiLU", RELU, gate(act=ReLU))
wrong("no activation in the squeeze", lacks("silu|swish|activation"), gate(act=Nothing))
wrong("no sigmoid", lacks("sigmoid"), gate(last=Nothing))
wrong("hard sigmoid, as in MobileNetV3", "hard", gate(last=nn.Hardsigmoid))
wrong("tanh gate", "tanh", gate(last=nn.Tanh))
wrong("softmax gate", "softmax", gate(last=lambda: nn.Softmax(1)))
wrong(
    "no biases, as in a public collection",
    lacks(BIAS),
    gate(down=partial(nn.Linear, bias=False), up=partial(nn.Linear, bias=False)),
)
wrong("maximum instead of average", r"max", gate(squeeze=lambda x: x.amax((2, 3))))
wrong(
    "added instead of multiplied",
    r"add|sum|multipl|product|plus",
    gate(apply=lambda x, s: x + s[:, :, None, None]),
)
wrong(
    "gate returned alone",
    r"multipl|gate|input (?:itself|channels|times|multiplied|width)|block.s input|multiplied by|times",
    gate(apply=lambda x, s: s[:, :, None, None].expand_as(x)),
)
wrong(
    "gate plus one",
    r"\b1\b|\bone (?:more|less|too|for|to)|plus one|add|sum|residual|plus|identity|"
    r"input (?:itself|channels|times|multiplied|width)|block.s input|multiplied by",
    gate(apply=lambda x, s: x + x * s[:, :, None, None]),
)
wrong(
    "average over the batch too",
    r"batch|image|axis|axes|dim",
    gate(squeeze=lambda x: x.mean((0, 2, 3)).expand(x.shape[0], -1)),
)
wrong("gate doubled", r"\b2\b|twice|doubl|factor|times", gate(apply=lambda x, s: 2 * x * s[:, :, None, None]))
wrong("squeezed halved", r"squeezed|width|channels|half|→ 1\b", gate(width=lambda s: max(1, s // 2)))
wrong(
    "squeezed rounded up to eights", r"squeezed|width|channels|8|round", gate(width=lambda s: -(-s // 8) * 8)
)
wrong("gate detached", DETACH, gate(apply=lambda x, s: x * s.detach()[:, :, None, None]))
wrong("average detached", DETACH, gate(squeeze=lambda x: x.detach().mean((2, 3))))
wrong(
    "batch norm in the squeeze",
    extra(BNORM),
    gate(down=lambda i, o: nn.Sequential(nn.Linear(i, o), nn.BatchNorm1d(o))),
)
wrong("SiLU for the sigmoid too", "silu|swish", gate(last=nn.SiLU))
wrong("sum instead of average", r"\bsum\b|average|mean", gate(squeeze=lambda x: x.sum((2, 3))))
wrong("dropout in the squeeze", RANDOM, gate(act=lambda: nn.Sequential(nn.SiLU(), nn.Dropout(0.2))))
wrong("input overwritten", INPLACE, gate(apply=lambda x, s: x.mul_(s[:, :, None, None])))
wrong("ReLU and hard sigmoid", all_of(RELU, "hard"), gate(act=ReLU, last=nn.Hardsigmoid), 2)
wrong(
    "ReLU, no biases",
    all_of(RELU, BIAS),
    gate(act=ReLU, down=partial(nn.Linear, bias=False), up=partial(nn.Linear, bias=False)),
    2,
)
wrong(
    "ReLU, hard sigmoid, no biases",
    all_of(RELU, "hard", BIAS),
    gate(
        act=ReLU, last=nn.Hardsigmoid, down=partial(nn.Linear, bias=False), up=partial(nn.Linear, bias=False)
    ),
    3,
)

wrong = to("efficientnet/mbconv")
NORM5 = bn(momentum=0.01)
wrong("ReLU6 for SiLU", "ReLU6", mbconv(act=nn.ReLU6))
wrong("no gate", lacks(r"gate|squeeze|sigmoid|multipl"), mbconv(gate=Nothing))
wrong(
    "gate before the depthwise",
    r"gate|squeeze|before|after (?:the|batch|a) |order|moved",
    mbconv(forward=lambda m, x: _gate_first(m, x)),
)
wrong(
    "gate applied twice",
    r"gate|squeeze|sigmoid|order|twice|multipl",
    mbconv(forward=lambda m, x: _gate_twice(m, x)),
)
wrong(
    "squeeze from the expanded width",
    r"squeez|in_channels|input (?:itself|channels|times|multiplied|width)|block.s input|"
    r"multiplied by|quarter|expanded",
    mbconv(squeezed=lambda i, h: max(1, h // 4)),
)
wrong("squeeze to a sixteenth", r"squeez|quarter|4|16", mbconv(squeezed=lambda i, h: max(1, i // 16)))
wrong("squeeze rounded up", r"squeez|round|quarter| // |down", mbconv(squeezed=lambda i, h: -(-i // 4)))
wrong("squeeze never below 8", r"squeez|least|8|quarter", mbconv(squeezed=lambda i, h: max(8, i // 4)))
wrong("eps 1e-5", EPS, mbconv(norm=NORM5))
wrong("momentum 0.1", MOMENTUM, mbconv(norm=bn(eps=1e-3)))
wrong("momentum 0.99", MOMENTUM, mbconv(norm=bn(eps=1e-3, momentum=0.99)))
wrong("TensorFlow's padding", "pad", mbconv(depthwise=same_padding))
wrong("padding 1 for 5x5 too", "pad", mbconv(depthwise=lambda k: deep(k, padding=1)))
wrong("kernel always 3", r"kernel|" + side(3), mbconv(depthwise=lambda k: deep(3)))
wrong("expansion kept at 1", EXPAND1, mbconv(when=lambda t: True))
wrong(
    "SiLU after the projection",
    near("silu|swish", r"project|last|extra|more|too many|linear|end|after|follows|stands"),
    mbconv(act3=nn.SiLU),
)
wrong("no residual", SKIP, mbconv(residual=lambda i, o, s: False))
wrong("dense instead of depthwise", r"group|depthwise|dense", mbconv(depthwise=conv))
wrong(
    "fused, as in EfficientNetV2",
    r"fused|" + side(3) + "|depthwise|group",
    mbconv(when=lambda t: False, width=lambda i, o, t: i, depthwise=conv),
)
wrong(
    "biases", extra(BIAS), mbconv(expand=conv(1, stride=1, bias=True), project=conv(1, stride=1, bias=True))
)
wrong(
    "drop connect left in",
    RANDOM + "|drop",
    mbconv(
        forward=lambda m, x: (
            x + F.dropout2d(m.project(m.gate(m.filter(m.expand(x)))), 0.2, m.training)
            if m.residual
            else m.project(m.gate(m.filter(m.expand(x))))
        )
    ),
)
wrong("hidden width from the output", HIDDEN, mbconv(width=lambda i, o, t: t * o))
wrong("stride on the expansion", STRIDE, mbconv(expand=CONV1, depthwise=lambda k: deep(k, stride=1)))
wrong("ReLU in the gate", RELU, mbconv(gate=gate(act=ReLU)))
wrong("kernel 5 by default", r"default|kernel", mbconv((5, 1, 6)))
wrong("expansion 1 by default", r"default|expan", mbconv((3, 1, 1)))
wrong("GELU", "gelu", mbconv(act=nn.GELU))
wrong(
    "squeeze to int(0.25 in), 0 allowed",
    r"squeez|least|zero|\b0\b",
    mbconv(squeezed=lambda i, h: int(i * 0.25)),
)
wrong("PyTorch's own norms", all_of("eps", "momentum"), mbconv(norm=BN), 2)
wrong(
    "a CIFAR collection: PyTorch's norms, an expansion made but not used at 1",
    all_of("eps|momentum", "unused|not used|never|extra|more|too many|expan"),
    mbconv(norm=BN, when=lambda t: True, forward=lambda m, x: _skip_expansion(m, x)),
    3,
)
wrong(
    "a video tutorial's: PyTorch's norms, squeeze from the expanded width",
    all_of("eps|momentum", r"squeez|quarter"),
    mbconv(norm=BN, squeezed=lambda i, h: max(1, h // 4)),
    3,
)
wrong(
    "TensorFlow's padding, momentum 0.99",
    all_of("pad", "momentum"),
    mbconv(depthwise=same_padding, norm=bn(eps=1e-3, momentum=0.99)),
    2,
)
wrong(
    "ReLU6, no gate (Lite)",
    all_of("ReLU6", r"gate|squeeze|sigmoid|multipl"),
    mbconv(act=nn.ReLU6, gate=Nothing),
    2,
)
wrong(
    "ReLU6, no gate, TensorFlow's padding (Lite as released)",
    all_of("ReLU6", r"gate|squeeze|sigmoid|multipl", "pad"),
    mbconv(act=nn.ReLU6, gate=Nothing, depthwise=same_padding),
    3,
)
wrong(
    "hard swish, hard gate, ReLU in it (MobileNetV3)",
    all_of("hard", RELU),
    mbconv(act=nn.Hardswish, gate=gate(act=ReLU, last=nn.Hardsigmoid)),
    3,
)


def _gate_first(m: Any, x: Tensor) -> Tensor:
    out = m.project(m.filter(m.gate(m.expand(x))))
    return x + out if m.residual else out


def _skip_expansion(m: Any, x: Tensor) -> Tensor:
    out = m.project(m.gate(m.filter(x if m.t == 1 else m.expand(x))))
    return x + out if m.residual else out


def _gate_twice(m: Any, x: Tensor) -> Tensor:
    out = m.project(m.gate(m.gate(m.filter(m.expand(x)))))
    return x + out if m.residual else out


wrong = to("efficientnet/drop_connect")
f = formula("x, drop_rate, training")


def drop(
    shape: Callable[[Tensor], tuple[int, ...]] = lambda x: (x.shape[0], 1, 1, 1),
    keep: Callable[[Tensor, float], Tensor] = lambda u, p: u >= p,
    scale: Callable[[float], float] = lambda p: 1 / (1 - p),
    off: Callable[[Tensor, float], Tensor] = lambda x, p: x,
    when: Callable[[bool], bool] = lambda training: training,
) -> Callable[..., Tensor]:
    def _(x: Tensor, drop_rate: float, training: bool) -> Tensor:
        if not when(training) or drop_rate == 0:
            return off(x, drop_rate)
        return x * keep(torch.rand(shape(x)), drop_rate) * scale(drop_rate)

    return _


RESCALE = r"scal|divi|1 ?- ?|expectation|expected value|multipl"
wrong(
    "per element",
    r"element|sample|whole|together|how many|a number|numbers? of|pixel",
    drop(lambda x: tuple(x.shape)),
)
wrong("per channel", r"channel|sample|whole|together", drop(lambda x: (*x.shape[:2], 1, 1)))
wrong(
    "the whole batch",
    r"batch|sample|\bown\b|each (?:sample|image|channel|of|one|layer|block|has|filter)|together",
    drop(lambda x: (1, 1, 1, 1)),
)
wrong(
    "per pixel, all channels together",
    r"pixel|sample|whole|together|element",
    drop(lambda x: (x.shape[0], 1, *x.shape[2:])),
)
wrong("not rescaled", RESCALE, drop(scale=lambda p: 1.0))
wrong("divided by the rate", RESCALE, drop(scale=lambda p: 1 / p))
wrong("multiplied by what is kept", RESCALE, drop(scale=lambda p: 1 - p))
wrong("in evaluation too", EVALUATION, drop(when=lambda training: True))
wrong("in evaluation only", EVALUATION, drop(when=lambda training: not training))
wrong("scaled in evaluation", r"outside" + "|" + EVALUATION, drop(off=lambda x, p: x * (1 - p)))
wrong(
    "the rate is what is kept",
    r"rate|kept|keep|probab|dropped|other way|often",
    drop(keep=lambda u, p: u < p),
)
wrong("half of the rate", r"rate|often|probab|half", drop(keep=lambda u, p: u >= p / 2))
wrong(
    "the same images every time",
    r"randomly|drawn|a seed|manual_seed|\bsame (?:filter|mask|image|block|layer|draw)|fixed|draw",
    drop(keep=lambda u, p: torch.rand(u.shape, generator=torch.Generator().manual_seed(0)) >= p),
)
wrong(
    "a fixed share of every batch",
    r"\bown\b|independ|fixed|how many|a number|numbers? of|draw|exact|randomly|drawn|share",
    drop(keep=lambda u, p: u.flatten().argsort().argsort().reshape(u.shape) >= round(p * len(u))),
)
wrong(
    "dropout of PyTorch",
    r"element|sample|whole|together|how many|a number|numbers? of",
    f("F.dropout(x, drop_rate, training)"),
)
wrong("dropout of whole channels", r"channel|sample|whole|together", f("F.dropout2d(x, drop_rate, training)"))
wrong(
    "normal noise",
    r"uniform|normal|rate|probab|often|randn",
    drop(keep=lambda u, p: torch.randn(u.shape) >= p),
)
wrong("detached", DETACH, f("drop()(x.detach(), drop_rate, training)"))
wrong(
    "per channel, not rescaled",
    all_of(r"channel|sample|whole|together", RESCALE),
    drop(lambda x: (*x.shape[:2], 1, 1), scale=lambda p: 1.0),
    2,
)
wrong(
    "per element, kept and dropped exchanged",
    all_of(r"element|sample|whole|together", r"rate|kept|keep|probab|often"),
    drop(lambda x: tuple(x.shape), lambda u, p: u < p),
    2,
)
wrong(
    "whole batch, no rescaling, in evaluation too",
    all_of(
        r"batch|sample|\bown\b|each (?:sample|image|channel|of|one|layer|block|has|filter)",
        RESCALE,
        EVALUATION,
    ),
    drop(lambda x: (1, 1, 1, 1), scale=lambda p: 1.0, when=lambda training: True),
    3,
)


@wrong("in place", INPLACE)
def drop_connect(x, drop_rate, training):
    if not training:
        return x
    mask = (torch.rand(x.shape[0], 1, 1, 1) >= drop_rate) / (1 - drop_rate)
    return x.mul_(mask)


wrong = to("efficientnet/repaired_gate")


def conv_gate(
    average: Callable[[Tensor], Tensor] = lambda x: x.mean((2, 3), keepdim=True),
    act: Any = nn.SiLU,
    last: Any = nn.Sigmoid,
    bias: bool = True,
    apply: Callable[[Tensor, Tensor], Tensor] = lambda x, s: x * s,
) -> type[nn.Module]:
    class Block(nn.Module):
        def __init__(self, channels: int, squeezed: int) -> None:
            super().__init__()
            self.gate = nn.Sequential(
                nn.Conv2d(channels, squeezed, 1, bias=bias),
                act(),
                nn.Conv2d(squeezed, channels, 1, bias=bias),
                last(),
            )

        def forward(self, x: Tensor) -> Tensor:
            return apply(x, self.gate(average(x)))

    return Block


wrong("as it was", r"batch|image|axis|axes|dim", conv_gate(lambda x: x.mean((0, 2, 3), keepdim=True)))
wrong(
    "the first image's average",
    r"batch|image|first|axis|own",
    conv_gate(lambda x: x[:1].mean((2, 3), keepdim=True)),
)
wrong(
    "average over the channels",
    r"channel|axis|axes|dim|grid",
    conv_gate(lambda x: x.mean((1, 2, 3), keepdim=True).expand(-1, x.shape[1], -1, -1)),
)
wrong("a gate for each pixel", r"average|mean|pixel|grid|squeeze|pool", conv_gate(lambda x: x))
wrong(
    "rows only",
    r"axis|axes|rows|columns|width|grid|average|mean",
    conv_gate(lambda x: x.mean(2, keepdim=True)),
)
wrong("maximum", "max", conv_gate(lambda x: F.adaptive_max_pool2d(x, 1)))
wrong("no biases", lacks(BIAS), conv_gate(bias=False))
wrong("ReLU for SiLU", RELU, conv_gate(act=ReLU))
wrong(
    "as it was, ReLU for SiLU",
    all_of(r"batch|image|axis|axes|dim", RELU),
    conv_gate(lambda x: x.mean((0, 2, 3), keepdim=True), ReLU),
    2,
)
wrong("adds the gate", r"add|sum|multipl|product", conv_gate(apply=lambda x, s: x + s))
