"""What a diagnosis has to say, in whichever words: patterns for the table of wrong answers.

A report also lists layers that are right, and names the case that it ran. So the name of a layer alone proves
little where the right block has one as well: then the pattern asks that the report calls it missing, extra or
changed.
"""

from __future__ import annotations

GONE = (
    r"missing|without|\bno\b|\bnone\b|not there|not follow|lacks?|left out|forgot|absent|nothing|skipped|"
    r"removed|dropped|never|instead of|(?:in|takes?) (?:the )?place of"
)
MORE = (
    r"extra|additional|\bmore\b|too many|superfluous|\badded\b|not asked|should not|surplus|unexpected|twice|"
    r"in addition|does not belong|stands|follows|second|\bhas a\b|\bhave a\b|comes"
)


def all_of(*patterns: str) -> str:
    return "".join(f"(?=.*(?:{pattern}))" for pattern in patterns)


def near(a: str, b: str, within: int = 70) -> str:
    return rf"(?:{a}).{{0,{within}}}(?:{b})|(?:{b}).{{0,{within}}}(?:{a})"


def lacks(what: str) -> str:
    """The thing is called missing, in a sentence or in a row of a table that is marked."""
    return rf"{near(what, GONE)}|(?:{what})[^\n]{{0,70}}<--"


def extra(what: str) -> str:
    return rf"{near(what, MORE)}|(?:{what})[^\n]{{0,40}}<--"


def side(k: int) -> str:
    return rf"\b{k} ?(?:x|×|by) ?{k}\b"


BNORM = r"batch ?norm|BatchNorm2d|\bBN\b|\bnorms?\b|normali[sz]"
RELU = r"\bReLU\b"
CONV = r"convolution|conv2d|\bconv"
STRIDE = (
    r"stride \d|strides? (?:sits?|is|are|stands?|of|on|in|belongs?|must|missing|forgotten|has|have|moved|comes)|"
    r"strided|without (?:its|the|a|any) stride|strides?[^\n]{0,50}(?:missing|forgotten|ignored|left out|wrong|<--)"
)
BIAS = r"\bbias(?:es)?\b"
SKIP = r"skip|shortcut|residual|identity|the input is (?:not )?added|addition|\bsum\b|adds? (?:the|its) input"
DETACH = (
    r"detach|gradient[^\n]{0,60}(?:cut|stop|does not|do not|not reach|no gradient|zero|lost|blocked)|"
    r"no gradient|cut off"
)
RANDOM = r"dropout|is random|randomly|at random|two runs"
SHAPE = r"shapes? (?:is|are|of|differs?|should|must|fit|agree|do|does|that)|does not fit|broadcast|size of"
PARAMS = r"parameters? (?:too|more|fewer|less|missing|instead|than)"
EVALUATION = (
    r"evaluation(?: mode)? (?:too|as well|also)|(?:in|for) (?:training|evaluation) only|"
    r"only in (?:training|evaluation)|outside of training|training (?:is|=) ?(?:not|false)|in both modes|"
    r"(?:training|evaluation)[^\n]{0,50}(?:ignored|forgotten)|"
    r"(?:ignores|regardless of|whatever)[^\n]{0,30}(?:training|mode)|batch.s (?:own )?(?:statistics|mean)|"
    r"those of the batch|statistics of another|evaluation,? (?:not|instead of)|"
    r"running (?:mean|average)|eval\(\)|train\(\)|left in evaluation|changes the mode"
)
INPLACE = (
    r"in[- ]place|overwr(?:it|ot)|changes? (?:its|the) input|input (?:is|was) (?:changed|modified)|modif"
)
SHARED = (
    r"shared|\bsame (?:layer|module|norm|convolution|weights?|parameters?)|twice|reused|used again|"
    r"one (?:norm|layer|convolution) for"
)
