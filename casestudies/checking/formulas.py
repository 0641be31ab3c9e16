"""Formulas: a reference function as an expression in which any place can be exchanged, without compiling it again.

The source of one of our own functions is read. Every expression of it, a *site*, becomes a call of a small function
that gets what the expression is made of: `a + 2 * b` is then `_2(_0(a), _1(b))`. To try an edit, one of the small
functions is exchanged. A student's code is never read here.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from types import CodeType, FunctionType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

OPENED = (ast.ListComp, ast.GeneratorExp, ast.SetComp)  # edited inside, where their variables are known
TOGETHER = 64  # edits that are compiled together
COMPILED_KEPT = 8192  # of all formulas
Names = dict[str, Any]  # of a module, or what a function sees
PLACE = "_{}"  # what stands in an edit for the k-th thing that the expression is made of


@dataclass
class Site:
    """A place of the formula: its expression, and the expressions that this is made of."""

    number: int
    node: ast.expr
    parts: list[ast.expr]
    template: ast.expr  # the expression with a placeholder for each part
    lazy: bool = False  # the parts are called where they are needed: conditions
    scope: tuple[str, ...] = ()  # variables that could stand there as well
    role: str = ""  # "argument", "return": what becomes of the value
    kinds: set[str] = field(default_factory=set)  # of what the value was when it ran

    def place(self, index: int) -> ast.expr:
        name = ast.Name(PLACE.format(index), ast.Load())
        return ast.Call(name, [], []) if self.lazy else name


@dataclass(frozen=True, eq=False)
class Edit:
    """What stands at a site instead, what that costs, and the words for it."""

    site: int
    weight: float
    instead: ast.expr
    words: str  # {0}, {1}, ...: the parts; {whole}: what is asked for there; {new}: what stands there instead


class Uneditable(ValueError):
    """A function that cannot be read, or does something that is not understood here."""


Compiled = tuple[str, int, tuple[str, ...], bool]
_COMPILED: dict[Compiled, CodeType] = {}


@lru_cache(maxsize=COMPILED_KEPT)
def dumped(node: ast.expr) -> str:
    """What an expression says, of one that nobody changes."""
    return ast.dump(node)


Node = TypeVar("Node", bound=ast.AST)


def cloned(node: Node) -> Node:
    """A copy of a tree, in a fifth of the time of `copy.deepcopy`. What has no fields, such as `+`, is shared."""
    if not node._fields:
        return node
    made = type(node).__new__(type(node))
    kept = made.__dict__
    for name, value in node.__dict__.items():
        if isinstance(value, ast.AST):
            value = cloned(value)
        elif isinstance(value, list):
            value = [cloned(each) if isinstance(each, ast.AST) else each for each in value]
        kept[name] = value
    return made


def _locate(tree: ast.AST) -> None:
    """Gives all of a tree some place in a file, as the compiler wants it; which one is not looked at."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        held = node.__dict__
        if node._attributes:
            line, column = held.setdefault("lineno", 1), held.setdefault("col_offset", 0)
            if held.get("end_lineno") is None or held.get("end_col_offset") is None:
                held["end_lineno"], held["end_col_offset"] = line, column
        for name in node._fields:
            value = held.get(name)
            if isinstance(value, ast.AST):
                waiting.append(value)
            elif isinstance(value, list):
                waiting.extend(each for each in value if isinstance(each, ast.AST))


def kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, Tensor):
        return "tensor" if value.is_floating_point() else "mask"
    if isinstance(value, (tuple, list)):
        return "sequence"
    return "other"


class Formula:
    """A function of ours, read: its sites, and how it runs with some of them edited."""

    def __init__(
        self, tree: ast.FunctionDef, names: Mapping[str, Any], weight: float = 0.0, words: str = ""
    ) -> None:
        self.tree, self.names, self.weight, self.words = tree, names, weight, words
        given = tree.args
        if given.vararg or given.kwarg or given.posonlyargs or given.kwonlyargs:
            raise Uneditable("only plain arguments are understood")
        self.arguments = tuple(argument.arg for argument in given.args)
        self.loops = any(isinstance(node, (ast.For, ast.While, ast.comprehension)) for node in ast.walk(tree))
        names_stored = (node for node in ast.walk(tree) if isinstance(node, ast.Name))
        self.stored = {node.id for node in names_stored if isinstance(node.ctx, ast.Store)}
        self.read = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} - self.stored
        self.space: Names = {"math": math, "torch": torch, "F": F, **names, "_power": power, "_times": times}
        self.space["_unless_it_raises"], self.space["_turns"] = unless_it_raises, turns
        self.sites: list[Site] = []
        self.numbers: dict[int, int] = {}  # of sites, by the identity of their nodes
        self.edits: list[Edit] = []  # that are tried, in their order
        self.alternatives: dict[Edit, Callable[..., Any]] = {}

    @cached_property
    def plain(self) -> FunctionType:
        """The function as it is written."""
        tree = _Bounded(self.loops).visit(cloned(self.tree))
        tree.name, tree.args = "_plain", _bare(tree.args)
        self._execute([tree])
        return self.space["_plain"]

    @cached_property
    def run(self) -> FunctionType:
        """The function made of sites. Raises Uneditable where a statement is none that is edited, such as `raise`."""
        self.sites.clear()  # of an attempt that raised
        body = [self._argument(name) for name in self.arguments]
        local = set(self.arguments) | self.stored
        body.extend(self._block(self.tree.body, list(self.arguments), local))
        kept: list[ast.stmt] = []
        if self.arguments:  # `global` takes at least one name
            kept.append(ast.Global([f"_a_{name}" for name in self.arguments]))
        for name in self.arguments:
            kept.append(ast.Assign([ast.Name(f"_a_{name}", ast.Store())], ast.Name(name, ast.Load())))
        run = copy.copy(self.tree)
        run.name, run.args, run.body = "_run", _bare(self.tree.args), kept + body
        functions = [
            ast.Assign([ast.Name(f"_n{site.number}", ast.Store())], self._function(site, site.template))
            for site in self.sites
        ]
        self._execute([*functions, run])
        return self.space["_run"]

    @cached_property
    def defaults(self) -> Names:
        given = self.plain.__defaults__ or ()
        return dict(zip(reversed(self.arguments), reversed(given), strict=False))

    # ------------------------------------------------------------------------------------------------ built

    def _execute(self, statements: Sequence[ast.stmt]) -> None:
        module = ast.Module(list(statements), [])
        _locate(module)
        exec(compile(module, "<formula>", "exec"), self.space)

    def _function(self, site: Site, value: ast.expr) -> ast.expr:
        names = [PLACE.format(index) for index in range(len(site.parts))] + [f"_s_{n}" for n in site.scope]
        arguments = ast.arguments([], [ast.arg(name) for name in names], None, [], [], None, [])
        return ast.Lambda(arguments, _Bounded(self.loops).visit(cloned(value)))

    def _argument(self, name: str) -> ast.stmt:
        """A site for each argument as it comes in: what is done to it there is done wherever it is used."""
        node = ast.Name(name, ast.Load())
        value = self._site(
            node, [node], ast.Name("_0", ast.Load()), [ast.Name(name, ast.Load())], role="argument"
        )
        return ast.Assign([ast.Name(name, ast.Store())], value)

    def _site(
        self,
        node: ast.expr,
        parts: Sequence[ast.expr],
        template: ast.expr,
        written: Sequence[ast.expr],
        lazy: bool = False,
        scope: Iterable[str] = (),
        role: str = "",
    ) -> ast.expr:
        site = Site(len(self.sites), node, list(parts), template, lazy, tuple(scope), role)
        self.sites.append(site)
        self.numbers[id(node)] = site.number
        given = [ast.Lambda(_no_arguments(), part) if lazy else part for part in written]
        given.extend(ast.Name(name, ast.Load()) for name in site.scope)
        return ast.Call(ast.Name(f"_n{site.number}", ast.Load()), given, [])

    def _block(self, statements: Sequence[ast.stmt], known: list[str], local: set[str]) -> list[ast.stmt]:
        found: list[ast.stmt] = []
        for statement in statements:
            copied = copy.copy(statement)
            if isinstance(copied, ast.Assign):
                copied.value = self._expression(copied.value, known, local)
                known += [name for name in _stored(copied.targets) if name not in known]
            elif isinstance(copied, ast.Return) and copied.value is not None:
                copied.value = self._expression(copied.value, known, local, "return")
            elif isinstance(copied, ast.Expr):
                copied.value = self._expression(copied.value, known, local)
            elif isinstance(copied, ast.For):
                copied.iter = self._expression(copied.iter, known, local)
                inside = known + [name for name in _stored([copied.target]) if name not in known]
                copied.body = self._block(copied.body, inside, local)
            elif isinstance(copied, ast.While):
                test = self._expression(copied.test, known, local)
                found.append(_ending(test, self._block(copied.body, list(known), local)))
                continue
            elif isinstance(copied, ast.If):
                copied.test = self._expression(copied.test, known, local)
                copied.body = self._block(copied.body, list(known), local)
                copied.orelse = self._block(copied.orelse, list(known), local)
            elif isinstance(copied, ast.With):
                copied.body = self._block(copied.body, known, local)
            elif not isinstance(copied, (ast.Return, ast.Pass, ast.Continue, ast.Break)):
                raise Uneditable(f"a statement of the kind {type(copied).__name__} is not understood")
            found.append(copied)
        return found

    def _expression(self, node: ast.expr, known: Sequence[str], local: set[str], role: str = "") -> ast.expr:
        if isinstance(node, ast.Constant):
            if isinstance(node.value, str) or node.value is None or node.value is Ellipsis:
                return node
            return self._site(node, [], node, [], scope=known, role=role)
        if isinstance(node, ast.Name):
            if node.id not in local or node.id not in known:
                return node
            others = [name for name in known if name != node.id]
            return self._site(node, [node], ast.Name("_0", ast.Load()), [node], scope=others, role=role)
        if isinstance(node, OPENED):
            return self._comprehension(node, known, local)
        if isinstance(node, ast.Attribute) and _global(node, local):
            return node
        if isinstance(node, (ast.Lambda, ast.JoinedStr, ast.Dict)):
            return node
        opened, template = _opened(node, local)
        lazy = isinstance(node, (ast.IfExp, ast.BoolOp))
        if lazy:
            template = _Called().visit(template)
        written = [self._expression(part, known, local) for part in opened]
        return self._site(node, opened, template, written, lazy, role=role)

    def _comprehension(
        self, node: ast.ListComp | ast.GeneratorExp | ast.SetComp, known: Sequence[str], local: set[str]
    ) -> ast.expr:
        made, known = copy.copy(node), list(known)
        made.generators = []
        for each in node.generators:
            source = self._expression(each.iter, known, local)
            known += [name for name in _stored([each.target]) if name not in known]
            conditions = [self._expression(test, known, local) for test in each.ifs]
            made.generators.append(ast.comprehension(each.target, source, conditions, each.is_async))
        made.elt = self._expression(node.elt, known, local)
        return made

    def holds_numbers(self, name: str) -> bool:
        """Whether a variable was a number wherever it was read."""
        return self.holds(name, {"int", "float"})

    def holds(self, name: str, kinds: set[str]) -> bool:
        """Whether a variable was one of these kinds wherever it was read."""
        read = [site for site in self.sites if isinstance(site.node, ast.Name) and site.node.id == name]
        return any(site.kinds for site in read) and all(site.kinds <= kinds for site in read)

    def is_number(self, node: ast.expr) -> bool:
        """Whether the value of a part was a number wherever the function was watched."""
        number = self.numbers.get(id(node))
        return (
            number is not None
            and bool(self.sites[number].kinds)
            and self.sites[number].kinds <= {"int", "float"}
        )

    def uses_of(self, name: str) -> list[int]:
        """The sites that are an argument, which nothing is stored in; none where it is."""
        if name in self.stored:
            return []
        own = self.sites[len(self.arguments) :]
        return [site.number for site in own if isinstance(site.node, ast.Name) and site.node.id == name]

    def made_of(self, name: str) -> list[str]:
        """The arguments from which a variable comes, by way of any others, in their order."""
        sources: dict[str, set[str]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Assign):
                targets, source = _stored(node.targets), node.value
            elif isinstance(node, (ast.For, ast.comprehension)):
                targets, source = _stored([node.target]), node.iter
            else:
                continue
            read = {each.id for each in ast.walk(source) if isinstance(each, ast.Name)}
            for target in targets:
                sources.setdefault(target, set()).update(read)
        found, waiting = {name}, [name]
        while waiting:
            new = sources.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return [each for each in self.arguments if each in found]

    # ------------------------------------------------------------------------------------------------ run

    def alternative(self, edit: Edit) -> Callable[..., Any]:
        """The small function of an edit, compiled when it is first tried, with those that are tried next."""
        if edit not in self.alternatives:
            new = self.edits[self.edits.index(edit) :][:TOGETHER] if edit in self.edits else [edit]
            keys = {each: self._key(each) for each in new}
            # Of one key one is compiled, whatever formula it is of: most edits are written alike in many places.
            unknown = {key: each for each, key in keys.items() if key not in _COMPILED}
            if unknown:
                made = [self._function(self.sites[each.site], each.instead) for each in unknown.values()]
                self._execute([ast.Assign([ast.Name("_made", ast.Store())], ast.List(made, ast.Load()))])
                for key, function in zip(unknown, self.space["_made"], strict=True):
                    _COMPILED[key] = function.__code__
            self.alternatives.update(
                {each: FunctionType(_COMPILED[key], self.space) for each, key in keys.items()}
            )
            while len(_COMPILED) > COMPILED_KEPT:
                _COMPILED.pop(next(iter(_COMPILED)))
        return self.alternatives[edit]

    def _key(self, edit: Edit) -> Compiled:
        """All on which the small function of an edit depends."""
        site = self.sites[edit.site]
        return dumped(edit.instead), len(site.parts), site.scope, self.loops

    def with_edits(self, edits: Sequence[Edit]) -> Callable[..., Any]:
        """The function that has them. Only one such function can run at a time."""
        if not edits:
            return self.plain
        changes = [(f"_n{edit.site}", self.alternative(edit)) for edit in edits]
        before = [(name, self.space[name]) for name, _ in changes]
        space, run = self.space, self.run

        def edited(*args: Any, **kwargs: Any) -> Any:
            space.update(changes)
            try:
                return run(*args, **kwargs)
            finally:
                space.update(before)

        return edited

    def watch(self, calls: Iterable[tuple[Sequence[Any], Mapping[str, Any]]]) -> None:
        """Runs the function as it is, and notes of which kind the value of each site is."""
        run_all = self.run
        plain = {f"_n{site.number}": self.space[f"_n{site.number}"] for site in self.sites}

        def noted(site: Site) -> Callable[..., Any]:
            function = plain[f"_n{site.number}"]

            def run(*given: Any) -> Any:
                value = function(*given)
                site.kinds.add(kind_of(value))
                return value

            return run

        self.space.update({f"_n{site.number}": noted(site) for site in self.sites})
        try:
            for args, kwargs in calls:
                run_all(*args, **kwargs)
        finally:
            self.space.update(plain)

    # ------------------------------------------------------------------------------------------------ shown

    def text_of(self, node: ast.expr, edits: Mapping[int, Edit] | None = None) -> str:
        return ast.unparse(ast.fix_missing_locations(self._shown(node, edits or {})))

    def lines(self, edits: Sequence[Edit] = ()) -> list[str]:
        """The statements of the function, one a line, with the edits made."""
        chosen = {edit.site: edit for edit in edits}
        found = []
        for site in self.sites[: len(self.arguments)]:
            name = self.arguments[site.number]
            if site.number in chosen and name in self.stored:
                found.append(f"{name} = {self.text_of(site.node, chosen)}")
            elif site.number in chosen and name not in self.read:  # no line of the formula would show it
                found.append(self.text_of(site.node, chosen))
        shown = [self._shown(statement, chosen) for statement in self.tree.body]
        return found + [line for statement in shown for line in _lines(statement)]

    def _shown(self, node: ast.AST, edits: Mapping[int, Edit]) -> Any:
        shown = _Shown(self, edits).visit(node)
        arguments = {
            self.arguments[number]: _Filled([ast.Name(self.arguments[number], ast.Load())]).visit(
                cloned(edit.instead)
            )
            for number, edit in edits.items()
            if number < len(self.arguments) and self.arguments[number] in self.read
        }
        shown = Substituted(arguments).visit(cloned(shown)) if arguments else shown
        return _Filtered().visit(shown) if edits else shown

    @property
    def header(self) -> str:
        return f"{self.tree.name}({ast.unparse(_bare(self.tree.args))})"

    def words_of(self, edit: Edit) -> str:
        """What the edit is, in words."""
        site = self.sites[edit.site]
        parts = site.parts
        new = ast.unparse(ast.fix_missing_locations(_Filled(parts).visit(cloned(edit.instead))))
        return edit.words.format(*map(ast.unparse, parts), whole=ast.unparse(site.node), new=new)


class _Shown(ast.NodeTransformer):
    """A part of the source with edits made."""

    def __init__(self, formula: Formula, edits: Mapping[int, Edit]) -> None:
        self.formula, self.edits = formula, edits

    def visit(self, node: ast.AST) -> Any:
        number = self.formula.numbers.get(id(node))
        if number is not None and number in self.edits:
            site = self.formula.sites[number]
            single = isinstance(site.node, ast.Name)  # its own part
            parts = [part if single else self.visit(part) for part in site.parts]
            return _Filled(parts).visit(cloned(self.edits[number].instead))
        made = copy.copy(node)
        for name, value in ast.iter_fields(node):
            if isinstance(value, list):
                setattr(made, name, [self.visit(v) if isinstance(v, ast.AST) else v for v in value])
            elif isinstance(value, ast.AST):
                setattr(made, name, self.visit(value))
        return made


class _Filled(ast.NodeTransformer):
    """An edit with its placeholders filled in."""

    def __init__(self, parts: Sequence[ast.expr]) -> None:
        self.parts = parts

    def visit_Call(self, node: ast.Call) -> ast.expr:
        if isinstance(node.func, ast.Name) and node.func.id[1:].isdigit() and node.func.id[0] == "_":
            return cloned(self.parts[int(node.func.id[1:])])  # it may stand there twice
        self.generic_visit(node)
        return node

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id.startswith("_a_") or node.id.startswith("_s_"):
            return ast.Name(node.id[3:], ast.Load())
        if node.id[0] == "_" and node.id[1:].isdigit():
            return cloned(self.parts[int(node.id[1:])])
        return node


class _Filtered(ast.NodeTransformer):
    """Sums of what counts under a condition, and else as 0, as sums of what the condition lets through; of what may
    raise, what it is: the words for the edit say the rest."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.func) == "_unless_it_raises" and isinstance(node.args[0], ast.Lambda):
            return node.args[0].body
        if ast.unparse(node.func) == "sum" and len(node.args) == 1 and isinstance(node.args[0], OPENED):
            made = copy.copy(node.args[0])
            each, last = made.elt, made.generators[-1]
            if isinstance(each, ast.IfExp) and ast.unparse(each.orelse) == "0":
                only = ast.comprehension(last.target, last.iter, [*last.ifs, each.test], last.is_async)
                made.elt, made.generators = each.body, [*made.generators[:-1], only]
                return ast.Call(node.func, [made], node.keywords)
        return node


MOST_TURNS = 1000  # of a loop that goes on while a condition holds


def turns() -> Iterator[int]:
    """The turns of such a loop; an edit may make one that does not end."""
    yield from range(MOST_TURNS)
    raise OverflowError("a loop that does not end")


def _ending(test: ast.expr, body: list[ast.stmt]) -> ast.stmt:
    """`while test: body`, which ends."""
    leave = ast.If(ast.UnaryOp(ast.Not(), test), [ast.Break()], [])
    counted = ast.Call(ast.Name("_turns", ast.Load()), [], [])
    return ast.For(ast.Name("_turn", ast.Store()), counted, [leave, *body], [])


class _Bounded(ast.NodeTransformer):
    """Powers and loops that end; in a formula with a loop, where numbers may grow each turn, products as well."""

    def __init__(self, loops: bool) -> None:
        self.loops = loops

    def visit_While(self, node: ast.While) -> ast.stmt:
        self.generic_visit(node)
        return _ending(node.test, node.body)

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult) and self.loops:
            return ast.Call(ast.Name("_times", ast.Load()), [node.left, node.right], [])
        if isinstance(node.op, ast.Pow):
            return ast.Call(ast.Name("_power", ast.Load()), [node.left, node.right], [])
        return node


def power(base: Any, exponent: Any) -> Any:
    """`base ** exponent`; an edit may ask for a whole number of millions of digits."""
    if type(base) is int and type(exponent) is int and exponent > 1 and exponent * base.bit_length() > 2048:
        raise OverflowError("a number of hundreds of digits")
    return base**exponent


def times(one: Any, other: Any) -> Any:
    """`one * other`; in a loop an edit may ask for a whole number of millions of digits."""
    if type(one) is int and type(other) is int and one.bit_length() + other.bit_length() > 2048:
        raise OverflowError("a number of hundreds of digits")
    return one * other


def unless_it_raises(condition: Callable[[], Any]) -> Any:
    """Whether a condition holds; where it raises, it does not."""
    try:
        return condition()
    except Exception:
        return False


class _Called(ast.NodeTransformer):
    """Placeholders that are called."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.Call(node, [], []) if node.id[0] == "_" and node.id[1:].isdigit() else node


def _lines(statement: ast.AST) -> Iterator[str]:
    text = ast.unparse(ast.fix_missing_locations(statement))
    yield from text.splitlines()


def _bare(arguments: ast.arguments) -> ast.arguments:
    """Without types."""
    made = cloned(arguments)
    for argument in made.args:
        argument.annotation = None
    return made


def _no_arguments() -> ast.arguments:
    return ast.arguments([], [], None, [], [], None, [])


def _stored(targets: Iterable[ast.AST]) -> list[str]:
    nodes = (node for target in targets for node in ast.walk(target))
    return [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


def _global(node: ast.expr, local: set[str]) -> bool:
    """Whether it is a name of a module, or something in it: torch.nn.functional.relu."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name) and node.id not in local


def _opened(node: ast.expr, local: set[str]) -> tuple[list[ast.expr], ast.expr]:
    """The expressions that an expression is made of, and the expression with placeholders for them."""
    parts: list[ast.expr] = []

    def place(part: ast.expr) -> ast.expr:
        if isinstance(part, ast.Starred):
            return ast.Starred(place(part.value), ast.Load())
        parts.append(part)
        return ast.Name(PLACE.format(len(parts) - 1), ast.Load())

    def index(part: ast.expr) -> ast.expr:
        if isinstance(part, ast.Slice):
            edges = (part.lower, part.upper, part.step)
            lower, upper, step = (place(edge) if edge is not None else None for edge in edges)
            return ast.Slice(lower, upper, step)
        if isinstance(part, ast.Tuple):
            return ast.Tuple([index(each) for each in part.elts], ast.Load())
        if isinstance(part, ast.Constant) and (part.value is None or part.value is Ellipsis):
            return part
        return place(part)

    if isinstance(node, ast.BinOp):
        template: ast.expr = ast.BinOp(place(node.left), node.op, place(node.right))
    elif isinstance(node, ast.UnaryOp):
        template = ast.UnaryOp(node.op, place(node.operand))
    elif isinstance(node, ast.Compare):
        template = ast.Compare(place(node.left), node.ops, [place(each) for each in node.comparators])
    elif isinstance(node, ast.BoolOp):
        template = ast.BoolOp(node.op, [place(each) for each in node.values])
    elif isinstance(node, ast.IfExp):
        template = ast.IfExp(place(node.test), place(node.body), place(node.orelse))
    elif isinstance(node, ast.Attribute):
        template = ast.Attribute(place(node.value), node.attr, ast.Load())
    elif isinstance(node, ast.Subscript):
        template = ast.Subscript(place(node.value), index(node.slice), ast.Load())
    elif isinstance(node, (ast.Tuple, ast.List)):
        template = type(node)([place(each) for each in node.elts], ast.Load())
    elif isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute) and not _global(called, local):
            called = ast.Attribute(place(called.value), called.attr, ast.Load())
        elif not _global(called, local):
            called = place(called)
        arguments = [place(each) for each in node.args]
        named = [ast.keyword(each.arg, place(each.value)) for each in node.keywords]
        template = ast.Call(called, arguments, named)
    else:
        raise Uneditable(f"an expression of the kind {type(node).__name__} is not understood")
    return parts, template


# --------------------------------------------------------------------------------------------------- read


@lru_cache(maxsize=512)
def formula_of(function: Callable[..., Any]) -> Formula | None:
    """The function as a formula; None where it cannot be one."""
    try:
        tree, names = read(function)
        return Formula(tree, names)
    except (Uneditable, OSError, TypeError, SyntaxError):
        return None


def formula_from(
    tree: ast.FunctionDef, names: Mapping[str, Any], weight: float, words: str
) -> Formula | None:
    try:
        return Formula(tree, names, weight, words)
    except (Uneditable, TypeError, SyntaxError, ValueError):
        return None


def read(
    function: Callable[..., Any], within: tuple[Callable[..., Any], ...] = ()
) -> tuple[ast.FunctionDef, Names]:
    """The source of a function, simplified, and the names that it uses. `within`: the functions that call it."""
    if not isinstance(function, FunctionType):
        raise Uneditable("it is no function of Python's")
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(tree, ast.FunctionDef):
        raise Uneditable("it is no function with a name")
    variables = inspect.getclosurevars(function)
    names = {**function.__globals__, **variables.nonlocals}
    tree.decorator_list, tree.returns = [], None
    tree.body = [
        _Plain(names, (*within, function)).visit(each) for each in tree.body if not _is_docstring(each)
    ]
    return ast.fix_missing_locations(tree), names


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


class _Plain(ast.NodeTransformer):
    """`x += e` as `x = x + e`; calls of our own functions of one line as that line."""

    def __init__(self, names: Mapping[str, Any], within: tuple[Callable[..., Any], ...]) -> None:
        self.names, self.within = names, within

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        if not isinstance(node.target, ast.Name):
            raise Uneditable("only variables can be changed")
        before = ast.Name(node.target.id, ast.Load())
        return self.visit(ast.Assign([node.target], ast.BinOp(before, node.op, node.value)))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        if node.value is None:
            raise Uneditable("a variable without a value")
        return self.visit(ast.Assign([node.target], node.value))

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if not isinstance(node.func, ast.Name):
            return node
        called = self.names.get(node.func.id)
        if not isinstance(called, FunctionType) or not called.__module__.startswith("casestudies"):
            return node
        if called in self.within:  # it calls itself, as often as its arguments say
            return node
        tree, names = read(called, self.within)
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Return) or tree.body[0].value is None:
            return node
        free = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} - {a.arg for a in tree.args.args}
        if any(name in names and self.names.get(name) is not names[name] for name in free):
            return node
        bound = inspect.signature(called).bind(*node.args, **{k.arg or "": k.value for k in node.keywords})
        if len(bound.arguments) != len(tree.args.args):
            return node  # a default is used
        return Substituted(bound.arguments).visit(cloned(tree.body[0].value))


class Substituted(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self.values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return cloned(self.values[node.id]) if node.id in self.values else node


__all__ = [
    "Edit",
    "Formula",
    "Site",
    "Substituted",
    "Uneditable",
    "formula_from",
    "formula_of",
    "kind_of",
    "read",
]
