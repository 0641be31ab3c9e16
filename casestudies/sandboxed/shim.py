"""What `import casestudies` finds inside the sandbox: `check`, and nothing that knows an answer.

Graded cells are judged by the grading process, which reads them itself. A call of `check` elsewhere in a
notebook is answered here by one sentence.
"""

import sys
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Report:
    """Stands in for a report and for whatever is asked of it: prints as one sentence, and stops no cell.

    A cell may go on from it (`assert check(...).passed`, `if report.points > 3`) and define the next block below:
    what is not known here passes for right, and nobody reads it.
    """

    def __init__(self, part: object) -> None:
        self.part = part

    def __repr__(self) -> str:
        return f"check({self.part!r}, ...): judged by the grader"

    def __format__(self, form: str) -> str:
        return repr(self)

    def __getattr__(self, name: str) -> "Report":
        if name.startswith("_"):
            raise AttributeError(name)
        return self

    def __iter__(self) -> Iterator["Report"]:
        return iter(())

    def _itself(self, *_: object, **__: object) -> "Report":
        return self

    __call__ = __getitem__ = _itself
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself
    __round__ = __neg__ = __abs__ = _itself

    def _right(self, _: object = None) -> bool:
        return True

    __bool__ = __gt__ = __ge__ = __contains__ = _right  # as points that are enough for anything

    def _wrong(self, _: object) -> bool:
        return False

    __lt__ = __le__ = _wrong

    def __float__(self) -> float:
        return float("inf")

    def __len__(self) -> int:
        return 0


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
