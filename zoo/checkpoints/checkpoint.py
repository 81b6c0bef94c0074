"""A checkpoint is a directory: config.json, model.safetensors, a card, the raw certification rows, and a manifest.

A classifier behind a denoiser has a denoiser.safetensors too. A quantized network is a model.onnx, without
model.safetensors. The manifest lists the SHA-256 of every other file except the manifest's signature, which is
optional. The hashes are checked before anything is loaded. Files whose names start with a dot (a training run's files,
a download cache) are not part of the checkpoint. A checkpoint never contains a pickle.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import CheckpointError, RequestError
from zoo.host.atomic_write import write_all_atomically
from zoo.host.lock import exclusive_lock
from zoo.host.untrusted_json import parse_json
from zoo.models.identity import weights_sha256
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
from zoo.models.spec import UNTRAINED, ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from zoo.models.architecture import NormalizedNetwork
    from zoo.models.denoiser import Denoiser
    from zoo.results.calibration import Calibration

LOCK = ".lock"
LOCK_WAIT = 60.0
"""How long to wait for another writer of the same checkpoint, in seconds."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint directory whose files match its manifest."""

    path: Path
    spec: ModelSpec
    files: Mapping[str, str]
    """SHA-256 in hex of each file by name, as in the manifest."""

    @property
    def weights_sha256(self) -> str:
        """The identity of the network, which covers all of its weights: `zoo.models.identity`."""
        return weights_sha256(self.files)

    @property
    def classifier_sha256(self) -> str:
        """SHA-256 of the file of the classifier's weights, with or without a denoiser before it.

        Raises: RequestError if the network is quantized.
        """
        self._require_torch()
        return self.files[WEIGHTS]

    @property
    def published_files(self) -> tuple[str, ...]:
        """The names of all published files: those in the manifest, the manifest, and its signature if there is one."""
        signature = (SIGNATURE,) if (self.path / SIGNATURE).is_file() else ()
        return (*sorted(self.files), MANIFEST, *signature)

    def load_network(self) -> NormalizedNetwork:
        """The network in eval mode, behind its denoiser if it has one. It maps `x_BCHW` in [0, 1] to `logits_BK`.

        Raises: RequestError if the network is quantized; CheckpointError if the weights have changed, do not fit the
        architecture or are not finite.
        """
        from zoo.models.architecture import NormalizedNetwork

        mean, std = self.spec.preprocessing.mean, self.spec.preprocessing.std
        return NormalizedNetwork(self.load_backbone(), mean=mean, std=std, denoiser=self.load_denoiser()).eval()

    def load_backbone(self) -> nn.Module:
        """The bare network of the classifier. Raises: RequestError, CheckpointError, as `load_network` does."""
        from zoo.checkpoints.weights import load_backbone

        return load_backbone(self.path / WEIGHTS, self.spec, sha256=self.classifier_sha256)

    def _require_torch(self) -> None:
        certified = self.spec.certified
        if certified.precision is not None:
            raise RequestError(
                f"{self.path} is quantized to {certified.precision}, so only ONNX Runtime can compute its network: for "
                f"this, use its float checkpoint, whose weights have SHA-256 {certified.parent}"
            )

    def read_onnx(self) -> bytes:
        """The content of model.onnx. Raises: CheckpointError if it has changed."""
        from zoo.checkpoints.weights import read_unchanged

        return read_unchanged(self.path / ONNX, sha256=self.files[ONNX])

    def load_denoiser(self) -> Denoiser | None:
        """The denoiser before the classifier, if there is one. Raises: CheckpointError, as `load_network` does."""
        from zoo.checkpoints.weights import load_denoiser

        require_matching_files(self.path, self.spec, self.files)
        denoiser = self.spec.certified.denoiser
        if denoiser is None:
            return None
        return load_denoiser(self.path / DENOISER, denoiser.shape, sha256=self.files[DENOISER])


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a directory. Every file's hash is compared with the manifest.

    Raises: CheckpointError that names the missing or damaged file, and both hashes where they differ.
    """
    files = read_manifest(path)
    for name, expected in files.items():
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name} is missing: {MANIFEST} lists it with SHA-256 {expected}")
        actual = sha256_of(path / name)
        if actual != expected:
            raise CheckpointError(f"{path / name} is damaged: SHA-256 is {actual}, {MANIFEST} says {expected}")
    _require_listed(path, files, CONFIG)
    spec = read_spec(path)
    _require_listed(path, files, spec.network_file)
    require_matching_files(path, spec, files)
    return Checkpoint(path=path, spec=spec, files=files)


def _require_listed(path: Path, files: Mapping[str, str], name: str) -> None:
    if name not in files:
        raise CheckpointError(f"{path / MANIFEST} does not list {name}")


def require_matching_files(path: Path, spec: ModelSpec, files: Mapping[str, str]) -> None:
    """Raises CheckpointError if config and manifest disagree on whether the network has a denoiser or is quantized.

    The identity of the network covers the files that are there, so the network must use them.
    """
    if spec.certified.precision is not None and WEIGHTS in files:
        raise CheckpointError(f"{path / CONFIG} names a quantized network, but {MANIFEST} lists {WEIGHTS} too")
    if (spec.certified.denoiser is None) != (DENOISER not in files):
        with_it, without_it = (MANIFEST, CONFIG) if DENOISER in files else (CONFIG, MANIFEST)
        raise CheckpointError(f"{path / with_it} names a denoiser, {without_it} does not")


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


def read_calibration(checkpoint: Checkpoint) -> Calibration | None:
    """The calibration of a checkpoint's label sets; None if it has none.

    Raises: CheckpointError if the calibration has changed since the checkpoint was opened, is not one of its network,
    or its threshold does not follow from its scores.
    """
    from zoo.results.calibration import calibration_faults, parse_calibration

    if CALIBRATION not in checkpoint.files:
        return None
    path = checkpoint.path / CALIBRATION
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checkpoint.files[CALIBRATION]:
        raise CheckpointError(f"{path} has changed since it was opened: try again")
    calibration = parse_calibration(content, source=str(path))
    for fault in calibration_faults(calibration, checkpoint.spec, weights_sha256=checkpoint.weights_sha256):
        raise CheckpointError(f"{path}: {fault}; make a new one with zoo calibrate {checkpoint.path}")
    return calibration


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


def require_trained_head(checkpoint: Checkpoint) -> None:
    """Raises RequestError if the network's last layer is untrained, because its predictions would be meaningless."""
    if checkpoint.spec.certified.objective == UNTRAINED:
        raise RequestError(
            f"the classifier of {checkpoint.spec.name} is untrained, so its predictions are meaningless: put a "
            "trained one behind its denoiser with zoo denoise CLASSIFIER --with MODEL"
        )
    if not checkpoint.spec.certified.has_trained_head:
        raise RequestError(
            f"the last layer of {checkpoint.spec.name} is untrained, so its predictions are meaningless: "
            "fine-tune it first with zoo train --init MODEL"
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def read_manifest(path: Path) -> dict[str, str]:
    """SHA-256 in hex of each file that a directory's manifest lists. Raises: CheckpointError."""
    if not path.is_dir():
        raise CheckpointError(f"{path} is not a directory")
    if not (path / MANIFEST).is_file():
        raise CheckpointError(f"{path} is not a checkpoint directory: it contains no {MANIFEST}")
    try:
        entries = parse_json((path / MANIFEST).read_bytes())["files"]
        files = {str(name): str(entry["sha256"]) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path / MANIFEST} is damaged: it is not a manifest of this zoo") from error
    for name in files:
        # A server unpacks these files into a directory on Python's module path: a file of unknown name could be code.
        if name not in KNOWN_FILES:
            raise CheckpointError(f"{path / MANIFEST} lists {name!r}, which is not a checkpoint file")
    return files


def read_spec(path: Path) -> ModelSpec:
    """The spec in a directory's config.json. Raises: CheckpointError."""
    try:
        config = parse_json((path / CONFIG).read_bytes())
    except ValueError as error:
        raise CheckpointError(f"{path / CONFIG} is not valid JSON: {error}") from error
    return ModelSpec.from_config(config, source=str(path / CONFIG))


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
