"""The interface between the engine and a job, and the checks of what a job starts from."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from zoo.errors import CertificationError
from zoo.smoothing.certificate import Certificate
from zoo.smoothing.discrete import require_8_bit
from zoo.smoothing.label_set import LabelSet
from zoo.smoothing.noise import Draws, Noise, Pixels
from zoo.smoothing.prediction import Votes

Result = Certificate | Votes | LabelSet


class Job(Protocol):
    """The interface between the engine and a job. `id` identifies the job among the open jobs."""

    id: Hashable

    @property
    def x_CHW(self) -> Pixels: ...

    @property
    def num_remaining(self) -> int:
        """Draws until the job can evaluate its votes again; 0 means finished."""
        ...

    @property
    def num_expected(self) -> int:
        """Estimate of the remaining draws, by which the engine distinguishes short jobs from long ones."""
        ...

    @property
    def num_useful(self) -> int:
        """Draws that may still count, including those that the stopping rule has not requested yet."""
        ...

    @property
    def num_taken(self) -> int:
        """Draws made so far."""
        ...

    def first_draws(self, num: int) -> Draws:
        """The first draws, which select the class; at most `num`."""
        ...

    def take(self, num: int) -> list[Draws]:
        """The next useful draws, at most `num` in total. They count as made from now on."""
        ...

    def adapts_to(self, draws: Draws) -> bool:
        """Whether the votes of `draws`, which `take` returned, may change how many draws follow."""
        ...

    def record(self, draws: Draws, outputs_M: npt.NDArray[Any]) -> None:
        """Records the votes of draws, or their logits, in the order in which `take` returned them."""
        ...

    def result(self, *, backend: str) -> Result:
        """The answer, when no draws remain. `backend` is the name of the backend."""
        ...


def checked_pixels(x_CHW: Tensor, *, noise: Noise = "gaussian") -> Pixels:
    """A float32 copy of the image.

    Raises: CertificationError unless the image is three-dimensional, finite and in [0, 1], and has 8-bit values if the
    noise is discrete.
    """
    if not isinstance(x_CHW, Tensor) or not x_CHW.is_floating_point():
        kind = x_CHW.dtype if isinstance(x_CHW, Tensor) else type(x_CHW).__name__
        raise CertificationError(f"an image must be a floating-point tensor in [0, 1], got {kind}")
    if x_CHW.ndim != 3 or x_CHW.numel() == 0:
        raise CertificationError(f"an image must have shape (channels, height, width), got {tuple(x_CHW.shape)}")
    pixels: Pixels = x_CHW.detach().to("cpu", torch.float32, copy=True).numpy()
    if not np.isfinite(pixels).all():
        value = float(pixels[~np.isfinite(pixels)][0])
        raise CertificationError(f"the image has a pixel that is not finite: {value}")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise CertificationError(f"pixels must be in [0, 1], got [{low:g}, {high:g}]; divide 8-bit values by 255")
    if noise == "discrete":
        require_8_bit(pixels)
    return pixels
