"""What the package says in another language, and what stays the same in every one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from answers.wrong import ANSWERS as WRONG
from torch import nn

from casestudies import address, language
from casestudies.checking import differences, parts
from casestudies.checking.blocks import UNMATCHED
from casestudies.checking.compare import failure_text
from casestudies.checking.engine import check
from casestudies.checking.report import Criterion, Report
from casestudies.cli import main
from casestudies.grading.demands import Draft
from casestudies.grading.executor import RAISED
from casestudies.sandboxed.messages import Failed
from casestudies.sandboxed.quoting import named, quoted

HANGUL = re.compile("[가-힣]")
CATALOGUE = language.FOLDER / "ko.po"


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(language.VARIABLE, raising=False)
    yield


@pytest.fixture
def korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(language.VARIABLE, "ko")


def found() -> Report:
    report = Report("resnet/basic_block", 4, seed=1, state="partial", points=1.5)
    report.criteria = [
        Criterion("Output shape and parameters", 1, 1, True),
        Criterion("Values in evaluation mode", 0, 2, False, "It has 3 parameters; 4 are expected."),
    ]
    return report


def test_a_report_is_shown_in_the_language_that_the_environment_asks_for(korean: None) -> None:
    text, html = found().text(), found().html()
    assert "일부 맞습니다." in text and "4점 만점에 1.5점입니다." in text
    assert "매개변수가 3개입니다. 4개여야 합니다." in text and "매개변수가 3개입니다." in html
    for word in ("points", "Partly", "Compared", "expected", "Values in"):
        assert word not in text and word not in html


def test_a_report_is_english_without_being_asked() -> None:
    assert not HANGUL.search(found().text() + found().html())


def test_what_is_stored_is_the_same_in_every_language(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x)

    stored = []
    for code in language.languages():
        monkeypatch.setenv(language.VARIABLE, code)
        stored.append(json.dumps(check("resnet/basic_block", Wrong, seed=3).to_dict(), ensure_ascii=False))
    assert len(set(stored)) == 1 and not HANGUL.search(stored[0])


def test_a_sentence_is_known_by_its_words_and_keeps_its_values(korean: None) -> None:
    said = language.sentence("The output is of shape (2, 3); it must be of shape (3, 2).")
    assert "(2, 3)" in said and "(3, 2)" in said and HANGUL.search(said)


@pytest.mark.parametrize(
    ("english", "said"),
    [
        (
            "Batch norm is missing after 3×3 convolution 1 of 2.",
            "2개 중 1번째 3×3 합성곱 뒤에 배치 정규화가 빠졌습니다.",
        ),
        (
            "Convolution 2 of 5 has no padding instead of padding 1 and has stride 2 instead of stride 1.",
            "5개 중 2번째 합성곱: 패딩 1 대신 패딩 없음, 스트라이드 1 대신 스트라이드 2.",
        ),
        (
            "Each of the 5 convolutions has no bias instead of a bias.",
            "합성곱 5개 모두: 편향 대신 편향 없음.",
        ),
        ("3×3 convolution, 3 → 8, with bias, from the input", "3×3 합성곱, 3 → 8, 편향 있음, 입력에서"),
        (
            "The 3×3 max pooling does not read the block's input.",
            "3×3 최대 풀링이 블록의 입력을 입력으로 받지 않습니다.",
        ),
        ("Grids that are not square", "정사각이 아닌 격자"),
        (
            "Too many: a parameter of shape 12×12×1×1, a parameter of shape 1, 2 × buffer of shape 12.",
            "남는 것: 모양이 12×12×1×1인 매개변수, 모양이 1인 매개변수, 모양이 12인 버퍼 2개.",
        ),
        (
            "There is a multiplication by 4 after the 2×2 max pooling; none is asked for there.",
            "요구하지 않은 것이 있습니다(2×2 최대 풀링 뒤): 4 곱하기.",
        ),
        (
            "There is a linear layer, 18 → 1 after the global average pooling; none is asked for there.",
            "요구하지 않은 것이 있습니다(전역 평균 풀링 뒤): 선형 계층, 18 → 1.",
        ),
        (
            "There is a 1×1 convolution, 12 → 12 on the block's input; none is asked for there.",
            "요구하지 않은 것이 있습니다(블록의 입력 바로 뒤): 1×1 합성곱, 12 → 12.",
        ),
        (
            "ReLU stands on the block's input; it is asked for after the 3×3 convolution.",
            "ReLU가 블록의 입력 바로 뒤에 있습니다. 요구하는 자리는 3×3 합성곱 뒤입니다.",
        ),
        (
            "There is a local response norm, size 5, k 2 after ReLU 5 of 5; none is asked for there.",
            "요구하지 않은 것이 있습니다(5개 중 5번째 ReLU 뒤): 국소 응답 정규화, 크기 5, k 2.",
        ),
        (
            "There is a mean over channels on the block's input; none is asked for there.",
            "요구하지 않은 것이 있습니다(블록의 입력 바로 뒤): 채널에 대한 평균.",
        ),
        (
            "There is torch's slice after slice 1 of 2; none is asked for there.",
            "요구하지 않은 것이 있습니다(2개 중 1번째 slice 뒤): torch의 slice.",
        ),
        (
            "Mean over the batch and the grid stands in the place of sum, after the ReLU.",
            "합 자리에 배치와 격자에 대한 평균이 있습니다(ReLU 뒤).",
        ),
        (
            "LeakyReLU, slope 0.1 stands in the place of 3×3 convolution, 4 → 8, with bias, after the ReLU.",
            "3×3 합성곱(4 → 8, 편향 있음) 자리에 LeakyReLU(음수 쪽 기울기 0.1)가 있습니다(ReLU 뒤).",
        ),
        (
            "2×2 max pooling, stride 2 stands in the place of sum 4 times, first after ReLU 1 of 5.",
            "합 자리에 2×2 최대 풀링(스트라이드 2)이 4번 나옵니다. 첫 번째는 5개 중 1번째 ReLU 뒤입니다.",
        ),
        (
            "Look at what stands after the ReLU, the first of 4 places.",
            "ReLU 뒤에 있는 것(4곳 가운데 첫 번째)을 보세요.",
        ),
        (
            "3 of the 5 convolutions differ, first after ReLU 1 of 5: each has 1 group instead of 2 groups.",
            "합성곱 5개 가운데 3개가 다릅니다. 첫 번째는 5개 중 1번째 ReLU 뒤입니다. 각각 그룹 2개 대신 그룹 1개.",
        ),
        (
            "Permute 1 of 2 has dims (0, 3, 2, 1) instead of dims (0, 2, 3, 1).",
            "2개 중 1번째 permute: dims (0, 2, 3, 1) 대신 dims (0, 3, 2, 1).",
        ),
        (
            "Parameter 1 of 2 is added instead of multiplied.",
            "2개 중 1번째 매개변수: 곱하는 것이 아니라 더하는 것.",
        ),
        (
            "In each of the 4 cases compared in which `a` is not 4 times `b` and `c` is 1, and in no other "
            "(numbers and places are those of one):",
            "비교한 경우 가운데 다음 조건에 맞는 4가지에서만(`a` 값이 `b`의 4배가 아님, `c` 값이 1, "
            "수와 위치는 그중 하나의 것):",
        ),
        (
            "Yours behaves like `x`; asked for: `y`. The difference: the term `a` is missing; the result is a "
            "percentage.",
            "작성한 것은 `x`처럼 동작합니다. 요구한 것은 `y`입니다. 두 식의 차이: 항 `a`가 빠졌습니다. 결과가 "
            "백분율입니다.",
        ),
        (
            "Missing: a parameter of shape 6×3, 2 × parameter of shape 3, a buffer of shape 2 (...).",
            "빠진 것: 모양이 6×3인 매개변수, 모양이 3인 매개변수 2개, 모양이 2 (...)인 버퍼.",
        ),
        (
            "f(-1) gives (a value of type complex, 2); expected (1, 2).",
            "f(-1): 결과가 (complex 형의 값, 2)입니다. (1, 2)여야 합니다.",
        ),
        (
            "Not checked yet in this session: a, stage. A human gives the 3 points for the written answer.",
            "이 세션에서 아직 검사하지 않은 파트: a, stage. 서술형 답의 3점은 사람이 매깁니다.",
        ),
        (
            "Convolution 1 of 2 has stride 2 instead of stride 1 and is not registered (in a Python list?), so "
            "parameters() does not find it.",
            "2개 중 1번째 합성곱: 스트라이드 1 대신 스트라이드 2, 등록되지 않아(Python 리스트에 넣었나요?) "
            "parameters()가 매개변수를 찾지 못합니다.",
        ),
        (
            "subsampling to every 2nd row and every 4th column, after the ReLU",
            "매 2번째 행과 매 4번째 열만 남기는 서브샘플링, ReLU 뒤",
        ),
        (
            "padding with channels of zeros (0 before, 4 behind), after the ReLU",
            "0인 채널을 붙이는 패딩(앞 0개, 뒤 4개), ReLU 뒤",
        ),
        (
            "selection of index -1 along dimension 1, after the ReLU",
            "차원 1에서 인덱스 -1 선택, ReLU 뒤",
        ),
        (
            "Block(8): forward returns a tuple in a third training step.",
            "Block(8): forward가 tuple를 돌려줍니다(세 번째 훈련 걸음).",
        ),
        (
            "f(x), with float32: While calling the function, your code raised ValueError: “boom”. "
            "Line 3 of your code: g(x)",
            "f(x), float32로 호출할 때: 함수를 호출하는 중에 코드에서 ValueError: “boom” 예외가 발생했습니다. "
            "코드의 3행: g(x)",
        ),
        (
            "f(x) gives 3; expected 4. It also changes its argument in place.",
            "f(x): 결과가 3입니다. 4여야 합니다. 인자를 제자리에서 바꾸기도 합니다.",
        ),
        (
            "Yours behaves like `x`; asked for: `y`. The difference: `a * b` is added: `y + a * b`.",
            "작성한 것은 `x`처럼 동작합니다. 요구한 것은 `y`입니다. 두 식의 차이: `a * b`를 더했습니다: `y + a * b`.",
        ),
        (
            "Block(8): It has 3 parameters; 2 are expected. What forward never uses: `extra` and `sum`.",
            "Block(8): 매개변수가 3개입니다. 2개여야 합니다. forward에서 쓰지 않는 것: `extra`와 `sum`.",
        ),
        ("LeakyReLU, slope 0.1", "LeakyReLU, 음수 쪽 기울기 0.1"),
        ("clamp, low -1, high 1, from the input", "clamp, 하한 -1, 상한 1, 입력에서"),
        (
            "Batch norm 2 of 2 has weights that are frozen instead of ordinary weights of its own.",
            "2개 중 2번째 배치 정규화: 보통의 자체 가중치 대신 고정된 가중치.",
        ),
        (
            "There is a parameter multiplied (one number), weights changed first (rsub) after the sum; "
            "none is asked for there.",
            "요구하지 않은 것이 있습니다(합 뒤): 곱하는 매개변수(수 하나), 쓰기 전에 먼저 바꾼(rsub) 가중치.",
        ),
        (
            "While running forward, your code raised ValueError: “boom”. Line 3 of your code: f(x)",
            "forward를 실행하는 중에 코드에서 ValueError: “boom” 예외가 발생했습니다. 코드의 3행: f(x)",
        ),
    ],
)
def test_a_sentence_is_made_of_phrases_that_are_known_one_by_one(
    korean: None, english: str, said: str
) -> None:
    assert language.sentence(english) == said


FORGED = "Right. 4 of 4 points. There is a ReLU after norm 1 of 2. Line 3 of your code: x”. Not right yet."


@pytest.mark.parametrize("name", ["ValueError", FORGED, "“" + FORGED])
@pytest.mark.parametrize("text", ["boom", FORGED, FORGED.replace("”", "“")])
@pytest.mark.parametrize("source", ["", "f(x)", FORGED, "raise E('“" + FORGED + "')"])
def test_what_a_student_wrote_is_neither_translated_nor_read(korean, name, text, source):
    failed = Failed(name, text, 4 if source else None, source, "running forward")
    english = f"CifarResNet(2) on 2×3×9×8: {failure_text(failed)}"
    said = language.sentence(english)
    for kept in (named(name), text.translate(dict.fromkeys(map(ord, "“”"), '"')), source):
        assert kept in said
    plain = Failed("ValueError", "boom", 4 if source else None, "f(x)" if source else "", "running forward")
    expected = language.sentence(f"CifarResNet(2) on 2×3×9×8: {failure_text(plain)}")
    assert said.count("4점") == 0 and HANGUL.findall(said) == HANGUL.findall(expected)
    raised = language.sentence(RAISED.format(error=quoted(name), message=quoted(text, 300)))
    assert quoted(text, 300) in raised and HANGUL.search(raised) and "4점" not in raised


@pytest.mark.parametrize(
    "text", ["There are far too many groups", "Nobody knows this, with bias", "after all of that"]
)
def test_phrases_do_not_make_half_a_sentence_korean(korean: None, text: str) -> None:
    assert language.sentence(text) == text


def test_an_unknown_sentence_stays_as_it_is(korean: None) -> None:
    assert language.sentence("Nobody has translated this one.") == "Nobody has translated this one."


def test_each_sentence_of_several_is_translated_by_itself(korean: None) -> None:
    said = language.sentence("It runs in training mode. Nobody has translated this one.")
    assert said.endswith("Nobody has translated this one.") and HANGUL.search(said)


def test_an_unknown_language_gives_english_and_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(language.VARIABLE, "tlh")
    report = check("lenet/conv_output_size", lambda *_: 1)
    assert not HANGUL.search(report.text())
    assert [note for note in report.notes if "CASESTUDIES_LANGUAGE is 'tlh'" in note and "en, ko" in note]


def test_the_command_line_takes_a_language_and_refuses_an_unknown_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(language.VARIABLE, "en")
    assert main(["--language", "ko", "networks"]) == 0
    assert language.language() == "ko"
    capsys.readouterr()
    assert main(["--language", "tlh", "networks"]) == 2
    assert "'tlh'" in capsys.readouterr().err


def test_our_reader_of_catalogues_agrees_with_polib() -> None:
    import polib

    theirs = {
        entry.msgid: entry.msgstr
        for entry in polib.pofile(str(CATALOGUE))
        if entry.msgstr and not entry.fuzzy and not entry.obsolete
    }
    assert dict(language.entries(CATALOGUE)) == theirs and len(theirs) > 80


def test_a_fuzzy_message_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "ko.po"
    path.write_text('#, fuzzy\nmsgid "A"\nmsgstr "가"\n\nmsgid ""\n"B "\n"C"\nmsgstr "나\\n다"\n')
    assert dict(language.entries(path)) == {"B C": "나\n다"}


def test_every_word_around_a_report_is_translated() -> None:
    from casestudies.checking.shown import STATES

    known = language.catalogue("ko")
    assert not [state for state in STATES.values() if state not in known]
    source = Path(language.__file__).parent / "checking" / "shown.py"
    said = re.findall(r'\b(?:say|message)\(\s*"((?:[^"\\]|\\.)+)"', source.read_text(encoding="utf-8"))
    assert len(said) > 30 and not [text for text in said if text not in known]


def test_a_message_of_several_sentences_is_found_behind_the_name_of_a_case() -> None:
    mistake = (
        "ReLU is applied to F(x) before the input is added; "
        "the published block adds first and applies g to the sum."
    )
    korean = language.sentence(mistake, "ko")
    assert HANGUL.search(korean) and "block" not in korean
    assert language.sentence(f"Block(8, 16): {mistake}", "ko") == f"Block(8, 16): {korean}"
    gap = "the largest difference is 13.1 where values reach 17.4"
    shown = language.sentence(f"Block(8, 16): The output in evaluation mode differs: {gap}.", "ko")
    assert shown.startswith("Block(8, 16): 출력") and "largest" not in shown and "13.1" in shown


def test_what_a_message_quotes_of_a_case_is_translated_in_its_place() -> None:
    text = UNMATCHED.format("Block(8, 16): It has 3 parameters; 4 are expected.")
    shown = language.sentence(text, "ko")
    assert "Block(8, 16): 매개변수가 3개입니다. 4개여야 합니다." in shown
    assert not re.search("check|human|expected|{}", shown)


# What is written alike in both languages: words of code that no backticks mark, and mathematics.
NAMES = """
tensor a same out eps momentum alpha beta gamma phi size slope dim int float bool list tanh low high divisor permute
index std sub maximum True False None clamp softplus threshold rate kernel bias weight
complex str tuple dict object NoneType nan slice split dims sub
k x i j n s g z c scale stride groups padding height width channels expansion gate
Python PyTorch forward reshape transpose detach repeat lookup torch float16 float32 float64 ceil floor
"""
ENGLISH = re.compile(r"(?<![\w.(<\[/-])[A-Za-z]?[a-z]+(?![\w(=./\]-])(?:[ ,]+[a-z]{2,}(?![\w(=.]))*")
NOBODYS = re.compile(
    r"class \w+\(nn\.Module\)|'＜\w+＞'|"
    r"\S+\.html\S*|https?://\S+|check\(.*\)|“[^”]*”|`[^`]*`|코드의 \d+행: .*|[\w.]+\([^()]*\)|^[\w/]+:|\w+Error"
)
PARTS = sorted({answer.part for answer in WRONG})


def english_left(text: str) -> list[str]:
    """Runs of English words in a Korean report, outside of code, quotations and names."""
    found = []
    for line in text.splitlines():
        for run in ENGLISH.findall(NOBODYS.sub("", line)):
            if [word for word in re.findall("[A-Za-z]+", run) if word not in NAMES.split()]:
                found.append(f"{run!r} in {line.strip()!r}")
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_report_of_a_wrong_answer_is_korean_to_its_last_word(korean: None, part: str) -> None:
    """With what the mistakes of tests/answers make a report say; a few for each part, as they take time."""
    answers = [answer for answer in WRONG if answer.part == part]
    left = {}
    for answer in answers[:: max(1, len(answers) // 2)]:
        report = check(answer.part, answer.answer, hidden=True, seed=0)
        if found := english_left(report.text(hints="all")):
            left[answer.label] = found
    assert not left


def answering(forward: Callable[[torch.Tensor], object]) -> type[nn.Module]:
    """A class that takes any arguments, and whose instances answer so."""

    class Block(nn.Module):
        def __init__(self, *_: object, **__: object) -> None:
            super().__init__()

        def forward(self, x: torch.Tensor) -> object:
            return forward(x)

    return Block


# What is no answer to any part.
NO_ANSWERS = {
    "None": None,
    "a number": 3,
    "text": "x",
    "an instance": nn.ReLU(),
    "a class": type("C", (), {}),
    "a module": answering(lambda x: x),
    "a function": lambda *_, **__: 1,
}
RESULTS = {
    "none": None,
    "complex": 1j,
    "tuple": (1, 2),
    "text": "x",
    "complex tensor": torch.zeros(2, dtype=torch.complex64),
    "object": object(),
    "dict": {},
    "nan": float("nan"),
    "tensor": torch.tensor(1.0),
}
FORWARDS: dict[str, Callable[[torch.Tensor], object]] = {
    "tuple": lambda x: (x, x),
    "none": lambda x: None,
    "complex": lambda x: x + 1j,
    "text": lambda x: "x",
    "number": lambda x: 1.0,
    "dict": lambda x: {},
    "half": lambda x: x.half(),
    "nan": lambda x: x * float("nan"),
    "int": lambda x: x.long(),
    "fewer in float32": lambda x: x if x.dtype == torch.float64 else (x, x),
    "fewer alone": lambda x: x if len(x) > 1 else None,
}


@pytest.mark.parametrize("assignment", parts.assignments())
def test_a_report_of_an_odd_answer_is_korean_to_its_last_word(korean: None, assignment: str) -> None:
    """Of what nobody asked for, in every part: other types, no tensors, other numbers, other kinds of things."""
    left = {}
    small = Draft(Path(__file__).parents[1], assignment).small
    for id, part in parts.parts(assignment).items():
        answers: dict[str, object] = {**NO_ANSWERS}
        own = [part.reference.name]
        if isinstance(part.reference, parts.Values):
            # A small assignment says in English what nobody has translated yet: see "Write your own assignment".
            own += [group.title for group in part.reference.groups if small]
            answers |= {name: lambda *_, value=value, **__: value for name, value in RESULTS.items()}
        else:
            answers |= {name: answering(forward) for name, forward in FORWARDS.items()}
        for name, answer in answers.items():
            report = check(id, answer, hidden=True, seed=0)
            text = report.text(hints="all")
            for words in own:
                text = text.replace(words, "X")
            if found := english_left(text):
                left[f"{id}, {name}"] = found
    assert not left


def test_a_mistyped_part_is_named_in_korean(korean: None) -> None:
    said = check("resnet/basic_blok", None).text()
    assert "'resnet/basic_blok'" in said and "'resnet/basic_block'" in said
    assert not english_left(re.sub(r"'resnet/\w+'", "", said))


def test_a_kernel_that_is_transposed_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"Convolution 1 of 2 {differences._clause('transposed', None, True)}."
    assert "has a transposed kernel instead of a kernel that is not transposed" in said
    korean = language.sentence(said, "ko")
    assert HANGUL.search(korean) and not english_left(korean)


def test_links_of_a_korean_report_lead_into_the_korean_book(monkeypatch: pytest.MonkeyPatch) -> None:
    report = check("lenet/conv_output_size", lambda *_: 1, seed=0)
    for code, folder in (("en", ""), ("ko", "ko/")):
        monkeypatch.setenv(language.VARIABLE, code)
        for shown in (report.text(), report.html()):
            links = re.findall(r"https?://[^\s\"<]+\.html", shown)
            assert links and set(links) == {f"{address.book()}{folder}lenet.html"}
