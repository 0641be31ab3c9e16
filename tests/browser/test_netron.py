"""Files of `casestudies export` open in Netron, with nodes and shapes. (`pip install netron` to have this run.)"""

from __future__ import annotations

import socket

import chromium
import pytest

from casestudies.export import to_onnx
from casestudies.zoo import build, variant

netron = pytest.importorskip("netron")
pytest.importorskip("onnx")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = chromium.find()

# Netron takes `eval` away from its page, and Playwright needs it.
KEEP_EVAL = 'const kept = eval; Object.defineProperty(window, "eval", {get: () => kept, set: () => {}})'


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
@pytest.mark.parametrize("name", ["lenet5", "googlenet"])
def test_an_exported_network_opens_in_netron(name, tmp_path):
    model = to_onnx(build(name), variant(name).image)
    file = tmp_path / f"{name}.onnx"
    file.write_bytes(model.SerializeToString())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = free.getsockname()
    netron.start(str(file), address, browse=False)
    try:
        with playwright.sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM, args=chromium.FLAGS)
            url = f"http://127.0.0.1:{address[1]}/"
            page = browser.new_page()
            page.context.add_cookies([{"name": "consent", "value": "1", "url": url}])
            page.add_init_script(KEEP_EVAL)
            broken: list[str] = []
            page.on("pageerror", lambda error: broken.append(str(error)))
            page.goto(url)
            page.wait_for_selector("g.node-item", state="attached", timeout=60_000)
            shown = page.locator("#canvas text").all_text_contents()
            message = page.locator("#message-text").text_content()
            browser.close()
    finally:
        netron.stop(address)
    assert not broken and not (message or "").strip()
    for node in model.graph.node:
        assert shown.count(node.op_type) >= sum(each.op_type == node.op_type for each in model.graph.node)
    image = "×".join(map(str, variant(name).image))
    assert {f"batch×{image}", "images", "logits", "batch×1000" if name == "googlenet" else "batch×10"} <= set(
        shown
    )
    weights = ["×".join(map(str, each.dims)) for each in model.graph.initializer if len(each.dims) > 1]
    assert weights and all(any(size in text for text in shown) for size in weights)
