"""Functions: calls a student's function and compares its values with those of candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from casestudies.checking.blocks import Explanation, explanation_of
from casestudies.checking.compare import close, difference_of, failure_text, tolerance_of, unwritten
from casestudies.checking.parts import Call, Dice, Group, Part, Values, call_text
from casestudies.checking.report import Criterion, Report
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Answer, Called, Failed, Subject
from casestudies.sandboxed.probe import Probe


@dataclass
class Answered:
    """One call of a student's function, and what came back."""

    group: Group
    call: Call
    answer: Called | Failed
    cotangent: Tensor | None
    seed: int


def check_values(part: Part, reference: Values, subject: Subject, seed: int, report: Report) -> None:
    """Fills in the report: what the student's function gives in every call, beside what the reference gives."""
    name = reference.name
    answered: list[Answered] = []
    for index, group in enumerate(reference.groups):
        dice = Dice(seed + index)
        for made in group.make(dice):
            answered.append(_ask(subject, reference, group, made, dice))
            failed = answered[-1].answer
            if isinstance(failed, Failed) and unwritten(failed):
                report.state, report.summary = "missing", failure_text(failed)
                return
    differences = [_value_difference(reference, reference.function, item, name) for item in answered]
    if reference.random:
        differences = [
            difference or _same_numbers_again(subject, reference, item, name)
            for item, difference in zip(answered, differences, strict=True)
        ]
    _criteria(part, reference, list(zip(answered, differences, strict=True)), report)
    wrong = [difference for difference in differences if difference]
    if not wrong:
        report.pass_all()
        return
    explanation = _recognise_function(part, reference, answered, name)
    report.name_mistakes(explanation.named, explanation.are_alternatives)
    raised = next((item.answer for item in answered if isinstance(item.answer, Failed)), None)
    report.summary = failure_text(raised) if raised else wrong[0]
    if raised and not report.points_now():
        report.state = "raised"
    report.settle()


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
        right = reference.function(*_fresh(made.args), **_fresh(made.kwargs))
        cotangent = dice.normal(*right.shape)
    answer = subject(_request(made, cotangent, seed))
    if isinstance(answer, Failed) and _has_tensor(made):
        made32 = Call(_cast(made.args), _cast(made.kwargs))
        again = subject(_request(made32, cotangent, seed))
        if isinstance(again, Called):
            return Answered(group, made32, again, cotangent, seed)
    return Answered(group, made, _called(answer), cotangent, seed)


def _called(answer: Answer) -> Called | Failed:
    """The answer to a call: `Checked` has seen to it that it is one."""
    assert isinstance(answer, (Called, Failed))
    return answer


def _request(made: Call, cotangent: Tensor | None, seed: int) -> messages.Call:
    return messages.Call(list(made.args), made.kwargs, cotangent, seed)


def _has_tensor(made: Call) -> bool:
    return any(isinstance(v, Tensor) for v in (*made.args, *made.kwargs.values()))


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


def _cast(value: Any) -> Any:
    return _map_tensors(value, lambda t: t.float() if t.is_floating_point() else t)


def _fresh(value: Any) -> Any:
    return _map_tensors(value, torch.clone)


def _replay(function: Callable[..., Any], item: Answered) -> Called | Failed:
    """What a candidate answers to the same call, through the same probe."""
    return _called(Probe(function).handle(_request(item.call, item.cotangent, item.seed)))


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
    if isinstance(expected, Failed):
        return f"{written} should raise {expected.type}; it returns a value."
    if reference.view is not None:
        found, right = (reference.view(item.call, each) for each in (answer, expected))
        problem = difference_of(found, right, reference.tolerance)
        return f"{written}: {problem}" if problem else ""
    problem = difference_of(answer.value, expected.value, reference.tolerance)
    if problem:
        return f"{written} {problem}"
    if reference.keeps_arguments:
        pairs = zip(answer.tensors_after, expected.tensors_after, strict=True)
        if any(not close(found, right, 1e-6) for found, right in pairs):
            return f"{written} changes its argument in place."
    # A value in float32 was computed in it, and its gradients too, although they come back in the argument's type.
    value = answer.value.value
    loosest = tolerance_of(value if isinstance(value, Tensor) else None, 1e-6)
    for mine, theirs in zip(expected.gradients or (), answer.gradients or (), strict=True):
        if not close(theirs, mine, max(loosest, tolerance_of(theirs, 1e-6))):
            return f"{written}: the value is right, but the gradient of an argument differs."
    return ""


def _recognise_function(part: Part, reference: Values, answered: list[Answered], name: str) -> Explanation:
    """The known mistakes, alone or in pairs, that give the student's value in every call."""

    def explains(wrong: Callable[..., Any]) -> bool:
        return all(not _value_difference(reference, wrong, item, name, True) for item in answered)

    return explanation_of(part, explains, lambda: part.pairs)
