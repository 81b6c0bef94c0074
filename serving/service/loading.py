"""From an unpacked archive to a service that is ready to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from serving.protocol import Limits
from serving.service.observer import ServiceObserver
from serving.service.service import FIRST_VERSION, SECONDS_PER_STEP, InferenceService
from serving.service.step_size import fit_batch_size
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint, require_trained_head
from zoo.errors import ServerError
from zoo.loading.backend import default_batch_size, open_backend
from zoo.smoothing import SmoothingSpec

LARGEST_BATCH_ON_CPU = 256
SECTION = "smoothing"
BACKEND = "backend"
EXPORTED = "specialized.onnx"  # in an archive, so that a worker need not export the network whenever it starts


def load_service(
    checkpoint: Checkpoint,
    *,
    device: str,
    limits: Limits,
    backend: str = "auto",
    exported: bytes | None = None,
    spins: bool = False,
    version: str = FIRST_VERSION,
    observer: ServiceObserver | None = None,
    is_closing: Callable[[], bool] = lambda: False,
) -> InferenceService:
    """The service of a checkpoint on a device, its step fitted to that device.

    `exported` as in `open_backend`. `spins` as in OnnxBackend: a server's other threads need the cores. The rest as in
    InferenceService.
    Raises: as `require_servable`; as `open_backend`.
    """
    sigma = require_servable(checkpoint, limits)
    base = open_backend(checkpoint, backend=backend, device=device, spins=spins, exported=exported)
    is_cpu = torch.device(device).type == "cpu"
    largest = LARGEST_BATCH_ON_CPU if is_cpu else default_batch_size(checkpoint, device)
    fitted = fit_batch_size(base, checkpoint.spec, seconds=SECONDS_PER_STEP, largest=largest)
    return InferenceService(
        base,
        checkpoint.spec,
        sigma=sigma,
        model_sha256=checkpoint.weights_sha256,
        limits=limits,
        batch_size=fitted if base.depends_on_batch_shape else largest,
        first_step=fitted,
        version=version,
        observer=observer,
        is_closing=is_closing,
    )


def load_from_archive(
    model_dir: Path,
    config: Mapping[str, Any] | None,
    *,
    device: str,
    version: str = FIRST_VERSION,
    observer: ServiceObserver | None = None,
    is_closing: Callable[[], bool] = lambda: False,
) -> InferenceService:
    """As `load_service`, for an unpacked archive and its YAML configuration."""
    try:
        limits = Limits.model_validate((config or {}).get(SECTION, {}))
    except ValidationError as error:
        raise ServerError(
            f"the section {SECTION!r} of the model's configuration is wrong: {error.errors()[0]['msg']}"
        ) from error
    if (config or {}).get("deviceType") == "gpu" and device == "cpu":
        raise ServerError("the archive asks for a GPU, and this machine shows none")
    backend = str((config or {}).get(BACKEND, "auto"))
    exported = model_dir / EXPORTED
    return load_service(
        open_checkpoint(model_dir),
        device=device,
        limits=limits,
        backend=backend,
        exported=exported.read_bytes() if exported.exists() else None,
        version=version,
        observer=observer,
        is_closing=is_closing,
    )


def require_servable(checkpoint: Checkpoint, limits: Limits) -> float:
    """The sigma of a checkpoint that can be served under these limits.

    Raises: RequestError if its head is untrained; ServerError if it was not trained under noise; CertificationError if
    the defaults could never certify.
    """
    require_trained_head(checkpoint)
    sigma = checkpoint.spec.certified.sigma
    if sigma is None:
        raise ServerError(
            f"{checkpoint.path} names no sigma: it was not trained under noise and cannot be served with certificates"
        )
    SmoothingSpec(sigma=sigma, n0=limits.n0, n=limits.n, alpha=limits.alpha)
    return sigma
