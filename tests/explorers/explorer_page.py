"""Static pages with explorers, as the book makes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LOADER = Path(__file__).parents[2] / "book" / "_static" / "explorers.js"


def static_page(*explorers: Any, stored: bool = False) -> str:
    """What a built page holds of its explorers: the widget state, one view each, and the loader.

    `stored` has it as the book's cache gives it back: with all keys sorted.
    """
    from ipywidgets.embed import dependency_state, embed_data

    # A kernel sends all of the state, defaults too. Left to itself, embed_data takes every widget that the process
    # ever made: the pages of a long run would grow to 120 MB each.
    state = dependency_state(explorers, drop_defaults=False)
    data = embed_data(views=explorers, state=state)

    def script(kind: str, content: Any) -> str:
        body = json.dumps(content, sort_keys=stored).replace("</script", "<\\/script")
        return f'<script type="application/vnd.jupyter.widget-{kind}+json">{body}</script>'

    views = "".join(f"<div>{script('view', view)}</div>" for view in data["view_specs"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Explorers</title>'
        '<link rel="icon" href="data:,"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<script>{LOADER.read_text('utf-8')}</script></head><body><main>{views}"
        f"{script('state', data['manager_state'])}</main></body></html>"
    )


def reload_with_what_is_stored(page: Any) -> None:
    """Reloads a page of a browser that has kept what was stored.

    Chromium may lose what a document has stored just before it goes: on a busy machine the reloaded page found
    nothing even after fifty looks. A second tab, which stays open, shows when the browser itself has it; until then
    it is stored once more.
    """
    names = "Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i)).sort()"
    items = f"{names}.map((name) => [name, localStorage.getItem(name)])"
    before = page.evaluate(items)
    with page.expect_popup() as opened:
        page.evaluate("void open('about:blank')")
    witness = opened.value
    for _ in range(50):
        witness.goto(page.url)
        if witness.evaluate(items) == before:
            break
        page.evaluate("(kept) => kept.forEach(([key, value]) => localStorage.setItem(key, value))", before)
        page.wait_for_timeout(100)
    page.reload()
    page.locator(".explorer").first.wait_for()
    found = page.evaluate(items)
    witness.close()
    assert found == before, f"stored were {before}, after a reload {found}"
