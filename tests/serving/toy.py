"""A service of a toy network whose answers are known, for tests of what stands before a service."""

from __future__ import annotations

import io
import threading

import numpy as np
import torch
from PIL import Image

from serving.protocol import Limits
from serving.service.service import InferenceService
from tests.zoo.models.test_spec import SPEC
from zoo.models.spec import ModelSpec, Preprocessing


class FirstPixel:
    """Class 1 where the first pixel is brighter than one half: under noise of 0.25, the exact radius is |pixel - 0.5|.

    `gate`, if set, is acquired before every batch: a test lets the network go on batch by batch.
    """

    name, num_classes, depends_on_batch_shape, draws_on = "first-pixel", 2, False, torch.device("cpu")

    def __init__(self) -> None:
        self.gate: threading.Semaphore | None = None
        self.num_draws = 0

    def classify(self, x_BCHW: torch.Tensor) -> np.ndarray:
        if self.gate is not None:
            assert self.gate.acquire(timeout=60)
        self.num_draws += len(x_BCHW)
        return (x_BCHW.numpy()[:, 0, 0, 0] > 0.5).astype(np.int64)


def toy_spec(preprocessing: Preprocessing) -> ModelSpec:
    """The spec of the toy network for an input."""
    return SPEC.model_copy(update={"certified": SPEC.certified.model_copy(update={"preprocessing": preprocessing})})


CROP = 16
TOY = toy_spec(Preprocessing(resize=CROP, crop=CROP))
PADDED_TOY = toy_spec(Preprocessing(resize=CROP, crop=CROP, fit="pad"))


def toy_service(*, spec: ModelSpec = TOY, batch_size: int = 64, **limits: object) -> InferenceService:
    """A service of `FirstPixel`, which stands at `service.engine.sampler.base`."""
    given = Limits.model_validate({"n": 300, "max_pixels": 10_000, "allows_seed": True, **limits})
    return InferenceService(FirstPixel(), spec, sigma=0.25, model_sha256="ab", limits=given, batch_size=batch_size)


def png(value: int, size: int = CROP) -> bytes:
    """A gray picture; 255 is certified as class 1, 0 as class 0, and 128 is abstained on."""
    buffer = io.BytesIO()
    Image.new("L", (size, size), value).save(buffer, format="PNG")
    return buffer.getvalue()
