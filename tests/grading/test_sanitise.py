"""What students write is shown as they wrote it, and can do nothing: by list, and by generated texts."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nbconvert.filters.markdown_mistune import markdown2html_mistune

from casestudies.grading import sanitise
from casestudies.grading.intake import clean_output, read_notebook, rebuild
from casestudies.grading.sanitise import (
    TAGS,
    Pictures,
    TooMuch,
    clean_html,
    one_line,
    render_markdown,
    safe_picture,
    safe_svg,
    svg_uri,
)


def picture(kind="PNG", size=(3, 2)) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, "red").save(file, kind)
    return file.getvalue()


PNG = base64.b64encode(picture()).decode()


class Reader(HTMLParser):
    """Everything in a page that could do something."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []
        self.text = ""

    def handle_starttag(self, tag, attributes):
        if tag not in TAGS:
            self.wrong.append(f"<{tag}>")
        for key, value in attributes:
            value = (value or "").strip().lower()
            if key not in ("rel", *(sanitise.ATTRIBUTES.get(tag, ()))):
                self.wrong.append(f"{tag} {key}")
            if key == "href" and not value.startswith(("http://", "https://", "mailto:", "#")):
                self.wrong.append(f"{tag} {key}={value[:40]}")
            if key == "src" and not re.match(r"data:image/(png|jpeg|svg\+xml);base64,", value):
                self.wrong.append(f"{tag} {key}={value[:40]}")

    def handle_decl(self, decl):
        self.wrong.append(f"<!{decl}")

    def handle_comment(self, data):
        self.wrong.append(f"<!--{data}")

    def handle_data(self, data):
        self.text += data


def unsafe(page: str) -> list[str]:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.wrong


def text_of(page: str) -> str:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader.text


def as_a_page(markdown: str, **pictures) -> str:
    """As nbconvert writes it into a page, from what is stored in the notebook."""
    return markdown2html_mistune(one_line(render_markdown(markdown, Pictures(**pictures))[0]))


# --------------------------------------------------------------------------- nothing that does something

HOSTILE = [
    "[x](javascript:alert(1))",
    "[x](javascript&#58;alert(1))",
    "[x](javascript&\\#58;alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](&\\#106;avascript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\nscript:alert(1)>)",
    "[x]( javascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](vbscript:x) [y](file:///etc/passwd) [z](data:text/html;base64,PHNjcmlwdD4=)",
    "[x]\n\n[x]: javascript:alert(1)",
    "[[x](http://a)](javascript:alert(1))",
    "<javascript:alert(1)>",
    "![x](javascript:alert(1)) ![x](https://example.org/track.png)",
    '![x](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+ "t")',
    '![a](http://x"onerror="alert(1))',
    "<script>alert(1)</script>",
    "<ScRiPt src=//x>",
    "<img src=x onerror=alert(1)>",
    "<img src='x'onerror=alert(1)//>",
    '<img srcset="https://x/1.png 1x" src="data:image/png;base64,aGk=">',
    "<a href=java&#x0A;script:alert(1)>x</a>",
    "<a href='javascript&colon;alert(1)'>x</a>",
    "<a/href=javascript:alert(1)>x</a>",
    "<a href=//example.org>x</a>",
    "<base href=https://x/><meta http-equiv=refresh content='0;url=https://x'><link rel=stylesheet href=//x>",
    "<style>*{background:url(https://x)}</style><div style='background:url(https://x)'>y</div>",
    "<svg><script>alert(1)</script></svg><svg onload=alert(1)><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<svg></p><style><a id='</style><img src=1 onerror=alert(1)>'>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<form><math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe><object data=x><embed src=x><applet code=x>",
    "<details open ontoggle=alert(1)>x</details><video><source onerror=alert(1)></video>",
    "<input autofocus onfocus=alert(1)><button formaction=javascript:alert(1)>x</button>",
    "<template><script>alert(1)</script></template><textarea></textarea><script>alert(1)</script>",
    "<!--><script>alert(1)</script>--> <!-- --!><img src=x onerror=alert(1)> -->",
    "<?xml version='1.0'?><!DOCTYPE html [<!ENTITY x 'y'>]>&x;",
    "<x-math><script>alert(1)</script></x-math> \ue0000\ue001",
    "`` `<script>alert(1)</script>` `` and $<img src=x onerror=alert(1)>$ and $$</p><script>alert(1)</script>$$",
    "\\begin{align}<img src=x onerror=alert(1)>\\end{align} $\\text{<script>alert(1)</script>}$",
    "```html\n<script>alert(1)</script>\n```\n\n```<script>\nx\n```",
    '```mermaid\ngraph TD; a-->b; click a href "javascript:alert(1)"\n```',
    "|<script>|\n|-|\n|<img src=x onerror=alert(1)>|",
    "<b <script>alert(1)</script>>",
    "<<script>script>alert(1)<</script>/script>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "<a href='https://x' id=submission_id name=base_url class=x>y</a>",
    "<div>\n\n<script>\n\nalert(1)\n\n</script>\n\n</div>",
    "</div></div></body><script>alert(1)</script>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_left_that_does_something_in(text):
    assert unsafe(as_a_page(text)) == []


@pytest.mark.parametrize("text", HOSTILE)
def test_an_output_holds_nothing_that_does_something_from(text):
    for kind in ("text/html", "text/markdown"):
        cleaned = clean_output({"output_type": "display_data", "data": {kind: text}, "metadata": {}})
        assert unsafe((cleaned or {"data": {}})["data"].get("text/html", "")) == []


PIECES = st.sampled_from(
    [
        *HOSTILE,
        *(
            "<",
            ">",
            "</",
            "/>",
            "&",
            "&#",
            ";",
            '"',
            "'",
            "=",
            "`",
            "```\n",
            "$",
            "$$",
            "\\(",
            "\\",
            "\n",
            "\n\n",
            " ",
        ),
        *(
            "[",
            "](",
            ")",
            "![",
            "]: ",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "onerror=",
            "javascript:",
            "data:",
            "href=",
        ),
        *(
            "<svg",
            "<math",
            "<a ",
            "<img ",
            "<p>",
            "<b>",
            "</b>",
            "<table>",
            "<td>",
            "<pre>",
            "\ue000",
            "\ue001",
            "0",
        ),
        *(
            "<title>",
            "</title>",
            "<style>",
            "</style>",
            "<xmp>",
            "<select>",
            "<template>",
            "casestudies-picture:0",
        ),
        *(
            "> ",
            "- ",
            "    ",
            "|",
            "|-|\n",
            "\t",
            "\x1b",
            "\u202e",
            "\u2028",
            "\ud800",
            "İ",
            "ſ",
            "a",
            "http://x",
        ),
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=200))


@given(TEXTS)
def test_no_generated_markdown_does_something(text):
    assert unsafe(as_a_page(text)) == []


@given(TEXTS)
def test_no_generated_html_does_something(text):
    try:
        cleaned, _ = clean_html(text, math=True)
    except TooMuch:
        return
    assert unsafe(cleaned) == []


@given(TEXTS)
@example("<svg></svg><svg onload=alert(1)>x</svg>")
@example("<svg><path d='M0 0'/></svg>")
def test_html_that_is_clean_stays_as_it_is(text):
    """A browser, nh3 and we read it alike: what is read anew is the same."""
    cleaned = clean_html(text)[0]
    assert text_of(clean_html(cleaned)[0]) == text_of(cleaned)


# --------------------------------------------------------------------------- shown as it was written

# (Markdown, what a reader sees of it)
SHOWN = {
    "an inequality in math": ("$i<n$", "$i<n$"),
    "an ampersand in math": ("$$\\begin{aligned}F(x)&=0\\\\ i&<j\\end{aligned}$$", None),
    "an inequality in code": ("`x<y`", "x<y"),
    "an ampersand in code": ("`1&mask`", "1&mask"),
    "an entity in code": ("`&lt;`", "&lt;"),
    "a tag in code": ("`<script>`", "<script>"),
    "a comparison": ("a < b & c", "a < b & c"),
    "an unknown tag": ("if x<y then z>w", "if x<y then z>w"),
    "underscores in math": ("$a_i$ and $b_i$", "$a_i$ and $b_i$"),
    "stars in math": ("$a*b$ and $c*d$", "$a*b$ and $c*d$"),
    "the word data:": ("the data: 3 rows", "the data: 3 rows"),
    "a script as text": ("the <script> tag", "the <script> tag"),
    "double backslashes": ("\\\\(a_1 < b_1\\\\)", "\\(a_1 < b_1\\)"),
    "an environment": ("\\begin{align}\na &< b\n\\end{align}", "\\begin{align}\na &< b\n\\end{align}"),
    "math with lines like a list": ("$$\na\n- b\n= c\n$$", "$$\na\n- b\n= c\n$$"),
    "backticks": ("``a`b``", "a`b"),
    "brackets": ("x[i][j] = y[0]", "x[i][j] = y[0]"),
    "two prices": ("\\$5 and \\$6", "$5 and $6"),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_reader_sees(name):
    text, seen = SHOWN[name]
    assert text_of(as_a_page(text)).strip() == (text if seen is None else seen)


def test_code_in_a_fence_is_shown_to_the_letter():
    code = "if a<b:\n\n    print('<tag>', 1&mask, \"[x](y)\", `z`, $q$)\n"
    assert text_of(as_a_page(f"```python\n{code}```")).strip("\n") == code.strip("\n")


def test_dollars_that_are_no_math_stand_alone():
    assert "<span>$</span>5" in render_markdown("it costs \\$5, not \\$6")[0]


@pytest.mark.parametrize("command", ["href", "url", "class", "cssId", "style", "require"])
def test_math_has_no_command_that_links_or_styles(command):
    page = as_a_page(f"$\\{command}{{javascript:alert(1)}}{{x}}$")
    assert f"\\{command}" not in text_of(page) and command in text_of(page)


def test_tables_lists_and_emphasis_are_rendered():
    page = as_a_page("|a|b|\n|:-|-:|\n|1|*2*|\n\n1. x\n2. **y**\n\n> z")
    assert all(
        tag in page for tag in ("<table>", "<em>", "<ol>", "<strong>", "<blockquote>", 'align="right"')
    )


# --------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_an_attachment_is_shown(kind):
    data = base64.b64encode(picture(kind)).decode()
    name = f"image/{kind.lower()}"
    page = as_a_page("![s](attachment:my%20s.png)", attachments={"my s.png": {name: data}})
    assert f"data:{name};base64,{data}" in page


def test_a_data_uri_is_shown():
    assert f"data:image/png;base64,{PNG}" in as_a_page(f"![](data:image/png;base64,{PNG})")


def test_a_long_data_uri_is_shown_and_is_no_text():
    data = base64.b64encode(picture(size=(200, 300)) + bytes(5000)).decode()
    page = as_a_page(f"See:\n\n![s](data:image/png;base64,{data})")
    assert data in page and data[:50] not in text_of(page)


def test_a_picture_that_came_along_is_shown():
    assert PNG in as_a_page("![](plot.png)", files={"plot.png": picture()})


def test_an_image_tag_with_an_attachment_is_shown():
    page = as_a_page('<img src="attachment:s.png" width="300">', attachments={"s.png": {"image/png": PNG}})
    assert PNG in page and 'width="300"' in page


# (address, attachments, words of the note)
NOT_SHOWN = {
    "dangling": ("attachment:s.png", {}, "not in the notebook"),
    "an attachment that is text": ("attachment:s.png", {"s.png": {"text/plain": "x"}}, "only PNG and JPEG"),
    "an attachment that is no dict": ("attachment:s.png", {"s.png": 5}, "not in the notebook"),
    "no base64": ("attachment:s.png", {"s.png": {"image/png": "!!"}}, "not base64"),
    "no picture": ("attachment:s.png", {"s.png": {"image/png": "aGVsbG8="}}, "no PNG or JPEG"),
    "another host": ("https://example.org/x.png", {}, "other hosts"),
    "a file that is not there": ("../../etc/passwd", {}, "not handed in"),
}


@pytest.mark.parametrize("name", NOT_SHOWN)
def test_a_picture_that_cannot_be_shown_is_text_with_a_note(name):
    address, attachments, words = NOT_SHOWN[name]
    page, notes = render_markdown(f"![sketch]({address})", Pictures(attachments=attachments))
    assert "<img" not in page and "sketch" in page
    assert any(words in note for note in notes)


@pytest.mark.parametrize("size", [(20_000, 1), (7000, 7000)])
def test_a_picture_of_too_many_pixels_is_not_shown(size):
    with pytest.raises(ValueError, match="pixels"):
        safe_picture(picture(size=size))


def test_pictures_have_a_limit_together(monkeypatch):
    monkeypatch.setattr(sanitise, "PICTURES_COUNT", 3)
    page, notes = render_markdown(f"![](data:image/png;base64,{PNG})\n" * 5, Pictures(count_left=3))
    assert page.count("<img") == 3 and any("more space" in note for note in notes)


# --------------------------------------------------------------------------- SVG


def _doubling(reference: str, parts: int = 17) -> str:
    """Each part is drawn twice by the next one; `reference` says how, of a name."""
    levels = "".join(f'<g id="a{n}">{reference.format(f"a{n - 1}") * 2}</g>' for n in range(1, parts))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"><defs>'
        f'<path id="a0" d="M0 0L9 9"/>{levels}</defs>{reference.format(f"a{parts - 1}")}</svg>'
    )


@pytest.mark.parametrize(
    "reference",
    [
        '<use href="#{}"/>',
        '<use xlink:href="#{}"/>',
        '<rect fill="url(#{})"/>',
        '<rect style="stroke: url(#{})"/>',
        '<g mask="URL(#{})"/>',
        '<path d="M0 0L9 9 8 8 7 7 6 6" marker-mid="url(#{})"/>',
    ],
)
def test_a_drawing_draws_no_more_than_it_may(reference):
    """Two kilobytes of parts that use one another twice draw any number of elements."""
    assert "<path" in safe_svg(_doubling(reference, 4))
    with pytest.raises(ValueError, match="draws more"):
        safe_svg(_doubling(reference, 30))


@pytest.mark.parametrize("name", ["a3", "a1", "a2"])
def test_no_part_of_a_drawing_uses_itself(name):
    drawing = _doubling('<use href="#{}"/>', 4).replace(
        '<path id="a0"', f'<g id="a0"><use href="#{name}"/></g><path'
    )
    with pytest.raises(ValueError, match="uses itself"):
        safe_svg(drawing)


def test_a_chain_of_parts_ends():
    chain = "".join(f'<g id="a{n}"><use href="#a{n - 1}"/></g>' for n in range(1, 2000))
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"><path id="a0"/>{}<use href="#a1999"/></svg>'
    assert "<use" in safe_svg(drawing.format(chain[:200].rpartition("<g")[0]))
    with pytest.raises(ValueError, match="nested too deep"):
        safe_svg('<svg xmlns="http://www.w3.org/2000/svg"><use href="#a1999"/>' + chain + "</svg>")


def test_a_style_refers_to_nothing():
    kept = safe_svg(
        '<svg xmlns="http://www.w3.org/2000/svg"><style>*{fill:red}</style><style>*{fill:url(#a)}</style></svg>'
    )
    assert "red" in kept and "url" not in kept


DRAWING = '<svg xmlns="http://www.w3.org/2000/svg" width="9"><path d="M0 0L9 9"/></svg>'
SVG_HOSTILE = [
    "<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script><circle r='1'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><circle r='1' onclick='x'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg'><foreignObject><p>x</p></foreignObject><circle r='1'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg' xmlns:xlink='http://www.w3.org/1999/xlink'>"
    "<a xlink:href='javascript:alert(1)'><circle r='1'/></a><use xlink:href='https://x/#y'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg'><style>@import 'https://x';*{fill:url(https://x)}</style></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg'><rect fill='url(https://x)' style='background:url(//x)'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg'><image href='https://x/y.png'/><animate onbegin='x'/></svg>",
    "<svg xmlns='http://www.w3.org/2000/svg' xmlns:h='http://www.w3.org/1999/xhtml'><h:script>x</h:script></svg>",
]


@pytest.mark.parametrize("text", SVG_HOSTILE)
def test_a_drawing_is_shown_without_what_does_something(text):
    drawn = safe_svg(text).lower()
    assert not re.search(
        r"script|\bon\w+=|foreignobject|https?:(?!//www\.w3\.org/2000/svg)|@import|<a\b|<image", drawn
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "<p/>",
        "<svg>",
        '<!DOCTYPE svg [<!ENTITY a "b">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        '<svg xmlns="http://www.w3.org/2000/svg">' + "<g>" * 100 + "</g>" * 100 + "</svg>",
        '<svg xmlns="http://www.w3.org/2000/svg">' + " " * 1_000_001 + "</svg>",
    ],
)
def test_what_is_no_drawing_is_refused(text):
    with pytest.raises(ValueError):
        safe_svg(text)


def test_a_plot_of_matplotlib_is_shown_whole():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 4, 9], label="squares")
    file = io.StringIO()
    figure.savefig(file, format="svg")
    drawn = safe_svg(file.getvalue())
    assert drawn.count("<path") == file.getvalue().count("<path")
    assert drawn.count("<use") == file.getvalue().count("<use")


def test_a_drawing_in_a_text_becomes_a_picture():
    assert 'src="data:image/svg+xml;base64,' in as_a_page(f"<div>{DRAWING}</div>")
    given_as_address = f'<img src="{svg_uri(DRAWING)}">'
    assert svg_uri(safe_svg(DRAWING)) in as_a_page(given_as_address)


@pytest.mark.parametrize("data", ["", "!", "PHN2Zz4", "/w==", "PGEvPg=="])
def test_an_address_that_holds_no_drawing_is_said_to(data):
    page = as_a_page(f'<img alt="my plot" src="data:image/svg+xml;base64,{data}">')
    assert "<img" not in page and "my plot" in page


@given(
    st.lists(st.sampled_from([*SVG_HOSTILE, "<svg", ">", "<g>", "</g>", "<!DOCTYPE", "&lt;", "x=", "'"])).map(
        "".join
    )
)
def test_no_generated_drawing_does_something(text):
    try:
        drawn = safe_svg(text)
    except ValueError:
        return
    assert "script" not in drawn.lower()


# --------------------------------------------------------------------------- proportion

# Texts that take some readers of Markdown or HTML a time that grows with the square of their length.
SWELLING = {
    "nested b and p": lambda n: "<b><p>" * n,
    "b of many kinds": lambda n: "".join(f"<p><b title={i}>x" for i in range(n)),
    "environments without end": lambda n: "\\begin{a}" * n,
    "known environments without end": lambda n: "\\begin{align}" * n,
    "brackets": lambda n: "[" * 5 * n,
    "pictures": lambda n: "![" * 3 * n,
    "links within links": lambda n: "[a](" * n,
    "angles": lambda n: "<" * 5 * n,
    "tags without end": lambda n: "<a " * 2 * n,
    "quotes in tags": lambda n: "<a '\"" * n,
    "backticks": lambda n: "".join("`" * (i % 300) + " " for i in range(n // 20)),
    "stars": lambda n: "**x " * n,
    "stars and underscores": lambda n: "*a_ " * n,
    "deep quotes": lambda n: ">" * 5 * n,
    "a deep list": lambda n: "".join("  " * i + "- a\n" for i in range(int(n**0.5))),
    "a long table": lambda n: "|a|b|\n|-|-|\n" + "|1|2|\n" * n,
    "a wide table": lambda n: "|" * n + "\n" + "|-" * n + "\n" + "|\n" * n,
    "dollars": lambda n: "$" * 5 * n,
    "comments": lambda n: "<!--" * n,
    "references": lambda n: "".join(f"[{i}]: x\n" for i in range(n)),
    "entities": lambda n: "&#" * n,
    "scripts": lambda n: "<script>" * n,
    "drawings": lambda n: "<svg>" * n,
    "lines": lambda n: "a\n" * n,
}


@pytest.mark.parametrize("name", SWELLING)
def test_ten_times_the_text_takes_no_more_than_in_proportion(name):
    """Counted in calls of functions, not in seconds."""
    import sys

    def calls(text: str) -> int:
        count = 0

        def step(frame, event, argument):
            nonlocal count
            count += 1

        sys.setprofile(step)
        try:
            as_a_page(text)
        finally:
            sys.setprofile(None)
        return count

    calls("warm")
    few, many = (calls(SWELLING[name](n)) for n in (1000, 10_000))
    assert many < 15 * few + 200_000


@pytest.mark.parametrize("name", SWELLING)
def test_a_page_is_no_longer_than_in_proportion_for(name):
    text = SWELLING[name](10_000)
    assert len(as_a_page(text)) < 20 * len(text) + 10_000


def test_a_long_text_is_cut_and_says_so():
    page, notes = render_markdown("a " * 100_000)
    assert len(page) < 150_000 and any("only the first" in note for note in notes)


def test_a_text_beyond_the_limits_is_shown_as_it_was_typed():
    page, notes = render_markdown("> " * 500 + "the end")
    assert "the end" in page and any("as it was typed" in note for note in notes)


# --------------------------------------------------------------------------- outputs

# (an output, words that its place shows)
SAID = {
    "a widget": ({"application/vnd.jupyter.widget-view+json": "{}"}, "not shown"),
    "a vendor's kind": ({"application/vnd.plotly.v1+json": "{}"}, "not shown"),
    "scripts": ({"text/html": "<script>x</script>"}, "active content was left out"),
    "a picture that is none": ({"image/jpeg": "x"}, "picture is not shown"),
    "a drawing that is none": ({"image/svg+xml": "x"}, "picture is not shown"),
    "too deep": ({"text/html": "<div>" * 100}, "nested"),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_not_shown_is_said(name):
    data, words = SAID[name]
    cleaned = clean_output({"output_type": "display_data", "data": data, "metadata": {}})
    assert words in " ".join(cleaned["data"].values())


def test_markdown_of_an_output_is_shown():
    data = {"text/markdown": "**b** $x<y$", "text/plain": "<Markdown>"}
    cleaned = clean_output({"output_type": "display_data", "data": data, "metadata": {}})
    assert "<strong>b</strong> $x&lt;y$" in cleaned["data"]["text/html"]


def test_colours_of_a_traceback_are_kept_and_other_escapes_are_not():
    output = {
        "output_type": "error",
        "ename": "E",
        "evalue": "v",
        "traceback": ["\x1b[31mred\x1b[0m\x1b]0;title\x07\x1b[2J"],
    }
    assert clean_output(output)["traceback"] == ["\x1b[31mred\x1b[0m\ufffd]0;title\ufffd"]


JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        TEXTS,
        st.sampled_from(["code", "markdown", "raw"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=8,
)
KINDS = st.sampled_from(
    [
        "text/html",
        "text/plain",
        "text/markdown",
        "text/latex",
        "image/png",
        "image/svg+xml",
        "application/javascript",
    ]
)


@given(
    st.fixed_dictionaries(
        {"output_type": st.sampled_from(["stream", "error", "display_data", "execute_result", "x"])},
        optional={
            "text": JSON,
            "name": JSON,
            "traceback": JSON,
            "ename": JSON,
            "data": st.one_of(JSON, st.dictionaries(KINDS, st.one_of(JSON, TEXTS), max_size=4)),
            "metadata": JSON,
        },
    )
)
def test_any_output_is_made_harmless(output):
    cleaned = clean_output(output)
    if cleaned is not None and "data" in cleaned:
        assert cleaned["metadata"] == {}
        assert unsafe(cleaned["data"].get("text/html", "")) == []
        json.dumps(cleaned).encode()


# --------------------------------------------------------------------------- whole notebooks

IDS = st.sampled_from(["why", "double", "check_double", "imports"])
SHEETS = st.fixed_dictionaries({"cells": JSON})
CELLS = st.one_of(
    JSON,
    st.fixed_dictionaries(
        {},
        optional={
            "cell_type": st.one_of(st.sampled_from(["code", "markdown", "raw", "heading"]), JSON),
            "source": st.one_of(TEXTS, st.lists(TEXTS, max_size=3), JSON),
            "input": TEXTS,
            "metadata": st.one_of(
                JSON,
                st.fixed_dictionaries(
                    {
                        "nbgrader": st.one_of(
                            JSON,
                            st.fixed_dictionaries(
                                {
                                    "grade_id": st.one_of(
                                        JSON, st.sampled_from(["why", "double", "check_double", "imports"])
                                    )
                                }
                            ),
                        )
                    }
                ),
            ),
            "attachments": st.one_of(
                JSON, st.dictionaries(TEXTS, st.dictionaries(KINDS, JSON, max_size=2), max_size=2)
            ),
            "id": JSON,
            "level": JSON,
            "outputs": JSON,
        },
    ),
)
NOTEBOOKS = st.one_of(
    st.fixed_dictionaries(
        {"cells": st.lists(CELLS, max_size=8)}, optional={"metadata": JSON, "nbformat": JSON}
    ),
    st.fixed_dictionaries(
        {"worksheets": st.one_of(JSON, st.lists(st.one_of(JSON, st.fixed_dictionaries({"cells": JSON}))))}
    ),
    JSON,
)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "utf-32"])


@given(NOTEBOOKS, ENCODINGS)
def test_any_notebook_is_rebuilt_or_named_corrupt(assignment, tree, encoding):
    from nbconvert.filters.markdown_mistune import markdown2html_mistune as page

    from casestudies.grading.handed_in import Corrupt

    try:
        read = read_notebook(json.dumps(tree).encode(encoding, "replace"))
    except Corrupt as error:
        assert str(error).startswith("the notebook")
        return
    notebook, notes, _ = rebuild(read, assignment)
    for cell in notebook.cells:
        if cell.cell_type != "code" and "nbgrader" not in cell.metadata:
            assert unsafe(page(cell.source)) == []
    assert [c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata] == [
        c.id for c in assignment.cells
    ]
    json.dumps([notebook, notes]).encode()
