"""One image's way to an answer: what is still to be drawn, and what the counts so far prove."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.errors import CertificationError
from zoo.smoothing.backends import Pixels
from zoo.smoothing.certificate import Certificate, SmoothingSpec, conclude, require_sigma
from zoo.smoothing.prediction import Votes, predict_from_counts, require_can_predict
from zoo.smoothing.sampler import Counts, Draws, NoiseKey, Phase


class Job(Protocol):
    """What the engine asks of a job. `id` names it among the open ones."""

    id: Hashable

    @property
    def x_CHW(self) -> Pixels: ...

    @property
    def num_remaining(self) -> int:
        """Draws still wanted, as far as can be known now; 0 means finished."""
        ...

    def take(self, num: int) -> list[Draws]:
        """The next draws, at most `num` in all; they count as made from here on."""
        ...

    def record(self, draws: Draws, counts_K: Counts) -> None:
        """Adds the votes of draws that were taken."""
        ...

    def result(self) -> Certificate | Votes:
        """The answer, once nothing remains."""
        ...


class Certification:
    """CERTIFY: the class from `n0` draws, its bound from fresh ones (Cohen et al. 2019)."""

    def __init__(self, id: Hashable, x_CHW: Tensor, *, smoothing: SmoothingSpec, key: NoiseKey) -> None:
        self.id = id
        self.x_CHW = checked_pixels(x_CHW)
        self.smoothing = smoothing
        self.key = key
        self._num_taken = {Phase.SELECTION: 0, Phase.ESTIMATION: 0}
        self._counts: dict[Phase, Counts] = {}

    @property
    def num_remaining(self) -> int:
        return sum(self._wanted(phase) for phase in Phase)

    def take(self, num: int) -> list[Draws]:
        taken = []
        for phase in Phase:
            share = min(self._wanted(phase), num)
            if share > 0:
                start = self._num_taken[phase]
                taken.append(Draws(self.x_CHW, self.smoothing.sigma, self.key, phase, start, share))
                self._num_taken[phase] += share
                num -= share
        return taken

    def record(self, draws: Draws, counts_K: Counts) -> None:
        self._counts[draws.phase] = self._counts.get(draws.phase, np.zeros_like(counts_K)) + counts_K

    def result(self) -> Certificate:
        estimation_K = self._counts[Phase.ESTIMATION]
        label = int(np.argmax(self._counts.get(Phase.SELECTION, estimation_K)))  # the lowest class on ties
        return conclude(label, int(estimation_K[label]), int(estimation_K.sum()), self.smoothing)

    def _wanted(self, phase: Phase) -> int:
        taken = self._num_taken[phase]
        if phase is Phase.SELECTION:
            return self.smoothing.n0 - taken
        return self.smoothing.stopping.num_wanted(self._count_a(), taken)

    def _count_a(self) -> int:
        selection_K, estimation_K = (self._counts.get(phase) for phase in Phase)
        if selection_K is None or estimation_K is None:
            return 0
        return int(estimation_K[np.argmax(selection_K)])


class Prediction:
    """PREDICT: the class that most of `n` draws name, or abstention (Cohen et al. 2019)."""

    def __init__(self, id: Hashable, x_CHW: Tensor, *, sigma: float, n: int, alpha: float, key: NoiseKey) -> None:
        require_sigma(sigma)
        if sigma > 0:
            require_can_predict(n, alpha)
        self.id = id
        self.x_CHW = checked_pixels(x_CHW)
        self.sigma = sigma
        self.n = n if sigma > 0 else 1
        self.alpha = alpha
        self.key = key
        self._num_taken = 0
        self._counts_K: Counts | None = None

    @property
    def num_remaining(self) -> int:
        return self.n - self._num_taken

    def take(self, num: int) -> list[Draws]:
        share = min(self.num_remaining, num)
        draws = Draws(self.x_CHW, self.sigma, self.key, Phase.SELECTION, self._num_taken, share)
        self._num_taken += share
        return [draws]

    def record(self, draws: Draws, counts_K: Counts) -> None:
        self._counts_K = counts_K if self._counts_K is None else self._counts_K + counts_K

    def result(self) -> Votes:
        assert self._counts_K is not None
        alpha = self.alpha if self.sigma > 0 else 1.0  # one evaluation of the clean classifier always decides
        return predict_from_counts(self._counts_K.tolist(), alpha=alpha, sigma=self.sigma)


def checked_pixels(x_CHW: Tensor) -> Pixels:
    """The image as float32 in memory.

    Raises: CertificationError if it is not three-dimensional, finite and in [0, 1].
    """
    if x_CHW.ndim != 3 or x_CHW.numel() == 0:
        raise CertificationError(f"an image has shape (channels, height, width), got {tuple(x_CHW.shape)}")
    pixels: Pixels = x_CHW.detach().to("cpu", torch.float32).numpy()
    if not np.isfinite(pixels).all():
        raise CertificationError("the image holds a pixel that is not finite")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise CertificationError(f"pixels must be in [0, 1], got [{low:g}, {high:g}]; divide 8-bit values by 255")
    return pixels
