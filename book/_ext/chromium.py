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


def find() -> str | None:
    """The path of Chromium, or of Chrome; None where there is neither."""
    return next(filter(None, map(shutil.which, NAMES)), None)
