"""TorchServe's management API on the loopback address, with a token and for this machine's names only.

TorchServe cannot require a token for its management alone, and accepts any Host. It therefore listens for management
requests on a Unix socket in the server's private folder, and this relay passes them on.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from pathlib import Path

import httpx

from serving.server.keys import read_keys
from serving.server.loopback_server import JSON_TYPE, Request, Response, refusal
from serving.torchserve.configuration import key_file_of, management_socket
from zoo.errors import ServerError

CONNECT_SECONDS = 5.0


def management_relay(folder: Path) -> Callable[[Request], Response]:
    """The function that responds to management requests of the server whose private folder is `folder`."""
    transport = httpx.HTTPTransport(uds=str(management_socket(folder)), verify=False)
    # Loading a model takes minutes, so only the connection has a timeout.
    timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
    client = httpx.Client(transport=transport, base_url="http://localhost", timeout=timeout, trust_env=False)

    def respond(request: Request) -> Response:
        authorization = request.headers.get("Authorization", "")
        if not _is_authorized(authorization, key_file_of(folder)):
            message = "the management needs the management token of the server's key file: Authorization: Bearer TOKEN"
            return refusal(401, message, **{"WWW-Authenticate": "Bearer"})
        try:
            relayed = client.request(
                request.method, request.path, content=request.body, headers={"Authorization": authorization}
            )
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return refusal(502, f"TorchServe does not answer: {str(error) or type(error).__name__}")
        content_type = relayed.headers.get("Content-Type", JSON_TYPE)
        return Response(status=relayed.status_code, body=relayed.content, content_type=content_type)

    return respond


def _is_authorized(authorization: str, key_file: Path) -> bool:
    """Whether the header has the management key or, for TorchServe's requests about tokens, the API key."""
    try:
        keys = read_keys(key_file)
    except ServerError:  # TorchServe has not written it yet
        return False
    accepted = [f"Bearer {keys[kind]}" for kind in ("management", "API") if kind in keys]
    return any(hmac.compare_digest(authorization.encode(), key.encode()) for key in accepted)
