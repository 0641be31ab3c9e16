"""What the pages of feedback, class report and formgrader need of a browser: no other host, and no script but ours.

MathJax comes from the wheel that the book uses, and stands in the page itself. In feedback and in the class report a
content security policy allows that one script, by its hash, and nothing else: whatever else a page might hold, it
runs nothing and asks nobody.
"""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from casestudies.language import language, message, say

# What a formula may not do, however it is written: link, load, name, or style what is around it. MathJax's own filter
# looks at the tree that it has made of a formula, after all macros; the one macro that sets any attribute is gone.
# Nor may it define commands: they hold for all formulas after it, so that a few kilobytes grow to any size.
_SETTINGS = """
window.MathJax = {
  tex: {
    inlineMath: [["$", "$"], ["\\\\(", "\\\\)"]], displayMath: [["$$", "$$"], ["\\\\[", "\\\\]"]],
    processEscapes: true, processEnvironments: true, tags: "ams",
    packages: {"[-]": ["html", "require", "autoload", "unicode", "texhtml", "action", "bbox", "setoptions",
                     "newcommand", "configmacros"]},
    maxMacros: 1000, maxBuffer: 20000
  },
  options: {
    enableMenu: false, skipHtmlTags: {"[+]": ["samp"]}, ignoreHtmlClass: "tex2jax_ignore|mathjax_ignore",
    safeOptions: {allow: {URLs: "none", classes: "none", cssIDs: "none", styles: "none"}}
  },
  startup: {
    ready() {
      const {MapHandler} = MathJax._.input.tex.MapHandler;
      for (const [map, commands] of [
        ["macros", ["mmlToken"]], ["AMSmath-macros", ["DeclareMathOperator"]], ["extpfeil", ["Newextarrow"]],
        ["mathtools-macros", ["DeclarePairedDelimiter", "DeclarePairedDelimiterX", "DeclarePairedDelimiterXPP",
                              "DeclarePairedDelimiters", "DeclarePairedDelimitersX", "DeclarePairedDelimitersXPP",
                              "newtagform", "renewtagform", "usetagform"]],
      ]) {
        for (const command of commands) MapHandler.getMap(map).map.delete(command);
      }
      MathJax.startup.defaultReady();
    }
  }
};
"""
# What students wrote stays within its own box: words break, and what a formula draws beyond its place is cut.
_STYLE = """<style>
.text_cell_render, .rendered_html, .output_area, .output_subarea { overflow-wrap: anywhere; contain: paint; }
mjx-container { max-width: 100%; max-height: 60em; contain: paint; }
mjx-container:not([display="true"]) { display: inline-block; padding: 0.2em; margin: -0.2em; }
mjx-container[display="true"] { overflow: auto; max-height: 60em; }
</style>"""
# What the lexer of the pages may be given: it takes time with the square of blank lines that follow each other, and
# makes an element of each sign.
LEXED_CHARACTERS = 20_000  # of one cell
LEXED_IN_ALL = 200_000  # of one page
LEXED_LINE = 5000
LEXED_BLANK = 400  # white space at one place
MATHJAX = "sphinx-mathjax-offline"  # the wheel: the extra `grading` names it
_MATH = re.compile(r"\$|\\\(|\\\[|\\begin\{")


def highlighter(lexer: str = "python") -> Callable[..., str]:
    """The filter `highlight_code` of one page. What would cost the lexer or the browser too much is shown whole, and
    in one colour."""
    from nbconvert.filters.highlight import Highlight2HTML

    highlight, left = Highlight2HTML(pygments_lexer=lexer), LEXED_IN_ALL

    def shown(source: str, language: str | None = None, metadata: object = None) -> str:
        nonlocal left
        fits = len(source) <= min(LEXED_CHARACTERS, left)
        fits = fits and max(map(len, source.split("\n"))) <= LEXED_LINE
        if fits and max(map(len, re.findall(r"\s+", source)), default=0) <= LEXED_BLANK:
            left -= len(source)
            return str(highlight(source, language, metadata))
        text = html.escape(source, quote=False)
        return f'<div class=" highlight hl-{lexer}"><pre><span></span>{text}\n</pre></div>\n'

    return shown


@cache
def mathjax() -> str:
    """MathJax with our settings and its filter, as one script. Without the wheel, math stays as it was typed."""
    from importlib.metadata import PackageNotFoundError, files

    try:
        found = {file.name: file for file in files(MATHJAX) or []}
        code = "\n".join(
            Path(str(found[name].locate())).read_text(encoding="utf-8")
            for name in (
                "tex-svg-full.js",
                "safe.js",
            )  # the second before the first is ready: that takes a while
        )
    except (PackageNotFoundError, KeyError, OSError):
        return ""
    return (_SETTINGS + code).replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _hash(script: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() + "'"


@cache
def _allowed_script() -> str:
    return _hash(mathjax())


def policy(script: bool) -> str:
    """The content security policy of a page, as a tag; `script` where it typesets math."""
    allowed = _allowed_script() if script and mathjax() else "'none'"
    rules = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{rules}">'


# nbgrader's script asks MathJax 2 to be told when all formulas stand, and only then takes the keys. Here is a newer
# MathJax, or none where there is no formula.
_HUB = """<script>
window.MathJax ||= {};
MathJax.Hub = {Startup: {signal: {Interest: told => {
  const end = () => told("End");
  Promise.resolve(MathJax.startup && MathJax.startup.promise).then(end, end);
}}}};
</script>"""
_CDN = re.compile(r"<!-- Load mathjax -->.*?<!-- End of mathjax configuration -->", re.DOTALL)
# nbgrader's own scripts stand in the formgrader's page, so scripts in it cannot be forbidden; other hosts can.
_FORMGRADER = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; font-src 'self' data:; connect-src 'self'; object-src 'none'; frame-src 'none'; "
    "base-uri 'none'; form-action 'self'"
)


def formgrader_page(page: str, comments: str = "") -> str:
    """nbgrader's page of a submission with a policy at its top, and MathJax in it instead of on another host.

    `comments` is what the page needs to offer comments that are used again.
    """
    head, body = re.split(r"(?=<body\b)", page, maxsplit=1) if "<body" in page else (page, "")
    script = f"<script>{mathjax()}</script>" if mathjax() and _MATH.search(body) else ""
    head = _CDN.sub(lambda _: script + _HUB, head)
    meta = f'<meta http-equiv="Content-Security-Policy" content="{_FORMGRADER}">'
    return head.replace("<head>", f"<head>\n{meta}", 1).replace("</head>", f"{_STYLE}\n</head>", 1) + re.sub(
        r"<body\b[^>]*>", lambda found: found[0] + comments, body, count=1
    )


_IN_LIST = re.compile(
    r'<li>\s*<a href="#([\w-]+)">([^<]+)</a>\s*\(Score: ([\d.-]+|nan) / ([\d.]+)\)\s*</li>', re.DOTALL
)
_IN_HEADING = re.compile(r"Score: ([\d.-]+) / ([\d.]+)")
# What nbgrader's template puts around a cell. A student's own HTML has no classes: none of it looks like this.
_LABEL = re.compile(
    r'(<span class="nbgrader-label">)(Student\'s answer|Student\'s task|Grade cell|Task)(?=</span>|:)'
)
_SCORE = re.compile(
    r'(<span class="pull-right">\s*)(?:Score: ([\d.-]+|nan) / ([\d.]+) )?<a href="#top">\(Top\)</a>',
    re.DOTALL,
)
_COMMENTS = re.compile(
    r'(<div class="panel-footer">\s*<div>\s*<b>)Comments:(</b>\s*)(<p>No response\.</p>)?', re.DOTALL
)
_LATE = re.compile(r"Late submission penalty \(Score: (-[\d.]+)\)")
_LABELS = {
    "Student's answer": message("Student's answer"),
    "Student's task": message("Student's task"),
    "Grade cell": message("Grade cell"),
    "Task": message("Task"),
}
NO_RESPONSE = message("No response.")
NOT_GRADED = message("not graded yet")


def _translated(top: str, rest: str) -> tuple[str, str]:
    """nbgrader's own words on the page, in the language that is in use."""
    top = re.sub(r'(<a href="#comment-[^"]*">)Comment(</a>)', lambda at: at[1] + say("Comment") + at[2], top)
    top = _LATE.sub(lambda at: say("Late submission penalty: {points}", points=at[1]), top)

    def score(at: re.Match[str]) -> str:
        points = say("Score: {points} / {possible}", points=at[2], possible=at[3]) + " " if at[2] else ""
        if at[2] == "nan":
            points = say(NOT_GRADED) + " "
        return f'{at[1]}{points}<a href="#top">({say("Top")})</a>'

    def comments(at: re.Match[str]) -> str:
        return f"{at[1]}{say('Comments:')}{at[2]}" + (f"<p>{say(NO_RESPONSE)}</p>" if at[3] else "")

    rest = _LABEL.sub(lambda at: at[1] + html.escape(say(_LABELS[at[2]]), quote=False), rest)
    return top, _COMMENTS.sub(comments, _SCORE.sub(score, rest))


def feedback_page(page: str) -> str:
    """nbgrader's page of feedback with the policy at its top, MathJax in it, and the names of the parts."""

    def number(text: str) -> str:
        return f"{float(text):g}"

    def of(points: str, possible: str) -> str:
        if points == "nan":
            return say("not graded yet, of {possible}: your instructor decides", possible=number(possible))
        return f"{number(points)} / {number(possible)}"

    def item(found: re.Match[str]) -> str:
        cell, kind = found[1], found[2]
        name = cell.removeprefix("check_")
        label = html.escape(name)
        if kind.startswith("Written"):
            label = say("{part}, written", part=label)
        return f'<li><a href="#{cell}">{label}</a>: {of(found[3], found[4])}</li>'

    head, body = re.split(r"(?=<body\b)", page, maxsplit=1) if "<body" in page else ("", page)
    head = _CDN.sub("", head)
    top, rest = (
        body.split('<div class="panel-body">', 1) if '<div class="panel-body">' in body else (body, "")
    )
    open_ = any(found[3] == "nan" for found in _IN_LIST.finditer(top))
    top = _IN_LIST.sub(item, top)
    so_far = say(", so far") if open_ else ""
    top = _IN_HEADING.sub(lambda found: of(found[1], found[2]) + so_far, top, count=1)
    top, rest = _translated(top, rest)
    head = re.sub(r"<html\b[^>]*>", f'<html lang="{language()}">', head, count=1)
    typeset = _MATH.search(rest) is not None and bool(mathjax())
    head = head.replace("<head>", f"<head>\n{policy(typeset)}", 1)
    if typeset:
        head = head.replace("</head>", f"<script>{mathjax()}</script>\n</head>", 1)
    head = head.replace("</head>", f"{_STYLE}\n</head>", 1)
    return head + top + ('<div class="panel-body">' + rest if rest else "")


__all__ = ["feedback_page", "formgrader_page", "highlighter", "mathjax", "policy"]
