"""Creates .mar archives from a checkpoint's files, the handler, and TorchServe's settings for the model.

An archive is a zip file with a manifest. torch-model-archiver is not used, because it packs in a folder that all
processes of the machine share ([0029](../../docs/decisions/0029-a-server-that-is-not-taken-down.md)).
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import yaml

from serving.protocol import Limits
from serving.server.model_store import MANIFEST
from serving.service.loading import BACKEND, EXPORTED, PRECISION, SECTION, require_servable
from serving.service.service import FIRST_VERSION
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import RequestError, ServerError
from zoo.host.atomic_write import replaced_file
from zoo.loading.backend import chosen_precision, export_for, runs_onnx
from zoo.loading.device import device_for, require_device_name
from zoo.smoothing.precision import INT8

# TorchServe passes on more requests than the service keeps open. The service refuses the rest with 429 and Retry-After.
ROWS_PER_OPEN_REQUEST = 2
RESPONSE_TIMEOUT_SECONDS = 300
SETTINGS = "model-config.yaml"
ARCHIVER_VERSION = "0.12.0"  # of the format; TorchServe warns if it is missing
VERSION = re.compile(r"\d+(\.\d+)*")
CHUNK_BYTES = 1 << 22  # while a chunk is hashed or written, another thread runs


@dataclass(frozen=True, slots=True)
class Content:
    """What an archive holds besides the checkpoint: TorchServe's settings, and the exported network if it needs one."""

    settings: Mapping[str, object]
    exported: bytes | None


def make_archive(
    checkpoint: Checkpoint,
    store: Path,
    *,
    limits: Limits,
    device: str = "auto",
    backend: str = "auto",
    precision: str | None = None,
    version: str = FIRST_VERSION,
    workers: int = 1,
) -> Path:
    """Writes `STORE/NAME.mar`, or `STORE/NAME-VERSION.mar` for a later version, and returns its path.

    The arguments and errors are those of `content_of` and `write_archive`.
    """
    require_version(version)
    content = content_of(
        checkpoint, limits=limits, device=device, backend=backend, precision=precision, workers=workers
    )
    return write_archive(checkpoint, store, content, version=version)


def content_of(
    checkpoint: Checkpoint,
    *,
    limits: Limits,
    device: str = "auto",
    backend: str = "auto",
    precision: str | None = None,
    workers: int = 1,
) -> Content:
    """The content of an archive of a checkpoint. For ONNX Runtime it includes the exported network.

    The export would dominate a worker's start.

    Args:
        checkpoint: a servable checkpoint, see `require_servable`.
        limits: the operator's limits and defaults of the model.
        device: `auto` (a GPU if TorchServe sees one), `cpu` or `cuda[:INDEX]`.
        backend: the backend's name, as in `open_backend`.
        precision: the precision, as in `open_backend`.
        workers: the number of workers, which TorchServe distributes over the GPUs in turn.

    Raises: RequestError if device, backend or precision is invalid; the errors of `require_servable` and `export_for`.
    """
    require_device_name(device)
    device_type = device_for(checkpoint, "auto").type if device == "auto" else device.partition(":")[0]
    chosen = chosen_precision(checkpoint, precision, backend=backend, device_type=device_type)
    require_servable(checkpoint, limits)
    exported = None
    if chosen == INT8:  # model.onnx is in the archive anyway
        device = "cpu"
    elif runs_onnx(backend, device_type, chosen):
        exported = export_for(checkpoint, backend=backend)
    settings = model_settings(limits, device=device, backend=backend, precision=precision, workers=workers)
    return Content(settings, exported)


def write_archive(checkpoint: Checkpoint, store: Path, content: Content, *, version: str = FIRST_VERSION) -> Path:
    """Writes `STORE/NAME.mar`, or `STORE/NAME-VERSION.mar` for a later version, and returns its path.

    An existing file is replaced once the new one is complete, and each file of the checkpoint in it has the hash that
    it had when the checkpoint was opened. The archive requires this package to be installed where TorchServe runs.

    Args:
        checkpoint: the checkpoint of `content`.
        store: the directory of archives; created if missing.
        content: the rest of the archive.
        version: numbers with dots between them.

    Raises: ServerError if the archive cannot be written, or a file of the checkpoint has changed since it was opened.
    """
    name = checkpoint.spec.name
    path = store / (f"{name}.mar" if version == FIRST_VERSION else f"{name}-{version}.mar")
    own_files = {
        SETTINGS: yaml.safe_dump(dict(content.settings), sort_keys=False).encode(),
        MANIFEST: json.dumps(_manifest(name, version), indent=2).encode(),
    }
    own_files |= {} if content.exported is None else {EXPORTED: content.exported}
    try:
        store.mkdir(parents=True, exist_ok=True)
        with replaced_file(path) as temporary:
            _write(temporary, checkpoint, own_files)
    except OSError as error:
        raise ServerError(f"the archive of {name} cannot be written to {store}: {error}") from error
    return path


def model_settings(
    limits: Limits, *, device: str, backend: str, precision: str | None = None, workers: int = 1
) -> dict[str, object]:
    """TorchServe's YAML settings of a model: continuous batching on every worker, the limits, backend and precision."""
    settings: dict[str, object] = {
        "minWorkers": workers,
        "maxWorkers": workers,
        "continuousBatching": True,
        "batchSize": ROWS_PER_OPEN_REQUEST * limits.max_open_requests,
        "maxBatchDelay": 1,
        "responseTimeout": RESPONSE_TIMEOUT_SECONDS,
        "startupTimeout": RESPONSE_TIMEOUT_SECONDS,
        SECTION: limits.model_dump(),
        BACKEND: backend,
    }
    if precision is not None:
        settings[PRECISION] = precision
    if device != "auto":
        settings["deviceType"] = "cpu" if device == "cpu" else "gpu"
    if device.startswith("cuda:"):
        settings["deviceIds"] = [int(device.removeprefix("cuda:"))]
    return settings


def require_version(version: str) -> None:
    """Raises RequestError unless `version` is valid in URLs and file names."""
    if not VERSION.fullmatch(version):
        raise RequestError(f"--version must be numbers with dots between them, such as 2.0, got {version!r}")


def handler_file() -> Path:
    """The path of the handler's source file.

    This function does not import the package `handlers`, because the calling program may have a module of this name.
    """
    return Path(__file__).parents[2] / "handlers" / "smoothed_classifier.py"


def _write(path: Path, checkpoint: Checkpoint, own_files: Mapping[str, bytes]) -> None:
    """Writes the archive as a new file. The entries are not compressed: weights do not compress."""
    with path.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for name in checkpoint.published_files:
            _copy(checkpoint.path / name, archive, sha256=checkpoint.files.get(name))
        archive.write(handler_file(), handler_file().name)
        for name, content in own_files.items():
            archive.writestr(name, content)


def _copy(path: Path, archive: zipfile.ZipFile, *, sha256: str | None) -> None:
    """Adds a file to an archive. Raises: ServerError if its bytes do not have the hash; None accepts any."""
    digest = hashlib.sha256()
    entry = zipfile.ZipInfo.from_file(path, path.name, strict_timestamps=False)
    with path.open("rb") as source, archive.open(entry, "w") as target:
        while chunk := source.read(CHUNK_BYTES):
            digest.update(chunk)
            target.write(chunk)
    if sha256 is not None and digest.hexdigest() != sha256:
        raise ServerError(
            f"{path} has changed since it was opened: SHA-256 is {digest.hexdigest()}, was {sha256}; start again"
        )


def _manifest(name: str, version: str) -> dict[str, object]:
    """What TorchServe reads from the archive first."""
    return {
        "createdOn": datetime.now(UTC).strftime("%d/%m/%Y %H:%M:%S"),
        "runtime": "python",
        "model": {
            "modelName": name,
            "handler": handler_file().name,
            "modelVersion": version,
            "configFile": SETTINGS,
        },
        "archiverVersion": ARCHIVER_VERSION,
    }
