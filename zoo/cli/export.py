"""`zoo export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli._options import Json, Model
from zoo.cli._plain import echo

if TYPE_CHECKING:
    from zoo.checkpoints.checkpoint import Checkpoint
    from zoo.export.checkpoint_export import Export


def export(
    model: Model,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE.onnx", help="The file to write the ONNX model to.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Also add it to the checkpoint, as model.onnx, which zoo push publishes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a network as ONNX, after comparing it with PyTorch.

    The file includes the normalization.

    In floating point it is another base classifier: certificates of the PyTorch network do not hold for it.

    Example: zoo export my-model my-model.onnx
    """
    from zoo.checkpoints.writing import record_onnx
    from zoo.errors import RequestError
    from zoo.export.checkpoint_export import export_checkpoint
    from zoo.loading.locate import locate
    from zoo.models.layout import ONNX

    if file is None and not record:
        raise RequestError("no output is given: give FILE.onnx, or --record to add the model to the checkpoint")
    if record and not Path(model).is_dir():
        raise RequestError(
            f"--record writes into a checkpoint directory, and {model} is not one: "
            f"pull it first with zoo pull {model} DIR"
        )
    if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
        raise RequestError(f"cannot write {file}: its folder does not exist, or it is a folder")
    checkpoint = locate(model)
    exported = export_checkpoint(checkpoint)
    written = []
    if file is not None:
        _write(file, exported.content)
        written.append(file)
    if record:
        written.append(record_onnx(checkpoint, exported.content).path / ONNX)
    echo(_as_json(checkpoint, exported, written) if as_json else _in_words(exported, written))


def _write(file: Path, content: bytes) -> None:
    from zoo.errors import RequestError
    from zoo.host.atomic_write import write_atomically

    try:
        write_atomically(file, content)
    except OSError as error:
        raise RequestError(f"cannot write {file}: {error.strerror or error}") from error


def _in_words(exported: Export, written: list[Path]) -> str:
    size = f"{len(exported.content) / 1e6:.1f} MB"
    head = f"SHA-256 {exported.sha256}, {size}, opset {exported.opset}, IR version {exported.ir_version}"
    lines = [f"{file}: {head}" for file in written]
    if exported.parities:  # a quantized network has no other form to compare with
        lines.append("largest difference between a logit and PyTorch's:")
    lines += [f"  {parity.describe()}" for parity in exported.parities]
    return "\n".join(lines)


def _as_json(checkpoint: Checkpoint, exported: Export, written: list[Path]) -> str:
    report: dict[str, Any] = {
        "files": [str(file) for file in written],
        "sha256": exported.sha256,
        "num_bytes": len(exported.content),
        "opset": exported.opset,
        "ir_version": exported.ir_version,
        "weights_sha256": checkpoint.weights_sha256,
        "metadata": exported.metadata,
        "parity": [asdict(parity) for parity in exported.parities],
    }
    return json.dumps(report, indent=2)
