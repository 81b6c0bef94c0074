"""The ONNX model of a checkpoint for ONNX Runtime: specialized for its image size, and cached between starts.

The file embeds PyTorch's logits for four probe inputs. With them, a process that loads the file compares the two
runtimes on its own machine without building the network again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.download.cache import cache_directory
from zoo.errors import BackendError
from zoo.export.onnx import export_network, publishable
from zoo.export.parity import Logits, compare
from zoo.export.specialization import specialized
from zoo.host.atomic_write import write_atomically
from zoo.smoothing.backends import evaluating
from zoo.smoothing.backends.onnxruntime import OnnxBackend

NUM_PROBES = 4
NUM_CACHED = 8
WEIGHTS_SHA256, EXPECTED = "weights_sha256", "expected_logits"
EXPORTER_PACKAGES = ("torch", "torchvision", "timm", "onnx", "onnxscript")
SOURCES = Path(__file__).parents[1]  # the whole package zoo

_logger = logging.getLogger(__name__)


def specialized_export(checkpoint: Checkpoint) -> bytes:
    """The ONNX model of a checkpoint, from the cache or exported now, which takes seconds.

    The cache keeps the NUM_CACHED most recently used models. Its key covers the weights and everything else that
    determines the model. A damaged cached model is exported again. If the cache cannot be written, nothing is cached.
    Raises: CheckpointError if the checkpoint is damaged; ExportError if the network cannot be expressed in ONNX.
    """
    key = _key(checkpoint)
    try:
        cached = _read_cached(cache_directory("exports"), key)
    except (OSError, RuntimeError):  # RuntimeError: there is no home directory
        cached = None
    if cached is not None:
        return cached
    exported = _export(checkpoint)
    try:
        _cache(cache_directory("exports"), key, exported)
    except (OSError, RuntimeError) as error:
        _logger.info("cannot cache the exported network: %s", error)
    return exported


def require_same_weights(opened: OnnxBackend, checkpoint: Checkpoint) -> None:
    """Raises BackendError unless the model states that it was exported from the weights of the checkpoint."""
    if opened.metadata.get(WEIGHTS_SHA256) != checkpoint.weights_sha256:
        raise _other_export(checkpoint)


def require_agreement(opened: OnnxBackend, checkpoint: Checkpoint) -> None:
    """Raises BackendError unless the model matches PyTorch's logits, which it embeds, within the tolerance."""
    actual_BK = opened.logits(_probes(checkpoint.spec.preprocessing.crop))
    try:
        content = base64.b64decode(opened.metadata.get(EXPECTED, ""), validate=True)
        expected_BK = np.frombuffer(content, np.float32).reshape(actual_BK.shape)
    except ValueError as error:  # from the base64 decoding, or from a wrong length
        raise _other_export(checkpoint) from error
    parity = compare("noise", expected_BK, actual_BK)
    if not parity.is_within_tolerance:
        raise BackendError(
            f"the exported network's logits differ from PyTorch's by {parity.largest_difference:.1e}, "
            f"{parity.relative_difference:.1e} of the largest logit: use --backend torch"
        )


def _other_export(checkpoint: Checkpoint) -> BackendError:
    return BackendError(
        f"the exported network was not made from the weights of {checkpoint.path}, or not by this version: "
        "create the archive again with zoo archive"
    )


def _export(checkpoint: Checkpoint) -> bytes:
    network, size = checkpoint.load_network(), checkpoint.spec.preprocessing.crop
    with evaluating(network), torch.inference_mode():
        expected_BK: Logits = network(_probes(size)).numpy()
    facts = {
        WEIGHTS_SHA256: checkpoint.weights_sha256,
        EXPECTED: base64.b64encode(expected_BK.tobytes()).decode(),
    }
    return publishable(export_network(specialized(network, size=size), size=size), facts)


def _probes(size: int) -> Tensor:
    """The probe inputs `x_BCHW`. RandomState's stream is frozen: every NumPy version draws the same values."""
    values = np.random.RandomState(0).standard_normal((NUM_PROBES, 3, size, size))
    return torch.from_numpy(values.astype(np.float32))


def _key(checkpoint: Checkpoint) -> str:
    """A digest of everything that determines the model, including all source files of the package zoo."""
    spec = checkpoint.spec
    inputs = {
        "weights": checkpoint.weights_sha256,
        "network": [spec.architecture, spec.num_classes, spec.preprocessing.model_dump_json()],
        "exporters": [version(name) for name in EXPORTER_PACKAGES],
        "sources": [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(SOURCES.rglob("*.py"))],
    }
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _read_cached(folder: Path, key: str) -> bytes | None:
    """The content of `KEY-SHA256.onnx` if its hash matches the name, else None; a damaged file is deleted."""
    for path in folder.glob(f"{key}-*.onnx"):
        try:
            content = path.read_bytes()
            os.utime(path)
        except FileNotFoundError:  # another process has just deleted it
            continue
        if path.stem.partition("-")[2] == hashlib.sha256(content).hexdigest():
            return content
        path.unlink(missing_ok=True)
    return None


def _cache(folder: Path, key: str, content: bytes) -> None:
    path = folder / f"{key}-{hashlib.sha256(content).hexdigest()}.onnx"
    write_atomically(path, content)
    for unused in sorted(folder.glob("*.onnx"), key=_last_use, reverse=True)[NUM_CACHED:]:
        unused.unlink(missing_ok=True)


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
