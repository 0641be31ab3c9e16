"""The language in which people are spoken to: English, or one that has a catalogue in casestudies/locale.

CASESTUDIES_LANGUAGE chooses it, and `casestudies --language ko` sets that. What is stored, compared or graded stays
English: identifiers, reports as data, verdicts, the gradebook. Only what is shown is translated, when it is shown, so
that one gradebook serves both languages.

    >>> use("ko")
    >>> say("{points} of {possible} points.", points=2, possible=3)
    '3점 만점에 2점입니다.'
    >>> use("en")
    >>> say("{points} of {possible} points.", points=2, possible=3)
    '2 of 3 points.'
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

VARIABLE = "CASESTUDIES_LANGUAGE"
FOLDER = Path(__file__).with_name("locale")
EXPLORERS = FOLDER.parent / "explorers" / "locale"  # of the words that only explorers say
DEFAULT = FOLDER / "default.txt"  # in a student kit: the language of the course
ENGLISH = "en"

PLACEHOLDER = re.compile(r"\{(\w*)\}")
PIECES = re.compile(r"(?<=[.:;])(\s+)")
JOINTS = re.compile(
    r"(, and |; |, | and )"
)  # between the phrases of one sentence, as "batch norm, eps 0.001"
CLAUSES = re.compile(r"(, | and )(?=(?:has|pads|lets|normalises) )")  # "has no bias and has stride 2"
SIZED = re.compile(r"((?:\d+×)*\d+) (\D.*)")  # "3×3 max pooling"
ARTICLES = ("the ", "a ", "an ")
RANKED = re.compile(r"(.+) (\d+) of (\d+)")  # "batch norm 2 of 3", which is said as RANK
RANK = "{kind}, number {rank} of {count}"


def languages() -> tuple[str, ...]:
    """English, and every language that has a catalogue."""
    return (ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po")))


def language() -> str:
    """The language that CASESTUDIES_LANGUAGE asks for, such as "ko" or "ko_KR.UTF-8", or that of the student kit that
    this package came with; English where neither asks for one that there is, as `problem` says."""
    try:
        return known(os.environ.get(VARIABLE) or default(), VARIABLE)
    except ValueError:
        return ENGLISH


@cache
def default() -> str:
    """The language where the environment asks for none: English, or the one of the student kit."""
    return DEFAULT.read_text(encoding="utf-8").strip() if DEFAULT.is_file() else ENGLISH


def problem() -> str:
    """What is wrong with CASESTUDIES_LANGUAGE, in a sentence, or ""."""
    try:
        known(os.environ.get(VARIABLE) or default(), VARIABLE)
    except ValueError as error:
        return str(error)
    return ""


def known(code: str, name: str = "language") -> str:
    """The language of a code; raises ValueError for one that has no catalogue.

    >>> known("ko_KR.UTF-8"), known("C.UTF-8")
    ('ko', 'en')
    """
    short = re.split(r"[_.@-]", code.strip())[0].lower()
    if short in ("c", "posix", ENGLISH):  # without a look for catalogues, since every sentence comes here
        return ENGLISH
    if short not in languages():
        raise ValueError(
            f"{name} is {code!r}, which has no catalogue; choose one of {', '.join(languages())}."
        )
    return short


def use(code: str) -> None:
    """Speak this language from now on, in processes that are started from here, too."""
    os.environ[VARIABLE] = known(code)


def message(text: str) -> str:
    """The text itself: marks a message for the catalogues that is shown later, by `say`."""
    return text


def say(text: str, /, **values: object) -> str:
    """A message in the language that is in use, with the values in its placeholders."""
    korean = catalogue(language()).get(text)
    return filled(text, values) if korean is None else filled(korean, values, translated=True)


def sentence(text: str, code: str | None = None) -> str:
    """A finished English text in the language that is in use, or as it is where the catalogue has none.

    Its message may have placeholders, where the text has values: they are found, and translated by themselves where
    they have words. A text of several sentences is translated one by one.
    """
    code = language() if code is None else known(code)
    return text if code == ENGLISH or not text.strip() else translated(text, code)


def translated(text: str, code: str) -> str:
    """A finished English text in another language, piece by piece; a piece without a translation stays English."""
    whole = matched(text, code)
    if whole is not None:
        return whole
    pieces = PIECES.split(text)
    if len(pieces) == 1:
        return phrases(text, code) or text
    shown, start = "", 0
    while start < len(pieces):
        end, korean = run(pieces, start, code)
        shown += korean + "".join(pieces[end : end + 1])
        start = end + 1
    return shown


def run(pieces: list[str], start: int, code: str) -> tuple[int, str]:
    """Where the message that begins at a piece ends, and its translation; the piece as it is where none does.

    A message may be several sentences, or stand behind the name of a case: "Block(8): It has 3 parameters."
    """
    ends = range(start + 1, len(pieces) + 1, 2)
    known = catalogue(code)
    for end in reversed(ends):  # the longest that is known as it stands
        if korean := known.get("".join(pieces[start:end])):
            return end, korean
    for end in ends:  # the shortest that has values in it, so that no value is a sentence
        if korean := matched("".join(pieces[start:end]), code):
            return end, korean
    return start + 1, phrases(pieces[start], code) or pieces[start]


def phrases(text: str, code: str) -> str | None:
    """A text whose phrases are all known, in another language: "the 3×3 convolution, with bias"; else None."""
    body = text.rstrip(".:;")
    parts = CLAUSES.split(body)
    if len(parts) == 1 and phrase(body, code) is None:
        parts = JOINTS.split(body)
    said = [phrase(part, code) for part in parts[::2]]
    if None in said or not re.search("[a-z]{2}", text):
        return None
    joints = [joint if joint == "; " else ", " for joint in parts[1::2]]
    return (
        "".join(str(each) for pair in zip(said, [*joints, ""], strict=True) for each in pair)
        + text[len(body) :]
    )


def phrase(text: str, code: str) -> str | None:
    """One phrase in another language, with or without its article or size; names and numbers as they are."""
    if not re.search("[a-z]{2}", text):
        return text
    for article in ARTICLES:
        if text.lower().startswith(article) and (found := phrase(text[len(article) :], code)) is not None:
            return found
    if ranked := RANKED.fullmatch(text):
        kind, said = phrase(ranked[1], code), catalogue(code).get(RANK)
        values = {"kind": kind, "rank": ranked[2], "count": ranked[3]}
        return filled(said, values, translated=True) if kind and said else None
    if (found := matched(text, code)) is not None:
        return found
    if sized := SIZED.fullmatch(text):
        kind = phrase(sized[2], code)
        return kind and f"{sized[1]} {kind}"
    return None


@cache
def matched(text: str, code: str) -> str | None:
    """The translation of a text by the message that it was made from; None without one."""
    known = catalogue(code)
    found = known.get(text) or known.get(
        text[:1].lower() + text[1:]
    )  # a phrase, where a sentence begins with it
    if found:
        return found
    for pattern, korean, is_phrase in templates(code):
        match = pattern.fullmatch(text)
        if match is not None:
            found_values = match.groupdict()
            values = {name[1:]: translated(value, code) for name, value in found_values.items()}
            # What is no sentence, as "{1} groups", says nothing of a text whose other words nobody knows.
            if is_phrase and any(
                re.search("[.:;]$", value)
                or " " in value
                and re.search("[a-z]{2}", value)
                and values[name[1:]] == value
                for name, value in found_values.items()
            ):
                continue
            return filled(korean, values, translated=True)
    return None


def filled(text: str, values: Mapping[str, object], translated: bool = False) -> str:
    """The text with values in its places. In a translation, the particle behind a value fits it.

    >>> filled("{a} of {b}", {"a": 1})
    '1 of {b}'
    >>> said = "{a}을(를) {b}로 나눕니다."
    >>> [filled(said, {"a": a, "b": b}, translated=True) for a, b in ((16, 3), ("수", 8))]
    ['16을 3으로 나눕니다.', '수를 8로 나눕니다.']
    """
    if not translated:
        return PLACEHOLDER.sub(lambda place: str(values.get(place[1], place[0])), text)

    def put(place: re.Match[str]) -> str:
        if place[1] not in values:
            return place[0]
        value = str(values[place[1]])
        return value + (fitting(value, place[2]) if place[2] else "")

    return PLACE_AND_PARTICLE.sub(put, text)


# Particles by what stands before them: (after a final consonant, after a vowel). A translation may write both.
PARTICLES = (("은", "는"), ("이", "가"), ("을", "를"), ("과", "와"), ("으로", "로"), ("이라", "라"))
BOTH = {
    **{f"{one}({other})": pair for pair in PARTICLES[:4] for one, other in (pair, pair[::-1])},
    "으로(로)": PARTICLES[4],
    "(으)로": PARTICLES[4],
    "(이)라": PARTICLES[5],
}
SINGLE = {one: pair for pair in PARTICLES[:5] for one in pair}
PLACE_AND_PARTICLE = re.compile(
    rf"{PLACEHOLDER.pattern}({'|'.join(map(re.escape, BOTH))}|(?:{'|'.join(SINGLE)})(?![가-힣]))?"
)


def fitting(value: str, particle: str) -> str:
    """The form of a Korean particle behind a value.

    >>> [fitting(value, "은") for value in ("맵", "너비", "7", "ReLU", "3 × 3 (12.5 %)")]
    ['은', '는', '은', '는', '은']
    """
    after_consonant, after_vowel = BOTH.get(particle) or SINGLE[particle]
    closed, liquid = ending(value)
    return after_consonant if closed and not (liquid and after_vowel == "로") else after_vowel


def ending(value: str) -> tuple[bool, bool]:
    """Whether what is read last ends in a consonant, and whether that is ㄹ. What stands in brackets is not read."""
    said = re.sub(r"""[\s"'”’)\]}»*`]+$""", "", re.sub(r"\s*\([^()]*\)\s*$", "", value))
    last = said[-1:]
    if re.match("[가-힣]", last):
        final = (ord(last) - 0xAC00) % 28
        return final > 0, final == 8
    if re.match("[0-9]", last):
        return last in "013678", last in "178"
    if re.match("[A-Z]", last) and not re.search("[a-z][A-Z]$", said):
        return last in "LMNR", last in "LR"
    if re.match("[A-Za-z]", last):
        return last.lower() in "bcgklmnpt", last.lower() == "l"
    return bool(last) and last in "²³", False


@cache
def templates(code: str) -> list[tuple[re.Pattern[str], str, bool]]:
    """The messages with placeholders, as patterns, those with the most words of their own first; and whether each is
    but a phrase of a sentence."""
    found = [
        (english, korean)
        for english, korean in catalogue(code).items()
        if korean and re.search(r"[A-Za-z]{2}", PLACEHOLDER.sub("", english)) and PLACEHOLDER.search(english)
    ]
    found.sort(key=lambda pair: (-len(PLACEHOLDER.sub("", pair[0])), pair[0]))
    return [
        (pattern_of(english), korean, not re.match("[A-Z]", english) and not re.search("[.!?:;]$", english))
        for english, korean in found
    ]


def pattern_of(english: str) -> re.Pattern[str]:
    """
    >>> pattern_of("There is a {1} after {2}.").fullmatch("There is a ReLU after norm 1 of 2.").groups()
    ('ReLU', 'norm 1 of 2')
    """
    seen: set[str] = set()
    parts = []
    for place, part in enumerate(PLACEHOLDER.split(english)):
        if place % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P=p{part})")
        else:
            seen.add(part)
            # What a message begins with is a name: a sentence before it is another message.
            within = r"(?:(?!\. |: |; ).)+?" if place == 1 and not parts[0] else ".+?"
            within = r"(?:(?!\. [A-Z]).)+?" if place > 1 and not parts[0] else within
            parts.append(f"(?P<p{part}>{within})")
    return re.compile("".join(parts), re.DOTALL)


@cache
def catalogue(code: str, folder: Path = FOLDER) -> dict[str, str]:
    """Translations by their English: those that are there and not marked fuzzy. None where there is no catalogue."""
    path = folder / f"{code}.po"
    return dict(entries(path)) if code != ENGLISH and path.is_file() else {}


def entries(path: Path) -> Iterator[tuple[str, str]]:
    """The messages of a gettext catalogue; the few rules of its format that ours use."""
    english: list[str] = []
    korean: list[str] = []
    into, fuzzy = english, False
    for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
        if not line.strip():
            if english and korean and "".join(korean) and not fuzzy and "".join(english):
                yield "".join(english), "".join(korean)
            english, korean, fuzzy = [], [], False
        elif line.startswith("#,"):
            fuzzy = "fuzzy" in line
        elif line.startswith("msgid "):
            into = english
            into.append(unquoted(line.removeprefix("msgid ")))
        elif line.startswith("msgstr "):
            into = korean
            into.append(unquoted(line.removeprefix("msgstr ")))
        elif line.startswith('"'):
            into.append(unquoted(line))


def unquoted(quoted: str) -> str:
    return str(ast.literal_eval(quoted))
