"""The student's process: cells come in, outputs and answers go out."""

from __future__ import annotations

import base64
import builtins
import getpass
import io
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Literal

from casestudies.sandboxed import messages
from casestudies.sandboxed.frames import Allowed, Order, Setup, read_frame, send_frame
from casestudies.sandboxed.isolation import (
    LINUX,
    drop_privileges,
    forbid_system_calls,
    limit_resources,
    private_mounts,
)
from casestudies.sandboxed.messages import WireError, dumps, loads
from casestudies.sandboxed.probe import Probe, name_of
from casestudies.sandboxed.quoting import printable
from casestudies.sandboxed.torch_state import our_state

MOST_INPUTS = 20  # of a submission, which are answered
NO_INPUT = "input() gets an empty answer here: nobody is there to type while a notebook is graded."


class Nothing(str):
    """An empty answer that may be asked for a number: a block below `int(input())` is defined all the same."""

    def __int__(self) -> int:
        return 0

    def __float__(self) -> float:
        return 0.0


def be_the_child(connection: socket.socket, job: Order, setup: Setup, isolated: bool) -> None:
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the keeper ignores it: a student's processes do not
        if LINUX:
            try:
                with open("/proc/self/oom_score_adj", "w") as file:
                    file.write("1000")  # if memory runs out, this one first
            except OSError:
                pass
        os.setsid()
        os.nice(5)
        scratch = setup["scratch"]
        limit_resources(job["limits"], isolated)  # reads /proc, which is replaced below
        if isolated:
            private_mounts(scratch, job["limits"]["scratch_bytes"])
            drop_privileges()
        else:
            if not setup["boxed"]:
                scratch = os.path.join(scratch, str(os.getpid()))
                os.makedirs(scratch, mode=0o700)
            if LINUX:
                drop_privileges()
        os.chdir(scratch)
        if setup["filter"]:
            forbid_system_calls()
        os.environ.update(HOME=scratch, TMPDIR=scratch)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.close(null)
        Child(connection, setup["shell"], job["limits"]).serve()
    except BaseException as error:
        try:
            send_frame(connection, dumps(messages.Broken(printable(f"{type(error).__name__}: {error}"))))
        except BaseException:
            pass
    os._exit(0)


class Stream(io.TextIOBase):
    """sys.stdout and sys.stderr of the student's code."""

    encoding, errors = "utf-8", "replace"

    def __init__(self, name: Literal["stdout", "stderr"], send: Callable[[messages.Output], None]) -> None:
        self.name: Literal["stdout", "stderr"] = name
        self._send, self._buffer = send, io.StringIO()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        for start in range(0, len(text), 1 << 16):
            self._buffer.write(text[start : start + (1 << 16)])
            if self._buffer.tell() >= 1 << 14:
                self.flush()
        return len(text)

    def flush(self) -> None:
        text = self._buffer.getvalue()
        if text:
            self._buffer = io.StringIO()
            self._send(messages.StreamOutput(self.name, text))


class Child:
    """Serves the grading process's requests in the student's process, one after another."""

    def __init__(self, connection: socket.socket, shell: Any, limits: Allowed) -> None:
        self.connection, self.shell = connection, shell
        self.limit, self.sent, self.number, self.busy, self.pid = (
            limits["output_bytes"],
            0,
            0,
            False,
            os.getpid(),
        )
        self.streams = [Stream("stdout", self.output), Stream("stderr", self.output)]
        for name, stream in zip(("stdout", "stderr"), self.streams, strict=True):
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
        shell.send_output = self.output
        self.asked = 0  # how often for input
        builtins.input = getpass.getpass = self.input
        self.probe: Any = None
        self.lock, self.sending, self.pending = threading.RLock(), False, False
        signal.signal(signal.SIGINT, self.interrupt)

    def input(self, *_: Any, **__: Any) -> str:
        """What `input` answers: nothing, and says so, so that what a cell defines below is there. Who asks again and
        again waits for an answer of another kind, for ever: that cell is ended."""
        self.asked += 1
        if self.asked > MOST_INPUTS:
            raise EOFError(NO_INPUT)
        print(NO_INPUT)
        return Nothing()

    def interrupt(self, *_: Any) -> None:
        if self.sending:  # a frame must not be cut in two
            self.pending = True
        elif self.busy:
            raise KeyboardInterrupt

    def send(self, message: messages.Message) -> None:
        with our_state(
            generators=False
        ):  # which nobody draws from here: to keep them takes longer than to write
            data = dumps(message)
        with self.lock:
            self.sending = True
            try:
                send_frame(self.connection, data)
            finally:
                self.sending = False
        if self.pending:
            self.pending = False
            if self.busy:
                raise KeyboardInterrupt

    def output(self, output: messages.Output) -> None:
        """Passes an output on, until the notebook has written its share."""
        if os.getpid() != self.pid or self.sent > self.limit:
            return
        output, size = _whole(output)
        self.sent += size
        if self.sent > self.limit:
            output = messages.StreamOutput("stdout", "\n... the rest of the output was cut ...\n")
        self.send(messages.Shown(self.number, output))

    def serve(self) -> None:
        while True:
            try:
                frame = read_frame(self.connection)
            except EOFError:
                return
            # Tensors that are made in inference mode, say, would be of another kind.
            with our_state(generators=False):
                question = loads(frame, messages.FromJudge)
            self.number = question.id
            outcome: messages.Outcome
            self.busy = True
            try:
                try:
                    outcome = self.ACTIONS[type(question.request)](self, question.request)
                except KeyboardInterrupt:
                    outcome = messages.Interrupted()
                except BaseException as error:  # the student's code can raise anything, SystemExit included
                    outcome = _brief(error)
            except KeyboardInterrupt:
                outcome = messages.Interrupted()
            finally:
                self.busy = False
            if os.getpid() != self.pid:  # a copy that the student's code made of this process
                os._exit(0)
            for stream in self.streams:
                stream.flush()
            try:
                self.send(messages.Reply(self.number, outcome))
            except WireError as error:  # something that cannot travel; nothing was sent yet
                self.send(messages.Reply(self.number, _brief(error)))

    def files(self, request: messages.Files) -> messages.Done:
        for name, content in request.files.items():
            folder = os.path.dirname(name)
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(name, "wb") as file:
                file.write(base64.b64decode(content))
        return messages.Done()

    def put_streams_back(self) -> None:
        """Without streams no cell can run at all: a cell that takes them away, or closes them, is not the others'
        matter. One that puts its own in their place keeps these."""
        for number, name in enumerate(("stdout", "stderr")):
            if getattr(sys, name) is None or getattr(getattr(sys, name), "closed", False):
                if self.streams[number].closed:
                    self.streams[number] = Stream(self.streams[number].name, self.output)
                setattr(sys, name, self.streams[number])

    def cell(self, request: messages.Cell) -> messages.Outcome:
        self.put_streams_back()
        result = self.shell.run_cell(request.source, store_history=True)
        error = result.error_before_exec or result.error_in_exec
        if isinstance(error, KeyboardInterrupt):
            return messages.Interrupted()
        if error is not None:
            return _brief(error)
        value = result.result
        try:
            number = float(value) if type(value) in (int, float) else None
        except OverflowError:
            number = float("inf")
        return messages.CellRan(value is not None, number)

    def take(self, request: messages.Take) -> messages.Outcome:
        self.probe = None
        try:
            answer = eval(compile(request.expression, "<answer>", "eval"), self.shell.user_ns)
        except NameError as error:
            return messages.Missing(printable(getattr(error, "name", None) or request.expression, 100))
        self.probe = Probe(answer)
        return messages.Done()

    def ask(self, request: messages.Ask) -> messages.Answered:
        return messages.Answered(self.probe.handle(request.request))

    ACTIONS: ClassVar[dict[type[messages.Message], Callable[..., messages.Outcome]]] = {
        messages.Files: files,
        messages.Cell: cell,
        messages.Take: take,
        messages.Ask: ask,
    }


def _whole(output: messages.Output) -> tuple[messages.Output, int]:
    """The output with whole characters only, and about how long it is."""
    if isinstance(output, messages.StreamOutput):
        text = _characters(output.text)
        return messages.StreamOutput(output.name, text), len(text)
    if isinstance(output, messages.ErrorOutput):
        lines = tuple(_characters(line) for line in output.traceback[:200])
        return messages.ErrorOutput(output.type, output.message, lines), sum(map(len, lines))
    data = {_characters(str(key))[:100]: _characters(value) for key, value in output.data.items()}
    return messages.DataOutput(output.result, data), sum(map(len, data.values()))


def _characters(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[: 2 * 2**20]


def _texts(data: Any) -> dict[str, str]:
    """What was displayed, as text of each kind: bytes as base64, and nothing that is neither."""
    found = {}
    for key, value in dict(data).items():
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        if isinstance(value, str):
            found[str(key)] = str(value)
    return dict(list(found.items())[:50])


def _brief(error: BaseException) -> messages.Raised:
    try:
        message = str(error)
    except Exception:
        message = "(the exception cannot be printed)"
    return messages.Raised(name_of(type(error)), printable(message))


def make_shell() -> Any:
    """An IPython shell that hands its outputs over as nbformat has them."""
    from IPython.core.displayhook import DisplayHook
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Hook(DisplayHook):
        shell: Any  # the Shell below

        def write_output_prompt(self) -> None:
            pass

        def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
            self.shell.flush_streams()
            self.shell.send_output(messages.DataOutput(True, _texts(format_dict)))

        def finish_displayhook(self) -> None:
            pass

    class Publisher(DisplayPublisher):
        shell: Any

        def publish(self, data: Any, metadata: Any = None, source: Any = None, **_: Any) -> None:
            self.shell.flush_streams()
            self.shell.send_output(messages.DataOutput(False, _texts(data)))

        def clear_output(self, wait: bool = False) -> None:
            pass

    class Shell(InteractiveShell):
        displayhook_class = Hook
        display_pub_class = Publisher
        send_output: Any = None

        @contextmanager
        def _tee(self, channel: Any) -> Iterator[None]:
            yield  # IPython would keep all that a cell writes: of a loop that prints, all memory there is

        def flush_streams(self) -> None:
            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, Stream):
                    stream.flush()

        def _showtraceback(self, etype: Any, evalue: Any, stb: Any) -> None:
            self.flush_streams()
            lines = [stb] if isinstance(stb, str) else [str(line) for line in stb]
            brief = _brief(evalue if isinstance(evalue, BaseException) else RuntimeError(evalue))
            self.send_output(messages.ErrorOutput(brief.type, brief.message, tuple(lines)))

        def init_virtualenv(self) -> None:
            pass

        def enable_gui(self, gui: Any = None) -> None:
            pass

        def init_io(self) -> None:
            pass

    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    config.InteractiveShell.cache_size = 0
    config.InteractiveShell.autocall = 0
    shell = Shell.instance(config=config)
    shell.run_cell("pass", store_history=False)  # whatever is set up by the first cell is set up once
    # So is what writes the first traceback: its imports take as long as a small notebook.
    shell.send_output = lambda output: None
    shell.run_cell("raise NotImplementedError", store_history=False)
    shell.send_output = None
    return shell
