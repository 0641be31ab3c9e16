"""The book's sources: what must hold before anything is built."""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from casestudies import address
from casestudies.grading.demands import anchors, prose

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
PAGES = sorted(path for path in BOOK.glob("*.md") if not path.name.startswith("_"))
CHAPTERS = [path for path in PAGES if "```{code-cell}" in path.read_text(encoding="utf-8")]


def extension() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coursebook", BOOK / "_ext" / "coursebook.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["coursebook"] = module
    spec.loader.exec_module(module)
    return module


def text_of(page: str) -> str:
    return (BOOK / f"{page}.md").read_text(encoding="utf-8")


def names_in_toc() -> list[str]:
    toc = yaml.safe_load((BOOK / "_toc.yml").read_text())
    return [toc["root"]] + [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]


def calls(text: str, name: str) -> list[ast.Call]:
    tree = ast.parse(extension().page_code(text))
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def test_every_page_is_in_the_table_of_contents_once() -> None:
    assert sorted(names_in_toc()) == [path.stem for path in PAGES]


def test_explicit_anchors_are_unique_in_the_book() -> None:
    found = [
        name for path in PAGES for name in re.findall(r"^\(([\w-]+)\)=$", path.read_text(), re.MULTILINE)
    ]
    assert len(found) == len(set(found))


def test_checks_link_to_places_that_exist() -> None:
    pattern = re.compile(r'see="(\w+)\.html#([\w-]+)"')
    links = {
        link
        for path in (ROOT / "casestudies" / "checks").glob("*.py")
        for link in pattern.findall(path.read_text(encoding="utf-8"))
    }
    broken = {f"{page}.html#{anchor}" for page, anchor in links if anchor not in anchors(text_of(page))}
    assert links and not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_links_to_anchors_lead_somewhere(path: Path) -> None:
    explicit = {
        name for page in PAGES for name in re.findall(r"^\(([\w-]+)\)=$", page.read_text(), re.MULTILINE)
    }
    text = path.read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(#([\w-]+)\)", text))
    assert not linked - explicit - anchors(text)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_figure_says_what_it_shows(path: Path) -> None:
    for call in calls(path.read_text(encoding="utf-8"), "show"):
        alternatives = [keyword.value for keyword in call.keywords if keyword.arg == "alt"]
        assert alternatives and isinstance(alternatives[0], ast.Constant), f"line {call.lineno}: no alt text"
        assert len(alternatives[0].value.split()) >= 15, f"line {call.lineno}: the alt text says too little"


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_figures_take_their_colours_by_role(path: Path) -> None:
    code = extension().page_code(path.read_text(encoding="utf-8"))
    assert not re.findall(r"#[0-9a-fA-F]{6}\b|color=\"(?!none)", code)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_large_number_is_typed_into_the_prose(path: Path) -> None:
    # A published fact that no code can compute is not a cost: sizes of data sets, in words of their papers.
    allowed = {"1,433", "50,000", "1,202", "60,000"}
    assert set(re.findall(r"\d{1,3}(?:,\d{3})+", prose(path.read_text(encoding="utf-8")))) <= allowed


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_measured_page_asserts_something(path: Path) -> None:
    tree = ast.parse(extension().page_code(path.read_text(encoding="utf-8")))
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))


def test_the_bibliography_can_be_read() -> None:
    from pybtex.database import parse_file

    assert len(parse_file(str(BOOK / "references.bib")).entries) > 50


def test_every_citation_is_in_the_bibliography_and_every_entry_is_cited() -> None:
    entries = re.findall(
        r"^@\w+\{(\w+),", (BOOK / "references.bib").read_text(encoding="utf-8"), re.MULTILINE
    )
    cited = {
        key.strip()
        for path in PAGES
        for group in re.findall(r"\{cite:\w+\}`([^`]+)`", path.read_text(encoding="utf-8"))
        for key in group.split(",")
    }
    assert cited == set(entries) and len(entries) == len(set(entries))


def test_quoted_source_exists() -> None:
    missing = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"^(`{4,}).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)  # pages quoted
        for quoted, options in re.findall(r"\{literalinclude\} (\S+)\n((?::[^\n]*\n)*)", text):
            source = (BOOK / quoted).resolve()
            names = re.findall(r":pyobject: (\w+)", options)
            tree = ast.parse(source.read_text(encoding="utf-8"))
            defined = {n.name for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
            missing += [f"{path.stem}: {name}" for name in names if name not in defined]
    assert not missing


def test_the_repository_is_named_in_one_place() -> None:
    owner = address.REPOSITORY.split("/")[-2]
    written = [*PAGES, ROOT / "_config.yml", *(ROOT / "solutions").glob("*.md"), ROOT / "pyproject.toml"]
    written += (path for path in (ROOT / "casestudies").rglob("*.py") if path.name != "address.py")
    assert not [path.name for path in written if owner in path.read_text(encoding="utf-8")]


# Where the cards of the assignments lead


def links_of_a_card(monkeypatch: pytest.MonkeyPatch, kit: str) -> tuple[list[str], str]:
    """The addresses on a card, and its text."""
    from docutils import nodes

    monkeypatch.setenv("CASESTUDIES_STUDENTS", kit)
    card = nodes.container()
    card += extension().Assignment.links(None, "exercises/vgg/vgg.ipynb", SimpleNamespace(docname="vgg"))
    found = [each["refuri"] for each in card.findall(nodes.reference) if "refuri" in each]
    return found, card.astext()


def test_without_a_repository_of_the_kit_a_card_leads_nowhere_else_and_says_what_to_do(monkeypatch) -> None:
    links, text = links_of_a_card(monkeypatch, "")
    assert links == [] and "Download the notebook" in text and "Upload notebook" in text


def test_colab_and_binder_open_the_students_repository_and_its_branch(monkeypatch) -> None:
    links, _ = links_of_a_card(monkeypatch, "https://github.com/you/for-students@term/1")
    assert links == [
        "https://colab.research.google.com/github/you/for-students/blob/term/1/notebooks/vgg.ipynb",
        "https://mybinder.org/v2/gh/you/for-students/term%2F1?urlpath=lab/tree/notebooks/vgg.ipynb",
    ]


@pytest.mark.parametrize(
    "wrong", [address.REPOSITORY, f"{address.REPOSITORY}.git", "you/students", "ftp://x/y"]
)
def test_the_repository_with_the_solutions_and_what_is_none_are_refused(monkeypatch, wrong) -> None:
    monkeypatch.setenv("CASESTUDIES_STUDENTS", wrong)
    with pytest.raises(ValueError, match="where the solutions are|expected https://github.com/"):
        address.students()


def test_no_page_sends_a_reader_to_run_it_where_the_solutions_are() -> None:
    assert "launch_buttons" not in (ROOT / "_config.yml").read_text()
    assert not (ROOT / "binder").exists()  # the student kit has it


# The extension: which code a page stands on


def page(code: str) -> str:
    return f"---\nkernelspec:\n  name: python3\n---\n# A page\n\n```{{code-cell}} python\n:tags: [x]\n{code}\n```\n"


def test_stamp_follows_imports_of_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    coursebook = extension()
    package = tmp_path / "casestudies"
    (package / "networks").mkdir(parents=True)
    for name in ("__init__.py", "networks/__init__.py"):
        (package / name).write_text("")
    (package / "costs.py").write_text("def f():\n    from casestudies.networks import vgg\n")
    (package / "networks" / "vgg.py").write_text("A = 1\n")
    (package / "unused.py").write_text("A = 1\n")
    monkeypatch.setattr(coursebook, "ROOT", tmp_path)
    text = page("from casestudies.costs import ledger")
    before = coursebook.stamp(text)

    (package / "unused.py").write_text("A = 2\n")
    coursebook.imports_of.cache_clear()
    assert coursebook.stamp(text) == before

    (package / "networks" / "vgg.py").write_text("A = 2\n")
    coursebook.imports_of.cache_clear()
    assert coursebook.stamp(text) != before


def test_stamp_of_a_page_without_our_code_is_empty() -> None:
    assert extension().stamp(page("import torch")) == ""


def test_stamp_ignores_what_is_not_in_a_cell() -> None:
    assert extension().stamp(page("import torch") + "\n    from casestudies import costs\n") == ""


def test_page_code_leaves_out_options_and_magic_lines() -> None:
    assert extension().page_code(page("%pip install x\na = 1")).strip() == "a = 1"


def test_extension_puts_the_stamp_where_the_cache_looks() -> None:
    coursebook = extension()

    class App:
        class env:  # noqa: N801  (stands in for Sphinx's environment)
            pass

        class config:  # noqa: N801  (and for its configuration)
            language = "en"

    source = [page("from casestudies import costs")]
    coursebook.stamp_page(App, "page", source)
    front = yaml.safe_load(source[0].split("---\n")[1])
    assert front["kernelspec"]["sources"] == coursebook.stamp(page("from casestudies import costs"))


def small_site(folder: Path, pages: dict[str, str], prepare: Callable[[Any], None]) -> Callable[[], Path]:
    """A function that builds a site of these pages with an extension, and returns the folder of the result."""
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace

    (folder / "conf.py").write_text("")
    for name, body in pages.items():
        (folder / f"{name}.rst").write_text(f"{name}\n=====\n\n{body}\n\nText.\n")

    def build() -> Path:
        with docutils_namespace():
            app = Sphinx(folder, folder, folder / "html", folder / "trees", "html", status=None, warning=None)
            prepare(app)
            app.build()
        return folder / "html"

    return build


def test_the_search_keeps_its_entries_when_one_page_is_written(tmp_path: Path) -> None:
    """As Sphinx builds by itself, the second build knows only the entries of the pages that it writes."""
    coursebook = extension()
    pages = {"index": ".. toctree::\n\n   one\n   two", "one": ".. index:: alpha", "two": ".. index:: beta"}

    def prepare(app: Any) -> None:
        app.connect("env-updated", coursebook.restore_index_entries)
        app.connect("build-finished", coursebook.keep_index_entries)

    build = small_site(tmp_path, pages, prepare)
    build()
    with (tmp_path / "one.rst").open("a") as page:
        page.write("More.\n")
    text = (build() / "searchindex.js").read_text()
    found = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    assert set(found["indexentries"]) == {"alpha", "beta"}


def test_a_line_may_not_begin_with_the_sign_behind_a_formula_or_a_number(tmp_path: Path) -> None:
    coursebook = extension()

    def prepare(app: Any) -> None:
        app.add_post_transform(coursebook.FormulaWithItsPunctuation)
        app.add_post_transform(coursebook.PercentagesInOnePiece)

    body = "It (:math:`a`), the :math:`k`-th, gives 5 % and ``5 % 2``."
    text = (small_site(tmp_path, {"index": body}, prepare)() / "index.html").read_text()
    for name, before, after in (("a", "(", "),"), ("k", "", "-th,")):
        formula = rf'<span class="math[^"]*">\\\({name}\\\)</span>'
        assert re.search(
            rf'<span class="together">{re.escape(before)}{formula}{re.escape(after)}</span>', text
        )
    assert "5\N{NO-BREAK SPACE}%" in text
    assert re.sub("<[^>]+>", "", text).count("5 % 2") == 1


# Pages as notebooks

SOURCE = """# A title

```{code-cell} python
:tags: [remove-cell]

import math
```

Some text with {eq}`one`.

```{code-cell} python
:tags: [hide-input]

print(math.pi)
```

````
```{code-cell} python
quoted, not run
```
````
"""
BODY = r"""<section id="a-title"><h1>A title<a class="headerlink" href="#a-title">#</a></h1>
<div class="math" id="equation-one"><span class="eqno">(1.1)</span>\[a &lt; b\]</div>
<p>Some <em>text</em> with <a class="reference" href="#equation-one"><span>(1.1)</span></a>
and <span class="math">\(c &amp; d\)</span>.</p>
<div class="cell docutils"><div class="cell_input"><pre>print(math.pi)</pre></div><svg><text>3</text></svg></div>
<div class="highlight-python"><div class="highlight"><pre><span class="k">def</span> f():

    <span class="k">pass</span>
</pre></div></div>
<div class="admonition"><p>See</p><pre>one

two</pre></div></section>"""


def page_notebooks() -> ModuleType:
    pytest.importorskip("bs4")
    name = BOOK / "_ext" / "page_notebooks.py"
    spec = importlib.util.spec_from_file_location("page_notebooks", name)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_notebook_of_a_page_has_its_cells_and_its_text_without_directives() -> None:
    made = page_notebooks().notebook(BODY, SOURCE, "page", "https://book/")
    assert [(cell["cell_type"], cell["source"]) for cell in made["cells"]] == [
        (
            "markdown",
            "# A title\n\n<div>$$a < b \\tag{1.1}$$</div>\n\n"
            '<p>Some <em>text</em> with <a href="https://book/page.html#equation-one">(1.1)</a> and $c & d$.</p>',
        ),
        ("code", "import math"),
        ("code", "print(math.pi)"),
        (
            "markdown",
            "```python\ndef f():\n\n    pass\n```\n\n<div><p>See</p><pre>one&#10;&#10;two</pre></div>",
        ),
    ]


def test_notebook_of_an_unpublished_book_has_no_links_that_lead_nowhere() -> None:
    body = BODY.replace("<em>text</em>", '<em>text</em> <a href="https://arxiv.org/">there</a>')
    text = page_notebooks().notebook(body, SOURCE, "page", "")["cells"][0]["source"]
    assert '<em>text</em> <a href="https://arxiv.org/">there</a> with (1.1) and $c' in text


@pytest.mark.parametrize(
    ("named", "repository", "language", "expected"),
    [
        ("https://book.example/x/", None, "en", "https://book.example/x/page.html"),
        ("https://book.example/x", None, "ko", "https://book.example/x/ko/page.html"),
        ("", "ada/course", "en", "https://ada.github.io/course/page.html"),
        (".", "ada/course", "ko", "https://ada.github.io/course/ko/page.html"),
    ],
)
def test_downloaded_notebook_leads_to_the_published_book_though_reports_lead_to_this_one(
    named: str, repository: str, language: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coursebook = extension()
    monkeypatch.setenv("CASESTUDIES_BOOK", named)
    monkeypatch.setenv("GITHUB_REPOSITORY", repository or "")
    config = SimpleNamespace(html_theme_options={}, language=language)
    coursebook.repository_of_this_build(None, config)
    coursebook.link_reports_to_this_book(None, config)
    assert os.environ["CASESTUDIES_BOOK"] == "."
    source = tmp_path / "page.md"
    source.write_text(SOURCE, encoding="utf-8")
    env = SimpleNamespace(found_docs={"page"}, doc2path=lambda page: source)
    app = SimpleNamespace(config=config, env=env, outdir=tmp_path)
    coursebook.offer_notebook(app, "page", "", {"body": BODY}, None)
    made = (tmp_path / "_sources" / "page.ipynb").read_text(encoding="utf-8")
    assert f'href=\\"{expected}#equation-one\\"' in made
    # The kit lies beside the English edition; the cell comes before all that needs what it installs.
    home = expected.removesuffix("page.html").removesuffix("ko/")
    first = next(cell for cell in json.loads(made)["cells"] if cell["cell_type"] == "code")
    assert f"@ {home}student-kit.zip#" in first["source"]
    assert made.count("student-kit.zip") == 1


@pytest.mark.parametrize("repository", ["", "https://github.com/ada/for-students@autumn"])
def test_rocket_opens_the_page_that_the_student_kit_holds(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from casestudies.grading.student_kit import built_pages

    coursebook = extension()
    monkeypatch.setenv("CASESTUDIES_STUDENTS", repository)
    folder = tmp_path / "_build" / "html" / "_sources"
    folder.mkdir(parents=True)
    (folder / "lenet.ipynb").write_text("{}")
    context: dict[str, object] = {"header_buttons": [], "ipynb_source": "lenet.ipynb"}
    coursebook.rocket(None, "lenet", "", context, None)
    coursebook.rocket(None, "genindex", "", context | {"ipynb_source": None}, None)
    if not repository:
        assert context["header_buttons"] == []
        return
    (group,) = context["header_buttons"]
    (held,) = built_pages(tmp_path)
    places = [button["url"] for button in group["buttons"]]
    assert places == [
        f"https://colab.research.google.com/github/ada/for-students/blob/autumn/{held}",
        f"https://mybinder.org/v2/gh/ada/for-students/autumn?urlpath=lab/tree/{held}",
    ]
    assert built_pages(tmp_path, "ko") == {}


def test_cell_that_a_page_does_not_show_where_it_should_is_refused() -> None:
    with pytest.raises(ValueError, match="page has 1 cells to be shown, and shows 0"):
        page_notebooks().notebook("<p>Nothing.</p>", SOURCE, "page", "https://book/")
