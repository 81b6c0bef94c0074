"""One image's way to an answer: what is still to be drawn, and what the counts so far prove."""

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
    """What the engine asks of a job. `id` names it among the open ones."""

    id: Hashable

    @property
    def x_CHW(self) -> Pixels: ...

    @property
    def num_remaining(self) -> int:
        """Draws to make before the job can say more; 0 means finished."""
        ...

    @property
    def num_expected(self) -> int:
        """Draws that it may well still take, by which the engine tells short jobs from long ones."""
        ...

    @property
    def num_useful(self) -> int:
        """Draws that may still come to count, those included that a rule does not ask for yet."""
        ...

    @property
    def num_taken(self) -> int:
        """Draws made so far."""
        ...

    def first_draws(self, num: int) -> Draws:
        """The first draws of all, which choose the class; at most `num`."""
        ...

    def take(self, num: int) -> list[Draws]:
        """The next draws, at most `num` in all and none that are of no use; they count as made from here on."""
        ...

    def record(self, draws: Draws, classes_M: Classes) -> None:
        """Takes in the votes of draws that were taken, in the order in which they were."""
        ...

    def result(self, *, backend: str) -> Certificate | Votes:
        """The answer, once nothing remains. `backend` names what computed."""
        ...


class Certification:
    """CERTIFY: the class from `n0` draws, its bound from fresh ones (Cohen et al. 2019).

    A stopping rule looks at the votes in the order of the draws' counters, and the draws after its end are dropped, so
    that the answer does not depend on how many were made at a time.
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
        """`input` describes the image in the certificate; its shape unless given."""
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
        return sum(self._wanted(phase) for phase in Phase)

    @property
    def num_expected(self) -> int:
        """All that remain where their number is known; else as many again as it has had."""
        remaining = self.num_remaining
        return remaining if remaining == self.num_useful else max(remaining, self.num_taken)

    @property
    def num_useful(self) -> int:
        return sum(self._useful(phase) for phase in Phase)

    @property
    def num_taken(self) -> int:
        return sum(self._num_taken.values())

    def first_draws(self, num: int) -> Draws:
        spec = self.smoothing
        phase, most = (Phase.SELECTION, spec.n0) if spec.n0 else (Phase.ESTIMATION, spec.n)
        return Draws(self.x_CHW, spec.sigma, spec.noise, self.key, phase, 0, min(num, most))

    def take(self, num: int) -> list[Draws]:
        taken = []
        for phase in Phase:
            share = min(self._useful(phase), num)
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
        """What the votes prove that were taken in until now; an abstention as long as the class is not chosen.

        It holds at the level alpha wherever the drawing is stopped, for whatever reason.
        Raises: CertificationError under a rule that may be looked at in its end only.
        """
        if self._votes[Phase.ESTIMATION]:  # which are drawn when those that choose the class have been
            return self.result(backend=backend)
        nothing: Counter[int] = Counter()
        return conclude(0, nothing, self.smoothing, alpha=self.alpha, input=self.input, backend=backend)

    def _until_end(self, start: int, classes_M: Classes) -> Classes:
        """The votes up to where the rule ends, none after it has."""
        if self._ended:
            return classes_M[:0]
        if self.smoothing.sigma == 0:  # the clean classifier's one vote chooses the class and is all there is
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
        """The lowest class on ties; the clean classifier's one vote at sigma 0."""
        chosen_by = Phase.SELECTION if self.smoothing.n0 else Phase.ESTIMATION
        votes = self._votes[chosen_by]
        return min(votes, key=lambda label: (-votes[label], label))

    def _wanted(self, phase: Phase) -> int:
        if phase is Phase.SELECTION or self._ended:
            return self._useful(phase)
        return self.smoothing.stopping.num_wanted(self._num_taken[phase])

    def _useful(self, phase: Phase) -> int:
        if phase is Phase.SELECTION:
            return self.smoothing.n0 - self._num_taken[phase]
        return 0 if self._ended else self.smoothing.n - self._num_taken[phase]


class Prediction:
    """PREDICT: the class that most of `n` draws name, or abstention (Cohen et al. 2019)."""

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
        alpha = self._alpha_left if self.sigma > 0 else 1.0  # one evaluation of the clean classifier always decides
        return replace(predict_from_votes(self._votes, alpha=alpha, sigma=self.sigma), alpha=self.alpha)


def alpha_left(alpha: float, *, sigma: float, noise: Noise, num_values: int) -> float:
    """What a bound may spend of alpha: all of it but the distance of the noise drawn from the noise meant, over
    `num_values` numbers.

    For Gaussian noise in floating point no such distance is known, and none is taken off.
    Raises: CertificationError if alpha is no larger than that distance.
    """
    if noise == "gaussian" or sigma == 0:
        return alpha
    left = alpha - 2 * discrete_gaussian(sigma).total_variation(num_values)
    if left <= alpha / 2:
        raise CertificationError(f"alpha={alpha:g} is too small for discrete noise")
    return left


def checked_pixels(x_CHW: Tensor, *, noise: Noise = "gaussian") -> Pixels:
    """The image as float32 in memory of its own.

    Raises: CertificationError if it is not three-dimensional, finite and in [0, 1], or not of 8 bits under discrete
    noise.
    """
    if not isinstance(x_CHW, Tensor) or not x_CHW.is_floating_point():
        kind = x_CHW.dtype if isinstance(x_CHW, Tensor) else type(x_CHW).__name__
        raise CertificationError(f"an image is a floating-point tensor in [0, 1], got {kind}")
    if x_CHW.ndim != 3 or x_CHW.numel() == 0:
        raise CertificationError(f"an image has shape (channels, height, width), got {tuple(x_CHW.shape)}")
    pixels: Pixels = x_CHW.detach().to("cpu", torch.float32, copy=True).numpy()
    if not np.isfinite(pixels).all():
        value = float(pixels[~np.isfinite(pixels)][0])
        raise CertificationError(f"the image holds a pixel that is not finite: {value}")
    low, high = float(pixels.min()), float(pixels.max())
    if low < 0 or high > 1:
        raise CertificationError(f"pixels must be in [0, 1], got [{low:g}, {high:g}]; divide 8-bit values by 255")
    if noise == "discrete":
        require_8_bit(pixels)
    return pixels
