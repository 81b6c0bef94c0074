"""Responses that say why a request is refused, in the form of all errors of this server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from zoo.errors import OverloadError, ZooError

V2_PATHS = "/v2/"


def refusal(
    status: int, message: str, *, type: str, path: str, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The response with an error. At the paths of the open inference protocol it has the protocol's key `error` too."""
    return JSONResponse(problem(status, message, type=type, path=path), status, dict(headers or {}))


def refusal_of(error: ZooError, *, path: str) -> JSONResponse:
    """The response to a request that failed with this error."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, OverloadError) else {}
    return refusal(error.http_status, str(error), type=error.__class__.__name__, path=path, headers=headers)


def problem(status: int, message: str, *, type: str, path: str) -> dict[str, Any]:
    """The JSON object of an error."""
    body: dict[str, Any] = {"code": status, "type": type, "message": message}
    return body | {"error": message} if path.startswith(V2_PATHS) else body
