"""Noisy copies on a device, by one kernel where Triton runs, and by tensor operations elsewhere."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from zoo.smoothing.device_noise import WORDS_PER_BLOCK, DeviceDraws, DeviceMemory, noisy_by_operations
from zoo.smoothing.noise import Draws, NoiseKey, Phase

logger = logging.getLogger(__name__)


def noisy_batch(draws: DeviceDraws) -> Tensor:
    """The noisy copies `x_MCHW`, float32 on the device: each draw's image plus its Gaussian noise.

    On a CUDA device with Triton, one kernel computes them. Its numbers differ from those of `noisy_by_operations` in
    the last digits at most. A copy does not depend on the other copies of its batch.
    """
    device, area = draws.images_NCHW.device, math.prod(draws.images_NCHW.shape[2:])
    kernel = _kernel(device) if device.type == "cuda" and area % WORDS_PER_BLOCK == 0 else None
    return noisy_by_operations(draws) if kernel is None else kernel(draws)


@cache
def _kernel(device: torch.device) -> Callable[[DeviceDraws], Tensor] | None:
    """The kernel that computes noisy copies in one pass; None, with a warning, if it cannot run on the device."""
    try:
        from zoo.smoothing.fused_noise import noisy_images

        x_CHW = np.zeros((1, 2, 2), dtype=np.float32)
        draw = Draws(x_CHW, 1.0, "gaussian", NoiseKey(0, 0), Phase.SELECTION, 0, 1)
        noisy_images(DeviceMemory(device).moved([draw]))
    except Exception as error:  # Triton raises anything where it, a C compiler or a supported GPU is missing
        logger.warning(
            "noise takes several passes over the memory of %s, since Triton has no kernel: %s", device, error
        )
        return None
    return noisy_images
