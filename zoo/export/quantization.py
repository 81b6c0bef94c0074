"""Quantizes a network to 8 bits. The result is another base classifier, an ONNX model that only ONNX Runtime computes.

Weights keep 7 bits: processors without VNNI add two products of 8-bit weights in 16 bits, which overflow. The additions
of residual branches stay in float32, where ONNX Runtime is faster.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from torch import Tensor

from zoo.errors import ExportError
from zoo.export.onnx import INPUT, publishable
from zoo.host.loaned_setting import WARNINGS_IGNORED
from zoo.smoothing.backends.onnxruntime import OnnxBackend
from zoo.smoothing.precision import INT8

WITH_WEIGHTS = ("Conv", "Gemm", "MatMul")
TOLERANCE = 0.005
"""A layer stays in float32 only if the share of equal classes then rises by more than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedNetwork:
    """An ONNX model with 8-bit weights and activations.

    `float_nodes` are the layers that stay in float32. `agreement` is the share of `num_compared` images that the float
    network gives the same class.
    """

    content: bytes
    float_nodes: tuple[str, ...]
    num_compared: int
    agreement: float


def quantize(
    exported: bytes,
    *,
    num_classes: int,
    calibrating: Sequence[Tensor],
    compared: Iterable[Tensor],
    facts: Mapping[str, str],
) -> QuantizedNetwork:
    """A network in 8 bits. Layers stay in float32 where that is measurably better.

    Of several choices of float layers, the first wins whose share of images with the float network's class is within
    `TOLERANCE` of the best.

    Args:
        exported: The network in float32 as an ONNX model, specialized for its image size.
        num_classes: K.
        calibrating: Batches `x_BCHW` with noise of the sigma used later. Activations beyond their ranges saturate.
        compared: Other batches of this kind, on which the choices are compared.
        facts: The metadata of the model.

    Raises: ExportError if the network has no layer that can be quantized.
    """
    candidates = _candidates(exported, calibrating)
    expected = OnnxBackend(exported, num_classes=num_classes)
    backends = {
        kept: OnnxBackend(content, num_classes=num_classes, precision=INT8) for kept, content in candidates.items()
    }
    num_equal, num_compared = dict.fromkeys(backends, 0), 0
    for x_BCHW in compared:
        classes_B = expected.classify(x_BCHW)
        num_compared += len(classes_B)
        for kept, backend in backends.items():
            num_equal[kept] += int((backend.classify(x_BCHW) == classes_B).sum())
    best = max(num_equal.values())
    chosen = next(kept for kept, num in num_equal.items() if num >= best - TOLERANCE * num_compared)
    return QuantizedNetwork(
        content=publishable(candidates[chosen], facts),
        float_nodes=chosen,
        num_compared=num_compared,
        agreement=num_equal[chosen] / num_compared,
    )


def _candidates(exported: bytes, calibrating: Sequence[Tensor]) -> dict[tuple[str, ...], bytes]:
    """The quantized models by the layers that stay in float32: none, the last, the first, or both."""
    graph = onnx.load_model_from_string(exported).graph
    layers = [node.name for node in graph.node if node.op_type in WITH_WEIGHTS]
    if not layers:
        raise ExportError("the network has no layer that can be quantized")
    additions = [node.name for node in graph.node if node.op_type == "Add"]
    first, last = layers[0], layers[-1]
    choices = dict.fromkeys([(), (last,), (first,), tuple(dict.fromkeys((first, last)))])
    with tempfile.TemporaryDirectory() as folder:
        source, ranges = Path(folder) / "float32.onnx", Path(folder) / "ranges.json"
        source.write_bytes(exported)
        return {kept: _quantized(source, ranges, calibrating, kept=[*additions, *kept]) for kept in choices}


def _quantized(source: Path, ranges: Path, calibrating: Sequence[Tensor], *, kept: list[str]) -> bytes:
    """The quantized model; the first call measures the ranges of the activations and writes them to `ranges`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(calibrating)

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch.numpy()}

    target = source.with_name("int8.onnx")
    with WARNINGS_IGNORED, _root_logger_muted():
        quantize_static(
            source,
            target,
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            nodes_to_exclude=kept,
            calibration_cache_path=ranges,
        )
    return target.read_bytes()


@contextmanager
def _root_logger_muted() -> Iterator[None]:
    """Drops this thread's records to the root logger: the quantizer logs there.

    Logging to a root logger without a handler permanently adds one, so the root logger gets a temporary handler.
    """
    root, handler, thread = logging.getLogger(), logging.NullHandler(), threading.get_ident()

    def is_of_another_thread(record: logging.LogRecord) -> bool:
        return record.thread != thread

    root.addHandler(handler)
    root.addFilter(is_of_another_thread)
    try:
        yield
    finally:
        root.removeFilter(is_of_another_thread)
        root.removeHandler(handler)
