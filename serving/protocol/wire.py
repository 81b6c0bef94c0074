"""One request, whatever form it came in, and the form in which it is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serving.protocol import forms, inference_v2, kserve
from serving.protocol.limits import Limits
from serving.protocol.request import Request, Wire
from zoo.errors import RequestError


def parse_request(row: Mapping[str, object], limits: Limits) -> Request:
    """The request in a server's row: raw bytes or JSON below `body`, or the fields of a multipart form.

    Raises: RequestError with a sentence for the client, ImageError for too many bytes.
    """
    request = _parse(row, limits)
    if request.parameters.copies and len(request.images) > 1:
        raise RequestError("copies goes with one image a request")
    if request.parameters.stream and (len(request.images) > 1 or request.wire == "v2"):
        raise RequestError("stream goes with one image a request, and not with the open inference protocol")
    return request


def wire_of(row: Mapping[str, object]) -> Wire:
    """The form of a request, also of one that cannot be read."""
    body = row.get("body")
    if isinstance(body, dict):
        return "v2" if inference_v2.INPUTS in body else "v1"
    return "v1" if any(name.startswith(forms.NUMBERED) for name in row) else "single"


def respond(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> dict[str, Any]:
    """The object that answers a request, from the answers to its images in their order."""
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
