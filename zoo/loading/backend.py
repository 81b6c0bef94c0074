"""Chooses the runtime that computes a checkpoint's network; the choice never changes the meaning of a result."""

from __future__ import annotations

import logging
from typing import cast

import numpy as np
import torch

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import CheckpointError, ExportError, RequestError
from zoo.export.cached_export import require_agreement, require_same_weights, specialized_export
from zoo.export.onnx import PARENT_SHA256
from zoo.export.plain_graph import metadata_of, require_plain_graph
from zoo.loading.device import cpu_has_bfloat16
from zoo.loading.kept_checks import AGREES, DEPENDS, IDENTICAL, keep_checks, key_of, read_checks
from zoo.models.layout import CONFIG, ONNX
from zoo.smoothing.backends import BaseClassifier, CompiledBackend, TorchBackend, can_compile, fused
from zoo.smoothing.backends.onnxruntime import OnnxBackend
from zoo.smoothing.precision import DEFAULT, INT8, PRECISIONS, AnyPrecision

BACKENDS = ("auto", "torch", "compiled", "onnx")
ONLY_PYTORCH = ("tf32", "bfloat16")
VALUES_PER_BATCH_ON_CPU = 2**20
# A ResNet-50 keeps some 60 float32 numbers per input value, so a batch takes about 8 GB, or 32 GB of a large GPU.
VALUES_PER_BATCH_ON_GPU, VALUES_PER_BATCH_ON_LARGE_GPU = 2**25, 2**27
LARGE_GPU = 40 * 2**30

_logger = logging.getLogger(__name__)


def open_backend(
    checkpoint: Checkpoint,
    *,
    backend: str = "auto",
    precision: str | None = None,
    device: torch.device | str = "cpu",
    spins: bool = True,
    exported: bytes | None = None,
) -> BaseClassifier:
    """The base classifier of a checkpoint.

    Args:
        checkpoint: The checkpoint to compute.
        backend: `torch`, `compiled`, `onnx`, or `auto`: ONNX Runtime, the fastest on CPUs, for CPUs and PyTorch
            elsewhere. `auto` also takes PyTorch for a precision that only PyTorch has, and, with a warning, for a
            network that cannot be expressed in ONNX. `compiled` is PyTorch with a compiled network in a CUDA graph;
            where networks cannot be compiled, it is `torch`, with a warning.
        precision: The precision, as in `chosen_precision`; each is another base classifier.
        device: The device that computes.
        spins: Threads of ONNX Runtime wait actively during a run, as in OnnxBackend.
        exported: An earlier result of `specialized_export` for this checkpoint, possibly from another machine.

    Raises: RequestError if `chosen_precision` refuses the backend or the precision; CheckpointError if the checkpoint
    is damaged, or its config and its int8 file name different parents; BackendError if ONNX Runtime cannot run on the
    device, or its logits differ from PyTorch's beyond the tolerance; ExportError if `backend` is `onnx` and the network
    cannot be expressed in ONNX.
    """
    device = torch.device(device)
    chosen = chosen_precision(checkpoint, precision, backend=backend, device_type=device.type)
    num_classes = checkpoint.spec.num_classes
    if chosen == INT8:
        content = _int8_network(checkpoint)
        return _opened(content, checkpoint, precision=INT8, device=device, spins=spins, is_own_export=False)
    is_onnx = runs_onnx(backend, device.type, chosen)
    if exported is None and is_onnx:
        exported = export_for(checkpoint, backend=backend)
    if exported is None or not is_onnx:
        network = fused(checkpoint.load_network())
        if backend == "compiled" and can_compile(device):
            return CompiledBackend(network, num_classes=num_classes, device=device, precision=chosen)
        return TorchBackend(network, num_classes=num_classes, device=device, precision=chosen, is_channels_last=True)
    return _opened(exported, checkpoint, precision=chosen, device=device, spins=spins, is_own_export=True)


def _int8_network(checkpoint: Checkpoint) -> bytes:
    """The checkpoint's ONNX file. Raises: CheckpointError if it has changed, is not plain, or has another parent."""
    content, path = checkpoint.read_onnx(), checkpoint.path / ONNX
    stated = metadata_of(require_plain_graph(content, source=str(path))).get(PARENT_SHA256)
    if stated != checkpoint.spec.certified.parent:
        raise CheckpointError(
            f"{path} was quantized from weights with SHA-256 {stated}, but {CONFIG} names the parent "
            f"{checkpoint.spec.certified.parent}"
        )
    return content


def _opened(
    exported: bytes, checkpoint: Checkpoint, *, precision: str, device: torch.device, spins: bool, is_own_export: bool
) -> OnnxBackend:
    """The backend of an ONNX model. What its checks found on the CPU is kept for the next start.

    `is_own_export`: the model is one of `specialized_export`, and must agree with PyTorch.
    """
    key = key_of(exported) if device.type == "cpu" else None
    known = frozenset() if key is None else read_checks(key)
    backend = OnnxBackend(
        exported,
        num_classes=checkpoint.spec.num_classes,
        device=device,
        precision=precision,
        spins=spins,
        depends_on_batch_shape=DEPENDS in known if known else None,
    )
    found = {DEPENDS if backend.depends_on_batch_shape else IDENTICAL}
    if is_own_export:
        require_same_weights(backend, checkpoint)
        if AGREES not in known:
            require_agreement(backend, checkpoint)
        found.add(AGREES)
    if key is not None and not found <= known:
        keep_checks(key, frozenset(found))
    return backend


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


def runs_onnx(backend: str, device_type: str, precision: str = DEFAULT) -> bool:
    """True if `open_backend` uses ONNX Runtime for a precision on devices of type `device_type`."""
    return backend == "onnx" or (backend == "auto" and device_type == "cpu" and precision not in ONLY_PYTORCH)


def chosen_precision(checkpoint: Checkpoint, precision: str | None, *, backend: str, device_type: str) -> AnyPrecision:
    """The precision that `--precision` names, or that of the checkpoint: int8 if it is quantized, else float32.

    Raises: RequestError if the backend or the precision does not exist, or the checkpoint, the backend, the device or
    this machine's processor does not have the precision.
    """
    require_backend_name(backend)
    own: AnyPrecision = checkpoint.spec.certified.precision or DEFAULT
    precision = precision or own
    require_precision_name(precision)
    if own == INT8:
        _require_int8(checkpoint, precision, backend=backend, device_type=device_type)
    elif precision == INT8:
        raise RequestError(
            f"{checkpoint.path} has weights in {own}: make an int8 checkpoint of it first, with zoo quantize "
            f"{checkpoint.path} --task TASK --output DIR"
        )
    if precision == "tf32" and device_type != "cuda":
        raise RequestError(f"--precision tf32 needs a CUDA device, got the device {device_type}")
    if precision == "bfloat16" and device_type == "cpu" and not cpu_has_bfloat16():
        raise RequestError(
            "--precision bfloat16 needs a processor with bfloat16 instructions (AVX512-BF16, AMX or ARM's), and this "
            "processor has none: omit --precision, or make an int8 checkpoint with zoo quantize"
        )
    if backend == "compiled" and device_type != "cuda":
        raise RequestError(f"--backend compiled needs a CUDA device, got the device {device_type}: omit --backend")
    if precision in ONLY_PYTORCH and backend == "onnx":
        raise RequestError(f"--precision {precision} needs PyTorch: give --backend torch, or omit --backend")
    return cast("AnyPrecision", precision)


def _require_int8(checkpoint: Checkpoint, precision: str, *, backend: str, device_type: str) -> None:
    name = f"{checkpoint.path} is quantized to {INT8}"
    if precision != INT8:
        raise RequestError(f"{name}, so it does not compute in {precision}: omit --precision")
    if backend in ("torch", "compiled"):
        raise RequestError(f"{name}, which PyTorch cannot compute: omit --backend {backend}")
    if device_type != "cpu":
        raise RequestError(f"{name}, which only CPUs compute: give --device cpu")


def require_precision_name(name: str) -> None:
    """Raises RequestError unless `name` is a precision."""
    if name not in PRECISIONS:
        raise RequestError(f"--precision takes {', '.join(PRECISIONS)}, got {name!r}")


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
