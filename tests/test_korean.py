"""The Korean edition: its catalogues follow the English, and its messages share with it what they must."""

from __future__ import annotations

import ast
import gettext
import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import catalogues
import coursebook
import displayed
import gate
import polib
import pytest
import terms
from docutils import nodes

ROOT = Path(__file__).resolve().parents[1]
TERMS = terms.held_words()


def kinds(english: str, korean: str, heading: bool = False) -> set[str]:
    return {fault.kind for fault in gate.faults(english, korean, TERMS, heading)}


# The gate, for every page


@pytest.mark.parametrize("page", gate.pages())
def test_translated_messages_share_with_the_english_what_they_must(page: str) -> None:
    found = gate.check(gate.catalogue(page), TERMS)
    wrong = [one for one in found if one.faults[0].kind not in ("missing", "fuzzy")]
    assert not [f"{page}.po, line {one.entry.linenum}: {one.faults}" for one in wrong]


@pytest.mark.parametrize("page", gate.pages())
def test_no_message_is_fuzzy(page: str) -> None:
    assert not [entry.msgid for entry in gate.catalogue(page) if entry.fuzzy]


@pytest.mark.parametrize("page", gate.finished_pages())
def test_no_message_of_a_finished_page_is_missing(page: str) -> None:
    missing = [entry for entry in gate.catalogue(page) if not entry.msgstr]
    assert not [entry.msgid for entry in missing if gate.demanded(page, entry)]


def test_what_a_new_assignment_says_may_wait_for_its_page(monkeypatch: pytest.MonkeyPatch) -> None:
    of_resnet = polib.POEntry(msgid="There is no ReLU.", comment="[sentence] resnet/basic_block")
    of_all = polib.POEntry(msgid="Missing.", comment="[sentence] engine")
    assert gate.demanded("package", of_resnet) and gate.demanded("package", of_all)
    monkeypatch.setattr(gate, "finished_pages", lambda: ["package", "lenet"])
    assert not gate.demanded("package", of_resnet) and gate.demanded("package", of_all)
    assert gate.demanded("lenet", of_resnet)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Sphinx's extensions warn of each other
def test_the_catalogues_hold_the_messages_of_the_book() -> None:
    """`make gettext` leaves no difference; run it after an edit of the English."""
    found = catalogues.all_messages()
    assert sorted(found) == gate.pages()
    for page, messages in found.items():
        path = gate.path_of(page)
        again = catalogues.written(catalogues.updated(catalogues.load(path, page), messages, {}))
        assert path.read_text(encoding="utf-8") == again, f"{page}.po is not what `make gettext` writes"


# What the gate catches


@pytest.mark.parametrize(
    ("english", "korean", "kind"),
    [
        ("See {eq}`a`.", "식을 봅니다.", "role"),
        ("See {eq}`a`.", "{eq}`b`를 봅니다.", "role"),
        ("{cite:t}`he2015deep` did.", "{cite:p}`he2015deep`이 했습니다.", "role"),
        ("The $k$ pixels.", "$n$ 픽셀입니다.", "formula"),
        ("Once $k$.", "$k$와 $k$입니다.", "formula"),
        ("Call `check` now.", "`checks`를 부릅니다.", "code"),
        ("See [this](nin.md).", "[이것](vgg.md)을 봅니다.", "link"),
        ("See [this](nin.md).", "이것을 봅니다.", "link"),
        ("It is **this**.", "이것입니다.", "emphasis"),
        ("A **term** is.", "**용어(term)**는 있습니다.", "emphasis"),
        ("It has 16 layers.", "계층이 19개입니다.", "number"),
        ("It has 16 layers.", "계층이 여럿입니다.", "number"),
        ("It is new.", "2015년의 것입니다.", "number"),
        ("LeNet-5 is old.", "LeNet은 오래되었습니다.", "name"),
        ("It has {count} maps.", "맵이 {number}개입니다.", "placeholder"),
        ("The padding is zero.", "여백은 0입니다.", "term"),
        ("Batch normalization helps.", "일괄 정상화가 돕습니다.", "term"),
        ("It learns.", "이것은 배운다.", "style"),
        ("You see it.", "당신은 그것을 봅니다.", "style"),
        ("The window is 32 wide.", "창의 너비는 32을 씁니다.", "particle"),
        ("The window (frame) moves.", "창(frame)가 아니라 창(frame)를 옮깁니다.", "particle"),
        ("It learns well here.", "It learns well here.", "translation"),
        ("It learns.", "Es lernt.", "translation"),
        ("First, look.", "1. 봅니다.", "markup"),
        ("It falls to -0.5 here.", "여기서 0.5로 떨어집니다.", "number"),
        ("It falls to 0.5 here.", "여기서 -0.5로 떨어집니다.", "number"),
        ("The error is 15.3 % here.", "오류율은 여기서 15.3입니다.", "unit"),
        ("It grows by 5 %.", "5배 커집니다.", "unit"),
        ("It grows by five.", "5 % 커집니다.", "unit"),
        ("It takes 28 MB.", "28 GB가 듭니다.", "unit"),
        ("It takes 28 MB.", "28이 듭니다.", "unit"),
        ("The widths go 64→128.", "너비는 128→64입니다.", "order"),
        ("It goes from 64 to 128 channels.", "채널이 128개에서 64개로 갑니다.", "order"),
        ("See [this](nin.md).", "[](nin.md)을 봅니다.", "link without words"),
        ("See https://a.org/b for it.", "https://a.org/c 를 봅니다.", "link"),
        ("It learns.", "배웁니다. 배웁니다.", "markup"),
        ("It learns.", "배웁니다..", "markup"),
        ("It learns.", "채널는 배웁니다.", "particle"),
        ("It learns.", "채널가 배웁니다.", "particle"),
        ("It learns.", "매개변수을 배웁니다.", "particle"),
        ("Its stride is large.", "스트라이드(step)이 큽니다.", "particle"),
        ("It learns.", "네트워크가 배워요.", "style"),
        ("It learns.", "네트워크가 배워.", "style"),
        ("It learns.", "네트워크가 배움.", "style"),
        ("AlexNet learns.", "GoogLeNet은 배웁니다.", "name"),
        ("VGG learns.", "이 네트워크는 배웁니다.", "name"),
        ("Convolution", "Convolution", "translation"),
        ("Training.", "Training.", "translation"),
        ("It has three layers.", "계층이 네 개입니다.", "number"),
        ("It has three layers.", "계층이 여럿입니다.", "number"),
        ("It has two layers.", "계층이 몇 개 있습니다.", "number"),
        ("It has layers.", "계층이 셋입니다.", "number"),
        ("The fourth layer.", "이 계층입니다.", "number"),
        ("The first layer shrinks it.", "둘째 계층이 줄입니다.", "number"),
        ("The layer shrinks it.", "첫 계층이 줄입니다.", "number"),
        ("ResNet learns.", "ResNet는 배웁니다.", "particle"),
        ("AlexNet learns.", "AlexNet가 배웁니다.", "particle"),
        ("VGG learns.", "VGG은 배웁니다.", "particle"),
        ("A ReLU helps.", "ReLU을 씁니다.", "particle"),
        ("Adam helps.", "**Adam**를 씁니다.", "particle"),
        ("The URL helps.", "URL으로 찾습니다.", "particle"),
        ("It learned.", "배웠슴니다.", "spelling"),
        ("It learns.", "배우읍니다.", "spelling"),
        ("It learns channels.", "채널을을 배웁니다.", "spelling"),
        ("It learns from it.", "채널에서에서 배웁니다.", "spelling"),
        ("It learns all channels.", "모든 모든 채널을 배웁니다.", "spelling"),
        ("The network learns.", "이 network는 배웁니다.", "translation"),
        ("Weights, the single kernel", "가중치, the single kernel", "translation"),
        ("It learns. It stops. It ends.", "배웁니다.", "translation"),
        ("It does not learn.", "배웁니다.", "sense"),
        ("It never learns.", "늘 배웁니다.", "sense"),
        ("It is larger than C1.", "C1보다 작습니다.", "sense"),
        ("It has fewer weights than C1.", "가중치가 C1보다 많습니다.", "sense"),
    ],
)
def test_the_gate_names_the_fault(english: str, korean: str, kind: str) -> None:
    assert kind in kinds(english, korean)


@pytest.mark.parametrize(
    ("english", "korean"),
    [
        ("The $n$ pixels of {eq}`a` in `x`.", "`x`에서 {eq}`a`의 픽셀은 $n$개입니다."),
        ("There are two of 16.", "16개 가운데 2개입니다."),
        ("It has 138 million parameters.", "매개변수가 1억 3,800만 개입니다."),
        ("It has sixty thousand weights.", "가중치가 6만 개입니다."),
        ("A quarter of it.", "그 4분의 1입니다."),
        ("In the 1990s, LeNet-5's maps.", "1990년대 LeNet-5의 맵입니다."),
        ("A **convolution** is a sum.", "**합성곱**(convolution)은 합입니다."),
        ("LeNet", "LeNet"),
        ("$k, s, p$", "$k, s, p$"),
        ("So {term}`stride <a · b>`.", "{term}`보폭 <a · b>`의 다른 말입니다."),
        ("Depthwise separable convolutions are cheap.", "깊이별 분리 합성곱은 저렴합니다."),
        ("It is 28×28 and 8 wide.", "28×28은 8을 넘습니다."),
        ("Is it right?", "맞습니까?"),
        ("Move by 8; a quarter is left, of zeros.", "8만큼 옮기면 0은 4분의 1만 남습니다."),
        ("Let us look.", "함께 봅시다."),
        ("Minus one and four per cent.", "−1과 4퍼센트입니다."),
        ("From 64 to 64 and from 3 to 64.", "3에서 64로, 64에서 64로 갑니다."),
        ("The ResNets and ReLUs (see https://a.org/b).", "ResNet과 ReLU입니다(https://a.org/b)."),
        ("Moving windows.", "움직이는 창을 맞추는 일입니다. 왜 그럴까요?"),
        ("Shallow towers.", "얕은 타워."),
        ("Adam", "Adam"),
        ("ResNet and VGG use tanh, and ReLU a URL.", "ResNet과 VGG는 tanh로, ReLU는 URL로 합니다."),
        ("One generation of chips.", "한 세대의 칩입니다."),
        ("The number of columns is right.", "열 수가 맞습니다."),
        ("It has two: ten thousand layers.", "두 가지, 곧 1만 층입니다."),
        ("Where is its first place?", "어디부터 볼까요?"),
        ("It is drawn as {first}.", "{first}입니다."),
        ("Features of features are found.", "특징의 특징의 특징을 찾습니다."),
        ("It is called *drop connect* (or the like).", "*drop connect*(or the like)라고 합니다."),
        ("Choose Insert a Comment.", "Insert a Comment를 고르세요."),
        ("It is not larger than C1.", "C1보다 크지 않습니다."),
        ("It is smaller than C1, e.g. by half. Why?", "C1보다 작습니다. 왜 그럴까요?"),
        ("It grows by more than half.", "절반 넘게 줄어듭니다."),
    ],
)  # fmt: skip
def test_the_gate_lets_a_faithful_message_through(english: str, korean: str) -> None:
    assert not gate.faults(english, korean, TERMS)


def test_a_heading_may_end_as_a_noun_does_and_need_not_be_a_sentence() -> None:
    assert not kinds("Output size", "출력 크기", heading=True)
    assert "style" in kinds("It grows.", "커진다.")


def test_a_fuzzy_and_a_missing_message_are_named() -> None:
    entries = [polib.POEntry(msgid="A", msgstr="가", flags=["fuzzy"]), polib.POEntry(msgid="B")]
    assert [one.faults[0].kind for one in gate.check(entries, TERMS)] == ["fuzzy", "missing"]


@pytest.mark.parametrize("entry", [{}, {"msgstr": "네.", "flags": ["fuzzy"]}, {"msgstr": "배운다."}])
def test_the_list_of_pages_ends_with_status_1_where_something_is_left(
    entry: dict[str, object], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gate, "pages", lambda: ["lenet"])
    monkeypatch.setattr(gate, "finished_pages", list)
    known = {"lenet": [catalogues.Message(text, "") for text in ("It learns.", "It is.")]}
    monkeypatch.setattr(catalogues, "messages_by_catalogue", lambda names=(): known)
    whole = polib.POEntry(msgid="It learns.", msgstr="배웁니다.")
    done = polib.POEntry(msgid="It is.", msgstr="있습니다.")
    monkeypatch.setattr(gate, "catalogue", lambda page: [whole, done])
    assert gate.main([]) == 0
    monkeypatch.setattr(gate, "catalogue", lambda page: [whole, polib.POEntry(msgid="It is.", **entry)])
    assert gate.main([]) == 1
    assert "lenet" in capsys.readouterr().out


@pytest.fixture
def two_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course of two pages with two messages each, and their catalogues."""
    gate.nouns(), gate.english_words()  # kept, of the catalogues of the course
    known = {
        page: [catalogues.Message(text, "") for text in (f"The {page} learns.", f"The {page} shrinks.")]
        for page in ("net", "grid")
    }
    for page, found in known.items():
        lines = [f'msgid "{one.english}"\nmsgstr "배웁니다."\n' for one in found]
        (tmp_path / f"{page}.po").write_text("\n".join(['msgid ""\nmsgstr ""\n', *lines]), encoding="utf-8")
    monkeypatch.setattr(gate, "CATALOGUES", tmp_path)
    monkeypatch.setattr(gate, "pages", lambda: sorted(path.stem for path in tmp_path.glob("*.po")))
    monkeypatch.setattr(gate, "finished_pages", list)
    monkeypatch.setattr(catalogues, "messages_by_catalogue", lambda names=(): known)
    return tmp_path


@pytest.mark.parametrize("arguments", [[], ["net"], ["--finish", "net"]])
def test_the_gate_misses_what_a_catalogue_has_lost(
    arguments: list[str], two_pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = two_pages / "net.po"
    whole = path.read_text(encoding="utf-8")
    assert gate.main([one for one in arguments if one != "--finish"]) == 0
    path.write_text(whole[: whole.index('msgid "The net shrinks.')], encoding="utf-8")
    assert gate.main(arguments) == 1
    path.write_text(whole[:-4], encoding="utf-8")  # within a line
    capsys.readouterr()
    assert gate.main(arguments) == 2
    assert 'net.po, line 8: msgstr "배웁니 has no closing quote' in capsys.readouterr().err
    path.unlink()
    assert gate.main(arguments) == (2 if arguments else 1)


def test_the_gate_names_a_catalogue_that_no_page_has(
    two_pages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (two_pages / "old.po").write_text('msgid ""\nmsgstr ""\n', encoding="utf-8")
    assert gate.main([]) == 1
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("old ")]
    assert line.endswith("no page has these messages")


def test_of_every_name_the_messages_are_those_of_all_catalogues() -> None:
    names = ["sphinx", "package", "assignments/lenet", "assignments/vgg"]
    found = catalogues.messages_by_catalogue(names)
    assert list(found) == names and all(found.values())


# Catalogues


def catalogue(*entries: tuple[str, str]) -> polib.POFile:
    file = catalogues.empty("")
    for english, korean in entries:
        file.append(polib.POEntry(msgid=english, msgstr=korean))
    return file


def test_an_update_keeps_a_translation_and_follows_the_order_of_the_page() -> None:
    old = catalogue(("One thing.", "하나."), ("Another matter.", "다른 일."))
    new = [catalogues.Message("Another matter.", ""), catalogues.Message("One thing.", "Here")]
    found = catalogues.updated(old, new, {})
    assert [(one.msgid, one.msgstr, one.fuzzy) for one in found] == [
        ("Another matter.", "다른 일.", False),
        ("One thing.", "하나.", False),
    ]


TEXTS = ("Output size", "The parts", "Why does depth help?", "What a filter finds")


@pytest.mark.parametrize("order", list(permutations(TEXTS))[1::5])
def test_a_heading_keeps_its_translation_wherever_it_stands(order: tuple[str, ...]) -> None:
    old = catalogue(*((text, f"{text}, 한국어") for text in TEXTS))
    found = catalogues.updated(old, [catalogues.Message(text, "[heading]") for text in order], {})
    assert [(one.msgid, one.msgstr, one.fuzzy) for one in found] == [
        (text, f"{text}, 한국어", False) for text in order
    ]


def test_a_heading_that_was_away_for_one_update_comes_back_with_its_translation() -> None:
    """An update between cutting and pasting gives its Korean to what is most alike, as fuzzy."""
    one, other = catalogues.Message("Output size", ""), catalogues.Message("Output sizes", "")
    cut = catalogues.updated(catalogue(("Output size", "출력 크기")), [other], {})
    assert [each.fuzzy for each in cut] == [True]
    for wanted in ([one], [other, one]):
        back = {each.msgid: each for each in catalogues.updated(cut, wanted, {})}["Output size"]
        assert (back.msgstr, back.fuzzy) == ("출력 크기", False)


def test_a_heading_that_a_merge_left_twice_or_empty_is_translated() -> None:
    message = [catalogues.Message("Output size", "")]
    (found,) = catalogues.updated(catalogue(("Output size", "출력 크기"), ("Output size", "")), message, {})
    assert found.msgstr == "출력 크기"
    (found,) = catalogues.updated(
        catalogue(("Output size", "")), message, {(None, "Output size"): "출력 크기"}
    )
    assert found.msgstr == "출력 크기"


def test_a_changed_message_keeps_its_korean_as_fuzzy_with_the_english_it_was_made_from() -> None:
    old = catalogue(("The grid shrinks by two.", "격자가 줄어듭니다."))
    (found,) = catalogues.updated(old, [catalogues.Message("The grid shrinks by four.", "")], {})
    assert (found.msgstr, found.fuzzy) == ("격자가 줄어듭니다.", True)
    assert found.previous_msgid == "The grid shrinks by two."
    (again,) = catalogues.updated(
        catalogue_of(found), [catalogues.Message("The grid shrinks by three.", "")], {}
    )
    assert again.previous_msgid == "The grid shrinks by two."  # what the Korean says


def catalogue_of(entry: polib.POEntry) -> polib.POFile:
    file = catalogues.empty("")
    file.append(entry)
    return file


def test_an_unlike_message_gets_no_translation() -> None:
    old = catalogue(("The grid shrinks by two.", "격자가 줄어듭니다."))
    (found,) = catalogues.updated(old, [catalogues.Message("Why does depth help?", "")], {})
    assert not found.msgstr and not found.fuzzy


def test_what_another_page_has_translated_is_taken_over() -> None:
    memory = {(None, "References"): "참고 문헌"}
    (found,) = catalogues.updated(catalogue(), [catalogues.Message("References", "")], memory)
    assert found.msgstr == "참고 문헌" and not found.fuzzy


def test_catalogues_name_no_date_and_no_place_of_a_machine() -> None:
    for path in map(gate.path_of, gate.pages()):
        text = path.read_text(encoding="utf-8")
        assert "POT-Creation-Date" not in text and "#: " not in text and str(ROOT) not in text


def test_formulas_code_and_outputs_are_no_messages() -> None:
    from docutils.utils import new_document

    document = new_document("page.md")
    for kind in (nodes.math_block, nodes.literal_block):
        node = kind("x", "x")
        node.rawsource = "x"
        document += node
    cell = nodes.container(classes=["cell_output"])
    cell += nodes.paragraph("computed", "computed")
    document += cell
    document += nodes.paragraph("said", "said")
    assert [message.english for message in catalogues.messages_of(document)] == ["said"]


def test_words_of_a_displayed_formula_are_messages_and_its_signs_are_not() -> None:
    from docutils.utils import new_document

    document = new_document("page.md")
    tex = r"k^2 C_\text{in} \text{ weights, each used } HW \text{ times.} \quad \sum_{\text{layers } l} \text{MACs}"
    document += nodes.math_block(tex, tex)
    found = [(one.english, one.context) for one in catalogues.messages_of(document)]
    assert found == [(words, "formula") for words in ("weights, each used", "times", "layers")]
    korean = {"weights, each used": "개의 가중치, 각각", "times": "번"}
    displayed.formulas(document, lambda kind, text: korean.get(text, text))
    assert document.astext() == (
        r"k^2 C_\text{in} \text{ 개의 가중치, 각각 } HW \text{ 번.} \quad \sum_{\text{layers } l} \text{MACs}"
    )


def test_every_word_of_a_report_on_a_page_is_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Single words with a capital, results behind their sign, and what the style sheet says, too."""
    from torch import nn

    from casestudies import check, language

    class Wrong(nn.Module):
        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__()
            self.conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1)

        def forward(self, x: object) -> object:
            return self.conv(x)

    monkeypatch.setenv(language.VARIABLE, "en")
    english = check("resnet/basic_block", Wrong, seed=3)
    english.notes.append("It runs in training mode.")
    shown = displayed.in_report(english.html(), lambda kind, text: language.sentence(text, "ko"))
    monkeypatch.setenv(language.VARIABLE, "ko")
    english.progress = language.sentence(english.progress)
    assert shown == english.html().replace("/ko/resnet.html", "/resnet.html")  # pages have relative links


@pytest.mark.parametrize("points", ["2", "2.5"])
def test_the_points_so_far_are_set_apart_whole(points: str) -> None:
    from casestudies.checking.report import Report

    line = f"{points} of 20 points so far. Not checked yet in this session: plain_block."
    report = Report("resnet/basic_block", possible=4, seed=0, progress=line)
    assert f"<strong>{points} of 20 points so far.</strong> Not checked" in report.html()


# Words of outputs, from the last build


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build of one page, made of its present source and code."""
    book, doctrees = tmp_path / "book", tmp_path / "_build" / ".doctrees"
    book.mkdir()
    doctrees.mkdir(parents=True)
    (book / "page.md").write_text("```{code-cell} ipython3\nfrom casestudies import sizes\n```\n")
    (doctrees / "page.doctree").write_bytes(b"")
    note = {"page": [coursebook.stamp((book / "page.md").read_text()), coursebook.maker()]}
    coursebook.note_of_pages(doctrees).write_text(json.dumps(note))
    monkeypatch.setattr(catalogues, "ROOT", tmp_path)
    monkeypatch.setattr(catalogues, "BUILT", doctrees)
    return tmp_path


def test_a_build_of_the_present_page_code_and_extension_is_read(built: Path) -> None:
    assert catalogues.out_of_date("page") == ""


def test_a_build_is_not_read_where_the_page_was_edited_since(built: Path) -> None:
    later = (built / "_build/.doctrees/page.doctree").stat().st_mtime + 10
    os.utime(built / "book" / "page.md", (later, later))
    assert "before their last edit" in catalogues.out_of_date("page")


def test_a_build_is_not_read_where_the_package_has_changed(
    built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogues, "stamp", lambda text: "other code")
    assert catalogues.displayed_by("page") is None
    catalogues.tell_of_old_pages()
    assert capsys.readouterr().err == (
        "What cells of page display stays as the catalogues have it, since they were built with other code of the "
        "package: run `make book`, then `make gettext` again.\n"
    )


@pytest.mark.parametrize("note", [None, "no JSON", '{"page": ["", "another extension"]}', "{}"])
def test_a_build_of_another_version_of_the_extension_is_not_read(built: Path, note: str | None) -> None:
    path = coursebook.note_of_pages(built / "_build/.doctrees")
    path.unlink()
    if note is not None:
        path.write_text(note)
    assert "another version of the book's extension" in catalogues.out_of_date("page")


def test_a_page_that_was_never_built_keeps_what_its_catalogue_has(built: Path) -> None:
    (built / "_build/.doctrees/page.doctree").unlink()
    assert catalogues.out_of_date("page") == "they are not built" and catalogues.displayed_by("page") is None


def test_a_stale_build_drops_nothing_that_a_page_displays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Words of figures and sentences of tables alike; what was prose and is no longer said goes."""
    old = catalogue()
    old.append(polib.POEntry(msgid="said before", comment="Cost"))
    old.append(polib.POEntry(msgid="a cell of a table", comment="[label] Cost shown by a cell"))
    old.append(polib.POEntry(msgid="error, %", msgctxt="figure", comment="[label] shown by a cell"))
    path = tmp_path / "page.po"
    path.write_text(catalogues.written(old), encoding="utf-8")
    monkeypatch.setattr(catalogues, "path_of", lambda page: path)
    assert [message.english for message in catalogues.kept_words("page")] == ["a cell of a table", "error, %"]


# Terms


def test_every_entry_of_the_glossary_has_its_korean() -> None:
    text = terms.GLOSSARY.read_text(encoding="utf-8")
    body = text.split("```{glossary}")[1].split("```")[0]
    entries = [line for line in body.splitlines() if line and not line.startswith(" ")]
    found = terms.glossary_terms(text)
    assert len(entries) == len(found) == len(terms.term_table()) > 80
    assert all(terms.HANGUL.search(korean[0]) for english, korean in found.items() if english != "mlpconv")


def test_settings_of_the_lint_name_terms_of_the_glossary() -> None:
    settings = tomllib.loads(terms.SETTINGS.read_text(encoding="utf-8"))
    assert set(settings["also"]) | set(settings["everyday"]) <= {term.english for term in terms.term_table()}


def test_words_of_the_lint_are_in_the_course_and_no_entries_of_the_glossary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = tomllib.loads(terms.SETTINGS.read_text(encoding="utf-8"))
    said = "\n".join(entry.msgid for page in gate.pages() for entry in gate.catalogue(page))
    for word in settings["words"]:
        assert terms.english_pattern(word).search(said), word
    [fault] = gate.terms_that_differ("A linear map.", "선형 변환입니다.", TERMS)
    assert (fault.kind, "선형 사상" in fault.says) == ("term", True)
    found = terms.glossary_terms(terms.GLOSSARY.read_text(encoding="utf-8"))
    monkeypatch.setattr(terms, "glossary_terms", lambda text: {**found, "layout": ["레이아웃"]})
    with pytest.raises(ValueError, match="'layout' among its words"):
        terms.held_words()


def test_the_first_use_of_a_term_has_its_english_in_brackets() -> None:
    (term,) = [term for term in TERMS if term.english == "convolution"]
    assert term.first_use == "합성곱(convolution)"


# The edition


def test_the_search_cuts_particles_off_and_knows_parts_of_words() -> None:
    from korean_search import SearchKorean

    language = SearchKorean({})
    for word in ("병목은", "병목을", "병목에서는", "병목"):
        assert "병목" in {language.stem(one) for one in language.split(word)}
    assert {"병목", "선형"} <= {language.stem(one) for one in language.split("선형병목층은")}
    assert language.split("3 × 3 합성곱은 ReLU6를") == ["3x3", "합성곱은", "합성", "성곱", "곱은", "ReLU6"]


INDEXED = "하이퍼파라미터 배치 정규화 활성화 함수 완전 연결 제로 패딩 최대 풀링 "
INDEXED += "깊이별 분리 합성곱 기울기 매개변수 과적합 사라집니다"


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("배치정규화", "배치 정규화"),
        ("배치정규화를", "배치 정규화"),
        ("활성화함수", "활성화 함수"),
        ("완전연결층", "완전 연결 계층"),
        ("완전연결망", "완전 연결"),
        ("제로패딩", "제로 패딩"),
        ("최대풀링", "최대 풀링"),
        ("깊이별분리합성곱", "깊이별 분리 합성곱"),
        ("깊이별컨볼루션", "깊이별 합성곱"),
        ("컨볼루션은", "합성곱"),
        ("그래디언트", "기울기"),
        ("이미지넷", "imagenet"),
        ("르넷", "lenet"),
        ("레즈넷", "resnet"),
        ("파라미터", "매개변수"),
        ("과적합이었습니다", "과적합"),
        ("정규화했습니다", "정규화"),
        ("사라지는", "사라지"),
        ("가나다라마", "가나다라마"),
        ("resnet 3 × 3", "resnet 3x3"),
    ],
)
def test_a_query_is_put_in_words_of_the_index(typed: str, searched: str) -> None:
    """In the browser's own code, with an index that the Python half has made."""
    from korean_search import SearchKorean

    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    language = SearchKorean({})
    index = {language.stem(word): 0 for word in language.split(INDEXED)}
    code = (
        f"{language.js_stemmer_code}\n{language.js_splitter_code}\n"
        f"const Search = {{_index: {{terms: {json.dumps(index)}, titleterms: {{}}}}}};\n"
        f"console.log(splitQuery({json.dumps(typed)}).map((one) => new Stemmer().stemWord(one)).join(' '));"
    )
    said = subprocess.run([node, "-e", code], capture_output=True, encoding="utf-8", check=True)
    assert said.stdout.strip() == searched


def test_what_a_theme_writes_in_english_is_korean_on_the_pages() -> None:
    import korean
    from sphinx.locale import get_translation, translators

    words = {message.english for message in catalogues.interface()}
    assert {"Suggest edit", "Fullscreen mode", "Toggle primary sidebar", "Link to this heading"} <= words
    before = translators.get(korean.OF_THE_THEME)
    try:
        for theirs in (None, gettext.NullTranslations()):
            translators.pop(korean.OF_THE_THEME, None)
            if theirs is not None:
                translators[korean.OF_THE_THEME] = theirs
            korean.before_the_theme()
            korean.before_the_theme()
            said = get_translation("booktheme")
            assert said("Suggest edit") == "수정 제안" and said("Not ours") == "Not ours"
    finally:
        translators.pop(korean.OF_THE_THEME, None)
        if before is not None:
            translators[korean.OF_THE_THEME] = before


def test_the_interface_and_the_parts_of_the_book_are_translated() -> None:
    import korean

    settings = korean.settings()
    assert terms.HANGUL.search(settings["html_theme_options"]["search_bar_text"])
    assert settings["nb_execution_cache_path"] == str(ROOT / "_build" / ".jupyter_cache")


def test_the_first_page_of_the_edition_says_that_it_is_korean() -> None:
    import korean

    page = korean.redirect("welcome")
    assert '<html lang="ko">' in page and 'url=welcome.html"' in page and "<title>" in page


@pytest.mark.parametrize(
    ("words", "marked"),
    [("It learns.", True), ("ResNet 블록", False), ("conv <i>&#44228;</i>", False), ("C1", False)],
)
def test_only_what_has_no_hangul_is_marked_as_english(words: str, marked: bool) -> None:
    import korean

    assert ('lang="en"' in korean.in_english(f'<p class="untranslated">{words}</p>')) == marked


def test_an_unfinished_page_says_so_and_leads_to_the_english(monkeypatch: pytest.MonkeyPatch) -> None:
    import korean

    monkeypatch.setattr(korean, "finished_pages", lambda: ["lenet"])
    assert 'href="../vgg.html"' in korean.with_note("vgg", "<h1>VGG</h1>")
    assert korean.version() in korean.with_note("lenet", "<h1>LeNet</h1>")


def test_a_korean_page_offers_the_korean_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import korean

    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "small.md").write_text("# A title\n\nSome words.\n")
    monkeypatch.setattr(coursebook, "ROOT", tmp_path)
    assert coursebook.notebook_of("small", "ko") == "exercises/small/small.ipynb"
    korean.make_notebooks(tmp_path, tmp_path / "_build" / korean.NOTEBOOKS.name)
    assert coursebook.notebook_of("small", "ko") == "_build/exercises-ko/small/small.ipynb"
    assert coursebook.notebook_of("small", "en") == "exercises/small/small.ipynb"


def test_notebooks_are_made_again_where_something_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import korean

    from casestudies.grading import notebooks

    releases: list[object] = []
    release = notebooks.release
    monkeypatch.setattr(
        notebooks, "release", lambda *args, **kwargs: releases.append(release(*args, **kwargs))
    )
    source, folder = tmp_path / "solutions" / "small.md", tmp_path / "notebooks"
    source.parent.mkdir()
    source.write_text("# A title\n\nSome words.\n")
    made = folder / "small" / "small.ipynb"

    for _ in range(2):
        korean.make_notebooks(tmp_path, folder)
        assert "Some words." in made.read_text(encoding="utf-8")
    assert len(releases) == 1
    changes: list[Callable[[], object]] = [
        lambda: source.write_text("# A title\n\nOther words.\n"),
        lambda: made.write_text("{}"),  # damaged, or half written
        made.unlink,
    ]
    for change in changes:
        change()
        korean.make_notebooks(tmp_path, folder)
        assert "Other words." in made.read_text(encoding="utf-8")
    assert len(releases) == 4


def test_words_of_outputs_are_translated_and_code_and_its_prints_are_not() -> None:
    from docutils.utils import new_document

    document = new_document("page.md")

    def cell(tags: list[str], output: nodes.Element) -> nodes.Element:
        whole = nodes.container(classes=["cell", *tags])
        shown = nodes.container(classes=["cell_output"])
        shown += output
        whole += shown
        document.append(whole)
        return output

    seen = cell([], nodes.literal_block("", "3 maps"))
    hidden = cell(["tag_hide-input"], nodes.literal_block("", "3 maps"))
    svg = '<svg aria-label="A map of 5 rows"><text>epoch</text><style>svg text{x:1}</style></svg>'
    bundle = nodes.container()
    bundle += nodes.raw("", svg, format="html")
    figure = cell([], bundle)
    korean = {"{1} maps": "맵 {1}개", "epoch": "에폭", "A map of {1} rows": "{1}줄짜리 맵"}
    displayed.translate(document, "", korean)
    assert seen.astext() == "3 maps"
    assert hidden.astext() == "맵 3개"
    assert figure.astext() == (
        '<svg aria-label="5줄짜리 맵"><text>에폭</text><style>svg text{x:1}</style></svg>'
    )


@pytest.mark.parametrize(
    "english, korean, agree",
    [
        ("a twenty-fifth of it", "그 25분의 1", True),
        ("a twenty-fifth of it", "그 26분의 1", False),
        ("five sixths, two thirds and a sixteenth", "6분의 5, 3분의 2와 16분의 1", True),
        ("a point and a half", "1.5퍼센트포인트", True),
        ("between three and a half and five", "3.5에서 5 사이", True),
        ("one and a half", "2.5", False),
        ("3.8, 4.1 and 8.2 billion", "38억, 41억, 82억", True),
        ("3.8, 4.1 and 8.2 billion", "38억, 4.1, 82억", True),
        ("3.8, 4.1 and 8.2 billion", "38억, 42억, 82억", False),
        ("132 in place of 20 million", "2,000만 대신 1억 3,200만", True),
        ("a 132 in place of 20 million", "2,000만 대신 1억 3,200만", True),
        ("132 of them", "1억 3,200만", False),
    ],
)
def test_numbers_may_be_said_as_each_language_says_them(english: str, korean: str, agree: bool) -> None:
    assert (not list(gate.numbers_that_differ(english, korean))) == agree


def test_a_text_written_out_in_the_code_keeps_its_numbers_in_the_message() -> None:
    written = displayed.constants('label = "in 1998"')
    assert displayed.key_of("in 1998", written) == ("in 1998", [])
    assert displayed.key_of("in 2012", written) == ("in {1}", ["2012"])


def test_a_korean_page_is_out_of_date_when_the_words_of_its_explorers_change(tmp_path, monkeypatch):
    for path in coursebook.SPOKEN:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((coursebook.ROOT / path).read_bytes())
    monkeypatch.setattr(coursebook, "ROOT", tmp_path)
    made = coursebook.maker.__wrapped__
    before = made("ko")
    for path in coursebook.SPOKEN:
        english = made("en")
        (tmp_path / path).write_text("changed")
        assert made("ko") != before and made("en") == english
        before = made("ko")


def test_a_text_in_a_constant_is_found_and_one_out_of_reach_is_refused() -> None:
    tree = ast.parse("NAMED = 'Named.'\n_('Written.'), _(NAMED)")
    assert list(catalogues.handed_to("_", tree)) == ["Written.", "Named."]
    with pytest.raises(ValueError, match="line 1 hands words"):
        list(catalogues.handed_to("_", ast.parse("_(words['key'])")))
