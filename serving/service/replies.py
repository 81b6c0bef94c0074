"""The replies that the service sends to clients after a step."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from serving.protocol import Request, binary_header_length, binary_tensors, error_body, to_json, to_line
from zoo.errors import OverloadError, ZooError

JSON = "application/json"
JSON_LINES = "application/x-ndjson"
FAILURE = "the server failed; its log gives the reason"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseForm:
    """The form of the response to a request, which is fixed when the response begins.

    `header_length`: the length of the JSON part, in a response with binary tensors.
    """

    content_type: str = JSON
    is_v2: bool = False
    header_length: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        return {} if self.header_length is None else {binary_tensors.HEADER: str(self.header_length)}

    @classmethod
    def of(cls, request: Request, *, model: str, version: str) -> ResponseForm:
        """The form of the response to `request`, from a version of a model."""
        if request.has_binary_outputs:
            length = binary_header_length(request, model=model, version=version)
            return cls(content_type=binary_tensors.MEDIA_TYPE, is_v2=True, header_length=length)
        return cls(content_type=JSON_LINES if request.parameters.stream else JSON, is_v2=request.wire == "v2")


JSON_FORM = ResponseForm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A part of a response. The first reply is the whole response if `is_last`. An empty `text` means no news.

    `status` takes effect only if the first reply is the last. Otherwise the response has already begun with status 200.
    `headers` take effect in the first reply. `content_type` is the same in all replies to a request, except in a
    refusal at admission, which is the only reply.
    """

    text: str | bytes
    is_last: bool
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def nothing_yet(cls, form: ResponseForm) -> Reply:
        """A reply without text, which begins the response."""
        return cls(text="", is_last=False, content_type=form.content_type, headers=form.headers)

    @classmethod
    def answering(cls, text: str | bytes, form: ResponseForm) -> Reply:
        """A reply with the whole answer."""
        return cls(text=text, is_last=True, content_type=form.content_type, headers=form.headers)

    @classmethod
    def line(cls, body: dict[str, Any], *, is_last: bool) -> Reply:
        """A reply with one line of a stream. Raises: ValueError if a number is not finite."""
        return cls(text=to_line(body), is_last=is_last, content_type=JSON_LINES)

    @classmethod
    def refusing(cls, error: Exception, *, is_v2: bool = False) -> Reply:
        """The only reply to a request that is refused. Internal errors get a general message without details."""
        status, type, message = 500, "InternalServerError", FAILURE
        if isinstance(error, OverloadError) or (isinstance(error, ZooError) and error.http_status < 500):
            status, type, message = error.http_status, error.__class__.__name__, str(error)
        body = error_body(status, message, type=type, is_v2=is_v2)
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, OverloadError) else {}
        return cls(text=to_json(body), is_last=True, content_type=JSON, status=status, headers=headers)

    @classmethod
    def failing(cls, form: ResponseForm = JSON_FORM) -> Reply:
        """The last reply to a request that was valid and failed; the response may have begun with status 200."""
        body = error_body(500, FAILURE, type="InternalServerError", is_v2=form.is_v2)
        text: str | bytes = to_line(body) if form.content_type == JSON_LINES else to_json(body)
        if form.header_length is not None:
            text = binary_tensors.join(body, [], header_length=form.header_length)
        return cls(text=text, is_last=True, content_type=form.content_type, status=500, headers=form.headers)

    @property
    def has_news(self) -> bool:
        """Whether the client waits for this reply: it has text, or ends the response."""
        return bool(self.text) or self.is_last

    @property
    def body(self) -> Any:
        """The parsed JSON of the text."""
        return json.loads(self.text)


def encode_copies(noisy_MCHW: Tensor) -> list[str]:
    """Noisy copies as PNG in base64 for display, clipped to [0, 1] and rounded to 8 bits.

    An image without noise loses nothing: its pixels are multiples of 1/255.
    """
    pixels_MHWC = (noisy_MCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [_png(Image.fromarray(pixels_HWC)) for pixels_HWC in pixels_MHWC]


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
