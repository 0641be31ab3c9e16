"""`make slides`: what becomes a slide, and what the slides of the book look like in a browser."""

from __future__ import annotations

import base64
from pathlib import Path

import chromium
import pytest
import slides
import yaml
from reading import BookError, Page

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
CHAPTERS = slides.numbered(yaml.safe_load((ROOT / "book" / "_toc.yml").read_text("utf-8")))

SVG = (
    '<svg class="drawn" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 200 100" role="img" aria-label="One box."'
    ' style="width:100%;max-width:200px;height:auto"><rect width="90" height="90"/></svg>'
)
FORMULA = r'<div class="math notranslate">\[{}\]</div>'
WIDE = r"y = " + " + ".join(rf"w_{{{i}}} x_{{{i}}}" for i in range(20))
ROW = "<tr><td>{0}</td><td>{0}</td></tr>"
PAGE = (
    '<section id="small"><h1>1. Small nets<a class="headerlink" href="#small">#</a></h1>'
    '<div class="overview admonition"><p class="admonition-title">About</p><p>You will see <em>it</em>.</p></div>'
    '<section id="cost"><h2>1.1. Cost</h2><p>Said aloud only.</p><p>A layer computes</p>'
    + FORMULA.format("y = Wx,")
    + "<p>and the next</p>"
    + FORMULA.format("z = Vy.")
    + "<p>Here it is, <a href='other.html'>elsewhere too</a>:</p>"
    f'<div class="cell"><div class="cell_output"><figure class="drawn">{SVG}</figure></div></div>'
    '<div class="cell"><div class="cell_output"><img src="dot.png" alt="A dot."></div></div>'
    f'<div class="cell"><div class="cell_output"><table>{"".join(map(ROW.format, range(4)))}</table></div></div>'
    f'<div class="cell"><div class="cell_output"><table>{"".join(map(ROW.format, range(90)))}</table></div></div>'
    '<div class="cell"><p class="explorer-fallback">Play. It says 7. (The interactive version needs JavaScript.)'
    "</p></div></section>"
    '<section id="wide"><h2>1.2. Wide</h2><p>'
    + "many words " * 40
    + "</p>"
    + FORMULA.format(WIDE)
    + "</section>"
    '<section id="check"><h2>Check yourself</h2>' + FORMULA.format("n = 1") + "</section>"
    '<section id="keep"><h2>What to remember</h2><ul>'
    + "".join(f"<li>The line with the number {i} is a sentence.</li>" for i in range(30))
    + "</ul></section></section>"
)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    (tmp_path / "dot.png").write_bytes(base64.b64decode(pixel))
    page = f'<html><body><article class="bd-article">{PAGE}</article></body></html>'
    (tmp_path / "small.html").write_text(page, "utf-8")
    return tmp_path


@pytest.fixture
def deck(site: Path) -> list[slides.Slide]:
    return slides.Deck(Page(site, "small")).slides


def test_slides_follow_the_page(deck: list[slides.Slide]) -> None:
    assert [(slide.kind, slide.heading) for slide in deck] == [
        ("opening", "1. Small nets"),
        ("formula", "1.1. Cost"),  # both formulas of the derivation
        ("figure", "1.1. Cost"),
        ("figure", "1.1. Cost"),
        ("table", "1.1. Cost"),  # not the one of ninety rows
        ("play", "1.1. Cost"),
        ("formula", "1.2. Wide"),
        ("list", "What to remember"),
    ]


def test_opening_says_what_the_chapter_does(deck: list[slides.Slide]) -> None:
    assert "You will see <em>it</em>." in deck[0].body and "About" not in deck[0].body


def test_derivation_has_its_formulas_and_the_words_that_lead_to_them(deck: list[slides.Slide]) -> None:
    body = deck[1].body
    assert body.count("<math ") == 2 and "\\" not in body
    assert (
        body.index("A layer computes")
        < body.index("<math ")
        < body.index("and the next")
        < body.rindex("<math ")
    )


def test_notes_have_what_the_page_says_in_between(deck: list[slides.Slide]) -> None:
    assert deck[1].notes == ["Said aloud only.", "A layer computes", "and the next"]
    assert "Said aloud only." not in deck[1].body


def test_long_paragraph_is_in_the_notes_alone(deck: list[slides.Slide]) -> None:
    assert "many words" in deck[6].notes[0] and "many words" not in deck[6].body


def test_picture_travels_with_the_slides(deck: list[slides.Slide]) -> None:
    assert 'src="data:image/png;base64,' in deck[3].body


def test_links_lead_to_the_book(deck: list[slides.Slide]) -> None:
    assert f'href="{slides.book()}other.html"' in deck[2].body
    assert f'href="{slides.book()}small.html#cost"' in deck[5].body


def test_explorer_says_where_it_is(deck: list[slides.Slide]) -> None:
    assert "It says 7." in deck[5].body and "JavaScript" not in deck[5].body


def test_command_writes_the_chapters_asked_for(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slides.main(["small", "--site", str(site), "--out", str(site / "out")]) == 0
    assert [file.name for file in (site / "out").iterdir()] == ["small.html"]
    assert "8 slides" in capsys.readouterr().out


def test_missing_chapter_is_named(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert slides.main(["resnt", "--site", str(site), "--out", str(site / "out")]) == 1
    assert "resnt.html does not exist" in capsys.readouterr().err


def test_package_with_reveal_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slides, "find_spec", lambda name: None)
    with pytest.raises(BookError, match="sphinx-revealjs.*pip install"):
        slides.reveal("dist/reveal.js")


# In a browser

CHROMIUM = chromium.find()
# What does not fit its slide, slide by slide; and the least that anything had to be shrunk to.
MEASURE = """async () => {
  const wrong = [], frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  let least = 1;
  for (let i = 0; i < Reveal.getTotalSlides(); i++) {
    Reveal.slide(i);
    await frame();
    const slide = document.querySelector(".slide.present"), edge = slide.getBoundingClientRect();
    for (const node of slide.querySelectorAll("p, math, svg, img, table, li, h1, h2")) {
      if (node.closest("aside")) continue;
      const { left, right, top, bottom, width } = node.getBoundingClientRect();
      if (width && (left < edge.left - 2 || right > edge.right + 2 || top < edge.top - 2 || bottom > edge.bottom + 2))
        wrong.push(`slide ${i + 1}: ${node.tagName} ${node.textContent.slice(0, 40)}`);
    }
    const shrunk = [...slide.querySelectorAll(".fit, .formula")];
    least = Math.min(least, ...shrunk.map((one) => Number(one.style.zoom) || 1));
  }
  return [wrong, least];
}"""


def measured(content: str, folder: Path) -> tuple[list[str], float, list[str]]:
    """What sticks out of the slides, the smallest zoom, and errors and requests to others."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    file = folder / "slides.html"
    file.write_text(content, "utf-8")
    noise: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on(
            "request",
            lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else noise.append(r.url),
        )
        page.goto(file.as_uri())
        page.wait_for_function("window.Reveal?.isReady()")
        wrong, least = page.evaluate(MEASURE)
        browser.close()
    return wrong, least, noise


@pytest.mark.browser
def test_everything_fits_its_slide(site: Path) -> None:
    wrong, least, noise = measured(slides.deck(Page(site, "small")), site)
    assert (wrong, noise) == ([], [])
    assert 0.2 < least < 1  # the wide formula and the long list did not fit as they were


@pytest.mark.browser
def test_arrow_key_goes_on_and_the_notes_stay_hidden(site: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    (site / "slides.html").write_text(slides.deck(Page(site, "small")), "utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto((site / "slides.html").as_uri())
        page.wait_for_function("window.Reveal?.isReady()")
        page.keyboard.press("ArrowRight")
        page.wait_for_function("Reveal.getIndices().h === 1")
        assert page.locator(".slide.present h2").inner_text() == "1.1. Cost"
        assert page.locator(".slide.present aside").is_hidden()
        browser.close()


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.parametrize("chapter", CHAPTERS)
def test_slides_of_the_book_fit_and_ask_nobody(chapter: str, tmp_path: Path) -> None:
    if not (HTML / f"{chapter}.html").is_file():
        pytest.skip("the book is not built; `make book` builds it")
    made = slides.deck(Page(HTML, chapter))
    assert made.count('<section class="slide') > 4
    wrong, least, noise = measured(made, tmp_path)
    assert (wrong, noise) == ([], [])
    assert least > 0.45  # still readable in a lecture hall
