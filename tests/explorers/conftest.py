"""A Chromium to drive the explorers in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import chromium
import pytest
from explorer_page import static_page

CHROMIUM = chromium.find()


@pytest.fixture(scope="module")  # Playwright starts once in a process; other modules start their own
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """open_page(*explorers, width=...): the page, loaded. It may fetch nothing and report no error."""
    opened: list[tuple[Any, list[str]]] = []

    def open_(*explorers: Any, width: int = 1000, **options: Any) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        wrong: list[str] = []
        opened.append((page, wrong))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        file = tmp_path / f"page{len(opened)}.html"
        file.write_text(static_page(*explorers), "utf-8")
        local = ("file:", "blob:", "data:")
        page.on("request", lambda r: None if r.url.startswith(local) else wrong.append(f"requested {r.url}"))
        page.goto(file.as_uri())
        page.locator(".explorer").nth(len(explorers) - 1).wait_for()
        return page

    yield open_
    for page, wrong in opened:
        page.close()
        assert wrong == []
