"""What `import casestudies` finds inside the sandbox: `check`, and nothing that knows an answer.

Graded cells are judged by the grading process, which reads them itself. A call of `check` elsewhere in a
notebook is answered here by one sentence.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Anything:
    """Stands in for whatever a cell asks of a report that only the grader knows: prints as one sentence, and stops no
    cell. What is not known here passes for right, and nobody reads it."""

    part: object = ""

    def __repr__(self) -> str:
        return f"check({self.part!r}, ...): judged by the grader"

    def __format__(self, form: str) -> str:
        return repr(self)

    def __getattr__(self, name: str) -> "Anything":
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Iterator["Anything"]:
        return iter(())

    def _itself(self, *_: object, **__: object) -> "Anything":
        return self

    __call__ = __getitem__ = _itself
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself
    __round__ = __neg__ = __abs__ = _itself

    def _right(self, _: object = None) -> bool:
        return True

    __bool__ = __gt__ = __ge__ = __contains__ = _right

    def _wrong(self, _: object) -> bool:
        return False

    __lt__ = __le__ = _wrong

    def __float__(self) -> float:
        return float("inf")

    def __len__(self) -> int:
        return 0


class Points(float):
    """As many points as a cell hopes for: equal to any number of them, and enough where there is a least one.

    A number wherever a number is needed (`int`, `range`, `json`, a tensor); how many it is, nobody here knows.
    """

    def __repr__(self) -> str:
        return "(points: judged by the grader)"

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        return repr(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, int | float) and other > 0

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = float.__hash__

    def __gt__(self, other: float) -> bool:
        return True

    __ge__ = __gt__

    def __lt__(self, other: float) -> bool:
        return False

    def __le__(self, other: float) -> bool:
        return self == other


class Empty(list[Any]):
    """No mistakes, no criteria. A cell that shows the first one gets something that prints."""

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(index) if isinstance(index, slice) else Anything()


@dataclass(eq=False, repr=False)
class Report(Anything):
    """Has what the report of a right answer has at home, each as a value of the kind that it is there.

    A cell may go on from it (`assert check(...).points == 4`, `if report.state != "passed"`) and define the next
    block below.
    """

    part: Any
    possible: float = Points(1000)
    seed: int = 0
    title: str = ""
    see: str = ""
    points: float = Points(1000)
    state: str = "passed"
    summary: str = ""
    criteria: list[Any] = field(default_factory=Empty)
    recognised: list[Any] = field(default_factory=Empty)
    compared: list[Any] = field(default_factory=Empty)
    case: str = ""
    differences: list[Any] = field(default_factory=Empty)
    layers: list[Any] = field(default_factory=Empty)
    others: list[Any] = field(default_factory=Empty)
    place: str = ""
    alternatives: bool = False
    notes: list[Any] = field(default_factory=Empty)
    hints: str = "all"
    told: str = "all"
    progress: str = ""
    passed: bool = field(default=True, init=False)
    mistakes: list[Any] = field(default_factory=Empty, init=False)

    def to_dict(self) -> dict[str, object]:
        return dict(vars(self))

    def headline(self) -> str:
        return repr(self)

    def text(self, hints: str = "all") -> str:
        return self.headline()

    html = text


def check(part: object, answer: object = None, **_: object) -> Report:
    """Says that the grader judges; computes nothing."""
    return Report(part)


class Unavailable:
    """Stands in for what is not here. It may be imported, since a cell that shows a ledger at home may well define a
    block, too; whoever uses it is told."""

    def __init__(self, name: str) -> None:
        self.__dict__["name"] = name

    def __repr__(self) -> str:
        return f"{self.name}: not available while a notebook is graded"

    def __getattr__(self, name: str) -> "Unavailable":
        if name.startswith("_"):
            raise AttributeError(name)
        return Unavailable(f"{self.name}.{name}")

    def __call__(self, *_: object, **__: object) -> None:
        raise RuntimeError(f"{self.name} is not available while a notebook is graded; only `check` is")

    def __mro_entries__(self, bases: object) -> None:
        self()

    def __instancecheck__(self, instance: object) -> None:
        self()

    def __or__(self, other: object) -> "Unavailable":
        """`Graph | None`, as the type of an argument."""
        return self

    __ror__ = __or__

    def __getitem__(self, item: object) -> "Unavailable":
        """`Grid[int]`, as the type of an argument."""
        return self

    def __iter__(self) -> None:
        self()


class Finder(MetaPathFinder, Loader):
    """Finds the modules of this package that are not here, after all others have looked for them."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if not name.startswith(f"{__name__}."):
            return None
        return ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__getattr__"] = Unavailable(module.__name__).__getattr__


if __name__ == "casestudies":  # in the sandbox; elsewhere the package itself is there
    __getattr__ = Unavailable(__name__).__getattr__
    sys.meta_path.append(Finder())

__all__ = ["check"]
