"""Several: sets of edits of a formula that together give a student's answers.

Pairs and triples of hundreds of edits are too many to be run. But what one edit does to a value mostly does not
depend on whether another is made: it is a factor, or a term. So single edits are run, and pairs of the lightest; what
larger sets would give is predicted from those, and only what is predicted to give the answer is run. Where an edit
does depend on another, as inside of its brackets, sets grow edit by edit, from those that come nearest to the answer.

How much is looked at is counted, not timed: the same answer gets the same explanation on every machine.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import combinations, islice, product
from typing import Any

import torch
from torch import Tensor, nn

from casestudies.checking.differences import Exhausted, Work
from casestudies.checking.formulas import Edit, Formula, Site, dumped

# Work is counted in microseconds or so of a usual machine.
TENSOR, OTHER, MODULE = 3.5, 0.15, 60.0  # an operation on tensors, any other value, a module or a convolution
RUN = 2  # to run a formula at all
BUDGET = 550_000  # for one function
PAIRS, TRIPLES = 0.3, 0.3  # the shares of it in which pairs and triples are run
STRUCTURE = 6_000  # to read another formula, and to find its edits
VERIFIED = 300  # predicted sets that are run
ALIKE = 3  # edits that are kept of those that give the same in one call
THREE = 110  # edits of which three are tried at once
WIDTH, REACH, DEPTH = (
    16,
    90,
    4,
)  # of the search step by step: sets that go on, edits that are added, edits at most
SAMPLE = 16  # numbers of a tensor that are looked at
SAME = 1e-7
LARGE = 4  # times as many numbers as the answer has
DEEP = 3  # lists in lists; an edit may put one into itself
MOST_USES = 5  # of an argument of which any may be its default
LARGEST = 1e30  # number of an answer
# Of sums in which two factors may be changed, and edits that may change them.
MOST_TERMS, MOST_FACTORS = 4, 400
MOST_ITEMS = 4  # of an answer that are looked at one by one
# Of edits that change nothing alone and are tried by twos: the weight, and how many.
LIGHT, MOST_NEUTRAL = 1.3, 160


@dataclass(frozen=True, eq=False)
class Move:
    """An edit, or the same edit in all alike places: one slip."""

    edits: tuple[Edit, ...]
    weight: float
    sites: frozenset[int]


def moves_of(formula: Formula, edits: Iterable[Edit]) -> list[Move]:
    """The moves that are made of edits, the lightest first."""
    edits = list(edits)
    single = [Move((edit,), edit.weight, frozenset({edit.site})) for edit in edits]
    alike: dict[tuple[str, str], list[Edit]] = {}
    kinds = {site.number: _kind(site.node) for site in formula.sites}
    for edit in edits:
        if kinds[edit.site]:
            alike.setdefault((kinds[edit.site], dumped(edit.instead)), []).append(edit)
    everywhere = [
        Move(tuple(group), group[0].weight + 0.1, frozenset(edit.site for edit in group))
        for group in alike.values()
        if 1 < len(group) == len({edit.site for edit in group})
    ]
    found = [*single, *everywhere, *_defaults_written(formula, edits), *_factors_left_out(formula, edits)]
    found += _other_axes(formula, edits)
    return sorted(found, key=lambda move: move.weight)


def _other_axes(formula: Formula, edits: Sequence[Edit]) -> list[Move]:
    """An argument with two axes exchanged, and the result with them back: what is done, along another axis."""
    found = []
    for one in edits:
        text = ast.unparse(one.instead) if one.site < len(formula.arguments) else ""
        if text.startswith("_0.transpose(") and text.count("(") == 1:
            for other in edits:
                site = formula.sites[other.site]
                if (
                    site.role == "return"
                    and ast.unparse(other.instead).endswith(text[2:])
                    and other.weight < 1.6
                ):
                    back = ast.unparse(other.instead)
                    if (
                        back == f"({ast.unparse(site.template)}){text[2:]}"
                        or back == f"{ast.unparse(site.template)}{text[2:]}"
                    ):
                        found.append(Move((one, other), 1.5, frozenset({one.site, other.site})))
    return found


def _placed(edit: Edit) -> str:
    """The part that stands alone where an edit leaves out the other; "" if it does something else."""
    return edit.instead.id if isinstance(edit.instead, ast.Name) else ""


def _factors_left_out(formula: Formula, edits: Sequence[Edit]) -> list[Move]:
    """Two factors of one product left out, such as the grid, height and width: one slip."""
    gone: dict[int, Edit] = {}  # of a product a * b the edit that leaves out b
    for edit in edits:
        node = formula.sites[edit.site].node
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult) and _placed(edit) == "_0":
            gone[id(node)] = edit
    found = []
    for one in gone.values():
        inner = formula.sites[one.site].node
        while isinstance(inner, ast.BinOp) and isinstance(inner.left, ast.BinOp):
            inner = inner.left
            if (other := gone.get(id(inner))) is not None:
                found.append(Move((one, other), one.weight + 0.3, frozenset({one.site, other.site})))
    return found


def _defaults_written(formula: Formula, edits: Sequence[Edit]) -> list[Move]:
    """An argument's default written out in several of its uses, which is one slip."""
    found = []
    for name, default in formula.defaults.items():
        uses, written = set(formula.uses_of(name)), repr(default)
        at_uses = (edit for edit in edits if edit.site in uses)
        there = [edit for edit in at_uses if ast.unparse(edit.instead) == written]
        if type(default) in (int, float) and len(there) <= MOST_USES:
            found += [
                Move(some, some[0].weight + 0.1 * (count - 1), frozenset(edit.site for edit in some))
                for count in range(2, len(there) + 1)
                for some in combinations(there, count)
            ]
    return found


def _kind(node: ast.expr) -> str:
    """What must be the same in alike places; "" where there are none."""
    if isinstance(node, ast.BinOp):
        return type(node.op).__name__
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.Call):
        return ast.unparse(node.func)
    return ""


def numbers(value: Any, depth: int = 0) -> list[float] | None:
    """Some numbers of a value, always the same places; None where it has none."""
    if isinstance(value, Tensor):
        if not value.is_floating_point() or not value.numel():
            return None
        flat = value.detach().double().flatten()
        sampled: list[float] = flat[:: -(-len(flat) // SAMPLE)].tolist()
        return sampled
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return [float(value)] if abs(value) < LARGEST else None
    if isinstance(value, (tuple, list)) and value and depth < DEEP:
        found: list[float] = []
        for each in value:
            some = numbers(each, depth + 1)
            if some is None:
                return None
            found += some
        return found
    return None


def form_of(value: Any, depth: int = 0) -> Any:
    """What two values must share so that their numbers can be compared."""
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)) and depth < DEEP:
        return tuple([form_of(each, depth + 1) for each in value])
    return ()


def fresh(value: Any) -> Any:
    """An argument that an edit may change."""
    if type(value) is list:
        return [fresh(each) for each in value]
    if isinstance(value, nn.Module):
        anew = getattr(value, "anew", None)  # see functions.py: candidates share what it keeps
        return anew() if callable(anew) else value
    return value.clone() if isinstance(value, Tensor) else value


def _price(site: Site) -> float:
    """How much work it is to compute the value of a site, if that is a tensor."""
    if isinstance(site.node, ast.Name):
        return OTHER
    if not isinstance(site.node, ast.Call) or not isinstance(site.template, ast.Call):
        return TENSOR
    called = site.template.func
    module = isinstance(called, ast.Name) and called.id == "_0"
    return MODULE if module or "conv" in ast.unparse(site.node.func) else TENSOR


def cost_of(formula: Formula, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float:
    """How much work it is to run a formula with some arguments."""
    formula.run  # noqa: B018 - builds the sites
    plain = {f"_n{site.number}": formula.space[f"_n{site.number}"] for site in formula.sites}
    spent = 0.0

    def counted(name: str, price: float) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            nonlocal spent
            value = plain[name](*given)
            spent += price if isinstance(value, Tensor) else OTHER
            return value

        return run

    for site in formula.sites:
        formula.space[f"_n{site.number}"] = counted(f"_n{site.number}", _price(site))
    try:
        formula.run(*map(fresh, args), **kwargs)
    except Exception:
        return MODULE
    finally:
        formula.space.update(plain)
    return max(spent, 1.0)


@dataclass(eq=False)
class Several:
    """The search in one formula. `telling` is a call that it gives a wrong value in, `answer` the student's value."""

    formula: Formula
    edits: Sequence[Edit]
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    answer: Any
    verify: Callable[[tuple[Edit, ...], Sequence[Edit]], tuple[Edit, ...] | None]
    work: Work
    apart: Sequence[
        tuple[Sequence[Any], Mapping[str, Any]]
    ] = ()  # calls that tell edits apart, beside that one
    # As `verify`, of one number of an answer of several.
    verify_item: Callable[[tuple[Edit, ...], int], bool] | None = None
    alone_only: bool = False
    cost: float = field(init=False)
    moves: list[Move] = field(init=False)
    neutral: list[Edit] = field(init=False)  # that change no value: gradients, arguments
    singles: Tensor = field(init=False)
    asked: set[tuple[int, ...]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.cost = cost_of(self.formula, self.args, self.kwargs)
        self.price = round(self.cost) + RUN
        # Numbers need no copy; a list, a tensor or a module may be changed by an edit.
        self.unchanging = all(isinstance(each, (int, float)) for each in self.args)
        self.form = form_of(self.answer)
        self.size = self.answer.numel() if isinstance(self.answer, Tensor) else 1
        target = numbers(self.answer)
        assert target is not None
        self.target = torch.tensor(target, dtype=torch.float64)
        self.few = sorted({0, len(target) // 2})  # numbers that are predicted
        self.unknown = [math.nan] * len(target)  # of another form
        self.plain = self.run(()) or self.unknown
        self.base = torch.tensor(self.plain, dtype=torch.float64)
        self.neutral = []
        if not self.alone_only:
            self._look()

    def run(self, edits: Iterable[Edit]) -> list[float] | None:
        """Numbers of what the formula gives with some edits; None where they are no numbers of the answer's form."""
        value = self._value(edits, self.args, self.kwargs)
        return None if self.raised or form_of(value) != self.form else numbers(value)

    def _value(self, edits: Iterable[Edit], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.work.spend(self.price)
        space, run, alternatives = self.formula.space, self.formula.run, self.formula.alternatives
        changes = [
            (f"_n{edit.site}", alternatives.get(edit) or self.formula.alternative(edit)) for edit in edits
        ]
        before = [(name, space[name]) for name, _ in changes]
        space.update(changes)
        self.raised = False
        try:
            value = run(*args, **kwargs) if self.unchanging else run(*map(fresh, args), **kwargs)
        except Exception:
            self.raised = True
            return None
        finally:
            space.update(before)
        self.large = isinstance(value, Tensor) and value.numel() > LARGE * self.size
        return value

    def _told_apart(self, edits: Sequence[Edit]) -> tuple[Any, ...]:
        """What tells edits apart that give the same in the telling call."""
        found = (numbers(self._value(edits, args, kwargs)) for args, kwargs in self.apart)
        return tuple(None if each is None else tuple(float(f"{x:.9e}") for x in each) for each in found)

    def _look(self) -> None:
        """Runs each edit alone. Of those that do the same in this call, a few are kept as one."""
        alike: dict[tuple[Any, ...], list[Move]] = {}
        plain = self._told_apart(())
        rows: list[list[float]] = []
        kept: list[Move] = []
        self.neutral = []
        self.lost: list[Move] = []  # that raise: only with others
        for move in moves_of(self.formula, self.edits):
            row = self.run(move.edits)
            if row is None and self.raised:
                self.lost.append(move)
                continue
            if self.large:  # others with it take as long
                continue
            if row is None:
                rows.append(self.unknown)
                kept.append(move)
                continue
            others = self._told_apart(move.edits)
            if row == self.plain and others == plain:
                self.neutral.extend(move.edits)
                continue
            key = (*(float(f"{x:.9e}") for x in row), *others)
            if key not in alike:
                rows.append(row)
                kept.append(move)
            alike.setdefault(key, []).append(move)
        self.others = {id(group[0]): group[: ALIKE**2] for group in alike.values()}
        self.singles = torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(self.target))
        # The lightest first, and those that bring the value nearer to the answer.
        self.near = self._distance(self.singles).nan_to_num(1.0)
        price = self.near * 0.6 + torch.tensor([move.weight for move in kept], dtype=torch.float64)
        order = price.argsort(stable=True)
        self.moves = [kept[k] for k in order.tolist()]
        self.singles, self.near = self.singles[order], self.near[order]

    def _distance(self, rows: Tensor) -> Tensor:
        """How far values are from the answer, from 0 to 1."""
        scale = (self.target.abs() + self.base.nan_to_num().abs()).clamp_min(1e-12)
        gap = (rows - self.target).abs()
        return (gap / (gap + 0.1 * scale)).mean(-1)

    def confirmed(self, chosen: Sequence[Move]) -> tuple[Edit, ...] | None:
        """Edits that do what these moves do in this call, as far as they give all that is known."""
        each = ALIKE if len(chosen) > 1 else ALIKE**2
        found = [self.others.get(id(move), [move])[:each] for move in chosen]
        for made in islice(product(*found), ALIKE**2):
            sites = [site for move in made for site in move.sites]
            key = tuple(sorted(map(id, made)))
            if len(set(sites)) != len(sites) or key in self.asked:
                continue
            self.asked.add(key)
            self.work.spend(round(2 * self.cost) + 1)
            edits = self.verify(tuple(edit for move in made for edit in move.edits), self.neutral)
            if edits is not None:
                return edits
        return None

    def _hits(self, rows: Tensor, target: Tensor | None = None) -> Tensor:
        """Which rows are the answer; infinite numbers stand where they stand in it."""
        target = self.target if target is None else target
        magnitude = self.target.nan_to_num(0.0, 0.0, 0.0).abs().max().clamp_min(1e-12)
        return ((rows == target) | ((rows - target).abs() <= SAME * magnitude)).all(-1)

    def tried(self, sets: Iterable[tuple[Move, ...]], most: int = VERIFIED) -> list[tuple[Edit, ...]]:
        ordered = sorted(sets, key=lambda chosen: sum(move.weight for move in chosen))
        found: list[tuple[Edit, ...]] = []
        lightest = 0.0
        for chosen in ordered[:most]:
            weight = sum(move.weight for move in chosen)
            if found and weight > lightest + 0.3:
                break
            try:
                edits = self.confirmed(chosen)
            except Exhausted:
                if found:
                    break
                raise
            if edits is not None:
                lightest = lightest if found else weight
                found.append(edits)
        return found

    # ------------------------------------------------------------------------------------------------ the stages

    def alone(self) -> list[tuple[Edit, ...]]:
        """Single moves: of another formula than the one that is asked for, or in several places at once."""
        return self.tried((self.moves[k],) for k in self._hits(self.singles).nonzero().flatten().tolist())

    def item_by_item(self) -> list[tuple[Edit, ...]]:
        """Of an answer of several numbers each by itself: sets that change that number alone, with those of the
        others."""
        width = len(self.target)
        if not isinstance(self.answer, tuple) or not 1 < width <= MOST_ITEMS or self.verify_item is None:
            return []
        each: list[list[tuple[Move, ...]]] = []
        for item in range(width):
            rest = [k for k in range(width) if k != item]
            if _near(float(self.base[item]), float(self.target[item])):
                each.append([()])
                continue
            alone = self._hits(self.singles[:, rest], self.base[rest]).nonzero().flatten().tolist()
            values, wanted, base = self.singles[alone, item], self.target[item], self.base[item]
            sets: list[tuple[Move, ...]] = [
                (self.moves[k],)
                for k, value in zip(alone, values.tolist(), strict=True)
                if _near(value, float(wanted))
            ]
            self.work.spend(len(alone) ** 2 // 30 + 1)
            one, other = values[:, None], values[None]
            size = SAME * wanted.abs()
            hits = ((one + other - base - wanted).abs() <= size) | (
                (one * other / base - wanted).abs() <= size
            )
            places = [(i, j) for i, j in hits.nonzero().tolist() if i < j]
            sets += [(self.moves[alone[i]], self.moves[alone[j]]) for i, j in places]
            # Inside of brackets neither is a term nor a factor of the whole: the lightest are run.
            for i, j in combinations(range(min(len(alone), THREE // 2)), 2):
                a, b = self.moves[alone[i]], self.moves[alone[j]]
                if a.sites.isdisjoint(b.sites):
                    row = self.run((*a.edits, *b.edits))
                    if row is not None and _near(row[item], float(wanted)):
                        sets.append((a, b))
            sets = [some for some in sets if len(some) < 2 or some[0].sites.isdisjoint(some[1].sites)]
            sets.sort(key=lambda some: sum(move.weight for move in some))
            right = (some for some in sets[:VERIFIED] if self._gives_item(some, item))
            each.append(list(islice(right, ALIKE)))
        return self.tried(tuple(move for some in chosen for move in some) for chosen in product(*each))

    def _gives_item(self, chosen: Sequence[Move], item: int) -> bool:
        assert self.verify_item is not None
        self.work.spend(round(2 * self.cost) + 1)
        return self.verify_item(tuple(edit for move in chosen for edit in move.edits), item)

    def neutral_pairs(self) -> list[tuple[Edit, ...]]:
        """Two edits of which each changes nothing here as long as the other is not made."""
        light = [edit for edit in self.neutral if edit.weight <= LIGHT][:MOST_NEUTRAL]
        target = self.target.tolist()
        found: list[tuple[Move, ...]] = []
        for one, other in combinations(light, 2):
            if one.site != other.site:
                row = self.run((one, other))
                if row is not None and all(map(_near, row, target)):
                    moves = [Move((each,), each.weight, frozenset({each.site})) for each in (one, other)]
                    found.append(tuple(moves))
        return self.tried(found, 4 * VERIFIED)

    def predicted_pairs(self) -> list[tuple[Edit, ...]]:
        """Pairs that give the answer if both are factors, or both are terms."""
        count = len(self.moves)
        if count < 2:
            return []
        self.work.spend(count * count // 30 + 1)
        few, base = self.singles[:, self.few], self.base[self.few]
        one, other, target = few[:, None], few[None], self.target[self.few]
        hits = self._hits(one + other - base, target) | self._hits(one * other / base, target)
        light = few[:MOST_FACTORS]
        one, other = light[:, None], light[None]
        for rest in self._without_a_term():  # both are factors of that term
            self.work.spend(len(light) ** 2 // 30 + 1)
            rest = rest[self.few]
            hits[: len(light), : len(light)] |= self._hits(
                rest + (one - rest) * (other - rest) / (base - rest), target
            )
        return self.tried((self.moves[i], self.moves[j]) for i, j in hits.nonzero().tolist() if i < j)

    def _without_a_term(self) -> list[Tensor]:
        """What the formula gives without one of the terms of a sum."""
        found: list[Tensor] = []
        for move, row in zip(self.moves, self.singles, strict=True):
            node = self.formula.sites[move.edits[0].site].node
            if (
                len(move.edits) == 1
                and isinstance(node, ast.BinOp)
                and isinstance(node.op, (ast.Add, ast.Sub))
            ):
                gone = isinstance(move.edits[0].instead, ast.Name) and move.edits[0].instead.id in (
                    "_0",
                    "_1",
                )
                if (
                    gone
                    and bool((row != self.base).all())
                    and not any(torch.equal(row, each) for each in found)
                ):
                    found.append(row)
        return found[:MOST_TERMS]

    def pairs(self) -> list[tuple[Edit, ...]]:
        """Pairs of the lightest that give the answer when they are run; their values are kept."""
        most = int((2 * PAIRS * BUDGET / (self.cost + RUN)) ** 0.5)
        self.first = min(len(self.moves), most)
        width = len(self.target)
        self.run_pairs = torch.full((self.first, self.first, width), torch.nan, dtype=torch.float64)
        rows, places = [], []
        for i, j in combinations(range(self.first), 2):
            one, other = self.moves[i], self.moves[j]
            if one.sites.isdisjoint(other.sites):
                row = self.run((*one.edits, *other.edits))
                if row is not None:
                    rows.append(row)
                    places.append((i, j))
        found: list[tuple[Move, ...]] = []
        if rows:
            made, where = torch.tensor(rows, dtype=torch.float64), torch.tensor(places)
            self.run_pairs[where[:, 0], where[:, 1]] = made
            self.run_pairs[where[:, 1], where[:, 0]] = made
            hits = self._hits(made).nonzero().flatten().tolist()
            found = [(self.moves[places[k][0]], self.moves[places[k][1]]) for k in hits]
        return self.tried(found)

    def predicted_triples(self) -> list[tuple[Edit, ...]]:
        """Three of the lightest that give the answer if no more than two of them depend on each other."""
        count = min(self.first, THREE)
        if count < 3:
            return []
        self.work.spend(count**3 // 50 + 1)
        pairs, single = self.run_pairs[:count, :count, self.few], self.singles[:count, self.few]
        base, target = self.base[self.few], self.target[self.few]
        found: list[tuple[Move, ...]] = []
        for i in range(count - 2):
            rest = slice(i + 1, count)
            between, alone = pairs[rest, rest], single[i]
            first, second = single[rest][:, None], single[rest][None]
            one, other = pairs[i, rest][:, None], pairs[i, rest][None]
            hits = self._hits(between + one + other - first - second - alone + base, target)
            hits |= self._hits(between * one * other * base / (first * second * alone), target)
            for j, k in hits.nonzero().tolist():
                if j < k:
                    found.append((self.moves[i], self.moves[i + 1 + j], self.moves[i + 1 + k]))
        return self.tried(found)

    def triples(self) -> list[tuple[Edit, ...]]:
        """Three of the lightest that give the answer when they are run."""
        count = min(len(self.moves), round((6 * TRIPLES * BUDGET / (self.cost + RUN)) ** (1 / 3)))
        target = self.target.tolist()
        found: list[tuple[Move, ...]] = []
        for chosen in combinations(self.moves[:count], 3):
            one, two, three = chosen
            if one.sites.isdisjoint(two.sites) and three.sites.isdisjoint(one.sites | two.sites):
                row = self.run((*one.edits, *two.edits, *three.edits))
                if row is not None and all(map(_near, row, target)):
                    found.append(chosen)
        return self.tried(found)

    def step_by_step(self) -> list[tuple[Edit, ...]]:
        """Sets that grow by the edit that brings them nearest to the answer."""
        near = self.near + 0.01 * torch.tensor([move.weight for move in self.moves])
        order = near.argsort(stable=True).tolist() if len(self.moves) else []
        light = sorted(range(len(self.moves)), key=lambda k: self.moves[k].weight)
        added = [self.moves[k] for k in dict.fromkeys([*order[: REACH // 2], *light[:REACH]])][
            :REACH
        ] + self.lost[: REACH // 6]
        states: list[tuple[Move, ...]] = [(self.moves[k],) for k in order[:WIDTH]]
        for _ in range(DEPTH - 1):
            rows: list[list[float]] = []
            grown: list[tuple[Move, ...]] = []
            seen: set[frozenset[int]] = set()
            for state in states:
                taken = frozenset().union(*(move.sites for move in state))
                for move in added:
                    key = frozenset(map(id, (*state, move)))
                    if move.sites.isdisjoint(taken) and key not in seen:
                        seen.add(key)
                        row = self.run([edit for each in (*state, move) for edit in each.edits])
                        if row is not None:
                            rows.append(row)
                            grown.append((*state, move))
            if not rows:
                return []
            made = torch.tensor(rows, dtype=torch.float64)
            found = self.tried(grown[k] for k in self._hits(made).nonzero().flatten().tolist())
            if found:
                return found
            weights = torch.tensor([sum(move.weight for move in state) for state in grown])
            states = [
                grown[k]
                for k in (self._distance(made) + 0.01 * weights).argsort(stable=True)[:WIDTH].tolist()
            ]
        return []


def _near(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME, abs_tol=1e-12)


def alone_in(search: Several) -> list[tuple[Edit, ...]]:
    """Single moves that give the answer, without a look at what the others give: a tenth of the work."""
    target, hits = search.target.tolist(), list[Move]()
    search.others = {}
    with suppress(Exhausted):
        for move in moves_of(search.formula, search.edits):
            row = search.run(move.edits)
            if row is not None and all(map(_near, row, target)):
                hits.append(move)
        return search.tried((move,) for move in hits)
    return []


def in_stages(search: Several, stages: Sequence[str]) -> list[tuple[Edit, ...]]:
    """What the first stage finds that finds anything, as far as the work reaches."""
    for stage in stages:
        try:
            found: list[tuple[Edit, ...]] = getattr(search, stage)()
        except Exhausted:
            continue  # a later stage may be cheap
        if found:
            return found
    return []
