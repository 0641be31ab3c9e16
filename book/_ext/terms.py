"""The terms of the course in Korean, read from book/glossary.md, their one source.

An entry of the glossary is called ``batch normalization · 배치 정규화``; other words in use stand in brackets behind
the Korean one. What a lint needs beside that (terms whose English word also has an everyday sense, other spellings,
words without an entry that have one Korean word all the same) stands in locale/ko/terms.toml.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = ROOT / "book" / "glossary.md"
SETTINGS = ROOT / "locale" / "ko" / "terms.toml"

ENTRY = re.compile(
    r"^(?P<english>\S[^·\n]*?) · (?P<korean>[^(\n]+?)(?: \((?P<others>[^)\n]+)\))?$", re.MULTILINE
)
HANGUL = re.compile(r"[가-힣]")


@dataclass(frozen=True)
class Term:
    """An English term, the Korean word for it, and all spellings that a translation may use."""

    english: str
    korean: str
    allowed: tuple[str, ...]
    held: bool  # whether a translation must use one of them wherever the English has the term

    @property
    def first_use(self) -> str:
        """How a page writes the term where it is first explained: ``합성곱(convolution)``."""
        return f"{self.korean}({self.english})" if self.korean != self.english else self.korean

    @property
    def pattern(self) -> re.Pattern[str]:
        """The term in an English sentence, also in the plural and at the beginning."""
        return english_pattern(self.english)

    def used_in(self, korean: str) -> bool:
        """Whether a Korean text has one of the spellings; spaces within a term may be left out."""
        text = korean.replace(" ", "").lower()
        return any(one.replace(" ", "").lower() in text for one in self.allowed)


def english_pattern(term: str) -> re.Pattern[str]:
    """
    >>> bool(english_pattern("loss").search("Its losses fall.")), bool(english_pattern("loss").search("lossless"))
    (True, False)
    >>> english_pattern("fully connected layer").search("Fully connected layers").group()
    'Fully connected layers'
    """
    words = re.escape(term.strip()).replace(r"\ ", r"[\s-]+")
    words = re.sub(r"y$", "(?:y|ie)", words)
    return re.compile(rf"(?<![\w-]){words}(?:e?s)?(?![\w]|-[a-z])", re.IGNORECASE)


def glossary_terms(text: str) -> dict[str, list[str]]:
    """English terms and their Korean words, the usual one first.

    >>> glossary_terms("stride · 스트라이드 (보폭)\\n  How many pixels.\\n")
    {'stride': ['스트라이드', '보폭']}
    """
    return {
        match["english"].strip(): [match["korean"].strip()]
        + [one.strip() for one in (match["others"] or "").split(",") if one.strip()]
        for match in ENTRY.finditer(text)
    }


def term_table() -> list[Term]:
    """All terms of the glossary, the longest English first: `depthwise convolution` is found before `convolution`."""
    settings = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))
    also, loose = settings["also"], settings["everyday"]
    found = glossary_terms(GLOSSARY.read_text(encoding="utf-8"))
    unknown = sorted((set(also) | set(loose)) - set(found))
    if unknown:
        raise ValueError(f"{SETTINGS.name} names {unknown[0]!r}, which is no entry of {GLOSSARY.name}.")
    terms = [
        Term(
            english=english,
            korean=korean[0],
            allowed=tuple(dict.fromkeys([*korean, *also.get(english, [])])),
            held=english not in loose,
        )
        for english, korean in found.items()
    ]
    return in_order(terms)


def held_words() -> list[Term]:
    """What the lint holds messages to: the terms of the glossary, and words of the course without an entry there."""
    more = tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["words"]
    terms = term_table()
    if both := sorted({term.english for term in terms} & set(more)):
        raise ValueError(
            f"{SETTINGS.name} has {both[0]!r} among its words, which is an entry of {GLOSSARY.name}."
        )
    return in_order(
        [*terms, *(Term(english, korean[0], tuple(korean), True) for english, korean in more.items())]
    )


def in_order(terms: list[Term]) -> list[Term]:
    return sorted(terms, key=lambda term: (-len(term.english), term.english))
