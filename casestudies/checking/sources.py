"""The source of a reference, and the same with an edit in it: what the tables of mistakes are made of."""

from __future__ import annotations
import __future__

import ast
import builtins
import copy
import inspect
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from types import CodeType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

Made = Callable[..., Any]
NEIGHBOURS = "items"  # the arguments of a call, positional and by name, as one list


class TableError(ValueError):
    """A row of a `~casestudies.checking.tables.table` cannot be read or does not fit its reference.

    It is a ValueError. The message names the part and, unless no row could be read, the mistake; for a part of the
    package also its file, ``casestudies/checks/<assignment>.py``.
    """


@dataclass(frozen=True)
class Edit:
    """A piece of the source, after the name of its method where it needs one, and what is written instead."""

    right: str
    wrong: str


# --------------------------------------------------------------------------- the places


Step = tuple[str, int]  # a field of a node, and the index in it (0 where it holds one node)
Path = tuple[Step, ...]
Walked = tuple[Path, ast.AST, list[tuple[str, list[ast.AST]]]]
# All that stands in a scope, and at which places of that list a node holds one of some kind.
Walk = tuple[list[Walked], dict[type[ast.AST], list[int]]]


@dataclass(frozen=True, eq=False)
class Place:
    """`count` neighbours in a field of the node at `path`, from `start`; and what is put there.

    `old` is the one piece that is replaced, if it is one: where `new` has it as well, the edit only adds something
    around it, and what changes inside it goes together with the edit.
    """

    path: Path
    field: str
    start: int
    count: int
    new: tuple[ast.AST, ...]
    old: ast.AST | None = None

    @property
    def order(self) -> tuple[Path, str, int]:
        return (self.path, self.field, self.start)

    @cached_property
    def wraps(self) -> bool:
        return self.old is not None and any(
            _same(node, self.old) for each in self.new for _, node in _walk(each)
        )

    def put(self, now: ast.AST) -> Iterator[ast.AST]:
        """The new code, around what stands there now."""
        for each in self.new:
            yield _replaced(each, self.old, now) if self.old is not None else each

    def overlaps(self, other: Place) -> bool:
        if self.path == other.path:
            if self.field != other.field:
                return False
            if self.start == other.start and self.count == other.count:
                return not (self.wraps or other.wraps) or len(self.new) != 1 or len(other.new) != 1
            first, second = sorted((self, other), key=lambda place: place.start)
            return second.start < first.start + first.count
        outer, inner = sorted((self, other), key=lambda place: len(place.path))
        return outer.holds(inner) and not outer.wraps and not outer.keeps(inner)

    def holds(self, inner: Place) -> bool:
        """Whether the other place lies inside of what is replaced here."""
        steps = inner.path[len(self.path) :]
        if inner.path[: len(self.path)] != self.path or not steps:
            return False
        field, index = steps[0]
        return field == self.field and self.start <= index < self.start + self.count

    def keeps(self, inner: Place) -> bool:
        """Whether the new code has what the other edit replaces, once, so that it can be replaced there as well."""
        if inner.old is None or len(inner.new) != 1:
            return False
        return sum(_same(node, inner.old) for each in self.new for _, node in _walk(each)) == 1

    def with_inside(self, inner: Place) -> Place:
        """This edit, with the other one made in its new code."""
        assert inner.old is not None
        return replace(self, new=tuple(_replaced(each, inner.old, inner.new[0]) for each in self.new))


def _fields(node: ast.AST) -> Iterator[tuple[str, list[ast.AST]]]:
    """What a node holds, as lists; the arguments of a call are one list, whether they have names or not."""
    if isinstance(node, ast.Call):
        yield "func", [node.func]
        yield NEIGHBOURS, [*node.args, *node.keywords]
        return
    for name, value in ast.iter_fields(node):
        if isinstance(value, ast.AST):
            yield name, [value]
        elif isinstance(value, list) and value and isinstance(value[0], ast.AST):
            yield name, value


def _walk(node: ast.AST, path: Path = ()) -> Iterator[tuple[Path, ast.AST]]:
    yield path, node
    for name, values in _fields(node):
        for index, value in enumerate(values):
            yield from _walk(value, (*path, (name, index)))


def _same(one: object, other: object) -> bool:
    """Whether two pieces of code say the same; where a name is stored or loaded does not matter."""
    if type(one) is not type(other):
        return isinstance(one, ast.expr_context) and isinstance(other, ast.expr_context)
    if isinstance(one, ast.AST):
        return all(_same(getattr(one, name, None), getattr(other, name, None)) for name in one._fields)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _changed(node: ast.AST, path: Path, place: Place) -> ast.AST:
    """A copy of the tree, as far as it is another, with the new code at its place."""
    made = copy.copy(node)
    name = path[0][0] if path else place.field
    values = list(dict(_fields(node))[name])
    if path:
        values[path[0][1]] = _changed(values[path[0][1]], path[1:], place)
    else:
        values[place.start : place.start + place.count] = place.put(values[place.start])
    if name == NEIGHBOURS:
        assert isinstance(made, ast.Call)
        made.args = [value for value in values if isinstance(value, ast.expr)]
        made.keywords = [value for value in values if isinstance(value, ast.keyword)]
    elif isinstance(getattr(node, name), list):
        setattr(made, name, values or [ast.Pass(lineno=1, col_offset=0, end_lineno=1, end_col_offset=4)])
    else:
        setattr(made, name, values[0])
    return made


def _replaced(node: ast.AST, old: ast.AST, now: ast.AST) -> ast.AST:
    """A copy with `now` wherever it has `old`."""
    if _same(node, old):
        return now
    for name, values in _fields(node):
        for index, value in enumerate(values):
            if (other := _replaced(value, old, now)) is not value:
                node = _changed(node, (), Place((), name, index, 1, (other,)))
    return node


# --------------------------------------------------------------------------- the source


@lru_cache(maxsize=32)
def _tree(module: str) -> ast.Module:
    return ast.parse(inspect.getsource(sys.modules[module]))


@lru_cache(maxsize=1024)
def _code(text: str) -> tuple[tuple[ast.AST, ...], tuple[ast.AST, ...]]:
    """A piece of code as arguments of a call, and as statements; nothing where it is no such thing."""
    items: tuple[ast.AST, ...] = ()
    body: tuple[ast.AST, ...] = ()
    try:
        made = ast.parse(f"f({text})", mode="eval").body
        if isinstance(made, ast.Call) and isinstance(made.func, ast.Name):
            items = (*made.args, *made.keywords)
    except SyntaxError:
        pass
    try:
        body = tuple(ast.parse(text).body)
    except SyntaxError:
        pass
    return items, body


@dataclass(frozen=True)
class Source:
    """The source of a reference: the class or function itself, and what it is made of."""

    of: tuple[Made, ...]

    @cached_property
    def tree(self) -> ast.Module:
        """The parts first, then what is made of them."""
        body = []
        for each in reversed(self.of):
            named = [
                node for node in _tree(each.__module__).body if getattr(node, "name", "") == each.__qualname__
            ]
            if not named:
                raise ValueError(f"{each.__qualname__} does not stand at the top level of its file")
            body.append(named[-1])
        return ast.Module(body=body, type_ignores=[])

    @cached_property
    def scopes(self) -> dict[str, list[tuple[Path, ast.AST]]]:
        """What can be named in front of a piece of code: functions, classes, methods, `Class.method`."""
        found: dict[str, list[tuple[Path, ast.AST]]] = {"": [((), self.tree)]}
        for path, node in _walk(self.tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                found.setdefault(node.name, []).append((path, node))
                if isinstance(node, ast.ClassDef):
                    for index, inner in enumerate(node.body):
                        if isinstance(inner, ast.FunctionDef):
                            at = (*path, ("body", index))
                            found.setdefault(f"{node.name}.{inner.name}", []).append((at, inner))
        return found

    def places(self, edit: Edit) -> tuple[Place, ...]:
        """Where the edit changes the source; ValueError where that is not clear."""
        if edit not in self.placed:
            self.placed[edit] = self._places(edit)
        return self.placed[edit]

    @cached_property
    def placed(self) -> dict[Edit, tuple[Place, ...]]:
        """Each edit is alone in one mistake, and beside others in dozens of pairs."""
        return {}

    def _places(self, edit: Edit) -> tuple[Place, ...]:
        right, every = edit.right, edit.right.startswith("every ")
        right = right.removeprefix("every ")
        scope, colon, rest = right.partition(":")
        if colon and scope in self.scopes and scope:
            right, scopes = rest.strip(), self.scopes[scope]
        else:
            scopes = self.scopes[""]
        found = [place for path, node in scopes for place in self._found(path, node, right, edit)]
        if not found:
            first, names = self.of[0].__name__, ", ".join(each.__name__ for each in self.of)
            raise ValueError(
                f"`{right}` does not occur in {names}; where it stands in a class or function of which {first} is "
                f"made, give the table that, too: ({names}, ...)"
            )
        if len(found) > 1 and not every:
            raise ValueError(
                f"`{right}` occurs {len(found)} times; name the method in which it stands, as in "
                f"`forward: {right}`, take more of the line, or change them all with `every {right}`"
            )
        return tuple(found)

    def _found(self, base: Path, scope: ast.AST, right: str, edit: Edit) -> Iterator[Place]:
        items, body = _code(right)
        new_items, new_body = _code(edit.wrong)
        if not items and not body:
            raise ValueError(f"`{right}` is not Python")
        if edit.wrong and not new_items and not new_body:
            raise ValueError(f"`{edit.wrong}` is not Python")
        if _same([*items], [*new_items]) and _same([*body], [*new_body]):
            raise ValueError(f"the edit of `{right}` changes nothing")
        # An expression that stands alone may become several statements.
        alone = len(body) == 1 and isinstance(body[0], ast.Expr)
        if alone and new_body and not new_items:
            items, alone = (), False
        default = body[0] if len(body) == 1 and isinstance(body[0], ast.AnnAssign) else None
        walked, where = self._walked(base, scope)
        kinds = {type(each[0]) for each in (items, body) if each} | ({ast.arguments} if default else set())
        for place in sorted({place for kind in kinds for place in where.get(kind, ())}):
            path, node, fields = walked[place]
            for field, values in fields:
                if items:
                    yield from self._run(path, node, field, values, items, new_items, edit)
                if body and not alone and values and isinstance(values[0], ast.stmt):
                    for start in _runs(values, body):
                        old = values[start] if len(body) == 1 else None
                        yield Place(path, field, start, len(body), new_body, old)
            if default is not None and isinstance(node, ast.arguments):
                yield from _default(path, node, default, new_body)

    def _walked(self, base: Path, scope: ast.AST) -> Walk:
        """All that stands in a scope: walked through once, and looked at for every edit."""
        if base not in self.walks:
            walked = [(path, node, list(_fields(node))) for path, node in _walk(scope, base)]
            where: dict[type[ast.AST], list[int]] = {}
            for place, (_, node, fields) in enumerate(walked):
                for kind in {type(node), *(type(value) for _, values in fields for value in values)}:
                    where.setdefault(kind, []).append(place)
            self.walks[base] = walked, where
        return self.walks[base]

    @cached_property
    def walks(self) -> dict[Path, Walk]:
        """By the path to a scope."""
        return {}

    @staticmethod
    def _run(
        path: Path,
        node: ast.AST,
        field: str,
        values: list[ast.AST],
        items: tuple[ast.AST, ...],
        new: tuple[ast.AST, ...],
        edit: Edit,
    ) -> Iterator[Place]:
        listed = field in (NEIGHBOURS, "elts")
        if len(items) > 1 and not listed:
            return
        for start in _runs(values, items):
            if not listed and len(new) != 1:
                raise ValueError(f"`{edit.wrong}` cannot stand alone in place of `{edit.right}`")
            yield Place(path, field, start, len(items), new, values[start] if len(items) == 1 else None)

    @cached_property
    def space(self) -> dict[str, Any]:
        """The names that the source and what is written instead may use beside their own."""
        space: dict[str, Any] = {"torch": torch, "nn": nn, "F": F, "math": math}
        for each in reversed(self.of):
            space.update(vars(sys.modules[each.__module__]))
        return space

    @cached_property
    def own(self) -> set[str]:
        """The names that the source itself gives to something."""
        return set(_bound(self.tree))

    def unknown(self, places: Iterable[Place]) -> str:
        """A name in the new code that means nothing there; "" where there is none."""
        new = ast.Module(body=[node for place in places for node in place.new], type_ignores=[])  # type: ignore[misc]
        known = self.own.union(_bound(new))
        for _, node in _walk(new):
            if isinstance(node, ast.Name) and node.id not in known:
                if node.id not in self.space and not hasattr(builtins, node.id):
                    return node.id
        return ""

    def in_forward(self, place: Place) -> bool:
        """Whether a place lies in a method `forward`: what is built is the same then, whatever stands there."""
        node: ast.AST = self.tree
        for field, index in place.path:
            node = dict(_fields(node))[field][index]
            if isinstance(node, ast.FunctionDef) and node.name == "forward":
                return True
        return False

    def made(self, places: list[Place], name: str) -> Made:
        """What the changed source defines."""
        tree: ast.AST = self.tree
        for outer in [place for place in places if not place.wraps]:
            for inner in [place for place in places if outer.holds(place)]:
                places = [place for place in places if place not in (outer, inner)]
                outer = outer.with_inside(inner)
                places.append(outer)
        # From the end, so that no place is moved by a change before it; what is put around a piece comes last.
        for place in sorted(
            sorted(places, key=lambda place: place.wraps), key=lambda place: place.order, reverse=True
        ):
            tree = _changed(tree, place.path, place)
        assert isinstance(tree, ast.Module)
        space = {**self.space}
        for statement in tree.body:
            exec(self.compiled.get(id(statement)) or self._compile(statement), space)
        made: Made = space[self.of[0].__qualname__]
        made.__name__ = made.__qualname__ = name
        made.made_of = self.of, tuple([space[each.__qualname__] for each in self.of])  # type: ignore[attr-defined]
        return made

    def built_as(self, edits: tuple[Edit, ...]) -> Made | None:
        """What builds the same layers as an edit of it: itself where only `forward` is changed, or what was made
        with the edits elsewhere alone, if that was."""
        elsewhere = tuple(
            edit for edit in edits if not all(self.in_forward(place) for place in self.places(edit))
        )
        return self.of[0] if not elsewhere else self.made_with.get(elsewhere)

    @cached_property
    def made_with(self) -> dict[tuple[Edit, ...], Made]:
        """What was made, by its edits."""
        return {}

    @cached_property
    def compiled(self) -> dict[int, CodeType]:
        """What the source is made of, each by its number: an edit leaves most of it as it is."""
        return {id(statement): self._compile(statement) for statement in self.tree.body}

    def _compile(self, statement: ast.stmt) -> CodeType:
        file = str(sys.modules[self.of[0].__module__].__file__)
        flags = __future__.annotations.compiler_flag
        return compile(ast.Module([statement], []), file, "exec", flags=flags, dont_inherit=True)


def _runs(values: list[ast.AST], items: tuple[ast.AST, ...]) -> Iterator[int]:
    for start in range(len(values) - len(items) + 1):
        if all(_same(a, b) for a, b in zip(values[start:], items, strict=False)):
            yield start


def _default(
    path: Path, node: ast.arguments, right: ast.AnnAssign, new: tuple[ast.AST, ...]
) -> Iterator[Place]:
    """A parameter with this default, which gets another."""
    named = [*node.posonlyargs, *node.args][-len(node.defaults) :] if node.defaults else []
    for index, (each, value) in enumerate(zip(named, node.defaults, strict=True)):
        if isinstance(right.target, ast.Name) and each.arg == right.target.id and _same(value, right.value):
            if len(new) != 1 or not isinstance(new[0], ast.AnnAssign) or new[0].value is None:
                raise ValueError(f"the parameter {each.arg} needs another default, as `{each.arg}: int = 2`")
            yield Place(path, "defaults", index, 1, (new[0].value,))


def _bound(tree: ast.AST) -> Iterator[str]:
    for _, node in _walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


@lru_cache(maxsize=1024)
def source_of(*of: Made) -> Source:
    return Source(of)


def built_as(made: Made) -> Made | None:
    """What builds the same layers as an edited class or function: the reference, where only `forward` was changed, or
    another edit of it that has what was changed elsewhere."""
    found: Made | None = vars(made).get("built_as")
    return found


def counterparts(right: Made, made: Made) -> dict[Made, Made]:
    """What `right` is made of, and what an edited class that is built as it is has in its place; nothing where that
    is not known."""
    of, own = vars(made).get("made_of", ((), ()))
    return dict(zip(vars(right).get("made_of", (of, of))[1], own, strict=True))


def made_from(made: Made) -> Made | None:
    """The reference that was edited; None where a class or function is a program of its own."""
    found: Made | None = vars(made).get("made_from") if hasattr(made, "__dict__") else None
    return found


@dataclass(frozen=True)
class Edited:
    """A reference with a mistake in it, or with several. Compiled when it is asked for."""

    source: Source
    edits: tuple[Edit, ...]
    id: str
    label: str

    @cached_property
    def places(self) -> tuple[Place, ...]:
        found: list[Place] = []
        for edit in self.edits:
            try:
                found += self.source.places(edit)
            except ValueError as error:
                raise TableError(f"{self.label}: {error}") from None
        if unknown := self.source.unknown(found):
            raise TableError(f"{self.label}: nothing is named {unknown} there")
        for index, place in enumerate(found):
            if any(place.overlaps(other) for other in found[:index]):
                raise TableError(f"{self.label}: two of its edits change the same place")
        return tuple(found)

    @cached_property
    def made(self) -> Made:
        """The wrong class or function; TableError where the edits do not fit."""
        name = "".join(word.capitalize() for word in self.id.split("_"))
        places = list(self.places)  # what is wrong with these is said as it is
        try:
            made = self.source.made(places, name)
            made.made_from = self.source.of[0]  # type: ignore[attr-defined]
            if built_as := self.source.built_as(self.edits):
                made.built_as = built_as  # type: ignore[attr-defined]
            self.source.made_with[self.edits] = made
            return made
        except (SyntaxError, TypeError, ValueError) as error:
            raise TableError(f"{self.label}: what is written instead does not compile: {error}") from error

    def goes_with(self, other: Edited) -> bool:
        """Whether both mistakes can be made at once: their edits are of one source, and do not overlap."""
        return self.source == other.source and not any(
            one.overlaps(two) for one in self.places for two in other.places
        )

    def together(self, other: Edited) -> Edited:
        return Edited(
            self.source, self.edits + other.edits, f"{self.id}_and_{other.id}", f"{self.label} and {other.id}"
        )
