"""Loading of an inference service from a checkpoint or an unpacked archive."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from serving.protocol import Limits
from serving.service.decoding import DecodingProcesses, InlineDecoder
from serving.service.family_store import Families, FamilyStore
from serving.service.observer import ServiceObserver
from serving.service.service import FIRST_VERSION, SECONDS_PER_STEP, InferenceService
from serving.service.step_size import fit_batch_size
from zoo.checkpoints.checkpoint import Checkpoint, open_checkpoint, read_calibration, require_trained_head
from zoo.errors import ServerError
from zoo.loading.backend import default_batch_size, open_backend
from zoo.smoothing import SmoothingSpec
from zoo.smoothing.backends import CompiledBackend

LARGEST_BATCH_ON_CPU = 256
SECTION = "smoothing"
BACKEND, PRECISION = "backend", "precision"
EXPORTED = "specialized.onnx"  # the archive contains the export, so a worker does not repeat it at every start


def load_service(
    checkpoint: Checkpoint,
    *,
    device: str,
    limits: Limits,
    backend: str = "auto",
    precision: str | None = None,
    exported: bytes | None = None,
    spins: bool = False,
    decodes_inline: bool = False,
    version: str = FIRST_VERSION,
    noise_secret: bytes | None = None,
    families: Callable[[], Families] | None = None,
    observer: ServiceObserver | None = None,
    is_closing: Callable[[], bool] = lambda: False,
) -> InferenceService:
    """The service of a checkpoint on a device. The number of draws per step is fitted to the device.

    Args:
        checkpoint: a checkpoint with a trained head that was trained under noise.
        device: `cpu`, `cuda` or `cuda:INDEX`.
        limits: the operator's limits and defaults.
        backend: the backend's name, as in `open_backend`.
        precision: the precision, as in `open_backend`.
        exported: the exported network, as in `open_backend`.
        spins: as in OnnxBackend; False leaves the cores to the other threads of a server.
        decodes_inline: decodes in the stepping thread, for a program that answers its own images only; by default,
            images are decoded in processes of their own.
        version: the version that responses name.
        noise_secret: as in InferenceService.
        families: opens the counts of the questions about each image, if the limits want them; None counts in this
            service alone.
        observer: as in InferenceService.
        is_closing: as in InferenceService.

    Raises: the errors of `require_servable`, `read_calibration` and `open_backend`.
    """
    sigma = require_servable(checkpoint, limits)
    calibration = read_calibration(checkpoint)
    base = open_backend(checkpoint, backend=backend, precision=precision, device=device, spins=spins, exported=exported)
    decoder = (InlineDecoder if decodes_inline else DecodingProcesses)(checkpoint.spec.preprocessing, limits)
    is_cpu = torch.device(device).type == "cpu"
    largest = LARGEST_BATCH_ON_CPU if is_cpu else default_batch_size(checkpoint, device)
    measured = base.eager if isinstance(base, CompiledBackend) else base  # would compile the network for each size
    fitted = fit_batch_size(measured, checkpoint.spec, seconds=SECONDS_PER_STEP, largest=largest)
    if isinstance(base, CompiledBackend):
        crop = checkpoint.spec.preprocessing.crop
        base.classify(torch.full((fitted, 3, crop, crop), 0.5, device=base.draws_on))  # compiles before any request
    return InferenceService(
        base,
        checkpoint.spec,
        sigma=sigma,
        model_sha256=checkpoint.weights_sha256,
        limits=limits,
        batch_size=fitted if base.depends_on_batch_shape else largest,
        first_step=fitted,
        decoder=decoder,
        version=version,
        noise_secret=noise_secret,
        families=(families or FamilyStore)() if limits.families else None,
        label_sets=None if calibration is None else calibration.label_sets(),
        observer=observer,
        is_closing=is_closing,
    )


def load_from_archive(
    model_dir: Path,
    config: Mapping[str, Any] | None,
    *,
    device: str,
    version: str = FIRST_VERSION,
    noise_secret: bytes | None = None,
    families: Callable[[], Families] | None = None,
    observer: ServiceObserver | None = None,
    is_closing: Callable[[], bool] = lambda: False,
) -> InferenceService:
    """The service of an unpacked archive in `model_dir`, with the archive's YAML configuration.

    Args:
        model_dir: the directory of the unpacked archive.
        config: the archive's parsed YAML configuration; None for the defaults.
        device: `cpu`, `cuda` or `cuda:INDEX`.
        version: the version that responses name.
        noise_secret: as in InferenceService.
        families: opens the counts of the questions about each image, if the limits want them; None counts in this
            service alone.
        observer: as in InferenceService.
        is_closing: as in InferenceService.

    Raises: the errors of `load_service`; ServerError if the configuration is invalid or requires a missing GPU.
    """
    exported = model_dir / EXPORTED
    return load_configured(
        lambda: open_checkpoint(model_dir),
        config or {},
        exported=exported.read_bytes() if exported.exists() else None,
        device=device,
        version=version,
        noise_secret=noise_secret,
        families=families,
        observer=observer,
        is_closing=is_closing,
    )


def load_configured(
    opened: Callable[[], Checkpoint],
    config: Mapping[str, Any],
    *,
    exported: bytes | None,
    device: str,
    version: str,
    noise_secret: bytes | None,
    families: Callable[[], Families] | None,
    observer: ServiceObserver | None,
    is_closing: Callable[[], bool],
) -> InferenceService:
    """The service of a checkpoint with an archive's settings. `opened` opens it after the settings were checked.

    The other arguments and the errors are those of `load_from_archive` and `load_service`.
    """
    try:
        limits = Limits.model_validate(config.get(SECTION, {}))
    except ValidationError as error:
        raise ServerError(
            f"the section {SECTION!r} of the model's configuration is invalid: {error.errors()[0]['msg']}"
        ) from error
    if config.get("deviceType") == "gpu" and device == "cpu":
        raise ServerError(
            "the archive requires a GPU, but this machine has none: make the archive with --device auto or cpu"
        )
    return load_service(
        opened(),
        device=device,
        limits=limits,
        backend=str(config.get(BACKEND, "auto")),
        precision=config.get(PRECISION),
        exported=exported,
        version=version,
        noise_secret=noise_secret,
        families=families,
        observer=observer,
        is_closing=is_closing,
    )


def require_servable(checkpoint: Checkpoint, limits: Limits) -> float:
    """The sigma of a checkpoint, if the checkpoint can be served under these limits.

    Raises: RequestError if the checkpoint's head is untrained; ServerError if the checkpoint was not trained under
    noise; CertificationError if the defaults could never certify.
    """
    require_trained_head(checkpoint)
    sigma = checkpoint.spec.certified.sigma
    if sigma is None:
        raise ServerError(
            f"{checkpoint.path} has no sigma: the checkpoint was not trained under noise, so its answers cannot be "
            "certified; train it with noise first"
        )
    SmoothingSpec(sigma=sigma, n0=limits.n0, n=limits.n, alpha=limits.alpha)  # type: ignore[arg-type] # n0 None: the rule's
    return sigma
