"""Runs a check: asks the probe what the student's object does, and finds who else does exactly that.

The student's block is given random weights once for every case, and what it does with them is recorded. Then
each candidate - the reference, the known mistakes, pairs of them - receives the same weights and repeats the
case. If the reference does the same in every respect, the part is passed. If a known mistake does, that is the
mistake. If nobody does, the report says where the reference parts from the student first.

Computed in float64 where the block allows it: rounding is then so small that nothing right ever fails.
"""

from __future__ import annotations

import gc
import logging
import secrets
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from operator import index
from typing import Any

from casestudies.checking import parts as declarations
from casestudies.checking.blocks import check_module
from casestudies.checking.borrowed import borrowed
from casestudies.checking.functions import check_values
from casestudies.checking.parts import Part, Reference, Values
from casestudies.checking.replaced import replaced
from casestudies.checking.report import Report
from casestudies.checking.session import remember
from casestudies.language import message
from casestudies.sandboxed import messages
from casestudies.sandboxed.messages import Checked, Described, Failed, Malformed, Subject, SubjectLost
from casestudies.sandboxed.probe import PARTIAL, Probe, generators_kept
from casestudies.sandboxed.quoting import named, printable
from casestudies.sandboxed.torch_state import our_state

NO_PART = message("There is no part named {name}.")
DID_YOU_MEAN = message("Did you mean {names}?")
MALFORMED = "The answers of the code could not be read: they are not what the check asked for."
FAULT = (
    "The check could not be completed, which is its own fault and not the answer's: a human has to decide."
)
REPLACED = message(
    "{name} has been replaced, and the reference calls it as well, so that nothing can be compared. Put back what "
    "stood there, or restart the kernel, and run the check again."
)


NEVER = 2**31 - 1  # so many collections of what has lived for a while no check sees
YOUNG = 10_000  # objects at least, before the young are looked at: a check makes hundreds of thousands


@contextmanager
def _without_full_collections() -> Iterator[None]:
    """Meanwhile Python's garbage collector looks at young objects only, and seldom.

    A check makes so many objects that it would go through all that a notebook holds once or twice, which takes longer
    than to compare a block with dozens of candidates, and finds next to nothing.
    """
    before = gc.get_threshold()
    if before[0]:  # else nothing is collected at all
        gc.set_threshold(max(before[0], YOUNG), before[1], NEVER)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_without_full_collections()
def check(
    part: str, answer: Any, *, hidden: bool = False, seed: int | None = None, hints: str | None = None
) -> Report:
    """Compare an answer with the reference of a part of an assignment.

    In a notebook, the report is displayed if the call is the last line of a cell.

    An unknown part, an answer of the wrong kind and an answer that raises do not make `check` raise an error: the
    `~casestudies.checking.report.Report.state` and the `~casestudies.checking.report.Report.summary` of the report
    say what happened.

    The report opens at one hint step. In a notebook, the later steps open with a click. In a terminal, each call
    in a row that finds the same fault moves on one step, with or without `hints`, and a call without `hints` shows
    the report up to there. A different fault starts again at the symptom. Empty steps are skipped.

    The answer runs on the CPU, on inputs that the check makes.

    Args:
        part: The id of the part, ``"assignment/part"``, such as ``"resnet/basic_block"``. The keys of
            ``casestudies.checking.parts.parts()`` are the ids of all parts.
        answer: The class or function itself, not a call of it.
        hidden: True marks the check that students do not see; the report is the same. In grading, a hidden check that
            directly follows the visible one of the same part is answered by the same run; otherwise both run, and the
            worse result counts. Default: False.
        seed: A whole number from -2⁶³ to 2⁶³ - 1, also of NumPy or in a tensor of one element, which fixes the random
            choices. The `~casestudies.checking.report.Report.seed` of an earlier report repeats the choices of that
            check. Default: None, for a new seed.
        hints: The hint step at which the report opens: ``"symptom"``, ``"place"``, ``"mistake"`` or ``"all"``. For
            any other value it opens at the symptom, and its `~casestudies.checking.report.Report.notes` say so.
            Default: None, for the step that the environment variable CASESTUDIES_HINTS names, as after ``%env
            CASESTUDIES_HINTS=place`` in a notebook, or ``"symptom"`` if it is not set.

    Returns:
        The `~casestudies.checking.report.Report`, with everything that the check found, however little is shown.

    Raises:
        TypeError: If `seed` is not a whole number. The values 1.0, ``"1"`` and True are not.
        ValueError: If `seed` is less than -2⁶³ or greater than 2⁶³ - 1.

    >>> def wrong(size, kernel, stride=1, padding=0):
    ...     return size - kernel + 1
    >>> report = check("lenet/conv_output_size", wrong, seed=1)
    >>> report.state, report.points < report.possible
    ('partial', True)
    >>> report.mistakes
    ['padding_ignored', 'stride_ignored']
    """
    seed = _whole(seed)
    probe = Probe(answer)
    with _as_written():
        report = run_check(part, probe.handle, seed=seed, hidden=hidden)
    if report.criteria and (name := replaced()):  # while it ran
        report.leave_to_a_human(REPLACED.format(name=name))
    if name := borrowed(answer, probe.modules.values()):
        report.notes.append(
            f"Your answer uses {named(name)}, which is not there when you are graded: it fails then. Write the part "
            "yourself."
        )
    remember(report, hints)
    return report


def _whole(seed: Any) -> int | None:
    """A seed as a number that every generator takes."""
    if seed is None:
        return None
    given, expected = (
        printable(repr(seed), 60),
        "expected a whole number, such as the seed of an earlier report",
    )
    truth = isinstance(seed, bool) or str(getattr(seed, "dtype", "")) == "torch.bool"
    try:
        whole = None if truth else index(seed)
    except TypeError:
        whole = None
    if whole is None:
        raise TypeError(f"seed is {given} ({type(seed).__name__}); {expected}")
    if not -(2**63) <= whole < 2**63:
        raise ValueError(f"seed is {given}, which does not fit into 64 bits; {expected}")
    return int(whole)


def _as_written() -> AbstractContextManager[Any]:
    """Code that asks for a compiler runs as it is written, here as where it is graded: compiling takes minutes."""
    if "torch._dynamo" not in sys.modules:  # nothing has asked for it, and its import takes seconds
        return nullcontext()
    import torch

    return torch.compiler.set_stance("force_eager")


def run_check(part: str, subject: Subject, seed: int | None = None, hidden: bool = False) -> Report:
    """`check` for an object that is reached through `subject`: requests of `probe.Probe` in, answers out."""
    return _run(part, subject, seed)


def run_both_checks(part: str, subject: Subject, seed: int | None = None) -> tuple[Report, Report]:
    """The reports of the visible and of the graded check, from one round of questions."""
    report = _run(part, subject, seed)
    return report, deepcopy(report)


@_without_full_collections()
def _run(part: str, subject: Subject, seed: int | None) -> Report:
    declared = declarations.find(part)
    if declared is None:
        return _unknown_part(part)
    seed = secrets.randbelow(2**31 - 1) if seed is None else int(seed)
    report = Report(
        part=declared.id, possible=declared.points, seed=seed, title=declared.title, see=declared.see
    )
    if name := replaced():
        report.leave_to_a_human(REPLACED.format(name=name))
        return report
    try:
        with our_state(), generators_kept():  # the references are computed in it as well
            _judge(declared, Checked(subject), seed, report)
    except SubjectLost as lost:
        _settle(report, lost.state, lost.reason)
    except Malformed:
        _settle(report, "crashed", MALFORMED)
    except Exception:  # a mistake of ours: what the answers may be was checked before
        logging.getLogger(__name__).exception("the check of %s with seed %d failed", declared.id, seed)
        _settle(report, "ungradable", FAULT)
    return report


def _judge(declared: Part, subject: Subject, seed: int, report: Report) -> None:
    described = subject(messages.Describe())
    wrong_kind = None
    if isinstance(described, Described):
        wrong_kind = _wrong_kind(declared, described)
    elif isinstance(described, Failed):
        wrong_kind = f"The answer cannot be looked at: it raises {named(described.type)}."
    if wrong_kind:
        _settle(report, "wrong kind", wrong_kind)
    elif isinstance(declared.reference, Values):
        check_values(declared, declared.reference, subject, seed, report)
    else:
        check_module(declared, declared.reference, subject, seed, report)
    if not report.passed:
        declared.expect_given()


def _settle(report: Report, state: str, summary: str) -> None:
    """There was no answer to judge."""
    report.criteria, report.recognised, report.points = [], [], 0.0
    report.state, report.summary = state, summary


def _unknown_part(part: object) -> Report:
    near = declarations.nearest(part)
    hint = " " + DID_YOU_MEAN.format(names=" or ".join(repr(n) for n in near)) if near else ""
    summary = NO_PART.format(name=printable(repr(part), 100)) + hint
    return Report(
        part=printable(part, 100),
        possible=0.0,
        seed=0,
        title="Unknown part",
        state="unknown part",
        summary=summary,
    )


def _wrong_kind(part: Part, described: Described) -> str | None:
    """One sentence where the answer is not the kind of thing that the part asks for."""
    kind, name = described.kind, named(described.name)
    reference = part.reference
    wanted = message("function")
    if isinstance(reference, Reference) and reference.kind == "class":
        wanted = message("class")
    expected = reference.name
    if wanted == "class":
        if kind == "module class":
            return None
        if kind == "module":
            return (
                f"The answer is an instance of {name}; hand over the class itself: "
                f'check("{part.id}", {expected}), without parentheses after the name.'
            )
        if kind == "class":
            return f"The class {name} is not a torch.nn.Module; write class {expected}(nn.Module)."
        if kind == "function" and name == PARTIAL:
            return (
                f"The answer is a functools.partial; write `class {expected}(nn.Module)`, whose `__init__` takes "
                "all the arguments."
            )
        if kind == "function":
            return (
                f"The answer, {name}, is a function; write `class {expected}(nn.Module)`, with `__init__` and "
                "`forward`."
            )
    else:
        if kind == "function":
            return None
        if kind in ("module class", "class"):
            return f"The answer is the class {name}; this part asks for a function {expected}(...)."
        if kind == "module":
            return f"The answer is a module ({name}); this part asks for the function {expected} itself."
    what = "None" if kind == "none" else f"a value of type {name}"
    return (
        f"The answer is {what}; this part asks for the {wanted} {expected} itself: "
        f'check("{part.id}", {expected}), without parentheses after the name.'
    )
