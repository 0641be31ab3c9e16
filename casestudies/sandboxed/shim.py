"""What `import casestudies` finds inside the sandbox: `check`, and nothing that knows an answer.

Graded cells are judged by the grading process, which reads them itself. A call of `check` elsewhere in a
notebook is answered here by one sentence.
"""

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class Report:
    """Stands in for a report: prints as one sentence."""

    def __init__(self, part: object) -> None:
        self.part = part

    def __repr__(self) -> str:
        return f"check({self.part!r}, ...): judged by the grader"


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
