"""Spaces of cases: what a block can be asked, declared once, and drawn from so that every run asks all of it.

    Space(
        {
            "in_channels, out_channels": (any_of((6, 6), (3, 3)), any_of((4, 6), (5, 7)), any_of((7, 4), (6, 3))),
            "stride": (1, 2, 3),
        },
        shape=("in_channels", SIDES, SIDES),
    )

An axis has levels. A level is a value, or any of several that lie on the same side of every condition. Each run has
every level of every axis, and every pair of levels that may meet: of the arguments, of the batch, of the sides of the
image. Each default is left out once, and what has one is given by position and by name. Which levels meet in which
case is worked out once and is the same in every run: whoever goes wrong at some of them goes wrong in as many cases
of the next run. What a seed draws is the rest: which value of a level, and which size of a batch stands for which.
No two sides of an image are the same where they need not be: what is right on squares only is wrong in every case.
"""

from __future__ import annotations

import inspect
import math
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from itertools import combinations, product
from operator import or_
from typing import Any

import torch
from torch import Tensor

from casestudies.checking.expected import (
    expect,
    expect_callable,
    expect_number,
    expect_sequence,
    expect_text,
    expect_truth,
    expect_whole,
)

SPELLINGS = ("defaults left out", "by position", "by name")
LOUD = 1000.0
DRAWS = 1000  # how many ways there are to draw the cases of one run
RESTARTS, MOST_TRIED = 16, 12_000  # of the search for few cases, and how many it may look at


def seed_of(cases: int, numbers: int) -> int:
    """A seed that draws the cases that `cases` alone decides, and in them weights and inputs of its own.

    >>> seed_of(7, 31) % DRAWS == seed_of(7, 32) % DRAWS
    True
    """
    return numbers * DRAWS + cases % DRAWS


class Dice:
    """The random choices of one check, all from one seed. Tensors come in float64.

    The ``make`` of a `Group` and the ``inputs`` of a `Case` take one. To look at what they would draw, make a `Dice`
    yourself.

    Args:
        seed: A whole number from -2⁶³ to 2⁶⁴ - 1, as torch takes them.

    Raises:
        TypeError: If `seed` is not a whole number.
        ValueError: If `seed` is less than -2⁶³ or greater than 2⁶⁴ - 1.

    >>> Dice(1).integer(3, 5) in (3, 4, 5)
    True
    >>> Dice(1).normal(2, 3).shape
    torch.Size([2, 3])
    """

    def __init__(self, seed: int) -> None:
        # A check counts on from its own seed, which may be the largest that fits into 64 bits.
        expect_whole("seed of Dice", seed, "a whole number from -2**63 to 2**64 - 1", -(2**63), 2**64 - 1)
        self.generator = torch.Generator().manual_seed(int(seed))

    def integer(self, low: int, high: int) -> int:
        """Draw a whole number from `low` to `high`, both included.

        Args:
            low: The smallest number, a whole number from -2⁶² to 2⁶².
            high: The largest number, a whole number from `low` to 2⁶².

        Returns:
            The number.

        Raises:
            TypeError: If `low` or `high` is of another type.
            ValueError: If `low` is above `high`, or either is above 2⁶² in absolute value.
        """
        wanted = "a whole number from -2**62 to 2**62"
        expect_whole("low of dice.integer", low, wanted, -(2**62), 2**62)
        expect_whole("high of dice.integer", high, f"{wanted}, at least low, which is {low}", low, 2**62)
        return int(torch.randint(low, high + 1, (), generator=self.generator))

    def choice(self, options: Iterable[Any]) -> Any:
        """Draw one of several options.

        Args:
            options: A list, a tuple, or anything else that yields the options one by one. There must be at least one.

        Returns:
            One of the options.

        Raises:
            TypeError: If `options` is of another type.
            ValueError: If there is no option.
        """
        wanted = "options, such as (3, 5), at least one"
        expect(isinstance(options, Iterable), "what dice.choice is given", options, wanted, TypeError)
        several = list(options)
        expect(len(several) > 0, "what dice.choice is given", options, wanted)
        return several[self.integer(0, len(several) - 1)]

    def real(self, low: float, high: float) -> float:
        """Draw a real number between `low` and `high`, uniformly.

        Args:
            low: The smallest number.
            high: The limit, at least `low`. It is not drawn itself, unless it equals `low` or rounding leads to it.

        Returns:
            The number.

        Raises:
            TypeError: If `low` or `high` is of another type.
            ValueError: If `low` is above `high`, or either number or their distance does not fit into a float.
        """
        _expect_range("dice.real", low, high)
        return float(
            low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))
        )

    def normal(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Draw a tensor of numbers that are normally distributed around 0.

        Args:
            *shape: The sizes of the tensor, each an argument of its own and at least 0.
            scale: The standard deviation, a number of at least 0. Default: 1.

        Returns:
            The tensor of float64, of this shape.

        Raises:
            TypeError: If a size or `scale` is of another type.
            ValueError: If a size is negative, or `scale` is negative or not finite.
        """
        _expect_sizes("dice.normal", shape)
        expect_number("scale of dice.normal", scale, "a number of at least 0", lambda size: size >= 0)
        drawn = torch.randn(shape, generator=self.generator, dtype=torch.float64)
        return drawn if scale == 1 else scale * drawn

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Draw a tensor of real numbers between `low` and `high`, uniformly.

        Args:
            low: The smallest number.
            high: The limit, at least `low`. It is not drawn itself, unless it equals `low` or rounding leads to it.
            *shape: The sizes of the tensor, each an argument of its own and at least 0.

        Returns:
            The tensor of float64, of this shape.

        Raises:
            TypeError: If a size, `low` or `high` is of another type.
            ValueError: If a size is negative, if `low` is above `high`, or if either number or their distance does
                not fit into a float.

        >>> gates = Dice(1).uniform(0, 1, 2, 4, 1, 1)
        >>> gates.shape, bool((gates >= 0).all() and (gates < 1).all())
        (torch.Size([2, 4, 1, 1]), True)
        """
        _expect_range("dice.uniform", low, high)
        _expect_sizes("dice.uniform", shape)
        return low + (high - low) * torch.rand(shape, generator=self.generator, dtype=torch.float64)

    def signs(self, *shape: int) -> Tensor:
        """Draw a tensor of 1 and -1.

        Args:
            *shape: The sizes of the tensor, each an argument of its own and at least 0.

        Returns:
            The tensor of float64, of this shape.

        Raises:
            TypeError: If a size is of another type.
            ValueError: If a size is negative.
        """
        _expect_sizes("dice.signs", shape)
        return torch.randint(0, 2, shape, generator=self.generator).double() * 2 - 1

    def seed(self) -> int:
        """Draw a seed for another generator.

        Returns:
            A whole number from 0 to 2³¹ - 2.
        """
        return self.integer(0, 2**31 - 2)


def _expect_range(name: str, low: Any, high: Any) -> None:
    fits = "a number that fits into a float"
    expect_number(f"low of {name}", low, fits, lambda _: True)
    expect_number(
        f"high of {name}", high, f"{fits}, of at least low, which is {low!r:.80}", lambda n: n >= low
    )
    near = math.isfinite(float(high) - float(low))
    expect(near, f"high of {name}", high, f"a number whose distance from low, {low!r:.80}, fits into a float")


def _expect_sizes(name: str, shape: tuple[Any, ...]) -> None:
    for size in shape:
        expect_whole(f"a size in {name}", size, "whole numbers of at least 0, each an argument of its own", 0)


class Construction:
    """The arguments of a constructor. Equal ones have equal representations: lists are arguments, too."""

    def __init__(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.args, self.kwargs = args, dict(kwargs)
        self._key = repr((args, sorted(self.kwargs.items())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Construction) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class Case:
    """One way to build a block, and one input to run it on.

    Give the shape of an image, or a function that draws the inputs: for a block with several inputs, or with inputs
    that are not normally distributed.

    Args:
        *args: The arguments with which the block is built, by position. An argument of the block that is itself
            called ``image``, ``scale``, ``training`` or ``inputs`` must be given by position.
        image: The shape of the input with the batch, (batch, channels, height, width), or of as many axes as the
            block takes: whole numbers of at least 1. The input is drawn anew at every check. Default: None, which
            needs `inputs`.
        scale: The standard deviation of the input, a number above 0. Default: 3.
        training: Whether training mode is compared as well. Give False for blocks that are random there, since
            two runs must agree. Default: True.
        inputs: In place of `image`, a function that takes a `Dice` and returns the inputs of the block, a list or
            tuple of float64 tensors, at least one. If it returns anything else, every answer is ``"ungradable"``.
            Default: None.
        **kwargs: The arguments with which the block is built, by name.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If both `image` and `inputs` are given, or neither; if `image` has no size, or a size below 1; or
            if `scale` is 0 or less, or not finite.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import Reference, part
    >>> class Gated(nn.Module):
    ...     def __init__(self, channels):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(channels, channels, 1)
    ...     def forward(self, x, gate):
    ...         return gate * self.conv(x)
    >>> def image_and_gate(dice):
    ...     return [dice.normal(2, 4, 5, 6), dice.uniform(0, 1, 2, 4, 1, 1)]
    >>> @part("example/gated", points=2, title="Two inputs")
    ... def gated():
    ...     return Reference(Gated, Case(4, inputs=image_and_gate))
    >>> class Ungated(Gated):
    ...     def forward(self, x, gate):
    ...         return self.conv(x)
    >>> check("example/gated", Gated).state, check("example/gated", Ungated).state
    ('passed', 'wrong')
    """

    is_loud = False  # whether its numbers are larger than any that a block need work with

    def __init__(
        self,
        *args: Any,
        image: tuple[int, ...] | None = None,
        scale: float = 3.0,
        training: bool = True,
        inputs: Callable[[Dice], list[Tensor]] | None = None,
        **kwargs: Any,
    ) -> None:
        if image is not None and inputs is not None:
            raise ValueError("a Case has both image and inputs; give the one or the other")
        if image is None and inputs is None:
            raise ValueError(
                "a Case needs either image=(batch, channels, height, width) or inputs=...; a part that asks for a "
                "function of numbers declares Values, with groups of calls"
            )
        if image is not None:
            _expect_some("image of a Case", image, "the shape of the input, such as (2, 3, 8, 8)")
            for size in image:
                expect_whole(
                    f"a size in image={image!r:.80} of a Case", size, "a whole number of at least 1", 1
                )
            image = tuple(map(int, image))
        if inputs is not None:
            expect_callable("inputs of a Case", inputs, "a function of dice that gives a list of tensors")
        expect_number("scale of a Case", scale, "a number above 0", lambda size: size > 0)
        self.construction = Construction(args, kwargs)
        expect_truth("training of a Case", training)
        self.image, self.scale, self.training, self._inputs = image, scale, training, inputs
        self._loud: dict[tuple[int, ...], Case] = {}

    @classmethod
    def of(cls, construction: Construction, image: tuple[int, ...], scale: float) -> Case:
        """A case of arguments with any names, also those that `Case` itself has."""
        case = cls(image=image, scale=scale)
        case.construction = construction
        return case

    @property
    def args(self) -> tuple[Any, ...]:
        return self.construction.args

    @property
    def kwargs(self) -> Values:
        return self.construction.kwargs

    def inputs(self, dice: Dice) -> list[Tensor]:
        if self._inputs is not None:
            made = self._inputs(dice)
            wanted = "a list of float64 tensors, such as [dice.normal(2, 3, 8, 8)]"
            several = isinstance(made, (list, tuple)) and len(made) > 0
            expect(several, "what inputs of a Case gives", made, wanted, TypeError)
            for each in made:
                fits = isinstance(each, Tensor) and each.dtype == torch.float64
                given = each.dtype if isinstance(each, Tensor) else each
                expect(fits, "what inputs of a Case gives", given, wanted, TypeError)
            return list(made)
        assert self.image is not None  # one of the two is given, see above
        drawn = dice.normal(*self.image, scale=self.scale)
        if drawn.dim() == 4 and min(self.image[2:]) > CORNER:
            # Some windows see nothing but negative numbers, whatever the seed: so what cuts these off shows.
            drawn[..., :CORNER, :CORNER] = -drawn[..., :CORNER, :CORNER].abs()
        return [drawn]

    def given(self, values: Mapping[str, Any]) -> Case:
        """The same case with arguments that it leaves out."""
        case = copy(self)
        case.construction = Construction(self.args, {**self.kwargs, **values})
        case._loud = {}
        return case

    def loud(self, sides: tuple[int, ...] | None = None) -> Case | None:
        """The same case on one image of numbers a thousand times as large, which some limit may cut off, and with
        other sides where these are given; None where the inputs are special ones."""
        if self.image is None:
            return None
        image = (1, *(sides or self.image[1:]))
        if image not in self._loud:  # the same object: what is known of a case is kept from run to run
            self._loud[image] = Case.of(self.construction, image, LOUD * self.scale)
            self._loud[image].is_loud = True
        return self._loud[image]

    def describe(self, name: str) -> str:
        shape = f" on {times(self.image)}" if self.image else ""
        return call_text(name, self.args, self.kwargs) + shape


@dataclass(frozen=True)
class Drawn:
    """A case of one run; what it builds is also run in evaluation mode on the images of the cases `beside` it, and,
    where it is `thorough`, on its first image alone and in float32. `large`: the form of an image that is larger than
    the others of the run, where there is one among none of these."""

    case: Case
    beside: tuple[Case, ...] = ()
    thorough: bool = True
    large: tuple[int, ...] | None = None


class AnyOf:
    """A level of several values, any of which stands for it."""

    def __init__(self, values: tuple[Any, ...]) -> None:
        if not values:
            raise ValueError("any_of() has no value; give at least one")
        for value in values:
            one = not isinstance(value, AnyOf)
            expect(one, "a value of any_of", value, "no other any_of: give all values to one", TypeError)
        self.values = values

    def __repr__(self) -> str:
        return f"any_of({', '.join(map(repr, self.values))})"


def any_of(*values: Any) -> AnyOf:
    """Make one level of a `~casestudies.checking.parts.Space` that stands for several values.

    A check asks about some of the values. Choose values for which a block should behave alike, such as several odd
    sides. If they lie on different sides of a condition, each check asks about both sides, though not about every
    pair of a value with a level of another argument.

    Args:
        *values: The values, each an argument of its own. There must be at least one.

    Returns:
        The level.

    Raises:
        TypeError: If one of the values is itself made by `any_of`.
        ValueError: If there is no value.

    >>> any_of(5, 7, 9)
    any_of(5, 7, 9)
    """
    return AnyOf(values)


SIDES = (any_of(5, 7), any_of(6, 8))  # of an image: odd and even
LARGER = 30  # by so much are the sides of one image of a run: a block may fail only at sizes that are in use
ALONE = 8  # and by so much those of a batch of one: in a few numbers a slip may not show
CORNER = 3  # so many rows and columns of each image hold negative numbers only
LONGER = 32  # by so much is one side where that would take too long: as often as it is halved, nothing is left over


def _values(level: Any) -> tuple[Any, ...]:
    return level.values if isinstance(level, AnyOf) else (level,)


Values = dict[str, Any]  # arguments by name
Feature = tuple[str, Any]  # an axis or a condition, and the level of the one or the truth of the other


@dataclass(frozen=True)
class _Row:
    """Levels that meet in one case; each example is a choice of values with a way to write them down."""

    features: tuple[Feature, ...]
    examples: list[Values] = field(compare=False)
    spelling: str


@dataclass(frozen=True)
class _Image:
    """Levels of what a built block runs on: a batch, the sides that are free, a scale."""

    batch: int
    sides: tuple[int, ...]  # which level of each free side
    scale: int

    @property
    def features(self) -> tuple[Feature, ...]:
        sides = [(f"side {k}", level) for k, level in enumerate(self.sides)]
        return (("batch", self.batch), *sides, ("scale", self.scale))


class Space:
    """All cases that a block can be asked about.

    Each check draws some of them. :ref:`What a space draws <parts-space>` says which levels meet.

    Args:
        arguments: A dict ``{"name": levels}`` for every argument of the constructor or function. A default must be a
            level of its own. Names in one key, ``"name, name"``, are chosen together, as tuples, and none of them may
            have a default.
        shape: The shape of one image, without the batch. Each size is one of these:

            - a number, or the name of an argument;
            - a function that takes the arguments by name, such as ``lambda channels, **_: 2 * channels``;
            - for a side that is free, a tuple of such sizes, its levels, such as `SIDES`.
        where: A function that takes the arguments by name and returns True for those that go together. Default: None,
            since all go together.
        conditions: Functions that take the arguments by name and divide the cases in two, such as
            ``lambda in_channels, **_: in_channels < 4``. Default: none.
        batches: The batch sizes to draw from, each at least 1. Default: 1 to 5.
        scale: The standard deviation of the input, a number above 0, or several such numbers as levels. Default: 3.
        without: The names of arguments that belong to the reference alone and are not asked for. They must have a
            default. Default: none.

    Raises:
        TypeError: If an argument is of another type.
        ValueError: If an argument has no level, if `shape` has no size, if a size or batch is below 1, or if `scale`
            is 0 or less, or not finite. `Reference` raises it if the names in `arguments` are not all the
            arguments of the block, if a name in `shape` or in `without` is none of them, if an argument in `without`
            has no default, or if a default is not among the levels.

    >>> from casestudies import check
    >>> from casestudies.checking.parts import SIDES, Reference, any_of, part
    >>> from casestudies.networks.resnet import BasicBlock
    >>> @part("example/block", points=4, title="The basic block")
    ... def block():
    ...     space = Space(
    ...         {
    ...             "in_channels, out_channels": (any_of((3, 3), (6, 6)), (4, 6)),
    ...             "stride": (1, 2),
    ...         },
    ...         shape=("in_channels", SIDES, SIDES),
    ...         where=lambda stride, in_channels, **_: stride == 1 or in_channels > 3,
    ...         without=("option",),
    ...     )
    ...     return Reference(BasicBlock, space)
    >>> for case in check("example/block", BasicBlock, seed=1).compared:
    ...     print(case)
    BasicBlock(3, 3) on 3×3×7×5
    BasicBlock(6, 6, 2) on 4×6×8×6
    BasicBlock(4, 6, 1) on 1×4×14×16
    BasicBlock(4, 6, stride=2) on 2×4×5×7
    """

    def __init__(
        self,
        arguments: Mapping[str, Sequence[Any]],
        shape: Sequence[Any],
        *,
        where: Callable[..., bool] | None = None,
        conditions: Sequence[Callable[..., bool]] = (),
        batches: Sequence[int] = (1, 2, 3, 4, 5),
        scale: float | Sequence[float] = 3.0,
        without: Sequence[str] = (),
    ) -> None:
        expect(
            isinstance(arguments, Mapping),
            "arguments of a Space",
            arguments,
            "a dict of levels by name",
            TypeError,
        )
        for names, levels in arguments.items():
            expect_text("a name in arguments of a Space", names, '"name" or "name, name"')
            _expect_levels(names, levels)
        _expect_shape(shape)
        if where is not None:
            expect_callable("where of a Space", where, "a function of the arguments by name")
        _expect_some("conditions of a Space", conditions, "a tuple of functions of the arguments by name", 0)
        for holds in conditions:
            expect_callable("a condition of a Space", holds, "a function of the arguments by name")
        _expect_some("batches of a Space", batches, "numbers of images, such as (2, 3)")
        for batch in batches:
            expect_whole("a batch of a Space", batch, "a whole number of at least 1", least=1)
        if not isinstance(scale, (int, float)):
            _expect_some("scale of a Space", scale, "a number above 0, or several")
        for each in (scale,) if isinstance(scale, (int, float)) else scale:
            expect_number("scale of a Space", each, "a number above 0, or several", lambda size: size > 0)
        _expect_some("without of a Space", without, 'names of arguments, such as ("bias",)', 0)
        for name in without:
            expect_text("a name in without of a Space", name, "the name of an argument")
        self.without = tuple(without)
        self.axes = {
            tuple(name.strip() for name in names.split(",")): tuple(levels)
            for names, levels in arguments.items()
        }
        self.shape, self.where, self.conditions = tuple(shape), where, tuple(conditions)
        self.batches = tuple(batches)
        self.scales = (scale,) if isinstance(scale, (int, float)) else tuple(scale)
        self.signature = inspect.Signature()
        self._cases: dict[Any, Case] = {}

    def belongs_to(self, factory: Callable[..., Any]) -> Space:
        """Takes the signature of what is built; all of its arguments must have an axis, and each default a level."""
        written = inspect.signature(factory)
        for name in self.without:
            parameter = written.parameters.get(name)
            if parameter is None or parameter.default is parameter.empty:
                raise ValueError(
                    f"without of the space of {factory.__name__} has {name!r}, which "
                    f"{'is no argument of it' if parameter is None else 'has no default'}; "
                    "expected names of arguments that have one"
                )
        wanted = [name for name in written.parameters if name not in self.without]
        self.signature = written.replace(parameters=[written.parameters[name] for name in wanted])
        named = [name for names in self.axes for name in names]
        if sorted(named) != sorted(wanted):
            raise ValueError(
                f"the space of {factory.__name__} has the arguments {', '.join(named) or 'none'}; "
                f"expected {', '.join(wanted) or 'none'}"
            )
        for side in self.shape:
            if isinstance(side, str) and side not in wanted:
                raise ValueError(
                    f"shape of the space of {factory.__name__} has {side!r}; expected a name among "
                    f"{', '.join(wanted) or 'none'}"
                )
        for name, parameter in self.signature.parameters.items():
            levels = self.axes.get((name,), ())
            if parameter.default is not parameter.empty and not any(
                _values(level) == (parameter.default,) for level in levels
            ):
                raise ValueError(
                    f"the space of {factory.__name__} never leaves out {name}: {parameter.default!r} must be a level"
                )
        return self

    # --------------------------------------------------------------------------- worked out once

    @property
    def spellings(self) -> tuple[str, ...]:
        parameters = self.signature.parameters.values()
        return SPELLINGS if any(p.default is not p.empty for p in parameters) else SPELLINGS[1:2]

    def combinations(self) -> Iterator[tuple[tuple[Feature, ...], Values]]:
        """Every valid choice of values, and what it is an example of."""
        choices = [
            [(k, value) for k, level in enumerate(levels) for value in _values(level)]
            for levels in self.axes.values()
        ]
        for chosen in product(*choices):
            values: Values = {}
            for names, (_, value) in zip(self.axes, chosen, strict=True):
                values |= zip(names, value, strict=True) if len(names) > 1 else [(names[0], value)]
            if self.where is not None and not self.where(**values):
                continue
            levels = [(", ".join(names), k) for names, (k, _) in zip(self.axes, chosen, strict=True)]
            sides = [(f"condition {k}", bool(holds(**values))) for k, holds in enumerate(self.conditions)]
            yield (*levels, *sides), values

    @cached_property
    def rows(self) -> tuple[_Row, ...]:
        """The cases of every run by their levels: few in which all pairs that may meet do."""
        found: dict[tuple[Feature, ...], list[Values]] = {}
        for features, values in self.combinations():
            found.setdefault(features, []).append(values)
        possible = [
            _Row(features, examples, spelling)
            for features, examples in found.items()
            for spelling in self.spellings
        ]
        self._levels_are_reached(found)
        pairs: dict[Any, int] = {}
        masks = [
            _mask(row.features, pairs) | sum(_bit(each, pairs) for each in self._written(row))
            for row in possible
        ]
        return tuple(possible[k] for k in sorted(_cover(masks)))

    def _written(self, row: _Row) -> Iterator[Feature]:
        """What a way to write arguments down adds: itself, and each default that it leaves out."""
        yield "written", row.spelling
        for name, parameter in self.signature.parameters.items():
            if row.spelling == SPELLINGS[0] and row.examples[0][name] == parameter.default:
                yield "left out", name

    def _levels_are_reached(self, found: Iterable[tuple[Feature, ...]]) -> None:
        reached = {feature for features in found for feature in features}
        for names, levels in self.axes.items():
            for k, level in enumerate(levels):
                if (", ".join(names), k) not in reached:
                    raise ValueError(f"no case has {', '.join(names)} = {_values(level)[0]!r}: see `where`")
        for k in range(len(self.conditions)):
            for truth in (True, False):
                if (f"condition {k}", truth) not in reached:
                    raise ValueError(
                        f"condition {k} of a Space is {not truth} of all its arguments; expected one that is True of "
                        "some and False of others, or leave it out"
                    )

    @cached_property
    def thorough(self) -> frozenset[int]:
        """Which rows are also run alone and in float32: few in which every level is."""
        numbers: dict[Any, int] = {}
        masks = [
            sum(1 << numbers.setdefault(each, len(numbers)) for each in row.features) for row in self.rows
        ]
        return frozenset(_cover(masks))

    @cached_property
    def images(self) -> tuple[tuple[_Image, tuple[_Image, ...]], ...]:
        """For each row the image that it is run on, and further ones, so that their levels meet the rows' levels."""
        free = [len(side) for side in self.shape if isinstance(side, tuple)]
        kinds = [
            _Image(*chosen)
            for chosen in product(self.batches, product(*map(range, free)), range(len(self.scales)))
        ]
        numbers: dict[Any, int] = {}
        pairs: dict[Any, int] = {}
        levels = {
            row: sum(1 << numbers.setdefault(each, len(numbers)) for each in row.features)
            for row in self.rows
        }
        met = {image: _mask(image.features, pairs) for image in kinds}
        width = len(numbers)

        def mask(row: _Row, image: _Image) -> int:
            found = met[image]
            for each in image.features:
                found |= levels[row] << len(pairs) + width * pairs[each]
            return found

        masks = {(place, image): mask(row, image) for place, row in enumerate(self.rows) for image in kinds}
        # An image of a thorough row that is no batch of one is also run alone, see `blocks.asking`.
        alone = {
            key: masks[key]
            | (masks.get((key[0], replace(key[1], batch=1)), 0) if key[0] in self.thorough else 0)
            for key in masks
        }
        every = reduce(or_, masks.values())
        left, chosen = every, []
        lone = (
            len(self.rows) // 2 if 1 in self.batches and len(self.rows) > 1 else -1
        )  # a batch of one in training, too
        for place in range(len(self.rows)):
            allowed = [image for image in kinds if (image.batch == 1) == (place == lone)] or kinds
            best = max(allowed, key=lambda image: (alone[place, image] & left).bit_count())
            left &= ~alone[place, best]
            chosen.append(best)
        further: list[list[_Image]] = [[] for _ in self.rows]
        while left:
            place, image = max(
                masks, key=lambda key: ((masks[key] & left).bit_count(), -len(further[key[0]]))
            )
            left &= ~masks[place, image]
            further[place].append(image)
        return tuple(zip(chosen, map(tuple, further), strict=True))

    # --------------------------------------------------------------------------- drawn by a seed

    def drawn(self, seed: int) -> tuple[Drawn, ...]:
        """The cases of one run. Another seed gives as many, of the same levels.

        `seed % DRAWS` decides. What is known of a case before there are any weights is kept from run to run, and runs
        whose seeds agree in that share it: see `seed_of`.
        """
        dice = random.Random(seed % DRAWS)
        several = [batch for batch in self.batches if batch > 1]
        batches = dict(zip(several, dice.sample(several, len(several)), strict=True)) | {1: 1}
        free = [side for side in self.shape if isinstance(side, tuple)]
        asked: dict[Feature, int] = {}  # how often a value was
        found = []
        lone = next((place for place, (image, _) in enumerate(self.images) if image.batch == 1), -1)
        for place, (row, (image, further)) in enumerate(zip(self.rows, self.images, strict=True)):

            def seldom(values: Values) -> tuple[int, float]:
                return sum(asked.get((name, repr(v)), 0) for name, v in values.items()), dice.random()

            values = min(row.examples, key=seldom)
            for name, value in values.items():
                asked[name, repr(value)] = asked.get((name, repr(value)), 0) + 1

            def drawn_side(side: Any, level: int, larger: int, before: list[Any]) -> Any:
                sizes = [size for size in _values(side[level]) if size not in before]
                before.append(size := dice.choice(sizes or _values(side[level])))
                return size + larger if side is SIDES else size

            def case(
                levels: _Image, larger: int = 0, row: _Row = row, values: Values = values, place: int = place
            ) -> Case:
                before: list[Any] = []
                if place == lone and levels.batch == 1:
                    larger += ALONE
                sides = iter(
                    drawn_side(side, level, larger, before)
                    for side, level in zip(free, levels.sides, strict=True)
                )
                shape = [next(sides) if isinstance(side, tuple) else side for side in self.shape]
                sizes = tuple(_resolved(size, values) for size in shape)
                return self._case(
                    row.spelling, values, (batches[levels.batch], *sizes), self.scales[levels.scale]
                )

            larger = [LARGER if place == 0 == k else 0 for k in range(len(further))]
            found.append(Drawn(case(image), tuple(map(case, further, larger)), place in self.thorough))
        places = [place for place, side in enumerate(self.shape) if isinstance(side, tuple)]
        first = found[0].case.image
        if places and first is not None and not (self.images[0][1] and SIDES in self.shape):
            longer = random.Random(f"longer {seed % DRAWS}").choice(places)
            sides = first[1:]
            sides = (*sides[:longer], sides[longer] + LONGER, *sides[longer + 1 :])
            found[0] = replace(found[0], large=sides)
        return tuple(found)

    def _case(self, spelling: str, values: Values, image: tuple[int, ...], scale: float) -> Case:
        """The same object for the same case: what is known of it is kept from run to run."""
        key = (spelling, repr(values), image, scale)
        if key not in self._cases:
            args, kwargs = spelled(self.signature, values, spelling)
            self._cases[key] = Case.of(Construction(args, kwargs), image, scale)
        return self._cases[key]


def _expect_some(name: str, value: Any, wanted: str, least: int = 1) -> None:
    expect_sequence(name, value, wanted)
    expect(
        not isinstance(value, Iterator), name, value, wanted, TypeError
    )  # which is empty after the first look
    expect(len(tuple(value)) >= least, name, value, wanted)


def _expect_levels(names: str, levels: Any) -> None:
    """Some levels, and of arguments that are chosen together a tuple each, with as many values."""
    _expect_some(f"levels of {names!r} in a Space", levels, "a tuple of at least one level")
    several = names.count(",") + 1
    for value in (value for level in levels for value in _values(level)):
        if several > 1:
            fits = isinstance(value, (tuple, list)) and len(value) == several
            expect(fits, f"a level of {names!r} in a Space", value, f"a tuple of {several} values")


def _expect_shape(shape: Any) -> None:
    _expect_some("shape of a Space", shape, "the shape of one image, such as (3, SIDES, SIDES)")
    one = "a number of at least 1, the name of an argument, a function of the arguments, or a tuple of levels"
    for side in shape:
        name = f"a size in shape={shape!r:.60} of a Space"
        expect(not isinstance(side, tuple) or len(side) > 0, name, side, one)
        expect(not isinstance(side, AnyOf), name, side, one, TypeError)
        for size in (
            size for level in (side if isinstance(side, tuple) else (side,)) for size in _values(level)
        ):
            if not (isinstance(size, str) or callable(size)):
                expect_whole(name, size, one, least=1)


def spelled(signature: inspect.Signature, values: Values, spelling: str) -> tuple[tuple[Any, ...], Values]:
    """Arguments as somebody writes them who leaves out defaults, or gives them by position, or by name.

    What has no default goes by position: some name it in their own way, and that is no mistake.

    >>> spelled(inspect.signature(lambda a, b=1, c=2: None), {"a": 5, "b": 1, "c": 3}, "defaults left out")
    ((5,), {'c': 3})
    """
    args: list[Any] = []
    kwargs: Values = {}
    for name, parameter in signature.parameters.items():
        if spelling == "by name" and parameter.default is not parameter.empty:
            kwargs[name] = values[name]
            continue
        if spelling == "defaults left out" and values[name] == parameter.default:
            continue
        if len(args) < list(signature.parameters).index(name):  # one before it was left out
            kwargs[name] = values[name]
        else:
            args.append(values[name])
    return tuple(args), kwargs


def _resolved(size: Any, values: Values) -> int:
    if isinstance(size, str):
        return int(values[size])
    return int(size(**values)) if callable(size) else int(size)


def _bit(pair: Any, pairs: dict[Any, int]) -> int:
    return 1 << pairs.setdefault(pair, len(pairs))


def _mask(features: Sequence[Feature], pairs: dict[Any, int]) -> int:
    """The features and the pairs of them as the ones of a binary number."""
    met = 0
    for each in features:
        met |= _bit(each, pairs)
    for pair in combinations(features, 2):
        met |= _bit(pair, pairs)
    return met


def _cover(masks: Sequence[int]) -> list[int]:
    """Few of the masks that together have all ones; the first, which is the most usual case, is among them if that
    takes no more of them."""
    every = 0
    for mask in masks:
        every |= mask
    best: list[int] = []
    restarts = max(1, min(RESTARTS, MOST_TRIED // len(masks)))
    for restart in range(2 * restarts):
        dice = random.Random(restart)
        chosen = [0] if restart < restarts else []
        left = every & ~masks[0] if chosen else every
        while left or not chosen:
            gains = [(mask & left).bit_count() for mask in masks]
            most = max(gains)
            place = dice.choice([k for k, gain in enumerate(gains) if gain == most])
            chosen.append(place)
            left &= ~masks[place]
        if not best or len(chosen) < len(best):
            best = chosen
    return best


# --------------------------------------------------------------------------- words


def times(shape: Iterable[int]) -> str:
    """
    >>> times((2, 8, 9, 7))
    '2×8×9×7'
    """
    return "×".join(map(str, shape)) or "a single number"


def call_text(name: str, args: Iterable[Any], kwargs: Mapping[str, Any]) -> str:
    """A call as one would write it, with tensors and modules as words."""

    def show(value: Any) -> str:
        if isinstance(value, Tensor):
            return f"<{times(value.shape) if value.dim() else '0-D'} tensor>"  # read in every language
        if isinstance(value, dict) and "$module" in value:
            return f"<{value['$module']['layer']}>"
        if isinstance(value, list):
            return "[" + ", ".join(map(show, value)) + "]"
        if isinstance(value, tuple):
            return "(" + ", ".join(map(show, value)) + ("," if len(value) == 1 else "") + ")"
        if isinstance(value, float):
            return f"{value:.6g}"
        return repr(value)

    written = [show(value) for value in args] + [f"{key}={show(value)}" for key, value in kwargs.items()]
    return f"{name}({', '.join(written)})"
