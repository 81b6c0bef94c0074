"""Reads a request's body, within limits on its size and on the bytes of all requests that are being read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from typing import Literal

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from serving.application.models import ReceivedRequest
from zoo.errors import ImageError, OverloadError, RequestError

BINARY_HEADER = "Inference-Header-Content-Length"
MOST_BYTES_IN_MEMORY = 268_435_456
IDLE_SECONDS = 60.0
RETRY_AFTER = 1


class ReadingRoom:
    """Memory for the bodies that are being read, which all requests of a server share."""

    def __init__(self, most_bytes: int = MOST_BYTES_IN_MEMORY) -> None:
        self.most_bytes = most_bytes
        self.num_bytes = 0

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A place for one body, which is free again at the end of the block."""
        place = Place(self)
        try:
            yield place
        finally:
            place.leave()


class Place:
    """The bytes of one body in a ReadingRoom."""

    def __init__(self, room: ReadingRoom) -> None:
        self._room = room
        self.num_bytes = 0

    def add(self, num_bytes: int) -> None:
        """Counts further bytes. Raises: OverloadError if the room is full."""
        if self._room.num_bytes + num_bytes > self._room.most_bytes:
            raise OverloadError("the server is reading too many large requests: retry later", retry_after=RETRY_AFTER)
        self.num_bytes += num_bytes
        self._room.num_bytes += num_bytes

    def leave(self) -> None:
        """Makes room for others: the body is not in memory any more."""
        self._room.num_bytes -= self.num_bytes
        self.num_bytes = 0


async def read_request(request: Request, place: Place, *, most_bytes: int) -> ReceivedRequest:
    """The request, whose body is at most `most_bytes` long. A longer body is refused before it is kept in memory.

    Raises: ImageError (413) if the body is too long; OverloadError if too many bodies are being read; RequestError if a
    form cannot be read, or the client sends nothing for a minute; ClientDisconnect.
    """
    content_type = request.headers.get("Content-Type", "").strip().lower()
    query = dict(request.query_params)
    if content_type.startswith("multipart/form-data"):
        return ReceivedRequest(kind="form", fields=await _form(request, place, most_bytes), query=query)
    body = bytearray()
    async for part in _parts(request, place, most_bytes):
        body += part
    header_length = request.headers.get(BINARY_HEADER)
    is_json = content_type.partition(";")[0].rstrip() == "application/json"
    kind: Literal["binary", "json", "bytes"] = "bytes"
    if header_length is not None:
        kind = "binary"
    elif is_json:
        kind = "json"
    return ReceivedRequest(kind=kind, fields={"body": bytes(body)}, query=query, header_length=header_length)


async def _form(request: Request, place: Place, most_bytes: int) -> dict[str, bytes]:
    try:
        form = await MultiPartParser(request.headers, _parts(request, place, most_bytes)).parse()
    except MultiPartException as error:
        raise RequestError(f"the form cannot be read: {error.message}") from error
    try:
        return {name: await _bytes_of(value) for name, value in form.items()}
    finally:
        await form.close()


async def _parts(request: Request, place: Place, most_bytes: int) -> AsyncGenerator[bytes, None]:
    stated = request.headers.get("Content-Length", "")
    if stated.isdecimal() and int(stated) > most_bytes:
        raise _too_large(most_bytes)
    stream = aiter(request.stream())
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                part = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise RequestError(f"the body did not arrive: nothing came for {IDLE_SECONDS:.0f} s") from error
        place.add(len(part))
        if place.num_bytes > most_bytes:
            raise _too_large(most_bytes)
        yield part


def _too_large(most_bytes: int) -> ImageError:
    return ImageError(f"the request has more than {most_bytes:,} bytes, the maximum", http_status=413)


async def _bytes_of(value: UploadFile | str) -> bytes:
    return await value.read() if isinstance(value, UploadFile) else value.encode()
