"""The HTTP response to a prediction, from the parts that a model answers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from serving.application.models import JSON_LINES, ReplyPart
from serving.application.refusals import problem
from zoo.errors import OverloadError


async def respond(
    replies: AsyncGenerator[ReplyPart], request: Request, *, opened: Callable[[], None] = lambda: None
) -> Response:
    """The response, once its status is certain: with the last part, or with the first line of a stream.

    `opened` is called when the model has taken the request.
    Raises: OverloadError if the model does not answer; ClientDisconnect, and the request is ended.
    """
    try:
        first = await _unless_disconnected(_beginning(replies, opened), request)
        if first.is_last:
            await replies.aclose()
            return Response(first.text, first.status, dict(first.headers), media_type=first.content_type)
    except BaseException:
        await replies.aclose()
        raise
    texts = _texts(first, replies, path=request.scope["path"])
    return StreamingResponse(texts, headers=dict(first.headers), media_type=first.content_type)


async def _beginning(replies: AsyncGenerator[ReplyPart], opened: Callable[[], None]) -> ReplyPart:
    """The first part that begins a response. Until then a failure still gets a status of its own."""
    async for part in replies:
        opened()
        if part.is_last or (part.text and part.content_type == JSON_LINES):
            return part
    raise AssertionError("the replies ended without a last part")


async def _unless_disconnected(part: Coroutine[Any, Any, ReplyPart], request: Request) -> ReplyPart:
    """The awaited part. Raises: ClientDisconnect if the client disconnects first."""
    waiting = asyncio.ensure_future(part)
    watching = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({waiting, watching}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ClientDisconnect
    finally:
        for task in (waiting, watching):
            task.cancel()
        await asyncio.gather(waiting, watching, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _texts(first: ReplyPart, rest: AsyncGenerator[ReplyPart], *, path: str) -> AsyncIterator[str | bytes]:
    """The lines of a stream. If the model is lost, the last line is an error, as for every failure in a stream."""
    async with aclosing(rest):
        yield first.text
        try:
            async for part in rest:
                yield part.text
        except OverloadError as error:
            yield json.dumps(problem(error.http_status, str(error), type=type(error).__name__, path=path)) + "\n"
