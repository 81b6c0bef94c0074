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

from serving.protocol import error_body, to_json, to_line
from zoo.errors import OverloadError, ZooError

JSON = "application/json"
JSON_LINES = "application/x-ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A part of a response. The first reply is the whole response if `is_last`. An empty `text` means no news.

    `status` and `headers` take effect only if the first reply is the last. Otherwise the response has already begun
    with status 200. `content_type` is the same in all replies to a request, except in a refusal at admission, which is
    the only reply.
    """

    text: str
    is_last: bool
    content_type: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def nothing_yet(cls, *, is_stream: bool) -> Reply:
        return cls(text="", is_last=False, content_type=JSON_LINES if is_stream else JSON)

    @classmethod
    def answering(cls, body: dict[str, Any]) -> Reply:
        """A reply with the whole answer. Raises: ValueError if a number is not finite."""
        return cls(text=to_json(body), is_last=True, content_type=JSON)

    @classmethod
    def line(cls, body: dict[str, Any], *, is_last: bool) -> Reply:
        """A reply with one line of a stream. Raises: ValueError if a number is not finite."""
        return cls(text=to_line(body), is_last=is_last, content_type=JSON_LINES)

    @classmethod
    def failing(cls, error: Exception | None, *, is_v2: bool = False, is_stream: bool = False) -> Reply:
        """The reply to a request that failed. None and internal errors get a general message without details."""
        status, type, message = 500, "InternalServerError", "the server failed; its log gives the reason"
        if isinstance(error, OverloadError) or (isinstance(error, ZooError) and error.http_status < 500):
            status, type, message = error.http_status, error.__class__.__name__, str(error)
        body = error_body(status, message, type=type, is_v2=is_v2)
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, OverloadError) else {}
        encode, content_type = (to_line, JSON_LINES) if is_stream else (to_json, JSON)
        return cls(text=encode(body), is_last=True, content_type=content_type, status=status, headers=headers)

    @property
    def body(self) -> Any:
        """The parsed JSON of the text."""
        return json.loads(self.text)


def encode_copies(noisy_MCHW: Tensor) -> list[str]:
    """Noisy copies as PNG in base64 for display, clipped to [0, 1] and rounded to 8 bits."""
    pixels_MHWC = (noisy_MCHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    return [_png(Image.fromarray(pixels_HWC)) for pixels_HWC in pixels_MHWC]


def _png(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
