"""Checks every request before the application gets it: the host's name and the client's token. Logs one line each."""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.application.refusals import refusal
from zoo.errors import ServerError

logger = logging.getLogger(__name__)

# Probes of orchestrators send no token, and nothing here says more than whether the server answers.
WITHOUT_TOKEN = ("/", "/ping", "/v2/health/live", "/v2/health/ready")
TOKEN_LINE = re.compile(r"(?P<name>[\w.@-]{1,64})\s+(?P<token>[\x21-\x7e]{16,512})")
BEARER = "bearer "
MOST_TOKEN_BYTES = 1_000_000


class TokenFile:
    """The clients' tokens in a file with one line `NAME TOKEN` per client, which is read again after each change.

    Blank lines and lines that begin with # are ignored. A client whose line is removed is refused at its next request.
    """

    def __init__(self, path: Path) -> None:
        """Raises: ServerError if the file cannot be read or a line is invalid."""
        self.path = path
        self._stamp = self._stat()
        self._names = self._read()

    def client_of(self, token: str) -> str | None:
        """The name of the client with this token; None for an unknown token.

        A file that cannot be read, or is invalid, after a change leaves the former tokens in force, and is logged.
        """
        stamp = self._stat()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self._names = self._read()
            except ServerError as error:
                logger.error("the former tokens stay in force: %s", error)
        return self._names.get(_digest(token))

    def _stat(self) -> tuple[int, ...] | None:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _read(self) -> Mapping[bytes, str]:
        """The clients' names by the digests of their tokens, so that comparing takes the same time for every token."""
        try:
            with self.path.open("rb") as file:
                text = file.read(MOST_TOKEN_BYTES).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise ServerError(f"the tokens cannot be read: {self.path}: {error}") from error
        names = {}
        for number, line in enumerate(text.splitlines(), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            match = TOKEN_LINE.fullmatch(line.strip())
            if match is None:
                raise ServerError(
                    f"line {number} of {self.path} is not NAME TOKEN, with a token of 16 to 512 printable characters"
                )
            names[_digest(match["token"])] = match["name"]
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessLine:
    """What is logged of a request: nothing that the client wrote, except its number of bytes.

    `client`: the name that belongs to the token; empty without one. `seconds`: until the end of the response.
    """

    client: str
    status: int
    seconds: float
    bytes: int


class Access:
    """An ASGI application that checks requests before it passes them on, and counts those that are open."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        client_of: Callable[[str], str | None] | None = None,
        hosts: Collection[str] | None = None,
        log: Callable[[AccessLine], None] = lambda line: None,
    ) -> None:
        """Creates the application.

        Args:
            app: the application that gets the accepted requests.
            client_of: the client's name of a token, None for an unknown one; without this function no token is needed.
            hosts: the host names under which requests are accepted; None accepts any.
            log: is called at the end of each request.
        """
        self.app = app
        self.num_open = 0
        self._client_of = client_of
        self._hosts = hosts
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, status, num_bytes, client = time.monotonic(), 0, 0, ""

        async def counting_receive() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            return message

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self.num_open += 1
        try:
            request = Request(scope)
            refused = self._refused_host(request)
            if refused is None and self._client_of is not None:
                name = self._client_of(_token_of(request) or "")
                client = name or ""
                refused = self._refused_token(request, name)
            await (self.app if refused is None else refused)(scope, counting_receive, noting_send)
        finally:
            self.num_open -= 1
            self._log(AccessLine(client=client, status=status, seconds=time.monotonic() - started, bytes=num_bytes))

    def _refused_host(self, request: Request) -> Response | None:
        """The refusal of another host's name: a page whose name resolves to this machine could otherwise send requests
        and read the responses (DNS rebinding).
        """
        if self._hosts is None or all(_name_of(host) in self._hosts for host in request.headers.getlist("Host")):
            return None
        message = f"requests to another host are refused: use one of the names {', '.join(sorted(self._hosts))}"
        return refusal(403, message, type="HostError", path=request.scope["path"])

    def _refused_token(self, request: Request, name: str | None) -> Response | None:
        if name is not None or request.scope["path"] in WITHOUT_TOKEN:
            return None
        message, challenge = "the server needs a token: Authorization: Bearer TOKEN", "Bearer"
        if "Authorization" in request.headers:
            message, challenge = "the token is not valid on this server", 'Bearer error="invalid_token"'
        headers = {"WWW-Authenticate": challenge}
        return refusal(401, message, type="InvalidKeyException", path=request.scope["path"], headers=headers)


def _token_of(request: Request) -> str | None:
    authorization = request.headers.get("Authorization", "")
    return authorization[len(BEARER) :].strip() if authorization.lower().startswith(BEARER) else None


def _name_of(host: str) -> str:
    """The name or address in a Host header, without its port."""
    name = host.lower()
    return name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
