"""Parsing of requests in every wire format, and responses in the format of the request."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from serving.protocol import forms, inference_v2, kserve
from serving.protocol.answers import to_json
from serving.protocol.binary_tensors import BinaryBody
from serving.protocol.limits import Limits
from serving.protocol.request import Request, Wire
from zoo.errors import RequestError

JSON_BLANKS = b" \t\r\n"


def parse_request(row: Mapping[str, object], limits: Limits) -> Request:
    """The request in a server's row, which has a body in `body`, or the fields of a multipart form.

    A body is bytes, a BinaryBody, or what a server has parsed as JSON. Bytes that begin like JSON are read as JSON:
    no image does, and some clients of the open inference protocol send no content type.
    Raises: RequestError with a message for the client; ImageError if there are too many bytes.
    """
    request = _parse(row, limits)
    for name in ("copies", "input_image"):
        if getattr(request.parameters, name) and len(request.images) > 1:
            raise RequestError(f"parameter {name} requires one image per request, got {len(request.images)} images")
    if request.parameters.stream and (len(request.images) > 1 or request.wire == "v2"):
        raise RequestError(
            "parameter stream requires one image per request and is not available in the open inference protocol"
        )
    return request


def wire_of(row: Mapping[str, object]) -> Wire:
    """The wire format of a request, also if the request is invalid."""
    body = row.get("body")
    if isinstance(body, BinaryBody):
        return "v2"
    if isinstance(body, bytes | bytearray) and _begins_like_json(body):
        with suppress(RequestError):
            body = _read_json(body)
    if isinstance(body, dict):
        return "v2" if inference_v2.INPUTS in body else "v1"
    return "v1" if any(name.startswith(forms.NUMBERED) for name in row) else "single"


def respond(request: Request, answers: Sequence[dict[str, Any]], *, model: str, version: str) -> str | bytes:
    """The body of a response. `answers` has one object per image, in the order of the images."""
    if request.has_binary_outputs:
        return inference_v2.binary_response(request, answers, model=model, version=version)
    if request.wire == "v2":
        return to_json(inference_v2.response(request, answers, model=model, version=version))
    return to_json({"predictions": list(answers)} if request.wire == "v1" else answers[0])


def _parse(row: Mapping[str, object], limits: Limits) -> Request:
    if set(row) != {"body"}:
        return forms.parse_form(row, limits)
    body = row["body"]
    if isinstance(body, BinaryBody):
        head, tensors = body.split()
        described = _read_json(head)
        if not isinstance(described, dict):
            raise RequestError("the JSON part of the body must be an object")
        return inference_v2.parse(described, limits, binary=tensors)
    if isinstance(body, bytes | bytearray):
        if not _begins_like_json(body):
            return forms.parse_raw(body, limits)
        body = _read_json(body)
    if isinstance(body, dict):
        return inference_v2.parse(body, limits) if inference_v2.INPUTS in body else kserve.parse(body, limits)
    raise RequestError('the body must be the bytes of an image, a form with the file field "data", or a JSON object')


def _begins_like_json(body: bytes | bytearray) -> bool:
    return body.lstrip(JSON_BLANKS)[:1] in (b"{", b"[")


def _read_json(body: bytes | bytearray) -> object:
    """The parsed body. Raises: RequestError."""
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        raise RequestError(
            f"the body is not valid JSON: {error.msg}, line {error.lineno} column {error.colno}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise RequestError(
            "the JSON body cannot be read: it is not UTF-8, is too deeply nested, or has too long a number"
        ) from error
