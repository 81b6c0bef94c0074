"""The page's own server, on the loopback address: it shows the static files and relays questions to the model's server.

Relayed, the browser sees one origin, so that neither side has to allow another one, and a token stays here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.description import openapi_document
from serving.loopback import HOST, running
from zoo.errors import UnknownNameError

STATIC = Path(__file__).parent / "static"
NAMES_OF_THIS_MACHINE = [HOST, "localhost"]
CONNECT_SECONDS = 10.0
PASSED_ON = ("Content-Type", "Retry-After")
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@contextmanager
def serve_page(server_url: str, models: Sequence[str], *, port: int = 0, token: str | None = None) -> Iterator[str]:
    """The page's URL, as long as the block runs; `models` are the names that it offers, of the server at `server_url`.

    `port` 0 finds a free one; `token` is sent with every relayed question.
    Raises: ServerError if the port is taken.
    """
    with running(page(server_url, models, token=token), port=port) as url:
        yield url


def page(server_url: str, models: Sequence[str], *, token: str | None = None) -> Starlette:
    """The page and its relay, as an ASGI application."""

    async def list_models(_: Request) -> Response:
        return JSONResponse(list(models))

    async def describe(_: Request) -> Response:
        return JSONResponse(openapi_document())

    async def relay(request: Request) -> Response:
        model = request.path_params["model"]
        if request.headers.get("Origin") not in (None, f"http://{request.headers.get('Host')}"):
            return _refusal(403, "another site's page may not ask this server")
        if model not in models:
            return _refusal(404, str(UnknownNameError("model", model, models)))
        return await _relay(request, f"{server_url}/predictions/{model}", token)

    routes = [
        Route("/models", list_models),
        Route("/openapi.json", describe),
        Route("/predictions/{model}", relay, methods=["POST"]),
        Mount("/", StaticFiles(directory=STATIC, html=True)),
    ]
    # A name that another site makes point to this machine would let it read what the page may.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=NAMES_OF_THIS_MACHINE)
    return Starlette(routes=routes, middleware=[Middleware(_WithHeaders), hosts])


async def _relay(request: Request, url: str, token: str | None) -> Response:
    headers = {"Content-Type": request.headers.get("Content-Type", "application/octet-stream")}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    client = httpx.AsyncClient(timeout=httpx.Timeout(None, connect=CONNECT_SECONDS), trust_env=False)
    try:
        asked = client.build_request("POST", url, content=await request.body(), headers=headers)
        answer = await client.send(asked, stream=True)
    except httpx.TransportError as error:
        await client.aclose()
        return _refusal(502, f"the model's server does not answer: {str(error) or type(error).__name__}")
    passed_on = {name: answer.headers[name] for name in PASSED_ON if name in answer.headers}
    return StreamingResponse(_parts(client, answer), answer.status_code, passed_on)


async def _parts(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncIterator[bytes]:
    """The body as it comes, and an error object where it breaks off; nothing but whole lines came before.

    Where the browser goes away the connection is closed, and the server draws no more.
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
