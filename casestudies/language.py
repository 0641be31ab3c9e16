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
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from itertools import islice
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
SEMICOLONS = re.compile("(; )")  # between findings that have colons and commas of their own
COMMAS = re.compile("(, and |; |, )")
OF_SHAPES = re.compile(r"(, )(?=(?:an? |\d+ × )?(?:parameter|buffer) (?:of shape|that is) |\.\.\.)")
# "has no bias and has stride 2"
CLAUSES = re.compile(r"(, | and )(?=(?:has|pads|divides|lets|lies|normalises|runs|takes|is not registered) )")
CONDITIONS = re.compile("( and )(?=`[^`]*` is )")  # "`stride` is 1 and `padding` is not 0"
SIZED = re.compile(r"((?:\d+×)*\d+(?: ×)?) ([^\d×].*)")  # "3×3 max pooling", "2 × parameter"
ARTICLES = ("the ", "a ", "an ")
RANKED = re.compile(r"(.+) (\d+) of (\d+)")  # "batch norm 2 of 3", which is said as RANK
# Of a layer, as its code calls it: "momentum 0.1", "dims (0, 2, 3, 1)".
SETTING = re.compile(r"[a-z_]+ (?:-?\d[\d.e+-]*|\([\d, -]*\))")
OPERATION = re.compile("[a-z_]+")  # of torch, where nothing has a word for it: "slice 1 of 2"
PLACE = re.compile("(?:after|at|in|on) ")
RANK = "{kind}, number {rank} of {count}"
WORDS = re.compile("[a-z]{2}")
# What is quoted, an address, and arguments in their brackets.
SPANS = r"""`[^`]*`|“[^”]*”|"[^"]*"|https?://\S+"""
ARGUMENTS = r"\([^()]*(?:\([^()]*\)[^()]*)*\)"
# What stands for itself: words of code, names such as ReLU and BasicBlock, a name with its arguments or its value.
CODE = re.compile(
    r"True|False|None|NoneType|list|tuple|str|dict|nan|inf|(?:u?int|b?float|complex|bool)\d*|[A-Z][a-z]+[A-Z]\w*|[A-Z]+\w*[A-Z0-9]|<[^<>]*>"
    rf"|[\w.]+{ARGUMENTS}|\w+=\S+|{SPANS}"
)
TUPLE, TUPLE_JOINTS = re.compile(r"\([^()]*, [^()]*\)"), re.compile("(, )")
ARITHMETIC = re.compile(r"[\w\s/()*+-]+")
QUOTED = re.compile(rf"{SPANS}|\w+{ARGUMENTS}")
CLOSED = re.compile(rf"{QUOTED.pattern}|\(\d+ before, \d+ behind\)")  # what is cut nowhere
TYPE = re.compile(r"\btype \{(\w+)\}")  # what a placeholder stands for by the word before it
TORCHS = re.compile(r"(?:\btorch's |\bchanged first \()\{(\w+)\}")
# A layer with its settings, "3×3 convolution, 4 → 8, with bias": in brackets before a particle.
LAYER = re.compile(
    r"[^,'“`(]*[A-Za-z]{2}[^,'“`(]*, (?!(?:an? |\d+ × )?(?:parameter|buffer) )(?![^,]* and )[a-z\d]"
)
COUNTED = re.compile(r"\{(\w+)\} times")
ALONG = re.compile(r" along dimension \{(\w+)\}")
PLACED = re.compile(r"\{\d+\},? \{(\d+)\}(?=[;.]|$)")  # and by where it stands: "There is {1} {2};"
NEXT_MESSAGE = re.compile(r"\. |: |; ")
# As in the scripts of the explorers: a name that holds a digit, and a number.
NAMED = re.compile(r"(?<![\w.])(?=[\w.+/-]*[A-Za-z])(?=[\w.+/-]*\d)[A-Za-z0-9](?:[\w.+/-]*[\w+])?", re.ASCII)
NUMBER = re.compile(r"(?<![\w.])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?", re.ASCII)
PART = re.compile(r"\w+/\w+")  # the id of one
# What a student wrote: the name and the message of an exception, and a line of code, with which a text ends.
STUDENTS = re.compile(
    r"“[^“”]+”|(?<=code raised )'[^']+'|(?<=with the message )'[^']+'|(?<= of your code: ).+", re.DOTALL
)
HELD, FIRST = "\ue000", 0xE100  # no text has these characters: see `quoting.printable`
# What no value is: what a cut within a phrase leaves, as "a", "linear layer, 18 →" or "after the 3×3".
HALF = re.compile(r"^→|(?<!\.\.)\.$|[:;,→]$|^(?:an?|the)$|^(?:after (?:an? |the )?|an? |the )\d[\d×]*×\d+$")
END = re.compile(r"(?<!\.\.)[.:;]$|(?<=\.\.\.)\.$")  # but not of "and so on, ..."
MOST_WAYS = 64  # in which a text is cut by one message


def languages() -> tuple[str, ...]:
    """English, and every language that has a catalogue."""
    return (ENGLISH, *sorted(path.stem for path in FOLDER.glob("*.po")))


def language() -> str:
    """The language that CASESTUDIES_LANGUAGE asks for, such as "ko" or "ko_KR.UTF-8", or that of the student kit that
    this package came with; English where neither asks for one that there is, as `problem` says. Within
    `speaking`, the language of that."""
    if said := _SPEAKING.get():
        return said
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


_SPEAKING: ContextVar[str] = ContextVar("speaking", default="")


@contextmanager
def speaking(code: str) -> Iterator[None]:
    """Speak this language for a while, whatever the environment asks for.

    >>> with speaking("ko"):
    ...     say("Right.")
    '맞습니다.'
    """
    token = _SPEAKING.set(known(code))
    try:
        yield
    finally:
        _SPEAKING.reset(token)


def message(text: str) -> str:
    """The text itself: marks a message for the catalogues that is shown later, by `say`."""
    return text


def say(text: str, /, **values: object) -> str:
    """A message in the language that is in use, with the values in its placeholders."""
    korean = catalogue(language()).get(text)
    return filled(text, values) if korean is None else filled(korean, values, translated=True)


def told(text: str) -> str:
    """A text of the explorers, or of their questions, in the language that is in use; as their scripts do it.

    Numbers in it are placeholders in its message, {1}, {2}; those in names are not, such as C3.
    """
    code = language()
    words = {**catalogue(code), **catalogue(code, EXPLORERS)}
    if text in words:
        return words[text]
    names, numbers = [match.span() for match in NAMED.finditer(text)], dict[str, str]()

    def mask(match: re.Match[str]) -> str:
        if any(start <= match.start() < end for start, end in names):
            return match[0]
        numbers[str(len(numbers) + 1)] = match[0]
        return f"{{{len(numbers)}}}"

    masked = NUMBER.sub(mask, text)
    return filled(words[masked], numbers, translated=True) if masked in words else sentence(text)


def sentence(text: str, code: str | None = None) -> str:
    """A finished English text in the language that is in use, or as it is where the catalogue has none.

    Its message may have placeholders, where the text has values: they are found, and translated by themselves where
    they have words. A text of several sentences is translated one by one.
    """
    code = language() if code is None else known(code)
    if code == ENGLISH or not text.strip():
        return text
    held, kept = without_students(text)
    return re.sub(f"{HELD}(.)", lambda place: kept.get(place[0], place[0]), translated(held, code))


def without_students(text: str) -> tuple[str, dict[str, str]]:
    """The text with a mark in place of each thing that a student wrote, and what the marks stand for.

    No word of it is translated, and no sentence of it is read as one of ours, whatever it says.
    """
    kept: dict[str, str] = {}

    def hold(found: re.Match[str]) -> str:
        mark = HELD + chr(FIRST + len(kept))
        kept[mark] = found[0].strip("“”") if found[0][0] == "“" else found[0]
        return f"“{mark}”" if found[0][0] == "“" else mark

    return STUDENTS.sub(hold, text), kept


def translated(text: str, code: str) -> str:
    """A finished English text in another language, as whole as the catalogue allows; what nobody knows stays English.

    What is understood to its last word comes first. Else sentence by sentence, where each is known; else a message
    whose values are not all understood.
    """
    if (whole := understood(text, code)) is not None:
        return whole
    pieces = cut(PIECES, text)
    known, parts = piece_by_piece(pieces, code)
    if not known and (whole := sentence_of(text, code)) is not None:
        return whole
    return parts


def piece_by_piece(pieces: list[str], code: str) -> tuple[bool, str]:
    """Whether each sentence of several is known, and all of them, translated or as they are."""
    known, shown, start = len(pieces) > 1, "", 0
    while start < len(pieces):
        end, korean = run(pieces, start, code)
        known = known and korean != pieces[start]
        shown += korean + "".join(pieces[end : end + 1])
        start = end + 1
    return known, shown


def run(pieces: list[str], start: int, code: str) -> tuple[int, str]:
    """Where the message that begins at a piece ends, and its translation; the piece as it is where none does.

    A message may be several sentences, or stand behind the name of a case: "Block(8): It has 3 parameters."
    """
    ends = range(start + 1, len(pieces) + 1, 2)
    for end in reversed(ends):  # the longest that is understood
        if korean := understood("".join(pieces[start:end]), code):
            return end, korean
    for end in ends:  # the shortest that has values in it, so that no value is a sentence
        if korean := sentence_of("".join(pieces[start:end]), code):
            return end, korean
    return start + 1, pieces[start]


@cache
def understood(text: str, code: str) -> str | None:
    """A text in another language, where every word of it is known, by itself or in its phrase; else None.

    A name or code is a word that says the same in every language. Where a message can be cut into its values in
    several ways, that one counts in which all are understood: "There is {1} {2}." in "There is a ReLU after norm 2."
    """
    known = catalogue(code)
    found = known.get(text) or known.get(
        text[:1].lower() + text[1:]
    )  # a phrase, where a sentence begins with it
    if found:
        return found
    if CODE.fullmatch(text) or is_arithmetic(text) or not WORDS.search(QUOTED.sub("", text)):
        return re.sub(r"^(?:an?|the) (?=[A-Z])", "", text)
    if TUPLE.fullmatch(text):
        within = joined(cut(TUPLE_JOINTS, text[1:-1]), code)
        return None if within is None else f"({within})"
    if (said := by_template(text, code, phrases=False) or joined(cut(PIECES, text), code)) is not None:
        return said
    if END.search(text):
        said = understood(text[:-1], code)
        if said is None:
            return None
        return f"{said}." if text[-1] == ";" and said.endswith("니다") else said + text[-1]
    return (
        joined(cut(SEMICOLONS, text), code)
        or joined(cut(CLAUSES, text), code)
        or joined(cut(CONDITIONS, text), code)
        or without_article(text, code)
        or joined(cut(OF_SHAPES, text), code)
        or by_template(begun(text), code, phrases=True)
        or by_template(text, code, phrases=True)
        or joined(cut(COMMAS, text), code)
        or joined(cut(JOINTS, text), code)
        or phrase(text, code)
    )


def begun(text: str) -> str:
    """A phrase as it stands within a sentence, where a sentence begins with it; names keep their capital.

    >>> begun("Mean over images"), begun("Block(8, 8) on 3×8"), begun("ReLU 1 of 2")
    ('mean over images', 'Block(8, 8) on 3×8', 'ReLU 1 of 2')
    """
    return text[:1].lower() + text[1:] if re.match(r"(?:A|[A-Z][a-z]+)[ ,:']", text) else text


def is_arithmetic(text: str) -> bool:
    """Whether it is made of numbers, signs and names with an underscore: "1 / (1 - drop_rate)"."""
    return bool(ARITHMETIC.fullmatch(text)) and all(
        word.isdigit() or "_" in word for word in re.findall(r"\w+", text)
    )


def by_template(text: str, code: str, phrases: bool) -> str | None:
    """By a message of which every value is understood; by one that is a sentence, or by a phrase."""
    for template in templates(code):
        if template.is_phrase == phrases and template.pattern.fullmatch(text):
            for values in template.ways(text):
                said = {name: template.value(name, value, code) for name, value in values.items()}
                if None not in said.values():
                    return filled(template.translation, said, translated=True)
    return None


def cut(joint: re.Pattern[str], text: str) -> list[str]:
    """The text at its joints, with them, but whole where something is quoted or in brackets.

    >>> cut(JOINTS, "a sum, `f(a, b)` and a norm")
    ['a sum', ', ', '`f(a, b)`', ' and ', 'a norm']
    """
    closed = [match.span() for match in CLOSED.finditer(text)]
    parts, start = [], 0
    for match in joint.finditer(text):
        if not any(begin < match.start(1) < end for begin, end in closed):
            parts += [text[start : match.start(1)], match[1]]
            start = match.end(1)
    return [*parts, text[start:]]


def joined(parts: list[str], code: str) -> str | None:
    """Pieces with what stands between them, where there are several and each is understood."""
    if len(parts) == 1:
        return None
    said = [understood(part, code) for part in parts[::2]]
    if None in said:
        return None
    joints = [joint if joint == "; " or joint.isspace() else ", " for joint in parts[1::2]]
    # Korean ends a sentence where English goes on behind a semicolon.
    joints = [
        ". " if joint == "; " and str(part).endswith("니다") else joint
        for part, joint in zip(said, joints, strict=False)
    ]
    return "".join(f"{part}{joint}" for part, joint in zip(said, [*joints, ""], strict=True))


def without_article(text: str, code: str) -> str | None:
    article = next((each for each in ARTICLES if text.lower().startswith(each)), "")
    return understood(text[len(article) :], code) if article else None


def phrase(text: str, code: str) -> str | None:
    """One phrase in another language, with its rank or its size, or quoted; None where it is not known."""
    if ranked := RANKED.fullmatch(text):
        kind, said = understood(ranked[1], code), catalogue(code).get(RANK)
        kind = ranked[1] if kind is None and OPERATION.fullmatch(ranked[1]) else kind
        values = {"kind": kind, "rank": ranked[2], "count": ranked[3]}
        return filled(said, values, translated=True) if kind and said else None
    if sized := SIZED.fullmatch(text):
        kind = None if PLACE.match(sized[2]) else understood(sized[2], code)
        count = re.fullmatch(r"(\d+) ×", sized[1])
        return kind and (f"{kind} {count[1]}개" if count else f"{sized[1]} {kind}")
    if quoted := re.fullmatch("'([^']*)'", text):
        inner = quoted[1] if PART.fullmatch(quoted[1]) else understood(quoted[1], code)
        return inner and f"'{inner}'"
    return text if SETTING.fullmatch(text) else None


@cache
def sentence_of(text: str, code: str) -> str | None:
    """The translation of a text by the message that it was made from, though not all its values may be understood.

    What is no sentence, as "{1} groups", says nothing of a text whose other words nobody knows.
    """
    for template in templates(code):
        match = None if template.is_phrase else template.pattern.fullmatch(text)
        if match is not None:
            found = {name[1:]: value for name, value in match.groupdict().items()}
            found = next(filter(template.whole, template.ways(text)), found)
            values = {name: translated(value, code) for name, value in found.items()}
            return filled(template.translation, values, translated=True)
    return None


def filled(text: str, values: Mapping[str, object], translated: bool = False) -> str:
    """The text with values in its places. In a translation, the particle behind a value fits it.

    >>> filled("{a} of {b}", {"a": 1})
    '1 of {b}'
    >>> said = "{a}을(를) `{b}`로 나눕니다."
    >>> [filled(said, {"a": a, "b": b}, translated=True) for a, b in ((16, 3), ("수", 8))]
    ['16을 `3`으로 나눕니다.', '수를 `8`로 나눕니다.']
    """
    if not translated:
        return PLACEHOLDER.sub(lambda place: str(values.get(place[1], place[0])), text)

    def put(place: re.Match[str]) -> str:
        if place[1] not in values:
            return place[0]
        value = str(values[place[1]])
        return value + place[2] + (fitting(value, place[3]) if place[3] else "")

    return PLACE_AND_PARTICLE.sub(put, text)


# Particles by what stands before them: (after a final consonant, after a vowel). A translation may write both.
PARTICLES = (
    ("은", "는"),
    ("이", "가"),
    ("을", "를"),
    ("과", "와"),
    ("으로", "로"),
    ("이라", "라"),
    ("이어야", "여야"),
)
BOTH = {
    **{f"{one}({other})": pair for pair in PARTICLES[:4] for one, other in (pair, pair[::-1])},
    "으로(로)": PARTICLES[4],
    "(으)로": PARTICLES[4],
    "(이)라": PARTICLES[5],
}
SINGLE = {one: pair for pair in (*PARTICLES[:5], PARTICLES[6]) for one in pair}
PARTICLE = rf"(?:{'|'.join(map(re.escape, BOTH))}|(?:{'|'.join(SINGLE)})(?![가-힣]))"
PLACE_AND_PARTICLE = re.compile(rf"{PLACEHOLDER.pattern}(`?)({PARTICLE})?")


def fitting(value: str, particle: str) -> str:
    """The form of a Korean particle behind a value.

    >>> [fitting(value, "은") for value in ("맵", "너비", "7", "ReLU", "3 × 3 (12.5 %)", "`k`", "x_1.m")]
    ['은', '는', '은', '는', '은', '는', '은']
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
    # A name of one letter is read as the letter is called.
    alone = re.search("(?<![A-Za-z])[a-z]$", said)
    if alone or re.match("[A-Z]", last) and not re.search("[a-z][A-Z]$", said):
        return last.upper() in "LMNR", last.upper() in "LR"
    if re.match("[A-Za-z]", last):
        return last.lower() in "bcgklmnpt", last.lower() == "l"
    return bool(last) and last in "²³", False


@dataclass(frozen=True)
class Template:
    """A message with placeholders."""

    english: str
    translation: str
    pattern: re.Pattern[str]
    is_phrase: bool  # but a part of a sentence
    code: frozenset[str]  # placeholders that stand in backticks
    types: frozenset[str]  # placeholders that stand for the name of a type
    torchs: frozenset[str] = frozenset()  # that stand for the name of one of its functions
    counted: frozenset[str] = frozenset()  # that say how often, or along which dimension
    placed: frozenset[str] = frozenset()  # that say where something stands
    declined: frozenset[str] = frozenset()  # that have a particle in the translation

    def value(self, name: str, text: str, code: str) -> str | None:
        """A value in another language; None where it is none, or not understood."""
        if name in self.code or name in self.types and re.fullmatch(r"[\w.]+", text):
            return text
        if self.cut_short(name, text):
            return None
        said = understood(text, code)
        if said is None:
            return text if name in self.torchs and OPERATION.fullmatch(text) else None
        return (
            re.sub(r"^([^,]+), (.+)$", r"\1(\2)", said)
            if name in self.declined and LAYER.match(text)
            else said
        )

    def cut_short(self, name: str, text: str) -> bool:
        """Whether a value cannot stand in its place: half a phrase, a place that is none, a number that is none."""
        misplaced = name in self.placed and not PLACE.match(text)
        return misplaced or bool(HALF.search(text)) or name in self.counted and bool(WORDS.search(text))

    def whole(self, values: Mapping[str, str]) -> bool:
        """Whether each value can stand in its place."""
        return not any(name not in self.code and self.cut_short(name, text) for name, text in values.items())

    def ways(self, text: str) -> Iterator[dict[str, str]]:
        """The values that make this text of the message, in each way in which it can be cut; at most so many.

        >>> made = Template("{a} {b}", "", re.compile(""), True, frozenset(), frozenset())
        >>> [tuple(way.values()) for way in made.ways("a ReLU last")]
        [('a', 'ReLU last'), ('a ReLU', 'last')]
        """
        names = PLACEHOLDER.findall(self.english)
        literals = PLACEHOLDER.split(self.english)[::2]
        yield from islice(self._cut(text, names, literals), MOST_WAYS)

    def _cut(self, text: str, names: list[str], literals: list[str]) -> Iterator[dict[str, str]]:
        if not text.startswith(literals[0]):
            return
        rest = text[len(literals[0]) :]
        if not names:
            if not rest:
                yield {}
            return
        after = literals[1]
        least = 0 if may_be_empty(literals[0], after) else 1
        end = len(rest) if len(names) == 1 and not after else rest.find(after, least)
        while end >= least:
            value = rest[:end]
            if literals[0] or self.english[:1] != "{" or not NEXT_MESSAGE.search(value):
                for values in self._cut(rest[end:], names[1:], literals[1:]):
                    if values.get(names[0], value) == value:
                        yield {names[0]: value} | values
            end = rest.find(after, end + 1) if after else -1


@cache
def templates(code: str) -> list[Template]:
    """The messages with placeholders, those with the most words of their own first."""
    found = [
        (english, translation)
        for english, translation in catalogue(code).items()
        if re.search(r"[A-Za-z]{2}", PLACEHOLDER.sub("", english)) and PLACEHOLDER.search(english)
    ]
    found.sort(key=lambda pair: (-len(PLACEHOLDER.sub("", pair[0])), pair[0]))
    return [
        Template(
            english,
            translation,
            pattern_of(english),
            not re.match("[A-Z]", english) and not re.search("[.!?:;]$", english),
            frozenset(name for span in re.findall("`[^`]*`", english) for name in PLACEHOLDER.findall(span)),
            frozenset(TYPE.findall(english)),
            frozenset(TORCHS.findall(english)),
            frozenset(COUNTED.findall(english) + ALONG.findall(english)),
            frozenset(PLACED.findall(english)),
            frozenset(re.findall(rf"{PLACEHOLDER.pattern}(?=`?(?:{PARTICLE}| 자리에))", translation)),
        )
        for english, translation in found
    ]


def may_be_empty(before: str, after: str) -> bool:
    """Whether a placeholder between these words of a message may be: right behind a word, as in "not{1}."."""
    return bool(re.search(r"\w$", before) and re.match("[.,:;]", after))


def pattern_of(english: str) -> re.Pattern[str]:
    """
    >>> pattern_of("There is a {1} after {2}.").fullmatch("There is a ReLU after norm 1 of 2.").groups()
    ('ReLU', 'norm 1 of 2')
    """
    seen: set[str] = set()
    parts = []
    pieces = PLACEHOLDER.split(english)
    for place, part in enumerate(pieces):
        if place % 2 == 0:
            parts.append(re.escape(part))
        elif part in seen:
            parts.append(f"(?P=p{part})")
        else:
            seen.add(part)
            # What a message begins with is a name: a sentence before it is another message.
            within = r"(?:(?!\. |: |; ).)+?" if place == 1 and not parts[0] else ".+?"
            within = r"(?:(?!\. [A-Z]).)+?" if place > 1 and not parts[0] else within
            within = "[^`]+?" if parts[-1].endswith("`") else within
            if may_be_empty(pieces[place - 1], pieces[place + 1]):
                within = within.replace("+?", "*?")
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
