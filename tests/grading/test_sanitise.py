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


SVG = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="900" height="900">'
LARGE = '<rect id="a" width="900" height="900"/>'
# What takes a browser minutes, or gigabytes, in a few kilobytes.
COSTLY = {
    "markers that are inherited": '<marker id="m"/><g marker-mid="url(#m)"><path d="M0 0h1"/></g>',
    "a style in pieces": "<style>.a{marker-mid:ur<x/>l(#m)}</style>",
    "a style in comments": "<style>*{marker-mid:ur<!-- -->l(#m)}</style>",
    "a filter": '<rect width="900" height="900" style="filter:blur(90px)"/>',
    "blending": '<rect width="9" height="9" style="mix-blend-mode: difference"/>',
    "a mask": '<mask id="m"><path d="M0 0L9 9"/></mask><g mask="url(#m)"><path d="M0 0L9 9"/></g>',
    "a pattern": '<pattern id="m" width="1" height="1"><path d="M0 0L9 9"/></pattern>',
    "an animation": '<rect width="9" height="9"><animate attributeName="x" dur="1s"/></rect>',
    "short dashes": '<path d="M0 0h100000" stroke-dasharray="0.01"/>',
    "short dashes of a use": '<path id="a" d="M0 0h100000"/><use xlink:href="#a" stroke-dasharray=".01"/>',
    "dashes of letters": '<text stroke-dasharray="9">a</text>',
    "dashes that are inherited": '<g style="stroke-dasharray: 9"><path d="M0 0L9 9"/></g>',
    "letters": f'<text font-size="900">{"g" * 900}</text>',
    "letters in a style": f'<text style="font: 900px serif">{"g" * 900}</text>',
    "small letters made large": f'<g transform="scale(90)"><text>{"g" * 900}</text></g>',
    "lines": f'<path d="M0 0{"L900 900 0 0" * 5000}"/>',
    "lines made long": f'<g transform="scale(100)"><path d="M0 0{"L9 9 0 0" * 5000}"/></g>',
    "wide lines": f'<g stroke-width="900"><path d="M0 0{"L1 1 0 0" * 5000}"/></g>',
    "lines by steps": f'<path d="M0 0{"h900v900h-900z" * 3000}"/>',
    "arcs": f'<path d="M0 0{"a900 900 0 0 1 1 1" * 3000}"/>',
    "shapes": LARGE * 3000,
    "shapes that are used": f"<defs>{LARGE}</defs>" + '<use xlink:href="#a"/>' * 3000,
    "circles": '<circle r="900"/>' * 3000,
    "corners": '<path id="a" d="M0 0' + "L0 0" * 9000 + '"/>' + '<use href="#a"/>' * 50,
    "parts": "<g/>" * 20_001,
    "uses of uses": '<path id="a" d="M0 0"/><use id="b" href="#a"/><use href="#b"/>',
    "a use of a group": '<g id="a"><path d="M0 0L9 9"/></g><use href="#a"/>',
    "a use of itself": '<g id="a"><use href="#a"/></g>',
    "cuts of many corners": f'<clipPath id="c"><path d="M0 0{"L1 1" * 900}"/></clipPath>'
    + '<g clip-path="url(#c)"/>' * 90,
    "cuts by two shapes": f'<clipPath id="c">{LARGE}<path d="M0 0L9 9"/></clipPath>',
    "cuts by letters": '<clipPath id="c"><text>a</text></clipPath>',
    "cuts of cuts": f'<clipPath id="c" clip-path="url(#c)">{LARGE}</clipPath>',
    "layers": '<g opacity=".5"/>' * 101,
    "a measure of its own": f'<svg viewBox="0 0 1 1">{LARGE}</svg>',
    "negative lengths": '<circle r="900" rx="-900"/>' * 3000,
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_drawing_draws_no_more_than_it_may(name):
    with pytest.raises(
        ValueError, match="draws more|plots do not need|no shape|more than one shape|of its own"
    ):
        safe_svg(f"{SVG}{COSTLY[name]}</svg>")


@pytest.mark.parametrize(
    "of", ['width="20000" height="1"', 'width="1e9" height="1"', 'width="900000%" height="9"']
)
def test_a_drawing_has_a_size_that_a_page_can_show(of):
    with pytest.raises(ValueError, match="larger than it may|plots do not need"):
        safe_svg(f'<svg xmlns="http://www.w3.org/2000/svg" {of}></svg>')


def test_a_style_is_the_one_that_plots_have():
    rule = "<style>*{stroke-linejoin: round; stroke-linecap: butt}</style>"
    assert rule in safe_svg(f"{SVG}{rule}</svg>")
    for other in ("*{fill:red}", "*{fill:url(#a)}", "@import 'x';", "a{stroke-linecap: butt}"):
        with pytest.raises(ValueError, match="styles"):
            safe_svg(f"{SVG}<style>{other}</style></svg>")


# What Graphviz and Plotly write, as far as it is of a kind of its own.
GRAPHVIZ = """<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<svg width="446pt" height="243pt" viewBox="0.00 0.00 446.00 243.00" xmlns="http://www.w3.org/2000/svg"
 xmlns:xlink="http://www.w3.org/1999/xlink">
<g id="graph0" class="graph" transform="scale(1 1) rotate(0) translate(4 239.45)">
<polygon fill="white" stroke="none" points="-4,4 -4,-239.45 442.01,-239.45 442.01,4 -4,4"/>
<g id="node1" class="node"><title>a&#45;&gt;b</title><g id="a_node1"><a xlink:title="q">
<polygon fill="#caff70" stroke="black" stroke-dasharray="5,2" points="74.16,-32 20.16,-32 20.16,0 74.16,0"/>
<text xml:space="preserve" text-anchor="middle" x="47.16" y="-7" font-family="Times,serif"
 font-size="10.00"> (1, 10)</text>
</a></g></g>
<path fill="none" stroke="black" stroke-dasharray="1,5" d="M47.16,-68.89C47.16,-60.96 47.16,-51.86 47.16,-43.51"/>
<ellipse fill="none" stroke="black" cx="27" cy="-90" rx="27" ry="18"/>
</g></svg>"""
PLOTLY = """<svg class="main-svg" xmlns="http://www.w3.org/2000/svg" width="700" height="500" style=""
 viewBox="0 0 700 500"><rect x="0" y="0" width="700" height="500" style="fill: rgb(255, 255, 255); fill-opacity: 1;"/>
<defs id="defs-1"><g class="clips">
<clipPath id="clip1xy" class="plotclip"><rect width="148.7" height="136"/></clipPath></g>
<g class="gradients"><linearGradient x1="0" y1="1" x2="0" y2="0" gradientUnits="objectBoundingBox" id="g1"><stop
offset="11.1%" stop-color="rgb(70, 3, 159)" stop-opacity="1"/></linearGradient></g></defs>
<g class="plot" transform="translate(80,100)" clip-path="url(#clip1xy)">
<path class="js-line" d="M0,129.2L74,81.6H9V2Z"
style="vector-effect: none; fill: none; stroke: rgb(99, 110, 250); stroke-dasharray: 9px, 9px; stroke-width: 2px;"/>
<path class="point" transform="translate(0,129.2)" d="M3,0A3,3 0 1,1 0,-3A3,3 0 0,1 3,0Z" style="opacity: 0.5;"/>
<rect width="9" height="99" style="fill: url('#g1'); mix-blend-mode: normal;"/></g>
<text class="xtick" text-anchor="middle" x="0" y="249" transform="translate(80,0)" data-unformatted="0" data-math="N"
style="font-family: 'Open Sans', verdana; font-size: 12px; white-space: pre;">0
<tspan dy="0.3em">1</tspan></text></svg>"""


@pytest.mark.parametrize("plot", [GRAPHVIZ, PLOTLY])
def test_a_plot_of_graphviz_or_plotly_is_shown_whole(plot):
    drawn = safe_svg(plot)
    for tag in ("<path", "<rect", "<polygon", "<text", "<ellipse", "<stop", "<clipPath"):
        assert drawn.count(tag) == plot.count(tag)


def test_a_picture_in_a_plot_is_one_that_is_safe():
    """`imshow` of Matplotlib writes one."""
    shown = '<image xlink:href="data:image/png;base64,\n{}" width="9" height="9"/>'
    assert f"data:image/png;base64,{PNG}" in safe_svg(f"{SVG}{shown.format(PNG)}</svg>")
    for wrong in ("aGk=", ""):
        with pytest.raises(ValueError):
            safe_svg(f"{SVG}{shown.format(wrong)}</svg>")
    large = base64.b64encode(picture(size=(5000, 5000))).decode()
    with pytest.raises(ValueError, match="draws more"):
        safe_svg(f"{SVG}{shown.format(large) * 2}</svg>")


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
def test_a_drawing_that_does_something_is_left_out(text):
    with pytest.raises(ValueError):
        safe_svg(text)
    page = as_a_page(f"<div>{text}</div>")
    assert "<img" not in page and "left out" in page + " ".join(render_markdown(f"<div>{text}</div>")[1])


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


def test_the_markdown_of_a_notebook_has_one_bound_of_steps():
    pictures, said = Pictures(), []
    for _ in range(20):
        page, notes = render_markdown("[x]: /u\n" * 2000 + "the end", pictures)
        assert "the end" in page
        said += notes
    assert pictures.steps_left <= 0 and any("too many steps" in note for note in said)


def test_a_notebook_that_nobody_sees_is_not_rendered(assignment, monkeypatch):
    monkeypatch.setattr("casestudies.grading.intake.render_markdown", None)
    read = read_notebook(json.dumps({"cells": [{"cell_type": "markdown", "source": "*a*"}]}).encode())
    assert any("*a*" in cell.source for cell in rebuild(read, assignment, rendered=False)[0].cells)


def test_a_letter_has_no_more_marks_than_a_script_puts_on_it():
    page = render_markdown("Z a" + "\u0301" * 90_000 + " x")[0]
    assert len(page) < 100 and "\ufffd x" in page
    for text in ("\u1ec7 \u0e01\u0e35\u0e48", "\U0001f469\u200d\U0001f469\u200d\U0001f467", "a\u0301\u0302"):
        assert text in render_markdown(text)[0]


def test_a_notebook_has_so_many_formulas_and_no_more():
    page, notes = render_markdown("$x$ " * 5000)
    assert page.count("<code>$x$</code>") == 4000 and page.count("$x$") == 5000
    assert any("formulas" in note for note in notes)
