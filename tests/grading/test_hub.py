"""The recipe of deploy/: a hub with real processes and users, driven through its pages by a browser.

One course, from the release of an assignment to the page that a student gets back: an instructor and three students,
each under an account of their own. It needs what `make hub` installs, root, and Chromium.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook

from casestudies.grading.handed_in import SUBMISSION_SECRET
from casestudies.grading.notebooks import notebook_text
from casestudies.grading.sample_class import make_submission, read_sample

from .conftest import needs_bubblewrap
from .hub import COURSE, INSTRUCTOR, PASSWORD, Machine, hub, lacking

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.sandbox,
    pytest.mark.slow,
    pytest.mark.xdist_group("hub"),
    pytest.mark.skipif(bool(lacking()), reason=lacking() or "-"),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is missing"),
    needs_bubblewrap,
]

# What each hands in, as samples of resnet: ada first one with a mistake, then a right one.
HANDED_IN = {"ada": ["relu-before-addition", "correct-attributes"], "grace": ["relu-before-addition"]}
PATIENCE = 180  # seconds


@pytest.fixture(scope="module")
def machine(wheel: Path) -> Iterator[Machine]:
    with hub(wheel) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


def until(done: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := done():
            return found
        time.sleep(0.3)
    raise AssertionError(f"{what} did not happen in {PATIENCE} seconds")


class User:
    """Somebody at the pages of the hub."""

    def __init__(self, browser: Any, machine: Machine, name: str) -> None:
        self.machine, self.name = machine, name
        self.context = browser.new_context(viewport={"width": 1400, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.goto(f"{machine.url}/hub/login")
        self.page.fill("#username_input", name)
        self.page.fill("#password_input", PASSWORD)
        self.page.click("#login_submit")
        # The launcher, or what was open when this user came last.
        self.page.wait_for_selector("#jp-main-dock-panel .lm-DockPanel-widget")

    def menu(self, entry: str) -> None:
        self.page.click(".lm-MenuBar-item:has-text('Nbgrader')")
        self.page.click(f".lm-Menu-item:has-text('{entry}')")

    def list_of_assignments(self) -> None:
        """Opens nbgrader's list, or renews it."""
        if self.page.locator("#assignments").count() == 0:
            self.menu("Assignment List")
        else:
            self.page.click("#refresh_assignments_list")

    def press(self, button: str, where: str) -> None:
        self.page.locator(f"#{where}_assignments_list button:has-text('{button}')").first.click()

    def terminal(self, command: str) -> str:
        """Types a command into a terminal of JupyterLab; returns what it printed."""
        out = self.machine.home(self.name) / "terminal.txt"
        out.unlink(missing_ok=True)
        screen = self.page.locator(".jp-Terminal .xterm-screen")
        if screen.count() == 0:
            self.page.click(".lm-MenuBar-item:has-text('File')")
            self.page.hover(".lm-Menu-item:has-text('New')")
            self.page.click(".lm-Menu-item:has-text('Terminal')")
            screen.wait_for()
            self.type_until(": > ~/terminal.ready", self.machine.home(self.name) / "terminal.ready")
        screen.click()
        self.page.keyboard.type(f"({command}) > ~/terminal.tmp 2>&1; mv ~/terminal.tmp ~/terminal.txt\n")
        until(out.exists, command)
        return out.read_text()

    def type_until(self, command: str, made: Path) -> None:
        """Types a command into the terminal again and again until it has made a file: keys get lost until the shell
        listens, and where something else of JupyterLab takes the focus while it loads."""
        made.unlink(missing_ok=True)

        def typed() -> bool:
            self.page.locator(".jp-Terminal .xterm-screen").click()
            self.page.keyboard.type(f"{command}\n")
            self.page.wait_for_timeout(1000)
            return made.exists()

        until(typed, command)

    def formgrader(self, what: str, says: str) -> None:
        """One of the buttons in the row of resnet in the formgrader; `says` is in the answer that appears."""
        page = self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(f"{self.machine.url}/user/{self.name}/formgrader/manage_assignments")
        page.locator("tr", has=page.locator("td.name", has_text=re.compile("^resnet$"))).locator(
            f"td.{what} a"
        ).click()
        answer = page.locator(".modal.in")
        answer.wait_for()
        assert says in answer.inner_text()
        page.close()

    def comment(self, student: str, comment: str) -> None:
        """Chooses a comment of the course's for the written answer of a student."""
        page = self.context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(f"{self.machine.url}/user/{self.name}/formgrader/gradebook/resnet/resnet")
        with Gradebook(f"sqlite:///{self.machine.course / 'gradebook.db'}", course_id=COURSE) as gradebook:
            submission = gradebook.find_submission_notebook("resnet", "resnet", student).id
        page.goto(f"{self.machine.url}/user/{self.name}/formgrader/submissions/{submission}/")
        choice = page.locator("select.casestudies-comments").last

        def saved(what: str) -> Any:
            return page.expect_response(
                lambda answer: f"/api/{what}/" in answer.url and answer.request.method == "PUT"
            )

        # The page saves both by themselves, in either order; what is not saved when it closes is lost.
        with saved("comment") as words, saved("grade") as points:
            choice.select_option(comment)
        assert words.value.ok and points.value.ok
        page.close()

    def close(self) -> None:
        self.context.close()


def answer(sample: str) -> str:
    """The notebook of a student who wrote what this sample says."""
    released = nbformat.read(ROOT / "exercises/resnet/resnet.ipynb", as_version=4)
    return notebook_text(make_submission(released, read_sample(ROOT / "samples/resnet" / f"{sample}.py")[1]))


# nbgrader copies file by file, and what is there is not yet whole. Each of these is there when all of it is.


def fetched(machine: Machine, student: str) -> bool:
    """Whether a student has the notebook that was released."""
    mine = machine.home(student) / "resnet/resnet.ipynb"
    return (
        mine.is_file()
        and mine.read_bytes() == (machine.exchange / "outbound/resnet/resnet.ipynb").read_bytes()
    )


def inbound(machine: Machine, student: str, number: int) -> list[Path]:
    """What a student has handed in through the exchange, once there are so many, the last thing in each."""
    found = sorted((machine.exchange / "inbound").glob(f"{student}+*/{SUBMISSION_SECRET}"))
    return [each.parent for each in found] if len(found) == number else []


def feedback(machine: Machine, student: str) -> str:
    """The page that a student got back, to its end."""
    for page in machine.home(student).glob("resnet/feedback/*/resnet.html"):
        assert page.stat().st_uid == machine.number(student)
        if (text := page.read_text(errors="ignore")).rstrip().endswith("</html>"):
            return text
    return ""


def test_a_course_through_the_hub(machine: Machine, browser: Any) -> None:
    """Release, fetch, submit twice, collect, grade, release feedback, fetch feedback."""
    instructor = User(browser, machine, INSTRUCTOR)
    instructor.formgrader("assign", "Successfully created the student version of 'resnet'")
    instructor.formgrader("release", "Successfully released 'resnet'")
    assert (machine.exchange / "outbound/resnet/resnet.ipynb").is_file()

    for student, samples in HANDED_IN.items():
        user = User(browser, machine, student)
        assert user.page.locator(".lm-Menu-item:has-text('Formgrader')").count() == 0
        user.list_of_assignments()
        user.press("Fetch", "released")
        until((machine.home(student) / "resnet/resnet.ipynb").exists, "the fetch")
        for number, sample in enumerate(samples, 1):
            machine.write(student, "resnet/resnet.ipynb", answer(sample))
            user.press("Submit", "fetched")
            mine = until(partial(inbound, machine, student, number), "the submission")
            assert mine[-1].stat().st_uid == machine.number(student)
        user.close()

    # zoe hands in nothing of her own: a folder in ada's name, and a link to what is not hers.
    theirs = User(browser, machine, "zoe")
    secret = machine.course / "course_secret"
    at = machine.exchange / "inbound"
    said = theirs.terminal(
        f"cd {at} && mkdir 'ada+resnet+2099-01-01 00:00:00 UTC+x' 'zoe+resnet+2099-01-01 00:00:00 UTC+y' && "
        f"echo > 'ada+resnet+2099-01-01 00:00:00 UTC+x/resnet.ipynb'; "
        f"ln -s {secret} 'zoe+resnet+2099-01-01 00:00:00 UTC+y/data.txt'; "
        f"echo > 'zoe+resnet+2099-01-01 00:00:00 UTC+y/{SUBMISSION_SECRET}'; mkdir 'zoe+resnet+'; "
        f"ls {at}; cat {secret}; ls {machine.prefix}/course {machine.course} {machine.home('ada')}; "
        "python -c 'import casestudies.grading'; python -c 'from casestudies import check'; "
        "nbgrader release_assignment resnet"
    )
    theirs.close()
    assert said.count("Permission denied") == 5, said  # list, secret, environment, course, ada's home
    assert "No module named 'casestudies.grading'" in said
    assert "ImportError" not in said

    instructor.formgrader("collect", "Successfully collected submissions of 'resnet'")
    submitted = machine.course / "submitted"
    assert sorted(path.name for path in submitted.iterdir()) == ["ada", "grace", "zoe"]
    assert (submitted / "ada/resnet/resnet.ipynb").read_text() == answer("correct-attributes")
    assert not (submitted / "zoe/resnet/data.txt").exists()

    said = instructor.terminal(f"cd {shlex.quote(COURSE)} && casestudies grade resnet --feedback")
    assert "NO SANDBOX" not in said, said
    assert "relu_before_addition" in said, said
    table = (machine.course / "reports/resnet.csv").read_text()
    assert "ada,check_basic_block,passed,4,4,,yes,sandbox" in table
    assert "grace,check_basic_block,partial,1,4,relu_before_addition,yes,sandbox" in table

    machine.write(
        INSTRUCTOR, f"{COURSE}/comments.csv", "id,points,text\nbetter,2,Say why it is easier to learn.\n"
    )
    instructor.comment("ada", "better")
    graded = machine.course / "autograded/ada/resnet/resnet.ipynb"
    before = graded.stat().st_mtime_ns
    said = instructor.terminal(f"cd {shlex.quote(COURSE)} && casestudies grade resnet --feedback")
    assert graded.stat().st_mtime_ns == before, said  # what has not changed is not graded again
    instructor.formgrader("release-feedback", "Successfully released feedback of 'resnet'")
    instructor.close()

    for student, sentence in [
        ("ada", "Say why it is easier to learn."),
        ("grace", "before the input is added"),
    ]:
        user = User(browser, machine, student)
        user.list_of_assignments()
        user.press("Fetch Feedback", "submitted")
        assert sentence in until(partial(feedback, machine, student), "the feedback")
        user.close()


def test_the_check_runs_in_a_students_notebook(machine: Machine, browser: Any) -> None:
    machine.write("zoe", "mine.ipynb", answer("correct-attributes"))
    user = User(browser, machine, "zoe")
    said = user.terminal("jupyter nbconvert --to notebook --execute --stdout mine.ipynb")
    user.close()
    assert "4 of 4 points" in said


def test_a_release_under_another_course_id_is_refused_with_what_to_write(machine: Machine) -> None:
    config = machine.course / "nbgrader_config.py"
    before = config.read_text()
    config.write_text(before.replace(repr(COURSE), "'autumn'"))
    try:
        command = [machine.prefix / "course/bin/nbgrader", "release_assignment", "vgg"]
        done = machine.run(
            "sh",
            "-c",
            f"cd {machine.course}; CASESTUDIES_HUB_COURSE={COURSE} {shlex.join(map(str, command))} 2>&1; :",
            user=INSTRUCTOR,
        )
    finally:
        config.write_text(before)
    assert f"write c.CourseDirectory.course_id = {COURSE!r}" in done
    assert not os.path.exists(machine.prefix / "exchange/autumn")
