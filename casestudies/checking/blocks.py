"""Blocks: records what a student's block does, and compares it with what candidates do, given its weights."""

from __future__ import annotations

import inspect
import logging
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache, partial
from itertools import chain, count, islice, permutations
from math import inf, isfinite, prod
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import init
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from casestudies.checking.arguments import Made, OtherDefaults, made_with, other_defaults, so_it_is, written
from casestudies.checking.by_hand import as_layers, idle_numbers
from casestudies.checking.common import Common
from casestudies.checking.compare import (
    LEAST_ROUNDING,
    MADE_LATE,
    ROUNDINGS,
    close,
    difference_of,
    distance,
    failure_text,
    failure_told,
    gap_text,
    identical,
    tolerance_of,
    unwritten,
)
from casestudies.checking.differences import (
    MOST_LAYERS,
    Comparison,
    Difference,
    Exhausted,
    Work,
    joined,
    not_registered,
    nothing_differs,
)
from casestudies.checking.explain import HOPELESS as MANY_DIFFERENCES
from casestudies.checking.explain import (
    Traced,
    carried_out,
    compare_graphs,
    confirmed,
    layers_asked,
    layers_written,
    read,
    recording_of,
    telling,
)
from casestudies.checking.layers import WITH_PARAMETERS
from casestudies.checking.moves import as_unmoved
from casestudies.checking.operands import as_read, reads_plainly
from casestudies.checking.parts import Mistake, Pair, Part, Reference, in_form
from casestudies.checking.regroup import Regrouping, regroupings
from casestudies.checking.relations import FEWEST as FEWEST_RELATED
from casestudies.checking.relations import relation
from casestudies.checking.report import Criterion, LayerRow, Report
from casestudies.checking.shown import sentences_of
from casestudies.checking.sources import TableError, built_as, counterparts, made_from
from casestudies.checking.space import Case, Construction, Dice, times
from casestudies.checking.stopped import STOPS, Stopped, compare_stopped, where_it_stops
from casestudies.checking.transplant import (
    LAYOUTS,
    USUAL,
    Layout,
    Slot,
    adapt,
    flattened,
    matchings,
    missing_and_extra,
    slots,
    slots_in,
    transplant,
)
from casestudies.graph import SHAPES, Graph, uses
from casestudies.language import message
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import (
    Answer,
    Built,
    Entry,
    Failed,
    NotAModule,
    OneOrSeries,
    OneRequest,
    Ran,
    Subject,
    Use,
    Value,
)
from casestudies.sandboxed.probe import StudentError, drawing_from, encode, explain, run_module
from casestudies.sandboxed.quoting import named
from casestudies.sandboxed.torch_state import generator_kept
from casestudies.sandboxed.walks import tensors_named

MOST_AXES = 5  # of a tensor that is looked at with its axes in every order
FEW_OPS = 30  # of a block, whose two modes are held against each other
NUMBERS_COMPARED = 40_000_000  # in the parameters of all mistakes that are tried where something is shown
NUMBERS_RUN = 96_000_000  # and in those of all that are run on an image for that, each as often as it is run
FEWEST = 8  # mistakes that are tried however large they are
LAYERS_COMPARED = 6_000  # pairs of layers, in a case of a block; where that is too few, it is for the others
MOST_ALIKE = 12  # cases beside those that were compared, to tell conditions
PAIRS_WHEN_SHOWN = 90  # that are tried where the recordings show already what differs
PAIRS_ELSE = 40  # and where they do not
EXPLICABLE = {"RuntimeError", "ValueError", "AssertionError", "IndexError"}  # what mistakes of ours may raise
PLANS_KEPT = 8192
SHELF_BYTES = 64 * 2**20  # of candidates that are kept built
FEW_DRAWN = 2**16  # numbers that are set to 0 where only sizes are asked for
ROOM, ROOM_PER_NUMBER = 2**20, 16  # what a block may hold beside the reference's, before it is not run at all
FAR_LARGER = 4  # times the numbers of the reference's: such a block is run in one case
ANSWERS_TOGETHER, NUMBERS_PER_ENTRY = (
    2**19,
    256,
)  # numbers in the parameters of blocks that answer in one message
REPEATS, FIRST_REPEATS = 16, 2  # of a block that draws random numbers
# Of all parameters, where it is not to matter which of them stands for which; drawn, and of both signs. In parts of
# 4096, so that float32 holds them exactly.
EQUAL_NUMBERS = 800, 1600
# Powers of ten between which numbers that are nearly equal lie.
SPREADS = ((-6.0, -4.5), (-3.0, -2.0), (-1.0, -0.3))
# Of each spread: of the student's block, and of a candidate, to know what is usual.
FILLINGS, DRAWN_BESIDE = 3, 10
FAR_OUT = 3.0  # times as far from a candidate's mean as any of its own
LATER = 4  # calls at most after all others
LONGEST_VECTOR = 4096  # numbers of a vector that is surely none of many weights
LARGE = 3.0  # times as large as others are two of six numbers in each vector
EQUAL_STATISTICS = 0.75  # of all buffers
FEW_VIEWS = 6  # ways to see weights, against the reference, of a block that is wrong in any
REGROUPINGS = 24  # ways to see several weights in one that are tried
WAYS_KEPT, SLOTS_KEPT = 256, 128  # to match weights, of blocks with no more than so many
FEW_MATCHINGS = 6  # how many against a mistake
FEW_NUMBERS = 2**17  # in the parameters of a block that runs in no time
MOST_RELATED = 4  # cases in which the output is held against the right one
MATCHINGS = 24  # how many ways to match weights are tried against the reference; mistakes get fewer


class Again:
    """What an iterator gives, as often as it is asked for, and no more of it than was asked for."""

    def __init__(self, source: Iterator[Any]) -> None:
        self.source = source
        self.kept: list[Any] = []

    def __iter__(self) -> Iterator[Any]:
        for index in count():
            if index == len(self.kept):
                try:
                    self.kept.append(next(self.source))
                except StopIteration:
                    return
            yield self.kept[index]


@lru_cache(maxsize=WAYS_KEPT)
def _ways(theirs: tuple[Slot, ...], ours: tuple[Slot, ...], limit: int) -> Again:
    """Ways to match slots. They follow from the slots alone, which are the same for most of a class."""
    return Again(matchings(theirs, ours, limit))


@dataclass
class Beside:
    """What a block that was built for a case did in evaluation mode on another image."""

    case: Case
    inputs: list[Tensor]
    ran: Ran | None = None
    loud: bool = False  # on large numbers, for which not even the right block need be made
    asked: bool = True

    def with_answer(self, answer: Any, succeeded: Callable[[Any], Ran | None]) -> Beside:
        """With what came of it; that it raised counts nothing where the right block may do so as well. Of what was
        not asked, since something before it had raised, there is nothing."""
        if not self.loud:
            return replace(self, ran=succeeded(answer))
        return replace(self, ran=answer if isinstance(answer, Ran) else None, asked=answer is not None)


@dataclass
class Observation:
    """What the student's block did in one case."""

    case: Case
    inputs: list[Tensor]
    handle: int = 0  # the probe keeps each case's block under a number
    seed: int = 0  # of all that is drawn for it
    built: Built | None = None
    cotangent: Tensor | None = None
    failed: Failed | None = None
    not_a_module: str | None = None
    # Numbers in its parameters and buffers, where these are too many, so that it is not run; and their sizes.
    oversized: int = 0
    sizes_unrun: Counter[Any] = field(default_factory=Counter)
    slots: list[Slot] = field(default_factory=list)
    state: dict[str, Tensor] = field(default_factory=dict)
    dtype: str = "float64"
    thorough: bool = True  # whether it was asked for the next two
    single: Ran | None = None  # evaluation mode, first image alone
    float32: Ran | None = None  # evaluation mode, as built
    uses: tuple[Use, ...] = ()  # in which order it uses its parameters, where that was asked
    evaluation: Ran | None = None
    training: Ran | None = None
    again: Ran | None = None  # a second step of training, on another input
    third: Ran | None = (
        None  # a third one, on the first input; its images lie apart in memory, if it takes that
    )
    # In float32 it was run on another input, with other values where these are given: those that a new block has.
    elsewhere: bool = False  # these questions, of small blocks only
    as_new: dict[str, Tensor] = field(default_factory=dict)
    arguments: tuple[Value, ...] | None = None  # what it was built from, as that was afterwards
    shared: bool = False  # whether another one that was built like it has a parameter of it
    stuck: tuple[str, ...] = ()  # weights that begin with filters that are all alike and stay so
    fresh: Ran | None = None  # evaluation mode, with the values that the student gave the parameters
    repeated: list[Ran] = field(default_factory=list)  # training mode, after other seeds
    beside: list[Beside] = field(default_factory=list)
    recorded: dict[bool, Graph | Stopped | None] = field(
        default_factory=dict
    )  # in training or not, where asked
    by_hand: bool = False  # whether layers were found in what is recorded that no single operation is
    matched: dict[tuple[int, int], Again] = field(default_factory=dict)
    nearest: float = inf  # how far it is from the reference in evaluation mode, at best
    alike: float = 0.0  # which share of the reference's numbers it gives there, at best
    unsound: bool = False  # the reference itself gives something with these values that is no number
    regrouped: bool = False  # its slots are others than what it keeps, which its state holds as well
    kept: list[Slot] | None = None  # where they are others: those that it keeps
    idle: str = ""  # which of its numbers change nothing, where that was asked
    certain: bool = False  # that it is wrong, whichever of its weights stands for which
    common: Common = field(default_factory=Common)  # of candidates that are run with its weights
    # Asks, once, whether its operations read its weights as they are kept: see `layouts`.
    reads_plainly: Callable[[], bool] | None = field(default=None, repr=False)

    def matchings(self, ours: tuple[Slot, ...], limit: int = MATCHINGS) -> Iterable[dict[str, str]]:
        """Ways to match the slots of a candidate, which is one of `one_of_each`, with the student's."""
        key = (id(ours), limit)
        if key not in self.matched:
            few = len(self.slots) <= SLOTS_KEPT
            self.matched[key] = (_ways if few else _ways.__wrapped__)(tuple(self.slots), ours, limit)
        return self.matched[key]

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """In which its weights may be kept: one alone where a recording shows that layers read them as layers do."""
        return LAYOUTS[:1] if self.reads_plainly is not None and self.reads_plainly() else LAYOUTS

    @cached_property
    def sizes(self) -> Counter[Any]:
        """The sizes of its parameters and buffers, which never change once they are drawn."""
        if self.regrouped:
            return _sizes_of_shapes(slot.shape for slot in self.slots)
        return self.sizes_unrun if self.oversized else _sizes(self.state.values())

    @cached_property
    def size(self) -> int:
        """How many numbers its parameters and buffers hold, as far as they were drawn."""
        return sum(value.numel() for value in self.state.values())

    @property
    def large(self) -> bool:
        """Whether to run a candidate takes longer than to look up what is known of it already."""
        return self.size > FEW_NUMBERS

    @property
    def backward(self) -> Ran | None:
        """The run that carries the gradients."""
        return self.training if self.case.training else self.evaluation


T = TypeVar("T")


def asked(value: T | None) -> T:
    """What was asked for, and has come for that reason: `Checked` does not let an answer through without it."""
    assert value is not None
    return value


def in_turn(subject: Subject, requests: Mapping[str, OneRequest]) -> dict[str, Answer]:
    """The answers to some requests by name, as far as they were answered: after a failed one there is none."""
    return _by_name(requests, subject(messages.Series(tuple(requests.values()))))


def _by_name(requests: Mapping[str, OneRequest], answer: Answer) -> dict[str, Answer]:
    # Fewer answers only after a failed one, see `Checked`.
    assert isinstance(answer, messages.Answers)
    return dict(zip(list(requests)[: len(answer.answers)], answer.answers, strict=True))


# A line of questions about one case: each follows from the answers to those before it.
Asking = Generator[OneOrSeries, Any, Observation]


def batched(subject: Subject, requests: Iterable[OneOrSeries]) -> tuple[Any, ...]:
    """The answers to requests that do not depend on each other."""
    answers = subject(messages.Batch(tuple(requests)))
    assert isinstance(answers, messages.Batched)
    return answers.answers


def ask_together(
    subject: Subject, cases: Sequence[Asking], known: Mapping[int, Answer] | None = None
) -> list[Observation]:
    """Asks about several cases at once. Whoever waits for answers loses time with each journey, so that what is the
    next question in each case goes in one message, as far as the answers will not be too large together. The answer
    to the first question may be `known`."""
    done: dict[int, Observation] = {}
    waiting: list[tuple[int, OneOrSeries]] = []

    def go_on(number: int, answer: Any) -> None:
        try:
            waiting.append((number, cases[number].send(answer)))
        except StopIteration as end:
            done[number] = end.value

    weight: dict[int, int] = {}  # about how large each case's answers are, once it is built

    def weigh(number: int, answer: Any) -> None:
        found = [each for each in (answer, *getattr(answer, "answers", ())) if isinstance(each, Built)]
        if found:
            numbers = sum(prod(entry.shape) for entry in found[-1].entries)
            weight[number] = numbers + NUMBERS_PER_ENTRY * len(found[-1].entries)
        weight.setdefault(number, 0)

    for number in range(len(cases)):
        go_on(number, None)
        if known and number in known:
            waiting.pop()
            weigh(number, known[number])
            go_on(number, known[number])

    def size_of(number: int) -> int:
        return weight.get(number, max(weight.values(), default=ANSWERS_TOGETHER))

    while waiting:
        # The first is built alone: it tells how large the others will be.
        together = [waiting.pop(0)]
        size = size_of(together[0][0])
        while waiting and size + size_of(waiting[0][0]) <= ANSWERS_TOGETHER:
            together.append(waiting.pop(0))
            size += size_of(together[-1][0])
        if len(together) == 1:
            answers: tuple[Any, ...] = (subject(together[0][1]),)
        else:
            answers = batched(subject, [request for _, request in together])
        for (number, _), answer in zip(together, answers, strict=True):
            weigh(number, answer)
            go_on(number, answer)
        waiting.sort(key=lambda pair: pair[0])
    return [done[number] for number in range(len(cases))]


def asking(
    case: Case,
    seed: int,
    handle: int = 0,
    room: int = ROOM,
    fresh: bool = False,
    right: Held | None = None,
    again: bool = False,
    beside: Sequence[Case] = (),
    thorough: bool = True,
    larger: list[int] | None = None,
    apart: bool = False,
    alike: bool = False,
) -> Asking:
    """Builds the student's block, gives it random weights and records what it does; `again` with a second training
    step, `beside` on other images, and where it is `thorough`, on one image alone and in float32 as well.

    `right` is what the reference holds. Where the student's block has more buffers, those that training does not
    change are constants of the block, such as the kernel of a pooling, and keep their values.

    A block with more than `room` numbers in its parameters is not run: they would have to be drawn and sent. Of those
    that are far larger than the reference's, and wrong for that reason alone, the first is run; `larger` has its
    handle then. The sizes tell enough of the others.

    `apart`: a copy of what is built is looked at. `alike`: whether it can learn from the values that it begins with.
    """
    dice = Dice(seed)
    inputs = case.inputs(dice)
    seen = Observation(case, inputs, handle, seed)
    seen.beside = [Beside(each, each.inputs(dice), loud=each.is_loud) for each in beside]

    # A copy: the student's code may change what it is given.
    given = deepcopy((list(case.args), case.kwargs))
    built = yield messages.Build(*given, seed=dice.seed(), handle=handle, apart=apart, alike=alike)
    single = [x.float() for x in inputs]
    lazy = isinstance(built, messages.Lazy)
    if lazy:
        built = yield messages.Materialise(tuple(single), handle)
    if isinstance(built, Built):
        seen.arguments = None if lazy else built.arguments
    if not _can_run(seen, built, room, larger):
        return seen
    build_seed, run_seed = dice.seed(), dice.seed()
    again_built = messages.Build(*deepcopy(given), seed=build_seed, handle=handle, apart=apart)
    if built.alike and alike:
        seen.stuck = yield from _stuck(built.alike, inputs, case.training, handle)
        yield from _build_again(again_built, single, lazy)
    built = yield from _without_constants(built, again_built, inputs, lazy, right.statistics if right else 0)
    seen.state = random_state(built.parameters, built.buffers, dice, (-1) ** (handle + 1), right)

    def run(given: list[Tensor], **options: Any) -> messages.Run:
        return messages.Run(tuple(given), seed=run_seed, handle=handle, **options)

    def succeeded(answer: Any) -> Ran | None:
        if not isinstance(answer, Failed):
            return answer
        seen.failed = answer
        seen.slots = slots(built.parameters, built.buffers, ())  # in whichever order they are used
        return None

    if fresh:
        seen.fresh = succeeded((yield run([x.float() for x in with_other_signs(inputs)], training=False)))
        if seen.fresh is None:
            return seen
    if not thorough and (yield from _in_float64_only(seen, built, dice, again, run)):
        return seen
    if again and not seen.large:
        seen.elsewhere, seen.as_new = True, values_as_new(built.buffers, seen.state)
    load = messages.Load({**seen.state, **seen.as_new}, handle)
    plain = run([second(x) for x in single] if seen.elsewhere else single, training=False)
    first = _by_name({"load": load, "run": plain}, (yield messages.Series((load, plain))))
    seen.float32 = succeeded(first.get("run", first["load"]))
    if seen.float32 is None:
        return seen
    seen.built = built
    output = seen.float32.output
    if output.kind == "tensor":
        seen.cotangent = dice.normal(*output.value.shape)

    # In float64 or, where the student's block only works in float32, in that.
    for dtype, images in (("float64", inputs), ("float32", single)):
        requests = _in_precision(seen, dtype, images, again, run)
        answers = yield from _answered(requests, images, run)
        if isinstance(answers["cast"], Failed):
            seen.failed = answers["cast"]
            continue
        seen.dtype, seen.failed = dtype, None
        seen.evaluation = succeeded(answers.get("evaluation", answers["load"]))
        if seen.evaluation is None:
            continue
        seen.single = succeeded(answers.get("single"))
        seen.beside = [
            other.with_answer(answers.get(f"beside {k}"), succeeded) for k, other in enumerate(seen.beside)
        ]
        if seen.failed and case.training:  # another batch: the training mode was not asked for any more
            answers["training"] = yield run(images, training=True, cotangent=seen.cotangent)
        if case.training:
            _take_steps(seen, answers, succeeded)
        if seen.training is not None and seen.training.random:
            seen.repeated = yield from _repeated(images, dice, handle)
        break
    return seen


def _in_float64_only(
    seen: Observation, built: Built, dice: Dice, again: bool, run: Callable[..., messages.Run]
) -> Generator[OneOrSeries, Any, bool]:
    """As `asking`, without one image alone and without float32. Whether nothing raised; if not, all of it is to be
    asked for, of a block in float32 again."""
    training, handle = seen.case.training, seen.handle
    requests: dict[str, OneRequest] = {
        "cast": messages.Cast("float64", handle),
        "load": messages.Load(seen.state, handle),
        "evaluation": run(seen.inputs, training=False),
    }
    requests |= {f"beside {k}": run(other.inputs, training=False) for k, other in enumerate(seen.beside)}
    found = _by_name(requests, (yield messages.Series(tuple(requests.values()))))
    evaluation = found.get("evaluation")
    if (
        len(found) < len(requests)
        or not isinstance(evaluation, Ran)
        or isinstance(found[list(requests)[-1]], Failed)
    ):
        yield messages.Cast("float32", handle)
        return False
    output = evaluation.output
    cotangent = dice.normal(*output.value.shape) if output.kind == "tensor" else None
    # What carries the gradients knows the shape of the output.
    last: dict[str, OneRequest] = {"backward": run(seen.inputs, training=training, cotangent=cotangent)}
    if training and again:
        last["again"] = run([second(x) for x in seen.inputs], training=True)
    more = _by_name(last, (yield messages.Series(tuple(last.values()))))
    backward, second_step = more.get("backward"), more.get("again")
    if not isinstance(backward, Ran) or ("again" in last and not isinstance(second_step, Ran)):
        yield messages.Cast("float32", handle)
        return False
    seen.built, seen.cotangent, seen.thorough = built, cotangent, False
    seen.evaluation = evaluation if training else backward
    seen.training = backward if training else None
    seen.again = second_step if isinstance(second_step, Ran) else None
    seen.beside = [
        replace(other, ran=ran) if isinstance(ran := found[f"beside {k}"], Ran) else other
        for k, other in enumerate(seen.beside)
    ]
    if training and backward.random:
        seen.repeated = yield from _repeated(seen.inputs, dice, handle)
    return True


def trace(subject: Subject, observations: Iterable[Observation]) -> None:
    """Asks in which order the blocks use their parameters, and what for."""
    waiting = [seen for seen in observations if seen.built is not None]
    requests: list[OneOrSeries] = []
    for seen in waiting:
        given = _given_to(seen)
        if seen.large and seen.single is not None:  # one image tells as much as several
            given = [x[:1] for x in given]
        run = messages.Run(tuple(given), training=False, trace=True, handle=seen.handle)
        requests.append(messages.Series((messages.Load(handle=seen.handle), run)))
    if not requests:
        return
    for seen, answer in zip(waiting, batched(subject, requests), strict=True):
        ran = answer.answers[-1]
        built = asked(seen.built)
        seen.uses = asked(ran.uses) if isinstance(ran, Ran) else ()
        seen.slots = slots(built.parameters, built.buffers, seen.uses)


def _can_run(seen: Observation, built: Answer, room: int, larger: list[int] | None) -> bool:
    """Whether a block was built that can be given weights; if not, why not is in the observation."""
    if isinstance(built, NotAModule):
        seen.not_a_module = built.type
        return False
    if isinstance(built, Failed):
        seen.failed = built
        return False
    assert isinstance(built, Built)
    size = sum(prod(entry.shape) for entry in built.entries)
    if larger is not None and size > max(FEW_NUMBERS, FAR_LARGER * (room - ROOM) // ROOM_PER_NUMBER):
        if larger:
            room = 0
        elif size <= room:
            larger.append(seen.handle)
    if size > room:
        seen.oversized = size
        floats = [entry for entry in built.entries if entry.dtype.startswith(("float", "bfloat"))]
        seen.sizes_unrun = _sizes_of_shapes(entry.shape for entry in floats)
    return size <= room


def _built_twice(subject: Subject, case: Case, seed: int, handle: int) -> tuple[Answer, bool, bool]:
    """What comes of building the block of a case twice: the second one, whether it has a parameter of the first, and
    whether it has others as well.

    Nothing is done to any block before: what layers of blocks that live on have been through would be seen in those
    that are built later.
    """
    pair = [
        messages.Build(*deepcopy((list(case.args), case.kwargs)), seed=seed, handle=handle, alike=bool(k))
        for k in range(2)
    ]
    answers = subject(messages.Series(tuple(pair)))
    assert isinstance(answers, messages.Answers)
    one, other = answers.answers[0], answers.answers[-1]
    if not (isinstance(one, Built) and isinstance(other, Built) and other.shared):
        return other, False, False
    return other, True, _shapes_of(one) != _shapes_of(other)


def _shapes_of(built: Built) -> list[tuple[int, ...]]:
    return [entry.shape for entry in built.entries]


def _without_constants(
    built: Built, build: messages.Build, inputs: list[Tensor], lazy: bool, expected: int
) -> Generator[OneOrSeries, Any, Built]:
    """What was built, without the buffers that training does not change; the block has its own values again. All of
    it where there are no more than are `expected`."""
    if sum(entry.dtype.startswith("float") for entry in built.buffers) <= expected:
        return built
    constant = yield from _constants(inputs, build.handle)
    yield from _build_again(build, [x.float() for x in inputs], lazy)
    return replace(built, buffers=tuple(each for each in built.buffers if each.name not in constant))


def _build_again(
    build: messages.Build, inputs: list[Tensor], lazy: bool
) -> Generator[OneOrSeries, Any, None]:
    yield build
    if lazy:
        yield messages.Materialise(tuple(inputs), build.handle)


def _stuck(
    names: Sequence[str], inputs: list[Tensor], training: bool, handle: int
) -> Generator[OneOrSeries, Any, tuple[str, ...]]:
    """Which of the weights whose filters are all alike get gradients that are so as well, in a block that was just
    built. No step of training tells such filters apart, nor moves any where all is 0."""
    images = tuple(x.float() for x in with_other_signs(inputs))
    plain = yield messages.Run(images, training=training, handle=handle)
    if not isinstance(plain, Ran) or plain.output.kind != "tensor":
        return ()
    cotangent = Dice(handle).normal(*plain.output.value.shape)
    ran = yield messages.Run(images, training=training, cotangent=cotangent, handle=handle)
    if not isinstance(ran, Ran) or ran.parameter_gradients is None:
        return ()
    gradients = ran.parameter_gradients
    return tuple(name for name in names if name in gradients and _of_one_kind(gradients[name]))


def _of_one_kind(gradient: Tensor | None) -> bool:
    """Whether the gradients of the filters of a weight are all the same, but for rounding."""
    if gradient is None:
        return True
    least = 1e-3 * float(gradient.abs().max())
    axes = range(2 if gradient.dim() == 2 else 1)
    return any(float((gradient - gradient.narrow(axis, 0, 1)).abs().max()) <= least for axis in axes)


def _in_precision(
    seen: Observation, dtype: str, images: list[Tensor], again: bool, run: Callable[..., messages.Run]
) -> dict[str, OneRequest]:
    """What is asked of a block in one precision, by name."""
    training = seen.case.training
    requests: dict[str, OneRequest] = {
        "cast": messages.Cast(dtype, seen.handle),
        # Each time it is loaded after this, it is the same.
        "load": messages.Load(seen.state if seen.as_new else None, seen.handle),
        "evaluation": run(images, training=False, cotangent=None if training else seen.cotangent),
    }
    if images[0].shape[0] > 1:
        requests["single"] = run([x[:1] for x in images], training=False, gradients=True)
    others = {
        f"beside {k}": run(
            other.inputs if dtype == "float64" else [x.float() for x in other.inputs], training=False
        )
        for k, other in enumerate(seen.beside)
    }
    # Nothing is asked after a failure, and on large numbers the right block may fail as well: they come last, when
    # training has changed the statistics.
    last = {f"beside {k}": others.pop(f"beside {k}") for k, other in enumerate(seen.beside) if other.loud}
    requests |= others
    if training:
        requests["training"] = run(images, training=True, cotangent=seen.cotangent)
    if training and again:
        requests["again"] = run([second(x) for x in images], training=True)
    if training and again and not seen.large:
        requests["third"] = run(images, training=True, apart=True)
    if training and last:
        requests["load again"] = messages.Load(handle=seen.handle)
    return requests | last


def _answered(
    requests: dict[str, OneRequest], images: list[Tensor], run: Callable[..., messages.Run]
) -> Generator[OneOrSeries, Any, dict[str, Answer]]:
    """The answers to `_in_precision`. Where the third step raised, all is asked again with images that lie side by
    side: a block may rely on that, as `view` does, and be right wherever it is used."""
    answers = _by_name(requests, (yield messages.Series(tuple(requests.values()))))
    if isinstance(answers.get("third"), Failed):
        requests["third"] = run(images, training=True)
        answers = _by_name(requests, (yield messages.Series(tuple(requests.values()))))
    return answers


def _take_steps(
    seen: Observation, answers: Mapping[str, Answer], succeeded: Callable[[Any], Ran | None]
) -> None:
    """The steps of training, of which each is asked for if the one before it did not raise. All count, or none."""
    seen.training = succeeded(answers["training"])
    if seen.training is None or "again" not in answers:
        return
    seen.again = succeeded(answers["again"])
    if seen.again is not None and "third" in answers:
        seen.third = succeeded(answers["third"])
    if seen.failed is not None:
        seen.training = None


def _repeated(inputs: list[Tensor], dice: Dice, handle: int) -> Generator[OneOrSeries, Any, list[Ran]]:
    """The same run in training mode, after other seeds: a few, and more where all of these came out the same."""
    seeds = [dice.seed() for _ in range(REPEATS)]
    found: list[Ran] = []
    for some in (seeds[:FIRST_REPEATS], seeds[FIRST_REPEATS:]):
        runs = [messages.Run(tuple(inputs), training=True, seed=each, handle=handle) for each in some]
        more = yield messages.Series((messages.Load(handle=handle), *runs))
        found += [each for each in more.answers if isinstance(each, Ran)]
        if any(difference_of(each.output, found[0].output, 1e-6) for each in found[1:]):
            break
    return found


def with_other_signs(inputs: Sequence[Tensor]) -> list[Tensor]:
    """Twice as many images, of which one half is the negative of the other: what a ReLU hides in one shows there."""
    return [torch.cat([x, -x]) if x.is_floating_point() else torch.cat([x, x]) for x in inputs]


def second(x: Tensor) -> Tensor:
    """The input of a second training step: another one."""
    return x * -0.5 if x.is_floating_point() else x


def _constants(inputs: list[Tensor], handle: int) -> Generator[OneOrSeries, Any, set[str]]:
    """The buffers that two training steps, on different inputs, leave as they are."""
    given = [x.float() for x in inputs]
    one = yield messages.Run(tuple(given), training=True, handle=handle)
    other = yield messages.Run(tuple(-0.5 * x for x in given), training=True, handle=handle)
    if not (isinstance(one, Ran) and isinstance(other, Ran) and one.buffers and other.buffers):
        return set()
    before, after = one.buffers, other.buffers
    return {name for name in before.keys() & after.keys() if torch.equal(before[name], after[name])}


@dataclass(frozen=True)
class Held:
    """What the reference holds in a case: the shapes of its parameters, and how many buffers with statistics."""

    parameters: tuple[tuple[int, ...], ...]
    statistics: int

    @cached_property
    def gains(self) -> dict[tuple[int, ...], float]:
        """By which number random values of each of its weights are multiplied."""
        return {shape: _gain(shape) for shape in self.parameters if not _is_vector(shape)}

    @cached_property
    def gain_by_size(self) -> dict[int, float]:
        found: dict[int, float] = {}
        for shape, gain in self.gains.items():
            found[prod(shape)] = max(gain, found.get(prod(shape), 0.0))
        return found

    @cached_property
    def vectors(self) -> frozenset[int]:
        return frozenset(prod(shape) for shape in self.parameters if _is_vector(shape))

    def is_vector(self, shape: tuple[int, ...]) -> bool:
        """Whether a student's parameter stands for a vector, as far as its size tells, else by its shape."""
        size = prod(shape)
        if (size in self.vectors) != (size in self.gain_by_size):
            return size in self.vectors
        return _is_vector(shape)

    def gain(self, shape: tuple[int, ...]) -> float:
        """Of a student's weight: that of the reference's weight of this shape, or of this size, or of the largest one
        of which it can be made up. So no way to write a weight down makes it vanish beside the others."""
        if shape in self.gains or not self.gains:
            return _gain(shape)
        size = prod(shape)
        parts = [each for each in self.gain_by_size if size % each == 0]
        return self.gain_by_size[max(parts)] if parts else min(self.gains.values())


def _is_vector(shape: tuple[int, ...]) -> bool:
    return sum(size > 1 for size in shape) <= 1 and len(shape) != 4


def random_state(
    parameters: Sequence[Entry],
    buffers: Sequence[Entry],
    dice: Dice,
    lone_sign: int,
    right: Held | None = None,
) -> dict[str, Tensor]:
    """Values that hide nothing: scales of both signs away from 0 and 1, running statistics far from fresh.

    All are exact in float32. A single learnable number has no other beside it that could have the other sign: it
    gets `lone_sign`, which alternates from case to case.

    What the numbers are follows from what the reference holds, where that is known: a student's process must not
    choose them, by what it says of its parameters.
    """
    right = right or Held((), 0)
    both = [(entry, False) for entry in parameters] + [(entry, True) for entry in buffers]
    floats = [(entry, of_buffer) for entry, of_buffer in both if entry.dtype.startswith(("float", "bfloat"))]
    kinds: dict[str, list[tuple[str, tuple[int, ...]]]] = {"statistic": [], "vector": [], "weight": []}
    for entry, of_buffer in floats:
        kind = "statistic" if of_buffer else "vector" if right.is_vector(entry.shape) else "weight"
        kinds[kind].append((entry.name, entry.shape))
    sizes = {kind: [prod(shape) for _, shape in found] for kind, found in kinds.items()}
    total = {kind: sum(each) for kind, each in sizes.items()}
    # All of a kind at once: dozens of small draws would take longer than the network that they are for.
    drawn = {
        "statistic": torch.exp(dice.uniform(-3.0, 1.4, total["statistic"])),  # running mean and variance
        "vector": dice.uniform(0.5, 1.5, total["vector"]),
        "weight": dice.normal(total["weight"]),
    }
    drawn["vector"] *= dice.signs(total["vector"])
    if any(size > 1 for size in sizes["vector"]):
        _of_both_signs(drawn["vector"], sizes["vector"])
    if len(kinds["weight"]) > 1:
        gains = [right.gain(shape) for _, shape in kinds["weight"]]
        each = torch.tensor(gains, dtype=torch.float64)
        drawn["weight"] *= each.repeat_interleave(torch.tensor(sizes["weight"]), output_size=total["weight"])
    elif kinds["weight"]:
        drawn["weight"] *= right.gain(kinds["weight"][0][1])
    state = {}
    for kind, found in kinds.items():
        values = drawn[kind].float().split(sizes[kind])
        for (name, shape), value in zip(found, values, strict=True):
            if kind == "vector" and value.numel() == 1:
                value = lone_sign * value.abs()
            state[name] = value.view(shape)
    return {entry.name: state[entry.name] for entry, _ in floats}


def _of_both_signs(vectors: Tensor, sizes: Sequence[int]) -> None:
    """Makes some numbers of each vector large, of either sign, whatever the seed: what a ReLU cuts
    off, and what a ReLU6 does, is seen in every case. The scale and the shift of a norm are large together.
    All weights of a deep network in one vector stay as they are: else its output has no end in float32."""
    some = [1 < size <= LONGEST_VECTOR for size in sizes]
    place = torch.cat(
        [
            torch.arange(size) if each else torch.full((size,), -1)
            for size, each in zip(sizes, some, strict=True)
        ]
    )
    large, negative = (place % 6 == 0), (place % 6 == 1)
    vectors[negative] = -LARGE * vectors[negative].abs()
    vectors[large] = LARGE * vectors[large].abs()


AS_NEW = {"weight": 1.0, "running_var": 1.0, "bias": 0.0, "running_mean": 0.0}  # by the last part of a name


def values_as_new(buffers: Sequence[Entry], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a block with norms has before any training, as far as names tell: scales of 1, fresh statistics. Of other
    names the values are positive, since a scale may be among them. Weights stay as they are."""
    if not any(entry.name in state for entry in buffers):
        return {}
    vectors = (name for name, value in state.items() if sum(size > 1 for size in value.shape) <= 1)
    found = {}
    for name in vectors:
        usual = AS_NEW.get(name.rpartition(".")[2])
        found[name] = state[name].abs() if usual is None else torch.full_like(state[name], usual)
    return found


def _gain(shape: tuple[int, ...]) -> float:
    """The standard deviation of a weight with which a layer and its ReLU keep that of what they are given."""
    return (2.0 / max(1, prod(shape[1:]))) ** 0.5


@lru_cache(maxsize=PLANS_KEPT)
def room_of(factory: Callable[..., nn.Module], case: Case) -> int:
    """How many numbers the parameters of a student's block may hold."""
    return ROOM + ROOM_PER_NUMBER * sum(
        value.numel() for value in candidate(factory, case).state_dict().values()
    )


@lru_cache(maxsize=PLANS_KEPT)
def held_by(factory: Callable[..., nn.Module], case: Case) -> Held:
    """What the reference holds in a case."""
    module = candidate(factory, case)
    return Held(
        tuple(tuple(value.shape) for value in module.parameters()),
        sum(value.is_floating_point() for value in module.buffers()),
    )


@lru_cache(maxsize=PLANS_KEPT)
def tensors_in_state(factory: Callable[..., nn.Module], case: Case) -> int:
    """How many parameters and buffers the reference has."""
    return len(candidate(factory, case).state_dict())


@dataclass
class Plan:
    """What is known of a candidate in a case before it has any weights: its slots, its failure, or the form of its
    output, which is None where nobody looked."""

    slots: tuple[Slot, ...]
    counts: Counter[Any]
    shape: tuple[int, ...] | None
    failed: Failed | None = None


_TRACED: dict[tuple[Callable[..., nn.Module], Construction], tuple[Slot, ...]] = {}
# The form of the output for one image of some form, where it was seen in passing; None where the candidate raised.
_FORMS: dict[tuple[tuple[Callable[..., nn.Module], Construction], torch.Size], torch.Size | None] = {}


@lru_cache(maxsize=8192)
def plan_of(factory: Callable[..., nn.Module], case: Case) -> Plan:
    """The plan of a candidate. Kept: the same few dozen candidates are asked for again and again."""
    found = _TRACED.get((factory, case.construction))
    try:
        module = candidate(factory, case)
        with _values_left_out(module):
            answer = run_module(module, case.inputs(Dice(0)), training=False, trace=found is None)
    except StudentError as failure:  # a known mistake may raise: then the student's block must raise alike
        return Plan((), Counter(), (), explain(failure))
    except Exception as error:
        return Plan((), Counter(), (), explain(StudentError("building the block", error)))
    if found is None:
        found = _keep_slots(factory, case, module, asked(answer.uses))
    return Plan(found, Counter(slot.key for slot in found), tuple(answer.output.value.shape))


@lru_cache(maxsize=PLANS_KEPT)
def plan_asked(factory: Callable[..., nn.Module], case: Case) -> Plan:
    """As `plan_of`, of a reference: that of a large one is in its recording, for which nothing is computed."""
    sizes: Counter[Any] = sizes_of(factory, case) or Counter()
    if sum(prod(shape) * each for shape, each in sizes.items()) <= FEW_NUMBERS:
        return plan_of(factory, case)
    graph, key = right_recording(factory, case, False), (factory, case.construction)
    if key not in _TRACED:
        module = _JUST_BUILT.get(key) or built_only(factory, case)
        _keep_slots(factory, case, module, [Use(use.name, use.upstream, use.op) for use in uses(graph)])
    found = _TRACED[key]
    return Plan(found, Counter(slot.key for slot in found), graph.values[graph.outputs[0]].shape)


def slots_on_one(factory: Callable[..., nn.Module], case: Case) -> tuple[Slot, ...] | None:
    """The slots of a candidate, from a run on one image; None where it raises on one, though it may run on several.

    What was just built runs in float32, in a part of the time: values do not tell which parameter is used when.
    """
    key = factory, case.construction
    found = _TRACED.get(key)
    if found is not None:
        return found
    image = [x[:1] for x in case.inputs(Dice(0))]
    place = key, image[0].shape
    if _FORMS.get(place, image[0].shape) is None:  # it raised before
        return None
    for single in (True, False) if key not in _SHELF else (False,):
        try:
            if single:
                module = _JUST_BUILT[key] = _JUST_BUILT.get(key) or built_only(factory, case)
                given = [x.float() if x.is_floating_point() else x for x in image]
            else:
                module, given = candidate(factory, case), image
            with _values_left_out(module):
                answer = run_module(module, given, training=False, trace=True)
        except Exception:
            continue
        if answer.output.kind == "tensor":
            _FORMS[place] = answer.output.value.shape
        return _keep_slots(factory, case, module, asked(answer.uses))
    _FORMS[place] = None
    return None


def _values_left_out(module: nn.Module) -> AbstractContextManager[Any]:
    """In this a large candidate runs for its forms alone, in a part of the time."""
    large = sum(each.numel() for each in tensors_named(module).values()) > FEW_NUMBERS
    return NothingConvolved() if large else nullcontext()


def without_contents(inputs: Iterable[Tensor], precision: torch.dtype = torch.float64) -> list[Tensor]:
    """Tensors of the same forms on the meta device: on these a recording computes nothing."""
    return [x.to("meta", precision if x.is_floating_point() else x.dtype) for x in inputs]


def fails(factory: Callable[..., nn.Module], case: Case) -> bool:
    """Whether a candidate raises in a case. One that runs on one image is taken to run on several."""
    return slots_on_one(factory, case) is None and plan_of(factory, case).failed is not None


def _keep_slots(
    factory: Callable[..., nn.Module], case: Case, module: nn.Module, found_uses: Sequence[Use]
) -> tuple[Slot, ...]:
    if len(_TRACED) >= PLANS_KEPT:
        _TRACED.clear()
        _FORMS.clear()
    found = _TRACED[factory, case.construction] = one_of_each(tuple(slots_in(module, found_uses)))
    return found


@lru_cache(maxsize=8192)
def one_of_each(found: tuple[Slot, ...]) -> tuple[Slot, ...]:
    """The same object for equal slots: most candidates have those of the reference, and are matched as it is."""
    return found


def build(factory: Callable[..., nn.Module], case: Case) -> nn.Module:
    """A candidate of ours in float64, without touching the random state of the notebook."""
    with generator_kept():
        return factory(*case.args, **case.kwargs).double()


def built_only(factory: Callable[..., nn.Module], case: Case) -> nn.Module:
    """A candidate of ours as it is built, without numbers in its weights: somebody will overwrite them."""
    return _built_only(factory, case.construction)


def _built_only(factory: Callable[..., nn.Module], arguments: Construction) -> nn.Module:
    with generator_kept(), NothingDrawn(FEW_DRAWN):
        return factory(*arguments.args, **arguments.kwargs)


def without_numbers(module: nn.Module) -> nn.Module:
    """A candidate as `built_only` gives it, in float64, in a part of the time of `double`. In large weights is what
    was in memory: to convert them, or to set them to 0, would take longer than to build the block."""
    for layer in module.modules():
        for parameter in layer._parameters.values():
            if parameter is not None and parameter.is_floating_point() and parameter.dtype != torch.float64:
                large = parameter.numel() > FEW_DRAWN
                parameter.data = (
                    torch.empty(parameter.shape, dtype=torch.float64) if large else parameter.data.double()
                )
        for name, buffer in layer._buffers.items():
            if buffer is not None and buffer.is_floating_point():
                layer._buffers[name] = buffer.double()
    return module


class NothingDrawn(TorchFunctionMode):
    """What would be drawn at the start becomes 0: to draw takes longer than to build. With more than `most` numbers
    it stays as it is in memory."""

    DRAWN: ClassVar = {Tensor.uniform_, Tensor.normal_, init.uniform_, init.normal_, init.kaiming_uniform_}

    def __init__(self, most: float = inf) -> None:
        super().__init__()
        self.most = most

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self.DRAWN:
            tensor: Tensor = args[0] if args else kwargs["tensor"]
            return tensor.detach().zero_() if tensor.numel() <= self.most else tensor
        return func(*args, **(kwargs or {}))


class NothingConvolved(TorchDispatchMode):
    """A convolution, and what takes longest in local response normalisation, gives zeros of the right form, in a
    small part of the time: where values tell nothing."""

    RULES: ClassVar = {
        torch.ops.aten.convolution.default: SHAPES[torch.ops.aten.convolution],
        torch.ops.aten.avg_pool3d.default: SHAPES[torch.ops.aten.avg_pool3d],
        torch.ops.aten.pow.Tensor_Scalar: SHAPES[torch.ops.aten.pow],
    }

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled here; telling the compiler so would first import it, for seconds

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        rule = self.RULES.get(func) if not kwargs else None
        # What raises does so here as well: types that do not go together, or sizes, of which the rule knows.
        dtypes = {each.dtype for each in args if isinstance(each, Tensor)} if rule else ()
        shape = None if rule is None or len(dtypes) > 1 else rule(args)
        return func(*args, **(kwargs or {})) if shape is None else args[0].new_zeros(shape)


_SHELF: dict[
    tuple[Callable[..., nn.Module], Construction], tuple[nn.Module, list[tuple[Tensor, Tensor]]]
] = {}
_shelved = 0  # bytes
# Those whose tensors are another one's.
_WITH_OTHER_METHODS: set[tuple[Callable[..., nn.Module], Construction]] = set()
# The candidate whose sizes were found last: where they are the student's, it is wanted next.
_JUST_BUILT: dict[tuple[Callable[..., nn.Module], Construction], nn.Module] = {}


def candidate(factory: Callable[..., nn.Module], case: Case) -> nn.Module:
    """As `build`, but small ones are kept: to build one costs more than to run it.

    Whoever takes it overwrites its weights and running statistics; what only counts is set back here.
    """
    key = factory, case.construction
    if key not in _SHELF:
        module = without_numbers(_just_built(factory, case))
        if not _shelve(key, module):
            return module
    module, counters = _SHELF[key]
    for counter, fresh in counters:
        counter.copy_(fresh)
    return module


def _just_built(factory: Callable[..., nn.Module], case: Case) -> nn.Module:
    key = factory, case.construction
    if key in _JUST_BUILT:
        return _JUST_BUILT.pop(key)
    return _with_other_methods(factory, case) or built_only(factory, case)


def _with_other_methods(factory: Callable[..., nn.Module], case: Case) -> nn.Module | None:
    """A candidate that is built as another one on the shelf, made of its layers: with the same tensors, which
    whoever takes either overwrites. None where there is none, or a layer holds more than tensors and settings."""
    right = built_as(factory) if hasattr(factory, "__dict__") else None
    other = None if right is None else counterparts(right, factory)
    if right is None or not other:
        return None
    candidate(right, case)
    found = _SHELF.get((right, case.construction))
    module = None if found is None else _made_of(found[0], other, {})
    if module is not None:
        _WITH_OTHER_METHODS.add((factory, case.construction))
    return module


def _made_of(
    module: nn.Module, other: Mapping[Any, Any], made: dict[int, nn.Module | None]
) -> nn.Module | None:
    """The same layers, those of some classes with the methods of others; None where these might be told apart."""
    if id(module) in made:
        return made[id(module)]
    kind: Any = type(module)
    again: nn.Module = object.__new__(other.get(kind, kind))
    made[id(module)] = again
    held = dict(module.__dict__)
    for name in held.keys() - _OF_EVERY_MODULE:
        if not _is_a_setting(held[name]):
            return None
    for table in ("_parameters", "_buffers", "_modules"):
        held[table] = dict(held[table])
    for name, child in held["_modules"].items():
        if child is not None:
            part = held["_modules"][name] = _made_of(child, other, made)
            if part is None:
                return None
    again.__dict__.update(held)
    return again


_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)


def _is_a_setting(value: Any) -> bool:
    """Whether it is the same for every layer that has it: numbers, words, functions of torch's."""
    if isinstance(value, (tuple, list)):
        return all(map(_is_a_setting, value))
    if isinstance(value, (nn.Module, Tensor)):
        return False
    plain = isinstance(value, (bool, int, float, str, type(None), torch.dtype))
    return plain or str(getattr(value, "__module__", "")).partition(".")[0] == "torch"


def _shelve(key: tuple[Callable[..., nn.Module], Construction], module: nn.Module) -> bool:
    """Keeps a candidate in float64, where there is room for it."""
    global _shelved
    tensors = tensors_named(module).values()
    size = 0 if key in _WITH_OTHER_METHODS else sum(tensor.nbytes for tensor in tensors)
    if _shelved + size > SHELF_BYTES:
        return False
    _shelved += size
    counters = [
        (t, t.clone()) for t in tensors if not isinstance(t, nn.Parameter) and not t.is_floating_point()
    ]
    _SHELF[key] = module, counters
    return True


def sizes_of(factory: Callable[..., nn.Module], case: Case) -> Counter[Any] | None:
    """The sizes of a candidate's parameters and buffers, found without running it; None if it cannot be built.

    Most candidates are told from the student's block by these alone. Large ones take no time either: no value is
    drawn, and memory that nobody writes to is none.
    """
    return _sizes_of(factory, case.construction)


@lru_cache(maxsize=8192)
def _sizes_of(factory: Callable[..., nn.Module], arguments: Construction) -> Counter[Any] | None:
    right = built_as(factory) if hasattr(factory, "__dict__") else None
    if right is not None:
        return _sizes_of(right, arguments)
    _JUST_BUILT.clear()
    try:
        module = _built_only(factory, arguments)
    except Exception:
        return None
    _JUST_BUILT[factory, arguments] = module
    return _sizes(tensors_named(module).values())


def _sizes(tensors: Iterable[Tensor]) -> Counter[Any]:
    return _sizes_of_shapes(tuple(t.shape) for t in tensors if t.is_floating_point())


def _sizes_of_shapes(shapes: Iterable[tuple[int, ...]]) -> Counter[Any]:
    return Counter(map(_sides, shapes))


@lru_cache(maxsize=PLANS_KEPT)
def _sides(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(n for n in shape if n != 1))


def alike(one: Failed | None, other: Failed | None) -> bool:
    """Whether two failures are the same exception with the same message."""
    if one is None or other is None:
        return False
    return (one.type, one.message) == (other.type, other.message)


def right_as_listed(seen: Observation, factory: Callable[..., nn.Module], sharing: bool = True) -> bool:
    """Whether the block does what a candidate does, its parameters being taken in the order in which it lists them.

    Mostly they are in that order, and then nobody need ask in which one they are used.
    """
    if seen.evaluation is None or seen.built is None or _told_at_once(seen, None) is not None:
        return False
    module = candidate(factory, seen.case)
    mine = [
        ("parameter" if isinstance(tensor, nn.Parameter) else "buffer", name, tensor.shape)
        for name, tensor in tensors_named(module).items()
        if tensor.is_floating_point()
    ]
    theirs = [
        (kind, each.name, torch.Size(each.shape))
        for kind, found in (("parameter", seen.built.parameters), ("buffer", seen.built.buffers))
        for each in found
        if each.dtype.startswith(("float", "bfloat"))
    ]
    sizes = [[(kind, [n for n in shape if n != 1]) for kind, _, shape in pool] for pool in (mine, theirs)]
    if sizes[0] != sizes[1]:
        return False
    matching = {own[1]: other[1] for own, other in zip(mine, theirs, strict=True)}
    return not _behaviour(seen, module, matching, USUAL, quick=False, first=True, sharing=sharing)


def _right_as_listed(observations: Sequence[Observation], factory: Callable[..., nn.Module]) -> list[bool]:
    """Which cases are right as listed, up to the first that is not: those after it are hardly."""
    found = [False] * len(observations)
    for index, seen in enumerate(observations):
        found[index] = right_as_listed(seen, factory, sharing=False)
        if not found[index]:
            break
    return found


def compare(
    seen: Observation,
    factory: Callable[..., nn.Module],
    quick: bool = False,
    few: int = FEW_MATCHINGS,
    work: Work | None = None,
) -> dict[str, str]:
    """In what the student's block differs from a candidate's: {facet: sentence}. Empty: it does the same.

    `quick` stops at the first difference; it is used for candidates that are most likely not the one, and tries no
    more than `few` ways to match weights. Raises Exhausted where `work` does not reach for that.
    """
    sizes = sizes_of(factory, seen.case) if quick else None
    if sizes not in (None, seen.sizes):
        return {"parameters": "It has other parameters."}
    if seen.oversized and sizes is not None:  # no more is known of it
        return {}
    if quick and _differs_alone(seen, factory, few, work or Work()):
        return {"single": DIFFERS_ALONE}
    found = slots_on_one(factory, seen.case) if quick and seen.evaluation is not None else None
    if found is None:
        plan = (plan_of if quick else plan_asked)(factory, seen.case)
        return _compared_with(seen, factory, plan, quick, few)
    # The form of its output is compared with its values: to run it for that alone is not worth it.
    plan = Plan(found, Counter(slot.key for slot in found), None)
    try:
        return _compared_with(seen, factory, plan, quick, few)
    except StudentError:  # it raises with several images, or with these values
        return {"failure": "It runs."}


def _compared_with(
    seen: Observation, factory: Callable[..., nn.Module], plan: Plan, quick: bool, few: int
) -> dict[str, str]:
    at_once = _told_at_once(seen, plan)
    if at_once is not None:
        return at_once

    differences: dict[str, str] = {}
    shape = tuple(asked(seen.evaluation).output.value.shape)
    if plan.shape is not None and shape != plan.shape:
        differences["shape"] = f"The output is {times(shape)}; it must be {times(plan.shape)}."
    if plan.counts != Counter(slot.key for slot in seen.slots):
        wrong = {"parameters": _structure(seen, plan.slots), **differences}
        if quick or differences or seen.dtype != "float64":
            return wrong
        # Flattened weights have other sizes and as many numbers, and several may be kept as one: what they do
        # decides.
        module = candidate(factory, seen.case)
        loose = [replace(slot, loose=True) for slot in plan.slots]
        views = (_seen_as(seen, each) for each in regroupings(seen.slots, plan.slots))
        for view in chain((seen,), islice(views, REGROUPINGS)):
            theirs = [replace(slot, loose=True) for slot in view.slots]
            likely = list(islice(matchings(theirs, loose, FEW_MATCHINGS), FEW_MATCHINGS))
            if _agrees_in_some_layout(view, module, likely, LAYOUTS):
                return {}
        return wrong
    if quick and differences:
        return differences
    module = candidate(factory, seen.case)
    best: dict[str, str] | None = None
    for layout in LAYOUTS[:2]:
        if layout != USUAL and layout not in seen.layouts:
            break
        found_ways = seen.matchings(plan.slots, FEW_MATCHINGS if quick else MATCHINGS)
        for matching in islice(found_ways, few) if quick else found_ways:
            if layout != USUAL and not _ambiguous(seen, module, matching, layout):
                continue
            if best and not quick and _no_better(seen, module, matching, layout, len(best)):
                continue
            found = _behaviour(seen, module, matching, layout, quick)
            if best is None or len(found) < len(best):
                best = found
            if not best:
                return differences
            if not quick and best.keys() <= _however_matched(seen, best):
                return {**differences, **best}
    if not quick and not _differs_however_read(seen, best or {}):
        likeliest = list(islice(seen.matchings(plan.slots, MATCHINGS), 2))
        if _agrees_in_some_layout(seen, module, likeliest, seen.layouts[2:]):
            return differences
        if _norms_by_hand(seen) and _agrees_by_value(seen, module, likeliest):
            return differences
    return {**differences, **(best or {})}


def compared_as_read(
    subject: Subject,
    observations: list[Observation],
    factory: Callable[..., nn.Module],
    right: Sequence[bool] = (),
) -> tuple[list[Observation], list[dict[str, str]]]:
    """The cases, and in what the student's block differs from a candidate in each; `right` are known to be right.
    It is right, too, if it does the same with its parameters in the order in which it lists them.

    Where it differs with its parameters as they are kept, and its operations read them in another form, they are
    taken in that form if less differs then.
    """
    found = [
        {} if any(right[index : index + 1]) else compare(seen, factory)
        for index, seen in enumerate(observations)
    ]
    if right:
        for index in range(right.index(False) + 1, len(observations)):
            if found[index] and right_as_listed(observations[index], factory):
                found[index] = {}
    doubtful = [
        index for index, seen in enumerate(observations) if found[index] and _as_many_numbers(seen, factory)
    ]
    seen_again = list(observations)
    # Kept otherwise in one case, kept otherwise in all: the first one tells.
    for some in (doubtful[:1], doubtful[1:]):
        views = _as_read(subject, [observations[index] for index in some], factory)
        if not any(views):
            break
        for index, view in zip(some, views, strict=True):
            if view is None:
                continue
            # Where as much differs, mistakes are told by the weights as they are read.
            again = compare(view, factory)
            if _tells_more(again, found[index]) or again.keys() == found[index].keys():
                seen_again[index], found[index] = view, again
    _right_where_unmoved(subject, observations, seen_again, found, factory)
    _wrong_in_any_layout(subject, observations, seen_again, found, factory)
    _forgive_rounding(subject, seen_again, found, factory)
    return seen_again, found


def _tells_more(again: dict[str, str], found: dict[str, str]) -> bool:
    """Whether less differs, or values can be compared that could not be."""
    return len(again) < len(found) or ("parameters" in found and "parameters" not in again)


def _wrong_in_any_layout(
    subject: Subject,
    observations: Sequence[Observation],
    seen_again: list[Observation],
    found: list[dict[str, str]],
    factory: Callable[..., nn.Module],
) -> None:
    """Judges the cases in which nobody knows which weight stands for which, once the block is seen to be wrong
    whichever it is. There its weights are cut and joined in the way in which least differs."""
    doubtful = [
        index
        for index, seen in enumerate(seen_again)
        if found[index].keys() == {"parameters"} and _as_many_numbers(seen, factory)
    ]
    idle = {index: _idle_numbers(subject, observations[index], factory) for index in doubtful[:1]}
    if not any(idle.values()) and not any(
        _differs_with_equal_numbers(subject, observations[index], factory) for index in doubtful
    ):
        return
    for index in doubtful:
        observations[index].idle = idle.get(index, "")
        # Wrong in one case: that the others are wrong as well, their points hang on.
        view, difference = _nearest_view(seen_again[index], factory) or (seen_again[index], found[index])
        seen_again[index] = replace(view, certain=True)
        if "parameters" in difference:
            reason = next(filter(None, idle.values()), IN_ANY_LAYOUT)
            difference = {"parameters": f"{reason} {difference['parameters']}".strip()}
        found[index] = difference


def _nearest_view(
    seen: Observation, factory: Callable[..., nn.Module]
) -> tuple[Observation, dict[str, str]] | None:
    """The way to cut and join the weights of a block in which least differs from a candidate, and what."""
    best: tuple[Observation, dict[str, str]] | None = None
    most = 1 if seen.large else FEW_VIEWS
    for each in islice(regroupings(seen.slots, plan_asked(factory, seen.case).slots), most):
        view = _seen_as(seen, each)
        difference = compare(view, factory)
        if "parameters" in difference:
            continue
        # Behind a slip all may differ: then the likeliest is as good as any.
        if best is None or (len(difference), -view.alike) < (len(best[1]), -best[0].alike):
            best = view, difference
    return best


def _differs_with_equal_numbers(
    subject: Subject, seen: Observation, factory: Callable[..., nn.Module]
) -> bool:
    """Whether the block gives other values than a candidate where all numbers in the parameters of both are the same,
    so that it does not matter which stands for which. In no layout at all is it right then.

    The numbers are drawn, and some are only nearly the same: a block that does right by equal numbers alone is seen
    as well. What nearly equal numbers may do to a candidate, other draws of them show.
    """
    dice = Dice(seen.seed % 2**32)
    module = candidate(factory, seen.case)
    held = {name: each for name, each in tensors_named(module).items() if each.is_floating_point()}
    fillings: list[tuple[float, float]] = []  # a number, and how far others are from it, as a share of it
    for sign in (1, -1):  # of both signs, so that no ReLU hides all that is behind it
        fillings.append((sign * dice.integer(*EQUAL_NUMBERS) / 4096, 0.0))
    if not seen.large:
        for powers in SPREADS:
            number = dice.choice((1, -1)) * dice.integer(*EQUAL_NUMBERS) / 4096
            fillings += [(number, 10.0 ** float(dice.uniform(*powers)))] * FILLINGS
    answers = _filled(subject, seen, fillings, dice)
    far: Counter[tuple[float, float]] = Counter()
    usual: dict[tuple[float, float], list[Tensor]] = {}
    for filling, ran in zip(fillings, answers, strict=True):
        if filling not in usual:
            usual[filling] = [
                _filled_candidate(module, held, seen, filling, dice)
                for _ in range(DRAWN_BESIDE if filling[1] else 1)
            ]
        rights = usual[filling]
        if not isinstance(ran, Ran) or ran.output.kind != "tensor":
            continue
        if not all(each.isfinite().all() for each in rights):
            continue
        value = ran.output.value
        if value.shape != rights[0].shape:
            return True
        if filling[1]:
            far[filling] += _far_out(value, rights)
        elif not close(value, rights[0], tolerance_of(value)):
            return True
    return any(count == FILLINGS for count in far.values())


def _filled(
    subject: Subject, seen: Observation, fillings: Sequence[tuple[float, float]], dice: Dice
) -> list[Answer | None]:
    """What the block gives with each of the fillings; it has its own weights again."""
    given = _given_to(seen)
    parameters = {each.name for each in asked(seen.built).parameters}
    own = _own_state(seen)
    answers: list[Answer | None] = []
    for number, spread in fillings:
        state = {
            name: _nearly(number if name in parameters else EQUAL_STATISTICS, spread, value, dice)
            for name, value in own.items()
        }
        run = messages.Run(tuple(given), training=False, handle=seen.handle)
        answers.append(in_turn(subject, {"load": messages.Load(state, seen.handle), "run": run}).get("run"))
    subject(messages.Load(own, seen.handle))
    return answers


def _own_state(seen: Observation) -> dict[str, Tensor]:
    """The block's weights by the names that it has for them, without those in which they are seen."""
    built = asked(seen.built)
    names = {each.name for each in (*built.parameters, *built.buffers)}
    return {name: value for name, value in seen.state.items() if name in names}


def _filled_candidate(
    module: nn.Module, held: Mapping[str, Tensor], seen: Observation, filling: tuple[float, float], dice: Dice
) -> Tensor:
    """What a candidate gives in evaluation with numbers that are all the same, or nearly."""
    number, spread = filling
    with torch.no_grad():
        for tensor in held.values():
            middle = number if isinstance(tensor, nn.Parameter) else EQUAL_STATISTICS
            tensor.copy_(_nearly(middle, spread, tensor, dice))
    return run_module(module, seen.inputs, training=False).output.value


def _nearly(number: float, spread: float, like: Tensor, dice: Dice) -> Tensor:
    """Numbers around one, all on the same side of 0."""
    if not spread:
        return torch.full_like(like, number)
    drawn = torch.rand(like.shape, generator=dice.generator, dtype=torch.float64)
    return (number * (1 + spread * 3**0.5 * (2 * drawn - 1))).to(like.dtype)


def _far_out(value: Tensor, rights: Sequence[Tensor]) -> bool:
    """Whether a value lies much further from the mean of others than each of these from the mean of the rest."""
    some = torch.stack([each.double() for each in rights])
    total = some.sum(0)
    own = max(float((each - (total - each) / (len(some) - 1)).norm()) for each in some)
    mean = total / len(some)
    least = tolerance_of(value) * float(mean.abs().max()) * mean.numel() ** 0.5
    return float((value.double() - mean).norm()) > FAR_OUT * own + least


def _idle_numbers(subject: Subject, seen: Observation, factory: Callable[..., nn.Module]) -> str:
    """Which numbers in the parameters of a block change nothing in what it gives, where all of the reference's do
    something: so it is wrong, whichever of its parameters stands for which."""
    graph = recorded(subject, factory, seen, training=False)
    if seen.large or not isinstance(graph, Graph) or any(op.random for op in graph.ops):
        return ""
    if not confirmed(
        Traced(graph, asked(seen.evaluation), False), carried_out(graph, _given_to(seen), seen.state)
    ):
        return ""
    right = idle_numbers(right_recording(factory, seen.case, False))
    for name, (idle, of) in (_if_sound(idle_numbers, graph) or {}).items() if right == {} else ():
        return (
            f"What the block gives does not depend on {idle} of the {of} numbers in its parameter "
            f"{named(name)}."
        )
    return ""


def _given_to(seen: Observation) -> list[Tensor]:
    """Its inputs in the precision in which it runs."""
    return seen.inputs if seen.dtype == "float64" else [x.float() for x in seen.inputs]


def _right_where_unmoved(
    subject: Subject,
    observations: Sequence[Observation],
    seen_again: list[Observation],
    found: list[dict[str, str]],
    factory: Callable[..., nn.Module],
) -> None:
    """Compares once more the cases in which something is moved before a layer, with the weights as they would be if
    nothing were. Only what is right then in all respects is taken so: what is moved may be what is wrong."""
    for index, seen in enumerate(observations):
        if (
            not found[index]
            or _differs_however_read(seen, found[index])
            or not _as_many_numbers(seen, factory)
        ):
            continue
        (graph,) = _graphs(subject, [seen], factory)
        view = _if_sound(as_unmoved, graph, seen.slots) if graph is not None else None
        if view is None or compare(again := _seen_as(seen, view), factory):
            break  # moved in one case, moved in all
        seen_again[index], found[index] = again, {}


def _forgive_rounding(
    subject: Subject,
    observations: list[Observation],
    found: list[dict[str, str]],
    factory: Callable[..., nn.Module],
) -> None:
    """Compares once more, as what computes in float32, the cases of a block that does so inside and returns float64.
    Where nothing differs then, it was rounding alone."""
    doubtful = [
        index
        for index, seen in enumerate(observations)
        if found[index]
        and not found[index].keys() & HOPELESS
        and not _differs_however_read(seen, found[index])
        and _may_be_rounded(seen, found[index])
    ]
    # Only where the recording shows it: else a constant that is slightly off would pass for rounding. To record is
    # what the explanation needs anyway, and takes less than to compare.
    graphs = _graphs(subject, [observations[index] for index in doubtful], factory)
    shown: dict[int, Observation] = {}
    for index, graph in zip(doubtful, graphs, strict=True):
        coarser = _in_coarser_numbers(observations[index]) if _computes_in_float32(graph) else None
        if coarser is not None and not compare(coarser, factory):
            shown[index] = coarser
    for index, coarser in shown.items():
        observations[index], found[index] = coarser, {}


def _may_be_rounded(seen: Observation, difference: dict[str, str]) -> bool:
    """Whether the block returns float64, and what that holds is no further off than float32 would carry it."""
    ran = seen.evaluation
    if ran is None or ran.output.kind != "tensor" or ran.output.value.dtype != torch.float64:
        return False
    return "evaluation" not in difference or seen.nearest <= tolerance_of(ran.output.value.float())


def _in_coarser_numbers(seen: Observation) -> Observation:
    """The observation as if the student's block had returned float32."""

    def of(ran: Ran | None) -> Ran | None:
        if ran is None or ran.output.kind != "tensor":
            return ran
        return replace(ran, output=replace(ran.output, value=ran.output.value.float()))

    return replace(
        seen,
        evaluation=of(seen.evaluation),
        training=of(seen.training),
        again=of(seen.again),
        third=of(seen.third),
        single=of(seen.single),
        beside=[replace(other, ran=of(other.ran)) for other in seen.beside],
    )


def _computes_in_float32(graph: Graph | None) -> bool:
    """Whether something on the way is float32, though what came in is not."""
    if graph is None or any(graph.values[index].dtype == "float32" for index in graph.inputs):
        return False
    return any(value.dtype == "float32" for value in graph.values)


def _as_read(
    subject: Subject, some: Sequence[Observation], factory: Callable[..., nn.Module]
) -> list[Observation | None]:
    """The observations with the parameters as operations read them; None where they are kept like that."""
    found: list[Observation | None] = []
    for seen, graph in zip(some, _graphs(subject, some, factory), strict=True):
        view = _if_sound(as_read, graph, seen.slots, mirrors=True) if graph is not None else None
        found.append(None if view is None else _seen_as(seen, view))
    return found


def _graphs(
    subject: Subject, some: Sequence[Observation], factory: Callable[..., nn.Module]
) -> list[Graph | None]:
    """What the student's block computes in each case, in evaluation; None where it cannot be recorded."""
    asked = [seen for seen in some if False not in seen.recorded]
    if asked:
        answers = batched(subject, [_recording(seen, False) for seen in asked])
        for seen, answer in zip(asked, answers, strict=True):
            _keep_recording(answer, factory, seen, False)
    found = [seen.recorded[False] for seen in some]
    return [graph if isinstance(graph, Graph) else None for graph in found]


def recorded(
    subject: Subject, factory: Callable[..., nn.Module], seen: Observation, training: bool
) -> Graph | Stopped | None:
    """The student's block written down in one mode, on other inputs than those of the runs that are judged."""
    if training not in seen.recorded:
        _keep_recording(subject(_recording(seen, training)), factory, seen, training)
    return seen.recorded[training]


def _may_be_recorded(
    subject: Subject,
    observations: Iterable[Observation],
    factory: Callable[..., nn.Module],
    at_the_end: ExitStack,
) -> None:
    """Lets the layouts of weights be told by recordings. Only what differs with its weights as they are kept is
    recorded for that, and that is recorded anyway, to say what differs."""
    for each in observations:
        if each.evaluation is not None and each.evaluation.output.kind == "tensor":
            each.reads_plainly = cache(partial(_recorded_plainly, subject, factory, each))
            # It holds what holds it: megabytes of answers, until the garbage collector comes by.
            at_the_end.callback(setattr, each, "reads_plainly", None)


def _recorded_plainly(subject: Subject, factory: Callable[..., nn.Module], seen: Observation) -> bool:
    graph = recorded(subject, factory, seen, training=False)
    return isinstance(graph, Graph) and bool(_if_sound(reads_plainly, graph))


def _recording(seen: Observation, training: bool) -> messages.Series:
    fresh = Dice(seen.handle + 1)
    given = _given_to(seen)
    others = tuple(x + fresh.normal(*x.shape).to(x.dtype) if x.is_floating_point() else x for x in given)
    record = messages.Record(others, training, handle=seen.handle)
    if seen.evaluation is None:
        # It raised before its precision was known, perhaps before it was given weights.
        load = messages.Load(seen.state, seen.handle)
        return messages.Series((messages.Cast("float64", seen.handle), load, record))
    return messages.Series((messages.Load(handle=seen.handle), record))


def _keep_recording(
    answer: Answer, factory: Callable[..., nn.Module], seen: Observation, training: bool
) -> None:
    """Reads a recording once; a second reader of the same mode is served from what is kept."""
    assert isinstance(answer, messages.Answers)
    last = answer.answers[-1] if answer.answers else None
    if not isinstance(last, messages.Recorded):
        seen.recorded[training] = None
        return
    right = right_recording(factory, seen.case, training)
    graph, failed = _if_sound(read, last, right), last.failed
    # Where axes are to be moved, a product between two moves is what is asked for, and not written by hand.
    if graph is not None and failed is None and all(each.kind != "permute" for each in layers_asked(right)):
        plain, graph = graph, _if_sound(as_layers, graph) or graph
        seen.by_hand |= graph is not plain
    seen.recorded[training] = graph if failed is None or graph is None else Stopped(graph, failed)


def _if_sound(reader: Callable[..., T], *given: Any, **options: Any) -> T | None:
    """What is read from a recording. None where that fails: it came from the student's process and may be forged,
    which must not keep the check from its verdict."""
    try:
        return reader(*given, **options)
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError):
        return None


def _as_many_numbers(seen: Observation, factory: Callable[..., nn.Module]) -> bool:
    """Whether the block runs, and its parameters and buffers hold as many numbers as the candidate's."""
    plan = plan_asked(factory, seen.case)
    if seen.evaluation is None or seen.evaluation.output.kind != "tensor" or plan.failed:
        return False
    return _numbers(seen.slots) == _numbers(plan.slots)


def _numbers(found: Iterable[Slot]) -> Counter[str]:
    counted = Counter[str]()
    for slot in found:
        counted[slot.kind] += prod(slot.shape)
    return counted


def _differs_alone(seen: Observation, factory: Callable[..., nn.Module], few: int, work: Work) -> bool:
    """Whether a candidate gives other values for the first image, however its weights are matched. Most do, and then
    need no plan of their own: to run them for that costs more."""
    if seen.single is None or _told_at_once(seen, None) is not None:
        return False
    given = _first_image_and_slots(seen, factory)
    slots = slots_on_one(factory, seen.case)
    if slots is None:  # it raises; the student's block does not
        return True
    if Counter(slot.key for slot in slots) != Counter(slot.key for slot in seen.slots):
        return True
    alone = seen.single.output.value.shape
    if _FORMS.get(((factory, seen.case.construction), seen.inputs[0][:1].shape), alone) != alone:
        return True
    module = candidate(factory, seen.case)
    for layout in seen.layouts[:2]:
        for matching in islice(seen.matchings(slots, FEW_MATCHINGS), few):
            if layout != USUAL and not _ambiguous(seen, module, matching, layout):
                continue
            if given is None or layout != USUAL:
                try:
                    _load(seen, module, matching, layout)
                except ValueError:
                    continue
            work.spend(seen.size)
            if given is not None and layout == USUAL:
                alone = seen.single.output.value
                same = alone.shape == given.shape and close(alone, given, tolerance_of(alone))
                given = None  # the next match is another one
                if same:
                    return False
            elif not _first_image(seen, module):
                return False
    return True


def _first_image_and_slots(seen: Observation, factory: Callable[..., nn.Module]) -> Tensor | None:
    """What a candidate gives for the first image, its weights being matched as the reference's are first, if that is
    how they are matched first.

    Most candidates are edits of the reference that use its weights in its order. What nobody has run before is run
    once then, to see in which order it uses them and what it gives.
    """
    right, key = made_from(factory), (factory, seen.case.construction)
    if right is None or right is factory or key in _TRACED or key in _SHELF or seen.large:
        return None
    slots = slots_on_one(right, seen.case)
    if slots is None:
        return None
    matching = next(iter(seen.matchings(slots, FEW_MATCHINGS)), None)
    image = [x[:1] for x in seen.inputs]
    try:
        module = without_numbers(_just_built(factory, seen.case))
        held = {name: tensor for name, tensor in tensors_named(module).items() if tensor.is_floating_point()}
        if matching is None or {name: each.shape for name, each in held.items()} != {
            slot.name: slot.shape for slot in slots
        }:
            return None
        transplant(seen.state, module, matching)
        ran = run_module(module, image, training=False, trace=True)
    except Exception:  # it is run as others are, and seen to raise
        return None
    if ran.output.kind != "tensor":
        return None
    if not _shelve(key, module):
        _JUST_BUILT[key] = module
    _FORMS[key, image[0].shape] = ran.output.value.shape
    found = _keep_slots(factory, seen.case, module, asked(ran.uses))
    return ran.output.value if found is slots else None


def _told_at_once(seen: Observation, plan: Plan | None) -> dict[str, str] | None:
    """As `compare`, where the student's block or the candidate gives no tensor whose values could be compared."""
    if seen.not_a_module:
        return {"structure": f"It returns a value of type {named(seen.not_a_module)}, not a torch.nn.Module."}
    if seen.oversized and plan:
        ours = sum(prod(slot.shape) for slot in plan.slots)
        return {"parameters": f"Its parameters and buffers hold {seen.oversized:,} numbers, not {ours:,}."}
    if seen.evaluation is None:
        return (
            {} if plan and alike(seen.failed, plan.failed) else {"failure": failure_text(asked(seen.failed))}
        )
    if plan and plan.failed:
        return {"failure": "It runs."}
    runs = ((seen.evaluation, NO_TENSOR), (seen.float32, NONE_FOR_FLOAT32), (seen.single, NONE_FOR_ONE))
    for run, when in runs:
        if run is not None and run.output.kind != "tensor":
            return {"structure": when.format(returned=_a(run.output.kind))}
    return None


def _differs_however_read(seen: Observation, difference: dict[str, str]) -> bool:
    """Whether it differs in what neither another layout of its weights nor rounding can mend: it overwrites its
    input, or does not run in training mode."""
    return bool(_however_matched(seen, difference))


def _however_matched(seen: Observation, difference: dict[str, str]) -> set[str]:
    """What of a difference from the reference is one whichever weight stands for which: to match them in another way
    mends the rest at best."""
    found = {"in place"} & difference.keys()
    if seen.case.training and seen.training is None:
        found |= {"training", "gradients"}
    return found


def _agrees_in_some_layout(
    seen: Observation,
    module: nn.Module,
    candidates: Iterable[dict[str, str]],
    layouts: Iterable[Layout],
) -> bool:
    """Whether the student's block does the same if its weights are read in one of these ways."""
    shapes = _shapes(module)
    tried: set[tuple[int, Any]] = set()
    for layout in layouts:
        for number, matching in enumerate(candidates):
            reading = tuple(
                layout.reading(seen.state[theirs], shapes[ours]) for ours, theirs in matching.items()
            )
            if (number, reading) in tried or (layout != USUAL and not any(reading)):
                continue
            tried.add((number, reading))
            if not _behaviour(seen, module, matching, layout, quick=True) and not _behaviour(
                seen, module, matching, layout, quick=False, first=True
            ):
                return True
    return False


def _norms_by_hand(seen: Observation) -> bool:
    """Whether the student's block uses running statistics in another way than PyTorch's batch norm does."""
    buffers = {slot.name for slot in seen.slots if slot.kind == "buffer"}
    return any(use.name in buffers and "batch_norm" not in use.op for use in seen.uses)


def _agrees_by_value(seen: Observation, module: nn.Module, candidates: list[dict[str, str]]) -> bool:
    """Whether the student's block does the same once its running statistics are told apart by what they take up."""
    for layout in LAYOUTS:
        for matching in candidates:
            if layout != USUAL and not _ambiguous(seen, module, matching, layout):
                continue
            again = _statistics_by_value(seen, module, matching, layout)
            if again and not _behaviour(seen, module, again, layout, quick=False):
                return True
    return False


def _statistics_by_value(
    seen: Observation, module: nn.Module, matching: dict[str, str], layout: Layout
) -> dict[str, str] | None:
    """The matching in which each running statistic of ours stands for the student's that took up the same values.

    A norm written by hand may use its statistics in another order, such as the variance first. What a training step
    adds to them does not depend on what they were, so it tells them apart. None if it is no other matching.
    """
    momenta = {
        f"{path}.{name}".lstrip("."): layer.momentum
        for path, layer in module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.momentum
        for name in STATISTICS
    }
    statistics = [name for name in matching if name in momenta]
    if not statistics or seen.training is None or seen.training.output.kind != "tensor":
        return None
    transplant(seen.state, module, matching, layout)
    expected = run_module(module, seen.inputs, training=True)
    right_after, seen_after = asked(expected.buffers), asked(seen.training.buffers)
    if _outputs(seen.training, expected, "training", ""):
        return None  # the weights are matched in another way, or the block is wrong
    found, left = dict(matching), [matching[name] for name in statistics]
    for name in statistics:
        right, momentum = right_after[name], momenta[name]
        before = _fitted(seen.state[matching[name]], right).to(right.dtype)
        added = right - (1 - momentum) * before

        def same(other: str, added: Tensor = added, momentum: float = momentum) -> bool:
            after, start = seen_after.get(other), seen.state[other]
            if after is None or start.numel() != added.numel() or after.shape != start.shape:
                return False
            theirs = (after - (1 - momentum) * start.to(after.dtype)).reshape(added.shape)
            return close(theirs, added, tolerance_of(after, 1e-6))

        other = next((each for each in left if same(each)), None)
        if other is None:
            return None
        left.remove(other)
        found[name] = other
    return found if found != matching else None


def _seen_as(seen: Observation, view: Regrouping) -> Observation:
    """The observation as if the student kept other weights, which make up the same numbers."""

    def of(run: Ran | None) -> Ran | None:
        return run and replace(
            run, buffers=present(run.buffers), parameter_gradients=view(run.parameter_gradients)
        )

    def present(values: Mapping[str, Tensor] | None) -> dict[str, Tensor] | None:
        made = view(values)
        if made is None:
            return None
        return {name: value for name, value in made.items() if value is not None}

    return replace(
        seen,
        slots=view.slots,
        state=asked(present(seen.state)),
        evaluation=of(seen.evaluation),
        training=of(seen.training),
        again=of(seen.again),
        third=of(seen.third),
        # Of a weight in two, one may be as new and the other not: both make up the whole.
        as_new=asked(present({**seen.state, **seen.as_new})) if seen.as_new else {},
        matched={},
        nearest=inf,
        alike=0.0,
        regrouped=True,
        kept=seen.kept or seen.slots,
        common=Common(),
    )


def _ambiguous(seen: Observation, module: nn.Module, matching: dict[str, str], layout: Layout) -> bool:
    """Whether another layout would read any of the weights in another way."""
    shapes = _shapes(module)
    return any(layout.changes(seen.state[theirs], shapes[ours]) for ours, theirs in matching.items())


def _shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors_named(module).items()}


def _structure(seen: Observation, ours: Sequence[Slot]) -> str:
    theirs = seen.kept or seen.slots  # no part of a weight is called a parameter
    missing, extra = missing_and_extra(theirs, ours)
    theirs_count = sum(torch.Size(s.shape).numel() for s in theirs if s.kind == "parameter")
    ours_count = sum(torch.Size(s.shape).numel() for s in ours if s.kind == "parameter")
    text = ""
    if theirs_count != ours_count:
        text = f"It has {theirs_count:,} parameters; {ours_count:,} are expected. "
        if theirs_count == 1:
            text = f"It has 1 parameter; {ours_count:,} are expected. "
    missing, extra = _in_no_other_form(missing, extra)
    if missing:
        text += f"Missing: {_list_slots(missing)}. "
    if extra:
        text += f"Too many: {_list_slots(extra)}. "
    if unused := _never_used(seen):
        text += f"What forward never uses: {unused}."
    return text.strip()


def _in_no_other_form(missing: Sequence[Slot], extra: Sequence[Slot]) -> tuple[list[Slot], list[Slot]]:
    """Without those that are there with some axes taken as one, as the weight of a linear layer over an image is."""
    left, more = [], list(extra)
    for one in missing:
        flat = next(
            (each for each in more if each.kind == one.kind and flattened(each.shape, one.shape)), None
        )
        if flat is None:
            left.append(one)
        else:
            more.remove(flat)
    return left, more


def _never_used(seen: Observation) -> str:
    """The modules, or parameters, that no operation reads and no gradient reaches, the outermost ones, by name."""
    gradients = None if seen.backward is None else seen.backward.parameter_gradients
    own = [slot for slot in seen.slots if slot.kind == "parameter"]
    if not gradients or not any(slot.used for slot in own):
        return ""
    used = {slot.name for slot in own if slot.used or gradients.get(slot.name) is not None}
    found: list[str] = []
    for slot in own:
        if slot.name not in used:
            path = slot.name.split(".")
            above = (".".join(path[:depth]) for depth in range(1, len(path)))
            none_below = (each for each in above if not any(name.startswith(f"{each}.") for name in used))
            found.append(next(none_below, slot.name))
    names = [f"`{named(each)}`" for each in dict.fromkeys(found)]  # words of code, in every language
    return joined(names[:4]) if len(names) <= 4 else f"{', '.join(names[:4])}, ..."


def _list_slots(found: Sequence[Slot]) -> str:
    counted = Counter((slot.kind, slot.shape) for slot in found)

    def said(kind: str, shape: tuple[int, ...], count: int) -> str:
        form = f"of shape {times(shape)}" if shape else "that is a single number"
        return f"{count} × {kind} {form}" if count > 1 else f"a {kind} {form}"

    words = [said(kind, shape, count) for (kind, shape), count in list(counted.items())[:4]]
    # In brackets, in every language: three dots and the full stop behind them would be four.
    return ", ".join(words) + (" (...)" if len(counted) > len(words) else "")


def _a(kind: str) -> str:
    return {"none": "None", "other": message("something that is not a tensor")}.get(kind, f"a {kind}")


def _behaviour(
    seen: Observation,
    module: nn.Module,
    matching: dict[str, str],
    layout: Layout,
    quick: bool,
    first: bool = False,
    sharing: bool = True,
) -> dict[str, str]:
    """What differs once the module carries the student's weights; with `first`, all is asked until something does.
    Without `sharing` nothing is kept for other candidates, of which there may be none."""
    found: dict[str, str] = {}
    soon = quick or first
    try:
        _load(seen, module, matching, layout, sharing)
    except ValueError as error:
        return {"parameters": str(error)}
    cotangent = seen.cotangent
    if quick and (difference := _first_image(seen, module)):  # first, as most candidates differ here already
        return difference
    evaluation = asked(seen.evaluation)
    coarse = evaluation.output.value.dtype == torch.float32  # it computes in float32, whatever it is given
    expected, differing = _in_evaluation(seen, module, quick, sharing)
    found |= differing
    _note_distance(seen, evaluation.output.value, expected.output.value, quick)
    found |= _inputs_kept(evaluation, expected)
    if found and soon:
        return found
    found = _with_precision(seen, module, matching, layout, expected, found)
    if "evaluation" not in found:
        found |= _beside(seen, module, sharing)
        if found and soon:
            return found
    if seen.thorough and seen.single is None and len(seen.inputs[0]) > 1 and _runs_alone(module, seen):
        found["single"] = "In evaluation mode it does not run for a single image."
        if soon:
            return found
    if seen.single is not None and not quick and "evaluation" not in found:
        alone, batch = seen.single.output.value, evaluation.output.value[:1]
        reference = expected.output.value[:1]  # in evaluation mode the right block treats images alike
        if sentence := _said_alone(alone, batch, reference):
            found["single"] = sentence
    if seen.case.training:
        try:
            expected = run_module(module, seen.inputs, training=True, cotangent=cotangent)
        except StudentError as failure:  # a known mistake whose gradients cannot be computed
            if seen.training is not None or not alike(seen.failed, explain(failure)):
                found["training"] = "It runs in training mode."
            return found
        if seen.training is None:
            found["training"] = failure_text(asked(seen.failed))
            found["gradients"] = "Not compared, since it does not run in training mode."
            return found
        found |= _outputs(seen.training, _sound(seen, expected, quick), "training", "in training mode")
        if "training" not in found:
            how = (lambda: "") if soon else partial(_taken_up, seen, module, expected, matching)
            found |= _statistics(seen.training, expected, matching, how)
        if not quick and not found.keys() & {"training", "statistics"}:
            found |= _second_step(seen, module, matching)
        if found and soon:
            return found
    differing = _gradients(seen.backward, expected, matching, layout)
    if differing and coarse:
        # Rounding carries a number over the kink of a ReLU, or makes another one the largest of a pooling.
        rounded = _in_single(module, seen, training=seen.case.training, cotangent=cotangent)
        if rounded is not None:
            differing = _gradients(seen.backward, rounded, matching, layout)
    return found | differing


def _said_alone(alone: Tensor, batch: Tensor, reference: Tensor) -> str:
    """What is otherwise for an image alone, where the batch gives what it must: its form, or its values."""
    if close(alone, reference, tolerance_of(alone)) or not close(batch, reference, 1e-3):
        return ""
    if alone.shape != reference.shape:
        form, wanted = times(tuple(alone.shape)), times(tuple(reference.shape))
        return f"In evaluation mode the output for a single image is {form}; it must be {wanted}."
    return "In evaluation mode an image gives other values alone than in a batch."


def _in_evaluation(
    seen: Observation, module: nn.Module, quick: bool, sharing: bool
) -> tuple[Ran, dict[str, str]]:
    """What a candidate does in evaluation mode, with gradients where that run carries them, and what differs."""
    evaluation = asked(seen.evaluation)
    cotangent = None if seen.case.training else seen.cotangent
    # Most candidates give other values: nobody needs the way back of these.
    expected = _evaluated(seen, module, seen.inputs, cotangent=None if quick else cotangent, sharing=sharing)
    coarse = evaluation.output.value.dtype == torch.float32
    rounding = _rounding(module, seen, expected) if coarse else None
    found = _outputs(evaluation, _sound(seen, expected, quick), "evaluation", "in evaluation mode", rounding)
    if quick and cotangent is not None and not found:
        expected = _evaluated(seen, module, seen.inputs, cotangent=cotangent)
    return expected, found


def _sound(seen: Observation, expected: Ran, quick: bool) -> Ran:
    """Notes where the right block gives something that is no number: nothing is equal to that."""
    if not quick and not expected.output.value.isfinite().all():
        seen.unsound = True
    return expected


def _load(
    seen: Observation, module: nn.Module, matching: dict[str, str], layout: Layout, sharing: bool = True
) -> None:
    """Gives a candidate the student's weights. Raises ValueError where they do not fit."""
    if seen.large and sharing:
        seen.common.load(seen.state, module, matching, layout)
    else:
        transplant(seen.state, module, matching, layout)


def _evaluated(
    seen: Observation,
    module: nn.Module,
    inputs: Sequence[Tensor],
    first: bool = False,
    cotangent: Tensor | None = None,
    sharing: bool = True,
) -> Ran:
    """What a candidate that carries the student's weights does in evaluation mode, on the `first` image or on all.

    To keep what others could take up costs time; without `sharing` nothing is kept.
    """
    with seen.common.sharing(inputs) if seen.large and cotangent is None and sharing else nullcontext():
        given = [x[:1] for x in inputs] if first else inputs
        return run_module(module, given, training=False, cotangent=cotangent)


def _no_better(
    seen: Observation, module: nn.Module, matching: dict[str, str], layout: Layout, most: int
) -> bool:
    """Whether it is certain, after little work, that no fewer than `most` things differ in `_behaviour`.

    Of the gradients only one is looked at, that of the weight that is used last: for the others there would be the
    whole way back to go.
    """
    evaluation = asked(seen.evaluation)
    if evaluation.output.value.dtype != torch.float64:  # a matter of rounding
        return False
    try:
        _load(seen, module, matching, layout)
        expected = _evaluated(seen, module, seen.inputs)
        _note_distance(seen, evaluation.output.value, expected.output.value)
        if not _outputs(evaluation, expected, "evaluation", ""):
            return False
        if most <= 1:
            return True
        backward = seen.backward
        if backward is None or seen.cotangent is None or not backward.parameter_gradients:
            return False
        value, gradients = _last_gradient(seen, module, matching)
    except (StudentError, ValueError):
        return False
    certain = 1
    if seen.case.training:
        right = backward.output.value
        certain += value.shape != right.shape or not close(right, value, tolerance_of(right))
    theirs = backward.parameter_gradients
    largest = max((float(g.abs().max()) for g in theirs.values() if g is not None and g.numel()), default=0.0)
    for ours, gradient in gradients.items():
        found = theirs.get(matching[ours])
        found = _fitted(found, gradient, layout) if found is not None else torch.zeros_like(gradient)
        if not close(found, gradient, 1e-3, largest):
            certain += 1
            break
    return certain >= most


def _last_gradient(
    seen: Observation, module: nn.Module, matching: Mapping[str, str]
) -> tuple[Tensor, dict[str, Tensor]]:
    """What a candidate gives in the run that carries the gradients, and the gradient of the weight that is used last.

    Up to that weight no gradient is recorded, so that what is known of the way to it need not be computed again.
    """
    # Of weights: the gradient of a bias at the end is the same whatever comes before it.
    place = {
        slot.name: (sum(size > 1 for size in slot.shape) > 1, slot.order)
        for slot in seen.slots
        if slot.used and slot.kind == "parameter"
    }
    last = max((ours for ours in matching if matching[ours] in place), key=lambda ours: place[matching[ours]])
    own = [each for each in module.parameters() if each.requires_grad]
    try:
        for each in own:
            each.requires_grad_(False)
        weight = dict(module.named_parameters())[last].requires_grad_(True)
        module.train(seen.case.training)
        shared = seen.common.sharing(seen.inputs) if seen.large else nullcontext()
        with shared, torch.enable_grad(), drawing_from(0):
            output = module(*[x.clone().clone() for x in seen.inputs])
        total = (output * asked(seen.cotangent)).sum()
        (gradient,) = torch.autograd.grad(total, [weight], allow_unused=True)
    except Exception as error:
        raise StudentError("running forward", error) from error
    finally:
        for each in own:
            each.requires_grad_(True)
    return output.detach(), {last: torch.zeros_like(weight) if gradient is None else gradient}


def _apart(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest magnitude."""
    if found.shape != expected.shape:
        return inf
    if identical(found, expected):
        return 0.0
    gap, magnitude = distance(found, expected)
    return gap / max(magnitude, 1e-12)


def _note_distance(seen: Observation, found: Tensor, expected: Tensor, quick: bool = False) -> None:
    """Keeps how far the block's output is from the reference's, where no other match of its weights is nearer."""
    if quick:
        return
    seen.nearest = min(seen.nearest, _apart(found, expected))
    if seen.regrouped:
        seen.alike = max(seen.alike, _share_of(found.double().flatten(), expected.double().flatten()))


def _share_of(found: Tensor, expected: Tensor) -> float:
    """Which share of the expected numbers, but for zeros, is found anywhere: in which order they are joined may be
    what is wrong."""
    wanted = expected[expected != 0]
    if not wanted.numel() or not found.numel():
        return 0.0
    found = found.sort().values
    after = torch.searchsorted(found, wanted).clamp(max=len(found) - 1)
    near = torch.minimum((found[after] - wanted).abs(), (found[(after - 1).clamp(min=0)] - wanted).abs())
    return float((near <= 1e-9 + 1e-6 * wanted.abs()).double().mean())


DIFFERS_ALONE = "It gives other values for a single image."


def _first_image(seen: Observation, module: nn.Module) -> dict[str, str]:
    """What differs for the first image alone, in evaluation mode; nothing where it was not run for that."""
    if seen.single is None:
        return {}
    try:
        single = _evaluated(seen, module, seen.inputs, first=True).output.value
    except StudentError:
        return {"single": "It runs for a single image."}
    alone = seen.single.output.value
    if alone.shape != single.shape or not close(alone, single, tolerance_of(alone)):
        return {"single": DIFFERS_ALONE}
    return {}


def _beside(seen: Observation, module: nn.Module, sharing: bool) -> dict[str, str]:
    """What differs on other images."""
    for other in (each for each in seen.beside if each.asked):
        try:
            expected = _evaluated(seen, module, other.inputs, sharing=sharing)
        except StudentError:  # a known mistake that cannot do this one
            if other.loud:
                continue
            # Where the student's block raised as well, it was not asked to run on those after it.
            return {} if other.ran is None else {"beside": "It runs on other images."}
        shape = times(other.inputs[0].shape)
        if other.loud and not expected.output.value.isfinite().all():
            continue
        if other.ran is None:
            return {"beside": f"In evaluation mode it does not run for an input of {shape}."}
        if found := _outputs(other.ran, expected, "beside", f"for an input of {shape}"):
            return found
    return {}


def _with_precision(
    seen: Observation,
    module: nn.Module,
    matching: dict[str, str],
    layout: Layout,
    expected: Ran,
    found: dict[str, str],
) -> dict[str, str]:
    """With what differs for float32 input, where that is told beside what differs in evaluation."""
    if seen.float32 is None:
        return found
    if "evaluation" not in found:
        return found | _in_float32(seen, module, matching, layout, expected)
    types = {asked(seen.evaluation).output.value.dtype, seen.float32.output.value.dtype}
    if len(types) == 1 and types <= {torch.float16, torch.bfloat16}:
        # It gives too few digits whatever it is given, and that is why its values differ.
        return {"dtype": _other_type(seen.float32.output.value), **found}
    return found


def _in_float32(
    seen: Observation,
    module: nn.Module,
    matching: dict[str, str],
    layout: Layout,
    expected: Ran,
) -> dict[str, str]:
    """What differs in the output for float32 input, which is compared with that of the reference in float64."""
    value, right = asked(seen.float32).output.value, expected.output.value
    if seen.elsewhere:
        others = [second(x) for x in seen.inputs]
        if seen.as_new:
            transplant({**seen.state, **seen.as_new}, module, matching, layout)
        right = run_module(module, others, training=False).output.value
        if seen.as_new:
            transplant(seen.state, module, matching, layout)
    if value.shape != right.shape:
        sizes = f"{times(value.shape)} instead of {times(right.shape)}"
        return {"dtype": f"For float32 input the output is {sizes}."}
    if value.dtype != torch.float32:
        return {"dtype": _other_type(value)}
    if not close(value, right, 1e-2):
        if seen.as_new:
            gap = gap_text(value, right)
            return {"dtype": f"In float32, with the scales and statistics of a new block, it is off: {gap}."}
        return {"dtype": f"In float32 the output is off: {gap_text(value, right)}."}
    return {}


def _other_type(value: Tensor) -> str:
    return f"For float32 input the output is {str(value.dtype)[6:]}; it must be float32."


def _runs_alone(module: nn.Module, seen: Observation) -> bool:
    try:
        run_module(module, [x[:1] for x in seen.inputs], training=False)
    except StudentError:
        return False
    return True


def _in_single(module: nn.Module, seen: Observation, **options: Any) -> Ran | None:
    """What a candidate does in float32; None where it does not run in that."""
    try:
        return run_module(deepcopy(module).float(), [x.float() for x in seen.inputs], **options)
    except StudentError:
        return None


def _rounding(module: nn.Module, seen: Observation, expected: Ran) -> float | None:
    """How far float32 may carry the output of a block that only runs in it: many times what it does to the candidate,
    since the same may be computed in another order, and no more than what is granted to any float32."""
    rounded = _in_single(module, seen, training=False)
    if rounded is None:
        return None
    gap, magnitude = distance(rounded.output.value, expected.output.value)
    if not isfinite(gap):
        return None
    return min(
        max(ROUNDINGS * gap / max(magnitude, 1e-12), LEAST_ROUNDING), tolerance_of(rounded.output.value)
    )


def _outputs(
    run: Ran, expected: Ran, facet: str, where: str, tolerance: float | None = None
) -> dict[str, str]:
    value, right = run.output.value, expected.output.value
    if run.output.kind != "tensor":
        return {facet: f"forward returns {_a(run.output.kind)} {where}."}
    if value.shape != right.shape:
        return {facet: f"The output {where} is {times(value.shape)} instead of {times(right.shape)}."}
    if not close(value, right, tolerance_of(value) if tolerance is None else tolerance):
        return {facet: f"The output {where} differs: {gap_text(value, right)}."}
    return {}


def _inputs_kept(run: Ran, expected: Ran) -> dict[str, str]:
    for after, right in zip(run.inputs_after, expected.inputs_after, strict=True):
        if not close(after, right, tolerance_of(after, 1e-6)):
            return {"in place": "The block overwrites its own input (an in-place operation on x)."}
    return {}


def _fitted(value: Tensor | None, like: Tensor, layout: Layout = USUAL) -> Tensor:
    """The student's value in the form of ours. NaN, which equals nothing, where forward replaced or dropped it."""
    try:
        if value is not None:
            return adapt(value, tuple(like.shape), layout)
    except ValueError:
        pass
    return torch.full_like(like, float("nan"))


def _second_step(seen: Observation, module: nn.Module, matching: dict[str, str]) -> dict[str, str]:
    """What the first steps of training left behind beside the running statistics."""
    if seen.again is None:
        return {}
    expected = run_module(module, [second(x) for x in seen.inputs], training=True)
    found = _outputs(seen.again, expected, "training", "in a second training step")
    found = found or _statistics(seen.again, expected, matching)
    if found or seen.third is None:
        return found
    expected = run_module(module, seen.inputs, training=True)
    found = _outputs(seen.third, expected, "training", "in a third training step")
    return found or _statistics(seen.third, expected, matching)


def _statistics(
    run: Ran, expected: Ran, matching: dict[str, str], how: Callable[[], str] = lambda: ""
) -> dict[str, str]:
    after = asked(run.buffers)
    for ours, right in asked(expected.buffers).items():
        if ours not in matching or not right.is_floating_point():
            continue
        value = _fitted(after.get(matching[ours]), right)
        if not close(value, right, tolerance_of(value, 1e-6)):
            return {"statistics": f"{OTHER_STATISTICS}{how()}"}
    return {}


def _taken_up(seen: Observation, module: nn.Module, expected: Ran, matching: dict[str, str]) -> str:
    """What share of a batch's statistics the student's take up, and how the variance is divided, read from how they
    change: new = (1 - share) old + share batch. Empty where they follow another rule, or not all the same."""
    rules = set()
    for path, layer in module.named_modules():
        if isinstance(layer, nn.modules.batchnorm._NormBase) and layer.momentum and layer.track_running_stats:
            names = [f"{path}.{name}".lstrip(".") for name in STATISTICS]
            rules.add((layer.momentum, *_rule_of(seen, layer.momentum, names, expected, matching)))
    if len(rules) != 1:
        return ""
    ((momentum, share, biased),) = rules
    said = ""
    if share is not None and share != momentum:
        said = f" Each step takes up {share:g} of the statistics of the batch; asked for: {momentum:g}."
    if biased:
        said += " The variance that is taken up is divided by n; asked for: by n - 1."
    return said


def _rule_of(
    seen: Observation, momentum: float, names: Sequence[str], expected: Ran, matching: dict[str, str]
) -> tuple[float | None, bool]:
    """The share that the mean and the variance of a norm take up, None where it is not one for both; and whether the
    variance is that over n, not over n - 1."""
    unknown = None, False
    if seen.training is None or any(name not in matching for name in names):
        return unknown
    right = [asked(expected.buffers)[name] for name in names]
    old, new = (
        [
            _fitted(values.get(matching[name]), like).to(torch.float64)
            for name, like in zip(names, right, strict=True)
        ]
        for values in (seen.state, asked(seen.training.buffers))
    )
    mean, variance = (
        (after - (1 - momentum) * before) / momentum for after, before in zip(right, old, strict=True)
    )
    away = mean - old[0]
    share = float(((new[0] - old[0]) * away).sum() / (away * away).sum())
    if not share or not close(new[0], (1 - share) * old[0] + share * mean, 1e-6):
        return unknown
    taken = (new[1] - (1 - share) * old[1]) / share / variance
    if close(taken, torch.ones_like(taken), 1e-6):
        return round(share, 6), False
    count = round(1 / (1 - float(taken.mean()))) if float(taken.mean()) < 1 else 0
    biased = count > 1 and close(taken, torch.full_like(taken, 1 - 1 / count), 1e-6)
    return (round(share, 6), True) if biased else unknown


def _gradients(run: Ran | None, expected: Ran, matching: dict[str, str], layout: Layout) -> dict[str, str]:
    # What was not compared is not right: neither where the cotangent, which has the form of the float32 output, does
    # not fit what the reference gives, nor where the student's block gave no gradients.
    if expected.input_gradients is None or run is None or run.input_gradients is None:
        if run is not None and run.output.kind == "tensor" == expected.output.kind:
            if run.output.value.shape != expected.output.value.shape:
                return {"gradients": "Not compared, since the output has another shape."}
        return {"gradients": "No gradients could be computed."}
    base = tolerance_of(
        run.output.value, 1e-6
    )  # in whatever type the gradients of a float32 output come back
    inputs, parameters = expected.input_gradients, asked(expected.parameter_gradients)
    theirs = asked(run.parameter_gradients)

    @cache
    def scale() -> float:
        wanted = [g for g in (*inputs, *parameters.values()) if g is not None]
        return max((float(g.abs().max()) for g in wanted if g.numel()), default=0.0) * 1e-3

    def agree(value: Tensor | None, right: Tensor | None) -> bool:
        if value is not None and right is not None and value.shape == right.shape and identical(value, right):
            return True  # whatever the scale is
        return close(value, right, tolerance_of(value, base), scale())

    for value, right in zip(run.input_gradients, inputs, strict=True):
        if not agree(value, right):
            if value is None:
                return {"gradients": "No gradient reaches the input."}
            if right is None:
                return {"gradients": "A gradient reaches an input that the output must not depend on."}
            return {"gradients": f"The gradient of the input differs: {gap_text(value, right)}."}
    for ours, right in parameters.items():
        value = theirs.get(matching.get(ours, ""))
        if value is not None and right is not None:
            value = _fitted(value, right, layout)
        if not agree(value, right):
            if right is None:
                return {"gradients": "A gradient reaches a parameter that the output must not depend on."}
            return {
                "gradients": f"The gradient of the parameter of shape {times(right.shape)} differs from the "
                "reference's."
            }
    return {}


OTHER_STATISTICS = "After a training step the running statistics of a batch norm differ."
BY_HAND = (
    "gives other values: look at its formula (the mean, the variance, eps under the root, scale and shift), and at "
    "what stands before it."
)
STATISTICS = ("running_mean", "running_var")
CRITERIA = {
    "structure": "Output shape and parameters",
    "evaluation": "Values in evaluation mode",
    "training": "Values in training mode, and the running statistics after it",
    "gradients": "Gradients; the input is left as it was",
}
FACETS = {
    "failure": "structure",
    "structure": "structure",
    "parameters": "structure",
    "shape": "structure",
    "evaluation": "evaluation",
    "single": "evaluation",
    "dtype": "evaluation",
    "beside": "evaluation",
    "training": "training",
    "statistics": "training",
    "gradients": "gradients",
    "in place": "gradients",
    "arguments": "structure",
    "shared": "training",
    "fresh": "evaluation",
    "random": "training",
    "remembers": "evaluation",
    "stuck": "gradients",
}
UNMATCHED = (
    "The check could not tell which of your parameters stands for which of the reference's: they hold the same "
    "number of values in other shapes. {} Nothing else was seen to be wrong. When this is graded, a human decides. "
    "If each weight of the reference has a parameter of its own, in any usual layout, the check decides at once."
)
IN_ANY_LAYOUT = (
    "The output differs from the reference's even where all numbers in all parameters are equal, so that it does not "
    "matter which parameter stands for which."
)
UNSOUND = (
    "With values for your parameters and buffers the right block gives something that is not a number, so nothing "
    "can be compared. A human decides."
)
UNSEEN = (
    "The check could not see what forward does with {}: gradients reach it, but no operation that the check sees "
    "reads it. It is used where the check cannot look, as in a thread that was started before. When this is graded, "
    "a human decides. If forward computes in the thread that calls it, or in one that it starts, the check decides "
    "at once."
)
STUCK = message(
    "Just built, it cannot learn: the filters of {weights} all begin alike and all get the same gradient, so "
    "training never tells them apart. Draw the values at random, as nn.Conv2d and nn.Linear do."
)
SHARED = "Two blocks have a parameter in common: what trains one changes the other."
JUST_BUILT = "Just built, before any training, it does something else."
GROWING = "Built from the same arguments, the second has other parameters than the first."
NO_TENSOR = message("forward returns {returned}; it must return one tensor.")
NONE_FOR_FLOAT32 = message("forward returns {returned} for float32 input; it must return one tensor.")
NONE_FOR_ONE = message("forward returns {returned} for a batch of one; it must return one tensor.")
VALUES = {"evaluation", "training", "gradients", "statistics", "single", "beside", "float32"}
BESIDE_THE_VALUES = {"fresh", "arguments", "stuck"}  # of a block that may be right in all else
HOPELESS = {"failure", "structure", "parameters", "shape"}  # nothing else can be compared then
REMEMBERS = (
    "For another input it gives exactly what it gave for the first; forward must compute its output anew from each "
    "input."
)

LATER_OTHERWISE = message(
    "Called again after all other calls, with the same weights and the same input, it gives something else: what it "
    "gives depends on how often it was called."
)
KEEPS = (
    "With the same weights and the same input, what it gives depends on the input that it was given before. So "
    "forward keeps something that it computed; it must compute all of it anew from each input."
)


def check_module(part: Part, reference: Reference, subject: Subject, seed: int, report: Report) -> None:
    """Fills in the report: what the student's block does in every case, beside what the reference does."""
    with ExitStack() as at_the_end:
        _check_module(part, reference, subject, seed, report, at_the_end)


def _check_module(
    part: Part, reference: Reference, subject: Subject, seed: int, report: Report, at_the_end: ExitStack
) -> None:
    factory = reference.factory
    drawn = reference.drawn(seed)
    trained = next((index for index, each in enumerate(drawn) if each.case.training), None)
    # Where the reference has the most layers is built twice: there is the most that two blocks may share.
    fullest = max(range(len(drawn)), key=lambda index: tensors_in_state(factory, drawn[index].case))
    built, shared, growing = _built_twice(subject, drawn[fullest].case, seed + fullest, fullest)
    if growing:
        report.state, case = "wrong", drawn[fullest].case.describe(reference.name)
        report.summary = report.place = f"{case}: {SHARED} {GROWING}"
        _tell(report, case, f"{SHARED} {GROWING}")
        return
    known = {} if shared else {fullest: built}  # a copy, where it is to be found as it is in the next check

    def observe(all_thorough: bool = False) -> list[Observation]:
        larger: list[int] = []
        observations = ask_together(
            subject,
            [
                asking(
                    each.case,
                    seed + index,
                    index,
                    room_of(reference.factory, each.case),
                    bool(reference.fresh),
                    held_by(reference.factory, each.case),
                    index == trained,
                    each.beside,
                    each.thorough or all_thorough,
                    larger,
                    shared,
                    index == fullest,
                )
                for index, each in enumerate(drawn)
            ],
            known,
        )
        known.clear()
        observations[fullest].shared = shared
        return observations

    observations = observe()
    for seen in observations:
        if seen.failed is not None and unwritten(seen.failed):
            report.state, report.summary = "missing", failure_text(seen.failed)
            return
        if seen.failed is not None and seen.failed.doing == MADE_LATE:
            report.state, report.summary = "wrong", failure_text(seen.failed)
            return
    compared: list[dict[str, str]] = [{} for _ in observations]
    listed = _right_as_listed(observations, factory)
    if not all(listed):
        _reference_runs(reference, observations)
        trace(subject, observations)
        form = _form(reference, observations[0])
        factory = in_form(reference.factory, form)
        _may_be_recorded(subject, observations, factory, at_the_end)
        observations, compared = compared_as_read(subject, observations, factory, listed)
        asked_all = all(seen.thorough for seen in observations)
        if not asked_all and any(map(_alone_or_in_float32, observations, compared)):
            # So it may be in the cases, too, in which neither was asked for.
            observations = observe(all_thorough=True)
            trace(subject, observations)
            _may_be_recorded(subject, observations, factory, at_the_end)
            observations, compared = compared_as_read(subject, observations, factory)
    unseen = _unseen(subject, observations, compared)
    if unseen and not any(
        _differs_with_equal_numbers(subject, seen, factory)
        for seen, found in zip(observations, compared, strict=True)
        if found and _as_many_numbers(seen, factory)
    ):
        report.leave_to_a_human(UNSEEN.format(named(unseen)))
        return
    if any(seen.unsound for seen in observations):
        report.leave_to_a_human(UNSOUND)
        return
    differences = [
        _asides(reference, seen) | found for seen, found in zip(observations, compared, strict=True)
    ]
    _say_less_of_the_start(reference, compared, differences)
    remembers, sentence = _depends_on_calls(subject, observations, differences, seed, shared)
    if remembers is not None:
        # Right for one input of each shape, and so in most cases: what it was not asked there is wrong as well.
        differences = [{"remembers": sentence, **each} for each in differences]
    stuck = _said_of_stuck(reference, observations[fullest])
    if stuck:  # and so it does with other arguments
        differences = [{"stuck": stuck, **each} for each in differences]
    _criteria(part, reference, observations, differences, report)
    if not any(differences):
        report.pass_all()
        return
    _nothing_for_shapes_alone(report)
    only_stuck = all(each.keys() == {"stuck"} for each in differences)
    causes = [
        (remembers, sentence),
        (next((seen for seen in observations if seen.shared), None), SHARED),
        (observations[0] if only_stuck else None, stuck),
    ]
    if _one_cause(reference, causes, report):
        return
    failed = next((seen.failed for seen in observations if seen.failed), None)
    try:
        explained = _explain(part, subject, factory, observations, compared, differences, report)
    except (
        messages.Malformed,
        messages.SubjectLost,
        TableError,
    ):  # mistakes that cannot be made may be worth points
        raise
    except Exception:  # a fault of ours; the points are settled without an explanation
        logging.getLogger(__name__).exception("no explanation of %s could be found", part.id)
        k = next(k for k, difference in enumerate(differences) if difference)
        symptom = next(iter(differences[k].values()))
        report.place = f"{observations[k].case.describe(reference.name)}: {symptom}"
        report.summary = failure_told(failed) if failed else report.place
        report.differences, explained = [], True
        if failed and not report.points_now():
            report.state = "raised"
    report.settle()
    if part.given and set(report.mistakes) == part.given:
        report.give_nothing_for_what_was_given(_rewritten(part, observations))
    wrong = [(seen, found) for seen, found in zip(observations, differences, strict=True) if found]
    if not explained and all(_only_unmatched(seen, found, factory) for seen, found in wrong):
        report.leave_to_a_human(
            UNMATCHED.format(f"{wrong[0][0].case.describe(reference.name)}: {wrong[0][1]['parameters']}")
        )


def _said_of_stuck(reference: Reference, seen: Observation) -> str:
    """A sentence on the weights that training cannot part; empty where there are none, or the right block is so."""
    if not seen.stuck or not _begins_otherwise(reference, seen.case):
        return ""
    some = [f"`{named(each)}`" for each in seen.stuck[:3]]  # words of code, in every language
    return STUCK.format(weights=joined(some) if len(seen.stuck) <= 3 else f"{', '.join(some)}, ...")


def _begins_otherwise(reference: Reference, case: Case) -> bool:
    """Whether the right block begins with weights whose filters are not all alike."""
    module = build(reference.factory, case)
    weights = [each for each in module.parameters() if each.requires_grad and each.dim() > 1]
    return any(not each.allclose(each[:1].expand_as(each)) for each in weights)


def _rewritten(part: Part, observations: Iterable[Observation]) -> bool:
    """Whether a recording shows other layers than those of the block to repair as it was given. Another spelling of
    the same layers is none of the student's own work."""
    given = part.as_given
    if given is None:
        return False
    for seen in observations:
        for training, graph in seen.recorded.items():
            if isinstance(graph, Graph):
                try:
                    right = layers_asked(right_recording(given, seen.case, training))
                    return not nothing_differs(right, layers_written(graph))
                except Exception:  # it has no layers, or the block that was given cannot be recorded
                    return False
    return False


def _explain(
    part: Part,
    subject: Subject,
    factory: Callable[..., nn.Module],
    observations: list[Observation],
    compared: list[dict[str, str]],
    differences: list[dict[str, str]],
    report: Report,
) -> bool:
    """Names the mistakes and shows what differs; whether anything was found."""
    reference = part.reference
    assert isinstance(reference, Reference)
    cut = [
        seen
        for seen, found in zip(observations, compared, strict=True)
        if seen.regrouped and found.keys() & VALUES and _as_many_numbers(seen, factory)
    ]
    for seen in cut[:1]:  # seen to be wrong in the layout that its weights were found in
        seen.idle = seen.idle or _idle_numbers(subject, seen, factory)
    # Of a layer whose numbers are in part another one's, the smallest edit says something else.
    idle = any(seen.idle for seen in observations)
    shown = [] if idle else confirmed_differences(subject, factory, observations, differences, report)
    failed = next((seen.failed for seen in observations if seen.failed), None)
    explanation = Explanation([])
    if any(compared):  # else nobody but the reference does the same with given weights
        certain = [] if failed else [each for one in shown for each in one.new]
        explanation = _recognise(part, observations, compared, (None, *reference.forms), certain)
    report.name_mistakes(explanation.named, explanation.are_alternatives)
    if failed and not report.points_now():
        report.state = "raised"
    if failed:
        report.summary = failure_told(failed)
    elif not shown:
        k = next(k for k, difference in enumerate(differences) if difference)
        report.place = _first_difference(subject, factory, observations[k], differences[k], reference.name)
        if idle:
            report.place = next(
                f"{seen.case.describe(reference.name)}: {seen.idle}" for seen in observations if seen.idle
            )
        report.summary = "" if explanation.named else report.place
    other = None if explanation.named else defaults_of(factory, observations, differences)
    if other:  # which says all, and in which cases
        shown = [replace(each, when=()) for each in shown[:1]]
    show_differences(shown, reference.name, report)
    if other:
        k = next(k for k, difference in enumerate(differences) if difference)
        _show_defaults(other, observations[k].case.describe(reference.name), report)
    elif not explanation.named and not shown:
        _tell_what_is_known(factory, observations, differences, reference.name, report)
        _tell_by_arguments(subject, factory, observations, differences, report)
    return bool(explanation.named or shown)


# What says by itself what is otherwise, in a sentence on behaviour.
TOLD_BY_THEMSELVES = ("arguments", "fresh", "random", "in place", "single", "dtype")


def _tell_what_is_known(
    factory: Callable[..., nn.Module],
    observations: list[Observation],
    differences: list[dict[str, str]],
    name: str,
    report: Report,
) -> None:
    """Puts into the report what is certain where no layer can be told: what is done beside the values, what is never
    used, and how the output is related to the right one."""
    wrong = [(seen, found) for seen, found in zip(observations, differences, strict=True) if found]
    for facet in TOLD_BY_THEMSELVES:
        case = next(((seen, found[facet]) for seen, found in wrong if facet in found), None)
        if case is not None:
            _tell(report, case[0].case.describe(name), case[1])
    for seen, found in wrong if not any("evaluation" in found for _, found in wrong) else ():
        if rule := found.get("statistics", "").removeprefix(OTHER_STATISTICS).strip():
            _tell(report, seen.case.describe(name), rule)
            break
    for seen, _ in wrong:
        if seen.idle:
            _tell(report, seen.case.describe(name), seen.idle)
            break
    for seen, _ in wrong:
        if unused := _never_used(seen):
            _tell(report, seen.case.describe(name), f"What forward never uses: {unused}.")
            break
    related = _related(factory, [seen for seen, found in wrong if "evaluation" in found])
    if related is not None:
        seen, sentence = related
        _tell(report, seen.case.describe(name), sentence)


def _tell(report: Report, case: str, sentence: str) -> None:
    report.differences.append({"asked": "", "yours": "", "where": "", "sentence": sentence, "case": case})


def _related(
    factory: Callable[..., nn.Module], wrong: Sequence[Observation]
) -> tuple[Observation, str] | None:
    """The first case, and how the output is related to the right one there, where it is so in all of them that are
    looked at."""
    found: list[tuple[str, str]] = []
    for seen in [each for each in wrong if _tells(each)][:MOST_RELATED]:
        known = _relation_in(factory, seen)
        if known is None or (found and known[0] != found[0][0]):
            return None
        found.append(known)
    return (next(each for each in wrong if _tells(each)), found[0][1]) if found else None


def _tells(seen: Observation) -> bool:
    """Whether the output has enough numbers to tell how it is related to the right one."""
    return seen.evaluation is not None and (
        seen.evaluation.output.kind != "tensor" or seen.evaluation.output.value.numel() >= FEWEST_RELATED
    )


def _relation_in(factory: Callable[..., nn.Module], seen: Observation) -> tuple[str, str] | None:
    ran = seen.evaluation
    if ran is None or ran.output.kind != "tensor" or seen.large and seen.nearest == inf:
        return None
    module = candidate(factory, seen.case)
    for layout in seen.layouts[:2]:
        for matching in islice(seen.matchings(plan_asked(factory, seen.case).slots), FEW_MATCHINGS):
            try:
                _load(seen, module, matching, layout)
                right = _evaluated(seen, module, seen.inputs).output.value
            except (StudentError, ValueError):
                continue
            if (known := relation(ran.output.value, right)) is not None:
                return known
    return None


def _one_cause(
    reference: Reference, causes: Iterable[tuple[Observation | None, str]], report: Report
) -> bool:
    """Whether the report says one thing alone: whatever else differs may come of it."""
    for seen, sentence in causes:
        if seen is not None:
            case = seen.case.describe(reference.name)
            report.summary = report.place = f"{case}: {sentence}"
            _tell(report, case, sentence)
            report.settle()
            return True
    return False


def _nothing_for_shapes_alone(report: Report) -> None:
    """Right shapes alone are not worth points, unless a known mistake explains all the rest."""
    shape, *behaviour = sorted(
        report.criteria, key=lambda criterion: criterion.title != CRITERIA["structure"]
    )
    if shape.title == CRITERIA["structure"] and not any(c.points for c in behaviour):
        shape.points_if_recognised = shape.points
        shape.points = 0.0
        if shape.passed:
            shape.message = "Right, but right shapes alone earn no points."


def _unseen(subject: Subject, observations: list[Observation], compared: list[dict[str, str]]) -> str | None:
    """A parameter that does something where no operation was seen to read it, in the first case that differs.

    What the block does then says nothing: weights are matched by where they are seen to be used. Gradients are asked
    for in the same run, since a block may use in training what it does not use in evaluation.
    """
    first = next(((seen, found) for seen, found in zip(observations, compared, strict=True) if found), None)
    if first is None or first[0].cotangent is None or first[1].keys() & HOPELESS:
        return None
    seen = first[0]
    if all(slot.used for slot in seen.slots if slot.kind == "parameter"):
        return None
    given = _given_to(seen)
    run = messages.Run(tuple(given), training=False, cotangent=seen.cotangent, trace=True, handle=seen.handle)
    ran = in_turn(subject, {"load": messages.Load(handle=seen.handle), "run": run}).get("run")
    if not isinstance(ran, Ran) or not ran.parameter_gradients:
        return None
    used = {use.name for use in ran.uses or ()}
    moved = (name for name, value in ran.parameter_gradients.items() if value is not None and value.any())
    return next((name for name in moved if name not in used), None)


def _show_defaults(other: OtherDefaults, case: str, report: Report) -> None:
    """Puts into the report what a block takes for arguments that are left out."""
    report.case = report.case or case
    difference = {
        "asked": written(other.asked),
        "yours": written(other.yours),
        "where": "in the list of arguments",
        "sentence": other.sentence,
        "case": report.case,
    }
    report.summary = f"{other.sentence} {report.summary}" if report.differences else other.sentence
    report.differences.insert(0, difference)


def _tell_by_arguments(
    subject: Subject,
    factory: Callable[..., nn.Module],
    observations: list[Observation],
    differences: list[dict[str, str]],
    report: Report,
) -> None:
    """Puts into the report in which cases the block is wrong, where nothing else can be said."""
    made = [made_with(factory, seen.case) for seen in observations]
    if None not in made:
        alike = Alike(subject, factory, observations)

        # What is said is what was raised, where something was: in other cases other things may be wrong.
        raised = [seen.failed is not None for seen in observations]

        def ask(number: int, other: Made) -> bool | None:
            seen = alike.seen(number, other)
            if any(raised):
                return False if seen is not None else alike.raised(number, other)
            return None if seen is None else bool(compare(seen, factory, quick=True))

        holds = raised if any(raised) else list(map(bool, differences))
        told = so_it_is([one for one in made if one is not None], holds, ask)
        report.summary = f"{told} {report.summary}".strip()
        report.place = report.place and f"{told} {report.place}".strip()


def _alone_or_in_float32(seen: Observation, difference: dict[str, str]) -> bool:
    """Whether something was seen that is asked in thorough cases only."""
    runs = [run for run in (seen.single, seen.float32) if run is not None]
    return seen.thorough and (
        bool(difference.keys() & {"single", "dtype"}) or any(run.output.kind != "tensor" for run in runs)
    )


def _only_unmatched(seen: Observation, difference: dict[str, str], factory: Callable[..., nn.Module]) -> bool:
    """Whether nothing is known to be wrong but that the parameters have other shapes, with as many numbers."""
    sizes = [_numbers(pool) for pool in (seen.slots, plan_asked(factory, seen.case).slots)]
    unknown = difference.keys() == {"parameters"} and not seen.certain
    return unknown and sizes[0] == sizes[1] and _computes_something(seen)


def _computes_something(seen: Observation) -> bool:
    """Whether what needs no match is as in a block that might be right: each image has its own result, alone or in a
    batch; gradients reach the input; and the numbers of a parameter do not all do the same."""
    run, alone = seen.evaluation, seen.single
    if run is None or run.output.kind != "tensor" or seen.backward is None:
        return False
    value = run.output.value
    if not value.numel() or (len(value) > 1 and torch.equal(value[0], value[1])):
        return False
    if alone is not None and not close(alone.output.value, value[:1], max(1e-3, tolerance_of(value))):
        return False
    gradients = seen.backward.input_gradients, seen.backward.parameter_gradients
    if gradients[0] is None or gradients[1] is None:
        return False
    if any(each is None or not each.any() for each in gradients[0]):
        return False
    several = [each for each in gradients[1].values() if each is None or each.numel() > 1]
    # All zero is what a filter gets behind a ReLU that is off everywhere.
    return all(
        each is not None and (float(each.max() - each.min()) > 0 or not each.any()) for each in several
    )


def _say_less_of_the_start(
    reference: Reference, compared: list[dict[str, str]], differences: list[dict[str, str]]
) -> None:
    """What a block began with may be right, and what it does with that wrong: then no value is spoken of."""
    if not all(_right_with_given_values(reference, found) for found in compared):
        for each in differences:
            if each.pop("fresh", ""):
                each["fresh"] = JUST_BUILT


def _right_with_given_values(reference: Reference, compared: Mapping[str, str]) -> bool:
    """Whether a block does what it should in evaluation, once its parameters have other values than at the start."""
    return not HOPELESS & compared.keys() and all(
        _counts_for(each, reference) != "evaluation" for each in compared
    )


def _asides(reference: Reference, seen: Observation) -> dict[str, str]:
    """What no run with given weights shows: arguments that were changed, values at the start, chance."""
    found: dict[str, str] = {}
    right = [encode(value) for value in (*seen.case.args, *seen.case.kwargs.values())]
    if seen.arguments is not None and len(seen.arguments) != len(right):
        raise messages.Malformed("other arguments came back than a block was built from")
    if seen.arguments is not None and any(
        difference_of(after, before, 0.0) for after, before in zip(seen.arguments, right, strict=True)
    ):
        found["arguments"] = "It changes an argument; whoever calls it may need that again."
    if seen.shared:
        found["shared"] = SHARED
    if seen.fresh is not None and seen.fresh.output.kind == "tensor":
        new = build(reference.factory, seen.case)
        expected = run_module(new, with_other_signs(seen.inputs), training=False).output.value
        value = seen.fresh.output.value
        if value.shape == expected.shape and not close(value, expected, LEAST_ROUNDING):
            found["fresh"] = f"Just built, before any training, it does something else: {reference.fresh}"
    if seen.training is not None and any(
        difference_of(each.output, seen.training.output, 1e-6) for each in seen.repeated
    ):
        found["random"] = (
            "Two runs in training mode, with the same input and the same weights, differ: the block is random "
            "there, and no random block can be right in training mode."
        )
    return found


def _depends_on_calls(
    subject: Subject,
    observations: Sequence[Observation],
    differences: Sequence[Mapping[str, str]],
    seed: int,
    shared: bool,
) -> tuple[Observation | None, str]:
    """The first case that shows that what the block gives depends on other calls, and in which way; None where none
    does."""
    seen = _remembers(observations, differences)
    if seen is not None:
        return seen, REMEMBERS
    if not shared and (seen := _keeps(subject, observations, differences)) is not None:
        return seen, KEEPS
    right = [
        seen
        for seen, found in zip(observations, differences, strict=True)
        if not found and seen.evaluation is not None
    ]
    return (_other_later(subject, right, seed) if right else None), LATER_OTHERWISE


def _remembers(
    observations: Sequence[Observation], differences: Sequence[Mapping[str, str]]
) -> Observation | None:
    """The first case in which the block gave exactly the same for two inputs in one mode, of a block that is right in
    other cases: what gives the same for all inputs has other reasons."""
    if all("evaluation" in each or HOPELESS & each.keys() for each in differences) or not any(differences):
        return None
    for seen in observations:
        pairs = [(seen.training, seen.again)]
        pairs += [(run, other.ran) for other in seen.beside for run in (seen.evaluation, seen.single)]
        if seen.elsewhere:
            pairs.append((seen.float32, seen.evaluation))
        for one, other in pairs:
            if one is None or other is None or {one.output.kind, other.output.kind} != {"tensor"}:
                continue
            value, again = one.output.value, other.output.value
            if value.any() and value.shape == again.shape and identical(value, again):
                return seen
    return None


def _keeps(
    subject: Subject, observations: Sequence[Observation], differences: Sequence[Mapping[str, str]]
) -> Observation | None:
    """The smallest case that differs, where a block gives other values for an input after another one of the same
    shape, in the same mode, than a block that was just built and has the same weights: what it computes in between,
    such as a shortcut, it keeps. Of a block that is right in some cases, or in parts of them."""
    wrong = [
        seen
        for seen, found in zip(observations, differences, strict=True)
        if found.keys() & VALUES
        and not found.keys() & HOPELESS
        and seen.failed is None
        and not seen.oversized
    ]
    if not wrong or all("evaluation" in each or HOPELESS & each.keys() for each in differences):
        return None
    seen = min(wrong, key=lambda seen: (seen.large, seen.size))
    one, other = len(observations), len(observations) + 1
    new = _runs_of_a_new_one(subject, seen, one, after_another=False)
    used = _runs_of_a_new_one(subject, seen, other, after_another=True)
    for mode, run in new.items():
        after = used.get(mode)
        if run is None or after is None or {run.output.kind, after.output.kind} != {"tensor"}:
            continue
        if run.output.value.shape == after.output.value.shape and not close(
            after.output.value, run.output.value, 1e-6
        ):
            return seen
    return None


def _other_later(subject: Subject, observations: Sequence[Observation], seed: int) -> Observation | None:
    """The smallest of some cases, where a block that was right in them gives other values once all has been asked,
    after a few calls more: it counts them."""
    seen = min(observations, key=lambda seen: (seen.large, seen.size))
    given = _given_to(seen)
    run = messages.Run(tuple(given), training=False, handle=seen.handle)
    # The weights that it had in that run, in whatever layout they are seen now.
    requests: dict[str, OneRequest] = {"load": messages.Load(handle=seen.handle)}
    requests |= {f"run {k}": run for k in range(1 if seen.large else Dice(seed).integer(1, LATER))}
    last = list(in_turn(subject, requests).values())[-1]
    before = asked(seen.evaluation).output
    return seen if not isinstance(last, Ran) or difference_of(last.output, before, 1e-6) else None


def _runs_of_a_new_one(
    subject: Subject, seen: Observation, handle: int, after_another: bool
) -> dict[str, Ran | None]:
    """What a block gives for an input, by mode, which was built like that of a case and has its weights. Where it
    draws random numbers, as two equal runs show, there is none."""
    given = deepcopy((list(seen.case.args), seen.case.kwargs))
    images = _given_to(seen)

    def run(second_one: bool, training: bool) -> messages.Run:
        inputs = [second(x) if second_one else x.clone() for x in images]
        return messages.Run(tuple(inputs), training=training, handle=handle)

    again = messages.Load(handle=handle)
    requests: dict[str, OneRequest] = {
        "build": messages.Build(*given, handle=handle),
        "cast": messages.Cast(seen.dtype, handle),
        "load": messages.Load(seen.state, handle),
    }
    for mode in ("evaluation", "training") if seen.training is not None else ("evaluation",):
        training = mode == "training"
        # As many runs in either: what it counts is no input.
        requests |= {f"first {mode}": run(not after_another, training), f"load {mode}": again}
        requests |= {mode: run(True, training), f"again {mode}": again}
        requests |= {f"{mode} twice": run(True, training), f"once more {mode}": again}
    answers = in_turn(subject, requests)
    found: dict[str, Ran | None] = {}
    for mode in ("evaluation", "training"):
        ran, twice = answers.get(mode), answers.get(f"{mode} twice")
        alike = isinstance(ran, Ran) and isinstance(twice, Ran) and ran.output.kind == "tensor"
        same = alike and not difference_of(twice.output, ran.output, 1e-6)  # type: ignore[union-attr]
        found[mode] = ran if same else None  # type: ignore[assignment]
    return found


def _all_zero(seen: Observation) -> bool:
    """Whether the block gives nothing but zeros in a case, in evaluation or in training."""
    given = [
        run.output.value for run in (seen.evaluation, seen.training) if run and run.output.kind == "tensor"
    ]
    return any(not value.any() for value in given)


def _criteria(
    part: Part,
    reference: Reference,
    observations: list[Observation],
    differences: list[dict[str, str]],
    report: Report,
) -> None:
    """Divides the points among the criteria."""
    names = [seen.case.describe(reference.name) for seen in observations]
    report.compared = names
    weight = sum(reference.weights.values())
    doubtful = any(found.keys() - BESIDE_THE_VALUES for found in differences)
    for criterion, title in CRITERIA.items():
        if not reference.weights[criterion]:
            continue
        verdicts = []
        for seen, difference in zip(observations, differences, strict=True):
            facets = [f for f in difference if _counts_for(f, reference) == criterion]
            # Where all is zero, as behind a ReLU now and then, a wrong block is right by luck.
            blocked = criterion != "structure" and (
                (HOPELESS | {"remembers"}) & difference.keys() or (doubtful and _all_zero(seen))
            )
            verdicts.append(not facets and not blocked)
        wrong = [
            (name, difference[f])
            for name, difference in zip(names, differences, strict=True)
            for f in difference
            if _counts_for(f, reference) == criterion
        ]
        possible = part.points * reference.weights[criterion] / weight
        share = sum(verdicts) / len(verdicts)
        message = f"{wrong[0][0]}: {wrong[0][1]}" if wrong else ""
        if not wrong and share < 1:
            if any("failure" in difference for difference in differences):
                message = "Not compared, since the block raised an exception."
            elif any(difference.get("parameters", "") == IN_ANY_LAYOUT for difference in differences):
                message = "Not compared, since it is not known which parameter stands for which."
            elif any(HOPELESS & difference.keys() for difference in differences):
                message = "Not compared, since the structure differs."
            elif any("remembers" in difference for difference in differences):
                message = "Not compared, since what it gives does not follow from its input."
            else:
                message = "Where all values are zero, nothing can be told."
        report.criteria.append(Criterion(title, possible * share, possible, share == 1, message))


def _counts_for(facet: str, reference: Reference) -> str:
    """The criterion that loses points for a difference: where its own has none, the values' does."""
    own = FACETS[facet]
    return own if reference.weights[own] else "evaluation"


def _reference_runs(reference: Reference, observations: Iterable[Observation]) -> None:
    """Raises ValueError for a case in which the reference fails: whoever fails alike there would be right."""
    for seen in observations:
        if fault := plan_asked(reference.factory, seen.case).failed:
            raise ValueError(
                f"the reference itself fails in {seen.case.describe(reference.name)}: {failure_text(fault)} "
                "Correct the case or the reference."
            )


def _form(reference: Reference, seen: Observation) -> type | None:
    """The form in which the student keeps the parameters; None for the reference's own, or an unknown one."""
    theirs = Counter(slot.key for slot in seen.slots)
    for form in (None, *reference.forms):
        if plan_asked(in_form(reference.factory, form), seen.case).counts == theirs:
            return form
    return None


def _recognise(
    part: Part,
    observations: list[Observation],
    compared: list[dict[str, str]],
    forms: tuple[type | None, ...],
    certain: list[Difference],
) -> Explanation:
    """The known mistakes, alone or in pairs, that do in every case exactly what the student's block does.

    What is certain needs no pair where it is one slip, and only a short search where it is several: as much as
    `NUMBERS_RUN` allows.
    """

    # What differs from the reference tells most candidates apart: all that do there as the reference does. Of these
    # cases, and of the others, the smallest blocks tell as much as the largest, and sooner.
    def order(index: int) -> tuple[bool, int]:
        return not compared[index], observations[index].size

    most_telling_first = [observations[index] for index in sorted(range(len(observations)), key=order)]
    if all(seen.oversized for seen in observations):
        return Explanation([])
    size = next(seen.size for seen in most_telling_first if not seen.oversized)
    work = Work(NUMBERS_RUN) if certain else Work()

    first = observations[0]

    def fits(known: Callable[..., nn.Module], ways: int) -> bool:
        # Sizes tell most of them apart. Those of the first case are asked for again to find the likeliest pairs.
        if sizes_of(known, first.case) not in (None, first.sizes):
            return False
        return all(not compare(seen, known, quick=True, few=ways, work=work) for seen in most_telling_first)

    def explains(wrong: Callable[..., nn.Module], ways: int = FEW_MATCHINGS) -> bool:
        return any(fits(in_form(wrong, form), ways) for form in forms)

    # To run a large block takes so long that the likeliest way to match its weights comes first, for all candidates.
    turns = (1, FEW_MATCHINGS) if most_telling_first[0].large else (FEW_MATCHINGS,)

    few = max(FEWEST, NUMBERS_COMPARED // max(1, size))
    known_ones = part.mistakes
    if certain and few < len(known_ones):  # large blocks: what is shown tells which ones it may be
        seen, sizes = most_telling_first[0], most_telling_first[0].sizes
        score = spoken_of(part, certain)
        likely = (
            known
            for known in sorted(part.mistakes, key=lambda known: -score[known.id])
            if any(sizes_of(in_form(known.wrong, form), seen.case) in (None, sizes) for form in forms)
        )
        known_ones = list(islice(likely, few))
    alone: list[Mistake] = []
    try:
        if part.as_given is not None and explains(part.as_given):
            return Explanation([], [known for known in part.mistakes if known.id in part.given])
        for ways in turns:
            if not alone:
                all_of_them = len(known_ones) == len(part.mistakes)
                before = _found_before(part, observations, ways) if all_of_them else None
                some = [known for known in part.mistakes if known in known_ones]
                alone = _alone(some, partial(explains, ways=ways), work, before)
        if alone or len(certain) == 1:
            return Explanation(alone)
        most = min(PAIRS_WHEN_SHOWN if certain else PAIRS_ELSE, few)
        pairs = speaking_first(part, certain) if certain else likeliest_first(part, observations[0])
        for pair in islice(pairs, most):
            if explains(pair.wrong):
                return Explanation([], [pair.one, pair.other])
    except Exhausted:  # what is shown says it as well
        pass
    return Explanation([])


@dataclass(frozen=True)
class Alone:
    """The mistakes each of which explained an answer, and the work that it took to find them among all."""

    mistakes: tuple[Mistake, ...]
    work: int


# By the part's reference and mistakes and by the cases: what explained answers there, what was found last first.
_ALONE: dict[Any, list[Alone]] = {}
ALONE_KEPT = 1024


def _alone(
    known_ones: Sequence[Mistake],
    explains: Callable[[Callable[..., nn.Module]], bool],
    work: Work,
    before: list[Alone] | None,
) -> list[Mistake]:
    """The mistakes each of which explains an answer.

    Where one does that explained another answer in the same cases, no others can but those that did so beside it:
    two blocks that did the same with random weights do so with others. Most of a class make the same few mistakes,
    and dozens need not be tried for each.
    """
    answered: dict[int, bool] = {}

    def holds(known: Mistake) -> bool:
        if id(known) not in answered:
            answered[id(known)] = explains(known.wrong)
        return answered[id(known)]

    begun = work.left
    for found in before or ():
        if holds(found.mistakes[0]):
            some = [known for known in found.mistakes if holds(known)]
            work.spend(max(0, found.work - (begun - work.left)))  # as much as if all had been tried
            return some
    some = [known for known in known_ones if holds(known)]
    if some and before is not None:
        before.insert(0, Alone(tuple(some), begun - work.left))
    return some


def _found_before(part: Part, observations: Sequence[Observation], ways: int) -> list[Alone] | None:
    """What explained other answers in these cases, each a block that ran in all of them; None where this one does
    not, so that more than its values decides what explains it."""
    if not all(map(_ran_in_full, observations)):
        return None
    cases = tuple(
        (seen.case, tuple(each.case for each in seen.beside), seen.thorough, seen.dtype)
        for seen in observations
    )
    key = part.reference, tuple(known.wrong for known in part.mistakes), cases, ways
    if len(_ALONE) >= ALONE_KEPT:
        _ALONE.clear()
    return _ALONE.setdefault(key, [])


def _ran_in_full(seen: Observation) -> bool:
    runs = [seen.evaluation, *([seen.training] if seen.case.training else [])]
    return (
        seen.failed is None
        and not seen.oversized
        and not seen.regrouped
        and all(run is not None and run.output.kind == "tensor" for run in runs)
    )


@dataclass
class Explanation:
    """The mistakes each of which explains an answer alone, or else those that do together."""

    alone: list[Mistake]
    together: list[Mistake] = field(default_factory=list)

    @property
    def named(self) -> list[Mistake]:
        return self.together or self.alone[:2]

    @property
    def are_alternatives(self) -> bool:
        return not self.together and len(self.alone) > 1


def likeliest_first(part: Part, seen: Observation) -> Iterator[Pair]:
    """The pairs of mistakes, first those that would have the parameters of the student's block.

    What a mistake adds to or takes from the reference's parameters it mostly does in a pair as well; and where
    one of two raises alone, the pair will hardly run. So most of hundreds of pairs need not even be built. A block
    that raises is explained by sizes that do not fit or by arguments that are refused, or not at all.
    """
    if seen.evaluation is None and seen.failed and seen.failed.type not in EXPLICABLE:
        return
    assert isinstance(part.reference, Reference)
    right, found = sizes_of(part.reference.factory, seen.case), seen.sizes

    def unlikely(pair: Pair) -> bool:
        wrong = [pair.one.wrong, pair.other.wrong]
        one, other = (sizes_of(each, seen.case) for each in wrong)
        if right is None or one is None or other is None:
            return seen.evaluation is not None
        expected = Counter(one)
        expected.update(other)
        expected.subtract(right)
        if {sizes: count for sizes, count in expected.items() if count} != found:
            return True
        return seen.evaluation is not None and any(fails(each, seen.case) for each in wrong)

    later = []
    for pair in part.pairs:
        if unlikely(pair):
            later.append(pair)
        else:
            yield pair
    for pair in later:
        yield pair


def speaking_first(part: Part, certain: list[Difference]) -> Iterator[Pair]:
    """The pairs of mistakes, first those whose words are those of the differences; rare words say most."""
    score = spoken_of(part, certain)
    return iter(sorted(part.pairs, key=lambda pair: -score[pair.one.id] - score[pair.other.id]))


def spoken_of(part: Part, certain: list[Difference]) -> dict[str, float]:
    """How much the words of each mistake are those of the differences; rare words say most."""
    said = {known.id: _words(f"{known.id} {known.text}") for known in part.mistakes}
    shown = _words(" ".join(f"{each.asked} {each.yours} {each.sentence}" for each in certain))
    if any("moved" in each.about for each in certain):
        shown |= {"before", "order"}
    weight = {word: 1 / sum(word in words for words in said.values()) for word in set().union(*said.values())}

    def share(words: set[str]) -> float:
        return sum(map(weight.__getitem__, words & shown)) / sum(map(weight.__getitem__, words)) ** 0.5

    return {known.id: share(said[known.id]) + share(_words(known.id)) for known in part.mistakes}


def _words(text: str) -> set[str]:
    """
    >>> sorted(_words("max_pooling: 3x3 poolings"))
    ['3', 'max', 'pool', 'x']
    """
    return {word.removesuffix("s").removesuffix("ing") for word in re.findall("[a-z]+|[0-9]+", text.lower())}


def _first_difference(
    subject: Subject,
    factory: Callable[..., nn.Module],
    seen: Observation,
    difference: dict[str, str],
    name: str,
) -> str:
    """Where the student's block parts from the reference: one or two sentences."""
    where = seen.case.describe(name)
    for facet in ("structure", "parameters"):
        if facet in difference:
            return f"{where}: {difference[facet]}"
    if "shape" in difference:
        return f"{where}: {difference['shape']} {_first_stage(subject, factory, seen)}".strip()
    if "evaluation" in difference:
        stage = _first_stage(subject, factory, seen) or difference["evaluation"]
        if seen.case.training and {FACETS[facet] for facet in difference} == {"evaluation"}:
            return f"{where}: In training mode all is right, in evaluation mode it is not. {stage}"
        return f"{where}: {stage}"
    facet = next(iter(difference))
    early = "In evaluation mode all is right. " if facet in ("training", "statistics", "gradients") else ""
    return f"{where}: {early}{difference[facet]}"


@dataclass(frozen=True)
class Shown:
    """What was written beside what is asked, in one case."""

    seen: Observation
    comparison: Comparison
    new: tuple[Difference, ...]  # that no case before it shows
    when: tuple[str, ...] = ()  # for each of these in which of the cases it is so, where that can be told


def confirmed_differences(
    subject: Subject,
    factory: Callable[..., nn.Module],
    observations: list[Observation],
    differences: list[dict[str, str]],
    report: Report,
) -> list[Shown]:
    """What differs by the recordings, in the first case where something does and in each that shows more."""
    shown: list[Shown] = []
    told: Counter[tuple[str, str]] = Counter()
    kinds: list[set[tuple[str, ...]] | None] = []  # that each case shows, and None where that is not known
    for seen, difference in zip(observations, differences, strict=True):
        kinds.append(None if difference else set())
        raised = (
            seen.evaluation is None and seen.failed is not None and seen.failed.doing == "running forward"
        )
        runs = seen.evaluation is not None and seen.evaluation.output.kind == "tensor"
        if not difference or not (runs or raised):
            continue
        work = Work(LAYERS_COMPARED)
        try:
            find = _difference_in if runs else _difference_until
            found = find(subject, factory, seen, work) or _not_registered(seen)
            new = () if found is None else _not_told(found, told)
            if found is not None and new and runs:  # what is not shown need not be told of one mode
                only = _in_evaluation_only(found, subject, factory, seen, work)
                new = tuple(only.get(each, each) for each in new)
        except messages.Malformed:
            raise
        except messages.SubjectLost:  # while it was asked for more; the points are settled
            return shown
        except (
            Exception
        ):  # a fault of ours in a recording of anything at all; the points are settled without it
            logging.getLogger(__name__).exception("no difference of %s could be shown", report.part)
            return shown
        if found is None and work.left <= 0:
            break
        if found is None:
            continue
        kinds[-1] = {each.about for each in found.differences}
        if new:
            shown.append(Shown(seen, found, new))
    made = [made_with(factory, seen.case) for seen in observations]
    known = [each for each in kinds if each is not None]
    if len(known) < len(observations) or None in made:
        return shown
    alike = Alike(subject, factory, observations)
    answers: dict[int, set[tuple[str, ...]] | None] = {}  # by the handle of what was built

    def ask(number: int, other: Made) -> set[tuple[str, ...]] | None:
        seen = alike.seen(number, other)
        if seen is None:
            return None
        if seen.handle not in answers:
            answers[seen.handle] = shown_in(seen)
        return answers[seen.handle]

    def shown_in(seen: Observation) -> set[tuple[str, ...]] | None:
        try:
            if not compare(seen, factory, quick=True):
                return set()
            # As much as any case gets, whatever those before it took: there are no more than `MOST_ALIKE`.
            found = _difference_in(subject, factory, seen, Work(LAYERS_COMPARED))
        except messages.Malformed:
            raise
        except Exception:  # as above; what was shown is shown without a condition
            return None
        return None if found is None else {each.about for each in found.differences}

    return [_with_conditions(each, [one for one in made if one is not None], known, ask) for each in shown]


def _with_conditions(
    shown: Shown,
    made: list[Made],
    kinds: list[set[tuple[str, ...]]],
    ask: Callable[[int, Made], set[tuple[str, ...]] | None],
) -> Shown:
    """What is shown, each with the cases in which it is so, where these can be told; those without come first."""
    # A case that stops shows nothing of what comes after.
    stopped = [any(about[0] == STOPS for about in found) for found in kinds]

    def when(about: tuple[str, ...]) -> str:
        there = [_is_so(about, found) for found in kinds]
        if None in there:  # it may be the same in other words
            return ""
        unseen = about[0] != STOPS and any(
            stops and not is_there for stops, is_there in zip(stopped, there, strict=True)
        )
        holds = [bool(each) for each in there]

        def again(number: int, other: Made) -> bool | None:
            found = ask(number, other)
            return None if found is None else _is_so(about, found)

        return "" if unseen else so_it_is(made, holds, again, about[2:] if about[0] == "changed" else ())

    told = [(when(each.about), each) for each in shown.new]
    order = list(dict.fromkeys(["", *(when for when, _ in told)]))
    told.sort(key=lambda pair: order.index(pair[0]))
    return replace(shown, new=tuple(each for _, each in told), when=tuple(when for when, _ in told))


def _is_so(about: tuple[str, ...], found: set[tuple[str, ...]]) -> bool | None:
    """Whether a case shows what another one does; None where it shows something of the same kind of layer, which may
    be the same slip in other words: a layer that moved here is one too many there."""
    if about in found:
        return True
    if about[0] == "changed":
        others = [set(each[2:]) for each in found if each[:2] == about[:2]]
        return any(set(about[2:]) <= other for other in others) or (
            None if any(set(about[2:]) & other for other in others) else False
        )
    return None if any(set(about[1:]) & set(each[1:]) for each in found if each[0] != "changed") else False


@dataclass
class Alike:
    """Cases like those that were compared, with other arguments: each is asked for once, and few are."""

    subject: Subject
    factory: Callable[..., nn.Module]
    observations: Sequence[Observation]
    known: dict[Construction, Observation | None] = field(default_factory=dict)
    failed: set[Construction] = field(default_factory=set)

    def raised(self, number: int, made: Made) -> bool | None:
        """Whether a case that was asked for raised; None where nobody knows why there is nothing of it."""
        case = self._case(self.observations[number], made)
        return True if case is not None and case.construction in self.failed else None

    def seen(self, number: int, made: Made) -> Observation | None:
        """None where the right block cannot be built so, or be run, or takes long."""
        like = self.observations[number]
        case = self._case(like, made)
        if case is None or like.large:
            return None
        if case.construction not in self.known:
            if len(self.known) >= MOST_ALIKE:
                return None
            self.known[case.construction] = None  # also where something raises
            self.known[case.construction] = self._asked(case)
        return self.known[case.construction]

    def _case(self, like: Observation, made: Made) -> Case | None:
        image = like.case.image
        before = made_with(self.factory, like.case)
        if image is None or before is None:
            return None
        signature = inspect.signature(self.factory)
        bound = signature.bind(*like.case.args, **like.case.kwargs)
        for name, value in made.values.items():
            if before.values[name] != value or name in before.left_out - made.left_out:
                bound.arguments[name] = value
                # What goes in has as many channels as the block is built for.
                if name in ("in_channels", "channels", "features") and before.values[name] == image[1]:
                    image = (image[0], value, *image[2:])
        ordered = {name: bound.arguments[name] for name in signature.parameters if name in bound.arguments}
        bound.arguments = ordered
        return Case.of(Construction(bound.args, bound.kwargs), image, like.case.scale)

    def _asked(self, case: Case) -> Observation | None:
        try:
            if plan_asked(self.factory, case).failed is not None:
                return None
            handle = 1 + max(each.handle for each in self.observations) + len(self.known)
            room, right = room_of(self.factory, case), held_by(self.factory, case)
            asking_it = asking(case, handle, handle, room, right=right, thorough=False)
            (seen,) = ask_together(self.subject, [asking_it])
            if (
                seen.failed is None
                and seen.evaluation is not None
                and seen.evaluation.output.kind == "tensor"
            ):
                trace(self.subject, [seen])
                return seen
            if seen.failed is not None:
                self.failed.add(case.construction)
        except messages.Malformed:
            raise
        except Exception:  # arguments that the right block refuses, or the student's process is gone
            pass
        return None


def defaults_of(
    factory: Callable[..., nn.Module], observations: list[Observation], differences: list[dict[str, str]]
) -> OtherDefaults | None:
    """What the student's block takes for arguments that are left out, if that is all that is wrong with it."""
    made = [made_with(factory, seen.case) for seen in observations]
    if None in made:
        return None

    def agrees(index: int, values: Mapping[str, Any]) -> bool:
        seen = observations[index]
        other = replace(seen, case=seen.case.given(values), nearest=inf)
        return not compare(other, factory, quick=True) and not compare(other, factory)

    wrong = list(map(bool, differences))
    if not any(wrong):
        return None
    first = observations[wrong.index(True)].evaluation
    sizes = first.output.value.shape[1:] if first is not None and first.output.kind == "tensor" else ()
    return other_defaults([one for one in made if one is not None], wrong, agrees, sizes)


def _not_told(found: Comparison, told: Counter[tuple[str, str]]) -> tuple[Difference, ...]:
    """What a case shows that no case before it does, with whichever numbers; from then on it is told."""
    left, new, kinds = told.copy(), [], Counter[tuple[str, str]]()
    for each in found.differences:
        kinds[each.kind] += (
            1 if each.times == 1 else MOST_LAYERS
        )  # all of a kind: further ones say nothing more
        left[each.kind] -= 1
        if left[each.kind] < 0:
            new.append(each)
    told |= kinds
    return tuple(new)


def show_differences(shown: list[Shown], name: str, report: Report) -> None:
    """Puts into the report what was written beside what is asked.

    What one case shows is not said again of the next, with other numbers.
    """
    for each in shown:
        case = each.seen.case.describe(name)
        layers: list[LayerRow] = [
            {"asked": row.asked, "yours": row.yours, "same": row.same} for row in each.comparison.rows
        ]
        new = [{**difference.plain(), "case": case} for difference in each.new]
        for difference, when in zip(new, each.when, strict=False):
            if when:
                difference["when"] = when
        report.differences += new
        if report.case:
            report.others.append({"case": case, "layers": layers, "differences": new})
        else:
            report.case, report.layers = case, layers
        if not report.recognised and report.state != "raised" and each.seen.evaluation is not None:
            sentences = f"{case}: {' '.join(sentences_of(new))}"
            report.summary = f"{report.summary} {sentences}" if report.others else sentences


def _difference_in(
    subject: Subject, factory: Callable[..., nn.Module], seen: Observation, work: Work
) -> Comparison | None:
    given = _given_to(seen)
    plan = plan_asked(factory, seen.case)
    common = seen.common if seen.large else None
    before: set[tuple[str, str]] = set()
    for training, ran in ((False, seen.evaluation), (True, seen.training)):
        if ran is None:
            continue
        right = right_recording(factory, seen.case, training)
        graph = recorded(subject, factory, seen, training)
        if not isinstance(graph, Graph):
            return None
        done = carried_out(graph, given, seen.state, common)
        if not confirmed(Traced(graph, ran, training), done):
            return None
        # In training the same values may come from other settings, such as a momentum: nothing is taken for equal.
        known = () if training else seen.matchings(plan.slots)
        found = compare_graphs(right, graph, given, seen.state, known, work, common, done)
        if found is not None and telling(found):
            if training:
                found = _in_training(found, before)
            return _with_shape(found, tuple(ran.output.value.shape), asked(plan.shape))
        if found is not None and len(found.differences) > MANY_DIFFERENCES:
            return None  # another block altogether, in training as well
        if work.left < 0:
            return None  # in training there would be as much to look at, and nobody looks any further
        if seen.training is not None:  # what it is that evaluation has, too, but gives the same values there
            found = compare_graphs(right, graph, given, seen.state, (), work)
            before = {each.kind for each in found.differences} if found is not None else set()
    return None


def _not_registered(seen: Observation) -> Comparison | None:
    """Which layers walks over the block do not find, where no more can be told: what they hold may not travel."""
    graph = seen.recorded.get(False)
    try:
        return not_registered(layers_written(graph)) if isinstance(graph, Graph) else None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):  # it has no layers
        return None


def _in_training(found: Comparison, before: set[tuple[str, str]]) -> Comparison:
    """What differs in training only says so, unless it is what a layer does in training by its nature."""

    def told(each: Difference) -> Difference:
        if each.kind in before or any(
            word in f"{each.asked} {each.yours}" for word in ("dropout", "batch norm")
        ):
            return each
        return replace(each, sentence=f"In training mode: {each.sentence}")

    return replace(found, differences=tuple(map(told, found.differences)), training=True)


def _in_evaluation_only(
    found: Comparison,
    subject: Subject,
    factory: Callable[..., nn.Module],
    seen: Observation,
    work: Work,
) -> dict[Difference, Difference]:
    """What differs in evaluation mode only, and the same saying so, where what training shows is a part of what
    evaluation does."""
    right = right_recording(factory, seen.case, True)
    if (
        found.training or seen.training is None or len(right.ops) > FEW_OPS
    ):  # a network takes as long as all the rest
        return {}
    graph = recorded(subject, factory, seen, True)
    if not isinstance(graph, Graph):
        return {}
    there = compare_graphs(right, graph, [], seen.state, (), work)
    if there is None or not there.certain:
        return {}

    def by_nature(each: Difference) -> bool:
        return any(word in f"{each.asked} {each.yours}" for word in ("dropout", "batch norm"))

    layers = [each for each in found.differences if each.about != FORM]
    kinds = Counter(each.kind for each in there.differences if not by_nature(each))
    if kinds - Counter(each.kind for each in layers):
        return {}  # it is said in other words there
    only = [each for each in layers if not kinds[each.kind] and not by_nature(each)]
    given = _given_to(seen)
    common = seen.common if seen.large else None
    done = carried_out(graph, given, seen.state, common) if only else None
    if not only or not confirmed(Traced(graph, seen.training, True), done):
        return {}
    return {each: replace(each, sentence=f"In evaluation mode: {each.sentence}") for each in only}


FORM = ("form",)


def _with_shape(found: Comparison, yours: tuple[int, ...], wanted: tuple[int, ...]) -> Comparison:
    """With the form of the output, where the same numbers come in another one: layers do not tell that."""
    if yours == wanted:
        # Where something else differs, axes that come out in their order were moved and moved back: a way to write.
        others = tuple(each for each in found.differences if each.about != ("extra", "permute"))
        return replace(found, differences=others or found.differences)
    if prod(yours) != prod(wanted):
        return found
    sentence = f"The output is {times(yours)}; it must be {times(wanted)}."
    other = Difference(times(wanted), times(yours), "at the end", sentence, about=FORM)
    return replace(found, differences=(*found.differences, other))


def _difference_until(
    subject: Subject, factory: Callable[..., nn.Module], seen: Observation, work: Work
) -> Comparison | None:
    """What differs in a block that raises, up to the operation that does."""
    plan, failed = plan_asked(factory, seen.case), seen.failed
    if plan.failed is not None or failed is None or not seen.state:
        return None
    graph = recorded(subject, factory, seen, training=False)
    if not isinstance(graph, Stopped) or not alike(graph.failed, failed):
        return None
    right = right_recording(factory, seen.case, training=False)
    found = compare_stopped(right, graph, seen.inputs, seen.state, seen.matchings(plan.slots), work)
    return found if telling(found) else where_it_stops(graph, seen.inputs, seen.state)


@lru_cache(maxsize=256)
def right_recording(factory: Callable[..., nn.Module], case: Case, training: bool) -> Graph:
    """What the reference computes in a case, as data: the same whatever its weights and inputs are."""
    module = without_numbers(built_only(factory, case))
    return recording_of(module, without_contents(case.inputs(Dice(0))), training)


def _first_stage(subject: Subject, factory: Callable[..., nn.Module], seen: Observation) -> str:
    """Runs both once more, watching what enters and leaves each layer with parameters. One that is written by hand
    reads its parameters somewhere on the way, where nothing says what enters it."""
    if seen.by_hand:
        return ""
    module = build(factory, seen.case)
    matching = next(iter(seen.matchings(plan_asked(factory, seen.case).slots)), None)
    given = _given_to(seen)
    if matching is None or isinstance(subject(messages.Load(handle=seen.handle)), Failed):
        return ""
    answer = subject(messages.Run(tuple(given), training=False, record=True, handle=seen.handle))
    if not isinstance(answer, Ran):
        return ""
    transplant(seen.state, module, matching)
    right = run_module(module, seen.inputs, training=False, record=True)
    theirs = {use.name: use for use in asked(answer.uses)}
    previous, untold = "", False
    for mine in asked(right.uses):
        other = theirs.get(matching.get(mine.name, ""))
        layer = describe_layer(module, mine.name)
        if layer == previous:
            continue
        if other is None or other.output is None or mine.output is None:
            untold = True
            continue
        same_input = _same_stage(other.input, mine.input)
        same_output = _same_stage(other.output, mine.output)
        if "." not in mine.name:  # a parameter of the block itself: what enters the block differs nowhere
            untold |= same_output is False
            continue
        if same_output is False and same_input is False:
            before = f"Up to {previous} all values agree. " if previous else ""
            if "batch norm" in layer and "batch_norm" not in other.op:
                # It is seen where it reads a parameter: behind some of its own operations.
                return f"{before}{layer[:1].upper()}{layer[1:]}, which you write by hand, {BY_HAND}"
            return (
                f"{before}What enters {layer} already differs: look at what stands before it, "
                "such as an activation, a sum, a pooling, or the order of these."
            )
        if same_output is False:
            shapes = ""
            if sorted(other.output.shape) != sorted(mine.output.shape):
                shapes = f" ({times(other.output.shape)} instead of {times(mine.output.shape)})"
            return (
                f"The first layer that differs is {layer}: its input is right, what it gives is not{shapes}. "
                "Look at its settings: stride, padding, groups, bias."
            )
        if same_output is None:  # in another form: nobody knows whether it agrees
            untold = True
            continue
        previous = layer
    if previous and not untold:
        after = _at_the_end(right_recording(factory, seen.case, False))
        return (
            f"Every layer with parameters agrees, up to {previous}. The difference comes after: "
            f"look at {after} at the end."
        )
    return ""


def _at_the_end(asked: Graph) -> str:
    """What is asked for behind the last layer that has parameters."""
    layers = layers_asked(asked)
    last = max((k for k, layer in enumerate(layers) if layer.kind in WITH_PARAMETERS), default=-1)
    kinds = dict.fromkeys(layer.kind for layer in layers[last + 1 :])
    names = ["order of the axes" if kind == "permute" else kind for kind in kinds]
    return joined([f"the {name}" for name in names]) or "what stands"


def _same_stage(found: Tensor | None, expected: Tensor | None) -> bool | None:
    """None where the two cannot be compared, because the student computes the stage in another form. In which order
    the axes stand does not matter: between two layers it is the student's choice."""
    if found is None or expected is None or found.dim() != expected.dim():
        return None
    tolerance = max(tolerance_of(found), 1e-6)
    if close(found, expected, tolerance):
        return True
    orders = permutations(range(found.dim())) if 2 < found.dim() <= MOST_AXES else ()
    shape = tuple(expected.shape)
    turned = (each for each in orders if tuple(found.shape[axis] for axis in each) == shape)
    return any(close(found.permute(each), expected, tolerance) for each in turned)


def describe_layer(module: nn.Module, parameter: str) -> str:
    """The layer that owns a parameter, in words: its kind, its sizes, and which of its kind it is."""
    path = parameter.rpartition(".")[0]
    layer = module.get_submodule(path)
    if isinstance(layer, nn.Conv2d):
        kernel = "×".join(map(str, layer.kernel_size))
        stride = f", stride {layer.stride[0]}" if layer.stride[0] > 1 else ""
        groups = f", {layer.groups} groups" if layer.groups > 1 else ""
        what = f"{kernel} convolution {layer.in_channels} → {layer.out_channels}{stride}{groups}"
    elif isinstance(layer, nn.Linear):
        what = f"linear layer {layer.in_features} → {layer.out_features}"
    elif isinstance(layer, nn.BatchNorm2d):
        what = f"batch norm over {layer.num_features} channels"
    else:
        what = type(layer).__name__
    alike = [n for n, m in module.named_modules() if isinstance(m, type(layer))]
    rank = alike.index(path) + 1
    position = f" (no. {rank} of {len(alike)} of its kind)" if len(alike) > 1 else ""
    return f"the {what}{position}"
