"""Whatever is handed to `check`, the answer is a report: one sentence, no points, never a crash of the check."""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import blocks, engine
from casestudies.checking.engine import run_check
from casestudies.checking.report import Report
from casestudies.checking.slips import Slip
from casestudies.networks.resnet import BasicBlock
from casestudies.sandboxed.messages import Described

BLOCK, STAGE = "resnet/basic_block", "resnet/residual_stage"


def block(forward=None, init=None) -> type[nn.Module]:
    """A basic block whose forward or constructor is replaced."""

    class Answer(BasicBlock):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            if init:
                init(self)
            super().__init__(in_channels, out_channels, stride)

        def forward(self, x: Tensor) -> object:
            right = super().forward(x)
            return forward(self, right) if forward else right

    return Answer


def block_of(in_channels: int, out_channels: int, stride: int = 1) -> nn.Module:
    return BasicBlock(in_channels, out_channels, stride)


def raises_key_error(self: nn.Module, *_: object) -> None:
    raise KeyError("channels")


class NeedsMore(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, kernel: int) -> None:
        super().__init__()


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def raises_unprintable(self: nn.Module, *_: object) -> None:
    raise Unprintable


def exits(self: nn.Module, *_: object) -> None:
    raise SystemExit(0)


def replaces_a_norm(self: nn.Module, right: Tensor) -> Tensor:
    if self.training:
        self.residual[0][1] = nn.Identity()
    return right


def resizes_a_statistic(self: nn.Module, right: Tensor) -> Tensor:
    if self.training:
        self.residual[0][1].running_mean = torch.zeros(6, 2)
    return right


# (part, answer, state, what the sentence must say)
TABLE = {
    "unknown part": ("resnet/basic_blok", BasicBlock, "unknown part", "Did you mean 'resnet/basic_block'"),
    "unknown assignment": ("resnett/basic_block", BasicBlock, "unknown part", "There is no part named"),
    "part is no text": (7, BasicBlock, "unknown part", "There is no part named 7"),
    "instance for a class": (BLOCK, BasicBlock(4, 4), "wrong kind", "hand over the class itself"),
    "function for a class": (
        BLOCK,
        block_of,
        "wrong kind",
        "The answer, block_of, is a function; write `class BasicBlock(nn.Module)`, with `__init__` and `forward`.",
    ),
    "partial for a class": (
        BLOCK,
        partial(BasicBlock),
        "wrong kind",
        "write `class BasicBlock(nn.Module)`, whose `__init__` takes all the arguments.",
    ),
    "other class": (BLOCK, dict, "wrong kind", "not a torch.nn.Module"),
    "None": (BLOCK, None, "wrong kind", "The answer is None"),
    "number": (BLOCK, 3, "wrong kind", "a value of type int"),
    "class for a function": (STAGE, BasicBlock, "wrong kind", "asks for a function"),
    "module for a function": (STAGE, BasicBlock(4, 4), "wrong kind", "asks for the function"),
    "constructor raises": (BLOCK, block(init=raises_key_error), "raised", "raised KeyError: “'channels'”."),
    "forward raises": (BLOCK, block(raises_key_error), "raised", 'raise KeyError("channels")'),
    "unprintable": (BLOCK, block(raises_unprintable), "raised", "cannot be printed"),
    "exits": (BLOCK, block(exits), "raised", "SystemExit"),
    "needs other arguments": (BLOCK, NeedsMore, "raised", "positional arguments: 'stride' and 'kernel'"),
    "returns a tuple": (BLOCK, block(lambda self, y: (y, y)), "wrong", "forward returns a tuple"),
    "returns None": (BLOCK, block(lambda self, y: None), "wrong", "forward returns None"),
    "returns NaN": (BLOCK, block(lambda self, y: y * float("nan")), "wrong", "values are NaN"),
    "returns half": (BLOCK, block(lambda self, y: y.half()), None, "float32"),
    "returns a number": (BLOCK, block(lambda self, y: y.sum().item()), "wrong", "forward returns a float"),
    "tuple for one image": (
        BLOCK,
        block(lambda self, y: (y, y) if len(y) == 1 else y),
        "wrong",
        "a tuple for a batch of one",
    ),
    "None in float32": (
        BLOCK,
        block(lambda self, y: None if y.dtype == torch.float32 else y),
        "wrong",
        "None for float32 input",
    ),
    "list in training": (
        BLOCK,
        block(lambda self, y: [y] if self.training else y),
        None,
        "returns a list in training",
    ),
    "replaces a norm": (BLOCK, block(replaces_a_norm), None, "running statistics"),
    "resizes a statistic": (BLOCK, block(resizes_a_statistic), None, "running statistics"),
    "function returns no module": (STAGE, lambda i, o, n, s: [1], "wrong", "not a torch.nn.Module"),
}


def report_of(case: str) -> Report:
    part, answer, _, _ = TABLE[case]
    return check(part, answer, seed=5)


@pytest.mark.parametrize("case", TABLE)
def test_the_sentence(case: str) -> None:
    assert TABLE[case][3] in report_of(case).text()


@pytest.mark.parametrize("case", [case for case, row in TABLE.items() if row[2]])
def test_state_and_no_points(case: str) -> None:
    report = report_of(case)
    assert (report.state, report.points) == (TABLE[case][2], 0.0)


@pytest.mark.parametrize("case", TABLE)
def test_never_full_marks(case: str) -> None:
    report = report_of(case)
    assert not report.passed and report.points <= 0.9 * report.possible


@pytest.mark.parametrize("case", TABLE)
def test_survives_the_journey(case: str) -> None:
    report = report_of(case)
    assert Report.from_dict(report.to_dict()).text() == report.text()


@pytest.mark.parametrize("case", TABLE)
def test_html_is_escaped(case: str) -> None:
    html = report_of(case).html()
    assert "<script" not in html and html.count("<div") == html.count("</div>") == 1


def test_sentences_in_a_reports_table_may_wrap() -> None:
    # The book keeps the first column of a table on one line: what was found would push the points out of sight.
    report = check(BLOCK, block(lambda self, y: y * 1.01), seed=3)
    rows = report.html().split("<tr><td ")[1:]
    assert (
        report.layers
        and len(rows) == len(report.criteria) + len(report.layers)
        and all("white-space:normal" in row.split(">")[0] for row in rows)
    )


def test_a_malformed_answer_is_the_students() -> None:
    report = run_check(BLOCK, lambda request: Described("module class", "Forged"), seed=1)
    assert (report.state, report.points, report.summary) == ("crashed", 0.0, engine.MALFORMED)


def test_a_fault_of_the_check_is_for_a_human_and_quotes_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("award 4 of 4 by hand")

    monkeypatch.setattr(engine, "check_module", fail)
    report = check(BLOCK, BasicBlock)
    assert (report.state, report.points, report.summary) == ("ungradable", 0.0, engine.FAULT)
    assert "award 4 of 4" in caplog.text


def test_same_seed_same_report() -> None:
    first, again = (check(BLOCK, block(lambda self, y: y * 1.01), seed=3).text() for _ in range(2))
    assert first == again


def test_fresh_seeds_every_time() -> None:
    assert check(BLOCK, BasicBlock).seed != check(BLOCK, BasicBlock).seed


def test_leaves_the_notebooks_random_state() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    check(BLOCK, BasicBlock, hidden=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(("execution", "plain"), [("validate", "4.0"), ("autograde", "4.0")])
def test_nbgrader_reads_the_points(monkeypatch: pytest.MonkeyPatch, execution: str, plain: str) -> None:
    monkeypatch.setenv("NBGRADER_EXECUTION", execution)
    assert check(BLOCK, BasicBlock)._repr_mimebundle_()["text/plain"] == plain


def test_people_read_words() -> None:
    assert check(BLOCK, BasicBlock)._repr_mimebundle_()["text/plain"].startswith("resnet/basic_block: Right.")


@pytest.mark.parametrize(
    ("seed", "error", "said"),
    [
        (1.0, TypeError, "seed is 1.0 (float); expected a whole number"),
        ("1", TypeError, "seed is '1' (str)"),
        (float("nan"), TypeError, "seed is nan"),
        (True, TypeError, "seed is True (bool)"),
        (2**63, ValueError, "does not fit into 64 bits"),
        (-(2**63) - 1, ValueError, "does not fit into 64 bits"),
    ],
)
def test_a_seed_that_is_none_is_refused_by_name(seed: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=re.escape(said)):
        check(BLOCK, BasicBlock, seed=seed)


@pytest.mark.parametrize("seed", [2**63 - 1, -(2**63), np.int64(5)])
def test_a_whole_number_of_64_bits_is_a_seed(seed: int) -> None:
    report = check("lenet/conv_output_size", lambda size, kernel, stride=1, padding=0: size, seed=seed)
    assert (report.state, report.seed, type(report.seed)) == ("wrong", int(seed), int)


@pytest.mark.parametrize("seed", [2**63 - 1, 2**63 - 3, -(2**63)])
def test_a_right_answer_passes_with_the_last_seeds(seed: int) -> None:
    def conv_output_size(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        return (size + 2 * padding - kernel) // stride + 1

    assert check("lenet/conv_output_size", conv_output_size, seed=seed).state == "passed"
    assert check(BLOCK, BasicBlock, seed=seed).state == "passed"
    assert check(BLOCK, block(lambda self, y: y * 1.01), seed=seed).state in ("wrong", "partial")


def test_a_fault_of_an_explanation_leaves_the_symptom(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise IndexError("a fault of ours")

    monkeypatch.setattr(blocks, "show_differences", fail)
    monkeypatch.setattr(Slip, "differences", fail)
    report = check(BLOCK, block(lambda self, y: y * 1.01), seed=3)
    assert report.state in ("wrong", "partial") and "BasicBlock(" in report.summary
    report = check(
        "lenet/conv_output_size", lambda size, kernel, stride=1, padding=0: (size + padding) // stride, seed=3
    )
    assert report.state == "wrong" and "conv_output_size(" in report.summary
    assert caplog.text.count("no explanation of") == 2


@pytest.mark.parametrize("hints", ["everything", "", None, 3])
def test_a_step_that_is_none_is_refused_by_name(hints: object) -> None:
    with pytest.raises(ValueError, match="expected 'symptom', 'place', 'mistake' or 'all'"):
        check("no/part", None).text(hints)
