"""Bytes over a socket, each with its length before it; a descriptor may come along.

Also what the grading process and the server tell each other: dictionaries of JSON, whose keys are declared here.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Mapping
from typing import Any, TypedDict

LENGTH = struct.Struct(">Q")
SPARE = 2  # processes and threads that the kernel allows a submission beyond its limit: the keeper sees them


class Allowed(TypedDict):
    """What a submission may use: the fields of `grading.sandbox.Limits`, of which these are read here."""

    notebook_seconds: float
    wall_seconds: float
    memory_bytes: int
    reserve_bytes: int
    processes: int
    started: int
    output_bytes: int
    scratch_bytes: int


class Order(TypedDict, total=False):
    """What the grading process tells the server: `do` is "start", "interrupt", "kill" or "twin"."""

    do: str
    number: int  # of the submission's process
    limits: Allowed  # of one that starts
    descriptors: list[str]  # what those that come along are


class Setup(TypedDict):
    """What the server is started with, and its shell once that is made."""

    control: int  # the descriptor of its control socket
    paths: list[str]
    scratch: str
    isolate: bool
    boxed: bool
    filter: bool
    shell: Any  # of IPython, which is not imported here


class Told(TypedDict, total=False):
    """What the server tells the grading process: that it is ready, or what became of a submission's process."""

    ready: bool
    started: int
    isolated: bool
    dying: int
    ended: int
    reason: str
    status: int


def send_frame(connection: socket.socket, data: bytes) -> None:
    length = LENGTH.pack(len(data))
    sent = connection.sendmsg((length, data))  # without a copy of it
    if sent < len(length):
        connection.sendall(length[sent:])
    if sent < len(length) + len(data):
        connection.sendall(memoryview(data)[max(0, sent - len(length)) :])


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Raises EOFError where the other side ends before that."""
    parts = []
    while size:
        part = connection.recv(min(size, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def read_frame(connection: socket.socket) -> bytes:
    return read_exactly(connection, LENGTH.unpack(read_exactly(connection, LENGTH.size))[0])


def send_with(control: socket.socket, message: Mapping[str, object], *descriptors: int) -> None:
    """A message between processes of ours, and with it descriptors."""
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(control, [data], list(descriptors))
    control.sendall(data[sent:])


def receive(control: socket.socket) -> tuple[Any, list[int]]:
    """A message of `send_with` and the descriptors that came with it."""
    data, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 8)
    if not data:
        raise EOFError
    data += read_exactly(control, LENGTH.size - len(data))
    return json.loads(read_exactly(control, LENGTH.unpack(data)[0])), descriptors
