"""The Korean edition of the book, from the same pages: `make book` puts it into _build/html/ko after the English one.

Nothing is executed: the pages take their outputs from the cache that the English build has filled, since a
translation changes no cell. Sphinx puts the messages of locale/ko in place; what is particular to the edition is here
and, called by it, in coursebook.py.
"""

from __future__ import annotations

import gettext
import hashlib
import html
import importlib.metadata
import json
import os
import re
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polib
import yaml

from casestudies import language

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "_build"
SITE, READ, CACHE = BUILD / "html" / "ko", BUILD / ".doctrees-ko", BUILD / ".jupyter_cache"
CATALOGUES = ROOT / "locale" / "ko" / "LC_MESSAGES"
FINISHED = ROOT / "locale" / "ko" / "finished.txt"
CONTENTS = READ / "toc.yml"
LOADER = ROOT / "book" / "_static" / "explorers.js"
OF_THE_THEME = ("general", "booktheme")  # by which Sphinx finds the catalogue of sphinx_book_theme
NOTEBOOKS = BUILD / "exercises-ko"  # where coursebook.py looks for them
UNFINISHED = (
    "이 페이지는 아직 한국어로 옮기는 중입니다. 옮기지 않은 부분은 영어로 보입니다. "
    '<a href="../{page}.html" hreflang="en">영어로 읽기</a>'
)
FINISHED_NOTE = "이 페이지는 영어판 {version}을 옮긴 것입니다."


@cache
def messages(page: str, context: str | None = None) -> dict[str, str]:
    """The finished translations of a page, by their English."""
    path = CATALOGUES / f"{page}.po"
    entries = polib.pofile(str(path)) if path.is_file() else []
    return {
        entry.msgid: entry.msgstr
        for entry in entries
        if entry.msgctxt == context and entry.msgstr and not entry.fuzzy and not entry.obsolete
    }


def explorers(page: str) -> str:
    """The words of its explorers, for a page that has some: a script that they read; "" for another page.

    `page` is all that the page holds, with the state of its widgets. Of all sentences come those that it can say, or
    what loads its explorers.
    """
    if "vnd.jupyter.widget-view" not in page:
        return ""
    words = {**language.catalogue("ko"), **language.catalogue("ko", language.EXPLORERS)}
    text = json.dumps(sayable(page + LOADER.read_text("utf-8"), words), ensure_ascii=False).replace(
        "</", "<\\/"
    )
    return f'<script type="application/json" id="explorer-words">{text}</script>'


def sayable(page: str, words: dict[str, str]) -> dict[str, str]:
    """The messages that a page can say: those whose words, between the placeholders, stand in it or in its scripts.

    What is counted stands there as one thing: "{count} parameters" is said by a script that has "parameter".
    """
    # The state is JSON, the scripts in it have strings of their own, and drawings are SVG.
    readable = re.sub(r"\\u([0-9a-f]{4})", lambda code: chr(int(code[1], 16)), page)
    readable = readable.replace("\\n", " ").replace("\\", "")
    held = " ".join(html.unescape(readable).split())

    def stands(english: str) -> bool:
        pieces = [" ".join(piece.split()) for piece in language.PLACEHOLDER.split(english)[::2]]
        if english.startswith("{count} "):
            pieces[-1] = pieces[-1].removesuffix("s")
        return all(piece.replace("\\", "") in held for piece in pieces)

    return {english: said for english, said in words.items() if stands(english)}


def contents() -> Path:
    """The table of contents with Korean names of its parts."""
    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text(encoding="utf-8"))
    korean = messages(toc["root"])
    for part in toc["parts"]:
        part["caption"] = korean.get(part["caption"], part["caption"])
    text = yaml.safe_dump(toc, allow_unicode=True, sort_keys=False)
    CONTENTS.parent.mkdir(parents=True, exist_ok=True)
    if not CONTENTS.is_file() or CONTENTS.read_text(encoding="utf-8") != text:
        CONTENTS.write_text(text, encoding="utf-8")
    return CONTENTS


def settings() -> dict[str, Any]:
    """What differs from _config.yml."""
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    theme = dict(config["sphinx"]["config"]["html_theme_options"])
    theme["search_bar_text"] = messages("sphinx").get(theme["search_bar_text"], theme["search_bar_text"])
    return {
        "language": "ko",
        "locale_dirs": [str(ROOT / "locale")],
        "gettext_compact": False,
        "translation_progress_classes": "untranslated",
        "nb_execution_cache_path": str(CACHE),
        "nb_code_prompt_show": "코드 보기",
        "nb_code_prompt_hide": "코드 숨기기",
        "external_toc_path": str(contents()),
        "html_theme_options": theme,
        "nitpicky": True,
        "latex_individualpages": False,
    }


def finished_pages() -> list[str]:
    lines = FINISHED.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def version() -> str:
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"])


def with_note(page: str, body: str) -> str:
    """The page with a line that says from which version it was translated, or that it is not finished."""
    if page in finished_pages():
        note = f'<p class="edition-note">{FINISHED_NOTE.format(version=version())}</p>'
    else:
        note = f'<p class="edition-note unfinished">{UNFINISHED.format(page=page)}</p>'
    return re.sub(r"</h1>", lambda match: f"{match[0]}\n{note}", body, count=1)


def in_english(body: str) -> str:
    """Tells readers aloud, browsers and search engines which parts are not translated.

    What has Hangul is Korean, whatever Sphinx takes it for.

    >>> in_english('<p class="untranslated">It learns.</p><p class="untranslated">C1</p>')
    '<p lang="en" class="untranslated">It learns.</p><p class="untranslated">C1</p>'
    >>> in_english('<p class="untranslated">ResNet <b>블록</b></p>')
    '<p class="untranslated">ResNet <b>블록</b></p>'
    """

    def mark(match: re.Match[str]) -> str:
        words = html.unescape(re.sub(r"<[^>]*>", "", match["words"]))
        said = re.search(r"[a-z]{2,}", words) and not re.search("[가-힣]", words)
        return f'<{match["tag"]} lang="en"{match["rest"]}' if said else match[0]

    pattern = (
        r'<(?P<tag>\w+)(?P<rest>[^<>]*\sclass="(?:[^"]* )?untranslated[ "][^<>]*>(?P<words>.*?)</(?P=tag)>)'
    )
    return re.sub(pattern, mark, re.sub(r'(?<=class=")untranslated (?=math)', "", body), flags=re.DOTALL)


# For casestudies.language, which looks for catalogues beside itself: that of the explorers, by the way to it.
OF_EXPLORERS = f"{os.path.relpath(language.EXPLORERS, language.FOLDER)}/ko"
STAND_IN = re.compile(r'(?<=<p class="explorer-fallback">).*?(?=</p>)', re.DOTALL)
SPAN = re.compile(r"<span>(.*?)</span>", re.DOTALL)
JOINTS = (re.compile(r"(?<=[.?!;]) (?=\S)"), re.compile(r"(?<=:) (?=\S)"))
ENGLISH_WORDS = re.compile(r"(?<![\w-])[a-z]{2,}(?![\w-])")
QUOTED = re.compile("“[^”]*”")
FIGURE = re.compile(r" ([\d,.]*\d(?: (?:%|[kMG]B))?)(, |\.$)")


def stand_ins(body: str) -> str:
    """What stands in for an explorer where there is no JavaScript: its pieces, sentence by sentence, by the messages
    of its script. What they do not cover to the last word stays English, and is marked so.

    >>> stand_ins('<p class="explorer-fallback"><span>Questions.</span><span> It hums.</span></p>')
    '<p class="explorer-fallback"><span>문제.</span><span lang="en"> It hums.</span></p>'
    """
    return STAND_IN.sub(
        lambda match: SPAN.sub(lambda span: piece_in_korean(html.unescape(span[1])), match[0]), body
    )


def piece_in_korean(text: str) -> str:
    """One piece: the longest runs of its sentences that the messages cover.

    >>> piece_in_korean(" It hums. It reads this 3 as 8 (51.0 %).")
    ' <span lang="en">It hums.</span> <span>이 3을 8로 읽습니다(51.0 %).</span>'
    """
    before, behind = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    said = list(parts_in_korean(text.strip(), *JOINTS))
    if len(said) == 1:
        return f"<span{said[0][1]}>{html.escape(before + said[0][0] + behind)}</span>"
    return before + " ".join(f"<span{marked}>{html.escape(part)}</span>" for part, marked in said) + behind


def parts_in_korean(text: str, joint: re.Pattern[str], *finer: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each part, in Korean or with the attribute that says that it is English."""
    sentences, start = joint.split(text), 0
    while start < len(sentences):
        for end in range(len(sentences), start, -1):
            if (korean := in_words_of_explorers(" ".join(sentences[start:end]))) is not None:
                yield korean, ""
                break
        else:
            end, left = start + 1, sentences[start]
            if finer and finer[0].search(left):
                yield from parts_in_korean(left, *finer)
            else:
                yield left, ' lang="en"' if ENGLISH_WORDS.search(left) else ""
        start = end


@cache
def in_words_of_explorers(text: str) -> str | None:
    if not re.search("[A-Za-z]{2}", text):
        return text
    said = language.understood(text, OF_EXPLORERS) or names_before_figures(text)
    if said is None:  # with values that are no messages, such as names
        said = language.sentence_of(text, OF_EXPLORERS)
        said = None if said and ENGLISH_WORDS.search(QUOTED.sub("", said)) else said
    if said is None or (text[-1] == ".") > (said[-1] == "."):
        return None
    counted = language.catalogue(OF_EXPLORERS)["{count} MACs"]
    return re.sub(r"\b([\d,]+) MACs\b", lambda match: language.filled(counted, {"count": match[1]}), said)


def names_before_figures(text: str) -> str | None:
    """
    >>> names_before_figures("activations 78.7 MB, MACs 300,774,272.")
    '활성값 78.7 MB, MAC 수 300,774,272.'
    """
    *named, rest = FIGURE.split(text)
    said = [language.understood(name, OF_EXPLORERS) for name in named[::3]]
    if rest or not said or None in said:
        return None
    triples = zip(said, named[1::3], named[2::3], strict=True)
    return "".join(f"{name} {figure}{joint}" for name, figure, joint in triples)


# What the themes' templates write into attributes as it is, in English: names of regions and of buttons.
ATTRIBUTE = re.compile(r'(?P<name>\b(?:title|aria-label)=")(?P<words>[A-Z][A-Za-z ]+)(?=")')


def named_in_korean(page: str) -> str:
    """A whole page, with the attributes that its theme writes in English and that our catalogue has.

    >>> named_in_korean('<button title="Toggle primary sidebar"><a title="LeNet">')
    '<button title="왼쪽 메뉴 여닫기"><a title="LeNet">'
    """
    words = messages("sphinx")
    return ATTRIBUTE.sub(lambda match: match["name"] + words.get(match["words"], match["words"]), page)


# What the button that copies says in English, in its script; the script has no Korean of its own.
OF_THE_BUTTON = re.compile(r"'en': (\{[^{}]*\}),\n")
SAID_BY_IT = re.compile(r"(?<=: ')[^'\n]+(?=')")


def copied_in_korean(script: str) -> str:
    """The script of the button that copies code, with its words in Korean beside the English ones.

    >>> print(copied_in_korean("  'en': {\\n    'copy': 'Copy',\\n  },\\n").replace("\\n", " "))
      'en': {     'copy': 'Copy',   },   'ko': {     'copy': '복사',   },
    """
    words = messages("sphinx")

    def beside(english: re.Match[str]) -> str:
        korean = SAID_BY_IT.sub(lambda said: words.get(said[0], said[0]), english[1])
        return f"{english[0]}  'ko': {korean},\n"

    return script if "'ko':" in script else OF_THE_BUTTON.sub(beside, script, count=1)


class Interface(gettext.NullTranslations):
    """Our catalogue of the words around the pages; what it has not is asked of the one that it stands before."""

    def gettext(self, message: str) -> str:
        return messages("sphinx").get(message) or super().gettext(message)


def before_the_theme() -> None:
    """Let the theme, which has a catalogue of its own, speak by ours."""
    from sphinx.locale import translators

    theirs = translators.get(OF_THE_THEME)
    if not isinstance(theirs, Interface):
        translators[OF_THE_THEME] = Interface()
        if theirs is not None:
            translators[OF_THE_THEME].add_fallback(theirs)


def upright(body: str) -> str:
    """Hangul has no italics: what is emphasised is marked for the style sheet.

    >>> upright("<em>전체</em>와 <em>et al.</em>")
    '<em class="hangul">전체</em>와 <em>et al.</em>'
    """
    return re.sub(r"<em>(?=[^<]*[가-힣])", '<em class="hangul">', body)


def make_notebooks(root: Path = ROOT, folder: Path = NOTEBOOKS) -> None:
    """The notebooks that the cards of the Korean pages offer; what is not translated in them is English.

    Nothing is made again where the texts, their translations, the package and the notebooks are what they were: to
    prove ten notebooks free of solutions takes as long as to build a page.
    """
    note = folder / "made_of.txt"
    if note.is_file() and note.read_text(encoding="utf-8") == made_of(root, folder):
        return
    from casestudies.grading.notebooks import assignments, release

    release(assignments(root), root, code="ko", folder=folder)
    note.write_text(made_of(root, folder), encoding="utf-8")


def made_of(root: Path, folder: Path) -> str:
    """A digest of all that the notebooks are made of, and of the notebooks themselves."""
    read = [*root.glob("solutions/*.md"), *(ROOT / "locale").rglob("*.po"), *folder.rglob("*.ipynb")]
    read += [path for path in (ROOT / "casestudies").rglob("*") if path.suffix in (".py", ".po")]
    digest = hashlib.sha256(importlib.metadata.version("nbgrader").encode())
    for path in sorted(read):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def redirect(page: str) -> str:
    """The page at the root of the edition: it leads on to the first one, also where a browser does not follow it."""
    title = "한국어판"
    return (
        f'<!DOCTYPE html>\n<html lang="ko">\n<head>\n<meta charset="utf-8" />\n<title>{title}</title>\n'
        f'<meta http-equiv="Refresh" content="0; url={page}.html" />\n</head>\n'
        f'<body><a href="{page}.html">{title}</a></body>\n</html>\n'
    )


def main() -> int:
    # Its grammars of addresses take a second or two to make, jsonschema does without it, and the English build has
    # checked the same configuration with it.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    from jupyter_book.sphinx import build_sphinx

    make_notebooks()

    result = build_sphinx(
        str(ROOT / "book"),
        str(SITE),
        noconfig=True,
        path_config=ROOT / "_config.yml",
        confoverrides=settings(),
        doctreedir=str(READ),
        builder="html",
        warningiserror=True,
        keep_going=True,
        quiet=False,
    )
    if isinstance(result, BaseException) or result:
        print("The Korean edition was not built.", file=sys.stderr)
        return 1
    toc = yaml.safe_load(CONTENTS.read_text(encoding="utf-8"))
    finishing = [(path, named_in_korean) for path in SITE.glob("*.html")]
    for path, finish in [*finishing, (SITE / "_static" / "copybutton.js", copied_in_korean)]:
        text = path.read_text(encoding="utf-8")
        if (korean := finish(text)) != text:
            path.write_text(korean, encoding="utf-8")
    (SITE / "index.html").write_text(redirect(toc["root"]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
