"""The check that the ONNX file computes the same logits as the weights."""

from __future__ import annotations

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
MOST_BYTES = 4_000_000_000


def check_onnx(directory: Path, spec: ModelSpec, hashes: Mapping[str, str]) -> Check:
    """The check that the ONNX network has our input and gives PyTorch's logits on random and on extreme inputs.

    The file is not trusted: it runs in a process of its own, with bounds on its time and memory.
    """
    if ONNX not in hashes:
        return Check(name=NAME, note=f"there is no {ONNX}", is_unchecked=True)
    if format_fault(directory / ONNX) is not None:
        return Check(name=NAME, note=f"{ONNX} cannot be read", is_unchecked=True)
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
    import onnx  # with torch, only for a checkpoint with weights and an ONNX file
    import torch

    from zoo.export.onnx import INPUT, OUTPUT
    from zoo.export.onnx_process import bounded_logits
    from zoo.export.parity import compare, probes
    from zoo.smoothing.backends import evaluating

    network = Checkpoint(path=directory, spec=spec, files=hashes).load_network()
    content, size = (directory / ONNX).read_bytes(), spec.preprocessing.crop
    model = onnx.load_model_from_string(content)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    if metadata.get("weights_sha256") != weights_sha256(hashes):
        yield f"{ONNX} says that it was exported from weights with SHA-256 {metadata.get('weights_sha256')}"
    expected = {INPUT: (3, size, size), OUTPUT: (spec.num_classes,)}
    shapes = {value.name: _shape_of(value) for value in (*model.graph.input, *model.graph.output)}
    if shapes != expected:
        yield f"{ONNX} has the inputs and outputs {shapes} per image, expected {expected}"
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


def _shape_of(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    """The shape without the batch dimension."""
    return tuple(dimension.dim_value for dimension in value.type.tensor_type.shape.dim[1:])
