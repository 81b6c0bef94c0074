"""The web page's server on the loopback address, which serves static files and relays requests to the model's server.

Because of the relay the browser sees a single origin. No cross-origin permission is needed, and the token stays here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.application.running import HOST, running
from zoo.errors import UnknownNameError

STATIC = Path(__file__).parent / "static"
NAMES_OF_THIS_MACHINE = [HOST, "localhost"]
CONNECT_SECONDS = 10.0
MAX_BODY_BYTES = 33_554_432
PASSED_ON = ("Content-Type", "Retry-After")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@contextmanager
def serve_page(
    server_url: str,
    models: Sequence[str],
    *,
    port: int = 0,
    token: str | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    describe: Callable[[], Mapping[str, Any]] = dict,
) -> Iterator[str]:
    """Serves the page while the block runs, and yields its URL.

    Args:
        server_url: the address of the model server.
        models: the names of the models that the page offers.
        port: the port of the page; 0 selects a free port.
        token: the inference token, sent with every relayed request.
        max_body_bytes: the largest body that the page relays; the server's own limit.
        describe: the content of /openapi.json.

    Raises: ServerError if the port is in use.
    """
    app = page(server_url, models, token=token, max_body_bytes=max_body_bytes, describe=describe)
    with running(app, port=port) as running_app:
        yield running_app.url


def page(
    server_url: str,
    models: Sequence[str],
    *,
    token: str | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    describe: Callable[[], Mapping[str, Any]] = dict,
) -> Starlette:
    """The ASGI application of the page and its relay; the arguments are those of `serve_page`."""

    async def list_models(_: Request) -> Response:
        return JSONResponse(list(models))

    async def interface(_: Request) -> Response:
        return JSONResponse(describe())

    async def relay(request: Request) -> Response:
        model = request.path_params["model"]
        if request.headers.get("Origin") not in (None, f"http://{request.headers.get('Host')}"):
            return _refusal(403, "requests from other sites' pages are refused: open this server's own page")
        if model not in models:
            return _refusal(404, str(UnknownNameError("model", model, models)))
        try:
            body = await _read_body(request, max_bytes=max_body_bytes)
        except ClientDisconnect:
            return Response()  # the browser has disconnected
        if body is None:
            return _refusal(413, f"the request has more than {max_body_bytes:,} bytes, the maximum")
        return await _relay(request, body, f"{server_url}/predictions/{model}", token)

    routes = [
        Route("/models", list_models),
        Route("/openapi.json", interface),
        Route("/predictions/{model}", relay, methods=["POST"]),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    # Without this check, another site could resolve its name to this machine and read responses (DNS rebinding).
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=NAMES_OF_THIS_MACHINE)
    return Starlette(routes=routes, middleware=[Middleware(_WithHeaders), hosts])


async def _read_body(request: Request, *, max_bytes: int) -> bytes | None:
    """The body; None if it is larger. It is then read to its end without being kept, or the browser would not read the
    response.
    """
    body, num_bytes = bytearray(), 0
    async for part in request.stream():
        num_bytes += len(part)
        if num_bytes <= max_bytes:
            body += part
        else:
            body.clear()
    return bytes(body) if num_bytes <= max_bytes else None


async def _relay(request: Request, body: bytes, url: str, token: str | None) -> Response:
    headers = {"Content-Type": request.headers.get("Content-Type", "application/octet-stream")}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    is_plain = url.startswith("http://")  # skips loading CA certificates, which takes longer than a request
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    client = httpx.AsyncClient(timeout=timeout, trust_env=False, verify=not is_plain)
    try:
        relayed = client.build_request("POST", url, content=body, headers=headers)
        answer = await client.send(relayed, stream=True)
    except httpx.TransportError as error:
        await client.aclose()
        return _refusal(502, f"the model's server does not answer: {str(error) or type(error).__name__}")
    passed_on = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return StreamingResponse(_parts(client, answer), answer.status_code, passed_on)


async def _parts(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body in parts, ending with an error object if it breaks off; only whole lines precede the error object.

    If the browser disconnects, the relay closes the connection and the server stops drawing.
    """
    try:
        async for part in answer.aiter_raw():
            yield part
    except httpx.TransportError as error:
        yield json.dumps(_problem(502, f"the model's server broke off: {str(error) or type(error).__name__}")).encode()
    finally:
        await answer.aclose()
        await client.aclose()


def _refusal(status: int, message: str) -> Response:
    return JSONResponse(_problem(status, message), status)


def _problem(status: int, message: str) -> dict[str, object]:
    return {"code": status, "type": "PageError", "message": message}


class _WithHeaders:
    """Adds the page's headers to every response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
