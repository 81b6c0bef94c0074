"""Exports a checkpoint to a publishable ONNX file, with metadata, after a comparison with PyTorch."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.metadata import version

import onnx

from zoo.checkpoints.checkpoint import Checkpoint, require_trained_head
from zoo.export.onnx import INPUT, OUTPUT, export_network, publishable
from zoo.export.parity import Parity, compare_on_probes, require_parity
from zoo.export.plain_graph import metadata_of, require_plain_graph
from zoo.models.layout import ONNX, WEIGHTS
from zoo.smoothing.backends.onnxruntime import OnnxBackend

ANOTHER_CLASSIFIER = (
    f"In floating point this is another base classifier than {WEIGHTS}: the numbers on the card do not apply to it, "
    "and it needs its own certificates."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """An ONNX file and the results of its comparison with the PyTorch network; none for a quantized network."""

    content: bytes
    sha256: str
    opset: int
    ir_version: int
    metadata: dict[str, str]
    parities: tuple[Parity, ...]


def export_checkpoint(checkpoint: Checkpoint) -> Export:
    """The network of a checkpoint as ONNX: from `image`, pixels in [0, 1] plus any noise, to `logits`; any batch size.

    The file's metadata name the weights, the input, the classes, sigma and the opset. For a quantized network it is the
    checkpoint's own file.
    Raises: BackendError if ONNX Runtime's logits differ from PyTorch's beyond the tolerance; CheckpointError if the
    checkpoint is damaged; RequestError if its head is untrained.
    """
    require_trained_head(checkpoint)
    if checkpoint.spec.certified.precision is not None:
        return _own_file(checkpoint)
    network, spec = checkpoint.load_network(), checkpoint.spec
    size = spec.preprocessing.crop
    exported = export_network(network, size=size)
    model = onnx.load_model_from_string(exported)
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    metadata = {
        "model": spec.name,
        "weights_sha256": checkpoint.weights_sha256,
        INPUT: f"float32 RGB, batch x {spec.preprocessing.describe()}; the normalization is inside",
        OUTPUT: "float32, batch x class",
        "class_names": json.dumps(spec.certified.class_names),
        "sigma": "" if spec.certified.sigma is None else str(spec.certified.sigma),
        "opset": str(opset),
        "ir_version": str(model.ir_version),
        "made_by": f"certified-zoo {version('certified-zoo')}, torch {version('torch')}",
        "note": ANOTHER_CLASSIFIER,
    }
    content = publishable(exported, metadata)
    opened = OnnxBackend(content, num_classes=spec.num_classes)
    parities = compare_on_probes(network, opened.logits, size=size)
    require_parity(parities)
    return Export(
        content=content,
        sha256=hashlib.sha256(content).hexdigest(),
        opset=opset,
        ir_version=model.ir_version,
        metadata=metadata,
        parities=parities,
    )


def _own_file(checkpoint: Checkpoint) -> Export:
    content = checkpoint.read_onnx()
    model = require_plain_graph(content, source=str(checkpoint.path / ONNX))
    return Export(
        content=content,
        sha256=checkpoint.weights_sha256,
        opset=next(entry.version for entry in model.opset_import if entry.domain == ""),
        ir_version=model.ir_version,
        metadata=metadata_of(model),
        parities=(),
    )
