"""What a report shows at once, and what it keeps for a click or for the next call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import session
from casestudies.checking.parts import parts
from casestudies.checking.report import Report
from casestudies.checking.shown import STEPS

BLOCK = "resnet/basic_block"


class BasicBlock(nn.Module):
    """Right, but for what `total` does with the sum."""

    total = staticmethod(F.relu)

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != out_channels:
            projection = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(out_channels))

    def branch(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))

    def forward(self, x: Tensor) -> Tensor:
        return self.total(self.branch(x) + self.shortcut(x))


class Early(BasicBlock):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x)) + self.shortcut(x)


class Halved(BasicBlock):
    total = staticmethod(lambda x: F.relu(x) / 2)


class Unwritten(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        raise NotImplementedError


PLACE, MISTAKE = "look at what stands after batch norm 2 of 2", "ReLU is applied to F(x) before"
COLUMNS, LINK = "your block beside the one that is asked for", "resnet.html#eq-residual"
SAID = {"place": PLACE, "mistake": MISTAKE, "all": LINK}


@pytest.fixture(autouse=True)
def fresh_kernel(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(session.VARIABLE, raising=False)
    session.forget()
    yield
    session.forget()


class Folds(HTMLParser):
    """The text of a page with the folds as they are before anybody clicks, and how deep each fold stands."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.visible, self.depths, self.tags = "", [], set()
        self.open: list[bool] = []
        self.summary = self.hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag == "details":
            self.open.append("open" in dict(attrs))
            self.depths.append(len(self.open))
        self.summary |= tag == "summary"
        self.hidden |= tag == "style"
        if all(self.open):
            self.visible += " ".join(value or "" for key, value in attrs if key == "href")

    def handle_endtag(self, tag: str) -> None:
        if tag == "details":
            self.open.pop()
        self.summary &= tag != "summary"
        self.hidden &= tag != "style"

    def handle_data(self, data: str) -> None:
        seen = self.open[:-1] if self.summary else self.open
        if all(seen) and not self.hidden:
            self.visible += data


def steps_in(text: str) -> list[str]:
    return [step for step, sentence in SAID.items() if sentence in text]


@pytest.mark.parametrize("hints", STEPS)
def test_text_ends_at_the_step(hints: str) -> None:
    report = check(BLOCK, Early, seed=1, hints=hints)
    expected = [step for step in SAID if STEPS.index(step) <= STEPS.index(hints)]
    assert steps_in(repr(report)) == expected
    assert (COLUMNS in repr(report)) == ("mistake" in expected)


@pytest.mark.parametrize("hints", STEPS)
def test_html_holds_all_and_is_open_up_to_the_step(hints: str) -> None:
    report = check(BLOCK, Early, seed=1, hints=hints)
    page = report.html()
    assert all(sentence in page for sentence in (*SAID.values(), COLUMNS))
    folds = Folds(page)
    assert steps_in(folds.visible) == [step for step in SAID if STEPS.index(step) <= STEPS.index(hints)]


def test_a_click_opens_one_step_and_shows_that_there_is_another() -> None:
    page = check(BLOCK, Early, seed=1).html()
    closed = Folds(page)
    assert "Hint 1 of 3" in closed.visible and "Hint 2 of 3" not in closed.visible
    once = Folds(page.replace("<details>", "<details open>", 1))
    assert steps_in(once.visible) == ["place"] and "Hint 2 of 3" in once.visible


def test_the_folds_need_no_script_and_no_handler() -> None:
    page = check(BLOCK, Early, seed=1).html()
    folds = Folds(page)
    assert folds.depths and not folds.tags & {"script", "input", "button", "iframe"}
    assert not re.search(r"\son\w+=", page)


def test_each_further_call_that_finds_the_same_tells_one_step_more() -> None:
    calls = [steps_in(repr(check(BLOCK, Early))) for _ in range(5)]
    ladder = list(SAID)
    assert calls == [[], ladder[:1], ladder[:2], ladder, ladder]


def test_printed_a_report_goes_as_far_as_in_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    for expected in ([], ["place"]):
        print(check(BLOCK, Early))
        assert steps_in(capsys.readouterr().out) == expected


def test_another_finding_begins_with_the_symptom_again() -> None:
    check(BLOCK, Early)
    assert steps_in(repr(check(BLOCK, Early))) == ["place"]
    assert "Where:" not in repr(check(BLOCK, Halved))


def test_a_call_that_names_a_step_tells_that_step_however_often() -> None:
    assert [steps_in(repr(check(BLOCK, Early, hints="place"))) for _ in range(3)] == [["place"]] * 3


def test_a_click_is_not_forestalled_by_further_calls() -> None:
    pages = [Folds(check(BLOCK, Early).html()).visible for _ in range(3)]
    assert [steps_in(page) for page in pages] == [[], [], []]


@pytest.mark.parametrize("hints", STEPS)
def test_the_data_are_the_same_at_every_step(hints: str) -> None:
    report = check(BLOCK, Early, seed=1, hints=hints)
    everything = check(BLOCK, Early, seed=1, hints="all")
    assert report.mistakes == ["relu_before_addition"] and report.differences
    assert report == everything and report.text() == everything.text()
    assert steps_in(report.text()) == list(SAID)


def test_the_instructors_default_holds_where_the_call_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session.VARIABLE, "mistake")
    assert steps_in(repr(check(BLOCK, Early))) == ["place", "mistake"]
    session.forget()
    assert steps_in(repr(check(BLOCK, Early, hints="symptom"))) == []


def test_a_rebuilt_report_opens_to_all_that_it_holds() -> None:
    written = check(BLOCK, Early, hints="place").to_dict()
    again = Report.from_dict({**written, "hints": "place", "told": "place", "progress": "3 of 4"})
    assert (again.hints, again.told, again.progress) == ("all", "all", "")


BAD = ["al", "", 3, True, None, ["all"], "ALL"]


@pytest.mark.parametrize("value", [value for value in BAD if value is not None])
def test_a_bad_step_is_told_in_one_sentence_and_judges_all_the_same(value: object) -> None:
    report = check(BLOCK, Early, seed=1, hints=value)
    expected = f'hints is {value!r}; expected "symptom", "place", "mistake" or "all".'
    assert [note for note in report.notes if note.startswith(expected)] and len(report.notes) == 1
    assert report.points == check(BLOCK, Early, seed=1).points and report.hints == "symptom"


def test_a_bad_default_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(session.VARIABLE, "everything")
    note = check(BLOCK, Early, seed=1).notes[0]
    assert note.startswith(f"{session.VARIABLE} is 'everything'; expected \"symptom\"")
    assert note.endswith("The report opens at the symptom.")


def test_what_is_no_mistake_of_thought_is_told_at_once() -> None:
    report = check(BLOCK, Unwritten, seed=1)
    assert report.summary in repr(report) and "<details" not in report.html()


def test_a_report_of_the_grader_is_open() -> None:
    report = check(BLOCK, Early, seed=1)
    graded = Report.from_dict(report.to_dict())
    assert steps_in(Folds(graded.html()).visible) == list(SAID) == steps_in(graded.text())


# --------------------------------------------------------------------------- the line of progress


def progress_of(*calls: tuple[str, object]) -> str:
    return [check(part, answer) for part, answer in calls][-1].progress


def test_progress_counts_the_parts_of_this_session() -> None:
    line = progress_of((BLOCK, BasicBlock))
    assert line.startswith("4 of 20 points so far.")
    assert (
        "Not checked yet in this session: bottleneck, residual_stage, cifar_resnet, repaired_block." in line
    )
    assert "A human gives the 3 points for the written answer." in line


def test_progress_counts_the_latest_result_of_a_changed_part() -> None:
    assert progress_of((BLOCK, BasicBlock), (BLOCK, Halved)).startswith("0 of 20 points")
    assert progress_of((BLOCK, Halved), (BLOCK, BasicBlock)).startswith("4 of 20 points")


def test_progress_adds_up_over_parts_and_keeps_assignments_apart() -> None:
    line = progress_of(("vgg/pool_size", int), (BLOCK, BasicBlock), ("resnet/repaired_block", BasicBlock))
    assert line.startswith("7 of 20 points so far.") and "repaired_block" not in line


def test_progress_is_shown_in_a_notebook_and_as_text() -> None:
    report = check(BLOCK, BasicBlock)
    bundle = report._repr_mimebundle_()
    shown = (*bundle.values(), str(report), repr(report))
    assert all(report.progress in re.sub("</?strong>", "", each) for each in shown)


def test_progress_says_nothing_of_a_part_that_does_not_exist() -> None:
    assert check("resnet/basic_blok", BasicBlock).progress == ""


def test_the_grader_does_not_add_students_together() -> None:
    from casestudies.checking.engine import run_check
    from casestudies.sandboxed.probe import Probe

    run_check(BLOCK, Probe(BasicBlock).handle)
    assert session._LATEST == {}


# --------------------------------------------------------------------------- in a process of its own

START = """
import sys
sys.path.insert(0, {folder!r})
import torch
from test_hints import BasicBlock, Halved, Early
from casestudies import check
"""


def run(code: str, folder: str | None = None) -> str:
    start = START.format(folder=os.path.dirname(__file__))
    environment = {key: value for key, value in os.environ.items() if key != session.VARIABLE}
    return subprocess.run(
        [sys.executable, "-c", start + code],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=environment,
    ).stdout


def test_nothing_is_written_to_disk(tmp_path) -> None:
    run('print(repr(check("resnet/basic_block", Halved)))', str(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", ["Halved", "Early"])
def test_the_first_wrong_block_imports_nothing_more_than_a_right_one(wrong: str) -> None:
    code = f"""
check("resnet/basic_block", BasicBlock).html()
before = set(sys.modules)
check("resnet/basic_block", {wrong}).html()
print(sorted(set(sys.modules) - before))
"""
    assert run(code).strip() == "[]"


def test_no_reference_imports_more_when_it_is_built() -> None:
    """What is empty on the meta device imports PyTorch's compiler, which takes longer than the whole check."""
    code = """
from casestudies.checking.blocks import candidate
from casestudies.checking.parts import Reference, parts
found = {}
for part in parts().values():
    if isinstance(part.reference, Reference):
        case = part.reference.drawn(0)[0].case
        before = set(sys.modules)
        candidate(part.reference.factory, case)
        found[part.id] = sorted(set(sys.modules) - before)
assert len(found) > 10
print({id: names for id, names in found.items() if names})
"""
    assert run(code).strip() == "{}"


def test_no_wrong_reference_imports_more_when_its_sizes_are_looked_at() -> None:
    """A product of tensors on the meta device, say, imports PyTorch's compiler, which takes seconds."""
    code = """
from casestudies.checking.blocks import sizes_of
from casestudies.checking.parts import Reference, parts
found = {}
for part in parts().values():
    if isinstance(part.reference, Reference):
        case = part.reference.drawn(0)[0].case
        before = set(sys.modules)
        for mistake in part.mistakes:
            sizes_of(mistake.wrong, case)
        found[part.id] = sorted(set(sys.modules) - before)
assert len(found) > 10
print({id: names for id, names in found.items() if names})
"""
    assert run(code).strip() == "{}"


def test_a_block_far_larger_than_the_reference_is_run_in_one_case() -> None:
    part = parts("resnet")["resnet/cifar_resnet"]
    known = next(each for each in part.mistakes if each.id == "image_net_widths")
    ran: set[int] = set()
    built: list[nn.Module] = []  # kept, so that no other one has its number

    class Wide(known.wrong):
        def __init__(self, num_blocks: int = 3, num_classes: int = 10) -> None:
            super().__init__(num_blocks, num_classes)
            built.append(self)

        def forward(self, x: Tensor) -> Tensor:
            ran.add(id(self))
            return super().forward(x)

    report = check(part.id, Wide, hidden=True, seed=1)
    assert report.mistakes == ["image_net_widths"]
    assert len(ran) == 1 < len(built)
