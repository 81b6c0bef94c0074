"""The check that the ONNX file computes the same logits as the weights, or is the int8 network of the config."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.checkpoints.checkpoint import Checkpoint
from zoo.errors import BackendError, CheckpointError
from zoo.models.identity import weights_sha256
from zoo.models.layout import DENOISER, ONNX, WEIGHTS
from zoo.models.spec import ModelSpec
from zoo.verification.contents import format_fault
from zoo.verification.integrity import Check

if TYPE_CHECKING:
    import onnx

NAME = "onnx"
LEAST_SECONDS = 30.0  # mostly for a busy machine
TIMES_PYTORCH = 20.0
SECONDS_ALONE = 120.0  # without PyTorch's time to compare with
MOST_BYTES = 4_000_000_000


def check_onnx(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The check that the ONNX network has our input and gives PyTorch's logits on random and on extreme inputs.

    The file is not trusted: it runs in a process of its own, with bounds on its time and memory.
    """
    if ONNX not in hashes:
        return Check(name=NAME, note=f"there is no {ONNX}", is_unchecked=True)
    if format_fault(directory / ONNX) is not None:
        return Check(name=NAME, note=f"{ONNX} cannot be read", is_unchecked=True)
    if spec.certified.precision is not None:
        return _check_quantized(directory, spec)
    if WEIGHTS not in hashes:
        return Check(name=NAME, note=f"there is no {WEIGHTS} to compare {ONNX} with", is_unchecked=True)
    behind = f" behind {DENOISER}" if DENOISER in hashes else ""
    note = f"{ONNX} compared with {WEIGHTS}{behind} on random and on extreme inputs"
    try:
        findings = tuple(_differences(directory, spec, hashes))
    except CheckpointError:
        return Check(name=NAME, note=f"the network of {WEIGHTS} cannot be loaded", is_unchecked=True)
    except BackendError as error:
        findings = (f"{ONNX}: {error}",)
    return Check(name=NAME, note=note, findings=findings)


def _differences(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Iterator[str]:
    import onnx  # with torch, only for a checkpoint with an ONNX file
    import torch

    from zoo.export.onnx_process import bounded_logits
    from zoo.export.parity import compare, probes
    from zoo.export.plain_graph import metadata_of
    from zoo.smoothing.backends import evaluating

    network = Checkpoint(path=directory, spec=spec, files=hashes).load_network()
    content, size = (directory / ONNX).read_bytes(), spec.preprocessing.crop
    model = onnx.load_model_from_string(content)
    stated = metadata_of(model).get("weights_sha256")
    if stated != weights_sha256(hashes):
        yield f"{ONNX} says that it was exported from weights with SHA-256 {stated}"
    for fault in _shape_faults(model, spec):
        yield fault
        return
    inputs, batches = zip(*probes(size=size, seed=0), strict=True)
    started = time.monotonic()
    with evaluating(network), torch.inference_mode():
        logits = [network(x_BCHW).numpy() for x_BCHW in batches]
    seconds = LEAST_SECONDS + TIMES_PYTORCH * (time.monotonic() - started)
    found = bounded_logits(
        content,
        [x_BCHW.numpy() for x_BCHW in batches],
        num_classes=spec.num_classes,
        seconds=seconds,
        most_bytes=MOST_BYTES,
    )
    for name, expected_BK, found_BK in zip(inputs, logits, found, strict=True):
        parity = compare(name, expected_BK, found_BK)
        if not parity.is_within_tolerance:
            yield f"{ONNX} is not the network of {WEIGHTS}: on {parity.describe()}"
            return


def _check_quantized(directory: Path, spec: ModelSpec) -> Check:
    """The check of a file that is the network itself: an int8 network of the parent that the config names, that runs.

    Only the parent, which is another checkpoint, can show whether the 8-bit weights are its own.
    """
    parent = spec.certified.parent
    note = f"{ONNX} is the network: {spec.certified.precision}, from the parent with SHA-256 {parent}; run on probes"
    try:
        findings = tuple(_quantization_faults(directory, spec))
    except (BackendError, CheckpointError) as error:
        findings = (f"{ONNX}: {error}",)
    return Check(name=NAME, note=note, findings=findings)


def _quantization_faults(directory: Path, spec: ModelSpec) -> Iterator[str]:
    import numpy as np
    import onnx

    from zoo.export.onnx import PARENT_SHA256
    from zoo.export.onnx_process import bounded_logits
    from zoo.export.parity import probes
    from zoo.export.plain_graph import metadata_of, require_plain_graph

    content = (directory / ONNX).read_bytes()
    model = require_plain_graph(content, source=ONNX)
    stated = metadata_of(model).get(PARENT_SHA256)
    if stated != spec.certified.parent:
        yield f"{ONNX} says that it was quantized from weights with SHA-256 {stated}"
    types = {tensor.data_type for tensor in model.graph.initializer if math.prod(tensor.dims) > 1}
    if onnx.TensorProto.INT8 not in types:
        yield f"{ONNX} has no 8-bit weights"
    for fault in _shape_faults(model, spec):
        yield fault
        return
    batches = [x_BCHW.numpy() for _, x_BCHW in probes(size=spec.preprocessing.crop, seed=0)]
    for logits_BK in bounded_logits(
        content, batches, num_classes=spec.num_classes, seconds=SECONDS_ALONE, most_bytes=MOST_BYTES
    ):
        if not np.isfinite(logits_BK).all():
            yield f"{ONNX} gives a logit that is not finite"
            return


def _shape_faults(model: onnx.ModelProto, spec: ModelSpec) -> Iterator[str]:
    from zoo.export.onnx import INPUT, OUTPUT

    size = spec.preprocessing.crop
    expected = {INPUT: (3, size, size), OUTPUT: (spec.num_classes,)}
    shapes = {value.name: _shape_of(value) for value in (*model.graph.input, *model.graph.output)}
    if shapes != expected:
        yield f"{ONNX} has the inputs and outputs {shapes} per image, expected {expected}"


def _shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape without the batch dimension."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim[1:])
