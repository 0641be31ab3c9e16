"""What an answer takes from this package, which is not there when the answer is graded.

At home the reference implementations lie beside the notebook, since the checks compare with them. Where a class is
graded they are out of reach: an answer made of them fails on its import. Here is looked for them in an answer at
home: among its bases, in the globals that its code loads, and among the modules of what it builds.
"""

from __future__ import annotations

import dis
import inspect
from collections.abc import Iterable
from types import CodeType, FunctionType, ModuleType
from typing import Any

from torch import nn

from casestudies.sandboxed.probe import by_hand

PACKAGE = __name__.partition(".")[0]
THERE = {"check"}  # what a notebook may import from the package when it is graded
MOST = 400  # objects that are looked at


def borrowed(answer: Any, built: Iterable[nn.Module] = ()) -> str:
    """The name of the first thing of this package that an answer uses; empty where it uses nothing.

    `built` are modules that the answer has built.
    """
    waiting: list[Any] = [answer]
    seen: set[int] = set()
    while waiting and len(seen) < MOST:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        try:
            if found := _of_package(each):
                return found
            waiting += _parts(each)
        except BaseException as error:  # an answer may be anything, and look like anything
            if by_hand(error):
                raise
    inside = (_of_package(type(layer)) for module in built for layer in module.modules())
    return next(filter(None, inside), "")


def _of_package(thing: Any) -> str:
    """Its name, where it is a class, a function or a module of this package."""
    if isinstance(thing, ModuleType):
        name = thing.__name__
        return name if _inside(name) and name != PACKAGE else ""
    if not isinstance(thing, (type, FunctionType)):
        return ""
    home = vars(thing).get("__module__") if isinstance(thing, type) else thing.__module__
    if not isinstance(home, str) or not _inside(home) or thing.__name__ in THERE:
        return ""
    return f"{home}.{thing.__name__}"


def _inside(name: str) -> bool:
    return name == PACKAGE or name.startswith(f"{PACKAGE}.")


def _parts(thing: Any) -> list[Any]:
    """What a class or a function of the student's is made of."""
    if getattr(thing, "__module__", "").partition(".")[0] in (PACKAGE, "torch", "builtins"):
        return []
    if isinstance(thing, type):
        found = [*thing.__mro__[1:], *(inspect.unwrap(_function(each)) for each in vars(thing).values())]
        return [each for each in found if isinstance(each, (type, FunctionType))]
    if not isinstance(thing, FunctionType):
        return []
    found = []
    for name, attribute in _loaded(thing.__code__):
        value = thing.__globals__.get(name)
        if isinstance(value, ModuleType) and value.__name__ == PACKAGE and attribute not in THERE:
            value = ModuleType(f"{PACKAGE}.{attribute}")
        found.append(ModuleType(name) if name.startswith(f"{PACKAGE}.") else value)
    found += [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
    found += [*(thing.__defaults__ or ()), *(thing.__kwdefaults__ or {}).values()]
    known = (type, FunctionType, ModuleType)
    return [each if isinstance(each, known) else type(each) for each in found]


def _function(each: Any) -> Any:
    """The function behind a method, a static or class method, or a property."""
    if isinstance(each, (staticmethod, classmethod)):
        return each.__func__
    return each.fget if isinstance(each, property) else each


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018  (a cell may be empty)
    except ValueError:
        return False
    return True


def _loaded(code: CodeType) -> list[tuple[str, str]]:
    """The globals that code loads, each with the attribute that it takes of it at once ("" for none), and the modules
    of this package that it imports."""
    found = []
    steps = [step for step in dis.get_instructions(code) if step.opname != "CACHE"]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            taken = ""
            if following is not None and following.opname in ("LOAD_ATTR", "LOAD_METHOD"):
                taken = following.argval
            found.append((step.argval, taken))
        elif step.opname == "IMPORT_NAME" and step.argval.startswith(f"{PACKAGE}."):
            found.append((step.argval, ""))
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            found += _loaded(constant)
    return found
