"""A process that decodes untrusted pictures, so that its parent can end a decoding that takes too much time or memory.

    python -P -m zoo.models.decoding_process MOST_BYTES_OF_MEMORY

A decoder of pictures cannot be interrupted, and some files of a few kilobytes keep one busy for minutes. The process
reads requests from stdin until stdin ends, and writes one reply per request to stdout. It imports neither torch nor
NumPy, so it starts in a fraction of a second.

| message | frames |
|---|---|
| greeting, once | `{}` |
| request | `{"num_images": K, "max_pixels": P, "quick_pixels": Q or null}`, then K frames with the encoded pictures |
| reply with pictures | `{"sizes": [[width, height], ...]}`, then K frames with their RGB bytes |
| reply to pictures that take more work than Q pixels, which are not decoded | `{"is_large": true}` |
| refusal | `{"error": MESSAGE, "status": HTTP_STATUS}` |

A frame is a length of eight bytes, big endian, and that number of bytes.
"""

from __future__ import annotations

import json
import resource
import struct
import sys
import time
from collections.abc import Sequence
from typing import IO, Any

from PIL import Image

from zoo.errors import ImageError
from zoo.models.decoding import decode_image, num_pixels, num_scans

LENGTH = struct.Struct("!Q")
QUICK_SCANS = 10  # of a usual progressive JPEG
MOST_PROCESSOR_SECONDS = 30  # per request, for a process whose parent has died; a living parent is stricter


def write_frame(stream: IO[bytes], data: bytes) -> None:
    """Writes one frame. Raises: OSError."""
    stream.write(LENGTH.pack(len(data)))
    stream.write(data)


def read_frame(stream: IO[bytes]) -> bytes:
    """The next frame's bytes. Raises: EOFError if the stream ends before or within the frame."""
    (length,) = LENGTH.unpack(_read(stream, LENGTH.size))
    return _read(stream, length)


def _read(stream: IO[bytes], num_bytes: int) -> bytes:
    data = stream.read(num_bytes)
    if len(data) < num_bytes:
        raise EOFError
    return data


def decode_images(images: Sequence[bytes], *, max_pixels: int) -> list[Image.Image]:
    """The pictures of one request in mode RGB. All headers are checked before the first pixel is decoded.

    Raises: ImageError as `decode_image`, and with status 413 if the pictures together have more than `max_pixels`.
    """
    require_few_pixels(images, max_pixels=max_pixels)
    return [decode_image(data, max_pixels=max_pixels) for data in images]


def require_few_pixels(images: Sequence[bytes], *, max_pixels: int) -> int:
    """The total number of pixels that the headers state. Raises: ImageError as `decode_images`."""
    total = 0
    for data in images:
        total += num_pixels(data, max_pixels=max_pixels)
        if total > max_pixels:
            raise ImageError(
                f"the images together have more than {max_pixels:,} pixels, the maximum per request", http_status=413
            )
    return total


def main() -> None:
    """Answers requests until stdin ends."""
    most_bytes = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    _send(replies, {})
    while True:
        try:
            request = json.loads(read_frame(requests))
            images = [read_frame(requests) for _ in range(request["num_images"])]
        except EOFError:
            return
        most_seconds = int(time.process_time()) + MOST_PROCESSOR_SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (most_seconds, resource.RLIM_INFINITY))
        _reply(replies, images, max_pixels=request["max_pixels"], quick_pixels=request["quick_pixels"])


def _reply(replies: IO[bytes], images: Sequence[bytes], *, max_pixels: int, quick_pixels: int | None) -> None:
    try:
        total = require_few_pixels(images, max_pixels=max_pixels)
        work = total * max(1, max(map(num_scans, images)) / QUICK_SCANS)
        if quick_pixels is not None and work > quick_pixels:
            _send(replies, {"is_large": True})
            return
        decoded = decode_images(images, max_pixels=max_pixels)
    except ImageError as error:
        _send(replies, {"error": str(error), "status": error.http_status})
        return
    except MemoryError:
        _send(replies, {"error": "the images take too much memory to decode", "status": 413})
        return
    _send(replies, {"sizes": [image.size for image in decoded]}, *(image.tobytes() for image in decoded))


def _send(replies: IO[bytes], head: dict[str, Any], *pictures: bytes) -> None:
    for frame in (json.dumps(head).encode(), *pictures):
        write_frame(replies, frame)
    replies.flush()


if __name__ == "__main__":
    main()
