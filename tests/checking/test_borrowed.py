"""An answer made of the package's own networks is right at home, with a note that it fails when it is graded."""

from __future__ import annotations

import importlib

import pytest
from torch import Tensor, nn

import casestudies
import casestudies.networks.resnet as with_alias
from casestudies import check
from casestudies.checking.borrowed import borrowed
from casestudies.networks import resnet
from casestudies.networks.resnet import BasicBlock as Taken

BLOCK = "resnet/basic_block"
BUILT = resnet.BasicBlock(4, 4)


class Subclass(resnet.BasicBlock):
    pass


class Wrapped(nn.Module):
    """Builds the block with `make`."""

    make = staticmethod(lambda *arguments: resnet.BasicBlock(*arguments))

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.block = self.make(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


def imported_inside(*arguments):
    from casestudies.networks.resnet import BasicBlock

    return BasicBlock(*arguments)


def helper(*arguments):
    return Taken(*arguments)


def wrapped(function):
    return type("Wrapped", (Wrapped,), {"make": staticmethod(function)})


BORROWED = {
    "the class itself": resnet.BasicBlock,
    "a subclass": Subclass,
    "a module's attribute": Wrapped,
    "an alias": wrapped(lambda *a: with_alias.BasicBlock(*a)),
    "a name": wrapped(lambda *a: Taken(*a)),
    "the package's attribute": wrapped(lambda *a: casestudies.networks.resnet.BasicBlock(*a)),
    "an import inside": wrapped(imported_inside),
    "a helper": wrapped(lambda *a: helper(*a)),
    "a default": wrapped(lambda *a, make=Taken: make(*a)),
    "a closure": wrapped((lambda make: lambda *a: make(*a))(Taken)),
    "a comprehension": wrapped(lambda *a: [Taken(*a) for _ in range(1)][0]),
    "a name made at run time": wrapped(
        lambda *a: importlib.import_module(".".join(("casestudies", "networks", "resnet"))).BasicBlock(*a)
    ),
}


@pytest.mark.parametrize("how", BORROWED)
def test_it_is_right_with_a_note(how: str) -> None:
    report = check(BLOCK, BORROWED[how])
    assert report.passed and report.points == report.possible
    assert [note for note in report.notes if "casestudies." in note and "when you are graded" in note], how
    assert all(report.notes[0].split("casestudies")[0] in shown for shown in (report.text(), report.html()))


def own(*_: object) -> nn.Module:
    check("resnet/basic_block", None)  # a check inside is no answer of ours
    return nn.Identity()


class Odd(type):
    hides = False

    def __getattribute__(cls, name: str):
        if name in ("__mro__", "__module__") and Odd.hides:
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Strange(nn.Module, metaclass=Odd):
    pass


OWN = {
    "torch alone": nn.BatchNorm2d,
    "a function that checks": own,
    "nothing": None,
    "a number": 3,
    "a text": "casestudies.networks.resnet",
    "a class that hides": Strange,
    "a builtin": len,
}


@pytest.mark.parametrize("answer", OWN)
def test_an_answer_of_ones_own_has_no_note(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Odd, "hides", True)
    assert borrowed(OWN[answer]) == ""


def test_the_grader_says_nothing_of_it() -> None:
    """It need not: where a class is graded, the import fails."""
    from casestudies.checking.engine import run_check
    from casestudies.sandboxed.probe import Probe

    assert run_check(BLOCK, Probe(Subclass).handle).notes == []
