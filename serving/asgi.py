"""A second front end: an ASGI application with the same HTTP interface as the TorchServe server.

It keeps the service independent of TorchServe. Any ASGI server can run it, with one process per device:
`uvicorn.run(application(service))`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from serving.description import openapi_document
from serving.protocol import BinaryBody, binary_tensors, error_body, model_metadata
from serving.service.replies import Reply
from serving.service.service import InferenceService, RequestId

logger = logging.getLogger(__name__)

Row = Mapping[str, object]
MAX_REQUEST_BYTES = 33_554_432


class Driver:
    """Steps a service in a separate thread while requests are open."""

    def __init__(self, service: InferenceService) -> None:
        self.service = service
        self._rows: dict[RequestId, Row] = {}
        self._replies: dict[RequestId, asyncio.Queue[Reply]] = {}
        self._num_seen = 0
        self._stepping: asyncio.Task[None] | None = None

    async def replies(self, row: Row) -> AsyncGenerator[Reply]:
        """The replies to one request up to the last. Closing the generator earlier ends the request."""
        id = self._num_seen
        self._num_seen += 1
        self._rows[id], self._replies[id] = row, asyncio.Queue()
        if self._stepping is None or self._stepping.done():
            self._stepping = asyncio.create_task(self._step_while_open())
        try:
            while True:
                reply = await self._replies[id].get()
                yield reply
                if reply.is_last:
                    return
        finally:
            del self._replies[id]
            self._rows.pop(id, None)

    async def _step_while_open(self) -> None:
        while self._rows or self.service.num_open:
            rows = dict(self._rows)
            try:
                replies = await asyncio.to_thread(self.service.step, rows)
            except Exception:
                logger.exception("a step failed; every open request gets an error")
                replies = dict.fromkeys(rows, Reply.failing())
            for id, reply in replies.items():
                if reply.is_last:
                    self._rows.pop(id, None)
                if id in self._replies:
                    self._replies[id].put_nowait(reply)


def application(service: InferenceService) -> Starlette:
    """The ASGI application that serves the service's model at the same paths as TorchServe.

    It also answers the addresses of the open inference protocol for health and metadata, which TorchServe cannot.
    """
    driver = Driver(service)

    def unknown_model() -> Response:
        return _refusal(404, "ModelNotFoundException", f"unknown model; this server has one model, {service.spec.name}")

    async def predict(request: Request) -> Response:
        if request.path_params["model"] != service.spec.name:
            return unknown_model()
        try:
            row = await _read_row(request)
        except _TooLargeError:
            return _refusal(413, "ImageError", f"the request has more than {MAX_REQUEST_BYTES:,} bytes, the maximum")
        except MultiPartException as error:
            return _refusal(400, "RequestError", f"the form cannot be read: {error.message}")
        except ClientDisconnect:
            return Response()  # the client has disconnected
        replies = driver.replies(row)
        first = await anext(replies)
        if first.is_last:
            await replies.aclose()
            return Response(first.text, first.status, dict(first.headers), media_type=first.content_type)
        return StreamingResponse(_texts(first, replies), headers=dict(first.headers), media_type=first.content_type)

    async def metadata(request: Request) -> Response:
        if request.path_params["model"] != service.spec.name:
            return unknown_model()
        return JSONResponse(model_metadata(model=service.spec.name, version=service.version))

    async def is_model_ready(request: Request) -> Response:
        if request.path_params["model"] != service.spec.name:
            return unknown_model()
        return await is_ready(request)

    async def is_ready(_: Request) -> Response:
        ready = not service.is_closing()
        return JSONResponse({"name": service.spec.name, "ready": ready}, 200 if ready else 503)

    async def is_live(_: Request) -> Response:
        return JSONResponse({"live": True})

    async def describe(_: Request) -> Response:
        return JSONResponse(openapi_document())

    async def ping(_: Request) -> Response:
        return JSONResponse({"status": "Healthy"})

    paths = ["/predictions/{model}", "/v1/models/{model}:predict", "/v2/models/{model}/infer"]
    routes = [Route(path, predict, methods=["POST", "PUT"]) for path in paths]
    routes += [
        Route("/ping", ping),
        Route("/openapi.json", describe),
        Route("/v2/health/live", is_live),
        Route("/v2/health/ready", is_ready),
        Route("/v2/models/{model}", metadata),
        Route("/v2/models/{model}/ready", is_model_ready),
    ]
    return Starlette(routes=routes)


async def _texts(first: Reply, rest: AsyncGenerator[Reply]) -> AsyncIterator[str | bytes]:
    async with aclosing(rest):
        yield first.text
        async for reply in rest:
            yield reply.text


async def _read_row(request: Request) -> Row:
    """The request in the format that TorchServe passes to a handler: the fields of a form, or `body`.

    Raises: _TooLargeError, MultiPartException, ClientDisconnect.
    """
    content_type = request.headers.get("Content-Type", "")
    if content_type.startswith("multipart/form-data"):
        form = await MultiPartParser(request.headers, _capped(request)).parse()
        fields = {name: await _bytes_of(value) for name, value in form.items()}
        await form.close()
        return fields
    body = bytearray()
    async for part in _capped(request):
        body += part
    if content_type.partition(";")[0] == "application/json":
        with suppress(ValueError, RecursionError):
            return {"body": json.loads(body)}
    header_length = request.headers.get(binary_tensors.HEADER)
    return {"body": body if header_length is None else BinaryBody(bytes(body), header_length)}


async def _capped(request: Request) -> AsyncGenerator[bytes, None]:
    num_bytes = 0
    async for part in request.stream():
        num_bytes += len(part)
        if num_bytes > MAX_REQUEST_BYTES:
            raise _TooLargeError
        yield part


async def _bytes_of(value: UploadFile | str) -> bytes:
    return await value.read() if isinstance(value, UploadFile) else value.encode()


def _refusal(status: int, type: str, message: str) -> Response:
    return JSONResponse(error_body(status, message, type=type), status)


class _TooLargeError(Exception):
    """A request with more than MAX_REQUEST_BYTES."""
