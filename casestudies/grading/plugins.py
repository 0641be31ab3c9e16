"""Behind nbgrader's own commands: `nbgrader autograde` and `nbgrader generate_feedback` as we run them.

These classes take their places through nbgrader's configuration points; see `configuration.py`.
"""

from __future__ import annotations

import atexit
import csv
import glob
import json
import math
import shutil
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbconvert.exporters import HTMLExporter, NotebookExporter
from nbgrader.api import Gradebook, MissingEntry
from nbgrader.exchange.default.release_feedback import ExchangeReleaseFeedback
from nbgrader.plugins.export import CsvExportPlugin
from nbgrader.plugins.zipcollect import FileNameCollectorPlugin
from nbgrader.preprocessors import NbGraderPreprocessor
from nbgrader.utils import notebook_hash
from traitlets import Enum, Float, Integer, List, Unicode

from casestudies import language
from casestudies.checking.report import Report
from casestudies.checking.shown import STEPS
from casestudies.grading import editions
from casestudies.grading.arrivals import Arrivals, files_of, now
from casestudies.grading.cells import Assignment, without_hidden
from casestudies.grading.errors import FAILED, LATE, PRESSED
from casestudies.grading.executor import ungradable
from casestudies.grading.intake import rebuild
from casestudies.grading.lateness import write_times
from casestudies.grading.pages import NO_RESPONSE, feedback_page, highlighter
from casestudies.grading.pools import ATTEMPTS, Nursery, Result, Worker, again, alone_at_last
from casestudies.grading.records import (
    ABSENT,
    RUBRIC,
    ByHand,
    by_hand,
    clear_scores,
    open_mark,
    read_submission,
    rubrics,
    save_verdicts,
    with_plain,
    with_rubrics,
)
from casestudies.grading.sandbox import Limits, SandboxError, bubblewrap
from casestudies.grading.sanitise import one_line, render_markdown
from casestudies.grading.secret import course_secret, submission_seed
from casestudies.grading.spreadsheets import harmless, identifier
from casestudies.grading.submission import Submission
from casestudies.grading.times import read_time
from casestudies.grading.verdicts import NO_SANDBOX, Graded, Verdict, describe, report_data, said_again
from casestudies.language import message, say, sentence
from casestudies.sandboxed.quoting import printable

if TYPE_CHECKING:
    from nbformat import NotebookNode


# --------------------------------------------------------------------------- autograde


class SubmissionReader(NotebookExporter):
    """Reads what a student handed in, whatever it is; the rest of nbgrader sees a sound notebook."""

    current: tuple[str, Submission] | None = None  # the submission that is being graded

    def from_filename(self, filename: str, resources: Any = None, **kw: Any) -> Any:
        sanitizing = any(isinstance(each, Intake) for each in self._preprocessors)
        if not sanitizing:
            return super().from_filename(filename, resources=resources, **kw)
        path, info = Path(filename), resources["nbgrader"]
        submission = read_submission(path.parent, path.stem)
        SubmissionReader.current = (f"{info['student']}/{info['assignment']}/{info['notebook']}", submission)
        if course := self.config.ProtectedExecute.get("course", ""):
            files = files_of(info["assignment"], submission)
            Arrivals(Path(course)).saw(info["assignment"], {info["student"]: files})
        with Gradebook(info["db_url"]) as gradebook:
            if course:
                _write_time(gradebook, path.parent, Path(course), info)
            clear_scores(gradebook, info["assignment"], info["student"], info["notebook"])
            assignment = Assignment.from_gradebook(gradebook, info["assignment"], info["notebook"])
        if solutions := self.config.ProtectedExecute.get("solutions", ""):
            assignment = with_plain(assignment, Path(solutions))
        # What was handed in is read where it is graded, in a process with limits around it; until then there are only
        # the instructor's cells.
        notebook, _, _ = rebuild([], assignment)
        return self.from_notebook_node(notebook, resources=resources, **kw)


def _write_time(gradebook: Gradebook, folder: Path, course: Path, info: Mapping[str, Any]) -> None:
    """Once more: other files may lie there than when the command began, and nbgrader took the time of those."""
    try:
        submission = gradebook.find_submission(info["assignment"], info["student"])
    except MissingEntry:
        return
    write_times([(folder, submission)], Arrivals(course).last())
    gradebook.db.commit()


class Intake(NbGraderPreprocessor):
    """Marks nbgrader's first stage; `SubmissionReader` has done the work by then."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        return nb, resources


_WORKERS: dict[tuple[Limits, tuple[str, ...]], Worker] = {}


def _worker(limits: Limits, hidden: tuple[str, ...]) -> Worker:
    """A grading process of this command's own, with limits of time and memory around it. It is replaced where it
    dies, and ends with this process."""
    key = limits, hidden
    if key not in _WORKERS:
        nursery = Nursery(hidden)
        atexit.register(nursery.__exit__)
        _WORKERS[key] = Worker(nursery, limits)
    return _WORKERS[key]


class ProtectedExecute(NbGraderPreprocessor):
    """Runs the student's cells in the sandbox, and judges the graded ones here."""

    cell_seconds = Float(Limits.cell_seconds, help="Seconds that one cell may take.").tag(config=True)
    check_seconds = Float(Limits.check_seconds, help="Seconds that one check may take.").tag(config=True)
    notebook_seconds = Float(Limits.notebook_seconds, help="Seconds that one notebook may take.").tag(
        config=True
    )
    memory_bytes = Integer(Limits.memory_bytes, help="Memory of one submission.").tag(config=True)
    processes = Integer(Limits.processes, help="Processes of one submission at once.").tag(config=True)
    started = Integer(Limits.started, help="Processes and threads that one submission may start in all.").tag(
        config=True
    )
    output_bytes = Integer(Limits.output_bytes, help="Output of one notebook.").tag(config=True)
    scratch_bytes = Integer(Limits.scratch_bytes, help="Files of one submission.").tag(config=True)
    patience = Float(
        Limits.patience,
        help="How many times its limit a cell may take by the clock on the wall, as on a busy machine.",
    ).tag(config=True)
    solutions = Unicode("", help="The folder of the source notebooks, which hold the rubrics.").tag(
        config=True
    )

    course = Unicode(
        "", help="The course's folder, which holds its secret; else the gradebook's folder."
    ).tag(config=True)

    @property
    def limits(self) -> Limits:
        names = self.class_own_traits(config=True)
        return Limits(**{name: getattr(self, name) for name in names if name in Limits.__dataclass_fields__})

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        import nbformat

        info = resources["nbgrader"]
        name = f"{info['student']}/{info['assignment']}/{info['notebook']}"
        if SubmissionReader.current is None or SubmissionReader.current[0] != name:
            raise RuntimeError(
                f"the submission {name} was not read by SubmissionReader; "
                "c.Autograde.exporter_class must be casestudies.grading.plugins.SubmissionReader"
            )
        submission = SubmissionReader.current[1]
        with Gradebook(info["db_url"]) as gradebook:
            assignment = Assignment.from_gradebook(gradebook, info["assignment"], info["notebook"])
        if self.solutions:
            assignment = with_plain(assignment, Path(self.solutions))
        hidden = [*database_folder(info["db_url"]), *([Path(self.course)] if self.course else [])]
        protection = "sandbox" if bubblewrap() else "none"
        if protection == "none":
            self.log.warning(NO_SANDBOX)
        folders = [Path(self.course)] if self.course else hidden
        secret = course_secret(folders[0]) if folders else None
        seed = None
        if secret is not None:
            seed = submission_seed(secret, info["assignment"], submission.notebook, submission.files)
        worker = _worker(self.limits, tuple(map(str, hidden)))
        graded = self._graded(submission, assignment, worker, seed, protection)
        for note in graded.notes:
            self.log.warning("%s: %s", name, note)
        for verdict in graded.verdicts:
            self.log.info("%s: %s", name, describe(verdict))
        resources["casestudies"] = graded
        notebook = nbformat.reads(graded.notebook, as_version=4)
        return with_rubrics(notebook, rubrics(Path(self.solutions), info["assignment"])), resources

    def _graded(
        self,
        submission: Submission,
        assignment: Assignment,
        worker: Worker,
        seed: str | None,
        protection: str,
    ) -> Graded:
        """The result, whatever goes wrong: what the grader fails at, or does not end with, is for a human, and costs
        no other submission."""
        job = {
            "submission": submission.to_dict(),
            "assignment": assignment.to_dict(),
            "limits": asdict(worker.limits),
            "seed": seed,
        }
        data = json.dumps(job).encode()
        result: Result = {}
        for _ in range(ATTEMPTS):
            worker.give("a submission", data)
            result = worker.take()
            if not again(result):
                break
            data = alone_at_last(data)
        if "broken" in result:  # nothing that a student did
            raise SandboxError(printable(result["broken"], 1000))
        try:
            if "graded" in result:
                return Graded.from_dict(result["graded"])
        except (TypeError, KeyError, ValueError):
            result = {"failed": traceback.format_exc(limit=-30)}
        self.log.error(
            "the grader failed at this submission: %s", printable(result.get("failed", ""), 20_000)
        )
        why = PRESSED if result.get("pressed") else LATE if result.get("late") else FAILED
        return ungradable(submission, assignment, why, protection)


def database_folder(db_url: str) -> list[Path]:
    """The folder of an SQLite gradebook, which no student's process may see."""
    return [Path(db_url.removeprefix("sqlite:///")).parent] if db_url.startswith("sqlite:///") else []


class SaveVerdicts(NbGraderPreprocessor):
    """Takes the place of nbgrader's SaveAutoGrades: the score is the verdict, not the cell's output."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        info, graded = resources["nbgrader"], resources["casestudies"]
        with Gradebook(info["db_url"]) as gradebook:
            save_verdicts(
                gradebook,
                nb,
                graded.verdicts,
                graded.protection,
                info["assignment"],
                info["student"],
                info["notebook"],
            )
        return nb, resources


# --------------------------------------------------------------------------- feedback


class StudentView(NbGraderPreprocessor):
    """What a student may see: no hidden tests, no notes for the instructor."""

    hints = Enum(
        STEPS,
        "all",
        help="How much a report shows by itself: symptom, place, mistake or all. The rest is folded.",
    ).tag(config=True)

    language = Unicode(
        "", help="The language of the reports, such as ko. Without it, CASESTUDIES_LANGUAGE decides."
    ).tag(config=True)

    solutions = Unicode("", help="The folder of the sources, beside whose translations theirs stand.").tag(
        config=True
    )

    # The page's exporter sets this for whatever nbconvert runs, and warns where it is not known. Unused here.
    display_data_priority: List[str] = List(config=True)

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        resources["language"] = self.language or language.language()
        if "nbgrader" in resources:  # else no gradebook stands behind this page
            _leave_open(nb, resources["nbgrader"])
        with language.speaking(resources["language"]):
            return self._view(nb, resources.get("nbgrader", {}).get("assignment", "")), resources

    def _view(self, nb: NotebookNode, assignment: str) -> NotebookNode:
        stored = nb.metadata.pop("casestudies", {})
        verdicts = {each["cell"]: Verdict.from_dict(each) for each in stored.get("verdicts", [])}
        for cell in nb.cells:
            comment = cell.metadata.get("nbgrader", {}).get("comment")
            if comment and comment != NO_RESPONSE:  # that one is nbgrader's, and translated in the page
                # It may quote a student, or say `x < y` and `<b>`: shown as a student's text is.
                cell.metadata.nbgrader["comment"] = one_line(render_markdown(comment)[0])
            if cell.get("id") == "note-of-the-grader":
                cell.source = _note(cell.source, stored.get("notes", []))
            if cell.get("id", "").startswith(RUBRIC) and self.solutions:
                source = Path(self.solutions, f"{assignment}.md")
                cell.source = editions.rubric(cell.source, source, language.language())
            shown = without_hidden(cell.source)
            if shown != cell.source:
                cell.source = f"{shown.rstrip()}\n# {say('Further tests are not shown.')}"
            if cell.cell_type == "code":
                verdict = verdicts.get(cell.metadata.get("nbgrader", {}).get("grade_id"))
                cell.outputs = _shown_reports(cell.outputs, verdict, self.hints)
                cell.outputs = [
                    kept
                    for output in cell.outputs
                    if (kept := _shown(output, verdict, self.hints)) is not None
                ]
        return nb


class FeedbackPage(HTMLExporter):
    """A student's page: nbgrader's, with a content security policy, and MathJax without another host."""

    # The exporters of nbconvert that write text say so; the class above them declares a notebook.
    def from_notebook_node(  # type: ignore[override]
        self, nb: NotebookNode, resources: Any = None, **kw: Any
    ) -> tuple[str, Any]:
        self.filters = {**self.filters, "highlight_code": highlighter()}
        page, resources = super().from_notebook_node(nb, resources, **kw)
        with language.speaking((resources or {}).get("language", language.language())):
            return feedback_page(page), resources


class ReleaseFeedback(ExchangeReleaseFeedback):
    """nbgrader's command, which ends for the whole class at the first submission without a time or a secret.

    A student's `nbgrader fetch_feedback` asks for a page by the name of the notebook that was handed in, which need
    not be the assignment's: the page is released under that name, too.
    """

    def copy_files(self) -> None:
        pattern = self.coursedir.format_path(
            self.coursedir.feedback_directory,
            self.coursedir.student_id if self.coursedir.student_id else "*",
            self.coursedir.assignment_id,
        )
        outside = [self.coursedir.student_id_exclude] if self.coursedir.student_id_exclude else []
        for folder in sorted(glob.glob(pattern)):
            student = Path(folder).parent.name
            if not Path(folder, "submission_secret.txt").is_file():
                # The secret comes with what was handed in through the exchange; the page is found by it.
                self.log.warning(
                    "%s did not hand in through the exchange: give the page in another way",
                    printable(student),
                )
                outside.append(student)
            elif not Path(folder, "timestamp.txt").is_file():
                Path(folder, "timestamp.txt").write_text("a time that is not known")
        self.coursedir.student_id_exclude = ",".join(outside)
        super().copy_files()
        for folder in sorted(glob.glob(pattern)):
            if Path(folder).parent.name not in outside:
                self._release_renamed(Path(folder))

    def _release_renamed(self, folder: Path) -> None:
        """A student's pages under the names by which the student's own nbgrader will ask for them."""
        student, name = folder.parent.name, self.coursedir.assignment_id
        step = self.coursedir.format_path(self.coursedir.submitted_directory, student, name)
        asked = {path.stem for path in Path(step).glob("*.ipynb")}  # all that nbgrader looks at
        secret = (folder / "submission_secret.txt").read_text()
        for page in sorted(folder.glob("*.html")):
            if page.stem in asked:
                continue
            if not asked:
                self.log.warning(
                    "%s handed in no file of the form NAME.ipynb, for which alone fetch_feedback looks: give the "
                    "page in another way",
                    printable(student),
                )
            for other in sorted(asked):
                try:
                    place = Path(self.dest_path, f"{notebook_hash(secret=secret, notebook_id=other)}.html")
                except UnicodeEncodeError:  # a name that is no text: nbgrader could not ask for it either
                    continue
                draft = place.with_name(f"{place.stem}-tmp.html")
                shutil.copy(page, draft)
                draft.replace(place)
                self.log.info("The page of %s is released as that of %r, too", printable(student), other)


def _leave_open(nb: NotebookNode, info: Mapping[str, Any]) -> None:
    """Gives what a human has to decide or to read, and has not yet, no score; nbgrader takes it for a 0. In place."""
    with Gradebook(info["db_url"]) as gradebook:
        waiting = by_hand(gradebook, info["assignment"]).get(info["student"], ByHand()).open
    for cell in nb.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") in waiting:
            cell.metadata.nbgrader["score"] = math.nan  # the page has a place for a number alone


EXPORTED = (
    "assignment",
    "duedate",
    "timestamp",
    "student_id",
    "last_name",
    "first_name",
    "email",
    "raw_score",
    "late_submission_penalty",
    "score",
    "max_score",
    "mark",  # ours: nbgrader's columns stand before it
)


class CsvExport(CsvExportPlugin):
    """nbgrader's table of all scores, its columns and file name the same, and behind them what is still open about a
    score. nbgrader writes text as it is, so that a comma in a name makes more columns, and an id can be a formula;
    here each cell stays one, and none is computed."""

    def export(self, gradebook: Any) -> None:
        target = str(self.to or "grades.csv")
        wanted, students = set(map(str, self.assignment)), set(map(str, self.student))
        rows = []
        for assignment in gradebook.assignments:
            hands = by_hand(gradebook, assignment.name)
            for student in gradebook.students:
                if (wanted and assignment.name not in wanted) or (students and student.id not in students):
                    continue
                stamp, mark = None, ABSENT
                scores: list[Any] = ["", "", ""]  # who handed in nothing has no score, and no 0 either
                with suppress(MissingEntry):
                    submission = gradebook.find_submission(assignment.name, student.id)
                    stamp, raw = submission.timestamp, submission.score
                    penalty = submission.late_submission_penalty or 0.0
                    # No score while a human has to decide: a 0 would be taken for one.
                    left = hands.get(student.id, ByHand())
                    scores = [raw, penalty, "" if left.checks else max(0.0, raw - penalty)]
                    mark = open_mark(left.checks, left.answers, submission.needs_manual_grade)
                who = [identifier(student.id), *map(harmless, (student.last_name, student.first_name))]
                first = [harmless(assignment.name), assignment.duedate, stamp]
                rows.append([*first, *who, identifier(student.email), *scores, assignment.max_score, mark])
        self.log.info("Exporting grades to %s", target)
        with open(target, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(EXPORTED)
            writer.writerows(rows)


class Collector(FileNameCollectorPlugin):
    """Collects what a learning platform packed, and no timestamp.txt of a student's among it: nbgrader would take it
    for the time at which it was handed in."""

    def collect(self, submitted_file: str) -> Any:
        if Path(submitted_file).name.lower() == "timestamp.txt":
            self.log.warning("%s is a student's own and says nothing", printable(submitted_file))
            return None
        found = super().collect(submitted_file)
        if found and found.get("timestamp"):
            # From the name that the platform gave the file. zip_collect writes it into timestamp.txt as well.
            time = read_time(str(found["timestamp"]).encode()).time
            if time is not None:
                course, assignment = Path(self.coursedir.root), self.coursedir.assignment_id
                Arrivals(course).collected(found["student_id"], assignment, time, now())
        return found


NOT_SHOWN = message("{part}, tests that are not shown: {points} of {possible} points.")


def _note(source: str, notes: list[str]) -> str:
    """The grader's note on a notebook, which is stored in English, in the language of the reader."""
    import html

    said = source.replace("Note of the grader", say("Note of the grader"))
    for line in [NO_SANDBOX, *notes]:
        said = said.replace(f"<li>{html.escape(line)}</li>", f"<li>{html.escape(sentence(line))}</li>")
    return said


def _shown_reports(outputs: list[Any], verdict: Verdict | None, hints: str) -> list[Any]:
    """The outputs of a graded cell with its visible reports open up to a step, in the language of the reader."""
    visible = iter([each for each in verdict.reports if not each["hidden"]] if verdict else [])
    for output in outputs:
        marks = output.get("metadata", {}).get("casestudies", {})
        if marks.get("grader") and marks.get("hidden") is False and (stored := next(visible, None)):
            report = Report.from_dict({key: value for key, value in stored.items() if key != "hidden"})
            output["data"] = report_data(report, hints)
        elif marks.get("grader") and "hidden" not in marks and "instructor" not in marks:
            output["data"] = said_again(output)
    return outputs


def _shown(output: Any, verdict: Verdict | None, hints: str) -> Any:
    import html

    from nbformat import from_dict

    marks = output.get("metadata", {}).get("casestudies", {})
    if marks.get("instructor"):
        return None
    if not marks.get("hidden") or verdict is None:
        return output
    lines = []
    for report in verdict.reports:
        if report["hidden"]:
            points, possible = f"{report['points']:g}", f"{report['possible']:g}"
            lines.append(say(NOT_SHOWN, part=report["part"], points=points, possible=possible))
            if STEPS.index(hints) >= STEPS.index("mistake"):
                lines += [sentence(known["text"]) for known in report["recognised"]]
    text = "\n".join(dict.fromkeys(lines))
    data = {
        "text/plain": text,
        "text/html": "".join(f"<p>{html.escape(line)}</p>" for line in text.splitlines()),
    }
    return from_dict({"output_type": "display_data", "data": data, "metadata": {}})
