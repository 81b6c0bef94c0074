"""Which runtime computes a checkpoint's network; it never changes what a result means."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from zoo.checkpoint import Checkpoint
from zoo.errors import BackendError, RequestError
from zoo.onnx import export_network
from zoo.parity import compare
from zoo.smoothing.backends import BaseClassifier, TorchBackend, evaluating, fused
from zoo.smoothing.backends.onnxruntime import OnnxBackend
from zoo.specialize import specialized

BACKENDS = ("auto", "torch", "onnx")
NUM_COMPARED = 4
VALUES_A_BATCH = {"cpu": 2**20, "cuda": 2**25}


def open_backend(
    checkpoint: Checkpoint,
    *,
    backend: str = "auto",
    device: torch.device | str = "cpu",
    spins: bool = True,
    exported: bytes | None = None,
) -> BaseClassifier:
    """The base classifier of a checkpoint. `backend` is `torch`, `onnx`, or `auto`: ONNX Runtime on CPUs, where it is
    the fastest, and PyTorch elsewhere. `spins` as in OnnxBackend. `exported` is what `export_specialized` made of this
    checkpoint before, which takes a while; it is compared with PyTorch as a new one is.

    Raises: RequestError if `backend` is none of these; CheckpointError if the checkpoint is damaged; BackendError if
    ONNX Runtime cannot run on the device, or does not agree with PyTorch.
    """
    require_backend_name(backend)
    device = torch.device(device)
    network, num_classes = checkpoint.load_network(), checkpoint.spec.num_classes
    if not runs_onnx(backend, device.type):
        return TorchBackend(fused(network), num_classes=num_classes, device=device, is_channels_last=True)
    size = checkpoint.spec.preprocessing.crop
    opened = OnnxBackend(
        exported or export_specialized(network, size=size), num_classes=num_classes, device=device, spins=spins
    )
    x_BCHW = torch.randn(NUM_COMPARED, 3, size, size, generator=torch.Generator().manual_seed(0))
    with evaluating(network), torch.inference_mode():
        expected_BK = network(x_BCHW).numpy()
    parity = compare("noise", expected_BK, opened.logits(x_BCHW))
    if not parity.is_within_tolerance:
        raise BackendError(
            f"the exported network differs from PyTorch's by {parity.largest_difference:.1e}, of the largest logit "
            f"{parity.relative_difference:.1e}: choose --backend torch"
        )
    return opened


def export_specialized(network: nn.Module, *, size: int) -> bytes:
    """What ONNX Runtime is given of a network, for pictures of `3 x size x size`."""
    return export_network(specialized(network, size=size), size=size)


def runs_onnx(backend: str, device_type: str) -> bool:
    """Whether `open_backend` takes ONNX Runtime on devices of a type."""
    return backend == "onnx" or (backend == "auto" and device_type == "cpu")


def require_backend_name(name: str) -> None:
    """Raises RequestError unless `name` is a backend or `auto`."""
    if name not in BACKENDS:
        raise RequestError(f"--backend takes {', '.join(BACKENDS)}, got {name!r}")


def default_batch_size(checkpoint: Checkpoint, device: torch.device | str) -> int:
    """A power of two of images that fills the device: on CPUs small ones, which stay in the cache."""
    values = 3 * checkpoint.spec.preprocessing.crop**2
    return int(2 ** np.floor(np.log2(max(1, min(1024, VALUES_A_BATCH[torch.device(device).type] // values)))))
