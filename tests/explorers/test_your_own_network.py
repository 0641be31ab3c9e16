"""Your own network: the page's interpreter against Python's, on random networks and on mistakes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import chromium
import pytest
import sphinx
import traitlets
from explorer_page import static_page
from random_networks import random_network, spoiled
from test_explorer_browser import result

from casestudies import costs, zoo
from casestudies.explorers import YourOwnNetwork
from casestudies.explorers.architecture import Mistake, build, costs_of, distance, line_of
from casestudies.explorers.your_own_network import COURSE, START

INTERPRET = """([source, language, texts]) => {
  const interpret = new Function(source.replace("export default", "const widget =") + "; return interpret;")();
  return texts.map((text) => {
    try {
      const { image, rows, depth, parameters, macs, activations } = interpret(text, language);
      const columns = ["line", "kind", "output", "parameters", "macs", "activations", "field", "jump"];
      return { image, depth, parameters, macs, activations, rows: rows.map((row) => columns.map((key) => row[key])) };
    } catch (error) { return error.line ? error.message : `broken: ${error.stack}`; }
  });
}"""


@pytest.fixture(scope="module")
def interpret(browser: Any) -> Iterator[Callable[[list[str]], list[Any]]]:
    """interpret(texts): what the page makes of each, or what it says is wrong."""
    page, explorer = browser.new_page(), YourOwnNetwork()
    yield lambda texts: page.evaluate(INTERPRET, [explorer._esm, explorer.language, texts])
    page.close()


def by_python(text: str) -> Any:
    try:
        ledger = costs_of(text)
    except Mistake as mistake:
        return str(mistake)
    rows = [
        [
            line_of(row.layer), row.kind, list(row.output), row.parameters, row.macs, row.activations,
            row.receptive_field, row.jump,
        ]
        for row in ledger.rows
    ]  # fmt: skip
    totals = {key: getattr(ledger, key) for key in ("depth", "parameters", "macs", "activations")}
    return {"image": list(ledger.image), **totals, "rows": rows}


@pytest.mark.browser
def test_page_has_the_ledger_of_500_random_networks_to_the_last_integer(interpret):
    texts = [random_network(seed) for seed in range(500)]
    for text, found in zip(texts, interpret(texts), strict=True):
        assert found == by_python(text), text


@pytest.mark.browser
def test_page_says_of_500_spoiled_networks_what_python_says(interpret):
    texts = [spoiled(seed) for seed in range(500)]
    answers = [by_python(text) for text in texts]
    for text, found, right in zip(texts, interpret(texts), answers, strict=True):
        assert found == right, text
    mistakes = {answer.split(":")[1][:12] for answer in answers if isinstance(answer, str)}
    assert len(mistakes) > 25  # many kinds of mistakes, not one


BLANK_OR_UNSEEN = [*"\t\r\v\f\x1c\x1f\x85\xa0\u1680\u180e\u2003\u200b\u200d\u2028\u2029\u202e\u3000\ufeff"]
ODD = [*BLANK_OR_UNSEEN, *"\x00１٣²½İıßſKé🙂×✕/#", "\r\n", "<b>", "</script>", "$&", "{word}", "__proto__",
    "toString", "9" * 400, "-1", "1e3", "0x10", "NaN", "１×３"]  # fmt: skip


def odd(seed: int) -> str:
    """A random network with characters in it that programs stumble over."""
    rng, text = random.Random(f"odd {seed}"), random_network(seed)
    for _ in range(rng.randint(1, 3)):
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice(ODD) + text[place:]
    return text


@pytest.mark.browser
def test_page_says_of_odd_characters_what_python_says(interpret):
    texts = [odd(seed) for seed in range(400)]
    for text, found in zip(texts, interpret(texts), strict=True):
        assert found == by_python(text), ascii(text)


@pytest.mark.parametrize("blank", [*"\t\r\x1c\x85\xa0\u2003\u2028\u3000"])
def test_copied_blanks_part_words(blank):
    assert by_python(f"conv{blank} 8{blank} 3x3") == by_python("conv 8 3x3")


def test_characters_that_cannot_be_seen_change_nothing():
    assert by_python("\ufeffconv 8\u200b 3x3") == by_python("conv 8 3x3")


DEEP = "\n".join(" " * level + "block" for level in range(120)) + "\n" + " " * 120 + "relu"

# (text, what is said)
MISTAKES = [
    ("", "Line 1: write a layer, such as conv 16 3x3"),
    ("# nothing", "Line 1: write a layer, such as conv 16 3x3"),
    ("cnv 16", 'Line 1: "cnv" is no layer; perhaps you mean conv'),
    ("fully", 'Line 1: "fully" is no layer; the words are image, conv'),
    ("relu\nimage 3x8x8", "Line 2: the image comes first, and once"),
    ("image 3x8", "Line 1: an image has channels, height and width"),
    ("image 3x8x999", "Line 1: side is 999; expected a whole number from 1 to 512"),
    ("conv", "Line 1: conv needs its number of channels, such as conv 16 3x3"),
    ("conv 0", "Line 1: channels is 0; expected a whole number from 1 to 4096"),
    ("conv 16 3x3 stride", "Line 1: stride needs a number"),
    ("conv 16 3x3 wide", 'Line 1: "wide" is not understood here'),
    ("conv 16 3x3x3", "Line 1: the kernel is not understood"),
    ("conv 16 3x3 groups 2", "Line 1: 2 groups do not divide the 3 input channels"),
    ("maxpool", "Line 1: maxpool needs its kernel"),
    ("maxpool 2x3", "Line 1: the kernel is not understood"),
    ("maxpool 2 pad 2", "Line 1: pad is 2; for a pool of 2 at most 1"),
    ("norm 3", 'Line 1: "3" is not understood here; write it as in norm'),
    ("image 1x4x4\nconv 8 5x5 pad 0", "Line 2: a window of 5 x 5 does not fit into the 4 x 4 grid that is left"),
    ("linear 10\nconv 8", "Line 2: conv needs a grid, and after linear or flatten there is none"),
    ("block", "Line 1: block needs indented lines below it"),
    ("block\n  linear 3", "Line 1: the lines of a block must leave a grid"),
    ("image 3x8x8\nblock\n  conv 3 pad 0", "Line 2: 3 x 8 x 8 comes in and 3 x 6 x 6 comes out; no stride"),
    ("relu\n  relu", "Line 2: only lines under block or repeat are indented"),
    ("block\n    relu\n  relu", "Line 3: this line fits under no block and no repeat above it"),
    ("  relu\nrelu", "Line 2: this line stands further left than the first one"),
    ("block\n\trelu", "Line 2: indent with spaces, not with tabs"),
    (DEEP, "Line 21: blocks and repeats stand in one another at most 20 deep"),
    ("repeat\n  relu", "Line 1: repeat needs a number, such as repeat 3"),
    ("repeat 64\n  repeat 64\n    relu", "Line 3: these are more than 600 layers; repeat fewer"),
    ("image 3x512x512\nconv 4096 15x15\nconv 4096 15x15\nconv 4096 15x15", "Line 3: this network needs more than"),
]  # fmt: skip


@pytest.mark.parametrize("text, said", MISTAKES)
def test_mistake_is_said_at_its_line(text, said):
    with pytest.raises(Mistake) as caught:
        costs_of(text)
    assert str(caught.value).startswith(said)


@pytest.mark.browser
def test_page_says_the_same_of_each_mistake(interpret):
    assert interpret([text for text, _ in MISTAKES]) == [by_python(text) for text, _ in MISTAKES]


@pytest.mark.parametrize("name", COURSE)
def test_network_of_the_course_costs_what_the_course_says(name):
    own, theirs = costs_of(COURSE[name]), costs.ledger(zoo.skeleton(name), zoo.variant(name).image)
    assert (own.parameters, own.macs, own.depth) == (theirs.parameters, theirs.macs, theirs.depth)


@pytest.mark.parametrize(
    "one, other, letters", [("conv", "conv", 0), ("cov", "conv", 1), ("", "relu", 4), ("norm", "corn", 2)]
)
def test_distance_counts_letters(one, other, letters):
    assert distance(one, other) == distance(other, one) == letters


def test_convolution_before_a_norm_has_no_bias_unless_it_is_said():
    plain, norm, said = (sum(p.numel() for p in build(text)[0].parameters()) for text in (
        "image 1x8x8\nconv 4 1x1", "image 1x8x8\nconv 4 1x1\nnorm", "image 1x8x8\nconv 4 1x1 bias\nnorm"
    ))  # fmt: skip
    assert (plain, norm, said) == (8, 4 + 8, 8 + 8)


def test_text_that_is_too_long_is_refused():
    with pytest.raises(traitlets.TraitError, match="text has 9,000 letters; expected at most 8,000"):
        YourOwnNetwork("relu\n" * 1800)


# In the page


@pytest.mark.browser
def test_ledger_follows_while_typing(open_page):
    page = open_page(YourOwnNetwork())
    page.locator("textarea").fill("image 3x32x32\nconv 8 3x3")
    page.locator("textarea").press("End")
    page.keyboard.type("\nblock\n", delay=0)
    text = "image 3x32x32\nconv 8 3x3\nblock\n  "
    assert page.locator("textarea").input_value() == text  # indented under block
    assert result(page) == YourOwnNetwork(text).sentence()
    page.keyboard.type("conv 8 5x5")
    assert result(page) == YourOwnNetwork(text + "conv 8 5x5").sentence()
    assert page.locator("tfoot tr > *").nth(3).inner_text() == f"{costs_of(text + 'conv 8 5x5').parameters:,}"


@pytest.mark.browser
def test_mistake_has_its_sentence_at_its_place(open_page):
    page = open_page(YourOwnNetwork("image 3x32x32\nconv 8\nrelux\nnorm"))
    sentence = YourOwnNetwork("image 3x32x32\nconv 8\nrelux\nnorm").sentence()
    assert result(page) == page.locator(".x-note").inner_text() == sentence
    assert page.locator(".x-gutter .x-wrong").inner_text() == "3"
    assert page.locator("textarea").get_attribute("aria-invalid") == "true"
    area, stripe = page.locator("textarea").bounding_box(), page.locator(".x-stripe").bounding_box()
    line = page.evaluate("parseFloat(getComputedStyle(document.querySelector('textarea')).lineHeight)")
    assert abs(stripe["y"] + stripe["height"] / 2 - (area["y"] + 8 + 2.5 * line)) < 0.4 * line
    page.locator("textarea").fill("image 3x32x32\nconv 8\nrelu\nnorm")
    assert page.locator(".x-note").inner_text() == "" and page.locator(".x-stripe").is_hidden()


@pytest.mark.browser
def test_network_is_shared_by_its_address(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(static_page(YourOwnNetwork()), "utf-8")
    first, text = browser.new_page(), "image 3×32×32  # mine & 100 %\nconv 8 3x3\nglobal\nlinear 4"
    first.goto(file.as_uri())
    first.locator("textarea").fill(text)
    first.get_by_role("button", name="share it by its address").click()
    first.get_by_text("address").last.wait_for()
    address = first.url
    assert address == f"{file.as_uri()}#network={quote(text, safe='!()*~-_.' + chr(39))}"
    second = browser.new_page()
    second.goto(address)
    second.locator(".explorer").wait_for()
    assert second.locator("textarea").input_value() == text
    assert result(second) == YourOwnNetwork(text).sentence()
    for page in (first, second):
        page.close()


def settle(page: Any) -> None:
    """A long text is read in a worker."""
    page.evaluate(
        "() => new Promise((done) => setTimeout(done))"
    )  # a new address is told in a task of its own
    page.wait_for_function(
        """() => document.querySelector(".explorer").getAttribute("aria-busy") === "false" """
    )


TYPED = """(text) => {
  const area = document.querySelector("textarea");
  area.value = text;
  area.dispatchEvent(new Event("input"));
  return [document.querySelector(".x-result").textContent, document.querySelector(".explorer").ariaBusy];
}"""
LONG = {
    "layers": "image 3x32x32\nrepeat 60\n  repeat 2\n    conv 16 3x3\n    norm\n    relu\nglobal\nlinear 10",
    "letters": "image 3x32x32  # " + "x" * 2_500 + "\nconv 8 3x3\nmaxpool 2",
    "blocks": "image 3x32x32\nconv 16\nrepeat 64\n  block\n    conv 16\n    norm\n    relu\nlinear 10",
    "a mistake": "image 3x32x32\nrepeat 60\n  repeat 9\n    relu\nconv 16 9999x3",
    "too many": "image 3x32x32\nrepeat 60\n  repeat 60\n    relu",
}


@pytest.mark.browser
@pytest.mark.parametrize("worker", [True, False], ids=["worker", "no worker"])
@pytest.mark.parametrize("name", LONG)
def test_long_network_is_read_in_a_worker_and_says_what_python_says(browser, tmp_path, name, worker):
    file = tmp_path / "page.html"
    file.write_text(static_page(YourOwnNetwork()), "utf-8")
    page, text = browser.new_page(), LONG[name]
    if not worker:
        page.add_init_script("delete window.Worker")
    page.goto(file.as_uri())
    begin = result(page)
    at_once = page.evaluate(TYPED, text)
    assert at_once == [begin, "true"]  # what was there stays until the answer comes
    settle(page)
    assert len(page.workers) == worker
    assert result(page) == YourOwnNetwork(text).sentence()
    page.wait_for_function(
        """() => document.querySelector(".x-table").getAttribute("aria-busy") === "false" """
    )
    found = by_python(text)
    if isinstance(found, dict):
        rows = page.evaluate("""() => [...document.querySelectorAll("tbody tr")].map((row) =>
          [row.children[0].textContent, row.children[2].textContent, row.children[3].textContent])""")
        assert rows == [[str(row[0]), " × ".join(map(str, row[2])), f"{row[3]:,}"] for row in found["rows"]]
    page.close()


@pytest.mark.browser
def test_letters_typed_while_the_worker_reads_are_not_forgotten(open_page):
    page = open_page(YourOwnNetwork())
    page.locator("textarea").fill(LONG["layers"])
    page.locator("textarea").press("Control+End")
    page.keyboard.type("0\nrelu\nlinear 7", delay=1)
    settle(page)
    assert result(page) == YourOwnNetwork(LONG["layers"] + "0\nrelu\nlinear 7").sentence()
    page.locator("textarea").fill(LONG["layers"])
    page.locator("textarea").fill("conv 8")  # a short one is read at once; what comes late is not shown
    assert result(page) == YourOwnNetwork("conv 8").sentence()
    page.wait_for_timeout(200)
    assert result(page) == YourOwnNetwork("conv 8").sentence()


HOSTILE = ["x" * 10_000, "\n" * 9_000, "conv 8\n" * 1_400, "<img src=x onerror=document.title='broken'>",
    "9" * 5_000, "</script><script>document.title='broken'</script>", DEEP, "\ud7ff\u202e\u0000🙂" * 500,
    "block\n" * 1_000]  # fmt: skip


@pytest.mark.browser
@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_gets_a_sentence_typed_or_in_an_address(open_page, text):
    page = open_page(YourOwnNetwork())
    entered = """(text) => {
      const area = document.querySelector("textarea");
      area.value = text;
      area.dispatchEvent(new Event("input"));
    }"""
    page.evaluate(entered, text)  # as pasted: typing so many lines takes Chromium itself too long
    settle(page)
    said = result(page)
    assert said.startswith("Line ")
    assert page.locator("textarea").input_value() == text  # none of it is cut off
    page.evaluate("(text) => { location.hash = `network=${encodeURIComponent(text)}` }", text)
    settle(page)
    assert result(page) == said and page.title() == "Explorers"
    assert page.locator(".explorer img, .explorer script").count() == 0


SPHINX = Path(sphinx.__file__).parent / "themes" / "basic" / "static"
OWN = "image 3x32x32\nconv 8 3x3  # typed for an hour"
THEIRS = "image 3x32x32\nconv 4 3x3  # somebody's"
STORAGE = {
    "stored": "",
    "in the history alone": "Object.defineProperty(window, 'sessionStorage',"
    " { get() { throw new DOMException('no', 'SecurityError'); } })",
    "in the tab alone": "History.prototype.replaceState = () => {}",
}


@pytest.fixture
def of_the_book(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """of_the_book(script): a page as the book has it, with Sphinx's scripts, the explorer and two sections; `script`
    runs first. Beside it lies other.html."""
    opened, wrong = [], []
    scripts = "".join(
        f"<script>{(SPHINX / f'{one}.js').read_text()}</script>" for one in ("doctools", "sphinx_highlight")
    )
    options = "<script>DOCUMENTATION_OPTIONS = { ENABLE_SEARCH_SHORTCUTS: false }</script>"
    whole = static_page(YourOwnNetwork()).replace("<head>", f"<head>{options}{scripts}")
    sections = (
        '<nav><a href="#one">one</a><a href="#two">two</a></nav><h2 id="one">One</h2><h2 id="two">Two</h2>'
    )
    (tmp_path / "page.html").write_text(whole.replace("<main>", f"{sections}<main>"), "utf-8")
    (tmp_path / "other.html").write_text("<link rel=icon href=data:,><p>elsewhere", "utf-8")

    def open_(script: str = "", address: str = "") -> Any:
        page = browser.new_page()
        page.set_default_timeout(8_000)
        opened.append(page)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.add_init_script(script)
        page.goto(f"{(tmp_path / 'page.html').as_uri()}{address}")
        page.locator(".explorer").wait_for()
        return page

    yield open_
    for page in opened:
        page.close()
    assert wrong == []


def address_of(page: Any) -> str:
    return page.evaluate("location.href")  # Playwright's own note of it may come later


def shows(page: Any, text: str) -> bool:
    page.locator(".explorer").wait_for()
    page.wait_for_function("(text) => document.querySelector('textarea').value === text", arg=text)
    return result(page) == YourOwnNetwork(text).sentence()


def beside(page: Any, fragment: str) -> None:
    """Goes on to another place of the same page, as a reader does who edits its address."""
    page.evaluate("(fragment) => { location.href = location.href.split('#')[0] + '#' + fragment }", fragment)


@pytest.mark.browser
@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("again", ["reload", "back"])
def test_what_was_written_is_there_after_a_reload_and_on_the_way_back(of_the_book, again, storage):
    page = of_the_book(STORAGE[storage])
    page.locator("textarea").fill("conv 16")
    page.locator("textarea").fill(OWN)
    if storage == "in the history alone":
        page.wait_for_timeout(400)  # a browser refuses a change of the history while the page goes
    if again == "reload":
        page.reload()
    else:
        page.goto(page.url.replace("page.html", "other.html"))
        page.go_back()
    assert shows(page, OWN)


@pytest.mark.browser
def test_example_that_was_taken_is_there_after_a_reload(of_the_book):
    page = of_the_book()
    page.get_by_role("button", name="mobilenet_v1").click()
    page.reload()
    assert shows(page, COURSE["mobilenet_v1"])


@pytest.mark.browser
def test_way_to_another_section_and_back_changes_nothing(of_the_book):
    page = of_the_book()
    page.locator("textarea").fill("conv 16")
    page.get_by_role("link", name="one").click()
    page.wait_for_timeout(400)
    page.locator("textarea").fill(OWN)
    page.go_back()
    assert shows(page, OWN)
    page.get_by_role("link", name="two").click()
    page.reload()
    assert shows(page, OWN)


@pytest.mark.browser
def test_address_lets_go_of_a_network_that_is_changed(of_the_book):
    page = of_the_book(address=f"#network={quote(THEIRS)}")
    assert shows(page, THEIRS) and "network" in address_of(page)
    page.locator("textarea").fill(OWN)
    assert "#" not in address_of(page)
    page.reload()
    assert shows(page, OWN)
    page.get_by_role("button", name="share it by its address").click()
    assert address_of(page).endswith(f"#network={quote(OWN)}")
    assert told(page) == "This page is a file: the link to your network works on this computer only."
    page.get_by_role("button", name="mobilenet_v1").click()
    assert "#" not in address_of(page)
    assert told(page) == ""


# From when the page is there: Sphinx's own scripts take no refusal.
REFUSED = """addEventListener("load", () => {
  History.prototype.replaceState = () => { throw new DOMException("no", "SecurityError"); }; });"""
IGNORED = "History.prototype.replaceState = () => {};"
WITHOUT_CLIPBOARD = "Object.defineProperty(navigator, 'clipboard', { value: undefined });"
COPIED = """window.copied = null;
Object.defineProperty(navigator, 'clipboard',
  { value: { writeText: (text) => { copied = text; return Promise.resolve(); } } });"""


def told(page: Any) -> str:
    return page.locator(".x-editor ~ .x-presets [role=status]").inner_text()


@pytest.mark.browser
@pytest.mark.parametrize("history", [REFUSED, IGNORED], ids=["refused", "ignored"])
def test_address_lets_go_of_a_network_where_no_entry_of_the_history_can_be_changed(of_the_book, history):
    page = of_the_book(history, address=f"#network={quote(THEIRS)}")
    assert shows(page, THEIRS)
    high = page.evaluate("scrollY")
    page.locator("textarea").fill(OWN)
    assert "network=" not in address_of(page) and page.evaluate("scrollY") == high
    page.reload()
    assert shows(page, OWN)
    page.get_by_role("button", name="share it by its address").click()
    assert address_of(page).endswith(f"#network={quote(OWN)}")


@pytest.fixture
def patient(browser: Any) -> Iterator[Any]:
    """A browser that refuses what a page asks too often, as readers have it: Playwright's own takes all."""
    kind = browser.browser_type
    flood = ["--disable-ipc-flooding-protection"]
    other = kind.launch(executable_path=chromium.find(), args=chromium.FLAGS, ignore_default_args=flood)
    yield other
    other.close()


@pytest.mark.browser
def test_address_that_was_changed_too_often_is_said_to_be_untrue_and_mended_later(patient, tmp_path):
    (tmp_path / "page.html").write_text(static_page(YourOwnNetwork()), "utf-8")
    page = patient.new_page()
    page.add_init_script(WITHOUT_CLIPBOARD)
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#network={quote(THEIRS)}")
    assert shows(page, THEIRS)
    page.evaluate("for (let i = 0; i < 300; i++) history.replaceState(i, '')")
    page.locator("textarea").fill(OWN)
    assert "somebody" in address_of(page)
    assert told(page).startswith("The address of this page still holds another network")
    page.get_by_role("button", name="share it by its address").click()
    link = page.locator(".x-editor ~ .x-presets [role=status] a").get_attribute("href")
    page.wait_for_function("!location.hash.startsWith('#network=')", timeout=30_000)
    page.goto("about:blank")
    page.goto(link)
    assert shows(page, OWN)
    page.close()


SITE = "http://course.example"


def hosted(page: Any, folder: Path) -> Any:
    """The page, for which the files of a folder lie on a host."""
    name = lambda route: urlsplit(route.request.url).path.lstrip("/")  # noqa: E731
    page.route(f"{SITE}/**", lambda route: route.fulfill(path=folder / name(route)))
    return page


@pytest.fixture
def framed(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """framed(attributes, script): a page with the explorer in a frame, and the frame. `{page}` is the explorer's."""
    page = hosted(browser.new_page(), tmp_path)
    explorer = static_page(YourOwnNetwork())
    (tmp_path / "page.html").write_text(explorer, "utf-8")

    def open_(attributes: str, script: str) -> Any:
        page.add_init_script(script)
        frame = f"<iframe width=900 height=800 {attributes.format(page=escape(explorer))}></iframe>"
        (tmp_path / "outer.html").write_text(f"<link rel=icon href=data:,>{frame}", "utf-8")
        page.goto(f"{SITE}/outer.html")
        page.frame_locator("iframe").locator(".explorer").wait_for()
        return page, page.frames[-1]

    yield open_
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("sandbox", ["", 'sandbox="allow-scripts"'], ids=["frame", "sandbox"])
def test_frame_gives_the_link_to_the_network_itself(framed, sandbox):
    page, frame = framed(f'{sandbox} src="page.html"', WITHOUT_CLIPBOARD)
    frame.locator("textarea").fill(OWN)
    frame.get_by_role("button", name="share it by its address").click()
    assert told(frame) == "This page may not change its address; open or copy this link: your network"
    link = frame.locator(".x-editor ~ .x-presets [role=status] a").get_attribute("href")
    page.goto(link)
    assert shows(page, OWN)


@pytest.mark.browser
def test_page_without_an_address_gives_no_link(framed):
    _, frame = framed('srcdoc="{page}"', COPIED)
    before = frame.evaluate("location.href")
    frame.locator("textarea").fill(OWN)
    frame.get_by_role("button", name="share it by its address").click()
    assert told(frame) == "This page has no address of its own, so there is no link to your network."
    assert frame.evaluate("[location.href, copied]") == [before, None]


@pytest.mark.browser
def test_what_is_copied_is_the_link_that_leads_to_the_network(browser, tmp_path):
    (tmp_path / "page.html").write_text(static_page(YourOwnNetwork()), "utf-8")
    page = hosted(browser.new_page(), tmp_path)
    page.add_init_script(COPIED + REFUSED)
    page.goto(f"{SITE}/page.html")
    page.locator("textarea").fill(OWN)
    page.get_by_role("button", name="share it by its address").click()
    page.get_by_text("The address of your network is copied").wait_for()
    copied = page.evaluate("copied")
    assert copied == address_of(page)  # a place on the page needs no entry of the history
    page.goto("about:blank")
    page.goto(copied)
    assert shows(page, OWN)
    page.close()


@pytest.mark.browser
def test_ways_back_and_on_lead_to_the_network_that_stood_there(of_the_book):
    page = of_the_book()
    page.locator("textarea").fill(OWN)
    beside(page, f"network={quote(THEIRS)}")
    assert shows(page, THEIRS)
    beside(page, f"network={quote('conv 32')}")
    assert shows(page, "conv 32")
    page.go_back()
    assert shows(page, THEIRS)
    page.locator("textarea").fill(f"{THEIRS}, changed")
    page.go_back()
    assert shows(page, OWN)
    page.go_forward()
    assert shows(page, f"{THEIRS}, changed")
    page.go_forward()
    assert shows(page, "conv 32")
    page.go_back()
    assert shows(page, f"{THEIRS}, changed")


@pytest.mark.browser
@pytest.mark.parametrize("own", [True, False], ids=["own network", "nothing written"])
def test_without_the_network_in_its_address_the_page_shows_the_readers_own(of_the_book, own):
    page = of_the_book()
    if own:
        page.locator("textarea").fill(OWN)
    beside(page, f"network={quote(THEIRS)}")
    assert shows(page, THEIRS)
    beside(page, "")
    assert shows(page, OWN if own else YourOwnNetwork().text)


@pytest.mark.browser
@pytest.mark.parametrize("inside", [True, False], ids=["within the page", "opened"])
def test_damaged_address_is_said_to_be_damaged_and_changes_nothing(of_the_book, inside):
    page = of_the_book(address="" if inside else "#network=%E0%A4%A")
    if inside:
        page.locator("textarea").fill(OWN)
        beside(page, "network=%E0%A4%A")
    said = page.get_by_text("The address of this page is damaged: the network in it cannot be read.")
    said.wait_for()
    page.wait_for_function("document.querySelector('.x-editor').getBoundingClientRect().top < innerHeight")
    assert shows(page, OWN if inside else YourOwnNetwork().text)
    page.locator("textarea").fill("conv 8")
    assert said.count() == 0 and "#" not in address_of(page)


@pytest.mark.browser
def test_example_of_the_course_is_taken(open_page):
    page = open_page(YourOwnNetwork())
    page.get_by_role("button", name="mobilenet_v1").click()
    assert result(page) == YourOwnNetwork(COURSE["mobilenet_v1"]).sentence()


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 1000])
def test_readers_network_has_its_name_to_the_right_of_its_dot(open_page, width):
    """Its own dot is not in its way: on a telephone there is no room above it."""
    page = open_page(YourOwnNetwork(START), width=width)
    name = page.locator("svg[aria-label^=Chart] text", has_text="your network")
    assert name.get_attribute("text-anchor", timeout=2000) == "start"


@pytest.mark.browser
@pytest.mark.parametrize("text", ["image 1x2x2\nconv 1 1x1", "image 1x8x8\nconv 4 3x3", START])
def test_small_shares_have_digits_that_count(open_page, text):
    explorer = YourOwnNetwork(text)
    assert result(open_page(explorer)) == explorer.sentence()
    assert " 0.00 " not in explorer.sentence()


@pytest.mark.browser
def test_last_column_of_the_ledger_is_no_wider_than_its_figures(open_page):
    """As wide as a sentence it would stand beyond the edge of the page, and of paper."""
    page = open_page(YourOwnNetwork(COURSE["vgg16"]), width=390)
    last = page.locator(".x-table thead th").last
    assert 0 < last.bounding_box()["width"] < 80


@pytest.mark.browser
def test_both_editions_of_a_page_have_the_same_drafts(browser, tmp_path):
    for folder in ("book", "book/ko"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "vgg.html").write_text(static_page(YourOwnNetwork()), "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "book" / "vgg.html").as_uri())
    page.locator("textarea").fill(OWN)
    page.goto((tmp_path / "book" / "ko" / "vgg.html").as_uri())
    assert shows(page, OWN)
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width, height", [(320, 480), (390, 500), (568, 320), (640, 360), (1280, 400)])
def test_damaged_address_is_said_to_be_damaged_in_sight(browser, tmp_path, width, height):
    (tmp_path / "page.html").write_text(static_page(YourOwnNetwork()), "utf-8")
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(f"{(tmp_path / 'page.html').as_uri()}#network=%E0%A4%A")
    page.locator(".explorer").wait_for()
    frames = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
    page.evaluate(frames)
    box = page.locator(".x-editor ~ .x-presets [role=status]").bounding_box()
    page.close()
    assert 60 <= box["y"] and box["y"] + box["height"] <= height  # the book has a bar at the top


@pytest.mark.browser
@pytest.mark.parametrize("width", [304, 320, 360, 390])
def test_readers_network_has_a_name_on_a_telephone(browser, tmp_path, width):
    (tmp_path / "page.html").write_text(static_page(YourOwnNetwork()), "utf-8")
    page, missing = browser.new_page(viewport={"width": width, "height": 900}), []
    page.goto((tmp_path / "page.html").as_uri())
    for name, text in COURSE.items():
        page.locator("textarea").fill(text)
        settle(page)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        if page.locator("svg[aria-label^=Chart] text", has_text="your network").count() != 1:
            missing.append(name)
    page.close()
    assert missing == []


# Where the words of a line end in the editor, its sentence begins, and both edges of the box.
BESIDE = """() => {
  const area = document.querySelector("textarea"), style = getComputedStyle(area);
  const probe = document.createElement("span"), reason = document.querySelector(".x-stripe > :last-child");
  const number = Number(document.querySelector(".x-gutter .x-wrong").textContent);
  Object.assign(probe.style, { position: "absolute", font: style.font, whiteSpace: "pre", tabSize: style.tabSize });
  probe.textContent = area.value.split("\\n")[number - 1];
  document.body.append(probe);
  const inner = area.getBoundingClientRect().left + parseFloat(style.paddingLeft);
  const box = reason.getBoundingClientRect(), end = inner + probe.offsetWidth - area.scrollLeft;
  probe.remove();
  return [end, box.left, box.right, area.getBoundingClientRect().right, getComputedStyle(reason).visibility];
}"""


@pytest.mark.browser
@pytest.mark.parametrize("line", ["conv 16 3x3 한글 한글 한글", "conv\t16\t\t3x3\tzzz", "relux"])
def test_sentence_of_a_mistake_stands_behind_the_words_of_its_line(open_page, line):
    page = open_page(YourOwnNetwork(f"image 3x32x32\n{line}"), width=1280)
    page.wait_for_function("document.querySelector('.x-note').matches('.x-hidden')")
    end, begins, ends, edge, seen = page.evaluate(BESIDE)
    assert end + 6 < begins < end + 60 and ends <= edge and seen == "visible"


@pytest.mark.browser
@pytest.mark.parametrize(
    "width, line", [(390, "conv 16 3x3 zzz"), (320, "relux"), (1280, "relux # " + "long " * 40)]
)
def test_sentence_of_a_mistake_stands_below_where_there_is_no_room_on_its_line(open_page, width, line):
    page = open_page(YourOwnNetwork(f"image 3x32x32\n{line}"), width=width)
    page.wait_for_function("!document.querySelector('.x-note').matches('.x-hidden')")
    note = page.locator(".x-note")
    box, editor = note.bounding_box(), page.locator(".x-editor").bounding_box()
    assert note.inner_text() == YourOwnNetwork(f"image 3x32x32\n{line}").sentence()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width
    assert 0 <= box["y"] - (editor["y"] + editor["height"]) < 30
    assert page.evaluate(BESIDE)[4] == "hidden"
    page.locator("textarea").fill("image 3x32x32\nrelu")
    page.wait_for_function("document.querySelector('.x-note').matches('.x-hidden')")


@pytest.mark.browser
def test_sentence_of_a_mistake_goes_along_with_a_line_that_is_scrolled(open_page):
    text = "image 3x32x32\nrelux\nrelu  # " + "long " * 60
    page = open_page(YourOwnNetwork(text), width=1000)
    page.evaluate("document.querySelector('textarea').scrollLeft = 30")
    page.wait_for_timeout(100)
    end, begins, *_ = page.evaluate(BESIDE)
    assert end + 6 < begins < end + 60
    page.evaluate("document.querySelector('textarea').scrollLeft = 3000")
    page.wait_for_function("!document.querySelector('.x-note').matches('.x-hidden')")


@pytest.mark.browser
@pytest.mark.parametrize("way", ["button", "key"])
def test_text_whose_place_an_example_took_comes_back(open_page, way):
    page = open_page(YourOwnNetwork())
    back = page.get_by_role("button", name="bring my text back")
    page.get_by_role("button", name="resnet18").click()
    assert back.is_hidden()  # there was nothing of the reader's own
    page.locator("textarea").fill(OWN)
    for name in ("vgg16", "mobilenet_v1"):
        page.get_by_role("button", name=name, exact=True).click()
    if way == "button":
        back.click()
    else:
        page.locator("textarea").press("Control+z")
    assert page.locator("textarea").input_value() == OWN
    assert result(page) == YourOwnNetwork(OWN).sentence()
    assert back.is_hidden() and page.evaluate("document.activeElement.tagName") == "TEXTAREA"


@pytest.mark.browser
def test_new_line_that_was_indented_can_be_undone(open_page):
    page = open_page(YourOwnNetwork())
    page.locator("textarea").fill("")
    page.locator("textarea").press_sequentially("image 3x32x32\nblock")
    page.keyboard.press("Enter")
    assert page.locator("textarea").input_value().endswith("block\n  ")
    page.keyboard.type("x")
    for _ in range(3):
        page.keyboard.press("Control+z")
    assert "block\n" not in page.locator("textarea").input_value()


@pytest.mark.browser
@pytest.mark.parametrize("half", ["\ud83d", "\ude42"])
def test_network_with_half_an_emoji_is_shared(of_the_book, half):
    page = of_the_book(WITHOUT_CLIPBOARD)
    page.evaluate(f"({TYPED})('conv 8  # {ascii(half)[1:-1]}')")
    page.get_by_role("button", name="share it by its address").click()
    assert address_of(page).endswith("#network=" + quote("conv 8  # \ufffd"))
    page.wait_for_timeout(400)
    assert told(page) == "This page is a file: the link to your network works on this computer only."


MINE = "image 3x32x32\nconv 8 3x3  # 100 %"


@pytest.mark.browser
@pytest.mark.parametrize(
    "fragment",
    [
        f"network={quote(MINE)}".replace("%0A", "%0D%0A"),
        f"network={quote(MINE)}".replace("%0A", "%0D"),
        f"network%3D{quote(MINE)}",
        f"network%3d{quote(quote(MINE))}",
        f"Network={quote(MINE)}",
        f"NETWORK={quote(MINE)}",
    ],
)
def test_address_that_was_changed_on_its_way_still_holds_its_network(of_the_book, fragment):
    page = of_the_book(address=f"#{fragment}")
    assert shows(page, MINE)
    page.locator("textarea").fill(OWN)
    assert "#" not in address_of(page)
