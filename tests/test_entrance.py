"""Commands begin on whatever streams they are given, and end in order when they are asked to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

COMMAND = f"{sys.executable} -m casestudies"
CLOSED = [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"]


def shell(line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], capture_output=True, text=True)


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("command", ["ledger lenet5", "--version", "cards"])
def test_a_stream_that_is_closed_leads_nowhere(command, closed):
    found = shell(f"{COMMAND} {command} {closed}")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.parametrize("closed", CLOSED)
def test_bad_input_is_status_2_on_closed_streams(closed):
    found = shell(f"{COMMAND} ledger nothing {closed}")
    assert found.returncode == 2 and "Traceback" not in found.stderr


@pytest.mark.parametrize("closed", CLOSED)
def test_no_file_takes_the_number_of_a_closed_stream(closed):
    """A child has the streams by their numbers: a socket with one of them would be its output."""
    code = "import os; from casestudies.entrance import open_streams as o; o(); f = open(os.devnull).fileno()"
    assert shell(f"{sys.executable} -c '{code}; os._exit(f < 3)' {closed}").returncode == 0


def test_a_reader_that_is_gone_ends_nothing(tmp_path):
    code = "; ".join(
        (
            "import sys, time",
            "from casestudies.entrance import open_streams",
            "open_streams()",
            "time.sleep(1)",
            "[print(i, flush=True) for i in range(9)]",
            "[print(i, file=sys.stderr) for i in range(9)]",
            f"open({str(tmp_path / 'done')!r}, 'x')",
        )
    )
    found = shell(f'{sys.executable} -c "{code}" 2>&1 | true')
    assert (found.returncode, found.stderr) == (0, "") and (tmp_path / "done").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is full")
def test_a_full_disk_is_a_sentence():
    found = shell(f"{COMMAND} ledger lenet5 > /dev/full")
    assert found.returncode == 2 and found.stderr.strip() == (
        "casestudies ledger: [Errno 28] No space left on device"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_ended_tidies_up(number, tmp_path):
    """Any command: what it has in the temporary folder goes, and the status says by which signal."""
    code = f"""
import signal, sys, tempfile, time
from casestudies import cli
signal.signal(signal.SIGINT, signal.default_int_handler)
def run(arguments):
    with tempfile.TemporaryDirectory(dir={str(tmp_path)!r}):
        print("ready", flush=True)
        time.sleep(60)
cli.run_networks = run
sys.exit(cli.main(["networks"]))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert said == "\ncasestudies networks: interrupted\n" and not list(tmp_path.iterdir())


def test_who_was_started_with_a_signal_ignored_goes_on():
    code = (
        "import os, signal; from casestudies.entrance import Interrupts\n"
        "with Interrupts(): os.kill(os.getpid(), signal.SIGHUP); print('on')"
    )
    assert shell(f"trap '' HUP; {sys.executable} -c \"{code}\"").stdout == "on\n"


def test_a_second_hangup_does_not_stop_the_tidying_up(tmp_path):
    code = (
        "import os, signal; from casestudies.entrance import Interrupts\n"
        "with Interrupts() as i:\n"
        "    try: os.kill(os.getpid(), signal.SIGHUP)\n"
        "    except KeyboardInterrupt: os.kill(os.getpid(), signal.SIGTERM); print(i.status)"
    )
    assert shell(f'{sys.executable} -c "{code}"').stdout == "129\n"
