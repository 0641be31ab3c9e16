"""JupyterHub for one course. `deploy/install.py` puts this file beside settings.json, which says for which.

    cd /opt/vision/hub && python -m jupyterhub

Users are the machine's: they log in with their own password (PAM), and their servers run under their own accounts.
That is what keeps students apart, and what nbgrader's exchange relies on. Only who may read the course's environment
gets a server with the grader in it.
"""

import json
import os
import pwd
from pathlib import Path

from jupyterhub.spawner import LocalProcessSpawner

c = get_config()  # noqa: F821  (given by JupyterHub)

HUB = Path(__file__).resolve().parent
settings = json.loads((HUB / "settings.json").read_text())
PREFIX = Path(settings["prefix"])
INSTRUCTOR = settings["instructor"]


class CourseSpawner(LocalProcessSpawner):
    """A server under the user's own account, in the environment that is theirs."""

    @property
    def environment_folder(self) -> Path:
        return PREFIX / ("course" if self.user.name == INSTRUCTOR else "students")

    @property
    def cmd(self) -> list[str]:
        return [str(self.environment_folder / "bin" / "python"), "-m", "jupyterhub.singleuser"]

    @cmd.setter
    def cmd(self, value: list[str]) -> None:
        raise ValueError("the command follows from the user; change CourseSpawner in jupyterhub_config.py")

    def get_env(self) -> dict[str, str]:
        env = super().get_env()
        env["PATH"] = os.pathsep.join(
            [str(self.environment_folder / "bin"), "/usr/local/bin", "/usr/bin", "/bin"]
        )
        # One thread for each: the tensors are small, and the cores are shared.
        env |= {"OMP_NUM_THREADS": "1", "HOME": pwd.getpwnam(self.user.name).pw_dir}
        env["CASESTUDIES_HUB_COURSE"] = settings["course"]  # under no other name is anything released
        return env


# In front of it stands what speaks TLS (nginx, Caddy): the hub itself listens on this machine alone.
c.JupyterHub.bind_url = os.environ.get("COURSE_HUB_URL", "http://127.0.0.1:8000")
c.JupyterHub.hub_bind_url = os.environ.get("COURSE_HUB_INSIDE", "http://127.0.0.1:8081")
c.ConfigurableHTTPProxy.command = [settings["proxy"]]
c.ConfigurableHTTPProxy.api_url = os.environ.get("COURSE_HUB_PROXY", "http://127.0.0.1:8001")
c.JupyterHub.db_url = f"sqlite:///{HUB / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(HUB / "cookie_secret")
c.ConfigurableHTTPProxy.pid_file = str(HUB / "proxy.pid")

c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.open_sessions = False
# Every account of this machine may log in. Where it has others than the course's, name a group instead:
# c.PAMAuthenticator.allowed_groups = {"vision-2026"}
c.Authenticator.allow_all = True
c.Authenticator.admin_users = set()

c.JupyterHub.spawner_class = CourseSpawner
c.Spawner.default_url = "/lab"
c.Spawner.start_timeout = 120
c.Spawner.http_timeout = 120

# A server that nobody has used for an hour ends, and gives its memory back. What was saved is saved.
c.JupyterHub.services = [
    {
        "name": "idle-culler",
        "command": [
            *(os.sys.executable, "-m", "jupyterhub_idle_culler"),
            *("--timeout=3600", "--cull-every=300"),
        ],
    }
]
c.JupyterHub.load_roles = [
    {
        "name": "idle-culler",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    }
]
