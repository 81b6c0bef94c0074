"""Jobs: the draws that one image still needs, and what its votes prove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from zoo.errors import CertificationError
from zoo.smoothing.arguments import checked_alpha, checked_count, checked_sigma
from zoo.smoothing.backends import Classes
from zoo.smoothing.certificate import Certificate, SmoothingSpec, conclude
from zoo.smoothing.discrete import discrete_gaussian, require_8_bit
from zoo.smoothing.noise import Draws, Noise, NoiseKey, Phase, Pixels, require_noise
from zoo.smoothing.prediction import Votes, predict_from_votes, require_can_predict


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

    def record(self, draws: Draws, classes_M: Classes) -> None:
        """Records the votes of draws, in the order in which `take` returned them."""
        ...

    def result(self, *, backend: str) -> Certificate | Votes:
        """The answer, when no draws remain. `backend` is the name of the backend."""
        ...


class Certification:
    """CERTIFY: selects the class from `n0` draws and bounds its probability from fresh draws (Cohen et al. 2019).

    The stopping rule evaluates the votes in the order of the draws' counters, and draws after its end are discarded.
    The answer therefore does not depend on the number of draws per batch.
    """

    def __init__(
        self,
        id: Hashable,
        x_CHW: Tensor,
        *,
        smoothing: SmoothingSpec,
        key: NoiseKey,
        input: str | None = None,
    ) -> None:
        """Checks and copies the image.

        Args:
            id: Identifies the job in its engine.
            x_CHW: The image, in [0, 1].
            smoothing: sigma, the draws and alpha.
            key: Key of the job's noise.
            input: Description of the image in the certificate; by default its shape and range.

        Raises: CertificationError as `checked_pixels`, or if alpha is too small for discrete noise.
        """
        self.id = id
        self.x_CHW = checked_pixels(x_CHW, noise=smoothing.noise)
        self.smoothing = smoothing
        self.key = key
        self.input = input or f"{'x'.join(str(size) for size in self.x_CHW.shape)} in [0, 1]"
        num_values = self.x_CHW.size * (smoothing.n0 + smoothing.n)
        self.alpha = alpha_left(smoothing.alpha, sigma=smoothing.sigma, noise=smoothing.noise, num_values=num_values)
        self._num_taken = {Phase.SELECTION: 0, Phase.ESTIMATION: 0}
        self._votes: dict[Phase, Counter[int]] = {phase: Counter() for phase in Phase}
        self._p_a_lower = 0.0
        self._ended = False

    @property
    def num_remaining(self) -> int:
        return sum(self._num_requested(phase) for phase in Phase)

    @property
    def num_expected(self) -> int:
        """The remaining draws if their number is known; otherwise at least as many draws as were made so far."""
        remaining = self.num_remaining
        return remaining if remaining == self.num_useful else max(remaining, self.num_taken)

    @property
    def num_useful(self) -> int:
        return sum(self._num_useful(phase) for phase in Phase)

    @property
    def num_taken(self) -> int:
        return sum(self._num_taken.values())

    def first_draws(self, num: int) -> Draws:
        spec = self.smoothing
        phase, num_in_phase = (Phase.SELECTION, spec.n0) if spec.n0 else (Phase.ESTIMATION, spec.n)
        return Draws(self.x_CHW, spec.sigma, spec.noise, self.key, phase, 0, min(num, num_in_phase))

    def take(self, num: int) -> list[Draws]:
        taken = []
        for phase in Phase:
            share = min(self._num_useful(phase), num)
            if share > 0:
                spec, start = self.smoothing, self._num_taken[phase]
                taken.append(Draws(self.x_CHW, spec.sigma, spec.noise, self.key, phase, start, share))
                self._num_taken[phase] += share
                num -= share
        return taken

    def record(self, draws: Draws, classes_M: Classes) -> None:
        if draws.phase is Phase.ESTIMATION:
            classes_M = self._until_end(draws.start, classes_M)
        self._votes[draws.phase].update(classes_M.tolist())

    def result(self, *, backend: str) -> Certificate:
        votes = self._votes[Phase.ESTIMATION]
        return conclude(
            self._label,
            votes,
            self.smoothing,
            alpha=self.alpha,
            p_a_lower=self._p_a_lower,
            input=self.input,
            backend=backend,
        )

    def so_far(self, *, backend: str) -> Certificate:
        """The certificate that the votes so far prove; an abstention while the class is not selected.

        The certificate holds at level alpha whenever and for whatever reason drawing stops.
        Raises: CertificationError if the rule allows a look only at its end.
        """
        if self._votes[Phase.ESTIMATION]:  # the selection has finished
            return self.result(backend=backend)
        no_votes: Counter[int] = Counter()
        return conclude(0, no_votes, self.smoothing, alpha=self.alpha, input=self.input, backend=backend)

    def _until_end(self, start: int, classes_M: Classes) -> Classes:
        """The votes up to the end of the rule; no votes if the rule has ended."""
        if self._ended:
            return classes_M[:0]
        if self.smoothing.sigma == 0:  # the single vote of the clean classifier selects the class and ends the job
            self._ended = True
            return classes_M
        counts_M = self._votes[Phase.ESTIMATION][self._label] + np.cumsum(classes_M == self._label)
        nums_M = start + np.arange(1, len(classes_M) + 1)
        spec = self.smoothing
        look = spec.stopping.look(counts_M, nums_M, p_a_lower=self._p_a_lower, sigma=spec.sigma, alpha=self.alpha)
        self._p_a_lower = look.p_a_lower
        if look.end is None:
            return classes_M
        self._ended = True
        return classes_M[: look.end + 1]

    @property
    def _label(self) -> int:
        """The selected class, the lowest one on ties; at sigma 0 the vote of the clean classifier."""
        selection_phase = Phase.SELECTION if self.smoothing.n0 else Phase.ESTIMATION
        votes = self._votes[selection_phase]
        return min(votes, key=lambda label: (-votes[label], label))

    def _num_requested(self, phase: Phase) -> int:
        if phase is Phase.SELECTION or self._ended:
            return self._num_useful(phase)
        return self.smoothing.stopping.num_wanted(self._num_taken[phase])

    def _num_useful(self, phase: Phase) -> int:
        if phase is Phase.SELECTION:
            return self.smoothing.n0 - self._num_taken[phase]
        return 0 if self._ended else self.smoothing.n - self._num_taken[phase]


class Prediction:
    """PREDICT: the most frequent class of `n` draws, or an abstention (Cohen et al. 2019)."""

    def __init__(
        self,
        id: Hashable,
        x_CHW: Tensor,
        *,
        sigma: float,
        n: int,
        alpha: float,
        key: NoiseKey,
        noise: Noise = "gaussian",
    ) -> None:
        """Checks and copies the image.

        Args:
            id: Identifies the job in its engine.
            x_CHW: The image, in [0, 1].
            sigma: Standard deviation of the noise, on the [0, 1] pixel scale; 0 selects the clean classifier.
            n: Number of draws, at least 1; a single evaluation at sigma 0.
            alpha: Upper bound of the probability of a wrong label, in (0, 1).
            key: Key of the job's noise.
            noise: "gaussian" or "discrete".

        Raises: CertificationError if a value is outside its range or `n` draws can never decide; as `checked_pixels`.
        """
        self.sigma, self.alpha = checked_sigma(sigma), checked_alpha(alpha)
        require_noise(noise, sigma=self.sigma)
        self.n = checked_count("n", n) if self.sigma > 0 else 1
        self.id = id
        self.x_CHW = checked_pixels(x_CHW, noise=noise)
        self.noise: Noise = noise
        num_values = self.n * self.x_CHW.size
        self._alpha_left = alpha_left(self.alpha, sigma=self.sigma, noise=noise, num_values=num_values)
        if self.sigma > 0:
            require_can_predict(self.n, self._alpha_left)
        self.key = key
        self._num_taken = 0
        self._votes: Counter[int] = Counter()

    @property
    def num_remaining(self) -> int:
        return self.n - self._num_taken

    @property
    def num_expected(self) -> int:
        return self.num_remaining

    @property
    def num_useful(self) -> int:
        return self.num_remaining

    @property
    def num_taken(self) -> int:
        return self._num_taken

    def first_draws(self, num: int) -> Draws:
        return self._draws(0, min(num, self.n))

    def take(self, num: int) -> list[Draws]:
        draws = self._draws(self._num_taken, min(self.num_remaining, num))
        self._num_taken += draws.num
        return [draws]

    def _draws(self, start: int, num: int) -> Draws:
        return Draws(self.x_CHW, self.sigma, self.noise, self.key, Phase.SELECTION, start, num)

    def record(self, draws: Draws, classes_M: Classes) -> None:
        self._votes.update(classes_M.tolist())

    def result(self, *, backend: str) -> Votes:
        alpha = self._alpha_left if self.sigma > 0 else 1.0  # a single evaluation of the clean classifier decides
        return replace(predict_from_votes(self._votes, alpha=alpha, sigma=self.sigma), alpha=self.alpha)


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
