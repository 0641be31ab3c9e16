"""The explorers in JupyterLab: Python reads what a reader sets, and the page shows what Python sets."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
import pytest
from test_explorer_browser import GRIDS, drive

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("lab")]

SETUP = """
import json
from test_explorer_browser import GRIDS
explorers = [make() for make, _ in GRIDS.values()]
"""

# Runs Python in the notebook's kernel and returns what it printed.
ASK = """async (code) => {
    const kernel = jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const asked = kernel.requestExecute({ code });
    let printed = "";
    asked.onIOPub = ({ header, content }) => {
        if (header.msg_type === "stream") printed += content.text;
        if (header.msg_type === "error") throw Error(content.evalue);
    };
    await asked.done;
    return printed;
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a JupyterLab with settings of its own, in a folder with one notebook."""
    folder = tmp_path_factory.mktemp("lab")
    cells = [nbformat.v4.new_code_cell(SETUP)]
    cells += [nbformat.v4.new_code_cell(f"explorers[{index}]") for index in range(len(GRIDS))]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(
        nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "all.ipynb"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
    }
    arguments = [
        "--no-browser",
        "--allow-root",
        "--expose-app-in-browser",
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with open(folder / "server.log", "w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments], env=environment, stdout=log, stderr=log
        )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(240):
                try:
                    urlopen(f"{address}/api/status", timeout=5).close()
                    break
                except OSError:
                    assert server.poll() is None, (folder / "server.log").read_text()
                    time.sleep(0.25)
            yield f"{address}/lab/tree/all.ipynb?reset"
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture(scope="module")
def notebook(browser: Any, lab: str) -> Iterator[Any]:
    """The notebook in JupyterLab, all cells run. So high a window that JupyterLab renders all of them."""
    page = browser.new_page(viewport={"width": 1300, "height": 9000})
    page.set_default_timeout(90_000)
    page.goto(lab)
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".explorer").nth(len(GRIDS) - 1).wait_for()
    yield page
    page.close()


@pytest.fixture(scope="module")
def ask(notebook: Any) -> Callable[[str], Any]:
    """ask(code): what the kernel prints, read as JSON."""
    return lambda code: json.loads(notebook.evaluate(ASK, code) or "null")


@pytest.mark.parametrize("name", GRIDS)
def test_python_reads_what_the_reader_sets(notebook: Any, ask: Callable[[str], Any], name: str) -> None:
    _, settings = GRIDS[name]
    which = list(GRIDS).index(name)
    for setting in (settings[-1], settings[len(settings) // 2]):
        [(sentence, _)] = drive(notebook, [setting], which)
        state = f"{{key: getattr(explorers[{which}], key) for key in {list(setting)}}}"
        read = f"print(json.dumps([explorers[{which}].sentence(), {state}]))"
        # What changes while the kernel is busy is sent when it is idle, so the last change may take a moment.
        deadline = time.monotonic() + 30
        while (found := ask(read)) != [sentence, setting] and time.monotonic() < deadline:
            time.sleep(0.1)
        assert found == [sentence, setting]


@pytest.mark.parametrize("name", GRIDS)
def test_page_shows_what_python_sets(notebook: Any, ask: Callable[[str], Any], name: str) -> None:
    make, settings = GRIDS[name]
    which = list(GRIDS).index(name)
    for setting in (settings[0], settings[len(settings) // 3]):
        ask(f"for key, value in {setting!r}.items(): setattr(explorers[{which}], key, value)")
        sentence = make(**setting).sentence()
        notebook.wait_for_function(
            "([which, sentence]) => document.querySelectorAll('.explorer .x-result')[which].textContent === sentence",
            arg=[which, sentence],
        )
