"""Search in Korean, where a word carries its particles: 병목은, 병목을 and 병목이 are to be found as 병목.

Two things, both the same in Python (the index) and in the browser (the query). The particle is cut off a word, where
at least two syllables remain. And the index has every two neighbouring syllables of a longer word, so that 병목 is
found in 선형병목층, and 합성곱 where somebody writes 점별합성곱. Words in Latin letters are searched as in English.
"""

from __future__ import annotations

import re

from sphinx.search.en import SearchEnglish

# The longest first. What an ending leaves over must be two syllables or more.
PARTICLES = (
    "으로부터 에서부터 로부터 에서는 에서도 에게서 으로는 으로도 으로써 이라고 이라는 이라면 까지는 까지도 "
    "마다는 보다는 보다도 에서의 으로의 까지의 만으로 입니다 이라도 이지만 이므로 이어서 에는 에도 에서 에게 에만 "
    "으로 로는 로도 로써 로의 로서 와는 와의 과는 과의 라고 라는 이란 이며 이고 이나 이다 까지 부터 마다 "
    "만큼 만은 만을 만이 보다 처럼 하고 들은 들을 들이 들의 들과 들도 "
    "은 는 이 가 을 를 의 에 와 과 도 로 만 들 란 며 나"
).split()
SIZES = re.compile(r"(?<=\d)\s*×\s*(?=\d)")
WORD = re.compile(r"[가-힣]+|[^\W가-힣]+")


def without_particle(word: str) -> str:
    """
    >>> [without_particle(word) for word in ("병목은", "채널을", "합성곱에서는", "평가", "기울기")]
    ['병목', '채널', '합성곱', '평가', '기울기']
    """
    for particle in PARTICLES:
        if word.endswith(particle) and len(word) - len(particle) >= 2:
            return word[: -len(particle)]
    return word


class SearchKorean(SearchEnglish):
    """The language `ko` of Sphinx's search."""

    lang = "ko"
    language_name = "Korean"

    js_splitter_code = r"""
function splitQuery(query) {
  const words = query.replace(/(\d)\s*×\s*(?=\d)/g, "$1x").match(/[가-힣]+|(?:(?![가-힣])[\p{L}\p{N}_])+/gu) ?? [];
  return words.filter((word) => !/^[가-힣]$/.test(word));
}
"""
    js_stemmer_code = (
        SearchEnglish.js_stemmer_code.replace("var Stemmer =", "var EnglishStemmer =", 1)
        + f'\nconst PARTICLES = "{" ".join(PARTICLES)}".split(" ");\n'
        + """
var Stemmer = function () {
  const english = new EnglishStemmer();
  this.stemWord = (word) => {
    if (!/^[가-힣]/.test(word)) return english.stemWord(word);
    const particle = PARTICLES.find((one) => word.endsWith(one) && word.length - one.length >= 2);
    return particle ? word.slice(0, -particle.length) : word;
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
