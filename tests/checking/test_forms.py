"""Blocks whose parameters come in another form: lazy layers, and the forms that a reference declares."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.blocks import check_module
from casestudies.checking.parts import Case, Formula, Mistake, Part, Reference, as_function
from casestudies.checking.report import Report
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe


class Wide(nn.Module):
    """A convolution that covers its 3x3 image, and tanh."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = self.make()

    def make(self) -> nn.Module:
        return nn.Conv2d(2, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.layer(x).flatten(1))


class Flat:
    """The same as a linear layer."""

    def make(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(18, 4))


class NoTanh(Wide):
    """There is no tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).flatten(1)


class StudentFlat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(18, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1)).tanh()


class StudentFlatWithoutTanh(StudentFlat):
    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x.flatten(1))


class StudentLazy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class StudentLazyUnused(StudentLazy):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.LazyLinear(3)


def report_of(answer: type, forms: tuple[type, ...] = (Flat,)) -> Report:
    reference = Reference(Wide, Case(image=(3, 2, 3, 3)), forms=forms)
    part = Part("t/wide", 4, "Wide", "t.html#wide", lambda: reference)
    part.mistakes.append(Mistake("no_tanh", "There is no tanh.", "t.html#tanh", NoTanh))
    report = Report(part=part.id, possible=part.points, seed=1)
    check_module(part, reference, Probe(answer).handle, 1, report)
    return report


def test_a_declared_form_is_right() -> None:
    assert report_of(StudentFlat).passed


def test_a_flattened_weight_is_right_without_being_declared() -> None:
    assert report_of(StudentFlat, forms=()).passed


def test_a_mistake_is_named_in_the_form_of_the_student() -> None:
    assert report_of(StudentFlatWithoutTanh).mistakes == ["no_tanh"]


def test_the_form_of_the_reference_stays_right() -> None:
    assert report_of(Wide).passed


def test_lazy_layers_are_right() -> None:
    assert report_of(StudentLazy).passed


def test_a_lazy_layer_that_never_runs_is_said_to_be_unused() -> None:
    assert "it is never used" in report_of(StudentLazyUnused).summary


class Sum(Formula):
    """a + b"""

    def value(self, a: int, b: int) -> int:
        return self.first(a) + self.second(b)

    def first(self, a: int) -> int:
        return a

    def second(self, b: int) -> int:
        return b


class FirstTwice(Sum):
    """The first number counts twice."""

    def first(self, a: int) -> int:
        return 2 * a


class SecondForgotten(Sum):
    """The second number is forgotten."""

    def second(self, b: int) -> int:
        return 0


def test_formulas_are_made_wrong_in_pairs() -> None:
    part = Part("t/sum", 1, "Sum", "t.html#sum", lambda: None)
    for wrong in (FirstTwice, SecondForgotten):
        part.mistakes.append(Mistake(wrong.__name__, wrong.__doc__, "t.html#sum", as_function(wrong)))
    assert [pair.wrong(5, 7) for pair in part.pairs] == [10]


def test_a_formula_is_a_function() -> None:
    assert Probe(as_function(FirstTwice)).handle(messages.Describe()).kind == "function"


class Scaled(nn.Module):
    """scale * x + shift, a number each for every feature."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x + self.shift


class ScaledAtOnce(Scaled):
    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.shift, x, self.scale)


def test_two_parameters_of_one_shape_in_one_operation_are_told_apart_by_trying() -> None:
    reference = Reference(Scaled, Case(image=(3, 5)))
    part = Part("t/scaled", 4, "Scaled", "t.html#scaled", lambda: reference)
    report = Report(part=part.id, possible=part.points, seed=1)
    check_module(part, reference, Probe(ScaledAtOnce).handle, 1, report)
    assert report.passed, report.text()


class Listed(nn.Module):
    """Convolutions of given widths, one after another."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Conv2d(2, width, 1) for width in widths))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class StudentEmptiesTheList(Listed):
    def __init__(self, widths: list[int]) -> None:
        super().__init__(widths)
        widths.clear()


def list_of_modules(widths: list[int]) -> nn.Module:
    return nn.ModuleList(Listed(widths).layers)


def report_of_listed(answer: object, case: Case) -> Report:
    reference = Reference(Listed, case)
    part = Part("t/listed", 4, "Listed", "t.html#listed", lambda: reference)
    report = Report(part=part.id, possible=part.points, seed=1)
    check_module(part, reference, Probe(answer).handle, 1, report)
    return report


def test_a_student_who_changes_an_argument_does_not_change_the_case() -> None:
    case = Case([2, 2], image=(2, 2, 3, 3))
    report_of_listed(StudentEmptiesTheList, case)
    assert case.args == ([2, 2],)


def test_a_module_without_forward_is_not_an_unwritten_part() -> None:
    assert report_of_listed(list_of_modules, Case([2, 2], image=(2, 2, 3, 3))).state == "raised"


class OwnNorm(nn.Module):
    """A batch norm by hand, its scale and shift as they are broadcast."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x):
        mean, var = self.mean, self.var
        if self.training:
            mean, var, n = x.mean((0, 2, 3)), x.var((0, 2, 3), unbiased=False), x.numel() / x.shape[1]
            with torch.no_grad():
                self.mean.lerp_(mean, 0.1)
                self.var.lerp_(var * n / (n - 1), 0.1)
        return self.scale * (x - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt() + self.shift


class ShortcutFirst(nn.Module):
    """A basic block with norms by hand, which lists and computes its shortcut first."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        if stride != 1 or in_channels != out_channels:
            self.fit = nn.Sequential(
                OwnNorm(out_channels), nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            )
        self.norms = nn.ModuleList(OwnNorm(out_channels) for _ in range(2))
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)

    def forward(self, x):
        kept = self.fit[0](self.fit[1](x)) if hasattr(self, "fit") else x
        out = self.norms[0](self.conv1(x)).relu()
        return (kept + self.norms[1](self.conv2(out))).relu()


@pytest.mark.parametrize("seed", range(3))
def test_norms_by_hand_belong_to_the_weights_before_them_in_whatever_order(seed):
    assert check("resnet/basic_block", ShortcutFirst, seed=seed).passed


class Windows(nn.Module):
    """A convolution as a product of matrices; `layout` says in which order the weight has its axes."""

    def __init__(self, i, o, kernel, stride, padding, layout):
        super().__init__()
        self.settings, self.sizes, self.layout = (kernel, 1, padding, stride), (o, i, kernel, kernel), layout
        sizes = [self.sizes[axis] for axis in layout]
        last = sizes.pop() if layout[-1] == 0 else None
        first = sizes.pop(0) if last is None else None
        rest = torch.Size(sizes).numel()
        self.matrix = nn.Parameter(torch.randn((rest, last) if last else (first, rest)))
        self.offset = nn.Parameter(torch.zeros(o))

    def forward(self, x):
        order = sorted(range(4), key=self.layout.__getitem__)
        weight = self.matrix.reshape([self.sizes[axis] for axis in self.layout]).permute(order)
        kernel, _, padding, stride = self.settings
        return nn.functional.conv2d(x, weight, self.offset, stride, padding)


@pytest.mark.parametrize("layout", [(0, 1, 2, 3), (1, 2, 3, 0), (2, 3, 1, 0), (0, 2, 3, 1)])
def test_a_convolution_may_keep_its_windows_as_a_matrix(layout):
    class Block(nn.Sequential):
        def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0):
            super().__init__()
            self.append(Windows(in_channels, out_channels, kernel_size, stride, padding, layout))
            self.append(nn.ReLU())
            for _ in range(2):
                self.append(Windows(out_channels, out_channels, 1, 1, 0, layout))
                self.append(nn.ReLU())

    report = check("nin/nin_block", Block, seed=1)
    assert report.passed, report.text()
