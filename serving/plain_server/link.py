"""The front process's end of the connection to a worker: many requests at once, each with its own replies."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from socket import socket

from serving.application.models import Part, ReceivedRequest
from serving.plain_server.frames import encode, read_frame
from zoo.errors import WorkerLostError


class WorkerLink:
    """The connection to a loaded worker. Use it in one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, lost: Callable[[], Exception]):
        self._reader, self._writer, self._lost = reader, writer, lost
        self._ids = itertools.count()
        self._parts: dict[int, asyncio.Queue[Part | None]] = {}
        self._is_lost = False
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, connection: socket, lost: Callable[[], WorkerLostError]) -> WorkerLink:
        """A link over a connected socket. `lost` is the error of requests that the worker does not answer."""
        connection.setblocking(False)
        return cls(*await asyncio.open_connection(sock=connection), lost)

    async def replies(self, request: ReceivedRequest) -> AsyncGenerator[Part]:
        """The parts of the response up to the last. Closing the generator earlier ends the request.

        Raises: the error of `lost` if the worker ends before that.
        """
        if self._is_lost:
            raise self._lost()
        id, parts = next(self._ids), asyncio.Queue[Part | None]()
        self._parts[id] = parts
        is_open = True
        try:
            await self._send_request(id, request)
            del request  # its body may be large, and the worker has it
            while is_open:
                part = await parts.get()
                if part is None:
                    raise self._lost()
                is_open = not part.is_last
                yield part
        finally:
            del self._parts[id]
            if is_open and not self._is_lost:
                self._writer.write(encode({"forget": id}))

    def close(self) -> None:
        """Closes the connection, which makes the worker end."""
        self._reading.cancel()
        self._writer.close()

    async def _send_request(self, id: int, request: ReceivedRequest) -> None:
        head = {
            "open": id,
            "kind": request.kind,
            "fields": [(name, len(value)) for name, value in request.fields.items()],
            "query": dict(request.query),
            "header_length": request.header_length,
        }
        with suppress(OSError):  # the reading end reports it
            self._writer.write(encode(head, b"".join(request.fields.values())))
            await self._writer.drain()

    async def _read(self) -> None:
        try:
            while True:
                head, body = await read_frame(self._reader)
                parts = self._parts.get(head.pop("reply"))
                if parts is not None:
                    parts.put_nowait(Part(text=body, **head))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self._is_lost = True
            for parts in self._parts.values():
                parts.put_nowait(None)
            self._writer.close()
