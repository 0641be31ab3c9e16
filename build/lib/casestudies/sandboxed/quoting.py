"""Text of a student's in our sentences: bounded, on one line, and nothing but text.

Names of files, messages of exceptions, whatever a student chose: everything that we print, log or store and that
holds such text takes it from here.
"""

from __future__ import annotations

import unicodedata

# Characters with a meaning in HTML, Markdown, MathJax or rich's markup, as the full-width forms of themselves: they
# read the same and do nothing, wherever the sentence ends up.
_MARKUP = {ord(mark): chr(ord(mark) + 0xFEE0) for mark in "<>&`'\"*[]{}$\\|~#"}


def printable(text: object, most: int = 400) -> str:
    """The text without control characters, on one line, of at most `most` characters.

    For places that show plain text (escaped HTML, a terminal). Escapes, directions of writing, lone surrogates and
    unassigned characters become `?`; any white space becomes a blank.

    >>> printable("two\\nlines \\x1b[31mred")
    'two lines ?[31mred'
    """
    try:
        text = text if type(text) is str else str(text)
    except Exception:
        return "(cannot be printed)"
    cut = len(text) > most
    if not cut and text.isascii() and text.isprintable():
        return text
    kept = []
    for character in text[:most]:
        kind = unicodedata.category(character)[0]
        kept.append(
            " " if kind == "Z" or character in "\t\n\v\f\r\x85" else "?" if kind == "C" else character
        )
    return "".join(kept) + (" ..." if cut else "")


def quoted(text: object, most: int = 80) -> str:
    """The text in quotation marks and without markup, for a sentence that may be read as HTML or Markdown.

    >>> quoted("[Click here](javascript:x).exe")
    "'［Click here］(javascript:x).exe'"
    """
    inner = printable(text, most).translate(_MARKUP).replace("://", "：//").replace("www.", "www．")
    return f"'{inner}'"


def named(text: object) -> str:
    """A name that a student chose, for a sentence of ours: as it is where it is nothing but a name, else quoted.

    >>> named("BasicBlock"), named("Right. 4 of 4")
    ('BasicBlock', "'Right. 4 of 4'")
    """
    if type(text) is str and len(text) <= 80 and text.isascii():
        if all(part.isidentifier() for part in text.split(".")):
            return text
    return quoted(text)


__all__ = ["named", "printable", "quoted"]
