"""A server on this machine that does what a script says: one entry a request, faults included."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

Act = Callable[[socket.socket], None]


@dataclass
class ScriptedServer:
    """Answers the k-th request by the k-th act, each on a connection of its own; keeps what it was asked."""

    acts: Sequence[Act]
    requests: list[bytes] = field(default_factory=list)

    def __enter__(self) -> ScriptedServer:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/predictions/digits"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        for act in self.acts:
            try:
                connection, _ = self._listening.accept()
            except OSError:  # the test has ended before the script
                return
            with connection:
                self.requests.append(_read_request(connection))
                act(connection)


def reply(status: int, body: object, **headers: str) -> Act:
    """A complete response, JSON unless it is bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} ", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return lambda connection: connection.sendall("\r\n".join([*lines, "", ""]).encode() + content)


def stream(*lines: object, ends: bool = True) -> Act:
    """A chunked response of one JSON object a line (bytes as they are); without its end the connection breaks off."""

    def act(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 \r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n")
        for line in lines:
            content = line if isinstance(line, bytes) else json.dumps(line).encode() + b"\n"
            connection.sendall(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        if ends:
            connection.sendall(b"0\r\n\r\n")

    return act


def reset(connection: socket.socket) -> None:
    """The connection is reset instead of an answer, as when the server is ended."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def say_nothing(connection: socket.socket) -> None:
    """No answer until the client gives up."""
    connection.settimeout(30)
    while connection.recv(65536):
        pass


def died() -> Act:
    """What TorchServe answers to everyone whose worker ends."""
    return reply(500, {"code": 500, "type": "InternalServerException", "message": "Worker died."})


def answer(**changes: Any) -> dict[str, Any]:
    """A certificate of a 7, as a server would send it."""
    certificate = {
        "norm": "l2", "radius": 0.5, "sigma": 0.25, "alpha": 0.001, "p_a_lower": 0.98, "p_b_upper": None,
        "count_a": 995, "count_b": 3, "n0": 100, "n": 1000, "stopping": "fixed", "bound": "clopper-pearson",
        "input": "3x32x32 in [0, 1]", "radius_asked": None, "noise": "gaussian", "backend": "torch-cpu-float32",
    }  # fmt: skip
    of_certificate = {name: changes.pop(name) for name in list(changes) if name in certificate}
    told = {"label": 7, "class_name": "seven", "abstained": False, "certificate": certificate | of_certificate}
    return {**told, "repeatable": False, "model": {"name": "digits", "sha256": "ab"}, **changes}


def _read_request(connection: socket.socket) -> bytes:
    """Head and body, by its Content-Length; what comes first if the client goes away before."""
    connection.settimeout(30)
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            return data
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
    )
    while len(rest) < length:
        rest += connection.recv(65536)
    return head + b"\r\n\r\n" + rest
