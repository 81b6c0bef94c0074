"""Writes checkpoints: new weights, or results that are added to the weights.

One process at a time writes a checkpoint. It starts from the contents of the directory when it gets the lock.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint, require_matching_files
from zoo.errors import CheckpointError, RequestError
from zoo.host.atomic_write import write_all_atomically
from zoo.host.lock import exclusive_lock
from zoo.models.layout import (
    CALIBRATION,
    CARD,
    CONFIG,
    CURVE,
    DENOISER,
    KNOWN_FILES,
    MANIFEST,
    ONNX,
    ROWS,
    SIGNATURE,
    SPLIT,
    WEIGHTS,
)
from zoo.models.measurements import CertificationResult, EmpiricalResult
from zoo.models.own_networks import OWN_NETWORKS
from zoo.models.spec import ModelSpec

if TYPE_CHECKING:
    from zoo.models.architecture import NormalizedNetwork
    from zoo.results.calibration import Calibration

LOCK = ".lock"
LOCK_WAIT = 60.0
"""How long to wait for another writer of the same checkpoint, in seconds."""

_logger = logging.getLogger(__name__)


def save_checkpoint(
    path: Path, network: NormalizedNetwork, spec: ModelSpec, *, split: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Writes the network, its spec and its card into the directory `path`.

    Removes every other checkpoint file that is already there, because it belongs to earlier weights. Every new file is
    complete under a temporary name before the first old file is replaced.

    Args:
        path: The checkpoint directory; it is created if it does not exist.
        network: The network whose backbone, and denoiser if any, are stored.
        spec: The specification of the network.
        split: The contents of split.json; None writes no split.json.

    Raises: CheckpointError if a weight is not finite, or another process keeps writing the checkpoint.
    """
    from zoo.checkpoints.weights import serialized

    weights = {WEIGHTS: serialized(network.backbone, path / WEIGHTS)}
    if network.denoiser is not None:
        weights[DENOISER] = serialized(network.denoiser, path / DENOISER)
    return save_weights(path, weights, spec, split=split)


def save_weights(
    path: Path, weights: Mapping[str, bytes], spec: ModelSpec, *, split: Mapping[str, Any] | None = None
) -> Checkpoint:
    """Writes a checkpoint as `save_checkpoint` does, from the contents of its weight files by name.

    Raises: CheckpointError if another process keeps writing the checkpoint, or the spec does not match the files.
    """
    require_matching_files(path, spec, dict.fromkeys(weights, ""))
    contents = {**weights} if split is None else {**weights, SPLIT: _json_bytes(split)}
    with being_written(path):
        written = _described(spec, contents, kept={})
        return _write(path, written, kept={}, removed=KNOWN_FILES - set(written))


def record_results(
    checkpoint: Checkpoint,
    *,
    empirical: Callable[[EmpiricalResult | None], EmpiricalResult] | None = None,
    certification: tuple[CertificationResult, bytes] | None = None,
) -> Checkpoint:
    """Adds new results to a checkpoint, rewrites its card from them, and returns the checkpoint; keeps the weights.

    `empirical` maps the empirical result that is recorded at the time of writing (None if there is none) to the result
    to record. `certification` is a result with the bytes of its rows; the curve is drawn from the rows.
    Raises: CheckpointError if the weights are no longer those that were measured, or another process keeps writing the
    checkpoint; LogError if the rows are not a certification log.
    """
    results: dict[str, object] = {}
    files: dict[str, bytes] = {}
    if certification is not None:
        from zoo.results.figure import curve_png

        results["certification"], files[ROWS] = certification
        files[CURVE] = curve_png(files[ROWS], name=checkpoint.spec.name)

    def with_results(spec: ModelSpec) -> ModelSpec:
        if empirical is not None:
            results["empirical"] = empirical(spec.certified.empirical)
        return spec.model_copy(update={"certified": spec.certified.model_copy(update=results)})

    return _add(checkpoint, files, spec=with_results, ending="those that were measured: measure it again")


def record_onnx(checkpoint: Checkpoint, exported: bytes) -> Checkpoint:
    """Adds an ONNX file of the weights to a checkpoint, rewrites its card, and returns the checkpoint.

    Raises: RequestError if the network is quantized; CheckpointError if the weights are no longer those that were
    exported, or another process keeps writing the checkpoint.
    """
    if checkpoint.spec.certified.precision is not None:
        raise RequestError(f"{ONNX} is the network of {checkpoint.path} already: give FILE.onnx to copy it")
    return _add(checkpoint, {ONNX: exported}, ending="those that were exported: export it again")


def record_calibration(checkpoint: Checkpoint, calibration: Calibration) -> Checkpoint:
    """Writes a calibration of label sets in place of an earlier one, and a new card; returns the checkpoint.

    Raises: CheckpointError if the weights are no longer those that were calibrated, or another process keeps writing
    the checkpoint.
    """
    result = calibration.result()

    def with_result(spec: ModelSpec) -> ModelSpec:
        return spec.model_copy(update={"certified": spec.certified.model_copy(update={"calibration": result})})

    files = {CALIBRATION: _json_bytes(calibration.model_dump(mode="json"))}
    return _add(checkpoint, files, spec=with_result, ending="those that were calibrated: calibrate it again")


def restate(checkpoint: Checkpoint, *, licence: str | None = None) -> Checkpoint:
    """Rewrites a checkpoint's config and card as this version writes them, with another licence if one is given.

    Raises: CheckpointError if the weights are no longer those that were opened, or another process keeps writing the
    checkpoint; whatever `ModelSpec.with_licence` raises.
    """

    def with_licence(spec: ModelSpec) -> ModelSpec:
        return spec if licence is None else spec.with_licence(licence)

    return _add(checkpoint, {}, spec=with_licence, ending="those that were opened: open it again")


@contextmanager
def being_written(path: Path) -> Iterator[None]:
    """Locks the checkpoint in a directory against other writers; creates the directory if it is missing.

    Raises: CheckpointError if another process holds the lock for longer than `LOCK_WAIT`, or the lock cannot be made.
    """
    busy = CheckpointError(f"another process has been writing {path} for {LOCK_WAIT:g} seconds: try again when it ends")
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(path / LOCK, otherwise=busy, wait=LOCK_WAIT))
        except OSError as error:
            raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}") from error
        yield


def _add(
    checkpoint: Checkpoint,
    files: Mapping[str, bytes],
    *,
    spec: Callable[[ModelSpec], ModelSpec] = lambda spec: spec,
    ending: str,
) -> Checkpoint:
    """Adds files to the directory and changes its spec, both starting from what the directory contains at that time.

    Args:
        checkpoint: The checkpoint as it was opened; its weights must still be in the directory.
        files: The contents of the new files by name.
        spec: Maps the spec in the directory to the spec to write.
        ending: The end of the error message if the weights have changed: the expected weights and what to do.
    """
    with being_written(checkpoint.path):
        current = open_checkpoint(checkpoint.path)
        if current.weights_sha256 != checkpoint.weights_sha256:
            raise CheckpointError(f"{checkpoint.path} has other weights than {ending}")
        return _write(current.path, _described(spec(current.spec), files, kept=current.files), kept=current.files)


def _write(
    path: Path, contents: Mapping[str, bytes], *, kept: Mapping[str, str], removed: Collection[str] = ()
) -> Checkpoint:
    """Writes files and a manifest, and returns the checkpoint.

    Args:
        path: The checkpoint directory.
        contents: The contents of the files to write, by name.
        kept: SHA-256 in hex of the files that stay as they are, by name.
        removed: The names of files to delete.
    """
    files = {**kept, **{name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}}
    entries = {name: {"sha256": files[name]} for name in sorted(files)}
    manifest = _json_bytes({"schema_version": 1, "files": entries})
    # The manifest is written last: if writing stops between two replacements, the directory fails the manifest check.
    try:
        write_all_atomically(path, {**contents, MANIFEST: manifest})
    except OSError as error:
        raise CheckpointError(f"cannot write the checkpoint {path}: {error.strerror or error}") from error
    for name in removed:
        (path / name).unlink(missing_ok=True)
    if (path / SIGNATURE).exists():
        (path / SIGNATURE).unlink()
        _logger.warning("%s was rewritten, so its signature was removed: sign it again with zoo sign", path)
    return open_checkpoint(path)


def _described(spec: ModelSpec, contents: Mapping[str, bytes], *, kept: Mapping[str, str]) -> dict[str, bytes]:
    """The files to write, plus config.json from the spec and the card from the spec and all other files' hashes."""
    from zoo.cards import render_card

    contents = {**contents, CONFIG: config_bytes(spec)}
    files = {**kept, **{name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}}
    return {**contents, CARD: render_card(spec, files=files).encode()}


def config_bytes(spec: ModelSpec) -> bytes:
    """The contents of config.json."""
    described = OWN_NETWORKS.get(spec.architecture)
    if described is None:
        from zoo.models.architecture import find_architecture

        described = find_architecture(spec.architecture).timm
    return _json_bytes(spec.to_config(described))


def _json_bytes(value: object) -> bytes:
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()
