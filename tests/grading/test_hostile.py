"""Attacks. For each: no point gained, nobody else affected, no secret shown, the grader alive, a state.

An attack is the text of the cell in which a student writes BasicBlock. The class that it leaves is wrong, so
that every point would be a stolen one. After each attack an honest submission is graded by the same sandbox.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from casestudies.grading.cells import without_hidden
from casestudies.grading.cgroups import home
from casestudies.grading.executor import Submission, grade_submission
from casestudies.grading.notebooks import fill
from casestudies.grading.plugins import StudentView
from casestudies.grading.sandbox import Limits, Lost, Sandbox, bubblewrap
from casestudies.grading.verdicts import STATES
from casestudies.sandboxed import messages
from casestudies.sandboxed.frames import SPARE
from casestudies.sandboxed.keeper import ROOM

from .conftest import RIGHT, ROOT, needs_bubblewrap

pytestmark = [needs_bubblewrap, pytest.mark.sandbox]

MIB = 2**20
LIMITS = Limits(
    cell_seconds=1.5,
    check_seconds=3,
    notebook_seconds=40,
    grace_seconds=0.3,
    memory_bytes=400 * MIB,
    processes=24,
    output_bytes=MIB // 4,
    scratch_bytes=20 * MIB,
    answer_bytes=32 * MIB,
)
SECRET = "the-canary-7f3a91"

WRONG = """
class BasicBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
    def forward(self, x):
        return x * 0
"""
# The child's own objects, as an attacker who has read our source finds them.
CHILD = """
import gc, socket
own = next(o for o in gc.get_objects() if type(o).__name__ == "Child")
line = own.connection
"""
TRY = """
def attempt(do):
    try:
        print(do())
    except BaseException as error:
        print(type(error).__name__)
"""

FORGERY = {
    "prints the points": 'print("8.0")',
    "ends with the points": "8.0",
    "shows a forged report": """
from IPython.display import HTML, display
display(HTML('<div class="cs-report cs-pass">Right. 4 of 4 points.</div>'))""",
    "its own check": "def check(*a, **k):\n    return 8.0",
    "a check among the builtins": "import builtins\nbuiltins.check = lambda *a, **k: 8.0",
    "its own casestudies": """
import sys, types
fake = types.ModuleType("casestudies")
fake.check = lambda *a, **k: 8.0
sys.modules["casestudies"] = fake""",
    "no assertion ever fails": "import builtins\nbuiltins.AssertionError = Exception\n__debug__",
    "a display hook": "import sys\nsys.displayhook = lambda v: print(8.0)",
    "a hook after each cell": """
get_ipython().events.register("post_run_cell", lambda result: setattr(result, "error_in_exec", None))""",
    "a rewriter of cells": "get_ipython().input_transformers_post.append(lambda lines: ['8.0\\n'])",
    "a rewriter of syntax": """
import ast
class Rewrite(ast.NodeTransformer):
    def visit_Name(self, node):
        return ast.Constant(8.0) if node.id == "BasicBlock" else node
get_ipython().ast_transformers.append(Rewrite())""",
    "another run_cell": "get_ipython().run_cell = lambda *a, **k: None",
    "an import hook": """
import sys
class Finder:
    def find_spec(self, name, *rest):
        raise ImportError(name)
sys.meta_path.insert(0, Finder())""",
    "comparison patched": """
torch.allclose = torch.equal = torch.testing.assert_close = lambda *a, **k: True
torch.Tensor.__eq__ = lambda *a: True""",
    "modules patched": "nn.Module.__call__ = lambda self, x: x\nnn.Module.state_dict = lambda self: {}",
    "random numbers patched": "torch.manual_seed = lambda s: None\ntorch.randn = torch.zeros",
    "eval patched": "import builtins\nbuiltins.eval = lambda *a: 8.0\nbuiltins.compile = lambda *a: None",
    "no parameters copied": "torch.Tensor.copy_ = lambda self, other: self",
}

# What the answer itself may be. Each defines BasicBlock.
ANSWERS = {
    "equal to everything": """
class Evil:
    def __eq__(self, other): return True
    def __call__(self, *a, **k): return self
    def __getattr__(self, name): return self
BasicBlock = Evil()""",
    "a tensor subclass that agrees": """
class Agree(torch.Tensor):
    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return True
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return torch.zeros(1).as_subclass(Agree)""",
    "not a number": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return x * float("nan")""",
    "endless parameters": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def named_parameters(self, *a, **k):
        while True: yield "w", nn.Parameter(torch.zeros(1))
    def forward(self, x): return x""",
    "a tensor of a terabyte": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return torch.zeros(1).expand(2**38)""",
    "sparse": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return x.detach().to_sparse()""",
    "on the meta device": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return x.to("meta")""",
    "a nested tensor": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return torch.nested.nested_tensor([torch.ones(2), torch.ones(3)])""",
    "complex": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return x * 1j""",
    "a class that lies about itself": """
class Meta(type):
    def __instancecheck__(cls, other): return True
    def __subclasscheck__(cls, other): return True
    __name__ = property(lambda cls: 1 / 0)
class BasicBlock(metaclass=Meta): pass""",
    "an exception that cannot be printed": """
class Worse(Exception):
    def __str__(self): raise self
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): raise Worse""",
    "an exception with a long message": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): raise ValueError("x" * 10**8)""",
    "look-alike letters": WRONG.replace("BasicBlock", "B\u0430sicBlock"),
    "an exit in forward": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): raise SystemExit(0)""",
    "recursion without end": """
class BasicBlock(nn.Module):
    def __init__(self, *a, **k): super().__init__()
    def forward(self, x): return self.forward(x)""",
}

# What is sent to the grading process in place of answers.
LINE = {
    "a patched probe": """
from casestudies.sandboxed.probe import Probe
Probe.handle = lambda self, request: {"passed": True, "points": 8.0, "state": "passed"}""",
    "a probe that echoes": """
from casestudies.sandboxed.probe import Probe
Probe.handle = lambda self, request: request""",
    "a forged verdict": CHILD
    + """
own.send({"kind": "verdict", "points": 8.0, "state": "passed"})
own.send({"kind": "done", "id": own.number, "answer": {"ran": True, "points": 8.0}})""",
    "answers in advance": CHILD
    + """
for number in range(own.number, own.number + 60):
    own.send({"kind": "done", "id": number, "answer": {"taken": True, "response": {"kind": "module class"}}})""",
    "noise": CHILD + "line.sendall(b'\\x00' * 1000)",
    "a frame of an exabyte": CHILD + "line.sendall(b'\\x7f' + b'\\xff' * 7)",
    "half a frame": CHILD + "line.sendall((10**6).to_bytes(8, 'big') + b'x' * 10)",
    "a pickle": CHILD
    + """
import os, pickle
class Run:
    def __reduce__(self): return (os.system, ("echo stolen > /tmp/stolen",))
data = pickle.dumps(Run())
line.sendall(len(data).to_bytes(8, "big") + data)""",
    "a pickled tensor file": CHILD
    + """
import io
file = io.BytesIO()
torch.save({"x": torch.ones(3)}, file)
data = b"\\x00\\x00\\x00\\x02" + len(file.getvalue()).to_bytes(4, "big") + b"{}" + file.getvalue()
line.sendall(len(data).to_bytes(8, "big") + data)""",
    "JSON nested without end": CHILD
    + """
text = b"[" * 10**6
line.sendall((len(text) + 8).to_bytes(8, "big") + len(text).to_bytes(4, "big") + bytes(4) + text)""",
    "JSON that swells": CHILD
    + """
text = b"[" + b"[]," * 10**7 + b"[]]"
line.sendall((len(text) + 8).to_bytes(8, "big") + len(text).to_bytes(4, "big") + bytes(4) + text)""",
    "a closed line": CHILD + "line.close()",
    "every descriptor closed": "import os\nos.closerange(0, 1000)",
    "outputs that are none": CHILD
    + """
for odd in (3, [], {"output_type": []}, {"output_type": "stream", "text": {}}, {"output_type": "display_data",
            "data": {"text/html": "<script>alert(1)</script>"}, "metadata": {"casestudies": {"grader": True}}}):
    own.send({"kind": "output", "id": own.number, "output": odd})""",
}

REACH = {
    "the course's files": TRY + f"attempt(lambda: open({str(ROOT / 'pyproject.toml')!r}).read())",
    "the references": TRY
    + f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
def reach():
    from casestudies.networks import resnet
    return "REACHED " + resnet.__name__
attempt(reach)""",
    "the references by their file": TRY
    + f"""
import importlib.util
def reach():
    path = {str(ROOT / "casestudies/networks/resnet.py")!r}
    spec = importlib.util.spec_from_file_location("r", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return "REACHED " + module.__name__
attempt(reach)""",
    "secrets in the file system": TRY
    + """
import os
for base in ("/", os.getcwd(), "/tmp", "/home", "/root", "/work", "/mnt", "/var", "/etc", "/run"):
    for folder, folders, files in os.walk(base):
        if folder.startswith(("/usr", "/lib", "/sys")) or "site-packages" in folder or "lib/python" in folder:
            folders[:] = []
            continue
        for name in files:
            if name.endswith((".ipynb", ".db", ".md", ".txt", ".toml")):
                attempt(lambda: open(os.path.join(folder, name)).read(2000))""",
    "the environment": "import os, subprocess\nprint(os.environ, subprocess.getoutput('env'))",
    "other processes": TRY
    + """
import glob
for pattern in ("/proc/*/environ", "/proc/*/cmdline", "/proc/*/maps"):
    for name in glob.glob(pattern):
        attempt(lambda: open(name).read())""",
    "memory": TRY
    + """
import gc, sys
attempt(lambda: [o for o in gc.get_objects() if type(o).__name__ in ("Assignment", "Report", "Part", "Runner")])
frame = sys._getframe()
while frame:
    print(list(frame.f_locals)[:50])
    frame = frame.f_back""",
    "the network": TRY
    + """
import socket
attempt(lambda: "REACHED" * bool(socket.create_connection(("1.1.1.1", 53), timeout=1)))
attempt(lambda: "REACHED" * bool(socket.gethostbyname("example.org")))
attempt(lambda: "REACHED" * bool(socket.create_connection(("127.0.0.1", 22), timeout=1)))""",
    "system folders": TRY
    + """
ours = [f"/grader/casestudies/{name}" for name in ("__init__.py", "sandboxed/server.py")]
for path in ("/usr/stolen", *ours, "/stolen", "/dev/stolen"):
    attempt(lambda: "REACHED" * bool(open(path, "w")))
import torch
attempt(lambda: "REACHED" * bool(open(torch.__file__, "a")))""",
    "namespaces": TRY
    + """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
attempt(lambda: "REACHED" * (libc.unshare(0x10000000) == 0))
attempt(lambda: "REACHED" * (libc.mount(b"none", b"/scratch", b"tmpfs", 0, None) == 0))
attempt(lambda: "REACHED" * (libc.ptrace(16, 2, 0, 0) == 0))
attempt(lambda: "REACHED" * (libc.setuid(0) == 0 and libc.mount(b"none", b"/", b"tmpfs", 0, None) == 0))""",
    "the next submission": """
import os, pathlib
for name in ("sitecustomize.py", "torch.py", "casestudies.py", ".ipython/profile_default/startup/a.py"):
    path = pathlib.Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raise SystemExit(1)")""",
    "its limits": TRY
    + """
import resource
for kind in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU):
    attempt(lambda: "REACHED" * (resource.setrlimit(kind, (-1, -1)) is None))""",
}

ENDS = {
    "an exit": "import os\nos._exit(0)",
    "a polite exit": "import sys\nsys.exit(0)",
    "an exit later": "import atexit, os\natexit.register(print, '8.0')",
    "a crash": "import ctypes\nctypes.string_at(0)",
    "signals to everybody": "import os, signal\nos.kill(-1, signal.SIGKILL)",
    "a signal to its parent": "import os, signal\nos.kill(os.getppid() or 1, signal.SIGKILL)",
    "a detached process": """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
    os._exit(0)""",
    "a second self": "import os\nos.fork()",
    "an interrupt": "raise KeyboardInterrupt",
    "a thread that goes on": """
import threading
def forever():
    while True: print("8.0", end="", flush=True)
threading.Thread(target=forever, daemon=True).start()""",
    "an alarm": "import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)",
    "a loop": "while True: pass",
    "a loop that ignores interrupts": "import signal\nsignal.signal(2, signal.SIG_IGN)\nwhile True: pass",
    "a sleep": "import time\ntime.sleep(1000)",
    "a number too large to compute": "10 ** 10 ** 9",
    "a fork bomb": "import os\nwhile True: os.fork()",
    "a fork bomb of the shell": "import os\nos.system('f() { f | f & }; f; sleep 10')",
    "a bomb of threads": """
import _thread, time
_thread.stack_size(32768)
while True:
    try: _thread.start_new_thread(time.sleep, (100,))
    except RuntimeError: pass""",
    "a memory bomb": "x = []\nwhile True: x.append(bytearray(b'1') * 10**7)",
    "a memory bomb of many": """
import os, time
for _ in range(20):
    if os.fork() == 0:
        x = bytearray(b'1') * (60 * 2**20)
        time.sleep(100)
time.sleep(100)""",
    "a full disk": "open('x', 'wb').write(bytes(10**9))",
    "a full disk of small files": "for i in range(10**6): open(str(i), 'w').close()",
    "full shared memory": "open('/dev/shm/x', 'wb').write(bytes(10**9))",
    "gigantic output": "print('x' * 10**8)",
    "endless output": "while True: print('x' * 1000)",
    "gigantic errors": "raise ValueError('x' * 10**8)",
    "a gigantic display": "from IPython.display import HTML\nHTML('x' * 10**8)",
    "script in a display": "from IPython.display import HTML\nHTML('<script>alert(1)</script><b onclick=x()>b</b>')",
    "javascript": "from IPython.display import Javascript\nJavascript('alert(1)')",
    "a file that shadows": "open('json.py', 'w').write('raise SystemExit')\nimport json",
}

ATTACKS = {
    **{f"forges: {name}": code + WRONG for name, code in FORGERY.items()},
    **{f"answers: {name}": code for name, code in ANSWERS.items()},
    **{f"sends: {name}": WRONG + code for name, code in LINE.items()},
    **{f"reaches for: {name}": WRONG + code for name, code in REACH.items()},
    **{f"ends with: {name}": WRONG + code for name, code in ENDS.items()},
}


@pytest.fixture(scope="module")
def sandbox():
    os.environ["COURSE_PASSWORD"] = SECRET
    with Sandbox(LIMITS) as box:
        yield box
    del os.environ["COURSE_PASSWORD"]


PATIENT = replace(LIMITS, cell_seconds=30, check_seconds=30, notebook_seconds=120)


def grade(released, assignment, sandbox, answers, limits=LIMITS):
    notebook = json.dumps(fill(released, answers)).encode()
    return grade_submission(Submission(notebook, {"data.csv": b"1,2"}), assignment, sandbox, limits)


@pytest.fixture(scope="module")
def canary(released, assignment, sandbox):
    """Grades an honest submission of the first part; returns the notebook that comes out."""
    cells = tuple(replace(c, source=without_hidden(c.source)) for c in assignment.cells[:3])
    first_part = replace(assignment, cells=cells)
    return lambda: grade(released, first_part, sandbox, RIGHT, PATIENT).notebook


@pytest.fixture(scope="module")
def undisturbed(canary):
    return canary()


def shown_to_the_student(graded):
    """All outputs that the feedback shows, and the text of every cell but the attack itself."""
    notebook = nbformat.reads(graded.notebook, as_version=4)
    StudentView().preprocess(notebook, {})
    texts = [json.dumps(cell.get("outputs", "")) for cell in notebook.cells]
    return "\n".join(texts + [cell.source for cell in notebook.cells if cell.id != "basic_block"])


def active_html(graded):
    """HTML of outputs that did not come from the grader's own report."""
    notebook = nbformat.reads(graded.notebook, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    pages = " ".join(output["data"].get("text/html", "") for output in outputs)
    return re.findall(r"<script|onclick|javascript:", pages)


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name, released, assignment, sandbox, canary, undisturbed):
    Path("/tmp/stolen").unlink(missing_ok=True)
    graded = grade(released, assignment, sandbox, {**RIGHT, "basic_block": ATTACKS[name]})
    protected, plain = graded.verdicts
    assert protected.points in (0.0, None), "a stolen point"
    assert protected.state in STATES and plain.state in STATES
    seen = shown_to_the_student(graded)
    for secret in (SECRET, "4321", "8642", "casestudies.checks", "nbgrader_config", "REACHED"):
        whole = rf"(?<!\d){re.escape(secret)}(?!\d)"  # a seed may well hold the digits
        assert not re.search(whole, seen), f"{secret} was shown"
    assert not active_html(graded)
    assert len(graded.notebook) < 2 * MIB
    assert not Path("/tmp/stolen").exists()
    assert canary() == undisturbed, "another submission was affected"


# --------------------------------------------------------------------------- how many at a time

BOMBS = ["a fork bomb", "a fork bomb of the shell", "a bomb of threads"]
OTHERS = 1000  # processes and threads that the machine may start meanwhile, for other tests: a browser has hundreds
FEW = replace(LIMITS, started=300)
OWN_NUMBERS = """
import os
from casestudies.sandboxed import isolation as i
outside = i.open_numbers()
if not i.new_namespaces(): os._exit(1)
pid = os.fork()
if pid == 0: os._exit(0 if i.bound_numbers(outside, 400) else 1)
os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def bounded_by_numbers() -> bool:
    """Whether this kernel lets a namespace have fewer numbers for processes than the machine."""
    box = [bubblewrap(), "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    return (
        subprocess.run([*box, sys.executable, "-c", OWN_NUMBERS], cwd=ROOT, capture_output=True).returncode
        == 0
    )


class Census:
    """The most processes and threads that the machine had at once, beyond those that it had at the beginning."""

    def __enter__(self):
        self.over, self.most = threading.Event(), 0
        self.thread = threading.Thread(target=self.count)
        self.thread.start()
        return self

    def count(self):
        before = None
        while not self.over.is_set():
            with open("/proc/loadavg") as file:
                now = int(file.read().split()[3].split("/")[1])
            before = now if before is None else before
            self.most = max(self.most, now - before)
            time.sleep(0.005)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("groups", [True, False], ids=["with a group", "without"])
def test_a_bomb_has_no_more_processes_than_promised(groups, name, sandbox, released, assignment, monkeypatch):
    if not groups:
        monkeypatch.setattr("casestudies.grading.sandbox.home", lambda: None)
    found = home() if groups else None
    exact = os.getuid() != 0 or (found is not None and "pids" in found.controllers)
    if groups and not exact:
        pytest.skip("no control group can count processes here")
    if not exact and not bounded_by_numbers():
        pytest.skip("root's processes have no bound here without control groups (before Linux 6.14)")
    beside, ended = sandbox.twin(), []
    if beside is None:
        pytest.skip("no namespaces within the sandbox here")

    def explode():
        with sandbox.child(FEW) as child:
            try:
                ended.append(type(child.ask(messages.Cell(ENDS[name]), 3)).__name__)
            except Lost as lost:
                ended.append(lost.reason)

    with Sandbox.of_twin(beside, PATIENT, []) as neighbour, Census() as census:
        bomb = threading.Thread(target=explode)
        bomb.start()
        graded = grade(released, assignment, neighbour, RIGHT, PATIENT)
        bomb.join()
    assert [verdict.points for verdict in graded.verdicts] == [8.0, 2.0]
    # Where the kernel refuses a shell its processes, the shell gives up and the cell goes on.
    assert ended[0] in ("CellRan", "Raised", "processes", "timed out", "crashed", "memory")
    promised = FEW.processes + SPARE if exact else FEW.started + ROOM
    assert census.most <= promised + OTHERS


def test_the_honest_submission_gets_everything(released, assignment, sandbox):
    graded = grade(released, assignment, sandbox, RIGHT, PATIENT)
    assert [verdict.points for verdict in graded.verdicts] == [8.0, 2.0]


def test_there_are_enough_attacks():
    assert len(ATTACKS) >= 40
