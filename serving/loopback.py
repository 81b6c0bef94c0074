"""Runs an ASGI application on the loopback address in a background thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from zoo.errors import ServerError

HOST = "127.0.0.1"
START_SECONDS = 30.0
STOP_SECONDS = 2
POLL_SECONDS = 0.02


@contextmanager
def running(app: ASGIApp, *, port: int = 0) -> Iterator[str]:
    """Runs the application while the block runs, and yields its URL once it accepts connections.

    `port` 0 selects a free port. At the end, unfinished responses have two seconds.
    Raises: ServerError if the port is in use.
    """
    listening = _listen(port)
    is_stopping = threading.Event()
    config = uvicorn.Config(
        _ending_quietly(app, is_stopping),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="asgi", daemon=True)
    thread.start()
    try:
        _wait_until_started(server, thread)
        yield f"http://{HOST}:{listening.getsockname()[1]}"
    finally:
        is_stopping.set()
        server.should_exit = True
        thread.join()
        listening.close()


def _ending_quietly(app: ASGIApp, is_stopping: threading.Event) -> ASGIApp:
    """The application, which suppresses the cancellation of its unfinished responses when the server stops."""

    async def ending_quietly(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if not is_stopping.is_set():
                raise

    return ending_quietly


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise ServerError(
            f"the server cannot listen on port {port} ({error.strerror or error}): choose another port"
        ) from error


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise ServerError(f"the server on the loopback address did not start within {START_SECONDS:.0f} s")
        time.sleep(POLL_SECONDS)
