"""A JupyterHub of the recipe in deploy/, with users that exist for its processes alone.

The hub logs users in with PAM and starts their servers under their own accounts, as it does in production. This
machine gets no new users for that: the hub runs in a mount namespace in which other files lie over /etc/passwd,
/etc/shadow and /etc/group. Making one takes root.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[2]
COURSE = "vision-2026"
INSTRUCTOR = "instructor"
STUDENTS = ("ada", "grace", "zoe")
PASSWORD = "a long password, for a test"
# Of its own for each process that runs a hub: what is left of one is ended by its users' numbers.
FIRST_ID = 20_000 + 10 * (os.getpid() % 4000)
PROXY = Path(sys.prefix) / "node_modules" / ".bin" / "configurable-http-proxy"
OVER = ("passwd", "shadow", "group")


def lacking() -> str:
    """What this machine does not have, in a sentence; empty where it has everything."""
    if (
        importlib.util.find_spec("jupyterhub") is None
        or importlib.util.find_spec("jupyterhub_idle_culler") is None
    ):
        return "JupyterHub is missing: make hub"
    if not PROXY.exists():
        return "the hub's proxy is missing (it needs Node.js): make hub"
    if os.geteuid() != 0:
        return "users of their own take root: sudo .venv/bin/python -m pytest tests/grading/test_hub.py"
    if shutil.which("openssl") is None:
        return "openssl is missing, which makes the users' passwords"
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        return "mount namespaces are not allowed here"
    return ""


@dataclass
class Machine:
    """A folder with the homes, the users and the hub of one course."""

    folder: Path
    url: str = ""

    @property
    def prefix(self) -> Path:
        return self.folder / "opt"

    @property
    def exchange(self) -> Path:
        return self.prefix / "exchange" / COURSE

    @property
    def course(self) -> Path:
        return self.home(INSTRUCTOR) / COURSE

    def home(self, user: str) -> Path:
        return self.folder / "home" / user

    def number(self, user: str) -> int:
        return FIRST_ID + (INSTRUCTOR, *STUDENTS).index(user)

    def make_users(self) -> None:
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", PASSWORD], capture_output=True, text=True, check=True
        ).stdout.strip()
        lines = {name: Path("/etc", name).read_text() for name in OVER}
        for user in (INSTRUCTOR, *STUDENTS):
            number, home = self.number(user), self.home(user)
            lines["passwd"] += f"{user}:x:{number}:{number}::{home}:/bin/bash\n"
            lines["shadow"] += f"{user}:{hashed}:20000:0:99999:7:::\n"
            lines["group"] += f"{user}:x:{number}:\n"
            home.mkdir(parents=True)
            os.chown(home, number, number)
            home.chmod(0o700)
        for name, text in lines.items():
            (self.folder / name).write_text(text)
        (self.folder / "shadow").chmod(0o600)

    def inside(self, *command: str | Path, user: str = "") -> list[str]:
        """The command line that runs `command` where these users exist, as one of them."""
        mounts = [f"mount --bind {self.folder / name} /etc/{name}" for name in OVER]
        line = ["unshare", "--mount", "sh", "-c", " && ".join([*mounts, *reachable(), 'exec "$@"']), "sh"]
        if user:
            number = str(self.number(user))
            line += ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
            line += ["env", "-C", str(self.home(user)), f"HOME={self.home(user)}", f"USER={user}"]
        return line + [str(each) for each in command]

    def run(self, *command: str | Path, user: str = "", cwd: Path | None = None) -> str:
        done = subprocess.run(
            self.inside(*command, user=user), capture_output=True, text=True, timeout=600, cwd=cwd
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, user: str, path: str, text: str) -> Path:
        """A file in a user's home, as if the user had saved it."""
        file = self.home(user) / path
        file.write_text(text)
        os.chown(file, self.number(user), self.number(user))
        return file

    def processes(self, user: str) -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and entry.stat().st_uid == self.number(user):
                    found.append(int(entry.name))
            except OSError:  # it has ended
                continue
        return found


def reachable() -> list[str]:
    """The mounts through which everybody reaches this Python, where it lies in a folder that is somebody's alone."""
    python = Path(sys.base_prefix).resolve()
    closed = next((each for each in reversed(python.parents) if not each.stat().st_mode & 0o001), None)
    if closed is None:
        return []
    return [
        "aside=$(mktemp -d)",
        f"mount --bind {python} $aside",
        f"mount -t tmpfs -o mode=755 tmpfs {closed}",
        f"mkdir -p {python}",
        f"mount --move $aside {python}",
        "rmdir $aside",
    ]


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def ended(process: subprocess.Popen[bytes], machine: Machine) -> None:
    """Ends the hub, which ends its users' servers; what is left after that is ended by its user's number."""
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for user in (INSTRUCTOR, *STUDENTS):
        for number in machine.processes(user):
            try:
                os.kill(number, signal.SIGKILL)
            except ProcessLookupError:
                continue


@contextmanager
def hub(wheel: Path) -> Iterator[Machine]:
    """The recipe of deploy/README.md, from an empty folder to a running hub."""
    folder = Path(tempfile.mkdtemp(prefix="casestudies-hub-"))
    folder.chmod(0o755)
    machine = Machine(folder)
    try:
        machine.make_users()
        install = [sys.executable, str(ROOT / "deploy" / "install.py"), str(machine.prefix)]
        options = [
            "--course",
            COURSE,
            "--instructor",
            INSTRUCTOR,
            "--wheel",
            str(wheel),
            "--proxy",
            str(PROXY),
        ]
        machine.run(*install, *options)
        machine.run(machine.prefix / "course" / "bin" / "casestudies", "init", COURSE, user=INSTRUCTOR)
        ports = free_ports(3)
        names = ("COURSE_HUB_URL", "COURSE_HUB_INSIDE", "COURSE_HUB_PROXY")
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in zip(names, ports, strict=True)}
        with open(folder / "hub.log", "wb") as log:
            process = subprocess.Popen(
                machine.inside(sys.executable, "-m", "jupyterhub"),
                cwd=machine.prefix / "hub",
                env=os.environ | addresses,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            machine.url = addresses["COURSE_HUB_URL"]
            wait_for(machine, process)
            yield machine
        finally:
            ended(process, machine)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(machine: Machine, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        log = (machine.folder / "hub.log").read_text()
        assert process.poll() is None, log
        try:
            with urlopen(f"{machine.url}/hub/login", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (URLError, OSError):
            time.sleep(0.3)
    raise AssertionError(f"the hub does not answer:\n{log}")
