"""Makes an int8 checkpoint of a checkpoint, with ranges measured on noisy training images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from training.streams import normal_per_image, stream
from training.tasks import Task
from zoo.checkpoints.checkpoint import Checkpoint
from zoo.checkpoints.copying import require_new
from zoo.checkpoints.denoising import split_of
from zoo.checkpoints.writing import save_weights
from zoo.errors import CertificationError, RequestError
from zoo.export.cached_export import specialized_export
from zoo.export.onnx import INPUT, OUTPUT, PARENT_SHA256
from zoo.export.quantization import quantize
from zoo.models.layout import ONNX
from zoo.models.preprocessing import prepare
from zoo.models.spec import Quantization
from zoo.smoothing.precision import INT8

NUM_COMPARED = 512
BATCH_SIZE = 16


def quantize_checkpoint(
    checkpoint: Checkpoint, task: Task, *, output: Path, num_images: int, seed: int, parent_id: str | None = None
) -> Checkpoint:
    """The int8 checkpoint of a checkpoint, in a new directory. None of the checkpoint's results is kept.

    Args:
        checkpoint: The float checkpoint.
        task: The task whose training images calibrate, with the checkpoint's classes.
        output: The new directory.
        num_images: Number of calibration images. `NUM_COMPARED` further ones choose the layers that stay in float32.
        seed: Root of the choice of the images and of their noise.
        parent_id: The Hub or catalog id of the checkpoint, if it has one.

    Raises: RequestError if `output` is not new, the checkpoint is quantized already or is behind a denoiser, or the
    task has fewer training images; CertificationError if it has no sigma; ExportError if its network cannot be
    expressed in ONNX; CheckpointError if the checkpoint has changed or `output` cannot be written.
    """
    require_new(output)
    sigma = _require_quantizable(checkpoint)
    num_available = len(task.train)
    if num_images >= num_available:
        raise RequestError(
            f"--images {num_images} leaves none of the {num_available} training images of {task.name} to compare with"
        )
    order = torch.randperm(num_available, generator=stream(seed, "quantization-images")).tolist()
    calibrating, compared = order[:num_images], order[num_images : num_images + NUM_COMPARED]
    spec = checkpoint.spec
    made = quantize(
        specialized_export(checkpoint),
        num_classes=spec.num_classes,
        calibrating=list(_noisy_batches(checkpoint, task, calibrating, sigma=sigma, seed=seed)),
        compared=_noisy_batches(checkpoint, task, compared, sigma=sigma, seed=seed),
        facts=_facts(checkpoint),
    )
    quantization = Quantization(
        task=task.name,
        sigma=sigma,
        num_images=num_images,
        seed=seed,
        float_nodes=made.float_nodes,
        num_compared=made.num_compared,
        agreement=made.agreement,
    )
    quantized = spec.quantized(quantization, parent=checkpoint.weights_sha256, parent_id=parent_id)
    return save_weights(output, {ONNX: made.content}, quantized, split=split_of(checkpoint) or None)


def _require_quantizable(checkpoint: Checkpoint) -> float:
    """The checkpoint's sigma. Raises: RequestError, CertificationError, as `quantize_checkpoint` does."""
    certified = checkpoint.spec.certified
    if certified.precision is not None:
        raise RequestError(f"{checkpoint.path} is quantized already: give its float checkpoint")
    if certified.denoiser is not None:
        raise RequestError(
            f"{checkpoint.path} is behind a denoiser, whose output are pixels and need more than 8 bits: quantize a "
            "classifier that was trained under noise"
        )
    if not certified.sigma:
        raise CertificationError(
            f"{checkpoint.spec.name} has no sigma because it was not trained under noise, and an int8 network is "
            "calibrated under noise"
        )
    return certified.sigma


def _noisy_batches(
    checkpoint: Checkpoint, task: Task, numbers: Sequence[int], *, sigma: float, seed: int
) -> Iterator[Tensor]:
    """Yields batches `x_BCHW` of training images with noise, which seed and image number key."""
    for start in range(0, len(numbers), BATCH_SIZE):
        chosen = numbers[start : start + BATCH_SIZE]
        x_BCHW = torch.stack([prepare(task.train[number], checkpoint.spec.preprocessing) for number in chosen])
        noise_BCHW = normal_per_image(x_BCHW, torch.tensor(chosen), stream(seed, "quantization-noise"))
        yield x_BCHW + sigma * noise_BCHW


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    """The metadata of the ONNX file, which bind it to the float network."""
    spec = checkpoint.spec
    return {
        "model": f"{spec.name}_{INT8}",
        PARENT_SHA256: checkpoint.weights_sha256,
        INPUT: f"float32 RGB, batch x {spec.preprocessing.describe()}; the normalization is inside",
        OUTPUT: "float32, batch x class",
        "class_names": json.dumps(spec.certified.class_names),
        "sigma": str(spec.certified.sigma),
        "made_by": f"certified-zoo {version('certified-zoo')}, onnxruntime {version('onnxruntime-gpu')}",
        "note": "8-bit weights and activations: another base classifier than its parent, with its own certificates.",
    }
