"""Slips: the smallest edits of a reference that give all that a student's function gave.

Edits are tried one at a time, then two, and three where a call takes no time. What is found is a conjecture: whoever
asks confirms it with arguments that were not yet tried.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from casestudies.checking.compare import distance
from casestudies.checking.differences import Exhausted, Work
from casestudies.checking.edits import (
    as_float,
    edit_at,
    edits_of,
    respelled,
    variants,
    with_other_defaults,
)
from casestudies.checking.formulas import Edit, Formula, Uneditable, formula_of
from casestudies.checking.several import (
    BUDGET,
    LARGEST,
    STRUCTURE,
    Several,
    alone_in,
    cost_of,
    form_of,
    fresh,
    in_stages,
    numbers,
)
from casestudies.sandboxed.messages import Called, Failed, Value
from casestudies.sandboxed.torch_state import generator_kept

NEAR = 0.3  # what is heavier than the lightest by more than this is not told as well
MOST_KEPT = 60
MOST_MORE = 100  # by which all numbers are larger than they should be
FEW_NAMES = 2  # more, of which a variable of ours is made, say nothing about the place
APART = 3  # further calls that tell edits apart
LOOKED_AT = 160  # edits by which calls are compared
CHEAP = 2.5  # times the work of the cheapest call is little
MOST_NEUTRAL = 16  # edits of gradients and arguments that are tried beside others
MOST_BESIDE, ALL_BESIDE = (
    200,
    1000,
)  # that are tried beside an edit that gives all numbers but a few, and in all
FIRST, FIRST_OF_TENSORS = 3 * BUDGET // 5, 9 * BUDGET // 10
# of the work for a formula as it is: the rest is for those of another structure
ALONE = ("alone",)
CHEAP_STAGES = ("alone", "predicted_pairs", "item_by_item")
STAGES = ("neutral_pairs", "pairs", "predicted_triples", "triples", "step_by_step")


@dataclass(frozen=True)
class Known:
    """A call, and what the student's function answered."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    answer: Called | Failed
    wrong: bool  # the reference answers otherwise

    @property
    def plain(self) -> bool:
        return not any(isinstance(v, Tensor) or _holds(v) for v in (*self.args, *self.kwargs.values()))


def _holds(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, (list, tuple)) and any(map(_special, value)))


def _special(value: Any) -> bool:
    return isinstance(value, Tensor) or _holds(value)


@dataclass(frozen=True, eq=False)
class Slip:
    """Edits of a formula that give a student's answers."""

    base: Formula  # as it is asked for
    formula: Formula  # the same, multiplied out, or with another structure
    edits: tuple[Edit, ...]

    @property
    def weight(self) -> float:
        return (
            self.formula.weight
            + sum(edit.weight for edit in self.edits)
            + 0.01 * (self.formula is not self.base)
        )

    @property
    def function(self) -> Callable[..., Any]:
        return self.formula.with_edits(self.edits)

    def words(self) -> list[str]:
        told = [self.formula.words] if self.formula.words else []
        return told + [self.formula.words_of(edit) for edit in self.edits if edit.words]

    def where_it_matters(self, gives_all: Callable[[Callable[..., Any]], bool]) -> Slip:
        """The same slip, with what is done to a tensor that comes in done only where that changes something.

        So nothing is said of a use that any tensor of that shape would serve.
        """
        edits = self.edits
        for edit in self.edits:
            site = self.formula.sites[edit.site]
            if site.role != "argument" or site.kinds != {"tensor"}:
                continue
            uses = self.formula.uses_of(self.formula.arguments[edit.site])
            rest = tuple(each for each in edits if each is not edit)
            kept = tuple(replace(edit, site=use) for use in uses)
            if not uses or {each.site for each in rest} & set(uses):
                continue
            if not gives_all(self.formula.with_edits((*rest, *kept))):
                continue
            for each in kept:
                fewer = tuple(other for other in kept if other is not each)
                if fewer and gives_all(self.formula.with_edits((*rest, *fewer))):
                    kept = fewer
            edits = (*rest, kept[0], *(replace(each, words="") for each in kept[1:]))
        return self if edits is self.edits else replace(self, edits=edits)

    @property
    def slot(self) -> tuple[str, str | int] | None:
        """The value that the slip changes, where it is one: two such slips differ in what they put there."""
        if not self.edits and self.formula.words.startswith("the default of"):
            return "default", self.formula.words.split("`")[1]
        if len(self.edits) == 1 and isinstance(self.edits[0].instead, (ast.Constant, ast.UnaryOp)):
            return "value", self.edits[0].site
        if len(self.edits) == 1 and isinstance(
            getattr(self.formula.sites[self.edits[0].site].node, "op", None), ast.FloorDiv
        ):
            return "quotient", self.edits[0].site
        return None

    def told(self, slips: Sequence[Slip]) -> list[dict[str, str]]:
        """The differences; other values that no call told apart from this one are told as well."""
        found = self.differences()
        if not found:
            return []
        others = [each for each in slips if each is not self and self.slot and each.slot == self.slot]
        alike = [f"`{other['yours']}`" for each in others for other in each.differences()]
        alike = [each for each in dict.fromkeys(alike) if each != f"`{found[0]['yours']}`"][:2]
        if alike:
            found[0]["sentence"] += (
                f" Or, just as likely, {' or '.join(alike)}: none of the calls tells them apart."
            )
        return found

    @property
    def place(self) -> str:
        """Where to look, and nothing about what is there."""
        if not self.edits and self.formula.words.startswith("the default of"):
            return "Look at the defaults of the arguments."
        if [ast.unparse(edit.instead)[:6] for edit in self.edits] == ["float("]:
            return "Look at the type of the result."
        nodes = [self.formula.sites[edit.site].node for edit in self.edits]
        names = [n.id for node in nodes for n in ast.walk(node) if isinstance(n, ast.Name)]
        known = {name: "" for name in names if name in self.base.arguments}
        if (
            not known
        ):  # the variables are those of our formula: what they are made of is the student's as well
            known = {name: "" for each in dict.fromkeys(names) for name in self.base.made_of(each)}
        if not known or (len(known) > FEW_NAMES and set(known) == set(self.base.arguments) - set(names)):
            return "Look at the formula as a whole."
        return f"Look at what is done with {', '.join(f'`{name}`' for name in known)}."

    def differences(self) -> list[dict[str, str]]:
        """What is asked and what is written, as `report.differences` has them; nothing where no line shows it."""
        asked = self.base if self.formula.weight else self.formula  # multiplied out, both
        name = self.base.tree.name
        hunks = list(_hunks(asked.lines(), self.formula.lines(self.edits)))
        if asked.header != self.formula.header:
            hunks.insert(0, (asked.header, self.formula.header))
        if not hunks:
            return []
        clauses: list[list[str]] = [[] for _ in hunks]
        for words, place in zip(self.words(), self._places(asked, hunks), strict=True):
            clauses[place].append(words)
        if len(self.edits) > 1:  # which together may do something simpler than each
            clauses = [told and (_factors(*hunk) or told) for told, hunk in zip(clauses, hunks, strict=True)]
        return [
            {"asked": before, "yours": after, "where": name, "sentence": _sentence(before, after, told)}
            for (before, after), told in zip(hunks, clauses, strict=True)
        ]

    def _places(self, asked: Formula, hunks: Sequence[tuple[str, str]]) -> Iterator[int]:
        """In which of the changed places each edit is."""
        if self.formula.words:
            yield 0
        for edit in self.edits:
            if not edit.words:
                continue
            alone = list(_hunks(self.formula.lines(), self.formula.lines([edit])))
            places = [k for k, hunk in enumerate(hunks) if hunk in alone]
            places = places or [
                k
                for k, (before, after) in enumerate(hunks)
                if any(line in before if line else new in after for line, new in alone)
            ]
            yield places[0] if places else 0


def _hunks(asked: Sequence[str], yours: Sequence[str]) -> Iterator[tuple[str, str]]:
    for tag, a, b, c, d in _with_moves(
        asked, yours, difflib.SequenceMatcher(None, asked, yours, autojunk=False).get_opcodes()
    ):
        if tag == "equal":
            continue
        if tag != "moved" and b - a == d - c:
            yield from (_both_bare(asked[a + k], yours[c + k]) for k in range(b - a))
        elif a < b and c < d:
            yield _in_one_line(map(_bare, asked[a:b])), _in_one_line(map(_bare, yours[c:d]))
        else:  # a line by itself is shown whole: a value alone is no statement
            yield _in_one_line(map(str.strip, asked[a:b])), _in_one_line(map(str.strip, yours[c:d]))


Opcode = tuple[str, int, int, int, int]


def _with_moves(asked: Sequence[str], yours: Sequence[str], found: Sequence[Opcode]) -> Iterator[Opcode]:
    """The same, with what is gone at one place and there at another as one change of all that lies between."""
    rest = list(found)
    while rest:
        tag, a, b, c, d = rest.pop(0)
        there = [
            k
            for k, (other, e, f, g, h) in enumerate(rest)
            if {tag, other} == {"insert", "delete"}
            and (asked[a:b] or yours[c:d]) == (asked[e:f] or yours[g:h])
        ]
        if not there:
            yield tag, a, b, c, d
            continue
        _, _, b, _, d = rest[there[0]]
        del rest[: there[0] + 1]
        yield "moved", a, b, c, d


def _in_one_line(lines: Iterable[str]) -> str:
    """
    >>> _in_one_line(["if x:", "y = 1", "z = 2"])
    'if x: y = 1; z = 2'
    """
    return "; ".join(lines).replace(":; ", ": ")


def _bare(line: str) -> str:
    return line.strip().removeprefix("return ")


def _both_bare(asked: str, yours: str) -> tuple[str, str]:
    """Two lines beside each other; that something is returned is said where the other line does something else."""
    if asked.strip().startswith("return ") != yours.strip().startswith("return "):
        return asked.strip(), yours.strip()
    return _bare(asked), _bare(yours)


def _factors(asked: str, yours: str) -> list[str]:
    """Which factors are missing or too many, where both are sums of as many products and one of these differs."""
    try:
        sums = [_products(ast.parse(text, mode="eval").body) for text in (asked, yours)]
    except SyntaxError:
        return []
    left, right = [[each for each in one if each not in other] for one, other in (sums, sums[::-1])]
    if len(left) != 1 or len(right) != 1 or len(sums[0]) != len(sums[1]):
        return []
    missing, more = left[0] - right[0], right[0] - left[0]
    if not missing or more:
        return []
    return [f"the factor `{name}` is missing" for name in missing.elements()]


def _products(node: ast.expr) -> list[Counter[str]]:
    """The terms of a sum, each with its factors."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _products(node.left) + _products(node.right)
    return [Counter(_each_factor(node))]


def _each_factor(node: ast.expr) -> list[str]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _each_factor(node.left) + _each_factor(node.right)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow) and isinstance(node.right, ast.Constant):
        power = node.right.value
        if type(power) is int and power in (2, 3):
            return [ast.unparse(node.left)] * power
    return [ast.unparse(node)]


def _sentence(asked: str, yours: str, words: Sequence[str]) -> str:
    """What it behaves like. The words are about the two formulas: nobody knows how the student wrote the same."""
    told = "; ".join(dict.fromkeys(words))
    told = f" The difference: {told}." if told else ""
    if not yours:
        return f"Yours behaves as if `{asked}` were not there.{told}"
    if not asked:
        return f"Yours behaves as if `{yours}` were there as well.{told}"
    return f"Yours behaves like `{yours}`; asked for: `{asked}`.{told}"


# ------------------------------------------------------------------------------------------------- comparing


def same(value: Any, answer: Value) -> bool:
    """Whether a value of ours is what the student's function returned; the types of numbers count."""
    kind = answer.kind
    if isinstance(value, Tensor):
        if kind != "tensor" or value.shape != answer.value.shape:
            return False
        if value.is_floating_point() != answer.value.is_floating_point():
            return False
        if not value.numel():
            return True
        loose = 1e-6 if value.dtype == answer.value.dtype == torch.float64 else 3e-4
        gap, magnitude = distance(value.detach(), answer.value)
        return gap <= loose * max(magnitude, 1e-12)
    if isinstance(value, bool):
        return kind == "bool" and value == answer.value
    if isinstance(value, int):
        return kind == "int" and value == answer.value
    if isinstance(value, float):
        return kind == "float" and (
            value == answer.value or math.isclose(value, answer.value, rel_tol=1e-8, abs_tol=1e-15)
        )
    if isinstance(value, (tuple, list)):
        if kind not in ("tuple", "list") or len(value) != len(answer.value):
            return False
        return all(map(same, value, answer.value))
    if value is None:
        return kind == "none"
    if isinstance(value, (complex, nn.Module)):  # of which no more comes back
        return kind == "module" if isinstance(value, nn.Module) else answer.type == "complex"
    return isinstance(value, str) and kind == "str" and value == answer.value


def agrees(function: Callable[..., Any], call: Known) -> bool:
    """Whether the values are alike; gradients are not looked at."""
    answer = call.answer
    if isinstance(answer, Failed) and answer.doing == "computing gradients (backward)":
        return True  # the value is not known
    try:
        value = function(*map(fresh, call.args), **{name: fresh(v) for name, v in call.kwargs.items()})
    except Exception as error:
        return without_places(answer) or (isinstance(answer, Failed) and answer.type == type(error).__name__)
    return isinstance(answer, Called) and same(value, answer.value)


def without_places(answer: Called | Failed) -> bool:
    """Whether a tensor without numbers was returned: of a window that has no place some functions raise."""
    return isinstance(answer, Called) and answer.value.kind == "tensor" and not answer.value.value.numel()


def key_of(function: Callable[..., Any], call: Known) -> Any:
    """The value as something that can be compared with that of another edit, in a table."""
    try:
        return _key(function(*map(fresh, call.args), **{name: fresh(v) for name, v in call.kwargs.items()}))
    except Exception as error:
        return type(error).__name__


def _key(value: Any) -> Any:
    if isinstance(value, Tensor):
        flat = value.detach().double().flatten()
        some = [*flat[:6].tolist(), float(flat.sum()), float((flat * flat).sum())] if flat.numel() else []
        return (*value.shape, *(float(f"{x:.7e}") for x in some))
    if isinstance(value, float):
        return "float", float(f"{value:.10e}")
    if isinstance(value, (tuple, list)):
        return tuple(map(_key, value))
    return type(value).__name__, value if isinstance(value, (int, str)) else None


# ------------------------------------------------------------------------------------------------- searching


@dataclass
class Search:
    """Looks for the edits of one function that give a student's answers.

    `gives_all` decides whether a function gives all that the student's gave, gradients and arguments included.
    """

    function: Callable[..., Any]
    calls: Sequence[Known]
    gives_all: Callable[[Callable[..., Any]], bool]
    # Whether it is explained otherwise: asked before the longer searches.
    otherwise: Callable[[], bool] = lambda: False
    quick: bool = True  # the values can be compared by themselves, before `gives_all` is asked
    ordered: list[Known] = field(init=False)
    enough: int = field(init=False, default=MOST_KEPT)
    left: int = field(init=False, default=ALL_BESIDE)

    def __post_init__(self) -> None:
        self.ordered = sorted(self.calls, key=lambda call: (not call.wrong, not call.plain))

    def run(self, deep: bool = True, enough: int = MOST_KEPT) -> list[Slip]:
        """The lightest edits that explain the answers, the lightest first; one edit only, where it is not `deep`.
        Of single edits no more are looked for than are `enough`."""
        self.enough = enough
        base = formula_of(self.function)
        if base is None or not any(call.wrong for call in self.calls):
            return []
        with warnings.catch_warnings(), generator_kept():
            warnings.simplefilter("ignore")
            deep = deep and not (self.quick and all(agrees(base.plain, call) for call in self.ordered))
            for stage in (
                (self.one, self.scaled, self.floats, self.defaulted, self.typed, self.several)
                if deep
                else (self.one,)
            ):
                if stage == self.scaled and self.otherwise():
                    return []
                try:
                    found = stage(base)
                except Uneditable:  # a known limit, such as a `raise` in it; it is still changed as a whole
                    continue
                if found:
                    lightest = min(slip.weight for slip in found)
                    near = [slip for slip in found if slip.weight <= lightest + NEAR]
                    return sorted(near, key=lambda slip: slip.weight)[:MOST_KEPT]
        return []

    def formulas(self, base: Formula) -> list[Formula]:
        """The formula as it is, and multiplied out."""
        return [base, *(made for made in variants_of(base) if not made.weight)]

    def matches(self, function: Callable[..., Any]) -> bool:
        if self.quick and not all(agrees(function, call) for call in self.ordered):
            return False
        return self.gives_all(function)

    def one(self, base: Formula) -> list[Slip]:
        found: list[Slip] = []
        for formula in self.formulas(base):
            for edit in self.edits(formula):
                if found and edit.weight > found[0].weight + NEAR:
                    break
                if self.matches(formula.with_edits((edit,))):
                    found.append(Slip(base, formula, (edit,)))
                    if len(found) >= self.enough:
                        return found
        for formula in variants_of(base):
            if formula.weight and self.matches(formula.plain):
                found.append(Slip(base, formula, ()))
        return found

    def defaulted(self, base: Formula) -> list[Slip]:
        """An edit that gives all where every argument is given, beside a default that is another one."""
        explicit = [call for call in self.ordered if len(call.args) + len(call.kwargs) == len(base.arguments)]
        if not self.quick or not any(call.wrong for call in explicit) or len(explicit) == len(self.ordered):
            return []
        made: list[tuple[Formula, tuple[Edit, ...]]] = [(base, (edit,)) for edit in self.edits(base)]
        made += [(each, ()) for each in variants_of(base) if each.weight]
        found: list[Slip] = []
        for formula, edits in made:
            function = formula.with_edits(edits)
            if all(agrees(function, call) for call in explicit):
                for each in with_other_defaults(formula):
                    each.run  # noqa: B018 - builds the sites, which are those of the formula
                    if self.matches(each.with_edits(edits)):
                        found.append(Slip(base, each, edits))
                if len(found) >= self.enough:
                    break
        return found

    def typed(self, base: Formula) -> list[Slip]:
        if base not in RESPELLED:
            RESPELLED[base] = respelled(base)
        return [Slip(base, each, ()) for each in RESPELLED[base] if self.matches(each.plain)]

    def scaled(self, base: Formula) -> list[Slip]:
        """All numbers so many times what is asked for, or so much more: how many, a student's number tells."""
        base.run  # noqa: B018 - builds the sites
        results = [site for site in base.sites if site.role == "return"]
        for call in self.ordered if len(results) == 1 and results[0].kinds <= {"int", "float"} else ():
            given, right = self.number(call), self.number_of(base, call)
            if call.wrong and given is not None and right:
                found = []
                for text, words in _times(given, right):
                    edit = edit_at(base, results[0], 1.35, text, words)
                    if self.matches(base.with_edits((edit,))):
                        found.append(Slip(base, base, (edit,)))
                return found
        return []

    @staticmethod
    def number(call: Known) -> int | float | None:
        value = call.answer.value.value if isinstance(call.answer, Called) else None
        return value if type(value) in (int, float) else None

    @staticmethod
    def number_of(base: Formula, call: Known) -> int | float | None:
        try:
            value = base.plain(*map(fresh, call.args), **{name: fresh(v) for name, v in call.kwargs.items()})
        except Exception:
            return None
        return value if type(value) in (int, float) else None

    def floats(self, base: Formula) -> list[Slip]:
        """A float in every call where a whole number is asked for, and one slip more."""
        kinds = {call.answer.value.kind for call in self.calls if isinstance(call.answer, Called)}
        right = [key_of(base.plain, call)[:1] for call in self.ordered if isinstance(call.answer, Called)]
        if kinds != {"float"} or set(right) != {("int",)}:
            return []
        if base not in FLOATS:
            made = [as_float(each) for each in [base, *variants_of(base)]]
            FLOATS[base] = [each for each in made if each is not None]
        found = [Slip(base, each, ()) for each in FLOATS[base] if self.matches(each.plain)]
        for edit in [] if found else self.edits(FLOATS[base][0]):
            if found and edit.weight > found[0].edits[0].weight + NEAR:
                break
            if self.matches(FLOATS[base][0].with_edits((edit,))):
                found.append(Slip(base, FLOATS[base][0], (edit,)))
        return found

    def edits(self, formula: Formula) -> list[Edit]:
        if formula not in WATCHED:
            WATCHED.add(formula)
            with contextlib.suppress(Exception):  # with an edit of the structure it may not run
                formula.watch([(list(map(fresh, call.args)), call.kwargs) for call in self.calls])
                formula.edits = edits_of(formula)
        return formula.edits

    def several(self, base: Formula) -> list[Slip]:
        """Two slips and more, of the formula as it is or of one of another structure."""
        telling = self.telling(base) if self.quick else None
        if telling is None:
            return []
        first = FIRST if telling.plain else FIRST_OF_TENSORS
        work, found = Work(first), list[Slip]()
        # Whole numbers are often the same by chance.
        apart = [(call.args, call.kwargs) for call in self.ordered if call.plain and call is not telling]
        apart = apart[:: -(-len(apart) // APART) or 1]
        answer = plain_value(telling.answer.value)  # type: ignore[union-attr]  # it is one that returned

        def searched(formula: Formula, alone: bool = False) -> Several | None:
            with contextlib.suppress(Exhausted):
                edits = self.edits(formula)
                verify, item = partial(self.confirmed, formula), partial(self.gives_item, formula)
                others = [] if alone else apart
                return Several(
                    formula, edits, telling.args, telling.kwargs, answer, verify, work, others, item, alone
                )
            return None

        def look(search: Several | None, stages: Sequence[str]) -> None:
            if search is not None and not found:
                sets = in_stages(search, stages)
                found.extend(Slip(base, search.formula, edits) for edits in sets)

        def alone(formula: Formula) -> None:
            if not found and (search := searched(formula, alone=True)) is not None:
                found.extend(Slip(base, formula, edits) for edits in alone_in(search))

        formulas = self.formulas(base)
        for formula in formulas:  # what is cheap in all of them, and then the rest
            alone(formula)
        plain = []
        for formula in formulas if not found else []:
            plain.append(searched(formula))
            look(plain[-1], CHEAP_STAGES)
        for search in plain:
            look(search, STAGES)
        work.left = max(work.left, 0) + BUDGET - first
        structures = [] if found else self.nearest_structures(base, telling, answer)
        for stages, least in ((ALONE, work.left // 2), (CHEAP_STAGES, 0)):
            for formula in structures:
                if found or work.left < least + STRUCTURE:
                    break
                work.spend(STRUCTURE)
                if stages is ALONE:
                    alone(formula)
                else:
                    look(searched(formula), stages)
        return found

    def gives_item(self, formula: Formula, edits: tuple[Edit, ...], item: int) -> bool:
        """Whether a formula with some edits gives one of the numbers of each answer."""
        function = formula.with_edits(edits)
        for call in self.ordered:
            if isinstance(call.answer, Called) and len(call.answer.value.value) > item:
                try:
                    value = function(
                        *map(fresh, call.args), **{name: fresh(v) for name, v in call.kwargs.items()}
                    )
                except Exception:
                    return False
                if not (
                    isinstance(value, tuple)
                    and len(value) > item
                    and same(value[item], call.answer.value.value[item])
                ):
                    return False
        return True

    def telling(self, base: Formula) -> Known | None:
        """The call that tells most edits apart, for little work."""
        calls = [
            (call, found)
            for call in self.ordered
            if call.wrong
            and isinstance(call.answer, Called)
            and (found := numbers(plain_value(call.answer.value))) is not None
        ]
        if not calls:
            return None
        # Where only the type is another, or the gradients are, the number tells nothing.
        calls = [each for each in calls if not self.is_right(base, *each)] or calls
        costs = [cost_of(base, call.args, call.kwargs) for call, _ in calls]
        plain = all(call.plain for call, _ in calls)
        cheap = [each for each, cost in zip(calls, costs, strict=True) if plain or cost <= CHEAP * min(costs)]
        edits = self.edits(base)
        some = edits[:: -(-len(edits) // (LOOKED_AT if plain else LOOKED_AT // 4)) or 1]

        def told(each: tuple[Known, list[float]]) -> tuple[int, float]:
            values = {_in_digits(key_of(base.with_edits((edit,)), each[0])) for edit in some}
            return len(values), sum(map(abs, each[1]))

        return max(cheap, key=told)[0]

    @staticmethod
    def is_right(base: Formula, call: Known, given: list[float]) -> bool:
        """Whether the numbers of an answer are those that the formula gives."""
        try:
            right = numbers(
                base.plain(*map(fresh, call.args), **{n: fresh(v) for n, v in call.kwargs.items()})
            )
        except Exception:
            return False
        close = partial(math.isclose, rel_tol=1e-9)
        return right is not None and len(right) == len(given) and all(map(close, right, given))

    def nearest_structures(self, base: Formula, telling: Known, answer: Any) -> list[Formula]:
        """The formulas of another structure, first those whose value is nearest to the student's."""
        target = numbers(answer)

        def distance(formula: Formula) -> float:
            try:
                value = formula.plain(*map(fresh, telling.args), **telling.kwargs)
            except Exception:
                return 2.0
            found = numbers(value)
            if found is None or target is None or form_of(value) != form_of(answer):
                return 2.0
            gaps = [(abs(a - b), abs(b)) for a, b in zip(found, target, strict=True)]
            if not all(math.isfinite(gap) for gap, _ in gaps):
                return 2.0
            return sum(gap / (gap + max(size, 1e-12)) for gap, size in gaps) / len(gaps)

        def is_right(formula: Formula) -> bool:
            return key_of(formula.plain, telling) == key_of(base.plain, telling)

        structures = [each for each in variants_of(base) if each.weight]
        near = {id(each): distance(each) for each in structures}
        given = {
            id(each) for each in structures if each.words.startswith("the default of") and is_right(each)
        }
        # Last those that matter in other calls only.
        return sorted(structures, key=lambda each: (id(each) in given, near[id(each)] + 0.01 * each.weight))

    def confirmed(
        self, formula: Formula, edits: tuple[Edit, ...], neutral: Sequence[Edit]
    ) -> tuple[Edit, ...] | None:
        """The edits, if they give all that the student's function gave; with one more where that is what only the
        gradients and the arguments show."""
        function = formula.with_edits(edits)
        if not all(agrees(function, call) for call in self.ordered):
            return self.beside(formula, edits[0], neutral) if len(edits) == 1 else None
        if self.gives_all(function):
            return edits
        sites = {edit.site for edit in edits}
        for more in [edit for edit in neutral if edit.site not in sites][:MOST_NEUTRAL]:
            if self.matches(formula.with_edits((*edits, more))):
                return (*edits, more)
        return None

    def beside(self, formula: Formula, edit: Edit, neutral: Sequence[Edit]) -> tuple[Edit, ...] | None:
        """An edit that gives most numbers, with another that matters in the rest of the calls and not in this one."""
        if not self.left or not self.calls[0].plain:
            return None
        function = formula.with_edits((edit,))
        missed = [call for call in self.ordered if not agrees(function, call)]
        if 2 * len(missed) > len(self.ordered):
            return None
        for more in [each for each in neutral if each.site != edit.site][: min(MOST_BESIDE, self.left)]:
            self.left -= 1
            both = formula.with_edits((edit, more))
            if all(agrees(both, call) for call in missed) and self.matches(both):
                return edit, more
        return None


def _times(given: int | float, right: int | float) -> Iterator[tuple[str, str]]:
    """How a number may come from the right one, each with the words for it."""
    times, more = given / right, given - right
    if math.isfinite(times) and abs(times) >= 1.5 and math.isclose(times, round(times), rel_tol=1e-9):
        yield f"{round(times)} * {{whole}}", f"the result is {round(times)} times what is asked for"
    parts = 1 / times if times else math.inf
    if math.isfinite(parts) and abs(parts) >= 1.5 and math.isclose(parts, round(parts), rel_tol=1e-9):
        for sign in ("/", "//"):
            yield f"{{whole}} {sign} {round(parts)}", f"the result is divided by {round(parts)}: `{{new}}`"
    if type(more) is int and 0 < more < MOST_MORE:
        yield f"{{whole}} + {more}", f"the result is {more} too large"
    elif type(more) is int and -MOST_MORE < more < 0:
        yield f"{{whole}} - {-more}", f"the result is {-more} too small"


def _in_digits(key: Any) -> Any:
    """What a number looks like to the search, which compares few digits: of a very large one a term may be lost."""
    if isinstance(key, tuple):
        return tuple(map(_in_digits, key))
    return float(f"{key:.6e}") if isinstance(key, int) and abs(key) < LARGEST else key


def plain_value(value: Value) -> Any:
    """What a student's function returned, as a value of Python's."""
    if value.kind in ("tuple", "list"):
        made = [plain_value(each) for each in value.value]
        return tuple(made) if value.kind == "tuple" else made
    return value.value


WATCHED: set[Formula] = set()
VARIANTS: dict[Formula, list[Formula]] = {}
RESPELLED: dict[Formula, list[Formula]] = {}
FLOATS: dict[Formula, list[Formula]] = {}


def variants_of(base: Formula) -> list[Formula]:
    if base not in VARIANTS:
        VARIANTS[base] = variants(base)
    return VARIANTS[base]
