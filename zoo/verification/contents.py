"""What kind of content a file holds: by its bytes, since a name is only a claim."""

from __future__ import annotations

import json
from pathlib import Path

ZIP, GZIP, PNG, PICKLE = b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG\r\n\x1a\n", b"\x80"
PICKLE_PROTOCOLS = range(2, 6)
LONGEST_HEADER = 100_000_000  # safetensors' own limit
START = 64


def looks_like_code(path: Path) -> str | None:
    """What could run code when it is loaded: a pickle, or an archive, in which torch.save puts one; None if neither."""
    with path.open("rb") as file:
        start = file.read(START)
    if start.startswith((ZIP, GZIP)):
        return "an archive, such as torch.save makes of pickles"
    if start[:1] == PICKLE and len(start) > 1 and start[1] in PICKLE_PROTOCOLS:
        return "a pickle"
    return None


def format_fault(path: Path) -> str | None:
    """None if a checkpoint's file holds what its suffix says; else what it should be."""
    return KINDS[path.suffix](path)


def _why_no_text(path: Path) -> str | None:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return "is no text in UTF-8"
    return "holds a NUL character, so it is no text" if "\0" in text else None


def _why_no_json(path: Path) -> str | None:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return "is no JSON"
    return None


def _why_no_safetensors(path: Path) -> str | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(1)
    fits = 2 <= length <= min(LONGEST_HEADER, path.stat().st_size - 8)
    return None if fits and start == b"{" else "is no safetensors file"


def _why_no_png(path: Path) -> str | None:
    with path.open("rb") as file:
        return None if file.read(len(PNG)) == PNG else "is no PNG picture"


def _why_no_onnx(path: Path) -> str | None:
    """Parsed, and refused if its weights lie in other files, whose names could point anywhere."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError):
        return "is no ONNX model"
    outside = [tensor.name for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    return f"takes {outside[0]} and {len(outside) - 1} other weights from another file" if outside else None


KINDS = {
    ".md": _why_no_text,
    ".tsv": _why_no_text,
    ".json": _why_no_json,
    ".safetensors": _why_no_safetensors,
    ".png": _why_no_png,
    ".onnx": _why_no_onnx,
}
