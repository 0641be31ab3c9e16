"""Sets up a JupyterHub for one course: two Python environments, nbgrader's exchange, and the hub's configuration.

    python deploy/install.py /opt/vision --course vision-2026 --wheel casestudies-0.2.0-py3-none-any.whl

The Python that runs this is the base: it has what requirements.txt and deploy/requirements.txt pin, and not the
course. On top of it come

    PREFIX/students   what students' servers run: the package of the student kit, no solution in it
    PREFIX/course     what the instructor's server runs: the package with the grader; closed to everybody else
    PREFIX/exchange   where nbgrader hands assignments, submissions and feedback over
    PREFIX/hub        jupyterhub_config.py, the hub's database and its cookie secret; the administrator's alone

Both environments use the base's packages, PyTorch among them, so that they are there once. Given again, the command
renews the environments and the configuration, and leaves the exchange and the hub's database as they are. It needs
nothing but the standard library, and root where the instructor is not the one who runs it.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

HERE = Path(__file__).resolve().parent
# What only an instructor's JupyterLab shows.
INSTRUCTORS_ONLY = ("formgrader", "create-assignment", "course-list")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


class InstallError(RuntimeError):
    """The hub cannot be set up; one sentence says what to do."""


def run(*command: str | Path) -> None:
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True)
    if done.returncode:
        shown = " ".join(str(each) for each in command)
        raise InstallError(f"{shown} failed:\n{done.stdout}{done.stderr}")


def base_packages() -> list[str]:
    """Where the base has its packages. The course itself must not be among them: students can read them."""
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    for folder in folders:
        if Path(folder, "casestudies").is_dir():
            raise InstallError(
                f"{folder} holds the package casestudies, with the solutions, where every student can read it; "
                f"pip uninstall casestudies, or use a base without it"
            )
    return folders


def environment(folder: Path, packages: list[str], course: str, exchange: Path) -> Path:
    """An environment on top of the base; returns its Python."""
    shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    # A plain line: packages are found there, and what they would run at each start is not run.
    (site / "base.pth").write_text("".join(f"{each}\n" for each in packages))
    for script in entry_points(group="console_scripts"):
        path = folder / "bin" / script.name
        if not path.exists() and script.name != "casestudies":
            path.write_text(
                f"#!{python}\nimport sys\nfrom {script.module} import {script.attr.partition('.')[0]}\n"
                f"sys.exit({script.attr}())\n"
            )
            path.chmod(0o755)
    base = Path(sys.prefix)
    (folder / "share").mkdir(exist_ok=True)
    (folder / "share" / "jupyter").symlink_to(base / "share" / "jupyter")  # JupyterLab and its extensions
    shutil.copytree(base / "etc" / "jupyter", folder / "etc" / "jupyter")
    # A login shell would read /etc/profile, which forgets this environment's commands.
    shell = {"ServerApp": {"terminado_settings": {"shell_command": ["/bin/bash"]}}}
    (folder / "etc" / "jupyter" / "jupyter_server_config.json").write_text(json.dumps(shell, indent=2) + "\n")
    # And no server asks another host for news.
    disable(folder, {"@jupyterlab/apputils-extension:announcements": True})
    (folder / "etc" / "jupyter" / "nbgrader_config.py").write_text(
        f"c = get_config()  # noqa: F821  (given by nbgrader)\n"
        f"c.Exchange.root = {str(exchange)!r}\n"
        f"c.CourseDirectory.course_id = {course!r}\n"
    )
    return python


def disable(folder: Path, extensions: dict[str, bool]) -> None:
    """Turns off parts of an environment's JupyterLab, beside those that are off."""
    path = folder / "etc" / "jupyter" / "labconfig" / "page_config.json"
    path.parent.mkdir(exist_ok=True)
    page = json.loads(path.read_text()) if path.exists() else {}
    page["disabledExtensions"] = page.get("disabledExtensions", {}) | extensions
    path.write_text(json.dumps(page, indent=2) + "\n")


def for_students(folder: Path) -> None:
    """Leaves the parts of nbgrader that are an instructor's out of the students' JupyterLab."""
    config = folder / "etc" / "jupyter"
    extensions = json.loads((config / "jupyter_server_config.d" / "nbgrader.json").read_text())
    servers = extensions["ServerApp"]["jpserver_extensions"]
    for name in INSTRUCTORS_ONLY:
        server = f"nbgrader.server_extensions.{name.replace('-', '_')}"
        if server in servers:
            servers[server] = False
    (config / "jupyter_server_config.d" / "nbgrader.json").write_text(json.dumps(extensions, indent=2))
    disable(folder, {f"@jupyter/nbgrader:{name}": True for name in INSTRUCTORS_ONLY})


def for_the_instructor(folder: Path, home: Path, course: str) -> None:
    """The formgrader finds the course in the instructor's home, wherever JupyterLab was started."""
    with open(folder / "etc" / "jupyter" / "nbgrader_config.py", "a") as config:
        config.write(
            "\nimport os  # noqa: E402\n\n"
            f"if os.path.isfile({str(home / course / 'nbgrader_config.py')!r}):\n"
            f"    load_subconfig('nbgrader_config.py', path={str(home / course)!r})  # noqa: F821\n"
        )


def install(prefix: Path, course: str, instructor: str, wheel: Path, proxy: str) -> None:
    """All of it; what cannot be done is an InstallError, before anything is written where that can be known."""
    if not NAME.fullmatch(course):
        raise InstallError(
            f"--course {course!r}: expected letters, digits, '-', '_' and '.' only, as in vision-2026"
        )
    try:
        owner = pwd.getpwnam(instructor)
    except KeyError:
        raise InstallError(
            f"--instructor {instructor!r}: this machine has no such user; make one first: adduser {instructor}"
        ) from None
    if not wheel.is_file():
        raise InstallError(f"--wheel {wheel}: there is no such file; python -m build makes it, in dist/")
    if shutil.which(proxy) is None:
        raise InstallError(
            f"--proxy {proxy}: there is no such command; name its path, or "
            "npm install --global configurable-http-proxy"
        )
    packages = base_packages()
    os.umask(0o022)
    prefix.mkdir(parents=True, exist_ok=True)
    exchange = prefix / "exchange"
    exchange.mkdir(exist_ok=True)
    exchange.chmod(0o1777)  # everybody hands in; nobody removes what is another's

    teaching = environment(prefix / "course", packages, course, exchange)
    run(sys.executable, "-m", "pip", "--python", teaching, "install", "--quiet", "--no-deps", wheel)
    for_the_instructor(prefix / "course", Path(owner.pw_dir), course)

    learning = environment(prefix / "students", packages, course, exchange)
    with tempfile.TemporaryDirectory() as scratch:
        run(teaching.with_name("casestudies"), "init", f"{scratch}/course")
        kit = [teaching.with_name("casestudies"), "student-kit", f"{scratch}/kit"]
        done = subprocess.run(kit, cwd=f"{scratch}/course", capture_output=True, text=True)
        if done.returncode:
            raise InstallError(done.stderr)
        run(
            *(sys.executable, "-m", "pip", "--python", learning, "install", "--quiet", "--no-deps"),
            *("--no-build-isolation", f"{scratch}/kit/package"),
        )
    for_students(prefix / "students")
    # The solutions are in it: for the instructor's group alone.
    for folder, inside, _ in os.walk(prefix / "course"):
        for name in [".", *inside]:
            os.chown(
                os.path.join(folder, name),
                0 if os.geteuid() == 0 else -1,
                owner.pw_gid,
                follow_symlinks=False,
            )
    (prefix / "course").chmod(0o750)

    hub = prefix / "hub"
    hub.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(HERE / "jupyterhub_config.py", hub / "jupyterhub_config.py")
    settings = {
        "prefix": str(prefix),
        "course": course,
        "instructor": instructor,
        "proxy": shutil.which(proxy),
    }
    (hub / "settings.json").write_text(json.dumps(settings, indent=2) + "\n")
    group = grp.getgrgid(owner.pw_gid).gr_name
    print(f"{prefix}: environments, exchange and hub for the course {course}.")
    print(f"{prefix}/course is readable for the group {group}; no student may be in it.")
    print("Then, the course's folder and the hub:")
    print(f"  su - {instructor} -c '{prefix}/course/bin/casestudies init {course}'")
    print(f"  cd {hub} && {sys.executable} -m jupyterhub")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Set up a JupyterHub for one course.")
    parser.add_argument("prefix", type=Path, help="a folder of its own, such as /opt/vision")
    parser.add_argument("--course", required=True, help="its course_id, such as vision-2026")
    parser.add_argument("--instructor", default="instructor", help="the login of the one who grades")
    parser.add_argument(
        "--wheel", required=True, type=Path, help="the package, as `python -m build` makes it"
    )
    parser.add_argument("--proxy", default="configurable-http-proxy", help="the proxy's command")
    args = parser.parse_args(argv)
    try:
        install(args.prefix.absolute(), args.course, args.instructor, args.wheel.absolute(), args.proxy)
    except (InstallError, OSError) as error:
        print(f"install.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
