"""Loads a model in a worker: makes the archive of a checkpoint, and the service of an archive."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from serving.description import openapi_document
from serving.driving import BODY_BYTES_PER_IMAGE_BYTE
from serving.front.sources import CheckpointSource
from serving.protocol import model_metadata
from serving.server.archive import SETTINGS, Content, content_of, write_archive
from serving.server.limit_options import limits_from
from serving.server.model_store import Archive, adopt
from serving.service.family_store import Families
from serving.service.loading import load_configured, load_from_archive
from serving.service.observer import ServiceObserver
from serving.service.service import FIRST_VERSION, InferenceService
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import ZooError
from zoo.loading.device import pick_device
from zoo.loading.locate import locate


def message_of(error: Exception) -> str:
    """The reason why a model cannot be loaded, in one sentence."""
    return str(error) if isinstance(error, ZooError) else f"{type(error).__name__}: {error}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a service gets from its server. `families` is as in `load_service`, the rest as in InferenceService."""

    noise_secret: bytes
    families: Callable[[], Families]
    observer: ServiceObserver
    is_closing: Callable[[], bool]


def load(archive: Archive, *, unpacked: Path, surroundings: Surroundings) -> InferenceService:
    """The service of an archive, whose file nobody may change. Raises: the errors of `load_from_archive`.

    Args:
        archive: the archive.
        unpacked: the folder for its unpacked content.
        surroundings: what the service gets from its server.
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
        noise_secret=surroundings.noise_secret,
        families=surroundings.families,
        observer=surroundings.observer,
        is_closing=surroundings.is_closing,
    )


@dataclass(frozen=True, slots=True)
class LocatedCheckpoint:
    """A checkpoint to serve, with the rest of its archive."""

    source: CheckpointSource
    checkpoint: Checkpoint
    content: Content

    @classmethod
    def of(cls, source: CheckpointSource) -> LocatedCheckpoint:
        """The checkpoint of a source. Raises: the errors of `locate` and `content_of`."""
        limits = limits_from(source.n, source.max_n, source.max_pixels, source.limits)
        checkpoint = locate(source.model)
        content = content_of(
            checkpoint, limits=limits, device=source.device, backend=source.backend, precision=source.precision
        )
        return cls(source, checkpoint, content)

    def archived(self, archives: Path) -> Archive:
        """A new archive in `archives`, the server's own folder, and in the server's store if it has one.

        Raises: the errors of `write_archive` and `adopt`.
        """
        store = self.source.store
        path = write_archive(self.checkpoint, archives if store is None else Path(store), self.content)
        if store is None:
            return Archive(path, self.checkpoint.spec.name, FIRST_VERSION)
        return adopt(path, archives, weights_sha256=self.checkpoint.weights_sha256)

    def archived_and_loaded(self, archives: Path, surroundings: Surroundings) -> tuple[Archive, InferenceService]:
        """A new archive in `archives`, and its service, which is loaded while the archive is written.

        The service is that of the archive, because both read the files with the hashes of the opened checkpoint.
        Raises: the errors of `archived` and `load_service`.
        """
        with ThreadPoolExecutor(1) as thread:
            archive = thread.submit(self.archived, archives)
            service = load_configured(
                lambda: self.checkpoint,
                self.content.settings,
                exported=self.content.exported,
                device=device_of(self.content.settings),
                version=FIRST_VERSION,
                noise_secret=surroundings.noise_secret,
                families=surroundings.families,
                observer=surroundings.observer,
                is_closing=surroundings.is_closing,
            )
            try:
                return archive.result(), service
            except BaseException:
                service.close()
                raise


def device_of(config: Mapping[str, Any]) -> str:
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
