"""`make gettext`: every message of the book into locale/ko/LC_MESSAGES/<page>.po, with what is translated already.

The pages are read as for the book, without running their code. A catalogue holds the messages of its page in their
order, without dates, line numbers and paths, so that it changes where the page does. A message whose English has
changed keeps its Korean and is marked fuzzy, with the English that it was made from.

What a page computes is shown in words, too: labels, captions and alt texts of figures, cells of tables. These
messages (context "figure") come from the last build of the book, where that was made of the present page and code, by
the present extension, and stay as they are where it was not; numbers in them are placeholders, {1}, {2}.

What is not in the catalogues, and stays as it is: code cells and quoted sources with their comments, what cells print
whose code is shown, display formulas, docstrings on the pages of the package (`api`, `api_graph`, `api_parts`,
`api_compared`), and the bibliography.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import pickle
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import displayed
import korean
import polib
import yaml
from coursebook import maker, note_of_pages, page_code, stamp
from docutils import nodes
from gate import ASSIGNMENTS, EXPLORERS, LOCALE, PACKAGE, ROOT, pages, path_of

Memory = dict[tuple[str | None, str], str]  # Korean by context and English

WIDTH = 100
SIMILAR = 60  # of 100: from here on an old message is taken for an earlier wording of a new one
BUILT = ROOT / "_build" / ".doctrees"
SHOWN = "shown by a cell"  # ends the comment of a message that comes from the outputs of a page
INTERFACE = "sphinx"  # what Sphinx calls this catalogue
READ = ROOT / "_build" / ".doctrees-gettext"


@dataclass(frozen=True)
class Message:
    """One English message, and what tells a translator where it stands: its section, its kind."""

    english: str
    comment: str
    context: str | None = None

    @property
    def key(self) -> tuple[str | None, str]:
        return self.context, self.english


def read_book(language: str = "en") -> Any:
    """Sphinx, with all pages read but no cell run."""
    sys.path.insert(0, str(Path(__file__).parent))
    from jupyter_book.config import get_final_config
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace, patch_docutils

    config, _ = get_final_config(
        user_yaml=ROOT / "_config.yml",
        cli_config={"latex_individualpages": False},
        sourcedir=ROOT / "book",
        validate=False,
    )
    config |= {
        "nb_execution_mode": "off",
        "language": language,
        "external_toc_path": str(ROOT / "book/_toc.yml"),
    }
    environment = dict(os.environ)  # in which a build tells the kernels where the book is
    try:
        with patch_docutils(), docutils_namespace():
            app = Sphinx(
                str(ROOT / "book"),
                None,
                str(READ.with_name("gettext")),
                str(READ),
                "dummy",
                confoverrides=config,
                status=StringIO(),
                warning=StringIO(),
            )
            app.builder.read()
    finally:
        os.environ.clear()
        os.environ.update(environment)
    return app


def messages_of(doctree: nodes.document) -> Iterator[Message]:
    """What is to be translated of a page as Sphinx has read it, in its order."""
    from sphinx.util.nodes import extract_messages

    for node, english in extract_messages(doctree):
        if isinstance(node, nodes.math_block):
            yield from words_of_formula(node)
        if isinstance(node, nodes.math_block | nodes.literal_block | nodes.raw) or not english.strip():
            continue
        if re.search("docstring of|<autosummary>", node.source or "") or within_output(node):
            continue
        yield Message(english, comment_of(node))


def words_of_formula(node: nodes.math_block) -> Iterator[Message]:
    found: list[str] = []
    displayed.in_formula(node.astext(), lambda kind, text: found.append(text) or text)
    yield from (Message(text, "[label] in a formula", displayed.FORMULA) for text in found)


def out_of_date(page: str) -> str:
    """Why the last build does not tell what a page displays; "" where it does, or where the page has no source."""
    built, source = BUILT / f"{page}.doctree", ROOT / "book" / f"{page}.md"
    if not source.is_file():
        return ""
    if not built.is_file():
        return "they are not built"
    if built.stat().st_mtime < source.stat().st_mtime:
        return "they were built before their last edit"
    try:
        made = json.loads(note_of_pages(BUILT).read_text(encoding="utf-8")).get(page)
    except (OSError, ValueError):
        made = None
    now = [stamp(source.read_text(encoding="utf-8")), maker()]
    if made is None or made[1] != now[1]:
        return "another version of the book's extension, or of Sphinx, built them"
    return "" if made == now else "they were built with other code of the package"


def displayed_by(page: str) -> list[Message] | None:
    """The words in the outputs of a page as the last build has computed them; None where that is out of date."""
    from sphinx.util.nodes import extract_messages

    built, source = BUILT / f"{page}.doctree", ROOT / "book" / f"{page}.md"
    if not source.is_file() or out_of_date(page):
        return None
    doctree = pickle.loads(built.read_bytes())
    sentences = [
        Message(english, f"{comment_of(node)} {SHOWN}".strip())
        for node, english in extract_messages(doctree)
        if within_output(node) and any(isinstance(child, nodes.Element) for child in node.children)
        if displayed.has_words(english) and isinstance(node, nodes.paragraph)
    ]
    code = page_code(source.read_text(encoding="utf-8"))
    words = displayed.words_of(doctree, code)
    return sentences + [Message(text, f"[{kind}] {SHOWN}", displayed.CONTEXT) for kind, text in words]


def kept_words(page: str) -> list[Message]:
    """What the catalogue of a page has of its outputs."""
    path = path_of(page)
    entries = polib.pofile(str(path)) if path.is_file() else []
    return [
        Message(entry.msgid, entry.comment, entry.msgctxt)
        for entry in entries
        if entry.comment.endswith(SHOWN) and not entry.obsolete
    ]


def within_output(node: nodes.Node) -> bool:
    while node is not None:
        if isinstance(node, nodes.Element) and "cell_output" in node.get("classes", []):
            return True
        node = node.parent
    return False


def comment_of(node: nodes.Element) -> str:
    """``[heading] Output size``: the kind of a message, where it is not running text, and its section."""
    kinds: list[tuple[type[nodes.Element], str]] = [
        (nodes.title, "heading"),
        (nodes.rubric, "heading"),
        (nodes.term, "term"),
        (nodes.caption, "label"),
    ]
    kind = next((name for one, name in kinds if isinstance(node, one)), "")
    section, up = "", node.parent
    in_table = in_glossary = False
    while up is not None:
        in_table |= isinstance(up, nodes.entry)
        in_glossary |= isinstance(up, nodes.definition_list) and "glossary" in up.get("classes", [])
        if isinstance(up, nodes.section) and not section and not (kind == "heading" and up is node.parent):
            section = up[up.first_child_matching_class(nodes.title)].astext()
        up = up.parent
    kind = kind or ("label" if in_table else "definition" if in_glossary else "")
    return " ".join(filter(None, [f"[{kind}]" if kind else "", section]))


def captions() -> list[Message]:
    """The parts of the table of contents, which stand with the page that it begins with."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    return [Message(part["caption"], "[heading] Table of contents") for part in toc["parts"]]


def interface() -> list[Message]:
    """The words around the pages: those of our extension, and those of the themes and of Sphinx that have no Korean.

    The theme's own catalogue is a machine's work; ours goes before it (korean.py).
    """
    import pydata_sphinx_theme
    import sphinx
    import sphinx_book_theme
    import sphinx_copybutton

    extension = ast.parse((Path(__file__).parent / "coursebook.py").read_text(encoding="utf-8"))
    said = list(handed_to("_", extension))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    said.append(config["sphinx"]["config"]["html_theme_options"]["search_bar_text"])
    theme = polib.pofile(str(Path(pydata_sphinx_theme.__file__).parent / "locale" / "sphinx.pot"))
    said += [entry.msgid for entry in theme]
    outer, inner = (Path(str(each.__file__)).parent for each in (sphinx_book_theme, pydata_sphinx_theme))
    templates = sorted([*outer.rglob("*.html"), *inner.rglob("*.html")])
    for path in [*sorted(outer.rglob("*.py")), *templates]:
        text = path.read_text(encoding="utf-8")
        if path.is_relative_to(outer):
            said += THEMES.findall(text)
        said += [match["words"] for match in korean.ATTRIBUTE.finditer(text)]
    for path in outer.rglob("theme.conf"):
        said += re.findall(r"^toc_title *= *(\w.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    button = Path(str(sphinx_copybutton.__file__)).with_name("_static") / "copybutton.js_t"
    if words := korean.OF_THE_BUTTON.search(button.read_text(encoding="utf-8")):
        said += korean.SAID_BY_IT.findall(words[1])
    for name in ("writers/html5.py", "ext/mathjax.py"):
        said += LINKS.findall((Path(str(sphinx.__file__)).parent / name).read_text(encoding="utf-8"))
    return [Message(text, "[label] Interface") for text in dict.fromkeys(said)]


# What sphinx_book_theme hands to its translations, and Sphinx to its own, in which it has no Korean.
THEMES = re.compile(r"""\btranslat(?:e|ion)\(["']([^"']+)["']\)""")
LINKS = re.compile(r"""\b_\('(Link to this [^']+)'\)""")


def handed_to(function: str, tree: ast.Module) -> Iterator[str]:
    """The texts that a file hands to a function, written there or in a constant of the file."""
    constants = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == function:
            text = node.args[0]
            text = constants.get(text.id, text) if isinstance(text, ast.Name) else text
            if not (isinstance(text, ast.Constant) and isinstance(text.value, str)):
                raise ValueError(
                    f"line {node.lineno} hands {ast.unparse(text)} to {function}(), which is no text that can be "
                    "found there: write it in the call, or as a constant of the file"
                )
            yield text.value


def package() -> list[Message]:
    """What the package says to students: the frame of its reports, and the checks' sentences.

    A sentence with values in it has a placeholder for each, {1}, {2}: it is recognised by its other words when it is
    shown (casestudies/language.py).
    """
    found: dict[str, Message] = {}
    for folder in ("checking", "checks"):
        for path in sorted((ROOT / "casestudies" / folder).glob("*.py")):
            tree = ast.parse(path.read_text(encoding="utf-8"))
            for text in [*marked(tree), *sentences(tree)]:
                found.setdefault(text, Message(text, f"[sentence] {path.stem}"))
            for text in titles(tree):
                found.setdefault(text, Message(text, f"[label] {path.stem}"))
    # What students see of the grader: on their pages, in a result by itself, in their kit.
    for name in ("executor", "elsewhere", "pages", "plugins", "verdicts", "errors", "one", "student_kit"):
        tree = ast.parse((ROOT / "casestudies" / "grading" / f"{name}.py").read_text(encoding="utf-8"))
        for text in marked(tree):
            found.setdefault(text, Message(text, f"[sentence] {name}"))
    for text in phrases_of_differences():
        found.setdefault(text, Message(text, "[label] differences"))
    for text in phrases_of_formulas():
        found.setdefault(text, Message(text, "[label] formulas"))
    from casestudies.checking import parts

    for part in parts.parts().values():  # however its mistakes are declared
        found.setdefault(part.title, Message(part.title, f"[label] {part.id}"))
        for mistake in part.mistakes:
            found.setdefault(mistake.text, Message(mistake.text, f"[sentence] {part.id}"))
    return [message for text, message in found.items() if text]


def titles(tree: ast.Module) -> list[str]:
    """The titles of groups of calls and the names of cases, which reports show with a capital letter or without."""
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("Group", "Case")
        ):
            text = template(node.args[0]) if node.args else ""
            if displayed.has_words(re.sub(r"\{\d+\}", "", text)):
                found.append(text)
        elif (
            isinstance(node, ast.keyword) and node.arg == "fresh"
        ):  # what a block must do before any training
            found += [text] if (text := template(node.value)) else []
    return found


CLAUSE = re.compile(
    r"has |pads |divides |lets |lies |normalises |runs |takes |is \{1\} instead of "
)  # what follows the name of a layer


def phrases_of_differences() -> list[str]:
    """What a difference between two computations is said with: layers, their settings, their places.

    The functions that make these words are those below the last heading of differences.py.
    """
    from typing import get_args

    from casestudies import language
    from casestudies.checking import blocks, borders, differences, relations
    from casestudies.checking.layers import ACTIVATION_KINDS, KNOWN, UNREGISTERED
    from casestudies.sandboxed import messages

    path = Path(str(differences.__file__))
    text = path.read_text(encoding="utf-8")
    heading = text[: text.index("- the words")].count("\n") + 1
    # What the comparison itself puts around these words.
    found = [language.RANK, "first {1}", "{1} times", "{1}, the first of {2} places"]
    found += ["{1} of the {2} {3}s differ", "{1} of the {2} {3}s differ, first {4}: each {5}."]
    found += ["Each of the {1} {2}s", "each", "how added", "how multiplied", *sorted(KNOWN)]
    # What the checks of blocks put into their sentences: modes, tensors, layers, and the name of a case.
    found += ["in evaluation mode", "in training mode", "{call} on {size}"]
    found += ["parameter of shape {1}", "buffer of shape {1}", "Too many: {1}.", "Missing: {1}."]
    found += ["parameter that is a single number", "buffer that is a single number"]
    found += ["{kind} (no. {rank} of {count} of its kind)", "convolution {1} → {2}", "linear layer {1} → {2}"]
    found += ["batch norm over {1} channels", "the input of the {1}", "multiplied", "added"]
    found += ["shared with a layer before", "changed first ({1})", "those of the batch", "the running ones"]
    found += ["zeros", "size of the window", *filter(None, borders.MODES.values()), *sorted(ACTIVATION_KINDS)]
    # Settings, whose names are those of their code, and a few that have a word of their own.
    found += [
        "eps",
        "momentum",
        "size {1}",
        "channels {1}",
        "dimensions {1}",
        "to {1}",
        "{1} over dimensions",
    ]
    found += [
        "conversion to {1}",
        "permute",
        "repeat",
        "input of {1}",
        "single number",
        "{1} (type {2})",
        "{1} or {2}",
    ]
    found += ["value of type {1}"]
    found += ["slope {1}", "slopes {1}", "low {1}", "high {1}", "of maxima"]
    found += ["ordinary weights of its own", "frozen", "constant", "buffer", "not a parameter"]
    found += ["a buffer, not a parameter", "sides {1}", "by {1}", "part {1}", "of whole channels or images"]
    # In which cases something is so, what a mean is taken over, and where a run stopped.
    found += ["`{1}` is {2}", "`{1}` is not {2}", "`{1}` is {2} times `{3}`", "`{1}` is not {2} times `{3}`"]
    found += [
        "`{1}` is left out",
        "{1} or {2}, but not both",
        "mean",
        "all numbers",
        "grid",
        "batch",
        "channels",
    ]
    found += ["rows", "columns", "dimension {1}", "{1} (it stops here)", "torch's {1} {2}", "at the end"]
    found += ["in the list of arguments", "is {1} instead of {2}", "mean over {1}", "In training mode: {1}"]
    found += ["In evaluation mode: {1}", "in a second training step", "in a third training step"]
    found += ["forward returns {1} {2}."]
    kinds = ("{1}", "{kind} (no. {rank} of {count} of its kind)")
    found += [f"{kind}, which you write by hand, {blocks.BY_HAND}" for kind in kinds]
    # Layers whose weights nobody finds, and what leaves numbers out.
    found += [UNREGISTERED, "2nd", "3rd", "{1}th", "steps {1}", "before {1}", "select"]
    sides = ("{1} row and column", "{1} row", "{1} column", "{1} row and every {2} column")
    found += [f"subsampling to every {each}" for each in sides]
    found += [
        "In each of the {1} cases compared in which {2}, and in no other (numbers and places are those of one):"
    ]
    # How an output is related to the right one, and windows that are added up with weights.
    found += [name for names in relations.AXES.values() for name in names]
    found += [*relations.AFTERWARDS, "no dilation", "weights of pixels {1}", "weights {1}", "{1} each"]
    for function in ast.parse(text).body:
        if not isinstance(function, ast.FunctionDef) or function.lineno < heading:
            continue
        said: list[ast.AST] = []
        for node in ast.walk(function):
            if isinstance(node, ast.Return | ast.Assign) and node.value is not None:
                said.append(node.value)
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "append"
            ):
                said += node.args
        while said:
            node = said.pop(0)
            if isinstance(node, ast.IfExp):
                said += [node.body, node.orelse]
            elif isinstance(node, ast.BinOp):
                said += [node.left, node.right]
            else:
                found += re.split(r", (?![^(]*\))", template(node))  # but not within brackets
    clean = [re.sub(r"^(?:the|an?) ", "", each) for each in found]
    clean += [f"{{who}} {each}" for each in clean if CLAUSE.match(each)]
    clean += [f"{who}{differences.UNFOUND}" for who in ("", "{who} ")]
    clean += get_args(messages.Doing)
    clean.remove("{1} {2} of {3}")  # which is said as RANK
    clean = [each for each in clean if each not in ("subsampling to every {1}", sides[0])]  # whole: see above
    return list(dict.fromkeys(each for each in clean if re.search("[a-z]{2}", each)))


def phrases_of_formulas() -> list[str]:
    """What a difference between two formulas is said with: the words of each edit, and of how values differ.

    They hold code in backticks, which is nobody's language; code alone is no phrase.
    """
    from casestudies.checking import compare, edits, functions, slips
    from casestudies.checks import efficientnet, identity

    found = ["the term", "the factor", "the exponent", "the sum", "the product"]
    for module in (edits, slips, compare, functions):
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        quiet = unsaid(tree)
        for node in ast.walk(tree):
            text = template(node) if id(node) not in quiet else ""
            # {0} and {1} are filled in later, and are no numbers of values of an f-string.
            if not isinstance(node, ast.JoinedStr):
                text = text.replace("{0}", "{a}").replace("{1}", "{b}")
            text = re.sub(r"^\{1\} (?=gives|changes)|(?<=\.)\{\d\}$", "", text).strip()
            outside = re.sub(r"`[^`]*`|\{\w*\}", "", text)
            words = re.findall(r"[a-z]{2,}", outside)
            if (
                re.search(r'[\n%"]|\}\{| of$', text)
                or re.search(r"[=\[\]<_]|\w\.\w|\w\(|^[-a-z_]+$", outside)
                or text.count("`") % 2
            ):
                continue
            if words and (
                "`" in text or len(words) > 1 and re.search("[a-z] [a-z]|^has |^is |^gives ", outside)
            ):
                found.append(text)
    found += [*observed(efficientnet), "half of {1}", identity.SAME_LAYERS, "for an input of {1}"]
    # What a report puts behind another sentence, or before one.
    found += ["It also changes its argument in place.", "{1}, with float32:", "`{1}` is added"]
    found += [f"{{call}} {text}" for text in found if re.match("(gives|changes|is|has) |it is not so ", text)]
    found += [f"{{call}} {text}" for text in functions.SETTINGS.values()]
    return list(dict.fromkeys(found))


def observed(module: ModuleType) -> list[str]:
    """What a check has seen of a random function, in words: those of `features`, and of what it calls."""
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    todo, quiet = ["features"], unsaid(tree)
    for node in ast.walk(tree):  # the names of arguments are none
        if isinstance(node, ast.Subscript) and getattr(node.value, "attr", "") == "kwargs":
            quiet.add(id(node.slice))
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In):
            quiet.add(id(node.left))
    found: list[str] = []
    for name in todo:
        for node in ast.walk(functions[name]):
            if isinstance(node, ast.Name) and node.id in functions and node.id not in todo:
                todo.append(node.id)
            text = template(node) if id(node) not in quiet else ""
            words = re.sub(r"\{\d+\}|\w+_\w+|[ \d/()-]", "", text)
            found += re.sub(r"^\{1\}, ", "", text).split(", ") if re.search("[a-z]{2}", words) else []
    return [*found, *(text.removesuffix("?") for text in found)]


# What a script of an explorer says: `say("…")`, `mark("…")`, and `noun("…")` or `plural(…, "…")`, which are counted.
SAID = re.compile(r"""\b(?:say|mark)\(\s*("(?:[^"\\]|\\.)*")""")
COUNTED = re.compile(r"""\b(?:noun\(|plural\([^"\n]*?,\s*)"([A-Za-z ]+)"\)""")


def scripts() -> list[Message]:
    """What the explorers' scripts say, in their order; the shared ones first."""
    folder = ROOT / "casestudies" / "explorers"
    shared = [folder / "prelude.js", korean.LOADER]
    found = []
    for path in [*shared, *sorted(set(folder.glob("*.js")) - set(shared))]:
        text = path.read_text(encoding="utf-8")
        pieces = [(match.start(), json.loads(match[1])) for match in SAID.finditer(text)]
        pieces += [(match.start(), f"{{count}} {match[1]}s") for match in COUNTED.finditer(text)]
        found += [Message(said, f"{kind_of(said)} {path.stem}") for _, said in sorted(pieces)]
    return found


def kind_of(text: str) -> str:
    return "[sentence]" if re.search(r"[.!?:]$", text) and " " in text else "[label]"


def explorers() -> list[Message]:
    """What the explorers say: in their scripts, and what their Python side computes for them.

    What the package's catalogue has, the sentences of the checks, is not asked for a second time.
    """
    # Words alone, which reports are put together from, are not: a drawing may want a shorter one.
    known = {message.english for message in package() if message.comment != "[label] differences"}
    found: dict[str, Message] = {}
    for message in [*scripts(), *computed_for_explorers()]:
        if message.english not in known:
            found.setdefault(message.english, message)
    return list(found.values())


def computed_for_explorers() -> Iterator[Message]:
    """Words in what explorers get from Python: names in tables, questions, mistakes and their drawings."""
    from casestudies import mistakes, questions
    from casestudies.experiments import recorded
    from casestudies.explorers import degradation_curves, network_comparison
    from casestudies.explorers.look_inside import FILTERS, STAGES
    from casestudies.photographs import PHOTOGRAPHS

    for path in sorted((ROOT / "casestudies" / "explorers").glob("*.py")):
        for text in marked(ast.parse(path.read_text(encoding="utf-8"))):
            yield Message(text, f"[label] {path.stem}")
    shown: list[tuple[str, str]] = []
    for name in degradation_curves.DATA.values():
        shown.append(("degradation_curves", displayed.masked(f"{name} at 8 × 8")[0]))
    for name in network_comparison.NETWORKS:
        shown.append(
            ("network_comparison", displayed.masked(network_comparison.measure(name)["protocol"])[0])
        )
    for name, source in PHOTOGRAPHS.items():
        shown += [("look_inside", name), ("look_inside", displayed.masked(source.credit)[0])]
    shown += [("look_inside", displayed.masked(name)[0]) for name in (*STAGES, *FILTERS)]
    for run in recorded("mistakes"):
        shown.append(("make_the_mistake", displayed.masked(run.error)[0]))
    for chapter in mistakes.chapters():
        bench = mistakes.bench(chapter)
        shown += [("make_the_mistake", text) for text in (bench.noun, bench.trained)]
        for switch in mistakes.switches(chapter):
            shown += [(f"make_the_mistake: {chapter}", text) for text in (switch.label, switch.text)]
            shown.append((f"make_the_mistake: {chapter}", displayed.masked(switch.figures.error)[0]))
            for svg in (switch.drawing, switch.expected):
                shown += [(f"make_the_mistake: {chapter}, drawing", text) for text in words_of_svg(svg)]
    for one in questions.questions():
        place = f"question_cards: {one.id}"
        shown.append((place, one.stem))
        shown += [(place, displayed.masked(choice.text)[0]) for choice in one.choices]
        shown += [(place, choice.why) for choice in one.choices]
    for place, text in shown:
        if displayed.has_words(text):
            yield Message(text, f"{kind_of(text)} {place}")


def words_of_svg(svg: str) -> list[str]:
    found: list[str] = []

    def note(kind: str, text: str) -> str:
        found.append(displayed.masked(text)[0])
        return text

    displayed.in_html(svg, note)
    return found


def assignments() -> dict[str, list[Message]]:
    """What students read in each assignment: the prose of its cells, and docstrings and comments of given code."""
    from casestudies.grading.notebooks import messages, rubric_messages

    found = {}
    for path in sorted((ROOT / "solutions").glob("*.md")):
        section, pieces = "", []
        for one in [*messages(path), *rubric_messages(path)]:
            kind = f"[{one.kind}]" if one.kind else ""
            pieces.append(Message(one.text, f"{kind} {'' if one.kind == 'heading' else section}".strip()))
            section = one.text if one.kind == "heading" else section
        found[f"{ASSIGNMENTS}/{path.stem}"] = pieces
    return found


def marked(tree: ast.Module) -> list[str]:
    """What is handed to `say` and `message`."""
    return [
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", ""))
        in ("say", "message")
        if node.args and isinstance(node.args[0], ast.Constant)
    ]


def sentences(tree: ast.Module) -> list[str]:
    """Texts that begin and end as a sentence does, and titles of several words; no docstrings."""
    left_out, found = unsaid(tree), []
    for node in ast.walk(tree):
        text = template(node) if id(node) not in left_out else ""
        text = re.sub(r"^(?:\{1\}| )(?=[A-Z])", "", text)  # behind another sentence, or none
        words = re.findall(r"[a-z]{2,}", re.sub(r"\{\d+\}", "", text))
        sentence = len(words) >= 3 and re.fullmatch(r"(?:\{\d+\}: )?[A-Z].*(?:[.!?]|: \{\d+\})\s*", text)
        named = len(words) >= 2 and re.fullmatch(r"\{1\} .*[a-z}]\.", text)
        title = len(words) >= 2 and re.fullmatch(r"[A-Z][a-z]+[;,]?(?: [\w;,/'-]+)+", text)
        if sentence or title or named:
            found.append(text.strip())
    return found


def unsaid(tree: ast.Module) -> set[int]:
    """The nodes whose strings no student reads: docstrings, errors of ours, the pieces of a longer text."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.Module) and ast.get_docstring(node):
            found |= {id(inner) for inner in ast.walk(node.body[0])}
        elif isinstance(node, ast.Raise | ast.Assert):
            found |= {id(inner) for inner in ast.walk(node)}
        elif isinstance(node, ast.JoinedStr):
            found |= {id(inner) for inner in ast.walk(node) if inner is not node}
    return found


def template(node: ast.AST) -> str:
    """A string, or an f-string with {1}, {2} for its values; "" for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    text, count = "", 0
    for part in node.values if isinstance(node, ast.JoinedStr) else []:
        if isinstance(part, ast.Constant):
            text += str(part.value)
        else:
            count += 1
            text += f"{{{count}}}"
    return text


def updated(
    old: polib.POFile, messages: Iterable[Message], memory: dict[tuple[str | None, str], str]
) -> polib.POFile:
    """The catalogue of these messages, with the translations of the old one.

    `memory` has translations of other pages, for headings and sentences that several pages share. What was translated
    once is taken wherever it now stands: also where a fuzzy entry has it as its older wording.
    """
    from rapidfuzz import fuzz, process

    new = empty(old.header)
    known: dict[tuple[str | None, str], polib.POEntry] = {}
    earlier: Memory = {}
    for entry in old:
        key = entry.msgctxt, entry.msgid
        if entry.obsolete:
            earlier.setdefault(key, entry.msgstr)
        elif key not in known or not known[key].msgstr:  # a merge may have left one twice
            known[key] = entry
        if entry.fuzzy and entry.previous_msgid:
            earlier.setdefault((entry.msgctxt, entry.previous_msgid), entry.msgstr)
    wanted = {message.key: message for message in messages}  # each once, where it stands first
    free = {key: entry for key, entry in known.items() if key not in wanted and entry.msgstr}
    for key, message in wanted.items():
        entry = polib.POEntry(msgctxt=message.context, msgid=message.english, comment=message.comment)
        korean = memory.get(key) or earlier.get(key)
        if key in known and (known[key].msgstr or not korean):
            before = known[key]
            entry.msgstr, entry.flags = before.msgstr, list(before.flags)
            entry.previous_msgid, entry.tcomment = before.previous_msgid, before.tcomment
        elif korean:
            entry.msgstr = korean
        else:
            choices = {other: other[1] for other in free if other[0] == message.context}
            found = process.extractOne(message.english, choices, scorer=fuzz.ratio, score_cutoff=SIMILAR)
            if found is not None:
                before = free.pop(found[2])
                entry.msgstr, entry.tcomment = before.msgstr, before.tcomment
                entry.flags = ["fuzzy"]
                entry.previous_msgid = before.previous_msgid or before.msgid
        new.append(entry)
    return new


def empty(header: str) -> polib.POFile:
    file = polib.POFile(wrapwidth=WIDTH)
    file.header = header
    file.metadata = {
        "Language": "ko",
        "MIME-Version": "1.0",
        "Content-Type": "text/plain; charset=UTF-8",
        "Content-Transfer-Encoding": "8bit",
    }
    return file


def header_of(page: str) -> str:
    if page.startswith(f"{ASSIGNMENTS}/"):
        source = f"solutions/{page.removeprefix(f'{ASSIGNMENTS}/')}.md"
        return f"The Korean messages of {source}, made by `make gettext`. Write msgstr only: see ../TRANSLATING.md."
    if page == PACKAGE:
        return (
            "What the package says, in Korean. Made by `make gettext`; write msgstr only: see TRANSLATING.md."
        )
    if page == EXPLORERS:
        return "What the explorers say, in Korean. Made by `make gettext`; write msgstr only: see TRANSLATING.md."
    if page == INTERFACE:
        return "The words around the pages, in Korean: buttons, notes. Made by `make gettext`; write msgstr only."
    return f"The Korean messages of book/{page}.md, made by `make gettext`. Write msgstr only: see ../TRANSLATING.md."


def load(path: Path, page: str) -> polib.POFile:
    file = polib.pofile(str(path), wrapwidth=WIDTH) if path.is_file() else empty("")
    file.header = header_of(page)
    return file


OUTSIDE = {INTERFACE: interface, PACKAGE: package, EXPLORERS: explorers}


def outside_the_book() -> dict[str, list[Message]]:
    """The messages that stand in no page, which are quick to find: of the package, and of the assignments."""
    return {**{name: find() for name, find in OUTSIDE.items()}, **assignments()}


def messages_by_catalogue(names: Iterable[str] = ()) -> dict[str, list[Message]]:
    """The messages that these catalogues must have, or all; of a name that is none, nothing."""
    found: dict[str, list[Message]] = {}
    for name in names:
        if name in found:
            continue
        if name in OUTSIDE:
            found[name] = OUTSIDE[name]()
        else:
            found |= assignments() if name.startswith(f"{ASSIGNMENTS}/") else of_the_book()
    return {name: found[name] for name in names if name in found} if names else all_messages()


def all_messages() -> dict[str, list[Message]]:
    """The messages of each catalogue."""
    return {**of_the_book(), **outside_the_book()}


def of_the_book() -> dict[str, list[Message]]:
    """The messages of each page. References has none but its title."""
    app = read_book()
    found = {name: list(messages_of(app.env.get_doctree(name))) for name in sorted(app.env.found_docs)}
    root = app.config.root_doc
    found[root] = captions() + found[root]
    for page, messages in found.items():
        shown = displayed_by(page)
        messages += kept_words(page) if shown is None else shown
    return found


def translated(names: Iterable[str]) -> Memory:
    memory: Memory = {}
    for path in map(path_of, sorted(names)):
        for entry in polib.pofile(str(path)):
            if entry.msgstr and not entry.fuzzy and not entry.obsolete:
                memory.setdefault((entry.msgctxt, entry.msgid), entry.msgstr)
    return memory


def update(found: dict[str, list[Message]]) -> list[str]:
    """Write these catalogues; returns those whose file has changed."""
    memory = translated(pages())
    changed = []
    for page, messages in found.items():
        path = path_of(page)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = written(updated(load(path, page), messages, memory))
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            changed.append(page)
    return changed


def written(file: polib.POFile) -> str:
    return re.sub(r"[ \t]+$", "", str(file), flags=re.MULTILINE).rstrip("\n") + "\n"


def tell_of_old_pages() -> None:
    """One line for each reason: nothing of what pages display is taken from a build that is out of date."""
    reasons: dict[str, list[str]] = {}
    for path in sorted((ROOT / "book").glob("[!_]*.md")):
        if why := out_of_date(path.stem):
            reasons.setdefault(why, []).append(path.stem)
    for why, names in reasons.items():
        print(
            f"What cells of {', '.join(names)} display stays as the catalogues have it, since {why}: "
            "run `make book`, then `make gettext` again.",
            file=sys.stderr,
        )


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(
        prog="catalogues.py", description="Bring the Korean catalogues up to date."
    )
    options.add_argument(
        "catalogue",
        nargs="*",
        help="only these, which need not read the book: package, explorers, sphinx, assignments/lenet (default: all)",
    )
    named = options.parse_args(arguments).catalogue
    before = set(pages())
    if not named:
        tell_of_old_pages()
    found = outside_the_book() if named else all_messages()
    if unknown := [name for name in named if name not in found]:
        print(
            f"{unknown[0]} is no catalogue outside the book; these are: {', '.join(found)}", file=sys.stderr
        )
        return 2
    changed = update({name: found[name] for name in named} if named else found)
    gone = set() if named else before - set(found)
    for page in gone:
        path_of(page).unlink()
    count = sum(len(polib.pofile(str(path_of(page)))) for page in pages())
    print(f"{count} messages in {LOCALE.relative_to(ROOT)}; changed: {', '.join(changed) or 'nothing'}")
    if gone:
        print(f"Removed, since their pages are gone: {', '.join(sorted(gone))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
