"""How long an explorer of the built book holds up the page, at the longest, while somebody uses it.

    python benchmarks/handlers.py                       every explorer of every page
    python benchmarks/handlers.py --only compare,vgg    those of some pages
    python benchmarks/handlers.py --slow 4              on a processor a quarter as fast

Chromium's own trace is read. For each explorer and each kind of use: the longest time of scripts in one task of the
page (handlers of events, what is drawn in the next frame, answers of a worker; styles and layout left out), the
longest task with all that is in it, both in the processor's time, so that other work on the machine counts little;
and the latest paint after an event by the clock, as the Event Timing API has it (in steps of 8 ms).
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

HERE = Path(__file__).parents[1]
sys.path.insert(0, str(HERE / "book" / "_ext"))
HTML = HERE / "_build" / "html"
CATEGORIES = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline", "v8.execute"]
SCRIPTS = {
    "EventDispatch",
    "FireAnimationFrame",
    "FunctionCall",
    "TimerFire",
    "EvaluateScript",
    "V8.InvokeScripts",
    "RunMicrotasks",
}
STYLES = {"Layout", "UpdateLayoutTree", "Layerize", "PrePaint", "Paint"}
TASKS = {"RunTask", "ThreadControllerImpl::RunTask"}
FRAME = 16
# What somebody may paste: long, deep, wide, and no network at all.
BLOCKS = "\n".join("  " * level + "block" for level in range(40)) + "\n" + "  " * 40 + "relu"
BYTES = random.Random(0).randbytes(120_000)
TEXTS = {
    "10,000 lines": "conv 8\n" * 10_000,
    "10,000 lines, wrong in the last": "relu\n" * 10_000 + "conv",
    "as many layers as may be": "repeat 60\n  repeat 10\n    conv 3 1x1\n",
    "one layer too many": "repeat 64\n  repeat 64\n    repeat 64\n      relu",
    "repeats of nothing much": "repeat 9\n repeat 9\n  repeat 9\n   repeat 9\n    repeat 9\n     relu",
    "blocks in blocks": BLOCKS,
    "a name of 5,000 letters": "c" * 5_000,
    "a name of 100,000 letters": "conv" * 25_000,
    "bytes": BYTES.decode("latin-1"),
    "bytes as UTF-8": BYTES.decode("utf-8", "replace"),
    "blank lines": "\n" * 9_000 + "conv 8",
    "one line of blanks": " " * 9_900 + "conv 8",
    "numbers": "conv " + "9" * 9_000,
    "crosses": "conv 8 " + "3x" * 4_000,
    "remarks": "# " + "x" * 9_000 + "\nconv 8",
}  # fmt: skip


def main() -> int:
    import chromium  # of book/_ext
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="pages, such as compare,vgg")
    parser.add_argument("--slow", type=int, default=1, help="how many times slower the processor is made")
    arguments = parser.parse_args()
    path = chromium.find()
    if path is None:
        print("Chromium is missing; this benchmark needs it (apt-get install chromium).", file=sys.stderr)
        return 1
    if not HTML.is_dir():
        print(f"{HTML} is missing: the book has to be built (make book).", file=sys.stderr)
        return 1
    pages = [name for name in arguments.only.split(",") if name] or sorted(
        file.stem for file in HTML.glob("*.html") if "widget-view+json" in file.read_text("utf-8")
    )
    print(f"{'page':14} {'explorer':32} {'use':34} {'script':>7} {'task':>7} {'paint':>6}   in ms")
    longest: dict[str, float] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        for name in pages:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto((HTML / f"{name}.html").as_uri())
            page.wait_for_load_state("load")
            for event in ("beforeprint", "afterprint"):  # those that wait until they are seen start
                page.evaluate("name => dispatchEvent(new Event(name))", event)
            page.wait_for_function("() => !document.querySelector('.explorer-waits')")
            if arguments.slow > 1:
                page.context.new_cdp_session(page).send(
                    "Emulation.setCPUThrottlingRate", {"rate": arguments.slow}
                )
            page.evaluate(WATCH)
            for index in range(page.locator(".explorer").count()):
                root = page.locator(".explorer").nth(index)
                title = root.get_attribute("aria-label") or ""
                for use, act in Reader(page, root).uses():
                    script, task, paint = measured(browser, page, act)
                    longest[title] = max(longest.get(title, 0), script)
                    mark = "  <" if script > FRAME else ""
                    print(
                        f"{name:14} {title:32} {use:34} {script:7.1f} {task:7.1f} {paint:6.0f}{mark}",
                        flush=True,
                    )
            page.close()
        browser.close()
    print()
    for title, script in sorted(longest.items(), key=lambda one: -one[1]):
        print(f"{title:32} {script:7.1f}")
    return 0


WATCH = """() => {
  window.paints = [0];
  new PerformanceObserver((list) => paints.push(...list.getEntries().map((entry) => entry.duration)))
    .observe({ type: "event", durationThreshold: 16 });
}"""
BOX = """(node) => {
  node.scrollIntoView({ block: "center" });
  const { x, y, width, height } = node.getBoundingClientRect();
  return [x, y, width, height];
}"""
REST = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 60))))"


def measured(browser: Any, page: Any, act: Callable[[], None]) -> tuple[float, float, float]:
    """The longest script, the longest task and the latest paint while `act` uses the explorer, in ms."""
    page.evaluate("() => { window.paints = [0]; }")
    page.evaluate(REST)
    browser.start_tracing(page=page, categories=CATEGORIES)
    act()
    page.evaluate(REST)
    events = json.loads(browser.stop_tracing())["traceEvents"]
    return *held_up(events), page.evaluate("() => Math.max(...paints)")


def held_up(events: list[dict[str, Any]]) -> tuple[float, float]:
    """Of one page's main thread, in processor time: the longest scripts in one task, and the longest task, in ms."""
    mains = {
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    }
    whole = [
        event
        for event in events
        if event.get("ph") == "X" and "tdur" in event and (event["pid"], event["tid"]) in mains
    ]
    tasks, scripts, styles = (
        [event for event in whole if event["name"] in names] for names in (TASKS, SCRIPTS, STYLES)
    )
    longest = 0.0
    for task in outermost(tasks):
        longest = max(longest, sum(own(one, styles) for one in outermost(within(task, scripts))))
    return longest / 1000, max((event["tdur"] for event in tasks), default=0) / 1000


def within(outer: dict[str, Any], events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stop = outer["ts"] + outer["dur"]
    return [one for one in events if one["pid"] == outer["pid"] and outer["ts"] <= one["ts"] < stop]


def outermost(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that lie in no other of them."""
    found: list[dict[str, Any]] = []
    ends: dict[int, float] = {}
    for event in sorted(events, key=lambda one: (one["ts"], -one["dur"])):
        if event["ts"] >= ends.get(event["pid"], -1):
            found.append(event)
            ends[event["pid"]] = event["ts"] + event["dur"]
    return found


def own(script: dict[str, Any], styles: list[dict[str, Any]]) -> float:
    """A script's time without the styles and the layout that it asked for."""
    inside = outermost(within(script, styles))
    return float(script["tdur"] - sum(one["tdur"] for one in inside))


# What there is to click, and what it is called.
CLICKED = (
    ("choices", ".x-radio"),
    ("check boxes", ".x-check input"),
    ("answers", ".x-answer"),
    ("examples", ":scope > .x-presets button"),
    ("steps of the window", "[data-walk]"),
    ("pictures and buttons", ".x-stage button"),
    ("folds", "summary"),
    ("dots", ".x-dot"),
    ("digits and buttons", ".x-controls button"),
)


class Reader:
    """Uses one explorer of a page."""

    def __init__(self, page: Any, root: Any) -> None:
        self.page, self.root = page, root

    def each(self, selector: str, most: int = 12) -> list[Any]:
        return [one for one in self.root.locator(selector).all()[:most] if one.is_visible()]

    def uses(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """What can be done with the explorer, by what it has."""
        self.root.scroll_into_view_if_needed()
        self.page.wait_for_timeout(300)
        for use, selector in CLICKED:
            if self.each(selector):
                yield use, partial(self.click, selector)
        for use, selector, act in (
            ("lists", "select", self.select),
            ("sliders", "input[type=range]", self.slide),
            ("drawing", ".x-pad", partial(self.across, ".x-pad", True)),
            ("pointing at maps", ".x-frame", partial(self.across, ".x-frame", False)),
            ("numbers typed", "input[type=number]", self.type_numbers),
        ):
            if self.each(selector):
                yield use, act
        if self.root.locator("textarea").count():
            yield from written(self.page, self.root.locator("textarea"))
        if self.root.locator("input[data-picture]").count():
            yield "a picture of one's own", self.picture

    def click(self, selector: str) -> None:
        for one in self.each(selector):
            if one.count():  # a click before may have taken it away
                left, top, width, height = one.evaluate(BOX)
                self.page.mouse.click(left + width / 2, top + height / 2)
                self.page.wait_for_timeout(40)

    def select(self) -> None:
        for one in self.each("select"):
            one.focus()
            for _ in range(min(8, one.locator("option").count())):
                self.page.keyboard.press("ArrowDown")
                self.page.wait_for_timeout(40)

    def slide(self) -> None:
        for one in self.each("input[type=range]"):
            left, top, width, height = one.evaluate(BOX)
            y = top + height / 2
            self.page.mouse.move(left + 8, y)
            self.page.mouse.down()
            for step in range(30):
                self.page.mouse.move(left + 8 + (width - 16) * step / 29, y)
                self.page.wait_for_timeout(8)
            self.page.mouse.up()
            for key in ["Home", *["ArrowRight"] * 8]:
                one.press(key)

    def type_numbers(self) -> None:
        for one in self.each("input[type=number]"):
            one.click()
            self.page.keyboard.press("Control+a")
            self.page.keyboard.type("12x-3", delay=20)

    def picture(self) -> None:
        """A picture as large as the photographs of a telephone."""
        grey = Image.effect_mandelbrot((4000, 3000), (-2.2, -1.5, 1.2, 1.5), 90)
        file = io.BytesIO()
        grey.save(file, "JPEG")
        self.root.locator("input[data-picture]").set_input_files(
            {"name": "photograph.jpg", "mimeType": "image/jpeg", "buffer": file.getvalue()}
        )
        self.page.wait_for_timeout(2000)

    def across(self, selector: str, pressed: bool) -> None:
        """Three strokes over each."""
        for one in self.each(selector, 4):
            left, top, width, height = one.evaluate(BOX)
            for row in range(3):
                for step in range(25):
                    x = left + width * (step + 0.5) / 25
                    self.page.mouse.move(x, top + height * (row + 0.5) / 3)
                    if pressed and step == 0:
                        self.page.mouse.down()
                    self.page.wait_for_timeout(8)
                if pressed:
                    self.page.mouse.up()


def written(page: Any, area: Any) -> Iterator[tuple[str, Callable[[], None]]]:
    from casestudies.explorers.your_own_network import COURSE

    def put(text: str, end: str) -> Callable[[], None]:
        """Tells the explorer of a text that stands there, and types behind it."""
        area.evaluate("(area, text) => { area.value = text; area.scrollTop; }", text)  # Chromium's own time

        def act() -> None:
            area.evaluate("(area) => area.dispatchEvent(new Event('input', { bubbles: true }))")
            page.wait_for_timeout(150)
            area.focus()
            page.keyboard.press("Control+End")
            for letter in end:
                page.keyboard.press("Enter" if letter == "\n" else letter)
                page.wait_for_timeout(25)

        return act

    yield "typed", put("#", "\nimage 3x32x32\nconv 16 3x3\nnorm\nrelu\nblock\nconv 16\nnorm")
    for name, text in COURSE.items():
        yield f"{name}, and a line", put(text, "\nconv 7")
    for name, text in TEXTS.items():
        yield name, put(text, "\nr")


if __name__ == "__main__":
    sys.exit(main())
