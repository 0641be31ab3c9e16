"""What a Korean message must share with its English: the gate, and the command that shows a translator what is left.

    python book/_ext/gate.py lenet             what is missing or wrong on one page
    python book/_ext/gate.py assignments/lenet   and in one assignment; "package" and "explorers" are others
    python book/_ext/gate.py                   a line for each page
    python book/_ext/gate.py --terms           the table of terms
    python book/_ext/gate.py --finish lenet    list the page as finished, where nothing is left

A message is compared by its parts: what MyST makes of it, not how it is written. Order may differ. What must be
there again: roles and their targets, links, formulas, code, placeholders, numbers with their signs and units, names
with digits or capitals, emphasis. Numbers in words, a `not` and the number of sentences are compared, too. Then come
the language's own rules: the terms of the glossary, no English word left, endings in the polite style, particles that
fit, also behind names in Latin letters.

The exit status is 1 where anything is missing, fuzzy or wrong.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polib
from terms import HANGUL, Term, held_words

from casestudies import language

if TYPE_CHECKING:
    from catalogues import Message

ROOT = Path(__file__).resolve().parents[2]
LOCALE = ROOT / "locale" / "ko"
CATALOGUES = LOCALE / "LC_MESSAGES"
FINISHED = LOCALE / "finished.txt"
PACKAGE = "package"  # the names by which the catalogues in the package are called
EXPLORERS = "explorers"
ASSIGNMENTS = "assignments"  # the folder of theirs: "assignments/lenet"

EXTENSIONS = {"amsmath", "attrs_block", "attrs_inline", "colon_fence", "deflist", "dollarmath"}
PLACEHOLDER = re.compile(r"\{[^{}`]*\}(?!`)|%\(\w+\)s")
# A word of Latin letters and digits: LeNet-5, C3, 3x3, ResNet-18, 6n+2.
NAME = re.compile(r"(?<![\w.])(?=[\w.+/-]*[A-Za-z])(?=[\w.+/-]*\d)[A-Za-z0-9](?:[\w.+/-]*[\w+])?", re.ASCII)
# Some that are only numbers: 1990s, 3rd, 16-layer, top-5.
NO_NAME = re.compile(r"\d+(?:s|st|nd|rd|th)|\d+(?:-[a-z]+)+|(?:[a-z]+|Top)-\d+", re.ASCII)
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"

# Numbers in words, which a translation may write in digits.
ONES = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split()
ONES += "seventeen eighteen nineteen".split()
TENS = dict(
    zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True)
)
ORDINALS = dict(
    zip("first second third fifth eighth ninth twelfth".split(), (1, 2, 3, 5, 8, 9, 12), strict=True)
)
ORDINALS |= {f"{word}th": n for n, word in enumerate(ONES) if n > 3 and n not in ORDINALS.values()}
ORDINALS |= {f"{word[:-1]}ieth": n for word, n in TENS.items()}
OTHERS = {"once": [1], "twice": [2], "half": [2, 1, 0.5], "halves": [2, 1], "quarter": [4, 1], "quarters": [4],
          "dozen": [12], "single": [1], "both": [2], "pair": [2], "double": [2], "a": [1], "an": [1], "zeroing": [0],
          "halved": [2, 1], "doubled": [2], "triple": [3], "percent": [100], "hundredth": [100, 1],
          "thousandth": [1000, 1], "halve": [2, 1], "doubles": [2],
          "eights": [8], "threefold": [3], "fourfold": [4]}  # fmt: skip
SCALES = {"hundred": 100, "thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
KOREAN_SCALES = {"백": 100, "천": 1_000, "만": 10_000, "억": 100_000_000}
KOREAN_NUMBER = re.compile(
    rf"(?<![\w.])({DIGITS})\s?([천백]?(?:만(?!큼)|억)|[천백](?![가-힣]))?(?:\s({DIGITS})([천백]?만))?",
    re.ASCII,
)
ENGLISH_NUMBER = re.compile(rf"(?<![\w.])({DIGITS})(?:[ -]({'|'.join(SCALES)})s?\b)?", re.ASCII)


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one message."""

    kind: str
    says: str


@dataclass
class Anatomy:
    """A message taken apart: its parts by kind, and the words between them."""

    parts: dict[str, Counter[str]] = field(default_factory=dict)
    words: str = ""
    blocks: int = 1

    def add(self, kind: str, what: str) -> None:
        self.parts.setdefault(kind, Counter())[what] += 1


@cache
def parser() -> Any:
    from markdown_it.renderer import RendererHTML
    from myst_parser.config.main import MdParserConfig
    from myst_parser.parsers.mdit import create_md_parser

    return create_md_parser(MdParserConfig(enable_extensions=EXTENSIONS), RendererHTML)


def tokens(text: str) -> tuple[list[Any], int]:
    """What is in the lines of a text, and how many blocks it has; a single paragraph is one."""
    blocks = parser().parse(text)
    opened = [token for token in blocks if token.level == 0 and token.nesting >= 0]
    paragraph = all(token.type in ("paragraph_open", "inline") for token in opened if token.type != "inline")
    inline = [child for token in blocks if token.type == "inline" for child in token.children or []]
    return inline, len(opened) if paragraph else -1


def anatomy(text: str) -> Anatomy:
    """
    >>> found = anatomy("See {eq}`a` and [this](b.md), $k$ times.")
    >>> sorted(found.parts), found.words
    (['formula', 'link', 'role'], 'See \\ufffc and this, \\ufffc times.')
    """
    found = Anatomy()
    inline, found.blocks = tokens(text)
    for place, token in enumerate(inline):
        if token.type == "text":
            found.words += token.content
        elif token.type in ("softbreak", "hardbreak"):
            found.words += " "
        elif token.type in ("math_inline", "math_inline_double"):
            found.add("formula", f"${token.content}$")
            found.words += "\ufffc"
        elif token.type == "code_inline":
            found.add("code", f"`{token.content}`")
            found.words += "\ufffc"
        elif token.type == "myst_role":
            name, content = token.meta["name"], token.content
            shown = re.fullmatch(r"(.*?)\s*<([^<>]+)>", content, re.DOTALL)
            found.add("role", f"{{{name}}}`{shown[2] if shown else content}`")
            found.words += shown[1] if shown else "\ufffc"
        elif token.type == "link_open":
            found.add("link", str(token.attrs["href"]))
            if inline[place + 1].type == "link_close":
                found.add("link without words", str(token.attrs["href"]))
        elif token.type == "image":
            found.add("image", str(token.attrs["src"]))
        elif token.type in ("strong_open", "em_open"):
            found.add("emphasis", "**bold**" if token.type == "strong_open" else "*italic*")
        elif token.type == "html_inline":
            found.add("HTML", token.content)
        elif token.type == "footnote_ref":
            found.add("footnote", token.meta["label"])
    return found


def value(digits: str) -> float:
    return float(digits.replace(",", ""))


def scaled(digits: str, unit: float) -> float:
    """A number times its unit, without the error of the product: 8.2 billion is 82억.

    >>> scaled("8.2", 1_000_000_000) == scaled("82", 100_000_000)
    True
    """
    return float(f"{value(digits) * unit:.12g}")


def english_numbers(words: str) -> tuple[Counter[float], set[float]]:
    """The numbers of an English text in digits, and those that its words say.

    >>> english_numbers("138 million of 16 layers, twenty-five of them")[0]
    Counter({138000000.0: 1, 16.0: 1})
    >>> 25 in english_numbers("twenty-five of sixty thousand")[1], 60_000 in english_numbers("sixty thousand")[1]
    (True, True)
    """
    digits: Counter[float] = Counter()
    spoken: set[float] = set()
    for match in ENGLISH_NUMBER.finditer(words):
        digits[scaled(match[1], SCALES.get(match[2] or "", 1))] += 1
    said = re.findall(r"[a-z]+", words.lower())
    for place, word in enumerate(said):
        singular = word.removesuffix("s")
        after = said[place + 1] if place + 1 < len(said) else ""
        own: list[float] = []
        if word in ONES or singular in ("zero", "one", "two", "three", "four"):
            own = [ONES.index(word if word in ONES else singular)]
        elif word in TENS:
            own = [TENS[word]] + ([TENS[word] + ONES.index(after)] if after in ONES[1:10] else [])
        elif word.removesuffix("s") in ORDINALS:  # the third, a third, two thirds, a twenty-fifth
            own = [ORDINALS[word.removesuffix("s")], 1]
            if place and said[place - 1] in TENS:
                own.append(TENS[said[place - 1]] + own[0])
        elif word in OTHERS:
            own = list(OTHERS[word])
        elif singular in SCALES:
            own = [SCALES[singular]]
        spoken |= set(own)
        for later in said[place + 1 : place + 3]:
            spoken |= {one * SCALES[later] for one in own if later in SCALES}
        if said[place : place + 3] == ["and", "a", "half"]:  # one and a half, a point and a half
            before = [ONES.index(one) for one in said[max(0, place - 2) : place] if one in ONES] or [1]
            spoken |= {before[-1] + 0.5}
    return digits, spoken


# What stands between numbers that share the unit behind the last of them.
SHARED = re.compile(r",? (?:and|or|of|to|against|instead of|in place of) |, ")


def units_left_out(words: str) -> dict[float, float]:
    """Numbers of which the unit is said with a later one, and what they are with it.

    >>> units_left_out("3.8, 4.1 and 8.2 billion FLOPs of 3 networks")
    {4.1: 4100000000.0, 3.8: 3800000000.0}
    """
    found: dict[float, float] = {}
    unit, begins = "", len(words)
    for number in reversed(list(ENGLISH_NUMBER.finditer(words))):
        if number[2] or not SHARED.fullmatch(words, number.end(), begins):
            unit = number[2] or ""
        elif unit:
            found[value(number[1])] = scaled(number[1], SCALES[unit])
        begins = number.start()
    return found


def korean_numbers(words: str, wanted: Container[float] = ()) -> Counter[float]:
    """The numbers of a Korean text in digits, with the units that multiply them.

    만 is also a particle, `only`: it is taken for one where that gives a number that is wanted.

    >>> korean_numbers("1억 3,800만 개, 224와 6만, 11×11")
    Counter({11.0: 2, 138000000.0: 1, 224.0: 1, 60000.0: 1})
    >>> korean_numbers("4분의 1만 남습니다", {1.0, 4.0})
    Counter({4.0: 1, 1.0: 1})
    """
    found: Counter[float] = Counter()
    for match in KOREAN_NUMBER.finditer(words):
        bare, total = value(match[1]), scaled(match[1], factor(match[2]))
        if match[3] and match[2]:  # 1억 3,800만
            total += value(match[3]) * factor(match[4])
        elif match[3]:
            found[value(match[3]) * factor(match[4])] += 1
        found[bare if match[2] and total not in wanted and bare in wanted else total] += 1
    return found


def factor(unit: str | None) -> float:
    product = 1.0
    for letter in unit or "":
        product *= KOREAN_SCALES[letter]
    return product


def names_and_rest(words: str) -> tuple[set[str], str]:
    """Names with digits in them, and the text without them.

    >>> names, rest = names_and_rest("LeNet-5 of the 1990s, B0-B7, a 16-layer net")
    >>> sorted(names), rest.count("\ufffc"), rest[1:14]
    (['B0', 'B7', 'LeNet-5'], 2, ' of the 1990 ')
    """
    names: set[str] = set()

    def take(match: re.Match[str]) -> str:
        found = match[0].rstrip(".")
        if NO_NAME.fullmatch(found):
            return re.sub(r"(?<=\d)(?=[a-z])|-", " ", re.sub(r"(?<=\d)(?:s|st|nd|rd|th)$", " ", match[0]))
        pieces = re.split(r"[-/]", found)
        names.update(pieces if all(re.search(r"\d", piece) for piece in pieces) else [found])
        return "\ufffc"

    rest = NAME.sub(take, words)
    return names, rest


# What a message must share with its English


def parts_that_differ(english: Anatomy, korean: Anatomy) -> Iterator[Fault]:
    for kind in dict.fromkeys([*english.parts, *korean.parts]):
        here, there = english.parts.get(kind, Counter()), korean.parts.get(kind, Counter())
        lost, new = here - there, there - here
        if lost:
            yield Fault(kind, f"missing: {listed(lost)}")
        if new:
            yield Fault(kind, f"not in the English: {listed(new)}")
    if lost_bold(korean) and not lost_bold(english):
        yield Fault(
            "emphasis",
            "asterisks stay visible: put them around the Korean word only, **합성곱**(convolution)은, "
            "since a closing ** between a bracket or quote and a letter closes nothing",
        )


def lost_bold(korean: Anatomy) -> bool:
    return "**" in korean.words


def listed(parts: Counter[str]) -> str:
    return ", ".join(
        f"{what} ({count} times)" if count > 1 else what for what, count in sorted(parts.items())
    )


def numbers_that_differ(english: str, korean: str) -> Iterator[Fault]:
    names, rest = names_and_rest(english)
    korean_names, korean_rest = names_and_rest(korean)
    if names - korean_names:
        yield Fault("name", f"missing: {', '.join(sorted(names - korean_names))}")
    if korean_names - names:
        yield Fault("name", f"not in the English: {', '.join(sorted(korean_names - names))}")
    digits, spoken = english_numbers(rest)
    elided = units_left_out(rest)
    found = korean_numbers(korean_rest, set(digits) | spoken | set(elided.values()))
    lost = digits - found
    new = [one for one in found - digits if one not in spoken and one not in digits]
    for bare, whole in elided.items():
        if bare in lost and whole in new:
            lost[bare] -= 1
            new.remove(whole)
    lost = +lost
    if lost:
        yield Fault("number", f"missing: {', '.join(f'{one:,g}' for one in sorted(lost))}")
    if new:
        yield Fault("number", f"not in the English: {', '.join(f'{one:,g}' for one in sorted(new))}")


SIGNED = re.compile(rf"(?:^|(?<=[\s(\[,:]))[-−]\s?({DIGITS})", re.ASCII)
PERCENT = "%"
UNIT = re.compile(
    rf"(?<![\w.])({DIGITS})[\s-]?(%|per\s?cent\b|퍼센트(?!포인트)|[kKMGTP]?i?B(?![A-Za-z0-9])"
    r"|(?:[mµμn]|(?<=\s))s(?![A-Za-z])|[kMG]?Hz)",  # 1990s are no seconds
    re.ASCII,
)
ARROW = re.compile(rf"(?<![\d.,])({DIGITS})\s?(?:→|->|⟶)\s?(?=({DIGITS}))", re.ASCII)
FROM_TO = re.compile(rf"\bfrom ({DIGITS})(?: [A-Za-z%]+)? to ({DIGITS})", re.ASCII)
ADDRESS = re.compile(r"https?://[^\s<>()가-힣]+[^\s<>()가-힣.,;:]")
# A name with capitals within: AlexNet, PyTorch, NiN. The other networks of the course are written in capitals.
CAPITALS = re.compile(r"(?<![A-Za-z_.])(?:VGG|[A-Z][a-z]+[A-Z][A-Za-z]*)", re.ASCII)


def units(words: str) -> set[tuple[float, str]]:
    """Numbers and the unit behind each.

    >>> sorted(units("15.3 % or 4 per cent of 2 GB, 5퍼센트, 1퍼센트포인트"))
    [(2.0, 'GB'), (4.0, '%'), (5.0, '%'), (15.3, '%')]
    """
    spelt = {"percent", "per cent", "퍼센트"}
    return {(value(m[1]), PERCENT if m[2] in spelt else m[2]) for m in UNIT.finditer(words)}


def signs_and_units_that_differ(english: str, korean: str) -> Iterator[Fault]:
    """What belongs to a number beside its digits; a number that the English spells out may bring its own."""
    here, there = Counter(SIGNED.findall(english)), Counter(SIGNED.findall(korean))
    spelt = re.search("minus|negative", english, re.IGNORECASE)
    if here - there or (there - here and not spelt):
        changed = (here - there) + (there - here)
        yield Fault("number", f"a minus sign is lost or new: {', '.join(sorted(changed))}")
    before, after = units(english), units(korean)
    percents = any(unit == PERCENT for _, unit in before) or re.search(r"\bper\s?cent", english)
    new = {one for one in after - before if one[1] != PERCENT or not percents}
    for what, lost in (("missing", before - after), ("not in the English", new)):
        if lost:
            yield Fault("unit", f"{what}: {', '.join(f'{one:,g} {unit}' for one, unit in sorted(lost))}")


def orders_that_differ(english: str, korean: str) -> Iterator[Fault]:
    """Two numbers of which one comes of the other: an arrow, or `from ... to`."""
    if Counter(ARROW.findall(english)) != Counter(ARROW.findall(korean)):
        yield Fault("order", "the numbers before and behind an arrow are others")
    moves = set(FROM_TO.findall(english))
    for start, end in moves:
        turned = (
            rf"(?<![\d.,]){re.escape(end)}[^\d]{{0,8}}(?:에서|부터)[^\d]{{0,12}}{re.escape(start)}(?![\d.,])"
        )
        if start != end and (end, start) not in moves and re.search(turned, korean):
            yield Fault("order", f"from {start} to {end} in the English, from {end} to {start} here")


def names_and_addresses_that_differ(english: str, korean: str) -> Iterator[Fault]:
    if Counter(ADDRESS.findall(english)) != Counter(ADDRESS.findall(korean)):
        yield Fault("link", "an address in the text is another or missing")
    here, there = (
        {one.removesuffix("s") for one in CAPITALS.findall(ADDRESS.sub("", text))}
        for text in (english, korean)
    )
    if here - there:
        yield Fault("name", f"missing: {', '.join(sorted(here - there))}")


def terms_that_differ(english: str, korean: str, terms: Iterable[Term]) -> Iterator[Fault]:
    rest = english
    for term in terms:
        if not term.pattern.search(rest):
            continue
        rest = term.pattern.sub("\ufffc", rest)
        if term.held and not term.used_in(korean):
            yield Fault("term", f"{term.english} is {' or '.join(term.allowed)} in this course")


# What Korean says in words: numbers, the sense of a sentence, how many sentences there are

NATIVE = {"세": 3, "네": 4, "다섯": 5, "여섯": 6, "일곱": 7, "여덟": 8, "아홉": 9, "열": 10, "열한": 11,
          "열두": 12, "셋": 3, "넷": 4, "셋째": 3, "넷째": 4, "다섯째": 5, "여섯째": 6, "일곱째": 7}  # fmt: skip
# Before what is counted (세대 is a generation, and 열 is a column), and what counts by itself.
COUNTED = re.compile(
    r"(?<![가-힣])(?:(열)(?= ?(?:개|번|배|가지))|(세|네|다섯|여섯|일곱|여덟|아홉|열한|열두)(?= ?(?:개|번|배"
    r"|가지|장|곳|쪽|층|단계|줄|칸|차례|단어|사람|시간|달|벌|쌍|편|점|항|축|행|변|값|수|네트워크|계층|합성곱"
    r"|블록|타워|분기|함수|이미지|텐서|인자|채널|스테이지|문장|부분)(?!대))"
    r"|([셋넷]째?|다섯째|여섯째|일곱째)(?![째가-힣])|([셋넷])(?=[은이을과만입]|으로))"
)
# How a message may say a number that the English has in words; two has many more ways than these.
SAID_AS = {
    2: "두|둘|2|양|쌍|이중|짝|반|서로|함께|각각|이진|이차|제곱|배", 3: "세|셋|3|삼|서너", 4: "네|넷|4|사분|서너|사방",
    5: "다섯|5", 6: "여섯|6", 7: "일곱|7", 8: "여덟|8", 9: "아홉|9", 10: "열|10|십|첫째", 11: "열하나|열한|11",
    12: "열두|열둘|12",
}  # fmt: skip
FIRST = re.compile(r"(?<!\{)\bfirst\b(?! try)", re.IGNORECASE)
SAID_FIRST = re.compile("첫|처음|먼저|우선|1|일단|최초|맨|초(?:기|반)|앞|애초|부터")
NO_FIRST = re.compile(r"(?<![가-힣])첫(?!째,)(?! 자리)")
FIRST_IN_OTHER_WORDS = re.compile(
    r"first|one|\b[01]\b|begin|start|initial|\btop\b|new|earl|open|front|most|unit|tenth|ahead|before",
    re.IGNORECASE,
)


def counts_that_differ(english: str, korean: str) -> Iterator[Fault]:
    """Numbers in Korean words that the English has not, and numbers in English words that the Korean has lost.

    >>> [fault.says for fault in counts_that_differ("It has three layers.", "계층이 네 개입니다.")]
    ['three is lost', '네 is not in the English']
    """
    digits, spoken = english_numbers(names_and_rest(english)[1])
    said = re.findall(r"[a-z]+", english.lower().replace("powers of ten", ""))
    for word, after in zip(said, [*said[1:], ""], strict=True):
        count = ORDINALS.get(word, ONES.index(word) if word in ONES else 0)
        wanted = SAID_AS.get(count if count > 2 or word == "two" else 0)
        if wanted and after not in SCALES and not re.search(wanted, korean):
            yield Fault("number", f"{word} is lost")
    for match in COUNTED.finditer(korean):
        found = next(filter(None, match.groups()))
        if NATIVE[found] not in spoken and NATIVE[found] not in digits:
            yield Fault("number", f"{found} is not in the English")
    if FIRST.search(english) and not SAID_FIRST.search(korean):
        yield Fault("number", "first is lost")
    if NO_FIRST.search(korean) and not FIRST_IN_OTHER_WORDS.search(english):
        yield Fault("number", "첫 is not in the English")


ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|al|vs|etc|Fig|no)\.")
STOP = re.compile(r"(?<=[.!?])[)”’\"]*(?:\s+|$)")


def sentences(words: str) -> list[str]:
    """
    >>> sentences("It has e.g. 2.5 layers. (Why?) So it is")
    ['It has  2.5 layers.', '(Why?', 'So it is']
    """
    return [one for one in STOP.split(ABBREVIATED.sub("", words)) if one.strip()]


NEGATED = re.compile(r"\b(?:not|never|nothing(?!.*\bbut\b)|nobody|cannot)\b|n't\b")
# With what Korean says no, and what it says instead: 틀리다, 다르다, 빼다, 남기다.
NEGATIVE = re.compile(
    "않|아[니닌닙닐님]|없|못|말[고아]|(?<![가-힣])안 |모[르릅른]|몰[라랐]|불[가필]|무관|무시|덜|빠[진졌지뜨]"
    "|틀[리린렸]|거짓|제외|다[르른릅름]|달[라랐]|밖에|미만|이상|이하|대신|금지|거부|실패|잃|비어|[빼뺀뺍]|그대로|그치"
    "|벗어|드[물뭅]|모자|부족|막|잘못|뿐|마[세십]|하나만|까지만|아직"
)
MORE, SAID_MORE = (
    re.compile(r"\b(?:more(?! than)|larger|greater|higher|faster|bigger|wider|deeper)\b", re.IGNORECASE),
    re.compile("많|[크큰커클]|높|[길긴]|빠[르른]|빨|늘|넓|깊|더|이상|초과"),
)
LESS, SAID_LESS = (
    re.compile(r"\b(?:(?:less|fewer)(?! than)|smaller|lower|slower|narrower|shallower)\b", re.IGNORECASE),
    re.compile("적|작|낮|짧|느[리린려]|덜|줄|좁|얕|이하|미만|않|없|못|아니"),
)


def sense_that_differs(english: str, korean: str) -> Iterator[Fault]:
    """Sentences that have lost their no, or say less for more. Nothing is known where their number is another.

    >>> [fault.says for fault in sense_that_differs("It does not train.", "훈련됩니다.")]
    ['no in the English, not here: 훈련됩니다.']
    >>> [fault.says for fault in sense_that_differs("So be it. It is larger than C1.", "좋습니다. C1보다 작습니다.")]
    ['more in the English, less here: C1보다 작습니다.']
    """
    ours, theirs = sentences(english), sentences(korean)
    for one, other in zip(ours, theirs, strict=True) if len(ours) == len(theirs) else ():
        negated = NEGATED.search(one)
        if negated and not re.search("[:;] ", one) and not NEGATIVE.search(other):
            yield Fault("sense", f"no in the English, not here: {other}")
        if negated or " than " not in one:
            continue
        said = bool(MORE.search(one)), bool(LESS.search(one))
        here = bool(SAID_MORE.search(other)), bool(SAID_LESS.search(other))
        if said == (True, False) and here == (False, True):
            yield Fault("sense", f"more in the English, less here: {other}")
        if said == (False, True) and here == (True, False):
            yield Fault("sense", f"less in the English, more here: {other}")


# What Korean demands by itself

MISSPELT = re.compile(
    r"[가-힣]*(?:슴니[다까]|읍니[다까]|슴다|[을를은는]{2}|(?<=[가-힣])(?:에서에서|으로으로|에에))(?![가-힣])"
)
TWICE = re.compile(r"(?<![가-힣])([가-힣]+)\s+\1(?![가-힣])")
LATIN = re.compile(r"(?<![A-Za-z\d_.\-/=@<(\[{])(?<!\d )[a-z]{3,}(?![A-Za-z\d_(=\-/]|\.[A-Za-z]| [-+*/])")
# An original in brackets or before them, what is quoted, what a program says, an address; titles and what is clicked.
ORIGINAL = re.compile(
    r"\([^()가-힣]*\)|“[^”가-힣]*”|‘[^’가-힣]*’|\"[^\"가-힣]*\"|https?://\S+|\{[^{}]*\}|\w*Error: [^가-힣]*"
    r"|· [^가-힣]*$|[A-Za-z ]+(?=\([가-힣])|[A-Z][\w'-]*(?: (?:(?:and|of|the|in|into|for|a|to) )*[A-Z][\w'-]*)+"
)


EMPHASISED = re.compile(r"(?<!\*)\*([^*`가-힣]+)\*(?!\*)")  # an original, too: *drop connect*


@cache
def kept() -> frozenset[str]:
    """Latin words in small letters that Korean messages may keep: names, and words of code."""
    return frozenset(tomllib.loads((LOCALE / "terms.toml").read_text(encoding="utf-8"))["kept"]["words"])


def words_left(korean: str, originals: Iterable[str] = ()) -> Iterator[Fault]:
    """
    >>> [fault.says for fault in words_left("network는 tanh를 씁니다.")]
    ['network is English; where it is a name or code, add it to kept in terms.toml']
    """
    if not HANGUL.search(korean):
        return
    for original in originals:
        korean = korean.replace(original, " ")
    rest = ORIGINAL.sub(lambda found: "(" if found[0].startswith("(") else " ", korean)
    for word in dict.fromkeys(LATIN.findall(rest)):
        if word not in kept():
            yield Fault(
                "translation", f"{word} is English; where it is a name or code, add it to kept in terms.toml"
            )


# How names are read, where their spelling does not say it: whether they end in a consonant, and whether in ㄹ.
OPEN, CLOSED, LIQUID = (False, False), (True, False), (True, True)
READ = {"MAC": CLOSED, "GAP": CLOSED, "OR": OPEN, "XOR": OPEN, "Dropout": CLOSED, "Colab": CLOSED, "NaN": CLOSED,
        "JupyterLab": CLOSED, "JSON": CLOSED, "Moodle": LIQUID, "git": CLOSED, "pip": CLOSED,
        "tanh": OPEN}  # fmt: skip
ENDINGS = (
    (r"[A-Z]*[MN]|m|n", CLOSED), (r"[A-Z]*[LR]|l|r", LIQUID), (r"[A-Z]+|[a-z]", OPEN), (r".*[Nn]et", CLOSED),
    (r".*(?:[aiouy]|LU|er|or|ar)", OPEN), (r".*(?:[sxzfvd]|sh|ch|th|[nrlscp]t|[nrls]k)", OPEN),
    (r".*[aeiou](?:n|m|ng)", CLOSED), (r".*[aeiou]l", LIQUID),
)  # fmt: skip
AFTER_NAME = re.compile(
    r"(?<![A-Za-z\d_\-./^])(?P<name>[A-Za-z]+)(?P<between>\*{0,2})(?P<particle>은|는|이|가|을|를|과|와|으로|로)(?![가-힣])",
    re.ASCII,
)


def sound(name: str) -> tuple[bool, bool] | None:
    """How a name in Latin letters ends when it is read; None where its letters do not say that for certain.

    >>> [sound(name) for name in ("ResNet", "VGG", "URL", "MAC", "reshape")]
    [(True, False), (False, False), (True, True), (True, False), None]
    """
    if re.fullmatch("[IVX]", name):
        return None  # a number of the Romans
    return READ.get(name) or next((found for end, found in ENDINGS if re.fullmatch(end, name)), None)


def particles_of_names(korean: str) -> Iterator[Fault]:
    for match in AFTER_NAME.finditer(korean):
        read, particle = sound(match["name"]), match["particle"]
        if read is None:
            continue
        after_consonant, after_vowel = language.SINGLE[particle]
        closed = read[0] and not (read[1] and after_vowel == "로")
        if particle != (right := after_consonant if closed else after_vowel):
            yield Fault("particle", f"{match[0]!r}: {right}, not {particle}")


PLAIN_ENDING = re.compile(r"(?<![니시])다(?=[.:!](?:\s|$|[)\]”’\"]))")
SENTENCE = re.compile(r"[.!?:](?:\s|$)")
# 해요체 but for the endings of questions and requests, which the course uses beside 합니다체.
CASUAL_ENDING = re.compile(r"(?<![세까나는가필중주개수])요(?=[.:!?](?:\s|$|[)\]”’\"]))")
LAST_WORD = re.compile(r"([가-힣]*([가-힣]))[.!]$")
UNWANTED = {
    r"당신": "leave out the word for `you`",
    r"되어지|보여지|잊혀지|불리우": "a double passive; write 됩니다, 보입니다, 불립니다",
    r"에 있어서": "translated syntax; write 에서 or rephrase",
    r"그녀|그것들": "Korean drops the pronoun or repeats the noun",
    r"[一-龥]": "no Chinese characters",
}
# Particles by what stands before them: (after a final consonant, after a vowel).
AFTER = re.compile(
    r"(?P<last>[가-힣0-9])(?P<between>\*{0,2}(?:\([^()가-힣]*\))?\*{0,2})"
    r"(?P<particle>은|는|이|가|을|를|과|와|으로|로)(?![가-힣])"
)


def without_right_particle(word: str) -> Iterator[tuple[str, str]]:
    """A word without what may be its particle, and that particle, where the two fit.

    >>> list(without_right_particle("채널은")), list(without_right_particle("채널는"))
    ([('채널', '은')], [])
    """
    for particle in ("에", "에서", "의", "도", *language.SINGLE):
        noun = word.removesuffix(particle)
        if noun != word and len(noun) >= 2 and fitting(noun[-1], particle) == particle:
            yield noun, particle


@cache
def nouns() -> set[str]:
    """Words that all catalogues together use with three particles or more, which no form of a verb does."""
    text = "\n".join(path_of(page).read_text(encoding="utf-8") for page in pages())
    seen: dict[str, set[str]] = {}
    for word in set(re.findall(r"[가-힣]{3,}", text)):
        for noun, particle in without_right_particle(word):
            seen.setdefault(noun, set()).add(particle)
    return {noun for noun, particles in seen.items() if len(particles) >= 3}


@cache
def english_words() -> set[str]:
    """The words that English messages write in small letters: no names."""
    text = " ".join(entry.msgid for page in pages() for entry in catalogue(page))
    return set(re.findall(r"(?<![\w.`/({<=-])[a-z]{2,}(?!\.?[\w`/])", text))


def particles_that_do_not_fit(korean: str) -> Iterator[Fault]:
    for match in AFTER.finditer(korean):
        last, particle = match["last"], match["particle"]
        if not match["between"] and not last.isdigit():
            continue  # within one word, the syllables may be its own
        if last.isdigit() and (NAME.search(korean[: match.end("last")].rsplit(" ", 1)[-1])):
            continue  # 18 in ResNet-18 is read in more than one way
        if last.isdigit() and korean[: match.start("last")].endswith("^"):
            continue  # read as a power, 제곱
        right = fitting(last, particle)
        if particle != right:
            yield Fault("particle", f"{match[0]!r}: {right}, not {particle}")
    for word in re.findall(r"[가-힣]{3,}", korean):
        for particle in ("으로", "로", "은", "는", "이", "가", "을", "를", "과", "와"):
            noun = word.removesuffix(particle)
            if noun == word:
                continue
            right = fitting(noun[-1:] or "가", particle)
            if right != particle and noun in nouns():
                yield Fault("particle", f"{word!r}: {right}, not {particle}")
            break


def fitting(last: str, particle: str) -> str:
    """The form of a particle that fits behind a syllable or digit.

    >>> fitting("널", "는"), fitting("널", "으로"), fitting("드", "이"), fitting("드", "에")
    ('은', '로', '가', '에')
    """
    return language.fitting(last, particle) if particle in language.SINGLE else particle


def impolite(text: str) -> str:
    """The end of a sentence in 해요체, or of the last one where it is 해체 or a verb made a noun; "" where none is.

    >>> impolite("망이 배워요."), impolite("망이 배워."), impolite("망이 배움."), impolite("배웁니다. 왜 그럴까요?")
    ('배워요', '배워', '배움', '')
    """
    if found := CASUAL_ENDING.search(text):
        return re.split(r"[^가-힣]", text[: found.end()])[-1]
    last = LAST_WORD.search(text.strip())
    if not last or len(last[1]) < 2 or last[2] == "다" or last[1] in nouns():  # PLAIN_ENDING has 다
        return ""
    vowel, final = divmod((ord(last[2]) - 0xAC00) % 588, 28)
    # Open, with the vowel of 아, 어 or what they make with a stem's: 해, 서, 려, 와, 돼, 워; or with a final ㅁ.
    return last[1] if (not final and vowel in (0, 1, 4, 6, 9, 10, 14)) or final == 16 else ""


def style(korean: Anatomy, heading: bool) -> Iterator[Fault]:
    text = korean.words
    if not heading and PLAIN_ENDING.search(text):
        place = PLAIN_ENDING.search(text)
        assert place is not None
        yield Fault(
            "style", f"ends plainly, not in 합니다체: …{text[max(0, place.start() - 12) : place.end() + 1]}"
        )
    if not heading and (ending := impolite(text)):
        yield Fault("style", f"ends in {ending}, not in 합니다체")
    for pattern, why in UNWANTED.items():
        if found := re.search(pattern, text):
            yield Fault("style", f"{found[0]}: {why}")
    yield from particles_that_do_not_fit(text)
    yield from particles_of_names(text)


REPEATED = re.compile(r"(?:^|(?<=[.!?]\s))(\S[^.!?]*[가-힣][^.!?]*[.!?])\s+\1(?=\s|$)")


def slips(english: str, korean: str) -> Iterator[Fault]:
    if (found := REPEATED.search(korean)) and not re.search(r"(\w[^.!?]*[.!?])\s+\1", english):
        yield Fault("markup", f"says a sentence twice: {found[1]}")
    if re.search(r"(?<![./])\.\.(?![./\w])", korean) and ".." not in english:
        yield Fault("markup", "has two full stops")
    if found := MISSPELT.search(korean):
        yield Fault("spelling", f"{found[0]} is misspelt")
    if (found := TWICE.search(korean)) and not re.search(r"(?i)\b(\w+) (?:of )?\1\b", english):
        yield Fault("spelling", f"says a word twice: {found[0]}")
    whole, said = len(sentences(english)), len(sentences(korean))
    if whole > 1 and 2 * said < whole:
        yield Fault("translation", f"{said} sentences for {whole}; is one left out?")


def is_ordinary(english: str) -> bool:
    """Whether a message is one word that has a capital only since it comes first."""
    word = re.fullmatch(r"([A-Z][a-z]+)[.:?!]?", english.strip())
    return word is not None and word[1].lower() in english_words()


def only_names(english: Anatomy) -> bool:
    """Whether nothing in a message can be translated: names, symbols, figures."""
    return not re.search(r"(?<![\w.-])[a-z]{2,}(?![\w.]*\d)", PLACEHOLDER.sub("", english.words))


def faults(
    english: str, korean: str, terms: Iterable[Term], heading: bool = False, label: bool = False
) -> list[Fault]:
    """All that is wrong with a translated message. A label, such as the name of a network, may be left as it is."""
    if korean == english:
        if not is_ordinary(english) and (label or only_names(anatomy(english))):
            return []
        return [Fault("translation", "is the English sentence")]
    one, other = anatomy(english), anatomy(korean)
    found = list(parts_that_differ(one, other))
    if other.blocks != 1 and one.blocks == 1:
        found.append(Fault("markup", "is not one paragraph; does it begin like a list or a heading?"))
    if not HANGUL.search(korean):
        found.append(Fault("translation", "has no Korean, and is not the English as it stands"))
    holders = [sorted(Counter(PLACEHOLDER.findall(text)).items()) for text in (one.words, other.words)]
    if holders[0] != holders[1]:
        found.append(Fault("placeholder", f"{holders[0]} in the English, {holders[1]} here"))
    words = [PLACEHOLDER.sub("\ufffc", text) for text in (one.words, other.words)]
    found += numbers_that_differ(*words)
    found += signs_and_units_that_differ(*words)
    found += orders_that_differ(*words)
    found += names_and_addresses_that_differ(*words)
    found += slips(*words)
    found += counts_that_differ(*words)
    found += sense_that_differs(*words)
    found += words_left(words[1], EMPHASISED.findall(korean))
    found += terms_that_differ(words[0], korean, terms)
    found += style(other, heading)
    return found


# Catalogues


@dataclass(frozen=True)
class Finding:
    """A message that the gate does not let through: "missing", "fuzzy" or what is wrong."""

    entry: polib.POEntry
    faults: tuple[Fault, ...]


def path_of(page: str) -> Path:
    if page == PACKAGE:
        return ROOT / "casestudies" / "locale" / "ko.po"
    if page == EXPLORERS:
        return ROOT / "casestudies" / "explorers" / "locale" / "ko.po"
    return LOCALE / f"{page}.po" if page.startswith(f"{ASSIGNMENTS}/") else CATALOGUES / f"{page}.po"


def pages() -> list[str]:
    """All catalogues: the pages, the words around them, the package, its explorers, and the assignments."""
    own = (path.stem for path in CATALOGUES.glob("*.po"))
    assignments = (f"{ASSIGNMENTS}/{path.stem}" for path in (LOCALE / ASSIGNMENTS).glob("*.po"))
    return sorted([*own, *assignments, *(one for one in (PACKAGE, EXPLORERS) if path_of(one).is_file())])


def finished_pages() -> list[str]:
    """The pages in locale/ko/finished.txt, where nothing may be missing."""
    lines = FINISHED.read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def demanded(page: str, entry: polib.POEntry) -> bool:
    """Whether a finished page may not lack a message: what a new assignment says may wait for its page."""
    source = re.match(r"\[\w+\] (\w+)", entry.comment) if page in (PACKAGE, EXPLORERS) else None
    if source is None or not (ROOT / "solutions" / f"{source[1]}.md").is_file():
        return True
    return source[1] in finished_pages()


QUOTED_LINE = re.compile(r'(?:msg[a-z]+(?:\[\d+\])? )?"(?:[^"\\]|\\.)*"')


def catalogue(page: str) -> polib.POFile:
    path = path_of(page)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; the pages are {', '.join(pages())}.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if line.startswith(("msg", '"')) and not QUOTED_LINE.fullmatch(line):  # which polib would take
            raise ValueError(
                f"{path}, line {number}: {shortened(line, 40)} has no closing quote; expected a whole catalogue: "
                "take it from git, then make gettext."
            )
    try:
        return polib.pofile(str(path), wrapwidth=100)
    except OSError as error:
        raise ValueError(f"{path} is no catalogue: {error}; take it from git, then make gettext.") from None


def lacking(page: str, entries: Iterable[polib.POEntry], messages: Iterable[Message]) -> list[Finding]:
    """The messages of the English that a catalogue does not have, and where it has none of them, all."""
    held = {(entry.msgctxt, entry.msgid) for entry in entries if not entry.obsolete}
    wrong = (Fault("missing", f"{page}.po does not have it: make gettext"),)
    wanted = {message.key: message for message in messages}
    return [
        Finding(polib.POEntry(msgctxt=key[0], msgid=key[1], comment=message.comment), wrong)
        for key, message in wanted.items()
        if key not in held
    ]


def check(entries: Iterable[polib.POEntry], terms: list[Term]) -> list[Finding]:
    """What the gate has against these entries, in their order."""
    found = []
    for entry in entries:
        if entry.obsolete:
            continue
        if entry.fuzzy:
            wrong = [
                Fault("fuzzy", "the English has changed; revise the Korean, then remove the `fuzzy` line")
            ]
        elif not entry.msgstr:
            wrong = [Fault("missing", "not translated")]
        else:
            wrong = faults(
                entry.msgid,
                entry.msgstr,
                terms,
                heading=is_heading(entry),
                label=entry.comment.startswith(("[label]", "[output]", "[comment]")),
            )
        if wrong:
            found.append(Finding(entry, tuple(wrong)))
    return found


def is_heading(entry: polib.POEntry) -> bool:
    """Headings, labels and comments of code may end as nouns do. Definitions of the glossary do, too."""
    return any(kind in entry.comment for kind in ("[heading]", "[label]", "[term]", "[comment]"))


def show(findings: list[Finding]) -> None:
    for finding in findings:
        kinds = ", ".join(dict.fromkeys(fault.kind for fault in finding.faults))
        print(f"\n{f'line {finding.entry.linenum}' if finding.entry.linenum else 'no line'}: {kinds}")
        print(f"  English: {shortened(finding.entry.msgid)}")
        if finding.entry.msgstr:
            print(f"  Korean:  {shortened(finding.entry.msgstr)}")
        for fault in finding.faults:
            if fault.kind != "missing":
                print(f"  - {fault.kind}: {fault.says}")


def shortened(text: str, most: int = 150) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}…"


def summary(terms: list[Term]) -> int:
    """A line for each page and for each catalogue; how many messages are left to do in all.

    Each page has its catalogue, and each catalogue all messages of its page: they are read from the English.
    """
    import catalogues

    left = 0
    done = finished_pages()
    wanted = catalogues.messages_by_catalogue()
    print(f"{'page':24s} {'messages':>8s} {'translated':>10s} {'missing':>8s} {'fuzzy':>6s} {'faults':>7s}")
    for page in sorted({*pages(), *wanted, *done}):
        entries = catalogue(page) if path_of(page).is_file() else []
        found = [*check(entries, terms), *lacking(page, entries, wanted.get(page, []))]
        absent = not path_of(page).is_file() or page not in wanted
        left += len(found) + absent
        kinds = Counter(finding.faults[0].kind for finding in found)
        missing, fuzzy = kinds["missing"], kinds["fuzzy"]
        wrong = len(found) - missing - fuzzy
        print(
            f"{page:24s} {len(entries):8d} {len(entries) - missing - fuzzy:10d} {missing:8d} {fuzzy:6d} {wrong:7d}"
            f"{'  finished' if page in done else ''}{'  ' + absence(page) if absent else ''}"
        )
    return left


def absence(page: str) -> str:
    return "no page has these messages" if path_of(page).is_file() else "no catalogue: make gettext"


def finish(page: str) -> None:
    done = sorted({*finished_pages(), page})
    head = [line for line in FINISHED.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    FINISHED.write_text("\n".join([*head, *done]) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    options = argparse.ArgumentParser(
        prog="gate.py", description="What is missing or wrong in the Korean messages."
    )
    options.add_argument("page", nargs="*", help="a page, such as lenet (default: a line for each)")
    options.add_argument("--terms", action="store_true", help="print the table of terms")
    options.add_argument("--translated", action="store_true", help="leave out what is only missing")
    options.add_argument("--finish", metavar="PAGE", help="list a page as finished, where nothing is left")
    given = options.parse_args(arguments)
    terms = held_words()
    if given.terms:
        for term in sorted(terms, key=lambda term: term.english.lower()):
            held = "" if term.held else "   (not held by the lint: an everyday word, too)"
            print(f"{term.english:32s} {' | '.join(term.allowed)}   first: {term.first_use}{held}")
        return 0
    try:
        named = given.page or ([given.finish] if given.finish else [])
        if not named:
            return 1 if summary(terms) else 0
        import catalogues

        wanted = catalogues.messages_by_catalogue(named)
        count = 0
        for page in named:
            entries = catalogue(page)
            found = [*check(entries, terms), *lacking(page, entries, wanted.get(page, []))]
            if given.translated:
                found = [finding for finding in found if finding.faults[0].kind != "missing"]
            show(found)
            count += len(found)
            print(f"\n{page}: {len(entries)} messages, {len(found)} to do")
    except (FileNotFoundError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if given.finish and not count:
        finish(given.finish)
        print(f"{given.finish} is listed as finished.")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
