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

Known mistakes are declared in tables, see `tables`. One that is a program of its own is a wrong reference whose
docstring is what the student reads:

    @mistake("resnet/basic_block", see="resnet.html#eq-residual")
    class Unlike(nn.Module):
        \"\"\"This is another block altogether.\"\"\"

Mistakes that are classes with a common base and override different methods are also combined in pairs.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import Any

from torch import Tensor, nn

from casestudies.checking import space
from casestudies.checking.expected import (
    expect,
    expect_callable,
    expect_keys,
    expect_number,
    expect_sequence,
    expect_text,
    expect_truth,
    expect_whole,
)
from casestudies.checking.sources import Edited, built_as
from casestudies.checking.space import Case as Case
from casestudies.checking.space import Dice as Dice
from casestudies.checking.space import Drawn as Drawn
from casestudies.checking.space import Space as Space
from casestudies.checking.space import any_of as any_of
from casestudies.checking.space import call_text as call_text
from casestudies.checking.space import times as times
from casestudies.sandboxed.messages import OPERATIONS, LayerSpec, ModuleSpec
from casestudies.sandboxed.messages import Called as Called
from casestudies.sandboxed.messages import Value as Value
from casestudies.sandboxed.probe import LAYERS

#: Two levels for a free side in the `shape` of a `~casestudies.checking.parts.Space`, small odd sides and small even
#: ones.
SIDES = space.SIDES


class Reference:
    """The reference block, and the cases in which a student's block must do the same.

    :ref:`How a block is compared <block-compared>` says what counts, and how large a difference passes.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Case, part
    >>> class Rectified(nn.Sequential):
    ...     def __init__(self, channels):
    ...         super().__init__(nn.Conv2d(channels, 2, 1), nn.ReLU())
    >>> @part("example/rectified", points=4, title="A convolution and a ReLU")
    ... def rectified():
    ...     return Reference(Rectified, Case(3, image=(2, 3, 5, 6)))
    >>> class Answer(nn.Module):
    ...     def __init__(self, channels):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(channels, 2, 1)
    ...     def forward(self, x):
    ...         return self.conv(x).clamp(min=0)
    >>> check("example/rectified", Answer).state
    'passed'

    Args:
        factory: The class that builds the reference block, or a function that does.
        *cases: The cases, each a `Case` or a `~casestudies.checking.parts.Space` and an argument of its own. There
            must be at least one.
        kind: ``"class"`` if the student writes a class, or ``"function"`` if the student writes a function that
            returns a module. Default: None, for what `factory` is.
        weights: How the :ref:`points are divided <block-points>` among the criteria ``"structure"``,
            ``"evaluation"``, ``"training"`` and ``"gradients"``: a dict from these names to numbers of at least 0. A
            criterion that is not in it has a weight of 1.
        forms: A tuple of classes, :ref:`other forms of the block <block-forms>` in which the same parameters may be
            kept. Default: none.
        fresh: A sentence for the student. With one, the student's block is also run in evaluation mode as it was just
            built, and the report says the sentence if its output is not that of the reference. Use it only for
            blocks whose first output does not depend on random weights, or correct answers fail. Default: ``""``, for
            no such run.

    Raises:
        TypeError: If an argument other than `kind` is of another type, such as a list of cases.
        ValueError: If there is no case; if `kind` is anything but the two words or None; if `weights` names an
            unknown criterion, or has a weight that is negative or not finite, or one of 0 for ``"evaluation"``; or if
            a
            `~casestudies.checking.parts.Space` does not fit `factory`.
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
        named = callable(factory) and hasattr(factory, "__name__")
        wanted = (
            "the class or function that builds the right block, with a name: of a functools.partial, write a "
            "function that calls it"
        )
        expect(named, "factory", factory, wanted, TypeError)
        of = f"of the reference {factory.__name__}"
        for place, each in enumerate(cases):
            if not isinstance(each, (Case, Space)):
                raise TypeError(
                    f"case {place} {of} is {each!r:.80} ({type(each).__name__}); "
                    "expected a Case or a Space, each an argument of its own"
                )
        if not cases:
            raise ValueError(f"the reference {factory.__name__} has no case; give at least one Case or Space")
        expect(kind in (None, "class", "function"), f"kind {of}", kind, "'class' or 'function'")
        weights = {} if weights is None else weights
        criteria = ", ".join(map(repr, self.WEIGHTS))
        expect(isinstance(weights, Mapping), f"weights {of}", weights, f"a dict of {criteria}", TypeError)
        if unknown := set(weights) - set(self.WEIGHTS):
            raise ValueError(f"weights {of} has {min(unknown, key=repr)!r}; expected {criteria}")
        for criterion, weight in weights.items():
            expect_number(f"weight {criterion!r} {of}", weight, "a number of at least 0", lambda w: w >= 0)
        mixins = isinstance(forms, tuple) and all(isinstance(form, type) for form in forms)
        expect(mixins, f"forms {of}", forms, "a tuple of classes", TypeError)
        expect_text(f"fresh {of}", fresh, "the sentence that a student reads")
        self.factory, self.forms, self.fresh = factory, forms, fresh
        self.spaces = tuple(each.belongs_to(factory) for each in cases if isinstance(each, Space))
        self.listed = tuple(Drawn(each) for each in cases if isinstance(each, Case))
        self.kind = kind or ("class" if isinstance(factory, type) else "function")
        self.weights = {**self.WEIGHTS, **weights}
        if not self.spaces and not any(each.case.training for each in self.listed):
            self.weights["training"] = 0.0
        if not any(self.weights.values()):
            raise ValueError(f"weights {of} are all 0; give one criterion a weight above 0")
        wanted = "a number above 0: what is wrong in a criterion that weighs nothing counts there"
        expect(
            self.weights["evaluation"] > 0, f"weight 'evaluation' {of}", self.weights["evaluation"], wanted
        )

    def drawn(self, seed: int) -> tuple[Drawn, ...]:
        """The cases of one run: as many with every seed. What the first one builds is also run on large numbers."""
        first, *rest = *self.listed, *(each for space in self.spaces for each in space.drawn(seed))
        loud = first.case.loud(first.large)
        beside = first.beside if loud is None else (*first.beside, loud)
        return (replace(first, beside=beside), *rest)

    @property
    def name(self) -> str:
        return self.factory.__name__


@dataclass(frozen=True)
class Call:
    """The arguments of one call of a student's function, as `call` makes it.

    The calls in a `~casestudies.Graph` are another class, `casestudies.graph.Call`.
    """

    #: The positional arguments, in order.
    args: tuple[Any, ...]
    #: The arguments that are given by name.
    kwargs: dict[str, Any] = field(default_factory=dict)


def call(*args: Any, **kwargs: Any) -> Call:
    """Make a call of the student's function with these arguments.

    Each time the call is made, the function receives copies of the arguments. A function that changes its arguments
    therefore changes nothing for the next one.

    Two kinds of arguments go wrong later. Values of other types, such as NumPy's or a module itself, work in a
    notebook and fail when submissions are graded. A complex tensor counts as changed after every call, so that even
    correct answers are wrong: pass it as two real ones.

    Args:
        *args: The positional arguments. They may be tensors, Python's numbers, strings, None, modules that are
            :ref:`described <parts-module>`, and lists, tuples and dicts of these, but no module anywhere in a dict.
        **kwargs: The arguments by name, of the same kinds.

    Returns:
        The `~casestudies.checking.parts.Call`, for a `Group`.

    Raises:
        TypeError: If a value in a description of a module is of another type, or if the number or the names of a
            layer's arguments do not fit it. Their values are not looked at before the check builds the layer.
        ValueError: If a description has a layer or a key that is not known, or if there is a module in a dict, at any
            depth.

    >>> call(28, 5, padding=2)
    Call(args=(28, 5), kwargs={'padding': 2})
    >>> call({"$module": {"layer": "Conv2d"}, "x": {}})
    Traceback (most recent call last):
    ValueError: a module in call has 'x'; expected '$module', 'state', 'training', 'then'
    """
    for value in (*args, *kwargs.values()):
        _expect_described(value)
    return Call(args, kwargs)


KINDS = ("Sequential", "Residual", *LAYERS)  # of layers that a description can name


def _expect_described(value: Any) -> None:
    """Looks at the modules that are described in an argument."""
    if isinstance(value, (list, tuple)):
        for item in value:
            _expect_described(item)
    if not isinstance(value, dict):
        return
    if "$module" not in value:
        for name, item in value.items():
            expect(
                not _has_module(item),
                f"item {name!r} of a dict in call",
                item,
                "no module; give it as an argument or in a list",
            )
        return
    described = "a module in call"
    expect_keys(described, value, ModuleSpec.__annotations__)
    state, inputs = value.get("state", {}), value.get("then")
    tensors = isinstance(state, Mapping) and all(isinstance(each, Tensor) for each in state.values())
    expect(tensors, f"state of {described}", state, "its state dict: tensors by name", TypeError)
    expect_truth(f"training of {described}", value.get("training", False))
    fits = "then" not in value or isinstance(inputs, Tensor)
    expect(fits, f"then of {described}", inputs, "a tensor, its input after the call", TypeError)
    _expect_layer(value["$module"])


def _has_module(value: Any) -> bool:
    """Whether a module is described in a value, however deep."""
    if isinstance(value, dict):
        return "$module" in value or any(map(_has_module, value.values()))
    return isinstance(value, (list, tuple)) and any(map(_has_module, value))


def _expect_layer(spec: Any) -> None:
    described = "a layer in call"
    wired = isinstance(spec, dict) and "layers" in spec  # a block of the course's own, see `assemble`
    expect_keys(described, spec, LayerSpec.__annotations__ if wired else ("layer", "args", "kwargs"))
    name, args, kwargs = spec.get("layer"), spec.get("args", []), spec.get("kwargs", {})
    if wired:
        for layer in spec["layers"].values():
            _expect_layer(layer)
        return
    expect(name in KINDS, f"the name of {described}", name, f"{', '.join(KINDS)}")
    expect(isinstance(args, (list, tuple)), f"args of {described}", args, "a list", TypeError)
    expect(isinstance(kwargs, dict), f"kwargs of {described}", kwargs, "a dict", TypeError)
    if name == "Residual":
        wanted = "a body, a shortcut or None, an activation or None"
        expect(len(args) == 3, f"args of {described}", args, wanted, TypeError)
        args = [args[0], *(layer for layer in args[1:] if layer is not None)]
    if name in ("Sequential", "Residual"):
        wanted = "none; give its layers as args"
        expect(not kwargs, f"kwargs of {described}, a {name},", kwargs, wanted, TypeError)
        for layer in args:
            _expect_layer(layer)
        return
    try:
        inspect.signature(LAYERS[name]).bind(*args, **kwargs)
    except TypeError as error:
        given = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
        raise TypeError(f"{described} is {name}({given:.80}), which cannot be built: {error}") from None


@dataclass(frozen=True)
class Group:
    """Calls that test one thing, and their share of the points of a part.

    A group earns its points only if all of its calls are answered correctly. It is worth the points of the part times
    its weight, divided by the sum of all weights. An answer that is wrong anywhere earns at most nine tenths of the
    part's points, however small the weight of the wrong group is.

    Use the dice for everything that should vary between checks. The generators of `random`, NumPy and torch are reset
    after each check, and would give the same calls again.

    Args:
        title: The heading of the group in the report, where it begins with a capital letter.
        make: A function that takes a `Dice` and returns the calls of one check, at least one, as a list, a tuple
            or an iterator. If it returns anything else, every answer is ``"ungradable"``.
        weight: The share of the group, a number above 0. Default: 1.
        gradients: Whether the :ref:`gradients <values-gradients>` of tensor arguments are also compared in this
            group. Default: False.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `weight` is 0 or less, or not finite.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Values, call, part
    >>> def square(x):
    ...     return x * x
    >>> def numbers(dice):
    ...     yield call(3)
    ...     yield call(dice.integer(4, 9))
    >>> def tensors(dice):
    ...     return [call(dice.normal(2, 3))]
    >>> @part("example/square", points=3, title="Squares")
    ... def squares():
    ...     return Values(
    ...         square,
    ...         Group("whole numbers", numbers),
    ...         Group("tensors", tensors, weight=2, gradients=True),
    ...     )
    >>> def answer(x):
    ...     return x.detach() ** 2 if torch.is_tensor(x) else x * x
    >>> report = check("example/square", answer)
    >>> [(each.title, each.points) for each in report.criteria]
    [('Whole numbers', 1.0), ('Tensors', 0.0)]
    >>> report.summary
    'square(<2×3 tensor>): the value is right, but the gradient of an argument differs.'
    """

    title: str
    make: Callable[[Dice], Iterable[Call]]
    weight: float = 1.0
    gradients: bool = False  # whether the gradients of tensor arguments count in this group

    def __post_init__(self) -> None:
        expect_text("title of a Group", self.title, "the heading of its calls in a report")
        of = f"of the group {self.title!r}"
        expect_callable(f"make {of}", self.make, "a function of dice that gives calls")
        expect_truth(f"gradients {of}", self.gradients)
        expect_number(f"weight {of}", self.weight, "a number above 0", lambda weight: weight > 0)

    def calls(self, dice: Dice) -> Iterator[Call]:
        """The calls of one check. Without one, every answer would be right in them."""
        some, made = False, self.make(dice)
        wanted = f"calls, such as [call(3)], from make of the group {self.title!r}"
        expect_sequence("what make gives", made, wanted)
        for each in made:
            expect(isinstance(each, Call), "what make gives", each, wanted, TypeError)
            some = True
            yield each
        if not some:
            raise ValueError(f"the group {self.title!r} has no call; make must give at least one")


class Values:
    """The reference function, and groups of calls for which a student's function must return the same.

    :ref:`How a function is compared <function-compared>` says what counts, and how large a difference passes.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, call, part
    >>> def half(x):
    ...     return x / 2
    >>> @part("example/half", points=1, title="Half as much")
    ... def halves():
    ...     return Values(half, Group("numbers", lambda dice: [call(7)]))
    >>> check("example/half", lambda x: 0.5 * x).state
    'passed'
    >>> check("example/half", lambda x: x // 2).state
    'wrong'

    Args:
        function: The reference function.
        *groups: The groups of calls, each a `Group` and an argument of its own. There must be at least one.
        view: A function that chooses what is compared: see :ref:`parts-view`. Default: None, for the returned value.
        gradients: Whether the :ref:`gradients <values-gradients>` of tensor arguments are also compared, in every
            group. Default: False.
        tolerance: The largest difference that passes, a number of at least 0: see :ref:`values-tolerances`. Default:
            1e-7.
        keeps_arguments: Whether :ref:`tensors and lists <function-compared>` among the arguments must be left as the
            reference leaves them. Default: True.
        random: Whether the function draws new random numbers at every call: see :ref:`values-random`. Default: False.
        repeats: How often each call is made. It may be above 1 only for a random function with a `view`. Default: 1.
        forbids: What the text of the part forbids, a dict from ``"convolution"`` or ``"grouped convolution"`` to a
            sentence. A student who uses it loses no points, and finds the sentence in the
            `~casestudies.checking.report.Report.notes`. It is noticed only if the reference returns a tensor.
            Default: nothing.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If there is no group, if `tolerance` is negative or not finite, if `repeats` is less than 1, or if
            it is above 1 without `view` or without ``random=True``.
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
        forbids: Mapping[str, str] | None = None,
    ) -> None:
        named = callable(function) and hasattr(function, "__name__")
        wanted = "the right function, with a name: of a functools.partial, write a function that calls it"
        expect(named, "function", function, wanted, TypeError)
        of = f"of the values of {function.__name__}"
        if not groups:
            raise ValueError(f"{function.__name__} is compared with no call; give Values at least one Group")
        for place, group in enumerate(groups):
            wanted = "a Group, each an argument of its own"
            expect(isinstance(group, Group), f"group {place} {of}", group, wanted, TypeError)
        if view is not None:
            expect_callable(f"view {of}", view, "a function of a call and its answers")
        flags = {"gradients": gradients, "keeps_arguments": keeps_arguments, "random": random}
        for flag, value in flags.items():
            expect_truth(f"{flag} {of}", value)
        expect_number(f"tolerance {of}", tolerance, "a number of at least 0", lambda share: share >= 0)
        expect_whole(f"repeats {of}", repeats, "a whole number of at least 1", least=1)
        if repeats > 1 and (view is None or not random):
            raise ValueError(
                f"repeats {of} is {repeats}; only a random function with a view is called several times: give "
                "random=True and view=..., or leave repeats out"
            )
        forbids = {} if forbids is None else forbids
        wanted = f"a dict of {' and '.join(map(repr, OPERATIONS))} and sentences"
        expect(isinstance(forbids, Mapping), f"forbids {of}", forbids, wanted, TypeError)
        for operation, sentence in forbids.items():
            expect(operation in OPERATIONS, f"an operation that forbids {of} names", operation, wanted)
            expect_text(f"forbids[{operation!r}] {of}", sentence, "the sentence that a student reads")
        self.function, self.groups, self.view, self.random = function, groups, view, random
        self.repeats, self.forbids = repeats, forbids
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
            made = self.declare()
            wanted = f"the Reference or Values of {self.id}"
            expect(
                isinstance(made, (Reference, Values)),
                f"what {self.declare.__name__}() returns",
                made,
                wanted,
                TypeError,
            )
            self._reference = made
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
        given = tuple(known.declared for known in self.mistakes if known.id in self.given)
        return _all_at_once(given) if given else None

    def expect_given(self) -> None:
        """Raises ValueError for a given mistake that is not declared: what was given would not be recognised."""
        unknown = self.given - {known.id for known in self.mistakes}
        if unknown:
            raise ValueError(
                f"given of {self.id} has {', '.join(map(repr, sorted(unknown)))}; expected ids of its mistakes, "
                f"which are {', '.join(repr(known.id) for known in self.mistakes) or 'none'}"
            )

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
    """Declare a part of an assignment. This is a decorator of a function that returns its `Reference` or `Values`.

    The function has no arguments. It is called when the part is first checked, and what it returns is kept. An error
    that it raises makes every answer ``"ungradable"``, and is logged.

    A part that is declared in ``casestudies/checks/<assignment>.py`` is found by every check; one that is declared
    elsewhere is found by checks in the same process. Declaring a part again, as by running a cell of a notebook once
    more, removes its mistakes: run the cells that declare them as well.

    In a repair exercise (see `given`), a block that is handed in unchanged earns nothing. Its mistakes are not named,
    since finding them is the exercise.

    Args:
        id: The id of the part, ``"assignment/part"``, with a-z, 0-9 and _ only in both.
        points: What the part is worth, a number above 0.
        title: The heading of the part in a report.
        see: The place in the book to which a report leads, such as ``"resnet.html#eq-residual"``. Default: none.
        given: For a block that students are asked to repair, the ids of all mistakes in it. If one of them does not
            belong to any mistake, every answer that is not correct is ``"ungradable"``. Default: none.

    Returns:
        The decorator, which returns the function unchanged.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `id` has another form, if another function has declared it, in the package or in this process,
            or if `points` is 0 or less, or not finite. Both errors are raised when the decorator is applied.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, Values, call
    >>> @part("example/double", points=2, title="Twice as much", see="after.html")
    ... def doubles():
    ...     def double(x):
    ...         return 2 * x
    ...     numbers = Group("numbers", lambda dice: [call(dice.integer(3, 9))])
    ...     return Values(double, numbers)
    >>> check("example/double", lambda x: x + x).points
    2.0
    """

    def declare(function: Callable[[], Any]) -> Callable[[], Any]:
        named = callable(function) and hasattr(function, "__qualname__")
        expect(named, f"what @part({id!r}, ...) decorates", function, "a function", TypeError)
        expect_text("part id", id, '"assignment/part"')
        if not re.fullmatch(r"[a-z0-9_]+/[a-z0-9_]+", id):
            raise ValueError(
                f"part id {id!r} is not of the form assignment/part, with a-z, 0-9 and _ only in both; "
                "such as 'resnet/basic_block'"
            )
        expect_number(f"points of {id}", points, "a number above 0", lambda number: number > 0)
        expect_text(f"title of {id}", title, "its heading in a report")
        expect_text(f"see of {id}", see, 'a place in the book, such as "resnet.html#eq-residual"')
        expect_sequence(f"given of {id}", given, "a list of ids of its mistakes")
        repaired = frozenset(given)
        for known in repaired:
            expect_text(f"given of {id}", known, "a list of ids of its mistakes")
        if function.__module__ != checks_of(id.partition("/")[0]):
            parts(id.partition("/")[0])  # those of the package, so that another's id is refused here
        # The same function again is its file read once more.
        other = _PARTS[id].declare if id in _PARTS else function
        if (other.__module__, other.__qualname__) != (function.__module__, function.__qualname__):
            raise ValueError(
                f"part id {id!r} is declared by {other.__qualname__} already; give {function.__qualname__} another"
            )
        _PARTS[id] = Part(id, points, title, see, function, repaired)
        return function

    return declare


def written(assignment: str, points: float) -> None:
    """Declare the points for the written answers of an assignment, which a human grades.

    Args:
        assignment: The name of the assignment, of a-z, 0-9 and _ only, such as ``"resnet"``.
        points: What all its written answers are worth together, a number of at least 0. The last declaration of an
            assignment counts; without one it is 0.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If `assignment` has other characters, or `points` is negative or not finite.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, Values, call, part
    >>> written("shapes", points=6)
    >>> @part("shapes/axes", points=2, title="The number of axes")
    ... def axes():
    ...     lists = [call([3, 8, 8]), call([5])]
    ...     return Values(len, Group("lists of sizes", lambda dice: lists))
    >>> print(check("shapes/axes", lambda sizes: len(sizes)).progress)
    2 of 8 points so far. A human gives the 6 points for the written answer.
    """
    named = 'the name of an assignment, such as "resnet", of a-z, 0-9 and _ only'
    expect_text("assignment", assignment, named)
    expect(re.fullmatch(r"[a-z0-9_]+", assignment) is not None, "assignment", assignment, named)
    wanted = "a number of at least 0"
    expect_number(
        f"points of the written answers of {assignment}", points, wanted, lambda number: number >= 0
    )
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
    """Declare a known mistake of a part. This is a decorator of a wrong class or function.

    The docstring of the class or function is the sentence that a student reads. An answer that does exactly the same,
    in all cases, is said to have this mistake. For mistakes that are edits of the reference,
    `~casestudies.checking.tables.table` is shorter.

    Two mistakes of a part with the same id are two forms of one mistake, and must have the same docstring and place.

    All errors but a TypeError for `part_id` are raised when the decorator is applied.

    Args:
        part_id: The id of the part, ``"assignment/part"``, which must be declared above.
        see: The place in the book that explains the mistake. Default: that of the part.
        id: The name of the mistake in `~casestudies.checking.report.Report.mistakes`, of letters (of any script),
            digits and _ only. Default: the name of the class or function in snake case, ``no_relu`` for ``NoRelu``,
            but ``no_re_lu`` for ``NoReLU``.

    Returns:
        The decorator, which returns the class or function unchanged.

    Raises:
        TypeError: If what is decorated is neither a class nor a function, or an argument is of another type.
        ValueError: If the part is not declared, if there is no docstring, if `id` has other characters, or if another
            mistake of the part has the same id with another docstring or place.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Group, Values, call, part
    >>> @part("example/last", points=1, title="The last item")
    ... def lasts():
    ...     def last(items):
    ...         return items[-1]
    ...     lists = Group("lists", lambda dice: [call([4, 7, 9]), call([5, 6])])
    ...     return Values(last, lists)
    >>> @mistake("example/last", id="first")
    ... def returns_the_first(items):
    ...     "The first item is returned, not the last; negative places count from the end."
    ...     return items[0]
    >>> check("example/last", lambda items: items[0]).mistakes
    ['first']
    """

    expect_text("part_id of a mistake", part_id, '"assignment/part"')

    def declare(wrong: Any) -> Any:
        named = callable(wrong) and hasattr(wrong, "__name__")
        expect(named, f"the mistake of {part_id}", wrong, "a wrong class or function", TypeError)
        expect_text(
            f"see of a mistake of {part_id}", see, 'a place in the book, such as "resnet.html#eq-residual"'
        )
        if id is not None:
            wanted = "letters, digits and _ only, such as 'no_relu'"
            expect_text(f"id of a mistake of {part_id}", id, wanted)
            expect(re.fullmatch(r"\w+", id) is not None, f"id of a mistake of {part_id}", id, wanted)
        text = " ".join((wrong.__doc__ or "").split())
        if not text:
            raise ValueError(
                f"mistake {wrong.__name__} of {part_id} has no docstring for the student to read"
            )
        target = declared(part_id)
        name = snake_case(wrong.__name__) if id is None else id
        target.add(Mistake(name, text, see or target.see, wrong))
        return wrong

    return declare


def snake_case(name: str) -> str:
    """
    >>> snake_case("ReluBeforeAddition")
    'relu_before_addition'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def checks_of(assignment: str) -> str:
    """The module that declares the parts of an assignment of the package."""
    return f"casestudies.checks.{assignment}"


def assignments() -> list[str]:
    """The assignments that have checks: the files of `casestudies.checks`."""
    import casestudies.checks

    return sorted(m.name for m in pkgutil.iter_modules(casestudies.checks.__path__) if m.name[0] != "_")


def parts(assignment: str | None = None) -> dict[str, Part]:
    """Find all parts, or those of one assignment.

    Args:
        assignment: The name of an assignment, such as ``"lenet"``. Default: None, for all assignments of the package.

    Returns:
        A dictionary of the parts by id, by assignment and then in the order of declaration. Each part has the fields
        `id`, `points`, `title` and `see`, as they were declared. A part that is declared outside of the package is
        found only by the name of its assignment. A name that no assignment has gives an empty dictionary.

    >>> list(parts("lenet"))[:2]
    ['lenet/conv_output_size', 'lenet/conv_parameters']
    >>> parts("lenet")["lenet/conv_output_size"].points
    4
    """
    wanted = assignments() if assignment is None else [assignment]
    for name in wanted:
        module = checks_of(name)
        # To look into the folder takes fifty times as long as to find what is imported. Where another thread is at
        # it, `import_module` waits.
        if module in sys.modules or assignment is None or name in assignments():
            importlib.import_module(module)
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
