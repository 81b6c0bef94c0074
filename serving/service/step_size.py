"""The number of draws per engine step, adapted so that a step stays short."""

from __future__ import annotations

import time

import torch

from zoo.errors import OutOfMemoryError
from zoo.models.spec import ModelSpec
from zoo.smoothing import BaseClassifier

WEIGHT_OF_THE_LAST = 0.3
ROOM_TO_GROW = 0.8


class StepSize:
    """The number of draws per step, at most `largest`; halves and doubles with the measured durations of steps.

    A step should take at most `seconds`, because a request that arrives during a step waits for the step's end.
    """

    def __init__(self, first: int, *, largest: int, seconds: float) -> None:
        self.value = min(first, largest)
        self.largest = largest
        self.seconds = seconds
        self.seconds_per_draw: float | None = None

    def observe(self, num_draws: int, seconds: float) -> None:
        """Records the duration of a step; steps less than half full are ignored, since overhead dominates them."""
        if 2 * num_draws < self.value or num_draws == 0:
            return
        last = seconds / num_draws
        before = last if self.seconds_per_draw is None else self.seconds_per_draw
        self.seconds_per_draw = WEIGHT_OF_THE_LAST * last + (1 - WEIGHT_OF_THE_LAST) * before
        if self.seconds_per_draw * self.value > self.seconds and self.value > 1:
            self.value //= 2
        elif self.seconds_per_draw * self.value * 2 <= ROOM_TO_GROW * self.seconds:
            self.value = min(2 * self.value, self.largest)


def fit_batch_size(base: BaseClassifier, spec: ModelSpec, *, seconds: float, largest: int) -> int:
    """The largest batch size whose forward pass takes at most about `seconds`: a power of two, at most `largest`.

    A step must stay short, because a request that arrives during a step waits for the step's end. A batch that does not
    fit into memory is too large.
    Raises: OutOfMemoryError if a single image does not fit.
    """
    crop = spec.preprocessing.crop
    size = 1
    while True:
        noisy_BCHW = torch.full((size, 3, crop, crop), 0.5, device=base.draws_on)
        try:
            base.classify(noisy_BCHW)  # warm-up: the first pass of a shape allocates memory and selects kernels
        except OutOfMemoryError:
            if size == 1:
                raise
            return size // 2
        started = time.perf_counter()
        base.classify(noisy_BCHW)
        if size * 2 > largest or (time.perf_counter() - started) * 2 > seconds:
            return size
        size *= 2
