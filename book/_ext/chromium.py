"""The browser for whatever is done with the built book: prints, screenshots, tests."""

from __future__ import annotations

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# What readers with their own style sheet set, and no page may break by (WCAG 1.4.12).
SPACED = """* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important; }
p { margin-bottom: 2em !important; }"""


def find() -> str | None:
    """The path of Chromium, or of Chrome; None where there is neither."""
    return next(filter(None, map(shutil.which, NAMES)), None)
