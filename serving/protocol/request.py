"""The parsed request, independent of its wire format, and the checks that all formats share."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from serving.protocol.limits import Limits
from serving.protocol.parameters import Parameters
from zoo.errors import ImageError, RequestError

Wire = Literal["single", "v1", "v2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A parsed request: encoded images in the client's order, and their parameters.

    `wire` selects the format of the response: `single` the object of the one image, `v1` a list of objects in
    `predictions` (KServe v1), `v2` tensors (open inference protocol, v2). A v2 request may have an `id` and may select
    `outputs`; with `has_binary_outputs`, these follow the JSON of the response in binary.
    """

    images: tuple[bytes, ...]
    parameters: Parameters
    wire: Wire
    id: str | None = None
    outputs: tuple[str, ...] | None = None
    has_binary_outputs: bool = False

    @property
    def num_bytes(self) -> int:
        """The size of all encoded images."""
        return sum(len(image) for image in self.images)


def require_few(num_images: int, limits: Limits) -> None:
    """Raises RequestError if a request has more images than the operator allows."""
    if num_images > limits.max_images:
        raise RequestError(
            f"the request has {num_images} images, this server accepts at most {limits.max_images}: split the request"
        )


def require_small(num_bytes: int, limits: Limits) -> None:
    """Raises ImageError with status 413 if the encoded images are larger than the operator allows."""
    if num_bytes > limits.max_bytes:
        raise ImageError(
            f"the images of the request have {num_bytes:,} bytes, this server accepts at most {limits.max_bytes:,}",
            http_status=413,
        )


def decode_base64(text: str, *, name: str) -> bytes:
    """The bytes that `text` encodes. Raises: RequestError that calls the text `name` if it is not valid base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{name} is not valid base64") from error


def num_bytes_of_base64(text: str) -> int:
    """The number of bytes that `text` encodes, at most two too many."""
    return len(text) * 3 // 4
