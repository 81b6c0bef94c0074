"""Counter-based noise: a draw's noise depends only on the key, the phase and the index of the draw.

The generator is Philox-4x64. Its key is the two words of the noise key; the upper words of its counter are the phase
and the index. The noise is therefore bit-identical for every batch size, packing, number of ranks and resume point.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from zoo.errors import CertificationError
from zoo.smoothing.discrete import LEVELS, discrete_gaussian, levels_of

Pixels = npt.NDArray[np.float32]
Noise = Literal["gaussian", "discrete"]
# The discrete sampler's table grows with sigma. Above this sigma, building the table takes seconds.
LARGEST_DISCRETE_SIGMA = 10.0


@dataclass(frozen=True, slots=True)
class NoiseKey:
    """128 bits that identify the noise of one job: a root (a run's seed, or fresh from the OS) and the job's number."""

    root: int
    job: int

    def __post_init__(self) -> None:
        for word in (self.root, self.job):
            if not isinstance(word, int) or not 0 <= word < 2**64:
                raise CertificationError(
                    f"a noise key consists of two 64-bit words, integers in [0, 2**64), got {word!r}"
                )


class Phase(IntEnum):
    """The purpose of a draw. Selection and estimation must not share noise."""

    SELECTION = 0
    ESTIMATION = 1


@dataclass(frozen=True, slots=True)
class Draws:
    """`num` consecutive noisy copies of one image, from draw `start` of a phase; `sigma` on the [0, 1] pixel scale.

    `reads_logits`: whether the logits of the copies are needed instead of their classes.
    """

    x_CHW: Pixels
    sigma: float
    noise: Noise
    key: NoiseKey
    phase: Phase
    start: int
    num: int
    reads_logits: bool = False


class NoiseSource:
    """Writes noisy copies, one at a time. Each thread needs its own source.

    The source keeps one generator and moves it to the position of each draw, which costs a twentieth of creating a
    generator.
    """

    def __init__(self) -> None:
        self._philox = np.random.Philox(key=0)
        self._generator = np.random.Generator(self._philox)
        # Python integers throughout: the setter reads them one by one, faster and as exactly as from uint64 arrays.
        self._state: Any = self._philox.state
        self._state["buffer"] = self._state["buffer"].tolist()

    def fill(self, row_CHW: Pixels, draws: Draws, index: int) -> None:
        """Writes one noisy copy into `row_CHW`: the image plus the noise of draw `index`. Nothing is clamped.

        "gaussian" is `N(0, sigma^2 I)` in float32. "discrete" is the same noise rounded to multiples of 1/255, drawn as
        exact integers and added to 8-bit pixels as integers. The network's input is a function of these integers.
        """
        if draws.sigma == 0:
            row_CHW[...] = draws.x_CHW
            return
        self._seek(draws, index)
        if draws.noise == "discrete":
            levels = discrete_gaussian(draws.sigma).sample(self._philox, row_CHW.size).reshape(row_CHW.shape)
            np.add(levels_of(draws.x_CHW), levels, out=row_CHW)  # integers, exact in float32
            row_CHW /= np.float32(LEVELS)
        else:
            self._generator.standard_normal(dtype=np.float32, out=row_CHW)
            row_CHW *= at_least(draws.sigma)
            row_CHW += draws.x_CHW

    def _seek(self, draws: Draws, index: int) -> None:
        self._state["state"] = {
            "counter": (0, 0, index, int(draws.phase)),
            "key": (draws.key.root, draws.key.job),
        }
        self._philox.state = self._state


def require_noise(noise: str, *, sigma: float) -> None:
    """Raises CertificationError unless `noise` is a kind of noise that supports `sigma`."""
    if noise not in get_args(Noise):
        raise CertificationError(f"noise must be {' or '.join(get_args(Noise))}, got {noise!r}")
    if noise == "discrete" and sigma > LARGEST_DISCRETE_SIGMA:
        raise CertificationError(f"sigma must be at most {LARGEST_DISCRETE_SIGMA:g} for discrete noise, got {sigma:g}")


def alpha_left(alpha: float, *, sigma: float, noise: Noise, num_values: int) -> float:
    """The part of alpha that a bound may use.

    For discrete noise, it is alpha minus twice the total variation distance between the drawn and the intended
    distribution. For Gaussian noise in floating point that distance is unknown, and nothing is subtracted.

    Args:
        alpha: Upper bound of the failure probability, in (0, 1).
        sigma: Standard deviation of the noise, on the [0, 1] pixel scale.
        noise: "gaussian" or "discrete".
        num_values: Number of random numbers in all draws of the job.

    Raises: CertificationError if at most half of alpha would remain.
    """
    if noise == "gaussian" or sigma == 0:
        return alpha
    left = alpha - 2 * discrete_gaussian(sigma).total_variation(num_values)
    if left <= alpha / 2:
        raise CertificationError(f"alpha={alpha:g} is too small for discrete noise: choose a larger alpha")
    return left


def at_least(sigma: float) -> np.float32:
    """sigma in float32, rounded up: a radius is sound with more noise than it assumes, but not with less."""
    rounded = np.float32(sigma)
    return rounded if float(rounded) >= sigma else np.nextafter(rounded, np.float32(np.inf))
