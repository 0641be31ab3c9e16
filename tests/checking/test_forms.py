"""Blocks whose parameters come in another form: lazy layers, and the forms that a reference declares."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
