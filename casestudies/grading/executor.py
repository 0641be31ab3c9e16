"""Grades one notebook: the student's process runs the cells, this process asks the questions and judges.

`grade_submission` is a function of data to data; it reads no folder and no gradebook.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from casestudies.grading import cells as source
from casestudies.grading import elsewhere
from casestudies.grading.cells import Assignment, Check, Run, SourceCell, Step, UnprotectedCheck
from casestudies.grading.handed_in import OTHERS, own_files
from casestudies.grading.intake import (
    ANOTHER,
    Corrupt,
    HandedCell,
    bounded,
    clean_output,
    own_cells,
    read_notebook,
    rebuild,
    untouched,
)
from casestudies.grading.sandbox import MOSTLY, Limits, Lost, Sandbox, Student
from casestudies.grading.sanitise import one_line
from casestudies.grading.secret import submission_seed
from casestudies.grading.submission import Submission, digest
from casestudies.grading.verdicts import (
    NO_SANDBOX,
    NOT_PROTECTED,
    Graded,
    Output,
    Verdict,
    message_output,
    report_output,
)
from casestudies.language import message
from casestudies.sandboxed import messages
from casestudies.sandboxed.quoting import quoted

if TYPE_CHECKING:
    from nbformat import NotebookNode

_WHY = {
    "timed out": message("The time limit was reached."),
    "crashed": message("The code ended its own process."),
    "memory": message("The code used more memory than it may."),
    "processes": message("The code started more processes than it may."),
    "answer too large": message("The code returned more data than it may."),
    "too much output": message("The code wrote more output than it may."),
    "malformed": message("The answers of the code could not be read: they are not what was asked for."),
}


NOT_DEFINED = message(
    "{name} is not defined: the cell that defines it is missing, unfinished, or raised an error."
)
RAISED = message("The code raised {error} with the message {message}.")
NO_SUCH_PART = message("There is no part {name}.")
HIDDEN_FAILED = message("A hidden test failed.")
IN_HIDDEN = message("In hidden tests: {problem}")
WAITED = message(
    "The time limit was reached by the clock, though the code had computed for a small part of it: it waits for "
    "something, or the machine was busy. It was tried once more, alone. A human has to decide."
)
SLEPT = message(
    "The time limit was reached while the code slept, or waited for something that did not come: for most of it no "
    "part of it computed, nor waited for a processor. It came to the same end when it was tried alone."
)


def explain(lost: Lost) -> str:
    if lost.waited:
        return SLEPT if lost.slept else WAITED
    return _WHY.get(lost.reason, "The code's process was lost.")


FEWEST_SECONDS = 2.0  # of a cell or a check, whatever ran out of time before it
PICTURES = (".png", ".jpg", ".jpeg", ".gif")
NOT_THERE = ("missing", "crashed")  # the states of a part whose cell did not come to its end


class Pressed(BaseException):
    """The machine, not the submission, ran short of memory or time: it has to be graded once more, alone. No
    `Exception`: it comes up through the check, which takes those for its own faults."""


@dataclass
class Task:
    """A graded cell and how far it is."""

    cell: SourceCell
    verdict: Verdict
    steps: list[Step]
    decided: dict[int, Any] = field(default_factory=dict)  # step -> Report, for checks
    outputs: list[Output] = field(default_factory=list)
    closed: bool = False
    value: messages.CellRan | None = None  # what the last statement of a plain cell gave

    @property
    def plain(self) -> bool:
        return not any(isinstance(step, Check) for step in self.steps)

    @property
    def hidden_statements(self) -> str:
        """The hidden tests of a plain cell: they run in a process of their own."""
        return "\n".join(step.source for step in self.steps if isinstance(step, Run) and step.hidden)


class Runner:
    """Runs a rebuilt notebook and fills in outputs and verdicts.

    A cell that ends its process is left out and the notebook is run again without it, so that one bad cell
    does not cost the others.
    """

    def __init__(
        self,
        notebook: NotebookNode,
        assignment: Assignment,
        sandbox: Sandbox,
        limits: Limits,
        files: dict[str, bytes],
        seed: str,
        alone: bool = True,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self.notebook, self.sandbox, self.limits, self.seed = notebook, sandbox, limits, seed
        self.alone = alone  # nothing else is graded now, and this is the last try
        self.at = 0  # the cell that is run
        self.ran_out: set[int] = set()  # cells that came to the end of their time, or whose checks did
        # What is said of a cell that is not graded, in which the clock ran out though it computed little, and whether
        # it slept.
        self.waited, self.slept = "", False
        self.files = {whole(name): base64.b64encode(data).decode() for name, data in own_files(files).items()}
        self.spent = 0.0  # seconds of the children that have ended
        self.computed = 0.0  # and of processor time alone
        self.idle = 0.0  # and those in which it could have computed and did not
        known = {cell.id: cell for cell in assignment.cells}
        self.tasks: dict[int, Task] = {}
        for index, cell in enumerate(notebook.cells):
            ours = known.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
            if ours is not None and ours.autograded:
                self.tasks[index] = self._task(ours)
        self.left_out: set[int] = set()
        self.ended: list[str] = []  # notes: cells of the student's that did not come to their end
        # Cells -> the name that the student's own text of the check asks about; and those that were judged by it.
        self.renamed, self.by_another_name = renamed or {}, set[str]()
        self.position = 0
        self.count = 0

    @staticmethod
    def _task(cell: SourceCell) -> Task:
        verdict = Verdict(cell.id, cell.points)
        try:
            steps = source.steps(cell.source)
        except UnprotectedCheck as error:
            task = Task(cell, verdict, [], closed=True)
            verdict.state, verdict.points, verdict.message = "ungradable", None, str(error)
            return task
        except SyntaxError:  # IPython's own syntax, such as %timeit
            steps = [Run(cell.source)]
        task = Task(cell, verdict, steps)
        if task.plain or any(isinstance(step, Run) for step in steps):
            verdict.protected = not task.plain
        return task

    # ----------------------------------------------------------------------- the notebook

    @property
    def seconds_left(self) -> float:
        return self.limits.notebook_seconds - self.spent

    @contextmanager
    def _child(self) -> Iterator[Student]:
        """A fresh process with the submission's files. Raises Pressed where the machine ended it."""
        child = self.sandbox.child(replace(self.limits, notebook_seconds=max(0.1, self.seconds_left)))
        try:
            with child:
                if self.files:
                    self._ask(child, messages.Files(self.files), 30)
                yield child
        except Lost:
            if child.end_reason == "pressure":
                raise Pressed from None
            raise
        finally:
            self.spent += child.seconds
            self.computed += child.processor_seconds
            self.idle += child.idle_seconds

    def _seconds(self, usual: float) -> float:
        """What this cell or check may take. Below two whose time has run out it is half of the usual, below three a
        quarter: many loops without an end must not hold a worker for minutes. What is right takes far less."""
        before = sum(index < self.at for index in self.ran_out)
        return max(min(usual, FEWEST_SECONDS), usual / 2 ** max(0, before - 1))

    def _ask(
        self,
        child: Student,
        request: messages.Files | messages.Cell | messages.Take | messages.Ask,
        seconds: float,
        output: Callable[[messages.Output], None] | None = None,
    ) -> messages.Outcome:
        """Raises Pressed where the clock ran out without the code's doing, unless this is the last try."""
        try:
            return child.ask(request, seconds, output)
        except Lost as lost:
            if lost.reason == "timed out":
                self.ran_out.add(self.at)
            if lost.waited and not self.alone:
                raise Pressed from None
            raise

    def run(self) -> list[Verdict]:
        restarts = 0
        while self.position < len(self.notebook.cells):
            if self.seconds_left <= 0:
                most = MOSTLY * self.limits.notebook_seconds
                waited, slept = self.computed < most, self.computed + self.idle >= most
                if waited and not self.alone:
                    raise Pressed
                if waited:
                    self._give_up(*(("timed out", SLEPT) if slept else ("ungradable", WAITED)))
                else:
                    self._give_up("timed out", "The notebook's time limit was reached before this cell.")
                break
            if restarts > self.limits.restarts:
                self._give_up("crashed", "Cells before this one ended the process again and again.")
                break
            decided = self._decided()
            try:
                with self._child() as child:
                    for index in range(len(self.notebook.cells)):
                        self._cell(child, index)
                        self.position = max(self.position, index + 1)
            except Lost:
                # Each check is decided once, so those that end the process cannot go on for ever. They do not use up
                # what the notebook has left: what is right below them still counts.
                restarts += self._decided() == decided
        for index, task in self.tasks.items():
            self._hidden_tests(index, task)
            self._finish(index, task)
        return [task.verdict for task in self.tasks.values()]

    def _decided(self) -> int:
        return sum(len(task.decided) for task in self.tasks.values())

    def _give_up(self, state: str, message: str) -> None:
        for index, task in self.tasks.items():
            if index >= self.position and not task.closed:
                self._close(task, state, message)

    def _cell(self, child: Student, index: int) -> None:
        cell = self.notebook.cells[index]
        if cell.cell_type != "code" or index in self.left_out:
            return
        self.at = index
        if index in self.tasks:
            self._graded_cell(child, index, self.tasks[index])
            return
        replay = index < self.position
        outputs: list[Output] = []
        try:
            request = messages.Cell(whole(cell.source))
            self._ask(child, request, self._seconds(self.limits.cell_seconds), _into(outputs))
        except Lost as lost:
            if lost.waited and not (
                self.waited and lost.slept
            ):  # where both happened, the machine may be why
                self.waited, self.slept = explain(lost), lost.slept
            outputs.append(message_output(explain(lost)))
            if not replay:
                name = cell.metadata.get("nbgrader", {}).get("grade_id")
                which = f"the cell {quoted(name)}" if name else "a cell that was added"
                self.ended.append(
                    f"{which} was ended, and what it defines may be missing below: {explain(lost)}"
                )
            if not lost.alive:
                self.left_out.add(index)
                self.position = max(self.position, index + 1)
                raise
        finally:
            if not replay:
                self._record(index, outputs)

    def _record(self, index: int, outputs: list[Output]) -> None:
        from nbformat import from_dict

        cell = self.notebook.cells[index]
        self.count += 1
        cell.execution_count = self.count
        for output in outputs:
            if output["output_type"] == "execute_result":
                output["execution_count"] = self.count
        cell.outputs = [from_dict(output) for output in outputs]

    # ----------------------------------------------------------------------- a graded cell

    def _graded_cell(self, child: Student, index: int, task: Task) -> None:
        replay = task.closed or index < self.position
        for number, step in enumerate(task.steps):
            if isinstance(step, Check):
                if not replay and number not in task.decided:
                    self._check_both(child, task, number, step)
            elif not (task.plain and step.hidden):
                outputs: list[Output] = []
                try:
                    request = messages.Cell(whole(step.source))
                    answer = self._ask(
                        child, request, self._seconds(self.limits.cell_seconds), _into(outputs)
                    )
                except Lost as lost:
                    if not replay:
                        self._close(task, _state_of(lost), explain(lost))
                    if not lost.alive:
                        self.left_out.add(index)
                        raise
                    return
                if replay:
                    continue
                if not step.hidden:
                    task.outputs += outputs
                if not isinstance(answer, messages.CellRan):
                    self._close(task, "wrong" if task.plain else "crashed", _raised(answer))
                    return
                task.value = answer
        if not replay and task.plain and not task.hidden_statements:
            self._judge_plain(task)

    def _check_both(self, child: Student, task: Task, number: int, step: Check) -> None:
        """A hidden check asks all that the visible one does, and more: where it follows, one round of questions
        serves both. Where that was cut short, the visible one gets a round of its own."""
        following = number + 1
        graded = replace(step, hidden=True)
        if following < len(task.steps) and task.steps[following] == graded != step:
            if following not in task.decided:
                self._check(child, task, following, graded, visible=number)
            if number in task.decided:
                return
        self._check(child, task, number, step)

    def _check(
        self, child: Student, task: Task, number: int, step: Check, visible: int | None = None
    ) -> None:
        """Decides a check, and with it the one at `visible` if that is given and the student's process lives on."""
        from casestudies.checking.engine import run_both_checks, run_check
        from casestudies.checking.report import Report
        from casestudies.sandboxed.messages import SubjectLost

        seed = step.seed if step.seed is not None else self._seed(task.cell.id, step)
        report = Report(part=step.part, possible=0.0, seed=seed)
        for other, decided in task.decided.items():
            before = task.steps[other]
            if isinstance(before, Check) and before.part == step.part and decided.state == "timed out":
                report, seed = decided, -1  # it would only take the same time again
        lost_for_good: list[Lost] = []
        begun, allowed = child.clock(), self._seconds(self.limits.check_seconds)

        def ask(request: messages.Take | messages.Ask) -> messages.Outcome:
            try:
                left = allowed - child.seconds_since(begun)
                if left > 0:
                    return child.ask(request, left)
                raise Lost("timed out", alive=True)
            except Lost as lost:
                if lost.reason == "timed out":
                    self.ran_out.add(self.at)
                    lost.note(child.has_waited(begun, allowed))
                if lost.waited and not self.alone:
                    raise Pressed from None
                if not lost.alive:
                    lost_for_good.append(lost)
                raise SubjectLost(explain(lost), _state_of(lost)) from None

        def subject(request: messages.Request) -> messages.Answer:
            outcome = ask(messages.Ask(request))
            if isinstance(outcome, messages.Answered):
                return outcome.answer
            assert isinstance(outcome, messages.Raised)  # `Student.ask` lets nothing else through
            return messages.Failed(outcome.type, outcome.message)

        if seed >= 0:
            try:
                taken = ask(messages.Take(step.expression))
                if isinstance(taken, messages.Done) and visible is not None:
                    seen, report = run_both_checks(step.part, subject, seed)
                    if report.state not in ("timed out", "crashed"):
                        task.decided[visible] = seen
                elif isinstance(taken, messages.Done):
                    report = run_check(step.part, subject, seed=seed, hidden=step.hidden)
                else:
                    assert isinstance(taken, messages.Missing | messages.Raised)  # see `Student.ask`
                    report = self._not_taken(step, seed, taken)
                    name = self.renamed.get(task.cell.id) if isinstance(taken, messages.Missing) else None
                    if name and isinstance(ask(messages.Take(name)), messages.Done):
                        judged = run_check(step.part, subject, seed=seed, hidden=step.hidden)
                        # Else it may be right: a human decides, see `without_renamed`.
                        if not judged.points and judged.state != "ungradable":
                            report = judged
                            self.by_another_name.add(task.cell.id)
            except SubjectLost as lost:
                report = self._unanswered(step, seed, lost.state, lost.reason)
        task.decided[number] = report
        if lost_for_good:
            raise lost_for_good[0]

    def _seed(self, cell: str, step: Check) -> int:
        """From the two seeds of `submission_seed`; a seed without "/" stands for both."""
        from casestudies.checking.space import seed_of

        own, _, cases = self.seed.partition("/")
        return seed_of(cases_of(cases or own, step.part), _number(f"{own}|{cell}|{step.part}"))

    @staticmethod
    def _unanswered(step: Check, seed: int, state: str, summary: str) -> Any:
        from casestudies.checking import parts
        from casestudies.checking.report import Report

        declared = parts.find(step.part)
        if declared is None:
            return Report(
                step.part, 0.0, seed, state="unknown part", summary=NO_SUCH_PART.format(name=repr(step.part))
            )
        return Report(
            step.part, declared.points, seed, declared.title, declared.see, state=state, summary=summary
        )

    def _not_taken(self, step: Check, seed: int, taken: messages.Missing | messages.Raised) -> Any:
        if isinstance(taken, messages.Missing):
            name = quoted(taken.name)
            return self._unanswered(step, seed, "missing", NOT_DEFINED.format(name=name))
        return self._unanswered(step, seed, "raised", _raised(taken))

    # ----------------------------------------------------------------------- plain assertion cells

    def _judge_plain(self, task: Task) -> None:
        """nbgrader's usual way: full points unless it raised; a number at the end is partial credit.

        Anything else at the end is no score: a human decides.
        """
        value, possible = task.value, task.cell.points
        task.closed = True
        number = None if value is None else value.number
        if value is None or not value.has_value:
            task.verdict.state, task.verdict.points = "passed", possible
        elif number is not None and 0 <= number <= possible:
            task.verdict.points = number
            task.verdict.state = "passed" if number == possible else "partial" if number else "wrong"
        else:
            task.verdict.state, task.verdict.points = "ungradable", None
            task.verdict.message = "The cell ends with a value that is no score between 0 and its points."

    def _hidden_tests(self, index: int, task: Task) -> None:
        """Hidden tests of a plain cell, in a fresh process that shows none of its output to anybody."""
        if task.closed or not task.plain or not task.hidden_statements:
            return
        try:
            with self._child() as child:
                for earlier in range(index + 1):
                    self.position = len(self.notebook.cells)  # everything is a replay now
                    self._cell(child, earlier)
                request = messages.Cell(task.hidden_statements)
                answer = self._ask(child, request, self._seconds(self.limits.cell_seconds))
        except Lost as lost:
            self._close(task, _state_of(lost), IN_HIDDEN.format(problem=explain(lost)))
            return
        if not isinstance(answer, messages.CellRan):
            self._close(task, "wrong", HIDDEN_FAILED)
            return
        task.value = answer
        self._judge_plain(task)

    # ----------------------------------------------------------------------- closing

    @staticmethod
    def _close(task: Task, state: str, message: str) -> None:
        task.closed = True
        points = None if state == "ungradable" else 0.0
        task.verdict.state, task.verdict.points, task.verdict.message = state, points, message

    def _finish(self, index: int, task: Task) -> None:
        """Verdict and outputs of a graded cell."""
        verdict, outputs = task.verdict, list(task.outputs)
        for number, step in enumerate(task.steps):
            if isinstance(step, Check) and number in task.decided:
                report = task.decided[number]
                verdict.reports.append({**report.to_dict(), "hidden": step.hidden})
                outputs.append(report_output(report, step.hidden))
        if not task.closed and verdict.reports:
            verdict.settle()
            verdict.message = next((r["summary"] for r in verdict.reports if r["summary"]), "")
        if self.waited and verdict.state in NOT_THERE:
            # What it lacks may stand in the cell that the clock cut short.
            state, points = ("timed out", 0.0) if self.slept else ("ungradable", None)
            verdict.state, verdict.points, verdict.message = state, points, self.waited
            outputs.append(message_output(self.waited))
        if not verdict.protected:
            outputs.append(message_output(f"This cell was {NOT_PROTECTED}.", instructor=True))
        if verdict.message and not verdict.reports:
            outputs.append(message_output(verdict.message))
        task.closed = True
        self._record(index, outputs)


def _state_of(lost: Lost) -> str:
    """The state of a part that was not answered for."""
    if lost.waited and not lost.slept:
        return "ungradable"
    return "timed out" if lost.reason == "timed out" else "crashed"


def cases_of(seed: str, part: str) -> int:
    """The seed of a part's cases, from that of all cases of its assignment."""
    return _number(f"{seed}|{part}")


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % (2**31 - 1)


def whole(text: str) -> str:
    """The text with a mark in place of half a character, which cannot be sent or written."""
    return text.encode("utf-8", "replace").decode()


def _into(outputs: list[Output]) -> Callable[[messages.Output], None]:
    """Collects a student's outputs, each made harmless as it arrives."""

    def collect(output: messages.Output) -> None:
        cleaned = clean_output(_as_in_a_notebook(output))
        if cleaned is None:
            return
        if outputs and cleaned["output_type"] == "stream" == outputs[-1]["output_type"]:
            if cleaned["name"] == outputs[-1]["name"]:
                outputs[-1]["text"] += cleaned["text"]
                return
        outputs.append(cleaned)

    return collect


def _as_in_a_notebook(output: messages.Output) -> Output:
    """An output in nbformat's form."""
    if isinstance(output, messages.StreamOutput):
        return {"output_type": "stream", "name": output.name, "text": output.text}
    if isinstance(output, messages.ErrorOutput):
        lines = list(output.traceback)
        return {"output_type": "error", "ename": output.type, "evalue": output.message, "traceback": lines}
    kind = "execute_result" if output.result else "display_data"
    return {"output_type": kind, "data": dict(output.data), "metadata": {}}


def _raised(outcome: messages.Outcome) -> str:
    """What a cell raised: in the student's words, and said to be so."""
    if isinstance(outcome, messages.Raised):
        return RAISED.format(error=quoted(outcome.type), message=quoted(outcome.message, 300))
    return message("The code did not run.")


# --------------------------------------------------------------------------- one submission


_SECRET_OF_THIS_PROCESS = secrets.token_bytes(32)


def grade_submission(
    submission: Submission,
    assignment: Assignment,
    sandbox: Sandbox,
    limits: Limits | None = None,
    seed: str | None = None,
    alone: bool = True,
) -> Graded:
    """Grades one submission. Never raises because of what a student handed in.

    Where it is not `alone`, and the clock runs out though it has computed little, `Pressed` is raised: the caller
    tries it once more, alone. What then still does not come to an end is for a human, unless it slept: that is not
    the machine's doing, however busy it is.

    `seed` comes from `secret.submission_seed` with the secret of the course. Without one, the questions are drawn
    anew in every process, which no student can foresee either.
    """
    started = time.monotonic()
    notes, problem = list(submission.notes), submission.problem
    read: list[HandedCell] = []
    if submission.notebook is None:
        problem = problem or "No notebook was handed in."
    elif not problem:
        try:
            read = read_notebook(submission.notebook)
        except Corrupt as error:
            problem = f"The notebook could not be read: {error}."
    notebook, repairs, lost = rebuild(read, assignment, submission.files, nothing=submission.notebook is None)
    written = {cell.id for cell in assignment.cells if cell.students}
    instead = ""
    if not problem and not (written and lost >= written) and elsewhere.is_idle(read, assignment):
        instead, problem = _work_beside(submission, assignment, read)
        if instead:
            read = read_notebook(submission.others[instead])
            notebook, repairs, lost = rebuild(read, assignment, submission.files)
            notes.append(elsewhere.TAKEN_INSTEAD.format(name=quoted(instead)))
    other = next((note for note in repairs if note.startswith(ANOTHER)), "")
    if not instead and written and written <= untouched(notebook, assignment):  # it may stand in one of those
        other = other or next((note for note in notes if note.startswith(OTHERS)), "")
    if not problem and (other or written and lost >= written):
        # No program decides that such a notebook is worth nothing.
        problem = f"None of this could be graded: {other or 'the cells that students write are not there'}."
    places: list[str] = []
    waiting: list[str] = []
    if left := elsewhere.unwritten(notebook, assignment):
        places = elsewhere.places_of_answers(read, notebook, assignment, submission, problem, instead)
        if places:
            waiting = [" ".join([elsewhere.NOT_WRITTEN.format(name=quoted(each)), *places]) for each in left]
    if problem:
        state = "missing" if submission.notebook is None else "ungradable"
        verdicts = _without_looking(assignment, state, problem)
        notes += [problem, *waiting]
    else:
        notes += repairs + waiting
        if seed is None:
            seed = submission_seed(
                _SECRET_OF_THIS_PROCESS, assignment.name, submission.notebook, submission.files
            )
        if instead:  # the seed was drawn from the notebook that holds nothing
            own, _, cases = seed.partition("/")
            seed = f"{hashlib.sha256(own.encode() + submission.others[instead]).hexdigest()}/{cases or own}"
        renamed = elsewhere.renamed(read, assignment)
        runner = Runner(
            notebook,
            assignment,
            sandbox,
            limits or sandbox.limits,
            submission.files,
            seed,
            alone,
            {cell: names[0] for cell, names in renamed.items() if len(names) == 1},
        )
        verdicts = elsewhere.without_renamed(runner.run(), renamed, runner.by_another_name)
        notes += runner.ended
        notes += [
            elsewhere.JUDGED_BY.format(cell=quoted(cell), name=quoted(renamed[cell][0]))
            for cell in sorted(runner.by_another_name)
        ]
    seconds = time.monotonic() - started
    return _written(
        submission, assignment, notebook, verdicts, notes, sandbox.protection, seconds, places=places
    )


def _work_beside(submission: Submission, assignment: Assignment, read: list[HandedCell]) -> tuple[str, str]:
    """For a notebook without any code of the student's: the notebook in an archive that takes its place, or why a
    human has to look at what lies beside it; ("", "") where nothing does."""
    own = own_cells(read, assignment)
    if not own and (instead := elsewhere.notebook_instead(submission, assignment)):
        return instead, ""
    work = elsewhere.files_beside(submission, assignment, elsewhere.holds_work)
    if own:  # a picture may belong to what was written
        work = [name for name in work if not name.lower().endswith(PICTURES)]
    return "", elsewhere.UNTOUCHED.format(names=elsewhere.names_of(work)) if work else ""


def ungradable(submission: Submission, assignment: Assignment, why: str, protection: str) -> Graded:
    """What stands for a submission that could not be graded: the instructor's cells, and a human decides.

    It carries no digest, so that the next run tries again.
    """
    notebook, _, _ = rebuild([], assignment)
    verdicts = _without_looking(assignment, "ungradable", why)
    return _written(
        submission, assignment, notebook, verdicts, [*submission.notes, why], protection, 0.0, True
    )


def _without_looking(assignment: Assignment, state: str, why: str) -> list[Verdict]:
    points = 0.0 if state == "missing" else None
    return [Verdict(cell.id, cell.points, state, points, why) for cell in assignment.cells if cell.autograded]


def _written(
    submission: Submission,
    assignment: Assignment,
    notebook: NotebookNode,
    verdicts: list[Verdict],
    notes: list[str],
    protection: str,
    seconds: float,
    again: bool = False,
    places: Sequence[str] = (),
) -> Graded:
    """The notebook with the grader's notes and verdicts in it; `again` where the next run shall try once more, and
    `places` where answers may stand that are not in their cells."""
    from nbformat import v4, writes

    notes = [whole(note) for note in notes]
    if notes or protection == "none":
        lines = [NO_SANDBOX] if protection == "none" else []
        lines += notes
        items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
        text = one_line(f"<p><strong>Note of the grader</strong></p><ul>{items}</ul>", "tex2jax_ignore")
        notebook.cells.insert(0, v4.new_markdown_cell(text, id="note-of-the-grader"))
    result = "" if again else digest(submission, assignment)
    notebook.metadata["casestudies"] = {
        "digest": result,
        "protection": protection,
        "notes": notes,
        "verdicts": [verdict.to_dict() for verdict in verdicts],
        "elsewhere": list(places),
    }
    return Graded(writes(bounded(notebook), version=4) + "\n", verdicts, notes, protection, result, seconds)


def grade_bytes(job: bytes, sandbox: Sandbox) -> bytes:
    """The same as bytes: what a worker on another machine is given, and what it gives back."""
    data = json.loads(job)
    graded = grade_submission(
        Submission.from_dict(data["submission"]),
        Assignment.from_dict(data["assignment"]),
        sandbox,
        Limits(**data["limits"]),
        data["seed"],
        bool(data.get("alone")),
    )
    return json.dumps({"graded": graded.to_dict()}).encode()


__all__ = ["Graded", "Pressed", "Submission", "digest", "grade_bytes", "grade_submission", "ungradable"]
