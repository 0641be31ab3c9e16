"""A small assignment of one checked block, one plain assertion cell and one written answer, and its class."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from casestudies.grading.cells import Assignment
from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.notebooks import build_source, notebook_text, release
from casestudies.grading.sandbox import Limits, Sandbox, bubblewrap

# The one profile of all generated tests: the same examples in every run, and no clock. To look further, with new
# examples in each run: CASESTUDIES_EXAMPLES=5000 pytest tests/grading
EXAMPLES = int(os.environ.get("CASESTUDIES_EXAMPLES", "0"))
settings.register_profile(
    "casestudies",
    max_examples=EXAMPLES or 150,
    derandomize=not EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.function_scoped_fixture,
        HealthCheck.data_too_large,
    ],
)
settings.load_profile("casestudies")

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """\
---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A small assignment

```{code-cell} python
:nbgrader: {id: imports, kind: readonly}

import torch
import torch.nn.functional as F
from torch import nn
from casestudies import check
```

```{code-cell} python
:nbgrader: {id: basic_block, kind: solution}

class BasicBlock(nn.Module):
    ### BEGIN SOLUTION
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            convolution = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))
    ### END SOLUTION
```

```{code-cell} python
:nbgrader: {id: check_basic_block, kind: tests, points: 8}

check("resnet/basic_block", BasicBlock)
### BEGIN HIDDEN TESTS
check("resnet/basic_block", BasicBlock, hidden=True)
### END HIDDEN TESTS
```

```{code-cell} python
:nbgrader: {id: double, kind: solution}

def double(x):
    ### BEGIN SOLUTION
    return 2 * x
    ### END SOLUTION
```

```{code-cell} python
:nbgrader: {id: check_double, kind: tests, points: 2}

assert double(2) == 4
### BEGIN HIDDEN TESTS
secret_number = 4321
assert double(secret_number) == 8642
### END HIDDEN TESTS
```

+++ {"nbgrader": {"id": "why", "kind": "written", "points": 3}}

### BEGIN SOLUTION
Because the identity is easy to learn.
### END SOLUTION
"""

RIGHT_BLOCK = (
    "class BasicBlock(nn.Module):\n" + SOURCE.split("### BEGIN SOLUTION\n")[1].split("    ### END")[0]
)
RIGHT = {
    "basic_block": RIGHT_BLOCK,
    "double": "def double(x):\n    return x + x\n",
    "why": "It is easy to do nothing.",
}

LIMITS = Limits(cell_seconds=20, check_seconds=20, notebook_seconds=120)


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with one assignment, `small`."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(ROOT / "nbgrader_config.py", folder)
    (folder / "solutions").mkdir()
    (folder / "solutions" / "small.md").write_text(SOURCE)
    release(["small"], folder)
    return folder


@pytest.fixture(scope="session")
def released(root: Path):
    import nbformat

    return nbformat.read(root / "exercises" / "small" / "small.ipynb", as_version=4)


@pytest.fixture(scope="session")
def assignment(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Assignment:
    """The instructor's cells as the gradebook has them: stubs in the student's cells, hidden tests shown."""
    from nbgrader.api import Gradebook

    from casestudies.grading.notebooks import generate_assignment

    course = tmp_path_factory.mktemp("course")
    generate_assignment(root, "small", course / "release", course)
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as gradebook:
        return Assignment.from_gradebook(gradebook, "small", "small")


@pytest.fixture(scope="session")
def sandbox():
    """The best sandbox that this machine offers."""
    with Sandbox(LIMITS) as box:
        yield box


@pytest.fixture
def pool(sandbox):
    """Grades in this process: quick, and nothing of the course depends on where it happens."""

    def run(todo):
        for student, data in todo:
            job = json.loads(data)
            graded = grade_submission(
                Submission.from_dict(job["submission"]),
                Assignment.from_dict(job["assignment"]),
                sandbox,
                Limits(**job["limits"]),
                job["seed"],
            )
            yield student, {"graded": graded.to_dict()}

    return run


@pytest.fixture
def install_from(tmp_path: Path):
    """Installs the package from a kit as a notebook or a workflow does, apart from what it depends on."""

    def install(archive: Path) -> Path:
        """The folder that it is in afterwards."""
        where = f"casestudies @ {archive.as_uri()}#subdirectory=package"
        offline = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            *offline,
            "--target",
            str(tmp_path / "site"),
            where,
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return tmp_path / "site"

    return install


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built from a copy of what git knows or would add."""
    scratch = tmp_path_factory.mktemp("wheel")
    if not (ROOT / ".git").exists():
        pytest.skip("no clone: nothing says which files are sources")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (scratch / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, scratch / "source" / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(scratch), str(scratch / "source")], check=True)
    return next(scratch.glob("*.whl"))


needs_bubblewrap = pytest.mark.skipif(
    bubblewrap() is None, reason="bubblewrap is missing or not allowed here"
)


@pytest.fixture
def interruptible():
    """Ctrl-C as a terminal's program gets it: what a shell starts in the background ignores it, and so would
    all that the tests start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


__all__ = ["RIGHT", "ROOT", "SOURCE", "build_source", "needs_bubblewrap", "notebook_text"]
