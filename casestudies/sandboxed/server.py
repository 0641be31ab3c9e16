"""The program inside the sandbox: loads torch and IPython once, then forks a process for each submission.

    server ── forks ──> keeper (ours: counts, limits, ends) ── forks ──> child (the student's code)

The grading process talks to it over the control socket, and to each child over a socket of its own, which travels
over the control socket. Where the kernel allows it a child has namespaces of its own, so that it sees no other
process, no network and a private scratch folder. All answers of a child are untrusted on the other side.
"""

from __future__ import annotations

import gc
import json
import os
import select
import shutil
import signal
import socket
import sys

from casestudies.sandboxed.frames import Order, Setup, receive, send_frame
from casestudies.sandboxed.isolation import die_with_parent
from casestudies.sandboxed.keeper import start_keeper


def warm_up() -> None:
    """Does once what every child would else do for the first time."""
    import torch
    from torch import nn

    from casestudies.sandboxed import messages as m
    from casestudies.sandboxed.probe import Probe

    probe = Probe(lambda: nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU()))
    x = torch.ones(2, 2, 4, 4)
    for request in (
        m.Describe(),
        m.Build([]),
        m.Series((m.Load({}), m.Run((x,), training=False, trace=True))),
        m.Series((m.Run((x,), training=True, cotangent=x), m.Record((x,), training=True), m.Forget())),
    ):
        asked = m.loads(m.dumps(m.Question(1, m.Ask(request))), m.FromJudge)
        m.loads(m.dumps(m.Reply(1, m.Answered(probe.handle(asked.request.request)))))


def _tell(child: int, what: signal.Signals) -> None:
    """A signal to a submission's process, if it has one and that is still there."""
    try:
        if child:
            os.kill(child, what)
    except ProcessLookupError:
        pass


def main() -> None:
    gc.disable()  # until all is imported: it would look through half a million objects that stay, again and again
    setup: Setup = json.loads(sys.argv[1])
    control = socket.socket(fileno=setup["control"])
    sys.path[:] = [*(path for path in sys.path if path), *setup["paths"]]
    os.chdir(setup["scratch"])
    os.environ["IPYTHONDIR"] = os.path.join(setup["scratch"], ".ipython")
    sys.argv = ["grader"]

    import torch

    from casestudies.sandboxed.child import be_the_child, make_shell

    torch.set_num_threads(1)
    setup["shell"] = make_shell()
    warm_up()
    gc.freeze()  # what a child does not touch it need not copy
    gc.set_threshold(20_000, 20, 20)
    gc.enable()
    sys.path.append("")  # the notebook's folder comes last: a file there cannot shadow a library

    message: Order
    jobs: dict[int, tuple[int, int]] = {}  # pipe of a keeper -> (number, child)
    keepers: dict[int, int] = {}
    send_frame(control, json.dumps({"ready": True}).encode())
    while True:
        waiting: list[socket.socket | int] = [control, *jobs]
        readable, _, _ = select.select(waiting, [], [])
        for pipe in [each for each in readable if isinstance(each, int)]:
            lines = os.read(pipe, 65536)
            number, child = jobs[pipe]
            if not lines:
                end = {"ended": number, "reason": "keeper"}
                os.close(pipe)
                del jobs[pipe]
                _tell(child, signal.SIGKILL)
                os.waitpid(keepers.pop(pipe), 0)
                send_frame(control, json.dumps(end).encode())
                continue
            for line in lines.splitlines():
                note = json.loads(line)
                if "child" in note:
                    jobs[pipe] = (number, note["child"])
                    send_frame(
                        control, json.dumps({"started": number, "isolated": note["isolated"]}).encode()
                    )
                else:
                    send_frame(control, json.dumps({"dying": number, **note}).encode())
        if control not in readable:
            continue
        try:
            message, descriptors = receive(control)
        except (EOFError, OSError):
            break
        if message["do"] == "start":
            connection = socket.socket(fileno=descriptors[0])
            more = list(zip(message["descriptors"], descriptors[1:], strict=True))
            usage = next((number for name, number in more if name == "usage"), None)
            groups = [number for name, number in more if name == "group"]
            keeper, pipe = start_keeper(connection, usage, groups, message, setup, be_the_child)
            connection.close()
            for number in descriptors[1:]:
                os.close(number)
            jobs[pipe], keepers[pipe] = (message["number"], 0), keeper
        elif message["do"] == "twin":
            server = os.getpid()
            if os.fork():
                os.close(descriptors[0])
                continue
            die_with_parent(server)
            control.close()
            for (
                pipe
            ) in jobs:  # of the first server's submissions; the last one may still be coming to its end
                os.close(pipe)
            jobs.clear()
            keepers.clear()
            control = socket.socket(fileno=descriptors[0])
            send_frame(control, json.dumps({"ready": True}).encode())
        else:
            for number, child in jobs.values():
                if number == message["number"]:
                    _tell(child, signal.SIGINT if message["do"] == "interrupt" else signal.SIGKILL)
    for _, child in jobs.values():
        _tell(child, signal.SIGKILL)
    if not setup["boxed"]:
        shutil.rmtree(setup["scratch"], ignore_errors=True)
