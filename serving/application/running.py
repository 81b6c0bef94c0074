"""Runs an ASGI application in a background thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.errors import ServerError

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 2
BACKLOG = 1024


class RunningApplication:
    """An application that accepts connections.

    `url` is its address for this machine; `loop` is the event loop in whose thread the application runs.
    """

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.url = url
        self.loop = loop


@contextmanager
def running(app: ASGIApp, *, host: str = HOST, port: int = 0) -> Iterator[RunningApplication]:
    """Runs the application while the block runs. At the end, unfinished responses have two seconds.

    Args:
        app: the ASGI application, without lifespan events.
        host: the address to listen on.
        port: the port; 0 selects a free one.

    Raises: ServerError if the port is in use.
    """
    listening = _listen(host, port)
    is_stopping = threading.Event()
    config = uvicorn.Config(
        _ending_quietly(app, is_stopping),
        http="h11",  # whichever other parsers are installed
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = uvicorn.Server(config)
    started = _Started()
    thread = threading.Thread(target=_serve, args=(server, listening, started), name="asgi", daemon=True)
    thread.start()
    try:
        address = HOST if host == "0.0.0.0" else host
        yield RunningApplication(f"http://{address}:{listening.getsockname()[1]}", started.wait())
    finally:
        is_stopping.set()
        server.should_exit = True
        thread.join()
        listening.close()


class _Started:
    """Hands the event loop over from the thread that runs it."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = threading.Event()

    def set(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._event.set()

    def wait(self) -> asyncio.AbstractEventLoop:
        if not self._event.wait(START_SECONDS) or self._loop is None:
            raise ServerError(f"the HTTP server did not start within {START_SECONDS:.0f} s")
        return self._loop


def _serve(server: uvicorn.Server, listening: socket.socket, started: _Started) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        # The socket listens already: connections that arrive before the server accepts them wait in its backlog.
        loop.call_soon(started.set, loop)
        await server.serve(sockets=[listening])

    try:
        asyncio.run(serve())
    finally:
        started.set(None)


def _ending_quietly(app: ASGIApp, is_stopping: threading.Event) -> ASGIApp:
    """The application, which suppresses the cancellation of its unfinished responses when the server stops."""

    async def ending_quietly(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not is_stopping.is_set():
                raise

    return ending_quietly


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=BACKLOG)
    except OSError as error:
        raise ServerError(
            f"the server cannot listen on port {port} ({error.strerror or error}): choose another port"
        ) from error
