"""Explorers in another language: no English word is left, and the English page says what it always said."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import catalogues
import gate
import korean
import polib
import pytest
from explorer_page import static_page
from test_explorer_figures import EXPLORERS

from casestudies import language
from casestudies.explorers import (
    ConvolutionCost,
    LookInside,
    MakeTheMistake,
    ShapeTracer,
    YourOwnNetwork,
    base,
)

pytestmark = pytest.mark.browser

WORD = re.compile(r"[A-Za-z]{2,}")
# Goes through all that a reader can choose, and keeps each text that is shown, heard or pointed at.
COLLECT = """async () => {
  const root = document.querySelector(".explorer"), seen = new Set(), settle = async () => {
    for (let i = 0; i < 2; i++) await new Promise((done) => requestAnimationFrame(done));
    while (root.getAttribute("aria-busy") === "true") await new Promise((done) => setTimeout(done, 20));
    await new Promise((done) => requestAnimationFrame(done));
  };
  const note = () => {
    const texts = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const { parentElement: parent, data } = texts.currentNode;
      const name = parent.closest('[translate="no"]'); // read whole, where it may be broken within
      if (!parent.closest("code, textarea, style")) seen.add(name ? name.textContent : data);
    }
    for (const node of [root, ...root.querySelectorAll("*")])
      for (const name of ["aria-label", "aria-valuetext", "alt", "title", "placeholder"])
        if (node.hasAttribute(name)) seen.add(node.getAttribute(name));
  };
  root.scrollIntoView();
  for (const part of root.querySelectorAll("details")) part.open = true;
  await settle();
  note();
  const set = (input, value) => {
    input.value = value;
    for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
  };
  const choices = ".x-presets button:not([data-walk=play]), input[type=radio], input[type=checkbox]";
  for (const choice of root.querySelectorAll(choices)) {
    if (!choice.isConnected || choice.disabled) continue;
    choice.click();
    await settle();
    note();
  }
  for (const select of root.querySelectorAll("select"))
    for (const option of [...select.options].filter((_, i, all) => i < 2 || i === all.length - 1)) {
      if (!select.isConnected) break;
      set(select, option.value);
      await settle();
      note();
    }
  for (const box of root.querySelectorAll("input[type=number]")) { // also what cannot be
    for (const value of [box.max, "-1"]) {
      set(box, value);
      box.dispatchEvent(new Event("input"));
      await settle();
      note();
    }
  }
  return [...seen];
}"""


def pseudo(english: str) -> str:
    """Each word in Hangul, also names; placeholders stay."""
    pieces = re.split(r"(\{\w+\})", english)
    return "".join(piece if place % 2 else WORD.sub("말", piece) for place, piece in enumerate(pieces))


@cache
def complete() -> dict[str, str]:
    """Pseudo-translations of all messages of the explorers, and of the package."""
    pages = (gate.EXPLORERS, gate.PACKAGE)
    return {
        entry.msgid: pseudo(entry.msgid) for page in pages for entry in polib.pofile(str(gate.path_of(page)))
    }


def spoken(page: str, words: dict[str, str]) -> str:
    """A static page as the Korean edition has it."""
    script = f'<script type="application/json" id="explorer-words">{json.dumps(words)}</script>'
    return page.replace('lang="en"', 'lang="ko"').replace("</main>", f"{script}</main>")


@pytest.fixture
def shown(browser: Any, tmp_path: Path) -> Iterator[Callable[..., list[str]]]:
    """shown(explorer, words): all texts of it, in a page with these words."""
    opened: list[Any] = []

    def show(explorer: Any, words: dict[str, str]) -> list[str]:
        page = browser.new_page(viewport={"width": 1000, "height": 900})
        opened.append(page)
        page.set_default_timeout(60_000)
        file = tmp_path / "page.html"
        file.write_text(spoken(static_page(explorer), words), "utf-8")
        page.goto(file.as_uri())
        page.locator(".explorer").wait_for()
        return page.evaluate(COLLECT)

    yield show
    for page in opened:
        page.close()


# A name, which is the same in every language: with a digit, an underscore, or a capital behind the first letter.
NAME = re.compile(r"\b(?=\w*[\d_]|\w+[A-Z])\w+(?:[-.]\w+)*")


def names_in(explorer: Any) -> set[str]:
    """What an explorer shows that is a name: of layers, networks, classes, and the words of the little language."""
    kept = {"Linear", "Identity", "Flatten", "Dropout", "tanh", "Tanh", "add"}
    state = explorer.get_state()
    for key in ("networks", "course", "chapters"):
        kept |= set(state[key]) if isinstance(state.get(key), dict) else set()
    if isinstance(state.get("networks"), list):
        kept |= {one[key] for one in state["networks"] for key in ("name", "family")}
    elif isinstance(explorer, ShapeTracer):
        kept |= {row["layer"] for one in state["networks"].values() for row in one["rows"]}
    if isinstance(explorer, LookInside):
        kept |= {one["name"] for found in state["answers"].values() for one in found}
    if isinstance(explorer, YourOwnNetwork):
        kept |= set(state["language"]["usage"])
    if isinstance(explorer, MakeTheMistake):
        kept |= {one["call"] for one in state["switches"]}
    return kept


def english_in(text: str, names: set[str]) -> list[str]:
    """The words of a text that are no names."""
    for name in sorted(names, key=len, reverse=True):
        text = re.sub(rf"(?<![A-Za-z]){re.escape(name)}(?![A-Za-z])", " ", text)
    return WORD.findall(NAME.sub(" ", text))


@pytest.mark.slow
@pytest.mark.parametrize("make", EXPLORERS)
def test_no_english_word_is_left_where_all_is_translated(
    make: Callable[[], Any], shown: Callable[..., list[str]]
) -> None:
    explorer = make()
    texts = shown(explorer, korean.sayable(static_page(explorer), complete()))
    names = names_in(explorer)
    assert len(texts) > 5
    assert {text: left for text in texts if (left := english_in(text, names))} == {}


@pytest.mark.parametrize("make", EXPLORERS[:3])
def test_without_translations_all_is_said_as_it_stands(
    make: Callable[[], Any], shown: Callable[..., list[str]]
) -> None:
    explorer = make()
    assert shown(explorer, {text: text for text in complete()}) == shown(explorer, {})


def test_a_kernel_that_speaks_korean_brings_the_words_along(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "messages" not in ConvolutionCost().get_state()  # the English page carries nothing more
    monkeypatch.setenv(language.VARIABLE, "ko")
    monkeypatch.setattr(base, "messages", lambda code: complete() if code == "ko" else {})
    explorer = ConvolutionCost()
    monkeypatch.setenv(language.VARIABLE, "en")
    page = browser.new_page()
    (tmp_path / "page.html").write_text(static_page(explorer), "utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".x-title").inner_text() == pseudo("What does a convolution cost?")
    page.close()


def test_a_korean_page_gets_the_words_of_its_explorers_and_of_their_mistakes_only(
    browser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = static_page(ConvolutionCost())
    package = {
        "Right.": "맞습니다.",
        "What does a convolution cost?": "합성곱의 비용",
        "Elsewhere.": "다른 곳",
    }
    catalogues_ = {
        language.FOLDER: package,
        language.EXPLORERS: {
            "Grid": "격자</script>",
            "{count} parameters": "매개변수 {count}개",
            "Nowhere {name}.": "없음",
        },
    }
    monkeypatch.setattr(
        korean.language, "catalogue", lambda code, folder=language.FOLDER: catalogues_[folder]
    )
    words = korean.explorers(page)
    assert (
        "다른 곳" not in words
        and "없음" not in words
        and "매개변수 {count}개" in words
        and words.count("</script>") == 1
    )
    assert korean.explorers("<p>A page without explorers.</p>") == ""
    (tmp_path / "page.html").write_text(page.replace("</main>", f"{words}</main>"), "utf-8")
    opened = browser.new_page()
    opened.goto((tmp_path / "page.html").as_uri())
    assert opened.locator(".x-title").inner_text() == "합성곱의 비용"
    assert opened.locator("label", has_text="격자</script>").count() == 1
    opened.close()


def test_a_reason_that_is_a_question_has_one_mark_at_its_end(browser: Any, tmp_path: Path) -> None:
    page = browser.new_page()
    file = tmp_path / "page.html"
    file.write_text(spoken(static_page(YourOwnNetwork("nrm")), language.catalogue("ko", language.EXPLORERS)))
    page.goto(file.as_uri())
    said = page.locator(".x-result").inner_text()
    assert said.endswith("norm입니까?") and page.locator(".x-note").inner_text() == said
    page.close()


# The particles


VALUES = [
    "맵",
    "너비",
    "널",
    "7",
    "8",
    "2",
    "3 × 3",
    "ReLU",
    "ResNet",
    "C1",
    "MB",
    "7 (12.5 %)",
    "“말”",
    "x²",
    "MAC",
    "",
]
PATTERNS = [
    "{a}은 크다",
    "{a}는(은) 크다",
    "{a}이(가) 있다",
    "{a}을(를)",
    "{a}과 b",
    "{a}로 간다",
    "{a}(으)로.",
    "{a}이라고",
    "{a}로서",
    "{b}은",
]


def test_the_page_and_python_choose_the_same_particles(browser: Any) -> None:
    prelude = (base.HERE / "prelude.js").read_text("utf-8") + "\nexport { filled };"
    page = browser.new_page()
    script = """async ([code, patterns, values]) => {
      const { filled } = await import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
      return patterns.map((pattern) => values.map((a) => filled(pattern, { a }, true)));
    }"""
    found = page.evaluate(script, [prelude, PATTERNS, VALUES])
    page.close()
    assert found == [
        [language.filled(pattern, {"a": value}, translated=True) for value in VALUES] for pattern in PATTERNS
    ]
    assert found[0][:3] == ["맵은 크다", "너비는 크다", "널은 크다"] and found[5][2] == "널로 간다"


# The catalogue


def test_each_message_of_a_script_is_written_out() -> None:
    """A text that is put together cannot be found by `make gettext`."""
    for path in sorted(base.HERE.glob("*.js")):
        text = path.read_text("utf-8")
        assert not re.findall(r"\b(?:say|mark|noun)\(\s*`", text), path.name
        assert not re.findall(r"\b(?:say|mark)\(\s*\"[^\"]*\"\s*\+", text), path.name


def test_the_catalogue_has_the_messages_of_the_scripts() -> None:
    known = {
        entry.msgid
        for page in (gate.EXPLORERS, gate.PACKAGE)
        for entry in polib.pofile(str(gate.path_of(page)))
    }
    assert not [message.english for message in catalogues.scripts() if message.english not in known]
