"""The identity of a checkpoint's network: one SHA-256 that covers all of its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from zoo.models.layout import DENOISER, ONNX, WEIGHTS


def weights_sha256(files: Mapping[str, str]) -> str:
    """SHA-256 in hex that identifies the weights of a network; `files` maps file names to SHA-256 in hex.

    For a classifier alone it is the SHA-256 of the weights file. For a classifier behind a denoiser it is the SHA-256
    of both files' SHA-256, as lines `SHA-256  NAME`: checkpoints with the same classifier and different denoisers, or
    none, are different networks. For a quantized network, which has no weights file, it is the SHA-256 of its ONNX
    file. Logs, exports, archives and cached answers are keyed by it.
    """
    if WEIGHTS not in files and ONNX in files:
        return files[ONNX]
    if DENOISER not in files:
        return files[WEIGHTS]
    lines = "".join(f"{files[name]}  {name}\n" for name in (DENOISER, WEIGHTS))
    return hashlib.sha256(lines.encode()).hexdigest()
