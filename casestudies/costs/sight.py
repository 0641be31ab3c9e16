"""What each number of a tensor sees of the image, exactly: intervals that are carried along the axes of tensors.

A number sees a rectangle of the image, so an interval of its height and one of its width. How the two ends of an
interval depend on the place of the number is the sum of one function for each axis (`Func`), and that stays true
under everything for which there is a rule in `reach`. An axis may have several factors, as the 49 pixels of a
flattened 7 x 7 grid have two. What a rule cannot express raises `Unknown`; from there on the interval is not known.

Two rules say what is shown. The field is the hull of all paths from the image, and has no size where paths with
different jumps meet on more than one place; once every place sees the same, and that is all of a side, it stays as
it is. The jump is multiplied by every stride until an axis has one place, which no window widens and no stride moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

LARGEST_TABLE = 4096  # entries of a function that is written out
MOST_TERMS = 16

Ends = int | float  # infinite where a number sees nothing


class Unknown(Exception):
    """No rule says what is seen after this operation."""


@dataclass(frozen=True, slots=True)
class Func:
    """How the ends of an interval move with the place i on an axis.

    They repeat with a period, shifted by `jump` pixels: the ends at i + period are those at i, plus `jump`. A
    `finite` one is a list without a rule behind it, such as the places of an axis that was rolled.
    """

    lows: tuple[Ends, ...]
    highs: tuple[Ends, ...]
    jump: int
    finite: bool = False

    @classmethod
    def listed(cls, ends: Sequence[tuple[Ends, Ends]]) -> Func:
        """The ends at each place, one by one."""
        return cls(tuple(low for low, _ in ends), tuple(high for _, high in ends), 0, True)

    @property
    def period(self) -> int:
        return len(self.lows)

    def at(self, place: int) -> tuple[Ends, Ends]:
        turn, rest = divmod(place, len(self.lows))
        if self.finite and turn:
            raise Unknown
        return self.lows[rest] + self.jump * turn, self.highs[rest] + self.jump * turn

    def rate(self, size: int = 1) -> int | None:
        """How many pixels further the interval lies `size` places on; None where that is no whole number."""
        turned, rest = divmod(self.jump * size, self.period)
        return None if self.finite or rest else turned

    def hull(self, size: int) -> tuple[Ends, Ends]:
        """The ends of the interval that all places of an axis see together."""
        near = min(size, self.period)
        places = {*range(near), *range(size - near, size)}
        ends = [self.at(place) for place in places]
        return min(low for low, _ in ends), max(high for _, high in ends)

    def widest(self, size: int) -> Ends:
        """By how much the interval is wider than at place 0, where it is widest of so many places."""
        return max(high - low for low, high in list(zip(self.lows, self.highs, strict=True))[:size])


Moved = tuple[Ends, Ends, Func | None]  # what to add to the ends, and the function that is left


def normal(lows: Sequence[Ends], highs: Sequence[Ends], jump: int) -> Moved:
    """Shift a table to begin at 0, and shorten its period; the function is None if it is constant."""
    low, high = lows[0], highs[0]
    lows, highs = [each - low for each in lows], [each - high for each in highs]
    whole = len(lows)
    for period in range(1, whole + 1):
        if whole % period or jump * period % whole:
            continue
        step = jump * period // whole
        if all(lows[i] == lows[i % period] + i // period * step for i in range(whole)) and all(
            highs[i] == highs[i % period] + i // period * step for i in range(whole)
        ):
            if period == 1 and not step:
                return low, high, None
            return low, high, Func(tuple(lows[:period]), tuple(highs[:period]), step)
    raise AssertionError("a table has its own length as a period")


def resample(func: Func, taps: Callable[[int], Iterable[int]], period: int, shift: int, size: int) -> Moved:
    """Return the function of a new axis whose place i sees the places `taps(i)` of the old one.

    `taps` moves by `shift` where i moves by `period`; the new axis has `size` places.
    """
    if func.finite:
        found = []
        for place in range(size):
            ends = [func.at(tap) for tap in taps(place)]  # Unknown beyond the list
            # A window over places that jump back, as from one row of pixels to the next, has no field worth the name.
            if not ends or any(low > next_low for (low, _), (next_low, _) in pairwise(ends)):
                raise Unknown
            found.append((min(low for low, _ in ends), max(high for _, high in ends)))
        return 0, 0, Func.listed(found)
    turns = func.period // math.gcd(func.period, shift)
    if period * turns > LARGEST_TABLE:
        raise Unknown
    lows, highs = [], []
    for place in range(period * turns):
        ends = [func.at(tap) for tap in taps(place)]
        if not ends:
            raise Unknown
        lows.append(min(low for low, _ in ends))
        highs.append(max(high for _, high in ends))
    return normal(lows, highs, func.jump * (shift * turns // func.period))


def split(func: Func, sizes: Sequence[int]) -> list[Func | None]:
    """Cut an axis into factors, the slowest first, and return the function of each."""
    found: list[Func | None] = []
    weight = math.prod(sizes)
    for size in sizes:
        weight //= size
        if weight == 1:
            found.append(func)
        elif func.finite or weight % func.period:
            raise Unknown
        else:
            jump = func.jump * (weight // func.period)
            found.append(Func((0,), (0,), jump) if jump else None)
    return found


def joined(funcs: Sequence[Func | None], sizes: Sequence[int]) -> Moved:
    """Merge several factors into one axis and return its function."""
    first = funcs[0]
    inner = math.prod(sizes[1:])
    period = (first.period if first else 1) * inner
    ruled = not any(func and func.finite for func in funcs)
    length = period if ruled else math.prod(sizes)
    if length > LARGEST_TABLE:
        raise Unknown
    lows, highs = _table(funcs, sizes, length)
    jump = first.jump if first else 0
    if ruled:
        rising = all(a <= b for ends in (lows, highs) for a, b in pairwise(ends))
        if rising and (sizes[0] == 1 or lows[0] + jump >= lows[-1] and highs[0] + jump >= highs[-1]):
            return normal(lows, highs, jump)
    if math.prod(sizes) > LARGEST_TABLE:
        raise Unknown
    lows, highs = _table(funcs, sizes, math.prod(sizes))
    return 0, 0, Func(tuple(lows), tuple(highs), 0, True)


def _table(funcs: Sequence[Func | None], sizes: Sequence[int], length: int) -> tuple[list[Ends], list[Ends]]:
    lows: list[Ends] = []
    highs: list[Ends] = []
    for place in range(length):
        low: Ends = 0
        high: Ends = 0
        for number in range(len(sizes) - 1, -1, -1):
            place, digit = divmod(place, sizes[number]) if number else (0, place)
            func = funcs[number]
            if func is not None:
                ends = func.at(digit)
                low, high = low + ends[0], high + ends[1]
        lows.append(low)
        highs.append(high)
    return lows, highs


# ------------------------------------------------------------------------------------------------ the sight


@dataclass(frozen=True, slots=True)
class Term:
    """One interval: its ends where all places are 0, and how they move with the place on each factor."""

    low: Ends
    high: Ends
    funcs: tuple[Func | None, ...]

    def size(self, places: Sequence[int]) -> Ends:
        """The width of the interval where it is widest; `places` says how many each factor has."""
        size = self.high - self.low + 1
        for func, count in zip(self.funcs, places, strict=True):
            if func is not None:
                size += func.widest(count)
        return size

    @property
    def moves(self) -> bool:
        """Whether the interval depends on the place."""
        return any(self.funcs)

    def jump(self) -> int | None:
        """Pixels between the intervals of neighbours, on the factor where that is most."""
        moving = [func for func in self.funcs if func]
        return (moving[0] if len(moving) == 1 else max(moving, key=_slope)).rate()


def _slope(func: Func) -> float:
    return func.jump / func.period


@dataclass(frozen=True, slots=True)
class Side:
    """What is seen of one side of the image: the hull of the `terms`, None where it is not known.

    `whole` is the size of what is seen once every number sees the same, all of that side; it stays so. `pace` is the
    jump that an axis had when it got one place.
    """

    terms: tuple[Term, ...] | None
    whole: int | None = None
    pace: int | None = None

    def known(self, length: int) -> Side:
        """Set `whole` if every place sees the same interval and it covers all `length` pixels of the side."""
        if self.whole is None:
            for term in self.terms or ():
                if not term.moves and term.low <= 0 and term.high >= length - 1:
                    return replace(self, whole=int(term.high - term.low + 1))
        return self

    def field(self, places: Sequence[int]) -> int | None:
        """How many pixels one number sees; None if unknown, or if it depends on the place."""
        if self.whole is not None:
            return self.whole
        if self.terms is None or len(self.terms) != 1:
            return None
        size = self.terms[0].size(places)
        return int(size) if math.isfinite(size) else None

    def jump(self) -> int | None:
        """Pixels between the intervals of neighbours on this axis; None if unknown or no whole number."""
        if self.terms is None:
            return None
        jumps = [term.jump() for term in self.terms if term.moves]
        return common(jumps) if jumps else self.pace

    @property
    def moves(self) -> bool:
        """Whether numbers in different places see different pixels."""
        return any(term.moves for term in self.terms or ())


def common(jumps: Iterable[int | None]) -> int | None:
    """The jump of paths that meet, if they agree on one; else None."""
    found = set(jumps)
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Piece:
    """A factor of a new tensor: which factor it was before, if any, and what became of its function."""

    size: int
    source: int | None = None
    change: Callable[[Func], Moved] | None = None
    mixed: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What the numbers of a tensor see of the image; `depth` weighted layers lie between them.

    `dims` has the sizes of the factors of each axis. A `mixed` factor joins what sees different things, such as
    the channels of several branches: the widest counts, and what a part of them sees is not known.
    """

    dims: tuple[tuple[int, ...], ...]
    mixed: tuple[bool, ...]
    sides: tuple[Side, Side]
    image: tuple[int, int]
    depth: int = 0

    @classmethod
    def of_image(cls, shape: tuple[int, ...], first: tuple[int, ...]) -> Sight:
        """Each pixel sees itself: of an image, of the frames of a video, of several inputs as large as the `first`.

        (A tensor of another kind has no sides to see.)
        """
        dims = tuple((size,) for size in shape)
        rank = len(shape)
        blank = (False,) * rank
        if rank not in (4, 5) or shape[-2:] != first[-2:]:
            return cls(dims, blank, (Side(None), Side(None)), (1, 1))
        step = Func((0,), (0,), 1)
        height, width = (
            Side(
                (Term(0, 0, tuple(step if i == axis and shape[i] > 1 else None for i in range(rank))),),
                pace=1,
            ).known(shape[axis])
            for axis in (rank - 2, rank - 1)
        )
        return cls(dims, blank, (height, width), (shape[-2], shape[-1]))

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(map(math.prod, self.dims))

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(size for factors in self.dims for size in factors)

    def flat(self, dim: int) -> range:
        """Positions of an axis's factors in the flat list of all factors."""
        start = 0
        for factors in self.dims[:dim]:
            start += len(factors)
        return range(start, start + len(self.dims[dim]))

    def pieces(self, dim: int) -> list[Piece]:
        """The factors of an axis, unchanged."""
        return [
            Piece(size, place, None, self.mixed[place])
            for size, place in zip(self.dims[dim], self.flat(dim), strict=True)
        ]

    def axes(self) -> list[list[Piece]]:
        """The factors of every axis, unchanged."""
        return [self.pieces(dim) for dim in range(len(self.dims))]

    def size(self, dim: int) -> int:
        """How many places an axis has."""
        return math.prod(self.dims[dim])

    def mixes(self, dim: int) -> bool:
        """Whether an axis has a factor that is `mixed`."""
        return any(self.mixed[place] for place in self.flat(dim))

    def constant(self, dim: int) -> bool:
        """Whether all places of an axis see the same."""
        places = self.flat(dim)
        return not any(
            term.funcs[place] for side in self.sides for term in side.terms or () for place in places
        )

    @property
    def blind(self) -> bool:
        """Whether nothing is seen."""
        height, width = self.sides
        return height.terms == () and width.terms == ()

    def blinded(self, shape: Sequence[int]) -> Sight:
        """A tensor that sees nothing, whatever its numbers are."""
        dims = tuple((size,) for size in shape)
        return replace(self, dims=dims, mixed=(False,) * len(dims), sides=(Side(()), Side(())))

    def field(self) -> int | None:
        """Side of the square that one place of the grid sees, with all of its channels."""
        fields = [self._field(side) for side in self.sides]
        return None if None in fields else max(size for size in fields if size is not None)

    def _field(self, side: Side) -> int | None:
        field = side.field(self.sizes)
        if field is None or side.whole is not None or not side.terms or len(self.dims) not in (3, 4):
            return field
        (term,) = side.terms
        moving = [any(term.funcs[place] for place in self.flat(dim)) for dim in range(len(self.dims))]
        if moving[1] and any(moving[2:]):  # some channels of a place see more to the left than others
            for place in self.flat(1):
                func = term.funcs[place]
                if func is not None:
                    low, high = func.hull(self.sizes[place])
                    field += int(high - low - func.widest(self.sizes[place]))
        return field

    def jump(self) -> int | None:
        jumps = [side.jump() for side in self.sides]
        return None if None in jumps else max(jump for jump in jumps if jump is not None)

    def remake(
        self,
        dims: Sequence[Sequence[Piece]],
        reduced: Iterable[int] = (),
        fixed: dict[int, int] | None = None,
    ) -> Sight:
        """A tensor made of this one: its axes, the factors over which everything is taken together, and those of
        which one place is taken. Other factors that do not come back have one place."""
        sizes = self.sizes
        reduced, fixed = list(reduced), fixed or {}
        new = tuple(tuple(piece.size for piece in pieces) for pieces in dims)
        mixed = tuple(piece.mixed for pieces in dims for piece in pieces)
        pieces = [piece for each in dims for piece in each]
        used = {piece.source for piece in pieces}
        gone = [
            place
            for place in range(len(sizes))
            if place not in used and place not in reduced and place not in fixed
        ]
        if any(sizes[place] != 1 for place in gone):
            raise Unknown
        sides = []
        for side, length in zip(self.sides, self.image, strict=True):
            if side.terms is not None:
                try:
                    side = _remade(side, sizes, pieces, reduced, fixed).known(length)
                except Unknown:
                    side = replace(side, terms=None)
            sides.append(side)
        return Sight(new, mixed, (sides[0], sides[1]), self.image, self.depth)

    def single(self, dim: int) -> Sight:
        """Merge the factors of an axis into one."""
        if len(self.dims[dim]) == 1:
            return self
        places = list(self.flat(dim))
        sizes = self.dims[dim]
        if not sizes:
            return self.remake([*self.axes()[:dim], [Piece(1)], *self.axes()[dim + 1 :]])
        size = self.size(dim)
        mixed = self.mixes(dim)
        sides = []
        start = places[0]
        for side in self.sides:
            terms: list[Term] = []
            try:
                for term in side.terms or ():
                    low, high, func = joined([term.funcs[place] for place in places], sizes)
                    funcs = (*term.funcs[:start], func, *term.funcs[start + len(places) :])
                    terms.append(Term(term.low + low, term.high + high, funcs))
                sides.append(side if side.terms is None else replace(side, terms=tuple(terms)))
            except Unknown:
                sides.append(replace(side, terms=None))
        return replace(
            self,
            dims=(*self.dims[:dim], (size,), *self.dims[dim + 1 :]),
            mixed=(*self.mixed[:start], mixed, *self.mixed[start + len(places) :]),
            sides=(sides[0], sides[1]),
        )

    def lost(self, shape: Sequence[int], part: bool = False) -> Sight:
        """Forget what is seen, because no rule covers the operation; keep `whole`, unless only a `part` is taken."""
        height, width = (Side(None, None if part else side.whole) for side in self.sides)
        dims = tuple([(size,) for size in shape])
        return Sight(dims, (False,) * len(dims), (height, width), self.image, self.depth)


def _remade(
    side: Side, sizes: Sequence[int], pieces: Sequence[Piece], reduced: Sequence[int], fixed: dict[int, int]
) -> Side:
    terms: list[Term] = []
    paces: list[int | None] = []
    for term in side.terms or ():
        low, high = term.low, term.high
        # What no longer moves, the places that it moved in one step, and where it ends.
        stopped: list[tuple[Func, int, tuple[int | float, int | float]]] = []
        for place in reduced:
            func = term.funcs[place]
            if func is not None:
                stopped.append((func, sizes[place], func.hull(sizes[place])))
        for place, at in fixed.items():
            func = term.funcs[place]
            if func is not None:
                stopped.append((func, 1, func.at(at)))
        funcs: list[Func | None] = []
        for piece in pieces:
            func = None if piece.source is None else term.funcs[piece.source]
            if func is not None and piece.change is not None:
                more, further, func = piece.change(func)
                low, high = low + more, high + further
            if func is not None and piece.size == 1:
                stopped.append((func, 1, func.at(0)))
                func = None
            funcs.append(func)
        for _, _, ends in stopped:
            low, high = low + ends[0], high + ends[1]
        if stopped:
            func, size, _ = max(stopped, key=lambda each: _slope(each[0]))
            paces.append(func.rate(size))
        terms.append(Term(low, high, tuple(funcs)))
    return Side(union(terms), side.whole, common(paces) if paces else side.pace)


def union(terms: Iterable[Term]) -> tuple[Term, ...]:
    """Merge terms wherever one term can stand for two."""
    found: list[Term] = []
    for term in terms:
        for place, other in enumerate(found):
            both = _one(other, term)
            if both is not None:
                found[place] = both
                break
        else:
            found.append(term)
    if len(found) > MOST_TERMS:
        raise Unknown
    return tuple(found)


def _one(one: Term, other: Term) -> Term | None:
    """Merge two terms whose functions differ on one factor at most; None if one term cannot express the hull."""
    apart = [i for i, (a, b) in enumerate(zip(one.funcs, other.funcs, strict=True)) if a != b]
    if not apart:
        low, high = min(one.low, other.low), max(one.high, other.high)
        if low == one.low and high == one.high:
            return one
        return Term(low, high, one.funcs)
    if len(apart) > 1:
        return None
    place = apart[0]
    a, b = one.funcs[place], other.funcs[place]
    if a is None or b is None or a.finite or b.finite or a.jump * b.period != b.jump * a.period:
        return None
    period = math.lcm(a.period, b.period)
    if period > LARGEST_TABLE:
        return None
    ends = [(a.at(i), b.at(i)) for i in range(period)]
    lows = [min(one.low + p[0], other.low + q[0]) for p, q in ends]
    highs = [max(one.high + p[1], other.high + q[1]) for p, q in ends]
    low, high, func = normal(lows, highs, a.jump * (period // a.period))
    return Term(low, high, (*one.funcs[:place], func, *one.funcs[place + 1 :]))


def view(sight: Sight, shape: Sequence[int]) -> Sight:
    """Reshape: the same numbers in the same order."""
    if 0 in shape or 0 in sight.shape:
        raise Unknown
    old = [(size, place) for place, size in enumerate(sight.sizes) if size > 1]
    edges = _edges([[size for size, _ in old], shape])
    parts: list[tuple[int, Piece]] = []  # where each begins, fastest first
    below = 1
    for size, place in reversed(old):
        inner = [edge for edge in edges if below <= edge <= below * size]
        sizes = [b // a for a, b in pairwise(inner)]
        for number, part in enumerate(sizes):
            change = None if len(sizes) == 1 else _part_of(sizes[::-1], len(sizes) - 1 - number)
            parts.append((inner[number], Piece(part, place, change, sight.mixed[place])))
        below *= size
    dims: list[list[Piece]] = []
    below = 1
    for size in reversed(shape):
        inside = [piece for start, piece in parts if below <= start < below * size]
        dims.append(inside[::-1] or [Piece(1)])
        below *= size
    return sight.remake(dims[::-1])


def _edges(factors: Iterable[Sequence[int]]) -> list[int]:
    """After how many numbers a factor ends in any of these shapes of the same size, counted from the last one."""
    cuts = {1}
    for sizes in factors:
        product = 1
        for size in reversed(sizes):
            product *= size
            cuts.add(product)
    edges = sorted(cuts)
    if any(b % a for a, b in pairwise(edges)):
        raise Unknown
    return edges


def _part_of(sizes: Sequence[int], number: int) -> Callable[[Func], Moved]:
    return lambda func: (0, 0, split(func, sizes)[number])


def broadcast(sight: Sight, shape: Sequence[int]) -> Sight:
    """Broadcast to a larger shape, as torch does."""
    if sight.shape == tuple(shape):
        return sight
    missing = len(shape) - len(sight.dims)
    if missing < 0:
        raise Unknown
    dims = [[Piece(size)] for size in shape[:missing]]
    fixed = {}
    for dim, size in enumerate(shape[missing:]):
        if sight.size(dim) == size:
            dims.append(sight.pieces(dim))
        elif sight.size(dim) == 1:
            fixed.update(dict.fromkeys(sight.flat(dim), 0))
            dims.append([Piece(size)])
        else:
            raise Unknown
    return sight.remake(dims, fixed=fixed)


def meet(sights: Sequence[Sight]) -> Sight:
    """Combine tensors of one shape element by element."""
    first = sights[0]
    if len(sights) == 1:
        return first
    if any(each.dims != first.dims for each in sights):
        sights = _alike(sights)
        first = sights[0]
    sides = []
    for place in (0, 1):
        all_of = [each.sides[place] for each in sights]
        terms: tuple[Term, ...] | None = None
        if all(side.terms is not None for side in all_of):
            try:
                terms = union(term for side in all_of for term in side.terms or ())
            except Unknown:
                terms = None
        wholes = [side.whole for side in all_of if side.whole is not None]
        pace = common(side.pace for side in all_of if side.terms != ())
        sides.append(Side(terms, max(wholes, default=None), pace).known(first.image[place]))
    mixed = tuple(any(flags) for flags in zip(*(each.mixed for each in sights), strict=True))
    depth = max(each.depth for each in sights)
    return replace(first, mixed=mixed, sides=(sides[0], sides[1]), depth=depth)


def _alike(sights: Sequence[Sight]) -> list[Sight]:
    """Cut the axes of all tensors into the same factors."""
    shape = sights[0].shape
    fine: list[list[int]] = []
    for dim in range(len(shape)):
        edges = _edges([each.dims[dim] for each in sights])
        fine.append([b // a for a, b in pairwise(edges)][::-1] or [1])
    flat = [size for sizes in fine for size in sizes]
    found = []
    for each in sights:
        cut = view(each, flat)
        dims, at = [], 0
        for sizes in fine:
            dims.append([piece for d in range(at, at + len(sizes)) for piece in cut.pieces(d)])
            at += len(sizes)
        found.append(cut.remake(dims))
    return found
