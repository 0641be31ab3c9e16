"""How an assignment declares its parts, their references and their known mistakes.

    @part("resnet/basic_block", points=4, title="The basic block", see="resnet.html#eq-residual")
    def basic_block() -> Reference:
        return Reference(
            resnet.BasicBlock,
            Space(
                {"in_channels, out_channels": (any_of((6, 6), (3, 3)), any_of((4, 6), (7, 4))), "stride": (1, 2, 3)},
                shape=("in_channels", SIDES, SIDES),
            ),
        )

Known mistakes stand in tables, see `tables`. One that is a program of its own is a wrong reference whose docstring is
what the student reads:

    @mistake("resnet/basic_block", see="resnet.html#eq-residual")
    class Unlike(nn.Module):
        \"\"\"This is another block altogether.\"\"\"

Mistakes that are classes with a common base and override different methods are also combined in pairs.
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

from torch import nn

from casestudies.checking.sources import Edited, built_as
from casestudies.checking.space import SIDES as SIDES
from casestudies.checking.space import Case as Case
from casestudies.checking.space import Dice as Dice
from casestudies.checking.space import Drawn as Drawn
from casestudies.checking.space import Space as Space
from casestudies.checking.space import any_of as any_of
from casestudies.checking.space import call_text as call_text
from casestudies.checking.space import times as times
from casestudies.sandboxed.messages import Called


class Reference:
    """A block, and the space of cases in which a student's block must do the same (or cases, one argument each).

    `factory` builds the right block; `kind` is "class" where the student writes a class, "function" where the
    student writes a function that returns a module. `weights` divides the points among the criteria: "structure",
    "evaluation", "training" and "gradients", each 1 unless given. Unless given, `kind` is what `factory` is.

    Raises TypeError for a case that is no Case or Space (also a list of them); ValueError for an unknown criterion
    and for a Space that lacks an argument of `factory` or its default.

    `forms` are mixins that keep the same block's parameters in another form (a linear layer for a convolution
    that covers its grid, two convolutions for two groups). A student who chose one of these is compared with
    the reference, and with the mistakes, in that form.

    `fresh` is a sentence for the student, such as "its scale must begin at 0, so that a new block returns g(a)." With
    one, the student's block is also compared just as it was built, before its parameters get other values, and must
    give what the reference gives; where it does not, the report says the sentence. What both give must not depend on
    weights drawn at random, or right answers fail. Without `fresh`, the values that a block begins with do not count.
    """

    WEIGHTS = {"structure": 1.0, "evaluation": 1.0, "training": 1.0, "gradients": 1.0}

    def __init__(
        self,
        factory: Callable[..., nn.Module],
        *cases: Case | Space,
        kind: str | None = None,
        weights: dict[str, float] | None = None,
        forms: tuple[type, ...] = (),
        fresh: str = "",
    ) -> None:
        for place, each in enumerate(cases):
            if not isinstance(each, (Case, Space)):
                raise TypeError(
                    f"case {place} of the reference {factory.__name__} is {each!r:.80} ({type(each).__name__}); "
                    "expected a Case or a Space, each an argument of its own"
                )
        if unknown := set(weights or {}) - set(self.WEIGHTS):
            raise ValueError(
                f"weights of the reference {factory.__name__} has {min(unknown)!r}; "
                f"expected {', '.join(map(repr, self.WEIGHTS))}"
            )
        self.factory, self.forms, self.fresh = factory, forms, fresh
        self.spaces = tuple(each.belongs_to(factory) for each in cases if isinstance(each, Space))
        self.listed = tuple(Drawn(each) for each in cases if isinstance(each, Case))
        self.kind = kind or ("class" if isinstance(factory, type) else "function")
        self.weights = {**self.WEIGHTS, **(weights or {})}
        if not self.spaces and not any(each.case.training for each in self.listed):
            self.weights["training"] = 0.0

    def drawn(self, seed: int) -> tuple[Drawn, ...]:
        """The cases of one run: as many with every seed. What the first one builds is also run on large numbers."""
        first, *rest = (*self.listed, *(each for space in self.spaces for each in space.drawn(seed)))
        beside = first.beside if first.case.loud is None else (*first.beside, first.case.loud)
        return (replace(first, beside=beside), *rest)

    @property
    def name(self) -> str:
        return self.factory.__name__


@dataclass(frozen=True)
class Call:
    """Arguments of one call of a student's function."""

    #: The positional ones, in order.
    args: tuple[Any, ...]
    #: The named ones.
    kwargs: dict[str, Any] = field(default_factory=dict)


def call(*args: Any, **kwargs: Any) -> Call:
    """A call of the student's function, with these arguments."""
    return Call(args, kwargs)


@dataclass(frozen=True)
class Group:
    """Calls that test one thing. `make(dice)` gives them; all must be right for the points: the part's, times
    `weight` over the sum of all weights. An answer that is wrong anywhere gets at most nine tenths of the part's
    points, however little the wrong group weighs. `title` is the heading in the report; `gradients` also compares
    those of tensor arguments. Tensors that `dice` draws are float64.

    What is to be fresh every time is drawn with `dice`: `integer(low, high)` (both included), `real(low, high)`,
    `choice(options)`, `normal(*shape)`, `uniform(low, high, *shape)`, `signs(*shape)`, `seed()`. The generators of
    `random` and torch are put back after each check, and would give the same calls again.
    """

    title: str
    make: Callable[[Dice], Iterable[Call]]
    weight: float = 1.0
    gradients: bool = False  # whether the gradients of tensor arguments count in this group


class Values:
    """A function, and groups of calls on which a student's function must give the same.

    Compared are tensors, numbers, strings (900 characters), None, and tuples and lists of these (1000 items, four
    deep). The contents of anything else, such as a dict, a set, an array of NumPy or a module, are not: a function
    that gives one makes every answer "ungradable", and the log says why.

    `view(call, answer)` reduces `answer` to what is compared (for functions that are random, or that change a module
    in place): `answer.value.value` is the tensor, number or string that was returned, a list of the same kind of
    objects for a tuple or list (`answer.value.value[0].value`), and None for anything else; `answer.value.kind` is
    what that is ("tensor", "float", "tuple", ...), and `answer.tensors_after` and `answer.states_after` are the
    arguments as the call left them. `call` has `args` and `kwargs`. Without a `view` the returned value itself is
    compared. `gradients=True` also compares the gradients of tensor arguments, in every group; a single group can
    ask for that too. The function must then return one tensor in each of these calls, and raise in none: else every
    answer is "ungradable". A `view` gets them as `answer.gradients`; then nothing else compares them. `random=True`:
    the function draws new random numbers at every call; with `repeats` above 1 every call is made that often (three
    times where the reference gives the same twice), and `view(call, *answers)` gets all answers. In what it returns,
    a word that ends in `?` says that something is wrong but not what; nothing is explained by it. A random
    function's gradients are those of the sum of its result; elsewhere the sum is weighted at random.

    Where the function raises, the student's must raise too, but any exception will do.

    Raises ValueError without a group, and for `repeats` above 1 without a `view` or without `random=True`.

    `tolerance` is the largest difference that passes, as a share of the largest number that is asked for. It is never
    below 1e-5 for Python's floats and 3e-4 for tensors of less than float64; gradients have a tolerance of their own,
    1e-6 (3e-4 from float32). Of plain numbers that a `view` returns, it is a share of 1 where they are smaller.
    A function that fails in float64 is asked again in float32. The type
    of what is returned counts (6.0 for 6 is wrong; but 6 for 6.0, a tuple for a list, and single numbers of NumPy for
    Python's pass), and so does whether a tensor holds whole or real numbers; otherwise its dtype does not.
    `keeps_arguments`: tensors and lists among the arguments have to be after the call as the reference leaves them;
    with a `view` only lists are compared, and a tensor changed in place passes unless the view returns it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *groups: Group,
        view: Callable[..., Any] | None = None,
        gradients: bool = False,
        tolerance: float = 1e-7,
        keeps_arguments: bool = True,
        random: bool = False,
        repeats: int = 1,
    ) -> None:
        if not groups:
            raise ValueError(f"{function.__name__} is compared with no call; give Values at least one Group")
        if repeats > 1 and (view is None or not random):
            raise ValueError("only a random function with a view is called several times")
        self.function, self.groups, self.view, self.random = function, groups, view, random
        self.repeats = repeats
        self.gradients, self.tolerance, self.keeps_arguments = gradients, tolerance, keeps_arguments

    @property
    def name(self) -> str:
        return self.function.__name__

    def seen(self, made: Call, *answers: Called) -> Any:
        """What is compared of the answers to a call, where there is a view."""
        if self.view is None:
            raise ValueError(f"{self.name} is compared by its values")
        return self.view(made, *answers)


@dataclass(frozen=True)
class Mistake:
    """A wrong reference with a name and the sentence that a student reads.

    `declared` is the wrong class or function itself, or the edit of the reference that makes it.
    """

    id: str
    text: str
    see: str
    declared: Callable[..., Any] | Edited

    @property
    def wrong(self) -> Callable[..., Any]:
        return self.declared.made if isinstance(self.declared, Edited) else self.declared


@dataclass(frozen=True)
class Pair:
    """Two mistakes at once. What does both is not made before it is asked for."""

    one: Mistake
    other: Mistake
    declared: Callable[..., Any] | Edited

    @property
    def wrong(self) -> Callable[..., Any]:
        return self.declared.made if isinstance(self.declared, Edited) else self.declared


@dataclass
class Part:
    """A graded part of an assignment."""

    id: str
    points: float
    title: str
    see: str
    declare: Callable[[], Reference | Values]
    given: frozenset[str] = frozenset()  # the mistakes of the block that students are asked to repair
    mistakes: list[Mistake] = field(default_factory=list)
    _reference: Reference | Values | None = None
    _pairs: list[Pair] | None = None

    @property
    def assignment(self) -> str:
        return self.id.partition("/")[0]

    def add(self, known: Mistake) -> None:
        """One more known mistake. Under the id of another one it is a second form of that, and explained alike.

        Raises ValueError where it is not.
        """
        for each in self.mistakes:
            if each.id == known.id and (each.text, each.see) != (known.text, known.see):
                raise ValueError(
                    f"{self.id} has two mistakes {known.id} with different sentences or places: “{each.text}” and "
                    f"“{known.text}”; give one of them another id"
                )
        self.mistakes.append(known)

    @property
    def reference(self) -> Reference | Values:
        if self._reference is None:
            self._reference = self.declare()
        return self._reference

    @property
    def pairs(self) -> list[Pair]:
        """Two mistakes at once: edits that do not overlap, or classes that override different things of a base."""
        if self._pairs is None:
            self._pairs = list(self._combine())
        return self._pairs

    @property
    def as_given(self) -> Callable[..., Any] | None:
        """The block to repair as it was given: all its mistakes at once. None where they do not go together."""
        unknown = self.given - {known.id for known in self.mistakes}
        if unknown:
            raise ValueError(
                f"given of {self.id} has {', '.join(map(repr, sorted(unknown)))}; expected ids of its mistakes, "
                f"which are {', '.join(repr(known.id) for known in self.mistakes) or 'none'}"
            )
        given = tuple(known.declared for known in self.mistakes if known.id in self.given)
        return _all_at_once(given) if given else None

    def _combine(self) -> Iterator[Pair]:
        for a, b in combinations(self.mistakes, 2):
            both = _together(a.declared, b.declared)
            if both is not None:
                yield Pair(a, b, both)


Declared = Callable[..., Any] | Edited


@lru_cache(maxsize=64)
def _all_at_once(wrong: tuple[Declared, ...]) -> Callable[..., Any] | None:
    """Several wrong references as one; None where they do not go together."""
    made: Declared | None = wrong[0]
    for each in wrong[1:]:
        made = None if made is None else _together(made, each)
    return made.made if isinstance(made, Edited) else made


def _together(a: Declared, b: Declared) -> Declared | None:
    """Two wrong references as one; None where they do not go together."""
    if isinstance(a, Edited) or isinstance(b, Edited):
        fit = isinstance(a, Edited) and isinstance(b, Edited) and a.goes_with(b)
        return a.together(b) if fit else None  # type: ignore[union-attr, arg-type]
    one, other = (getattr(wrong, "written_as", wrong) for wrong in (a, b))
    if not (isinstance(one, type) and isinstance(other, type)):
        return None
    if issubclass(one, other) or issubclass(other, one) or _overridden(one) & _overridden(other):
        return None
    try:
        both = type(f"{one.__name__}And{other.__name__}", (one, other), {})
    except TypeError:  # no common order of bases: they cannot be combined
        return None
    return both if a is one else as_function(both)


def _overridden(cls: type) -> set[str]:
    return {n for n in vars(cls) if not (n.startswith("__") and n.endswith("__")) or n == "__init__"}


class Formula:
    """A function cut into methods, one decision each, as blocks are: calling the class gives `value(...)`.

    Mistakes that override different methods of one formula are then also made in pairs.

    >>> class Area(Formula):
    ...     def value(self, width, height):
    ...         return width * height
    >>> Area(3, height=5)
    15
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        return object.__new__(cls).value(*args, **kwargs)

    def value(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say what its value is")


def as_function(written_as: type) -> Callable[..., Any]:
    """A wrong class as the function that a student would have written: for parts that ask for functions.

    Goes between `@mistake(...)` and a subclass of `Formula`, or a module where the part's function returns one.
    """

    def wrong(*args: Any, **kwargs: Any) -> Any:
        return written_as(*args, **kwargs)

    wrong.__name__ = wrong.__qualname__ = written_as.__name__
    wrong.__doc__ = written_as.__doc__
    wrong.written_as = written_as  # type: ignore[attr-defined]
    return wrong


@lru_cache(maxsize=4096)
def in_form(factory: Callable[..., Any], form: type | None) -> Callable[..., Any]:
    """A block with its parameters in another form: see `Reference`. None leaves it as it is."""
    if not form or not isinstance(factory, type):
        return factory
    right = built_as(factory)
    return type(factory.__name__, (form, factory), {"built_as": right and in_form(right, form)})


_PARTS: dict[str, Part] = {}
_WRITTEN: dict[str, float] = {}


def part(
    id: str, points: float, title: str, see: str = "", given: Iterable[str] = ()
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Declares a part; the decorated function returns its `Reference` or `Values`.

    `id` is "assignment/part", both of a-z, 0-9 and _ only; `points` what it is worth, `title` its heading in a
    report, `see` the place in the book that a report leads to, such as "resnet.html#eq-residual". A worked example
    is in the page on writing an assignment. Raises ValueError for an id of another form, or one that is declared
    already.

    `given` are the identifiers of all mistakes in a block that students repair: a mistake's `id` or, where it has
    none, its name in snake case (`no_relu` for `NoRelu`, but `no_re_lu` for `NoReLU`). Handed in as it was given,
    the block earns nothing, and the mistakes are not named: finding them is the exercise.
    """

    def declare(function: Callable[[], Any]) -> Callable[[], Any]:
        if not re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", id):
            raise ValueError(f"part id {id!r} is not of the form assignment/part")
        # The same function again is its file read once more.
        other = _PARTS[id].declare if id in _PARTS else function
        if (other.__module__, other.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(
                f"part id {id!r} is declared by {other.__qualname__} already; give {function.__qualname__} another"
            )
        _PARTS[id] = Part(id, points, title, see, function, frozenset(given))
        return function

    return declare


def written(assignment: str, points: float) -> None:
    """Declares what the written answers of an assignment, which a human grades, are worth."""
    _WRITTEN[assignment] = points


def written_points(assignment: str) -> float:
    """What the written answers of an assignment are worth; 0 where it has none."""
    parts(assignment)
    return _WRITTEN.get(assignment, 0.0)


def declared(part_id: str) -> Part:
    """A part of a file of checks that is being read."""
    if part_id not in _PARTS:
        raise ValueError(f"there is no part {part_id!r}; declare it with @part(...) above its mistakes")
    return _PARTS[part_id]


def mistake(part_id: str, see: str = "", id: str | None = None) -> Callable[[Any], Any]:
    """Declares a known mistake of a part: a wrong class or function whose docstring explains it to the student.

    The part must be declared first. `see` is the part's unless given, `id` the name in snake case. Raises ValueError
    for a part that is not declared, where there is no docstring, and for an `id` that another mistake of the part
    has with another sentence or place.
    """

    def declare(wrong: Any) -> Any:
        text = " ".join((wrong.__doc__ or "").split())
        if not text:
            raise ValueError(
                f"mistake {wrong.__name__} of {part_id} has no docstring for the student to read"
            )
        target = declared(part_id)
        name = id or snake_case(wrong.__name__)
        target.add(Mistake(name, text, see or target.see, wrong))
        return wrong

    return declare


def snake_case(name: str) -> str:
    """
    >>> snake_case("ReluBeforeAddition")
    'relu_before_addition'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def assignments() -> list[str]:
    """The assignments that have checks: the files of `casestudies.checks`."""
    import casestudies.checks

    return sorted(m.name for m in pkgutil.iter_modules(casestudies.checks.__path__) if m.name[0] != "_")


def parts(assignment: str | None = None) -> dict[str, Part]:
    """All parts, or those of one assignment: by assignment, then in the order in which they are declared.

    The order does not depend on which assignment this process imported first.
    """
    wanted = assignments() if assignment is None else [assignment]
    known = assignments()
    for name in wanted:
        if name in known:
            importlib.import_module(f"casestudies.checks.{name}")
    return {id: p for name in wanted for id, p in _PARTS.items() if p.assignment == name}


def find(part_id: str) -> Part | None:
    """The part of that name, or None."""
    if not isinstance(part_id, str):
        return None
    return parts(part_id.partition("/")[0]).get(part_id)


def nearest(part_id: object) -> list[str]:
    """The names most like a name that does not exist."""
    names = list(parts())
    text = str(part_id)
    close = difflib.get_close_matches(text, names, n=3, cutoff=0.5)
    return close or [name for name in names if name.partition("/")[0] == text.partition("/")[0]][:8]
