"""Requests to a service in the same process, which gives the server's answers without a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from serving.service.service import InferenceService
from zoo.errors import RequestError, ServerError

ONLY_REQUEST = 0


def ask_service(service: InferenceService, image: bytes, parameters: Mapping[str, object]) -> dict[str, Any]:
    """The JSON object that answers one encoded image. Raises: RequestError, ServerError, as `serving.client.ask`."""
    row: dict[str, object] = {
        "data": image,
        **{name: str(value).encode() for name, value in parameters.items()},
    }
    reply = None
    while reply is None or not reply.is_last:
        reply = service.step({ONLY_REQUEST: row}).get(ONLY_REQUEST)  # None while the image is decoded
    body: dict[str, Any] = reply.body
    if reply.status >= 500:
        raise ServerError(str(body["message"]))
    if reply.status >= 400:
        raise RequestError(str(body["message"]))
    return body
