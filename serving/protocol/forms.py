"""Parsers of requests sent as raw bytes or as a multipart form."""

from __future__ import annotations

import re
from collections.abc import Mapping

from serving.protocol.limits import Limits
from serving.protocol.parameters import Parameters, parse_parameters, shown
from serving.protocol.request import Request, require_few, require_small
from zoo.errors import RequestError

IMAGE_FIELD = "data"
NUMBERED = f"{IMAGE_FIELD}_"
_NUMBERED_FIELD = re.compile(rf"{NUMBERED}(\d{{1,4}})")


def parse_raw(body: bytes | bytearray, limits: Limits) -> Request:
    """The request for one image with the operator's default parameters.

    Raises: ImageError if there are too many bytes.
    """
    require_small(len(body), limits)
    return Request(images=(bytes(body),), parameters=Parameters(), wire="single")


def parse_form(row: Mapping[str, object], limits: Limits) -> Request:
    """The request in a form: one image in the field `data`, or several in `data_0`, `data_1` and so on.

    The answers follow the order of the numbers. Of several fields with the same name, the server passes on only the
    last, so this function cannot detect duplicates.
    Raises: RequestError if the form is invalid; ImageError if there are too many bytes.
    """
    if not row:
        raise RequestError("the request has no body: send the bytes of an image as application/octet-stream")
    numbered = sorted((name for name in row if _NUMBERED_FIELD.fullmatch(name)), key=_number)
    if numbered and IMAGE_FIELD in row:
        raise RequestError(
            f'the form has both "{IMAGE_FIELD}" and "{numbered[0]}": send one image as "{IMAGE_FIELD}", or number all'
        )
    require_few(len(numbered), limits)
    names = numbered or [IMAGE_FIELD]
    images = tuple(_bytes_of(row, name) for name in names)
    require_small(sum(len(image) for image in images), limits)
    fields = {name: value for name, value in row.items() if name not in names}
    parameters = parse_parameters(fields, limits)
    return Request(images=images, parameters=parameters, wire="v1" if numbered else "single")


def _number(name: str) -> int:
    return int(name.removeprefix(NUMBERED))


def _bytes_of(row: Mapping[str, object], name: str) -> bytes:
    if name not in row:
        raise RequestError(f'the form has no file field "{name}": send the bytes of an image in this field')
    value = row[name]
    if not isinstance(value, bytes | bytearray):  # the server decodes a part by its content type
        kind = "text" if isinstance(value, str) else "JSON"
        raise RequestError(
            f'the field "{name}" contains {kind}, {shown(value)}, not an image: send the bytes of an image in this '
            "field, with a content type such as image/png"
        )
    return bytes(value)
