"""A small HTTP server on the loopback address, for the operator and for programs on this machine."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from types import TracebackType
from typing import Any

from serving.server.ports import LOOPBACK
from zoo.errors import ServerError

JSON_TYPE = "application/json"
NAMES_OF_THIS_MACHINE = frozenset({LOOPBACK, "localhost"})
MAX_BODY_BYTES = 65_536
IDLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request; `path` includes the query string."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(status: int, message: str, **headers: str) -> Response:
    """A response that says why a request is refused."""
    body = json.dumps({"code": status, "message": message}).encode()
    return Response(status=status, body=body, headers=headers)


class LoopbackServer:
    """Responds to requests in separate threads while open. Use it as a context manager.

    Requests under the name of another host are refused: a web page whose name resolves to this machine (DNS rebinding)
    could otherwise send requests and read the responses.
    """

    def __init__(self, port: int, respond: Callable[[Request], Response], *, name: str) -> None:
        """`name` is the thread's. Raises: ServerError if the port is in use."""
        handler = type("Handler", (_Handler,), {"respond": staticmethod(respond)})
        try:
            self._server = _Server((LOOPBACK, port), handler)
        except OSError as error:
            raise ServerError(f"port {port} cannot be listened on: {error.strerror or error}") from error
        self._thread = threading.Thread(target=self._server.serve_forever, name=name, daemon=True)

    def __enter__(self) -> LoopbackServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Reports an error, unless it is only that the client has disconnected."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    respond: Callable[[Request], Response]
    timeout = IDLE_SECONDS

    def do_GET(self) -> None:
        self._send(self._response())

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def _response(self) -> Response:
        if not all(_is_this_machine(host.lower()) for host in self.headers.get_all("Host", [])):
            return refusal(403, f"requests to another host are refused: use the name {LOOPBACK} or localhost")
        try:
            size = int(self.headers.get("Content-Length", "0"))
        except ValueError:
            return refusal(400, "the request's Content-Length is not a number")
        if size > MAX_BODY_BYTES or "Transfer-Encoding" in self.headers:
            return refusal(413, f"the request's body has more than {MAX_BODY_BYTES:,} bytes or no Content-Length")
        body = self.rfile.read(max(0, size))
        return self.respond(Request(method=self.command, path=self.path, headers=self.headers, body=body))

    def _send(self, response: Response) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing, because one line per probe would flood the log."""


def _is_this_machine(host: str) -> bool:
    name, _, _ = host.partition(":")
    return name in NAMES_OF_THIS_MACHINE
