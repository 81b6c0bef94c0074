"""A checkpoint is a directory: config.json, model.safetensors, a card, the raw certification rows, and a manifest.

A classifier behind a denoiser has a denoiser.safetensors too. A quantized network is a model.onnx, without
model.safetensors. The manifest lists the SHA-256 of every other file except the manifest's signature, which is
optional. The hashes are checked before anything is loaded. Files whose names start with a dot (a training run's files,
a download cache) are not part of the checkpoint. A checkpoint never contains a pickle.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.errors import CheckpointError, RequestError
from zoo.host.untrusted_json import parse_json
from zoo.models.identity import weights_sha256
from zoo.models.layout import CALIBRATION, CONFIG, DENOISER, KNOWN_FILES, MANIFEST, ONNX, SIGNATURE, WEIGHTS
from zoo.models.spec import UNTRAINED, ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from zoo.models.architecture import NormalizedNetwork
    from zoo.models.denoiser import Denoiser
    from zoo.results.calibration import Calibration


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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
