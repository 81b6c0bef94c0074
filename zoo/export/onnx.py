"""Converts a network to an ONNX model that includes the normalization: pixels in [0, 1], plus any noise, to logits."""

from __future__ import annotations

import copy
import logging
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import torch
from google.protobuf.message import EncodeError
from torch import nn

from zoo.errors import ExportError
from zoo.host.loaned_setting import WARNINGS_IGNORED

INPUT, OUTPUT = "image", "logits"
LARGEST_BATCH = 65_536


def export_network(network: nn.Module, *, size: int) -> bytes:
    """The ONNX model of a network on `3 x size x size` pixels: float32, any batch size.

    The exporter folds batch normalization into the convolutions.
    Raises: ExportError if the exporter cannot express the network.
    """
    frozen = copy.deepcopy(network).to("cpu").eval()
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    try:
        with WARNINGS_IGNORED:  # the exporter warns about its own internals
            program = torch.onnx.export(
                frozen,
                (torch.zeros(2, 3, size, size),),
                dynamo=True,
                dynamic_shapes=({0: batch},),
                input_names=[INPUT],
                output_names=[OUTPUT],
                verbose=False,
            )
        assert program is not None
        exported: bytes = program.model_proto.SerializeToString()
    except (torch.onnx.OnnxExporterError, EncodeError, ValueError) as error:  # protobuf refuses more than 2 GB
        raise ExportError("the network cannot be expressed in ONNX with any batch size; PyTorch can run it") from error
    return exported


def publishable(exported: bytes, facts: Mapping[str, str]) -> bytes:
    """The model with `facts` as its only metadata.

    The exporter's own metadata are removed: they contain paths of the exporting machine.
    Raises: onnx.checker.ValidationError if the model is not valid.
    """
    model = onnx.load_model_from_string(exported)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    del model.metadata_props[:]
    for key, value in facts.items():
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def quantize_to_int8(exported: bytes, noisy_BCHW: npt.NDArray[np.float32], *, batch_size: int = 16) -> bytes:
    """The model with 8-bit weights (one scale per channel) and 8-bit activations.

    The result is **another** base classifier: it needs its own certificates and measurements. `noisy_BCHW` are
    calibration images with noise of the sigma used later: activations beyond the calibrated range saturate. Weights
    keep 7 bits, because 8 bits overflow on processors without VNNI.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(np.array_split(noisy_BCHW, max(1, len(noisy_BCHW) // batch_size)))

        def get_next(self) -> dict[str, npt.NDArray[np.float32]] | None:
            batch = next(self.batches, None)
            return None if batch is None else {INPUT: batch}

    with tempfile.TemporaryDirectory() as folder, WARNINGS_IGNORED, _root_logger_muted():
        source, target = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(exported)
        quantize_static(
            source,
            target,
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
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
