"""Parsing of requests in every wire format, and responses in the format of the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.protocol import forms, inference_v2, kserve
from serving.protocol.limits import Limits
from serving.protocol.request import Request, Wire
from zoo.errors import RequestError


def parse_request(row: Mapping[str, object], limits: Limits) -> Request:
    """The request in a server's row, which has raw bytes or JSON in `body`, or the fields of a multipart form.

    Raises: RequestError with a message for the client; ImageError if there are too many bytes.
    """
    request = _parse(row, limits)
    if request.parameters.copies and len(request.images) > 1:
        raise RequestError(f"parameter copies requires one image per request, got {len(request.images)} images")
    if request.parameters.stream and (len(request.images) > 1 or request.wire == "v2"):
        raise RequestError(
            "parameter stream requires one image per request and is not available in the open inference protocol"
        )
    return request


def wire_of(row: Mapping[str, object]) -> Wire:
    """The wire format of a request, also if the request is invalid."""
    body = row.get("body")
    if isinstance(body, dict):
        return "v2" if inference_v2.INPUTS in body else "v1"
    return "v1" if any(name.startswith(forms.NUMBERED) for name in row) else "single"


def respond(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> dict[str, Any]:
    """The JSON object of a response. `answers` has one object per image, in the order of the images."""
    if request.wire == "v2":
        return inference_v2.response(request, answers, model=model, version=version)
    return {"predictions": list(answers)} if request.wire == "v1" else answers[0]


def _parse(row: Mapping[str, object], limits: Limits) -> Request:
    if set(row) != {"body"}:
        return forms.parse_form(row, limits)
    body = row["body"]
    if isinstance(body, bytes | bytearray):
        return forms.parse_raw(body, limits)
    if isinstance(body, dict):
        return inference_v2.parse(body, limits) if inference_v2.INPUTS in body else kserve.parse(body, limits)
    raise RequestError('the body must be the bytes of an image, a form with the file field "data", or a JSON object')
