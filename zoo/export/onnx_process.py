"""Runs an ONNX model of unknown origin in a process of its own, with bounds on its time and memory.

A model can contain a loop that never ends or a tensor larger than the memory. Opening it can be as costly as running
it, because ONNX Runtime evaluates constants then. The process, `python -P -m zoo.export.onnx_process NUM_CLASSES
MEMORY`, reads an .npz file from stdin, with the model as `model` and the batches as `x0`, `x1` and so on. It writes an
.npz file with the logits of the batches to stdout, or the reason why there are none to stderr.
"""

from __future__ import annotations

import io
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from zoo.errors import BackendError

FATAL_ONLY = 4
STATM = Path("/proc/self/statm")
LONGEST_REASON = 300

Logits = npt.NDArray[np.float32]
Arrays = dict[str, npt.NDArray[Any]]


def bounded_logits(
    model: bytes, batches: Sequence[npt.NDArray[np.float32]], *, num_classes: int, seconds: float, most_bytes: int
) -> list[Logits]:
    """The logits `(B, K)` that ONNX Runtime computes on the CPU for each batch `x_BCHW`.

    Args:
        model: the serialized ONNX model.
        batches: the inputs.
        num_classes: K.
        seconds: the time for starting the process, opening the model and running it.
        most_bytes: the memory for opening the model and running it.

    Raises: BackendError if a bound is exceeded, or the model cannot be run or gives something else than logits.
    """
    command = [sys.executable, "-P", "-m", "zoo.export.onnx_process", str(num_classes), str(most_bytes)]
    arrays: Arrays = {f"x{place}": batch for place, batch in enumerate(batches)}
    with tempfile.TemporaryDirectory() as folder:  # a model's relative paths to other files lead nowhere
        try:
            done = subprocess.run(
                command,
                input=_packed({"model": np.frombuffer(model, np.uint8)} | arrays),
                capture_output=True,
                cwd=folder,
                timeout=seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise BackendError(f"the model did not end within {seconds:.0f} s") from error
    if done.returncode != 0:
        reason = done.stderr.decode(errors="replace").strip()[:LONGEST_REASON]
        raise BackendError(f"ONNX Runtime failed: {reason or f'its process ended with {done.returncode}'}")
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as logits:
        return [logits[name] for name in arrays]


def main() -> None:
    """Answers one request."""
    num_classes, most_bytes = (int(argument) for argument in sys.argv[1:])
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as given:
        arrays = dict(given)
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    _limit_memory(most_bytes)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    try:
        model = arrays.pop("model").tobytes()
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        (node,) = session.get_inputs()
        outputs = {name: session.run(None, {node.name: batch}) for name, batch in arrays.items()}
        logits: Arrays = {name: _checked(output, len(arrays[name]), num_classes) for name, output in outputs.items()}
    except Exception as error:  # the only base class that ONNX Runtime's errors share
        sys.exit(f"{type(error).__name__}: {error}")
    sys.stdout.buffer.write(_packed(logits))


def _checked(outputs: list[object], num_images: int, num_classes: int) -> Logits:
    (logits_BK,) = outputs
    assert isinstance(logits_BK, np.ndarray)
    if logits_BK.shape != (num_images, num_classes) or logits_BK.dtype != np.float32:
        raise ValueError(f"it gives {logits_BK.dtype}{logits_BK.shape}, expected float32{(num_images, num_classes)}")
    return logits_BK


def _limit_memory(most_bytes: int) -> None:
    """Allows `most_bytes` beyond the address space that the imports have taken."""
    taken = int(STATM.read_text().split()[0]) * resource.getpagesize() if STATM.exists() else 0
    resource.setrlimit(resource.RLIMIT_AS, (taken + most_bytes,) * 2)


def _packed(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # type: ignore[arg-type] # its second parameter is keyword-only
    return buffer.getvalue()


if __name__ == "__main__":
    main()
