"""Creates .mar archives from a checkpoint's files, the handler, and TorchServe's settings for the model."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import yaml
from model_archiver.model_archiver_config import ModelArchiverConfig
from model_archiver.model_archiver_error import ModelArchiverError
from model_archiver.model_packaging import package_model
from model_archiver.model_packaging_utils import ModelExportUtils

from serving.protocol import Limits
from serving.service.loading import BACKEND, EXPORTED, SECTION, require_servable
from serving.service.service import FIRST_VERSION
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import RequestError, ServerError
from zoo.export.cached_export import specialized_export
from zoo.loading.backend import require_backend_name, runs_onnx
from zoo.loading.device import pick_device, require_device_name

# TorchServe passes on more requests than the service keeps open. The service refuses the rest with 429 and Retry-After.
ROWS_PER_OPEN_REQUEST = 2
RESPONSE_TIMEOUT_SECONDS = 300
VERSION = re.compile(r"\d+(\.\d+)*")


def make_archive(
    checkpoint: Checkpoint,
    store: Path,
    *,
    limits: Limits,
    device: str = "auto",
    backend: str = "auto",
    version: str = FIRST_VERSION,
    workers: int = 1,
) -> Path:
    """Writes `STORE/NAME.mar`, or `STORE/NAME-VERSION.mar` for a later version, and returns its path.

    An existing file is replaced. The archive requires this package to be installed where TorchServe runs. For ONNX
    Runtime the archive includes the exported network, because the export would dominate a worker's start.

    Args:
        checkpoint: a servable checkpoint, see `require_servable`.
        store: the directory of archives; created if missing.
        limits: the operator's limits and defaults of the model.
        device: `auto` (a GPU if TorchServe sees one), `cpu` or `cuda[:INDEX]`.
        backend: the backend's name, as in `open_backend`.
        version: numbers with dots between them.
        workers: the number of workers, which TorchServe distributes over the GPUs in turn.

    Raises: ServerError if the archive cannot be written; RequestError if device, backend or version is invalid; the
    errors of `require_servable`.
    """
    require_device_name(device)
    require_backend_name(backend)
    require_version(version)
    require_servable(checkpoint, limits)
    name = checkpoint.spec.name
    stem = name if version == FIRST_VERSION else f"{name}-{version}"
    try:
        store.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            contents = Path(folder) / "contents"
            contents.mkdir()
            for file in checkpoint.published_files:
                (contents / file).symlink_to((checkpoint.path / file).resolve())
            if runs_onnx(backend, pick_device("auto").type if device == "auto" else device.partition(":")[0]):
                (contents / EXPORTED).write_bytes(specialized_export(checkpoint))
            settings = Path(folder) / "model-config.yaml"
            values = model_settings(limits, device=device, backend=backend, workers=workers)
            settings.write_text(yaml.safe_dump(values, sort_keys=False))
            config = ModelArchiverConfig(
                model_name=name,
                version=version,
                handler=str(handler_file()),
                extra_files=str(contents),
                export_path=folder,
                config_file=str(settings),
                archive_format="zip-store",  # weights do not compress
                force=True,
            )
            package_model(config, ModelExportUtils.generate_manifest_json(config))
            shutil.move(Path(folder) / f"{name}.mar", store / f"{stem}.mar")
    except (ModelArchiverError, OSError) as error:
        raise ServerError(f"the archive of {name} cannot be written to {store}: {error}") from error
    return store / f"{stem}.mar"


def model_settings(limits: Limits, *, device: str, backend: str, workers: int = 1) -> dict[str, object]:
    """TorchServe's YAML settings of a model: continuous batching on every worker, the limits, and the backend."""
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
