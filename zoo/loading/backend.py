"""Chooses the runtime that computes a checkpoint's network; the choice never changes the meaning of a result."""

from __future__ import annotations

import logging

import numpy as np
import torch

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import ExportError, RequestError
from zoo.export.cached_export import require_agreement, specialized_export
from zoo.loading.kept_packing import keep_dependence, read_dependence
from zoo.smoothing.backends import BaseClassifier, TorchBackend, fused
from zoo.smoothing.backends.onnxruntime import OnnxBackend

BACKENDS = ("auto", "torch", "onnx")
VALUES_PER_BATCH_ON_CPU = 2**20
# A ResNet-50 keeps some 60 float32 numbers per input value, so a batch takes about 8 GB, or 32 GB of a large GPU.
VALUES_PER_BATCH_ON_GPU, VALUES_PER_BATCH_ON_LARGE_GPU = 2**25, 2**27
LARGE_GPU = 40 * 2**30

_logger = logging.getLogger(__name__)


def open_backend(
    checkpoint: Checkpoint,
    *,
    backend: str = "auto",
    device: torch.device | str = "cpu",
    spins: bool = True,
    exported: bytes | None = None,
) -> BaseClassifier:
    """The base classifier of a checkpoint.

    Args:
        checkpoint: The checkpoint to compute.
        backend: `torch`, `onnx`, or `auto`: ONNX Runtime, the fastest on CPUs, for CPUs and PyTorch elsewhere.
            `auto` also takes PyTorch, with a warning, for a network that cannot be expressed in ONNX.
        device: The device that computes.
        spins: Threads of ONNX Runtime wait actively during a run, as in OnnxBackend.
        exported: An earlier result of `specialized_export` for this checkpoint, possibly from another machine.

    Raises: RequestError if `backend` is another name; CheckpointError if the checkpoint is damaged; BackendError if
    ONNX Runtime cannot run on the device, or its logits differ from PyTorch's beyond the tolerance; ExportError if
    `backend` is `onnx` and the network cannot be expressed in ONNX.
    """
    require_backend_name(backend)
    device = torch.device(device)
    num_classes = checkpoint.spec.num_classes
    if exported is None and runs_onnx(backend, device.type):
        exported = export_for(checkpoint, backend=backend)
    if exported is None or not runs_onnx(backend, device.type):
        network = fused(checkpoint.load_network())
        return TorchBackend(network, num_classes=num_classes, device=device, is_channels_last=True)
    known = read_dependence(exported, device)
    onnx_backend = OnnxBackend(
        exported, num_classes=num_classes, device=device, spins=spins, depends_on_batch_shape=known
    )
    if known is None:
        keep_dependence(exported, device, depends=onnx_backend.depends_on_batch_shape)
    require_agreement(onnx_backend, checkpoint)
    return onnx_backend


def export_for(checkpoint: Checkpoint, *, backend: str) -> bytes | None:
    """The result of `specialized_export`; None, with a warning, if `backend` leaves the choice and it is impossible.

    Raises: ExportError if `backend` is `onnx` and the network cannot be expressed in ONNX; CheckpointError.
    """
    try:
        return specialized_export(checkpoint)
    except ExportError as error:
        if backend != "auto":
            raise
        _logger.warning("%s: %s, and does so now", checkpoint.spec.name, error)
        return None


def runs_onnx(backend: str, device_type: str) -> bool:
    """True if `open_backend` uses ONNX Runtime on devices of type `device_type`."""
    return backend == "onnx" or (backend == "auto" and device_type == "cpu")


def require_backend_name(name: str) -> None:
    """Raises RequestError unless `name` is a backend or `auto`."""
    if name not in BACKENDS:
        raise RequestError(f"--backend takes {', '.join(BACKENDS)}, got {name!r}")


def default_batch_size(checkpoint: Checkpoint, device: torch.device | str) -> int:
    """The default batch size, a power of two that fills the device; on CPUs a batch stays in the cache.

    It depends on the GPU's whole memory, not on what is free of it, so that a run that is resumed has the same default.
    """
    values_per_image = 3 * checkpoint.spec.preprocessing.crop**2
    return int(2 ** np.floor(np.log2(max(1, min(1024, _values_per_batch(torch.device(device)) // values_per_image)))))


def _values_per_batch(device: torch.device) -> int:
    if device.type == "cpu":
        return VALUES_PER_BATCH_ON_CPU
    memory = torch.cuda.get_device_properties(device).total_memory if torch.cuda.is_available() else 0
    return VALUES_PER_BATCH_ON_LARGE_GPU if memory >= LARGE_GPU else VALUES_PER_BATCH_ON_GPU
