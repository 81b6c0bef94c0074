"""PREDICT as a job: the most frequent class of a fixed number of draws."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import replace

from torch import Tensor

from zoo.smoothing.arguments import checked_alpha, checked_count, checked_sigma
from zoo.smoothing.backends import Classes
from zoo.smoothing.jobs.job import checked_pixels
from zoo.smoothing.noise import Draws, Noise, NoiseKey, Phase, alpha_left, require_noise
from zoo.smoothing.prediction import Votes, predict_from_votes, require_can_predict


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

    def adapts_to(self, draws: Draws) -> bool:
        return False

    def record(self, draws: Draws, classes_M: Classes) -> None:
        self._votes.update(classes_M.tolist())

    def result(self, *, backend: str) -> Votes:
        alpha = self._alpha_left if self.sigma > 0 else 1.0  # a single evaluation of the clean classifier decides
        return replace(predict_from_votes(self._votes, alpha=alpha, sigma=self.sigma), alpha=self.alpha)
