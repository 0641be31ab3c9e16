"""Functions: calls a student's function and compares its values with those of candidates."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from inspect import signature
from itertools import combinations, product
from numbers import Number
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from casestudies.checking.arguments import Made, so_it_is
from casestudies.checking.between_calls import kept_between_calls
from casestudies.checking.compare import (
    LEAST_ROUNDING,
    ROUNDINGS,
    SINGLE,
    UNNAMED,
    close,
    difference_of,
    ended,
    failure_text,
    failure_told,
    farthest,
    in_single,
    overwrites,
    tolerance_of,
    unwritten,
)
from casestudies.checking.parts import Call, Group, Mistake, Pair, Part, Values
from casestudies.checking.report import Criterion, Report
from casestudies.checking.several import fresh, numbers
from casestudies.checking.shown import sentences_of
from casestudies.checking.slips import (
    MOST_KEPT,
    Known,
    Search,
    Slip,
    agrees,
    key_of,
    plain_value,
    without_places,
)
from casestudies.checking.space import LOUD, Dice, call_text
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Answer, Called, Failed, Subject, Value
from casestudies.sandboxed.probe import Probe, assemble
from casestudies.sandboxed.torch_state import generator_kept

FEW = 3  # calls of a random function where the reference does not draw
MOST_PAIRS = 80  # of known mistakes that are tried
INPUTS_KEPT = 64  # of a module that candidates call, with what it gave
FEWEST_NUMBERS, FEWEST_TENSORS = 5, 2  # wrong answers that an edit gives which is not made in all calls
TURNS = 4  # of drawing calls until some of them are wrong
PLACES = 3  # edits of which one says where to look, beside a known mistake
ONE_SLIP = 1.2  # the weight of an edit which is likelier than two known mistakes
FEW_STATES = 4  # calls whose modules are looked at, of each group one
KEPT_FRESH = 15_485_863  # added to the seed of the calls that show what is kept between calls
FRESH = 104_729  # added to the seed of the calls that confirm an explanation

State = Mapping[str, Tensor]


@dataclass
class Answered:
    """One call of a student's function, and what came back."""

    group: Group
    call: Call
    answer: Called | Failed
    cotangent: Tensor | None
    seed: int
    again: tuple[Called, ...] = ()  # of a random function: to the same call, after other seeds
    wrong: bool = False
    loud: bool = False  # a call of the group once more, with large numbers
    known: Known | None = field(default=None, repr=False)
    view: Any = field(default=None, repr=False)
    right: Any = field(default=None, repr=False)

    def seen(self, reference: Values) -> Any:
        """What is compared of the answer, where that is not the value itself."""
        if self.view is None:
            assert isinstance(self.answer, Called)
            self.view = reference.seen(self.call, self.answer, *self.again)
        return self.view

    def asked(self, reference: Values) -> Any:
        """What is compared of the reference's answer."""
        if self.right is None:
            found, *again = [_replay(reference.function, self), *_replay_again(reference.function, self)]
            if not isinstance(found, Called):
                return {}
            self.right = reference.seen(
                self.call, found, *(each for each in again if isinstance(each, Called))
            )
            if unlike := _not_compared(self.right):
                raise ValueError(
                    f"view of the values of {reference.name} gives a {unlike}; give tensors, numbers, strings, None, "
                    "or dicts, tuples and lists of these"
                )
        return self.right

    def to_compare(self) -> Known:
        """The call with its modules built, for candidates that are tried by the hundred."""
        if self.known is None:
            args = tuple(map(built, self.call.args))
            kwargs = {name: built(value) for name, value in self.call.kwargs.items()}
            self.known = Known(args, kwargs, self.answer, self.wrong)
        return self.known


def check_values(part: Part, reference: Values, subject: Subject, seed: int, report: Report) -> None:
    """Fills in the report: what the student's function gives in every call, beside what the reference gives."""
    name = reference.name
    answered: list[Answered] = []
    for index, group in enumerate(reference.groups):
        dice = Dice(seed + index)
        for made in group.calls(dice):
            answered.append(_ask(subject, reference, group, made, dice))
            failed = answered[-1].answer
            if isinstance(failed, Failed) and unwritten(failed):
                report.state, report.summary = "missing", failure_text(failed)
                return
        if loud := _loud(reference, answered, group):
            answered.append(replace(_ask(subject, reference, group, loud, dice), loud=True))
    _leave_unnamed(reference, answered)
    differences = [_value_difference(reference, reference.function, item, name) for item in answered]
    if reference.random and reference.repeats == 1:
        differences = [
            difference or _same_numbers_again(subject, reference, item, name)
            for item, difference in zip(answered, differences, strict=True)
        ]
    asked = list(zip(answered, differences, strict=True))
    small = [*_in_float32(subject, reference, answered, report), *_settings_changed(reference, answered)]
    _criteria(part, reference, [*asked, *small], report)
    wrong = [difference for _, difference in (*asked, *small) if difference]
    if not wrong:
        report.pass_all()
        return
    for item, difference in zip(answered, differences, strict=True):
        item.wrong = bool(difference)
    if any(differences):
        _explain(part, reference, subject, answered, seed, report)
    _say_what_is_small(reference, small, report)
    raised = next((item.answer for item in answered if isinstance(item.answer, Failed)), None)
    symptom = failure_told(raised) if raised else wrong[0]
    more = _without_the_failure(reference, subject, answered, raised) if raised and overwrites(raised) else []
    more += [difference for _, difference in small if difference != symptom]
    said = list(dict.fromkeys([symptom, *sentences_of(report.differences), *more]))
    # A line of the student's code ends a text: a sentence behind it would be taken for a part of it.
    report.summary = " ".join([*said[1:], symptom] if raised and raised.line else said)
    if raised and not report.points_now():
        report.state = "raised"
    report.settle()
    if part.given and set(report.mistakes) == part.given:
        report.give_nothing_for_what_was_given()


def _leave_unnamed(reference: Values, answered: list[Answered]) -> None:
    """Takes back the names of what a view has seen in the answers of a random function, where one call has no name.

    Numbers that are drawn come near to more than one rule, as a share of 0.64 does to 1 - 0.36. If no rule fits what
    a function does in one call, those that fit in the others fit by chance.
    """
    if reference.repeats == 1:
        return
    pairs = [
        (item, item.seen(reference), item.asked(reference))
        for item in answered
        if isinstance(item.answer, Called)
    ]
    pairs = [each for each in pairs if isinstance(each[1], dict) and isinstance(each[2], dict)]
    unnamed: dict[str, str] = {}
    for _, found, right in pairs:
        for name, word in found.items():
            if isinstance(word, str) and word.endswith(UNNAMED) and name in right:
                unnamed.setdefault(name, word)
    for item, found, right in pairs:
        by_chance = {
            name: word
            for name, word in unnamed.items()
            if found.get(name, right.get(name)) != right.get(name)
        }
        if by_chance:
            item.view = {**found, **by_chance}


def _criteria(part: Part, reference: Values, answered: list[tuple[Answered, str]], report: Report) -> None:
    """Divides the points among the groups: all calls of one must be right."""
    report.compared = [group.title for group in reference.groups]
    total = sum(group.weight for group in reference.groups)
    for group in reference.groups:
        wrong = [difference for item, difference in answered if item.group is group and difference]
        possible = part.points * group.weight / total
        title = group.title[:1].upper() + group.title[1:]
        report.criteria.append(
            Criterion(title, 0.0 if wrong else possible, possible, not wrong, wrong[0] if wrong else "")
        )


def _ask(subject: Subject, reference: Values, group: Group, made: Call, dice: Dice) -> Answered:
    """Calls the student's function in float64 or, where that raises, in float32."""
    seed = dice.seed()
    cotangent = None
    if reference.gradients or group.gradients:
        right = _to_derive(reference, made)
        cotangent = torch.ones_like(right) if reference.random else dice.normal(*right.shape)
    answer = subject(_request(made, cotangent, seed))
    if reference.repeats > 1 and isinstance(answer, Called):
        return _repeated(subject, reference, Answered(group, made, answer, cotangent, seed))
    if isinstance(answer, Failed) and _has_tensor(made):
        made32 = Call(_cast(made.args), _cast(made.kwargs))
        again = subject(_request(made32, cotangent, seed))
        if isinstance(again, Called):
            return Answered(group, made32, again, cotangent, seed)
    return Answered(group, made, _called(answer), cotangent, seed)


def _loud(reference: Values, answered: list[Answered], group: Group) -> Call | None:
    """A call of the group once more, with real tensors a thousand times as large, which some limit may cut off: the
    first that gives a tensor then. None where there is none, or where a view says what counts."""
    if reference.view is not None or reference.random:
        return None
    for item in answered:
        if item.group is group and _has_tensor(item.call, real=True):
            made = Call(_louder(item.call.args), _louder(item.call.kwargs))
            right = _replay(reference.function, replace(item, call=made, cotangent=None))
            if (
                isinstance(right, Called)
                and right.value.kind == "tensor"
                and right.value.value.isfinite().all()
            ):
                return made
    return None


_TYPES: WeakKeyDictionary[Values, torch.dtype | None] = WeakKeyDictionary()  # of results, for float32


def _in_float32(
    subject: Subject, reference: Values, answered: list[Answered], report: Report
) -> list[tuple[Answered, str]]:
    """A call once more with float32, and what is wrong with the type of its result; a note where it does what the
    part forbids. The group that weighs least is asked: a wrong type is a small mistake."""
    with_tensors = [item for item in answered if _has_tensor(item.call) and isinstance(item.answer, Called)]
    if not with_tensors:
        return []
    item = min(with_tensors, key=lambda item: item.group.weight)
    made = Call(_cast(item.call.args), _cast(item.call.kwargs))
    item = replace(item, call=made, cotangent=None, again=(), known=None, view=None, right=None)
    if reference not in _TYPES:  # which follows from the types of the arguments alone
        right = _replay(reference.function, item)
        tensor = isinstance(right, Called) and right.value.kind == "tensor"
        _TYPES[reference] = right.value.value.dtype if tensor else None  # type: ignore[union-attr]
    wanted = _TYPES[reference]
    if wanted is None:
        return []
    answer = _called(subject(replace(_request(made, None, item.seed), watched=bool(reference.forbids))))
    written = call_text(reference.name, made.args, made.kwargs)
    if isinstance(answer, Failed):
        return [(item, f"{written}, with float32: {failure_text(answer)}")]
    report.notes += [reference.forbids[each] for each in answer.operations if each in reference.forbids]
    if answer.value.kind != "tensor" or answer.value.value.dtype == wanted:
        return []
    found, right_one = str(answer.value.value.dtype)[6:], str(wanted)[6:]
    return [
        (
            item,
            f"{written} gives a tensor of {found} where its arguments are of float32; expected {right_one}.",
        )
    ]


SETTINGS = {
    "training": "changes the mode of a module (train or eval) and does not restore it.",
    "requires_grad": "changes which parameters of a module are trained (requires_grad) and does not restore it.",
    "layers": "puts other layers in the place of those of a module, or takes some out.",
}


def _settings_changed(reference: Values, answered: list[Answered]) -> list[tuple[Answered, str]]:
    """That modules among the arguments are in another mode, have other parameters trained, or other layers: a small
    mistake, which counts in the group that weighs least."""
    found: dict[str, Answered] = {}
    for item in sorted(answered, key=lambda item: item.group.weight):
        if reference.keeps_arguments and isinstance(item.answer, Called) and item.answer.changed:
            right = _replay(reference.function, item)
            for each in set(item.answer.changed) - set(right.changed if isinstance(right, Called) else ()):
                found.setdefault(each, item)
    return [
        (item, f"{call_text(reference.name, item.call.args, item.call.kwargs)} {SETTINGS[each]}")
        for each, item in sorted(found.items())
    ]


def _say_what_is_small(reference: Values, small: Sequence[tuple[Answered, str]], report: Report) -> None:
    """Small mistakes are seen as they are: each is a difference by itself, unless a known mistake speaks of all."""
    told = [(item, said) for item, said in small if said and isinstance(item.answer, Called)]
    if report.recognised or not told:
        return
    for item, said in told:
        where = call_text(reference.name, item.call.args, item.call.kwargs)
        report.differences.append({"asked": "", "yours": said, "where": where, "sentence": said})
    names = list(signature(reference.function).parameters)
    report.place = (
        report.place or f"Look at what is done with {', '.join(f'`{name}`' for name in names[:2])}."
    )


def _louder(value: Any) -> Any:
    return _map_tensors(value, lambda t: t * LOUD if t.is_floating_point() else t)


def _to_derive(reference: Values, made: Call) -> Tensor:
    """What the reference gives in a call whose gradients are compared."""
    written = call_text(reference.name, made.args, made.kwargs)
    try:
        with generator_kept():
            named = {name: built(_fresh(value)) for name, value in made.kwargs.items()}
            right = reference.function(*map(built, _fresh(made.args)), **named)
    except Exception as error:
        raise ValueError(
            f"{written} raises {type(error).__name__}, where gradients are compared: {error}; call it without "
            "gradients, in a group of its own"
        ) from error
    if not isinstance(right, Tensor):
        raise ValueError(
            f"{written} gives a value of type {type(right).__name__}; gradients=True expects one tensor"
        )
    return right


def _called(answer: Answer) -> Called | Failed:
    """The answer to a call: `Checked` has seen to it that it is one."""
    assert isinstance(answer, (Called, Failed))
    return answer


def _repeated(subject: Subject, reference: Values, item: Answered) -> Answered:
    """The same call as often as the view wants it, after other seeds."""
    by_chance = _draws(reference, item) or _other_values(reference, item)
    seeds = range(item.seed + 1, item.seed + (reference.repeats if by_chance else FEW))
    answers = subject(messages.Series(tuple(_request(item.call, None, seed) for seed in seeds)))
    assert isinstance(answers, messages.Answers)
    failed = [each for each in answers.answers if isinstance(each, Failed)]
    if failed:
        return Answered(item.group, item.call, failed[0], item.cotangent, item.seed)
    item.again = tuple(each for each in answers.answers if isinstance(each, Called))
    return item


def _draws(reference: Values, item: Answered) -> bool:
    """Whether the reference draws from torch: of few draws two may well be the same."""
    with generator_kept():
        before = torch.get_rng_state()
        reference.function(*map(built, item.call.args), **{n: built(v) for n, v in item.call.kwargs.items()})
        return not torch.equal(before, torch.get_rng_state())


def _other_values(reference: Values, item: Answered) -> bool:
    """Whether the reference gives something else after another seed, whatever it draws from."""
    right = _replay(reference.function, item), _replay(reference.function, replace(item, seed=item.seed + 1))
    values = [each.value for each in right if isinstance(each, Called)]
    return len(values) == 2 and bool(difference_of(values[0], values[1], reference.tolerance))


def _request(made: Call, cotangent: Tensor | None, seed: int) -> messages.Call:
    return messages.Call(list(made.args), made.kwargs, cotangent, seed)


def _has_tensor(made: Call, real: bool = False) -> bool:
    def has(value: Any) -> bool:
        if isinstance(value, dict):
            return "$module" not in value and any(map(has, value.values()))
        if isinstance(value, Tensor):
            return value.is_floating_point() or not real
        return isinstance(value, (list, tuple)) and any(map(has, value))

    return any(map(has, (*made.args, *made.kwargs.values())))


def _map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_map_tensors(item, change) for item in value)
    if isinstance(value, dict):
        return {key: _map_tensors(item, change) for key, item in value.items()}
    return value


def _same_numbers_again(subject: Subject, reference: Values, item: Answered, name: str) -> str:
    """Asks a random function once more, after another seed: empty if it draws other numbers then.

    Only where the reference does: without chance in the arguments (a rate of 0, evaluation mode) nothing differs.
    """
    request = messages.Call(list(item.call.args), item.call.kwargs, item.cotangent, item.seed ^ 1)
    before, after = _replay(reference.function, item), Probe(reference.function).handle(request)
    if not (isinstance(before, Called) and isinstance(after, Called)):
        return ""
    if not difference_of(before.value, after.value, reference.tolerance):
        return ""
    again = subject(request)
    if not (isinstance(again, Called) and isinstance(item.answer, Called)):
        return ""
    if difference_of(again.value, item.answer.value, reference.tolerance):
        return ""
    written = call_text(name, item.call.args, item.call.kwargs)
    return f"{written} draws the same random numbers at every call; each call must draw new ones."


def _cast(value: Any, dtype: torch.dtype = torch.float32) -> Any:
    return _map_tensors(value, lambda t: t.to(dtype) if t.is_floating_point() else t)


def _fresh(value: Any) -> Any:
    return _map_tensors(value, torch.clone)


def _replay(function: Callable[..., Any], item: Answered) -> Called | Failed:
    """What a candidate answers to the same call, through the same probe."""
    return _called(Probe(function).handle(_request(item.call, item.cotangent, item.seed)))


def _replay_again(function: Callable[..., Any], item: Answered) -> list[Called | Failed]:
    probe = Probe(function)
    requests = (_request(item.call, None, item.seed + k + 1) for k in range(len(item.again)))
    return [_called(probe.handle(request)) for request in requests]


def _not_compared(seen: Any) -> str:
    """The type of something in what a view gives for the right answer that is not compared; empty if all is.

    Others may be equal to nothing but themselves, or to something else than is meant.
    """
    if isinstance(seen, (dict, list, tuple)):
        return next(filter(None, map(_not_compared, seen.values() if isinstance(seen, dict) else seen)), "")
    single = getattr(seen, "ndim", None) == 0  # NumPy's, also a Boolean, which is no Number
    known = seen is None or isinstance(seen, (Value, Tensor, Number, str)) or single
    return "" if known else type(seen).__name__


def _contents_unseen(value: Value) -> str:
    """The type of what does not travel from a process to the other in a returned value; empty if all does."""
    if value.kind in ("tuple", "list"):
        return next(filter(None, map(_contents_unseen, value.value)), "")
    if value.kind == "tensor" and value.value.is_complex():
        return str(value.value.dtype)
    return value.type if value.kind in ("module", "class", "array", "other") else ""


def _value_difference(
    reference: Values, function: Callable[..., Any], item: Answered, name: str, same_error: bool = False
) -> str:
    """In what the student's answer to one call differs from a candidate's; empty if in nothing.

    Where the right function raises, any exception will do; a mistake that raises is another one if it raises another
    type (`same_error`).
    """
    written = call_text(name, item.call.args, item.call.kwargs)
    expected = _replay(function, item)
    answer = item.answer
    if isinstance(answer, Failed) and isinstance(expected, Failed):
        found, right = answer.type, expected.type
        return f"{written} raises {found}, not {right}." if same_error and found != right else ""
    if isinstance(answer, Failed):
        return f"{written}: {failure_text(answer)}"
    if isinstance(expected, Failed) and same_error and without_places(answer):
        return ""
    if isinstance(expected, Failed):
        return f"{written} should raise {expected.type}; it returns a value."
    if reference.view is not None:
        if function is reference.function:
            found, right = item.seen(reference), item.asked(reference)
        else:
            again = _replay_again(function, item)
            called = [each for each in again if isinstance(each, Called)]
            if len(called) < len(again):
                return f"{written}: it fails in some calls, not in others."
            found, right = item.seen(reference), reference.seen(item.call, expected, *called)
        problem = difference_of(found, right, reference.tolerance)
        if not problem and in_single(found):
            single = _granted_to_float32(reference, function, item)
            problem = difference_of(found, right, reference.tolerance, single)
        if problem:
            return ended(f"{written}: {problem}")
        return _lists_changed(reference, answer, expected, written)
    if function is reference.function and (unseen := _contents_unseen(expected.value)):
        raise ValueError(
            f"{written} gives a value of type {unseen}, whose contents are not compared; give Values a function that "
            "returns tensors, numbers, strings, or tuples of these"
        )
    problem = difference_of(answer.value, expected.value, reference.tolerance)
    if not problem and in_single(answer.value):
        single = _granted_to_float32(reference, function, item)
        problem = difference_of(answer.value, expected.value, reference.tolerance, single)

    def changes() -> bool:
        return reference.keeps_arguments and any(
            not close(found, right, 1e-6)
            for found, right in zip(answer.tensors_after, expected.tensors_after, strict=True)
        )

    if problem:
        also = function is reference.function and changes()  # of a candidate nobody reads what differs
        return f"{ended(f'{written} {problem}')}{' It also changes its argument in place.' if also else ''}"
    if changes():
        return f"{written} changes its argument in place."
    if changed := _lists_changed(reference, answer, expected, written):
        return changed
    # A value in float32 was computed in it, and its gradients too, although they come back in the argument's type.
    value = answer.value.value
    loosest = tolerance_of(value if isinstance(value, Tensor) else None, 1e-6)
    for mine, theirs in zip(expected.gradients or (), answer.gradients or (), strict=True):
        if not close(theirs, mine, max(loosest, tolerance_of(theirs, 1e-6))):
            return f"{written}: the value is right, but the gradient of an argument differs."
    return ""


def _granted_to_float32(reference: Values, function: Callable[..., Any], item: Answered) -> float:
    """How far float32 may carry the tensors of an answer that holds such: many times as far as it carries those of
    the function itself, since the same may be computed in another order, and no more than is granted to any float32.

    What a random function draws in float32 is something else: then it is all that is granted.
    """
    if reference.repeats > 1:
        return SINGLE
    values = []
    for dtype in (torch.float32, torch.float64):
        made = Call(_cast(item.call.args, dtype), _cast(item.call.kwargs, dtype))
        answer = _replay(function, replace(item, call=made))
        if not isinstance(answer, Called):
            return SINGLE
        values.append(answer.value if reference.view is None else reference.seen(made, answer))
    return min(max(ROUNDINGS * farthest(*values), LEAST_ROUNDING), SINGLE)


def _gives(reference: Values, function: Callable[..., Any], items: Sequence[Answered]) -> bool:
    """Whether a candidate gives what the student's function gave, in all of these calls."""
    return all(not _value_difference(reference, function, item, reference.name, True) for item in items)


def _lists_changed(reference: Values, answer: Called, expected: Called, written: str) -> str:
    """That a list among the arguments does not hold any more what it held; empty if it does."""
    if not reference.keeps_arguments or answer.kept == expected.kept:
        return ""
    return f"{written} changes its argument in place."


# --------------------------------------------------------------------------- explanations


@dataclass(frozen=True, eq=False)
class _Candidate:
    """A function that gives all that the student's gave so far: known mistakes, or edits of the reference."""

    function: Callable[..., Any]
    known: tuple[Mistake, ...] = ()
    slip: Slip | None = None


def _explain(
    part: Part, reference: Values, subject: Subject, answered: list[Answered], seed: int, report: Report
) -> None:
    """Names the mistakes, and says of what formula the answers are; nothing where that fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what wrong functions of ours may cause
            _name_and_show(part, reference, subject, answered, seed, report)
    except messages.Malformed:
        raise
    except Exception:  # a fault of ours; the points are settled without an explanation
        logging.getLogger(__name__).exception("no explanation of %s could be found", part.id)


def _name_and_show(
    part: Part, reference: Values, subject: Subject, answered: list[Answered], seed: int, report: Report
) -> None:
    """Names the mistakes, and says of what formula the answers are; both confirmed by calls not asked before.

    An exception alone is no evidence: different mistakes raise the same one. Some calls must have returned a value.
    Where the gradients raised, the value is asked for without them.
    """
    if any(item.wrong and not item.loud for item in answered):
        answered = [item for item in answered if not item.loud]  # of which a mistake may make anything
    valued = [each for item in answered for each in _without_gradients(subject, reference, item) or [item]]
    raised = [item for item in answered if not any(item is each for each in valued)]
    if not any(isinstance(item.answer, Called) for item in valued):
        return
    if reference.repeats > 1:
        report.differences = _features(reference, answered)
        seen = dict.fromkeys(each["asked"].partition(":")[0] for each in report.differences)
        report.place = f"Look at these: {', '.join(seen)}." if seen else ""
        if any(each["yours"].endswith(UNNAMED) for each in report.differences):
            return
    changed = _arguments_changed(reference, answered)
    # No edit is looked for that raises in the same place: any that leaves the values alone would have to be derived.
    kept: list[dict[str, str]] | None = None

    def is_kept() -> bool:
        """Whether something is kept between calls, which no formula does: looked for once."""
        nonlocal kept
        if kept is None and not changed:
            ask, before = partial(_asked_plainly, subject), [item.call for item in answered]
            kept = kept_between_calls(reference, ask, seed + KEPT_FRESH, before)
        if kept:
            report.differences, report.place = kept, "Look at what is kept between calls."
        return bool(kept)

    candidates = _candidates(part, reference, valued + raised, not raised, not changed, is_kept)
    answered, found = valued, _confirmed(subject, reference, candidates, seed)
    if raised and not found:
        candidates = _candidates(part, reference, valued)
        found = _confirmed(subject, reference, candidates, seed, values=True)
    compared, beside = reference, list[dict[str, str]]()
    if not found and changed:
        compared, beside = copy(reference), [_said_of_changes(reference, changed)]
        compared.keeps_arguments = False
        found = _beside_the_changes(part, compared, subject, answered, seed)
    elif not found and not is_kept():
        _explain_in_part(subject, reference, answered, seed, report)
    named = _same_states([each for each in found if each.known], answered)
    named = [each for each in named if _by_what_it_changes(reference, each.function, answered)]
    slips = [each.slip for each in _same_messages(found, answered) if each.slip is not None]
    alone = [each.known[0] for each in named if len(each.known) == 1]
    if not alone and any(slip.weight <= ONE_SLIP for slip in slips):
        named = []  # two mistakes that do together what one edit does: nothing says that both were made
    together = [known for each in named[:1] for known in each.known]
    report.name_mistakes(alone[:2] or together, alternatives=len(alone) > 1)
    if not named and not slips:
        report.differences = report.differences or _left_undone(reference, answered)
    if slips:
        slip = min(slips, key=lambda slip: slip.weight)
        whole = _is_twice(reference, answered)  # which factor of it is doubled, nobody knows
        report.place = "Look at the formula as a whole." if whole else slip.place
        if whole:
            report.differences = [_twice(reference)] if not named else []
        elif not named or _tells_formulas_apart(answered):  # else the name alone is shown
            told = slip.where_it_matters(lambda function: _gives(compared, function, answered))
            report.differences = told.told(slips)
    if beside and not named:
        report.differences = beside + report.differences
        names = ", ".join(f"`{name}`" for name in changed)
        report.place = report.place or f"Look at what is done with {names}."


def _is_twice(reference: Values, answered: Sequence[Answered]) -> bool:
    """Whether each number that came back is twice the one that is asked for."""

    @wraps(reference.function)
    def twice(*args: Any, **kwargs: Any) -> Any:
        right = reference.function(*args, **kwargs)
        return 2 * right if isinstance(right, int | float) else None

    return not reference.random and reference.view is None and _gives(reference, twice, answered)


def _twice(reference: Values) -> dict[str, str]:
    name = reference.name
    return {"asked": f"{name}(...)", "yours": f"2 * {name}(...)", "where": name, "sentence": TWICE}


TWICE = "What it gives is twice what is asked for, in every call."


def _asked_plainly(subject: Subject, made: Call) -> Called | Failed:
    return _called(subject(_request(made, None, 0)))


def _arguments_changed(reference: Values, answered: list[Answered]) -> list[str]:
    """The arguments that the student's function changes and that are to be left as they are."""
    if not reference.keeps_arguments or reference.view is not None or reference.random:
        return []
    names: dict[str, None] = {}
    parameters = list(signature(reference.function).parameters)
    for item in answered:
        right = _replay(reference.function, item) if isinstance(item.answer, Called) else None
        if not isinstance(item.answer, Called) or not isinstance(right, Called):
            continue
        given = [*zip(parameters, item.call.args, strict=False), *item.call.kwargs.items()]
        after = list(zip(item.answer.tensors_after, right.tensors_after, strict=True))
        for name, value in given:
            held: list[Tensor] = []
            _map_tensors(value, lambda tensor, held=held: held.append(tensor) or tensor)  # type: ignore[misc]
            pairs, after = after[: len(held)], after[len(held) :]
            lists = isinstance(value, list) and item.answer.kept != right.kept
            if lists or any(not close(found, wanted, 1e-6) for found, wanted in pairs):
                names[name] = None
    return list(names)


def _said_of_changes(reference: Values, changed: Sequence[str]) -> dict[str, str]:
    names = ", ".join(f"`{name}`" for name in changed)
    return {
        "asked": "",
        "yours": names,
        "where": reference.name,
        "sentence": f"Yours changes {names}, which belongs to whoever calls it.",
    }


def _beside_the_changes(
    part: Part, loose: Values, subject: Subject, answered: list[Answered], seed: int
) -> list[_Candidate]:
    """What else is wrong where arguments are changed, which `loose` does not look at."""
    again = [
        replace(item, wrong=bool(_value_difference(loose, loose.function, item, loose.name)), known=None)
        for item in answered
    ]
    return _confirmed(subject, loose, _candidates(part, loose, again), seed)


def _without_the_failure(
    reference: Values, subject: Subject, answered: list[Answered], raised: Failed
) -> list[str]:
    """What else is wrong in the call whose gradients could not be computed: mostly that an argument is changed."""
    item = next(each for each in answered if each.answer is raised)
    found = [
        _value_difference(reference, reference.function, each, reference.name)
        for each in _without_gradients(subject, reference, item)
    ]
    return [f"Without gradients: {difference}" for difference in found if difference]


def _tells_formulas_apart(answered: list[Answered]) -> bool:
    """Whether what is wrong are numbers or tensors. Many formulas give the same list of places, such as [0, 1]: one
    that is not far from what was asked for may be far from what was written."""
    wrong = (item.answer.value for item in answered if item.wrong and isinstance(item.answer, Called))
    return any(value.kind != "list" for value in wrong)


def _same_states(candidates: list[_Candidate], answered: list[Answered]) -> list[_Candidate]:
    """Of mistakes that no comparison tells apart, those that leave the same state behind, if any do."""
    if len(candidates) < 2 or not any(
        isinstance(i.answer, Called) and i.answer.states_after for i in answered
    ):
        return candidates

    def left(function: Callable[..., Any], item: Answered) -> bool:
        found, answer = _replay(function, item), item.answer
        if not isinstance(found, Called) or not isinstance(answer, Called):
            return type(found) is type(answer)
        return not difference_of(list(answer.states_after), list(found.states_after), 1e-9)

    same = [each for each in candidates if all(left(each.function, item) for item in answered)]
    return same or candidates


def _same_messages(candidates: list[_Candidate], answered: list[Answered]) -> list[_Candidate]:
    """Of candidates that raise where the student's function does, those that raise in the same words, if any do: of
    several that give a layer what is no tensor, only one says what that is."""
    raised = [item for item in answered if item.wrong and isinstance(item.answer, Failed)]

    def says_the_same(function: Callable[..., Any], item: Answered) -> bool:
        found = _replay(function, item)
        return isinstance(found, Failed) and found.message == item.answer.message  # type: ignore[union-attr]

    same = [each for each in candidates if all(says_the_same(each.function, i) for i in raised[:FEW_STATES])]
    return same or candidates


def _left_undone(reference: Values, answered: list[Answered]) -> list[dict[str, str]]:
    """What of a module is not yet as the right function leaves it, where all else that the student's function did
    may stay: the fewest parameters and buffers with which its modules would do what is asked for."""
    if reference.view is None or reference.repeats > 1:
        return []
    wrong = [
        item
        for item in answered
        if item.wrong and isinstance(item.answer, Called) and len(item.answer.states_after) == 1
    ]
    items = list({id(each.group): each for each in reversed(wrong)}.values())
    states: list[tuple[State, State, State]] = []  # as it was, as it should be, and as it is
    rights: list[Called] = []
    for item in items:
        before, right = _replay(_nothing, item), _replay(reference.function, item)
        if not isinstance(before, Called) or not isinstance(right, Called):
            return []
        rights.append(right)
        states.append((before.states_after[0], right.states_after[0], item.answer.states_after[0]))  # type: ignore
    if not items or any(a.keys() != c.keys() or b.keys() != c.keys() for a, b, c in states):
        return []

    def unlike(one: int, other: int) -> list[str]:
        return [
            name
            for name in states[0][0]
            if any(difference_of(s[one][name], s[other][name], 1e-9) for s in states)
        ]

    changed, open_ones = unlike(0, 2), [name for name in unlike(0, 1) if name in unlike(1, 2)]
    if not changed or not 0 < len(open_ones) <= FEW_STATES:
        return []

    def enough(names: Sequence[str]) -> bool:
        for item, right, (_, asked, yours) in zip(items, rights, states, strict=True):
            mixed = {name: asked[name] if name in names else value for name, value in yours.items()}
            made = replace(right, states_after=(mixed,))
            if difference_of(reference.seen(item.call, made), item.asked(reference), reference.tolerance):
                return False
        return True

    sizes = range(1, len(open_ones) + 1)
    missing = next((some for size in sizes for some in combinations(open_ones, size) if enough(some)), None)
    if missing is None:
        return []
    did, rest = (", ".join(f"`{name}`" for name in names) for names in (changed, missing))
    return [
        {
            "asked": rest,
            "yours": did,
            "where": "",
            "sentence": f"Your function changes {did}. What still makes a difference: {rest}.",
        }
    ]


def _by_what_it_changes(reference: Values, function: Callable[..., Any], answered: list[Answered]) -> bool:
    """Whether modules do what the student's do where only that is changed which this candidate changes, as the
    student changed it. Else the student's do the same for a reason of which the candidate's sentence does not speak.
    """
    if reference.view is None or reference.repeats > 1:
        return True
    left = [
        item
        for item in answered
        if item.wrong and isinstance(item.answer, Called) and item.answer.states_after
    ]
    for item in {id(each.group): each for each in reversed(left[:FEW_STATES])}.values():
        answer = item.answer
        assert isinstance(answer, Called)
        before, found = _replay(_nothing, item), _replay(function, item)
        if not isinstance(before, Called) or not isinstance(found, Called):
            continue
        states = [
            {
                name: value if difference_of(old.get(name), value, 1e-9) == "" else left.get(name, value)
                for name, value in new.items()
            }
            for old, new, left in zip(
                before.states_after, found.states_after, answer.states_after, strict=True
            )
        ]
        made = replace(found, states_after=tuple(states))
        if difference_of(item.seen(reference), reference.seen(item.call, made), reference.tolerance):
            return False
    return True


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Leaves its arguments as they were."""


def _without_gradients(subject: Subject, reference: Values, item: Answered) -> list[Answered]:
    failed = item.answer
    if not isinstance(failed, Failed) or failed.doing != "computing gradients (backward)":
        return []
    answer = _called(subject(_request(item.call, None, item.seed)))
    made = replace(item, answer=answer, cotangent=None, known=None)
    return [replace(made, wrong=bool(_value_difference(reference, reference.function, made, reference.name)))]


def _features(reference: Values, answered: list[Answered]) -> list[dict[str, str]]:
    """In what the answers of a random function differ from those of the reference, each difference once."""
    found: dict[tuple[str, str, str], str] = {}
    for item in answered:
        if not item.wrong or not isinstance(item.answer, Called):
            continue
        asked, yours = item.asked(reference), item.seen(reference)
        where = call_text(reference.name, item.call.args, item.call.kwargs)
        if not (isinstance(asked, dict) and isinstance(yours, dict)):  # no words for them
            continue
        for name, word in asked.items():
            if isinstance(word, (str, int, float)) and yours.get(name, word) != word:
                found.setdefault((name, str(word), str(yours[name])), where)
    return [
        {
            "asked": f"{name}: {asked}",
            "yours": f"{name}: {yours}",
            "where": where,
            "sentence": f"{where}: {name}: {yours.rstrip(UNNAMED)}; asked for: {asked}.",
        }
        for (name, asked, yours), where in found.items()
    ]


def _candidates(
    part: Part,
    reference: Values,
    answered: list[Answered],
    search: bool = True,
    deep: bool = True,
    otherwise: Callable[[], bool] = lambda: False,
) -> list[_Candidate]:
    if not any(item.wrong for item in answered):
        return []
    first = sorted(answered, key=lambda item: (not item.wrong, len(item.again)))
    quick = reference.view is None

    def gives_all(function: Callable[..., Any]) -> bool:
        # Without the arguments' gradients first, where an argument is changed, as few edits do.
        return (deep or _leaves_as_the_student(function, first[0])) and _gives(reference, function, first)

    def explains(function: Callable[..., Any]) -> bool:
        if quick and not all(agrees(function, item.to_compare()) for item in first):
            return False
        return gives_all(function)

    found = [_Candidate(known.wrong, (known,)) for known in part.mistakes if explains(known.wrong)]
    if not found:
        for pair in _likeliest_first(part, reference, first)[:MOST_PAIRS]:
            if explains(pair.wrong):
                found.append(_Candidate(pair.wrong, (pair.one, pair.other)))
                break
    if reference.repeats > 1 or not search:
        return found  # what is compared of a random function is too coarse to tell edits from each other
    known = [item.to_compare() for item in first]
    edits = Search(reference.function, known, gives_all, otherwise, quick)
    slips = edits.run(deep=deep and not found, enough=PLACES if found else MOST_KEPT)
    return found + [_Candidate(slip.function, slip=slip) for slip in slips]


def _leaves_as_the_student(function: Callable[..., Any], item: Answered) -> bool:
    """Whether a candidate leaves the tensors among the arguments as the student's function did."""
    found = _replay(function, replace(item, cotangent=None))
    return (
        not isinstance(found, Called)
        or not isinstance(item.answer, Called)
        or all(map(partial(close, tolerance=1e-6), item.answer.tensors_after, found.tensors_after))
    )


def _likeliest_first(part: Part, reference: Values, answered: Sequence[Answered]) -> list[Pair]:
    """The pairs of mistakes, first those that would give the student's number in a call if both were factors, or
    both terms."""
    for item in answered:
        if item.wrong and isinstance(item.answer, Called):
            target = numbers(plain_value(item.answer.value))
            right = _numbers_of(reference.function, item)
            if target is not None and right is not None and len(right) == len(target):
                break
    else:
        return part.pairs
    given = {known.id: _numbers_of(known.wrong, item) for known in part.mistakes}

    def distance(pair: Pair) -> float:
        one, other = given[pair.one.id], given[pair.other.id]
        if one is None or other is None or not len(one) == len(other) == len(target):
            return 1.0
        terms, factors = 0.0, 0.0
        for a, b, base, wanted in zip(one, other, right, target, strict=True):
            terms += _gap(a + b - base, wanted)
            factors += _gap(a * b / base if base else math.nan, wanted)
        return min(terms, factors) / len(target)

    return sorted(part.pairs, key=distance)


def _gap(found: float, wanted: float) -> float:
    """From 0, where they are equal, to 1."""
    gap = abs(found - wanted)
    return gap / (gap + max(abs(wanted), 1e-12)) if math.isfinite(gap) else 1.0


def _numbers_of(function: Callable[..., Any], item: Answered) -> list[float] | None:
    known = item.to_compare()
    try:
        return numbers(function(*map(fresh, known.args), **{n: fresh(v) for n, v in known.kwargs.items()}))
    except Exception:
        return None


def _confirmed(
    subject: Subject, reference: Values, candidates: list[_Candidate], seed: int, values: bool = False
) -> list[_Candidate]:
    """The candidates that also give what the student's function gives in calls that it was not asked before.

    One call of each group is asked, and, as long as candidates differ, one in which they do. With `values`, one whose
    gradients raise is asked without them.
    """
    waiting: list[tuple[Group, Call, Dice]] = []
    for index, group in enumerate(reference.groups):
        dice = Dice(seed + FRESH + index)
        waiting.extend((group, made, dice) for made in group.calls(dice))
    firsts = {id(group): place for place, (group, _, _) in reversed(list(enumerate(waiting)))}
    order = list(firsts.values())

    def ask(place: int) -> None:
        nonlocal candidates
        group, made, dice = waiting[place]
        item = _ask(subject, reference, group, made, dice)
        if values:
            item = next(iter(_without_gradients(subject, reference, item)), item)
        candidates = [
            each
            for each in candidates
            if not _value_difference(reference, each.function, item, reference.name, True)
        ]

    for place in order:
        if candidates:
            ask(place)
    asked = set(order)
    while len(candidates) > 1 and len(asked) < len(waiting):
        rest = [place for place in range(len(waiting)) if place not in asked]
        telling = max(rest, key=lambda place: _kinds(reference, candidates, waiting[place][1]))
        if _kinds(reference, candidates, waiting[telling][1]) < 2:
            break
        ask(telling)
        asked.add(telling)
    return candidates


def _explain_in_part(
    subject: Subject, reference: Values, answered: list[Answered], seed: int, report: Report
) -> None:
    """Says of what formula the answers are that are wrong, where others are right: an edit that is made only under
    some condition, which nobody needs to know. Fresh calls must give what is asked, or what the edited formula gives.

    Numbers may agree by chance, and are asked for often; tensors do not.
    """
    wrong = [item for item in answered if item.wrong]
    if len(wrong) == len(answered) or reference.view is not None:
        return
    if not any(isinstance(item.answer, Called) for item in wrong):
        return
    if not _tells_formulas_apart(answered):
        return
    if _always_the_same(wrong):
        report.differences = _one_number_somewhere(subject, reference, answered, wrong)
        return

    def gives_all(function: Callable[..., Any]) -> bool:
        return _gives(reference, function, wrong)

    search = Search(reference.function, [item.to_compare() for item in wrong], gives_all)
    slips = search.run(deep=wrong[0].to_compare().plain and len(wrong) > 1)
    if not slips:
        return
    groups, before = {id(item.group) for item in wrong}, len(wrong)
    for turn, (index, group) in product(range(TURNS), enumerate(reference.groups)):
        if turn and len(wrong) >= (FEWEST_NUMBERS if wrong[0].to_compare().plain else FEWEST_TENSORS):
            break
        dice = Dice(seed + FRESH + turn * len(reference.groups) + index)
        for made in group.calls(dice) if id(group) in groups else ():
            item = _ask(subject, reference, group, made, dice)
            item = next(iter(_without_gradients(subject, reference, item)), item)
            if _value_difference(reference, reference.function, item, reference.name):
                wrong.append(item)
                slips = [slip for slip in slips if _gives(reference, slip.function, [item])]
    if (
        not slips
        or len(wrong) == before
        or len(wrong) < (FEWEST_NUMBERS if wrong[0].to_compare().plain else FEWEST_TENSORS)
    ):
        return
    slip = min(slips, key=lambda slip: slip.weight).where_it_matters(gives_all)
    written = call_text(reference.name, wrong[0].call.args, wrong[0].call.kwargs)
    when = _when(subject, reference, slip.function, answered)
    when = when or f"In some calls, such as {written}, and not in others:"
    report.differences = [{**each, "when": when} for each in slip.differences()]
    report.place = slip.place


def _one_number_somewhere(
    subject: Subject, reference: Values, answered: list[Answered], wrong: list[Answered]
) -> list[dict[str, str]]:
    """That a function gives one number, whatever it is called with, where some condition holds."""
    given = next(plain_value(item.answer.value) for item in wrong if isinstance(item.answer, Called))
    when = _when(subject, reference, lambda *_, **__: given, answered)
    if not when:
        return []
    said = {"asked": "", "yours": repr(given), "where": reference.name, "when": when}
    return [{**said, "sentence": f"Yours gives {given!r}, which is not asked for."}]


def _when(subject: Subject, reference: Values, function: Callable[..., Any], answered: list[Answered]) -> str:
    """In which calls the student's function does what another does, and not what is asked for; "" where it cannot be
    told. Calls in which both do the same say nothing."""
    parameters = signature(reference.function)
    items: list[tuple[Answered, dict[str, Any]]] = []
    cases, holds = list[Made](), list[bool]()

    def like_the_other(item: Answered) -> bool | None:
        right, other = (
            not _value_difference(reference, each, item, reference.name, True)
            for each in (reference.function, function)
        )
        return None if right == other else other

    for item in answered:
        bound = parameters.bind(*item.call.args, **item.call.kwargs)
        given = set(bound.arguments)
        bound.apply_defaults()
        values = {name: value for name, value in bound.arguments.items() if isinstance(value, (int, float))}
        other = like_the_other(item)
        if other is None or not values:
            continue
        items.append((item, {name: value for name, value in bound.arguments.items() if name not in values}))
        cases.append(Made(values, frozenset(values.keys() - given)))
        holds.append(other)

    def ask(number: int, made: Made) -> bool | None:
        item, rest = items[number]
        call = Call((), {**rest, **made.values})
        answer = _asked_plainly(subject, call)
        return like_the_other(replace(item, call=call, answer=answer, cotangent=None, again=(), known=None))

    return so_it_is(cases, holds, ask)


def _always_the_same(wrong: list[Answered]) -> bool:
    """Whether all wrong answers are one number, such as 0: any formula gives it somewhere."""
    values = [plain_value(item.answer.value) for item in wrong if isinstance(item.answer, Called)]
    return len(values) > 1 and all(type(each) in (int, float) and each == values[0] for each in values)


def _kinds(reference: Values, candidates: Sequence[_Candidate], made: Call) -> int:
    """How many different answers the candidates give to a call."""
    if reference.view is not None:
        return 1
    known = Answered(reference.groups[0], made, Failed("", ""), None, 0).to_compare()
    return len({key_of(each.function, known) for each in candidates})


def built(value: Any) -> Any:
    """An argument as the probe gives it to a function, its modules built."""
    if isinstance(value, dict) and "$module" in value:
        module = assemble(value["$module"])
        if "state" in value:
            module.load_state_dict(value["state"])
        return remembering(module.train(value.get("training", False)))
    if isinstance(value, (list, tuple)):
        return type(value)(map(built, value))
    return value


def remembering(module: nn.Module) -> nn.Module:
    """The module, which from now on gives again what it gave for the same numbers: hundreds of candidates call it
    with the same input."""
    kind = type(module)
    module.__class__ = type(kind.__name__, (_Remembering, kind), {})
    held = [*module.parameters(), *module.buffers()]
    object.__setattr__(module, "remembered", _Remembered(id(module), held, module.training))
    return module


@dataclass
class _Remembered:
    owner: int  # a copy of the module has weights of its own, and remembers nothing
    held: list[Tensor]
    training: bool  # as it was built
    given: dict[Any, Tensor] = field(default_factory=dict)


class _Remembering(nn.Module):
    """In evaluation without gradients, while nobody writes to the weights, and what neither lies in the input nor was
    written there."""

    remembered: Any

    def anew(self) -> nn.Module:
        """The module as it was built, for the next candidate. In training a run changes its statistics."""
        if self.remembered.training:
            return deepcopy(self)
        if any(each.training for each in self.modules()):
            self.eval()
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        kept = self.remembered
        x = args[0] if len(args) == 1 and not kwargs else None
        plain = self.training or torch.is_grad_enabled() or kept.owner != id(self)
        if plain or type(x) is not Tensor or x.dtype not in (torch.float32, torch.float64):
            return super().forward(*args, **kwargs)
        versions = tuple([each._version for each in kept.held])
        key = x.detach().numpy().tobytes(), x.dtype, x.shape, x.stride(), versions
        found = kept.given.get(key)
        if found is None:
            before = x._version
            found = super().forward(x)
            if type(found) is not Tensor or x._version != before or _memory(found) == _memory(x):
                return found
            if len(kept.given) >= INPUTS_KEPT:
                kept.given.clear()
            kept.given[key] = found
        return found.clone()


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
