"""A right block stays right in whatever form it keeps its weights, for every part: forms are made, not listed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.parts import Case, Reference, parts


class Norm(nn.Module):
    """Batch norm from its formula; `order` is how it uses its statistics and parameters."""

    def __init__(self, like: nn.BatchNorm2d, order: str) -> None:
        super().__init__()
        self.eps, self.momentum, self.order = like.eps, like.momentum, order
        size = like.num_features
        self.shift, self.scale = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.ones(size))
        self.register_buffer("spread", torch.ones(size))
        self.register_buffer("centre", torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        mean, variance = self.centre, self.spread
        if self.training:
            mean, variance = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            number = x.numel() / x.shape[1]
            with torch.no_grad():
                self.centre.lerp_(mean, self.momentum)
                self.spread.lerp_(variance * number / (number - 1), self.momentum)

        def column(v: Tensor) -> Tensor:
            return v.view(1, -1, 1, 1)

        if self.order == "variance first":
            scale = (variance + self.eps).rsqrt() * self.scale
            return x * column(scale) + column(self.shift - mean * scale)
        if self.order == "shift first":
            scale = self.scale / (variance + self.eps).sqrt()
            return column(self.shift) + (x - column(mean)) * column(scale)
        return (x - column(mean)) / column((variance + self.eps).sqrt()) * column(self.scale) + column(
            self.shift
        )


class Convolution(nn.Module):
    """A convolution whose weight is kept in another form; `back` makes PyTorch's of it."""

    def __init__(self, like: nn.Conv2d, kept: list[Tensor], back: Callable[[list[Tensor]], Tensor]) -> None:
        super().__init__()
        self.kept = nn.ParameterList([nn.Parameter(each.clone()) for each in kept])
        self.bias = None if like.bias is None else nn.Parameter(like.bias.detach().clone())
        self.back, self.settings = back, (like.stride, like.padding, like.dilation, like.groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.back(list(self.kept)), self.bias, *self.settings)


def flat(layer: nn.Conv2d) -> nn.Module:
    shape = layer.weight.shape
    return Convolution(layer, [layer.weight.detach().flatten()], lambda kept: kept[0].view(shape))


def last_axis_out(layer: nn.Conv2d) -> nn.Module:
    weight = layer.weight.detach().permute(2, 3, 1, 0).contiguous()
    return Convolution(layer, [weight], lambda kept: kept[0].permute(3, 2, 0, 1))


def filters(layer: nn.Conv2d) -> nn.Module:
    if layer.out_channels > 8:
        return layer
    return Convolution(layer, list(layer.weight.detach()), torch.stack)


def halves(layer: nn.Conv2d) -> nn.Module:
    if layer.out_channels < 2:
        return layer
    return Convolution(layer, list(layer.weight.detach().tensor_split(2)), torch.cat)


class OneVector(nn.Module):
    """All parameters of a block in one long vector."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.names = [(name, value.shape) for name, value in block.named_parameters()]
        self.all = nn.Parameter(torch.cat([value.detach().flatten() for value in block.parameters()]))
        self.block = block
        for name, _ in self.names:
            owner, _, last = name.rpartition(".")
            delattr(block.get_submodule(owner), last)

    def forward(self, *inputs: Tensor) -> Tensor:
        pieces = self.all.split([shape.numel() for _, shape in self.names])
        given = {name: piece.view(shape) for (name, shape), piece in zip(self.names, pieces, strict=True)}
        return torch.func.functional_call(self.block, given, inputs)


def replaced(module: nn.Module, kind: type, make: Callable[[Any], nn.Module]) -> nn.Module:
    for name, child in module.named_children():
        if type(child) is kind:
            setattr(module, name, make(child))
        else:
            replaced(child, kind, make)
    return module


FORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "norm, variance first": lambda m: replaced(m, nn.BatchNorm2d, lambda n: Norm(n, "variance first")),
    "norm, shift first": lambda m: replaced(m, nn.BatchNorm2d, lambda n: Norm(n, "shift first")),
    "norm, as in the paper": lambda m: replaced(m, nn.BatchNorm2d, lambda n: Norm(n, "paper")),
    "flat weights": lambda m: replaced(m, nn.Conv2d, flat),
    "weights (height, width, in, out)": lambda m: replaced(m, nn.Conv2d, last_axis_out),
    "one parameter a filter": lambda m: replaced(m, nn.Conv2d, filters),
    "all weights in one vector": lambda m: OneVector(m) if list(m.parameters()) else m,
    "each weight in two": lambda m: replaced(m, nn.Conv2d, halves),
}
# Where the check may say that it cannot tell which is which, and leave it to a human; never that it is wrong.
MANY = {"one parameter a filter", "each weight in two", "all weights in one vector"}
BLOCKS = {id: part.reference for id, part in parts().items() if isinstance(part.reference, Reference)}


def in_form(reference: Reference, form: Callable[[nn.Module], nn.Module]) -> Any:
    if reference.kind != "class":
        return lambda *args, **kwargs: form(reference.factory(*args, **kwargs))

    class Answer(nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            self.block = form(reference.factory(*args, **kwargs))

        def forward(self, *inputs: Tensor) -> Tensor:
            return self.block(*inputs)

    return Answer


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("part", BLOCKS)
def test_a_right_block_is_right_in_another_form(part: str, form: str) -> None:
    report = check(part, in_form(BLOCKS[part], FORMS[form]), seed=0)
    if form in MANY and report.state == "ungradable":
        assert "could not tell which of your parameters" in report.summary
    else:
        assert report.passed, report.text()


@pytest.mark.parametrize("form", ["norm, variance first", "each weight in two"])
@pytest.mark.parametrize("part", [id for id in BLOCKS if parts()[id].mistakes])
def test_a_mistake_is_one_in_another_form(part: str, form: str) -> None:
    for known in parts()[part].mistakes[:1]:
        wrong = Reference(known.wrong, Case(image=(1, 3, 8, 8)), kind=BLOCKS[part].kind)
        answer = in_form(wrong, FORMS[form])
        assert not check(part, answer, seed=0).passed, known.id


class Nonsense(nn.Module):
    """As many numbers as a BasicBlock has, and none of its work."""

    scale = 0.0

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        i, o = in_channels, out_channels
        numbers, buffers = 9 * i * o + 2 * o + 9 * o * o + 2 * o, 4 * o
        if stride != 1 or i != o:
            numbers, buffers = numbers + i * o + 2 * o, buffers + 2 * o
        self.out, self.stride = o, stride
        self.vector = nn.Parameter(torch.zeros(numbers))
        self.register_buffer("statistics", torch.zeros(buffers))

    def forward(self, x: Tensor) -> Tensor:
        seen = x[:, :1, :: self.stride, :: self.stride].expand(-1, self.out, -1, -1)
        return self.scale * seen + self.vector.sum() + self.statistics.sum()


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_nonsense_of_the_right_size_is_wrong_and_no_case_for_a_human(factor: float) -> None:
    class Block(Nonsense):
        scale = factor

    report = check("resnet/basic_block", Block, seed=0)
    assert report.state == "wrong" and report.points == 0, report.text()
