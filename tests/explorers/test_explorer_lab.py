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

from casestudies.explorers import Progress, Questions

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("lab")]

SETUP = """
import json
from test_explorer_browser import GRIDS
explorers = [make() for make, _ in GRIDS.values()]
"""

# A notebook of its own: what a browser keeps of a reader's answers.
ANSWERS = """
import json
from casestudies.explorers import Progress, Questions
explorers = [Questions("resnet"), Progress()]
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
    """The address of a JupyterLab with settings of its own, in a folder with the two notebooks."""
    folder = tmp_path_factory.mktemp("lab")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name, setup, count in (("all", SETUP, len(GRIDS)), ("answers", ANSWERS, 2)):
        cells = [nbformat.v4.new_code_cell(setup)]
        cells += [nbformat.v4.new_code_cell(f"explorers[{index}]") for index in range(count)]
        made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(made, folder / f"{name}.ipynb")
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
            yield address
        finally:
            server.terminate()
            server.wait(30)


def run_all(page: Any, lab: str, name: str, count: int) -> None:
    """Open a notebook in a workspace of its own, run all cells, and wait for the explorers."""
    page.set_default_timeout(90_000)
    page.goto(f"{lab}/lab/workspaces/{name}/tree/{name}.ipynb?reset")
    page.wait_for_function("() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel")
    page.evaluate("() => jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".explorer").nth(count - 1).wait_for()


@pytest.fixture(scope="module")
def notebook(browser: Any, lab: str) -> Iterator[Any]:
    """The notebook in JupyterLab, all cells run. So high a window that JupyterLab renders all of them."""
    page = browser.new_page(viewport={"width": 1300, "height": 16_000})
    run_all(page, lab, "all", len(GRIDS))
    yield page
    page.close()


@pytest.fixture
def answers(browser: Any, lab: str) -> Iterator[tuple[Any, Any]]:
    """A reader's own browser, and in it the notebook with questions and their progress."""
    context = browser.new_context(viewport={"width": 1300, "height": 3000})
    page = context.new_page()
    run_all(page, lab, "answers", 2)
    yield context, page
    context.close()


def says(page: Any, which: int) -> str:
    return page.locator(".explorer").nth(which).locator(".x-result").inner_text()


def choose(page: Any, **chosen: str) -> None:
    for name, value in chosen.items():
        page.locator(f'[data-key="{name}"][value="{value}"]').check(force=True)


def row_of(page: Any, chapter: str) -> list[str]:
    """Of the table of progress: questions, answered, right at once, right by now."""
    rows = page.locator(".explorer").nth(1).locator("tbody tr", has_text=chapter)
    return next(cells[1:] for cells in rows.evaluate_all(CELLS) if cells[0] == chapter)


CELLS = "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"


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


def test_progress_follows_the_answers_given_in_lab(answers: tuple[Any, Any]) -> None:
    _, page = answers
    count = sum(Progress().figures().values())
    assert says(page, 1) == Progress().sentence()
    assert row_of(page, "resnet") == [str(len(Questions("resnet").questions)), "0", "0", "0"]
    choose(page, depth="one_stage")
    assert says(page, 1) == f"1 of {count} questions answered, 0 of them correctly on the first try."
    choose(page, depth="right", block_output="right")
    assert says(page, 1) == f"2 of {count} questions answered, 1 of them correctly on the first try."
    assert row_of(page, "resnet")[1:] == ["2", "1", "2"]
    read = "print(json.dumps([explorers[0].chosen, explorers[0].sentence()]))"
    chosen = {"depth": "right", "block_output": "right"}
    deadline = time.monotonic() + 30
    while (found := json.loads(page.evaluate(ASK, read)))[0] != chosen and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == [chosen, says(page, 0)]


def test_progress_is_in_the_readers_browser_when_the_notebook_is_opened_again(
    answers: tuple[Any, Any], browser: Any, lab: str
) -> None:
    context, page = answers
    choose(page, depth="right")
    kept = says(page, 1)
    assert kept.startswith("1 of ")
    page.close()
    again = context.new_page()
    run_all(again, lab, "answers", 2)
    assert says(again, 1) == kept
    other = browser.new_context(viewport={"width": 1300, "height": 3000})
    stranger = other.new_page()
    run_all(stranger, lab, "answers", 2)
    assert says(stranger, 1) == Progress().sentence()
    other.close()


def test_button_forgets_all_answers_in_lab(answers: tuple[Any, Any]) -> None:
    _, page = answers
    choose(page, depth="right")
    page.get_by_role("button", name="forget all my answers").click()
    assert says(page, 1) == Progress().sentence()
    assert page.evaluate("localStorage.getItem('casestudies.questions')") is None


def test_progress_in_lab_links_to_no_page_that_is_not_there(answers: tuple[Any, Any]) -> None:
    _, page = answers
    assert page.locator(".explorer a").count() == 0
