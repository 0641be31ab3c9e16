"""Every page of the built book, in a real browser: complete, offline, accessible, readable on a telephone.

Each page is opened once, as on a telephone, and then made wide. All that the tests ask of it is gathered then.
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import catalogues
import chromium
import pytest
import yaml
from coursebook import DATA

from casestudies.checking import parts

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build" / "html"
CHROMIUM = chromium.find()
AXE = find_spec("axe_playwright_python")

# What a reader types, and the page that must be among the first results.
SEARCHES = [
    ("LeNet-5", "lenet"),
    ("LeNet", "lenet"),
    ("AlexNet", "alexnet"),
    ("VGG", "vgg"),
    ("VGG-16", "vgg"),
    ("VGG-19", "vgg"),
    ("ResNet", "resnet"),
    ("ResNet-50", "resnet"),
    ("residual", "resnet"),
    ("degradation", "resnet"),
    ("bottleneck", "resnet"),
    ("identity", "identity"),
    ("pre-activation", "identity"),
    ("Network in Network", "nin"),
    ("NiN", "nin"),
    ("1x1 convolution", "nin"),
    ("1×1 convolution", "nin"),
    ("GoogLeNet", "inception"),
    ("Inception", "inception"),
    ("MobileNet", "mobilenet"),
    ("MobileNetV2", "mobilenet_v2"),
    ("depthwise separable", "mobilenet"),
    ("inverted residual", "mobilenet_v2"),
    ("EfficientNet", "efficientnet"),
    ("compound scaling", "efficientnet"),
    ("squeeze-and-excitation", "efficientnet"),
    ("notation", "welcome"),
    ("합성곱", "glossary"),
]
FIRST = 4

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 390, "height": 844}
NARROWEST = {
    "width": 320,
    "height": 844,
}  # and any page at 1280 pixels that is enlarged four times (WCAG 1.4.10)
THEMES = ["light", "dark"]
VIEWS = ["wide", "narrow"]

SCRIPT_LIMIT = 400_000  # bytes of all scripts that a page loads, the theme's and MathJax too, compressed
WEIGHTS_LIMIT = 200_000  # of trained networks that compute in the page, compressed
SPRITES_LIMIT = 400_000  # maps and photographs of "Look inside a trained network", compressed

# What axe-core need not walk through, thousands of elements: formulas take the colour of their paragraph, figures
# have tests of their own, and code is made of spans whose colours depend on their class: one of each is enough.
# Everything keeps its size, so that what scrolls still scrolls.
THIN_OUT = """() => {
    const seen = new Set();
    for (const span of document.querySelectorAll('.highlight span')) {
        const frame = span.closest('[class*="highlight-"]')?.className;
        const kind = `${frame} ${span.parentElement.className} ${span.className}`;
        if (seen.has(kind)) span.replaceWith(span.textContent);
        seen.add(kind);
    }
    const formulas = [...document.querySelectorAll('mjx-container')];
    const sizes = formulas.map(formula => formula.firstElementChild.getBoundingClientRect());
    formulas.forEach((formula, i) => {
        const space = document.createElement('span');
        space.style = `display: inline-block; width: ${sizes[i].width}px; height: ${sizes[i].height}px`;
        formula.replaceChildren(space);
    });
    for (const figure of document.querySelectorAll('svg.drawn')) figure.replaceChildren();
}"""

# The rules for WCAG 2.2, A and AA, those on colours by themselves: all others find the same in both themes. Of the
# words that share their colours, size and weight, and stand on the same grounds, the first are enough.
AUDIT = """async colours => {
    const values = axe.getRules(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'])
        .filter(rule => !rule.tags.includes('experimental')).map(rule => rule.ruleId)
        .filter(rule => ['color-contrast', 'link-in-text-block'].includes(rule) === colours);
    const grounds = new Map([[null, '']]), seen = new Set();
    const ground = element => {
        if (!grounds.has(element)) {
            const {backgroundColor, backgroundImage, opacity, filter} = getComputedStyle(element);
            const here = `${backgroundColor} ${backgroundImage} ${opacity} ${filter}/`;
            const plain = here === 'rgba(0, 0, 0, 0) none 1 none/';
            grounds.set(element, ground(element.parentElement) + (plain ? '' : here));
        }
        return grounds.get(element);
    };
    const same = colours ? [...document.querySelectorAll('body *')].filter(element => {
        if (element.childElementCount || element.closest('svg') || !element.checkVisibility()) return false;
        const {color, fontSize, fontWeight, textDecorationLine} = getComputedStyle(element);
        const looks = [element.tagName, color, fontSize, fontWeight, textDecorationLine, ground(element)].join();
        return seen.has(looks) || !seen.add(looks);
    }) : [];
    const {violations} = await axe.run({include: [document], exclude: same}, {
        resultTypes: ['violations'], preload: false, runOnly: {type: 'rule', values}});
    return violations.filter(found => ['serious', 'critical'].includes(found.impact)).flatMap(found =>
        found.nodes.map(node => `${found.id}: ${node.target.join(' ')}: ${node.failureSummary}`)); }"""

OUT_OF_THE_PAGE = """() => [document.documentElement.scrollWidth,
    [...document.querySelectorAll('.bd-article *')].filter(e => {
        for (let p = e; p; p = p.parentElement)
            if (p !== document.body && /auto|scroll|hidden|clip/.test(getComputedStyle(p).overflowX)) return false;
        return e.getBoundingClientRect().right > document.documentElement.clientWidth + 1; })
        .slice(0, 3).map(e => e.outerHTML.slice(0, 80))]"""

# Code that a reader sees without unfolding anything, and what it printed, if its column is too narrow for it.
CUT_CODE = """() => [...document.querySelectorAll('.bd-article pre')]
    .filter(e => e.checkVisibility({contentVisibilityAuto: true}) && e.scrollWidth > e.clientWidth + 1)
    .map(e => e.textContent.split('\\n').reduce((one, other) => other.length > one.length ? other : one))"""

# Each icon, and whether there is something of it to see: Font Awesome draws a question mark for one that it lacks.
ICONS = """() => [...document.querySelectorAll('.svg-inline--fa, :is(.fa, .fas, .far, .fab, .fa-solid, .fa-regular)')]
    .map(e => `${e.dataset.icon ?? e.getAttribute('class')}: ${
        e.tagName !== 'svg' ? 'left as it was' : e.querySelector('.missing') ? 'missing'
        : e.querySelector('path')?.getAttribute('d') ? 'drawn' : 'empty'}`)"""

CONTENT = """() => {
    const all = (what) => [...document.querySelectorAll(what)];
    const seen = new Set(), twice = new Set();
    for (const e of all('[id]')) (seen.has(e.id) ? twice : seen).add(e.id);
    const levels = all('.bd-article :is(h1, h2, h3, h4, h5, h6)').map(e => [+e.tagName[1], e.textContent]);
    return {
        math: all('.math').filter(e => !e.querySelector('mjx-container')).length,
        math_errors: all('mjx-merror, [data-mjx-error]').length,
        math_unheard: all('mjx-container').filter(e => !e.querySelector('mjx-assistive-mml math')).length,
        math_stops: all('mjx-container').filter(e => e.hasAttribute('tabindex')
            !== (e.matches('[display=true]') && e.scrollWidth > e.clientWidth)).length,
        silent: all('.bd-article svg.drawn, .bd-article img')
            .filter(e => !(e.getAttribute('aria-label') || e.getAttribute('alt') || '').trim()).length,
        twice: [...twice],
        skipped: levels.filter(([level], i) => i && level > levels[i - 1][0] + 1).map(([, text]) => text),
        targets: all('.bd-main a[href], .bd-sidebar a[href]').map(a => a.href),
        scripts: all('script:not([src])').map(script => script.textContent)}; }"""


def pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def korean() -> list[str]:
    """The pages of the Korean edition that are finished; the others are English with a note."""
    lines = (ROOT / "locale" / "ko" / "finished.txt").read_text(encoding="utf-8").splitlines()
    finished = {line.strip() for line in lines if not line.startswith("#")}
    return [f"ko/{name}" for name in pages() if name in finished]


# With `--dist loadgroup`, all tests of a page run in one process, and it is opened there only.
PAGES = [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in pages() + korean()]


@dataclass
class Visit:
    """What a page did while it loaded, and what it held then."""

    foreign: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    content: dict[str, Any] = field(default_factory=dict)
    sideways: dict[str, Any] = field(default_factory=dict)
    cut: list[str] = field(default_factory=list)
    findings: dict[str, list[str]] = field(default_factory=dict)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    if not (HTML / "resnet.html").exists():
        pytest.skip("the book is not built; `make book` builds it")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(HTML)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; the pages are not tried in a browser")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS)
        yield running
        running.close()


def watch(tab: Any, site: str) -> Visit:
    visit = Visit()

    def asked(request: Any) -> None:
        if not request.url.startswith((site, "data:", "blob:")):
            visit.foreign.append(request.url)
        elif request.url.startswith(site) and request.resource_type == "script":
            visit.scripts.append(unquote(request.url.removeprefix(site)).split("?")[0])

    tab.on("request", asked)
    tab.on("response", lambda r: visit.failed.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    tab.on("requestfailed", lambda r: visit.failed.append(r.url))
    tab.on("console", lambda m: visit.complaints.append(m.text) if m.type in ("error", "warning") else None)
    tab.on("pageerror", lambda error: visit.complaints.append(str(error)))
    return visit


def settle(tab: Any) -> None:
    """Wait until the math is typeset and the explorers have started."""
    tab.wait_for_load_state("load")
    tab.evaluate("() => window.MathJax?.startup?.promise")
    # Those with heavy data wait until the view comes near; paper has none, so they start before it is printed.
    tab.evaluate("() => ['beforeprint', 'afterprint'].forEach(name => dispatchEvent(new Event(name)))")
    tab.wait_for_function(
        "() => document.querySelectorAll('script[type=\"application/vnd.jupyter.widget-view+json\"]').length"
        " === document.querySelectorAll('.explorer-place > .explorer').length"
    )


def turn(tab: Any, theme: str) -> None:
    tab.emulate_media(color_scheme=theme)
    tab.wait_for_function("theme => document.documentElement.dataset.theme === theme", arg=theme)


def audit(tab: Any, themes: list[str]) -> list[str]:
    """What axe-core finds in this view, with the colours of these themes. Thins the page out."""
    if AXE is None:
        return []
    if not tab.evaluate("() => 'axe' in window"):
        tab.add_style_tag(content="*, *::before, *::after { transition: none !important }")
        tab.evaluate(THIN_OUT)
        tab.evaluate((Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = list(tab.evaluate(AUDIT, False))
    for theme in themes:
        turn(tab, theme)
        found += [f"{theme}: {finding}" for finding in tab.evaluate(AUDIT, True)]
    return found


@pytest.fixture(scope="module")
def opened(browser: Any, site: str) -> Iterator[Callable[[str], Visit]]:
    """A function that opens a page once, and says what happened and what was there."""
    context = browser.new_context(viewport=NARROW, color_scheme="light", is_mobile=True, has_touch=True)

    @cache
    def visit(name: str) -> Visit:
        tab = context.new_page()
        seen = watch(tab, site)
        tab.goto(f"{site}{name}.html")
        settle(tab)
        seen.content = tab.evaluate(CONTENT)
        seen.content["icons"] = tab.evaluate(ICONS)
        for theme in reversed(THEMES):
            turn(tab, theme)
            seen.sideways[theme] = tab.evaluate(OUT_OF_THE_PAGE)
        tab.set_viewport_size(NARROWEST)
        seen.sideways["narrowest"] = tab.evaluate(OUT_OF_THE_PAGE)
        spaced = tab.add_style_tag(content=chromium.SPACED)
        seen.sideways["spaced"] = tab.evaluate(OUT_OF_THE_PAGE)
        spaced.evaluate("style => style.remove()")
        tab.set_viewport_size(NARROW)
        # A telephone has the colours of any other screen, but a header of its own, on all pages the same.
        seen.findings["narrow"] = audit(tab, THEMES if name == pages()[0] else [])
        tab.set_viewport_size(WIDE)
        seen.cut = tab.evaluate(CUT_CODE)
        seen.findings["wide"] = audit(tab, THEMES)
        tab.close()
        return seen

    yield visit
    context.close()


@cache
def ids_of(file: Path) -> frozenset[str]:
    return frozenset(re.findall(r'\bid="([^"]+)"', file.read_text(encoding="utf-8")))


@cache
def compressed_size(file: str) -> int:
    return len(gzip.compress((HTML / file).read_bytes()))


@pytest.mark.parametrize("name", PAGES)
def test_page_asks_no_other_host_for_anything(opened: Any, name: str) -> None:
    assert opened(name).foreign == []


@pytest.mark.parametrize("name", PAGES)
def test_page_finds_all_that_it_asks_for(opened: Any, name: str) -> None:
    assert opened(name).failed == []


@pytest.mark.parametrize("name", PAGES)
def test_page_has_nothing_to_complain_about(opened: Any, name: str) -> None:
    assert opened(name).complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_math_is_typeset(opened: Any, name: str) -> None:
    content = opened(name).content
    assert (content["math"], content["math_errors"]) == (0, 0)


@pytest.mark.parametrize("name", PAGES)
def test_math_is_heard_and_stops_the_tab_key_only_where_it_scrolls(opened: Any, name: str) -> None:
    content = opened(name).content
    assert (content["math_unheard"], content["math_stops"]) == (0, 0)


@pytest.mark.parametrize("name", PAGES)
def test_every_image_has_a_text_alternative(opened: Any, name: str) -> None:
    assert opened(name).content["silent"] == 0


@pytest.mark.parametrize("name", PAGES)
def test_code_fits_its_column_on_a_laptop(opened: Any, name: str) -> None:
    assert opened(name).cut == []


@pytest.mark.parametrize("name", PAGES)
def test_ids_are_unique(opened: Any, name: str) -> None:
    assert opened(name).content["twice"] == []


@pytest.mark.parametrize("name", PAGES)
def test_headings_skip_no_level(opened: Any, name: str) -> None:
    assert opened(name).content["skipped"] == []


@pytest.mark.parametrize("name", PAGES)
def test_links_within_the_book_lead_somewhere(opened: Any, site: str, name: str) -> None:
    broken = []
    targets = {target for target in opened(name).content["targets"] if target.startswith(site)}
    for target in targets:
        path, _, anchor = target.removeprefix(site).partition("#")
        file = HTML / unquote(path or f"{name}.html")
        if not file.is_file() or anchor and file.suffix == ".html" and unquote(anchor) not in ids_of(file):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("name", PAGES)
def test_page_does_not_scroll_sideways_on_a_telephone(opened: Any, name: str, theme: str) -> None:
    assert opened(name).sideways[theme] == [NARROW["width"], []]


@pytest.mark.parametrize("view", ["narrowest", "spaced"])
@pytest.mark.parametrize("name", PAGES)
def test_page_does_not_scroll_sideways_where_it_is_narrowest(opened: Any, name: str, view: str) -> None:
    assert opened(name).sideways[view] == [NARROWEST["width"], []]


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing_serious(opened: Any, name: str, view: str) -> None:
    assert opened(name).findings.get(view) == []


def data_of(script: str, kind: str) -> list[str]:
    """What is data, not script, in the state of a page's explorers: trained "weights", or "sprites"."""
    try:
        records = json.loads(script).get("state", {}).values()
    except (ValueError, AttributeError):
        return []
    found = [record["state"].get(kind, {}) for record in records]
    # What is heavy lies in a file beside the page; its name says what is in it, so that either edition's will do.
    for part in (part for record in records for part in record.get("apart", [])):
        file = next(HTML.rglob(f"{DATA}/{part['name']}.js")).read_text(encoding="utf-8")
        found.append(json.loads(file[file.index("data: ") + 6 : file.rindex("}}")]).get(kind, {}))
    return [text for one in found for text in ([one] if isinstance(one, str) else one.values())]


@pytest.mark.parametrize(("kind", "limit"), [("weights", WEIGHTS_LIMIT), ("sprites", SPRITES_LIMIT)])
@pytest.mark.parametrize("name", PAGES)
def test_data_of_explorers_are_light(opened: Any, name: str, kind: str, limit: int) -> None:
    data = [text for script in opened(name).content["scripts"] for text in data_of(script, kind)]
    assert len(gzip.compress("".join(data).encode())) < limit


@pytest.mark.parametrize("name", ["nin", "mobilenet", "efficientnet"])
def test_page_looks_inside_a_trained_network(opened: Any, name: str) -> None:
    assert any(data_of(script, "sprites") for script in opened(name).content["scripts"])


@pytest.mark.parametrize("theme", THEMES)
def test_map_lies_exactly_on_its_photograph(browser: Any, site: str, theme: str) -> None:
    """Themes frame pictures: then the overlay would be larger than what it is laid over."""
    context = browser.new_context(viewport=NARROW, color_scheme=theme)
    tab = context.new_page()
    tab.goto(f"{site}nin.html")
    settle(tab)
    inside = tab.locator('.explorer[aria-label="Look inside a trained network"]')
    inside.scroll_into_view_if_needed()  # it begins when it is seen
    tab.locator(".x-stamp img").nth(5).wait_for(state="attached")
    frames = tab.locator(".x-pane img, .x-stamp img").evaluate_all(
        """all => all.map(one => {
            const { paddingLeft, borderLeftWidth } = getComputedStyle(one);
            const [box, over] = [one, one.nextElementSibling].map(part => part.getBoundingClientRect());
            return [paddingLeft, borderLeftWidth, Math.abs(box.width - over.width) < 1]; })"""
    )
    context.close()
    assert frames and all(frame == ["0px", "0px", True] for frame in frames)


def scripts_of(visit: Visit) -> dict[str, int]:
    """The bytes, compressed, of each script that a page loaded, and of all that stand in the page itself.

    What trained networks weigh, and sprites, have limits of their own: they are data.
    """
    content = "".join(visit.content["scripts"])
    for script in visit.content["scripts"]:
        for data in (*data_of(script, "weights"), *data_of(script, "sprites")):  # where they are light
            content = content.replace(data, "")
    return {"in the page": len(gzip.compress(content.encode()))} | {
        file: compressed_size(file) for file in visit.scripts if DATA not in file
    }


@pytest.mark.parametrize("name", PAGES)
def test_all_scripts_of_a_page_are_light_together(opened: Any, name: str) -> None:
    sizes = scripts_of(opened(name))
    assert any("fontawesome" in file for file in sizes), (
        "the theme's icons were not seen; is its layout another one?"
    )
    assert sum(sizes.values()) < SCRIPT_LIMIT, sizes


@pytest.mark.parametrize("name", PAGES)
def test_every_icon_is_drawn(opened: Any, name: str) -> None:
    icons = opened(name).content["icons"]
    assert len(icons) > 10 and [icon for icon in icons if not icon.endswith(": drawn")] == []


@pytest.mark.parametrize("name", ["welcome", "ko/resnet"])
def test_icons_are_drawn_where_the_page_is_a_file(browser: Any, site: str, name: str) -> None:
    tab = browser.new_page(viewport=WIDE)
    tab.goto((HTML / f"{name}.html").as_uri())
    tab.locator('svg[data-icon="language"]').wait_for()  # the first of all, "back to top", is hidden at first
    icons = tab.evaluate(ICONS)
    box = tab.locator('svg[data-icon="language"]').bounding_box()
    tab.close()
    assert len(icons) > 10 and [icon for icon in icons if not icon.endswith(": drawn")] == []
    assert box and min(box["width"], box["height"]) > 8


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize(
    "body, rule",
    [
        ('<main><p style="color: #999; background: #fff">Pale</p></main>', "color-contrast"),
        ("<main><input></main>", "label"),
        (
            f'<main><div style="width: 9rem; overflow-x: auto"><p style="width: 99rem">{"Wide " * 50}</p></main>',
            "scrollable-region-focusable",
        ),
    ],
)
def test_audit_sees(browser: Any, body: str, rule: str) -> None:
    """The audit is worth something only if it fails where it should."""
    tab = browser.new_page()
    listens = (
        "matchMedia('(prefers-color-scheme: dark)').addEventListener('change', e => "
        "document.documentElement.dataset.theme = e.matches ? 'dark' : 'light')"
    )
    tab.set_content(
        f'<html lang="en" data-theme="light"><title>Bad</title><script>{listens}</script>{body}</html>'
    )
    found = audit(tab, THEMES)
    tab.close()
    assert {finding.removeprefix("dark: ").removeprefix("light: ").split(":")[0] for finding in found} == {
        rule
    }


@pytest.mark.parametrize("theme", THEMES)
def test_theme_sets_the_colours_of_figures(browser: Any, site: str, theme: str) -> None:
    from casestudies.figures import ROLES

    context = browser.new_context(color_scheme=theme)
    tab = context.new_page()
    tab.goto(f"{site}resnet.html")
    ink = tab.evaluate("() => getComputedStyle(document.querySelector('svg.drawn text')).fill")
    context.close()
    wanted = ROLES["ink"][theme == "dark"]
    assert ink == "rgb({}, {}, {})".format(*(int(wanted[i : i + 2], 16) for i in (1, 3, 5)))


@pytest.fixture(scope="module")
def search(browser: Any, site: str) -> Iterator[Callable[[str], list[str]]]:
    yield from searching(browser, site)


@pytest.fixture(scope="module")
def korean_search(browser: Any, site: str) -> Iterator[Callable[[str], list[str]]]:
    yield from searching(browser, f"{site}ko/")


def searching(browser: Any, site: str) -> Iterator[Callable[[str], list[str]]]:
    """A function that types words into the search page, and gives the pages found, best first."""
    tab = browser.new_page()
    # For the words around a hit the search reads whole pages; which pages it finds does not depend on them.
    tab.add_init_script(
        "const all = fetch; window.fetch = (url, ...rest) =>"
        " /[.]html/.test(url) ? Promise.resolve({text: () => ''}) : all(url, ...rest)"
    )
    tab.goto(f"{site}search.html")

    def results(words: str) -> list[str]:
        box = tab.locator(".bd-search-container input[name=q]")
        box.fill(words)
        box.press("Enter")
        tab.wait_for_function(
            "words => new URLSearchParams(location.search).get('q') === words"
            " && /found|did not match|찾았습니다|일치하는 문서/"
            ".test(document.querySelector('.search-summary')?.textContent)",
            arg=words,
        )
        links = tab.evaluate(
            "() => [...document.querySelectorAll('#search-results li > a')].map(a => a.pathname)"
        )
        return list(dict.fromkeys(Path(link).stem for link in links))

    yield results
    tab.close()


@pytest.mark.xdist_group("search")
@pytest.mark.parametrize("words, page", [row for row in SEARCHES if row[1] in pages()])
def test_search_finds(search: Callable[[str], list[str]], words: str, page: str) -> None:
    assert page in search(words)[:FIRST]


@pytest.mark.xdist_group("search")
def test_sizes_are_found_however_their_sign_is_typed(search: Callable[[str], list[str]]) -> None:
    assert "nin" in search("1x1")
    assert search("1x1") == search("1×1") and search("3x3") == search("3×3")


@pytest.mark.xdist_group("search")
def test_lines_around_a_hit_have_nothing_of_an_explorer(browser: Any, site: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}search.html?q=groups+forgotten")  # in mobilenet, a heading just below an explorer
    tab.wait_for_selector("#search-results a[href*='mobilenet.html'] ~ .context")
    lines = tab.locator("#search-results a[href*='mobilenet.html'] ~ .context").first.inner_text()
    tab.close()
    assert "Groups forgotten" in lines and "version_major" not in lines


@pytest.mark.xdist_group("search")
def test_misspelt_word_gets_the_nearest_words(search: Callable[[str], list[str]], browser: Any) -> None:
    assert search("mobilnet") == []
    tab = browser.contexts[-1].pages[-1]
    tab.wait_for_selector(".nearest-words")
    assert "mobilenet" in tab.locator(".nearest-words a").all_inner_texts()


@pytest.mark.xdist_group("search")
def test_known_mistakes_are_found_by_their_names(search: Callable[[str], list[str]]) -> None:
    index = json.loads(
        (HTML / "searchindex.js").read_text().removeprefix("Search.setIndex(").removesuffix(")")
    )
    for part in parts.parts().values():
        for known in part.mistakes:
            page, place = known.see.split(".html#")
            entries = index["indexentries"][known.id.lower()]
            assert (page, place) in {(index["docnames"][number], anchor) for number, anchor, _ in entries}
    for words in ("pooling_two_by_two", "pooling two by two"):
        assert search(words)[:1] == ["alexnet"]


# What a Korean reader types, with particles and without, and a page that must be found.
KOREAN_SEARCHES = [
    ("병목", "glossary"),
    ("병목은", "glossary"),
    ("채널", "lenet"),
    ("채널을", "lenet"),
    ("서브샘플링에서", "lenet"),
    ("에일리어싱", "lenet"),
    ("수용 영역", "lenet"),
    ("가장자리", "lenet"),
    ("배치정규화", "identity"),
    ("활성화함수", "glossary"),
    ("완전연결층", "glossary"),
    ("제로패딩", "glossary"),
    ("최대풀링", "glossary"),
    ("깊이별분리합성곱", "mobilenet"),
    ("컨볼루션", "lenet"),
    ("그래디언트", "resnet"),
    ("이미지넷", "alexnet"),
    ("르넷", "lenet"),
    ("레즈넷", "resnet"),
    ("파라미터", "lenet"),
    ("과적합이었습니다", "resnet"),
    ("정규화했습니다", "identity"),
    ("사라지는", "alexnet"),
]


@pytest.mark.xdist_group("korean search")
@pytest.mark.parametrize("words, page", KOREAN_SEARCHES)
def test_search_finds_korean_words(korean_search: Callable[[str], list[str]], words: str, page: str) -> None:
    assert page in korean_search(words)


@pytest.mark.xdist_group("korean search")
def test_search_in_korean_does_not_find_what_is_not_there(korean_search: Callable[[str], list[str]]) -> None:
    assert korean_search("가나다라마") == []


@pytest.mark.parametrize("name, language, other", [("lenet", "en", "ko/lenet"), ("ko/lenet", "ko", "lenet")])
def test_the_switch_leads_to_the_same_place_in_the_other_language(
    browser: Any, site: str, name: str, language: str, other: str
) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}{name}.html#output-size")
    assert tab.evaluate("document.documentElement.lang") == language
    tab.locator("a.language-switch").first.click()
    tab.wait_for_url(f"{site}{other}.html#output-size")
    assert tab.evaluate("document.documentElement.lang") != language
    assert tab.locator("#output-size").count() == 1
    tab.close()


# The top of what has this id, from where reading begins: below the bar.
FROM_THE_LINE = """id => document.getElementById(id).getBoundingClientRect().top
    - (parseFloat(getComputedStyle(document.documentElement).scrollPaddingTop) || 0)"""
SCROLLED = """share => { document.documentElement.style.scrollBehavior = "auto";
    scrollTo(0, share * (document.documentElement.scrollHeight - innerHeight)); }"""


@pytest.mark.parametrize("share", [0.2, 0.45, 0.7, 0.95])
@pytest.mark.parametrize("name, other", [("lenet", "ko/lenet"), ("ko/glossary", "glossary")])
def test_the_switch_leads_readers_who_scrolled_to_what_they_read(
    browser: Any, site: str, name: str, other: str, share: float
) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}{name}.html")
    tab.evaluate(SCROLLED, share)
    # One step, so that nothing that is still drawn moves the page between the look and the click.
    place, read, within = tab.locator("a.language-switch").first.evaluate(
        f"""link => {{
            link.click();
            const id = link.hash.slice(1), section = document.getElementById(id).closest("section");
            return [id, ({FROM_THE_LINE})(id), section.getBoundingClientRect().bottom];
        }}"""
    )
    height = tab.viewport_size["height"]
    assert abs(read) < height or read < 0 < within  # near, or the section that is open
    tab.wait_for_url(f"{site}{other}.html#{place}")
    tab.wait_for_function(f"id => Math.abs(({FROM_THE_LINE})(id)) < innerHeight", arg=place)
    tab.close()


def test_a_link_leads_to_its_place_though_what_is_above_grows_and_lets_the_reader_go(
    browser: Any, site: str
) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}ko/lenet.html#check-yourself")
    top = "document.getElementById('check-yourself').getBoundingClientRect().top"
    grow = "document.querySelector('article').firstElementChild.style.paddingTop"
    tab.wait_for_function(f"Math.abs({top}) < 200")
    tab.evaluate(f"{grow} = '2000px'")
    tab.wait_for_function(f"Math.abs({top}) < 200")
    tab.mouse.move(300, 400)
    tab.mouse.wheel(0, -1000)
    tab.wait_for_function(f"{top} > 700")
    tab.evaluate(f"{grow} = '2010px'")
    tab.wait_for_timeout(300)
    assert tab.evaluate(top) > 700
    tab.close()


def test_a_damaged_address_stops_no_script(browser: Any, site: str) -> None:
    tab = browser.new_page()
    visit = watch(tab, site)
    tab.goto(f"{site}vgg.html#network=%E0%A4%A")
    settle(tab)
    switch = tab.locator("a.language-switch").first
    switch.dispatch_event("focus")
    assert switch.evaluate("link => link.href").startswith(f"{site}ko/vgg.html")
    assert visit.complaints == []
    tab.close()


@pytest.mark.parametrize("name, other", [("vgg", "ko/vgg"), ("ko/vgg", "vgg")])
def test_the_switch_takes_the_readers_network_along_while_it_is_in_view(
    browser: Any, site: str, name: str, other: str
) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}{name}.html#network=conv%208%0Arelu")
    settle(tab)
    switch = tab.locator("a.language-switch").first
    tab.locator(".x-editor").scroll_into_view_if_needed()
    switch.dispatch_event("focus")
    assert switch.evaluate("link => link.href") == f"{site}{other}.html#network=conv%208%0Arelu"
    tab.evaluate(SCROLLED, 0)
    switch.dispatch_event("focus")
    assert "#network" not in switch.evaluate("link => link.href")
    tab.close()


# By ear one goes from landmark to landmark; and what is in none of them is passed over.
LANDMARKS = """async () => {
    const values = axe.getRules().map(rule => rule.ruleId)
        .filter(rule => rule === 'region' || rule.startsWith('landmark-'));
    const {violations} = await axe.run({runOnly: {type: 'rule', values}});
    return violations.map(found => `${found.id}: ${found.nodes[0].html}`); }"""


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
@pytest.mark.parametrize("view", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("name", ["welcome", "lenet", "search", "ko/answers"])
def test_all_of_a_page_is_in_a_landmark(browser: Any, site: str, name: str, view: Any) -> None:
    tab = browser.new_page(viewport=view)
    tab.goto(f"{site}{name}.html")
    tab.wait_for_load_state("load")
    tab.evaluate((Path(AXE.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    assert tab.evaluate(LANDMARKS) == []
    tab.close()


def test_dark_page_is_light_while_it_is_printed(browser: Any, site: str) -> None:
    tab = browser.new_page(color_scheme="dark")
    tab.goto(f"{site}answers.html")
    tab.wait_for_load_state("load")
    themes = """() => ["beforeprint", "afterprint"].map(name => {
        dispatchEvent(new Event(name));
        return document.documentElement.dataset.theme; })"""
    assert tab.evaluate(themes) == ["light", "dark"]
    tab.emulate_media(color_scheme="light")
    tab.wait_for_function("document.documentElement.dataset.theme === 'light'")
    assert tab.evaluate(themes) == ["light", "light"]
    tab.close()


# What stays where it is while the page scrolls, and lies over the text below the bar at the top.
OVER_THE_TEXT = """() => [...document.querySelectorAll('body *')].filter(one => {
    const {position, visibility} = getComputedStyle(one), box = one.getBoundingClientRect();
    const text = document.querySelector('.bd-article').getBoundingClientRect();
    const bar = document.querySelector('.bd-header-article').getBoundingClientRect();
    return ['fixed', 'sticky'].includes(position) && visibility === 'visible' && one.checkVisibility()
        && box.width && box.bottom > bar.bottom + 1 && box.top < innerHeight
        && box.right > text.left && box.left < text.right;
}).map(one => one.id || one.className)"""
BUTTONS_OF_THE_BAR = """() => [...document.querySelectorAll('.bd-header-article :is(a, button)')]
    .filter(one => one.checkVisibility({visibilityProperty: true}) && !one.closest('.dropdown-menu'))
    .map(one => one.getBoundingClientRect()).map(box => [box.left, box.right, box.top, box.bottom])"""


@pytest.mark.parametrize("spaced", ["", chromium.SPACED], ids=["", "spaced"])
@pytest.mark.parametrize("width", [320, 361, 390, 768, 1280])
@pytest.mark.parametrize("name, words", [("vgg", "Back to top"), ("ko/vgg", "맨 위로")])
def test_way_back_to_the_top_covers_nothing_and_is_at_hand(
    browser: Any, site: str, name: str, words: str, width: int, spaced: str
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 844}, reduced_motion="reduce")
    tab.goto(f"{site}{name}.html")
    tab.add_style_tag(content=f"html {{ scroll-behavior: auto !important }} {spaced}")
    button = tab.get_by_role("button", name=words, exact=True)
    assert tab.locator("#pst-back-to-top").is_hidden()  # nowhere to go back from
    for place in (3000, 2800, 2900):  # the theme shows its own to those who scroll upwards
        tab.evaluate("place => scrollTo(0, place)", place)
        button.wait_for()
        assert tab.evaluate(OVER_THE_TEXT) == []
    boxes = tab.evaluate(BUTTONS_OF_THE_BAR)
    assert boxes == sorted(boxes) and len(boxes) > 5
    assert all(one[1] <= other[0] + 0.1 for one, other in pairwise(boxes)) and boxes[-1][1] <= width
    box = button.bounding_box()
    assert box and min(box["width"], box["height"]) >= 24  # WCAG 2.5.8
    tab.locator(".primary-toggle").first.focus()
    tab.keyboard.press("Tab")
    assert button.evaluate("one => one === document.activeElement")
    tab.keyboard.press("Enter")
    tab.wait_for_function("scrollY === 0")
    tab.close()


@pytest.mark.parametrize("width", [390, 768])
@pytest.mark.parametrize("name", ["index", "vgg", "ko/vgg"])
def test_bar_keeps_to_a_telephone_whose_letters_are_twice_as_large(
    browser: Any, site: str, name: str, width: int
) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 844})
    tab.goto(f"{site}{name}.html")
    plain = tab.locator(".bd-header-article").bounding_box()
    tab.add_style_tag(content="html { font-size: 200% }")
    boxes = tab.evaluate(BUTTONS_OF_THE_BAR)
    bar = tab.locator(".bd-header-article").bounding_box()
    wide = tab.evaluate("document.documentElement.scrollWidth")
    tab.close()
    assert plain["height"] < 60 and bar["height"] < 170  # the page is read below it
    assert len(boxes) > 5 and all(0 <= left and right <= width for left, right, *_ in boxes)
    assert all(top >= bar["y"] - 1 and bottom <= bar["y"] + bar["height"] + 1 for *_, top, bottom in boxes)
    assert wide <= width


def test_what_an_address_names_is_read_in_one_place() -> None:
    """A damaged one throws: who reads it elsewhere may forget that."""
    scripts = sorted((ROOT / "book" / "_static").glob("*.js"))
    readers = [path.name for path in scripts for _ in re.findall(r"decodeURI", path.read_text("utf-8"))]
    assert readers == ["places.js"]


def test_head_of_a_table_keeps_its_words_whole_on_a_telephone(browser: Any, site: str) -> None:
    tab = browser.new_page(viewport={"width": 320, "height": 780})
    tab.goto(f"{site}answers.html")
    settle(tab)
    rows = "all => all.map(one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight))"
    lines = tab.locator(".x-table thead th").evaluate_all(rows)
    assert lines and max(lines) < 4
    assert tab.evaluate("document.documentElement.scrollWidth") == 320
    tab.close()


def test_explorer_whose_data_are_slow_holds_up_no_other(browser: Any, site: str) -> None:
    tab = browser.new_page()
    tab.emulate_media(reduced_motion="reduce")
    held: list[Any] = []
    tab.route(f"**/{DATA}/*.js", lambda route: held.append(route))
    started = "[...document.querySelectorAll('.explorer-place')].map(place => place.children.length)"
    tab.goto(f"{site}nin.html#on-photographs", wait_until="domcontentloaded")
    tab.wait_for_function(f"JSON.stringify({started}) === '[1,0,1,1]'", timeout=15_000)
    assert len(held) == 1
    held[0].continue_()
    tab.wait_for_function(f"JSON.stringify({started}) === '[1,1,1,1]'")
    tab.close()


@pytest.mark.skipif(AXE is None, reason="axe-playwright-python is not installed")
def test_offer_to_ask_for_data_again_is_accessible(browser: Any, site: str) -> None:
    tab = browser.new_page(viewport=NARROW)
    tab.route(f"**/{DATA}/*.js", lambda route: route.abort())
    tab.goto(f"{site}nin.html")
    tab.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    button = tab.get_by_role("button", name="Try again")
    button.wait_for()
    assert button.bounding_box()["height"] >= 24
    found = audit(tab, THEMES)
    tab.close()
    assert found == []


# Words of the themes that stand on no page as they are: with a placeholder or a link in them.
WORDS_AROUND = [m.english for m in catalogues.interface() if not re.search(r"[<%{]", m.english)]


@pytest.mark.parametrize("name", [*pages(), "genindex", "search"])
def test_no_word_around_a_korean_page_is_english(site: str, name: str) -> None:
    page = (HTML / "ko" / f"{name}.html").read_text(encoding="utf-8")
    around = re.sub(r'<article class="bd-article">.*?</article>|<!--.*?-->', "", page, flags=re.DOTALL)
    assert "저장소" in around  # what is looked for is there
    titles = set(re.findall(r'(?:title|aria-label|placeholder)="([^"]*)"', page))
    texts = {text.strip() for text in re.findall(r">([^<]*)<", around)}
    assert not (titles | texts) & set(WORDS_AROUND)


def test_the_button_that_copies_speaks_korean(browser: Any, site: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}ko/lenet.html")
    button = tab.locator("button.copybtn").first
    button.wait_for(state="attached")
    assert button.get_attribute("data-tooltip") == "복사"
    tab.close()


@pytest.mark.parametrize("width", [320, 390])
@pytest.mark.parametrize("folder", ["", "ko/"])
def test_the_index_is_no_wider_than_a_telephone(browser: Any, site: str, folder: str, width: int) -> None:
    tab = browser.new_page(viewport={"width": width, "height": 844})
    tab.goto(f"{site}{folder}genindex.html")
    assert tab.locator(".genindextable li").count() > 20
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.close()


def test_the_switch_at_the_head_of_a_page_names_no_place(browser: Any, site: str) -> None:
    tab = browser.new_page()
    tab.goto(f"{site}lenet.html")
    tab.locator("a.language-switch").first.click()
    tab.wait_for_url(f"{site}ko/lenet.html")
    tab.close()


@pytest.mark.parametrize("name", pages())
def test_both_languages_have_the_same_anchors(site: str, name: str) -> None:
    def anchors(folder: Path) -> set[str]:
        page = (folder / f"{name}.html").read_text(encoding="utf-8")
        article = page.split('<article class="bd-article">')[1].split("</article>")[0]
        drawn = re.sub(r"<svg.*?</svg>", "", article, flags=re.DOTALL)
        return set(re.findall(r'<(?:section|span|dt|div|h\d)[^>]*\sid="([^"]+)"', drawn))

    assert anchors(HTML) == anchors(HTML / "ko")


@pytest.mark.parametrize("name", pages())
def test_both_languages_show_the_same_code(site: str, name: str) -> None:
    def code(folder: Path) -> list[str]:
        page = (folder / f"{name}.html").read_text(encoding="utf-8")
        return re.findall(r'<div class="highlight-ipython3[^"]*">.*?</pre>', page, re.DOTALL)

    assert code(HTML) == code(HTML / "ko")


def test_page_reads_without_a_server(browser: Any) -> None:
    """Somebody who unpacks the book and opens the file sees the math and the explorers, too."""
    if not (HTML / "resnet.html").exists():
        pytest.skip("the book is not built; `make book` builds it")
    tab = browser.new_page()
    tab.goto((HTML / "identity.html").as_uri())
    settle(tab)
    counts = tab.evaluate(
        "() => [document.querySelectorAll('mjx-container').length, document.querySelectorAll('.explorer').length]"
    )
    tab.close()
    assert counts[0] > 10 and counts[1] >= 1


def links_of(page: str, pattern: str) -> list[str]:
    return re.findall(f'href="({pattern})"', (HTML / f"{page}.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PAGES)
def test_suggested_edits_go_to_the_source_of_the_page(site: str, name: str) -> None:
    assert [Path(link.split("/edit/main/")[1]) for link in links_of(name, '[^"]+/edit/main/[^"]+')] == [
        (ROOT / "book" / f"{Path(name).stem}.md").relative_to(ROOT)
    ]


def test_chapters_are_numbered_through_the_parts(site: str) -> None:
    title = re.compile(r'<article.*?<h1>(?:<span class="section-number">(\d+)\. </span>)?', re.DOTALL)
    found = [title.search((HTML / f"{name}.html").read_text(encoding="utf-8"))[1] for name in pages()]
    parts = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())["parts"]
    count = sum(len(part["chapters"]) for part in parts if part.get("numbered", True))
    assert found == [None, *map(str, range(1, count + 1)), *[None] * (len(found) - count - 1)]


def test_download_of_the_assignment_is_the_notebook(site: str) -> None:
    link = links_of("resnet", '_downloads/[^"]+/resnet.ipynb')[0]
    notebook = json.loads((HTML / link).read_text(encoding="utf-8"))
    assert notebook["nbformat"] == 4 and notebook == json.loads(
        (ROOT / "exercises" / "resnet" / "resnet.ipynb").read_text(encoding="utf-8")
    )


def test_what_stands_in_for_an_explorer_is_korean_on_a_korean_page(site: str) -> None:
    pages_of_ko = [path.read_text(encoding="utf-8") for path in sorted((HTML / "ko").glob("*.html"))]
    said = [
        text
        for page in pages_of_ko
        for text in re.findall(r'<p class="explorer-fallback">.*?</p>', page, re.DOTALL)
    ]
    assert len(said) > 40
    assert [text for text in said if "lang=" in text or not re.search("[가-힣]", text)] == []
