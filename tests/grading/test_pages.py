"""Pages of a hostile class: feedback, class report and formgrader, read by a parser and by a browser."""

from __future__ import annotations

import json
import os
import re
import tomllib
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
import pytest
from packaging.requirements import Requirement

from casestudies.grading import pages, reports
from casestudies.grading.course import Course, grade_class
from casestudies.grading.notebooks import fill

from .conftest import RIGHT
from .test_sanitise import HOSTILE, PNG, SVG_HOSTILE, unsafe

# What makes a browser tell that something ran: each puts a word where the test looks for it.
RUN = "document.title='ran';fetch('https://example.org/')"
TRAPS = [text.replace("alert(1)", RUN) for text in HOSTILE]
STUDENTS = ("ada", "lee [late]", "o'brien & co")


@pytest.fixture(scope="module")
def course(root, released, tmp_path_factory) -> Course:
    """A class whose every text and output is hostile, graded, with feedback and report."""
    folder = tmp_path_factory.mktemp("hostile")
    for student in STUDENTS:
        answers = {**RIGHT, "why": "\n\n".join([*TRAPS, "![s](attachment:s.png)", "$i<n$ `x<y`"])}
        notebook = fill(released, answers)
        notebook.metadata.update(
            title="<script>x</script>", kernelspec={"name": "<script>", "display_name": "<b>"}
        )
        notebook.metadata["widgets"] = {
            "application/vnd.jupyter.widget-state+json": {"x": "</script><script>"}
        }
        html, drawings = json.dumps(TRAPS), json.dumps(SVG_HOSTILE)
        shown = (
            "from IPython.display import HTML, SVG, Javascript, Latex, Markdown, display\n"
            f"display({{'image/png': {PNG!r}}}, raw=True, metadata={{'image/png': {{'alt': '\"><script>'}}}})\n"
            f"display({{'application/javascript': {RUN!r}, 'text/plain': 'x'}}, raw=True)\n"
            f"for text in {html}:\n    print(text)\n    display(HTML(text), Markdown(text), Latex(text))\n"
            f"for text in {drawings}:\n    display({{'image/svg+xml': text}}, raw=True)\n"
            "raise ValueError('<img src=x onerror=alert(1)>\\x1b[31m\\x1b]0;x\\x07')"
        )
        notebook.cells.append(nbformat.v4.new_code_cell(shown, id="shown"))
        notebook.cells.append(nbformat.v4.new_raw_cell("\n".join(TRAPS), id="raw"))
        notebook.cells.append(
            nbformat.v4.new_markdown_cell("![dangling](attachment:none.png)", id="dangling")
        )
        target = folder / "submitted" / student / "small"
        target.mkdir(parents=True)
        text = json.dumps(notebook)
        tree = json.loads(text)
        for cell in tree["cells"]:
            if cell["cell_type"] == "markdown":
                cell["attachments"] = {"s.png": {"image/png": PNG}}
        (target / "small.ipynb").write_text(json.dumps(tree))
        (target / "[Click here](javascript:alert(1)).exe").write_text("x")
        (target / "<img src=x onerror=alert(1)>.exe").write_text("x")
    made = Course.open(root, folder)
    rows = grade_class(made, "small", jobs=1)
    assert [row.error for row in rows] == [""] * len(STUDENTS)
    reports.write_reports(made, "small")
    reports.write_feedback(made, "small")
    return made


def feedback(course: Course, student: str = "ada") -> str:
    return (course.folder / "feedback" / student / "small" / "small.html").read_text()


def formgrader(course: Course) -> str:
    """The page as the formgrader makes it."""
    from nbgrader.server_extensions.formgrader import formgrader, handlers
    from traitlets.config import Config

    from casestudies.grading.configuration import protect_formgrader

    protect_formgrader()
    config = Config()
    config.HTMLExporter.template_name = "formgrade"
    config.HTMLExporter.extra_template_basedirs = [handlers.template_path]
    names = (
        "assignment_id",
        "notebook_id",
        "submission_id",
        "student",
        "last_name",
        "first_name",
        "notebook_path",
    )
    resources = {**dict.fromkeys(names, "x"), "index": 0, "total": 1, "base_url": ""}
    path = course.folder / "autograded" / "ada" / "small" / "small.ipynb"
    return formgrader.HTMLExporter(config=config).from_filename(str(path), resources=resources)[0]


@pytest.mark.parametrize("student", STUDENTS)
def test_every_student_gets_a_page_whatever_the_folder_is_called(course, student):
    assert "content-security-policy" in feedback(course, student).lower()


def test_feedback_allows_one_script_by_its_hash(course):
    page = feedback(course)
    (rules,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert "default-src 'none'" in rules and "'unsafe-inline'" not in rules.split("style-src")[0]
    assert (
        len(re.findall(r"<script\b", re.sub(r"<script>.*?</script>", "<script>", page, flags=re.DOTALL))) == 1
    )


def parts_of_students(page: str) -> list[str]:
    """The rendered texts and displays of a page."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(page, "html.parser")
    return [
        each.decode_contents()
        for each in soup.select("div.rendered_html, div.output_text")
        if each.find("table", class_="casestudies-report") is None
    ]


@pytest.mark.parametrize("make", [feedback, formgrader])
def test_no_part_of_a_page_does_something(make, course):
    found = [wrong for part in parts_of_students(make(course)) for wrong in unsafe(part)]
    ours = re.compile(
        r"\w+ (class|style|id|aria-\w+|role|open|scope|name)$|<section>|<style>"
    )  # reports, headings
    assert [wrong for wrong in found if not ours.match(wrong)] == []


@pytest.mark.parametrize("make", [feedback, formgrader])
def test_a_page_asks_no_other_host(make, course):
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(make(course), "html.parser")
    asked = [each[key] for key in ("src", "srcset", "data", "poster") for each in soup.select(f"[{key}]")]
    asked += [each["href"] for each in soup.select("link[href]")]
    assert [each[:80] for each in asked if not each.startswith(("data:image/", "/formgrader/static/"))] == []


@pytest.mark.parametrize("make", [feedback, formgrader])
def test_math_code_and_pictures_are_in_the_page(make, course):
    page = make(course)
    assert "$i&lt;n$" in page and "<code>x&lt;y</code>" in page
    assert page.count(f"data:image/png;base64,{PNG}") >= 2
    assert "it is not in the notebook" in page


def test_the_class_report_has_a_policy_and_no_tag_of_a_students(course):
    page = (course.folder / "reports" / "small.html").read_text()
    assert "script-src 'none'" in page and "<img" not in page and "<script" not in page


def test_feedback_names_the_parts(course):
    page = feedback(course)
    assert '<a href="#check_basic_block">basic_block</a>: 8 / 8' in page
    assert "Test cell" not in page


def test_whoever_installs_the_grader_has_mathjax():
    """Nothing else would say so: without its wheel, a page shows math as it was typed."""
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    grading = {Requirement(each).name for each in project["optional-dependencies"]["grading"]}
    assert pages.MATHJAX in grading and pages.mathjax()


def test_a_page_without_math_has_no_mathjax():
    page = '<html><head></head><body><div class="panel-body"><p>x</p></div></body></html>'
    assert "<script" not in pages.feedback_page(page) and "script-src 'none'" in pages.feedback_page(page)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/usr/bin/chromium"), reason="needs Chromium")
def test_a_browser_runs_nothing_and_asks_nobody(course, tmp_path):
    from playwright.sync_api import sync_playwright

    (tmp_path / "formgrader.html").write_text(formgrader(course))
    stored = json.loads((course.folder / "autograded" / "ada" / "small" / "small.ipynb").read_text())
    # Without any policy: what is stored has to be safe by itself.
    bare = "".join(
        "".join(cell["source"]) for cell in stored["cells"] if cell["cell_type"] == "markdown"
    ) + "".join(
        "".join(output.get("data", {}).get("text/html", ""))
        for cell in stored["cells"]
        for output in cell.get("outputs", [])
    )
    (tmp_path / "bare.html").write_text(f"<!DOCTYPE html><title>x</title><body>{bare}</body>")
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.on("dialog", lambda dialog: asked.append("a dialog"))

        def ask(route):
            asked.append(route.request.url)
            route.abort()

        page.route(re.compile("^(?!file:|data:|blob:)"), ask)
        for path in (
            course.folder / "feedback" / "ada" / "small" / "small.html",
            course.folder / "reports" / "small.html",
            tmp_path / "formgrader.html",
            tmp_path / "bare.html",
        ):
            page.goto(f"file://{path}")
            page.wait_for_timeout(300)
            before = page.title()
            protocols = page.evaluate("[...document.querySelectorAll('a[href]')].map(a => a.protocol)")
            assert set(protocols) <= {"file:", "http:", "https:", "mailto:"}
            page.evaluate(
                "document.querySelectorAll('a:not([href]), a[href^=\"#\"], summary').forEach(each => each.click())"
            )
            page.wait_for_timeout(300)
            assert page.title() == before != "ran"
        browser.close()
    assert asked == []


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # nbgrader leaves the file open
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_release_feedback_needs_no_timestamp(course, tmp_path, monkeypatch):
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config

    from casestudies.grading.plugins import ReleaseFeedback

    config = Config()
    config.CourseDirectory.root = str(course.folder)
    config.CourseDirectory.assignment_id = "small"
    config.CourseDirectory.course_id = "casestudies"
    config.Exchange.root = str(tmp_path)
    secret = course.folder / "feedback" / "ada" / "small" / "submission_secret.txt"
    secret.write_text("secret")
    released = ReleaseFeedback(coursedir=CourseDirectory(config=config), config=config)
    released.start()
    assert len(list(Path(tmp_path).rglob("*.html"))) == 1


# --------------------------------------------------------------------------- formulas

LINK = (
    r'\mmlToken{mi}[href="javascript:alert(1)" style="position:fixed;top:0;left:0;font-size:900px" id="x"]{C}'
)
RULE = r"\kern-300em\smash{\rlap{\rule[-50em]{500em}{200em}}}"
FORMULAS = [
    LINK,
    r"\href{javascript:alert(1)}{C}",
    r"\style{position:fixed}{C}\class{x}{C}\cssId{x}{C}",
    r"\bbox[position:fixed;color:red]{C}",
    r"\def\a{\mmlToken}\a{mi}[href='javascript:alert(1)']{C}",
    r"\let\a=\mmlToken\a{mi}[href='javascript:alert(1)']{C}",
    r"\require{html}\href{javascript:alert(1)}{C}",
    r"\eqref{x}\label{x}",
    RULE,
    r"\color{red}{\llap{\rule{500em}{500em}}}",
]


NBGRADER = Path(str(find_spec("nbgrader").origin)).parent / "server_extensions" / "formgrader" / "static"
SCRIPTS = [
    "node_modules/jquery/dist/jquery.min.js",
    "node_modules/underscore/underscore-min.js",
    "node_modules/backbone/backbone-min.js",
    "node_modules/bootstrap/dist/js/bootstrap.min.js",
    "node_modules/autosize/dist/autosize.min.js",
    "js/backbone_xsrf.js",
    "js/formgrade_keyboardmanager.js",
    "js/formgrade_models.js",
    "js/formgrade.js",
]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/usr/bin/chromium"), reason="needs Chromium")
@pytest.mark.parametrize("text", ["no formula", r"\(x^2\)"])
def test_the_keys_of_the_formgrader_work_with_and_without_formulas(text):
    """nbgrader's own scripts run in the page, under its policy: they take the keys when MathJax says it is done."""
    from playwright.sync_api import sync_playwright

    head = (
        """<script>var submission_id = "s", notebook_id = "n", assignment_id = "a", base_url = "";</script>"""
    )
    head += "".join(f'<script src="/static/{name}"></script>' for name in SCRIPTS) + MATHJAX_OF_NBCONVERT
    cells = "".join(f'<div class="nbgrader_cell"><input id="{n}" class="score tabbable"></div>' for n in "pq")
    page_text = pages.formgrader_page(_page_of([text]).replace("<head>", f"<head>{head}", 1))
    page_text = page_text.replace('<p id="last">', f'{cells}<p id="last">')

    def answer(route):
        path = urlsplit(route.request.url).path
        if path == "/page":
            route.fulfill(body=page_text, content_type="text/html")
        elif path.startswith("/static/"):
            route.fulfill(path=NBGRADER / path.removeprefix("/static/"))
        else:
            route.fulfill(body="[]", content_type="application/json")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.route("**/*", answer)
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto("http://course.test/page")
        page.wait_for_function("formgrader.loaded && document.activeElement.id === 'p'", timeout=60_000)
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "q" and wrong == []
        page.keyboard.press("Escape")
        assert page.evaluate("document.activeElement.id") == ""
        with page.expect_request("**/s/next*"):
            page.keyboard.press("Control+.")


DEFINITIONS = [
    r"\def\zz{x}",
    r"\gdef\zz{x}",
    r"\let\zz=\alpha",
    r"\newcommand{\zz}{x}",
    r"\renewcommand{\zz}{x}",
    r"\newenvironment{zz}{x}{y}",
    r"\DeclareMathOperator{\zz}{x}",
    r"\DeclarePairedDelimiter{\zz}{|}{|}",
    r"\DeclarePairedDelimiterX{\zz}[1]{|}{|}{#1}",
    r"\DeclarePairedDelimiterXPP{\zz}[1]{a}{|}{|}{b}{#1}",
    r"\DeclarePairedDelimiters{\zz}{|}{|}",
    r"\Newextarrow{\zz}{5,5}{8672}",
    r"\newtagform{zz}{x}{y}",
    r"\require{newcommand}\newcommand{\zz}{x}",
]


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/usr/bin/chromium"), reason="needs Chromium")
def test_no_formula_defines_a_command_for_another(tmp_path):
    """A few kilobytes of definitions that use one another would grow to any size."""
    from playwright.sync_api import sync_playwright

    parts = [rf"\({define} x\) <b>\(\zz{{y}}\)</b> <i>\(x^2\)</i>" for define in DEFINITIONS]
    (tmp_path / "page.html").write_text(pages.feedback_page(_page_of(parts)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page()
        page.goto(f"file://{tmp_path}/page.html")
        right = "document.querySelectorAll('i mjx-container svg').length"
        page.wait_for_function(f"{right} == {len(DEFINITIONS)}", timeout=60_000)
        unknown = "document.querySelectorAll('b mjx-container :is([fill=red], [data-mjx-error])').length"
        assert page.evaluate("document.querySelectorAll('b mjx-container').length") == len(DEFINITIONS)
        assert page.evaluate(unknown) >= len(DEFINITIONS)
        browser.close()


MATHJAX_OF_NBCONVERT = "<!-- Load mathjax --><!-- End of mathjax configuration -->"


def _page_of(parts: list[str]) -> str:
    """A page as nbconvert makes one, as far as the browser is concerned, of HTML that is stored in a notebook."""
    shown = "".join(f'<div class="text_cell_render rendered_html">{part}</div>' for part in parts)
    return (
        f'<html><head></head><body><div class="panel-body">{shown}<p id="last">last</p></div></body></html>'
    )


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/usr/bin/chromium"), reason="needs Chromium")
@pytest.mark.parametrize("make", [pages.feedback_page, pages.formgrader_page])
def test_a_formula_makes_no_link_and_stays_in_its_place(make, tmp_path):
    """Nothing of this rests on what the text looks like: the formulas reach MathJax as they are."""
    from playwright.sync_api import sync_playwright

    parts = [f"\\({formula}\\)" for formula in FORMULAS] + [f"$${formula}$$" for formula in FORMULAS]
    parts += [r"<b>\(x^2\)</b>", "<p>" + "<b>a</b>" * 3000 + "</p>", "W" * 5000]
    page_text = make(_page_of(parts).replace("<head>", "<head>" + MATHJAX_OF_NBCONVERT, 1))
    (tmp_path / "page.html").write_text(page_text)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
        page.goto(f"file://{tmp_path}/page.html")
        page.wait_for_function("document.querySelectorAll('mjx-container').length > 10", timeout=60_000)
        page.wait_for_timeout(500)
        assert (
            page.evaluate("document.querySelectorAll('b mjx-container svg').length") == 1
        )  # math is typeset
        links = (
            "[...document.querySelectorAll('mjx-container *')].filter(e => /^a$/i.test(e.localName)).length"
        )
        assert page.evaluate(links) == 0
        fixed = (
            "[...document.querySelectorAll('*')].filter(e => getComputedStyle(e).position == 'fixed').length"
        )
        assert page.evaluate(fixed) == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280
        page.evaluate("document.getElementById('last').scrollIntoView()")
        seen = (
            "(() => { const r = document.getElementById('last').getBoundingClientRect();"
            "return document.elementFromPoint(r.left + 5, r.top + r.height / 2).id; })()"
        )
        assert page.evaluate(seen) == "last"
        click = "each => each.dispatchEvent(new MouseEvent('click', {bubbles: true}))"
        page.evaluate(f"document.querySelectorAll('mjx-container *').forEach({click})")
        page.wait_for_timeout(200)
        browser.close()
    assert dialogs == []


def test_what_the_grader_says_is_never_typeset():
    from casestudies.checking.report import Report
    from casestudies.grading.verdicts import message_output, report_output

    report = Report(part="x/y", possible=1.0, seed=1, summary=rf"\({LINK}\)")
    for output in (message_output(rf"\({LINK}\)"), report_output(report, False)):
        assert output["data"]["text/html"].startswith('<div class="mathjax_ignore tex2jax_ignore">')
    assert 'ignoreHtmlClass: "tex2jax_ignore|mathjax_ignore"' in pages.mathjax()


@pytest.mark.parametrize("gap", ["<wbr>", "<font>", "<!-- -->", "<center></center>", "<x-math>", "</p>"])
def test_no_command_comes_together_when_tags_are_taken_out(gap):
    from casestudies.grading.sanitise import clean_html, render_markdown

    text = rf'\(\mml{gap}Token{{mi}}[href="javascript:alert(1)"]{{C}}\)'
    for cleaned in (
        clean_html(text, math=True)[0],
        clean_html(text)[0],
        render_markdown(f"<div>{text}</div>")[0],
        render_markdown(text)[0],
        render_markdown(f"<div>$${text}$$</div>")[0],
    ):
        assert r"\mmlToken" not in cleaned and r"\mml<wbr>Token" not in cleaned


@pytest.mark.parametrize(
    "code", ["a(" * 100_000, " \n" * 30_000 + "x = 1", "x = '" + "<" * 6000 + "'", "a = 1\n" * 4000]
)
def test_code_that_costs_too_much_to_highlight_is_shown_whole(code):
    from bs4 import BeautifulSoup

    page = pages.highlighter()(code)
    assert page.count("<span") == 1
    assert BeautifulSoup(page, "html.parser").get_text().strip() == code.strip()


def test_a_page_highlights_so_much_and_no_more():
    show = pages.highlighter()
    made = [show("x = (1)\n" * 1000) for _ in range(40)]
    assert made[0].count("<span") > 1000 and made[-1].count("<span") == 1
    assert sum(each.count("<span") for each in made) < 200_000


def test_usual_code_is_highlighted_as_ever():
    from nbconvert.filters.highlight import Highlight2HTML

    code = "class A:\n\n\n    def f(self):\n        return '<'  # &\n"
    assert pages.highlighter()(code) == Highlight2HTML(pygments_lexer="python")(code)
