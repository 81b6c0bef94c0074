"""Noisy votes: counter-based Gaussian noise, one batch for many images, classes counted.

The noise of a draw is a function of (key, phase, index) alone: Philox-4x64 with the key's two words as its key and
phase and index as the upper words of its counter. It is therefore bit-identical for every batch size, packing and
resume point.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.backends import BaseClassifier, Pixels

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NoiseKey:
    """128 bits that name the noise of one job: a root (a run's seed, or fresh from the OS) and the job's number."""

    root: int
    job: int

    def __post_init__(self) -> None:
        for word in (self.root, self.job):
            if not 0 <= word < 2**64:
                raise CertificationError(f"a noise key is two words of 64 bits, got {word}")


class Phase(IntEnum):
    """What a draw is for. Selection and estimation must not share noise."""

    SELECTION = 0
    ESTIMATION = 1


@dataclass(frozen=True, slots=True)
class Draws:
    """`num` consecutive noisy copies of one image from draw `start` of a phase; `sigma` on the [0, 1] pixel scale."""

    x_CHW: Pixels
    sigma: float
    key: NoiseKey
    phase: Phase
    start: int
    num: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """What changes speed, never the meaning of a result.

    `batch_size`: noisy copies a forward pass. `fixed_shape`: pad a smaller batch to that size, so that a backend whose
    logits depend on the batch's shape votes the same in every packing.
    """

    batch_size: int = 256
    fixed_shape: bool = True

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise CertificationError(f"batch_size must be at least 1, got {self.batch_size}")


class NoisySampler:
    """Asks the base classifier about noisy copies and counts its answers."""

    def __init__(self, base: BaseClassifier, options: SamplingOptions) -> None:
        self.base = base
        self.options = options
        self._noisy_MCHW: Pixels | None = None

    def count_votes(self, draws: Sequence[Draws]) -> list[Counts]:
        """For each of the draws, how often each class was named: int64 `(K,)`. All images have one shape."""
        votes = [np.zeros(self.base.num_classes, dtype=np.int64) for _ in draws]
        owners = np.repeat(np.arange(len(draws)), [each.num for each in draws])
        if len(owners) == 0:
            return votes
        rows = _rows(draws)
        noisy_MCHW = self._buffer(draws[0].x_CHW.shape)
        for start in range(0, len(owners), self.options.batch_size):
            batch_owners = owners[start : start + self.options.batch_size]
            for row_CHW, _ in zip(noisy_MCHW, batch_owners, strict=False):
                _fill(row_CHW, *next(rows))
            num_rows = self.options.batch_size if self.options.fixed_shape else len(batch_owners)
            noisy_MCHW[len(batch_owners) : num_rows] = noisy_MCHW[0]
            classes = self.base.classify(noisy_MCHW[:num_rows])
            for owner in np.unique(batch_owners):
                mine = classes[: len(batch_owners)][batch_owners == owner]
                votes[owner] += np.bincount(mine, minlength=self.base.num_classes)
        return votes

    def _buffer(self, shape_CHW: tuple[int, ...]) -> Pixels:
        """One batch of memory, kept between batches."""
        if self._noisy_MCHW is None or self._noisy_MCHW.shape[1:] != shape_CHW:
            self._noisy_MCHW = np.zeros((self.options.batch_size, *shape_CHW), dtype=np.float32)
        return self._noisy_MCHW


def _rows(draws: Sequence[Draws]) -> Iterator[tuple[Draws, int]]:
    return ((each, index) for each in draws for index in range(each.start, each.start + each.num))


def _fill(row_CHW: Pixels, draws: Draws, index: int) -> None:
    """Writes `x + sigma * noise` of one draw in place. The noise is not clamped, nor is the sum."""
    if draws.sigma == 0:
        row_CHW[...] = draws.x_CHW
        return
    # uint64 throughout: a list of Python integers would pass through float64 and lose the low bits of large words.
    key = np.array([draws.key.root, draws.key.job], dtype=np.uint64)
    counter = np.array([0, 0, index, draws.phase], dtype=np.uint64)
    philox = np.random.Philox(key=key, counter=counter)
    np.random.Generator(philox).standard_normal(dtype=np.float32, out=row_CHW)
    row_CHW *= _at_least(draws.sigma)
    row_CHW += draws.x_CHW


def _at_least(sigma: float) -> np.float32:
    """sigma in float32, rounded up: more noise than a radius claims is sound, less is not."""
    rounded = np.float32(sigma)
    return rounded if float(rounded) >= sigma else np.nextafter(rounded, np.float32(np.inf))
