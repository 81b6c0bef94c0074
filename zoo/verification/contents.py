"""The kind of a file's content, determined from its bytes because a name can be wrong."""

from __future__ import annotations

from pathlib import Path

from zoo.host.untrusted_json import parse_json

ZIP, GZIP, PNG, PICKLE = b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG\r\n\x1a\n", b"\x80"
PICKLE_PROTOCOLS = range(2, 6)
LONGEST_HEADER = 100_000_000  # safetensors' own limit
START = 64


def looks_like_code(path: Path) -> str | None:
    """The kind of a file that can run code when loaded: a pickle, or an archive, as torch.save writes; else None."""
    with path.open("rb") as file:
        start = file.read(START)
    if start.startswith((ZIP, GZIP)):
        return "an archive, which may contain a pickle as those of torch.save do"
    if start[:1] == PICKLE and len(start) > 1 and start[1] in PICKLE_PROTOCOLS:
        return "a pickle"
    return None


def format_fault(path: Path) -> str | None:
    """None if the content of a checkpoint's file fits its suffix, otherwise the fault as the end of a sentence."""
    return KINDS[path.suffix](path)


def _text_fault(path: Path) -> str | None:
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    return "contains a NUL character, so it is not text" if "\0" in text else None


def _json_fault(path: Path) -> str | None:
    try:
        parse_json(path.read_bytes())
    except ValueError:
        return "is not JSON"
    return None


def _safetensors_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        start = file.read(1)
    fits = 2 <= length <= min(LONGEST_HEADER, path.stat().st_size - 8)
    return None if fits and start == b"{" else "is not a safetensors file"


def _png_fault(path: Path) -> str | None:
    with path.open("rb") as file:
        return None if file.read(len(PNG)) == PNG else "is not a PNG image"


def _onnx_fault(path: Path) -> str | None:
    """The fault of an ONNX file. Weights in other files are a fault, because their paths could point anywhere."""
    import onnx
    from google.protobuf.message import DecodeError

    from zoo.export.plain_graph import is_external, tensors_of

    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError):
        return "is not an ONNX model"
    external = [tensor.name for tensor in tensors_of(model.graph) if is_external(tensor)]
    return f"loads {external[0]} and {len(external) - 1} other weights from another file" if external else None


KINDS = {
    ".md": _text_fault,
    ".tsv": _text_fault,
    ".json": _json_fault,
    ".safetensors": _safetensors_fault,
    ".png": _png_fault,
    ".onnx": _onnx_fault,
}
