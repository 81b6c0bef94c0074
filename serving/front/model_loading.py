"""Loads a model in a worker: makes the archive of a checkpoint, and the service of an archive."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml

from serving.description import openapi_document
from serving.driving import BODY_BYTES_PER_IMAGE_BYTE
from serving.front.sources import CheckpointSource
from serving.protocol import model_metadata
from serving.server.archive import SETTINGS, make_archive
from serving.server.limit_options import limits_from
from serving.server.model_store import Archive, adopt, read_archive
from serving.service.family_store import Families
from serving.service.loading import load_from_archive
from serving.service.observer import ServiceObserver
from serving.service.service import FIRST_VERSION, InferenceService
from zoo.errors import ZooError
from zoo.loading.device import pick_device
from zoo.loading.locate import locate


def message_of(error: Exception) -> str:
    """The reason why a model cannot be loaded, in one sentence."""
    return str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}"


def load(
    archive: Archive,
    *,
    unpacked: Path,
    noise_secret: bytes,
    families: Callable[[], Families],
    observer: ServiceObserver,
    is_closing: Callable[[], bool],
) -> InferenceService:
    """The service of an archive.

    Args:
        archive: the archive; nobody may change its file.
        unpacked: the folder for its unpacked content.
        noise_secret: as in InferenceService.
        families: as in `load_service`.
        observer: as in InferenceService.
        is_closing: as in InferenceService.

    Raises: the errors of `load_from_archive`.
    """
    unpacked.mkdir(exist_ok=True)
    model_dir = Path(tempfile.mkdtemp(dir=unpacked))
    with zipfile.ZipFile(archive.path) as file:
        file.extractall(model_dir)
    config = yaml.safe_load((model_dir / SETTINGS).read_text())
    return load_from_archive(
        model_dir,
        config,
        device=device_of(config),
        version=archive.version,
        noise_secret=noise_secret,
        families=families,
        observer=observer,
        is_closing=is_closing,
    )


def archive_of(source: CheckpointSource | Path, archives: Path) -> Archive:
    """An archive that the server has adopted, or a new one of a checkpoint.

    A new archive is in `archives`, the server's own folder, and in the server's store if it has one.
    """
    if isinstance(source, Path):
        return read_archive(source)
    limits = limits_from(source.n, source.max_n, source.max_pixels, source.limits)
    checkpoint = locate(source.model)
    folder = archives if source.store is None else Path(source.store)
    path = make_archive(
        checkpoint, folder, limits=limits, device=source.device, backend=source.backend, precision=source.precision
    )
    if source.store is None:
        return Archive(path, checkpoint.spec.name, FIRST_VERSION)
    return adopt(path, archives, weights_sha256=checkpoint.weights_sha256)


def device_of(config: dict[str, Any]) -> str:
    """The device of a worker: that of the archive, or a GPU if there is one.

    Raises: RequestError if the archive's GPU does not exist.
    """
    if config.get("deviceType") == "cpu" or not torch.cuda.is_available():
        return "cpu"
    (index, *_) = config.get("deviceIds") or [0]
    return str(pick_device(f"cuda:{index}"))


def description_of(archive: Archive, service: InferenceService) -> dict[str, Any]:
    """What the front process needs to know of the loaded model."""
    return {
        "archive": str(archive.path),
        "name": archive.name,
        "version": archive.version,
        "max_body_bytes": BODY_BYTES_PER_IMAGE_BYTE * service.limits.max_bytes,
        "metadata": model_metadata(model=archive.name, version=archive.version),
        "interface": openapi_document(),
    }
