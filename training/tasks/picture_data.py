"""The part of an encoded picture that its pixels depend on."""

from __future__ import annotations

from collections.abc import Iterator

PNG_START = b"\x89PNG\r\n\x1a\n"
# Chunks of texts and of the time of the last change (PNG specification, 11.3.3 and 11.3.5).
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"tIME")


def without_texts(data: bytes) -> bytes:
    """The data of a PNG without its texts and its time; all other data unchanged.

    Two files with the same result are the same picture. Collections hold a drawing twice under different titles, which
    are texts in the file.
    """
    if not data.startswith(PNG_START):
        return data
    return b"".join(chunk for chunk in _chunks(data) if chunk[4:8] not in TEXTS)


def _chunks(data: bytes) -> Iterator[bytes]:
    """The chunks of a PNG, each with its length, type and checksum; a damaged end is one chunk."""
    start = len(PNG_START)
    while start < len(data):
        end = start + 12 + int.from_bytes(data[start : start + 4], "big")
        yield data[start:end]
        start = end
