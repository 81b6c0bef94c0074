"""Messages between the front process and a worker: a JSON head and bytes, each with its length, over a socket pair."""

from __future__ import annotations

import json
import struct
import threading
from asyncio import StreamReader
from collections.abc import Mapping
from socket import socket
from typing import Any

LENGTHS = struct.Struct(">II")


def encode(head: Mapping[str, Any], body: bytes = b"") -> bytes:
    """The bytes of a message."""
    text = json.dumps(head).encode()
    return b"".join((LENGTHS.pack(len(text), len(body)), text, body))


async def read_frame(reader: StreamReader) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises: IncompleteReadError at the end; OSError."""
    head_length, body_length = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    head: dict[str, Any] = json.loads(await reader.readexactly(head_length))
    return head, await reader.readexactly(body_length)


class Frames:
    """Messages over a blocking socket. Several threads may write."""

    def __init__(self, connection: socket) -> None:
        self._file = connection.makefile("rb")
        self._connection = connection
        self._writing = threading.Lock()

    def read(self) -> tuple[dict[str, Any], bytes]:
        """The next message. Raises: EOFError at the end; OSError."""
        head_length, body_length = LENGTHS.unpack(self._exactly(LENGTHS.size))
        head: dict[str, Any] = json.loads(self._exactly(head_length))
        return head, self._exactly(body_length)

    def write(self, head: Mapping[str, Any], body: bytes = b"") -> None:
        """Sends a message. Raises: OSError."""
        with self._writing:
            self._connection.sendall(encode(head, body))

    def _exactly(self, num_bytes: int) -> bytes:
        content = self._file.read(num_bytes)
        if len(content) < num_bytes:
            raise EOFError("the other process has closed the connection")
        return content
