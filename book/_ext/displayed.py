"""The words in what cells display: labels and alt texts of figures, captions, cells of computed tables.

They are computed, so they are not in the text of a page; and a page is executed once for all languages. `walk` goes
through the outputs of a page as Sphinx has read it and lets a function replace the words. The catalogues come from a
walk that only takes notes, the Korean pages from one that translates.

Where code is shown, what it prints stays as it is, since both belong together. Where it is hidden, printed lines are
translated, too. Explorers and the checks' reports have catalogues of their own, in the package. What a displayed
formula says in words is translated as labels are; it is in the text of a page, and needs no build to be found.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from html import escape, unescape

from docutils import nodes
from gate import DIGITS, NAME

from casestudies import language

CONTEXT = "figure"  # of these messages in a catalogue
FORMULA = "formula"  # of those in displayed formulas, which figures may say otherwise
# Takes the kind of a piece of text and the text, and returns what is to be shown.
Say = Callable[[str, str], str]

TAG = re.compile(r"(<!--.*?-->|<[^>]*>)", re.DOTALL)
LABEL = re.compile(r'(?<=\saria-label=")([^"]*)(?=")')
SILENT = ("style", "script", "code", "pre", "title", "desc")
FALLBACK, REPORT = 'class="explorer-fallback"', 'class="cs-report'
HIDDEN = ("tag_hide-input", "tag_remove-input")
# Words within a displayed formula. A single one below or above a sign is a part of its name, as in C_\text{in}.
IN_FORMULA = re.compile(r"(?P<index>[_^]\{?)?\\text\{(?P<words>[^{}$]*?)(?P<end>\.?\s*)\}")
NUMBER = re.compile(rf"(?<![\w.]){DIGITS}", re.ASCII)
WORD = re.compile(r"(?<![A-Za-z])[a-z]{2,}(?![\w]*[\d(_.=])")


def has_words(text: str) -> bool:
    """Whether there is something to translate: not in a number, a name of a layer, a formula.

    >>> [has_words(text) for text in ("error, %", "C3", "1,024", "features.0", "LeNet-5", "112 of 224")]
    [True, False, False, False, False, True]
    """
    return bool(WORD.search(NAME.sub("", text)))


def masked(text: str) -> tuple[str, list[str]]:
    """The text with a placeholder for each number, and the numbers.

    >>> masked("n = 7: 3 places of C1")
    ('n = {1}: {2} places of C1', ['7', '3'])
    """
    names = [match.span() for match in NAME.finditer(text)]
    numbers: list[str] = []

    def take(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in names):
            return match[0]
        numbers.append(match[0])
        return f"{{{len(numbers)}}}"

    return NUMBER.sub(take, text), numbers


def unmasked(text: str, numbers: list[str]) -> str:
    """
    >>> unmasked("{2}곳, n = {1}", ["7", "3"])
    '3곳, n = 7'
    """
    for place, number in enumerate(numbers, start=1):
        text = text.replace(f"{{{place}}}", number)
    return text


def constants(code: str) -> frozenset[str]:
    """The strings that are written out in the code of a page: what is in them is not computed."""
    return frozenset(
        " ".join(node.value.split())
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def in_html(html: str, say: Say, wordy: Callable[[str], bool] = has_words) -> str:
    """
    >>> in_html('<svg aria-label="A cat"><text x="1">epoch &amp; more</text></svg>', lambda kind, text: text.upper())
    '<svg aria-label="A CAT"><text x="1">EPOCH &amp; MORE</text></svg>'
    """
    pieces: list[str] = []
    silent = caption = 0
    for piece in TAG.split(html):
        if piece.startswith("<"):
            name = re.match(r"</?([a-zA-Z]*)", piece)
            tag, step = (name[1].lower() if name else ""), (-1 if piece.startswith("</") else 1)
            if tag in SILENT and not piece.endswith("/>"):
                silent += step
            if tag in ("figcaption", "caption"):
                caption += step
            piece = LABEL.sub(
                lambda m: escape(said(unescape(m[1]), "alt text", say, wordy), quote=True), piece
            )
        elif piece.strip() and not silent:
            kind = "caption" if caption else "label"
            piece = escape(said(unescape(piece), kind, say, wordy), quote=False)
        pieces.append(piece)
    return "".join(pieces)


def said(text: str, kind: str, say: Say, wordy: Callable[[str], bool] = has_words) -> str:
    """What to show for a text; the blanks around it stay."""
    core = " ".join(text.split())
    if not wordy(core):
        return text
    before, after = re.match(r"\s*", text), re.search(r"\s*$", text)
    new = say(kind, core)
    return text if new == core else f"{before[0] if before else ''}{new}{after[0] if after else ''}"


SIGN = re.compile(r"(?:[✓◐✗]\s)?")  # of a result, before its word
IN_STYLE = re.compile(r"(?<=content:')\w+(?=: ')")  # words that narrow screens show before each layer


def in_report(html: str, say: Say) -> str:
    """A report of a check, in which each text is a message, also a single word with a capital.

    >>> in_report("<style>content:'yours: '</style><th>Result</th><td>✗ wrong</td>", lambda _, text: text.upper())
    "<style>content:'YOURS: '</style><th>RESULT</th><td>✗\xa0WRONG</td>"
    """

    def put(kind: str, text: str) -> str:
        sign = SIGN.match(text)
        assert sign is not None
        return sign[0].replace(" ", "\u00a0") + say(kind, text[sign.end() :])

    html = IN_STYLE.sub(lambda word: say("label", word[0]), html)
    return in_html(html, put, lambda core: bool(re.search("[A-Za-z]{2}", core)))


def in_formula(tex: str, say: Say) -> str:
    r"""
    >>> in_formula(r"\text{cost} = C_\text{in} \text{ if } x \text{ MACs.}", lambda kind, text: text.upper())
    '\\text{COST} = C_\\text{in} \\text{ IF } x \\text{ MACs.}'
    >>> in_formula(r"\sum_{\text{layers } l} x_l", lambda kind, text: text.upper())
    '\\sum_{\\text{LAYERS } l} x_l'
    """

    def put(match: re.Match[str]) -> str:
        named = match["index"] and not match["end"].isspace()  # C_\text{in}, but not the sum over "layers l"
        if named and " " not in match["words"].strip():
            return match[0]
        return f"{match['index'] or ''}\\text{{{said(match['words'], 'label', say)}{match['end']}}}"

    return IN_FORMULA.sub(put, tex)


def formulas(doctree: nodes.document, say: Say) -> None:
    """Let `say` replace the words of all displayed formulas."""
    for formula in doctree.findall(nodes.math_block):
        tex = formula.astext()
        if (new := in_formula(tex, say)) != tex:
            formula.children = []
            formula += nodes.Text(new)


def outputs(doctree: nodes.document) -> Iterator[tuple[nodes.Element, bool]]:
    """Each output of each cell, and whether the cell's code is hidden."""
    for cell in doctree.findall(nodes.container):
        if "cell" not in cell.get("classes", []):
            continue
        hidden = any(name in cell["classes"] for name in HIDDEN)
        for part in cell.children:
            if isinstance(part, nodes.container) and "cell_output" in part["classes"]:
                for output in part.children:
                    if isinstance(output, nodes.Element):
                        yield output, hidden


def unchanged(kind: str, text: str) -> str:
    return text


def walk(doctree: nodes.document, say: Say, report: Say = unchanged) -> None:
    """Let `say` replace the words of all outputs, in their order, and `report` those of the checks' reports."""
    for output, hidden in outputs(doctree):
        if isinstance(output, nodes.literal_block):
            if hidden:
                in_print(output, say)
            continue
        for raw in list(output.findall(nodes.raw)):
            text = raw.astext()
            if raw.get("format") == "html" and "application/" not in text[:60] and FALLBACK not in text[:400]:
                new = in_html(text, say) if REPORT not in text[:400] else in_report(text, report)
                if new != text:
                    raw.children = []
                    raw += nodes.Text(new)
                    raw.rawsource = new
        for words in list(output.findall(nodes.Text)):
            parent = words.parent
            literal = (nodes.raw, nodes.literal, nodes.literal_block, nodes.math, nodes.math_block)
            if parent is None or isinstance(parent, literal) or is_mixed(words):
                continue
            new = said(str(words), "label", say)
            if new != str(words):
                parent.replace(words, nodes.Text(new))


def is_mixed(node: nodes.Node) -> bool:
    """Whether a piece of text stands in a computed sentence with code, links or formulas in it: that is a message as
    those of the page are, and Sphinx puts its translation in place."""
    up = node.parent
    while up is not None and not isinstance(up, nodes.paragraph | nodes.title):
        if isinstance(up, nodes.container):
            return False
        up = up.parent
    return up is not None and any(isinstance(child, nodes.Element) for child in up.children)


def in_print(output: nodes.literal_block, say: Say) -> None:
    """Printed lines. Those with columns stay: Hangul is as wide as two letters, and they would no longer align."""
    lines = output.astext().split("\n")
    kept = re.compile(r"\S {2,}\S|^casestudies |^\s*--|\\$")  # columns and commands
    new = [line if kept.search(line) else said(line, "output", say) for line in lines]
    if new != lines:
        output.children = []
        output += nodes.Text("\n".join(new))
        output.rawsource = "\n".join(new)
        output["language"] = "none"


def key_of(text: str, written: frozenset[str]) -> tuple[str, list[str]]:
    """What a catalogue calls this text, and the numbers that it leaves open."""
    return (text, []) if text in written else masked(text)


def words_of(doctree: nodes.document, code: str) -> list[tuple[str, str]]:
    """The kind and the message of all words that a page displays, each once."""
    written = constants(code)
    found: dict[str, str] = {}

    def note(kind: str, text: str) -> str:
        found.setdefault(key_of(text, written)[0], kind)
        return text

    walk(doctree, note)
    return [(kind, text) for text, kind in found.items()]


def translate(doctree: nodes.document, code: str, korean: dict[str, str]) -> None:
    """Put the translations into the outputs of a page; what has none stays."""
    written = constants(code)

    def say(kind: str, text: str) -> str:
        key, numbers = key_of(text, written)
        return unmasked(korean[key], numbers) if korean.get(key) else text

    walk(doctree, say, lambda kind, text: language.sentence(text, "ko"))
