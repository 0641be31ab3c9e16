"""Bytes over a socket, each with its length before it; a descriptor may come along."""

from __future__ import annotations

import json
import socket
import struct
from typing import Any

LENGTH = struct.Struct(">Q")


def send_frame(connection: socket.socket, data: bytes) -> None:
    connection.sendall(LENGTH.pack(len(data)) + data)


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


def send_with(control: socket.socket, message: dict[str, Any], *descriptors: int) -> None:
    """A message between processes of ours, and with it descriptors."""
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    sent = socket.send_fds(control, [data], list(descriptors))
    control.sendall(data[sent:])


def receive(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """A message of `send_with` and the descriptors that came with it."""
    data, descriptors, _, _ = socket.recv_fds(control, LENGTH.size, 4)
    if not data:
        raise EOFError
    data += read_exactly(control, LENGTH.size - len(data))
    return json.loads(read_exactly(control, LENGTH.unpack(data)[0])), descriptors
