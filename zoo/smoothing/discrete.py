"""Gaussian noise rounded to multiples of 1/255, drawn as integers. The theorem holds for the arithmetic that runs.

If x is an 8-bit image, `x + N(0, sigma^2)` rounded to multiples of 1/255 is x plus an integer multiple of 1/255 whose
law is `P(i) = Phi((2i + 1) / (510 sigma)) - Phi((2i - 1) / (510 sigma))`. The computation is therefore exactly the
Gaussian smoothing of a base classifier that first rounds its input. The radius is that of Cohen et al. 2019 for real
perturbations. With floating-point noise, the low bits of `x + noise` reveal x, and wrong certificates can be produced.

Source: Voracek and Hein, ICLR 2023. Noisy pixels are not clipped: clipping would be part of the base classifier.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError

LEVELS = 255
DIGITS = 50

Words = npt.NDArray[np.uint64]
# Whole numbers. float32 represents exactly all levels that can occur.
Levels = npt.NDArray[np.float32]
UNCERTAIN = 2.0**24


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscreteGaussian:
    """Inverse-transform sampling from 128-bit uniform integers; later bits are drawn only if needed.

    A uniform number U below 1 gives the level `smallest + #{thresholds <= U}`. The first 16 bits of U select a cell.
    Most cells contain no threshold, so the cell determines the level. Otherwise the next 48 bits decide; if the 64
    bits so far equal those of a threshold, the last 64 bits decide.
    """

    smallest: int
    high_T: Words
    """The first 64 bits of each threshold of the distribution function, ascending."""
    low_T: Words
    """The next 64 bits."""
    level_of_cell: Levels
    """The level of each of the 2^16 cells; UNCERTAIN if the cell contains a threshold."""

    def sample(self, bits: np.random.Philox, num: int) -> Levels:
        """`num` random levels, whole numbers in units of 1/255."""
        cells = bits.random_raw(-(-num // 4)).view(np.uint16)[:num]
        levels: Levels = self.level_of_cell.take(cells)
        undecided = np.flatnonzero(levels == UNCERTAIN)
        later_bits = bits.random_raw(2 * len(undecided))
        first = cells[undecided].astype(np.uint64) << np.uint64(48) | later_bits[: len(undecided)] >> np.uint64(16)
        levels[undecided] = self.levels_at(first, later_bits[len(undecided) :])
        return levels

    def levels_at(self, first: Words, second: Words) -> Levels:
        """The levels of the uniform numbers whose first and second 64 bits are `first` and `second`."""
        num_below = np.searchsorted(self.high_T, first, side="right")
        last = num_below - 1
        is_tie = (num_below > 0) & (self.high_T[last] == first)
        while is_tie.any():  # in the tail, several thresholds may share their first 64 bits
            above = is_tie & (second < self.low_T[last])
            num_below[above] -= 1
            last = num_below - 1
            is_tie = above & (num_below > 0) & (self.high_T[last] == first)
        return (num_below + self.smallest).astype(np.float32)

    def total_variation(self, num_values: int) -> float:
        """Upper bound of the total variation distance between the law of `num_values` levels and the exact law.

        The bound covers the rounding of the thresholds to 128 bits and the tails beyond the thresholds.
        """
        return float(len(self.high_T) + 2) * 2.0**-127 * num_values


@lru_cache(maxsize=8)
def discrete_gaussian(sigma: float) -> DiscreteGaussian:
    """The sampler for `sigma` on the [0, 1] pixel scale."""
    from mpmath import MPContext  # as slow to import as NumPy, and only discrete noise needs it

    thresholds = []
    context = MPContext()  # a private context: mpmath's global precision is not thread-safe
    context.dps = DIGITS
    unit = 1 / (2 * LEVELS * context.mpf(sigma))
    level = 0
    while (upper_tail := int(context.floor(context.ncdf(-(2 * level + 1) * unit) * 2**128))) > 0:
        thresholds.append(upper_tail)
        level += 1
    # By symmetry, P(level <= i) for i from -largest to largest - 1; the first threshold begins level `smallest` + 1.
    ascending = thresholds[::-1] + [2**128 - tail for tail in thresholds]
    high_T = np.array([value >> 64 for value in ascending], dtype=np.uint64)
    low_T = np.array([value & (2**64 - 1) for value in ascending], dtype=np.uint64)
    cell_of_T = high_T >> np.uint64(48)
    cells = np.arange(2**16, dtype=np.uint64)
    below = np.searchsorted(cell_of_T, cells, side="left")
    is_certain = below == np.searchsorted(cell_of_T, cells, side="right")
    smallest = -len(thresholds)
    return DiscreteGaussian(
        smallest=smallest,
        high_T=high_T,
        low_T=low_T,
        level_of_cell=np.where(is_certain, below + smallest, UNCERTAIN).astype(np.float32),
    )


def levels_of(x_CHW: npt.NDArray[np.float32]) -> Levels:
    """The 8-bit levels of pixels in [0, 1]."""
    levels: Levels = np.rint(x_CHW * np.float32(LEVELS))
    return levels


def require_8_bit(x_CHW: npt.NDArray[np.float32]) -> None:
    """Raises CertificationError unless every pixel is the float32 quotient of a whole number by 255."""
    is_off = x_CHW != levels_of(x_CHW) / np.float32(LEVELS)
    if is_off.any():
        value = float(x_CHW[is_off][0])
        raise CertificationError(
            f"discrete noise needs an 8-bit image: every pixel must be k / 255 in float32, got {value!r}"
        )
