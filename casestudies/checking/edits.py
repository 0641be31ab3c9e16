"""Edits: what a student may have written in place of an expression of the reference, each with the words for it.

Weights say how far an edit is from the formula: of two that give the same values the lighter one is told.
"""

from __future__ import annotations

import ast
import copy
import io
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement, permutations
from typing import TypeGuard

from casestudies.checking.formulas import (
    COMPILED_KEPT,
    Edit,
    Formula,
    Site,
    Substituted,
    cloned,
    dumped,
    formula_from,
)

NUMBERS = {"int", "float"}
FEW = 3  # arguments, any two of which may make a term
OPERATORS = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Pow: "**", ast.MatMult: "@",
    ast.Mod: "%",
}  # fmt: skip
# What is written in place of an operation of two numbers; {0} and {1} are what it is made of.
INSTEAD_OF = {
    ast.Add: ("{0} - {1}", "{0} * {1}", "{1} - {0}"),
    ast.Sub: ("{0} + {1}", "{1} - {0}", "{0} * {1}", "-{1}"),
    ast.Mult: ("{0} + {1}", "{0} // {1}", "{0} / {1}", "{0} ** {1}", "{0} - {1}", "{1} // {0}", "{1} / {0}"),
    ast.Div: ("{0} // {1}", "{0} * {1}", "{1} / {0}", "{0} - {1}", "{0} + {1}", "round({0} / {1})"),
    ast.FloorDiv: (
        "{0} / {1}", "math.ceil({0} / {1})", "round({0} / {1})", "int({0} / {1} + 0.5)", "{0} * {1}", "{1} // {0}",
        "{0} - {1}", "{0} % {1}", "({0} + 1) // {1}", "({0} - 1) // {1}", "max({0} // {1}, 1)",
    ),
    ast.Pow: (
        "{0} * {1}", "{1} ** {0}", "{0} + {1}", "{0} ** ({1} + 1)", "{0} / {1}", "math.exp({0} * {1})",
        "1 + {1} * ({0} - 1)", "{0} ** -{1}", "{0} ^ {1}", "math.exp({1} * math.log10({0}))",
        "math.exp({1} * math.log2({0}))", "10 ** ({1} * math.log({0}))", "2 ** ({1} * math.log({0}))",
    ),
    ast.Mod: ("{0} // {1}",),
}  # fmt: skip
XOR = "`^` in place of `**`: in Python `^` is no power; it compares the bits of two numbers"
OPERATOR_OF = {ast.Eq: "==", ast.NotEq: "!="}
SHAPES = ("*.numel()", "len(*)", "*[0]", "*[1]", "*[1:]", "*[2:]", "*[:2]", "*[-1]")  # what is compared of *
COMPARISONS = {
    ast.Lt: ("<=", ">", ">=", "=="), ast.LtE: ("<", ">=", ">", "=="), ast.Gt: (">=", "<", "<=", "!="),
    ast.GtE: (">", "<=", "<", "=="), ast.Eq: ("!=", "<=", ">="), ast.NotEq: ("==", ">", "<"),
}  # fmt: skip
# What one function is mistaken for; {0} is its first argument.
FUNCTIONS = {
    "max": ("min({all})",),
    "min": ("max({all})",),
    "int": ("round({0})", "math.ceil({0})"),
    "float": (),
    "bool": ("1 - bool({0})",),
    "round": ("math.floor({0})", "math.ceil({0})", "int({0} + 0.5)"),
    "math.ceil": (
        "math.floor({0})", "round({0})", "int({0} + 0.5)", "int({0}) + 1", "math.ceil({0} - 0.1)",
        "math.ceil({0} - 0.5)",
    ),
    "math.floor": ("math.ceil({0})", "round({0})"),
    "sum": ("max({0})", "len(list({0}))", "list({0})[0]", "list({0})[-1]"),
    "F.relu": (
        "torch.tanh({0})", "torch.sigmoid({0})", "F.leaky_relu({0})", "F.gelu({0})", "F.elu({0})", "F.silu({0})",
        "F.relu6({0})", "{0}.abs()", "F.softplus({0})", "F.relu(-{0})",
    ),
    "F.pad": ("F.pad({all}, value=1.0)",),
    "F.conv2d": ("{whole} / {1}[0].numel()",),
    "isinstance": (
        "isinstance({0}, {1}) or (isinstance({0}, nn.Conv2d) and {0}.kernel_size == (1, 1))",
        "hasattr({0}, 'in_features')", "type({0}) is {1}", "True", "isinstance({0}, ({1}, nn.BatchNorm2d))",
        "isinstance({0}, ({1}, nn.Conv2d))", "isinstance({0}, ({1}, nn.Sequential))",
    ),
    "torch.rand": ("torch.randn({all})",),
}  # fmt: skip
METHODS = {
    "sum": ("mean", "amax", "amin", "prod"),
    "mean": ("sum", "amax"),
    "max": ("min", "mean", "sum", "norm"),
    "min": ("max",),
    "abs": ("square",),
    "modules": ("children",),
    "children": ("modules",),
    "parameters": ("buffers",),
    "numel": ("dim", "nelement"),
    "permute": (),
    "zero_": ("detach",),
    "append": (),
}
# What is counted of all: conditions on one of them, by the method that counts it; {0} is one of them.
COUNTED = {
    "numel": (
        "{0}.dim() > 1", "{0}.dim() == 1", "{0}.dim() == 2", "{0}.dim() >= 4", "{0}.dim() != 1", "{0}.requires_grad",
    ),
}  # fmt: skip
IN_PLACE = {ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_"}
BORDERS = {
    "reflect": "mirrored pixels",
    "replicate": "repeated pixels",
    "circular": "pixels from the opposite side (circular)",
}
# Numbers that come to another place than is asked for, by the function; {0}, {1}: its arguments, each with the words.
ELSEWHERE = {
    "F.pad": (
        "torch.zeros_like({whole}).index_copy("
        "1, torch.arange({0}.shape[1]) * ({whole}.shape[1] // {0}.shape[1]), {0})",
        "the old channels stand between the zeros, not before them: `{new}`",
    ),
    "F.conv2d": (
        "torch.einsum('bkcp,ck->bcp', F.unfold({0}, {1}.shape[-1], padding={1}.shape[-1] // 2)"
        ".unflatten(1, (-1, {0}.shape[1])), {1}.flatten(1)).view_as({whole})",
        "what F.unfold gives is split into places and channels, where it is channels and places: `{new}`",
    ),
}
ATTRIBUTES = {
    "weight": ("bias",), "bias": ("weight",), "bn2": ("bn1", "conv2", "conv1"), "bn1": ("bn2", "conv1"),
    "conv1": ("conv2", "bn1"), "conv2": ("conv1", "bn2"),
}  # fmt: skip


def edits_of(formula: Formula) -> list[Edit]:
    """All edits of one place, the lightest first. The formula has been watched: the kinds of its values are known."""
    found: list[Edit] = []
    for site in formula.sites:
        found.extend(_unique(site, _Edits(formula, site).all()))
    return sorted(found, key=lambda edit: edit.weight)


@lru_cache(maxsize=COMPILED_KEPT)
def _parsed(written: str) -> ast.expr:
    """An expression, which nobody changes: the same is written in many places."""
    return ast.parse(written, mode="eval").body


def _unique(site: Site, edits: Iterable[Edit]) -> Iterator[Edit]:
    seen = {ast.dump(site.template)}
    for edit in edits:
        written = dumped(edit.instead)
        if written not in seen:
            seen.add(written)
            yield edit


def edit_at(formula: Formula, site: Site, weight: float, text: str, words: str) -> Edit:
    """An edit that only a student's numbers suggest; {whole} is what stands at the site."""
    return _Edits(formula, site).edit(weight, text, words)


class _Edits:
    def __init__(self, formula: Formula, site: Site) -> None:
        self.formula, self.site = formula, site
        self.whole = ast.unparse(site.template)
        kinds = site.kinds
        self.number = bool(kinds) and kinds <= NUMBERS
        self.counted = kinds == {"int"}
        self.tensor = "tensor" in kinds and kinds <= {"tensor"}

    def edit(self, weight: float, text: str, words: str = "") -> Edit:
        """`text` is the new expression; {0} and {1} are the parts, {whole} what stands there."""
        names = [f"_{k}()" if self.site.lazy else f"_{k}" for k in range(len(self.site.parts))]
        written = text.format(*names, whole=f"({self.whole})", all=", ".join(names))
        return Edit(self.site.number, weight, _parsed(written), words or "`{new}` in place of `{whole}`")

    def all(self) -> Iterator[Edit]:
        site, node = self.site, self.site.node
        if site.role == "argument":
            yield from self.arguments()
            return
        if isinstance(node, ast.Constant):
            yield from self.constants(node.value)
        elif isinstance(node, ast.Name):
            yield from self.names()
        elif isinstance(node, ast.BinOp):
            yield from self.operations(node)
        elif isinstance(node, ast.UnaryOp):
            yield self.edit(
                1.0, "{0}", "the `" + ("not" if isinstance(node.op, ast.Not) else "-") + "` is missing"
            )
        elif isinstance(node, ast.Compare) and len(node.ops) == 1:
            yield from self.comparisons(node)
        elif isinstance(node, ast.IfExp):
            yield from self.choices()
        elif isinstance(node, ast.BoolOp):
            yield from self.conditions(node)
        elif isinstance(node, ast.Call):
            yield from self.calls(node)
        elif isinstance(node, ast.Subscript):
            yield from self.subscripts(node)
        elif isinstance(node, ast.Attribute):
            for other in ATTRIBUTES.get(node.attr, ()):
                yield self.edit(1.1, "{0}." + other)
            if node.attr == "T":
                yield self.edit(1.0, "{0}", "the transpose is missing: `{0}` in place of `{whole}`")
                yield self.edit(
                    1.2, "{0}.reshape({0}.shape[1], {0}.shape[0])", "it is reshaped, not transposed: `{new}`"
                )
        elif isinstance(node, (ast.Tuple, ast.List)):
            yield from self.sequences(node)
        if isinstance(node, (ast.Compare, ast.BoolOp)) or site.kinds == {"bool"}:
            yield self.edit(1.1, "not {whole}", "the condition is the wrong way round: `{new}`")
            yield self.edit(1.3, "True", "`{whole}` is taken to hold always")
            yield self.edit(1.3, "False", "`{whole}` is taken to hold never")
        if self.number and not isinstance(node, ast.Constant):
            yield from self.numbers()
        if site.role == "return":
            yield from self.special_cases()
        if self.tensor:
            yield from self.tensors()
        if site.kinds == {"sequence"} and not isinstance(node, (ast.Tuple, ast.List)):
            yield self.edit(1.2, "{whole}[::-1]", "`{whole}` is gone through from the end")
            yield self.edit(1.3, "{whole}[:-1]", "the last of `{whole}` is left out")
            yield self.edit(1.3, "{whole}[1:]", "the first of `{whole}` is left out")
            yield self.edit(1.5, "{whole}[:1]", "only the first of `{whole}` is taken")

    # ---------------------------------------------------------------------------------------------- by kind

    def arguments(self) -> Iterator[Edit]:
        name = self.formula.arguments[self.site.number]
        ignored = f"`{name}` is ignored: it counts as {{new}}, whatever is given"
        if self.number:
            for value in ("1", "0", "2", "3"):
                yield self.edit(1.2, value, ignored)
            for value in dict.fromkeys(["1", repr(self.formula.defaults.get(name, 1))]):
                if value not in ("0", "0.0", "None"):
                    yield self.edit(
                        1.3, f"{{0}} or {value}", f"`{name}` counts as {value} where it is 0: `{{new}}`"
                    )
            if name in self.formula.defaults:
                yield self.edit(1.15, repr(self.formula.defaults[name]), ignored)
            for other in self.others():
                yield self.edit(1.25, f"_a_{other}", f"`{other}` is used wherever `{name}` belongs")
            used = f"`{{new}}` is used wherever `{name}` belongs"
            for text in ("{0} + 1", "{0} - 1", "2 * {0}", "{0} // 2", "{0} ** 2"):
                yield self.edit(1.35, text, used)
            for least in (1, 2, 3):
                yield self.edit(
                    1.4, f"max({{0}}, {least})", f"`{name}` counts as {least} where it is less: `{{new}}`"
                )
                yield self.edit(
                    1.4, f"min({{0}}, {least})", f"`{name}` counts as {least} where it is more: `{{new}}`"
                )
            if not self.counted:
                for text in ("int({0})", "round({0})", "math.ceil({0})"):
                    yield self.edit(1.3, text, used)
        elif self.site.kinds == {"bool"}:
            for value in ("True", "False"):
                yield self.edit(1.2, value, ignored)
            yield self.edit(1.2, "not {0}", f"`{name}` is taken the wrong way round")
        elif self.tensor:
            yield self.edit(1.1, "{0}.detach()", f"`{name}` is detached: no gradient flows back through it")
            for other in self.others():
                yield self.edit(1.3, f"_a_{other}", f"`{other}` is used wherever `{name}` belongs")
            used = f"`{{new}}` is used wherever `{name}` belongs"
            for text, weight in (
                ("F.relu({0})", 1.4), ("-{0}", 1.4), ("{0}.abs()", 1.4), ("{0} ** 2", 1.5), ("{0} * 2", 1.5),
                ("{0}.flip(0)", 1.5), ("{0}.flip(-1)", 1.5), ("{0}.flip(-1, -2)", 1.45), ("{0}.flip(1)", 1.5),
                ("{0}.transpose(-1, -2)", 1.4), ("{0}.transpose(0, 1)", 1.45), ("{0}[:1].expand_as({0})", 1.5),
                ("{0}[-1:].expand_as({0})", 1.55), ("{0}.mean(0, keepdim=True).expand_as({0})", 1.5),
                ("{0}.sum(0, keepdim=True).expand_as({0})", 1.55), ("{0}.mean(1, keepdim=True).expand_as({0})", 1.5),
                ("{0}.sum(1, keepdim=True).expand_as({0})", 1.55), ("{0}.roll(1, 0)", 1.6), ("{0}.roll(1, 1)", 1.6),
                ("{0}.float()", 1.6), ("{0}.sigmoid()", 1.6), ("{0}.tanh()", 1.6), ("{0}.softmax(1)", 1.6),
                ("F.normalize({0}, dim=1)", 1.6), ("{0}.transpose(1, 2)", 1.6), ("{0}.transpose(1, -1)", 1.6),
            ):  # fmt: skip
                yield self.edit(weight, text, used)
            # Two slips at one place, which no pair of edits is: one of them moves numbers, the other takes some.
            for taken in (
                "{0}[:1].expand_as({0})", "{0}[-1:].expand_as({0})", "{0}.mean(0, keepdim=True).expand_as({0})",
                "{0}.sum(0, keepdim=True).expand_as({0})", "(-{0})", "{0}.abs()", "{0}.detach()",
            ):  # fmt: skip
                for moved in (".flip(-1, -2)", ".transpose(-1, -2)", ".flip(-1)", ".flip(-2)"):
                    yield self.edit(2.9, f"{taken}{moved}", used)
            yield from self.left_out(name)
            for text, left_out in (
                ("F.pad({0}[..., 1:, :], (0, 0, 1, 0))", f"the first row of `{name}` is left out: `{{new}}`"),
                ("F.pad({0}[..., :-1, :], (0, 0, 0, 1))", f"the last row of `{name}` is left out: `{{new}}`"),
                ("F.pad({0}[..., 1:], (1, 0))", f"the first column of `{name}` is left out: `{{new}}`"),
                ("F.pad({0}[..., :-1], (0, 1))", f"the last column of `{name}` is left out: `{{new}}`"),
            ):
                yield self.edit(1.35, text, left_out)
            changed = f"`{name}` is changed in place, which belongs to the caller: `{{new}}`"
            for text in (
                "F.relu_({0})",
                "{0}.mul_({0})",
                "{0}.mul_(2)",
                "{0}.zero_()",
                "{0}.neg_()",
                "{0}.abs_()",
            ):
                yield self.edit(1.4, text, changed)

    def left_out(self, name: str) -> Iterator[Edit]:
        """A part of a tensor that counts as 0: always, or where there is another."""
        for axis, kept, sides, words in (
            (1, "{0}[:, :-1]", "(0, 0, 0, 0, 0, 1)", f"the last channel of `{name}` counts as 0: `{{new}}`"),
            (1, "{0}[:, 1:]", "(0, 0, 0, 0, 1, 0)", f"the first channel of `{name}` counts as 0: `{{new}}`"),
            (
                -1,
                "{0}[..., :-1, :-1]",
                "(0, 1, 0, 1)",
                f"the last row and column of `{name}` count as 0: `{{new}}`",
            ),
            (
                -1,
                "{0}[..., 1:, 1:]",
                "(1, 0, 1, 0)",
                f"the first row and column of `{name}` count as 0: `{{new}}`",
            ),
        ):
            made = f"F.pad({kept}, {sides})"
            yield self.edit(1.35, made, words)
            yield self.edit(1.4, f"{made} if {{0}}.shape[{axis}] > 1 else {{0}}", words)

    def others(self) -> list[str]:
        """The other arguments of the same kind."""
        kinds = self.site.kinds
        sites = self.formula.sites[: len(self.formula.arguments)]
        same = [s for s in sites if s.number != self.site.number and s.kinds and _alike(s.kinds, kinds)]
        return [self.formula.arguments[s.number] for s in same]

    def constants(self, value: object) -> Iterator[Edit]:
        words = "`{new}` in place of `{whole}`"
        if isinstance(value, bool):
            yield self.edit(1.0, repr(not value), words)
            return
        if not isinstance(value, (int, float)):
            return
        if isinstance(value, int):
            for new in (
                value + 1,
                value - 1,
                value + 2,
                value - 2,
                2 * value,
                value * value,
                value // 2,
                4 * value,
            ):
                yield self.edit(
                    1.0 if abs(new - value) == 1 else 1.1, f"({new})" if new < 0 else repr(new), words
                )
            for new in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, -1, 16, 27, 32, 64):
                yield self.edit(1.2 + abs(new) / 100, f"({new})" if new < 0 else repr(new), words)
            yield self.edit(1.2, "0.5", words)
            yield self.edit(1.4, repr(float(value)), "`{new}`, a float, in place of `{whole}`")
        else:
            for real in (
                1 - value,
                value + 0.05,
                value - 0.05,
                value * 10,
                value / 10,
                value * 5,
                value / 5,
                2 * value,
            ):
                yield self.edit(1.1, repr(round(real, 9)), words)
            for real in (0.0, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.99, 1.0, 2.0, 1e-3, 1e-5, 1e-6):
                yield self.edit(1.15, repr(real), words)
        for name in self.site.scope:
            yield self.edit(1.3, f"_s_{name}", words)

    def names(self) -> Iterator[Edit]:
        words = "`{new}` in place of `{whole}`"
        if "sequence" in self.site.kinds:  # a loop that appends to what it goes through would not end
            return
        for name in self.site.scope:
            yield self.edit(1.1, f"_s_{name}", words)
        if self.number:
            default = self.formula.defaults.get(ast.unparse(self.site.node), 1)
            for value in (
                "1",
                "2",
                "3",
                "0",
                "9",
                "8",
                repr(default if type(default) in (int, float) else 1),
            ):
                yield self.edit(1.3, value, words)
            for name in self.site.scope if self.site.kinds == {"float"} else ():
                if self.formula.holds(name, {"tensor"}):
                    for size in ("abs().max()", "abs().mean()", "norm()"):
                        yield self.edit(1.35, f"{{whole}} * _s_{name}.{size}", "it is relative: `{new}`")
            name = ast.unparse(self.site.node)
            if name in self.formula.stored:  # an item that is unpacked, say: arguments are bounded as a whole
                for least in (1, 2, 3):
                    words = f"`{name}` counts as {least} where it is less: `{{new}}`"
                    yield self.edit(1.4, f"max({{whole}}, {least})", words)
                    words = f"`{name}` counts as {least} where it is more: `{{new}}`"
                    yield self.edit(1.4, f"min({{whole}}, {least})", words)

    def operations(self, node: ast.BinOp) -> Iterator[Edit]:
        kind = type(node.op)
        sign = OPERATORS.get(kind, "")
        plus, times = kind in (ast.Add, ast.Sub), kind in (ast.Mult, ast.Div, ast.FloorDiv)
        what = (
            "the term"
            if plus
            else "the factor"
            if kind is ast.Mult
            else "the exponent"
            if kind is ast.Pow
            else ""
        )
        for kept, gone in (("{0}", "{1}"), ("{1}", "{0}")):
            if what == "the exponent" and kept == "{0}":
                words = f"the exponent `{gone}` is missing: `{kept}` counts once"
            elif what and what != "the exponent":
                words = f"{what} `{gone}` is missing"
            elif times and kept == "{0}":
                words = f"the division by `{gone}` is missing"
            else:
                words = "there is only `{new}` in place of `{whole}`"
            yield self.edit(0.95 if kept == "{0}" or what else 1.2, kept, words)
        if self.number:
            for text in INSTEAD_OF.get(kind, ()):
                words = self.operation_words(kind, text)
                plain = text in (
                    "{0} / {1}",
                    "{0} // {1}",
                    "{0} * {1}",
                    "{0} + {1}",
                    "{0} - {1}",
                )
                # Where all quotients are broken, to round up is to be off by one, and no call tells which it was.
                rounds = text.startswith(("math.ceil(", "round(", "int("))
                weight = 1.25 if kind is ast.FloorDiv and rounds else 1.0 if plain else 1.15
                yield self.edit(weight, text, words)
        elif self.tensor and sign:
            for other in ("+", "-", "*", "/", "@"):
                if other != sign:
                    yield self.edit(1.1, f"{{0}} {other} {{1}}", f"`{other}` in place of `{sign}`: `{{new}}`")
            yield self.edit(1.1, f"{{1}} {sign} {{0}}", "it is the wrong way round: `{new}`")
            if kind in IN_PLACE and not isinstance(node.left, ast.Constant):
                words = "`{0}` is changed in place, and overwritten with the result: `{new}`"
                yield self.edit(1.3, f"{{0}}.{IN_PLACE[kind]}({{1}})", words)
            yield self.edit(1.3, f"{{0}} {sign} {{1}} {sign} {{1}}", "`{1}` is used twice")
            if kind is ast.Pow:
                for text in ("{0} ** -{1}", "{0}.abs()", "{0}.abs() ** {1}", "{0} * {1}", "{0} ** (1 / {1})"):
                    yield self.edit(1.2, text)
        if kind in (ast.Add, ast.Sub, ast.Mult) and isinstance(node.left, ast.BinOp) and self.number:
            pass

    def operation_words(self, kind: type, text: str) -> str:
        if kind is ast.FloorDiv:
            special = {
                "{0} / {1}": "it is not rounded down: `/` in place of `//` gives a float",
                "math.ceil({0} / {1})": "it is rounded up (ceil), where `//` rounds down (floor)",
                "round({0} / {1})": "it is rounded to the nearest, where `//` rounds down (floor)",
                "int({0} / {1} + 0.5)": "it is rounded to the nearest, where `//` rounds down (floor)",
            }
            if text in special:
                return special[text]
        if kind is ast.Div and text == "{0} // {1}":
            return "it is a whole division: `//` in place of `/`"
        if text == "{0} ^ {1}":
            return XOR
        if text == "{0} + {1}":
            return "`{0}` and `{1}` are added: a sum, `{new}`, in place of `{whole}`"
        if text == "{0} * {1}":
            return "`{0}` and `{1}` are multiplied: a product, `{new}`, in place of `{whole}`"
        return "`{new}` in place of `{whole}`"

    def comparisons(self, node: ast.Compare) -> Iterator[Edit]:
        for sign in COMPARISONS.get(type(node.ops[0]), ()):
            yield self.edit(1.0, f"{{0}} {sign} {{1}}", "the condition is `{new}`, not `{whole}`")
        for part in (node.left, *node.comparators) if self.site.kinds == {"bool"} else ():
            if not isinstance(part, ast.Constant) and self.formula.is_number(part):
                words = f"the condition holds only where `{ast.unparse(part)}` is above 0: `{{new}}`"
                yield self.edit(1.25, f"{{{self.site.parts.index(part)}}} > 0 and {{whole}}", words)
        sides = (node.left, *node.comparators)
        if all(isinstance(each, ast.Attribute) and each.attr == "shape" for each in sides):
            sign = OPERATOR_OF[type(node.ops[0])] if type(node.ops[0]) in OPERATOR_OF else "=="
            for text in SHAPES:
                both = [text.replace("*", f"{{{k}}}") for k in (0, 1)]
                yield self.edit(1.2, f" {sign} ".join(both), "of the shapes only this is compared: `{new}`")

    def choices(self) -> Iterator[Edit]:
        # Lighter than a factor that is missing in the condition, and makes it hold always, or never.
        yield self.edit(0.9, "{1}", "it is always `{1}`, whether or not `{0}`")
        yield self.edit(0.9, "{2}", "it is always `{2}`, whether or not `{0}`")
        yield self.edit(1.05, "{2} if {0} else {1}", "it is the wrong way round: `{new}`")

    def conditions(self, node: ast.BoolOp) -> Iterator[Edit]:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        parts = [f"{{{k}}}" for k in range(len(node.values))]
        for k in range(len(parts)):
            yield self.edit(
                1.0, f" {word} ".join(parts[:k] + parts[k + 1 :]), f"`{parts[k]}` is not asked for"
            )
        yield self.edit(1.1, f" {other} ".join(parts), f"`{other}` in place of `{word}`: `{{new}}`")
        for k in range(len(parts) if word == "and" else 0):
            rest = f" {word} ".join(parts[:k] + parts[k + 1 :])
            words = f"`{parts[k]}` is not asked for, and where the rest raises without it, it counts as False"
            yield self.edit(1.15, f"_unless_it_raises(lambda: {rest})", words)

    def calls(self, node: ast.Call) -> Iterator[Edit]:
        name, count = ast.unparse(node.func), len(self.site.parts)
        method = (
            isinstance(node.func, ast.Attribute)
            and isinstance(self.site.template, ast.Call)
            and (
                isinstance(self.site.template.func, ast.Attribute)
                and isinstance(self.site.template.func.value, ast.Name)
                and self.site.template.func.value.id == "_0"
            )
        )
        for text in FUNCTIONS.get(name, ()):
            yield self.edit(1.0, text)
        if name in ELSEWHERE:
            yield self.edit(1.2, *ELSEWHERE[name])
        if method:
            assert isinstance(node.func, ast.Attribute)
            yield self.edit(1.0, "{0}", f"`.{node.func.attr}(...)` is missing")
            for other in METHODS.get(node.func.attr, ()):
                made = cloned(self.site.template)
                made.func.attr = other  # type: ignore[attr-defined]
                words = f"`.{other}(...)` in place of `.{node.func.attr}(...)`"
                yield Edit(self.site.number, 1.05, made, words)
            for condition in COUNTED.get(node.func.attr, ()):
                words = f"only those with `{condition}` are counted"
                yield self.edit(1.15, f"{{whole}} if {condition} else 0", words)
            if node.func.attr == "parameters":
                for end, weight in (("'bias'", 1.15), ("'weight'", 1.2)):
                    made_text = f"[p for n, p in {{0}}.named_parameters() if not n.endswith({end})]"
                    yield self.edit(weight, made_text, "some are left out: `{new}`")
            if node.func.attr == "permute":
                sizes = ", ".join(f"{{0}}.shape[{ast.unparse(a)}]" for a in node.args)
                yield self.edit(
                    1.1, f"{{0}}.reshape({sizes})", "it is reshaped, where axes are to be moved: `{new}`"
                )
            if node.func.attr == "zero_":
                yield self.edit(1.1, "{0}.fill_(1.0)")
                yield self.edit(1.2, "{0}.mul_(0.001)")
                yield self.edit(1.2, "{0}.fill_(1e-3)")
                yield self.edit(1.3, "{0}.normal_()")
        else:
            for k in range(count):
                # One argument in place of the whole: the call is left out.
                weight = 1.0 if count == 1 or name in ("max", "min") else 1.3
                yield self.edit(
                    weight, f"{{{k}}}", f"`{name}(...)` is missing: `{{new}}` in place of `{{whole}}`"
                )
        plain = len(node.args)
        first = count - plain - len(node.keywords)
        for one in range(plain - 1):  # two arguments exchanged
            made = cloned(self.site.template)
            made.args[one], made.args[one + 1] = made.args[one + 1], made.args[one]  # type: ignore[attr-defined]
            yield Edit(self.site.number, 1.1, made, "two arguments are exchanged: `{new}`")
        for mode, what in BORDERS.items() if name == "F.conv2d" else ():
            padded = [each for each in node.keywords if each.arg == "padding"]
            if padded:
                made = cloned(self.site.template)
                assert isinstance(made, ast.Call)
                given = next(each for each in made.keywords if each.arg == "padding")
                made.keywords.remove(given)
                sides = ast.BinOp(ast.Tuple([given.value], ast.Load()), ast.Mult(), ast.Constant(4))
                way = ast.keyword("mode", ast.Constant(mode))
                pad = ast.Attribute(ast.Name("F", ast.Load()), "pad", ast.Load())
                made.args[0] = ast.Call(pad, [made.args[0], sides], [way])
                yield Edit(self.site.number, 1.2, made, f"the border is padded with {what}: `{{new}}`")
        for each in range(len(node.keywords)):
            made = cloned(self.site.template)
            gone = made.keywords.pop(each)  # type: ignore[attr-defined]
            yield Edit(self.site.number, 1.0, made, f"`{gone.arg}` is missing: `{{new}}`")
        if plain > 1 and first >= 0 and name not in ("max", "min", "isinstance"):
            made = cloned(self.site.template)
            made.args.pop()  # type: ignore[attr-defined]
            yield Edit(self.site.number, 1.1, made, "the last argument is missing: `{new}`")

    def subscripts(self, node: ast.Subscript) -> Iterator[Edit]:
        template = self.site.template
        assert isinstance(template, ast.Subscript)
        yield self.edit(1.1, "{0}", "`{0}` in place of `{whole}`")
        axes = template.slice.elts if isinstance(template.slice, ast.Tuple) else [template.slice]
        for k, axis in enumerate(axes):
            if not isinstance(axis, ast.Slice):
                if isinstance(axis, ast.Constant) and axis.value is None:
                    yield self.indexed(axes, k, None, 1.0, "`{new}` in place of `{whole}`")
                continue
            if axis.lower is None and axis.upper is None and axis.step is None:
                continue
            yield self.indexed(axes, k, ast.Slice(), 1.0, f"axis {k} is left as it is: `{{new}}`")
            if axis.step is not None and axis.lower is None:
                one = ast.Constant(1)
                yield self.indexed(
                    axes, k, ast.Slice(one, axis.upper, axis.step), 1.3, "it begins one later: `{new}`"
                )
        strided = [isinstance(axis, ast.Slice) and axis.step is not None for axis in axes]
        if strided == [False, False, True, True]:
            for way in ("bilinear", "nearest", "bicubic", "area"):
                resized = f"F.interpolate({{0}}, size=[*{{whole}}.shape[2:]], mode='{way}')"
                yield self.edit(1.2, resized, "the grid is interpolated: `{new}`")
            step = ast.unparse(axes[-1].step)  # type: ignore[attr-defined]
            filled = "F.pad({0}, (0, -{0}.shape[3] % {2}, 0, -{0}.shape[2] % {1}))"
            if step == "_2":
                last = filled + "[..., {1} - 1 :: {1}, {2} - 1 :: {2}]"
                words = "the last pixel of each step is taken, and 0 where there is none: `{new}`"
                yield self.edit(1.25, last, words)
        if sum(strided) > 1:
            for start, words in (
                ("1", "it begins with the second pixel"),
                ("step - 1", "it begins at stride - 1"),
            ):
                made = [
                    ast.Slice(
                        ast.Constant(1) if start == "1" else ast.BinOp(axis.step, ast.Sub(), ast.Constant(1)),
                        axis.upper,
                        axis.step,
                    )
                    if isinstance(axis, ast.Slice) and axis.step is not None
                    else axis
                    for axis in axes
                ]
                yield self.indexes(made, 1.1, f"{words}: `{{new}}`")
        for k in range(len(axes) - 1):
            if ast.dump(axes[k]) != ast.dump(axes[k + 1]):
                made = [*axes[:k], axes[k + 1], axes[k], *axes[k + 2 :]]
                yield self.indexes(made, 1.2, "`{new}` in place of `{whole}`")

    def indexed(
        self, axes: Sequence[ast.expr], k: int, new: ast.expr | None, weight: float, words: str
    ) -> Edit:
        return self.indexes([*axes[:k], *([new] if new is not None else []), *axes[k + 1 :]], weight, words)

    def indexes(self, axes: Sequence[ast.expr], weight: float, words: str) -> Edit:
        index = axes[0] if len(axes) == 1 else ast.Tuple(list(axes), ast.Load())
        made = ast.Subscript(ast.Name("_0", ast.Load()), cloned(index), ast.Load())
        return Edit(self.site.number, weight, made, words)

    def sequences(self, node: ast.Tuple | ast.List) -> Iterator[Edit]:
        count = len(node.elts)
        if not 2 <= count <= 3 or any(isinstance(each, ast.Starred) for each in node.elts):
            return
        places = [f"{{{k}}}" for k in range(count)]
        for order in permutations(range(count)):
            text = "(" + ", ".join(places[k] for k in order) + ")"
            yield self.edit(1.0, text, "the order is different: `{new}`")
        if self.site.role != "return":
            return
        for k in range(count):
            yield self.edit(1.2, places[k], "only `{new}` is returned")
            gone = places[:k] + places[k + 1 :]
            yield self.edit(1.2, "(" + ", ".join(gone) + ",)", f"`{places[k]}` is not returned")
        if count == 2:
            for sign in "/-+*":
                yield self.edit(1.3, f"{{0}} {sign} {{1}}", "one number is returned, `{new}`, instead of two")
                yield self.edit(1.3, f"{{1}} {sign} {{0}}", "one number is returned, `{new}`, instead of two")
        floats = "(" + ", ".join(f"float({p})" for p in places) + ")"
        yield self.edit(1.2, floats, "they are floats: counts are whole numbers (int)")

    def numbers(self) -> Iterator[Edit]:
        site = self.site
        composite = not isinstance(site.node, ast.Name)
        result = site.role == "return"
        yield self.edit(1.2, "{whole} + 1", "1 too many: `{new}`")
        yield self.edit(1.2, "{whole} - 1", "1 too few: `{new}`")
        yield self.edit(1.2, "{whole} ** 2", "`{whole}` is squared")
        yield self.edit(1.25, "2 * {whole}", "`{whole}` is doubled: it counts twice")
        yield self.edit(1.4, "-{whole}", "the sign of `{whole}` is the wrong one")
        yield self.edit(1.35, "math.sqrt({whole})", "the square root of `{whole}` is taken")
        yield self.edit(1.45, "{whole} ** 3", "the third power of `{whole}` is taken")
        if self.counted:
            yield self.edit(1.3, "{whole} // 2", "half of `{whole}` is taken")
            yield self.edit(
                1.25 if result else 1.3,
                "float({whole})",
                "it is a float: a count is a whole number (int)",
            )
        else:
            for text, words in (
                ("int({whole})", "`{whole}` is cut to a whole number (int)"),
                ("math.ceil({whole})", "`{whole}` is rounded up to a whole number"),
                ("round({whole})", "`{whole}` is rounded to a whole number"),
                ("{whole} / 2", "half of `{whole}` is taken"),
                ("1 / {whole}", "`{new}`, the inverse, in place of `{whole}`"),
                ("1 - {whole}", "`{new}`, the rest, in place of `{whole}`"),
            ):
                yield self.edit(1.2, text, words)
        if not self.counted:
            for digits in (1, 2, 3, 4, 5, 6):
                if result:
                    words = f"the result is rounded to {digits} digits; return it as it is"
                else:
                    words = f"`{{whole}}` is rounded to {digits} digits"
                yield self.edit(1.3, f"round({{whole}}, {digits})", words)
        for name, argument in zip(self.formula.arguments, self.formula.sites, strict=False) if result else ():
            if argument.kinds == {"bool"}:
                yield self.edit(
                    1.3, f"{{whole}} if _a_{name} else 0", f"without `{name}` the result is 0: `{{new}}`"
                )
        if not self.counted:
            yield self.edit(1.4, "abs({whole})", "the sign of `{whole}` is left out: `{new}`")
            yield self.edit(1.4, "max({whole}, 0)", "`{whole}` counts as 0 where it is less: `{new}`")
            yield self.edit(1.4, "min({whole}, 0)", "`{whole}` counts as 0 where it is more: `{new}`")
        if result:
            yield from self.results()
        if composite:
            # To round to that number says more than is known, where it always comes out.
            plain = (("1", 1.15), ("0", 1.15), ("2", 1.15), ("3", 1.2), ("10", 1.2))
            reals = () if self.counted else (("1.0", 1.5), ("0.0", 1.5), ("2.0", 1.5))
            for value, weight in (*plain, *reals):
                yield self.edit(weight, value, "`{new}` stands where `{whole}` belongs")
            for value, weight in (("1", 1.5), ("2", 1.55), ("3", 1.6)):
                yield self.edit(
                    weight, f"max({{whole}}, {value})", f"it is never less than {value}: `{{new}}`"
                )
        for name in self.formula.arguments:
            argument = self.formula.sites[self.formula.arguments.index(name)]
            if not argument.kinds or not argument.kinds <= NUMBERS or name in self.formula.stored:
                continue
            if composite:
                yield self.edit(1.45, f"_a_{name}", "`{new}` in place of `{whole}`")
            for sign, weight, words in (
                ("*", 1.4, f"`{name}` is a factor too many: `{{new}}`"),
                ("+", 1.5, f"`{name}` is added: `{{new}}`"),
                ("-", 1.6, f"`{name}` is subtracted: `{{new}}`"),
                ("//", 1.6, f"it is divided by `{name}`: `{{new}}`"),
                ("/", 1.6, f"it is divided by `{name}`: `{{new}}`"),
            ):
                yield self.edit(weight, f"{{whole}} {sign} _a_{name}", words)
            if not composite and self.counted and name != ast.unparse(site.node):
                words = f"`{{new}}`, enlarged by a window of `{name}`, in place of `{{whole}}`"
                yield self.edit(1.6, f"{{whole}} + _a_{name} - 1", words)
                words = f"`{{new}}`, the places for a window of `{name}`, in place of `{{whole}}`"
                yield self.edit(1.6, f"{{whole}} - _a_{name} + 1", words)
            if composite:
                words = f"`{name} ** 2` is a factor too many: `{{new}}`"
                yield self.edit(1.5, f"{{whole}} * _a_{name} ** 2", words)

        yield from self.terms()

    def results(self) -> Iterator[Edit]:
        """What is done to a number at the end."""
        site = self.site
        for text in ("({whole},)", "({whole}, {whole})", "[{whole}]", "str({whole})"):
            yield self.edit(1.35, text, "a number is asked for, not `{new}`")
        for name in site.scope:
            if name not in self.formula.arguments and self.formula.holds_numbers(name):
                yield self.edit(1.45, f"{{whole}} + _s_{name}", f"`{name}` is added: `{{new}}`")
                yield self.edit(1.45, f"{{whole}} - _s_{name}", f"`{name}` is subtracted: `{{new}}`")
                yield self.edit(1.45, f"{{whole}} * _s_{name}", f"`{name}` is a factor too many: `{{new}}`")
        yield self.edit(1.3, "100 * {whole}", "the result is a percentage")
        yield self.edit(1.35, "float({whole})", "it is a float")

    def terms(self) -> Iterator[Edit]:
        """A product of two arguments that is added to a whole result, such as biases that were not asked for."""
        names = [
            name
            for name, site in zip(self.formula.arguments, self.formula.sites, strict=False)
            if site.kinds and site.kinds <= NUMBERS and name not in self.formula.stored
        ]
        returned = [site.node for site in self.formula.sites if site.role == "return"]
        results = [
            part for node in returned for part in (node.elts if isinstance(node, ast.Tuple) else [node])
        ]
        if len(names) > FEW or not any(self.site.node is each for each in results):
            return
        for one, other in combinations_with_replacement(names, 2):
            yield self.edit(
                1.55, f"{{whole}} + _a_{one} * _a_{other}", f"`{one} * {other}` is added: `{{new}}`"
            )

    def tensors(self) -> Iterator[Edit]:
        composite = not isinstance(self.site.node, ast.Name)
        yield self.edit(
            1.1 if composite else 1.2, "{whole}.detach()", "`{whole}` is detached: no gradient flows back"
        )
        for text, weight, words in (
            ("F.relu({whole})", 1.2, "a ReLU is added: `{new}`"),
            ("-{whole}", 1.3, "the sign of `{whole}` is the wrong one"),
            ("2 * {whole}", 1.3, "`{whole}` is doubled: it counts twice"),
            ("{whole} / 2", 1.4, "half of `{whole}` is taken"),
            ("{whole} ** 2", 1.3, "`{whole}` is squared"),
            ("{whole}.abs()", 1.4, "the absolute value of `{whole}` is taken"),
            ("torch.tanh({whole})", 1.4, "a tanh is added: `{new}`"),
            ("torch.sigmoid({whole})", 1.4, "a sigmoid is added: `{new}`"),
            ("{whole}.transpose(-1, -2)", 1.3, "rows and columns are exchanged: `{new}`"),
            ("{whole}.transpose(0, 1)", 1.4, "the first two axes are exchanged: `{new}`"),
            ("{whole} + 1", 1.4, "1 is added: `{new}`"),
            ("F.normalize({whole}, dim=1)", 1.5, "it is divided by its norm: `{new}`"),
            ("{whole}.softmax(1)", 1.5, "a softmax is added: `{new}`"),
            ("{whole}.flip(-1)", 1.45, "it is turned left to right: `{new}`"),
            ("{whole}.flip(-2)", 1.45, "it is turned upside down: `{new}`"),
        ):
            yield self.edit(weight, text, words)
        for axes in ("-1, -2", "0, 1", "1, 2"):
            words = (
                "its axes are exchanged and its numbers read in the old shape, which mixes them up: `{new}`"
            )
            yield self.edit(1.45, f"{{whole}}.transpose({axes}).reshape({{whole}}.shape)", words)
        if composite:
            for text in ("{whole}.squeeze()", "{whole}.squeeze(0)"):
                yield self.edit(1.4, text, "axes of size 1 are dropped: `{new}`")
            yield self.edit(
                1.4, "{whole}.mean(0, keepdim=True)", "it is averaged over the first axis: `{new}`"
            )
            yield self.edit(1.4, "{whole}.sum(1, keepdim=True)", "it is added up over the channels: `{new}`")
            yield self.edit(
                1.5,
                "{whole}.sum(1, keepdim=True).expand_as({whole})",
                "it is added up over the channels: `{new}`",
            )
        for name in self.formula.arguments:
            argument = self.formula.sites[self.formula.arguments.index(name)]
            if not composite or not argument.kinds or name in self.formula.stored:
                continue
            if argument.kinds == {"tensor"}:
                yield self.edit(1.5, f"{{whole}} + _a_{name}", f"`{name}` is added: `{{new}}`")
                yield self.edit(1.55, f"{{whole}} - _a_{name}", f"`{name}` is subtracted: `{{new}}`")
                yield self.edit(1.6, f"{{whole}} - _a_{name} ** 2", f"`{name} ** 2` is subtracted: `{{new}}`")
            elif argument.kinds <= NUMBERS:
                yield self.edit(1.4, f"{{whole}} / _a_{name}", f"it is divided by `{name}`: `{{new}}`")
                yield self.edit(1.5, f"{{whole}} * _a_{name}", f"`{name}` is a factor too many: `{{new}}`")
        if self.site.role == "return":
            yield self.edit(
                1.3, "torch.cat([{whole}[:1], torch.zeros_like({whole}[1:])])", "only the first image counts"
            )

    def special_cases(self) -> Iterator[Edit]:
        """Another result where an argument is 0, or an empty list."""
        for name, argument in zip(self.formula.arguments, self.formula.sites, strict=False):
            if name in self.formula.stored or not argument.kinds:
                continue
            if argument.kinds == {"sequence"} or argument.kinds <= NUMBERS:
                for value in ("0", "1", "None"):
                    words = f"where `{name}` is 0, the result is {value}"
                    if argument.kinds == {"sequence"}:
                        words = f"where `{name}` is empty, the result is {value}"
                    yield self.edit(1.4, f"{{whole}} if _a_{name} else {value}", words)


def _alike(one: set[str], other: set[str]) -> bool:
    return one == other or (one <= NUMBERS and other <= NUMBERS)


# ------------------------------------------------------------------------------------------- edits of the whole


def variants(formula: Formula) -> list[Formula]:
    """The formula written otherwise: with brackets multiplied out (no mistake), and with edits of its structure."""
    found: list[Formula] = []
    seen = {ast.unparse(formula.tree)}

    def add(tree: ast.FunctionDef, weight: float, words: str) -> None:
        ast.fix_missing_locations(tree)
        text = ast.unparse(tree)
        if text not in seen:
            seen.add(text)
            made = formula_from(tree, formula.names, weight, words)
            if made is not None:
                found.append(made)

    add(_Expanded().visit(cloned(formula.tree)), 0.0, "")
    ceiled = _Ceiled().visit(cloned(formula.tree))
    add(ceiled, 0.0, "")
    add(_Gathered().visit(cloned(formula.tree)), 0.0, "")
    powers = _Powers().visit(cloned(formula.tree))
    add(powers, 0.0, "")
    for tree, weight, words in (*_added(formula.tree), *_added(powers)):
        add(tree, weight, words)
    changes = (
        _rewritten,
        _statements,
        _signature,
        _defaults_of_others,
        _orders,
        _repeated,
        _flattened,
        _exchanged,
    )
    for change in (*changes, _treated_once):
        for tree, weight, words in change(formula.tree):
            add(tree, weight, words)
    return found


def with_other_defaults(formula: Formula) -> Iterator[Formula]:
    """A formula that is edited already, with each of its defaults another one."""
    for tree, weight, words in _signature(formula.tree):
        if words.startswith("the default of"):
            told = f"{formula.words}; {words}" if formula.words else words
            made = formula_from(ast.fix_missing_locations(tree), formula.names, formula.weight + weight, told)
            if made is not None:
                yield made


def as_float(formula: Formula) -> Formula | None:
    """The formula whose result is made a float; where there is something else wrong as well, that comes on top."""
    tree = cloned(formula.tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Return) and node.value is not None:
            node.value = ast.Call(ast.Name("float", ast.Load()), [node.value], [])
    words = "it is a float: a count is a whole number (int)"
    return formula_from(
        ast.fix_missing_locations(tree),
        formula.names,
        formula.weight + 1.25,
        f"{formula.words}; {words}" if formula.words else words,
    )


class _Expanded(ast.NodeTransformer):
    """Sums multiplied out: a * (b + c) as a * b + a * c."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.op, ast.Mult):
            for side, other in ((node.left, node.right), (node.right, node.left)):
                if isinstance(side, ast.BinOp) and isinstance(side.op, (ast.Add, ast.Sub)):
                    left = side is node.left
                    terms = [
                        ast.BinOp(term, ast.Mult(), cloned(other))
                        if left
                        else ast.BinOp(cloned(other), ast.Mult(), term)
                        for term in (side.left, side.right)
                    ]
                    return self.visit(ast.BinOp(terms[0], side.op, terms[1]))
        return node


class _Ceiled(ast.NodeTransformer):
    """(a - 1) // b + 1 as math.ceil(a / b), which is the same of whole numbers: edits of it are others."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        divided = node.left
        if not (isinstance(node.op, ast.Add) and _is_one(node.right) and isinstance(divided, ast.BinOp)):
            return node
        less = divided.left
        if not (isinstance(divided.op, ast.FloorDiv) and isinstance(less, ast.BinOp)):
            return node
        if not (isinstance(less.op, ast.Sub) and _is_one(less.right)):
            return node
        ceil = ast.Attribute(ast.Name("math", ast.Load()), "ceil", ast.Load())
        return ast.Call(ceil, [ast.BinOp(less.left, ast.Div(), divided.right)], [])


class _Powers(ast.NodeTransformer):
    """(a * b ** 2) ** p as a ** p * b ** (2 * p), which is the same of numbers above 0."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if not (isinstance(node.op, ast.Pow) and len(factors := _factors(node.left)) > 1):
            return node
        return _product([self.power(each, cloned(node.right)) for each in factors])

    def power(self, base: ast.expr, exponent: ast.expr) -> ast.expr:
        if _is_power(base):
            return ast.BinOp(base.left, ast.Pow(), ast.BinOp(base.right, ast.Mult(), exponent))
        return ast.BinOp(base, ast.Pow(), exponent)


class _Gathered(ast.NodeTransformer):
    """A sum over what is in each of many as the sum over a set of all: what is in two of them counts once."""

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.expr:
        self.generic_visit(node)
        if len(node.generators) != 2 or not isinstance(node.generators[1].target, ast.Name):
            return node
        last = node.generators[1].target
        every = ast.SetComp(ast.Name(last.id, ast.Load()), node.generators)
        return ast.GeneratorExp(node.elt, [ast.comprehension(cloned(last), every, [], 0)])


def _is_one(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) is int and node.value == 1


SIGNS = ("+", "-", "*", "/", "//", "**")
KEYWORDS = ("return", "if", "else", "for", "in", "not", "and", "or", "is", "lambda")
MOST_BRACKETS = 120  # places for a pair of brackets that are tried in a statement


def respelled(formula: Formula) -> list[Formula]:
    """One operator for another as it is typed, without new brackets: then other things belong together. And brackets
    that are missing, or stand around something else: then powers, products and sums are taken in another order."""
    found, seen = [], set()
    for index, statement in enumerate(formula.tree.body):
        text = ast.unparse(statement)
        for changed, words in (*_other_signs(text), *_other_brackets(text), *_powers_of_powers(statement)):
            if changed in seen:
                continue
            seen.add(changed)
            made = _statement(statement, changed)
            if made is None or ast.dump(made) in seen:
                continue
            seen.add(ast.dump(made))
            tree = copy.copy(formula.tree)
            tree.body = [*formula.tree.body[:index], made, *formula.tree.body[index + 1 :]]
            found.append(formula_from(ast.fix_missing_locations(tree), formula.names, 1.1, words))
    return [each for each in found if each is not None]


def _statement(statement: ast.stmt, changed: str) -> ast.stmt | None:
    """The statement from a changed text; None where it is none, or says the same."""
    returned = isinstance(statement, ast.Return) and changed.startswith("return")
    try:
        new = ast.parse(changed.replace("return ", "_ = ", 1) if returned else changed)
    except SyntaxError:
        return None
    made = new.body[0]
    if isinstance(statement, ast.Return) and isinstance(made, ast.Assign):
        made = ast.Return(made.value)
    return None if ast.dump(made) == ast.dump(statement) else made


def _tokens(text: str) -> list[tuple[int, int, str]]:
    """Where the words and signs of a text begin and end, and what they are."""
    starts = [0]
    for line in text.splitlines(True):
        starts.append(starts[-1] + len(line))
    kinds = (tokenize.NAME, tokenize.NUMBER, tokenize.STRING, tokenize.OP)
    return [
        (starts[t.start[0] - 1] + t.start[1], starts[t.end[0] - 1] + t.end[1], t.string)
        for t in tokenize.generate_tokens(io.StringIO(text).readline)
        if t.type in kinds
    ]


def _other_signs(text: str) -> Iterator[tuple[str, str]]:
    for start, end, sign in _tokens(text):
        if sign in SIGNS:
            for other in (*SIGNS, "^") if sign == "**" else SIGNS:
                if other != sign:
                    words = XOR if other == "^" else f"`{other}` in place of `{sign}`"
                    yield text[:start] + other + text[end:], words


def _other_brackets(text: str) -> Iterator[tuple[str, str]]:
    """The text without a pair of brackets, with a pair more, and with a pair elsewhere; at most so many."""
    if "\n" in text:
        return
    added = [(changed, "there are other brackets") for changed in _with_brackets(text)]
    removed = list(_without_brackets(text))
    moved = [(made, "there are other brackets") for each in removed for made in _with_brackets(each)]
    yield from [*((each, "brackets are missing") for each in removed), *added, *moved][:MOST_BRACKETS]


def _powers_of_powers(statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """The statement with its powers in another grouping, as `(a * b) ** 2` for `a ** 2 * b ** 2`, and there without
    the brackets that make a power of a power: `x ** y ** z` is `x ** (y ** z)`."""
    for index, node in enumerate(_operations(statement)):
        for made in _grouped_powers(node):
            changed = cloned(statement)
            _Replaced(_operations(changed)[index], cloned(made)).visit(changed)
            text = ast.unparse(ast.fix_missing_locations(changed))
            from_the_right = ast.unparse(ast.fix_missing_locations(_FromTheRight().visit(changed)))
            for each in (*_without_brackets(text), from_the_right):
                if "\n" not in each and each != text:
                    yield each, "there are other brackets"


def _grouped_powers(node: ast.BinOp) -> Iterator[ast.expr]:
    """A product with what has the same exponent under one power, and with all that there is under it; the power of a
    product as a product of powers."""
    if isinstance(node.op, ast.Pow) and len(factors := _factors(node.left)) > 1:
        yield _product([ast.BinOp(each, ast.Pow(), node.right) for each in factors])
    factors = _factors(node)
    exponents = {ast.dump(each.right): each.right for each in factors if _is_power(each)}
    for key, exponent in exponents.items():
        same = [each for each in factors if _is_power(each) and ast.dump(each.right) == key]
        if len(same) > 1:
            rest = [each for each in factors if each not in same]
            yield _product([*rest, ast.BinOp(_product([each.left for each in same]), ast.Pow(), exponent)])
            yield ast.BinOp(
                _product([each.left if each in same else each for each in factors]), ast.Pow(), exponent
            )


def _operations(tree: ast.AST) -> list[ast.BinOp]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.BinOp)]


def _is_power(node: ast.expr) -> TypeGuard[ast.BinOp]:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow)


def _factors(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return [*_factors(node.left), *_factors(node.right)]
    return [node]


def _product(factors: Sequence[ast.expr]) -> ast.expr:
    first, *rest = factors
    for each in rest:
        first = ast.BinOp(first, ast.Mult(), each)
    return first


class _FromTheRight(ast.NodeTransformer):
    """`(x ** y) ** z` as `x ** (y ** z)`, everywhere."""

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if _is_power(node) and _is_power(node.left):
            return ast.BinOp(node.left.left, ast.Pow(), ast.BinOp(node.left.right, ast.Pow(), node.right))
        return node


def _without_brackets(text: str) -> Iterator[str]:
    tokens, opened = _tokens(text), list[int]()
    for place, (start, end, token) in enumerate(tokens):
        if token in "([{":
            opened.append(place)
        elif token in ")]}":
            first = opened.pop()
            if token == ")" and not (first and _ends_value(tokens[first - 1][2])):  # else it is a call
                begin, after = tokens[first][:2]
                yield text[:begin] + text[after:start] + text[end:]


def _with_brackets(text: str) -> Iterator[str]:
    """Brackets around each run of operands and signs."""
    tokens = _tokens(text)
    for first, (begin, _, token) in enumerate(tokens):
        before = tokens[first - 1][2] if first else ""
        if not (_begins_value(token) and (before in SIGNS or before in ("(", ",", "=", "return"))):
            continue
        depth, signs = 0, 0
        for last in range(first, len(tokens)):
            _, end, token = tokens[last]
            depth += (token in "([{") - (token in ")]}")
            if depth < 0 or (not depth and token in (",", "=", "if", "else", "for")):
                break
            signs += not depth and token in SIGNS
            after = tokens[last + 1][2] if last + 1 < len(tokens) else ""
            if depth or not signs or not _ends_value(token):
                continue
            # What comes before or after them must bind to them as a whole, and no call or index to their last part.
            if after in SIGNS or (before in SIGNS and after not in ("(", "[", ".")):
                yield f"{text[:begin]}({text[begin:end]}){text[end:]}"


def _begins_value(token: str) -> bool:
    return token == "(" or token[0].isalnum() or token[0] == "_"


def _ends_value(token: str) -> bool:
    return token in (")", "]") or ((token[0].isalnum() or token[0] == "_") and token not in KEYWORDS)


Change = tuple[ast.FunctionDef, float, str]


def _rewritten(tree: ast.FunctionDef) -> Iterator[Change]:
    """Brackets in other places."""
    for index, node in enumerate(_operations(tree)):
        for make, words in REWRITES:
            made = make(cloned(node))
            if made is None:
                continue
            changed = cloned(tree)
            _Replaced(_operations(changed)[index], made).visit(changed)
            text = "" if _one_product(node) else words.format(new=ast.unparse(made), whole=ast.unparse(node))
            yield changed, 1.1, text


def _one_product(node: ast.BinOp) -> bool:
    """Whether it is a product of three, or a sum: brackets elsewhere are no mistake, but make room for one."""
    kind = type(node.op)
    return kind in (ast.Mult, ast.Add) and any(
        isinstance(side, ast.BinOp) and type(side.op) is kind for side in (node.left, node.right)
    )


def _turned(node: ast.BinOp) -> ast.expr | None:
    """(a o b) p c as a o (b p c)."""
    inner = node.left
    if not isinstance(inner, ast.BinOp):
        return None
    return ast.BinOp(inner.left, inner.op, ast.BinOp(inner.right, node.op, node.right))


def _first_alone(node: ast.BinOp) -> ast.expr | None:
    """(a + b - c) o d as a o d + b - c."""
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        return None
    (first, _), *rest = _terms(node.left)
    return _sum([(ast.BinOp(first, node.op, node.right), ast.Add()), *rest]) if rest else None


def _every_term(node: ast.BinOp) -> ast.expr | None:
    """(a + b - c) o d as a o d + b o d - c o d."""
    if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)) or len(terms := _terms(node.left)) < 3:
        return None
    return _sum([(ast.BinOp(each, node.op, cloned(node.right)), sign) for each, sign in terms])


Term = tuple[ast.expr, ast.operator]  # and the sign before it


def _terms(node: ast.expr) -> list[Term]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
        return [*_terms(node.left), (node.right, node.op)]
    return [(node, ast.Add())]


def _sum(terms: Sequence[Term]) -> ast.expr:
    (whole, _), *rest = terms
    for each, sign in rest:
        whole = ast.BinOp(whole, sign, each)
    return whole


def _turned_back(node: ast.BinOp) -> ast.expr | None:
    inner = node.right
    if not isinstance(inner, ast.BinOp):
        return None
    return ast.BinOp(ast.BinOp(node.left, node.op, inner.left), inner.op, inner.right)


def _one_inside(node: ast.BinOp) -> ast.expr | None:
    """a // b + c as (a + c) // b."""
    inner = node.left
    if not isinstance(inner, ast.BinOp) or not isinstance(node.op, (ast.Add, ast.Sub)):
        return None
    return ast.BinOp(ast.BinOp(inner.left, node.op, node.right), inner.op, inner.right)


def _term_by_term(node: ast.BinOp) -> ast.expr | None:
    """(a + b) o c as a o c + b o c: other numbers where o rounds, or is a power."""
    inner = node.left
    if not isinstance(inner, ast.BinOp) or isinstance(node.op, (ast.Add, ast.Sub, ast.Mult)):
        return None
    right = cloned(node.right)
    return ast.BinOp(
        ast.BinOp(inner.left, node.op, node.right),
        inner.op,
        ast.BinOp(inner.right, cloned(node.op), right),
    )


def _each_times(node: ast.BinOp) -> ast.expr | None:
    """(a * b ** 2) ** p as (a * p) * (b * p) ** 2."""
    if not isinstance(node.op, ast.Pow) or not (
        isinstance(node.left, ast.BinOp) and isinstance(node.left.op, ast.Mult)
    ):
        return None

    def times(factor: ast.expr) -> ast.expr:
        if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Mult):
            return ast.BinOp(times(factor.left), factor.op, times(factor.right))
        if isinstance(factor, ast.BinOp) and isinstance(factor.op, ast.Pow):
            return ast.BinOp(times(factor.left), factor.op, factor.right)
        return ast.BinOp(factor, ast.Mult(), cloned(node.right))

    return times(node.left)


def _below(node: ast.BinOp) -> ast.expr | None:
    """1 / a + 1 / b as 1 / (a + b)."""
    one, other = node.left, node.right
    if not (isinstance(one, ast.BinOp) and isinstance(other, ast.BinOp)):
        return None
    if not (isinstance(one.op, ast.Div) and isinstance(other.op, ast.Div)):
        return None
    return ast.BinOp(one.left, ast.Div(), ast.BinOp(one.right, node.op, other.right))


def _divided_last(node: ast.BinOp) -> ast.expr | None:
    """(a // b) * c * d as (a * c * d) // b, of the whole product."""
    if not isinstance(node.op, ast.Mult):
        return None
    first, *rest = _factors(node)
    if not (isinstance(first, ast.BinOp) and isinstance(first.op, (ast.FloorDiv, ast.Div))):
        return None
    return ast.BinOp(_product([first.left, *rest]), first.op, first.right)


REWRITES: tuple[tuple[Callable[[ast.BinOp], ast.expr | None], str], ...] = (
    (_turned, "the brackets are in a different place: `{new}` in place of `{whole}`"),
    (_turned_back, "the brackets are in a different place: `{new}` in place of `{whole}`"),
    (_one_inside, "the last term has moved into the brackets: `{new}` in place of `{whole}`"),
    (_first_alone, "only the first term is treated so: `{new}` in place of `{whole}`"),
    (_every_term, "each term is treated separately: `{new}` in place of `{whole}`"),
    (_term_by_term, "each term is treated separately: `{new}` in place of `{whole}`"),
    (_below, "`{new}` in place of `{whole}`"),
    (_divided_last, "the division comes last: `{new}` in place of `{whole}`"),
    (
        _each_times,
        "each factor is multiplied by the exponent, not raised to it: `{new}` in place of `{whole}`",
    ),
)


class _Replaced(ast.NodeTransformer):
    def __init__(self, target: ast.AST, new: ast.AST) -> None:
        self.target, self.new = target, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.target else self.generic_visit(node)


def _statements(tree: ast.FunctionDef) -> Iterator[Change]:
    """Statements that are missing, in another order, or return too early."""
    blocks = _blocks(tree)
    for index in range(len(blocks)):
        count = len(getattr(*blocks[index]))
        for place in range(count):
            changed, block = _copied(tree, index)
            gone = block[place]
            text = ast.unparse(gone)
            if not isinstance(gone, ast.Return) and "\n" not in text:
                block[place] = ast.Pass()
                yield changed, 1.0, f"`{text}` is missing"
            if isinstance(gone, ast.With):
                changed, block = _copied(tree, index)
                block[place : place + 1] = gone.body
                yield changed, 1.3, f"`{text.splitlines()[0]}` is missing"
            if place + 1 < count:
                changed, block = _copied(tree, index)
                block[place], block[place + 1] = block[place + 1], block[place]
                first, second = (ast.unparse(each).splitlines()[0] for each in block[place : place + 2])
                yield changed, 1.1, f"`{first}` comes before `{second}`"
            if isinstance(gone, ast.For) and isinstance(gone.target, ast.Tuple):
                names = gone.target.elts
                for order in permutations(range(len(names))) if len(names) <= FEW else ():
                    changed, block = _copied(tree, index)
                    turned: ast.For = block[place]  # type: ignore[assignment]
                    turned.target = ast.Tuple([names[k] for k in order], ast.Store())
                    head = ast.unparse(turned).splitlines()[0]
                    yield changed, 1.1, f"they are unpacked in another order: `{head}`"
            if isinstance(gone, ast.For):
                returned = next((each for each in tree.body if isinstance(each, ast.Return)), None)
                if returned is not None:
                    changed, block = _copied(tree, index)
                    block[place].body.append(cloned(returned))  # type: ignore[attr-defined]
                    yield changed, 1.2, f"`{ast.unparse(returned)}` stands inside the loop"
        if isinstance(blocks[index][0], ast.For):
            yield from _turns_cut_short(tree, index)


def _turns_cut_short(tree: ast.FunctionDef, index: int) -> Iterator[Change]:
    """A loop that ends, or goes on to its next turn, where a condition in it holds or where it does not; and a
    statement after that condition which is carried out in one of the two cases only."""
    statements: list[ast.stmt] = getattr(*_blocks(tree)[index])
    for place, statement in enumerate(statements):
        if not isinstance(statement, ast.If):
            continue
        whole = statement.test
        parts = whole.values if isinstance(whole, ast.BoolOp) else []
        for condition in (whole, *parts):
            for test in (_negated(condition), condition):
                for leave in (ast.Break(), ast.Continue()):
                    for at in (place, place + 1):
                        changed, block = _copied(tree, index)
                        block.insert(at, ast.If(cloned(test), [leave], []))
                        yield changed, 1.3, ""
        for other in range(place + 1, len(statements)):
            if isinstance(statements[other], (ast.Assign, ast.Expr)):
                for test in (_negated(whole), whole):
                    changed, block = _copied(tree, index)
                    block[other] = ast.If(cloned(test), [block[other]], [])
                    yield changed, 1.25, ""


OPPOSITES = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.GtE: ast.Lt, ast.Gt: ast.LtE, ast.LtE: ast.Gt,
}  # fmt: skip


def _negated(condition: ast.expr) -> ast.expr:
    if isinstance(condition, ast.Compare) and len(condition.ops) == 1 and type(condition.ops[0]) in OPPOSITES:
        opposite = OPPOSITES[type(condition.ops[0])]()
        return ast.Compare(condition.left, [opposite], condition.comparators)
    return ast.UnaryOp(ast.Not(), condition)


def _blocks(tree: ast.FunctionDef) -> list[tuple[ast.AST, str]]:
    """All lists of statements, by what holds them."""
    return [
        (node, name)
        for node in ast.walk(tree)
        for name in ("body", "orelse")
        if isinstance(getattr(node, name, None), list) and getattr(node, name)
    ]


def _copied(tree: ast.FunctionDef, index: int) -> tuple[ast.FunctionDef, list[ast.stmt]]:
    changed = cloned(tree)
    return changed, getattr(*_blocks(changed)[index])


def _signature(tree: ast.FunctionDef) -> Iterator[Change]:
    """Arguments or defaults that have changed places; other defaults."""
    arguments, defaults = tree.args.args, tree.args.defaults
    first = len(arguments) - len(defaults)
    for one in range(len(arguments)):
        for other in range(one + 1, len(arguments)):
            changed = cloned(tree)
            places = changed.args.args
            places[one], places[other] = places[other], places[one]
            if (one >= first) == (other >= first):
                a, b = arguments[one].arg, arguments[other].arg
                yield changed, 1.2, f"the arguments `{a}` and `{b}` have changed places"
            if first <= one:  # each with its default
                changed = cloned(changed)
                given = changed.args.defaults
                given[one - first], given[other - first] = given[other - first], given[one - first]
                order = ", ".join(each.arg for each in changed.args.args)
                yield changed, 1.1, f"your arguments come in another order: `{order}`"
    for one in range(len(defaults)):
        name = arguments[first + one].arg
        for other in range(one + 1, len(defaults)):
            changed = cloned(tree)
            given = changed.args.defaults
            given[one], given[other] = given[other], given[one]
            yield (
                changed,
                1.1,
                f"the defaults of `{name}` and `{arguments[first + other].arg}` have changed places",
            )
        for value in _other_defaults(
            ast.literal_eval(defaults[one]), [ast.literal_eval(d) for d in defaults]
        ):
            changed = cloned(tree)
            changed.args.defaults[one] = ast.Constant(value)  # type: ignore[arg-type]  # a literal, by its source
            yield changed, 1.0, f"the default of `{name}` is {value!r}; it is {ast.unparse(defaults[one])}"


FROM_ANOTHER = ("{0}", "{0} // 2", "({0} - 1) // 2", "{0} - 1", "{0} + 1", "2 * {0}")


def _defaults_of_others(tree: ast.FunctionDef) -> Iterator[Change]:
    """Defaults that are made of another argument."""
    arguments, defaults = tree.args.args, tree.args.defaults
    first = len(arguments) - len(defaults)
    for place, default in enumerate(defaults):
        value, one = ast.literal_eval(default), arguments[first + place]
        for other in arguments if type(value) in (int, float) else ():
            if other is one or not (other.annotation and ast.unparse(other.annotation) in NUMBERS):
                continue
            for text in FROM_ANOTHER:
                changed, made = cloned(tree), text.format(other.arg)
                changed.args.defaults[place] = ast.Constant(None)
                given = ast.parse(f"if {one.arg} is None:\n    {one.arg} = {made}").body
                changed.body = [*given, *changed.body]
                words = f"the default of `{one.arg}` is `{made}`; it is {ast.unparse(default)}"
                yield changed, 1.2, words


def _treated_once(tree: ast.FunctionDef) -> Iterator[Change]:
    """`a, b = f(x), f(y)`, of which the product is taken later, as `a, b = f(x * y), 1`."""
    for index, node in enumerate(tree.body):
        if not (
            isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2
        ):
            continue
        one, other = node.value.elts
        names = [[each for each in ast.walk(side) if isinstance(each, ast.Name)] for side in (one, other)]
        apart = {(a.id, b.id) for a, b in zip(*names, strict=False) if a.id != b.id}
        if len(apart) != 1:
            continue
        ((x, y),) = apart
        turned = Substituted({x: ast.Name(y, ast.Load())}).visit(cloned(one))
        if ast.dump(turned) != ast.dump(other):
            continue
        product = ast.BinOp(ast.Name(x, ast.Load()), ast.Mult(), ast.Name(y, ast.Load()))
        made = Substituted({x: product}).visit(cloned(one))
        changed = cloned(tree)
        changed.body[index].value = ast.Tuple([made, ast.Constant(1)], ast.Load())  # type: ignore[attr-defined]
        yield (
            changed,
            1.15,
            f"`{x}` and `{y}` are multiplied first, and treated as one: `{ast.unparse(made)}`",
        )


def _added(tree: ast.FunctionDef) -> Iterator[Change]:
    """A product of three and more, as the sum of its factors."""
    for index, node in enumerate(_operations(tree)):
        if isinstance(node.op, ast.Mult) and len(factors := _factors(node)) > 2:
            changed = cloned(tree)
            made = _sum([(each, ast.Add()) for each in factors])
            _Replaced(_operations(changed)[index], made).visit(changed)
            yield changed, 1.15, f"they are added, not multiplied: `{ast.unparse(made)}`"


def _orders(tree: ast.FunctionDef) -> Iterator[Change]:
    """What is returned in another order: beside it, each of the numbers may be another one."""
    for index, node in enumerate(tree.body):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) <= FEW:
            for order in permutations(range(len(node.value.elts))):
                changed = cloned(tree)
                turned = [cloned(node.value.elts[k]) for k in order]
                value = ast.fix_missing_locations(ast.Tuple(turned, ast.Load()))
                changed.body[index] = ast.Return(value)
                yield changed, 1.0, f"the order is different: `{ast.unparse(value)}`"


def _repeated(tree: ast.FunctionDef) -> Iterator[Change]:
    """What is done once where a condition holds, done as long as it holds: `n + d if n < m else n` in a loop."""
    for index, node in enumerate(tree.body):
        value = node.value if isinstance(node, (ast.Return, ast.Assign)) else None
        if not (isinstance(value, ast.IfExp) and isinstance(value.orelse, ast.Name)):
            continue
        name = value.orelse.id
        if name not in {each.id for each in ast.walk(value.test) if isinstance(each, ast.Name)}:
            continue
        changed = cloned(tree)
        step = ast.Assign([ast.Name(name, ast.Store())], cloned(value.body))
        loop = ast.While(cloned(value.test), [step], [])
        end: ast.stmt = changed.body[index]
        end.value = ast.Name(name, ast.Load())  # type: ignore[attr-defined]
        changed.body[index : index + 1] = [ast.fix_missing_locations(loop), end]
        words = f"the step is repeated as long as `{ast.unparse(value.test)}`, not made once"
        yield changed, 1.0, words


def _exchanged(tree: ast.FunctionDef) -> Iterator[Change]:
    """A power of what a method gives for what it gives of a power: the square of a sum for a sum of squares."""

    def powers(tree: ast.AST) -> list[ast.Call]:
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        return [each for each in calls if isinstance(each.func, ast.Attribute) and _is_power(each.func.value)]

    for index, node in enumerate(powers(tree)):
        changed = cloned(tree)
        call = powers(changed)[index]
        power: ast.BinOp = call.func.value  # type: ignore[attr-defined]
        inner = ast.Call(ast.Attribute(power.left, call.func.attr, ast.Load()), call.args, call.keywords)  # type: ignore[attr-defined]
        made = ast.BinOp(inner, power.op, power.right)
        _Replaced(call, made).visit(changed)
        yield changed, 1.1, f"`{ast.unparse(made)}` in place of `{ast.unparse(node)}`"


def _flattened(tree: ast.FunctionDef) -> Iterator[Change]:
    """Two tensors of as many numbers compared number by number, whatever their shapes."""
    compared = [each for each in ast.walk(tree) if isinstance(each, ast.Attribute) and each.attr == "shape"]
    if len(compared) < 2:
        return
    changed = _Flattened().visit(cloned(tree))
    yield changed, 1.2, "only the numbers of elements are compared, and the elements in their order"


class _Flattened(ast.NodeTransformer):
    def visit_Compare(self, node: ast.Compare) -> ast.expr:
        self.generic_visit(node)
        sides = (node.left, *node.comparators)
        if len(sides) == 2 and isinstance(node.ops[0], (ast.Eq, ast.NotEq)):
            if all(isinstance(each, ast.Attribute) and each.attr == "shape" for each in sides):
                counts = [_method(each.value, "numel") for each in sides]  # type: ignore[attr-defined]
                return ast.Compare(counts[0], node.ops, counts[1:])
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        if (
            isinstance(node.op, ast.Sub)
            and isinstance(node.left, ast.Name)
            and isinstance(node.right, ast.Name)
        ):
            return ast.BinOp(_method(node.left, "flatten"), node.op, _method(node.right, "flatten"))
        return node


def _method(value: ast.expr, name: str) -> ast.expr:
    return ast.Call(ast.Attribute(value, name, ast.Load()), [], [])


def _other_defaults(value: object, others: Sequence[object]) -> Iterator[object]:
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (new for new in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 16, 32) if new != value)
    elif isinstance(value, float):
        news = [value * 10, value / 10, value * 5, value / 5, value * 2, value / 2, value * 100, value * 1000]
        news += [
            value + 0.1,
            value - 0.1,
            value + 0.05,
            value - 0.05,
            value + 0.25,
            value - 0.25,
            1.0,
            0.0,
            0.5,
            2.0,
            1 - value,
            *(tenth / 10 for tenth in range(1, 10)),
            *(1.25, 1.5, 1.75, 3.0, 4.0, 5.0),
        ]
        news += [each for each in others if isinstance(each, float)]
        yield from dict.fromkeys(round(new, 9) for new in news if new != value)
    elif value is None:
        yield from (1, 2, True)


__all__ = ["Formula", "as_float", "edit_at", "edits_of", "respelled", "variants", "with_other_defaults"]
