"""`zoo export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Json, Model

if TYPE_CHECKING:
    from zoo.checkpoints.checkpoint import Checkpoint
    from zoo.export.checkpoint_export import Export


def export(
    model: Model,
    file: Annotated[Path | None, typer.Argument(metavar="FILE.onnx", help="Where to write the ONNX model.")] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Put it into the checkpoint too, as model.onnx, for zoo push to offer.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX, its normalization inside, after comparing it with PyTorch.

    It is another base classifier in floating point: only a certificate of its own counts.
    """
    from zoo.checkpoints.checkpoint import record_onnx
    from zoo.errors import RequestError
    from zoo.export.checkpoint_export import export_checkpoint
    from zoo.loading.locate import locate
    from zoo.models.layout import ONNX

    if file is None and not record:
        raise RequestError("nowhere to write to: give FILE.onnx, or --record to put it into the checkpoint")
    if record and not Path(model).is_dir():
        raise RequestError(
            f"--record writes into a checkpoint directory, and {model} is none: pull it first, zoo pull {model} DIR"
        )
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise RequestError(f"cannot write {file}: its folder does not exist, or it is a folder itself")
    checkpoint = locate(model)
    exported = export_checkpoint(checkpoint)
    written = []
    if file is not None:
        _write(file, exported.content)
        written.append(file)
    if record:
        written.append(record_onnx(checkpoint, exported.content).path / ONNX)
    typer.echo(_as_json(checkpoint, exported, written) if as_json else _in_words(exported, written))


def _write(file: Path, content: bytes) -> None:
    from zoo.errors import RequestError
    from zoo.filesystem.atomic_write import write_atomically

    try:
        write_atomically(file, content)
    except OSError as error:
        raise RequestError(f"cannot write {file}: {error.strerror or error}") from error


def _in_words(exported: Export, written: list[Path]) -> str:
    size = f"{len(exported.content) / 1e6:.1f} MB"
    head = f"SHA-256 {exported.sha256}, {size}, opset {exported.opset}, IR version {exported.ir_version}"
    lines = [f"{file}: {head}" for file in written]
    lines.append("largest difference of a logit to PyTorch's:")
    lines += [f"  {parity.describe()}" for parity in exported.parities]
    return "\n".join(lines)


def _as_json(checkpoint: Checkpoint, exported: Export, written: list[Path]) -> str:
    told: dict[str, Any] = {
        "files": [str(file) for file in written],
        "sha256": exported.sha256,
        "num_bytes": len(exported.content),
        "opset": exported.opset,
        "ir_version": exported.ir_version,
        "weights_sha256": checkpoint.weights_sha256,
        "metadata": exported.metadata,
        "parity": [asdict(parity) for parity in exported.parities],
    }
    return json.dumps(told, indent=2)
