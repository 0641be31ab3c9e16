"""What this book needs of Sphinx beyond Jupyter Book.

- A page is executed again when the code it imports has changed, not only when its own text has.
- ``{assignment} resnet`` hands a reader over to an assignment: download, Colab, Binder.
- A page that gave a warning is read again by the next build, so that a broken page cannot turn green by
  building twice.
- A check's report, shown on a page, links to the pages beside it instead of to a published book.
- No line begins with the comma that follows a formula, or with the sign behind a percentage.
- What the search knows from ``{index}`` and the glossary survives a build that writes only some of the pages.
- The search takes ``1×1`` and ``1x1`` for one word.
- References, corners of tables and folds make sense to those who hear the page, too.
- On GitHub, links to the repository lead to the repository that is building the book.
- Where a browser allows no storage, a page's scripts work without it.
- What several explorers of a page have alike, its reader loads once; their heavy data, when they come into view.
- A page with code is offered as a notebook (see page_notebooks.py).
- Of MathJax only those parts are loaded that a page needs.
- Of the theme's icons only those are shipped that the pages show (see icons.py).
- Every page leads to the same page in the other language; the Korean ones say what is not translated yet, and show
  their figures and computed tables in Korean (see korean.py).
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import re
import zlib
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from docutils import nodes
from docutils.parsers.rst import Directive
from icons import keep_icons_in_use
from korean_search import SearchKorean
from page_notebooks import offer_notebook, published_book
from sphinx import addnodes
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.locale import _
from sphinx.search.en import SearchEnglish
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging

from casestudies.address import REPOSITORY, students
from casestudies.explorers.base import lean
from casestudies.grading.fingerprint import imports

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "casestudies"
logger = logging.getLogger(__name__)
# On a card, where no repository with the student kit is named in casestudies/address.py.
WITHOUT_KIT = "To work in Colab, download it, then choose File → Upload notebook there."

CODE_CELL = re.compile(r"^(`{3,}|:{3,})\{code-cell\}[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
FRONT_MATTER = re.compile(r"\A---\n.*?^kernelspec:\n", re.MULTILINE | re.DOTALL)


# Which code a page stands on


def imported_names(source: str) -> set[str]:
    """Dotted names that may be modules of the package: every import, also inside functions."""
    return {name for name in imports(source) if name.split(".")[0] == PACKAGE}


def module_file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split("."))
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def imports_of(path: Path) -> frozenset[str]:
    return frozenset(imported_names(path.read_text(encoding="utf-8")))


def sources_of(names: set[str]) -> set[Path]:
    """The files behind these modules and all that they import, with the data files that lie beside them."""
    files: set[Path] = set()
    waiting = {part for name in names for part in prefixes(name)}
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        path = module_file(name)
        if path is None:  # a class or a function, imported from a module that is on the list itself
            continue
        files.add(path)
        files |= {other for other in path.parent.iterdir() if other.is_file() and other.suffix != ".py"}
        waiting |= {part for found in imports_of(path) for part in prefixes(found)} - seen
    return files | set((ROOT / PACKAGE).rglob("*.json"))


def prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: end + 1]) for end in range(len(parts))]


def page_code(text: str) -> str:
    """The code cells of a page, without their options and without magic lines; none that the page only quotes."""
    text = re.sub(r"^(`{4,}).*?^\1\s*$", "", text, flags=re.DOTALL | re.MULTILINE)
    lines = "\n".join(match[2] for match in CODE_CELL.finditer(text)).splitlines()
    return "\n".join(line for line in lines if not re.match(r"\s*(:[\w-]+:|%|!)", line))


def stamp(text: str) -> str:
    """A digest of the code that the page runs on; "" for a page that imports nothing of ours."""
    names = imported_names(page_code(text))
    if not names:
        return ""
    digest = hashlib.sha256()
    for path in sorted(sources_of(names)):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def stamp_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the digest beside the kernel's name, where the execution cache looks for what identifies a page."""
    digest = stamp(source[0])
    stamps(app.env)[docname] = digest
    makers(app.env)[docname] = maker(app.config.language)
    if digest:
        source[0] = FRONT_MATTER.sub(lambda match: f"{match[0]}  sources: {digest}\n", source[0], count=1)


def stamps(env: BuildEnvironment) -> dict[str, str]:
    if not hasattr(env, "coursebook_stamps"):
        env.coursebook_stamps = {}
    return env.coursebook_stamps


# What a Korean page gets beside the messages of its own catalogue, which Sphinx watches.
SPOKEN = ("book/_ext/korean.py", "book/_ext/displayed.py", "casestudies/locale/ko.po",
    "casestudies/explorers/locale/ko.po", "book/_static/explorers.js")  # fmt: skip


@cache
def maker(language: str = "en") -> str:
    """A digest of what makes a page of its source, beside the code that it runs: this file, and Sphinx; of a Korean
    page also the words of its explorers and outputs."""
    versions = (importlib.metadata.version(name) for name in ("sphinx", "myst-nb", "jupyter-book"))
    digest = hashlib.sha256("\0".join(versions).encode() + Path(__file__).read_bytes() + EARLY.read_bytes())
    for path in SPOKEN if language == "ko" else ():
        digest.update((ROOT / path).read_bytes())
    return digest.hexdigest()[:16]


def makers(env: BuildEnvironment) -> dict[str, str]:
    if not hasattr(env, "coursebook_makers"):
        env.coursebook_makers = {}
    return env.coursebook_makers


def note_of_pages(doctrees: Path) -> Path:
    """Where a build notes of what its pages were made; `make gettext` reads there whether it is out of date."""
    return doctrees / "made_of.json"


def without_comments(app: Sphinx, error: Exception | None) -> None:
    """Readers are sent the book's own scripts without what is for whoever changes them."""
    if error is None and app.builder.format == "html":
        for source in (ROOT / "book" / "_static").glob("*.js"):
            built = Path(app.outdir, "_static", source.name)
            if built.is_file():
                built.write_text(lean(source.read_text(encoding="utf-8")), encoding="utf-8")


def keep_note_of_pages(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        known, by = stamps(app.env), makers(app.env)
        made = {page: [known[page], by.get(page, "")] for page in app.env.found_docs if page in known}
        note_of_pages(Path(app.doctreedir)).write_text(json.dumps(made, indent=1, sort_keys=True), "utf-8")


def pages_with_changed_code(
    app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set
) -> list[str]:
    imports_of.cache_clear()
    known, made = stamps(env), maker(app.config.language)
    texts = {name: Path(env.doc2path(name)) for name in env.found_docs if name in known}
    return [
        name
        for name, path in texts.items()
        if stamp(path.read_text(encoding="utf-8")) != known[name] or makers(env).get(name) != made
    ]


# The hand-over to an assignment


def notebook_of(name: str, language: str) -> str:
    """The notebook of an assignment in a language, below the repository: korean.py makes those that are Korean."""
    own = f"_build/exercises-{language}/{name}/{name}.ipynb"
    return own if (ROOT / own).is_file() else f"exercises/{name}/{name}.ipynb"


class Assignment(Directive):
    """A card with the three ways into the notebook of an assignment. The content says what it asks.

    A chapter whose notebook does not exist shows no card.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        env: BuildEnvironment = self.state.document.settings.env
        name = self.arguments[0]
        notebook = notebook_of(name, env.config.language)
        env.note_dependency(str(ROOT / notebook))
        if not (ROOT / notebook).is_file():
            logger.info(f"{env.docname}: {notebook} does not exist; the card is left out")
            return []
        card = nodes.container(classes=["assignment"])
        title = nodes.strong(text=_("Assignment {name}").format(name=name))
        card += nodes.paragraph("", "", title, classes=["assignment-title"])
        self.state.nested_parse(self.content, self.content_offset, card)
        card += self.links(notebook, env)
        return [card]

    def links(self, notebook: str, env: BuildEnvironment) -> list[nodes.Node]:
        # Sphinx copies the file beside the page. From the page's folder, book/, the root is one level up.
        download = download_reference(
            "",
            "",
            nodes.inline(text=_("Download the notebook")),
            reftarget=f"/../{notebook}",
            refdoc=env.docname,
        )
        row = nodes.paragraph(classes=["assignment-links"])
        row += download
        kit = students()
        if kit is None:
            return [row, nodes.paragraph(text=_(WITHOUT_KIT))]
        repository, branch = kit
        path = f"notebooks/{Path(notebook).name}"
        colab = f"https://colab.research.google.com/github/{repository}/blob/{branch}/{path}"
        binder = f"https://mybinder.org/v2/gh/{repository}/{quote(branch, safe='')}?urlpath=lab/tree/{path}"
        row += nodes.reference("", _("Open in Colab"), refuri=colab)
        row += nodes.reference("", _("Open in Binder"), refuri=binder)
        return [row]


# The build


def repository_of_this_build(app: Sphinx, config: Any) -> None:
    """The address in casestudies/address.py; where GitHub builds the book, its own repository's."""
    repository = os.environ.get("GITHUB_REPOSITORY")
    server = os.environ.get("GITHUB_SERVER_URL", "https://github.com")
    config.html_theme_options["repository_url"] = f"{server}/{repository}" if repository else REPOSITORY


def link_reports_to_this_book(app: Sphinx, config: Any) -> None:
    """The kernels inherit this; it is what a check's report writes before the name of a page.

    The pages' notebooks are read elsewhere, and keep the address where the book is published.
    """
    config.published_book = published_book(config.html_theme_options["repository_url"], config.language)
    os.environ["CASESTUDIES_BOOK"] = "."


# Without its menu, which is two fifths of the whole and makes each formula a stop of the tab key; what those need who
# hear the page, the formulas as MathML, is there without it.
OF_MATHJAX = ["core", "input/tex", "output/chtml", "a11y/assistive-mml"]


def mathjax_in_parts(app: Sphinx, config: Any) -> None:
    """One script of a megabyte holds up a telephone for longer than its parts do one after the other."""
    config.mathjax_path = "mathjax/startup.js"
    config.mathjax3_config = {**(config.mathjax3_config or {}), "loader": {"load": OF_MATHJAX}}


def forget_pages_that_warned(app: Sphinx, error: Exception | None) -> None:
    """Sphinx keeps a page that it has read, warnings or not, and would not warn again."""
    if error is not None or app._warncount:
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)


EARLY = Path(__file__).with_name("storage.js")


@cache
def early_script() -> str:
    """What runs before all other scripts of a page; inline, or the page would wait for it."""
    lines = EARLY.read_text(encoding="utf-8").splitlines()
    return f"<script>{' '.join(line.strip() for line in lines if not line.startswith('//'))}</script>\n"


def storage_for_all(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Where a browser allows none, scripts of the theme would stop: see storage.js."""
    context["metatags"] = early_script() + context.get("metatags", "")


def without_thebe(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leaves out what the theme sets up for running cells on a server: unused, twice, from another host."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "THEBE_JS_URL" not in str(getattr(script, "attributes", {}).get("body", ""))
        and "sphinx-thebe" not in str(getattr(script, "filename", script))
    ]


WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
SHARED = ("_esm", "_css")


def said_once(state: str) -> str:
    """The state of a page's widgets, with what their scripts and styles begin with alike once, beside them.

    explorers.js puts it in front of each again. A compressor would not find the repetition: it lies too far back.
    """
    held = json.loads(state)
    records = [record["state"] for record in held["state"].values() if "_esm" in record["state"]]
    shared = {name: os.path.commonprefix([record[name] for record in records]) for name in SHARED}
    for record in records:
        record |= {name: record[name].removeprefix(shared[name]) for name in SHARED}
    return json.dumps(held | {"shared": shared}).replace("</", "<\\/")


HEAVY = 10_000  # bytes, compressed, of one value in the state of an explorer: images, maps, trained weights
DATA = "_static/explorers"


def compressed(value: object) -> int:
    """The bytes that a value takes on its way to a reader: drawings are long, and light."""
    return len(zlib.compress(json.dumps(value).encode()))


def apart(state: str, folder: str = DATA) -> tuple[str, dict[str, str]]:
    """The state of a page's widgets without the heavy data, and these as scripts by their names,
    which the page finds in `folder`.

    explorers.js loads them when their explorer comes near the view. A page that is opened as a file may load scripts
    and nothing else, hence a script.
    """
    held = json.loads(state)
    files: dict[str, str] = {}
    for record in held["state"].values():
        heavy = {key: value for key, value in record["state"].items()
            if not key.startswith("_") and compressed(value) > HEAVY}  # fmt: skip
        if not heavy or "_esm" not in record["state"]:
            continue
        record["state"] = {key: value for key, value in record["state"].items() if key not in heavy}
        record["apart"] = []
        for key, value in heavy.items():
            data = json.dumps({key: value})
            name = hashlib.sha256(data.encode()).hexdigest()[:16]
            detail = f'{{detail: {{name: "{name}", data: {data}}}}}'
            files[name] = f'dispatchEvent(new CustomEvent("explorer-data", {detail}));\n'
            record["apart"].append({"name": name, "file": f"{folder}/{name}.js"})
    return json.dumps(held).replace("</", "<\\/"), files


def light_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say once what several explorers of a page have alike, and put heavy data into files of their own."""

    def light(script: Any) -> Any:
        attributes = getattr(script, "attributes", {})
        if attributes.get("type") != WIDGET_STATE:
            return script
        body, files = apart(said_once(attributes["body"]), context["pathto"](DATA, True))
        folder = Path(app.outdir, DATA)
        for name, text in files.items():
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.js").write_text(text, encoding="utf-8")
        return type(script)(script.filename, priority=script.priority, **{**attributes, "body": body})

    context["script_files"] = [light(script) for script in context.get("script_files", [])]


def drop_data_of_no_page(app: Sphinx, error: Exception | None) -> None:
    """Data that have changed have another name; the files with the old one would stay."""
    if error is not None or app.builder.format != "html":
        return
    said = "".join(path.read_text(encoding="utf-8") for path in Path(app.outdir).glob("*.html"))
    for file in Path(app.outdir, DATA).glob("*.js"):
        if file.name not in said:
            file.unlink()


def markup_for_all(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Three things that those notice who hear the page.

    Docutils opens a list of the references and puts no list items into it; the corner of a table is a heading without
    words; and a fold has a name that is not what it says.
    """
    if "body" in context:
        body = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')
        body = re.sub(r"<th( [^>]*)?>(?:<p></p>)?</th>", r"<td\1></td>", body)
        context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")


# Two languages


def language_switch(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """A button to the same page in the other language; places.js adds the place on the page."""
    korean = app.config.language == "ko"
    context.setdefault("header_buttons", []).insert(
        0,
        {
            "type": "link",
            "url": f"{'../' if korean else 'ko/'}{page}.html",
            "text": "English" if korean else "한국어",
            "icon": "fas fa-language",
            "label": "language-switch",
            "classes": "language-switch",
        },
    )
    there, here = ("en", "ko") if korean else ("ko", "en")
    other = context["header_buttons"][0]["url"]
    context["metatags"] = (
        f'{context.get("metatags", "")}<link rel="alternate" hreflang="{there}" href="{other}" />\n'
        f'<link rel="alternate" hreflang="{here}" href="{page}.html" />\n'
    )


def scripts_of_page(app: Sphinx, page: str) -> list[tuple[str | None, dict[str, str]]]:
    from myst_nb.sphinx_ext import NbMetadataCollector

    return list(NbMetadataCollector.get_js_files(app.env, page).values())


def words_of_the_edition(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """On Korean pages: a note, and which parts are English."""
    if app.config.language == "ko" and doctree is not None and "body" in context:
        import korean

        body = korean.upright(korean.with_note(page, context["body"]))
        # The state of the widgets, which MyST-NB puts into the page's scripts.
        state = (options.get("body", "") for _, options in scripts_of_page(app, page))
        words = korean.explorers(body + "".join(state))
        context["body"] = korean.in_english(korean.stand_ins(body)) + words


def words_of_the_theme(app: Sphinx) -> None:
    if app.config.language == "ko":
        import korean

        korean.before_the_theme()


def outputs_in_korean(app: Sphinx, doctree: nodes.document) -> None:
    """Put the Korean words into what the cells of a page display."""
    if app.config.language != "ko":
        return
    import displayed
    import korean

    page = app.env.docname
    text = Path(app.env.doc2path(page)).read_text(encoding="utf-8")
    displayed.translate(doctree, page_code(text), korean.messages(page, displayed.CONTEXT))
    words = korean.messages(page, displayed.FORMULA)
    displayed.formulas(doctree, lambda kind, text: words.get(text, text))


class FormulaWithItsPunctuation(SphinxPostTransform):
    """A typeset formula is a box of its own, and a browser may break the line on either side of it.

    In Korean a particle follows it without a blank.
    """

    default_priority = 500
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for formula in list(self.document.findall(nodes.math)):
            line, place = formula.parent, formula.parent.index(formula)
            before, after = (line[i] if 0 <= i < len(line) else None for i in (place - 1, place + 1))
            together = nodes.inline(classes=["together"])
            line[place] = together
            if isinstance(before, nodes.Text):
                opening = re.search(r"[(\[“‘]*$", before).group()
                line[place - 1] = nodes.Text(before.removesuffix(opening))
                together += nodes.Text(opening)
            together += formula
            if isinstance(after, nodes.Text):
                closing = re.match(r"(?:[-’]\w+|[가-힣]{1,4}(?![가-힣]))?[.,;:!?)\]”’]*", after).group()
                line[place + 1] = nodes.Text(after.removeprefix(closing))
                together += nodes.Text(closing)


class PercentagesInOnePiece(SphinxPostTransform):
    """A number and its per cent sign stay in one line."""

    default_priority = 510
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for words in list(self.document.findall(nodes.Text)):
            code = isinstance(words.parent, nodes.literal | nodes.literal_block | nodes.math | nodes.raw)
            if not code and re.search(r"\d %", words):
                words.parent.replace(words, nodes.Text(re.sub(r"(?<=\d) %", "\N{NO-BREAK SPACE}%", words)))


@cache
def known_mistakes() -> dict[str, dict[str, list[str]]]:
    """By page, and by place on it: what the checks call the mistakes whose reports lead there."""
    # The checks of all assignments, which a build that writes nothing does not need.
    from casestudies.checking import parts

    found: dict[str, dict[str, list[str]]] = {}
    for part in parts.parts().values():
        for known in part.mistakes:
            page, _, place = known.see.partition(".html#")
            names = found.setdefault(page, {}).setdefault(place, [])
            names += [name for name in (known.id, known.id.replace("_", " ")) if name not in names]
    return found


class MistakesInTheSearch(SphinxPostTransform):
    """A mistake is found by its name, typed with underscores or spaces, where the page says what is wrong in it.

    Only the search sees these entries: in the index at the end of the book they would bury the others.
    """

    default_priority = 520
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for place, names in known_mistakes().get(self.env.docname, {}).items():
            entries = [("single", name, place, "", None) for name in names]
            self.document.append(addnodes.index(entries=entries))


class SearchForSizes(SearchEnglish):
    """English, in which sizes such as 3×3 are words, also when they are typed as 3x3 or 3 × 3."""

    js_splitter_code = r"""
function splitQuery(query) {
  return query
    .replace(/(\d)\s*×\s*(?=\d)/g, "$1x")
    .split(/[^\p{Letter}\p{Number}_\p{Emoji_Presentation}]+/gu)
    .filter((term) => term);
}
"""

    def split(self, input: str) -> list[str]:  # Sphinx calls the argument so
        return super().split(re.sub(r"(?<=\d)\s*×\s*(?=\d)", "x", input))


def index_entries_of(app: Sphinx) -> Path:
    return Path(app.doctreedir, "search_index_entries.json")


def restore_index_entries(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Sphinx pickles its environment before it writes the pages, and with them notes these entries: the next build
    would know only those of the pages that it writes. Without our own note all pages are written once more."""
    try:
        kept = json.loads(index_entries_of(app).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return sorted(env.found_docs)
    for page, entries in kept.items():
        if page in env.found_docs:
            env._search_index_index_entries.setdefault(page, [tuple(entry) for entry in entries])
    return []


def keep_index_entries(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        text = json.dumps(app.env._search_index_index_entries, ensure_ascii=False)
        index_entries_of(app).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("html-page-context", without_thebe, priority=900)
    app.connect("html-page-context", light_scripts, priority=900)
    app.connect("html-page-context", markup_for_all)
    app.connect("html-page-context", storage_for_all, priority=700)
    app.connect("html-page-context", offer_notebook)
    app.add_directive("assignment", Assignment)
    app.add_search_language(SearchForSizes)
    app.add_search_language(SearchKorean)
    app.connect("doctree-read", outputs_in_korean)
    app.connect("html-page-context", language_switch, priority=600)
    app.connect("html-page-context", words_of_the_edition)
    app.connect("builder-inited", words_of_the_theme)
    app.add_post_transform(FormulaWithItsPunctuation)
    app.add_post_transform(PercentagesInOnePiece)
    app.add_post_transform(MistakesInTheSearch)
    app.add_config_value("published_book", "", "")
    app.connect("config-inited", repository_of_this_build, priority=100)
    app.connect("config-inited", link_reports_to_this_book)
    app.connect("config-inited", mathjax_in_parts)
    app.connect("source-read", stamp_page)
    app.connect("env-get-outdated", pages_with_changed_code)
    app.connect("env-updated", restore_index_entries)
    app.connect("build-finished", keep_index_entries)
    app.connect("build-finished", keep_note_of_pages)
    app.connect("build-finished", drop_data_of_no_page)
    app.connect("build-finished", without_comments)
    app.connect("build-finished", keep_icons_in_use)
    app.connect("build-finished", forget_pages_that_warned)
    return {"version": "2", "env_version": 2, "parallel_read_safe": False, "parallel_write_safe": True}
