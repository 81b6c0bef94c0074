"""What all forms of a request come to."""

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
    """Encoded images in the client's order.

    `wire` says how the answer looks: the object of the one image, a list of them below `predictions` (KServe v1), or
    tensors (open inference protocol, v2), whose request may have an `id` and name the `outputs` that it wants.
    """

    images: tuple[bytes, ...]
    parameters: Parameters
    wire: Wire
    id: str | None = None
    outputs: tuple[str, ...] | None = None


def require_few(num_images: int, limits: Limits) -> None:
    """Raises RequestError if a request has more images than the operator allows."""
    if num_images > limits.max_images:
        raise RequestError(f"the request has {num_images} images, at most {limits.max_images} are accepted")


def require_small(num_bytes: int, limits: Limits) -> None:
    """Raises ImageError with status 413 if the encoded images are larger than the operator allows."""
    if num_bytes > limits.max_bytes:
        raise ImageError(
            f"the request has {num_bytes:,} bytes of images, the cap of this server is {limits.max_bytes:,}",
            http_status=413,
        )


def decode_base64(text: str, *, name: str) -> bytes:
    """Raises RequestError that says what was called `name`."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"{name} is not valid base64") from error


def num_bytes_of_base64(text: str) -> int:
    """How many bytes the text stands for, within two."""
    return len(text) * 3 // 4
