"""Walks over a module, as torch goes them: its mode, its parameters and its buffers.

torch's own are generators inside generators, and set the mode through all that `nn.Module` has to ask about an
attribute: of a small block that takes as long as some of its layers. Here it is one loop, where nothing on the way is
other than torch has it; else torch's own methods are called. So a class that lists its parameters in its own way does
so here, too.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import Any
from weakref import ref

from torch import Tensor, nn

# Taken before any student's code runs: what is put in their place later is seen to be another.
_TRAIN, _CHILDREN, _NAMED_CHILDREN = nn.Module.train, nn.Module.children, nn.Module.named_children
_NAMED_MODULES, _MEMBERS = nn.Module.named_modules, nn.Module._named_members
_PARAMETERS, _BUFFERS = nn.Module.named_parameters, nn.Module.named_buffers
_SET, _GET, _FIND = nn.Module.__setattr__, nn.Module.__getattr__, object.__getattribute__
_EQUAL, _HASH = object.__eq__, object.__hash__
_METHODS = frozenset(
    "train children named_children named_modules _named_members named_parameters named_buffers".split()
)


def _as_torch_has_it(kind: Any) -> bool:
    """Whether a class of modules leaves it to torch how it is walked. Asked each time: a class may be changed."""
    return (
        issubclass(kind, nn.Module)
        and (kind.train is _TRAIN and kind.children is _CHILDREN and kind.named_children is _NAMED_CHILDREN)
        and (kind.named_modules is _NAMED_MODULES and kind._named_members is _MEMBERS)
        and (kind.named_parameters is _PARAMETERS and kind.named_buffers is _BUFFERS)
        and (kind.__setattr__ is _SET and kind.__getattr__ is _GET and kind.__getattribute__ is _FIND)
        and (kind.__eq__ is _EQUAL and kind.__hash__ is _HASH)
    )


# The attributes of modules, and how the names of what each holds begin.
Modules = list[tuple[str, dict[str, object]]]

# Of a module: its class, its attributes, and the table of those below it, with their names and identities.
_Seen = tuple[type, dict[str, object], dict[str, nn.Module | None], list[str], list[int]]


class _Walk:
    """What a walk found. A check walks over each block some twenty times, and nothing has changed between most of
    them: to see that takes a fraction of the time."""

    def __init__(self, root: nn.Module) -> None:
        self.root = ref(root)
        self.modules: Modules = []
        self.kinds: set[type] = set()
        self.seen: list[_Seen] = []
        self.below: list[nn.Module] = []  # all but the root, which shall not be kept alive

    def still_holds(self, root: nn.Module) -> bool:
        """Whether another walk would find the same."""
        if not all(map(_as_torch_has_it, self.kinds)):
            return False
        for module, (kind, own, below, names, identities) in zip(
            chain((root,), self.below), self.seen, strict=True
        ):
            if type(module) is not kind or module.__dict__ is not own or own.get("_modules") is not below:
                return False
            if not own.keys().isdisjoint(_METHODS):
                return False
            if (below or names) and (list(below) != names or list(map(id, below.values())) != identities):
                return False
        return True


_latest: _Walk | None = None


def _modules(root: nn.Module) -> Modules | None:
    """What `root.named_modules()` gives; None where only torch's own methods know."""
    global _latest
    if _latest is not None and _latest.root() is root and _latest.still_holds(root):
        return _latest.modules
    _latest = None  # what it holds may be let go
    walk = _Walk(root)
    seen: set[int] = set()
    waiting: list[tuple[str, nn.Module]] = [("", root)]
    while waiting:
        prefix, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        kind = type(module)
        if kind not in walk.kinds:
            if not _as_torch_has_it(kind):
                return None
            walk.kinds.add(kind)
        own = module.__dict__
        below = own.get("_modules")
        if type(below) is not dict or not own.keys().isdisjoint(_METHODS):
            return None
        walk.modules.append((prefix, own))
        walk.seen.append((kind, own, below, list(below), list(map(id, below.values()))))
        if module is not root:
            walk.below.append(module)
        if below:
            waiting += [(f"{prefix}{name}.", each) for name, each in below.items() if each is not None][::-1]
    _latest = walk
    return walk.modules


def set_mode(module: nn.Module, training: bool) -> None:
    """`module.train(training)`."""
    found = _modules(module)
    if found is None or any(type(own.get("training")) is not bool for _, own in found):
        module.train(training)
        return
    for _, own in found:
        own["training"] = training


def _held(table: str, modules: Modules | None) -> list[tuple[str, Any]] | None:
    """What is in one table of each module, with its name; None where only torch's own methods know."""
    found: list[tuple[str, Any]] = []
    seen: set[int] = set()
    for prefix, own in modules or ():
        held = own.get(table)
        if type(held) is not dict:
            return None
        for name, tensor in held.items() if held else ():
            if tensor is not None and id(tensor) not in seen:
                seen.add(id(tensor))
                found.append((prefix + name, tensor))
    return None if modules is None else found


def parameters_of(module: nn.Module, most: int | None = None) -> list[tuple[str, nn.Parameter]]:
    """`list(module.named_parameters())`, no more than `most` of them."""
    found = _held("_parameters", _modules(module))
    return list(islice(module.named_parameters(), most)) if found is None else found[:most]


def buffers_of(module: nn.Module, most: int | None = None) -> list[tuple[str, Tensor]]:
    """`list(module.named_buffers())`, no more than `most` of them."""
    found = _held("_buffers", _modules(module))
    return list(islice(module.named_buffers(), most)) if found is None else found[:most]


def parameters_and_buffers(module: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """`dict(module.named_parameters())` and `dict(module.named_buffers())`."""
    modules = _modules(module)
    parameters, buffers = (_held(table, modules) for table in ("_parameters", "_buffers"))
    if parameters is None or buffers is None:
        return dict(module.named_parameters()), dict(module.named_buffers())
    return dict(parameters), dict(buffers)


def tensors_named(module: nn.Module) -> dict[str, Tensor]:
    """The parameters and then the buffers by name, shared ones once."""
    parameters, buffers = parameters_and_buffers(module)
    return parameters | buffers


__all__ = ["buffers_of", "parameters_and_buffers", "parameters_of", "set_mode", "tensors_named"]
