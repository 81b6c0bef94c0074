"""The extension of the open inference protocol for binary tensors.

A body is JSON, then the bytes of tensors in their order. The HTTP header `Inference-Header-Content-Length` states the
length of the JSON part. A tensor that is not in the JSON states its size as the parameter `binary_data_size`. Numbers
are little-endian. Each element of a BYTES tensor is its length in four bytes, then that number of bytes.

Source: "Binary Tensor Data Extension" of the Triton inference server, which KServe's clients follow too.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.errors import RequestError

HEADER = "Inference-Header-Content-Length"
SIZE = "binary_data_size"
MEDIA_TYPE = "application/octet-stream"
PACKED = {"INT64": "q", "FP64": "d"}
LENGTH = struct.Struct("<I")
MOST_DIGITS = 20  # of a size
SHORTEST_HEADER = 1024  # so that an error that comes after the head of the response fits


@dataclass(frozen=True, slots=True)
class BinaryBody:
    """A request's body and its header HEADER, before either is checked."""

    content: bytes
    header_length: str

    def split(self) -> tuple[bytes, bytes]:
        """The JSON part, and what follows it. Raises: RequestError if the header's value is no length within it."""
        text = self.header_length.strip()
        if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS and int(text) <= len(self.content)):
            raise RequestError(
                f"the header {HEADER} must be the length of the JSON part, at most that of the body, "
                f"{len(self.content)} bytes"
            )
        return self.content[: int(text)], self.content[int(text) :]


def encode(datatype: str, values: Sequence[Any]) -> bytes:
    """The bytes of a tensor of integers (INT64), floats (FP64) or texts (BYTES)."""
    if datatype == "BYTES":
        texts = [str(value).encode() for value in values]
        return b"".join(LENGTH.pack(len(text)) + text for text in texts)
    return struct.pack(f"<{len(values)}{PACKED[datatype]}", *values)


def decode_bytes(data: bytes, *, most_elements: int) -> tuple[bytes, ...]:
    """The elements of a BYTES tensor, at most one more than `most_elements`.

    Raises: RequestError if an element is longer than the rest of the tensor.
    """
    elements: list[bytes] = []
    place = 0
    while place < len(data) and len(elements) <= most_elements:
        start = place + LENGTH.size
        if start > len(data):
            raise RequestError(f"element {len(elements)} of the input ends within its length of four bytes")
        (length,) = LENGTH.unpack_from(data, place)
        place = start + length
        if place > len(data):
            raise RequestError(f"element {len(elements)} of the input has {length} bytes, of which some are missing")
        elements.append(data[start:place])
    return tuple(elements)


def header_length(head: dict[str, Any]) -> int:
    """The length for the JSON part of a response, enough for `head` with any sizes in the place of zeros."""
    return max(SHORTEST_HEADER, len(_json(head)) + MOST_DIGITS * len(head["outputs"]))


def join(head: dict[str, Any], tensors: Iterable[bytes], *, header_length: int) -> bytes:
    """A body: the JSON part, padded with spaces to `header_length`, and the tensors."""
    return b"".join([_json(head).ljust(header_length), *tensors])


def _json(head: dict[str, Any]) -> bytes:
    return json.dumps(head, allow_nan=False).encode()
