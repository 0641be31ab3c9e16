"""Differences: the smallest edit of the layers that are asked for into the layers of a student, in words.

Two computations are compared from their outputs on. Where two layers are of one kind and setting and read the
same, they are the same; else one was changed, or one side has a layer that the other lacks. What two values show to
be equal (`equal`) is right however it is written, and nobody looks at how.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from typing import Any

from casestudies.checking.layers import (
    ACTIVATION_KINDS,
    COMMUTATIVE,
    KNOWN,
    NORMS,
    POOLS,
    UNREGISTERED,
    WITH_PARAMETERS,
    Layer,
)
from casestudies.checking.remembered import Aligned, digest, recalled, remember

MOST_LAYERS = 150  # of either side: the comparison goes as deep as both together
MOST_DIFFERENCES = 8  # beyond that it is another block, and a list of differences helps nobody
NUMBER = re.compile(r"\d+(\.\d+)?")
Layers = tuple[Layer, ...]


@dataclass(frozen=True)
class Difference:
    """One thing that is otherwise: what is asked, what is written ("" where it is not there), where, a sentence."""

    asked: str
    yours: str
    where: str
    sentence: str
    times: int = 1  # how many layers it speaks of
    about: tuple[str, ...] = ()  # the same for one slip wherever it is made, whatever else the layer has

    def plain(self) -> dict[str, str]:
        return {name: value for name, value in asdict(self).items() if name not in ("times", "about")}

    @property
    def kind(self) -> tuple[str, str]:
        """The same for one slip in cases of other sizes."""
        return NUMBER.sub("#", self.asked), NUMBER.sub("#", self.yours)


@dataclass(frozen=True)
class Row:
    """A line of the two columns."""

    asked: str
    yours: str
    same: bool


@dataclass(frozen=True)
class Comparison:
    differences: tuple[Difference, ...]
    rows: tuple[Row, ...]
    certain: bool  # every layer that is missing, changed or too many is one that students know
    training: bool = False  # it is of recordings in training, since those in evaluation mode tell nothing


class Exhausted(Exception):
    """More would have to be looked at than is worth it."""


@dataclass
class Work:
    """How much a diagnosis may still look at. Counted, not timed: it says the same on every machine."""

    left: int = 10**9

    def spend(self, amount: int = 1) -> None:
        self.left -= amount
        if self.left < 0:
            raise Exhausted


def compare_layers(
    asked: Layers,
    yours: Layers,
    equal: Callable[[Layer, Layer], bool] = lambda one, other: False,
    work: Work | None = None,
) -> Comparison | None:
    """What differs; None where the two are too long to be compared, or nobody looks so far.

    Each pair of layers that is looked at is one unit of work.
    """
    if max(len(asked), len(yours)) > MOST_LAYERS:
        return None
    work = work or Work()
    downwards: Comparison | None = None
    try:
        if len(asked) >= NETWORK:
            # There a slip at the beginning lies on many ways to the output, and counts on each.
            downwards = _Alignment(asked, yours, equal, work, downwards=True).comparison()
            if downwards.certain and len(downwards.differences) <= FEW:
                return downwards
        found = _Alignment(asked, yours, equal, work).comparison()
    except Exhausted:
        return None
    if downwards and downwards.certain and len(downwards.differences) < len(found.differences):
        return downwards
    return found


def nothing_differs(asked: Layers, yours: Layers) -> bool:
    """Whether the last layers compute the same from the same, as their settings tell: no value needs to."""
    numbers: dict[Any, int] = {}
    one, other = (_signatures(layers, numbers) for layers in (asked, yours))
    return one[-1:] == other[-1:] != []


def not_registered(yours: Layers) -> Comparison | None:
    """That layers have weights which walks over the block do not find: so it is whatever else differs."""
    found = [place for place, layer in enumerate(yours) if layer.setting("weights") == UNREGISTERED]
    if not found:
        return None
    first, count = ordinal(yours, found[0]), len(found)
    sentence = f"{_capital(first)} {UNFOUND}."
    if count > 1:
        sentence = (
            f"{count} layers are not registered (in a Python list?), so parameters() does not find them. "
            f"First of them: {first}."
        )
    where = place_of(yours, found[0])
    told = Difference("", UNREGISTERED, where, sentence, times=count, about=("unregistered",))
    return Comparison((told,), (), True)


NETWORK = 40  # layers
FEW = 2  # differences
EXCHANGED = 1.2  # edits that two neighbours in the other order count for
MORE_THAN_HALF = 0.65  # of that
OTHER_END = 1.5  # edits that it counts for if the last layers of both are of two kinds


def compare_until(
    asked: Layers,
    yours: Layers,
    equal: Callable[[Layer, Layer], bool] = lambda one, other: False,
    work: Work | None = None,
    whole: bool = False,
) -> tuple[int, Comparison] | None:
    """What differs up to the last of the student's layers, and at which of the asked ones that is: at the one that
    needs the smallest edit, and of several at the one that as many layers lead to.

    `whole`: the student's block has the weights that are asked for, and so no layer with weights is one too many: it
    has come to a place that the same ones lead to, if there is one.
    """
    if max(len(asked), len(yours)) > MOST_LAYERS:
        return None
    work = work or Work()
    last = len(yours) - 1
    try:
        found = _Alignment(asked, yours, equal, work, remembered=False)  # it is asked for further distances
        count = found.below[1][last].bit_count()
        places = [place for place, layer in enumerate(asked) if layer.kind != "input"]
        if whole:
            made = _weights_below(yours, last)
            places = [place for place in places if _weights_below(asked, place) == made] or places
        place = min(
            places,
            key=lambda place: (
                found.distance(place, last)[0] + OTHER_END * (asked[place].kind != yours[last].kind),
                abs(found.below[0][place].bit_count() - count),
            ),
        )
        if asked[place].setting("bias") and yours[last].setting("bias") is False:
            # Nobody knows whether it would have been added next.
            settings = tuple((name, value or name == "bias") for name, value in yours[last].settings)
            yours = (*yours[:last], replace(yours[last], settings=settings))
        until = _Alignment(until_layer(asked, place), yours, equal, work)
        # Behind all that is asked for, it is one too many; else the asked one may come later, in another form.
        until.open_end = last if place < len(asked) - 1 else None
        return place, until.comparison()
    except Exhausted:
        return None


def read_elsewhere(asked: Layers, yours: Layers) -> tuple[int, Comparison] | None:
    """That the last of the student's layers, or one on the way to it, reads what another of the asked layers gives,
    where all else is as it is asked for; and which of the asked layers the last one is. None where it is not so, or
    where that may be said of several of them."""
    numbers: dict[Any, int] = {}
    mine, theirs = (_signatures(layers, numbers) for layers in (asked, yours))
    # By what is said: equal branches are as good.
    found: dict[tuple[int, int], tuple[int, int, int, int, int]] = {}
    for place, layer in enumerate(asked):
        a, b = place, len(yours) - 1
        while layer.kind != "input" and asked[a].label == yours[b].label:
            parted = _parted(asked[a], yours[b], mine, theirs)
            if parted is None:
                break
            wanted, given = parted
            # A layer that is there already is not the one that reads something else, and where what it should read
            # is nowhere, that is missing.
            if (
                theirs[given] in mine
                and mine[wanted] in theirs
                and mine[a] not in theirs
                and asked[wanted].shape[1:] != yours[given].shape[1:]
            ):
                found.setdefault((b, mine[wanted]), (place, a, b, wanted, given))
                break
            a, b = wanted, given
    if len(found) != 1:
        return None
    ((place, a, b, wanted, given),) = found.values()
    read, wanted_read = _output(yours, given), _output(asked, wanted)
    name = ordinal(yours, b)
    sentence = f"{_capital(name)} reads {read}; it is asked to read {wanted_read}."
    told = Difference(
        f"reads {wanted_read}", f"reads {read}", place_of(yours, b), sentence, about=("wired", asked[a].kind)
    )
    rows = [
        Row(_line(asked, a), _line(yours, b), False)
        if number == b
        else Row(_line(yours, number), _line(yours, number), True)
        for number, layer in enumerate(yours)
        if layer.kind != "input"
    ]
    return place, Comparison((told,), tuple(rows), True)


def _weights_below(layers: Layers, last: int) -> Counter[Any]:
    """The weights of the layers that lead to one, and of itself, by their sizes."""
    found = [layers[place] for place in _members(_below(layers)[last])]
    names = ("kernel", "in", "out", "groups", "channels", "size")
    return Counter(
        (layer.kind, *map(layer.setting, names))
        for layer in found
        if layer.kind in WITH_PARAMETERS and not layer.setting("weights")
    )


def _parted(one: Layer, other: Layer, mine: Sequence[int], theirs: Sequence[int]) -> tuple[int, int] | None:
    """The one thing that two layers read of which the signatures differ; None where it is none, or several."""
    if len(one.reads) != len(other.reads):
        return None
    if one.kind in COMMUTATIVE:
        both = Counter(mine[each] for each in one.reads), Counter(theirs[each] for each in other.reads)
        gone, come = both[0] - both[1], both[1] - both[0]
        pairs = list(
            zip(
                [each for each in one.reads if gone[mine[each]]],
                [each for each in other.reads if come[theirs[each]]],
                strict=False,
            )
        )
    else:
        pairs = [(a, b) for a, b in zip(one.reads, other.reads, strict=True) if mine[a] != theirs[b]]
    return pairs[0] if len(pairs) == 1 else None


def until_layer(layers: Layers, last: int) -> Layers:
    """A layer and those that lead to it."""
    needed, waiting = set(), [last]
    while waiting:
        here = waiting.pop()
        if here not in needed:
            needed.add(here)
            waiting.extend(layers[here].reads)
    new = {old: number for number, old in enumerate(sorted(needed))}
    return tuple(replace(layers[old], reads=tuple(new[each] for each in layers[old].reads)) for old in new)


# ------------------------------------------------------------------------------------------------ the smallest edit

Edits = tuple[Any, ...]  # nested pairs; leaves are (number of the asked layer, number of yours)


class _Alignment:
    def __init__(
        self,
        asked: Layers,
        yours: Layers,
        equal: Callable[[Layer, Layer], bool],
        work: Work,
        downwards: bool = False,
        remembered: bool = True,
    ) -> None:
        self.asked, self.yours, self.work = asked, yours, work
        self.equal = equal
        self.known_alike: dict[
            tuple[int, int], bool
        ] = {}  # pairs of layers that give the same values, or do not
        self.said: dict[tuple[int, int], bool] = {}  # those of them on which the alignment depends
        self.known: dict[tuple[int, int], tuple[float, Edits]] = {}
        numbers: dict[Any, int] = {}
        self.signature = tuple(_signatures(layers, numbers) for layers in (asked, yours))
        self.below = tuple(_below(layers) for layers in (asked, yours))
        # What it costs to leave out a layer with all that leads to it, and to change one into another.
        self.alone = tuple([0.6 + 0.5 * max(0, bits.bit_count() - 1) for bits in each] for each in self.below)
        labels: dict[str, int] = {}
        self.labels = tuple(
            [labels.setdefault(repr(layer.label), len(labels)) for layer in layers]
            for layers in (asked, yours)
        )
        self.changes: dict[tuple[int, int], float] = {}  # by the labels of both
        read = [Counter(each for layer in layers for each in layer.reads) for layers in (asked, yours)]
        self.users = tuple(read)  # how often each layer is read
        self.pairs: dict[int, int] = {}
        self.by_value: set[int] = set()  # asked layers that are there, however written
        self.free: set[int] = set()  # and those of the student that compute them
        self.exchanged: list[tuple[int, int]] = []  # the later ones of two neighbours in the other order
        self.at: list[float] = []  # where the asked layers are shown
        self.open_end: int | None = None  # a layer of theirs of which nobody knows whether it is asked for
        if remembered:
            self._align_or_recall(downwards)
        else:
            self._align(downwards)

    def _align_or_recall(self, downwards: bool) -> None:
        key = digest(self._form(downwards))
        if found := recalled(key, self._gives_the_same):
            # It is charged the work that it took then, so that a report does not depend on who was judged before.
            aligned, spent = found
            self.work.spend(spent)
            self.pairs, self.by_value, self.free = (
                dict(aligned.pairs),
                set(aligned.by_value),
                set(aligned.free),
            )
            self.exchanged = list(aligned.exchanged)
            return
        self.said = {}  # without what the others depended on
        before = self.work.left
        self._align(downwards)
        aligned = Aligned(
            dict(self.pairs), frozenset(self.by_value), frozenset(self.free), tuple(self.exchanged)
        )
        remember(key, self.said, before - self.work.left, aligned)

    def _align(self, downwards: bool) -> None:
        last = len(self.asked) - 1, len(self.yours) - 1
        self._collect(self._downwards(*last) if downwards else self.distance(*last)[1])

    def _form(self, downwards: bool) -> tuple[Any, ...]:
        """All that the alignment depends on but for values: equal for layers of other sizes that are as alike."""
        firsts = tuple(
            dict(zip(reversed(labels), reversed(layers), strict=True))
            for labels, layers in zip(self.labels, (self.asked, self.yours), strict=True)
        )
        # In the order in which they come: else the numbers would depend on the layers' names.
        changes = [
            (_change(one, other), one.label == other.label)
            for one in map(firsts[0].__getitem__, dict.fromkeys(self.labels[0]))
            for other in map(firsts[1].__getitem__, dict.fromkeys(self.labels[1]))
        ]
        sides = tuple(
            (
                signature,
                labels,
                [(layer.reads, layer.kind == "input", layer.kind in COMMUTATIVE) for layer in layers],
            )
            for signature, labels, layers in zip(
                self.signature, self.labels, (self.asked, self.yours), strict=True
            )
        )
        return downwards, sides, changes

    def _gives_the_same(self, a: int, b: int) -> bool:
        """Whether two layers give the same values, as far as anybody asks: once of each pair."""
        found = self.known_alike.get((a, b))
        if found is None:
            found = self.known_alike[a, b] = self.equal(self.asked[a], self.yours[b])
        self.said[a, b] = found
        return found

    def distance(self, a: int, b: int) -> tuple[float, Edits]:
        """The smallest number of edits of what leads to one layer into what leads to the other."""
        found = self.known.get((a, b))
        if found is not None:
            return found
        self.work.spend()
        one, other = self.asked[a], self.yours[b]
        if self.signature[0][a] == self.signature[1][b]:
            found = 0.0, ("same", a, b)
        elif one.kind != "input" and other.kind != "input" and self._gives_the_same(a, b):
            found = 0.0, ("equal", a, b)
        else:
            price, edits = self._children(a, b)
            options: list[tuple[float, Edits]] = [(self._change(a, b) + price, ("pair", a, b, edits))]
            for child in one.reads:
                price, edits = self.distance(child, b)
                options.append((1 + self._rest(0, a, child) + price, edits))
            for child in other.reads:
                price, edits = self.distance(a, child)
                options.append((1 + self._rest(1, b, child) + price, edits))
            if self._exchanged(a, b):
                price, edits = self.distance(*self._before(a, b))
                options.append((EXCHANGED + price, ("both", ("exchanged", a, b), edits)))
            found = min(options, key=lambda option: option[0])
        self.known[a, b] = found
        return found

    def _exchanged(self, a: int, b: int) -> bool:
        """Whether two layers are what the two before them are on the other side: neighbours in the other order. What
        the first of them gives is read by the second alone."""
        mine, theirs = self.asked[a].reads, self.yours[b].reads
        if len(mine) != 1 or len(theirs) != 1:
            return False
        if self.labels[0][a] != self.labels[1][theirs[0]] or self.labels[0][mine[0]] != self.labels[1][b]:
            return False
        if len(self.asked[mine[0]].reads) != 1 or len(self.yours[theirs[0]].reads) != 1:
            return False
        return (
            self.labels[0][a] != self.labels[1][b] and self.users[0][mine[0]] == self.users[1][theirs[0]] == 1
        )

    def _before(self, a: int, b: int) -> tuple[int, int]:
        """What two neighbours read on each side, of which these are the second ones."""
        first, other = self.asked[a].reads[0], self.yours[b].reads[0]
        return self.asked[first].reads[0], self.yours[other].reads[0]

    def _downwards(self, a: int, b: int) -> Edits:
        """The edits where all that is alike from the output on is taken for the same, and only what leads to the
        first layers that differ is aligned, each once, however many ways lead from it to the output."""
        edits: Edits = ()
        seen, waiting = set(), [(a, b)]
        while waiting:
            a, b = here = waiting.pop()
            if here in seen:
                continue
            seen.add(here)
            self.work.spend()
            one, other = self.asked[a], self.yours[b]
            inside = "input" not in (one.kind, other.kind)
            if self.signature[0][a] == self.signature[1][b]:
                edits = ("both", edits, ("same", a, b))
            elif inside and self._gives_the_same(a, b):
                edits = ("both", edits, ("equal", a, b))
            elif inside and one.label == other.label and len(one.reads) == len(other.reads):
                edits = ("both", edits, ("pair", a, b, ()))
                waiting += zip(one.reads, self._in_our_order(one, other), strict=True)
            else:
                edits = ("both", edits, self.distance(a, b)[1])
        return edits

    def _in_our_order(self, one: Layer, other: Layer) -> tuple[int, ...]:
        """What their layer reads, as far as the order does not matter in the order in which ours reads the like."""
        if one.kind not in COMMUTATIVE:
            return other.reads

        def unlike(order: tuple[int, ...]) -> tuple[int, int]:
            pairs = list(zip(one.reads, order, strict=True))
            return (
                sum(self.labels[0][a] != self.labels[1][b] for a, b in pairs),
                sum(abs(self.below[0][a].bit_count() - self.below[1][b].bit_count()) for a, b in pairs),
            )

        return min(permutations(other.reads), key=unlike) if len(other.reads) <= 4 else other.reads

    def _change(self, a: int, b: int) -> float:
        labels = self.labels[0][a], self.labels[1][b]
        if labels not in self.changes:
            self.changes[labels] = _change(self.asked[a], self.yours[b])
        return self.changes[labels]

    def _rest(self, side: int, parent: int, child: int) -> float:
        """What goes where of a layer only one of the things that it reads is kept."""
        layers = (self.asked, self.yours)[side]
        rest = 0
        for each in layers[parent].reads:
            if each != child:
                rest |= self.below[side][each]
        others = len(layers[parent].reads) - 1
        return (rest & ~self.below[side][child]).bit_count() + 0.3 * others

    def _children(self, a: int, b: int) -> tuple[float, Edits]:
        mine, theirs = self.asked[a].reads, self.yours[b].reads
        if len(mine) == len(theirs) == 1:
            return self.distance(mine[0], theirs[0])
        best: tuple[float, Edits] | None = None
        orders: Any = [theirs]
        if len(theirs) <= 4:
            orders = permutations(theirs)
        for order in orders:
            free = self.asked[a].kind in COMMUTATIVE or order == theirs
            found = self._in_order(mine, order, 0.0 if free else 0.6)
            if best is None or found[0] < best[0]:
                best = found
        return best or (0.0, ())

    def _in_order(self, mine: Sequence[int], theirs: Sequence[int], start: float) -> tuple[float, Edits]:
        left_out, too_many = self.alone
        row: list[tuple[float, Edits]] = [(start, ())]
        for other in theirs:
            row.append((row[-1][0] + too_many[other], row[-1][1]))
        for one in mine:
            new = [(row[0][0] + left_out[one], row[0][1])]
            for place, other in enumerate(theirs):
                price, edits = self.distance(one, other)
                options = [
                    (row[place][0] + price, ("both", row[place][1], edits)),
                    (row[place + 1][0] + left_out[one], row[place + 1][1]),
                    (new[-1][0] + too_many[other], new[-1][1]),
                ]
                new.append(min(options, key=lambda option: option[0]))
            row = new
        return row[-1]

    def _collect(self, edits: Edits) -> None:
        waiting = [edits]
        while waiting:
            here = waiting.pop()
            if not here:
                continue
            if here[0] == "both":
                waiting.extend(here[1:])
            elif here[0] == "pair":
                self._join(here[1], here[2])
                waiting.append(here[3])
            elif here[0] == "same":
                self._same(here[1], here[2])
            elif here[0] == "exchanged":
                _, a, b = here
                if a not in self.pairs and b not in self.pairs.values():
                    self._join(a, b)
                    self._join(self.asked[a].reads[0], self.yours[b].reads[0])
                    self.exchanged.append((a, b))
            else:
                self._join(here[1], here[2])
                self.by_value |= _members(self.below[0][here[1]])
                self.free |= _members(self.below[1][here[2]])

    def _same(self, a: int, b: int) -> None:
        waiting = [(a, b)]
        while waiting:
            a, b = waiting.pop()
            if self.pairs.get(a) == b:
                continue
            self._join(a, b)
            one, other = self.asked[a].reads, self.yours[b].reads
            if self.asked[a].kind in COMMUTATIVE:
                one = tuple(sorted(one, key=self.signature[0].__getitem__))
                other = tuple(sorted(other, key=self.signature[1].__getitem__))
            waiting.extend(zip(one, other, strict=True))

    def _join(self, a: int, b: int) -> None:
        if a not in self.pairs and b not in self.pairs.values():
            self.pairs[a] = b

    # -------------------------------------------------------------------------------------------------- in words

    def comparison(self) -> Comparison:
        back = {b: a for a, b in self.pairs.items()}
        # The student may have written branches in another order: layers are counted as the columns show them.
        self.at = [
            float(self.pairs[a]) if a in self.pairs else self._after(a) for a in range(len(self.asked))
        ]
        missing = [
            a
            for a, layer in enumerate(self.asked)
            if a not in self.pairs and a not in self.by_value and layer.kind != "input"
        ]
        extra = [
            b
            for b, layer in enumerate(self.yours)
            if b not in back and b not in self.free and layer.kind != "input" and b != self.open_end
        ]
        turned = {each for a, _ in self.exchanged for each in (a, self.asked[a].reads[0])}
        changed = [
            (a, b)
            for a, b in sorted(self.pairs.items(), key=lambda pair: pair[1])
            if not _same(self.asked[a], self.yours[b]) and a not in self.by_value and a not in turned
        ]
        seen = [*(self.asked[a] for a in missing), *(self.yours[b] for b in extra)]
        seen += [layer for a, b in changed for layer in (self.asked[a], self.yours[b])]
        unknown = [layer.kind for layer in seen if layer.kind not in KNOWN]
        swapped = [(a, b) for a, b in changed if self.asked[a].kind != self.yours[b].kind]
        # What is there beside all that is asked for is too many, whatever it is; but something else in the place of
        # a layer, and more behind it, may be somebody's own way to write it. One mean stands for itself.
        certain = not unknown or unknown == ["mean"] or not (missing or swapped)
        # What is chosen of a mean over a part of the grid is never the mean over all of it.
        certain |= [(self.asked[a].kind, self.yours[b].kind) for a, b in swapped] == [
            ("global average pooling", "mean")
        ] and not (missing or {self.yours[b].kind for b in extra} - {"select"})
        # One layer in the place of one, where all that leads to it and follows it is the same, is another one.
        certain |= not (missing or extra) and len(changed) == 1
        # A convolution and a linear layer can be two ways to write one thing, and so no difference at all.
        products = {"convolution", "linear layer"}
        gone = {self.asked[a].kind for a in (*missing, *(a for a, _ in swapped))}
        come = {self.yours[b].kind for b in (*extra, *(b for _, b in swapped))}
        certain &= not (gone | come >= products and gone & products and come & products)
        # Nobody writes a layer in the place of the input: the edit is shorter than what was done, but it is not that.
        certain &= not any(
            "input" in (self.asked[a].kind, self.yours[b].kind)
            for a, b in self.pairs.items()
            if self.asked[a].kind != self.yours[b].kind
        )
        # Where a junction is missing and another like it is there, the edit says little about what was done.
        certain &= not any(
            self.asked[a].label == self.yours[b].label and len(self.asked[a].reads) > 1
            for a in missing
            for b in extra
        )

        found: list[tuple[float, Difference]] = [*self._all_changed(changed), *self._all_exchanged()]
        moved, left = self._nearest(missing, extra)
        found += [(b, self._moved(a, b)) for a, b in moved.items()]
        found += _repeated(
            [(b, self._extra(b), words(self.yours[b])) for b in left],
            lambda words, times, where: (
                f"{_capital(words)} stands {times} times where none is asked for, first {where}."
            ),
        )
        found += _repeated(
            [(self._after(a), self._missing(a), words(self.asked[a])) for a in missing if a not in moved],
            lambda words, times, where: f"{_capital(words)} is missing {times} times, first {where}.",
        )
        wired = self._wiring(missing, extra, back)
        found += wired
        found.sort(key=lambda each: each[0])
        joints = {back[b] for b, difference in wired if difference.about == ("wired", "concatenation")}
        rows = self._rows(back, extra, missing, joints)
        return Comparison(tuple(difference for _, difference in found), tuple(rows), certain)

    def _nearest(self, missing: list[int], extra: list[int]) -> tuple[dict[int, int], list[int]]:
        """Which of the missing layers stands elsewhere, {it: where}, the nearest first, and what is too many."""
        pairs = [
            (a, b)
            for a in missing
            for b in extra
            if self.asked[a].label == self.yours[b].label and self.yours[b].kind != "detach"
        ]
        moved: dict[int, int] = {}
        for a, b in sorted(pairs, key=lambda pair: (abs(self._after(pair[0]) - pair[1]), pair[1])):
            if a not in moved and b not in moved.values():
                moved[a] = b
        return moved, [b for b in extra if b not in moved.values()]

    def _after(self, a: int) -> float:
        """Where a missing layer would stand among the student's."""
        below = [self.pairs[each] for each in _members(self.below[0][a]) if each in self.pairs]
        return max(below, default=-1) + 0.5

    def _all_changed(self, changed: Sequence[tuple[int, int]]) -> list[tuple[float, Difference]]:
        """What other layers stand in the place of the asked ones, and what other settings these have."""
        swapped, other = [], []
        for a, b in changed:
            difference, one, two = self._changed(a, b), self.asked[a], self.yours[b]
            if one.kind != two.kind:
                swapped.append((float(b), difference, (words(one), words(two))))
            else:
                other.append((float(b), difference, (_family(one), self._clauses(a, b))))
        differ = Counter(kind for _, _, (kind, _) in other)

        def each(key: tuple[str, str], times: int, where: str) -> str:
            kind, clauses = key
            of = sum(_family(layer) == kind for layer in self.asked)
            if times == of:
                return f"Each of the {of} {kind}s {clauses}."
            if differ[kind] > times:  # others differ in another way
                return f"{times} of the {of} {kind}s differ in one way, first {where}: each {clauses}."
            return f"{times} of the {of} {kind}s differ, first {where}: each {clauses}."

        return [
            *_repeated(
                swapped,
                lambda key, times, where: (
                    f"{_capital(key[1])} stands in the place of {key[0]} {times} times, first {where}."
                ),
            ),
            *_repeated(other, each),
        ]

    def _changed(self, a: int, b: int) -> Difference:
        one, other = self.asked[a], self.yours[b]
        asked, yours, where = words(one), words(other), place_of(self.asked, a, self.at)
        if one.kind != other.kind:
            sentence = f"{_capital(yours)} stands in the place of {asked}, {where}."
            return Difference(asked, yours, where, sentence, about=("swapped", one.kind, other.kind))
        # By the name that the student's column gives it, where it is another one.
        name = ordinal(self.asked, a, self.at) if one.written == other.written else ordinal(self.yours, b)
        sentence = f"{_capital(name)} {self._clauses(a, b)}."
        if self._changed_settings(a, b) == ["weights"] and other.setting("weights") == UNREGISTERED:
            asked, yours = _name(one), f"{_name(one)}, {UNREGISTERED}"  # whatever else is set
        return Difference(
            asked, yours, where, sentence, about=("changed", one.kind, *self._changed_settings(a, b))
        )

    def _clauses(self, a: int, b: int) -> str:
        one, other = self.asked[a], self.yours[b]

        def clause(name: str) -> str:
            if name == "stride" and other.sliced:
                left = f"subsampling to every {_pixels(other.setting(name))}"
                return f"has {left} instead of {_show(name, one.setting(name))}"
            return _clause(name, one.setting(name), other.setting(name))

        return joined([clause(name) for name in self._changed_settings(a, b)])

    def _changed_settings(self, a: int, b: int) -> list[str]:
        one, other = self.asked[a], self.yours[b]
        return [
            name
            for name in dict.fromkeys([*dict(one.settings), *dict(other.settings)])
            if one.setting(name) != other.setting(name)
            # Where one of two poolings has no padding, nothing is counted in its mean or left out.
            and not (name == "counts the padding" and None in (one.setting(name), other.setting(name)))
            # What is not registered is not switched to evaluation either.
            and not (name == "statistics" and other.setting("weights") == UNREGISTERED)
            # A padding that goes with another window says nothing of its own.
            and not (name == "padding" and one.kind == "convolution" and _usual(one) and _usual(other))
        ]

    def _moved(self, a: int, b: int) -> Difference:
        what = words(self.asked[a])
        asked, yours = place_of(self.asked, a, self.at), place_of(self.yours, b)
        if asked == yours:
            sentence = f"{_capital(what)} stands in a different place, {yours}."
            return Difference(what, what, yours, sentence, about=("moved", self.asked[a].kind))
        sentence = f"{_capital(what)} stands {yours}; it is asked for {asked}."
        about = ("moved", self.asked[a].kind)
        return Difference(f"{what} ({asked})", f"{what} ({yours})", yours, sentence, about=about)

    def _all_exchanged(self) -> list[tuple[float, Difference]]:
        """Two neighbours in the other order: one difference, whichever of them was moved."""
        found = []
        for a, b in self.exchanged:
            first, where = self.asked[a].reads[0], place_of(self.yours, self.yours[b].reads[0])
            names = ordinal(self.asked, first, self.at), ordinal(self.asked, a, self.at)
            sentence = f"{_capital(names[0])} comes after {names[1]} instead of before it."
            about = ("moved", self.asked[first].kind, self.asked[a].kind)
            difference = Difference(
                " before ".join(names), " after ".join(names), where, sentence, about=about
            )
            found.append((float(b), difference, (words(self.asked[first]), words(self.asked[a]))))
        return _repeated(
            found,
            lambda both, times, where: (
                f"{_capital(both[0])} comes after {both[1]} instead of before it {times} times, first {where}."
            ),
        )

    def _extra(self, b: int) -> Difference:
        layer, where = self.yours[b], place_of(self.yours, b)
        sentence = f"There is {_a(words(layer))} {where}; none is asked for there."
        if layer.kind == "detach":
            sentence = f"A tensor is detached {where}: no gradient passes through it."
        return Difference("", words(layer), where, sentence, about=("extra", layer.kind))

    def _missing(self, a: int) -> Difference:
        layer, where = self.asked[a], place_of(self.asked, a, self.at)
        sentence = f"{_capital(words(layer))} is missing {where}."
        return Difference(words(layer), "", where, sentence, about=("missing", layer.kind))

    def _wiring(
        self, missing: list[int], extra: list[int], back: dict[int, int]
    ) -> list[tuple[int, Difference]]:
        """Layers that are there, but read something else."""

        def origins(layers: Layers, start: int, through: set[int]) -> list[int] | None:
            found: list[int] = []
            for each in layers[start].reads:
                while each in through:
                    if len(layers[each].reads) != 1:
                        return None
                    each = layers[each].reads[0]
                found.append(each)
            return found

        result = []
        for a, b in self.pairs.items():
            if a in self.by_value:
                continue
            mine = origins(self.asked, a, set(missing))
            theirs = origins(self.yours, b, set(extra))
            if mine is None or theirs is None:
                continue
            expected = [self.pairs.get(each) for each in mine]
            given: list[Any] = list(theirs)
            if self.asked[a].kind in COMMUTATIVE:
                expected, given = sorted(expected, key=str), sorted(given, key=str)
            if expected == given or None in expected:
                continue
            if sorted(map(str, expected)) == sorted(map(str, given)):
                name = ordinal(self.asked, a, self.at)
                text = f"{_capital(name)} joins the same tensors in a different order."
                asked = yours = words(self.asked[a])
            else:
                wrong = list((Counter(given) - Counter(expected)).elements())
                right = [each for each in mine if self.pairs.get(each) not in given]
                read = joined([_output(self.yours, each) for each in wrong or given[:1]])
                wanted = joined([_output(self.asked, each, self.at) for each in right or mine[:1]])
                name = ordinal(self.yours, b)
                asked, yours = f"reads {wanted}" if right else "", f"reads {read}" if wrong else ""
                if not right:
                    text = f"{_capital(name)} also reads {read}, which is not asked for."
                elif not wrong:
                    text = f"{_capital(name)} does not read {wanted}."
                elif read == wanted:  # two tensors that go by one name
                    text, yours = (
                        f"{_capital(name)} reads another tensor than it is asked to.",
                        "reads another tensor",
                    )
                else:
                    text = f"{_capital(name)} reads {read}; it is asked to read {wanted}."
            about = ("wired", self.asked[a].kind)
            result.append((b, Difference(asked, yours, place_of(self.yours, b), text, about=about)))
        return result

    def _rows(
        self, back: dict[int, int], extra: list[int], missing: list[int], turned: set[int]
    ) -> list[Row]:
        """The two columns; `turned` are asked layers that join the right tensors in another order."""
        order: list[tuple[float, int, Row]] = []
        for b, layer in enumerate(self.yours):
            a = back.get(b)
            if layer.kind == "input" or (b in self.free and a is None):
                continue
            if a is None:
                order.append((b, 1, Row("", _line(self.yours, b), False)))
            else:
                same = _same(self.asked[a], layer) or a in self.by_value
                # Where it reads something else, the layer is the same, and no more.
                alone = same and _source(self.asked, a) != _source(self.yours, b)
                same &= a not in turned
                order.append((b, 0, Row(_line(self.asked, a, alone), _line(self.yours, b), same)))
        for a in missing:
            order.append((self._after(a), 0, Row(_line(self.asked, a), "", False)))
        return [row for _, _, row in sorted(order, key=lambda each: each[:2])]


def _signatures(layers: Layers, numbers: dict[Any, int]) -> list[int]:
    """Equal numbers for layers that compute the same from the same."""
    found: list[int] = []
    for layer in layers:
        reads = [found[each] for each in layer.reads]
        if layer.kind in COMMUTATIVE:
            reads.sort()
        found.append(numbers.setdefault((repr(layer.label), tuple(reads)), len(numbers)))
    return found


def _below(layers: Layers) -> list[int]:
    """For each layer a number with a bit for itself and for each layer that leads to it; inputs have none."""
    found: list[int] = []
    for place, layer in enumerate(layers):
        bits = 0 if layer.kind == "input" else 1 << place
        for each in layer.reads:
            bits |= found[each]
        found.append(bits)
    return found


def _members(bits: int) -> set[int]:
    return {place for place in range(bits.bit_length()) if bits >> place & 1}


def _same(one: Layer, other: Layer) -> bool:
    """Whether two layers do the same: a 1×1 convolution is called a linear layer where the grid is one pixel."""
    if one.kind == other.kind == "permute":
        return bool(_moved_axis(one) & _moved_axis(other)) or one.label == other.label
    return one.label == other.label or _product(one) == _product(other) is not None


def _moved_axis(layer: Layer) -> set[str]:
    """What a permutation does, if it moves the channels: the same for a grid and for the pixels in a row."""
    dims, last = layer.setting("dims"), len(layer.setting("dims")) - 1
    if last < 2:
        return set()
    forms = {"to the end": (0, *range(2, last + 1), 1), "from the end": (0, last, *range(1, last))}
    return {name for name, form in forms.items() if tuple(dims) == form}


def _product(layer: Layer) -> tuple[Any, ...] | None:
    """What tells one linear layer, or convolution of single pixels, from another."""
    get = layer.setting
    if layer.kind == "convolution":
        plain = set(get("kernel")) == {1} == set(get("stride")) and not any(get("padding"))
        if not plain or get("groups") != 1 or get("transposed"):
            return None
    elif layer.kind != "linear layer":
        return None
    return get("in"), get("out"), bool(get("bias")), get("bias counts"), get("weights"), get("gradient")


def _change(one: Layer, other: Layer) -> float:
    if _same(one, other):
        return 0.0
    if one.kind == other.kind:
        mine, theirs = dict(one.settings), dict(other.settings)
        if mine.get("how") != theirs.get("how"):
            return MORE_THAN_HALF  # two parameters in the other order have the roles that are asked for
        return 0.3 + 0.1 * sum(mine.get(key) != theirs.get(key) for key in {*mine, *theirs})
    if "input" in (one.kind, other.kind):
        return 2.5
    if any(
        {one.kind, other.kind} <= family
        for family in (ACTIVATION_KINDS, NORMS, {*POOLS, "mean", "weighted sum of windows"}, COMMUTATIVE)
    ):
        return 0.9
    if {one.kind, other.kind} <= {"sum", "difference", "concatenation"} | COMMUTATIVE:
        return 0.9
    if (one.kind, other.kind) in WITHOUT_PARAMETERS:
        return 1.2
    if other.kind not in KNOWN:
        return 1.8  # an operation of torch in the place of a layer
    return 2.2  # one of the asked layers is missing, and another is there


# A shortcut without parameters, beside one that has some.
WITHOUT_PARAMETERS = {("convolution", "subsampling"), ("batch norm", "zero channels")}
SEVERAL = 3  # as many differences of one kind are told in one sentence


def _repeated(
    found: Sequence[tuple[float, Difference, Any]], sentence: Callable[[Any, int, str], str]
) -> list[tuple[float, Difference]]:
    """The differences by place, those that say the same, as their keys tell, as one."""
    alike: dict[Any, list[tuple[float, Difference]]] = {}
    for place, difference, key in found:
        alike.setdefault(key, []).append((place, difference))
    result = []
    for key, group in alike.items():
        if len(group) < SEVERAL:
            result.extend(group)
            continue
        place, first = group[0]
        where, times = f"{len(group)} times, first {first.where}", len(group)
        text = sentence(key, times, first.where)
        result.append((place, replace(first, where=where, sentence=text, times=times)))
    return result


# ------------------------------------------------------------------------------------------------------ the words


def words(layer: Layer) -> str:
    """A layer as a line of the report: its kind, and the settings that are not the usual ones."""
    get = layer.setting
    said: list[str] = []
    if layer.kind == "convolution":
        name = f"{_pair(get('kernel'))} convolution, {get('in')} → {get('out')}"
        said = _said_of_convolution(layer)
    elif layer.kind == "linear layer":
        name = f"{layer.written or layer.kind}, {get('in')} → {get('out')}"
        if bool(get("bias")) == bool(layer.written):  # each says what is not usual for it
            said.append("with bias" if layer.written else "without bias")
    elif layer.kind == "batch norm":
        name = "batch norm"
        said = _said_of_batch_norm(layer)
    elif layer.kind == "PReLU":
        name = "PReLU"
        said.append("one slope" if get("slopes") == 1 else f"{get('slopes')} slopes")
    elif layer.kind in ("instance norm", "group norm", "layer norm"):
        name = layer.kind
        said = _said_of_other_norm(layer)
    elif layer.kind in ("max pooling", "average pooling", "sum pooling", "weighted sum of windows"):
        name = f"{_pair(get('kernel'))} {layer.kind}, stride {_sides(get('stride'))}"
        if get("weights of pixels"):
            name = f"weighted sum of {_pair(get('kernel'))} windows, stride {_sides(get('stride'))}"
        said = _said_of_pooling(layer)
    elif layer.kind == "scale":
        name = f"multiplication by {get('by'):.4g}"
    elif layer.kind == "shift":
        name = f"addition of {get('by'):.4g}"
    elif layer.kind == "parameter":
        name = _name_of_parameter(layer)
    elif layer.kind == "mean":
        name = f"mean over {get('over')}"
    elif layer.kind == "global average pooling":
        name = layer.written or layer.kind
    elif layer.kind == "dropout":
        name = f"dropout, rate {get('rate'):g}"
    elif layer.kind in CUTTING:
        name = _cutting(layer)
    elif layer.kind == "cast":
        name = f"conversion to {get('to')}"
    elif layer.kind in KNOWN:
        name = layer.kind
        said = [
            f"{key} {_value(value)}" for key, value in layer.settings if key not in ("gradient", "dimension")
        ]
    else:
        name = f"torch's {layer.kind}"
    return ", ".join([name, *said, *_said_of_any(layer)])


def _said_of_any(layer: Layer) -> list[str]:
    """What may be said of a layer of any kind."""
    weights, counted, said = layer.setting("weights"), layer.setting("bias counts"), []
    if weights:
        said.append(UNREGISTERED if weights == UNREGISTERED else f"weights {weights}")
    if counted:
        said.append(f"bias counted {counted:.4g} times")
    if layer.setting("gradient"):
        said.append("without gradient")
    return said


def _name_of_parameter(layer: Layer) -> str:
    how, size, along = (layer.setting(name) for name in ("how", "size", "along"))
    name = f"a parameter {how} (one number)" if size == 1 else f"a parameter {how} ({size} numbers)"
    return f"{name}, along {along}" if along else name


CUTTING = {"subsampling", "zero channels", "select", "choice of channels"}


def _cutting(layer: Layer) -> str:
    """A layer that leaves numbers out, or puts zeros there."""
    get = layer.setting
    if layer.kind == "subsampling":
        return f"subsampling to every {_pixels(get('steps'))}"
    if layer.kind == "choice of channels":
        return f"selection of {_taken(get('taken'))}"
    if layer.kind == "zero channels":
        return f"padding with channels of zeros ({get('before')} before, {get('after')} behind)"
    return f"selection of index {get('index')} along dimension {get('dim')}"


def _taken(taken: tuple[int, int, int]) -> str:
    """
    >>> _taken((0, 47, 1)), _taken((1, 95, 2)), _taken((3, 3, 1))
    ('channels 0 to 47', 'every 2nd channel from 1 to 95', 'channel 3')
    """
    first, last, step = taken
    if first == last:
        return f"channel {first}"
    if step == 1:
        return f"channels {first} to {last}"
    return f"every {_nth(step)} channel from {first} to {last}"


def _nth(step: int) -> str:
    return f"{step}{ {2: 'nd', 3: 'rd'}.get(step, 'th') }"


def _pixels(steps: tuple[int, int]) -> str:
    """
    >>> _pixels((2, 2)), _pixels((1, 3))
    ('2nd row and column', '3rd column')
    """

    rows, columns = steps
    if rows == columns:
        return f"{_nth(rows)} row and column"
    said = [f"{_nth(step)} {what}" for step, what in ((rows, "row"), (columns, "column")) if step > 1]
    return " and every ".join(said)


def _said_of_convolution(layer: Layer) -> list[str]:
    get = layer.setting
    said: list[str] = []
    if set(get("stride")) != {1}:
        said.append(f"stride {_sides(get('stride'))}")
    if not _usual(layer):
        said.append(_show("padding", get("padding")))
    if get("border"):
        said.append(f"padded by {get('border')}")
    if set(get("dilation")) != {1}:
        said.append(f"dilation {_sides(get('dilation'))}")
    if get("groups") != 1:
        said.append("depthwise" if get("groups") == get("in") else f"{get('groups')} groups")
    if get("bias"):
        said.append("with bias")
    if get("transposed"):
        said.append("transposed")
    return said


def _said_of_pooling(layer: Layer) -> list[str]:
    get = layer.setting
    said: list[str] = []
    if any(get("padding")):
        said.append(_show("padding", get("padding")))
    if get("rounds up"):
        said.append("sizes rounded up")
    if get("divisor"):
        said.append(f"divided by {get('divisor')}")
    if get("dilation") and set(get("dilation")) != {1}:
        said.append(f"dilation {_sides(get('dilation'))}")
    if get("weights of pixels"):
        said.append(f"weights {get('weights of pixels')}")
    return said


def _said_of_batch_norm(layer: Layer) -> list[str]:
    get = layer.setting
    said: list[str] = []
    for key, usual in (("eps", 1e-5), ("momentum", 0.1)):
        if get(key) not in (None, usual):
            said.append(f"{key} {get(key):g}")
    if not get("scale and shift"):
        said.append("without scale and shift")
    if not get("keeps statistics"):
        said.append("without running statistics")
    return said


def _said_of_other_norm(layer: Layer) -> list[str]:
    get = layer.setting
    said: list[str] = []
    if get("groups"):
        said.append("1 group" if get("groups") == 1 else f"{get('groups')} groups")
    if get("over"):
        said.append(f"over {_pair(get('over'))}")
    if get("eps") != 1e-5:
        said.append(f"eps {get('eps'):g}")
    if not get("scale and shift"):
        said.append("without scale and shift")
    return said


def _usual(layer: Layer) -> bool:
    """Whether a convolution's padding keeps the size of the grid at stride 1."""
    sides = zip(layer.setting("kernel"), layer.setting("dilation"), strict=True)
    return layer.setting("padding") == tuple(s for k, d in sides for s in (d * (k - 1) // 2,) * 2)


def _sides(value: Sequence[int]) -> str:
    values = tuple(value)
    return str(values[0]) if len(set(values)) == 1 else _pair(values)


def _pair(values: tuple[int, ...]) -> str:
    return "×".join(map(str, values))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else "(" + ", ".join(map(str, value)) + ")"
    return str(value)


def _show(name: str, value: Any) -> str:
    if name == "padding":
        if not any(value):
            return "no padding"
        if len(value) == 4 and len(set(value)) > 1:
            return f"padding {value[2]} left, {value[3]} right, {value[0]} above, {value[1]} below"
        return f"padding {value[0]}" if len(set(value)) == 1 else f"padding {value}"
    if name == "kernel":
        return f"a {_pair(value)} window"
    if name == "bias":
        return "a bias" if value else "no bias"
    if name == "scale and shift":
        return "scale and shift" if value else "no scale and shift"
    if name == "groups":
        return "1 group" if value == 1 else f"{value} groups"
    if name == "in":
        return "1 channel in" if value == 1 else f"{value} channels in"
    if name == "out":
        return "1 channel out" if value == 1 else f"{value} channels out"
    if name == "channels":
        return "1 channel" if value == 1 else f"{value} channels"
    if name == "weights":
        return f"weights that are {value}" if value else "ordinary weights of its own"
    if name == "keeps statistics":
        return "running statistics" if value else "no running statistics"
    if name == "rounds up":
        return "sizes rounded up" if value else "sizes rounded down"
    if name == "counts the padding":
        return "padding counted in the mean" if value else "padding left out of the mean"
    if name == "approximated by":
        return f"an approximation by {value}" if value else "no approximation"
    if name == "transposed":
        return "a transposed kernel" if value else "a kernel that is not transposed"
    if value is None:
        return f"no {name}"
    return f"{name} {_value(value)}"


UNFOUND = "is not registered (in a Python list?), so parameters() does not find it"


def _over(value: Any) -> str:
    return value if isinstance(value, str) else _pair(value)


def _clause(name: str, asked: Any, yours: Any) -> str:
    if name == "gradient":
        return "lets no gradient pass" if yours else "lets a gradient pass where none is asked for"
    if name == "statistics":
        return f"normalises with statistics of another kind ({yours}; asked: {asked})"
    if name == "weights" and yours == UNREGISTERED:
        return UNFOUND
    if name == "how":
        return f"is {yours} instead of {asked}"
    if name == "divisor":
        return (
            f"divides by {yours or 'the size of the window'} instead of {asked or 'the size of the window'}"
        )
    if name == "border":
        if yours and asked:
            return f"pads by {yours} instead of by {asked}"
        return f"pads by {yours} instead of with zeros" if yours else f"pads with zeros instead of by {asked}"
    if name == "taken":
        return f"takes {_taken(yours)} instead of {_taken(asked)}"
    if name == "along":
        return f"lies along {yours or 'the channels'} instead of {asked or 'the channels'}"
    if name == "bias counts":
        return f"adds its bias {yours or 1:.4g} times instead of once"
    if name == "over":
        return f"runs over {_over(yours)} instead of {_over(asked)}"
    return f"has {_show(name, yours)} instead of {_show(name, asked)}"


def joined(clauses: Sequence[str]) -> str:
    if len(clauses) < 2:
        return "".join(clauses)
    return f"{', '.join(clauses[:-1])} and {clauses[-1]}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _a(text: str) -> str:
    """With its article, where a word has one."""
    if text.startswith(("a ", "torch's", "dropout", "padding")) or text.split(",")[0].endswith("pooling"):
        return text
    return f"an {text}" if text.startswith(("ad", "ab", "ex", "ELU")) else f"a {text}"


def _family(layer: Layer) -> str:
    """What it is counted among: all that the columns call convolutions, say, whichever is a linear layer by kind."""
    return "convolution" if layer.written.endswith("convolution") else layer.kind


def ordinal(layers: Layers, place: int, at: Sequence[float] | None = None) -> str:
    """A layer by its rank among those of its name: "batch norm 2 of 3"; "the ReLU" where it is the only one.

    `at`: where each of the layers is shown, if that is not in their order.
    """
    name = _name(layers[place])
    alike = [i for i, layer in enumerate(layers) if _name(layer) == name]
    if at is not None:
        alike.sort(key=at.__getitem__)
    return f"the {name}" if len(alike) == 1 else f"{name} {alike.index(place) + 1} of {len(alike)}"


def _name(layer: Layer) -> str:
    sides = f"{_pair(layer.setting('kernel'))} " if layer.setting("kernel") else ""
    return f"{sides}{layer.written or layer.kind}"


def _output(layers: Layers, place: Any, at: Sequence[float] | None = None) -> str:
    if not isinstance(place, int):
        return "something else"
    return (
        "the block's input" if layers[place].kind == "input" else f"what {ordinal(layers, place, at)} gives"
    )


def place_of(layers: Layers, place: int, at: Sequence[float] | None = None) -> str:
    """Where a layer stands: behind which other one."""
    reads = layers[place].reads
    if not reads:
        return "at the input"
    names = [
        "the block's input" if layers[each].kind == "input" else ordinal(layers, each, at)
        for each in dict.fromkeys(reads)
    ][:3]
    if names == ["the block's input"]:
        return "on the block's input"
    return f"after {joined(names)}"


def _source(layers: Layers, place: int) -> str:
    """Where a layer reads from, if that is not the line above it."""
    layer = layers[place]
    if layer.kind in JUNCTIONS or not layer.reads or layer.reads == (place - 1,):
        return ""
    return "the input" if layers[layer.reads[0]].kind == "input" else "an earlier layer"


JUNCTIONS = {"sum", "difference", "product", "concatenation"}


def _line(layers: Layers, place: int, alone: bool = False) -> str:
    """A line of a column; of the layer `alone`, it does not tell what that reads."""
    layer = layers[place]
    text = words(layer)
    if layer.kind in JUNCTIONS:
        return f"{text} of {len(layer.reads)} tensors"
    source = "" if alone else _source(layers, place)
    return f"{text}, from {source}" if source else text
