"""Search in Korean, where a word carries its particles: 병목은, 병목을 and 병목이 are to be found as 병목.

Two things, both the same in Python (the index) and in the browser (the query). The particle or the ending of a verb
is cut off a word, where at least two syllables remain. And the index has every two neighbouring syllables of a longer
word, so that 병목 is found in 선형병목층, and 합성곱 where somebody writes 점별합성곱. Words in Latin letters are
searched as in English.

A word of the query that the book does not have is tried in other ways in the browser: another word for the same term
(those of the glossary and of locale/ko/terms.toml), or cut into words of the index, 배치정규화 into 배치 and 정규화.
"""

from __future__ import annotations

import json
import re
import tomllib

from sphinx.search.en import SearchEnglish
from terms import HANGUL, SETTINGS, term_table

from casestudies.explorers.base import lean

# The longest first. What an ending leaves over must be two syllables or more.
PARTICLES = (
    "으로부터 에서부터 로부터 에서는 에서도 에게서 으로는 으로도 으로써 이라고 이라는 이라면 까지는 까지도 "
    "마다는 보다는 보다도 에서의 으로의 까지의 만으로 입니다 이라도 이지만 이므로 이어서 에는 에도 에서 에게 에만 "
    "으로 로는 로도 로써 로의 로서 와는 와의 과는 과의 라고 라는 이란 이며 이고 이나 이다 까지 부터 마다 "
    "만큼 만은 만을 만이 보다 처럼 하고 들은 들을 들이 들의 들과 들도 "
    "은 는 이 가 을 를 의 에 와 과 도 로 만 들 란 며 나"
).split()
# Verbs made of nouns, 정규화했습니다, and nouns that are said of something, 과적합이었습니다.
ENDINGS = (
    "이었습니다 되었습니다 하였습니다 했습니다 였습니다 됐습니다 었습니다 았습니다 합니다 됩니다 시킵니다 습니다 "
    "했지만 하지만 되지만 하면서 되면서 하거나 되거나 하므로 되므로 하도록 되도록 이었던 이라서 시키는 시키면 "
    "하려면 했다 한다 된다 하는 되는 하면 되면 하여 되어 해서 하지 되지 했던 되던 하기 되기 하게 되게 했고 되고 "
    "이면 인데"
).split()
CUT = sorted({*PARTICLES, *ENDINGS}, key=lambda one: (-len(one), one))
# What becomes of a stem in 지, such as 사라지-: always cut back to it.
INFLECTED = "졌습니다 집니다 졌지만 져서 져도 져야 지는 지면 지고 지지 지기 진다 졌다 진 질 져".split()
SIZES = re.compile(r"(?<=\d)\s*×\s*(?=\d)")
WORD = re.compile(r"[가-힣]+|[^\W가-힣]+")


def without_particle(word: str) -> str:
    """
    >>> [without_particle(word) for word in ("병목은", "채널을", "합성곱에서는", "평가", "기울기")]
    ['병목', '채널', '합성곱', '평가', '기울기']
    >>> [without_particle(word) for word in ("정규화했습니다", "과적합이었습니다", "사라집니다", "배웁니다")]
    ['정규화', '과적합', '사라지', '배우']
    """
    for ending in INFLECTED:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            return word[: -len(ending)] + "지"
    for ending in CUT:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            return word[: -len(ending)]
    if word.endswith("니다") and len(word) >= 4 and (ord(word[-3]) - 0xAC00) % 28 == BIEUP:
        return word[:-3] + chr(ord(word[-3]) - BIEUP)
    return word


BIEUP = 17  # the number of ㅂ among the final consonants, in the order of Unicode


def synonyms() -> dict[str, str]:
    """What a reader may type, without spaces, and the words of the book for it.

    >>> [synonyms()[word] for word in ("컨볼루션", "파라미터", "이미지넷")]
    ['합성곱', '매개변수', 'imagenet']
    """
    found = {}
    for term in term_table():
        for other in term.allowed[1:]:
            if HANGUL.search(other) and len(other) > 1:
                found[other.replace(" ", "")] = SIZES.sub("x", term.korean)
    for word, others in tomllib.loads(SETTINGS.read_text(encoding="utf-8"))["search"].items():
        found |= dict.fromkeys(others, word)
    return found


class SearchKorean(SearchEnglish):
    """The language `ko` of Sphinx's search."""

    lang = "ko"
    language_name = "Korean"

    js_splitter_code = lean(
        f"const SYNONYMS = new Map(Object.entries({json.dumps(synonyms(), ensure_ascii=False)}));\n"
        + r"""
function splitQuery(query) {
  const words = query.replace(/(\d)\s*×\s*(?=\d)/g, "$1x").match(/[가-힣]+|(?:(?![가-힣])[\p{L}\p{N}_])+/gu) ?? [];
  const index = typeof Search === "undefined" ? null : Search._index;
  const long = words.filter((word) => !/^[가-힣]$/.test(word));
  return index ? long.flatMap((word) => inWordsOfIndex(word, index)) : long;
}

// A Korean word that the book does not have: by another word for it, or cut into the longest words that the book has.
function inWordsOfIndex(word, index) {
  const has = (one) => Object.hasOwn(index.terms, one) || Object.hasOwn(index.titleterms, one);
  const within = (one) => one.length > 2 && Object.keys(index.terms).some((term) => term.includes(one));
  if (!/^[가-힣]/.test(word)) return [word];
  const stem = new Stemmer().stemWord(word);
  for (const one of [word, stem]) {
    if (has(one)) return [word];
    if (SYNONYMS.has(one)) return SYNONYMS.get(one).split(" ");
  }
  if (within(stem)) return [word];
  const cuts = new Map();
  // The fewest pieces of a text, each of two syllables or more; null where they do not cover it.
  function cut(text) {
    if (!text) return [];
    if (cuts.has(text)) return cuts.get(text);
    let best = null;
    for (let length = text.length; length >= 2; length--) {
      const piece = text.slice(0, length);
      if (!has(piece) && !SYNONYMS.has(piece)) continue;
      const rest = cut(text.slice(length));
      if (rest && (!best || rest.length + 1 < best.length)) best = [piece, ...rest];
    }
    cuts.set(text, best);
    return best;
  }
  // A last syllable that is no word of the index, as 층 in 완전연결층, may be left out.
  const pieces = cut(stem) ?? (stem.length > 4 ? cut(stem.slice(0, -1)) : null);
  return pieces?.flatMap((one) => (has(one) ? [one] : SYNONYMS.get(one).split(" "))) ?? [word];
}
"""
    )
    js_stemmer_code = lean(
        SearchEnglish.js_stemmer_code.replace("var Stemmer =", "var EnglishStemmer =", 1)
        + f'\nconst CUT = "{" ".join(CUT)}".split(" ");\n'
        + f'const INFLECTED = "{" ".join(INFLECTED)}".split(" ");\nconst BIEUP = {BIEUP};\n'
        + """
var Stemmer = function () {
  const english = new EnglishStemmer();
  this.stemWord = (word) => {
    if (!/^[가-힣]/.test(word)) return english.stemWord(word);
    const ends = (one) => word.endsWith(one) && word.length - one.length >= 2;
    const inflected = INFLECTED.find(ends);
    if (inflected) return word.slice(0, -inflected.length) + "지";
    const ending = CUT.find(ends);
    if (ending) return word.slice(0, -ending.length);
    const before = word.charCodeAt(word.length - 3);
    if (word.endsWith("니다") && word.length >= 4 && (before - 0xac00) % 28 === BIEUP)
      return word.slice(0, -3) + String.fromCharCode(before - BIEUP);
    return word;
  };
};
"""
    )

    def split(self, input: str) -> list[str]:  # Sphinx calls the argument so
        words = []
        for word in WORD.findall(SIZES.sub("x", input)):
            if not re.match("[가-힣]", word):
                words.append(word)
            elif len(word) > 1:
                words.append(word)
                words += [word[start : start + 2] for start in range(len(word) - 1)] if len(word) > 2 else []
        return words

    def stem(self, word: str) -> str:
        return without_particle(word) if re.match("[가-힣]", word) else super().stem(word)
